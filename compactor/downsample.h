/*
 * One block becomes one of a coarser resolution: samples become aggregates of 5 minutes, those of 5 minutes aggregates of an
 * hour (common/block/aggr_chunk.h).
 *
 * Without what tombstones delete: of samples those, of aggregates the points whose windows they delete as a whole. Exemplars, metadata and start
 * timestamps stay behind. A block of which nothing is left is written nevertheless: its being there says that it was done.
 *
 * Memory: one series at a time, and the symbols of the block. Blocking; owner: the calling thread.
 */
#pragma once
#include "compactor/blockmake.h"

struct downsample_opts {
    const struct blockmake_input *input;
    const struct tombstone_list *tombstones;
    const char *dir;               /* the block comes to be in dir/<ULID> */
    const struct block_meta *meta; /* with the resolution; the range is that of the input */
    const atomic_bool *stop;       /* may be NULL; ERR_CANCELED */
    _Atomic uint64_t *done_series; /* may be NULL: counts on while it works */
    struct blockmake_stats *stats;
};

/* ret_meta: in the arena. ERR_INVALID when the input is not finer. */
ORR_CHECKED struct err *downsample(const struct downsample_opts *opts, struct arena *a,
                                   struct block_meta *ret_meta);
