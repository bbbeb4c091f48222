/*
 * From the disk back to a working head: frames, then the records of the log that are in none.
 *
 * Pushes go on meanwhile, as ever: what came before comes into memory behind it, and a frame that
 * is sealed before the end says both up to where old records are in it and which new ones.
 */
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/thread.h"
#include "ingester/logs/loghead_internal.h"

#define BATCH_BYTES (8u << 20) /* records read, then applied by all shards at once */

struct record {
    struct logtenant *tenant;
    uint64_t seq;
    size_t at, len; /* in bytes */
};
struct reading {
    struct loghead *h;
    struct {
        VEC(struct record) records;
        struct buf bytes;
    } of[LOGHEAD_MAX_SHARDS];
    size_t bytes;
};

static bool is_covered(const struct logtable *tb, uint64_t seq)
{
    if (seq <= tb->through)
        return true;
    VEC_FOREACH (l, &tb->live)
        if (seq >= l->from && seq <= l->to)
            return true;
    return false;
}

static uint32_t ref_of(struct logshard *sh, struct logtable *tb, const struct logrecord_stream *s)
{
    uint32_t ref = logtable_find(tb, s->fp);

    if (ref != LOGHEAD_NO_REF)
        return ref;
    if (!s->labels.len) {
        sh->replay.unknown++;
        return LOGHEAD_NO_REF;
    }
    if (!logtable_labels_fit(s->labels, s->fp)) {
        sh->replay.broken++;
        return LOGHEAD_NO_REF;
    }
    return logtable_add(tb, s->fp, s->labels);
}

static void apply(struct logshard *sh, const struct record *rec, struct slice payload)
{
    struct logtable *tb = loghead_table_get(sh, rec->tenant);
    struct logrecord_stream s;
    struct reader r;
    uint32_t shard, ref;

    if (is_covered(tb, rec->seq)) {
        sh->replay.skipped++;
        return;
    }
    if (!logrecord_open(payload, &shard, &r)) {
        sh->replay.broken++;
        return;
    }
    sh->replay.records++;
    while (logrecord_next_stream(&r, &s)) {
        if (!logrecord_entries_valid(&s)) {
            sh->replay.broken++;
            continue;
        }
        if ((ref = ref_of(sh, tb, &s)) == LOGHEAD_NO_REF)
            continue;
        logtable_append(tb, ref, &s, rec->seq);
        logtable_touch(tb, ref);
        sh->replay.entries += s.n;
    }
    if (!reader_ok(&r))
        sh->replay.broken++;
    tb->replayed_seq = rec->seq;
    if (logtable_is_due(tb, 0))
        logtable_close_open(tb);
}

/* Some records a turn, so that pushes get in between. */
struct applying {
    struct reading *rd;
    size_t at;
};

static bool run_apply(struct logshard *sh, void *arg)
{
    struct applying *a = arg;
    size_t n = a->rd->of[sh->index].records.len, bytes = 0;

    for (; a->at < n && bytes < 256u << 10; a->at++) {
        const struct record *rec = &a->rd->of[sh->index].records.ptr[a->at];

        apply(sh, rec, slice_of(a->rd->of[sh->index].bytes.ptr + rec->at, rec->len));
        bytes += rec->len;
    }
    return a->at < n;
}

static void apply_all(struct reading *rd)
{
    struct applying a[LOGHEAD_MAX_SHARDS];

    for (uint32_t i = 0; i < rd->h->n_shards; i++)
        a[i] = (struct applying){.rd = rd};
    logshard_call_all(rd->h, run_apply, a, sizeof(*a));
    for (uint32_t i = 0; i < rd->h->n_shards; i++) {
        vec_clear(&rd->of[i].records);
        buf_reset(&rd->of[i].bytes);
    }
    rd->bytes = 0;
}

/* Half the budget is for pushes: sealing goes on, and the log waits on the disk. */
static void wait_for_room(struct loghead *h)
{
    while (atomic_load(&h->open_bytes) > h->opts.open_bytes / 2 && !atomic_load(&h->is_closing)) {
        struct err *e = loghead_maintain(h);

        if (e)
            LOG_WARN(head, "log lines cannot be sealed", KV_ERR(e));
        err_free(e);
        (void)usleep(20000);
    }
}

static struct err *on_record(void *arg, const struct wal_record *rec)
{
    struct reading *rd = arg;
    struct reader r;
    uint32_t shard;

    if (atomic_load(&rd->h->is_closing))
        return err_new(ERR_CANCELED, "closing");
    if (rec->type != LOGRECORD_TYPE || !logrecord_open(rec->payload, &shard, &r) ||
        shard >= rd->h->n_shards) {
        LOG_WARN(head, "record of log lines skipped", KV_U64("offset", rec->seq));
        lock_take(&rd->h->lock);
        rd->h->replay_stats.broken++;
        lock_release(&rd->h->lock);
        return NULL;
    }
    vec_push(&rd->of[shard].records,
             ((struct record){loghead_tenant_get(rd->h, rec->tenant), rec->seq,
                              rd->of[shard].bytes.len, rec->payload.len}));
    buf_slice_append(&rd->of[shard].bytes, rec->payload);
    rd->bytes += rec->payload.len;
    if (rd->bytes >= BATCH_BYTES) {
        apply_all(rd);
        wait_for_room(rd->h);
    }
    return NULL;
}

/* ---- frames ---- */

static bool run_load(struct logshard *sh, void *arg)
{
    *(struct err **)arg = logfile_load(sh);
    return false;
}

static bool run_max_seq(struct logshard *sh, void *arg)
{
    uint64_t *max = arg;

    VEC_FOREACH (tb, &sh->tables) {
        *max = ORR_MAX(*max, (*tb)->through);
        VEC_FOREACH (l, &(*tb)->live)
            *max = ORR_MAX(*max, l->to);
    }
    return false;
}

static bool run_forget_covered(struct logshard *sh, void *arg)
{
    (void)arg;
    VEC_FOREACH (f, &sh->files)
        (*f)->needed_seq = 0;
    VEC_FOREACH (tb, &sh->tables) {
        (*tb)->through = 0;
        vec_clear(&(*tb)->live);
    }
    return false;
}

/* The log was taken away: its numbers begin anew, and mean other records than frames say. */
static struct err *begin_epoch(struct loghead *h)
{
    LOG_WARN(head, "the log is older than the frames of log lines: it must have been removed");
    logshard_call_all(h, run_forget_covered, NULL, 0);
    h->epoch++;
    return loghead_write_meta(h);
}

static struct err *load(struct loghead *h)
{
    struct err *errs[LOGHEAD_MAX_SHARDS] = {0}, *e = NULL;
    uint64_t max[LOGHEAD_MAX_SHARDS] = {0}, most = 0;

    logshard_call_all(h, run_load, errs, sizeof(*errs));
    for (uint32_t i = 0; i < h->n_shards; i++)
        e = err_first(e, errs[i]);
    if (e)
        return e;
    logshard_call_all(h, run_max_seq, max, sizeof(*max));
    for (uint32_t i = 0; i < h->n_shards; i++)
        most = ORR_MAX(most, max[i]);
    if (most >= h->live_from && (e = begin_epoch(h)))
        return e;
    atomic_store(&h->is_loaded, true);
    return NULL;
}

/* ---- the thread ---- */

static void sum_stats(struct loghead *h, int64_t ms, const struct wal_replay_stats *wal)
{
    struct loghead_replay_stats *s = &h->replay_stats;

    lock_take(&h->lock);
    for (uint32_t i = 0; i < h->n_shards; i++) {
        const struct loghead_replay_stats *x = &h->shards[i].replay;

        s->frames += x->frames;
        s->dropped_frames += x->dropped_frames;
        s->torn_frames += x->torn_frames;
        s->streams += (uint64_t)METRIC_GET(h->shards[i].m.streams);
        s->records += x->records;
        s->entries += x->entries;
        s->skipped += x->skipped;
        s->unknown += x->unknown;
        s->broken += x->broken;
    }
    s->replay_ms = ms;
    s->wal = *wal;
    lock_release(&h->lock);
}

static void done(struct reading *rd)
{
    for (uint32_t i = 0; i < rd->h->n_shards; i++) {
        vec_done(&rd->of[i].records);
        buf_done(&rd->of[i].bytes);
    }
    mem_free(rd);
}

static void *replay(void *arg)
{
    struct loghead *h = arg;
    struct reading *rd = mem_new(struct reading);
    int64_t began = clock_mono_ns(&clock_system), ns;
    struct wal_replay_stats wal = {0};
    struct err *e;

    rd->h = h;
    if (!(e = load(h)) && !(e = wal_replay(h->opts.wal, 1, on_record, rd, &wal)))
        apply_all(rd);
    done(rd);
    ns = clock_mono_ns(&clock_system) - began;
    sum_stats(h, ns / 1000000, &wal);
    metric_hist_observe(&h->m.replay_s, (double)ns / 1e9);
    if (e && !atomic_load(&h->is_closing))
        LOG_ERROR(head, "log lines cannot be read back", KV_ERR(e));
    lock_take(&h->lock);
    h->state = e ? LOGHEAD_FAILED : LOGHEAD_READY;
    h->replay_error = e;
    atomic_store(&h->is_ready, e == NULL);
    METRIC_SET(h->m.is_ready, e == NULL);
    (void)pthread_cond_broadcast(&h->changed);
    lock_release(&h->lock);
    return NULL;
}

struct err *loghead_replay_start(struct loghead *h)
{
    struct err *e = thread_start("loghead-replay", replay, h, &h->replay_thread);

    h->has_replay_thread = !e;
    return e;
}

void loghead_replay_join(struct loghead *h)
{
    if (h->has_replay_thread)
        (void)pthread_join(h->replay_thread, NULL);
    h->has_replay_thread = false;
}
