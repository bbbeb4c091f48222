/*
 * Silences of alertmanagers, with the real gossip. Calm: one that is set, or ended, anywhere holds everywhere within two
 * rounds of gossip (a process wakes its gossip for it, and tells replicas besides: nodes here do not). Under partitions, crashes, lost messages and steps of the clocks: after healing all have the same; of what was
 * answered nothing is lost; what somebody has ended is over, whatever his clock said.
 */
#include <stdio.h>

#include "alertmanager/silences.h"
#include "common/base/mem.h"
#include "tests/sim/sim_member.h"

#define MAX_NODES 5
#define MAX_SET 40
#define FILE_STATE 0
#define CHANNEL "silences"
#define ROUNDS_NS (2 * NS_PER_S + 100 * NS_PER_MS)
#define DAY_NS (86400 * NS_PER_S)

struct actor {
    struct sim_member m;
    struct world *world;
    struct silences *silences;
    uint64_t life;
};
struct asked {
    char id[40];
    bool is_ended;
};
struct world {
    struct sim *sim;
    int n;
    struct actor actors[MAX_NODES];
    struct asked asked[MAX_SET];
    size_t n_asked;
    bool is_chaotic;
};

static const struct slice tenant = SLICE_INIT("t");

static int64_t wall_ns(const struct actor *a)
{
    return sim_wall_ms(a->m.sim, a->m.node) * NS_PER_MS;
}

static void keep(struct actor *a)
{
    struct buf b = {0};

    if (sim_is_broken(a->m.sim, "silence"))
        return;
    silences_write_state(a->silences, &b);
    sim_replace(a->m.sim, a->m.node, FILE_STATE, buf_slice(&b));
    buf_done(&b);
}

/* ---- the channel ---- */

static bool on_delta(void *arg, struct slice bytes)
{
    struct actor *a = arg;
    bool news = false;
    struct err *e = silences_merge(a->silences, bytes, wall_ns(a), &news);

    if (e)
        sim_fail(a->m.sim, "delta: %s", err_msg(e));
    err_free(e);
    if (news)
        keep(a);
    return news;
}

static void write_state(void *arg, struct buf *out)
{
    silences_write_state(((struct actor *)arg)->silences, out);
}

static void merge_state(void *arg, struct slice bytes)
{
    struct actor *a = arg;
    struct err *e = silences_merge_state(a->silences, bytes, wall_ns(a));

    if (e)
        sim_fail(a->m.sim, "state: %s", err_msg(e));
    err_free(e);
    keep(a);
}

/* ---- a node ---- */

static void start(void *arg)
{
    struct actor *a = arg;
    struct gossip_channel ch = {CHANNEL, MEMBER_ALERTMANAGER, on_delta, write_state, merge_state, a,
                                true};
    struct err *e;

    sim_member_start(&a->m);
    a->silences = silences_new(&(struct silences_opts){
        .retention_ns = 5 * DAY_NS, .seed = (uint64_t)a->m.node * 1000 + ++a->life});
    e = silences_merge_state(a->silences, sim_content(a->m.sim, a->m.node, FILE_STATE), wall_ns(a));
    ORR_ASSERT(!e);
    e = gossip_add_channel(a->m.gossip, &ch);
    ORR_ASSERT(!e);
}

static void stop(void *arg)
{
    struct actor *a = arg;

    silences_free(a->silences);
    a->silences = NULL;
    sim_member_stop(&a->m);
}

static void receive(void *arg, int from, struct slice bytes)
{
    (void)from;
    sim_member_receive(&((struct actor *)arg)->m, bytes);
}

/* ---- people ---- */

static void spread(struct actor *a, struct slice id)
{
    struct buf key = {0}, entry = {0};
    struct err *e;

    silences_key(&key, tenant, id);
    silences_entry(a->silences, buf_slice(&key), &entry);
    e = gossip_broadcast(a->m.gossip, CHANNEL, buf_slice(&key), buf_slice(&entry),
                         sim_mono_ns(a->m.sim, a->m.node));
    ORR_ASSERT(!e);
    buf_done(&key);
    buf_done(&entry);
    keep(a);
}

static void set(struct world *w, struct actor *a)
{
    const struct silences_matcher m = {MATCHER_EQ, SLICE("a"), SLICE("1")};
    struct silences_spec spec = {
        .matchers = &m, .n_matchers = 1, .starts_ns = wall_ns(a), .ends_ns = wall_ns(a) + DAY_NS};
    struct slice id;
    struct err *e;

    if (w->n_asked == MAX_SET || !sim_is_up(w->sim, a->m.node))
        return;
    e = silences_set(a->silences, tenant, &spec, NULL, wall_ns(a), &id);
    ORR_ASSERT(!e);
    snprintf(w->asked[w->n_asked++].id, sizeof(w->asked[0].id), "%.*s", SLICE_ARG(id));
    sim_note(w->sim, "node %d sets %.*s", a->m.node, SLICE_ARG(id));
    spread(a, id);
}

/* One that it knows. */
static void end(struct world *w, struct actor *a)
{
    struct asked *x = &w->asked[sim_between(w->sim, 0, ORR_MAX((int64_t)w->n_asked, 1) - 1)];
    struct err *e;

    if (!sim_is_up(w->sim, a->m.node) || !silences_get(a->silences, tenant, slice_cstr(x->id)))
        return;
    e = silences_expire(a->silences, tenant, slice_cstr(x->id), wall_ns(a));
    ORR_ASSERT(!e);
    x->is_ended = true;
    sim_note(w->sim, "node %d ends %s", a->m.node, x->id);
    spread(a, slice_cstr(x->id));
}

static void chaos(void *arg)
{
    struct world *w = arg;
    struct actor *a = &w->actors[sim_between(w->sim, 0, w->n - 1)];

    if (!w->is_chaotic)
        return;
    switch (sim_between(w->sim, 0, 8)) {
    case 0:
        sim_crash(w->sim, a->m.node);
        break;
    case 1:
        sim_start(w->sim, a->m.node);
        break;
    case 2:
    case 3:
        sim_partition(w->sim, a->m.node, (int)sim_between(w->sim, 0, w->n));
        break;
    case 4:
        sim_clock_step(w->sim, a->m.node, sim_between(w->sim, -60000, 60000));
        break;
    case 5:
    case 6:
        set(w, a);
        break;
    case 7:
        end(w, a);
        break;
    case 8:
        if (sim_chance(w->sim, 0.3))
            sim_heal(w->sim);
        break;
    }
    sim_at(w->sim, sim_between(w->sim, 200, 3000) * NS_PER_MS, chaos, w);
}

/* ---- what must hold ---- */

/* Clocks differ, so what is over is so by its end, not by the time of who asks. */
static void check_all(struct world *w, const char *when)
{
    for (int i = 0; i < w->n; i++)
        for (size_t k = 0; k < w->n_asked; k++) {
            const struct asked *x = &w->asked[k];
            const struct silence *s =
                silences_get(w->actors[i].silences, tenant, slice_cstr(x->id));

            if (!s)
                sim_fail(w->sim, "%s: node %d has lost %s", when, i, x->id);
            else if (x->is_ended != (s->ends_ns - s->starts_ns < DAY_NS / 2))
                sim_fail(w->sim, "%s: on node %d %s is %s", when, i, x->id,
                         x->is_ended ? "not over" : "over");
        }
}

static void build(struct world *w)
{
    struct sim_node_ops ops = {start, stop, receive};

    w->n = (int)sim_between(w->sim, 2, MAX_NODES);
    for (int i = 0; i < w->n; i++) {
        struct actor *a = &w->actors[i];

        a->world = w;
        a->m = (struct sim_member){.sim = w->sim,
                                   .seeds = 2,
                                   .owner = a,
                                   .opts = {.cluster = "sim",
                                            .full_ns = 8 * NS_PER_S,
                                            .unhealthy_after_ns = 6 * NS_PER_S,
                                            .forget_after_ns = -1},
                                   .roles = MEMBER_ALERTMANAGER,
                                   .ring_opts = {.role = MEMBER_ALERTMANAGER, .rf = 3}};
        snprintf(a->m.zone, sizeof(a->m.zone), "%c", 'a' + i % 3);
        a->m.node = sim_node_add(w->sim, &ops, a);
    }
    for (int i = 0; i < w->n; i++)
        sim_start(w->sim, i);
}

SIM_SCENARIO(silence, "soon everywhere in calm, and nothing lost or undone after healing")
{
    struct world *w = sim_alloc(sim, sizeof(*w));

    w->sim = sim;
    sim_net_set(sim, &(struct sim_net){0, 0.01, NS_PER_MS, 30 * NS_PER_MS});
    build(w);
    sim_run_for(sim, 25 * NS_PER_S);
    for (int i = 0; i < 4 && !sim_violation(sim); i++) {
        set(w, &w->actors[sim_between(sim, 0, w->n - 1)]);
        sim_run_for(sim, ROUNDS_NS);
        check_all(w, "soon after it was set");
        if (i % 2) {
            end(w, &w->actors[sim_between(sim, 0, w->n - 1)]);
            sim_run_for(sim, ROUNDS_NS);
            check_all(w, "soon after it was ended");
        }
    }

    w->is_chaotic = true;
    sim_net_set(sim, &(struct sim_net){0.3, 0.05, NS_PER_MS, 500 * NS_PER_MS});
    sim_at(sim, NS_PER_S, chaos, w);
    sim_run_for(sim, 120 * NS_PER_S);
    w->is_chaotic = false;

    sim_net_set(sim, &(struct sim_net){0.01, 0.01, NS_PER_MS, 30 * NS_PER_MS});
    sim_heal(sim);
    for (int i = 0; i < w->n; i++)
        sim_start(sim, i);
    sim_run_for(sim, 60 * NS_PER_S);
    if (!sim_violation(sim))
        check_all(w, "after healing");
}
