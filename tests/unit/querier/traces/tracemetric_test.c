#include <math.h>

#include "querier/traces/tracemetric.h"
#include "tests/unit/test.h"

#define SECOND 1000000000ll

/* One trace: a span a second from 1 s on, of names a, b, a, b …, each as long as its number in ms. */
static const struct tracecols *spans(struct arena *a, uint64_t n)
{
    static const uint8_t id[16] = {1};
    struct tracebuild *b = tracebuild_new(a);

    (void)tracebuild_resource(b);
    (void)tracebuild_library(b, SLICE(""), SLICE(""));
    tracebuild_trace(b, id);
    for (uint64_t i = 1; i <= n; i++) {
        struct tracebuild_span s = {.span_id = i,
                                    .name = i % 2 ? SLICE("a") : SLICE("b"),
                                    .start_ns = (int64_t)i * SECOND,
                                    .end_ns = (int64_t)i * (SECOND + 1000000)};
        struct tracevalue size = {.type = TRACECELL_INT, .v.i = (int64_t)i * 10};
        struct tracevalue endless = {.type = TRACECELL_FLOAT, .v.f = INFINITY};

        (void)tracebuild_span(b, &s);
        tracebuild_attribute(b, TRACE_SPANS, SLICE("size"), &size);
        tracebuild_attribute(b, TRACE_SPANS, SLICE("endless"), &endless);
    }
    return tracebuild_end(b);
}

static const struct tracemetric_range range = {.end_ns = 8 * SECOND, .step_ns = 4 * SECOND};

static struct tracemetric_set ask(struct arena *a, const char *query)
{
    struct tracemetric_set set;
    struct tracemetric *m;
    struct traceql q;

    CHECK_OK(traceql_parse(a, slice_cstr(query), &q));
    CHECK_OK(tracemetric_new(&q, &range, &m));
    CHECK_OK(tracemetric_add(m, spans(a, 9))); /* the ninth is behind the end */
    set = tracemetric_end(m, a);
    CHECK_INT(set.n_points, 2);
    tracemetric_free(m);
    return set;
}

static bool is_near(double l, double r)
{
    return fabs(l - r) < 1e-12;
}

TEST(tracemetric_counts)
{
    struct arena *a = arena_new(0);
    struct tracemetric_set set = ask(a, "{} | rate()");

    CHECK_INT(set.n, 1);
    CHECK_SLICE(set.ptr[0].labels[0].name, "__name__");
    CHECK(set.ptr[0].values[0] == 1 && set.ptr[0].values[1] == 1);
    CHECK_INT(tracemetric_ms(&range, 1), 8000);
    set = ask(a, "{ name = \"a\" } | count_over_time() by(name)");
    CHECK_INT(set.n, 1);
    CHECK_SLICE(set.ptr[0].labels[0].value.v.s, "a");
    CHECK(set.ptr[0].values[1] == 2);
    set = ask(a, "{ name = \"c\" } | count_over_time()");
    CHECK_INT(set.n, 1);
    CHECK(set.ptr[0].values[0] == 0);
    set = ask(a, "{ name = \"c\" } | count_over_time() by(name)");
    CHECK_INT(set.n, 0);
    arena_free(a);
}

TEST(tracemetric_over_attributes)
{
    struct arena *a = arena_new(0);

    CHECK(is_near(ask(a, "{} | sum_over_time(duration)").ptr[0].values[0], 0.010));
    CHECK(is_near(ask(a, "{} | avg_over_time(span.size)").ptr[0].values[1], 65));
    CHECK(is_near(ask(a, "{} | min_over_time(span.size)").ptr[0].values[1], 50));
    CHECK(is_near(ask(a, "{} | max_over_time(span.size)").ptr[0].values[0], 40));
    CHECK_INT(ask(a, "{} | max_over_time(span.none)").n, 0);
    arena_free(a);
}

/* Sizes 10 to 40 are in buckets 16, 32, 32, 64, and 50 to 80 in 64, 64, 128, 128. */
TEST(tracemetric_histograms)
{
    struct arena *a = arena_new(0);
    struct tracemetric_set set = ask(a, "{} | histogram_over_time(span.size)");

    CHECK_INT(set.n, 4);
    CHECK(set.ptr[1].labels[0].value.v.f == 32 && set.ptr[1].values[0] == 2);
    set = ask(a, "{} | quantile_over_time(span.size, .25, .5, 1)");
    CHECK_INT(set.n, 3);
    CHECK(set.ptr[0].values[0] == 16);
    CHECK(is_near(set.ptr[1].values[0], exp2(4.5))); /* one of the two spans in 32 */
    CHECK(set.ptr[2].values[0] == 64);
    CHECK(is_near(set.ptr[0].values[1], exp2(5.5)));
    CHECK_INT(ask(a, "{} | histogram_over_time(span.endless)").n, 0); /* no bucket has that */
    arena_free(a);
}

TEST(tracemetric_arithmetic_and_stages)
{
    struct arena *a = arena_new(0);
    struct tracemetric_set set =
        ask(a, "({ name = \"a\" } | rate() by(name)) / ({} | rate()) * 100");

    CHECK_INT(set.n, 1);
    CHECK_SLICE(set.ptr[0].labels[0].name, "name");
    CHECK(set.ptr[0].values[0] == 50);
    set = ask(a, "({} | rate()) - 1 > 0");
    CHECK_INT(set.n, 0);
    set = ask(a, "{} | sum_over_time(span.size) by(name) | topk(1)");
    CHECK_INT(set.n, 1);
    CHECK_SLICE(set.ptr[0].labels[0].value.v.s, "b");
    set = ask(a, "{} | sum_over_time(span.size) by(name) | bottomk(1) > 50");
    CHECK_INT(set.n, 1);
    CHECK(isnan(set.ptr[0].values[0]) && set.ptr[0].values[1] == 120);
    arena_free(a);
}

static struct err *refused(struct arena *a, const char *query, struct tracemetric_range r)
{
    struct tracemetric *m = NULL;
    struct traceql q;
    struct err *e;

    CHECK_OK(traceql_parse(a, slice_cstr(query), &q));
    if (!(e = tracemetric_new(&q, &r, &m)))
        e = tracemetric_add(m, spans(a, 9));
    tracemetric_free(m);
    return e;
}

TEST(tracemetric_refuses)
{
    struct arena *a = arena_new(0);
    struct tracemetric_range r = range;

    CHECK_ERR(refused(a, "{}", r), ERR_INVALID, "makes no metrics");
    CHECK_ERR(refused(a, "{} | compare({})", r), ERR_INVALID, "compare() is not supported yet");
    r.step_ns = 0;
    CHECK_ERR(refused(a, "{} | rate()", r), ERR_INVALID, "a step above 0");
    r.step_ns = 1000;
    CHECK_ERR(refused(a, "{} | rate()", r), ERR_LIMIT, "ask for a larger step");
    r = range;
    r.max_series = 2;
    CHECK_ERR(refused(a, "{} | rate() by(span.size)", r), ERR_LIMIT, "more than 2 series");
    arena_free(a);
}
