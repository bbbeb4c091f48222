/*
 * Results of stretches of a range query made into one: series by label set, each with the points of all
 * stretches one behind the other; warnings and infos of all, each once.
 *
 * Any thread; what the joined result points to is the arena's or the parts'.
 */
#pragma once
#include "querier/engine/engine.h"

struct steps_part {
    const struct engine_result *result; /* a matrix, sorted by labels */
    int64_t first_ms, last_ms;          /* of its points those from first to last are meant */
};

/* Parts in order of time, not overlapping. Sums up what was read, too. *ret_is_whole: as many annotations
 * as are shown of a query were enough for all. */
ORR_CHECKED struct err *steps_join(struct arena *a, const struct steps_part *parts, size_t n,
                                   struct engine_result *ret, bool *ret_is_whole);
