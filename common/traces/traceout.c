#include "common/traces/traceout.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/base64.h"
#include "common/base/mem.h"

/* ---- protobuf ---- */

static void put_tag(struct buf *out, unsigned number, unsigned type)
{
    buf_uvarint(out, number << 3 | type);
}

static void put_uint(struct buf *out, unsigned number, uint64_t v)
{
    if (!v)
        return;
    put_tag(out, number, 0);
    buf_uvarint(out, v);
}

static void put_fixed64(struct buf *out, unsigned number, uint64_t v)
{
    if (!v)
        return;
    put_tag(out, number, 1);
    buf_u64le(out, v);
}

static void put_fixed32(struct buf *out, unsigned number, uint32_t v)
{
    if (!v)
        return;
    put_tag(out, number, 5);
    buf_u32le(out, v);
}

static void put_bytes(struct buf *out, unsigned number, struct slice s)
{
    if (!s.len)
        return;
    put_tag(out, number, 2);
    buf_lstr(out, s);
}

/* Ends the message, which may be empty. */
static void put_message(struct buf *out, unsigned number, struct buf *message)
{
    put_tag(out, number, 2);
    buf_lstr(out, buf_slice(message));
    buf_done(message);
}

static void put_span_id(struct buf *out, unsigned number, uint64_t id)
{
    if (!id)
        return;
    put_tag(out, number, 2);
    buf_byte(out, 8);
    buf_u64be(out, id);
}

static void put_value(struct buf *out, const struct otlp_value *v);

static void put_member(struct buf *out, unsigned number, const struct otlp_member *m)
{
    struct buf kv = {0}, value = {0};

    put_bytes(&kv, 1, m->key);
    put_value(&value, &m->value);
    put_message(&kv, 2, &value);
    put_message(out, number, &kv);
}

/* The fields of an AnyValue. */
static void put_value(struct buf *out, const struct otlp_value *v)
{
    struct buf list = {0};

    switch (v->kind) {
    case OTLP_VALUE_EMPTY:
        break;
    case OTLP_VALUE_TEXT:
    case OTLP_VALUE_BYTES:
        put_tag(out, v->kind == OTLP_VALUE_TEXT ? 1 : 7, 2);
        buf_lstr(out, v->text);
        break;
    case OTLP_VALUE_BOOL:
        put_tag(out, 2, 0);
        buf_byte(out, v->b);
        break;
    case OTLP_VALUE_INT:
        put_tag(out, 3, 0);
        buf_uvarint(out, (uint64_t)v->i);
        break;
    case OTLP_VALUE_DOUBLE:
        put_tag(out, 4, 1);
        buf_f64le(out, v->d);
        break;
    case OTLP_VALUE_LIST:
    case OTLP_VALUE_MAP:
        for (size_t i = 0; i < v->n; i++) {
            struct buf item = {0};

            if (v->kind == OTLP_VALUE_MAP) {
                put_member(&list, 1, &v->members[i]);
                continue;
            }
            put_value(&item, &v->members[i].value);
            put_message(&list, 1, &item);
        }
        put_message(out, v->kind == OTLP_VALUE_LIST ? 5 : 6, &list);
        break;
    }
}

static void put_attributes(struct buf *out, unsigned number, unsigned dropped_number,
                           const struct tracepiece_attributes *a)
{
    for (uint32_t i = 0; i < a->n; i++)
        put_member(out, number, &a->ptr[i]);
    put_uint(out, dropped_number, a->dropped);
}

static void put_event(struct buf *out, const struct tracepiece_event *event)
{
    struct buf m = {0};

    put_fixed64(&m, 1, event->t_ns);
    put_bytes(&m, 2, event->name);
    put_attributes(&m, 3, 4, &event->attributes);
    put_message(out, 11, &m);
}

static void put_link(struct buf *out, const struct tracepiece_link *link)
{
    struct buf m = {0};

    put_bytes(&m, 1, slice_of(link->trace_id, 16));
    put_span_id(&m, 2, link->span_id);
    put_bytes(&m, 3, link->state);
    put_attributes(&m, 4, 5, &link->attributes);
    put_fixed32(&m, 6, link->flags);
    put_message(out, 13, &m);
}

static void put_span(struct buf *out, const struct tracepiece *p, const struct tracepiece_span *s)
{
    struct buf m = {0}, status = {0};

    put_bytes(&m, 1, slice_of(p->trace_id, 16));
    put_span_id(&m, 2, s->span_id);
    put_bytes(&m, 3, s->state);
    put_span_id(&m, 4, s->parent_id);
    put_bytes(&m, 5, s->name);
    put_uint(&m, 6, s->kind);
    put_fixed64(&m, 7, s->start_ns);
    put_fixed64(&m, 8, s->end_ns);
    put_attributes(&m, 9, 10, &s->attributes);
    for (uint32_t i = 0; i < s->n_events; i++)
        put_event(&m, &s->events[i]);
    put_uint(&m, 12, s->dropped_events);
    for (uint32_t i = 0; i < s->n_links; i++)
        put_link(&m, &s->links[i]);
    put_uint(&m, 14, s->dropped_links);
    put_bytes(&status, 2, s->message);
    put_uint(&status, 3, s->status);
    put_message(&m, 15, &status);
    put_fixed32(&m, 16, s->flags);
    put_message(out, 2, &m);
}

/* ---- groups ---- */

/* A span's place: those of one resource and scope stand one behind the other, each in the order that it had. */
struct place {
    uint32_t resource, scope, at;
};

/* What is left of the places in order; and those at the front that have the same resource and scope. */
struct places {
    struct place *all, *ptr;
    uint32_t n, n_group;
};

static int compare_places(const void *x, const void *y)
{
    const struct place *a = x, *b = y;

    if (a->resource != b->resource)
        return a->resource < b->resource ? -1 : 1;
    if (a->scope != b->scope)
        return a->scope < b->scope ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

static struct places places_of(const struct tracepiece *p)
{
    struct place *all = mem_new_array(struct place, p->n_spans + 1);

    for (uint32_t i = 0; i < p->n_spans; i++)
        all[i] = (struct place){p->spans[i].resource, p->spans[i].scope, i};
    qsort(all, p->n_spans, sizeof(*all), compare_places);
    return (struct places){all, all, p->n_spans, 0};
}

/* Takes the next group that is the resource's. False: it has no other. */
static bool next_group(struct places *l, uint32_t resource)
{
    l->ptr += l->n_group;
    l->n -= l->n_group;
    l->n_group = 0;
    if (!l->n || l->ptr->resource != resource)
        return false;
    while (l->n_group < l->n && l->ptr[l->n_group].resource == resource &&
           l->ptr[l->n_group].scope == l->ptr->scope)
        l->n_group++;
    return true;
}

static void put_scope_spans(struct buf *out, const struct tracepiece *p, const struct places *group)
{
    const struct tracepiece_scope *s = &p->scopes[group->ptr->scope];
    struct buf m = {0}, header = {0};

    put_bytes(&header, 1, s->name);
    put_bytes(&header, 2, s->version);
    put_attributes(&header, 3, 4, &s->attributes);
    put_message(&m, 1, &header);
    for (uint32_t i = 0; i < group->n_group; i++)
        put_span(&m, p, &p->spans[group->ptr[i].at]);
    put_bytes(&m, 3, s->schema_url);
    put_message(out, 2, &m);
}

void traceout_proto(struct buf *out, const struct tracepiece *p)
{
    struct places places = places_of(p);

    for (uint32_t r = 0; r < p->n_resources; r++) {
        struct buf m = {0}, header = {0};

        put_attributes(&header, 1, 2, &p->resources[r].attributes);
        put_message(&m, 1, &header);
        while (next_group(&places, r))
            put_scope_spans(&m, p, &places);
        put_bytes(&m, 3, p->resources[r].schema_url);
        put_message(out, 1, &m);
    }
    mem_free(places.all);
}

/* ---- JSON ---- */

/* The name of a member, with a comma where it is not the first of its object. */
static void key(struct buf *out, const char *name)
{
    if (out->ptr[out->len - 1] != '{')
        buf_byte(out, ',');
    buf_printf(out, "\"%s\":", name);
}

static void text(struct buf *out, const char *name, struct slice s)
{
    if (!s.len)
        return;
    key(out, name);
    buf_json_str(out, s);
}

static void number32(struct buf *out, const char *name, uint32_t v)
{
    if (!v)
        return;
    key(out, name);
    buf_printf(out, "%u", v);
}

static void number64(struct buf *out, const char *name, uint64_t v)
{
    if (!v)
        return;
    key(out, name);
    buf_printf(out, "\"%llu\"", (unsigned long long)v);
}

static void id(struct buf *out, const char *name, struct slice bytes)
{
    key(out, name);
    buf_byte(out, '"');
    base64_encode(bytes, true, out);
    buf_byte(out, '"');
}

static void span_id(struct buf *out, const char *name, uint64_t v)
{
    uint8_t bytes[8];

    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(v >> (8 * (7 - i)));
    if (v)
        id(out, name, slice_of(bytes, 8));
}

static void json_double(struct buf *out, double v)
{
    if (isfinite(v))
        buf_f64_text(out, v);
    else
        buf_str(out, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

static void json_members(struct buf *out, const struct otlp_member *members, size_t n)
{
    buf_byte(out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? ",{\"key\":" : "{\"key\":");
        buf_json_str(out, members[i].key);
        buf_str(out, ",\"value\":");
        traceout_json_value(out, &members[i].value);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

void traceout_json_value(struct buf *out, const struct otlp_value *v)
{
    switch (v->kind) {
    case OTLP_VALUE_EMPTY:
        buf_str(out, "{");
        break;
    case OTLP_VALUE_TEXT:
        buf_str(out, "{\"stringValue\":");
        buf_json_str(out, v->text);
        break;
    case OTLP_VALUE_BYTES:
        buf_str(out, "{");
        id(out, "bytesValue", v->text);
        break;
    case OTLP_VALUE_BOOL:
        buf_printf(out, "{\"boolValue\":%s", v->b ? "true" : "false");
        break;
    case OTLP_VALUE_INT:
        buf_printf(out, "{\"intValue\":\"%lld\"", (long long)v->i);
        break;
    case OTLP_VALUE_DOUBLE:
        buf_str(out, "{\"doubleValue\":");
        json_double(out, v->d);
        break;
    case OTLP_VALUE_LIST:
        buf_str(out, "{\"arrayValue\":{\"values\":[");
        for (size_t i = 0; i < v->n; i++) {
            if (i)
                buf_byte(out, ',');
            traceout_json_value(out, &v->members[i].value);
        }
        buf_str(out, "]}");
        break;
    case OTLP_VALUE_MAP:
        buf_str(out, "{\"kvlistValue\":{\"values\":");
        json_members(out, v->members, v->n);
        buf_byte(out, '}');
        break;
    }
    buf_byte(out, '}');
}

static void json_attributes(struct buf *out, const struct tracepiece_attributes *a)
{
    if (a->n) {
        key(out, "attributes");
        json_members(out, a->ptr, a->n);
    }
    number32(out, "droppedAttributesCount", a->dropped);
}

static void json_events(struct buf *out, const struct tracepiece_span *s)
{
    if (!s->n_events)
        return;
    key(out, "events");
    for (uint32_t i = 0; i < s->n_events; i++) {
        buf_str(out, i ? ",{" : "[{");
        number64(out, "timeUnixNano", s->events[i].t_ns);
        text(out, "name", s->events[i].name);
        json_attributes(out, &s->events[i].attributes);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

static void json_links(struct buf *out, const struct tracepiece_span *s)
{
    if (!s->n_links)
        return;
    key(out, "links");
    for (uint32_t i = 0; i < s->n_links; i++) {
        buf_str(out, i ? ",{" : "[{");
        id(out, "traceId", slice_of(s->links[i].trace_id, 16));
        span_id(out, "spanId", s->links[i].span_id);
        text(out, "traceState", s->links[i].state);
        json_attributes(out, &s->links[i].attributes);
        number32(out, "flags", s->links[i].flags);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

static void json_status(struct buf *out, const struct tracepiece_span *s)
{
    static const char *const codes[] = {NULL, "STATUS_CODE_OK", "STATUS_CODE_ERROR"};

    key(out, "status");
    buf_byte(out, '{');
    text(out, "message", s->message);
    if (s->status && s->status < ORR_COUNT(codes))
        text(out, "code", slice_cstr(codes[s->status]));
    buf_byte(out, '}');
}

static void json_span(struct buf *out, const struct tracepiece *p, const struct tracepiece_span *s)
{
    static const char *const kinds[] = {NULL,
                                        "SPAN_KIND_INTERNAL",
                                        "SPAN_KIND_SERVER",
                                        "SPAN_KIND_CLIENT",
                                        "SPAN_KIND_PRODUCER",
                                        "SPAN_KIND_CONSUMER"};

    buf_byte(out, '{');
    id(out, "traceId", slice_of(p->trace_id, 16));
    span_id(out, "spanId", s->span_id);
    text(out, "traceState", s->state);
    span_id(out, "parentSpanId", s->parent_id);
    number32(out, "flags", s->flags);
    text(out, "name", s->name);
    if (s->kind && s->kind < ORR_COUNT(kinds))
        text(out, "kind", slice_cstr(kinds[s->kind]));
    number64(out, "startTimeUnixNano", s->start_ns);
    number64(out, "endTimeUnixNano", s->end_ns);
    json_attributes(out, &s->attributes);
    json_events(out, s);
    number32(out, "droppedEventsCount", s->dropped_events);
    json_links(out, s);
    number32(out, "droppedLinksCount", s->dropped_links);
    json_status(out, s);
    buf_byte(out, '}');
}

static void json_scope_spans(struct buf *out, const struct tracepiece *p,
                             const struct places *group)
{
    const struct tracepiece_scope *s = &p->scopes[group->ptr->scope];

    buf_str(out, "{\"scope\":{");
    text(out, "name", s->name);
    text(out, "version", s->version);
    json_attributes(out, &s->attributes);
    buf_str(out, "},\"spans\":[");
    for (uint32_t i = 0; i < group->n_group; i++) {
        if (i)
            buf_byte(out, ',');
        json_span(out, p, &p->spans[group->ptr[i].at]);
    }
    buf_byte(out, ']');
    text(out, "schemaUrl", s->schema_url);
    buf_byte(out, '}');
}

void traceout_json(struct buf *out, const struct tracepiece *p)
{
    struct places places = places_of(p);

    buf_byte(out, '[');
    for (uint32_t r = 0; r < p->n_resources; r++) {
        bool has_scope = false;

        buf_str(out, r ? ",{\"resource\":{" : "{\"resource\":{");
        json_attributes(out, &p->resources[r].attributes);
        buf_str(out, "},\"scopeSpans\":[");
        while (next_group(&places, r)) {
            if (has_scope)
                buf_byte(out, ',');
            has_scope = true;
            json_scope_spans(out, p, &places);
        }
        buf_byte(out, ']');
        text(out, "schemaUrl", p->resources[r].schema_url);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
    mem_free(places.all);
}
