/* The series of one block. */
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/block/start_runs.h"
#include "querier/store/series_source.h"
#include "querier/store/shard_memo.h"

/* A series that is to come, read already but for its chunks. */
struct found {
    struct hash128 fp; /* if keyed */
    uint32_t ref;
    struct labels labels; /* those asked for */
    struct block_chunk_meta *metas;
    size_t n_metas;
};

#define MAX_BATCH 4096
/* Of chunks that are held, where the others come from the disk: what is soon used and gone again stays close to the CPU. */
#define DISK_WINDOW (128u << 10)
/* Of the batches of all blocks of a select: a batch cut short is one more read. */
#define BOOKS_BYTES (16u << 20)

/*
 * Series are read in batches, and then the chunks of a batch: of a block in an object store both come in few
 * reads, of a size that the cache has room for. Of a block that is at hand a batch is one series. By key there
 * is but one, all of them, which is then sorted.
 */
struct block_series_source {
    struct series_source base;
    const struct block_reader *r;
    int64_t min_ms, max_ms;
    unsigned tier;
    bool labels_only;
    struct series_keying keying;
    struct shard_memo memo;
    size_t room;      /* bytes to read ahead; 0: the block is at hand */
    size_t window;    /* of them, of chunks that are held at a time */
    size_t max_books; /* bytes of what is known of the series of a batch */
    struct block_refs refs;
    size_t at; /* the next of them to be read */
    VEC(struct found) batch;
    size_t next;                        /* of the batch */
    struct objpages_hold *index, *data; /* what is read ahead … */
    size_t index_until, data_until;     /* … of the refs, of the batch */
    bool has_told;                      /* what the rest of the batch will take */
    struct arena *refs_arena;           /* as long as the source */
    struct arena *batch_arena;
    struct arena *arena; /* of the current series */
};

/* Keeps the metas that overlap the range, in a. */
static void keep_overlapping(const struct block_series_source *s, struct arena *a,
                             const struct block_chunk_meta *metas, size_t n, struct found *ret)
{
    size_t out = 0;

    ret->metas = arena_array(a, struct block_chunk_meta, n);
    for (size_t i = 0; i < n; i++)
        if (metas[i].max_t >= s->min_ms && metas[i].min_t <= s->max_ms)
            ret->metas[out++] = metas[i];
    ret->n_metas = out;
}

/*
 * The chunks of the batch from next on, as many as there is room for. In the order of the file those that follow are told of, too,
 * once: a read that goes on over all of them leaves nothing to be fetched later. If something was after all, they are again.
 */
static struct err *read_ahead(struct block_series_source *s)
{
    bool is_telling = !s->keying.is_keyed && !s->has_told;
    VEC(struct block_chunk_list) lists = {0};
    size_t bytes = 0;
    struct err *e;

    if (s->next < s->data_until || !s->room || s->next == s->batch.len)
        return NULL;
    block_reader_unhold(s->r, s->data);
    s->data = NULL;
    s->data_until = s->next;
    for (size_t i = s->next; i < s->batch.len && (i == s->next || bytes < s->window || is_telling);
         i++) {
        const struct found *f = &s->batch.ptr[i];
        bool is_ahead = i > s->next && bytes >= s->window;

        vec_push(&lists, ((struct block_chunk_list){f->metas, f->n_metas, is_ahead}));
        bytes += block_reader_chunk_span(f->metas, f->n_metas);
        s->data_until += !is_ahead;
    }
    e = block_reader_hold_chunks(s->r, lists.ptr, lists.len, &s->data);
    s->has_told = is_telling || !objpages_hold_has_read(s->data);
    vec_done(&lists);
    return e;
}

static struct err *load_chunks(struct block_series_source *s, const struct found *f,
                               struct source_series *ret)
{
    size_t n = f->n_metas, n_deleted;
    const struct block_interval *deleted = block_reader_tombstones(s->r, f->ref, &n_deleted);
    struct chunk *chunks = arena_array(s->arena, struct chunk, n);
    struct columns_chunk *out = arena_array(s->arena, struct columns_chunk, n + 1);
    struct err *e = read_ahead(s);

    if (!e)
        e = block_reader_held_chunks(s->r, s->arena, s->data, f->metas, n, chunks);
    for (size_t i = 0; !e && i < n; i++)
        out[i] = (struct columns_chunk){
            .chunk = chunks[i], .tier = s->tier, .deleted = deleted, .n_deleted = n_deleted};
    ret->chunks = out;
    ret->n_chunks = n + (!e && n && block_reader_starts(s->r, f->ref, &out[n].chunk));
    return e;
}

/* Whether the series under ref is one of ours; false: reading it will tell. */
static bool shard_is_known(const struct block_series_source *s, uint32_t ref, bool *ret_is_ours)
{
    uint32_t shard = 0;

    if (s->keying.shard_count > 1 && !shard_memo_get(&s->memo, ref, &shard))
        return false;
    *ret_is_ours = s->keying.shard_count <= 1 || shard == s->keying.shard_index;
    return true;
}

static bool is_in_shard(const struct block_series_source *s, uint32_t ref, struct hash128 fp)
{
    uint32_t shard = (uint32_t)(fp.hi % s->keying.shard_count);

    shard_memo_put(&s->memo, ref, shard);
    return shard == s->keying.shard_index;
}

/* ---- reading series ---- */

/* The entry of the next ref is at hand. */
static struct err *read_ahead_index(struct block_series_source *s)
{
    struct err *e;
    size_t n;

    if (s->at < s->index_until)
        return NULL;
    block_reader_unhold(s->r, s->index);
    s->index = NULL;
    e = block_reader_hold_series(s->r, s->refs.ptr + s->at, s->refs.n - s->at, s->room, &n,
                                 &s->index);
    s->index_until = s->at + (e ? 0 : n);
    return e;
}

/* The next ref's series, as much of it as is needed, into a; *ret_has false: it is not one of ours. */
static struct err *read_one(struct block_series_source *s, struct arena *a, struct found *ret,
                            bool *ret_has)
{
    struct block_reader_series in;
    uint32_t ref = s->refs.ptr[s->at];
    bool is_ours = false, is_known = shard_is_known(s, ref, &is_ours);
    struct err *e;

    *ret_has = false;
    if (is_known && !is_ours) {
        s->at++;
        return NULL;
    }
    /* The entry's bytes are not kept: the more series a batch has, the fewer reads. */
    arena_reset(s->arena);
    if ((e = read_ahead_index(s)) ||
        (e = block_reader_held_series(s->r, s->arena, s->index, ref, &in)))
        return e;
    s->at++;
    *ret = (struct found){.ref = ref};
    if (s->keying.is_keyed || !is_known)
        ret->fp = labels_fingerprint(in.labels);
    if ((!is_known && !is_in_shard(s, ref, ret->fp)) ||
        !block_reader_reaches(s->r, ref, in.chunks, in.n_chunks, s->min_ms, s->max_ms))
        return NULL;
    ret->labels = (struct labels){arena_copy(a, in.labels.ptr, in.labels.n), in.labels.n};
    keep_overlapping(s, a, in.chunks, in.n_chunks, ret);
    *ret_has = true;
    return NULL;
}

static struct err *read_batch(struct block_series_source *s)
{
    size_t bytes = 0, most = s->room ? MAX_BATCH : 1;
    struct err *e = NULL;

    vec_clear(&s->batch);
    s->next = s->data_until = 0;
    s->has_told = false;
    while (!e && s->at < s->refs.n && s->batch.len < most) {
        struct found f;
        bool has;

        /* Neither more than the index that is held, nor more books than there is room for. */
        if (s->batch.len && (s->at >= s->index_until || bytes >= s->room + BLOCK_READER_AHEAD ||
                             arena_used(s->batch_arena) >= s->max_books))
            break;
        if (!s->batch.len)
            arena_reset(s->batch_arena);
        e = read_one(s, s->batch_arena, &f, &has);
        if (!e && has) {
            vec_push(&s->batch, f);
            bytes += s->labels_only ? 0 : block_reader_chunk_span(f.metas, f.n_metas);
        }
    }
    return e;
}

/* ---- by fingerprint: every series is read once, beforehand; only its chunks wait ---- */

static struct labels shown(const struct block_series_source *s, struct labels ls)
{
    struct label *out = arena_array(s->batch_arena, struct label, ls.n);
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
    return hash128_cmp(((const struct found *)a)->fp, ((const struct found *)b)->fp);
}

static struct err *read_keyed(struct block_series_source *s)
{
    struct err *e = NULL;

    while (!e && s->at < s->refs.n) {
        struct found f;
        bool has;

        arena_reset(s->batch_arena);
        if ((e = read_one(s, s->batch_arena, &f, &has)) || !has)
            continue;
        f.labels = shown(s, f.labels);
        f.metas = arena_copy(s->refs_arena, f.metas, f.n_metas);
        vec_push(&s->batch, f);
    }
    if (s->batch.len > 1)
        qsort(s->batch.ptr, s->batch.len, sizeof(*s->batch.ptr), by_key);
    return e;
}

/* ---- */

/* A file that is gone: the block was compacted away a while ago, and a fresh catalogue knows a better one. */
static struct err *judged(const struct block_series_source *s, struct err *e)
{
    struct err *ret;

    if (err_is(e, ERR_CORRUPT))
        block_reader_distrust(s->r);
    if (!err_is(e, ERR_NOT_FOUND))
        return e;
    ret = err_new(ERR_UNAVAILABLE, "%s", err_msg(e));
    err_free(e);
    return ret;
}

static struct err *block_next(struct series_source *base, struct source_series *ret, bool *ret_more)
{
    struct block_series_source *s = (struct block_series_source *)base;
    const struct found *f;
    struct err *e;

    arena_reset(s->arena);
    if (s->next == s->batch.len && !s->keying.is_keyed && (e = read_batch(s)))
        return judged(s, e);
    *ret_more = s->next < s->batch.len;
    if (!*ret_more)
        return NULL;
    f = &s->batch.ptr[s->next];
    *ret = (struct source_series){.labels = f->labels, .fp = f->fp};
    e = s->labels_only ? NULL : load_chunks(s, f, ret);
    s->next++;
    return judged(s, e);
}

static void block_close(struct series_source *base)
{
    struct block_series_source *s = (struct block_series_source *)base;

    block_reader_unhold(s->r, s->index);
    block_reader_unhold(s->r, s->data);
    vec_done(&s->batch);
    arena_free(s->refs_arena);
    arena_free(s->batch_arena);
    arena_free(s->arena);
    mem_free(s);
}

/* By matchers alone: whether a series has samples in the range is seen when it is read anyway. */
static struct err *select_refs(struct block_series_source *s, struct matchers ms)
{
    const struct block_meta *m = block_reader_meta(s->r);

    if (s->max_ms < m->min_t || s->min_ms >= m->max_t)
        return NULL;
    return block_reader_select(s->r, s->refs_arena, ms, &s->refs);
}

/* What the first series take is fetched at once: sources of many blocks are opened side by side, and pulled one
 * after the other. */
static struct err *read_first(struct block_series_source *s)
{
    struct err *e = s->keying.is_keyed ? NULL : read_batch(s);

    return e || s->labels_only ? e : read_ahead(s);
}

struct err *series_source_block(const struct block_reader *r, struct matchers ms, int64_t min_ms,
                                int64_t max_ms, bool labels_only,
                                const struct series_keying *keying, size_t n_together,
                                struct series_source **ret)
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
    s->room = block_reader_room(r, n_together);
    s->window = s->room;
    if (block_reader_keeps_ahead(r) && !s->keying.is_keyed)
        s->window = ORR_MIN(s->window, (size_t)DISK_WINDOW);
    s->max_books = ORR_MAX(s->room, BOOKS_BYTES / ORR_MAX(n_together, 1u));
    s->refs_arena = arena_new(0);
    s->batch_arena = arena_new(0);
    s->arena = arena_new(0);
    if ((e = select_refs(s, ms)) || (s->keying.is_keyed && (e = read_keyed(s))) ||
        (s->room && (e = read_first(s)))) {
        e = judged(s, e);
        block_close(&s->base);
        return e;
    }
    *ret = &s->base;
    return NULL;
}
