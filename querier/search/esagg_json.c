/* Printing. */
#include <math.h>
#include <stdlib.h>

#include "querier/search/esagg_internal.h"

struct printing {
    struct esagg_run *run;
    struct buf *out;
    bool has_types;
};

static struct err *put_states(struct printing *p, const struct esagg_specs *specs,
                              struct esagg_state *states, bool *is_first);

static struct err *too_many(void)
{
    return err_new(ERR_LIMIT,
                   "Trying to create too many buckets. Must be less than or equal to: [%d]",
                   ESAGG_MAX_BUCKETS);
}

static struct err *count_bucket(struct printing *p)
{
    if (++p->run->n_out > ESAGG_MAX_BUCKETS)
        return too_many();
    return buf_ok(p->out) ? NULL
                          : err_new(ERR_LIMIT,
                                    "the answer is larger than %zu bytes "
                                    "(querier.max-response)",
                                    p->out->max_bytes);
}

static void put_number(struct buf *out, double v)
{
    if (!isfinite(v)) {
        buf_str(out, "null");
        return;
    }
    buf_f64_text(out, v);
    if (v == trunc(v))
        buf_str(out, ".0"); /* a double, as Elasticsearch writes it */
}

static void put_date(struct buf *out, const struct esagg_spec *s, double ms)
{
    buf_byte(out, '"');
    esdate_format(out, (int64_t)ms * ESDATE_MS, s->format, s->zone);
    buf_byte(out, '"');
}

/* ,"doc_count":3,… and the brace */
static struct err *put_inside(struct printing *p, const struct esagg_spec *s,
                              struct esagg_bucket *b, bool is_first)
{
    struct err *e = count_bucket(p);

    if (e)
        return e;
    buf_printf(p->out, "%s\"doc_count\":%llu", is_first ? "" : ",", (unsigned long long)b->docs);
    is_first = false;
    e = put_states(p, &s->children, b->children, &is_first);
    buf_byte(p->out, '}');
    return e;
}

/* ---- terms ---- */

static double metric_of(const struct esagg_state *s, struct slice part)
{
    double avg = s->count ? (double)(s->sum / (long double)s->count) : -INFINITY;

    switch (s->spec->kind) {
    case ESAGG_MIN:
        return s->min;
    case ESAGG_MAX:
        return s->max;
    case ESAGG_AVG:
        return avg;
    case ESAGG_SUM:
        return (double)s->sum;
    case ESAGG_CARDINALITY:
        return (double)distinct_count(&s->distinct);
    case ESAGG_STATS:
        if (slice_eq_cstr(part, "min"))
            return s->min;
        if (slice_eq_cstr(part, "max"))
            return s->max;
        if (slice_eq_cstr(part, "avg"))
            return avg;
        if (slice_eq_cstr(part, "sum"))
            return (double)s->sum;
        return (double)s->count;
    default:
        return (double)s->count;
    }
}

static const struct esagg_state *child_of(const struct esagg_spec *s, const struct esagg_bucket *b,
                                          struct slice name)
{
    for (size_t i = 0; i < s->children.n; i++)
        if (slice_eq(s->children.ptr[i].name, name))
            return &b->children[i];
    return NULL;
}

static int cmp_double(double a, double b)
{
    return (a > b) - (a < b);
}

static int cmp_keys(const struct esagg_bucket *a, const struct esagg_bucket *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->kind == ESVALUE_NUMBER)
        return cmp_double(a->number, b->number);
    return slice_cmp(a->key, b->key);
}

static int cmp_by(const struct esagg_spec *s, const struct esagg_order *o,
                  const struct esagg_bucket *a, const struct esagg_bucket *b)
{
    const struct esagg_state *x, *y;
    int c = 0;

    if (o->by == ESAGG_BY_COUNT)
        c = (a->docs > b->docs) - (a->docs < b->docs);
    else if (o->by == ESAGG_BY_KEY)
        c = s->kind == ESAGG_TERMS ? cmp_keys(a, b) : cmp_double(a->number, b->number);
    else if ((x = child_of(s, a, o->metric)) && (y = child_of(s, b, o->metric)))
        c = cmp_double(metric_of(x, o->part), metric_of(y, o->part));
    return o->is_ascending ? c : -c;
}

static int by_orders(const void *a, const void *b, void *arg)
{
    const struct esagg_spec *s = arg;
    const struct esagg_bucket *x = *(struct esagg_bucket *const *)a,
                              *y = *(struct esagg_bucket *const *)b;
    static const struct esagg_order most = {.by = ESAGG_BY_COUNT};
    int c = 0;

    for (size_t i = 0; i < s->n_orders && !c; i++)
        c = cmp_by(s, &s->orders[i], x, y);
    if (!s->n_orders && s->kind == ESAGG_TERMS)
        c = cmp_by(s, &most, x, y);
    if (c)
        return c;
    return s->kind == ESAGG_TERMS ? cmp_keys(x, y) : cmp_double(x->number, y->number);
}

static void sort_buckets(struct esagg_state *s)
{
    if (s->n)
        qsort_r(s->buckets, s->n, sizeof(struct esagg_bucket *), by_orders,
                (void *)(uintptr_t)s->spec);
}

static void put_term_key(struct printing *p, const struct esagg_spec *s,
                         const struct esagg_bucket *b)
{
    struct buf *out = p->out;

    buf_str(out, "{\"key\":");
    if (b->kind == ESVALUE_TEXT) {
        buf_json_str(out, b->key);
    } else if (b->kind == ESVALUE_BOOL) {
        buf_printf(out, "%d,\"key_as_string\":", slice_eq_cstr(b->key, "true"));
        buf_json_str(out, b->key);
    } else {
        buf_slice_append(out, b->key);
        if (slice_eq_cstr(s->field, ESQUERY_TIME)) {
            buf_str(out, ",\"key_as_string\":");
            put_date(out, s, b->number);
        }
    }
}

static struct err *put_terms(struct printing *p, struct esagg_state *s)
{
    uint64_t other = 0;
    size_t n = 0;
    struct err *e = NULL;

    sort_buckets(s);
    for (size_t i = 0; i < s->n; i++) {
        if (s->buckets[i]->docs < s->spec->min_doc_count)
            continue;
        if (n == s->spec->size)
            other += s->buckets[i]->docs;
        else
            s->buckets[n++] = s->buckets[i];
    }
    buf_printf(p->out,
               "\"doc_count_error_upper_bound\":0,\"sum_other_doc_count\":%llu,\"buckets\":[",
               (unsigned long long)other);
    for (size_t i = 0; i < n && !e; i++) {
        if (i)
            buf_byte(p->out, ',');
        put_term_key(p, s->spec, s->buckets[i]);
        e = put_inside(p, s->spec, s->buckets[i], false);
    }
    buf_byte(p->out, ']');
    return e;
}

/* ---- histograms ---- */

static double bound_key(const struct esagg_spec *s, double bound)
{
    if (s->kind == ESAGG_DATE_HISTOGRAM)
        return esagg_date_key(s, (int64_t)bound * ESDATE_MS);
    return esagg_number_key(s, bound);
}

/* Empty buckets between the first and the last. */
static struct err *fill(struct printing *p, struct esagg_state *s)
{
    const struct esagg_spec *spec = s->spec;
    double first = INFINITY, last = -INFINITY;
    size_t n = p->run->n_out;

    for (size_t i = 0; i < s->n; i++) {
        first = fmin(first, s->buckets[i]->number);
        last = fmax(last, s->buckets[i]->number);
    }
    if (spec->has_bounds) {
        first = fmin(first, bound_key(spec, spec->bound_min));
        last = fmax(last, bound_key(spec, spec->bound_max));
    }
    for (double key = first; key <= last; key = esagg_next_key(spec, key)) {
        if (++n > ESAGG_MAX_BUCKETS)
            return too_many();
        (void)esagg_bucket_at(s, key);
        if (arena_over(p->run->arena)) /* each level may fill as many */
            return err_new(ERR_LIMIT, "the buckets need more than the query's %zu bytes of memory",
                           arena_limit(p->run->arena));
    }
    return NULL;
}

static struct err *put_histogram(struct printing *p, struct esagg_state *s)
{
    bool is_date = s->spec->kind == ESAGG_DATE_HISTOGRAM, is_first = true;
    struct err *e = s->spec->min_doc_count ? NULL : fill(p, s);

    if (e)
        return e;
    sort_buckets(s);
    buf_str(p->out, "\"buckets\":[");
    for (size_t i = 0; i < s->n && !e; i++) {
        struct esagg_bucket *b = s->buckets[i];

        if (b->docs < s->spec->min_doc_count)
            continue;
        buf_str(p->out, is_first ? "{" : ",{");
        is_first = false;
        if (is_date) {
            buf_str(p->out, "\"key_as_string\":");
            put_date(p->out, s->spec, b->number);
            buf_printf(p->out, ",\"key\":%lld", (long long)b->number);
        } else {
            buf_str(p->out, "\"key\":");
            put_number(p->out, b->number);
        }
        e = put_inside(p, s->spec, b, false);
    }
    buf_byte(p->out, ']');
    return e;
}

/* ---- filters ---- */

static struct err *put_filters(struct printing *p, struct esagg_state *s)
{
    const struct esagg_spec *spec = s->spec;
    bool has_names = spec->filter_names[0].ptr;
    size_t n = spec->n_filters + (spec->other_name.ptr ? 1 : 0);
    struct err *e = NULL;

    buf_str(p->out, has_names ? "\"buckets\":{" : "\"buckets\":[");
    for (size_t i = 0; i < n && !e; i++) {
        if (i)
            buf_byte(p->out, ',');
        if (has_names) {
            buf_json_str(p->out, i < spec->n_filters ? spec->filter_names[i] : spec->other_name);
            buf_byte(p->out, ':');
        }
        buf_byte(p->out, '{');
        e = put_inside(p, spec, esagg_bucket_at(s, (double)i), true);
    }
    buf_byte(p->out, has_names ? '}' : ']');
    return e;
}

/* ---- numbers ---- */

static void put_value(struct printing *p, const struct esagg_state *s, const char *name, double v,
                      bool is_date)
{
    bool is_none = !s->count;

    buf_printf(p->out, "\"%s\":", name);
    if (is_none)
        buf_str(p->out, "null");
    else
        put_number(p->out, v);
    if (is_none || !is_date)
        return;
    buf_printf(p->out, ",\"%s_as_string\":", name);
    put_date(p->out, s->spec, v);
}

static void put_metric(struct printing *p, const struct esagg_state *s)
{
    bool is_date = slice_eq_cstr(s->spec->field, ESQUERY_TIME);
    double avg = s->count ? (double)(s->sum / (long double)s->count) : 0;

    switch (s->spec->kind) {
    case ESAGG_VALUE_COUNT:
        buf_printf(p->out, "\"value\":%llu", (unsigned long long)s->count);
        break;
    case ESAGG_CARDINALITY:
        buf_printf(p->out, "\"value\":%llu", (unsigned long long)distinct_count(&s->distinct));
        break;
    case ESAGG_SUM:
        buf_str(p->out, "\"value\":");
        put_number(p->out, (double)s->sum);
        break;
    case ESAGG_STATS:
        buf_printf(p->out, "\"count\":%llu,", (unsigned long long)s->count);
        put_value(p, s, "min", s->min, is_date);
        buf_byte(p->out, ',');
        put_value(p, s, "max", s->max, is_date);
        buf_byte(p->out, ',');
        put_value(p, s, "avg", avg, is_date);
        buf_str(p->out, ",\"sum\":");
        put_number(p->out, (double)s->sum);
        break;
    default:
        put_value(p, s, "value",
                  s->spec->kind == ESAGG_MIN   ? s->min
                  : s->spec->kind == ESAGG_MAX ? s->max
                                               : avg,
                  is_date);
        break;
    }
}

/* ---- all ---- */

/* Elasticsearch's names of what it has made. */
static const char *type_of(const struct esagg_state *s)
{
    if (s->spec->kind != ESAGG_TERMS)
        return esagg_kind_name(s->spec->kind);
    if (!s->n || s->buckets[0]->kind == ESVALUE_TEXT)
        return "sterms";
    for (size_t i = 0; i < s->n; i++)
        if (s->buckets[i]->number != trunc(s->buckets[i]->number))
            return "dterms";
    return "lterms";
}

static struct err *put_state(struct printing *p, struct esagg_state *s)
{
    struct err *e = NULL;

    if (p->has_types) {
        struct buf name = {0};

        buf_str(&name, type_of(s));
        buf_byte(&name, '#');
        buf_slice_append(&name, s->spec->name);
        buf_json_str(p->out, buf_slice(&name));
        buf_done(&name);
    } else {
        buf_json_str(p->out, s->spec->name);
    }
    buf_str(p->out, ":{");
    switch (s->spec->kind) {
    case ESAGG_TERMS:
        e = put_terms(p, s);
        break;
    case ESAGG_DATE_HISTOGRAM:
    case ESAGG_HISTOGRAM:
        e = put_histogram(p, s);
        break;
    case ESAGG_FILTERS:
        e = put_filters(p, s);
        break;
    case ESAGG_FILTER:
    case ESAGG_MISSING:
        return put_inside(p, s->spec, esagg_bucket_at(s, 0), true);
    default:
        put_metric(p, s);
        break;
    }
    buf_byte(p->out, '}');
    return e;
}

static struct err *put_states(struct printing *p, const struct esagg_specs *specs,
                              struct esagg_state *states, bool *is_first)
{
    struct err *e = NULL;

    for (size_t i = 0; i < specs->n && !e; i++) {
        if (!*is_first)
            buf_byte(p->out, ',');
        *is_first = false;
        e = put_state(p, &states[i]);
    }
    return e;
}

struct err *esagg_run_json(struct esagg_run *r, struct buf *out, bool has_types)
{
    struct printing p = {r, out, has_types};
    bool is_first = true;
    struct err *e;

    buf_byte(out, '{');
    e = put_states(&p, r->specs, r->top, &is_first);
    buf_byte(out, '}');
    return e;
}
