#include "ingester/metrics/head_checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "ingester/metrics/head_checkpoint_internal.h"

#define SLICE_SLABS 16u        /* written per turn on the shard's thread */
#define SLICE_BYTES (1u << 20) /* of names, pairs, exemplars or metadata */

const uint8_t head_checkpoint_magic[8] = {'O', 'R', 'R', 'C', 'K', 'P', 0, 1};

enum phase { P_TENANT, P_SERIES, P_NAMES, P_PAIRS, P_EXTRA, P_END, P_DONE };

/* One shard's checkpoint being written. */
struct writing {
    int fd;
    char *path, *tmp;
    enum phase phase;
    size_t tenant; /* index in sh->tenants */
    size_t at;     /* slab, name, pair or exemplar within the phase */
    struct buf out;
    uint64_t from_seq, series;
    struct head_chunks_view view;
    struct err *err;
};

static size_t block_begin(struct buf *out, enum head_checkpoint_kind kind)
{
    size_t at = out->len;

    buf_u64le(out, 0); /* length and checksum, later */
    buf_byte(out, (uint8_t)kind);
    return at;
}

static void block_end(struct buf *out, size_t at)
{
    uint32_t len = (uint32_t)(out->len - at - 8);
    uint32_t crc = hash_crc32c(slice_of(out->ptr + at + 8, len));

    memcpy(out->ptr + at, &len, 4);
    memcpy(out->ptr + at + 4, &crc, 4);
}

static void put_series(struct buf *out, const struct head_ts *ts, uint32_t ref)
{
    const struct head_live *s = head_series_at(ts, ref);
    const struct head_ooo *o = head_ooo_find(ts, ref);
    const struct head_starts *starts = head_starts_find(ts, ref);
    bool has_open = s->app.n && s->open.bytes;
    uint8_t encoding;
    struct slice data;

    buf_byte(out, (uint8_t)(ref % HEAD_SLAB));
    buf_byte(out, (uint8_t)((has_open ? 1 : 0) | (o ? 2 : 0) |
                            (*head_flags_at(ts, ref) & HEAD_FIRST ? 4 : 0) | (starts ? 8 : 0)));
    buf_u64le(out, s->fp.lo);
    buf_u64le(out, s->fp.hi);
    buf_lstr(out, head_index_packed(&ts->index, s->labels));
    buf_u64le(out, (uint64_t)s->app.t);
    buf_u64le(out, s->app.v);
    buf_u64le(out, head_chunks_widen(&ts->shard->chunks, s->sealed));
    if (has_open) {
        data = head_series_open_data(ts, ref, &encoding);
        buf_byte(out, encoding);
        buf_lstr(out, data);
    }
    if (o) {
        buf_uvarint(out, o->n);
        for (uint32_t i = 0; i < o->n; i++) {
            buf_u64le(out, (uint64_t)o->s[i].t_ms);
            buf_f64le(out, o->s[i].v);
        }
    }
    if (starts) {
        buf_uvarint(out, starts->n);
        for (uint32_t i = 0; i < starts->n; i++) {
            buf_u64le(out, (uint64_t)starts->runs[i].from_ms);
            buf_u64le(out, (uint64_t)starts->runs[i].to_ms);
            buf_u64le(out, (uint64_t)starts->runs[i].st_ms);
        }
    }
}

static bool put_slabs(struct writing *w, const struct head_ts *ts)
{
    size_t end = ORR_MIN(w->at + SLICE_SLABS, ts->slabs.len);

    for (; w->at < end; w->at++) {
        size_t block = block_begin(&w->out, HEAD_CKPT_SERIES);

        buf_uvarint(&w->out, w->at);
        /* all this shard logged so far is in memory */
        buf_u64le(&w->out, ts->shard->last_seq + 1);
        for (uint32_t i = 0; i < HEAD_SLAB; i++) {
            uint32_t ref = (uint32_t)w->at * HEAD_SLAB + i;

            if (head_ref_is_used(ts, ref)) {
                put_series(&w->out, ts, ref);
                w->series++;
            }
        }
        block_end(&w->out, block);
    }
    return w->at < ts->slabs.len;
}

static bool put_names(struct writing *w, const struct head_index *x)
{
    size_t block = block_begin(&w->out, HEAD_CKPT_NAMES);

    for (; w->at < x->names.len && w->out.len - block < SLICE_BYTES; w->at++)
        buf_lstr(&w->out, x->names.ptr[w->at]->text);
    block_end(&w->out, block);
    return w->at < x->names.len;
}

static bool put_pairs(struct writing *w, const struct head_index *x)
{
    size_t block = block_begin(&w->out, HEAD_CKPT_PAIRS);

    for (; w->at < x->n_pairs && w->out.len - block < SLICE_BYTES; w->at++) {
        const struct head_pair *p = head_pair_at(x, (uint32_t)w->at);

        if (!p->value || !p->n)
            continue;
        buf_uvarint(&w->out, w->at);
        buf_uvarint(&w->out, p->name);
        buf_lstr(&w->out, head_value_text(p->value));
    }
    block_end(&w->out, block);
    return w->at < x->n_pairs;
}

static void put_extra(struct writing *w, const struct head_ts *ts)
{
    uint64_t from_seq = ts->shard->last_seq + 1;
    size_t block = block_begin(&w->out, HEAD_CKPT_EXEMPLARS);

    buf_u64le(&w->out, from_seq);
    for (uint32_t i = 0; i < ts->ring_len; i++) {
        /* oldest first, so that reading them in order gives the same ring */
        const struct head_ring_exemplar *ex = &ts->ring[(ts->ring_next + i) % ts->ring_len];

        if (!ex->labels)
            continue;
        buf_u32le(&w->out, ex->ref);
        buf_u64le(&w->out, (uint64_t)ex->t_ms);
        buf_f64le(&w->out, ex->v);
        buf_lstr(&w->out, head_value_text((const uint8_t *)ex->labels));
    }
    block_end(&w->out, block);
    block = block_begin(&w->out, HEAD_CKPT_METADATA);
    buf_u64le(&w->out, from_seq);
    MAP_FOREACH (en, &ts->metadata) {
        const struct head_meta *m = en->value;

        buf_byte(&w->out, (uint8_t)m->type);
        buf_lstr(&w->out, en->key);
        buf_lstr(&w->out, m->help);
        buf_lstr(&w->out, m->unit);
    }
    block_end(&w->out, block);
    block = block_begin(&w->out, HEAD_CKPT_CUTS);
    VEC_FOREACH (c, &ts->cuts) {
        buf_u64le(&w->out, (uint64_t)c->up_to_ms);
        buf_u64le(&w->out, c->pos);
    }
    block_end(&w->out, block);
    block = block_begin(&w->out, HEAD_CKPT_WINDOWS);
    VEC_FOREACH (win, &ts->windows)
        buf_u64le(&w->out, (uint64_t)win->start_ms);
    block_end(&w->out, block);
}

static void put_end(struct writing *w, struct head_shard *sh)
{
    size_t block = block_begin(&w->out, HEAD_CKPT_FILES);
    struct head_chunks *c = &sh->chunks;

    buf_u64le(&w->out, c->files.len ? c->files.ptr[0]->number : 0);
    buf_u64le(&w->out, c->files.len ? c->next : 0);
    VEC_FOREACH (f, &c->files) {
        buf_u64le(&w->out, (*f)->number);
        buf_uvarint(&w->out, (*f)->owners.len);
        VEC_FOREACH (o, &(*f)->owners) {
            buf_lstr(&w->out, ((const struct head_tenant *)o->tenant)->slice);
            buf_u64le(&w->out, (uint64_t)o->max_ms);
        }
    }
    block_end(&w->out, block);
    block = block_begin(&w->out, HEAD_CKPT_END);
    buf_u64le(&w->out, w->series);
    block_end(&w->out, block);
    if (head_chunks_is_volatile(c))
        w->err = err_new(ERR_IO, "closed chunks are in memory only");
    head_chunks_view_init(&w->view, c);
}

static void next_phase(struct writing *w)
{
    w->at = 0;
    w->phase++;
}

static void put_tenant(struct writing *w, const struct head_ts *ts)
{
    size_t block = block_begin(&w->out, HEAD_CKPT_TENANT);

    buf_lstr(&w->out, ts->tenant->slice);
    buf_u64le(&w->out, (uint64_t)ts->max_ms);
    buf_u64le(&w->out, (uint64_t)ts->min_ms);
    block_end(&w->out, block);
}

static void put_slice(struct writing *w, struct head_shard *sh)
{
    struct head_ts *ts = w->tenant < sh->tenants.len ? sh->tenants.ptr[w->tenant] : NULL;

    switch (w->phase) {
    case P_TENANT:
        if (!ts) {
            w->phase = P_END;
            break;
        }
        put_tenant(w, ts);
        next_phase(w);
        break;
    case P_SERIES:
        if (!put_slabs(w, ts))
            next_phase(w);
        break;
    case P_NAMES:
        if (!put_names(w, &ts->index))
            next_phase(w);
        break;
    case P_PAIRS:
        if (!put_pairs(w, &ts->index))
            next_phase(w);
        break;
    case P_EXTRA:
        put_extra(w, ts);
        w->tenant++;
        w->at = 0;
        w->phase = P_TENANT;
        break;
    case P_END:
        put_end(w, sh);
        w->phase = P_DONE;
        break;
    case P_DONE:
        break;
    }
}

static struct err *write_out(struct writing *w)
{
    const uint8_t *p = w->out.ptr;
    size_t left = w->out.len;
    int errnum;

    if (fault_hit("head.checkpoint.write", &errnum))
        return err_errnum(ERR_IO, errnum, "write %s", w->tmp);
    while (left) {
        ssize_t n = write(w->fd, p, left);

        if (n < 0)
            return err_errno(ERR_IO, "write %s", w->tmp);
        p += n;
        left -= (size_t)n;
    }
    buf_reset(&w->out);
    return NULL;
}

static void begin(struct writing *w, struct head_shard *sh)
{
    /* what this shard will log from now on has higher numbers */
    w->from_seq = wal_next_seq(sh->head->opts.wal);
    if (sh->last_seq + 1 < w->from_seq)
        sh->last_seq = w->from_seq - 1;
    buf_append(&w->out, head_checkpoint_magic, 8);
    buf_u32le(&w->out, sh->index);
    buf_u32le(&w->out, sh->head->n_shards);
    buf_u64le(&w->out, w->from_seq);
}

/* One turn on the shard's thread. Small tenants share a turn. */
static bool run_slice(struct head_shard *sh, void *arg)
{
    struct writing *w = arg;

    if (!w->from_seq)
        begin(w, sh);
    do
        put_slice(w, sh);
    while (w->out.len < SLICE_BYTES && w->phase != P_DONE && !w->err);
    if (!w->err)
        w->err = write_out(w);
    return !w->err && w->phase != P_DONE;
}

static struct err *writing_open(struct writing *w, const struct head_shard *sh)
{
    char *dir = head_shard_dir(sh);

    w->path = mem_printf("%s/checkpoint", dir);
    w->tmp = mem_printf("%s/checkpoint.tmp", dir);
    mem_free(dir);
    w->fd = open(w->tmp, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0640);
    return w->fd < 0 ? err_errno(ERR_IO, "create %s", w->tmp) : NULL;
}

/* Chunks before the checkpoint that names them. */
static struct err *writing_commit(struct writing *w, const struct head_shard *sh)
{
    struct err *e = head_chunks_view_sync(&w->view);
    char *dir;
    int errnum;

    if (e)
        return e;
    if (fault_hit("head.checkpoint.sync", &errnum))
        return err_errnum(ERR_IO, errnum, "sync %s", w->tmp);
    if (fdatasync(w->fd) < 0)
        return err_errno(ERR_IO, "sync %s", w->tmp);
    if (rename(w->tmp, w->path) < 0)
        return err_errno(ERR_IO, "rename %s", w->tmp);
    dir = head_shard_dir(sh);
    e = fsx_sync_dir(dir);
    mem_free(dir);
    return e;
}

static void writing_done(struct writing *w)
{
    if (w->fd >= 0)
        (void)close(w->fd);
    if (w->tmp)
        (void)unlink(w->tmp);
    head_chunks_view_done(&w->view);
    buf_done(&w->out);
    mem_free(w->path);
    mem_free(w->tmp);
}

struct err *head_checkpoint_locked(struct head *h)
{
    struct writing ws[HEAD_MAX_SHARDS];
    void *args[HEAD_MAX_SHARDS];
    int64_t start = clock_mono_ns(&clock_system);
    uint64_t from_seq = UINT64_MAX, logged = atomic_load(&h->logged_bytes);
    struct err *e = NULL;

    for (uint32_t i = 0; i < h->n_shards; i++) {
        ws[i] = (struct writing){.fd = -1};
        args[i] = &ws[i];
    }
    e = head_heal(h);
    for (uint32_t i = 0; i < h->n_shards && !e; i++)
        e = writing_open(&ws[i], &h->shards[i]);
    if (!e)
        head_call_all(h, run_slice, args);
    for (uint32_t i = 0; i < h->n_shards; i++) {
        e = err_first(e, ws[i].err);
        if (!e)
            e = writing_commit(&ws[i], &h->shards[i]);
        from_seq = ORR_MIN(from_seq, ws[i].from_seq);
        writing_done(&ws[i]);
    }
    if (!e)
        e = wal_truncate_before(h->opts.wal, from_seq);
    if (e) {
        METRIC_ADD(h->m.checkpoint_failures, 1);
        return err_wrap(e, "checkpoint");
    }
    atomic_store(&h->checkpoint_at_bytes, logged);
    METRIC_ADD(h->m.checkpoints, 1);
    metric_hist_observe(&h->m.checkpoint_s, (double)(clock_mono_ns(&clock_system) - start) / 1e9);
    return NULL;
}

struct err *head_checkpoint(struct head *h)
{
    struct err *e;

    if (!head_is_ready(h))
        return err_new(ERR_UNAVAILABLE, "the metrics head is still reading back");
    (void)pthread_mutex_lock(&h->cut_mutex);
    e = head_checkpoint_locked(h);
    (void)pthread_mutex_unlock(&h->cut_mutex);
    return e;
}
