/* The value of duration expressions for one evaluation. */
#include <math.h>

#include "common/lang/promql_internal.h"

struct resolve {
    double step_s, range_s;
    struct err *err;
};

static double value_of(struct resolve *r, const struct promql_duration *d)
{
    double lhs = d->lhs ? value_of(r, d->lhs) : 0, rhs = d->rhs ? value_of(r, d->rhs) : 0;

    switch (d->op) {
    case PROMQL_DUR_NUMBER:
        return d->value;
    case PROMQL_DUR_STEP:
        return r->step_s;
    case PROMQL_DUR_RANGE:
        return r->range_s;
    case PROMQL_DUR_NEG:
        return -lhs;
    case PROMQL_DUR_POS:
        return lhs;
    case PROMQL_DUR_ADD:
        return lhs + rhs;
    case PROMQL_DUR_SUB:
        return lhs - rhs;
    case PROMQL_DUR_MUL:
        return lhs * rhs;
    case PROMQL_DUR_POW:
        return pow(lhs, rhs);
    case PROMQL_DUR_MIN_OF:
        return fmin(lhs, rhs);
    case PROMQL_DUR_MAX_OF:
        return fmax(lhs, rhs);
    case PROMQL_DUR_DIV:
    case PROMQL_DUR_MOD:
        if (rhs == 0 && !r->err)
            r->err = err_new(ERR_EXEC, "%s by zero in a duration expression",
                             d->op == PROMQL_DUR_DIV ? "division" : "modulo");
        return d->op == PROMQL_DUR_DIV ? lhs / rhs : fmod(lhs, rhs);
    }
    return 0;
}

static int64_t ms_of(struct resolve *r, const struct promql_duration *d, bool may_be_negative)
{
    double s = value_of(r, d);

    if (r->err)
        return 0;
    if (!may_be_negative && !(s > 0))
        r->err = err_new(ERR_EXEC, "duration must be greater than 0, it is %g seconds", s);
    else if (!(fabs(s) < 0x1p63 / 1e9))
        r->err = err_new(ERR_EXEC, "duration is out of range: %g seconds", s);
    return r->err ? 0 : (int64_t)(s * 1000);
}

static void resolve(struct resolve *r, struct promql_expr *e)
{
    if (!e || r->err)
        return;
    switch (e->kind) {
    case PROMQL_NUMBER:
    case PROMQL_TEXT:
        break;
    case PROMQL_SELECTOR:
        if (e->u.selector.offset_expr)
            e->u.selector.offset_ms = ms_of(r, e->u.selector.offset_expr, true);
        break;
    case PROMQL_RANGE:
        if (e->u.range.range_expr)
            e->u.range.range_ms = ms_of(r, e->u.range.range_expr, false);
        resolve(r, e->u.range.selector);
        break;
    case PROMQL_SUBQUERY: {
        struct promql_subquery *q = &e->u.subquery;

        if (q->range_expr)
            q->range_ms = ms_of(r, q->range_expr, false);
        if (q->step_expr)
            q->step_ms = ms_of(r, q->step_expr, false);
        if (q->offset_expr)
            q->offset_ms = ms_of(r, q->offset_expr, true);
        resolve(r, q->expr);
        break;
    }
    case PROMQL_CALL:
        for (size_t i = 0; i < e->u.call.n_args; i++)
            resolve(r, e->u.call.args[i]);
        break;
    case PROMQL_AGGREGATE:
        resolve(r, e->u.aggregate.param);
        resolve(r, e->u.aggregate.expr);
        break;
    case PROMQL_BINARY:
        resolve(r, e->u.binary.lhs);
        resolve(r, e->u.binary.rhs);
        break;
    case PROMQL_UNARY:
        resolve(r, e->u.unary.expr);
        break;
    case PROMQL_PAREN:
        resolve(r, e->u.paren);
        break;
    }
}

struct err *promql_resolve_durations(struct promql_expr *root, int64_t step_ms, int64_t range_ms)
{
    struct resolve r = {.step_s = (double)step_ms / 1000, .range_s = (double)range_ms / 1000};

    resolve(&r, root);
    return r.err;
}
