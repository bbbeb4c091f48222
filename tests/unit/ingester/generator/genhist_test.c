#include <math.h>

#include "common/base/rng.h"
#include "ingester/generator/genhist.h"
#include "tests/unit/test.h"

static const double bounds[] = {1, 2, 4};
static const struct generator_buckets buckets = {bounds, 3};
static const uint8_t trace[16] = {7};

TEST(genhist_counts_into_buckets)
{
    struct genhist *h = genhist_new(&buckets, true);
    static const double values[] = {0, 1, 1.5, 2, 5, 4, 100};

    for (size_t i = 0; i < ORR_COUNT(values); i++)
        genhist_observe(h, &buckets, false, values[i], 1, trace, 1000 + (int64_t)i);
    CHECK(h->classic[0] == 2 && h->classic[1] == 2 && h->classic[2] == 1 && h->classic[3] == 2);
    CHECK(h->count == 7 && h->sum == 113.5);
    CHECK(h->exemplars[3].v == 100 && h->exemplars[3].t_ms == 1006 &&
          h->exemplars[3].trace[0] == 7);
    CHECK_INT(h->native.len, 0);
    genhist_free(h);
}

/* Every value is within its bucket, of whatever schema; buckets are as Prometheus has them: (2^((i-1)/2^s), 2^(i/2^s)]. */
static void check_native(size_t n, double low, double high)
{
    struct genhist *h = genhist_new(&buckets, false);
    double *values = mem_new_array(double, n);
    struct arena *a = arena_new(0);
    struct histogram nh;
    struct rng rng;
    double total = 0;
    int32_t index = 0;
    size_t b = 0;

    rng_seed(&rng, 3);
    for (size_t i = 0; i < n; i++) {
        values[i] = exp2(low + (high - low) * rng_unit(&rng));
        genhist_observe(h, &buckets, true, values[i], 1, trace, 1);
    }
    nh = genhist_to_native(h, a);
    CHECK(nh.n_pos_buckets <= GENHIST_MAX_NATIVE && nh.count == (double)n && nh.is_int);
    for (size_t s = 0; s < nh.n_pos_spans; s++) {
        index += nh.pos_spans[s].offset;
        for (uint32_t k = 0; k < nh.pos_spans[s].length; k++, index++, b++) {
            double from = exp2(ldexp(index - 1, -nh.schema)), to = exp2(ldexp(index, -nh.schema));
            size_t in = 0;

            for (size_t i = 0; i < n; i++)
                in += values[i] > from && values[i] <= to;
            CHECK(nh.pos_buckets[b] == (double)in && in > 0);
            total += nh.pos_buckets[b];
        }
    }
    CHECK(b == nh.n_pos_buckets && total == (double)n);
    arena_free(a);
    mem_free(values);
    genhist_free(h);
}

TEST(genhist_native_buckets_hold_what_they_should)
{
    check_native(1000, -3, 3);   /* schema 3 */
    check_native(5000, -60, 60); /* coarser */
    check_native(5000, -120, 300);
}

TEST(genhist_native_bounds_belong_to_the_lower_bucket)
{
    static const struct {
        double v;
        int32_t index;
    } cases[] = {{1, 0}, {2, 8}, {0.5, -8}, {1.0000001, 1}, {1.9999, 8}, {2.0001, 9}};

    for (int32_t i = -20; i <= 20; i++) {
        struct genhist *h = genhist_new(&buckets, false);
        double bound = exp2(i / 8.0);

        genhist_observe(h, &buckets, true, nextafter(bound, INFINITY), 1, trace, 1);
        genhist_observe(h, &buckets, true, bound, 1, trace, 1);
        CHECK(h->native.len == 2 && h->native.ptr[0].index == i && h->native.ptr[1].index == i + 1);
        genhist_free(h);
    }

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct genhist *h = genhist_new(&buckets, false);

        genhist_observe(h, &buckets, true, cases[i].v, 1, trace, 1);
        CHECK_INT(h->native.ptr[0].index, cases[i].index);
        genhist_observe(h, &buckets, true, 0, 0.5, trace, 1);
        CHECK(h->zeros == 0.5 && h->is_fractional && h->native.len == 1);
        genhist_free(h);
    }
}
