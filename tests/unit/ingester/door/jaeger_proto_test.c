#include <stdlib.h>

#include "ingester/door/jaeger_proto.h"
#include "tests/unit/ingester/door/rw_build.h"
#include "tests/unit/ingester/door/trace_text.h"

enum { TEXT, BOOL, INT64, FLOAT64, BINARY };

static void at(struct buf *b, unsigned number, uint64_t s, uint64_t ns)
{
    struct buf m = {0};

    rw_build_varint(&m, 1, s);
    rw_build_varint(&m, 2, ns);
    rw_build_field(b, number, &m);
}

/* value: its text, or the number. */
static void tag(struct buf *b, unsigned number, const char *key, unsigned type, const char *value)
{
    struct buf m = {0};

    rw_build_text(&m, 1, key);
    if (type)
        rw_build_varint(&m, 2, type);
    if (type == TEXT)
        rw_build_text(&m, 3, value);
    else if (type == BOOL || type == INT64)
        rw_build_varint(&m, type + 3, (uint64_t)atoll(value));
    else if (type == FLOAT64)
        rw_build_double(&m, 6, atof(value));
    else
        rw_build_text(&m, 7, value);
    rw_build_field(b, number, &m);
}

static void ref(struct buf *b, uint8_t trace, uint8_t span, unsigned type)
{
    struct buf m = {0};

    rw_build_id(&m, 1, trace, 16);
    rw_build_id(&m, 2, span, 8);
    rw_build_varint(&m, 3, type);
    rw_build_field(b, 4, &m);
}

static void process(struct buf *b, unsigned number, const char *service)
{
    struct buf m = {0};

    rw_build_text(&m, 1, service);
    tag(&m, 2, "hostname", TEXT, "h1");
    tag(&m, 2, "jaeger.version", TEXT, "Go-2.30");
    rw_build_field(b, number, &m);
}

/* Takes span: as a request of one batch, with the process behind it. */
static const char *posted(struct buf *span)
{
    static struct buf request;
    struct buf batch = {0};

    buf_reset(&request);
    rw_build_field(&batch, 1, span);
    process(&batch, 2, "front");
    rw_build_field(&request, 1, &batch);
    return trace_text_of(jaeger_proto_decode, buf_slice(&request));
}

static struct buf span_with_ids(void)
{
    struct buf s = {0};

    rw_build_id(&s, 1, 0xaa, 16);
    rw_build_id(&s, 2, 0x11, 8);
    rw_build_text(&s, 3, "op");
    return s;
}
#define FRONT " of{service.name=s:front host.name=s:h1 opencensus.exporterversion=s:Jaeger-Go-2.30}"
#define HEAD "000000000000000000000000000000aa 11<0 'op' 0+0"

TEST(jaeger_protobuf_as_the_collector_translates_it)
{
    struct buf s = span_with_ids(), log = {0};

    ref(&s, 0xbb, 0x20, 0);
    ref(&s, 0xaa, 0x10, 1);
    ref(&s, 0xaa, 0x12, 0);
    ref(&s, 0xbb, 0, 1);
    rw_build_varint(&s, 5, 1);
    at(&s, 6, 1767225600, 5);
    at(&s, 7, 1, 500);
    tag(&s, 8, "span.kind", TEXT, "client");
    tag(&s, 8, "error", BOOL, "1");
    tag(&s, 8, "http.status_code", INT64, "500");
    tag(&s, 8, "ratio", FLOAT64, "0.5");
    tag(&s, 8, "raw", BINARY, "\x01\xff");
    tag(&s, 8, "hot", BOOL, "1");
    tag(&s, 8, "otel.status_description", TEXT, "boom");
    tag(&s, 8, "otel.status_code", TEXT, "OK");
    tag(&s, 8, "w3c.tracestate", TEXT, "a=b");
    tag(&s, 8, "otel.scope.name", TEXT, "lib");
    tag(&s, 8, "otel.scope.version", TEXT, "1.2");
    at(&log, 1, 1767225601, 0);
    tag(&log, 2, "event", TEXT, "retry");
    tag(&log, 2, "attempt", INT64, "2");
    rw_build_field(&s, 9, &log);
    rw_build_text(&s, 11, "p1");
    rw_build_text(&s, 12, "clock skew");
    CHECK_STR(posted(&s),
              "000000000000000000000000000000aa 11<12 'op' 1767225600000000005+1000000500 kind=3 "
              "status=2'boom' state=a=b scope=lib/1.2" FRONT
              " with{http.status_code=i:500 ratio=d:0.5 raw=x:Af8= hot=b:true "
              "@jaeger@warnings=l:[\"clock skew\"]} at 1767225601000000000 'retry' {attempt=i:2} "
              "to 00…bb/20 {opentracing.ref_type=s:child_of} "
              "to 00…aa/10 {opentracing.ref_type=s:follows_from} dropped-links=1\n");
}

TEST(jaeger_status_by_the_strongest_that_says_something)
{
    struct buf s = span_with_ids();

    tag(&s, 8, "error", BOOL, "0");
    CHECK_STR(posted(&s), HEAD FRONT " with{error=b:false}\n");
    s = span_with_ids();
    tag(&s, 8, "error", TEXT, "true");
    tag(&s, 8, "http.status_message", TEXT, "Bad");
    CHECK_STR(posted(&s), HEAD " status=2'Bad'" FRONT " with{http.status_message=s:Bad}\n");
    s = span_with_ids();
    tag(&s, 8, "otel.status_code", TEXT, "Ok");
    tag(&s, 8, "otel.status_description", TEXT, "fine");
    tag(&s, 8, "http.status_code", INT64, "503");
    CHECK_STR(posted(&s), HEAD " status=1'fine'" FRONT " with{http.status_code=i:503}\n");
    s = span_with_ids();
    tag(&s, 8, "otel.status_description", TEXT, "of nothing");
    CHECK_STR(posted(&s), HEAD FRONT " with{otel.status_description=s:of nothing}\n");
    s = span_with_ids();
    tag(&s, 8, "http.status_code", TEXT, "404");
    CHECK_STR(posted(&s), HEAD " status=2''" FRONT " with{http.status_code=s:404}\n");
    s = span_with_ids();
    tag(&s, 8, "http.status_code", INT64, "404");
    tag(&s, 8, "span.kind", TEXT, "server");
    CHECK_STR(posted(&s), HEAD " kind=2" FRONT " with{http.status_code=i:404}\n");
}

TEST(jaeger_spans_with_a_process_of_their_own_and_a_parent_they_follow)
{
    struct buf s = span_with_ids(), m = {0};

    ref(&s, 0xaa, 0x10, 1);
    rw_build_text(&m, 1, "OTLPResourceNoServiceName");
    tag(&m, 2, "k", TEXT, "v");
    rw_build_field(&s, 10, &m);
    CHECK_STR(posted(&s), "000000000000000000000000000000aa 11<10 'op' 0+0 of{k=s:v} to 00…aa/10 "
                          "{opentracing.ref_type=s:follows_from}\n");
}

TEST(jaeger_protobuf_that_cannot_be_read)
{
    struct buf s = span_with_ids(), m = {0};
    struct buf whole = {0}, batch = {0};

    rw_build_varint(&s, 8, 1);
    CHECK_STR(posted(&s), "error: proto: Span: a field with the wire type of another");
    s = span_with_ids();
    rw_build_varint(&m, 2, 9);
    rw_build_field(&s, 8, &m);
    CHECK_STR(posted(&s), "error: proto: KeyValue: no such type");
    rw_build_id(&s, 1, 1, 16);
    CHECK_STR(posted(&s), "1 invalid_span_id\n");
    rw_build_id(&s, 2, 1, 8);
    CHECK_STR(posted(&s), "1 invalid_trace_id\n");
    CHECK_STR(trace_text_of(jaeger_proto_decode, SLICE("\x0a\x03\x0a\x05x")),
              "error: proto: Batch: malformed");
    s = span_with_ids();
    ref(&s, 0xaa, 0x10, 0);
    at(&s, 6, 1, 2);
    tag(&s, 8, "k", FLOAT64, "1");
    rw_build_field(&batch, 1, &s);
    process(&batch, 2, "x");
    rw_build_field(&whole, 1, &batch);
    trace_text_prefixes(jaeger_proto_decode, buf_slice(&whole));
    buf_done(&whole);
}

/* Two bytes each, and a reference and a link in memory. */
TEST(jaeger_references_are_within_the_bound)
{
    struct buf s = span_with_ids();

    for (size_t i = 0; i < 1000000; i++)
        buf_slice_append(&s, SLICE("\x22\0"));
    CHECK(strstr(posted(&s), "that take more than 32 times their room"));
}
