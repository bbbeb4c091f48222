#include "common/base/buf.h"
#include "common/base/rng.h"
#include "querier/logs/logcut.h"
#include "tests/unit/test.h"

#define MINUTE (60 * 1000000000ll)
#define HOUR (60 * MINUTE)
#define MB (1u << 20)

/* "from-to" in minutes, and behind ":" the first byte of the fingerprints if it is not all of them. */
static void check_cut(struct logstretch plan, const struct logstretch_block *blocks, size_t n,
                      const char *want)
{
    struct arena *a = arena_new(0);
    struct buf out = {0};
    size_t found;
    struct logsource_piece *p = logcut(a, plan, blocks, n, 2, 0, &found);

    for (size_t i = 0; i < found; i++) {
        buf_printf(&out, "%lld-%lld", (long long)(p[i].from_ns / MINUTE),
                   (long long)(p[i].to_ns / MINUTE));
        if (p[i].fp_first || p[i].fp_last != UINT64_MAX)
            buf_printf(&out, ":%02x", (unsigned)(p[i].fp_first >> 56));
        buf_byte(&out, ' ');
    }
    CHECK_SLICE(buf_slice(&out), want);
    buf_done(&out);
    arena_free(a);
}

TEST(logcut_small_stretches_are_pieces_as_they_are)
{
    const struct logstretch_block two[] = {{0, 2 * HOUR, MB, 3}, {2 * HOUR, 4 * HOUR, MB, 3}};
    struct arena *a = arena_new(0);

    check_cut(logstretch_plan(a, 0, 4 * HOUR, true, false, two, 2), two, 2, "0-120 120-240 ");
    check_cut(logstretch_plan(a, 0, 4 * HOUR, false, true, two, 2), two, 2,
              "230-240 190-230 120-190 0-120 ");
    check_cut(logstretch_plan(a, 5, 5, true, false, two, 2), two, 2, "");
    arena_free(a);
}

TEST(logcut_few_streams_are_cut_by_time_many_by_fingerprint)
{
    struct logstretch_block day = {0, 24 * HOUR, 16 * MB, 2};
    struct arena *a = arena_new(0);

    check_cut(logstretch_plan(a, 0, 24 * HOUR, true, false, &day, 1), &day, 1,
              "0-360 360-720 720-1080 1080-1440 ");
    check_cut(logstretch_plan(a, 0, 24 * HOUR, false, false, &day, 1), &day, 1,
              "1080-1440 720-1080 360-720 0-360 ");
    /* half of the time is half of the bytes */
    check_cut(logstretch_plan(a, 0, 12 * HOUR, true, false, &day, 1), &day, 1, "0-360 360-720 ");
    day.streams =
        8; /* a cut by time would go through a page of each, which is a good part of all */
    check_cut(logstretch_plan(a, 0, 24 * HOUR, true, false, &day, 1), &day, 1,
              "0-1440:00 0-1440:40 0-1440:80 0-1440:c0 ");
    day.streams = 1000;
    check_cut(logstretch_plan(a, 0, 24 * HOUR, false, false, &day, 1), &day, 1,
              "0-1440:00 0-1440:40 0-1440:80 0-1440:c0 ");
    arena_free(a);
}

/* Each moment and fingerprint is in one piece. */
TEST(logcut_pieces_are_the_range)
{
    struct rng r;

    rng_seed(&r, 3);
    for (int round = 0; round < 300; round++) {
        int64_t from = (int64_t)rng_below(&r, 50) * HOUR, to = from + (int64_t)rng_below(&r, 900);
        struct arena *a = arena_new(0);
        struct logstretch_block b[4];
        struct logsource_piece *p;
        size_t n, hits = 0;
        int64_t t;
        uint64_t fp = rng_u64(&r);

        to += rng_chance(&r, 0.9) ? (int64_t)rng_below(&r, 40) * HOUR : 0;
        for (size_t i = 0; i < ORR_COUNT(b); i++) {
            b[i].min_ns = (int64_t)rng_below(&r, 90) * HOUR;
            b[i].max_ns = b[i].min_ns + 1 + (int64_t)rng_below(&r, 9) * HOUR;
            b[i].bytes = rng_below(&r, 100) * MB;
            b[i].streams = rng_below(&r, 3) ? rng_below(&r, 20) : 10000;
        }
        p = logcut(
            a,
            logstretch_plan(a, from, to, rng_chance(&r, 0.5), rng_chance(&r, 0.5), b, ORR_COUNT(b)),
            b, ORR_COUNT(b), 1 + (unsigned)rng_below(&r, 5), 0, &n);
        t = from + (to > from ? (int64_t)(rng_u64(&r) % (uint64_t)(to - from)) : 0);
        for (size_t i = 0; i < n; i++)
            hits +=
                p[i].from_ns <= t && t < p[i].to_ns && p[i].fp_first <= fp && fp <= p[i].fp_last;
        CHECK_INT(hits, from < to);
        arena_free(a);
    }
}
