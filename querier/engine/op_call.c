/* Function calls: which operator, and the small ones. */
#include <math.h>

#include "querier/engine/ops.h"

struct time_node {
    struct node node;
    enum promql_fn fn;
    const double *l, *r; /* max_of, min_of */
    struct node *lhs, *rhs;
    bool is_over;
};

static double time_value(const struct time_node *t, size_t i)
{
    const struct engine_query *q = t->node.x->q;

    switch (t->fn) {
    case PROMQL_FN_TIME:
        return (double)grid_t(&t->node.grid, i) / 1000;
    case PROMQL_FN_PI:
        return M_PI;
    case PROMQL_FN_START:
        return (double)q->start_ms / 1000;
    case PROMQL_FN_END:
        return (double)q->end_ms / 1000;
    case PROMQL_FN_RANGE:
        return (double)(q->end_ms - q->start_ms) / 1000;
    case PROMQL_FN_STEP:
        return (double)q->step_ms / 1000;
    case PROMQL_FN_MAX_OF:
        return isnan(t->l[i]) || isnan(t->r[i]) ? sample_from_bits(SAMPLE_NAN_BITS)
                                                : fmax(t->l[i], t->r[i]);
    default:
        return isnan(t->l[i]) || isnan(t->r[i]) ? sample_from_bits(SAMPLE_NAN_BITS)
                                                : fmin(t->l[i], t->r[i]);
    }
}

static bool time_next(struct node *n, struct row *ret)
{
    struct time_node *t = (struct time_node *)n;

    if (t->is_over)
        return false;
    t->is_over = true;
    if (t->lhs && (!(t->l = node_scalar(t->lhs)) || !(t->r = node_scalar(t->rhs))))
        return false;
    *ret = (struct row){.v = arena_array(node_tmp(n), double, n->grid.n)};
    for (size_t i = 0; i < n->grid.n; i++)
        ret->v[i] = time_value(t, i);
    return true;
}

static struct node *op_time(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {time_next, NULL};
    struct time_node *t = node_new_of(x, struct time_node, &ops, grid);

    t->node.is_scalar = true;
    t->fn = e->u.call.func->id;
    if (e->u.call.n_args == 2) {
        t->lhs = build_node(x, e->u.call.args[0], grid);
        t->rhs = t->lhs ? build_node(x, e->u.call.args[1], grid) : NULL;
        if (!t->rhs)
            return NULL;
    }
    return &t->node;
}

/* vector(s): the same row, no longer a scalar. */
struct vector_node {
    struct node node;
    struct node *child;
    bool is_over;
};

static bool vector_next(struct node *n, struct row *ret)
{
    return node_next(((struct vector_node *)n)->child, ret);
}

static struct node *op_vector(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {vector_next, NULL};
    struct vector_node *v = node_new_of(x, struct vector_node, &ops, grid);

    v->child = build_node(x, e->u.call.args[0], grid);
    return v->child ? &v->node : NULL;
}

/* scalar(v): the value where exactly one series has one, else NaN. */
static bool to_scalar_next(struct node *n, struct row *ret)
{
    struct vector_node *s = (struct vector_node *)n;
    uint8_t *count;
    double *v;
    struct row r;

    if (s->is_over)
        return false;
    s->is_over = true;
    count = arena_zalloc(n->x->arena, n->grid.n);
    v = arena_array(n->x->arena, double, n->grid.n);
    while (node_next(s->child, &r)) {
        for (size_t i = 0; i < n->grid.n; i++) {
            if (!row_has_float(&r, i))
                continue; /* histograms do not count */
            count[i] = count[i] ? 2 : 1;
            v[i] = r.v[i];
        }
    }
    for (size_t i = 0; i < n->grid.n; i++)
        if (count[i] != 1)
            v[i] = sample_from_bits(SAMPLE_NAN_BITS);
    *ret = (struct row){.v = v};
    return exec_ok(n->x);
}

static struct node *op_to_scalar(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {to_scalar_next, NULL};
    struct vector_node *s = node_new_of(x, struct vector_node, &ops, grid);

    s->node.is_scalar = true;
    s->child = build_node(x, e->u.call.args[0], grid);
    return s->child ? &s->node : NULL;
}

/* timestamp() of anything but a selector: the evaluation time. */
static bool stamp_next(struct node *n, struct row *ret)
{
    if (!node_next(((struct vector_node *)n)->child, ret))
        return false;
    for (size_t i = 0; i < n->grid.n; i++)
        if (row_has(ret, i))
            ret->v[i] = (double)grid_t(&n->grid, i) / 1000;
    ret->h = NULL;
    row_drop_name(n->x, node_tmp(n), ret);
    return true;
}

/* start_timestamp() of anything but a selector: start timestamps do not survive an operation. */
static bool lost_next(struct node *n, struct row *ret)
{
    while (node_next(((struct vector_node *)n)->child, ret))
        ;
    return false;
}

static struct node *op_timestamp(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    static const struct node_ops ops = {stamp_next, NULL};
    static const struct node_ops lost_ops = {lost_next, NULL};
    bool is_start = e->u.call.func->id == PROMQL_FN_START_TIMESTAMP;
    const struct promql_expr *arg = promql_unwrap(e->u.call.args[0]);
    struct vector_node *s;

    if (arg->kind == PROMQL_SELECTOR)
        return op_select(x, grid, arg, is_start ? SELECT_START_TIMESTAMP : SELECT_TIMESTAMP);
    s = node_new_of(x, struct vector_node, is_start ? &lost_ops : &ops, grid);
    s->child = build_node(x, arg, grid);
    return s->child ? &s->node : NULL;
}

static struct node *make_call(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    switch (e->u.call.func->id) {
    case PROMQL_FN_ABSENT:
    case PROMQL_FN_ABSENT_OVER_TIME:
        return op_absent(x, grid, e);
    case PROMQL_FN_TIME:
    case PROMQL_FN_PI:
    case PROMQL_FN_START:
    case PROMQL_FN_END:
    case PROMQL_FN_RANGE:
    case PROMQL_FN_STEP:
    case PROMQL_FN_MAX_OF:
    case PROMQL_FN_MIN_OF:
        return op_time(x, grid, e);
    case PROMQL_FN_VECTOR:
        return op_vector(x, grid, e);
    case PROMQL_FN_SCALAR:
        return op_to_scalar(x, grid, e);
    case PROMQL_FN_TIMESTAMP:
    case PROMQL_FN_START_TIMESTAMP:
        return op_timestamp(x, grid, e);
    case PROMQL_FN_DAYS_IN_MONTH:
    case PROMQL_FN_DAY_OF_MONTH:
    case PROMQL_FN_DAY_OF_WEEK:
    case PROMQL_FN_DAY_OF_YEAR:
    case PROMQL_FN_HOUR:
    case PROMQL_FN_MINUTE:
    case PROMQL_FN_MONTH:
    case PROMQL_FN_YEAR:
        return op_date(x, grid, e);
    case PROMQL_FN_LABEL_REPLACE:
        return op_label_replace(x, grid, e);
    case PROMQL_FN_LABEL_JOIN:
        return op_label_join(x, grid, e);
    case PROMQL_FN_SORT:
    case PROMQL_FN_SORT_DESC:
    case PROMQL_FN_SORT_BY_LABEL:
    case PROMQL_FN_SORT_BY_LABEL_DESC:
        return op_sort(x, grid, e);
    case PROMQL_FN_HISTOGRAM_COUNT:
    case PROMQL_FN_HISTOGRAM_SUM:
    case PROMQL_FN_HISTOGRAM_AVG:
    case PROMQL_FN_HISTOGRAM_STDDEV:
    case PROMQL_FN_HISTOGRAM_STDVAR:
        return op_hist_value(x, grid, e);
    case PROMQL_FN_HISTOGRAM_QUANTILE:
    case PROMQL_FN_HISTOGRAM_QUANTILES:
    case PROMQL_FN_HISTOGRAM_FRACTION:
        return op_hist_quantile(x, grid, e);
    case PROMQL_FN_INFO:
        return op_info(x, grid, e);
    default:
        break;
    }
    for (size_t i = 0; i < e->u.call.n_args; i++)
        if (e->u.call.args[i]->type == PROMQL_MATRIX)
            return op_window(x, grid, e);
    return op_math(x, grid, e);
}

struct node *op_call(struct exec *x, struct grid grid, const struct promql_expr *e)
{
    struct node *n = make_call(x, grid, e);

    if (!n || n->is_scalar || n->x->opts->has_delayed_name_removal)
        return n;
    /* Whether the arguments' names, now dropped, told series apart. */
    for (size_t i = 0; i < e->u.call.n_args; i++) {
        const struct promql_expr *arg = e->u.call.args[i];

        if (arg->type == PROMQL_MATRIX && build_has_many_names(arg))
            return node_merge(x, n, true);
        if (arg->type == PROMQL_VECTOR && e->u.call.func->id < PROMQL_FN_COUNT &&
            build_has_many_names(arg))
            return node_merge(x, n, false);
    }
    return n;
}
