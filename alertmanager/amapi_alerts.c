/* GET alerts, GET alerts/groups. */
#include <inttypes.h>
#include <stdlib.h>

#include "alertmanager/amapi_internal.h"
#include "alertmanager/amroute.h"
#include "common/base/clock.h"
#include "common/base/mem.h"

#define MAX_LABEL_STEPS 5000000 /* of an answer, which the role's loop writes */

typedef VEC(struct slice) name_vec;

/* Which alerts are wanted. */
struct wanted {
    struct amapi_question *q;
    bool active, silenced, inhibited, muted;
    uint64_t label_steps; /* that are left for the labels of routes, of all groups */
};
/* What keeps one quiet. */
struct mutes {
    const struct alert *inhibitor;
    silence_vec silences;
    const name_vec *intervals; /* of its group; NULL: not asked */
};

static struct err *read_wanted(struct amapi_question *q, struct wanted *ret)
{
    bool unprocessed; /* none ever is: an alert that was taken has its groups */
    struct err *e;

    ret->q = q;
    ret->label_steps = MAX_LABEL_STEPS;
    if ((e = amapi_truth(q, "active", &ret->active)) ||
        (e = amapi_truth(q, "silenced", &ret->silenced)) ||
        (e = amapi_truth(q, "inhibited", &ret->inhibited)) ||
        (e = amapi_truth(q, "unprocessed", &unprocessed)))
        return e;
    return amapi_truth(q, "muted", &ret->muted);
}

/* ---- receivers ---- */

struct receivers {
    const struct amconf_receiver **list;
    size_t n;
    struct arena *arena;
};

static void add_receiver(void *arg, const struct amroute *route)
{
    struct receivers *r = arg;

    for (size_t i = 0; i < r->n; i++)
        if (r->list[i] == route->receiver)
            return;
    r->list = arena_more(r->arena, r->list, r->n);
    r->list[r->n++] = route->receiver;
}

/* In an arena that is reset for each alert: there may be very many. */
static struct receivers receivers_of(const struct wanted *w, struct arena *a,
                                     const struct alert *al)
{
    struct receivers r = {.arena = a};

    amroute_match(w->q->view->conf->root, al->labels, add_receiver, &r);
    return r;
}

static bool wants_receivers(const struct wanted *w, const struct receivers *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (amapi_wants_receiver(w->q, r->list[i]))
            return true;
    return false;
}

/* ---- one alert ---- */

static void find_mutes(const struct wanted *w, const struct alert *al, struct mutes *m)
{
    const struct amapi_view *v = w->q->view;

    vec_clear(&m->silences);
    m->inhibitor = dispatch_inhibitor(v->dispatch, al->labels, v->now_ns);
    (void)dispatch_silencers(v->dispatch, al, v->now_ns, &m->silences);
}

/* Leaves in m what mutes it. */
static bool wants(const struct wanted *w, const struct alert *al, struct mutes *m)
{
    if (alert_is_resolved(al, w->q->view->now_ns) ||
        !ammatch_list_matches(&w->q->filters, al->labels))
        return false;
    find_mutes(w, al, m);
    if (m->inhibitor || m->silences.len)
        return (w->inhibited || !m->inhibitor) && (w->silenced || !m->silences.len);
    return w->active;
}

static void put_status(struct buf *o, const struct mutes *m)
{
    bool is_muted = m->inhibitor || m->silences.len || (m->intervals && m->intervals->len);

    buf_str(o, "{\"inhibitedBy\":[");
    if (m->inhibitor)
        buf_printf(o, "\"%016" PRIx64 "\"", m->inhibitor->fingerprint);
    buf_str(o, "],\"mutedBy\":[");
    for (size_t i = 0; m->intervals && i < m->intervals->len; i++) {
        buf_json_comma(o);
        buf_json_str(o, m->intervals->ptr[i]);
    }
    buf_str(o, "],\"silencedBy\":[");
    VEC_FOREACH (s, &m->silences) {
        buf_json_comma(o);
        buf_json_str(o, (*s)->id);
    }
    buf_printf(o, "],\"state\":\"%s\"}", is_muted ? "suppressed" : "active");
}

static void put_alert(struct buf *o, const struct alert *al, const struct receivers *r,
                      const struct mutes *m)
{
    buf_str(o, "{\"annotations\":");
    labels_json(o, al->annotations);
    buf_str(o, ",\"endsAt\":\"");
    alert_time_api(o, al->ends_ns);
    buf_printf(o, "\",\"fingerprint\":\"%016" PRIx64 "\",\"receivers\":[", al->fingerprint);
    for (size_t i = 0; i < r->n; i++) {
        buf_str(o, i ? ",{\"name\":" : "{\"name\":");
        buf_json_str(o, r->list[i]->name);
        buf_byte(o, '}');
    }
    buf_str(o, "],\"startsAt\":\"");
    alert_time_api(o, al->starts_ns);
    buf_str(o, "\",\"status\":");
    put_status(o, m);
    buf_str(o, ",\"updatedAt\":\"");
    alert_time_api(o, al->updated_ns);
    buf_str(o, "\",\"generatorURL\":");
    buf_json_str(o, al->generator_url);
    buf_str(o, ",\"labels\":");
    labels_json(o, al->labels);
    buf_byte(o, '}');
}

static int cmp_fingerprint(const void *a, const void *b)
{
    const struct alert *x = *(struct alert *const *)a, *y = *(struct alert *const *)b;

    return (x->fingerprint > y->fingerprint) - (x->fingerprint < y->fingerprint);
}

/* Appends those of the alerts that are wanted; how many. */
static size_t put_alerts(const struct wanted *w, const struct map *alerts, bool asks_receivers,
                         const name_vec *intervals)
{
    struct arena *a = arena_child(w->q->arena, 0);
    VEC(const struct alert *) v = {0};
    struct mutes m = {.intervals = intervals};
    size_t n = 0;

    MAP_FOREACH (e, alerts)
        vec_push(&v, (const struct alert *)e->value);
    if (v.len)
        qsort(v.ptr, v.len, sizeof(*v.ptr), cmp_fingerprint);
    VEC_FOREACH (p, &v) {
        struct receivers r;

        if (!wants(w, *p, &m))
            continue;
        arena_reset(a);
        r = receivers_of(w, a, *p);
        if (asks_receivers && !wants_receivers(w, &r))
            continue;
        buf_json_comma(w->q->out);
        put_alert(w->q->out, *p, &r, &m);
        n++;
    }
    vec_done(&v);
    vec_done(&m.silences);
    arena_free(a);
    return n;
}

struct err *amapi_get_alerts(struct amapi_question *q)
{
    struct wanted w;
    struct err *e = read_wanted(q, &w);

    if (e)
        return e;
    buf_byte(q->out, '[');
    if (q->view->dispatch)
        (void)put_alerts(&w, dispatch_alerts(q->view->dispatch), true, NULL);
    buf_str(q->out, "]\n");
    return NULL;
}

/* ---- groups ---- */

static void add_interval(void *arg, struct slice name)
{
    vec_push((name_vec *)arg, name);
}

static void put_route_labels(struct wanted *w, const struct dispatch_group_view *g)
{
    struct arena *a = arena_child(w->q->arena, 0);
    uint64_t steps = ORR_MIN(AMROUTE_LABEL_STEPS, w->label_steps), given = steps;
    struct template_am data = {.receiver = g->route->receiver->name,
                               .group_labels = g->labels,
                               .now_ns = w->q->view->now_ns};

    labels_json(w->q->out, amroute_labels(a, w->q->view->conf, g->route, &data, &steps));
    w->label_steps -= given - steps;
    arena_free(a);
}

/* A group none of whose alerts is wanted is not there. */
static void put_group(void *arg, const struct dispatch_group_view *g)
{
    struct wanted *w = arg;
    struct buf *o = w->q->out;
    size_t before = o->len;
    name_vec intervals = {0};
    size_t n = 0;

    amroute_muted_by(g->route, w->q->view->now_ns / NS_PER_S, add_interval, &intervals);
    buf_json_comma(o);
    buf_str(o, "{\"alerts\":[");
    if (amapi_wants_receiver(w->q, g->route->receiver) && (w->muted || !intervals.len))
        n = put_alerts(w, g->alerts, false, &intervals);
    vec_done(&intervals);
    if (!n) {
        o->len = before;
        return;
    }
    buf_str(o, "],\"labels\":");
    labels_json(o, g->labels);
    buf_str(o, ",\"receiver\":{\"name\":");
    buf_json_str(o, g->route->receiver->name);
    buf_str(o, "},\"routeLabels\":");
    put_route_labels(w, g);
    buf_byte(o, '}');
}

struct err *amapi_get_groups(struct amapi_question *q)
{
    struct wanted w;
    struct err *e = read_wanted(q, &w);

    if (e)
        return e;
    buf_byte(q->out, '[');
    if (q->view->dispatch)
        dispatch_each_group(q->view->dispatch, put_group, &w);
    buf_str(q->out, "]\n");
    return NULL;
}
