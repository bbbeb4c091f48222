#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/block/block_zstd.h"
#include "common/logblock/logpage_internal.h"

struct logpage_builder {
    struct logcol_build col;
    struct arena *arena;
    struct buf tree, meta_tree, columns, meta_columns, section;
};

struct logpage_builder *logpage_builder_new(void)
{
    struct logpage_builder *b = mem_new(struct logpage_builder);

    b->arena = arena_new(0);
    logcol_build_init(&b->col);
    b->col.arena = b->arena;
    return b;
}

void logpage_builder_free(struct logpage_builder *b)
{
    if (!b)
        return;
    logcol_build_done(&b->col);
    arena_free(b->arena);
    buf_done(&b->tree);
    buf_done(&b->meta_tree);
    buf_done(&b->columns);
    buf_done(&b->meta_columns);
    buf_done(&b->section);
    mem_free(b);
}

/* What the header says of the entries. */
struct about {
    uint32_t n_runs;
    uint64_t raw_bytes;
    int64_t min_ns, max_ns;
    bool has_meta;
};

static struct err *check(const struct logpage_entry *e, size_t n, struct about *ret)
{
    struct about a = {.min_ns = INT64_MAX, .max_ns = INT64_MIN};

    if (n == 0)
        return err_new(ERR_INVALID, "log page of no entries");
    if (n > LOGPAGE_MAX_ENTRIES)
        return err_new(ERR_TOO_LARGE, "log page of %zu entries; the most is %u", n,
                       LOGPAGE_MAX_ENTRIES);
    for (size_t i = 0; i < n; i++) {
        bool is_new = i == 0 || e[i].stream != e[i - 1].stream;

        if (i && (e[i].stream < e[i - 1].stream || (!is_new && e[i].ts_ns < e[i - 1].ts_ns)))
            return err_new(ERR_INVALID, "log page: entry %zu is out of order", i);
        a.n_runs += is_new;
        a.raw_bytes += logpage_entry_bytes(&e[i]);
        a.has_meta |= e[i].meta.n > 0;
        a.min_ns = ORR_MIN(a.min_ns, e[i].ts_ns);
        a.max_ns = ORR_MAX(a.max_ns, e[i].ts_ns);
        if (a.raw_bytes > LOGPAGE_MAX_BYTES)
            return err_new(ERR_TOO_LARGE, "log page of more than %u bytes", LOGPAGE_MAX_BYTES);
    }
    *ret = a;
    return NULL;
}

static void put_runs(const struct logpage_entry *e, size_t n, struct buf *out)
{
    size_t start = 0;

    for (size_t i = 1; i <= n; i++) {
        if (i < n && e[i].stream == e[start].stream)
            continue;
        buf_uvarint(out, e[start].stream);
        buf_uvarint(out, i - start);
        start = i;
    }
}

static void put_times(struct logpage_builder *b, const struct logpage_entry *e, size_t n,
                      struct buf *out)
{
    int64_t *t = arena_alloc(b->arena, n * sizeof(*t));
    struct intplanes c;

    for (size_t i = 0; i < n; i++)
        t[i] = e[i].ts_ns;
    c = intplanes_choose(t, n, true);
    intplanes_describe(&c, out);
    intplanes_encode(&c, t, n, out);
}

/* Where a section comes to lie; compressed if it pays. */
static struct logpage_place put_section(struct logpage_builder *b, struct slice raw,
                                        struct buf *out, size_t page)
{
    struct logpage_place at = {.off = (uint32_t)(out->len - page), .bytes = (uint32_t)raw.len};
    size_t before = out->len;

    if (raw.len < LOGCOL_INLINE || !block_zstd_pack(b->col.zstd, raw, out))
        buf_slice_append(out, raw);
    at.stored = (uint32_t)(out->len - before);
    at.crc = hash_crc32c(slice_of(out->ptr + before, at.stored));
    return at;
}

/* Payloads have checksums of their own. */
static struct logpage_place put_payloads(struct slice all, struct buf *out, size_t page)
{
    struct logpage_place at = {.off = (uint32_t)(out->len - page),
                               .bytes = (uint32_t)all.len,
                               .stored = (uint32_t)all.len};

    buf_slice_append(out, all);
    return at;
}

void logpage_put_header(const struct logpage *p, struct buf *out)
{
    size_t start = out->len;

    buf_append(out, LOGPAGE_MAGIC, LOGPAGE_MAGIC_BYTES);
    buf_u32le(out, p->n);
    buf_u32le(out, p->n_runs);
    buf_u64le(out, p->raw_bytes);
    buf_u64le(out, (uint64_t)p->min_ns);
    buf_u64le(out, (uint64_t)p->max_ns);
    for (int k = 0; k < LOGPAGE_SECTIONS; k++) {
        buf_u32le(out, p->places[k].off);
        buf_u32le(out, p->places[k].stored);
        buf_u32le(out, p->places[k].bytes);
        buf_u32le(out, p->places[k].crc);
    }
    if (buf_ok(out))
        buf_u32le(out, hash_crc32c(slice_of(out->ptr + start, out->len - start)));
}

static void build_columns(struct logpage_builder *b, const struct logpage_entry *e, size_t n,
                          bool has_meta)
{
    struct slice *lines = arena_alloc(b->arena, n * sizeof(*lines));

    buf_reset(&b->tree);
    buf_reset(&b->columns);
    buf_reset(&b->meta_tree);
    buf_reset(&b->meta_columns);
    for (size_t i = 0; i < n; i++)
        lines[i] = e[i].line;
    b->col.tree = &b->tree;
    b->col.payloads = &b->columns;
    logcol_build_lines(&b->col, lines, (uint32_t)n);
    if (has_meta) {
        struct labels *meta = arena_alloc(b->arena, n * sizeof(*meta));

        for (size_t i = 0; i < n; i++)
            meta[i] = e[i].meta;
        b->col.tree = &b->meta_tree;
        b->col.payloads = &b->meta_columns;
        logcol_build_meta(&b->col, meta, (uint32_t)n);
    }
}

static void put_page(struct logpage_builder *b, const struct logpage_entry *e, size_t n,
                     const struct about *about, struct buf *ret)
{
    struct logpage p = {.n = (uint32_t)n,
                        .n_runs = about->n_runs,
                        .raw_bytes = about->raw_bytes,
                        .min_ns = about->min_ns,
                        .max_ns = about->max_ns};
    struct logpage_place *at = p.places;
    size_t page = ret->len;
    struct buf head = {0};

    buf_fill(ret, 0, LOGPAGE_HEADER_BYTES);
    at[LOGPAGE_TREE] = put_section(b, buf_slice(&b->tree), ret, page);
    buf_reset(&b->section);
    put_runs(e, n, &b->section);
    at[LOGPAGE_RUNS] = put_section(b, buf_slice(&b->section), ret, page);
    buf_reset(&b->section);
    put_times(b, e, n, &b->section);
    at[LOGPAGE_TIMES] = put_section(b, buf_slice(&b->section), ret, page);
    at[LOGPAGE_META_TREE] = put_section(b, buf_slice(&b->meta_tree), ret, page);
    at[LOGPAGE_COLUMNS] = put_payloads(buf_slice(&b->columns), ret, page);
    at[LOGPAGE_META_COLUMNS] = put_payloads(buf_slice(&b->meta_columns), ret, page);
    logpage_put_header(&p, &head);
    if (buf_ok(ret))
        memcpy(ret->ptr + page, head.ptr, LOGPAGE_HEADER_BYTES);
    buf_done(&head);
}

struct err *logpage_build(struct logpage_builder *b, const struct logpage_entry *entries, size_t n,
                          int level, struct buf *ret, struct logfilter_grams *grams)
{
    size_t before = ret->len;
    struct about about;
    struct err *e = check(entries, n, &about);

    if (e)
        return e;
    arena_reset(b->arena);
    logcol_build_level(&b->col, level);
    build_columns(b, entries, n, about.has_meta);
    put_page(b, entries, n, &about, ret);
    if (!buf_ok(ret)) {
        ret->len = before;
        return err_new(ERR_TOO_LARGE, "log page does not fit into %zu bytes", ret->max_bytes);
    }
    if (grams) {
        logfilter_grams_clear(grams);
        for (size_t i = 0; i < n; i++)
            logfilter_grams_add(grams, entries[i].line);
    }
    return NULL;
}
