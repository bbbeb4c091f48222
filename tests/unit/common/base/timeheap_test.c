#include "common/base/rng.h"
#include "common/base/timeheap.h"
#include "tests/unit/test.h"

#define ITEMS 200

static int64_t least(const struct timeheap_item *items)
{
    int64_t ret = INT64_MAX;

    for (int i = 0; i < ITEMS; i++)
        if (items[i].place && items[i].at_ns < ret)
            ret = items[i].at_ns;
    return ret;
}

TEST(timeheap_first_is_the_least_whatever_is_set_moved_and_dropped)
{
    struct timeheap_item items[ITEMS] = {{0}};
    struct timeheap h = {0};
    struct rng rng;
    size_t in = 0;

    rng_seed(&rng, 7);
    CHECK(!timeheap_first(&h));
    for (int step = 0; step < 20000; step++) {
        struct timeheap_item *i = &items[rng_below(&rng, ITEMS)];
        bool was_in = i->place != 0;

        if (rng_below(&rng, 3)) {
            timeheap_set(&h, i, (int64_t)rng_below(&rng, 1000) - 500);
            in += !was_in;
        } else {
            timeheap_drop(&h, i);
            in -= was_in;
        }
        CHECK_INT(h.items.len, in);
        if (in)
            CHECK_INT(timeheap_first(&h)->at_ns, least(items));
    }
    timeheap_done(&h);
}

TEST(timeheap_empties_in_order)
{
    struct timeheap_item items[ITEMS] = {{0}}, *i;
    struct timeheap h = {0};
    struct rng rng;
    int64_t last = INT64_MIN;
    int n = 0;

    rng_seed(&rng, 8);
    for (int k = 0; k < ITEMS; k++)
        timeheap_set(&h, &items[k], (int64_t)rng_u64(&rng));
    for (; (i = timeheap_first(&h)); n++) {
        CHECK(i->at_ns >= last);
        last = i->at_ns;
        timeheap_drop(&h, i);
        CHECK_INT(i->place, 0);
    }
    CHECK_INT(n, ITEMS);
    timeheap_done(&h);
}
