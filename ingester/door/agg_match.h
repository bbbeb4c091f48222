/*
 * Takes out of a push what a tenant's aggregation rules (common/model/agg_rule.h) are about, and
 * remembers for each series what became of it: in the steady state one lookup.
 *
 * One object stands for one generation of the tenant's rules. The cache forgets all when it is full.
 *
 * Owner: one loop.
 */
#pragma once
#include "common/model/tenant_rules.h"
#include "ingester/door/fp_cache.h"
#include "ingester/metrics/batch.h"
#include "ingester/push.h"

/* Of one write: series for the owners of their groups. */
struct agg_item {
    struct push_series s; /* fp is agg_rule_key(); is_known: the owner has its labels */
    uint32_t token;       /* of the group's place */
};
struct agg_load {
    VEC(struct agg_item) items;              /* point into the push */
    uint64_t samples, histograms, exemplars; /* of those that are not in the push any more */
    uint64_t rejected[BATCH_REASON_COUNT];   /* samples and histograms among those */
};
void agg_load_done(struct agg_load *l);

struct agg_match;
/* NULL when there are no such rules; rules is lent, and referenced when needed. */
struct agg_match *agg_match_new(struct tenant_rules *rules, size_t cache_bytes);
void agg_match_free(struct agg_match *m); /* NULL is allowed */
size_t agg_match_bytes(const struct agg_match *m);
void agg_match_clear(struct agg_match *m); /* NULL is allowed */

/* Series whose rule drops its input leave the push and its counts, and are known from now on: their
 * labels are valid. Labels that cannot be read again stay out of it. So do samples that the grace
 * periods of p->limits refuse: rejected counts those that leave the push, the head the others. */
void agg_match_take(struct agg_match *m, struct push *p, struct fp_cache *known, int64_t now_ms,
                    struct agg_load *ret);
/* After the owners have taken it. */
void agg_match_remember(struct agg_match *m, const struct agg_load *l);
