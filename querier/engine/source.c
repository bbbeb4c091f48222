#include "querier/engine/source.h"

struct source {
    struct exec *x;
    struct grid grid;
    struct timeref ref;
    int64_t range_ms;
    bool is_anchored, is_smoothed, is_stats, is_weighted;
    struct node *holder; /* its tmp arena holds what is lent, its done() closes the set */
    const struct promql_expr *selector; /* NULL: subquery */
    struct slice func;
    struct select_hint hint;
    struct series_set *set;
    bool is_open;
    struct node *child; /* subquery */
    uint64_t held;
};

struct source_holder {
    struct node node;
    struct source *source;
};

static void close_set(struct source *s)
{
    struct exec *x = s->x;

    if (!s->set)
        return;
    for (size_t i = 0; i < s->set->n_warnings; i++)
        annot_add_text(&x->annots, ANNOT_WARNING, s->set->warnings[i]);
    (void)exec_fail(x, series_set_close(s->set));
    s->set = NULL;
}

static void holder_done(struct node *n)
{
    close_set(((struct source_holder *)n)->source);
}

static bool holder_next(struct node *n, struct row *ret)
{
    (void)n;
    (void)ret;
    return false;
}

static const struct node_ops holder_ops = {holder_next, holder_done};

/* Inner steps are multiples of the step, so that a sliding subquery sees the same instants. */
static struct grid subquery_grid(const struct source *s, int64_t step_ms)
{
    int64_t first = timeref_at(&s->ref, &s->grid, 0) - s->range_ms;
    int64_t last = timeref_at(&s->ref, &s->grid, s->grid.n ? s->grid.n - 1 : 0);
    int64_t start = first / step_ms * step_ms;

    if (start <= first)
        start += step_ms;
    return (struct grid){start, step_ms, last < start ? 0 : (size_t)((last - start) / step_ms) + 1};
}

static void open_subquery(struct source *s, const struct promql_subquery *sq)
{
    struct exec *x = s->x;
    int64_t step = sq->step_ms ? sq->step_ms : x->opts->subquery_step_ms;
    struct grid g;

    s->range_ms = sq->range_ms;
    s->ref = timeref_of(x, sq->at, sq->at_ms, sq->offset_ms);
    g = subquery_grid(s, step);
    if (g.n > x->max_samples) {
        (void)exec_hold(x, g.n);
        return;
    }
    x->stats_blocked++; /* resets between the samples it picks are found by the buckets */
    s->child = build_node(x, sq->expr, g);
    x->stats_blocked--;
}

struct source *source_new(struct exec *x, struct grid grid, const struct promql_expr *e,
                          struct slice func)
{
    struct source *s = arena_new_of(x->arena, struct source);
    struct source_holder *holder = node_new_of(x, struct source_holder, &holder_ops, grid);

    e = promql_unwrap(e);
    *s = (struct source){.x = x, .grid = grid, .holder = &holder->node, .func = func};
    holder->source = s;
    s->hint = select_hint_take(x);
    if (e->kind == PROMQL_SUBQUERY) {
        open_subquery(s, &e->u.subquery);
        return s;
    }
    s->selector = e->u.range.selector;
    s->range_ms = e->u.range.range_ms;
    s->ref = timeref_of(x, s->selector->u.selector.at, s->selector->u.selector.at_ms,
                        s->selector->u.selector.offset_ms);
    s->is_anchored = s->selector->u.selector.is_anchored;
    s->is_smoothed = s->selector->u.selector.is_smoothed;
    s->is_stats = x->stats_wanted && !x->stats_blocked;
    return s;
}

void source_window(const struct source *s, size_t step, int64_t *ret_start, int64_t *ret_end)
{
    *ret_end = timeref_at(&s->ref, &s->grid, step);
    *ret_start = *ret_end - s->range_ms;
}

void source_want_weights(struct source *s)
{
    s->is_weighted = true;
}

int64_t source_range_ms(const struct source *s)
{
    return s->range_ms;
}

bool source_is_anchored(const struct source *s)
{
    return s->is_anchored;
}

bool source_is_smoothed(const struct source *s)
{
    return s->is_smoothed;
}

static bool open_set(struct source *s)
{
    struct exec *x = s->x;
    int64_t start, end, last_start, last_end;
    struct storage_request req = {.matchers = s->selector->u.selector.matchers,
                                  .step_ms = s->grid.n > 1 ? s->grid.step_ms : 0,
                                  .range_ms = s->range_ms,
                                  .func = s->func,
                                  .is_by = s->hint.is_by,
                                  .grouping = s->hint.grouping,
                                  .n_grouping = s->hint.n_grouping,
                                  .is_grouped = s->hint.is_grouped,
                                  .max_resolution_ms = x->q->max_resolution_ms,
                                  .needs_samples = s->is_anchored || s->is_smoothed,
                                  .shard_index = x->q->shard_index,
                                  .shard_count = x->q->shard_count,
                                  .deadline_mono_ms = x->q->deadline_mono_ms,
                                  .cancel = x->q->cancel};
    struct err *e;

    s->is_open = true;
    if (s->grid.n == 0)
        return false;
    source_window(s, 0, &start, &end);
    source_window(s, s->grid.n - 1, &last_start, &last_end);
    req.start_ms = start + 1;
    req.end_ms = last_end;
    /* Extended selectors also look at the samples just outside of the window. */
    if (s->is_anchored || s->is_smoothed)
        req.start_ms -= x->lookback_ms;
    if (s->is_smoothed)
        req.end_ms += x->lookback_ms;
    if ((e = storage_select(x->st, x->arena, &req, &s->set))) {
        s->set = NULL;
        return exec_fail(x, e);
    }
    return true;
}

/* Splits a mixed or stale-marked series into the columns of raw. */
static void split(struct source *s, const struct storage_series *in, struct raw *ret)
{
    struct arena *a = node_tmp(s->holder);
    size_t nh = 0, n = 0;
    int64_t *t, *ht, *st = NULL, *hst = NULL;
    const struct fhist **h;
    double *v, *w = NULL, *hw = NULL;

    for (size_t i = 0; in->h && i < in->n; i++)
        nh += in->h[i] != NULL;
    t = arena_array(a, int64_t, in->n - nh);
    v = arena_array(a, double, in->n - nh);
    ht = arena_array(a, int64_t, nh);
    h = arena_array(a, const struct fhist *, nh);
    if (in->st_ms) {
        st = arena_array(a, int64_t, in->n - nh);
        hst = arena_array(a, int64_t, nh);
    }
    if (in->points && s->is_weighted) {
        w = arena_array(a, double, in->n - nh);
        hw = arena_array(a, double, nh);
    }
    nh = 0;
    for (size_t i = 0; i < in->n; i++) {
        if (sample_is_stale(in->v[i]))
            continue;
        if (in->h && in->h[i]) {
            if (hst)
                hst[nh] = in->st_ms[i];
            if (hw)
                hw[nh] = in->points[i].samples;
            ht[nh] = in->t_ms[i];
            h[nh++] = s->is_stats ? fhist_stats(a, in->h[i], i ? in->h[i - 1] : NULL)
                                  : fhist_from(a, in->h[i]);
        } else {
            if (st)
                st[n] = in->st_ms[i];
            if (w)
                w[n] = in->points[i].samples;
            t[n] = in->t_ms[i];
            v[n++] = in->v[i];
        }
    }
    *ret = (struct raw){.labels = in->labels,
                        .n = n,
                        .t = t,
                        .v = v,
                        .st = st,
                        .w = w,
                        .nh = nh,
                        .ht = ht,
                        .h = h,
                        .hst = hst,
                        .hw = hw};
}

/* What floats stand for, if they do for more than themselves. */
static const double *weights_of(struct source *s, const struct storage_series *in)
{
    double *w;

    if (!in->points || !s->is_weighted)
        return NULL;
    w = arena_array(node_tmp(s->holder), double, in->n);
    for (size_t i = 0; i < in->n; i++)
        w[i] = in->points[i].samples;
    return w;
}

static bool has_stale(const struct storage_series *in)
{
    uint64_t any = 0;

    for (size_t i = 0; i < in->n; i++)
        any |= (uint64_t)(sample_bits(in->v[i]) == SAMPLE_STALE_BITS);
    return any;
}

static bool next_stored(struct source *s, struct raw *ret)
{
    struct storage_series in;

    if (!s->is_open && !open_set(s))
        return false;
    if (!s->set)
        return false;
    do {
        if (!exec_tick(s->x))
            return false;
        if (!series_set_next(s->set, &in)) {
            close_set(s);
            return false;
        }
    } while (in.n == 0);
    if (!s->x->opts->has_start_timestamps)
        in.st_ms = NULL;
    s->x->stats.series++;
    s->x->stats.samples += in.n;
    s->held = in.n;
    if (!exec_hold(s->x, in.n))
        return false;
    if (in.h || has_stale(&in))
        split(s, &in, ret);
    else
        *ret = (struct raw){.labels = in.labels,
                            .n = in.n,
                            .t = in.t_ms,
                            .v = in.v,
                            .st = in.st_ms,
                            .w = weights_of(s, &in)};
    return true;
}

static bool next_evaluated(struct source *s, struct raw *ret)
{
    struct arena *a = node_tmp(s->holder);
    const struct grid *g = &s->child->grid;
    size_t n = 0, nh = 0;
    int64_t *t, *ht = NULL;
    const struct fhist **h = NULL;
    struct row r;
    double *v;

    if (!node_next(s->child, &r))
        return false;
    s->held = g->n;
    if (!exec_hold(s->x, g->n))
        return false;
    t = arena_array(a, int64_t, g->n);
    v = arena_array(a, double, g->n);
    if (r.h) {
        ht = arena_array(a, int64_t, g->n);
        h = arena_array(a, const struct fhist *, g->n);
    }
    for (size_t i = 0; i < g->n; i++) {
        if (row_has_float(&r, i)) {
            t[n] = grid_t(g, i);
            v[n++] = r.v[i];
        } else if (row_has_hist(&r, i)) {
            /* What a hint says of a sample and the one before it is not true of what a subquery picks. */
            ht[nh] = grid_t(g, i);
            h[nh++] = r.h[i]->hint == HISTOGRAM_GAUGE || r.h[i]->hint == HISTOGRAM_UNKNOWN
                          ? r.h[i]
                          : fhist_with_hint(a, r.h[i], HISTOGRAM_UNKNOWN);
        }
    }
    *ret = (struct raw){.labels = r.labels,
                        .drop_name = r.drop_name,
                        .n = n,
                        .t = t,
                        .v = v,
                        .nh = nh,
                        .ht = ht,
                        .h = h};
    return true;
}

bool source_next(struct source *s, struct raw *ret)
{
    if (!exec_tick(s->x))
        return false;
    exec_release(s->x, s->held);
    s->held = 0;
    if (s->holder->tmp)
        arena_reset(s->holder->tmp);
    if (s->selector)
        return next_stored(s, ret);
    return s->child && next_evaluated(s, ret);
}
