/* Range functions: pulls raw series, finds each step's window, runs the function's kernel. */
#include "querier/engine/window.h"

struct window_node {
    struct node node;
    enum promql_fn fn;
    win_kernel *kernel;
    struct source *source;
    uint32_t pos, pos0;
    struct node *arg, *arg2;
    const double *arg_v, *arg2_v;
    bool keeps_name, is_counter, is_ready;
    size_t *lo, *hi, *hlo, *hhi;
    int64_t *start, *end;
    double *v;
};

struct window_func {
    enum promql_fn fn;
    win_kernel *kernel;
    int range_arg, arg, arg2; /* indexes of arguments, -1: none */
    bool keeps_name, is_counter;
};

static const struct window_func window_funcs[] = {
    {PROMQL_FN_RATE, win_rate, 0, -1, -1, false, true},
    {PROMQL_FN_INCREASE, win_increase, 0, -1, -1, false, true},
    {PROMQL_FN_DELTA, win_delta, 0, -1, -1, false, false},
    {PROMQL_FN_IRATE, win_irate, 0, -1, -1, false, false},
    {PROMQL_FN_IDELTA, win_idelta, 0, -1, -1, false, false},
    {PROMQL_FN_COUNT_OVER_TIME, win_count, 0, -1, -1, false, false},
    {PROMQL_FN_PRESENT_OVER_TIME, win_present, 0, -1, -1, false, false},
    {PROMQL_FN_LAST_OVER_TIME, win_last, 0, -1, -1, true, false},
    {PROMQL_FN_FIRST_OVER_TIME, win_first, 0, -1, -1, true, false},
    {PROMQL_FN_MIN_OVER_TIME, win_min, 0, -1, -1, false, false},
    {PROMQL_FN_MAX_OVER_TIME, win_max, 0, -1, -1, false, false},
    {PROMQL_FN_SUM_OVER_TIME, win_sum, 0, -1, -1, false, false},
    {PROMQL_FN_AVG_OVER_TIME, win_avg, 0, -1, -1, false, false},
    {PROMQL_FN_STDDEV_OVER_TIME, win_stddev, 0, -1, -1, false, false},
    {PROMQL_FN_STDVAR_OVER_TIME, win_stdvar, 0, -1, -1, false, false},
    {PROMQL_FN_QUANTILE_OVER_TIME, win_quantile, 1, 0, -1, false, false},
    {PROMQL_FN_MAD_OVER_TIME, win_mad, 0, -1, -1, false, false},
    {PROMQL_FN_CHANGES, win_changes, 0, -1, -1, false, false},
    {PROMQL_FN_RESETS, win_resets, 0, -1, -1, false, false},
    {PROMQL_FN_DERIV, win_deriv, 0, -1, -1, false, false},
    {PROMQL_FN_PREDICT_LINEAR, win_predict_linear, 0, 1, -1, false, false},
    {PROMQL_FN_DOUBLE_EXPONENTIAL_SMOOTHING, win_smoothing, 0, 1, 2, false, false},
    {PROMQL_FN_TS_OF_FIRST_OVER_TIME, win_ts_of_first, 0, -1, -1, false, false},
    {PROMQL_FN_TS_OF_LAST_OVER_TIME, win_ts_of_last, 0, -1, -1, false, false},
    {PROMQL_FN_TS_OF_MIN_OVER_TIME, win_ts_of_min, 0, -1, -1, false, false},
    {PROMQL_FN_TS_OF_MAX_OVER_TIME, win_ts_of_max, 0, -1, -1, false, false},
};

static const struct {
    enum promql_fn fn;
    win_kernel *anchored, *smoothed;
} extended_funcs[] = {
    {PROMQL_FN_RATE, win_anchored_rate, win_smoothed_rate},
    {PROMQL_FN_INCREASE, win_anchored_increase, win_smoothed_increase},
    {PROMQL_FN_DELTA, win_anchored_delta, win_smoothed_delta},
    {PROMQL_FN_CHANGES, win_anchored_changes, NULL},
    {PROMQL_FN_RESETS, win_anchored_resets, NULL},
};

/* The kernel for the selector's modifier; NULL with an error if the function has none. */
static win_kernel *extended_kernel(struct exec *x, const struct promql_func *func, bool is_smoothed)
{
    for (size_t i = 0; i < ORR_COUNT(extended_funcs); i++)
        if (extended_funcs[i].fn == func->id && (!is_smoothed || extended_funcs[i].smoothed))
            return is_smoothed ? extended_funcs[i].smoothed : extended_funcs[i].anchored;
    (void)exec_fail(
        x, err_new(ERR_EXEC, "%s modifier can only be used with: %s - not with %s",
                   is_smoothed ? "smoothed" : "anchored",
                   is_smoothed ? "delta, increase, rate" : "changes, delta, increase, rate, resets",
                   func->name));
    return NULL;
}

static bool window_ready(struct window_node *w)
{
    struct exec *x = w->node.x;
    size_t n = w->node.grid.n;

    w->is_ready = true;
    w->lo = arena_array(x->arena, size_t, n * 4);
    w->hi = w->lo + n;
    w->hlo = w->hi + n;
    w->hhi = w->hlo + n;
    w->start = arena_array(x->arena, int64_t, n * 2);
    w->end = w->start + n;
    w->v = arena_array(x->arena, double, n);
    for (size_t i = 0; i < n; i++)
        source_window(w->source, i, &w->start[i], &w->end[i]);
    if (w->arg && !(w->arg_v = node_scalar(w->arg)))
        return false;
    if (w->arg2 && !(w->arg2_v = node_scalar(w->arg2)))
        return false;
    return exec_ok(x);
}

/* Windows only move forward, so each end is a pointer that does. */
static void find_windows(const struct window_node *w, const int64_t *t, size_t n, size_t *lo,
                         size_t *hi)
{
    size_t from = 0, to = 0;

    if (n == 0) {
        memset(lo, 0, w->node.grid.n * sizeof(*lo));
        memset(hi, 0, w->node.grid.n * sizeof(*hi));
        return;
    }
    for (size_t i = 0; i < w->node.grid.n; i++) {
        while (from < n && t[from] <= w->start[i])
            from++;
        while (to < n && t[to] <= w->end[i])
            to++;
        lo[i] = from;
        hi[i] = ORR_MAX(to, from);
    }
}

static void check_counter_name(struct window_node *w, struct slice name, struct labels ls,
                               const struct win *win)
{
    static const char *const endings[] = {"_total", "_sum", "_count", "_bucket"};
    struct slice type;
    bool has_float = false;

    for (size_t i = 0; i < w->node.grid.n && !has_float; i++)
        has_float = sample_bits(win->v[i]) != SAMPLE_STALE_BITS;
    if (!has_float || name.len == 0)
        return;
    if (w->node.x->opts->has_type_and_unit) {
        type = labels_get(ls, SLICE("__type__"));
        if (!slice_eq(type, SLICE("counter")))
            annot_add(&w->node.x->annots, ANNOT_INFO, w->pos,
                      "metric might not be a counter, __type__ label is not set to \"counter\" or "
                      "\"histogram\", got \"%.*s\": \"%.*s\"",
                      SLICE_ARG(type), SLICE_ARG(name));
        return;
    }
    for (size_t i = 0; i < ORR_COUNT(endings); i++)
        if (slice_has_suffix(name, slice_cstr(endings[i])))
            return;
    annot_add(
        &w->node.x->annots, ANNOT_INFO, w->pos,
        "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"%.*s\"",
        SLICE_ARG(name));
}

static bool window_fill(struct window_node *w, const struct raw *raw, struct row *ret)
{
    const struct grid *g = &w->node.grid;
    struct win win = {.x = w->node.x,
                      .tmp = node_tmp(&w->node),
                      .raw = raw,
                      .name = ops_name_of(raw->labels),
                      .pos = w->pos,
                      .pos0 = w->pos0,
                      .grid = g,
                      .range_ms = source_range_ms(w->source),
                      .lo = w->lo,
                      .hi = w->hi,
                      .hlo = w->hlo,
                      .hhi = w->hhi,
                      .start = w->start,
                      .end = w->end,
                      .arg = w->arg_v,
                      .arg2 = w->arg2_v,
                      .v = w->v};

    arena_reset(win.tmp);
    for (size_t i = 0; i < g->n; i++)
        w->v[i] = ROW_ABSENT;
    find_windows(w, raw->t, raw->n, w->lo, w->hi);
    find_windows(w, raw->ht, raw->nh, w->hlo, w->hhi);
    w->kernel(&win);
    *ret = (struct row){.labels = raw->labels, .drop_name = raw->drop_name, .v = win.v, .h = win.h};
    if (w->is_counter)
        check_counter_name(w, win.name, raw->labels, &win);
    for (size_t i = 0; i < g->n; i++)
        if (row_has(ret, i))
            return true;
    return false;
}

static bool window_next(struct node *n, struct row *ret)
{
    struct window_node *w = (struct window_node *)n;
    struct raw raw;

    if (!w->is_ready && !window_ready(w))
        return false;
    do {
        if (!source_next(w->source, &raw))
            return false;
    } while (!window_fill(w, &raw, ret) && exec_ok(n->x));
    if (!w->keeps_name)
        row_drop_name(n->x, node_tmp(n), ret);
    return true;
}

bool op_window_has(enum promql_fn fn)
{
    for (size_t i = 0; i < ORR_COUNT(window_funcs); i++)
        if (window_funcs[i].fn == fn)
            return true;
    return false;
}

struct node *op_window(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {window_next, NULL};
    const struct promql_call *call = &e->u.call;
    const struct window_func *f = NULL;
    struct window_node *w;

    for (size_t i = 0; i < ORR_COUNT(window_funcs); i++)
        if (window_funcs[i].fn == call->func->id)
            f = &window_funcs[i];
    ORR_ASSERT(f);
    w = node_new_of(x, struct window_node, &ops, grid);
    w->fn = f->fn;
    w->kernel = f->kernel;
    w->keeps_name = f->keeps_name;
    w->is_counter = f->is_counter;
    w->pos = call->args[f->range_arg]->start;
    w->pos0 = call->args[0]->start;
    w->source = source_new(x, grid, call->args[f->range_arg], slice_cstr(call->func->name));
    if (f->kernel == win_count || f->kernel == win_avg) /* the others do not ask */
        source_want_weights(w->source);
    if (source_is_anchored(w->source) || source_is_smoothed(w->source))
        w->kernel = extended_kernel(x, call->func, source_is_smoothed(w->source));
    if (f->arg >= 0)
        w->arg = build_node(x, call->args[f->arg], grid);
    if (f->arg2 >= 0)
        w->arg2 = build_node(x, call->args[f->arg2], grid);
    return exec_ok(x) ? &w->node : NULL;
}

/* absent_over_time(): one series, where no series has a sample in its window. */
struct absent_node {
    struct node node;
    struct source *source; /* absent_over_time() */
    struct node *child;    /* absent() */
    const struct promql_expr *arg;
    bool is_over;
};

static void mark_windows(struct absent_node *a, const struct raw *raw, bool *is_there)
{
    size_t f = 0, h = 0;

    for (size_t i = 0; i < a->node.grid.n; i++) {
        int64_t start, end;

        source_window(a->source, i, &start, &end);
        while (f < raw->n && raw->t[f] <= start)
            f++;
        while (h < raw->nh && raw->ht[h] <= start)
            h++;
        is_there[i] |= (f < raw->n && raw->t[f] <= end) || (h < raw->nh && raw->ht[h] <= end);
    }
}

/* The labels that the selector's equality matchers give. A name matched again loses its value, as in
 * Prometheus: absent(x{job="a",job="b"}) has no job. */
static struct labels absent_labels(struct arena *a, const struct promql_expr *e)
{
    struct matchers ms;
    struct labels_builder b;

    e = promql_unwrap(e);
    if (e->kind == PROMQL_RANGE)
        e = e->u.range.selector;
    if (e->kind != PROMQL_SELECTOR)
        return (struct labels){0};
    ms = e->u.selector.matchers;
    labels_builder_init(&b, a, (struct labels){0});
    for (size_t i = 0; i < ms.n; i++) {
        const struct matcher *m = &ms.ptr[i];
        bool is_first = m->op == MATCHER_EQ;

        if (slice_eq(m->name, SLICE(LABEL_NAME)))
            continue;
        for (size_t k = 0; k < i && is_first; k++)
            is_first = ms.ptr[k].op != MATCHER_EQ || !slice_eq(ms.ptr[k].name, m->name);
        if (is_first)
            labels_builder_set(&b, m->name, m->value);
        else
            labels_builder_del(&b, m->name);
    }
    return labels_builder_labels(&b);
}

static bool absent_next(struct node *n, struct row *ret)
{
    struct absent_node *a = (struct absent_node *)n;
    bool *is_there = arena_array(n->x->arena, bool, n->grid.n);
    bool has_any = false;
    struct raw raw;
    struct row r;

    if (a->is_over)
        return false;
    a->is_over = true;
    while (a->source && source_next(a->source, &raw))
        mark_windows(a, &raw, is_there);
    while (a->child && node_next(a->child, &r))
        for (size_t i = 0; i < n->grid.n; i++)
            is_there[i] |= row_has(&r, i);
    *ret = (struct row){.labels = absent_labels(n->x->arena, a->arg),
                        .v = row_column(n->x->arena, n->grid.n)};
    for (size_t i = 0; i < n->grid.n; i++) {
        if (is_there[i])
            continue;
        ret->v[i] = 1;
        has_any = true;
    }
    return has_any && exec_ok(n->x);
}

struct node *op_absent(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {absent_next, NULL};
    struct absent_node *a = node_new_of(x, struct absent_node, &ops, grid);
    const struct promql_expr *arg = e->u.call.args[0];

    a->arg = arg;
    if (arg->type == PROMQL_MATRIX)
        a->source = source_new(x, grid, arg, slice_cstr(e->u.call.func->name));
    else
        a->child = build_node(x, arg, grid);
    return exec_ok(x) ? &a->node : NULL;
}
