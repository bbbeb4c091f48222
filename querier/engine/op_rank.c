/*
 * Aggregations that choose among their input series: topk, bottomk, limitk, limit_ratio; and
 * count_values, whose groups are values.
 */
#include <math.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/num.h"
#include "querier/engine/ops.h"

struct rank_node {
    struct node node;
    const struct promql_expr *e;
    struct node *child, *param;
    const double *param_v;
    struct rowset rows;
    size_t *order; /* instant queries: rows in the order of the result */
    size_t at, n_order;
    bool is_loaded;
};

/* A candidate at one step. */
struct candidate {
    size_t row, group;
    double v;
};

static bool is_top(const struct rank_node *n)
{
    return n->e->u.aggregate.op == PROMQL_AGG_TOPK;
}

/* Group by group, best first; NaN is worse than anything; the input's order decides ties. */
static int best_first(const void *a, const void *b, void *arg)
{
    const struct candidate *x = a, *y = b;
    double sign = *(const double *)arg;

    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (isnan(x->v) != isnan(y->v))
        return isnan(x->v) ? 1 : -1;
    if (!isnan(x->v) && x->v != y->v)
        return sign * x->v > sign * y->v ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static bool check_param(struct rank_node *n, double *ret, size_t i)
{
    struct exec *x = n->node.x;
    double p = n->param_v[i];
    bool is_ratio = n->e->u.aggregate.op == PROMQL_AGG_LIMIT_RATIO;
    struct buf b = {0};

    if (isnan(p))
        return exec_fail(x, err_new(ERR_EXEC, "%s value is NaN", is_ratio ? "Ratio" : "Parameter"));
    num_format(&b, p, 'g', -1);
    if (is_ratio && fabs(p) > 1) {
        annot_add(&x->annots, ANNOT_WARNING, n->e->u.aggregate.param->start,
                  "ratio value should be between -1 and 1, got %s, capping to %d", buf_cstr(&b),
                  p > 1 ? 1 : -1);
        p = p > 1 ? 1 : -1;
    } else if (!is_ratio && (p >= 9223372036854775808.0 || p < -9223372036854775808.0)) {
        struct err *e = err_new(ERR_EXEC, "Scalar value %s %s int64", buf_cstr(&b),
                                p > 0 ? "overflows" : "underflows");

        buf_done(&b);
        return exec_fail(x, e);
    }
    buf_done(&b);
    *ret = p;
    return true;
}

/* Where the series lies in [0, 1]: the same in every query. Prometheus' hash of its label encoding, so
 * that both pick the same series. */
static double ratio_offset(struct labels ls)
{
    struct buf b = {0};
    uint64_t h;

    for (size_t i = 0; i < ls.n; i++) {
        const struct slice parts[2] = {ls.ptr[i].name, ls.ptr[i].value};

        for (int k = 0; k < 2; k++) {
            if (parts[k].len < 255) {
                buf_byte(&b, (uint8_t)parts[k].len);
            } else {
                buf_byte(&b, 255);
                buf_byte(&b, (uint8_t)parts[k].len);
                buf_byte(&b, (uint8_t)(parts[k].len >> 8));
                buf_byte(&b, (uint8_t)(parts[k].len >> 16));
            }
            buf_slice_append(&b, parts[k]);
        }
    }
    h = hash_xxh64_classic(buf_slice(&b));
    buf_done(&b);
    return (double)h / (double)UINT64_MAX;
}

static void pick_ratio(struct rank_node *n, size_t i, double ratio, const double *offsets)
{
    for (size_t r = 0; r < n->rows.n; r++) {
        bool is_in = ratio >= 0 ? offsets[r] < ratio : offsets[r] >= 1 + ratio;

        if (!is_in)
            row_clear(&n->rows.ptr[r], i);
    }
}

/*
 * The best k of every group at RANK_BLOCK steps at once (a cache line of each column): heaps with the
 * worst of the chosen at the root. limitk: the best are the first of the input.
 */
#define RANK_BLOCK 8
struct ranking {
    const size_t *group_of; /* of each row */
    size_t *start;          /* of each group's heap in heaps[] */
    size_t n_groups, n_slots;
    struct candidate *heaps; /* RANK_BLOCK x n_slots */
    size_t *sizes;           /* RANK_BLOCK x n_groups */
    double sign;
    bool is_limit, has_told;
};

static void swap(struct candidate *a, struct candidate *b)
{
    struct candidate c = *a;

    *a = *b;
    *b = c;
}

static void sift_down(struct candidate *h, size_t n, size_t at, double sign)
{
    for (;;) {
        size_t worst = at;

        for (size_t c = 2 * at + 1; c <= 2 * at + 2 && c < n; c++)
            if (best_first(&h[c], &h[worst], &sign) > 0)
                worst = c;
        if (worst == at)
            return;
        swap(&h[at], &h[worst]);
        at = worst;
    }
}

static void sift_up(struct candidate *h, size_t at, double sign)
{
    while (at && best_first(&h[at], &h[(at - 1) / 2], &sign) > 0) {
        swap(&h[at], &h[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

/* One sample at step i (slot b of the block): in or out of its group's best k. */
static void rank_offer(struct rank_node *n, struct ranking *rk, size_t row, size_t i, size_t b,
                       double k)
{
    struct row *r = &n->rows.ptr[row];
    size_t group = rk->group_of[row], *size = &rk->sizes[b * rk->n_groups + group];
    struct candidate *h = rk->heaps + b * rk->n_slots + rk->start[group];
    struct candidate c = {row, group, rk->is_limit ? 0 : r->v[i]};

    if (!row_has(r, i))
        return;
    if (!rk->is_limit && row_has_hist(r, i)) {
        if (!rk->has_told)
            annot_add(&n->node.x->annots, ANNOT_INFO, n->e->u.aggregate.expr->start,
                      "ignored histogram in %s aggregation", promql_agg_name(n->e->u.aggregate.op));
        rk->has_told = true;
        row_clear(r, i);
    } else if ((double)*size < k) {
        h[(*size)++] = c;
        sift_up(h, *size - 1, rk->sign);
    } else if (*size && best_first(&c, &h[0], &rk->sign) < 0) {
        row_clear(&n->rows.ptr[h[0].row], i);
        h[0] = c;
        sift_down(h, *size, 0, rk->sign);
    } else {
        row_clear(r, i);
    }
}

/* Heaps as large as the groups can fill them. */
static void ranking_init(struct rank_node *n, struct ranking *rk, const size_t *group_of,
                         size_t n_groups, double max_k)
{
    struct arena *a = n->node.x->arena;
    size_t *members = arena_array(a, size_t, n_groups + 1);

    *rk = (struct ranking){.group_of = group_of,
                           .n_groups = n_groups,
                           .sign = is_top(n) ? 1 : -1,
                           .is_limit = n->e->u.aggregate.op == PROMQL_AGG_LIMITK};
    rk->start = arena_array(a, size_t, n_groups + 1);
    for (size_t r = 0; r < n->rows.n; r++)
        members[group_of[r]]++;
    for (size_t g = 0; g < n_groups; g++) {
        rk->start[g] = rk->n_slots;
        rk->n_slots += (double)members[g] < max_k ? members[g] : (size_t)ORR_MAX(max_k, 0);
    }
    rk->heaps = arena_array(a, struct candidate, rk->n_slots * RANK_BLOCK);
    rk->sizes = arena_array(a, size_t, n_groups * RANK_BLOCK);
}

static bool rank_block(struct rank_node *n, struct ranking *rk, size_t from, size_t to)
{
    double k[RANK_BLOCK];

    memset(rk->sizes, 0, rk->n_groups * RANK_BLOCK * sizeof(size_t));
    for (size_t i = from; i < to; i++) {
        if (!check_param(n, &k[i - from], i))
            return false;
        k[i - from] = floor(k[i - from]);
    }
    for (size_t r = 0; r < n->rows.n; r++)
        for (size_t i = from; i < to; i++)
            rank_offer(n, rk, r, i, i - from, k[i - from]);
    return exec_work(n->node.x, n->rows.n * 10);
}

/* An instant query's result is ordered: group by group, best first. */
static void order_instant(struct rank_node *n, struct ranking *rk)
{
    for (size_t g = 0; g < rk->n_groups; g++) {
        struct candidate *h = rk->heaps + rk->start[g];

        if (rk->sizes[g])
            qsort_r(h, rk->sizes[g], sizeof(*h), best_first, &rk->sign);
        for (size_t c = 0; c < rk->sizes[g]; c++)
            n->order[n->n_order++] = h[c].row;
    }
}

static bool rank_all(struct rank_node *n, const size_t *group_of, size_t n_groups, double max_k)
{
    struct ranking rk;
    size_t steps = n->node.grid.n;

    ranking_init(n, &rk, group_of, n_groups, max_k);
    for (size_t i = 0; i < steps; i += RANK_BLOCK)
        if (!rank_block(n, &rk, i, ORR_MIN(i + RANK_BLOCK, steps)))
            return false;
    if (steps == 1)
        order_instant(n, &rk);
    return true;
}

static bool ratio_all(struct rank_node *n)
{
    double *offsets = arena_array(n->node.x->arena, double, n->rows.n), ratio;

    for (size_t r = 0; r < n->rows.n; r++)
        offsets[r] = ratio_offset(n->rows.ptr[r].labels);
    for (size_t i = 0; i < n->node.grid.n; i++) {
        if (!check_param(n, &ratio, i) || !exec_work(n->node.x, n->rows.n))
            return false;
        pick_ratio(n, i, ratio, offsets);
    }
    return true;
}

static bool rank_load(struct rank_node *n)
{
    struct exec *x = n->node.x;
    const struct promql_aggregate *ag = &n->e->u.aggregate;
    bool is_ratio = ag->op == PROMQL_AGG_LIMIT_RATIO;
    struct labelmap map = {.arena = x->arena};
    size_t *group_of;
    double k, max_k = 0;

    n->is_loaded = true;
    if (!(n->param_v = node_scalar(n->param)))
        return false;
    for (size_t i = 0; i < n->node.grid.n; i++) {
        if (!check_param(n, &k, i))
            return false;
        max_k = fmax(max_k, floor(k));
    }
    if (!rowset_fill(x, &n->rows, n->child))
        return false;
    group_of = arena_array(x->arena, size_t, n->rows.n);
    n->order = arena_array(x->arena, size_t, n->rows.n);
    for (size_t r = 0; r < n->rows.n; r++) {
        bool is_new;

        group_of[r] = labelmap_index(
            &map, ops_group_labels(x->arena, n->rows.ptr[r].labels, ag->is_without, ag->grouping),
            &is_new);
    }
    if (!(is_ratio ? ratio_all(n) : rank_all(n, group_of, map.n, max_k)))
        return false;
    for (size_t r = 0; (is_ratio || n->node.grid.n != 1) && r < n->rows.n; r++)
        n->order[n->n_order++] = r;
    return exec_ok(x);
}

static bool rank_next(struct node *node, struct row *ret)
{
    struct rank_node *n = (struct rank_node *)node;

    if (!n->is_loaded && !rank_load(n))
        return false;
    while (n->at < n->n_order) {
        *ret = n->rows.ptr[n->order[n->at++]];
        for (size_t i = 0; i < node->grid.n; i++)
            if (row_has(ret, i))
                return true;
    }
    return false;
}

struct node *op_rank(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {rank_next, NULL};
    struct rank_node *n = node_new_of(x, struct rank_node, &ops, grid);

    n->e = e;
    n->child = build_node(x, e->u.aggregate.expr, grid);
    n->param = build_node(x, e->u.aggregate.param, grid);
    return exec_ok(x) ? &n->node : NULL;
}

struct count_values_node {
    struct node node;
    const struct promql_expr *e;
    struct node *child;
    struct slice label;
    struct labelmap map;
    struct rowset rows;
    size_t at;
    bool is_loaded;
    bool is_merging; /* the rows are those of shards, counted already */
};

static void value_text(struct buf *out, struct arena *a, const struct row *r, size_t i)
{
    buf_reset(out);
    if (row_has_hist(r, i))
        fhist_text(out, a, r->h[i]);
    else
        buf_f64_text(out, r->v[i]);
}

/* The row that counts this value of this series' group. */
static size_t value_row(struct count_values_node *n, const struct row *r, struct slice text)
{
    const struct promql_aggregate *ag = &n->e->u.aggregate;
    struct exec *x = n->node.x;
    struct arena *tmp = node_tmp(&n->node);
    struct labels_builder b;
    struct labels ls;
    bool is_new;
    size_t i;

    if (ag->is_without) {
        labels_builder_init(&b, tmp, r->labels);
        labels_builder_set(&b, n->label, arena_dup(tmp, text));
        ls = ops_group_labels(tmp, labels_builder_labels(&b), true, ag->grouping);
    } else {
        labels_builder_init(&b, tmp, ops_group_labels(tmp, r->labels, false, ag->grouping));
        labels_builder_set(&b, n->label, arena_dup(tmp, text));
        ls = labels_builder_labels(&b);
    }
    i = labelmap_index(&n->map, ls, &is_new);
    if (is_new) {
        struct row fresh = {
            .labels = ls, .drop_name = r->drop_name, .v = row_column(tmp, n->node.grid.n)};

        (void)exec_hold(x, n->node.grid.n);
        rowset_add(x, &n->rows, &fresh, n->node.grid.n);
    }
    return i;
}

/* Counts of a shard. */
static void add_value_counts(struct count_values_node *n, const struct row *r)
{
    struct exec *x = n->node.x;
    bool is_new;
    size_t k = labelmap_index(&n->map, r->labels, &is_new);
    struct row *to;

    if (is_new) {
        (void)exec_hold(x, n->node.grid.n);
        rowset_add(x, &n->rows, r, n->node.grid.n);
        return;
    }
    to = &n->rows.ptr[k];
    for (size_t i = 0; i < n->node.grid.n; i++)
        if (row_has_float(r, i))
            to->v[i] = row_has_float(to, i) ? to->v[i] + r->v[i] : r->v[i];
}

static bool count_values_load(struct count_values_node *n)
{
    struct buf text = {0};
    struct row r;

    n->is_loaded = true;
    while (n->is_merging && node_next(n->child, &r))
        add_value_counts(n, &r);
    while (node_next(n->child, &r)) {
        size_t last = 0;
        double last_v = ROW_ABSENT;

        if (n->node.tmp)
            arena_reset(n->node.tmp);
        for (size_t i = 0; i < n->node.grid.n; i++) {
            struct row *to;

            if (!row_has(&r, i))
                continue;
            /* Values often stay; the text and its row are then known. */
            if (row_has_hist(&r, i) || sample_bits(r.v[i]) != sample_bits(last_v)) {
                value_text(&text, node_tmp(&n->node), &r, i);
                last = value_row(n, &r, buf_slice(&text));
                last_v = r.v[i];
            }
            to = &n->rows.ptr[last];
            to->v[i] = row_has_float(to, i) ? to->v[i] + 1 : 1;
        }
    }
    buf_done(&text);
    if (n->rows.n > 1 && ops_wants_order(n->node.x, n->e))
        qsort(n->rows.ptr, n->rows.n, sizeof(*n->rows.ptr), ops_by_labels);
    return exec_ok(n->node.x);
}

static bool count_values_next(struct node *node, struct row *ret)
{
    struct count_values_node *n = (struct count_values_node *)node;

    if (!n->is_loaded && !count_values_load(n))
        return false;
    if (n->at == n->rows.n)
        return false;
    *ret = n->rows.ptr[n->at++];
    return true;
}

struct node *op_count_values(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {count_values_next, NULL};
    struct count_values_node *n = node_new_of(x, struct count_values_node, &ops, grid);
    struct buf quoted = {0};

    n->e = e;
    n->label = ops_text(e->u.aggregate.param);
    n->map.arena = x->arena;
    if (n->label.len == 0 || !slice_is_utf8(n->label)) {
        buf_byte(&quoted, '"');
        for (size_t i = 0; i < n->label.len; i++) {
            if (n->label.ptr[i] < 0x20 || n->label.ptr[i] >= 0x7f)
                buf_printf(&quoted, "\\x%02x", n->label.ptr[i]);
            else
                buf_byte(&quoted, n->label.ptr[i]);
        }
        buf_byte(&quoted, '"');
        (void)exec_fail(x, err_new(ERR_EXEC, "invalid label name %s", buf_cstr(&quoted)));
        buf_done(&quoted);
        return NULL;
    }
    if (x->q->n_given && (n->child = op_given(x, grid, e)))
        n->is_merging = true;
    else
        n->child = build_node(x, e->u.aggregate.expr, grid);
    return exec_ok(x) ? &n->node : NULL;
}
