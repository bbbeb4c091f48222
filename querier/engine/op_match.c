/*
 * Binary operations between vectors. Both sides are held; series meet in match groups (equal labels
 * after on/ignoring). One side of a group is the "one": at each step it may have one sample at most.
 * For group_right the sides are swapped, so that the left is always the "many".
 */
#include "querier/engine/cell.h"

struct match_group {
    size_t *many, *one; /* rows */
    size_t n_many, n_one, cap_many, cap_one;
    uint8_t *is_matched; /* one-to-one: steps that have a result */
};

struct match_node {
    struct node node;
    const struct promql_expr *e;
    const struct promql_matching *m;
    bool is_swapped;
    struct node *many_child, *one_child;
    struct rowset many, one;
    struct labelmap groups_map;
    struct match_group *groups;
    size_t cap;
    struct labelmap out_map;
    struct rowset out;
    size_t at;
    bool is_loaded;
};

static void index_push(struct arena *a, size_t **list, size_t *n, size_t *cap, size_t item)
{
    if (*n == *cap) {
        size_t grown = *cap ? *cap * 2 : 2;

        *list = arena_grow(a, *list, *cap * sizeof(size_t), grown * sizeof(size_t));
        *cap = grown;
    }
    (*list)[(*n)++] = item;
}

static struct match_group *group_of(struct match_node *n, struct labels ls)
{
    struct arena *arena = n->node.x->arena;
    bool is_new;
    struct labels key = ops_match_labels(node_tmp(&n->node), ls, n->m->is_on, n->m->labels);
    size_t i = labelmap_index(&n->groups_map, key, &is_new);

    if (i >= n->cap) {
        size_t cap = n->cap ? n->cap * 2 : 16;

        n->groups =
            arena_grow(arena, n->groups, n->cap * sizeof(*n->groups), cap * sizeof(*n->groups));
        n->cap = cap;
    }
    if (is_new)
        n->groups[i] = (struct match_group){0};
    return &n->groups[i];
}

static bool is_one_to_one(const struct match_node *n)
{
    return n->m->card == PROMQL_ONE_TO_ONE;
}

/* What an operand without a counterpart takes; false if it takes nothing. */
static bool fill_one(const struct match_node *n, double *ret)
{
    *ret = n->is_swapped ? n->m->fill_left : n->m->fill_right;
    return n->is_swapped ? n->m->has_fill_left : n->m->has_fill_right;
}

static bool fill_many(const struct match_node *n, double *ret)
{
    *ret = n->is_swapped ? n->m->fill_right : n->m->fill_left;
    return n->is_swapped ? n->m->has_fill_right : n->m->has_fill_left;
}

#define MESSAGE_BYTES                                                                              \
    (64 << 10) /* from there on a message tells only how many labels more there are */

static void braces_text(struct buf *out, struct labels ls)
{
    buf_byte(out, '{');
    for (size_t i = 0; i < ls.n; i++) {
        if (i)
            buf_str(out, ", ");
        if (out->len > MESSAGE_BYTES) {
            buf_printf(out, "and %zu more labels", ls.n - i);
            break;
        }
        buf_slice_append(out, ls.ptr[i].name);
        buf_byte(out, '=');
        buf_json_str(out, ls.ptr[i].value);
    }
    buf_byte(out, '}');
}

static void fail_duplicate(struct match_node *n, const struct row *a, const struct row *b)
{
    struct exec *x = n->node.x;
    struct buf t = {0};
    bool is_left = n->is_swapped;

    buf_str(&t, "found duplicate series for the match group ");
    braces_text(&t, ops_match_labels(x->arena, a->labels, n->m->is_on, n->m->labels));
    buf_printf(&t, " on the %s hand-side of the operation: [", is_left ? "left" : "right");
    braces_text(&t, a->labels);
    buf_str(&t, ", ");
    braces_text(&t, b->labels);
    buf_str(&t, "];many-to-many matching not allowed: matching labels must be unique on one side");
    (void)exec_fail(x, err_new(ERR_EXEC, "%s", buf_cstr(&t)));
    buf_done(&t);
}

static struct labels result_labels(struct match_node *n, struct labels many, struct labels one)
{
    struct labels_builder b;
    struct arena *tmp = node_tmp(&n->node);

    labels_builder_init(&b, tmp,
                        cell_drops_name(n->e->u.binary.op) ? row_nameless(tmp, many) : many);
    if (is_one_to_one(n)) {
        for (size_t i = 0; i < many.n; i++)
            if (ops_names_have(n->m->labels, many.ptr[i].name) != n->m->is_on)
                labels_builder_del(&b, many.ptr[i].name);
    }
    for (size_t i = 0; i < n->m->include.n; i++)
        labels_builder_set(&b, n->m->include.ptr[i], labels_get(one, n->m->include.ptr[i]));
    if (n->e->u.binary.is_bool && !n->node.x->opts->has_delayed_name_removal)
        return row_nameless(tmp, labels_builder_labels(&b));
    return labels_builder_labels(&b);
}

/* The output row of this pair. */
static size_t result_row(struct match_node *n, const struct row *many, const struct row *one)
{
    struct exec *x = n->node.x;
    struct row fresh;
    bool is_new;
    size_t i;

    fresh = (struct row){.labels =
                             result_labels(n, many->labels, one ? one->labels : (struct labels){0}),
                         .drop_name = many->drop_name || n->e->u.binary.is_bool};
    i = labelmap_index(&n->out_map, fresh.labels, &is_new);
    if (is_new) {
        fresh.v = row_column(node_tmp(&n->node), n->node.grid.n);
        (void)exec_hold(x, n->node.grid.n);
        rowset_add(x, &n->out, &fresh, n->node.grid.n);
    }
    arena_reset(n->node.tmp);
    return i;
}

static struct cell cell_of(const struct row *r, size_t i)
{
    return (struct cell){r->v[i], r->h ? r->h[i] : NULL};
}

/* One pair at one step. last: the pair before it of the same many row, and its output row. */
struct pair_cache {
    const struct row *one;
    size_t out;
    bool is_set;
};

static void evaluate(struct match_node *n, struct match_group *g, size_t i, const struct row *many,
                     struct cell l, const struct row *one, struct cell r, struct pair_cache *cache)
{
    struct exec *x = n->node.x;
    const struct promql_binary *b = &n->e->u.binary;
    struct cell_op c = {x, b->op, n->e->start, x->arena};
    bool keep = false, is_bad = false;
    struct cell res;
    struct row *out;

    /* Two series that meet one are a mistake, even if a comparison then drops them. */
    if (is_one_to_one(n)) {
        if (!g->is_matched)
            g->is_matched = arena_zalloc(x->arena, n->node.grid.n);
        if (g->is_matched[i]) {
            (void)exec_fail(x, err_new(ERR_EXEC,
                                       "multiple matches for labels: many-to-one matching must be "
                                       "explicit (group_left/group_right)"));
            return;
        }
        g->is_matched[i] = 1;
    }
    res = n->is_swapped ? cell_binary(&c, r, l, &keep, &is_bad)
                        : cell_binary(&c, l, r, &keep, &is_bad);

    if (is_bad)
        return;
    if (b->is_bool)
        res = (struct cell){keep, NULL};
    else if (!keep)
        return;
    if (!cache->is_set || cache->one != one)
        *cache = (struct pair_cache){one, result_row(n, many, one), true};
    out = &n->out.ptr[cache->out];
    if (row_has(out, i)) {
        (void)exec_fail(
            x,
            err_new(
                ERR_EXEC, "%s",
                is_one_to_one(n)
                    ? "vector cannot contain metrics with the same labelset"
                    : "multiple matches for labels: grouping labels must ensure unique matches"));
        return;
    }
    if (res.h) {
        if (!out->h)
            out->h = row_hist_column(x->arena, n->node.grid.n);
        out->h[i] = res.h;
    } else {
        out->v[i] = res.v;
    }
}

/* The group's only sample of the one side at each step: row number, or -1. */
static bool find_ones(struct match_node *n, const struct match_group *g, const uint8_t *has_many,
                      int64_t *ones)
{
    for (size_t i = 0; i < n->node.grid.n; i++)
        ones[i] = -1;
    for (size_t k = 0; k < g->n_one; k++) {
        const struct row *r = &n->one.ptr[g->one[k]];

        for (size_t i = 0; i < n->node.grid.n; i++) {
            if (!row_has(r, i))
                continue;
            if (ones[i] >= 0 && has_many[i]) {
                fail_duplicate(n, &n->one.ptr[ones[i]], r);
                return false;
            }
            ones[i] = (int64_t)g->one[k];
        }
    }
    return true;
}

static void join_group(struct match_node *n, struct match_group *g, const uint8_t *has_many,
                       int64_t *ones, uint8_t *is_met)
{
    size_t steps = n->node.grid.n;
    double fill;
    struct pair_cache cache = {0};

    if (!find_ones(n, g, has_many, ones))
        return;
    memset(is_met, 0, steps);
    for (size_t k = 0; k < g->n_many; k++) {
        const struct row *many = &n->many.ptr[g->many[k]];

        if (!exec_work(n->node.x, steps))
            return;
        cache.is_set = false;
        for (size_t i = 0; i < steps && exec_ok(n->node.x); i++) {
            if (!row_has(many, i))
                continue;
            is_met[i] = 1;
            if (ones[i] >= 0) {
                const struct row *one = &n->one.ptr[ones[i]];

                evaluate(n, g, i, many, cell_of(many, i), one, cell_of(one, i), &cache);
            } else if (fill_one(n, &fill)) {
                evaluate(n, g, i, many, cell_of(many, i), NULL, (struct cell){fill, NULL}, &cache);
            }
        }
    }
    if (!fill_many(n, &fill))
        return;
    cache.is_set = false;
    for (size_t i = 0; i < steps && exec_ok(n->node.x); i++) {
        const struct row *one;
        struct row stand_in;

        if (is_met[i] || ones[i] < 0)
            continue;
        one = &n->one.ptr[ones[i]];
        stand_in = (struct row){
            .labels = ops_match_labels(n->node.x->arena, one->labels, n->m->is_on, n->m->labels)};
        evaluate(n, g, i, &stand_in, (struct cell){fill, NULL}, one, cell_of(one, i), &cache);
    }
}

static bool match_load(struct match_node *n)
{
    struct exec *x = n->node.x;
    size_t steps = n->node.grid.n;
    uint8_t *has_many = arena_zalloc(x->arena, steps), *is_met = arena_zalloc(x->arena, steps);
    int64_t *ones = arena_array(x->arena, int64_t, steps);
    double fill;

    n->is_loaded = true;
    (void)node_tmp(&n->node);
    if (!rowset_fill(x, &n->many, n->many_child) || !rowset_fill(x, &n->one, n->one_child))
        return false;
    if (fill_many(n, &fill))
        memset(has_many, 1, steps);
    for (size_t k = 0; k < n->many.n; k++) {
        struct match_group *g = group_of(n, n->many.ptr[k].labels);

        index_push(x->arena, &g->many, &g->n_many, &g->cap_many, k);
        for (size_t i = 0; i < steps; i++)
            has_many[i] |= row_has(&n->many.ptr[k], i);
    }
    for (size_t k = 0; k < n->one.n; k++) {
        struct match_group *g = group_of(n, n->one.ptr[k].labels);

        index_push(x->arena, &g->one, &g->n_one, &g->cap_one, k);
    }
    for (size_t k = 0; k < n->groups_map.n && exec_tick(x); k++)
        join_group(n, &n->groups[k], has_many, ones, is_met);
    return exec_ok(x);
}

static bool match_next(struct node *node, struct row *ret)
{
    struct match_node *n = (struct match_node *)node;

    if (!n->is_loaded && !match_load(n))
        return false;
    if (n->at == n->out.n)
        return false;
    *ret = n->out.ptr[n->at++];
    return true;
}

struct node *op_binary_vector(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {match_next, NULL};
    struct match_node *n = node_new_of(x, struct match_node, &ops, grid);
    struct node *l = build_node(x, e->u.binary.lhs, grid),
                *r = l ? build_node(x, e->u.binary.rhs, grid) : NULL;

    if (!r)
        return NULL;
    n->e = e;
    n->m = &e->u.binary.matching;
    n->is_swapped = n->m->card == PROMQL_ONE_TO_MANY;
    n->many_child = n->is_swapped ? r : l;
    n->one_child = n->is_swapped ? l : r;
    n->groups_map.arena = n->out_map.arena = x->arena;
    return &n->node;
}
