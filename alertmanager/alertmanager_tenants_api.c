/*
 * Mimir's API of a tenant's configuration:
 *
 *     GET     /api/v1/alerts     200 YAML (amstore.h), 404
 *     POST    /api/v1/alerts     201, 400 with line and field, 422 over a limit
 *     DELETE  /api/v1/alerts     200
 *
 * The same under /alertmanager. Where queriers or rulers share the process, GET /api/v1/alerts is Prometheus' list of
 * alerts: then it is /alertmanager/api/v1/alerts alone. A change that was answered is in the bucket.
 */
#include "alertmanager/alertmanager_internal.h"
#include "alertmanager/amstore.h"
#include "common/auth/auth.h"
#include "common/base/mem.h"

#define TEXT "text/plain; charset=utf-8"
#define YAML "application/yaml"
#define MAX_BODY YAML_MAX_BYTES

struct change {
    struct alertmanager *am;
    struct http_request *request; /* answered on its loop */
    enum http_method method;
    struct loop *loop;
    struct slice tenant; /* heap */
    struct amstore_limits limits;
    struct arena *arena;
    struct buf object, answer;
    struct amconf *conf;
    struct err *e;
};

/* ---- on a worker ---- */

static struct err *get(struct change *c)
{
    struct objstore_get opts = {.max_bytes = AMSTORE_MAX_BYTES};
    struct amstore_config config;
    struct err *e = objstore_get(process_objstore(c->am->process), amstore_key(c->arena, c->tenant),
                                 &opts, &c->object, NULL);

    if (err_is(e, ERR_NOT_FOUND)) {
        err_free(e);
        return err_new(ERR_NOT_FOUND, "the tenant has no configuration: config-file's holds");
    }
    if (!e && !(e = amstore_decode(c->arena, buf_slice(&c->object), &config)))
        amstore_yaml(&c->answer, &config);
    return e;
}

static struct err *post(struct change *c)
{
    struct amstore_config config;
    struct objstore_put opts = {.content_type = "application/octet-stream"};
    struct err *e;

    if ((e = amstore_from_yaml(c->arena, c->request->body, &c->limits, &config)) ||
        (e = amstore_compile(&config, &c->conf)))
        return e;
    amstore_encode(&c->object, c->tenant, &config);
    return objstore_put(process_objstore(c->am->process), amstore_key(c->arena, c->tenant),
                        buf_slice(&c->object), &opts, NULL);
}

static void work(void *arg)
{
    struct change *c = arg;

    if (c->method == HTTP_POST)
        c->e = post(c);
    else if (c->method == HTTP_DELETE)
        c->e = objstore_delete(process_objstore(c->am->process), amstore_key(c->arena, c->tenant));
    else
        c->e = get(c);
}

/* ---- answering ---- */

static void reply(void *arg)
{
    struct change *c = arg;
    int status = c->method == HTTP_POST ? 201 : 200;

    if (c->e) {
        status = err_code_http(err_code(c->e));
        buf_reset(&c->answer);
        buf_printf(&c->answer, "%s\n", err_msg(c->e));
    }
    if (c->answer.len)
        http_reply_buf(c->request, status, c->e ? TEXT : YAML, &c->answer);
    else
        http_reply(c->request, status, NULL, SLICE_EMPTY);
    err_free(c->e);
    buf_done(&c->object);
    buf_done(&c->answer);
    arena_free(c->arena);
    mem_free((void *)c->tenant.ptr);
    mem_free(c);
}

/* On the role's loop. */
static void done(void *arg)
{
    struct change *c = arg;

    if (!c->e && c->method != HTTP_GET)
        alertmanager_tenants_changed(c->am, c->tenant, buf_slice(&c->object), c->conf);
    else
        amconf_unref(c->conf);
    loop_post(c->loop, reply, c);
}

static void refuse(struct http_request *r, struct err *e)
{
    struct slice text = slice_cstr(err_msg(e));

    http_reply(r, err_code_http(err_code(e)), TEXT, arena_dup(r->arena, text));
    err_free(e);
}

static void handle(struct http_request *r)
{
    struct alertmanager *am = r->arg;
    struct tenant_limits tl;
    struct slice tenant;
    struct change *c;
    struct err *e = auth_single_tenant(r, &tenant);

    if (e) {
        refuse(r, e);
        return;
    }
    limits_get(am->limits, tenant, &tl);
    c = mem_new(struct change);
    *c = (struct change){
        .am = am,
        .request = r,
        .method = r->method == HTTP_HEAD ? HTTP_GET : r->method,
        .loop = r->loop,
        .tenant = slice_of(slice_dup(tenant), tenant.len),
        .limits = {(size_t)tl.alertmanager_max_config_size_bytes,
                   (size_t)tl.alertmanager_max_templates_count,
                   (size_t)tl.alertmanager_max_template_size_bytes},
        .arena = arena_new(0),
    };
    if ((e = job_run(process_jobs(am->process), am->loop, work, done, c))) {
        c->e = e;
        reply(c);
    }
}

void alertmanager_tenants_api_open(struct alertmanager *am)
{
    struct http_server *http = process_http(am->process);
    bool shares = process_roles(am->process) & (MEMBER_QUERIER | MEMBER_RULER);
    struct http_route route = {.methods = HTTP_GET | HTTP_POST | HTTP_DELETE,
                               .pattern = "/alertmanager/api/v1/alerts",
                               .max_body_bytes = MAX_BODY,
                               .handler = handle,
                               .arg = am};

    http_server_route(http, &route);
    route.pattern = "/api/v1/alerts";
    if (shares)
        route.methods = HTTP_POST | HTTP_DELETE;
    http_server_route(http, &route);
    rpc_server_handle(process_rpc(am->process), ALERTMANAGER_CONFIG, alertmanager_on_config, am);
}
