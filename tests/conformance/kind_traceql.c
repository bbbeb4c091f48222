/* traceql/: the parser and its canonical print, searches and metrics over the data sets. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/base/promdur.h"
#include "common/base/vec.h"
#include "common/lang/traceql.h"
#include "ingester/door/otlp_traces.h"
#include "querier/traces/tracecond.h"
#include "querier/traces/tracemetric.h"
#include "querier/traces/tracepool.h"
#include "querier/traces/tracesearch.h"
#include "tests/conformance/conformance.h"

CONFORMANCE(traceql, parser_cases)
{
    struct traceql q;
    struct err *e = traceql_parse(c->arena, conformance_text(c, "query"), &q);
    bool is_ok = e == NULL;
    struct buf b = {0};

    /* what Tempo parses and does not do yet may be answered either way */
    if (conformance_bool(c, "unsupported")) {
        err_free(e);
        return;
    }
    if (!conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) || !is_ok)
        return;
    traceql_print(&b, &q);
    (void)conformance_check_text(c, "string", buf_slice(&b), conformance_text(c, "string"));
    buf_done(&b);
}

#define LIMIT 1000 /* of Tempo's answers */

struct datasets {
    struct map by_name; /* -> struct tracepool */
    struct arena *arena;
};

/* An export request of OTLP in JSON, the way that a client's goes: into pieces, which somebody holds. */
static struct err *load(struct arena *a, struct slice request, struct tracepool **ret)
{
    struct trace_batch *batch = trace_batch_new(SLICE("t"), &(struct tenant_limits){0});
    struct jsonval_doc *doc = NULL;
    struct trace_builder b;
    struct err *e;

    trace_builder_init(&b, batch, a);
    *ret = tracepool_new();
    if (!(e = otlp_traces_decode_json(&b, request, &doc)) && !(e = trace_builder_end(&b)))
        e = trace_builder_answer(&b);
    for (size_t i = 0; i < batch->traces.len && !e; i++) {
        const struct trace_batch_trace *t = &batch->traces.ptr[i];

        e = tracepool_add(*ret, slice_of(batch->pieces.ptr + t->at, t->len));
    }
    tracepool_end(*ret);
    trace_builder_done(&b);
    jsonval_free(doc);
    trace_batch_free(batch);
    return e;
}

static void setup(struct conformance *c)
{
    struct datasets *d = mem_new(struct datasets);

    d->arena = arena_new(0);
    c->state = d;
}

/* The data set of the case; NULL after a failure. */
static struct tracepool *dataset(struct conformance *c)
{
    struct datasets *d = c->state;
    struct slice name = conformance_text(c, "dataset"), text;
    struct tracepool *pool = map_get(&d->by_name, name);
    struct err *e;

    if (pool)
        return pool;
    e = conformance_read(c, arena_printf(c->arena, "dataset_%.*s.otlp.json", SLICE_ARG(name)),
                         &text);
    if (e || (e = load(d->arena, text, &pool))) {
        conformance_fail(c, "dataset", "%s", err_msg(e));
        err_free(e);
        return NULL;
    }
    (void)map_put(&d->by_name, name, pool);
    return pool;
}

static const char *hex_of(struct arena *a, const uint8_t *bytes, size_t n)
{
    char *text = arena_alloc(a, 2 * n + 1);

    for (size_t i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    text[2 * n] = 0;
    return text;
}

static json_t *json_of_number(const char *kind, struct buf *text)
{
    json_t *out = json_object();

    (void)json_object_set_new(out, kind, json_string(buf_cstr(text)));
    return out;
}

static json_t *json_of(const struct traceql_static *v)
{
    struct buf b = {0};
    json_t *out;

    switch (v->type) {
    case TRACEQL_INT:
        buf_printf(&b, "%" PRId64, v->v.i);
        out = json_of_number("int", &b);
        break;
    case TRACEQL_FLOAT:
        buf_f64_text(&b, v->v.f);
        out = json_of_number("double", &b);
        break;
    case TRACEQL_BOOL:
        out = json_boolean(v->v.b);
        break;
    case TRACEQL_STRING:
        out = json_stringn((const char *)v->v.s.ptr, v->v.s.len);
        break;
    default:
        traceql_print_static(&b, v);
        out = json_string(buf_cstr(&b));
    }
    buf_done(&b);
    return out;
}

static int cmp_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The elements as text, in the order of that: sets that can be compared. */
static json_t *sorted(json_t *list)
{
    size_t n = json_array_size(list);
    char **texts = mem_alloc((n + 1) * sizeof(char *));
    json_t *out = json_array();

    for (size_t i = 0; i < n; i++)
        texts[i] =
            json_dumps(json_array_get(list, i), JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    if (n)
        qsort(texts, n, sizeof(*texts), cmp_text);
    for (size_t i = 0; i < n; i++) {
        (void)json_array_append_new(out, json_string(texts[i]));
        free(texts[i]);
    }
    mem_free(texts);
    json_decref(list);
    return out;
}

static json_t *set_json(struct conformance *c, const struct tracehit_set *set)
{
    json_t *out = json_object(), *spans = json_array(), *attributes = json_object();

    for (uint32_t i = 0; i < set->n_spans; i++)
        (void)json_array_append_new(
            spans, json_string(arena_printf(c->arena, "%016" PRIx64, set->spans[i].id)));
    for (size_t i = 0; i < set->n_values; i++)
        (void)json_object_set_new(attributes, arena_cstr(c->arena, set->values[i].name),
                                  json_of(&set->values[i].value));
    (void)json_object_set_new(out, "matched", json_integer(set->matched));
    (void)json_object_set_new(out, "spans", sorted(spans));
    if (json_object_size(attributes) > 0)
        (void)json_object_set(out, "attributes", attributes);
    json_decref(attributes);
    return out;
}

static json_t *text_json(struct slice s)
{
    return json_stringn((const char *)s.ptr, s.len);
}

static json_t *trace_json(struct conformance *c, const struct tracehit *h)
{
    json_t *out = json_object(), *list = json_array();

    for (size_t i = 0; i < h->n_sets; i++)
        (void)json_array_append_new(list, set_json(c, &h->sets[i]));
    (void)json_object_set_new(out, "trace", json_string(hex_of(c->arena, h->id, 16)));
    (void)json_object_set_new(out, "root_name", text_json(h->root_name));
    (void)json_object_set_new(out, "root_service", text_json(h->root_service));
    (void)json_object_set_new(out, "start_ns",
                              json_string(arena_printf(c->arena, "%" PRId64, h->start_ns)));
    (void)json_object_set_new(out, "duration_ms",
                              json_integer((h->end_ns - h->start_ns) / 1000000));
    (void)json_object_set_new(out, "spansets", sorted(list));
    return out;
}

/* What is wanted, in the shape of trace_json(). */
static json_t *wanted_trace(const json_t *trace)
{
    json_t *out = json_deep_copy(trace), *list = json_array();
    const json_t *set, *span;
    size_t i, k;

    json_array_foreach(json_object_get(trace, "spansets"), i, set)
    {
        json_t *copy = json_deep_copy(set), *spans = json_array();

        json_array_foreach(json_object_get(set, "spans"), k, span)(void) json_array_append(
            spans, json_is_object(span) ? json_object_get(span, "span") : (json_t *)span);
        (void)json_object_set_new(copy, "spans", sorted(spans));
        (void)json_array_append_new(list, copy);
    }
    (void)json_object_set_new(out, "spansets", sorted(list));
    return out;
}

static const json_t *find_trace(const json_t *list, const char *id)
{
    const json_t *trace;
    size_t i;

    json_array_foreach(list, i, trace)
    {
        if (strcmp(json_string_value(json_object_get(trace, "trace")), id) == 0)
            return trace;
    }
    return NULL;
}

static void compare_traces(struct conformance *c, const json_t *got, const json_t *want)
{
    const json_t *trace;
    size_t i;

    json_array_foreach(want, i, trace)
    {
        const char *id = json_string_value(json_object_get(trace, "trace"));

        const json_t *found = find_trace(got, id);

        if (!conformance_check_json(c, id, json_object_get(found, "spansets"),
                                    json_object_get(trace, "spansets")))
            return;
        (void)conformance_check_json(c, id, found, trace);
    }
    json_array_foreach(got, i, trace)
    {
        const char *id = json_string_value(json_object_get(trace, "trace"));

        if (!find_trace(want, id))
            conformance_fail(c, id, "is not wanted");
    }
}

static struct tracescan_opts scan_of(struct conformance *c, const struct tracesource *source)
{
    return (struct tracescan_opts){
        .source = source, .req = {.end_ns = INT64_MAX}, .ranges = 16, .arena = c->arena};
}

CONFORMANCE(traceql, search_cases, .setup = setup)
{
    struct tracepool *pool = dataset(c);
    struct tracesearch_result found = {0};
    json_t *got = json_array(), *want = json_array();
    const json_t *trace;
    struct tracesource source;
    struct traceql q;
    struct err *e;
    size_t i;

    if (pool) {
        source = tracepool_source(pool);
        if (!(e = traceql_parse(c->arena, conformance_text(c, "query"), &q)))
            e = tracesearch(&(struct tracesearch_opts){.scan = scan_of(c, &source),
                                                       .query = &q,
                                                       .limit = LIMIT},
                            &found);
        if (conformance_check_ok(c, "ok", e, conformance_bool(c, "ok"))) {
            for (i = 0; i < found.n; i++)
                (void)json_array_append_new(got, trace_json(c, &found.hits[i]));
            json_array_foreach(conformance_get(c, "traces"), i, trace)(void)
                json_array_append_new(want, wanted_trace(trace));
            compare_traces(c, got, want);
        }
        tracesearch_done(&found);
    }
    json_decref(got);
    json_decref(want);
}

/* Labels, as text, -> points. */
static json_t *series_json(const json_t *list)
{
    json_t *out = json_object();
    const json_t *s;
    size_t i;

    json_array_foreach(list, i, s)
    {
        char *key = json_dumps(json_object_get(s, "labels"), JSON_SORT_KEYS | JSON_COMPACT);

        (void)json_object_set(out, key, json_object_get(s, "values"));
        free(key);
    }
    return out;
}

static json_t *metric_json(const struct tracemetric_set *set, const struct tracemetric_range *range)
{
    json_t *list = json_array();

    for (size_t i = 0; i < set->n; i++) {
        json_t *s = json_object(), *labels = json_object(), *values = json_array();
        struct buf b = {0};

        for (size_t k = 0; k < set->ptr[i].n_labels; k++) {
            const struct tracemetric_label *l = &set->ptr[i].labels[k];

            buf_reset(&b);
            buf_slice_append(&b, l->name);
            (void)json_object_set_new(labels, buf_cstr(&b), json_of(&l->value));
        }
        for (size_t k = 0; k < set->n_points; k++) {
            json_t *point = json_array();

            if (isnan(set->ptr[i].values[k])) {
                json_decref(point);
                continue;
            }
            buf_reset(&b);
            buf_f64_text(&b, set->ptr[i].values[k]);
            (void)json_array_append_new(point, json_integer(tracemetric_ms(range, k)));
            (void)json_array_append_new(point, json_string(buf_cstr(&b)));
            (void)json_array_append_new(values, point);
        }
        (void)json_object_set_new(s, "labels", labels);
        (void)json_object_set_new(s, "values", values);
        (void)json_array_append_new(list, s);
        buf_done(&b);
    }
    return list;
}

static bool is_same_point(const json_t *got, const json_t *want)
{
    double x = 0, y = 0;

    if (!json_equal(json_array_get(got, 0), json_array_get(want, 0)))
        return false;
    (void)num_parse(slice_cstr(json_string_value(json_array_get(got, 1))), &x);
    (void)num_parse(slice_cstr(json_string_value(json_array_get(want, 1))), &y);
    return x == y || fabs(x - y) <= 1e-9 * fmax(fabs(x), fabs(y));
}

static void compare_metrics(struct conformance *c, json_t *got, json_t *want)
{
    const char *key;
    json_t *points;

    json_object_foreach(want, key, points)
    {
        const json_t *have = json_object_get(got, key);

        if (!have || json_array_size(have) != json_array_size(points)) {
            (void)conformance_check_json(c, key, have, points);
            return;
        }
        for (size_t i = 0; i < json_array_size(points); i++) {
            if (!is_same_point(json_array_get(have, i), json_array_get(points, i))) {
                (void)conformance_check_json(c, key, json_array_get(have, i),
                                             json_array_get(points, i));
                return;
            }
        }
    }
    json_object_foreach(got, key, points)
    {
        if (!json_object_get(want, key))
            conformance_fail(c, key, "is not wanted");
    }
}

static struct err *add_metric(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    (void)ret_stop;
    return tracemetric_add(arg, cols);
}

CONFORMANCE(traceql, metrics_cases, .setup = setup)
{
    struct tracepool *pool = dataset(c);
    struct tracemetric_range range = {.start_ns = conformance_int(c, "start_ns"),
                                      .end_ns = conformance_int(c, "end_ns"),
                                      .step_ns = conformance_int(c, "step_ns")};
    struct tracescan_stats stats = {0};
    struct tracemetric *m = NULL;
    struct traceql q;
    struct err *e = traceql_parse(c->arena, conformance_text(c, "query"), &q);

    if (!e)
        e = tracemetric_new(&q, &range, &m);
    if (!e && pool) {
        struct tracesource source = tracepool_source(pool);
        struct tracescan_opts scan = scan_of(c, &source);
        struct tracecond cond = tracecond_of(c->arena, &q);

        scan.req.filters = cond.ptr;
        scan.req.n_filters = cond.n;
        e = tracescan(&scan, add_metric, m, &stats);
    }
    if (conformance_check_ok(c, "ok", e, conformance_bool(c, "ok")) && m) {
        struct tracemetric_set set = tracemetric_end(m, c->arena);
        json_t *list = metric_json(&set, &range);
        json_t *got = series_json(list);
        json_t *want = series_json(conformance_get(c, "series"));

        compare_metrics(c, got, want);
        json_decref(list);
        json_decref(got);
        json_decref(want);
    }
    tracemetric_free(m);
}
