#include "ingester/door/tenant_caches.h"

#include "common/base/mem.h"
#include "common/base/metric.h"

struct tenant_caches {
    const struct tenant_cache_ops *ops;
    struct tenant_caches_loop *loops;
    size_t n, loop_budget;
    int64_t *gauge;
};

struct tenant_caches *tenant_caches_new(const struct tenant_cache_ops *ops,
                                        struct loop *const *loops, size_t n_loops, size_t budget,
                                        int64_t *gauge)
{
    struct tenant_caches *all = mem_new(struct tenant_caches);

    *all = (struct tenant_caches){ops, mem_new_array(struct tenant_caches_loop, n_loops), n_loops,
                                  budget / n_loops, gauge};
    for (size_t i = 0; i < n_loops; i++) {
        all->loops[i].all = all;
        all->loops[i].loop = loops[i];
    }
    return all;
}

void tenant_caches_free(struct tenant_caches *all)
{
    for (size_t i = 0; i < all->n; i++) {
        MAP_FOREACH (en, &all->loops[i].tenants)
            all->ops->free(en->value);
        map_done(&all->loops[i].tenants);
    }
    mem_free(all->loops);
    mem_free(all);
}

size_t tenant_caches_budget(const struct tenant_caches *all)
{
    return all->loop_budget;
}

struct tenant_caches_loop *tenant_caches_on(struct tenant_caches *all, const struct loop *loop)
{
    size_t i = 0;

    while (i < all->n && all->loops[i].loop != loop)
        i++;
    ORR_ASSERT(i < all->n);
    return &all->loops[i];
}

struct tenant_cache *tenant_caches_find(struct tenant_caches_loop *l, struct slice tenant)
{
    return map_get(&l->tenants, tenant);
}

struct tenant_cache **tenant_caches_slot(struct tenant_caches_loop *l, struct slice tenant)
{
    return (struct tenant_cache **)(void *)map_slot(&l->tenants, tenant);
}

void tenant_caches_use(struct tenant_caches_loop *l, struct tenant_cache *c)
{
    c->used = ++l->uses;
}

void tenant_caches_account(struct tenant_caches_loop *l, struct tenant_cache *c)
{
    size_t bytes = l->all->ops->bytes(c);

    l->bytes += bytes - c->bytes;
    METRIC_ADD(*l->all->gauge, (int64_t)(bytes - c->bytes));
    c->bytes = bytes;
}

void tenant_caches_clear(struct tenant_caches_loop *l, struct tenant_cache *c)
{
    l->all->ops->clear(c);
    tenant_caches_account(l, c);
}

void tenant_caches_trim(struct tenant_caches_loop *l, const struct tenant_cache *except)
{
    while (l->bytes > l->all->loop_budget) {
        struct tenant_cache *oldest = NULL;

        MAP_FOREACH (en, &l->tenants) {
            struct tenant_cache *c = en->value;

            if (c != except && c->bytes && (!oldest || c->used < oldest->used))
                oldest = c;
        }
        if (!oldest)
            return;
        tenant_caches_clear(l, oldest);
    }
}
