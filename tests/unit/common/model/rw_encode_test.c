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
