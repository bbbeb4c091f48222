/* From the syntax tree to operators. */
#include "querier/engine/ops.h"

struct timeref timeref_of(const struct exec *x, enum promql_at at, int64_t at_ms, int64_t offset_ms)
{
    switch (at) {
    case PROMQL_AT_TIME:
        return (struct timeref){true, at_ms, offset_ms};
    case PROMQL_AT_START:
        return (struct timeref){true, x->q->start_ms, offset_ms};
    case PROMQL_AT_END:
        return (struct timeref){true, x->q->end_ms, offset_ms};
    case PROMQL_AT_NONE:
        break;
    }
    return (struct timeref){false, 0, offset_ms};
}

/* Functions whose value depends on the evaluation time even if their arguments' does not. */
static bool depends_on_time(const struct promql_call *c)
{
    switch (c->func->id) {
    case PROMQL_FN_TIME:
    case PROMQL_FN_TIMESTAMP:
    case PROMQL_FN_PREDICT_LINEAR:
        return true;
    case PROMQL_FN_DAYS_IN_MONTH:
    case PROMQL_FN_DAY_OF_MONTH:
    case PROMQL_FN_DAY_OF_WEEK:
    case PROMQL_FN_DAY_OF_YEAR:
    case PROMQL_FN_HOUR:
    case PROMQL_FN_MINUTE:
    case PROMQL_FN_MONTH:
    case PROMQL_FN_YEAR:
        return c->n_args == 0;
    default:
        return false;
    }
}

bool build_is_invariant(const struct promql_expr *e)
{
    switch (e->kind) {
    case PROMQL_NUMBER:
    case PROMQL_TEXT:
        return true;
    case PROMQL_SELECTOR:
        return e->u.selector.at != PROMQL_AT_NONE;
    case PROMQL_RANGE:
        return build_is_invariant(e->u.range.selector);
    case PROMQL_SUBQUERY:
        return e->u.subquery.at != PROMQL_AT_NONE;
    case PROMQL_CALL:
        if (depends_on_time(&e->u.call))
            return false;
        for (size_t i = 0; i < e->u.call.n_args; i++)
            if (!build_is_invariant(e->u.call.args[i]))
                return false;
        return e->u.call.func->id != PROMQL_FN_INFO;
    case PROMQL_AGGREGATE:
        return build_is_invariant(e->u.aggregate.expr) &&
               (!e->u.aggregate.param || build_is_invariant(e->u.aggregate.param));
    case PROMQL_BINARY:
        return build_is_invariant(e->u.binary.lhs) && build_is_invariant(e->u.binary.rhs);
    case PROMQL_UNARY:
        return build_is_invariant(e->u.unary.expr);
    case PROMQL_PAREN:
        return build_is_invariant(e->u.paren);
    }
    return false;
}

static bool selector_has_many_names(const struct promql_selector *s)
{
    for (size_t i = 0; i < s->matchers.n; i++)
        if (s->matchers.ptr[i].op == MATCHER_EQ &&
            slice_eq(s->matchers.ptr[i].name, SLICE(LABEL_NAME)))
            return false;
    return true;
}

static bool call_keeps_names(const struct promql_call *c)
{
    switch (c->func->id) {
    case PROMQL_FN_LAST_OVER_TIME:
    case PROMQL_FN_FIRST_OVER_TIME:
    case PROMQL_FN_SORT:
    case PROMQL_FN_SORT_DESC:
    case PROMQL_FN_SORT_BY_LABEL:
    case PROMQL_FN_SORT_BY_LABEL_DESC:
    case PROMQL_FN_INFO:
        return true;
    default:
        return false;
    }
}

bool build_has_many_names(const struct promql_expr *e)
{
    switch (e->kind) {
    case PROMQL_SELECTOR:
        return selector_has_many_names(&e->u.selector);
    case PROMQL_RANGE:
        return build_has_many_names(e->u.range.selector);
    case PROMQL_SUBQUERY:
        return build_has_many_names(e->u.subquery.expr);
    case PROMQL_CALL:
        if (e->u.call.func->id == PROMQL_FN_LABEL_REPLACE ||
            e->u.call.func->id == PROMQL_FN_LABEL_JOIN)
            return true;
        return call_keeps_names(&e->u.call) && build_has_many_names(e->u.call.args[0]);
    case PROMQL_AGGREGATE:
        if (e->u.aggregate.op == PROMQL_AGG_TOPK || e->u.aggregate.op == PROMQL_AGG_BOTTOMK ||
            e->u.aggregate.op == PROMQL_AGG_LIMITK || e->u.aggregate.op == PROMQL_AGG_LIMIT_RATIO)
            return build_has_many_names(e->u.aggregate.expr);
        return ops_names_have(e->u.aggregate.grouping, SLICE(LABEL_NAME)) ||
               e->u.aggregate.op == PROMQL_AGG_COUNT_VALUES;
    case PROMQL_BINARY:
        if (e->u.binary.op == PROMQL_OR)
            return true;
        if (e->u.binary.lhs->type == PROMQL_VECTOR && build_has_many_names(e->u.binary.lhs))
            return true;
        return e->u.binary.rhs->type == PROMQL_VECTOR && build_has_many_names(e->u.binary.rhs);
    case PROMQL_UNARY:
        return build_has_many_names(e->u.unary.expr);
    case PROMQL_PAREN:
        return build_has_many_names(e->u.paren);
    case PROMQL_NUMBER:
    case PROMQL_TEXT:
        return false;
    }
    return true;
}

struct node *build_unique(struct exec *x, struct node *n, const struct promql_expr *e)
{
    /* With delayed removal the names are still there; the query's end looks for duplicates. */
    if (!n || x->opts->has_delayed_name_removal)
        return n;
    if (!build_has_many_names(e) && !x->opts->has_type_and_unit)
        return n;
    return node_merge(x, n, false);
}

struct select_hint select_hint_take(struct exec *x)
{
    struct select_hint hint = {0};

    if (x->hint)
        hint = *x->hint;
    x->hint = NULL;
    return hint;
}

static struct node *build_selector(struct exec *x, const struct promql_expr *e, struct grid grid)
{
    return op_select(x, grid, e, SELECT_VALUE);
}

static struct node *build_aggregate(struct exec *x, const struct promql_expr *e, struct grid grid)
{
    switch (e->u.aggregate.op) {
    case PROMQL_AGG_TOPK:
    case PROMQL_AGG_BOTTOMK:
    case PROMQL_AGG_LIMITK:
    case PROMQL_AGG_LIMIT_RATIO:
        return op_rank(x, grid, e);
    case PROMQL_AGG_COUNT_VALUES:
        return op_count_values(x, grid, e);
    default:
        return op_aggregate(x, grid, e);
    }
}

static struct node *build_binary(struct exec *x, const struct promql_expr *e, struct grid grid)
{
    const struct promql_binary *b = &e->u.binary;

    if (promql_op_is_set(b->op))
        return op_binary_set(x, grid, e);
    if (b->lhs->type == PROMQL_VECTOR && b->rhs->type == PROMQL_VECTOR)
        return op_binary_vector(x, grid, e);
    return op_binary_scalar(x, grid, e);
}

/* On one step, for what is the same at all. */
static struct node *build_once(struct exec *x, const struct promql_expr *e, struct grid grid)
{
    struct node *n = build_node(x, e, (struct grid){grid.start_ms, grid.step_ms, 1});

    return n ? node_repeat(x, grid, n) : NULL;
}

struct node *build_node(struct exec *x, const struct promql_expr *e, struct grid grid)
{
    if (!exec_tick(x))
        return NULL;
    e = promql_unwrap(e);
    if (grid.n > 1 && e->kind != PROMQL_NUMBER && build_is_invariant(e))
        return build_once(x, e, grid);
    switch (e->kind) {
    case PROMQL_NUMBER:
        return node_number(x, grid, e->u.number.value);
    case PROMQL_SELECTOR:
        return build_selector(x, e, grid);
    case PROMQL_CALL:
        return op_call(x, grid, e);
    case PROMQL_AGGREGATE:
        return op_shared(x, grid, e, build_aggregate);
    case PROMQL_BINARY:
        return build_binary(x, e, grid);
    case PROMQL_UNARY:
        return e->u.unary.is_minus ? op_negate(x, grid, e) : build_node(x, e->u.unary.expr, grid);
    case PROMQL_PAREN:
    case PROMQL_TEXT:
    case PROMQL_RANGE:
    case PROMQL_SUBQUERY:
        break;
    }
    (void)exec_fail(
        x, err_new(ERR_INTERNAL, "no operator yields a %s here", promql_type_name(e->type)));
    return NULL;
}
