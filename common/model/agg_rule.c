#include "common/model/agg_rule.h"

#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/conf.h"
#include "common/base/hash.h"
#include "common/lang/promql.h"
#include "common/model/rule_list.h"

#define DEFAULT_STALENESS_MS 300000
#define MAX_NAME_BYTES 1024

static const char *const output_names[] = {
#define X(sym, name) name,
    AGG_OUTPUTS(X)
#undef X
};

/* ---- reading ---- */

struct reading {
    struct rule_list list;
    struct agg_rule *rule;
};

/* A text, or a list of them. */
static struct err *read_texts(struct reading *r, const struct yaml_node *node, unsigned line,
                              size_t max, struct slice **ret, size_t *ret_n)
{
    size_t n = node && node->kind == YAML_KIND_SEQ ? node->n : 1;
    struct slice *texts;

    if (yaml_is_null(node) || node->kind == YAML_KIND_MAP)
        return rule_list_bad(&r->list, line, "neither a text nor a list of texts");
    if (n > max)
        return rule_list_bad(&r->list, line, "too long a list");
    texts = arena_array(r->list.a, struct slice, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct yaml_node *item = node->kind == YAML_KIND_SEQ ? node->items[i] : node;

        if (yaml_is_null(item) || item->kind != YAML_KIND_SCALAR)
            return rule_list_bad(&r->list, line, "an item is not a text");
        texts[i] = arena_dup(r->list.a, item->text);
    }
    *ret = texts;
    *ret_n = n;
    return NULL;
}

static struct err *read_match(struct reading *r, const struct yaml_node *node, unsigned line)
{
    struct matchers *match;
    struct slice *texts;
    size_t n;
    struct err *e = read_texts(r, node, line, AGG_RULE_MAX_SELECTORS, &texts, &n);

    if (e)
        return e;
    r->rule->match = match = arena_array(r->list.a, struct matchers, n + 1);
    for (size_t i = 0; i < n; i++) {
        if ((e = promql_parse_selector(r->list.a, texts[i], &match[i])))
            return err_wrap(e, "%s:%u: match", r->list.file, line);
        r->rule->n_match++;
        if (promql_selects_all(match[i]))
            return rule_list_bad(&r->list, line,
                                 "a selector without a matcher that rules anything out");
    }
    return n ? NULL : rule_list_bad(&r->list, line, "match has no selector");
}

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static struct err *read_labels(struct reading *r, const struct yaml_node *node, unsigned line,
                               bool is_without)
{
    struct slice *texts;
    size_t n, kept = 0;
    struct err *e = read_texts(r, node, line, AGG_RULE_MAX_LABELS, &texts, &n);

    if (e)
        return e;
    if (r->rule->labels)
        return rule_list_bad(&r->list, line, "both by and without");
    qsort(texts, n, sizeof(*texts), by_bytes);
    for (size_t i = 0; i < n; i++) {
        if (!texts[i].len || slice_eq_cstr(texts[i], LABEL_NAME))
            return rule_list_bad(&r->list, line,
                                 "the metric name is always kept, and a label has a name");
        if (!kept || !slice_eq(texts[kept - 1], texts[i]))
            texts[kept++] = texts[i];
    }
    r->rule->labels = texts;
    r->rule->n_labels = kept;
    r->rule->is_without = is_without;
    return NULL;
}

static struct err *read_outputs(struct reading *r, const struct yaml_node *node, unsigned line)
{
    struct slice *texts;
    size_t n;
    struct err *e = read_texts(r, node, line, AGG_OUTPUT_COUNT, &texts, &n);

    for (size_t i = 0; !e && i < n; i++) {
        unsigned o = 0;

        while (o < AGG_OUTPUT_COUNT && !slice_eq_cstr(texts[i], output_names[o]))
            o++;
        if (o == AGG_OUTPUT_COUNT)
            return rule_list_bad(&r->list, line,
                                 "an output is none of sum, count, min, max, last, total");
        r->rule->n_outputs += !(r->rule->outputs & 1u << o);
        r->rule->outputs |= 1u << o;
    }
    return e;
}

static struct err *read_duration(struct reading *r, const struct yaml_node *node, unsigned line,
                                 int64_t *ret_ms)
{
    int64_t ns;
    struct err *e;

    if (yaml_is_null(node) || node->kind != YAML_KIND_SCALAR)
        return rule_list_bad(&r->list, line, "not a duration");
    if ((e = conf_parse_duration(node->text, &ns)))
        return err_wrap(e, "%s:%u", r->list.file, line);
    *ret_ms = ns / NS_PER_MS;
    return NULL;
}

static struct err *read_key(void *arg, const struct yaml_key *key, const struct yaml_node *node)
{
    struct reading *r = arg;

    if (slice_eq_cstr(key->text, "match"))
        return read_match(r, node, key->line);
    if (slice_eq_cstr(key->text, "without"))
        return read_labels(r, node, key->line, true);
    if (slice_eq_cstr(key->text, "by"))
        return read_labels(r, node, key->line, false);
    if (slice_eq_cstr(key->text, "outputs"))
        return read_outputs(r, node, key->line);
    if (slice_eq_cstr(key->text, "interval"))
        return read_duration(r, node, key->line, &r->rule->interval_ms);
    if (slice_eq_cstr(key->text, "staleness"))
        return read_duration(r, node, key->line, &r->rule->staleness_ms);
    if (slice_eq_cstr(key->text, "drop_input"))
        return node && yaml_bool(node, &r->rule->drops_input)
                   ? NULL
                   : rule_list_bad(&r->list, key->line, "drop_input is neither true nor false");
    if (slice_eq_cstr(key->text, "name")) {
        if (yaml_is_null(node) || node->kind != YAML_KIND_SCALAR || !node->text.len ||
            node->text.len > MAX_NAME_BYTES)
            return rule_list_bad(&r->list, key->line, "name is not a text of 1 to 1024 bytes");
        r->rule->name = arena_dup(r->list.a, node->text);
        return NULL;
    }
    return rule_list_unknown(&r->list, key);
}

static struct err *check_rule(const struct reading *r, unsigned line)
{
    const struct agg_rule *x = r->rule;

    if (!x->n_match)
        return rule_list_bad(&r->list, line, "a rule without match");
    if (!x->labels)
        return rule_list_bad(&r->list, line, "a rule with neither by nor without");
    if (!x->n_outputs)
        return rule_list_bad(&r->list, line, "a rule without outputs");
    if (x->interval_ms < AGG_RULE_MIN_INTERVAL_MS || x->interval_ms > AGG_RULE_MAX_INTERVAL_MS)
        return rule_list_bad(&r->list, line, "interval is not between 5s and 1h");
    if (x->staleness_ms < x->interval_ms)
        return rule_list_bad(&r->list, line, "staleness is shorter than interval");
    if (x->n_outputs > 1 && slice_find(x->name, SLICE("$output"), 0) < 0)
        return rule_list_bad(&r->list, line, "several outputs want $output in name");
    if (slice_eq_cstr(x->name, "$name") && !x->drops_input)
        return rule_list_bad(&r->list, line,
                             "an output of the input's name wants drop_input: true");
    return NULL;
}

static void hash_text(uint64_t *h, struct slice s)
{
    *h = hash_xxh64(s, *h + s.len);
}

static uint64_t hash_rule(const struct agg_rule *r)
{
    int64_t numbers[] = {r->is_without,  r->drops_input,  r->outputs,
                         r->interval_ms, r->staleness_ms, (int64_t)r->n_match};
    uint64_t h = hash_xxh64(slice_of(numbers, sizeof(numbers)), 1);

    for (size_t i = 0; i < r->n_match; i++) {
        struct buf text = {0};

        matchers_encode(&text, r->match[i]);
        hash_text(&h, buf_slice(&text));
        buf_done(&text);
    }
    for (size_t i = 0; i < r->n_labels; i++)
        hash_text(&h, r->labels[i]);
    hash_text(&h, r->name);
    return h;
}

static struct err *read_rule(struct reading *r, const struct yaml_node *list, size_t i)
{
    struct err *e;

    *r->rule = (struct agg_rule){.interval_ms = 60000, .name = SLICE("$name:$output")};
    if ((e = rule_list_read(&r->list, list, i, read_key, r)))
        return e;
    if (!r->rule->staleness_ms)
        r->rule->staleness_ms = ORR_MAX(r->rule->interval_ms, DEFAULT_STALENESS_MS);
    if ((e = check_rule(r, list->items[i]->line)))
        return e;
    r->rule->id = hash_rule(r->rule);
    return NULL;
}

struct err *agg_rules_parse(const char *name, const struct yaml_node *node, struct arena *a,
                            struct agg_rules *ret)
{
    struct agg_rule *rules;
    struct agg_rules all = {0};
    struct rule_list list = {name, "aggregation_rules", a};
    struct err *e = rule_list_check(&list, node, AGG_RULE_MAX_RULES);

    *ret = all;
    if (e || yaml_is_null(node))
        return e;
    rules = arena_array(a, struct agg_rule, node->n);
    all.ptr = rules;
    for (size_t i = 0; !e && i < node->n; i++) {
        struct reading r = {list, &rules[i]};

        all.n++;
        e = read_rule(&r, node, i);
        if (!e && agg_rules_by_id(&(struct agg_rules){rules, i}, rules[i].id))
            e = rule_list_bad(&list, node->items[i]->line, "the same rule twice");
    }
    if (e)
        agg_rules_done(&all);
    else
        *ret = all;
    return e;
}

void agg_rules_done(struct agg_rules *r)
{
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; k < r->ptr[i].n_match; k++)
            matchers_done(r->ptr[i].match[k]);
    *r = (struct agg_rules){0};
}

/* ---- using ---- */

const struct agg_rule *agg_rules_find(const struct agg_rules *r, struct labels ls)
{
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; k < r->ptr[i].n_match; k++)
            if (matchers_match(r->ptr[i].match[k], ls))
                return &r->ptr[i];
    return NULL;
}

const struct agg_rule *agg_rules_by_id(const struct agg_rules *r, uint64_t id)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->ptr[i].id == id)
            return &r->ptr[i];
    return NULL;
}

static bool is_listed(const struct agg_rule *r, struct slice name)
{
    return bsearch(&name, r->labels, r->n_labels, sizeof(name), by_bytes) != NULL;
}

struct labels agg_rule_group(const struct agg_rule *r, struct arena *a, struct labels ls)
{
    struct label *out = arena_array(a, struct label, ls.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++)
        if (slice_eq_cstr(ls.ptr[i].name, LABEL_NAME) ||
            is_listed(r, ls.ptr[i].name) != r->is_without)
            out[n++] = ls.ptr[i];
    return (struct labels){out, n};
}

static struct slice output_name(const struct agg_rule *r, struct arena *a, struct slice metric,
                                enum agg_output o)
{
    struct slice out = slice_cstr(output_names[o]), left = r->name, ret;
    struct buf b = {0};
    ptrdiff_t at;

    while ((at = slice_find_byte(left, '$', 0)) >= 0) {
        buf_slice_append(&b, slice_sub(left, 0, (size_t)at));
        left = slice_from(left, (size_t)at);
        if (slice_has_prefix(left, SLICE("$name"))) {
            buf_slice_append(&b, metric);
            left = slice_from(left, 5);
        } else if (slice_has_prefix(left, SLICE("$output"))) {
            buf_slice_append(&b, out);
            left = slice_from(left, 7);
        } else {
            buf_byte(&b, '$');
            left = slice_from(left, 1);
        }
    }
    buf_slice_append(&b, left);
    ret = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return ret;
}

struct labels agg_rule_output(const struct agg_rule *r, struct arena *a, struct labels group,
                              enum agg_output o)
{
    struct label *out = arena_array(a, struct label, group.n + 1);

    if (group.n)
        memcpy(out, group.ptr, group.n * sizeof(*out));
    for (size_t i = 0; i < group.n; i++)
        if (slice_eq_cstr(out[i].name, LABEL_NAME))
            out[i].value = output_name(r, a, out[i].value, o);
    return (struct labels){out, group.n};
}

struct hash128 agg_rule_place(const struct agg_rule *r, struct arena *a, struct labels group)
{
    return labels_fingerprint(
        agg_rule_output(r, a, group, (enum agg_output)__builtin_ctz(r->outputs)));
}
