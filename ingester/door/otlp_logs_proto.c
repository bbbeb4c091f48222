#include "ingester/door/otlp_logs.h"
#include "ingester/door/otlp_logs_internal.h"

/* False when it was told why; malformed bytes of the field itself are left to end_of(). */
static bool member(struct wire_decoder *d, struct fields *f, struct otlp_members *to)
{
    struct slice m = bytes(f);

    return !f->p || otlp_proto_member(d, m, &to->ptr[to->n++]);
}

static bool parse_record(struct wire_decoder *d, struct slice m, struct otlp_record *ret)
{
    struct fields f = fields_of(m);
    bool has_body = false;

    ret->severity_text = ret->trace_id = ret->span_id = SLICE_EMPTY;
    if (!otlp_proto_members_room(d, m, TAG(6, RW_BYTES), &ret->attrs.ptr))
        return false;
    while (next_field(&f)) {
        struct slice s;

        switch (f.tag) {
        case TAG(1, RW_FIXED64):
            ret->time_ns = fixed64(&f);
            break;
        case TAG(2, RW_VARINT):
            ret->severity = (int32_t)varint(&f);
            break;
        case TAG(3, RW_BYTES):
            ret->severity_text = bytes(&f);
            break;
        case TAG(5, RW_BYTES):
            s = bytes(&f);
            if (has_body)
                return bad(d, "LogRecord: its body comes twice") != NULL;
            has_body = true;
            if (f.p && !otlp_proto_value(d, s, &ret->body))
                return false;
            break;
        case TAG(6, RW_BYTES):
            if (!member(d, &f, &ret->attrs))
                return false;
            break;
        case TAG(7, RW_VARINT):
            ret->dropped = (uint32_t)varint(&f);
            break;
        case TAG(8, RW_FIXED32):
            ret->flags = fixed32(&f);
            break;
        case TAG(9, RW_BYTES):
            ret->trace_id = bytes(&f);
            break;
        case TAG(10, RW_BYTES):
            ret->span_id = bytes(&f);
            break;
        case TAG(11, RW_FIXED64):
            ret->observed_ns = fixed64(&f);
            break;
        case TAG(12, RW_BYTES):
            ret->event_name = bytes(&f);
            break;
        default:
            other(d, &f, 0x1fee, "LogRecord: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "LogRecord: malformed");
}

static bool parse_scope_logs(struct wire_decoder *d, struct slice m, struct otlp_log_scope *ret)
{
    size_t n = count(m, TAG(2, RW_BYTES));
    struct fields f = fields_of(m);
    bool has_scope = false;

    ret->header = otlp_header_empty();
    if (!(ret->records = array(d, n, sizeof(*ret->records))))
        return false;
    while (next_field(&f)) {
        struct slice s;

        if (f.tag == TAG(1, RW_BYTES)) {
            s = bytes(&f);
            if (has_scope)
                return bad(d, "ScopeLogs: its scope comes twice") != NULL;
            has_scope = true;
            if (f.p && !otlp_header_proto_scope(d, s, &ret->header))
                return false;
        } else if (f.tag == TAG(2, RW_BYTES)) {
            s = bytes(&f);
            if (f.p && !parse_record(d, s, &ret->records[ret->n_records++]))
                return false;
        } else {
            other(d, &f, N(1) | N(2), "ScopeLogs: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "ScopeLogs: malformed");
}

static bool parse_resource_logs(struct wire_decoder *d, struct slice m,
                                struct otlp_log_resource *ret)
{
    size_t n = count(m, TAG(2, RW_BYTES));
    struct fields f = fields_of(m);
    bool has_resource = false;

    if (!(ret->scopes = array(d, n, sizeof(*ret->scopes))))
        return false;
    while (next_field(&f)) {
        struct slice s;

        if (f.tag == TAG(1, RW_BYTES)) {
            s = bytes(&f);
            if (has_resource)
                return bad(d, "ResourceLogs: its resource comes twice") != NULL;
            has_resource = true;
            if (f.p && !otlp_header_proto_resource(d, s, &ret->header))
                return false;
        } else if (f.tag == TAG(2, RW_BYTES)) {
            s = bytes(&f);
            if (f.p && !parse_scope_logs(d, s, &ret->scopes[ret->n_scopes++]))
                return false;
        } else {
            other(d, &f, N(1) | N(2), "ResourceLogs: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "ResourceLogs: malformed");
}

static bool parse_request(struct wire_decoder *d, struct slice body, struct otlp_logs *ret)
{
    size_t n = count(body, TAG(1, RW_BYTES));
    struct fields f = fields_of(body);

    if (!(ret->resources = array(d, n, sizeof(*ret->resources))))
        return false;
    while (next_field(&f)) {
        struct slice s;

        if (f.tag != TAG(1, RW_BYTES)) {
            other(d, &f, N(1), "Request: a field with the wire type of another");
            continue;
        }
        s = bytes(&f);
        if (f.p && !parse_resource_logs(d, s, &ret->resources[ret->n_resources++]))
            return false;
    }
    return end_of(d, &f, "Request: malformed");
}

struct err *otlp_logs_decode_proto(struct log_builder *b, struct slice body)
{
    struct arena *a = log_builder_arena(b);
    struct wire_decoder d = {
        .a = a, .max_bytes = arena_used(a) + OTLP_LOGS_FACTOR * body.len + OTLP_LOGS_BASE_BYTES};
    struct otlp_logs logs = {0};

    if (parse_request(&d, body, &logs))
        return otlp_logs_translate(b, &logs);
    return wire_decoder_err(&d, body.len, OTLP_LOGS_FACTOR);
}
