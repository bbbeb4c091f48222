#include "ingester/door/zipkin_proto.h"
#include "tests/unit/ingester/door/rw_build.h"
#include "tests/unit/ingester/door/trace_text.h"

#define T0_US 1458702548786000ull

static void tag(struct buf *b, const char *key, const char *value)
{
    struct buf m = {0};

    rw_build_text(&m, 1, key);
    rw_build_text(&m, 2, value);
    rw_build_field(b, 11, &m);
}

static void client_span(struct buf *list)
{
    struct buf s = {0}, local = {0}, remote = {0}, annotation = {0};

    rw_build_id(&s, 1, 0xaa, 16);
    rw_build_id(&s, 2, 0x10, 8);
    rw_build_id(&s, 3, 0x11, 8);
    rw_build_varint(&s, 4, 1);
    rw_build_text(&s, 5, "get /cart");
    rw_build_fixed64(&s, 6, T0_US);
    rw_build_varint(&s, 7, 13000);
    rw_build_text(&local, 1, "front");
    rw_build_slice(&local, 2, slice_of("\xac\x11\x00\x0d", 4));
    rw_build_varint(&local, 4, 9000);
    rw_build_field(&s, 8, &local);
    rw_build_text(&remote, 1, "shop");
    rw_build_slice(&remote, 3, slice_of("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16));
    rw_build_field(&s, 9, &remote);
    rw_build_fixed64(&annotation, 1, T0_US + 1);
    rw_build_text(&annotation, 2, "foo");
    rw_build_field(&s, 10, &annotation);
    tag(&s, "http.path", "/cart");
    tag(&s, "error", "timed out");
    tag(&s, "otel.library.name", "lib");
    tag(&s, "w3c.tracestate", "a=b");
    rw_build_varint(&s, 12, 1);
    rw_build_varint(&s, 99, 1); /* what is not known yet */
    rw_build_field(list, 1, &s);
}

/* The server's half, with a trace id of 8 bytes. */
static void server_span(struct buf *list)
{
    struct buf s = {0}, local = {0};

    rw_build_id(&s, 1, 0xaa, 8);
    rw_build_id(&s, 3, 0x11, 8);
    rw_build_varint(&s, 4, 2);
    rw_build_text(&local, 1, "shop");
    rw_build_field(&s, 8, &local);
    tag(&s, "otel.status_code", "OK");
    rw_build_varint(&s, 13, 1);
    rw_build_field(list, 1, &s);
}

TEST(zipkin_protobuf_is_what_its_json_is)
{
    struct buf list = {0};

    client_span(&list);
    server_span(&list);
    CHECK_STR(trace_text_of(zipkin_proto_decode, buf_slice(&list)),
              "000000000000000000000000000000aa 11<10 'get /cart' 1458702548786000000+13000000 "
              "kind=3 status=2'timed out' state=a=b scope=lib/ of{service.name=s:front "
              "net.host.ip=s:172.17.0.13 net.host.port=i:9000} with{http.path=s:/cart "
              "peer.service=s:shop net.peer.ip=s:::1} at 1458702548786001000 'foo'\n"
              "000000000000000000000000000000aa 11<0 '' 0+0 kind=2 status=1'' "
              "of{service.name=s:shop}\n");
    trace_text_prefixes(zipkin_proto_decode, buf_slice(&list));
    buf_done(&list);
}

static void refused(struct buf *span, const char *why)
{
    struct buf list = {0};

    rw_build_field(&list, 1, span);
    CHECK_STR(trace_text_of(zipkin_proto_decode, buf_slice(&list)), why);
    buf_done(&list);
}

TEST(zipkin_protobuf_that_cannot_be_read)
{
    struct buf s = {0}, m = {0};

    CHECK_STR(trace_text_of(zipkin_proto_decode, SLICE("\x0a\x05x")),
              "error: proto: ListOfSpans: malformed");
    rw_build_varint(&s, 1, 7);
    refused(&s, "error: proto: Span: a field with the wire type of another");
    rw_build_slice(&m, 2, SLICE("abc"));
    rw_build_field(&s, 8, &m);
    refused(&s, "error: proto: Endpoint: an address of a wrong length");
    rw_build_id(&s, 1, 1, 15);
    rw_build_id(&s, 3, 1, 8);
    refused(&s, "1 invalid_trace_id\n");
    rw_build_id(&s, 1, 0, 16);
    rw_build_id(&s, 3, 1, 8);
    refused(&s, "1 invalid_trace_id\n");
    rw_build_id(&s, 1, 1, 16);
    rw_build_id(&s, 3, 0, 8);
    refused(&s, "1 invalid_span_id\n");
    rw_build_id(&s, 1, 1, 16);
    rw_build_id(&s, 3, 1, 8);
    rw_build_id(&s, 2, 1, 7);
    refused(&s, "1 invalid_parent_span_id\n");
    CHECK_STR(trace_text_of(zipkin_proto_decode, SLICE("")), "");
}
