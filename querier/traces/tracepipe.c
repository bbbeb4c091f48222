#include "querier/traces/tracepipe.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/vec.h"
#include "querier/traces/tracefield.h"
#include "querier/traces/tracepipe_internal.h"

struct filter {
    const struct traceql_field *of;
    uint8_t *mask; /* of all spans */
};

struct tracepipe {
    const struct traceql_pipeline *pipeline;
    const struct tracecols *cols;
    struct tracefield *fields;
    struct arena *run; /* of one trace */
    VEC(struct filter) filters;
};

static struct tracesets run_pipeline(struct tracepipe *pipe, const struct traceql_pipeline *p,
                                     struct tracesets in);

static void add_filter(struct tracepipe *pipe, const struct traceql_field *f)
{
    uint8_t *mask = mem_alloc(pipe->cols->n_spans);

    tracefield_mask(pipe->fields, f, mask);
    vec_push(&pipe->filters, ((struct filter){f, mask}));
}

static void add_filters(struct tracepipe *pipe, const struct traceql_pipeline *p);

static void add_spanset_filters(struct tracepipe *pipe, const struct traceql_spanset *s)
{
    switch (s->kind) {
    case TRACEQL_FILTER:
        add_filter(pipe, s->u.filter);
        break;
    case TRACEQL_SPANSET_PIPELINE:
        add_filters(pipe, s->u.pipeline);
        break;
    default:
        add_spanset_filters(pipe, s->u.operation.lhs);
        add_spanset_filters(pipe, s->u.operation.rhs);
    }
}

static void add_filters(struct tracepipe *pipe, const struct traceql_pipeline *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->ptr[i].kind == TRACEQL_SPANSET)
            add_spanset_filters(pipe, p->ptr[i].u.spanset);
}

struct tracepipe *tracepipe_new(const struct traceql_pipeline *p, const struct tracecols *cols)
{
    struct tracepipe *pipe = mem_new(struct tracepipe);

    pipe->pipeline = p;
    pipe->cols = cols;
    pipe->fields = tracefield_new(cols);
    pipe->run = arena_new(0);
    add_filters(pipe, p);
    return pipe;
}

void tracepipe_free(struct tracepipe *pipe)
{
    if (!pipe)
        return;
    VEC_FOREACH (f, &pipe->filters)
        mem_free(f->mask);
    vec_done(&pipe->filters);
    tracefield_free(pipe->fields);
    arena_free(pipe->run);
    mem_free(pipe);
}

static const uint8_t *mask_of(const struct tracepipe *pipe, const struct traceql_field *f)
{
    VEC_FOREACH (it, &pipe->filters)
        if (it->of == f)
            return it->mask;
    ORR_ASSERT(false); /* a filter that was not prepared */
    return NULL;
}

static struct traceset run_filter(struct tracepipe *pipe, const struct traceql_field *f,
                                  const struct traceset *in)
{
    const uint8_t *mask = mask_of(pipe, f);
    uint32_t *rows = arena_array(pipe->run, uint32_t, in->n);
    struct traceset out = *in;

    out.n = 0;
    for (uint32_t i = 0; i < in->n; i++)
        if (mask[in->rows[i]])
            rows[out.n++] = in->rows[i];
    out.rows = rows;
    return out;
}

static int cmp_rows(const void *a, const void *b)
{
    uint32_t l = *(const uint32_t *)a, r = *(const uint32_t *)b;

    return (l > r) - (l < r);
}

/* All rows of all sets, each once. */
static struct traceset unite(struct tracepipe *pipe, const struct tracesets *sets)
{
    struct traceset out = {0};
    uint32_t *rows;
    size_t n = 0;

    for (size_t i = 0; i < sets->n; i++)
        n += sets->ptr[i].n;
    rows = arena_array(pipe->run, uint32_t, n);
    n = 0;
    for (size_t i = 0; i < sets->n; i++) {
        memcpy(rows + n, sets->ptr[i].rows, sets->ptr[i].n * sizeof(*rows));
        n += sets->ptr[i].n;
    }
    qsort(rows, n, sizeof(*rows), cmp_rows);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || rows[i] != rows[i - 1])
            rows[out.n++] = rows[i];
    out.rows = rows;
    return out;
}

static struct traceset run_spanset(struct tracepipe *pipe, const struct traceql_spanset *s,
                                   const struct traceset *in)
{
    struct traceset lhs, rhs, out = *in;
    struct tracesets sets;

    switch (s->kind) {
    case TRACEQL_FILTER:
        return run_filter(pipe, s->u.filter, in);
    case TRACEQL_SPANSET_PIPELINE:
        sets = run_pipeline(pipe, s->u.pipeline, (struct tracesets){1, &out});
        return unite(pipe, &sets);
    default:
        lhs = run_spanset(pipe, s->u.operation.lhs, in);
        rhs = run_spanset(pipe, s->u.operation.rhs, in);
        out = *in;
        tracepipe_operate(pipe->run, pipe->cols, s->u.operation.op, &lhs, &rhs, &out);
        return out;
    }
}

/* A copy of the values of set with one more. */
static void add_value(struct tracepipe *pipe, struct traceset *set, const struct traceql_element *e,
                      const struct traceql_static *v)
{
    struct traceset_value *values =
        arena_array(pipe->run, struct traceset_value, set->n_values + 1);

    if (set->n_values)
        memcpy(values, set->values, set->n_values * sizeof(*values));
    values[set->n_values] = (struct traceset_value){e, traceql_keep(pipe->run, *v)};
    set->values = values;
    set->n_values++;
}

static void push_set(struct tracepipe *pipe, struct tracesets *out, struct traceset set)
{
    if (set.n == 0)
        return;
    out->ptr = arena_more(pipe->run, out->ptr, out->n);
    out->ptr[out->n++] = set;
}

struct group_row {
    struct traceql_static value;
    uint32_t row;
};

static int cmp_group_rows(const void *a, const void *b)
{
    const struct group_row *l = a, *r = b;
    int c = traceql_cmp(&l->value, &r->value);

    return c ? c : (l->row > r->row) - (l->row < r->row);
}

/* The rows of in by the value of the expression: a set for each that is there. */
static void run_group(struct tracepipe *pipe, const struct traceql_element *e,
                      const struct traceset *in, struct tracesets *out)
{
    struct group_row *all = arena_array(pipe->run, struct group_row, in->n);
    uint32_t *rows = arena_array(pipe->run, uint32_t, in->n);
    uint32_t n = 0;

    for (uint32_t i = 0; i < in->n; i++) {
        struct traceql_static v = tracefield_value(pipe->fields, e->u.group, in->rows[i]);

        all[n++] = (struct group_row){traceql_keep(pipe->run, v), in->rows[i]};
    }
    qsort(all, n, sizeof(*all), cmp_group_rows);
    for (uint32_t i = 0, first = 0; i < n; i++) {
        struct traceset set = *in;

        rows[i] = all[i].row;
        if (i + 1 < n && traceql_cmp(&all[i].value, &all[i + 1].value) == 0)
            continue;
        set.rows = rows + first;
        set.n = i + 1 - first;
        add_value(pipe, &set, e, &all[i].value);
        push_set(pipe, out, set);
        first = i + 1;
    }
}

/* NIL: no span has a number. */
static struct traceql_static
aggregate(struct tracepipe *pipe, const struct traceql_scalar_filter *s, const struct traceset *in)
{
    struct traceql_static sum = {.type = TRACEQL_NIL}, is_more;
    uint32_t n = 0;

    if (s->aggregate == TRACEQL_COUNT)
        return (struct traceql_static){TRACEQL_INT, {.i = in->n}};
    for (uint32_t i = 0; i < in->n; i++) {
        struct traceql_static v = tracefield_value(pipe->fields, s->argument, in->rows[i]);

        if (!traceql_is_numeric(v.type))
            continue;
        if (n++ == 0) {
            sum = v;
        } else if (s->aggregate == TRACEQL_MAX || s->aggregate == TRACEQL_MIN) {
            (void)traceql_apply(s->aggregate == TRACEQL_MAX ? TRACEQL_GT : TRACEQL_LT, &v, &sum,
                                &is_more);
            sum = is_more.v.b ? v : sum;
        } else {
            tracepipe_add(&sum, &v);
        }
    }
    if (s->aggregate == TRACEQL_AVG && n > 0)
        tracepipe_divide(&sum, n);
    return sum;
}

static void run_scalar(struct tracepipe *pipe, const struct traceql_element *e,
                       const struct traceset *in, struct tracesets *out)
{
    struct traceql_static v = aggregate(pipe, &e->u.scalar, in), is_kept;
    struct traceset set = *in;

    if (!traceql_apply(e->u.scalar.op, &v, &e->u.scalar.value, &is_kept) || !is_kept.v.b)
        return;
    add_value(pipe, &set, e, &v);
    push_set(pipe, out, set);
}

static struct tracesets run_element(struct tracepipe *pipe, const struct traceql_element *e,
                                    struct tracesets in)
{
    struct tracesets out = {0};

    if (e->kind == TRACEQL_SELECT)
        return in;
    if (e->kind == TRACEQL_COALESCE) {
        push_set(pipe, &out, unite(pipe, &in));
        return out;
    }
    for (size_t i = 0; i < in.n; i++) {
        if (e->kind == TRACEQL_SPANSET)
            push_set(pipe, &out, run_spanset(pipe, e->u.spanset, &in.ptr[i]));
        else if (e->kind == TRACEQL_GROUP)
            run_group(pipe, e, &in.ptr[i], &out);
        else
            run_scalar(pipe, e, &in.ptr[i], &out);
    }
    return out;
}

static struct tracesets run_pipeline(struct tracepipe *pipe, const struct traceql_pipeline *p,
                                     struct tracesets in)
{
    for (size_t i = 0; i < p->n && in.n > 0; i++)
        in = run_element(pipe, &p->ptr[i], in);
    return in;
}

struct tracesets tracepipe_run(struct tracepipe *pipe, uint32_t trace)
{
    const struct tracecols_trace *t = &pipe->cols->traces[trace];
    struct traceset all = {.n = t->n};
    uint32_t *rows;

    arena_reset(pipe->run);
    rows = arena_array(pipe->run, uint32_t, t->n);
    for (uint32_t i = 0; i < t->n; i++)
        rows[i] = t->first + i;
    all.rows = rows;
    return run_pipeline(pipe, pipe->pipeline, (struct tracesets){t->n > 0, &all});
}

struct traceql_static tracepipe_attribute(struct tracepipe *pipe, const struct traceql_attribute *a,
                                          uint32_t row)
{
    return tracefield_attribute(pipe->fields, a, row);
}
