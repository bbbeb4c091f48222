/*
 * A query in lines of its own, as Prometheus' format_query breaks it: what takes more than
 * MAX_LINE_BYTES in one line is split at its outermost node, its parts indented by two spaces, and
 * they in turn likewise. Selectors and literals are never split.
 *
 *     sum by (a) (            |   lhs              |   rate(
 *       …                     | + on (a)           |     m[5m]
 *     )                       |   rhs              |   )
 */
#include "common/base/map.h"
#include "common/lang/promql_internal.h"

#define MAX_LINE_BYTES 100 /* without the indentation */

struct pretty {
    struct buf *out;
    struct buf scratch;
    struct map is_long; /* nodes that are to be split, by address */
    bool is_indented;   /* the next node stands where it begins already */
};

/* ---- which nodes are too long: from the leaves up, so that each is printed once at most ---- */

static bool measure(struct pretty *p, const struct promql_expr *e);

static bool measure_children(struct pretty *p, const struct promql_expr *e)
{
    bool is_long = false;

    switch (e->kind) {
    case PROMQL_SUBQUERY:
        return measure(p, e->u.subquery.expr);
    case PROMQL_CALL:
        for (size_t i = 0; i < e->u.call.n_args; i++)
            is_long |= measure(p, e->u.call.args[i]);
        return is_long;
    case PROMQL_AGGREGATE:
        if (e->u.aggregate.param)
            is_long = measure(p, e->u.aggregate.param);
        return measure(p, e->u.aggregate.expr) || is_long;
    case PROMQL_BINARY:
        is_long = measure(p, e->u.binary.lhs);
        return measure(p, e->u.binary.rhs) || is_long;
    case PROMQL_UNARY:
        return measure(p, e->u.unary.expr);
    case PROMQL_PAREN:
        return measure(p, e->u.paren);
    default:
        return false;
    }
}

static bool measure(struct pretty *p, const struct promql_expr *e)
{
    /* With a long part the whole is long; else the parts are short and printing is cheap. */
    bool is_long = measure_children(p, e);

    if (!is_long) {
        buf_reset(&p->scratch);
        promql_print(&p->scratch, e);
        is_long = p->scratch.len > MAX_LINE_BYTES;
    }
    if (is_long)
        (void)map_put(&p->is_long, slice_of(&e, sizeof(e)), p);
    return is_long;
}

/* ---- writing ---- */

static void indent(struct pretty *p, size_t level)
{
    if (!p->is_indented)
        buf_fill(p->out, ' ', 2 * level);
    p->is_indented = false;
}

static void write_node(struct pretty *p, const struct promql_expr *e, size_t level);

static void write_aggregate(struct pretty *p, const struct promql_aggregate *a, size_t level)
{
    indent(p, level);
    promql_print_aggregate_head(p->out, a);
    buf_str(p->out, "(\n");
    if (a->param) {
        write_node(p, a->param, level + 1);
        buf_str(p->out, ",\n");
    }
    write_node(p, a->expr, level + 1);
    buf_byte(p->out, '\n');
    indent(p, level);
    buf_byte(p->out, ')');
}

static void write_call(struct pretty *p, const struct promql_call *c, size_t level)
{
    indent(p, level);
    buf_printf(p->out, "%s(\n", c->func->name);
    for (size_t i = 0; i < c->n_args; i++) {
        if (i)
            buf_str(p->out, ",\n");
        write_node(p, c->args[i], level + 1);
    }
    buf_byte(p->out, '\n');
    indent(p, level);
    buf_byte(p->out, ')');
}

static void write_binary(struct pretty *p, const struct promql_binary *b, size_t level)
{
    write_node(p, b->lhs, level + 1);
    buf_byte(p->out, '\n');
    indent(p, level);
    promql_print_operator(p->out, b);
    buf_byte(p->out, '\n');
    write_node(p, b->rhs, level + 1);
}

static void write_unary(struct pretty *p, const struct promql_unary *u, size_t level)
{
    indent(p, level);
    buf_byte(p->out, u->is_minus ? '-' : '+');
    p->is_indented = true; /* what follows stands behind the sign */
    write_node(p, u->expr, level);
}

static void write_paren(struct pretty *p, const struct promql_expr *inner, size_t level)
{
    indent(p, level);
    buf_str(p->out, "(\n");
    write_node(p, inner, level + 1);
    buf_byte(p->out, '\n');
    indent(p, level);
    buf_byte(p->out, ')');
}

static void write_short(struct pretty *p, const struct promql_expr *e, size_t level)
{
    /* Prometheus does not indent short subqueries. */
    indent(p, e->kind == PROMQL_SUBQUERY ? 0 : level);
    promql_print(p->out, e);
}

static void write_node(struct pretty *p, const struct promql_expr *e, size_t level)
{
    if (!map_has(&p->is_long, slice_of(&e, sizeof(e)))) {
        write_short(p, e, level);
        return;
    }
    switch (e->kind) {
    case PROMQL_AGGREGATE:
        write_aggregate(p, &e->u.aggregate, level);
        break;
    case PROMQL_CALL:
        write_call(p, &e->u.call, level);
        break;
    case PROMQL_BINARY:
        write_binary(p, &e->u.binary, level);
        break;
    case PROMQL_SUBQUERY:
        write_node(p, e->u.subquery.expr, level);
        promql_print_subquery_suffix(p->out, &e->u.subquery);
        break;
    case PROMQL_UNARY:
        write_unary(p, &e->u.unary, level);
        break;
    case PROMQL_PAREN:
        write_paren(p, e->u.paren, level);
        break;
    default: /* selectors and literals are one line however long */
        write_short(p, e, level);
    }
}

void promql_print_pretty(struct buf *out, const struct promql_expr *e)
{
    struct pretty p = {.out = out};

    (void)measure(&p, e);
    write_node(&p, e, 0);
    map_done(&p.is_long);
    buf_done(&p.scratch);
}
