#include "ingester/door/otlp_json.h"

#include "ingester/door/otlp_header.h"

#define BASE_BYTES (1u << 20)

/* ---- points ---- */

static struct otlp_u64s u64s(struct otlp_json *j, struct jsonval v, const char *member)
{
    size_t n, i = 0;
    uint64_t *out = otlp_json_array(j, v, sizeof(*out), member, &n);
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice key;

    while (i < n && jsonval_next(&it, &key, &item))
        out[i++] = otlp_json_u64(j, item, member);
    return (struct otlp_u64s){out, n};
}

static struct otlp_f64s f64s(struct otlp_json *j, struct jsonval v, const char *member)
{
    size_t n, i = 0;
    double *out = otlp_json_array(j, v, sizeof(*out), member, &n);
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice key;

    while (i < n && jsonval_next(&it, &key, &item))
        out[i++] = otlp_json_f64(j, item, member);
    return (struct otlp_f64s){out, n};
}

static void exemplar(struct otlp_json *j, struct jsonval v, struct otlp_exemplar *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "exemplars");
    struct jsonval m;
    struct slice key;

    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "filteredAttributes")) {
            ret->attrs = otlp_json_attrs(j, m, "filteredAttributes");
        } else if (otlp_json_is(key, "timeUnixNano")) {
            ret->time_ns = otlp_json_u64(j, m, "timeUnixNano");
        } else if (otlp_json_is(key, "asDouble")) {
            ret->v = otlp_json_f64(j, m, "asDouble");
            ret->has_value = true;
        } else if (otlp_json_is(key, "asInt")) {
            ret->v = (double)otlp_json_i64(j, m, "asInt");
            ret->has_value = true;
        } else if (otlp_json_is(key, "spanId")) {
            ret->span_id = otlp_json_hex(j, m, "spanId");
        } else if (otlp_json_is(key, "traceId")) {
            ret->trace_id = otlp_json_hex(j, m, "traceId");
        }
    if (!otlp_ids_fit(ret))
        otlp_json_fail(j, "exemplars", "a traceId or spanId of a wrong length");
}

static void exemplars(struct otlp_json *j, struct jsonval v, struct otlp_point *ret)
{
    size_t n, i = 0;
    struct otlp_exemplar *out = otlp_json_array(j, v, sizeof(*out), "exemplars", &n);
    struct jsonval_iter it = jsonval_iter(v);
    struct jsonval item;
    struct slice key;

    while (i < n && jsonval_next(&it, &key, &item))
        exemplar(j, item, &out[i++]);
    ret->exemplars = out;
    ret->n_exemplars = (uint32_t)n;
}

static void buckets(struct otlp_json *j, struct jsonval v, struct otlp_buckets *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "buckets");
    struct jsonval m;
    struct slice key;

    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "offset"))
            ret->offset = otlp_json_i32(j, m, "offset");
        else if (otlp_json_is(key, "bucketCounts"))
            ret->counts = u64s(j, m, "bucketCounts");
}

static void quantiles(struct otlp_json *j, struct jsonval v, struct otlp_point *ret)
{
    size_t n, i = 0;
    struct otlp_quantile *out = otlp_json_array(j, v, sizeof(*out), "quantileValues", &n);
    struct jsonval_iter it = jsonval_iter(v), in;
    struct jsonval item, m;
    struct slice key;

    for (; i < n && jsonval_next(&it, &key, &item); i++)
        for (in = otlp_json_walk(j, item, "quantileValues"); otlp_json_next(&in, &key, &m);)
            if (otlp_json_is(key, "quantile"))
                out[i].quantile = otlp_json_f64(j, m, "quantile");
            else if (otlp_json_is(key, "value"))
                out[i].v = otlp_json_f64(j, m, "value");
    ret->summary.quantiles = out;
    ret->summary.n_quantiles = n;
}

static void number_member(struct otlp_json *j, struct slice key, struct jsonval m,
                          struct otlp_point *ret)
{
    if (otlp_json_is(key, "asDouble"))
        ret->v = otlp_json_f64(j, m, "asDouble");
    else if (otlp_json_is(key, "asInt"))
        ret->v = (double)otlp_json_i64(j, m, "asInt");
}

static void histogram_member(struct otlp_json *j, struct slice key, struct jsonval m,
                             enum otlp_kind kind, struct otlp_point *ret)
{
    if (otlp_json_is(key, "count")) {
        ret->count = otlp_json_u64(j, m, "count");
    } else if (otlp_json_is(key, "sum")) {
        ret->v = otlp_json_f64(j, m, "sum");
        ret->has_sum = true;
    } else if (kind == OTLP_HISTOGRAM) {
        if (otlp_json_is(key, "bucketCounts"))
            ret->histogram.counts = u64s(j, m, "bucketCounts");
        else if (otlp_json_is(key, "explicitBounds"))
            ret->histogram.bounds = f64s(j, m, "explicitBounds");
    } else if (kind == OTLP_EXPONENTIAL) {
        if (otlp_json_is(key, "scale"))
            ret->scale = otlp_json_i32(j, m, "scale");
        else if (otlp_json_is(key, "zeroCount"))
            ret->exponential.zero_count = otlp_json_u64(j, m, "zeroCount");
        else if (otlp_json_is(key, "positive"))
            buckets(j, m, &ret->exponential.pos);
        else if (otlp_json_is(key, "negative"))
            buckets(j, m, &ret->exponential.neg);
    } else if (otlp_json_is(key, "quantileValues")) {
        quantiles(j, m, ret);
    }
}

static void point(struct otlp_json *j, struct jsonval v, enum otlp_kind kind,
                  struct otlp_point *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "dataPoints");
    struct jsonval m;
    struct slice key;

    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "attributes"))
            ret->attrs = otlp_json_attrs(j, m, "attributes");
        else if (otlp_json_is(key, "startTimeUnixNano"))
            ret->start_ns = otlp_json_u64(j, m, "startTimeUnixNano");
        else if (otlp_json_is(key, "timeUnixNano"))
            ret->time_ns = otlp_json_u64(j, m, "timeUnixNano");
        else if (otlp_json_is(key, "flags"))
            ret->flags = (uint32_t)otlp_json_u64(j, m, "flags");
        else if (kind != OTLP_SUMMARY && otlp_json_is(key, "exemplars"))
            exemplars(j, m, ret);
        else if (kind == OTLP_GAUGE || kind == OTLP_SUM)
            number_member(j, key, m, ret);
        else
            histogram_member(j, key, m, kind, ret);
}

/* ---- metrics ---- */

static int32_t temporality(struct otlp_json *j, struct jsonval v)
{
    struct slice text;

    if (jsonval_kind(v) != JSONVAL_TEXT)
        return otlp_json_i32(j, v, "aggregationTemporality");
    text = jsonval_text(v);
    if (slice_eq_cstr(text, "AGGREGATION_TEMPORALITY_UNSPECIFIED"))
        return OTLP_UNSPECIFIED;
    if (slice_eq_cstr(text, "AGGREGATION_TEMPORALITY_DELTA"))
        return OTLP_DELTA;
    if (slice_eq_cstr(text, "AGGREGATION_TEMPORALITY_CUMULATIVE"))
        return OTLP_CUMULATIVE;
    return otlp_json_i32(j, v, "aggregationTemporality");
}

/* {"dataPoints": […]} of a kind. */
static void data(struct otlp_json *j, struct jsonval v, enum otlp_kind kind,
                 struct otlp_metric *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "metrics"), points;
    struct jsonval m, item;
    struct slice key;

    if (ret->kind != OTLP_NONE)
        otlp_json_fail(j, "metrics", "more than one kind of data");
    ret->kind = kind;
    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "dataPoints")) {
            size_t n, i = 0;
            struct otlp_point *out = otlp_json_array(j, m, sizeof(*out), "dataPoints", &n);

            for (points = jsonval_iter(m); i < n && jsonval_next(&points, &key, &item);)
                point(j, item, kind, &out[i++]);
            ret->points = out;
            ret->n_points = n;
        } else if (otlp_json_is(key, "aggregationTemporality")) {
            ret->temporality = temporality(j, m);
        } else if (kind == OTLP_SUM && otlp_json_is(key, "isMonotonic")) {
            ret->is_monotonic = otlp_json_bool(j, m, "isMonotonic");
        }
    j->n_points += ret->n_points;
}

static enum otlp_kind kind_of(struct slice key)
{
    static const char *const names[] = {
        [OTLP_GAUGE] = "gauge",         [OTLP_SUM] = "sum",
        [OTLP_HISTOGRAM] = "histogram", [OTLP_EXPONENTIAL] = "exponentialHistogram",
        [OTLP_SUMMARY] = "summary",
    };

    for (size_t i = OTLP_GAUGE; i < ORR_COUNT(names); i++)
        if (otlp_json_is(key, names[i]))
            return (enum otlp_kind)i;
    return OTLP_NONE;
}

static void metric(struct otlp_json *j, struct jsonval v, struct otlp_metric *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "metrics");
    struct jsonval m;
    struct slice key;

    ret->name = ret->unit = ret->description = SLICE_EMPTY;
    while (otlp_json_next(&it, &key, &m)) {
        enum otlp_kind kind = kind_of(key);

        if (kind != OTLP_NONE)
            data(j, m, kind, ret);
        else if (otlp_json_is(key, "name"))
            ret->name = otlp_json_text(j, m, "name");
        else if (otlp_json_is(key, "unit"))
            ret->unit = otlp_json_text(j, m, "unit");
        else if (otlp_json_is(key, "description"))
            ret->description = otlp_json_text(j, m, "description");
    }
}

/* ---- scopes and resources ---- */

static void scope_of(struct otlp_json *j, struct jsonval v, struct otlp_scope *ret)
{
    struct otlp_header h = otlp_header_empty();

    otlp_header_json_scope(j, v, &h);
    ret->name = h.name;
    ret->version = h.version;
    ret->attrs = otlp_header_labels(j->a, &h);
}

static void resource_of(struct otlp_json *j, struct jsonval v, struct otlp_resource *ret)
{
    struct otlp_header h = otlp_header_empty();

    otlp_header_json_resource(j, v, &h);
    ret->attrs = otlp_header_labels(j->a, &h);
}

static void scope_metrics(struct otlp_json *j, struct jsonval v, struct otlp_scope *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "scopeMetrics"), list;
    struct jsonval m, item;
    struct slice key;

    ret->name = ret->version = ret->schema_url = SLICE_EMPTY;
    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "scope")) {
            scope_of(j, m, ret);
        } else if (otlp_json_is(key, "schemaUrl")) {
            ret->schema_url = otlp_json_text(j, m, "schemaUrl");
        } else if (otlp_json_is(key, "metrics")) {
            size_t n, i = 0;
            struct otlp_metric *out = otlp_json_array(j, m, sizeof(*out), "metrics", &n);

            for (list = jsonval_iter(m); i < n && jsonval_next(&list, &key, &item);)
                metric(j, item, &out[i++]);
            ret->metrics = out;
            ret->n_metrics = n;
        }
}

static void resource_metrics(struct otlp_json *j, struct jsonval v, struct otlp_resource *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "resourceMetrics"), in;
    struct jsonval m, item;
    struct slice key;

    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "resource")) {
            resource_of(j, m, ret);
        } else if (otlp_json_is(key, "scopeMetrics")) {
            size_t n, i = 0;
            struct otlp_scope *out = otlp_json_array(j, m, sizeof(*out), "scopeMetrics", &n);

            for (in = jsonval_iter(m); i < n && jsonval_next(&in, &key, &item);)
                scope_metrics(j, item, &out[i++]);
            ret->scopes = out;
            ret->n_scopes = n;
        }
}

static void request(struct otlp_json *j, struct jsonval root, struct otlp_metrics *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, root, "request"), in;
    struct jsonval m, item;
    struct slice key;

    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "resourceMetrics")) {
            size_t n, i = 0;
            struct otlp_resource *out = otlp_json_array(j, m, sizeof(*out), "resourceMetrics", &n);

            for (in = jsonval_iter(m); i < n && jsonval_next(&in, &key, &item);)
                resource_metrics(j, item, &out[i++]);
            ret->resources = out;
            ret->n_resources = n;
        }
}

struct err *otlp_json_decode(struct arena *a, struct slice body, struct jsonval_doc **ret_doc,
                             struct otlp_metrics *ret)
{
    struct otlp_json j = {.a = a, .max_bytes = arena_used(a) + 8 * body.len + BASE_BYTES};
    struct jsonval root;
    struct jsonval_doc *doc;
    struct err *e;

    if (body.len > OTLP_JSON_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "JSON of more than %u bytes; protobuf may be larger",
                       OTLP_JSON_MAX_BYTES);
    if ((e = jsonval_parse(body, OTLP_JSON_MAX_DEPTH, &doc, &root)))
        return e;
    *ret = (struct otlp_metrics){0};
    request(&j, root, ret);
    ret->n_points = j.n_points;
    if (j.is_over || j.bad) {
        jsonval_free(doc);
        return j.is_over
                   ? err_new(ERR_LIMIT,
                             "JSON: %zu bytes that take more than eight times their room", body.len)
                   : err_new(ERR_INVALID, "JSON: %s: %s", j.bad, j.why);
    }
    *ret_doc = doc;
    return NULL;
}
