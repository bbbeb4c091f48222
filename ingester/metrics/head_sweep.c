/*
 * Tenants side by side. What is done to one (a cut) waits for the disk most of its time, a few
 * fsyncs for each segment, and tenants share nothing but the shard threads: so some threads take
 * turns. They live for the sweep alone.
 */
#include "common/base/mem.h"
#include "ingester/metrics/head_internal.h"

#define THREADS 8u

struct sweep {
    struct head_tenant *const *tenants;
    head_sweep_fn *fn;
    void *arg;
    struct err **errors;
};

static void sweep_one(void *arg, size_t i)
{
    struct sweep *s = arg;

    s->errors[i] = s->fn(s->arg, s->tenants[i]);
}

struct err *head_sweep(struct head_tenant *const *tenants, size_t n, head_sweep_fn *fn, void *arg)
{
    struct sweep s = {tenants, fn, arg, mem_new_array(struct err *, n + 1)};
    struct err *e = NULL;

    if (n > 1) {
        struct job_pool *pool = job_pool_new("sweep", (unsigned)ORR_MIN(n, (size_t)THREADS) - 1, n);

        job_parallel(pool, n, sweep_one, &s);
        job_pool_free(pool);
    } else if (n) {
        sweep_one(&s, 0);
    }
    for (size_t i = 0; i < n; i++)
        e = err_first(e, s.errors[i]);
    mem_free(s.errors);
    return e;
}
