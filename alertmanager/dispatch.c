#include "alertmanager/dispatch.h"

#include <stdlib.h>

#include "alertmanager/dispatch_internal.h"
#include "common/base/mem.h"

#define HOUSEKEEPING_NS (30ll * 1000000000)
#define GC_NS (30ll * 60 * 1000000000)
#define MS 1000000ll
#define ROUTE_ARENA_BYTES (1u << 20)

static struct slice fp_key(const uint64_t *fp)
{
    return slice_of(fp, sizeof(*fp));
}

static void group_free(struct dispatch *d, struct group *g)
{
    d->metrics->groups--;
    timeheap_drop(&d->due_groups, &g->due);
    MAP_FOREACH (e, &g->alerts)
        alert_unref(e->value);
    map_done(&g->alerts);
    alert_vec_done(&g->resolved);
    mem_free((void *)g->labels.ptr);
    mem_free((void *)g->key.ptr);
    mem_free(g);
}

struct dispatch *dispatch_new(const struct dispatch_opts *opts, const struct dispatch_ops *ops,
                              struct amconf *conf, struct dispatch_now now)
{
    struct dispatch *d = mem_new(struct dispatch);

    d->tenant = slice_of(slice_dup(opts->tenant), opts->tenant.len);
    d->log = opts->log;
    d->silences = opts->silences;
    d->ops = *ops;
    d->conf = amconf_ref(conf);
    d->peer_timeout_ns = opts->peer_timeout_ns;
    d->max_alerts = opts->max_alerts;
    d->max_groups = opts->max_groups;
    d->max_sends = opts->max_sends ? opts->max_sends : DISPATCH_MAX_SENDS;
    d->claim_clock = opts->claim_clock ? opts->claim_clock : &d->own_clock;
    d->metrics = opts->metrics ? opts->metrics : &d->uncounted;
    d->forgets_log = opts->forgets_log;
    d->housekeeping_ns = now.mono_ns + HOUSEKEEPING_NS;
    d->gc_ns = now.mono_ns + GC_NS;
    d->inhibit = inhibit_new();
    rng_seed(&d->rng, opts->seed);
    return d;
}

static void drop_groups(struct dispatch *d)
{
    MAP_FOREACH (e, &d->groups)
        group_free(d, e->value);
    map_done(&d->groups);
}

void dispatch_free(struct dispatch *d)
{
    if (!d)
        return;
    dispatch_notes_done(d);
    drop_groups(d);
    inhibit_free(d->inhibit);
    timeheap_done(&d->due_groups);
    timeheap_done(&d->due_notes);
    MAP_FOREACH (e, &d->alerts)
        alert_unref(e->value);
    map_done(&d->alerts);
    amconf_unref(d->conf);
    mem_free((void *)d->tenant.ptr);
    mem_free(d);
}

/* ---- putting ---- */

struct putting {
    struct dispatch *d;
    struct arena *arena;
    struct alert *alert;
    struct dispatch_now now;
    bool is_refused;
};

/* Told of all that was over, a group ends: what comes then waits as in a new one. It is not freed until
 * the next housekeeping. */
static bool has_ended(const struct group *g)
{
    return g->has_flushed && !g->alerts.len && !g->notes;
}

static void begin_group(struct dispatch *d, struct group *g, struct dispatch_now now)
{
    g->has_flushed = g->has_yielded = g->yields = false;
    g->next_ns = now.mono_ns + g->route->group_wait_ms * MS;
    dispatch_schedule(d, g);
}

/* NULL when there are too many. */
static struct group *group_of(struct putting *p, const struct amroute *route)
{
    struct labels ls = amroute_group_labels(p->arena, route, p->alert->labels);
    uint64_t key[2] = {route->ordinal, amroute_fingerprint(ls)};
    struct dispatch *d = p->d;
    struct group *g = map_get(&d->groups, slice_of(key, sizeof(key)));
    struct buf b = {0};

    if (g && has_ended(g))
        begin_group(d, g, p->now);
    if (g || (d->max_groups && d->groups.len >= d->max_groups))
        return g;
    g = mem_new(struct group);
    (void)map_put(&d->groups, slice_of(key, sizeof(key)), g);
    d->metrics->groups++;
    g->route = route;
    g->labels = labels_dup_heap(ls);
    amroute_group_key(&b, route, ls);
    g->key = slice_of(slice_dup(buf_slice(&b)), b.len);
    buf_done(&b);
    begin_group(d, g, p->now);
    return g;
}

static void put_in_group(void *arg, const struct amroute *route)
{
    struct putting *p = arg;
    struct group *g = group_of(p, route);

    if (!g) {
        p->is_refused = true;
        p->d->metrics->groups_refused++;
        return;
    }
    alert_unref(map_put(&g->alerts, fp_key(&p->alert->fingerprint), alert_ref(p->alert)));
    /* a group that begins with an alert that has waited long enough elsewhere does not wait */
    if (!g->has_flushed && g->alerts.len == 1 &&
        p->alert->starts_ns + route->group_wait_ms * MS < p->now.wall_ns) {
        g->next_ns = p->now.mono_ns;
        dispatch_schedule(p->d, g);
    }
}

/* Whether it is in all the groups where it belongs. */
static bool route_alert(struct dispatch *d, struct alert *a, struct dispatch_now now)
{
    struct putting p = {d, arena_new(ROUTE_ARENA_BYTES), a, now, false};

    amroute_match(d->conf->root, a->labels, put_in_group, &p);
    arena_free(p.arena);
    return !p.is_refused;
}

struct err *dispatch_put(struct dispatch *d, const alert_vec *alerts, struct dispatch_now now)
{
    bool is_refused = false, is_homeless = false;

    VEC_FOREACH (p, alerts) {
        struct slice key = fp_key(&(*p)->fingerprint);
        struct alert *old = map_get(&d->alerts, key), *a;

        if (!old && d->max_alerts && d->alerts.len >= d->max_alerts) {
            is_refused = true;
            continue;
        }
        a = old ? alert_merge(old, *p, now.wall_ns) : alert_ref(*p);
        inhibit_put(d->inhibit, d->conf, a);
        alert_unref(map_put(&d->alerts, key, a));
        is_homeless |= !route_alert(d, a, now);
    }
    if (is_refused)
        return err_new(ERR_LIMIT,
                       "alerts refused: the tenant has %zu, the most it may have "
                       "(alertmanager.max-alerts)",
                       d->max_alerts);
    if (is_homeless)
        return err_new(ERR_LIMIT,
                       "nobody is told of some of the alerts: the tenant has %zu groups of alerts, "
                       "the most it may have (alertmanager.max-groups)",
                       d->max_groups);
    return NULL;
}

void dispatch_set_conf(struct dispatch *d, struct amconf *conf, struct dispatch_now now)
{
    struct amconf *old = d->conf;

    dispatch_notes_cut(d, now);
    drop_groups(d);
    d->conf = amconf_ref(conf);
    inhibit_clear(d->inhibit);
    MAP_FOREACH (e, &d->alerts) {
        struct alert *a = e->value;

        inhibit_put(d->inhibit, conf, a);
        if (!alert_is_resolved(a, now.wall_ns))
            (void)route_alert(d, a, now); /* a refusal is counted, and the next post hears of it */
    }
    amconf_unref(old);
}

const struct amconf *dispatch_conf(const struct dispatch *d)
{
    return d->conf;
}

/* ---- time ---- */

static void drop_empty_groups(struct dispatch *d)
{
    VEC(struct map_entry) dead = {0};

    MAP_FOREACH (e, &d->groups) {
        struct group *g = e->value;

        if (g->alerts.len == 0 && g->notes == 0)
            vec_push(&dead, *e);
    }
    VEC_FOREACH (e, &dead) {
        group_free(d, e->value);
        (void)map_del(&d->groups, e->key);
    }
    vec_done(&dead);
}

static void drop_resolved(struct dispatch *d, int64_t wall_ns)
{
    VEC(uint64_t) dead = {0};

    MAP_FOREACH (e, &d->alerts) {
        const struct alert *a = e->value;

        if (alert_is_resolved(a, wall_ns))
            vec_push(&dead, a->fingerprint);
    }
    VEC_FOREACH (fp, &dead) {
        struct alert *a = map_del(&d->alerts, fp_key(fp));

        inhibit_drop(d->inhibit, d->conf, a);
        if (d->silences)
            silences_forget(d->silences, d->tenant, a->fingerprint);
        alert_unref(a);
    }
    vec_done(&dead);
}

void dispatch_tick(struct dispatch *d, struct dispatch_now now)
{
    struct timeheap_item *i;
    unsigned left = DISPATCH_TURN;

    for (; left && (i = timeheap_first(&d->due_groups)) && i->at_ns <= now.mono_ns; left--)
        dispatch_flush(d, ORR_CONTAINER(i, struct group, due), now);
    for (; left && (i = timeheap_first(&d->due_notes)) && i->at_ns <= now.mono_ns; left--)
        dispatch_note_run(d, ORR_CONTAINER(i, struct note, due), now);
    if (d->housekeeping_ns <= now.mono_ns) {
        drop_empty_groups(d);
        d->housekeeping_ns = now.mono_ns + HOUSEKEEPING_NS;
    }
    if (d->gc_ns <= now.mono_ns) {
        drop_resolved(d, now.wall_ns);
        d->gc_ns = now.mono_ns + GC_NS;
    }
}

int64_t dispatch_next_ns(const struct dispatch *d)
{
    const struct timeheap_item *group = timeheap_first(&d->due_groups);
    const struct timeheap_item *note = timeheap_first(&d->due_notes);
    int64_t next = ORR_MIN(d->housekeeping_ns, d->gc_ns);

    if (group)
        next = ORR_MIN(next, group->at_ns);
    return note ? ORR_MIN(next, note->at_ns) : next;
}

/* ---- the view ---- */

const struct map *dispatch_alerts(const struct dispatch *d)
{
    return &d->alerts;
}

const struct alert *dispatch_inhibitor(const struct dispatch *d, struct labels ls, int64_t wall_ns)
{
    return inhibit_find(d->inhibit, d->conf, ls, wall_ns);
}

bool dispatch_silencers(const struct dispatch *d, const struct alert *a, int64_t wall_ns,
                        silence_vec *ret)
{
    bool found = d->silences &&
                 silences_find(d->silences, d->tenant, a->fingerprint, a->labels, wall_ns, ret);

    /* it has left the tenant, and only a group still has it: nobody else would forget it */
    if (d->silences && !map_has(&d->alerts, fp_key(&a->fingerprint)))
        silences_forget(d->silences, d->tenant, a->fingerprint);
    return found;
}

size_t dispatch_groups(const struct dispatch *d)
{
    return d->groups.len;
}

bool dispatch_is_idle(const struct dispatch *d)
{
    return !d->alerts.len && !d->groups.len && !d->notes.len;
}

static int cmp_group(const void *a, const void *b)
{
    const struct group *x = *(struct group *const *)a, *y = *(struct group *const *)b;
    int c = slice_cmp(x->key, y->key);

    return c ? c
             : (x->route->ordinal > y->route->ordinal) - (x->route->ordinal < y->route->ordinal);
}

void dispatch_each_group(const struct dispatch *d, dispatch_group_fn *fn, void *arg)
{
    VEC(struct group *) sorted = {0};

    MAP_FOREACH (e, &d->groups)
        vec_push(&sorted, (struct group *)e->value);
    if (sorted.len)
        qsort(sorted.ptr, sorted.len, sizeof(*sorted.ptr), cmp_group);
    VEC_FOREACH (g, &sorted)
        fn(arg, &(struct dispatch_group_view){(*g)->route, (*g)->labels, (*g)->key, &(*g)->alerts});
    vec_done(&sorted);
}
