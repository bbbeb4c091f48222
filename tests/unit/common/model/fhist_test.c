#include <math.h>

#include "common/model/fhist.h"
#include "tests/unit/test.h"

static const struct fhist *make(struct arena *a, int32_t schema, double count, double sum, size_t n,
                                const double *buckets)
{
    struct histogram_span span = {0, (uint32_t)n};
    struct histogram h = {.schema = schema,
                          .count = count,
                          .sum = sum,
                          .pos_spans = &span,
                          .n_pos_spans = 1,
                          .pos_buckets = buckets,
                          .n_pos_buckets = n};

    return fhist_from(a, &h);
}

static void check_text(struct arena *a, const struct fhist *h, const char *want)
{
    struct buf b = {0};

    fhist_text(&b, a, h);
    CHECK_STR(buf_cstr(&b), want);
    buf_done(&b);
}

TEST(fhist_adds_across_resolutions)
{
    struct arena *a = arena_new(0);
    struct fhist_notes notes = {0};
    const struct fhist *coarse = make(a, 0, 3, 2, 2, (double[]){1, 2});
    const struct fhist *fine = make(a, 1, 10, 8, 4, (double[]){1, 2, 3, 4});

    /* Schema 1 buckets 0..3 end at 1, 1.41, 2, 2.83: (0.5,1] 1, (1,2] 2+3, (2,4] 4. */
    check_text(a, fhist_add(a, coarse, fine, &notes),
               "{count:13, sum:10, (0.5,1]:2, (1,2]:7, (2,4]:4}");
    check_text(a, fhist_sub(a, fine, fine, &notes), "{count:0, sum:0}");
    CHECK(!notes.has_reset_conflict && !notes.has_reconciled);
    CHECK(fhist_is_reset(a, coarse, fine));
    CHECK(!fhist_is_reset(a, fhist_add(a, fine, fine, &notes), fine));
    arena_free(a);
}

TEST(fhist_keeps_the_bounds_both_have)
{
    struct arena *a = arena_new(0);
    struct fhist_notes notes = {0};
    struct histogram_span span = {0, 3};
    const double buckets[] = {1, 2, 3}, b1[] = {1, 2}, b2[] = {2, 3};
    struct histogram h = {.schema = HISTOGRAM_CUSTOM_SCHEMA,
                          .count = 6,
                          .sum = 9,
                          .pos_spans = &span,
                          .n_pos_spans = 1,
                          .pos_buckets = buckets,
                          .n_pos_buckets = 3,
                          .custom_bounds = b1,
                          .n_custom_bounds = 2};
    const struct fhist *x = fhist_from(a, &h), *y;

    h.custom_bounds = b2;
    y = fhist_from(a, &h);
    check_text(a, fhist_add(a, x, y, &notes), "{count:12, sum:18, [-Inf,2]:4, (2,+Inf]:8}");
    CHECK(notes.has_reconciled);
    CHECK(!fhist_add(a, x, make(a, 0, 1, 1, 1, (double[]){1}), &notes));
    arena_free(a);
}

TEST(fhist_widens_zero_buckets_to_the_larger)
{
    struct arena *a = arena_new(0);
    struct fhist_notes notes = {0};
    struct histogram_span span = {0, 2};
    const double buckets[] = {1, 2};
    struct histogram h = {.zero_threshold = 0.7, .zero_count = 5, .count = 5};
    struct histogram g = {.zero_threshold = 0.1,
                          .zero_count = 1,
                          .count = 4,
                          .pos_spans = &span,
                          .n_pos_spans = 1,
                          .pos_buckets = buckets,
                          .n_pos_buckets = 2};
    const struct fhist *sum = fhist_add(a, fhist_from(a, &h), fhist_from(a, &g), &notes);

    /* 0.7 cuts the populated bucket (0.5,1]: the zero bucket grows to 1. */
    check_text(a, sum, "{count:9, sum:0, [-1,1]:7, (1,2]:2}");
    arena_free(a);
}

TEST(fhist_quantiles_and_fractions)
{
    struct arena *a = arena_new(0);
    struct fhist_quantile_notes notes = {0};
    const struct fhist *h = make(a, 0, 4, 6, 3, (double[]){1, 2, 1});
    bool has_nan = false;

    CHECK(fabs(fhist_quantile(a, 0.5, h, &notes) - sqrt(2)) < 1e-12);
    CHECK(fhist_quantile(a, 1, h, &notes) == 4);
    CHECK(isnan(fhist_quantile(a, NAN, h, &notes)));
    CHECK(fhist_fraction(a, 1, 2, h, &has_nan) == 0.5);
    CHECK(fhist_fraction(a, -INFINITY, INFINITY, h, &has_nan) == 1);
    CHECK(fhist_fraction(a, 2, 1, h, &has_nan) == 0);
    arena_free(a);
}

/* Found by fuzzing: sums waited for thresholds to become equal, which NaN never is. */
TEST(fhist_adds_with_a_threshold_that_is_no_number)
{
    struct arena *a = arena_new(0);
    struct fhist_notes notes = {0};
    const struct fhist *x = make(a, 0, 3, 2, 2, (double[]){1, 2}), *sum;
    struct fhist *odd = fhist_with_hint(a, x, HISTOGRAM_UNKNOWN);

    odd->zero_threshold = NAN;
    for (int round = 0; round < 2; round++) {
        CHECK((sum = fhist_add(a, round ? odd : x, round ? x : odd, &notes)));
        CHECK(sum->count == 6 && sum->sum == 4 && sum->pos.n == 2);
    }
    CHECK((sum = fhist_sub(a, odd, odd, &notes)) && sum->count == 0);
    (void)fhist_is_reset(a, odd, x);
    (void)fhist_is_reset(a, x, odd);
    arena_free(a);
}
