#include "compactor/segfetch.h"
#include "tests/unit/test.h"

static struct err *parse(const char *const *names, const uint64_t *sizes, size_t n, uint64_t max,
                         size_t *ret_n)
{
    struct arena *a = arena_new(0);
    struct segfetch_file *files;
    struct buf b = {0};
    struct err *e;

    for (size_t i = 0; i < n; i++) {
        buf_lstr(&b, slice_cstr(names[i]));
        buf_uvarint(&b, sizes[i]);
    }
    e = segfetch_parse_list(signal_of(SIGNAL_METRICS), buf_slice(&b), a, max, &files, ret_n);
    buf_done(&b);
    arena_free(a);
    return e;
}

static struct err *parse_one(const char *name, uint64_t size)
{
    size_t n;

    return parse(&name, &size, 1, 1000, &n);
}

TEST(segfetch_takes_the_files_of_a_segment)
{
    const char *const names[] = {"meta.json",     "index",    "tombstones",
                                 "chunks/000001", "metadata", "exemplars"};
    const uint64_t sizes[] = {1, 2, 3, 4, 5, 6};
    size_t n = 0;

    CHECK_OK(parse(names, sizes, 6, 21, &n));
    CHECK_INT(n, 6);
    CHECK_ERR(parse(names, sizes, 6, 20, &n), ERR_LIMIT, "20 bytes");
}

TEST(segfetch_refuses_names_that_lead_elsewhere)
{
    static const char *const bad[] = {"../x",     "/etc/passwd",     "chunks/../../x", "",
                                      "chunks/1", "chunks/0000012",  "chunks/00000a",  "chunks",
                                      "index/x",  "chunks/000001/x", "INDEX"};
    const char *const twice[] = {"index", "index"};
    const uint64_t sizes[] = {UINT64_MAX, 1}, small[] = {1, 1};
    size_t n;

    for (size_t i = 0; i < ORR_COUNT(bad); i++)
        CHECK_ERR(parse_one(bad[i], 1), ERR_INVALID, "no file");
    CHECK_ERR(parse(twice, small, 2, 1000, &n), ERR_INVALID, "twice");
    CHECK_ERR(parse(twice, sizes, 1, 1000, &n), ERR_LIMIT, "");
}

TEST(segfetch_takes_frames_alone_of_log_lines)
{
    static const char *const bad[] = {"meta.json", "index", "frames", "frames/00001",
                                      "chunks/000001"};
    struct arena *a = arena_new(0);
    struct segfetch_file *files;
    struct buf b = {0};
    size_t n;

    for (unsigned i = 1; i <= 10000; i++) {
        buf_lstr(&b, slice_cstr(arena_printf(a, "frames/%06u", i)));
        buf_uvarint(&b, i);
    }
    CHECK_OK(segfetch_parse_list(signal_of(SIGNAL_LOGS), buf_slice(&b), a, 1 << 30, &files, &n));
    CHECK_INT(n, 10000);
    CHECK_SLICE(files[9999].name, "frames/010000");
    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        buf_reset(&b);
        buf_lstr(&b, slice_cstr(bad[i]));
        buf_uvarint(&b, 1);
        CHECK_ERR(
            segfetch_parse_list(signal_of(SIGNAL_LOGS), buf_slice(&b), a, 1 << 30, &files, &n),
            ERR_INVALID, "a segment of logs has no file");
    }
    buf_done(&b);
    arena_free(a);
}

TEST(segfetch_refuses_a_list_that_is_cut_off)
{
    struct arena *a = arena_new(0);
    struct segfetch_file *files;
    size_t n;

    CHECK_ERR(segfetch_parse_list(signal_of(SIGNAL_METRICS), SLICE("\x05ind"), a, 100, &files, &n),
              ERR_INVALID, "malformed");
    CHECK_OK(segfetch_parse_list(signal_of(SIGNAL_METRICS), SLICE_EMPTY, a, 100, &files, &n));
    CHECK_INT(n, 0);
    arena_free(a);
}
