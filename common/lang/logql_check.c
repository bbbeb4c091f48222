#include <math.h>

#include "common/lang/logql_internal.h"
#include "common/lang/promql.h"
#include "common/model/event.h"

static const struct {
    const char *name;
    char unwrap;
    bool may_group;
} range_ops[] = {
#define X(sym, name, unwrap, may_group) {name, unwrap, may_group},
    LOGQL_RANGE_OPS(X)
#undef X
};

static const struct {
    const char *name;
    bool has_count, may_group;
} vector_ops[] = {
#define X(sym, name, has_count, may_group) {name, has_count, may_group},
    LOGQL_VECTOR_OPS(X)
#undef X
};

const char *logql_range_op_name(enum logql_range_op op)
{
    return range_ops[op].name;
}

const char *logql_vector_op_name(enum logql_vector_op op)
{
    return vector_ops[op].name;
}

/* {orrery_event=""}: every line that is no event, said in so many words. */
static bool asks_for_all(struct matchers ms)
{
    for (size_t i = 0; i < ms.n; i++)
        if (ms.ptr[i].op == MATCHER_EQ && !ms.ptr[i].value.len &&
            slice_eq_cstr(ms.ptr[i].name, EVENT_LABEL))
            return true;
    return false;
}

bool logql_check_logs(struct logql_parser *p, const struct logql_logs *logs, size_t start)
{
    if (promql_selects_all(logs->matchers) && !asks_for_all(logs->matchers))
        logql_parse_fail(p, start,
                         "a selector needs at least one matcher that does not match the empty "
                         "value, such as app=~\".+\"; app=~\".*\" matches it");
    return !p->err;
}

bool logql_check_range(struct logql_parser *p, const struct logql_range *r, size_t start)
{
    const char *name = range_ops[r->op].name;
    bool wants_param = r->op == LOGQL_QUANTILE_OVER_TIME;

    if (r->grouping.is_given && !range_ops[r->op].may_group)
        logql_parse_fail(p, start, "%s takes no grouping", name);
    else if (r->unwrap != LOGQL_UNWRAP_NONE && range_ops[r->op].unwrap == 'N')
        logql_parse_fail(p, start, "%s goes without unwrap", name);
    else if (r->unwrap == LOGQL_UNWRAP_NONE && range_ops[r->op].unwrap == 'M')
        logql_parse_fail(p, start, "%s needs unwrap", name);
    else if (r->has_param && !wants_param)
        logql_parse_fail(p, start, "%s takes no parameter", name);
    else if (!r->has_param && wants_param)
        logql_parse_fail(p, start, "%s needs a parameter", name);
    return !p->err && logql_check_logs(p, &r->logs, start);
}

bool logql_check_vector(struct logql_parser *p, const struct logql_vector *v, double count,
                        size_t start)
{
    const char *name = vector_ops[v->op].name;

    if (v->has_count && !vector_ops[v->op].has_count)
        logql_parse_fail(p, start, "%s takes no parameter", name);
    else if (!v->has_count && vector_ops[v->op].has_count)
        logql_parse_fail(p, start, "%s needs a parameter", name);
    else if (v->has_count && !(count >= 1 && count <= INT32_MAX && floor(count) == count))
        logql_parse_fail(p, start, "the parameter of %s is a whole number above 0", name);
    else if (v->grouping.is_given && !vector_ops[v->op].may_group)
        logql_parse_fail(p, start, "%s takes no grouping", name);
    return !p->err;
}

bool logql_check_binary(struct logql_parser *p, const struct logql_binary *b, size_t start)
{
    const struct logql_expr *sides[] = {b->lhs, b->rhs};

    for (size_t i = 0; i < ORR_COUNT(sides); i++) {
        if (sides[i]->kind == LOGQL_LOGS)
            logql_parse_fail(p, start, "%s is between samples, its %s side is lines",
                             promql_op_text(b->op), i ? "right" : "left");
        else if (sides[i]->kind == LOGQL_NUMBER && promql_op_is_set(b->op))
            logql_parse_fail(p, start, "%s is between vectors, its %s side is a number",
                             promql_op_text(b->op), i ? "right" : "left");
    }
    return !p->err;
}

double logql_check_fold(enum promql_op op, double lhs, double rhs)
{
    switch (op) {
    case PROMQL_ADD:
        return lhs + rhs;
    case PROMQL_SUB:
        return lhs - rhs;
    case PROMQL_MUL:
        return lhs * rhs;
    case PROMQL_DIV:
        return rhs == 0 ? (double)NAN : lhs / rhs; /* not infinite, as there */
    case PROMQL_MOD:
        return rhs == 0 ? (double)NAN : fmod(lhs, rhs);
    case PROMQL_POW:
        return pow(lhs, rhs);
    case PROMQL_EQ:
        return lhs == rhs;
    case PROMQL_NE:
        return lhs != rhs;
    case PROMQL_GT:
        return lhs > rhs;
    case PROMQL_LT:
        return lhs < rhs;
    case PROMQL_GE:
        return lhs >= rhs;
    default:
        return lhs <= rhs;
    }
}
