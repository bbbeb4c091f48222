#include "ingester/replica.h"

#include <stdatomic.h>

#include "common/base/mem.h"

struct replica {
    struct replica_opts opts;
    _Atomic bool is_sealed;
};

struct replica *replica_new(const struct replica_opts *opts)
{
    struct replica *r = mem_new(struct replica);

    r->opts = *opts;
    if (!r->opts.clock)
        r->opts.clock = &clock_system;
    return r;
}

void replica_free(struct replica *r)
{
    mem_free(r);
}

void replica_seal(struct replica *r)
{
    atomic_store(&r->is_sealed, true);
}

/* Rounded up, and at least 1: a limit is never turned into "no limit". */
uint64_t replica_share(int64_t cluster, const struct ring *ring, int64_t shard_size)
{
    uint64_t n = ORR_MAX(ring_active(ring), 1u), rf = ORR_MIN((uint64_t)ring_rf(ring), n);

    if (cluster == 0)
        return 0;
    if (shard_size > 0 && (uint64_t)shard_size < n)
        n = ORR_MAX((uint64_t)shard_size, rf);
    return ORR_MAX(((uint64_t)cluster * rf + n - 1) / n, 1u);
}

void replica_limits(struct replica *r, struct slice tenant, struct head_limits *ret)
{
    struct tenant_limits l;
    struct limits_times times;
    struct ring *ring = NULL;

    limits_get(r->opts.limits, tenant, &l);
    times = limits_times_at(&l, clock_wall_ms(r->opts.clock));
    *ret = (struct head_limits){.ooo_window_ms = l.out_of_order_time_window_ns / NS_PER_MS,
                                .min_t_ms = times.min_t_ms,
                                .max_t_ms = times.max_t_ms};
    ret->max_windows = (uint32_t)ORR_MIN(l.max_open_windows_per_user, (int64_t)UINT32_MAX);
    if (!l.max_global_series_per_user && !l.max_global_metadata_per_user)
        return;
    ring = r->opts.ring(r->opts.ring_arg);
    ret->max_series =
        replica_share(l.max_global_series_per_user, ring, l.ingestion_tenant_shard_size);
    ret->max_metadata = (uint32_t)ORR_MIN(
        replica_share(l.max_global_metadata_per_user, ring, l.ingestion_tenant_shard_size),
        (uint64_t)UINT32_MAX);
    ring_unref(ring);
}

struct err *replica_push(struct replica *r, struct slice tenant, struct slice bytes, bool is_late,
                         head_push_fn *done, void *arg)
{
    struct head_limits limits;

    if (atomic_load(&r->is_sealed))
        return err_new(ERR_UNAVAILABLE, "this ingester is leaving");
    replica_limits(r, tenant, &limits);
    limits.takes_late = is_late;
    return head_push(r->opts.head, tenant, bytes, &limits, done, arg);
}
