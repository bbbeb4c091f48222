#include "querier/plan/answer_cache.h"
#include "tests/unit/test.h"

static struct answer_piece piece_of(const char *bytes)
{
    return (struct answer_piece){
        .first_ms = 1, .last_ms = 2, .version = 3, .bytes = slice_cstr(bytes)};
}

static void put(struct answer_cache *c, const char *key, const char *bytes)
{
    struct answer_piece p = piece_of(bytes);

    answer_cache_put(c, slice_cstr(key), &p);
}

static bool has(struct answer_cache *c, const char *key, uint64_t version)
{
    const struct answer_piece *p = answer_cache_get(c, slice_cstr(key), version);

    answer_cache_release(p);
    return p != NULL;
}

TEST(answer_cache_gives_what_was_put_until_it_is_old_or_another_version)
{
    const struct answer_piece *p;
    struct answer_cache *c;
    struct clock_fake clock;

    clock_fake_init(&clock, 0);
    c = answer_cache_new(1 << 20, 1000, &clock.clock);
    CHECK(!has(c, "a", 3));
    put(c, "a", "one");
    put(c, "a", "two");
    p = answer_cache_get(c, SLICE("a"), 3);
    CHECK(p);
    CHECK_SLICE(p->bytes, "two");
    CHECK_INT(p->first_ms, 1);
    CHECK_INT(p->last_ms, 2);
    CHECK(!has(c, "a", 4)); /* and gone */
    CHECK(!has(c, "a", 3));
    CHECK_SLICE(p->bytes, "two"); /* but not for who holds it */
    answer_cache_release(p);
    put(c, "a", "three");
    clock_fake_advance(&clock, 1000 * NS_PER_MS);
    CHECK(has(c, "a", 3));
    clock_fake_advance(&clock, NS_PER_MS);
    CHECK(!has(c, "a", 3));
    answer_cache_free(c);
}

TEST(answer_cache_drops_what_was_not_used_for_longest)
{
    struct answer_cache_stats s;
    struct answer_cache *c = answer_cache_new(10000, 1000, &clock_system);
    char key[16], text[1001];

    memset(text, 'x', 1000);
    text[1000] = 0;
    put(c, "first", text);
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "%d", i);
        put(c, key, text);
        CHECK(has(c, "first", 3)); /* in use all the time */
        CHECK(has(c, key, 3));
        answer_cache_stats_get(c, &s);
        CHECK(s.bytes <= 10000);
        CHECK(s.bytes >= s.pieces * 1000);
    }
    CHECK(!has(c, "0", 3));
    CHECK_INT(s.puts, 51);
    CHECK_INT(s.evictions, 51 - s.pieces);
    answer_cache_free(c);
}

TEST(answer_cache_refuses_what_would_push_out_too_much)
{
    struct answer_cache *c = answer_cache_new(4000, 1000, &clock_system);
    struct answer_cache_stats s;
    char text[501];

    memset(text, 'x', 500);
    text[500] = 0;
    put(c, "a", "small");
    put(c, "a", text);
    CHECK(!has(c, "a", 3)); /* nor what it was to take the place of */
    answer_cache_stats_get(c, &s);
    CHECK_INT(s.refused, 1);
    CHECK_INT(s.bytes, 0);
    CHECK_INT(s.pieces, 0);
    answer_cache_free(c);
}

TEST(answer_cache_counts_what_was_too_large_to_be_written)
{
    struct answer_cache *c = answer_cache_new(4000, 1000, &clock_system);
    struct answer_cache_stats s;

    CHECK_INT(answer_cache_max_bytes(c), 500);
    put(c, "a", "small");
    answer_cache_refuse(c, SLICE("a"));
    answer_cache_refuse(c, SLICE("b"));
    CHECK(!has(c, "a", 3));
    answer_cache_stats_get(c, &s);
    CHECK_INT(s.refused, 2);
    CHECK_INT(s.bytes, 0);
    answer_cache_free(c);
}
