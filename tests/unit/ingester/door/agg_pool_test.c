#include "ingester/door/agg_match.h"
#include "ingester/door/agg_pool.h"
#include "tests/unit/ingester/door/push_text.h"
#include "tests/unit/test.h"

#define S 1000
#define T0 1767225600000 /* a whole minute */
#define RULES                                                                                      \
    "- {match: '{__name__=~\"hits.*\"}', without: [pod], outputs: [total], interval: 60s}\n"       \
    "- {match: temp, by: [room], outputs: [sum, count, min, max, last], interval: 60s}\n"          \
    "- {match: 'hist', by: [room], outputs: [sum, total], interval: 60s}\n"

/* An ingester on a ring where it is alone, or another one is. */
struct rig {
    struct arena *a;
    struct agg_rules rules;
    struct tenant_limits limits;
    struct ring *ring;
    struct agg_pool *pool;
    int64_t now_ms, start_ms; /* of the series given; 0: unknown */
    int self;
};

static struct ring *ring_alone(void)
{
    uint32_t token = 7;
    struct member *m;
    struct ring *r;

    CHECK_OK(member_new(&(struct member){.instance = "i",
                                         .zone = "a",
                                         .rpc_addr = "127.0.0.1:1",
                                         .http_addr = "127.0.0.1:2",
                                         .roles = MEMBER_INGESTER,
                                         .signals = MEMBER_METRICS,
                                         .state = MEMBER_ACTIVE,
                                         .tokens = &token,
                                         .n_tokens = 1},
                        &m));
    r = ring_new(&(struct ring_input){m, true}, 1,
                 &(struct ring_opts){.role = MEMBER_INGESTER, .signal = MEMBER_METRICS, .rf = 1});
    member_unref(m);
    return r;
}

static void open_rig(struct rig *t, const char *rules)
{
    struct yaml_node *root = NULL;

    *t = (struct rig){.a = arena_new(0), .pool = agg_pool_new(), .ring = ring_alone()};
    t->now_ms = T0 + 10 * S;
    t->limits = (struct tenant_limits){.generation = 1};
    CHECK_OK(yaml_load("t", slice_cstr(rules), t->a, &root));
    CHECK_OK(agg_rules_parse("t", root, t->a, &t->rules));
}

static void close_rig(struct rig *t)
{
    agg_pool_free(t->pool);
    agg_rules_done(&t->rules);
    ring_unref(t->ring);
    arena_free(t->a);
}

static struct agg_pool_call call_of(struct rig *t)
{
    return (struct agg_pool_call){.tenant = SLICE("t"),
                                  .limits = &t->limits,
                                  .rules = &t->rules,
                                  .ring = t->ring,
                                  .self = t->self,
                                  .now_ms = t->now_ms};
}

static struct hash128 key_of(struct rig *t, struct labels ls)
{
    const struct agg_rule *r = agg_rules_find(&t->rules, ls);

    return r ? agg_rule_key(r, labels_fingerprint(ls)) : (struct hash128){1, 2};
}

#define LABELS(n, k, v, pod)                                                                       \
    (struct labels)                                                                                \
    {                                                                                              \
        (struct label[]){                                                                          \
            {SLICE("__name__"), SLICE(n)}, {SLICE("pod"), slice_cstr(pod)}, {SLICE(k), SLICE(v)}}, \
            3                                                                                      \
    }

static struct err *take(struct rig *t, struct labels ls, bool with_labels, int64_t t_ms, double v,
                        const struct histogram *h, struct batch_reply *ret)
{
    struct agg_pool_call c = call_of(t);
    struct batch_writer w;
    struct buf out = {0};
    struct err *e;

    batch_writer_init(&w, T0);
    batch_series_begin(&w, key_of(t, ls));
    if (with_labels)
        batch_series_labels(&w, labels_canonical_dup(t->a, ls));
    if (h)
        batch_series_histogram(&w, t_ms, h);
    else
        batch_series_sample(&w, t_ms, v);
    batch_series_start(&w, t->start_ms);
    batch_series_end(&w);
    batch_finish(&w, &out);
    batch_writer_done(&w);
    e = agg_pool_take(t->pool, &c, buf_slice(&out), ret);
    buf_done(&out);
    return e;
}

/* At the time of now. */
static void give(struct rig *t, struct labels ls, double v)
{
    struct batch_reply r = {0};

    CHECK_OK(take(t, ls, true, t->now_ms, v, NULL, &r));
    CHECK(!r.unknown.len && r.accepted == 1);
    batch_reply_done(&r);
}

/* Goes on to the time, and what is written then; "" when nothing is due. */
static const char *at(struct rig *t, int64_t now_ms)
{
    static char text[2000];
    struct ownfeed_flush f = {
        .of = t->pool, .tenant = SLICE("t"), .now_ms = now_ms, .next = SIZE_MAX};
    struct agg_pool_call c;
    struct buf out;

    while (t->now_ms + S < now_ms) { /* as the feed does, or it looks like a pause */
        t->now_ms += S;
        c = call_of(t);
        (void)agg_pool_look(t->pool, &c);
    }
    t->now_ms = now_ms;
    c = call_of(t);
    if (!agg_pool_look(t->pool, &c))
        return "";
    out = push_text(agg_pool_decode, &f, SLICE_EMPTY);
    CHECK(f.is_done);
    (void)snprintf(text, sizeof(text), "%s", buf_cstr(&out));
    buf_done(&out);
    return text;
}

TEST(agg_pool_totals_survive_resets_and_repeats)
{
    struct rig t;
    struct batch_reply r = {0};

    open_rig(&t, RULES);
    give(&t, LABELS("hits", "room", "r", "p1"), 1000); /* the first value counts nothing */
    give(&t, LABELS("hits", "room", "r", "p2"), 50);
    CHECK_STR(at(&t, T0 + 60 * S), ""); /* not a whole interval yet */
    give(&t, LABELS("hits", "room", "r", "p1"), 1010);
    CHECK_STR(at(&t, T0 + 121 * S), "hits:total{room=\"r\"} 0 @1767225720000\n");
    CHECK_STR(at(&t, T0 + 122 * S), "");
    give(&t, LABELS("hits", "room", "r", "p2"), 55);
    CHECK_STR(at(&t, T0 + 180 * S), "hits:total{room=\"r\"} 15 @1767225780000\n");
    give(&t, LABELS("hits", "room", "r", "p1"), 3); /* a reset: all of it is new */
    CHECK_OK(take(&t, LABELS("hits", "room", "r", "p1"), false, t.now_ms, 99, NULL, &r));
    CHECK(r.accepted == 1 && !r.unknown.len); /* known by now; the same time: counted once */
    CHECK_STR(at(&t, T0 + 241 * S), "hits:total{room=\"r\"} 18 @1767225840000\n");
    batch_reply_done(&r);
    close_rig(&t);
}

/* Who says when a counter began says what is a reset, and what a pod that is new has grown by. */
TEST(agg_pool_believes_start_times)
{
    struct rig t;

    open_rig(&t, RULES);
    t.start_ms = T0 - 3600 * S;
    give(&t, LABELS("hits", "room", "r", "p1"), 1000); /* began long before we were there */
    (void)at(&t, T0 + 120 * S);
    give(&t, LABELS("hits", "room", "r", "p1"), 1001);
    t.now_ms += S;
    t.start_ms = t.now_ms - 500;
    give(&t, LABELS("hits", "room", "r", "p1"), 2000); /* more than before, but from zero */
    give(&t, LABELS("hits", "room", "r", "p2"), 7);
    t.now_ms += S;
    give(&t, LABELS("hits", "room", "r", "p1"), 2001);
    CHECK_STR(at(&t, T0 + 180 * S), "hits:total{room=\"r\"} 2009 @1767225780000\n");
    close_rig(&t);
}

TEST(agg_pool_gauges_are_those_alive)
{
    struct rig t;

    open_rig(&t, RULES);
    give(&t, LABELS("temp", "room", "r", "p1"), 20);
    give(&t, LABELS("temp", "room", "r", "p2"), 30);
    CHECK_STR(at(&t, T0 + 100 * S), "");
    give(&t, LABELS("temp", "room", "r", "p2"), 25);
    CHECK_STR(at(&t, T0 + 120 * S), "temp:sum{room=\"r\"} 45 @1767225720000\n"
                                    "temp:count{room=\"r\"} 2 @1767225720000\n"
                                    "temp:min{room=\"r\"} 20 @1767225720000\n"
                                    "temp:max{room=\"r\"} 25 @1767225720000\n"
                                    "temp:last{room=\"r\"} 25 @1767225720000\n");
    give(&t, LABELS("temp", "room", "r", "p1"), sample_from_bits(SAMPLE_STALE_BITS));
    CHECK(strstr(at(&t, T0 + 180 * S), "count{room=\"r\"} 1 @1767225780000\n"));
    /* p2 was heard of at 100 s: silent for more than five minutes, so the group ends */
    CHECK(strstr(at(&t, T0 + 360 * S), "sum{room=\"r\"} 25 @1767225960000\n"));
    CHECK(strstr(at(&t, T0 + 420 * S), "sum{room=\"r\"} nan @1767226020000\n"));
    CHECK_STR(at(&t, T0 + 480 * S), "");
    CHECK_STR(at(&t, T0 + 540 * S), "");
    close_rig(&t);
}

#define NOTHING                                                                                    \
    "temp:sum{room=\"r\"} nan @1767225780000\n"                                                    \
    "temp:count{room=\"r\"} nan @1767225780000\n"                                                  \
    "temp:min{room=\"r\"} nan @1767225780000\n"                                                    \
    "temp:max{room=\"r\"} nan @1767225780000\n"                                                    \
    "temp:last{room=\"r\"} nan @1767225780000\n"

/* As soon as nothing would be found at the time; once; and they go on when something comes. */
TEST(agg_pool_gauges_end_with_their_inputs)
{
    struct rig t;

    open_rig(&t, RULES);
    give(&t, LABELS("temp", "room", "r", "p1"), 20);
    give(&t, LABELS("temp", "room", "r", "p2"), 30);
    give(&t, LABELS("temp", "room", "never", "p3"), sample_from_bits(SAMPLE_STALE_BITS));
    CHECK(strstr(at(&t, T0 + 120 * S), "temp:count{room=\"r\"} 2 @"));
    give(&t, LABELS("temp", "room", "r", "p1"), sample_from_bits(SAMPLE_STALE_BITS));
    give(&t, LABELS("temp", "room", "r", "p2"), sample_from_bits(SAMPLE_STALE_BITS));
    CHECK_STR(at(&t, T0 + 180 * S), NOTHING);
    CHECK_STR(at(&t, T0 + 240 * S), "");
    give(&t, LABELS("temp", "room", "r", "p1"), 7);
    CHECK_STR(at(&t, T0 + 300 * S), "temp:sum{room=\"r\"} 7 @1767225900000\n"
                                    "temp:count{room=\"r\"} 1 @1767225900000\n"
                                    "temp:min{room=\"r\"} 7 @1767225900000\n"
                                    "temp:max{room=\"r\"} 7 @1767225900000\n"
                                    "temp:last{room=\"r\"} 7 @1767225900000\n");
    close_rig(&t);
}

static void give_at(struct rig *t, struct labels ls, int64_t t_ms, double v)
{
    struct batch_reply r = {0};

    CHECK_OK(take(t, ls, true, t_ms, v, NULL, &r));
    CHECK(!r.unknown.len && r.accepted == 1);
    batch_reply_done(&r);
}

/* A backlog says what was, not what is; totals grow by it. */
TEST(agg_pool_gauges_leave_old_samples_out)
{
    struct rig t;

    open_rig(&t, RULES);
    give_at(&t, LABELS("temp", "room", "r", "p1"), T0 - 181 * S, 50);
    give_at(&t, LABELS("temp", "room", "r", "p2"), T0 - 180 * S, 30);
    give_at(&t, LABELS("temp", "room", "old", "p3"), T0 - 3600 * S, 30);
    give_at(&t, LABELS("hits", "room", "r", "p1"), T0 - 3600 * S, 5);
    give_at(&t, LABELS("hits", "room", "r", "p1"), T0 - 3590 * S, 8);
    CHECK_STR(at(&t, T0 + 121 * S), "hits:total{room=\"r\"} 0 @1767225720000\n"
                                    "temp:sum{room=\"r\"} 30 @1767225720000\n"
                                    "temp:count{room=\"r\"} 1 @1767225720000\n"
                                    "temp:min{room=\"r\"} 30 @1767225720000\n"
                                    "temp:max{room=\"r\"} 30 @1767225720000\n"
                                    "temp:last{room=\"r\"} 30 @1767225720000\n");
    give_at(&t, LABELS("temp", "room", "r", "p1"), T0 - 179 * S, 40); /* came now, is as old */
    CHECK_STR(at(&t, T0 + 180 * S), "hits:total{room=\"r\"} 3 @1767225780000\n" NOTHING);
    give_at(&t, LABELS("temp", "room", "r", "p1"), T0 + 170 * S, 1);
    give_at(&t, LABELS("temp", "room", "r", "p2"), T0 + 160 * S, 2);
    CHECK(strstr(at(&t, T0 + 240 * S), "temp:last{room=\"r\"} 1 @1767225840000\n"));
    close_rig(&t);
}

TEST(agg_pool_asks_for_labels_and_knows_its_limits)
{
    struct batch_reply r = {0};
    struct rig t;

    open_rig(&t, RULES);
    t.limits.max_aggregation_inputs_per_user = 3;
    t.limits.max_aggregated_series_per_user = 1;
    CHECK_OK(take(&t, LABELS("hits", "room", "r", "p1"), false, t.now_ms, 1, NULL, &r));
    CHECK(r.unknown.len == 1 && r.accepted == 0);
    batch_reply_done(&r);
    give(&t, LABELS("hits", "room", "r", "p1"), 1);
    r = (struct batch_reply){0};
    CHECK_OK(take(&t, LABELS("hits", "room", "s", "p1"), true, t.now_ms, 1, NULL, &r));
    CHECK(r.rejected[BATCH_AGG_SERIES] == 1 && r.accepted == 0);
    give(&t, LABELS("hits", "room", "r", "p2"), 1);
    give(&t, LABELS("hits", "room", "r", "p3"), 1);
    CHECK_OK(take(&t, LABELS("hits", "room", "r", "p4"), true, t.now_ms, 1, NULL, &r));
    CHECK(r.rejected[BATCH_AGG_INPUTS] == 1);
    CHECK_ERR(take(&t, LABELS("none", "room", "r", "p4"), true, t.now_ms, 1, NULL, &r),
              ERR_UNAVAILABLE, "other rules");
    batch_reply_done(&r);
    close_rig(&t);
}

TEST(agg_pool_refuses_two_rules_for_one_series)
{
    struct batch_reply r = {0};
    struct rig t;

    open_rig(&t, "- {match: 'hits{pod=\"p1\"}', by: [room], outputs: [sum]}\n"
                 "- {match: hits, by: [room], outputs: [sum], interval: 30s}");
    give(&t, LABELS("hits", "room", "r", "p1"), 1);
    CHECK_OK(take(&t, LABELS("hits", "room", "r", "p2"), true, t.now_ms, 1, NULL, &r));
    CHECK(r.rejected[BATCH_AGG_CONFLICT] == 1);
    batch_reply_done(&r);
    close_rig(&t);
}

TEST(agg_pool_hands_over)
{
    struct batch_reply r = {0};
    struct rig t;

    open_rig(&t, RULES);
    give(&t, LABELS("hits", "room", "r", "p1"), 10);
    CHECK_STR(at(&t, T0 + 120 * S), "hits:total{room=\"r\"} 0 @1767225720000\n");
    give(&t, LABELS("hits", "room", "r", "p1"), 17);
    t.self = -1; /* the ring has another owner now */
    ring_unref(t.ring);
    t.ring = ring_alone();
    CHECK_STR(at(&t, T0 + 125 * S), "hits:total{room=\"r\"} 7 @1767225725000\n");
    CHECK_ERR(take(&t, LABELS("hits", "room", "r", "p1"), true, t.now_ms, 20, NULL, &r),
              ERR_UNAVAILABLE, "owner changes");
    t.self = 0; /* and back: it begins with zero, after a whole interval */
    give(&t, LABELS("hits", "room", "r", "p1"), 30);
    t.now_ms += S;
    give(&t, LABELS("hits", "room", "r", "p1"), 34);
    CHECK_STR(at(&t, T0 + 180 * S), "");
    CHECK_STR(at(&t, T0 + 240 * S), "hits:total{room=\"r\"} 0 @1767225840000\n");
    CHECK_STR(at(&t, T0 + 300 * S), "hits:total{room=\"r\"} 4 @1767225900000\n");
    /* a rule that is gone ends its series */
    agg_rules_done(&t.rules);
    t.limits.generation = 2;
    CHECK(strstr(at(&t, T0 + 301 * S), "hits:total{room=\"r\"} nan @1767225901000"));
    agg_pool_seal(t.pool);
    CHECK_ERR(take(&t, LABELS("hits", "room", "r", "p1"), true, t.now_ms, 20, NULL, &r),
              ERR_UNAVAILABLE, "stopping");
    batch_reply_done(&r);
    close_rig(&t);
}

/* Others may have taken it for dead, and gone on: what it had written is not told again. */
TEST(agg_pool_begins_anew_after_a_pause)
{
    struct ownfeed_flush f;
    struct agg_pool_call c;
    struct buf out;
    struct rig t;

    open_rig(&t, RULES);
    give(&t, LABELS("hits", "room", "r", "p1"), 10);
    (void)at(&t, T0 + 120 * S);
    give(&t, LABELS("hits", "room", "r", "p1"), 17);
    CHECK_STR(at(&t, T0 + 180 * S), "hits:total{room=\"r\"} 7 @1767225780000\n");
    give(&t, LABELS("hits", "room", "r", "p1"), 19);
    t.now_ms += 30 * S; /* without a look */
    c = call_of(&t);
    CHECK(!agg_pool_look(t.pool, &c));
    CHECK_STR(at(&t, T0 + 240 * S), "");
    CHECK_STR(at(&t, T0 + 300 * S), "hits:total{room=\"r\"} 0 @1767225900000\n");
    t.now_ms += S;
    f = (struct ownfeed_flush){
        .of = t.pool, .tenant = SLICE("t"), .now_ms = t.now_ms, .is_last = true, .next = SIZE_MAX};
    out = push_text(agg_pool_decode, &f, SLICE_EMPTY);
    push_text_check(out, "hits:total{room=\"r\"} 2 @1767225901000\n");
    close_rig(&t);
}

static struct histogram hist_of(const double *buckets)
{
    static const struct histogram_span span = {1, 2};

    return (struct histogram){.count = buckets[0] + buckets[1],
                              .sum = 10 * (buckets[0] + buckets[1]),
                              .pos_spans = &span,
                              .n_pos_spans = 1,
                              .pos_buckets = buckets,
                              .n_pos_buckets = 2};
}

static void give_hist(struct rig *t, const char *pod, double x, double y)
{
    struct histogram h = hist_of((double[]){x, y});
    struct batch_reply r = {0};

    CHECK_OK(take(t, LABELS("hist", "room", "r", pod), true, t->now_ms, 0, &h, &r));
    CHECK_INT(r.accepted, 1);
    batch_reply_done(&r);
}

TEST(agg_pool_adds_histograms_up)
{
    struct rig t;

    open_rig(&t, RULES);
    give_hist(&t, "p1", 5, 5);
    give_hist(&t, "p2", 1, 0);
    t.now_ms += S;
    give_hist(&t, "p1", 6, 7);
    t.now_ms += S;
    give_hist(&t, "p1", 1, 1); /* a reset */
    CHECK_STR(at(&t, T0 + 120 * S), "hist:sum{room=\"r\"} histogram 3 30 @1767225720000\n"
                                    "hist:total{room=\"r\"} histogram 0 0 @1767225720000\n");
    CHECK_STR(at(&t, T0 + 180 * S), "hist:sum{room=\"r\"} histogram 3 30 @1767225780000\n"
                                    "hist:total{room=\"r\"} histogram 5 50 @1767225780000\n");
    for (int i = 0; i < 2000; i++) { /* sums are put together now and then */
        t.now_ms += 1;
        give_hist(&t, "p2", 2 + i, 0);
    }
    CHECK_STR(at(&t, T0 + 240 * S), "hist:sum{room=\"r\"} histogram 2003 20030 @1767225840000\n"
                                    "hist:total{room=\"r\"} histogram 2005 20050 @1767225840000\n");
    close_rig(&t);
}

/* What histograms grew by and was not written follows after the zero, as with floats. */
TEST(agg_pool_keeps_growth_of_histograms_over_a_pause)
{
    struct agg_pool_call c;
    struct rig t;

    open_rig(&t, RULES);
    give_hist(&t, "p1", 5, 5);
    (void)at(&t, T0 + 120 * S);
    give_hist(&t, "p1", 6, 7);
    CHECK(strstr(at(&t, T0 + 180 * S), "hist:total{room=\"r\"} histogram 3 30 @1767225780000\n"));
    give_hist(&t, "p1", 8, 9);
    t.now_ms += 30 * S; /* without a look */
    c = call_of(&t);
    CHECK(!agg_pool_look(t.pool, &c));
    t.now_ms += S;
    give_hist(&t, "p1", 8, 10);
    t.now_ms += 10 * S; /* and once more before anything could be written */
    c = call_of(&t);
    CHECK(!agg_pool_look(t.pool, &c));
    CHECK(strstr(at(&t, T0 + 300 * S), "hist:total{room=\"r\"} histogram 0 0 @1767225900000\n"));
    give_hist(&t, "p1", 8, 11);
    CHECK(strstr(at(&t, T0 + 360 * S), "hist:total{room=\"r\"} histogram 6 60 @1767225960000\n"));
    CHECK(strstr(at(&t, T0 + 420 * S), "hist:total{room=\"r\"} histogram 6 60 @1767226020000\n"));
    close_rig(&t);
}

TEST(agg_pool_forgets_some_of_many)
{
    char pod[16];
    struct rig t;
    struct agg_pool_row *rows;

    open_rig(&t, RULES);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i += 1 + round) {
            (void)snprintf(pod, sizeof(pod), "p%d", i);
            give(&t, LABELS("temp", "room", "r", pod), 1);
        }
        (void)at(&t, T0 + (240 + 180 * round) * S);
    }
    CHECK_INT(agg_pool_list(t.pool, &rows), 1);
    CHECK_INT(rows[0].inputs, 500); /* the odd ones were silent for more than five minutes */
    agg_pool_list_free(rows, 1);
    for (int i = 0; i < 1000; i += 2) {
        struct batch_reply r = {0};

        (void)snprintf(pod, sizeof(pod), "p%d", i);
        CHECK_OK(take(&t, LABELS("temp", "room", "r", pod), false, t.now_ms, 2, NULL, &r));
        CHECK_INT(r.unknown.len, 0);
        batch_reply_done(&r);
    }
    close_rig(&t);
}

TEST(agg_match_takes_out_of_a_push)
{
    static const char *const yaml =
        "- {match: hits, without: [pod], outputs: [total], drop_input: true}\n"
        "- {match: temp, without: [pod], outputs: [sum]}";
    struct tenant_rules *rules = tenant_rules_new(NULL);
    struct push *p = push_new(SLICE("t"), &(struct tenant_limits){.generation = 1});
    struct fp_cache known;
    struct agg_load load = {0};
    struct yaml_node *root = NULL;
    struct agg_match *m;

    CHECK(agg_match_new(rules, 1 << 20) == NULL);
    CHECK_OK(yaml_load("t", slice_cstr(yaml), rules->arena, &root));
    CHECK_OK(agg_rules_parse("t", root, rules->arena, &rules->aggregation));
    fp_cache_init(&known, 1 << 20);
    m = agg_match_new(rules, 1 << 20);
    for (int round = 0; round < 2; round++) {
        struct labels ls[] = {LABELS("hits", "room", "r", "p1"), LABELS("temp", "room", "r", "p1"),
                              LABELS("other", "room", "r", "p1")};

        p->samples = p->series.len = 0;
        for (size_t i = 0; i < ORR_COUNT(ls); i++, p->samples++)
            vec_push(&p->series,
                     ((struct push_series){.fp = labels_fingerprint(ls[i]),
                                           .labels = labels_canonical_dup(p->arena, ls[i]),
                                           .sample = {T0, 1}}));
        agg_match_take(m, p, &known, T0, &load);
        CHECK_INT(p->series.len, 2);
        CHECK_INT(p->samples, 2);
        CHECK_INT(load.samples, 1);
        CHECK_INT(load.items.len, 2);
        CHECK_INT(load.items.ptr[0].s.is_known, round); /* its owner has had the labels */
        CHECK(fp_cache_has(&known, labels_fingerprint(ls[0])));
        agg_match_remember(m, &load);
        agg_load_done(&load);
        load = (struct agg_load){0};
    }
    agg_match_free(m);
    fp_cache_done(&known);
    push_free(p);
    tenant_rules_unref(rules);
}

/* What a plain series would be refused for is refused of an input, too, and nothing of it counted. */
TEST(agg_match_refuses_what_is_out_of_time)
{
    static const char *const yaml =
        "- {match: hits, without: [pod], outputs: [total], drop_input: true}\n"
        "- {match: temp, without: [pod], outputs: [sum]}";
    static const int64_t far = T0 + 601 * S, old = T0 - 3601 * S;
    const struct sample mixed[] = {{old, 1}, {T0, 2}, {T0 + 600 * S, 3}, {far, 4}};
    const struct push_histogram hists[] = {{.t_ms = T0 - 3600 * S}, {.t_ms = far}};
    const struct push_extra many = {
        .samples = mixed, .n_samples = 4, .histograms = hists, .n_histograms = 2, .start_ms = 5};
    const struct push_extra none = {.samples = &mixed[3], .n_samples = 1};
    struct tenant_limits limits = {.generation = 1,
                                   .creation_grace_period_ns = 600 * S * NS_PER_MS,
                                   .past_grace_period_ns = 3600 * S * NS_PER_MS};
    struct tenant_rules *rules = tenant_rules_new(NULL);
    struct push *p = push_new(SLICE("t"), &limits);
    struct agg_load load = {0};
    struct yaml_node *root = NULL;
    const struct push_extra *left;
    struct agg_match *m;
    struct fp_cache known;

    CHECK_OK(yaml_load("t", slice_cstr(yaml), rules->arena, &root));
    CHECK_OK(agg_rules_parse("t", root, rules->arena, &rules->aggregation));
    fp_cache_init(&known, 1 << 20);
    m = agg_match_new(rules, 1 << 20);
    for (int i = 0; i < 8; i++) {
        struct labels hits = LABELS("hits", "room", "r", "p1");
        struct labels temp = LABELS("temp", "room", "r", "p1");
        struct labels ls = i % 2 ? temp : hits;
        const struct push_extra *extras[] = {NULL, NULL, &many, &none};

        vec_push(&p->series, ((struct push_series){.fp = labels_fingerprint(ls),
                                                   .labels = labels_canonical_dup(p->arena, ls),
                                                   .sample = {i < 2 ? far : old, 1},
                                                   .extra = extras[i / 2]}));
    }
    p->samples = 2 * (1 + 1 + 4 + 1);
    p->histograms = 2 * 2;
    agg_match_take(m, p, &known, T0, &load);
    CHECK_INT(p->series.len, 4); /* those kept are the head's to refuse, whole */
    CHECK_INT(p->samples, 7);
    CHECK_INT(p->histograms, 2);
    CHECK(p->series.ptr[2].extra == &many);
    CHECK_INT(load.samples, 7);
    CHECK_INT(load.histograms, 2);
    CHECK_INT(load.rejected[BATCH_TOO_FAR], 1 + 2 + 1);
    CHECK_INT(load.rejected[BATCH_TOO_OLD], 1 + 1);
    CHECK_INT(load.items.len, 2);
    for (int i = 0; i < 2; i++) {
        left = load.items.ptr[i].s.extra;
        CHECK(left->n_samples == 2 && left->samples[0].v == 2 && left->samples[1].v == 3);
        CHECK(left->n_histograms == 1 && left->histograms[0].t_ms == T0 - 3600 * S);
        CHECK_INT(left->start_ms, 5);
    }
    agg_load_done(&load);
    agg_match_free(m);
    fp_cache_done(&known);
    push_free(p);
    tenant_rules_unref(rules);
}
