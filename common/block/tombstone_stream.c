#include "common/block/tombstone_stream.h"

#include "common/base/mem.h"
#include "common/block/aggr_chunk.h"
#include "common/block/chunk_build.h"

struct sieve {
    struct block_stream base;
    struct block_stream *src;
    const struct tombstone_list *list;
    uint64_t *dropped;
    struct arena *arena; /* of the current series */
    struct chunk_build build;
};

static bool touches(const struct tombstone_span *spans, size_t n, const struct chunk *c)
{
    for (size_t i = 0; i < n; i++)
        if (spans[i].min_ms <= c->max_t && spans[i].max_ms >= c->min_t)
            return true;
    return false;
}

struct deleted {
    const struct tombstone_span *spans;
    size_t n;
};

static bool is_point_deleted(void *arg, int64_t t)
{
    const struct deleted *d = arg;

    return tombstone_spans_have(d->spans, d->n, t);
}

static struct err *keep_rest_of_aggregates(struct sieve *s, const struct tombstone_span *spans,
                                           size_t n, const struct chunk *c)
{
    struct deleted deleted = {spans, n};
    uint64_t dropped = 0;
    struct err *e =
        aggr_chunk_without(s->arena, c, is_point_deleted, &deleted, &s->build, &dropped);

    if (s->dropped)
        *s->dropped += dropped;
    return e;
}

static struct err *keep_rest(struct sieve *s, const struct tombstone_span *spans, size_t n,
                             const struct chunk *c)
{
    struct chunk_columns cols = {0};
    struct err *e = NULL;

    if (c->encoding == CHUNK_AGGR)
        return keep_rest_of_aggregates(s, spans, n, c);
    e = chunk_decode(s->arena, c->encoding, c->data, &cols);
    for (size_t i = 0; !e && i < cols.n; i++) {
        if (tombstone_spans_have(spans, n, cols.t[i])) {
            if (s->dropped)
                ++*s->dropped;
        } else if (cols.v) {
            chunk_build_float(&s->build, cols.t[i], cols.v[i]);
        } else {
            chunk_build_histogram(&s->build, cols.t[i], &cols.h[i]);
        }
    }
    return e;
}

static struct err *sift(struct sieve *s, struct block_series *io)
{
    struct tombstone_span *spans;
    struct err *e = NULL;
    size_t n;

    arena_reset(s->arena);
    spans = tombstone_list_spans(s->list, s->arena, io->labels, INT64_MIN, INT64_MAX, &n);
    if (n == 0)
        return NULL;
    chunk_build_begin(&s->build, s->arena);
    for (size_t i = 0; !e && i < io->n_chunks; i++) {
        if (touches(spans, n, &io->chunks[i]))
            e = keep_rest(s, spans, n, &io->chunks[i]);
        else
            chunk_build_copy(&s->build, &io->chunks[i]);
    }
    chunk_build_end(&s->build);
    io->chunks = s->build.chunks.ptr;
    io->n_chunks = s->build.chunks.len;
    return e;
}

static struct err *sieve_next(struct block_stream *base, struct block_series *ret, bool *ret_more)
{
    struct sieve *s = (struct sieve *)base;
    struct err *e;

    do {
        if ((e = s->src->ops->next(s->src, ret, ret_more)) || !*ret_more || (e = sift(s, ret)))
            return e;
    } while (ret->n_chunks == 0);
    return NULL;
}

static void sieve_close(struct block_stream *base)
{
    struct sieve *s = (struct sieve *)base;

    block_stream_close(s->src);
    chunk_build_done(&s->build);
    arena_free(s->arena);
    mem_free(s);
}

struct block_stream *tombstone_stream_new(struct block_stream *src,
                                          const struct tombstone_list *list, uint64_t *io_dropped)
{
    static const struct block_stream_ops ops = {sieve_next, sieve_close};
    struct sieve *s = mem_new(struct sieve);

    s->base.ops = &ops;
    s->src = src;
    s->list = list;
    s->dropped = io_dropped;
    s->arena = arena_new(0);
    chunk_build_init(&s->build);
    return &s->base;
}
