#include "common/block/aggr_chunk.h"
#include "common/block/block_merge.h"
#include "common/block/block_reader_internal.h"
#include "common/block/chunk_build.h"

/* The series of a reader in label order, with deleted samples left out. */
struct reader_stream {
    struct block_stream base;
    const struct block_reader *reader;
    struct arena *all, *one; /* of the whole stream; of the current series */
    struct block_refs refs;
    size_t next;
    bool is_open;
    struct chunk_build build;
};

static bool is_in(const struct block_interval *in, size_t n, int64_t t)
{
    for (size_t i = 0; i < n; i++)
        if (t >= in[i].min_t && t <= in[i].max_t)
            return true;
    return false;
}

static bool touches(const struct block_interval *in, size_t n, const struct chunk *c)
{
    for (size_t i = 0; i < n; i++)
        if (in[i].min_t <= c->max_t && in[i].max_t >= c->min_t)
            return true;
    return false;
}

struct deleted {
    const struct block_interval *in;
    size_t n;
};

static bool is_point_deleted(void *arg, int64_t t)
{
    const struct deleted *d = arg;

    return is_in(d->in, d->n, t);
}

static struct err *drop_deleted(struct reader_stream *s, const struct block_interval *in, size_t n,
                                const struct chunk *c)
{
    struct deleted deleted = {in, n};
    struct chunk_columns cols;
    uint64_t dropped = 0;
    struct err *e;

    if (c->encoding == CHUNK_AGGR)
        return aggr_chunk_without(s->one, c, is_point_deleted, &deleted, &s->build, &dropped);
    if ((e = chunk_decode(s->one, c->encoding, c->data, &cols)))
        return e;
    for (size_t i = 0; i < cols.n; i++) {
        if (is_in(in, n, cols.t[i]))
            continue;
        if (cols.v)
            chunk_build_float(&s->build, cols.t[i], cols.v[i]);
        else
            chunk_build_histogram(&s->build, cols.t[i], &cols.h[i]);
    }
    return NULL;
}

static struct err *load(struct reader_stream *s, uint32_t ref, struct block_series *ret)
{
    const struct block_interval *deleted;
    struct block_reader_series series;
    struct chunk *chunks, starts;
    size_t n_deleted;
    struct err *e;

    arena_reset(s->one);
    if ((e = block_reader_series(s->reader, s->one, ref, &series)))
        return e;
    chunks = arena_array(s->one, struct chunk, series.n_chunks);
    if ((e = block_reader_chunks(s->reader, s->one, series.chunks, series.n_chunks, chunks)))
        return e;
    *ret = (struct block_series){
        .labels = series.labels, .chunks = chunks, .n_chunks = series.n_chunks};
    if (block_reader_starts(s->reader, ref, &starts))
        ret->starts = starts.data;
    deleted = block_reader_tombstones(s->reader, ref, &n_deleted);
    if (n_deleted == 0)
        return NULL;
    chunk_build_begin(&s->build, s->one);
    for (size_t i = 0; !e && i < series.n_chunks; i++) {
        if (touches(deleted, n_deleted, &chunks[i]))
            e = drop_deleted(s, deleted, n_deleted, &chunks[i]);
        else
            chunk_build_copy(&s->build, &chunks[i]);
    }
    chunk_build_end(&s->build);
    ret->chunks = s->build.chunks.ptr;
    ret->n_chunks = s->build.chunks.len;
    return e;
}

static struct err *stream_next(struct block_stream *base, struct block_series *ret, bool *ret_more)
{
    struct reader_stream *s = (struct reader_stream *)base;
    struct err *e;

    if (!s->is_open) {
        if ((e = block_reader_select(s->reader, s->all, (struct matchers){0}, &s->refs)))
            return e;
        s->is_open = true;
    }
    while (s->next < s->refs.n) {
        if ((e = load(s, s->refs.ptr[s->next++], ret)))
            return err_wrap(e, "block %s", block_reader_name(s->reader));
        if (ret->n_chunks == 0) /* all of it was deleted */
            continue;
        *ret_more = true;
        return NULL;
    }
    *ret_more = false;
    return NULL;
}

static void stream_close(struct block_stream *base)
{
    struct reader_stream *s = (struct reader_stream *)base;

    chunk_build_done(&s->build);
    arena_free(s->all);
    arena_free(s->one);
    mem_free(s);
}

static const struct block_stream_ops reader_ops = {stream_next, stream_close};

struct block_stream *block_stream_of_reader(const struct block_reader *r)
{
    struct reader_stream *s = mem_new(struct reader_stream);

    s->base.ops = &reader_ops;
    s->reader = r;
    s->all = arena_new(0);
    s->one = arena_new(0);
    chunk_build_init(&s->build);
    return &s->base;
}

void block_stream_close(struct block_stream *s)
{
    if (s)
        s->ops->close(s);
}
