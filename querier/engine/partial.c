/* Queries in parts by shards of the series: see engine.h. */
#include <math.h>

#include "common/base/vec.h"
#include "querier/engine/engine_internal.h"
#include "querier/engine/moments.h"
#include "querier/engine/ops.h"

/* ---- finding ---- */

struct finder {
    struct arena *arena;
    struct slice text;
    VEC(struct engine_given) found;
};

static bool is_number(const struct promql_expr *e)
{
    return promql_unwrap(e)->kind == PROMQL_NUMBER;
}

/* What yields each series from one of the storage's and looks at no other. */
static bool is_by_series(const struct promql_expr *e)
{
    e = promql_unwrap(e);
    switch (e->kind) {
    case PROMQL_SELECTOR:
        return true;
    case PROMQL_CALL:
        if (!op_window_has(e->u.call.func->id))
            return false;
        for (size_t i = 0; i < e->u.call.n_args; i++) {
            const struct promql_expr *arg = promql_unwrap(e->u.call.args[i]);

            if (arg->kind == PROMQL_RANGE ? build_has_many_names(arg) : arg->kind != PROMQL_NUMBER)
                return false; /* names that are dropped may coincide across shards */
        }
        return true;
    case PROMQL_BINARY:
        if (e->u.binary.lhs->type == PROMQL_VECTOR && is_number(e->u.binary.rhs))
            return is_by_series(e->u.binary.lhs) && !build_has_many_names(e->u.binary.lhs);
        if (e->u.binary.rhs->type == PROMQL_VECTOR && is_number(e->u.binary.lhs))
            return is_by_series(e->u.binary.rhs) && !build_has_many_names(e->u.binary.rhs);
        return false;
    case PROMQL_UNARY:
        return is_by_series(e->u.unary.expr) && !build_has_many_names(e->u.unary.expr);
    default:
        return false;
    }
}

static bool is_partial(const struct promql_expr *e)
{
    switch (e->u.aggregate.op) {
    case PROMQL_AGG_SUM:
    case PROMQL_AGG_COUNT:
    case PROMQL_AGG_MIN:
    case PROMQL_AGG_MAX:
    case PROMQL_AGG_GROUP:
    case PROMQL_AGG_AVG:
    case PROMQL_AGG_STDDEV:
    case PROMQL_AGG_STDVAR:
    case PROMQL_AGG_COUNT_VALUES:
        return !build_is_invariant(e) && is_by_series(e->u.aggregate.expr);
    case PROMQL_AGG_QUANTILE: /* it needs all values: what it is over is done in parts */
        return !build_is_invariant(e) && is_number(e->u.aggregate.param) &&
               is_by_series(e->u.aggregate.expr) && !build_has_many_names(e->u.aggregate.expr);
    default:
        return false;
    }
}

/* The text of [start, end) where it stands, blanks before it. */
static struct slice cut_out(struct finder *f, uint32_t start, uint32_t end)
{
    uint8_t *text = arena_alloc(f->arena, end);

    for (uint32_t i = 0; i < end; i++)
        text[i] = i >= start || f->text.ptr[i] == '\n' ? f->text.ptr[i] : ' ';
    return slice_of(text, end);
}

static void add_found(struct finder *f, const struct promql_expr *e)
{
    struct slice text = slice_sub(f->text, e->start, e->end - e->start);
    const struct promql_expr *over = e->u.aggregate.expr;
    enum promql_agg op = e->u.aggregate.op;

    if (e->end > f->text.len || e->start >= e->end)
        return;
    VEC_FOREACH (g, &f->found) {
        if (slice_eq(slice_sub(f->text, g->start, g->end - g->start), text))
            return; /* said twice: see op_shared.c */
    }
    vec_push(&f->found,
             ((struct engine_given){
                 .start = e->start,
                 .end = e->end,
                 .partial_expr = op == PROMQL_AGG_QUANTILE ? cut_out(f, over->start, over->end)
                                                           : cut_out(f, e->start, e->end),
                 .has_moments = moments_are_of(op),
                 .is_sum = op == PROMQL_AGG_SUM || op == PROMQL_AGG_AVG,
             }));
}

/* Into everything that is evaluated at the query's own steps. */
static void find(struct finder *f, const struct promql_expr *e)
{
    switch (e->kind) {
    case PROMQL_AGGREGATE:
        if (is_partial(e)) {
            add_found(f, e);
            return;
        }
        find(f, e->u.aggregate.expr);
        if (e->u.aggregate.param)
            find(f, e->u.aggregate.param);
        return;
    case PROMQL_CALL:
        for (size_t i = 0; i < e->u.call.n_args; i++)
            if (e->u.call.args[i]->type != PROMQL_MATRIX)
                find(f, e->u.call.args[i]);
        return;
    case PROMQL_BINARY:
        find(f, e->u.binary.lhs);
        find(f, e->u.binary.rhs);
        return;
    case PROMQL_UNARY:
        find(f, e->u.unary.expr);
        return;
    case PROMQL_PAREN:
        find(f, e->u.paren);
        return;
    default: /* leaves, and subqueries, which have steps of their own */
        return;
    }
}

struct err *engine_partials(const struct engine *eng, const struct engine_query *q, struct arena *a,
                            struct engine_given **ret, size_t *ret_n)
{
    const struct promql_options everything = PROMQL_EVERYTHING;
    struct finder f = {.arena = a, .text = q->expr};
    struct promql parsed = {0};
    struct err *e;

    *ret = NULL;
    *ret_n = 0;
    if ((e = promql_parse(a, q->expr, eng->opts.has_experimental ? &everything : NULL, &parsed)))
        return e;
    /* With types and units as part of the name, what coincides is not so easily told. */
    if (!eng->opts.has_type_and_unit)
        find(&f, parsed.root);
    *ret_n = f.found.len;
    *ret = arena_array(a, struct engine_given, f.found.len);
    if (f.found.len)
        memcpy(*ret, f.found.ptr, f.found.len * sizeof(**ret));
    vec_done(&f.found);
    promql_done(&parsed);
    return NULL;
}

/* ---- splitting ---- */

/* Of a sum that an average is made of; also what op_aggregate.c writes there in doubt. */
static bool has_overflow(const struct engine_series *s)
{
    if (moments_kind(s->labels) != MOMENTS_VALUE)
        return false;
    for (size_t k = 0; k < s->n; k++)
        if (isinf(s->v[k]))
            return true;
    return false;
}

/* Shards that warn of their aggregation left something out that the whole would have to know of; and
 * sums of native histograms carry what they lost in rounding and how counters were reset, which their
 * results do not show. */
static bool is_doubtful(const struct engine_result *r)
{
    for (size_t i = 0; i < r->n_series; i++)
        if (r->series[i].n_hist || has_overflow(&r->series[i]))
            return true;
    for (size_t i = 0; i < r->n_warnings; i++)
        if (slice_find(r->warnings[i], SLICE("aggregation"), 0) >= 0 ||
            slice_find(r->warnings[i], SLICE("mix of histograms"), 0) >= 0)
            return true;
    return false;
}

/* Values of both signs may cancel out, and then the digits that a shard's sum was rounded by count. */
static bool may_cancel(const struct engine_job *jobs, size_t n)
{
    bool has_negative = false, has_positive = false;

    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < jobs[j].result.n_series; i++) {
            unsigned kind = moments_kind(jobs[j].result.series[i].labels);

            if (kind == MOMENTS_COUNT || kind == MOMENTS_LOST)
                continue;
            for (size_t k = 0; k < jobs[j].result.series[i].n; k++) {
                has_negative |= jobs[j].result.series[i].v[k] < 0;
                has_positive |= jobs[j].result.series[i].v[k] > 0;
            }
        }
    return has_negative && has_positive;
}

static void add_texts(struct arena *a, const struct slice **io, size_t *io_n,
                      const struct slice *more, size_t n)
{
    struct slice *out = arena_array(a, struct slice, *io_n + n);
    size_t k = *io_n;

    if (k)
        memcpy(out, *io, k * sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        bool is_known = false;

        for (size_t j = 0; j < k && !is_known; j++)
            is_known = slice_eq(out[j], more[i]);
        if (!is_known)
            out[k++] = arena_dup(a, more[i]);
    }
    *io = out;
    *io_n = k;
}

static void join_given(struct arena *a, struct engine_given *g, const struct engine_job *jobs,
                       unsigned shards)
{
    struct engine_series *all;

    for (unsigned k = 0; k < shards; k++)
        g->n_series += jobs[k].result.n_series;
    g->series = all = arena_array(a, struct engine_series, g->n_series);
    for (unsigned k = 0; k < shards; k++) {
        if (jobs[k].result.n_series)
            memcpy(all, jobs[k].result.series, jobs[k].result.n_series * sizeof(*all));
        all += jobs[k].result.n_series;
    }
}

/* The first error; the others go. */
static struct err *take_errors(struct engine_job *jobs, size_t n)
{
    struct err *e = NULL;

    for (size_t i = 0; i < n; i++)
        e = err_first(e, jobs[i].err);
    return e;
}

struct err *engine_query_split(const struct engine *eng, const struct engine_query *q,
                               struct storage *st, struct arena *a, unsigned shards,
                               engine_run_fn *run, void *arg, bool *ret_was_split,
                               struct engine_result *ret)
{
    struct engine_query whole = *q;
    struct engine_given *given;
    struct engine_job *jobs;
    size_t n, n_jobs;
    struct err *e = engine_partials(eng, q, a, &given, &n);
    bool has_doubt = false;

    if (ret_was_split)
        *ret_was_split = false;
    if (e)
        return e;
    if (n == 0 || shards < 2)
        return engine_query(eng, q, st, a, ret);
    n_jobs = n * shards;
    jobs = arena_array(a, struct engine_job, n_jobs);
    for (size_t i = 0; i < n_jobs; i++) {
        jobs[i].q = *q;
        jobs[i].q.expr = given[i / shards].partial_expr;
        jobs[i].q.wants_moments = given[i / shards].has_moments;
        jobs[i].q.shard_index = (uint32_t)(i % shards);
        jobs[i].q.shard_count = shards;
    }
    run(arg, jobs, n_jobs);
    if ((e = take_errors(jobs, n_jobs)))
        return e;
    for (size_t i = 0; i < n_jobs; i++)
        has_doubt |= is_doubtful(&jobs[i].result);
    for (size_t i = 0; i < n; i++)
        has_doubt |= given[i].is_sum && may_cancel(&jobs[i * shards], shards);
    if (has_doubt)
        return engine_query(eng, q, st, a, ret);
    for (size_t i = 0; i < n; i++)
        join_given(a, &given[i], &jobs[i * shards], shards);
    whole.given = given;
    whole.n_given = n;
    if ((e = engine_query(eng, &whole, st, a, ret)))
        return e;
    for (size_t i = 0; i < n_jobs; i++) {
        const struct engine_result *r = &jobs[i].result;

        add_texts(a, &ret->warnings, &ret->n_warnings, r->warnings, r->n_warnings);
        add_texts(a, &ret->infos, &ret->n_infos, r->infos, r->n_infos);
        ret->stats.samples += r->stats.samples;
        ret->stats.series += r->stats.series;
        ret->stats.peak_bytes += r->stats.peak_bytes;
    }
    if (ret_was_split)
        *ret_was_split = true;
    return NULL;
}
