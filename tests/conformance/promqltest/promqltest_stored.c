#include "tests/conformance/promqltest/promqltest_stored.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/vec.h"
#include "common/block/block_reader.h"
#include "ingester/metrics/head.h"
#include "querier/store/series_merge.h"

#define TENANT SLICE("promqltest")
#define BATCH_SAMPLES 20000

struct stored {
    struct storage storage;
    enum stored_mode mode;
    char *dir;
    struct wal *wal;
    struct head *head;
    VEC(struct block_reader *) blocks;
};

/* ---- writing ---- */

struct push_wait {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_done;
    struct err *err;
};

static void on_pushed(void *arg, struct err *e, struct batch_reply *reply)
{
    struct push_wait *w = arg;

    if (!e && (batch_rejected(reply) || reply->unknown.len))
        e = err_new(ERR_INTERNAL, "the head refused %llu samples: %s",
                    (unsigned long long)batch_rejected(reply),
                    reply->refusals.len ? batch_reason_text(reply->refusals.ptr[0].reason)
                                        : "unknown");
    pthread_mutex_lock(&w->mutex);
    w->err = e;
    w->is_done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static struct err *push_batch(struct stored *s, struct batch_writer *bw)
{
    struct push_wait w = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    /* a window wide enough that nothing is too old: the scripts load in any order */
    const struct head_limits limits = {.ooo_window_ms = INT64_C(1) << 40};
    struct buf b = {0};
    struct err *e;

    if (!batch_writer_series(bw))
        return NULL;
    batch_finish(bw, &b);
    if (!(e = head_push(s->head, TENANT, buf_slice(&b), &limits, on_pushed, &w))) {
        pthread_mutex_lock(&w.mutex);
        while (!w.is_done)
            (void)pthread_cond_wait(&w.changed, &w.mutex);
        pthread_mutex_unlock(&w.mutex);
        e = w.err;
    }
    buf_done(&b);
    return e;
}

/* Samples [lo, hi): entries of floats or of histograms, of one start timestamp each, in the order of
 * time. */
static void put_samples(struct batch_writer *bw, const struct storage_series *in,
                        struct slice canonical, size_t lo, size_t hi)
{
    struct hash128 fp = labels_fingerprint_of_canonical(canonical);

    while (lo < hi) {
        bool is_hist = in->h && in->h[lo];
        int64_t st_ms = in->st_ms ? in->st_ms[lo] : 0;

        batch_series_begin(bw, fp);
        batch_series_labels(bw, canonical);
        batch_series_start(bw, st_ms);
        for (;
             lo < hi && (in->h && in->h[lo]) == is_hist && (in->st_ms ? in->st_ms[lo] : 0) == st_ms;
             lo++)
            if (is_hist)
                batch_series_histogram(bw, in->t_ms[lo], in->h[lo]);
            else
                batch_series_sample(bw, in->t_ms[lo], in->v[lo]);
        batch_series_end(bw);
    }
}

enum part { PART_ALL, PART_FIRST, PART_REST };

static struct err *push_all(struct stored *s, struct memstore *m, enum part part)
{
    const struct storage_request everything = {.start_ms = INT64_MIN, .end_ms = INT64_MAX};
    struct arena *a = arena_new(0);
    struct batch_writer bw;
    struct storage_series in;
    struct series_set *set;
    struct err *e = storage_select(memstore_storage(m), a, &everything, &set);
    size_t n = 0;

    if (e) {
        arena_free(a);
        return e;
    }
    batch_writer_init(&bw, 0);
    while (!e && series_set_next(set, &in)) {
        size_t half = (in.n + 1) / 2;
        struct buf canonical = {0};

        labels_canonical(&canonical, in.labels);
        put_samples(&bw, &in, buf_slice(&canonical), part == PART_REST ? half : 0,
                    part == PART_FIRST ? half : in.n);
        n += in.n;
        buf_done(&canonical);
        if (n > BATCH_SAMPLES) {
            e = push_batch(s, &bw);
            n = 0;
        }
    }
    e = err_first(e, series_set_close(set));
    if (!e)
        e = push_batch(s, &bw);
    batch_writer_done(&bw);
    arena_free(a);
    return e;
}

/* Cuts what the head holds and opens the segments as the blocks they become. */
static struct err *cut(struct stored *s)
{
    struct head_segment *segs;
    size_t n;
    struct err *e = head_cut(s->head, TENANT, INT64_MAX, NULL);

    if (e)
        return e;
    head_segments(s->head, &segs, &n);
    for (size_t i = 0; i < n && !e; i++) {
        struct block_reader *r;

        if (!(e = block_reader_open_dir(segs[i].path, &r)))
            vec_push(&s->blocks, r);
    }
    /* From now on they are blocks: the head must not answer with them too. */
    for (size_t i = 0; i < n && !e; i++)
        e = head_segment_dropped(s->head, TENANT, slice_cstr(segs[i].ulid), 0);
    mem_free(segs);
    return e;
}

/* ---- reading ---- */

struct head_source {
    struct series_source base;
    struct head_set *set;
    struct arena *arena;
};

static struct err *head_source_next(struct series_source *base, struct source_series *ret,
                                    bool *ret_more)
{
    struct head_source *hs = (struct head_source *)base;
    struct columns_chunk *chunks;
    struct head_series in;
    struct err *e;

    arena_reset(hs->arena);
    if (!(*ret_more = head_set_next(hs->set, &in))) {
        e = head_set_close(hs->set);
        hs->set = NULL;
        return e;
    }
    chunks = arena_array(hs->arena, struct columns_chunk, in.n_chunks);
    for (size_t i = 0; i < in.n_chunks; i++)
        chunks[i].chunk = (struct chunk){.encoding = in.chunks[i].encoding,
                                         .min_t = in.chunks[i].min_ms,
                                         .max_t = in.chunks[i].max_ms,
                                         .data = in.chunks[i].data};
    *ret = (struct source_series){in.labels, chunks, in.n_chunks, in.fp};
    return NULL;
}

static void head_source_close(struct series_source *base)
{
    struct head_source *hs = (struct head_source *)base;

    if (hs->set)
        err_free(head_set_close(hs->set));
    arena_free(hs->arena);
    mem_free(hs);
}

static struct err *open_head(struct stored *s, const struct storage_request *req,
                             struct series_source **ret)
{
    static const struct series_source_ops ops = {head_source_next, head_source_close};
    struct head_query q = {.tenant = TENANT,
                           .matchers = req->matchers,
                           .min_ms = req->start_ms,
                           .max_ms = req->end_ms,
                           .is_keyed = req->is_grouped,
                           .names = req->grouping,
                           .n_names = req->n_grouping,
                           .newest_only = req->newest_only,
                           .shard_index = req->shard_index,
                           .shard_count = req->shard_count};
    struct head_source *hs = mem_new(struct head_source);
    struct err *e = head_select(s->head, &q, &hs->set);

    hs->base.ops = &ops;
    hs->arena = arena_new(0);
    if (e) {
        hs->set = NULL;
        head_source_close(&hs->base);
        return e;
    }
    *ret = &hs->base;
    return NULL;
}

static struct err *stored_select(struct storage *st, struct arena *arena,
                                 const struct storage_request *req, struct series_set **ret)
{
    struct stored *s = ORR_CONTAINER(st, struct stored, storage);
    struct series_merge_opts opts = {.arena = arena,
                                     .min_ms = req->start_ms,
                                     .max_ms = req->end_ms,
                                     .is_keyed = req->is_grouped,
                                     .deadline_mono_ms = req->deadline_mono_ms,
                                     .cancel = req->cancel};
    struct series_source **srcs = mem_new_array(struct series_source *, s->blocks.len + 1);
    const struct series_keying keying = {req->is_grouped, req->grouping, req->n_grouping,
                                         req->shard_index, req->shard_count};
    size_t n = 0;
    struct err *e = open_head(s, req, &srcs[0]);

    n += !e;
    for (size_t i = 0; i < s->blocks.len && !e; i++) {
        e = series_source_block(s->blocks.ptr[i], req->matchers, req->start_ms, req->end_ms, false,
                                &keying, s->blocks.len, &srcs[n]);
        n += !e;
    }
    if (e)
        for (size_t i = 0; i < n; i++)
            srcs[i]->ops->close(srcs[i]);
    else
        *ret = series_merge(&opts, srcs, n);
    mem_free((void *)srcs);
    return e;
}

/* ---- life ---- */

static struct err *open_files(struct stored *s)
{
    struct wal_opts wo = {.segment_bytes = 4 << 20, .without_sync = true};
    struct head_opts ho = {.shards = 2};
    struct err *e;

    s->dir =
        mem_printf("%s/orrery-promqltest-XXXXXX", fsx_exists("/dev/shm") ? "/dev/shm" : "/tmp");
    if (!mkdtemp(s->dir)) {
        e = err_errno(ERR_IO, "mkdtemp %s", s->dir);
        mem_free(s->dir);
        s->dir = NULL;
        return e;
    }
    wo.dir = ho.dir = s->dir;
    if ((e = wal_open(&wo, &s->wal)))
        return e;
    ho.wal = s->wal;
    if ((e = head_open(&ho, &s->head)))
        return e;
    return head_wait_ready(s->head);
}

static struct err *fill(struct stored *s, struct memstore *m)
{
    struct err *e;

    if (s->mode == STORED_HEAD)
        return push_all(s, m, PART_ALL);
    if ((e = push_all(s, m, s->mode == STORED_BOTH ? PART_FIRST : PART_ALL)) || (e = cut(s)))
        return e;
    return s->mode == STORED_BOTH ? push_all(s, m, PART_REST) : NULL;
}

struct err *stored_new(enum stored_mode mode, struct memstore *m, struct stored **ret)
{
    static const struct storage_ops ops = {stored_select};
    struct stored *s = mem_new(struct stored);
    struct err *e;

    s->storage.ops = &ops;
    s->mode = mode;
    if ((e = open_files(s)) || (e = fill(s, m))) {
        stored_free(s);
        return e;
    }
    *ret = s;
    return NULL;
}

void stored_free(struct stored *s)
{
    if (!s)
        return;
    VEC_FOREACH (r, &s->blocks)
        block_reader_close(*r);
    vec_done(&s->blocks);
    if (s->head)
        head_abandon(s->head);
    if (s->wal)
        err_free(wal_close(s->wal));
    if (s->dir)
        err_free(fsx_remove_tree(s->dir));
    mem_free(s->dir);
    mem_free(s);
}

struct storage *stored_storage(struct stored *s)
{
    return &s->storage;
}
