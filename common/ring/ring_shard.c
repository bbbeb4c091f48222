/* Sub-rings: the instances of one tenant (shuffle sharding). */
#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/ring/ring.h"
#include "common/ring/ring_internal.h"

/* Sub-rings kept in a ring; beyond, they are built anew each time. */
#define SHARD_MAX_CACHED 4096

struct shard_pick {
    const struct ring *ring;
    int64_t since_ms; /* INT64_MAX: for writes */
    bool *is_in;      /* per instance */
};

/* May be in the sub-ring at all. */
static bool is_candidate(const struct shard_pick *p, const struct member *m)
{
    return p->since_ms == INT64_MAX ? ring_owns(m) : member_is_readable(m);
}

/* Takes a place. Others are taken besides: one that came within the look-back took no place at its
 * start, one that is leaving takes none now. */
static bool takes_place(const struct shard_pick *p, const struct member *m)
{
    return ring_owns(m) && (p->since_ms == INT64_MAX || m->registered_ms < p->since_ms);
}

/* First point with a token at or after token, of all instances in any state. */
static size_t first_at(const struct ring *r, uint32_t token)
{
    size_t lo = 0, hi = r->n_all;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (r->all[mid].token < token)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Walks from token over zone until one that takes a place is found; takes all it passes that do
 * not. False when there is none left. */
static bool pick_one(struct shard_pick *p, uint16_t zone, uint32_t token)
{
    const struct ring *r = p->ring;
    size_t from = first_at(r, token);

    for (size_t step = 0; step < r->n_all; step++) {
        uint16_t i = r->all[(from + step) % r->n_all].instance;
        const struct member *m = r->instances[i].member;

        if (r->instances[i].zone != zone || p->is_in[i] || !is_candidate(p, m))
            continue;
        p->is_in[i] = true;
        if (takes_place(p, m))
            return true;
    }
    return false;
}

static struct ring *build_subring(struct ring *r, struct slice tenant, unsigned size,
                                  int64_t since_ms)
{
    struct shard_pick p = {r, since_ms, mem_new_array(bool, r->n + 1)};
    struct ring_input *in = mem_new_array(struct ring_input, r->n + 1);
    size_t zones = ORR_MAX(r->owning_zones, 1), n = 0;
    size_t per_zone = (size + zones - 1) / zones;
    struct ring *sub;

    for (size_t z = 0; z < r->n_zones; z++) {
        struct rng rng;

        /* By the zone's name: another zone coming or going changes nothing in this one. */
        rng_seed(&rng, hash_xxh64(slice_cstr(r->zones[z]), hash_xxh64(tenant, 0)));
        for (size_t k = 0; k < per_zone; k++)
            if (!pick_one(&p, (uint16_t)z, rng_u32(&rng)))
                break;
    }
    for (size_t i = 0; i < r->n; i++)
        if (p.is_in[i])
            in[n++] = (struct ring_input){r->instances[i].member, r->instances[i].is_healthy};
    sub = ring_build(in, n, &r->opts, r->zones_since_ms);
    mem_free(in);
    mem_free(p.is_in);
    return sub;
}

/* All look-backs between two arrivals give one sub-ring: the first arrival at or after since_ms
 * stands for them, so that the cache is hit although time goes on. */
static int64_t round_since(const struct ring *r, int64_t since_ms)
{
    int64_t first = INT64_MAX - 1;

    if (since_ms == INT64_MAX)
        return since_ms;
    for (size_t i = 0; i < r->n; i++) {
        int64_t at = r->instances[i].member->registered_ms;

        if (at >= since_ms && at < first)
            first = at;
    }
    return first;
}

struct ring *ring_subring(struct ring *r, struct slice tenant, unsigned size, int64_t since_ms)
{
    struct buf key = {0};
    struct ring *sub;

    if (size == 0 || size >= r->n)
        return ring_ref(r);
    since_ms = round_since(r, since_ms);
    buf_u32le(&key, size);
    buf_u64le(&key, (uint64_t)since_ms);
    buf_slice_append(&key, tenant);
    lock_take(&r->lock);
    sub = map_get(&r->subrings, buf_slice(&key));
    if (sub)
        ring_ref(sub);
    lock_release(&r->lock);
    if (!sub) {
        struct ring *raced = NULL;

        sub = build_subring(r, tenant, size, since_ms);
        lock_take(&r->lock);
        if (r->subrings.len < SHARD_MAX_CACHED || map_has(&r->subrings, buf_slice(&key)))
            raced = map_put(&r->subrings, buf_slice(&key), ring_ref(sub));
        lock_release(&r->lock);
        ring_unref(raced);
    }
    buf_done(&key);
    return sub;
}
