/*
 * A bucket without conditional puts: processes change one object by reading it, changing what they read and putting it whole, and
 * a put that was given up takes place within PUT_MS of that or never, whatever became of who sent it; one of a claim or a renewal
 * may be a good deal later. The ring of each says what it likes of whose turn it is: one, several, none. They crash, stand still or
 * hear nothing for a while, lose answers, and their clocks run unalike. Who may put, when, and until when is told by the real
 * writelease.h, which has that same bucket and nothing else; compactor/writers.c only carries its words between the two, as
 * the nodes here do.
 *
 * At all times: what was acknowledged as added is in the object, and its version never goes back. In the end, with one
 * that is wanted and nothing that fails, something more is added, soon after the one before has left.
 *
 * --break two-owners: the ring alone decides, as it does where puts are conditional. --break no-quiet: the next put does not wait
 * for one that failed. --break no-wait: a lease is used as soon as it is written. --break late: a put takes place later than is
 * allowed for. All must be found out.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/block/writelease.h"
#include "tests/sim/sim.h"

#define WRITERS 3
#define LEASE_MS 200
#define PUT_MS 1000
#define MAX_ITEMS 4096
#define DRIFT_PERMILLE 5 /* by which clocks run too fast or too slow */
#define POLL_MS (LEASE_MS / 4)

struct object {
    uint64_t version;
    uint64_t items[MAX_ITEMS / 64];
};

struct node {
    struct world *world;
    int node;
    bool wanted; /* by its ring */
    int64_t drift;
    /* in memory */
    struct writelease lease;
    int64_t deaf_ms; /* it hears nothing of leases; its puts go on */
    int64_t next_ms;
    /* of the test */
    uint32_t n_acked;
};

struct world {
    struct sim *sim;
    struct node nodes[WRITERS];
    char text[WRITELEASE_TEXT_BYTES];
    struct object object;
    uint64_t acked[MAX_ITEMS / 64];
    uint32_t n_items;
    uint64_t nonce;
    bool is_quiet;
};

/* By the node's clock, which is not right. */
static int64_t ms_of(const struct node *nd)
{
    return sim_mono_ns(nd->world->sim, nd->node) / NS_PER_MS * (1000 + nd->drift) / 1000;
}

static bool stands_still(const struct node *nd, double p)
{
    return !nd->world->is_quiet && sim_chance(nd->world->sim, p);
}

/* ---- the bucket ---- */

struct put {
    struct world *world;
    struct node *node;
    bool is_object, is_end;
    char text[WRITELEASE_TEXT_BYTES];
    struct object object;
    uint32_t item;
    int64_t until_ms; /* by the node's clock */
    bool ok;
};

static void check(struct world *w)
{
    for (size_t i = 0; i < MAX_ITEMS / 64; i++)
        if (w->acked[i] & ~w->object.items[i])
            sim_fail(w->sim, "what was acknowledged is gone at version %llu",
                     (unsigned long long)w->object.version);
}

static void on_place(void *arg)
{
    struct put *p = arg;
    struct world *w = p->world;

    if (!p->is_object) {
        memcpy(w->text, p->text, sizeof(w->text));
        return;
    }
    if (p->object.version < w->object.version)
        sim_fail(w->sim, "version %llu after %llu", (unsigned long long)p->object.version,
                 (unsigned long long)w->object.version);
    w->object = p->object;
    check(w);
}

static void on_answer(void *arg);

static void launch(struct put *p)
{
    struct sim *sim = p->world->sim;
    bool is_free = p->world->is_quiet;
    bool is_bound = (p->is_object || p->is_end) && !sim_is_broken(sim, "late");
    /* a clock that is too slow gives it up later, so a little less is left of what it may be late */
    int64_t late_ms = is_bound ? PUT_MS * 9 / 10 : 5 * PUT_MS, place_ms = 0;
    int64_t left_ms = p->until_ms - ms_of(p->node);
    bool is_sent = left_ms > 0; /* else it has stood still meanwhile */

    if (is_sent && (is_free || sim_chance(sim, 0.95)))
        place_ms = sim_between(sim, 1, !is_free && sim_chance(sim, 0.2) ? left_ms + late_ms : 30);
    if (place_ms)
        sim_at(sim, place_ms * NS_PER_MS, on_place, p);
    p->ok = place_ms && place_ms < left_ms && (is_free || sim_chance(sim, 0.95));
    sim_node_at(sim, p->node->node, (p->ok ? place_ms + 1 : ORR_MAX(left_ms, 1)) * NS_PER_MS,
                on_answer, p);
}

static struct put *new_put(struct node *nd, int64_t until_ms)
{
    struct put *p = sim_alloc(nd->world->sim, sizeof(*p));

    *p = (struct put){.world = nd->world, .node = nd, .until_ms = until_ms};
    return p;
}

/* ---- the object ---- */

static bool may_put(struct node *nd)
{
    struct sim *sim = nd->world->sim;
    struct writelease *l = &nd->lease;
    enum writelease_turn turn = writelease_put_begins(l, ms_of(nd), nd->wanted);

    if (turn == WRITELEASE_GO)
        return true;
    if (turn == WRITELEASE_BUSY || !nd->wanted ||
        !(sim_is_broken(sim, "two-owners") ||
          (turn == WRITELEASE_QUIET && sim_is_broken(sim, "no-quiet") &&
           writelease_may_put(l, ms_of(nd))) ||
          (l->state == WRITELEASE_CLAIMED && sim_is_broken(sim, "no-wait"))))
        return false;
    l->is_busy = true;
    l->put_until_ms = ms_of(nd) + PUT_MS;
    return true;
}

static void on_answer(void *arg)
{
    struct put *p = arg;
    struct node *nd = p->node;
    struct world *w = p->world;

    if (p->is_end)
        return;
    if (!p->is_object) {
        writelease_wrote(&nd->lease, ms_of(nd), p->ok);
        return;
    }
    writelease_put_ended(&nd->lease, p->ok);
    if (p->ok) {
        w->acked[p->item / 64] |= 1ull << p->item % 64;
        nd->n_acked++;
        check(w);
    }
}

static void on_looked(void *arg)
{
    struct put *p = arg;
    struct world *w = p->world;

    p->object = w->object;
    p->object.version++;
    p->item = w->n_items++;
    p->object.items[p->item / 64] |= 1ull << p->item % 64;
    launch(p);
}

/* It may stand still between the look at the clock and the put, which is sent after another look. */
static void change(void *arg)
{
    struct node *nd = arg;
    struct sim *sim = nd->world->sim;
    struct put *p;

    if (nd->world->n_items < MAX_ITEMS && may_put(nd)) {
        p = new_put(nd, nd->lease.put_until_ms);
        p->is_object = true;
        sim_node_at(sim, nd->node,
                    sim_between(sim, 1, stands_still(nd, 0.05) ? 3 * PUT_MS : PUT_MS / 4) *
                        NS_PER_MS,
                    on_looked, p);
    }
    sim_node_at(sim, nd->node, sim_between(sim, 50, 500) * NS_PER_MS, change, nd);
}

/* ---- the lease ---- */

static void tick(void *arg);

struct reading {
    struct node *node;
    int64_t began_ms;
    char text[WRITELEASE_TEXT_BYTES];
};

static void on_write(void *arg)
{
    launch(arg);
}

static void on_read(void *arg)
{
    struct reading *r = arg;
    struct node *nd = r->node;
    struct sim *sim = nd->world->sim;
    char nonce[WRITELEASE_NONCE_BYTES];
    struct writelease_step s;
    int64_t now_ms = ms_of(nd), busy_ms = POLL_MS;
    struct put *p;

    (void)snprintf(nonce, sizeof(nonce), "%llx", (unsigned long long)++nd->world->nonce);
    s = writelease_read(&nd->lease, r->began_ms, now_ms, slice_cstr(r->text), nd->wanted, nonce);
    if (s.text[0]) {
        p = new_put(nd, s.until_ms);
        p->is_end = s.is_end;
        memcpy(p->text, s.text, sizeof(p->text));
        /* it may stand still here as well */
        sim_node_at(sim, nd->node,
                    stands_still(nd, 0.02) ? sim_between(sim, 1, 10 * PUT_MS) * NS_PER_MS : 1,
                    on_write, p);
        /* the next look comes after the answer, as the thread's does */
        busy_ms = s.until_ms - now_ms + 1;
    }
    nd->next_ms = writelease_next_ms(&nd->lease, nd->wanted, now_ms);
    sim_node_at(sim, nd->node, ORR_MAX(busy_ms, 1) * NS_PER_MS, tick, nd);
}

static void on_taken(void *arg)
{
    struct reading *r = arg;
    struct node *nd = r->node;
    struct sim *sim = nd->world->sim;

    memcpy(r->text, nd->world->text, sizeof(r->text)); /* of some time within the read */
    sim_node_at(sim, nd->node,
                sim_between(sim, 1, stands_still(nd, 0.1) ? 2 * LEASE_MS : 15) * NS_PER_MS, on_read,
                r);
}

/* As the thread of a share does. */
static void tick(void *arg)
{
    struct node *nd = arg;
    struct sim *sim = nd->world->sim;
    int64_t now_ms = ms_of(nd);
    bool is_due =
        nd->lease.state == WRITELEASE_IDLE
            ? nd->wanted
            : now_ms >= ORR_MIN(nd->next_ms, writelease_next_ms(&nd->lease, nd->wanted, now_ms));
    struct reading *r;

    if (!is_due || now_ms < nd->deaf_ms) {
        sim_node_at(sim, nd->node, POLL_MS * NS_PER_MS, tick, nd);
        return;
    }
    r = sim_alloc(sim, sizeof(*r));
    r->node = nd;
    r->began_ms = now_ms;
    sim_node_at(sim, nd->node, sim_between(sim, 1, 15) * NS_PER_MS, on_taken, r);
}

/* ---- life ---- */

static void node_start(void *arg)
{
    static const char *const names[WRITERS] = {"a", "b", "c"};
    struct node *nd = arg;

    /* what it had begun before is behind the lease that it has to claim */
    nd->lease =
        (struct writelease){.instance = names[nd->node], .lease_ms = LEASE_MS, .put_ms = PUT_MS};
    nd->deaf_ms = INT64_MIN;
    nd->next_ms = 0;
    tick(nd);
    change(nd);
}

static void on_restart(void *arg)
{
    struct node *nd = arg;

    if (!sim_is_up(nd->world->sim, nd->node))
        sim_start(nd->world->sim, nd->node);
}

static void chaos(void *arg)
{
    struct world *w = arg;
    struct node *nd = &w->nodes[sim_between(w->sim, 0, WRITERS - 1)];

    if (w->is_quiet)
        return;
    if (sim_chance(w->sim, 0.3)) {
        nd->wanted = !nd->wanted;
    } else if (sim_chance(w->sim, 0.2) && sim_is_up(w->sim, nd->node)) {
        nd->deaf_ms = ms_of(nd) + sim_between(w->sim, 0, 10 * PUT_MS);
    } else if (sim_chance(w->sim, 0.2) && sim_is_up(w->sim, nd->node)) {
        sim_crash(w->sim, nd->node);
        sim_at(w->sim, sim_between(w->sim, 1, 10000) * NS_PER_MS, on_restart, nd);
    }
    sim_at(w->sim, sim_between(w->sim, 100, 4000) * NS_PER_MS, chaos, w);
}

static void want_one(struct world *w, int one)
{
    for (int i = 0; i < WRITERS; i++)
        w->nodes[i].wanted = i == one;
}

static void check_progress(struct world *w, int one, int64_t within_ns)
{
    uint32_t before = w->nodes[one].n_acked;

    sim_run_for(w->sim, within_ns);
    if (w->nodes[one].n_acked == before && w->n_items < MAX_ITEMS)
        sim_fail(w->sim, "node %d, which should write, does not", one);
}

SIM_SCENARIO(writers, "one writer at a time in a bucket without conditional puts")
{
    static const struct sim_node_ops ops = {.start = node_start};
    struct world *w = sim_alloc(sim, sizeof(*w));

    *w = (struct world){.sim = sim};
    for (int i = 0; i < WRITERS; i++) {
        w->nodes[i] = (struct node){.world = w,
                                    .wanted = i == 0,
                                    .drift = sim_between(sim, -DRIFT_PERMILLE, DRIFT_PERMILLE)};
        w->nodes[i].node = sim_node_add(sim, &ops, &w->nodes[i]);
        sim_start(sim, w->nodes[i].node);
    }
    chaos(w);
    sim_run_for(sim, 120 * NS_PER_S);
    w->is_quiet = true;
    want_one(w, 1);
    sim_run_for(sim, 30 * NS_PER_S);
    check_progress(w, 1, 10 * NS_PER_S);
    want_one(w, 2);
    /* it is given back, and claimed; and a turn of change() */
    check_progress(w, 2, (6 * LEASE_MS + 1000) * NS_PER_MS);
}
