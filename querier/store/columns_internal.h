/* What the files of columns.h share: columns.c and columns_aggr.c (chunks of aggregates). */
#pragma once
#include "common/base/vec.h"
#include "common/block/start_runs.h"
#include "querier/store/columns.h"

/* What a counter was in truth at the end of a chunk. */
struct columns_end {
    int64_t t;
    double last;
};

struct columns {
    int64_t *t;
    double *v;
    const struct histogram **h; /* in step with t and v once has_hist */
    struct storage_point *p;    /* in step once has_points */
    size_t n, cap;
    bool has_hist, has_points;
    /* where two runs are merged before they are copied back */
    int64_t *tmp_t;
    double *tmp_v;
    const struct histogram **tmp_h;
    struct storage_point *tmp_p;
    size_t tmp_cap;
    /* start timestamps of the samples that are asked for */
    struct start_set starts;
    int64_t *st;
    size_t st_cap;
    struct columns_view view;
    VEC(struct columns_end) ends; /* of the chunks of aggregates that were put in */
};

/* Room for more behind the last sample. */
void columns_reserve(struct columns *c, size_t more);
/* From now on histograms, points are kept in step. */
void columns_begin_hist(struct columns *c);
void columns_begin_points(struct columns *c);
/* Whether samples of this tier are read at t. */
bool columns_is_read(const struct columns *c, unsigned tier, int64_t t);
/* Whether all samples of a chunk of this tier are: most chunks lie in one span. */
bool columns_is_read_whole(const struct columns *c, unsigned tier, const struct chunk *chunk);

/* Leaves out of n chunks, sorted, those of aggregates that give way to others; returns how many stay. */
ORR_CHECKED struct err *columns_pick_aggregates(struct arena *a, struct columns_chunk *chunks,
                                                size_t n, size_t *ret_n);
/* Decodes a chunk of aggregates behind the last sample. */
ORR_CHECKED struct err *columns_decode_aggregates(struct columns *c, struct arena *a,
                                                  const struct columns_chunk *ch, size_t *ret_n);
/* Takes the resets out, once all is in, and leaves one point for each window. */
void columns_even_counter(struct columns *c, struct arena *a);
