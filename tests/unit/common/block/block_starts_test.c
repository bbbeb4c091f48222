#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/base/hash.h"
#include "common/block/block_merge.h"
#include "common/block/block_starts.h"
#include "tests/unit/common/block/block_fixture.h"

static struct slice runs_of(struct arena *a, const struct start_run *runs, size_t n)
{
    struct chunk c;

    CHECK(start_runs_chunk(a, runs, n, &c));
    return c.data;
}

static void add_with(struct block_writer *w, struct arena *a, const char *labels, int64_t t,
                     size_t n, int64_t st_ms)
{
    struct chunk c = floats(a, FIXTURE_T0 + t, 1000, n, 1);
    struct block_series s = {.labels = labels_from(a, labels), .chunks = &c, .n_chunks = 1};

    if (st_ms)
        s.starts = runs_of(a, &(struct start_run){c.min_t, c.max_t, FIXTURE_T0 + st_ms}, 1);
    CHECK_OK(block_writer_add(w, &s));
}

/* starts_text() of every series, one line each. */
static void check_starts(unsigned block, const char *want)
{
    struct arena *a = arena_new(0);
    struct block_reader *r = open_reader(block);
    struct block_refs refs;
    struct buf out = {0}, one = {0};

    CHECK_OK(block_reader_select(r, a, (struct matchers){0}, &refs));
    for (size_t i = 0; i < refs.n; i++) {
        starts_text(r, refs.ptr[i], &one);
        buf_slice_append(&out, buf_slice(&one));
        buf_byte(&out, '\n');
    }
    CHECK_STR(buf_cstr(&out), want);
    buf_done(&one);
    buf_done(&out);
    block_reader_close(r);
    arena_free(a);
}

static bool has_starts_file(unsigned block)
{
    char *path = mem_printf("%s/" BLOCK_STARTS_FILE, block_path(block));
    bool ret = fsx_exists(path);

    mem_free(path);
    return ret;
}

TEST(block_starts_are_kept_for_the_series_that_have_some)
{
    struct arena *a = arena_new(0);
    struct block_writer *w = open_writer(1);
    struct block_meta m;

    add_with(w, a, "a=1", 0, 10, 0);
    add_with(w, a, "a=2", 0, 10, -500);
    add_with(w, a, "a=3", 0, 10, 0);
    add_with(w, a, "a=4", 2000, 3, -7);
    finish_writer(w, a, &m);
    check_starts(1, "\n0-9000@-500\n\n2000-4000@-7\n");
    CHECK_INT(m.n_sidecars, 1);
    CHECK_SLICE(m.sidecars[0], BLOCK_STARTS_FILE);
    CHECK_INT(m.n_files, 3); /* chunks, index, starts; no spool */
    arena_free(a);
}

TEST(block_starts_cost_a_block_without_them_no_file)
{
    struct arena *a = arena_new(0);
    struct block_writer *w = open_writer(1);
    struct block_meta m;

    add_with(w, a, "a=1", 0, 10, 0);
    finish_writer(w, a, &m);
    CHECK(!has_starts_file(1));
    CHECK_INT(m.n_sidecars, 0);
    check_starts(1, "\n");
    arena_free(a);
}

static void merge_two(const struct block_merge_opts *opts, bool backwards, unsigned to)
{
    struct arena *a = arena_new(0);
    struct block_writer *w = open_writer(to);
    struct block_reader *r[2];
    struct block_stream *s[2];
    struct block_meta m;

    for (unsigned i = 0; i < 2; i++) {
        r[i] = open_reader(backwards ? 2 - i : i + 1);
        s[i] = block_stream_of_reader(r[i]);
    }
    CHECK_OK(block_merge(s, 2, opts, w, NULL));
    finish_writer(w, a, &m);
    for (unsigned i = 0; i < 2; i++) {
        block_stream_close(s[i]);
        block_reader_close(r[i]);
    }
    arena_free(a);
}

TEST(block_starts_of_replicas_are_merged_in_any_order)
{
    struct arena *a = arena_new(0);
    struct block_writer *w = open_writer(1);
    struct block_meta m;

    add_with(w, a, "a=1", 0, 5, -500); /* the same on both */
    add_with(w, a, "a=2", 0, 5, 0);    /* known to the other */
    add_with(w, a, "a=3", 0, 5, -500); /* known to this one */
    add_with(w, a, "a=4", 0, 6, -500); /* overlapping: the later wins */
    finish_writer(w, a, &m);
    w = open_writer(2);
    add_with(w, a, "a=1", 0, 5, -500);
    add_with(w, a, "a=2", 0, 5, -300);
    add_with(w, a, "a=4", 3000, 6, 2500);
    add_with(w, a, "a=5", 10000, 2, 9000); /* only there */
    finish_writer(w, a, &m);
    for (unsigned to = 3; to <= 4; to++) {
        merge_two(NULL, to == 4, to);
        check_starts(to, "0-4000@-500\n0-4000@-300\n0-4000@-500\n"
                         "0-2999@-500 3000-8000@2500\n10000-11000@9000\n");
    }
    merge_two(&(struct block_merge_opts){.min_t = FIXTURE_T0 + 1000, .max_t = FIXTURE_T0 + 3001},
              false, 5);
    check_starts(5, "1000-3000@-500\n1000-3000@-300\n1000-3000@-500\n"
                    "1000-2999@-500 3000-3000@2500\n");
    arena_free(a);
}

TEST(block_starts_that_are_broken_or_gone_leave_the_samples)
{
    struct arena *a = arena_new(0);
    struct block_writer *w = open_writer(1);
    char *path = mem_printf("%s/" BLOCK_STARTS_FILE, block_path(1));
    struct block_reader *r;
    struct block_meta m;
    struct buf b = {0};

    add_with(w, a, "a=1", 0, 10, -500);
    finish_writer(w, a, &m);
    CHECK_OK(fsx_read(path, 1 << 20, &b));
    b.ptr[b.len / 2] ^= 1;
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    check_starts(1, "\n");
    r = open_reader(1);
    CHECK(block_reader_has_bad_starts(r));
    block_reader_close(r);
    CHECK_INT(unlink(path), 0);
    check_starts(1, "\n");
    buf_done(&b);
    mem_free(path);
    arena_free(a);
}

static void check_refused(const char *body, size_t n)
{
    struct block_starts s = {0};
    struct buf b = {0};

    buf_append(&b, "ORRSTR\0\1", 8);
    buf_append(&b, body, n);
    buf_u32be(&b, hash_crc32c(buf_slice(&b)));
    CHECK_ERR(block_starts_parse(buf_slice(&b), &s), ERR_CORRUPT, "");
    CHECK_INT(s.entries.len, 0);
    buf_done(&b);
}

TEST(block_starts_parse_refuses_what_is_malformed)
{
    struct block_starts s = {0};

    CHECK_ERR(block_starts_parse(SLICE("ORRSTR"), &s), ERR_CORRUPT, "format");
    CHECK_ERR(block_starts_parse(slice_of("ORRSTR\0\1abcd", 12), &s), ERR_CORRUPT, "checksum");
    check_refused("\x05", 1);                         /* no runs */
    check_refused("\x05\x01\x00\x00\x01\x00", 6);     /* the same ref again */
    check_refused("\x05\x02\x01\x02", 4);             /* malformed runs */
    check_refused("\xff\xff\xff\xff\x7f\x01\x00", 7); /* a ref over 32 bits */
    check_refused("\xff\xff\xff\xff\x0f\x01\x00\x01\x01\x00", 10);
}

TEST(block_starts_writer_loses_nothing_whichever_call_fails)
{
    FAULT_SWEEP (n) {
        struct arena *a = arena_new(0);
        struct block_writer_opts o = {.dir = tmp_path(""), .meta = {.ulid = fixture_ulid(1)}};
        struct block_writer *w = NULL;
        struct chunk c = floats(a, FIXTURE_T0, 1000, 3, 1);
        struct block_series s = {.labels = labels_from(a, "a=1"), .chunks = &c, .n_chunks = 1};
        struct block_meta m;
        struct err *e = block_writer_open(&o, &w);

        s.starts = runs_of(a, &(struct start_run){c.min_t, c.max_t, FIXTURE_T0 - 1}, 1);
        if (!e && !(e = block_writer_add(w, &s)))
            e = block_writer_finish(w, a, &m);
        block_writer_close(w);
        if (!e)
            check_starts(1, "0-2000@-1\n");
        err_free(e);
        CHECK_OK(fsx_remove_tree(block_path(1)));
        arena_free(a);
    }
}
