#include "ingester/door/door.h"

#include <stdatomic.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/metric.h"
#include "ingester/door/agg_send.h"
#include "ingester/door/door_answer.h"
#include "ingester/door/rewrite.h"
#include "ingester/door/tenant_caches.h"
#include "ingester/door/tenant_gate.h"

#define MAX_PROTOCOLS 32
#define REWRITE_SHARE 8 /* of a loop's cache that results of one tenant's rules may take: 1/8 */

struct door_metrics {
    uint64_t writes, samples, histograms, exemplars, metadata, new_series;
    uint64_t exemplars_dropped, metadata_dropped, rate_limited, malformed;
    uint64_t relabelled, deduplicated;
    int64_t cache_bytes;
    uint64_t rejected[DOOR_REASON_COUNT], replica_rejected[BATCH_REASON_COUNT];
};
static const struct metric_field door_fields[] = {
    METRIC_COUNTER(struct door_metrics, writes, "orrery_door_writes_total", "Writes decoded."),
    METRIC_COUNTER(struct door_metrics, samples, "orrery_door_samples_total",
                   "Float samples received."),
    METRIC_COUNTER(struct door_metrics, histograms, "orrery_door_histograms_total",
                   "Native histograms received."),
    METRIC_COUNTER(struct door_metrics, exemplars, "orrery_door_exemplars_total",
                   "Exemplars received."),
    METRIC_COUNTER(struct door_metrics, metadata, "orrery_door_metadata_total",
                   "Metadata entries received."),
    METRIC_COUNTER(struct door_metrics, new_series, "orrery_door_new_series_total",
                   "Series the door did not know and sent with labels."),
    METRIC_COUNTER(struct door_metrics, exemplars_dropped, "orrery_door_exemplars_dropped_total",
                   "Exemplars with too long or bad labels, or without a series."),
    METRIC_COUNTER(struct door_metrics, metadata_dropped, "orrery_door_metadata_dropped_total",
                   "Metadata entries too long or not UTF-8."),
    METRIC_COUNTER(struct door_metrics, rate_limited, "orrery_door_rate_limited_total",
                   "Requests refused because a tenant was too fast."),
    METRIC_COUNTER(struct door_metrics, malformed, "orrery_door_malformed_total",
                   "Writes that could not be read."),
    METRIC_COUNTER(struct door_metrics, relabelled, "orrery_door_relabelled_samples_total",
                   "Samples dropped by a tenant's metric_relabel_configs."),
    METRIC_COUNTER(struct door_metrics, deduplicated, "orrery_door_deduplicated_samples_total",
                   "Samples of replicas that are not the elected one of their pair."),
    METRIC_GAUGE(struct door_metrics, cache_bytes, "orrery_door_cache_bytes",
                 "Memory of the caches of known series."),
};

/* A tenant as one loop knows it. */
struct door_tenant {
    struct tenant_cache base;
    struct fp_cache known;
    struct rewrite *rewrite; /* NULL: no rules */
    struct agg_match *agg;   /* NULL: no aggregation rules */
};

/* What came by one protocol; a slot is taken when it is first seen. */
struct door_protocol {
    _Atomic(const char *) name;
    uint64_t writes, samples;
};

struct door {
    struct door_opts opts;
    struct tenant_gate *gate;
    struct tenant_caches *caches; /* struct door_tenant */
    struct door_metrics m;
    struct door_protocol protocols[MAX_PROTOCOLS];
};

/* One write under way. Owner: its loop. */
struct write {
    struct door *d;
    struct tenant_caches_loop *dl;
    struct push_rejects rejects;
    struct agg_load agg;
    struct push *p; /* while its aggregation is under way */
    int64_t held_bytes;
    bool is_strict; /* as push_decoder */
    door_done_fn *done;
    void *arg;
};

static void collect_protocols(struct door *d, struct buf *out, bool is_openmetrics)
{
    static const char *const writes = "orrery_door_protocol_writes_total",
                             *const samples = "orrery_door_protocol_samples_total";
    char labels[128];

    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, writes,
                        "Writes decoded, by protocol.");
    for (unsigned i = 0; i < MAX_PROTOCOLS && d->protocols[i].name; i++) {
        (void)snprintf(labels, sizeof(labels), "protocol=\"%s\"", d->protocols[i].name);
        metric_write_u64(out, writes, labels, METRIC_GET(d->protocols[i].writes));
    }
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, samples,
                        "Float samples and native histograms received, by protocol.");
    for (unsigned i = 0; i < MAX_PROTOCOLS && d->protocols[i].name; i++) {
        (void)snprintf(labels, sizeof(labels), "protocol=\"%s\"", d->protocols[i].name);
        metric_write_u64(out, samples, labels, METRIC_GET(d->protocols[i].samples));
    }
}

static void collect(void *arg, struct buf *out, bool is_openmetrics)
{
    static const char *const name = "orrery_door_rejected_samples_total";
    struct door *d = arg;
    char labels[128];

    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, name,
                        "Samples refused, by reason: by the door or by a majority of replicas.");
    for (unsigned i = 0; i < DOOR_REASON_COUNT; i++) {
        (void)snprintf(labels, sizeof(labels), "reason=\"%s\"",
                       door_reason_name((enum door_reason)i));
        metric_write_u64(out, name, labels, METRIC_GET(d->m.rejected[i]));
    }
    for (unsigned i = 0; i < BATCH_REASON_COUNT; i++) {
        (void)snprintf(labels, sizeof(labels), "reason=\"%s\"",
                       batch_reason_name((enum batch_reason)i));
        metric_write_u64(out, name, labels, METRIC_GET(d->m.replica_rejected[i]));
    }
    collect_protocols(d, out, is_openmetrics);
}

/* ---- caches ---- */

static struct door_tenant *tenant_in(struct tenant_cache *c)
{
    return c ? ORR_CONTAINER(c, struct door_tenant, base) : NULL;
}

static size_t tenant_bytes(const struct tenant_cache *c)
{
    const struct door_tenant *t = ORR_CONTAINER(c, const struct door_tenant, base);

    return fp_cache_bytes(&t->known) + rewrite_bytes(t->rewrite) + agg_match_bytes(t->agg);
}

static void tenant_clear(struct tenant_cache *c)
{
    struct door_tenant *t = tenant_in(c);

    fp_cache_clear(&t->known);
    rewrite_clear(t->rewrite);
    agg_match_clear(t->agg);
}

static void tenant_free(struct tenant_cache *c)
{
    struct door_tenant *t = tenant_in(c);

    fp_cache_done(&t->known);
    rewrite_free(t->rewrite);
    agg_match_free(t->agg);
    mem_free(t);
}

static struct door_tenant *tenant_of(struct door *d, struct tenant_caches_loop *dl,
                                     const struct push *p)
{
    struct tenant_cache **slot = tenant_caches_slot(dl, p->tenant);
    struct door_tenant *t = tenant_in(*slot);
    size_t budget = tenant_caches_budget(d->caches);

    if (!t) {
        t = mem_new(struct door_tenant);
        fp_cache_init(&t->known, budget);
        *slot = &t->base;
    }
    if (t->base.generation != p->limits.generation) {
        struct tenant_rules *rules = limits_rules(d->opts.limits, p->tenant);

        rewrite_free(t->rewrite);
        agg_match_free(t->agg);
        t->agg = d->opts.agg ? agg_match_new(rules, budget / REWRITE_SHARE) : NULL;
        t->rewrite =
            rewrite_new(p->tenant, rules, p->limits.accept_ha_samples, budget / REWRITE_SHARE);
        tenant_caches_clear(dl, &t->base);
    }
    t->base.generation = p->limits.generation;
    tenant_caches_use(dl, &t->base);
    return t;
}

static const struct tenant_cache_ops tenant_ops = {tenant_bytes, tenant_clear, tenant_free};

/* ---- life ---- */

struct door *door_new(const struct door_opts *opts)
{
    struct door *d = mem_new(struct door);

    d->opts = *opts;
    d->opts.loops = NULL; /* the caller's array */
    d->opts.clock = opts->clock ? opts->clock : &clock_system;
    d->gate = tenant_gate_new(opts->clock);
    d->caches = tenant_caches_new(&tenant_ops, opts->loops, opts->n_loops, opts->cache_bytes,
                                  &d->m.cache_bytes);
    metric_register(&d->m, door_fields, ORR_COUNT(door_fields), NULL);
    metric_register_collector(collect, d);
    return d;
}

void door_free(struct door *d)
{
    if (!d)
        return;
    metric_unregister_collector(collect, d);
    metric_unregister(&d->m);
    tenant_caches_free(d->caches);
    tenant_gate_free(d->gate);
    mem_free(d);
}

size_t door_max_body_bytes(const struct door *d)
{
    return d->opts.max_body_bytes;
}

static size_t share(const struct door *d)
{
    return d->opts.share ? d->opts.share(d->opts.share_arg) : 1;
}

struct err *door_admit(struct door *d, struct slice tenant, size_t body_bytes)
{
    struct tenant_limits limits;
    struct err *e;

    if (!distribute_has_room(d->opts.distribute, body_bytes))
        return err_new(ERR_UNAVAILABLE, "too many writes are in flight, try again");
    limits_get(d->opts.limits, tenant, &limits);
    if ((e = tenant_gate_request(d->gate, tenant, &limits, share(d))))
        METRIC_ADD(d->m.rate_limited, 1);
    return e;
}

static void remember(struct tenant_caches_loop *dl, const struct push *p)
{
    struct door_tenant *t = tenant_in(tenant_caches_find(dl, p->tenant));

    /* Limits may have changed while the replicas worked: then the labels are to be checked again. */
    if (!t || t->base.generation != p->limits.generation)
        return;
    push_builder_remember(p, &t->known);
    tenant_caches_account(dl, &t->base);
    tenant_caches_trim(dl, &t->base);
}

/* ---- the end of a write ---- */

static void count_rejected(struct write *w, const struct distribute_result *r)
{
    for (unsigned i = 0; i < DOOR_REASON_COUNT; i++)
        METRIC_ADD(w->d->m.rejected[i], w->rejects.samples[i]);
    for (unsigned i = 0; i < BATCH_REASON_COUNT; i++)
        METRIC_ADD(w->d->m.replica_rejected[i], r->rejected[i]);
}

static void write_free(struct write *w)
{
    agg_load_done(&w->agg);
    mem_free(w);
}

/* What was refused to be added up is refused of the write, too. */
static struct distribute_result with_aggregation(const struct write *w,
                                                 const struct distribute_result *r)
{
    struct distribute_result ret = *r;

    for (unsigned i = 0; i < BATCH_REASON_COUNT; i++)
        ret.rejected[i] += w->agg.rejected[i];
    return ret;
}

/* Of what was added up and is not stored itself. */
static void count_aggregated(const struct write *w, struct door_written *written)
{
    uint64_t rejected = 0, all = w->agg.samples + w->agg.histograms;

    for (unsigned i = 0; i < BATCH_REASON_COUNT; i++)
        rejected += w->agg.rejected[i];
    rejected = ORR_MIN(rejected, all);
    written->samples += w->agg.samples - ORR_MIN(rejected, w->agg.samples);
    written->histograms += w->agg.histograms - (rejected - ORR_MIN(rejected, w->agg.samples));
}

static void on_distributed(void *arg, const struct push *p, const struct distribute_result *plain)
{
    struct write *w = arg;
    struct distribute_result all = with_aggregation(w, plain), *r = &all;
    struct door_written written = {.deduplicated = w->rejects.deduplicated};
    struct err *e;

    if (r->error) {
        e = err_copy(r->error);
    } else {
        if (r->rejected[BATCH_MAX_SERIES_LIMIT] == 0 && r->rejected[BATCH_BAD_LABELS] == 0)
            remember(w->dl, p);
        count_rejected(w, r);
        e = door_answer(
            &(struct door_answer_input){.push = p,
                                        .rejects = &w->rejects,
                                        .is_strict = w->is_strict,
                                        .aggregated = w->agg.samples + w->agg.histograms,
                                        .result = r},
            &written);
        count_aggregated(w, &written);
    }
    w->done(w->arg, e, &written);
    write_free(w);
}

/* ---- a write ---- */

static struct door_protocol *protocol_of(struct door *d, const char *name)
{
    for (unsigned i = 0; i < MAX_PROTOCOLS; i++) {
        const char *there = NULL;

        if (atomic_compare_exchange_strong(&d->protocols[i].name, &there, name) ||
            strcmp(there, name) == 0)
            return &d->protocols[i];
    }
    attr_assert_failed("a protocol more than MAX_PROTOCOLS", __FILE__, __LINE__);
}

static void count(struct door *d, const struct push *p, const struct push_rejects *rejects)
{
    uint64_t fresh = 0;

    VEC_FOREACH (s, &p->series)
        fresh += !s->is_known;
    METRIC_ADD(d->m.writes, 1);
    METRIC_ADD(d->m.samples, p->samples);
    METRIC_ADD(d->m.histograms, p->histograms);
    METRIC_ADD(d->m.exemplars, p->exemplars);
    METRIC_ADD(d->m.metadata, p->metadata.len);
    METRIC_ADD(d->m.new_series, fresh);
    METRIC_ADD(d->m.exemplars_dropped, rejects->exemplars);
    METRIC_ADD(d->m.metadata_dropped, rejects->metadata);
    METRIC_ADD(d->m.relabelled, rejects->relabelled);
    METRIC_ADD(d->m.deduplicated, rejects->deduplicated);
}

static enum ha_verdict ask_ha(void *arg, const struct push *p, struct slice cluster,
                              struct slice replica)
{
    struct door *d = arg;

    return ha_tracker_check(d->opts.ha, p->tenant, &p->limits, cluster, replica,
                            clock_wall_ms(d->opts.clock));
}

static struct err *decode(struct write *w, struct push *p, const struct push_decoder *decoder)
{
    struct door *d = w->d;
    struct door_tenant *t = tenant_of(d, w->dl, p);
    struct door_protocol *protocol = protocol_of(d, decoder->name);
    struct push_builder b;
    struct err *e;

    push_builder_init(&b, p, &t->known, clock_wall_ms(d->opts.clock));
    b.rewrite = decoder->is_own ? NULL : t->rewrite;
    b.ha = d->opts.ha && !decoder->is_own ? ask_ha : NULL;
    b.ha_arg = d;
    e = decoder->decode(&b, decoder->arg);
    tenant_caches_account(w->dl, &t->base);
    if (e) {
        METRIC_ADD(d->m.malformed, 1);
        return e;
    }
    w->rejects = b.rejects;
    count(d, p, &w->rejects);
    METRIC_ADD(protocol->writes, 1);
    METRIC_ADD(protocol->samples, p->samples + p->histograms);
    if (decoder->is_own)
        return NULL;
    if ((e = tenant_gate_samples(d->gate, p->tenant, &p->limits, share(d),
                                 p->samples + p->histograms))) {
        METRIC_ADD(d->m.rate_limited, 1);
        return e;
    }
    if (ORR_UNLIKELY(t->agg)) {
        agg_match_take(t->agg, p, &t->known, push_builder_now_ms(&b), &w->agg);
        METRIC_ADD(d->m.exemplars_dropped, w->agg.exemplars);
        tenant_caches_account(w->dl, &t->base);
    }
    return NULL;
}

static void write_failed(struct write *w, struct err *e, struct push *p)
{
    w->done(w->arg, e, &(struct door_written){0});
    write_free(w);
    push_free(p);
}

static void on_aggregated(void *arg, struct err *e, const uint64_t rejected[BATCH_REASON_COUNT])
{
    struct write *w = arg;
    struct push *p = w->p;
    struct door_tenant *t = tenant_in(tenant_caches_find(w->dl, p->tenant));

    distribute_hold(w->d->opts.distribute, -w->held_bytes);
    if (e) {
        write_failed(w, e, p);
        return;
    }
    if (t && t->agg && t->base.generation == p->limits.generation)
        agg_match_remember(t->agg, &w->agg);
    for (unsigned i = 0; i < BATCH_REASON_COUNT; i++)
        w->agg.rejected[i] += rejected[i];
    distribute_push(w->d->opts.distribute, w->dl->loop, p, on_distributed, w);
}

void door_write(struct door *d, struct loop *loop, struct slice tenant,
                const struct push_decoder *decoder, struct buf *body, door_done_fn *done, void *arg)
{
    struct write *w = mem_new(struct write);
    struct tenant_limits limits;
    struct push *p;
    struct err *e;

    w->d = d;
    w->dl = tenant_caches_on(d->caches, loop);
    w->is_strict = decoder->is_strict;
    w->done = done;
    w->arg = arg;
    limits_get(d->opts.limits, tenant, &limits);
    p = push_new(tenant, &limits);
    p->is_late = decoder->is_late;
    p->body = *body;
    *body = (struct buf){0};
    if ((e = decode(w, p, decoder))) {
        write_failed(w, e, p);
        return;
    }
    if (w->agg.items.len) {
        w->p = p;
        w->held_bytes = (int64_t)(push_bytes(p) + w->agg.items.cap * sizeof(struct agg_item));
        distribute_hold(d->opts.distribute, w->held_bytes);
        agg_send(d->opts.agg, loop, p, &w->agg, on_aggregated, w);
        return;
    }
    distribute_push(d->opts.distribute, loop, p, on_distributed, w);
}
