#include "querier/logs/logstretch.h"
#include "tests/unit/test.h"

#define HOUR LOGSTRETCH_GRID_NS
#define MINUTE (HOUR / 60)
#define SECOND (MINUTE / 60)

/* The stretches of a plan, in minutes: "from-to ". */
static void check_plan(struct logstretch s, const char *want)
{
    struct buf out = {0};
    int64_t from, to, t;

    while (logstretch_peek(&s, &t)) {
        CHECK(logstretch_next(&s, &from, &to));
        CHECK(t == (s.is_forward ? from : to - 1));
        buf_printf(&out, "%lld-%lld ", (long long)(from / MINUTE), (long long)(to / MINUTE));
    }
    CHECK(!logstretch_next(&s, &from, &to));
    CHECK_SLICE(buf_slice(&out), want);
    buf_done(&out);
}

static const struct logstretch_block some[] = {
    {0 * HOUR + 3, 2 * HOUR - 40 * SECOND, 0, 0},      /* of the first two hours, not to the end */
    {2 * HOUR - 20 * SECOND, 4 * HOUR - SECOND, 0, 0}, /* begins a little before its window */
    {2 * HOUR + SECOND, 4 * HOUR + 5, 0, 0},           /* another of the same */
    {4 * HOUR - 30 * SECOND, 6 * HOUR - 10 * SECOND, 0, 0},
};

TEST(logstretch_cuts_where_blocks_begin_and_end)
{
    struct arena *a = arena_new(0);

    check_plan(logstretch_plan(a, 0, 7 * HOUR, true, false, some, 4),
               "0-120 120-240 240-360 360-420 ");
    check_plan(logstretch_plan(a, 0, 7 * HOUR, false, false, some, 4),
               "360-420 240-360 120-240 0-120 ");
    check_plan(logstretch_plan(a, HOUR, 3 * HOUR, true, false, some, 4), "60-120 120-180 ");
    check_plan(logstretch_plan(a, 0, 7 * HOUR, true, false, NULL, 0), "0-420 ");
    check_plan(logstretch_plan(a, HOUR, HOUR, true, false, some, 4), "");
    check_plan(logstretch_plan(a, HOUR, 0, true, false, some, 4), "");
    arena_free(a);
}

TEST(logstretch_one_old_line_makes_one_cut)
{
    struct logstretch_block blocks[5];
    struct arena *a = arena_new(0);

    memcpy(blocks, some, sizeof(some));
    blocks[4] = (struct logstretch_block){-99 * HOUR, 6 * HOUR, 0, 0};
    check_plan(logstretch_plan(a, -100 * HOUR, 6 * HOUR, false, false, blocks, 5),
               "240-360 120-240 0-120 -5940-0 -6000--5940 ");
    arena_free(a);
}

TEST(logstretch_begins_short_when_the_first_lines_may_do)
{
    struct logstretch_block day = {0, 24 * HOUR, 0, 0};
    struct arena *a = arena_new(0);

    check_plan(logstretch_plan(a, 0, 24 * HOUR, false, true, &day, 1),
               "1430-1440 1390-1430 1230-1390 0-1230 ");
    check_plan(logstretch_plan(a, 0, 24 * HOUR, true, true, &day, 1),
               "0-10 10-50 50-210 210-1440 ");
    /* never over a cut, and nothing is left that is not worth a stretch */
    check_plan(logstretch_plan(a, 0, 7 * HOUR, false, true, some, 4),
               "410-420 360-410 240-360 120-240 0-120 ");
    check_plan(logstretch_plan(a, 0, 20 * MINUTE, false, true, NULL, 0), "0-20 ");
    arena_free(a);
}

TEST(logstretch_all_of_time)
{
    struct logstretch_block far[] = {{INT64_MIN, INT64_MAX, 0, 0},
                                     {INT64_MIN + 1, INT64_MAX - 1, 0, 0},
                                     {INT64_MIN + HOUR, INT64_MAX - HOUR, 0, 0}};
    struct arena *a = arena_new(0);

    for (int i = 0; i < 4; i++) {
        struct logstretch s =
            logstretch_plan(a, INT64_MIN, INT64_MAX, i & 1, i & 2, far, ORR_COUNT(far));
        int64_t from, to, at = i & 1 ? INT64_MIN : INT64_MAX;
        int n = 0;

        while (logstretch_next(&s, &from, &to) && ++n < 1000) {
            CHECK(from < to);
            CHECK(at == (i & 1 ? from : to));
            at = i & 1 ? to : from;
        }
        CHECK(at == (i & 1 ? INT64_MAX : INT64_MIN));
    }
    arena_free(a);
}
