#include "ingester/metrics/head.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "ingester/metrics/head_internal.h"

#define F(type, member, name, help) METRIC_##type(struct head_metrics, member, name, help)
static const struct metric_field head_fields[] = {
    F(COUNTER, cuts, "orrery_head_cuts_total", "Cuts of windows into segments."),
    F(COUNTER, cut_failures, "orrery_head_cut_failures_total", "Cuts that failed."),
    F(COUNTER, segments_written, "orrery_head_segments_written_total", "Segments written."),
    F(COUNTER, checkpoints, "orrery_head_checkpoints_total", "Checkpoints written."),
    F(COUNTER, checkpoint_failures, "orrery_head_checkpoint_failures_total",
      "Checkpoints that failed; the log is kept."),
    F(COUNTER, replayed_samples, "orrery_head_replayed_samples_total",
      "Samples read back from the log at start."),
    F(GAUGE, segments, "orrery_head_segments", "Segments on disk."),
    F(GAUGE, queue_bytes, "orrery_head_push_queue_bytes", "Batches that are under way."),
    F(GAUGE, replay_queue_bytes, "orrery_head_replay_queue_bytes",
      "Batches logged during the replay and not applied yet."),
    F(GAUGE, is_ready, "orrery_head_ready", "1 when the replay is through."),
    F(HIST, cut_s, "orrery_head_cut_seconds", "Time of a cut."),
    F(HIST, checkpoint_s, "orrery_head_checkpoint_seconds", "Time of a checkpoint."),
    F(HIST, replay_s, "orrery_head_replay_seconds", "Time from start to ready."),
};
#undef F

/* ---- tenants ---- */

static struct head_tenant *tenant_new(struct head *h, struct slice id)
{
    struct head_tenant *t = mem_new(struct head_tenant);

    t->id = slice_dup(id);
    t->slice = slice_of(t->id, id.len);
    t->ts = mem_new_array(struct head_ts *, h->n_shards);
    t->max_ms = HEAD_NO_TIME;
    t->min_ms = INT64_MAX;
    return t;
}

struct head_tenant *head_tenant_get(struct head *h, struct slice id)
{
    void **slot;

    lock_take(&h->lock);
    slot = map_slot(&h->tenants, id);
    if (!*slot)
        *slot = tenant_new(h, id);
    lock_release(&h->lock);
    return *slot;
}

struct head_tenant *head_tenant_find(struct head *h, struct slice id)
{
    struct head_tenant *t;

    lock_take(&h->lock);
    t = map_get(&h->tenants, id);
    lock_release(&h->lock);
    return t;
}

struct head_tenant **head_tenant_list(struct head *h, size_t *ret_n)
{
    struct head_tenant **list;
    size_t n = 0;

    lock_take(&h->lock);
    list = mem_new_array(struct head_tenant *, h->tenants.len + 1);
    MAP_FOREACH (en, &h->tenants)
        list[n++] = en->value;
    lock_release(&h->lock);
    *ret_n = n;
    return list;
}

void head_tenant_stats_get(struct head *h, struct slice tenant, struct head_tenant_stats *ret)
{
    struct head_tenant *t = head_tenant_find(h, tenant);

    *ret = (struct head_tenant_stats){.min_ms = INT64_MAX, .max_ms = INT64_MIN};
    if (!t)
        return;
    ret->series = atomic_load_explicit(&t->series, memory_order_relaxed);
    ret->samples_appended = atomic_load_explicit(&t->samples, memory_order_relaxed);
    ret->rate_milli = atomic_load_explicit(&t->rate_milli, memory_order_relaxed);
    ret->max_ms = atomic_load_explicit(&t->max_ms, memory_order_relaxed);
    ret->min_ms = atomic_load_explicit(&t->min_ms, memory_order_relaxed);
}

uint64_t head_series_count(const struct head *h)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < h->n_shards; i++)
        n += (uint64_t)__atomic_load_n(&h->shards[i].m.series, __ATOMIC_RELAXED);
    return n;
}

/* ---- opening ---- */

/* The shard of a series is in its refs, so the number stays with the directory. */
static struct err *read_meta(struct head *h)
{
    char *path = mem_printf("%s/head/meta", h->dir);
    struct buf b = {0};
    struct err *e = NULL;
    uint64_t n = 0;
    struct slice text, line;

    h->n_shards = mailbox_count(h->opts.shards, HEAD_MAX_SHARDS);
    if (!fsx_exists(path)) {
        buf_printf(&b, "orrery-head 1\nshards %u\n", h->n_shards);
        e = fsx_write_atomic(path, buf_slice(&b));
    } else if (!(e = fsx_read(path, 4096, &b))) {
        text = buf_slice(&b);
        if (!slice_split(&text, '\n', &line) || !slice_eq_cstr(line, "orrery-head 1") ||
            !slice_split(&text, '\n', &line) || !slice_has_prefix(line, SLICE("shards ")) ||
            !slice_to_u64(slice_from(line, 7), &n) || !n || n > HEAD_MAX_SHARDS || (n & (n - 1)))
            e = err_new(ERR_CORRUPT, "%s: not a head of version 1", path);
        else if (n != h->n_shards)
            LOG_INFO(head, "keeping the directory's number of shards", KV_U64("count", n));
        if (!e)
            h->n_shards = (uint32_t)n;
    }
    buf_done(&b);
    mem_free(path);
    return e;
}

static void fill_defaults(struct head_opts *o)
{
    if (!o->replay_queue_bytes)
        o->replay_queue_bytes = 256ll << 20;
    if (!o->push_queue_bytes)
        o->push_queue_bytes = 256ll << 20;
    if (!o->checkpoint_wal_bytes)
        o->checkpoint_wal_bytes = 256ll << 20;
    if (!o->grace_ms)
        o->grace_ms = 15 * 60 * 1000;
    if (!o->max_ooo_ms)
        o->max_ooo_ms = 24ll * 3600 * 1000;
    if (!o->regex_cache_bytes)
        o->regex_cache_bytes = 64ll << 20;
    if (!o->memory_chunk_bytes)
        o->memory_chunk_bytes = 256ll << 20;
    if (!o->exemplars_per_tenant)
        o->exemplars_per_tenant = 100000;
    if (!o->clock)
        o->clock = &clock_system;
}

static void stop_shards(struct head *h)
{
    for (uint32_t i = 0; h->shards && i < h->n_shards; i++)
        head_shard_stop(&h->shards[i]);
}

static void free_head(struct head *h)
{
    stop_shards(h);
    for (uint32_t i = 0; h->shards && i < h->n_shards; i++)
        head_shard_free(&h->shards[i]);
    MAP_FOREACH (en, &h->tenants) {
        struct head_tenant *t = en->value;

        vec_done(&t->windows);
        mem_free(t->id);
        mem_free(t->ts);
        mem_free(t);
    }
    map_done(&h->tenants);
    head_registry_close(h);
    err_free(h->replay_error);
    mem_free(h->replay);
    lock_done(&h->lock);
    (void)pthread_cond_destroy(&h->changed);
    (void)pthread_mutex_destroy(&h->cut_mutex);
    mem_free(h->shards);
    mem_free(h->dir);
    mem_free(h);
}

static struct err *start_shards(struct head *h)
{
    struct err *e = NULL;

    h->shards = mem_aligned(64, h->n_shards * sizeof(*h->shards));
    memset(h->shards, 0, h->n_shards * sizeof(*h->shards));
    for (uint32_t i = 0; i < h->n_shards && !e; i++) {
        struct head_shard *sh = &h->shards[i];
        char *dir;

        sh->head = h;
        sh->index = i;
        dir = head_shard_dir(sh);
        if (!(e = head_chunks_init(&sh->chunks, dir)))
            e = head_shard_start(sh);
        mem_free(dir);
    }
    return e;
}

struct err *head_open(const struct head_opts *opts, struct head **ret)
{
    struct head *h = mem_new(struct head);
    char *path;
    struct err *e;

    h->opts = *opts;
    fill_defaults(&h->opts);
    h->dir = mem_strdup(opts->dir);
    h->state = HEAD_REPLAYING;
    lock_init(&h->lock, LOCK_HEAD_TENANTS);
    (void)pthread_cond_init(&h->changed, NULL);
    (void)pthread_mutex_init(&h->cut_mutex, NULL);
    path = mem_printf("%s/head", h->dir);
    if ((e = fsx_mkdirs(path)) || (e = read_meta(h)) || (e = head_registry_open(h)) ||
        (e = start_shards(h)) || (e = head_replay_start(h))) {
        mem_free(path);
        free_head(h);
        return err_wrap(e, "metrics head %s", opts->dir);
    }
    mem_free(path);
    metric_register(&h->m, head_fields, ORR_COUNT(head_fields), NULL);
    *ret = h;
    return NULL;
}

bool head_is_ready(const struct head *h)
{
    return atomic_load_explicit(&h->is_ready, memory_order_acquire);
}

struct err *head_wait_ready(struct head *h)
{
    struct err *e;

    lock_take(&h->lock);
    while (h->state == HEAD_REPLAYING)
        lock_wait(&h->lock, &h->changed);
    e = err_copy(h->replay_error);
    lock_release(&h->lock);
    return e;
}

void head_replay_stats_get(const struct head *h, struct head_replay_stats *ret)
{
    struct head *m = (struct head *)h;

    lock_take(&m->lock);
    *ret = h->replay_stats;
    lock_release(&m->lock);
}

static void wait_idle(struct head *h)
{
    while (atomic_load(&h->inflight))
        (void)usleep(200);
}

static bool run_nothing(struct head_shard *sh, void *arg)
{
    (void)sh;
    (void)arg;
    return false;
}

/* No push comes in any more, and those under way are through. */
static bool quiesce(struct head *h)
{
    void *none[HEAD_MAX_SHARDS] = {0};
    bool was_ready;

    head_replay_join(h);
    lock_take(&h->lock);
    was_ready = h->state == HEAD_READY;
    h->state = HEAD_CLOSING;
    atomic_store(&h->is_ready, false);
    lock_release(&h->lock);
    wait_idle(h);
    /* batches of the replay's queue may still be in the mailboxes, and log what they apply */
    head_call_all(h, run_nothing, none);
    wait_idle(h);
    return was_ready;
}

struct err *head_close(struct head *h)
{
    struct err *e = NULL;

    if (!h)
        return NULL;
    if (quiesce(h)) {
        (void)pthread_mutex_lock(&h->cut_mutex);
        e = head_checkpoint_locked(h);
        (void)pthread_mutex_unlock(&h->cut_mutex);
    }
    metric_unregister(&h->m);
    free_head(h);
    return err_wrap(e, "close the metrics head");
}

void head_abandon(struct head *h)
{
    if (!h)
        return;
    (void)quiesce(h);
    metric_unregister(&h->m);
    free_head(h);
}
