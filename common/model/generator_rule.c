#include "common/model/generator_rule.h"

#include "common/base/clock.h"
#include "common/base/conf.h"
#include "common/base/num.h"
#include "common/model/rule_list.h"

#define DEFAULT_MAX_SERIES 100000
#define DEFAULT_MAX_ITEMS 10000

/* ---- values; at: where one goes ---- */

static bool is_scalar(const struct yaml_node *v)
{
    return v && v->kind == YAML_KIND_SCALAR;
}

/* Or nothing. */
static bool is_list(const struct yaml_node *v)
{
    return yaml_is_null(v) || v->kind == YAML_KIND_SEQ;
}

static struct err *read_bool(const struct rule_list *l, const struct yaml_node *v, unsigned line,
                             void *at)
{
    return is_scalar(v) && yaml_bool(v, at) ? NULL : rule_list_bad(l, line, "not true or false");
}

static struct err *read_count(const struct rule_list *l, const struct yaml_node *v, unsigned line,
                              void *at)
{
    uint64_t *ret = at;

    if (!is_scalar(v) || !slice_to_u64(v->text, ret) || *ret > 1000000000)
        return rule_list_bad(l, line, "not a whole number to 1000000000");
    return NULL;
}

static struct err *read_duration(const struct rule_list *l, const struct yaml_node *v,
                                 unsigned line, int64_t min_s, int64_t max_s, int64_t *ret)
{
    struct err *e =
        is_scalar(v) ? conf_parse_duration(v->text, ret) : err_new(ERR_INVALID, "not a duration");

    if (e)
        return err_wrap(e, "%s:%u: %s", l->file, line, l->name);
    if (*ret < min_s * NS_PER_S || *ret > max_s * NS_PER_S)
        return rule_list_bad(l, line, "too long or too short");
    return NULL;
}

static struct err *read_text(const struct rule_list *l, const struct yaml_node *v, unsigned line,
                             void *at)
{
    if (!is_scalar(v))
        return rule_list_bad(l, line, "not a text");
    *(struct slice *)at = arena_dup(l->a, v->text);
    return NULL;
}

static struct err *read_list(const struct rule_list *l, const struct yaml_node *v, unsigned line,
                             void *at)
{
    size_t n = yaml_is_null(v) ? 0 : v->n;
    struct slice *texts = arena_array(l->a, struct slice, n);

    if (!is_list(v) || n > GENERATOR_MAX_DIMENSIONS)
        return rule_list_bad(l, line, "not a list, or of more than 40");
    for (size_t i = 0; i < n; i++) {
        struct err *e = read_text(l, v->items[i], line, &texts[i]);

        if (e)
            return e;
        if (!texts[i].len)
            return rule_list_bad(l, line, "an empty name");
    }
    *(struct generator_list *)at = (struct generator_list){texts, n};
    return NULL;
}

static struct err *read_buckets(const struct rule_list *l, const struct yaml_node *v, unsigned line,
                                void *at)
{
    double *ptr;

    if (yaml_is_null(v) || v->kind != YAML_KIND_SEQ || !v->n || v->n > GENERATOR_MAX_BUCKETS)
        return rule_list_bad(l, line, "histogram_buckets is a list of 1 to 64 numbers");
    ptr = arena_array(l->a, double, v->n);
    for (size_t i = 0; i < v->n; i++)
        if (!is_scalar(v->items[i]) || !num_parse(v->items[i]->text, &ptr[i]) ||
            !(ptr[i] < 1e300) || !(i == 0 ? ptr[i] > -1e300 : ptr[i] > ptr[i - 1]))
            return rule_list_bad(l, line, "histogram_buckets are numbers, ascending");
    *(struct generator_buckets *)at = (struct generator_buckets){ptr, v->n};
    return NULL;
}

/* Each key of a mapping, by a table. */
typedef struct err *key_fn(const struct rule_list *l, const struct yaml_node *v, unsigned line,
                           void *at);
struct key {
    const char *name;
    key_fn *read;
    size_t offset; /* of what it reads, in the rules */
};
#define KEY(name, read, member)                                                                    \
    {                                                                                              \
        name, read, offsetof(struct generator_rules, member)                                       \
    }

static struct err *read_keys(const struct rule_list *l, const struct yaml_node *node, unsigned line,
                             const struct key *keys, size_t n_keys, struct generator_rules *rules)
{
    if (yaml_is_null(node))
        return NULL;
    if (node->kind != YAML_KIND_MAP)
        return rule_list_bad(l, line, "is a mapping");
    for (size_t i = 0; i < node->n; i++) {
        size_t k = 0;
        struct err *e;

        while (k < n_keys && !slice_eq_cstr(node->keys[i].text, keys[k].name))
            k++;
        if (k == n_keys)
            return rule_list_unknown(l, &node->keys[i]);
        if ((e = keys[k].read(l, node->items[i], node->keys[i].line,
                              (char *)rules + keys[k].offset)))
            return e;
    }
    return NULL;
}

/* ---- filters ---- */

static void scope_of(struct slice key, struct generator_match *m)
{
    static const struct {
        const char *prefix;
        enum generator_scope scope;
        bool is_whole;
    } scopes[] = {{"kind", GENERATOR_KIND, true},
                  {"status", GENERATOR_STATUS, true},
                  {"name", GENERATOR_NAME, true},
                  {"span.", GENERATOR_SPAN, false},
                  {"resource.", GENERATOR_RESOURCE, false}};

    m->scope = GENERATOR_ANY;
    m->key = key;
    for (size_t i = 0; i < ORR_COUNT(scopes); i++) {
        struct slice prefix = slice_cstr(scopes[i].prefix);

        if (scopes[i].is_whole ? slice_eq(key, prefix) : slice_has_prefix(key, prefix)) {
            m->scope = scopes[i].scope;
            m->key = slice_from(key, prefix.len);
        }
    }
}

static struct err *read_match(const struct rule_list *l, const struct yaml_node *node,
                              unsigned line, bool is_regex, struct generator_match *m)
{
    struct slice key, pattern;
    struct err *e;

    if (!node || node->kind != YAML_KIND_MAP || node->n != 2 || !yaml_get(node, "key") ||
        !yaml_get(node, "value"))
        return rule_list_bad(l, line, "an attribute of a filter has key and value");
    if ((e = read_text(l, yaml_get(node, "key"), line, &key)) ||
        (e = read_text(l, yaml_get(node, "value"), line, is_regex ? &pattern : &m->value)))
        return e;
    scope_of(key, m);
    if (is_regex && (e = re_compile(pattern, RE_ANCHORED, &m->re)))
        return err_wrap(e, "%s:%u: %s", l->file, line, l->name);
    return NULL;
}

static struct err *read_matches(const struct rule_list *l, const struct yaml_node *node,
                                unsigned line, struct generator_matches *ret)
{
    const struct yaml_node *type = yaml_get(node, "match_type"),
                           *list = yaml_get(node, "attributes");
    bool is_regex = is_scalar(type) && slice_eq_cstr(type->text, "regex");
    struct generator_match *ptr;

    if (!is_regex && !(is_scalar(type) && slice_eq_cstr(type->text, "strict")))
        return rule_list_bad(l, line, "match_type is strict or regex");
    if (yaml_is_null(list) || list->kind != YAML_KIND_SEQ || list->n > GENERATOR_MAX_MATCHES ||
        node->n != 2)
        return rule_list_bad(l, line,
                             "a filter has match_type and attributes, a list of at most 50");
    ret->is_set = true;
    ret->ptr = ptr = arena_array(l->a, struct generator_match, list->n);
    for (size_t i = 0; i < list->n; i++) {
        struct err *e;

        ret->n = i + 1;
        if ((e = read_match(l, list->items[i], line, is_regex, &ptr[i])))
            return e;
    }
    return NULL;
}

static struct err *read_filters(const struct rule_list *l, const struct yaml_node *v, unsigned line,
                                void *at)
{
    struct generator_rules *rules = at;
    size_t n = yaml_is_null(v) ? 0 : v->n;
    struct generator_filter *fs = arena_array(l->a, struct generator_filter, n);

    if (!is_list(v) || n > GENERATOR_MAX_POLICIES)
        return rule_list_bad(l, line, "filter_policies is a list of at most 50");
    rules->spans.filters = fs;
    for (size_t i = 0; i < n; i++) {
        const struct yaml_node *node = v->items[i];

        rules->spans.n_filters = i + 1;
        if (!node || node->kind != YAML_KIND_MAP)
            return rule_list_bad(l, line, "a filter policy is a mapping");
        for (size_t k = 0; k < node->n; k++) {
            struct slice name = node->keys[k].text;
            struct generator_matches *to = slice_eq_cstr(name, "include")       ? &fs[i].include
                                           : slice_eq_cstr(name, "include_any") ? &fs[i].include_any
                                           : slice_eq_cstr(name, "exclude")     ? &fs[i].exclude
                                                                                : NULL;
            struct err *e;

            if (!to)
                return rule_list_unknown(l, &node->keys[k]);
            if ((e = read_matches(l, node->items[k], node->keys[k].line, to)))
                return e;
        }
    }
    return NULL;
}

/* ---- dimensions that would be labels which the metrics have ---- */

/* Whether an attribute becomes this label: what is no letter or digit becomes "_". */
static bool becomes(struct slice attribute, const char *label)
{
    size_t i = 0;

    for (; i < attribute.len && label[i]; i++) {
        uint8_t c = attribute.ptr[i];
        bool is_plain = (uint8_t)((c | 0x20) - 'a') < 26 || (c >= '0' && c <= '9');

        if ((is_plain ? c : '_') != (uint8_t)label[i])
            return false;
    }
    return i == attribute.len && !label[i];
}

static struct err *check_dimension(const struct rule_list *l, unsigned line, struct slice name,
                                   const char *const *taken, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (becomes(name, taken[i]))
            return rule_list_bad(
                l, line,
                arena_printf(l->a, "dimension %.*s would be the label %s, which these metrics have",
                             SLICE_ARG(name), taken[i]));
    return NULL;
}

/* Intrinsic ones have others' place, as Tempo has it (spanmetrics.c). */
static struct err *check_span_dimensions(const struct rule_list *l, unsigned line,
                                         const struct generator_rules *r)
{
    static const char *const taken[] = {GENERATOR_LABELS};
    struct err *e = NULL;

    for (size_t i = 0; i < r->spans.dimensions.n && !e; i++)
        e = check_dimension(l, line, r->spans.dimensions.ptr[i], taken, ORR_COUNT(taken));
    for (size_t i = 0; i < r->spans.n_mappings && !e; i++)
        e = check_dimension(l, line, r->spans.mappings[i].name, taken, ORR_COUNT(taken));
    return e;
}

static struct err *check_graph_dimensions(const struct rule_list *l, unsigned line,
                                          const struct generator_rules *r)
{
    static const char *const taken[] = {GENERATOR_LABELS, GENERATOR_EDGE_LABELS};
    struct err *e = NULL;

    for (size_t i = 0; i < r->graph.dimensions.n && !r->graph.has_prefix && !e; i++)
        e = check_dimension(l, line, r->graph.dimensions.ptr[i], taken, ORR_COUNT(taken));
    return e;
}

/* ---- span_metrics ---- */

static struct err *read_mappings(const struct rule_list *l, const struct yaml_node *v,
                                 unsigned line, void *at)
{
    struct generator_rules *rules = at;
    size_t n = yaml_is_null(v) ? 0 : v->n;
    struct generator_mapping *ms = arena_array(l->a, struct generator_mapping, n);

    if (!is_list(v) || n > GENERATOR_MAX_DIMENSIONS)
        return rule_list_bad(l, line, "dimension_mappings is a list of at most 40");
    for (size_t i = 0; i < n; i++) {
        const struct yaml_node *join = yaml_get(v->items[i], "join");
        struct err *e;

        ms[i].join = SLICE_EMPTY;
        if ((e = read_text(l, yaml_get(v->items[i], "name"), line, &ms[i].name)) ||
            (e = read_list(l, yaml_get(v->items[i], "source_labels"), line, &ms[i].sources)) ||
            (join && (e = read_text(l, join, line, &ms[i].join))))
            return e;
        if (!ms[i].name.len || !ms[i].sources.n || v->items[i]->n > 3)
            return rule_list_bad(l, line, "a mapping has name, source_labels and join");
    }
    rules->spans.mappings = ms;
    rules->spans.n_mappings = n;
    return NULL;
}

static struct err *read_intrinsics(const struct rule_list *l, const struct yaml_node *v,
                                   unsigned line, void *rules)
{
    static const struct key keys[] = {
#define X(member, name) KEY(name, read_bool, spans.member),
        GENERATOR_INTRINSICS(X)
#undef X
    };

    return read_keys(l, v, line, keys, ORR_COUNT(keys), rules);
}

static struct err *read_span_metrics(const struct rule_list *l, const struct yaml_node *v,
                                     unsigned line, void *rules)
{
    static const struct key keys[] = {
        KEY("histogram_buckets", read_buckets, spans.buckets),
        KEY("dimensions", read_list, spans.dimensions),
        {"intrinsic_dimensions", read_intrinsics, 0},
        {"dimension_mappings", read_mappings, 0},
        {"filter_policies", read_filters, 0},
        KEY("span_multiplier_key", read_text, spans.multiplier_key),
    };
    struct err *e = read_keys(l, v, line, keys, ORR_COUNT(keys), rules);

    return e ? e : check_span_dimensions(l, line, rules);
}

/* ---- service_graphs ---- */

static struct err *read_wait(const struct rule_list *l, const struct yaml_node *v, unsigned line,
                             void *at)
{
    return read_duration(l, v, line, 1, 600, at);
}

static struct err *read_service_graphs(const struct rule_list *l, const struct yaml_node *v,
                                       unsigned line, void *rules)
{
    static const struct key keys[] = {
        KEY("histogram_buckets", read_buckets, graph.buckets),
        KEY("dimensions", read_list, graph.dimensions),
        KEY("peer_attributes", read_list, graph.peers),
        KEY("enable_client_server_prefix", read_bool, graph.has_prefix),
        KEY("enable_messaging_system_latency_histogram", read_bool, graph.has_messaging_latency),
        KEY("enable_virtual_node_label", read_bool, graph.has_virtual_node_label),
        KEY("wait", read_wait, graph.wait_ns),
        KEY("max_items", read_count, graph.max_items),
    };
    struct err *e = read_keys(l, v, line, keys, ORR_COUNT(keys), rules);

    return e ? e : check_graph_dimensions(l, line, rules);
}

/* ---- all ---- */

static struct err *read_processors(const struct rule_list *l, const struct yaml_node *v,
                                   unsigned line, void *at)
{
    struct generator_rules *rules = at;
    size_t n = yaml_is_null(v) ? 0 : v->n;

    if (!is_list(v))
        return rule_list_bad(l, line, "processors is a list");
    for (size_t i = 0; i < n; i++) {
        if (is_scalar(v->items[i]) && slice_eq_cstr(v->items[i]->text, "span-metrics"))
            rules->has_spans = true;
        else if (is_scalar(v->items[i]) && slice_eq_cstr(v->items[i]->text, "service-graphs"))
            rules->has_graph = true;
        else
            return rule_list_bad(l, line, "a processor is span-metrics or service-graphs");
    }
    return NULL;
}

static struct err *read_interval(const struct rule_list *l, const struct yaml_node *v,
                                 unsigned line, void *at)
{
    return read_duration(l, v, line, 5, 300, at);
}

static struct err *read_native(const struct rule_list *l, const struct yaml_node *v, unsigned line,
                               void *at)
{
    struct generator_rules *rules = at;
    bool is_both = is_scalar(v) && slice_eq_cstr(v->text, "both");

    rules->has_native = is_both || (is_scalar(v) && slice_eq_cstr(v->text, "native"));
    rules->has_classic = is_both || (is_scalar(v) && slice_eq_cstr(v->text, "classic"));
    if (rules->has_native || rules->has_classic)
        return NULL;
    return rule_list_bad(l, line, "generate_native_histograms is classic, native or both");
}

static struct err *read_processor(const struct rule_list *l, const struct yaml_node *v,
                                  unsigned line, void *rules)
{
    static const struct key keys[] = {{"span_metrics", read_span_metrics, 0},
                                      {"service_graphs", read_service_graphs, 0}};

    return read_keys(l, v, line, keys, ORR_COUNT(keys), rules);
}

static void set_defaults(struct generator_rules *r)
{
    static const double graph[] = {0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8};
    static const double spans[] = {0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128,
                                   0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384};
    static const struct slice peers[] = {SLICE_INIT("peer.service"), SLICE_INIT("db.name"),
                                         SLICE_INIT("db.system")};

    *r = (struct generator_rules){
        .has_classic = true, .interval_ns = 15 * NS_PER_S, .max_series = DEFAULT_MAX_SERIES};
    r->spans.buckets = (struct generator_buckets){spans, ORR_COUNT(spans)};
    r->spans.has_service = r->spans.has_span_name = r->spans.has_span_kind = true;
    r->spans.has_status_code = true;
    r->spans.multiplier_key = SLICE_EMPTY;
    r->graph.buckets = (struct generator_buckets){graph, ORR_COUNT(graph)};
    r->graph.peers = (struct generator_list){peers, ORR_COUNT(peers)};
    r->graph.wait_ns = 10 * NS_PER_S;
    r->graph.max_items = DEFAULT_MAX_ITEMS;
}

struct err *generator_rules_parse(const char *file, const struct yaml_node *node, struct arena *a,
                                  struct generator_rules *ret)
{
    static const struct key keys[] = {
        {"processors", read_processors, 0},
        KEY("collection_interval", read_interval, interval_ns),
        KEY("max_active_series", read_count, max_series),
        {"generate_native_histograms", read_native, 0},
        {"processor", read_processor, 0},
    };
    struct rule_list l = {file, "metrics_generator", a};
    struct generator_rules all;
    struct err *e;

    set_defaults(&all);
    if ((e = read_keys(&l, node, node ? node->line : 0, keys, ORR_COUNT(keys), &all)))
        generator_rules_done(&all);
    else
        *ret = all;
    return e;
}

static void matches_done(const struct generator_matches *m)
{
    for (size_t i = 0; i < m->n; i++)
        re_free(m->ptr[i].re);
}

void generator_rules_done(struct generator_rules *r)
{
    for (size_t i = 0; i < r->spans.n_filters; i++) {
        matches_done(&r->spans.filters[i].include);
        matches_done(&r->spans.filters[i].include_any);
        matches_done(&r->spans.filters[i].exclude);
    }
    *r = (struct generator_rules){0};
}
