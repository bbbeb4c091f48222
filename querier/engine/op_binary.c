/* Binary operations with at least one scalar side, set operations, and unary minus. */
#include <math.h>

#include "querier/engine/cell.h"

struct scalar_node {
    struct node node;
    const struct promql_expr *e;
    struct node *vector, *scalar; /* scalar-scalar: vector is the left side */
    const double *scalar_v;
    bool is_swapped; /* the scalar is the left side */
};

/* Floats only, one loop per operator: the hot path of "x / 1000", "x > 5". */
static void arithmetic(const struct exec *x, enum promql_op op, double *v, const double *s,
                       size_t n, bool is_swapped)
{
#define EACH(expr)                                                                                 \
    for (size_t i = 0; i < n; i++) {                                                               \
        double l = is_swapped ? s[i] : v[i], r = is_swapped ? v[i] : s[i];                         \
        if (sample_bits(v[i]) != SAMPLE_STALE_BITS)                                                \
            v[i] = (expr);                                                                         \
    }
    switch (op) {
    case PROMQL_ADD:
        EACH(l + r)
        break;
    case PROMQL_SUB:
        EACH(l - r)
        break;
    case PROMQL_MUL:
        EACH(l * r)
        break;
    case PROMQL_DIV:
        if (x->opts->divides_as_logql)
            EACH(ops_divide(x, l, r))
        else
            EACH(l / r)
        break;
    default:
        EACH(ops_binary_f64(op, l, r))
        break;
    }
#undef EACH
}

static void comparison(const struct promql_binary *b, double *v, const double *s, size_t n,
                       bool is_swapped)
{
    for (size_t i = 0; i < n; i++) {
        bool is_true;

        if (sample_bits(v[i]) == SAMPLE_STALE_BITS)
            continue;
        is_true = is_swapped ? ops_compare(b->op, s[i], v[i]) : ops_compare(b->op, v[i], s[i]);
        if (b->is_bool)
            v[i] = is_true;
        else if (!is_true)
            v[i] = ROW_ABSENT;
    }
}

static void mixed(struct scalar_node *s, struct row *r)
{
    const struct promql_binary *b = &s->e->u.binary;
    struct cell_op c = {s->node.x, b->op, s->e->start, node_tmp(&s->node)};

    for (size_t i = 0; i < s->node.grid.n; i++) {
        struct cell vec = {r->v[i], r->h ? r->h[i] : NULL}, sc = {s->scalar_v[i], NULL}, res;
        bool keep, is_bad;

        if (!row_has(r, i))
            continue;
        res = s->is_swapped ? cell_binary(&c, sc, vec, &keep, &is_bad)
                            : cell_binary(&c, vec, sc, &keep, &is_bad);
        if (promql_op_is_comparison(b->op))
            res = vec; /* always the vector's value, whichever side it is on */
        row_clear(r, i);
        if (b->is_bool && !is_bad) {
            r->v[i] = keep;
        } else if (keep) {
            if (res.h)
                r->h[i] = res.h;
            else
                r->v[i] = res.v;
        }
    }
}

static bool scalar_next(struct node *n, struct row *ret)
{
    struct scalar_node *s = (struct scalar_node *)n;
    const struct promql_binary *b = &s->e->u.binary;

    if (!s->scalar_v && !(s->scalar_v = node_scalar(s->scalar)))
        return false;
    if (!node_next(s->vector, ret))
        return false;
    if (ret->h || b->op == PROMQL_TRIM_UPPER || b->op == PROMQL_TRIM_LOWER)
        mixed(s, ret);
    else if (promql_op_is_comparison(b->op))
        comparison(b, ret->v, s->scalar_v, n->grid.n, s->is_swapped);
    else
        arithmetic(n->x, b->op, ret->v, s->scalar_v, n->grid.n, s->is_swapped);
    if (!n->is_scalar && (cell_drops_name(b->op) || b->is_bool))
        row_drop_name(n->x, node_tmp(n), ret);
    return true;
}

struct node *op_binary_scalar(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {scalar_next, NULL};
    struct scalar_node *s = node_new_of(x, struct scalar_node, &ops, grid);
    bool is_trim = e->u.binary.op == PROMQL_TRIM_UPPER || e->u.binary.op == PROMQL_TRIM_LOWER;
    struct node *l, *r;

    x->stats_blocked += is_trim;
    l = build_node(x, e->u.binary.lhs, grid);
    r = l ? build_node(x, e->u.binary.rhs, grid) : NULL;
    x->stats_blocked -= is_trim;
    if (!r)
        return NULL;
    if (is_trim && l->is_scalar && r->is_scalar) {
        (void)exec_fail(x, err_new(ERR_EXEC, "operator \"%s\" not allowed for Scalar operations",
                                   promql_op_text(e->u.binary.op)));
        return NULL;
    }
    s->e = e;
    s->is_swapped = l->is_scalar && !r->is_scalar;
    s->vector = s->is_swapped ? r : l;
    s->scalar = s->is_swapped ? l : r;
    s->node.is_scalar = l->is_scalar && r->is_scalar;
    return s->node.is_scalar ? &s->node : build_unique(x, &s->node, e);
}

struct negate_node {
    struct node node;
    struct node *child;
};

static bool negate_next(struct node *n, struct row *ret)
{
    struct negate_node *m = (struct negate_node *)n;

    if (!node_next(m->child, ret))
        return false;
    for (size_t i = 0; i < n->grid.n; i++) {
        if (row_has_hist(ret, i))
            ret->h[i] = fhist_mul(node_tmp(n), ret->h[i], -1);
        else if (row_has_float(ret, i))
            ret->v[i] = -ret->v[i];
    }
    if (!n->is_scalar)
        row_drop_name(n->x, node_tmp(n), ret);
    return true;
}

struct node *op_negate(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {negate_next, NULL};
    struct negate_node *m = node_new_of(x, struct negate_node, &ops, grid);

    if (!(m->child = build_node(x, e->u.unary.expr, grid)))
        return NULL;
    m->node.is_scalar = m->child->is_scalar;
    return m->node.is_scalar ? &m->node : build_unique(x, &m->node, e->u.unary.expr);
}

/*
 * and, unless: the right side becomes, per match group, the steps at which it has a sample; the left
 * side streams through. or: the other way round, after all of the left side.
 */
struct set_node {
    struct node node;
    const struct promql_expr *e;
    struct node *lhs, *rhs;
    struct labelmap map;
    uint8_t **there; /* per match group and step */
    size_t cap;
    bool is_loaded, is_rhs;
};

static uint8_t *set_group(struct set_node *s, struct labels ls)
{
    const struct promql_matching *m = &s->e->u.binary.matching;
    struct arena *arena = s->node.x->arena;
    bool is_new;
    size_t i;

    arena_reset(node_tmp(&s->node));
    i = labelmap_index(&s->map, ops_match_labels(s->node.tmp, ls, m->is_on, m->labels), &is_new);

    if (!is_new)
        return s->there[i];
    if (i == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;

        s->there = arena_grow(arena, s->there, s->cap * sizeof(*s->there), cap * sizeof(*s->there));
        s->cap = cap;
    }
    return s->there[i] = arena_zalloc(arena, s->node.grid.n);
}

static void set_mark(struct set_node *s, const struct row *r)
{
    uint8_t *there = set_group(s, r->labels);

    for (size_t i = 0; i < s->node.grid.n; i++)
        there[i] |= row_has(r, i);
}

/* Leaves the steps at which the group is there, or is not; false if none is left. */
static bool set_filter(struct set_node *s, struct row *r, bool wanted)
{
    const uint8_t *there = set_group(s, r->labels);
    bool has_any = false;

    for (size_t i = 0; i < s->node.grid.n; i++) {
        if (there[i] != wanted)
            row_clear(r, i);
        else
            has_any |= row_has(r, i);
    }
    return has_any;
}

static bool set_next(struct node *n, struct row *ret)
{
    struct set_node *s = (struct set_node *)n;
    enum promql_op op = s->e->u.binary.op;

    if (op == PROMQL_OR) {
        while (!s->is_rhs) {
            if (node_next(s->lhs, ret)) {
                set_mark(s, ret);
                return true;
            }
            if (!exec_ok(n->x))
                return false;
            s->is_rhs = true;
        }
        while (node_next(s->rhs, ret))
            if (set_filter(s, ret, false))
                return true;
        return false;
    }
    if (!s->is_loaded) {
        s->is_loaded = true;
        while (node_next(s->rhs, ret))
            set_mark(s, ret);
    }
    while (node_next(s->lhs, ret))
        if (set_filter(s, ret, op == PROMQL_AND))
            return true;
    return false;
}

struct node *op_binary_set(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {set_next, NULL};
    struct set_node *s = node_new_of(x, struct set_node, &ops, grid);

    s->e = e;
    s->map.arena = x->arena;
    s->lhs = build_node(x, e->u.binary.lhs, grid);
    s->rhs = s->lhs ? build_node(x, e->u.binary.rhs, grid) : NULL;
    if (!s->rhs)
        return NULL;
    /* Both sides may hold the same series at different steps. */
    return e->u.binary.op == PROMQL_OR ? node_merge(x, &s->node, false) : &s->node;
}
