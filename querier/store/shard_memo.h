/*
 * Which shard of a query a block's series is in, remembered: the shard is a series' fingerprint modulo the number
 * of shards, and to know that one has to read the series. With it a part of a query reads its own series only,
 * not those of all parts.
 *
 * One table for the process, of fixed size (8 MiB, touched as it fills); the last one to write a slot wins. A slot
 * holds 118 bits of the hash of what it speaks of, so one is not taken for another.
 *
 * Any thread, no locks: a slot's two words check each other, and words that do not belong together are none.
 */
#pragma once
#include "common/base/slice.h"
#include "common/block/ulid.h"

/* What is the same for all series of a block in a query. */
struct shard_memo {
    uint64_t seed[2];
    uint32_t count;
};
#define SHARD_MEMO_MAX_COUNT 1024 /* with more shards nothing is remembered */

struct shard_memo shard_memo_of(struct ulid block, uint32_t shard_count);
/* False: not known. */
bool shard_memo_get(const struct shard_memo *m, uint32_t ref, uint32_t *ret_shard);
void shard_memo_put(const struct shard_memo *m, uint32_t ref, uint32_t shard);
