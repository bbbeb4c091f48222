#include "ingester/door/zipkin_json.h"

#include "common/base/hex.h"
#include "common/base/map.h"

#define MAX_DEPTH 8
#define NS_PER_US 1000

struct endpoint {
    struct slice service, ip;
    uint64_t port;
};

struct decoding {
    struct trace_builder *b;
    struct map resources, scopes; /* their texts -> number + 1 */
    struct buf key;
    const char *bad, *why; /* constants: the first member that was wrong */
};

static void fail(struct decoding *d, const char *member, const char *why)
{
    if (d->bad)
        return;
    d->bad = member;
    d->why = why;
}

/* ---- members ---- */

static struct slice text_of(struct decoding *d, struct jsonval v, const char *member)
{
    if (jsonval_kind(v) == JSONVAL_TEXT)
        return jsonval_text(v);
    if (jsonval_kind(v) != JSONVAL_NULL)
        fail(d, member, "not a text");
    return SLICE_EMPTY;
}

/* Whole; clients write fractions and texts, too. */
static uint64_t number_of(struct decoding *d, struct jsonval v, const char *member)
{
    uint64_t n = 0;
    double f;

    switch (jsonval_kind(v)) {
    case JSONVAL_I64:
        if (jsonval_i64(v) >= 0)
            return (uint64_t)jsonval_i64(v);
        break;
    case JSONVAL_F64:
        f = jsonval_f64(v);
        if (f >= 0 && f < 9e18)
            return (uint64_t)f;
        break;
    case JSONVAL_TEXT:
        if (slice_to_u64(jsonval_text(v), &n))
            return n;
        break;
    case JSONVAL_NULL:
        return 0;
    default:
        break;
    }
    fail(d, member, "not a number of 0 or more");
    return 0;
}

/* Longer ones are no id, which the builder says. */
static struct slice id_of(struct decoding *d, struct jsonval v, const char *member, size_t n)
{
    struct slice text = text_of(d, v, member);
    uint8_t *out;

    if (!text.len || text.len > 2 * n)
        return SLICE_EMPTY;
    out = arena_alloc(d->b->arena, n);
    if (hex_id(text, out, n) >= 0)
        fail(d, member, "not hexadecimal");
    return slice_of(out, n);
}

static struct endpoint endpoint_of(struct decoding *d, struct jsonval v, const char *member)
{
    struct endpoint e = {SLICE_EMPTY, SLICE_EMPTY, 0};
    struct jsonval_iter it = jsonval_iter(v);
    struct slice key;
    struct jsonval m;

    if (jsonval_kind(v) == JSONVAL_NULL)
        return e;
    if (jsonval_kind(v) != JSONVAL_OBJECT)
        fail(d, member, "not an object");
    while (jsonval_next(&it, &key, &m))
        if (slice_eq_cstr(key, "serviceName"))
            e.service = text_of(d, m, "serviceName");
        else if (slice_eq_cstr(key, "ipv4"))
            e.ip = text_of(d, m, "ipv4");
        else if (slice_eq_cstr(key, "ipv6") && !e.ip.len)
            e.ip = text_of(d, m, "ipv6");
        else if (slice_eq_cstr(key, "port"))
            e.port = number_of(d, m, "port");
    return e;
}

/* ---- attributes ---- */

static void add_text(struct tracepiece_attributes *to, const char *key, struct slice text)
{
    if (text.len)
        to->ptr[to->n++] =
            (struct otlp_member){slice_cstr(key), {.kind = OTLP_VALUE_TEXT, .text = text}};
}

static void add_endpoint(struct tracepiece_attributes *to, const struct endpoint *e,
                         const char *service, const char *ip, const char *port)
{
    add_text(to, service, e->service);
    add_text(to, ip, e->ip);
    if (e->port)
        to->ptr[to->n++] =
            (struct otlp_member){slice_cstr(port), {.kind = OTLP_VALUE_INT, .i = (int64_t)e->port}};
}

static uint32_t resource_of(struct decoding *d, const struct endpoint *e)
{
    struct tracepiece_resource r = {.attributes.ptr =
                                        arena_array(d->b->arena, struct otlp_member, 3)};
    void **slot;

    buf_reset(&d->key);
    buf_lstr(&d->key, e->service);
    buf_lstr(&d->key, e->ip);
    buf_uvarint(&d->key, e->port);
    slot = map_slot(&d->resources, buf_slice(&d->key));
    if (!*slot) {
        add_endpoint(&r.attributes, e, "service.name", "net.host.ip", "net.host.port");
        *slot = (void *)(uintptr_t)(trace_builder_resource(d->b, &r) + 1);
    }
    return (uint32_t)((uintptr_t)*slot - 1);
}

static uint32_t scope_of(struct decoding *d, const struct tracepiece_scope *s)
{
    void **slot;

    buf_reset(&d->key);
    buf_lstr(&d->key, s->name);
    buf_lstr(&d->key, s->version);
    slot = map_slot(&d->scopes, buf_slice(&d->key));
    if (!*slot)
        *slot = (void *)(uintptr_t)(trace_builder_scope(d->b, s) + 1);
    return (uint32_t)((uintptr_t)*slot - 1);
}

/* ---- a span ---- */

static uint8_t kind_of(struct decoding *d, struct jsonval v)
{
    static const char *const names[] = {NULL, NULL, "SERVER", "CLIENT", "PRODUCER", "CONSUMER"};
    struct slice text = text_of(d, v, "kind");

    for (uint8_t i = 2; i < ORR_COUNT(names); i++)
        if (slice_eq_nocase(text, slice_cstr(names[i])))
            return i;
    return 0;
}

/* Under way: what tags say that is no attribute. */
struct tagged {
    struct tracepiece_span *span;
    struct tracepiece_scope scope;
    bool has_code; /* otel.status_code, which is more than error */
};

static void add_tag(struct tagged *t, struct slice key, struct slice value)
{
    struct tracepiece_span *s = t->span;

    if (slice_eq_cstr(key, "otel.status_code")) {
        t->has_code = true;
        s->status = slice_eq_cstr(value, "ERROR") ? 2 : slice_eq_cstr(value, "OK") ? 1 : 0;
    } else if (slice_eq_cstr(key, "otel.status_description")) {
        s->message = value;
    } else if (slice_eq_cstr(key, "error") && !slice_eq_cstr(value, "false")) {
        if (!t->has_code)
            s->status = 2;
        if (!s->message.len && !slice_eq_cstr(value, "true"))
            s->message = value;
    } else if (slice_eq_cstr(key, "w3c.tracestate")) {
        s->state = value;
    } else if (slice_eq_cstr(key, "otel.library.name") || slice_eq_cstr(key, "otel.scope.name")) {
        t->scope.name = value;
    } else if (slice_eq_cstr(key, "otel.library.version") ||
               slice_eq_cstr(key, "otel.scope.version")) {
        t->scope.version = value;
    } else {
        s->attributes.ptr[s->attributes.n++] =
            (struct otlp_member){key, {.kind = OTLP_VALUE_TEXT, .text = value}};
    }
}

static void read_tags(struct decoding *d, struct jsonval v, struct tagged *t)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct slice key;
    struct jsonval m;

    if (jsonval_kind(v) != JSONVAL_OBJECT && jsonval_kind(v) != JSONVAL_NULL)
        fail(d, "tags", "not an object");
    while (jsonval_next(&it, &key, &m))
        add_tag(t, key, text_of(d, m, "tags"));
}

static void read_annotations(struct decoding *d, struct jsonval v, struct tracepiece_span *s)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct slice key;
    struct jsonval item, m;

    if (jsonval_kind(v) == JSONVAL_NULL)
        return;
    if (jsonval_kind(v) != JSONVAL_LIST) {
        fail(d, "annotations", "not a list");
        return;
    }
    s->events = arena_array(d->b->arena, struct tracepiece_event, jsonval_count(v));
    s->n_events = 0; /* of a member that comes twice the last counts */
    while (jsonval_next(&it, &key, &item)) {
        struct tracepiece_event *e = &s->events[s->n_events++];
        struct jsonval_iter of = jsonval_iter(item);

        e->name = SLICE_EMPTY;
        while (jsonval_next(&of, &key, &m))
            if (slice_eq_cstr(key, "timestamp"))
                e->t_ns = number_of(d, m, "timestamp") * NS_PER_US;
            else if (slice_eq_cstr(key, "value"))
                e->name = text_of(d, m, "value");
    }
}

/* Tags and, behind them, three attributes of the remote endpoint. */
static size_t count_attributes(struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct slice key;
    struct jsonval m;
    size_t n = 3;

    while (jsonval_next(&it, &key, &m))
        if (slice_eq_cstr(key, "tags"))
            n += jsonval_count(m);
    return n;
}

static void read_member(struct decoding *d, struct slice key, struct jsonval m, struct trace_in *in,
                        struct tagged *t, struct endpoint *local, struct endpoint *remote,
                        uint64_t *duration_us)
{
    struct tracepiece_span *s = &in->span;

    if (slice_eq_cstr(key, "traceId"))
        in->trace_id = id_of(d, m, "traceId", 16);
    else if (slice_eq_cstr(key, "id"))
        in->span_id = id_of(d, m, "id", 8);
    else if (slice_eq_cstr(key, "parentId"))
        in->parent_id = id_of(d, m, "parentId", 8);
    else if (slice_eq_cstr(key, "name"))
        s->name = text_of(d, m, "name");
    else if (slice_eq_cstr(key, "kind"))
        s->kind = kind_of(d, m);
    else if (slice_eq_cstr(key, "timestamp"))
        s->start_ns = number_of(d, m, "timestamp") * NS_PER_US;
    else if (slice_eq_cstr(key, "duration"))
        *duration_us = number_of(d, m, "duration");
    else if (slice_eq_cstr(key, "localEndpoint"))
        *local = endpoint_of(d, m, "localEndpoint");
    else if (slice_eq_cstr(key, "remoteEndpoint"))
        *remote = endpoint_of(d, m, "remoteEndpoint");
    else if (slice_eq_cstr(key, "tags"))
        read_tags(d, m, t);
    else if (slice_eq_cstr(key, "annotations"))
        read_annotations(d, m, s);
}

static void read_span(struct decoding *d, struct jsonval v)
{
    struct trace_in in = {
        .trace_id = SLICE_EMPTY, .span_id = SLICE_EMPTY, .parent_id = SLICE_EMPTY};
    struct tagged t = {&in.span, {.name = SLICE_EMPTY, .version = SLICE_EMPTY}, false};
    struct endpoint local = {SLICE_EMPTY, SLICE_EMPTY, 0}, remote = local;
    struct jsonval_iter it = jsonval_iter(v);
    uint64_t duration_us = 0;
    struct slice key;
    struct jsonval m;

    if (jsonval_kind(v) != JSONVAL_OBJECT) {
        fail(d, "span", "not an object");
        return;
    }
    in.span.name = in.span.message = in.span.state = SLICE_EMPTY;
    in.span.attributes.ptr = arena_array(d->b->arena, struct otlp_member, count_attributes(v));
    while (jsonval_next(&it, &key, &m))
        read_member(d, key, m, &in, &t, &local, &remote, &duration_us);
    if (d->bad)
        return;
    add_endpoint(&in.span.attributes, &remote, "peer.service", "net.peer.ip", "net.peer.port");
    in.span.end_ns = in.span.start_ns + duration_us * NS_PER_US;
    in.span.resource = resource_of(d, &local);
    in.span.scope = scope_of(d, &t.scope);
    trace_builder_span(d->b, &in);
}

struct err *zipkin_json_decode(struct trace_builder *b, struct slice body,
                               struct jsonval_doc **ret_doc)
{
    struct decoding d = {.b = b};
    struct jsonval_doc *doc;
    struct jsonval root, item;
    struct jsonval_iter it;
    struct slice key;
    struct err *e;

    *ret_doc = NULL;
    if (body.len > ZIPKIN_JSON_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "JSON of more than %u bytes", ZIPKIN_JSON_MAX_BYTES);
    if ((e = jsonval_parse(body, MAX_DEPTH, &doc, &root)))
        return e;
    if (jsonval_kind(root) != JSONVAL_LIST)
        fail(&d, "spans", "not a list");
    for (it = jsonval_iter(root); !d.bad && jsonval_next(&it, &key, &item);)
        read_span(&d, item);
    map_done(&d.resources);
    map_done(&d.scopes);
    buf_done(&d.key);
    if (!d.bad) {
        *ret_doc = doc;
        return NULL;
    }
    jsonval_free(doc);
    return err_new(ERR_INVALID, "JSON: %s: %s", d.bad, d.why);
}
