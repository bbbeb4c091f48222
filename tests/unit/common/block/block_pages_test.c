/* A block that is read by pages: what it costs, and that it is read right. */
#include "common/base/fsx.h"
#include "common/block/block_store.h"
#include "common/objstore/objpages.h"
#include "tests/unit/common/block/block_fixture.h"
#include "tests/unit/common/objstore/counting_store.h"

#define MANY 20000 /* series: an index of some MiB, and chunks of as many */

struct rig {
    struct counting_store store;
    struct objpages *pages;
    struct block_heads *heads;
    struct arena *arena;
    struct block_meta meta;
    struct slice prefix;
};

static void write_many(struct rig *g, size_t n)
{
    struct block_writer *w = open_writer(1);
    struct arena *a = arena_new(0);

    for (size_t i = 0; i < n; i++) {
        struct chunk c[2];
        char text[64];

        arena_reset(a);
        c[0] = floats(a, FIXTURE_T0, 1000, 120, (double)i * 1.7);
        c[1] = floats(a, FIXTURE_T0 + 120000, 1000, 60, (double)i);
        (void)snprintf(text, sizeof(text), "a=%05zu,job=%zu,name=value-%05zu", i, i % 10, i);
        CHECK_OK(block_writer_add(
            w, &(struct block_series){.labels = labels_from(a, text), .chunks = c, .n_chunks = 2}));
    }
    arena_free(a);
    finish_writer(w, g->arena, &g->meta);
}

static void rig_up(struct rig *g, size_t n_series, size_t max_bytes)
{
    *g = (struct rig){.arena = arena_new(0)};
    counting_store_open(&g->store);
    write_many(g, n_series);
    CHECK_OK(
        block_store_upload(&g->store.base, SLICE("metrics"), SLICE("t"), block_path(1), &g->meta));
    g->prefix = block_store_prefix(g->arena, SLICE("metrics"), SLICE("t"), g->meta.ulid);
    g->pages =
        objpages_new(&(struct objpages_opts){.store = &g->store.base, .max_bytes = max_bytes});
    g->store.gets = g->store.bytes = g->store.stats = 0;
}

static void rig_down(struct rig *g)
{
    block_heads_free(g->heads);
    objpages_free(g->pages);
    counting_store_close(&g->store);
    arena_free(g->arena);
}

static struct block_reader *open_far(struct rig *g)
{
    struct block_reader *r;

    CHECK_OK(block_reader_open(block_source_pages(g->pages, g->heads, g->prefix), NULL, &r));
    return r;
}

/* What is lent by the hold is what the block has. */
static void check_held(const struct block_reader *far, const struct block_reader *near,
                       const struct objpages_hold *h, uint32_t ref)
{
    struct arena *a = arena_new(0);
    struct block_reader_series s;
    struct chunk *held, *read;

    CHECK_OK(block_reader_series(near, a, ref, &s));
    held = arena_array(a, struct chunk, s.n_chunks);
    read = arena_array(a, struct chunk, s.n_chunks);
    CHECK_OK(block_reader_held_chunks(far, a, h, s.chunks, s.n_chunks, held));
    CHECK_OK(block_reader_held_chunks(near, a, NULL, s.chunks, s.n_chunks, read));
    for (size_t i = 0; i < s.n_chunks; i++) {
        CHECK_INT(held[i].encoding, read[i].encoding);
        CHECK(held[i].min_t == read[i].min_t && held[i].max_t == read[i].max_t);
        CHECK(held[i].data.len && slice_eq(held[i].data, read[i].data));
    }
    arena_free(a);
}

/* What a query does: selects, reads the series, reads their chunks; all of it ahead. */
static size_t query(struct rig *g, const struct block_reader *far, const struct block_reader *near,
                    struct matchers ms)
{
    struct arena *a = arena_new(0);
    struct objpages_hold *index, *data;
    struct block_chunk_list *lists;
    struct buf x = {0}, y = {0};
    struct block_refs refs;
    size_t n;

    (void)g;
    CHECK_OK(block_reader_select(far, a, ms, &refs));
    CHECK_OK(block_reader_hold_series(far, refs.ptr, refs.n, 64u << 20, &n, &index));
    CHECK_INT(n, refs.n);
    lists = arena_array(a, struct block_chunk_list, refs.n);
    for (size_t i = 0; i < refs.n; i++) {
        struct block_reader_series s;

        CHECK_OK(block_reader_series(far, a, refs.ptr[i], &s));
        lists[i] = (struct block_chunk_list){s.chunks, s.n_chunks, false};
    }
    CHECK_OK(block_reader_hold_chunks(far, lists, refs.n, &data));
    for (size_t i = 0; i < refs.n; i++)
        check_held(far, near, data, refs.ptr[i]);
    for (size_t i = 0; i < refs.n; i += 1 + refs.n / 100) {
        samples_text(far, a, refs.ptr[i], &x);
        samples_text(near, a, refs.ptr[i], &y);
        CHECK(x.len && slice_eq(buf_slice(&x), buf_slice(&y)));
    }
    block_reader_unhold(far, data);
    block_reader_unhold(far, index);
    buf_done(&x);
    buf_done(&y);
    n = refs.n;
    arena_free(a);
    return n;
}

TEST(block_pages_cold_query_takes_six_gets_and_a_warm_one_none)
{
    struct rig g;
    struct matcher m[2];
    struct block_reader *far, *near;

    rig_up(&g, MANY, 256u << 20);
    near = open_reader(1);
    far = open_far(&g);
    CHECK(g.store.gets <= 3); /* meta.json, the end of the index, symbols */
    m[0] = matcher_from(g.arena, MATCHER_EQ, "job", "3");
    m[1] = matcher_from(g.arena, MATCHER_RE, "a", "0[01].*");
    CHECK_INT(query(&g, far, near, (struct matchers){m, 2}), 200);
    CHECK(g.store.gets <= 6); /* postings, series, chunks */
    CHECK_INT(g.store.stats, 0);
    CHECK(block_reader_memory(far) > 0);
    block_reader_close(far);

    g.store.gets = 0;
    far = open_far(&g);
    CHECK_INT(query(&g, far, near, (struct matchers){m, 2}), 200);
    CHECK_INT(g.store.gets, 0);
    block_reader_close(far);
    block_reader_close(near);
    matchers_done((struct matchers){m, 2});
    rig_down(&g);
}

TEST(block_pages_small_block_takes_three_gets)
{
    struct rig g;
    struct block_reader *far, *near;

    rig_up(&g, 300, 16u << 20);
    near = open_reader(1);
    far = open_far(&g);
    CHECK_INT(query(&g, far, near, (struct matchers){0}), 300);
    CHECK_INT(g.store.gets, 3); /* meta.json, the whole index, the chunks */
    block_reader_close(far);
    block_reader_close(near);
    rig_down(&g);
}

TEST(block_pages_know_from_the_table_that_there_is_nothing)
{
    struct rig g;
    struct matcher m[2];
    struct block_reader *far;
    struct block_refs refs;
    uint64_t gets;

    rig_up(&g, MANY, 256u << 20);
    far = open_far(&g);
    gets = g.store.gets;
    m[0] = matcher_from(g.arena, MATCHER_EQ, "job", "3");
    m[1] = matcher_from(g.arena, MATCHER_EQ, "name", "no such");
    CHECK_OK(block_reader_select(far, g.arena, (struct matchers){m, 2}, &refs));
    CHECK_INT(refs.n, 0);
    CHECK_INT(g.store.gets, gets);
    block_reader_close(far);
    rig_down(&g);
}

TEST(block_pages_with_hardly_any_memory_read_the_same)
{
    struct rig g;
    struct block_reader *far;

    rig_up(&g, 300, OBJPAGES_PAGE);
    CHECK_OK(block_reader_open(block_source_pages(g.pages, g.heads, g.prefix),
                               &(struct block_reader_opts){.verify_all = true}, &far));
    CHECK_INT(block_reader_room(far, 40), OBJPAGES_PAGE);
    block_reader_close(far);
    rig_down(&g);
}

/* Flips a byte of a file in the bucket. */
static void spoil(struct rig *g, const char *file, size_t at)
{
    struct slice key = slice_cstr(arena_printf(g->arena, "%.*s/%s", SLICE_ARG(g->prefix), file));
    struct buf b = {0};

    CHECK_OK(objstore_get(g->store.below, key, NULL, &b, NULL));
    b.ptr[at < b.len ? at : b.len - 1] ^= 0x40;
    CHECK_OK(objstore_put(g->store.below, key, buf_slice(&b), NULL, NULL));
    buf_done(&b);
}

static struct err *read_all(struct rig *g)
{
    struct block_reader *r;
    struct err *e;

    objpages_free(g->pages); /* what it holds is from before */
    g->pages =
        objpages_new(&(struct objpages_opts){.store = &g->store.base, .max_bytes = 64u << 20});
    e = block_reader_open(block_source_pages(g->pages, g->heads, g->prefix),
                          &(struct block_reader_opts){.verify_all = true}, &r);
    if (!e)
        block_reader_close(r);
    return e;
}

/* As a query does, which verifies nothing beforehand. */
static struct err *read_unverified(struct rig *g)
{
    struct arena *a = arena_new(0);
    struct matcher m = matcher_from(g->arena, MATCHER_RE, "job", ".+");
    struct block_refs refs = {0};
    struct block_reader *r;
    struct err *e = block_reader_open(block_source_pages(g->pages, g->heads, g->prefix), NULL, &r);

    if (!e) {
        if (!(e = block_reader_select(r, a, (struct matchers){&m, 1}, &refs)))
            CHECK_INT(refs.n, 300);
        for (size_t i = 0; i < refs.n && !e; i++) {
            struct block_reader_series s;

            if (!(e = block_reader_series(r, a, refs.ptr[i], &s)))
                e = block_reader_chunks(r, a, s.chunks, s.n_chunks,
                                        arena_array(a, struct chunk, s.n_chunks));
        }
        block_reader_close(r);
    }
    matchers_done((struct matchers){&m, 1});
    arena_free(a);
    return e;
}

TEST(block_pages_a_flipped_byte_anywhere_is_found)
{
    struct rig g;
    struct buf b = {0};
    size_t size;
    static const char *const files[] = {"index", "chunks/000001"};

    rig_up(&g, 300, 16u << 20);
    CHECK_OK(read_all(&g));
    for (size_t f = 0; f < 2; f++) {
        struct slice key =
            slice_cstr(arena_printf(g.arena, "%.*s/%s", SLICE_ARG(g.prefix), files[f]));

        CHECK_OK(objstore_get(g.store.below, key, NULL, &b, NULL));
        size = b.len;
        for (size_t i = 1; i <= 24; i++) {
            /* Padding between series and the head of a chunk file are under no checksum. */
            size_t at = f == 0 && i > 12 ? size - (i - 12) * 3 : 8 + size / 2 / 24 * i;
            struct err *e;

            spoil(&g, files[f], at);
            e = read_all(&g);
            if (e)
                CHECK_ERR(e, ERR_CORRUPT, "block metrics/t/");
            else if (f == 1 || i > 12)
                test_fail(__FILE__, __LINE__, "%s: byte %zu", files[f], at);
            spoil(&g, files[f], at);
        }
    }
    CHECK_OK(read_all(&g));
    buf_done(&b);
    rig_down(&g);
}

/* However much of a file is left: the checksum of nothing is zero, and zeros are a table of contents that has no series. */
TEST(block_pages_a_file_cut_short_is_found)
{
    static const char *const files[] = {"index", "chunks/000001"};
    struct rig g;

    rig_up(&g, 300, 16u << 20);
    CHECK_OK(read_unverified(&g));
    for (size_t f = 0; f < 2; f++) {
        struct slice key =
            slice_cstr(arena_printf(g.arena, "%.*s/%s", SLICE_ARG(g.prefix), files[f]));
        struct buf whole = {0};

        CHECK_OK(objstore_get(g.store.below, key, NULL, &whole, NULL));
        CHECK(whole.len > 1000);
        for (size_t i = 0; i < 24; i++) {
            size_t left = i < 12 ? whole.len / 12 * i : whole.len - (i - 11) * 9;

            CHECK_OK(objstore_put(g.store.below, key, slice_sub(buf_slice(&whole), 0, left), NULL,
                                  NULL));
            CHECK_ERR(read_all(&g), ERR_CORRUPT, "metrics/t/01HF7YAT");
            CHECK_ERR(read_unverified(&g), ERR_CORRUPT, "metrics/t/01HF7YAT");
        }
        CHECK_OK(objstore_put(g.store.below, key, buf_slice(&whole), NULL, NULL));
        CHECK_OK(read_all(&g));
        buf_done(&whole);
    }
    rig_down(&g);
}

/* ---- headers on the disk ---- */

static void spoil_files(const char *dir, size_t at)
{
    char **names;
    size_t n;

    CHECK_OK(fsx_list(dir, &names, &n));
    CHECK(n > 0);
    for (size_t i = 0; i < n; i++) {
        char *path = mem_printf("%s/%s", dir, names[i]);
        struct buf b = {0};

        CHECK_OK(fsx_read(path, 64u << 20, &b));
        b.ptr[at] ^= 0x10;
        CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
        buf_done(&b);
        mem_free(path);
    }
    fsx_names_free(names, n);
}

static uint64_t built(struct rig *g)
{
    struct block_heads_stats st;

    block_heads_stats_get(g->heads, &st);
    return st.built;
}

TEST(block_pages_headers_are_mapped_and_checked)
{
    struct rig g;
    struct matcher m[2];
    struct block_reader *far, *near;
    size_t in_memory;

    rig_up(&g, MANY, 256u << 20);
    near = open_reader(1);
    far = open_far(&g);
    in_memory = block_reader_memory(far);
    block_reader_close(far);
    g.heads = block_heads_new(tmp_path("heads"), 64u << 20);
    m[0] = matcher_from(g.arena, MATCHER_EQ, "job", "3");
    m[1] = matcher_from(g.arena, MATCHER_RE, "a", "0[01].*");
    for (int round = 0; round < 3; round++) {
        far = open_far(&g);
        CHECK_INT(query(&g, far, near, (struct matchers){m, 2}), 200);
        CHECK(block_reader_memory(far) < in_memory / 2);
        block_reader_close(far);
        CHECK_INT(built(&g), 1);
    }
    /* A broken one is read again from the store, and made again. */
    spoil_files(tmp_path("heads"), 100);
    far = open_far(&g);
    CHECK_INT(query(&g, far, near, (struct matchers){m, 2}), 200);
    block_reader_close(far);
    CHECK_INT(built(&g), 2);
    CHECK_OK(read_all(&g));
    block_reader_close(near);
    matchers_done((struct matchers){m, 2});
    rig_down(&g);
}

TEST(block_pages_headers_stay_in_their_budget)
{
    struct rig g;
    struct block_reader *far, *near;
    struct block_heads_stats st;

    rig_up(&g, 300, 16u << 20);
    near = open_reader(1);
    g.heads = block_heads_new(tmp_path("heads"), 1);
    for (int round = 0; round < 2; round++) {
        far = open_far(&g);
        CHECK_INT(query(&g, far, near, (struct matchers){0}), 300);
        block_reader_close(far);
    }
    block_heads_stats_get(g.heads, &st);
    CHECK_INT(st.files, 0);
    CHECK_INT(st.evictions, 2);
    block_reader_close(near);
    rig_down(&g);
}

TEST(block_pages_broken_on_the_way_are_read_again)
{
    struct rig g;
    struct block_reader *r;

    rig_up(&g, 300, 16u << 20);
    spoil(&g, "index", SIZE_MAX);
    CHECK_ERR(block_reader_open(block_source_pages(g.pages, NULL, g.prefix), NULL, &r), ERR_CORRUPT,
              "table of contents");
    spoil(&g, "index", SIZE_MAX);
    block_reader_close(open_far(&g));
    rig_down(&g);
}
