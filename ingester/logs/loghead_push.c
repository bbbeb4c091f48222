/* A batch: split by shard, one record each into the log, then into the open lines. */
#include "common/base/mem.h"
#include "ingester/logs/loghead_push_internal.h"

/* ---- the end ---- */

static void push_free(struct logpush *p)
{
    struct loghead *h = p->head;

    for (uint32_t i = 0; i < h->n_shards; i++) {
        buf_done(&p->parts[i].bytes);
        vec_done(&p->parts[i].index);
        batch_reply_done(&p->parts[i].reply);
    }
    METRIC_SET(h->m.queue_bytes, atomic_fetch_sub(&h->queued_bytes, p->bytes) - p->bytes);
    mem_free(p);
    (void)atomic_fetch_sub_explicit(&h->inflight, 1, memory_order_release);
}

static void finish(struct logpush *p)
{
    struct batch_reply reply = {0};
    struct err *e = NULL;

    for (uint32_t i = 0; i < p->head->n_shards; i++) {
        batch_reply_merge(&reply, &p->parts[i].reply);
        e = err_first(e, p->parts[i].err);
    }
    p->done(p->arg, e, &reply);
    batch_reply_done(&reply);
    push_free(p);
}

/* On the wal thread, or on the shard's when there was nothing to log. */
static void part_done(void *arg, struct err *e)
{
    struct logpush_part *part = arg;

    if (e) {
        struct logshard *sh = &part->push->head->shards[part - part->push->parts];

        atomic_store(&sh->wal_failed, true);
        part->err = e;
    }
    if (atomic_fetch_sub_explicit(&part->push->left, 1, memory_order_acq_rel) == 1)
        finish(part->push);
}

/* ---- on the shard's thread ---- */

static void reject(struct logpush_part *part, enum batch_reason reason, uint32_t index,
                   const struct logrecord_stream *s)
{
    struct reader r = reader_new(s->entries);
    struct logrecord_entry en;

    while (logrecord_next_entry(&r, &en))
        batch_reject(&part->reply, reason, index, en.t_ns / 1000000);
    METRIC_ADD(part->push->head->shards[part - part->push->parts].m.refused, s->n);
}

/* Names the label that makes the tenant's streams so many, once a part. */
static void name_widest(struct logpush_part *part, const struct logtable *tb)
{
    struct batch_reply *r = &part->reply;
    struct slice name;

    if (r->widest.len)
        return;
    name = head_index_widest(&tb->index, &r->widest_values);
    if (name.len)
        r->widest = slice_of(slice_dup(name), name.len);
}

static uint64_t bytes_of(const struct logrecord_stream *s)
{
    return s->entries.len - (uint64_t)s->n * LOGRECORD_ENTRY_BYTES;
}

static bool is_too_fast(struct logtable *tb, const struct loghead_limits *l, uint32_t ref,
                        const struct logrecord_stream *s)
{
    return l->stream_rate > 0 &&
           !tokenbucket_take(&tb->streams.ptr[ref].rate, l->stream_rate, l->stream_burst,
                             (double)bytes_of(s), clock_mono_ns(tb->shard->head->opts.clock));
}

/* One more that is active. */
static bool is_one_too_many(const struct logtable *tb, const struct loghead_limits *l,
                            enum loghead_place place)
{
    uint64_t active = atomic_load_explicit(&tb->tenant->active, memory_order_relaxed);
    uint64_t away = atomic_load_explicit(&tb->tenant->away, memory_order_relaxed);

    if (l->max_streams && active >= l->max_streams)
        return true;
    if (!l->max_homes)
        return false;
    return (place == LOGHEAD_AWAY ? away : active - ORR_MIN(away, active)) >= l->max_homes;
}

/* Asks where it is at home, if that is not known (ref may be none) and a limit wants to know. */
static enum loghead_place place_of(const struct logtable *tb, const struct loghead_limits *l,
                                   uint32_t ref, struct hash128 fp)
{
    const struct loghead_opts *o = &tb->shard->head->opts;
    enum loghead_place known =
        ref == LOGHEAD_NO_REF ? LOGHEAD_UNPLACED : (enum loghead_place)tb->streams.ptr[ref].place;

    if (known != LOGHEAD_UNPLACED || !l->max_homes)
        return known;
    return o->place ? o->place(o->place_arg, tb->tenant->slice, fp) : LOGHEAD_HOME;
}

/* The stream's ref; else why it has none. */
static uint32_t stream_ref(struct logtable *tb, struct logpush_part *part, uint32_t index,
                           const struct logrecord_stream *s)
{
    uint32_t ref = logtable_find(tb, s->fp);
    const struct loghead_limits *l = &part->push->limits;
    bool is_active = ref != LOGHEAD_NO_REF && tb->streams.ptr[ref].is_active;
    enum loghead_place place;

    if (ref == LOGHEAD_NO_REF && !s->labels.len) {
        vec_push(&part->reply.unknown, index);
        tb->shard->m.unknown++;
        return LOGHEAD_NO_REF;
    }
    if (ref == LOGHEAD_NO_REF && !logtable_labels_fit(s->labels, s->fp)) {
        reject(part, BATCH_BAD_LABELS, index, s);
        return LOGHEAD_NO_REF;
    }
    place = place_of(tb, l, ref, s->fp);
    if (!is_active && is_one_too_many(tb, l, place)) {
        reject(part, BATCH_MAX_STREAMS_LIMIT, index, s);
        name_widest(part, tb);
        return LOGHEAD_NO_REF;
    }
    if (ref == LOGHEAD_NO_REF)
        ref = logtable_add(tb, s->fp, s->labels);
    logtable_touch(tb, ref);
    logtable_place(tb, ref, place);
    if (is_too_fast(tb, l, ref, s)) {
        reject(part, BATCH_STREAM_RATE, index, s);
        return LOGHEAD_NO_REF;
    }
    return ref;
}

static struct loggen *open_gen(struct logtable *tb)
{
    struct loghead *h = tb->shard->head;

    if (!tb->is_open) {
        vec_push(&tb->gens, loggen_new(h, tb->next_gen++, clock_wall_ms(h->opts.clock)));
        tb->is_open = true;
    }
    return vec_last(&tb->gens);
}

void logtable_append(struct logtable *tb, uint32_t ref, const struct logrecord_stream *s,
                     uint64_t seq)
{
    struct loggen *g = open_gen(tb);
    struct logstream *st = &tb->streams.ptr[ref];
    struct reader r = reader_new(s->entries);
    struct logrecord_entry en;

    if (!g->first_seq || seq < g->first_seq)
        g->first_seq = seq;
    while (logrecord_next_entry(&r, &en)) {
        struct logline *l;

        if (st->last_gen != g->id)
            vec_push(&g->stream_refs, ref);
        l = loggen_add(g, (uint32_t)en.line.len, (uint32_t)en.metadata.len);
        *l = (struct logline){.prev = st->last,
                              .t_ns = en.t_ns,
                              .prev_gen = st->last_gen,
                              .ref = ref,
                              .line_len = (uint32_t)en.line.len,
                              .meta_len = (uint32_t)en.metadata.len};
        memcpy(l->bytes, en.line.ptr, en.line.len + en.metadata.len); /* they lie together */
        st->last = l;
        st->last_gen = g->id;
    }
}

struct taken { /* a stream of the part that is stored */
    struct logrecord_stream s;
    uint32_t ref;
};

/* After a failure of the log it is not known which labels reached the disk. */
static void forget_defined(struct logshard *sh)
{
    VEC_FOREACH (tb, &sh->tables)
        (*tb)->defs++;
}

static void write_stream(struct logshard *sh, struct logtable *tb, const struct taken *t)
{
    struct logstream *st = &tb->streams.ptr[t->ref];
    struct buf labels = {0};

    if (st->defined != tb->defs && !t->s.labels.len)
        logtable_canonical(tb, t->ref, &labels);
    logrecord_stream(&sh->record, t->s.fp,
                     st->defined == tb->defs ? SLICE_EMPTY
                     : labels.len            ? buf_slice(&labels)
                                             : t->s.labels,
                     t->s.n, t->s.entries);
    st->defined = tb->defs;
    buf_done(&labels);
}

/*
 * The record of what is taken. What came is one already: in the steady state all of it is taken, and labels are in it
 * just where the log wants them.
 */
static struct slice write_record(struct logshard *sh, struct logtable *tb,
                                 const struct logpush_part *part, const struct taken *taken,
                                 size_t n)
{
    bool is_all = n == part->index.len;

    for (size_t i = 0; i < n && is_all; i++)
        is_all = (tb->streams.ptr[taken[i].ref].defined == tb->defs) == !taken[i].s.labels.len;
    if (is_all) {
        for (size_t i = 0; i < n; i++)
            tb->streams.ptr[taken[i].ref].defined = tb->defs;
        return buf_slice(&part->bytes);
    }
    buf_reset(&sh->record);
    logrecord_begin(&sh->record, sh->index);
    for (size_t i = 0; i < n; i++)
        write_stream(sh, tb, &taken[i]);
    return buf_slice(&sh->record);
}

static bool run_part(void *arg)
{
    struct logpush_part *part = arg;
    struct logpush *p = part->push;
    struct logshard *sh = &p->head->shards[part - p->parts];
    struct logtable *tb = loghead_table_get(sh, p->tenant);
    struct reader r = reader_new(slice_from(buf_slice(&part->bytes), LOGRECORD_HEAD_BYTES));
    VEC(struct taken) taken = {0};
    struct slice record;
    struct logrecord_stream s;
    uint64_t seq = 0, entries = 0, bytes = 0;
    struct err *e = NULL;
    uint32_t ref;

    if (atomic_exchange(&sh->wal_failed, false))
        forget_defined(sh);
    if (logtable_is_past(tb, clock_wall_ms(sh->head->opts.clock)))
        logtable_close_open(tb); /* before the record: it has to tell labels anew */
    for (size_t i = 0; logrecord_next_stream(&r, &s); i++)
        if ((ref = stream_ref(tb, part, part->index.ptr[i], &s)) != LOGHEAD_NO_REF)
            vec_push(&taken, ((struct taken){s, ref}));
    if (!taken.len) {
        vec_done(&taken);
        part_done(part, NULL);
        return false;
    }
    record = write_record(sh, tb, part, taken.ptr, taken.len);
    VEC_FOREACH (t, &taken) {
        entries += t->s.n;
        bytes += bytes_of(&t->s);
    }
    part->reply.accepted = entries;
    /* Lines go into memory before part_done() may come, on another thread: p is whole until left is 0. */
    (void)atomic_fetch_add(&p->left, 1);
    e = wal_append(p->head->opts.wal, LOGRECORD_TYPE, p->tenant->slice, record, part_done, part,
                   &seq);
    if (e) {
        forget_defined(sh); /* of earlier records, too: they may fail at this moment */
        part_done(part, e);
        atomic_store(&sh->wal_failed, false); /* known and dealt with */
    } else {
        (void)atomic_fetch_add_explicit(&p->head->logged_bytes, record.len, memory_order_relaxed);
        VEC_FOREACH (t, &taken)
            logtable_append(tb, t->ref, &t->s, seq);
        tb->last_seq = seq;
        sh->m.entries += entries;
        sh->m.bytes += bytes;
        (void)atomic_fetch_add_explicit(&p->tenant->entries, entries, memory_order_relaxed);
        (void)atomic_fetch_add_explicit(&p->tenant->bytes, bytes, memory_order_relaxed);
    }
    vec_done(&taken);
    if (logtable_is_due(tb, 0))
        logtable_close_open(tb);
    if (sh->record.cap > 8u << 20)
        buf_done(&sh->record);
    part_done(part, NULL);
    return false;
}

/* ---- on the caller's ---- */

/* A push without parts. */
static struct err *push_new(struct loghead *h, const struct loghead_limits *limits,
                            loghead_push_fn *done, void *arg, struct logpush **ret)
{
    struct logpush *p;

    if (!wal_is_healthy(h->opts.wal))
        return err_new(ERR_IO, "the log's disk is not writable");
    METRIC_ADD(h->m.pushes, 1);
    (void)atomic_fetch_add(&h->inflight, 1); /* before the state: loghead_close() looks so */
    if (atomic_load(&h->is_closing)) {
        (void)atomic_fetch_sub(&h->inflight, 1);
        return err_new(ERR_UNAVAILABLE, "the ingester is closing");
    }
    p = mem_zalloc(sizeof(*p) + h->n_shards * sizeof(struct logpush_part));
    p->head = h;
    p->limits = *limits;
    p->done = done;
    p->arg = arg;
    *ret = p;
    return NULL;
}

/* Takes p, whose parts are filled; e: why they are not. */
static struct err *start(struct logpush *p, struct slice tenant, struct err *e)
{
    struct loghead *h = p->head;
    uint32_t send[LOGHEAD_MAX_SHARDS], n = 0;

    if (e) {
        p->bytes = 0; /* not counted yet */
        push_free(p);
        return e;
    }
    p->tenant = loghead_tenant_get(h, tenant);
    METRIC_SET(h->m.queue_bytes, atomic_fetch_add(&h->queued_bytes, p->bytes) + p->bytes);
    for (uint32_t s = 0; s < h->n_shards; s++) {
        struct logpush_part *part = &p->parts[s];

        part->push = p;
        part->msg = (struct mailbox_msg){.fn = run_part, .arg = part};
        if (part->index.len)
            send[n++] = s;
    }
    p->left = n;
    if (!n)
        finish(p);
    for (uint32_t i = 0; i < n; i++) /* p may be gone once the last one is posted */
        mailbox_post(&h->shards[send[i]].box, &p->parts[send[i]].msg);
    return NULL;
}

struct err *loghead_push(struct loghead *h, struct slice tenant, struct slice bytes,
                         const struct loghead_limits *limits, loghead_push_fn *done, void *arg)
{
    struct err *e = logpush_check_room(h, (int64_t)bytes.len);
    struct logpush *p;

    if (e || (e = push_new(h, limits, done, arg, &p)))
        return e;
    return start(p, tenant, logpush_split_bytes(p, bytes));
}

struct err *loghead_push_batch(struct loghead *h, const struct log_batch *batch,
                               const uint32_t *streams, size_t n, bool with_labels,
                               const struct loghead_limits *limits, loghead_push_fn *done,
                               void *arg)
{
    struct logpush_items items = {batch, streams, n, with_labels};
    struct logpush *p;
    struct err *e = push_new(h, limits, done, arg, &p);

    return e ? e : start(p, batch->tenant, logpush_split_items(p, &items));
}
