#include "compactor/upkeep.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/thread.h"
#include "compactor/compactor_internal.h"
#include "compactor/sweep.h"

#define SIGNAL SLICE("metrics")
#define SETTLE_MS 100 /* between two looks, and between a hint and one */
#define MAX_DOUBLINGS 20

/* What is remembered of a tenant. */
struct upkeep_tenant {
    char etag[OBJSTORE_ETAG_BYTES]; /* of the catalogue when nothing was to be done with it */
    int64_t due_ms;                 /* Unix; till then nothing, while the etag stays */
    int64_t retry_ms;               /* monotonic */
    unsigned failures;
    uint64_t pass;       /* that saw it */
    size_t jobs, blocks; /* planned and not done; live */
    uint64_t bytes;
    int64_t oldest_ms; /* Unix, of the jobs' due_ms; INT64_MAX: none */
    size_t retired, foreign;
    struct buf levels, sweep; /* members of the page's row */
};

struct upkeep {
    struct compactor *c;
    struct upkeep_metrics m;
    pthread_t thread;
    bool has_thread;

    /* the thread's */
    struct map tenants;     /* → struct upkeep_tenant */
    struct map quarantined; /* "tenant/ULID" → monotonic ms till when, allocated */
    struct job_pool *pool;
    int64_t pool_threads;
    uint64_t pass;
    int64_t next_sweep_ms; /* monotonic */

    struct lock lock;
    pthread_cond_t changed;
    /* under the lock */
    bool is_hinted, is_running;
    void (*ended)(void *arg);
    void *ended_arg;
    struct buf rows;
    int64_t last_pass_ms; /* Unix */
    VEC(struct upkeep_job *) running;
};

/* One look at all tenants. */
struct pass {
    struct upkeep *u;
    const struct compactor_conf *conf;
    struct levels_opts levels;
    struct ring *compactors;
    bool is_sweep, found_more;
};

/* A job that is ours, and how it went. */
struct upkeep_job {
    struct pass *pass;
    struct slice tenant;
    const struct levels_job *job;
    struct arena *arena;
    struct levelmerge_result result;
    struct err *err;
    int64_t start_wall_ms;
    bool was_run;
};

static int64_t mono_ms(void)
{
    return clock_mono_ms(&clock_system);
}

static bool is_stopping(const struct upkeep *u)
{
    return atomic_load(&u->c->is_stopping);
}

/* Ends e: a pass goes on. */
static void note(struct upkeep *u, const char *what, struct err *e)
{
    if (!err_is(e, ERR_CANCELED)) {
        compactor_note_error(u->c, e);
        LOG_WARN(compactor, "a step failed, it will be tried again", KV_STR("reason", what),
                 KV_ERR(e));
    }
    err_free(e);
}

static bool is_owner(const struct pass *p, uint32_t key)
{
    int owner = ring_owner(p->compactors, key);

    return owner >= 0 && strcmp(ring_member(p->compactors, (size_t)owner)->instance,
                                process_instance(p->u->c->process)) == 0;
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

static void quarantine(struct pass *p, struct slice tenant, struct ulid block)
{
    struct block_key k;
    void **slot;

    key_of(&k, tenant, block);
    slot = map_slot(&p->u->quarantined, k.s);
    if (!*slot)
        *slot = mem_new(int64_t);
    *(int64_t *)*slot = mono_ms() + p->conf->quarantine_ns / NS_PER_MS;
}

struct look {
    struct pass *pass;
    struct slice tenant;
};

static bool is_quarantined(void *arg, struct ulid block)
{
    const struct look *l = arg;
    struct block_key k;

    if (l->pass->u->quarantined.len == 0)
        return false;
    key_of(&k, l->tenant, block);
    return map_has(&l->pass->u->quarantined, k.s);
}

/* Those whose time is over get another chance. */
static void release(struct upkeep *u)
{
    VEC(char *) over = {0};
    int64_t now = mono_ms();

    MAP_FOREACH (en, &u->quarantined)
        if (*(int64_t *)en->value <= now)
            vec_push(&over, slice_dup(en->key));
    VEC_FOREACH (key, &over) {
        mem_free(map_del(&u->quarantined, slice_cstr(*key)));
        mem_free(*key);
        MAP_FOREACH (en, &u->tenants)
            ((struct upkeep_tenant *)en->value)->due_ms = INT64_MIN;
    }
    vec_done(&over);
}

/* ---- jobs ---- */

static void run_job(void *arg, size_t i)
{
    struct upkeep_job *j = &((struct upkeep_job *)arg)[i];
    struct upkeep *u = j->pass->u;
    const struct levelmerge_opts opts = {.store = u->c->store,
                                         .work_dir = u->c->work_dir,
                                         .stop = &u->c->is_stopping,
                                         .metrics = &u->m.merge};
    int64_t start = mono_ms();

    if (is_stopping(u))
        return;
    j->start_wall_ms = clock_wall_ms(&clock_system);
    lock_take(&u->lock);
    vec_push(&u->running, j);
    METRIC_SET(u->m.running, (int64_t)u->running.len);
    lock_release(&u->lock);

    j->was_run = true;
    j->arena = arena_new(0);
    j->err = levelmerge_run(&opts, j->tenant, j->job, j->start_wall_ms, j->arena, &j->result);
    metric_hist_observe(&u->m.job_s, (double)(mono_ms() - start) / 1e3);

    lock_take(&u->lock);
    for (size_t k = 0; k < u->running.len; k++) {
        if (u->running.ptr[k] == j) {
            vec_remove_swap(&u->running, k);
            break;
        }
    }
    METRIC_SET(u->m.running, (int64_t)u->running.len);
    lock_release(&u->lock);
    if (j->err || !j->result.version)
        return;
    compactor_tell_version(u->c, j->tenant, j->result.version);
    LOG_INFO(compactor, "compacted", KV_SLICE("tenant", j->tenant),
             KV_STR("reason", levels_kind_text(j->job->kind)),
             KV_STR("block", ulid_print(j->result.block).s), KV_I64("min_ms", j->job->min_ms),
             KV_I64("max_ms", j->job->max_ms), KV_U64("count", j->job->n),
             KV_U64("series", j->result.series), KV_U64("samples", j->result.samples),
             KV_U64("bytes", j->result.bytes), KV_U64("version", j->result.version),
             KV_I64("duration_ms", mono_ms() - start));
}

/* Pool for compaction-concurrency jobs at once, this thread being one of them. */
static void size_pool(struct upkeep *u, int64_t concurrency)
{
    if (u->pool_threads == concurrency)
        return;
    job_pool_free(u->pool);
    u->pool = concurrency > 1 ? job_pool_new("compact", (unsigned)(concurrency - 1), 1024) : NULL;
    u->pool_threads = concurrency;
}

static void settle(struct pass *p, struct upkeep_tenant *t, struct upkeep_job *j)
{
    if (!ulid_is_zero(j->result.bad))
        quarantine(p, j->tenant, j->result.bad);
    if (j->err && !err_is(j->err, ERR_CANCELED)) {
        int64_t wait = p->conf->retry_min_ns / NS_PER_MS << ORR_MIN(t->failures, MAX_DOUBLINGS);

        METRIC_ADD(p->u->m.jobs_failed, 1);
        t->failures++;
        t->retry_ms = mono_ms() + ORR_MIN(wait, p->conf->retry_max_ns / NS_PER_MS);
    } else if (j->was_run) {
        t->failures = 0;
    }
    if (j->err)
        note(p->u, "compact", j->err);
    arena_free(j->arena);
}

/* The first of our jobs; after failures, others first. */
static void run_jobs(struct pass *p, struct slice tenant, struct upkeep_tenant *t,
                     const struct levels_job *jobs, size_t n)
{
    struct upkeep_job ours[UPKEEP_TENANT_JOBS] = {0};
    size_t skip = n ? t->failures * (size_t)UPKEEP_TENANT_JOBS % n : 0, used = 0;

    if (p->conf->is_dry || mono_ms() < t->retry_ms)
        return;
    for (size_t i = 0; i < n && used < UPKEEP_TENANT_JOBS; i++) {
        const struct levels_job *job = &jobs[(skip + i) % n];

        if (is_owner(p, levels_key(&p->levels, tenant, job)))
            ours[used++] = (struct upkeep_job){.pass = p, .tenant = tenant, .job = job};
    }
    size_pool(p->u, p->conf->compaction_concurrency);
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
    buf_str(out, "]}");
}

static void keep_levels(struct pass *p, struct slice tenant, struct upkeep_tenant *t,
                        const struct catalogue *c, const struct levels_job *jobs, size_t n)
{
    struct look look = {p, tenant};
    size_t put = 0;
    const struct catalogue_block *b = catalogue_blocks(c, &t->blocks);

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
    buf_str(&t->levels, "],\"quarantined\":[");
    for (size_t i = 0; i < t->blocks && put < UPKEEP_PAGE_ITEMS; i++)
        if (is_quarantined(&look, b[i].ulid))
            buf_printf(&t->levels, "%s\"%s\"", put++ ? "," : "", ulid_print(b[i].ulid).s);
    buf_byte(&t->levels, ']');
}

/* ---- one tenant ---- */

/* Whether its catalogue is as it was when there was nothing to be done. */
static struct err *is_unchanged(struct pass *p, struct slice tenant, const struct upkeep_tenant *t,
                                char *ret_etag, bool *ret)
{
    struct objstore_info info = {0};
    char key[256];
    int n = snprintf(key, sizeof(key), "metrics/%.*s/catalogue", SLICE_ARG(tenant));
    struct err *e = objstore_stat(p->u->c->store, slice_of(key, (size_t)n), &info);

    if (err_is(e, ERR_NOT_FOUND)) {
        err_free(e);
        e = NULL;
    }
    memcpy(ret_etag, info.etag, OBJSTORE_ETAG_BYTES);
    *ret = !e && t->pass && strcmp(t->etag, info.etag) == 0 &&
           clock_wall_ms(&clock_system) < t->due_ms;
    return e;
}

static struct err *compact_tenant(struct pass *p, struct slice tenant, struct upkeep_tenant *t)
{
    char etag[OBJSTORE_ETAG_BYTES];
    struct look look = {p, tenant};
    const struct catalogue_block *blocks;
    struct catalogue *c;
    struct levels_job *jobs;
    struct arena *a;
    int64_t due_ms;
    size_t n;
    bool same;
    struct err *e = is_unchanged(p, tenant, t, etag, &same);

    if (e || same)
        return e;
    /* Loaded after the stat: it may be newer than the etag kept, which costs one more load. */
    if ((e = catalogue_load(p->u->c->store, SIGNAL, tenant, &c)))
        return e;
    a = arena_new(0);
    blocks = catalogue_blocks(c, &n);
    jobs = levels_plan(&p->levels, blocks, n, clock_wall_ms(&clock_system), is_quarantined, &look,
                       a, &n, &due_ms);
    run_jobs(p, tenant, t, jobs, n);
    keep_levels(p, tenant, t, c, jobs, n);
    memcpy(t->etag, etag, sizeof(t->etag));
    t->due_ms = n ? INT64_MIN : due_ms;
    arena_free(a);
    catalogue_free(c);
    return NULL;
}

static struct err *sweep_one(struct pass *p, struct slice tenant, struct upkeep_tenant *t)
{
    struct upkeep *u = p->u;
    struct sweep_opts opts = {.store = u->c->store,
                              .delay_ms = p->conf->deletion_delay_ns / NS_PER_MS,
                              .orphan_age_ms = p->conf->orphan_age_ns / NS_PER_MS,
                              .is_dry = p->conf->is_dry};
    struct tenant_limits limits;
    struct sweep_result res;
    char text[256];
    int n = snprintf(text, sizeof(text), "%.*s/sweep", SLICE_ARG(tenant));
    struct arena *a;
    struct err *e;

    if (!is_owner(p, ring_key(slice_of(text, (size_t)n))))
        return NULL;
    limits_get(u->c->limits, tenant, &limits);
    opts.retention_ms = limits.compactor_blocks_retention_period_ns / NS_PER_MS;
    a = arena_new(0);
    e = sweep_tenant(&opts, tenant, clock_wall_ms(&clock_system), a, &res);
    if (res.version)
        compactor_tell_version(u->c, tenant, res.version);
    if (!opts.is_dry) {
        METRIC_ADD(u->m.expired, res.expired.n);
        METRIC_ADD(u->m.orphans, res.orphans.n);
        METRIC_ADD(u->m.deleted, res.deleted.n);
    }
    t->foreign = res.foreign;
    buf_reset(&t->sweep);
    buf_printf(&t->sweep, ",\"foreign\":%zu,\"retention_ms\":%lld", res.foreign,
               (long long)opts.retention_ms);
    put_ids(&t->sweep, "expired", &res.expired);
    put_ids(&t->sweep, "orphans", &res.orphans);
    put_ids(&t->sweep, "deleted", &res.deleted);
    arena_free(a);
    return e;
}

/* ---- all tenants ---- */

static void look_at(struct pass *p, struct slice tenant)
{
    void **slot = map_slot(&p->u->tenants, tenant);
    struct upkeep_tenant *t = *slot;
    struct err *e;

    if (!t) {
        *slot = t = mem_new(struct upkeep_tenant);
        t->due_ms = INT64_MIN;
        t->oldest_ms = INT64_MAX;
    }
    if ((e = compact_tenant(p, tenant, t))) {
        METRIC_ADD(p->u->m.tenant_failures, 1);
        note(p->u, "look at tenant", e);
    }
    if (p->is_sweep && !is_stopping(p->u) && (e = sweep_one(p, tenant, t))) {
        METRIC_ADD(p->u->m.tenant_failures, 1);
        note(p->u, "sweep", e);
    }
    t->pass = p->u->pass;
}

static void tenant_free(struct upkeep_tenant *t)
{
    buf_done(&t->levels);
    buf_done(&t->sweep);
    mem_free(t);
}

static void forget_tenants(struct upkeep *u)
{
    VEC(char *) old = {0};

    MAP_FOREACH (en, &u->tenants)
        if (((struct upkeep_tenant *)en->value)->pass != u->pass)
            vec_push(&old, slice_dup(en->key));
    VEC_FOREACH (key, &old) {
        tenant_free(map_del(&u->tenants, slice_cstr(*key)));
        mem_free(*key);
    }
    vec_done(&old);
}

static void show(struct upkeep *u)
{
    int64_t jobs = 0, bytes = 0, blocks = 0, retired = 0, foreign = 0, oldest_ms = INT64_MAX;
    int64_t wall_ms = clock_wall_ms(&clock_system);
    size_t rows = 0;

    lock_take(&u->lock);
    buf_reset(&u->rows);
    MAP_FOREACH (en, &u->tenants) {
        const struct upkeep_tenant *t = en->value;

        jobs += (int64_t)t->jobs;
        bytes += (int64_t)t->bytes;
        blocks += (int64_t)t->blocks;
        retired += (int64_t)t->retired;
        foreign += (int64_t)t->foreign;
        oldest_ms = ORR_MIN(oldest_ms, t->oldest_ms);
        if (rows == UPKEEP_PAGE_TENANTS || !t->levels.len)
            continue;
        buf_str(&u->rows, rows++ ? ",{\"tenant\":" : "{\"tenant\":");
        buf_json_str(&u->rows, en->key);
        buf_byte(&u->rows, ',');
        buf_slice_append(&u->rows, buf_slice(&t->levels));
        buf_slice_append(&u->rows, buf_slice(&t->sweep));
        buf_byte(&u->rows, '}');
    }
    u->last_pass_ms = wall_ms;
    lock_release(&u->lock);
    METRIC_SET(u->m.tenants, (int64_t)u->tenants.len);
    METRIC_SET(u->m.backlog_jobs, jobs);
    METRIC_SET(u->m.backlog_bytes, bytes);
    METRIC_SET(u->m.live_blocks, blocks);
    METRIC_SET(u->m.retired, retired);
    METRIC_SET(u->m.foreign, foreign);
    METRIC_SET(u->m.quarantined, (int64_t)u->quarantined.len);
    u->m.oldest_s = jobs ? (double)ORR_MAX(wall_ms - oldest_ms, 0) / 1e3 : 0;
}

static void look_at_all(struct pass *p)
{
    struct arena *a = arena_new(0);
    struct slice *tenants;
    struct err *e;
    size_t n;

    if ((e = catalogue_tenants(p->u->c->store, a, SIGNAL, &tenants, &n))) {
        note(p->u, "list tenants", e);
    } else {
        for (size_t i = 0; i < n && !is_stopping(p->u); i++)
            look_at(p, tenants[i]);
        if (!is_stopping(p->u))
            forget_tenants(p->u);
    }
    arena_free(a);
}

static struct err *levels_of(const struct compactor_conf *conf, struct levels_opts *ret)
{
    *ret = (struct levels_opts){.wait_ms = conf->compaction_wait_ns / NS_PER_MS,
                                .max_inputs = LEVELS_MAX_INPUTS,
                                .max_bytes = (uint64_t)conf->max_block_bytes};
    return err_wrap(levels_parse_ranges(slice_cstr(conf->block_ranges), ret),
                    "compactor.block-ranges");
}

/* Returns the monotonic ms of the next look. */
static int64_t run_pass(struct upkeep *u)
{
    struct conf *conf = process_conf(u->c->process);
    const struct compactor_conf *cc = conf_section(conf, "compactor");
    struct pass p = {.u = u, .conf = cc, .is_sweep = mono_ms() >= u->next_sweep_ms};
    int64_t next_ms = mono_ms() + cc->compaction_interval_ns / NS_PER_MS;
    struct err *e = levels_of(cc, &p.levels);

    if (e) {
        note(u, "configuration", e);
    } else {
        u->pass++;
        METRIC_ADD(u->m.passes, 1);
        if (p.is_sweep)
            u->next_sweep_ms = mono_ms() + cc->sweep_interval_ns / NS_PER_MS;
        release(u);
        p.compactors = membership_ring(u->c->membership, MEMBER_COMPACTOR, 0);
        look_at_all(&p);
        show(u);
        ring_unref(p.compactors);
    }
    conf_unref(conf);
    next_ms = ORR_MIN(next_ms, u->next_sweep_ms);
    return p.found_more ? mono_ms() + SETTLE_MS : ORR_MAX(next_ms, mono_ms() + SETTLE_MS);
}

/* ---- the thread ---- */

static void sleep_until(struct upkeep *u, int64_t until_ms)
{
    lock_take(&u->lock);
    while (!is_stopping(u) && !u->is_hinted && mono_ms() < until_ms) {
        struct timespec at = {until_ms / MS_PER_S, until_ms % MS_PER_S * NS_PER_MS};

        lock_wait_until(&u->lock, &u->changed, &at);
    }
    if (u->is_hinted)
        u->next_sweep_ms = 0;
    u->is_hinted = false;
    lock_release(&u->lock);
}

static void *run(void *arg)
{
    struct upkeep *u = arg;
    void (*ended)(void *arg);
    void *ended_arg;

    while (!is_stopping(u))
        sleep_until(u, run_pass(u));
    lock_take(&u->lock);
    u->is_running = false;
    ended = u->ended;
    ended_arg = u->ended_arg;
    u->ended = NULL;
    lock_release(&u->lock);
    if (ended)
        ended(ended_arg);
    return NULL;
}

struct err *upkeep_start(struct upkeep *u)
{
    struct err *e;

    u->is_running = true;
    e = thread_start("upkeep", run, u, &u->thread);
    u->has_thread = u->is_running = e == NULL;
    return e;
}

void upkeep_stop(struct upkeep *u, void (*ended)(void *arg), void *arg)
{
    bool is_running;

    lock_take(&u->lock);
    is_running = u->is_running;
    u->ended = ended;
    u->ended_arg = arg;
    (void)pthread_cond_signal(&u->changed);
    lock_release(&u->lock);
    if (!is_running && ended)
        ended(arg);
}

void upkeep_hint(struct upkeep *u)
{
    lock_take(&u->lock);
    u->is_hinted = true;
    (void)pthread_cond_signal(&u->changed);
    lock_release(&u->lock);
}

void upkeep_status(struct upkeep *u, struct buf *out)
{
    lock_take(&u->lock);
    buf_printf(out, "{\"last_look\":%lld,\"done\":%llu,\"running\":[", (long long)u->last_pass_ms,
               (unsigned long long)u->m.merge.done);
    for (size_t i = 0; i < u->running.len; i++) {
        const struct upkeep_job *j = u->running.ptr[i];

        buf_str(out, i ? ",{\"tenant\":" : "{\"tenant\":");
        buf_json_str(out, j->tenant);
        buf_printf(out, ",\"since\":%lld,\"job\":", (long long)j->start_wall_ms);
        put_job(out, j->job);
        buf_byte(out, '}');
    }
    buf_str(out, "],\"tenants\":[");
    buf_slice_append(out, buf_slice(&u->rows));
    buf_str(out, "]}");
    lock_release(&u->lock);
}

/* ---- metrics, life ---- */

#define FIELD_COUNTER(member, name, help)                                                          \
    METRIC_COUNTER(struct upkeep_metrics, member, "orrery_compactor_" name, help)
#define FIELD_GAUGE(member, name, help)                                                            \
    METRIC_GAUGE(struct upkeep_metrics, member, "orrery_compactor_" name, help)

static const struct metric_field fields[] = {
    FIELD_COUNTER(passes, "compaction_looks_total", "Looks at all tenants' catalogues."),
    FIELD_COUNTER(tenant_failures, "compaction_tenant_failures_total",
                  "Tenants whose catalogue or bucket could not be worked on."),
    FIELD_COUNTER(merge.done, "compactions_total", "Jobs that replaced blocks by one."),
    FIELD_COUNTER(jobs_failed, "compactions_failed_total", "Jobs that failed, to be tried again."),
    FIELD_COUNTER(merge.repeated, "compactions_repeated_total",
                  "Jobs that found another had done them."),
    FIELD_COUNTER(merge.outdated, "compactions_outdated_total",
                  "Jobs whose inputs were not live any more."),
    FIELD_COUNTER(merge.inputs, "compaction_inputs_total", "Blocks read and verified."),
    FIELD_COUNTER(merge.read_bytes, "compaction_read_bytes_total", "Their size."),
    FIELD_COUNTER(merge.written_bytes, "compaction_written_bytes_total", "Size of new blocks."),
    FIELD_COUNTER(merge.samples, "compaction_samples_total", "Samples in new blocks."),
    FIELD_COUNTER(merge.bad_blocks, "bad_blocks_total", "Times a block did not verify."),
    FIELD_COUNTER(merge.make.bad_sidecars, "compaction_bad_sidecars_total",
                  "Corrupt sidecars of blocks, left out."),
    FIELD_COUNTER(merge.make.chunks_copied, "compaction_chunks_copied_total",
                  "Chunks copied as they were."),
    FIELD_COUNTER(merge.make.chunks_deduplicated, "compaction_chunks_deduplicated_total",
                  "Chunks that several blocks had alike."),
    FIELD_COUNTER(merge.make.chunks_decoded, "compaction_chunks_decoded_total",
                  "Chunks decoded and merged sample by sample."),
    FIELD_COUNTER(merge.make.deleted_samples, "compaction_deleted_samples_total",
                  "Samples left out because a tombstone deletes them."),
    FIELD_COUNTER(expired, "blocks_expired_total", "Blocks retired by retention."),
    FIELD_COUNTER(orphans, "orphans_retired_total", "Directories of no live block retired."),
    FIELD_COUNTER(deleted, "blocks_deleted_total", "Retired blocks whose files were deleted."),
    FIELD_GAUGE(tenants, "tenants", "Tenants in the bucket."),
    FIELD_GAUGE(backlog_jobs, "compaction_backlog_jobs", "Jobs of all owners that were due."),
    FIELD_GAUGE(backlog_bytes, "compaction_backlog_bytes", "Size of their inputs."),
    METRIC_GAUGE_F64(struct upkeep_metrics, oldest_s,
                     "orrery_compactor_compaction_backlog_oldest_seconds",
                     "How long the oldest of them has been due."),
    FIELD_GAUGE(running, "compactions_running", "Jobs under way."),
    FIELD_GAUGE(live_blocks, "live_blocks", "Blocks in the catalogues."),
    FIELD_GAUGE(retired, "retired_blocks", "Blocks that wait for the deletion of their files."),
    FIELD_GAUGE(quarantined, "quarantined_blocks", "Blocks left out because they do not verify."),
    FIELD_GAUGE(foreign, "foreign_blocks", "Directories of other systems' blocks, left alone."),
    METRIC_HIST(struct upkeep_metrics, job_s, "orrery_compactor_compaction_seconds",
                "Time of a job, failed ones too."),
};

static void init_cond(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &attr);
    (void)pthread_condattr_destroy(&attr);
}

struct err *upkeep_new(struct compactor *c, struct upkeep **ret)
{
    struct conf *conf = process_conf(c->process);
    struct levels_opts ranges;
    struct err *e = levels_of(conf_section(conf, "compactor"), &ranges);
    struct upkeep *u;

    conf_unref(conf);
    if (e)
        return e;
    u = mem_new(struct upkeep);
    u->c = c;
    u->pool_threads = 1;
    lock_init(&u->lock, LOCK_LEAF_MODULE);
    init_cond(&u->changed);
    metric_register(&u->m, fields, ORR_COUNT(fields), NULL);
    *ret = u;
    return NULL;
}

void upkeep_free(struct upkeep *u)
{
    if (!u)
        return;
    upkeep_stop(u, NULL, NULL);
    if (u->has_thread)
        (void)pthread_join(u->thread, NULL);
    metric_unregister(&u->m);
    job_pool_free(u->pool);
    MAP_FOREACH (en, &u->tenants)
        tenant_free(en->value);
    map_done(&u->tenants);
    MAP_FOREACH (en, &u->quarantined)
        mem_free(en->value);
    map_done(&u->quarantined);
    vec_done(&u->running);
    buf_done(&u->rows);
    (void)pthread_cond_destroy(&u->changed);
    lock_done(&u->lock);
    mem_free(u);
}
