#include "common/lang/promql_series.h"
#include "tests/unit/test.h"

/* "labels | value value …" */
static void check(const char *text, const char *want)
{
    struct arena *a = arena_new(0);
    struct promql_series s;
    struct buf b = {0};

    CHECK_OK(promql_series_parse(a, slice_cstr(text), &s));
    labels_text(&b, s.labels);
    buf_str(&b, " |");
    for (size_t i = 0; i < s.n; i++) {
        buf_byte(&b, ' ');
        if (s.values[i].is_omitted)
            buf_byte(&b, '_');
        else if (s.values[i].h)
            promql_histogram_print(&b, s.values[i].h);
        else if (sample_is_stale(s.values[i].v))
            buf_str(&b, "stale");
        else
            buf_f64_text(&b, s.values[i].v);
    }
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
    arena_free(a);
}

static void refuse(const char *text, enum err_code code, const char *message)
{
    struct arena *a = arena_new(0);
    struct promql_series s;

    CHECK_ERR(promql_series_parse(a, slice_cstr(text), &s), code, message);
    arena_free(a);
}

TEST(promql_series_values)
{
    check("foo{a=\"b\"} 1+2x3 _ stale", "foo{a=\"b\"} | 1 3 5 7 _ stale");
    check("foo -1-1x1 _x2 3x1 NaN -Inf 1e3 .5", "foo | -1 -2 _ _ 3 3 NaN -Inf 1000 0.5");
    check("foo", "foo |");
    check("{\"a.b\", x='y'} 0x2 ", "{\"a.b\", x=\"y\"} | 0 0 0");
    refuse("foo 1 + 2", ERR_INVALID, "1:8");
    refuse("foo 1+2", ERR_INVALID, "expected \"x\"");
    refuse("foo bar", ERR_INVALID, "expected number or \"stale\"");
    refuse("foo 1x2.5", ERR_INVALID, "invalid repetition");
    refuse("foo 1x99999999999", ERR_LIMIT, "more than");
    refuse("foo {a='b'} 1", ERR_INVALID, "");
    refuse("foo 5m", ERR_INVALID, "bad number");
}

TEST(promql_series_histograms)
{
    check(
        "h {{schema:1 sum:0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 buckets:[5.1 10 7] offset:3 "
        "n_buckets:[4.1 5] n_offset:-5 counter_reset_hint:gauge}}x1",
        "h | {{schema:1 count:3.1 sum:0.3 z_bucket:7.1 z_bucket_w:0.05 counter_reset_hint:gauge "
        "offset:3 buckets:[5.1 10 7] n_offset:-5 n_buckets:[4.1 5]}} {{schema:1 count:3.1 sum:0.3 "
        "z_bucket:7.1 z_bucket_w:0.05 counter_reset_hint:gauge offset:3 buckets:[5.1 10 7] "
        "n_offset:-5 n_buckets:[4.1 5]}}");
    check("h {{ }} {{buckets:[0 0 1 0]}}", "h | {{}} {{offset:2 buckets:[1]}}");
    check("h {{schema:-53 custom_values:[1 2] buckets:[1 2 3 ]}}",
          "h | {{schema:-53 custom_values:[1 2] buckets:[1 2 3]}}");
    refuse("h {{schema:1 schema:1}}", ERR_INVALID, "duplicate key");
    refuse("h {{foo:1}}", ERR_INVALID, "bad histogram descriptor");
    refuse("h {{sum 1}}", ERR_INVALID, "missing `:`");
    refuse("h {{buckets:[1", ERR_INVALID, "buckets");
    refuse("h {{sum:1", ERR_INVALID, "incomplete");
}

TEST(promql_series_histogram_sums)
{
    check("h {{buckets:[5] schema:0}}+{{buckets:[1 2] schema:1}}x2",
          "h | {{buckets:[5]}} {{buckets:[6 2]}} {{buckets:[7 4]}}");
    check("h {{buckets:[5 1] count:6}}-{{buckets:[1 1] count:2}}x1",
          "h | {{count:6 buckets:[5 1]}} {{count:4 buckets:[4]}}");
    check(
        "h {{z_bucket:1 z_bucket_w:0.5 buckets:[4]}}+{{z_bucket:2 z_bucket_w:2 buckets:[8 8 8]}}x1",
        "h | {{z_bucket:1 z_bucket_w:0.5 buckets:[4]}} {{z_bucket:7 z_bucket_w:2 buckets:[8 8 "
        "8]}}");
    check("h {{schema:-53 custom_values:[1 2 3] buckets:[1 1 1 1]}}+{{schema:-53 custom_values:[2] "
          "buckets:[1 1]}}x1",
          "h | {{schema:-53 custom_values:[1 2 3] buckets:[1 1 1 1]}} {{schema:-53 "
          "custom_values:[2] buckets:[3 3]}}");
    check("h {{}}+{{counter_reset_hint:gauge}}x1", "h | {{}} {{counter_reset_hint:gauge}}");
    refuse("h {{schema:1}}+{{schema:0}}x1", ERR_INVALID, "cannot merge");
    refuse("h {{schema:-53}}+{{schema:0}}x1", ERR_INVALID, "cannot combine");
    refuse("h {{buckets:[1]}}+{{buckets:[1] offset:2000000000}}x1", ERR_LIMIT, "buckets");
}

TEST(promql_series_start_timestamps)
{
    struct arena *a = arena_new(0);
    struct promql_series s;

    CHECK_OK(promql_series_parse_starts(a, SLICE("foo{a='b'}@st _ -30s-1mx2 1ms 0"), &s));
    CHECK_INT(s.n, 6);
    CHECK(s.values[0].is_omitted);
    CHECK_INT((int)s.values[1].v, -30000);
    CHECK_INT((int)s.values[3].v, -150000);
    CHECK_INT((int)s.values[4].v, 1);
    CHECK_INT((int)s.values[5].v, 0);
    CHECK_ERR(promql_series_parse_starts(a, SLICE("foo 1"), &s), ERR_INVALID, "@st");
    CHECK_ERR(promql_series_parse_starts(a, SLICE("foo@st 1z"), &s), ERR_INVALID, "duration");
    arena_free(a);
}
