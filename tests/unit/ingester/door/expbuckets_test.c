#include <math.h>

#include "common/base/rng.h"
#include "ingester/door/expbuckets.h"
#include "tests/unit/test.h"

static double sum_of(const struct expbuckets_side *s)
{
    double sum = 0;

    for (uint32_t i = 0; i < s->n; i++)
        sum += s->counts[i];
    return sum;
}

/* The count of the bucket that holds v; its bounds must. */
static double count_at(const struct expbuckets *x, double v)
{
    const struct expbuckets_side *s = v < 0 ? &x->neg : &x->pos;
    double size = fabs(v);

    for (uint32_t i = 0; i < s->n; i++) {
        double bucket = s->first + (double)i;

        if (size > exp2(ldexp(bucket - 1, -x->schema)) && size <= exp2(ldexp(bucket, -x->schema)))
            return s->counts[i];
    }
    return -1;
}

TEST(expbuckets_hold_values_where_prometheus_would)
{
    struct expbuckets x;

    expbuckets_init(&x);
    expbuckets_add(&x, 1, 1);
    expbuckets_add(&x, 1.05, 2);
    expbuckets_add(&x, -3, 1);
    expbuckets_add(&x, 0, 4);
    CHECK_INT(x.schema, EXPBUCKETS_SCHEMA);
    CHECK_INT(x.pos.first, 0); /* (…, 1] is bucket 0 of every schema */
    CHECK_INT(x.pos.n, 2);
    CHECK(count_at(&x, 1) == 1 && count_at(&x, 1.05) == 2 && count_at(&x, -3) == 1);
    CHECK(x.zero_count == 4 && x.count == 8 && fabs(x.sum - 0.1) < 1e-12);
    expbuckets_done(&x);
}

TEST(expbuckets_grow_coarser_and_lose_nothing)
{
    struct expbuckets x;
    struct rng rng;
    double n = 0;

    expbuckets_init(&x);
    rng_seed(&rng, 3);
    for (int i = 0; i < 20000; i++) {
        double v = exp2((rng_unit(&rng) - 0.5) * i / 10);

        expbuckets_add(&x, rng_chance(&rng, 0.3) ? -v : v, 0.5);
        n += 0.5;
        CHECK(x.pos.n <= EXPBUCKETS_MAX && x.neg.n <= EXPBUCKETS_MAX);
        CHECK(v <= EXPBUCKETS_ZERO || count_at(&x, v) > 0 || count_at(&x, -v) > 0);
    }
    CHECK(x.schema < 0);
    CHECK(sum_of(&x.pos) + sum_of(&x.neg) + x.zero_count == n && x.count == n);
    CHECK(expbuckets_bytes(&x) <= 2 * EXPBUCKETS_MAX * sizeof(double));
    expbuckets_done(&x);
}

TEST(expbuckets_take_every_double)
{
    static const double values[] = {1e308, 5e-324, 1e-30, -1e308, -5e-324, 0x1p-127, 1};
    struct arena *a = arena_new(0);
    struct expbuckets x;
    struct histogram h;

    expbuckets_init(&x);
    for (size_t i = 0; i < ORR_COUNT(values); i++)
        expbuckets_add(&x, values[i], 1);
    h = expbuckets_histogram(&x, a);
    CHECK(h.count == 7 && !h.is_int && h.schema >= EXPBUCKETS_MIN_SCHEMA);
    CHECK(h.zero_count == 2);
    CHECK(sum_of(&x.pos) == 4 && sum_of(&x.neg) == 1);
    CHECK_INT(h.n_pos_spans, 1);
    CHECK_INT(h.pos_spans[0].length, h.n_pos_buckets);
    expbuckets_done(&x);
    arena_free(a);
}
