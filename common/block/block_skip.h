/*
 * What a block need not be opened for. Each step is cheaper than the next, and each can only be wrong in one way: to keep
 * a block that holds nothing.
 *
 *   time              the catalogue's times
 *   external_labels   the catalogue's labels, which all series of the block have (block_external.h)
 *   summary           the names and values of its series, a small file (block_summary.h)
 *
 * Shards are no step. The shard of a split block is labels_hash_prometheus() % shards, which Mimir reads in meta.json and
 * relies on (compactor/levels.h), so it cannot be another; the shard of a part of a query is fingerprint.hi % n. A
 * series of a part can so be in any of the blocks. To make both one would take Mimir's hash in the parts, and that is not
 * worth it: heads keep the fingerprint with each series and see its shard without a look at the labels, so they would
 * keep 8 bytes more for each, or put the labels together and hash them (0.4 us for ten labels: 0.4 s of CPU in each part
 * of a query over a head of a million series); the number of parts (threads times queriers) would have to be a multiple or
 * a divisor of the blocks'; and an old process beside a new one would answer for other series than it was asked for. What there is to be won is small: the chunks of other
 * parts' series are never read as it is, and their entries in the index once for each process, after which it is known
 * which part they are of (querier/store/shard_memo.h).
 *
 * Any thread.
 */
#pragma once
#include "common/model/matcher.h"

#define BLOCK_SKIPS(X)                                                                             \
    X(BLOCK_SKIP_TIME, "time")                                                                     \
    X(BLOCK_SKIP_LABELS, "external_labels")                                                        \
    X(BLOCK_SKIP_SUMMARY, "summary")
enum block_skip {
#define X(sym, text) sym,
    BLOCK_SKIPS(X)
#undef X
};
#define BLOCK_SKIP_REASONS 3
const char *block_skip_text(enum block_skip reason);

/* Whether a series with these external labels may match, whatever its own are. Those without a value are none. */
bool block_skip_labels_may_match(struct labels external, struct matchers ms);
