/*
 * What every object store must do (objstore_suite.h), and what the S3 client does besides, on the
 * real server that S3_ENDPOINT, S3_REGION, S3_ACCESS_KEY and S3_SECRET_KEY name; S3_OPTIONS may hold
 * more lines of section s3, S3_ATOMIC says whether its conditional puts must hold ("yes" or "no").
 * Run by s3_store_test.py.
 */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/objstore/objstore_s3.h"
#include "tests/unit/common/objstore/objstore_suite.h"

static const char *variable(const char *name)
{
    const char *value = getenv(name);

    CHECK(value && value[0]);
    return value;
}

static struct objstore *open_with(const char *bucket, const char *prefix, const char *more,
                                  size_t list_page)
{
    static const struct conf_section *const sections[] = {&s3conf_section};
    struct conf_source src = {.sections = sections, .section_count = 1};
    const char *options = getenv("S3_OPTIONS");
    struct buf yaml = {0};
    struct objstore *s;
    struct conf *c;

    buf_printf(&yaml,
               "s3:\n  endpoint: %s\n  region: %s\n  access-key: %s\n  secret-key: %s\n"
               "  bucket: %s\n  prefix: \"%s\"\n  create-bucket: true\n%s%s",
               variable("S3_ENDPOINT"), variable("S3_REGION"), variable("S3_ACCESS_KEY"),
               variable("S3_SECRET_KEY"), bucket, prefix, options ? options : "", more);
    CHECK_OK(conf_load_text(&src, "test", buf_slice(&yaml), &c));
    CHECK_OK(objstore_s3_open(c, &(struct objstore_s3_opts){.list_page = list_page}, &s));
    conf_unref(c);
    buf_done(&yaml);
    return s;
}

/* Another prefix for each store: so each is fresh. */
static const char *fresh_prefix(void)
{
    static char prefix[40];
    struct rng r;

    rng_seed_system(&r);
    (void)snprintf(prefix, sizeof(prefix), "t%016llx/", (unsigned long long)rng_u64(&r));
    return prefix;
}

static struct objstore *suite_open(void)
{
    return open_with("contract", fresh_prefix(), "", 0);
}

TEST(s3_takes_any_name)
{
    static const char *const keys[] = {"a b/c",
                                       "plus+plus",
                                       "percent%20%2F",
                                       "equal=sign&amp;",
                                       "quote\"<tag>'",
                                       "star*(paren)!~$@:,;?#[]",
                                       "\xc3\xa4\xe2\x82\xac/\xf0\x9f\x98\x80",
                                       "dir",
                                       "dir/below"};
    struct objstore *s = suite_open();
    struct arena *a = arena_new(0);
    struct objstore_listing l;
    struct slice all[ORR_COUNT(keys)];

    for (size_t i = 0; i < ORR_COUNT(keys); i++) {
        all[i] = slice_cstr(keys[i]);
        put_text(s, keys[i], keys[i]);
    }
    for (size_t i = 0; i < ORR_COUNT(keys); i++)
        check_text(s, keys[i], keys[i]);
    CHECK_OK(objstore_list(s, a, NULL, &l));
    CHECK_INT(l.n, ORR_COUNT(keys));
    for (size_t i = 0; i < l.n; i++) {
        bool found = false;

        for (size_t k = 0; k < ORR_COUNT(keys); k++)
            found |= slice_eq(l.ptr[i].key, all[k]) && l.ptr[i].bytes == all[k].len;
        CHECK(found);
        CHECK(i == 0 || slice_cmp(l.ptr[i - 1].key, l.ptr[i].key) < 0);
        CHECK(l.ptr[i].modified_ms > 1700000000000);
    }
    CHECK_OK(objstore_delete_many(s, all, ORR_COUNT(all)));
    check_list(s, (struct objstore_list){0}, "");
    arena_free(a);
    objstore_close(s);
}

TEST(s3_takes_the_longest_key)
{
    struct objstore *s = suite_open();
    char key[OBJSTORE_MAX_KEY - 40 + 1];

    for (size_t i = 0; i < sizeof(key) - 1; i++)
        key[i] = i % 100 == 99 ? '/' : 'k';
    key[sizeof(key) - 1] = '\0';
    put_text(s, key, "long");
    check_text(s, key, "long");
    check_list(s, (struct objstore_list){0}, key);
    CHECK_OK(objstore_delete(s, slice_cstr(key)));
    objstore_close(s);
}

/* 17 MiB: four parts up, three down. */
TEST(s3_moves_large_objects_in_parts)
{
    struct objstore *s = open_with("contract", fresh_prefix(), "  part-size: 5MiB\n", 0);
    struct objstore_info put, stat, got;
    struct buf big = {0}, b = {0};
    struct rng r;

    rng_seed(&r, 5);
    for (size_t i = 0; i < (17u << 20) / 8 + 3; i++) {
        uint64_t v = rng_u64(&r);

        buf_append(&big, &v, sizeof(v));
    }
    CHECK_OK(objstore_put(s, SLICE("big"), buf_slice(&big), NULL, &put));
    CHECK_OK(objstore_stat(s, SLICE("big"), &stat));
    CHECK_INT(stat.bytes, big.len);
    CHECK_STR(put.etag, stat.etag);
    CHECK_OK(objstore_get(s, SLICE("big"), NULL, &b, &got));
    CHECK(slice_eq(buf_slice(&b), buf_slice(&big)));
    CHECK_STR(got.etag, stat.etag);
    CHECK_OK(objstore_get(
        s, SLICE("big"), &(struct objstore_get){.off = 3u << 20, .len = (9u << 20) + 1}, &b, NULL));
    CHECK(slice_eq(buf_slice(&b), slice_sub(buf_slice(&big), 3u << 20, (9u << 20) + 1)));
    CHECK_OK(fsx_write_atomic(tmp_path("big"), buf_slice(&big)));
    CHECK_OK(objstore_put_file(s, SLICE("file"), tmp_path("big"), NULL, &put));
    CHECK_OK(objstore_get(s, SLICE("file"), NULL, &b, &got));
    CHECK(slice_eq(buf_slice(&b), buf_slice(&big)));
    CHECK_STR(put.etag, got.etag);
    CHECK_OK(objstore_delete_prefix(s, SLICE("big")));
    CHECK_OK(objstore_delete(s, SLICE("file")));
    buf_done(&big);
    buf_done(&b);
    objstore_close(s);
}

TEST(s3_lists_page_after_page)
{
    struct objstore *s = open_with("contract", fresh_prefix(), "", 7);
    struct arena *a = arena_new(0);
    struct objstore_listing l;
    struct slice keys[40];

    for (size_t i = 0; i < ORR_COUNT(keys); i++) {
        keys[i] = slice_cstr(arena_printf(a, "d%zu/k%02zu", i / 10, i));
        CHECK_OK(objstore_put(s, keys[i], SLICE_EMPTY, NULL, NULL));
    }
    CHECK_OK(objstore_list(s, a, NULL, &l));
    CHECK_INT(l.n, ORR_COUNT(keys));
    for (size_t i = 0; i < l.n; i++)
        CHECK(slice_eq(l.ptr[i].key, keys[i]));
    CHECK_OK(objstore_list(s, a, &(struct objstore_list){.limit = 39}, &l));
    CHECK_INT(l.n, 39);
    CHECK(l.is_truncated);
    CHECK_OK(objstore_list(s, a, &(struct objstore_list){.limit = 40}, &l));
    CHECK(l.n == 40 && !l.is_truncated);
    check_list(s, (struct objstore_list){.by_directory = true}, "d0/,d1/,d2/,d3/");
    check_list(s, (struct objstore_list){.by_directory = true, .start_after = SLICE("d1/")},
               "d2/,d3/");
    CHECK_OK(objstore_delete_prefix(s, SLICE("d")));
    check_list(s, (struct objstore_list){0}, "");
    arena_free(a);
    objstore_close(s);
}

TEST(s3_knows_whether_conditional_puts_hold)
{
    struct objstore *s = suite_open();
    const char *want = variable("S3_ATOMIC");
    bool is_atomic;

    CHECK_OK(objstore_is_atomic(s, &is_atomic));
    CHECK_STR(is_atomic ? "yes" : "no", want);
    check_list(s, (struct objstore_list){0}, ""); /* nothing of it stays */
    objstore_close(s);
}

/* Two clients, as two processes have: where the server's conditions hold nothing is lost. */
static void race_between(void *arg, size_t racer)
{
    struct objstore **stores = arg;

    race_one(stores[racer % 2], racer);
}

TEST(s3_loses_no_conditional_put_between_clients)
{
    const char *prefix = fresh_prefix();
    struct objstore *stores[2] = {open_with("contract", prefix, "", 0),
                                  open_with("contract", prefix, "", 0)};
    struct job_pool *p;
    char want[16];

    if (strcmp(variable("S3_ATOMIC"), "yes") == 0) {
        p = job_pool_new("race", SUITE_RACERS, 16);
        put_text(stores[0], "n", "0");
        job_parallel(p, SUITE_RACERS, race_between, stores);
        (void)snprintf(want, sizeof(want), "%d", SUITE_RACERS * SUITE_ROUNDS);
        check_text(stores[1], "n", want);
        job_pool_free(p);
    }
    objstore_close(stores[0]);
    objstore_close(stores[1]);
}

/* The setting "on" knows nothing of how the server wants etags written. */
TEST(s3_conditions_hold_when_they_are_set_to)
{
    struct objstore *s = open_with("contract", fresh_prefix(), "  conditional-writes: on\n", 0);
    struct objstore_put absent = {.cond = OBJSTORE_IF_ABSENT}, match = {.cond = OBJSTORE_IF_MATCH};
    struct objstore_info one, two;
    bool is_atomic = strcmp(variable("S3_ATOMIC"), "yes") == 0;

    if (!is_atomic) {
        CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("1"), &absent, NULL), ERR_UNSUPPORTED, "501");
    } else {
        CHECK_OK(objstore_put(s, SLICE("k"), SLICE("1"), &absent, &one));
        CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("x"), &absent, NULL), ERR_CONFLICT, "exists");
        match.etag = one.etag;
        CHECK_OK(objstore_put(s, SLICE("k"), SLICE("2"), &match, &two));
        CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("3"), &match, NULL), ERR_CONFLICT, "changed");
        check_text(s, "k", "2");
    }
    objstore_close(s);
}

TEST(s3_sweeps_uploads_and_scratch)
{
    struct objstore *s = suite_open();
    size_t n;

    put_text(s, "stays", "x");
    CHECK_OK(objstore_s3_sweep(s, -60 * 1000, &n));
    CHECK_INT(n, 0);
    check_text(s, "stays", "x");
    objstore_close(s);
}

TEST(s3_says_who_is_refused)
{
    struct objstore *s = open_with("contract", fresh_prefix(), "", 0);
    struct buf b = {0};
    struct err *e;

    put_text(s, "k", "x");
    objstore_close(s);
    CHECK(setenv("S3_OPTIONS", "  max-attempts: 1\n", 1) == 0);
    CHECK(setenv("S3_SECRET_KEY", "wrong-secret", 1) == 0);
    s = open_with("contract", "", "", 0);
    e = objstore_get(s, SLICE("k"), NULL, &b, NULL);
    CHECK(err_is(e, ERR_FORBIDDEN));
    CHECK(!strstr(err_msg(e), "wrong-secret"));
    err_free(e);
    e = objstore_stat(s, SLICE("k"), &(struct objstore_info){0});
    CHECK(err_is(e, ERR_FORBIDDEN));
    err_free(e);
    objstore_close(s);
    buf_done(&b);
}
