#include <stdlib.h>

#include "ingester/door/statsd.h"
#include "ingester/door/statsd_line.h"
#include "tests/unit/ingester/door/push_text.h"

#define T0 1700000000000

static struct statsd *open_statsd(const char *instance_label)
{
    return statsd_new(&(struct statsd_opts){.max_series = 5000,
                                            .max_bytes = 8 << 20,
                                            .expiry_ms = 60000,
                                            .instance_label = instance_label,
                                            .instance = "i1",
                                            .seed = 7});
}

static void take(struct statsd *s, const char *lines)
{
    statsd_take(s, slice_cstr(lines), T0);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a slice in order, for series come in none that matters. */
static struct buf sorted(struct buf text)
{
    struct slice rest = buf_slice(&text), line;
    char *lines[256];
    struct buf out = {0};
    size_t n = 0;

    while (slice_split(&rest, '\n', &line))
        if (line.len && n < 256)
            lines[n++] = slice_dup(slice_of(line.ptr, line.len));
    qsort(lines, n, sizeof(*lines), by_text);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&out, "%s\n", lines[i]);
        mem_free(lines[i]);
    }
    buf_done(&text);
    return out;
}

static void check_flush(struct statsd *s, int64_t now_ms, const char *want)
{
    statsd_flush(s, now_ms);
    push_text_check(sorted(push_text(statsd_decode, s, SLICE_EMPTY)), want);
    CHECK(statsd_flush_is_done(s));
}

TEST(statsd_counts_up_from_flush_to_flush)
{
    struct statsd *s = open_statsd("instance");

    take(s, "api.requests:3|c\napi.requests:1:1|c|@0.5\n\napi.requests:2|c|#env:prod,x\n");
    check_flush(s, T0,
                "api_requests{env=\"prod\", instance=\"i1\", x=\"true\"} 2 @1700000000000\n"
                "api_requests{instance=\"i1\"} 7 @1700000000000\n"
                "counter api_requests \"\" \ncounter api_requests \"\" \n");
    take(s, "api.requests:1|m");
    check_flush(s, T0 + 1,
                "api_requests{env=\"prod\", instance=\"i1\", x=\"true\"} 2 @1700000000001\n"
                "api_requests{instance=\"i1\"} 8 @1700000000001\n");
    statsd_free(s);
}

TEST(statsd_gauges_are_set_and_changed)
{
    struct statsd *s = open_statsd(NULL);

    take(s, "g:10|g\ng:+5|g\ng:-3|g\nh,zone=a:1|g\nk#zone=b,c=d:2|g\n");
    check_flush(s, 1,
                "g 12 @1\ngauge g \"\" \ngauge h \"\" \ngauge k \"\" \nh{zone=\"a\"} 1 @1\n"
                "k{c=\"d\", zone=\"b\"} 2 @1\n");
    check_flush(s, 2, "g 12 @2\nh{zone=\"a\"} 1 @2\nk{c=\"d\", zone=\"b\"} 2 @2\n");
    statsd_free(s);
}

TEST(statsd_timers_are_summaries_in_seconds)
{
    struct statsd *s = open_statsd("");
    char line[64];

    for (int i = 1; i <= 100; i++) {
        (void)snprintf(line, sizeof(line), "t:%d|ms", i * 10);
        take(s, line);
    }
    take(s, "h:4|h|@0.5\n");
    check_flush(s, 1,
                "h_count 2 @1\nh_sum 8 @1\nh{quantile=\"0.5\"} 4 @1\nh{quantile=\"0.9\"} 4 @1\n"
                "h{quantile=\"0.99\"} 4 @1\nsummary h \"\" \nsummary t \"\" \n"
                "t_count 100 @1\nt_sum 50.5 @1\nt{quantile=\"0.5\"} 0.5 @1\n"
                "t{quantile=\"0.9\"} 0.9 @1\nt{quantile=\"0.99\"} 0.99 @1\n");
    check_flush(s, 2, "h_count 2 @2\nh_sum 8 @2\nt_count 100 @2\nt_sum 50.5 @2\n");
    statsd_free(s);
}

TEST(statsd_timers_count_as_often_as_their_rate_says)
{
    struct statsd *s = open_statsd("");

    take(s, "t:900|h|@0.01\nt:10|h\nt:10:20|h\nt:1000|h|@0.25\n");
    check_flush(s, 1,
                "summary t \"\" \nt_count 107 @1\nt_sum 94040 @1\nt{quantile=\"0.5\"} 900 @1\n"
                "t{quantile=\"0.9\"} 900 @1\nt{quantile=\"0.99\"} 1000 @1\n");
    statsd_free(s);
}

TEST(statsd_timers_may_be_native_histograms)
{
    struct statsd *s = statsd_new(&(struct statsd_opts){
        .max_series = 10, .max_bytes = 64 << 10, .expiry_ms = 60000, .has_histograms = true});

    take(s, "t:1500:500|ms\nt:2000|ms|@0.5\nh:0|h\n");
    check_flush(s, 1,
                "h histogram 1 0 @1\nhistogram h \"\" \nhistogram t \"\" \n"
                "t histogram 4 6 @1\n");
    take(s, "t:1000|ms\n");
    check_flush(s, 2, "h histogram 1 0 @2\nt histogram 5 7 @2\n");
    check_flush(s, T0 + 60000,
                "h histogram 0 nan @1700000060000\nt histogram 0 nan @1700000060000\n");
    CHECK_INT(statsd_metrics(s)->bytes, 0);
    statsd_free(s);
}

TEST(statsd_summaries_are_of_a_uniform_sample)
{
    struct statsd *s = open_statsd("");
    struct buf got, lines = {0};
    ptrdiff_t at;
    double median;

    for (int i = 0; i < 50000; i++)
        buf_printf(&lines, "t:%d|h\n", i);
    take(s, buf_cstr(&lines));
    statsd_flush(s, 1);
    got = push_text(statsd_decode, s, SLICE_EMPTY);
    at = slice_find(buf_slice(&got), SLICE("0.5\"} "), 0);
    CHECK(at > 0);
    median = atof(buf_cstr(&got) + at + 6);
    CHECK(median > 20000 && median < 30000);
    buf_done(&got);
    buf_done(&lines);
    statsd_free(s);
}

TEST(statsd_sets_count_elements_of_the_period)
{
    struct statsd *s = open_statsd("");
    struct buf lines = {0};

    for (int i = 0; i < 1000; i++)
        buf_printf(&lines, "users:u%d|s\n", i % 300);
    take(s, buf_cstr(&lines));
    check_flush(s, 1, "gauge users \"\" \nusers 300 @1\n");
    take(s, "users:x|s\nusers:x|s\n");
    check_flush(s, 2, "users 1 @2\n");
    check_flush(s, 3, "users 0 @3\n");
    buf_done(&lines);
    statsd_free(s);
}

TEST(statsd_drops_and_counts_what_it_cannot_take)
{
    static const char *const bad[] = {"a",        "a:|c",    "a:1",       ":1|c",
                                      "a:x|c",    "a:-1|c",  "a:1|q",     "a:1|c|@0",
                                      "a:1|c|@2", "a:1|c|x", "a:nan|g",   "a:inf|g",
                                      "a:1:|c",   "a|c:1",   "a:1|c|#:v", "a:1|c|#b:1,b:2"};
    struct statsd *s = open_statsd("");

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        take(s, bad[i]);
        if (statsd_metrics(s)->bad != i + 1)
            test_fail(__FILE__, __LINE__, "%s is taken", bad[i]);
    }
    CHECK_INT(statsd_metrics(s)->series, 0);
    take(s, "_e{5,4}:title|text\n_sc|check|0\nx:1|c\nx:1|g\n");
    CHECK_INT(statsd_metrics(s)->other, 2);
    CHECK_INT(statsd_metrics(s)->conflicts, 1);
    CHECK_INT(statsd_metrics(s)->lines, ORR_COUNT(bad) + 4);
    statsd_free(s);
}

TEST(statsd_bounds_series_and_memory)
{
    struct statsd *s = statsd_new(&(struct statsd_opts){
        .max_series = 10, .max_bytes = 64 << 10, .expiry_ms = 1000, .seed = 1});
    struct buf got;
    char line[64];

    for (int i = 0; i < 12; i++) {
        (void)snprintf(line, sizeof(line), "c%d:1|s", i);
        take(s, line);
    }
    CHECK_INT(statsd_metrics(s)->series, 10);
    CHECK_INT(statsd_metrics(s)->over_series, 2);
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(line, sizeof(line), "c0:%d|s", i);
        take(s, line);
    }
    CHECK(statsd_metrics(s)->over_bytes > 0);
    CHECK(statsd_metrics(s)->bytes <= 64 << 10);
    statsd_flush(s, T0 + 2000);
    got = push_text(statsd_decode, s, SLICE_EMPTY);
    buf_done(&got);
    CHECK_INT(statsd_metrics(s)->series, 0);
    CHECK_INT(statsd_metrics(s)->bytes, 0);
    statsd_free(s);
}

TEST(statsd_series_that_nothing_comes_for_end_stale)
{
    struct tenant_limits limits = {.generation = 1};
    struct statsd *s = open_statsd("");
    struct push *p = push_new(SLICE("t"), &limits);
    struct push_builder b;
    struct fp_cache known;

    take(s, "a:1|c\nt:1|ms\n");
    fp_cache_init(&known, 1 << 20);
    push_builder_init(&b, p, &known, T0);
    statsd_flush(s, T0 + 60000);
    CHECK_OK(statsd_decode(&b, s));
    CHECK_INT(p->series.len, 6); /* a, t_count, t_sum, three quantiles */
    VEC_FOREACH (x, &p->series)
        CHECK(sample_is_stale(x->sample.v));
    CHECK_INT(statsd_metrics(s)->expired, 2);
    CHECK_INT(statsd_metrics(s)->series, 0);
    push_free(p);
    fp_cache_done(&known);
    statsd_free(s);
}

TEST(statsd_flushes_many_series_slice_by_slice)
{
    struct statsd *s = open_statsd("");
    struct buf lines = {0}, got;
    size_t n = 0, slices = 0;

    for (int i = 0; i < STATSD_SLICE_SERIES + 10; i++)
        buf_printf(&lines, "c%d:1|c\n", i);
    take(s, buf_cstr(&lines));
    for (statsd_flush(s, 1); !statsd_flush_is_done(s); slices++) {
        struct slice rest, line;

        got = push_text(statsd_decode, s, SLICE_EMPTY);
        for (rest = buf_slice(&got); slice_split(&rest, '\n', &line);)
            n += line.len && line.ptr[0] == 'c' && line.ptr[1] != 'o';
        buf_done(&got);
    }
    CHECK_INT(slices, 2);
    CHECK_INT(n, STATSD_SLICE_SERIES + 10);
    buf_done(&lines);
    statsd_free(s);
}

TEST(statsd_line_reads_values_one_by_one)
{
    struct statsd_line p;
    struct slice values, text;
    double v;
    bool is_change;

    statsd_line_init(&p, SLICE("a.b:1:+2|g|@0.1|#x:y:z|c:abc|T17\r\n"));
    CHECK_INT(statsd_line_next(&p), STATSD_METRIC);
    CHECK_SLICE(p.name, "a.b");
    CHECK_SLICE(p.tags[0].value, "y:z");
    CHECK(p.rate == 0.1);
    values = p.values;
    CHECK(statsd_line_value(&p, &values, &text, &v, &is_change) && v == 1 && !is_change);
    CHECK(statsd_line_value(&p, &values, &text, &v, &is_change) && v == 2 && is_change);
    CHECK(!statsd_line_value(&p, &values, &text, &v, &is_change));
    CHECK_INT(statsd_line_next(&p), STATSD_END);
}
