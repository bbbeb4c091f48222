#include <stdlib.h>

#include "common/base/rng.h"
#include "common/base/slice_sort.h"
#include "tests/unit/test.h"

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

TEST(slice_sort_agrees_with_comparing_whole_texts)
{
    struct rng rng;

    rng_seed(&rng, 7);
    for (int round = 0; round < 200; round++) {
        uint8_t bytes[4096];
        struct slice got[100], want[100];
        size_t n = rng_below(&rng, 100), unique = 0;

        /* few letters, zeros among them, and a long common start: ties at every depth */
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)rng_below(&rng, i % 64 < 40 ? 1 : 3);
        for (size_t i = 0; i < n; i++)
            got[i] = want[i] = slice_of(bytes + i % 60 * 64, rng_below(&rng, 64));
        if (n)
            qsort(want, n, sizeof(*want), by_bytes);
        for (size_t i = 0; i < n; i++)
            if (!i || !slice_eq(want[i], want[i - 1]))
                unique++;
        slice_sort(got, n);
        for (size_t i = 0; i < n; i++)
            CHECK(slice_eq(got[i], want[i]));
        CHECK(slice_sort_unique(got, n) == unique);
    }
}

TEST(slice_sort_takes_none_and_one)
{
    struct slice one = SLICE("a");

    slice_sort(NULL, 0);
    slice_sort(&one, 1);
    CHECK(slice_sort_unique(&one, 1) == 1);
    CHECK(slice_eq(one, SLICE("a")));
}
