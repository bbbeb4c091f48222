/* Rows that the shards of a split query yielded: see engine.h. */
#include "querier/engine/ops.h"

struct given_node {
    struct node node;
    const struct engine_given *given;
    size_t at;
};

static size_t step_of(const struct grid *g, int64_t t_ms)
{
    int64_t off = t_ms - g->start_ms;

    if (off < 0 || (g->step_ms ? off % g->step_ms : off) != 0)
        return g->n;
    off = g->step_ms ? off / g->step_ms : 0;
    return (uint64_t)off < g->n ? (size_t)off : g->n;
}

static bool given_next(struct node *n, struct row *ret)
{
    struct given_node *gn = (struct given_node *)n;
    struct arena *tmp = node_tmp(n);
    const struct engine_series *s;

    if (gn->at == gn->given->n_series)
        return false;
    s = &gn->given->series[gn->at++];
    *ret = (struct row){.labels = s->labels, .v = row_column(tmp, n->grid.n)};
    for (size_t i = 0; i < s->n; i++) {
        size_t k = step_of(&n->grid, s->t_ms[i]);

        if (k < n->grid.n)
            ret->v[k] = s->v[i];
    }
    if (s->n_hist)
        ret->h = row_hist_column(tmp, n->grid.n);
    for (size_t i = 0; i < s->n_hist; i++) {
        size_t k = step_of(&n->grid, s->hist_t_ms[i]);

        if (k < n->grid.n)
            ret->h[k] = fhist_from(tmp, s->hist[i]);
    }
    return true;
}

struct node *op_given(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {given_next, NULL};

    if (grid.start_ms != x->grid.start_ms || grid.n != x->grid.n)
        return NULL;
    for (size_t i = 0; i < x->q->n_given; i++) {
        const struct engine_given *g = &x->q->given[i];
        struct given_node *gn;

        if (!slice_eq(slice_sub(x->q->expr, g->start, g->end - g->start), op_shared_text(x, e)))
            continue;
        gn = node_new_of(x, struct given_node, &ops, grid);
        gn->given = g;
        return &gn->node;
    }
    return NULL;
}
