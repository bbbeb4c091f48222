#include <stdio.h>

#include "common/base/hash.h"
#include "common/base/job.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/block/catalogue.h"
#include "tests/unit/common/objstore/counting_store.h"
#include "tests/unit/test.h"

static struct ulid id(unsigned i)
{
    uint8_t entropy[10] = {0};

    entropy[8] = (uint8_t)(i >> 8);
    entropy[9] = (uint8_t)i;
    return ulid_make(1700000000000, entropy);
}

static struct catalogue_block block(unsigned i, int64_t min_t)
{
    static const struct slice segments[2] = {SLICE_INIT("seg-a"), SLICE_INIT("seg \"b\"")};
    static const struct label external[2] = {{SLICE_INIT("cluster"), SLICE_INIT("a \"b\"")},
                                             {SLICE_INIT("zone"), SLICE_INIT("z")}};

    static char dirs[1024][64];
    char *dir = dirs[i % ORR_COUNT(dirs)];

    snprintf(dir, sizeof(dirs[0]), "old/place/%s", ulid_print(id(i)).s);
    return (struct catalogue_block){
        .ulid = id(i),
        .min_t = min_t,
        .max_t = min_t + 100,
        .level = 1,
        .segments = segments,
        .n_segments = 2,
        .series = 7,
        .samples = 1ull << 40,
        .bytes = 99,
        .shard = i % 4,
        .shards = 4,
        .resolution_ms = 300000,
        .dir = slice_cstr(dir),
        .labels = {external, 2},
        .origin = {i % 2 ? SLICE("zone \"b\"") : SLICE_EMPTY, SLICE("in-1")},
        .is_pinned = i % 2};
}

TEST(catalogue_reads_back_what_it_wrote)
{
    struct catalogue *c = catalogue_new(SLICE("metrics"), SLICE("tenant-1")), *d;
    const struct catalogue_block *b;
    struct catalogue_block x;
    struct buf out = {0}, again = {0};
    size_t n;

    for (unsigned i = 0; i < 5; i++) {
        x = block(i, 1000 - i * 10);
        catalogue_add(c, &x);
    }
    CHECK(catalogue_retire(c, id(2), 12345));
    CHECK(!catalogue_retire(c, id(2), 12345));
    catalogue_write(&out, c);
    CHECK_OK(catalogue_parse(buf_slice(&out), &d));
    b = catalogue_blocks(d, &n);
    CHECK_INT(n, 4);
    CHECK(ulid_eq(b[0].ulid, id(4)) && ulid_eq(b[3].ulid, id(0)));
    CHECK_INT(b[0].samples, 1ull << 40);
    CHECK_INT(b[1].shard, 3);
    CHECK(b[1].is_pinned && !b[0].is_pinned);
    CHECK_SLICE(b[1].origin.zone, "zone \"b\"");
    CHECK_INT(b[0].origin.zone.len, 0);
    CHECK_SLICE(b[0].origin.instance, "in-1");
    CHECK_SLICE(b[0].segments[0], "seg \"b\""); /* sorted */
    CHECK(catalogue_has_segment(d, SLICE("seg-a")) && !catalogue_has_segment(d, SLICE("seg")));
    CHECK_INT(b[0].resolution_ms, 300000);
    CHECK(slice_eq(b[0].dir, block(4, 0).dir));
    CHECK_INT(b[0].labels.n, 2);
    CHECK_SLICE(labels_get(b[0].labels, SLICE("cluster")), "a \"b\"");
    CHECK_INT(catalogue_retired(d, &n)->at_ms, 12345);
    CHECK(slice_eq(catalogue_retired(d, &n)->dir, block(2, 0).dir));
    CHECK_SLICE(catalogue_tenant(d), "tenant-1");
    CHECK(catalogue_forget(d, id(2)) && !catalogue_forget(d, id(2)));
    CHECK(catalogue_find(d, id(3)) && !catalogue_find(d, id(2)));
    catalogue_write(&again, d);
    CHECK(again.len < out.len);
    buf_done(&out);
    buf_done(&again);
    catalogue_free(c);
    catalogue_free(d);
}

TEST(catalogue_refuses_damaged_bytes)
{
    struct catalogue *c = catalogue_new(SLICE("metrics"), SLICE("t")), *d;
    struct catalogue_block x = block(1, 5);
    struct buf out = {0};

    catalogue_add(c, &x);
    catalogue_write(&out, c);
    for (size_t i = 0; i < out.len; i++) {
        uint8_t was = out.ptr[i];
        struct err *e;

        CHECK_ERR(catalogue_parse(slice_sub(buf_slice(&out), 0, i), &d), ERR_CORRUPT, "");
        out.ptr[i] ^= 4;
        e = catalogue_parse(buf_slice(&out), &d);
        /* the bytes behind the checksum are only punctuation */
        CHECK(i + 3 >= out.len || err_is(e, ERR_CORRUPT));
        if (!e)
            catalogue_free(d);
        err_free(e);
        out.ptr[i] = was;
    }
    buf_done(&out);
    catalogue_free(c);
}

TEST(catalogue_refuses_times_that_overflow_when_they_are_added_to)
{
    static const int64_t times[] = {INT64_MIN, INT64_MIN / 4, INT64_MAX / 4, INT64_MAX - 1,
                                    INT64_MAX};

    for (size_t i = 0; i < 3 * ORR_COUNT(times); i++) {
        struct catalogue *c = catalogue_new(SLICE("metrics"), SLICE("t")), *d;
        struct catalogue_block x = block(1, 5);
        struct buf out = {0};

        *(i % 3 == 0 ? &x.min_t : i % 3 == 1 ? &x.max_t : &x.resolution_ms) = times[i / 3];
        catalogue_add(c, &x);
        catalogue_write(&out, c);
        CHECK_ERR(catalogue_parse(buf_slice(&out), &d), ERR_CORRUPT, "");
        buf_done(&out);
        catalogue_free(c);
    }
}

/* What the sweep deletes is below such a directory: it must be one of that very block, and nobody's own place. */
TEST(catalogue_refuses_directories_that_are_not_of_the_block)
{
    static const struct {
        const char *before;
        bool has_id;
        const char *after;
    } dirs[] = {{"metrics/victim", false, ""},
                {"metrics/victim/", true, ""},
                {"old/place", false, ""},
                {"", true, "/more"},
                {"old/x", true, ""},
                {"../", true, ""},
                {"/old/", true, ""}};

    for (size_t i = 0; i < 2 * ORR_COUNT(dirs); i++) {
        struct catalogue *c = catalogue_new(SLICE("metrics"), SLICE("t")), *d;
        struct catalogue_block x = block(1, 5);
        struct buf out = {0};
        char dir[128];

        snprintf(dir, sizeof(dir), "%s%s%s", dirs[i / 2].before,
                 dirs[i / 2].has_id ? ulid_print(id(1)).s : "", dirs[i / 2].after);
        x.dir = slice_cstr(dir);
        catalogue_add(c, &x);
        if (i % 2)
            CHECK(catalogue_retire(c, id(1), 7));
        catalogue_write(&out, c);
        CHECK_ERR(catalogue_parse(buf_slice(&out), &d), ERR_CORRUPT, "dir");
        buf_done(&out);
        catalogue_free(c);
    }
}

struct race {
    struct objstore *store;
    unsigned each; /* changes */
};

struct add_arg {
    unsigned i;
};

static struct err *add_one(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct add_arg *a = arg;
    struct catalogue_block b = block(a->i, a->i);

    catalogue_add(c, &b);
    *ret_changed = true;
    return NULL;
}

static void racer(void *arg, size_t which)
{
    struct race *r = arg;

    for (unsigned i = 0; i < r->each; i++) {
        struct add_arg a = {(unsigned)which * 100 + i};

        CHECK_OK(catalogue_update(r->store, SLICE("metrics"), SLICE("t"), add_one, &a, NULL));
    }
}

TEST(catalogue_keeps_every_change_of_those_that_race)
{
    struct race r = {.each = 10};
    struct job_pool *p = job_pool_new("race", 3, 8);
    struct catalogue *c;
    struct arena *a = arena_new(0);
    struct slice *tenants;
    size_t n;

    CHECK_OK(objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true},
                              &r.store));
    CHECK_OK(catalogue_load(r.store, SLICE("metrics"), SLICE("t"), &c));
    CHECK_INT(catalogue_version(c), 0);
    catalogue_free(c);
    job_parallel(p, 3, racer, &r);
    CHECK_OK(catalogue_load(r.store, SLICE("metrics"), SLICE("t"), &c));
    CHECK_INT(catalogue_version(c), 30);
    (void)catalogue_blocks(c, &n);
    CHECK_INT(n, 30);
    CHECK_OK(catalogue_tenants(r.store, a, SLICE("metrics"), &tenants, &n));
    CHECK_INT(n, 1);
    CHECK_SLICE(tenants[0], "t");
    catalogue_free(c);
    job_pool_free(p);
    objstore_close(r.store);
    arena_free(a);
}

/* More threads than a change has tries: none loses a race, so none reads it twice. */
TEST(catalogue_is_changed_by_threads_one_after_the_other)
{
    struct counting_store s;
    struct race r = {&s.base, 1};
    struct job_pool *p = job_pool_new("race", 63, 64);
    struct catalogue *c;

    counting_store_open(&s);
    job_parallel(p, 64, racer, &r);
    CHECK_INT(s.gets, 64);
    CHECK_OK(catalogue_load(&s.base, SLICE("metrics"), SLICE("t"), &c));
    CHECK_INT(catalogue_version(c), 64);
    catalogue_free(c);
    job_pool_free(p);
    counting_store_close(&s);
}

TEST(catalogue_stat_tells_versions_apart)
{
    char none[OBJSTORE_ETAG_BYTES], first[OBJSTORE_ETAG_BYTES], same[OBJSTORE_ETAG_BYTES],
        second[OBJSTORE_ETAG_BYTES];
    struct add_arg one = {1}, two = {2};
    struct objstore *s;

    CHECK_OK(objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true}, &s));
    CHECK_OK(catalogue_stat(s, SLICE("metrics"), SLICE("stat"), none));
    CHECK_OK(catalogue_update(s, SLICE("metrics"), SLICE("stat"), add_one, &one, NULL));
    CHECK_OK(catalogue_stat(s, SLICE("metrics"), SLICE("stat"), first));
    CHECK_OK(catalogue_stat(s, SLICE("metrics"), SLICE("stat"), same));
    CHECK_OK(catalogue_update(s, SLICE("metrics"), SLICE("stat"), add_one, &two, NULL));
    CHECK_OK(catalogue_stat(s, SLICE("metrics"), SLICE("stat"), second));
    CHECK_STR(none, "");
    CHECK(first[0] && strcmp(first, same) == 0);
    CHECK(second[0] && strcmp(first, second) != 0);
    objstore_close(s);
}

/* As Swift does while it replaces an object; nothing else keeps a put from taking the place of what is there. */
TEST(catalogue_that_is_not_there_for_a_moment_is_not_lost)
{
    struct add_arg arg = {1};
    struct counting_store s;
    struct catalogue *c;
    size_t n;

    counting_store_open(&s);
    s.is_plain = true;
    for (arg.i = 1; arg.i < 4; arg.i++) {
        CHECK_OK(catalogue_update(&s.base, SLICE("metrics"), SLICE("t"), add_one, &arg, NULL));
        s.hiding = (int)arg.i;
    }
    s.hiding = 0;
    CHECK_OK(catalogue_load(&s.base, SLICE("metrics"), SLICE("t"), &c));
    (void)catalogue_blocks(c, &n);
    CHECK_INT(n, 3);
    catalogue_free(c);
    counting_store_close(&s);
}

static struct catalogue *again(const struct catalogue *c)
{
    struct catalogue *d;
    struct buf b = {0};

    catalogue_write(&b, c);
    CHECK_OK(catalogue_parse(buf_slice(&b), &d));
    buf_done(&b);
    return d;
}

/* One that names one segment. */
static void add_naming(struct catalogue *c, unsigned i, const char *segment)
{
    struct slice name = slice_cstr(segment);
    struct catalogue_block b = {
        .ulid = id(i), .min_t = i, .max_t = i + 1, .segments = &name, .n_segments = 1};

    catalogue_add(c, &b);
}

TEST(catalogue_names_what_has_expired_for_a_time)
{
    struct catalogue *c = catalogue_new(SLICE("metrics"), SLICE("t")), *d;

    add_naming(c, 1, "replaced");
    add_naming(c, 2, "second");
    add_naming(c, 3, "first");
    CHECK(catalogue_oldest_expired_ms(c) == INT64_MAX);
    CHECK(catalogue_retire(c, id(1), 50));
    CHECK(!catalogue_has_segment(c, SLICE("replaced")));
    CHECK(catalogue_expire(c, id(2), 200)); /* by a clock that goes ahead */
    CHECK(catalogue_expire(c, id(3), 100));
    CHECK(!catalogue_expire(c, id(3), 300));
    d = again(c);
    catalogue_free(c);
    CHECK(!catalogue_find(d, id(3)) && catalogue_is_retired(d, id(3)));
    CHECK(catalogue_forget(d, id(2)) && catalogue_forget(d, id(3))); /* their files are gone */
    CHECK(catalogue_has_segment(d, SLICE("first")) && catalogue_has_segment(d, SLICE("second")));
    CHECK_INT(catalogue_oldest_expired_ms(d), 100);
    CHECK(!catalogue_forget_expired(d, 100));
    CHECK(catalogue_forget_expired(d, 101));
    CHECK(!catalogue_has_segment(d, SLICE("first")) && catalogue_has_segment(d, SLICE("second")));
    c = catalogue_new(SLICE("metrics"), SLICE("t"));
    catalogue_copy_expired(c, d);
    catalogue_free(d);
    CHECK(catalogue_has_segment(c, SLICE("second")));
    catalogue_free(c);
}

TEST(catalogue_segments_are_all_that_it_has)
{
    struct catalogue *c = catalogue_new(SLICE("metrics"), SLICE("t"));
    struct slice *all;
    size_t n;

    all = catalogue_segments(c, &n);
    CHECK(n == 0 && !catalogue_is_among(all, n, SLICE("b")));
    mem_free(all);
    add_naming(c, 1, "c");
    add_naming(c, 2, "replaced");
    add_naming(c, 3, "a");
    add_naming(c, 4, "b");
    CHECK(catalogue_retire(c, id(2), 1) && catalogue_expire(c, id(4), 2));
    all = catalogue_segments(c, &n);
    CHECK_INT(n, 3);
    for (size_t i = 0; i < n; i++)
        CHECK(slice_eq(all[i], slice_of(&"abc"[i], 1)) && catalogue_is_among(all, n, all[i]));
    CHECK(!catalogue_is_among(all, n, SLICE("replaced")) && !catalogue_is_among(all, n, SLICE("")));
    mem_free(all);
    catalogue_free(c);
}

TEST(catalogue_keeps_a_bounded_number_of_expired_names_and_those_of_the_newest)
{
    struct catalogue *c = catalogue_new(SLICE("metrics"), SLICE("t"));
    struct slice *names = mem_new_array(struct slice, CATALOGUE_MAX_EXPIRED + 1);
    struct catalogue_block b = {.ulid = id(1), .max_t = 1, .segments = names};

    for (size_t i = 0; i <= CATALOGUE_MAX_EXPIRED; i++)
        names[i] = SLICE("many");
    add_naming(c, 2, "oldest");
    add_naming(c, 3, "old");
    CHECK(catalogue_expire(c, id(2), 1) && catalogue_expire(c, id(3), 2));
    b.n_segments = CATALOGUE_MAX_EXPIRED - 1;
    catalogue_add(c, &b);
    CHECK(catalogue_expire(c, id(1), 3));
    CHECK(catalogue_has_segment(c, SLICE("many")) && catalogue_has_segment(c, SLICE("old")));
    CHECK(!catalogue_has_segment(c, SLICE("oldest")));
    b.ulid = id(4);
    b.n_segments = CATALOGUE_MAX_EXPIRED + 1;
    catalogue_add(c, &b);
    CHECK(catalogue_expire(c, id(4), 4));
    CHECK(catalogue_has_segment(c, SLICE("many")) && !catalogue_has_segment(c, SLICE("old")));
    mem_free(names);
    catalogue_free(c);
}

TEST(catalogue_is_replaced_by_one_that_knows_what_was_there)
{
    struct slice key = SLICE("metrics/t/catalogue");
    struct catalogue *c = catalogue_new(SLICE("metrics"), SLICE("t")), *d;
    struct catalogue_block x = block(1, 5);
    char etag[OBJSTORE_ETAG_BYTES];
    struct objstore *s;

    CHECK_OK(
        objstore_fs_open(tmp_path("replaced"), &(struct objstore_fs_opts){.no_sync = true}, &s));
    CHECK_ERR(catalogue_load_at(s, key, &d), ERR_NOT_FOUND, "catalogue");
    CHECK_OK(objstore_put(s, key, SLICE("damaged"), NULL, NULL));
    CHECK_OK(catalogue_stat(s, SLICE("metrics"), SLICE("t"), etag));
    catalogue_add(c, &x);
    catalogue_raise(c, 40);
    catalogue_raise(c, 30);
    CHECK(catalogue_retire_again(
        c, &(struct catalogue_retired){.ulid = id(2), .at_ms = 9, .dir = block(2, 0).dir}));
    CHECK(!catalogue_retire_again(c, &(struct catalogue_retired){.ulid = id(1)}));
    CHECK_ERR(catalogue_replace(s, "", c), ERR_CONFLICT, "catalogue");
    CHECK_OK(catalogue_replace(s, etag, c));
    CHECK_ERR(catalogue_replace(s, etag, c), ERR_CONFLICT, "catalogue");
    CHECK_OK(catalogue_load_at(s, key, &d));
    CHECK(catalogue_version(d) > 40 && catalogue_find(d, id(1)));
    CHECK(catalogue_is_retired(d, id(2)));
    catalogue_free(d);
    /* what could not be read again is not written */
    CHECK_OK(catalogue_stat(s, SLICE("metrics"), SLICE("t"), etag));
    x = block(3, 5);
    x.shards = 5000;
    catalogue_add(c, &x);
    CHECK_ERR(catalogue_replace(s, etag, c), ERR_INVALID, "would not be readable");
    CHECK_OK(catalogue_load_at(s, key, &d));
    catalogue_free(d);
    catalogue_free(c);
    objstore_close(s);
}

/* Whoever wrote them in what order. */
TEST(catalogue_finds_segments_that_are_not_sorted)
{
    static const char json[] =
        "{\"format\":1,\"version\":1,\"signal\":\"metrics\",\"tenant\":\"t\",\"blocks\":[\n"
        "{\"ulid\":\"00000000010000000000000000\",\"minTime\":0,\"maxTime\":1,\"level\":1,"
        "\"segments\":[\"c\",\"a\",\"b\"],\"series\":1,\"samples\":1,\"bytes\":1}],\"retired\":[],"
        "\"expired\":[{\"at\":5,\"segments\":[\"f\",\"d\",\"e\"]}]";
    struct slice names[] = {SLICE("i"), SLICE("h"), SLICE("g")};
    struct catalogue_block b = {.ulid = id(7), .level = 1, .segments = names, .n_segments = 3};
    struct catalogue *c;
    struct buf text = {0};

    buf_printf(&text, "%s,\"crc\":\"%08x\"}\n", json, hash_crc32c(slice_cstr(json)));
    CHECK_OK(catalogue_parse(buf_slice(&text), &c));
    catalogue_add(c, &b);
    for (const char *s = "abcdefghi"; *s; s++)
        CHECK(catalogue_has_segment(c, slice_of(s, 1)));
    CHECK(!catalogue_has_segment(c, SLICE("j")));
    buf_done(&text);
    catalogue_free(c);
}
