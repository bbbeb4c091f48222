/*
 * Hashes. xxh: XXH3 (xxHash), for tables, shards and fingerprints. crc32c: Castagnoli, as in
 * Prometheus' TSDB files and our own formats (hardware where present). fnv1a: Alertmanager's and
 * Prometheus' label fingerprints.
 */
#pragma once
#include "common/base/slice.h"

struct hash128 {
    uint64_t lo, hi;
};

uint64_t hash_xxh64(struct slice s, uint64_t seed); /* XXH3 64 */
uint64_t hash_xxh64_classic(struct slice s);        /* XXH64 seed 0, as Go's xxhash */
struct hash128 hash_xxh128(struct slice s, uint64_t seed);
uint32_t hash_crc32c(struct slice s);
uint32_t hash_crc32c_more(uint32_t crc, struct slice s); /* continues a crc32c */
uint64_t hash_fnv1a(uint64_t h, struct slice s);         /* start with HASH_FNV_OFFSET */
#define HASH_FNV_OFFSET 14695981039346656037ull

/* An order: the upper half counts first. */
static inline int hash128_cmp(struct hash128 a, struct hash128 b)
{
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return (a.lo > b.lo) - (a.lo < b.lo);
}
static inline bool hash128_eq(struct hash128 a, struct hash128 b)
{
    return a.lo == b.lo && a.hi == b.hi;
}
