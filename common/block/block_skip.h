/*
 * What a block need not be opened for. Each step is cheaper than the next, and each can only be wrong in one way: to keep
 * a block that holds nothing.
 *
 *   time              the catalogue's times
 *   external_labels   the catalogue's labels, which all series of the block have (block_external.h)
 *   summary           the names and values of its series, a small file (block_summary.h)
 *
 * Shards are no step. The shard of a split block is labels_hash_prometheus() % shards, as Mimir's (compactor/levels.h);
 * the shard of a part of a query is fingerprint.hi % n, in every process and on the wire. A series of query shard i can
 * so be in any of the block shards, and the number of parts (threads times queriers) need not divide anything. What each
 * part would save is to read the entries of other parts' series in the index once per process, and those are
 * remembered (querier/store/shard_memo.h); their chunks are never read.
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
