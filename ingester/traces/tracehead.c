#include "ingester/traces/tracehead.h"

#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "ingester/traces/tracehead_internal.h"

#define WRITE_BUFFER_BYTES (16u << 20)
#define CLOSE_POLL_US 1000

#define F(type, member, name, help) METRIC_##type(struct tracehead_metrics, member, name, help)
static const struct metric_field tracehead_fields[] = {
    F(COUNTER, pushes, "orrery_tracehead_pushes_total", "Batches of spans taken."),
    F(COUNTER, pieces, "orrery_tracehead_pieces_total",
      "Pieces of traces taken, one for each trace of a batch."),
    F(COUNTER, bytes, "orrery_tracehead_bytes_total", "Their bytes."),
    F(COUNTER, refused, "orrery_tracehead_refused_pieces_total",
      "Pieces refused: limits max_traces_per_user, max_bytes_per_trace."),
    F(COUNTER, early, "orrery_tracehead_early_cuts_total",
      "Times that traces were cut before they were idle because there were so many."),
    F(GAUGE, live, "orrery_tracehead_live_traces", "Traces that are not cut yet."),
    F(GAUGE, live_bytes, "orrery_tracehead_live_bytes", "Bytes of their pieces."),
    F(GAUGE, queue_bytes, "orrery_tracehead_push_queue_bytes", "Batches that are under way."),
    F(GAUGE, is_ready, "orrery_tracehead_ready", "1 when the replay is through."),
    F(COUNTER, cuts, "orrery_tracehead_cuts_total", "Files of cut traces written."),
    F(COUNTER, cut_failures, "orrery_tracehead_cut_failures_total",
      "Times that traces could not be cut; they stay live."),
    F(COUNTER, cut_traces, "orrery_tracehead_cut_traces_total", "Traces cut."),
    F(COUNTER, cut_spans, "orrery_tracehead_cut_spans_total", "Spans of traces that were cut."),
    F(COUNTER, dropped_traces, "orrery_tracehead_dropped_traces_total",
      "Traces dropped here by their tenant's tail_sampling."),
    F(COUNTER, dropped_spans, "orrery_tracehead_dropped_spans_total", "Their spans here."),
    F(COUNTER, cut_bytes, "orrery_tracehead_cut_bytes_total", "Bytes of files of cut traces."),
    F(COUNTER, broken, "orrery_tracehead_broken_pieces_total",
      "Pieces that cannot be read, left out when their trace was cut."),
    F(GAUGE, segments, "orrery_ingester_traces_segments",
      "Segments of traces that grow no more and that no block has yet."),
    F(GAUGE, segment_bytes, "orrery_ingester_traces_segment_bytes",
      "Bytes of files of all segments of traces."),
    F(COUNTER, segments_cut, "orrery_ingester_traces_segments_cut_total",
      "Segments of traces that stopped growing."),
    F(COUNTER, segments_dropped, "orrery_ingester_traces_segments_dropped_total",
      "Segments of traces that went since a block has them."),
    F(COUNTER, drop_failures, "orrery_ingester_traces_segment_drop_failures_total",
      "Those that could not be dropped; they stay, and it is tried again."),
    F(HIST, cut_s, "orrery_tracehead_cut_seconds", "Time that a round of cutting took."),
    F(HIST, replay_s, "orrery_tracehead_replay_seconds", "Time from start to ready."),
};
#undef F

/* ---- tenants ---- */

struct tracetenant *tracehead_tenant_find(const struct tracehead *h, struct slice id)
{
    return map_get(&h->tenants, id);
}

struct tracetenant *tracehead_tenant(struct tracehead *h, struct slice id)
{
    void **slot = map_slot(&h->tenants, id);

    if (!*slot) {
        struct tracetenant *t = mem_new(struct tracetenant);

        t->number = (uint32_t)h->by_number.len;
        t->id = slice_dup(id);
        t->slice = slice_of(t->id, id.len);
        vec_push(&h->by_number, t);
        *slot = t;
    }
    return *slot;
}

void tracehead_key(uint8_t ret[TRACEHEAD_KEY_BYTES], uint32_t tenant, const uint8_t id[16],
                   uint64_t number)
{
    for (unsigned i = 0; i < 4; i++)
        ret[i] = (uint8_t)(tenant >> (24 - 8 * i));
    memcpy(ret + 4, id, 16);
    for (unsigned i = 0; i < 8; i++)
        ret[20 + i] = (uint8_t)(number >> (56 - 8 * i));
}

void tracehead_add(struct tracehead *h, struct tracetenant *t, const struct tracehead_added *added,
                   size_t n, uint64_t seq)
{
    int64_t now_ms = clock_wall_ms(h->opts.clock);
    bool is_new;

    lock_take(&h->lock);
    for (size_t i = 0; i < n; i++) {
        tracelives_touch(&h->lives, t->number, added[i].id, added[i].bytes, seq, now_ms,
                         h->opts.max_live_ms, &is_new);
        t->n_live += is_new;
    }
    METRIC_SET(h->m.live, (int64_t)h->lives.n);
    METRIC_SET(h->m.live_bytes, (int64_t)h->lives.bytes);
    lock_release(&h->lock);
}

/* ---- opening ---- */

static void fill_defaults(struct tracehead_opts *o)
{
    if (!o->idle_ms)
        o->idle_ms = 10000;
    if (!o->max_live_ms)
        o->max_live_ms = 30000;
    if (!o->cut_period_ms)
        o->cut_period_ms = 10000;
    if (!o->max_live)
        o->max_live = 4000000;
    if (!o->segment_bytes)
        o->segment_bytes = 512ll << 20;
    if (!o->grace_ms)
        o->grace_ms = 15ll * 60 * 1000;
    if (!o->push_queue_bytes)
        o->push_queue_bytes = 256ll << 20;
    if (!o->write_buffer_bytes)
        o->write_buffer_bytes = WRITE_BUFFER_BYTES;
    if (!o->clock)
        o->clock = &clock_system;
}

/* What was there is in the log. */
static struct err *open_kv(struct tracehead *h)
{
    struct kv_opts opts = {.write_buffer_bytes = h->opts.write_buffer_bytes,
                           .without_log = true,
                           .is_compressed = true};
    char *path = mem_printf("%s/live", h->dir);
    struct err *e = fsx_remove_tree(path);

    if (!e)
        e = kv_open(path, &opts, &h->kv);
    mem_free(path);
    return e;
}

static struct err *open_dropped_by(struct tracehead *h)
{
    char *path = mem_printf("%s/dropped-by", h->dir);
    struct err *e = dropped_by_open(path, &h->dropped_by);

    mem_free(path);
    return e;
}

static void free_head(struct tracehead *h)
{
    mailbox_done(&h->box);
    kv_batch_free(h->batch);
    kv_close(h->kv);
    dropped_by_close(h->dropped_by);
    VEC_FOREACH (t, &h->by_number) {
        VEC_FOREACH (s, &(*t)->segments)
            tracesegdir_unref(*s);
        vec_done(&(*t)->segments);
        mem_free((*t)->id);
        mem_free(*t);
    }
    vec_done(&h->by_number);
    map_done(&h->tenants);
    tracelives_done(&h->lives);
    vec_done(&h->out);
    vec_done(&h->waiting);
    buf_done(&h->record);
    err_free(h->replay_error);
    lock_done(&h->lock);
    lock_done(&h->cutting);
    (void)pthread_cond_destroy(&h->changed);
    mem_free(h->dir);
    mem_free(h);
}

struct err *tracehead_open(const struct tracehead_opts *opts, struct tracehead **ret)
{
    struct tracehead *h = mem_new(struct tracehead);
    struct err *e;

    h->opts = *opts;
    fill_defaults(&h->opts);
    h->dir = mem_strdup(opts->dir);
    h->live_from = wal_next_seq(opts->wal);
    h->batch = kv_batch_new();
    tracelives_init(&h->lives);
    lock_init(&h->cutting, LOCK_HEAD_TENANTS);
    lock_init(&h->lock, LOCK_HEAD_DROPS);
    (void)pthread_cond_init(&h->changed, NULL);
    if (!(e = fsx_mkdirs(h->dir)) && !(e = open_kv(h)) && !(e = open_dropped_by(h)) &&
        !(e = tracesegdirs_load(h)) && !(e = tracehead_floor_load(h)) &&
        !(e = mailbox_start(&h->box, "tracehead")))
        e = tracehead_replay_start(h);
    if (e) {
        free_head(h);
        return err_wrap(e, "trace head %s", opts->dir);
    }
    metric_register(&h->m, tracehead_fields, ORR_COUNT(tracehead_fields), NULL);
    *ret = h;
    return NULL;
}

bool tracehead_is_ready(const struct tracehead *h)
{
    return atomic_load_explicit(&h->is_ready, memory_order_acquire);
}

struct err *tracehead_wait_ready(struct tracehead *h)
{
    struct err *e;

    lock_take(&h->lock);
    while (h->state == TRACEHEAD_REPLAYING)
        lock_wait(&h->lock, &h->changed);
    e = err_copy(h->replay_error);
    lock_release(&h->lock);
    return e;
}

void tracehead_close(struct tracehead *h)
{
    if (!h)
        return;
    atomic_store(&h->is_closing, true);
    tracehead_replay_join(h);
    while (atomic_load_explicit(&h->inflight, memory_order_acquire))
        (void)usleep(CLOSE_POLL_US);
    mailbox_stop(&h->box);
    metric_unregister(&h->m);
    free_head(h);
}

void tracehead_stats_get(struct tracehead *h, struct tracehead_stats *ret)
{
    lock_take(&h->lock);
    *ret = (struct tracehead_stats){h->lives.n, h->lives.bytes, h->replayed, h->floor};
    lock_release(&h->lock);
}

uint64_t tracehead_dropped_by(struct tracehead *h, struct slice tenant)
{
    return dropped_by_get(h->dropped_by, tenant);
}
