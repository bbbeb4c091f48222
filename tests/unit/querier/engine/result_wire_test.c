#include "querier/engine/result_json.h"
#include "querier/engine/result_wire.h"
#include "tests/unit/test.h"

static const int64_t times[] = {-1500, 0, 1000};
static const double values[] = {1.5, -0.0, 1e21};
static const struct histogram_span spans[] = {{-1, 2}, {3, 1}};
static const double buckets[] = {1, 2, 3};
static const struct histogram hist = {.schema = 0,
                                      .hint = HISTOGRAM_GAUGE,
                                      .zero_threshold = 0.5,
                                      .zero_count = 4,
                                      .count = 10,
                                      .sum = 7.25,
                                      .pos_spans = spans,
                                      .n_pos_spans = 2,
                                      .pos_buckets = buckets,
                                      .n_pos_buckets = 3};
static const struct histogram *const hists[] = {&hist};
static const struct label label = {SLICE_INIT("a"), SLICE_INIT("b")};
static const struct slice warning = SLICE_INIT("PromQL warning: x (1:1)");
static const struct engine_series series[] = {{{&label, 1}, 3, times, values, 1, times + 2, hists}};
static const struct engine_result matrix = {.type = ENGINE_MATRIX,
                                            .series = series,
                                            .n_series = 1,
                                            .warnings = &warning,
                                            .n_warnings = 1,
                                            .stats = {5, 6, 7}};

TEST(result_wire_gives_back_what_it_took)
{
    struct buf bytes = {0}, before = {0}, after = {0}, again = {0};
    struct arena *a = arena_new(0);
    struct engine_result got;

    result_wire_encode(&bytes, &matrix);
    CHECK_OK(result_wire_decode(a, buf_slice(&bytes), &got));
    result_json_data(&before, &matrix);
    result_json_data(&after, &got);
    CHECK_STR(buf_cstr(&after), buf_cstr(&before));
    CHECK_INT(got.stats.peak_bytes, 7);
    CHECK_SLICE(got.warnings[0], "PromQL warning: x (1:1)");
    result_wire_encode(&again, &got);
    CHECK(slice_eq(buf_slice(&bytes), buf_slice(&again)));
    buf_done(&bytes);
    buf_done(&before);
    buf_done(&after);
    buf_done(&again);
    arena_free(a);
}

TEST(result_wire_golden_bytes)
{
    static const int64_t t[] = {1000};
    static const double v[] = {2};
    static const struct engine_series s = {{&label, 1}, 1, t, v, 0, NULL, NULL};
    static const struct engine_result r = {.type = ENGINE_VECTOR, .series = &s, .n_series = 1};
    static const uint8_t want[] = {1,   2, 0,    0,    0, 0, 0, 0, 1, 1, 1, 'a',  1,
                                   'b', 1, 0xd0, 0x0f, 0, 0, 0, 0, 0, 0, 0, 0x40, 0};
    struct buf b = {0};

    result_wire_encode(&b, &r);
    CHECK(slice_eq(buf_slice(&b), slice_of(want, sizeof(want))));
    buf_done(&b);
}

TEST(result_wire_refuses_every_cut_and_survives_every_flip)
{
    struct buf bytes = {0};

    result_wire_encode(&bytes, &matrix);
    for (size_t n = 0; n < bytes.len; n++) {
        struct arena *a = arena_new(1 << 20);
        struct engine_result got;

        CHECK_ERR(result_wire_decode(a, slice_of(bytes.ptr, n), &got), ERR_CORRUPT, "");
        bytes.ptr[n] ^= 0xff;
        err_free(result_wire_decode(a, buf_slice(&bytes), &got));
        bytes.ptr[n] ^= 0xff;
        CHECK(!arena_over(a));
        arena_free(a);
    }
    buf_done(&bytes);
}

TEST(result_json_writes_histograms_as_prometheus)
{
    struct buf b = {0};

    result_json_data(&b, &matrix);
    CHECK_STR(buf_cstr(&b), "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"a\":\"b\"},"
                            "\"values\":[[-1.500,\"1.5\"],[0,\"-0\"],"
                            "[1,\"1000000000000000000000\"]],\"histograms\":[[1,{\"count\":\"10\","
                            "\"sum\":\"7.25\",\"buckets\":["
                            "[3,\"-0.5\",\"0.5\",\"4\"],[0,\"0.25\",\"0.5\",\"1\"],[0,\"0.5\","
                            "\"1\",\"2\"],[0,\"8\",\"16\",\"3\"]]}]]}]}");
    buf_done(&b);
}
