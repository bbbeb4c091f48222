/*
 * What a door keeps of each tenant on each of its loops, so that no lock is needed, and within a budget: when a loop's share of it is
 * exceeded, the tenants that were quiet longest lose theirs.
 *
 * What is kept belongs to the door, which puts a struct tenant_cache into it and says by ops how to measure, empty and free it.
 *
 * Owner: each loop of its own part; new and free when the loops do not run.
 */
#pragma once
#include "common/base/loop.h"
#include "common/base/map.h"

struct tenant_cache {
    size_t bytes;        /* as counted last */
    uint64_t generation; /* of the limits that it was made under; the door's */
    uint64_t used;       /* by the loop's count */
};
struct tenant_cache_ops {
    size_t (*bytes)(const struct tenant_cache *c);
    void (*clear)(struct tenant_cache *c);
    void (*free)(struct tenant_cache *c);
};

struct tenant_caches;
struct tenant_caches_loop {
    struct tenant_caches *all;
    struct loop *loop;
    struct map tenants; /* struct tenant_cache */
    size_t bytes;
    uint64_t uses;
};

/* budget: of all loops together. gauge: bytes of all, written by METRIC_ADD(); outlives it. */
struct tenant_caches *tenant_caches_new(const struct tenant_cache_ops *ops,
                                        struct loop *const *loops, size_t n_loops, size_t budget,
                                        int64_t *gauge);
void tenant_caches_free(struct tenant_caches *all);
size_t tenant_caches_budget(const struct tenant_caches *all); /* of one loop */

/* loop must be one of those it was made with. */
struct tenant_caches_loop *tenant_caches_on(struct tenant_caches *all, const struct loop *loop);
/* NULL: the door has not put one there. */
struct tenant_cache *tenant_caches_find(struct tenant_caches_loop *l, struct slice tenant);
/* The same, or its place, for who uses it now. */
struct tenant_cache **tenant_caches_slot(struct tenant_caches_loop *l, struct slice tenant);
void tenant_caches_use(struct tenant_caches_loop *l, struct tenant_cache *c);
/* It may have grown. */
void tenant_caches_account(struct tenant_caches_loop *l, struct tenant_cache *c);
void tenant_caches_clear(struct tenant_caches_loop *l, struct tenant_cache *c);
/* Back into the budget; except (NULL is allowed) keeps what it has. */
void tenant_caches_trim(struct tenant_caches_loop *l, const struct tenant_cache *except);
