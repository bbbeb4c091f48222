/* arena, map, vec, hash, rng, snapshot, fsx, fault, re. */
#include "common/base/arena.h"
#include "common/base/fsx.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/re.h"
#include "common/base/rng.h"
#include "common/base/snapshot.h"
#include "common/base/vec.h"
#include "tests/unit/test.h"

TEST(arena_serves_past_its_budget_and_remembers)
{
    struct arena *a = arena_new(10000), *child = arena_child(a, 0);

    memset(arena_alloc(a, 6000), 1, 6000);
    CHECK(!arena_over(child));
    memset(arena_alloc(child, 6000), 2, 6000);
    CHECK(arena_over(a) && arena_over(child));
    arena_free(child);
    CHECK_INT(arena_used(a), 6000);
    arena_reset(a);
    CHECK(!arena_over(a) && arena_used(a) == 0);
    arena_free(a);
}

TEST(arena_grow_keeps_content_in_place_or_moved)
{
    struct arena *a = arena_new(0);
    char *p = arena_grow(a, NULL, 0, 10), *q;

    memcpy(p, "abcdefghi", 10);
    q = arena_grow(a, p, 10, 2000);
    CHECK(q == p);
    (void)arena_alloc(a, 1);
    q = arena_grow(a, q, 2000, 3000000);
    CHECK_STR(q, "abcdefghi");
    arena_free(a);
}

TEST(map_agrees_with_a_plain_array_under_random_use)
{
    void *want[512] = {0};
    struct map m = {0};
    struct rng r;
    size_t n = 0;

    rng_seed(&r, 7);
    for (int i = 0; i < 20000; i++) {
        size_t k = rng_below(&r, ORR_COUNT(want));
        char key[16];
        struct slice s;

        snprintf(key, sizeof(key), "key%zu", k);
        s = slice_cstr(key);
        CHECK(map_get(&m, s) == want[k]);
        if (rng_chance(&r, 0.5)) {
            n += want[k] == NULL;
            want[k] = &want[rng_below(&r, ORR_COUNT(want))];
            (void)map_put(&m, s, want[k]);
        } else {
            n -= want[k] != NULL;
            CHECK(map_del(&m, s) == want[k]);
            want[k] = NULL;
        }
        CHECK(m.len == n);
    }
    MAP_FOREACH (e, &m)
        n--;
    CHECK_INT(n, 0);
    map_done(&m);
}

TEST(crc32c_matches_the_published_check_value_in_pieces_too)
{
    CHECK_INT(hash_crc32c(SLICE("123456789")), 0xe3069283u);
    CHECK_INT(hash_crc32c_more(hash_crc32c(SLICE("1234")), SLICE("56789")), 0xe3069283u);
}

/* The definition, bit by bit. */
static uint32_t crc32c_of_bits(const uint8_t *p, size_t n)
{
    uint32_t c = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = c & 1 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
    }
    return ~c;
}

TEST(crc32c_is_the_definition_at_every_length_and_offset)
{
    static const size_t around[] = {384, 768, 6144, 12288, 65536};
    uint8_t *p = mem_alloc(70000);
    struct rng rng;

    rng_seed(&rng, 1);
    for (size_t i = 0; i < 70000; i++)
        p[i] = (uint8_t)rng_u32(&rng);
    for (size_t n = 0; n < 800; n++)
        CHECK_INT(hash_crc32c(slice_of(p + n % 9, n)), crc32c_of_bits(p + n % 9, n));
    for (size_t k = 0; k < ORR_COUNT(around); k++)
        for (size_t n = around[k] - 9; n < around[k] + 9; n++) {
            CHECK_INT(hash_crc32c(slice_of(p + k, n)), crc32c_of_bits(p + k, n));
            CHECK_INT(hash_crc32c_more(hash_crc32c(slice_of(p, n)), slice_of(p + n, 1000)),
                      crc32c_of_bits(p, n + 1000));
        }
    mem_free(p);
}

TEST(xxh64_classic_matches_its_published_value)
{
    CHECK(hash_xxh64_classic(SLICE("")) == 0xef46db3751d8e999ull);
}

TEST(regexes_have_go_semantics)
{
    struct re *re;
    int spans[6];

    CHECK_OK(re_compile(SLICE("a.*|b"), RE_ANCHORED, &re));
    CHECK(re_match(re, SLICE("a\nx")) && re_match(re, SLICE("b")) && !re_match(re, SLICE("bb")));
    re_free(re);
    CHECK_OK(re_compile(SLICE("(?P<x>a)(b)?"), 0, &re));
    CHECK(re_find(re, SLICE("zac"), 0, spans, 6));
    CHECK(spans[0] == 1 && spans[1] == 2 && spans[4] == -1);
    CHECK_INT(re_group_index(re, SLICE("x")), 1);
    re_free(re);
    CHECK_ERR(re_compile(SLICE("a(?=b)"), 0, &re), ERR_INVALID, "error parsing regexp");
}

TEST(atomic_write_leaves_the_old_file_whichever_call_fails)
{
    const char *path = tmp_path("f");
    struct buf b = {0};

    CHECK_OK(fsx_write_atomic(path, SLICE("old")));
    FAULT_SWEEP (n) {
        struct err *e = fsx_write_atomic(path, SLICE("new"));
        struct err *read = fsx_read(path, 100, &b);

        CHECK_OK(read);
        CHECK_SLICE(buf_slice(&b), e ? "old" : "new");
        err_free(e);
    }
    CHECK_ERR(fsx_read(path, 2, &b), ERR_TOO_LARGE, "over 2 bytes");
    CHECK_ERR(fsx_read(tmp_path("none"), 2, &b), ERR_NOT_FOUND, "none");
    buf_done(&b);
}

TEST(directories_are_made_listed_and_removed)
{
    char **names;
    size_t n;

    CHECK_OK(fsx_mkdirs(tmp_path("a/b/c")));
    CHECK_OK(fsx_write_atomic(tmp_path("a/z"), SLICE("")));
    CHECK_OK(fsx_list(tmp_path("a"), &names, &n));
    CHECK(n == 2 && strcmp(names[0], "b") == 0 && strcmp(names[1], "z") == 0);
    fsx_names_free(names, n);
    CHECK_OK(fsx_remove_tree(tmp_path("a")));
    CHECK(!fsx_exists(tmp_path("a")));
    CHECK_OK(fsx_remove_tree(tmp_path("a")));
}

static int freed;

static void count_free(struct snapshot *s)
{
    (void)s;
    freed++;
}

TEST(snapshot_lives_as_long_as_its_readers)
{
    struct snapshot one, two;
    struct snapshot_cell cell;
    struct snapshot *held;

    freed = 0;
    snapshot_init(&one, count_free);
    snapshot_init(&two, count_free);
    snapshot_cell_init(&cell, LOCK_CONF);
    snapshot_cell_set(&cell, &one);
    held = snapshot_cell_get(&cell);
    snapshot_cell_set(&cell, &two);
    CHECK_INT(freed, 0);
    snapshot_unref(held);
    CHECK_INT(freed, 1);
    snapshot_cell_done(&cell);
    CHECK_INT(freed, 2);
}

TEST(rng_repeats_from_its_seed_and_stays_in_range)
{
    struct rng a, b;

    rng_seed(&a, 42);
    rng_seed(&b, 42);
    for (int i = 0; i < 1000; i++) {
        CHECK(rng_below(&a, 10) < 10);
        (void)rng_below(&b, 10);
        CHECK(a.s[0] == b.s[0]);
    }
}
