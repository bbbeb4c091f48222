#include "common/block/json_in.h"

struct err *json_in_load(struct slice text, size_t max_bytes, json_t **ret)
{
    json_error_t je;
    json_t *doc;

    if (text.len > max_bytes)
        return err_new(ERR_CORRUPT, "%zu bytes of JSON, more than %zu", text.len, max_bytes);
    doc = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &je);
    if (!doc)
        return err_new(ERR_CORRUPT, "line %d: %s", je.line, je.text);
    if (!json_is_object(doc)) {
        json_decref(doc);
        return err_new(ERR_CORRUPT, "not a JSON object");
    }
    *ret = doc;
    return NULL;
}

void json_in_fail(struct json_in *j, const char *member)
{
    if (!j->bad)
        j->bad = member;
}

static json_t *member(struct json_in *j, json_t *o, const char *name, bool is_required)
{
    json_t *v = o ? json_object_get(o, name) : NULL;

    if (v && json_is_null(v))
        v = NULL;
    if (!v && is_required)
        json_in_fail(j, name);
    return v;
}

json_t *json_in_object(struct json_in *j, json_t *o, const char *name, bool is_required)
{
    json_t *v = member(j, o, name, is_required);

    if (v && !json_is_object(v)) {
        json_in_fail(j, name);
        return NULL;
    }
    return v;
}

json_t *json_in_list(struct json_in *j, json_t *o, const char *name, size_t *ret_n)
{
    json_t *v = member(j, o, name, false);

    *ret_n = 0;
    if (!v)
        return NULL;
    if (!json_is_array(v) || json_array_size(v) > JSON_IN_MAX_LIST) {
        json_in_fail(j, name);
        return NULL;
    }
    *ret_n = json_array_size(v);
    return v;
}

int64_t json_in_i64(struct json_in *j, json_t *o, const char *name, bool is_required)
{
    json_t *v = member(j, o, name, is_required);

    if (v && !json_is_integer(v)) {
        json_in_fail(j, name);
        return 0;
    }
    return v ? (int64_t)json_integer_value(v) : 0;
}

uint64_t json_in_u64(struct json_in *j, json_t *o, const char *name, bool is_required)
{
    int64_t v = json_in_i64(j, o, name, is_required);

    if (v < 0) {
        json_in_fail(j, name);
        return 0;
    }
    return (uint64_t)v;
}

static struct slice text_of(struct json_in *j, json_t *v, const char *name)
{
    if (!json_is_string(v)) {
        json_in_fail(j, name);
        return SLICE_EMPTY;
    }
    return arena_dup(j->arena, slice_of(json_string_value(v), json_string_length(v)));
}

static struct ulid ulid_of(struct json_in *j, json_t *v, const char *name)
{
    struct ulid u = {0};

    if (!json_is_string(v) ||
        !ulid_parse(slice_of(json_string_value(v), json_string_length(v)), &u))
        json_in_fail(j, name);
    return u;
}

struct slice json_in_text(struct json_in *j, json_t *o, const char *name, bool is_required)
{
    json_t *v = member(j, o, name, is_required);

    return v ? text_of(j, v, name) : SLICE_EMPTY;
}

struct ulid json_in_ulid(struct json_in *j, json_t *o, const char *name, bool is_required)
{
    json_t *v = member(j, o, name, is_required);

    return v ? ulid_of(j, v, name) : (struct ulid){0};
}

const struct slice *json_in_texts(struct json_in *j, json_t *o, const char *name, size_t *ret_n)
{
    json_t *list = json_in_list(j, o, name, ret_n);
    struct slice *out = arena_array(j->arena, struct slice, *ret_n);

    for (size_t i = 0; i < *ret_n; i++)
        out[i] = text_of(j, json_array_get(list, i), name);
    return out;
}

const struct ulid *json_in_ulids(struct json_in *j, json_t *o, const char *name, size_t *ret_n)
{
    json_t *list = json_in_list(j, o, name, ret_n);
    struct ulid *out = arena_array(j->arena, struct ulid, *ret_n);

    for (size_t i = 0; i < *ret_n; i++)
        out[i] = ulid_of(j, json_array_get(list, i), name);
    return out;
}

bool json_in_is_path(struct slice s)
{
    if (s.len == 0 || s.len > 1000 || s.ptr[0] == '/' || s.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if (c <= ' ' || c >= 0x7f || c == '\\' ||
            (c == '/' && i + 1 < s.len && s.ptr[i + 1] == '.'))
            return false;
    }
    return true;
}

bool json_in_is_block_dir(struct slice s, struct ulid ulid)
{
    static const char *const signals[] = {"metrics/", "logs/", "traces/", "profiles/"};
    struct ulid_text text = ulid_print(ulid);
    struct slice name = slice_cstr(text.s);

    if (!json_in_is_path(s) || !slice_has_suffix(s, name) ||
        (s.len > name.len && s.ptr[s.len - name.len - 1] != '/'))
        return false;
    for (size_t i = 0; i < ORR_COUNT(signals); i++)
        if (slice_has_prefix(s, slice_cstr(signals[i])))
            return false;
    return true;
}

struct labels json_in_labels(struct json_in *j, json_t *o, const char *name)
{
    json_t *list = json_in_object(j, o, name, false), *v;
    struct label *out = arena_array(j->arena, struct label, json_object_size(list));
    const char *key;
    struct slice twice;
    size_t n = 0;

    json_object_foreach(list, key, v)
    {
        struct slice value = text_of(j, v, name);

        if (value.len)
            out[n++] = (struct label){arena_dup(j->arena, slice_cstr(key)), value};
    }
    if (!labels_sort(out, n, &twice))
        json_in_fail(j, name);
    return (struct labels){out, n};
}
