#include "querier/engine/engine.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "querier/engine/engine_internal.h"
#include "querier/engine/ops.h"
#include "querier/engine/source.h"

struct engine *engine_new(const struct engine_opts *opts)
{
    struct engine *eng = mem_new(struct engine);

    eng->turns = mem_new(struct turns);
    if (opts)
        eng->opts = *opts;
    if (!eng->opts.lookback_ms)
        eng->opts.lookback_ms = 5 * 60 * 1000;
    if (!eng->opts.subquery_step_ms)
        eng->opts.subquery_step_ms = 60 * 1000;
    return eng;
}

void engine_free(struct engine *eng)
{
    if (eng)
        mem_free(eng->turns);
    mem_free(eng);
}

const char *engine_type_name(enum engine_type t)
{
    static const char *const names[] = {"scalar", "string", "vector", "matrix"};

    return names[t];
}

/* Collects the rows of the result: names that wait for removal go, equal label sets become one. */
struct collector {
    struct exec *x;
    struct labelmap map;
    struct rowset rows;
    size_t steps;
};

static bool collect(struct collector *c, const struct row *r)
{
    struct exec *x = c->x;
    struct row in = *r;
    bool is_new;
    struct row *d;
    size_t i;

    if (in.drop_name)
        in.labels = row_nameless(x->arena, in.labels);
    i = labelmap_index(&c->map, in.labels, &is_new);
    if (is_new) {
        rowset_add(x, &c->rows, &in, c->steps);
        return exec_hold(x, c->steps);
    }
    d = &c->rows.ptr[i];
    for (size_t k = 0; k < c->steps; k++) {
        if (!row_has(&in, k))
            continue;
        if (row_has(d, k))
            return exec_fail(
                x, err_new(ERR_EXEC, "vector cannot contain metrics with the same labelset"));
        d->v[k] = in.v[k];
        if (row_has_hist(&in, k)) {
            if (!d->h)
                d->h = row_hist_column(x->arena, c->steps);
            d->h[k] = fhist_dup(x->arena, in.h[k]);
        }
    }
    return true;
}

/* The points of a row; false if it has none. */
static bool series_of_row(struct exec *x, const struct row *r, const struct grid *g,
                          struct engine_series *ret)
{
    size_t n = 0, nh = 0;
    int64_t *t, *ht;
    double *v;
    const struct histogram **h;

    for (size_t i = 0; i < g->n; i++) {
        n += row_has_float(r, i);
        nh += row_has_hist(r, i);
    }
    if (n + nh == 0)
        return false;
    t = arena_array(x->arena, int64_t, n);
    v = arena_array(x->arena, double, n);
    ht = arena_array(x->arena, int64_t, nh);
    h = arena_array(x->arena, const struct histogram *, nh);
    n = nh = 0;
    for (size_t i = 0; i < g->n; i++) {
        if (row_has_float(r, i)) {
            t[n] = grid_t(g, i);
            v[n++] = r->v[i];
        } else if (row_has_hist(r, i)) {
            ht[nh] = grid_t(g, i);
            h[nh++] = fhist_to(x->arena, r->h[i]);
        }
    }
    *ret = (struct engine_series){r->labels, n, t, v, nh, ht, h};
    return true;
}

static void run_rows(struct exec *x, const struct promql_expr *e, struct engine_result *ret)
{
    struct collector c = {.x = x, .map = {.arena = x->arena}, .steps = x->grid.n};
    struct node *n = build_node(x, e, x->grid);
    struct engine_series *out;
    struct row r;

    while (n && node_next(n, &r))
        if (!collect(&c, &r))
            return;
    if (!exec_ok(x))
        return;
    out = arena_array(x->arena, struct engine_series, c.rows.n);
    for (size_t i = 0; i < c.rows.n; i++)
        if (series_of_row(x, &c.rows.ptr[i], &x->grid, &out[ret->n_series]))
            ret->n_series++;
    if (ret->type == ENGINE_MATRIX)
        qsort(out, ret->n_series, sizeof(*out), ops_by_labels);
    ret->series = out;
}

/* Raw samples of an instant query like x[5m]. */
static void run_matrix(struct exec *x, const struct promql_expr *e, struct engine_result *ret)
{
    struct source *s = source_new(x, x->grid, e, SLICE_EMPTY);
    struct labelmap map = {.arena = x->arena};
    struct engine_series *out = NULL;
    size_t cap = 0;
    int64_t start, end;
    struct raw raw;

    source_window(s, 0, &start, &end);
    while (exec_ok(x) && source_next(s, &raw)) {
        int64_t *t = arena_array(x->arena, int64_t, raw.n),
                *ht = arena_array(x->arena, int64_t, raw.nh);
        double *v = arena_array(x->arena, double, raw.n);
        const struct histogram **h = arena_array(x->arena, const struct histogram *, raw.nh);
        struct engine_series es = {.t_ms = t, .v = v, .hist_t_ms = ht, .hist = h};
        bool is_new;

        for (size_t i = 0; i < raw.n; i++) {
            if (raw.t[i] <= start || raw.t[i] > end)
                continue;
            t[es.n] = raw.t[i];
            v[es.n++] = raw.v[i];
        }
        for (size_t i = 0; i < raw.nh; i++) {
            if (raw.ht[i] <= start || raw.ht[i] > end)
                continue;
            ht[es.n_hist] = raw.ht[i];
            h[es.n_hist++] = fhist_to(x->arena, raw.h[i]);
        }
        if (es.n + es.n_hist == 0)
            continue;
        es.labels =
            labels_dup(x->arena, raw.drop_name ? row_nameless(x->arena, raw.labels) : raw.labels);
        (void)labelmap_index(&map, es.labels, &is_new);
        if (!is_new) {
            (void)exec_fail(
                x, err_new(ERR_EXEC, "vector cannot contain metrics with the same labelset"));
            return;
        }
        if (ret->n_series == cap) {
            size_t grown = cap ? cap * 2 : 16;

            out = arena_grow(x->arena, out, cap * sizeof(*out), grown * sizeof(*out));
            cap = grown;
        }
        out[ret->n_series++] = es;
        if (!exec_hold(x, es.n + es.n_hist))
            return;
    }
    if (ret->n_series)
        qsort(out, ret->n_series, sizeof(*out), ops_by_labels);
    ret->series = out;
}

static struct err *check_times(const struct engine_query *q, struct grid *ret)
{
    uint64_t max = q->max_points ? q->max_points : ENGINE_MAX_POINTS, n;

    if (q->end_ms < q->start_ms)
        return err_new(ERR_INVALID, "end timestamp must not be before start time");
    if (q->step_ms < 0 || (q->step_ms == 0 && q->start_ms != q->end_ms))
        return err_new(ERR_INVALID, "zero or negative query resolution step widths are not "
                                    "accepted. Try a positive integer");
    n = q->step_ms ? (uint64_t)(q->end_ms - q->start_ms) / (uint64_t)q->step_ms + 1 : 1;
    if (n > max)
        return err_new(
            ERR_INVALID,
            "exceeded maximum resolution of %llu points per timeseries. Try decreasing the query "
            "resolution (?step=XX)",
            (unsigned long long)max);
    *ret = (struct grid){q->start_ms, q->step_ms, (size_t)n};
    return NULL;
}

static void run(struct exec *x, const struct promql_expr *root, struct engine_result *ret)
{
    bool is_range = x->q->step_ms > 0;

    root = promql_unwrap(root);
    if (is_range && root->type != PROMQL_SCALAR && root->type != PROMQL_VECTOR) {
        (void)exec_fail(
            x,
            err_new(
                ERR_INVALID,
                "invalid expression type \"%s\" for range query, must be Scalar or instant Vector",
                root->type == PROMQL_MATRIX ? "range vector" : "string"));
        return;
    }
    switch (root->type) {
    case PROMQL_STRING:
        ret->type = ENGINE_STRING;
        ret->string = arena_dup(x->arena, root->u.text);
        ret->string_t_ms = x->q->start_ms;
        break;
    case PROMQL_MATRIX:
        ret->type = ENGINE_MATRIX;
        run_matrix(x, root, ret);
        break;
    case PROMQL_SCALAR:
        ret->type = is_range ? ENGINE_MATRIX : ENGINE_SCALAR;
        run_rows(x, root, ret);
        break;
    case PROMQL_VECTOR:
        ret->type = is_range ? ENGINE_MATRIX : ENGINE_VECTOR;
        run_rows(x, root, ret);
        break;
    case PROMQL_NONE:
        (void)exec_fail(x, err_new(ERR_INVALID, "the expression has no value"));
        break;
    }
}

struct err *engine_query(const struct engine *eng, const struct engine_query *q, struct storage *st,
                         struct arena *a, struct engine_result *ret)
{
    const struct promql_options everything = PROMQL_EVERYTHING;
    struct exec x = {.opts = &eng->opts,
                     .q = q,
                     .st = st,
                     .arena = a,
                     .lookback_ms = q->lookback_ms ? q->lookback_ms : eng->opts.lookback_ms,
                     .max_samples = q->max_samples ? q->max_samples : ENGINE_MAX_SAMPLES};
    struct promql parsed = {0};
    struct err *e;

    if ((e = check_times(q, &x.grid)))
        return e;
    if ((e = promql_parse(a, q->expr, eng->opts.has_experimental ? &everything : NULL, &parsed)))
        return e;
    annot_init(&x.annots, a, q->expr);
    if (!(e = promql_resolve_durations(parsed.root, q->step_ms, q->end_ms - q->start_ms))) {
        *ret = (struct engine_result){0};
        x.root = parsed.root;
        turn_begin(&x.turn, eng->turns, q->began_mono_ms, clock_mono_ms(&clock_system));
        run(&x, parsed.root, ret);
        (void)exec_tick(&x);
        turn_end(&x.turn, clock_mono_ms(&clock_system));
        exec_done(&x);
        e = x.err;
        ret->n_warnings = annot_list(&x.annots, ANNOT_WARNING, &ret->warnings);
        ret->n_infos = annot_list(&x.annots, ANNOT_INFO, &ret->infos);
        ret->stats = x.stats;
        ret->stats.peak_bytes = arena_used(a);
    }
    annot_done(&x.annots);
    promql_done(&parsed);
    return e;
}
