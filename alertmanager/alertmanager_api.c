#include <stdatomic.h>
#include <stdlib.h>

#include "alertmanager/alertmanager_internal.h"
#include "common/auth/auth.h"
#include "common/base/mem.h"
#include "common/base/metric.h"

#define FORWARD_TIMEOUT_MS 5000
#define PUT_TURN 500 /* alerts put in one turn of the loop */

/* A request on its way: from its loop to the role's loop (and perhaps to peers) and back. */
struct asking {
    struct alertmanager *am;
    struct http_request *request; /* answered on its loop */
    struct loop *loop;
    struct slice tenant;         /* heap */
    struct buf question;         /* GET */
    alert_vec alerts;            /* POST */
    struct err *bad;             /* POST: what was wrong with some of them */
    unsigned waiting, succeeded; /* forwards */
    struct err *failed;
    struct amapi_answer answer;
};

/* ---- answering ---- */

static void reply(void *arg)
{
    struct asking *a = arg;

    if (a->answer.body.len)
        http_reply_buf(a->request, a->answer.status, HTTP_JSON, &a->answer.body);
    else
        http_reply(a->request, a->answer.status, NULL, SLICE_EMPTY);
    buf_done(&a->answer.body);
    buf_done(&a->question);
    alert_vec_done(&a->alerts);
    err_free(a->bad);
    err_free(a->failed);
    mem_free((void *)a->tenant.ptr);
    mem_free(a);
}

/* From the role's loop. */
static void answered(struct asking *a)
{
    alert_vec_done(&a->alerts); /* their counts are this loop's */
    loop_post(a->loop, reply, a);
}

/* ---- putting ---- */

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
    answered(a);
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

/* The other replicas get them too; the reply waits for those, so that a 200 means all were asked. */
static void run_post(void *arg)
{
    struct asking *a = arg;
    struct alertmanager_replicas r = alertmanager_replicas(a->am, a->tenant);
    struct rpc_pool *pool = process_peers(a->am->process);
    struct rpc_call_opts opts = {
        .method = ALERTMANAGER_PUT, .tenant = a->tenant, .timeout_ms = FORWARD_TIMEOUT_MS};
    struct buf b = {0};

    a->am->metrics.alerts_received += a->alerts.len;
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

static void on_put(void *arg, struct rpc_call *call)
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

/* ---- asking ---- */

static void ask_here(struct alertmanager *am, struct slice tenant, struct slice question,
                     struct amapi_answer *ret)
{
    struct membership *ms = process_membership(am->process);
    struct ring *ring = membership_ring(ms, MEMBER_ALERTMANAGER, 0);
    size_t n = ring_size(ring);
    struct amapi_peer *peers = mem_new_array(struct amapi_peer, n + 1);
    struct amapi_view v = {
        .dispatch = alertmanager_tenant(am, tenant, false),
        .conf = am->conf,
        .instance = process_instance(am->process),
        .peers = peers,
        .n_peers = n,
        .start_ns = am->start_ns,
        .now_ns = clock_wall_ns(&clock_system),
        .is_ready = membership_self_state(ms) == MEMBER_ACTIVE,
    };

    for (size_t i = 0; i < n; i++)
        peers[i] =
            (struct amapi_peer){ring_member(ring, i)->instance, ring_member(ring, i)->rpc_addr};
    amapi_ask(&v, question, ret);
    mem_free(peers);
    ring_unref(ring);
}

static void asked(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct asking *a = arg;

    if (!is_last)
        return;
    a->am->calls--;
    if (e || payload.len < 2) {
        a->am->metrics.forwards_failed++;
        amapi_error(&a->answer, e ? err_copy(e) : err_new(ERR_INTERNAL, "malformed answer"));
    } else {
        a->answer.status = payload.ptr[0] | payload.ptr[1] << 8;
        buf_slice_append(&a->answer.body, slice_from(payload, 2));
    }
    answered(a);
}

static void run_ask(void *arg)
{
    struct asking *a = arg;
    struct alertmanager_replicas r = alertmanager_replicas(a->am, a->tenant);
    struct rpc_call_opts opts = {
        .method = ALERTMANAGER_ASK, .tenant = a->tenant, .timeout_ms = FORWARD_TIMEOUT_MS};

    if (r.reps.n == 0 || amturn_is_replica(&r.reps, r.self) ||
        alertmanager_tenant(a->am, a->tenant, false)) {
        ask_here(a->am, a->tenant, buf_slice(&a->question), &a->answer);
        answered(a);
    } else {
        a->am->calls++;
        rpc_call(rpc_pool_peer(process_peers(a->am->process),
                               ring_member(r.ring, r.reps.at[0])->rpc_addr),
                 &opts, buf_slice(&a->question), asked, a, NULL);
    }
    ring_unref(r.ring);
}

static void on_ask(void *arg, struct rpc_call *call)
{
    struct amapi_answer answer = {0};
    struct buf b = {0};

    ask_here(arg, rpc_call_tenant(call), rpc_call_payload(call), &answer);
    buf_u16le(&b, (uint16_t)answer.status);
    buf_slice_append(&b, buf_slice(&answer.body));
    rpc_reply_buf(call, &b);
    buf_done(&answer.body);
}

/* ---- HTTP; on the loop of the request ---- */

static void refuse(struct http_request *r, struct err *e)
{
    struct amapi_answer a = {0};

    amapi_error(&a, e);
    http_reply_buf(r, a.status, HTTP_JSON, &a.body);
    buf_done(&a.body);
}

static struct asking *asking_new(struct http_request *r)
{
    struct asking *a;
    struct slice tenant;
    struct err *e;

    if ((e = auth_single_tenant(r, &tenant)) || (e = http_param_check(r))) {
        refuse(r, e);
        return NULL;
    }
    a = mem_new(struct asking);
    a->am = r->arg;
    a->request = r;
    a->loop = r->loop;
    a->tenant = slice_of(slice_dup(tenant), tenant.len);
    return a;
}

static void ask(struct http_request *r, struct slice what)
{
    struct asking *a = asking_new(r);
    const struct http_param *params;
    size_t n;

    if (!a)
        return;
    params = http_param_all(r, &n);
    amapi_encode(&a->question, what, params, n);
    loop_post(a->am->loop, run_ask, a);
}

static void handle_get_alerts(struct http_request *r)
{
    ask(r, SLICE("alerts"));
}

static void handle_groups(struct http_request *r)
{
    ask(r, SLICE("alerts/groups"));
}

static void handle_receivers(struct http_request *r)
{
    ask(r, SLICE("receivers"));
}

static void handle_status(struct http_request *r)
{
    ask(r, SLICE("status"));
}

static void handle_post_alerts(struct http_request *r)
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
        reply(a);
        return;
    }
    if (a->bad)
        METRIC_ADD(a->am->metrics.alerts_invalid, 1);
    loop_post(a->am->loop, run_post, a);
}

static void handle_alerts(struct http_request *r)
{
    if (r->method == HTTP_POST)
        handle_post_alerts(r);
    else
        handle_get_alerts(r);
}

static void handle_silences(struct http_request *r)
{
    refuse(r, err_new(ERR_UNSUPPORTED, "silences are not supported yet"));
}

void alertmanager_api_open(struct alertmanager *am)
{
    static const struct {
        unsigned methods;
        const char *path;
        void (*handler)(struct http_request *r);
    } routes[] = {
        {HTTP_GET | HTTP_POST, "/api/v2/alerts", handle_alerts},
        {HTTP_GET, "/api/v2/alerts/groups", handle_groups},
        {HTTP_GET, "/api/v2/receivers", handle_receivers},
        {HTTP_GET, "/api/v2/status", handle_status},
        {HTTP_GET | HTTP_POST, "/api/v2/silences", handle_silences},
        {HTTP_GET | HTTP_DELETE, "/api/v2/silence/{id}", handle_silences},
    };
    struct http_server *http = process_http(am->process);

    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        for (int prefixed = 0; prefixed < 2; prefixed++) {
            /* /alertmanager is where Mimir serves it */
            char *path = mem_printf("%s%s", prefixed ? "/alertmanager" : "", routes[i].path);

            http_server_route(http, &(struct http_route){.methods = routes[i].methods,
                                                         .pattern = path,
                                                         .handler = routes[i].handler,
                                                         .arg = am});
            mem_free(path);
        }
    rpc_server_handle(process_rpc(am->process), ALERTMANAGER_PUT, on_put, am);
    rpc_server_handle(process_rpc(am->process), ALERTMANAGER_ASK, on_ask, am);
    rpc_server_handle(process_rpc(am->process), ALERTMANAGER_CLAIM, alertmanager_on_claim, am);
    rpc_server_handle(process_rpc(am->process), ALERTMANAGER_TOLD, alertmanager_log_on_told, am);
}
