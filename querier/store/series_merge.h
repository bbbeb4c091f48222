/*
 * Merges series sources by labels into one series set: each label set once, its chunks of all
 * sources decoded together (columns.h).
 *
 * Owner: one thread, the query's worker.
 */
#pragma once
#include "common/block/block_skip.h"
#include "querier/store/series_source.h"

/* Counted over all sets of one query, on the threads of all its parts. */
struct series_budget {
    uint64_t max_series, max_bytes; /* 0: no limit */
    uint64_t series, bytes;
    uint64_t tier_blocks[TIERS];          /* read: as measured, of 5 minutes, of an hour */
    uint64_t skipped[BLOCK_SKIP_REASONS]; /* blocks that were not opened */
};

struct series_merge_opts {
    struct arena *arena; /* the query's: memory that lasts is charged to it */
    int64_t min_ms, max_ms;
    bool is_keyed;            /* the sources are: series by fingerprint */
    struct columns_view view; /* of chunks of aggregates; {0}: there are none */
    bool labels_only;         /* series come with n = 0, whatever their chunks */
    int64_t deadline_mono_ms;
    const atomic_bool *cancel;
    struct series_budget *budget; /* may be NULL */
    /* What the sources stand on, done when the set is closed. May be NULL. */
    void (*on_close)(void *arg);
    void *arg;
};

/* Takes the sources (the array is copied) and on_close over, also when a pull fails later. */
struct series_set *series_merge(const struct series_merge_opts *opts, struct series_source **srcs,
                                size_t n);
