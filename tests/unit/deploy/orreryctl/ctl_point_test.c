#include <math.h>

#include "deploy/orreryctl/ctl_point.h"
#include "tests/unit/test.h"

static const struct label pair[] = {{SLICE("__name__"), SLICE("h")},
                                    {SLICE("a"), SLICE("x\"\n\\")}};
static const struct labels ls = {pair, 2};

static const struct histogram_span spans[] = {{-1, 1}, {2, 2}};
static const double counts[] = {1, 0.5, 2};
static const double bounds[] = {0.25, 1e21};

static void text(const struct ctl_point *s, enum ctl_format format, const char *want)
{
    struct arena *a = arena_new(0);
    struct buf out = {0};

    ctl_point_text(&out, a, format, SLICE("n"), s);
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
    arena_free(a);
}

static void json(const struct ctl_point *s, size_t n, const char *want)
{
    struct buf out = {0};

    ctl_point_json(&out, ls, s, n);
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&out);
}

TEST(ctl_point_writes_texts)
{
    const struct histogram h = {.count = 3.5,
                                .sum = -2,
                                .zero_threshold = 0.001,
                                .zero_count = 0,
                                .pos_spans = spans,
                                .n_pos_spans = 2,
                                .pos_buckets = counts,
                                .n_pos_buckets = 3};
    struct buf out = {0};

    ctl_point_name(&out, ls);
    CHECK_STR(buf_cstr(&out), "h{a=\"x\\\"\\n\\\\\"}");
    buf_done(&out);
    text(&(struct ctl_point){-500, 1.5, NULL}, CTL_FORMAT_OPENMETRICS, "n 1.5 -0.500\n");
    text(&(struct ctl_point){-500, 1.5, NULL}, CTL_FORMAT_LINES, "n 1.5 -500\n");
    text(&(struct ctl_point){7, 0, &h}, CTL_FORMAT_LINES,
         "n {count:3.5, sum:-2, (0.25,0.5]:1, (2,4]:0.5, (4,8]:2} 7\n");
}

TEST(ctl_point_writes_json_with_every_number)
{
    const struct ctl_point floats[] = {
        {1, 0.1, NULL},      {2, sample_from_bits(SAMPLE_STALE_BITS), NULL},
        {3, NAN, NULL},      {4, -INFINITY, NULL},
        {5, INFINITY, NULL}, {6, -0.0, NULL},
        {7, 5e-324, NULL}};
    const struct histogram h = {.schema = HISTOGRAM_CUSTOM_SCHEMA,
                                .hint = HISTOGRAM_GAUGE,
                                .is_int = true,
                                .count = 3,
                                .sum = INFINITY,
                                .pos_spans = spans,
                                .n_pos_spans = 2,
                                .pos_buckets = counts,
                                .n_pos_buckets = 3,
                                .neg_spans = spans,
                                .n_neg_spans = 1,
                                .neg_buckets = counts,
                                .n_neg_buckets = 1,
                                .custom_bounds = bounds,
                                .n_custom_bounds = 2};
    const struct histogram stale = {.sum = sample_from_bits(SAMPLE_STALE_BITS)};
    const struct ctl_point hists[] = {{1, 0, &h}, {2, 0, &stale}};

    json(floats, 7,
         "{\"metric\":{\"__name__\":\"h\",\"a\":\"x\\\"\\n\\\\\"},\"values\":[0.1,null,\"NaN\","
         "\"-Infinity\",\"Infinity\",-0,5e-324],\"timestamps\":[1,2,3,4,5,6,7]}\n");
    json(hists, 2,
         "{\"metric\":{\"__name__\":\"h\",\"a\":\"x\\\"\\n\\\\\"},\"histograms\":[{\"count\":3,"
         "\"sum\":"
         "\"Infinity\",\"schema\":-53,\"zero_threshold\":0,\"zero_count\":0,\"positive_spans\":[[-"
         "1,1],"
         "[2,2]],\"positive_counts\":[1,0.5,2],\"negative_spans\":[[-1,1]],\"negative_counts\":[1],"
         "\"custom_values\":[0.25,1e+21],\"hint\":\"gauge\",\"is_integer\":true},{\"count\":0,"
         "\"sum\":null,"
         "\"schema\":0,\"zero_threshold\":0,\"zero_count\":0,\"positive_spans\":[],\"positive_"
         "counts\":[],"
         "\"negative_spans\":[],\"negative_counts\":[],\"custom_values\":[],\"hint\":\"unknown\","
         "\"is_integer\":false}],\"timestamps\":[1,2]}\n");
}
