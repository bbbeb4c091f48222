/*
 * Answers that are kept for later: bytes by a key, the least recently used go when there is no room.
 *
 * A piece is immutable and reference-counted; what it holds is its owner's business (stepwise.h keeps
 * steps of range queries there, as result_wire.h writes them). One that is older than max_age_ms, or
 * that was made of another version of the data, is not found any more.
 *
 * Bounded by max_bytes, keys and books included; a piece larger than an eighth of that is not taken.
 *
 * Any thread.
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/slice.h"

struct answer_cache;

struct answer_piece {
    int64_t first_ms, last_ms; /* steps that it holds, both inclusive */
    bool has_annotations;      /* they belong to these very steps, and to this very text: */
    uint64_t text_hash;
    uint64_t version;   /* of what the tenant's data were when it was made */
    struct slice bytes; /* empty: a mark */
};

struct answer_cache *answer_cache_new(size_t max_bytes, int64_t max_age_ms,
                                      const struct clock *clock);
void answer_cache_free(struct answer_cache *c); /* when no piece is held; NULL is allowed */

/* A reference, or NULL. */
const struct answer_piece *answer_cache_get(struct answer_cache *c, struct slice key,
                                            uint64_t version);
void answer_cache_release(const struct answer_piece *p);
/* Copies key and bytes; takes the place of what was there. */
void answer_cache_put(struct answer_cache *c, struct slice key, const struct answer_piece *piece);
/* No piece may have more bytes (keys and books aside): a bound for whoever writes one. */
size_t answer_cache_max_bytes(const struct answer_cache *c);
/* Of a piece that went over it: it takes the place of what was there, but is not kept. */
void answer_cache_refuse(struct answer_cache *c, struct slice key);

struct answer_cache_stats {
    uint64_t puts, evictions, refused;
    size_t bytes, pieces;
};
void answer_cache_stats_get(struct answer_cache *c, struct answer_cache_stats *ret);
