/* slice, buf, reader, num: how bytes become values and back. */
#include <math.h>
#include <stdlib.h>

#include "common/base/num.h"
#include "common/base/reader.h"
#include "common/base/rng.h"
#include "tests/unit/test.h"

static const char *fmt(double v, char f, int prec)
{
    static struct buf b;

    buf_reset(&b);
    num_format(&b, v, f, prec);
    return buf_cstr(&b);
}

TEST(num_writes_floats_as_go_does)
{
    static struct buf b;

    CHECK_STR(fmt(0, 'f', -1), "0");
    CHECK_STR(fmt(-0.0, 'f', -1), "-0");
    CHECK_STR(fmt(1e21, 'f', -1), "1000000000000000000000");
    CHECK_STR(fmt(1e23, 'f', -1), "100000000000000000000000");
    CHECK_STR(fmt(0.1, 'f', -1), "0.1");
    CHECK_STR(fmt(5e-324, 'f', -1) + 320, "000005");
    CHECK_STR(fmt(123456789, 'g', -1), "1.23456789e+08");
    CHECK_STR(fmt(100000, 'g', -1), "100000");
    CHECK_STR(fmt(0.0001, 'g', 4), "0.0001");
    CHECK_STR(fmt(1234567, 'g', 4), "1.235e+06");
    CHECK_STR(fmt(2.5, 'e', 3), "2.500e+00");
    CHECK_STR(fmt(2.345, 'f', 2), "2.35");
    CHECK_STR(fmt(NAN, 'f', -1), "NaN");
    CHECK_STR(fmt(-INFINITY, 'g', -1), "-Inf");
    num_format_v(&b, 1e20);
    CHECK_STR(buf_cstr(&b), "1e+20");
    buf_done(&b);
}

TEST(num_reads_what_go_reads_and_no_more)
{
    double v;

    CHECK(num_parse(SLICE("0x1p-2"), &v) && v == 0.25);
    CHECK(num_parse(SLICE("+Inf"), &v) && isinf(v));
    CHECK(num_parse(SLICE("nan"), &v) && isnan(v));
    CHECK(num_parse(SLICE(".5e1"), &v) && v == 5);
    CHECK(!num_parse(SLICE("1e"), &v));
    CHECK(!num_parse(SLICE(""), &v));
    CHECK(!num_parse(SLICE("-nan"), &v));
    CHECK(!num_parse(SLICE(" 1"), &v));
    CHECK(!num_parse(SLICE("0x10"), &v));
    CHECK(!num_parse(SLICE("1e999"), &v) && isinf(v));
}

TEST(num_reads_short_decimals_as_the_c_library_does)
{
    struct rng rng;
    char text[32];
    double v;

    rng_seed(&rng, 5);
    for (int i = 0; i < 200000; i++) {
        size_t n = 0, digits = 1 + rng_below(&rng, 17), point = rng_below(&rng, 20);

        if (rng_chance(&rng, 0.3))
            text[n++] = '-';
        for (size_t k = 0; k < digits; k++) {
            if (k == point)
                text[n++] = '.';
            text[n++] = (char)('0' + rng_below(&rng, 10));
        }
        text[n] = 0;
        if (!num_parse(slice_cstr(text), &v) || v != strtod(text, NULL) ||
            !signbit(v) != !signbit(strtod(text, NULL)))
            test_fail(__FILE__, __LINE__, "%s is read as %.17g", text, v);
    }
    CHECK(!num_parse(SLICE("."), &v));
    CHECK(!num_parse(SLICE("1.2.3"), &v));
    CHECK(!num_parse(SLICE("--1"), &v));
    CHECK(num_parse(SLICE("5."), &v) && v == 5);
}

TEST(reader_latches_past_the_end)
{
    struct reader r = reader_new(SLICE("\x01\x02\x03"));

    CHECK_INT(reader_u16le(&r), 0x0201);
    CHECK_INT(reader_u32le(&r), 0);
    CHECK(!reader_ok(&r));
    CHECK_INT(reader_u8(&r), 0);
}

TEST(reader_counts_what_can_be_there)
{
    struct reader r = reader_new(SLICE("\0021234"));

    CHECK_INT(reader_count(&r, 2), 2);
    CHECK(reader_ok(&r));
    CHECK_SLICE(reader_bytes(&r, 4), "1234");
    r = reader_new(SLICE("\0031234"));
    CHECK_INT(reader_count(&r, 2), 0);
    CHECK(!reader_ok(&r));
}

TEST(varints_round_trip_and_overlong_ones_fail)
{
    int64_t values[] = {0, 1, -1, 63, -64, 64, INT64_MAX, INT64_MIN};
    struct buf b = {0};
    struct reader r;

    for (size_t i = 0; i < ORR_COUNT(values); i++)
        buf_varint(&b, values[i]);
    buf_uvarint(&b, UINT64_MAX);
    r = reader_new(buf_slice(&b));
    for (size_t i = 0; i < ORR_COUNT(values); i++)
        CHECK(reader_varint(&r) == values[i]);
    CHECK(reader_uvarint(&r) == UINT64_MAX && reader_ok(&r) && reader_left(&r) == 0);
    r = reader_new(SLICE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"));
    CHECK_INT(reader_uvarint(&r), 0);
    CHECK(!reader_ok(&r));
    buf_done(&b);
}

TEST(buf_remembers_that_it_went_over_its_bound)
{
    struct buf b = {.max_bytes = 4};

    buf_str(&b, "abc");
    CHECK(buf_ok(&b));
    buf_str(&b, "de");
    CHECK(!buf_ok(&b) && b.len == 3);
    buf_done(&b);
}

TEST(json_strings_are_escaped_and_repaired)
{
    struct buf b = {0};

    buf_json_str(&b, SLICE("a\"\\\n\x01\xff\xe2\x80\xa8 \xc3\xbc"));
    CHECK_STR(buf_cstr(&b), "\"a\\\"\\\\\\n\\u0001\\ufffd\\u2028 \xc3\xbc\"");
    buf_done(&b);
}

TEST(json_lists_have_commas_between_what_is_in_them)
{
    struct buf b = {0};

    buf_json_comma(&b);
    for (const char *p = "[{11}{}"; *p; p++) {
        if (*p == '1' || *p == '{')
            buf_json_comma(&b);
        buf_byte(&b, (uint8_t)*p);
    }
    CHECK_STR(buf_cstr(&b), "[{1,1},{}");
    buf_done(&b);
}

TEST(bytes_as_hexadecimal_digits)
{
    struct buf b = {.max_bytes = 7};

    buf_hex(&b, (const uint8_t *)"\x00\x9f\xa0", 3);
    buf_hex(&b, (const uint8_t *)"x", 0);
    CHECK_STR(buf_cstr(&b), "009fa0");
    buf_hex(&b, (const uint8_t *)"x", 1); /* beyond the bound */
    CHECK(!buf_ok(&b) && b.len == 6);
    buf_done(&b);
}

TEST(utf8_is_checked_strictly)
{
    CHECK(slice_is_utf8(SLICE("plain ascii that is longer than eight")));
    CHECK(slice_is_utf8(SLICE("\xf0\x9f\x98\x80")));
    CHECK(!slice_is_utf8(SLICE("\xc0\x80")));
    CHECK(!slice_is_utf8(SLICE("\xed\xa0\x80")));
    CHECK(!slice_is_utf8(SLICE("12345678\xe2\x82")));
}

TEST(slices_split_and_parse)
{
    struct slice rest = SLICE("a,,b"), part;
    uint64_t u;
    int64_t i;

    CHECK(slice_split(&rest, ',', &part) && slice_eq_cstr(part, "a"));
    CHECK(slice_split(&rest, ',', &part) && part.len == 0);
    CHECK(slice_split(&rest, ',', &part) && slice_eq_cstr(part, "b"));
    CHECK(!slice_split(&rest, ',', &part));
    CHECK(slice_to_i64(SLICE("-9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(!slice_to_i64(SLICE("9223372036854775808"), &i));
    CHECK(!slice_to_u64(SLICE("18446744073709551616"), &u));
    CHECK_SLICE(slice_trim(SLICE(" \tx y\n")), "x y");
    CHECK_INT(slice_find(SLICE("abcabc"), SLICE("ca"), 0), 2);
    CHECK_INT(slice_find(SLICE("abcabc"), SLICE("ca"), 3), -1);
    CHECK_INT(slice_find((struct slice){NULL, 0}, SLICE("ca"), 0), -1); /* under UBSan */
}
