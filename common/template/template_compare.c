/* eq ne lt le gt ge: values of one basic kind, and integers of either sign. */
#include "common/template/template_internal.h"

static bool is_basic(const struct value *v)
{
    return v->kind >= VALUE_BOOL && v->kind <= VALUE_STRING;
}

static struct err *incompatible(struct value_call *call, const struct value *a,
                                const struct value *b)
{
    return err_new(ERR_EXEC, "incompatible types for comparison: %s and %s",
                   value_type_text(call->arena, a), value_type_text(call->arena, b));
}

static bool is_mixed_int(const struct value *a, const struct value *b)
{
    return (a->kind == VALUE_INT && b->kind == VALUE_UINT) ||
           (a->kind == VALUE_UINT && b->kind == VALUE_INT);
}

/* <0, 0, >0 for two integers of different signedness. */
static int compare_mixed(const struct value *a, const struct value *b)
{
    bool is_swapped = a->kind == VALUE_UINT;
    int64_t i = is_swapped ? b->i : a->i;
    uint64_t u = is_swapped ? a->u : b->u;
    int c = i < 0 ? -1 : ((uint64_t)i > u) - ((uint64_t)i < u);

    return is_swapped ? -c : c;
}

static bool equal_basic(const struct value *a, const struct value *b)
{
    switch (a->kind) {
    case VALUE_BOOL:
        return a->b == b->b;
    case VALUE_INT:
        return a->i == b->i;
    case VALUE_UINT:
        return a->u == b->u;
    case VALUE_FLOAT:
        return a->f == b->f;
    case VALUE_COMPLEX:
        return a->c.re == b->c.re && a->c.im == b->c.im;
    default:
        return slice_eq(a->s, b->s);
    }
}

static struct err *equal(struct value_call *call, const struct value *a, const struct value *b,
                         bool *ret)
{
    if (is_mixed_int(a, b)) {
        *ret = compare_mixed(a, b) == 0;
    } else if (is_basic(a) && a->kind == b->kind) {
        *ret = equal_basic(a, b);
    } else if (a->kind == VALUE_INVALID || b->kind == VALUE_INVALID) {
        *ret = a->kind == b->kind; /* nil is equal to nil alone */
    } else if (is_basic(a) || is_basic(b)) {
        return incompatible(call, a, b);
    } else if (a->kind == VALUE_TIME && b->kind == VALUE_TIME) {
        *ret = a->time->unix_s == b->time->unix_s && a->time->ns == b->time->ns;
    } else {
        return err_new(ERR_EXEC, "non-comparable types: %s and %s", value_type_text(call->arena, a),
                       value_type_text(call->arena, b));
    }
    return NULL;
}

struct err *template_func_eq(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    bool is_equal = false;
    struct err *e = NULL;

    if (n < 2)
        return err_new(ERR_EXEC, "missing argument for comparison");
    for (size_t i = 1; i < n && !is_equal && !e; i++)
        e = equal(call, &args[0], &args[i], &is_equal);
    *ret = value_bool(is_equal);
    return e;
}

struct err *template_func_ne(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    struct err *e = template_func_eq(call, args, n, ret);

    ret->b = !ret->b;
    return e;
}

static struct err *less(struct value_call *call, const struct value *a, const struct value *b,
                        bool *ret)
{
    if (!is_basic(a) || !is_basic(b))
        return err_new(ERR_EXEC, "invalid type for comparison");
    if (is_mixed_int(a, b)) {
        *ret = compare_mixed(a, b) < 0;
        return NULL;
    }
    if (a->kind != b->kind)
        return incompatible(call, a, b);
    switch (a->kind) {
    case VALUE_INT:
        *ret = a->i < b->i;
        return NULL;
    case VALUE_UINT:
        *ret = a->u < b->u;
        return NULL;
    case VALUE_FLOAT:
        *ret = a->f < b->f;
        return NULL;
    case VALUE_STRING:
        *ret = slice_cmp(a->s, b->s) < 0;
        return NULL;
    default:
        return err_new(ERR_EXEC, "invalid type for comparison");
    }
}

struct err *template_func_lt(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    bool b = false;
    struct err *e = less(call, &args[0], &args[1], &b);

    (void)n;
    *ret = value_bool(b);
    return e;
}

/* Less or equal, not "not greater": it tells NaN. */
struct err *template_func_le(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    bool b = false;
    struct err *e = less(call, &args[0], &args[1], &b);

    (void)n;
    if (!e && !b)
        e = equal(call, &args[0], &args[1], &b);
    *ret = value_bool(b);
    return e;
}

struct err *template_func_gt(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    struct err *e = template_func_le(call, args, n, ret);

    ret->b = !ret->b;
    return e;
}

struct err *template_func_ge(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    struct err *e = template_func_lt(call, args, n, ret);

    ret->b = !ret->b;
    return e;
}
