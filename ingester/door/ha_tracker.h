/*
 * Of the replicas of a pair (two Prometheus servers that scrape the same), which one's samples are
 * taken: one elected replica for each (tenant, cluster), as Mimir and Cortex do it.
 *
 *   first sample of a cluster           its replica is elected
 *   elected replica                     taken; every update timeout (± jitter) the others are told
 *   another replica                     dropped, unless the elected one has been silent for the
 *                                       failover timeout: then this one is elected
 *
 * All ingesters share what they know by gossip: ha_tracker_check() tells through ops, what is heard
 * comes in by ha_tracker_learn(). An entry under key "ha/TENANT/CLUSTER" is
 *   lstr replica | uvarint received_ms | uvarint elected_ms | uvarint elections
 * with version elections << 34 | received seconds: a later election wins over all that was received
 * under an earlier one. Two ingesters that elect different replicas at once (both had heard of none)
 * have the same number of elections; whoever knows the earlier one of them then claims the next
 * number for it, so all settle on the same.
 *
 * Bounds: the tenant's ha_max_clusters and HA_TRACKER_MAX_CLUSTERS for all; names of
 * HA_TRACKER_MAX_NAME bytes. A cluster not heard of for HA_TRACKER_FORGET_MS gives way to new ones.
 *
 * Time is wall time, since it crosses machines; what comes from the future counts as now.
 * Pure but for its lock: any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/model/limits.h"

#define HA_TRACKER_PREFIX "ha/"
#define HA_TRACKER_MAX_CLUSTERS 20000
#define HA_TRACKER_MAX_NAME 128 /* bytes of a cluster or replica */
#define HA_TRACKER_FORGET_MS 1800000
#define HA_TRACKER_JITTER_MS 5000

struct ha_tracker;

/* Called without locks held; slices are lent. */
typedef void ha_tracker_tell_fn(void *arg, struct slice key, uint64_t version, struct slice value);
struct ha_tracker_opts {
    ha_tracker_tell_fn *tell; /* NULL: nobody else is there */
    void *arg;
    uint64_t seed; /* of the jitter; 0: from the system */
};

struct ha_tracker *ha_tracker_new(const struct ha_tracker_opts *opts);
void ha_tracker_free(struct ha_tracker *t); /* NULL is allowed */

enum ha_verdict { HA_ELECTED, HA_OTHER_REPLICA, HA_TOO_MANY_CLUSTERS, HA_NAME_TOO_LONG };
enum ha_verdict ha_tracker_check(struct ha_tracker *t, struct slice tenant,
                                 const struct tenant_limits *limits, struct slice cluster,
                                 struct slice replica, int64_t now_ms);
/* What gossip says; malformed entries are counted and dropped. */
void ha_tracker_learn(struct ha_tracker *t, struct slice key, uint64_t version, struct slice value,
                      int64_t now_ms);

struct ha_tracker_row {
    char *tenant, *cluster, *replica; /* each NUL-terminated */
    int64_t elected_ms, received_ms;
    uint64_t elections;
};
/* By tenant and cluster; to be freed by the other. */
void ha_tracker_list(struct ha_tracker *t, struct ha_tracker_row **ret, size_t *ret_n);
void ha_tracker_list_free(struct ha_tracker_row *rows, size_t n);
