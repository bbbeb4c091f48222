/* The syntax tree as an S-expression with all defaults explicit. */
#include <inttypes.h>

#include "common/base/num.h"
#include "common/lang/promql_internal.h"

static void tree_matcher(struct buf *out, const struct matcher *m)
{
    buf_byte(out, '[');
    buf_json_str(out, m->name);
    buf_printf(out, " %s ", matcher_op_text(m->op));
    buf_json_str(out, m->value);
    buf_byte(out, ']');
}

static void tree_names(struct buf *out, const char *key, struct promql_names names)
{
    buf_printf(out, " %s=[", key);
    for (size_t i = 0; i < names.n; i++) {
        if (i)
            buf_byte(out, ',');
        buf_json_str(out, names.ptr[i]);
    }
    buf_byte(out, ']');
}

static void tree_ms(struct buf *out, const char *key, int64_t ms,
                    const struct promql_duration *expr, const char *expr_suffix)
{
    struct buf text = {0};

    if (!expr) {
        buf_printf(out, " %s=%" PRId64 "ms", key, ms);
        return;
    }
    buf_printf(out, " %s%s=", key, expr_suffix);
    promql_print_duration(&text, expr);
    buf_json_str(out, buf_slice(&text));
    buf_done(&text);
}

static void tree_when(struct buf *out, int64_t offset_ms, const struct promql_duration *offset_expr,
                      enum promql_at at, int64_t at_ms)
{
    if (offset_expr || offset_ms)
        tree_ms(out, "offset", offset_ms, offset_expr, "_expr");
    if (at == PROMQL_AT_TIME)
        tree_ms(out, "at", at_ms, NULL, "");
    else if (at != PROMQL_AT_NONE)
        buf_str(out, at == PROMQL_AT_START ? " at=start" : " at=end");
}

static void tree_selector(struct buf *out, const struct promql_selector *s)
{
    buf_str(out, "(selector");
    if (s->matchers.n)
        buf_byte(out, ' ');
    promql_print_sorted(out, s->matchers, tree_matcher, " ");
    tree_when(out, s->offset_ms, s->offset_expr, s->at, s->at_ms);
    if (s->is_anchored)
        buf_str(out, " anchored");
    if (s->is_smoothed)
        buf_str(out, " smoothed");
    buf_byte(out, ')');
}

static void tree_matching(struct buf *out, const struct promql_matching *m)
{
    static const char *const card[] = {"one-to-one", "many-to-one", "one-to-many", "many-to-many"};

    buf_printf(out, " card=%s", card[m->card]);
    tree_names(out, m->is_on ? "on" : "ignoring", m->labels);
    if (m->include.n)
        tree_names(out, "include", m->include);
    if (m->has_fill_left) {
        buf_str(out, " fill_left=");
        num_format_v(out, m->fill_left);
    }
    if (m->has_fill_right) {
        buf_str(out, " fill_right=");
        num_format_v(out, m->fill_right);
    }
}

static void tree_child(struct buf *out, const struct promql_expr *e)
{
    buf_byte(out, ' ');
    promql_print_tree(out, e);
}

static void tree_subquery(struct buf *out, const struct promql_subquery *q)
{
    buf_str(out, "(subquery");
    tree_child(out, q->expr);
    tree_ms(out, "range", q->range_ms, q->range_expr, "");
    tree_ms(out, "step", q->step_ms, q->step_expr, "");
    tree_when(out, q->offset_ms, q->offset_expr, q->at, q->at_ms);
    buf_byte(out, ')');
}

static void tree_aggregate(struct buf *out, const struct promql_aggregate *a)
{
    buf_printf(out, "(aggr %s", promql_agg_name(a->op));
    tree_names(out, a->is_without ? "without" : "by", a->grouping);
    if (a->param) {
        buf_str(out, " param=");
        promql_print_tree(out, a->param);
    }
    tree_child(out, a->expr);
    buf_byte(out, ')');
}

static void tree_binary(struct buf *out, const struct promql_binary *b)
{
    buf_printf(out, "(binop %s", promql_op_text(b->op));
    if (b->is_bool)
        buf_str(out, " bool");
    if (b->has_matching)
        tree_matching(out, &b->matching);
    tree_child(out, b->lhs);
    tree_child(out, b->rhs);
    buf_byte(out, ')');
}

void promql_print_tree(struct buf *out, const struct promql_expr *e)
{
    switch (e->kind) {
    case PROMQL_NUMBER:
        buf_str(out, "(num ");
        buf_f64_text(out, e->u.number.value);
        buf_byte(out, ')');
        break;
    case PROMQL_TEXT:
        buf_str(out, "(str ");
        buf_json_str(out, e->u.text);
        buf_byte(out, ')');
        break;
    case PROMQL_SELECTOR:
        tree_selector(out, &e->u.selector);
        break;
    case PROMQL_RANGE:
        buf_str(out, "(matrix ");
        tree_selector(out, &e->u.range.selector->u.selector);
        tree_ms(out, "range", e->u.range.range_ms, e->u.range.range_expr, "");
        buf_byte(out, ')');
        break;
    case PROMQL_SUBQUERY:
        tree_subquery(out, &e->u.subquery);
        break;
    case PROMQL_CALL:
        buf_printf(out, "(call %s", e->u.call.func->name);
        for (size_t i = 0; i < e->u.call.n_args; i++)
            tree_child(out, e->u.call.args[i]);
        buf_byte(out, ')');
        break;
    case PROMQL_AGGREGATE:
        tree_aggregate(out, &e->u.aggregate);
        break;
    case PROMQL_BINARY:
        tree_binary(out, &e->u.binary);
        break;
    case PROMQL_UNARY:
        buf_printf(out, "(unary %c", e->u.unary.is_minus ? '-' : '+');
        tree_child(out, e->u.unary.expr);
        buf_byte(out, ')');
        break;
    case PROMQL_PAREN:
        buf_str(out, "(paren");
        tree_child(out, e->u.paren);
        buf_byte(out, ')');
        break;
    }
}
