#include "common/block/block_writer.h"

#include <stdio.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/block/block_dir.h"
#include "common/block/block_format.h"
#include "common/block/block_spool.h"
#include "common/block/block_starts.h"
#include "common/block/block_summary.h"

#define WRITER_STARTS_SPOOL "starts.spool"

struct block_writer {
    struct block_writer_opts opts;
    struct block_dir dir;
    struct block_spool spool;
    struct block_out chunks;
    struct block_out starts; /* closed until a series has start timestamps */
    uint64_t starts_at;      /* ordinal of the latest such series */
    bool has_starts;
    uint32_t segment; /* number of the open chunk file, from 1; 0: none yet */
    struct arena *last_arena;
    struct labels last;
    struct buf metas;
    struct block_stats stats;
    int64_t min_t, max_t; /* of all chunks */
    uint64_t chunk_bytes;
    VEC(struct slice) sidecars;
};

static struct err *make_chunks_dir(const struct block_writer *w)
{
    char *chunks = block_dir_path(&w->dir, BLOCK_CHUNKS_DIR);
    struct err *e = fsx_mkdirs(chunks);

    mem_free(chunks);
    return e;
}

struct err *block_writer_open(const struct block_writer_opts *opts, struct block_writer **ret)
{
    struct block_writer *w = mem_new(struct block_writer);
    struct err *e;

    w->opts = *opts;
    if (w->opts.max_segment_bytes == 0 || w->opts.max_segment_bytes > BLOCK_CHUNKS_MAX_BYTES)
        w->opts.max_segment_bytes = BLOCK_CHUNKS_MAX_BYTES;
    w->last_arena = arena_new(0);
    w->chunks.fd = w->spool.out.fd = w->starts.fd = -1;
    w->min_t = INT64_MAX;
    w->max_t = INT64_MIN;
    if (!(e = block_dir_open(&w->dir, opts->dir, opts->meta.ulid, opts->no_sync)) &&
        !(e = make_chunks_dir(w)))
        e = block_spool_open(&w->spool, &w->dir);
    if (e) {
        block_writer_close(w);
        return err_wrap(e, "write block %s", ulid_print(opts->meta.ulid).s);
    }
    *ret = w;
    return NULL;
}

uint64_t block_writer_series(const struct block_writer *w)
{
    return w->stats.series;
}

uint64_t block_writer_bytes(const struct block_writer *w)
{
    return w->chunk_bytes;
}

/* ---- series ---- */

static struct err *bad_series(const struct block_series *s, const char *what)
{
    struct buf b = {0};
    struct err *e;

    labels_text(&b, s->labels);
    e = err_new(ERR_INVALID, "series %s: %s", buf_cstr(&b), what);
    buf_done(&b);
    return e;
}

static struct err *check_labels(const struct block_writer *w, const struct block_series *s)
{
    struct labels ls = s->labels;

    if (ls.n == 0 || ls.n > BLOCK_MAX_LABELS)
        return bad_series(s, "no labels, or too many");
    for (size_t i = 0; i < ls.n; i++) {
        if (ls.ptr[i].name.len == 0 || ls.ptr[i].value.len == 0)
            return bad_series(s, "empty label");
        if (i && slice_cmp(ls.ptr[i - 1].name, ls.ptr[i].name) >= 0)
            return bad_series(s, "labels are not sorted");
    }
    if (w->stats.series && labels_cmp(w->last, ls) >= 0)
        return bad_series(s, "not behind the series before it");
    return NULL;
}

static struct err *check_chunks(const struct block_series *s)
{
    if (s->n_chunks == 0)
        return bad_series(s, "no chunks");
    for (size_t i = 0; i < s->n_chunks; i++) {
        const struct chunk *c = &s->chunks[i];

        if ((c->encoding < CHUNK_XOR || c->encoding > CHUNK_FLOAT_HISTOGRAM) &&
            c->encoding != CHUNK_AGGR)
            return err_wrap(bad_series(s, "chunk encoding is not supported"), "encoding %u",
                            c->encoding);
        if (chunk_points(c->encoding, c->data) == 0 || c->data.len > CHUNK_MAX_BYTES)
            return bad_series(s, "chunk without samples, or too long");
        if (c->min_t > c->max_t || (i && s->chunks[i - 1].max_t >= c->min_t))
            return bad_series(s, "chunks overlap or are out of order");
    }
    return NULL;
}

static struct err *next_segment(struct block_writer *w)
{
    char name[32];
    struct err *e;

    if (w->segment) {
        (void)snprintf(name, sizeof(name), BLOCK_CHUNKS_FORMAT, w->segment);
        if ((e = block_dir_keep(&w->dir, name, &w->chunks)))
            return e;
    }
    (void)snprintf(name, sizeof(name), BLOCK_CHUNKS_FORMAT, ++w->segment);
    if ((e = block_dir_create(&w->dir, name, &w->chunks)))
        return e;
    block_out_u32be(&w->chunks, BLOCK_CHUNKS_MAGIC);
    block_out_u8(&w->chunks, BLOCK_CHUNKS_VERSION);
    block_out_align(&w->chunks, BLOCK_CHUNKS_HEADER);
    return NULL;
}

static struct err *put_chunk(struct block_writer *w, const struct chunk *c, uint64_t *ret_ref)
{
    struct err *e;

    /* 10: length, encoding and checksum */
    if (w->segment == 0 || w->chunks.pos + c->data.len + 10 > w->opts.max_segment_bytes)
        if ((e = next_segment(w)))
            return e;
    *ret_ref = (uint64_t)(w->segment - 1) << 32 | w->chunks.pos;
    block_out_uvarint(&w->chunks, c->data.len);
    block_out_crc_begin(&w->chunks);
    block_out_u8(&w->chunks, c->encoding);
    block_out_put(&w->chunks, c->data);
    block_out_crc_end(&w->chunks);
    w->chunk_bytes += c->data.len;
    return NULL;
}

static void count_chunk(struct block_writer *w, const struct chunk *c)
{
    uint64_t n = chunk_points(c->encoding, c->data);

    w->stats.chunks++;
    w->stats.samples += n;
    if (c->encoding == CHUNK_XOR || c->encoding == CHUNK_AGGR)
        w->stats.float_samples += n;
    else
        w->stats.histogram_samples += n;
    w->min_t = ORR_MIN(w->min_t, c->min_t);
    w->max_t = ORR_MAX(w->max_t, c->max_t);
}

/* Writes the chunks, and their metas as the index will hold them into w->metas. */
static struct err *put_chunks(struct block_writer *w, const struct block_series *s)
{
    uint64_t ref, last_ref = 0;
    struct err *e;

    buf_reset(&w->metas);
    buf_uvarint(&w->metas, s->n_chunks);
    for (size_t i = 0; i < s->n_chunks; i++) {
        const struct chunk *c = &s->chunks[i];

        if ((e = put_chunk(w, c, &ref)))
            return e;
        if (i == 0) {
            buf_varint(&w->metas, c->min_t);
            buf_uvarint(&w->metas, (uint64_t)c->max_t - (uint64_t)c->min_t);
            buf_uvarint(&w->metas, ref);
        } else {
            buf_uvarint(&w->metas, (uint64_t)c->min_t - (uint64_t)s->chunks[i - 1].max_t);
            buf_uvarint(&w->metas, (uint64_t)c->max_t - (uint64_t)c->min_t);
            buf_varint(&w->metas, (int64_t)(ref - last_ref));
        }
        last_ref = ref;
        count_chunk(w, c);
    }
    return NULL;
}

static struct err *put_starts(struct block_writer *w, struct slice runs)
{
    struct err *e;

    if (!w->has_starts && (e = block_dir_create(&w->dir, WRITER_STARTS_SPOOL, &w->starts)))
        return e;
    block_out_uvarint(&w->starts, w->stats.series - w->starts_at);
    block_out_lstr(&w->starts, runs);
    w->starts_at = w->stats.series;
    w->has_starts = true;
    return block_out_check(&w->starts);
}

struct err *block_writer_add(struct block_writer *w, const struct block_series *s)
{
    struct err *e;

    if ((e = check_labels(w, s)) || (e = check_chunks(s)) || (e = put_chunks(w, s)) ||
        (s->starts.len && (e = put_starts(w, s->starts))))
        return e;
    if ((e = block_spool_add(&w->spool, s->labels, buf_slice(&w->metas))))
        return e;
    arena_reset(w->last_arena);
    w->last = labels_dup(w->last_arena, s->labels);
    w->stats.series++;
    return block_out_check(&w->chunks);
}

/* ---- the rest of the files ---- */

struct err *block_writer_sidecar(struct block_writer *w, const char *name, struct slice content)
{
    struct err *e = block_dir_put(&w->dir, name, content);

    if (e)
        return e;
    block_dir_note(&w->dir, name, content.len);
    vec_push(&w->sidecars, vec_last(&w->dir.files).path);
    return NULL;
}

/* No deletions; Prometheus writes this file with every block. */
static struct err *put_tombstones(struct block_writer *w)
{
    struct buf b = {0};
    struct err *e;

    buf_u32be(&b, BLOCK_TOMBSTONES_MAGIC);
    buf_byte(&b, BLOCK_TOMBSTONES_VERSION);
    buf_u32be(&b, 0); /* CRC of no entries */
    e = block_dir_put(&w->dir, BLOCK_TOMBSTONES_FILE, buf_slice(&b));
    buf_done(&b);
    return e;
}

/* The sidecar of start timestamps, now that refs are known. */
static struct err *put_starts_file(struct block_writer *w, const uint32_t *refs)
{
    char *spool_path = block_dir_path(&w->dir, WRITER_STARTS_SPOOL);
    char *path = block_dir_path(&w->dir, BLOCK_STARTS_FILE);
    struct slice spool = SLICE_EMPTY;
    uint64_t bytes = 0;
    struct err *e;

    if (!(e = block_out_close(&w->starts, false)) && !(e = fsx_map(spool_path, &spool))) {
        e = block_starts_write(spool, refs, w->stats.series, path, !w->opts.no_sync, &bytes);
        fsx_unmap(spool);
    }
    if (!e && remove(spool_path) != 0)
        e = err_errno(ERR_IO, "remove %s", spool_path);
    if (!e) {
        block_dir_note(&w->dir, BLOCK_STARTS_FILE, bytes);
        vec_push(&w->sidecars, SLICE(BLOCK_STARTS_FILE));
    }
    mem_free(spool_path);
    mem_free(path);
    return e;
}

static struct err *put_index(struct block_writer *w)
{
    uint32_t *refs = NULL;
    struct err *e = block_spool_finish(&w->spool, &w->dir, w->has_starts ? &refs : NULL);

    if (!e && w->has_starts)
        e = put_starts_file(w, refs);
    mem_free(refs);
    return e;
}

static struct err *put_summary(struct block_writer *w)
{
    bool has = false;
    struct err *e = w->opts.has_summary ? block_spool_summary(&w->spool, &w->dir, &has) : NULL;

    if (has)
        vec_push(&w->sidecars, SLICE(BLOCK_SUMMARY_FILE));
    return e;
}

static struct err *commit(struct block_writer *w, struct block_meta *ret)
{
    char *chunks = block_dir_path(&w->dir, BLOCK_CHUNKS_DIR);
    struct block_meta m = w->opts.meta;
    struct err *e = w->opts.no_sync ? NULL : fsx_sync_dir(chunks);

    mem_free(chunks);
    if (m.min_t == m.max_t && w->stats.series) {
        m.min_t = w->min_t;
        m.max_t = w->max_t + 1;
    }
    m.stats = w->stats;
    m.sidecars = w->sidecars.ptr;
    m.n_sidecars = w->sidecars.len;
    if (!e)
        e = block_dir_commit(&w->dir, &m);
    *ret = m;
    return e;
}

struct err *block_writer_finish(struct block_writer *w, struct arena *a,
                                struct block_meta *ret_meta)
{
    struct block_meta m;
    struct err *e = NULL;
    char name[32];

    if (!w->segment) /* Prometheus opens no block without a chunk file, and a bucket has no empty folders */
        e = next_segment(w);
    (void)snprintf(name, sizeof(name), BLOCK_CHUNKS_FORMAT, w->segment);
    if (!e)
        e = block_dir_keep(&w->dir, name, &w->chunks);
    if (!e && !(e = put_index(w)) && !(e = put_summary(w)) && !(e = put_tombstones(w)))
        e = commit(w, &m);
    if (e)
        return err_wrap(e, "write block %s", ulid_print(w->opts.meta.ulid).s);
    *ret_meta = block_meta_dup(a, &m);
    return NULL;
}

void block_writer_close(struct block_writer *w)
{
    if (!w)
        return;
    block_out_abort(&w->chunks);
    block_out_abort(&w->starts);
    block_spool_done(&w->spool);
    block_dir_done(&w->dir);
    arena_free(w->last_arena);
    buf_done(&w->metas);
    vec_done(&w->sidecars);
    mem_free(w);
}
