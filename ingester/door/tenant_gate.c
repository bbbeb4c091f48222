#include "ingester/door/tenant_gate.h"

#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/tokenbucket.h"

/* Tenants that have been quiet so long are forgotten (their buckets are full again). */
#define FORGET_NS (600 * NS_PER_S)
#define SWEEP_TENANTS 4096
#define BYTES_PER_MB 1048576.0

struct gate_tenant {
    struct tokenbucket samples, requests, log_bytes, span_bytes;
    int64_t used_ns;
};

struct tenant_gate {
    const struct clock *clock;
    struct lock lock;
    struct map tenants; /* guarded: struct gate_tenant */
    size_t sweep_at;
};

struct tenant_gate *tenant_gate_new(const struct clock *clock)
{
    struct tenant_gate *g = mem_new(struct tenant_gate);

    g->clock = clock ? clock : &clock_system;
    g->sweep_at = SWEEP_TENANTS;
    lock_init(&g->lock, LOCK_LEAF_MODULE);
    return g;
}

void tenant_gate_free(struct tenant_gate *g)
{
    if (!g)
        return;
    MAP_FOREACH (en, &g->tenants)
        mem_free(en->value);
    map_done(&g->tenants);
    lock_done(&g->lock);
    mem_free(g);
}

/* Drops tenants that are quiet, when there are many. */
static void sweep(struct tenant_gate *g, int64_t now_ns)
{
    struct map kept = {0};

    MAP_FOREACH (en, &g->tenants) {
        struct gate_tenant *t = en->value;

        if (now_ns - t->used_ns > FORGET_NS)
            mem_free(t);
        else
            (void)map_put(&kept, en->key, t);
    }
    map_done(&g->tenants);
    g->tenants = kept;
    g->sweep_at = ORR_MAX(2 * kept.len, (size_t)SWEEP_TENANTS);
}

static struct gate_tenant *find(struct tenant_gate *g, struct slice tenant, int64_t now_ns)
{
    struct gate_tenant *t = map_get(&g->tenants, tenant);

    if (!t) {
        if (g->tenants.len >= g->sweep_at)
            sweep(g, now_ns);
        t = mem_new(struct gate_tenant);
        (void)map_put(&g->tenants, tenant, t);
    }
    t->used_ns = now_ns;
    return t;
}

static double share_of(double cluster, size_t share)
{
    return cluster / (double)ORR_MAX(share, (size_t)1);
}

struct err *tenant_gate_request(struct tenant_gate *g, struct slice tenant,
                                const struct tenant_limits *limits, size_t share)
{
    double rate = share_of(limits->request_rate, share);
    double burst =
        limits->request_burst_size ? (double)limits->request_burst_size : ORR_MAX(rate, 1.0);
    int64_t now_ns = clock_mono_ns(g->clock);
    bool ok;

    if (limits->request_rate == 0)
        return NULL;
    lock_take(&g->lock);
    ok = tokenbucket_take(&find(g, tenant, now_ns)->requests, rate, burst, 1, now_ns);
    lock_release(&g->lock);
    return ok ? NULL
              : err_new(ERR_RATE, "too many requests: limit request_rate is %.17g per second",
                        limits->request_rate);
}

struct err *tenant_gate_samples(struct tenant_gate *g, struct slice tenant,
                                const struct tenant_limits *limits, size_t share, uint64_t n)
{
    double rate = share_of(limits->ingestion_rate, share);
    double burst = limits->ingestion_burst_size ? (double)limits->ingestion_burst_size
                                                : ORR_MAX(rate, (double)TENANT_GATE_MIN_BURST);
    int64_t now_ns = clock_mono_ns(g->clock);
    bool ok;

    if (limits->ingestion_rate == 0)
        return NULL;
    lock_take(&g->lock);
    ok = tokenbucket_take(&find(g, tenant, now_ns)->samples, rate, burst, (double)n, now_ns);
    lock_release(&g->lock);
    return ok ? NULL
              : err_new(ERR_RATE,
                        "too many samples: limit ingestion_rate is %.17g samples per second, "
                        "this write has %llu",
                        limits->ingestion_rate, (unsigned long long)n);
}

struct err *tenant_gate_log_bytes(struct tenant_gate *g, struct slice tenant,
                                  const struct tenant_limits *limits, size_t share, uint64_t lines,
                                  uint64_t bytes)
{
    double rate = share_of(limits->ingestion_rate_mb, share) * BYTES_PER_MB;
    double burst =
        limits->ingestion_burst_size_mb > 0 ? limits->ingestion_burst_size_mb * BYTES_PER_MB : rate;
    int64_t now_ns = clock_mono_ns(g->clock);
    bool ok;

    if (limits->ingestion_rate_mb == 0 || bytes == 0)
        return NULL;
    lock_take(&g->lock);
    ok = tokenbucket_take(&find(g, tenant, now_ns)->log_bytes, rate, burst, (double)bytes, now_ns);
    lock_release(&g->lock);
    return ok ? NULL
              : err_new(ERR_RATE,
                        "too many bytes of log lines: limit ingestion_rate_mb is %.17g MB per "
                        "second, this write has %llu lines of %llu bytes in all",
                        limits->ingestion_rate_mb, (unsigned long long)lines,
                        (unsigned long long)bytes);
}

struct err *tenant_gate_span_bytes(struct tenant_gate *g, struct slice tenant,
                                   const struct tenant_limits *limits, size_t share, uint64_t spans,
                                   uint64_t bytes)
{
    double rate = share_of((double)limits->traces_rate_limit_bytes, share);
    double burst = limits->traces_burst_size_bytes ? (double)limits->traces_burst_size_bytes : rate;
    int64_t now_ns = clock_mono_ns(g->clock);
    bool ok;

    if (limits->traces_rate_limit_bytes == 0 || bytes == 0)
        return NULL;
    lock_take(&g->lock);
    ok = tokenbucket_take(&find(g, tenant, now_ns)->span_bytes, rate, burst, (double)bytes, now_ns);
    lock_release(&g->lock);
    return ok ? NULL
              : err_new(ERR_RATE,
                        "too many bytes of spans: limit traces_rate_limit_bytes is %lld per "
                        "second, this "
                        "write has %llu spans of %llu bytes in all",
                        (long long)limits->traces_rate_limit_bytes, (unsigned long long)spans,
                        (unsigned long long)bytes);
}
