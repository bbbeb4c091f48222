#include "ingester/door/log_door.h"

#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/metric.h"
#include "ingester/door/log_rule_counts.h"
#include "ingester/door/tenant_caches.h"
#include "ingester/door/tenant_gate.h"

struct log_door_metrics {
    uint64_t writes, lines, bytes, truncated, malformed;
    int64_t inflight_bytes, cache_bytes;
    uint64_t discarded_lines[LOG_REASON_COUNT], discarded_bytes[LOG_REASON_COUNT];
};
static const struct metric_field log_door_fields[] = {
    METRIC_COUNTER(struct log_door_metrics, writes, "orrery_log_door_writes_total",
                   "Writes of log lines."),
    METRIC_COUNTER(struct log_door_metrics, lines, "orrery_log_door_lines_total",
                   "Log lines received that keep to the limits."),
    METRIC_COUNTER(struct log_door_metrics, bytes, "orrery_log_door_bytes_total",
                   "Bytes of those lines and their structured metadata."),
    METRIC_COUNTER(struct log_door_metrics, truncated, "orrery_log_door_truncated_lines_total",
                   "Log lines that were cut at limit max_line_size."),
    METRIC_COUNTER(struct log_door_metrics, malformed, "orrery_log_door_malformed_total",
                   "Writes of log lines that could not be read at all."),
    METRIC_GAUGE(struct log_door_metrics, inflight_bytes, "orrery_log_door_inflight_bytes",
                 "Memory of writes of log lines under way."),
    METRIC_GAUGE(struct log_door_metrics, cache_bytes, "orrery_log_door_cache_bytes",
                 "Memory of the caches of known streams."),
};

/* Known streams of a tenant on a loop. */
struct known {
    struct tenant_cache base;
    struct fp_cache cache;
};

struct log_door {
    struct log_door_opts opts;
    struct tenant_gate *gate;
    struct tenant_caches *caches; /* struct known */
    struct log_rule_counts *rules;
    struct log_door_metrics m;
};

/* One write under way. Owner: its loop. */
struct writing {
    struct log_door *d;
    struct tenant_caches_loop *dl;
    struct log_batch *batch;
    struct err *refusals;
    struct log_written written;
    int64_t held_bytes;
    log_door_done_fn *done;
    void *arg;
};

/* ---- caches ---- */

static struct known *known_in(struct tenant_cache *c)
{
    return c ? ORR_CONTAINER(c, struct known, base) : NULL;
}

static size_t known_bytes(const struct tenant_cache *c)
{
    return fp_cache_bytes(&ORR_CONTAINER(c, const struct known, base)->cache);
}

static void known_clear(struct tenant_cache *c)
{
    fp_cache_clear(&known_in(c)->cache);
}

static void known_free(struct tenant_cache *c)
{
    struct known *k = known_in(c);

    fp_cache_done(&k->cache);
    mem_free(k);
}

static struct known *known_of(struct log_door *d, struct tenant_caches_loop *dl,
                              struct slice tenant, uint64_t generation)
{
    struct tenant_cache **slot = tenant_caches_slot(dl, tenant);
    struct known *k = known_in(*slot);

    if (!k) {
        k = mem_new(struct known);
        fp_cache_init(&k->cache, tenant_caches_budget(d->caches));
        k->base.generation = generation;
        *slot = &k->base;
    }
    tenant_caches_use(dl, &k->base);
    if (k->base.generation != generation) {
        tenant_caches_clear(dl, &k->base);
        k->base.generation = generation;
    }
    return k;
}

static const struct tenant_cache_ops known_ops = {known_bytes, known_clear, known_free};

/* ---- life ---- */

static void collect(void *arg, struct buf *out, bool is_openmetrics)
{
    static const char *const lines = "orrery_log_door_discarded_lines_total",
                             *const bytes = "orrery_log_door_discarded_bytes_total";
    struct log_door *d = arg;
    char labels[96];

    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, lines,
                        "Log lines refused by the door, by reason.");
    for (unsigned i = 0; i < LOG_REASON_COUNT; i++) {
        (void)snprintf(labels, sizeof(labels), "reason=\"%s\"",
                       log_reason_name((enum log_reason)i));
        metric_write_u64(out, lines, labels, METRIC_GET(d->m.discarded_lines[i]));
    }
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, bytes,
                        "Bytes of log lines refused by the door, by reason.");
    for (unsigned i = 0; i < LOG_REASON_COUNT; i++) {
        (void)snprintf(labels, sizeof(labels), "reason=\"%s\"",
                       log_reason_name((enum log_reason)i));
        metric_write_u64(out, bytes, labels, METRIC_GET(d->m.discarded_bytes[i]));
    }
}

struct log_door *log_door_new(const struct log_door_opts *opts)
{
    struct log_door *d = mem_new(struct log_door);

    d->opts = *opts;
    d->opts.loops = NULL; /* the caller's array */
    d->opts.clock = opts->clock ? opts->clock : &clock_system;
    d->gate = tenant_gate_new(opts->clock);
    d->caches = tenant_caches_new(&known_ops, opts->loops, opts->n_loops, opts->cache_bytes,
                                  &d->m.cache_bytes);
    metric_register(&d->m, log_door_fields, ORR_COUNT(log_door_fields), NULL);
    metric_register_collector(collect, d);
    d->rules = log_rule_counts_new();
    return d;
}

void log_door_free(struct log_door *d)
{
    if (!d)
        return;
    metric_unregister_collector(collect, d);
    log_rule_counts_free(d->rules);
    metric_unregister(&d->m);
    tenant_caches_free(d->caches);
    tenant_gate_free(d->gate);
    mem_free(d);
}

size_t log_door_max_body_bytes(const struct log_door *d)
{
    return d->opts.max_body_bytes;
}

static size_t share(const struct log_door *d)
{
    return d->opts.share ? d->opts.share(d->opts.share_arg) : 1;
}

struct err *log_door_admit(struct log_door *d, struct slice tenant, size_t body_bytes)
{
    struct tenant_limits limits;

    if (d->opts.max_inflight_bytes &&
        (size_t)METRIC_GET(d->m.inflight_bytes) + body_bytes > d->opts.max_inflight_bytes)
        return err_new(ERR_UNAVAILABLE, "too many writes are in flight, try again");
    limits_get(d->opts.limits, tenant, &limits);
    return tenant_gate_request(d->gate, tenant, &limits, share(d));
}

static void remember(struct writing *w)
{
    const struct log_batch *b = w->batch;
    struct known *k = known_in(tenant_caches_find(w->dl, b->tenant));

    /* Limits that changed meanwhile emptied it: what was checked under the old ones stays out. */
    if (!k || k->base.generation != b->limits.generation)
        return;
    log_builder_remember(b, &k->cache);
    tenant_caches_account(w->dl, &k->base);
    tenant_caches_trim(w->dl, NULL);
}

/* ---- writes ---- */

static void end(struct writing *w, struct err *e)
{
    struct log_door *d = w->d;

    METRIC_ADD(d->m.inflight_bytes, -w->held_bytes);
    w->done(w->arg, e, &w->written); /* answers may lie in the batch (elastic_bulk.h) */
    log_batch_free(w->batch);
    mem_free(w);
}

bool log_written_is_partial(const struct log_written *w, const struct err *e)
{
    return w->is_decoded && w->lines > 0 && (err_is(e, ERR_INVALID) || err_is(e, ERR_LIMIT));
}

static void count(struct log_door *d, const struct log_builder *b)
{
    METRIC_ADD(d->m.lines, b->batch->entries.len);
    METRIC_ADD(d->m.bytes, b->batch->bytes);
    METRIC_ADD(d->m.truncated, b->rejects.truncated);
    for (size_t i = 0; i < LOG_REASON_COUNT; i++) {
        METRIC_ADD(d->m.discarded_lines[i], b->rejects.lines[i]);
        METRIC_ADD(d->m.discarded_bytes[i], b->rejects.bytes[i]);
    }
}

static void count_rules(struct log_door *d, const struct log_builder *b)
{
    const struct log_rules *rules = b->tally ? &b->rules->log : NULL;
    struct slice tenant = b->batch->tenant;

    for (size_t i = 0; rules && i <= rules->n; i++) {
        const struct log_tally *t = &b->tally[i];

        if (t->lines && i < rules->n)
            log_rule_counts_add(d->rules, tenant, rules->ptr[i].name,
                                log_rule_action_name(rules->ptr[i].action), t->lines, t->bytes);
        else if (t->lines)
            log_rule_counts_add(d->rules, tenant, SLICE("log_relabel_configs"), "drop", t->lines,
                                t->bytes);
    }
}

static void on_stored(void *arg, struct err *e)
{
    struct writing *w = arg;
    struct err *refusals = w->refusals;

    if (!e)
        remember(w);
    w->refusals = NULL;
    if (err_is(e, ERR_INVALID) || err_is(e, ERR_LIMIT)) {
        /* Both say what was refused. */
        if (refusals)
            e = err_wrap(e, "%s; besides", err_msg(refusals));
        err_free(refusals);
        end(w, e);
        return;
    }
    end(w, err_first(e, refusals));
}

/* What limits and rules leave of it; NULL: *w->batch is to be stored. */
static struct err *check(struct writing *w, struct log_builder *b)
{
    struct log_door *d = w->d;
    struct log_batch *batch = w->batch;
    struct err *e = tenant_gate_log_bytes(d->gate, batch->tenant, &batch->limits, share(d),
                                          batch->entries.len, batch->bytes);

    if (e) {
        b->rejects.lines[LOG_RATE_LIMITED] = batch->entries.len;
        b->rejects.bytes[LOG_RATE_LIMITED] = batch->bytes;
        vec_clear(&batch->entries);
        batch->bytes = 0;
    } else {
        count_rules(d, b); /* what is refused comes again, and would be counted twice */
    }
    count(d, b);
    w->written.lines = batch->entries.len;
    w->written.refused = log_builder_refused(b);
    if (!e)
        w->refusals = log_builder_answer(b);
    return e;
}

static struct err *decode(struct writing *w, const struct log_decoder *decoder)
{
    struct log_door *d = w->d;
    struct log_batch *batch = w->batch;
    struct known *k = known_of(d, w->dl, batch->tenant, batch->limits.generation);
    struct tenant_rules *rules = limits_rules(d->opts.limits, batch->tenant);
    struct log_builder b;
    struct err *e;

    log_builder_init(&b, batch, &k->cache, clock_wall_ns(d->opts.clock));
    log_builder_set_rules(&b, rules);
    if ((e = decoder->decode(&b, decoder->arg))) {
        METRIC_ADD(d->m.malformed, 1);
    } else {
        w->written.is_decoded = true;
        e = check(w, &b);
    }
    tenant_rules_unref(rules);
    return e;
}

void log_door_write(struct log_door *d, struct loop *loop, struct slice tenant,
                    const struct log_decoder *decoder, struct buf *body, log_door_done_fn *done,
                    void *arg)
{
    struct writing *w = mem_new(struct writing);
    struct tenant_limits limits;
    struct err *e;

    METRIC_ADD(d->m.writes, 1);
    limits_get(d->opts.limits, tenant, &limits);
    *w = (struct writing){.d = d,
                          .dl = tenant_caches_on(d->caches, loop),
                          .batch = log_batch_new(tenant, &limits),
                          .done = done,
                          .arg = arg};
    w->batch->body = *body;
    *body = (struct buf){0};
    if (!d->opts.sink)
        e = err_new(ERR_UNSUPPORTED, "this process does not store logs");
    else
        e = decode(w, decoder);
    w->held_bytes = (int64_t)log_batch_memory(w->batch);
    METRIC_ADD(d->m.inflight_bytes, w->held_bytes);
    if (e || w->batch->entries.len == 0) {
        end(w, err_first(e, w->refusals));
        return;
    }
    d->opts.sink->write(d->opts.sink->arg, loop, w->batch, on_stored, w);
}
