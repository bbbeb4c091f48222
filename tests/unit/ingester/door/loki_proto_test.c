#include "ingester/door/loki_proto.h"
#include "tests/unit/ingester/door/log_text.h"
#include "tests/unit/ingester/door/rw_build.h"

static struct err *decode(struct log_builder *b, const void *arg)
{
    return loki_proto_decode(b, buf_slice(arg));
}

static void entry(struct buf *stream, int64_t s, int64_t ns, const char *line, const char *value)
{
    struct buf m = {0}, t = {0};

    rw_build_varint(&t, 1, (uint64_t)s);
    rw_build_varint(&t, 2, (uint64_t)ns);
    rw_build_field(&m, 1, &t);
    rw_build_text(&m, 2, line);
    if (value) {
        rw_build_text(&t, 1, "k");
        rw_build_text(&t, 2, value);
        rw_build_field(&m, 3, &t);
    }
    rw_build_text(&m, 9, "unknown");
    rw_build_field(stream, 2, &m);
}

static struct buf request(void)
{
    struct buf req = {0}, s = {0};

    rw_build_text(&s, 1, "{app=\"shop\"}");
    entry(&s, 10, 5, "one", NULL);
    entry(&s, 9, 999999999, "two", "v");
    rw_build_varint(&s, 3, 77);
    rw_build_field(&req, 1, &s);
    entry(&s, -1, 1, "labels behind", NULL);
    rw_build_text(&s, 1, "{app=\"other\"}");
    rw_build_field(&req, 1, &s);
    rw_build_text(&s, 1, "{app=\"empty\"}");
    rw_build_field(&req, 1, &s);
    return req;
}

TEST(loki_proto_reads_streams)
{
    struct buf req = request();

    log_text_check(log_text(decode, &req, NULL), "{app=\"shop\"}\n"
                                                 "  @10000000005 one\n"
                                                 "  @9999999999 two {k=\"v\"}\n"
                                                 "{app=\"other\"}\n"
                                                 "  @-999999999 labels behind\n");
    buf_done(&req);
    log_text_check(log_text(decode, &req, NULL), "");
}

TEST(loki_proto_refuses_malformed_bytes)
{
    struct buf req = request();
    size_t errors = 0;

    for (size_t n = 1; n < req.len; n++) {
        struct buf cut = {0}, got;

        buf_append(&cut, req.ptr, n);
        got = log_text(decode, &cut, NULL);
        errors += slice_find(buf_slice(&got), SLICE("error: protobuf: "), 0) >= 0;
        buf_done(&got);
        buf_done(&cut);
    }
    CHECK_INT(errors, req.len - 1 - 2); /* it may end behind a stream */
    buf_done(&req);
}

TEST(loki_proto_refuses_what_makes_no_sense)
{
    struct buf req = {0}, s = {0};

    rw_build_text(&s, 1, "{app=shop}");
    rw_build_field(&req, 1, &s);
    CHECK(slice_find(buf_slice(&req), SLICE("shop"), 0) > 0);
    {
        struct buf got = log_text(decode, &req, NULL);

        CHECK(slice_has_prefix(buf_slice(&got), SLICE("error: labels of a stream: ")));
        buf_done(&got);
    }
    buf_done(&req);
    rw_build_text(&s, 1, "{a=\"b\"}");
    entry(&s, INT64_MAX / 2, 0, "x", NULL);
    rw_build_field(&req, 1, &s);
    log_text_check(log_text(decode, &req, NULL), "error: protobuf: Timestamp: out of range\n");
    buf_done(&req);
}
