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
    CHECK_ERR(rpc_logs_select_decode(a, SLICE("\x05\x00\x01\x01\x00\x00\x00\x00\x00"), &got),
              ERR_INVALID, "unknown format");
    arena_free(a);
}

TEST(logs_rpc_select_with_steps_keeps_its_bytes)
{
    struct rpc_logs_select s = {.kind = RPC_LOGS_STREAMS, .to_ns = 64, .steps = {-1, 64, 5}}, got;
    struct arena *a = arena_new(0);
    struct buf b = {0}, want = {0};

    buf_append(&want, "\x04\x01\x00\x80\x01\x00\x00\x00\x00\x01\x05", 11);
    matchers_encode(&want, (struct matchers){0});
    rpc_logs_select_encode(&b, &s);
    CHECK(slice_eq(buf_slice(&b), buf_slice(&want)));
    CHECK_OK(rpc_logs_select_decode(a, buf_slice(&b), &got));
    CHECK(got.steps.from_ns == -1 && got.steps.to_ns == 64 && got.steps.step_ns == 5);
    matchers_done(got.matchers);
    s.steps.step_ns = INT64_MAX; /* one step */
    buf_reset(&b);
    rpc_logs_select_encode(&b, &s);
    CHECK_OK(rpc_logs_select_decode(a, buf_slice(&b), &got));
    matchers_done(got.matchers);
    for (int i = 0; i < 3; i++) { /* too many, none, over more time than there is */
        s.steps = (struct log_steps){i == 2 ? INT64_MIN : -1, 64, i == 0 ? 1 : 2};
        s.to_ns = i == 0 ? 100000 : i == 1 ? -1 : INT64_MAX;
        buf_reset(&b);
        rpc_logs_select_encode(&b, &s);
        CHECK_ERR(rpc_logs_select_decode(a, buf_slice(&b), &got), ERR_INVALID, "malformed");
    }
    buf_done(&b);
    buf_done(&want);
    arena_free(a);
}

TEST(logs_rpc_items_come_back)
{
    const struct rpc_logs_item items[] = {
        {.tag = RPC_LOGS_STREAM, .fp = {1, 2}, .text = SLICE("s"), .entries = 3, .bytes = 400},
        {.tag = RPC_LOGS_STEP, .step = 7, .bytes = 300},
        {.tag = RPC_LOGS_STEP, .step = LOG_STEPS_MAX - 1, .bytes = 1},
        {.tag = RPC_LOGS_NAME, .text = SLICE("n")}};
    struct arena *a = arena_new(0);
    struct rpc_logs_item got;
    struct buf b = {0};
    struct reader r;

    for (size_t i = 0; i < ORR_COUNT(items); i++)
        rpc_logs_item_encode(&b, &items[i]);
    r = reader_new(buf_slice(&b));
    for (size_t i = 0; i < ORR_COUNT(items); i++) {
        CHECK(rpc_logs_item_decode(a, &r, &got));
        CHECK(got.tag == items[i].tag && got.bytes == items[i].bytes && got.step == items[i].step);
    }
    CHECK(!rpc_logs_item_decode(a, &r, &got) && reader_ok(&r));
    buf_reset(&b);
    rpc_logs_item_encode(&b, &(struct rpc_logs_item){.tag = RPC_LOGS_STEP, .step = LOG_STEPS_MAX});
    r = reader_new(buf_slice(&b));
    CHECK(!rpc_logs_item_decode(a, &r, &got) && !reader_ok(&r));
    buf_done(&b);
    arena_free(a);
}
