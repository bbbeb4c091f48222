/* Alerts that are posted: to every alertmanager that holds the tenant's. */
#include <stdatomic.h>

#include "alertmanager/alertmanager_asking.h"
#include "common/base/mem.h"
#include "common/base/metric.h"

#define PUT_TURN 500 /* alerts put in one turn of the loop */

/* Alerts on their way into a dispatcher, some in each turn of the loop. */
struct putting_all {
    struct alertmanager *am;
    struct slice tenant; /* heap */
    alert_vec alerts;
    size_t at;
    struct err *e;
    void (*done)(void *arg, struct err *e); /* takes e */
    void *arg;
};

static void put_some(void *arg)
{
    struct putting_all *p = arg;
    struct alertmanager *am = p->am;
    size_t n = ORR_MIN(p->alerts.len - p->at, PUT_TURN);
    alert_vec some = {.ptr = p->alerts.ptr + p->at, .len = n}; /* lent */
    struct dispatch *d = alertmanager_tenant(am, p->tenant, true);

    p->e = err_first(p->e, dispatch_put(d, &some, alertmanager_now()));
    alertmanager_arm(am, p->tenant);
    p->at += n;
    if (p->at < p->alerts.len) {
        loop_post(am->loop, put_some, p);
        return;
    }
    am->calls--;
    p->done(p->arg, p->e);
    alert_vec_done(&p->alerts);
    mem_free((void *)p->tenant.ptr);
    mem_free(p);
}

/* References the alerts. done is called from inside when they are few. */
static void put_all(struct alertmanager *am, struct slice tenant, const alert_vec *alerts,
                    void (*done)(void *arg, struct err *e), void *arg)
{
    struct putting_all *p = mem_new(struct putting_all);

    p->am = am;
    p->tenant = slice_of(slice_dup(tenant), tenant.len);
    p->done = done;
    p->arg = arg;
    vec_reserve(&p->alerts, alerts->len);
    VEC_FOREACH (a, alerts)
        vec_push(&p->alerts, alert_ref(*a));
    am->calls++;
    put_some(p);
}

static void posted(struct asking *a)
{
    struct err *e = NULL;

    a->answer.status = 200;
    if (a->succeeded == 0) {
        e = a->failed ? a->failed : err_new(ERR_UNAVAILABLE, "no alertmanager can be reached");
        a->failed = NULL;
    } else if (a->bad) {
        e = a->bad;
        a->bad = NULL;
    } else if (err_is(a->failed, ERR_LIMIT)) {
        e = a->failed;
        a->failed = NULL;
    }
    if (e)
        amapi_error(&a->answer, e);
    asking_answered(a);
}

static void put_here(void *arg, struct err *e)
{
    struct asking *a = arg;

    a->failed = err_first(a->failed, e);
    a->succeeded++;
    if (--a->waiting == 0)
        posted(a);
}

static void forwarded(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct asking *a = arg;

    (void)payload;
    if (!is_last)
        return;
    a->am->calls--;
    if (e) {
        a->am->metrics.forwards_failed++;
        a->failed = err_first(a->failed, err_copy(e));
    } else {
        a->succeeded++;
    }
    if (--a->waiting == 0)
        posted(a);
}

/* Those that came without an end have the tenant's: only this loop knows his configuration. */
static void set_ends(struct asking *a)
{
    int64_t resolve_ns = alertmanager_conf_of(a->am, a->tenant)->resolve_timeout_ms * NS_PER_MS;

    VEC_FOREACH (p, &a->alerts)
        if ((*p)->is_timeout)
            (*p)->ends_ns = ORR_MAX((*p)->starts_ns, (*p)->updated_ns + resolve_ns);
}

/* The other replicas get them too; the reply waits for those, so that a 200 means all were asked. */
static void run_post(void *arg)
{
    struct asking *a = arg;
    struct alertmanager_replicas r = alertmanager_replicas(a->am, a->tenant);
    struct rpc_pool *pool = process_peers(a->am->process);
    struct rpc_call_opts opts = {.method = ALERTMANAGER_PUT,
                                 .tenant = a->tenant,
                                 .timeout_ms = ALERTMANAGER_FORWARD_TIMEOUT_MS};
    struct buf b = {0};

    a->am->metrics.alerts_received += a->alerts.len;
    set_ends(a);
    a->waiting = 1; /* us, until all calls have been started */
    if (a->alerts.len && (r.reps.n == 0 || amturn_is_replica(&r.reps, r.self))) {
        a->waiting++;
        put_all(a->am, a->tenant, &a->alerts, put_here, a);
    } else if (!a->alerts.len) {
        a->succeeded++;
    }
    alert_encode(&b, &a->alerts);
    for (size_t i = 0; a->alerts.len && i < r.reps.n; i++)
        if (r.reps.at[i] != r.self) {
            a->waiting++;
            a->am->calls++;
            rpc_call(rpc_pool_peer(pool, ring_member(r.ring, r.reps.at[i])->rpc_addr), &opts,
                     buf_slice(&b), forwarded, a, NULL);
        }
    buf_done(&b);
    ring_unref(r.ring);
    if (--a->waiting == 0)
        posted(a);
}

static void put_for_peer(void *arg, struct err *e)
{
    if (e)
        rpc_reply_err(arg, e);
    else
        rpc_reply(arg, SLICE_EMPTY);
}

void alertmanager_on_put(void *arg, struct rpc_call *call)
{
    alert_vec v = {0};
    struct err *e = alert_decode(rpc_call_payload(call), &v);

    if (!e && rpc_call_tenant(call).len == 0)
        e = err_new(ERR_INVALID, "alerts of no tenant");
    if (e)
        rpc_reply_err(call, e);
    else
        put_all(arg, rpc_call_tenant(call), &v, put_for_peer, call);
    alert_vec_done(&v);
}

void alertmanager_handle_post_alerts(struct http_request *r)
{
    struct asking *a = asking_new(r);
    struct err *e;

    if (!a)
        return;
    e = alert_from_json(r->body, clock_wall_ns(&clock_system),
                        atomic_load(&a->am->resolve_ms) * NS_PER_MS, &a->alerts, &a->bad);
    if (e) {
        METRIC_ADD(a->am->metrics.alerts_invalid, 1);
        amapi_error(&a->answer, e);
        asking_reply(a);
        return;
    }
    if (a->bad)
        METRIC_ADD(a->am->metrics.alerts_invalid, 1);
    loop_post(a->am->loop, run_post, a);
}
