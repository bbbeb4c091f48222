#include "ingester/door/zipkin_json.h"

#include "common/base/arena_room.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/lang/traceql.h"
#include "ingester/door/zipkin_span.h"

#define MAX_DEPTH 8

struct decoding {
    struct zipkin_spans spans;
    const char *bad, *why; /* constants: the first member that was wrong */
};

static void fail(struct decoding *d, const char *member, const char *why)
{
    if (d->bad)
        return;
    d->bad = member;
    d->why = why;
}

/* NULL, and it is remembered: there is no room. */
static void *array(struct decoding *d, size_t n, size_t each)
{
    if (arena_room(d->spans.b->arena, n * each))
        return arena_calloc(d->spans.b->arena, n, each);
    fail(d, "spans", "they take more memory than there is for them");
    return NULL;
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

/* Longer ones are no id, which the builder says of one byte. */
static struct slice id_of(struct decoding *d, struct jsonval v, const char *member, size_t n)
{
    struct slice text = text_of(d, v, member);
    uint8_t *out;

    if (!text.len || text.len > 2 * n)
        return slice_sub(text, 0, 1);
    out = arena_alloc(d->spans.b->arena, n);
    if (hex_id(text, out, n) >= 0)
        fail(d, member, "not hexadecimal");
    return slice_of(out, n);
}

static struct zipkin_endpoint endpoint_of(struct decoding *d, struct jsonval v, const char *member)
{
    struct zipkin_endpoint e = {SLICE_EMPTY, SLICE_EMPTY, 0};
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

/* ---- a span ---- */

static uint8_t kind_of(struct decoding *d, struct jsonval v)
{
    struct slice text = text_of(d, v, "kind");

    for (uint8_t i = TRACEQL_KIND_SERVER; i <= TRACEQL_KIND_CONSUMER; i++)
        if (slice_eq_nocase(text, slice_cstr(traceql_kind_text(i))))
            return i;
    return TRACEQL_KIND_UNSPECIFIED;
}

static void read_tags(struct decoding *d, struct jsonval v, struct zipkin_span *s)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct slice key;
    struct jsonval m;

    if (jsonval_kind(v) != JSONVAL_OBJECT && jsonval_kind(v) != JSONVAL_NULL)
        fail(d, "tags", "not an object");
    while (jsonval_next(&it, &key, &m))
        zipkin_span_tag(s, key, text_of(d, m, "tags"));
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
    s->n_events = 0; /* of a member that comes twice the last counts */
    s->events = array(d, jsonval_count(v), sizeof(*s->events));
    if (!s->events)
        return;
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

static size_t count_attributes(struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct slice key;
    struct jsonval m;
    size_t n = ZIPKIN_SPAN_MORE_ATTRIBUTES;

    while (jsonval_next(&it, &key, &m))
        if (slice_eq_cstr(key, "tags"))
            n += jsonval_count(m);
    return n;
}

static void read_member(struct decoding *d, struct slice key, struct jsonval m,
                        struct zipkin_span *z)
{
    struct trace_in *in = &z->in;
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
        z->duration_us = number_of(d, m, "duration");
    else if (slice_eq_cstr(key, "localEndpoint"))
        z->local = endpoint_of(d, m, "localEndpoint");
    else if (slice_eq_cstr(key, "remoteEndpoint"))
        z->remote = endpoint_of(d, m, "remoteEndpoint");
    else if (slice_eq_cstr(key, "tags"))
        read_tags(d, m, z);
    else if (slice_eq_cstr(key, "annotations"))
        read_annotations(d, m, s);
}

static void read_span(struct decoding *d, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct zipkin_span s;
    struct slice key;
    struct jsonval m;

    if (jsonval_kind(v) != JSONVAL_OBJECT) {
        fail(d, "span", "not an object");
        return;
    }
    zipkin_span_init(&s);
    s.in.span.attributes.ptr = array(d, count_attributes(v), sizeof(struct otlp_member));
    while (s.in.span.attributes.ptr && jsonval_next(&it, &key, &m))
        read_member(d, key, m, &s);
    if (!d->bad)
        zipkin_span_end(&d->spans, &s);
}

struct err *zipkin_json_decode(struct trace_builder *b, struct slice body,
                               struct jsonval_doc **ret_doc)
{
    struct decoding d = {0};
    struct jsonval_doc *doc;
    struct jsonval root, item;
    struct jsonval_iter it;
    struct slice key;
    struct err *e;

    *ret_doc = NULL;
    if (body.len > ZIPKIN_JSON_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "JSON of more than %u bytes", ZIPKIN_JSON_MAX_BYTES);
    if (!arena_room(b->arena, JSONVAL_FACTOR * body.len))
        return err_new(ERR_LIMIT, "JSON of %zu bytes takes more memory than there is for it",
                       body.len);
    if ((e = jsonval_parse(body, MAX_DEPTH, &doc, &root)))
        return e;
    arena_charge(b->arena, (int64_t)jsonval_memory(doc));
    zipkin_spans_init(&d.spans, b);
    if (jsonval_kind(root) != JSONVAL_LIST)
        fail(&d, "spans", "not a list");
    for (it = jsonval_iter(root); !d.bad && jsonval_next(&it, &key, &item);)
        read_span(&d, item);
    zipkin_spans_done(&d.spans);
    if (!d.bad) {
        *ret_doc = doc;
        return NULL;
    }
    jsonval_free(doc);
    return err_new(ERR_INVALID, "JSON: %s: %s", d.bad, d.why);
}
