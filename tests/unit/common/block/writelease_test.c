#include <stdio.h>

#include "common/base/rng.h"
#include "common/block/writelease.h"
#include "tests/unit/test.h"

#define L 100 /* lease_ms */
#define C 200 /* put_ms */
#define U (12 * L)
#define RENEW (4 * L)
#define H 400 /* the beginning of the last write of held() */
#define R (U + 2 * C + 2 * L)

static struct writelease lease(const char *instance)
{
    return (struct writelease){.instance = instance, .lease_ms = L, .put_ms = C};
}

static struct writelease_step read_at(struct writelease *l, int64_t ms, const char *text)
{
    return writelease_read(l, ms, ms, slice_cstr(text), true, "aa");
}

/* Held from 301 on, by a claim that was written from 0 to 1, and renewed at H. */
static struct writelease held(char text[WRITELEASE_TEXT_BYTES])
{
    struct writelease l = lease("c1");
    struct writelease_step s = read_at(&l, 0, "");

    CHECK_STR(s.text, "held aa 1 by c1\n");
    CHECK_INT(s.until_ms, L);
    writelease_wrote(&l, 1, true);
    CHECK(l.state == WRITELEASE_CLAIMED && !writelease_may_put(&l, 1));
    CHECK_INT(writelease_next_ms(&l, true, 1), 1 + 3 * L);
    (void)snprintf(text, WRITELEASE_TEXT_BYTES, "%s", s.text);
    s = read_at(&l, 1 + 3 * L, text);
    CHECK(l.state == WRITELEASE_HELD && writelease_may_put(&l, 1 + 3 * L) && !s.text[0]);
    s = read_at(&l, H, text);
    CHECK_STR(s.text, "held aa 2 by c1\n");
    CHECK_INT(s.until_ms, H + L);
    (void)snprintf(text, WRITELEASE_TEXT_BYTES, "%s", s.text);
    writelease_wrote(&l, H + 9, true);
    return l;
}

TEST(writelease_is_held_after_a_claim_that_stays)
{
    char text[WRITELEASE_TEXT_BYTES];
    struct writelease l = held(text);
    struct writelease_step s;

    CHECK(writelease_may_put(&l, H + U) && !writelease_may_put(&l, H + 1 + U));
    CHECK_STR(read_at(&l, H + RENEW - 1, text).text, "");
    s = read_at(&l, H + RENEW, text);
    CHECK_STR(s.text, "held aa 3 by c1\n");
    /* may have been done: it does not count, and is soon tried again */
    writelease_wrote(&l, 890, false);
    CHECK(writelease_may_put(&l, H + U) && !writelease_may_put(&l, H + 1 + U));
    CHECK_INT(writelease_next_ms(&l, true, 890), H + RENEW + L / 2);
    s = writelease_read(&l, 900, 900, slice_cstr(s.text), false, "");
    CHECK(s.is_end && !s.is_lost);
    CHECK_STR(s.text, "free aa by c1\n");
    CHECK_INT(s.until_ms, 900 + 4 * L);
    CHECK(l.state == WRITELEASE_IDLE && !writelease_may_put(&l, 900));
}

TEST(writelease_of_another_is_left_until_it_has_run_out_or_is_free)
{
    struct writelease l = lease("c2");

    CHECK_STR(read_at(&l, 0, "held bb 7 by c1\n").text, "");
    CHECK_STR(read_at(&l, R - 1, "held bb 7 by c1\n").text, "");
    CHECK_STR(read_at(&l, R, "held bb 8 by c1\n").text, ""); /* it lives */
    CHECK_STR(read_at(&l, 2 * R - 1, "held bb 8 by c1\n").text, "");
    /* what was read may have been so before the beginning of the read was due */
    CHECK_STR(
        writelease_read(&l, 2 * R - 1, 2 * R + 9, SLICE("held bb 8 by c1\n"), true, "cc").text, "");
    /* the read took too long */
    CHECK_STR(writelease_read(&l, 2 * R, 2 * R + L, SLICE("held bb 8 by c1\n"), true, "cc").text,
              "");
    CHECK_STR(read_at(&l, 2 * R + 101, "held bb 8 by c1\n").text, "held aa 1 by c2\n");
    writelease_wrote(&l, 2 * R + 102, true);
    /* a write of before came late */
    CHECK_STR(read_at(&l, 2 * R + 402, "held bb 9 by c1\n").text, "");
    CHECK(l.state == WRITELEASE_WATCHED);
    CHECK_STR(read_at(&l, 5000, "free bb by c1\n").text, "held aa 1 by c2\n");
}

TEST(writelease_looks_for_a_claim_of_which_it_has_not_heard)
{
    struct writelease l = lease("c2");
    struct writelease_step s = read_at(&l, 0, "");

    writelease_wrote(&l, 100, false); /* may have been done */
    CHECK_STR(read_at(&l, 125, "").text, "");
    CHECK(l.state == WRITELEASE_CLAIMING);
    CHECK_STR(read_at(&l, 2 * L - 1, s.text).text, ""); /* it was */
    CHECK(l.state == WRITELEASE_CLAIMED);
    CHECK_INT(writelease_next_ms(&l, true, 200), 2 * L - 1 + 3 * L);

    /* too late: whoever it was that saw nothing there may have claimed it, and be using it */
    l = lease("c2");
    s = read_at(&l, 0, "");
    writelease_wrote(&l, 100, false);
    CHECK_STR(read_at(&l, 2 * L, s.text).text, "");
    CHECK(l.state == WRITELEASE_WATCHED);
    CHECK_STR(read_at(&l, 2 * L + R - 1, s.text).text, ""); /* then it has to run out */
    CHECK(read_at(&l, 2 * L + R, s.text).text[0]);

    /* unless it was looked at meanwhile, and nobody had */
    l = lease("c2");
    s = read_at(&l, 0, "");
    writelease_wrote(&l, 100, false);
    CHECK_STR(read_at(&l, 150, "").text, "");
    CHECK_STR(read_at(&l, 300, "").text, "");
    CHECK_STR(read_at(&l, 499, s.text).text, "");
    CHECK(l.state == WRITELEASE_CLAIMED);
    /* old by now: renewed at once */
    CHECK_STR(read_at(&l, 499 + 3 * L, s.text).text, "held aa 2 by c2\n");
    CHECK(l.state == WRITELEASE_HELD);
    l = lease("c2");
    s = read_at(&l, 0, "");
    writelease_wrote(&l, 100, false);
    CHECK_STR(read_at(&l, 150, "held bb 1 by c1\n").text, ""); /* somebody has */
    CHECK(l.state == WRITELEASE_WATCHED);

    /* or it was not done after all, and does not stand in the way of the next one */
    l = lease("c2");
    (void)read_at(&l, 0, "");
    writelease_wrote(&l, 100, false);
    CHECK_STR(read_at(&l, 4 * L - 1, "").text, "");
    CHECK_STR(read_at(&l, 4 * L, "").text, "held aa 1 by c2\n");
    /* an acknowledgement that comes as late says nothing either */
    writelease_wrote(&l, 8 * L, true);
    CHECK(l.state == WRITELEASE_CLAIMING);
}

TEST(writelease_that_ran_out_is_claimed_again)
{
    char text[WRITELEASE_TEXT_BYTES];
    struct writelease l = held(text);
    struct writelease_step s = read_at(&l, H + R - 2 * L, text);

    CHECK_STR(s.text, "held aa 3 by c1\n");
    CHECK_INT(s.until_ms, H + R - L);
    writelease_wrote(&l, H + R - L, true); /* succeeded, but another may be claiming it */
    CHECK(!writelease_may_put(&l, H + R - L));
    s = read_at(&l, H + 1 + R - L, s.text);
    CHECK(l.state == WRITELEASE_WATCHED && !s.is_lost && !s.text[0]);
    l = held(text);
    s = read_at(&l, H + R - 2 * L, text);
    /* in time: a bucket was away for long, and nobody is to wait */
    writelease_wrote(&l, H - 1 + R - L, true);
    CHECK(writelease_may_put(&l, H - 1 + R - L));
    l = held(text);
    s = read_at(&l, 500, "held bb 1 by c9\n");
    CHECK(s.is_lost && l.state == WRITELEASE_WATCHED && !writelease_may_put(&l, 500));
    l = held(text); /* it stood still meanwhile */
    s = read_at(&l, H + R, "held bb 1 by c9\n");
    CHECK(!s.is_lost && l.state == WRITELEASE_WATCHED && !writelease_may_put(&l, H + R));
}

TEST(writelease_lets_one_put_go_at_a_time_and_waits_for_those_that_failed)
{
    char text[WRITELEASE_TEXT_BYTES];
    struct writelease l = held(text);

    CHECK_INT(writelease_put_begins(&l, 500, false), WRITELEASE_NOT_OURS);
    CHECK_INT(writelease_put_begins(&l, H + 1 + U, true), WRITELEASE_NOT_OURS);
    CHECK_INT(writelease_put_begins(&l, 500, true), WRITELEASE_GO);
    CHECK_INT(l.put_until_ms, 500 + C);
    CHECK_INT(writelease_put_begins(&l, 501, true), WRITELEASE_BUSY);
    /* it is not given back meanwhile, but renewed though another should have it */
    CHECK_STR(writelease_read(&l, 520, 520, slice_cstr(text), false, "").text, "");
    CHECK_STR(writelease_read(&l, H + RENEW, H + RENEW, slice_cstr(text), false, "").text,
              "held aa 3 by c1\n");
    writelease_wrote(&l, H + 1 + RENEW, true);
    writelease_put_ended(&l, false);
    CHECK_INT(writelease_put_begins(&l, 500 + 2 * C - 1, true), WRITELEASE_QUIET);
    CHECK_STR(writelease_read(&l, 850, 850, SLICE("held aa 3 by c1\n"), false, "").text, "");
    CHECK_INT(writelease_put_begins(&l, 500 + 2 * C, true), WRITELEASE_GO);
    writelease_put_ended(&l, true);
    CHECK_STR(writelease_read(&l, 950, 950, SLICE("held aa 3 by c1\n"), false, "").text,
              "free aa by c1\n");
    CHECK_INT(writelease_takeover_ms(&l), 17 * L + 2 * C);
}

TEST(writelease_names_its_holder)
{
    struct slice who;

    CHECK(!writelease_holder(SLICE(""), &who));
    CHECK(!writelease_holder(SLICE("free aa by c1\n"), &who));
    CHECK(writelease_holder(SLICE("held aa 12 by c1\n"), &who) && slice_eq_cstr(who, "c1"));
    CHECK(writelease_holder(SLICE("what"), &who) && slice_eq_cstr(who, "what"));
    CHECK(writelease_shard(SLICE("t")) < WRITELEASE_SHARDS);
}

/* ---- many that want one, on an object whose writes take place when they like ---- */

#define WRITERS 3
#define FLYING 64

struct world {
    struct rng rng;
    int64_t now_ms;
    char text[WRITELEASE_TEXT_BYTES];
    struct flight {
        int64_t at_ms; /* when it takes place; 0: none */
        char text[WRITELEASE_TEXT_BYTES];
    } flying[FLYING];
    struct writelease leases[WRITERS];
    /* What a writer does: reads, writes, or rests; until when */
    struct doing {
        enum { REST, READS, WRITES } what;
        int64_t began_ms, until_ms;
        char text[WRITELEASE_TEXT_BYTES]; /* read, or to be written */
        bool ok, is_end, is_read;
        int64_t reads_ms; /* READS: when the text is taken */
    } doing[WRITERS];
    /* until when a put of the catalogue that was begun may take place */
    int64_t puts_end_ms[WRITERS];
    int64_t deaf_ms[WRITERS];
    bool wanted[WRITERS];
    /* so long after it was given up may take place: a text that holds; a put, and what gives back (C by the rule) */
    int64_t held_late_ms, late_ms;
    uint64_t nonce, held, both;
};

static int64_t upto(struct world *w, int64_t ms)
{
    return (int64_t)rng_below(&w->rng, (uint64_t)ms + 1);
}

/* Begins a write that is given up in time, whether it takes place or not. */
static void launch(struct world *w, struct doing *d, const struct writelease_step *s)
{
    int64_t left_ms = s->until_ms - w->now_ms;
    int64_t lands_ms = rng_below(&w->rng, 4)
                           ? upto(w, L / 2)
                           : upto(w, left_ms + (s->is_end ? w->late_ms : w->held_late_ms));
    bool is_lost = rng_below(&w->rng, 16) == 0;

    d->what = WRITES;
    d->is_end = s->is_end;
    d->ok = !is_lost && lands_ms < left_ms && rng_below(&w->rng, 16) != 0;
    d->until_ms = w->now_ms + (d->ok ? lands_ms : left_ms);
    for (size_t i = 0; !is_lost && i < FLYING; i++) {
        if (!w->flying[i].at_ms) {
            w->flying[i].at_ms = w->now_ms + lands_ms;
            memcpy(w->flying[i].text, s->text, sizeof(s->text));
            break;
        }
    }
}

static void after_read(struct world *w, int i)
{
    struct doing *d = &w->doing[i];
    struct writelease *l = &w->leases[i];
    struct writelease_step s;
    char nonce[WRITELEASE_NONCE_BYTES];

    (void)snprintf(nonce, sizeof(nonce), "%llx", (unsigned long long)++w->nonce);
    s = writelease_read(l, d->began_ms, w->now_ms, slice_cstr(d->text), w->wanted[i], nonce);
    d->what = REST;
    d->until_ms = writelease_next_ms(l, w->wanted[i], w->now_ms) + upto(w, L / 4);
    if (s.text[0])
        launch(w, d, &s);
}

/* A put of a catalogue, which ends before it is given up, or is not heard of. */
static void put(struct world *w, int i)
{
    struct writelease *l = &w->leases[i];

    if (l->is_busy && w->now_ms < l->put_until_ms && rng_below(&w->rng, 50) == 0) {
        writelease_put_ended(l, true);
        w->puts_end_ms[i] = w->now_ms;
    } else if (l->is_busy && w->now_ms >= l->put_until_ms) {
        writelease_put_ended(l, false);
    } else if (rng_below(&w->rng, 20) == 0 &&
               writelease_put_begins(l, w->now_ms, w->wanted[i]) == WRITELEASE_GO) {
        w->puts_end_ms[i] = l->put_until_ms + w->late_ms;
    }
}

static void move(struct world *w, int i)
{
    struct doing *d = &w->doing[i];

    if (rng_below(&w->rng, 2000) == 0)
        w->wanted[i] = !w->wanted[i];
    if (writelease_may_put(&w->leases[i], w->now_ms))
        w->held++;
    put(w, i);
    /* it hears nothing of the lease for a while, and goes on putting */
    if (rng_below(&w->rng, 3000) == 0)
        w->deaf_ms[i] = w->now_ms + upto(w, 2 * R);
    if (d->what == READS && !d->is_read && w->now_ms >= d->reads_ms) {
        memcpy(d->text, w->text, sizeof(d->text));
        d->is_read = true;
    }
    if (w->now_ms < d->until_ms || w->now_ms < w->deaf_ms[i])
        return;
    if (d->what == READS) {
        after_read(w, i);
    } else if (d->what == WRITES) {
        if (!d->is_end)
            writelease_wrote(&w->leases[i], w->now_ms, d->ok);
        d->what = REST;
    } else {
        d->what = READS;
        d->is_read = false;
        d->began_ms = w->now_ms;
        d->until_ms = w->now_ms + (rng_below(&w->rng, 8) ? upto(w, 10) : upto(w, 2 * L));
        d->reads_ms = w->now_ms + upto(w, d->until_ms - w->now_ms);
    }
}

static void check_alone(struct world *w)
{
    for (int i = 0; i < WRITERS; i++)
        for (int j = 0; j < WRITERS; j++)
            if (i != j && writelease_may_put(&w->leases[i], w->now_ms) &&
                w->puts_end_ms[j] > w->now_ms)
                w->both++;
}

static void run(struct world *w, uint64_t seed, int64_t held_late_ms, int64_t late_ms)
{
    static const char *const names[WRITERS] = {"a", "b", "c"};

    *w = (struct world){.held_late_ms = held_late_ms, .late_ms = late_ms, .now_ms = 1};
    rng_seed(&w->rng, seed);
    for (int i = 0; i < WRITERS; i++) {
        w->leases[i] = lease(names[i]);
        w->wanted[i] = true;
    }
    for (; w->now_ms < 20000; w->now_ms++) {
        for (int i = 0; i < FLYING; i++) {
            if (w->flying[i].at_ms && w->flying[i].at_ms <= w->now_ms) {
                memcpy(w->text, w->flying[i].text, sizeof(w->text));
                w->flying[i].at_ms = 0;
            }
        }
        for (int i = 0; i < WRITERS; i++)
            move(w, i);
        check_alone(w);
    }
}

TEST(writelease_has_one_user_whatever_writes_do_within_the_bound)
{
    struct world w;
    uint64_t held = 0;

    for (uint64_t seed = 0; seed < 100; seed++) {
        run(&w, seed, C, C);
        CHECK_INT(w.both ? (int64_t)seed : -1, -1);
        held += w.held;
    }
    CHECK(held > 100 * 20000 / 5); /* and somebody could, a good part of the time */
}

/* A claim or a renewal that takes place when nobody expects it costs time alone. */
TEST(writelease_has_one_user_however_late_a_text_comes_that_holds)
{
    struct world w;

    for (uint64_t seed = 1000; seed < 1100; seed++) {
        run(&w, seed, 20 * C, C);
        CHECK_INT(w.both ? (int64_t)seed : -1, -1);
    }
}

/* The tests can fail: puts that take place later than is allowed for. */
TEST(writelease_has_two_users_when_the_bound_does_not_hold)
{
    struct world w;
    uint64_t both = 0;

    for (uint64_t seed = 0; seed < 200 && !both; seed++) {
        run(&w, seed, C, 12 * C);
        both += w.both;
    }
    CHECK(both > 0);
}
