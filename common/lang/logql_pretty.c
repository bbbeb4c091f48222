#include "common/base/num.h"
#include "common/lang/logql_internal.h"
#include "common/lang/promql.h"

#define MAX_LINE 100

static void pretty(struct buf *out, const struct logql_expr *e, size_t indent);

static void new_line(struct buf *out, size_t indent)
{
    buf_byte(out, '\n');
    buf_fill(out, ' ', indent * 2);
}

static void pretty_logs(struct buf *out, const struct logql_logs *logs, size_t indent)
{
    logql_print_selector(out, logs->matchers);
    for (size_t i = 0; i < logs->n_stages; i++) {
        new_line(out, indent + 1);
        logql_print_stage(out, &logs->stages[i]);
    }
}

static void pretty_range(struct buf *out, const struct logql_range *r, size_t indent)
{
    buf_printf(out, "%s(", logql_range_op_name(r->op));
    new_line(out, indent + 1);
    if (r->has_param) {
        num_format(out, r->param, 'f', -1);
        buf_byte(out, ',');
        new_line(out, indent + 1);
    }
    pretty_logs(out, &r->logs, indent + 1);
    if (r->unwrap != LOGQL_UNWRAP_NONE) {
        new_line(out, indent + 2);
        logql_print_unwrap(out, r);
    }
    buf_byte(out, ' ');
    logql_print_window(out, r);
    new_line(out, indent);
    buf_byte(out, ')');
    logql_print_grouping(out, &r->grouping);
}

static void pretty_vector(struct buf *out, const struct logql_vector *v, size_t indent)
{
    buf_str(out, logql_vector_op_name(v->op));
    logql_print_grouping(out, &v->grouping);
    buf_str(out, v->grouping.is_given ? " (" : "(");
    new_line(out, indent + 1);
    if (v->has_count) {
        buf_printf(out, "%u,", (unsigned)v->count);
        new_line(out, indent + 1);
    }
    pretty(out, v->expr, indent + 1);
    new_line(out, indent);
    buf_byte(out, ')');
}

static void pretty_binary(struct buf *out, const struct logql_binary *b, size_t indent)
{
    buf_byte(out, '(');
    new_line(out, indent + 1);
    pretty(out, b->lhs, indent + 1);
    new_line(out, indent);
    buf_str(out, promql_op_text(b->op));
    if (b->is_bool)
        buf_str(out, " bool");
    logql_print_matching(out, &b->matching);
    new_line(out, indent + 1);
    pretty(out, b->rhs, indent + 1);
    new_line(out, indent);
    buf_byte(out, ')');
}

static void pretty_variants(struct buf *out, const struct logql_variants *v, size_t indent)
{
    buf_str(out, "variants(");
    for (size_t i = 0; i < v->n; i++) {
        if (i)
            buf_byte(out, ',');
        new_line(out, indent + 1);
        pretty(out, v->exprs[i], indent + 1);
    }
    new_line(out, indent);
    buf_str(out, ") of (");
    new_line(out, indent + 1);
    pretty_logs(out, &v->common, indent + 1);
    buf_byte(out, ' ');
    logql_print_window(out, &(struct logql_range){.range_ns = v->range_ns});
    new_line(out, indent);
    buf_byte(out, ')');
}

static void pretty(struct buf *out, const struct logql_expr *e, size_t indent)
{
    size_t before = out->len;

    /* A node that fits stays on its line; one that does not is begun anew. A tall one does not fit,
     * for each level adds two bytes at least: so no part is printed more often than that. */
    if (e->height <= MAX_LINE / 2) {
        logql_print(out, e);
        if (out->len - before + indent * 2 <= MAX_LINE)
            return;
    }
    switch (e->kind) {
    case LOGQL_LOGS:
        out->len = before;
        pretty_logs(out, &e->u.logs, indent);
        break;
    case LOGQL_RANGE:
        out->len = before;
        pretty_range(out, &e->u.range, indent);
        break;
    case LOGQL_VECTOR:
        out->len = before;
        pretty_vector(out, &e->u.vector, indent);
        break;
    case LOGQL_BINARY:
        out->len = before;
        pretty_binary(out, &e->u.binary, indent);
        break;
    case LOGQL_LABEL_REPLACE:
        out->len = before;
        buf_str(out, "label_replace(");
        new_line(out, indent + 1);
        pretty(out, e->u.label_replace.expr, indent + 1);
        logql_print_replacement(out, &e->u.label_replace);
        new_line(out, indent);
        buf_byte(out, ')');
        break;
    case LOGQL_VARIANTS:
        out->len = before;
        pretty_variants(out, &e->u.variants, indent);
        break;
    default:
        break;
    }
}

void logql_print_pretty(struct buf *out, const struct logql_expr *e)
{
    pretty(out, e, 0);
}
