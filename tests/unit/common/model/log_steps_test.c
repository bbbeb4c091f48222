#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/model/log_steps.h"
#include "tests/unit/test.h"

TEST(log_steps_are_counted_and_bounded)
{
    CHECK_INT(log_steps_count(&(struct log_steps){0, 10, 5}), 2);
    CHECK_INT(log_steps_count(&(struct log_steps){0, 11, 5}), 3);
    CHECK_INT(log_steps_count(&(struct log_steps){-7, 1, 100}), 1);
    CHECK_INT(log_steps_count(&(struct log_steps){0, LOG_STEPS_MAX, 1}), LOG_STEPS_MAX);
    CHECK(log_steps_count(&(struct log_steps){0, LOG_STEPS_MAX + 1, 1}) == SIZE_MAX);
    CHECK(log_steps_count(&(struct log_steps){0, 10, 0}) == SIZE_MAX);
    CHECK(log_steps_count(&(struct log_steps){0, 10, -1}) == SIZE_MAX);
    CHECK(log_steps_count(&(struct log_steps){10, 10, 1}) == SIZE_MAX);
    CHECK(log_steps_count(&(struct log_steps){INT64_MIN, INT64_MAX, INT64_MAX}) == SIZE_MAX);
}

static void spread(const struct log_steps *s, int64_t min, int64_t max, uint64_t n,
                   uint64_t (*ret)[4])
{
    memset(*ret, 0, sizeof(*ret));
    log_steps_spread(s, min, max, n, *ret);
}

TEST(log_steps_get_their_share_of_what_meets_them)
{
    const struct log_steps s = {100, 135, 10}; /* the last one is half as long */
    uint64_t v[4];

    spread(&s, 100, 134, 35, &v);
    CHECK(v[0] == 10 && v[1] == 10 && v[2] == 10 && v[3] == 5);
    spread(&s, 0, 1000, 35, &v); /* all of what reaches out of the range */
    CHECK(v[0] == 10 && v[1] == 10 && v[2] == 10 && v[3] == 5);
    spread(&s, 115, 124, 7, &v);
    CHECK(v[0] == 0 && v[1] == 3 && v[2] == 4 && v[3] == 0);
    spread(&s, 134, 134, 9, &v); /* one moment */
    CHECK(v[0] == 0 && v[1] == 0 && v[2] == 0 && v[3] == 9);
    spread(&s, 135, 200, 9, &v);
    CHECK(v[0] == 0 && v[1] == 0 && v[2] == 0 && v[3] == 0);
    spread(&s, 0, 99, 9, &v);
    CHECK(v[0] == 0 && v[1] == 0 && v[2] == 0 && v[3] == 0);
    spread(&s, INT64_MIN, INT64_MAX, UINT64_MAX, &v);
    CHECK(v[0] + v[1] + v[2] + v[3] == UINT64_MAX && v[3] > 0);
}

TEST(log_steps_lose_nothing_and_add_to_what_is_there)
{
    struct rng r;

    rng_seed(&r, 11);
    for (int i = 0; i < 2000; i++) {
        struct log_steps s = {(int64_t)rng_below(&r, 1000), 0, (int64_t)rng_below(&r, 50) + 1};
        int64_t min = (int64_t)rng_below(&r, 2000), max = min + (int64_t)rng_below(&r, 2000);
        uint64_t n = rng_below(&r, 1000), sum = 0, *v;
        size_t count;

        s.to_ns = s.from_ns + 1 + (int64_t)rng_below(&r, 1000);
        count = log_steps_count(&s);
        v = mem_new_array(uint64_t, count);
        v[0] = 5;
        log_steps_spread(&s, min, max, n, v);
        for (size_t k = 0; k < count; k++)
            sum += v[k];
        CHECK_INT(sum, 5 + (max >= s.from_ns && min < s.to_ns ? n : 0));
        mem_free(v);
    }
}
