#include "querier/store/shard_memo.h"

#include <stdatomic.h>

#include "common/base/hash.h"

#define SLOTS (1u << 19)
#define SHARD_MASK ((uint64_t)SHARD_MEMO_MAX_COUNT - 1)

/* data: the shard below, bits of one hash above it. check: the other hash, and data over it. */
struct memo_slot {
    _Atomic uint64_t check, data;
};
static struct memo_slot slots[SLOTS];

struct shard_memo shard_memo_of(struct ulid block, uint32_t shard_count)
{
    struct slice id = slice_of(&block, sizeof(block));

    return (struct shard_memo){
        {hash_xxh64(id, shard_count), hash_xxh64(id, ~(uint64_t)shard_count)}, shard_count};
}

/* Each bit of the reference reaches all bits (the end of MurmurHash3). */
static uint64_t mix(uint64_t seed, uint32_t ref)
{
    uint64_t h = seed ^ (ref * UINT64_C(0x9e3779b97f4a7c15));

    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 33);
}

bool shard_memo_get(const struct shard_memo *m, uint32_t ref, uint32_t *ret_shard)
{
    uint64_t key = mix(m->seed[0], ref), other = mix(m->seed[1], ref) & ~SHARD_MASK, check, data;
    struct memo_slot *slot = &slots[key % SLOTS];

    check = atomic_load_explicit(&slot->check, memory_order_relaxed);
    data = atomic_load_explicit(&slot->data, memory_order_relaxed);
    if ((check ^ data) != key || (data & ~SHARD_MASK) != other || m->count > SHARD_MEMO_MAX_COUNT)
        return false;
    *ret_shard = (uint32_t)(data & SHARD_MASK);
    return true;
}

void shard_memo_put(const struct shard_memo *m, uint32_t ref, uint32_t shard)
{
    uint64_t key = mix(m->seed[0], ref), data = (mix(m->seed[1], ref) & ~SHARD_MASK) | shard;
    struct memo_slot *slot = &slots[key % SLOTS];

    if (m->count > SHARD_MEMO_MAX_COUNT)
        return;
    atomic_store_explicit(&slot->check, key ^ data, memory_order_relaxed);
    atomic_store_explicit(&slot->data, data, memory_order_relaxed);
}
