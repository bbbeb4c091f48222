/*
 * The tombstone lists (common/block/tombstone_list.h) a querier filters by: each tenant's, kept while
 * it is true.
 *
 * A list is looked at again in the bucket when it is older than max_age_ms, or when a newer version
 * was announced (gossip, or RPC by the querier that took the deletion): then before it is used. When
 * the bucket does not answer, the list held is used as long as no newer version is known of, and
 * *ret_is_stale says so; without a list the call fails, for a deleted sample must not come back.
 *
 * Bounded: TOMBSET_TENANTS lists are kept, then those that nobody uses go.
 *
 * Any worker; blocks. tombset_hint(): any thread, does not block.
 */
#pragma once
#include "common/block/tombstone_list.h"

#define TOMBSET_TENANTS 10000

struct tombset;

/* Of one signal, which outlives it. may_hang: of the store; looks get threads of their own then (lookout.h). */
struct tombset *tombset_new(struct objstore *objstore, struct slice signal, int64_t max_age_ms,
                            bool may_hang);
void tombset_free(struct tombset *ts); /* when no call is under way; NULL is allowed */
/* A newer version became known. */
void tombset_hint(struct tombset *ts, struct slice tenant, uint64_t version);
/* A reference. */
ORR_CHECKED struct err *tombset_get(struct tombset *ts, struct slice tenant,
                                    struct tombstone_list **ret, bool *ret_is_stale);

struct tombset_stats {
    uint64_t lists, tombstones, checks, loads;
};
void tombset_stats_get(struct tombset *ts, struct tombset_stats *ret);
