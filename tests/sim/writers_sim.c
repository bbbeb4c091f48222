/*
 * A bucket without conditional puts: processes change one object by reading it, changing what they read and putting it whole, and
 * a put takes place within 2 put_ms of its beginning or never, whatever became of who sent it. The ring of each says what it
 * likes of whose turn it is: one, several, none. They crash, hear nothing for a while, lose answers. Who may put is told by the
 * real writelease.h, which has that same bucket and nothing else; the steps beside it are those of compactor/writers.c.
 *
 * At all times: what was acknowledged as added is in the object, and its version never goes back. In the end, with one
 * that is wanted and nothing that fails, something more is added.
 *
 * --break two-owners: the ring alone decides, as it does where puts are conditional. --break no-quiet: the next put does not wait
 * for one that failed. --break no-wait: a lease is used as soon as it is written. All must be found out.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/block/writelease.h"
#include "tests/sim/sim.h"

#define WRITERS 3
#define PUT_MS 1000
#define MAX_ITEMS 4096

struct object {
    uint64_t version;
    uint64_t items[MAX_ITEMS / 64];
};

struct node {
    struct world *world;
    int node;
    bool wanted; /* by its ring */
    /* in memory */
    struct writelease lease;
    bool is_busy;
    int64_t quiet_ms, deaf_ms;
};

struct world {
    struct sim *sim;
    struct node nodes[WRITERS];
    char text[WRITELEASE_TEXT_BYTES];
    struct object object;
    uint64_t acked[MAX_ITEMS / 64];
    uint32_t n_items, n_acked;
    uint64_t nonce;
    bool is_quiet;
};

static int64_t ms_of(const struct node *nd)
{
    return sim_mono_ns(nd->world->sim, nd->node) / NS_PER_MS;
}

/* ---- the bucket ---- */

struct put {
    struct world *world;
    struct node *node;
    bool is_object, is_lease;
    char text[WRITELEASE_TEXT_BYTES];
    struct object object;
    uint32_t item;
    int64_t began_ms; /* by the node's clock */
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

/* since_ms: of its time that is over. */
static void launch(struct put *p, int64_t since_ms)
{
    struct sim *sim = p->world->sim;
    bool is_slow = !p->world->is_quiet && sim_chance(sim, 0.2);
    bool is_lost = !p->world->is_quiet && sim_chance(sim, 0.05);
    int64_t place_ms = sim_between(sim, 1, is_slow ? 2 * PUT_MS - since_ms - 1 : 50);

    p->ok =
        !is_lost && place_ms < PUT_MS - since_ms && (p->world->is_quiet || sim_chance(sim, 0.95));
    if (!is_lost)
        sim_at(sim, place_ms * NS_PER_MS, on_place, p);
    sim_node_at(sim, p->node->node, (p->ok ? place_ms + 1 : PUT_MS - since_ms) * NS_PER_MS,
                on_answer, p);
}

static struct put *new_put(struct node *nd)
{
    struct put *p = sim_alloc(nd->world->sim, sizeof(*p));

    *p = (struct put){.world = nd->world, .node = nd, .began_ms = ms_of(nd)};
    return p;
}

/* ---- the object ---- */

static bool may_put(struct node *nd)
{
    struct sim *sim = nd->world->sim;
    int64_t now_ms = ms_of(nd);

    if (nd->is_busy || !nd->wanted || (now_ms < nd->quiet_ms && !sim_is_broken(sim, "no-quiet")))
        return false;
    return sim_is_broken(sim, "two-owners") || writelease_may_put(&nd->lease, now_ms) ||
           (sim_is_broken(sim, "no-wait") && nd->lease.state == WRITELEASE_CLAIMED);
}

static void on_answer(void *arg)
{
    struct put *p = arg;
    struct node *nd = p->node;
    struct world *w = p->world;

    if (!p->is_object) {
        if (p->is_lease)
            writelease_wrote(&nd->lease, p->began_ms, ms_of(nd), p->ok);
        return;
    }
    nd->is_busy = false;
    if (p->ok) {
        w->acked[p->item / 64] |= 1ull << p->item % 64;
        w->n_acked++;
        check(w);
    } else {
        nd->quiet_ms = p->began_ms + 2 * PUT_MS;
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
    launch(p, ms_of(p->node) - p->began_ms);
}

static void change(void *arg)
{
    struct node *nd = arg;
    struct sim *sim = nd->world->sim;
    struct put *p;

    if (may_put(nd) && nd->world->n_items < MAX_ITEMS) {
        nd->is_busy = true;
        p = new_put(nd);
        p->is_object = true;
        sim_node_at(sim, nd->node, sim_between(sim, 1, PUT_MS / 4) * NS_PER_MS, on_looked, p);
    }
    sim_node_at(sim, nd->node, sim_between(sim, 50, 500) * NS_PER_MS, change, nd);
}

/* ---- the lease ---- */

static void look(void *arg);

struct reading {
    struct node *node;
    int64_t began_ms;
    char text[WRITELEASE_TEXT_BYTES];
};

static void on_read(void *arg)
{
    struct reading *r = arg;
    struct node *nd = r->node;
    struct world *w = nd->world;
    char nonce[WRITELEASE_NONCE_BYTES];
    struct writelease_step s;
    int64_t now_ms = ms_of(nd);
    bool is_end;
    struct put *p;

    (void)snprintf(nonce, sizeof(nonce), "%llx", (unsigned long long)++w->nonce);
    s = writelease_read(&nd->lease, r->began_ms, now_ms, slice_cstr(r->text), nd->wanted, nonce);
    is_end = !nd->wanted && !nd->is_busy && now_ms >= nd->quiet_ms &&
             writelease_may_put(&nd->lease, now_ms);
    if (is_end)
        s = writelease_release(&nd->lease);
    if (s.text[0]) {
        p = new_put(nd);
        p->is_lease = !is_end;
        memcpy(p->text, s.text, sizeof(p->text));
        launch(p, nd->lease.state == WRITELEASE_WATCHED ? now_ms - r->began_ms : 0);
    }
    /* after the answer to what was written, as the thread does */
    sim_node_at(
        w->sim, nd->node,
        (s.text[0] ? PUT_MS + 1 : ORR_MAX(writelease_next_ms(&nd->lease, now_ms) - now_ms, 20)) *
            NS_PER_MS,
        look, nd);
}

static void look(void *arg)
{
    struct node *nd = arg;
    struct sim *sim = nd->world->sim;
    struct reading *r;

    if (ms_of(nd) < nd->deaf_ms) {
        sim_node_at(sim, nd->node, 100 * NS_PER_MS, look, nd);
        return;
    }
    r = sim_alloc(sim, sizeof(*r));
    r->node = nd;
    r->began_ms = ms_of(nd);
    memcpy(r->text, nd->world->text, sizeof(r->text)); /* of some time within the read */
    sim_node_at(sim, nd->node,
                sim_between(sim, 1, sim_chance(sim, 0.1) ? 2 * PUT_MS : 30) * NS_PER_MS, on_read,
                r);
}

/* ---- life ---- */

static void node_start(void *arg)
{
    static const char *const names[WRITERS] = {"a", "b", "c"};
    struct node *nd = arg;

    nd->lease = (struct writelease){.instance = names[nd->node], .put_ms = PUT_MS};
    nd->is_busy = false;
    nd->quiet_ms = nd->deaf_ms =
        INT64_MIN; /* what it had begun is behind the lease that it has to claim */
    look(nd);
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
        nd->deaf_ms = ms_of(nd) + sim_between(w->sim, 0, 15 * PUT_MS);
    } else if (sim_chance(w->sim, 0.2) && sim_is_up(w->sim, nd->node)) {
        sim_crash(w->sim, nd->node);
        sim_at(w->sim, sim_between(w->sim, 1, 10000) * NS_PER_MS, on_restart, nd);
    }
    sim_at(w->sim, sim_between(w->sim, 100, 4000) * NS_PER_MS, chaos, w);
}

SIM_SCENARIO(writers, "one writer at a time in a bucket without conditional puts")
{
    static const struct sim_node_ops ops = {.start = node_start};
    struct world *w = sim_alloc(sim, sizeof(*w));
    uint32_t before;

    *w = (struct world){.sim = sim};
    for (int i = 0; i < WRITERS; i++) {
        w->nodes[i] = (struct node){.world = w, .wanted = i == 0};
        w->nodes[i].node = sim_node_add(sim, &ops, &w->nodes[i]);
        sim_start(sim, w->nodes[i].node);
    }
    chaos(w);
    sim_run_for(sim, 120 * NS_PER_S);
    w->is_quiet = true;
    for (int i = 0; i < WRITERS; i++)
        w->nodes[i].wanted = i == 1;
    sim_run_for(sim, 30 * NS_PER_S);
    before = w->n_acked;
    sim_run_for(sim, 10 * NS_PER_S);
    if (w->n_acked == before && w->n_items < MAX_ITEMS)
        sim_fail(sim, "nobody writes any more");
}
