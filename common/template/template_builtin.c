/* Go's own functions, but for comparisons and escapes. */
#include "common/template/template_internal.h"
#include "common/template/valuefmt.h"

static struct err *take_text(struct value_call *call, struct buf *b, struct value *ret)
{
    if (!buf_ok(b)) {
        buf_done(b);
        return err_new(ERR_LIMIT, "text is longer than %zu bytes", call->max_bytes);
    }
    *ret = value_take_text(call->arena, b);
    return NULL;
}

static struct err *func_print(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    valuefmt_print(&b, args, n);
    return take_text(call, &b, ret);
}

static struct err *func_println(struct value_call *call, const struct value *args, size_t n,
                                struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    valuefmt_println(&b, args, n);
    return take_text(call, &b, ret);
}

static struct err *func_printf(struct value_call *call, const struct value *args, size_t n,
                               struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    valuefmt_printf(&b, args[0].s, args + 1, n - 1);
    return take_text(call, &b, ret);
}

static struct err *func_not(struct value_call *call, const struct value *args, size_t n,
                            struct value *ret)
{
    (void)call, (void)n;
    *ret = value_bool(!value_is_true(&args[0]));
    return NULL;
}

static struct err *func_len(struct value_call *call, const struct value *args, size_t n,
                            struct value *ret)
{
    const struct value *v = &args[0];

    (void)n;
    switch (v->kind) {
    case VALUE_STRING:
        *ret = value_int((int64_t)v->s.len);
        return NULL;
    case VALUE_LIST:
        *ret = value_int((int64_t)v->list.n);
        return NULL;
    case VALUE_MAP:
        *ret = value_int((int64_t)v->map.n);
        return NULL;
    case VALUE_INVALID:
        return err_new(ERR_EXEC, "len of nil pointer");
    default:
        return err_new(ERR_EXEC, "len of type %s", value_type_text(call->arena, v));
    }
}

/* An index into something of n elements; n itself is allowed. */
static struct err *index_of(struct value_call *call, const struct value *v, size_t n, size_t *ret)
{
    if (v->kind == VALUE_INVALID)
        return err_new(ERR_EXEC, "cannot index slice/array with nil");
    if (v->kind != VALUE_INT && v->kind != VALUE_UINT)
        return err_new(ERR_EXEC, "cannot index slice/array with type %s",
                       value_type_text(call->arena, v));
    if (v->i < 0 || (uint64_t)v->i > n)
        return err_new(ERR_EXEC, "index out of range: %lld", (long long)v->i);
    *ret = (size_t)v->i;
    return NULL;
}

static struct err *index_map(struct value_call *call, struct value *item, const struct value *key)
{
    const struct value *found;

    if (key->kind == VALUE_INVALID)
        return err_new(ERR_EXEC, "value is nil; should be of type string");
    if (key->kind != VALUE_STRING)
        return err_new(ERR_EXEC, "value has type %s; should be string",
                       value_type_text(call->arena, key));
    found = value_get(item, key->s);
    *item = found ? *found : value_zero_elem(item);
    return NULL;
}

static struct err *index_one(struct value_call *call, struct value *item, const struct value *key)
{
    size_t n = item->kind == VALUE_LIST ? item->list.n : item->s.len, i;
    struct err *e;

    switch (item->kind) {
    case VALUE_MAP:
        return index_map(call, item, key);
    case VALUE_LIST:
    case VALUE_STRING:
        if ((e = index_of(call, key, n, &i)))
            return e;
        if (i >= n)
            return err_new(ERR_EXEC, "index out of range: %zu", i);
        if (item->kind == VALUE_LIST)
            *item = item->list.items[i];
        else
            *item =
                (struct value){.kind = VALUE_UINT, .u = item->s.ptr[i], .type = &value_type_byte};
        return NULL;
    case VALUE_INVALID:
        return err_new(ERR_EXEC, "index of nil pointer");
    default:
        return err_new(ERR_EXEC, "can't index item of type %s", value_type_text(call->arena, item));
    }
}

static struct err *func_index(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret)
{
    struct value item = args[0];
    struct err *e = NULL;

    if (item.kind == VALUE_INVALID)
        return err_new(ERR_EXEC, "index of untyped nil");
    for (size_t i = 1; i < n && !e; i++)
        e = index_one(call, &item, &args[i]);
    *ret = item;
    return e;
}

static struct err *func_slice(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret)
{
    struct value item = args[0];
    size_t at[3] = {0}, len;

    if (item.kind == VALUE_INVALID)
        return err_new(ERR_EXEC, "slice of untyped nil");
    if (n > 4)
        return err_new(ERR_EXEC, "too many slice indexes: %zu", n - 1);
    if (item.kind != VALUE_STRING && item.kind != VALUE_LIST)
        return err_new(ERR_EXEC, "can't slice item of type %s",
                       value_type_text(call->arena, &item));
    if (item.kind == VALUE_STRING && n == 4)
        return err_new(ERR_EXEC, "cannot 3-index slice a string");
    at[1] = at[2] = len = item.kind == VALUE_STRING ? item.s.len : item.list.n;
    for (size_t i = 1; i < n; i++) {
        struct err *e = index_of(call, &args[i], len, &at[i - 1]);

        if (e)
            return e;
    }
    for (size_t i = 0; i < 2; i++)
        if (at[i] > at[i + 1])
            return err_new(ERR_EXEC, "invalid slice index: %zu > %zu", at[i], at[i + 1]);
    item.is_any = false;
    if (item.kind == VALUE_STRING) {
        item.s = slice_sub(item.s, at[0], at[1] - at[0]);
    } else {
        item.list.items += at[0];
        item.list.n = at[1] - at[0];
    }
    *ret = item;
    return NULL;
}

/* No value of ours is a function, so call has nothing to call. */
static struct err *func_call(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    (void)n, (void)ret;
    if (args[0].kind == VALUE_INVALID)
        return err_new(ERR_EXEC, "call of nil");
    return err_new(ERR_EXEC, "non-function of type %s", value_type_text(call->arena, &args[0]));
}

struct err *template_func_and(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret)
{
    (void)call, (void)args, (void)n, (void)ret;
    return err_new(ERR_INTERNAL, "and is evaluated by the executor");
}

struct err *template_func_or(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret)
{
    (void)call, (void)args, (void)n, (void)ret;
    return err_new(ERR_INTERNAL, "or is evaluated by the executor");
}

const struct value_func template_builtins[] = {
    {"and", "vv*", template_func_and},
    {"or", "vv*", template_func_or},
    {"not", "v", func_not},
    {"len", "v", func_len},
    {"index", "vv*", func_index},
    {"slice", "vv*", func_slice},
    {"print", "v*", func_print},
    {"printf", "sv*", func_printf},
    {"println", "v*", func_println},
    {"html", "v*", template_func_html},
    {"js", "v*", template_func_js},
    {"urlquery", "v*", template_func_urlquery},
    {"call", "vv*", func_call},
    {"eq", "vv*", template_func_eq},
    {"ne", "vv", template_func_ne},
    {"lt", "vv", template_func_lt},
    {"le", "vv", template_func_le},
    {"gt", "vv", template_func_gt},
    {"ge", "vv", template_func_ge},
};
const size_t template_builtins_n = ORR_COUNT(template_builtins);
