/* The digits read back, no fewer do, and of as many they are the nearest: told by printf and strtod. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/num_short.h"
#include "common/base/rng.h"
#include "tests/unit/test.h"

static bool is_short(double v)
{
    struct num_short s = num_shortest(v);
    char text[64], nearest[64], digits[32], fewer[64];
    int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)s.digits);

    (void)snprintf(text, sizeof(text), "%se%d", digits, s.exp10);
    (void)snprintf(nearest, sizeof(nearest), "%.*e", n - 1, v);
    (void)snprintf(fewer, sizeof(fewer), "%.*e", ORR_MAX(n - 2, 0), v);
    if (strtod(text, NULL) != v || n > 17 || s.digits % 10 == 0)
        return false;
    if (n > 1 && strtod(fewer, NULL) == v)
        return false;
    return strtod(nearest, NULL) != v || strtod(nearest, NULL) == strtod(text, NULL);
}

static double of_bits(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

TEST(shortest_digits_of_any_double)
{
    struct rng rng;
    unsigned wrong = 0;

    rng_seed(&rng, 7);
    for (unsigned i = 0; i < 200000; i++) {
        double v = fabs(of_bits(rng_u64(&rng)));

        if (isfinite(v) && v > 0 && !is_short(v) && wrong++ < 3)
            fprintf(stderr, "%a\n", v);
    }
    CHECK_INT(wrong, 0);
}

TEST(shortest_digits_at_the_edges)
{
    unsigned wrong = 0;

    for (int e = 0; e < 2047; e++) /* powers of two, whose lower neighbour is nearer, and around */
        for (int d = -2; d <= 2; d++) {
            double v = of_bits(((uint64_t)e << 52) + (uint64_t)d);

            if (isfinite(v) && v > 0 && !is_short(v) && wrong++ < 3)
                fprintf(stderr, "%a\n", v);
        }
    for (int k = -323; k <= 308; k++) {
        char text[16];
        struct num_short s;

        (void)snprintf(text, sizeof(text), "1e%d", k);
        s = num_shortest(strtod(text, NULL));
        wrong += s.digits != 1 || s.exp10 != k;
    }
    CHECK_INT(wrong, 0);
    CHECK(num_shortest(4.9406564584124654e-324).digits == 5);
    CHECK(num_shortest(1.7976931348623157e308).digits == 17976931348623157ull);
    CHECK(num_shortest(9007199254740993.0).digits == 9007199254740992ull);
    CHECK(num_shortest(2e-44).digits == 2);
}
