/*
 * Samples a query reads, step by step, for stats=all: a storage before the real one that looks at what
 * every select yields and counts it for the steps that use it.
 *
 *   instant selector   the step's newest sample within the look-back, one a series
 *   range selector     the samples of the step's range
 *   fixed by @         those of the one window, at every step
 *   in a subquery      all it reads, at the last step, as Prometheus does
 *
 * Which of them it is follows from the times the engine asks for. Costs a walk over the samples; only
 * those who ask for it pay.
 *
 * Owner: the query's worker; memory is the query's arena.
 */
#pragma once
#include "querier/engine/storage.h"

struct step_tally {
    struct storage storage; /* for the engine */
    struct storage *behind;
    int64_t start_ms, step_ms, lookback_ms;
    size_t n;
    uint64_t *samples; /* of each step */
};

/* n >= 1; step_ms 0 with n 1: an instant query. */
void step_tally_init(struct step_tally *t, struct arena *a, struct storage *behind,
                     int64_t start_ms, int64_t step_ms, size_t n, int64_t lookback_ms);
/* ,"totalQueryableSamplesPerStep":[[seconds,count],…] */
void step_tally_json(struct buf *out, const struct step_tally *t);
