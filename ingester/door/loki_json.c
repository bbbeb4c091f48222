#include "ingester/door/loki_json.h"

#include "common/base/gotime.h"
#include "ingester/door/json_lines.h"
#include "ingester/door/log_labels.h"

struct decoder {
    struct log_builder *b;
    struct label *pairs;
    size_t cap_pairs;
};

static struct err *wrong(const char *member, const char *what)
{
    return err_new(ERR_INVALID, "JSON: %s: %s", member, what);
}

static struct label *room(struct decoder *d, size_t n)
{
    if (n > d->cap_pairs) {
        d->cap_pairs = 2 * n + 8;
        d->pairs = arena_array(log_builder_arena(d->b), struct label, d->cap_pairs);
    }
    return d->pairs;
}

/* Whether v is there and of this kind; another kind is an error. */
static struct err *is_a(struct jsonval v, enum jsonval_kind kind, const char *member, bool *ret)
{
    *ret = jsonval_kind(v) == kind;
    if (*ret || jsonval_kind(v) == JSONVAL_NULL)
        return NULL;
    return wrong(member, kind == JSONVAL_LIST     ? "not a list"
                         : kind == JSONVAL_OBJECT ? "not an object"
                                                  : "not a string");
}

static struct err *label_value(struct decoder *d, struct jsonval v, struct slice *ret)
{
    *ret = jsonval_kind(v) == JSONVAL_NULL ? SLICE("null")
                                           : json_lines_text(log_builder_arena(d->b), v);
    return ret->ptr ? NULL : wrong("stream", "the value of a label is a list or an object");
}

/* ---- the form of today ---- */

static struct err *stream_labels(struct decoder *d, struct jsonval v, struct labels *ret)
{
    struct jsonval_iter it;
    struct jsonval item;
    struct slice key;
    struct label *ls;
    struct err *e;
    bool is_there;
    size_t n = 0;

    *ret = (struct labels){NULL, 0};
    if ((e = is_a(v, JSONVAL_OBJECT, "stream", &is_there)))
        return e;
    if (!is_there)
        return wrong("stream", "null");
    ls = room(d, jsonval_count(v));
    for (it = jsonval_iter(v); !e && jsonval_next(&it, &key, &item); n++) {
        ls[n].name = key;
        if (!labels_is_legacy_name(key))
            return wrong("stream", "the name of a label is not [a-zA-Z_][a-zA-Z0-9_]*");
        e = label_value(d, item, &ls[n].value);
    }
    *ret = (struct labels){ls, n};
    return e;
}

static struct err *metadata(struct decoder *d, struct jsonval v, struct log_in *in)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice key;
    struct label *ls;

    if (jsonval_kind(v) != JSONVAL_OBJECT)
        return wrong("values", "structured metadata is not an object");
    in->metadata = ls = room(d, jsonval_count(v));
    while (jsonval_next(&it, &key, &item)) {
        if (jsonval_kind(item) != JSONVAL_TEXT)
            return wrong("values", "a value of structured metadata is not a string");
        ls[in->n_metadata++] = (struct label){key, jsonval_text(item)};
    }
    return NULL;
}

static struct err *value(struct decoder *d, struct jsonval v, const struct log_builder_at *at)
{
    struct log_in in = {.line = SLICE_EMPTY};
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice key;
    struct err *e = NULL;
    size_t i = 0;

    if (jsonval_kind(v) != JSONVAL_LIST)
        return wrong("values", "an entry is not a list");
    for (; !e && jsonval_next(&it, &key, &item); i++)
        switch (i) {
        case 0:
            if (jsonval_kind(item) != JSONVAL_TEXT || !slice_to_i64(jsonval_text(item), &in.t_ns))
                e = wrong("values", "a time is not a string of nanoseconds");
            break;
        case 1:
            if (jsonval_kind(item) != JSONVAL_TEXT)
                e = wrong("values", "a line is not a string");
            else
                in.line = jsonval_text(item);
            break;
        case 2:
            e = metadata(d, item, &in);
            break;
        default:
            break;
        }
    if (e)
        return e;
    return log_builder_entry(d->b, at, &in);
}

static struct err *stream(struct decoder *d, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item, values = {{0}};
    struct log_builder_at at;
    struct labels ls = {NULL, 0};
    bool has_values = false;
    struct err *e = NULL;
    struct slice key;

    while (!e && jsonval_next(&it, &key, &item))
        if (slice_eq_cstr(key, "stream")) {
            e = stream_labels(d, item, &ls);
        } else if (slice_eq_cstr(key, "values")) {
            values = item;
            e = is_a(item, JSONVAL_LIST, "values", &has_values);
        }
    if (e || !has_values || jsonval_count(values) == 0)
        return e;
    at = log_builder_stream(d->b, ls);
    for (it = jsonval_iter(values); !e && jsonval_next(&it, &key, &item);)
        e = value(d, item, &at);
    return e;
}

/* ---- the first form ---- */

static struct err *entry(struct decoder *d, struct jsonval v, const struct log_builder_at *at)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct log_in in = {.line = SLICE_EMPTY};
    struct gotime t = {.unix_s = 0};
    bool is_there, has_time = false;
    struct err *e = NULL;
    struct jsonval item;
    struct slice key;

    while (!e && jsonval_next(&it, &key, &item))
        if (slice_eq_cstr(key, "ts") || slice_eq_cstr(key, "timestamp")) {
            if (!(e = is_a(item, JSONVAL_TEXT, "ts", &is_there)) && is_there) {
                e = gotime_parse(SLICE(GOTIME_RFC3339), jsonval_text(item), NULL, &t);
                has_time = true;
            }
        } else if (slice_eq_cstr(key, "line")) {
            if (!(e = is_a(item, JSONVAL_TEXT, "line", &is_there)) && is_there)
                in.line = jsonval_text(item);
        }
    if (e)
        return err_wrap(e, "entries");
    if (has_time && (__builtin_mul_overflow(t.unix_s, (int64_t)1000000000, &in.t_ns) ||
                     __builtin_add_overflow(in.t_ns, (int64_t)t.ns, &in.t_ns)))
        return wrong("entries", "a time is out of range");
    return log_builder_entry(d->b, at, &in);
}

static struct err *legacy_stream(struct decoder *d, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item, entries = {{0}};
    struct slice key, text = SLICE_EMPTY;
    struct labels ls = {NULL, 0};
    bool is_there, has_entries = false;
    struct log_builder_at at;
    struct err *e = NULL;

    while (!e && jsonval_next(&it, &key, &item))
        if (slice_eq_cstr(key, "labels")) {
            if (!(e = is_a(item, JSONVAL_TEXT, "labels", &is_there)) && is_there)
                text = jsonval_text(item);
        } else if (slice_eq_cstr(key, "entries")) {
            entries = item;
            e = is_a(item, JSONVAL_LIST, "entries", &has_entries);
        }
    if (e || (e = log_labels_parse(log_builder_arena(d->b), text, &ls)) || !has_entries ||
        jsonval_count(entries) == 0)
        return e;
    at = log_builder_stream(d->b, ls);
    for (it = jsonval_iter(entries); !e && jsonval_next(&it, &key, &item);)
        e = jsonval_kind(item) == JSONVAL_OBJECT ? entry(d, item, &at)
                                                 : wrong("entries", "an entry is not an object");
    return e;
}

/* ---- both ---- */

static struct err *streams(struct decoder *d, struct jsonval list,
                           struct err *(*one)(struct decoder *d, struct jsonval v))
{
    struct jsonval_iter it;
    struct jsonval item;
    struct slice key;
    struct err *e;
    bool is_there;

    if ((e = is_a(list, JSONVAL_LIST, "streams", &is_there)) || !is_there)
        return e;
    for (it = jsonval_iter(list); !e && jsonval_next(&it, &key, &item);)
        if (jsonval_kind(item) == JSONVAL_OBJECT)
            e = one(d, item);
        else if (jsonval_kind(item) != JSONVAL_NULL)
            e = wrong("streams", "a stream is not an object");
    return e;
}

static struct err *decode(struct log_builder *b, struct slice body, struct jsonval_doc **ret_doc,
                          struct err *(*one)(struct decoder *d, struct jsonval v))
{
    struct decoder d = {.b = b};
    struct jsonval_doc *doc;
    struct jsonval root, item;
    struct jsonval_iter it;
    struct slice key;
    struct err *e;

    *ret_doc = NULL;
    if (body.len > LOKI_JSON_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "JSON of more than %u bytes; protobuf may be larger",
                       LOKI_JSON_MAX_BYTES);
    if ((e = jsonval_parse(body, LOKI_JSON_MAX_DEPTH, &doc, &root)))
        return e;
    if (jsonval_kind(root) != JSONVAL_OBJECT && jsonval_kind(root) != JSONVAL_NULL)
        e = err_new(ERR_INVALID, "JSON: not an object");
    for (it = jsonval_iter(root); !e && jsonval_next(&it, &key, &item);)
        if (slice_eq_cstr(key, "streams"))
            e = streams(&d, item, one);
    if (e) {
        jsonval_free(doc);
        return e;
    }
    *ret_doc = doc;
    return NULL;
}

struct err *loki_json_decode(struct log_builder *b, struct slice body, struct jsonval_doc **ret_doc)
{
    return decode(b, body, ret_doc, stream);
}

struct err *loki_json_decode_legacy(struct log_builder *b, struct slice body,
                                    struct jsonval_doc **ret_doc)
{
    return decode(b, body, ret_doc, legacy_stream);
}
