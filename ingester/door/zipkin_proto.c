#include "ingester/door/zipkin_proto.h"

#include <arpa/inet.h>

#include "common/base/clock.h"
#include "common/lang/traceql.h"
#include "ingester/door/wire_fields.h"
#include "ingester/door/zipkin_span.h"

static bool parse_ip(struct wire_decoder *d, int family, struct slice address, struct slice *ret)
{
    char *text;

    if (address.len != (family == AF_INET ? 4 : 16))
        return !address.len || bad(d, "Endpoint: an address of a wrong length") != NULL;
    if (!(text = array(d, INET6_ADDRSTRLEN, 1)))
        return false;
    (void)inet_ntop(family, address.ptr, text, INET6_ADDRSTRLEN);
    *ret = slice_cstr(text);
    return true;
}

static bool parse_endpoint(struct wire_decoder *d, struct slice m, struct zipkin_endpoint *ret)
{
    struct fields f = fields_of(m);
    struct slice v4 = SLICE_EMPTY, v6 = SLICE_EMPTY;

    *ret = (struct zipkin_endpoint){SLICE_EMPTY, SLICE_EMPTY, 0};
    while (next_field(&f)) {
        switch (f.tag) {
        case TAG(1, RW_BYTES):
            ret->service = bytes(&f);
            break;
        case TAG(2, RW_BYTES):
            v4 = bytes(&f);
            break;
        case TAG(3, RW_BYTES):
            v6 = bytes(&f);
            break;
        case TAG(4, RW_VARINT):
            ret->port = varint(&f) & 0xffff;
            break;
        default:
            other(d, &f, N(1) | N(2) | N(3) | N(4),
                  "Endpoint: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "Endpoint: malformed") && parse_ip(d, AF_INET6, v6, &ret->ip) &&
           parse_ip(d, AF_INET, v4, &ret->ip);
}

static bool parse_annotation(struct wire_decoder *d, struct slice m, struct tracepiece_event *ret)
{
    struct fields f = fields_of(m);

    ret->name = SLICE_EMPTY;
    while (next_field(&f)) {
        if (f.tag == TAG(1, RW_FIXED64))
            ret->t_ns = fixed64(&f) * NS_PER_US;
        else if (f.tag == TAG(2, RW_BYTES))
            ret->name = bytes(&f);
        else
            other(d, &f, N(1) | N(2), "Annotation: a field with the wire type of another");
    }
    return end_of(d, &f, "Annotation: malformed");
}

static bool parse_tag(struct wire_decoder *d, struct slice m, struct zipkin_span *s)
{
    struct fields f = fields_of(m);
    struct slice key = SLICE_EMPTY, value = SLICE_EMPTY;

    while (next_field(&f)) {
        if (f.tag == TAG(1, RW_BYTES))
            key = bytes(&f);
        else if (f.tag == TAG(2, RW_BYTES))
            value = bytes(&f);
        else
            other(d, &f, N(1) | N(2), "tags: a field with the wire type of another");
    }
    if (!end_of(d, &f, "tags: malformed"))
        return false;
    zipkin_span_tag(s, key, value);
    return true;
}

static uint8_t kind_of(uint64_t v)
{
    static const uint8_t kinds[] = {TRACEQL_KIND_UNSPECIFIED, TRACEQL_KIND_CLIENT,
                                    TRACEQL_KIND_SERVER, TRACEQL_KIND_PRODUCER,
                                    TRACEQL_KIND_CONSUMER};

    return v < ORR_COUNT(kinds) ? kinds[v] : 0;
}

/* What has fields of its own. */
static bool parse_message(struct wire_decoder *d, struct fields *f, struct zipkin_span *s)
{
    uint32_t number = f->tag >> 3;
    struct slice m = bytes(f);

    if (!f->p)
        return true; /* the caller's end_of() says so */
    switch (number) {
    case 8:
        return parse_endpoint(d, m, &s->local);
    case 9:
        return parse_endpoint(d, m, &s->remote);
    case 10:
        return parse_annotation(d, m, &s->in.span.events[s->in.span.n_events++]);
    default:
        return parse_tag(d, m, s);
    }
}

static bool span_room(struct wire_decoder *d, struct slice m, struct tracepiece_span *s)
{
    size_t n_events = count(m, TAG(10, RW_BYTES));
    size_t n_tags = count(m, TAG(11, RW_BYTES)) + ZIPKIN_SPAN_MORE_ATTRIBUTES;

    return (s->attributes.ptr = array(d, n_tags, sizeof(*s->attributes.ptr))) != NULL &&
           (!n_events || (s->events = array(d, n_events, sizeof(*s->events))) != NULL);
}

static bool parse_span(struct wire_decoder *d, struct slice m, struct zipkin_span *s)
{
    struct fields f = fields_of(m);
    struct trace_in *in = &s->in;

    if (!span_room(d, m, &in->span))
        return false;
    while (next_field(&f)) {
        switch (f.tag) {
        case TAG(1, RW_BYTES):
            in->trace_id = whole_trace_id(d, bytes(&f));
            break;
        case TAG(2, RW_BYTES):
            in->parent_id = bytes(&f);
            break;
        case TAG(3, RW_BYTES):
            in->span_id = bytes(&f);
            break;
        case TAG(4, RW_VARINT):
            in->span.kind = kind_of(varint(&f));
            break;
        case TAG(5, RW_BYTES):
            in->span.name = bytes(&f);
            break;
        case TAG(6, RW_FIXED64):
            in->span.start_ns = fixed64(&f) * NS_PER_US;
            break;
        case TAG(7, RW_VARINT):
            s->duration_us = varint(&f);
            break;
        case TAG(8, RW_BYTES):
        case TAG(9, RW_BYTES):
        case TAG(10, RW_BYTES):
        case TAG(11, RW_BYTES):
            if (!parse_message(d, &f, s))
                return false;
            break;
        default:
            other(d, &f, 0xffe, "Span: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "Span: malformed") && !d->is_over;
}

static bool parse_list(struct wire_decoder *d, struct zipkin_spans *spans, struct slice body)
{
    struct fields f = fields_of(body);

    while (next_field(&f)) {
        struct zipkin_span s;
        struct slice m;

        if (f.tag != TAG(1, RW_BYTES)) {
            other(d, &f, N(1), "ListOfSpans: a field with the wire type of another");
            continue;
        }
        m = bytes(&f);
        if (!f.p)
            break;
        zipkin_span_init(&s);
        if (!parse_span(d, m, &s))
            return false;
        zipkin_span_end(spans, &s);
    }
    return end_of(d, &f, "ListOfSpans: malformed");
}

struct err *zipkin_proto_decode(struct trace_builder *b, struct slice body)
{
    struct wire_decoder d = {.a = b->arena,
                             .max_bytes = arena_used(b->arena) + ZIPKIN_PROTO_FACTOR * body.len +
                                          ZIPKIN_PROTO_BASE_BYTES};
    struct zipkin_spans spans;
    bool is_good;

    zipkin_spans_init(&spans, b);
    is_good = parse_list(&d, &spans, body);
    zipkin_spans_done(&spans);
    return is_good ? NULL : wire_decoder_err(&d, body.len, ZIPKIN_PROTO_FACTOR);
}
