#include "ingester/door/jaeger_proto.h"

#include "common/base/clock.h"
#include "ingester/door/jaeger_span.h"
#include "ingester/door/wire_fields.h"

struct decoding {
    struct wire_decoder d;
    struct jaeger_spans spans;
};

/* ---- small messages ---- */

static bool parse_time(struct wire_decoder *d, struct slice m, uint64_t *ret_ns)
{
    struct fields f = fields_of(m);

    *ret_ns = 0;
    while (next_field(&f)) {
        if (f.tag == TAG(1, RW_VARINT))
            *ret_ns += varint(&f) * (uint64_t)NS_PER_S;
        else if (f.tag == TAG(2, RW_VARINT))
            *ret_ns += varint(&f);
        else
            other(d, &f, N(1) | N(2), "Timestamp: a field with the wire type of another");
    }
    return end_of(d, &f, "Timestamp: malformed");
}

/* Its fields come in any order, and of the values only that of the type counts. */
static bool parse_tag(struct wire_decoder *d, struct slice m, struct otlp_member *ret)
{
    struct fields f = fields_of(m);
    struct slice text = SLICE_EMPTY, binary = SLICE_EMPTY;
    uint64_t type = 0, boolean = 0, integer = 0;
    double real = 0;

    *ret = (struct otlp_member){.key = SLICE_EMPTY};
    while (next_field(&f)) {
        switch (f.tag) {
        case TAG(1, RW_BYTES):
            ret->key = bytes(&f);
            break;
        case TAG(2, RW_VARINT):
            type = varint(&f);
            break;
        case TAG(3, RW_BYTES):
            text = bytes(&f);
            break;
        case TAG(4, RW_VARINT):
            boolean = varint(&f);
            break;
        case TAG(5, RW_VARINT):
            integer = varint(&f);
            break;
        case TAG(6, RW_FIXED64):
            real = f64(&f);
            break;
        case TAG(7, RW_BYTES):
            binary = bytes(&f);
            break;
        default:
            other(d, &f, 0xfe, "KeyValue: a field with the wire type of another");
        }
    }
    switch (type) {
    case 0:
        ret->value = (struct otlp_value){.kind = OTLP_VALUE_TEXT, .text = text};
        break;
    case 1:
        ret->value = (struct otlp_value){.kind = OTLP_VALUE_BOOL, .b = boolean != 0};
        break;
    case 2:
        ret->value = (struct otlp_value){.kind = OTLP_VALUE_INT, .i = (int64_t)integer};
        break;
    case 3:
        ret->value = (struct otlp_value){.kind = OTLP_VALUE_DOUBLE, .d = real};
        break;
    case 4:
        ret->value = (struct otlp_value){.kind = OTLP_VALUE_BYTES, .text = binary};
        break;
    default:
        return bad(d, "KeyValue: no such type") != NULL;
    }
    return end_of(d, &f, "KeyValue: malformed");
}

static bool add_tag(struct wire_decoder *d, struct fields *f, struct tracepiece_attributes *to)
{
    struct slice m = bytes(f);

    return !f->p || parse_tag(d, m, &to->ptr[to->n++]);
}

/* Room for as many as m has fields with this tag, and more. */
static bool tags_room(struct wire_decoder *d, struct slice m, uint32_t tag, size_t more,
                      struct tracepiece_attributes *ret)
{
    *ret = (struct tracepiece_attributes){0};
    return (ret->ptr = array(d, count(m, tag) + more, sizeof(*ret->ptr))) != NULL;
}

static bool parse_ref(struct wire_decoder *d, struct slice m, struct jaeger_ref *ret)
{
    struct fields f = fields_of(m);

    ret->trace_id = ret->span_id = SLICE_EMPTY;
    while (next_field(&f)) {
        if (f.tag == TAG(1, RW_BYTES))
            ret->trace_id = whole_trace_id(d, bytes(&f));
        else if (f.tag == TAG(2, RW_BYTES))
            ret->span_id = bytes(&f);
        else if (f.tag == TAG(3, RW_VARINT))
            ret->is_follows = varint(&f) == 1;
        else
            other(d, &f, N(1) | N(2) | N(3), "SpanRef: a field with the wire type of another");
    }
    return end_of(d, &f, "SpanRef: malformed");
}

static bool parse_log(struct wire_decoder *d, struct slice m, struct tracepiece_event *ret)
{
    struct fields f = fields_of(m);

    if (!tags_room(d, m, TAG(2, RW_BYTES), 0, &ret->attributes))
        return false;
    while (next_field(&f)) {
        if (f.tag == TAG(1, RW_BYTES)) {
            struct slice at = bytes(&f);

            if (f.p && !parse_time(d, at, &ret->t_ns))
                return false;
        } else if (f.tag == TAG(2, RW_BYTES)) {
            if (!add_tag(d, &f, &ret->attributes))
                return false;
        } else {
            other(d, &f, N(1) | N(2), "Log: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "Log: malformed");
}

static bool parse_process(struct decoding *j, struct slice m, uint32_t *ret)
{
    struct tracepiece_attributes tags;
    struct fields f = fields_of(m);
    struct slice service = SLICE_EMPTY;

    if (!tags_room(&j->d, m, TAG(2, RW_BYTES), 1, &tags))
        return false;
    while (next_field(&f)) {
        if (f.tag == TAG(1, RW_BYTES)) {
            service = bytes(&f);
        } else if (f.tag == TAG(2, RW_BYTES)) {
            if (!add_tag(&j->d, &f, &tags))
                return false;
        } else {
            other(&j->d, &f, N(1) | N(2), "Process: a field with the wire type of another");
        }
    }
    if (!end_of(&j->d, &f, "Process: malformed"))
        return false;
    *ret = jaeger_spans_process(&j->spans, service, tags);
    return true;
}

/* ---- a span ---- */

static bool span_room(struct wire_decoder *d, struct slice m, struct jaeger_span *s)
{
    size_t n_refs = count(m, TAG(4, RW_BYTES)), n_logs = count(m, TAG(9, RW_BYTES));
    size_t n_warnings = count(m, TAG(12, RW_BYTES));

    return tags_room(d, m, TAG(8, RW_BYTES), JAEGER_SPAN_MORE_ATTRIBUTES, &s->in.span.attributes) &&
           (!n_refs || ((s->refs = array(d, n_refs, sizeof(*s->refs))) &&
                        (s->in.span.links = array(d, n_refs, sizeof(*s->in.span.links))))) &&
           (!n_logs || (s->in.span.events = array(d, n_logs, sizeof(*s->in.span.events)))) &&
           (!n_warnings || (s->warnings = array(d, n_warnings, sizeof(*s->warnings))));
}

/* Fields that are messages, or lists. */
static bool parse_message(struct decoding *j, struct fields *f, struct jaeger_span *s,
                          uint64_t *duration_ns)
{
    struct tracepiece_span *span = &s->in.span;
    uint32_t number = f->tag >> 3;
    struct slice m = bytes(f);

    if (!f->p)
        return true; /* the caller's end_of() says so */
    switch (number) {
    case 4:
        return parse_ref(&j->d, m, &s->refs[s->n_refs++]);
    case 6:
        return parse_time(&j->d, m, &span->start_ns);
    case 7:
        return parse_time(&j->d, m, duration_ns);
    case 8:
        return parse_tag(&j->d, m, &span->attributes.ptr[span->attributes.n++]);
    case 9:
        return parse_log(&j->d, m, &span->events[span->n_events++]);
    case 10:
        return parse_process(j, m, &span->resource);
    default:
        s->warnings[s->n_warnings++].value =
            (struct otlp_value){.kind = OTLP_VALUE_TEXT, .text = m};
        return true;
    }
}

static bool parse_span(struct decoding *j, struct slice m, uint32_t process)
{
    struct fields f = fields_of(m);
    struct jaeger_span s;
    uint64_t duration_ns = 0;

    jaeger_span_init(&s);
    s.in.span.resource = process;
    if (!span_room(&j->d, m, &s))
        return false;
    while (next_field(&f)) {
        switch (f.tag) {
        case TAG(1, RW_BYTES):
            s.in.trace_id = whole_trace_id(&j->d, bytes(&f));
            break;
        case TAG(2, RW_BYTES):
            s.in.span_id = bytes(&f);
            break;
        case TAG(3, RW_BYTES):
            s.in.span.name = bytes(&f);
            break;
        case TAG(4, RW_BYTES):
        case TAG(6, RW_BYTES):
        case TAG(7, RW_BYTES):
        case TAG(8, RW_BYTES):
        case TAG(9, RW_BYTES):
        case TAG(10, RW_BYTES):
        case TAG(12, RW_BYTES):
            if (!parse_message(j, &f, &s, &duration_ns))
                return false;
            break;
        case TAG(5, RW_VARINT):
        case TAG(11, RW_BYTES):
            skip(&f);
            break;
        default:
            other(&j->d, &f, 0x1ffe, "Span: a field with the wire type of another");
        }
    }
    if (!end_of(&j->d, &f, "Span: malformed") || j->d.is_over)
        return false;
    s.in.span.end_ns = s.in.span.start_ns + duration_ns;
    jaeger_span_end(&j->spans, &s);
    return true;
}

/* ---- requests ---- */

/* The process may stand behind the spans. */
static bool find_process(struct decoding *j, struct slice m, uint32_t *ret)
{
    struct fields f = fields_of(m);
    struct slice process = SLICE_EMPTY;

    while (next_field(&f)) {
        if (f.tag == TAG(2, RW_BYTES))
            process = bytes(&f);
        else if (f.tag == TAG(1, RW_BYTES))
            skip(&f);
        else
            other(&j->d, &f, N(1) | N(2), "Batch: a field with the wire type of another");
    }
    return end_of(&j->d, &f, "Batch: malformed") && parse_process(j, process, ret);
}

static bool parse_batch(struct decoding *j, struct slice m)
{
    struct fields f = fields_of(m);
    uint32_t process;

    if (!find_process(j, m, &process))
        return false;
    while (next_field(&f)) {
        if (f.tag != TAG(1, RW_BYTES))
            skip(&f);
        else if (!parse_span(j, bytes(&f), process))
            return false;
    }
    return true;
}

static bool parse_request(struct decoding *j, struct slice body)
{
    struct fields f = fields_of(body);

    while (next_field(&f)) {
        struct slice m;

        if (f.tag != TAG(1, RW_BYTES)) {
            other(&j->d, &f, N(1), "PostSpansRequest: a field with the wire type of another");
            continue;
        }
        m = bytes(&f);
        if (f.p && !parse_batch(j, m))
            return false;
    }
    return end_of(&j->d, &f, "PostSpansRequest: malformed");
}

struct err *jaeger_proto_decode(struct trace_builder *b, struct slice body)
{
    struct decoding j = {.d = {.a = b->arena,
                               .max_bytes = arena_used(b->arena) + JAEGER_PROTO_FACTOR * body.len +
                                            JAEGER_PROTO_BASE_BYTES}};
    bool is_good;

    jaeger_spans_init(&j.spans, b);
    is_good = parse_request(&j, body);
    jaeger_spans_done(&j.spans);
    return is_good ? NULL : wire_decoder_err(&j.d, body.len, JAEGER_PROTO_FACTOR);
}
