#include "common/proto/grpc_wire.h"
#include "tests/unit/test.h"

TEST(grpc_wire_retry_bytes_are_golden)
{
    static const char want[] = "\x08\x08\x12\x04slow\x1a\x34\x0a\x28"
                               "type.googleapis.com/google.rpc.RetryInfo"
                               "\x12\x08\x0a\x06\x08\x01\x10\xc0\x84\x3d";
    struct buf out = {0};

    grpc_wire_retry(8, SLICE("slow"), 1001, &out); /* 1 s and 1,000,000 ns */
    CHECK(slice_eq(buf_slice(&out), slice_of(want, sizeof(want) - 1)));
    buf_done(&out);
}

TEST(grpc_wire_health_both_ways)
{
    struct arena *a = arena_new(0);
    struct buf out = {0};
    struct slice service;

    CHECK(grpc_wire_health_request(a, SLICE(""), &service));
    CHECK_SLICE(service, "");
    CHECK(grpc_wire_health_request(a,
                                   SLICE("\x0a\x03"
                                         "a.B\x10\x05"),
                                   &service)); /* and a field we do not know */
    CHECK_SLICE(service, "a.B");
    CHECK(!grpc_wire_health_request(a,
                                    SLICE("\x0a\x09"
                                          "a.B"),
                                    &service));
    buf_fill(&out, 0, GRPC_HEALTH_MAX_BYTES + 1);
    CHECK(!grpc_wire_health_request(a, buf_slice(&out), &service));
    buf_reset(&out);
    grpc_wire_health_reply(GRPC_HEALTH_NOT_SERVING, &out);
    CHECK_SLICE(buf_slice(&out), "\x08\x02");
    buf_done(&out);
    arena_free(a);
}
