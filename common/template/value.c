#include "common/template/value.h"

#include <stdlib.h>

#include "common/base/promdur.h"

static void print_duration(struct buf *out, const struct value *v)
{
    promdur_print_go(out, v->i);
}

static struct err *duration_seconds(struct value_call *call, const struct value *args, size_t n,
                                    struct value *ret)
{
    (void)call, (void)n;
    *ret = value_float(promdur_seconds(args[0].i));
    return NULL;
}

static struct err *duration_string(struct value_call *call, const struct value *args, size_t n,
                                   struct value *ret)
{
    struct buf b = {.max_bytes = call->max_bytes};

    (void)n;
    promdur_print_go(&b, args[0].i);
    *ret = value_take_text(call->arena, &b);
    return NULL;
}

static const struct value_func duration_methods[] = {
    {"Seconds", "", duration_seconds},
    {"String", "", duration_string},
};

const struct value_type value_type_map_string = {.name = "map[string]string", .elem = VALUE_STRING};
const struct value_type value_type_list_string = {.name = "[]string", .elem = VALUE_STRING};
const struct value_type value_type_byte = {.name = "uint8"};
const struct value_type value_type_duration = {.name = "time.Duration",
                                               .methods = duration_methods,
                                               .n_methods = ORR_COUNT(duration_methods),
                                               .print = print_duration};
const struct value_type value_type_html = {.name = "template.HTML"};

struct value value_list(const struct value *items, size_t n)
{
    return (struct value){.kind = VALUE_LIST, .list = {items, n}};
}

struct value value_map(const struct value_member *members, size_t n)
{
    return (struct value){.kind = VALUE_MAP, .map = {members, n}};
}

struct value value_struct(const struct value_type *type, const struct value_member *members,
                          size_t n)
{
    return (struct value){.kind = VALUE_STRUCT, .type = type, .map = {members, n}};
}

struct value value_labels(struct arena *a, struct labels ls)
{
    struct value_member *members = arena_array(a, struct value_member, ls.n);
    struct value v = value_map(members, ls.n);

    for (size_t i = 0; i < ls.n; i++)
        members[i] = (struct value_member){ls.ptr[i].name, value_string(ls.ptr[i].value)};
    v.type = &value_type_map_string;
    return v;
}

struct value value_take_text(struct arena *a, struct buf *b)
{
    struct value v = value_string(arena_dup(a, buf_slice(b)));

    buf_done(b);
    return v;
}

static int member_order(const void *a, const void *b)
{
    return slice_cmp(((const struct value_member *)a)->name,
                     ((const struct value_member *)b)->name);
}

static struct value of_json_object(struct arena *a, const json_t *json)
{
    size_t n = json_object_size(json), i = 0;
    struct value_member *members = arena_array(a, struct value_member, n);
    const char *key;
    json_t *item;

    json_object_foreach((json_t *)json, key, item)
    {
        members[i].name = arena_dup(a, slice_cstr(key));
        members[i].value = value_of_json(a, item);
        members[i++].value.is_any = true;
    }
    qsort(members, n, sizeof(*members), member_order);
    return value_map(members, n);
}

static struct value of_json_array(struct arena *a, const json_t *json)
{
    size_t n = json_array_size(json);
    struct value *items = arena_array(a, struct value, n);

    for (size_t i = 0; i < n; i++) {
        items[i] = value_of_json(a, json_array_get(json, i));
        items[i].is_any = true;
    }
    return value_list(items, n);
}

/* jansson bounds how deep its values nest, so this recursion is bounded. */
struct value value_of_json(struct arena *a, const json_t *json)
{
    switch (json ? json_typeof(json) : JSON_NULL) {
    case JSON_TRUE:
        return value_bool(true);
    case JSON_FALSE:
        return value_bool(false);
    case JSON_INTEGER:
        return value_int(json_integer_value(json));
    case JSON_REAL:
        return value_float(json_real_value(json));
    case JSON_STRING:
        return value_string(
            arena_dup(a, slice_of(json_string_value(json), json_string_length(json))));
    case JSON_ARRAY:
        return of_json_array(a, json);
    case JSON_OBJECT:
        return of_json_object(a, json);
    default:
        return value_none();
    }
}

const struct value *value_get(const struct value *v, struct slice name)
{
    size_t lo = 0, hi = v->map.n;

    if (v->kind == VALUE_STRUCT) {
        for (size_t i = 0; i < v->map.n; i++)
            if (slice_eq(v->map.members[i].name, name))
                return &v->map.members[i].value;
        return NULL;
    }
    if (v->kind != VALUE_MAP)
        return NULL;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = slice_cmp(v->map.members[mid].name, name);

        if (c == 0)
            return &v->map.members[mid].value;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

struct value value_zero_elem(const struct value *map)
{
    if (map->type && map->type->elem == VALUE_STRING)
        return value_string(SLICE_EMPTY);
    return value_nil();
}

bool value_is_true(const struct value *v)
{
    switch (v->kind) {
    case VALUE_INVALID:
        return false;
    case VALUE_BOOL:
        return v->b;
    case VALUE_INT:
        return v->i != 0;
    case VALUE_UINT:
        return v->u != 0;
    case VALUE_FLOAT:
        return v->f != 0;
    case VALUE_COMPLEX:
        return v->c.re != 0 || v->c.im != 0;
    case VALUE_STRING:
        return v->s.len != 0;
    case VALUE_LIST:
        return v->list.n != 0;
    case VALUE_MAP:
        return v->map.n != 0;
    case VALUE_STRUCT:
    case VALUE_TIME:
        return true;
    }
    return false;
}

void value_type_name(struct buf *out, const struct value *v)
{
    static const char *const plain[] = {
        [VALUE_INVALID] = "<nil>",
        [VALUE_BOOL] = "bool",
        [VALUE_INT] = "int",
        [VALUE_UINT] = "uint64",
        [VALUE_FLOAT] = "float64",
        [VALUE_COMPLEX] = "complex128",
        [VALUE_STRING] = "string",
        [VALUE_LIST] = "[]interface {}",
        [VALUE_MAP] = "map[string]interface {}",
        [VALUE_STRUCT] = "struct",
        [VALUE_TIME] = "time.Time",
    };

    if (v->is_pointer)
        buf_byte(out, '*');
    buf_str(out, v->type ? v->type->name : plain[v->kind]);
}

char *value_type_text(struct arena *a, const struct value *v)
{
    struct buf b = {0};
    char *text;

    value_type_name(&b, v);
    text = arena_cstr(a, buf_slice(&b));
    buf_done(&b);
    return text;
}
