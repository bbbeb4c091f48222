/*
 * Fingerprints of series whose labels were found valid and whose replicas have taken them, of one
 * tenant: what lets the steady path skip looking into labels and sending them.
 *
 * A set by open addressing, 16 bytes a slot, at most two thirds full; it grows to its bound, then
 * newcomers take the slot they hash to. It may forget at any time; what it says it has was added.
 * A fingerprint is 128 bits of XXH3: that two label sets share one is left out of account here as
 * everywhere.
 *
 * Owner: one loop.
 */
#pragma once
#include "common/base/hash.h"

struct fp_cache {
    struct hash128 *slots;
    size_t mask; /* slots - 1; no slots: slots NULL */
    size_t n, max_slots;
    uint64_t evictions;
};

/* max_bytes: rounded down to a power of two, at least 16 KiB. No memory is taken yet. */
void fp_cache_init(struct fp_cache *c, size_t max_bytes);
void fp_cache_done(struct fp_cache *c);
void fp_cache_clear(struct fp_cache *c); /* forgets all, gives memory back */
static inline void fp_cache_prefetch(const struct fp_cache *c, struct hash128 fp)
{
    if (c->slots)
        __builtin_prefetch(&c->slots[fp.lo & c->mask]);
}
bool fp_cache_has(const struct fp_cache *c, struct hash128 fp);
void fp_cache_add(struct fp_cache *c, struct hash128 fp);
size_t fp_cache_bytes(const struct fp_cache *c);
