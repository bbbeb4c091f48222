/*
 * Alertmanagers that tell one receiver about the same alerts, with the real dispatcher, notification
 * log, claims, gossip and ring, among members of another role. Calm: each change is told exactly once,
 * also after the flushes of the peers have drifted apart until their turns fall together. Under
 * partitions, crashes, steps of the clock and a receiver that fails: whatever fires is told at least
 * once, also when nobody can talk to anybody. After healing: nothing that was told is told again, and
 * calm rules hold.
 */
#include <stdio.h>
#include <stdlib.h>

#include "alertmanager/amclaim.h"
#include "alertmanager/amturn.h"
#include "alertmanager/dispatch.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "tests/sim/sim_member.h"

#define MAX_NODES 5
#define ALERTS 12
#define LOG_FILE 0
#define RESEND_NS (10 * NS_PER_S)
#define PEER_TIMEOUT_NS (5 * NS_PER_S)
#define CHANNEL "nflog"
#define MAX_OTHERS 8
#define ASK_AGAIN_NS (200 * NS_PER_MS) /* packets get lost; a connection would send them again */

static const char conf_text[] =
    "route: {receiver: hook, group_by: [g], group_wait: 5s, group_interval: 20s, "
    "repeat_interval: 4h}\n"
    "receivers: [{name: hook, webhook_configs: [{url: 'http://hook/'}]}]\n";

/* A note that waits for what its peers say. */
struct claiming {
    uint64_t id;
    uint32_t token, unanswered; /* a bit per node */
    uint64_t stamp;
    bool may_speak;
    int64_t deadline_ns;
    struct buf key;
};

struct actor {
    struct sim_member m;
    VEC(struct claiming) claims;
    uint32_t last_token;
    uint64_t clock;
    struct world *world;
    struct amconf *conf;
    struct nflog *log;
    struct dispatch *d;
    uint64_t life;
};

struct fired {
    bool is_firing;
    int64_t since_ns; /* true time */
    unsigned told;    /* times as firing */
};

struct world {
    struct sim *sim;
    int n, n_others;
    struct actor actors[MAX_NODES];
    struct sim_member others[MAX_OTHERS];
    struct fired alerts[ALERTS];
    bool receiver_fails, is_chaotic;
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
                w->alerts[i].told++;
        }
    }
    sim_node_at(w->sim, a->m.node, sim_between(w->sim, 1, 200) * NS_PER_MS, on_answer, an);
}

/* ---- a node ---- */

static void send_to(struct actor *a, int to, char kind, uint32_t token, struct slice bytes)
{
    struct buf b = {0};

    buf_byte(&b, (uint8_t)kind);
    buf_u32le(&b, token);
    buf_slice_append(&b, bytes);
    sim_send(a->m.sim, a->m.node, to, buf_slice(&b));
    buf_done(&b);
}

/* The nodes of the other replicas, as bits. */
static uint32_t peers_of(struct actor *a)
{
    struct ring *r = sim_member_ring(&a->m);
    struct amturn_replicas reps = amturn_replicas(r, SLICE("t"));
    uint32_t ret = 0;

    for (size_t i = 0; i < reps.n; i++)
        ret |= 1u << atoi(ring_member(r, reps.at[i])->rpc_addr);
    return ret & ~(1u << a->m.node);
}

static void on_logged(void *arg, struct slice key)
{
    struct actor *a = arg;
    uint32_t peers = peers_of(a);
    struct buf b = {0};
    struct err *e;

    nflog_entry(a->log, key, &b);
    for (int i = 0; i < a->world->n; i++)
        if (peers >> i & 1)
            send_to(a, i, 'T', 0, buf_slice(&b));
    e = gossip_broadcast(a->m.gossip, CHANNEL, key, buf_slice(&b),
                         sim_mono_ns(a->m.sim, a->m.node));
    ORR_ASSERT(!e);
    buf_done(&b);
    keep_log(a);
}

/* ---- claims ---- */

static void ask_peers(struct actor *a, const struct claiming *c)
{
    struct buf b = {0};

    amclaim_question(&b, buf_slice(&c->key), c->stamp);
    for (int i = 0; i < a->world->n; i++)
        if (c->unanswered >> i & 1)
            send_to(a, i, 'Q', c->token, buf_slice(&b));
    buf_done(&b);
}

static bool on_ask(void *arg, uint64_t id, struct slice key, uint64_t stamp)
{
    struct actor *a = arg;
    int64_t mono = sim_mono_ns(a->m.sim, a->m.node);
    struct claiming c = {.id = id,
                         .token = ++a->last_token,
                         .unanswered = peers_of(a),
                         .stamp = stamp,
                         .may_speak = true,
                         .deadline_ns = mono + amclaim_timeout_ns(PEER_TIMEOUT_NS)};

    if (!c.unanswered || sim_is_broken(a->m.sim, "claim"))
        return false;
    buf_slice_append(&c.key, key);
    ask_peers(a, &c);
    vec_push(&a->claims, c);
    return true;
}

static void end_claim(struct actor *a, size_t i)
{
    struct claiming c = a->claims.ptr[i];

    vec_remove_swap(&a->claims, i);
    dispatch_asked(a->d, c.id, c.may_speak, now_of(a));
    buf_done(&c.key);
}

static void ask_again(void *arg)
{
    struct actor *a = arg;

    for (size_t i = a->claims.len; i-- > 0;) {
        if (sim_mono_ns(a->m.sim, a->m.node) >= a->claims.ptr[i].deadline_ns)
            end_claim(a, i); /* silence holds nobody */
        else
            ask_peers(a, &a->claims.ptr[i]);
    }
    sim_node_at(a->m.sim, a->m.node, ASK_AGAIN_NS, ask_again, a);
}

static void on_question(struct actor *a, int from, uint32_t token, struct slice question)
{
    struct buf b = {0};
    struct err *e = amclaim_answer(&b, question, a->d, a->log, &a->clock);

    if (e)
        sim_fail(a->m.sim, "question: %s", err_msg(e));
    else
        send_to(a, from, 'A', token, buf_slice(&b));
    err_free(e);
    buf_done(&b);
}

static void on_peer_answer(struct actor *a, int from, uint32_t token, struct slice answer)
{
    char self[16], peer[16];
    struct amclaim_rank own;
    bool may_speak = true, news = false;

    snprintf(self, sizeof(self), "n%02d", a->m.node);
    snprintf(peer, sizeof(peer), "n%02d", from);
    for (size_t i = 0; i < a->claims.len; i++) {
        struct claiming *c = &a->claims.ptr[i];
        struct err *e;

        if (c->token != token || !(c->unanswered >> from & 1))
            continue;
        own = (struct amclaim_rank){c->stamp, slice_cstr(self)};
        e = amclaim_take(answer, slice_cstr(peer), &own, a->log, sim_wall_ms(a->m.sim, a->m.node),
                         &a->clock, &may_speak, &news);
        if (e)
            sim_fail(a->m.sim, "answer: %s", err_msg(e));
        err_free(e);
        c->may_speak &= may_speak;
        c->unanswered &= ~(1u << from);
        if (news)
            keep_log(a);
        if (!c->unanswered)
            end_claim(a, i);
        return;
    }
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
    struct dispatch_ops ops = {on_send, on_logged, on_position, on_ask, a};
    struct dispatch_opts opts = {.tenant = SLICE("t"),
                                 .peer_timeout_ns = PEER_TIMEOUT_NS,
                                 .claim_clock = &a->clock,
                                 .seed = ++a->life,
                                 .forgets_log = sim_is_broken(a->m.sim, "dedup")};
    struct gossip_channel ch = {CHANNEL, MEMBER_ALERTMANAGER, on_delta, write_state, merge_state, a,
                                true};
    struct err *e;

    sim_member_start(&a->m);
    a->clock = (uint64_t)ORR_MAX(sim_wall_ms(a->m.sim, a->m.node), 0);
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
    ask_again(a);
}

static void stop(void *arg)
{
    struct actor *a = arg;

    dispatch_free(a->d);
    VEC_FOREACH (c, &a->claims)
        buf_done(&c->key);
    vec_done(&a->claims);
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
    struct reader r = reader_new(bytes);
    uint8_t kind = reader_u8(&r);
    uint32_t token;

    if (kind == 'G') {
        sim_member_receive(&a->m, bytes);
        return;
    }
    token = reader_u32le(&r);
    if (kind == 'Q')
        on_question(a, from, token, slice_from(bytes, 5));
    else if (kind == 'A')
        on_peer_answer(a, from, token, slice_from(bytes, 5));
    else
        (void)on_delta(a, slice_from(bytes, 5));
}

/* ---- members of another role, without the channel ---- */

static void start_other(void *arg)
{
    sim_member_start(arg);
}

static void stop_other(void *arg)
{
    sim_member_stop(arg);
}

static void receive_other(void *arg, int from, struct slice bytes)
{
    (void)from;
    sim_member_receive(arg, bytes);
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
    if (sim_chance(w->sim, 0.25))
        w->n_others = (int)sim_between(w->sim, 1, MAX_OTHERS);
    for (int i = 0; i < w->n; i++) {
        struct actor *a = &w->actors[i];

        a->world = w;
        a->m = (struct sim_member){
            .sim = w->sim,
            .seeds = ORR_MIN(2, w->n),
            .owner = a,
            .opts = {.cluster = "sim",
                     .round_ns = 2 * NS_PER_S, /* gossip has a scenario of its own */
                     .full_ns = 8 * NS_PER_S,
                     .unhealthy_after_ns = 6 * NS_PER_S,
                     .forget_after_ns = -1},
            .roles = MEMBER_ALERTMANAGER,
            .ring_opts = {.role = MEMBER_ALERTMANAGER, .rf = (unsigned)w->n}};
        snprintf(a->m.zone, sizeof(a->m.zone), "%c", 'a' + i % 3);
        a->m.node = sim_node_add(w->sim, &ops, a);
    }
    for (int i = 0; i < w->n_others; i++) {
        struct sim_member *m = &w->others[i];

        *m = w->actors[0].m;
        m->owner = NULL;
        m->roles = MEMBER_QUERIER;
        m->node =
            sim_node_add(w->sim, &(struct sim_node_ops){start_other, stop_other, receive_other}, m);
    }
    for (int i = 0; i < w->n + w->n_others; i++)
        sim_start(w->sim, i);
}

/* Nobody hears anybody, the receiver works: each must tell by itself in its time. */
static void check_isolated(struct world *w)
{
    w->receiver_fails = false;
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
