/* The series of one block. */
#include "common/base/mem.h"
#include "querier/store/series_source.h"

struct block_series_source {
    struct series_source base;
    const struct block_reader *r;
    int64_t min_ms, max_ms;
    bool labels_only;
    struct block_refs refs;
    size_t at;
    struct arena *refs_arena;
    struct arena *arena; /* of the current series */
};

/* Keeps the metas that overlap the range. */
static size_t overlapping(const struct block_series_source *s, struct block_chunk_meta *metas,
                          size_t n)
{
    size_t out = 0;

    for (size_t i = 0; i < n; i++)
        if (metas[i].max_t >= s->min_ms && metas[i].min_t <= s->max_ms)
            metas[out++] = metas[i];
    return out;
}

static struct err *load_chunks(struct block_series_source *s, uint32_t ref,
                               struct block_reader_series *in, struct source_series *ret)
{
    size_t n = overlapping(s, in->chunks, in->n_chunks), n_deleted;
    const struct block_interval *deleted = block_reader_tombstones(s->r, ref, &n_deleted);
    struct chunk *chunks = arena_array(s->arena, struct chunk, n);
    struct columns_chunk *out = arena_array(s->arena, struct columns_chunk, n);
    struct err *e = block_reader_chunks(s->r, s->arena, in->chunks, n, chunks);

    for (size_t i = 0; !e && i < n; i++)
        out[i] = (struct columns_chunk){chunks[i], deleted, n_deleted};
    ret->chunks = out;
    ret->n_chunks = n;
    return e;
}

static struct err *block_next(struct series_source *base, struct source_series *ret, bool *ret_more)
{
    struct block_series_source *s = (struct block_series_source *)base;
    struct block_reader_series in;
    struct err *e;
    uint32_t ref;

    arena_reset(s->arena);
    *ret_more = s->at < s->refs.n;
    if (!*ret_more)
        return NULL;
    ref = s->refs.ptr[s->at++];
    if ((e = block_reader_series(s->r, s->arena, ref, &in)))
        return e;
    *ret = (struct source_series){.labels = in.labels};
    return s->labels_only ? NULL : load_chunks(s, ref, &in, ret);
}

static void block_close(struct series_source *base)
{
    struct block_series_source *s = (struct block_series_source *)base;

    arena_free(s->refs_arena);
    arena_free(s->arena);
    mem_free(s);
}

struct err *series_source_block(const struct block_reader *r, struct matchers ms, int64_t min_ms,
                                int64_t max_ms, bool labels_only, struct series_source **ret)
{
    static const struct series_source_ops ops = {block_next, block_close};
    struct block_series_source *s = mem_new(struct block_series_source);
    struct err *e;

    s->base.ops = &ops;
    s->r = r;
    s->min_ms = min_ms;
    s->max_ms = max_ms;
    s->labels_only = labels_only;
    s->refs_arena = arena_new(0);
    s->arena = arena_new(0);
    if ((e = block_reader_select_range(r, s->refs_arena, ms, min_ms, max_ms, &s->refs))) {
        block_close(&s->base);
        return e;
    }
    *ret = &s->base;
    return NULL;
}
