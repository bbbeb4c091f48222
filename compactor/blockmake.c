#include "compactor/blockmake.h"

#include <stdio.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/block/block_merge.h"
#include "common/block/sidecar.h"
#include "common/block/tombstone_stream.h"

struct ulid blockmake_id(struct ulid id, const struct tombstone_list *tombstones,
                         const struct blockmake_input *inputs, size_t n_inputs)
{
    size_t n, used = 2;
    const struct tombstone *all = tombstone_list_all(tombstones, &n);
    struct slice *parts = mem_new_array(struct slice, n + 2);

    parts[0] = SLICE("without");
    parts[1] = slice_of(id.bytes, sizeof(id.bytes));
    for (size_t i = 0; i < n; i++) {
        bool reaches = false;

        for (size_t k = 0; k < n_inputs; k++)
            reaches = reaches || (all[i].min_ms <= inputs[k].found.max_t &&
                                  all[i].max_ms >= inputs[k].found.min_t);
        if (reaches)
            parts[used++] = slice_of(all[i].ulid.bytes, sizeof(all[i].ulid.bytes));
    }
    if (used > 2)
        id = ulid_derive(ulid_time_ms(id), parts, used);
    mem_free(parts);
    return id;
}

struct ulid blockmake_again(struct ulid first, uint32_t i)
{
    const struct slice parts[] = {SLICE("again"), slice_of(first.bytes, sizeof(first.bytes)),
                                  slice_of(&i, sizeof(i))};

    return i ? ulid_derive(ulid_time_ms(first), parts, ORR_COUNT(parts)) : first;
}

void blockmake_waste_register(const struct blockmake_waste *w, const struct metric_field *field,
                              const char *labels)
{
    const struct {
        const char *reason;
        const uint64_t *counter;
    } all[] = {
#define X(reason) {#reason, &w->reason},
        BLOCKMAKE_WASTE(X)
#undef X
    };

    for (size_t i = 0; i < ORR_COUNT(all); i++) {
        char text[128];

        (void)snprintf(text, sizeof(text), "%s%sreason=\"%s\"", labels ? labels : "",
                       labels ? "," : "", all[i].reason);
        metric_register(all[i].counter, field, 1, text);
    }
}

void blockmake_waste_unregister(const struct blockmake_waste *w)
{
#define X(reason) metric_unregister(&w->reason);
    BLOCKMAKE_WASTE(X)
#undef X
}

/* Asked between two series. */
static bool must_stop(void *arg)
{
    const struct blockmake_opts *o = arg;

    if (o->done_series)
        atomic_fetch_add_explicit(o->done_series, 1, memory_order_relaxed);
    return o->stop && atomic_load(o->stop);
}

/* Whole sidecar of an input, or empty: it has none, or a corrupt one. */
static struct err *read_sidecar(const struct blockmake_opts *o, struct arena *a, const char *dir,
                                enum sidecar_kind kind, struct buf *ret)
{
    const char *path = arena_printf(a, "%s/%s", dir, sidecar_file(kind));
    struct err *e;

    if (!fsx_exists(path))
        return NULL;
    if (!(e = fsx_read(path, SIDECAR_MAX_BYTES, ret)))
        e = sidecar_check(kind, buf_slice(ret));
    if (err_is(e, ERR_CORRUPT) || err_is(e, ERR_TOO_LARGE)) {
        METRIC_ADD(o->stats->bad_sidecars, 1);
        LOG_ERROR(compactor, "sidecar left out", KV_STR("path", path), KV_ERR(e));
        err_free(e);
        e = NULL;
        buf_reset(ret);
    }
    return e;
}

static bool is_of_shard(const struct blockmake_opts *o, struct labels ls)
{
    return !o->is_split || labels_hash_prometheus(ls) % o->meta->shards == o->meta->shard;
}

struct sifting {
    const struct blockmake_opts *opts;
    int64_t max_t;
    bool is_over; /* some retention */
};

/* Whether the sample of an exemplar is in the block. */
static bool is_in_block(void *arg, struct arena *tmp, struct labels series,
                        const struct sidecar_exemplar *x)
{
    const struct sifting *s = arg;
    size_t n;

    if (!is_of_shard(s->opts, series) ||
        (s->is_over && retention_drops(s->opts->retention, series, s->max_t, NULL)))
        return false;
    (void)tombstone_list_spans(s->opts->tombstones, tmp, series, x->t_ms, x->t_ms, &n);
    return n == 0;
}

static struct err *sift_exemplars(const struct blockmake_opts *o, int64_t max_t, struct buf *io)
{
    struct sifting s = {o, max_t, retention_hash(o->retention, max_t) != 0};
    struct buf all = *io;
    struct err *e;

    *io = (struct buf){0};
    e = sidecar_sift_exemplars(buf_slice(&all), is_in_block, &s, io);
    buf_done(&all);
    return e;
}

static struct err *merge_sidecar(const struct blockmake_opts *o, int64_t max_t, struct arena *a,
                                 enum sidecar_kind kind, struct block_writer *w)
{
    struct buf *bytes = mem_new_array(struct buf, o->n);
    struct slice *slices = mem_new_array(struct slice, o->n);
    struct buf out = {0};
    struct err *e = NULL;
    size_t n = 0;

    for (size_t i = 0; i < o->n && !e; i++)
        if (!(e = read_sidecar(o, a, o->inputs[i].dir, kind, &bytes[i])) && bytes[i].len)
            slices[n++] = buf_slice(&bytes[i]);
    if (!e && n && !(e = sidecar_merge(kind, slices, n, &out)) && out.len &&
        kind == SIDECAR_EXEMPLARS)
        e = sift_exemplars(o, max_t, &out);
    if (!e && out.len)
        e = block_writer_sidecar(w, sidecar_file(kind), buf_slice(&out));
    for (size_t i = 0; i < o->n; i++)
        buf_done(&bytes[i]);
    mem_free(bytes);
    mem_free(slices);
    buf_done(&out);
    return e;
}

static struct err *merge_series(const struct blockmake_opts *o, int64_t max_t,
                                struct block_writer *w)
{
    struct block_stream **streams = mem_new_array(struct block_stream *, o->n);
    struct block_merge_opts opts = {.is_canceled = must_stop,
                                    .arg = (void *)o,
                                    .shard = o->is_split ? o->meta->shard : 0,
                                    .shards = o->is_split ? o->meta->shards : 0};
    struct block_merge_stats stats = {0};
    uint64_t deleted = 0, expired = 0;
    bool sifts = retention_hash(o->retention, max_t) != 0;
    struct err *e;

    for (size_t i = 0; i < o->n; i++)
        streams[i] = tombstone_stream_new(
            block_stream_of_reader(o->inputs[i].reader), o->tombstones,
            block_reader_meta(o->inputs[i].reader)->resolution_ms, o->keeps_cut, &deleted);
    for (size_t i = 0; i < o->n && sifts; i++)
        streams[i] = retention_stream_new(streams[i], o->retention, max_t, &expired);
    e = block_merge(streams, o->n, &opts, w, &stats);
    for (size_t i = 0; i < o->n; i++)
        block_stream_close(streams[i]);
    mem_free(streams);
    METRIC_ADD(o->stats->deleted_samples, deleted);
    METRIC_ADD(o->stats->expired_series, expired);
    METRIC_ADD(o->stats->chunks_copied, stats.chunks_copied);
    METRIC_ADD(o->stats->chunks_deduplicated, stats.chunks_deduplicated);
    METRIC_ADD(o->stats->chunks_decoded, stats.chunks_decoded);
    return e;
}

void blockmake_range(const struct blockmake_opts *o, struct block_meta *m)
{
    m->min_t = INT64_MAX;
    m->max_t = INT64_MIN;
    for (size_t i = 0; i < o->n; i++) {
        m->min_t = ORR_MIN(m->min_t, o->inputs[i].found.min_t);
        m->max_t = ORR_MAX(m->max_t, o->inputs[i].found.max_t);
    }
}

struct err *blockmake(const struct blockmake_opts *o, struct arena *a, struct block_meta *ret_meta)
{
    struct block_writer_opts opts = {
        .dir = o->dir,
        .has_summary = true,
        .no_sync = true, /* the bucket keeps it; after a crash this directory is thrown away */
        .meta = *o->meta};
    struct block_writer *w = NULL;
    struct err *e;

    blockmake_range(o, &opts.meta);
    for (size_t i = 0; i < o->n; i++) /* the reader has logged it, and says nothing of them */
        METRIC_ADD(o->stats->bad_sidecars, block_reader_has_bad_starts(o->inputs[i].reader));
    if (!(e = block_writer_open(&opts, &w)) && !(e = merge_series(o, opts.meta.max_t, w)))
        for (int k = 0; k < SIDECAR_KINDS && !e; k++)
            e = merge_sidecar(o, opts.meta.max_t, a, (enum sidecar_kind)k, w);
    if (!e)
        e = block_writer_finish(w, a, ret_meta);
    block_writer_close(w);
    return e;
}
