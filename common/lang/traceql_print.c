#include <inttypes.h>

#include "common/base/gostr.h"
#include "common/base/num.h"
#include "common/base/promdur.h"
#include "common/lang/traceql_internal.h"

static const char *const status_texts[] = {
#define X(sym, text) text,
    TRACEQL_STATUSES(X)
#undef X
};

static const char *const kind_texts[] = {
#define X(sym, text) text,
    TRACEQL_KINDS(X)
#undef X
};

const char *traceql_kind_text(uint8_t kind)
{
    return kind_texts[kind < ORR_COUNT(kind_texts) ? kind : 0];
}

static const char *const spanset_ops[] = {
#define X(sym, text) text,
    TRACEQL_SPANSET_OPS(X)
#undef X
};

static const char *const scopes[] = {
#define X(sym, text) text,
    TRACEQL_SCOPES(X)
#undef X
};

static const char *const intrinsics[] = {
#define X(sym, text, scope, name, type) text,
    TRACEQL_INTRINSICS(X)
#undef X
};

static const char *const aggregates[] = {
#define X(sym, name) name,
    TRACEQL_AGGREGATES(X)
#undef X
};

static void print_pipeline(struct buf *out, const struct traceql_pipeline *p);

/* As strconv's 'g', with a point in any case. */
static void print_float(struct buf *out, double v)
{
    size_t start = out->len;

    num_format_v(out, v);
    for (size_t i = start; i < out->len; i++)
        if (strchr(".eNI", out->ptr[i]))
            return;
    buf_str(out, ".0");
}

void traceql_print_static(struct buf *out, const struct traceql_static *v)
{
    switch (v->type) {
    case TRACEQL_INT:
        buf_printf(out, "%" PRId64, v->v.i);
        break;
    case TRACEQL_FLOAT:
        print_float(out, v->v.f);
        break;
    case TRACEQL_STRING:
        buf_byte(out, '`');
        buf_slice_append(out, v->v.s);
        buf_byte(out, '`');
        break;
    case TRACEQL_BOOL:
        buf_str(out, v->v.b ? "true" : "false");
        break;
    case TRACEQL_DURATION:
        promdur_print_go(out, v->v.i);
        break;
    case TRACEQL_STATUS:
        buf_str(out, status_texts[v->v.i]);
        break;
    case TRACEQL_SPAN_KIND:
        if (v->v.i >= 0 && (uint64_t)v->v.i < ORR_COUNT(kind_texts))
            buf_str(out, kind_texts[v->v.i]);
        else /* a span may come with any */
            buf_printf(out, "kind(%" PRId64 ")", v->v.i);
        break;
    default:
        buf_str(out, "nil");
    }
}

static void print_name(struct buf *out, struct slice name, enum traceql_scope scope)
{
    /* ."3" is no number */
    bool is_quoted =
        name.len == 0 || (scope == TRACEQL_SCOPE_ANY && name.ptr[0] >= '0' && name.ptr[0] <= '9');

    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || strchr("{}()=~!<>&|^,\"\\", name.ptr[i]))
            is_quoted = true;
    if (!is_quoted) {
        buf_slice_append(out, name);
        return;
    }
    buf_byte(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"' || name.ptr[i] == '\\')
            buf_byte(out, '\\');
        buf_byte(out, name.ptr[i]);
    }
    buf_byte(out, '"');
}

void traceql_print_attribute(struct buf *out, const struct traceql_attribute *a)
{
    if (a->intrinsic != TRACEQL_NO_INTRINSIC) {
        buf_str(out, intrinsics[a->intrinsic]);
        return;
    }
    buf_str(out, scopes[a->scope]);
    buf_byte(out, '.');
    print_name(out, a->name, a->scope);
}

/* In parentheses if it is made of others. */
static void print_operand(struct buf *out, const struct traceql_field *f)
{
    bool is_leaf = f->kind == TRACEQL_STATIC || f->kind == TRACEQL_ATTRIBUTE;

    if (!is_leaf)
        buf_byte(out, '(');
    traceql_print_field(out, f);
    if (!is_leaf)
        buf_byte(out, ')');
}

static void print_unary(struct buf *out, const struct traceql_field *f)
{
    bool is_behind = f->u.unary.op == TRACEQL_EXISTS || f->u.unary.op == TRACEQL_NOT_EXISTS;

    if (!is_behind)
        buf_str(out, traceql_op_text(f->u.unary.op));
    print_operand(out, f->u.unary.operand);
    if (is_behind)
        buf_printf(out, " %s", traceql_op_text(f->u.unary.op));
}

void traceql_print_field(struct buf *out, const struct traceql_field *f)
{
    switch (f->kind) {
    case TRACEQL_STATIC:
        traceql_print_static(out, &f->u.value);
        break;
    case TRACEQL_ATTRIBUTE:
        traceql_print_attribute(out, &f->u.attribute);
        break;
    case TRACEQL_UNARY:
        print_unary(out, f);
        break;
    default:
        print_operand(out, f->u.binary.lhs);
        buf_printf(out, " %s ", traceql_op_text(f->u.binary.op));
        print_operand(out, f->u.binary.rhs);
    }
}

static void print_filter(struct buf *out, const struct traceql_field *f)
{
    buf_str(out, "{ ");
    traceql_print_field(out, f);
    buf_str(out, " }");
}

static void print_spanset(struct buf *out, const struct traceql_spanset *s)
{
    switch (s->kind) {
    case TRACEQL_FILTER:
        print_filter(out, s->u.filter);
        break;
    case TRACEQL_SPANSET_PIPELINE:
        print_pipeline(out, s->u.pipeline);
        break;
    default:
        buf_byte(out, '(');
        print_spanset(out, s->u.operation.lhs);
        buf_printf(out, ") %s (", spanset_ops[s->u.operation.op]);
        print_spanset(out, s->u.operation.rhs);
        buf_byte(out, ')');
    }
}

static void print_attributes(struct buf *out, const struct traceql_attributes *list,
                             const char *between)
{
    for (size_t i = 0; i < list->n; i++) {
        buf_str(out, i ? between : "");
        traceql_print_attribute(out, &list->ptr[i]);
    }
}

void traceql_print_value_name(struct buf *out, const struct traceql_element *e)
{
    const struct traceql_field *f = e->kind == TRACEQL_GROUP ? e->u.group : e->u.scalar.argument;

    buf_printf(out, "%s(", e->kind == TRACEQL_GROUP ? "by" : aggregates[e->u.scalar.aggregate]);
    if (f)
        traceql_print_field(out, f);
    buf_byte(out, ')');
}

static void print_scalar(struct buf *out, const struct traceql_element *e)
{
    buf_byte(out, '(');
    traceql_print_value_name(out, e);
    buf_printf(out, ") %s ", traceql_op_text(e->u.scalar.op));
    traceql_print_static(out, &e->u.scalar.value);
}

static void print_element(struct buf *out, const struct traceql_element *e)
{
    switch (e->kind) {
    case TRACEQL_SPANSET:
        print_spanset(out, e->u.spanset);
        break;
    case TRACEQL_SCALAR_FILTER:
        print_scalar(out, e);
        break;
    case TRACEQL_GROUP:
        traceql_print_value_name(out, e);
        break;
    case TRACEQL_COALESCE:
        buf_str(out, "coalesce()");
        break;
    case TRACEQL_SELECT:
        buf_str(out, "select(");
        print_attributes(out, &e->u.select, ", ");
        buf_byte(out, ')');
        break;
    }
}

static void print_pipeline(struct buf *out, const struct traceql_pipeline *p)
{
    for (size_t i = 0; i < p->n; i++) {
        buf_str(out, i ? "|" : "");
        print_element(out, &p->ptr[i]);
    }
}

static void print_compare(struct buf *out, const struct traceql_aggregation *a)
{
    buf_str(out, "compare(");
    print_filter(out, a->selection);
    if (a->top_n != 10 || a->start_ns || a->end_ns)
        buf_printf(out, ", %" PRId64, a->top_n);
    if (a->start_ns || a->end_ns)
        buf_printf(out, ", %" PRId64 ", %" PRId64, a->start_ns, a->end_ns);
    buf_byte(out, '}'); /* not a parenthesis: this is how Tempo prints it */
}

static void print_aggregation(struct buf *out, const struct traceql_aggregation *a)
{
    if (a->op == TRACEQL_COMPARE) {
        print_compare(out, a);
        return;
    }
    buf_printf(out, "%s(", traceql_metric_name(a->op));
    if (traceql_metric_has_attribute(a->op))
        traceql_print_attribute(out, &a->attribute);
    for (size_t i = 0; i < a->n_quantiles; i++) {
        buf_byte(out, ',');
        num_format(out, a->quantiles[i], 'f', 5);
    }
    buf_byte(out, ')');
    if (a->by.n == 0)
        return;
    buf_str(out, "by(");
    print_attributes(out, &a->by, ",");
    buf_byte(out, ')');
}

/* Numbers that metrics are computed and compared with: without a point where there is none. */
static void print_number(struct buf *out, const struct traceql_static *v)
{
    if (v->type == TRACEQL_FLOAT)
        num_format_v(out, v->v.f);
    else
        traceql_print_static(out, v);
}

static void print_stages(struct buf *out, const struct traceql_stages *stages)
{
    for (size_t i = 0; i < stages->n; i++) {
        const struct traceql_stage *s = &stages->ptr[i];

        if (s->kind == TRACEQL_COMPARISON) {
            buf_printf(out, " %s ", traceql_op_text(s->op));
            print_number(out, &s->value);
        } else {
            buf_printf(out, " | %s(%" PRId64 ")", s->kind == TRACEQL_TOPK ? "topk" : "bottomk",
                       s->n);
        }
    }
}

static void print_math(struct buf *out, const struct traceql_math *m);

static void print_math_operand(struct buf *out, const struct traceql_math *m)
{
    if (m->kind != TRACEQL_NUMBER)
        buf_byte(out, '(');
    print_math(out, m);
    if (m->kind != TRACEQL_NUMBER)
        buf_byte(out, ')');
}

static void print_math(struct buf *out, const struct traceql_math *m)
{
    switch (m->kind) {
    case TRACEQL_LEAF:
        print_pipeline(out, &m->leaf.pipeline);
        buf_str(out, " | ");
        print_aggregation(out, &m->leaf.aggregation);
        print_stages(out, &m->leaf.stages);
        break;
    case TRACEQL_NUMBER:
        print_number(out, &m->number);
        break;
    default:
        print_math_operand(out, m->lhs);
        buf_printf(out, " %s ", traceql_op_text(m->op));
        print_math_operand(out, m->rhs);
    }
}

void traceql_print(struct buf *out, const struct traceql *q)
{
    if (q->metrics)
        print_math(out, q->metrics);
    else
        print_pipeline(out, &q->pipeline);
    print_stages(out, &q->stages);
    for (size_t i = 0; i < q->n_hints; i++) {
        buf_str(out, i ? "," : " with(");
        buf_slice_append(out, q->hints[i].name);
        buf_byte(out, '=');
        traceql_print_static(out, &q->hints[i].value);
    }
    if (q->n_hints > 0)
        buf_byte(out, ')');
}
