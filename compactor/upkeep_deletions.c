/*
 * What upkeep does about tombstones: it finds the blocks that are to be rewritten, and takes a tombstone off the list
 * when nothing holds what it deletes.
 *
 * The order of the latter is that of a read (README.md): first every ingester says that it has nothing, then the catalogue
 * is read and its new blocks are looked into. What an ingester dropped in between is in one of those. A querier may still
 * plan by a catalogue of before the rewrite, and filter by the list of now: so the tombstone stays for deletion-delay
 * more, after which those blocks' files are gone.
 *
 * Of log lines a deletion can be taken back until it is begun: delete-rewrite-after later, where the tenant's deletion_mode lets
 * lines leave the bucket, the tenant's sweep puts that down, and only then anything is left out. When nothing is left it stays on
 * the list as processed, for whoever asks what became of it, PROCESSED_MS long or until the list is half full.
 */
#include "common/base/log.h"
#include "common/rpc/peercall.h"
#include "compactor/upkeep_internal.h"

#define LOOKS 64 /* blocks looked into in one turn of a tenant */
#define ASKED 64 /* tombstones that ingesters are asked for in one sweep */
#define ASK_TIMEOUT_MS 10000
#define ASK_MAX_BYTES (1u << 20)
#define PROCESSED_MS (30ll * 86400 * 1000)

struct turn {
    struct upkeep_pass *pass;
    struct slice tenant;
    bool only_ours;
};

static bool wants(void *arg, const struct catalogue_block *b)
{
    const struct turn *turn = arg;
    const struct upkeep_pass *p = turn->pass;
    const struct levels_job job = {.min_ms = p->part->signal->has_ends ? b->max_t - 1 : b->min_t};

    if (upkeep_tenant_is_quarantined(p->part, turn->tenant, b->ulid))
        return false;
    return !turn->only_ours ||
           compactor_owns(
               p->u->c, p->compactors, turn->tenant,
               signal_key(p->part->signal, levels_key(&p->tiers.levels, turn->tenant, &job)));
}

static void put_aside(void *arg, struct ulid block, const char *reason)
{
    struct turn *turn = arg;

    LOG_ERROR(compactor, "block does not verify, it is left out of compaction",
              KV_SLICE("tenant", turn->tenant), KV_STR("block", ulid_print(block).s),
              KV_STR("reason", reason));
    METRIC_ADD(turn->pass->part->m.merge.bad_blocks, 1);
    upkeep_tenant_quarantine(turn->pass, turn->tenant, block, reason);
}

static struct err *look(struct turn *turn, struct upkeep_tenant *t, const struct catalogue *c,
                        const struct tombstone_list *l, bool *ret_more, int64_t *ret_due_ms)
{
    const struct upkeep_pass *p = turn->pass;
    const struct deletions_opts opts = {.signal = p->part->signal,
                                        .store = p->u->c->store,
                                        .rewrite_after_ms =
                                            p->conf->delete_rewrite_after_ns / NS_PER_MS,
                                        .now_ms = t->retention.now_ms,
                                        .retention = &t->retention,
                                        .max_looks = LOOKS,
                                        .stop = &p->u->c->is_stopping,
                                        .wants = wants,
                                        .bad = put_aside,
                                        .arg = turn};

    t->tombstones = tombstone_list_open(l);
    return deletions_look(t->deletions, &opts, c, l, ret_more, ret_due_ms);
}

void upkeep_deletions_look(struct upkeep_pass *p, struct slice tenant, struct upkeep_tenant *t,
                           const struct catalogue *c, int64_t *io_due_ms)
{
    struct turn turn = {p, tenant, true};
    struct tombstone_list *l = NULL;
    int64_t due_ms = INT64_MAX;
    bool more = false;
    struct err *e;

    if (!signal_has_tombstones(p->part->signal))
        return;
    e = tombstone_list_load(p->u->c->store, signal_name(p->part->signal), tenant, &l, NULL);
    if (!e)
        e = look(&turn, t, c, l, &more, &due_ms);
    tombstone_list_unref(l);
    if (e)
        upkeep_note(p->u, "look for deleted samples", e);
    if (e || more)
        due_ms = INT64_MIN;
    p->found_more = p->found_more || more;
    *io_due_ms = ORR_MIN(*io_due_ms, due_ms);
}

/* ---- what ingesters hold ---- */

static struct peercall *ask(struct upkeep_pass *p, const char *address, struct slice tenant,
                            const struct tombstone *t)
{
    struct peercall *call;
    struct buf b = {0};

    p->part->signal->ask_held(&b, t);
    call = peercall_start(&(struct peercall_opts){.pool = p->u->c->peers,
                                                  .loop = p->u->c->loop,
                                                  .address = address,
                                                  .method = p->part->signal->held_method,
                                                  .tenant = tenant,
                                                  .timeout_ms = ASK_TIMEOUT_MS,
                                                  .max_bytes = ASK_MAX_BYTES,
                                                  .stop = &p->u->c->is_stopping},
                          buf_slice(&b));
    buf_done(&b);
    return call;
}

/* Whether every ingester there is answers that it has no series with samples of t: in its head or a segment. */
static bool is_gone_from_ingesters(struct upkeep_pass *p, struct slice tenant,
                                   const struct tombstone *t)
{
    struct ring *ring =
        membership_ring(p->u->c->membership, MEMBER_INGESTER, p->part->signal->member);
    size_t n = ring_size(ring);
    struct peercall **calls = mem_new_array(struct peercall *, n + 1);
    bool is_gone = n > 0;
    struct buf answer = {0};

    for (size_t i = 0; i < n; i++)
        calls[i] = ask(p, ring_member(ring, i)->rpc_addr, tenant, t);
    for (size_t i = 0; i < n; i++) {
        struct err *e = peercall_wait(calls[i], &answer);

        is_gone = is_gone && !e && answer.len == 0;
        err_free(e); /* one that is away may come back with it */
    }
    buf_done(&answer);
    mem_free(calls);
    ring_unref(ring);
    return is_gone;
}

/* ---- what is gone for good ---- */

struct cleaning {
    struct upkeep_pass *pass;
    struct slice tenant;
    struct upkeep_tenant *t;
    struct ulid gone[ASKED];
    size_t n;
};

/* Those that no block of c holds. */
static size_t find_clean(const struct upkeep_tenant *t, const struct catalogue *c,
                         const struct tombstone_list *l, const struct tombstone **ret)
{
    size_t n, found = 0;
    const struct tombstone *all = tombstone_list_all(l, &n);

    for (size_t i = 0; i < n && found < ASKED; i++)
        if (deletions_is_clean(t->deletions, c, &all[i]))
            ret[found++] = &all[i];
    return found;
}

/* Fills cl->gone with those of l that may be taken off now. */
static struct err *find_gone(struct cleaning *cl, const struct tombstone_list *l)
{
    struct upkeep_pass *p = cl->pass;
    struct turn turn = {p, cl->tenant, false};
    const struct tombstone *found[ASKED];
    int64_t due_ms, now_ms = clock_mono_ms(&clock_system);
    struct catalogue *c = NULL;
    bool more, is_gone[ASKED];
    size_t n = 0;
    struct err *e = catalogue_load(p->u->c->store, signal_name(p->part->signal), cl->tenant, &c);

    if (!e && !(e = look(&turn, cl->t, c, l, &more, &due_ms)))
        n = find_clean(cl->t, c, l, found);
    for (size_t i = 0; i < n; i++)
        is_gone[i] = is_gone_from_ingesters(p, cl->tenant, found[i]);
    catalogue_free(c);
    c = NULL;
    if (!e && n &&
        !(e = catalogue_load(p->u->c->store, signal_name(p->part->signal), cl->tenant, &c)))
        e = look(&turn, cl->t, c, l, &more, &due_ms);
    for (size_t i = 0; i < n && !e; i++) {
        bool is_clean = is_gone[i] && deletions_is_clean(cl->t->deletions, c, found[i]);

        if (deletions_note_clean(cl->t->deletions, found[i]->ulid, is_clean, now_ms) <=
            now_ms - p->conf->deletion_delay_ns / NS_PER_MS)
            cl->gone[cl->n++] = found[i]->ulid;
    }
    catalogue_free(c);
    return e;
}

/* Nothing is left of them. */
static bool take_off(const struct cleaning *cl, struct tombstone_list *l)
{
    bool changed = false;

    for (size_t i = 0; i < cl->n; i++)
        changed |= cl->pass->part->signal->has_states
                       ? tombstone_list_advance(l, cl->gone[i], TOMBSTONE_PROCESSED,
                                                cl->t->retention.now_ms)
                       : tombstone_list_remove(l, cl->gone[i]);
    return changed;
}

/* Those that nobody may take back any more. */
static bool begin_due(const struct cleaning *cl, struct tombstone_list *l)
{
    int64_t until_ms =
        cl->t->retention.now_ms - cl->pass->conf->delete_rewrite_after_ns / NS_PER_MS;
    bool changed = false;
    size_t n;
    const struct tombstone *all = tombstone_list_all(l, &n);

    if (tenant_rules_deletion(cl->t->rules) != TENANT_DELETION_FILTER_AND_DELETE)
        return false;
    for (size_t i = 0; i < n; i++)
        if (all[i].created_ms <= until_ms)
            changed |= tombstone_list_advance(l, all[i].ulid, TOMBSTONE_BEGUN, 0);
    return changed;
}

static struct err *edit(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    const struct cleaning *cl = arg;

    *ret_changed = take_off(cl, l);
    if (cl->pass->part->signal->has_states) {
        *ret_changed |= begin_due(cl, l);
        *ret_changed |= tombstone_list_forget(l, cl->t->retention.now_ms - PROCESSED_MS);
    }
    return NULL;
}

/* Whether there may be something to put down besides what is gone: the edit itself finds it out. */
static bool needs_edit(const struct cleaning *cl, const struct tombstone_list *l)
{
    size_t n;

    (void)tombstone_list_all(l, &n);
    return n && cl->pass->part->signal->has_states;
}

static void say_gone(struct cleaning *cl)
{
    bool is_dry = cl->pass->conf->is_dry;

    for (size_t i = 0; i < cl->n; i++) {
        if (is_dry && !upkeep_is_news(cl->pass->u, cl->tenant, "forget", cl->gone[i]))
            continue;
        LOG_INFO(compactor, "sweep",
                 KV_STR("reason", is_dry ? "would forget a tombstone" : "tombstone forgotten"),
                 KV_SLICE("tenant", cl->tenant), KV_STR("tombstone", ulid_print(cl->gone[i]).s));
        if (is_dry)
            continue;
        METRIC_ADD(cl->pass->part->m.tombstones_forgotten, 1);
        deletions_forgotten(cl->t->deletions, cl->gone[i], clock_wall_ms(&clock_system));
    }
}

struct err *upkeep_deletions_sweep(struct upkeep_pass *p, struct slice tenant,
                                   struct upkeep_tenant *t)
{
    struct cleaning cl = {.pass = p, .tenant = tenant, .t = t};
    struct objstore *store = p->u->c->store;
    struct tombstone_list *l;
    struct err *e;

    if (!signal_has_tombstones(p->part->signal))
        return NULL;
    if ((e = tombstone_list_load(store, signal_name(p->part->signal), tenant, &l, NULL)))
        return e;
    t->tombstones = tombstone_list_open(l);
    if (t->tombstones)
        e = find_gone(&cl, l);
    if (!e && !p->conf->is_dry && (cl.n || needs_edit(&cl, l)))
        e = tombstone_list_update(store, signal_name(p->part->signal), tenant, edit, &cl, NULL);
    if (!e)
        say_gone(&cl);
    tombstone_list_unref(l);
    return e;
}
