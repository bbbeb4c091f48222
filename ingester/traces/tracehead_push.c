/* A batch: limits, one record of the log, and RocksDB. */
#include "common/base/mem.h"
#include "ingester/door/trace_batch.h"
#include "ingester/traces/tracehead_internal.h"

struct tracepush {
    struct mailbox_msg msg;
    struct tracehead *head;
    struct tracetenant *tenant;
    struct slice bytes;
    struct tracehead_limits limits;
    tracehead_push_fn *done;
    void *arg;
    _Atomic uint32_t left; /* the log, the head's thread */
    struct batch_reply reply;
    struct err *log_err, *err; /* the log's, the thread's */
};

/* ---- the end ---- */

static void push_free(struct tracepush *p)
{
    struct tracehead *h = p->head;
    int64_t bytes = (int64_t)p->bytes.len;

    METRIC_SET(h->m.queue_bytes, atomic_fetch_sub(&h->queued_bytes, bytes) - bytes);
    batch_reply_done(&p->reply);
    mem_free(p);
    (void)atomic_fetch_sub_explicit(&h->inflight, 1, memory_order_release);
}

/* On the wal thread or the head's. */
static void part_done(struct tracepush *p)
{
    if (atomic_fetch_sub_explicit(&p->left, 1, memory_order_acq_rel) != 1)
        return;
    p->done(p->arg, err_first(p->log_err, p->err), &p->reply);
    push_free(p);
}

static void on_logged(void *arg, struct err *e)
{
    struct tracepush *p = arg;

    p->log_err = e;
    part_done(p);
}

/* ---- on the head's thread ---- */

struct taken {
    struct trace_batch_item item;
    uint32_t index;
};
typedef VEC(struct taken) taken_vec;

static struct err *parse(struct tracepush *p, taken_vec *taken)
{
    struct trace_batch_reader r;
    struct trace_batch_item item;
    struct err *e;

    trace_batch_reader_init(&r, p->bytes);
    for (uint32_t i = 0; trace_batch_next(&r, &item); i++)
        vec_push(taken, ((struct taken){item, i}));
    if (!(e = trace_batch_reader_end(&r)))
        return NULL;
    err_free(e);
    return err_new(ERR_INVALID, "batch of spans: malformed");
}

/* Leaves in taken what limits let in. */
static void keep_to_limits(struct tracepush *p, taken_vec *taken)
{
    const struct tracehead_limits *l = &p->limits;
    struct tracehead *h = p->head;
    uint64_t n_live;
    size_t keep = 0;

    if (!l->max_traces && !l->max_trace_bytes)
        return;
    lock_take(&h->lock);
    n_live = p->tenant->n_live;
    VEC_FOREACH (t, taken) {
        uint32_t live = tracelives_find(&h->lives, p->tenant->number, t->item.id);
        uint64_t bytes = live == TRACELIVE_NONE ? 0 : h->lives.all.ptr[live].bytes;

        if (live == TRACELIVE_NONE && l->max_traces && n_live >= l->max_traces) {
            batch_reject(&p->reply, BATCH_MAX_TRACES_LIMIT, t->index, 0);
            continue;
        }
        if (l->max_trace_bytes && bytes + t->item.piece.len > l->max_trace_bytes) {
            batch_reject(&p->reply, BATCH_TRACE_TOO_LARGE, t->index, 0);
            continue;
        }
        n_live += live == TRACELIVE_NONE;
        taken->ptr[keep++] = *t;
    }
    lock_release(&h->lock);
    METRIC_ADD(h->m.refused, taken->len - keep);
    taken->len = keep;
}

/* What came is a record already, if all of it is taken. */
static struct slice record_of(struct tracepush *p, const taken_vec *taken)
{
    struct buf *b = &p->head->record;

    if (!p->reply.refusals.len)
        return p->bytes;
    buf_reset(b);
    buf_byte(b, TRACE_BATCH_VERSION);
    VEC_FOREACH (t, taken)
        buf_lstr(b, t->item.piece);
    return buf_slice(b);
}

static struct err *write_pieces(struct tracepush *p, const taken_vec *taken)
{
    struct tracehead *h = p->head;
    uint64_t number = atomic_fetch_add(&h->next_piece, taken->len);
    uint8_t key[TRACEHEAD_KEY_BYTES];

    kv_batch_clear(h->batch);
    VEC_FOREACH (t, taken) {
        tracehead_key(key, p->tenant->number, t->item.id, number++);
        kv_batch_put(h->batch, slice_of(key, sizeof(key)), t->item.piece);
    }
    return kv_write(h->kv, h->batch, false);
}

static void set_pushing(struct tracehead *h, uint64_t seq)
{
    lock_take(&h->lock);
    h->pushing_seq = seq;
    lock_release(&h->lock);
}

static void count(struct tracepush *p, const taken_vec *taken, uint64_t seq)
{
    struct tracehead_added *added = mem_new_array(struct tracehead_added, taken->len);
    uint64_t bytes = 0;

    for (size_t i = 0; i < taken->len; i++) {
        added[i] = (struct tracehead_added){taken->ptr[i].item.id, taken->ptr[i].item.piece.len};
        bytes += added[i].bytes;
    }
    tracehead_add(p->head, p->tenant, added, taken->len, seq);
    mem_free(added);
    p->reply.accepted = taken->len;
    METRIC_ADD(p->head->m.pieces, taken->len);
    METRIC_ADD(p->head->m.bytes, bytes);
}

/* Only this thread appends, but for what is read back: so what gets a number behind pushing_seq is this batch. */
static void store(struct tracepush *p, const taken_vec *taken)
{
    struct tracehead *h = p->head;
    uint64_t seq = 0;

    set_pushing(h, wal_next_seq(h->opts.wal));
    (void)atomic_fetch_add(&p->left, 1);
    p->err = wal_append(h->opts.wal, TRACEHEAD_RECORD_TYPE, p->tenant->slice, record_of(p, taken),
                        on_logged, p, &seq);
    if (p->err)
        (void)atomic_fetch_sub(&p->left, 1); /* the thread's own part is left */
    else if (!(p->err = write_pieces(p, taken)))
        count(p, taken, seq);
    set_pushing(h, 0);
}

static bool run_push(void *arg)
{
    struct tracepush *p = arg;
    taken_vec taken = {0};

    if (!(p->err = parse(p, &taken))) {
        keep_to_limits(p, &taken);
        if (taken.len)
            store(p, &taken);
    }
    vec_done(&taken);
    if (p->head->record.cap > 8u << 20)
        buf_done(&p->head->record);
    part_done(p);
    return false;
}

/* ---- on the caller's ---- */

static struct err *check_room(struct tracehead *h, size_t bytes)
{
    if ((uint64_t)METRIC_GET(h->m.live) >= h->opts.max_live)
        return err_new(ERR_UNAVAILABLE, "the ingester holds %llu live traces, try again",
                       (unsigned long long)h->opts.max_live);
    if (atomic_load(&h->queued_bytes) + (int64_t)bytes > h->opts.push_queue_bytes)
        return err_new(ERR_UNAVAILABLE, "the ingester's push queue is full (%lld bytes)",
                       (long long)h->opts.push_queue_bytes);
    return NULL;
}

struct err *tracehead_push(struct tracehead *h, struct slice tenant, struct slice bytes,
                           const struct tracehead_limits *limits, tracehead_push_fn *done,
                           void *arg)
{
    struct err *e = check_room(h, bytes.len);
    struct tracepush *p;

    if (e)
        return e;
    if (!wal_is_healthy(h->opts.wal))
        return err_new(ERR_IO, "the log's disk is not writable");
    (void)atomic_fetch_add(&h->inflight, 1); /* before the state: tracehead_close() looks so */
    if (atomic_load(&h->is_closing)) {
        (void)atomic_fetch_sub(&h->inflight, 1);
        return err_new(ERR_UNAVAILABLE, "the ingester is closing");
    }
    METRIC_ADD(h->m.pushes, 1);
    p = mem_new(struct tracepush);
    *p = (struct tracepush){
        .head = h, .bytes = bytes, .limits = *limits, .done = done, .arg = arg, .left = 1};
    p->msg = (struct mailbox_msg){.fn = run_push, .arg = p};
    lock_take(&h->lock);
    p->tenant = tracehead_tenant(h, tenant);
    lock_release(&h->lock);
    METRIC_SET(h->m.queue_bytes,
               atomic_fetch_add(&h->queued_bytes, (int64_t)bytes.len) + (int64_t)bytes.len);
    mailbox_post(&h->box, &p->msg);
    return NULL;
}
