#include "common/base/re.h"
#include "common/lang/traceql_internal.h"

/* The canonical text of f, cut where it gets long, for messages. */
static const char *text_of(struct traceql_parser *p, const struct traceql_field *f)
{
    struct buf b = {.max_bytes = 1024};
    const char *text;

    traceql_print_field(&b, f);
    text = arena_cstr(p->arena, b.len > 100 ? slice_sub(buf_slice(&b), 0, 100) : buf_slice(&b));
    buf_done(&b);
    return text;
}

static bool refers_to_span(const struct traceql_field *f)
{
    switch (f->kind) {
    case TRACEQL_STATIC:
        return false;
    case TRACEQL_ATTRIBUTE:
        return true;
    case TRACEQL_UNARY:
        return refers_to_span(f->u.unary.operand);
    default:
        return refers_to_span(f->u.binary.lhs) || refers_to_span(f->u.binary.rhs);
    }
}

/* Intrinsics and the service's name always have a value. */
static bool is_never_nil(const struct traceql_field *f)
{
    const struct traceql_attribute *a = &f->u.attribute;

    return f->kind == TRACEQL_ATTRIBUTE &&
           (a->intrinsic != TRACEQL_NO_INTRINSIC ||
            (a->scope == TRACEQL_SCOPE_RESOURCE && slice_eq(a->name, SLICE("service.name"))));
}

static bool is_illegal(struct traceql_parser *p, const struct traceql_field *f, size_t start)
{
    traceql_parse_fail(p, start, "an operator that is not for these types: %s", text_of(p, f));
    return false;
}

bool traceql_check_unary(struct traceql_parser *p, const struct traceql_field *f, size_t start)
{
    enum traceql_type type = traceql_type_of(f->u.unary.operand);

    switch (f->u.unary.op) {
    case TRACEQL_NOT_EXISTS:
        if (is_never_nil(f->u.unary.operand))
            traceql_parse_fail(p, start, "%s is never nil", text_of(p, f->u.unary.operand));
        return !p->err;
    case TRACEQL_EXISTS:
        return true;
    case TRACEQL_NOT:
        return type == TRACEQL_ANY || type == TRACEQL_BOOL || is_illegal(p, f, start);
    default:
        return type == TRACEQL_ANY || traceql_is_numeric(type) || is_illegal(p, f, start);
    }
}

static bool allows(enum traceql_op op, enum traceql_type type)
{
    bool is_regex = op == TRACEQL_RE || op == TRACEQL_NOT_RE;
    bool is_logical = op == TRACEQL_AND || op == TRACEQL_OR;
    bool is_equality = op == TRACEQL_EQ || op == TRACEQL_NE;

    switch (type) {
    case TRACEQL_ANY:
        return true;
    case TRACEQL_BOOL:
        return is_logical || is_equality;
    case TRACEQL_INT:
    case TRACEQL_FLOAT:
    case TRACEQL_DURATION:
        return traceql_op_is_arithmetic(op) || traceql_op_is_comparison(op);
    case TRACEQL_STRING:
        return is_regex || traceql_op_is_comparison(op);
    case TRACEQL_STATUS:
    case TRACEQL_SPAN_KIND:
        return is_equality;
    default:
        return false;
    }
}

static bool check_regex(struct traceql_parser *p, const struct traceql_field *f, size_t start)
{
    const struct traceql_field *rhs = f->u.binary.rhs;
    struct re *re = NULL;
    struct err *e;

    if (rhs->kind != TRACEQL_STATIC || rhs->u.value.type != TRACEQL_STRING) {
        traceql_parse_fail(p, start, "right of %s stands a text, not %s",
                           traceql_op_text(f->u.binary.op), text_of(p, rhs));
        return false;
    }
    if ((e = re_compile(rhs->u.value.v.s, RE_ANCHORED, &re)))
        traceql_parse_fail(p, start, "an invalid regular expression: %s", err_msg(e));
    err_free(e);
    re_free(re);
    return !p->err;
}

bool traceql_check_binary(struct traceql_parser *p, const struct traceql_field *f, size_t start)
{
    enum traceql_type lhs = traceql_type_of(f->u.binary.lhs),
                      rhs = traceql_type_of(f->u.binary.rhs);
    enum traceql_op op = f->u.binary.op;

    if (lhs != rhs && lhs != TRACEQL_ANY && rhs != TRACEQL_ANY &&
        !(traceql_is_numeric(lhs) && traceql_is_numeric(rhs))) {
        traceql_parse_fail(p, start, "%s and %s do not go together: %s", traceql_type_name(lhs),
                           traceql_type_name(rhs), text_of(p, f));
        return false;
    }
    if (!allows(op, lhs) || !allows(op, rhs))
        return is_illegal(p, f, start);
    return (op != TRACEQL_RE && op != TRACEQL_NOT_RE) || check_regex(p, f, start);
}

bool traceql_check_filter(struct traceql_parser *p, const struct traceql_field *f, size_t start)
{
    enum traceql_type type = traceql_type_of(f);

    if (type == TRACEQL_ANY || type == TRACEQL_BOOL)
        return true;
    traceql_parse_fail(p, start, "a filter is true or false, and this is a %s: %s",
                       traceql_type_name(type), text_of(p, f));
    return false;
}

bool traceql_check_group(struct traceql_parser *p, const struct traceql_field *f, size_t start)
{
    if (!refers_to_span(f))
        traceql_parse_fail(p, start, "this says nothing of the span: %s", text_of(p, f));
    return !p->err;
}

bool traceql_check_argument(struct traceql_parser *p, const struct traceql_field *f, size_t start)
{
    enum traceql_type type = traceql_type_of(f);

    if (type != TRACEQL_ANY && !traceql_is_numeric(type)) {
        traceql_parse_fail(p, start, "aggregates are of numbers, and this is a %s: %s",
                           traceql_type_name(type), text_of(p, f));
        return false;
    }
    return traceql_check_group(p, f, start);
}

bool traceql_re_once(struct slice text, struct slice pattern)
{
    struct re *re = NULL;
    struct err *e = re_compile(pattern, RE_ANCHORED, &re);
    bool is_match = !e && re_match(re, text);

    err_free(e);
    re_free(re);
    return is_match;
}
