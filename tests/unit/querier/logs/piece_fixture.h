/*
 * A town of queriers: q0 asks, q1 and q2 own blocks, too, and are well or of another mood. Whatever they do, the answer is the one of a
 * querier that reads all by itself, to the bit.
 */
#pragma once
#include <sched.h>

#include "common/base/rng.h"
#include "querier/logs/logpiece_ask.h"
#include "querier/logs/logpiece_serve.h"
#include "querier/logs/logpiece_wire.h"
#include "tests/unit/querier/logs/stored_fixture.h"

#define OTHERS 2
#define WINDOWS 6

enum mood { WELL, OLD /* does not know the question */, REFUSES, HANGS, BREAKS, LIES };

/* What an answer says that comes to its end. made and end: {0} at first. */
typedef void lie_fn(const struct logpiece_wire_what *what, struct buf *made,
                    struct logpiece_wire_end *end);

struct town_opts {
    enum mood one, other;
    lie_fn *lie;             /* of who lies; NULL: malformed from the start */
    uint64_t max_held_bytes; /* of who is well; 0: as it is */
};

struct other {
    struct loop *loop;
    struct rpc_server *server;
    struct store *store;
    struct logpiece_serve *serve; /* NULL: its mood answers */
    enum mood mood;
    lie_fn *lie;
    VEC(struct rpc_call *) hung; /* loop's */
    struct peer teller;          /* of lies */
    VEC(struct peer_frames *) lies;
    _Atomic int asked, canceled;
};

struct town {
    struct rig rig; /* its store reads all by itself */
    struct store *asker;
    struct other others[OTHERS];
    struct ring *ring;
};

/* ---- life ---- */

static inline struct ring *ring_of(void *arg)
{
    return ring_ref(((struct town *)arg)->ring);
}

static inline void on_cancel(void *arg)
{
    struct other *o = arg;

    o->canceled++;
}

static inline struct buf *lie_frame(struct peer_frames *frames, enum logpiece_wire_kind kind,
                                    struct slice bytes)
{
    struct buf *b = peer_frame(frames);

    buf_byte(b, kind);
    buf_slice_append(b, bytes);
    return b;
}

static inline void tell_lie(struct other *o, struct rpc_call *call)
{
    struct peer_frames *frames = mem_new(struct peer_frames);
    struct logpiece_wire_ask ask;
    struct logpiece_wire_what what;
    struct logpiece_wire_end end = {0};
    struct buf made = {0};

    CHECK_OK(logpiece_wire_ask_decode(rpc_call_payload(call), &ask));
    CHECK_OK(logpiece_wire_what_decode(ask.what, &what));
    if (o->lie)
        o->lie(&what, &made, &end);
    else
        buf_append(&made, "\1\7", 2);
    (void)lie_frame(frames, LOGPIECE_WIRE_BEGUN, SLICE_EMPTY);
    for (size_t at = 0; at < made.len; at += LOGPIECE_WIRE_FRAME_BYTES)
        (void)lie_frame(frames, LOGPIECE_WIRE_MADE,
                        slice_sub(buf_slice(&made), at, LOGPIECE_WIRE_FRAME_BYTES));
    logpiece_wire_end_encode(peer_frame(frames), &end);
    buf_done(&made);
    vec_push(&o->lies, frames);
    peer_answer(&o->teller, call, frames);
}

static inline void on_piece(void *arg, struct rpc_call *call)
{
    static const uint8_t begun[] = {LOGPIECE_WIRE_BEGUN}, made[] = {LOGPIECE_WIRE_MADE, 1, 7};
    struct other *o = arg;

    o->asked++;
    if (o->mood == LIES) {
        tell_lie(o, call);
        return;
    }
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
    rpc_reply_err(call, err_new(ERR_NET, "cut off"));
}

/* Of a machine under load who is well may be slow, and is waited for; who hangs is not. */
static inline struct store *store_of(struct town *t, unsigned replication)
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

static inline void other_up(struct town *t, struct other *o, enum mood mood,
                            const struct town_opts *opts)
{
    static int serial;
    char *address = mem_printf("inproc://piece-%d", ++serial);

    o->mood = mood;
    o->lie = opts->lie;
    CHECK_OK(loop_new("other", &o->loop));
    CHECK_OK(
        rpc_server_new(&(struct rpc_server_opts){.loop = o->loop, .address = address}, &o->server));
    mem_free(address);
    o->store = store_of(t, 0); /* which blocks it owns is not its own business */
    if (mood == WELL)
        o->serve = logpiece_serve_new(
            &(struct logpiece_serve_opts){
                .store = o->store, .threads = 2, .max_held_bytes = opts->max_held_bytes},
            o->server);
    else if (mood != OLD)
        rpc_server_handle(o->server, "querier.log_piece", on_piece, o);
    rpc_server_start(o->server);
    CHECK_OK(loop_start(o->loop));
}

static inline struct member *member_of(const char *name, const char *address, uint32_t token)
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

static inline void town_up_with(struct town *t, const struct town_opts *opts)
{
    struct ring_input in[OTHERS + 1];

    *t = (struct town){0};
    rig_up(&t->rig, 0);
    other_up(t, &t->others[0], opts->one, opts);
    other_up(t, &t->others[1], opts->other, opts);
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

static inline void town_up(struct town *t, enum mood one, enum mood other)
{
    town_up_with(t, &(struct town_opts){.one = one, .other = other});
}

static inline void town_down(struct town *t)
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
        VEC_FOREACH (frames, &t->others[i].lies) {
            VEC_FOREACH (f, *frames)
                buf_done(f);
            vec_done(*frames);
            mem_free(*frames);
        }
        vec_done(&t->others[i].lies);
    }
    store_free(t->asker);
    ring_unref(t->ring);
}

/* ---- lines: a window each, of which the last is in ingesters alone ---- */

static inline size_t fill(struct town *t, struct line *recent, size_t max)
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

static inline struct logquery query_of(const char *expr, bool is_forward, uint32_t limit)
{
    struct logquery q = lines_of(expr, is_forward, limit);

    q.step_ns = 600 * NS_PER_S;
    return q;
}

/* Of all; lanes 0: this querier alone. */
static inline struct err *ask_of(struct town *t, struct store *s, struct logquery q, unsigned lanes,
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

static inline struct slice all_of(struct rig *g, struct buf *out)
{
    (void)text_of(out, &g->r);
    buf_printf(out, "| %llu entries", (unsigned long long)g->r.stats.entries);
    return buf_slice(out);
}

static inline uint64_t check_question(struct town *t, size_t i, bool is_forward)
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
static inline uint64_t check_questions(struct town *t)
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

static inline struct store_logs_stats asker_stats(struct town *t)
{
    struct store_stats st;

    store_stats_get(t->asker, &st);
    return st.logs;
}
