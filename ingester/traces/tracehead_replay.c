/* The log: from where on it is needed, and reading it back. */
#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/thread.h"
#include "ingester/door/trace_batch.h"
#include "ingester/traces/tracehead_internal.h"

#define FLOOR_MAX_BYTES 64

/* ---- the floor ---- */

static char *floor_path(const struct tracehead *h)
{
    return mem_printf("%s/floor", h->dir);
}

struct err *tracehead_floor_load(struct tracehead *h)
{
    char *path = floor_path(h);
    struct buf b = {0};
    struct err *e = NULL;

    h->floor = 1;
    if (fsx_exists(path) && !(e = fsx_read(path, FLOOR_MAX_BYTES, &b)) &&
        !slice_to_u64(slice_trim(buf_slice(&b)), &h->floor))
        e = err_new(ERR_CORRUPT, "%s: not a number", path);
    if (!e && h->floor > h->live_from) {
        LOG_WARN(head, "the log of spans is older than its floor: it must have been removed");
        h->floor = 1;
    }
    buf_done(&b);
    mem_free(path);
    return e;
}

/* Everything before it is in a file that is synced. */
static uint64_t find_floor(struct tracehead *h)
{
    uint64_t floor =
        wal_next_seq(h->opts.wal); /* before the lock: what is pushed later is behind it */

    lock_take(&h->lock);
    if (h->pushing_seq)
        floor = ORR_MIN(floor, h->pushing_seq);
    for (uint32_t i = h->lives.oldest; i != TRACELIVE_NONE; i = h->lives.all.ptr[i].newer)
        floor = ORR_MIN(floor, h->lives.all.ptr[i].first_seq);
    VEC_FOREACH (l, &h->out)
        floor = ORR_MIN(floor, l->first_seq);
    lock_release(&h->lock);
    return floor;
}

struct err *tracehead_floor_raise(struct tracehead *h)
{
    uint64_t floor = find_floor(h);
    char *path;
    struct buf b = {0};
    struct err *e;

    if (floor <= h->floor)
        return NULL;
    path = floor_path(h);
    buf_printf(&b, "%llu\n", (unsigned long long)floor);
    e = fsx_write_atomic(path, buf_slice(&b));
    buf_done(&b);
    mem_free(path);
    if (e)
        return e;
    lock_take(&h->lock);
    h->floor = floor;
    lock_release(&h->lock);
    return wal_truncate_before(h->opts.wal, floor);
}

/* ---- reading back ---- */

struct reading {
    struct tracehead *h;
    struct kv_batch *batch;
    VEC(struct tracehead_added) added; /* of one record */
};

static struct err *on_record(void *arg, const struct wal_record *rec)
{
    struct reading *rd = arg;
    struct tracehead *h = rd->h;
    struct trace_batch_reader r;
    struct trace_batch_item item;
    struct tracetenant *t;
    struct err *e;

    if (atomic_load(&h->is_closing))
        return err_new(ERR_CANCELED, "closing");
    if (rec->type != TRACEHEAD_RECORD_TYPE)
        return NULL;
    lock_take(&h->lock);
    t = tracehead_tenant(h, rec->tenant);
    lock_release(&h->lock);
    kv_batch_clear(rd->batch);
    vec_clear(&rd->added);
    trace_batch_reader_init(&r, rec->payload);
    while (trace_batch_next(&r, &item)) {
        uint8_t key[TRACEHEAD_KEY_BYTES];

        tracehead_key(key, t->number, item.id, atomic_fetch_add(&h->next_piece, 1));
        kv_batch_put(rd->batch, slice_of(key, sizeof(key)), item.piece);
        vec_push(&rd->added, ((struct tracehead_added){item.id, item.piece.len}));
    }
    if ((e = trace_batch_reader_end(&r))) {
        LOG_ERROR(head, "a record of the log of spans is malformed, its end is left out",
                  KV_U64("offset", rec->seq), KV_ERR(e));
        METRIC_ADD(h->m.broken, 1);
        err_free(e);
    }
    if ((e = kv_write(h->kv, rd->batch, false)))
        return e;
    tracehead_add(h, t, rd->added.ptr, rd->added.len, rec->seq);
    lock_take(&h->lock);
    h->replayed += rd->added.len;
    lock_release(&h->lock);
    return NULL;
}

static void *replay(void *arg)
{
    struct tracehead *h = arg;
    struct reading rd = {.h = h, .batch = kv_batch_new()};
    int64_t began = clock_mono_ns(&clock_system);
    struct wal_replay_stats stats = {0};
    struct err *e = wal_replay(h->opts.wal, h->floor, on_record, &rd, &stats);

    kv_batch_free(rd.batch);
    vec_done(&rd.added);
    metric_hist_observe(&h->m.replay_s, (double)(clock_mono_ns(&clock_system) - began) / 1e9);
    if (e && !atomic_load(&h->is_closing))
        LOG_ERROR(head, "spans cannot be read back", KV_ERR(e));
    lock_take(&h->lock);
    h->state = e ? TRACEHEAD_FAILED : TRACEHEAD_READY;
    h->replay_error = e;
    atomic_store(&h->is_ready, e == NULL);
    METRIC_SET(h->m.is_ready, e == NULL);
    (void)pthread_cond_broadcast(&h->changed);
    lock_release(&h->lock);
    return NULL;
}

struct err *tracehead_replay_start(struct tracehead *h)
{
    struct err *e = thread_start("trace-replay", replay, h, &h->replay_thread);

    h->has_replay_thread = !e;
    return e;
}

void tracehead_replay_join(struct tracehead *h)
{
    if (h->has_replay_thread)
        (void)pthread_join(h->replay_thread, NULL);
    h->has_replay_thread = false;
}
