#include <stdio.h>

#include "common/base/log.h"
#include "common/model/tenant.h"
#include "compactor/sweep.h"
#include "compactor/upkeep_internal.h"

#define MAX_DOUBLINGS 20
#define MAX_SAID 10000 /* by dry-run; then all is news again */

/* A job that is ours, and how it went. */
struct upkeep_job {
    struct upkeep_pass *pass;
    struct slice tenant;
    const struct levels_job *job;
    const struct retention *retention;
    struct arena *arena;
    struct levelmerge_result result;
    struct err *err;
    struct levelmerge_progress progress;
    int64_t start_wall_ms;
    bool was_run;
};

static int64_t mono_ms(void)
{
    return clock_mono_ms(&clock_system);
}

/* ---- quarantine ---- */

struct block_key {
    char text[256];
    struct slice s;
};

static void key_of(struct block_key *k, struct slice tenant, struct ulid block)
{
    int n = snprintf(k->text, sizeof(k->text), "%.*s/%s", SLICE_ARG(tenant), ulid_print(block).s);

    k->s = slice_of(k->text, ORR_MIN((size_t)n, sizeof(k->text) - 1));
}

void upkeep_tenant_quarantine(struct upkeep_pass *p, struct slice tenant, struct ulid block,
                              const char *reason)
{
    struct upkeep_quarantine *q;
    struct block_key k;
    void **slot;

    key_of(&k, tenant, block);
    slot = map_slot(&p->part->quarantined, k.s);
    if (!*slot)
        *slot = mem_new(struct upkeep_quarantine);
    q = *slot;
    q->until_ms = mono_ms() + p->conf->quarantine_ns / NS_PER_MS;
    (void)snprintf(q->reason, sizeof(q->reason), "%s", reason);
}

struct look {
    struct upkeep_pass *pass;
    struct slice tenant;
};

static const struct upkeep_quarantine *quarantine_of(const struct upkeep_part *part,
                                                     struct slice tenant, struct ulid block)
{
    struct block_key k;

    if (part->quarantined.len == 0)
        return NULL;
    key_of(&k, tenant, block);
    return map_get(&part->quarantined, k.s);
}

bool upkeep_tenant_is_quarantined(const struct upkeep_part *part, struct slice tenant,
                                  struct ulid block)
{
    return quarantine_of(part, tenant, block) != NULL;
}

static bool is_quarantined(void *arg, struct ulid block)
{
    const struct look *l = arg;

    return upkeep_tenant_is_quarantined(l->pass->part, l->tenant, block);
}

void upkeep_tenant_look_anew(struct upkeep_part *part)
{
    MAP_FOREACH (en, &part->tenants)
        ((struct upkeep_tenant *)en->value)->due_ms = INT64_MIN;
}

void upkeep_tenant_release(struct upkeep_part *part)
{
    VEC(char *) over = {0};
    int64_t now = mono_ms();

    MAP_FOREACH (en, &part->quarantined)
        if (((struct upkeep_quarantine *)en->value)->until_ms <= now)
            vec_push(&over, slice_dup(en->key));
    if (over.len)
        upkeep_tenant_look_anew(part);
    VEC_FOREACH (key, &over) {
        mem_free(map_del(&part->quarantined, slice_cstr(*key)));
        mem_free(*key);
    }
    vec_done(&over);
}

/* ---- dry-run ---- */

bool upkeep_is_news(struct upkeep *u, struct slice tenant, const char *what, struct ulid id)
{
    char *key = mem_printf("%.*s/%s/%s", SLICE_ARG(tenant), what, ulid_print(id).s);
    bool is_new = !map_has(&u->said, slice_cstr(key));

    if (is_new && u->said.len >= MAX_SAID) {
        map_done(&u->said);
        u->said = (struct map){0};
    }
    if (is_new)
        (void)map_put(&u->said, slice_cstr(key), u);
    mem_free(key);
    return is_new;
}

/* ---- jobs ---- */

static void run_job(void *arg, size_t i)
{
    struct upkeep_job *j = &((struct upkeep_job *)arg)[i];
    struct upkeep *u = j->pass->u;
    struct upkeep_part *part = j->pass->part;
    const struct levelmerge_opts opts = {.signal = part->signal,
                                         .store = u->c->store,
                                         .work_dir = u->c->work_dir,
                                         .stop = &u->c->is_stopping,
                                         .retention = j->retention,
                                         .metrics = &part->m.merge,
                                         .progress = &j->progress};
    int64_t start = mono_ms();

    if (upkeep_is_stopping(u))
        return;
    j->start_wall_ms = clock_wall_ms(&clock_system);
    lock_take(&u->lock);
    vec_push(&u->running, j);
    METRIC_ADD(part->m.running, 1);
    lock_release(&u->lock);

    j->was_run = true;
    j->arena = arena_new(0);
    j->err = levelmerge_run(&opts, j->tenant, j->job, j->start_wall_ms, j->arena, &j->result);
    metric_hist_observe(&part->m.job_s, (double)(mono_ms() - start) / 1e3);

    lock_take(&u->lock);
    for (size_t k = 0; k < u->running.len; k++) {
        if (u->running.ptr[k] == j) {
            vec_remove_swap(&u->running, k);
            break;
        }
    }
    METRIC_ADD(part->m.running, -1);
    lock_release(&u->lock);
    if (j->err || !j->result.version)
        return;
    compactor_tell_version(u->c, part->signal, j->tenant, j->result.version);
    LOG_INFO(compactor, "compacted", KV_STR("signal", part->signal->name),
             KV_SLICE("tenant", j->tenant), KV_STR("reason", levels_kind_text(j->job->kind)),
             KV_STR("block", ulid_print(j->result.block).s),
             KV_I64("resolution_ms", j->job->resolution_ms), KV_I64("min_ms", j->job->min_ms),
             KV_I64("max_ms", j->job->max_ms), KV_U64("count", j->job->n),
             KV_U64("series", j->result.series), KV_U64("samples", j->result.samples),
             KV_U64("bytes", j->result.bytes), KV_U64("version", j->result.version),
             KV_I64("duration_ms", mono_ms() - start));
}

static void settle(struct upkeep_pass *p, struct upkeep_tenant *t, struct upkeep_job *j)
{
    if (!ulid_is_zero(j->result.bad))
        upkeep_tenant_quarantine(p, j->tenant, j->result.bad, j->result.bad_reason);
    if (j->err && !err_is(j->err, ERR_CANCELED)) {
        int64_t wait = p->conf->retry_min_ns / NS_PER_MS << ORR_MIN(t->failures, MAX_DOUBLINGS);

        METRIC_ADD(p->part->m.jobs_failed, 1);
        t->failures++;
        t->retry_ms = mono_ms() + ORR_MIN(wait, p->conf->retry_max_ns / NS_PER_MS);
    } else if (j->was_run) {
        t->failures = 0;
    }
    if (j->was_run && !j->err && j->job->kind == LEVELS_REWRITE) {
        if (j->result.version)
            deletions_rewritten(t->deletions, j->job->inputs[0]->ulid, j->result.block);
        else
            deletions_settled(t->deletions, j->job->inputs[0]->ulid);
    }
    if (j->err)
        upkeep_note(p->u, "compact", j->err);
    arena_free(j->arena);
}

static bool is_ours(const struct upkeep_pass *p, struct slice tenant, const struct levels_job *job)
{
    return compactor_owns(p->u->c, p->compactors, tenant,
                          signal_key(p->part->signal, levels_key(&p->tiers.levels, tenant, job)));
}

/* What dry-run shows in the log; all of them, whoever would do them, are on the page. */
static void say_jobs(struct upkeep_pass *p, struct slice tenant, const struct levels_job *jobs,
                     size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct levels_job *j = &jobs[i];

        if (!is_ours(p, tenant, j) ||
            !upkeep_is_news(p->u, tenant, levels_kind_text(j->kind), j->inputs[0]->ulid))
            continue;
        LOG_INFO(compactor, "would compact", KV_STR("signal", p->part->signal->name),
                 KV_SLICE("tenant", tenant), KV_STR("reason", levels_kind_text(j->kind)),
                 KV_STR("block", ulid_print(j->inputs[0]->ulid).s), KV_U64("count", j->n),
                 KV_I64("resolution_ms", j->resolution_ms), KV_I64("min_ms", j->min_ms),
                 KV_I64("max_ms", j->max_ms), KV_U64("bytes", j->bytes));
    }
}

/* The first of our jobs; after failures, others first. */
static void run_jobs(struct upkeep_pass *p, struct slice tenant, struct upkeep_tenant *t,
                     const struct levels_job *jobs, size_t n)
{
    struct upkeep_job ours[UPKEEP_TENANT_JOBS] = {0};
    size_t skip = n ? t->failures * (size_t)UPKEEP_TENANT_JOBS % n : 0, used = 0;

    if (p->conf->is_dry)
        say_jobs(p, tenant, jobs, n);
    if (p->conf->is_dry || mono_ms() < t->retry_ms)
        return;
    for (size_t i = 0; i < n && used < UPKEEP_TENANT_JOBS; i++) {
        const struct levels_job *job = &jobs[(skip + i) % n];

        if (is_ours(p, tenant, job))
            ours[used++] = (struct upkeep_job){
                .pass = p, .tenant = tenant, .job = job, .retention = &t->retention};
    }
    compactor_size_pool("compact", p->conf->compaction_concurrency, &p->u->pool,
                        &p->u->pool_threads);
    if (p->u->pool && used > 1)
        job_parallel(p->u->pool, used, run_job, ours);
    else
        for (size_t i = 0; i < used; i++)
            run_job(ours, i);
    for (size_t i = 0; i < used; i++) {
        p->found_more = p->found_more || (ours[i].was_run && !ours[i].err);
        settle(p, t, &ours[i]);
    }
}

/* ---- what the page says of a tenant ---- */

static void put_ids(struct buf *out, const char *name, const struct sweep_ids *ids)
{
    buf_printf(out, ",\"%s\":{\"count\":%zu,\"blocks\":[", name, ids->n);
    for (size_t i = 0; i < ids->n && i < UPKEEP_PAGE_ITEMS; i++)
        buf_printf(out, "%s\"%s\"", i ? "," : "", ulid_print(ids->ptr[i]).s);
    buf_str(out, "]}");
}

static void put_job(struct buf *out, const struct levels_job *j)
{
    buf_printf(
        out, "{\"kind\":\"%s\",\"min\":%lld,\"max\":%lld,\"due\":%lld,\"bytes\":%llu,\"inputs\":[",
        levels_kind_text(j->kind), (long long)j->min_ms, (long long)j->max_ms, (long long)j->due_ms,
        (unsigned long long)j->bytes);
    for (size_t i = 0; i < j->n; i++)
        buf_printf(out, "%s\"%s\"", i ? "," : "", ulid_print(j->inputs[i]->ulid).s);
    buf_printf(out, "],\"shards\":%u}", j->shards);
}

/* Of the input with most, for each shard; what several inputs have apart comes on top. */
static uint64_t least_series(const struct levels_job *job)
{
    uint64_t most = 0;

    for (size_t i = 0; i < job->n; i++)
        most = ORR_MAX(most, job->inputs[i]->series);
    return most * ORR_MAX(job->shards, 1u);
}

void upkeep_tenant_add_progress(const struct upkeep_job *j, uint64_t *io_done, uint64_t *io_all)
{
    uint64_t done = atomic_load_explicit(&j->progress.series, memory_order_relaxed);

    *io_done += done;
    *io_all += ORR_MAX(done, least_series(j->job));
}

void upkeep_tenant_put_running(struct buf *out, const struct upkeep_job *j)
{
    uint64_t done = 0, all = 0;

    upkeep_tenant_add_progress(j, &done, &all);
    buf_printf(out, "{\"signal\":\"%s\",\"tenant\":", j->pass->part->signal->name);
    buf_json_str(out, j->tenant);
    buf_printf(out,
               ",\"since\":%lld,\"inputs_read\":%llu,\"series_done\":%llu,\"series\":%llu,\"job\":",
               (long long)j->start_wall_ms,
               (unsigned long long)atomic_load_explicit(&j->progress.inputs, memory_order_relaxed),
               (unsigned long long)done, (unsigned long long)all);
    put_job(out, j->job);
    buf_byte(out, '}');
}

static void put_quarantined(struct buf *out, const struct look *look, const struct catalogue *c)
{
    size_t put = 0, n;
    const struct catalogue_block *b = catalogue_blocks(c, &n);

    buf_str(out, ",\"quarantined\":[");
    for (size_t i = 0; i < n && put < UPKEEP_PAGE_ITEMS; i++) {
        const struct upkeep_quarantine *q =
            quarantine_of(look->pass->part, look->tenant, b[i].ulid);

        if (!q)
            continue;
        buf_printf(out, "%s{\"block\":\"%s\",\"reason\":", put++ ? "," : "",
                   ulid_print(b[i].ulid).s);
        buf_json_str(out, slice_cstr(q->reason));
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

static void keep_levels(struct look *look, struct upkeep_tenant *t, const struct catalogue *c,
                        const struct levels_job *jobs, size_t n)
{
    (void)catalogue_blocks(c, &t->blocks);
    (void)catalogue_retired(c, &t->retired);
    buf_reset(&t->levels);
    buf_printf(&t->levels, "\"blocks\":%zu,\"retired\":%zu,\"failures\":%u,\"jobs\":%zu,\"next\":[",
               t->blocks, t->retired, t->failures, n);
    t->bytes = 0;
    t->jobs = n;
    t->oldest_ms = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        t->bytes += jobs[i].bytes;
        t->oldest_ms = ORR_MIN(t->oldest_ms, jobs[i].due_ms);
        if (i < UPKEEP_PAGE_ITEMS) {
            buf_str(&t->levels, i ? "," : "");
            put_job(&t->levels, &jobs[i]);
        }
    }
    buf_byte(&t->levels, ']');
    put_quarantined(&t->levels, look, c);
    buf_printf(&t->levels, ",\"tombstones\":%zu,\"to_rewrite\":%zu,\"deletions\":", t->tombstones,
               deletions_blocks(t->deletions));
    deletions_put(&t->levels, t->deletions, UPKEEP_PAGE_ITEMS);
}

/* ---- one tenant ---- */

struct etags {
    char catalogue[OBJSTORE_ETAG_BYTES], tombs[OBJSTORE_ETAG_BYTES];
};

/* Whether its catalogue and tombstones are as they were when there was nothing to be done. */
static struct err *is_unchanged(struct upkeep_pass *p, struct slice tenant,
                                const struct upkeep_tenant *t, struct etags *ret_etags, bool *ret)
{
    struct objstore *store = p->u->c->store;
    struct err *e =
        catalogue_stat(store, signal_name(p->part->signal), tenant, ret_etags->catalogue);

    if (!e)
        e = tombstone_list_stat(store, signal_name(p->part->signal), tenant, ret_etags->tombs);
    *ret = !e && strcmp(t->etag, ret_etags->catalogue) == 0 &&
           strcmp(t->tombs_etag, ret_etags->tombs) == 0 && clock_wall_ms(&clock_system) < t->due_ms;
    return e;
}

static int64_t rewrite_due(void *arg, struct ulid block)
{
    return deletions_due_ms(arg, block);
}

static bool is_cut(void *arg, const struct catalogue_block *b)
{
    return deletions_cut(arg, b);
}

static int64_t shorter(int64_t a_ms, int64_t b_ms) /* 0: for ever */
{
    return a_ms && b_ms ? ORR_MIN(a_ms, b_ms) : ORR_MAX(a_ms, b_ms);
}

static struct tierplan_opts tenant_tiers(const struct upkeep_pass *p, struct slice tenant,
                                         const struct upkeep_tenant *t)
{
    struct tierplan_opts opts = p->tiers;
    int64_t all_ms = retention_longest(&t->retention);
    struct tenant_limits limits;

    limits_get(p->u->c->limits, tenant, &limits);
    opts.is_on = limits.downsampling && p->part->signal->has_tiers;
    opts.keep_ms[1] = shorter(limits.compactor_retention_5m_ns / NS_PER_MS, all_ms);
    opts.keep_ms[2] = shorter(limits.compactor_retention_1h_ns / NS_PER_MS, all_ms);
    opts.levels.split_shards = t->split_shards;
    opts.levels.splits_by_size = p->part->signal->has_tiers && t->split_shards == 0;
    opts.levels.max_series = (uint64_t)limits.compactor_max_block_series;
    if (limits.compactor_max_block_bytes)
        opts.levels.max_bytes =
            ORR_MIN(opts.levels.max_bytes, (uint64_t)limits.compactor_max_block_bytes);
    opts.levels.rewrite = opts.coarse.rewrite = rewrite_due;
    opts.levels.rewrite_arg = opts.coarse.rewrite_arg = t->deletions;
    opts.waits = is_cut;
    opts.waits_arg = t->deletions;
    return opts;
}

static struct err *compact_tenant(struct upkeep_pass *p, struct slice tenant,
                                  struct upkeep_tenant *t)
{
    struct tierplan_opts opts = tenant_tiers(p, tenant, t);
    struct etags etags;
    struct look look = {p, tenant};
    const struct catalogue_block *blocks;
    struct catalogue *c;
    struct levels_job *jobs;
    struct arena *a;
    int64_t due_ms, delete_due_ms = INT64_MAX;
    size_t n;
    bool same;
    struct err *e = is_unchanged(p, tenant, t, &etags, &same);

    if (e || (same && opts.is_on == t->was_downsampled))
        return e;
    t->was_downsampled = opts.is_on;
    /* Loaded after the stat: it may be newer than the etag kept, which costs one more load. */
    if ((e = catalogue_load(p->u->c->store, signal_name(p->part->signal), tenant, &c)))
        return e;
    upkeep_deletions_look(p, tenant, t, c, &delete_due_ms);
    a = arena_new(0);
    blocks = catalogue_blocks(c, &n);
    /* what the sweep takes as a whole is neither merged nor rewritten before */
    blocks = retention_kept(&t->retention, blocks, n, a, &n);
    if (p->part->signal->has_ends)
        blocks = levels_by_end(blocks, n, a);
    jobs = tierplan(&opts, blocks, n, clock_wall_ms(&clock_system), is_quarantined, &look, a, &n,
                    &due_ms);
    run_jobs(p, tenant, t, jobs, n);
    keep_levels(&look, t, c, jobs, n);
    memcpy(t->etag, etags.catalogue, sizeof(t->etag));
    memcpy(t->tombs_etag, etags.tombs, sizeof(t->tombs_etag));
    t->due_ms = n ? INT64_MIN : ORR_MIN(due_ms, delete_due_ms);
    arena_free(a);
    catalogue_free(c);
    return NULL;
}

static bool is_news(void *arg, struct slice tenant, const char *what, struct ulid block)
{
    return upkeep_is_news(arg, tenant, what, block);
}

/* An earlier holder of the lease may still be at it (sweep.h). */
static bool may_delete(void *arg, struct slice tenant)
{
    const struct upkeep *u = arg;

    return writers_alone_ms(u->c->writers, tenant) >= u->c->deletes_ms;
}

static struct err *sweep_one(struct upkeep_pass *p, struct slice tenant, struct upkeep_tenant *t)
{
    struct upkeep *u = p->u;
    struct sweep_opts opts = {.signal = p->part->signal,
                              .store = u->c->store,
                              .delay_ms = p->conf->deletion_delay_ns / NS_PER_MS,
                              .orphan_age_ms = p->conf->orphan_age_ns / NS_PER_MS,
                              .may_delete = may_delete,
                              .is_dry = p->conf->is_dry,
                              .is_news = is_news,
                              .arg = u};
    struct tenant_limits limits;
    struct sweep_result res;
    char text[256];
    int n = snprintf(text, sizeof(text), "%.*s/sweep", SLICE_ARG(tenant));
    struct arena *a;
    struct err *e;

    if (!compactor_owns(u->c, p->compactors, tenant,
                        signal_key(p->part->signal, ring_key(slice_of(text, (size_t)n)))))
        return NULL;
    limits_get(u->c->limits, tenant, &limits);
    opts.retention_ms = retention_longest(&t->retention);
    if (p->part->signal->has_tiers) {
        opts.tier_retention_ms[0] = limits.compactor_retention_raw_ns / NS_PER_MS;
        opts.tier_retention_ms[1] = limits.compactor_retention_5m_ns / NS_PER_MS;
        opts.tier_retention_ms[2] = limits.compactor_retention_1h_ns / NS_PER_MS;
        opts.is_downsampling = limits.downsampling;
    }
    a = arena_new(0);
    e = sweep_tenant(&opts, tenant, clock_wall_ms(&clock_system), a, &res);
    if (res.version)
        compactor_tell_version(u->c, p->part->signal, tenant, res.version);
    if (!opts.is_dry) {
        METRIC_ADD(p->part->m.expired, res.expired.n);
        METRIC_ADD(p->part->m.orphans, res.orphans.n);
        METRIC_ADD(p->part->m.deleted, res.deleted.n);
    }
    METRIC_ADD(p->part->m.unswept, res.failed);
    t->foreign = res.foreign;
    buf_reset(&t->sweep);
    buf_printf(&t->sweep, ",\"foreign\":%zu,\"retention_ms\":%lld", res.foreign,
               (long long)opts.retention_ms);
    put_ids(&t->sweep, "expired", &res.expired);
    put_ids(&t->sweep, "orphans", &res.orphans);
    put_ids(&t->sweep, "deleted", &res.deleted);
    arena_free(a);
    return err_first(e, upkeep_deletions_sweep(p, tenant, t));
}

/* ---- both ---- */

/* What the limits say now; what is remembered under others is looked at anew. */
static void begin_turn(struct upkeep_pass *p, struct slice tenant, struct upkeep_tenant *t)
{
    struct tenant_limits limits;

    limits_get(p->u->c->limits, tenant, &limits);
    if (t->generation != limits.generation)
        t->due_ms = INT64_MIN;
    t->generation = limits.generation;
    t->split_shards =
        p->part->signal->has_tiers
            ? (uint32_t)ORR_MIN(limits.compactor_split_and_merge_shards, LEVELS_MAX_SHARDS)
            : 0;
    t->rules = limits_rules(p->u->c->limits, tenant);
    t->retention = p->part->signal->retention(&limits, t->rules);
    t->retention.now_ms = clock_wall_ms(&clock_system);
}

static void end_turn(struct upkeep_tenant *t)
{
    tenant_rules_unref(t->rules);
    t->rules = NULL;
    t->retention.rules = NULL;
}

void upkeep_tenant_look(struct upkeep_pass *p, struct slice tenant)
{
    struct err *e = tenant_check(tenant);
    struct upkeep_tenant *t;
    void **slot;

    if (e) { /* a directory that is nobody's */
        err_free(e);
        return;
    }
    slot = map_slot(&p->part->tenants, tenant);
    t = *slot;
    if (!t) {
        *slot = t = mem_new(struct upkeep_tenant);
        t->due_ms = INT64_MIN;
        t->oldest_ms = INT64_MAX;
        t->deletions = deletions_new();
    }
    begin_turn(p, tenant, t);
    if ((e = compact_tenant(p, tenant, t))) {
        METRIC_ADD(p->part->m.tenant_failures, 1);
        upkeep_note(p->u, "look at tenant", e);
    }
    if (p->is_sweep && !upkeep_is_stopping(p->u) && (e = sweep_one(p, tenant, t))) {
        METRIC_ADD(p->part->m.tenant_failures, 1);
        upkeep_note(p->u, "sweep", e);
    }
    end_turn(t);
    t->pass = p->u->pass;
}

void upkeep_tenant_free(struct upkeep_tenant *t)
{
    buf_done(&t->levels);
    buf_done(&t->sweep);
    deletions_free(t->deletions);
    mem_free(t);
}
