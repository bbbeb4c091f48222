/*
 * Gossip under loss, repeats, partitions, crashes and steps of the clock. At any time: who has seen a
 * member LEFT does not see it come back. After the network has healed: all agree on members, states,
 * ownership, health and the key/value table.
 */
#include <stdio.h>

#include "common/base/mem.h"
#include "common/ring/gossip_kv.h"
#include "tests/sim/sim_member.h"

#define MAX_NODES 7
#define KEYS 4

struct actor {
    struct sim_member m;
    struct world *world;
    struct gossip_kv *kv;
    bool has_seen_left[MAX_NODES]; /* in this life */
    bool has_left;
};

struct world {
    struct sim *sim;
    int n;
    struct actor actors[MAX_NODES];
    uint64_t versions[KEYS]; /* highest set of each key; kept only if its setter lived on */
    bool is_quiet;
};

static void check_left(struct sim_member *m, const struct member *e)
{
    struct actor *a = m->owner;
    int who;

    if (sscanf(e->instance, "n%d", &who) != 1 || who < 0 || who >= a->world->n)
        return;
    if (!a->world->actors[who].has_left)
        return; /* forgotten, and back: allowed */
    if (e->state == MEMBER_LEFT && !(e->version & MEMBER_FORGOTTEN))
        a->has_seen_left[who] = true; /* its own word, which it does not take back */
    else if (e->state != MEMBER_LEFT && a->has_seen_left[who])
        sim_fail(m->sim, "node %d sees %s come back from LEFT as %s", m->node, e->instance,
                 member_state_name(e->state));
}

static void start(void *arg)
{
    struct actor *a = arg;
    struct err *e;

    memset(a->has_seen_left, 0, sizeof(a->has_seen_left));
    sim_member_start(&a->m);
    e = gossip_kv_new(a->m.gossip, "kv", 100, NULL, NULL, &a->kv);
    ORR_ASSERT(!e);
}

static void stop(void *arg)
{
    struct actor *a = arg;

    gossip_kv_free(a->kv);
    a->kv = NULL;
    sim_member_stop(&a->m);
}

static void receive(void *arg, int from, struct slice bytes)
{
    struct actor *a = arg;

    (void)from;
    sim_member_receive(&a->m, bytes);
}

static void build(struct world *w)
{
    struct sim_node_ops ops = {start, stop, receive};

    w->n = (int)sim_between(w->sim, 3, MAX_NODES);
    for (int i = 0; i < w->n; i++) {
        struct actor *a = &w->actors[i];

        *a = (struct actor){.world = w};
        a->m = (struct sim_member){
            .sim = w->sim,
            .seeds = 2,
            .changed = check_left,
            .owner = a,
            .opts = {.cluster = "sim",
                     .full_ns = 8 * NS_PER_S,
                     .unhealthy_after_ns = 6 * NS_PER_S,
                     .forget_after_ns = sim_chance(w->sim, 0.5) ? 12 * NS_PER_S : -1},
            .ring_opts = {.role = MEMBER_INGESTER, .rf = 3}};
        if (sim_is_broken(w->sim, "left"))
            a->m.opts.tombstone_ns = NS_PER_S;
        snprintf(a->m.zone, sizeof(a->m.zone), "%c", 'a' + i % 3);
        a->m.node = sim_node_add(w->sim, &ops, a);
        sim_clock_step(w->sim, i, sim_between(w->sim, -2000, 2000));
    }
    for (int i = 0; i < w->n; i++)
        sim_start(w->sim, i);
}

static void leave(struct world *w, int i)
{
    struct actor *a = &w->actors[i];

    if (!sim_is_up(w->sim, i) || a->has_left)
        return;
    if (gossip_self(a->m.gossip)->state != MEMBER_LEAVING) {
        a->m.wants_out = true;
        if (gossip_self(a->m.gossip)->state == MEMBER_ACTIVE)
            sim_member_set_state(&a->m, MEMBER_LEAVING);
        return;
    }
    a->has_left = true;
    sim_member_set_state(&a->m, MEMBER_LEFT);
    /* As a process does before it exits: says so to those it reaches, for a few rounds. */
}

static void set_key(struct world *w, int i)
{
    struct actor *a = &w->actors[i];
    int k = (int)sim_between(w->sim, 0, KEYS - 1);
    char key[16];
    struct err *e;

    if (!sim_is_up(w->sim, i))
        return;
    snprintf(key, sizeof(key), "k%d", k);
    w->versions[k]++;
    e = gossip_kv_set(a->kv, slice_cstr(key), w->versions[k], slice_cstr(key),
                      sim_mono_ns(w->sim, i));
    ORR_ASSERT(!e);
}

static void chaos(void *arg)
{
    struct world *w = arg;
    int i = (int)sim_between(w->sim, 0, w->n - 1);

    if (w->is_quiet)
        return;
    switch (sim_between(w->sim, 0, 9)) {
    case 0:
    case 1:
        if (!w->actors[i].has_left)
            sim_crash(w->sim, i);
        break;
    case 2:
    case 3:
    case 4:
        if (!w->actors[i].has_left)
            sim_start(w->sim, i);
        break;
    case 5:
        sim_note(w->sim, "node %d moves to part 1", i);
        sim_partition(w->sim, i, 1);
        break;
    case 6:
        sim_heal(w->sim);
        break;
    case 7:
        sim_clock_step(w->sim, i, sim_between(w->sim, -600000, 600000));
        break;
    case 8:
        set_key(w, i);
        break;
    case 9:
        if (sim_chance(w->sim, 0.3) && i >= 2)
            leave(w, i);
        break;
    }
    sim_at(w->sim, sim_between(w->sim, 100, 2000) * NS_PER_MS, chaos, w);
}

/* The one who left goes at last; a new table value goes around among those who stay. */
static void settle(struct world *w)
{
    w->is_quiet = true;
    sim_heal(w->sim);
    sim_net_set(w->sim, &(struct sim_net){0.05, 0.02, NS_PER_MS, 50 * NS_PER_MS});
    for (int i = 0; i < w->n; i++)
        if (!w->actors[i].has_left)
            sim_start(w->sim, i);
    sim_run_for(w->sim, 8 * NS_PER_S);
    for (int i = 0; i < w->n; i++)
        if (w->actors[i].has_left)
            sim_crash(w->sim, i);
    set_key(w, 0);
    sim_run_for(w->sim, 25 * NS_PER_S);
}

static void check_pair(struct world *w, struct actor *a, struct actor *b)
{
    struct sim *sim = w->sim;

    if (gossip_count(a->m.gossip) != gossip_count(b->m.gossip))
        sim_fail(sim, "nodes %d and %d know %zu and %zu members", a->m.node, b->m.node,
                 gossip_count(a->m.gossip), gossip_count(b->m.gossip));
    else if (ring_fingerprint(sim_member_ring(&a->m)) != ring_fingerprint(sim_member_ring(&b->m)))
        sim_fail(sim, "nodes %d and %d disagree about ownership", a->m.node, b->m.node);
    for (int k = 0; k < KEYS; k++) {
        uint64_t va = 0, vb = 0;
        struct slice value;
        char key[16];

        snprintf(key, sizeof(key), "k%d", k);
        (void)gossip_kv_get(a->kv, slice_cstr(key), &va, &value);
        (void)gossip_kv_get(b->kv, slice_cstr(key), &vb, &value);
        if (va != vb)
            sim_fail(sim, "nodes %d and %d have %s at %llu and %llu", a->m.node, b->m.node, key,
                     (unsigned long long)va, (unsigned long long)vb);
    }
}

static void check_node(struct world *w, struct actor *a)
{
    for (int i = 0; i < w->n; i++) {
        struct gossip_entry e;
        char name[16];

        snprintf(name, sizeof(name), "n%02d", i);
        if (!gossip_find(a->m.gossip, slice_cstr(name), &e)) {
            if (!w->actors[i].has_left)
                sim_fail(w->sim, "node %d does not know node %d", a->m.node, i);
            continue;
        }
        if (w->actors[i].has_left) {
            if (e.member->state != MEMBER_LEFT)
                sim_fail(w->sim, "node %d takes node %d, which left, for %s", a->m.node, i,
                         member_state_name(e.member->state));
            continue;
        }
        if (!e.is_healthy)
            sim_fail(w->sim, "node %d takes node %d for unhealthy", a->m.node, i);
        if (e.member->state != gossip_self(w->actors[i].m.gossip)->state)
            sim_fail(w->sim, "node %d sees node %d as %s", a->m.node, i,
                     member_state_name(e.member->state));
    }
}

SIM_SCENARIO(gossip, "members, ownership and table agree after the network has healed")
{
    struct world *w = sim_alloc(sim, sizeof(*w));
    struct actor *first = NULL;

    w->sim = sim;
    sim_net_set(sim, &(struct sim_net){sim_chance(sim, 0.5) ? 0.2 : 0.02, 0.1, NS_PER_MS,
                                       sim_between(sim, 5, 1500) * NS_PER_MS});
    build(w);
    sim_at(sim, 2 * NS_PER_S, chaos, w);
    sim_run_for(sim, 40 * NS_PER_S);
    settle(w);
    for (int i = 0; i < w->n && !sim_violation(sim); i++) {
        struct actor *a = &w->actors[i];

        if (!sim_is_up(sim, i))
            continue;
        check_node(w, a);
        if (first)
            check_pair(w, first, a);
        else
            first = a;
    }
}
