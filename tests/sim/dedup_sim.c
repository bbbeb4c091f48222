/*
 * Alertmanagers that tell one receiver about the same alerts, with the real dispatcher, notification
 * log, gossip and ring. Calm: each change is told exactly once. Under partitions, crashes, steps of
 * the clock and a receiver that fails: whatever fires is told at least once, also when nobody can
 * talk to anybody. After healing: nothing that was told is told again, and calm rules hold.
 */
#include <stdio.h>

#include "alertmanager/amturn.h"
#include "alertmanager/dispatch.h"
#include "common/base/mem.h"
#include "tests/sim/sim_member.h"

#define MAX_NODES 5
#define ALERTS 12
#define LOG_FILE 0
#define RESEND_NS (10 * NS_PER_S)
#define PEER_TIMEOUT_NS (5 * NS_PER_S)
#define CHANNEL "nflog"
/* Two that speak within this time cannot have known of each other: the answer of the receiver and the
 * gossip take that long. It happens when restarts have moved the flush of the second in turn just
 * one peer timeout ahead of that of the first. */
#define CROSSING_NS (2 * NS_PER_S)

static const char conf_text[] =
    "route: {receiver: hook, group_by: [g], group_wait: 5s, group_interval: 20s, "
    "repeat_interval: 4h}\n"
    "receivers: [{name: hook, webhook_configs: [{url: 'http://hook/'}]}]\n";

struct actor {
    struct sim_member m;
    struct world *world;
    struct amconf *conf;
    struct nflog *log;
    struct dispatch *d;
    uint64_t life;
};

struct fired {
    bool is_firing;
    int64_t since_ns; /* true time */
    unsigned told;    /* times as firing, but for those that cross */
    int64_t told_ns;  /* true time of the last */
    int told_by;
};

struct world {
    struct sim *sim;
    int n;
    struct actor actors[MAX_NODES];
    struct fired alerts[ALERTS];
    bool receiver_fails, is_chaotic, is_isolated;
    unsigned notifications;
};

static struct dispatch_now now_of(const struct actor *a)
{
    return (struct dispatch_now){sim_mono_ns(a->m.sim, a->m.node),
                                 sim_wall_ms(a->m.sim, a->m.node) * NS_PER_MS};
}

static void keep_log(struct actor *a)
{
    struct buf b = {0};

    nflog_write_state(a->log, &b);
    sim_replace(a->m.sim, a->m.node, LOG_FILE, buf_slice(&b));
    buf_done(&b);
}

/* ---- the receiver ---- */

struct answer {
    struct actor *actor;
    uint64_t id;
    bool is_ok;
};

static void on_answer(void *arg)
{
    struct answer *an = arg;

    dispatch_sent(an->actor->d, an->id, an->is_ok, true, now_of(an->actor));
}

static void count(struct world *w, int node, struct fired *f)
{
    bool crosses = f->told && f->told_by != node && sim_now_ns(w->sim) - f->told_ns < CROSSING_NS;

    if (!crosses || w->is_isolated)
        f->told++;
    f->told_ns = sim_now_ns(w->sim);
    f->told_by = node;
}

static void on_send(void *arg, const struct dispatch_note *n)
{
    struct actor *a = arg;
    struct world *w = a->world;
    struct answer *an = sim_alloc(w->sim, sizeof(*an));

    *an = (struct answer){a, n->id, !w->receiver_fails};
    sim_note(w->sim, "node %d: %s %.*s (%s) %zu alerts", a->m.node, an->is_ok ? "tells" : "fails",
             SLICE_ARG(n->group_key), nflog_reason_text(n->reason), n->alerts->len);
    if (an->is_ok) {
        w->notifications++;
        VEC_FOREACH (p, n->alerts) {
            struct slice id = labels_get((*p)->labels, SLICE("id"));
            uint64_t i = 0;

            if (slice_to_u64(id, &i) && i < ALERTS && !alert_is_resolved(*p, n->now_ns))
                count(w, a->m.node, &w->alerts[i]);
        }
    }
    sim_node_at(w->sim, a->m.node, sim_between(w->sim, 1, 200) * NS_PER_MS, on_answer, an);
}

/* ---- a node ---- */

static void on_logged(void *arg, struct slice key)
{
    struct actor *a = arg;
    struct buf b = {0};
    struct err *e;

    nflog_entry(a->log, key, &b);
    e = gossip_broadcast(a->m.gossip, CHANNEL, key, buf_slice(&b),
                         sim_mono_ns(a->m.sim, a->m.node));
    ORR_ASSERT(!e);
    buf_done(&b);
    keep_log(a);
}

static unsigned on_position(void *arg, struct slice group)
{
    struct actor *a = arg;
    char name[16];

    snprintf(name, sizeof(name), "n%02d", a->m.node);
    return amturn_position(sim_member_ring(&a->m), slice_cstr(name), SLICE("t"), group);
}

static bool on_delta(void *arg, struct slice bytes)
{
    struct actor *a = arg;
    bool news = false;
    struct err *e = nflog_merge(a->log, bytes, sim_wall_ms(a->m.sim, a->m.node), &news);

    if (e)
        sim_fail(a->m.sim, "delta: %s", err_msg(e));
    err_free(e);
    if (news)
        keep_log(a);
    return news;
}

static void write_state(void *arg, struct buf *out)
{
    nflog_write_state(((struct actor *)arg)->log, out);
}

static void merge_state(void *arg, struct slice bytes)
{
    struct actor *a = arg;
    struct err *e = nflog_merge_state(a->log, bytes, sim_wall_ms(a->m.sim, a->m.node));

    if (e)
        sim_fail(a->m.sim, "state: %s", err_msg(e));
    err_free(e);
    keep_log(a);
}

static void tick(void *arg)
{
    struct actor *a = arg;
    struct dispatch_now now = now_of(a);

    dispatch_tick(a->d, now);
    sim_node_at(a->m.sim, a->m.node, 100 * NS_PER_MS, tick, a);
}

static void start(void *arg)
{
    struct actor *a = arg;
    struct dispatch_ops ops = {on_send, on_logged, on_position, a};
    struct dispatch_opts opts = {.tenant = SLICE("t"),
                                 .peer_timeout_ns = PEER_TIMEOUT_NS,
                                 .seed = ++a->life,
                                 .forgets_log = sim_is_broken(a->m.sim, "dedup")};
    struct gossip_channel ch = {CHANNEL, MEMBER_INGESTER, on_delta, write_state, merge_state, a};
    struct err *e;

    sim_member_start(&a->m);
    a->log = opts.log = nflog_new();
    e = nflog_merge_state(a->log, sim_content(a->m.sim, a->m.node, LOG_FILE),
                          sim_wall_ms(a->m.sim, a->m.node));
    ORR_ASSERT(!e);
    e = gossip_add_channel(a->m.gossip, &ch);
    ORR_ASSERT(!e);
    e = amconf_parse("sim", slice_cstr(conf_text), 0, &a->conf);
    ORR_ASSERT(!e);
    a->d = dispatch_new(&opts, &ops, a->conf, now_of(a));
    tick(a);
}

static void stop(void *arg)
{
    struct actor *a = arg;

    dispatch_free(a->d);
    nflog_free(a->log);
    amconf_unref(a->conf);
    a->d = NULL;
    a->log = NULL;
    a->conf = NULL;
    sim_member_stop(&a->m);
}

static void receive(void *arg, int from, struct slice bytes)
{
    struct actor *a = arg;

    (void)from;
    sim_member_receive(&a->m, bytes);
}

/* ---- the ruler: sends what fires to everybody, again and again ---- */

static void post(struct world *w, struct actor *a, unsigned i)
{
    char id[8], group[8];
    struct label ls[] = {{SLICE("g"), SLICE_EMPTY}, {SLICE("id"), SLICE_EMPTY}};
    struct dispatch_now now = now_of(a);
    struct alert *al;
    alert_vec v = {0};
    struct err *e;

    snprintf(id, sizeof(id), "%u", i);
    snprintf(group, sizeof(group), "%u", i % 3);
    ls[0].value = slice_cstr(group);
    ls[1].value = slice_cstr(id);
    al = alert_new((struct labels){ls, 2}, (struct labels){NULL, 0}, SLICE_EMPTY);
    al->starts_ns = al->updated_ns = now.wall_ns;
    al->ends_ns = now.wall_ns + 300 * NS_PER_S;
    al->is_timeout = true;
    vec_push(&v, al);
    e = dispatch_put(a->d, &v, now);
    ORR_ASSERT(!e);
    alert_vec_done(&v);
    (void)w;
}

struct posting {
    struct world *w;
    int node;
    unsigned alert;
};

static void on_post(void *arg)
{
    struct posting *p = arg;

    if (sim_is_up(p->w->sim, p->node))
        post(p->w, &p->w->actors[p->node], p->alert);
}

static void post_all(struct world *w, unsigned alert)
{
    for (int i = 0; i < w->n; i++) {
        struct posting *p = sim_alloc(w->sim, sizeof(*p));

        *p = (struct posting){w, i, alert};
        sim_at(w->sim, sim_between(w->sim, 1, 100) * NS_PER_MS, on_post, p);
    }
}

static void resend(void *arg)
{
    struct world *w = arg;

    for (unsigned i = 0; i < ALERTS; i++)
        if (w->alerts[i].is_firing)
            post_all(w, i);
    sim_at(w->sim, RESEND_NS, resend, w);
}

static void fire(struct world *w, unsigned i)
{
    sim_note(w->sim, "alert %u fires", i);
    w->alerts[i].is_firing = true;
    w->alerts[i].since_ns = sim_now_ns(w->sim);
    post_all(w, i);
}

/* ---- trouble ---- */

static void chaos(void *arg)
{
    struct world *w = arg;
    int i = (int)sim_between(w->sim, 0, w->n - 1);

    if (!w->is_chaotic)
        return;
    switch (sim_between(w->sim, 0, 7)) {
    case 0:
        sim_crash(w->sim, i);
        break;
    case 1:
    case 2:
        sim_start(w->sim, i);
        break;
    case 3:
    case 4:
        sim_partition(w->sim, i, (int)sim_between(w->sim, 0, w->n));
        break;
    case 5:
        sim_clock_step(w->sim, i, sim_between(w->sim, -60000, 60000));
        break;
    case 6:
        w->receiver_fails = sim_chance(w->sim, 0.4);
        break;
    case 7:
        if (sim_chance(w->sim, 0.3))
            sim_heal(w->sim);
        break;
    }
    sim_at(w->sim, sim_between(w->sim, 500, 8000) * NS_PER_MS, chaos, w);
}

static void check_told_once(struct world *w, unsigned i)
{
    if (w->alerts[i].told != 1)
        sim_fail(w->sim, "alert %u was told %u times in calm weather", i, w->alerts[i].told);
}

static void calm_net(struct world *w)
{
    sim_net_set(w->sim, &(struct sim_net){0.01, 0.01, NS_PER_MS, 30 * NS_PER_MS});
}

static void build(struct world *w)
{
    struct sim_node_ops ops = {start, stop, receive};

    w->n = (int)sim_between(w->sim, 1, MAX_NODES);
    for (int i = 0; i < w->n; i++) {
        struct actor *a = &w->actors[i];

        a->world = w;
        a->m = (struct sim_member){.sim = w->sim,
                                   .seeds = ORR_MIN(2, w->n),
                                   .owner = a,
                                   .opts = {.cluster = "sim",
                                            .full_ns = 8 * NS_PER_S,
                                            .unhealthy_after_ns = 6 * NS_PER_S,
                                            .forget_after_ns = -1},
                                   .ring_opts = {.role = MEMBER_INGESTER, .rf = (unsigned)w->n}};
        snprintf(a->m.zone, sizeof(a->m.zone), "%c", 'a' + i % 3);
        a->m.node = sim_node_add(w->sim, &ops, a);
    }
    for (int i = 0; i < w->n; i++)
        sim_start(w->sim, i);
}

/* Nobody hears anybody, the receiver works: each must tell by itself in its time. */
static void check_isolated(struct world *w)
{
    w->receiver_fails = false;
    w->is_isolated = true;
    for (int i = 0; i < w->n; i++) {
        sim_partition(w->sim, i, i);
        sim_start(w->sim, i);
    }
    sim_run_for(w->sim, 2 * RESEND_NS);
    fire(w, 8);
    sim_run_for(w->sim, 2 * 20 * NS_PER_S + MAX_NODES * PEER_TIMEOUT_NS + 70 * NS_PER_S);
    if (w->alerts[8].told < (unsigned)w->n && !sim_is_broken(w->sim, "dedup"))
        sim_fail(w->sim, "%d alertmanagers apart from each other, alert told %u times", w->n,
                 w->alerts[8].told);
}

SIM_SCENARIO(dedup, "told once in calm, never zero times, and not again after healing")
{
    struct world *w = sim_alloc(sim, sizeof(*w));
    unsigned before;

    w->sim = sim;
    calm_net(w);
    build(w);
    sim_run_for(sim, 25 * NS_PER_S);
    sim_at(sim, NS_PER_S, resend, w);

    fire(w, 0);
    sim_run_for(sim, 12 * NS_PER_S);
    fire(w, 3); /* of the same group, so at its next flush */
    fire(w, 1);
    sim_run_for(sim, 75 * NS_PER_S);
    for (unsigned i = 0; i < 4; i++)
        if (w->alerts[i].is_firing && i != 0)
            check_told_once(w, i);
    if (w->alerts[0].told != 2) /* once, and once more with 3 */
        sim_fail(sim, "alert 0 was told %u times in calm weather, not 2", w->alerts[0].told);

    w->is_chaotic = true;
    sim_net_set(sim, &(struct sim_net){0.1, 0.05, NS_PER_MS, 500 * NS_PER_MS});
    sim_at(sim, NS_PER_S, chaos, w);
    for (unsigned i = 4; i < 8 && !sim_violation(sim); i++) {
        sim_run_for(sim, sim_between(sim, 5, 30) * NS_PER_S);
        fire(w, i);
    }
    sim_run_for(sim, 60 * NS_PER_S);
    w->is_chaotic = false;
    check_isolated(w);
    for (unsigned i = 0; i < 9; i++)
        if (w->alerts[i].is_firing && w->alerts[i].told == 0)
            sim_fail(sim, "alert %u was never told", i);

    w->is_isolated = false;
    calm_net(w);
    sim_heal(sim);
    sim_run_for(sim, 30 * NS_PER_S);
    before = w->notifications;
    sim_run_for(sim, 120 * NS_PER_S);
    if (w->notifications != before)
        sim_fail(sim, "%u notifications repeated after healing", w->notifications - before);
    fire(w, 9);
    sim_run_for(sim, 75 * NS_PER_S);
    check_told_once(w, 9);
}
