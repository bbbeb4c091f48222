#include <stdlib.h>

#include "alertmanager/dispatch_internal.h"
#include "alertmanager/inhibit.h"
#include "common/base/mem.h"

#define MS 1000000ll
#define MIN_TIMEOUT_NS (10ll * 1000000000)
#define BACKOFF_NS (500 * MS)
#define MAX_BACKOFF_NS (60ll * 1000000000)
#define MIN_KEEP_MS (60ll * 60 * 1000)

void dispatch_note_free(struct note *n)
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

static int cmp_alert(const void *a, const void *b)
{
    return alert_cmp(*(struct alert *const *)a, *(struct alert *const *)b);
}

/* The alerts of a group that nothing mutes, in order. */
static void audible(struct dispatch *d, struct group *g, int64_t wall_ns, alert_vec *ret)
{
    if (amroute_is_muted(g->route, wall_ns / 1000000000))
        return;
    MAP_FOREACH (e, &g->alerts) {
        struct alert *a = e->value;

        if (!inhibit_find(d->conf, &d->alerts, a->labels, wall_ns))
            vec_push(ret, alert_ref(a));
    }
    if (ret->len)
        qsort(ret->ptr, ret->len, sizeof(*ret->ptr), cmp_alert);
}

static void add_note(struct dispatch *d, struct group *g, const struct amconf_integration *in,
                     const alert_vec *alerts, struct dispatch_now now)
{
    struct note *n = mem_new(struct note);
    int64_t wait = (int64_t)d->ops.position(d->ops.arg, g->key) * d->peer_timeout_ns;
    struct buf b = {0};

    n->id = ++d->next_id;
    n->group = g;
    n->conf = amconf_ref(d->conf);
    n->route = g->route;
    n->integration = in;
    n->group_key = slice_of(slice_dup(g->key), g->key.len);
    n->group_labels = labels_dup_heap(g->labels);
    nflog_key(&b, d->tenant, g->key, g->route->receiver->name, in->kind, in->index);
    n->key = slice_of(slice_dup(buf_slice(&b)), b.len);
    buf_done(&b);
    n->version = nflog_version(d->log, n->key);
    VEC_FOREACH (p, alerts) {
        bool is_resolved = alert_is_resolved(*p, now.wall_ns);

        if (is_resolved)
            vec_push(&n->resolved, (*p)->fingerprint);
        else
            vec_push(&n->firing, (*p)->fingerprint);
        if (!is_resolved || in->send_resolved)
            vec_push(&n->told, alert_ref(*p));
    }
    n->now_ns = now.wall_ns;
    n->next_ns = now.mono_ns + wait;
    n->deadline_ns = now.mono_ns + wait + ORR_MAX(g->route->group_interval_ms * MS, MIN_TIMEOUT_NS);
    n->backoff_ns = BACKOFF_NS;
    vec_push(&d->notes, n);
    g->notes++;
}

/* Resolved alerts that were told of leave, unless they have changed since. */
static void drop_told(struct group *g)
{
    VEC_FOREACH (p, &g->resolved) {
        struct slice key = slice_of(&(*p)->fingerprint, sizeof((*p)->fingerprint));

        if (map_get(&g->alerts, key) == *p)
            alert_unref(map_del(&g->alerts, key));
    }
}

static void flush_ended(struct group *g)
{
    if (!g->has_failed)
        drop_told(g);
    alert_vec_done(&g->resolved);
}

void dispatch_flush(struct dispatch *d, struct group *g, struct dispatch_now now)
{
    const struct amconf_receiver *rec = g->route->receiver;
    alert_vec alerts = {0};

    g->next_ns = now.mono_ns + g->route->group_interval_ms * MS;
    g->has_flushed = true;
    g->has_failed = false;
    g->has_yielded = g->yields;
    g->yields = false;
    if (g->alerts.len == 0)
        return;
    audible(d, g, now.wall_ns, &alerts);
    MAP_FOREACH (e, &g->alerts) {
        struct alert *a = e->value;

        if (alert_is_resolved(a, now.wall_ns))
            vec_push(&g->resolved, alert_ref(a));
    }
    for (size_t i = 0; alerts.len && i < rec->n; i++)
        add_note(d, g, &rec->integrations[i], &alerts, now);
    alert_vec_done(&alerts);
    if (g->notes == 0)
        flush_ended(g);
}

/* ---- notes ---- */

static void finish(struct note *n, bool is_ok)
{
    struct group *g = n->group;

    n->state = NOTE_DONE;
    n->group = NULL;
    if (!g)
        return;
    g->has_failed |= !is_ok;
    if (--g->notes == 0)
        flush_ended(g);
}

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
    finish(n, true);
}

static void send(struct dispatch *d, struct note *n, struct dispatch_now now)
{
    struct dispatch_note out = {
        .id = n->id,
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
    d->ops.send(d->ops.arg, &out);
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

static void run_note(struct dispatch *d, struct note *n, struct dispatch_now now)
{
    struct nflog_alerts state = state_of(n);

    if (n->state != NOTE_WAIT)
        return; /* a send ends by itself, within the time it was given */
    if (now.mono_ns >= n->deadline_ns) {
        finish(n, false);
        return;
    }
    if (n->next_ns > now.mono_ns)
        return;
    if (yields(d, n)) {
        finish(n, false);
        return;
    }
    /* the log is judged by the time of the flush, as the alerts are */
    n->reason = nflog_check(d->log, n->key, &state, n->integration->send_resolved,
                            n->route->repeat_interval_ms, n->now_ns / MS);
    if (d->forgets_log)
        n->reason = NFLOG_NEW;
    if (n->reason == NFLOG_NONE)
        finish(n, true);
    else if (!n->firing.len && !n->integration->send_resolved)
        told(d, n, now); /* nothing to say; the log learns that it is over */
    else
        send(d, n, now);
}

void dispatch_run_notes(struct dispatch *d, struct dispatch_now now)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->notes.len; i++)
        run_note(d, d->notes.ptr[i], now);
    for (size_t i = 0; i < d->notes.len; i++) {
        struct note *n = d->notes.ptr[i];

        if (n->state == NOTE_DONE)
            dispatch_note_free(n);
        else
            d->notes.ptr[kept++] = n;
    }
    d->notes.len = kept;
}

void dispatch_sent(struct dispatch *d, uint64_t id, bool is_ok, bool may_retry,
                   struct dispatch_now now)
{
    struct note *n = NULL;

    VEC_FOREACH (p, &d->notes)
        if ((*p)->id == id)
            n = *p;
    if (!n || n->state != NOTE_SENDING)
        return;
    if (is_ok) {
        told(d, n, now);
        return;
    }
    if (!may_retry || !n->group) {
        finish(n, false);
        return;
    }
    n->state = NOTE_WAIT;
    /* half to one and a half of it, so that peers do not knock in step */
    n->next_ns =
        now.mono_ns + n->backoff_ns / 2 + (int64_t)(rng_unit(&d->rng) * (double)n->backoff_ns);
    n->backoff_ns = ORR_MIN(n->backoff_ns * 3 / 2, MAX_BACKOFF_NS);
}
