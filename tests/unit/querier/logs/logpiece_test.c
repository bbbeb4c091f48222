/*
 * Pieces of queries over log lines that their owners run: q0 asks, q1 and q2 own blocks, too. Whatever they do, the answer is the one of a
 * querier that reads all by itself, to the bit.
 */
#include <sched.h>

#include "common/base/rng.h"
#include "querier/logs/logpiece_ask.h"
#include "querier/logs/logpiece_serve.h"
#include "querier/logs/logpiece_wire.h"
#include "tests/unit/querier/logs/stored_fixture.h"

#define OTHERS 2
#define WINDOWS 6

enum mood { WELL, OLD /* does not know the question */, REFUSES, HANGS, BREAKS, LIES };

struct other {
    struct loop *loop;
    struct rpc_server *server;
    struct store *store;
    struct logpiece_serve *serve; /* NULL: its mood answers */
    enum mood mood;
    VEC(struct rpc_call *) hung; /* loop's */
    _Atomic int asked, canceled;
};

struct town {
    struct rig rig; /* its store reads all by itself */
    struct store *asker;
    struct other others[OTHERS];
    struct ring *ring;
};

/* ---- life ---- */

static struct ring *ring_of(void *arg)
{
    return ring_ref(((struct town *)arg)->ring);
}

static void on_cancel(void *arg)
{
    struct other *o = arg;

    o->canceled++;
}

static void on_piece(void *arg, struct rpc_call *call)
{
    static const uint8_t begun[] = {LOGPIECE_WIRE_BEGUN}, made[] = {LOGPIECE_WIRE_MADE, 1, 7};
    static const uint8_t end[] = {LOGPIECE_WIRE_END, 0, 0, 0, 0, 0};
    struct other *o = arg;

    o->asked++;
    if (o->mood == REFUSES) {
        rpc_reply_err(call, err_new(ERR_UNAVAILABLE, "not now"));
        return;
    }
    (void)rpc_stream_send(call, slice_of(begun, sizeof(begun)));
    if (o->mood == HANGS) {
        rpc_call_on_cancel(call, on_cancel, o);
        vec_push(&o->hung, call);
        return;
    }
    (void)rpc_stream_send(call, slice_of(made, sizeof(made)));
    if (o->mood == BREAKS) {
        rpc_reply_err(call, err_new(ERR_NET, "cut off"));
        return;
    }
    (void)rpc_stream_send(call, slice_of(end, sizeof(end)));
    rpc_stream_end(call);
}

/* Of a machine under load who is well may be slow, and is waited for; who hangs is not. */
static struct store *store_of(struct town *t, unsigned replication)
{
    bool may_hang = t->others[0].mood == HANGS || t->others[1].mood == HANGS;

    return store_new(&(struct store_opts){.pool = t->rig.peers.pool,
                                          .loop = t->rig.peers.loop,
                                          .logs_ring = peers_ring,
                                          .logs_ring_arg = &t->rig.peers,
                                          .objstore = &t->rig.bucket.base,
                                          .straggler_ms = may_hang ? 50 : 30000,
                                          .ingester_lookback_ms = 3600000,
                                          .queriers = ring_of,
                                          .queriers_arg = t,
                                          .self = "q0",
                                          .block_replication = replication});
}

static void other_up(struct town *t, struct other *o, enum mood mood)
{
    static int serial;
    char *address = mem_printf("inproc://piece-%d", ++serial);

    o->mood = mood;
    CHECK_OK(loop_new("other", &o->loop));
    CHECK_OK(
        rpc_server_new(&(struct rpc_server_opts){.loop = o->loop, .address = address}, &o->server));
    mem_free(address);
    o->store = store_of(t, 0); /* which blocks it owns is not its own business */
    if (mood == WELL)
        o->serve = logpiece_serve_new(
            &(struct logpiece_serve_opts){.store = o->store, .threads = 2}, o->server);
    else if (mood != OLD)
        rpc_server_handle(o->server, "querier.log_piece", on_piece, o);
    rpc_server_start(o->server);
    CHECK_OK(loop_start(o->loop));
}

static struct member *member_of(const char *name, const char *address, uint32_t token)
{
    struct member *m;

    CHECK_OK(member_new(&(struct member){.instance = name,
                                         .zone = "z",
                                         .rpc_addr = address,
                                         .http_addr = "h:1",
                                         .roles = MEMBER_QUERIER,
                                         .state = MEMBER_ACTIVE,
                                         .registered_ms = 1000,
                                         .tokens = &token,
                                         .n_tokens = 1},
                        &m));
    return m;
}

static void town_up(struct town *t, enum mood one, enum mood other)
{
    struct ring_input in[OTHERS + 1];

    *t = (struct town){0};
    rig_up(&t->rig, 0);
    other_up(t, &t->others[0], one);
    other_up(t, &t->others[1], other);
    in[0] = (struct ring_input){member_of("q0", "inproc://nobody", 17), true};
    in[1] = (struct ring_input){member_of("q1", rpc_server_address(t->others[0].server), 1000020),
                                true};
    in[2] = (struct ring_input){member_of("q2", rpc_server_address(t->others[1].server), 2000023),
                                true};
    t->ring = ring_new(in, OTHERS + 1, &(struct ring_opts){.role = MEMBER_QUERIER, .rf = 3});
    for (size_t i = 0; i < OTHERS + 1; i++)
        member_unref(in[i].member);
    t->asker = store_of(t, 1);
}

static void town_down(struct town *t)
{
    for (size_t i = 0; i < OTHERS; i++) {
        struct other *o = &t->others[i];

        loop_join(o->loop);
        VEC_FOREACH (c, &o->hung)
            rpc_reply_err(*c, err_new(ERR_UNAVAILABLE, "over"));
        vec_done(&o->hung);
        logpiece_serve_free(o->serve);
    }
    rig_down(&t->rig);
    for (size_t i = 0; i < OTHERS; i++) {
        rpc_server_free(t->others[i].server);
        loop_free(t->others[i].loop);
        store_free(t->others[i].store);
    }
    store_free(t->asker);
    ring_unref(t->ring);
}

/* ---- lines: a window each, of which the last is in ingesters alone ---- */

static size_t fill(struct town *t, struct line *recent, size_t max)
{
    static const char *const apps[] = {"a", "b", "c", "d"};
    struct line lines[120];
    struct rng r;

    ORR_ASSERT(max >= ORR_COUNT(lines));
    rng_seed(&r, 5);
    for (int w = 0; w < WINDOWS; w++) {
        for (size_t i = 0; i < ORR_COUNT(lines); i++)
            lines[i] = (struct line){apps[rng_below(&r, 4)],
                                     T0 + w * 2 * HOUR + (int64_t)(i * 59 + 1) * NS_PER_S,
                                     arena_printf(t->rig.arena, "line n=%u of window %d",
                                                  (unsigned)rng_below(&r, 40), w),
                                     rng_chance(&r, 0.3) ? "x" : NULL};
        if (w < WINDOWS - 1)
            put_block(&t->rig, lines, ORR_COUNT(lines));
    }
    memcpy(recent, lines, sizeof(lines));
    return ORR_COUNT(lines);
}

/* ---- questions ---- */

static struct logquery query_of(const char *expr, bool is_forward, uint32_t limit)
{
    struct logquery q = lines_of(expr, is_forward, limit);

    q.step_ns = 600 * NS_PER_S;
    return q;
}

/* Of all; lanes 0: this querier alone. */
static struct err *ask_of(struct town *t, struct store *s, struct logquery q, unsigned lanes,
                          uint64_t cut_bytes)
{
    struct rig *g = &t->rig;
    struct store *own = g->store;
    struct err *e;

    g->store = s;
    g->lanes = lanes;
    g->cut_bytes = cut_bytes;
    e = ask(g, q);
    g->store = own;
    return e;
}

static const struct {
    const char *expr;
    uint32_t limit;
} questions[] = {
    {"{app=~\".+\"}", 100000},
    {"{app=~\".+\"}", 7},
    {"{app=~\"a|c\"} |= \"of window 2\"", 5},
    {"{app=\"b\"} | logfmt | n > 20 | line_format \"{{.n}} {{.app}}\"", 1000},
    {"{app=\"nobody\"}", 10},
    {"sum by (app) (rate({app=~\".+\"} |= \"n=1\" [1h]))", 0},
    {"bytes_over_time({app=\"a\"} | logfmt [30m])", 0},
    {"sum_over_time({app=~\"a|b\"} | logfmt | unwrap n [3h])", 0},
    {"quantile_over_time(0.4, {app=~\".+\"} | logfmt | unwrap n [2h]) by (app)", 0},
    {"stdvar_over_time({app=~\".+\"} | logfmt | unwrap n [2h]) by (id)", 0},
    {"absent_over_time({app=\"d\"} |= \"n=39\" [5m])", 0},
    {"count_over_time({app=\"a\"}[1h]) / on () group_left sum(count_over_time({app=~\".+\"}[1h]))",
     0},
};

static struct slice all_of(struct rig *g, struct buf *out)
{
    (void)text_of(out, &g->r);
    buf_printf(out, "| %llu entries", (unsigned long long)g->r.stats.entries);
    return buf_slice(out);
}

static uint64_t check_question(struct town *t, size_t i, bool is_forward)
{
    static const uint64_t cuts[] = {0, 500};
    struct logquery q = query_of(questions[i].expr, is_forward, questions[i].limit);
    struct logquery_result want;
    struct buf text = {0}, got = {0};
    uint64_t away = 0;

    CHECK_OK(ask_of(t, t->rig.store, q, 0, 0));
    want = t->rig.r;
    (void)all_of(&t->rig, &text);
    for (unsigned lanes = 1; lanes <= 4; lanes *= 2)
        for (size_t c = 0; c < ORR_COUNT(cuts); c++) {
            CHECK_OK(ask_of(t, t->asker, q, lanes, cuts[c]));
            CHECK_SLICE(all_of(&t->rig, &got), buf_cstr(&text));
            check_metric(&t->rig.r.metric, &want.metric);
            if (want.is_metric)
                CHECK_INT(t->rig.r.stats.lines, want.stats.lines);
            away += t->rig.r.stats.source.away;
        }
    buf_done(&text);
    buf_done(&got);
    return away;
}

/* How many pieces were run by others. */
static uint64_t check_questions(struct town *t)
{
    struct line recent[200];
    size_t n = fill(t, recent, ORR_COUNT(recent));
    uint64_t away = 0;

    for (int is_forward = 0; is_forward < 2; is_forward++) {
        for (size_t i = 0; i < t->rig.peers.n; i++)
            tell(&t->rig, &t->rig.peers.p[i], recent, n, is_forward);
        for (size_t i = 0; i < ORR_COUNT(questions); i++) {
            /* fake ingesters know one direction, and no matchers: metric queries read forward */
            if ((questions[i].limit == 0) != is_forward && questions[i].limit == 0)
                continue;
            away += check_question(t, i, is_forward);
        }
    }
    return away;
}

static struct store_logs_stats asker_stats(struct town *t)
{
    struct store_stats st;

    store_stats_get(t->asker, &st);
    return st.logs;
}

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
