#include "common/block/block_index.h"

#include <inttypes.h>

#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/base/vec.h"
#include "common/block/block_format.h"

static struct err *corrupt(const struct block_index *x, const char *section, const char *what)
{
    return err_new(ERR_CORRUPT, "block %s: index: %s: %s", x->block, section, what);
}

/* The section at offset: u32 length, that many bytes, their CRC. */
static struct err *section_at(const struct block_index *x, uint64_t offset, const char *section,
                              struct slice *ret)
{
    struct reader r;
    struct slice body;
    uint32_t len;

    if (offset < BLOCK_INDEX_HEADER || offset > x->bytes.len)
        return corrupt(x, section, "offset outside the file");
    r = reader_new(slice_from(x->bytes, (size_t)offset));
    len = reader_u32be(&r);
    body = reader_bytes(&r, len);
    if (reader_u32be(&r) != hash_crc32c(body) || !reader_ok(&r))
        return corrupt(x, section, reader_ok(&r) ? "checksum is wrong" : "longer than the file");
    *ret = body;
    return NULL;
}

struct toc {
    uint64_t symbols, series, label_indices, label_table, postings, table;
};

static struct err *read_toc(struct block_index *x, struct toc *t)
{
    struct reader r = reader_new(x->bytes);
    struct slice tail;
    uint8_t version;

    if (reader_u32be(&r) != BLOCK_INDEX_MAGIC)
        return corrupt(x, "header", "this is no index file");
    version = reader_u8(&r);
    if (version != BLOCK_INDEX_VERSION)
        return err_new(ERR_UNSUPPORTED, "block %s: index version %u", x->block, version);
    if (x->bytes.len < BLOCK_INDEX_HEADER + BLOCK_TOC_BYTES)
        return corrupt(x, "header", "file is too short");
    tail = slice_from(x->bytes, x->bytes.len - BLOCK_TOC_BYTES);
    r = reader_new(tail);
    t->symbols = reader_u64be(&r);
    t->series = reader_u64be(&r);
    t->label_indices = reader_u64be(&r);
    t->label_table = reader_u64be(&r);
    t->postings = reader_u64be(&r);
    t->table = reader_u64be(&r);
    if (reader_u32be(&r) != hash_crc32c(slice_sub(tail, 0, BLOCK_TOC_BYTES - 4)))
        return corrupt(x, "table of contents", "checksum is wrong");
    x->series_end = x->bytes.len - BLOCK_TOC_BYTES;
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
    if ((e = section_at(x, offset, "symbols", &body)))
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
    if ((e = section_at(x, offset, "postings table", &body)))
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

struct err *block_index_open(struct block_index *x, const char *block, struct slice bytes)
{
    struct toc t;
    struct err *e;

    *x = (struct block_index){.block = block, .bytes = bytes};
    if ((e = read_toc(x, &t)) || (e = read_symbols(x, t.symbols)) || (e = read_table(x, t.table)))
        block_index_done(x);
    return e;
}

void block_index_done(struct block_index *x)
{
    mem_free(x->symbol_at);
    mem_free(x->entry_at);
    mem_free(x->names);
    *x = (struct block_index){0};
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

static struct err *list_at(const struct block_index *x, uint64_t offset,
                           struct block_index_list *ret)
{
    struct slice body;
    struct reader r;
    struct err *e;

    if ((e = section_at(x, offset, "postings", &body)))
        return e;
    r = reader_new(body);
    ret->n = reader_u32be(&r);
    if (!reader_ok(&r) || reader_left(&r) / 4 < ret->n)
        return corrupt(x, "postings", "list is cut short");
    ret->ptr = r.ptr;
    return NULL;
}

struct err *block_index_postings(const struct block_index *x, uint32_t entry,
                                 struct block_index_list *ret)
{
    struct reader r = reader_new(slice_from(x->table, x->entry_at[entry]));

    (void)reader_lstr(&r);
    return list_at(x, reader_uvarint(&r), ret);
}

struct err *block_index_all(const struct block_index *x, struct block_index_list *ret)
{
    if (x->all_postings == 0) {
        *ret = (struct block_index_list){0};
        return NULL;
    }
    return list_at(x, x->all_postings, ret);
}

struct err *block_index_series(const struct block_index *x, uint32_t ref, struct slice *ret)
{
    uint64_t at = (uint64_t)ref * BLOCK_SERIES_ALIGN;
    struct slice body;
    struct reader r;
    uint64_t len;

    if (at < BLOCK_INDEX_HEADER || at >= x->series_end)
        return corrupt(x, "series", "reference outside the file");
    r = reader_new(slice_sub(x->bytes, (size_t)at, (size_t)(x->series_end - at)));
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
