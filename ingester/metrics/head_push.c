/* The way of a batch: split by shard, apply on each, one log record each, done when all are durable. */
#include "common/base/mem.h"
#include "common/wal/wal.h"
#include "ingester/metrics/head_log.h"

#define AHEAD 12u /* entries between two stages of fetching, see apply_entries() */
#define RING 64u  /* entries under way: more than 3 * AHEAD */

/* ---- on a shard ---- */

struct apply_state {
    struct head_shard *sh;
    const struct head_apply *a;
    struct head_log *log;
    int64_t min_t_ms, max_t_ms, ooo_window_ms;
    int64_t start_ms; /* of the samples of the entry under way; 0: not told */
    uint64_t accepted;
};

static void log_definition(struct apply_state *st, uint32_t ref, struct hash128 fp)
{
    struct head_ts *ts = st->a->ts;
    struct slice packed = head_index_packed(&ts->index, head_series_at(ts, ref)->labels);
    struct buf canonical = {0};

    head_index_canonical(&ts->index, packed, &canonical);
    head_log_series(st->log, ref, fp, buf_slice(&canonical));
    buf_done(&canonical);
    *head_flags_at(ts, ref) |= HEAD_LOGGED;
}

static void count_result(struct apply_state *st, uint32_t i, int64_t t_ms,
                         enum head_append_result result, enum batch_reason reason)
{
    switch (result) {
    case HEAD_APPENDED:
        st->accepted++;
        break;
    case HEAD_REPEATED:
        st->accepted++;
        st->sh->m.duplicates++;
        break;
    case HEAD_REJECTED:
        batch_reject(st->a->reply, reason, i, t_ms);
        st->sh->m.rejected[reason]++;
        break;
    case HEAD_FAILED_CHUNK:
        atomic_store(&st->sh->wal_failed, true); /* the push fails as if the log had */
        break;
    }
}

static bool reject(struct apply_state *st, uint32_t i, int64_t t_ms, enum batch_reason reason)
{
    count_result(st, i, t_ms, HEAD_REJECTED, reason);
    return false;
}

static inline bool check_bounds(struct apply_state *st, uint32_t i, int64_t t_ms)
{
    if (ORR_UNLIKELY(t_ms < st->min_t_ms || t_ms > st->max_t_ms))
        return reject(st, i, t_ms, t_ms < st->min_t_ms ? BATCH_TOO_OLD : BATCH_TOO_FAR);
    if (ORR_LIKELY(head_window_is_last(st->a->ts, t_ms)) ||
        head_window_fits(st->a->ts, t_ms, st->a->limits->max_windows))
        return true;
    return reject(st, i, t_ms, BATCH_WINDOWS_LIMIT);
}

/* Only what is stored opens a window: what is refused must not use up the limit. */
static inline void note_window(struct apply_state *st, int64_t t_ms)
{
    if (ORR_UNLIKELY(!head_window_is_last(st->a->ts, t_ms)))
        head_window_note(st->a->ts, t_ms);
}

/*
 * Of a series that is new to the log, or has start timestamps. What was there before is logged again,
 * like the sample, and is in memory already.
 */
static void note_rare(struct apply_state *st, uint32_t i, uint32_t ref, int64_t t_ms,
                      enum head_append_result result)
{
    struct head_ts *ts = st->a->ts;
    struct err *e;

    if (!(*head_flags_at(ts, ref) & HEAD_LOGGED))
        log_definition(st, ref, head_series_at(ts, ref)->fp);
    if (!(*head_flags_at(ts, ref) & HEAD_STARTS))
        return;
    if (result == HEAD_APPENDED || st->start_ms)
        head_log_start(st->log, ref, t_ms, st->start_ms);
    if (result != HEAD_APPENDED)
        return;
    st->sh->m.starts += st->start_ms != 0;
    if ((e = head_starts_set(ts, ref, t_ms, st->start_ms))) {
        LOG_ERROR(head, "cannot close start timestamps", KV_ERR(e));
        err_free(e);
        count_result(st, i, t_ms, HEAD_FAILED_CHUNK, BATCH_OUT_OF_ORDER);
    }
}

static inline bool is_rare(const struct apply_state *st, uint32_t ref)
{
    return (*head_flags_at(st->a->ts, ref) & (HEAD_LOGGED | HEAD_STARTS)) != HEAD_LOGGED;
}

static inline void apply_sample(struct apply_state *st, uint32_t i, uint32_t ref, int64_t t_ms,
                                double v)
{
    enum batch_reason reason = BATCH_OUT_OF_ORDER;
    enum head_append_result result;

    if (!check_bounds(st, i, t_ms))
        return;
    result = head_series_append(st->a->ts, ref, t_ms, v, st->ooo_window_ms, &reason);
    if (ORR_LIKELY(result == HEAD_APPENDED || result == HEAD_REPEATED)) {
        note_window(st, t_ms);
        if (ORR_UNLIKELY(is_rare(st, ref)))
            note_rare(st, i, ref, t_ms, result);
        head_log_sample(st->log, ref, t_ms, v);
    }
    if (ORR_LIKELY(result == HEAD_APPENDED))
        st->accepted++;
    else
        count_result(st, i, t_ms, result, reason);
}

static void apply_histogram(struct apply_state *st, uint32_t i, uint32_t ref, int64_t t_ms,
                            struct slice encoded)
{
    enum batch_reason reason = BATCH_OUT_OF_ORDER;
    enum head_append_result result;

    if (!check_bounds(st, i, t_ms))
        return;
    result = head_series_append_hist(st->a->ts, ref, t_ms, encoded, st->ooo_window_ms, &reason);
    if (result == HEAD_APPENDED || result == HEAD_REPEATED) {
        note_window(st, t_ms);
        if (ORR_UNLIKELY(is_rare(st, ref)))
            note_rare(st, i, ref, t_ms, result);
        head_log_histogram(st->log, ref, t_ms, encoded);
        st->sh->m.histograms++;
    }
    count_result(st, i, t_ms, result, reason);
}

static void apply_exemplars(struct apply_state *st, uint32_t i, uint32_t ref,
                            const struct batch_entry *en)
{
    struct reader r = reader_new(en->exemplars);
    struct batch_exemplar ex;

    while (batch_next_exemplar(&r, &ex)) {
        if (!head_ring_add(st->a->ts, ref, ex.t_ms, ex.v, ex.labels)) {
            count_result(st, i, ex.t_ms, HEAD_REJECTED, BATCH_EXEMPLAR);
            continue;
        }
        if (!(*head_flags_at(st->a->ts, ref) & HEAD_LOGGED))
            log_definition(st, ref, head_series_at(st->a->ts, ref)->fp);
        head_log_exemplar(st->log, ref, &ex);
        st->sh->m.exemplars++;
    }
}

/* Nothing of the entry can be stored. */
static void reject_entry(struct apply_state *st, uint32_t i, const struct batch_entry *en,
                         enum batch_reason reason)
{
    st->sh->m.rejected[reason] += batch_reject_entry(st->a->reply, reason, i, en);
}

/* Ref of the entry's series, made if the batch has its labels; HEAD_NO_REF when nothing of it can be
 * stored (which the reply says). */
static uint32_t resolve(struct apply_state *st, uint32_t i, const struct batch_entry *en)
{
    struct head_ts *ts = st->a->ts;
    uint32_t ref = head_table_find(ts, en->fp);

    if (ref != HEAD_NO_REF)
        return ref;
    if (!en->labels.ptr) {
        vec_push(&st->a->reply->unknown, i);
        st->sh->m.unknown++;
        return HEAD_NO_REF;
    }
    if (!batch_labels_valid(en->labels) ||
        !hash128_eq(labels_fingerprint_of_canonical(en->labels), en->fp)) {
        reject_entry(st, i, en, BATCH_BAD_LABELS);
        return HEAD_NO_REF;
    }
    if (st->a->limits->max_series &&
        atomic_load_explicit(&ts->tenant->series, memory_order_relaxed) >=
            st->a->limits->max_series) {
        reject_entry(st, i, en, BATCH_MAX_SERIES_LIMIT);
        return HEAD_NO_REF;
    }
    ref = head_table_add(ts, en->fp, en->labels);
    head_log_series(st->log, ref, en->fp, en->labels);
    *head_flags_at(ts, ref) |= HEAD_LOGGED;
    return ref;
}

/* ---- zeros where counters began ---- */

/* As Prometheus: a zero of the same shape, so that no chunk ends because of it. */
static void zero_histogram(struct apply_state *st, uint32_t ref, int64_t t_ms, struct slice encoded)
{
    struct arena *a = arena_new(0);
    struct buf b = {0};
    struct histogram h;
    struct err *e = batch_histogram_decode(a, encoded, &h);

    if (!e) {
        batch_histogram_encode(&b, &(struct histogram){.schema = h.schema,
                                                       .hint = HISTOGRAM_RESET,
                                                       .is_int = h.is_int,
                                                       .zero_threshold = h.zero_threshold,
                                                       .custom_bounds = h.custom_bounds,
                                                       .n_custom_bounds = h.n_custom_bounds});
        apply_histogram(st, 0, ref, t_ms, buf_slice(&b));
    }
    err_free(e);
    buf_done(&b);
    arena_free(a);
}

/* Where it has no place (something as new is there, the sample is not later, it is too old) nothing
 * is said: the door cannot know, and tells again. So what it counts is put back. */
static void apply_created(struct apply_state *st, uint32_t ref, const struct batch_entry *en)
{
    int64_t first = en->inline_sample.t_ms, t_ms = en->created_ms;
    int64_t ooo_window_ms = st->ooo_window_ms;
    uint64_t accepted = st->accepted;
    struct reader r = reader_new(en->histograms);
    struct slice encoded = SLICE_EMPTY;

    if (!en->has_inline && en->n_samples)
        first = batch_entry_sample(en, 0).t_ms;
    else if (!en->has_inline && !batch_next_histogram(&r, &first, &encoded))
        return;
    if (t_ms >= first || t_ms <= head_series_at(st->a->ts, ref)->app.t || t_ms < st->min_t_ms ||
        t_ms > st->max_t_ms || !head_window_fits(st->a->ts, t_ms, st->a->limits->max_windows))
        return;
    st->ooo_window_ms = 0;
    if (encoded.len)
        zero_histogram(st, ref, t_ms, encoded);
    else
        apply_sample(st, 0, ref, t_ms, 0);
    st->ooo_window_ms = ooo_window_ms;
    st->sh->m.created_zeros += st->accepted - accepted;
    st->accepted = accepted;
}

static void apply_entry(struct apply_state *st, uint32_t i)
{
    struct batch_entry en;
    struct reader r;
    struct slice encoded;
    int64_t t_ms;
    uint32_t ref;

    if (!batch_entry_get(st->a->batch, i, &en))
        return;
    ref = resolve(st, i, &en);
    if (ref == HEAD_NO_REF)
        return;
    if (en.created_ms)
        apply_created(st, ref, &en);
    if ((st->start_ms = en.start_ms))
        head_starts_begin(st->a->ts, ref);
    if (en.has_inline)
        apply_sample(st, i, ref, en.inline_sample.t_ms, en.inline_sample.v);
    for (uint32_t k = 0; k < en.n_samples; k++) {
        struct sample s = batch_entry_sample(&en, k);

        apply_sample(st, i, ref, s.t_ms, s.v);
    }
    r = reader_new(en.histograms);
    while (batch_next_histogram(&r, &t_ms, &encoded))
        apply_histogram(st, i, ref, t_ms, encoded);
    st->start_ms = 0;
    if (en.n_exemplars)
        apply_exemplars(st, i, ref, &en);
}

/* ref of a slot with the fingerprint's tag; the fingerprint itself is compared once the series is in
 * the cache. */
static inline uint32_t guess_ref(const struct head_ts *ts, struct hash128 fp)
{
    uint32_t tag = (uint32_t)fp.hi, mask = ts->table.cap - 1;

    for (uint32_t i = tag & mask; ts->table.cap && ts->table.ptr[i]; i = (i + 1) & mask)
        if (ts->table.ptr[i] >> 32 == tag)
            return (uint32_t)ts->table.ptr[i] - 1;
    return HEAD_NO_REF;
}

static inline void prefetch_slot(const struct head_ts *ts, struct hash128 fp)
{
    if (ORR_LIKELY(ts->table.cap))
        __builtin_prefetch(ts->table.ptr + ((uint32_t)fp.hi & (ts->table.cap - 1)));
}

static inline void prefetch_series(const struct head_ts *ts, uint32_t ref)
{
    __builtin_prefetch(head_series_at(ts, ref), 1);
    __builtin_prefetch(head_flags_at(ts, ref));
}

/* The appender writes the sample count at the start and the sample at the end. */
static inline void prefetch_chunk(const struct head_live *s)
{
    __builtin_prefetch(s->open.bytes, 1);
    __builtin_prefetch((const void *)((uintptr_t)s->open.bytes + s->app.bits / 8), 1);
}

static inline void apply_known(struct apply_state *st, uint32_t i, uint32_t ref)
{
    const struct batch *b = st->a->batch;
    const uint8_t *p = b->entries + (size_t)i * BATCH_ENTRY_BYTES;
    uint32_t extra;
    int32_t dt;
    double v;

    memcpy(&extra, p + 16, 4);
    if (ORR_UNLIKELY(extra || ref == HEAD_NO_REF)) {
        apply_entry(st, i);
        return;
    }
    memcpy(&dt, p + 20, 4);
    memcpy(&v, p + 24, 8);
    apply_sample(st, i, ref, (int64_t)((uint64_t)b->base_t_ms + (uint64_t)(int64_t)dt), v);
}

/*
 * The hash slot, the series and its open chunk are three cache misses, each found through the one
 * before. So four stages run over the batch, AHEAD entries apart: each asks for what the next one
 * needs, and by then it is there. (Entries only make series, never remove one: refs stay valid.)
 */
static void apply_entries(struct apply_state *st)
{
    const struct head_ts *ts = st->a->ts;
    const uint32_t *idx = st->a->idx;
    uint32_t n = st->a->n, refs[RING];
    struct hash128 fps[RING];

    for (uint32_t i = 0; i < n + 3 * AHEAD; i++) {
        uint32_t j = i - AHEAD, k = i - 2 * AHEAD, l = i - 3 * AHEAD; /* wrap round: not < n */

        if (i < n) {
            fps[i % RING] = batch_fp(st->a->batch, idx[i]);
            prefetch_slot(ts, fps[i % RING]);
        }
        if (j < n) {
            refs[j % RING] = guess_ref(ts, fps[j % RING]);
            if (refs[j % RING] != HEAD_NO_REF)
                prefetch_series(ts, refs[j % RING]);
        }
        if (k < n && refs[k % RING] != HEAD_NO_REF) {
            const struct head_live *s = head_series_at(ts, refs[k % RING]);

            if (ORR_LIKELY(hash128_eq(s->fp, fps[k % RING])))
                prefetch_chunk(s);
            else
                refs[k % RING] = HEAD_NO_REF; /* same tag: leave it to the full lookup */
        }
        if (l < n)
            apply_known(st, idx[l], refs[l % RING]);
    }
}

static void apply_metadata(struct apply_state *st)
{
    struct head_ts *ts = st->a->ts;
    struct reader r = reader_new(st->a->batch->meta);
    struct batch_meta m;

    while (batch_next_meta(&r, &m)) {
        if (head_meta_shard(st->sh->head, m.family) != st->sh->index)
            continue;
        if (st->a->limits->max_metadata &&
            atomic_load_explicit(&ts->tenant->metadata, memory_order_relaxed) >=
                st->a->limits->max_metadata &&
            !map_has(&ts->metadata, m.family)) {
            count_result(st, 0, 0, HEAD_REJECTED, BATCH_METADATA_LIMIT);
            continue;
        }
        if (head_meta_put(ts, &m))
            head_log_metadata(st->log, &m);
    }
}

/* Between shards the last writer wins; the next batch puts it right. */
void head_note_range(struct head_ts *ts)
{
    struct head_tenant *t = ts->tenant;

    if (ts->max_ms > atomic_load_explicit(&t->max_ms, memory_order_relaxed))
        atomic_store_explicit(&t->max_ms, ts->max_ms, memory_order_relaxed);
    if (ts->min_ms < atomic_load_explicit(&t->min_ms, memory_order_relaxed))
        atomic_store_explicit(&t->min_ms, ts->min_ms, memory_order_relaxed);
}

void head_apply(struct head_shard *sh, const struct head_apply *a)
{
    const struct head_limits *l = a->limits;
    struct apply_state st = {
        .sh = sh,
        .a = a,
        .log = &sh->log,
        .min_t_ms = l->min_t_ms ? l->min_t_ms : INT64_MIN + 1,
        .max_t_ms = l->max_t_ms ? l->max_t_ms : INT64_MAX,
        .ooo_window_ms = l->takes_late ? INT64_MAX : ORR_MIN(l->ooo_window_ms, INT64_MAX - 1),
    };
    uint64_t out_of_order = sh->m.out_of_order_accepted;

    apply_entries(&st);
    if (l->takes_late)
        sh->m.late += sh->m.out_of_order_accepted - out_of_order;
    if (a->batch->n_meta)
        apply_metadata(&st);
    a->reply->accepted += st.accepted;
    sh->m.samples += st.accepted;
    (void)atomic_fetch_add_explicit(&a->ts->tenant->samples, st.accepted, memory_order_relaxed);
    head_note_range(a->ts);
}

/* ---- a push ---- */

struct push_part {
    struct head_msg msg;
    struct push *push;
    const uint32_t *idx;
    uint32_t n;
    struct batch_reply reply;
    struct err *err;
};
struct push {
    struct head *head;
    struct head_tenant *tenant;
    struct batch batch;
    struct head_limits limits;
    head_push_fn *done;
    void *arg;
    int64_t bytes;
    _Atomic uint32_t left;
    uint32_t n_parts;
    struct push_part parts[]; /* one a shard, then all indexes */
};

static void finish_push(struct push *p)
{
    struct batch_reply reply = {0};
    struct err *e = NULL;
    struct head *h = p->head;
    head_push_fn *done = p->done;
    void *arg = p->arg;

    for (uint32_t i = 0; i < p->n_parts; i++) {
        batch_reply_merge(&reply, &p->parts[i].reply);
        e = err_first(e, p->parts[i].err);
    }
    METRIC_SET(h->m.queue_bytes, atomic_fetch_sub(&h->queued_bytes, p->bytes) - p->bytes);
    mem_free(p);
    done(arg, e, &reply);
    batch_reply_done(&reply);
    (void)atomic_fetch_sub_explicit(&h->inflight, 1, memory_order_release);
}

/* On the wal thread, or on the shard's when there was nothing to log. */
static void part_done(void *arg, struct err *e)
{
    struct push_part *part = arg;

    if (e) {
        struct head_shard *sh = &part->push->head->shards[part - part->push->parts];

        atomic_store(&sh->wal_failed, true);
        part->err = e;
    }
    if (atomic_fetch_sub_explicit(&part->push->left, 1, memory_order_acq_rel) == 1)
        finish_push(part->push);
}

void head_forget_logged(struct head_shard *sh)
{
    VEC_FOREACH (tsp, &sh->tenants)
        VEC_FOREACH (slab, &(*tsp)->slabs)
            for (uint32_t i = 0; i < HEAD_SLAB; i++)
                (*slab)->flags[i] &= (uint8_t)~HEAD_LOGGED;
}

static struct err *write_log(struct head_shard *sh, struct head_tenant *t, wal_done_fn *done,
                             void *arg)
{
    struct slice payload = head_log_finish(&sh->log, sh->index);
    uint64_t seq = 0;
    struct err *e;

    if (atomic_exchange(&sh->wal_failed, false)) {
        head_forget_logged(sh);
        return err_new(ERR_UNAVAILABLE, "the log or a chunk file failed meanwhile; send again");
    }
    e = wal_append(sh->head->opts.wal, HEAD_LOG_SHARD, t->slice, payload, done, arg, &seq);
    if (e) {
        head_forget_logged(sh);
        return e;
    }
    sh->last_seq = seq;
    (void)atomic_fetch_add_explicit(&sh->head->logged_bytes, payload.len, memory_order_relaxed);
    return NULL;
}

static bool run_part(struct head_shard *sh, void *arg)
{
    struct push_part *part = arg;
    struct push *p = part->push;
    struct head_apply a = {
        .ts = head_ts_get(sh, p->tenant),
        .batch = &p->batch,
        .limits = &p->limits,
        .idx = part->idx,
        .n = part->n,
        .reply = &part->reply,
    };
    struct err *e;

    if (atomic_exchange(&sh->wal_failed, false))
        head_forget_logged(sh);
    head_log_reset(&sh->log);
    head_apply(sh, &a);
    if (head_log_is_empty(&sh->log) && !atomic_load(&sh->wal_failed)) {
        part_done(part, NULL);
        return false;
    }
    e = write_log(sh, p->tenant, part_done, part); /* part may be gone after this */
    if (e) {
        part_done(part, e);
        atomic_store(&sh->wal_failed, false); /* known and dealt with */
    }
    return false;
}

/* Counting sort of the entries by shard. counts has n_shards + 1 places. */
static void split(const struct head *h, const struct batch *b, uint32_t *idx, uint32_t *starts)
{
    uint32_t mask = h->n_shards - 1, at[HEAD_MAX_SHARDS] = {0};

    for (uint32_t i = 0; i < b->n; i++)
        at[b->entries[(size_t)i * BATCH_ENTRY_BYTES] & mask]++;
    starts[0] = 0;
    for (uint32_t s = 0; s < h->n_shards; s++) {
        starts[s + 1] = starts[s] + at[s];
        at[s] = starts[s];
    }
    for (uint32_t i = 0; i < b->n; i++)
        idx[at[b->entries[(size_t)i * BATCH_ENTRY_BYTES] & mask]++] = i;
}
static_assert(HEAD_MAX_SHARDS <= 256, "the shard is in the fingerprint's first byte");

uint32_t head_split_one(const struct head *h, uint32_t shard, const struct batch *b,
                        uint32_t **ret_idx)
{
    uint32_t mask = h->n_shards - 1, n = 0, *idx = mem_new_array(uint32_t, b->n);

    for (uint32_t i = 0; i < b->n; i++)
        if ((b->entries[(size_t)i * BATCH_ENTRY_BYTES] & mask) == shard)
            idx[n++] = i;
    *ret_idx = idx;
    return n;
}

static struct push *push_new(struct head *h, struct head_tenant *t, const struct batch *b,
                             const struct head_limits *limits)
{
    size_t parts = h->n_shards * sizeof(struct push_part);
    struct push *p = mem_alloc(sizeof(*p) + parts + (size_t)b->n * sizeof(uint32_t));
    uint32_t *idx = (uint32_t *)(void *)((char *)(p + 1) + parts), starts[HEAD_MAX_SHARDS + 1];

    memset(p, 0, sizeof(*p) + parts);
    p->head = h;
    p->tenant = t;
    p->batch = *b;
    p->limits = *limits;
    p->n_parts = h->n_shards;
    split(h, b, idx, starts);
    for (uint32_t s = 0; s < h->n_shards; s++) {
        struct push_part *part = &p->parts[s];

        part->push = p;
        part->idx = idx + starts[s];
        part->n = starts[s + 1] - starts[s];
        part->msg = (struct head_msg){.fn = run_part, .arg = part};
        if (part->n || b->n_meta)
            p->left++;
    }
    return p;
}

static struct err *start_push(struct head *h, struct head_tenant *t, const struct batch *b,
                              int64_t bytes, const struct head_limits *limits, head_push_fn *done,
                              void *arg)
{
    struct push *p;
    uint32_t send[HEAD_MAX_SHARDS], n = 0;

    if (atomic_fetch_add(&h->queued_bytes, bytes) + bytes > h->opts.push_queue_bytes) {
        (void)atomic_fetch_sub(&h->queued_bytes, bytes);
        return err_new(ERR_UNAVAILABLE, "the ingester's push queue is full (%lld bytes)",
                       (long long)h->opts.push_queue_bytes);
    }
    METRIC_SET(h->m.queue_bytes, atomic_load_explicit(&h->queued_bytes, memory_order_relaxed));
    p = push_new(h, t, b, limits);
    p->done = done;
    p->arg = arg;
    p->bytes = bytes;
    for (uint32_t s = 0; s < h->n_shards; s++)
        if (p->parts[s].n || b->n_meta)
            send[n++] = s;
    if (!n) {
        finish_push(p);
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) { /* p may be gone once the last one is posted */
        struct push_part *part = &p->parts[send[i]];

        head_post(&h->shards[send[i]], &part->msg);
    }
    return NULL;
}

struct err *head_push(struct head *h, struct slice tenant, struct slice bytes,
                      const struct head_limits *limits, head_push_fn *done, void *arg)
{
    struct head_tenant *t;
    struct batch b;
    bool is_ready;
    struct err *e = batch_open(bytes, &b);

    if (e)
        return e;
    if (!wal_is_healthy(h->opts.wal))
        return err_new(ERR_IO, "the write-ahead log is not writable");
    if (ORR_UNLIKELY((e = head_is_stuck(h))))
        return e;
    (void)atomic_fetch_add(&h->inflight,
                           1); /* before the state: head_close() looks in that order */
    is_ready = atomic_load(&h->is_ready);
    t = head_tenant_get(h, tenant);
    if (ORR_UNLIKELY(!is_ready))
        e = head_replay_push(h, t, bytes, &b, limits, done, arg, &is_ready);
    if (is_ready) {
        atomic_store_explicit(&t->ooo_window_ms, limits->ooo_window_ms, memory_order_relaxed);
        e = start_push(h, t, &b, (int64_t)bytes.len, limits, done, arg);
    }
    if (e)
        (void)atomic_fetch_sub(&h->inflight, 1);
    return e;
}
