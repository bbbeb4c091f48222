/*
 * Series with undecoded chunks, in label order, from one place: an ingester's answer, a block.
 * Pulled by series_merge.h.
 *
 * Keyed sources (struct series_keying) come in the order of the series' fingerprints instead, and show
 * only the labels that are asked for: an aggregation by few labels over many series then costs neither
 * the sorting nor the carrying of the others.
 *
 * A series and its chunks are lent until the next call on the source. Owner: one thread; may block.
 */
#pragma once
#include "common/block/block_reader.h"
#include "querier/store/columns.h"
#include "querier/store/fanout.h"

struct source_series {
    struct labels labels;
    const struct columns_chunk *chunks; /* none when only labels were asked for */
    size_t n_chunks;
    struct hash128 fp; /* if keyed */
};

struct series_keying {
    bool is_keyed;
    const struct slice *names; /* of the labels to show; lent as long as the source */
    size_t n_names;
    uint32_t shard_index, shard_count; /* only series of this shard; 0: all */
};

struct series_source;
struct series_source_ops {
    struct err *(*next)(struct series_source *s, struct source_series *ret, bool *ret_more);
    void (*close)(struct series_source *s);
};
struct series_source {
    const struct series_source_ops *ops;
};

/* Stream i of a fan-out of "ingester.select". The fan-out outlives it. */
struct series_source *series_source_peer(struct fanout *f, size_t i, bool is_keyed);
/* Series of a block that have samples in the range. The reader outlives the source; matchers are
 * used at once. keying NULL: by labels. n_together: how many blocks are read at once, which share the room there
 * is for reading ahead. */
ORR_CHECKED struct err *series_source_block(const struct block_reader *r, struct matchers ms,
                                            int64_t min_ms, int64_t max_ms, bool labels_only,
                                            const struct series_keying *keying, size_t n_together,
                                            struct series_source **ret);
