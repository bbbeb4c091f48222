/* By what tier a select may be answered. */
#include "common/block/tiers.h"
#include "querier/store/tier_pick.h"
#include "tests/unit/test.h"

#define MINUTE_MS 60000LL
#define HOUR_MS (60 * MINUTE_MS)

static unsigned picked(const char *func, int64_t range_ms, int64_t step_ms, int64_t end_ms)
{
    const struct storage_request req = {.func = slice_cstr(func),
                                        .range_ms = range_ms,
                                        .step_ms = step_ms,
                                        .end_ms = end_ms,
                                        .max_resolution_ms = INT64_MAX};

    return tier_pick_of(&req).max_tier;
}

TEST(tier_pick_wants_four_points_in_a_window_that_lies_as_they_do)
{
    static const int64_t end = 1000 * HOUR_MS;

    CHECK_INT(picked("sum_over_time", 4 * HOUR_MS, HOUR_MS, end), 2);
    CHECK_INT(picked("sum_over_time", 3 * HOUR_MS, HOUR_MS, end), 1);
    CHECK_INT(picked("sum_over_time", 20 * MINUTE_MS, 5 * MINUTE_MS, end), 1);
    CHECK_INT(picked("sum_over_time", 15 * MINUTE_MS, 5 * MINUTE_MS, end), 0);
}

TEST(tier_pick_wants_longer_windows_that_lie_askew)
{
    static const int64_t end = 1000 * HOUR_MS;

    CHECK_INT(picked("max_over_time", 6 * HOUR_MS, 6 * HOUR_MS, end + MINUTE_MS), 1);
    CHECK_INT(picked("max_over_time", 16 * HOUR_MS, 6 * HOUR_MS, end + MINUTE_MS), 2);
    CHECK_INT(picked("max_over_time", 6 * HOUR_MS, HOUR_MS + MINUTE_MS, end), 1);
    CHECK_INT(picked("max_over_time", 16 * HOUR_MS, HOUR_MS + MINUTE_MS, end), 2);
    CHECK_INT(picked("max_over_time", 6 * HOUR_MS + 5 * MINUTE_MS, HOUR_MS, end), 1);
}

TEST(tier_pick_reads_samples_for_what_points_make_no_sense_of)
{
    static const int64_t end = 1000 * HOUR_MS;

    CHECK_INT(picked("quantile_over_time", 24 * HOUR_MS, HOUR_MS, end), 0);
    CHECK_INT(picked("rate", 24 * HOUR_MS, HOUR_MS, end), 2);
}
