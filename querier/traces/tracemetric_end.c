/* From what was counted to the answer: labels, quantiles, arithmetic, stages. */
#include <math.h>
#include <stdlib.h>

#include "querier/traces/tracemetric_internal.h"

struct end {
    struct tracemetric *m;
    struct arena *a;
    size_t next_leaf;
};

static struct slice attribute_text(struct arena *a, const struct traceql_attribute *attribute)
{
    struct buf b = {0};
    struct slice text;

    traceql_print_attribute(&b, attribute);
    text = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return text;
}

/* Labels by by(), with one more (name NULL: none). nil is left out unless there is nothing else. */
static void set_labels(struct end *e, const struct tracemetric_leaf *leaf,
                       const struct tracemetric_state *s, const char *more, double more_value,
                       struct tracemetric_series *out)
{
    const struct traceql_aggregation *agg = &leaf->math->leaf.aggregation;
    struct tracemetric_label *labels = arena_array(e->a, struct tracemetric_label, agg->by.n + 2);
    size_t n = 0;

    for (size_t i = 0; i < agg->by.n; i++)
        if (s->by[i].type != TRACEQL_NIL)
            labels[n++] = (struct tracemetric_label){attribute_text(e->a, &agg->by.ptr[i]),
                                                     traceql_keep(e->a, s->by[i])};
    if (more)
        labels[n++] =
            (struct tracemetric_label){slice_cstr(more), {TRACEQL_FLOAT, {.f = more_value}}};
    for (size_t i = 0; i < agg->by.n && n == 0; i++)
        labels[n++] = (struct tracemetric_label){attribute_text(e->a, &agg->by.ptr[i]),
                                                 {TRACEQL_STRING, {.s = SLICE("nil")}}};
    if (n == 0)
        labels[n++] = (struct tracemetric_label){
            SLICE("__name__"), {TRACEQL_STRING, {.s = slice_cstr(traceql_metric_name(agg->op))}}};
    out->labels = labels;
    out->n_labels = n;
}

static double bucket_value(const struct tracemetric_leaf *leaf, int exponent)
{
    double v = ldexp(1, exponent);

    return leaf->is_duration ? v / 1e9 : v;
}

static double *plain_points(struct end *e, const struct tracemetric_leaf *leaf,
                            const struct tracemetric_state *s)
{
    enum traceql_metric op = leaf->math->leaf.aggregation.op;
    double *out = arena_array(e->a, double, e->m->n_points);
    double step_s = (double)e->m->range.step_ns / 1e9;

    for (size_t i = 0; i < e->m->n_points; i++) {
        out[i] = s->points[i];
        if (op == TRACEQL_RATE)
            out[i] = s->points[i] / step_s;
        else if (op == TRACEQL_AVG_OVER_TIME)
            out[i] = s->points[i] / s->counts[i];
    }
    return out;
}

static int cmp_by(const struct tracemetric_leaf *leaf, const struct tracemetric_state *l,
                  const struct tracemetric_state *r)
{
    for (size_t i = 0; i < leaf->math->leaf.aggregation.by.n; i++) {
        int c = traceql_cmp(&l->by[i], &r->by[i]);

        if (c)
            return c;
    }
    return 0;
}

/* By group, then by bucket. */
static int cmp_states(const void *a, const void *b, void *arg)
{
    const struct tracemetric_state *l = *(struct tracemetric_state *const *)a;
    const struct tracemetric_state *r = *(struct tracemetric_state *const *)b;
    int c = cmp_by(arg, l, r);

    return c ? c : (l->bucket > r->bucket) - (l->bucket < r->bucket);
}

/*
 * Of the counts of one point in n buckets, in ascending order: the value that a share q of the spans is
 * at or below. Within a bucket values are taken to lie evenly on the scale of powers between its bound
 * and that of the bucket before it in which there is something.
 */
static double quantile(const struct tracemetric_leaf *leaf, struct tracemetric_state **s, size_t n,
                       size_t point, double q)
{
    double total = 0, want, seen = 0;
    int before = INT32_MIN;

    for (size_t i = 0; i < n; i++)
        total += s[i]->points[point];
    if (total == 0 || !(q >= 0 && q <= 1))
        return 0;
    want = fmax(1, ceil(q * total));
    for (size_t i = 0; i < n; i++) {
        double count = s[i]->points[point], low;

        if (count == 0)
            continue;
        if (seen + count == want)
            return bucket_value(leaf, s[i]->bucket);
        if (seen + count > want) {
            low = before == INT32_MIN ? s[i]->bucket - 1 : before;
            low += (s[i]->bucket - low) * (want - seen) / count;
            return leaf->is_duration ? exp2(low) / 1e9 : exp2(low);
        }
        seen += count;
        before = s[i]->bucket;
    }
    return 0;
}

/* The series of one group of buckets: one for each quantile. */
static void add_quantiles(struct end *e, const struct tracemetric_leaf *leaf,
                          struct tracemetric_state **s, size_t n, struct tracemetric_set *out)
{
    const struct traceql_aggregation *agg = &leaf->math->leaf.aggregation;

    for (size_t k = 0; k < agg->n_quantiles; k++) {
        struct tracemetric_series *series = &out->ptr[out->n++];

        set_labels(e, leaf, s[0], "p", agg->quantiles[k], series);
        series->values = arena_array(e->a, double, e->m->n_points);
        for (size_t i = 0; i < e->m->n_points; i++)
            series->values[i] = quantile(leaf, s, n, i, agg->quantiles[k]);
    }
    tracemetric_exemplar_give(leaf, e->a, s, n, &out->ptr[out->n - agg->n_quantiles],
                              agg->n_quantiles);
}

static struct tracemetric_set leaf_set(struct end *e, const struct tracemetric_leaf *leaf)
{
    const struct traceql_aggregation *agg = &leaf->math->leaf.aggregation;
    struct tracemetric_set out = {.n_points = e->m->n_points};
    size_t n = leaf->series.len, each = agg->n_quantiles ? agg->n_quantiles : 1;

    if (leaf->compare)
        return tracecompare_end(leaf->compare, e->a, agg->top_n);
    if (n > 1)
        qsort_r(leaf->series.ptr, n, sizeof(*leaf->series.ptr), cmp_states, (void *)leaf);
    out.ptr = arena_array(e->a, struct tracemetric_series, n * each + 1);
    if (n == 0 && agg->op <= TRACEQL_COUNT_OVER_TIME && agg->by.n == 0) { /* none is a count, too */
        set_labels(e, leaf, NULL, NULL, 0, &out.ptr[0]);
        out.ptr[0].values = arena_array(e->a, double, out.n_points);
        out.n = 1;
    }
    for (size_t i = 0, first = 0; i < n; i++) {
        struct tracemetric_state *s = leaf->series.ptr[i];

        if (agg->op != TRACEQL_QUANTILE_OVER_TIME) {
            bool is_histogram = agg->op == TRACEQL_HISTOGRAM_OVER_TIME;
            struct tracemetric_series *series = &out.ptr[out.n++];

            set_labels(e, leaf, s, is_histogram ? "__bucket" : NULL, bucket_value(leaf, s->bucket),
                       series);
            series->values = plain_points(e, leaf, s);
            tracemetric_exemplar_give(leaf, e->a, &leaf->series.ptr[i], 1, series, 1);
        } else if (i + 1 == n || cmp_by(leaf, s, leaf->series.ptr[i + 1]) != 0) {
            add_quantiles(e, leaf, leaf->series.ptr + first, i + 1 - first, &out);
            first = i + 1;
        }
    }
    return out;
}

static bool compares(enum traceql_op op, double l, double r)
{
    struct traceql_static x = {TRACEQL_FLOAT, {.f = l}}, y = {TRACEQL_FLOAT, {.f = r}}, v;

    return traceql_apply(op, &x, &y, &v) && v.v.b;
}

/* Keeps series that have a point, or need none. */
static void drop_empty(struct tracemetric_set *set)
{
    size_t n = 0;

    for (size_t i = 0; i < set->n; i++) {
        bool is_there = set->ptr[i].is_note;

        for (size_t k = 0; k < set->n_points && !is_there; k++)
            is_there = !isnan(set->ptr[i].values[k]);
        if (is_there)
            set->ptr[n++] = set->ptr[i];
    }
    set->n = n;
}

static void compare_points(const struct traceql_stage *s, struct tracemetric_set *set)
{
    double with = traceql_number(&s->value);

    for (size_t i = 0; i < set->n; i++)
        for (size_t k = 0; k < set->n_points; k++)
            if (!compares(s->op, set->ptr[i].values[k], with))
                set->ptr[i].values[k] = NAN;
}

struct ranked {
    double value;
    size_t series;
};

static int cmp_ranked(const void *a, const void *b)
{
    const struct ranked *l = a, *r = b;

    if (l->value != r->value)
        return l->value > r->value ? -1 : 1;
    return (l->series > r->series) - (l->series < r->series); /* series are sorted by labels */
}

/* At each point the n highest or lowest stay. */
static void rank_points(struct arena *a, const struct traceql_stage *s, struct tracemetric_set *set)
{
    struct ranked *ranks = arena_array(a, struct ranked, set->n);
    double sign = s->kind == TRACEQL_TOPK ? 1 : -1;

    for (size_t k = 0; k < set->n_points; k++) {
        size_t n = 0;

        for (size_t i = 0; i < set->n; i++)
            if (!isnan(set->ptr[i].values[k]))
                ranks[n++] = (struct ranked){sign * set->ptr[i].values[k], i};
        if (n > 1)
            qsort(ranks, n, sizeof(*ranks), cmp_ranked);
        for (size_t i = (size_t)s->n; i < n; i++)
            set->ptr[ranks[i].series].values[k] = NAN;
    }
}

static void run_stages(struct end *e, const struct traceql_stages *stages,
                       struct tracemetric_set *set)
{
    for (size_t i = 0; i < stages->n; i++) {
        if (stages->ptr[i].kind == TRACEQL_COMPARISON)
            compare_points(&stages->ptr[i], set);
        else
            rank_points(e->a, &stages->ptr[i], set);
    }
    drop_empty(set);
}

static bool is_name(const struct tracemetric_label *l)
{
    return slice_eq(l->name, SLICE("__name__"));
}

/* Without by() it goes with any. */
static bool has_no_labels(const struct tracemetric_series *s)
{
    return s->n_labels == 1 && is_name(&s->labels[0]);
}

static bool is_same_series(const struct tracemetric_series *l, const struct tracemetric_series *r)
{
    if (has_no_labels(l) || has_no_labels(r))
        return has_no_labels(l) && has_no_labels(r);
    if (l->n_labels != r->n_labels)
        return false;
    for (size_t i = 0; i < l->n_labels; i++)
        if (!slice_eq(l->labels[i].name, r->labels[i].name) ||
            traceql_cmp(&l->labels[i].value, &r->labels[i].value) != 0)
            return false;
    return true;
}

/* Its series with the same labels, or else the one without labels. */
static const struct tracemetric_series *partner(const struct tracemetric_set *set,
                                                const struct tracemetric_series *of)
{
    for (size_t i = 0; i < set->n; i++)
        if (is_same_series(&set->ptr[i], of))
            return &set->ptr[i];
    for (size_t i = 0; i < set->n; i++)
        if (has_no_labels(&set->ptr[i]))
            return &set->ptr[i];
    return NULL;
}

/* As Tempo: what is not there counts as 0, and nothing comes of a division by 0. */
static double compute(enum traceql_op op, double l, double r)
{
    l = isnan(l) ? 0 : l;
    r = isnan(r) ? 0 : r;
    switch (op) {
    case TRACEQL_ADD:
        return l + r;
    case TRACEQL_SUB:
        return l - r;
    case TRACEQL_MUL:
        return l * r;
    default:
        return r == 0 ? NAN : l / r;
    }
}

/* Where values are no longer those that were measured, spans are shown at the series' points. */
static void forget_measured(struct arena *a, struct tracemetric_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        struct tracemetric_series *s = &set->ptr[i];
        struct tracemetric_exemplar *copy =
            arena_copy(a, (struct tracemetric_exemplar *)(uintptr_t)s->exemplars, s->n_exemplars);

        for (size_t k = 0; k < s->n_exemplars; k++)
            copy[k].value = NAN;
        s->exemplars = copy;
    }
}

static void compute_constant(enum traceql_op op, double constant, bool is_left,
                             struct tracemetric_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        for (size_t k = 0; k < set->n_points; k++) {
            double v = set->ptr[i].values[k];

            set->ptr[i].values[k] = is_left ? compute(op, constant, v) : compute(op, v, constant);
        }
}

/* Series of both sides that go together; the labels are those of the side that has some. */
static struct tracemetric_set join(struct end *e, enum traceql_op op,
                                   const struct tracemetric_set *l, const struct tracemetric_set *r)
{
    bool is_by_left = r->n == 1 && has_no_labels(&r->ptr[0]);
    const struct tracemetric_set *from = is_by_left ? l : r;
    struct tracemetric_set out = {.n_points = l->n_points};

    out.ptr = arena_array(e->a, struct tracemetric_series, from->n);
    for (size_t i = 0; i < from->n; i++) {
        const struct tracemetric_series *x = partner(l, &from->ptr[i]);
        const struct tracemetric_series *y = partner(r, &from->ptr[i]);
        struct tracemetric_series *s;

        if (!x || !y)
            continue;
        s = &out.ptr[out.n++];
        *s = has_no_labels(x) ? *y : *x;
        s->values = arena_array(e->a, double, out.n_points);
        for (size_t k = 0; k < out.n_points; k++)
            s->values[k] = compute(op, x->values[k], y->values[k]);
    }
    forget_measured(e->a, &out);
    return out;
}

static struct tracemetric_set math_set(struct end *e, const struct traceql_math *m)
{
    struct tracemetric_set l, r;

    if (m->kind == TRACEQL_LEAF) {
        l = leaf_set(e, &e->m->leaves.ptr[e->next_leaf++]);
        run_stages(e, &m->leaf.stages, &l);
        return l;
    }
    if (m->lhs->kind == TRACEQL_NUMBER || m->rhs->kind == TRACEQL_NUMBER) {
        bool is_left = m->lhs->kind == TRACEQL_NUMBER;

        l = math_set(e, is_left ? m->rhs : m->lhs);
        compute_constant(m->op, traceql_number(is_left ? &m->lhs->number : &m->rhs->number),
                         is_left, &l);
        forget_measured(e->a, &l);
        return l;
    }
    l = math_set(e, m->lhs);
    r = math_set(e, m->rhs);
    return join(e, m->op, &l, &r);
}

struct tracemetric_set tracemetric_end(struct tracemetric *m, struct arena *a)
{
    struct end e = {.m = m, .a = a};
    struct tracemetric_set set = math_set(&e, m->query->metrics);

    run_stages(&e, &m->query->stages, &set);
    return set;
}
