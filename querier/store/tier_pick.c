#include "querier/store/tier_pick.h"

static const struct {
    struct slice func;
    enum columns_value value;
} funcs[] = {
    {SLICE_INIT("rate"), COLUMNS_COUNTER},
    {SLICE_INIT("increase"), COLUMNS_COUNTER},
    {SLICE_INIT("irate"), COLUMNS_COUNTER},
    {SLICE_INIT("min_over_time"), COLUMNS_MIN},
    {SLICE_INIT("max_over_time"), COLUMNS_MAX},
    {SLICE_INIT("sum_over_time"), COLUMNS_SUM},
    {SLICE_INIT("count_over_time"), COLUMNS_AVERAGE},
    {SLICE_INIT("avg_over_time"), COLUMNS_AVERAGE},
    {SLICE_INIT("present_over_time"), COLUMNS_AVERAGE},
    {SLICE_INIT("absent_over_time"), COLUMNS_AVERAGE},
    {SLICE_INIT("delta"), COLUMNS_AVERAGE},
    {SLICE_INIT("deriv"), COLUMNS_AVERAGE},
};

/* Points stand for the resolution up to their time. */
static bool has_long_windows(const struct storage_request *req, int64_t resolution_ms)
{
    bool is_askew = req->end_ms % resolution_ms || req->range_ms % resolution_ms ||
                    req->step_ms % resolution_ms;

    return req->range_ms == 0 ||
           req->range_ms >= (is_askew ? TIER_PICK_ASKEW : TIER_PICK_WINDOWS) * resolution_ms;
}

struct tier_pick tier_pick_of(const struct storage_request *req)
{
    struct tier_pick p = {.value = COLUMNS_AVERAGE, .is_fit = req->range_ms == 0};

    for (size_t i = 0; req->range_ms && i < ORR_COUNT(funcs); i++)
        if (slice_eq(req->func, funcs[i].func)) {
            p.value = funcs[i].value;
            p.is_fit = true;
        }
    p.is_fit = p.is_fit && !req->needs_samples;
    for (unsigned tier = 1; p.is_fit && tier < TIERS; tier++) {
        int64_t resolution_ms = tier_resolution_ms(tier);

        if (resolution_ms <= req->max_resolution_ms &&
            (req->step_ms == 0 || resolution_ms <= req->step_ms) &&
            has_long_windows(req, resolution_ms))
            p.max_tier = tier;
    }
    return p;
}
