/*
 * For blockset.c (blocks) and blockset_catalogues.c.
 */
#pragma once
#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/spell.h"
#include "querier/store/blockset.h"
#include "querier/store/lookout.h"

#define BLOCKSET_ATTEMPTS 4

/* An immutable catalogue, shared. */
struct blockset_held {
    struct catalogue *c;
    struct tiers *tiers; /* NULL: no block is downsampled */
    _Atomic unsigned refs;
};

struct blockset_tenant {
    struct lookout_state look; /* the lookout's */
    /* under blockset.lock */
    struct blockset_held *held;
    char etag[OBJSTORE_ETAG_BYTES]; /* "" for an absent object */
    struct newness newness;         /* of held */
};

struct blockset {
    struct blockset_opts opts;
    bool has_lines, has_traces;
    struct lock lock;
    struct map tenants; /* struct blockset_tenant */
    struct map blocks;  /* struct open_block by "tenant/ULID" */
    uint64_t tick;
    struct blockset_stats stats;
    struct blockset_room_share share; /* bytes: with the lock */
    struct lookout *lookout;
    struct spell trouble;
};

/* What is held of the tenant's catalogue, referenced, once it is as new as needed; *ret_stale: the bucket does not answer, and nothing newer
 * is known of. */
ORR_CHECKED struct err *blockset_catalogue(struct blockset *bs, struct slice tenant,
                                           const struct newness_need *need,
                                           struct blockset_held **ret, bool *ret_stale);
void blockset_held_unref(struct blockset_held *h); /* NULL is allowed */
/* Makes what is held true as of now. On a thread of the lookout; one at a time for a tenant. */
lookout_fn blockset_look;
