#include <math.h>

#include "common/base/arena_room.h"
#include "common/base/base64.h"
#include "common/base/hex.h"
#include "common/base/num.h"
#include "common/model/otlp_value.h"
#include "ingester/door/otlp_json_internal.h"

void otlp_json_fail(struct otlp_json *j, const char *member, const char *why)
{
    if (j->bad)
        return;
    j->bad = member;
    j->why = why;
}

void *otlp_json_array(struct otlp_json *j, struct jsonval v, size_t each, const char *member,
                      size_t *ret_n)
{
    size_t n = jsonval_count(v);

    *ret_n = 0;
    if (jsonval_kind(v) != JSONVAL_LIST) {
        otlp_json_fail(j, member, "not a list");
        return NULL;
    }
    if (n > j->max_bytes / each || arena_used(j->a) + n * each > j->max_bytes ||
        !arena_room(j->a, n * each)) {
        j->is_over = true;
        return NULL;
    }
    *ret_n = n;
    return arena_zalloc(j->a, n * each);
}

bool otlp_json_object(struct otlp_json *j, struct jsonval v, const char *member)
{
    if (jsonval_kind(v) == JSONVAL_OBJECT)
        return true;
    otlp_json_fail(j, member, "not an object");
    return false;
}

struct jsonval_iter otlp_json_walk(struct otlp_json *j, struct jsonval v, const char *member)
{
    return otlp_json_object(j, v, member) ? jsonval_iter(v) : (struct jsonval_iter){0};
}

bool otlp_json_next(struct jsonval_iter *it, struct slice *ret_key, struct jsonval *ret)
{
    while (jsonval_next(it, ret_key, ret))
        if (jsonval_kind(*ret) != JSONVAL_NULL)
            return true;
    return false;
}

bool otlp_json_is(struct slice key, const char *name)
{
    size_t i = 0;

    for (; *name; name++, i++) {
        bool is_upper = *name >= 'A' && *name <= 'Z';

        if (i < key.len && key.ptr[i] == (uint8_t)*name)
            continue;
        if (!is_upper || i + 1 >= key.len || key.ptr[i] != '_' ||
            key.ptr[i + 1] != (uint8_t)(*name + 'a' - 'A'))
            return false;
        i++;
    }
    return i == key.len;
}

/* ---- numbers ---- */

double otlp_json_f64(struct otlp_json *j, struct jsonval v, const char *member)
{
    struct slice text;
    double d = 0;

    switch (jsonval_kind(v)) {
    case JSONVAL_I64:
        return (double)jsonval_i64(v);
    case JSONVAL_U64:
        return (double)jsonval_u64(v);
    case JSONVAL_F64:
        return jsonval_f64(v);
    case JSONVAL_TEXT:
        text = jsonval_text(v);
        if (num_parse(text, &d))
            return d;
        break;
    default:
        break;
    }
    otlp_json_fail(j, member, "not a number");
    return 0;
}

/* A double that is an integer in [min, max). */
static bool is_whole(struct jsonval v, double min, double max)
{
    double d = jsonval_f64(v);

    return d == trunc(d) && d >= min && d < max;
}

uint64_t otlp_json_u64(struct otlp_json *j, struct jsonval v, const char *member)
{
    uint64_t u = 0;

    switch (jsonval_kind(v)) {
    case JSONVAL_I64:
        if (jsonval_i64(v) >= 0)
            return (uint64_t)jsonval_i64(v);
        break;
    case JSONVAL_U64:
        return jsonval_u64(v);
    case JSONVAL_F64:
        if (is_whole(v, 0, 0x1p64))
            return (uint64_t)jsonval_f64(v);
        break;
    case JSONVAL_TEXT:
        if (slice_to_u64(jsonval_text(v), &u))
            return u;
        break;
    default:
        break;
    }
    otlp_json_fail(j, member, "not an unsigned integer of 64 bits");
    return 0;
}

uint32_t otlp_json_u32(struct otlp_json *j, struct jsonval v, const char *member)
{
    uint64_t n = otlp_json_u64(j, v, member);

    if (n > UINT32_MAX)
        otlp_json_fail(j, member, "not an unsigned integer of 32 bits");
    return (uint32_t)n;
}

int64_t otlp_json_i64(struct otlp_json *j, struct jsonval v, const char *member)
{
    int64_t i = 0;

    switch (jsonval_kind(v)) {
    case JSONVAL_I64:
        return jsonval_i64(v);
    case JSONVAL_F64:
        if (is_whole(v, -0x1p63, 0x1p63))
            return (int64_t)jsonval_f64(v);
        break;
    case JSONVAL_TEXT:
        if (slice_to_i64(jsonval_text(v), &i))
            return i;
        break;
    default:
        break;
    }
    otlp_json_fail(j, member, "not an integer of 64 bits");
    return 0;
}

int32_t otlp_json_i32(struct otlp_json *j, struct jsonval v, const char *member)
{
    int64_t i = otlp_json_i64(j, v, member);

    if (i < INT32_MIN || i > INT32_MAX) {
        otlp_json_fail(j, member, "not an integer of 32 bits");
        return 0;
    }
    return (int32_t)i;
}

bool otlp_json_bool(struct otlp_json *j, struct jsonval v, const char *member)
{
    if (jsonval_kind(v) == JSONVAL_BOOL)
        return jsonval_bool(v);
    otlp_json_fail(j, member, "not true or false");
    return false;
}

/* ---- texts ---- */

struct slice otlp_json_text(struct otlp_json *j, struct jsonval v, const char *member)
{
    if (jsonval_kind(v) == JSONVAL_TEXT)
        return jsonval_text(v);
    otlp_json_fail(j, member, "not a string");
    return SLICE_EMPTY;
}

struct slice otlp_json_hex(struct otlp_json *j, struct jsonval v, const char *member)
{
    struct slice text = otlp_json_text(j, v, member);
    uint8_t *out = arena_alloc(j->a, text.len / 2 + 1);

    for (size_t i = 0; i + 1 < text.len; i += 2) {
        int high = hex_digit(text.ptr[i]), low = hex_digit(text.ptr[i + 1]);

        if (high < 0 || low < 0) {
            otlp_json_fail(j, member, "not hexadecimal");
            return SLICE_EMPTY;
        }
        out[i / 2] = (uint8_t)(high << 4 | low);
    }
    if (text.len % 2)
        otlp_json_fail(j, member, "not hexadecimal");
    return slice_of(out, text.len / 2);
}

static struct slice base64(struct otlp_json *j, struct jsonval v, const char *member)
{
    struct buf out = {0};
    struct slice bytes = SLICE_EMPTY;

    if (base64_decode(otlp_json_text(j, v, member), &out))
        bytes = arena_dup(j->a, buf_slice(&out));
    else
        otlp_json_fail(j, member, "not base64");
    buf_done(&out);
    return bytes;
}

/* ---- attributes ---- */

static struct otlp_value value(struct otlp_json *j, struct jsonval v, unsigned depth);

static struct otlp_value members(struct otlp_json *j, struct jsonval v, bool is_map, unsigned depth)
{
    struct otlp_value ret = {.kind = is_map ? OTLP_VALUE_MAP : OTLP_VALUE_LIST};
    struct jsonval_iter it = jsonval_iter(v), of;
    struct jsonval item, values;
    struct slice key;
    size_t n;

    if (depth >= OTLP_MAX_DEPTH) {
        otlp_json_fail(j, "value", "too deep");
        return ret;
    }
    if (!otlp_json_object(j, v, "value"))
        return ret;
    while (jsonval_next(&it, &key, &values)) {
        if (!otlp_json_is(key, "values") || jsonval_kind(values) == JSONVAL_NULL)
            continue;
        ret.members = otlp_json_array(j, values, sizeof(*ret.members), "values", &n);
        ret.n = 0;
        for (of = jsonval_iter(values); ret.n < n && jsonval_next(&of, &key, &item); ret.n++) {
            struct otlp_member *m = &ret.members[ret.n];
            struct jsonval_iter kv = jsonval_iter(item);
            struct jsonval part;

            m->key = SLICE_EMPTY;
            if (!is_map) {
                m->value = value(j, item, depth + 1);
                continue;
            }
            if (!otlp_json_object(j, item, "values"))
                continue;
            while (jsonval_next(&kv, &key, &part))
                if (otlp_json_is(key, "key"))
                    m->key = otlp_json_text(j, part, "key");
                else if (otlp_json_is(key, "value"))
                    m->value = value(j, part, depth + 1);
        }
    }
    return ret;
}

static struct otlp_value value(struct otlp_json *j, struct jsonval v, unsigned depth)
{
    struct otlp_value ret = {.kind = OTLP_VALUE_EMPTY};
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval part;
    struct slice key;

    if (jsonval_kind(v) == JSONVAL_NULL || !otlp_json_object(j, v, "value"))
        return ret;
    while (jsonval_next(&it, &key, &part)) {
        if (jsonval_kind(part) == JSONVAL_NULL)
            continue;
        if (otlp_json_is(key, "stringValue")) {
            ret.kind = OTLP_VALUE_TEXT;
            ret.text = otlp_json_text(j, part, "stringValue");
        } else if (otlp_json_is(key, "boolValue")) {
            ret.kind = OTLP_VALUE_BOOL;
            ret.b = otlp_json_bool(j, part, "boolValue");
        } else if (otlp_json_is(key, "intValue")) {
            ret.kind = OTLP_VALUE_INT;
            ret.i = otlp_json_i64(j, part, "intValue");
        } else if (otlp_json_is(key, "doubleValue")) {
            ret.kind = OTLP_VALUE_DOUBLE;
            ret.d = otlp_json_f64(j, part, "doubleValue");
        } else if (otlp_json_is(key, "bytesValue")) {
            ret.kind = OTLP_VALUE_BYTES;
            ret.text = base64(j, part, "bytesValue");
        } else if (otlp_json_is(key, "arrayValue")) {
            ret = members(j, part, false, depth);
        } else if (otlp_json_is(key, "kvlistValue")) {
            ret = members(j, part, true, depth);
        }
    }
    return ret;
}

struct otlp_attrs otlp_json_attrs(struct otlp_json *j, struct jsonval v, const char *member)
{
    size_t n, i = 0;
    struct label *ls = otlp_json_array(j, v, sizeof(*ls), member, &n);
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item, part;
    struct slice key;

    for (; i < n && jsonval_next(&it, &key, &item); i++) {
        struct jsonval_iter kv = jsonval_iter(item);

        ls[i] = (struct label){SLICE_EMPTY, SLICE_EMPTY};
        if (!otlp_json_object(j, item, member))
            break;
        while (jsonval_next(&kv, &key, &part)) {
            struct otlp_value val;

            if (otlp_json_is(key, "key")) {
                ls[i].name = otlp_json_text(j, part, "key");
            } else if (otlp_json_is(key, "value")) {
                val = value(j, part, 0);
                ls[i].value = otlp_value_text(j->a, &val);
            }
        }
    }
    return (struct otlp_attrs){ls, i};
}

struct otlp_value otlp_json_value(struct otlp_json *j, struct jsonval v)
{
    return value(j, v, 0);
}

struct otlp_member *otlp_json_members(struct otlp_json *j, struct jsonval v, const char *member,
                                      size_t *ret_n)
{
    size_t n, i = 0;
    struct otlp_member *ms = otlp_json_array(j, v, sizeof(*ms), member, &n);
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item, part;
    struct slice key;

    for (; i < n && jsonval_next(&it, &key, &item); i++) {
        struct jsonval_iter kv = jsonval_iter(item);

        ms[i].key = SLICE_EMPTY;
        if (!otlp_json_object(j, item, member))
            break;
        while (jsonval_next(&kv, &key, &part))
            if (otlp_json_is(key, "key"))
                ms[i].key = otlp_json_text(j, part, "key");
            else if (otlp_json_is(key, "value"))
                ms[i].value = value(j, part, 0);
    }
    *ret_n = i;
    return ms;
}
