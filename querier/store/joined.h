/*
 * Several tenants read as one (X-Scope-OrgID: a|b), as Mimir does it: each series gets the label
 * __tenant_id__; one that it had before is called original___tenant_id__. Matchers of __tenant_id__
 * choose tenants, those of original___tenant_id__ the label that was there.
 *
 * With one tenant nothing is added and everything is handed to its store_query as it is.
 *
 * Order: labels are merged as labels_cmp() has them. (A series and another one that has all its labels
 * and more, all of which sort before __tenant_id__, may come in either order.) Series of different
 * tenants are never the same, so nothing hangs on it.
 *
 * Limits hold for each tenant. Warnings of several tenants say whose they are.
 *
 * Owner: the query's worker; memory is the query's arena. Calls block, as those of store.h.
 */
#pragma once
#include "querier/store/store.h"

#define JOINED_LABEL "__tenant_id__"
#define JOINED_ORIGINAL "original___tenant_id__"

struct joined {
    struct storage storage; /* for the engine */
    struct arena *arena;
    const struct slice *tenants;
    struct store_query *queries; /* n */
    size_t n;
    VEC(struct slice) warnings; /* of the answer as a whole; in the arena */
};

/* opts.tenant is left out of account; tenants (1..n, distinct, sorted) outlive it. */
void joined_init(struct joined *j, struct store *s, const struct store_query_opts *opts,
                 const struct slice *tenants, size_t n);
void joined_done(struct joined *j);
void joined_warn(struct joined *j, struct slice text); /* once; copies */
/* Gathers what the tenants' queries warned of into j->warnings. */
void joined_gather_warnings(struct joined *j);

/* As in store.h. */
ORR_CHECKED struct err *joined_series(struct joined *j, struct matchers ms, int64_t min_ms,
                                      int64_t max_ms, struct series_set **ret);
ORR_CHECKED struct err *joined_names(struct joined *j, const struct matchers *sets, size_t n,
                                     struct slice label, int64_t min_ms, int64_t max_ms,
                                     struct store_names *ret);
ORR_CHECKED struct err *joined_metadata(struct joined *j, struct slice family,
                                        struct rpc_metadata **ret, size_t *ret_n);
ORR_CHECKED struct err *joined_exemplars(struct joined *j, const struct matchers *sets, size_t n,
                                         int64_t min_ms, int64_t max_ms, struct rpc_exemplars **ret,
                                         size_t *ret_n);
