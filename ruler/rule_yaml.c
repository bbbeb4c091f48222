#include "ruler/rule_yaml.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/promdur.h"

#define STEP 4

/* Letters first, and nothing that YAML reads as more than text. */
static bool is_plain(struct slice s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n"};

    if (!s.len || !((s.ptr[0] | 0x20) >= 'a' && (s.ptr[0] | 0x20) <= 'z'))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        bool is_word = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                       c == '_' || c == '-' || c == '.' || c == '/';

        if (!is_word)
            return false;
    }
    for (size_t i = 0; i < ORR_COUNT(words); i++)
        if (slice_eq_nocase(s, slice_cstr(words[i])))
            return false;
    return true;
}

/*
 * In double quotes YAML takes the escapes of JSON. What JSON leaves as it is and YAML does not take, or takes for the
 * end of a line: DEL, U+0080 to U+009F, U+FEFF, U+FFFE and U+FFFF. How many bytes of such a one s begins with; 0: none.
 */
static size_t odd_rune(struct slice s, unsigned *ret)
{
    const uint8_t *p = s.ptr;

    if (s.len >= 1 && p[0] == 0x7f) {
        *ret = p[0];
        return 1;
    }
    if (s.len >= 2 && p[0] == 0xc2 && p[1] <= 0x9f) {
        *ret = p[1];
        return 2;
    }
    if (s.len >= 3 && p[0] == 0xef &&
        ((p[1] == 0xbb && p[2] == 0xbf) || (p[1] == 0xbf && p[2] >= 0xbe))) {
        *ret = 0xf000u | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
        return 3;
    }
    return 0;
}

void rule_yaml_text(struct buf *out, struct slice s)
{
    struct buf json = {0};
    struct slice left;

    if (is_plain(s)) {
        buf_slice_append(out, s);
        return;
    }
    buf_json_str(&json, s);
    left = buf_slice(&json);
    while (left.len) {
        unsigned rune;
        size_t n = odd_rune(left, &rune);

        if (n)
            buf_printf(out, "\\u%04x", rune);
        else
            buf_byte(out, left.ptr[0]);
        left = slice_from(left, ORR_MAX(n, 1u));
    }
    buf_done(&json);
}

static void put_key(struct buf *out, unsigned indent, const char *key)
{
    buf_printf(out, "%*s%s:", (int)indent, "", key);
}

static void put_field(struct buf *out, unsigned indent, const char *key, struct slice value)
{
    put_key(out, indent, key);
    buf_byte(out, ' ');
    rule_yaml_text(out, value);
    buf_byte(out, '\n');
}

static void put_duration(struct buf *out, unsigned indent, const char *key, int64_t ms)
{
    put_key(out, indent, key);
    buf_byte(out, ' ');
    promdur_print(out, ms * NS_PER_MS);
    buf_byte(out, '\n');
}

static void put_labels(struct buf *out, unsigned indent, const char *key, struct labels ls)
{
    if (!ls.n)
        return;
    put_key(out, indent, key);
    buf_byte(out, '\n');
    for (size_t i = 0; i < ls.n; i++) {
        buf_printf(out, "%*s", (int)(indent + STEP), "");
        rule_yaml_text(out, ls.ptr[i].name);
        buf_str(out, ": ");
        rule_yaml_text(out, ls.ptr[i].value);
        buf_byte(out, '\n');
    }
}

static void put_rule(struct buf *out, unsigned indent, const struct rule *r)
{
    buf_printf(out, "%*s- ", (int)indent - 2, "");
    put_field(out, 0, r->is_alert ? "alert" : "record", r->name);
    put_field(out, indent, "expr", r->expr);
    if (r->for_ms)
        put_duration(out, indent, "for", r->for_ms);
    if (r->keep_firing_ms)
        put_duration(out, indent, "keep_firing_for", r->keep_firing_ms);
    put_labels(out, indent, "labels", r->own_labels);
    put_labels(out, indent, "annotations", r->annotations);
}

static void put_sources(struct buf *out, unsigned indent, const struct rule_group *g)
{
    if (!g->n_sources)
        return;
    put_key(out, indent, "source_tenants");
    buf_byte(out, '\n');
    for (size_t i = 0; i < g->n_sources; i++) {
        buf_printf(out, "%*s- ", (int)(indent + STEP), "");
        rule_yaml_text(out, g->sources[i]);
        buf_byte(out, '\n');
    }
}

void rule_yaml_group(struct buf *out, const struct rule_group *g, unsigned indent)
{
    put_field(out, 0, "name", g->name);
    if (g->interval_ms)
        put_duration(out, indent, "interval", g->interval_ms);
    if (g->query_offset_ms >= 0)
        put_duration(out, indent, "query_offset", g->query_offset_ms);
    if (g->limit)
        buf_printf(out, "%*slimit: %llu\n", (int)indent, "", (unsigned long long)g->limit);
    put_labels(out, indent, "labels", g->labels);
    put_sources(out, indent, g);
    put_key(out, indent, "rules");
    buf_str(out, g->n_rules ? "\n" : " []\n");
    for (size_t i = 0; i < g->n_rules; i++)
        put_rule(out, indent + STEP + 2, &g->rules[i]);
}

/* By namespace, in each in the order they came. */
static int cmp_ns(const void *pa, const void *pb)
{
    const struct rule_set_group *a = *(const struct rule_set_group *const *)pa;
    const struct rule_set_group *b = *(const struct rule_set_group *const *)pb;
    int c = slice_cmp(a->ns, b->ns);

    return c ? c : (a > b) - (a < b);
}

static void put_namespaces(struct buf *out, const struct rule_set_group **groups, size_t n)
{
    qsort(groups, n, sizeof(*groups), cmp_ns);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !slice_eq(groups[i]->ns, groups[i - 1]->ns)) {
            rule_yaml_text(out, groups[i]->ns);
            buf_str(out, ":\n");
        }
        buf_printf(out, "%*s- ", STEP, "");
        rule_yaml_group(out, rule_set_group_of(groups[i]), STEP + 2);
    }
}

struct err *rule_yaml(struct buf *out, const struct rule_set *set, struct slice tenant,
                      enum rule_lang lang, struct slice ns, struct slice group)
{
    const struct rule_set_group **found = mem_new_array(const struct rule_set_group *, set->n + 1);
    size_t n = 0;

    for (size_t i = 0; i < set->n; i++) {
        const struct rule_set_group *g = &set->groups[i];

        if (g->lang == lang && slice_eq_cstr(tenant, g->tenant) &&
            (!ns.len || slice_eq(ns, g->ns)) &&
            (!group.len || slice_eq(group, rule_set_group_of(g)->name)))
            found[n++] = g;
    }
    if (n && group.len)
        rule_yaml_group(out, rule_set_group_of(found[0]), 0);
    else
        put_namespaces(out, found, n);
    mem_free(found);
    if (n)
        return NULL;
    return err_new(ERR_NOT_FOUND, group.len ? "group does not exist" : "no rule groups found");
}
