#include "ingester/door/otlp_proto_internal.h"
#include "ingester/door/otlp_traces_internal.h"

/* False when it was told why; malformed bytes of the field itself are left to end_of(). */
static bool attribute(struct wire_decoder *d, struct fields *f, struct tracepiece_attributes *to)
{
    struct slice m = bytes(f);

    return !f->p || otlp_proto_member(d, m, &to->ptr[to->n++]);
}

static uint8_t small(struct fields *f, uint64_t max)
{
    uint64_t v = varint(f);

    return v > max ? 0 : (uint8_t)v;
}

static bool parse_event(struct wire_decoder *d, struct slice m, struct tracepiece_event *ret)
{
    struct fields f = fields_of(m);

    ret->name = SLICE_EMPTY;
    if (!otlp_proto_members_room(d, m, TAG(3, RW_BYTES), &ret->attributes.ptr))
        return false;
    while (next_field(&f)) {
        switch (f.tag) {
        case TAG(1, RW_FIXED64):
            ret->t_ns = fixed64(&f);
            break;
        case TAG(2, RW_BYTES):
            ret->name = bytes(&f);
            break;
        case TAG(3, RW_BYTES):
            if (!attribute(d, &f, &ret->attributes))
                return false;
            break;
        case TAG(4, RW_VARINT):
            ret->attributes.dropped = (uint32_t)varint(&f);
            break;
        default:
            other(d, &f, 0x1e, "Event: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "Event: malformed");
}

/* *ret_is_good: its ids are ids. */
static bool parse_link(struct wire_decoder *d, struct slice m, struct tracepiece_link *ret,
                       bool *ret_is_good)
{
    struct fields f = fields_of(m);
    struct slice trace = SLICE_EMPTY, span = SLICE_EMPTY;

    *ret = (struct tracepiece_link){.state = SLICE_EMPTY}; /* a bad one may be there */
    if (!otlp_proto_members_room(d, m, TAG(4, RW_BYTES), &ret->attributes.ptr))
        return false;
    while (next_field(&f)) {
        switch (f.tag) {
        case TAG(1, RW_BYTES):
            trace = bytes(&f);
            break;
        case TAG(2, RW_BYTES):
            span = bytes(&f);
            break;
        case TAG(3, RW_BYTES):
            ret->state = bytes(&f);
            break;
        case TAG(4, RW_BYTES):
            if (!attribute(d, &f, &ret->attributes))
                return false;
            break;
        case TAG(5, RW_VARINT):
            ret->attributes.dropped = (uint32_t)varint(&f);
            break;
        case TAG(6, RW_FIXED32):
            ret->flags = fixed32(&f);
            break;
        default:
            other(d, &f, 0x7e, "Link: a field with the wire type of another");
        }
    }
    *ret_is_good = trace_builder_link(ret, trace, span);
    return end_of(d, &f, "Link: malformed");
}

static bool parse_status(struct wire_decoder *d, struct slice m, struct tracepiece_span *ret)
{
    struct fields f = fields_of(m);

    while (next_field(&f)) {
        if (f.tag == TAG(2, RW_BYTES))
            ret->message = bytes(&f);
        else if (f.tag == TAG(3, RW_VARINT))
            ret->status = small(&f, 2);
        else
            other(d, &f, N(2) | N(3), "Status: a field with the wire type of another");
    }
    return end_of(d, &f, "Status: malformed");
}

static bool span_room(struct wire_decoder *d, struct slice m, struct tracepiece_span *ret)
{
    size_t n_events = count(m, TAG(11, RW_BYTES)), n_links = count(m, TAG(13, RW_BYTES));

    return otlp_proto_members_room(d, m, TAG(9, RW_BYTES), &ret->attributes.ptr) &&
           (!n_events || (ret->events = array(d, n_events, sizeof(*ret->events)))) &&
           (!n_links || (ret->links = array(d, n_links, sizeof(*ret->links))));
}

/* Events, links and status: what has fields of its own. */
static bool span_message(struct wire_decoder *d, struct fields *f, struct tracepiece_span *s)
{
    uint32_t number = f->tag >> 3;
    struct slice m = bytes(f);
    bool is_good;

    if (!f->p)
        return true; /* the caller's end_of() says so */
    if (number == 11)
        return parse_event(d, m, &s->events[s->n_events++]);
    if (number == 15)
        return parse_status(d, m, s);
    if (!parse_link(d, m, &s->links[s->n_links], &is_good))
        return false;
    s->n_links += is_good;
    s->dropped_links += !is_good;
    return true;
}

static bool parse_span(struct wire_decoder *d, struct slice m, struct trace_in *in)
{
    struct tracepiece_span *s = &in->span;
    struct fields f = fields_of(m);

    in->trace_id = in->span_id = in->parent_id = SLICE_EMPTY;
    s->name = s->message = s->state = SLICE_EMPTY;
    if (!span_room(d, m, s))
        return false;
    while (next_field(&f)) {
        switch (f.tag) {
        case TAG(1, RW_BYTES):
            in->trace_id = bytes(&f);
            break;
        case TAG(2, RW_BYTES):
            in->span_id = bytes(&f);
            break;
        case TAG(3, RW_BYTES):
            s->state = bytes(&f);
            break;
        case TAG(4, RW_BYTES):
            in->parent_id = bytes(&f);
            break;
        case TAG(5, RW_BYTES):
            s->name = bytes(&f);
            break;
        case TAG(6, RW_VARINT):
            s->kind = small(&f, 5);
            break;
        case TAG(7, RW_FIXED64):
            s->start_ns = fixed64(&f);
            break;
        case TAG(8, RW_FIXED64):
            s->end_ns = fixed64(&f);
            break;
        case TAG(9, RW_BYTES):
            if (!attribute(d, &f, &s->attributes))
                return false;
            break;
        case TAG(10, RW_VARINT):
            s->attributes.dropped = (uint32_t)varint(&f);
            break;
        case TAG(12, RW_VARINT):
            s->dropped_events += (uint32_t)varint(&f);
            break;
        case TAG(14, RW_VARINT):
            s->dropped_links += (uint32_t)varint(&f);
            break;
        case TAG(16, RW_FIXED32):
            s->flags = fixed32(&f);
            break;
        case TAG(11, RW_BYTES):
        case TAG(13, RW_BYTES):
        case TAG(15, RW_BYTES):
            if (!span_message(d, &f, s))
                return false;
            break;
        default:
            other(d, &f, 0x1fffe, "Span: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "Span: malformed");
}

/* The field that describes the items of m, which may stand behind them: 1 the resource or scope, 3 the schema URL. */
static bool find_header(struct wire_decoder *d, struct slice m, const char *twice,
                        struct slice *ret_header, struct slice *ret_schema)
{
    struct fields f = fields_of(m);
    bool has_header = false;

    *ret_header = *ret_schema = SLICE_EMPTY;
    while (next_field(&f)) {
        if (f.tag == TAG(1, RW_BYTES)) {
            if (has_header)
                return bad(d, twice) != NULL;
            has_header = true;
            *ret_header = bytes(&f);
        } else if (f.tag == TAG(3, RW_BYTES)) {
            *ret_schema = bytes(&f);
        } else if (f.tag == TAG(2, RW_BYTES)) {
            skip(&f);
        } else {
            other(d, &f, N(1) | N(2) | N(3), "Spans: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "Spans: malformed");
}

static bool parse_scope_spans(struct wire_decoder *d, struct trace_builder *b, struct slice m,
                              uint32_t resource)
{
    struct otlp_header scope = otlp_header_empty();
    struct fields f = fields_of(m);
    struct slice header, schema_url;
    uint32_t number;

    if (!find_header(d, m, "ScopeSpans: its scope comes twice", &header, &schema_url) ||
        !otlp_header_proto_scope(d, header, &scope))
        return false;
    number = otlp_traces_scope(b, &scope, schema_url);
    while (next_field(&f)) {
        struct trace_in in = {.span = {.resource = resource, .scope = number}};
        struct slice s;

        if (f.tag != TAG(2, RW_BYTES)) {
            skip(&f);
            continue;
        }
        s = bytes(&f);
        if (!parse_span(d, s, &in))
            return false;
        trace_builder_span(b, &in);
    }
    return true;
}

static bool parse_resource_spans(struct wire_decoder *d, struct trace_builder *b, struct slice m)
{
    struct otlp_header resource = otlp_header_empty();
    struct fields f = fields_of(m);
    struct slice header, schema_url;
    uint32_t number;

    if (!find_header(d, m, "ResourceSpans: its resource comes twice", &header, &schema_url) ||
        !otlp_header_proto_resource(d, header, &resource))
        return false;
    number = otlp_traces_resource(b, &resource, schema_url);
    while (next_field(&f)) {
        if (f.tag != TAG(2, RW_BYTES))
            skip(&f);
        else if (!parse_scope_spans(d, b, bytes(&f), number))
            return false;
    }
    return true;
}

static bool parse_request(struct wire_decoder *d, struct trace_builder *b, struct slice body)
{
    struct fields f = fields_of(body);

    while (next_field(&f)) {
        struct slice s;

        if (f.tag != TAG(1, RW_BYTES)) {
            other(d, &f, N(1), "Request: a field with the wire type of another");
            continue;
        }
        s = bytes(&f);
        if (f.p && !parse_resource_spans(d, b, s))
            return false;
    }
    return end_of(d, &f, "Request: malformed");
}

struct err *otlp_traces_decode_proto(struct trace_builder *b, struct slice body)
{
    struct wire_decoder d = {.a = b->arena,
                             .max_bytes = arena_used(b->arena) + OTLP_TRACES_FACTOR * body.len +
                                          OTLP_TRACES_BASE_BYTES};

    if (parse_request(&d, b, body))
        return NULL;
    return wire_decoder_err(&d, body.len, OTLP_TRACES_FACTOR);
}
