/* What makes metrics of spans, and what comes behind it. */
#include <math.h>

#include "common/lang/traceql_internal.h"

#define COMPARE_TOP_N 10

static const enum traceql_metric metrics[] = {
#define X(sym, name, has_attribute) sym,
    TRACEQL_METRICS(X)
#undef X
};

bool traceql_metric_op(const struct traceql_parser *p, enum traceql_metric *ret)
{
    for (size_t i = 0; i < ORR_COUNT(metrics); i++) {
        if (!traceql_parse_is_word(p, traceql_metric_name(metrics[i])))
            continue;
        *ret = metrics[i];
        return true;
    }
    return false;
}

static bool parse_quantiles(struct traceql_parser *p, struct traceql_aggregation *a)
{
    while (traceql_parse_take(p, TRACEQL_TOK_COMMA)) {
        struct traceql_static v;
        size_t start = p->tok.start;

        a->quantiles = traceql_parse_grow(p, a->quantiles, a->n_quantiles, sizeof(double));
        if (!a->quantiles || !traceql_parse_number(p, &v))
            return false;
        if (v.type == TRACEQL_DURATION) {
            traceql_parse_fail(p, start, "a quantile is a number");
            return false;
        }
        a->quantiles[a->n_quantiles++] = traceql_number(&v);
    }
    if (a->n_quantiles == 0)
        traceql_parse_unexpected(p, "\",\" and a quantile");
    return !p->err;
}

static bool parse_integer(struct traceql_parser *p, int64_t *ret)
{
    if (p->tok.type != TRACEQL_TOK_STATIC || p->tok.value.type != TRACEQL_INT) {
        traceql_parse_unexpected(p, "an integer");
        return false;
    }
    *ret = p->tok.value.v.i;
    return traceql_parse_next(p);
}

/* compare({selection}[, top n[, start, end]]): behind the parenthesis. */
static bool parse_compare(struct traceql_parser *p, struct traceql_aggregation *a)
{
    size_t start;

    if (!(a->selection = traceql_field_filter(p)))
        return false;
    a->top_n = COMPARE_TOP_N;
    start = p->tok.start;
    if (traceql_parse_take(p, TRACEQL_TOK_COMMA) && !parse_integer(p, &a->top_n))
        return false;
    if (traceql_parse_take(p, TRACEQL_TOK_COMMA) &&
        (!parse_integer(p, &a->start_ns) || !traceql_parse_expect(p, TRACEQL_TOK_COMMA) ||
         !parse_integer(p, &a->end_ns)))
        return false;
    if (!p->err && a->top_n <= 0)
        traceql_parse_fail(p, start, "compare() tells of the first n values: n is above 0");
    if (!p->err && (a->start_ns || a->end_ns) && a->start_ns >= a->end_ns)
        traceql_parse_fail(p, start, "compare()'s selection ends before it starts");
    return !p->err;
}

bool traceql_metric_aggregation(struct traceql_parser *p, enum traceql_metric op,
                                struct traceql_aggregation *ret)
{
    *ret = (struct traceql_aggregation){.op = op};
    if (!traceql_parse_next(p) || !traceql_parse_expect(p, TRACEQL_TOK_LPAREN))
        return false;
    if (traceql_metric_has_attribute(op) && !traceql_field_attribute(p, &ret->attribute))
        return false;
    if (op == TRACEQL_QUANTILE_OVER_TIME && !parse_quantiles(p, ret))
        return false;
    if (op == TRACEQL_COMPARE && !parse_compare(p, ret))
        return false;
    if (!traceql_parse_expect(p, TRACEQL_TOK_RPAREN))
        return false;
    if (op != TRACEQL_COMPARE && traceql_parse_word(p, "by"))
        return traceql_field_attributes(p, &ret->by);
    return !p->err;
}

/* A value that results are compared with: durations are seconds there. */
static bool in_seconds(struct traceql_static *v)
{
    double s = (double)v->v.i / 1e9;

    if (v->type == TRACEQL_DURATION)
        *v = (struct traceql_static){TRACEQL_FLOAT, {.f = s}};
    return true;
}

static bool parse_top(struct traceql_parser *p, struct traceql_stage *s)
{
    size_t start = p->tok.start;

    s->kind = traceql_parse_is_word(p, "topk") ? TRACEQL_TOPK : TRACEQL_BOTTOMK;
    if (!traceql_parse_next(p) || !traceql_parse_expect(p, TRACEQL_TOK_LPAREN) ||
        !parse_integer(p, &s->n) || !traceql_parse_expect(p, TRACEQL_TOK_RPAREN))
        return false;
    if (s->n <= 0)
        traceql_parse_fail(p, start, "topk() and bottomk() need a number above 0");
    return !p->err;
}

bool traceql_metric_stages(struct traceql_parser *p, struct traceql_stages *stages)
{
    for (;;) {
        struct traceql_stage s = {0};

        if (p->err)
            return false;
        if (p->tok.type == TRACEQL_TOK_SIGN && p->tok.op != TRACEQL_NO_OP &&
            traceql_op_is_comparison((enum traceql_op)p->tok.op)) {
            s.kind = TRACEQL_COMPARISON;
            s.op = (enum traceql_op)p->tok.op;
            if (!traceql_parse_next(p) ||
                !traceql_metric_scalar(p, traceql_op_precedence(TRACEQL_ADD), &s.value) ||
                !in_seconds(&s.value))
                return false;
        } else if (traceql_parse_take(p, TRACEQL_TOK_PIPE)) {
            if (!traceql_parse_is_word(p, "topk") && !traceql_parse_is_word(p, "bottomk")) {
                traceql_parse_unexpected(p, "topk or bottomk");
                return false;
            }
            if (!parse_top(p, &s))
                return false;
        } else {
            return true;
        }
        stages->ptr = traceql_parse_grow(p, stages->ptr, stages->n, sizeof(s));
        if (!stages->ptr)
            return false;
        stages->ptr[stages->n++] = s;
    }
}

bool traceql_metric_fold(struct traceql_parser *p, size_t pos, enum traceql_op op,
                         struct traceql_static *lhs, const struct traceql_static *rhs)
{
    if (lhs->type == TRACEQL_DURATION || rhs->type == TRACEQL_DURATION)
        traceql_parse_fail(p, pos, "no arithmetic with durations here");
    else if (!traceql_apply(op, lhs, rhs, lhs))
        traceql_parse_fail(p, pos, "a division by zero");
    return !p->err;
}

bool traceql_metric_scalar(struct traceql_parser *p, unsigned min_prec, struct traceql_static *ret)
{
    if (!traceql_parse_enter(p))
        return false;
    if (traceql_parse_take(p, TRACEQL_TOK_LPAREN)) {
        if (!traceql_metric_scalar(p, 0, ret) || !traceql_parse_expect(p, TRACEQL_TOK_RPAREN))
            return false;
    } else if (!traceql_parse_number(p, ret)) {
        return false;
    }
    while (p->tok.type == TRACEQL_TOK_SIGN && p->tok.op != TRACEQL_NO_OP &&
           traceql_op_is_arithmetic((enum traceql_op)p->tok.op)) {
        enum traceql_op op = (enum traceql_op)p->tok.op;
        unsigned prec = traceql_op_precedence(op);
        size_t pos = p->tok.start;
        struct traceql_static rhs;

        if (prec < min_prec)
            break;
        if (!traceql_parse_next(p) || !traceql_metric_scalar(p, prec + (op != TRACEQL_POW), &rhs) ||
            !traceql_metric_fold(p, pos, op, ret, &rhs))
            return false;
    }
    p->depth--;
    return !p->err;
}
