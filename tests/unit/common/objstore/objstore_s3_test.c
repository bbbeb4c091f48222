/* The S3 store against a server in memory: the contract, and what it makes of servers that fail. */
#include <poll.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/metric.h"
#include "common/objstore/objstore_s3.h"
#include "tests/unit/common/objstore/objstore_suite.h"
#include "tests/unit/common/objstore/s3_fake.h"

static struct fake fake;

static void stop_fake(void)
{
    fake_stop(&fake);
}

/* Of a fake that runs; lines of section s3 may be added. */
static struct objstore *open_env(const char *more, char **env, const struct objstore_s3_opts *opts)
{
    static const struct conf_section *const sections[] = {&s3conf_section};
    static char *no_env[] = {NULL};
    struct objstore_s3_opts o = opts ? *opts : (struct objstore_s3_opts){0};
    struct conf_source src = {.sections = sections, .section_count = 1};
    struct buf yaml = {0};
    struct objstore *s;
    struct conf *c;

    buf_printf(&yaml,
               "s3:\n  endpoint: http://127.0.0.1:%u\n  bucket: bucket\n  backoff: 1ms\n"
               "  max-backoff: 2ms\n%s%s",
               http_server_port(fake.srv),
               strstr(more, "credentials") ? "" : "  access-key: a\n  secret-key: b\n", more);
    o.env = env ? env : no_env;
    CHECK_OK(conf_load_text(&src, "test", buf_slice(&yaml), &c));
    CHECK_OK(objstore_s3_open(c, &o, &s));
    conf_unref(c);
    buf_done(&yaml);
    return s;
}

static struct objstore *open_fresh(const char *more)
{
    static bool is_registered;

    if (!is_registered) {
        char hash[SIGV4_HEX_BYTES];

        sigv4_sha256_hex(SLICE_EMPTY, hash); /* so that OpenSSL ends after the fake's thread */
        CHECK(atexit(stop_fake) == 0);
    }
    is_registered = true;
    fake_stop(&fake);
    fake_start(&fake);
    return open_env(more, NULL, NULL);
}

static struct objstore *suite_open(void)
{
    return open_fresh("");
}

static struct err *get(struct objstore *s, const char *key, struct buf *b)
{
    return objstore_get(s, slice_cstr(key), NULL, b, NULL);
}

/* ---- trouble that passes ---- */

TEST(s3_tries_again)
{
    static const struct fake_fault faults[] = {
        {FAKE_STATUS, .method = "GET", .times = 2, .status = 503, .code = "SlowDown"},
        {FAKE_STATUS, .method = "GET", .times = 2, .status = 500},
        {FAKE_STATUS, .method = "GET", .times = 2, .status = 429, .code = "TooManyRequests"},
        {FAKE_STATUS, .method = "GET", .times = 1, .status = 400, .code = "RequestTimeout"},
        {FAKE_DROP, .method = "GET", .times = 2},
        {FAKE_TRUNCATE, .method = "GET", .times = 2},
        {FAKE_STATUS, .method = "PUT", .times = 2, .status = 503},
        {FAKE_STATUS, .method = "PUT", .times = 1, .status = 400, .code = "BadDigest"},
        {FAKE_STATUS, .method = "PUT", .times = 1, .status = 409, .code = "OperationAborted"},
        {FAKE_DROP, .method = "PUT", .times = 2},
        {FAKE_STATUS, .method = "DELETE", .times = 2, .status = 503},
        {FAKE_STATUS, .method = "GET", .part = "list-type", .times = 2, .status = 503},
        {FAKE_TRUNCATE, .method = "GET", .part = "list-type", .times = 2},
        {FAKE_STATUS, .method = "HEAD", .times = 2, .status = 503}};
    struct objstore *s = open_fresh("");
    struct objstore_info info;

    for (size_t i = 0; i < ORR_COUNT(faults); i++) {
        put_text(s, "a/k", "hello");
        fake_calm(&fake);
        fake_arm(&fake, faults[i]);
        put_text(s, "a/k", "hello again");
        check_text(s, "a/k", "hello again");
        check_list(s, (struct objstore_list){0}, "a/k");
        CHECK_OK(objstore_stat(s, SLICE("a/k"), &info));
        CHECK_INT(info.bytes, 11);
        CHECK_OK(objstore_delete(s, SLICE("a/k")));
        CHECK_INT(fake_requests(&fake), 5 + (size_t)faults[i].times);
    }
    objstore_close(s);
}

TEST(s3_gives_up_and_says_why)
{
    struct objstore *s = open_fresh("  max-attempts: 3\n");
    struct buf b = {0};

    put_text(s, "k", "x");
    fake_calm(&fake);
    fake_arm(&fake,
             (struct fake_fault){FAKE_STATUS, .times = 100, .status = 503, .code = "SlowDown"});
    CHECK_ERR(get(s, "k", &b), ERR_UNAVAILABLE, "after 3 attempts");
    CHECK_INT(fake_requests(&fake), 3);
    CHECK_ERR(get(s, "k", &b), ERR_UNAVAILABLE, "503 SlowDown: no");
    fake_calm(&fake);
    fake_arm(&fake,
             (struct fake_fault){FAKE_STATUS, .times = 9, .status = 403, .code = "AccessDenied"});
    CHECK_ERR(get(s, "k", &b), ERR_FORBIDDEN, "AccessDenied");
    CHECK_INT(fake_requests(&fake), 1); /* a refusal is no trouble */
    buf_done(&b);
    objstore_close(s);
}

TEST(s3_does_not_beat_a_server_that_is_down)
{
    struct objstore *s = open_fresh("  retry-budget: 4\n");
    struct buf b = {0};

    put_text(s, "k", "x");
    fake_calm(&fake);
    fake_arm(&fake, (struct fake_fault){FAKE_STATUS, .times = 1000, .status = 500});
    for (int i = 0; i < 20; i++)
        CHECK_ERR(get(s, "k", &b), ERR_UNAVAILABLE, "500");
    CHECK_INT(fake_requests(&fake), 20 + 4);
    buf_done(&b);
    objstore_close(s);
}

static int fails_told, works_told;

static void on_line(void *arg, struct slice line)
{
    (void)arg;
    fails_told += slice_find(line, SLICE("object store fails"), 0) >= 0;
    works_told += slice_find(line, SLICE("works again"), 0) >= 0;
}

TEST(s3_says_once_that_the_server_fails)
{
    struct objstore *s = open_fresh("  max-attempts: 1\n");
    struct buf b = {0};

    fails_told = works_told = 0;
    log_set_sink(on_line, NULL);
    put_text(s, "k", "x");
    fake_arm(&fake, (struct fake_fault){FAKE_STATUS, .times = 50, .status = 500});
    for (int i = 0; i < 50; i++)
        CHECK_ERR(get(s, "k", &b), ERR_UNAVAILABLE, "500");
    check_text(s, "k", "x");
    log_set_sink(NULL, NULL);
    CHECK_INT(fails_told, 1);
    CHECK_INT(works_told, 0); /* that is to be seen: not before some seconds of calm */
    buf_done(&b);
    objstore_close(s);
}

/* ---- reads ---- */

TEST(s3_asks_a_second_time_when_nothing_comes)
{
    struct objstore *s = open_fresh("  hedge-after: 20ms\n  hedge-share: 1\n");
    int64_t started = clock_mono_ms(&clock_system);

    put_text(s, "k", "hello");
    fake_calm(&fake);
    fake_arm(&fake, (struct fake_fault){FAKE_STALL, .method = "GET"});
    check_text(s, "k", "hello");
    CHECK_INT(fake_requests(&fake), 2);
    CHECK(clock_mono_ms(&clock_system) - started < 900); /* else the stall ended it */
    objstore_close(s);
}

TEST(s3_gives_up_what_stalls)
{
    struct objstore *s = open_fresh("  hedge-after: 0s\n  stall-timeout: 1s\n");

    put_text(s, "k", "hello");
    fake_calm(&fake);
    fake_arm(&fake, (struct fake_fault){FAKE_STALL, .method = "GET"});
    check_text(s, "k", "hello");
    CHECK_INT(fake_requests(&fake), 2);
    objstore_close(s);
}

static void put_big(struct objstore *s, size_t n, struct buf *ret)
{
    for (size_t i = 0; i < n; i++)
        buf_byte(ret, (uint8_t)(i * 2654435761u >> 13));
    CHECK_OK(objstore_put(s, SLICE("big"), buf_slice(ret), NULL, NULL));
}

TEST(s3_reads_large_objects_in_parts)
{
    struct objstore *s = open_fresh("  read-part-size: 64KiB\n  parallel-parts: 3\n");
    struct buf want = {0}, b = {0};

    put_big(s, 1000000, &want);
    fake_calm(&fake);
    fake_arm(&fake, (struct fake_fault){FAKE_TRUNCATE, .method = "GET", .skip = 3, .times = 2});
    CHECK_OK(get(s, "big", &b));
    CHECK(slice_eq(buf_slice(&b), buf_slice(&want)));
    CHECK_INT(fake_requests(&fake), 16 + 2);
    CHECK_OK(objstore_get(s, SLICE("big"), &(struct objstore_get){.off = 1000, .len = 131072}, &b,
                          NULL));
    CHECK(slice_eq(buf_slice(&b), slice_sub(buf_slice(&want), 1000, 131072)));
    /* one that fails for good ends the read, and those under way with it */
    fake_calm(&fake);
    fake_arm(&fake, (struct fake_fault){FAKE_STATUS, .method = "GET", .skip = 3, .status = 403});
    CHECK_ERR(get(s, "big", &b), ERR_FORBIDDEN, "big");
    b.max_bytes = 1000;
    CHECK_ERR(objstore_get(s, SLICE("big"), NULL, &b, NULL), ERR_TOO_LARGE, "big");
    buf_done(&b);
    buf_done(&want);
    objstore_close(s);
}

TEST(s3_reads_in_one_request_where_it_is_to)
{
    struct objstore *s = open_fresh("  read-part-size: 64KiB\n  parallel-parts: 3\n");
    struct objstore_get one = {.off = 1000, .len = 500000, .is_single = true};
    struct objstore_tally t = {0};
    struct buf want = {0}, b = {0};

    put_big(s, 1000000, &want);
    fake_calm(&fake);
    CHECK(!objstore_tally_set(&t));
    CHECK_OK(objstore_get(s, SLICE("big"), &one, &b, NULL));
    CHECK(slice_eq(buf_slice(&b), slice_sub(buf_slice(&want), 1000, 500000)));
    CHECK_INT(fake_requests(&fake), 1);
    CHECK_INT(t.gets, 1);
    CHECK_OK(objstore_get(s, SLICE("big"), NULL, &b, NULL));
    CHECK_INT(t.gets, 1 + 16); /* parts are requests, and cost as much */
    CHECK_INT(t.bytes, 500000 + 1000000);
    CHECK(objstore_tally_set(NULL) == &t);
    buf_done(&b);
    buf_done(&want);
    objstore_close(s);
}

TEST(s3_reads_one_version)
{
    struct objstore *s = open_fresh("  read-part-size: 64KiB\n");
    struct buf want = {0}, b = {0};

    put_big(s, 300000, &want);
    fake_arm(&fake, (struct fake_fault){FAKE_SWAP, .method = "GET", .skip = 2});
    CHECK_OK(get(s, "big", &b));
    CHECK_INT(b.len, 300000);
    for (size_t i = 0; i < b.len; i++)
        CHECK(b.ptr[i] == 'z'); /* all of the new one, nothing of the old */
    buf_done(&b);
    buf_done(&want);
    objstore_close(s);
}

TEST(s3_refuses_listings_out_of_order_and_without_end)
{
    struct objstore *all = open_fresh(""), *s;
    struct arena *a = arena_new(0);
    struct objstore_listing l;

    for (char key[2] = "a"; key[0] < 'g'; key[0]++)
        put_text(all, key, "x");
    s = open_env("", NULL, &(struct objstore_s3_opts){.list_page = 4});
    check_list(s, (struct objstore_list){0}, "a,b,c,d,e,f");
    fake_arm(&fake, (struct fake_fault){FAKE_FORGET, .method = "GET", .part = "continuation-token",
                                        .times = 1});
    CHECK_ERR(objstore_list(s, a, NULL, &l), ERR_CORRUPT, "out of order: \"a\" comes on a page");
    fake_calm(&fake);
    fake_arm(&fake, (struct fake_fault){FAKE_ENDLESS, .method = "GET", .part = "list-type",
                                        .times = 2000});
    CHECK_ERR(objstore_list(s, a, NULL, &l), ERR_CORRUPT, "tell nothing new");
    arena_free(a);
    objstore_close(s);
    objstore_close(all);
}

TEST(s3_refuses_answers_that_are_none)
{
    struct objstore *s = open_fresh("");
    struct arena *a = arena_new(0);
    struct objstore_listing l;
    struct buf b = {0};

    put_text(s, "k", "x");
    fake_arm(&fake, (struct fake_fault){FAKE_GARBAGE, .method = "GET", .part = "list-type"});
    CHECK_ERR(objstore_list(s, a, NULL, &l), ERR_CORRUPT, "XML");
    fake_calm(&fake);
    fake_arm(&fake, (struct fake_fault){FAKE_GARBAGE, .method = "GET", .times = 2});
    CHECK_ERR(get(s, "k", &b), ERR_UNSUPPORTED, "etag");
    arena_free(a);
    buf_done(&b);
    objstore_close(s);
}

/* ---- the bucket ---- */

/* An ingress that has lost its backend: nothing is absent because of it. */
TEST(s3_does_not_take_a_proxys_404_for_an_answer)
{
    static const struct fake_fault lost = {FAKE_STATUS, .times = 100, .status = 404,
                                           .code = "Lost"};
    struct objstore_put absent = {.cond = OBJSTORE_IF_ABSENT};
    struct objstore *s = open_fresh("  conditional-writes: off\n");
    struct arena *a = arena_new(0);
    struct objstore_listing l;
    struct objstore_info info;
    struct buf b = {0};

    put_text(s, "k", "x");
    fake_arm(&fake, lost);
    CHECK_ERR(get(s, "k", &b), ERR_UNAVAILABLE, "404");
    CHECK_ERR(objstore_stat(s, SLICE("k"), &info), ERR_UNAVAILABLE, "404");
    CHECK_ERR(objstore_list(s, a, NULL, &l), ERR_UNAVAILABLE, "404");
    CHECK_ERR(objstore_delete(s, SLICE("k")), ERR_UNAVAILABLE, "404");
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("y"), &absent, NULL), ERR_UNAVAILABLE, "404");
    fake_calm(&fake);
    check_text(s, "k", "x");
    /* nor for the lack of credentials */
    objstore_close(s);
    s = open_env("  credentials: file\n  credentials-file: /nowhere/at/all\n", NULL, NULL);
    CHECK_ERR(get(s, "k", &b), ERR_UNAUTHORIZED, "/nowhere/at/all");
    arena_free(a);
    buf_done(&b);
    objstore_close(s);
}

TEST(s3_does_not_take_a_missing_bucket_for_missing_objects)
{
    struct objstore *s = open_fresh("");
    struct objstore_info info;
    struct buf b = {0};

    fake.is_missing = true;
    CHECK_ERR(get(s, "k", &b), ERR_UNAVAILABLE, "NoSuchBucket");
    CHECK_ERR(objstore_stat(s, SLICE("k"), &info), ERR_UNAVAILABLE, "NoSuchBucket");
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("x"), NULL, NULL), ERR_UNAVAILABLE, "NoSuchBucket");
    objstore_close(s);
    s = open_env("  create-bucket: true\n", NULL, NULL);
    CHECK_ERR(objstore_stat(s, SLICE("k"), &info), ERR_NOT_FOUND, "k");
    put_text(s, "k", "made");
    check_text(s, "k", "made");
    buf_done(&b);
    objstore_close(s);
}

TEST(s3_learns_region_and_clock)
{
    struct objstore *s = open_fresh("");
    struct objstore_info info;

    fake.region = "eu-north-7";
    put_text(s, "k", "x");
    fake_calm(&fake);
    check_text(s, "k", "x");
    CHECK_INT(fake_requests(&fake), 1); /* learnt for all */
    objstore_close(s);
    s = open_env("", NULL, NULL);
    CHECK_OK(objstore_stat(s, SLICE("k"), &info)); /* a HEAD's refusal has no body */
    objstore_close(s);
    s = open_env("  region: us-west-1\n", NULL, NULL);
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("x"), NULL, NULL), ERR_INVALID,
              "AuthorizationHeaderMalformed");
    objstore_close(s);
    fake.region = NULL;
    fake.skew_s = 7200;
    s = open_env("", NULL, NULL);
    put_text(s, "k", "y");
    check_text(s, "k", "y");
    objstore_close(s);
}

TEST(s3_asks_once_more_when_its_keys_are_refused)
{
    const char *path;
    struct objstore *s;
    char *more;

    objstore_close(open_fresh(""));
    path = tmp_path("credentials");
    CHECK_OK(fsx_write_atomic(
        path, SLICE("[default]\naws_access_key_id=OLD\naws_secret_access_key=s\n")));
    more = mem_printf("  credentials: file\n  credentials-file: %s\n", path);
    s = open_env(more, NULL, NULL);
    put_text(s, "k", "x");
    fake_calm(&fake);
    fake.refused_key = "OLD";
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("y"), NULL, NULL), ERR_FORBIDDEN, "ExpiredToken");
    CHECK_INT(fake_requests(&fake), 2);
    objstore_close(s);
    CHECK_OK(fsx_write_atomic(
        path, SLICE("[default]\naws_access_key_id=NEW\naws_secret_access_key=s\n")));
    s = open_env(more, NULL, NULL);
    put_text(s, "k", "z");
    objstore_close(s);
    mem_free(more);
}

/* ---- conditional puts ---- */

static void check_trust(enum fake_cond cond, bool want)
{
    struct objstore_put absent = {.cond = OBJSTORE_IF_ABSENT}, match = {.cond = OBJSTORE_IF_MATCH};
    struct objstore *s = open_fresh("");
    struct objstore_info info;
    bool is_atomic;

    fake.cond = cond;
    CHECK_OK(objstore_is_atomic(s, &is_atomic));
    CHECK(is_atomic == want);
    CHECK_INT(fake_peek(&fake, &fake.objects.len), 0); /* no scratch stays */
    CHECK_OK(objstore_put(s, SLICE("k"), SLICE("1"), &absent, &info));
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("x"), &absent, NULL), ERR_CONFLICT, "exists");
    match.etag = info.etag;
    CHECK_OK(objstore_put(s, SLICE("k"), SLICE("2"), &match, NULL));
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("3"), &match, NULL), ERR_CONFLICT, "changed");
    CHECK_OK(objstore_delete(s, SLICE("k")));
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("3"), &match, NULL), ERR_CONFLICT, "gone");
    objstore_close(s);
}

TEST(s3_trusts_conditions_that_hold)
{
    check_trust(FAKE_ATOMIC, true);
    check_trust(FAKE_BARE, true);
}

TEST(s3_does_not_trust_conditions_that_do_not)
{
    check_trust(FAKE_501, false);
    check_trust(FAKE_IGNORED, false);
    check_trust(FAKE_RACY, false); /* 412 in sequence, several winners at once */
}

TEST(s3_tries_conditions_out_again_when_the_server_was_away)
{
    struct objstore_put absent = {.cond = OBJSTORE_IF_ABSENT};
    struct objstore *s = open_fresh("  max-attempts: 1\n");
    bool is_atomic;

    fake_arm(&fake, (struct fake_fault){FAKE_STATUS, .skip = 4, .status = 403});
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("1"), &absent, NULL), ERR_FORBIDDEN, "try out");
    CHECK_OK(objstore_is_atomic(s, &is_atomic));
    CHECK(is_atomic);
    objstore_close(s);
}

/* "on" trusts a server that cannot: an error that says so, never a lost race. */
TEST(s3_never_reads_501_as_a_lost_race)
{
    struct objstore_put absent = {.cond = OBJSTORE_IF_ABSENT};
    struct objstore *s = open_fresh("  conditional-writes: on\n");

    fake.cond = FAKE_501;
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("1"), &absent, NULL), ERR_UNSUPPORTED, "501");
    fake_arm(&fake, (struct fake_fault){FAKE_STATUS, .method = "PUT", .status = 400,
                                        .code = "InvalidRequest"});
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("1"), &absent, NULL), ERR_INVALID,
              "InvalidRequest");
    objstore_close(s);
}

TEST(s3_knows_a_put_that_was_done_from_one_that_was_not)
{
    static const struct fake_fault faults[] = {
        {FAKE_LATE, .method = "PUT", .status = 500},
        {FAKE_LATE, .method = "PUT", .status = 503, .code = "SlowDown"},
        {FAKE_LATE_DROP, .method = "PUT"},
        {FAKE_STATUS, .method = "PUT", .status = 500},
        {FAKE_STATUS, .method = "PUT", .status = 409, .code = "ConditionalRequestConflict"},
        {FAKE_DROP, .method = "PUT"}};
    struct objstore_put absent = {.cond = OBJSTORE_IF_ABSENT}, match = {.cond = OBJSTORE_IF_MATCH};
    struct objstore *s = open_fresh("  conditional-writes: on\n");
    struct objstore_info one, two, now;

    for (size_t i = 0; i < ORR_COUNT(faults); i++) {
        fake_calm(&fake);
        fake_arm(&fake, faults[i]);
        CHECK_OK(objstore_put(s, SLICE("k"), SLICE("1"), &absent, &one));
        CHECK_OK(objstore_stat(s, SLICE("k"), &now));
        CHECK_STR(one.etag, now.etag);
        fake_arm(&fake, faults[i]);
        match.etag = one.etag;
        CHECK_OK(objstore_put(s, SLICE("k"), SLICE("2"), &match, &two));
        check_text(s, "k", "2");
        /* somebody else's: refused however the answer came */
        fake_arm(&fake, (struct fake_fault){FAKE_STATUS, .method = "PUT", .status = 500});
        CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("3"), &match, NULL), ERR_CONFLICT, "changed");
        CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("3"), &absent, NULL), ERR_CONFLICT, "exists");
        CHECK_OK(objstore_delete(s, SLICE("k")));
    }
    /* and when it cannot be looked at */
    fake_arm(&fake, (struct fake_fault){FAKE_LATE_DROP, .method = "PUT"});
    fake_arm(&fake, (struct fake_fault){FAKE_STATUS, .method = "HEAD", .times = 99, .status = 500});
    CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("1"), &absent, NULL), ERR_UNAVAILABLE,
              "may have been written");
    objstore_close(s);
}

/* objstore_put.until_ms: one attempt, and an end to it, whichever way the condition goes. */
TEST(s3_puts_once_and_within_the_time_there_is)
{
    static const struct {
        const char *conf;
        enum objstore_cond cond;
        size_t requests; /* with the looks at the object */
    } ways[] = {{"", OBJSTORE_ALWAYS, 1},
                {"  conditional-writes: on\n", OBJSTORE_IF_MATCH, 2},
                {"  conditional-writes: off\n", OBJSTORE_IF_MATCH, 2}};

    for (size_t i = 0; i < ORR_COUNT(ways); i++) {
        struct objstore *s = open_fresh(ways[i].conf);
        struct objstore_put opts = {.cond = ways[i].cond};
        struct objstore_info info;
        int64_t started;

        CHECK_OK(objstore_put(s, SLICE("k"), SLICE("0"), NULL, &info));
        opts.etag = info.etag;
        fake_calm(&fake);
        fake_arm(&fake, (struct fake_fault){FAKE_STALL, .method = "PUT", .times = 99});
        started = clock_mono_ms(&clock_system);
        opts.until_ms = started + 300;
        CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("1"), &opts, NULL), ERR_TIMEOUT, "");
        CHECK(clock_mono_ms(&clock_system) >= opts.until_ms);
        CHECK_INT(fake_requests(&fake), ways[i].requests);
        fake_calm(&fake);
        opts.until_ms = clock_mono_ms(&clock_system) + 60000;
        fake_arm(&fake, (struct fake_fault){FAKE_STATUS, .method = "PUT", .status = 500});
        CHECK_ERR(objstore_put(s, SLICE("k"), SLICE("1"), &opts, NULL), ERR_UNAVAILABLE, "500");
        CHECK_INT(fake_requests(&fake), ways[i].requests);
        check_text(s, "k", "0");
        CHECK_OK(objstore_put(s, SLICE("k"), SLICE("1"), &opts, NULL));
        check_text(s, "k", "1");
        objstore_close(s);
    }
}

/* objstore_get.until_ms: one attempt, however short the store's patience with its server would be otherwise. */
TEST(s3_gets_once_and_within_the_time_there_is)
{
    struct objstore *s = open_fresh("  hedge-after: 50ms\n  hedge-share: 1\n");
    struct objstore_get opts = {0};
    struct buf b = {0};
    int64_t started;

    CHECK_OK(objstore_put(s, SLICE("k"), SLICE("0"), NULL, NULL));
    fake_calm(&fake);
    fake_arm(&fake, (struct fake_fault){FAKE_STALL, .method = "GET", .times = 99});
    started = clock_mono_ms(&clock_system);
    opts.until_ms = started + 300;
    CHECK_ERR(objstore_get(s, SLICE("k"), &opts, &b, NULL), ERR_TIMEOUT, "");
    CHECK(clock_mono_ms(&clock_system) >= opts.until_ms);
    CHECK_INT(fake_requests(&fake), 1);
    fake_calm(&fake);
    fake_arm(&fake, (struct fake_fault){FAKE_STATUS, .method = "GET", .status = 500});
    opts.until_ms = clock_mono_ms(&clock_system) + 60000;
    CHECK_ERR(objstore_get(s, SLICE("k"), &opts, &b, NULL), ERR_UNAVAILABLE, "500");
    CHECK_INT(fake_requests(&fake), 1);
    CHECK_OK(objstore_get(s, SLICE("k"), &opts, &b, NULL));
    CHECK_SLICE(buf_slice(&b), "0");
    fake_calm(&fake);
    opts.until_ms = clock_mono_ms(&clock_system) - 1;
    CHECK_ERR(objstore_get(s, SLICE("k"), &opts, &b, NULL), ERR_TIMEOUT, "not sent");
    CHECK_INT(fake_requests(&fake), 0);
    buf_done(&b);
    objstore_close(s);
}

/* ---- multipart ---- */

#define SIX_MIB (6u << 20)

TEST(s3_uploads_in_parts)
{
    static const struct fake_fault faults[] = {
        {FAKE_STATUS, .part = "partNumber", .times = 2, .status = 503},
        {FAKE_DROP, .part = "partNumber", .times = 1},
        {FAKE_200_ERROR, .method = "POST", .part = "uploadId", .times = 2},
        {FAKE_LATE, .method = "POST", .part = "uploadId", .status = 500, .times = 1},
        {FAKE_LATE_DROP, .method = "POST", .part = "uploadId", .times = 1}};
    struct objstore *s = open_fresh("  part-size: 5MiB\n");
    struct objstore_info info, now;
    struct buf want = {0};

    buf_fill(&want, 'p', SIX_MIB);
    for (size_t i = 0; i < ORR_COUNT(faults); i++) {
        fake_calm(&fake);
        fake_arm(&fake, faults[i]);
        CHECK_OK(objstore_put(s, SLICE("big"), buf_slice(&want), NULL, &info));
        CHECK_OK(objstore_stat(s, SLICE("big"), &now));
        CHECK_STR(info.etag, now.etag);
        CHECK_INT(now.bytes, SIX_MIB);
        CHECK_INT(fake_peek(&fake, &fake.uploads.len), 0);
        CHECK_OK(objstore_delete(s, SLICE("big")));
    }
    CHECK_INT(fake_peek(&fake, &fake.n_aborts), 0);
    buf_done(&want);
    objstore_close(s);
}

TEST(s3_aborts_an_upload_that_fails)
{
    struct objstore *s = open_fresh("  part-size: 5MiB\n  max-attempts: 2\n");
    struct buf want = {0};
    size_t n;

    buf_fill(&want, 'p', SIX_MIB);
    fake_arm(&fake,
             (struct fake_fault){FAKE_STATUS, .part = "partNumber=2", .times = 9, .status = 500});
    CHECK_ERR(objstore_put(s, SLICE("metrics/t/big"), buf_slice(&want), NULL, NULL),
              ERR_UNAVAILABLE, "part 2 of 2");
    CHECK_INT(fake_peek(&fake, &fake.n_aborts), 1);
    CHECK_INT(fake_peek(&fake, &fake.uploads.len), 0);
    /* the abort fails, too: the sweep finds it */
    fake_arm(&fake,
             (struct fake_fault){FAKE_STATUS, .method = "DELETE", .times = 9, .status = 500});
    CHECK_ERR(objstore_put(s, SLICE("metrics/t/big"), buf_slice(&want), NULL, NULL),
              ERR_UNAVAILABLE, "part 2");
    CHECK_INT(fake_peek(&fake, &fake.uploads.len), 1);
    CHECK_ERR(objstore_put(s, SLICE("theirs/big"), buf_slice(&want), NULL, NULL), ERR_UNAVAILABLE,
              "part 2");
    fake_calm(&fake);
    CHECK_OK(objstore_s3_sweep(s, 3600 * 1000, &n));
    CHECK_INT(n, 1);
    CHECK_INT(fake_peek(&fake, &fake.uploads.len), 1); /* of another system in the bucket */
    buf_done(&want);
    objstore_close(s);
}

TEST(s3_sweeps_scratch_keys)
{
    struct objstore *s = open_fresh(""), *own = open_env("  prefix: .orrery/\n", NULL, NULL);
    size_t n;

    put_text(own, "probe-x", "x");
    put_text(own, "other", "x");
    put_text(s, "probe-x", "x");
    CHECK_OK(objstore_s3_sweep(s, 3600 * 1000, &n));
    CHECK_INT(n, 1);
    check_list(own, (struct objstore_list){0}, "other");
    check_text(s, "probe-x", "x");
    objstore_close(own);
    objstore_close(s);
}

/* ---- headers ---- */

static void sse_of(void *arg, struct slice tenant, struct arena *a, struct objstore_s3_sse *sse)
{
    (void)arg;
    (void)a;
    if (slice_eq_cstr(tenant, "secretive"))
        *sse = (struct objstore_s3_sse){S3CONF_SSE_KMS, SLICE("arn:key"), SLICE("{\"a\":\"b\"}")};
}

static void check_header(const char *line, bool want)
{
    char headers[sizeof(fake.last_headers)];

    (void)pthread_mutex_lock(&fake.mutex);
    memcpy(headers, fake.last_headers, sizeof(headers));
    (void)pthread_mutex_unlock(&fake.mutex);
    if ((strstr(headers, line) != NULL) != want)
        test_fail(__FILE__, __LINE__, "%s \"%s\" in:\n%s", want ? "no" : "there is", line, headers);
}

TEST(s3_asks_for_encryption_and_storage_class)
{
    struct objstore *s;

    objstore_close(open_fresh(""));
    s = open_env("  sse: s3\n  storage-class: STANDARD_IA\n", NULL,
                 &(struct objstore_s3_opts){.sse = sse_of});
    put_text(s, "metrics/plain/k", "x");
    check_header("x-amz-server-side-encryption: AES256\n", true);
    check_header("x-amz-storage-class: STANDARD_IA\n", true);
    check_header("aws-kms", false);
    put_text(s, "metrics/secretive/k", "x");
    check_header("x-amz-server-side-encryption: aws:kms\n", true);
    check_header("x-amz-server-side-encryption-aws-kms-key-id: arn:key\n", true);
    check_header("x-amz-server-side-encryption-context: eyJhIjoiYiJ9\n", true);
    objstore_close(s);
}

TEST(s3_vouches_for_bodies)
{
    struct objstore *s;

    objstore_close(open_fresh(""));
    s = open_env("  payload: unsigned\n  session-token: tok\n", NULL, NULL);
    put_text(s, "k", "hello");
    check_header("x-amz-content-sha256: UNSIGNED-PAYLOAD\n", true);
    check_header("content-md5: XUFAKrxLKna5cZ2REBfFkg==\n", true);
    check_header("x-amz-security-token: tok\n", true);
    objstore_close(s);
    s = open_env("  payload: chunked\n", NULL, NULL);
    put_text(s, "k", "hello");
    check_header("x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\n", true);
    check_header("x-amz-decoded-content-length: 5\n", true);
    objstore_close(s);
}

TEST(s3_counts_requests_and_their_price)
{
    struct objstore *s = open_fresh("  price-write-per-1000: 1000\n  price-read-per-1000: 10\n");
    struct buf out = {0};

    put_text(s, "k", "hello");
    put_text(s, "k", "hello");
    check_text(s, "k", "hello");
    metric_write(&out, false);
    CHECK(strstr(buf_cstr(&out), "orrery_objstore_requests_total{op=\"put\"} 2\n"));
    CHECK(strstr(buf_cstr(&out), "orrery_objstore_sent_bytes_total{op=\"put\"} 10\n"));
    CHECK(strstr(buf_cstr(&out), "orrery_objstore_received_bytes_total{op=\"get\"} 5\n"));
    CHECK(strstr(buf_cstr(&out),
                 "orrery_objstore_estimated_cost_dollars_total{class=\"write\"} 2\n"));
    CHECK(strstr(buf_cstr(&out),
                 "orrery_objstore_estimated_cost_dollars_total{class=\"read\"} 0.01\n"));
    buf_done(&out);
    objstore_close(s);
}

/* ---- the end ---- */

static void read_stalled(void *arg)
{
    struct buf b = {0};

    CHECK_ERR(get(arg, "k", &b), ERR_UNAVAILABLE, "stopped");
    buf_done(&b);
}

static void stop_soon(void *arg)
{
    while (fake_requests(&fake) == 0) /* the read has reached the server, which says nothing */
        (void)poll(NULL, 0, 1);
    objstore_stop(arg);
}

static void read_or_stop(void *arg, size_t i)
{
    if (i == 0)
        read_stalled(arg);
    else
        stop_soon(arg);
}

TEST(s3_stops_at_once)
{
    struct objstore *s = open_fresh("  hedge-after: 0s\n");
    struct job_pool *p = job_pool_new("stop", 2, 4);
    int64_t started = clock_mono_ms(&clock_system);
    struct buf b = {0};

    put_text(s, "k", "x");
    fake_calm(&fake);
    fake_arm(&fake, (struct fake_fault){FAKE_STALL, .method = "GET", .times = 9});
    job_parallel(p, 2, read_or_stop, s);
    CHECK_ERR(get(s, "k", &b), ERR_UNAVAILABLE, "stopped");
    CHECK(clock_mono_ms(&clock_system) - started < 5000); /* it would be 15 s and more */
    job_pool_free(p);
    objstore_close(s);
}

/* ---- settings ---- */

static void check_setting(const char *yaml, const char *why)
{
    static const struct conf_section *const sections[] = {&s3conf_section};
    struct conf_source src = {.sections = sections, .section_count = 1};
    char *text = mem_printf("s3: {%s}\n", yaml);
    struct objstore *s = NULL;
    struct conf *c;

    CHECK_OK(conf_load_text(&src, "test", slice_cstr(text), &c));
    if (why) {
        CHECK_ERR(objstore_s3_open(c, NULL, &s), ERR_INVALID, why);
    } else {
        CHECK_OK(objstore_s3_open(c, NULL, &s));
    }
    objstore_close(s);
    conf_unref(c);
    mem_free(text);
}

TEST(s3_refuses_settings_that_cannot_be)
{
    check_setting("bucket: abc", NULL);
    check_setting("bucket: abc, endpoint: 'http://[::1]:9000/', region: eu-west-1", NULL);
    check_setting("", "s3.bucket");
    check_setting("bucket: a/b", "s3.bucket");
    check_setting("bucket: abc, endpoint: minio:9000", "s3.endpoint");
    check_setting("bucket: abc, endpoint: 'http://minio/path'", "s3.endpoint");
    check_setting("bucket: abc, endpoint: 'http://'", "s3.endpoint");
    check_setting("bucket: abc, access-key: a", "one without the other");
    check_setting("bucket: abc, prefix: /a", "s3.prefix");
    check_setting("bucket: abc, sse-kms-key-id: k", "s3.sse: kms");
    check_setting("bucket: abc, sse: kms, sse-kms-encryption-context: \"a\\nb\"", "line break");
}
