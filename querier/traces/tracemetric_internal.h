/* What is counted while spans come, for tracemetric.c, and what becomes of it, for tracemetric_end.c. */
#pragma once
#include "common/base/map.h"
#include "common/base/vec.h"
#include "querier/traces/tracecompare.h"
#include "querier/traces/tracemetric.h"

struct tracemetric_state {
    int bucket;                /* exponent; 0 without buckets */
    struct traceql_static *by; /* as many as by() has */
    double *points;            /* counts, sums, extremes; NaN: nothing yet */
    double *counts;            /* spans of each point; only for avg */
    uint64_t hash;             /* of its labels and bucket */
};

/* An exemplar that may yet be displaced. Of all series and points those with the lowest order have one, and of each the span with the
 * lowest rank is it; both are hashes of what they are, not of when they came. */
struct tracemetric_kept {
    uint64_t order, rank;
    const struct tracemetric_state *of;
    struct tracemetric_exemplar exemplar;
};

struct tracemetric_leaf {
    const struct traceql_math *math;
    struct map by_key; /* -> struct tracemetric_state */
    VEC(struct tracemetric_state *) series;
    bool is_duration;             /* of what buckets are */
    struct tracecompare *compare; /* COMPARE: instead of series */
    VEC(struct tracemetric_kept) exemplars;
};

struct tracemetric {
    const struct traceql *query;
    struct tracemetric_range range;
    size_t n_points, n_series;
    VEC(struct tracemetric_leaf) leaves; /* in the order of the tree */
    struct arena *arena;
    struct buf key;
};

/* Bytes that tell values apart. */
void tracemetric_put_key(struct buf *key, const struct traceql_static *v);

/* tracemetric_exemplar.c: a span counted at a point of s. */
void tracemetric_exemplar_see(struct tracemetric *m, struct tracemetric_leaf *leaf,
                              const struct tracemetric_state *s, uint32_t point, double value,
                              const struct tracecols *cols, uint32_t row);
/* Those of the n states, the series of each of which stands at the same place in out; n_out 1: all are its. */
void tracemetric_exemplar_give(const struct tracemetric_leaf *leaf, struct arena *a,
                               struct tracemetric_state *const *states, size_t n,
                               struct tracemetric_series *out, size_t n_out);
