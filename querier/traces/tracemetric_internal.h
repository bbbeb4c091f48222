/* What is counted while spans come, for tracemetric.c, and what becomes of it, for tracemetric_end.c. */
#pragma once
#include "common/base/map.h"
#include "common/base/vec.h"
#include "querier/traces/tracemetric.h"

struct tracemetric_state {
    int bucket;                /* exponent; 0 without buckets */
    struct traceql_static *by; /* as many as by() has */
    double *points;            /* counts, sums, extremes; NaN: nothing yet */
    double *counts;            /* spans of each point; only for avg */
};

struct tracemetric_leaf {
    const struct traceql_math *math;
    struct map by_key; /* -> struct tracemetric_state */
    VEC(struct tracemetric_state *) series;
    bool is_duration; /* of what buckets are */
};

struct tracemetric {
    const struct traceql *query;
    struct tracemetric_range range;
    size_t n_points, n_series;
    VEC(struct tracemetric_leaf) leaves; /* in the order of the tree */
    struct arena *arena;
    struct buf key;
};
