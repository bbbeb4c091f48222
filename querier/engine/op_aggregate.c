/*
 * Aggregations whose state is a few numbers per group and step: the input streams through, and only
 * groups x steps stay. quantile() keeps the values themselves.
 */
#include <math.h>
#include <stdlib.h>

#include "common/base/num.h"
#include "querier/engine/moments.h"
#include "querier/engine/ops.h"

enum group_flag {
    GROUP_SEEN = 1,
    GROUP_FLOAT = 2,
    GROUP_HIST = 4,
    GROUP_STEPWISE = 8,   /* mean: the sum overflowed */
    GROUP_BAD_HISTS = 16, /* exponential and custom buckets met */
    GROUP_RESET = 32,     /* hints seen among the histograms */
    GROUP_NOT_RESET = 64,
    GROUP_HIST_STEPWISE = 128, /* mean of histograms: the sum overflowed */
};

struct group {
    struct labels labels; /* first: ops_by_labels() */
    bool drop_name;
    uint8_t *flags;
    double *value, *lost, *count;
    const struct fhist **h;
    double **rows; /* quantile: the columns of the group's series */
    size_t n_rows, cap_rows;
};

struct aggregate_node {
    struct node node;
    const struct promql_expr *e;
    struct node *child, *param;
    const double *param_v;
    struct labelmap map;
    struct group *groups;
    size_t cap, at;
    /* Histogram sums make a new one at each step; the old ones go when the arena is renewed. */
    struct arena *hist_arena;
    size_t hist_live_bytes;
    bool is_loaded, has_told;
    bool is_merging; /* the rows are those of shards, aggregated already */
    bool is_part;    /* to be merged: yields moments, and `at` counts their rows */
    struct moments moments;
};

static uint32_t expr_pos(const struct aggregate_node *a)
{
    return a->e->u.aggregate.expr->start;
}

static void info_ignored(struct aggregate_node *a)
{
    if (a->has_told)
        return;
    a->has_told = true;
    annot_add(&a->node.x->annots, ANNOT_INFO, expr_pos(a), "ignored histogram in %s aggregation",
              promql_agg_name(a->e->u.aggregate.op));
}

static void aggregate_done(struct node *n)
{
    arena_free(((struct aggregate_node *)n)->hist_arena);
}

static struct group *group_of(struct aggregate_node *a, const struct row *r)
{
    const struct promql_aggregate *ag = &a->e->u.aggregate;
    struct arena *arena = a->node.x->arena;
    size_t steps = a->node.grid.n;
    struct labels ls =
        ops_group_labels(node_tmp(&a->node), r->labels, ag->is_without, ag->grouping);
    bool is_new;
    size_t i = labelmap_index(&a->map, ls, &is_new);
    struct group *g;

    if (!is_new)
        return &a->groups[i];
    if (i == a->cap) {
        size_t cap = a->cap ? a->cap * 2 : 16;

        a->groups = arena_grow(arena, a->groups, a->cap * sizeof(*g), cap * sizeof(*g));
        a->cap = cap;
    }
    g = &a->groups[i];
    *g = (struct group){.labels = labels_dup(arena, ls), .drop_name = r->drop_name};
    (void)exec_hold(a->node.x, steps);
    if (ag->op == PROMQL_AGG_QUANTILE)
        return g;
    g->flags = arena_zalloc(arena, steps);
    g->value = arena_array(arena, double, steps);
    if (ag->op == PROMQL_AGG_SUM || ag->op == PROMQL_AGG_AVG || ag->op == PROMQL_AGG_STDDEV ||
        ag->op == PROMQL_AGG_STDVAR)
        g->lost = arena_array(arena, double, steps);
    if (ag->op == PROMQL_AGG_AVG || ag->op == PROMQL_AGG_STDDEV || ag->op == PROMQL_AGG_STDVAR)
        g->count = arena_array(arena, double, steps);
    return g;
}

static void sum_floats(struct aggregate_node *a, struct group *g, const struct row *r)
{
    for (size_t i = 0; i < a->node.grid.n; i++) {
        struct kahan k;

        if (!row_has_float(r, i))
            continue;
        k = (struct kahan){g->value[i], g->lost[i]};
        kahan_add(&k, r->v[i]);
        g->value[i] = k.sum;
        g->lost[i] = k.lost;
        g->flags[i] |= GROUP_SEEN | GROUP_FLOAT;
    }
}

static void mean_float(struct group *g, size_t i, double v)
{
    struct kahan k = {g->value[i], g->lost[i]};
    double count = ++g->count[i], q;

    if (!(g->flags[i] & GROUP_STEPWISE)) {
        struct kahan next = k;

        kahan_add(&next, v);
        if (count == 1 || !isinf(next.sum)) {
            g->value[i] = next.sum;
            g->lost[i] = next.lost;
            return;
        }
        g->flags[i] |= GROUP_STEPWISE;
        k = (struct kahan){k.sum / (count - 1), k.lost / (count - 1)};
    }
    q = (count - 1) / count;
    k = (struct kahan){q * k.sum, q * k.lost};
    kahan_add(&k, v / count);
    g->value[i] = k.sum;
    g->lost[i] = k.lost;
}

static void mean_floats(struct aggregate_node *a, struct group *g, const struct row *r)
{
    for (size_t i = 0; i < a->node.grid.n; i++) {
        if (!row_has_float(r, i))
            continue;
        mean_float(g, i, r->v[i]);
        g->flags[i] |= GROUP_SEEN | GROUP_FLOAT;
    }
}

/* Copies what is live into a fresh arena once the garbage of earlier sums outweighs it. */
static void renew_hist_arena(struct aggregate_node *a)
{
    struct arena *old = a->hist_arena;

    if (old && arena_used(old) < 2 * a->hist_live_bytes + (1u << 20))
        return;
    a->hist_arena = arena_child(a->node.x->arena, 0);
    for (size_t k = 0; old && k < a->map.n; k++)
        for (size_t i = 0; a->groups[k].h && i < a->node.grid.n; i++)
            if (a->groups[k].h[i])
                a->groups[k].h[i] = fhist_dup(a->hist_arena, a->groups[k].h[i]);
    a->hist_live_bytes = arena_used(a->hist_arena);
    arena_free(old);
}

/* One more histogram at step i, counted already. A mean whose sum overflows goes on step by step. */
static const struct fhist *add_hist(struct aggregate_node *a, struct group *g, size_t i,
                                    const struct fhist *h, struct fhist_notes *notes)
{
    const struct fhist *acc = g->h[i], *sum;
    double n;

    if (!(g->flags[i] & GROUP_HIST_STEPWISE)) {
        sum = fhist_sum_add(a->hist_arena, acc, h, notes);
        if (!sum || !g->count || !fhist_has_overflow(sum))
            return sum;
        g->flags[i] |= GROUP_HIST_STEPWISE;
        acc = fhist_div(a->hist_arena, acc, g->count[i] - 1);
    }
    n = g->count[i] - 1;
    return fhist_mean_add(a->hist_arena, acc, h, n, notes);
}

static void sum_hists(struct aggregate_node *a, struct group *g, const struct row *r)
{
    struct exec *x = a->node.x;
    struct fhist_notes notes = {0};

    if (!r->h)
        return;
    renew_hist_arena(a);
    if (!g->h)
        g->h = row_hist_column(x->arena, a->node.grid.n);
    for (size_t i = 0; i < a->node.grid.n; i++) {
        const struct fhist *h = r->h[i], *sum;

        if (!h)
            continue;
        if (h->hint == HISTOGRAM_RESET)
            g->flags[i] |= GROUP_RESET;
        else if (h->hint == HISTOGRAM_NOT_RESET)
            g->flags[i] |= GROUP_NOT_RESET;
        g->flags[i] |= GROUP_SEEN | GROUP_HIST;
        if (g->count)
            g->count[i]++;
        if (g->flags[i] & GROUP_BAD_HISTS)
            continue;
        sum = g->h[i] ? add_hist(a, g, i, h, &notes) : fhist_dup(a->hist_arena, h);
        if (!sum)
            g->flags[i] |= GROUP_BAD_HISTS;
        else
            g->h[i] = sum;
    }
    if (notes.has_reconciled)
        annot_add(&x->annots, ANNOT_INFO, expr_pos(a),
                  "mismatched custom buckets were reconciled during aggregation");
}

static void extreme_floats(struct aggregate_node *a, struct group *g, const struct row *r,
                           double sign)
{
    for (size_t i = 0; i < a->node.grid.n; i++) {
        if (row_has_hist(r, i))
            info_ignored(a);
        if (!row_has_float(r, i))
            continue;
        if (!(g->flags[i] & GROUP_SEEN) || sign * g->value[i] < sign * r->v[i] ||
            isnan(g->value[i]))
            g->value[i] = r->v[i];
        g->flags[i] |= GROUP_SEEN | GROUP_FLOAT;
    }
}

/* Welford's: value is the sum of squares, lost the running mean. */
static void variance_floats(struct aggregate_node *a, struct group *g, const struct row *r)
{
    for (size_t i = 0; i < a->node.grid.n; i++) {
        double delta;

        if (row_has_hist(r, i))
            info_ignored(a);
        if (!row_has_float(r, i))
            continue;
        if (!(g->flags[i] & GROUP_SEEN)) {
            g->flags[i] |= GROUP_SEEN | GROUP_FLOAT;
            g->count[i] = 1;
            g->lost[i] = r->v[i];
            g->value[i] = isfinite(r->v[i]) ? 0 : sample_from_bits(SAMPLE_NAN_BITS);
            continue;
        }
        g->count[i]++;
        delta = r->v[i] - g->lost[i];
        g->lost[i] += delta / g->count[i];
        g->value[i] += delta * (r->v[i] - g->lost[i]);
    }
}

static void keep_row(struct aggregate_node *a, struct group *g, const struct row *r)
{
    struct arena *arena = a->node.x->arena;
    size_t steps = a->node.grid.n;
    double *copy = arena_array(arena, double, steps);

    memcpy(copy, r->v, steps * sizeof(double));
    for (size_t i = 0; i < steps; i++)
        if (row_has_hist(r, i))
            info_ignored(a);
    if (g->n_rows == g->cap_rows) {
        size_t cap = g->cap_rows ? g->cap_rows * 2 : 8;

        g->rows =
            arena_grow(arena, g->rows, g->cap_rows * sizeof(*g->rows), cap * sizeof(*g->rows));
        g->cap_rows = cap;
    }
    g->rows[g->n_rows++] = copy;
    (void)exec_hold(a->node.x, steps);
}

static void count_row(struct aggregate_node *a, struct group *g, const struct row *r, bool is_count)
{
    for (size_t i = 0; i < a->node.grid.n; i++) {
        if (!row_has(r, i))
            continue;
        g->value[i] = is_count ? g->value[i] + 1 : 1;
        g->flags[i] |= GROUP_SEEN | GROUP_FLOAT;
    }
}

/* Counts of shards. */
static void add_counts(struct aggregate_node *a, struct group *g, const struct row *r)
{
    for (size_t i = 0; i < a->node.grid.n; i++) {
        if (!row_has_float(r, i))
            continue;
        g->value[i] += r->v[i];
        g->flags[i] |= GROUP_SEEN | GROUP_FLOAT;
    }
}

/* The sum of a shard; past what sums can hold the means are put together instead. */
static void merge_mean(struct group *g, size_t i, double count, double value, double lost)
{
    double total = g->count[i] + count;
    struct kahan k = {g->value[i], g->lost[i]};

    kahan_add(&k, value);
    if (!(g->flags[i] & GROUP_STEPWISE) && (g->count[i] == 0 || !isinf(k.sum))) {
        g->value[i] = k.sum;
        g->lost[i] = k.lost + lost;
    } else {
        double mean = g->flags[i] & GROUP_STEPWISE ? g->value[i] + g->lost[i]
                                                   : (g->value[i] + g->lost[i]) / g->count[i];

        g->flags[i] |= GROUP_STEPWISE;
        g->value[i] = mean * (g->count[i] / total) + (value + lost) / count * (count / total);
        g->lost[i] = 0;
    }
    g->count[i] = total;
}

/* Chan's way to put two of Welford's together; equal means stay what they are. */
static void merge_variance(struct group *g, size_t i, double count, double value, double mean)
{
    double total = g->count[i] + count, delta = mean - g->lost[i];

    if (g->count[i] == 0) {
        g->value[i] = value;
        g->lost[i] = mean;
    } else {
        g->value[i] += value + delta * delta * (g->count[i] * (count / total));
        g->lost[i] += delta * (count / total);
    }
    g->count[i] = total;
}

static void merge_moments(struct aggregate_node *a, const struct row *r)
{
    double *const *c = a->moments.column;
    struct group *g;

    if (!moments_take(a->node.x, &a->moments, r, a->node.grid.n))
        return;
    g = group_of(a, &(struct row){.labels = a->moments.labels});
    for (size_t i = 0; i < a->node.grid.n; i++) {
        double count = c[MOMENTS_COUNT][i];

        if (!(count > 0)) /* absent, too */
            continue;
        if (a->e->u.aggregate.op == PROMQL_AGG_AVG)
            merge_mean(g, i, count, c[MOMENTS_VALUE][i], c[MOMENTS_LOST][i]);
        else
            merge_variance(g, i, count, c[MOMENTS_VALUE][i], c[MOMENTS_LOST][i]);
        g->flags[i] |= GROUP_SEEN | GROUP_FLOAT;
    }
}

static void add_row(struct aggregate_node *a, const struct row *r)
{
    struct group *g;

    if (a->is_merging && moments_are_of(a->e->u.aggregate.op)) {
        merge_moments(a, r);
        return;
    }
    g = group_of(a, r);

    switch (a->e->u.aggregate.op) {
    case PROMQL_AGG_SUM:
        sum_floats(a, g, r);
        sum_hists(a, g, r);
        break;
    case PROMQL_AGG_AVG:
        mean_floats(a, g, r);
        sum_hists(a, g, r);
        break;
    case PROMQL_AGG_COUNT:
    case PROMQL_AGG_GROUP:
        if (a->is_merging && a->e->u.aggregate.op == PROMQL_AGG_COUNT) {
            add_counts(a, g, r);
            break;
        }
        count_row(a, g, r, a->e->u.aggregate.op == PROMQL_AGG_COUNT);
        break;
    case PROMQL_AGG_MIN:
    case PROMQL_AGG_MAX:
        extreme_floats(a, g, r, a->e->u.aggregate.op == PROMQL_AGG_MAX ? 1 : -1);
        break;
    case PROMQL_AGG_STDDEV:
    case PROMQL_AGG_STDVAR:
        variance_floats(a, g, r);
        break;
    case PROMQL_AGG_QUANTILE:
        keep_row(a, g, r);
        break;
    default:
        ORR_ASSERT(a->e->u.aggregate.op == PROMQL_AGG_SUM);
    }
}

static void check_quantile(struct aggregate_node *a, size_t i)
{
    double q = a->param_v[i];
    struct buf b = {0};

    if (!isnan(q) && q >= 0 && q <= 1)
        return;
    num_format(&b, q, 'g', -1);
    annot_add(&a->node.x->annots, ANNOT_WARNING, a->e->u.aggregate.param->start,
              "quantile value should be between 0 and 1, got %s", buf_cstr(&b));
    buf_done(&b);
}

static bool load(struct aggregate_node *a)
{
    struct row r;

    a->is_loaded = true;
    if (a->param && !(a->param_v = node_scalar(a->param)))
        return false;
    while (node_next(a->child, &r)) {
        if (a->node.tmp)
            arena_reset(a->node.tmp);
        add_row(a, &r);
    }
    if (a->map.n > 1 && ops_wants_order(a->node.x, a->e))
        qsort(a->groups, a->map.n, sizeof(*a->groups), ops_by_labels);
    return exec_ok(a->node.x);
}

static void finish_quantile(struct aggregate_node *a, struct group *g, struct row *ret)
{
    double *values = arena_array(node_tmp(&a->node), double, g->n_rows);

    for (size_t i = 0; i < a->node.grid.n && exec_work(a->node.x, 10 * g->n_rows); i++) {
        size_t n = 0;

        for (size_t k = 0; k < g->n_rows; k++)
            if (sample_bits(g->rows[k][i]) != SAMPLE_STALE_BITS)
                values[n++] = g->rows[k][i];
        if (n == 0)
            continue;
        check_quantile(a, i);
        ret->v[i] = ops_quantile(a->param_v[i], values, n);
    }
}

/* A step of sum or avg with histograms in it; false if it has no result. */
static bool finish_hist(struct aggregate_node *a, struct group *g, size_t i, struct row *ret)
{
    struct exec *x = a->node.x;
    const struct fhist *h;

    if (g->flags[i] & GROUP_FLOAT) {
        annot_add(&x->annots, ANNOT_WARNING, expr_pos(a),
                  "encountered a mix of histograms and floats for aggregation");
        return false;
    }
    if ((g->flags[i] & GROUP_RESET) && (g->flags[i] & GROUP_NOT_RESET))
        annot_add(&x->annots, ANNOT_WARNING, expr_pos(a),
                  "conflicting counter resets during histogram aggregation");
    if (g->flags[i] & GROUP_BAD_HISTS) {
        annot_add(&x->annots, ANNOT_WARNING, expr_pos(a),
                  "vector contains a mix of histograms with exponential and custom buckets schemas "
                  "for metric name \"\"");
        return false;
    }
    h = g->h[i];
    if (a->e->u.aggregate.op == PROMQL_AGG_AVG && !(g->flags[i] & GROUP_HIST_STEPWISE))
        h = fhist_div(node_tmp(&a->node), h, g->count[i]);
    h = fhist_sum_done(node_tmp(&a->node), h);
    if (!ret->h)
        ret->h = row_hist_column(node_tmp(&a->node), a->node.grid.n);
    ret->h[i] = h;
    return true;
}

static double finish_float(const struct aggregate_node *a, const struct group *g, size_t i)
{
    switch (a->e->u.aggregate.op) {
    case PROMQL_AGG_SUM:
        return g->value[i] + g->lost[i];
    case PROMQL_AGG_AVG:
        if (g->flags[i] & GROUP_STEPWISE)
            return g->value[i] + g->lost[i];
        return g->value[i] / g->count[i] + g->lost[i] / g->count[i];
    case PROMQL_AGG_STDDEV:
        return sqrt(g->value[i] / g->count[i]);
    case PROMQL_AGG_STDVAR:
        return g->value[i] / g->count[i];
    default:
        return g->value[i];
    }
}

static bool finish(struct aggregate_node *a, struct group *g, struct row *ret)
{
    bool has_any = false;

    *ret = (struct row){.labels = g->labels,
                        .drop_name = g->drop_name,
                        .v = row_column(node_tmp(&a->node), a->node.grid.n)};
    if (g->n_rows)
        finish_quantile(a, g, ret);
    for (size_t i = 0; g->flags && i < a->node.grid.n; i++) {
        if (!(g->flags[i] & GROUP_SEEN))
            continue;
        if (g->flags[i] & GROUP_HIST)
            (void)finish_hist(a, g, i, ret);
        else
            ret->v[i] = finish_float(a, g, i);
    }
    for (size_t i = 0; i < a->node.grid.n && !has_any; i++)
        has_any = row_has(ret, i);
    return has_any;
}

/* One of the three rows of a group. What they cannot tell (histograms, a sum that overflowed) is told by a value
 * that has the whole query run as one. */
static void part_row(struct aggregate_node *a, struct group *g, unsigned kind, struct row *ret)
{
    double *from[MOMENTS_ROWS] = {g->count, g->lost, g->value};

    *ret = (struct row){.labels = moments_labels(node_tmp(&a->node), g->labels, kind),
                        .drop_name = g->drop_name,
                        .v = row_column(node_tmp(&a->node), a->node.grid.n)};
    for (size_t i = 0; i < a->node.grid.n; i++) {
        if (!(g->flags[i] & GROUP_SEEN))
            continue;
        ret->v[i] = g->flags[i] & (GROUP_HIST | GROUP_STEPWISE) ? (double)INFINITY : from[kind][i];
        if (sample_bits(ret->v[i]) == SAMPLE_STALE_BITS) /* NaN as any other */
            ret->v[i] = sample_from_bits(SAMPLE_NAN_BITS);
    }
}

static bool aggregate_next(struct node *n, struct row *ret)
{
    struct aggregate_node *a = (struct aggregate_node *)n;

    if (!a->is_loaded && !load(a))
        return false;
    if (a->is_part) {
        if (a->at == a->map.n * MOMENTS_ROWS)
            return false;
        part_row(a, &a->groups[a->at / MOMENTS_ROWS], (unsigned)(a->at % MOMENTS_ROWS), ret);
        a->at++;
        return true;
    }
    while (a->at < a->map.n)
        if (finish(a, &a->groups[a->at++], ret))
            return true;
    return false;
}

/*
 * What the select right below may leave out: an aggregation by labels looks at no others, and at no
 * order. Only of a single step, where labels cost more than samples. Not where names are dropped and
 * series may then coincide: they must be seen to.
 */
static const struct select_hint *group_hint(struct exec *x, const struct promql_expr *e,
                                            struct grid grid)
{
    const struct promql_aggregate *ag = &e->u.aggregate;
    const struct promql_expr *child = promql_unwrap(ag->expr);
    struct select_hint *hint;
    struct slice *names;

    if (grid.n != 1 || ag->is_without || x->opts->has_type_and_unit)
        return NULL;
    if (child->kind == PROMQL_CALL) {
        if (!op_window_has(child->u.call.func->id))
            return NULL;
        for (size_t i = 0; i < child->u.call.n_args; i++)
            if (child->u.call.args[i]->type == PROMQL_MATRIX &&
                (promql_unwrap(child->u.call.args[i])->kind != PROMQL_RANGE ||
                 (build_has_many_names(child->u.call.args[i]) &&
                  !x->opts->has_delayed_name_removal)))
                return NULL;
    } else if (child->kind != PROMQL_SELECTOR) {
        return NULL;
    }
    hint = arena_new_of(x->arena, struct select_hint);
    names = arena_array(x->arena, struct slice, ag->grouping.n + 1);
    hint->is_by = hint->is_grouped = true;
    hint->grouping = names;
    for (; hint->n_grouping < ag->grouping.n; hint->n_grouping++)
        names[hint->n_grouping] = ag->grouping.ptr[hint->n_grouping];
    if (child->kind == PROMQL_CALL) /* annotations speak of it */
        names[hint->n_grouping++] = SLICE(LABEL_NAME);
    return hint;
}

struct node *op_aggregate(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {aggregate_next, aggregate_done};
    struct aggregate_node *a = node_new_of(x, struct aggregate_node, &ops, grid);

    a->e = e;
    a->map.arena = x->arena;
    a->is_part =
        x->q->wants_moments && promql_unwrap(x->root) == e && moments_are_of(e->u.aggregate.op);
    if (x->q->n_given && (a->child = op_given(x, grid, e))) {
        a->is_merging = e->u.aggregate.op != PROMQL_AGG_QUANTILE; /* given what it is over */
        if (e->u.aggregate.param)
            a->param = build_node(x, e->u.aggregate.param, grid);
        return exec_ok(x) ? &a->node : NULL;
    }
    x->hint = group_hint(x, e, grid);
    a->child = build_node(x, e->u.aggregate.expr, grid);
    node_merge_streams(a->child);
    if (e->u.aggregate.param)
        a->param = build_node(x, e->u.aggregate.param, grid);
    return exec_ok(x) ? &a->node : NULL;
}
