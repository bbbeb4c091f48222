#include <pthread.h>

#include "common/base/clock.h"
#include "querier/plan/flight.h"
#include "tests/unit/test.h"

struct passenger {
    struct flights *fs;
    pthread_t thread;
    int64_t timeout_ms;
    atomic_bool cancel;
    struct err *err;
    struct buf bytes;
    bool was_pilot;
};

static void write_answer(struct buf *out, void *arg)
{
    atomic_int *written = arg;

    atomic_fetch_add(written, 1);
    buf_str(out, "answer");
}

static void *fly(void *arg)
{
    struct passenger *p = arg;
    struct flight *f;

    p->err = flight_board(p->fs, SLICE("key"), clock_mono_ms(&clock_system) + p->timeout_ms,
                          &p->cancel, &f, &p->bytes);
    p->was_pilot = f != NULL;
    if (f) {
        atomic_int written = 0;

        flight_land(f, NULL, write_answer, &written);
    }
    return NULL;
}

#define PASSENGERS 8

static void board_all(struct passenger *ps, struct flights *fs)
{
    for (size_t i = 0; i < PASSENGERS; i++) {
        ps[i] = (struct passenger){.fs = fs, .timeout_ms = 60000};
        CHECK_INT(pthread_create(&ps[i].thread, NULL, fly, &ps[i]), 0);
    }
    while (flights_passengers(fs) < PASSENGERS)
        (void)sched_yield();
}

static void take_pilot(struct flights *fs, const char *key, struct flight **ret)
{
    struct buf bytes = {0};

    CHECK_OK(flight_board(fs, slice_cstr(key), 0, NULL, ret, &bytes));
    CHECK(*ret);
    CHECK_INT(bytes.len, 0);
}

TEST(flight_carries_one_answer_to_all)
{
    struct flights *fs = flights_new();
    struct passenger ps[PASSENGERS];
    struct flight *f, *other;
    atomic_int written = 0;

    take_pilot(fs, "key", &f);
    take_pilot(fs, "another", &other);
    board_all(ps, fs);
    flight_land(other, NULL, write_answer, &written);
    CHECK_INT(written, 0); /* nobody waits for that one */
    flight_land(f, NULL, write_answer, &written);
    for (size_t i = 0; i < PASSENGERS; i++) {
        CHECK_INT(pthread_join(ps[i].thread, NULL), 0);
        CHECK_OK(ps[i].err);
        CHECK(!ps[i].was_pilot);
        CHECK_SLICE(buf_slice(&ps[i].bytes), "answer");
        buf_done(&ps[i].bytes);
    }
    CHECK_INT(written, 1);
    take_pilot(fs, "key", &f); /* what has landed is over */
    flight_land(f, NULL, write_answer, &written);
    CHECK_INT(written, 1);
    flights_free(fs);
}

TEST(flight_carries_one_error_to_all)
{
    struct flights *fs = flights_new();
    struct passenger ps[PASSENGERS];
    struct err *e = err_new(ERR_LIMIT, "too many");
    struct flight *f;

    take_pilot(fs, "key", &f);
    board_all(ps, fs);
    flight_land(f, e, write_answer, NULL);
    err_free(e);
    for (size_t i = 0; i < PASSENGERS; i++) {
        CHECK_INT(pthread_join(ps[i].thread, NULL), 0);
        CHECK_ERR(ps[i].err, ERR_LIMIT, "too many");
    }
    flights_free(fs);
}

/* The pilot's client has gone, or its time is over: one of the passengers flies on. */
static void lose_the_pilot(enum err_code code)
{
    struct flights *fs = flights_new();
    struct passenger ps[PASSENGERS];
    struct err *e = err_new(code, "gone");
    struct flight *f;
    size_t pilots = 0;

    take_pilot(fs, "key", &f);
    board_all(ps, fs);
    flight_land(f, e, write_answer, NULL);
    err_free(e);
    for (size_t i = 0; i < PASSENGERS; i++) {
        CHECK_INT(pthread_join(ps[i].thread, NULL), 0);
        CHECK_OK(ps[i].err);
        pilots += ps[i].was_pilot;
        if (!ps[i].was_pilot)
            CHECK_SLICE(buf_slice(&ps[i].bytes), "answer");
        buf_done(&ps[i].bytes);
    }
    CHECK(pilots >= 1);
    flights_free(fs);
}

TEST(flight_goes_on_without_its_pilot)
{
    lose_the_pilot(ERR_CANCELED);
    lose_the_pilot(ERR_TIMEOUT);
}

TEST(flight_lets_a_passenger_leave)
{
    struct flights *fs = flights_new();
    struct passenger gone = {.fs = fs, .timeout_ms = 60000}, late = {.fs = fs, .timeout_ms = 1};
    atomic_int written = 0;
    struct flight *f;

    take_pilot(fs, "key", &f);
    atomic_store(&gone.cancel, true);
    (void)fly(&gone);
    CHECK_ERR(gone.err, ERR_CANCELED, "canceled");
    (void)fly(&late);
    CHECK_ERR(late.err, ERR_TIMEOUT, "timed out while an equal one");
    flight_land(f, NULL, write_answer, &written);
    CHECK_INT(written, 0);
    flights_free(fs);
}
