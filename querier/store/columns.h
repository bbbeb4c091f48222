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
 * Chunks of aggregates (common/block/aggr_chunk.h) give what struct columns_view says of each point, and only in the spans of
 * time in which their tier is read; samples only where tier 0 is. So at a seam between two tiers nothing counts
 * twice. Of chunks of one tier that overlap whole ones are taken, by block_merge.h's rule.
 *
 * Owner: one thread. Results are lent until the next columns_fill().
 */
#pragma once
#include "common/block/block_reader.h"
#include "common/block/tiers.h"
#include "querier/engine/storage.h"

/* What a point of aggregates is read as. */
enum columns_value {
    COLUMNS_AVERAGE,
    COLUMNS_SUM,
    COLUMNS_MIN,
    COLUMNS_MAX,
    COLUMNS_COUNTER, /* of the whole series, samples too, the resets are taken out */
};
struct columns_view {
    enum columns_value value;
    const struct tier_span *spans; /* one after the other; n_spans 0: samples alone, everywhere */
    size_t n_spans;
};

struct columns_chunk {
    struct chunk chunk;                   /* data borrowed during columns_fill() */
    const struct block_interval *deleted; /* of the block it comes from; sorted */
    size_t n_deleted;
    unsigned tier; /* of its block */
};

struct columns;
struct columns *columns_new(void);
/* Copies view; its spans are borrowed. Before the first columns_fill(); without it, samples alone. */
void columns_set_view(struct columns *c, const struct columns_view *view);
void columns_free(struct columns *c); /* NULL is allowed */
/*
 * Fills n, t_ms, v, h, st_ms and points of *ret with the samples in [min_ms, max_ms]. Sorts chunks in place.
 * Histograms are in a (which may be reset with the next series). ERR_CORRUPT, ERR_UNSUPPORTED.
 */
ORR_CHECKED struct err *columns_fill(struct columns *c, struct arena *a,
                                     struct columns_chunk *chunks, size_t n, int64_t min_ms,
                                     int64_t max_ms, struct storage_series *ret);
