/* logql/pipeline_cases: whole queries over the data sets, read from a table in memory. */
#include <math.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "querier/logs/logjson.h"
#include "querier/logs/logtable.h"
#include "tests/conformance/conformance.h"

struct pipelines {
    struct map tables; /* data set -> logtable */
    struct engine *engine;
};

static struct labels labels_of_json(struct arena *a, const json_t *object)
{
    struct label *out = arena_array(a, struct label, json_object_size(object));
    const char *key;
    json_t *value;
    size_t n = 0;

    json_object_foreach((json_t *)object, key, value) out[n++] = (struct label){
        slice_cstr(key), slice_of(json_string_value(value), json_string_length(value))};
    (void)labels_sort(out, n, NULL);
    return (struct labels){out, n};
}

static void add_stream(struct logtable *t, struct arena *a, const json_t *stream)
{
    struct labels labels = labels_of_json(a, json_object_get(stream, "stream"));
    const json_t *values = json_object_get(stream, "values"), *value;
    size_t i;

    json_array_foreach(values, i, value)
    {
        const json_t *line = json_array_get(value, 1);
        struct logsource_entry entry = {
            .ts_ns = strtoll(json_string_value(json_array_get(value, 0)), NULL, 10),
            .line = slice_of(json_string_value(line), json_string_length(line)),
            .metadata = labels_of_json(a, json_array_get(value, 2))};

        logtable_add(t, labels, &entry);
    }
}

static void setup(struct conformance *c)
{
    struct pipelines *p = mem_new(struct pipelines);
    struct slice text, line;
    struct err *e = conformance_read(c, "datasets.jsonl", &text);

    p->engine = logquery_engine();
    c->state = p;
    if (e) {
        err_free(e);
        return;
    }
    while (slice_split(&text, '\n', &line)) {
        json_t *set = json_loadb((const char *)line.ptr, line.len, 0, NULL);
        const json_t *stream;
        struct logtable *t;
        size_t i;

        if (!set)
            continue;
        t = logtable_new();
        json_array_foreach(json_object_get(set, "streams"), i, stream)
            add_stream(t, c->arena, stream);
        (void)map_put(&p->tables, slice_cstr(json_string_value(json_object_get(set, "name"))), t);
        json_decref(set);
    }
}

/* Values written as text, by their number; all else exactly. */
static bool is_same_number(const json_t *got, const json_t *want)
{
    struct slice g = slice_cstr(json_string_value(got)), w = slice_cstr(json_string_value(want));
    double x, y;

    if (slice_eq(g, w))
        return true;
    if (!num_parse(g, &x) || !num_parse(w, &y) || !isfinite(x) || !isfinite(y))
        return false;
    return fabs(x - y) <= 1e-9 * fmax(fabs(x), fabs(y));
}

static bool is_same_point(const json_t *got, const json_t *want, bool is_line)
{
    const json_t *gt = json_array_get(got, 0), *wt = json_array_get(want, 0);
    const json_t *gv = json_array_get(got, 1), *wv = json_array_get(want, 1);

    if (is_line)
        return json_equal(gt, wt) && json_equal(gv, wv);
    return json_number_value(gt) == json_number_value(wt) && is_same_number(gv, wv);
}

/* The answer as label sets (without details of errors, as text) -> points. Series that then coincide
 * are one, their points in order. */
static json_t *normal(const json_t *data)
{
    const json_t *result = json_object_get(data, "result"), *series, *value;
    json_t *out = json_object();
    size_t i, k;

    json_array_foreach(result, i, series)
    {
        const json_t *labels = json_object_get(series, "stream");
        json_t *copy, *points;
        char *key;

        if (!labels)
            labels = json_object_get(series, "metric");
        copy = json_copy((json_t *)labels);
        (void)json_object_del(copy, "__error_details__");
        key = json_dumps(copy, JSON_SORT_KEYS | JSON_COMPACT);
        json_decref(copy);
        points = json_object_get(out, key);
        if (!points) {
            points = json_array();
            (void)json_object_set_new(out, key, points);
        }
        free(key);
        if (json_object_get(series, "value"))
            (void)json_array_append(points, json_object_get(series, "value"));
        json_array_foreach(json_object_get(series, "values"), k, value)(void)
            json_array_append(points, (json_t *)value);
    }
    return out;
}

static int by_point(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int c =
        strcmp(json_string_value(json_array_get(x, 0)), json_string_value(json_array_get(y, 0)));

    return c ? c
             : strcmp(json_string_value(json_array_get(x, 1)),
                      json_string_value(json_array_get(y, 1)));
}

/* Merged streams: lines by time and text. */
static void sort_lines(struct arena *a, json_t *points)
{
    size_t n = json_array_size(points);
    json_t **ptr = arena_array(a, json_t *, n);

    for (size_t i = 0; i < n; i++)
        ptr[i] = json_incref(json_array_get(points, i));
    if (n)
        qsort(ptr, n, sizeof(*ptr), by_point);
    (void)json_array_clear(points);
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(points, ptr[i]);
}

static void compare_series(struct conformance *c, const char *key, json_t *got, json_t *want,
                           bool is_line)
{
    if (is_line) {
        sort_lines(c->arena, got);
        sort_lines(c->arena, want);
    }
    if (json_array_size(got) != json_array_size(want)) {
        conformance_fail(c, key, "%zu points / %zu", json_array_size(got), json_array_size(want));
        return;
    }
    for (size_t i = 0; i < json_array_size(want); i++) {
        char *g, *w;

        if (is_same_point(json_array_get(got, i), json_array_get(want, i), is_line))
            continue;
        g = json_dumps(json_array_get(got, i), JSON_COMPACT);
        w = json_dumps(json_array_get(want, i), JSON_COMPACT);
        conformance_fail(c, key, "%s / %s", g, w);
        free(g);
        free(w);
        return;
    }
}

static void compare(struct conformance *c, const json_t *got_data, const json_t *want_data)
{
    const char *type = json_string_value(json_object_get(want_data, "resultType")), *key;
    json_t *got, *want, *points;

    if (!conformance_check_text(
            c, "resultType", slice_cstr(json_string_value(json_object_get(got_data, "resultType"))),
            slice_cstr(type)))
        return;
    if (strcmp(type, "scalar") == 0) {
        if (!is_same_point(json_object_get(got_data, "result"),
                           json_object_get(want_data, "result"), false))
            conformance_fail(c, "scalar", "another");
        return;
    }
    got = normal(got_data);
    want = normal(want_data);
    json_object_foreach(want, key, points)
    {
        if (json_object_get(got, key))
            compare_series(c, key, json_object_get(got, key), points, strcmp(type, "streams") == 0);
        else
            conformance_fail(c, key, "no such series / %zu points", json_array_size(points));
    }
    json_object_foreach(got, key, points) if (!json_object_get(want, key))
        conformance_fail(c, key, "%zu points / no such series", json_array_size(points));
    json_decref(got);
    json_decref(want);
}

static void check_result(struct conformance *c, const struct logquery_result *r)
{
    struct buf b = {0};
    json_t *got;

    logjson_data(&b, r, false);
    got = json_loadb((const char *)b.ptr, b.len, 0, NULL);
    compare(c, got, conformance_get(c, "data"));
    json_decref(got);
    buf_done(&b);
}

CONFORMANCE(logql, pipeline_cases, .setup = setup)
{
    struct pipelines *p = c->state;
    struct logtable *t = map_get(&p->tables, conformance_text(c, "dataset"));
    struct logquery q = {
        .expr = conformance_text(c, "query"),
        .is_forward = slice_eq_cstr(conformance_text(c, "direction"), "forward"),
        .limit = (uint32_t)(conformance_has(c, "limit") ? conformance_int(c, "limit") : 0)};
    struct logquery_result r;
    struct err *e;
    bool is_ok;

    if (!t) {
        conformance_fail(c, "dataset", "there is none of that name");
        return;
    }
    if (conformance_has(c, "time_ns")) {
        q.start_ns = q.end_ns = conformance_int(c, "time_ns");
    } else {
        q.start_ns = conformance_int(c, "start_ns");
        q.end_ns = conformance_int(c, "end_ns");
        q.step_ns = conformance_int(c, "step_s") * 1000000000;
    }
    e = logquery(p->engine, &q, logtable_source(t), c->arena, &r);
    is_ok = !e;
    if (conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) && is_ok)
        check_result(c, &r);
}
