#include "ingester/door/fp_cache.h"
#include "tests/unit/test.h"

static struct hash128 fp(uint64_t i)
{
    return hash_xxh128(slice_of(&i, sizeof(i)), 1);
}

TEST(fp_cache_has_what_was_added_and_nothing_else)
{
    struct fp_cache c;

    fp_cache_init(&c, 16 << 20);
    CHECK(!fp_cache_has(&c, fp(1)));
    CHECK_INT(fp_cache_bytes(&c), 0);
    for (uint64_t i = 0; i < 50000; i++)
        fp_cache_add(&c, fp(i));
    fp_cache_add(&c, fp(7));
    CHECK_INT(c.n, 50000);
    for (uint64_t i = 0; i < 50000; i++)
        CHECK(fp_cache_has(&c, fp(i)));
    for (uint64_t i = 50000; i < 100000; i++)
        CHECK(!fp_cache_has(&c, fp(i)));
    fp_cache_clear(&c);
    CHECK(!fp_cache_has(&c, fp(7)));
    fp_cache_add(&c, fp(7));
    CHECK(fp_cache_has(&c, fp(7)));
    fp_cache_done(&c);
}

TEST(fp_cache_keeps_its_bound_and_takes_newcomers)
{
    struct fp_cache c;
    size_t kept = 0;

    fp_cache_init(&c, 64 << 10); /* 4096 slots */
    for (uint64_t i = 0; i < 20000; i++) {
        fp_cache_add(&c, fp(i));
        CHECK(fp_cache_has(&c, fp(i)));
    }
    CHECK_INT(fp_cache_bytes(&c), 64 << 10);
    CHECK(c.evictions > 0);
    for (uint64_t i = 0; i < 20000; i++)
        kept += fp_cache_has(&c, fp(i));
    CHECK(kept > 2000 && kept <= 4096);
    fp_cache_done(&c);
}

TEST(fp_cache_never_has_the_empty_fingerprint)
{
    struct fp_cache c;

    fp_cache_init(&c, 0);
    fp_cache_add(&c, (struct hash128){0, 0});
    CHECK(!fp_cache_has(&c, (struct hash128){0, 0}));
    fp_cache_done(&c);
}

/* Fingerprints made to collide cost a bounded number of steps. */
TEST(fp_cache_bears_collisions)
{
    struct fp_cache c;

    fp_cache_init(&c, 1 << 20);
    for (uint64_t i = 1; i < 1000; i++)
        fp_cache_add(&c, (struct hash128){5, i});
    CHECK(fp_cache_has(&c, (struct hash128){5, 999}));
    CHECK(!fp_cache_has(&c, (struct hash128){5, 1000}));
    fp_cache_done(&c);
}
