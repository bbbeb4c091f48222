#include "common/model/tail_rule.h"

#include <math.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/num.h"
#include "common/model/rule_list.h"

#define MAX_MS 86400000000ll

static const char *const type_names[] = {
#define X(sym, name) name,
    TAIL_POLICIES(X)
#undef X
};

struct reading {
    struct rule_list list;
    struct tail_rules *all;
    unsigned n_policies;
};

/* One policy while it is read. */
struct policy_reading {
    struct reading *r;
    struct tail_policy *p;
    unsigned depth;
    const struct yaml_node *settings; /* what stands below its type's name; NULL: nothing */
    struct slice settings_name;
    bool has_type;
    bool uses_regex;
    /* COMPOSITE */
    double max_rate;
    const struct yaml_node *order, *allocation;
};

static struct err *bad(const struct policy_reading *pr, unsigned line, const char *what)
{
    return rule_list_bad(&pr->r->list, line, what);
}

/* ---- values of settings ---- */

typedef struct err *setting_fn(struct policy_reading *pr, const struct yaml_node *v, unsigned line);

static struct err *number(const struct policy_reading *pr, const struct yaml_node *v, unsigned line,
                          double min, double max, double *ret)
{
    if (yaml_is_null(v) || v->kind != YAML_KIND_SCALAR || !num_parse(v->text, ret) ||
        !(*ret >= min && *ret <= max))
        return bad(pr, line, "not a number, or too large or small");
    return NULL;
}

static struct err *truth(const struct policy_reading *pr, const struct yaml_node *v, unsigned line,
                         bool *ret)
{
    if (yaml_is_null(v) || v->kind != YAML_KIND_SCALAR || !yaml_bool(v, ret))
        return bad(pr, line, "not true or false");
    return NULL;
}

static struct err *whole(const struct policy_reading *pr, const struct yaml_node *v, unsigned line,
                         int64_t unit, int64_t *ret)
{
    double d;
    struct err *e = number(pr, v, line, 0, (double)MAX_MS, &d);

    if (!e && d != floor(d))
        return bad(pr, line, "not a whole number");
    if (!e)
        *ret = (int64_t)d * unit;
    return e;
}

static struct err *text(const struct policy_reading *pr, const struct yaml_node *v, unsigned line,
                        struct slice *ret)
{
    if (yaml_is_null(v) || v->kind != YAML_KIND_SCALAR)
        return bad(pr, line, "not a text");
    *ret = arena_dup(pr->r->list.a, v->text);
    return NULL;
}

static struct err *threshold_ms(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    return whole(pr, v, line, NS_PER_MS, &pr->p->min);
}

static struct err *upper_threshold_ms(struct policy_reading *pr, const struct yaml_node *v,
                                      unsigned line)
{
    return whole(pr, v, line, NS_PER_MS, &pr->p->max);
}

static struct err *min_spans(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    return whole(pr, v, line, 1, &pr->p->min);
}

static struct err *max_spans(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    return whole(pr, v, line, 1, &pr->p->max);
}

static struct err *status_codes(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    static const char *const names[] = {"UNSET", "OK", "ERROR"};

    if (yaml_is_null(v) || v->kind != YAML_KIND_SEQ)
        return bad(pr, line, "status_codes is a list");
    for (size_t i = 0; i < v->n; i++) {
        unsigned k = 0;

        while (k < ORR_COUNT(names) && !(v->items[i] && v->items[i]->kind == YAML_KIND_SCALAR &&
                                         slice_eq_cstr(v->items[i]->text, names[k])))
            k++;
        if (k == ORR_COUNT(names))
            return bad(pr, line, "a status code is ERROR, OK or UNSET");
        pr->p->statuses |= 1u << k;
    }
    return NULL;
}

static struct err *key(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    return text(pr, v, line, &pr->p->key);
}

static struct err *values(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    struct slice *texts;
    struct err *e = NULL;

    if (yaml_is_null(v) || v->kind != YAML_KIND_SEQ || v->n > TAIL_RULE_MAX_VALUES)
        return bad(pr, line, "values is a list of at most 1000 texts");
    texts = arena_array(pr->r->list.a, struct slice, v->n);
    for (size_t i = 0; !e && i < v->n; i++)
        e = text(pr, v->items[i], line, &texts[i]);
    pr->p->values = texts;
    pr->p->n_values = v->n;
    return e;
}

static struct err *regex_matching(struct policy_reading *pr, const struct yaml_node *v,
                                  unsigned line)
{
    return truth(pr, v, line, &pr->uses_regex);
}

static struct err *ignored(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    int64_t none;

    return whole(pr, v, line, 1, &none); /* a cache's size: there is none here */
}

static struct err *invert_match(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    return truth(pr, v, line, &pr->p->inverts);
}

static struct err *min_value(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    return number(pr, v, line, -INFINITY, INFINITY, &pr->p->min_value);
}

static struct err *max_value(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    return number(pr, v, line, -INFINITY, INFINITY, &pr->p->max_value);
}

static struct err *bool_value(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    return truth(pr, v, line, &pr->p->value);
}

static struct err *percentage(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    double percent = 0;
    struct err *e = number(pr, v, line, 0, 1e9, &percent);

    pr->p->bound = percent >= 100 ? UINT64_MAX : (uint64_t)(percent / 100 * 18446744073709551616.0);
    return e;
}

static struct err *hash_salt(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    struct slice salt;
    struct err *e = text(pr, v, line, &salt);

    if (!e)
        pr->p->salt = salt.len ? hash_xxh64(salt, 0) : 0;
    return e;
}

static struct err *spans_per_second(struct policy_reading *pr, const struct yaml_node *v,
                                    unsigned line)
{
    return number(pr, v, line, 0, 1e12, &pr->p->rate);
}

static struct err *max_total(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    return number(pr, v, line, 0, 1e12, &pr->max_rate);
}

static struct err *policy_order(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    if (yaml_is_null(v) || v->kind != YAML_KIND_SEQ)
        return bad(pr, line, "policy_order is a list of names");
    pr->order = v;
    return NULL;
}

static struct err *rate_allocation(struct policy_reading *pr, const struct yaml_node *v,
                                   unsigned line)
{
    if (yaml_is_null(v) || v->kind != YAML_KIND_SEQ)
        return bad(pr, line, "rate_allocation is a list");
    pr->allocation = v;
    return NULL;
}

static struct err *sub_policies(struct policy_reading *pr, const struct yaml_node *v,
                                unsigned line);

static const struct setting {
    enum tail_type type;
    const char *name;
    setting_fn *read;
    bool is_needed;
} settings[] = {
    {TAIL_LATENCY, "threshold_ms", threshold_ms, true},
    {TAIL_LATENCY, "upper_threshold_ms", upper_threshold_ms, false},
    {TAIL_STATUS, "status_codes", status_codes, true},
    {TAIL_STRING, "key", key, true},
    {TAIL_STRING, "values", values, true},
    {TAIL_STRING, "enabled_regex_matching", regex_matching, false},
    {TAIL_STRING, "cache_max_size", ignored, false},
    {TAIL_STRING, "invert_match", invert_match, false},
    {TAIL_NUMBER, "key", key, true},
    {TAIL_NUMBER, "min_value", min_value, false},
    {TAIL_NUMBER, "max_value", max_value, false},
    {TAIL_NUMBER, "invert_match", invert_match, false},
    {TAIL_BOOL, "key", key, true},
    {TAIL_BOOL, "value", bool_value, true},
    {TAIL_BOOL, "invert_match", invert_match, false},
    {TAIL_SPANS, "min_spans", min_spans, true},
    {TAIL_SPANS, "max_spans", max_spans, false},
    {TAIL_PROBABILITY, "sampling_percentage", percentage, true},
    {TAIL_PROBABILITY, "hash_salt", hash_salt, false},
    {TAIL_RATE, "spans_per_second", spans_per_second, true},
    {TAIL_AND, "and_sub_policy", sub_policies, true},
    {TAIL_OR, "or_sub_policy", sub_policies, true},
    {TAIL_NOT, "not_sub_policy", sub_policies, true},
    {TAIL_DROP, "drop_sub_policy", sub_policies, true},
    {TAIL_COMPOSITE, "max_total_spans_per_second", max_total, true},
    {TAIL_COMPOSITE, "policy_order", policy_order, true},
    {TAIL_COMPOSITE, "composite_sub_policy", sub_policies, true},
    {TAIL_COMPOSITE, "rate_allocation", rate_allocation, false},
};

/* ---- one policy ---- */

static struct err *read_settings(struct policy_reading *pr, unsigned line)
{
    const struct yaml_node *node = pr->settings;
    size_t n = yaml_is_null(node) ? 0 : node->n;

    if (!yaml_is_null(node) && node->kind != YAML_KIND_MAP)
        return bad(pr, line, "settings of a policy are a mapping");
    if (pr->settings && !slice_eq_cstr(pr->settings_name, type_names[pr->p->type]))
        return bad(pr, line, "settings are those of another type");
    for (size_t k = 0; k < ORR_COUNT(settings); k++)
        if (settings[k].type == pr->p->type && settings[k].is_needed &&
            (!n || !yaml_get(node, settings[k].name)))
            return err_new(ERR_INVALID, "%s:%u: %s: %s needs %s", pr->r->list.file, line,
                           pr->r->list.name, type_names[pr->p->type], settings[k].name);
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        struct err *e;

        while (k < ORR_COUNT(settings) && (settings[k].type != pr->p->type ||
                                           !slice_eq_cstr(node->keys[i].text, settings[k].name)))
            k++;
        if (k == ORR_COUNT(settings))
            return rule_list_unknown(&pr->r->list, &node->keys[i]);
        if ((e = settings[k].read(pr, node->items[i], node->keys[i].line)))
            return e;
    }
    return NULL;
}

static struct err *read_key(void *arg, const struct yaml_key *k, const struct yaml_node *v)
{
    struct policy_reading *pr = arg;

    if (slice_eq_cstr(k->text, "name")) {
        struct err *e = text(pr, v, k->line, &pr->p->name);

        if (!e && (!pr->p->name.len || pr->p->name.len > TAIL_RULE_MAX_NAME))
            return bad(pr, k->line, "a name has 1 to 128 bytes");
        return e;
    }
    if (slice_eq_cstr(k->text, "type")) {
        for (unsigned i = 0; i < TAIL_TYPE_COUNT; i++)
            if (v && v->kind == YAML_KIND_SCALAR && slice_eq_cstr(v->text, type_names[i])) {
                pr->p->type = (enum tail_type)i;
                pr->has_type = true;
                return NULL;
            }
        return bad(pr, k->line, "unknown type of policy");
    }
    for (unsigned i = 0; i < TAIL_TYPE_COUNT; i++)
        if (slice_eq_cstr(k->text, type_names[i])) {
            if (pr->settings)
                return bad(pr, k->line, "settings of two types");
            pr->settings = v;
            pr->settings_name = k->text;
            return NULL;
        }
    return rule_list_unknown(&pr->r->list, k);
}

static struct err *compile(struct policy_reading *pr, unsigned line)
{
    struct tail_policy *p = pr->p;
    struct re **res = arena_array(pr->r->list.a, struct re *, p->n_values);

    p->regexes = res;
    for (size_t i = 0; i < p->n_values; i++) {
        struct err *e = re_compile(p->values[i], 0, &res[i]);

        if (e)
            return err_wrap(e, "%s:%u: %s", pr->r->list.file, line, pr->r->list.name);
    }
    return NULL;
}

static struct err *number_leaf(struct policy_reading *pr, unsigned line)
{
    struct tail_rules *all = pr->r->all;

    if (all->n_leaves == TAIL_RULE_MAX_LEAVES)
        return bad(pr, line, "more than 64 policies that look at spans");
    pr->p->leaf = (uint8_t)all->n_leaves;
    all->leaves[all->n_leaves++] = pr->p;
    return NULL;
}

static struct tail_policy *sub_named(const struct policy_reading *pr, const struct yaml_node *name)
{
    for (size_t i = 0; name && name->kind == YAML_KIND_SCALAR && i < pr->p->n_subs; i++)
        if (slice_eq(pr->p->subs[i].name, name->text))
            return (struct tail_policy *)&pr->p->subs[i];
    return NULL;
}

static struct err *allocate(struct policy_reading *pr, unsigned line)
{
    for (size_t i = 0; pr->allocation && i < pr->allocation->n; i++) {
        const struct yaml_node *item = pr->allocation->items[i];
        struct tail_policy *sub = sub_named(pr, yaml_get(item, "policy"));
        double percent;
        struct err *e;

        if (!sub)
            return bad(pr, line, "rate_allocation names a policy that is not below composite");
        if ((e = number(pr, yaml_get(item, "percent"), line, 0, 100, &percent)))
            return e;
        sub->rate = pr->max_rate * percent / 100;
    }
    return NULL;
}

/* Rates of sub-policies: those that are given one, and even parts for all where there is none given. */
static struct err *finish_composite(struct policy_reading *pr, unsigned line)
{
    struct tail_policy *p = pr->p, *sorted;
    struct err *e;

    if (pr->order->n != p->n_subs)
        return bad(pr, line, "policy_order is not of all policies below composite");
    for (size_t i = 0; i < p->n_subs; i++) {
        struct tail_policy *sub = (struct tail_policy *)&p->subs[i];

        if (sub->type == TAIL_RATE)
            return bad(pr, line, "rate_limiting below composite: its part of the rate says that");
        sub->rate = pr->allocation ? 0 : pr->max_rate / (double)p->n_subs;
        sub->bucket = (uint16_t)pr->r->all->n_buckets++;
    }
    if ((e = allocate(pr, line)))
        return e;
    sorted = arena_array(pr->r->list.a, struct tail_policy, p->n_subs);
    for (size_t i = 0; i < p->n_subs; i++) {
        const struct tail_policy *sub = sub_named(pr, pr->order->items[i]);

        for (size_t k = 0; sub && k < i; k++)
            if (slice_eq(sorted[k].name, sub->name))
                sub = NULL;
        if (!sub)
            return bad(pr, line, "policy_order is not of all policies below composite");
        sorted[i] = *sub;
        for (unsigned k = 0; k < pr->r->all->n_leaves; k++)
            if (pr->r->all->leaves[k] == sub)
                pr->r->all->leaves[k] = &sorted[i];
    }
    p->subs = sorted;
    return NULL;
}

static bool has_rate(const struct tail_policy *p)
{
    for (size_t i = 0; i < p->n_subs; i++)
        if (has_rate(&p->subs[i]))
            return true;
    return p->type == TAIL_RATE;
}

static struct err *finish(struct policy_reading *pr, unsigned line)
{
    struct err *e;

    switch (pr->p->type) {
    case TAIL_STRING:
        if (pr->uses_regex && (e = compile(pr, line)))
            return e;
        return number_leaf(pr, line);
    case TAIL_STATUS:
    case TAIL_NUMBER:
    case TAIL_BOOL:
        return number_leaf(pr, line);
    case TAIL_RATE:
        pr->p->bucket = (uint16_t)pr->r->all->n_buckets++;
        return NULL;
    case TAIL_NOT:
        return has_rate(pr->p) ? bad(pr, line, "rate_limiting below not or drop") : NULL;
    case TAIL_DROP:
        return pr->depth         ? bad(pr, line, "drop stands at the top alone")
               : has_rate(pr->p) ? bad(pr, line, "rate_limiting below not or drop")
                                 : NULL;
    case TAIL_COMPOSITE:
        return pr->depth ? bad(pr, line, "composite stands at the top alone")
                         : finish_composite(pr, line);
    default:
        return NULL;
    }
}

static struct err *read_policies(struct reading *r, const struct yaml_node *node, unsigned depth,
                                 const struct tail_policy **ret, size_t *ret_n)
{
    struct err *e = rule_list_check(&r->list, node, TAIL_RULE_MAX_POLICIES);
    size_t n = e || yaml_is_null(node) ? 0 : node->n;
    struct tail_policy *ptr = arena_array(r->list.a, struct tail_policy, n);

    *ret = ptr;
    for (size_t i = 0; !e && i < n; i++) {
        struct policy_reading pr = {.r = r, .p = &ptr[i], .depth = depth};
        unsigned line = node->items[i] ? node->items[i]->line : node->line;

        ptr[i] = (struct tail_policy){.min_value = -INFINITY, .max_value = INFINITY};
        *ret_n = i + 1;
        if (++r->n_policies > TAIL_RULE_MAX_POLICIES)
            e = rule_list_bad(&r->list, line, "too many policies");
        else if (!(e = rule_list_read(&r->list, node, i, read_key, &pr)) && !ptr[i].name.len)
            e = bad(&pr, line, "a policy without name");
        else if (!e && !pr.has_type)
            e = bad(&pr, line, "a policy without type");
        else if (!e && !(e = read_settings(&pr, line)))
            e = finish(&pr, line);
        for (size_t k = 0; !e && k < i; k++)
            if (slice_eq(ptr[k].name, ptr[i].name))
                e = bad(&pr, line, "two policies of one name");
    }
    return e;
}

static struct err *sub_policies(struct policy_reading *pr, const struct yaml_node *v, unsigned line)
{
    struct err *e;

    if (pr->depth + 1 >= TAIL_RULE_MAX_DEPTH)
        return bad(pr, line, "policies more than 4 deep");
    if (!(e = read_policies(pr->r, v, pr->depth + 1, &pr->p->subs, &pr->p->n_subs)) &&
        !pr->p->n_subs)
        return bad(pr, line, "no policies below it");
    return e;
}

/* ---- all ---- */

struct err *tail_rules_parse(const char *file, const struct yaml_node *node, struct arena *a,
                             struct tail_rules *ret)
{
    struct tail_rules all = {0};
    struct reading r = {.list = {file, "tail_sampling", a}, .all = &all};
    struct err *e = NULL;

    if (yaml_is_null(node)) {
        *ret = all;
        return NULL;
    }
    if (node->kind != YAML_KIND_MAP)
        return rule_list_bad(&r.list, node->line, "is a mapping with policies");
    for (size_t i = 0; i < node->n; i++)
        if (!slice_eq_cstr(node->keys[i].text, "policies"))
            return rule_list_unknown(&r.list, &node->keys[i]);
    e = read_policies(&r, yaml_get(node, "policies"), 0, &all.ptr, &all.n);
    if (e)
        tail_rules_done(&all);
    else
        *ret = all;
    return e;
}

static void free_regexes(const struct tail_policy *ps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; ps[i].regexes && k < ps[i].n_values; k++)
            re_free(ps[i].regexes[k]);
        free_regexes(ps[i].subs, ps[i].n_subs);
    }
}

void tail_rules_done(struct tail_rules *r)
{
    free_regexes(r->ptr, r->n);
    *r = (struct tail_rules){0};
}
