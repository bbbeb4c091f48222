#include "querier/logs/logleaf.h"

#include "common/base/mem.h"

/* ---- life ---- */

/* What is added up, and not held. */
static bool is_count(const struct logql_range *r)
{
    switch (r->op) {
    case LOGQL_COUNT_OVER_TIME:
    case LOGQL_BYTES_OVER_TIME:
    case LOGQL_BYTES_RATE:
    case LOGQL_ABSENT_OVER_TIME:
        return true;
    case LOGQL_RATE:
        return r->unwrap == LOGQL_UNWRAP_NONE;
    default:
        return false;
    }
}

void logleaf_init(struct logleaf *f, struct logquery_run *r, const struct logql_range *range,
                  const struct logquery_grid *grid, const struct pipeline *pipeline)
{
    *f = (struct logleaf){.run = r,
                          .range = range,
                          .grid = grid,
                          .pipeline = pipeline,
                          .arena = r->arena,
                          .tmp = arena_child(r->arena, 0),
                          .counts = is_count(range),
                          .n_steps = grid->n};
}

void logleaf_done(struct logleaf *f)
{
    for (size_t i = 0; i < f->n; i++) {
        arena_charge(f->arena, -(int64_t)(f->series[i]->cap * sizeof(struct logquery_sample)));
        mem_free(f->series[i]->samples);
    }
    map_done(&f->index);
    buf_done(&f->key);
    arena_free(f->tmp);
}

/* ---- series ---- */

static struct err *add_series(struct logleaf *f, struct labels ls, struct logleaf_series **ret)
{
    uint64_t max = f->run->q->max_series ? f->run->q->max_series : LOGQUERY_MAX_SERIES;
    struct logleaf_series *s;

    if (f->n >= max)
        return err_new(ERR_LIMIT,
                       "%s() makes more than %llu series, the most that a query over lines may "
                       "hold; aggregate by fewer labels",
                       logql_range_op_name(f->range->op), (unsigned long long)max);
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 16;

        f->series =
            arena_grow(f->arena, f->series, f->cap * sizeof(*f->series), cap * sizeof(*f->series));
        f->cap = cap;
    }
    s = arena_new_of(f->arena, struct logleaf_series);
    s->labels = labels_dup(f->arena, ls);
    if (f->counts) {
        s->change = arena_array(f->arena, double, f->n_steps + 1);
        s->change_n = arena_array(f->arena, double, f->n_steps + 1);
    }
    f->series[f->n++] = s;
    *ret = s;
    return NULL;
}

struct err *logleaf_find(struct logleaf *f, struct labels ls, size_t *ret_number)
{
    struct logleaf_series *s;
    struct err *e;
    void **slot;

    buf_reset(&f->key);
    labels_canonical(&f->key, ls);
    slot = map_slot(&f->index, buf_slice(&f->key));
    if (!*slot) {
        if ((e = add_series(f, ls, &s)))
            return e;
        *slot = (void *)(uintptr_t)f->n;
    }
    *ret_number = (uintptr_t)*slot;
    return NULL;
}

/* The series of the line just run. */
static struct err *series_of(struct logleaf *f, struct pipeline_state *state, bool is_plain,
                             struct logleaf_series **ret)
{
    struct err *e;
    size_t number;

    if (f->n && f->range->op == LOGQL_ABSENT_OVER_TIME) {
        *ret = f->series[0]; /* only whether there are lines matters */
        return NULL;
    }
    if (is_plain && f->plain) {
        *ret = f->series[f->plain - 1];
        return NULL;
    }
    arena_reset(f->tmp);
    if ((e = logleaf_find(f, pipeline_state_labels(state, f->tmp), &number)))
        return e;
    if (is_plain)
        f->plain = number;
    *ret = f->series[number - 1];
    return NULL;
}

static int64_t div_up(int64_t a, int64_t b)
{
    return a / b + (a % b > 0);
}

/* The steps whose windows hold the moment: from … to - 1. */
static bool steps_of(const struct logleaf *f, int64_t ts_ns, size_t *ret_from, size_t *ret_to)
{
    const struct logquery_grid *g = f->grid;
    int64_t first = ts_ns + f->range->offset_ns - g->start_ns, step = g->step_ns ? g->step_ns : 1;
    int64_t from = div_up(first, step), to = div_up(first + f->range->range_ns, step);

    from = ORR_MAX(from, 0);
    to = ORR_MIN(to, (int64_t)g->n);
    *ret_from = (size_t)from;
    *ret_to = (size_t)ORR_MAX(to, 0);
    return from < to;
}

struct err *logleaf_grow(struct logleaf *f, struct logleaf_series *s, size_t n)
{
    uint64_t max = f->run->q->max_samples ? f->run->q->max_samples : ENGINE_MAX_SAMPLES;
    size_t cap = s->cap ? s->cap : 16;

    f->held += n;
    if (f->held > max)
        return err_new(ERR_LIMIT,
                       "query processing would load too many samples into memory in query "
                       "execution: the limit is %llu (limits.max-samples-per-query)",
                       (unsigned long long)max);
    while (cap < s->n + n)
        cap *= 2;
    if (cap == s->cap)
        return NULL;
    s->samples = mem_reallocarray(s->samples, cap, sizeof(*s->samples));
    arena_charge(f->arena, (int64_t)((cap - s->cap) * sizeof(*s->samples)));
    s->cap = cap;
    return NULL;
}

static struct err *hold(struct logleaf *f, struct logleaf_series *s, int64_t ts_ns, double v)
{
    struct err *e = logleaf_grow(f, s, 1);

    if (e)
        return e;
    s->is_mixed |= s->n && !hash128_eq(s->stream, f->stream);
    s->stream = f->stream;
    s->samples[s->n++] = (struct logquery_sample){ts_ns, v};
    return NULL;
}

struct err *logleaf_line(struct logleaf *f, struct pipeline_state *state, int64_t ts_ns,
                         const struct pipeline_line *line)
{
    struct slice error, details;
    struct logleaf_series *s;
    size_t from, to;
    struct err *e;

    if (!steps_of(f, ts_ns, &from, &to))
        return NULL;
    if (f->range->op != LOGQL_ABSENT_OVER_TIME && pipeline_state_fails(state, &error, &details))
        return err_new(ERR_INVALID,
                       "pipeline error: %.*s (%.*s); | __error__=\"\" passes such lines over",
                       SLICE_ARG(error), SLICE_ARG(slice_sub(details, 0, 500)));
    if ((e = series_of(f, state, line->is_plain, &s)))
        return e;
    if (!f->counts)
        return hold(f, s, ts_ns, line->value);
    from -= f->first_step;
    to -= f->first_step;
    ORR_ASSERT(to <= f->n_steps);
    s->change[from] += line->value;
    s->change[to] -= line->value;
    s->change_n[from] += 1;
    s->change_n[to] -= 1;
    return NULL;
}

void logleaf_narrow(struct logleaf *f, int64_t from_ns, int64_t to_ns)
{
    size_t from, to, end;

    if (from_ns >= to_ns)
        return;
    (void)steps_of(f, from_ns, &from, &to);
    (void)steps_of(f, to_ns - 1, &to, &end);
    f->first_step = ORR_MIN(from, end);
    f->n_steps = end - f->first_step;
}

void logleaf_stream(struct logleaf *f, struct labels stream)
{
    f->plain = 0;
    if (!f->counts)
        f->stream = labels_fingerprint(stream);
}

/* ---- pieces ---- */

static struct err *add_samples(struct logleaf *f, struct logleaf_series *s,
                               const struct logleaf_series *add)
{
    struct err *e;

    if (!add->n)
        return NULL;
    if ((e = logleaf_grow(f, s, add->n)))
        return e;
    s->is_mixed |= add->is_mixed || (s->n && !hash128_eq(s->stream, add->stream));
    s->stream = add->stream;
    memcpy(s->samples + s->n, add->samples, add->n * sizeof(*s->samples));
    s->n += add->n;
    return NULL;
}

static void add_counts(struct logleaf_series *s, const struct logleaf *of,
                       const struct logleaf_series *add)
{
    for (size_t i = 0; i <= of->n_steps; i++) {
        s->change[of->first_step + i] += add->change[i];
        s->change_n[of->first_step + i] += add->change_n[i];
    }
}

struct err *logleaf_add(struct logleaf *f, const struct logleaf *of)
{
    for (size_t i = 0; i < of->n; i++) {
        const struct logleaf_series *add = of->series[i];
        struct logleaf_series *s;
        struct err *e;
        size_t number = 1;

        if (f->range->op != LOGQL_ABSENT_OVER_TIME || !f->n)
            if ((e = logleaf_find(f, add->labels, &number)))
                return e;
        s = f->series[number - 1];
        if (f->counts)
            add_counts(s, of, add);
        else if ((e = add_samples(f, s, add)))
            return e;
        if ((e = logquery_run_memory(f->run)))
            return e;
    }
    return NULL;
}
