#include "common/model/rw_encode.h"
#include "tests/unit/test.h"

TEST(rw_encode_golden_bytes)
{
    const struct label ls[] = {{SLICE_INIT("a"), SLICE_INIT("b")}};
    struct buf b = {0};

    rw_encode_sample(&b, (struct labels){ls, 1}, (struct sample){300, 1});
    CHECK(slice_eq(buf_slice(&b), SLICE("\x0a\x16"
                                        "\x0a\x06\x0a\x01"
                                        "a\x12\x01"
                                        "b"
                                        "\x12\x0c\x09\0\0\0\0\0\0\xf0\x3f\x10\xac\x02")));
    buf_done(&b);
}

TEST(rw_encode_appends_and_takes_times_before_1970)
{
    struct buf one = {0}, two = {0};
    struct sample s = {-1, 2};

    rw_encode_sample(&one, (struct labels){0}, s);
    rw_encode_sample(&two, (struct labels){0}, s);
    rw_encode_sample(&two, (struct labels){0}, s);
    CHECK_INT(two.len, 2 * one.len);
    CHECK_INT(one.len, 2 + 2 + 9 + 1 + 10);
    buf_done(&one);
    buf_done(&two);
}

TEST(rw_encode_golden_bytes_of_a_histogram)
{
    static const struct histogram_span pos[] = {{-1, 1}}, neg[] = {{0, 1}, {2, 1}};
    static const double one[] = {1}, two[] = {1, 2}, bounds[] = {2};
    const struct histogram h = {.schema = -1,
                                .hint = HISTOGRAM_GAUGE,
                                .zero_threshold = 1,
                                .zero_count = 2,
                                .count = 2,
                                .sum = 1,
                                .pos_spans = pos,
                                .neg_spans = neg,
                                .n_pos_spans = 1,
                                .n_neg_spans = 2,
                                .pos_buckets = one,
                                .neg_buckets = two,
                                .n_pos_buckets = 1,
                                .n_neg_buckets = 2,
                                .custom_bounds = bounds,
                                .n_custom_bounds = 1};
    struct buf b = {0};

#define ONE "\0\0\0\0\0\0\xf0\x3f"
#define TWO "\0\0\0\0\0\0\0\x40"
    rw_encode_histogram(&b, (struct labels){0}, 300, &h);
    CHECK(slice_eq(buf_slice(&b), SLICE("\x0a\x66\x22\x64"
                                        "\x11" TWO "\x19" ONE "\x20\x01\x29" ONE "\x39" TWO
                                        "\x42\x04\x08\0\x10\x01\x42\x04\x08\x04\x10\x01"
                                        "\x52\x10" ONE TWO "\x5a\x04\x08\x01\x10\x01"
                                        "\x6a\x08" ONE "\x70\x03\x78\xac\x02"
                                        "\x82\x01\x08" TWO)));
#undef ONE
#undef TWO
    buf_done(&b);
}
