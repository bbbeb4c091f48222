/*
 * From the disk back to a working head, and what happens to pushes meanwhile.
 *
 * The replay thread lets each shard load its checkpoint, then reads the log once and hands each
 * record to its shard, which applies it: parallel by shard, with a bound on what waits between.
 * A push during that is logged as it is (HEAD_LOG_RAW) and queued; when the log is through, the
 * queue is posted to the shards in order and the head is ready. A shard that applied a raw batch
 * writes an ordinary record that says so, so a second crash neither loses nor repeats it.
 */
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/thread.h"
#include "ingester/metrics/head_log.h"

#define AHEAD_BYTES (64ll << 20) /* records read and not applied yet */

struct head_raw {
    _Atomic uint32_t refs;
    struct head *head;
    struct head_tenant *tenant;
    uint64_t seq;
    uint8_t *payload; /* owned; batch points into it */
    size_t len;
    struct head_limits limits;
    struct batch batch;
    bool is_counted; /* in the queue's bytes */
};

struct head_replay {
    pthread_t thread;
    VEC(struct head_raw *) queue;
    int64_t queue_bytes;
    _Atomic int64_t ahead_bytes;
    _Atomic bool is_stopping;
};

static void raw_unref(struct head_raw *raw)
{
    if (atomic_fetch_sub_explicit(&raw->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (raw->is_counted)
        METRIC_ADD(raw->head->m.replay_queue_bytes, -(int64_t)raw->len);
    mem_free(raw->payload);
    mem_free(raw);
}

/* Takes payload. */
static struct err *raw_new(struct head *h, struct head_tenant *t, uint64_t seq, uint8_t *payload,
                           size_t len, uint32_t refs, struct head_raw **ret)
{
    struct head_raw *raw = mem_new(struct head_raw);
    struct err *e;

    *raw = (struct head_raw){
        .refs = refs, .head = h, .tenant = t, .seq = seq, .payload = payload, .len = len};
    if ((e = head_log_raw_open(slice_of(payload, len), &raw->limits, &raw->batch))) {
        mem_free(payload);
        mem_free(raw);
        return e;
    }
    *ret = raw;
    return NULL;
}

/* ---- applying on a shard ---- */

static void raw_logged(void *arg, struct err *e)
{
    struct head_shard *sh = arg;

    if (e)
        atomic_store(&sh->wal_failed, true); /* the raw record still holds the samples */
    err_free(e);
    (void)atomic_fetch_sub_explicit(&sh->head->inflight, 1, memory_order_release);
}

/* Drops the series without labels: they were answered with `unknown`. */
static uint32_t keep_labelled(const struct batch *b, uint32_t *idx, uint32_t n)
{
    struct batch_entry en;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n; i++)
        if (batch_entry_get(b, idx[i], &en) && en.labels.ptr)
            idx[kept++] = idx[i];
    return kept;
}

static void apply_raw(struct head_shard *sh, const struct head_raw *raw)
{
    struct head *h = sh->head;
    struct batch_reply reply = {0};
    uint32_t *idx, n;
    /* It is acknowledged: no limit that was not checked then may drop it now. */
    struct head_limits limits = {.ooo_window_ms = INT64_MAX,
                                 .min_t_ms = raw->limits.min_t_ms,
                                 .max_t_ms = raw->limits.max_t_ms};
    struct head_apply a = {.ts = head_ts_get(sh, raw->tenant),
                           .batch = &raw->batch,
                           .limits = &limits,
                           .reply = &reply};
    struct err *e;
    uint64_t seq;

    if (atomic_exchange(&sh->wal_failed, false))
        head_forget_logged(sh);
    n = head_split_one(h, sh->index, &raw->batch, &idx);
    a.n = keep_labelled(&raw->batch, idx, n);
    a.idx = idx;
    head_log_reset(&sh->log);
    sh->log.raw_through = raw->seq;
    head_apply(sh, &a);
    (void)atomic_fetch_add(&h->inflight, 1);
    e = wal_append(h->opts.wal, HEAD_LOG_SHARD, raw->tenant->slice,
                   head_log_finish(&sh->log, sh->index), raw_logged, sh, &seq);
    if (e) {
        (void)atomic_fetch_sub(&h->inflight, 1);
        head_forget_logged(sh);
        err_free(e);
    } else {
        sh->last_seq = seq;
    }
    mem_free(idx);
    batch_reply_done(&reply);
}

struct raw_msg {
    struct head_msg msg;
    struct head_raw *raw;
};

static bool run_raw(struct head_shard *sh, void *arg)
{
    struct raw_msg *m = arg;

    apply_raw(sh, m->raw);
    raw_unref(m->raw);
    mem_free(m);
    return false;
}

static void post_raw(struct head_shard *sh, struct head_raw *raw)
{
    struct raw_msg *m = mem_new(struct raw_msg);

    m->raw = raw;
    m->msg = (struct head_msg){.fn = run_raw, .arg = m};
    head_post(sh, &m->msg);
}

/* ---- one record of the log, on its shard ---- */

struct visit_state {
    struct head_shard *sh;
    struct head_ts *ts;
    uint64_t seq;
};

static bool is_wanted(struct visit_state *v, uint32_t ref)
{
    if (!head_ref_is_used(v->ts, ref)) {
        v->sh->replay.unknown_refs++;
        return false;
    }
    return v->seq >= v->ts->slabs.ptr[ref / HEAD_SLAB]->from_seq;
}

static void visit_series(void *arg, uint32_t ref, struct hash128 fp, struct slice canonical)
{
    struct visit_state *v = arg;

    if (ref / HEAD_SLAB < v->ts->slabs.len && v->seq < v->ts->slabs.ptr[ref / HEAD_SLAB]->from_seq)
        return; /* the checkpoint knows better */
    if (!batch_labels_valid(canonical) || !head_table_add_at(v->ts, ref, fp, canonical))
        v->sh->replay.broken_records++;
}

static void visit_prefetch(void *arg, uint32_t ref, bool is_near)
{
    struct visit_state *v = arg;
    const struct head_live *s;

    if (!head_ref_is_used(v->ts, ref))
        return;
    s = head_series_at(v->ts, ref);
    if (!is_near) {
        __builtin_prefetch(s, 1);
    } else {
        __builtin_prefetch(s->open.bytes, 1);
        __builtin_prefetch((const void *)((uintptr_t)s->open.bytes + s->app.bits / 8), 1);
    }
}

static void visit_sample(void *arg, uint32_t ref, int64_t t_ms, double value)
{
    struct visit_state *v = arg;
    enum batch_reason reason;

    if (!is_wanted(v, ref))
        return;
    if (head_series_append(v->ts, ref, t_ms, value, INT64_MAX, &reason) == HEAD_APPENDED &&
        ORR_UNLIKELY(!head_window_is_last(v->ts, t_ms)))
        head_window_note(v->ts, t_ms);
    v->sh->replay.samples++;
}

static void visit_histogram(void *arg, uint32_t ref, int64_t t_ms, struct slice encoded)
{
    struct visit_state *v = arg;
    enum batch_reason reason;

    if (!is_wanted(v, ref))
        return;
    if (head_series_append_hist(v->ts, ref, t_ms, encoded, INT64_MAX, &reason) == HEAD_APPENDED &&
        ORR_UNLIKELY(!head_window_is_last(v->ts, t_ms)))
        head_window_note(v->ts, t_ms);
    v->sh->replay.samples++;
}

static void visit_exemplar(void *arg, uint32_t ref, const struct batch_exemplar *ex)
{
    struct visit_state *v = arg;

    if (v->seq >= v->ts->ring_from_seq && head_ref_is_used(v->ts, ref))
        (void)head_ring_add(v->ts, ref, ex->t_ms, ex->v, ex->labels);
}

static void visit_metadata(void *arg, const struct batch_meta *m)
{
    struct visit_state *v = arg;

    if (v->seq >= v->ts->meta_from_seq)
        (void)head_meta_put(v->ts, m);
}

static void visit_start(void *arg, uint32_t ref, int64_t t_ms, int64_t st_ms)
{
    struct visit_state *v = arg;
    struct err *e;

    if (!is_wanted(v, ref))
        return;
    head_starts_begin(v->ts, ref);
    if ((e = head_starts_set(v->ts, ref, t_ms, st_ms))) {
        LOG_ERROR(head, "cannot close start timestamps", KV_ERR(e));
        err_free(e);
    }
}

static void visit_raw_through(void *arg, uint64_t seq)
{
    struct visit_state *v = arg;
    size_t keep = 0;

    for (size_t i = 0; i < v->sh->raws.len; i++) {
        struct head_raw *raw = v->sh->raws.ptr[i];

        if (raw->seq <= seq && raw->tenant == v->ts->tenant)
            raw_unref(raw);
        else
            v->sh->raws.ptr[keep++] = raw;
    }
    v->sh->raws.len = keep;
}

static const struct head_log_visitor visitor = {
    .series = visit_series,
    .prefetch = visit_prefetch,
    .sample = visit_sample,
    .histogram = visit_histogram,
    .exemplar = visit_exemplar,
    .metadata = visit_metadata,
    .start = visit_start,
    .raw_through = visit_raw_through,
};

struct record_msg {
    struct head_msg msg;
    struct head_tenant *tenant;
    struct head_raw *raw; /* or a shard record: */
    uint64_t seq;
    size_t len;
    uint8_t payload[];
};

static bool run_record(struct head_shard *sh, void *arg)
{
    struct record_msg *m = arg;
    struct visit_state v = {.sh = sh, .seq = m->seq};
    struct err *e;

    if (m->raw) {
        if (m->seq >= sh->from_seq)
            vec_push(&sh->raws, m->raw);
        else
            raw_unref(m->raw);
    } else if (m->seq >= sh->from_seq) {
        v.ts = head_ts_get(sh, m->tenant);
        sh->replay.records++;
        if ((e = head_log_visit(slice_of(m->payload, m->len), &visitor, &v))) {
            LOG_WARN(head, "log record skipped", KV_U64("offset", m->seq), KV_ERR(e));
            err_free(e);
            sh->replay.broken_records++;
        }
    }
    (void)atomic_fetch_sub(&sh->head->replay->ahead_bytes, (int64_t)m->len);
    mem_free(m);
    return false;
}

/* ---- the replay thread ---- */

static void post_record(struct head_shard *sh, struct head_tenant *t, struct head_raw *raw,
                        uint64_t seq, struct slice payload)
{
    struct record_msg *m = mem_alloc(sizeof(*m) + payload.len);

    *m = (struct record_msg){.tenant = t, .raw = raw, .seq = seq, .len = payload.len};
    memcpy(m->payload, payload.ptr, payload.len);
    m->msg = (struct head_msg){.fn = run_record, .arg = m};
    head_post(sh, &m->msg);
}

static void wait_for_room(struct head_replay *rp)
{
    while (atomic_load(&rp->ahead_bytes) > AHEAD_BYTES)
        (void)usleep(500);
}

static struct err *on_record(void *arg, const struct wal_record *rec)
{
    struct head *h = arg;
    struct head_replay *rp = h->replay;
    struct head_tenant *t;
    struct head_raw *raw;
    struct err *e;
    uint32_t shard;

    if (rec->type != HEAD_LOG_SHARD && rec->type != HEAD_LOG_RAW)
        return NULL; /* another signal's */
    if (atomic_load(&rp->is_stopping))
        return err_new(ERR_CANCELED, "closing");
    wait_for_room(rp);
    t = head_tenant_get(h, rec->tenant);
    if (rec->type == HEAD_LOG_SHARD) {
        if (!head_log_shard_of(rec->payload, &shard) || shard >= h->n_shards) {
            LOG_WARN(head, "log record of no shard skipped", KV_U64("offset", rec->seq));
            h->shards[0].replay.broken_records++;
            return NULL;
        }
        (void)atomic_fetch_add(&rp->ahead_bytes, (int64_t)rec->payload.len);
        post_record(&h->shards[shard], t, NULL, rec->seq, rec->payload);
        return NULL;
    }
    e = raw_new(h, t, rec->seq, (uint8_t *)mem_dup(rec->payload.ptr, rec->payload.len),
                rec->payload.len, h->n_shards, &raw);
    if (e) {
        LOG_WARN(head, "logged batch skipped", KV_U64("offset", rec->seq), KV_ERR(e));
        err_free(e);
        h->shards[0].replay.broken_records++;
        return NULL;
    }
    for (uint32_t i = 0; i < h->n_shards; i++)
        post_record(&h->shards[i], t, raw, rec->seq, SLICE_EMPTY);
    return NULL;
}

static bool run_load(struct head_shard *sh, void *arg)
{
    struct err **ret = arg;

    *ret = head_checkpoint_load(sh);
    return false;
}

/* Raw batches of the log that no later record says were applied. */
static bool run_leftover_raws(struct head_shard *sh, void *arg)
{
    (void)arg;
    VEC_FOREACH (ts, &sh->tenants)
        head_note_range(*ts);
    VEC_FOREACH (raw, &sh->raws) {
        apply_raw(sh, *raw);
        raw_unref(*raw);
    }
    vec_done(&sh->raws);
    return false;
}

static struct err *load_all(struct head *h)
{
    struct err *errs[HEAD_MAX_SHARDS] = {0}, *e = NULL;
    void *args[HEAD_MAX_SHARDS];

    for (uint32_t i = 0; i < h->n_shards; i++)
        args[i] = &errs[i];
    head_call_all(h, run_load, args);
    for (uint32_t i = 0; i < h->n_shards; i++)
        e = err_first(e, errs[i]);
    return e;
}

static void sum_stats(struct head *h, const struct wal_replay_stats *wal, int64_t load_ms,
                      int64_t all_ms)
{
    struct head_replay_stats s = {
        .wal = *wal, .checkpoint_ms = load_ms, .replay_ms = all_ms - load_ms};

    for (uint32_t i = 0; i < h->n_shards; i++) {
        s.series += h->shards[i].replay.series;
        s.samples += h->shards[i].replay.samples;
        s.records += h->shards[i].replay.records;
        s.unknown_refs += h->shards[i].replay.unknown_refs;
        s.broken_records += h->shards[i].replay.broken_records;
    }
    h->m.replayed_samples = s.samples;
    atomic_store(&h->logged_bytes, wal->bytes); /* a checkpoint may be due soon */
    lock_take(&h->lock);
    h->replay_stats = s;
    lock_release(&h->lock);
    metric_hist_observe(&h->m.replay_s, (double)all_ms / 1e3);
    LOG_INFO(head, "read back", KV_U64("series", head_series_count(h)),
             KV_U64("samples", s.samples), KV_U64("records", s.records),
             KV_U64("skipped", s.broken_records + s.unknown_refs), KV_I64("duration_ms", all_ms));
}

static void become(struct head *h, enum head_state state, struct err *e)
{
    struct head_replay *rp = h->replay;

    lock_take(&h->lock);
    VEC_FOREACH (raw, &rp->queue) {
        if (e) {
            (*raw)->refs = 1;
            raw_unref(*raw);
            continue;
        }
        for (uint32_t i = 0; i < h->n_shards; i++)
            post_raw(&h->shards[i], *raw);
    }
    vec_done(&rp->queue);
    h->state = state;
    h->replay_error = e;
    atomic_store(&h->is_ready, state == HEAD_READY);
    METRIC_SET(h->m.is_ready, state == HEAD_READY);
    (void)pthread_cond_broadcast(&h->changed);
    lock_release(&h->lock);
}

static bool run_nothing(struct head_shard *sh, void *arg)
{
    (void)sh;
    (void)arg;
    return false;
}

static void *run_replay(void *arg)
{
    struct head *h = arg;
    struct wal_replay_stats stats = {0};
    void *none[HEAD_MAX_SHARDS] = {0};
    int64_t start = clock_mono_ms(&clock_system), loaded;
    uint64_t from = UINT64_MAX;
    struct err *e = load_all(h);

    loaded = clock_mono_ms(&clock_system);
    for (uint32_t i = 0; i < h->n_shards; i++)
        from = ORR_MIN(from, h->shards[i].from_seq);
    if (!e)
        e = wal_replay(h->opts.wal, from, on_record, h, &stats);
    head_call_all(h, run_nothing, none); /* all records are applied */
    if (!e)
        head_call_all(h, run_leftover_raws, none);
    sum_stats(h, &stats, loaded - start, clock_mono_ms(&clock_system) - start);
    if (e && !err_is(e, ERR_CANCELED))
        LOG_ERROR(head, "could not be read back", KV_ERR(e));
    become(h, e ? HEAD_FAILED : HEAD_READY, e);
    return NULL;
}

struct err *head_replay_start(struct head *h)
{
    h->replay = mem_new(struct head_replay);
    return thread_start("head-replay", run_replay, h, &h->replay->thread);
}

void head_replay_join(struct head *h)
{
    if (!h->replay)
        return;
    atomic_store(&h->replay->is_stopping, true);
    (void)pthread_join(h->replay->thread, NULL);
}

/* ---- pushes meanwhile ---- */

struct raw_wait {
    struct head *head;
    head_push_fn *done;
    void *arg;
    struct batch_reply reply;
};

static void finish_wait(struct raw_wait *w, struct err *e)
{
    struct head *h = w->head;

    w->done(w->arg, e, &w->reply);
    batch_reply_done(&w->reply);
    mem_free(w);
    (void)atomic_fetch_sub_explicit(&h->inflight, 1, memory_order_release);
}

static void raw_durable(void *arg, struct err *e)
{
    finish_wait(arg, e);
}

static void preview_sample(uint32_t i, int64_t t_ms, const struct head_limits *l,
                           struct batch_reply *reply)
{
    if (l->min_t_ms && t_ms < l->min_t_ms)
        batch_reject(reply, BATCH_TOO_OLD, i, t_ms);
    else if (l->max_t_ms && t_ms > l->max_t_ms)
        batch_reject(reply, BATCH_TOO_FAR, i, t_ms);
    else
        reply->accepted++;
}

static void preview_entry(const struct batch_entry *en, uint32_t i, const struct head_limits *l,
                          struct batch_reply *reply)
{
    struct reader r = reader_new(en->histograms);
    struct slice encoded;
    int64_t t_ms;

    if (en->has_inline)
        preview_sample(i, en->inline_sample.t_ms, l, reply);
    for (uint32_t k = 0; k < en->n_samples; k++)
        preview_sample(i, batch_entry_sample(en, k).t_ms, l, reply);
    while (batch_next_histogram(&r, &t_ms, &encoded))
        preview_sample(i, t_ms, l, reply);
}

/* What can be said without knowing the series. Returns whether there is something to log. */
static bool preview(const struct batch *b, const struct head_limits *limits,
                    struct batch_reply *reply)
{
    struct batch_entry en;
    bool any = b->n_meta != 0;

    for (uint32_t i = 0; i < b->n; i++) {
        if (!batch_entry_get(b, i, &en))
            continue;
        if (!en.labels.ptr) {
            vec_push(&reply->unknown, i);
        } else if (!batch_labels_valid(en.labels) ||
                   !hash128_eq(labels_fingerprint_of_canonical(en.labels), en.fp)) {
            (void)batch_reject_entry(reply, BATCH_BAD_LABELS, i, &en);
        } else {
            preview_entry(&en, i, limits, reply);
            any = true;
        }
    }
    return any;
}

/* With h->lock held: the order in the queue is the order in the log. */
static struct err *log_raw(struct head *h, struct head_tenant *t, struct slice bytes,
                           const struct head_limits *limits, struct raw_wait *w)
{
    struct head_replay *rp = h->replay;
    struct buf payload = {0};
    struct head_raw *raw;
    struct err *e;
    uint8_t *p;
    size_t len;

    if (h->m.replay_queue_bytes + (int64_t)bytes.len > h->opts.replay_queue_bytes)
        return err_new(ERR_UNAVAILABLE, "still reading back, and %lld bytes are waiting",
                       (long long)h->opts.replay_queue_bytes);
    head_log_raw_header(&payload, limits);
    buf_slice_append(&payload, bytes);
    p = buf_take(&payload, &len);
    if ((e = raw_new(h, t, 0, p, len, h->n_shards, &raw)))
        return e;
    e = wal_append(h->opts.wal, HEAD_LOG_RAW, t->slice, slice_of(p, len), raw_durable, w,
                   &raw->seq);
    if (e) {
        raw->refs = 1;
        raw_unref(raw);
        return e;
    }
    raw->is_counted = true;
    METRIC_ADD(h->m.replay_queue_bytes, (int64_t)len);
    vec_push(&rp->queue, raw);
    return NULL;
}

struct err *head_replay_push(struct head *h, struct head_tenant *t, struct slice bytes,
                             const struct batch *b, const struct head_limits *limits,
                             head_push_fn *done, void *arg, bool *ret_is_ready)
{
    struct raw_wait *w = mem_new(struct raw_wait);
    bool any;
    struct err *e = NULL;

    *w = (struct raw_wait){.head = h, .done = done, .arg = arg};
    any = preview(b, limits, &w->reply);
    lock_take(&h->lock);
    *ret_is_ready = h->state == HEAD_READY;
    if (h->state == HEAD_FAILED || h->state == HEAD_CLOSING)
        e = err_new(ERR_UNAVAILABLE, "the metrics head is closed or could not be read back");
    else if (!*ret_is_ready && any)
        e = log_raw(h, t, bytes, limits, w);
    lock_release(&h->lock);
    if (e || *ret_is_ready) {
        batch_reply_done(&w->reply);
        mem_free(w);
    } else if (!any) {
        finish_wait(w, NULL);
    }
    return e;
}
