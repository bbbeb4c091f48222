#include "common/lang/logql.h"
#include "common/model/logs_rpc.h"
#include "querier/logs/logremote.h"
#include "tests/unit/querier/store/peers_fixture.h"

struct rig {
    struct peers peers;
    struct store *store;
    struct arena *arena;
    struct store_query sq;
    struct logremote remote;
    struct buf out;
};

static void rig_up(struct rig *g, const char *zones)
{
    *g = (struct rig){0};
    peers_up(&g->peers, zones, 3);
    g->store = store_new(&(struct store_opts){.pool = g->peers.pool,
                                              .loop = g->peers.loop,
                                              .logs_ring = peers_ring,
                                              .logs_ring_arg = &g->peers,
                                              .straggler_ms = 100,
                                              .ingester_lookback_ms = 3600000});
    g->arena = arena_new(0);
    store_query_init(
        &g->sq, g->store,
        &(struct store_query_opts){.tenant = SLICE("t"),
                                   .arena = g->arena,
                                   .deadline_mono_ms = clock_mono_ms(&clock_system) + 20000});
    logremote_init(&g->remote, &(struct logremote_opts){.sq = &g->sq});
}

static void rig_down(struct rig *g)
{
    buf_done(&g->out);
    store_query_done(&g->sq);
    arena_free(g->arena);
    peers_down(&g->peers);
    store_free(g->store);
}

/* ---- what a peer says: a frame an item, so that frames end anywhere ---- */

static void say(struct peer *p, const struct rpc_logs_item *item)
{
    rpc_logs_item_encode(peer_frame(&p->logs), item);
}

static void say_stream(struct peer *p, uint64_t fp, const char *app, uint64_t bytes)
{
    struct label l = {SLICE("app"), slice_cstr(app)};
    struct buf b = {0};

    labels_canonical(&b, (struct labels){&l, 1});
    say(p, &(struct rpc_logs_item){.tag = RPC_LOGS_STREAM,
                                   .fp = {0, fp},
                                   .text = buf_slice(&b),
                                   .entries = bytes / 10,
                                   .bytes = bytes});
    buf_done(&b);
}

/* id NULL: no structured metadata. */
static void say_line(struct peer *p, int64_t t_ns, const char *line, const char *id)
{
    struct label l = {SLICE("id"), slice_cstr(id ? id : "")};

    say(p, &(struct rpc_logs_item){.tag = RPC_LOGS_ENTRY,
                                   .t_ns = t_ns,
                                   .text = slice_cstr(line),
                                   .metadata = {&l, id != NULL}});
}

static void say_step(struct peer *p, uint64_t step, uint64_t bytes)
{
    say(p, &(struct rpc_logs_item){.tag = RPC_LOGS_STEP, .step = step, .bytes = bytes});
}

static void say_name(struct peer *p, const char *name)
{
    say(p, &(struct rpc_logs_item){.tag = RPC_LOGS_NAME, .text = slice_cstr(name)});
}

/* ---- what comes of it ---- */

/* "app: time=line(id),… " of every stream; passes_over: only the first entry of each is asked for. */
static struct err *read_lines_of(struct rig *g, const struct logsource_request *req,
                                 bool passes_over)
{
    struct logsource_entry en;
    struct logsource_set *set;
    struct labels ls;
    struct err *e;

    buf_reset(&g->out);
    if ((e = logsource_select(&g->remote.source, g->arena, req, &set)))
        return e;
    while (logsource_set_stream(set, &ls)) {
        buf_printf(&g->out, "%.*s:", SLICE_ARG(labels_get(ls, SLICE("app"))));
        while (logsource_set_entry(set, &en)) {
            buf_printf(&g->out, " %lld=%.*s", (long long)en.ts_ns, SLICE_ARG(en.line));
            if (en.metadata.n)
                buf_printf(&g->out, "(%.*s)", SLICE_ARG(labels_get(en.metadata, SLICE("id"))));
            if (passes_over)
                break;
        }
        buf_str(&g->out, "; ");
    }
    return logsource_set_close(set);
}

static struct err *read_lines(struct rig *g, bool is_forward, bool passes_over)
{
    return read_lines_of(
        g, &(struct logsource_request){.start_ns = 0, .end_ns = 1000, .is_forward = is_forward},
        passes_over);
}

static void check_lines(struct rig *g, const char *want)
{
    CHECK_OK(read_lines(g, true, false));
    CHECK_SLICE(buf_slice(&g->out), want);
}

static void say_some(struct peer *p)
{
    say_stream(p, 1, "a", 0);
    say_line(p, 10, "one", NULL);
    say_line(p, 10, "one", "x");
    say_line(p, 20, "two", NULL);
    say_stream(p, 2, "b", 0);
    say_line(p, 5, "five", NULL);
}

TEST(logremote_what_replicas_hold_alike_comes_once)
{
    struct rig g;

    rig_up(&g, "abc");
    for (size_t i = 0; i < 3; i++)
        say_some(&g.peers.p[i]);
    check_lines(&g, "a: 10=one 10=one(x) 20=two; b: 5=five; ");
    CHECK_OK(read_lines(&g, true, true));
    CHECK_SLICE(buf_slice(&g.out), "a: 10=one; b: 5=five; ");
    rig_down(&g);
}

TEST(logremote_what_one_replica_missed_comes_from_others)
{
    struct rig g;

    rig_up(&g, "abc");
    say_stream(&g.peers.p[0], 1, "a", 0);
    say_line(&g.peers.p[0], 10, "p", NULL);
    say_line(&g.peers.p[0], 10, "q", NULL);
    say_line(&g.peers.p[0], 30, "r", NULL);
    say_stream(&g.peers.p[1], 1, "a", 0);
    say_line(&g.peers.p[1], 10, "q", NULL); /* in another order */
    say_line(&g.peers.p[1], 10, "s", NULL);
    say_line(&g.peers.p[1], 10, "p", NULL);
    say_line(&g.peers.p[1], 20, "t", NULL);
    say_stream(&g.peers.p[2], 0, "first", 0);
    say_line(&g.peers.p[2], 1, "u", NULL);
    say_stream(&g.peers.p[2], 3, "last", 0); /* and a stream without lines */
    check_lines(&g, "first: 1=u; a: 10=p 10=q 10=s 20=t 30=r; last:; ");
    rig_down(&g);
}

TEST(logremote_backward)
{
    struct rig g;

    rig_up(&g, "abc");
    for (size_t i = 0; i < 2; i++) {
        say_stream(&g.peers.p[i], 1, "a", 0);
        say_line(&g.peers.p[i], 30, "r", NULL);
        say_line(&g.peers.p[i], i ? 20 : 25, i ? "q" : "o", NULL);
        say_line(&g.peers.p[i], 10, "p", NULL);
    }
    CHECK_OK(read_lines(&g, false, false));
    CHECK_SLICE(buf_slice(&g.out), "a: 30=r 25=o 20=q 10=p; ");
    rig_down(&g);
}

TEST(logremote_many_lines_of_one_moment)
{
    enum { N = 300 };
    struct buf want = {0};
    struct rig g;

    rig_up(&g, "abc");
    for (size_t i = 0; i < 3; i++) {
        say_stream(&g.peers.p[i], 1, "a", 0);
        for (unsigned k = 0; k < N; k++) {
            /* the second has them the other way round, the third every second one, twice as many */
            unsigned n = i == 0 ? k : i == 1 ? N - 1 - k : 2 * k;
            char line[16];

            snprintf(line, sizeof(line), "%u", n);
            say_line(&g.peers.p[i], 10, line, n % 3 ? NULL : "m");
        }
    }
    buf_str(&want, "a:");
    for (unsigned n = 0; n < 2 * N; n++)
        if (n < N || n % 2 == 0)
            buf_printf(&want, " 10=%u%s", n, n % 3 ? "" : "(m)");
    buf_str(&want, "; ");
    /* those of the first in its order, then what the second and the third have besides */
    check_lines(&g, buf_cstr(&want));
    buf_done(&want);
    rig_down(&g);
}

TEST(logremote_one_lost_zone_is_made_up_for_two_are_an_error)
{
    static const enum peer_mood moods[] = {PEER_REFUSES, PEER_HANGS, PEER_BREAKS};
    struct rig g;

    rig_up(&g, "abc");
    for (size_t i = 0; i < 3; i++)
        say_some(&g.peers.p[i]);
    for (size_t k = 0; k < ORR_COUNT(moods); k++) {
        g.peers.p[1].mood = moods[k];
        check_lines(&g, "a: 10=one 10=one(x) 20=two; b: 5=five; ");
    }
    g.peers.p[1].mood = PEER_REFUSES;
    g.peers.p[2].mood = PEER_BREAKS;
    CHECK_ERR(read_lines(&g, true, false), ERR_UNAVAILABLE, "ingester-1 (zone b)");
    rig_down(&g);
}

TEST(logremote_malformed_answers_and_no_memory_are_errors)
{
    struct rig g;

    rig_up(&g, "abc");
    for (size_t i = 0; i < 3; i++) {
        say_some(&g.peers.p[i]);
        buf_str(peer_frame(&g.peers.p[i].logs), "\x09garbage");
    }
    CHECK_ERR(read_lines(&g, true, false), ERR_CORRUPT, "malformed");
    rig_down(&g);

    rig_up(&g, "abc");
    for (size_t i = 0; i < 3; i++) {
        say_stream(&g.peers.p[i], 1, "a", 0);
        for (unsigned k = 0; k < 2000; k++) { /* of one moment, so they are held */
            char line[256];

            snprintf(line, sizeof(line), "%200u", k);
            say_line(&g.peers.p[i], 10, line, NULL);
        }
    }
    {
        struct arena *small = arena_new(64u << 10);

        g.sq.opts.arena = small;
        CHECK_ERR(read_lines(&g, true, false), ERR_LIMIT, "memory");
        g.sq.opts.arena = g.arena;
        arena_free(small);
    }
    rig_down(&g);
}

TEST(logremote_nobody_to_ask_is_an_error)
{
    struct rig g;

    rig_up(&g, "");
    CHECK_ERR(read_lines(&g, true, false), ERR_UNAVAILABLE, "no ingester is known");
    rig_down(&g);
}

TEST(logremote_streams_have_the_volume_of_the_fullest_replica)
{
    struct logremote_range range = {.end_ns = 1000};
    struct logremote_streams *s;
    struct logremote_stream st;
    struct rig g;

    rig_up(&g, "abc");
    say_stream(&g.peers.p[0], 1, "a", 100);
    say_stream(&g.peers.p[1], 1, "a", 120);
    say_stream(&g.peers.p[1], 2, "b", 50);
    say_stream(&g.peers.p[2], 2, "b", 40);
    CHECK_OK(logremote_streams(&g.remote, (struct matchers){0}, range, true, &s));
    while (logremote_streams_next(s, &st))
        buf_printf(&g.out, "%.*s %llu %llu; ", SLICE_ARG(labels_get(st.labels, SLICE("app"))),
                   (unsigned long long)st.entries, (unsigned long long)st.bytes);
    CHECK_OK(logremote_streams_close(s));
    CHECK_SLICE(buf_slice(&g.out), "a 12 120; b 5 50; ");
    rig_down(&g);
}

/* "app step step step step; …" of every stream. */
static void check_steps(struct rig *g, struct logremote_range range, const char *want)
{
    struct logremote_streams *s;
    struct logremote_stream st;

    CHECK_OK(logremote_streams(&g->remote, (struct matchers){0}, range, true, &s));
    while (logremote_streams_next(s, &st)) {
        buf_printf(&g->out, "%.*s", SLICE_ARG(labels_get(st.labels, SLICE("app"))));
        for (size_t i = 0; i < 4; i++)
            buf_printf(&g->out, " %llu", (unsigned long long)st.steps[i]);
        buf_str(&g->out, "; ");
    }
    CHECK_OK(logremote_streams_close(s));
    CHECK_SLICE(buf_slice(&g->out), want);
}

TEST(logremote_streams_have_steps_of_the_fullest_replica)
{
    struct logremote_range range = {0, 1000, 300};
    struct logremote_streams *s;
    struct logremote_stream st;
    struct rig g;

    rig_up(&g, "abc");
    say_stream(&g.peers.p[0], 1, "a", 100);
    say_step(&g.peers.p[0], 0, 60);
    say_step(&g.peers.p[0], 3, 40);
    say_stream(&g.peers.p[0], 2, "b", 10);
    say_stream(&g.peers.p[1], 1, "a", 100);
    say_step(&g.peers.p[1], 0, 70);
    say_step(&g.peers.p[1], 2, 30);
    check_steps(&g, range, "a 70 0 30 40; b 0 0 0 0; ");
    rig_down(&g);

    rig_up(&g, "abc"); /* a step that nobody asked for */
    for (size_t i = 0; i < 3; i++) {
        say_stream(&g.peers.p[i], 1, "a", 100);
        say_step(&g.peers.p[i], 4, 60);
    }
    CHECK_OK(logremote_streams(&g.remote, (struct matchers){0}, range, true, &s));
    while (logremote_streams_next(s, &st))
        ;
    CHECK_ERR(logremote_streams_close(s), ERR_CORRUPT, "not asked for");
    rig_down(&g);
}

/* ---- ingesters of earlier versions ---- */

/* What is asked of those alone that know what they are asked is asked once. */
static int times_asked(struct rig *g)
{
    int n = 0;

    for (size_t i = 0; i < g->peers.n; i++)
        n += g->peers.p[i].asked;
    return n;
}

/* least: the third may not have heard of it yet when the second has refused. */
static void check_format(int known, size_t n_old, int least, int most)
{
    struct rig g;
    struct logql q = {0};
    struct logsource_request req = {.start_ns = 0, .end_ns = 1000, .is_forward = true};

    rig_up(&g, "abc");
    for (size_t i = 0; i < 3; i++) {
        say_some(&g.peers.p[i]);
        g.peers.p[i].logs_format = i < n_old ? known : 0;
    }
    CHECK_OK(logql_parse(g.arena, SLICE("{app=\"a\"} |= \"o\" | json | n > 5"), &q));
    req.logs = &q.root->u.logs;
    CHECK_OK(read_lines_of(&g, &req, false));
    CHECK_SLICE(buf_slice(&g.out), "a: 10=one 10=one(x) 20=two; b: 5=five; ");
    CHECK(times_asked(&g) >= least && times_asked(&g) <= most);
    CHECK_INT(g.sq.warnings.len, 0);
    logql_done(&q);
    rig_down(&g);
}

TEST(logremote_who_refuses_a_later_form_is_asked_in_the_first)
{
    check_format(3, 3, 3, 3); /* it is the third */
    check_format(2, 1, 3, 3); /* one zone is made up for by the others */
    check_format(2, 2, 5, 6);
    check_format(1, 3, 5, 6);
}

/* One of them is gone, one is old: either could be done without, and both cannot. */
TEST(logremote_who_refuses_is_asked_again_beside_one_that_is_gone)
{
    struct rig g;
    struct logql q = {0};
    struct logsource_request req = {.start_ns = 0, .end_ns = 1000, .is_forward = true};

    rig_up(&g, "abc");
    for (size_t i = 0; i < 3; i++)
        say_some(&g.peers.p[i]);
    g.peers.p[0].mood = PEER_REFUSES;
    g.peers.p[1].logs_format = 1;
    CHECK_OK(logql_parse(g.arena, SLICE("{app=\"a\"} |= \"o\""), &q));
    req.logs = &q.root->u.logs;
    CHECK_OK(read_lines_of(&g, &req, false));
    CHECK_SLICE(buf_slice(&g.out), "a: 10=one 10=one(x) 20=two; b: 5=five; ");
    g.peers.p[2].mood = PEER_REFUSES;
    CHECK_ERR(read_lines_of(&g, &req, false), ERR_UNAVAILABLE, "replaying");
    logql_done(&q);
    rig_down(&g);
}

TEST(logremote_volumes_of_ingesters_that_know_no_steps_are_spread)
{
    struct logremote_range range = {0, 1000, 300};
    struct rig g;

    rig_up(&g, "abc");
    for (size_t i = 0; i < 3; i++) {
        say_stream(&g.peers.p[i], 1, "a", 100);
        say_stream(&g.peers.p[i], 2, "b", 10);
        g.peers.p[i].logs_format = 3;
    }
    check_steps(&g, range, "a 30 30 30 10; b 3 3 3 1; ");
    CHECK_INT(g.sq.warnings.len, 1);
    CHECK(slice_find(g.sq.warnings.ptr[0], SLICE("earlier version"), 0) >= 0);
    rig_down(&g);
}

TEST(logremote_names_are_those_of_all)
{
    struct store_names names;
    struct rig g;

    rig_up(&g, "abc");
    for (size_t i = 0; i < 3; i++) {
        say_name(&g.peers.p[i], "app");
        if (i != 1)
            say_name(&g.peers.p[i], "host");
        if (i == 2)
            say_name(&g.peers.p[i], "zone");
    }
    CHECK_OK(logremote_names(&g.remote, (struct matchers){0}, (struct slice){0},
                             (struct logremote_range){.end_ns = 1000}, &names));
    CHECK_INT(names.n, 3);
    CHECK_SLICE(names.ptr[0], "app");
    CHECK_SLICE(names.ptr[1], "host");
    CHECK_SLICE(names.ptr[2], "zone");
    rig_down(&g);
}
