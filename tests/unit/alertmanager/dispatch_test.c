#include "alertmanager/dispatch.h"
#include "tests/unit/test.h"

#define S 1000000000ll

struct rig {
    struct amconf *conf;
    struct nflog *log;
    struct dispatch *d;
    struct dispatch_now now;
    unsigned position, sent, told, last_alerts, attempt;
    uint64_t last_id;
    enum nflog_reason reason;
    bool answers, ok, may_retry;
};

static void on_send(void *arg, const struct dispatch_note *n)
{
    struct rig *r = arg;

    r->sent++;
    r->last_id = n->id;
    r->last_alerts = (unsigned)n->alerts->len;
    r->reason = n->reason;
    r->attempt = n->attempt;
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
    struct dispatch_ops ops = {on_send, on_logged, on_position, r};
    struct dispatch_opts opts = {.tenant = SLICE_INIT("t"),
                                 .log = log,
                                 .peer_timeout_ns = 3 * S,
                                 .max_alerts = 5,
                                 .seed = 1};

    *r = (struct rig){.log = log, .answers = true, .ok = true, .may_retry = true};
    r->now.wall_ns = 1000 * S;
    CHECK_OK(amconf_parse("conf", slice_cstr(conf), 0, &r->conf));
    r->d = dispatch_new(&opts, &ops, r->conf, r->now);
}

static void rig_done(struct rig *r)
{
    dispatch_free(r->d);
    amconf_unref(r->conf);
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
        if (r->sent != before && r->answers)
            dispatch_sent(r->d, r->last_id, r->ok, r->may_retry, r->now);
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
        ERR_LIMIT, "1 alerts refused");
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
