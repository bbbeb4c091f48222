#include "common/block/block_writer.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/block/block_format.h"
#include "common/block/block_index_out.h"
#include "common/block/block_out.h"
#include "common/block/block_starts.h"
#include "common/block/block_summary.h"
#include "common/block/block_symbols.h"

#define WRITER_SPOOL "series.spool"
#define WRITER_STARTS_SPOOL "starts.spool"

struct block_writer {
    struct block_writer_opts opts;
    char *tmp, *final; /* directories */
    struct block_symbols symbols;
    struct block_out chunks, spool;
    struct block_out starts; /* closed until a series has start timestamps */
    uint64_t starts_at;      /* ordinal of the latest such series */
    bool has_starts;
    uint32_t segment; /* number of the open chunk file, from 1; 0: none yet */
    struct arena *last_arena;
    struct labels last;
    struct buf record, metas;
    struct block_stats stats;
    int64_t min_t, max_t; /* of all chunks */
    uint64_t chunk_bytes;
    struct arena *arena; /* names of files */
    VEC(struct block_file) files;
    VEC(struct slice) sidecars;
    bool is_finished;
};

static char *path_in(const struct block_writer *w, const char *name)
{
    return mem_printf("%s/%s", w->tmp, name);
}

static struct err *open_in(struct block_writer *w, struct block_out *o, const char *name)
{
    char *path = path_in(w, name);
    struct err *e = block_out_open(o, path);

    mem_free(path);
    return e;
}

struct err *block_writer_open(const struct block_writer_opts *opts, struct block_writer **ret)
{
    struct block_writer *w = mem_new(struct block_writer);
    char *chunks;
    struct err *e;

    w->opts = *opts;
    if (w->opts.max_segment_bytes == 0 || w->opts.max_segment_bytes > BLOCK_CHUNKS_MAX_BYTES)
        w->opts.max_segment_bytes = BLOCK_CHUNKS_MAX_BYTES;
    w->final = mem_printf("%s/%s", opts->dir, ulid_print(opts->meta.ulid).s);
    w->tmp = mem_printf("%s.tmp", w->final);
    w->arena = arena_new(0);
    w->last_arena = arena_new(0);
    w->chunks.fd = w->spool.fd = w->starts.fd = -1;
    w->min_t = INT64_MAX;
    w->max_t = INT64_MIN;
    block_symbols_init(&w->symbols);
    (void)block_symbols_string(&w->symbols, SLICE_EMPTY); /* the key of all postings */
    chunks = path_in(w, BLOCK_CHUNKS_DIR);
    if (!(e = fsx_remove_tree(w->tmp)) && !(e = fsx_mkdirs(chunks)))
        e = open_in(w, &w->spool, WRITER_SPOOL);
    mem_free(chunks);
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

static void note_file(struct block_writer *w, const char *name, uint64_t bytes)
{
    vec_push(&w->files, ((struct block_file){arena_dup(w->arena, slice_cstr(name)), bytes}));
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
        note_file(w, name, w->chunks.pos);
        if ((e = block_out_close(&w->chunks, !w->opts.no_sync)))
            return e;
    }
    (void)snprintf(name, sizeof(name), BLOCK_CHUNKS_FORMAT, ++w->segment);
    if ((e = open_in(w, &w->chunks, name)))
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

    if (!w->has_starts && (e = open_in(w, &w->starts, WRITER_STARTS_SPOOL)))
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
    buf_reset(&w->record);
    buf_uvarint(&w->record, s->labels.n);
    for (size_t i = 0; i < s->labels.n; i++)
        buf_uvarint(&w->record,
                    block_symbols_pair(&w->symbols, s->labels.ptr[i].name, s->labels.ptr[i].value));
    buf_lstr(&w->record, buf_slice(&w->metas));
    block_out_put(&w->spool, buf_slice(&w->record));
    arena_reset(w->last_arena);
    w->last = labels_dup(w->last_arena, s->labels);
    w->stats.series++;
    if (w->stats.series == UINT32_MAX / 8)
        return err_new(ERR_LIMIT, "more than %u series in one block", UINT32_MAX / 8);
    return err_first(block_out_check(&w->spool), block_out_check(&w->chunks));
}

/* ---- the rest of the files ---- */

static struct err *put_file(struct block_writer *w, const char *name, struct slice content)
{
    struct block_out o = {.fd = -1};
    struct err *e = open_in(w, &o, name);

    if (e)
        return e;
    block_out_put(&o, content);
    return block_out_close(&o, !w->opts.no_sync);
}

struct err *block_writer_sidecar(struct block_writer *w, const char *name, struct slice content)
{
    struct err *e = put_file(w, name, content);

    if (e)
        return e;
    note_file(w, name, content.len);
    vec_push(&w->sidecars, arena_dup(w->arena, slice_cstr(name)));
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
    e = put_file(w, BLOCK_TOMBSTONES_FILE, buf_slice(&b));
    buf_done(&b);
    return e;
}

/* The sidecar of start timestamps, now that refs are known. */
static struct err *put_starts_file(struct block_writer *w, const uint32_t *refs)
{
    char *spool_path = path_in(w, WRITER_STARTS_SPOOL), *path = path_in(w, BLOCK_STARTS_FILE);
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
        note_file(w, BLOCK_STARTS_FILE, bytes);
        vec_push(&w->sidecars, SLICE(BLOCK_STARTS_FILE));
    }
    mem_free(spool_path);
    mem_free(path);
    return e;
}

static struct err *put_index(struct block_writer *w)
{
    char *spool_path = path_in(w, WRITER_SPOOL), *path = path_in(w, BLOCK_INDEX_FILE);
    struct slice spool = SLICE_EMPTY;
    uint64_t bytes = 0;
    uint32_t *refs = NULL;
    struct err *e;

    if (!(e = block_out_close(&w->spool, false)) && !(e = fsx_map(spool_path, &spool))) {
        e = block_index_out_write(&w->symbols, spool, w->stats.series, path, !w->opts.no_sync,
                                  &bytes, w->has_starts ? &refs : NULL);
        fsx_unmap(spool);
    }
    if (!e && remove(spool_path) != 0)
        e = err_errno(ERR_IO, "remove %s", spool_path);
    if (!e)
        note_file(w, BLOCK_INDEX_FILE, bytes);
    if (!e && w->has_starts)
        e = put_starts_file(w, refs);
    mem_free(refs);
    mem_free(spool_path);
    mem_free(path);
    return e;
}

static uint64_t bytes_so_far(const struct block_writer *w)
{
    uint64_t n = 0;

    VEC_FOREACH (f, &w->files)
        n += f->bytes;
    return n;
}

/* Once the other files are known. */
static struct err *put_summary(struct block_writer *w)
{
    size_t n = w->symbols.pairs.len;
    struct block_summary_pair *pairs;
    struct buf b = {0};
    struct err *e = NULL;

    if (!w->opts.has_summary)
        return NULL;
    pairs = mem_new_array(struct block_summary_pair, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct block_symbols_pair *p = &w->symbols.pairs.ptr[i];

        pairs[i] = (struct block_summary_pair){w->symbols.strings.ptr[p->name].s,
                                               w->symbols.strings.ptr[p->value].s, p->name};
    }
    block_summary_build(pairs, n, w->symbols.strings.len, block_summary_room(bytes_so_far(w)), &b);
    mem_free(pairs);
    if (b.len)
        e = block_writer_sidecar(w, BLOCK_SUMMARY_FILE, buf_slice(&b));
    buf_done(&b);
    return e;
}

static int by_path(const void *a, const void *b)
{
    return slice_cmp(((const struct block_file *)a)->path, ((const struct block_file *)b)->path);
}

static struct err *put_meta(struct block_writer *w, struct block_meta *ret)
{
    struct block_meta m = w->opts.meta;
    struct buf b = {0};
    struct err *e;

    if (m.min_t == m.max_t && w->stats.series) {
        m.min_t = w->min_t;
        m.max_t = w->max_t + 1;
    }
    if (m.n_sources == 0) {
        m.sources = &w->opts.meta.ulid;
        m.n_sources = 1;
    }
    m.stats = w->stats;
    qsort(w->files.ptr, w->files.len, sizeof(*w->files.ptr), by_path);
    m.files = w->files.ptr;
    m.n_files = w->files.len;
    m.sidecars = w->sidecars.ptr;
    m.n_sidecars = w->sidecars.len;
    block_meta_write(&b, &m);
    e = put_file(w, BLOCK_META_FILE, buf_slice(&b));
    buf_done(&b);
    *ret = m;
    return e;
}

static struct err *sync_and_rename(struct block_writer *w)
{
    char *chunks = path_in(w, BLOCK_CHUNKS_DIR);
    struct err *e = NULL;
    int errnum;

    if (!w->opts.no_sync && !(e = fsx_sync_dir(chunks)))
        e = fsx_sync_dir(w->tmp);
    mem_free(chunks);
    /* A block of this name is the same one, written before: the ids of outputs are derived. */
    if (e || (e = fsx_remove_tree(w->final)))
        return e;
    if (fault_hit("block_writer.rename", &errnum))
        return err_errnum(ERR_IO, errnum, "rename %s", w->tmp);
    if (rename(w->tmp, w->final) != 0)
        return err_errno(ERR_IO, "rename %s", w->tmp);
    return w->opts.no_sync ? NULL : fsx_sync_dir(w->opts.dir);
}

struct err *block_writer_finish(struct block_writer *w, struct arena *a,
                                struct block_meta *ret_meta)
{
    struct block_meta m;
    struct err *e = NULL;
    char name[32];

    if (w->segment) {
        (void)snprintf(name, sizeof(name), BLOCK_CHUNKS_FORMAT, w->segment);
        note_file(w, name, w->chunks.pos);
        e = block_out_close(&w->chunks, !w->opts.no_sync);
    }
    if (!e && !(e = put_index(w)) && !(e = put_summary(w)) && !(e = put_tombstones(w)) &&
        !(e = put_meta(w, &m)))
        e = sync_and_rename(w);
    if (e)
        return err_wrap(e, "write block %s", ulid_print(w->opts.meta.ulid).s);
    w->is_finished = true;
    *ret_meta = block_meta_dup(a, &m);
    return NULL;
}

void block_writer_close(struct block_writer *w)
{
    if (!w)
        return;
    block_out_abort(&w->chunks);
    block_out_abort(&w->spool);
    block_out_abort(&w->starts);
    if (!w->is_finished)
        err_free(fsx_remove_tree(w->tmp)); /* what is left is removed by the next attempt */
    block_symbols_done(&w->symbols);
    arena_free(w->arena);
    arena_free(w->last_arena);
    buf_done(&w->record);
    buf_done(&w->metas);
    vec_done(&w->files);
    vec_done(&w->sidecars);
    mem_free(w->tmp);
    mem_free(w->final);
    mem_free(w);
}
