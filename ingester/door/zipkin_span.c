#include "ingester/door/zipkin_span.h"

#include "common/base/clock.h"
#include "common/lang/traceql.h"

void zipkin_spans_init(struct zipkin_spans *z, struct trace_builder *b)
{
    *z = (struct zipkin_spans){.b = b};
}

void zipkin_spans_done(struct zipkin_spans *z)
{
    map_done(&z->resources);
    buf_done(&z->key);
    scope_tags_done(&z->scopes);
}

/* ---- attributes ---- */

static void add_text(struct tracepiece_attributes *to, const char *key, struct slice text)
{
    if (text.len)
        to->ptr[to->n++] =
            (struct otlp_member){slice_cstr(key), {.kind = OTLP_VALUE_TEXT, .text = text}};
}

static void add_endpoint(struct tracepiece_attributes *to, const struct zipkin_endpoint *e,
                         const char *service, const char *ip, const char *port)
{
    add_text(to, service, e->service);
    add_text(to, ip, e->ip);
    if (e->port)
        to->ptr[to->n++] =
            (struct otlp_member){slice_cstr(port), {.kind = OTLP_VALUE_INT, .i = (int64_t)e->port}};
}

static uint32_t resource_of(struct zipkin_spans *z, const struct zipkin_endpoint *e)
{
    struct tracepiece_resource r = {.schema_url = SLICE_EMPTY};
    void **slot;

    buf_reset(&z->key);
    buf_lstr(&z->key, e->service);
    buf_lstr(&z->key, e->ip);
    buf_uvarint(&z->key, e->port);
    slot = map_slot(&z->resources, buf_slice(&z->key));
    if (!*slot) {
        r.attributes.ptr = arena_array(z->b->arena, struct otlp_member, 3);
        add_endpoint(&r.attributes, e, "service.name", "net.host.ip", "net.host.port");
        *slot = (void *)(uintptr_t)(trace_builder_resource(z->b, &r) + 1);
    }
    return (uint32_t)((uintptr_t)*slot - 1);
}

/* ---- a span ---- */

void zipkin_span_init(struct zipkin_span *s)
{
    *s = (struct zipkin_span){
        .in = {.trace_id = SLICE_EMPTY,
               .span_id = SLICE_EMPTY,
               .parent_id = SLICE_EMPTY,
               .span = {.name = SLICE_EMPTY, .message = SLICE_EMPTY, .state = SLICE_EMPTY}},
        .scope = {.name = SLICE_EMPTY, .version = SLICE_EMPTY},
        .local = {SLICE_EMPTY, SLICE_EMPTY, 0},
        .remote = {SLICE_EMPTY, SLICE_EMPTY, 0}};
}

void zipkin_span_tag(struct zipkin_span *z, struct slice key, struct slice value)
{
    struct tracepiece_span *s = &z->in.span;

    if (slice_eq_cstr(key, "otel.status_code")) {
        z->has_code = true;
        s->status = slice_eq_cstr(value, "ERROR") ? TRACEQL_STATUS_ERROR
                    : slice_eq_cstr(value, "OK")  ? TRACEQL_STATUS_OK
                                                  : TRACEQL_STATUS_UNSET;
    } else if (slice_eq_cstr(key, "otel.status_description")) {
        s->message = value;
    } else if (slice_eq_cstr(key, "error") && !slice_eq_cstr(value, "false")) {
        if (!z->has_code)
            s->status = TRACEQL_STATUS_ERROR;
        if (!s->message.len && !slice_eq_cstr(value, "true"))
            s->message = value;
    } else if (slice_eq_cstr(key, "w3c.tracestate")) {
        s->state = value;
    } else if (!scope_tags_take(&z->scope, key, value)) {
        s->attributes.ptr[s->attributes.n++] =
            (struct otlp_member){key, {.kind = OTLP_VALUE_TEXT, .text = value}};
    }
}

void zipkin_span_end(struct zipkin_spans *z, struct zipkin_span *s)
{
    struct tracepiece_span *span = &s->in.span;

    add_endpoint(&span->attributes, &s->remote, "peer.service", "net.peer.ip", "net.peer.port");
    span->end_ns = span->start_ns + s->duration_us * NS_PER_US;
    span->resource = resource_of(z, &s->local);
    span->scope = scope_tags_number(&z->scopes, z->b, &s->scope);
    trace_builder_span(z->b, &s->in);
}
