#include "querier/api/prom_ast.h"

#include <inttypes.h>

static const char *json_bool(bool v)
{
    return v ? "true" : "false";
}

static void put_names(struct buf *out, const char *key, struct promql_names names)
{
    buf_printf(out, ",\"%s\":[", key);
    for (size_t i = 0; i < names.n; i++) {
        if (i)
            buf_byte(out, ',');
        buf_json_str(out, names.ptr[i]);
    }
    buf_byte(out, ']');
}

static void put_text(struct buf *out, const char *key, struct slice text)
{
    buf_printf(out, ",\"%s\":", key);
    buf_json_str(out, text);
}

static void put_node(struct buf *out, const char *key, const struct promql_expr *e)
{
    buf_printf(out, ",\"%s\":", key);
    prom_ast_json(out, e);
}

static void put_duration(struct buf *out, const char *key, const struct promql_duration *d)
{
    struct buf text = {0};

    if (!d)
        return;
    promql_print_duration(&text, d);
    put_text(out, key, buf_slice(&text));
    buf_done(&text);
}

/* The time of evaluation that @ fixes. */
static void put_at(struct buf *out, enum promql_at at, int64_t at_ms)
{
    if (at == PROMQL_AT_TIME)
        buf_printf(out, ",\"timestamp\":%" PRId64, at_ms);
    else
        buf_str(out, ",\"timestamp\":null");
    if (at == PROMQL_AT_START || at == PROMQL_AT_END)
        buf_printf(out, ",\"startOrEnd\":\"%s\"", at == PROMQL_AT_START ? "start" : "end");
    else
        buf_str(out, ",\"startOrEnd\":null");
}

static void put_selector(struct buf *out, const struct promql_selector *s)
{
    put_text(out, "name", s->name);
    buf_printf(out, ",\"offset\":%" PRId64 ",\"matchers\":[", s->offset_ms);
    for (size_t i = 0; i < s->matchers.n; i++) {
        const struct matcher *m = &s->matchers.ptr[i];

        buf_str(out, i ? ",{\"name\":" : "{\"name\":");
        buf_json_str(out, m->name);
        put_text(out, "value", m->value);
        buf_printf(out, ",\"type\":\"%s\"}", matcher_op_text(m->op));
    }
    buf_byte(out, ']');
    put_duration(out, "offsetExpr", s->offset_expr);
    put_at(out, s->at, s->at_ms);
    buf_printf(out, ",\"anchored\":%s,\"smoothed\":%s", json_bool(s->is_anchored),
               json_bool(s->is_smoothed));
}

static void put_subquery(struct buf *out, const struct promql_subquery *s)
{
    put_node(out, "expr", s->expr);
    buf_printf(out, ",\"range\":%" PRId64 ",\"offset\":%" PRId64 ",\"step\":%" PRId64, s->range_ms,
               s->offset_ms, s->step_ms);
    put_duration(out, "rangeExpr", s->range_expr);
    put_duration(out, "offsetExpr", s->offset_expr);
    put_duration(out, "stepExpr", s->step_expr);
    put_at(out, s->at, s->at_ms);
}

static void put_call(struct buf *out, const struct promql_call *c)
{
    buf_printf(out, ",\"func\":{\"name\":\"%s\",\"argTypes\":[", c->func->name);
    for (const char *t = c->func->args; *t; t++)
        buf_printf(out, "%s\"%s\"", t == c->func->args ? "" : ",",
                   promql_type_name(promql_func_type(*t)));
    buf_printf(out, "],\"variadic\":%d,\"returnType\":\"%s\"},\"args\":[", c->func->variadic,
               promql_type_name(c->func->result));
    for (size_t i = 0; i < c->n_args; i++) {
        if (i)
            buf_byte(out, ',');
        prom_ast_json(out, c->args[i]);
    }
    buf_byte(out, ']');
}

static void put_fill(struct buf *out, const char *key, bool has, double v)
{
    buf_printf(out, "%s\":", key);
    if (!has) {
        buf_str(out, "null");
        return;
    }
    buf_byte(out, '"');
    buf_f64_text(out, v);
    buf_byte(out, '"');
}

static void put_matching(struct buf *out, const struct promql_matching *m)
{
    static const char *const cards[] = {[PROMQL_ONE_TO_ONE] = "one-to-one",
                                        [PROMQL_MANY_TO_ONE] = "many-to-one",
                                        [PROMQL_ONE_TO_MANY] = "one-to-many",
                                        [PROMQL_MANY_TO_MANY] = "many-to-many"};

    buf_printf(out, "{\"card\":\"%s\",\"on\":%s", cards[m->card], json_bool(m->is_on));
    put_names(out, "labels", m->labels);
    put_names(out, "include", m->include);
    put_fill(out, ",\"fillValues\":{\"lhs", m->has_fill_left, m->fill_left);
    put_fill(out, ",\"rhs", m->has_fill_right, m->fill_right);
    buf_str(out, "}}");
}

static void put_binary(struct buf *out, const struct promql_binary *b)
{
    put_text(out, "op", slice_cstr(promql_op_text(b->op)));
    put_node(out, "lhs", b->lhs);
    put_node(out, "rhs", b->rhs);
    buf_str(out, ",\"matching\":");
    if (b->has_matching)
        put_matching(out, &b->matching);
    else
        buf_str(out, "null");
    buf_printf(out, ",\"bool\":%s", json_bool(b->is_bool));
}

static void put_aggregate(struct buf *out, const struct promql_aggregate *g)
{
    put_text(out, "op", slice_cstr(promql_agg_name(g->op)));
    put_node(out, "expr", g->expr);
    put_node(out, "param", g->param);
    put_names(out, "grouping", g->grouping);
    buf_printf(out, ",\"without\":%s", json_bool(g->is_without));
}

static void put_number(struct buf *out, double v)
{
    buf_str(out, ",\"val\":\"");
    buf_f64_text(out, v);
    buf_byte(out, '"');
}

void prom_ast_json(struct buf *out, const struct promql_expr *e)
{
    static const char *const types[] = {
        [PROMQL_NUMBER] = "numberLiteral",    [PROMQL_TEXT] = "stringLiteral",
        [PROMQL_SELECTOR] = "vectorSelector", [PROMQL_RANGE] = "matrixSelector",
        [PROMQL_SUBQUERY] = "subquery",       [PROMQL_CALL] = "call",
        [PROMQL_AGGREGATE] = "aggregation",   [PROMQL_BINARY] = "binaryExpr",
        [PROMQL_UNARY] = "unaryExpr",         [PROMQL_PAREN] = "parenExpr"};

    if (!e) {
        buf_str(out, "null");
        return;
    }
    buf_printf(out, "{\"type\":\"%s\"", types[e->kind]);
    switch (e->kind) {
    case PROMQL_NUMBER:
        put_number(out, e->u.number.value);
        break;
    case PROMQL_TEXT:
        put_text(out, "val", e->u.text);
        break;
    case PROMQL_SELECTOR:
        put_selector(out, &e->u.selector);
        break;
    case PROMQL_RANGE:
        put_selector(out, &e->u.range.selector->u.selector);
        buf_printf(out, ",\"range\":%" PRId64, e->u.range.range_ms);
        put_duration(out, "rangeExpr", e->u.range.range_expr);
        break;
    case PROMQL_SUBQUERY:
        put_subquery(out, &e->u.subquery);
        break;
    case PROMQL_CALL:
        put_call(out, &e->u.call);
        break;
    case PROMQL_AGGREGATE:
        put_aggregate(out, &e->u.aggregate);
        break;
    case PROMQL_BINARY:
        put_binary(out, &e->u.binary);
        break;
    case PROMQL_UNARY:
        buf_printf(out, ",\"op\":\"%s\"", e->u.unary.is_minus ? "-" : "+");
        put_node(out, "expr", e->u.unary.expr);
        break;
    case PROMQL_PAREN:
        put_node(out, "expr", e->u.paren);
        break;
    }
    buf_byte(out, '}');
}
