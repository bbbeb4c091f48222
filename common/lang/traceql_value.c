/* Types and values: what operators do with them. */
#include <math.h>

#include "common/lang/traceql_internal.h"

static const char *const type_names[] = {
#define X(sym, text) text,
    TRACEQL_TYPES(X)
#undef X
};

static const struct {
    const char *text;
    unsigned precedence;
} ops[] = {
#define X(sym, text, precedence) {text, precedence},
    TRACEQL_OPS(X)
#undef X
};

static const struct {
    const char *name;
    bool has_attribute;
} metrics[] = {
#define X(sym, name, has_attribute) {name, has_attribute},
    TRACEQL_METRICS(X)
#undef X
};

static const enum traceql_type intrinsic_types[] = {
#define X(sym, text, scope, name, type) type,
    TRACEQL_INTRINSICS(X)
#undef X
};

const char *traceql_type_name(enum traceql_type type)
{
    return type_names[type];
}

const char *traceql_op_text(enum traceql_op op)
{
    return ops[op].text;
}

const char *traceql_metric_name(enum traceql_metric op)
{
    return metrics[op].name;
}

bool traceql_metric_has_attribute(enum traceql_metric op)
{
    return metrics[op].has_attribute;
}

unsigned traceql_op_precedence(enum traceql_op op)
{
    return ops[op].precedence;
}

bool traceql_op_is_comparison(enum traceql_op op)
{
    return op == TRACEQL_EQ || op == TRACEQL_NE || (op >= TRACEQL_GT && op <= TRACEQL_LE);
}

bool traceql_op_is_arithmetic(enum traceql_op op)
{
    return op >= TRACEQL_ADD && op <= TRACEQL_POW;
}

bool traceql_is_numeric(enum traceql_type type)
{
    return type == TRACEQL_INT || type == TRACEQL_FLOAT || type == TRACEQL_DURATION;
}

double traceql_number(const struct traceql_static *v)
{
    return v->type == TRACEQL_FLOAT ? v->v.f : (double)v->v.i;
}

static enum traceql_type binary_type(const struct traceql_field *f)
{
    enum traceql_type lhs;

    if (!traceql_op_is_arithmetic(f->u.binary.op))
        return TRACEQL_BOOL;
    lhs = traceql_type_of(f->u.binary.lhs);
    return lhs != TRACEQL_ANY ? lhs : traceql_type_of(f->u.binary.rhs);
}

enum traceql_type traceql_type_of(const struct traceql_field *f)
{
    switch (f->kind) {
    case TRACEQL_STATIC:
        return f->u.value.type;
    case TRACEQL_ATTRIBUTE:
        return intrinsic_types[f->u.attribute.intrinsic];
    case TRACEQL_UNARY:
        return f->u.unary.op == TRACEQL_NEGATE ? traceql_type_of(f->u.unary.operand) : TRACEQL_BOOL;
    default:
        return binary_type(f);
    }
}

int traceql_cmp(const struct traceql_static *l, const struct traceql_static *r)
{
    if (l->type != r->type)
        return l->type < r->type ? -1 : 1;
    switch (l->type) {
    case TRACEQL_NIL:
        return 0;
    case TRACEQL_STRING:
        return slice_cmp(l->v.s, r->v.s);
    case TRACEQL_BOOL:
        return (int)l->v.b - (int)r->v.b;
    case TRACEQL_FLOAT: /* NaN before all else, and like itself: what sorts needs an order */
        if (isnan(l->v.f) || isnan(r->v.f))
            return (int)!!isnan(r->v.f) - (int)!!isnan(l->v.f);
        return (l->v.f > r->v.f) - (l->v.f < r->v.f);
    default:
        return (l->v.i > r->v.i) - (l->v.i < r->v.i);
    }
}

struct traceql_static traceql_keep(struct arena *a, struct traceql_static v)
{
    if (v.type == TRACEQL_STRING)
        v.v.s = arena_dup(a, v.v.s);
    return v;
}

static bool set_bool(struct traceql_static *ret, bool b)
{
    *ret = (struct traceql_static){TRACEQL_BOOL, {.b = b}};
    return true;
}

/* order < 0, 0, > 0 as lhs is to rhs. */
static bool set_order(struct traceql_static *ret, enum traceql_op op, int order)
{
    switch (op) {
    case TRACEQL_EQ:
        return set_bool(ret, order == 0);
    case TRACEQL_NE:
        return set_bool(ret, order != 0);
    case TRACEQL_GT:
        return set_bool(ret, order > 0);
    case TRACEQL_GE:
        return set_bool(ret, order >= 0);
    case TRACEQL_LT:
        return set_bool(ret, order < 0);
    case TRACEQL_LE:
        return set_bool(ret, order <= 0);
    default:
        return false;
    }
}

static bool apply_ints(enum traceql_op op, int64_t l, int64_t r, struct traceql_static *ret)
{
    uint64_t ul = (uint64_t)l, ur = (uint64_t)r; /* overflow wraps, as in Go */

    if (traceql_op_is_comparison(op))
        return set_order(ret, op, l < r ? -1 : l > r);
    ret->type = TRACEQL_INT;
    switch (op) {
    case TRACEQL_ADD:
        ret->v.i = (int64_t)(ul + ur);
        return true;
    case TRACEQL_SUB:
        ret->v.i = (int64_t)(ul - ur);
        return true;
    case TRACEQL_MUL:
        ret->v.i = (int64_t)(ul * ur);
        return true;
    case TRACEQL_DIV:
    case TRACEQL_MOD:
        if (r == 0)
            return false;
        if (r == -1) /* INT64_MIN / -1 traps */
            ret->v.i = op == TRACEQL_DIV ? (int64_t)(0 - ul) : 0;
        else
            ret->v.i = op == TRACEQL_DIV ? l / r : l % r;
        return true;
    case TRACEQL_POW: {
        double v = pow((double)l, (double)r);

        /* what does not fit is what amd64 makes of it */
        ret->v.i = v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
        return true;
    }
    default:
        return false;
    }
}

static bool apply_floats(enum traceql_op op, double l, double r, struct traceql_static *ret)
{
    switch (op) {
    case TRACEQL_EQ:
        return set_bool(ret, l == r);
    case TRACEQL_NE:
        return set_bool(ret, l != r);
    case TRACEQL_GT:
        return set_bool(ret, l > r);
    case TRACEQL_GE:
        return set_bool(ret, l >= r);
    case TRACEQL_LT:
        return set_bool(ret, l < r);
    case TRACEQL_LE:
        return set_bool(ret, l <= r);
    default:
        break;
    }
    ret->type = TRACEQL_FLOAT;
    switch (op) {
    case TRACEQL_ADD:
        ret->v.f = l + r;
        return true;
    case TRACEQL_SUB:
        ret->v.f = l - r;
        return true;
    case TRACEQL_MUL:
        ret->v.f = l * r;
        return true;
    case TRACEQL_DIV:
        ret->v.f = l / r;
        return true;
    case TRACEQL_MOD:
        ret->v.f = fmod(l, r);
        return true;
    case TRACEQL_POW:
        ret->v.f = pow(l, r);
        return true;
    default:
        return false;
    }
}

bool traceql_apply(enum traceql_op op, const struct traceql_static *lhs,
                   const struct traceql_static *rhs, struct traceql_static *ret)
{
    const struct traceql_static l = *lhs, r = *rhs; /* ret may be one of them */

    if (l.type == TRACEQL_INT && r.type == TRACEQL_INT)
        return apply_ints(op, l.v.i, r.v.i, ret);
    if (traceql_is_numeric(l.type) && traceql_is_numeric(r.type)) {
        if (l.type != TRACEQL_FLOAT && r.type != TRACEQL_FLOAT && traceql_op_is_comparison(op))
            return apply_ints(op, l.v.i, r.v.i, ret);
        return apply_floats(op, traceql_number(&l), traceql_number(&r), ret);
    }
    if (l.type != r.type)
        return false;
    switch (l.type) {
    case TRACEQL_STRING:
        return set_order(ret, op, slice_cmp(l.v.s, r.v.s));
    case TRACEQL_BOOL:
        if (op == TRACEQL_AND || op == TRACEQL_OR)
            return set_bool(ret, op == TRACEQL_AND ? l.v.b && r.v.b : l.v.b || r.v.b);
        return set_order(ret, op, (int)l.v.b - (int)r.v.b);
    case TRACEQL_STATUS:
    case TRACEQL_SPAN_KIND:
        return set_order(ret, op, l.v.i < r.v.i ? -1 : l.v.i > r.v.i);
    default:
        return false;
    }
}
