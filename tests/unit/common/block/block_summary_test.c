#include "common/base/fsx.h"
#include "common/base/hash.h"
#include "common/base/vec.h"
#include "common/block/block_skip.h"
#include "common/block/block_summary.h"
#include "common/block/catalogue.h"
#include "tests/unit/common/block/block_fixture.h"

struct fixture {
    struct arena *a;
    VEC(struct block_summary_pair) pairs;
    size_t n_ids;
    struct buf file;
    struct block_summary s;
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){.a = arena_new(0)};
}

static void teardown(struct fixture *f)
{
    vec_done(&f->pairs);
    buf_done(&f->file);
    arena_free(f->a);
}

/* n values "v0" …, of a new name. */
static void add_name(struct fixture *f, const char *name, size_t n)
{
    struct slice text = arena_dup(f->a, slice_cstr(name));

    for (size_t i = 0; i < n; i++)
        vec_push(&f->pairs,
                 ((struct block_summary_pair){text, slice_cstr(arena_printf(f->a, "v%zu", i)),
                                              (uint32_t)f->n_ids}));
    f->n_ids++;
}

static void build(struct fixture *f, size_t max_bytes)
{
    block_summary_build(fixture_ulid(1), f->pairs.ptr, f->pairs.len, f->n_ids, max_bytes, &f->file);
    CHECK(f->file.len <= max_bytes);
    if (f->file.len)
        CHECK_OK(block_summary_open(buf_slice(&f->file), fixture_ulid(1), &f->s));
}

static bool has(const struct fixture *f, const char *name, const char *value)
{
    return block_summary_has_pair(&f->s, slice_cstr(name), slice_cstr(value));
}

static void check_none_is_lost(const struct fixture *f)
{
    VEC_FOREACH (p, &f->pairs) {
        CHECK(block_summary_has_name(&f->s, p->name));
        CHECK(block_summary_has_pair(&f->s, p->name, p->value));
    }
}

TEST(block_summary_loses_no_pair_however_many_there_are_and_whatever_room)
{
    struct rng rng;

    rng_seed(&rng, 20);
    for (int round = 0; round < 300; round++) {
        size_t names = rng_below(&rng, 40), room = 64 + rng_below(&rng, BLOCK_SUMMARY_MAX_BYTES);
        struct fixture f;

        setup(&f);
        for (size_t i = 0; i < names; i++)
            add_name(&f, i ? arena_printf(f.a, "name%zu", i) : "__name__",
                     1 + rng_below(&rng, 1ull << rng_below(&rng, 14)));
        build(&f, room);
        if (f.file.len)
            check_none_is_lost(&f);
        else
            CHECK(room < 300); /* of 40 names nothing but the names goes into that */
        teardown(&f);
    }
}

TEST(block_summary_takes_few_strangers_for_members_and_ten_bits_for_a_key)
{
    struct fixture f;
    size_t wrong_pairs = 0, wrong_names = 0, n = 200000;

    setup(&f);
    add_name(&f, "__name__", 3000);
    add_name(&f, "pod", 20000);
    add_name(&f, "job", 50);
    build(&f, BLOCK_SUMMARY_MAX_BYTES);
    check_none_is_lost(&f);
    for (size_t i = 0; i < n; i++) {
        char text[32];

        (void)snprintf(text, sizeof(text), "stranger%zu", i);
        wrong_pairs += has(&f, i % 2 ? "pod" : "__name__", text);
        wrong_names += block_summary_has_name(&f.s, slice_cstr(text));
    }
    printf("   %zu keys in %zu bytes (%.2f bits each); taken for members: pairs %.3f%%, names "
           "%.3f%%\n",
           f.pairs.len + 3, f.file.len, 8.0 * (double)f.file.len / (double)(f.pairs.len + 3),
           100.0 * (double)wrong_pairs / (double)n, 100.0 * (double)wrong_names / (double)n);
    CHECK(wrong_pairs < n / 200 && wrong_names < n / 200);
    CHECK(wrong_pairs > 0); /* else it is more than a filter, or asked the wrong thing */
    CHECK(f.file.len * 8 < f.pairs.len * 10);
    teardown(&f);
}

TEST(block_summary_gives_room_to_metric_names_first_then_to_names_with_few_values)
{
    struct fixture f;

    setup(&f);
    add_name(&f, "pod", 3000);
    add_name(&f, "job", 20);
    add_name(&f, "__name__", 700);
    build(&f, 1024);
    check_none_is_lost(&f);
    CHECK(!has(&f, "__name__", "none") && !has(&f, "job", "none") && !has(&f, "other", "v1"));
    CHECK(has(&f, "pod", "none")); /* it cannot tell */
    build(&f, 300);
    check_none_is_lost(&f);
    CHECK(has(&f, "__name__", "none") && !has(&f, "job", "none") && has(&f, "pod", "none"));
    CHECK(!has(&f, "other", "v1"));
    build(&f, 40);
    CHECK_INT(f.file.len, 0);
    teardown(&f);
}

TEST(block_summary_is_the_same_whatever_the_order_of_the_pairs)
{
    struct fixture f;
    struct buf first;
    struct rng rng;

    setup(&f);
    add_name(&f, "__name__", 300);
    add_name(&f, "a", 300);
    add_name(&f, "b", 300);
    build(&f, 1000);
    first = f.file;
    f.file = (struct buf){0};
    rng_seed(&rng, 3);
    for (size_t i = f.pairs.len - 1; i > 0; i--) {
        size_t k = rng_below(&rng, i + 1);
        struct block_summary_pair p = f.pairs.ptr[i];

        f.pairs.ptr[i] = f.pairs.ptr[k];
        f.pairs.ptr[k] = p;
    }
    for (size_t i = 0; i < f.pairs.len; i++) /* nor what numbers the names have */
        f.pairs.ptr[i].name_id = 2 - f.pairs.ptr[i].name_id;
    build(&f, 1000);
    CHECK(slice_eq(buf_slice(&f.file), buf_slice(&first)));
    buf_done(&first);
    teardown(&f);
}

TEST(block_summary_that_is_broken_anywhere_is_refused)
{
    struct fixture f;
    struct block_summary s;

    setup(&f);
    add_name(&f, "__name__", 30);
    build(&f, 1000);
    for (size_t i = 0; i < f.file.len; i++) {
        f.file.ptr[i] ^= 1;
        CHECK_ERR(block_summary_open(buf_slice(&f.file), fixture_ulid(1), &s), ERR_CORRUPT,
                  "summary");
        f.file.ptr[i] ^= 1;
        CHECK_ERR(block_summary_open(slice_sub(buf_slice(&f.file), 0, i), fixture_ulid(1), &s),
                  ERR_CORRUPT, "summary");
    }
    CHECK_OK(block_summary_open(buf_slice(&f.file), fixture_ulid(1), &s));
    buf_byte(&f.file, 0);
    CHECK_ERR(block_summary_open(buf_slice(&f.file), fixture_ulid(1), &s), ERR_CORRUPT, "summary");
    teardown(&f);
}

/* Its checksum is right, and its pairs are another's: it says of what is there that it is not. */
TEST(block_summary_of_another_block_is_refused_and_one_that_does_not_say_is_not_gone_by)
{
    struct fixture f;
    struct block_summary s;
    struct buf old = {0};

    setup(&f);
    add_name(&f, "__name__", 30);
    build(&f, 1000);
    CHECK_ERR(block_summary_open(buf_slice(&f.file), fixture_ulid(2), &s), ERR_CORRUPT,
              "it is of block 0");
    buf_str(&old, "ORRSUM");
    buf_append(&old, "\0\1", 2);
    buf_slice_append(&old, slice_sub(buf_slice(&f.file), 24, f.file.len - 28));
    buf_u32le(&old, hash_crc32c(buf_slice(&old)));
    CHECK_ERR(block_summary_open(buf_slice(&old), fixture_ulid(1), &s), ERR_UNSUPPORTED,
              "version 1");
    buf_done(&old);
    teardown(&f);
}

/* One matcher, "name op value". */
static bool may_match(struct fixture *f, const char *external, enum matcher_op op, const char *name,
                      const char *value)
{
    struct labels ls = labels_from(f->a, external);
    struct matcher m;
    bool ret;

    CHECK_OK(matcher_init(f->a, op, slice_cstr(name), slice_cstr(value), &m));
    ret = block_skip_labels_may_match(ls, (struct matchers){&m, 1}) &&
          block_summary_may_match(&f->s, ls, (struct matchers){&m, 1});
    matcher_done(&m);
    return ret;
}

TEST(block_summary_answers_matchers_that_need_a_value_and_no_others)
{
    struct fixture f;

    setup(&f);
    add_name(&f, "__name__", 10);
    add_name(&f, "job", 10);
    build(&f, 1000);
    CHECK(may_match(&f, "", MATCHER_EQ, "job", "v3"));
    CHECK(!may_match(&f, "", MATCHER_EQ, "job", "v10"));
    CHECK(may_match(&f, "", MATCHER_EQ, "job", "") && may_match(&f, "", MATCHER_EQ, "none", ""));
    CHECK(!may_match(&f, "", MATCHER_EQ, "none", "v3"));
    CHECK(may_match(&f, "", MATCHER_RE, "job", "x|v3|y"));
    CHECK(!may_match(&f, "", MATCHER_RE, "job", "x|y|z"));
    CHECK(may_match(&f, "", MATCHER_RE, "job", "x|y|"));
    CHECK(may_match(&f, "", MATCHER_RE, "job", "x.*") &&
          may_match(&f, "", MATCHER_RE, "job", ".+"));
    CHECK(!may_match(&f, "", MATCHER_RE, "none", ".+") &&
          may_match(&f, "", MATCHER_RE, "none", ".*"));
    CHECK(may_match(&f, "", MATCHER_NE, "job", "v3") &&
          may_match(&f, "", MATCHER_NE, "none", "v3"));
    CHECK(!may_match(&f, "", MATCHER_NE, "none", "") && may_match(&f, "", MATCHER_NE, "job", ""));
    CHECK(may_match(&f, "", MATCHER_NRE, "job", "v.*") &&
          may_match(&f, "", MATCHER_NRE, "none", "a|b"));
    /* The external label replaces the series' own. */
    CHECK(may_match(&f, "job=e", MATCHER_EQ, "job", "e"));
    CHECK(!may_match(&f, "job=e", MATCHER_EQ, "job", "v3"));
    CHECK(!may_match(&f, "job=e", MATCHER_EQ, "job", ""));
    CHECK(may_match(&f, "zone=e", MATCHER_RE, "zone", "d|e") &&
          !may_match(&f, "zone=e", MATCHER_NRE, "zone", "d|e"));
    CHECK(!may_match(&f, "zone=e", MATCHER_EQ, "job", "none"));
    /* One without a value is none. */
    CHECK(may_match(&f, "job=", MATCHER_EQ, "job", "v3") &&
          !may_match(&f, "job=", MATCHER_EQ, "job", "x"));
    teardown(&f);
}

/* ---- as a file of a block ---- */

static void write_block(struct arena *a, bool has_summary, struct block_meta *ret)
{
    struct block_writer_opts o = {.dir = tmp_path(""), .no_sync = true, .has_summary = has_summary};
    struct block_writer *w;

    o.meta.ulid = fixture_ulid(has_summary);
    o.meta.level = 1;
    CHECK_OK(block_writer_open(&o, &w));
    for (unsigned i = 0; i < 400; i++) {
        struct chunk c = floats(a, FIXTURE_T0, 15000, 480, i);
        const char *labels = arena_printf(a, "__name__=m%02u,pod=p%03u", i / 10, i);

        CHECK_OK(block_writer_add(
            w,
            &(struct block_series){.labels = labels_from(a, labels), .chunks = &c, .n_chunks = 1}));
    }
    finish_writer(w, a, ret);
}

TEST(block_summary_is_a_sidecar_whose_length_the_catalogue_tells)
{
    struct arena *a = arena_new(0);
    struct block_meta with, without;
    struct catalogue *c = catalogue_new(SLICE("metrics"), SLICE("t")), *again;
    struct catalogue_block b;
    struct block_summary s;
    struct buf bytes = {0}, json = {0};
    char *path = mem_printf("%s/" BLOCK_SUMMARY_FILE, block_path(1));

    write_block(a, false, &without);
    CHECK_INT(catalogue_block_of_meta(&without).summary_bytes, 0);
    write_block(a, true, &with);
    CHECK_INT(with.n_sidecars, 1);
    CHECK_SLICE(with.sidecars[0], BLOCK_SUMMARY_FILE);
    CHECK_OK(fsx_read(path, BLOCK_SUMMARY_MAX_BYTES, &bytes));
    CHECK_OK(block_summary_open(buf_slice(&bytes), fixture_ulid(1), &s));
    for (unsigned i = 0; i < 400; i++)
        CHECK(block_summary_has_pair(&s, SLICE("pod"), slice_cstr(arena_printf(a, "p%03u", i))) &&
              block_summary_has_pair(&s, SLICE("__name__"),
                                     slice_cstr(arena_printf(a, "m%02u", i / 10))));
    CHECK(!block_summary_has_name(&s, SLICE("job")));
    b = catalogue_block_of_meta(&with);
    CHECK_INT(b.summary_bytes, bytes.len);
    CHECK_INT(b.bytes - catalogue_block_of_meta(&without).bytes, bytes.len);
    CHECK(bytes.len <= ORR_MAX(b.bytes / BLOCK_SUMMARY_PART, BLOCK_SUMMARY_MIN_BYTES));
    catalogue_add(c, &b);
    catalogue_write(&json, c);
    CHECK_OK(catalogue_parse(buf_slice(&json), &again));
    CHECK_INT(catalogue_find(again, b.ulid)->summary_bytes, bytes.len);
    catalogue_free(c);
    catalogue_free(again);
    buf_done(&bytes);
    buf_done(&json);
    mem_free(path);
    arena_free(a);
}
