/*
 * One range aggregation over lines, or a piece's part of it, while its lines come: series by the labels that the pipeline leaves.
 *
 * What only counts (lines, bytes) is added up per step as the lines go by: where a line comes into a window and where it leaves one, so
 * that memory is series x steps. The others hold the samples of each series until all lines have been read.
 *
 *   as bytes, for pieces that others read: uvarint series, each: labels_put(), and
 *     counts:  uvarint steps that change anything, each: uvarint steps since the one before | f64le change of the sum, of the number
 *     else:    u64le twice, the stream of the last sample | u8 1: of several streams | uvarint samples, each:
 *              varint time since the one before | f64le
 *
 * Owner: the run's thread. Memory: the run's arena, samples on the heap charged to it.
 */
#pragma once
#include "common/base/map.h"
#include "querier/logs/logquery_internal.h"

struct logleaf_series {
    struct labels labels;
    /* counts: what changes at each step from the leaf's first, one step more than there are */
    double *change, *change_n;
    struct logquery_sample *samples;
    size_t n, cap;
    struct hash128 stream; /* whose line came last */
    bool is_mixed;         /* samples of several streams, one behind the other */
};

struct logleaf {
    struct logquery_run *run;
    const struct logql_range *range;
    const struct logquery_grid *grid;
    const struct pipeline *pipeline;
    struct arena *arena, *tmp;
    bool counts;
    size_t first_step, n_steps; /* that lines may come into */
    struct logleaf_series **series;
    size_t n, cap;
    struct map index; /* canonical labels -> number + 1 */
    struct buf key;
    struct hash128 stream; /* that is read; unless it counts */
    size_t plain;          /* of the stream's lines without changes; number + 1 */
    uint64_t held;
};

/* All that is passed is lent. */
void logleaf_init(struct logleaf *f, struct logquery_run *r, const struct logql_range *range,
                  const struct logquery_grid *grid, const struct pipeline *pipeline);
void logleaf_done(struct logleaf *f);
/* Of the lines of [from_ns, to_ns) alone, which may be none: before the first comes. */
void logleaf_narrow(struct logleaf *f, int64_t from_ns, int64_t to_ns);
/* The lines that come now are of this stream. */
void logleaf_stream(struct logleaf *f, struct labels stream);
/* The line just run. */
ORR_CHECKED struct err *logleaf_line(struct logleaf *f, struct pipeline_state *state, int64_t ts_ns,
                                     const struct pipeline_line *line);
/* Adds those of a later piece. */
ORR_CHECKED struct err *logleaf_add(struct logleaf *f, const struct logleaf *of);
/* The series with these labels, which it makes if there is none; *ret_number counts from 1. */
ORR_CHECKED struct err *logleaf_find(struct logleaf *f, struct labels ls, size_t *ret_number);
/* Room for n more. */
ORR_CHECKED struct err *logleaf_grow(struct logleaf *f, struct logleaf_series *s, size_t n);

/* ---- logleaf_bytes.c ---- */

void logleaf_save(const struct logleaf *f, struct buf *out);
/* Of a leaf without series, and of this piece. What is malformed, or has other times, fails the reader. */
ORR_CHECKED struct err *logleaf_load(struct logleaf *f, const struct logsource_piece *at,
                                     struct reader *r);

/* ---- logleaf_end.c: all lines have come ---- */

/* Sorted by labels, in the leaf's arena. */
ORR_CHECKED struct err *logleaf_finish(struct logleaf *f, struct logquery_series **ret,
                                       size_t *ret_n);
/* Of absent_over_time(): one series, where no line is in the window. */
ORR_CHECKED struct err *logleaf_finish_absent(struct logleaf *f, struct logquery_series **ret,
                                              size_t *ret_n);
