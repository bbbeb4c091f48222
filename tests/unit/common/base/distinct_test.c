#include <stdlib.h>

#include "common/base/distinct.h"
#include "tests/unit/test.h"

static uint64_t count_of(size_t n, int times, size_t *ret_bytes)
{
    struct arena *a = arena_new(0);
    struct distinct d = {0};
    uint64_t got;

    for (int t = 0; t < times; t++)
        for (size_t i = 0; i < n; i++) {
            char text[32];

            (void)snprintf(text, sizeof(text), "value %zu", t % 2 ? n - 1 - i : i);
            distinct_add(&d, a, slice_cstr(text));
        }
    got = distinct_count(&d);
    if (ret_bytes)
        *ret_bytes = arena_used(a);
    arena_free(a);
    return got;
}

TEST(distinct_is_exact_for_few)
{
    CHECK_INT(count_of(0, 1, NULL), 0);
    CHECK_INT(count_of(1, 3, NULL), 1);
    CHECK_INT(count_of(7, 2, NULL), 7);
    CHECK_INT(count_of(DISTINCT_EXACT, 3, NULL), DISTINCT_EXACT);
}

TEST(distinct_is_near_for_many_and_stays_small)
{
    static const size_t sizes[] = {257, 1000, 5000, 10000, 20000, 100000, 1000000};

    for (size_t i = 0; i < ORR_COUNT(sizes); i++) {
        size_t bytes;
        int64_t got = (int64_t)count_of(sizes[i], 1, &bytes), want = (int64_t)sizes[i];

        if (llabs(got - want) * 100 > want * 5)
            test_fail(__FILE__, __LINE__, "%lld of %lld", (long long)got, (long long)want);
        CHECK(bytes <= 16 << 10); /* the tables that were outgrown are still in the arena */
    }
    CHECK_INT(count_of(3000, 1, NULL),
              count_of(3000, 4, NULL)); /* again, and the other way round */
}

TEST(distinct_knows_the_empty_text)
{
    struct arena *a = arena_new(0);
    struct distinct d = {0};

    distinct_add(&d, a, SLICE_EMPTY);
    distinct_add(&d, a, SLICE(""));
    CHECK_INT(distinct_count(&d), 1);
    arena_free(a);
}
