/*
 * Cutting windows into segments.
 *
 *   1  shards: close what is open and older than up_to (in slices, between batches)
 *   2  shards, in one turn: close what came since; note each series' chain and the position P
 *   3  worker: sort by labels, write one block per window, register the segments
 *   4  shards: hide chunks below P that are older than up_to; forget idle series; give files back
 *   5  checkpoint, truncate the log
 *
 * A crash before 5 brings the samples back from the log beside their segments: reads and the
 * compactor merge equal samples, so that costs work and loses nothing.
 */
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/block/block_merge.h"
#include "common/block/block_writer.h"
#include "common/block/sidecar.h"
#include "ingester/metrics/head_part.h"
#include "ingester/metrics/head_segment.h"

#define SLICE_SLABS 64u
#define MAX_WRITERS 64u /* windows written in one pass over the series */
#define IDLE_MS 3600000ll

struct shard_cut {
    struct head_tenant *tenant;
    int64_t up_to_ms;
    struct head_part part;
    size_t at;
    uint64_t pos;
    struct err *err;
    struct buf exemplars, metadata; /* items of the sidecars */
    VEC(uint32_t) idle;
};

/* ---- 1 and 2: closing and capturing ---- */

static struct err *close_series(struct head_ts *ts, uint32_t ref, int64_t up_to_ms)
{
    const struct head_ooo *o = head_ooo_find(ts, ref);
    const struct head_starts *starts = head_starts_find(ts, ref);
    int64_t min_ms, max_ms;
    struct err *e = NULL;

    if (head_series_open_range(ts, ref, &min_ms, &max_ms) && min_ms < up_to_ms)
        e = head_series_close_chunk(ts, ref);
    if (!e && o && o->n && o->s[0].t_ms < up_to_ms)
        e = head_series_close_ooo(ts, ref);
    if (!e && starts && starts->n && starts->runs[0].from_ms < up_to_ms)
        e = head_starts_close(ts, ref);
    return e;
}

static void close_slab(struct shard_cut *c, struct head_ts *ts, size_t slab)
{
    for (uint32_t i = 0; i < HEAD_SLAB && !c->err; i++) {
        uint32_t ref = (uint32_t)slab * HEAD_SLAB + i;

        if (head_ref_is_used(ts, ref))
            c->err = close_series(ts, ref, c->up_to_ms);
    }
}

static bool run_close(struct head_shard *sh, void *arg)
{
    struct shard_cut *c = arg;
    struct head_ts *ts = c->tenant->ts[sh->index];
    size_t end;

    if (!ts)
        return false;
    end = ORR_MIN(c->at + SLICE_SLABS, ts->slabs.len);
    for (; c->at < end && !c->err; c->at++)
        close_slab(c, ts, c->at);
    return !c->err && c->at < ts->slabs.len;
}

static void put_canonical(const struct head_ts *ts, uint32_t ref, struct buf *out)
{
    head_index_canonical(&ts->index, head_index_packed(&ts->index, head_series_at(ts, ref)->labels),
                         out);
}

static void capture_extra(struct shard_cut *c, const struct head_ts *ts)
{
    struct buf canonical = {0};

    for (uint32_t i = 0; i < ts->ring_len; i++) {
        const struct head_ring_exemplar *ex = &ts->ring[(ts->ring_next + i) % ts->ring_len];

        if (!ex->labels || ex->t_ms >= c->up_to_ms)
            continue;
        buf_reset(&canonical);
        put_canonical(ts, ex->ref, &canonical);
        sidecar_put_exemplar(&c->exemplars, &(struct sidecar_exemplar){
                                                buf_slice(&canonical), ex->t_ms, ex->v,
                                                head_value_text((const uint8_t *)ex->labels)});
    }
    MAP_FOREACH (en, &ts->metadata) {
        const struct head_meta *m = en->value;

        sidecar_put_metadata(
            &c->metadata, &(struct sidecar_metadata){(uint8_t)m->type, en->key, m->help, m->unit});
    }
    buf_done(&canonical);
}

static bool run_capture(struct head_shard *sh, void *arg)
{
    struct shard_cut *c = arg;
    struct head_ts *ts = c->tenant->ts[sh->index];

    if (!ts)
        return false;
    for (size_t slab = 0; slab < ts->slabs.len && !c->err; slab++)
        close_slab(c, ts, slab);
    if (c->err)
        return false;
    /* in one turn, so that nothing falls between: no growing on the way */
    vec_reserve(&c->part.rows, ts->n_series);
    (void)buf_reserve(&c->part.blob, ts->n_series * 32);
    for (uint32_t ref = 0; ref < ts->n_refs; ref++)
        if (head_ref_is_used(ts, ref) && head_series_at(ts, ref)->sealed)
            head_part_add(&c->part, ts, ref, HEAD_PART_CLOSED);
    head_part_freeze(&c->part, ts);
    c->pos = sh->chunks.next;
    head_windows_begin_cut(ts);
    capture_extra(c, ts);
    return false;
}

/* ---- 3: writing ---- */

struct window {
    int64_t start_ms;
    struct block_writer *writer;
    char ulid[ULID_TEXT_LEN + 1];
};

struct cutting {
    struct head *head;
    struct head_tenant *tenant;
    int64_t up_to_ms;
    struct shard_cut *shards;
    int64_t from_window_ms; /* this pass writes windows from here on */
    bool has_more;          /* a later pass is needed, from: */
    int64_t next_window_ms;
    struct window windows[MAX_WRITERS];
    size_t n_windows;
    struct arena *arena;
    char *dir;
    struct rng rng;
    uint64_t broken;
    size_t segments;
};

static struct err *open_window(struct cutting *c, struct window *w, int64_t start_ms)
{
    uint8_t entropy[10];
    struct block_writer_opts opts = {.dir = c->dir};

    for (size_t i = 0; i < sizeof(entropy); i++)
        entropy[i] = (uint8_t)rng_u32(&c->rng);
    opts.meta.ulid = ulid_make(clock_wall_ms(c->head->opts.clock), entropy);
    opts.meta.min_t = start_ms;
    opts.meta.max_t = start_ms + HEAD_WINDOW_MS;
    opts.meta.level = 1;
    opts.meta.origin = SLICE("ingester");
    opts.meta.tenant = c->tenant->slice;
    w->start_ms = start_ms;
    memcpy(w->ulid, ulid_print(opts.meta.ulid).s, sizeof(w->ulid));
    return block_writer_open(&opts, &w->writer);
}

/* NULL in *ret: the window belongs to another pass. */
static struct err *window_of(struct cutting *c, int64_t start_ms, struct window **ret)
{
    *ret = NULL;
    if (start_ms < c->from_window_ms)
        return NULL; /* done */
    for (size_t i = 0; i < c->n_windows; i++) {
        if (c->windows[i].start_ms == start_ms) {
            *ret = &c->windows[i];
            return NULL;
        }
    }
    *ret = &c->windows[c->n_windows++];
    return open_window(c, *ret, start_ms);
}

static int cmp_head_chunk(const void *a, const void *b)
{
    const struct head_chunk *x = a, *y = b;

    if (x->min_ms != y->min_ms)
        return x->min_ms < y->min_ms ? -1 : 1;
    return (x->max_ms > y->max_ms) - (x->max_ms < y->max_ms);
}

/* A stream of one series whose chunks do not overlap one another: a layer. */
struct layer {
    struct block_stream stream;
    struct block_series series;
    bool is_given;
};

static struct err *layer_next(struct block_stream *s, struct block_series *ret, bool *ret_more)
{
    struct layer *l = ORR_CONTAINER(s, struct layer, stream);

    *ret_more = !l->is_given;
    l->is_given = true;
    *ret = l->series;
    return NULL;
}

static void layer_close(struct block_stream *s)
{
    (void)s;
}

static const struct block_stream_ops layer_ops = {layer_next, layer_close};

/* Out-of-order chunks overlap others: deals the chunks into as few layers as keep each of them free
 * of overlap, and lets the block merge do the rest. */
static struct err *add_overlapping(struct cutting *c, struct window *w, struct labels ls,
                                   const struct chunk *chunks, size_t n, struct slice starts)
{
    struct layer *layers = arena_array(c->arena, struct layer, n);
    struct chunk **lists = arena_array(c->arena, struct chunk *, n);
    struct block_stream **streams = arena_array(c->arena, struct block_stream *, n);
    size_t n_layers = 0, k;

    for (size_t i = 0; i < n; i++) {
        for (k = 0; k < n_layers; k++)
            if (lists[k][layers[k].series.n_chunks - 1].max_t < chunks[i].min_t)
                break;
        if (k == n_layers) {
            lists[k] = arena_array(c->arena, struct chunk, n - i);
            layers[k].stream.ops = &layer_ops;
            layers[k].series.labels = ls;
            layers[k].series.chunks = lists[k];
            streams[k] = &layers[k].stream;
            n_layers++;
        }
        lists[k][layers[k].series.n_chunks++] = chunks[i];
    }
    layers[0].series.starts = starts;
    return block_merge(streams, n_layers, &(struct block_merge_opts){0}, w->writer, NULL);
}

/* What the chunks of start timestamps say, as one. */
static struct err *join_starts(struct cutting *c, const struct head_chunk *hc, size_t n,
                               struct slice *ret)
{
    struct start_set set = {0};
    struct chunk joined;
    struct err *e = NULL;

    for (size_t i = 0; i < n && !e; i++)
        if (hc[i].encoding == CHUNK_STARTS)
            e = start_set_add(&set, hc[i].data);
    start_set_flatten(&set);
    if (!e && start_runs_chunk(c->arena, set.runs.ptr, set.runs.len, &joined))
        *ret = joined.data;
    start_set_done(&set);
    return e;
}

static struct err *add_series(struct cutting *c, struct window *w, struct labels ls,
                              const struct head_chunk *hc, size_t n)
{
    struct chunk *chunks = arena_array(c->arena, struct chunk, n);
    struct slice starts = SLICE_EMPTY;
    bool overlaps = false;
    size_t kept = 0;
    struct err *e;

    for (size_t i = 0; i < n; i++) {
        if (ORR_UNLIKELY(hc[i].encoding == CHUNK_STARTS))
            continue;
        chunks[kept] = (struct chunk){hc[i].encoding, hc[i].min_ms, hc[i].max_ms, hc[i].data};
        overlaps = overlaps || (kept && chunks[kept].min_t <= chunks[kept - 1].max_t);
        kept++;
    }
    if (ORR_UNLIKELY(kept != n) && (!kept || (e = join_starts(c, hc, n, &starts))))
        return kept ? e : NULL;
    if (overlaps)
        return add_overlapping(c, w, ls, chunks, kept, starts);
    return block_writer_add(
        w->writer,
        &(struct block_series){.labels = ls, .chunks = chunks, .n_chunks = kept, .starts = starts});
}

/* Gives each window the series' chunks in it. A window beyond MAX_WRITERS waits for the next pass. */
static struct err *add_row(struct cutting *c, struct head_part *p, const struct head_row *row)
{
    struct head_chunk_list list = {0};
    struct labels ls = head_row_labels(p, row, c->arena);
    struct err *e = NULL;
    size_t n;

    head_row_chunks(p, row, INT64_MIN, c->up_to_ms - 1, c->arena, &list);
    if (list.len > 1)
        qsort(list.ptr, list.len, sizeof(*list.ptr), cmp_head_chunk);
    for (size_t i = 0; i < list.len && !e; i += n) {
        int64_t start = head_window_start(list.ptr[i].min_ms);
        struct window *w;

        for (n = 1; i + n < list.len && head_window_start(list.ptr[i + n].min_ms) == start; n++)
            ;
        if (c->has_more && start >= c->next_window_ms)
            continue;
        if (!(e = window_of(c, start, &w)) && w)
            e = add_series(c, w, ls, &list.ptr[i], n);
    }
    vec_done(&list);
    return e;
}

static int cmp_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

struct starts {
    int64_t *ptr;
    size_t len, cap;
};

static void note_start(struct starts *all, int64_t start)
{
    size_t lo = 0, hi = all->len;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (all->ptr[mid] < start)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < all->len && all->ptr[lo] == start)
        return;
    vec_push(all, start);
    qsort(all->ptr, all->len, sizeof(*all->ptr), cmp_i64);
}

/* Which windows there are, so that passes can take them in order. */
static void list_windows(struct cutting *c, struct starts *all)
{
    struct head_chunk_list list = {0};

    for (uint32_t i = 0; i < c->head->n_shards; i++) {
        struct head_part *p = &c->shards[i].part;

        VEC_FOREACH (row, &p->rows) {
            vec_clear(&list);
            head_row_chunks(p, row, INT64_MIN, c->up_to_ms - 1, c->arena, &list);
            VEC_FOREACH (hc, &list)
                note_start(all, head_window_start(hc->min_ms));
        }
    }
    vec_done(&list);
}

static struct err *write_pass(struct cutting *c)
{
    struct head *h = c->head;
    struct head_part *min;
    struct err *e = NULL;

    for (uint32_t i = 0; i < h->n_shards; i++)
        c->shards[i].part.next = 0;
    do {
        min = NULL;
        for (uint32_t i = 0; i < h->n_shards; i++) {
            struct head_part *p = &c->shards[i].part;

            if (p->next < p->rows.len && (!min || head_row_cmp(p, &p->rows.ptr[p->next], min,
                                                               &min->rows.ptr[min->next]) < 0))
                min = p;
        }
        if (min) {
            arena_reset(c->arena);
            e = add_row(c, min, &min->rows.ptr[min->next++]);
        }
    } while (min && !e);
    return e;
}

/* Writes the file unless there is nothing in it. */
static struct err *write_sidecar(struct window *w, enum sidecar_kind kind, struct slice items)
{
    struct buf out = {0};
    struct err *e;

    if (!items.len)
        return NULL;
    sidecar_begin(&out, kind);
    buf_slice_append(&out, items);
    sidecar_end(&out);
    e = block_writer_sidecar(w->writer, sidecar_file(kind), buf_slice(&out));
    buf_done(&out);
    return e;
}

/* Exemplars of the window, and all metadata. */
static struct err *write_sidecars(struct cutting *c, struct window *w)
{
    struct buf exemplars = {0}, metadata = {0};
    struct sidecar_exemplar ex;
    struct err *e;

    for (uint32_t i = 0; i < c->head->n_shards; i++) {
        struct reader r = reader_new(buf_slice(&c->shards[i].exemplars));

        while (sidecar_next_exemplar(&r, &ex))
            if (head_window_start(ex.t_ms) == w->start_ms)
                sidecar_put_exemplar(&exemplars, &ex);
        buf_slice_append(&metadata, buf_slice(&c->shards[i].metadata));
    }
    if (!(e = write_sidecar(w, SIDECAR_EXEMPLARS, buf_slice(&exemplars))))
        e = write_sidecar(w, SIDECAR_METADATA, buf_slice(&metadata));
    buf_done(&exemplars);
    buf_done(&metadata);
    return e;
}

static struct err *finish_window(struct cutting *c, struct window *w)
{
    struct block_meta meta;
    struct err *e = write_sidecars(c, w);
    char *path;

    if (e || (e = block_writer_finish(w->writer, c->arena, &meta)))
        return e;
    path = mem_printf("%s/%s", c->dir, w->ulid);
    e = head_registry_add(c->head, c->tenant->slice, path);
    if (!e) {
        c->segments++;
        METRIC_ADD(c->head->m.segments_written, 1);
        LOG_INFO(head, "segment written", KV_STR("tenant", c->tenant->id), KV_STR("block", w->ulid),
                 KV_U64("series", meta.stats.series), KV_U64("samples", meta.stats.samples),
                 KV_I64("min_ms", meta.min_t), KV_I64("max_ms", meta.max_t));
    }
    mem_free(path);
    return e;
}

static struct err *write_segments(struct cutting *c)
{
    struct starts all = {0};
    struct err *e = NULL;

    for (uint32_t i = 0; i < c->head->n_shards; i++)
        head_part_sort(&c->shards[i].part);
    list_windows(c, &all);
    for (size_t at = 0; at < all.len && !e; at += MAX_WRITERS) {
        c->n_windows = 0;
        c->from_window_ms = all.ptr[at];
        c->has_more = at + MAX_WRITERS < all.len;
        c->next_window_ms = c->has_more ? all.ptr[at + MAX_WRITERS] : 0;
        e = write_pass(c);
        for (size_t i = 0; i < c->n_windows; i++) {
            if (!e)
                e = finish_window(c, &c->windows[i]);
            block_writer_close(c->windows[i].writer);
        }
    }
    vec_done(&all);
    return e;
}

/* ---- 4: letting go ---- */

static bool has_visible_chunk(struct head_ts *ts, uint32_t ref)
{
    const struct head_chunks *c = &ts->shard->chunks;
    struct head_chunks_record rec;
    bool is_broken;

    for (uint64_t pos = head_chunks_widen(c, head_series_at(ts, ref)->sealed);
         head_chunks_read_own(c, pos, &rec, &is_broken); pos = rec.prev)
        if (!head_cut_hides(ts->cuts.ptr, ts->cuts.len, pos, rec.max_ms))
            return true;
    return false;
}

static void release_series(struct shard_cut *c, struct head_ts *ts, uint32_t ref)
{
    struct head_live *s = head_series_at(ts, ref);
    int64_t idle_before = ts->max_ms < INT64_MIN + IDLE_MS ? ts->max_ms : ts->max_ms - IDLE_MS;

    if (s->sealed && !has_visible_chunk(ts, ref))
        s->sealed = 0;
    if (!s->sealed && !s->app.n && !head_ooo_find(ts, ref) &&
        s->app.t < ORR_MIN(c->up_to_ms, idle_before))
        vec_push(&c->idle, ref);
}

static bool is_dead_owner(void *arg, const struct head_chunks_owner *o, uint64_t end_pos)
{
    const struct head_shard *sh = arg;
    const struct head_tenant *t = o->tenant;
    const struct head_ts *ts = t->ts[sh->index];

    return !ts || head_cut_hides(ts->cuts.ptr, ts->cuts.len, end_pos - 1, o->max_ms);
}

/* Cuts that another one covers, or whose files are gone, say nothing any more. */
static void tidy_cuts(struct head_ts *ts)
{
    const struct head_chunks *c = &ts->shard->chunks;
    uint64_t first = c->files.len ? c->files.ptr[0]->number * HEAD_CHUNKS_FILE : c->next;
    size_t keep = 0;

    for (size_t i = 0; i < ts->cuts.len; i++) {
        const struct head_ts_cut *a = &ts->cuts.ptr[i];
        bool is_covered = a->pos <= first;

        for (size_t k = i + 1; k < ts->cuts.len && !is_covered; k++)
            is_covered = ts->cuts.ptr[k].pos >= a->pos && ts->cuts.ptr[k].up_to_ms >= a->up_to_ms;
        if (!is_covered)
            ts->cuts.ptr[keep++] = *a;
    }
    ts->cuts.len = keep;
}

static bool run_release(struct head_shard *sh, void *arg)
{
    struct shard_cut *c = arg;
    struct head_ts *ts = c->tenant->ts[sh->index];
    size_t end;

    if (!ts)
        return false;
    if (!c->at) {
        vec_push(&ts->cuts, ((struct head_ts_cut){c->up_to_ms, c->pos}));
        ts->min_ms = ORR_MAX(ts->min_ms, c->up_to_ms);
        head_windows_end_cut(ts, c->up_to_ms);
        atomic_store_explicit(&c->tenant->min_ms, ts->min_ms, memory_order_relaxed);
    }
    end = ORR_MIN(c->at + SLICE_SLABS, ts->slabs.len);
    vec_clear(&c->idle);
    for (; c->at < end; c->at++) {
        for (uint32_t i = 0; i < HEAD_SLAB; i++) {
            uint32_t ref = (uint32_t)c->at * HEAD_SLAB + i;

            if (head_ref_is_used(ts, ref))
                release_series(c, ts, ref);
        }
    }
    if (c->idle.len) {
        head_table_remove(ts, c->idle.ptr, c->idle.len);
        ts->gc_epoch++;
    }
    if (c->at < ts->slabs.len)
        return true;
    head_chunks_drop(&sh->chunks, is_dead_owner, sh);
    tidy_cuts(ts);
    head_index_reap(&ts->index);
    return false;
}

/* ---- all of it ---- */

static void call_shards(struct cutting *c, head_msg_fn *fn)
{
    void *args[HEAD_MAX_SHARDS];

    for (uint32_t i = 0; i < c->head->n_shards; i++) {
        c->shards[i].at = 0;
        args[i] = &c->shards[i];
    }
    head_call_all(c->head, fn, args);
}

static struct err *shard_errors(struct cutting *c)
{
    struct err *e = NULL;

    for (uint32_t i = 0; i < c->head->n_shards; i++) {
        e = err_first(e, c->shards[i].err);
        c->shards[i].err = NULL;
    }
    return e;
}

static void cutting_done(struct cutting *c)
{
    for (uint32_t i = 0; i < c->head->n_shards; i++) {
        struct shard_cut *sc = &c->shards[i];

        c->broken += sc->part.broken;
        head_part_done(&sc->part);
        buf_done(&sc->exemplars);
        buf_done(&sc->metadata);
        vec_done(&sc->idle);
    }
    if (c->broken)
        LOG_ERROR(head, "closed chunks failed their checksum and were left out",
                  KV_STR("tenant", c->tenant->id), KV_U64("count", c->broken));
    mem_free(c->shards);
    mem_free(c->dir);
    arena_free(c->arena);
    mem_free(c);
}

struct err *head_cut_tenant(struct head *h, struct head_tenant *t, int64_t up_to_ms,
                            _Atomic size_t *segments)
{
    struct cutting *c = mem_new(struct cutting);
    int64_t start = clock_mono_ns(&clock_system);
    struct err *e;

    c->head = h;
    c->tenant = t;
    c->up_to_ms = up_to_ms;
    c->shards = mem_new_array(struct shard_cut, h->n_shards);
    c->arena = arena_new(0);
    c->dir = mem_printf("%s/segments/%s", h->dir, t->id);
    rng_seed_system(&c->rng);
    for (uint32_t i = 0; i < h->n_shards; i++) {
        c->shards[i].tenant = t;
        c->shards[i].up_to_ms = up_to_ms;
    }
    call_shards(c, run_close);
    if (!(e = shard_errors(c))) {
        call_shards(c, run_capture);
        e = shard_errors(c);
    }
    if (!e)
        e = write_segments(c);
    for (uint32_t i = 0; i < h->n_shards; i++) { /* the pins would keep removed labels */
        c->broken += c->shards[i].part.broken;
        head_part_done(&c->shards[i].part);
    }
    if (!e)
        call_shards(c, run_release);
    METRIC_ADD(h->m.cuts, 1);
    METRIC_ADD(h->m.cut_failures, e != NULL);
    metric_hist_observe(&h->m.cut_s, (double)(clock_mono_ns(&clock_system) - start) / 1e9);
    atomic_fetch_add(segments, c->segments);
    cutting_done(c);
    return err_wrap(e, "cut tenant %s", t->id);
}

struct all {
    struct head *head;
    int64_t up_to_ms;
    _Atomic size_t segments;
};

static struct err *cut_one(void *arg, struct head_tenant *t)
{
    struct all *all = arg;

    return head_cut_tenant(all->head, t, all->up_to_ms, &all->segments);
}

struct err *head_cut(struct head *h, struct slice tenant, int64_t up_to_ms, size_t *ret_segments)
{
    struct all all = {.head = h, .up_to_ms = up_to_ms};
    struct head_tenant **list;
    size_t n = 0, due = 0;
    struct err *e;

    if (!head_is_ready(h))
        return err_new(ERR_UNAVAILABLE, "the metrics head is still reading back");
    list = head_tenant_list(h, &n);
    for (size_t i = 0; i < n; i++)
        if ((!tenant.len || slice_eq(tenant, list[i]->slice)) &&
            atomic_load_explicit(&list[i]->series, memory_order_relaxed))
            list[due++] = list[i];
    (void)pthread_mutex_lock(&h->cut_mutex);
    e = head_sweep(list, due, cut_one, &all);
    e = err_first(e, head_checkpoint_locked(h));
    (void)pthread_mutex_unlock(&h->cut_mutex);
    mem_free(list);
    if (ret_segments)
        *ret_segments = atomic_load(&all.segments);
    return e;
}
