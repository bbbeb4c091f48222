/* Pieces of queries over log lines that their owners run: the answer is the same whoever runs what, and the bytes of it. */
#include "tests/unit/querier/logs/piece_fixture.h"

TEST(logpiece_owners_run_what_they_own_and_the_answer_is_the_same)
{
    struct logpiece_serve_stats one, other;
    struct town t;
    uint64_t away;

    town_up(&t, WELL, WELL);
    away = check_questions(&t);
    CHECK(away > 0);
    CHECK_INT(asker_stats(&t).returned, 0);
    CHECK(asker_stats(&t).asked >= away);
    logpiece_serve_stats_get(t.others[0].serve, &one);
    logpiece_serve_stats_get(t.others[1].serve, &other);
    CHECK(one.calls > 0 && other.calls > 0);
    /* what nobody wants any more may not even have been sent */
    CHECK(one.calls + other.calls >= away && one.calls + other.calls <= asker_stats(&t).asked);
    CHECK_INT(one.refused + other.refused, 0);
    town_down(&t);
}

static void with_moods(enum mood one, enum mood other)
{
    struct town t;

    town_up(&t, one, other);
    CHECK_INT(check_questions(&t) > 0, one == WELL || other == WELL);
    CHECK(asker_stats(&t).returned > 0);
    town_down(&t);
}

TEST(logpiece_what_old_queriers_do_not_know_is_read_here)
{
    with_moods(OLD, OLD);
    with_moods(OLD, WELL);
}

TEST(logpiece_what_owners_refuse_or_break_off_is_read_here)
{
    with_moods(REFUSES, WELL);
    with_moods(BREAKS, BREAKS);
    with_moods(LIES, LIES);
}

TEST(logpiece_what_hangs_is_read_here)
{
    with_moods(HANGS, HANGS);
}

/* Who is not waited for any more is told. */
TEST(logpiece_what_is_given_up_is_canceled_at_its_owner)
{
    struct town t;

    town_up(&t, HANGS, HANGS);
    CHECK_INT(check_questions(&t), 0);
    CHECK(t.others[0].asked + t.others[1].asked > 0);
    for (size_t i = 0; i < OTHERS; i++)
        while (t.others[i].canceled < t.others[i].asked) /* ends with the test's time, or so */
            sched_yield();
    town_down(&t);
}

/* A limit or an error of the query is the query's, whoever meets it first. */
TEST(logpiece_errors_are_those_of_the_query)
{
    struct line recent[200];
    struct town t;
    struct logquery q = query_of("", true, 0);
    struct err *here, *away;
    size_t n;

    town_up(&t, WELL, WELL);
    n = fill(&t, recent, ORR_COUNT(recent));
    for (size_t i = 0; i < t.rig.peers.n; i++)
        tell(&t.rig, &t.rig.peers.p[i], recent, n, true);
    q.expr = SLICE("sum_over_time({app=~\".+\"} | logfmt | line_format \"x\" | unwrap app [1h])");
    here = ask_of(&t, t.rig.store, q, 0, 0);
    away = ask_of(&t, t.asker, q, 2, 0);
    CHECK(here && away && err_code(here) == err_code(away));
    CHECK_STR(err_msg(away), err_msg(here));
    err_free(here);
    err_free(away);
    q.expr = SLICE("count_over_time({app=~\".+\"} | logfmt [1h])");
    q.max_series = 3;
    away = ask_of(&t, t.asker, q, 2, 0);
    CHECK(err_is(away, ERR_LIMIT));
    err_free(away);
    town_down(&t);
}

/* ---- bytes ---- */

TEST(logpiece_wire_carries_what_is_asked)
{
    struct logpiece_wire_what what = {.q = {.expr = SLICE("{a=\"b\"}"),
                                            .start_ns = -5,
                                            .end_ns = 1000 * NS_PER_S,
                                            .step_ns = NS_PER_S,
                                            .interval_ns = 3,
                                            .is_forward = true,
                                            .limit = 9,
                                            .max_bytes = 1000,
                                            .max_series = 20,
                                            .max_samples = 30},
                                      .leaf = SLICE("x"),
                                      .at = {-100, 77, 5, UINT64_MAX},
                                      .memory_bytes = 1 << 20},
                              got;
    struct logpiece_wire_ask ask = {.grace_ns = 7, .max_streams = 8, .min_ms = -9, .shard_size = 3},
                             asked;
    struct buf b = {0}, whole = {0};

    logpiece_wire_what_encode(&b, &what);
    ask.what = buf_slice(&b);
    logpiece_wire_ask_encode(&whole, &ask);
    CHECK_OK(logpiece_wire_ask_decode(buf_slice(&whole), &asked));
    CHECK_INT(asked.grace_ns, 7);
    CHECK_INT(asked.max_streams, 8);
    CHECK_INT(asked.min_ms, -9);
    CHECK_INT(asked.shard_size, 3);
    CHECK_OK(logpiece_wire_what_decode(asked.what, &got));
    CHECK(slice_eq(got.q.expr, what.q.expr) && slice_eq(got.leaf, what.leaf));
    CHECK(got.q.start_ns == -5 && got.q.end_ns == what.q.end_ns && got.q.step_ns == NS_PER_S);
    CHECK(got.q.interval_ns == 3 && got.q.is_forward && got.q.limit == 9);
    CHECK(got.q.max_bytes == 1000 && got.q.max_series == 20 && got.q.max_samples == 30);
    CHECK(got.at.from_ns == -100 && got.at.to_ns == 77 && got.at.fp_first == 5 &&
          got.at.fp_last == UINT64_MAX && got.memory_bytes == 1 << 20);
    for (size_t n = 0; n < whole.len; n++) {
        struct err *e = logpiece_wire_ask_decode(slice_of(whole.ptr, n), &asked);

        CHECK(err_is(e, ERR_INVALID));
        err_free(e);
    }
    for (size_t n = 0; n < b.len; n++) {
        struct err *e = logpiece_wire_what_decode(slice_of(b.ptr, n), &got);

        CHECK(err_is(e, ERR_INVALID));
        err_free(e);
    }
    buf_done(&b);
    buf_done(&whole);
}

static void check_refused(struct logpiece_wire_what what)
{
    struct logpiece_wire_what got;
    struct buf b = {0};
    struct err *e;

    logpiece_wire_what_encode(&b, &what);
    e = logpiece_wire_what_decode(buf_slice(&b), &got);
    CHECK(err_is(e, ERR_INVALID));
    err_free(e);
    buf_done(&b);
}

TEST(logpiece_wire_refuses_times_that_nobody_asks_for)
{
    const struct logpiece_wire_what well = {.q = {.end_ns = 10}, .at = {0, 10, 0, UINT64_MAX}};
    struct logpiece_wire_what w = well;

    w.q.end_ns = -1;
    check_refused(w);
    w = well;
    w.q.end_ns = INT64_MAX;
    check_refused(w);
    w = well; /* each is a moment, and the time between them fits nowhere */
    w.q.start_ns = w.at.from_ns = -LOGQUERY_MAX_NS;
    w.q.end_ns = w.at.to_ns = LOGQUERY_MAX_NS;
    check_refused(w);
    w = well;
    w.q.end_ns = LOGQUERY_MAX_NS;
    w.q.start_ns = LOGQUERY_MAX_NS - 10;
    w.at = (struct logsource_piece){LOGQUERY_MAX_NS, LOGQUERY_MAX_NS + 1, 0, UINT64_MAX};
    check_refused(w);
    w = well;
    w.q.end_ns = LOGPIECE_WIRE_MAX_STEPS;
    w.q.step_ns = 1;
    check_refused(w);
    w = well;
    w.q.step_ns = -1;
    check_refused(w);
    w = well;
    w.at.from_ns = 11;
    check_refused(w);
    w = well;
    w.at.from_ns = INT64_MIN;
    check_refused(w);
    w = well;
    w.at.fp_first = 2;
    w.at.fp_last = 1;
    check_refused(w);
}

TEST(logpiece_wire_statistics_of_other_versions)
{
    struct logquery_stats s = {.bytes = 1, .source = {.blocks = 2, .deleted = 3}}, got = {0};
    struct buf b = {0}, more = {0};
    struct reader r;

    logpiece_wire_stats_encode(&b, &s);
    r = reader_new(buf_slice(&b));
    CHECK(logpiece_wire_stats_decode(&r, &got) && !reader_left(&r));
    CHECK(got.bytes == 1 && got.source.blocks == 2 && got.source.deleted == 3);
    /* a number that is not known here, and one that is not known there */
    buf_byte(&more, (uint8_t)(b.ptr[0] + 1));
    buf_slice_append(&more, slice_from(buf_slice(&b), 1));
    buf_uvarint(&more, 99);
    r = reader_new(buf_slice(&more));
    CHECK(logpiece_wire_stats_decode(&r, &got) && !reader_left(&r));
    r = reader_new(slice_of("\1\7", 2));
    got = (struct logquery_stats){0};
    CHECK(logpiece_wire_stats_decode(&r, &got) && got.bytes == 7 && got.source.blocks == 0);
    buf_done(&b);
    buf_done(&more);
}
