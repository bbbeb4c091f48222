#include "common/model/logs_rpc.h"
#include "tests/unit/test.h"

static struct slice encoded(struct buf *b, const struct slice *needles, size_t n)
{
    struct rpc_logs_select s = {.kind = RPC_LOGS_ENTRIES,
                                .from_ns = -1,
                                .to_ns = 64,
                                .is_backward = true,
                                .max_streams = 7,
                                .limit = 300,
                                .needles = needles,
                                .n_needles = n};

    rpc_logs_select_encode(b, &s);
    return buf_slice(b);
}

/* A peer of before knows those without needles. */
TEST(logs_rpc_select_keeps_its_bytes)
{
    static const struct slice needles[] = {SLICE_INIT("error"), SLICE_INIT("")};
    struct buf one = {0}, two = {0}, none = {0};

    matchers_encode(&none, (struct matchers){0});
    buf_append(&one, "\x01\x00\x01\x80\x01\x00\x01\x07\xac\x02", 10);
    buf_slice_append(&one, buf_slice(&none));
    CHECK(slice_eq(encoded(&two, NULL, 0), buf_slice(&one)));
    buf_reset(&one);
    buf_reset(&two);
    buf_append(&one,
               "\x02\x00\x01\x80\x01\x00\x01\x07\xac\x02\x02\x05"
               "error\x00",
               18);
    buf_slice_append(&one, buf_slice(&none));
    CHECK(slice_eq(encoded(&two, needles, 2), buf_slice(&one)));
    buf_done(&one);
    buf_done(&two);
    buf_done(&none);
}

TEST(logs_rpc_select_comes_back)
{
    struct slice needles[RPC_LOGS_MAX_NEEDLES];

    for (size_t n = 0; n <= ORR_COUNT(needles); n++) {
        struct arena *a = arena_new(0);
        struct rpc_logs_select got;
        struct buf b = {0};

        for (size_t i = 0; i < n; i++)
            needles[i] = slice_cstr(arena_printf(a, "needle %zu", i));
        CHECK_OK(rpc_logs_select_decode(a, encoded(&b, needles, n), &got));
        CHECK_INT(got.kind, RPC_LOGS_ENTRIES);
        CHECK_INT(got.from_ns, -1);
        CHECK_INT(got.to_ns, 64);
        CHECK(got.is_backward);
        CHECK_INT(got.max_streams, 7);
        CHECK_INT(got.limit, 300);
        CHECK_INT(got.matchers.n, 0);
        CHECK_INT(got.n_needles, n);
        for (size_t i = 0; i < n; i++)
            CHECK(slice_eq(got.needles[i], needles[i]));
        matchers_done(got.matchers);
        for (size_t i = 0; i < b.len; i++)
            CHECK_ERR(rpc_logs_select_decode(a, slice_sub(buf_slice(&b), 0, i), &got), ERR_INVALID,
                      "");
        buf_done(&b);
        arena_free(a);
    }
}

TEST(logs_rpc_select_has_needles_of_a_bounded_number_or_none)
{
    struct arena *a = arena_new(0);
    struct rpc_logs_select got;

    CHECK_ERR(rpc_logs_select_decode(a, SLICE("\x02\x00\x01\x01\x00\x00\x00\x00\x00\x00"), &got),
              ERR_INVALID, "malformed");
    CHECK_ERR(rpc_logs_select_decode(
                  a,
                  SLICE("\x02\x00\x01\x01\x00\x00\x00\x00\x11"
                        "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
                  &got),
              ERR_INVALID, "malformed");
    CHECK_ERR(rpc_logs_select_decode(a, SLICE("\x04\x00\x01\x01\x00\x00\x00\x00\x00"), &got),
              ERR_INVALID, "unknown format");
    arena_free(a);
}
