/* Answers that wait to be taken: what they hold together, whoever asks for how many at the same time. */
#include "tests/unit/querier/logs/piece_fixture.h"

#define ASKERS 6

/* Of all windows, as the first that owns blocks of them is asked. */
static void question_of(const struct town *t, struct buf *out)
{
    struct logpiece_wire_what what = {.q = query_of("{app=~\".+\"}", true, 100000),
                                      .at = {T0, T0 + 24 * HOUR, 0, UINT64_MAX}};
    struct logpiece_wire_ask ask = {0};
    struct buf b = {0};

    (void)t;
    logpiece_wire_what_encode(&b, &what);
    ask.what = buf_slice(&b);
    logpiece_wire_ask_encode(out, &ask);
    buf_done(&b);
}

/* Who asks and takes nothing but the first frame, which says that the question is there. */
static struct fanout *ask_and_wait(struct town *t, struct slice question)
{
    struct fanout *f =
        fanout_start(&(struct fanout_opts){.pool = t->rig.peers.pool,
                                           .loop = t->rig.peers.loop,
                                           .ring = t->ring,
                                           .set = fanout_set_of_one(1),
                                           .method = "querier.log_piece",
                                           .tenant = TENANT,
                                           .payload = question,
                                           .deadline_mono_ms = clock_mono_ms(&clock_system) + 60000,
                                           .credits = 1});
    struct slice bytes;

    CHECK_OK(fanout_wait(f));
    CHECK(fanout_frame(f, 0, &bytes));
    CHECK(bytes.len == 1 && bytes.ptr[0] == LOGPIECE_WIRE_BEGUN);
    return f;
}

static struct logpiece_serve_stats stats_of(struct town *t)
{
    struct logpiece_serve_stats st;

    logpiece_serve_stats_get(t->others[0].serve, &st);
    return st;
}

/* To its end. *ret_bytes: of what was made. */
static struct err *take_all(struct fanout *f, size_t *ret_bytes)
{
    struct slice bytes;
    struct err *e = NULL;

    *ret_bytes = 0;
    while (!e && fanout_frame(f, 0, &bytes)) {
        if (bytes.ptr[0] == LOGPIECE_WIRE_MADE)
            *ret_bytes += bytes.len - 1;
        fanout_pop(f, 0);
        e = fanout_wait(f);
    }
    return e;
}

static void town_of(struct town *t, uint64_t max_held_bytes)
{
    struct line recent[200];
    size_t n;

    town_up_with(t, &(struct town_opts){.max_held_bytes = max_held_bytes});
    n = fill(t, recent, ORR_COUNT(recent));
    for (size_t i = 0; i < t->rig.peers.n; i++)
        tell(&t->rig, &t->rig.peers.p[i], recent, n, true);
}

/* What one answer holds while it waits. */
static uint64_t bytes_of_one(void)
{
    struct town t;
    struct buf b = {0};
    struct fanout *f;
    uint64_t held;
    size_t bytes;

    town_of(&t, 0);
    question_of(&t, &b);
    f = ask_and_wait(&t, buf_slice(&b));
    while (!(held = stats_of(&t).held_bytes))
        sched_yield();
    CHECK_OK(take_all(f, &bytes));
    CHECK(bytes > 1000 && bytes <= held);
    fanout_close(f);
    while (stats_of(&t).running) /* the end was sent, and the answer is freed behind it */
        sched_yield();
    CHECK_INT(stats_of(&t).held_bytes, 0);
    buf_done(&b);
    town_down(&t);
    return held;
}

TEST(logpiece_serve_answers_that_wait_hold_no_more_than_they_may)
{
    uint64_t one = bytes_of_one(), most = 2 * one + one / 2;
    struct fanout *f[ASKERS];
    unsigned well = 0;
    struct town t;
    struct buf b = {0};

    town_of(&t, most);
    question_of(&t, &b);
    for (size_t i = 0; i < ASKERS; i++) /* two that wait leave room, so all are taken */
        f[i] = ask_and_wait(&t, buf_slice(&b));
    while (stats_of(&t).failed < ASKERS - 2) {
        CHECK(stats_of(&t).held_bytes <= most);
        sched_yield();
    }
    while (stats_of(&t).held_bytes < 2 * one)
        sched_yield();
    CHECK_INT(stats_of(&t).held_bytes, 2 * one);
    for (size_t i = 0; i < ASKERS; i++) {
        size_t bytes;
        struct err *e = take_all(f[i], &bytes);

        if (!e) {
            well++;
            CHECK(bytes > 1000);
        } else {
            CHECK(err_is(e, ERR_UNAVAILABLE));
            CHECK(strstr(err_msg(e), "too many bytes wait to be taken by other queriers"));
            CHECK_INT(bytes, 0);
        }
        err_free(e);
        fanout_close(f[i]);
    }
    CHECK_INT(well, 2);
    while (stats_of(&t).running)
        sched_yield();
    CHECK_INT(stats_of(&t).held_bytes, 0);
    buf_done(&b);
    town_down(&t);
}

/* Where there is no room for any the asker reads all by itself. */
TEST(logpiece_serve_what_finds_no_room_is_read_by_who_asks)
{
    struct town t;

    town_up_with(&t, &(struct town_opts){.max_held_bytes = 1});
    CHECK_INT(check_questions(&t), 0);
    CHECK(asker_stats(&t).returned > 0);
    CHECK(stats_of(&t).failed > 0);
    CHECK_INT(stats_of(&t).held_bytes, 0);
    town_down(&t);
}
