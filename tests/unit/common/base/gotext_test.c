#include <math.h>

#include "common/base/gonum.h"
#include "common/base/gore.h"
#include "common/base/gosize.h"
#include "common/base/gostr.h"
#include "common/base/gotime.h"
#include "common/base/promdur.h"
#include "tests/unit/test.h"

TEST(gostr_quote_and_unquote)
{
    static const char text[] = "a\"\\\n\x01\x7f\xff\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80";
    struct buf b = {0}, back = {0};

    gostr_quote(&b, slice_of(text, sizeof(text) - 1));
    CHECK_SLICE(buf_slice(&b), "\"a\\\"\\\\\\n\\x01\\x7f\\xff\xc3\xa9\\u2028\xf0\x9f\x98\x80\"");
    CHECK(gostr_unquote(buf_slice(&b), &back));
    CHECK(slice_eq(buf_slice(&back), slice_of(text, sizeof(text) - 1)));
    CHECK(!gostr_unquote(SLICE("\"a"), &back));
    CHECK(!gostr_unquote(SLICE("\"\\z\""), &back));
    CHECK(!gostr_unquote(SLICE("\"\\400\""), &back));
    CHECK(!gostr_unquote(SLICE("\"\\ud800\""), &back));
    CHECK(!gostr_unquote(SLICE("`a`b`"), &back));
    CHECK(!gostr_unquote(SLICE("\""), &back));
    buf_done(&b);
    buf_done(&back);
}

TEST(gonum_reads_as_go_does)
{
    int64_t i;
    double v;

    CHECK(gonum_int(SLICE("-0x_ff"), &i) && i == -255);
    CHECK(gonum_int(SLICE("0b101"), &i) && i == 5);
    CHECK(gonum_int(SLICE("-9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(!gonum_int(SLICE("9223372036854775808"), &i));
    CHECK(!gonum_int(SLICE("08"), &i));
    CHECK(!gonum_int(SLICE("1__0"), &i));
    CHECK(!gonum_int(SLICE(""), &i));
    CHECK(gonum_float(SLICE("1_0.5"), &v) && v == 10.5);
    CHECK(!gonum_float(SLICE("1e999"), &v) && isinf(v));
    CHECK(!gonum_float(SLICE("_1"), &v));
}

TEST(promdur_round_trips)
{
    struct buf b = {0};
    int64_t ns;

    CHECK_OK(promdur_parse(SLICE("1h30m5ms"), &ns));
    promdur_print(&b, ns);
    CHECK_SLICE(buf_slice(&b), "1h30m5ms");
    CHECK_ERR(promdur_parse(SLICE("5m1h"), &ns), ERR_INVALID, "not a valid duration");
    CHECK_ERR(promdur_parse(SLICE("9999999y"), &ns), ERR_INVALID, "out of range");
    CHECK_OK(promdur_parse_signed(SLICE("-5m"), &ns));
    CHECK_INT(ns, -300000000000);
    buf_reset(&b);
    promdur_print(&b, ns);
    CHECK_SLICE(buf_slice(&b), "-5m");
    CHECK_OK(promdur_parse_go(SLICE("-1.5h30us"), &ns));
    buf_reset(&b);
    promdur_print_go(&b, ns);
    CHECK_SLICE(buf_slice(&b), "-1h30m0.00003s");
    CHECK_ERR(promdur_parse_go(SLICE("1"), &ns), ERR_INVALID, "missing unit");
    buf_done(&b);
}

TEST(gore_replaces_with_groups)
{
    struct buf b = {0};
    struct re *re;

    CHECK_OK(re_compile(SLICE("(?<first>a)(b)?"), 0, &re));
    gore_replace_all(&b, re, SLICE("xabya"), SLICE("[$first-${2}-$2x-$$-$]"));
    CHECK_SLICE(buf_slice(&b), "x[a-b--$-$]y[a---$-$]");
    re_free(re);
    CHECK_ERR(re_compile(SLICE("\\C"), 0, &re), ERR_INVALID, "");
    CHECK_OK(re_compile(SLICE("[[:alpha:](?<a]\\Q(?<\\E"), 0, &re));
    CHECK(re_match(re, SLICE("<(?<")));
    re_free(re);
    buf_done(&b);
}

TEST(gotime_api_times)
{
    int64_t ms;

    CHECK_OK(gotime_parse_api(SLICE("1435781430.781"), &ms));
    CHECK_INT(ms, 1435781430781);
    CHECK_OK(gotime_parse_api(SLICE("2015-07-01T20:10:30.781Z"), &ms));
    CHECK_INT(ms, 1435781430781);
    CHECK_OK(gotime_parse_api(SLICE("-1.5"), &ms));
    CHECK_INT(ms, -1500);
    CHECK_ERR(gotime_parse_api(SLICE("yesterday"), &ms), ERR_INVALID, "valid timestamp");
    CHECK_ERR(gotime_parse_api(SLICE("1e30"), &ms), ERR_INVALID, "valid timestamp");
    CHECK_ERR(gotime_parse_api(SLICE("NaN"), &ms), ERR_INVALID, "valid timestamp");
    CHECK_OK(gotime_parse_api_duration(SLICE("1m30s"), &ms));
    CHECK_INT(ms, 90000);
    CHECK_OK(gotime_parse_api_duration(SLICE("15.5"), &ms));
    CHECK_INT(ms, 15500);
    CHECK_ERR(gotime_parse_api_duration(SLICE("1e20"), &ms), ERR_INVALID, "overflows");
}

TEST(gotime_formats_and_parses)
{
    struct gotime t = gotime_of_ns(-1, NULL), back;
    struct buf b = {0};

    gotime_format(&b, &t, SLICE("Mon Jan _2 2006 " GOTIME_RFC3339_NANO " 3PM .000 __2 Janet"));
    CHECK_SLICE(buf_slice(&b),
                "Wed Dec 31 1969 1969-12-31T23:59:59.999999999Z 11PM .999 365 Janet");
    CHECK_OK(
        gotime_parse(SLICE(GOTIME_RFC3339), SLICE("1969-12-31T23:59:59.5-01:30"), NULL, &back));
    CHECK_INT(gotime_ms(back), -500 + 90 * 60000);
    CHECK_INT(gotime_civil(&back).offset_s, -5400);
    CHECK_ERR(gotime_parse(SLICE("2006-01-02"), SLICE("2023-02-29"), NULL, &back), ERR_INVALID,
              "day out of range");
    CHECK_ERR(gotime_parse(SLICE("15"), SLICE("24"), NULL, &back), ERR_INVALID, "hour");
    CHECK_ERR(gotime_parse(SLICE("15"), SLICE("12x"), NULL, &back), ERR_INVALID, "extra text");
    t = (struct gotime){.unix_s = INT64_MAX};
    gotime_format(&b, &t, SLICE(GOTIME_RFC3339));
    t.unix_s = INT64_MIN;
    gotime_format(&b, &t, SLICE(GOTIME_RFC3339));
    CHECK_INT(gotime_ms(t), INT64_MIN);
    buf_done(&b);
}

TEST(gozone_names_stay_inside_the_database)
{
    struct gozone *z;

    CHECK_ERR(gozone_load(SLICE("../../etc/passwd"), &z), ERR_NOT_FOUND, "unknown time zone");
    CHECK_ERR(gozone_load(SLICE("/etc/passwd"), &z), ERR_NOT_FOUND, "unknown time zone");
    CHECK_ERR(gozone_load(SLICE("No/Such"), &z), ERR_NOT_FOUND, "unknown time zone");
    CHECK_OK(gozone_load(SLICE("UTC"), &z));
    CHECK_INT(gozone_at(z, 0).offset_s, 0);
    gozone_free(z);
    z = gozone_fixed(SLICE("X"), 3600);
    CHECK_INT(gotime_date(z, 1970, 1, 1, 0, 0, 0), -3600);
    gozone_free(z);
}

TEST(gosize_reads_and_writes)
{
    static const struct {
        const char *text, *back;
        uint64_t bytes;
    } sizes[] = {{"0", "0 B", 0},
                 {"9.9b", "9 B", 9},
                 {"2.5KiB", "2.6 kB", 2560},
                 {"1,000 k", "1.0 MB", 1000000},
                 {"10 gb", "10 GB", 10000000000},
                 {"16383PiB", "18 EB", 16383ULL << 50}};
    struct buf b = {0};
    uint64_t n;

    for (size_t i = 0; i < ORR_COUNT(sizes); i++) {
        CHECK(gosize_parse(slice_cstr(sizes[i].text), &n) && n == sizes[i].bytes);
        buf_reset(&b);
        gosize_print(&b, n);
        CHECK_SLICE(buf_slice(&b), sizes[i].back);
    }
    CHECK(!gosize_parse(SLICE(""), &n));
    CHECK(!gosize_parse(SLICE("-1"), &n));
    CHECK(!gosize_parse(SLICE("1 bk"), &n));
    CHECK(!gosize_parse(SLICE("16EiB"), &n));
    buf_done(&b);
}
