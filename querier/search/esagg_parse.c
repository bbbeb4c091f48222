/* Aggregations in JSON to specs. */
#include <math.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "querier/search/esagg.h"

/* A date, two intervals and an offset together are still a time. */
#define MAX_INTERVAL_NS ((int64_t)1 << 60)

static const char *const kind_names[] = {
#define X(sym, name) [sym] = name,
    ESAGG_KINDS(X)
#undef X
};

const char *esagg_kind_name(enum esagg_kind kind)
{
    return kind_names[kind];
}

static struct err *malformed(const struct esagg_spec *s, const char *what)
{
    return err_new(ERR_INVALID, "aggregation [%.*s] of kind [%s]: %s", SLICE_ARG(s->name),
                   kind_names[s->kind], what);
}

static struct err *unknown(const struct esagg_spec *s, struct slice name)
{
    return err_new(ERR_UNSUPPORTED, "aggregation [%.*s] of kind [%s]: [%.*s] is not supported",
                   SLICE_ARG(s->name), kind_names[s->kind], SLICE_ARG(slice_sub(name, 0, 100)));
}

static bool is_bucket(enum esagg_kind k)
{
    return k <= ESAGG_MISSING;
}

static struct err *text_of(struct esagg_parser *p, const struct esagg_spec *s, struct jsonval v,
                           struct slice *ret)
{
    *ret = esquery_scalar(p->queries->arena, v);
    return ret->ptr ? NULL : malformed(s, "a text or number is expected");
}

static struct err *count_of(struct esagg_parser *p, const struct esagg_spec *s, struct jsonval v,
                            uint64_t *ret)
{
    struct slice text;
    struct err *e = text_of(p, s, v, &text);

    if (e)
        return e;
    return slice_to_u64(text, ret) ? NULL : malformed(s, "a whole number is expected");
}

static struct err *number_of(struct esagg_parser *p, const struct esagg_spec *s, struct jsonval v,
                             double *ret)
{
    long double number;
    struct slice text;
    struct err *e = text_of(p, s, v, &text);

    if (e)
        return e;
    if (!esliteral_number(text, &number))
        return malformed(s, "a number is expected");
    *ret = (double)number;
    return NULL;
}

/* ---- histograms ---- */

/* 90s, 5m, 1h, 1d, 10ms */
static bool fixed_interval(struct slice text, int64_t *ret_ns)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {{"ms", NS_PER_MS},          {"s", NS_PER_S},         {"m", 60 * NS_PER_S},
                 {"h", 3600 * NS_PER_S},     {"d", 86400 * NS_PER_S}, {"micros", 1000},
                 {"w", 7 * 86400 * NS_PER_S}};
    size_t n = 0;
    uint64_t v;
    int64_t ns;

    while (n < text.len && text.ptr[n] >= '0' && text.ptr[n] <= '9')
        n++;
    if (!slice_to_u64(slice_sub(text, 0, n), &v) || v == 0 || v > 1000000000)
        return false;
    for (size_t i = 0; i < ORR_COUNT(units); i++)
        if (slice_eq_cstr(slice_from(text, n), units[i].unit) &&
            !__builtin_mul_overflow((int64_t)v, units[i].ns, &ns) && ns >= NS_PER_MS &&
            ns < MAX_INTERVAL_NS) {
            *ret_ns = ns;
            return true;
        }
    return false;
}

static char calendar_unit(struct slice text)
{
    static const struct {
        const char *name;
        char unit;
    } units[] = {{"1m", 'm'}, {"minute", 'm'}, {"1h", 'h'}, {"hour", 'h'},
                 {"1d", 'd'}, {"day", 'd'},    {"1w", 'w'}, {"week", 'w'},
                 {"1M", 'M'}, {"month", 'M'},  {"1q", 'q'}, {"quarter", 'q'},
                 {"1y", 'y'}, {"year", 'y'},   {"1s", 's'}, {"second", 's'}};

    for (size_t i = 0; i < ORR_COUNT(units); i++)
        if (slice_eq_cstr(text, units[i].name))
            return units[i].unit;
    return 0;
}

static struct err *interval_of(struct esagg_parser *p, struct esagg_spec *s, struct slice name,
                               struct jsonval v)
{
    struct slice text;
    struct err *e = text_of(p, s, v, &text);

    if (e)
        return e;
    if (slice_eq_cstr(name, "calendar_interval"))
        s->unit = calendar_unit(text);
    else if (!fixed_interval(text, &s->interval_ns) && slice_eq_cstr(name, "interval"))
        s->unit = calendar_unit(text); /* of before Elasticsearch 8: either */
    return s->unit || s->interval_ns ? NULL : malformed(s, "the interval is none");
}

static struct err *date_bound(struct esagg_parser *p, const struct esagg_spec *s, struct jsonval v,
                              double *ret_ms)
{
    struct esdate_opts o = {.now_ns = p->queries->now_ns};
    struct slice text;
    struct esdate d;
    struct err *e;

    if ((e = text_of(p, s, v, &text)) || (e = esdate_parse(text, &o, &d)))
        return e;
    *ret_ms = (double)esdate_floor_ms(d.ns);
    return NULL;
}

static struct err *bounds_of(struct esagg_parser *p, struct esagg_spec *s, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct err *e = NULL;
    struct jsonval item;
    struct slice name;
    unsigned n = 0;

    while (!e && jsonval_next(&it, &name, &item)) {
        double *to = slice_eq_cstr(name, "min")   ? &s->bound_min
                     : slice_eq_cstr(name, "max") ? &s->bound_max
                                                  : NULL;

        if (!to)
            return unknown(s, name);
        n++;
        e = s->kind == ESAGG_DATE_HISTOGRAM ? date_bound(p, s, item, to)
                                            : number_of(p, s, item, to);
    }
    if (!e && n != 2)
        e = malformed(s, "extended_bounds has min and max");
    if (!e && s->bound_min > s->bound_max)
        e = malformed(s, "extended_bounds: min is above max");
    s->has_bounds = true;
    return e;
}

static struct err *offset_of(struct esagg_parser *p, struct esagg_spec *s, struct jsonval v)
{
    bool is_negative;
    struct slice text;
    struct err *e;

    if (s->kind == ESAGG_HISTOGRAM)
        return number_of(p, s, v, &s->offset);
    if ((e = text_of(p, s, v, &text)))
        return e;
    is_negative = text.len && text.ptr[0] == '-';
    if (text.len && (text.ptr[0] == '-' || text.ptr[0] == '+'))
        text = slice_from(text, 1);
    if (slice_eq_cstr(text, "0"))
        return NULL;
    if (!fixed_interval(text, &s->offset_ns))
        return malformed(s, "the offset is none");
    if (is_negative)
        s->offset_ns = -s->offset_ns;
    return NULL;
}

static struct err *zone_of(struct esagg_parser *p, struct esagg_spec *s, struct jsonval v)
{
    struct slice text;
    struct err *e;

    if ((e = text_of(p, s, v, &text)) || s->zone)
        return e;
    if ((e = esdate_zone(text, &p->zones[p->n_zones])))
        return e;
    s->zone = p->zones[p->n_zones++];
    return NULL;
}

/* ---- orders ---- */

static struct err *order_of(struct esagg_parser *p, struct esagg_spec *s, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice name, text;
    struct err *e;

    while (jsonval_next(&it, &name, &item)) {
        struct esagg_order *o = &s->orders[s->n_orders];
        ptrdiff_t dot;

        if (jsonval_kind(v) == JSONVAL_LIST) {
            if ((e = order_of(p, s, item)))
                return e;
            continue;
        }
        if (s->n_orders == ORR_COUNT(s->orders))
            return malformed(s, "more than 4 orders");
        if ((e = text_of(p, s, item, &text)))
            return e;
        o->is_ascending = slice_eq_cstr(text, "asc");
        if (!o->is_ascending && !slice_eq_cstr(text, "desc"))
            return malformed(s, "an order is asc or desc");
        o->by = slice_eq_cstr(name, "_count")                                 ? ESAGG_BY_COUNT
                : slice_eq_cstr(name, "_key") || slice_eq_cstr(name, "_term") ? ESAGG_BY_KEY
                                                                              : ESAGG_BY_METRIC;
        dot = slice_find_byte(name, '.', 0);
        o->metric = arena_dup(p->queries->arena, dot < 0 ? name : slice_sub(name, 0, (size_t)dot));
        o->part =
            dot < 0 ? SLICE_EMPTY : arena_dup(p->queries->arena, slice_from(name, (size_t)dot + 1));
        s->n_orders++;
    }
    return NULL;
}

static struct err *check_orders(const struct esagg_spec *s)
{
    for (size_t i = 0; i < s->n_orders; i++) {
        const struct esagg_order *o = &s->orders[i];
        bool is_there = o->by != ESAGG_BY_METRIC;

        if (!is_there && s->kind != ESAGG_TERMS)
            return malformed(s, "it is ordered by _key or _count");
        for (size_t k = 0; k < s->children.n && !is_there; k++)
            is_there =
                slice_eq(s->children.ptr[k].name, o->metric) && !is_bucket(s->children.ptr[k].kind);
        if (!is_there)
            return err_new(ERR_INVALID,
                           "aggregation [%.*s]: no metric [%.*s] in it to be ordered by",
                           SLICE_ARG(s->name), SLICE_ARG(o->metric));
    }
    return NULL;
}

/* ---- filters ---- */

static struct err *filters_of(struct esagg_parser *p, struct esagg_spec *s, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    size_t n = jsonval_count(v);
    struct arena *a = p->queries->arena;
    struct jsonval item;
    struct slice name;
    struct err *e;

    if (n > ESAGG_MAX_FILTERS)
        return err_new(ERR_LIMIT, "aggregation [%.*s] has more than %d filters", SLICE_ARG(s->name),
                       ESAGG_MAX_FILTERS);
    s->filters = arena_array(a, struct esquery *, n + 1);
    s->filter_names = arena_array(a, struct slice, n + 1);
    s->n_filters = 0; /* a key that comes twice: what came first does not count */
    while (jsonval_next(&it, &name, &item)) {
        if (jsonval_kind(v) == JSONVAL_OBJECT)
            s->filter_names[s->n_filters] = arena_dup(a, name);
        if ((e = esquery_parse(p->queries, item, &s->filters[s->n_filters])))
            return e;
        s->n_filters++;
    }
    return NULL;
}

static struct err *filters_param(struct esagg_parser *p, struct esagg_spec *s, struct slice name,
                                 struct jsonval v)
{
    struct slice text;
    struct err *e;

    if (slice_eq_cstr(name, "filters"))
        return filters_of(p, s, v);
    if (!slice_eq_cstr(name, "other_bucket") && !slice_eq_cstr(name, "other_bucket_key"))
        return unknown(s, name);
    if ((e = text_of(p, s, v, &text)))
        return e;
    if (slice_eq_cstr(name, "other_bucket_key"))
        s->other_name = text;
    else if (slice_eq_cstr(text, "true") && !s->other_name.ptr)
        s->other_name = SLICE("_other_");
    return NULL;
}

/* ---- all kinds ---- */

static bool is_histogram(const struct esagg_spec *s)
{
    return s->kind == ESAGG_DATE_HISTOGRAM || s->kind == ESAGG_HISTOGRAM;
}

/* How others spread their work. */
static bool is_harmless(struct slice name)
{
    static const char *const names[] = {
        "shard_size",          "show_term_doc_count_error", "execution_hint", "collect_mode",
        "precision_threshold", "shard_min_doc_count",       "value_type"};

    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (slice_eq_cstr(name, names[i]))
            return true;
    return false;
}

static struct err *histogram_param(struct esagg_parser *p, struct esagg_spec *s, struct slice name,
                                   struct jsonval v)
{
    bool is_date = s->kind == ESAGG_DATE_HISTOGRAM;

    if (slice_eq_cstr(name, "extended_bounds"))
        return bounds_of(p, s, v);
    if (slice_eq_cstr(name, "offset"))
        return offset_of(p, s, v);
    if (is_date && (slice_eq_cstr(name, "fixed_interval") ||
                    slice_eq_cstr(name, "calendar_interval") || slice_eq_cstr(name, "interval")))
        return interval_of(p, s, name, v);
    if (!is_date && slice_eq_cstr(name, "interval"))
        return number_of(p, s, v, &s->interval);
    if (is_date && slice_eq_cstr(name, "time_zone"))
        return zone_of(p, s, v);
    return unknown(s, name);
}

static struct err *param(struct esagg_parser *p, struct esagg_spec *s, struct slice name,
                         struct jsonval v)
{
    struct slice text;
    struct err *e;

    if (s->kind == ESAGG_FILTERS)
        return filters_param(p, s, name, v);
    if (is_harmless(name))
        return NULL;
    if (slice_eq_cstr(name, "keyed") && jsonval_kind(v) == JSONVAL_BOOL && !jsonval_bool(v))
        return NULL;
    if (slice_eq_cstr(name, "field"))
        return text_of(p, s, v, &s->field);
    if (slice_eq_cstr(name, "missing") && s->kind != ESAGG_MISSING)
        return text_of(p, s, v, &s->missing);
    if (slice_eq_cstr(name, "format")) {
        if ((e = text_of(p, s, v, &text)))
            return e;
        if (s->kind != ESAGG_DATE_HISTOGRAM && !slice_eq_cstr(s->field, ESQUERY_TIME))
            return unknown(s, name);
        s->format = text;
        return esdate_check_format(text);
    }
    if (!is_bucket(s->kind) || s->kind == ESAGG_MISSING)
        return unknown(s, name);
    if (slice_eq_cstr(name, "min_doc_count"))
        return count_of(p, s, v, &s->min_doc_count);
    if (slice_eq_cstr(name, "order"))
        return order_of(p, s, v);
    if (slice_eq_cstr(name, "size") && s->kind == ESAGG_TERMS)
        return count_of(p, s, v, &s->size);
    return is_histogram(s) ? histogram_param(p, s, name, v) : unknown(s, name);
}

static struct err *check(const struct esagg_spec *s)
{
    if (!s->field.len && s->kind != ESAGG_FILTER && s->kind != ESAGG_FILTERS)
        return malformed(s, "no field (scripts are not supported)");
    if (s->field.len > ESQUERY_MAX_FIELD)
        return malformed(s, "its field has too long a name");
    if (s->kind == ESAGG_DATE_HISTOGRAM && !s->unit && !s->interval_ns)
        return malformed(s, "no fixed_interval or calendar_interval");
    if (s->kind == ESAGG_HISTOGRAM && !(s->interval > 0))
        return malformed(s, "the interval must be above 0");
    if (s->kind == ESAGG_FILTERS && !s->n_filters)
        return malformed(s, "no filters");
    if (s->kind == ESAGG_TERMS && (s->size == 0 || s->size > ESAGG_MAX_BUCKETS))
        return err_new(ERR_LIMIT, "aggregation [%.*s]: size must be 1 to %d", SLICE_ARG(s->name),
                       ESAGG_MAX_BUCKETS);
    return check_orders(s);
}

static struct err *parse_params(struct esagg_parser *p, struct esagg_spec *s, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct err *e = NULL;
    struct jsonval item;
    struct slice name;

    s->size = ESAGG_DEF_TERMS;
    s->min_doc_count = s->kind == ESAGG_TERMS;
    if (s->kind == ESAGG_FILTER) {
        s->filters = arena_array(p->queries->arena, struct esquery *, 1);
        s->n_filters = 1;
        return esquery_parse(p->queries, v, &s->filters[0]);
    }
    if (jsonval_kind(v) != JSONVAL_OBJECT)
        return malformed(s, "an object is expected");
    /* The field first: what a format may be depends on it. */
    while (!e && jsonval_next(&it, &name, &item))
        if (slice_eq_cstr(name, "field"))
            e = param(p, s, name, item);
    for (it = jsonval_iter(v); !e && jsonval_next(&it, &name, &item);)
        e = param(p, s, name, item);
    return e;
}

static struct err *kind_of(struct slice name, struct esagg_spec *s)
{
    for (int i = 0; i < ESAGG_KIND_COUNT; i++)
        if (slice_eq_cstr(name, kind_names[i])) {
            s->kind = (enum esagg_kind)i;
            return NULL;
        }
    return err_new(ERR_UNSUPPORTED, "Unknown aggregation type [%.*s]: not supported",
                   SLICE_ARG(slice_sub(name, 0, 100)));
}

static struct err *parse_one(struct esagg_parser *p, struct jsonval v, struct esagg_spec *s)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct err *e = NULL;
    bool has_kind = false;
    struct jsonval item;
    struct slice name;

    if (jsonval_kind(v) != JSONVAL_OBJECT)
        return err_new(ERR_INVALID, "aggregation [%.*s]: an object is expected",
                       SLICE_ARG(s->name));
    while (!e && jsonval_next(&it, &name, &item)) {
        if (slice_eq_cstr(name, "aggs") || slice_eq_cstr(name, "aggregations")) {
            e = esagg_parse(p, item, &s->children);
        } else if (slice_eq_cstr(name, "meta")) {
            e = err_new(ERR_UNSUPPORTED, "aggregation [%.*s]: meta is not supported",
                        SLICE_ARG(s->name));
        } else if (has_kind) {
            e = err_new(ERR_INVALID, "aggregation [%.*s]: found two kinds of aggregation in it",
                        SLICE_ARG(s->name));
        } else {
            has_kind = true;
            if (!(e = kind_of(name, s)))
                e = parse_params(p, s, item);
        }
    }
    if (e)
        return e;
    if (!has_kind)
        return err_new(ERR_INVALID, "aggregation [%.*s] has no kind", SLICE_ARG(s->name));
    if (s->children.n && !is_bucket(s->kind))
        return malformed(s, "it cannot have aggregations in it");
    return check(s);
}

struct err *esagg_parse(struct esagg_parser *p, struct jsonval v, struct esagg_specs *ret)
{
    struct jsonval_iter it = jsonval_iter(v);
    size_t n = jsonval_count(v);
    struct err *e = NULL;
    struct jsonval item;
    struct slice name;

    if (jsonval_kind(v) != JSONVAL_OBJECT)
        return err_new(ERR_INVALID, "aggs: an object is expected");
    p->n_specs += n;
    if (p->n_specs > ESAGG_MAX_SPECS || ++p->depth > ESAGG_MAX_DEPTH)
        return err_new(ERR_LIMIT, "more than %d aggregations, or deeper than %d", ESAGG_MAX_SPECS,
                       ESAGG_MAX_DEPTH);
    ret->ptr = arena_array(p->queries->arena, struct esagg_spec, n + 1);
    ret->n = 0;
    while (!e && jsonval_next(&it, &name, &item)) {
        struct esagg_spec *s = &ret->ptr[ret->n++];

        s->name = arena_dup(p->queries->arena, name);
        e = name.len > ESQUERY_MAX_FIELD
                ? err_new(ERR_LIMIT, "an aggregation's name is longer than %d bytes",
                          ESQUERY_MAX_FIELD)
                : parse_one(p, item, s);
    }
    p->depth--;
    return e;
}

void esagg_parser_done(struct esagg_parser *p)
{
    for (size_t i = 0; i < p->n_zones; i++)
        gozone_free(p->zones[i]);
    p->n_zones = 0;
}
