#include "common/block/tombstone_stream.h"

#include "common/base/mem.h"
#include "common/block/chunk_build.h"
#include "common/block/tiers.h"

struct sieve {
    struct block_stream base;
    struct block_stream *src;
    const struct tombstone_list *list;
    int64_t resolution_ms;
    bool keeps_cut;
    uint64_t *dropped;
    struct arena *arena; /* of the current series */
    struct chunk_build build;
};

static bool reach(const struct tombstone_span *spans, size_t n, int64_t min_ms, int64_t max_ms)
{
    for (size_t i = 0; i < n; i++)
        if (spans[i].min_ms <= max_ms && spans[i].max_ms >= min_ms)
            return true;
    return false;
}

/* Of aggregates, all of their windows. */
static bool touches(const struct sieve *s, const struct tombstone_span *spans, size_t n,
                    const struct chunk *c)
{
    int64_t each = s->resolution_ms;

    if (c->encoding != CHUNK_AGGR || !each)
        return reach(spans, n, c->min_t, c->max_t);
    return reach(spans, n, tier_window(c->min_t, each), tier_window(c->max_t, each) + each - 1);
}

struct deleted {
    const struct tombstone_span *spans;
    size_t n;
    const struct sieve *s;
};

static bool cover(const struct tombstone_span *spans, size_t n, int64_t min_ms, int64_t max_ms)
{
    for (size_t i = 0; i < n; i++)
        if (spans[i].min_ms <= min_ms && spans[i].max_ms >= max_ms)
            return true;
    return false;
}

static bool is_point_deleted(void *arg, int64_t t)
{
    const struct deleted *d = arg;
    int64_t each = d->s->resolution_ms, start = each ? tier_window(t, each) : t;
    int64_t end = each ? start + each - 1 : t;

    return d->s->keeps_cut ? cover(d->spans, d->n, start, end) : reach(d->spans, d->n, start, end);
}

static struct err *keep_rest_of_aggregates(struct sieve *s, const struct tombstone_span *spans,
                                           size_t n, const struct chunk *c)
{
    struct deleted deleted = {spans, n, s};
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
        if (touches(s, spans, n, &io->chunks[i]))
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
                                          const struct tombstone_list *list, int64_t resolution_ms,
                                          bool keeps_cut, uint64_t *io_dropped)
{
    static const struct block_stream_ops ops = {sieve_next, sieve_close};
    struct sieve *s = mem_new(struct sieve);

    s->base.ops = &ops;
    s->src = src;
    s->list = list;
    s->resolution_ms = resolution_ms;
    s->keeps_cut = keeps_cut;
    s->dropped = io_dropped;
    s->arena = arena_new(0);
    chunk_build_init(&s->build);
    return &s->base;
}
