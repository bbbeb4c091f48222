/*
 * What every object store must do. A test file of a store defines suite_open(), which gives a
 * fresh, empty one, and includes this.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/fsx.h"
#include "common/base/job.h"
#include "common/base/vec.h"
#include "common/objstore/objstore.h"
#include "tests/unit/test.h"

static struct objstore *suite_open(void);

static void put_text(struct objstore *s, const char *key, const char *text)
{
    CHECK_OK(objstore_put(s, slice_cstr(key), slice_cstr(text), NULL, NULL));
}

static void check_text(struct objstore *s, const char *key, const char *want)
{
    struct buf b = {0};

    CHECK_OK(objstore_get(s, slice_cstr(key), NULL, &b, NULL));
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
}

/* The listing as "key,key,…" with prefixes ending in "/". */
static void check_list(struct objstore *s, struct objstore_list opts, const char *want)
{
    struct arena *a = arena_new(0);
    struct objstore_listing l;
    struct buf b = {0};

    CHECK_OK(objstore_list(s, a, &opts, &l));
    for (size_t i = 0; i < l.n; i++) {
        buf_printf(&b, "%s%.*s", i ? "," : "", SLICE_ARG(l.ptr[i].key));
        CHECK(l.ptr[i].is_prefix == (l.ptr[i].key.ptr[l.ptr[i].key.len - 1] == '/'));
    }
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
    arena_free(a);
}

TEST(objstore_gives_back_what_was_put)
{
    struct objstore *s = suite_open();
    struct objstore_info a, b;
    struct buf big = {0}, got = {0};

    put_text(s, "metrics/t/one", "hello");
    check_text(s, "metrics/t/one", "hello");
    put_text(s, "metrics/t/one", "replaced");
    check_text(s, "metrics/t/one", "replaced");
    put_text(s, "empty", "");
    check_text(s, "empty", "");
    buf_fill(&big, 'x', 3u << 20);
    CHECK_OK(objstore_put(s, SLICE("big"), buf_slice(&big), NULL, &a));
    CHECK_OK(objstore_get(s, SLICE("big"), NULL, &got, &b));
    CHECK(slice_eq(buf_slice(&big), buf_slice(&got)));
    CHECK_INT(a.bytes, 3u << 20);
    CHECK_SLICE(slice_cstr(a.etag), b.etag);
    CHECK_ERR(objstore_get(s, SLICE("big"), &(struct objstore_get){.max_bytes = 1000}, &got, NULL),
              ERR_TOO_LARGE, "big");
    buf_done(&big);
    buf_done(&got);
    objstore_close(s);
}

TEST(objstore_reads_ranges)
{
    struct objstore *s = suite_open();
    struct buf b = {0};

    put_text(s, "k", "0123456789");
    CHECK_OK(objstore_get(s, SLICE("k"), &(struct objstore_get){.off = 3, .len = 4}, &b, NULL));
    CHECK_SLICE(buf_slice(&b), "3456");
    CHECK_OK(objstore_get(s, SLICE("k"), &(struct objstore_get){.off = 8, .len = 40}, &b, NULL));
    CHECK_SLICE(buf_slice(&b), "89");
    CHECK_OK(objstore_get(s, SLICE("k"), &(struct objstore_get){.off = 7}, &b, NULL));
    CHECK_SLICE(buf_slice(&b), "789");
    CHECK_ERR(objstore_get(s, SLICE("k"), &(struct objstore_get){.off = 10}, &b, NULL), ERR_INVALID,
              "past the end");
    buf_done(&b);
    objstore_close(s);
}

TEST(objstore_says_what_is_absent)
{
    struct objstore *s = suite_open();
    struct objstore_info info;
    struct buf b = {0};

    put_text(s, "a/b", "x");
    CHECK_ERR(objstore_get(s, SLICE("nope"), NULL, &b, NULL), ERR_NOT_FOUND, "nope");
    CHECK_ERR(objstore_get(s, SLICE("a"), NULL, &b, NULL), ERR_NOT_FOUND, "");
    CHECK_ERR(objstore_get(s, SLICE("a/b/c"), NULL, &b, NULL), ERR_NOT_FOUND, "");
    CHECK_ERR(objstore_stat(s, SLICE("nope"), &info), ERR_NOT_FOUND, "nope");
    CHECK_OK(objstore_delete(s, SLICE("nope")));
    CHECK_OK(objstore_delete(s, SLICE("a/b")));
    CHECK_ERR(objstore_stat(s, SLICE("a/b"), &info), ERR_NOT_FOUND, "");
    check_list(s, (struct objstore_list){0}, "");
    buf_done(&b);
    objstore_close(s);
}

TEST(objstore_refuses_keys_that_leave_the_bucket)
{
    static const char *const bad[] = {"",     "/a",   "a/",      "a//b",        "..",
                                      "../x", "a/..", "a/../b",  "./a",         "a/.",
                                      "a\\b", "a\nb", ".orrery", ".orrery/lock"};
    struct objstore *s = suite_open();
    char *longest = mem_alloc(OBJSTORE_MAX_KEY + 1);
    struct buf b = {0};

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        CHECK_ERR(objstore_put(s, slice_cstr(bad[i]), SLICE("x"), NULL, NULL), ERR_INVALID, "");
        CHECK_ERR(objstore_get(s, slice_cstr(bad[i]), NULL, &b, NULL), ERR_INVALID, "");
        CHECK_ERR(objstore_delete(s, slice_cstr(bad[i])), ERR_INVALID, "");
    }
    memset(longest, 'k', OBJSTORE_MAX_KEY + 1);
    CHECK_ERR(objstore_put(s, slice_of(longest, OBJSTORE_MAX_KEY + 1), SLICE("x"), NULL, NULL),
              ERR_INVALID, "");
    check_list(s, (struct objstore_list){.prefix = SLICE("../")}, "");
    mem_free(longest);
    buf_done(&b);
    objstore_close(s);
}

TEST(objstore_lists_in_key_order)
{
    struct objstore *s = suite_open();

    put_text(s, "m/a/2", "");
    put_text(s, "m/a/1", "");
    put_text(s, "m/a-b", "");
    put_text(s, "m/a0", "");
    put_text(s, "m/b/x/y", "");
    put_text(s, "n", "");
    check_list(s, (struct objstore_list){0}, "m/a-b,m/a/1,m/a/2,m/a0,m/b/x/y,n");
    check_list(s, (struct objstore_list){.prefix = SLICE("m/a")}, "m/a-b,m/a/1,m/a/2,m/a0");
    check_list(s, (struct objstore_list){.prefix = SLICE("m/a/")}, "m/a/1,m/a/2");
    check_list(s, (struct objstore_list){.prefix = SLICE("m/"), .by_directory = true},
               "m/a-b,m/a/,m/a0,m/b/");
    check_list(s, (struct objstore_list){.by_directory = true}, "m/,n");
    check_list(s, (struct objstore_list){.start_after = SLICE("m/a/1")}, "m/a/2,m/a0,m/b/x/y,n");
    check_list(s, (struct objstore_list){.start_after = SLICE("m/a/1"), .limit = 2}, "m/a/2,m/a0");
    check_list(s, (struct objstore_list){.prefix = SLICE("zzz")}, "");
    CHECK_OK(objstore_delete_prefix(s, SLICE("m/a/")));
    check_list(s, (struct objstore_list){0}, "m/a-b,m/a0,m/b/x/y,n");
    objstore_close(s);
}

TEST(objstore_lists_page_by_page)
{
    struct objstore *s = suite_open();
    struct slice after = SLICE_EMPTY;
    struct arena *a = arena_new(0);
    struct objstore_listing l;
    size_t total = 0;

    for (int i = 0; i < 25; i++) {
        char key[32];

        (void)snprintf(key, sizeof(key), "d%d/k%02d", i % 3, i);
        put_text(s, key, "v");
    }
    do {
        CHECK_OK(
            objstore_list(s, a, &(struct objstore_list){.start_after = after, .limit = 7}, &l));
        CHECK(l.n <= 7 && (l.n == 7 || !l.is_truncated));
        for (size_t i = 1; i < l.n; i++)
            CHECK(slice_cmp(l.ptr[i - 1].key, l.ptr[i].key) < 0);
        CHECK(l.n == 0 || slice_cmp(after, l.ptr[0].key) < 0);
        total += l.n;
        after = l.n ? l.ptr[l.n - 1].key : after;
    } while (l.is_truncated);
    CHECK_INT(total, 25);
    arena_free(a);
    objstore_close(s);
}

TEST(objstore_puts_on_condition)
{
    struct objstore *s = suite_open();
    struct objstore_put absent = {.cond = OBJSTORE_IF_ABSENT}, match = {.cond = OBJSTORE_IF_MATCH};
    struct objstore_info one, two;

    CHECK_OK(objstore_put(s, SLICE("k"), SLICE("1"), &absent, &one));
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("x"), &absent, NULL), ERR_CONFLICT, "k");
    match.etag = one.etag;
    CHECK_OK(objstore_put(s, SLICE("k"), SLICE("2"), &match, &two));
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("3"), &match, NULL), ERR_CONFLICT, "changed");
    check_text(s, "k", "2");
    match.etag = two.etag;
    CHECK_OK(objstore_delete(s, SLICE("k")));
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("4"), &match, NULL), ERR_CONFLICT, "gone");
    match.etag = "";
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("4"), &match, NULL), ERR_INVALID, "etag");
    objstore_close(s);
}

TEST(objstore_puts_files)
{
    struct objstore *s = suite_open();
    struct buf b = {0};

    buf_fill(&b, 'y', (1u << 20) + 7);
    CHECK_OK(fsx_write_atomic(tmp_path("source"), buf_slice(&b)));
    CHECK_OK(objstore_put_file(s, SLICE("f/x"), tmp_path("source"), NULL, NULL));
    check_text(s, "f/x", buf_cstr(&b));
    CHECK_ERR(objstore_put_file(s, SLICE("f/y"), tmp_path("absent"), NULL, NULL), ERR_IO, "absent");
    buf_done(&b);
    objstore_close(s);
}

#define SUITE_RACERS 4
#define SUITE_ROUNDS 25

static void race_one(void *arg, size_t racer)
{
    struct objstore *s = arg;

    (void)racer;
    for (int done = 0; done < SUITE_ROUNDS;) {
        struct objstore_put put = {.cond = OBJSTORE_IF_MATCH};
        struct objstore_info info;
        struct buf b = {0};
        uint64_t n = 0;
        struct err *e;

        CHECK_OK(objstore_get(s, SLICE("n"), NULL, &b, &info));
        CHECK(slice_to_u64(buf_slice(&b), &n));
        buf_reset(&b);
        buf_printf(&b, "%llu", (unsigned long long)n + 1);
        put.etag = info.etag;
        e = objstore_put(s, SLICE("n"), buf_slice(&b), &put, NULL);
        CHECK(!e || err_is(e, ERR_CONFLICT));
        done += !e;
        err_free(e);
        buf_done(&b);
    }
}

TEST(objstore_loses_no_conditional_put_when_many_race)
{
    struct objstore *s = suite_open();
    struct job_pool *p = job_pool_new("race", SUITE_RACERS, 16);
    char want[16];

    put_text(s, "n", "0");
    job_parallel(p, SUITE_RACERS, race_one, s);
    (void)snprintf(want, sizeof(want), "%d", SUITE_RACERS * SUITE_ROUNDS);
    check_text(s, "n", want);
    job_pool_free(p);
    objstore_close(s);
}
