/*
 * What leaves a tenant's part of the bucket, and when. One sweep:
 *
 *   1. expired   live blocks that end before the tenant's retention begins, or that of their resolution, are retired
 *                (what it names stays named for SWEEP_EXPIRED_MS: its segments may be with their ingesters yet)
 *   2. orphans   directories that the catalogue does not know, in which nothing was written for orphan_age_ms, are
 *                noted as retired: uploads that never came to their end, or whose edit did not
 *   3. deletion  files of what was retired delay_ms ago are deleted, meta.json first, then the
 *                catalogue forgets it
 *
 * All goes through the retired list, and what stands there cannot be added as a live block (catalogue.h): so nobody
 * publishes a block while its files go, and whoever is killed in between goes on where it was. Readers that
 * took the catalogue before keep finding the files for delay_ms; a reader that is slower reads it anew.
 *
 * Where leases decide (writers.h) all of this is the holder's, and how long he has held it plays a part in the third step alone:
 *
 *   - Retiring is a change of the catalogue like any other. Nobody else can make one meanwhile, so a block that is named is not
 *     taken for an orphan; and who uploaded one, and is slow to name it, finds it retired and does not: a flush keeps its
 *     segments, a compaction its inputs, and either makes it anew once it is forgotten. So an orphan is retired by the first
 *     sweep after its time, however often holders change or start again, and the list is in the bucket for the next one.
 *   - A request to delete that was begun by an earlier holder may be tried again, or done late, for s3.operation-timeout and two
 *     s3.request-timeout after he lost the lease. Once the block was forgotten and written anew, it would hit that. So nothing
 *     is deleted or forgotten by who has not held the lease for so long: may_delete(). It is minutes, where orphan_age_ms is a day.
 *
 * A directory with a meta.json is an orphan only when that says it is ours and this tenant's: a Mimir or Thanos
 * bucket that has not been adopted yet is left alone, and counted as foreign.
 *
 * What fails of one block (its meta.json cannot be read, a file of it not deleted) leaves that one to the next sweep, and
 * the others have their turn; the first of these errors is what a sweep returns, after all else. Each sweep begins with
 * another block, so that those behind SWEEP_MAX_FAILURES that fail in a row have theirs, too.
 *
 * Before each block's files it is asked whether the catalogue is still the one that was read, and if not it is read anew: what another
 * sweep has forgotten meanwhile may have been written again, under its old id. So nothing is deleted by a catalogue that is
 * older than one request.
 *
 * Blocking; owner: the calling thread.
 */
#pragma once
#include "common/block/tiers.h"
#include "compactor/signal.h"

#define SWEEP_MAX_DELETIONS 1000 /* of one sweep */
#define SWEEP_MAX_ORPHANS 1000
#define SWEEP_EXPIRED_MS (24 * 3600000ll)
#define SWEEP_MAX_FAILURES 20 /* blocks in a row: the bucket is in trouble, and not a block */

struct sweep_opts {
    const struct signal *signal;
    struct objstore *store;
    int64_t retention_ms; /* 0: for ever */
    /* Of the blocks of each tier; 0: as long as all. A block with a coarser tier to come (is_downsampling) waits for it. */
    int64_t tier_retention_ms[TIERS];
    bool is_downsampling;
    int64_t delay_ms;                                   /* between retirement and deletion */
    int64_t orphan_age_ms;                              /* by the store's clock against ours */
    bool (*may_delete)(void *arg, struct slice tenant); /* and forget, now; NULL: yes */
    bool is_dry; /* only says what it would do, and of that what is_news says */
    bool (*is_news)(void *arg, struct slice tenant, const char *what, struct ulid block);
    void *arg;
};

struct sweep_ids {
    struct ulid *ptr;
    size_t n;
};
struct sweep_result { /* in the arena */
    struct sweep_ids expired, orphans, deleted;
    size_t waiting; /* retired, and their time has not come */
    size_t foreign;
    size_t failed;    /* blocks that are left to the next sweep */
    uint64_t version; /* of the catalogue afterwards; 0: was not changed */
};

/* now_ms: Unix ms. ret is written on failure too: what was done all the same. */
ORR_CHECKED struct err *sweep_tenant(const struct sweep_opts *opts, struct slice tenant,
                                     int64_t now_ms, struct arena *a, struct sweep_result *ret);
