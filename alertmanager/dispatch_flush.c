#include <stdlib.h>

#include "alertmanager/dispatch_internal.h"
#include "common/base/mem.h"

#define MS 1000000ll
#define MIN_TIMEOUT_NS (10ll * 1000000000)

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

        if (!dispatch_inhibitor(d, a->labels, wall_ns) && !dispatch_silencers(d, a, wall_ns, NULL))
            vec_push(ret, alert_ref(a));
    }
    if (ret->len)
        qsort(ret->ptr, ret->len, sizeof(*ret->ptr), cmp_alert);
}

static void add_note(struct dispatch *d, struct group *g, const struct amconf_integration *in,
                     const alert_vec *alerts, struct dispatch_now now)
{
    struct note *n = mem_new(struct note);
    struct buf b = {0};
    int64_t at_ns;

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
    at_ns = now.mono_ns + (int64_t)d->ops.position(d->ops.arg, g->key) * d->peer_timeout_ns;
    n->deadline_ns = at_ns + ORR_MAX(g->route->group_interval_ms * MS, MIN_TIMEOUT_NS);
    g->notes++;
    dispatch_note_start(d, n, at_ns);
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

void dispatch_schedule(struct dispatch *d, struct group *g)
{
    timeheap_set(&d->due_groups, &g->due, g->next_ns);
}

static void flush_ended(struct dispatch *d, struct group *g)
{
    if (!g->has_failed)
        drop_told(g);
    alert_vec_done(&g->resolved);
    dispatch_schedule(d, g);
}

void dispatch_note_ended(struct dispatch *d, struct group *g, bool is_ok)
{
    g->has_failed |= !is_ok;
    if (--g->notes == 0)
        flush_ended(d, g);
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
    dispatch_schedule(d, g);
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
        flush_ended(d, g);
    else
        timeheap_drop(&d->due_groups, &g->due); /* the next flush waits for them */
}
