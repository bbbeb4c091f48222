#include "ingester/door/otlp_json.h"
#include "ingester/door/otlp_logs.h"
#include "ingester/door/otlp_logs_internal.h"

static struct otlp_members attrs(struct otlp_json *j, struct jsonval v)
{
    struct otlp_members ret;

    ret.ptr = otlp_json_members(j, v, "attributes", &ret.n);
    return ret;
}

/* A number, or a name: SEVERITY_NUMBER_INFO2. */
static int64_t severity(struct otlp_json *j, struct jsonval v)
{
    static const char *const names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};
    struct slice prefix = SLICE("SEVERITY_NUMBER_"), text;

    if (jsonval_kind(v) != JSONVAL_TEXT || !slice_has_prefix(jsonval_text(v), prefix))
        return otlp_json_i32(j, v, "severityNumber");
    text = slice_from(jsonval_text(v), prefix.len);
    for (size_t i = 0; i < ORR_COUNT(names); i++) {
        struct slice rest;
        uint64_t n = 1;

        if (!slice_has_prefix(text, slice_cstr(names[i])))
            continue;
        rest = slice_from(text, strlen(names[i]));
        if (rest.len == 0 || (slice_to_u64(rest, &n) && n >= 2 && n <= 4))
            return (int64_t)(4 * i + n);
    }
    if (!slice_eq_cstr(text, "UNSPECIFIED"))
        otlp_json_fail(j, "severityNumber", "no such severity");
    return 0;
}

static void record(struct otlp_json *j, struct jsonval v, struct otlp_record *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "logRecords");
    struct jsonval m;
    struct slice key;

    ret->severity_text = ret->trace_id = ret->span_id = ret->event_name = SLICE_EMPTY;
    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "timeUnixNano"))
            ret->time_ns = otlp_json_u64(j, m, "timeUnixNano");
        else if (otlp_json_is(key, "observedTimeUnixNano"))
            ret->observed_ns = otlp_json_u64(j, m, "observedTimeUnixNano");
        else if (otlp_json_is(key, "severityNumber"))
            ret->severity = severity(j, m);
        else if (otlp_json_is(key, "severityText"))
            ret->severity_text = otlp_json_text(j, m, "severityText");
        else if (otlp_json_is(key, "body"))
            ret->body = otlp_json_value(j, m);
        else if (otlp_json_is(key, "attributes"))
            ret->attrs = attrs(j, m);
        else if (otlp_json_is(key, "droppedAttributesCount"))
            ret->dropped = otlp_json_u32(j, m, "droppedAttributesCount");
        else if (otlp_json_is(key, "flags"))
            ret->flags = otlp_json_u32(j, m, "flags");
        else if (otlp_json_is(key, "traceId"))
            ret->trace_id = otlp_json_hex(j, m, "traceId");
        else if (otlp_json_is(key, "spanId"))
            ret->span_id = otlp_json_hex(j, m, "spanId");
        else if (otlp_json_is(key, "eventName"))
            ret->event_name = otlp_json_text(j, m, "eventName");
}

static void scope_logs(struct otlp_json *j, struct jsonval v, struct otlp_log_scope *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "scopeLogs"), list;
    struct jsonval m, item;
    struct slice key;

    ret->header = otlp_header_empty();
    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "scope")) {
            otlp_header_json_scope(j, m, &ret->header);
        } else if (otlp_json_is(key, "logRecords")) {
            size_t n, i = 0;

            ret->records = otlp_json_array(j, m, sizeof(*ret->records), "logRecords", &n);
            for (list = jsonval_iter(m); i < n && jsonval_next(&list, &key, &item);)
                record(j, item, &ret->records[i++]);
            ret->n_records = n;
        }
}

static void resource_logs(struct otlp_json *j, struct jsonval v, struct otlp_log_resource *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "resourceLogs"), list;
    struct jsonval m, item;
    struct slice key;

    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "resource")) {
            otlp_header_json_resource(j, m, &ret->header);
        } else if (otlp_json_is(key, "scopeLogs")) {
            size_t n, i = 0;

            ret->scopes = otlp_json_array(j, m, sizeof(*ret->scopes), "scopeLogs", &n);
            for (list = jsonval_iter(m); i < n && jsonval_next(&list, &key, &item);)
                scope_logs(j, item, &ret->scopes[i++]);
            ret->n_scopes = n;
        }
}

static void request(struct otlp_json *j, struct jsonval root, struct otlp_logs *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, root, "request"), list;
    struct jsonval m, item;
    struct slice key;

    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "resourceLogs")) {
            size_t n, i = 0;

            ret->resources = otlp_json_array(j, m, sizeof(*ret->resources), "resourceLogs", &n);
            for (list = jsonval_iter(m); i < n && jsonval_next(&list, &key, &item);)
                resource_logs(j, item, &ret->resources[i++]);
            ret->n_resources = n;
        }
}

struct err *otlp_logs_decode_json(struct log_builder *b, struct slice body,
                                  struct jsonval_doc **ret_doc)
{
    struct arena *a = log_builder_arena(b);
    struct otlp_json j = {
        .a = a, .max_bytes = arena_used(a) + OTLP_LOGS_FACTOR * body.len + OTLP_LOGS_BASE_BYTES};
    struct otlp_logs logs = {0};
    struct jsonval_doc *doc;
    struct jsonval root;
    struct err *e;

    *ret_doc = NULL;
    if (body.len > OTLP_JSON_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "JSON of more than %u bytes; protobuf may be larger",
                       OTLP_JSON_MAX_BYTES);
    if ((e = jsonval_parse(body, OTLP_JSON_MAX_DEPTH, &doc, &root)))
        return e;
    request(&j, root, &logs);
    if (j.is_over)
        e = err_new(ERR_LIMIT, "JSON: %zu bytes that take more than %u times their room", body.len,
                    OTLP_LOGS_FACTOR);
    else if (j.bad)
        e = err_new(ERR_INVALID, "JSON: %s: %s", j.bad, j.why);
    else
        e = otlp_logs_translate(b, &logs);
    if (e) {
        jsonval_free(doc);
        return e;
    }
    *ret_doc = doc;
    return NULL;
}
