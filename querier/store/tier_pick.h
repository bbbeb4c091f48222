/*
 * By what tier (common/block/tiers.h) a select may be answered, and as what its points are read.
 *
 * A tier of resolution R is good enough for a range function when its windows are at least TIER_PICK_WINDOWS * R long and begin
 * and end where points do: a sum, count, least and greatest are then those of the samples. Windows that lie otherwise have at
 * either end up to R which their points do not stand for, or for which those of the next window do: they must be TIER_PICK_ASKEW * R
 * long, so that it is a sixteenth at most. How far apart the steps are is the asker's business (max_resolution_ms): the API's "auto" takes a
 * fifth of the step, as Thanos does. A subquery has steps of its own, which are not to be closer than points.
 *
 *   rate increase irate                      counter, whose resets are taken out
 *   min_ max_ sum_over_time                  min, max, sum
 *   count_ avg_ present_ absent_over_time    average, weighed by how many samples a point stands for
 *   delta deriv, and selectors by themselves average; a point of a selector is seen for R
 *   everything else                          needs samples: quantiles, deviations, changes, resets, first and last,
 *                                            timestamps, anchored and smoothed selectors
 *
 * Pure; any thread.
 */
#pragma once
#include "querier/engine/storage.h"
#include "querier/store/columns.h"

#define TIER_PICK_WINDOWS 4
#define TIER_PICK_ASKEW 16

struct tier_pick {
    unsigned max_tier;
    enum columns_value value;
    bool is_fit; /* points mean for the function what samples would */
};
struct tier_pick tier_pick_of(const struct storage_request *req);
