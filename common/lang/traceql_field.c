/* Expressions over one span: { … }, and the arguments of by() and of aggregates. */
#include "common/lang/traceql_internal.h"

#define UNARY_MINUS_PRECEDENCE 3 /* binds as + and - do, weaker than * */
#define NOT_PRECEDENCE 4

static struct traceql_field *parse_expr(struct traceql_parser *p, unsigned min_prec);

static struct traceql_field *new_static(struct traceql_parser *p, struct traceql_static v)
{
    struct traceql_field *f = arena_new_of(p->arena, struct traceql_field);

    f->kind = TRACEQL_STATIC;
    f->height = 1;
    f->u.value = v;
    return f;
}

static struct traceql_static bool_of(bool b)
{
    return (struct traceql_static){TRACEQL_BOOL, {.b = b}};
}

/* A value of a unary operation on a constant. False if it has none. */
static bool fold_unary(enum traceql_op op, const struct traceql_static *v,
                       struct traceql_static *ret)
{
    *ret = *v;
    switch (op) {
    case TRACEQL_EXISTS:
    case TRACEQL_NOT_EXISTS:
        *ret = bool_of((op == TRACEQL_EXISTS) == (v->type != TRACEQL_NIL));
        return true;
    case TRACEQL_NOT:
        if (v->type != TRACEQL_BOOL)
            return false;
        ret->v.b = !v->v.b;
        return true;
    default:
        if (!traceql_is_numeric(v->type))
            return false;
        if (v->type == TRACEQL_FLOAT)
            ret->v.f = -v->v.f;
        else
            ret->v.i = (int64_t)(0 - (uint64_t)v->v.i);
        return true;
    }
}

static struct traceql_field *new_unary(struct traceql_parser *p, size_t start, enum traceql_op op,
                                       struct traceql_field *operand)
{
    struct traceql_field *f;
    struct traceql_static v;

    if (operand->kind == TRACEQL_STATIC && fold_unary(op, &operand->u.value, &v))
        return new_static(p, v);
    f = arena_new_of(p->arena, struct traceql_field);
    f->kind = TRACEQL_UNARY;
    f->height = operand->height + 1;
    f->u.unary.op = op;
    f->u.unary.operand = operand;
    return traceql_check_unary(p, f, start) ? f : NULL;
}

/* f is a checked operation on two constants. NULL: it has no value and stays as it is. */
static struct traceql_field *fold_binary(struct traceql_parser *p, const struct traceql_field *f)
{
    const struct traceql_static *l = &f->u.binary.lhs->u.value, *r = &f->u.binary.rhs->u.value;
    struct traceql_static v;
    bool is_match;

    if (f->u.binary.op != TRACEQL_RE && f->u.binary.op != TRACEQL_NOT_RE)
        return traceql_apply(f->u.binary.op, l, r, &v) ? new_static(p, v) : NULL;
    is_match = traceql_re_once(l->v.s, r->v.s);
    return new_static(p, bool_of(is_match == (f->u.binary.op == TRACEQL_RE)));
}

static bool is_nil(const struct traceql_field *f)
{
    return f->kind == TRACEQL_STATIC && f->u.value.type == TRACEQL_NIL;
}

static struct traceql_field *new_binary(struct traceql_parser *p, size_t start, enum traceql_op op,
                                        struct traceql_field *lhs, struct traceql_field *rhs)
{
    struct traceql_field *f, *value;

    if ((op == TRACEQL_EQ || op == TRACEQL_NE) && (is_nil(lhs) || is_nil(rhs)))
        return new_unary(p, start, op == TRACEQL_EQ ? TRACEQL_NOT_EXISTS : TRACEQL_EXISTS,
                         is_nil(rhs) ? lhs : rhs);
    f = arena_new_of(p->arena, struct traceql_field);
    f->kind = TRACEQL_BINARY;
    f->height = 1 + (lhs->height > rhs->height ? lhs->height : rhs->height);
    f->u.binary.op = op;
    f->u.binary.lhs = lhs;
    f->u.binary.rhs = rhs;
    if (!traceql_check_binary(p, f, start))
        return NULL;
    value = lhs->kind == TRACEQL_STATIC && rhs->kind == TRACEQL_STATIC ? fold_binary(p, f) : NULL;
    return value ? value : f;
}

static struct traceql_field *parse_unary(struct traceql_parser *p)
{
    size_t start = p->tok.start;
    bool is_not = p->tok.op == TRACEQL_NOT;
    struct traceql_field *f;

    if (!traceql_parse_next(p))
        return NULL;
    /* its operand takes what binds stronger than itself */
    f = parse_expr(p, (is_not ? NOT_PRECEDENCE : UNARY_MINUS_PRECEDENCE) + 1);
    return f ? new_unary(p, start, is_not ? TRACEQL_NOT : TRACEQL_NEGATE, f) : NULL;
}

static struct traceql_field *parse_primary(struct traceql_parser *p)
{
    struct traceql_token t = p->tok;
    struct traceql_field *f;

    switch (t.type) {
    case TRACEQL_TOK_STATIC:
        return traceql_parse_next(p) ? new_static(p, t.value) : NULL;
    case TRACEQL_TOK_NIL:
        return traceql_parse_next(p) ? new_static(p, (struct traceql_static){0}) : NULL;
    case TRACEQL_TOK_ATTRIBUTE:
        if (!traceql_parse_next(p))
            return NULL;
        f = arena_new_of(p->arena, struct traceql_field);
        f->kind = TRACEQL_ATTRIBUTE;
        f->height = 1;
        f->u.attribute = t.attribute;
        return f;
    case TRACEQL_TOK_LPAREN:
        if (!traceql_parse_next(p) || !(f = parse_expr(p, 0)))
            return NULL;
        return traceql_parse_expect(p, TRACEQL_TOK_RPAREN) ? f : NULL;
    case TRACEQL_TOK_SIGN:
        if (t.op == TRACEQL_NOT || t.op == TRACEQL_SUB)
            return parse_unary(p);
        break;
    default:
        break;
    }
    traceql_parse_unexpected(p, "a value, an attribute or an intrinsic");
    return NULL;
}

static struct traceql_field *parse_expr(struct traceql_parser *p, unsigned min_prec)
{
    size_t start = p->tok.start;
    struct traceql_field *f, *rhs;

    if (!traceql_parse_enter(p))
        return NULL;
    f = parse_primary(p);
    while (f && p->tok.type == TRACEQL_TOK_SIGN && p->tok.op != TRACEQL_NO_OP) {
        enum traceql_op op = (enum traceql_op)p->tok.op;
        unsigned prec = traceql_op_precedence(op);

        if (prec == 0 || prec < min_prec)
            break;
        /* ^ alone takes its right side first */
        rhs = traceql_parse_next(p) ? parse_expr(p, prec + (op != TRACEQL_POW)) : NULL;
        f = rhs ? new_binary(p, start, op, f, rhs) : NULL;
        if (f && !traceql_parse_height(p, f->height))
            f = NULL;
    }
    p->depth--;
    return f;
}

struct traceql_field *traceql_field_parse(struct traceql_parser *p)
{
    return parse_expr(p, 0);
}

struct traceql_field *traceql_field_filter(struct traceql_parser *p)
{
    size_t start = p->tok.start;
    struct traceql_field *f;

    if (!traceql_parse_expect(p, TRACEQL_TOK_LBRACE))
        return NULL;
    if (traceql_parse_take(p, TRACEQL_TOK_RBRACE))
        return new_static(p, bool_of(true));
    f = traceql_field_parse(p);
    if (!f || !traceql_parse_expect(p, TRACEQL_TOK_RBRACE))
        return NULL;
    return traceql_check_filter(p, f, start) ? f : NULL;
}

bool traceql_field_attribute(struct traceql_parser *p, struct traceql_attribute *ret)
{
    *ret = p->tok.attribute;
    if (p->tok.type == TRACEQL_TOK_ATTRIBUTE)
        return traceql_parse_next(p);
    traceql_parse_unexpected(p, "an attribute or an intrinsic");
    return false;
}

bool traceql_field_attributes(struct traceql_parser *p, struct traceql_attributes *ret)
{
    *ret = (struct traceql_attributes){0};
    if (!traceql_parse_expect(p, TRACEQL_TOK_LPAREN))
        return false;
    do {
        ret->ptr = traceql_parse_grow(p, ret->ptr, ret->n, sizeof(*ret->ptr));
        if (!ret->ptr || !traceql_field_attribute(p, &ret->ptr[ret->n]))
            return false;
        ret->n++;
    } while (traceql_parse_take(p, TRACEQL_TOK_COMMA));
    return traceql_parse_expect(p, TRACEQL_TOK_RPAREN);
}
