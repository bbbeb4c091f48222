/*
 * The cluster, as a group at work sees it: queries go to queriers, results to ingesters. Every call
 * waits for its answer, so: workers only, never a loop.
 *
 * Queries: the querier that owns the group's key comes first, so that its caches serve the group;
 * then the next ones, when one is unavailable. Writes: any ingester, then the next; an ingester
 * repeats samples it has without harm, so a write whose outcome is unknown is tried elsewhere.
 * What no ingester takes stays in the group's buffer, goes first with its next write, and is
 * dropped (and counted) past max_pending_bytes. Late writes are the caller's to repeat.
 *
 * A struct rule_remote belongs to one group and one worker at a time, but queries may be asked side by side; struct
 * rule_remote_shared is immutable but for its counters.
 */
#pragma once
#include "common/ring/membership.h"
#include "common/rpc/rpc.h"
#include "ruler/rule_eval.h"

struct rule_remote_shared {
    struct membership *membership;
    struct rpc_pool *peers;
    int64_t query_timeout_ms, write_timeout_ms;
    size_t max_pending_bytes;
    uint64_t queries, query_failures, writes, write_failures, dropped_samples; /* METRIC_ADD */
};

struct rule_remote {
    struct rule_remote_shared *shared;
    const char *tenant;
    const char *
        sources; /* "a|b": the tenants whose data expressions and templates read; NULL: the tenant's own */
    bool is_refused; /* it may not read those */
    uint32_t key;
    struct buf pending; /* a WriteRequest that no ingester has taken yet */
    size_t pending_samples;
};

/* A rule_query_fn; arg is the struct rule_remote. */
ORR_CHECKED struct err *rule_remote_query(void *arg, struct arena *a, enum rule_lang lang,
                                          struct slice query, int64_t t_ms,
                                          struct rule_vector *ret);
ORR_CHECKED struct err *rule_remote_write(void *arg, const struct rule_series *s, size_t n);
/* Of struct rule_group_ops. */
ORR_CHECKED struct err *rule_remote_stored(void *arg, struct arena *a, const struct rule *r,
                                           int64_t from_ms, int64_t ts_ms, int64_t interval_ms,
                                           struct rule_stored **ret, size_t *ret_n);
ORR_CHECKED struct err *rule_remote_write_late(void *arg, const struct rule_series *s, size_t n);
ORR_CHECKED struct err *rule_remote_last(void *arg, struct arena *a, const struct rule *r,
                                         int64_t at_ms, int64_t window_ms, int64_t *ret_ms);
void rule_remote_done(struct rule_remote *r);
