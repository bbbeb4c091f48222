#include "ingester/door/otlp_traces.h"
#include "tests/unit/ingester/door/rw_build.h"
#include "tests/unit/test.h"

#define T0 1767225600000000000ull

struct decoded {
    struct err *e;
    struct trace_batch *batch;
    struct trace_builder b;
    struct arena *a;
};

static struct decoded decode_with(struct slice body, bool is_json,
                                  const struct tenant_limits *limits)
{
    struct decoded d = {.a = arena_new(0), .batch = trace_batch_new(SLICE("t"), limits)};
    struct jsonval_doc *doc = NULL;

    trace_builder_init(&d.b, d.batch, d.a);
    d.e =
        is_json ? otlp_traces_decode_json(&d.b, body, &doc) : otlp_traces_decode_proto(&d.b, body);
    if (!d.e)
        d.e = trace_builder_end(&d.b);
    jsonval_free(doc);
    return d;
}

static struct decoded decode(struct slice body, bool is_json)
{
    return decode_with(body, is_json, &(struct tenant_limits){0});
}

static void decoded_done(struct decoded *d)
{
    trace_builder_done(&d->b);
    trace_batch_free(d->batch);
    arena_free(d->a);
    err_free(d->e);
}

static void refused(struct slice body, bool is_json, enum err_code code, const char *text)
{
    struct decoded d = decode(body, is_json);

    CHECK_ERR(d.e, code, text);
    d.e = NULL;
    decoded_done(&d);
}

static void piece_of(struct decoded *d, uint32_t trace, struct tracepiece *ret)
{
    const struct trace_batch_trace *t = &d->batch->traces.ptr[trace];

    CHECK_OK(tracepiece_decode(d->a, slice_of(d->batch->pieces.ptr + t->at, t->len), ret));
}

/* ---- the same request twice ---- */

static void fixed32(struct buf *b, unsigned number, uint32_t v)
{
    buf_uvarint(b, number << 3 | 5);
    buf_u32le(b, v);
}

static void attr_value(struct buf *b, unsigned number, const char *key, struct buf *value)
{
    struct buf kv = {0};

    rw_build_text(&kv, 1, key);
    rw_build_field(&kv, 2, value);
    rw_build_field(b, number, &kv);
}

static void attr(struct buf *b, unsigned number, const char *key, const char *value)
{
    struct buf v = {0};

    rw_build_text(&v, 1, value);
    attr_value(b, number, key, &v);
}

static void id(struct buf *b, unsigned number, uint8_t first, size_t n)
{
    uint8_t bytes[16] = {first};

    bytes[n - 1] = 7;
    rw_build_slice(b, number, slice_of(bytes, n));
}

static struct buf proto_span(void)
{
    struct buf span = {0}, event = {0}, link = {0}, status = {0}, v = {0}, list = {0};

    id(&span, 1, 0xab, 16);
    id(&span, 2, 0x11, 8);
    rw_build_text(&span, 3, "a=b");
    id(&span, 4, 0x10, 8);
    rw_build_text(&span, 5, "GET /cart");
    rw_build_varint(&span, 6, 2);
    rw_build_fixed64(&span, 7, T0);
    rw_build_fixed64(&span, 8, T0 + 1500000);
    attr(&span, 9, "http.method", "GET");
    rw_build_varint(&v, 3, 200);
    attr_value(&span, 9, "http.status_code", &v);
    rw_build_double(&v, 4, 0.5);
    attr_value(&span, 9, "ratio", &v);
    rw_build_varint(&v, 2, 1);
    attr_value(&span, 9, "cached", &v);
    rw_build_text(&v, 1, "x");
    rw_build_field(&list, 1, &v);
    rw_build_varint(&v, 3, 9);
    rw_build_field(&list, 1, &v);
    rw_build_field(&v, 5, &list);
    attr_value(&span, 9, "list", &v);
    rw_build_slice(&v, 7, SLICE("\0\xff"));
    attr_value(&span, 9, "raw", &v);
    rw_build_varint(&span, 10, 3);
    rw_build_fixed64(&event, 1, T0 + 5);
    rw_build_text(&event, 2, "exception");
    attr(&event, 3, "exception.message", "no such cart");
    rw_build_varint(&event, 4, 1);
    rw_build_field(&span, 11, &event);
    rw_build_varint(&span, 12, 4);
    id(&link, 1, 0xcd, 16);
    id(&link, 2, 0x22, 8);
    rw_build_text(&link, 3, "l=m");
    attr(&link, 4, "why", "retry");
    rw_build_varint(&link, 5, 2);
    fixed32(&link, 6, 1);
    rw_build_field(&span, 13, &link);
    rw_build_varint(&span, 14, 5);
    rw_build_text(&status, 2, "boom");
    rw_build_varint(&status, 3, 2);
    rw_build_field(&span, 15, &status);
    fixed32(&span, 16, 0x101);
    return span;
}

static struct buf proto(void)
{
    struct buf req = {0}, rs = {0}, ss = {0}, res = {0}, scope = {0}, span = proto_span();

    rw_build_field(&ss, 2, &span); /* before what describes it */
    id(&span, 1, 0xee, 16);
    id(&span, 2, 0x33, 8);
    rw_build_field(&ss, 2, &span);
    rw_build_text(&scope, 1, "lib");
    rw_build_text(&scope, 2, "v1");
    attr(&scope, 3, "s", "sv");
    rw_build_varint(&scope, 4, 6);
    rw_build_field(&ss, 1, &scope);
    rw_build_text(&ss, 3, "https://scope");
    attr(&res, 1, "service.name", "shop");
    rw_build_varint(&res, 2, 7);
    rw_build_field(&rs, 1, &res);
    rw_build_field(&rs, 2, &ss);
    rw_build_text(&rs, 3, "https://resource");
    rw_build_field(&req, 1, &rs);
    return req;
}

static const char json[] =
    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
    "\"stringValue\":\"shop\"}}],\"droppedAttributesCount\":7},\"scopeSpans\":[{\"scope\":{"
    "\"name\":"
    "\"lib\",\"version\":\"v1\",\"attributes\":[{\"key\":\"s\",\"value\":{\"stringValue\":\"sv\"}}]"
    ","
    "\"droppedAttributesCount\":6},\"spans\":[{\"traceId\":\"ab000000000000000000000000000007\","
    "\"spanId\":\"1100000000000007\",\"traceState\":\"a=b\",\"parentSpanId\":\"1000000000000007\","
    "\"name\":\"GET /cart\",\"kind\":\"SPAN_KIND_SERVER\",\"startTimeUnixNano\":"
    "\"1767225600000000000\",\"endTimeUnixNano\":\"1767225600001500000\",\"attributes\":[{\"key\":"
    "\"http.method\",\"value\":{\"stringValue\":\"GET\"}},{\"key\":\"http.status_code\",\"value\":{"
    "\"intValue\":\"200\"}},{\"key\":\"ratio\",\"value\":{\"doubleValue\":0.5}},{\"key\":"
    "\"cached\","
    "\"value\":{\"boolValue\":true}},{\"key\":\"list\",\"value\":{\"arrayValue\":{\"values\":[{"
    "\"stringValue\":\"x\"},{\"intValue\":9}]}}},{\"key\":\"raw\",\"value\":{\"bytesValue\":\"AP8="
    "\"}"
    "}],\"droppedAttributesCount\":3,\"events\":[{\"timeUnixNano\":\"1767225600000000005\","
    "\"name\":"
    "\"exception\",\"attributes\":[{\"key\":\"exception.message\",\"value\":{\"stringValue\":"
    "\"no such cart\"}}],\"droppedAttributesCount\":1}],\"droppedEventsCount\":4,\"links\":[{"
    "\"traceId\":\"cd000000000000000000000000000007\",\"spanId\":\"2200000000000007\","
    "\"traceState\":\"l=m\",\"attributes\":[{\"key\":\"why\",\"value\":{\"stringValue\":\"retry\"}}"
    "],"
    "\"droppedAttributesCount\":2,\"flags\":1}],\"droppedLinksCount\":5,\"status\":{\"message\":"
    "\"boom\",\"code\":2},\"flags\":257},{\"traceId\":\"ee000000000000000000000000000007\","
    "\"spanId\":"
    "\"3300000000000007\"}],\"schemaUrl\":\"https://scope\"}],\"schemaUrl\":\"https://"
    "resource\"}]}";

TEST(otlp_traces_are_the_same_in_both_encodings)
{
    struct buf body = proto();
    struct decoded p = decode(buf_slice(&body), false), j = decode(slice_cstr(json), true);
    struct tracepiece piece;
    const struct tracepiece_span *s = NULL;

    CHECK_OK(p.e);
    CHECK_OK(j.e);
    CHECK(p.batch->traces.len == 2 && p.batch->spans == 2);
    CHECK(slice_eq(buf_slice(&p.batch->pieces), buf_slice(&j.batch->pieces)));
    piece_of(&p, 0, &piece);
    s = piece.spans;
    CHECK(piece.trace_id[0] == 0xab && piece.n_spans == 1);
    CHECK(s->span_id == 0x1100000000000007 && s->parent_id == 0x1000000000000007);
    CHECK(s->kind == 2 && s->status == 2 && s->flags == 0x101 &&
          s->end_ns - s->start_ns == 1500000);
    CHECK_SLICE(s->message, "boom");
    CHECK(s->attributes.n == 6 && s->attributes.dropped == 3);
    CHECK(s->n_events == 1 && s->dropped_events == 4 && s->n_links == 1 && s->dropped_links == 5);
    CHECK(s->links->flags == 1 && s->links->trace_id[0] == 0xcd);
    CHECK_SLICE(piece.resources[s->resource].schema_url, "https://resource");
    CHECK(piece.resources[s->resource].attributes.dropped == 7);
    CHECK_SLICE(piece.scopes[s->scope].name, "lib");
    CHECK_SLICE(piece.scopes[s->scope].schema_url, "https://scope");
    decoded_done(&p);
    decoded_done(&j);
    buf_done(&body);
}

/* As replicas read it; cut anywhere it is no batch, or has whole traces only. */
TEST(trace_batch_is_read_as_it_was_sent)
{
    struct decoded d = decode(slice_cstr(json), true);
    struct trace_batch_reader r;
    struct trace_batch_item item;
    struct buf out = {0};
    size_t n = 0;

    trace_batch_encode(d.batch, NULL, d.batch->traces.len, &out);
    trace_batch_reader_init(&r, buf_slice(&out));
    for (; trace_batch_next(&r, &item); n++)
        CHECK(!memcmp(item.id, d.batch->traces.ptr[n].id, 16) &&
              item.piece.len == d.batch->traces.ptr[n].len);
    CHECK_OK(trace_batch_reader_end(&r));
    CHECK_INT(n, 2);
    for (size_t len = 0; len < out.len; len++) {
        size_t m = 0;

        trace_batch_reader_init(&r, slice_of(out.ptr, len));
        while (trace_batch_next(&r, &item))
            m++;
        CHECK(m < n);
        err_free(trace_batch_reader_end(&r));
    }
    buf_done(&out);
    decoded_done(&d);
}

static void bad_span(struct buf *req, size_t trace_len, size_t span_len, size_t parent_len,
                     uint8_t fill)
{
    struct buf rs = {0}, ss = {0}, span = {0};
    uint8_t bytes[20];

    memset(bytes, fill, sizeof(bytes));
    rw_build_slice(&span, 1, slice_of(bytes, trace_len));
    rw_build_slice(&span, 2, slice_of(bytes, span_len));
    rw_build_slice(&span, 4, slice_of(bytes, parent_len));
    rw_build_field(&ss, 2, &span);
    rw_build_field(&rs, 2, &ss);
    rw_build_field(req, 1, &rs);
}

TEST(spans_with_ids_that_are_none_are_refused_and_others_are_not)
{
    struct buf req = {0};
    struct decoded d;
    struct err *e;

    bad_span(&req, 16, 8, 8, 1);
    bad_span(&req, 16, 8, 0, 1);
    bad_span(&req, 16, 8, 0, 0);
    bad_span(&req, 8, 8, 0, 1);
    bad_span(&req, 0, 8, 0, 1);
    bad_span(&req, 17, 8, 0, 1);
    bad_span(&req, 16, 0, 0, 1);
    bad_span(&req, 16, 16, 0, 1);
    bad_span(&req, 16, 8, 7, 1);
    d = decode(buf_slice(&req), false);
    CHECK_OK(d.e);
    CHECK(d.b.refused[TRACE_BAD_TRACE_ID] == 4 && d.b.refused[TRACE_BAD_SPAN_ID] == 2 &&
          d.b.refused[TRACE_BAD_PARENT_ID] == 1);
    CHECK(d.batch->spans == 2 && d.batch->traces.len == 1);
    e = trace_builder_answer(&d.b);
    CHECK_ERR(e, ERR_INVALID, "7 of 9 spans refused, the others are stored; trace id is not 16");
    decoded_done(&d);
    buf_done(&req);
}

TEST(what_is_over_a_limit_is_cut_and_counted)
{
    struct tenant_limits limits = {.max_attribute_bytes = 3, .max_attributes_per_span = 2};
    struct decoded d = decode_with(slice_cstr(json), true, &limits);
    struct tracepiece piece;

    CHECK_OK(d.e);
    piece_of(&d, 0, &piece);
    CHECK(piece.spans->attributes.n == 2 && piece.spans->attributes.dropped == 7);
    CHECK_SLICE(piece.spans->attributes.ptr[0].key, "htt");
    CHECK_SLICE(piece.spans->name, "GET");
    CHECK(d.b.cut_attributes == 4 && d.b.cut_values > 5);
    decoded_done(&d);
    limits = (struct tenant_limits){.max_span_bytes = 200};
    d = decode_with(slice_cstr(json), true, &limits);
    CHECK(d.batch->spans == 1 && d.b.refused[TRACE_SPAN_TOO_LARGE] == 1);
    CHECK(d.batch->traces.len == 1 && d.batch->traces.ptr[0].id[0] == 0xee);
    decoded_done(&d);
}

/* Each trace's piece has the resource: a request of a few MiB would take hundreds of GiB. */
TEST(traces_that_share_a_large_resource_take_no_more_than_a_write_may)
{
    struct buf req = {0}, rs = {0}, ss = {0}, res = {0}, attr = {0}, value = {0}, text = {0};
    struct decoded d;

    buf_fill(&text, 'x', 1u << 20);
    rw_build_slice(&value, 1, buf_slice(&text));
    rw_build_slice(&attr, 1, SLICE("k"));
    rw_build_field(&attr, 2, &value);
    rw_build_field(&res, 1, &attr);
    rw_build_field(&rs, 1, &res);
    for (unsigned i = 1; i <= TRACE_BUILDER_MAX_BYTES >> 20; i++) {
        uint8_t id[16] = {(uint8_t)(i >> 8), (uint8_t)i};
        struct buf span = {0};

        rw_build_slice(&span, 1, slice_of(id, 16));
        rw_build_slice(&span, 2, SLICE("12345678"));
        rw_build_field(&ss, 2, &span);
    }
    rw_build_field(&rs, 2, &ss);
    rw_build_field(&req, 1, &rs);
    d = decode(buf_slice(&req), false);
    CHECK_ERR(d.e, ERR_LIMIT, "the traces of one write take more than 268435456 bytes");
    d.e = NULL;
    decoded_done(&d);
    buf_done(&text);
    buf_done(&req);
}

/* Two bytes each. */
TEST(resources_without_spans_are_counted_as_well)
{
    struct buf req = {0};

    for (size_t i = 0; i <= TRACE_BUILDER_MAX_SPANS; i++)
        buf_slice_append(&req, SLICE("\x0a\0"));
    refused(buf_slice(&req), false, ERR_LIMIT, "more than 4194304 spans, resources or scopes");
    buf_done(&req);
}

TEST(otlp_traces_refuse_what_cannot_be_read)
{
    struct buf body = proto(), deep = {0};

    for (size_t n = 1; n < body.len; n++) {
        struct decoded d = decode(slice_of(body.ptr, n), false);

        CHECK(d.e && err_is(d.e, ERR_INVALID));
        decoded_done(&d);
    }
    refused(SLICE("\x0a\x03\x12\x01\x01"), false, ERR_INVALID, "proto: ");
    refused(SLICE("[]"), true, ERR_INVALID, "request: not an object");
    refused(SLICE("{\"resourceSpans\":{}}"), true, ERR_INVALID, "not a list");
    refused(SLICE("{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"xy\"}]}]}]}"),
            true, ERR_INVALID, "not hexadecimal");
    refused(
        SLICE("{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"kind\":\"SPAN_KIND_X\"}]}]}]}"),
        true, ERR_INVALID, "no such name");
    buf_str(&deep, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"a\",\"value\":");
    for (size_t i = 0; i < 40; i++)
        buf_str(&deep, "{\"arrayValue\":{\"values\":[");
    for (size_t i = 0; i < 40; i++)
        buf_str(&deep, "]}}");
    buf_str(&deep, "}]}}]}");
    refused(buf_slice(&deep), true, ERR_INVALID, "too deep");
    buf_done(&body);
    buf_done(&deep);
}

/* What a link that is none has said is not the next one's. */
TEST(otlp_links_without_ids_are_dropped_alone)
{
    struct buf req = {0}, rs = {0}, ss = {0}, span = {0}, link = {0};
    struct tracepiece piece;
    struct decoded d;

    id(&span, 1, 0xab, 16);
    id(&span, 2, 0x11, 8);
    id(&link, 1, 0xcd, 5);
    rw_build_text(&link, 3, "state");
    for (unsigned i = 0; i < 50; i++)
        attr(&link, 4, "key", "value");
    rw_build_varint(&link, 5, 9);
    rw_build_field(&span, 13, &link);
    id(&link, 1, 0xcd, 16);
    id(&link, 2, 0x22, 8);
    attr(&link, 4, "only", "one");
    rw_build_field(&span, 13, &link);
    rw_build_field(&ss, 2, &span);
    rw_build_field(&rs, 2, &ss);
    rw_build_field(&req, 1, &rs);
    d = decode(buf_slice(&req), false);
    CHECK_OK(d.e);
    piece_of(&d, 0, &piece);
    CHECK(piece.spans->n_links == 1 && piece.spans->dropped_links == 1);
    CHECK(piece.spans->links->attributes.n == 1 && piece.spans->links->attributes.dropped == 0);
    CHECK(!piece.spans->links->state.len);
    CHECK_SLICE(piece.spans->links->attributes.ptr[0].key, "only");
    decoded_done(&d);
    buf_done(&req);
}
