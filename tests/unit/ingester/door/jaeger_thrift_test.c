#include <stdlib.h>

#include "ingester/door/jaeger_thrift.h"
#include "tests/unit/ingester/door/trace_text.h"

#define T0_US 1767225600000000ull

enum { BOOL = 2, DOUBLE = 4, I32 = 8, I64 = 10, BINARY = 11, STRUCT = 12, MAP = 13, LIST = 15 };

/* ---- the binary protocol by hand ---- */

static void field(struct buf *b, unsigned type, unsigned number)
{
    buf_byte(b, (uint8_t)type);
    buf_byte(b, (uint8_t)(number >> 8));
    buf_byte(b, (uint8_t)number);
}

static void f_i32(struct buf *b, unsigned number, uint32_t v)
{
    field(b, I32, number);
    buf_u32be(b, v);
}

static void f_i64(struct buf *b, unsigned number, uint64_t v)
{
    field(b, I64, number);
    buf_u64be(b, v);
}

static void f_text(struct buf *b, unsigned number, const char *s)
{
    field(b, BINARY, number);
    buf_u32be(b, (uint32_t)strlen(s));
    buf_str(b, s);
}

static void f_list(struct buf *b, unsigned number, uint32_t n)
{
    field(b, LIST, number);
    buf_byte(b, STRUCT);
    buf_u32be(b, n);
}

/* type: of the tag; value: as text. */
static void tag(struct buf *b, const char *key, uint32_t type, const char *value)
{
    double d = atof(value);
    uint64_t bits;

    f_text(b, 1, key);
    f_i32(b, 2, type);
    switch (type) {
    case 0:
        f_text(b, 3, value);
        break;
    case 1:
        memcpy(&bits, &d, 8);
        field(b, DOUBLE, 4);
        buf_u64be(b, bits);
        break;
    case 2:
        field(b, BOOL, 5);
        buf_byte(b, (uint8_t)atoi(value));
        break;
    case 3:
        f_i64(b, 6, (uint64_t)atoll(value));
        break;
    default:
        f_text(b, 7, value);
    }
    buf_byte(b, 0);
}

static void process(struct buf *b)
{
    field(b, STRUCT, 1);
    f_text(b, 1, "front");
    f_list(b, 2, 2);
    tag(b, "hostname", 0, "h1");
    tag(b, "cpus", 3, "8");
    buf_byte(b, 0);
}
#define FRONT " of{service.name=s:front host.name=s:h1 cpus=i:8}"

static void ids(struct buf *b, uint64_t low, uint64_t span, uint64_t parent)
{
    f_i64(b, 1, low);
    f_i64(b, 2, 0x0100000000000000);
    f_i64(b, 3, span);
    f_i64(b, 4, parent);
    f_text(b, 5, "op");
}

static void rest(struct buf *b)
{
    f_i32(b, 7, 1);
    f_i64(b, 8, T0_US);
    f_i64(b, 9, 1500);
}

static void whole_span(struct buf *b)
{
    ids(b, 0xaa, 0x11, 0x10);
    f_list(b, 6, 2);
    f_i32(b, 1, 0); /* the parent itself */
    f_i64(b, 2, 0xaa);
    f_i64(b, 3, 0x0100000000000000);
    f_i64(b, 4, 0x10);
    buf_byte(b, 0);
    f_i32(b, 1, 1);
    f_i64(b, 2, 0xbb);
    f_i64(b, 3, 0);
    f_i64(b, 4, 0x20);
    buf_byte(b, 0);
    rest(b);
    f_list(b, 10, 6);
    tag(b, "span.kind", 0, "server");
    tag(b, "error", 2, "1");
    tag(b, "ratio", 1, "0.5");
    tag(b, "hot", 2, "0");
    tag(b, "rows", 3, "-7");
    tag(b, "raw", 4, "\x01\xff");
    f_list(b, 11, 1);
    f_i64(b, 1, T0_US + 1);
    f_list(b, 2, 2);
    tag(b, "event", 0, "retry");
    tag(b, "why", 0, "late");
    buf_byte(b, 0);
    buf_byte(b, 0);
}

/* A map of everything, a number and a struct that are not ours. */
static void unknown_fields(struct buf *b)
{
    field(b, MAP, 40);
    buf_byte(b, BINARY);
    buf_byte(b, STRUCT);
    buf_u32be(b, 1);
    buf_u32be(b, 1);
    buf_byte(b, 'k');
    f_i64(b, 1, 1);
    f_list(b, 2, 0);
    buf_byte(b, 0);
    f_i64(b, 41, 9);
}

TEST(jaeger_thrift_as_the_collector_translates_it)
{
    struct buf b = {0};

    process(&b);
    f_list(&b, 2, 2);
    whole_span(&b);
    ids(&b, 0xaa, 0x12, 0);
    unknown_fields(&b);
    rest(&b);
    buf_byte(&b, 0);
    f_i64(&b, 3, 17); /* the batch's number */
    unknown_fields(&b);
    buf_byte(&b, 0);
    CHECK_STR(trace_text_of(jaeger_thrift_decode, buf_slice(&b)),
              "010000000000000000000000000000aa 11<10 'op' 1767225600000000000+1500000 kind=2 "
              "status=2''" FRONT " with{ratio=d:0.5 hot=b:false rows=i:-7 raw=x:Af8=} "
              "at 1767225600000001000 'retry' {why=s:late} to 00…bb/20 "
              "{opentracing.ref_type=s:follows_from}\n"
              "010000000000000000000000000000aa 12<0 'op' 1767225600000000000+1500000" FRONT "\n");
    trace_text_prefixes(jaeger_thrift_decode, buf_slice(&b));
    buf_done(&b);
}

/* Takes b. */
static void refused(struct buf *b, const char *why)
{
    CHECK_STR(trace_text_of(jaeger_thrift_decode, buf_slice(b)), why);
    buf_done(b);
}

TEST(jaeger_thrift_that_cannot_be_read)
{
    struct buf b = {0};

    refused(&b, "error: Thrift: malformed");
    buf_byte(&b, 0);
    refused(&b, "");
    buf_slice_append(&b, SLICE("\0x"));
    refused(&b, "error: Thrift: bytes behind the batch");
    f_text(&b, 1, "x");
    refused(&b, "error: Thrift: a field with the type of another");
    f_list(&b, 2, 1);
    refused(&b, "error: Thrift: spans before their process");
    process(&b);
    f_list(&b, 2, 0xffffffff);
    refused(&b, "error: Thrift: a list longer than the body");
    process(&b);
    f_list(&b, 2, 1);
    buf_fill(&b, 9, 100);
    refused(&b, "error: Thrift: no such type");
    field(&b, STRUCT, 1);
    f_list(&b, 2, 1);
    tag(&b, "k", 5, "");
    refused(&b, "error: Thrift: a tag of no known type");
    for (unsigned i = 0; i < 100; i++)
        field(&b, STRUCT, 99);
    refused(&b, "error: Thrift: too deep");
    field(&b, LIST, 99);
    buf_byte(&b, BOOL);
    buf_u32be(&b, 0x80000000);
    refused(&b, "error: Thrift: a list longer than the body");
    field(&b, BINARY, 99);
    buf_u32be(&b, 0xffffffff);
    refused(&b, "error: Thrift: malformed");
}

TEST(jaeger_thrift_spans_without_ids_are_refused_by_themselves)
{
    struct buf b = {0};

    process(&b);
    f_list(&b, 2, 3);
    f_i64(&b, 3, 1); /* no trace id */
    f_text(&b, 5, "a name that makes it as long as a span is");
    rest(&b);
    buf_byte(&b, 0);
    ids(&b, 1, 0, 0);
    rest(&b);
    buf_byte(&b, 0);
    ids(&b, 1, 2, 0);
    rest(&b);
    buf_byte(&b, 0);
    buf_byte(&b, 0);
    refused(&b, "01000000000000000000000000000001 2<0 'op' 1767225600000000000+1500000" FRONT "\n"
                "1 invalid_trace_id\n1 invalid_span_id\n");
}
