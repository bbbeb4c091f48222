#include "compactor/downsample.h"

#include "common/base/metric.h"
#include "common/block/aggr_build.h"
#include "common/block/block_merge.h"
#include "common/block/tombstone_stream.h"

static struct err *put_series(struct aggr_build *b, const struct block_series *in,
                              int64_t resolution_ms, struct block_writer *w)
{
    struct block_series out = {.labels = in->labels};
    struct arena *a = arena_new(0);
    struct err *e = NULL;

    aggr_build_begin(b, a, resolution_ms);
    for (size_t i = 0; !e && i < in->n_chunks; i++)
        e = aggr_build_chunk(b, &in->chunks[i]);
    aggr_build_end(b);
    if (!e && b->out.chunks.len) {
        out.chunks = b->out.chunks.ptr;
        out.n_chunks = b->out.chunks.len;
        e = block_writer_add(w, &out);
    }
    arena_free(a);
    return e;
}

static struct err *put_all(const struct downsample_opts *o, struct block_writer *w)
{
    uint64_t deleted = 0;
    struct block_stream *s =
        tombstone_stream_new(block_stream_of_reader(o->input->reader), o->tombstones,
                             block_reader_meta(o->input->reader)->resolution_ms, true, &deleted);
    struct aggr_build b;
    struct block_series in;
    struct err *e;
    bool more;

    aggr_build_init(&b);
    while (!(e = s->ops->next(s, &in, &more)) && more) {
        if (o->stop && atomic_load(o->stop))
            e = err_new(ERR_CANCELED, "stopping");
        else
            e = put_series(&b, &in, o->meta->resolution_ms, w);
        if (e)
            break;
        if (o->done_series)
            atomic_fetch_add_explicit(o->done_series, 1, memory_order_relaxed);
    }
    aggr_build_done(&b);
    block_stream_close(s);
    METRIC_ADD(o->stats->deleted_samples, deleted);
    return e;
}

struct err *downsample(const struct downsample_opts *o, struct arena *a,
                       struct block_meta *ret_meta)
{
    struct block_writer_opts opts = {
        .dir = o->dir,
        .has_summary = true,
        .no_sync = true, /* the bucket keeps it; after a crash this directory is thrown away */
        .meta = *o->meta};
    struct block_writer *w = NULL;
    struct err *e;

    if (block_reader_meta(o->input->reader)->resolution_ms >= o->meta->resolution_ms)
        return err_new(ERR_INVALID, "block %s is not finer than %lld ms",
                       block_reader_name(o->input->reader), (long long)o->meta->resolution_ms);
    opts.meta.min_t = o->input->found.min_t;
    opts.meta.max_t = o->input->found.max_t;
    if (!(e = block_writer_open(&opts, &w)) && !(e = put_all(o, w)))
        e = block_writer_finish(w, a, ret_meta);
    block_writer_close(w);
    return e;
}
