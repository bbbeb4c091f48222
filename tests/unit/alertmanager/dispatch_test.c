#include "alertmanager/amroute.h"
#include "alertmanager/dispatch.h"
#include "tests/unit/test.h"

#define S 1000000000ll

struct rig {
    struct amconf *conf;
    struct nflog *log;
    struct silences *silences;
    struct dispatch *d;
    struct dispatch_now now;
    unsigned position, sent, told, last_alerts, attempt;
    uint64_t last_id;
    enum nflog_reason reason;
    bool answers, ok, may_retry;
    bool asks; /* there are peers: how they answer is up to the test */
    unsigned asked;
    uint64_t asked_id, stamp;
    VEC(uint64_t) ids; /* sent and not answered, when not answers */
    struct dispatch_metrics metrics;
};

static void on_send(void *arg, const struct dispatch_note *n)
{
    struct rig *r = arg;

    r->sent++;
    r->last_id = n->id;
    r->last_alerts = (unsigned)n->alerts->len;
    r->reason = n->reason;
    r->attempt = n->attempt;
    if (!r->answers)
        vec_push(&r->ids, n->id);
}

static bool on_ask(void *arg, uint64_t id, struct slice key, uint64_t stamp)
{
    struct rig *r = arg;

    CHECK(key.len > 0);
    CHECK(stamp > r->stamp); /* each claim comes after those before it */
    r->stamp = stamp;
    r->asked_id = id;
    r->asked += r->asks;
    return r->asks;
}

static void on_logged(void *arg, struct slice key)
{
    (void)key;
    ((struct rig *)arg)->told++;
}

static unsigned on_position(void *arg, struct slice key)
{
    (void)key;
    return ((struct rig *)arg)->position;
}

static void rig_init(struct rig *r, const char *conf, struct nflog *log)
{
    struct dispatch_ops ops = {on_send, on_logged, on_position, on_ask, r};
    struct dispatch_opts opts = {.tenant = SLICE_INIT("t"),
                                 .log = log,
                                 .peer_timeout_ns = 3 * S,
                                 .max_alerts = 5,
                                 .max_sends = 2,
                                 .metrics = &r->metrics,
                                 .seed = 1};

    *r = (struct rig){.log = log, .answers = true, .ok = true, .may_retry = true};
    r->silences = silences_new(&(struct silences_opts){.retention_ns = 3600 * S});
    opts.silences = r->silences;
    r->now.wall_ns = 1000 * S;
    CHECK_OK(amconf_parse("conf", slice_cstr(conf), 0, &r->conf));
    r->d = dispatch_new(&opts, &ops, r->conf, r->now);
}

static void rig_done(struct rig *r)
{
    dispatch_free(r->d);
    silences_free(r->silences);
    CHECK_INT(r->metrics.groups, 0);
    CHECK_INT(r->metrics.queued, 0);
    vec_done(&r->ids);
    amconf_unref(r->conf);
}

/* Another dispatcher, with other bounds. */
static void rebuild(struct rig *r, struct dispatch_opts opts)
{
    struct dispatch_ops ops = {on_send, on_logged, on_position, on_ask, r};

    dispatch_free(r->d);
    opts.tenant = SLICE("t");
    opts.log = r->log;
    opts.peer_timeout_ns = 3 * S;
    opts.metrics = &r->metrics;
    opts.seed = 1;
    r->d = dispatch_new(&opts, &ops, r->conf, r->now);
}

/* Lets time pass, to each moment that is due. */
static void pass(struct rig *r, int64_t ns)
{
    int64_t end = r->now.mono_ns + ns;

    for (;;) {
        int64_t next = ORR_MAX(dispatch_next_ns(r->d), r->now.mono_ns);
        unsigned before = r->sent;

        if (next > end)
            break;
        r->now.wall_ns += next - r->now.mono_ns;
        r->now.mono_ns = next;
        dispatch_tick(r->d, r->now);
        if (r->sent != before && r->answers) {
            CHECK_INT(r->sent, before + 1); /* or the others would never end */
            dispatch_sent(r->d, r->last_id, r->ok, r->may_retry, r->now);
        }
    }
    r->now.wall_ns += end - r->now.mono_ns;
    r->now.mono_ns = end;
}

static struct err *put(struct rig *r, const char *json)
{
    alert_vec v = {0};
    struct err *bad = NULL, *e;

    CHECK_OK(alert_from_json(slice_cstr(json), r->now.wall_ns, 300 * S, &v, &bad));
    CHECK_OK(bad);
    e = dispatch_put(r->d, &v, r->now);
    alert_vec_done(&v);
    return e;
}

static const char basic[] =
    "route: {receiver: a, group_by: [g], group_wait: 10s, group_interval: 60s, "
    "repeat_interval: 1h}\n"
    "receivers: [{name: a, webhook_configs: [{url: 'http://x/'}]}]\n";

TEST(dispatch_waits_groups_and_repeats)
{
    struct nflog *log = nflog_new();
    struct rig r;

    rig_init(&r, basic, log);
    CHECK_OK(
        put(&r, "[{\"labels\":{\"g\":\"1\",\"i\":\"1\"}},{\"labels\":{\"g\":\"1\",\"i\":\"2\"}}]"));
    pass(&r, 10 * S - 1);
    CHECK_INT(r.sent, 0);
    pass(&r, 1);
    CHECK_INT(r.sent, 1);
    CHECK_INT(r.last_alerts, 2);
    CHECK_INT(r.reason, NFLOG_FIRST);
    CHECK_OK(put(&r, "[{\"labels\":{\"g\":\"1\",\"i\":\"3\"}}]"));
    pass(&r, 60 * S - 1);
    CHECK_INT(r.sent, 1);
    pass(&r, 1);
    CHECK_INT(r.sent, 2);
    CHECK_INT(r.last_alerts, 3);
    CHECK_INT(r.reason, NFLOG_NEW);
    pass(&r, 400 * S); /* they time out after resolve_timeout */
    CHECK_INT(r.reason, NFLOG_ALL_RESOLVED);
    pass(&r, 60 * S);
    CHECK_INT(dispatch_groups(r.d), 0);
    CHECK_INT(r.told, r.sent);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_second_in_turn_keeps_quiet_when_the_first_spoke)
{
    struct nflog *log = nflog_new(); /* as if gossip took no time */
    struct rig a, b;

    rig_init(&a, basic, log);
    rig_init(&b, basic, log);
    b.position = 1;
    CHECK_OK(put(&a, "[{\"labels\":{\"g\":\"1\"}}]"));
    CHECK_OK(put(&b, "[{\"labels\":{\"g\":\"1\"}}]"));
    pass(&a, 20 * S);
    pass(&b, 200 * S);
    CHECK_INT(a.sent, 1);
    CHECK_INT(b.sent, 0);
    rig_done(&a);
    rig_done(&b);
    nflog_free(log);
}

TEST(dispatch_second_in_turn_speaks_when_the_first_does_not)
{
    struct nflog *log = nflog_new();
    struct rig r;

    rig_init(&r, basic, log);
    r.position = 2;
    CHECK_OK(put(&r, "[{\"labels\":{\"g\":\"1\"}}]"));
    pass(&r, 16 * S - 1);
    CHECK_INT(r.sent, 0);
    pass(&r, 1);
    CHECK_INT(r.sent, 1);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_tries_again_with_growing_pauses_then_at_the_next_flush)
{
    struct nflog *log = nflog_new();
    struct rig r;

    rig_init(&r, basic, log);
    r.ok = false;
    CHECK_OK(put(&r, "[{\"labels\":{\"g\":\"1\"}}]"));
    pass(&r, 69 * S);
    CHECK(r.sent > 4 && r.sent < 20);
    CHECK_INT(r.attempt, r.sent);
    CHECK_INT(nflog_count(log), 0);
    pass(&r, 3 * S);
    CHECK(r.attempt < 5); /* another flush */
    r.ok = true;
    pass(&r, 60 * S);
    CHECK_INT(r.told, 1);
    r.sent = 0;
    pass(&r, 100 * S);
    CHECK_INT(r.sent, 0);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_final_failures_wait_for_the_next_flush)
{
    struct nflog *log = nflog_new();
    struct rig r;

    rig_init(&r, basic, log);
    r.ok = r.may_retry = false;
    CHECK_OK(put(&r, "[{\"labels\":{\"g\":\"1\"}}]"));
    pass(&r, 69 * S);
    CHECK_INT(r.sent, 1);
    pass(&r, 2 * S);
    CHECK_INT(r.sent, 2);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_restart_does_not_repeat)
{
    struct nflog *log = nflog_new();
    struct rig r, again;

    rig_init(&r, basic, log);
    CHECK_OK(put(&r, "[{\"labels\":{\"g\":\"1\"}}]"));
    pass(&r, 20 * S);
    rig_init(&again, basic, log);
    CHECK_OK(put(&again, "[{\"labels\":{\"g\":\"1\"}}]"));
    pass(&again, 200 * S);
    CHECK_INT(again.sent, 0);
    rig_done(&r);
    rig_done(&again);
    nflog_free(log);
}

TEST(dispatch_takes_another_configuration)
{
    struct nflog *log = nflog_new();
    struct amconf *next;
    struct rig r;

    rig_init(&r, basic, log);
    CHECK_OK(
        put(&r, "[{\"labels\":{\"g\":\"1\",\"i\":\"1\"}},{\"labels\":{\"g\":\"2\",\"i\":\"1\"}}]"));
    CHECK_INT(dispatch_groups(r.d), 2);
    r.answers = false;
    pass(&r, 10 * S);
    CHECK_OK(amconf_parse("next",
                          SLICE("route: {receiver: b, group_by: [i], group_wait: 1s}\n"
                                "receivers: [{name: b, webhook_configs: [{url: 'http://x/'}]}]\n"),
                          0, &next));
    dispatch_set_conf(r.d, next, r.now);
    amconf_unref(next);
    CHECK_INT(dispatch_groups(r.d), 1);
    dispatch_sent(r.d, r.last_id, true, true, r.now); /* still logged */
    CHECK_INT(r.told, 1);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_bounds_the_alerts_of_a_tenant)
{
    struct nflog *log = nflog_new();
    struct rig r;

    rig_init(&r, basic, log);
    CHECK_ERR(
        put(&r,
            "[{\"labels\":{\"i\":\"1\"}},{\"labels\":{\"i\":\"2\"}},{\"labels\":{\"i\":\"3\"}},"
            "{\"labels\":{\"i\":\"4\"}},{\"labels\":{\"i\":\"5\"}},{\"labels\":{\"i\":\"6\"}}]"),
        ERR_LIMIT, "alerts refused: the tenant has 5");
    CHECK_INT(dispatch_alerts(r.d)->len, 5);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_inhibited_and_muted_alerts_are_not_told)
{
    static const char conf[] =
        "route:\n  receiver: a\n  group_wait: 1s\n  routes:\n"
        "  - {receiver: a, match: {m: 'yes'}, mute_time_intervals: [always]}\n"
        "receivers: [{name: a, webhook_configs: [{url: 'http://x/'}]}]\n"
        "time_intervals: [{name: always, time_intervals: [{years: ['1900:2900']}]}]\n"
        "inhibit_rules: [{source_match: {s: high}, target_match: {s: low}, equal: [c]}]\n";
    struct nflog *log = nflog_new();
    struct rig r;

    rig_init(&r, conf, log);
    CHECK_OK(put(
        &r, "[{\"labels\":{\"s\":\"high\",\"c\":\"1\"}},{\"labels\":{\"s\":\"low\",\"c\":\"1\"}},"
            "{\"labels\":{\"s\":\"low\",\"c\":\"2\"}},{\"labels\":{\"m\":\"yes\"}}]"));
    pass(&r, 5 * S);
    CHECK_INT(r.sent, 1);
    CHECK_INT(r.last_alerts, 2);
    rig_done(&r);
    nflog_free(log);
}

/* ---- peers ---- */

static const struct dispatch_claim quiet = {DISPATCH_QUIET, 0};

static struct dispatch_claim claim_of(struct rig *r, const char *group_key)
{
    struct buf key = {0};
    struct dispatch_claim ret;

    nflog_key(&key, SLICE("t"), slice_cstr(group_key), SLICE("a"), "webhook", 0);
    ret = dispatch_claim(r->d, buf_slice(&key));
    buf_done(&key);
    return ret;
}

TEST(dispatch_says_what_it_is_about_to_do_and_asks_before_it_speaks)
{
    struct nflog *log = nflog_new();
    struct rig r;

    rig_init(&r, basic, log);
    r.asks = true;
    r.answers = false;
    r.position = 1;
    CHECK_OK(put(&r, "[{\"labels\":{\"g\":\"1\"}}]"));
    pass(&r, 12 * S);
    CHECK_INT(claim_of(&r, "{}:{g=\"1\"}").stage, quiet.stage);
    CHECK_INT(r.asked, 0);
    pass(&r, S);
    CHECK_INT(r.asked, 1);
    CHECK_INT(r.sent, 0);
    CHECK_INT(claim_of(&r, "{}:{g=\"1\"}").stage, DISPATCH_ASKING);
    CHECK_INT(claim_of(&r, "{}:{g=\"1\"}").stamp, r.stamp);
    CHECK_INT(claim_of(&r, "{}:{g=\"2\"}").stage, DISPATCH_QUIET);
    dispatch_asked(r.d, r.asked_id, true, r.now);
    CHECK_INT(r.sent, 1);
    CHECK_INT(claim_of(&r, "{}:{g=\"1\"}").stage, DISPATCH_SENDING);
    dispatch_asked(r.d, r.asked_id, true, r.now); /* once more: nothing to it */
    CHECK_INT(r.sent, 1);
    dispatch_sent(r.d, r.last_id, true, true, r.now);
    CHECK_INT(claim_of(&r, "{}:{g=\"1\"}").stage, DISPATCH_QUIET);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_held_back_it_asks_again_and_speaks_in_the_end)
{
    struct nflog *log = nflog_new();
    struct rig r;

    rig_init(&r, basic, log);
    r.asks = true;
    r.answers = false;
    CHECK_OK(put(&r, "[{\"labels\":{\"g\":\"1\"}}]"));
    pass(&r, 10 * S);
    CHECK_INT(r.asked, 1);
    for (unsigned i = 1; r.sent == 0 && i < 100; i++) {
        CHECK_INT(r.asked, i);
        dispatch_asked(r.d, r.asked_id, false, r.now);
        CHECK_INT(claim_of(&r, "{}:{g=\"1\"}").stage, DISPATCH_QUIET);
        while (r.asked == i && r.sent == 0)
            pass(&r, S / 50);
    }
    CHECK_INT(r.sent, 1);
    CHECK(r.asked > 4 && r.now.mono_ns >= 13 * S && r.now.mono_ns < 14 * S);
    CHECK_INT(r.metrics.held, r.asked);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_held_back_it_is_silent_once_the_peer_has_spoken)
{
    struct nflog *log = nflog_new(); /* of both */
    struct rig a, b;

    rig_init(&a, basic, log);
    rig_init(&b, basic, log);
    a.answers = false;
    b.asks = true;
    CHECK_OK(put(&a, "[{\"labels\":{\"g\":\"1\"}}]"));
    CHECK_OK(put(&b, "[{\"labels\":{\"g\":\"1\"}}]"));
    pass(&a, 10 * S);
    pass(&b, 10 * S);
    CHECK_INT(claim_of(&a, "{}:{g=\"1\"}").stage, DISPATCH_SENDING);
    dispatch_asked(b.d, b.asked_id, false, b.now);
    dispatch_sent(a.d, a.last_id, true, true, a.now);
    pass(&b, 200 * S);
    CHECK_INT(a.sent, 1);
    CHECK_INT(b.sent, 0);
    CHECK_INT(b.asked, 1);
    rig_done(&a);
    rig_done(&b);
    nflog_free(log);
}

/* ---- many ---- */

static void put_many(struct rig *r, unsigned n)
{
    alert_vec v = {0};

    for (unsigned i = 0; i < n; i++) {
        char g[16];
        struct label l = {SLICE("g"), SLICE_EMPTY};
        struct alert *a;

        snprintf(g, sizeof(g), "%u", i);
        l.value = slice_cstr(g);
        a = alert_new((struct labels){&l, 1}, (struct labels){NULL, 0}, SLICE_EMPTY);
        a->starts_ns = a->updated_ns = r->now.wall_ns;
        a->ends_ns = r->now.wall_ns + 3600 * S;
        vec_push(&v, a);
    }
    CHECK_OK(dispatch_put(r->d, &v, r->now));
    alert_vec_done(&v);
}

TEST(dispatch_a_receiver_that_hangs_takes_no_more_than_its_slots)
{
    static const char conf[] =
        "route: {receiver: slow, group_by: [g], group_wait: 1s, group_interval: 60s, "
        "routes: [{receiver: fast, matchers: ['g=\"7\"'], group_by: [g]}]}\n"
        "receivers: [{name: slow, webhook_configs: [{url: 'http://x/'}]}, "
        "{name: fast, webhook_configs: [{url: 'http://y/'}]}]\n";
    struct nflog *log = nflog_new();
    struct rig r;

    rig_init(&r, conf, log);
    rebuild(&r, (struct dispatch_opts){.max_sends = 3});
    r.answers = false;
    put_many(&r, 20);
    pass(&r, 2 * S);
    CHECK_INT(r.sent, 4); /* three of slow, and fast */
    CHECK_INT(r.metrics.queued, 16);
    for (unsigned i = 0; i < r.ids.len; i++) { /* in turn, each lets the next in */
        dispatch_sent(r.d, r.ids.ptr[i], true, true, r.now);
        pass(&r, S / 100);
        CHECK(r.sent - i - 1 <= (i < 3 ? 4 : 3)); /* fast is among the first four */
    }
    CHECK_INT(r.sent, 20);
    CHECK_INT(r.told, 20);
    CHECK_INT(r.metrics.queued, 0);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_reload_cuts_the_queue)
{
    struct nflog *log = nflog_new();
    struct rig r;

    rig_init(&r, basic, log);
    rebuild(&r, (struct dispatch_opts){.max_sends = 3});
    r.answers = false;
    put_many(&r, 20);
    pass(&r, 11 * S);
    CHECK_INT(r.sent, 3);
    dispatch_set_conf(r.d, r.conf, r.now);
    CHECK_INT(r.metrics.queued, 0);
    pass(&r, 11 * S); /* slots are still taken, and keys still claimed */
    CHECK_INT(r.sent, 3);
    for (unsigned i = 0; i < r.ids.len; i++) {
        dispatch_sent(r.d, r.ids.ptr[i], true, true, r.now);
        pass(&r, 2 * S);
    }
    CHECK_INT(r.sent, 20);
    CHECK_INT(r.told, 20);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_a_turn_is_bounded_and_work_is_not_quadratic)
{
    enum { MANY = 20000 };
    struct nflog *log = nflog_new();
    struct rig r;
    uint64_t steps = 0;

    rig_init(&r, basic, log);
    rebuild(&r, (struct dispatch_opts){.max_sends = MANY});
    r.answers = false;
    put_many(&r, MANY);
    r.now.mono_ns += 10 * S;
    r.now.wall_ns += 10 * S;
    while (dispatch_next_ns(r.d) <= r.now.mono_ns) {
        unsigned before = r.sent;

        dispatch_tick(r.d, r.now);
        CHECK(r.sent - before <= DISPATCH_TURN);
        steps++;
    }
    CHECK_INT(r.sent, MANY);
    CHECK(steps >= 2 * MANY / DISPATCH_TURN);
    for (unsigned i = 0; i < MANY;
         i++) { /* each end asked all groups and notes once: 8 · 10⁸ steps */
        dispatch_sent(r.d, r.ids.ptr[i], true, true, r.now);
        CHECK(dispatch_next_ns(r.d) > r.now.mono_ns);
    }
    CHECK_INT(r.told, MANY);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_bounds_the_groups_of_a_tenant)
{
    struct nflog *log = nflog_new();
    struct rig r;

    rig_init(&r, basic, log);
    rebuild(&r, (struct dispatch_opts){.max_groups = 2});
    CHECK_ERR(put(&r, "[{\"labels\":{\"g\":\"1\"}},{\"labels\":{\"g\":\"2\"}},"
                      "{\"labels\":{\"g\":\"3\"}}]"),
              ERR_LIMIT, "alertmanager.max-groups");
    CHECK_INT(dispatch_groups(r.d), 2);
    CHECK_INT(r.metrics.groups, 2);
    CHECK_INT(r.metrics.groups_refused, 1);
    CHECK_OK(put(&r, "[{\"labels\":{\"g\":\"1\",\"i\":\"2\"}}]")); /* into one that is there */
    CHECK_INT(dispatch_alerts(r.d)->len, 4);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_begins_anew_after_all_was_told_over)
{
    struct nflog *log = nflog_new();
    struct rig r;

    rig_init(&r, basic, log);
    CHECK_OK(put(&r, "[{\"labels\":{\"g\":\"1\"},\"endsAt\":\"1970-01-01T00:17:00Z\"}]"));
    pass(&r, 10 * S);
    CHECK_INT(r.reason, NFLOG_FIRST);
    pass(&r, 60 * S);
    CHECK_INT(r.reason, NFLOG_ALL_RESOLVED);
    CHECK_OK(put(&r, "[{\"labels\":{\"g\":\"1\"}}]"));
    pass(&r, 9 * S);
    CHECK_INT(r.sent, 2);
    pass(&r, 1 * S); /* group_wait, not what was left of group_interval */
    CHECK_INT(r.sent, 3);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_tells_nobody_of_what_is_silenced)
{
    static const struct silences_matcher m = {MATCHER_EQ, SLICE_INIT("x"), SLICE_INIT("1")};
    struct silences_spec spec = {.matchers = &m, .n_matchers = 1};
    struct nflog *log = nflog_new();
    silence_vec by = {0};
    struct slice id;
    struct rig r;

    rig_init(&r, basic, log);
    spec.starts_ns = r.now.wall_ns;
    spec.ends_ns = r.now.wall_ns + 90 * S;
    CHECK_OK(silences_set(r.silences, SLICE("t"), &spec, NULL, r.now.wall_ns, &id));
    CHECK_OK(
        put(&r, "[{\"labels\":{\"g\":\"1\",\"x\":\"1\"}},{\"labels\":{\"g\":\"1\",\"x\":\"2\"}}]"));
    pass(&r, 10 * S);
    CHECK_INT(r.sent, 1);
    CHECK_INT(r.last_alerts, 1);
    MAP_FOREACH (e, dispatch_alerts(r.d)) {
        const struct alert *a = e->value;

        vec_clear(&by);
        CHECK(dispatch_silencers(r.d, a, r.now.wall_ns, &by) ==
              slice_eq_cstr(labels_get(a->labels, SLICE("x")), "1"));
        CHECK(!by.len || slice_eq(by.ptr[0]->id, id));
    }
    pass(&r, 60 * S);
    CHECK_INT(r.sent, 1);
    pass(&r, 60 * S); /* the silence is over */
    CHECK_INT(r.sent, 2);
    CHECK_INT(r.last_alerts, 2);
    CHECK_INT(r.reason, NFLOG_NEW);
    vec_done(&by);
    rig_done(&r);
    nflog_free(log);
}

TEST(dispatch_leaves_no_memory_of_silences_behind)
{
    static const struct silences_matcher m = {MATCHER_EQ, SLICE_INIT("x"), SLICE_INIT("1")};
    struct silences_spec spec = {.matchers = &m, .n_matchers = 1};
    struct label l = {SLICE("g"), SLICE("1")};
    struct labels ls = {&l, 1};
    struct nflog *log = nflog_new();
    struct slice id;
    struct rig r;
    size_t tests;

    rig_init(&r, basic, log);
    spec.starts_ns = r.now.wall_ns;
    spec.ends_ns = r.now.wall_ns + 86400 * S;
    CHECK_OK(silences_set(r.silences, SLICE("t"), &spec, NULL, r.now.wall_ns, &id));
    /* over after 1770 s; it leaves the tenant after 1800 s, and its group is flushed after 1810 s */
    CHECK_OK(put(&r, "[{\"labels\":{\"g\":\"1\"},\"endsAt\":\"1970-01-01T00:46:10Z\"}]"));
    pass(&r, 1805 * S);
    CHECK_INT(dispatch_alerts(r.d)->len, 0);
    CHECK_INT(dispatch_groups(r.d), 1);
    pass(&r, 100 * S);
    CHECK_INT(r.reason, NFLOG_ALL_RESOLVED);
    CHECK(dispatch_is_idle(r.d));
    /* nobody would forget it any more: it is not known, and looked at again */
    tests = silences_count(r.silences, r.now.wall_ns).tests;
    CHECK(!silences_find(r.silences, SLICE("t"), amroute_fingerprint(ls), ls, r.now.wall_ns, NULL));
    CHECK_INT(silences_count(r.silences, r.now.wall_ns).tests, tests + 1);
    rig_done(&r);
    nflog_free(log);
}
