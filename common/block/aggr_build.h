/*
 * Makes chunks of aggregates (aggr_chunk.h) of one series' samples, or of its chunks of a finer resolution, which come
 * in order of time:
 *
 *     aggr_build_begin(&b, arena, AGGR_5M_MS)
 *     aggr_build_chunk(&b, c) …               raw or of aggregates
 *     aggr_build_end(&b)                      b.out.chunks has them all
 *
 * A chunk has AGGR_CHUNK_POINTS windows of time, aligned (10 hours of 5m, 5 days of 1h), so what blocks that overlap in time
 * make of the same samples is the same chunk. It ends sooner where floats change to histograms or back, and where a
 * histogram counter was reset.
 *
 * Owner: one thread. Memory: the chunk being made.
 */
#pragma once
#include "common/block/aggr_chunk.h"
#include "common/model/fhist.h"

#define AGGR_CHUNK_POINTS 120

struct aggr_row {
    int64_t t;
    double count, sum, min, max, counter;
    const struct fhist *sum_h, *counter_h;
};

struct aggr_build {
    struct chunk_build out;
    struct arena *arena; /* of what comes out */
    struct arena *tmp;   /* of the chunk being made */
    int64_t resolution_ms;
    VEC(struct aggr_row) rows; /* of the chunk being made */
    bool is_hist;
    int64_t last_t; /* newest time in it */
    struct aggr_counter counter;
    bool has_first; /* of the chunk's counter */
    int64_t first_t;
    double first;
    const struct fhist *first_h, *last_h;
    enum chunk_hist_fit why; /* the chunk being made began */
};

void aggr_build_init(struct aggr_build *b);
void aggr_build_done(struct aggr_build *b);
void aggr_build_begin(struct aggr_build *b, struct arena *a, int64_t resolution_ms);
ORR_CHECKED struct err *aggr_build_chunk(struct aggr_build *b, const struct chunk *c);
void aggr_build_end(struct aggr_build *b);
