#include "querier/api/jaeger_out.h"

#include <math.h>

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/lang/traceql.h"

#define MAX_SAFE_INTEGER 9007199254740991 /* that JavaScript has */
/* Of a resource without a service, as OpenTelemetry's exporters name it. */
#define NO_SERVICE "OTLPResourceNoServiceName"
#define WARNINGS "@jaeger@warnings"
#define REF_TYPE "opentracing.ref_type"

static const char *const codes[] = {NULL, "OK", "ERROR"};

static void put_trace_id(struct buf *out, const uint8_t id[16])
{
    buf_byte(out, '"');
    buf_hex(out, id, 16);
    buf_byte(out, '"');
}

/* ---- tags ---- */

static void put_double(struct buf *out, double v)
{
    if (isfinite(v))
        buf_f64_text(out, v);
    else
        buf_str(out, isnan(v) ? "\"NaN\"" : v > 0 ? "\"+Inf\"" : "\"-Inf\"");
}

static void put_value(struct buf *out, struct arena *a, struct otlp_value *v)
{
    switch (v->kind) {
    case OTLP_VALUE_BOOL:
        buf_printf(out, "\"bool\",\"value\":%s", v->b ? "true" : "false");
        break;
    case OTLP_VALUE_INT:
        buf_printf(out,
                   v->i > MAX_SAFE_INTEGER || v->i < -MAX_SAFE_INTEGER
                       ? "\"int64\",\"value\":\"%lld\""
                       : "\"int64\",\"value\":%lld",
                   (long long)v->i);
        break;
    case OTLP_VALUE_DOUBLE:
        buf_str(out, "\"float64\",\"value\":");
        put_double(out, v->d);
        break;
    case OTLP_VALUE_BYTES:
        buf_str(out, "\"binary\",\"value\":\"");
        base64_encode(v->text, true, out);
        buf_byte(out, '"');
        break;
    default:
        buf_str(out, "\"string\",\"value\":");
        buf_json_str(out, otlp_value_text(a, v));
    }
}

static void put_tag(struct buf *out, struct arena *a, struct slice key, struct otlp_value *v)
{
    buf_json_comma(out);
    buf_str(out, "{\"key\":");
    buf_json_str(out, key);
    buf_str(out, ",\"type\":");
    put_value(out, a, v);
    buf_byte(out, '}');
}

static void put_text_tag(struct buf *out, const char *key, struct slice text)
{
    if (text.len)
        put_tag(out, NULL, slice_cstr(key),
                &(struct otlp_value){.kind = OTLP_VALUE_TEXT, .text = text});
}

static void put_span_tags(struct buf *out, struct arena *a, const struct tracepiece *p,
                          const struct tracepiece_span *s)
{
    const struct tracepiece_scope *scope = &p->scopes[s->scope];

    buf_str(out, ",\"tags\":[");
    for (uint32_t i = 0; i < s->attributes.n; i++)
        if (!slice_eq_cstr(s->attributes.ptr[i].key, WARNINGS))
            put_tag(out, a, s->attributes.ptr[i].key, &s->attributes.ptr[i].value);
    if (s->kind && s->kind <= TRACEQL_KIND_CONSUMER)
        put_text_tag(out, "span.kind", slice_cstr(traceql_kind_text(s->kind)));
    put_text_tag(out, "otel.scope.name", scope->name);
    put_text_tag(out, "otel.scope.version", scope->version);
    if (s->status && s->status < ORR_COUNT(codes))
        put_text_tag(out, "otel.status_code", slice_cstr(codes[s->status]));
    put_text_tag(out, "otel.status_description", s->message);
    if (s->status == TRACEQL_STATUS_ERROR)
        put_tag(out, a, SLICE("error"), &(struct otlp_value){.kind = OTLP_VALUE_BOOL, .b = true});
    put_text_tag(out, "w3c.tracestate", s->state);
    buf_byte(out, ']');
}

/* ---- parts of a span ---- */

static void put_ref(struct buf *out, bool is_child, const uint8_t trace_id[16], uint64_t span_id)
{
    buf_json_comma(out);
    buf_printf(out, "{\"refType\":\"%s\",\"traceID\":", is_child ? "CHILD_OF" : "FOLLOWS_FROM");
    put_trace_id(out, trace_id);
    buf_printf(out, ",\"spanID\":\"%016llx\"}", (unsigned long long)span_id);
}

static bool is_child_of(const struct tracepiece_link *l)
{
    for (uint32_t i = 0; i < l->attributes.n; i++)
        if (slice_eq_cstr(l->attributes.ptr[i].key, REF_TYPE))
            return l->attributes.ptr[i].value.kind == OTLP_VALUE_TEXT &&
                   slice_eq_cstr(l->attributes.ptr[i].value.text, "child_of");
    return false;
}

/* Whether it is a reference of Jaeger's that the parent was taken from. */
static bool is_parent(const struct tracepiece *p, const struct tracepiece_span *s,
                      const struct tracepiece_link *l)
{
    return l->span_id == s->parent_id && !memcmp(l->trace_id, p->trace_id, 16);
}

static void put_refs(struct buf *out, const struct tracepiece *p, const struct tracepiece_span *s)
{
    bool has_parent = !s->parent_id;

    buf_str(out, ",\"references\":[");
    for (uint32_t i = 0; i < s->n_links; i++)
        has_parent = has_parent || is_parent(p, s, &s->links[i]);
    if (!has_parent)
        put_ref(out, true, p->trace_id, s->parent_id);
    for (uint32_t i = 0; i < s->n_links; i++)
        put_ref(out, is_child_of(&s->links[i]), s->links[i].trace_id, s->links[i].span_id);
    buf_byte(out, ']');
}

static void put_logs(struct buf *out, struct arena *a, const struct tracepiece_span *s)
{
    buf_str(out, ",\"logs\":[");
    for (uint32_t i = 0; i < s->n_events; i++) {
        struct tracepiece_event *e = &s->events[i];

        buf_json_comma(out);
        buf_printf(out, "{\"timestamp\":%llu,\"fields\":[",
                   (unsigned long long)(e->t_ns / NS_PER_US));
        put_text_tag(out, "event", e->name);
        for (uint32_t k = 0; k < e->attributes.n; k++)
            put_tag(out, a, e->attributes.ptr[k].key, &e->attributes.ptr[k].value);
        buf_str(out, "]}");
    }
    buf_byte(out, ']');
}

static void put_warnings(struct buf *out, const struct tracepiece_span *s)
{
    size_t at = out->len;

    buf_str(out, ",\"warnings\":[");
    for (uint32_t i = 0; i < s->attributes.n; i++) {
        const struct otlp_value *v = &s->attributes.ptr[i].value;

        if (!slice_eq_cstr(s->attributes.ptr[i].key, WARNINGS) || v->kind != OTLP_VALUE_LIST)
            continue;
        for (size_t k = 0; k < v->n; k++)
            if (v->members[k].value.kind == OTLP_VALUE_TEXT) {
                buf_json_comma(out);
                buf_json_str(out, v->members[k].value.text);
            }
    }
    if (s->end_ns < s->start_ns) {
        buf_json_comma(out);
        buf_printf(out, "\"the span ends %llu us before it starts\"",
                   (unsigned long long)((s->start_ns - s->end_ns) / NS_PER_US));
    }
    if (out->ptr[out->len - 1] == '[') {
        out->len = at;
        buf_str(out, ",\"warnings\":null");
    } else {
        buf_byte(out, ']');
    }
}

static void put_span(struct buf *out, struct arena *a, const struct tracepiece *p,
                     const struct tracepiece_span *s)
{
    uint64_t duration = s->end_ns > s->start_ns ? s->end_ns - s->start_ns : 0;

    buf_json_comma(out);
    buf_str(out, "{\"traceID\":");
    put_trace_id(out, p->trace_id);
    buf_printf(out, ",\"spanID\":\"%016llx\",\"flags\":1,\"operationName\":",
               (unsigned long long)s->span_id);
    buf_json_str(out, s->name);
    put_refs(out, p, s);
    buf_printf(out, ",\"startTime\":%llu,\"duration\":%llu",
               (unsigned long long)(s->start_ns / NS_PER_US),
               (unsigned long long)(duration / NS_PER_US));
    put_span_tags(out, a, p, s);
    put_logs(out, a, s);
    buf_printf(out, ",\"processID\":\"p%u\"", s->resource + 1);
    put_warnings(out, s);
    buf_byte(out, '}');
}

/* ---- the trace ---- */

static void put_process(struct buf *out, struct arena *a, struct tracepiece_resource *r)
{
    struct slice service = SLICE(NO_SERVICE);

    for (uint32_t i = 0; i < r->attributes.n; i++)
        if (slice_eq_cstr(r->attributes.ptr[i].key, "service.name"))
            service = otlp_value_text(a, &r->attributes.ptr[i].value);
    buf_str(out, "{\"serviceName\":");
    buf_json_str(out, service);
    buf_str(out, ",\"tags\":[");
    for (uint32_t i = 0; i < r->attributes.n; i++)
        if (!slice_eq_cstr(r->attributes.ptr[i].key, "service.name"))
            put_tag(out, a, r->attributes.ptr[i].key, &r->attributes.ptr[i].value);
    buf_str(out, "]}");
}

void jaeger_out(struct buf *out, struct arena *a, struct tracepiece *p)
{
    buf_str(out, "{\"traceID\":");
    put_trace_id(out, p->trace_id);
    buf_str(out, ",\"spans\":[");
    for (uint32_t i = 0; i < p->n_spans; i++)
        put_span(out, a, p, &p->spans[i]);
    buf_str(out, "],\"processes\":{");
    for (uint32_t i = 0; i < p->n_resources; i++) {
        buf_json_comma(out);
        buf_printf(out, "\"p%u\":", i + 1);
        put_process(out, a, &p->resources[i]);
    }
    buf_str(out, "},\"warnings\":null}");
}
