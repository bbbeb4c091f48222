#include "ingester/door/json_lines.h"

#include <math.h>

#include "common/base/gotime.h"
#include "common/base/num.h"

/* ---- times ---- */

/* Nanoseconds in the unit of so large a number: seconds until the year 5138, then milliseconds, … */
static int64_t unit_of(double v)
{
    return v < 1e11 ? 1000000000 : v < 1e14 ? 1000000 : v < 1e17 ? 1000 : 1;
}

static bool scale(double v, int64_t *ret_ns)
{
    double whole = trunc(v), unit = (double)unit_of(v);

    if (!(v >= 0 && whole * unit < 9.2e18))
        return false;
    *ret_ns = (int64_t)whole * (int64_t)unit + (int64_t)((v - whole) * unit);
    return true;
}

static bool scale_i64(int64_t v, int64_t *ret_ns)
{
    return v >= 0 && !__builtin_mul_overflow(v, unit_of((double)v), ret_ns);
}

bool json_lines_time(struct jsonval v, int64_t *ret_ns)
{
    struct gotime t;
    struct err *e;
    int64_t i, ns;
    double d;

    if (jsonval_kind(v) == JSONVAL_I64)
        return scale_i64(jsonval_i64(v), ret_ns);
    if (jsonval_kind(v) == JSONVAL_F64)
        return scale(jsonval_f64(v), ret_ns);
    if (jsonval_kind(v) != JSONVAL_TEXT)
        return false;
    if (slice_to_i64(jsonval_text(v), &i))
        return scale_i64(i, ret_ns);
    e = gotime_parse(SLICE(GOTIME_RFC3339), jsonval_text(v), NULL, &t);
    if (!e)
        return !__builtin_mul_overflow(t.unix_s, (int64_t)1000000000, &ns) &&
               !__builtin_add_overflow(ns, (int64_t)t.ns, ret_ns);
    err_free(e);
    return num_parse(jsonval_text(v), &d) && scale(d, ret_ns);
}

/* ---- members ---- */

/* What name is in v, joined names included; false: nothing. */
static bool find(struct jsonval v, struct slice name, unsigned depth, struct jsonval *ret)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice key;

    if (jsonval_kind(v) != JSONVAL_OBJECT || depth > JSON_LINES_MAX_DEPTH)
        return false;
    while (jsonval_next(&it, &key, &item)) {
        if (slice_eq(key, name)) {
            *ret = item;
            return true;
        }
        if (key.len && key.len < name.len && name.ptr[key.len] == '.' &&
            slice_has_prefix(name, key) &&
            find(item, slice_from(name, key.len + 1), depth + 1, ret))
            return true;
    }
    return false;
}

struct slice json_lines_text(struct arena *a, struct jsonval v)
{
    struct slice ret = {NULL, 0};
    struct buf b = {0};

    switch (jsonval_kind(v)) {
    case JSONVAL_TEXT:
        return arena_dup(a, jsonval_text(v)); /* the document goes before the labels do */
    case JSONVAL_BOOL:
        return jsonval_bool(v) ? SLICE("true") : SLICE("false");
    case JSONVAL_I64:
        buf_printf(&b, "%lld", (long long)jsonval_i64(v));
        break;
    case JSONVAL_U64:
        buf_printf(&b, "%llu", (unsigned long long)jsonval_u64(v));
        break;
    case JSONVAL_F64:
        buf_f64_text(&b, jsonval_f64(v));
        break;
    default:
        return ret;
    }
    ret = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return ret;
}

static struct slice label_name(struct arena *a, struct slice field)
{
    uint8_t *out;

    if (labels_is_legacy_name(field) || field.len == 0)
        return field;
    out = arena_alloc(a, field.len + 1);
    for (size_t i = 0; i < field.len; i++) {
        uint8_t c = field.ptr[i], low = c | 0x20;
        bool is_digit = c >= '0' && c <= '9';

        out[i] = (low >= 'a' && low <= 'z') || (is_digit && i > 0) ? c : '_';
    }
    return slice_of(out, field.len);
}

/* ---- lines ---- */

static int64_t time_of(const struct log_builder *b, const struct json_lines_opts *opts,
                       struct jsonval root)
{
    static const struct slice names[] = {SLICE_INIT("_time"), SLICE_INIT("timestamp"),
                                         SLICE_INIT("@timestamp"), SLICE_INIT("time"),
                                         SLICE_INIT("ts")};
    struct jsonval v;
    int64_t t;

    if (opts->time_field.len && find(root, opts->time_field, 0, &v) && json_lines_time(v, &t))
        return t;
    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (find(root, names[i], 0, &v) && json_lines_time(v, &t))
            return t;
    return b->now_ns;
}

static size_t labels_of(struct log_builder *b, const struct json_lines_opts *opts,
                        struct jsonval root, struct slice index, struct label *ls)
{
    struct arena *a = log_builder_arena(b);
    struct slice rest = opts->stream_fields, name;
    size_t n = 0;
    struct jsonval v;

    if (index.len)
        ls[n++] = (struct label){SLICE("index"), index};
    while (rest.len && n + 2 < JSON_LINES_MAX_LABELS && slice_split(&rest, ',', &name)) {
        struct slice text = {NULL, 0};

        name = slice_trim(name);
        if (name.len && find(root, name, 0, &v))
            text = json_lines_text(a, v);
        if (text.len)
            ls[n++] = (struct label){label_name(a, name), text};
    }
    if (n == 0 && opts->job.len)
        ls[n++] = (struct label){SLICE("job"), opts->job};
    return n;
}

struct err *json_lines_add(struct log_builder *b, const struct json_lines_opts *opts,
                           struct slice index, struct slice line, bool *ret_ok)
{
    struct label ls[JSON_LINES_MAX_LABELS];
    struct log_in in = {.line = line};
    struct log_builder_at at;
    struct jsonval_doc *doc;
    struct jsonval root;
    uint64_t refused = log_builder_refused(b);
    struct err *e = jsonval_parse(line, JSON_LINES_MAX_DEPTH, &doc, &root);

    *ret_ok = false;
    if (!e && jsonval_kind(root) != JSONVAL_OBJECT) {
        jsonval_free(doc);
        e = err_new(ERR_INVALID, "not a JSON object");
    }
    if (e) {
        log_builder_reject(b, LOG_BAD_RECORD, line.len, SLICE_EMPTY, err_msg(e));
        err_free(e);
        return NULL;
    }
    in.t_ns = time_of(b, opts, root);
    at = log_builder_stream(b, (struct labels){ls, labels_of(b, opts, root, index, ls)});
    e = log_builder_entry(b, &at, &in);
    jsonval_free(doc);
    *ret_ok = !e && log_builder_refused(b) == refused;
    return e;
}

struct err *json_lines_decode(struct log_builder *b, struct slice body,
                              const struct json_lines_opts *opts)
{
    struct slice rest = body, line;
    struct err *e = NULL;
    bool ok;

    while (!e && slice_split(&rest, '\n', &line)) {
        line = slice_trim(line);
        if (line.len)
            e = json_lines_add(b, opts, SLICE_EMPTY, line, &ok);
    }
    return e;
}
