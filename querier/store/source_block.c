/* The series of one block. */
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/block/start_runs.h"
#include "querier/store/series_source.h"
#include "querier/store/shard_memo.h"

struct keyed_series;
struct block_series_source {
    struct series_source base;
    const struct block_reader *r;
    int64_t min_ms, max_ms;
    unsigned tier;
    bool labels_only;
    struct series_keying keying;
    struct shard_memo memo;
    struct keyed_series *keyed; /* in refs_arena */
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
    struct columns_chunk *out = arena_array(s->arena, struct columns_chunk, n + 1);
    struct err *e = block_reader_chunks(s->r, s->arena, in->chunks, n, chunks);

    for (size_t i = 0; !e && i < n; i++)
        out[i] = (struct columns_chunk){
            .chunk = chunks[i], .tier = s->tier, .deleted = deleted, .n_deleted = n_deleted};
    ret->chunks = out;
    ret->n_chunks = n + (!e && n && block_reader_starts(s->r, ref, &out[n].chunk));
    return e;
}

/* Of the series under ref; false: reading it will tell. */
static bool is_known_other(const struct block_series_source *s, uint32_t ref)
{
    uint32_t shard;

    return s->keying.shard_count > 1 && shard_memo_get(&s->memo, ref, &shard) &&
           shard != s->keying.shard_index;
}

static bool is_in_shard(const struct block_series_source *s, uint32_t ref, struct hash128 fp)
{
    uint32_t shard;

    if (s->keying.shard_count <= 1)
        return true;
    shard = (uint32_t)(fp.hi % s->keying.shard_count);
    shard_memo_put(&s->memo, ref, shard);
    return shard == s->keying.shard_index;
}

/* ---- by fingerprint: every series is read once, beforehand; only its chunks wait ---- */

struct keyed_series {
    struct hash128 fp;
    uint32_t ref;
    struct labels labels; /* those asked for */
    struct block_chunk_meta *metas;
    size_t n_metas;
};

static struct labels shown(const struct block_series_source *s, struct labels ls)
{
    struct label *out = arena_array(s->arena, struct label, ls.n);
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++)
        for (size_t k = 0; k < s->keying.n_names; k++)
            if (slice_eq(ls.ptr[i].name, s->keying.names[k])) {
                out[n++] = ls.ptr[i];
                break;
            }
    return labels_dup(s->refs_arena, (struct labels){out, n});
}

static int by_key(const void *a, const void *b)
{
    return hash128_cmp(((const struct keyed_series *)a)->fp, ((const struct keyed_series *)b)->fp);
}

static struct err *read_keyed(struct block_series_source *s)
{
    size_t n = 0;

    s->keyed = arena_array(s->refs_arena, struct keyed_series, s->refs.n);
    for (size_t i = 0; i < s->refs.n; i++) {
        struct keyed_series *k = &s->keyed[n];
        struct block_reader_series in;
        struct err *e;

        if (is_known_other(s, s->refs.ptr[i]))
            continue;
        arena_reset(s->arena);
        if ((e = block_reader_series(s->r, s->arena, s->refs.ptr[i], &in)))
            return e;
        k->fp = labels_fingerprint(in.labels);
        if (!is_in_shard(s, s->refs.ptr[i], k->fp))
            continue;
        n++;
        k->ref = s->refs.ptr[i];
        k->labels = shown(s, in.labels);
        k->n_metas = overlapping(s, in.chunks, in.n_chunks);
        k->metas = arena_array(s->refs_arena, struct block_chunk_meta, k->n_metas);
        if (k->n_metas)
            memcpy(k->metas, in.chunks, k->n_metas * sizeof(*k->metas));
    }
    s->refs.n = n;
    if (n > 1)
        qsort(s->keyed, n, sizeof(*s->keyed), by_key);
    return NULL;
}

static struct err *next_keyed(struct block_series_source *s, struct source_series *ret)
{
    const struct keyed_series *k = &s->keyed[s->at++];
    struct block_reader_series in = {k->labels, k->metas, k->n_metas};

    *ret = (struct source_series){.labels = k->labels, .fp = k->fp};
    return s->labels_only ? NULL : load_chunks(s, k->ref, &in, ret);
}

/* ---- */

static struct err *block_next(struct series_source *base, struct source_series *ret, bool *ret_more)
{
    struct block_series_source *s = (struct block_series_source *)base;
    struct block_reader_series in;
    struct err *e;
    uint32_t ref;

    for (;;) {
        arena_reset(s->arena);
        *ret_more = s->at < s->refs.n;
        if (!*ret_more)
            return NULL;
        if (s->keying.is_keyed)
            return next_keyed(s, ret);
        ref = s->refs.ptr[s->at++];
        if (is_known_other(s, ref))
            continue;
        if ((e = block_reader_series(s->r, s->arena, ref, &in)))
            return e;
        if (s->keying.shard_count <= 1 || is_in_shard(s, ref, labels_fingerprint(in.labels)))
            break;
    }
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
                                int64_t max_ms, bool labels_only,
                                const struct series_keying *keying, struct series_source **ret)
{
    static const struct series_source_ops ops = {block_next, block_close};
    struct block_series_source *s = mem_new(struct block_series_source);
    struct err *e;

    s->base.ops = &ops;
    s->r = r;
    s->tier = tier_of(block_reader_meta(r)->resolution_ms);
    s->min_ms = min_ms;
    s->max_ms = max_ms;
    s->labels_only = labels_only;
    if (keying)
        s->keying = *keying;
    if (s->keying.shard_count > 1)
        s->memo = shard_memo_of(block_reader_meta(r)->ulid, s->keying.shard_count);
    s->refs_arena = arena_new(0);
    s->arena = arena_new(0);
    if ((e = block_reader_select_range(r, s->refs_arena, ms, min_ms, max_ms, &s->refs)) ||
        (s->keying.is_keyed && (e = read_keyed(s)))) {
        block_close(&s->base);
        return e;
    }
    *ret = &s->base;
    return NULL;
}
