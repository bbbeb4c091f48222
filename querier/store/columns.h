/*
 * Samples of one series in columns, put together from the chunks of all its copies: replicas in
 * ingesters, segments, blocks.
 *
 * Chunks with equal bytes are decoded once. Samples at the same time count once; when they differ
 * the rule of block_merge.h decides (not a stale marker, a histogram over a float, the greater
 * bits), so an answer does not depend on who answered first and compaction does not change it.
 *
 * Start timestamps come among the chunks (CHUNK_STARTS, common/block/start_runs.h) and are merged beside
 * them.
 *
 * Owner: one thread. Results are lent until the next columns_fill().
 */
#pragma once
#include "common/block/block_reader.h"
#include "querier/engine/storage.h"

struct columns_chunk {
    struct chunk chunk;                   /* data borrowed during columns_fill() */
    const struct block_interval *deleted; /* of the block it comes from; sorted */
    size_t n_deleted;
};

struct columns;
struct columns *columns_new(void);
void columns_free(struct columns *c); /* NULL is allowed */
/*
 * Fills n, t_ms, v, h and st_ms of *ret with the samples in [min_ms, max_ms]. Sorts chunks in place.
 * Histograms are in a (which may be reset with the next series). ERR_CORRUPT, ERR_UNSUPPORTED.
 */
ORR_CHECKED struct err *columns_fill(struct columns *c, struct arena *a,
                                     struct columns_chunk *chunks, size_t n, int64_t min_ms,
                                     int64_t max_ms, struct storage_series *ret);
