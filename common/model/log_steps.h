/*
 * A range of time in steps of one length, and volumes of log lines spread over them. Pure.
 *
 *     from ▕── step ──▏── step ──▏─▕ to        the last one may be shorter
 */
#pragma once
#include "common/base/slice.h"

#define LOG_STEPS_MAX 11001

/* from < to, step > 0 where there are steps. */
struct log_steps {
    int64_t from_ns, to_ns, step_ns; /* to is exclusive; step 0: none */
};
/* How many; SIZE_MAX if that is more than LOG_STEPS_MAX, or the range (at most INT64_MAX) or the step is none. */
size_t log_steps_count(const struct log_steps *s);
/*
 * Adds n to the steps that [min_ns, max_ns] meets, as if it came evenly in what of this time is in the range. All of
 * it, to the last; nothing if they do not meet.
 */
void log_steps_spread(const struct log_steps *s, int64_t min_ns, int64_t max_ns, uint64_t n,
                      uint64_t *io_steps);
