#include "common/block/block_index_out.h"

#include "common/base/reader.h"
#include "common/block/block_format.h"

struct index_out {
    struct block_out out;
    const struct block_symbols *symbols;
    uint32_t *order, *rank; /* of strings */
    uint32_t *pair_order;
    uint64_t *first;  /* of each pair, by id: where its refs begin in refs */
    uint32_t *filled; /* how many are there */
    uint32_t *refs;   /* all postings lists, one behind the other */
    uint32_t *all;    /* refs of all series */
    uint64_t series;
    uint64_t *offsets; /* of the postings lists, in pair order; the first is that of all series */
    uint64_t toc_symbols, toc_series, toc_postings, toc_table;
};

static void prepare(struct index_out *x)
{
    const struct block_symbols *s = x->symbols;
    uint64_t at = 0;

    block_symbols_sort(s, &x->order, &x->rank);
    x->pair_order = block_symbols_sort_pairs(s, x->rank);
    x->first = mem_new_array(uint64_t, s->pairs.len + 1);
    x->filled = mem_new_array(uint32_t, s->pairs.len + 1);
    x->refs = mem_new_array(uint32_t, s->total_pairs + 1);
    x->all = mem_new_array(uint32_t, x->series + 1);
    x->offsets = mem_new_array(uint64_t, s->pairs.len + 1);
    for (size_t i = 0; i < s->pairs.len; i++) {
        x->first[i] = at;
        at += s->pairs.ptr[i].count;
    }
}

static void finish(struct index_out *x)
{
    mem_free(x->order);
    mem_free(x->rank);
    mem_free(x->pair_order);
    mem_free(x->first);
    mem_free(x->filled);
    mem_free(x->refs);
    mem_free(x->all);
    mem_free(x->offsets);
    block_out_abort(&x->out);
}

static unsigned uvarint_size(uint64_t v)
{
    unsigned n = 1;

    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

static struct err *write_symbols(struct index_out *x)
{
    uint64_t bytes = 4;

    for (size_t i = 0; i < x->symbols->strings.len; i++) {
        size_t len = x->symbols->strings.ptr[i].s.len;

        bytes += uvarint_size(len) + len;
    }
    if (bytes > UINT32_MAX)
        return err_new(ERR_LIMIT, "symbols of a block over 4 GiB");
    x->toc_symbols = x->out.pos;
    block_out_u32be(&x->out, (uint32_t)bytes);
    block_out_crc_begin(&x->out);
    block_out_u32be(&x->out, (uint32_t)x->symbols->strings.len);
    for (size_t i = 0; i < x->symbols->strings.len; i++)
        block_out_lstr(&x->out, x->symbols->strings.ptr[x->order[i]].s);
    block_out_crc_end(&x->out);
    return NULL;
}

/* One spool record becomes one series entry at ref; its pairs get the ref into their postings. */
static bool translate(struct index_out *x, struct reader *r, uint32_t ref, struct buf *body)
{
    uint64_t n = reader_uvarint(r);
    struct slice metas;

    buf_reset(body);
    buf_uvarint(body, n);
    for (uint64_t i = 0; i < n && reader_ok(r); i++) {
        uint64_t id = reader_uvarint(r);
        const struct block_symbols_pair *p;

        if (id >= x->symbols->pairs.len)
            return false;
        p = &x->symbols->pairs.ptr[id];
        if (x->filled[id] == p->count)
            return false;
        x->refs[x->first[id] + x->filled[id]++] = ref;
        buf_uvarint(body, x->rank[p->name]);
        buf_uvarint(body, x->rank[p->value]);
    }
    metas = reader_lstr(r);
    buf_slice_append(body, metas);
    return reader_ok(r);
}

static struct err *write_series(struct index_out *x, struct slice spool)
{
    struct reader r = reader_new(spool);
    struct buf body = {0};
    struct err *e = NULL;

    x->toc_series = x->out.pos;
    for (uint64_t i = 0; !e && i < x->series; i++) {
        uint64_t ref;

        block_out_align(&x->out, BLOCK_SERIES_ALIGN);
        ref = x->out.pos / BLOCK_SERIES_ALIGN;
        if (ref > UINT32_MAX) {
            e = err_new(ERR_LIMIT, "index of a block over 64 GiB");
            break;
        }
        /* The spool is ours, but it went over a disk. */
        if (!translate(x, &r, (uint32_t)ref, &body)) {
            e = err_new(ERR_CORRUPT, "series spool is damaged at record %llu",
                        (unsigned long long)i);
            break;
        }
        x->all[i] = (uint32_t)ref;
        block_out_uvarint(&x->out, body.len);
        block_out_crc_begin(&x->out);
        block_out_put(&x->out, buf_slice(&body));
        block_out_crc_end(&x->out);
    }
    buf_done(&body);
    return e;
}

static uint64_t write_list(struct index_out *x, const uint32_t *refs, uint32_t n)
{
    uint64_t at;

    block_out_align(&x->out, 4);
    at = x->out.pos;
    block_out_u32be(&x->out, 4 + 4 * n);
    block_out_crc_begin(&x->out);
    block_out_u32be(&x->out, n);
    for (uint32_t i = 0; i < n; i++)
        block_out_u32be(&x->out, refs[i]);
    block_out_crc_end(&x->out);
    return at;
}

static void write_postings(struct index_out *x)
{
    x->toc_postings = x->out.pos;
    x->offsets[0] = write_list(x, x->all, (uint32_t)x->series);
    for (size_t i = 0; i < x->symbols->pairs.len; i++) {
        uint32_t id = x->pair_order[i];

        x->offsets[i + 1] = write_list(x, x->refs + x->first[id], x->symbols->pairs.ptr[id].count);
    }
}

static void put_entry(struct buf *b, struct slice name, struct slice value, uint64_t offset)
{
    buf_byte(b, 2); /* strings in the key */
    buf_lstr(b, name);
    buf_lstr(b, value);
    buf_uvarint(b, offset);
}

/* Its length stands in front, so entries are sized in one pass and written in a second. */
static struct err *write_table(struct index_out *x)
{
    const struct block_symbols *s = x->symbols;
    struct buf b = {0};
    uint64_t bytes = 4;

    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1) {
            if (bytes > UINT32_MAX) {
                buf_done(&b);
                return err_new(ERR_LIMIT, "postings table of a block over 4 GiB");
            }
            x->toc_table = x->out.pos;
            block_out_u32be(&x->out, (uint32_t)bytes);
            block_out_crc_begin(&x->out);
            block_out_u32be(&x->out, (uint32_t)s->pairs.len + 1);
        }
        for (size_t i = 0; i <= s->pairs.len; i++) {
            const struct block_symbols_pair *p = i ? &s->pairs.ptr[x->pair_order[i - 1]] : NULL;

            buf_reset(&b);
            put_entry(&b, p ? s->strings.ptr[p->name].s : SLICE_EMPTY,
                      p ? s->strings.ptr[p->value].s : SLICE_EMPTY, x->offsets[i]);
            if (pass == 0)
                bytes += b.len;
            else
                block_out_put(&x->out, buf_slice(&b));
        }
    }
    block_out_crc_end(&x->out);
    buf_done(&b);
    return NULL;
}

static void write_toc(struct index_out *x)
{
    block_out_crc_begin(&x->out);
    block_out_u64be(&x->out, x->toc_symbols);
    block_out_u64be(&x->out, x->toc_series);
    block_out_u64be(&x->out,
                    x->toc_postings); /* label indices: none, so they end where they begin */
    block_out_u64be(&x->out, x->toc_table);
    block_out_u64be(&x->out, x->toc_postings);
    block_out_u64be(&x->out, x->toc_table);
    block_out_crc_end(&x->out);
}

struct err *block_index_out_write(const struct block_symbols *symbols, struct slice spool,
                                  uint64_t series, const char *path, bool sync, uint64_t *ret_bytes,
                                  uint32_t **ret_refs)
{
    struct index_out x = {.symbols = symbols, .series = series, .out = {.fd = -1}};
    struct err *e;

    prepare(&x);
    if ((e = block_out_open(&x.out, path)))
        goto out;
    block_out_u32be(&x.out, BLOCK_INDEX_MAGIC);
    block_out_u8(&x.out, BLOCK_INDEX_VERSION);
    if ((e = write_symbols(&x)) || (e = write_series(&x, spool)))
        goto out;
    write_postings(&x);
    if ((e = write_table(&x)))
        goto out;
    write_toc(&x);
    *ret_bytes = x.out.pos;
    if (!(e = block_out_close(&x.out, sync)) && ret_refs) {
        *ret_refs = x.all;
        x.all = NULL;
    }
out:
    finish(&x);
    return e;
}
