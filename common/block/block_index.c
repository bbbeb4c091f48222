#include "common/block/block_index.h"

#include <inttypes.h>

#include "common/base/fsx.h"
#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/base/vec.h"
#include "common/block/block_format.h"

#define LENGTH_BYTES 4
#define CRC_BYTES 4
#define SERIES_GUESS 512       /* bytes of a series entry, to begin with */
#define LIST_GUESS (64u << 10) /* of a list that nothing follows */
#define LIST_MAX_GUESS (8u << 20)
#define MAX_WHOLE (1u << 20) /* an index no longer than this is read at once */
#define TAIL_PART 8          /* else this part of it is tried for the postings table, but no … */
#define TAIL_MIN (1u << 20)  /* … less and … */
#define TAIL_MAX (8u << 20)  /* … no more than this */

static struct err *corrupt(const struct block_index *x, const char *section, const char *what)
{
    return err_new(ERR_CORRUPT, "block %s: index: %s: %s", x->block, section, what);
}

/* [off, off + len), or what the file has of it: at hand, or in the arena. */
static struct err *part(const struct block_index *x, struct arena *a, uint64_t off, uint64_t len,
                        struct slice *ret)
{
    struct buf scratch = {0};
    struct err *e;

    if (off >= x->size || !len) {
        *ret = SLICE_EMPTY;
        return NULL;
    }
    if (!x->src) {
        *ret = slice_sub(x->bytes, (size_t)off, (size_t)len);
        return NULL;
    }
    len = ORR_MIN(len, x->size - off);
    if (x->head.len && (off + len <= x->head_end || off >= x->tail_at)) {
        *ret = slice_sub(x->head, (size_t)off, (size_t)len);
        return NULL;
    }
    e = x->src->ops->range(x->src, BLOCK_INDEX_FILE, off, (size_t)len, &scratch, ret);
    if (!e && ret->len != len) /* zeros would be read, and the checksum of nothing is zero */
        e = corrupt(x, "file", "shorter than meta.json says");
    if (!e && ret->ptr == scratch.ptr)
        *ret = arena_dup(a, *ret);
    buf_done(&scratch);
    return e;
}

/* The section at offset: u32 length, that many bytes, their CRC. */
static struct err *section_at(const struct block_index *x, struct arena *a, uint64_t offset,
                              const char *section, struct slice *ret)
{
    struct reader r;
    struct slice body;
    struct err *e;
    uint32_t len;

    if (offset < BLOCK_INDEX_HEADER || offset > x->size)
        return corrupt(x, section, "offset outside the file");
    if ((e = part(x, a, offset, LENGTH_BYTES, &body)))
        return e;
    r = reader_new(body);
    len = reader_u32be(&r);
    if (len > x->size - offset)
        return corrupt(x, section, "longer than the file");
    if ((e = part(x, a, offset + LENGTH_BYTES, (uint64_t)len + CRC_BYTES, &body)))
        return e;
    r = reader_new(body);
    body = reader_bytes(&r, len);
    if (reader_u32be(&r) != hash_crc32c(body) || !reader_ok(&r))
        return corrupt(x, section, reader_ok(&r) ? "checksum is wrong" : "longer than the file");
    *ret = body;
    return NULL;
}

struct toc {
    uint64_t symbols, series, label_indices, label_table, postings, table;
};

static struct err *read_header(struct block_index *x)
{
    struct reader r;
    struct slice head;
    struct err *e;
    uint8_t version;

    if ((e = part(x, x->kept, 0, BLOCK_INDEX_HEADER, &head)))
        return e;
    r = reader_new(head);
    if (reader_u32be(&r) != BLOCK_INDEX_MAGIC)
        return corrupt(x, "header", "this is no index file");
    version = reader_u8(&r);
    if (version != BLOCK_INDEX_VERSION)
        return err_new(ERR_UNSUPPORTED, "block %s: index version %u", x->block, version);
    return NULL;
}

static struct err *read_toc(struct block_index *x, struct toc *t)
{
    struct reader r;
    struct slice tail;
    struct err *e;

    if (x->size < BLOCK_INDEX_HEADER + BLOCK_TOC_BYTES)
        return corrupt(x, "header", "file is too short");
    if ((e = part(x, x->kept, x->size - BLOCK_TOC_BYTES, BLOCK_TOC_BYTES, &tail)))
        return e;
    r = reader_new(tail);
    t->symbols = reader_u64be(&r);
    t->series = reader_u64be(&r);
    t->label_indices = reader_u64be(&r);
    t->label_table = reader_u64be(&r);
    t->postings = reader_u64be(&r);
    t->table = reader_u64be(&r);
    if (reader_u32be(&r) != hash_crc32c(slice_sub(tail, 0, BLOCK_TOC_BYTES - CRC_BYTES)) ||
        !reader_ok(&r))
        return corrupt(x, "table of contents", "checksum is wrong");
    x->series_end = x->size - BLOCK_TOC_BYTES;
    return NULL;
}

static struct err *read_symbols(struct block_index *x, uint64_t offset)
{
    struct slice body, last = SLICE_EMPTY;
    struct reader r;
    struct err *e;
    uint32_t n;

    if (offset == 0)
        return NULL;
    if ((e = section_at(x, x->kept, offset, "symbols", &body)))
        return e;
    r = reader_new(body);
    n = reader_u32be(&r);
    if (n > reader_left(&r))
        return corrupt(x, "symbols", "more than the bytes can hold");
    x->symbols = reader_rest(&r);
    x->symbol_at = mem_new_array(uint32_t, (size_t)n + 1);
    r = reader_new(x->symbols);
    for (uint32_t i = 0; i < n; i++) {
        struct slice s;

        x->symbol_at[i] = (uint32_t)reader_pos(&r);
        s = reader_lstr(&r);
        if (!reader_ok(&r))
            return corrupt(x, "symbols", "section is cut short");
        if (i && slice_cmp(last, s) >= 0)
            return corrupt(x, "symbols", "not sorted");
        last = s;
    }
    x->n_symbols = n;
    return NULL;
}

struct names {
    VEC(struct block_index_name) v;
};

/* Entry i of the table; opens a new name when it differs from the last. */
static struct err *read_entry(struct block_index *x, struct reader *r, uint32_t i,
                              struct names *names, struct slice *last_value)
{
    uint8_t keys = reader_u8(r);
    struct slice name = reader_lstr(r), value;
    struct block_index_name *cur = names->v.len ? &vec_last(&names->v) : NULL;
    uint64_t offset;
    int cmp;

    x->entry_at[i] = (uint32_t)reader_pos(r);
    value = reader_lstr(r);
    offset = reader_uvarint(r);
    if (!reader_ok(r) || keys != 2)
        return corrupt(x, "postings table", "malformed entry");
    if (name.len == 0 && value.len == 0) {
        x->all_postings = offset;
        return NULL;
    }
    cmp = cur ? slice_cmp(cur->name, name) : -1;
    if (cmp > 0 || (cmp == 0 && slice_cmp(*last_value, value) >= 0))
        return corrupt(x, "postings table", "not sorted");
    if (cmp < 0)
        vec_push(&names->v, ((struct block_index_name){name, i, 0}));
    vec_last(&names->v).n++;
    *last_value = value;
    return NULL;
}

static struct err *read_table(struct block_index *x, uint64_t offset)
{
    struct slice body, last = SLICE_EMPTY;
    struct names names = {0};
    struct err *e;
    struct reader r;
    uint32_t n;

    if (offset == 0)
        return NULL;
    if ((e = section_at(x, x->kept, offset, "postings table", &body)))
        return e;
    r = reader_new(body);
    n = reader_u32be(&r);
    if (n > reader_left(&r) / 4) /* one byte of each member at least */
        return corrupt(x, "postings table", "more entries than the bytes can hold");
    x->table = reader_rest(&r);
    x->entry_at = mem_new_array(uint32_t, (size_t)n + 1);
    r = reader_new(x->table);
    for (uint32_t i = 0; !e && i < n; i++)
        e = read_entry(x, &r, i, &names, &last);
    x->n_entries = n;
    x->names = names.v.ptr;
    x->n_names = names.v.len;
    return e;
}

static struct err *read_whole(struct block_index *x)
{
    struct toc t;
    struct err *e;

    if ((e = read_header(x)) || (e = read_toc(x, &t)) || (e = read_symbols(x, t.symbols)))
        return e;
    return read_table(x, t.table);
}

struct err *block_index_open(struct block_index *x, const char *block, struct slice bytes)
{
    struct err *e;

    *x = (struct block_index){.block = block, .bytes = bytes, .size = bytes.len};
    if ((e = read_whole(x)))
        block_index_done(x);
    return e;
}

/* ---- by parts ---- */

static struct block_source_range range_of(uint64_t off, uint64_t len)
{
    return (struct block_source_range){BLOCK_INDEX_FILE, off, len, false};
}

/* What lies before the series is the symbols, as everybody writes them; where it does not, section_at() reads
 * what it needs, and no header is kept. */
static bool is_usual(const struct block_index *x, const struct toc *t)
{
    return t->symbols < t->series && t->series < t->table && t->table < x->size;
}

/* The same bytes again, from the pages that are held. */
static struct err *put_head(struct block_index *x, const struct toc *t)
{
    struct arena *a = arena_new(0);
    struct slice begin, end;
    struct err *e;

    if (!(e = part(x, a, 0, t->series, &begin)) &&
        !(e = part(x, a, t->table, x->size - t->table, &end)))
        block_heads_put(x->src->heads, x->block, x->size, begin, end);
    arena_free(a);
    return e;
}

/* The end of the file is held already. */
static struct err *read_parts(struct block_index *x)
{
    struct block_source_range ranges[2];
    struct objpages_hold *hold = NULL;
    struct err *e;
    struct toc t;

    if ((e = read_toc(x, &t)))
        return e;
    if (t.table > x->size || t.series > x->size)
        return corrupt(x, "table of contents", "points behind the end of the file");
    ranges[0] = range_of(0, is_usual(x, &t) ? t.series : BLOCK_INDEX_HEADER);
    ranges[1] = range_of(t.table, t.table ? x->size - t.table : 0);
    if ((e = block_source_hold(x->src, ranges, 2, &hold)))
        return e;
    if (!(e = read_header(x)) && !(e = read_symbols(x, t.symbols)) &&
        !(e = read_table(x, t.table)) && x->src->heads && is_usual(x, &t))
        e = put_head(x, &t);
    block_source_unhold(x->src, hold);
    return e;
}

static void begin(struct block_index *x, const char *block, struct block_source *src, uint64_t size)
{
    *x = (struct block_index){.block = block, .src = src, .size = size, .kept = arena_new(0)};
}

static struct err *open_from_store(struct block_index *x)
{
    uint64_t tail = ORR_MIN(ORR_MAX(x->size / TAIL_PART, (uint64_t)TAIL_MIN), (uint64_t)TAIL_MAX);
    struct block_source_range range;
    struct objpages_hold *hold = NULL;
    struct err *e;

    tail = x->size <= MAX_WHOLE ? x->size : tail;
    range = range_of(x->size - tail, tail);
    if (!(e = block_source_hold(x->src, &range, 1, &hold)))
        e = read_parts(x);
    block_source_unhold(x->src, hold);
    return e;
}

static struct err *read_head(struct block_index *x)
{
    struct err *e;
    struct toc t;

    x->tail_at = x->size - ORR_MIN(x->size, (uint64_t)BLOCK_TOC_BYTES);
    if ((e = read_toc(x, &t)))
        return e;
    if (!is_usual(x, &t))
        return corrupt(x, "table of contents", "not of an index of which a header is kept");
    x->head_end = t.series;
    x->tail_at = t.table;
    if ((e = read_header(x)) || (e = read_symbols(x, t.symbols)))
        return e;
    return read_table(x, t.table);
}

/* False: there is none, or it is broken and gone. */
static bool open_from_head(struct block_index *x)
{
    struct err *e;

    if (!x->src->heads || !block_heads_find(x->src->heads, x->block, x->size, &x->head))
        return false;
    if ((e = read_head(x)))
        block_heads_drop(x->src->heads, x->block, e);
    return !e;
}

struct err *block_index_open_parts(struct block_index *x, const char *block,
                                   struct block_source *src, uint64_t size)
{
    struct block_index mapped;
    struct err *e;

    begin(x, block, src, size);
    if (open_from_head(x))
        return NULL;
    block_index_done(x);
    begin(x, block, src, size);
    if ((e = open_from_store(x))) {
        block_index_done(x);
        return e;
    }
    begin(&mapped, block, src, size);
    if (open_from_head(&mapped)) { /* as it is from now on; what was read goes */
        block_index_done(x);
        *x = mapped;
    } else {
        block_index_done(&mapped);
    }
    return NULL;
}

void block_index_done(struct block_index *x)
{
    mem_free(x->symbol_at);
    mem_free(x->entry_at);
    mem_free(x->names);
    arena_free(x->kept);
    if (x->head.len)
        fsx_unmap(x->head);
    *x = (struct block_index){0};
}

size_t block_index_memory(const struct block_index *x)
{
    return (x->kept ? arena_used(x->kept) : 0) +
           ((size_t)x->n_symbols + x->n_entries) * sizeof(uint32_t) +
           x->n_names * sizeof(*x->names);
}

struct slice block_index_symbol(const struct block_index *x, uint32_t i)
{
    struct reader r;

    if (i >= x->n_symbols)
        return SLICE_EMPTY;
    r = reader_new(slice_from(x->symbols, x->symbol_at[i]));
    return reader_lstr(&r);
}

const struct block_index_name *block_index_find(const struct block_index *x, struct slice name)
{
    size_t lo = 0, hi = x->n_names;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = slice_cmp(x->names[mid].name, name);

        if (c == 0)
            return &x->names[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

struct slice block_index_value(const struct block_index *x, uint32_t entry)
{
    struct reader r = reader_new(slice_from(x->table, x->entry_at[entry]));

    return reader_lstr(&r);
}

uint32_t block_index_lower_bound(const struct block_index *x, const struct block_index_name *n,
                                 struct slice value)
{
    uint32_t lo = n->first, hi = n->first + n->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (slice_cmp(block_index_value(x, mid), value) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct err *list_at(const struct block_index *x, struct arena *a, uint64_t offset,
                           struct block_index_list *ret)
{
    struct slice body;
    struct reader r;
    struct err *e;

    if ((e = section_at(x, a, offset, "postings", &body)))
        return e;
    r = reader_new(body);
    ret->n = reader_u32be(&r);
    if (!reader_ok(&r) || reader_left(&r) / 4 < ret->n)
        return corrupt(x, "postings", "list is cut short");
    ret->ptr = r.ptr;
    return NULL;
}

static uint64_t list_offset(const struct block_index *x, uint32_t entry)
{
    struct reader r;

    if (entry >= x->n_entries)
        return x->all_postings;
    r = reader_new(slice_from(x->table, x->entry_at[entry]));
    (void)reader_lstr(&r);
    return reader_uvarint(&r);
}

struct block_source_range block_index_list_range(const struct block_index *x, uint32_t entry)
{
    uint64_t off = list_offset(x, entry), next = 0, len = LIST_GUESS;

    if (entry + 1 < x->n_entries)
        next = list_offset(x, entry + 1); /* lists mostly stand in the order of the table */
    if (next > off)
        len = ORR_MIN(next - off, (uint64_t)LIST_MAX_GUESS);
    off = ORR_MIN(off, x->size);
    return range_of(off, ORR_MIN(len, x->size - off));
}

struct block_source_range block_index_series_range(const struct block_index *x, uint32_t ref)
{
    uint64_t at = ORR_MIN((uint64_t)ref * BLOCK_SERIES_ALIGN, x->series_end);

    return range_of(at, ORR_MIN((uint64_t)SERIES_GUESS, x->series_end - at));
}

struct err *block_index_postings(const struct block_index *x, struct arena *a, uint32_t entry,
                                 struct block_index_list *ret)
{
    return list_at(x, a, list_offset(x, entry), ret);
}

struct err *block_index_all(const struct block_index *x, struct arena *a,
                            struct block_index_list *ret)
{
    if (x->all_postings == 0) {
        *ret = (struct block_index_list){0};
        return NULL;
    }
    return list_at(x, a, x->all_postings, ret);
}

/* What is held of the entry at an offset; false: not all of it. */
static bool held_series(const struct block_index *x, const struct objpages_hold *h, uint64_t at,
                        struct slice *ret)
{
    struct slice held = x->src->ops->held(x->src, h, BLOCK_INDEX_FILE, at);
    struct reader r = reader_new(held);
    uint64_t len = reader_uvarint(&r);

    if (!reader_ok(&r) || reader_left(&r) < CRC_BYTES || len > reader_left(&r) - CRC_BYTES)
        return false;
    *ret = held;
    return true;
}

/* The entry at an offset: held, or read as far as a guess goes, and again if it is longer. */
static struct err *series_part(const struct block_index *x, struct arena *a,
                               const struct objpages_hold *h, uint64_t at, struct slice *ret)
{
    uint64_t most = x->series_end - at, len;
    struct reader r;
    struct err *e;

    if (h && x->src && x->src->ops->held && held_series(x, h, at, ret))
        return NULL;
    if ((e = part(x, a, at, x->src ? ORR_MIN(most, (uint64_t)SERIES_GUESS) : most, ret)))
        return e;
    r = reader_new(*ret);
    len = reader_uvarint(&r);
    if (!reader_ok(&r) || len > most)
        return corrupt(x, "series", "longer than the file");
    len += reader_pos(&r) + CRC_BYTES;
    return len > ret->len ? part(x, a, at, ORR_MIN(most, len), ret) : NULL;
}

struct err *block_index_series(const struct block_index *x, struct arena *a,
                               const struct objpages_hold *h, uint32_t ref, struct slice *ret)
{
    uint64_t at = (uint64_t)ref * BLOCK_SERIES_ALIGN, len;
    struct slice body;
    struct reader r;
    struct err *e;

    if (at < BLOCK_INDEX_HEADER || at >= x->series_end)
        return corrupt(x, "series", "reference outside the file");
    if ((e = series_part(x, a, h, at, &body)))
        return e;
    r = reader_new(body);
    len = reader_uvarint(&r);
    if (len > reader_left(&r))
        return corrupt(x, "series", "longer than the file");
    body = reader_bytes(&r, (size_t)len);
    if (reader_u32be(&r) != hash_crc32c(body) || !reader_ok(&r))
        return err_new(ERR_CORRUPT, "block %s: index: series %" PRIu32 ": checksum is wrong",
                       x->block, ref);
    *ret = body;
    return NULL;
}
