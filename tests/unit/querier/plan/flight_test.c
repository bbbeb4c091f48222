#include <pthread.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "querier/plan/flight.h"
#include "tests/unit/test.h"

#define PASSENGERS 8

/* Who they are that fly, and what they read: a run has the data as of when it begins. */
struct passenger {
    struct flights *fs;
    pthread_t thread;
    int64_t timeout_ms;
    atomic_bool cancel;
    struct err *err;
    struct buf bytes;
    bool was_pilot;
    const atomic_int *data;
    enum err_code fails; /* as a pilot, once it has read; 0: does not */
    atomic_int *runs;
};

struct seen {
    int data;
};

static void write_answer(struct buf *out, void *arg)
{
    const struct seen *s = arg;

    buf_printf(out, "data %d", s->data);
}

static void *fly(void *arg)
{
    struct passenger *p = arg;
    struct arena *a = arena_new(0);
    struct slice bytes = SLICE_EMPTY;
    struct seen seen;
    struct flight *f;

    p->err = flight_board(p->fs, SLICE("key"), clock_mono_ms(&clock_system) + p->timeout_ms,
                          &p->cancel, a, &f, &bytes);
    if (bytes.len)
        buf_slice_append(&p->bytes, bytes);
    arena_free(a);
    p->was_pilot = f != NULL;
    if (!f)
        return NULL;
    atomic_fetch_add(p->runs, 1);
    seen.data = atomic_load(p->data);
    buf_printf(&p->bytes, "data %d", seen.data);
    if (p->fails)
        p->err = err_new(p->fails, "the pilot's");
    flight_land(f, p->err, write_answer, &seen);
    return NULL;
}

static size_t waiting(struct flights *fs)
{
    struct flights_stats s;

    flights_stats_get(fs, &s);
    return s.waiting;
}

static uint64_t carried(struct flights *fs)
{
    struct flights_stats s;

    flights_stats_get(fs, &s);
    return s.carried;
}

static void wait_waiting(struct flights *fs, size_t n)
{
    while (waiting(fs) != n)
        (void)sched_yield();
}

/* Eight that wait, all of them by now. */
static void board_all(struct passenger *ps, struct flights *fs, const atomic_int *data,
                      atomic_int *runs, enum err_code fails)
{
    size_t before = waiting(fs);

    for (size_t i = 0; i < PASSENGERS; i++) {
        ps[i] = (struct passenger){
            .fs = fs, .timeout_ms = 60000, .data = data, .runs = runs, .fails = fails};
        CHECK_INT(pthread_create(&ps[i].thread, NULL, fly, &ps[i]), 0);
    }
    wait_waiting(fs, before + PASSENGERS);
}

static void join_all(struct passenger *ps)
{
    for (size_t i = 0; i < PASSENGERS; i++)
        CHECK_INT(pthread_join(ps[i].thread, NULL), 0);
}

static void take_pilot(struct flights *fs, const char *key, struct flight **ret)
{
    struct arena *a = arena_new(0);
    struct slice bytes = SLICE_EMPTY;

    CHECK_OK(flight_board(fs, slice_cstr(key), 0, NULL, a, ret, &bytes));
    CHECK(*ret);
    CHECK_INT(bytes.len, 0);
    CHECK_INT(arena_used(a), 0);
    arena_free(a);
}

static void never_written(struct buf *out, void *arg)
{
    (void)out;
    (void)arg;
    CHECK(false); /* nobody waits for it */
}

/* The run under way may have read already when a write is acknowledged: it answers none that asked after that. */
TEST(flight_shows_what_was_written_before_one_boarded)
{
    struct flights *fs = flights_new();
    struct passenger ps[PASSENGERS];
    atomic_int data = 1, runs = 0;
    struct flight *f, *other;

    take_pilot(fs, "key", &f); /* and it has read data 1 */
    take_pilot(fs, "another", &other);
    atomic_store(&data, 2);
    board_all(ps, fs, &data, &runs, 0);
    flight_land(other, NULL, never_written, NULL);
    CHECK_INT(atomic_load(&runs), 0); /* one at a time */
    flight_land(f, NULL, never_written, NULL);
    join_all(ps);
    for (size_t i = 0; i < PASSENGERS; i++) {
        CHECK_OK(ps[i].err);
        CHECK_SLICE(buf_slice(&ps[i].bytes), "data 2");
        buf_done(&ps[i].bytes);
    }
    CHECK_INT(atomic_load(&runs), 1); /* for all who came meanwhile */
    CHECK_INT(carried(fs), PASSENGERS - 1);
    take_pilot(fs, "key", &f); /* what has landed is over */
    flight_land(f, NULL, never_written, NULL);
    flights_free(fs);
}

/* Waves: each boards while the run for the one before it is under way. */
TEST(flight_goes_once_for_each_wave)
{
    struct flights *fs = flights_new();
    struct passenger ps[PASSENGERS];
    atomic_int data = 0, runs = 0;
    struct flight *f;

    take_pilot(fs, "key", &f);
    for (int wave = 1; wave <= 3; wave++) {
        struct seen seen = {wave - 1};
        char want[24];

        atomic_store(&data, wave);
        board_all(ps, fs, &data, &runs, 0);
        flight_land(f, NULL, write_answer, &seen);
        join_all(ps);
        (void)snprintf(want, sizeof(want), "data %d", wave);
        for (size_t i = 0; i < PASSENGERS; i++) {
            CHECK_OK(ps[i].err);
            CHECK_SLICE(buf_slice(&ps[i].bytes), want);
            buf_done(&ps[i].bytes);
        }
        CHECK_INT(atomic_load(&runs), wave);
        take_pilot(fs, "key", &f);
    }
    flight_land(f, NULL, never_written, NULL);
    flights_free(fs);
}

TEST(flight_carries_one_error_to_all)
{
    struct flights *fs = flights_new();
    struct passenger ps[PASSENGERS];
    atomic_int data = 1, runs = 0;
    struct err *e = err_new(ERR_LIMIT, "another's");
    struct flight *f;

    take_pilot(fs, "key", &f);
    board_all(ps, fs, &data, &runs, ERR_LIMIT);
    flight_land(f, e, never_written, NULL); /* its own business: nobody waits for that run */
    err_free(e);
    join_all(ps);
    for (size_t i = 0; i < PASSENGERS; i++) {
        CHECK_ERR(ps[i].err, ERR_LIMIT, "the pilot's");
        buf_done(&ps[i].bytes);
    }
    CHECK_INT(atomic_load(&runs), 1);
    flights_free(fs);
}

/* The pilot's client has gone, or its time is over: each that takes its place ends alone, too. */
static void lose_the_pilots(enum err_code code)
{
    struct flights *fs = flights_new();
    struct passenger ps[PASSENGERS];
    atomic_int data = 1, runs = 0;
    struct flight *f;

    take_pilot(fs, "key", &f);
    board_all(ps, fs, &data, &runs, code);
    ps[PASSENGERS / 2].fails = 0;
    flight_land(f, NULL, never_written, NULL);
    join_all(ps);
    for (size_t i = 0; i < PASSENGERS; i++) {
        if (ps[i].was_pilot && i != PASSENGERS / 2) {
            CHECK_ERR(ps[i].err, code, "the pilot's");
        } else {
            CHECK_OK(ps[i].err);
            CHECK_SLICE(buf_slice(&ps[i].bytes), "data 1");
        }
        buf_done(&ps[i].bytes);
    }
    CHECK(ps[PASSENGERS / 2].was_pilot);
    CHECK_INT(atomic_load(&runs) + (int)carried(fs), PASSENGERS);
    take_pilot(fs, "key", &f);
    flight_land(f, NULL, never_written, NULL);
    flights_free(fs);
}

TEST(flight_goes_on_without_its_pilot)
{
    lose_the_pilots(ERR_CANCELED);
    lose_the_pilots(ERR_TIMEOUT);
}

TEST(flight_lets_a_passenger_leave)
{
    struct flights *fs = flights_new();
    struct passenger ps[PASSENGERS];
    atomic_int data = 1, runs = 0;
    struct passenger gone = {.fs = fs, .timeout_ms = 60000}, late = {.fs = fs, .timeout_ms = 1};
    struct flight *f;

    take_pilot(fs, "key", &f);
    atomic_store(&gone.cancel, true);
    (void)fly(&gone); /* the only one of the next flight, which goes with it */
    CHECK_ERR(gone.err, ERR_CANCELED, "canceled");
    (void)fly(&late);
    CHECK_ERR(late.err, ERR_TIMEOUT, "timed out while an equal one");
    board_all(ps, fs, &data, &runs, 0);
    atomic_store(&ps[0].cancel, true);
    CHECK_INT(pthread_join(ps[0].thread, NULL), 0);
    CHECK_ERR(ps[0].err, ERR_CANCELED, "canceled");
    flight_land(f, NULL, never_written, NULL);
    for (size_t i = 1; i < PASSENGERS; i++) {
        CHECK_INT(pthread_join(ps[i].thread, NULL), 0);
        CHECK_OK(ps[i].err);
        CHECK_SLICE(buf_slice(&ps[i].bytes), "data 1");
        buf_done(&ps[i].bytes);
    }
    CHECK_INT(atomic_load(&runs), 1);
    CHECK_INT(waiting(fs), 0);
    flights_free(fs);
}
