#include "common/base/rng.h"
#include "common/block/start_runs.h"
#include "tests/unit/test.h"

#define SPAN 60

static void add_runs(struct start_set *s, const struct start_run *runs, size_t n)
{
    struct buf b = {0};

    start_runs_encode(&b, runs, n);
    CHECK_OK(start_set_add(s, buf_slice(&b)));
    buf_done(&b);
}

TEST(start_runs_come_back_without_those_that_say_nothing)
{
    static const struct start_run in[] = {{-100, -100, -160000},
                                          {-50, 20, 0},
                                          {30, 5000, 29},
                                          {5001, 5001, 5000},
                                          {INT64_MAX - 1, INT64_MAX, INT64_MIN}};
    struct start_set s = {0};

    add_runs(&s, in, ORR_COUNT(in));
    CHECK_INT(s.runs.len, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct start_run *want = &in[i + (i > 0)];

        CHECK_INT(s.runs.ptr[i].from_ms, want->from_ms);
        CHECK_INT(s.runs.ptr[i].to_ms, want->to_ms);
        CHECK_INT(s.runs.ptr[i].st_ms, want->st_ms);
    }
    start_set_done(&s);
}

TEST(start_runs_of_deltas_take_four_bytes_each)
{
    struct start_run runs[100];
    struct buf one = {0}, all = {0};

    for (int i = 0; i < 100; i++)
        runs[i] = (struct start_run){1700000000000 + i * 15000, 1700000000000 + i * 15000,
                                     1700000000000 + (i - 1) * 15000};
    start_runs_encode(&one, runs, 1);
    start_runs_encode(&all, runs, 100);
    CHECK_INT(all.len - one.len, 99 * 4);
    buf_done(&one);
    buf_done(&all);
}

TEST(start_runs_chunk_spans_what_is_known)
{
    struct arena *a = arena_new(0);
    struct chunk c;

    CHECK(start_runs_chunk(
        a, (struct start_run[]){{1, 2, 0}, {3, 4, 1}, {5, 5, 0}, {6, 7, 1}, {8, 9, 0}}, 5, &c));
    CHECK_INT(c.encoding, CHUNK_STARTS);
    CHECK_INT(c.min_t, 3);
    CHECK_INT(c.max_t, 7);
    CHECK(!start_runs_chunk(a, (struct start_run[]){{1, 2, 0}, {3, 4, 0}}, 2, &c));
    CHECK(!start_runs_chunk(a, NULL, 0, &c));
    arena_free(a);
}

TEST(start_set_refuses_what_is_malformed)
{
    static const char *const bad[] = {
        "",                             /* no count */
        "\x02\x02\x00\x02",             /* a count for which there are no bytes */
        "\x01\x02\x00\x01",             /* start 0: from 1, less 1 */
        "\x01\x02\x00\x02\x00",         /* more behind */
        "\x02\x02\x00\x02\x00\x00\x02", /* no gap between two runs */
        "\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x04", /* ends before it begins */
        "\xff\xff\xff\xff\x7f\x02\x00\x02",
    };
    static const size_t lens[] = {0, 4, 4, 5, 7, 13, 8};
    struct start_set s = {0};

    for (size_t i = 0; i < ORR_COUNT(bad); i++)
        CHECK_ERR(start_set_add(&s, slice_of(bad[i], lens[i])), ERR_CORRUPT, "start timestamps");
    start_set_done(&s);
}

/* What is known of each time, as the header says it. */
static void note(int64_t *truth, const struct start_run *r)
{
    for (int64_t t = r->from_ms; t <= r->to_ms; t++)
        if (!truth[t] || r->st_ms > truth[t])
            truth[t] = r->st_ms;
}

TEST(start_set_gives_the_later_known_start_in_any_order)
{
    struct rng rng;

    rng_seed(&rng, 7);
    for (int round = 0; round < 3000; round++) {
        struct start_set s = {0};
        int64_t truth[SPAN] = {0}, t[SPAN], got[SPAN];
        uint32_t n = rng_u32(&rng) % 12, k = 0;
        bool has_any = false;

        for (uint32_t i = 0; i < n; i++) {
            struct start_run r = {.from_ms = rng_u32(&rng) % SPAN};

            r.to_ms = r.from_ms + (int64_t)(rng_u32(&rng) % 20);
            r.to_ms = ORR_MIN(r.to_ms, SPAN - 1);
            r.st_ms = (int64_t)(rng_u32(&rng) % 9) - 4;
            if (!r.st_ms)
                r.st_ms = 9;
            note(truth, &r);
            vec_push(&s.runs, r);
        }
        start_set_flatten(&s);
        for (size_t i = 1; i < s.runs.len; i++)
            CHECK(s.runs.ptr[i].from_ms > s.runs.ptr[i - 1].to_ms);
        for (int64_t i = 0; i < SPAN; i++)
            if (rng_u32(&rng) % 3)
                t[k++] = i;
        for (uint32_t i = 0; i < k; i++)
            has_any |= truth[t[i]] != 0;
        CHECK_INT(start_set_fill(&s, t, k, got), has_any);
        for (uint32_t i = 0; has_any && i < k; i++)
            CHECK_INT(got[i], truth[t[i]]);
        start_set_done(&s);
    }
}

TEST(start_set_clips_and_reaches_the_ends_of_time)
{
    struct start_set s = {0};
    int64_t t[3] = {INT64_MIN, 0, INT64_MAX}, got[3];

    vec_push(&s.runs, ((struct start_run){INT64_MIN, INT64_MAX, 5}));
    vec_push(&s.runs, ((struct start_run){0, INT64_MAX, 7}));
    start_set_flatten(&s);
    CHECK(start_set_fill(&s, t, 3, got));
    CHECK(got[0] == 5 && got[1] == 7 && got[2] == 7);
    start_set_clip(&s, -10, -1);
    CHECK_INT(s.runs.len, 1);
    CHECK(s.runs.ptr[0].from_ms == -10 && s.runs.ptr[0].to_ms == -1);
    CHECK(!start_set_fill(&s, t, 3, got));
    start_set_clip(&s, 5, 6);
    CHECK_INT(s.runs.len, 0);
    start_set_done(&s);
}
