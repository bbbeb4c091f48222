/*
 * A bucket without conditional puts: processes change one object by reading it, changing what they read and putting it whole, and
 * a put that was given up takes place within PUT_MS of that or never, whatever became of who sent it; one of a claim or a renewal
 * may be a good deal later. The ring of each says what it likes of whose turn it is: one, several, none. They crash, stand still or
 * hear nothing for a while, lose answers, and their clocks run unalike. Who may put, when, and until when is told by the real
 * writelease.h, which has that same bucket and nothing else; compactor/writers.c only carries its words between the two, as
 * the nodes here do.
 *
 * Beside the items that it counts, the object names blocks, of two files each (the last one stands for meta.json), as a catalogue
 * does. Anybody uploads them, lease or not, as slowly as he likes and again under the same names, and the holder names those that
 * are whole, retires what has expired and what is an orphan, deletes what was retired and forgets it, as compactor/sweep.h says.
 *
 * At all times: what was acknowledged as added is in the object, its version never goes back, and a block that is named has its
 * files. In the end, with one that is wanted and nothing that fails, something more is added, soon after the one before has left;
 * and no orphan is left, though that one is started again and again and never lives for as long as an orphan has to be old.
 *
 * --break two-owners: the ring alone decides, as it does where puts are conditional. --break no-quiet: the next put does not wait
 * for one that failed. --break no-wait: a lease is used as soon as it is written. --break late: a put takes place later than is
 * allowed for. --break no-rest: who has just got the lease deletes and forgets, though an earlier holder may be deleting.
 * --break alone: orphans are left to who has held the lease for longer than they have to be old. All must be found out.
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

#define BLOCKS 6
#define FILES 2
#define WHOLE ((1u << FILES) - 1)
#define ORPHAN_MS 20000   /* how old what is no block's has to be */
#define DELAY_MS 200      /* from retired to deleted */
#define DELETES_MS 3000   /* a request to delete takes place so long after it was begun, or never */
#define RESTARTS_MS 15000 /* in the end; less than ORPHAN_MS */

struct object {
    uint64_t version;
    uint64_t items[MAX_ITEMS / 64];
    struct entry {
        bool is_live;
        int64_t retired_ms; /* 0: it is not */
    } blocks[BLOCKS];
};

/* Of a block, in the bucket. */
struct files {
    unsigned there; /* a bit each */
    int64_t put_ms; /* the last */
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
    unsigned uploaded, deleted; /* blocks: to be named, to be forgotten */
    bool is_deleting;
    /* of the test */
    uint32_t n_acked;
};

struct world {
    struct sim *sim;
    struct node nodes[WRITERS];
    char text[WRITELEASE_TEXT_BYTES];
    struct object object;
    struct files files[BLOCKS];
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
    for (int k = 0; k < BLOCKS; k++)
        if (w->object.blocks[k].is_live && w->files[k].there != WHOLE)
            sim_fail(w->sim, "block %d is named at version %llu and has lost a file", k,
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

/* ---- blocks ---- */

static int64_t bucket_ms(const struct world *w)
{
    return sim_now_ns(w->sim) / NS_PER_MS + 1; /* 0: never */
}

/* Whether it has held the lease for so long. */
static bool rests(const struct node *nd, int64_t ms)
{
    return writelease_may_put(&nd->lease, ms_of(nd)) &&
           (ms == 0 || nd->lease.held_ms == INT64_MIN || ms_of(nd) - nd->lease.held_ms >= ms);
}

/* And delete. What it has deleted under an earlier lease another may have deleted since. */
static bool may_forget(const struct node *nd)
{
    return rests(nd, sim_is_broken(nd->world->sim, "no-rest") ? 0 : DELETES_MS * 21 / 20);
}

struct file_op {
    struct node *node;
    int block, file;
};

static struct file_op *new_op(struct node *nd, int block, int file)
{
    struct file_op *op = sim_alloc(nd->world->sim, sizeof(*op));

    *op = (struct file_op){nd, block, file};
    return op;
}

static void on_file_put(void *arg)
{
    struct file_op *op = arg;
    struct world *w = op->node->world;

    w->files[op->block].there |= 1u << op->file;
    w->files[op->block].put_ms = bucket_ms(w);
}

static void on_file_gone(void *arg)
{
    struct file_op *op = arg;
    struct world *w = op->node->world;

    w->files[op->block].there &= ~(1u << op->file);
    check(w);
}

/* One file after the other, meta.json last; what was begun is put whatever becomes of who did. */
static void upload(void *arg)
{
    struct file_op *op = arg;
    struct node *nd = op->node;
    struct sim *sim = nd->world->sim;
    int64_t ms = sim_between(sim, 1, 100);

    if (op->file == 0 && nd->world->files[op->block].there == WHOLE)
        op->file = FILES; /* it is there */
    if (op->file == FILES) {
        nd->uploaded |= 1u << op->block;
        return;
    }
    sim_at(sim, ms * NS_PER_MS, on_file_put, new_op(nd, op->block, op->file));
    op->file++;
    sim_node_at(sim, nd->node,
                (ms + (stands_still(nd, 0.1) ? sim_between(sim, 1, 3 * ORPHAN_MS / 2) : 1)) *
                    NS_PER_MS,
                upload, op);
}

static void make_blocks(void *arg)
{
    struct node *nd = arg;
    struct world *w = nd->world;
    int k = (int)sim_between(w->sim, 0, BLOCKS - 1);

    if (!w->is_quiet && !w->object.blocks[k].is_live)
        upload(new_op(nd, k, 0));
    sim_node_at(w->sim, nd->node, sim_between(w->sim, 50, 500) * NS_PER_MS, make_blocks, nd);
}

/* meta.json first. A request that is not answered is given up with all of it; it takes place in its time or never. */
static void delete_file(void *arg)
{
    struct file_op *op = arg;
    struct node *nd = op->node;
    struct sim *sim = nd->world->sim;
    bool is_late = !nd->world->is_quiet && sim_chance(sim, 0.4);
    int64_t ms = sim_between(sim, 1, is_late ? DELETES_MS * 99 / 100 : 20);

    if (op->file < 0) {
        nd->deleted |= 1u << op->block;
        nd->is_deleting = false;
        return;
    }
    if (!nd->wanted || !writelease_may_put(&nd->lease, ms_of(nd))) {
        nd->is_deleting = false;
        return;
    }
    sim_at(sim, ms * NS_PER_MS, on_file_gone, new_op(nd, op->block, op->file));
    op->file--;
    sim_node_at(sim, nd->node, (ms + 1) * NS_PER_MS, delete_file, op);
}

static void sweep(void *arg)
{
    struct node *nd = arg;
    struct world *w = nd->world;
    int k = (int)sim_between(w->sim, 0, BLOCKS - 1);
    const struct entry *en = &w->object.blocks[k];

    /* what was forgotten by a put that may yet take place looks as if it were not */
    bool is_sure = !nd->lease.is_busy && ms_of(nd) >= nd->lease.quiet_ms;

    if (!nd->is_deleting && is_sure && nd->wanted && may_forget(nd) && en->retired_ms &&
        en->retired_ms <= bucket_ms(w) - DELAY_MS && !(nd->deleted & 1u << k)) {
        nd->is_deleting = true;
        delete_file(new_op(nd, k, FILES - 1));
    }
    sim_node_at(w->sim, nd->node, sim_between(w->sim, 10, 200) * NS_PER_MS, sweep, nd);
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

/* What the holder makes of the blocks, by the object as it stands. */
static void change_blocks(struct node *nd, struct object *o)
{
    struct world *w = nd->world;
    int64_t now_ms = bucket_ms(w);
    bool looks = rests(nd, sim_is_broken(w->sim, "alone") ? ORPHAN_MS : 0);

    for (int k = 0; k < BLOCKS; k++) {
        struct entry *en = &o->blocks[k];
        const struct files *f = &w->files[k];

        if (en->retired_ms) {
            if (nd->deleted & 1u << k && may_forget(nd))
                en->retired_ms = 0;
        } else if (en->is_live) {
            if (!w->is_quiet && sim_chance(w->sim, 0.1))
                *en = (struct entry){.retired_ms = now_ms};
        } else if (nd->uploaded & 1u << k && f->there == WHOLE) {
            en->is_live = true;
        } else if (looks && f->there && f->put_ms <= now_ms - ORPHAN_MS) {
            en->retired_ms = now_ms;
        }
    }
    nd->uploaded = nd->deleted = 0;
}

static void on_looked(void *arg)
{
    struct put *p = arg;
    struct world *w = p->world;

    p->object = w->object;
    p->object.version++;
    change_blocks(p->node, &p->object);
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
    nd->uploaded = nd->deleted = 0;
    nd->is_deleting = false;
    tick(nd);
    change(nd);
    make_blocks(nd);
    sweep(nd);
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

/* It never lives for as long as an orphan has to be old. */
static void check_no_orphans(struct world *w, int one)
{
    for (int k = 0; k < BLOCKS; k++)
        if (!w->object.blocks[k].is_live && !w->object.blocks[k].retired_ms)
            w->files[k] = (struct files){1, bucket_ms(w)}; /* of an upload that went no further */
    for (int64_t ms = 0; ms < 4 * ORPHAN_MS; ms += RESTARTS_MS) {
        sim_crash(w->sim, w->nodes[one].node);
        sim_start(w->sim, w->nodes[one].node);
        sim_run_for(w->sim, RESTARTS_MS * NS_PER_MS);
    }
    for (int k = 0; k < BLOCKS; k++)
        if (w->files[k].there && !w->object.blocks[k].is_live)
            sim_fail(w->sim, "an orphan is left of block %d", k);
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
    check_no_orphans(w, 2);
}
