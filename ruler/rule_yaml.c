#include "ruler/rule_yaml.h"

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

/* In double quotes YAML takes the escapes of JSON; what JSON leaves as it is and YAML does not take is DEL. */
static void put_text(struct buf *out, struct slice s)
{
    size_t from = out->len, n = 0;

    if (is_plain(s)) {
        buf_slice_append(out, s);
        return;
    }
    buf_json_str(out, s);
    for (size_t i = from; i < out->len; i++)
        n += out->ptr[i] == 0x7f;
    if (n) {
        struct buf quoted = {0};

        for (size_t i = from; i < out->len; i++)
            if (out->ptr[i] == 0x7f)
                buf_str(&quoted, "\\x7f");
            else
                buf_byte(&quoted, out->ptr[i]);
        out->len = from;
        buf_slice_append(out, buf_slice(&quoted));
        buf_done(&quoted);
    }
}

static void put_key(struct buf *out, unsigned indent, const char *key)
{
    buf_printf(out, "%*s%s:", (int)indent, "", key);
}

static void put_field(struct buf *out, unsigned indent, const char *key, struct slice value)
{
    put_key(out, indent, key);
    buf_byte(out, ' ');
    put_text(out, value);
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
        put_text(out, ls.ptr[i].name);
        buf_str(out, ": ");
        put_text(out, ls.ptr[i].value);
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
    put_key(out, indent, "rules");
    buf_str(out, g->n_rules ? "\n" : " []\n");
    for (size_t i = 0; i < g->n_rules; i++)
        put_rule(out, indent + STEP + 2, &g->rules[i]);
}

static struct slice ns_of(const struct rule_dir_file *f)
{
    const char *slash = strrchr(f->name, '/');

    return slice_cstr(slash ? slash + 1 : f->name);
}

static bool put_file(struct buf *out, const struct rule_dir_file *f, struct slice group)
{
    for (size_t i = 0; i < f->rules->n_groups; i++) {
        const struct rule_group *g = &f->rules->groups[i];

        if (group.len && !slice_eq(group, g->name))
            continue;
        if (!group.len && i == 0) {
            put_text(out, ns_of(f));
            buf_str(out, ":\n");
        }
        if (!group.len)
            buf_printf(out, "%*s- ", STEP, "");
        rule_yaml_group(out, g, group.len ? 0 : STEP + 2);
        if (group.len)
            return true;
    }
    return f->rules->n_groups && !group.len;
}

struct err *rule_yaml(struct buf *out, const struct rule_dir *d, struct slice tenant,
                      enum rule_lang lang, struct slice ns, struct slice group)
{
    bool is_any = false;

    for (size_t i = 0; i < d->n; i++) {
        const struct rule_dir_file *f = &d->files[i];

        if (f->rules && f->lang == lang && slice_eq_cstr(tenant, f->tenant) &&
            (!ns.len || slice_eq(ns, ns_of(f))) && put_file(out, f, group))
            is_any = true;
    }
    if (is_any)
        return NULL;
    return err_new(ERR_NOT_FOUND, group.len ? "group does not exist" : "no rule groups found");
}
