#include "ingester/logs/loghead.h"

#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "ingester/logs/loghead_internal.h"

#define F(type, member, name, help) METRIC_##type(struct loghead_metrics, member, name, help)
static const struct metric_field loghead_fields[] = {
    F(COUNTER, pushes, "orrery_loghead_pushes_total", "Batches of log lines taken."),
    F(COUNTER, budget_refusals, "orrery_loghead_budget_refusals_total",
      "Batches refused because open lines fill their memory."),
    F(COUNTER, cuts, "orrery_loghead_log_cuts_total",
      "Times that the log was cut behind what is in frames."),
    F(GAUGE, open_bytes, "orrery_loghead_open_bytes",
      "Memory of lines that are in no frame yet, of ingester.logs-open-bytes."),
    F(GAUGE, queue_bytes, "orrery_loghead_push_queue_bytes", "Batches that are under way."),
    F(GAUGE, is_ready, "orrery_loghead_ready", "1 when the replay is through."),
    F(GAUGE, segments, "orrery_ingester_logs_segments",
      "Segments of log lines that are cut and that no block has yet."),
    F(GAUGE, segment_bytes, "orrery_ingester_logs_segment_bytes", "Bytes of their frames."),
    F(COUNTER, segments_cut, "orrery_ingester_logs_segments_cut_total",
      "Segments of log lines that were cut."),
    F(COUNTER, segments_dropped, "orrery_ingester_logs_segments_dropped_total",
      "Segments of log lines that went since a block has them."),
    F(COUNTER, drop_failures, "orrery_ingester_logs_segment_drop_failures_total",
      "Those that could not be marked as dropped on the disk; they stay, and it is tried again."),
    F(HIST, seal_s, "orrery_loghead_seal_seconds", "Time from closed lines to a frame on disk."),
    F(HIST, replay_s, "orrery_loghead_replay_seconds", "Time from start to ready."),
};
#undef F
#define F(type, member, name, help) METRIC_##type(struct logshard_metrics, member, name, help)
static const struct metric_field logshard_fields[] = {
    F(COUNTER, entries, "orrery_loghead_entries_total", "Log lines taken."),
    F(COUNTER, bytes, "orrery_loghead_bytes_total",
      "Bytes of log lines and structured metadata taken."),
    F(COUNTER, unknown, "orrery_loghead_unknown_streams_total",
      "Streams asked for again with their labels."),
    F(COUNTER, refused, "orrery_loghead_refused_entries_total",
      "Log lines refused: limit of active streams, labels that do not fit."),
    F(COUNTER, created, "orrery_loghead_streams_created_total", "Streams that appeared."),
    F(COUNTER, forgotten, "orrery_loghead_streams_forgotten_total",
      "Streams without lines lately of which nothing is left here."),
    F(COUNTER, sealed_frames, "orrery_loghead_sealed_frames_total", "Frames written."),
    F(COUNTER, sealed_bytes, "orrery_loghead_sealed_bytes_total", "Bytes of frames written."),
    F(COUNTER, sealed_raw, "orrery_loghead_sealed_raw_bytes_total",
      "Bytes of lines and structured metadata in them."),
    F(COUNTER, seal_failures, "orrery_loghead_seal_failures_total",
      "Frames that could not be written; the lines stay in memory."),
    F(COUNTER, sealed_twice, "orrery_loghead_repeated_entries_total",
      "Log lines that were there already, found when sealed."),
    F(GAUGE, streams, "orrery_loghead_streams", "Streams known."),
    F(GAUGE, active, "orrery_loghead_active_streams", "Streams with lines lately."),
    F(GAUGE, frames, "orrery_loghead_frames", "Frames on disk."),
    F(GAUGE, file_bytes, "orrery_loghead_file_bytes", "Bytes of frames on disk."),
    F(COUNTER, dropped_frames, "orrery_loghead_dropped_frames_total",
      "Frames that went with their segment."),
    F(COUNTER, files_deleted, "orrery_loghead_files_deleted_total", "Files of frames deleted."),
    F(COUNTER, regex.hits, "orrery_loghead_regex_cache_hits_total",
      "Regex matchers whose values were known from a query before."),
    F(COUNTER, regex.misses, "orrery_loghead_regex_cache_misses_total",
      "Regex matchers for which all values of a label were looked at."),
    F(COUNTER, regex.evictions, "orrery_loghead_regex_cache_evictions_total",
      "Remembered regexes that gave way."),
    F(GAUGE, regex.entries, "orrery_loghead_regex_cache_entries", "Remembered regexes."),
    F(GAUGE, regex.bytes, "orrery_loghead_regex_cache_bytes", "Memory they take."),
};
#undef F

/* ---- tenants ---- */

struct logtenant *loghead_tenant_get(struct loghead *h, struct slice id)
{
    void **slot;

    lock_take(&h->lock);
    slot = map_slot(&h->tenants, id);
    if (!*slot) {
        struct logtenant *t = mem_new(struct logtenant);

        t->id = slice_dup(id);
        t->slice = slice_of(t->id, id.len);
        t->tables = mem_new_array(struct logtable *, h->n_shards);
        *slot = t;
    }
    lock_release(&h->lock);
    return *slot;
}

struct logtenant *loghead_tenant_find(struct loghead *h, struct slice id)
{
    struct logtenant *t;

    lock_take(&h->lock);
    t = map_get(&h->tenants, id);
    lock_release(&h->lock);
    return t;
}

struct logtable *loghead_table_get(struct logshard *sh, struct logtenant *t)
{
    struct logtable *tb = t->tables[sh->index];

    if (ORR_LIKELY(tb))
        return tb;
    tb = mem_new(struct logtable);
    *tb = (struct logtable){.shard = sh, .tenant = t, .next_gen = 1, .min_gen = 1, .defs = 1};
    t->tables[sh->index] = tb;
    vec_push(&sh->tables, tb);
    return tb;
}

void loghead_tenant_stats_get(struct loghead *h, struct slice tenant,
                              struct loghead_tenant_stats *ret)
{
    struct logtenant *t = loghead_tenant_find(h, tenant);

    *ret = (struct loghead_tenant_stats){0};
    if (!t)
        return;
    ret->streams = atomic_load_explicit(&t->streams, memory_order_relaxed);
    ret->active = atomic_load_explicit(&t->active, memory_order_relaxed);
    ret->entries = atomic_load_explicit(&t->entries, memory_order_relaxed);
    ret->bytes = atomic_load_explicit(&t->bytes, memory_order_relaxed);
}

/* ---- calls that wait ---- */

struct call {
    struct logshard *shard;
    logshard_fn *fn;
    void *arg;
};

static bool run_call(void *arg)
{
    struct call *c = arg;

    return c->fn(c->shard, c->arg);
}

void logshard_call_all(struct loghead *h, logshard_fn *fn, void *args, size_t each)
{
    struct mailbox *boxes[LOGHEAD_MAX_SHARDS];
    struct call calls[LOGHEAD_MAX_SHARDS];
    void *call_args[LOGHEAD_MAX_SHARDS];

    for (uint32_t i = 0; i < h->n_shards; i++) {
        boxes[i] = &h->shards[i].box;
        calls[i] = (struct call){&h->shards[i], fn, (char *)args + i * each};
        call_args[i] = &calls[i];
    }
    mailbox_call_many(boxes, h->n_shards, run_call, call_args);
}

/* ---- opening ---- */

static bool parse_meta(struct slice text, uint64_t *ret_shards, uint64_t *ret_epoch)
{
    struct slice line;

    return slice_split(&text, '\n', &line) && slice_eq_cstr(line, "orrery-loghead 1") &&
           slice_split(&text, '\n', &line) && slice_has_prefix(line, SLICE("shards ")) &&
           slice_to_u64(slice_from(line, 7), ret_shards) && slice_split(&text, '\n', &line) &&
           slice_has_prefix(line, SLICE("epoch ")) &&
           slice_to_u64(slice_from(line, 6), ret_epoch) && *ret_shards &&
           *ret_shards <= LOGHEAD_MAX_SHARDS && !(*ret_shards & (*ret_shards - 1));
}

struct err *loghead_write_meta(struct loghead *h)
{
    char *path = mem_printf("%s/head/meta", h->dir);
    struct buf b = {0};
    struct err *e;

    buf_printf(&b, "orrery-loghead 1\nshards %u\nepoch %llu\n", h->n_shards,
               (unsigned long long)h->epoch);
    e = fsx_write_atomic(path, buf_slice(&b));
    buf_done(&b);
    mem_free(path);
    return e;
}

/* The shard of a stream's lines is in the log, so the number stays with the directory. */
static struct err *read_meta(struct loghead *h)
{
    char *path = mem_printf("%s/head/meta", h->dir);
    struct buf b = {0};
    struct err *e = NULL;
    uint64_t n = 0;

    h->n_shards = mailbox_count(h->opts.shards, LOGHEAD_MAX_SHARDS);
    h->epoch = 1;
    if (!fsx_exists(path)) {
        e = loghead_write_meta(h);
    } else if (!(e = fsx_read(path, 4096, &b))) {
        if (!parse_meta(buf_slice(&b), &n, &h->epoch))
            e = err_new(ERR_CORRUPT, "%s: not a log head of version 1", path);
        else
            h->n_shards = (uint32_t)n;
    }
    buf_done(&b);
    mem_free(path);
    return e;
}

static void fill_defaults(struct loghead_opts *o)
{
    if (!o->open_bytes)
        o->open_bytes = 512ll << 20;
    if (!o->seal_bytes)
        o->seal_bytes = 16ll << 20;
    if (!o->seal_age_ms)
        o->seal_age_ms = 30ll * 60 * 1000;
    if (!o->seal_wal_bytes)
        o->seal_wal_bytes = 512ll << 20;
    if (!o->push_queue_bytes)
        o->push_queue_bytes = 256ll << 20;
    if (!o->idle_ms)
        o->idle_ms = 3600ll * 1000;
    if (!o->grace_ms)
        o->grace_ms = 15ll * 60 * 1000;
    if (!o->regex_cache_bytes)
        o->regex_cache_bytes = 16ll << 20;
    if (!o->clock)
        o->clock = &clock_system;
}

static void shard_free(struct logshard *sh)
{
    mailbox_done(&sh->box);
    VEC_FOREACH (tb, &sh->tables)
        logtable_free(*tb);
    vec_done(&sh->tables);
    vec_done(&sh->to_seal);
    buf_done(&sh->record);
    logfile_unref(sh->file);
    VEC_FOREACH (f, &sh->files)
        logfile_unref(*f);
    vec_done(&sh->files);
    logpage_builder_free(sh->builder);
    logfilter_grams_done(&sh->grams);
    err_free(sh->seal_error);
}

static void free_head(struct loghead *h)
{
    for (uint32_t i = 0; h->shards && i < h->n_shards; i++) {
        mailbox_stop(&h->shards[i].box);
        metric_unregister(&h->shards[i].m);
    }
    job_pool_free(h->sealers);
    for (uint32_t i = 0; h->shards && i < h->n_shards; i++)
        shard_free(&h->shards[i]);
    logsegments_close(h);
    MAP_FOREACH (en, &h->tenants) {
        struct logtenant *t = en->value;

        vec_done(&t->segments);
        mem_free(t->id);
        mem_free(t->tables);
        mem_free(t);
    }
    map_done(&h->tenants);
    err_free(h->replay_error);
    lock_done(&h->lock);
    (void)pthread_cond_destroy(&h->changed);
    mem_free(h->shards);
    mem_free(h->dir);
    mem_free(h);
}

static struct err *start_shards(struct loghead *h)
{
    struct err *e = NULL;

    h->shards = mem_new_array(struct logshard, h->n_shards);
    for (uint32_t i = 0; i < h->n_shards; i++) {
        struct logshard *sh = &h->shards[i];
        char name[24], labels[32];

        sh->head = h;
        sh->index = i;
        sh->regexes.m = &sh->m.regex;
        sh->regexes.max_bytes = h->opts.regex_cache_bytes / (int64_t)h->n_shards;
        (void)snprintf(name, sizeof(name), "loghead-%u", i);
        (void)snprintf(labels, sizeof(labels), "shard=\"%u\"", i);
        metric_register(&sh->m, logshard_fields, ORR_COUNT(logshard_fields), labels);
        if (!e)
            e = mailbox_start(&sh->box, name);
    }
    return e;
}

struct err *loghead_open(const struct loghead_opts *opts, struct loghead **ret)
{
    struct loghead *h = mem_new(struct loghead);
    char *path = mem_printf("%s/head", opts->dir);
    struct err *e;

    h->opts = *opts;
    fill_defaults(&h->opts);
    h->dir = mem_strdup(opts->dir);
    h->live_from = wal_next_seq(opts->wal);
    lock_init(&h->lock, LOCK_HEAD_TENANTS);
    (void)pthread_cond_init(&h->changed, NULL);
    if (!(e = fsx_mkdirs(path)) && !(e = read_meta(h)) && !(e = logsegments_open(h))) {
        h->sealers = job_pool_new("logseal", h->n_shards, LOGHEAD_MAX_SHARDS);
        if (!(e = start_shards(h)))
            e = loghead_replay_start(h);
    }
    mem_free(path);
    if (e) {
        free_head(h);
        return err_wrap(e, "log head %s", opts->dir);
    }
    metric_register(&h->m, loghead_fields, ORR_COUNT(loghead_fields), NULL);
    *ret = h;
    return NULL;
}

bool loghead_is_ready(const struct loghead *h)
{
    return atomic_load_explicit(&h->is_ready, memory_order_acquire);
}

struct err *loghead_wait_ready(struct loghead *h)
{
    struct err *e;

    lock_take(&h->lock);
    while (h->state == LOGHEAD_REPLAYING)
        lock_wait(&h->lock, &h->changed);
    e = err_copy(h->replay_error);
    lock_release(&h->lock);
    return e;
}

void loghead_replay_stats_get(struct loghead *h, struct loghead_replay_stats *ret)
{
    lock_take(&h->lock);
    *ret = h->replay_stats;
    lock_release(&h->lock);
}

static bool run_is_sealing(struct logshard *sh, void *arg)
{
    *(bool *)arg = sh->is_sealing;
    return false;
}

static void wait_idle(struct loghead *h)
{
    bool is_sealing[LOGHEAD_MAX_SHARDS], any = true;

    while (atomic_load(&h->inflight))
        (void)usleep(200);
    while (any) {
        logshard_call_all(h, run_is_sealing, is_sealing, sizeof(bool));
        any = false;
        for (uint32_t i = 0; i < h->n_shards; i++)
            any = any || is_sealing[i];
        if (any)
            (void)usleep(500);
    }
}

void loghead_close(struct loghead *h)
{
    if (!h)
        return;
    atomic_store(&h->is_closing, true);
    loghead_replay_join(h);
    atomic_store(&h->is_ready, false);
    wait_idle(h);
    metric_unregister(&h->m);
    free_head(h);
}

/* ---- upkeep ---- */

struct upkeep {
    int64_t now_ms;
    uint64_t least_seq; /* of records that are in no frame; UINT64_MAX: none */
    size_t at;
    struct logtable *largest;
};

static uint64_t least_of(const struct logtable *tb)
{
    uint64_t least = UINT64_MAX;

    VEC_FOREACH (g, &tb->gens)
        if ((*g)->first_seq)
            least = ORR_MIN(least, (*g)->first_seq);
    return least;
}

/* One table a turn. */
static bool run_upkeep(struct logshard *sh, void *arg)
{
    struct upkeep *u = arg;

    if (u->at < sh->tables.len) {
        struct logtable *tb = sh->tables.ptr[u->at];

        if (!logtable_sweep(tb, (uint32_t)(u->now_ms / 1000)))
            return true;
        u->at++;
        if (logtable_is_due(tb, u->now_ms))
            logtable_close_open(tb);
        u->least_seq = ORR_MIN(u->least_seq, least_of(tb));
        if (tb->is_open &&
            (!u->largest || vec_last(&tb->gens)->bytes > vec_last(&u->largest->gens)->bytes))
            u->largest = tb;
        return true;
    }
    if (sh->seal_error) { /* try again */
        err_free(sh->seal_error);
        sh->seal_error = NULL;
    }
    if (!sh->is_sealing)
        logfile_reap(sh);
    logshard_seal_more(sh);
    return false;
}

static bool run_close_largest(struct logshard *sh, void *arg)
{
    const struct upkeep *u = arg;

    (void)sh;
    if (u->largest)
        logtable_close_open(u->largest);
    return false;
}

struct err *loghead_maintain(struct loghead *h)
{
    struct upkeep u[LOGHEAD_MAX_SHARDS];
    uint64_t least = wal_next_seq(h->opts.wal);

    for (uint32_t i = 0; i < h->n_shards; i++)
        u[i] = (struct upkeep){.now_ms = clock_wall_ms(h->opts.clock), .least_seq = UINT64_MAX};
    logshard_call_all(h, run_upkeep, u, sizeof(*u));
    if (atomic_load(&h->open_bytes) > h->opts.open_bytes / 4 * 3 && atomic_load(&h->is_loaded))
        logshard_call_all(h, run_close_largest, u, sizeof(*u));
    if (!loghead_is_ready(h))
        return NULL;
    for (uint32_t i = 0; i < h->n_shards; i++)
        least = ORR_MIN(least, u[i].least_seq);
    if (least <= wal_first_seq(h->opts.wal))
        return NULL;
    METRIC_ADD(h->m.cuts, 1);
    return wal_truncate_before(h->opts.wal, least);
}

struct sealing_all {
    struct slice tenant; /* empty: all */
    bool has_closed, is_waiting;
    struct err *err;
};

static bool run_seal_all(struct logshard *sh, void *arg)
{
    struct sealing_all *s = arg;

    s->is_waiting = false;
    VEC_FOREACH (tb, &sh->tables) {
        if (s->tenant.len && !slice_eq((*tb)->tenant->slice, s->tenant))
            continue;
        if (!s->has_closed)
            logtable_close_open(*tb);
        s->is_waiting = s->is_waiting || (*tb)->gens.len > (size_t)(*tb)->is_open;
    }
    s->has_closed = true;
    if (s->is_waiting && sh->seal_error && !s->err)
        s->err = err_copy(sh->seal_error);
    return false;
}

struct err *loghead_seal(struct loghead *h, struct slice tenant)
{
    struct sealing_all s[LOGHEAD_MAX_SHARDS];
    struct err *e = loghead_wait_ready(h);
    bool is_waiting = true;

    if (e)
        return e;
    for (uint32_t i = 0; i < h->n_shards; i++)
        s[i] = (struct sealing_all){.tenant = tenant};
    if ((e = loghead_maintain(h))) /* what failed before is tried again */
        return e;
    while (is_waiting && !e) {
        logshard_call_all(h, run_seal_all, s, sizeof(*s));
        is_waiting = false;
        for (uint32_t i = 0; i < h->n_shards; i++) {
            is_waiting = is_waiting || s[i].is_waiting;
            e = err_first(e, s[i].err);
        }
        if (is_waiting && !e)
            (void)usleep(1000);
    }
    return e ? e : loghead_maintain(h);
}
