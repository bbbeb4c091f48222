#include "querier/plan/partial_wire.h"
#include "tests/unit/test.h"

static const struct engine_query asked = {.expr = {(const uint8_t *)"  sum(x)", 8},
                                          .start_ms = -5000,
                                          .end_ms = 7000,
                                          .step_ms = 1000,
                                          .lookback_ms = 300000,
                                          .max_samples = 17,
                                          .max_points = 11001,
                                          .shard_index = 2,
                                          .shard_count = 4};
static const struct store_query_opts limits = {
    .max_series = 5, .max_bytes = 6, .min_ms = -7, .shard_size = 3};

TEST(partial_wire_carries_the_query_and_its_limits)
{
    struct store_query_opts o;
    struct engine_query q;
    struct buf b = {0};

    partial_wire_encode(&b, &asked, &limits);
    CHECK_OK(partial_wire_decode(buf_slice(&b), &q, &o));
    CHECK_SLICE(q.expr, "  sum(x)");
    CHECK_INT(q.start_ms, -5000);
    CHECK_INT(q.end_ms, 7000);
    CHECK_INT(q.step_ms, 1000);
    CHECK_INT(q.lookback_ms, 300000);
    CHECK_INT(q.max_samples, 17);
    CHECK_INT(q.max_points, 11001);
    CHECK_INT(q.shard_index, 2);
    CHECK_INT(q.shard_count, 4);
    CHECK_INT(o.max_series, 5);
    CHECK_INT(o.max_bytes, 6);
    CHECK_INT(o.min_ms, -7);
    CHECK_INT(o.shard_size, 3);
    CHECK(!q.wants_moments);
    CHECK_INT(b.ptr[0], 1); /* as older ones read it */
    buf_done(&b);
}

TEST(partial_wire_tells_of_moments_by_its_version)
{
    struct engine_query q = asked;
    struct store_query_opts o;
    struct buf b = {0};

    q.wants_moments = true;
    partial_wire_encode(&b, &q, &limits);
    CHECK_INT(b.ptr[0], 2);
    q.wants_moments = false;
    CHECK_OK(partial_wire_decode(buf_slice(&b), &q, &o));
    CHECK(q.wants_moments);
    b.ptr[0] = 5;
    CHECK_ERR(partial_wire_decode(buf_slice(&b), &q, &o), ERR_INVALID, "malformed");
    buf_done(&b);
}

TEST(partial_wire_tells_how_coarse_it_may_be_by_its_version)
{
    struct engine_query q = asked;
    struct store_query_opts o;
    struct buf b = {0};

    q.max_resolution_ms = 3600000;
    partial_wire_encode(&b, &q, &limits);
    CHECK_INT(b.ptr[0], 3);
    CHECK_OK(partial_wire_decode(buf_slice(&b), &q, &o));
    CHECK_INT(q.max_resolution_ms, 3600000);
    CHECK(!q.wants_moments);
    q.wants_moments = true;
    buf_reset(&b);
    partial_wire_encode(&b, &q, &limits);
    CHECK_INT(b.ptr[0], 4);
    CHECK_OK(partial_wire_decode(buf_slice(&b), &q, &o));
    CHECK(q.wants_moments && q.max_resolution_ms == 3600000);
    b.ptr[0] = 1;
    CHECK_ERR(partial_wire_decode(buf_slice(&b), &q, &o), ERR_INVALID, "malformed");
    buf_done(&b);
}

TEST(partial_wire_refuses_bytes_that_are_none)
{
    struct engine_query q, bad = asked;
    struct store_query_opts o;
    struct buf b = {0};

    partial_wire_encode(&b, &asked, &limits);
    for (size_t n = 0; n < b.len; n++)
        CHECK_ERR(partial_wire_decode(slice_of(b.ptr, n), &q, &o), ERR_INVALID, "malformed");
    buf_byte(&b, 0);
    CHECK_ERR(partial_wire_decode(buf_slice(&b), &q, &o), ERR_INVALID, "malformed");
    buf_reset(&b);
    bad.shard_index = 4;
    partial_wire_encode(&b, &bad, &limits);
    CHECK_ERR(partial_wire_decode(buf_slice(&b), &q, &o), ERR_INVALID, "malformed");
    buf_reset(&b);
    bad = asked;
    bad.end_ms = bad.start_ms - 1;
    partial_wire_encode(&b, &bad, &limits);
    CHECK_ERR(partial_wire_decode(buf_slice(&b), &q, &o), ERR_INVALID, "malformed");
    buf_done(&b);
}
