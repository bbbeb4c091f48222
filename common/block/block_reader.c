#include "common/block/block_reader.h"

#include <stdio.h>

#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/block/block_format.h"
#include "common/block/block_reader_internal.h"

#define READER_GAP (256u << 10)     /* chunks closer than this are fetched in one read */
#define READER_GUESS (8u << 10)     /* of the last chunk of a read, whose size nothing tells */
#define READER_MAX_READ (16u << 20) /* of one read of neighbours */
#define READER_CHUNK_FRAME 10       /* length, encoding, checksum */

static struct err *corrupt(const struct block_reader *r, const char *section, const char *what)
{
    return err_new(ERR_CORRUPT, "block %s: %s: %s", r->src->name, section, what);
}

static struct err *open_meta(struct block_reader *r)
{
    struct slice bytes;
    struct err *e;

    if ((e = r->src->ops->file(r->src, BLOCK_META_FILE, &bytes)))
        return e;
    return err_wrap(block_meta_parse(r->arena, bytes, &r->meta), "block %s", r->src->name);
}

static const struct block_file *listed(const struct block_reader *r, const char *name)
{
    for (size_t i = 0; i < r->meta.n_files; i++)
        if (slice_eq_cstr(r->meta.files[i].path, name))
            return &r->meta.files[i];
    return NULL;
}

static struct err *open_index(struct block_reader *r)
{
    const struct block_file *f = listed(r, BLOCK_INDEX_FILE);
    struct slice bytes;
    struct err *e = NULL;
    uint64_t size = f ? f->bytes : 0;

    if (!r->src->ops->hold) {
        e = r->src->ops->file(r->src, BLOCK_INDEX_FILE, &bytes);
        return e ? e : block_index_open(&r->index, r->src->name, bytes);
    }
    if (!size)
        e = r->src->ops->size(r->src, BLOCK_INDEX_FILE, &size);
    return e ? e : block_index_open_parts(&r->index, r->src->name, r->src, size);
}

/* Where asking costs a request, what meta.json says of the file goes: one that is listed as empty, or
 * not at all beside others, is not asked for. */
static bool has_no_tombstones(const struct block_reader *r)
{
    const struct block_file *f = listed(r, BLOCK_TOMBSTONES_FILE);

    return r->src->ops->hold && r->meta.n_files &&
           (!f || (f->bytes == BLOCK_TOMBSTONES_EMPTY && !r->meta.stats.tombstones));
}

static struct err *open_tombstones(struct block_reader *r)
{
    struct slice bytes;
    struct err *e;

    if (has_no_tombstones(r))
        return NULL;
    e = r->src->ops->file(r->src, BLOCK_TOMBSTONES_FILE, &bytes);
    if (err_is(e, ERR_NOT_FOUND)) { /* nothing was deleted */
        err_free(e);
        return NULL;
    }
    return e ? e : block_tombstones_parse(r->src->name, bytes, &r->tombstones);
}

/* Samples are worth more than their start timestamps: a broken sidecar is left out. */
static struct err *open_starts(struct block_reader *r)
{
    struct slice bytes;
    struct err *e;

    if (!block_meta_has_sidecar(&r->meta, BLOCK_STARTS_FILE))
        return NULL;
    if (!(e = r->src->ops->file(r->src, BLOCK_STARTS_FILE, &bytes)))
        e = block_starts_parse(bytes, &r->starts);
    if (!err_is(e, ERR_CORRUPT) && !err_is(e, ERR_NOT_FOUND))
        return e;
    LOG_ERROR(block, "start timestamps left out", KV_STR("path", r->src->name), KV_ERR(e));
    err_free(e);
    r->has_bad_starts = true;
    return NULL;
}

bool block_reader_has_bad_starts(const struct block_reader *r)
{
    return r->has_bad_starts;
}

bool block_reader_starts(const struct block_reader *r, uint32_t ref, struct chunk *ret)
{
    struct slice runs;

    if (!block_starts_find(&r->starts, ref, &runs))
        return false;
    *ret = (struct chunk){CHUNK_STARTS, r->meta.min_t, r->meta.max_t - 1, runs};
    return true;
}

struct err *block_reader_verify_postings(const struct block_reader *r)
{
    struct arena *a = arena_new(0);
    struct err *e = NULL;

    for (uint32_t i = 0; !e && i < r->index.n_entries; i++) {
        struct block_index_list l;

        arena_reset(a);
        e = block_index_postings(&r->index, a, i, &l);
    }
    arena_free(a);
    return e;
}

/* *ret_more false: the file is not there. */
static struct err *verify_head(const struct block_reader *r, unsigned i, bool *ret_more)
{
    struct buf scratch = {0};
    struct reader in;
    struct slice head;
    char name[32];
    struct err *e;

    (void)snprintf(name, sizeof(name), BLOCK_CHUNKS_FORMAT, i);
    e = r->src->ops->range(r->src, name, 0, BLOCK_CHUNKS_HEADER, &scratch, &head);
    *ret_more = !e;
    if (err_is(e, ERR_NOT_FOUND)) {
        err_free(e);
        e = NULL;
    } else if (!e) {
        in = reader_new(head);
        if (reader_u32be(&in) != BLOCK_CHUNKS_MAGIC || reader_u8(&in) != BLOCK_CHUNKS_VERSION)
            e = corrupt(r, name, "it does not begin as a file of chunks does");
    }
    buf_done(&scratch);
    return e;
}

struct err *block_reader_verify_chunk_heads(const struct block_reader *r)
{
    struct err *e = NULL;
    bool more = true;

    for (unsigned i = 1; !e && more && i <= BLOCK_CHUNKS_MAX_FILES; i++)
        e = verify_head(r, i, &more);
    return e;
}

static struct err *verify(const struct block_reader *r)
{
    struct block_refs refs;
    struct arena *a = arena_new(0), *tmp = arena_new(0);
    struct err *e = block_reader_select(r, a, (struct matchers){0}, &refs);

    if (!e && !(e = block_reader_verify_postings(r)))
        e = block_reader_verify_chunk_heads(r);
    for (size_t i = 0; !e && i < refs.n; i++) {
        struct block_reader_series s;
        struct chunk_extent found;
        struct chunk *c;

        arena_reset(tmp);
        if ((e = block_reader_series(r, tmp, refs.ptr[i], &s)))
            break;
        c = arena_array(tmp, struct chunk, s.n_chunks);
        e = block_reader_chunks(r, tmp, s.chunks, s.n_chunks, c);
        for (size_t k = 0; !e && k < s.n_chunks; k++)
            e = err_wrap(chunk_check(tmp, c[k].encoding, c[k].data, &found), "block %s: series %u",
                         r->src->name, refs.ptr[i]);
    }
    arena_free(tmp);
    arena_free(a);
    return e;
}

struct err *block_reader_open(struct block_source *src, const struct block_reader_opts *opts,
                              struct block_reader **ret)
{
    struct block_reader *r = mem_new(struct block_reader);
    struct err *e;

    r->src = src;
    r->arena = arena_new(0);
    if ((e = open_meta(r)) || (e = open_index(r)) || (e = open_tombstones(r)) ||
        (e = open_starts(r)))
        goto fail;
    if (opts)
        block_external_open(r, opts->external);
    if (opts && opts->verify_all && (e = verify(r)))
        goto fail;
    *ret = r;
    return NULL;
fail:
    if (err_is(e, ERR_CORRUPT))
        block_reader_distrust(r);
    block_reader_close(r);
    return err_wrap(e, "open block");
}

struct err *block_reader_open_dir(const char *path, struct block_reader **ret)
{
    struct block_source *src;
    struct err *e = block_source_dir(path, &src);

    return e ? e : block_reader_open(src, NULL, ret);
}

void block_reader_close(struct block_reader *r)
{
    if (!r)
        return;
    block_index_done(&r->index);
    block_tombstones_done(&r->tombstones);
    block_starts_done(&r->starts);
    arena_free(r->arena);
    block_source_close(r->src);
    mem_free(r);
}

const struct block_meta *block_reader_meta(const struct block_reader *r)
{
    return &r->meta;
}

const char *block_reader_name(const struct block_reader *r)
{
    return r->src->name;
}

struct block_source *block_reader_source(const struct block_reader *r)
{
    return r->src;
}

size_t block_reader_memory(const struct block_reader *r)
{
    return sizeof(*r) + arena_used(r->arena) + block_index_memory(&r->index);
}

size_t block_reader_symbol_count(const struct block_reader *r)
{
    return r->index.n_symbols;
}

struct slice block_reader_symbol(const struct block_reader *r, size_t i)
{
    return i > UINT32_MAX ? SLICE_EMPTY : block_index_symbol(&r->index, (uint32_t)i);
}

const struct block_interval *block_reader_tombstones(const struct block_reader *r, uint32_t ref,
                                                     size_t *ret_n)
{
    return block_tombstones_find(&r->tombstones, ref, ret_n);
}

/* ---- series ---- */

struct err *block_reader_entry(const struct block_reader *r, struct arena *a,
                               const struct objpages_hold *h, uint32_t ref,
                               struct block_reader_entry *ret)
{
    struct reader in;
    struct slice body;
    struct err *e;
    const uint8_t *start;

    if ((e = block_index_series(&r->index, a, h, ref, &body)))
        return e;
    in = reader_new(body);
    ret->n_labels = reader_uvarint(&in);
    if (ret->n_labels > BLOCK_MAX_LABELS)
        return corrupt(r, "index: series", "too many labels");
    start = in.ptr;
    for (uint64_t i = 0; i < ret->n_labels * 2; i++)
        (void)reader_uvarint(&in);
    ret->labels = slice_of(start, (size_t)(in.ptr - start));
    ret->n_chunks = reader_uvarint(&in);
    ret->chunks = reader_rest(&in);
    if (!reader_ok(&in) || ret->n_chunks > ret->chunks.len / 3)
        return corrupt(r, "index: series", "entry is cut short");
    return NULL;
}

bool block_reader_next_label(const struct block_reader *r, struct reader *in, uint32_t *ret_name,
                             uint32_t *ret_value)
{
    uint64_t name = reader_uvarint(in), value = reader_uvarint(in);

    if (!reader_ok(in) || name >= r->index.n_symbols || value >= r->index.n_symbols)
        return false;
    *ret_name = (uint32_t)name;
    *ret_value = (uint32_t)value;
    return true;
}

bool block_reader_next_chunk(struct reader *in, uint64_t i, struct block_chunk_meta *io)
{
    int64_t before = io->max_t;

    if (i == 0) {
        io->min_t = reader_varint(in);
        io->max_t = (int64_t)((uint64_t)io->min_t + reader_uvarint(in));
        io->ref = reader_uvarint(in);
        return reader_ok(in) && io->max_t >= io->min_t;
    }
    io->min_t = (int64_t)((uint64_t)before + reader_uvarint(in));
    io->max_t = (int64_t)((uint64_t)io->min_t + reader_uvarint(in));
    io->ref += (uint64_t)reader_varint(in);
    return reader_ok(in) && io->min_t >= before && io->max_t >= io->min_t;
}

static struct err *read_metas(const struct block_reader *r, struct arena *a,
                              const struct block_reader_entry *entry, struct block_chunk_meta **ret,
                              size_t *ret_n)
{
    struct block_chunk_meta m = {0},
                            *out = arena_array(a, struct block_chunk_meta, entry->n_chunks);
    struct reader in = reader_new(entry->chunks);

    for (uint64_t i = 0; i < entry->n_chunks; i++) {
        if (!block_reader_next_chunk(&in, i, &m))
            return corrupt(r, "index: series", "impossible chunk times");
        out[i] = m;
    }
    *ret = out;
    *ret_n = (size_t)entry->n_chunks;
    return NULL;
}

struct err *block_reader_metas(const struct block_reader *r, struct arena *a, uint32_t ref,
                               struct block_chunk_meta **ret, size_t *ret_n)
{
    struct block_reader_entry entry;
    struct err *e = block_reader_entry(r, a, NULL, ref, &entry);

    return e ? e : read_metas(r, a, &entry, ret, ret_n);
}

struct err *block_reader_series(const struct block_reader *r, struct arena *a, uint32_t ref,
                                struct block_reader_series *ret)
{
    return block_reader_held_series(r, a, NULL, ref, ret);
}

struct err *block_reader_held_series(const struct block_reader *r, struct arena *a,
                                     const struct objpages_hold *h, uint32_t ref,
                                     struct block_reader_series *ret)
{
    struct block_reader_entry entry;
    struct label *labels;
    struct reader in;
    struct err *e;

    if ((e = block_reader_entry(r, a, h, ref, &entry)))
        return e;
    labels = arena_array(a, struct label, entry.n_labels);
    in = reader_new(entry.labels);
    for (uint64_t i = 0; i < entry.n_labels; i++) {
        uint32_t name, value;

        if (!block_reader_next_label(r, &in, &name, &value))
            return corrupt(r, "index: series", "names a symbol that does not exist");
        labels[i].name = block_index_symbol(&r->index, name);
        labels[i].value = block_index_symbol(&r->index, value);
        if (i && slice_cmp(labels[i - 1].name, labels[i].name) >= 0)
            return corrupt(r, "index: series", "labels are not sorted");
    }
    ret->labels = block_external_join(r, a, (struct labels){labels, (size_t)entry.n_labels});
    return read_metas(r, a, &entry, &ret->chunks, &ret->n_chunks);
}

/* ---- chunks ---- */

/* *ret_need is how many bytes it takes when bytes ends early (then ret is untouched). */
static struct err *parse_chunk(const struct block_reader *r, const struct block_chunk_meta *m,
                               struct slice bytes, struct chunk *ret, size_t *ret_need)
{
    struct reader in = reader_new(bytes);
    uint64_t len = reader_uvarint(&in);
    struct slice framed;

    *ret_need = 0;
    if (!reader_ok(&in) || len > CHUNK_MAX_BYTES)
        goto bad;
    if (len + 5 > reader_left(&in)) {
        *ret_need = reader_pos(&in) + (size_t)len + 5;
        return NULL;
    }
    framed = reader_bytes(&in, (size_t)len + 1);
    if (reader_u32be(&in) != hash_crc32c(framed))
        goto bad;
    *ret = (struct chunk){framed.ptr[0], m->min_t, m->max_t, slice_from(framed, 1)};
    return NULL;
bad:
    return err_new(ERR_CORRUPT,
                   "block %s: " BLOCK_CHUNKS_FORMAT ": chunk at %u: length or checksum is wrong",
                   r->src->name, (uint32_t)(m->ref >> 32) + 1, (uint32_t)m->ref);
}

static struct err *read_range(const struct block_reader *r, struct arena *a, uint64_t ref,
                              size_t len, struct slice *ret)
{
    uint32_t segment = (uint32_t)(ref >> 32);
    struct buf scratch = {0};
    char name[32];
    struct err *e;

    if (segment >= BLOCK_CHUNKS_MAX_FILES || (uint32_t)ref < BLOCK_CHUNKS_HEADER)
        return corrupt(r, "index: series", "impossible chunk reference");
    (void)snprintf(name, sizeof(name), BLOCK_CHUNKS_FORMAT, segment + 1);
    e = r->src->ops->range(r->src, name, (uint32_t)ref, len, &scratch, ret);
    if (!e && ret->ptr == scratch.ptr && ret->len)
        *ret = arena_dup(a, *ret);
    buf_done(&scratch);
    return err_wrap(e, "chunks");
}

size_t block_reader_plan_read(const struct block_chunk_meta *m, size_t n, size_t *ret_len)
{
    size_t k = 1;

    while (k < n && m[k].ref >> 32 == m[0].ref >> 32 && m[k].ref > m[k - 1].ref &&
           m[k].ref - m[k - 1].ref < READER_GAP && m[k].ref - m[0].ref < READER_MAX_READ)
        k++;
    *ret_len = (size_t)(m[k - 1].ref - m[0].ref) + READER_GUESS;
    return k;
}

/* A run of chunks by one read. */
static struct err *read_chunks(const struct block_reader *r, struct arena *a,
                               const struct block_chunk_meta *metas, size_t k, size_t len,
                               struct chunk *ret)
{
    struct slice bytes;
    size_t need;
    struct err *e = read_range(r, a, metas[0].ref, len, &bytes);

    for (size_t j = 0; !e && j < k; j++) {
        struct slice at = slice_from(bytes, (size_t)(metas[j].ref - metas[0].ref));

        if ((e = parse_chunk(r, &metas[j], at, &ret[j], &need)) || need == 0)
            continue;
        if ((e = read_range(r, a, metas[j].ref, need, &at)) ||
            (e = parse_chunk(r, &metas[j], at, &ret[j], &need)))
            return e;
        if (need)
            e = corrupt(r, "chunks", "a chunk is longer than its file");
    }
    return e;
}

struct err *block_reader_chunks(const struct block_reader *r, struct arena *a,
                                const struct block_chunk_meta *metas, size_t n, struct chunk *ret)
{
    struct err *e = NULL;

    for (size_t i = 0, k, len; !e && i < n; i += k) {
        k = block_reader_plan_read(metas + i, n - i, &len);
        e = read_chunks(r, a, metas + i, k, len, ret + i);
    }
    return e;
}

/* What is held lies together up to some byte: chunks beyond it are read by themselves. */
static struct err *held_chunk(const struct block_reader *r, struct arena *a, struct slice held,
                              const struct block_chunk_meta *m, struct chunk *ret)
{
    size_t need = READER_GUESS;
    struct err *e = NULL;

    if (held.len >= READER_CHUNK_FRAME)
        e = parse_chunk(r, m, held, ret, &need);
    return e || !need ? e : read_chunks(r, a, m, 1, need, ret);
}

struct err *block_reader_held_chunks(const struct block_reader *r, struct arena *a,
                                     const struct objpages_hold *h,
                                     const struct block_chunk_meta *metas, size_t n,
                                     struct chunk *ret)
{
    struct slice held = SLICE_EMPTY;
    uint32_t segment = UINT32_MAX;
    uint64_t held_ref = 0;
    struct err *e = NULL;
    char name[32];

    if (!h || !r->src->ops->held)
        return block_reader_chunks(r, a, metas, n, ret);
    for (size_t i = 0; !e && i < n; i++) {
        uint64_t ref = metas[i].ref;

        if (ref < held_ref || ref - held_ref >= held.len) {
            if (segment != ref >> 32) {
                segment = (uint32_t)(ref >> 32);
                (void)snprintf(name, sizeof(name), BLOCK_CHUNKS_FORMAT, segment + 1);
            }
            held = r->src->ops->held(r->src, h, name, (uint32_t)ref);
            held_ref = ref;
        }
        e = held_chunk(r, a, slice_from(held, (size_t)(ref - held_ref)), &metas[i], &ret[i]);
    }
    return e;
}
