/* A note on its way: turns, slots, claims, attempts. */
#include "alertmanager/dispatch_internal.h"
#include "common/base/mem.h"

#define MS 1000000ll
#define BACKOFF_NS (500 * MS)
#define MAX_BACKOFF_NS (60ll * 1000000000)
#define MIN_KEEP_MS (60ll * 60 * 1000)
#define HOLD_NS (250 * MS)

static void note_free(struct note *n)
{
    alert_vec_done(&n->told);
    vec_done(&n->firing);
    vec_done(&n->resolved);
    mem_free((void *)n->key.ptr);
    mem_free((void *)n->group_key.ptr);
    mem_free((void *)n->group_labels.ptr);
    amconf_unref(n->conf);
    mem_free(n);
}

static struct slice id_key(const uint64_t *id)
{
    return slice_of(id, sizeof(*id));
}

/* From t/2 to 3t/2, so that peers do not knock in step. */
static int64_t jitter(struct dispatch *d, int64_t ns)
{
    return ns / 2 + (int64_t)(rng_unit(&d->rng) * (double)ns);
}

/* ---- slots ---- */

static struct lane *lane_of(struct dispatch *d, struct slice receiver)
{
    void **slot = map_slot(&d->lanes, receiver);

    if (!*slot)
        *slot = mem_new(struct lane);
    return *slot;
}

/* False: it is queued. */
static bool take_slot(struct dispatch *d, struct note *n)
{
    struct lane *l = n->lane;

    if (n->has_slot)
        return true;
    if (l->taken < d->max_sends) {
        l->taken++;
        n->has_slot = true;
        return true;
    }
    timeheap_drop(&d->due_notes, &n->due);
    n->state = NOTE_QUEUED;
    n->next = NULL;
    if (l->last)
        l->last->next = n;
    else
        l->first = n;
    l->last = n;
    d->metrics->queued++;
    return false;
}

static void wait_until(struct dispatch *d, struct note *n, int64_t at_ns)
{
    n->state = NOTE_WAIT;
    timeheap_set(&d->due_notes, &n->due, ORR_MIN(at_ns, n->deadline_ns));
}

/* To the first in the queue, which is due now. */
static void give_slot(struct dispatch *d, struct note *n, struct dispatch_now now)
{
    struct lane *l = n->lane;
    struct note *heir = l->first;

    if (!n->has_slot)
        return;
    n->has_slot = false;
    if (!heir) {
        l->taken--;
        return;
    }
    l->first = heir->next;
    if (!l->first)
        l->last = NULL;
    d->metrics->queued--;
    heir->has_slot = true;
    wait_until(d, heir, now.mono_ns);
}

/* ---- the end of a note ---- */

static void unclaim(struct dispatch *d, struct note *n)
{
    if (map_get(&d->claims, n->key) == n)
        (void)map_del(&d->claims, n->key);
}

/* Frees n. */
static void finish(struct dispatch *d, struct note *n, bool is_ok, struct dispatch_now now)
{
    unclaim(d, n);
    timeheap_drop(&d->due_notes, &n->due);
    give_slot(d, n, now);
    (void)map_del(&d->notes, id_key(&n->id));
    if (n->group)
        dispatch_note_ended(d, n->group, is_ok);
    note_free(n);
}

void dispatch_note_start(struct dispatch *d, struct note *n, int64_t at_ns)
{
    n->id = ++d->next_id;
    n->lane = lane_of(d, n->route->receiver->name);
    n->backoff_ns = BACKOFF_NS;
    (void)map_put(&d->notes, id_key(&n->id), n);
    wait_until(d, n, at_ns);
}

void dispatch_notes_cut(struct dispatch *d, struct dispatch_now now)
{
    VEC(struct note *) idle = {0};

    MAP_FOREACH (e, &d->lanes) {
        struct lane *l = e->value;

        l->first = l->last = NULL;
    }
    MAP_FOREACH (e, &d->notes) {
        struct note *n = e->value;

        n->group = NULL;
        d->metrics->queued -= n->state == NOTE_QUEUED;
        if (n->state == NOTE_WAIT || n->state == NOTE_QUEUED)
            vec_push(&idle, n);
    }
    VEC_FOREACH (n, &idle)
        finish(d, *n, false, now);
    vec_done(&idle);
}

void dispatch_notes_done(struct dispatch *d)
{
    MAP_FOREACH (e, &d->notes) {
        struct note *n = e->value;

        d->metrics->queued -= n->state == NOTE_QUEUED;
        note_free(n);
    }
    map_done(&d->notes);
    map_done(&d->claims);
    MAP_FOREACH (e, &d->lanes)
        mem_free(e->value);
    map_done(&d->lanes);
}

/* ---- telling ---- */

static struct nflog_alerts state_of(const struct note *n)
{
    return (struct nflog_alerts){n->firing.ptr, n->resolved.ptr, n->firing.len, n->resolved.len};
}

static void told(struct dispatch *d, struct note *n, struct dispatch_now now)
{
    struct nflog_alerts state = state_of(n);
    int64_t keep = ORR_MAX(2 * n->route->repeat_interval_ms, MIN_KEEP_MS);

    nflog_set(d->log, n->key, &state, now.wall_ns / MS, keep);
    d->ops.logged(d->ops.arg, n->key);
    finish(d, n, true, now);
}

static void send(struct dispatch *d, struct note *n, struct dispatch_now now)
{
    struct dispatch_note out = {
        .id = n->id,
        .conf = n->conf,
        .route = n->route,
        .integration = n->integration,
        .group_key = n->group_key,
        .receiver = n->route->receiver->name,
        .group_labels = n->group_labels,
        .alerts = &n->told,
        .now_ns = n->now_ns,
        .reason = n->reason,
        .attempt = ++n->attempt,
        .left_ms = ORR_MAX((n->deadline_ns - now.mono_ns) / MS, 1),
    };

    n->state = NOTE_SENDING;
    n->held_until_ns = 0;
    d->ops.send(d->ops.arg, &out);
}

/* Not now: a peer is at it. */
static void hold(struct dispatch *d, struct note *n, struct dispatch_now now)
{
    if (!n->held_until_ns)
        n->held_until_ns = now.mono_ns + d->peer_timeout_ns;
    d->metrics->held++;
    unclaim(d, n);
    give_slot(d, n, now);
    wait_until(d, n, now.mono_ns + jitter(d, HOLD_NS));
}

static bool is_held_too_long(const struct note *n, struct dispatch_now now)
{
    return n->held_until_ns && now.mono_ns >= n->held_until_ns;
}

/*
 * A peer spoke while we waited. Our view is as old as the flush and may say "firing" of what it said is
 * over: look again at the next flush. Not twice in a row, or alerts that we alone know of might never be
 * told.
 */
static bool yields(const struct dispatch *d, struct note *n)
{
    struct group *g = n->group;
    bool has_spoken = nflog_version(d->log, n->key) != n->version;

    if (!g || d->forgets_log)
        return false;
    if (!has_spoken || g->has_yielded)
        return false;
    g->yields = true;
    return true;
}

/* Whether nothing is left to be said; n is gone then. */
static bool ends(struct dispatch *d, struct note *n, struct dispatch_now now)
{
    struct nflog_alerts state = state_of(n);

    if (now.mono_ns >= n->deadline_ns || yields(d, n)) {
        finish(d, n, false, now);
        return true;
    }
    /* the log is judged by the time of the flush, as the alerts are */
    n->reason = nflog_check(d->log, n->key, &state, n->integration->send_resolved,
                            n->route->repeat_interval_ms, n->now_ns / MS);
    if (d->forgets_log)
        n->reason = NFLOG_NEW;
    if (n->reason == NFLOG_NONE) {
        finish(d, n, true, now);
        return true;
    }
    if (!n->firing.len && !n->integration->send_resolved) {
        told(d, n, now); /* nothing to say; the log learns that it is over */
        return true;
    }
    return false;
}

void dispatch_note_run(struct dispatch *d, struct note *n, struct dispatch_now now)
{
    void **claim;

    if (ends(d, n, now) || !take_slot(d, n))
        return;
    claim = map_slot(&d->claims, n->key);
    if (*claim && !is_held_too_long(n, now)) { /* sent under the former configuration */
        hold(d, n, now);
        return;
    }
    *claim = n;
    timeheap_drop(&d->due_notes, &n->due);
    n->state = NOTE_ASKING;
    n->stamp = ++*d->claim_clock;
    if (is_held_too_long(n, now) || !d->ops.ask || !d->ops.ask(d->ops.arg, n->id, n->key, n->stamp))
        send(d, n, now);
}

/* ---- what comes back ---- */

void dispatch_asked(struct dispatch *d, uint64_t id, bool may_speak, struct dispatch_now now)
{
    struct note *n = map_get(&d->notes, id_key(&id));

    if (!n || n->state != NOTE_ASKING)
        return;
    if (!n->group) { /* the configuration has changed: its groups say it anew */
        finish(d, n, false, now);
        return;
    }
    if (ends(d, n, now))
        return;
    if (may_speak)
        send(d, n, now);
    else
        hold(d, n, now);
}

void dispatch_sent(struct dispatch *d, uint64_t id, bool is_ok, bool may_retry,
                   struct dispatch_now now)
{
    struct note *n = map_get(&d->notes, id_key(&id));

    if (!n || n->state != NOTE_SENDING)
        return;
    if (is_ok) {
        told(d, n, now);
        return;
    }
    if (!may_retry || !n->group) {
        finish(d, n, false, now);
        return;
    }
    unclaim(d, n);
    give_slot(d, n, now);
    wait_until(d, n, now.mono_ns + jitter(d, n->backoff_ns));
    n->backoff_ns = ORR_MIN(n->backoff_ns * 3 / 2, MAX_BACKOFF_NS);
}

struct dispatch_claim dispatch_claim(const struct dispatch *d, struct slice nflog_key)
{
    const struct note *n = map_get(&d->claims, nflog_key);

    if (!n)
        return (struct dispatch_claim){DISPATCH_QUIET, 0};
    return (struct dispatch_claim){n->state == NOTE_SENDING ? DISPATCH_SENDING : DISPATCH_ASKING,
                                   n->stamp};
}
