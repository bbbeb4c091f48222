#include <math.h>

#include "common/base/arena.h"
#include "common/base/rng.h"
#include "common/block/chunk.h"
#include "tests/unit/test.h"

#define N 500

static void fill(struct rng *r, int kind, int64_t *t, double *v, size_t n)
{
    int64_t now = 1700000000000;
    double x = 100;

    for (size_t i = 0; i < n; i++) {
        switch (kind) {
        case 0: /* regular scrape of a counter */
            now += 15000;
            x += (double)rng_below(r, 50);
            break;
        case 1: /* jitter, gauge with odd values */
            now += 14000 + (int64_t)rng_below(r, 2000);
            x = rng_chance(r, 0.1) ? sample_from_bits(SAMPLE_STALE_BITS) : rng_unit(r) * 1e9;
            break;
        case 2: /* any bits, any steps */
            now += 1 + (int64_t)(rng_u64(r) >> (1 + rng_below(r, 60)) >> 12);
            x = sample_from_bits(rng_u64(r) >> rng_below(r, 64));
            break;
        default: /* constant */
            now += 60000;
        }
        t[i] = now;
        v[i] = x;
    }
}

static void check_same(struct slice data, const int64_t *t, const double *v, size_t n)
{
    int64_t t2[N];
    double v2[N];
    size_t n2 = 0;

    CHECK_OK(chunk_xor_decode(data, N, t2, v2, &n2));
    CHECK_INT(n2, n);
    CHECK(memcmp(t, t2, n * sizeof(*t)) == 0);
    CHECK(memcmp(v, v2, n * sizeof(*v)) == 0);
}

TEST(chunk_xor_gives_back_what_went_in)
{
    struct rng r;
    int64_t t[N];
    double v[N];

    rng_seed(&r, 1);
    for (int round = 0; round < 200; round++) {
        size_t n = 1 + rng_below(&r, N);
        struct buf b = {0};

        fill(&r, round % 4, t, v, n);
        chunk_xor_encode(&b, t, v, n);
        check_same(buf_slice(&b), t, v, n);
        buf_done(&b);
    }
}

TEST(chunk_xor_writes_the_bytes_prometheus_writes)
{
    /* 1000 ms, then steps of 100, 100, 350; values 1, 1, 2.5, 2.5. By hand from the format. */
    static const uint8_t want[] = {0, 4, 0xd0, 0x0f, 0x3f, 0xf0, 0,    0,    0,   0,
                                   0, 0, 0x64, 0x30, 0x9b, 0xff, 0xd8, 0x0f, 0xa0};
    static const int64_t t[] = {1000, 1100, 1200, 1550};
    static const double v[] = {1, 1, 2.5, 2.5};
    struct buf b = {0};

    chunk_xor_encode(&b, t, v, 4);
    check_same(buf_slice(&b), t, v, 4);
    CHECK(slice_eq(buf_slice(&b), slice_of(want, sizeof(want))));
    buf_done(&b);
}

TEST(chunk_xor_survives_the_ends_of_time)
{
    static const int64_t t[] = {INT64_MIN, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
    static const double v[] = {0, -0.0, 0x1p-1074, -HUGE_VAL, HUGE_VAL, 1};
    struct buf b = {0};

    chunk_xor_encode(&b, t, v, 6);
    check_same(buf_slice(&b), t, v, 6);
    buf_done(&b);
}

TEST(chunk_xor_appender_resumes_where_the_bytes_end)
{
    struct rng r;
    int64_t t[N];
    double v[N];

    rng_seed(&r, 7);
    for (int round = 0; round < 60; round++) {
        size_t n = 2 + rng_below(&r, N - 2), cut = rng_below(&r, n);
        struct chunk_xor_appender a;
        struct buf whole = {0}, b = {0};

        fill(&r, round % 4, t, v, n);
        chunk_xor_encode(&whole, t, v, n);
        if (cut)
            chunk_xor_encode(&b, t, v, cut);
        CHECK_OK(chunk_xor_resume(buf_slice(&b), &a));
        CHECK_INT(a.n, cut);
        for (size_t i = cut; i < n; i++) {
            buf_reserve(&b, CHUNK_XOR_ROOM);
            chunk_xor_append(&a, b.ptr, t[i], v[i]);
            b.len = chunk_xor_bytes(&a);
        }
        CHECK(slice_eq(buf_slice(&b), buf_slice(&whole)));
        buf_done(&b);
        buf_done(&whole);
    }
}

TEST(chunk_xor_reads_a_prefix_while_more_is_written)
{
    struct chunk_xor_appender a = {0};
    uint8_t *dst = mem_zalloc(8192);
    int64_t t[N], t2[N];
    double v[N], v2[N];
    struct rng r;

    rng_seed(&r, 3);
    fill(&r, 1, t, v, 200);
    for (size_t i = 0; i < 200; i++)
        chunk_xor_append(&a, dst, t[i], v[i]);
    for (size_t n = 0; n <= 200; n++) {
        CHECK_OK(chunk_xor_decode_first(slice_of(dst, chunk_xor_bytes(&a)), n, t2, v2));
        CHECK(memcmp(t, t2, n * 8) == 0 && memcmp(v, v2, n * 8) == 0);
    }
    mem_free(dst);
}

TEST(chunk_xor_refuses_bytes_that_are_cut_short)
{
    struct buf b = {0};
    int64_t t[N];
    double v[N];
    struct rng r;
    size_t n;

    rng_seed(&r, 5);
    fill(&r, 1, t, v, 120);
    chunk_xor_encode(&b, t, v, 120);
    for (size_t len = 0; len < b.len; len++) {
        uint8_t *exact =
            (uint8_t *)mem_dup(b.ptr, len); /* so that a sanitizer sees a read past it */

        CHECK_ERR(chunk_xor_decode(slice_of(exact, len), N, t, v, &n), ERR_CORRUPT, "");
        mem_free(exact);
    }
    CHECK_ERR(chunk_xor_decode(buf_slice(&b), 100, t, v, &n), ERR_LIMIT, "120 samples");
    buf_done(&b);
}

TEST(chunk_decode_checks_the_order_of_times)
{
    static const int64_t t[] = {10, 20, 20};
    static const double v[] = {1, 2, 3};
    struct arena *a = arena_new(0);
    struct chunk_columns c;
    struct buf b = {0};

    chunk_xor_encode(&b, t, v, 3);
    CHECK_ERR(chunk_decode(a, CHUNK_XOR, buf_slice(&b), &c), ERR_CORRUPT, "not after");
    CHECK_ERR(chunk_decode(a, 9, buf_slice(&b), &c), ERR_UNSUPPORTED, "encoding 9");
    b.len = 0;
    chunk_xor_encode(&b, t, v, 2);
    CHECK_OK(chunk_decode(a, CHUNK_XOR, buf_slice(&b), &c));
    CHECK_INT(c.n, 2);
    CHECK(!c.h && c.v[1] == 2);
    buf_done(&b);
    arena_free(a);
}
