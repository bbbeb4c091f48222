/* Instant selectors: at each step the newest sample within the lookback that is no stale marker. */
#include "querier/engine/ops.h"

struct select_node {
    struct node node;
    const struct promql_selector *sel;
    struct timeref ref;
    enum select_mode mode;
    bool is_stats; /* of histograms only count and sum are wanted */
    struct select_hint hint;
    struct series_set *set;
    bool is_open;
    double *v; /* reused for every row */
};

static void select_close(struct select_node *s)
{
    struct exec *x = s->node.x;

    if (!s->set)
        return;
    for (size_t i = 0; i < s->set->n_warnings; i++)
        annot_add_text(&x->annots, ANNOT_WARNING, s->set->warnings[i]);
    (void)exec_fail(x, series_set_close(s->set));
    s->set = NULL;
}

static void select_done(struct node *n)
{
    select_close((struct select_node *)n);
}

static bool select_open(struct select_node *s)
{
    struct exec *x = s->node.x;
    const struct grid *g = &s->node.grid;
    struct storage_request req = {.matchers = s->sel->matchers,
                                  .step_ms = g->n > 1 ? g->step_ms : 0,
                                  .func = s->hint.func,
                                  .is_by = s->hint.is_by,
                                  .grouping = s->hint.grouping,
                                  .n_grouping = s->hint.n_grouping,
                                  .is_grouped = s->hint.is_grouped,
                                  .newest_only = g->n == 1 && !s->sel->is_smoothed,
                                  .max_resolution_ms = x->q->max_resolution_ms,
                                  .needs_samples = s->mode != SELECT_VALUE || s->sel->is_smoothed,
                                  .shard_index = x->q->shard_index,
                                  .shard_count = x->q->shard_count,
                                  .deadline_mono_ms = x->q->deadline_mono_ms,
                                  .cancel = x->q->cancel};
    struct err *e;

    s->is_open = true;
    if (g->n == 0)
        return false;
    req.start_ms = timeref_at(&s->ref, g, 0) - x->lookback_ms + 1;
    req.end_ms = timeref_at(&s->ref, g, g->n - 1);
    if (s->sel->is_smoothed)
        req.end_ms += x->lookback_ms;
    if ((e = storage_select(x->st, x->arena, &req, &s->set))) {
        s->set = NULL;
        return exec_fail(x, e);
    }
    s->v = arena_array(x->arena, double, g->n);
    return true;
}

/* The series without its stale markers: smoothing looks past them. */
static void drop_stale(struct select_node *s, struct storage_series *in)
{
    struct arena *tmp = node_tmp(&s->node);
    int64_t *t = arena_array(tmp, int64_t, in->n);
    double *v = arena_array(tmp, double, in->n);
    size_t n = 0;

    for (size_t i = 0; i < in->n; i++) {
        if (in->h && in->h[i]) {
            (void)exec_fail(
                s->node.x,
                err_new(ERR_EXEC,
                        "smoothed and anchored modifiers do not work with native histograms"));
            return;
        }
        if (sample_is_stale(in->v[i]))
            continue;
        t[n] = in->t_ms[i];
        v[n++] = in->v[i];
    }
    in->t_ms = t;
    in->v = v;
    in->n = n;
}

/* Between the samples around t, if there are both: what a straight line says. */
static double smooth(const struct select_node *s, const struct storage_series *in, size_t at,
                     int64_t t)
{
    int64_t t0 = in->t_ms[at], t1;

    if (t0 == t || at + 1 >= in->n)
        return in->v[at];
    t1 = in->t_ms[at + 1];
    if (t1 > t + s->node.x->lookback_ms)
        return in->v[at];
    return in->v[at] + (in->v[at + 1] - in->v[at]) * (double)(t - t0) / (double)(t1 - t0);
}

static double value_of(const struct select_node *s, const struct storage_series *in, size_t at,
                       int64_t t)
{
    switch (s->mode) {
    case SELECT_TIMESTAMP:
        return (double)in->t_ms[at] / 1000;
    case SELECT_START_TIMESTAMP:
        return in->st_ms ? (double)in->st_ms[at] / 1000 : 0;
    case SELECT_VALUE:
        break;
    }
    return s->sel->is_smoothed ? smooth(s, in, at, t) : in->v[at];
}

/* How long a sample is seen. */
static int64_t lookback_of(const struct select_node *s, const struct storage_series *in, size_t at)
{
    int64_t lookback_ms = s->node.x->lookback_ms;

    return in->points ? ORR_MAX(lookback_ms, in->points[at].span_ms) : lookback_ms;
}

/* Fills the row from one series; false if no step has a sample. */
static bool select_fill(struct select_node *s, const struct storage_series *in, struct row *ret)
{
    struct exec *x = s->node.x;
    const struct grid *g = &s->node.grid;
    const struct histogram *last = NULL;
    const struct fhist *last_f = NULL;
    size_t at = 0, found = 0; /* at: samples before it are not after the step */

    *ret = (struct row){.labels = in->labels, .v = s->v};
    for (size_t i = 0; i < g->n; i++) {
        int64_t t = timeref_at(&s->ref, g, i);

        ret->v[i] = ROW_ABSENT;
        while (at < in->n && in->t_ms[at] <= t)
            at++;
        if (at == 0 || in->t_ms[at - 1] <= t - lookback_of(s, in, at - 1) ||
            sample_is_stale(in->v[at - 1]))
            continue;
        found++;
        if (in->h && in->h[at - 1] && s->mode == SELECT_VALUE) {
            if (!ret->h)
                ret->h = row_hist_column(node_tmp(&s->node), g->n);
            if (in->h[at - 1] != last) {
                last = in->h[at - 1];
                last_f = s->is_stats
                             ? fhist_stats(node_tmp(&s->node), last, at > 1 ? in->h[at - 2] : NULL)
                             : fhist_from(node_tmp(&s->node), last);
            }
            ret->h[i] = last_f;
        } else {
            ret->v[i] = value_of(s, in, at - 1, t);
        }
    }
    x->stats.samples += found;
    return found > 0;
}

static bool select_next(struct node *n, struct row *ret)
{
    struct select_node *s = (struct select_node *)n;
    struct storage_series in;

    if (!s->is_open && !select_open(s))
        return false;
    if (!s->set)
        return false;
    do {
        if (!exec_tick(n->x))
            return false;
        if (!series_set_next(s->set, &in)) {
            select_close(s);
            return false;
        }
        n->x->stats.series++;
        if (s->sel->is_smoothed)
            drop_stale(s, &in);
    } while (!select_fill(s, &in, ret));
    if (s->mode != SELECT_VALUE)
        row_drop_name(n->x, node_tmp(n), ret);
    return true;
}

struct node *op_select(struct exec *x, struct grid grid, const struct promql_expr *e,
                       enum select_mode mode)
{
    static const struct node_ops ops = {select_next, select_done};
    struct select_node *s = node_new_of(x, struct select_node, &ops, grid);

    s->sel = &e->u.selector;
    s->ref = timeref_of(x, s->sel->at, s->sel->at_ms, s->sel->offset_ms);
    s->mode = mode;
    s->is_stats = x->stats_wanted && !x->stats_blocked;
    s->hint = select_hint_take(x);
    return &s->node;
}
