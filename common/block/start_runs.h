/*
 * Start timestamps of a series ("created timestamps": when its counter began), run by run.
 *
 * A sample's start is a matter of the series and the sample's time alone, so starts travel beside the
 * chunks of samples and not in them: a run says that all samples of the series in [from_ms, to_ms] have
 * the start st_ms. A cumulative counter is one run until it restarts; of deltas every sample is a run.
 * 0 is "unknown", as in Prometheus.
 *
 * Runs are carried about as a struct chunk of the encoding CHUNK_STARTS, whose min_t and max_t are the
 * ends of its first and last run: in the head's chunk files, in answers of ingester.select, in front of
 * columns_fill(). Never in the chunk files of a segment or block, which Prometheus reads too: there they
 * are in a sidecar (block_starts.h). A series without starts has no such chunk and costs nothing.
 *
 * Bytes of one, ascending, not overlapping; a run takes three at least, which bounds what they can make of
 * themselves:
 *
 *   uvarint n, n * { first: varint from_ms        others: uvarint from_ms - (to_ms of the run before)
 *                    uvarint to_ms - from_ms
 *                    varint st_ms - (first: from_ms; others: to_ms of the run before) }
 *
 * so a delta that begins where the one before ended takes four bytes at a 15 s interval.
 *
 * Where several say something of one time (replicas, blocks that overlap) a known start wins over an
 * unknown one and the later over the earlier, in every order of merging.
 *
 * Any thread; a struct start_set has one owner.
 */
#pragma once
#include "common/base/reader.h"
#include "common/base/vec.h"
#include "common/block/chunk.h"

#define CHUNK_STARTS 240

struct start_run {
    int64_t from_ms, to_ms; /* both inclusive */
    int64_t st_ms;          /* never 0 in bytes */
};

/* Appends the bytes; runs with st_ms 0 are left out. n that are left may be 0. */
void start_runs_encode(struct buf *out, const struct start_run *runs, size_t n);
/* Same, as a chunk whose bytes are the arena's; false when no run has a start. */
bool start_runs_chunk(struct arena *a, const struct start_run *runs, size_t n, struct chunk *ret);

/* Any number of runs in any order; start_set_flatten() makes them ascending and disjoint. */
struct start_set {
    VEC(struct start_run) runs;
    VEC(uint32_t) heap; /* flatten's */
    VEC(struct start_run) flat;
};
void start_set_clear(struct start_set *s); /* keeps memory */
void start_set_done(struct start_set *s);
/* Adds the runs of some bytes. ERR_CORRUPT (then some may have been added). */
ORR_CHECKED struct err *start_set_add(struct start_set *s, struct slice bytes);
/* Leaves out what lies outside [min_ms, max_ms]. */
void start_set_clip(struct start_set *s, int64_t min_ms, int64_t max_ms);
/* Afterwards s->runs is sorted and disjoint. */
void start_set_flatten(struct start_set *s);
/* Of a flat set: fills ret[i] with the start of a sample at t[i] (ascending), 0 where none is known.
 * False (and ret as it was) when none of them has one. */
bool start_set_fill(const struct start_set *s, const int64_t *t, size_t n, int64_t *ret);
