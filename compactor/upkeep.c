#include "compactor/upkeep.h"

#include "common/base/log.h"
#include "common/base/thread.h"
#include "compactor/upkeep_internal.h"

#define SETTLE_MS 100 /* between two looks, and between a hint and one */

static int64_t mono_ms(void)
{
    return clock_mono_ms(&clock_system);
}

void upkeep_note(struct upkeep *u, const char *what, struct err *e)
{
    if (err_is(e, ERR_CANCELED))
        err_free(e);
    else
        compactor_note(u->c, what, e);
}

/* ---- all tenants ---- */

static void forget_tenants(struct upkeep_part *part, uint64_t pass)
{
    VEC(char *) old = {0};

    MAP_FOREACH (en, &part->tenants)
        if (((struct upkeep_tenant *)en->value)->pass != pass)
            vec_push(&old, slice_dup(en->key));
    VEC_FOREACH (key, &old) {
        upkeep_tenant_free(map_del(&part->tenants, slice_cstr(*key)));
        mem_free(*key);
    }
    vec_done(&old);
}

/* Under the lock. */
static void put_tenant(struct buf *out, const struct upkeep_part *part, struct slice name,
                       const struct upkeep_tenant *t)
{
    buf_printf(out, "%s{\"signal\":\"%s\",\"tenant\":", out->len ? "," : "", part->signal->name);
    buf_json_str(out, name);
    buf_byte(out, ',');
    buf_slice_append(out, buf_slice(&t->levels));
    buf_slice_append(out, buf_slice(&t->sweep));
    buf_byte(out, '}');
}

static void show_part(struct upkeep_part *part, int64_t wall_ms)
{
    int64_t jobs = 0, bytes = 0, blocks = 0, retired = 0, foreign = 0, oldest_ms = INT64_MAX;
    int64_t tombstones = 0, to_rewrite = 0;

    MAP_FOREACH (en, &part->tenants) {
        const struct upkeep_tenant *t = en->value;

        jobs += (int64_t)t->jobs;
        bytes += (int64_t)t->bytes;
        blocks += (int64_t)t->blocks;
        retired += (int64_t)t->retired;
        foreign += (int64_t)t->foreign;
        tombstones += (int64_t)t->tombstones;
        to_rewrite += (int64_t)deletions_blocks(t->deletions);
        oldest_ms = ORR_MIN(oldest_ms, t->oldest_ms);
    }
    METRIC_SET(part->m.tenants, (int64_t)part->tenants.len);
    METRIC_SET(part->m.backlog_jobs, jobs);
    METRIC_SET(part->m.backlog_bytes, bytes);
    METRIC_SET(part->m.live_blocks, blocks);
    METRIC_SET(part->m.retired, retired);
    METRIC_SET(part->m.foreign, foreign);
    METRIC_SET(part->m.tombstones, tombstones);
    METRIC_SET(part->m.to_rewrite, to_rewrite);
    METRIC_SET(part->m.quarantined, (int64_t)part->quarantined.len);
    part->m.oldest_s = jobs ? (double)ORR_MAX(wall_ms - oldest_ms, 0) / 1e3 : 0;
}

static void show(struct upkeep *u)
{
    int64_t wall_ms = clock_wall_ms(&clock_system);

    lock_take(&u->lock);
    buf_reset(&u->rows);
    for (size_t i = 0; i < ORR_COUNT(u->parts); i++) {
        size_t rows = 0;

        MAP_FOREACH (en, &u->parts[i].tenants)
            if (((struct upkeep_tenant *)en->value)->levels.len && rows++ < UPKEEP_PAGE_TENANTS)
                put_tenant(&u->rows, &u->parts[i], en->key, en->value);
    }
    u->last_pass_ms = wall_ms;
    lock_release(&u->lock);
    for (size_t i = 0; i < ORR_COUNT(u->parts); i++)
        show_part(&u->parts[i], wall_ms);
}

static void look_at_all(struct upkeep_pass *p)
{
    struct arena *a = arena_new(0);
    struct slice *tenants;
    struct err *e;
    size_t n;

    if ((e = catalogue_tenants(p->u->c->store, a, signal_name(p->part->signal), &tenants, &n))) {
        upkeep_note(p->u, "list tenants", e);
    } else {
        for (size_t i = 0; i < n && !upkeep_is_stopping(p->u); i++)
            upkeep_tenant_look(p, tenants[i]);
        if (!upkeep_is_stopping(p->u))
            forget_tenants(p->part, p->u->pass);
    }
    arena_free(a);
}

static struct err *tiers_opts(const struct compactor_conf *conf, struct tierplan_opts *ret)
{
    struct levels_opts levels = {.wait_ms = conf->compaction_wait_ns / NS_PER_MS,
                                 .max_inputs = LEVELS_MAX_INPUTS,
                                 .max_bytes = (uint64_t)conf->max_block_bytes};
    struct err *e;

    *ret = (struct tierplan_opts){
        .levels = levels,
        .coarse = levels,
        .after_ms = {0, conf->after_5m_ns / NS_PER_MS, conf->after_1h_ns / NS_PER_MS}};
    if ((e = levels_parse_ranges(slice_cstr(conf->block_ranges), &ret->levels)))
        return err_wrap(e, "compactor.block-ranges");
    return err_wrap(levels_parse_ranges(slice_cstr(conf->coarse_ranges), &ret->coarse),
                    "compactor.downsampled-block-ranges");
}

/* Returns the monotonic ms of the next look. */
static int64_t run_pass(struct upkeep *u)
{
    struct conf *conf = process_conf(u->c->process);
    const struct compactor_conf *cc = conf_section(conf, "compactor");
    struct upkeep_pass p = {.u = u, .conf = cc, .is_sweep = mono_ms() >= u->next_sweep_ms};
    bool has_gained;
    int64_t next_ms = mono_ms() + cc->compaction_interval_ns / NS_PER_MS;
    struct err *e = tiers_opts(cc, &p.tiers);

    if (e) {
        upkeep_note(u, "configuration", e);
    } else {
        u->pass++;
        METRIC_ADD(u->passes, 1);
        if (p.is_sweep)
            u->next_sweep_ms = mono_ms() + cc->sweep_interval_ns / NS_PER_MS;
        has_gained = atomic_exchange(&u->c->has_gained, false);
        p.compactors = membership_ring(u->c->membership, MEMBER_COMPACTOR, 0);
        for (size_t i = 0; i < ORR_COUNT(u->parts) && !upkeep_is_stopping(u); i++) {
            p.part = &u->parts[i];
            upkeep_tenant_release(p.part);
            if (has_gained)
                upkeep_tenant_look_anew(p.part);
            look_at_all(&p);
        }
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
    while (!upkeep_is_stopping(u) && !u->is_hinted && mono_ms() < until_ms) {
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

    while (!upkeep_is_stopping(u))
        sleep_until(u, run_pass(u));
    u->ended(u->ended_arg);
    return NULL;
}

struct err *upkeep_start(struct upkeep *u, void (*ended)(void *arg), void *arg)
{
    struct err *e;

    u->ended = ended;
    u->ended_arg = arg;
    e = thread_start("upkeep", run, u, &u->thread);
    u->has_thread = e == NULL;
    return e;
}

void upkeep_stop(struct upkeep *u)
{
    lock_take(&u->lock);
    (void)pthread_cond_signal(&u->changed);
    lock_release(&u->lock);
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
    uint64_t done = 0;

    for (size_t i = 0; i < ORR_COUNT(u->parts); i++)
        done += METRIC_GET(u->parts[i].m.merge.done);
    lock_take(&u->lock);
    buf_printf(out, "{\"last_look\":%lld,\"done\":%llu,\"running\":[", (long long)u->last_pass_ms,
               (unsigned long long)done);
    for (size_t i = 0; i < u->running.len; i++) {
        buf_str(out, i ? "," : "");
        upkeep_tenant_put_running(out, u->running.ptr[i]);
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
    METRIC_COUNTER(struct upkeep, passes, "orrery_compactor_compaction_looks_total",
                   "Looks at all tenants' catalogues."),
};

/* Of each signal; those of metrics without a label. */
static const struct metric_field part_fields[] = {
    FIELD_COUNTER(tenant_failures, "compaction_tenant_failures_total",
                  "Tenants whose catalogue or bucket could not be worked on."),
    FIELD_COUNTER(merge.done, "compactions_total", "Jobs that replaced blocks by one."),
    FIELD_COUNTER(jobs_failed, "compactions_failed_total", "Jobs that failed, to be tried again."),
    FIELD_COUNTER(merge.repeated, "compactions_repeated_total",
                  "Jobs that found another had done them."),
    FIELD_COUNTER(merge.outdated, "compactions_outdated_total",
                  "Jobs whose inputs were not live any more."),
    FIELD_COUNTER(merge.taken_up, "compactions_taken_up_total",
                  "Blocks that an earlier attempt of the job had uploaded."),
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
    FIELD_COUNTER(merge.make.duplicate_lines, "compaction_duplicate_lines_total",
                  "Log lines left out because another block has them, too."),
    FIELD_COUNTER(merge.make.duplicate_spans, "compaction_duplicate_spans_total",
                  "Spans left out because another block has them, too."),
    FIELD_COUNTER(merge.make.cut_traces, "compaction_cut_traces_total",
                  "Traces too large to be merged, of which spans were left out."),
    FIELD_COUNTER(merge.make.deleted_samples, "compaction_deleted_samples_total",
                  "Samples left out because a tombstone deletes them."),
    FIELD_COUNTER(merge.make.expired_series, "compaction_expired_series_total",
                  "Series of blocks left out because their retention is over."),
    FIELD_COUNTER(merge.split, "compactions_split_total",
                  "Jobs that replaced blocks by one for each shard of the series."),
    FIELD_COUNTER(merge.rewritten, "blocks_rewritten_total",
                  "Blocks rewritten by themselves without what was deleted or has expired."),
    FIELD_COUNTER(tombstones_forgotten, "tombstones_forgotten_total",
                  "Deletions taken off the list because nothing is left of what they delete."),
    FIELD_COUNTER(expired, "blocks_expired_total", "Blocks retired by retention."),
    FIELD_COUNTER(orphans, "orphans_retired_total", "Directories of no live block retired."),
    FIELD_COUNTER(deleted, "blocks_deleted_total", "Retired blocks whose files were deleted."),
    FIELD_COUNTER(unswept, "sweep_failed_blocks_total",
                  "Times a sweep could not look into a block's directory, or delete its files."),
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
    FIELD_GAUGE(tombstones, "tombstones", "Deletions on the tenants' lists."),
    FIELD_GAUGE(to_rewrite, "blocks_to_rewrite",
                "Blocks found to hold what is deleted or has expired, which wait to be rewritten."),
    FIELD_GAUGE(foreign, "foreign_blocks", "Directories of other systems' blocks, left alone."),
    METRIC_HIST(struct upkeep_metrics, job_s, "orrery_compactor_compaction_seconds",
                "Time of a job, failed ones too."),
};
static const struct metric_field waste_field = {
    METRIC_T_COUNTER, 0, "orrery_compactor_compaction_wasted_blocks_total",
    "Blocks that jobs made whole and no catalogue came to name, by reason."};

static void collect_progress(void *arg, struct buf *out, bool is_openmetrics)
{
    static const char done_name[] = "orrery_compactor_running_series_done",
                      all_name[] = "orrery_compactor_running_series";
    struct upkeep *u = arg;
    uint64_t done = 0, all = 0;

    lock_take(&u->lock);
    VEC_FOREACH (j, &u->running)
        upkeep_tenant_add_progress(*j, &done, &all);
    lock_release(&u->lock);
    metric_write_family(out, is_openmetrics, METRIC_T_GAUGE, done_name,
                        "Series that the compactions under way have gone through.");
    metric_write_u64(out, done_name, "", done);
    metric_write_family(out, is_openmetrics, METRIC_T_GAUGE, all_name,
                        "Series that they will have gone through at the end, at least.");
    metric_write_u64(out, all_name, "", all);
}

struct err *upkeep_new(struct compactor *c, struct upkeep **ret)
{
    struct conf *conf = process_conf(c->process);
    struct tierplan_opts ranges;
    struct err *e = tiers_opts(conf_section(conf, "compactor"), &ranges);
    const char *labels;
    struct upkeep *u;

    conf_unref(conf);
    if (e)
        return e;
    u = mem_new(struct upkeep);
    u->c = c;
    u->pool_threads = 1;
    lock_init(&u->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&u->changed);
    metric_register(u, fields, ORR_COUNT(fields), NULL);
    for (size_t i = 0; i < ORR_COUNT(u->parts); i++) {
        u->parts[i].signal = signal_of((enum signal_kind)i);
        labels = u->parts[i].signal->metric_labels;
        metric_register(&u->parts[i].m, part_fields, ORR_COUNT(part_fields), labels);
        blockmake_waste_register(&u->parts[i].m.merge.waste, &waste_field, labels);
    }
    metric_register_collector(collect_progress, u);
    *ret = u;
    return NULL;
}

static void free_part(struct upkeep_part *part)
{
    blockmake_waste_unregister(&part->m.merge.waste);
    metric_unregister(&part->m);
    MAP_FOREACH (en, &part->tenants)
        upkeep_tenant_free(en->value);
    map_done(&part->tenants);
    MAP_FOREACH (en, &part->quarantined)
        mem_free(en->value);
    map_done(&part->quarantined);
}

void upkeep_free(struct upkeep *u)
{
    if (!u)
        return;
    upkeep_stop(u);
    if (u->has_thread)
        (void)pthread_join(u->thread, NULL);
    metric_unregister_collector(collect_progress, u);
    metric_unregister(u);
    job_pool_free(u->pool);
    for (size_t i = 0; i < ORR_COUNT(u->parts); i++)
        free_part(&u->parts[i]);
    map_done(&u->said);
    vec_done(&u->running);
    buf_done(&u->rows);
    (void)pthread_cond_destroy(&u->changed);
    lock_done(&u->lock);
    mem_free(u);
}
