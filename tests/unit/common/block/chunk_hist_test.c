#include "common/base/rng.h"
#include "common/block/chunk.h"
#include "common/block/chunk_hist.h"
#include "tests/unit/test.h"

static const struct histogram_span spans_a[] = {{-2, 2}, {3, 1}};
static const struct histogram_span spans_b[] = {{-2, 3}, {2, 2}};
static const struct histogram_span spans_n[] = {{1, 1}};

static struct histogram hist_a(double k, bool is_int)
{
    static double pos[200][3], neg[200][1];
    static int slot;
    double *p = pos[slot % 200], *n = neg[slot++ % 200];

    p[0] = 1 * k, p[1] = 2 * k, p[2] = 5 * k;
    n[0] = 3 * k;
    return (struct histogram){.schema = 3,
                              .is_int = is_int,
                              .zero_threshold = 0.001,
                              .zero_count = 4 * k,
                              .count = 15 * k,
                              .sum = 1.5 * k,
                              .pos_spans = spans_a,
                              .n_pos_spans = 2,
                              .pos_buckets = p,
                              .n_pos_buckets = 3,
                              .neg_spans = spans_n,
                              .n_neg_spans = 1,
                              .neg_buckets = n,
                              .n_neg_buckets = 1};
}

static double bucket_at(const struct histogram *h, int64_t index)
{
    int64_t at = 0;
    size_t k = 0;

    for (size_t i = 0; i < h->n_pos_spans; i++) {
        at += h->pos_spans[i].offset;
        for (uint32_t j = 0; j < h->pos_spans[i].length; j++, at++, k++)
            if (at == index)
                return h->pos_buckets[k];
    }
    return 0;
}

static void round_trip(bool is_int)
{
    struct chunk_hist_appender *c = chunk_hist_appender_new();
    struct arena *a = arena_new(0);
    struct histogram *h;
    int64_t *t;
    size_t n;

    for (int i = 0; i < 120; i++) {
        struct histogram in = hist_a(i + (is_int ? 1 : 1.25), is_int);

        CHECK_INT(chunk_hist_append(c, 1000 * i + i % 3, &in, 120), CHUNK_HIST_ADDED);
    }
    CHECK_INT(chunk_hist_append(c, 1000000, &(struct histogram[]){hist_a(500, is_int)}[0], 120),
              CHUNK_HIST_FULL);
    CHECK_INT(chunk_hist_appender_encoding(c), is_int ? CHUNK_HISTOGRAM : CHUNK_FLOAT_HISTOGRAM);
    CHECK_OK(chunk_hist_decode(a, chunk_hist_appender_encoding(c), chunk_hist_appender_data(c), &n,
                               &t, &h));
    CHECK_INT(n, 120);
    for (int i = 0; i < 120; i++) {
        double k = i + (is_int ? 1 : 1.25);

        CHECK_INT(t[i], 1000 * i + i % 3);
        CHECK(h[i].count == 15 * k && h[i].zero_count == 4 * k && h[i].sum == 1.5 * k);
        CHECK(h[i].zero_threshold == 0.001 && h[i].schema == 3 && h[i].is_int == is_int);
        CHECK(h[i].n_pos_buckets == 3 && h[i].pos_buckets[2] == 5 * k &&
              h[i].neg_buckets[0] == 3 * k);
        CHECK_INT(h[i].hint, i ? HISTOGRAM_NOT_RESET : HISTOGRAM_UNKNOWN);
    }
    for (size_t len = 0; len < chunk_hist_appender_data(c).len; len++) {
        struct slice cut = slice_sub(chunk_hist_appender_data(c), 0, len);
        uint8_t *exact = (uint8_t *)mem_dup(cut.ptr, len);

        arena_reset(a);
        CHECK_ERR(
            chunk_hist_decode(a, chunk_hist_appender_encoding(c), slice_of(exact, len), &n, &t, &h),
            ERR_CORRUPT, "");
        mem_free(exact);
    }
    chunk_hist_appender_free(c);
    arena_free(a);
}

TEST(chunk_hist_keeps_integer_histograms)
{
    round_trip(true);
}

TEST(chunk_hist_keeps_float_histograms)
{
    round_trip(false);
}

TEST(chunk_hist_widens_the_layout_when_buckets_appear)
{
    for (int is_int = 0; is_int < 2; is_int++) {
        struct chunk_hist_appender *c = chunk_hist_appender_new();
        struct arena *a = arena_new(0);
        double pos[] = {50, 60, 7, 8, 90};
        struct histogram first = hist_a(1, is_int), second = hist_a(2, is_int), third, *h;
        int64_t *t;
        size_t n;

        third = hist_a(30, is_int);
        third.pos_spans = spans_b; /* -2 -1 0 | 3 4: covers a's -2 -1 and 3 */
        third.pos_buckets = pos;
        third.n_pos_buckets = 5;
        CHECK_INT(chunk_hist_append(c, 1, &first, 120), CHUNK_HIST_ADDED);
        CHECK_INT(chunk_hist_append(c, 2, &second, 120), CHUNK_HIST_ADDED);
        pos[3] = 10 * 2;
        CHECK_INT(chunk_hist_append(c, 3, &third, 120), CHUNK_HIST_ADDED);
        CHECK_OK(chunk_hist_decode(a, chunk_hist_appender_encoding(c), chunk_hist_appender_data(c),
                                   &n, &t, &h));
        CHECK_INT(n, 3);
        for (int i = -2; i <= 4; i++) {
            CHECK(bucket_at(&h[0], i) == bucket_at(&first, i));
            CHECK(bucket_at(&h[1], i) == bucket_at(&second, i));
            CHECK(bucket_at(&h[2], i) == bucket_at(&third, i));
        }
        CHECK_INT(t[1], 2);
        chunk_hist_appender_free(c);
        arena_free(a);
    }
}

TEST(chunk_hist_cuts_on_resets_and_other_schemas)
{
    struct chunk_hist_appender *c = chunk_hist_appender_new();
    struct histogram h = hist_a(10, true), x;

    CHECK_INT(chunk_hist_append(c, 1, &h, 120), CHUNK_HIST_ADDED);
    x = hist_a(9, true);
    CHECK_INT(chunk_hist_append(c, 2, &x, 120), CHUNK_HIST_RESET);
    x = hist_a(11, true);
    x.schema = 4;
    CHECK_INT(chunk_hist_append(c, 2, &x, 120), CHUNK_HIST_CUT);
    x = hist_a(11, false);
    CHECK_INT(chunk_hist_append(c, 2, &x, 120), CHUNK_HIST_CUT);
    x = hist_a(11, true);
    x.n_pos_spans = 1; /* a bucket that had counts is gone */
    x.n_pos_buckets = 2;
    CHECK_INT(chunk_hist_append(c, 2, &x, 120), CHUNK_HIST_RESET);
    x = hist_a(11, true);
    x.hint = HISTOGRAM_GAUGE;
    CHECK_INT(chunk_hist_append(c, 2, &x, 120), CHUNK_HIST_CUT);
    x = (struct histogram){.sum = sample_from_bits(SAMPLE_STALE_BITS)};
    CHECK_INT(chunk_hist_append(c, 2, &x, 120), CHUNK_HIST_ADDED);
    CHECK_INT(chunk_hist_append(c, 3, &x, 120), CHUNK_HIST_ADDED);
    x = hist_a(11, true);
    CHECK_INT(chunk_hist_append(c, 4, &x, 120), CHUNK_HIST_CUT);
    chunk_hist_appender_next(c, CHUNK_HIST_RESET);
    CHECK_INT(chunk_hist_append(c, 4, &x, 120), CHUNK_HIST_ADDED);
    CHECK_INT(chunk_hist_appender_data(c).ptr[2], 0x80);
    chunk_hist_appender_free(c);
}

TEST(chunk_hist_keeps_stale_markers_and_gauges_that_fall)
{
    struct chunk_hist_appender *c = chunk_hist_appender_new();
    struct arena *a = arena_new(0);
    struct histogram x, *h;
    int64_t *t;
    size_t n;

    for (int i = 0; i < 10; i++) {
        x = hist_a(100 - i * 7, true);
        x.hint = HISTOGRAM_GAUGE;
        if (i % 2) { /* loses a bucket, which is zero then */
            x.n_pos_spans = 1;
            x.n_pos_buckets = 2;
        }
        CHECK_INT(chunk_hist_append(c, i, &x, 120), CHUNK_HIST_ADDED);
    }
    x = (struct histogram){.sum = sample_from_bits(SAMPLE_STALE_BITS)};
    CHECK_INT(chunk_hist_append(c, 100, &x, 120), CHUNK_HIST_ADDED);
    CHECK_INT(chunk_hist_append(c, 101, &x, 120), CHUNK_HIST_ADDED);
    CHECK_OK(chunk_hist_decode(a, CHUNK_HISTOGRAM, chunk_hist_appender_data(c), &n, &t, &h));
    CHECK_INT(n, 12);
    CHECK(bucket_at(&h[2], 3) == 5 * 86 && bucket_at(&h[3], 3) == 0 && h[9].count == 15 * 37);
    CHECK_INT(h[4].hint, HISTOGRAM_GAUGE);
    CHECK(sample_is_stale(h[10].sum) && sample_is_stale(h[11].sum));
    CHECK_INT(h[11].n_pos_buckets, 0);
    CHECK_INT(t[11], 101);
    chunk_hist_appender_free(c);
    arena_free(a);
}

TEST(chunk_hist_keeps_custom_bounds)
{
    static const double bounds[] = {0.005, 1, 2.5, 1.0 / 3, 1e9, -4};
    static const struct histogram_span span[] = {{0, 2}};
    static const double buckets[] = {3, 4};
    struct chunk_hist_appender *c = chunk_hist_appender_new();
    struct histogram x = {.schema = HISTOGRAM_CUSTOM_SCHEMA, .count = 7, .sum = 9, .is_int = true},
                     *h;
    struct arena *a = arena_new(0);
    int64_t *t;
    size_t n;

    x.custom_bounds = bounds;
    x.n_custom_bounds = ORR_COUNT(bounds);
    x.pos_spans = span;
    x.n_pos_spans = 1;
    x.pos_buckets = buckets;
    x.n_pos_buckets = 2;
    CHECK_INT(chunk_hist_append(c, 5, &x, 120), CHUNK_HIST_ADDED);
    CHECK_OK(chunk_hist_decode(a, CHUNK_HISTOGRAM, chunk_hist_appender_data(c), &n, &t, &h));
    CHECK_INT(h[0].n_custom_bounds, ORR_COUNT(bounds));
    CHECK(memcmp(h[0].custom_bounds, bounds, sizeof(bounds)) == 0);
    x.n_custom_bounds--;
    CHECK_INT(chunk_hist_append(c, 6, &x, 120), CHUNK_HIST_RESET);
    chunk_hist_appender_free(c);
    arena_free(a);
}
