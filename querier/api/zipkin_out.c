#include "querier/api/zipkin_out.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/lang/traceql.h"

static const char *const kinds[] = {NULL, NULL, "SERVER", "CLIENT", "PRODUCER", "CONSUMER"};

static void put_text(struct buf *out, const char *key, struct slice text)
{
    if (!text.len)
        return;
    buf_json_comma(out);
    buf_printf(out, "\"%s\":", key);
    buf_json_str(out, text);
}

static struct otlp_value *find(const struct tracepiece_attributes *a, const char *key)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (slice_eq_cstr(a->ptr[i].key, key))
            return &a->ptr[i].value;
    return NULL;
}

static struct slice find_text(const struct tracepiece_attributes *a, const char *key)
{
    const struct otlp_value *v = find(a, key);

    return v && v->kind == OTLP_VALUE_TEXT ? v->text : SLICE_EMPTY;
}

/* ---- endpoints ---- */

struct endpoint_keys {
    const char *service, *ip, *port;
};
static const struct endpoint_keys local_keys = {"service.name", "net.host.ip", "net.host.port"};
static const struct endpoint_keys remote_keys = {"peer.service", "net.peer.ip", "net.peer.port"};

static bool is_endpoint(const struct endpoint_keys *k, struct slice key)
{
    return slice_eq_cstr(key, k->service) || slice_eq_cstr(key, k->ip) ||
           slice_eq_cstr(key, k->port);
}

static void put_endpoint(struct buf *out, const char *name, const struct endpoint_keys *k,
                         const struct tracepiece_attributes *a)
{
    struct slice service = find_text(a, k->service), ip = find_text(a, k->ip);
    const struct otlp_value *port = find(a, k->port);

    if (!service.len && !ip.len)
        return;
    buf_json_comma(out);
    buf_printf(out, "\"%s\":{", name);
    put_text(out, "serviceName", service);
    put_text(out, slice_find(ip, SLICE(":"), 0) >= 0 ? "ipv6" : "ipv4", ip);
    if (port && port->kind == OTLP_VALUE_INT && port->i > 0 && port->i < 65536) {
        buf_json_comma(out);
        buf_printf(out, "\"port\":%lld", (long long)port->i);
    }
    buf_byte(out, '}');
}

/* ---- tags ---- */

static void put_tag(struct buf *out, struct slice key, struct slice text)
{
    buf_json_comma(out);
    buf_json_str(out, key);
    buf_byte(out, ':');
    buf_json_str(out, text);
}

/* All but those of an endpoint. */
static void put_attributes(struct buf *out, struct arena *a, const struct tracepiece_attributes *of,
                           const struct endpoint_keys *but)
{
    for (uint32_t i = 0; i < of->n; i++)
        if (!is_endpoint(but, of->ptr[i].key))
            put_tag(out, of->ptr[i].key, otlp_value_text(a, &of->ptr[i].value));
}

/* Attributes as an object: values as JSON has them. */
static struct slice attributes_text(struct arena *a, const struct tracepiece_attributes *of)
{
    return otlp_value_text(
        a, &(struct otlp_value){.kind = OTLP_VALUE_MAP, .members = of->ptr, .n = of->n});
}

static void put_links(struct buf *out, struct arena *a, const struct tracepiece_span *s)
{
    for (uint32_t i = 0; i < s->n_links; i++) {
        const struct tracepiece_link *l = &s->links[i];
        struct buf text = {0};

        buf_hex(&text, l->trace_id, sizeof(l->trace_id));
        buf_printf(&text, "|%016llx|%.*s|%.*s|%u", (unsigned long long)l->span_id,
                   SLICE_ARG(l->state), SLICE_ARG(attributes_text(a, &l->attributes)),
                   l->attributes.dropped);
        put_tag(out, slice_cstr(arena_printf(a, "otlp.link.%u", i)), buf_slice(&text));
        buf_done(&text);
    }
}

static void put_status(struct buf *out, const struct tracepiece_span *s)
{
    if (s->status == TRACEQL_STATUS_ERROR) {
        put_tag(out, SLICE("error"), s->message.len ? s->message : SLICE("true"));
        put_tag(out, SLICE("otel.status_code"), SLICE("ERROR"));
    } else if (s->status == TRACEQL_STATUS_OK) {
        put_tag(out, SLICE("otel.status_code"), SLICE("OK"));
    }
    if (s->message.len)
        put_tag(out, SLICE("otel.status_description"), s->message);
}

static void put_tags(struct buf *out, struct arena *a, const struct tracepiece *p,
                     const struct tracepiece_span *s)
{
    const struct tracepiece_scope *scope = &p->scopes[s->scope];

    buf_json_comma(out);
    buf_str(out, "\"tags\":{");
    put_attributes(out, a, &p->resources[s->resource].attributes, &local_keys);
    put_attributes(out, a, &s->attributes, &remote_keys); /* a key that comes twice: the last */
    put_links(out, a, s);
    put_text(out, "otel.scope.name", scope->name);
    put_text(out, "otel.scope.version", scope->version);
    put_text(out, "w3c.tracestate", s->state);
    put_status(out, s);
    buf_byte(out, '}');
}

static void put_annotations(struct buf *out, struct arena *a, const struct tracepiece_span *s)
{
    if (!s->n_events)
        return;
    buf_json_comma(out);
    buf_str(out, "\"annotations\":[");
    for (uint32_t i = 0; i < s->n_events; i++) {
        const struct tracepiece_event *e = &s->events[i];

        buf_json_comma(out);
        buf_printf(out,
                   "{\"timestamp\":%llu,\"value\":", (unsigned long long)(e->t_ns / NS_PER_US));
        buf_json_str(out,
                     e->attributes.n || e->attributes.dropped
                         ? slice_cstr(arena_printf(a, "%.*s|%.*s|%u", SLICE_ARG(e->name),
                                                   SLICE_ARG(attributes_text(a, &e->attributes)),
                                                   e->attributes.dropped))
                         : e->name);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

/* ---- spans ---- */

/* Ids of clients' spans, sorted: a server's with one of them shares it. */
struct clients {
    uint64_t *ids;
    size_t n;
};

static int by_number(const void *a, const void *b)
{
    uint64_t l = *(const uint64_t *)a, r = *(const uint64_t *)b;

    return (l > r) - (l < r);
}

static struct clients clients_of(struct arena *a, const struct tracepiece *p)
{
    struct clients c = {.ids = arena_array(a, uint64_t, p->n_spans)};

    for (uint32_t i = 0; i < p->n_spans; i++)
        if (p->spans[i].kind == TRACEQL_KIND_CLIENT)
            c.ids[c.n++] = p->spans[i].span_id;
    if (c.n)
        qsort(c.ids, c.n, sizeof(*c.ids), by_number);
    return c;
}

static bool is_shared(const struct clients *c, const struct tracepiece_span *s)
{
    return s->kind == TRACEQL_KIND_SERVER && c->n &&
           bsearch(&s->span_id, c->ids, c->n, sizeof(*c->ids), by_number);
}

static void put_times(struct buf *out, const struct tracepiece_span *s)
{
    uint64_t duration_us = s->end_ns > s->start_ns ? (s->end_ns - s->start_ns) / NS_PER_US : 0;

    if (s->start_ns)
        buf_printf(out, ",\"timestamp\":%llu", (unsigned long long)(s->start_ns / NS_PER_US));
    if (s->end_ns > s->start_ns)
        buf_printf(out, ",\"duration\":%llu",
                   (unsigned long long)ORR_MAX(duration_us, (uint64_t)1));
}

static void put_span(struct buf *out, struct arena *a, const struct tracepiece *p,
                     const struct tracepiece_span *s, const struct clients *clients)
{
    buf_json_comma(out);
    buf_str(out, "{\"traceId\":\"");
    buf_hex(out, p->trace_id, sizeof(p->trace_id));
    buf_byte(out, '"');
    if (s->parent_id)
        buf_printf(out, ",\"parentId\":\"%016llx\"", (unsigned long long)s->parent_id);
    buf_printf(out, ",\"id\":\"%016llx\"", (unsigned long long)s->span_id);
    if (s->kind < ORR_COUNT(kinds) && kinds[s->kind])
        buf_printf(out, ",\"kind\":\"%s\"", kinds[s->kind]);
    put_text(out, "name", s->name);
    put_times(out, s);
    put_endpoint(out, "localEndpoint", &local_keys, &p->resources[s->resource].attributes);
    put_endpoint(out, "remoteEndpoint", &remote_keys, &s->attributes);
    put_annotations(out, a, s);
    put_tags(out, a, p, s);
    if (is_shared(clients, s))
        buf_str(out, ",\"shared\":true");
    buf_byte(out, '}');
}

/* Every span shows them: they are made into texts once, not for each span, or a large list would be there as often as there are
 * spans. The arrays are new, as others may have those of p. */
static struct tracepiece_resource *resource_texts(struct arena *a, const struct tracepiece *p)
{
    struct tracepiece_resource *ret = arena_array(a, struct tracepiece_resource, p->n_resources);

    for (uint32_t i = 0; i < p->n_resources; i++) {
        const struct tracepiece_attributes *from = &p->resources[i].attributes;
        struct otlp_member *to = arena_array(a, struct otlp_member, from->n);

        for (uint32_t k = 0; k < from->n; k++) {
            to[k] = from->ptr[k];
            if (!is_endpoint(&local_keys, to[k].key))
                to[k].value = (struct otlp_value){.kind = OTLP_VALUE_TEXT,
                                                  .text = otlp_value_text(a, &from->ptr[k].value)};
        }
        ret[i] = p->resources[i];
        ret[i].attributes.ptr = to;
    }
    return ret;
}

void zipkin_out(struct buf *out, struct arena *a, struct tracepiece *p)
{
    struct clients clients = clients_of(a, p);
    struct tracepiece shown = *p;

    shown.resources = resource_texts(a, p);
    buf_byte(out, '[');
    for (uint32_t i = 0; i < p->n_spans && buf_ok(out); i++)
        put_span(out, a, &shown, &p->spans[i], &clients);
    buf_byte(out, ']');
}
