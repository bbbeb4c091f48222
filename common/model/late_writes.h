/*
 * News of a tenant's late samples, from the ingesters that took them in to the queriers, which keep answers:
 * in the gossiped table "kv"
 *
 *   key LATE_WRITES_PREFIX tenant | version: wall ms, the end of the round of LATE_WRITES_ROUND_MS in which
 *   samples came that were late | no value
 *
 * so a backfill is told of once a round. What was kept under an earlier version may miss samples; so may what
 * is made before a round is over and the news of it have come: that is not to be kept (LATE_WRITES_QUIET_MS,
 * clocks that differ included).
 *
 * Late is a sample older than three quarters of the tenant's max-cache-freshness: well before answers that have its
 * time in them are kept. A freshness below LATE_WRITES_MIN_FRESH_MS is that: what is scraped is some seconds
 * old and yet not late.
 */
#pragma once
#include "common/base/clock.h"
#include "common/model/limits.h"

#define LATE_WRITES_PREFIX "late/metrics/"
#define LATE_WRITES_ROUND_MS 5000
#define LATE_WRITES_QUIET_MS 10000

#define LATE_WRITES_MIN_FRESH_MS 80000

/* Answers about times younger than this are not kept. */
static inline int64_t late_writes_fresh_ms(const struct tenant_limits *l)
{
    return ORR_MAX(l->max_cache_freshness_ns / NS_PER_MS, (int64_t)LATE_WRITES_MIN_FRESH_MS);
}
static inline int64_t late_writes_before_ms(const struct tenant_limits *l, int64_t now_ms)
{
    return now_ms - late_writes_fresh_ms(l) / 4 * 3;
}
static inline uint64_t late_writes_version(int64_t now_ms)
{
    return (uint64_t)((now_ms / LATE_WRITES_ROUND_MS + 1) * LATE_WRITES_ROUND_MS);
}
/* Whether answers made now may miss what was late. */
static inline bool late_writes_are_under_way(uint64_t version, int64_t now_ms)
{
    return (int64_t)version + LATE_WRITES_QUIET_MS > now_ms;
}
