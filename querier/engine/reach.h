/*
 * Of what times a query speaks: which samples a step looks at, and whether a step's value follows from
 * its own time alone. Whoever cuts a range query by time, or keeps some of its steps, asks here.
 *
 *     step t looks at samples in [t - back_ms, t + ahead_ms], and those fixed by @ are in
 *     [fixed_min_ms, fixed_max_ms]
 *
 * Not stepwise are start(), end() and range() in any place (they name the query's ends), info(), range
 * functions over series of several names, which fail when two of them ever coincide, and sums and ranks over
 * series that were put together from several, for which is first of those hangs on where the range begins.
 *
 * Any thread; memory is the arena's.
 */
#pragma once
#include "querier/engine/engine.h"

struct reach {
    bool is_stepwise;
    int64_t back_ms, ahead_ms; /* never negative */
    bool has_fixed;
    int64_t fixed_min_ms, fixed_max_ms;
    struct slice text; /* the query as Prometheus prints it: equal texts mean the same */
};

/* Errors are those of the parser, and of durations that are out of range. */
ORR_CHECKED struct err *reach_of(const struct engine *eng, const struct engine_query *q,
                                 struct arena *a, struct reach *ret);
