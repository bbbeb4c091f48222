#include <malloc.h>
#include <math.h>

#include "querier/traces/tracecompare.h"
#include "querier/traces/tracehint.h"
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
    r.step_ns = 0;
    CHECK_ERR(refused(a, "{} | rate()", r), ERR_INVALID, "a step above 0");
    r.step_ns = 1000;
    CHECK_ERR(refused(a, "{} | rate()", r), ERR_LIMIT, "ask for a larger step");
    r = range;
    r.max_series = 2;
    CHECK_ERR(refused(a, "{} | rate() by(span.size)", r), ERR_LIMIT, "more than 2 series");
    arena_free(a);
}

/* The series with these values of its two labels' first and the name of the second; value NULL: of any. */
static const struct tracemetric_series *find(const struct tracemetric_set *set, const char *meta,
                                             const char *name, const char *value)
{
    for (size_t i = 0; i < set->n; i++) {
        const struct tracemetric_label *l = set->ptr[i].labels;

        if (slice_eq_cstr(l[0].value.v.s, meta) && slice_eq_cstr(l[1].name, name) &&
            (!value || (l[1].value.type == TRACEQL_STRING && slice_eq_cstr(l[1].value.v.s, value))))
            return &set->ptr[i];
    }
    return NULL;
}

TEST(tracemetric_compares)
{
    struct arena *a = arena_new(0);
    struct tracemetric_set set = ask(a, "{} | compare({ name = \"a\" })");
    const struct tracemetric_series *s;

    s = find(&set, "selection", "name", "a");
    CHECK(s && s->values[0] == 2 && s->values[1] == 2);
    CHECK_SLICE(s->labels[0].name, "__meta_type");
    CHECK(!find(&set, "baseline", "name", "a"));
    s = find(&set, "baseline", "name", "b");
    CHECK(s && s->values[0] == 2);
    s = find(&set, "baseline_total", "span.size", "nil");
    CHECK(s && s->values[0] == 2 && s->values[1] == 2);
    CHECK(find(&set, "selection_total", "status", "nil"));
    CHECK(!find(&set, "baseline", "duration", NULL));
    CHECK(!find(&set, "__too_many_values__", "span.size", NULL)); /* four each */
    arena_free(a);
}

TEST(tracemetric_compares_the_first_values_and_says_that_there_are_more)
{
    struct arena *a = arena_new(0);
    struct tracemetric_set set = ask(a, "{} | compare({ span.size > 20 }, 3)");
    const struct tracemetric_series *s = find(&set, "__too_many_values__", "span.size", "nil");
    size_t n = 0;

    CHECK(s && s->is_note);
    CHECK_SLICE(s->labels[0].name, "__meta_error");
    for (size_t i = 0; i < set.n; i++)
        n += slice_eq_cstr(set.ptr[i].labels[0].value.v.s, "selection") &&
             slice_eq_cstr(set.ptr[i].labels[1].name, "span.size");
    CHECK_INT(n, 3);
    CHECK(find(&set, "selection_total", "span.size", NULL)->values[1] == 4); /* of all six */
    CHECK(!find(&set, "__too_many_values__", "name", NULL));
    arena_free(a);
}

/* Spans at 3 s and 4 s; the rest is the baseline though the filter is true of them. */
TEST(tracemetric_compares_a_time)
{
    struct arena *a = arena_new(0);
    struct tracemetric_set set = ask(a, "{} | compare({}, 10, 3000000000, 5000000000)");

    CHECK(find(&set, "selection_total", "name", NULL)->values[0] == 2);
    CHECK(find(&set, "selection_total", "name", NULL)->values[1] == 0);
    CHECK(find(&set, "baseline_total", "name", NULL)->values[0] == 2);
    CHECK(find(&set, "baseline_total", "name", NULL)->values[1] == 4);
    arena_free(a);
}

/* 1200 spans with as many values, all at one point. */
TEST(tracemetric_compares_no_more_values_than_there_may_be)
{
    static const uint8_t id[16] = {1};
    struct arena *a = arena_new(0);
    struct tracebuild *b = tracebuild_new(a);
    struct tracemetric_set set;
    struct tracemetric *m;
    struct traceql q;

    (void)tracebuild_resource(b);
    (void)tracebuild_library(b, SLICE("lib"), SLICE(""));
    tracebuild_trace(b, id);
    for (uint64_t i = 1; i <= 1200; i++) {
        struct tracebuild_span s = {.span_id = i, .name = SLICE("a"), .start_ns = SECOND};
        struct tracevalue v = {.type = TRACECELL_INT, .v.i = (int64_t)i};

        (void)tracebuild_span(b, &s);
        tracebuild_attribute(b, TRACE_SPANS, SLICE("id"), &v);
    }
    CHECK_OK(traceql_parse(a, SLICE("{} | compare({}, 5000)"), &q));
    CHECK_OK(tracemetric_new(&q, &range, &m));
    CHECK_OK(tracemetric_add(m, tracebuild_end(b)));
    set = tracemetric_end(m, a);
    CHECK(find(&set, "__too_many_values__", "span.id", NULL));
    CHECK(find(&set, "selection_total", "span.id", NULL)->values[0] == 1200);
    CHECK(find(&set, "selection", "instrumentation:name", "lib")->values[0] == 1200);
    CHECK(!find(&set, "selection", "instrumentation:version", NULL));
    CHECK(set.n < TRACECOMPARE_MAX_VALUES + 20);
    tracemetric_free(m);
    arena_free(a);
}

/* One attribute's values, of as many points as there may be, take three times what there may be. */
TEST(tracemetric_compares_within_its_memory)
{
    static const uint8_t id[16] = {1};
    struct arena *a = arena_new(0);
    struct tracebuild *b = tracebuild_new(a);
    struct tracecompare *c = tracecompare_new(TRACEMETRIC_MAX_POINTS);
    uint32_t *points = mem_new_array(uint32_t, TRACECOMPARE_MAX_VALUES);
    uint8_t *is_selected = mem_new_array(uint8_t, TRACECOMPARE_MAX_VALUES);
    const struct tracecols *cols;
    size_t before;

    (void)tracebuild_resource(b);
    (void)tracebuild_library(b, SLICE("lib"), SLICE(""));
    tracebuild_trace(b, id);
    for (uint64_t i = 0; i < TRACECOMPARE_MAX_VALUES; i++) {
        struct tracebuild_span s = {.span_id = i + 1, .name = SLICE("a"), .start_ns = SECOND};
        struct tracevalue v = {.type = TRACECELL_INT, .v.i = (int64_t)i};

        (void)tracebuild_span(b, &s);
        tracebuild_attribute(b, TRACE_SPANS, SLICE("id"), &v);
    }
    cols = tracebuild_end(b);
    before = mallinfo2().uordblks + mallinfo2().hblkhd;
    CHECK_ERR(tracecompare_add(c, cols, points, is_selected), ERR_LIMIT, "compare() takes more");
    CHECK(mallinfo2().uordblks + mallinfo2().hblkhd < before + TRACECOMPARE_MAX_BYTES * 3 / 2);
    tracecompare_free(c);
    mem_free(points);
    mem_free(is_selected);
    arena_free(a);
}

static struct tracemetric_set ask_exemplars(struct arena *a, const char *query, uint32_t max)
{
    struct tracemetric_range r = range;
    struct tracemetric_set set;
    struct tracemetric *m;
    struct traceql q;

    r.max_exemplars = max;
    CHECK_OK(traceql_parse(a, slice_cstr(query), &q));
    CHECK_OK(tracemetric_new(&q, &r, &m));
    CHECK_OK(tracemetric_add(m, spans(a, 9)));
    set = tracemetric_end(m, a);
    tracemetric_free(m);
    return set;
}

static size_t count_exemplars(const struct tracemetric_set *set)
{
    size_t n = 0;

    for (size_t i = 0; i < set->n; i++)
        n += set->ptr[i].n_exemplars;
    return n;
}

TEST(tracemetric_shows_exemplars)
{
    struct arena *a = arena_new(0);
    struct tracemetric_set set = ask_exemplars(a, "{} | max_over_time(duration) by(name)", 100);

    CHECK_INT(count_exemplars(&set), 4); /* of two series two points each */
    for (size_t i = 0; i < set.n; i++) {
        for (size_t k = 0; k < set.ptr[i].n_exemplars; k++) {
            const struct tracemetric_exemplar *x = &set.ptr[i].exemplars[k];

            CHECK_SLICE(x->name, i ? "b" : "a");
            CHECK_INT(x->point, k);
            CHECK_INT(x->start_ns, (int64_t)x->span_id * SECOND);
            CHECK(is_near(x->value, (double)x->span_id / 1e3));
            CHECK(x->trace_id[0] == 1);
        }
    }
    set = ask_exemplars(a, "{} | rate() by(span.size)", 3);
    CHECK_INT(count_exemplars(&set), 3);
    set = ask_exemplars(a, "{} | rate() by(span.size)", 100);
    CHECK_INT(count_exemplars(&set), 8);
    CHECK(isnan(set.ptr[0].exemplars[0].value));
    set = ask_exemplars(a, "({} | max_over_time(duration)) * 2", 100);
    CHECK(count_exemplars(&set) == 2 && isnan(set.ptr[0].exemplars[0].value));
    set = ask_exemplars(a, "{} | rate()", 0);
    CHECK_INT(count_exemplars(&set), 0);
    arena_free(a);
}

/* Which spans they are does not hang on the order in which those come. */
TEST(tracemetric_shows_the_same_exemplars_in_any_order)
{
    static const uint8_t ids[2][16] = {{1}, {2}};
    struct tracemetric_range r = range;
    uint64_t shown[2][2] = {{0}};
    struct arena *a = arena_new(0);
    struct traceql q;

    r.max_exemplars = 1;
    CHECK_OK(traceql_parse(a, SLICE("{} | rate()"), &q));
    for (size_t order = 0; order < 2; order++) {
        struct tracemetric_set set;
        struct tracemetric *m;

        CHECK_OK(tracemetric_new(&q, &r, &m));
        for (size_t t = 0; t < 20; t++) {
            uint64_t n = order ? 20 - t : t + 1;
            struct tracebuild *b = tracebuild_new(a);
            struct tracebuild_span s = {.span_id = n, .start_ns = (int64_t)(n % 8 + 1) * SECOND};

            (void)tracebuild_resource(b);
            (void)tracebuild_library(b, SLICE(""), SLICE(""));
            tracebuild_trace(b, ids[n % 2]);
            (void)tracebuild_span(b, &s);
            CHECK_OK(tracemetric_add(m, tracebuild_end(b)));
        }
        set = tracemetric_end(m, a);
        CHECK_INT(count_exemplars(&set), 1);
        shown[order][0] = set.ptr[0].exemplars[0].span_id;
        shown[order][1] = set.ptr[0].exemplars[0].point;
        tracemetric_free(m);
    }
    CHECK_INT(shown[0][0], shown[1][0]);
    CHECK_INT(shown[0][1], shown[1][1]);
    arena_free(a);
}

/* 16, 32, 32, 64 are the buckets of the first point: those at or below the median are shown at it. */
TEST(tracemetric_shows_exemplars_at_the_quantile_they_are_near)
{
    struct arena *a = arena_new(0);
    struct tracemetric_set set = ask_exemplars(a, "{} | quantile_over_time(span.size, .5, 1)", 100);

    CHECK_INT(set.n, 2);
    CHECK(set.ptr[0].n_exemplars > 0 && set.ptr[1].n_exemplars > 0);
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < set.ptr[i].n_exemplars; k++) {
            const struct tracemetric_exemplar *x = &set.ptr[i].exemplars[k];

            CHECK((x->value <= set.ptr[0].values[x->point]) == (i == 0));
        }
    arena_free(a);
}

static struct err *hints_of(const char *with, struct tracehints *ret)
{
    struct arena *a = arena_new(0);
    struct traceql q;
    struct err *e;

    CHECK_OK(traceql_parse(a, slice_cstr(arena_printf(a, "{} | rate() with(%s)", with)), &q));
    e = tracehints_of(&q, ret);
    arena_free(a);
    return e;
}

TEST(tracehints_are_read_or_refused)
{
    struct tracehints h;

    CHECK_OK(hints_of("most_recent=true, sample=0.1, span_sample=1, trace_sample=0.5", &h));
    CHECK(!h.has_exemplars);
    CHECK_OK(hints_of("sample=true, exemplars=7", &h));
    CHECK(h.has_exemplars && h.exemplars == 7);
    CHECK_OK(hints_of("exemplars=true", &h));
    CHECK_INT(h.exemplars, UINT32_MAX);
    CHECK_OK(hints_of("exemplars=false", &h));
    CHECK(h.has_exemplars && h.exemplars == 0);
    CHECK_ERR(hints_of("job_size=5", &h), ERR_INVALID, "the hint job_size is not supported");
    CHECK_ERR(hints_of("sample=2", &h), ERR_INVALID, "the hint sample is to be a share");
    CHECK_ERR(hints_of("span_sample=true", &h), ERR_INVALID, "the hint span_sample");
    CHECK_ERR(hints_of("most_recent=1", &h), ERR_INVALID, "true or false");
    CHECK_ERR(hints_of("exemplars=1.5", &h), ERR_INVALID, "the hint exemplars");
}
