/*
 * A small block of log lines in which bytes are others: it is queried, merged and verified without harm. The input is edits,
 * six bytes each: file, offset (u32), what is put there. If the first byte is even, checksums are put right.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/logblock/logblock_internal.h"
#include "common/logblock/logpage_internal.h"
#include "tests/fuzz/common/block/indexfix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { META, INDEX, PAGES, DIRECTORY, FILTER, FILES };
static const char *const names[FILES] = {BLOCK_META_FILE, "index", LOGBLOCK_PAGES_FILE,
                                         LOGBLOCK_DIRECTORY_FILE, LOGBLOCK_FILTER_FILE};
static struct buf good[FILES];

static void must(struct err *e)
{
    if (e)
        abort();
}

/* ---- the block ---- */

static void write_lines(struct logblock_writer *w)
{
    for (uint64_t s = 0; s < 4; s++) {
        char name[] = "app-0";
        struct label l = {SLICE("app"), slice_of(name, 5)};
        struct label meta = {SLICE("span"), SLICE("0f1e2d")};

        name[4] = (char)('0' + s);
        must(logblock_writer_stream(w, (struct hash128){s, s}, (struct labels){&l, 1}));
        for (int i = 0; i < 60; i++) {
            char text[64];
            int n = snprintf(text, sizeof(text), "level=info msg=\"request %d done\" took=%dms", i,
                             i * 7 % 40);

            must(logblock_writer_entry(w,
                                       &(struct logpage_entry){.ts_ns = 1000000000ll * (i / 2),
                                                               .line = slice_of(text, (size_t)n),
                                                               .meta = {&meta, (size_t)(i % 2)}}));
        }
        if (s == 1) { /* ends a page, so that a stream goes on in another one */
            struct buf big = {0};

            buf_fill(&big, 'x', LOGPAGE_AIM_BYTES);
            must(logblock_writer_entry(
                w, &(struct logpage_entry){.ts_ns = 1ll << 40, .line = buf_slice(&big)}));
            must(logblock_writer_entry(
                w, &(struct logpage_entry){.ts_ns = 1ll << 40, .line = SLICE("behind it")}));
            buf_done(&big);
        }
    }
}

static void make_good(void)
{
    char dir[] = "/tmp/logblock-fuzz-XXXXXX";
    struct logblock_writer *w;
    struct arena *a = arena_new(0);
    struct block_meta m;

    if (!mkdtemp(dir))
        abort();
    must(logblock_writer_open(
        &(struct logblock_writer_opts){.dir = dir, .meta.ulid = {{1, 2, 3}}, .no_sync = true}, &w));
    write_lines(w);
    must(logblock_writer_finish(w, a, &m));
    logblock_writer_close(w);
    for (int i = 0; i < FILES; i++)
        must(fsx_read(arena_printf(a, "%s/%s/%s", dir, ulid_print(m.ulid).s, names[i]), 1 << 24,
                      &good[i]));
    must(fsx_remove_tree(dir));
    arena_free(a);
}

/* ---- where it is read from ---- */

struct source {
    struct block_source base;
    struct buf files[FILES];
};

static struct err *get_file(struct block_source *base, const char *name, struct slice *ret)
{
    struct source *s = (struct source *)base;

    for (int i = 0; i < FILES; i++)
        if (strcmp(name, names[i]) == 0) {
            *ret = buf_slice(&s->files[i]);
            return NULL;
        }
    return err_new(ERR_NOT_FOUND, "%s", name);
}

/* Copied, so that a read past it is seen. */
static struct err *get_range(struct block_source *base, const char *name, uint64_t off, size_t len,
                             struct buf *scratch, struct slice *ret)
{
    struct slice all;
    struct err *e = get_file(base, name, &all);

    if (e)
        return e;
    buf_done(scratch);
    if (off < all.len)
        buf_slice_append(scratch, slice_sub(all, (size_t)off, len));
    *ret = buf_slice(scratch);
    return NULL;
}

static void close_source(struct block_source *base)
{
    struct source *s = (struct source *)base;

    for (int i = 0; i < FILES; i++)
        buf_done(&s->files[i]);
    mem_free(s);
}

static struct err *hold(struct block_source *s, const struct block_source_range *ranges, size_t n,
                        struct objpages_hold **ret)
{
    (void)s;
    for (size_t i = 0; i < n; i++)
        ORR_ASSERT(ranges[i].len <= UINT64_MAX - ranges[i].off);
    *ret = NULL;
    return NULL;
}

static size_t room(struct block_source *s, size_t n_users)
{
    (void)s;
    return 4 * OBJPAGES_PAGE / n_users;
}

static struct err *size_of(struct block_source *base, const char *name, uint64_t *ret)
{
    struct slice all;
    struct err *e = get_file(base, name, &all);

    if (!e)
        *ret = all.len;
    return e;
}

static const struct block_source_ops whole = {
    .file = get_file, .range = get_range, .close = close_source};
static const struct block_source_ops parts = {.file = get_file,
                                              .range = get_range,
                                              .close = close_source,
                                              .hold = hold,
                                              .room = room,
                                              .size = size_of};

/* ---- edits ---- */

static void put_u32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static void fix_page(uint8_t *page, size_t len)
{
    for (int k = LOGPAGE_RUNS; k <= LOGPAGE_META_TREE; k++) { /* payloads have theirs inside */
        uint8_t *at = page + 40 + 16 * k;
        struct reader r = reader_new(slice_of(at, 8));
        uint32_t off = reader_u32le(&r), stored = reader_u32le(&r);

        if (off <= len && stored <= len - off)
            put_u32(at + 12, hash_crc32c(slice_of(page + off, stored)));
    }
    put_u32(page + 136, hash_crc32c(slice_of(page, 136)));
}

static void fix(struct source *s)
{
    struct logblock_directory d;
    struct buf *dir = &s->files[DIRECTORY];

    must(logblock_directory_parse(buf_slice(&good[DIRECTORY]), &d));
    for (uint32_t i = 0; i < d.n_pages; i++) {
        struct logblock_page_at p = logblock_directory_page(&d, i);

        fix_page(s->files[PAGES].ptr + p.offset, p.bytes);
        put_u32(dir->ptr + LOGBLOCK_DIRECTORY_HEADER + (i + 1) * LOGBLOCK_DIRECTORY_PAGE - 4,
                hash_crc32c(slice_of(s->files[PAGES].ptr + p.offset, p.bytes)));
    }
    put_u32(dir->ptr + dir->len - 4, hash_crc32c(slice_of(dir->ptr, dir->len - 4)));
    indexfix(s->files[INDEX].ptr, s->files[INDEX].len);
}

static struct block_source *edited(const uint8_t *data, size_t size,
                                   const struct block_source_ops *how)
{
    static char name[] = "fuzz";
    struct source *s = mem_new(struct source);

    s->base = (struct block_source){.ops = how, .name = name};
    for (int i = 0; i < FILES; i++)
        buf_slice_append(&s->files[i], buf_slice(&good[i]));
    for (size_t at = 1; at + 6 <= size; at += 6) {
        struct buf *f = &s->files[data[at] % FILES];
        struct reader r = reader_new(slice_of(data + at + 1, 4));

        f->ptr[reader_u32le(&r) % f->len] = data[at + 5];
    }
    if (size && data[0] % 2 == 0)
        fix(s);
    return &s->base;
}

/* ---- use ---- */

static void query(struct logblock *b, bool is_backward, size_t n_needles,
                  const struct logblock_bound *bound)
{
    static const struct slice needles[] = {SLICE_INIT("request 12 done"), SLICE_INIT("took")};
    struct logblock_query q = {.from_ns = n_needles ? 1000000000 : INT64_MIN,
                               .to_ns = INT64_MAX,
                               .is_backward = is_backward,
                               .needles = needles,
                               .n_needles = n_needles,
                               .bound = bound};
    struct arena *a = arena_new(64u << 20);
    struct logblock_set *set;
    struct logblock_stream st;
    struct logpage_entry en;
    size_t sum = 0;
    struct err *e = logblock_select(b, a, &q, &set);

    if (!e) {
        while (logblock_set_stream(set, &st))
            while (logblock_set_entry(set, &en))
                sum += en.line.len ? en.line.ptr[en.line.len - 1] : 0;
        e = logblock_set_close(set);
    }
    ORR_ASSERT(sum < SIZE_MAX);
    err_free(e);
    arena_free(a);
}

static void drain(struct logblock *b)
{
    struct logblock_source s;
    struct logblock_stream st;
    struct logpage_entry en;
    bool is_end = false;
    struct err *e = logblock_source_block(b, &s);

    if (e) {
        err_free(e);
        return;
    }
    while (!e && !(e = s.stream(s.arg, &st, &is_end)) && !is_end)
        while (!(e = s.entry(s.arg, &en, &is_end)) && !is_end)
            ;
    err_free(e);
    s.close(s.arg);
}

static void open_and_use(const uint8_t *data, size_t size, const struct block_source_ops *how)
{
    static const struct logblock_bound bound = {LOGPAGE_LOGFMT, SLICE_INIT("took"), 3, 1e6};
    struct block_reader *streams;
    struct logblock *b;
    struct err *e = block_reader_open(edited(data, size, how), NULL, &streams);

    if (!e && !(e = logblock_open(streams, &b))) {
        query(b, false, 0, NULL);
        query(b, true, 2, NULL);
        query(b, false, 0, &bound);
        drain(b);
        e = logblock_verify(b);
        logblock_close(b);
        block_reader_close(streams);
    }
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!good[META].len)
        make_good();
    open_and_use(data, size, &whole);
    open_and_use(data, size, &parts);
    return 0;
}
