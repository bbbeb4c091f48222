/* Types and arities; the tree is known to be no taller than the parser allows. */
#include "common/lang/promql_internal.h"

static const char *documented(enum promql_type t)
{
    switch (t) {
    case PROMQL_VECTOR:
        return "instant vector";
    case PROMQL_MATRIX:
        return "range vector";
    default:
        return promql_type_name(t);
    }
}

static bool expect_type(struct promql_parser *p, struct promql_expr *e, enum promql_type want,
                        const char *context, const char *name)
{
    if (!promql_check(p, e))
        return false;
    if (e->type != want)
        promql_parse_fail(p, e->start, "expected type %s in %s%s, got %s", documented(want),
                          context, name, documented(e->type));
    return !p->err;
}

static bool check_aggregate(struct promql_parser *p, struct promql_aggregate *a)
{
    enum promql_type want = a->op == PROMQL_AGG_COUNT_VALUES ? PROMQL_STRING : PROMQL_SCALAR;

    return expect_type(p, a->expr, PROMQL_VECTOR, "aggregation expression", "") &&
           (!a->param || expect_type(p, a->param, want, "aggregation parameter", ""));
}

/* Where the operator stands, for messages. */
static size_t op_pos(const struct promql_parser *p, const struct promql_binary *b)
{
    size_t i = b->lhs->end;

    while (i < p->lex.src.len && strchr(" \t\r\n", p->lex.src.ptr[i]))
        i++;
    return i;
}

static void check_matching(struct promql_parser *p, struct promql_expr *e)
{
    struct promql_binary *b = &e->u.binary;
    struct promql_matching *m = &b->matching;

    if (!b->has_matching) {
        if (m->labels.n)
            promql_parse_fail(p, e->start, "vector matching only allowed between instant vectors");
        if (m->has_fill_left || m->has_fill_right)
            promql_parse_fail(p, e->start,
                              "filling in missing series only allowed between instant vectors");
        *m = (struct promql_matching){0};
        return;
    }
    if (!promql_op_is_set(b->op))
        return;
    if (m->has_group)
        promql_parse_fail(p, e->start, "no grouping allowed for \"%s\" operation",
                          promql_op_text(b->op));
    if (m->has_fill_left || m->has_fill_right)
        promql_parse_fail(p, e->start, "filling in missing series not allowed for set operators");
    m->card = PROMQL_MANY_TO_MANY;
}

static bool is_number_like(const struct promql_expr *e)
{
    return e->type == PROMQL_SCALAR || e->type == PROMQL_VECTOR;
}

static void check_labels_apart(struct promql_parser *p, const struct promql_binary *b)
{
    const struct promql_matching *m = &b->matching;

    for (size_t i = 0; m->is_on && i < m->labels.n; i++)
        for (size_t j = 0; j < m->include.n; j++)
            if (slice_eq(m->labels.ptr[i], m->include.ptr[j]))
                promql_parse_fail(p, op_pos(p, b),
                                  "label \"%.*s\" must not occur in ON and GROUP clause at once",
                                  SLICE_ARG(m->labels.ptr[i]));
}

static bool check_binary(struct promql_parser *p, struct promql_expr *e)
{
    struct promql_binary *b = &e->u.binary;
    bool is_scalar;

    if (!promql_check(p, b->lhs) || !promql_check(p, b->rhs))
        return false;
    is_scalar = b->lhs->type == PROMQL_SCALAR && b->rhs->type == PROMQL_SCALAR;
    b->has_matching = b->lhs->type == PROMQL_VECTOR && b->rhs->type == PROMQL_VECTOR;
    e->type = is_scalar ? PROMQL_SCALAR : PROMQL_VECTOR;
    if (b->is_bool && !promql_op_is_comparison(b->op))
        promql_parse_fail(p, op_pos(p, b),
                          "bool modifier can only be used on comparison operators");
    if (is_scalar && promql_op_is_comparison(b->op) && !b->is_bool)
        promql_parse_fail(p, op_pos(p, b), "comparisons between scalars must use BOOL modifier");
    check_labels_apart(p, b);
    if (!is_number_like(b->lhs) || !is_number_like(b->rhs))
        promql_parse_fail(p, (is_number_like(b->lhs) ? b->rhs : b->lhs)->start,
                          "binary expression must contain only scalar and instant vector types");
    if (promql_op_is_set(b->op) && !b->has_matching)
        promql_parse_fail(p, e->start,
                          "set operator \"%s\" not allowed in binary scalar expression",
                          promql_op_text(b->op));
    check_matching(p, e);
    return !p->err;
}

static void check_count(struct promql_parser *p, const struct promql_expr *e)
{
    const struct promql_func *f = e->u.call.func;
    size_t want = strlen(f->args), n = e->u.call.n_args;

    if (f->variadic == 0 && n != want)
        promql_parse_fail(p, e->start, "expected %zu argument(s) in call to \"%s\", got %zu", want,
                          f->name, n);
    else if (f->variadic && n + 1 < want)
        promql_parse_fail(p, e->start,
                          "expected at least %zu argument(s) in call to \"%s\", got %zu", want - 1,
                          f->name, n);
    else if (f->variadic > 0 && n > want - 1 + (size_t)f->variadic)
        promql_parse_fail(p, e->start,
                          "expected at most %zu argument(s) in call to \"%s\", got %zu",
                          want - 1 + (size_t)f->variadic, f->name, n);
}

/* The second argument of info() is no vector but matchers for the labels to add. */
static bool check_info_labels(struct promql_parser *p, struct promql_expr *e)
{
    if (e->kind != PROMQL_SELECTOR)
        promql_parse_fail(p, e->start, "expected label selectors only");
    else if (e->u.selector.name.len)
        promql_parse_fail(p, e->start,
                          "expected label selectors only, got vector selector instead");
    e->type = PROMQL_VECTOR;
    return !p->err;
}

static bool check_call(struct promql_parser *p, struct promql_expr *e)
{
    const struct promql_func *f = e->u.call.func;
    size_t n_types = strlen(f->args);

    check_count(p, e);
    e->type = f->result;
    for (size_t i = 0; !p->err && i < e->u.call.n_args; i++) {
        struct promql_expr *arg = e->u.call.args[i];
        enum promql_type want = promql_func_type(f->args[ORR_MIN(i, n_types - 1)]);
        struct buf name = {0};
        bool is_ok;

        if (f->id == PROMQL_FN_INFO && i == 1) {
            is_ok = check_info_labels(p, arg);
        } else {
            buf_printf(&name, "\"%s\"", f->name);
            is_ok = expect_type(p, arg, want, "call to function ", buf_cstr(&name));
            buf_done(&name);
        }
        if (!is_ok)
            return false;
    }
    return !p->err;
}

static bool check_selector(struct promql_parser *p, const struct promql_expr *e)
{
    const struct promql_selector *s = &e->u.selector;

    for (size_t i = 0; s->name.len && i + 1 < s->matchers.n; i++)
        if (slice_eq_cstr(s->matchers.ptr[i].name, LABEL_NAME))
            promql_parse_fail(p, e->start,
                              "metric name must not be set twice: \"%.*s\" or \"%.*s\"",
                              SLICE_ARG(s->name), SLICE_ARG(s->matchers.ptr[i].value));
    if (!s->name.len && promql_selects_all(s->matchers))
        promql_parse_fail(p, e->start,
                          "vector selector must contain at least one non-empty matcher");
    return !p->err;
}

static bool check_unary(struct promql_parser *p, struct promql_expr *e)
{
    if (!promql_check(p, e->u.unary.expr))
        return false;
    e->type = e->u.unary.expr->type;
    if (!is_number_like(e))
        promql_parse_fail(p, e->start,
                          "unary expression only allowed on expressions of type scalar or instant "
                          "vector, got \"%s\"",
                          documented(e->type));
    return !p->err;
}

bool promql_check(struct promql_parser *p, struct promql_expr *e)
{
    switch (e->kind) {
    case PROMQL_NUMBER:
        e->type = PROMQL_SCALAR;
        return true;
    case PROMQL_TEXT:
        e->type = PROMQL_STRING;
        return true;
    case PROMQL_SELECTOR:
        e->type = PROMQL_VECTOR;
        return check_selector(p, e);
    case PROMQL_RANGE:
        e->type = PROMQL_MATRIX;
        return promql_check(p, e->u.range.selector);
    case PROMQL_SUBQUERY:
        e->type = PROMQL_MATRIX;
        if (!promql_check(p, e->u.subquery.expr))
            return false;
        if (e->u.subquery.expr->type != PROMQL_VECTOR)
            promql_parse_fail(p, e->start,
                              "subquery is only allowed on instant vector, got %s instead",
                              promql_type_name(e->u.subquery.expr->type));
        return !p->err;
    case PROMQL_CALL:
        return check_call(p, e);
    case PROMQL_AGGREGATE:
        e->type = PROMQL_VECTOR;
        return check_aggregate(p, &e->u.aggregate);
    case PROMQL_BINARY:
        return check_binary(p, e);
    case PROMQL_UNARY:
        return check_unary(p, e);
    case PROMQL_PAREN:
        if (!promql_check(p, e->u.paren))
            return false;
        e->type = e->u.paren->type;
        return true;
    }
    return false;
}
