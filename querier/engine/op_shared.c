/*
 * Common subexpressions: an aggregation that a query says twice, at the same steps, is evaluated once.
 * Its rows are few (groups), so they are kept and lent to each place in turn.
 */
#include "querier/engine/ops.h"

struct shared {
    struct slice text;
    struct grid grid;
    bool is_stats;
    struct node *source; /* NULL once its rows are here */
    struct rowset rows;
    struct shared *next;
};

struct shared_node {
    struct node node;
    struct shared *of;
    size_t at;
};

static bool shared_next(struct node *n, struct row *ret)
{
    struct shared_node *sn = (struct shared_node *)n;
    struct shared *of = sn->of;
    size_t steps = n->grid.n;
    const struct row *r;

    if (of->source) {
        struct node *source = of->source;

        of->source = NULL;
        if (!rowset_fill(n->x, &of->rows, source))
            return false;
    }
    if (sn->at == of->rows.n)
        return false;
    r = &of->rows.ptr[sn->at++];
    /* what is lent may be written to */
    *ret = *r;
    ret->v = arena_array(node_tmp(n), double, steps);
    memcpy(ret->v, r->v, steps * sizeof(double));
    if (r->h) {
        ret->h = row_hist_column(node_tmp(n), steps);
        memcpy((void *)ret->h, (const void *)r->h, steps * sizeof(*r->h));
    }
    return true;
}

/* How many aggregations of e have this text; looks no further than two. */
static unsigned count_text(const struct exec *x, const struct promql_expr *e, struct slice text)
{
    unsigned n = 0;

    switch (e->kind) {
    case PROMQL_AGGREGATE:
        if (slice_eq(op_shared_text(x, e), text))
            return 1;
        n = count_text(x, e->u.aggregate.expr, text);
        return n + (e->u.aggregate.param && n < 2 ? count_text(x, e->u.aggregate.param, text) : 0);
    case PROMQL_CALL:
        for (size_t i = 0; i < e->u.call.n_args && n < 2; i++)
            n += count_text(x, e->u.call.args[i], text);
        return n;
    case PROMQL_BINARY:
        n = count_text(x, e->u.binary.lhs, text);
        return n + (n < 2 ? count_text(x, e->u.binary.rhs, text) : 0);
    case PROMQL_UNARY:
        return count_text(x, e->u.unary.expr, text);
    case PROMQL_PAREN:
        return count_text(x, e->u.paren, text);
    default: /* a subquery has steps of its own: its aggregations are found when it is built */
        return 0;
    }
}

struct slice op_shared_text(const struct exec *x, const struct promql_expr *e)
{
    return slice_sub(x->q->expr, e->start, e->end - e->start);
}

struct node *op_shared(struct exec *x, struct grid grid, const struct promql_expr *e,
                       struct node *(*make)(struct exec *x, const struct promql_expr *e,
                                            struct grid grid))
{
    static const struct node_ops ops = {shared_next, NULL};
    struct slice text = op_shared_text(x, e);
    bool is_stats = x->stats_wanted && !x->stats_blocked;
    struct shared_node *sn;
    struct shared *s;

    if (!x->root || count_text(x, x->root, text) < 2)
        return make(x, e, grid);
    for (s = x->shared; s; s = s->next)
        if (slice_eq(s->text, text) && s->grid.start_ms == grid.start_ms &&
            s->grid.step_ms == grid.step_ms && s->grid.n == grid.n && s->is_stats == is_stats)
            break;
    if (!s) {
        struct node *source = make(x, e, grid);

        if (!source)
            return NULL;
        s = arena_new_of(x->arena, struct shared);
        *s = (struct shared){text, grid, is_stats, source, {0}, x->shared};
        x->shared = s;
    }
    sn = node_new_of(x, struct shared_node, &ops, grid);
    sn->of = s;
    return &sn->node;
}
