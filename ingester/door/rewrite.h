/*
 * What a tenant's rules make of the labels of its series before they are validated: the replica
 * label of a pair is taken off, metric_relabel_configs are applied (they see the tenant as
 * __meta_tenant_id), then drop_labels, in Mimir's order.
 *
 * Results are kept by a fingerprint of the labels as they came: in the steady state a series costs
 * one lookup and a copy of its bytes. The cache forgets all when it is full. One object stands for
 * one generation of the tenant's rules.
 *
 *     if (!rewrite_known(w, key, &r)) {
 *         ls = what came, sorted, names unique, no empty value
 *         if (rewrite_labels(w, a, ls, &after, &r.pair)) { validate; r.labels, r.fp = … }
 *         else r.is_dropped = true;
 *         rewrite_remember(w, key, &r);
 *     }
 *
 * Owner: one loop.
 */
#pragma once
#include "common/model/labels.h"
#include "common/model/tenant_rules.h"

#define REWRITE_MAX_PAIRS 10000 /* cluster and replica, seen since the cache was emptied */

struct rewrite;

/* Takes rules (a reference). NULL when they change nothing. */
struct rewrite *rewrite_new(struct slice tenant, struct tenant_rules *rules, bool accept_ha,
                            size_t cache_bytes);
void rewrite_free(struct rewrite *w); /* NULL is allowed */
size_t rewrite_bytes(const struct rewrite *w);
/* Forgets all and gives memory back; NULL is allowed. Not between known/labels and remember. */
void rewrite_clear(struct rewrite *w);

struct rewrite_result {
    struct slice labels; /* canonical; lent until the next call of remember or clear */
    struct hash128 fp;
    uint32_t pair; /* 0: the series is of no pair */
    bool is_dropped;
};
bool rewrite_known(const struct rewrite *w, struct hash128 key, struct rewrite_result *ret);
/* False: dropped. *ret is sorted; in the arena, or ls itself. *ret_pair is set in either case. */
bool rewrite_labels(struct rewrite *w, struct arena *a, struct labels ls, struct labels *ret,
                    uint32_t *ret_pair);
/* Copies. May empty the cache first, after which pairs have other numbers. */
void rewrite_remember(struct rewrite *w, struct hash128 key, const struct rewrite_result *r);
/* Changes whenever numbers of pairs do. */
uint64_t rewrite_epoch(const struct rewrite *w);
void rewrite_pair(const struct rewrite *w, uint32_t pair, struct slice *ret_cluster,
                  struct slice *ret_replica);
