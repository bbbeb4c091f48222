/*
 * Merges series streams into one block: what flush and compaction call.
 *
 * A stream yields series in label order with their chunks in time order: a block, a cut segment of
 * a head, anything with a struct block_stream. Streams are merged by labels; one series is in
 * memory at a time.
 *
 * Chunks of one series:
 *   - byte-equal chunks of several replicas count once and are copied without decoding;
 *   - a chunk that overlaps no other, lies inside the range and has no deleted samples is copied as
 *     it is;
 *   - neighbours of floats that fit into one chunk together are joined: heads cut the chunks of different series at
 *     different times, and at the end of each window, so every window has two parts of one;
 *   - the rest are decoded, merged by time and encoded anew, CHUNK_SAMPLES to a chunk;
 *   - of chunks of aggregates (aggr_chunk.h) that overlap, whole ones are kept: first the one that sums up the
 *     most samples, then those of the others that do not overlap what is kept. What came late is in the newer
 *     block's beside all that the older one's has.
 *
 * Two samples at the same time: the greater one wins, by (not a stale marker, a histogram over a
 * float, then the value: the unsigned integer of its bits; of histograms count, sum, and the bits
 * of the rest in order). The rule does not look at where a sample comes from, so every order of
 * inputs gives the same block.
 *
 * Start timestamps (start_runs.h) are merged beside the chunks: at each time the later known one, whichever
 * sample wins.
 *
 * Owner: one thread. Blocking: never on a loop.
 */
#pragma once
#include "common/block/block_reader.h"
#include "common/block/block_writer.h"

struct block_stream;
struct block_stream_ops {
    /* The next series; *ret_more false at the end. Lent until the next call. */
    struct err *(*next)(struct block_stream *s, struct block_series *ret, bool *ret_more);
    void (*close)(struct block_stream *s);
};
struct block_stream {
    const struct block_stream_ops *ops;
};

struct block_merge_opts {
    int64_t min_t, max_t;   /* keep samples in [min_t, max_t); both 0: all */
    uint32_t shard, shards; /* keep series whose labels_hash_prometheus() % shards == shard;
                             * shards 0 or 1: all */
    /* Called between series; true ends the merge with ERR_CANCELED. May be NULL. */
    bool (*is_canceled)(void *arg);
    void *arg;
};

struct block_merge_stats {
    uint64_t series, chunks_copied, chunks_deduplicated, chunks_decoded, chunks_written;
    uint64_t samples_merged, samples_dropped; /* decoded; of those, equal times and out of range */
    uint64_t aggregates_dropped;              /* chunks */
};

/* The rule of two samples at one time: positive when the first wins, 0 when they are the same. h NULL: it is the float v. */
int block_merge_cmp(double va, const struct histogram *ha, double vb, const struct histogram *hb);

/* The rule of chunks of aggregates: moves those of n that are kept to the front, in order of time. ERR_CORRUPT. */
ORR_CHECKED struct err *block_merge_pick_aggregates(struct arena *a, struct chunk *chunks, size_t n,
                                                    size_t *ret_kept);

/* A reader's series; tombstoned samples are left out. The reader must outlive it. */
struct block_stream *block_stream_of_reader(const struct block_reader *r);
void block_stream_close(struct block_stream *s);

/* Merges n streams (which stay the caller's) into the writer; does not finish it. */
ORR_CHECKED struct err *block_merge(struct block_stream **streams, size_t n,
                                    const struct block_merge_opts *opts, struct block_writer *w,
                                    struct block_merge_stats *ret_stats);
