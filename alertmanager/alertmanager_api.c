#include <stdlib.h>

#include "alertmanager/alertmanager_asking.h"
#include "common/auth/auth.h"
#include "common/base/mem.h"

/* ---- answering ---- */

static void reply(void *arg)
{
    asking_reply(arg);
}

/* Nothing in it comes from elsewhere; what slips through escaping would not run. */
static void reply_page(struct asking *a)
{
    http_reply_header(a->request, "Content-Security-Policy",
                      SLICE("default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
                            "base-uri 'none'; frame-ancestors 'none'"));
    http_reply_header(a->request, "Referrer-Policy", SLICE("same-origin"));
    http_reply_buf(a->request, 200, HTTP_HTML, &a->answer.body);
}

void asking_reply(struct asking *a)
{
    bool is_ok = a->answer.status == 200;

    if (is_ok && a->redirect) {
        http_reply_header(a->request, "Location", slice_cstr(a->redirect));
        http_reply(a->request, 303, NULL, SLICE_EMPTY);
    } else if (is_ok && a->is_page) {
        reply_page(a);
    } else if (a->answer.body.len) {
        http_reply_buf(a->request, a->answer.status, HTTP_JSON, &a->answer.body);
    } else {
        http_reply(a->request, a->answer.status, NULL, SLICE_EMPTY);
    }
    buf_done(&a->answer.body);
    buf_done(&a->question);
    alert_vec_done(&a->alerts);
    err_free(a->bad);
    err_free(a->failed);
    mem_free((void *)a->tenant.ptr);
    mem_free(a);
}

void asking_answered(struct asking *a)
{
    alert_vec_done(&a->alerts); /* their counts are the role's loop's */
    loop_post(a->loop, reply, a);
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
        .tenant = tenant,
        .dispatch = alertmanager_tenant(am, tenant, false),
        .silences = am->silences,
        .conf = alertmanager_conf_of(am, tenant),
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
    asking_answered(a);
}

static void run_ask(void *arg)
{
    struct asking *a = arg;
    struct alertmanager_replicas r = alertmanager_replicas(a->am, a->tenant);
    struct rpc_call_opts opts = {.method = ALERTMANAGER_ASK,
                                 .tenant = a->tenant,
                                 .timeout_ms = ALERTMANAGER_FORWARD_TIMEOUT_MS};

    if (a->is_here || r.reps.n == 0 || amturn_is_replica(&r.reps, r.self) ||
        alertmanager_tenant(a->am, a->tenant, false)) {
        ask_here(a->am, a->tenant, buf_slice(&a->question), &a->answer);
        asking_answered(a);
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

void asking_refuse(struct http_request *r, struct err *e)
{
    struct amapi_answer a = {0};

    amapi_error(&a, e);
    http_reply_buf(r, a.status, HTTP_JSON, &a.body);
    buf_done(&a.body);
}

struct asking *asking_new(struct http_request *r)
{
    struct asking *a;
    struct slice tenant;
    struct err *e;

    if ((e = auth_single_tenant(r, &tenant)) || (e = http_param_check(r))) {
        asking_refuse(r, e);
        return NULL;
    }
    a = mem_new(struct asking);
    a->am = r->arg;
    a->request = r;
    a->loop = r->loop;
    a->tenant = slice_of(slice_dup(tenant), tenant.len);
    return a;
}

void asking_get(struct http_request *r, struct slice what, bool is_here)
{
    struct asking *a = asking_new(r);
    struct http_param id = {SLICE_INIT("id"), SLICE_EMPTY};
    const struct http_param *params;
    size_t n;

    if (!a)
        return;
    a->is_here = is_here;
    a->is_page = slice_has_prefix(what, SLICE("page/"));
    params = http_param_all(r, &n);
    if (slice_eq_cstr(what, "silence")) {
        id.value = http_request_segment(r, "id");
        params = &id;
        n = 1;
    }
    amapi_encode(&a->question, what, params, n);
    loop_post(a->am->loop, run_ask, a);
}

static void handle_get_alerts(struct http_request *r)
{
    asking_get(r, SLICE("alerts"), false);
}

static void handle_groups(struct http_request *r)
{
    asking_get(r, SLICE("alerts/groups"), false);
}

static void handle_receivers(struct http_request *r)
{
    asking_get(r, SLICE("receivers"), false);
}

static void handle_status(struct http_request *r)
{
    asking_get(r, SLICE("status"), false);
}

static void handle_alerts(struct http_request *r)
{
    if (r->method == HTTP_POST)
        alertmanager_handle_post_alerts(r);
    else
        handle_get_alerts(r);
}

/* Every alertmanager has all silences. */
static void handle_silences(struct http_request *r)
{
    if (r->method == HTTP_POST)
        alertmanager_handle_post_silence(r);
    else
        asking_get(r, SLICE("silences"), true);
}

static void handle_silence(struct http_request *r)
{
    if (r->method == HTTP_DELETE)
        alertmanager_handle_delete_silence(r);
    else
        asking_get(r, SLICE("silence"), true);
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
        {HTTP_GET | HTTP_DELETE, "/api/v2/silence/{id}", handle_silence},
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
    rpc_server_handle(process_rpc(am->process), ALERTMANAGER_PUT, alertmanager_on_put, am);
    rpc_server_handle(process_rpc(am->process), ALERTMANAGER_ASK, on_ask, am);
    rpc_server_handle(process_rpc(am->process), ALERTMANAGER_CLAIM, alertmanager_on_claim, am);
    rpc_server_handle(process_rpc(am->process), ALERTMANAGER_TOLD, alertmanager_log_on_told, am);
    rpc_server_handle(process_rpc(am->process), ALERTMANAGER_SILENCES, alertmanager_on_silences,
                      am);
}
