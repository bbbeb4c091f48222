/*
 * Log lines of ingesters and blocks together: what is in either, or both, comes once; and what of blocks need not be
 * read is not.
 */
#include <semaphore.h>

#include "common/base/rng.h"
#include "querier/logs/logopened.h"
#include "querier/logs/logstored.h"
#include "querier/logs/logtable.h"
#include "tests/unit/querier/logs/stored_fixture.h"

/* ---- the seam ---- */

TEST(logstored_what_ingesters_have_dropped_comes_of_blocks)
{
    struct line kept[] = {{"a", T0 + 2 * NS_PER_S, "new", NULL}};
    struct rig g;

    rig_up(&g, 3600000); /* nothing makes it look for an hour */
    check_lines(&g, "{app=\"a\"}", "");
    PUT(&g, {"a", T0 + NS_PER_S, "old", NULL});
    for (size_t i = 0; i < 3; i++)
        tell(&g, &g.peers.p[i], kept, 1, true);
    check_lines(&g, "{app=\"a\"}", "{app=\"a\"} 2=new "); /* nobody has dropped anything */
    atomic_store(&g.peers.p[1].mark, 1);                  /* one is enough */
    check_lines(&g, "{app=\"a\"}", "{app=\"a\"} 1=old 2=new ");
    rig_down(&g);
}

TEST(logstored_a_catalogue_older_than_what_was_dropped_is_refused)
{
    struct rig g;

    rig_up(&g, 0);
    PUT(&g, {"a", T0 + NS_PER_S, "old", NULL});
    mark_all(&g, 2);
    CHECK_ERR(ask(&g, lines_of("{app=\"a\"}", true, 10)), ERR_UNAVAILABLE,
              "version 2 of the catalogue of tenant t, and here it is at 1");
    mark_all(&g, 1);
    check_lines(&g, "{app=\"a\"}", "{app=\"a\"} 1=old ");
    rig_down(&g);
}

TEST(logstored_without_an_answer_of_the_bucket_there_is_a_warning_or_an_error)
{
    struct rig g;

    rig_up(&g, 0);
    PUT(&g, {"a", T0 + NS_PER_S, "old", NULL});
    g.bucket.failing = 1 << 20;
    CHECK_ERR(ask(&g, lines_of("{app=\"a\"}", true, 10)), ERR_UNAVAILABLE, "told to fail");
    g.bucket.failing = 0;
    check_lines(&g, "{app=\"a\"}", "{app=\"a\"} 1=old ");
    CHECK_INT(g.sq.warnings.len, 0);
    PUT(&g, {"a", T0 + 2 * NS_PER_S, "newer", NULL});
    g.bucket.failing = 1 << 20; /* what is known is still read */
    check_lines(&g, "{app=\"a\"}", "{app=\"a\"} 1=old ");
    CHECK_INT(g.sq.warnings.len, 1);
    rig_down(&g);
}

TEST(logstored_a_block_that_is_gone_is_an_error)
{
    struct arena *a = arena_new(0);
    struct rig g;

    rig_up(&g, 0);
    PUT(&g, {"a", T0 + NS_PER_S, "old", NULL});
    CHECK_OK(objstore_delete(
        g.bucket.below, slice_cstr(arena_printf(
                            a, "%.*s/meta.json",
                            SLICE_ARG(block_store_prefix(a, SLICE("logs"), TENANT,
                                                         ulid_make(1, (const uint8_t[10]){0})))))));
    CHECK_ERR(ask(&g, lines_of("{app=\"a\"}", true, 10)), ERR_UNAVAILABLE, "block ");
    arena_free(a);
    rig_down(&g);
}

/* ---- each line once ---- */

TEST(logstored_lines_of_replicas_and_blocks_come_once)
{
    struct line some[] = {{"a", T0 + NS_PER_S, "one", NULL},
                          {"a", T0 + NS_PER_S, "one", "x"},
                          {"a", T0 + 3 * NS_PER_S, "three", NULL},
                          {"b", T0 + NS_PER_S, "of b", NULL}};
    struct logquery q;
    struct rig g;

    rig_up(&g, 0);
    put_block(&g, some, 2);
    put_block(&g, some, 4); /* overlaps it */
    PUT(&g, {"a", T0 + 2 * NS_PER_S, "two", NULL});
    for (size_t i = 0; i < 3; i++)
        tell(&g, &g.peers.p[i], some + i, 4 - i, true);
    q = lines_of("{app=~\"a|b\"}", true, 100);
    q.end_ns = T0 + 10 * NS_PER_S; /* one stretch */
    CHECK_OK(ask(&g, q));
    CHECK_SLICE(text_of(&g.out, &g.r),
                "{app=\"a\"} 1=one 2=two 3=three {app=\"a\", id=\"x\"} 1=one {app=\"b\"} 1=of b ");
    CHECK_INT(g.r.stats.lines, 5);
    CHECK_INT(g.r.stats.source.ingesters, 3);
    CHECK_INT(g.r.stats.source.blocks, 3);
    CHECK_INT(g.r.stats.source.block_lines + g.r.stats.source.ingester_lines,
              5 + g.r.stats.source.duplicates);
    rig_down(&g);
}

/* ---- what is not read ---- */

TEST(logstored_backward_with_a_limit_only_the_newest_blocks_are_opened)
{
    struct rig g;

    rig_up(&g, 3600000);
    for (int i = 0; i < 6; i++) {
        struct line lines[20];

        for (int k = 0; k < 20; k++) /* each has some a moment older than its window */
            lines[k] = (struct line){k % 2 ? "a" : "b",
                                     T0 + 2 * i * HOUR + (k * 350 - 2) * NS_PER_S, "line", NULL};
        put_block(&g, lines, 20);
    }
    CHECK_OK(ask(&g, lines_of("{app=~\"a|b\"}", false, 3)));
    CHECK_SLICE(text_of(&g.out, &g.r), "{app=\"a\"} 42648=line 41948=line {app=\"b\"} 42298=line ");
    CHECK_INT(opened(&g), 1);
    g.lanes = 2; /* threads have no other blocks */
    CHECK_OK(ask(&g, lines_of("{app=~\"a|b\"}", false, 3)));
    CHECK_INT(g.r.stats.entries, 3);
    CHECK_INT(opened(&g), 1);
    g.lanes = 0;
    CHECK_OK(ask(&g, lines_of("{app=~\"a|b\"}", true, 3)));
    CHECK_SLICE(text_of(&g.out, &g.r), "{app=\"a\"} 348=line 1048=line {app=\"b\"} 698=line ");
    CHECK_INT(opened(&g), 2);
    /* more than a window has */
    CHECK_OK(ask(&g, lines_of("{app=~\"a|b\"}", false, 25)));
    CHECK_INT(g.r.stats.entries, 25);
    CHECK_INT(opened(&g), 3);
    CHECK_OK(ask(&g, lines_of("{app=~\"a|b\"}", false, 1000)));
    CHECK_INT(g.r.stats.entries, 119); /* one is before the range */
    CHECK_INT(opened(&g), 6);
    rig_down(&g);
}

TEST(logstored_blocks_without_the_stream_are_not_opened)
{
    struct store_stats st;
    struct rig g;

    rig_up(&g, 0);
    PUT(&g, {"a", T0 + NS_PER_S, "of a", NULL});
    PUT(&g, {"b", T0 + NS_PER_S, "of b", NULL});
    check_lines(&g, "{app=\"a\"}", "{app=\"a\"} 1=of a ");
    store_stats_get(g.store, &st);
    CHECK_INT(st.log_blocks.opened, 1);
    CHECK(st.logs.skipped[BLOCK_SKIP_SUMMARY] > 0);
    rig_down(&g);
}

TEST(logstored_open_blocks_keep_to_their_share_of_the_memory)
{
    enum { N = 40 };
    struct store_stats st;
    struct rig g;

    rig_up_with(&g, 3600000, 64u << 10);
    for (int i = 0; i < N; i++)
        PUT(&g, {"a", T0 + i * HOUR / 2, "line", NULL}, {"b", T0 + i * HOUR / 2, "line", NULL});
    for (int round = 0; round < 2; round++) {
        CHECK_OK(ask(&g, lines_of("{app=~\"a|b\"} |= \"line\"", false, 1000)));
        CHECK_INT(g.r.stats.entries, 2 * N);
        store_stats_get(g.store, &st);
        CHECK(st.log_blocks.open < N);
        CHECK(st.log_blocks.reader_bytes <= st.pages.max_bytes / 2);
        CHECK_INT(st.pages.held_bytes, st.log_blocks.reader_bytes);
    }
    CHECK(st.log_blocks.opened > N);
    rig_down(&g);
}

TEST(logstored_what_takes_too_much_is_not_opened_ahead)
{
    struct label app = {SLICE("app"), SLICE("a")};
    struct matcher m = {.op = MATCHER_EQ, .name = app.name, .value = app.value};
    const struct logblock_query q = {
        .matchers = {&m, 1}, .from_ns = T0, .to_ns = T0 + HOUR, .n_readers = 1};
    struct arena *little = arena_new(100), *enough = arena_new(1 << 20);
    struct logopened *o;
    struct rig g;

    rig_up(&g, 0);
    PUT(&g, {"a", T0 + NS_PER_S, "one", NULL});
    CHECK_ERR(logopened_ahead(&g.sq, little, &q, &o), ERR_LIMIT, "ahead");
    CHECK_INT(arena_used(little), 0);
    CHECK_OK(logopened_ahead(&g.sq, enough, &q, &o));
    CHECK(arena_used(enough) > 100);
    logopened_close(o);
    CHECK_INT(arena_used(enough), 0);
    arena_free(little);
    arena_free(enough);
    rig_down(&g);
}

TEST(logstored_pages_without_the_needle_are_passed_over)
{
    enum { N = 12000 };
    struct line *lines;
    struct rng r;
    struct rig g;

    rig_up(&g, 0);
    rng_seed(&r, 1);
    lines = arena_array(g.arena, struct line, N);
    for (size_t i = 0; i < N; i++) { /* of 400 bytes of which no two are alike: some pages */
        char *text = arena_alloc(g.arena, 401);

        for (size_t k = 0; k < 400; k++)
            text[k] = (char)('a' + rng_below(&r, 26));
        text[400] = 0;
        lines[i] = (struct line){"a", T0 + (int64_t)i * NS_PER_S / 2, text, NULL};
    }
    memcpy((char *)lines[777].text + 100, "a very special text", 19);
    put_block(&g, lines, N);
    CHECK_OK(ask(&g, lines_of("{app=\"a\"} |= \"a very special text\"", true, 10)));
    CHECK_INT(g.r.stats.entries, 1);
    CHECK(g.r.stats.source.pages <= 2); /* it may reach into two stretches */
    CHECK(g.r.stats.source.pages_skipped > 0);
    CHECK(g.r.stats.source.filter_bytes > 0);
    CHECK_INT(g.r.stats.source.block_lines, 1);
    /* what the pipeline makes of a line is not what is in the page */
    CHECK_OK(
        ask(&g, lines_of("{app=\"a\"} | line_format \"x\" |= \"a very special text\"", true, 10)));
    CHECK_INT(g.r.stats.entries, 0);
    CHECK_INT(g.r.stats.lines, N);
    {
        struct logquery q = lines_of("{app=\"a\"} |= \"a very special\" != \"x\"", true, 10);

        q.max_bytes = 1;
        CHECK_ERR(ask(&g, q), ERR_LIMIT, "max-query-bytes-read");
        q = lines_of("count_over_time({app=\"a\"} |= \"a very special text\" [1h])", true, 0);
        q.start_ns = q.end_ns = T0 + HOUR;
        q.step_ns = 0;
        CHECK_OK(ask(&g, q));
        CHECK_INT(g.r.metric.n_series, 1);
    }
    rig_down(&g);
}

/* ---- beside lines ---- */

TEST(logstored_names_and_streams_are_those_of_blocks_too)
{
    struct logremote_range range = {.start_ns = T0, .end_ns = T0 + HOUR};
    struct store_names names;
    struct logremote_streams *s;
    struct logremote_stream st;
    struct rig g;

    rig_up(&g, 0);
    PUT(&g, {"a", T0, "0123456789", NULL}, {"a", T0 + HOUR / 2 - 1, "0123456789", NULL},
        {"b", T0 + 1, "0123456789", NULL});
    PUT(&g, {"a", T0 + HOUR / 2, "01234567890123456789", NULL},
        {"a", T0 + 3 * HOUR / 2 - 1, "01234567890123456789", NULL});
    PUT(&g, {"late", T0 + 2 * HOUR, "x", NULL});
    new_query(&g);
    CHECK_OK(logremote_names(&g.remote, (struct matchers){0}, SLICE("app"), range, &names));
    CHECK_INT(names.n, 2);
    CHECK_SLICE(names.ptr[0], "a");
    CHECK_SLICE(names.ptr[1], "b");
    CHECK_OK(logremote_names(&g.remote, (struct matchers){0}, (struct slice){0}, range, &names));
    CHECK_INT(names.n, 1);
    CHECK_SLICE(names.ptr[0], "app");
    CHECK_OK(logremote_streams(&g.remote, (struct matchers){0}, range, true, &s));
    while (logremote_streams_next(s, &st)) /* of the second block half the time is in the range */
        buf_printf(&g.out, "%.*s %llu %llu; ", SLICE_ARG(labels_get(st.labels, SLICE("app"))),
                   (unsigned long long)st.entries, (unsigned long long)st.bytes);
    CHECK_OK(logremote_streams_close(s));
    if (slice_find(buf_slice(&g.out), SLICE("a "), 0) == 0)
        CHECK_SLICE(buf_slice(&g.out), "a 3 40; b 1 10; ");
    else
        CHECK_SLICE(buf_slice(&g.out), "b 1 10; a 3 40; ");
    rig_down(&g);
}

TEST(logstored_volumes_are_spread_over_steps)
{
    struct logremote_range range = {T0, T0 + HOUR, HOUR / 4};
    struct logremote_streams *s;
    struct logremote_stream st;
    struct rig g;

    rig_up(&g, 0);
    PUT(&g, {"a", T0, "0123456789", NULL}, {"a", T0 + HOUR / 2 - 1, "0123456789", NULL});
    PUT(&g, {"a", T0 + HOUR / 2, "01234567890123456789", NULL},
        {"a", T0 + 3 * HOUR / 2 - 1, "01234567890123456789", NULL});
    new_query(&g);
    CHECK_OK(logremote_streams(&g.remote, (struct matchers){0}, range, true, &s));
    while (logremote_streams_next(s, &st))
        for (size_t i = 0; i < 4; i++)
            buf_printf(&g.out, "%llu ", (unsigned long long)st.steps[i]);
    CHECK_OK(logremote_streams_close(s));
    CHECK_SLICE(buf_slice(&g.out), "10 10 10 10 ");
    rig_down(&g);
}

/* ---- against a table ---- */

static const char *const apps[] = {"a", "b", "c", "d"};

/* Most lie in the window, some late, some long before. */
/* Of a window. Under a sanitizer, above all of threads, all takes ten times as long. */
#ifdef ORR_SANITIZED
#define RANDOM_LINES 80
#else
#define RANDOM_LINES 300
#endif

static struct line random_line(struct rig *g, struct rng *r, int64_t window_ns)
{
    int64_t t = window_ns + (int64_t)rng_below(r, 7200) * NS_PER_S;

    if (rng_chance(r, 0.02))
        t -= (int64_t)rng_below(r, 12) * HOUR;
    if (rng_chance(r, 0.1)) /* many of one moment */
        t = window_ns + HOUR;
    return (struct line){
        apps[rng_below(r, 4)], t,
        arena_printf(g->arena, "line number %u of some", (unsigned)rng_below(r, 40)),
        rng_chance(r, 0.3) ? "x" : NULL};
}

/* Each line once: (app, time, text, id). */
static size_t without_doubles(struct line *lines, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        bool is_twice = false;

        for (size_t k = 0; k < kept && !is_twice; k++)
            is_twice = lines[k].app == lines[i].app && lines[k].t_ns == lines[i].t_ns &&
                       strcmp(lines[k].text, lines[i].text) == 0;
        if (!is_twice)
            lines[kept++] = lines[i];
    }
    return kept;
}

/* In pieces, on some threads, the answer is what it is in one, whatever the limit. */
static void check_pieces(struct rig *g, struct logquery q)
{
    static const unsigned lanes[] = {1, 2, 4}; /* one: with reads ahead */
    struct logquery_result whole = g->r;
    struct buf want = {0};

    (void)text_of(&want, &whole);
    g->cut_bytes = 500;
    for (size_t i = 0; i < ORR_COUNT(lanes); i++) {
        uint64_t before = selected(g);

        g->lanes = lanes[i];
        CHECK_OK(ask(g, q));
        CHECK_SLICE(text_of(&g->out, &g->r), buf_cstr(&want));
        CHECK_INT(g->r.stats.entries, whole.stats.entries);
        check_metric(&g->r.metric, &whole.metric);
        if (whole.is_metric) {
            CHECK_INT(g->r.stats.lines, whole.stats.lines);
            CHECK_INT(g->r.stats.bytes, whole.stats.bytes);
            CHECK_INT(selected(g) - before, g->r.stats.source.blocks);
        }
    }
    g->lanes = 0;
    g->cut_bytes = 0;
    buf_done(&want);
}

static void check_against(struct rig *g, struct logtable *table, struct logquery q)
{
    struct logquery_result want;
    struct buf text = {0};

    CHECK_OK(logquery(g->eng, &q, logtable_source(table), g->arena, &want));
    CHECK_OK(ask(g, q));
    CHECK_INT(g->r.n_streams, want.n_streams);
    CHECK_INT(g->r.stats.entries, want.stats.entries);
    if (q.limit >= 100000) /* with less, which lines of one moment are in is open */
        CHECK_SLICE(text_of(&text, &want), buf_cstr((text_of(&g->out, &g->r), &g->out)));
    check_metric(&g->r.metric, &want.metric);
    check_pieces(g, q);
    buf_done(&text);
}

struct telling {
    struct rig *g;
    struct peer *p;
    struct line *lines;
    size_t n;
    bool is_forward;
    sem_t is_told;
};

static void tell_here(void *arg)
{
    struct telling *t = arg;

    tell(t->g, t->p, t->lines, t->n, t->is_forward);
    sem_post(&t->is_told);
}

/* On the ingester's own thread: it may still look at what it answered a query that wanted no more of it. */
static void tell_on_loop(struct rig *g, struct peer *p, struct line *lines, size_t n,
                         bool is_forward)
{
    struct telling t = {g, p, lines, n, is_forward, {{0}}};

    CHECK_INT(sem_init(&t.is_told, 0, 0), 0);
    loop_post(p->loop, tell_here, &t);
    while (sem_wait(&t.is_told))
        ;
    CHECK_INT(sem_destroy(&t.is_told), 0);
}

/* Ingesters have those lines of both lists that the selector matches. */
static void tell_matching(struct rig *g, const char *expr, const struct line *a, size_t n_a,
                          const struct line *b, size_t n_b, bool is_forward)
{
    struct line *recent = arena_array(g->arena, struct line, n_a + n_b);
    struct logql q;
    size_t n = 0;

    CHECK_OK(logql_parse(g->arena, slice_cstr(expr), &q));
    for (size_t i = 0; i < n_a + n_b; i++) {
        const struct line *l = i < n_a ? &a[i] : &b[i - n_a];

        if (matchers_match(q.root->u.logs.matchers, labels_of(g->arena, l->app)))
            recent[n++] = *l;
    }
    logql_done(&q);
    for (size_t i = 0; i < g->peers.n; i++)
        tell_on_loop(g, &g->peers.p[i], recent, n, is_forward);
}

/* What hangs on the order of samples, or of their sum; a table has another one. */
static void check_order(struct rig *g, const char *expr, struct logquery q)
{
    static const char *const ranges[] = {
        "sum_over_time(%s | regexp \"(?P<n>[0-9]+)\" | label_format n=\"0.{{.n}}3\" | unwrap n "
        "[3h])",
        "stdvar_over_time(%s | regexp \"(?P<n>[0-9]+)\" | unwrap n [90m]) by (id)",
        "quantile_over_time(0.3, %s | regexp \"(?P<n>[0-9]+)\" | unwrap n [2h]) by (app)",
        "first_over_time(%s | regexp \"(?P<n>[0-9]+)\" | unwrap n [2h]) by (app)",
        "rate_counter(%s | regexp \"(?P<n>[0-9]+)\" | unwrap n [2h] offset 20m)",
        "absent_over_time(%s |= \"number 39\" [5m])",
        "topk(2, sum by (id) (bytes_rate(%s [1h])))",
    };

    for (size_t i = 0; i < ORR_COUNT(ranges); i++) {
        struct buf b = {0};
        struct slice head = slice_cstr(ranges[i]), tail;
        size_t at = slice_find(head, SLICE("%s"), 0);

        tail = slice_from(head, at + 2);
        buf_slice_append(&b, slice_sub(head, 0, at));
        buf_str(&b, expr);
        buf_slice_append(&b, tail);
        q.expr = arena_dup(g->arena, buf_slice(&b));
        buf_done(&b);
        CHECK_OK(ask(g, q));
        check_pieces(g, q);
    }
}

static void check_expr(struct rig *g, struct logtable *table, struct rng *r, const char *expr,
                       bool is_forward)
{
    struct logquery q = lines_of(expr, is_forward, 100000);

    check_against(g, table, q);
    q.start_ns = T0 + 3 * HOUR + 17;
    q.end_ns = T0 + 9 * HOUR + 1;
    check_against(g, table, q);
    q.limit = 1 + (uint32_t)rng_below(r, 200);
    check_against(g, table, q);
    if (!is_forward)
        return;
    q.expr = slice_cstr(arena_printf(g->arena, "sum by (app) (count_over_time(%s [30m]))", expr));
    q.step_ns = 600 * NS_PER_S;
    check_against(g, table, q);
    if (strcmp(expr, "{app=~\".+\"}") == 0)
        check_order(g, expr, q);
}

/* Of a window's lines in the bucket, in one block or two that overlap. */
static void put_window(struct rig *g, struct rng *r, struct line *lines, size_t n)
{
    put_block(g, lines, rng_chance(r, 0.5) ? n : n / 2);
    put_block(g, lines + n / 3, n - n / 3);
}

/* In both directions; of a and b ingesters have what matches. */
static void check_exprs(struct rig *g, struct logtable *table, struct rng *r,
                        const char *const *exprs, size_t n, const struct line *a, size_t n_a,
                        const struct line *b, size_t n_b)
{
    for (int is_forward = 0; is_forward < 2; is_forward++)
        for (size_t i = 0; i < n; i++) {
            tell_matching(g, exprs[i], a, n_a, b, n_b, is_forward);
            check_expr(g, table, r, exprs[i], is_forward);
        }
}

/* The last window is in ingesters, the one before in both. */
static void check_random(uint64_t seed)
{
    enum { WINDOWS = 5, EACH = RANDOM_LINES };
    static const char *const exprs[] = {"{app=~\".+\"}", "{app=\"a\"}",
                                        "{app=~\"a|c\"} |= \"line number 1\"",
                                        "{app=~\"a|c|d\"} |~ \"number 2. of\" != \"24\""};
    struct logtable *table = logtable_new();
    struct line lines[WINDOWS][EACH];
    size_t n[WINDOWS];
    struct rng r;
    struct rig g;

    rig_up(&g, 0);
    rng_seed(&r, seed);
    for (int w = 0; w < WINDOWS; w++) {
        for (int i = 0; i < EACH; i++)
            lines[w][i] = random_line(&g, &r, T0 + w * 2 * HOUR);
        n[w] = without_doubles(lines[w], EACH);
        qsort(lines[w], n[w], sizeof(**lines), by_place);
        for (size_t i = 0; i < n[w]; i++)
            logtable_add(table, labels_of(g.arena, lines[w][i].app),
                         &(struct logsource_entry){lines[w][i].t_ns, slice_cstr(lines[w][i].text),
                                                   metadata_of(g.arena, &lines[w][i])});
        if (w < WINDOWS - 1)
            put_window(&g, &r, lines[w], n[w]);
    }
    check_exprs(&g, table, &r, exprs, ORR_COUNT(exprs), lines[WINDOWS - 2], n[WINDOWS - 2],
                lines[WINDOWS - 1], n[WINDOWS - 1]);
    logtable_free(table);
    rig_down(&g);
}

TEST(logstored_random_lines_wherever_they_are)
{
    check_random(1);
}

TEST(logstored_other_random_lines)
{
    check_random(2);
}

TEST(logstored_still_other_random_lines)
{
    check_random(3);
}

/* ---- without what is deleted ---- */

struct deletion {
    const char *query;
    int64_t min_ns, max_ns;
};

static struct err *add_deletion(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    const struct deletion *d = arg;
    struct arena *a = arena_new(0);
    size_t n;
    struct logql q;

    (void)tombstone_list_all(l, &n);
    CHECK_OK(logql_parse(a, slice_cstr(d->query), &q));
    CHECK_OK(tombstone_list_add(
        l, &(struct tombstone){.ulid = ulid_make((int64_t)n, (const uint8_t[10]){1}),
                               .min_ms = d->min_ns / NS_PER_MS,
                               .max_ms = d->max_ns / NS_PER_MS,
                               .matchers = q.root->u.logs.matchers,
                               .query = slice_cstr(d->query)}));
    logql_done(&q);
    arena_free(a);
    *ret_changed = true;
    return NULL;
}

static void erase(struct rig *g, const char *query, int64_t min_ns, int64_t max_ns)
{
    CHECK_OK(tombstone_list_update(g->bucket.below, SLICE("logs"), TENANT, add_deletion,
                                   &(struct deletion){query, min_ns, max_ns}, NULL));
}

static bool is_named(const char *app, const char *value, const struct line *l, const char *text,
                     int64_t min_ns, int64_t max_ns)
{
    return strcmp(app, value) == 0 && strstr(l->text, text) && l->t_ns >= min_ns &&
           l->t_ns / NS_PER_MS <= max_ns / NS_PER_MS;
}

/* What check_random() asks, of lines of which some are deleted: in blocks, in ingesters, in both. */
static void check_deleted(uint64_t seed)
{
    enum { WINDOWS = 4, EACH = RANDOM_LINES };
    static const char *const exprs[] = {"{app=~\".+\"}", "{app=\"a\"}", "{app=\"d\"}",
                                        "{app=~\"a|c\"} |= \"line number 1\""};
    const int64_t end = T0 + 24 * HOUR;
    struct logtable *table = logtable_new();
    struct line lines[WINDOWS][EACH];
    size_t n[WINDOWS], left = 0;
    struct rng r;
    struct rig g;

    rig_up(&g, 0);
    rng_seed(&r, seed);
    erase(&g, "{app=\"a\"} |= \"number 1\"", 0, end);
    erase(&g, "{app=~\"a|b\"}", T0 + HOUR, T0 + 3 * HOUR);
    erase(&g, "{app=\"c\"} | logfmt |~ \"number 2.\" | line_format \"y\"", T0, T0 + 5 * HOUR);
    erase(&g, "{app=\"d\"}", 0, end);
    for (int w = 0; w < WINDOWS; w++) {
        for (int i = 0; i < EACH; i++)
            lines[w][i] = random_line(&g, &r, T0 + w * 2 * HOUR);
        n[w] = without_doubles(lines[w], EACH);
        qsort(lines[w], n[w], sizeof(**lines), by_place);
        for (size_t i = 0; i < n[w]; i++) {
            const struct line *l = &lines[w][i];

            if (is_named("a", l->app, l, "number 1", 0, end) ||
                is_named("a", l->app, l, "", T0 + HOUR, T0 + 3 * HOUR) ||
                is_named("b", l->app, l, "", T0 + HOUR, T0 + 3 * HOUR) ||
                is_named("c", l->app, l, "number 2", T0, T0 + 5 * HOUR) ||
                is_named("d", l->app, l, "", 0, end))
                continue;
            left++;
            logtable_add(
                table, labels_of(g.arena, l->app),
                &(struct logsource_entry){l->t_ns, slice_cstr(l->text), metadata_of(g.arena, l)});
        }
        if (w < WINDOWS - 1)
            put_window(&g, &r, lines[w], n[w]);
    }
    CHECK(left > WINDOWS * EACH / 3);
    check_exprs(&g, table, &r, exprs, ORR_COUNT(exprs), lines[WINDOWS - 2], n[WINDOWS - 2],
                lines[WINDOWS - 1], n[WINDOWS - 1]);
    logtable_free(table);
    rig_down(&g);
}

TEST(logstored_random_lines_of_which_some_are_deleted)
{
    check_deleted(11);
}

TEST(logstored_other_random_lines_of_which_some_are_deleted)
{
    check_deleted(12);
}

static void check_streams(struct rig *g, struct logremote_range range, bool wants_volume,
                          const char *const *want)
{
    struct logremote_streams *s;
    struct logremote_stream st;
    size_t n = 0;

    new_query(g);
    CHECK_OK(logremote_streams(&g->remote, (struct matchers){0}, range, wants_volume, &s));
    buf_reset(&g->out);
    while (logremote_streams_next(s, &st)) {
        buf_printf(&g->out, "%.*s", SLICE_ARG(labels_get(st.labels, SLICE("app"))));
        if (wants_volume)
            buf_printf(&g->out, " %llu %llu", (unsigned long long)st.entries,
                       (unsigned long long)st.bytes);
        buf_str(&g->out, ";");
    }
    CHECK_OK(logremote_streams_close(s));
    for (; want[n]; n++)
        CHECK(slice_find(buf_slice(&g->out), slice_cstr(want[n]), 0) >= 0);
    for (size_t i = 0; i < g->out.len; i++)
        n -= g->out.ptr[i] == ';';
    CHECK_INT(n, 0);
}

static void check_names(struct rig *g, struct logremote_range range, const char *want)
{
    struct store_names names;
    struct buf out = {0};

    new_query(g);
    CHECK_OK(logremote_names(&g->remote, (struct matchers){0}, SLICE("app"), range, &names));
    for (size_t i = 0; i < names.n; i++)
        buf_printf(&out, "%.*s;", SLICE_ARG(names.ptr[i]));
    CHECK_SLICE(buf_slice(&out), want);
    buf_done(&out);
}

TEST(logstored_streams_and_names_are_of_what_is_left)
{
    struct logremote_range all = {.start_ns = T0 - HOUR, .end_ns = T0 + 8 * HOUR};
    struct logremote_range late = {.start_ns = T0 + HOUR, .end_ns = T0 + 8 * HOUR};
    struct rig g;

    rig_up(&g, 0);
    PUT(&g, {"a", T0, "secret one", NULL}, {"a", T0 + 1, "plain", "meta"},
        {"b", T0, "secret two", NULL}, {"c", T0, "plain", NULL}, {"d", T0, "plain", NULL});
    PUT(&g, {"b", T0 + 2 * HOUR, "secret three", NULL}, {"c", T0 + 2 * HOUR, "plain too", NULL},
        {"d", T0 + 2 * HOUR, "plain", NULL}, {"e", T0 + 2 * HOUR, "plain", NULL});
    erase(&g, "{app=~\"a|b\"} |= \"secret\"", T0, T0 + 7 * HOUR);
    erase(&g, "{app=\"a\"} |= \"secret one\"", T0, T0 + 7 * HOUR); /* a second time */
    erase(&g, "{app=\"c\"}", 0, T0 + HOUR);
    erase(&g, "{app=\"d\"}", 0, T0 + 9 * HOUR);
    check_streams(&g, all, true, (const char *const[]){"a 1 11;", "c 1 9;", "e 1 5;", NULL});
    check_streams(&g, all, false, (const char *const[]){"a;", "c;", "e;", NULL});
    check_names(&g, all, "a;c;e;");
    check_streams(&g, late, true, (const char *const[]){"c 1 9;", "e 1 5;", NULL});
    check_names(&g, late, "c;e;");
    rig_down(&g);
}

/* ---- fields ---- */

static const char *field_line(struct rig *g, struct rng *r, bool is_mixed)
{
    static const char *const others[] = {
        "{\"n\":\"12ms\",\"m\":1}",
        "{\"n\":null}",
        "{\"m\":7}",
        "{\"a\":{\"n\":25}}",
        "{\"n\":3,\"n\":30}",
        "no json",
        "n=17 m=x",
        "n=3 n=30",
        "n= m=40",
        "{\"n\":-4.5}",
        "{\"n\":1e3}",
        "{\"n\":\"25\"}",
        "{\"app\":7}",
        "{\"id\":9,\"n\":1}",
        "{\"n\":50,\"m\":",
        "{\"a\":{\"n\":25},\"a_n\":3}",
        "{\"a-n\":25}",
        "{\"n_extracted\":50,\"n\":1}",
        "",
    };
    unsigned n = (unsigned)rng_below(r, 40);

    if (is_mixed && rng_chance(r, 0.6))
        return others[rng_below(r, ORR_COUNT(others))];
    return is_mixed && rng_chance(r, 0.3) ? arena_printf(g->arena, "n=%u m=%u", n, n / 3)
                                          : arena_printf(g->arena, "{\"n\":%u,\"m\":0.%u}", n, n);
}

/* One block of numbers alone and one of all that there can be, or (is_one) both in one. */
static void put_fields(struct rig *g, struct logtable *table, struct rng *r, bool is_one)
{
    enum { N = 1200 };
    struct line *lines = arena_array(g->arena, struct line, N);

    for (int i = 0; i < N; i++) {
        bool is_mixed = i >= N / 2;

        lines[i] =
            (struct line){apps[rng_below(r, 4)], T0 + (int64_t)i * NS_PER_S,
                          field_line(g, r, is_mixed), is_mixed && rng_chance(r, 0.3) ? "5" : NULL};
        logtable_add(table, labels_of(g->arena, lines[i].app),
                     &(struct logsource_entry){lines[i].t_ns, slice_cstr(lines[i].text),
                                               metadata_of(g->arena, &lines[i])});
    }
    if (is_one) {
        put_block(g, lines, N);
        return;
    }
    put_block(g, lines, N / 2);
    put_block(g, lines + N / 2, N / 2);
}

static void check_fields(bool is_one)
{
    static const char *const stages[] = {
        "| json | n > 30",
        "| json | n >= 30",
        "| json | n < 3",
        "| json | n <= 0",
        "| json | n == 17",
        "| json | n != 17",
        "| json | n > 1000",
        "| json | m < 0.2",
        "| json | a_n > 20",
        "| json | id > 3",
        "| json | id_extracted > 3",
        "| json | app > 3",
        "| json | app_extracted > 3",
        "| json | n_extracted > 3",
        "| json | n > 30 and m > 0.32",
        "| json | n > 30 or m > 0.32",
        "| json | n > 30, m > 0.32",
        "| json |= \"m\" | n > 30 | m > 0.32",
        "|= \"n\" | json | n > 30",
        "| json n=\"m\" | n > 30",
        "| json | n > 10ms",
        "| logfmt | n > 30",
        "| logfmt | n <= 3",
        "| logfmt --strict | n > 30",
        "| logfmt --keep-empty | n > 30",
        "| logfmt | json | n > 30",
        "| json | logfmt | n > 30",
        "| line_format \"n=40\" | logfmt | n > 30",
        "| json | nothing > 3",
        "| json | n > 30 | __error__=\"\"",
    };
    struct logtable *table = logtable_new();
    struct rng r;
    struct rig g;

    rig_up(&g, 0);
    rng_seed(&r, 7);
    put_fields(&g, table, &r, is_one);
    for (size_t i = 0; i < ORR_COUNT(stages); i++) {
        const char *expr = arena_printf(g.arena, "{app=~\".+\"} %s", stages[i]);
        struct logquery q = lines_of(expr, true, 100000);

        check_against(&g, table, q);
        q.is_forward = false;
        q.limit = 5;
        check_against(&g, table, q);
        q.expr = slice_cstr(arena_printf(
            g.arena, "sum by (app) (count_over_time(%s | __error__=\"\" [5m]))", expr));
        q.step_ns = 300 * NS_PER_S;
        check_against(&g, table, q);
    }
    logtable_free(table);
    rig_down(&g);
}

TEST(logstored_fields_are_those_that_parsers_make)
{
    check_fields(false);
}

TEST(logstored_fields_of_pages_with_all_sorts_of_lines)
{
    check_fields(true);
}

TEST(logstored_lines_out_of_bounds_are_not_read)
{
    enum { N = 5000 };
    struct line *lines;
    struct rig g;

    rig_up(&g, 0);
    lines = arena_array(g.arena, struct line, N);
    for (unsigned i = 0; i < N; i++)
        lines[i] = (struct line){"a", T0 + (int64_t)i * NS_PER_S / 2,
                                 arena_printf(g.arena, "{\"ms\":%u}", i % 1000), NULL};
    put_block(&g, lines, N);
    CHECK_OK(ask(&g, lines_of("{app=\"a\"} | json | ms > 998", true, 100)));
    CHECK_INT(g.r.stats.entries, N / 1000);
    CHECK_INT(g.r.stats.source.block_lines, N / 1000);
    CHECK_OK(ask(&g, lines_of("{app=\"a\"} | json | ms > 999", true, 100)));
    CHECK_INT(g.r.stats.source.block_lines, 0);
    CHECK_INT(g.r.stats.source.pages, 0);
    CHECK(g.r.stats.source.pages_skipped > 0);
    rig_down(&g);
}
