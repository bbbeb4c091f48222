#include "querier/traces/tracemetric.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "querier/traces/tracefield.h"
#include "querier/traces/tracemetric_internal.h"
#include "querier/traces/tracepipe.h"

static size_t point_count(const struct tracemetric_range *r)
{
    return (size_t)((uint64_t)(r->end_ns - r->start_ns) / (uint64_t)r->step_ns);
}

/* The point that a time belongs to; SIZE_MAX outside of the range. */
static size_t point_of(const struct tracemetric_range *r, int64_t ns)
{
    if (ns <= r->start_ns || ns > r->end_ns)
        return SIZE_MAX;
    return (size_t)((uint64_t)(ns - r->start_ns - 1) / (uint64_t)r->step_ns);
}

int64_t tracemetric_ms(const struct tracemetric_range *range, size_t i)
{
    return (range->start_ns + (int64_t)(i + 1) * range->step_ns) / 1000000;
}

/* Every leaf of the arithmetic has its own series. */
static void add_leaves(struct tracemetric *m, const struct traceql_math *math)
{
    struct tracemetric_leaf *leaf;

    if (math->kind == TRACEQL_MATH) {
        add_leaves(m, math->lhs);
        add_leaves(m, math->rhs);
    } else if (math->kind == TRACEQL_LEAF) {
        leaf = vec_add(&m->leaves);
        leaf->math = math;
        if (math->leaf.aggregation.op == TRACEQL_COMPARE)
            leaf->compare = tracecompare_new(m->n_points);
    }
}

struct err *tracemetric_new(const struct traceql *q, const struct tracemetric_range *range,
                            struct tracemetric **ret)
{
    struct tracemetric *m;

    if (!q->metrics)
        return err_new(ERR_INVALID, "the query makes no metrics: it needs one of rate(), "
                                    "count_over_time() and the like");
    if (range->step_ns <= 0 || range->end_ns <= range->start_ns)
        return err_new(ERR_INVALID, "the range needs a step above 0 and an end after its start");
    if (point_count(range) > TRACEMETRIC_MAX_POINTS)
        return err_new(ERR_LIMIT, "the range has %zu points, %d are allowed: ask for a larger step",
                       point_count(range), TRACEMETRIC_MAX_POINTS);
    m = mem_new(struct tracemetric);
    m->query = q;
    m->range = *range;
    m->n_points = point_count(range);
    m->arena = arena_new(0);
    add_leaves(m, q->metrics);
    *ret = m;
    return NULL;
}

bool tracemetric_asks_all(const struct traceql *q)
{
    const struct traceql_math *m = q->metrics; /* it stands alone */

    return m && m->kind == TRACEQL_LEAF && m->leaf.aggregation.op == TRACEQL_COMPARE;
}

void tracemetric_free(struct tracemetric *m)
{
    if (!m)
        return;
    VEC_FOREACH (leaf, &m->leaves) {
        map_done(&leaf->by_key);
        vec_done(&leaf->series);
        vec_done(&leaf->exemplars);
        tracecompare_free(leaf->compare);
    }
    vec_done(&m->leaves);
    buf_done(&m->key);
    arena_free(m->arena);
    mem_free(m);
}

void tracemetric_put_key(struct buf *key, const struct traceql_static *v)
{
    buf_byte(key, (uint8_t)v->type);
    switch (v->type) {
    case TRACEQL_NIL:
        break;
    case TRACEQL_STRING:
        buf_lstr(key, v->v.s);
        break;
    case TRACEQL_BOOL:
        buf_byte(key, v->v.b);
        break;
    case TRACEQL_FLOAT:
        buf_f64le(key, v->v.f);
        break;
    default:
        buf_u64le(key, (uint64_t)v->v.i);
    }
}

static bool has_buckets(enum traceql_metric op)
{
    return op == TRACEQL_HISTOGRAM_OVER_TIME || op == TRACEQL_QUANTILE_OVER_TIME;
}

static double *new_points(struct tracemetric *m, double value)
{
    double *points = arena_array(m->arena, double, m->n_points);

    for (size_t i = 0; i < m->n_points; i++)
        points[i] = value;
    return points;
}

/* The series of the group that row is in, and of the bucket. NULL past the limit. */
static struct tracemetric_state *series_of(struct tracemetric *m, struct tracemetric_leaf *leaf,
                                           struct tracepipe *pipe, uint32_t row, int bucket)
{
    const struct traceql_attributes *by = &leaf->math->leaf.aggregation.by;
    enum traceql_metric op = leaf->math->leaf.aggregation.op;
    struct tracemetric_state *s;
    void **slot;

    buf_reset(&m->key);
    buf_u32le(&m->key, (uint32_t)bucket);
    for (size_t i = 0; i < by->n; i++) {
        struct traceql_static v = tracepipe_attribute(pipe, &by->ptr[i], row);

        tracemetric_put_key(&m->key, &v);
    }
    slot = map_slot(&leaf->by_key, buf_slice(&m->key));
    if (*slot)
        return *slot;
    if (m->range.max_series && m->n_series >= m->range.max_series)
        return NULL;
    m->n_series++;
    s = arena_new_of(m->arena, struct tracemetric_state);
    s->bucket = bucket;
    s->hash = hash_xxh64(buf_slice(&m->key), 0);
    s->by = arena_array(m->arena, struct traceql_static, by->n);
    for (size_t i = 0; i < by->n; i++)
        s->by[i] = traceql_keep(m->arena, tracepipe_attribute(pipe, &by->ptr[i], row));
    s->points = new_points(m, op < TRACEQL_MIN_OVER_TIME || has_buckets(op) ? 0 : NAN);
    s->counts = op == TRACEQL_AVG_OVER_TIME ? new_points(m, 0) : NULL;
    vec_push(&leaf->series, s);
    *slot = s;
    return s;
}

static double in_seconds(const struct traceql_static *v)
{
    return v->type == TRACEQL_DURATION ? (double)v->v.i / 1e9 : traceql_number(v);
}

static void observe(struct tracemetric_state *s, enum traceql_metric op, size_t point,
                    const struct traceql_static *v)
{
    double *p = &s->points[point], x = in_seconds(v);

    if (s->counts)
        s->counts[point]++;
    switch (op) {
    case TRACEQL_MIN_OVER_TIME:
        *p = isnan(*p) || x < *p ? x : *p;
        break;
    case TRACEQL_MAX_OVER_TIME:
        *p = isnan(*p) || x > *p ? x : *p;
        break;
    case TRACEQL_SUM_OVER_TIME:
    case TRACEQL_AVG_OVER_TIME:
        *p = isnan(*p) ? x : *p + x;
        break;
    default:
        ++*p;
    }
}

#define NO_BUCKET INT32_MAX

/* The exponent of the bucket; NO_BUCKET for what Tempo puts in none. */
static int bucket_of(const struct traceql_static *v)
{
    double x = traceql_number(v);

    if (!(x >= 2) || isinf(x))
        return NO_BUCKET;
    return (int)ceil(log2(trunc(x)));
}

static struct err *add_span(struct tracemetric *m, struct tracemetric_leaf *leaf,
                            struct tracepipe *pipe, const struct tracecols *cols, uint32_t row)
{
    const struct traceql_aggregation *a = &leaf->math->leaf.aggregation;
    size_t point = point_of(&m->range, cols->start_ns[row]);
    struct tracemetric_state *s;
    struct traceql_static v = {.type = TRACEQL_NIL};
    int bucket = 0;

    if (point == SIZE_MAX)
        return NULL;
    if (a->op >= TRACEQL_MIN_OVER_TIME) {
        v = tracepipe_attribute(pipe, &a->attribute, row);
        if (!traceql_is_numeric(v.type))
            return NULL;
    }
    if (has_buckets(a->op) && (bucket = bucket_of(&v)) == NO_BUCKET)
        return NULL;
    leaf->is_duration = leaf->is_duration || v.type == TRACEQL_DURATION;
    s = series_of(m, leaf, pipe, row, bucket);
    if (!s)
        return err_new(
            ERR_LIMIT,
            "the query makes more than %zu series: group by fewer attributes, or by ones "
            "with fewer values",
            m->range.max_series);
    observe(s, a->op, point, &v);
    if (m->range.max_exemplars)
        tracemetric_exemplar_see(m, leaf, s, (uint32_t)point,
                                 v.type == TRACEQL_NIL ? NAN : in_seconds(&v), cols, row);
    return NULL;
}

/* Spans of the pipeline, in one part all together: compare() looks at them column by column. */
struct comparing {
    uint32_t *points;
    uint8_t *is_selected;
};

static void take_point(const struct tracemetric *m, const struct traceql_aggregation *a,
                       struct comparing *c, const struct tracecols *cols, uint32_t row)
{
    int64_t ns = cols->start_ns[row];
    size_t point = point_of(&m->range, ns);

    if (point != SIZE_MAX)
        c->points[row] = (uint32_t)point;
    if ((a->start_ns || a->end_ns) && (ns < a->start_ns || ns >= a->end_ns))
        c->is_selected[row] = 0;
}

static struct err *compare_leaf(struct tracemetric *m, struct tracemetric_leaf *leaf,
                                struct tracepipe *pipe, const struct tracecols *cols)
{
    const struct traceql_aggregation *a = &leaf->math->leaf.aggregation;
    struct comparing c = {mem_new_array(uint32_t, cols->n_spans + 1),
                          mem_new_array(uint8_t, cols->n_spans + 1)};
    struct tracefield *fields = tracefield_new(cols);
    struct err *e;

    tracefield_mask(fields, a->selection, c.is_selected);
    for (uint32_t row = 0; row < cols->n_spans; row++)
        c.points[row] = TRACECOMPARE_NO_POINT;
    for (uint32_t t = 0; t < cols->n_traces; t++) {
        struct tracesets sets = tracepipe_run(pipe, t);

        for (size_t i = 0; i < sets.n; i++)
            for (uint32_t k = 0; k < sets.ptr[i].n; k++)
                take_point(m, a, &c, cols, sets.ptr[i].rows[k]);
    }
    e = tracecompare_add(leaf->compare, cols, c.points, c.is_selected);
    tracefield_free(fields);
    mem_free(c.points);
    mem_free(c.is_selected);
    return e;
}

static struct err *add_to_leaf(struct tracemetric *m, struct tracemetric_leaf *leaf,
                               const struct tracecols *cols)
{
    struct tracepipe *pipe = tracepipe_new(&leaf->math->leaf.pipeline, cols);
    uint32_t n_traces = leaf->compare ? 0 : cols->n_traces;
    struct err *e = leaf->compare ? compare_leaf(m, leaf, pipe, cols) : NULL;

    for (uint32_t t = 0; t < n_traces && !e; t++) {
        struct tracesets sets = tracepipe_run(pipe, t);

        for (size_t i = 0; i < sets.n && !e; i++)
            for (uint32_t k = 0; k < sets.ptr[i].n && !e; k++)
                e = add_span(m, leaf, pipe, cols, sets.ptr[i].rows[k]);
    }
    tracepipe_free(pipe);
    return e;
}

struct err *tracemetric_add(struct tracemetric *m, const struct tracecols *cols)
{
    struct err *e = NULL;

    for (size_t i = 0; i < m->leaves.len && !e; i++)
        e = add_to_leaf(m, &m->leaves.ptr[i], cols);
    return e;
}
