#include "querier/api/prom_api.h"

#include "common/auth/auth.h"
#include "common/base/mem.h"
#include "querier/api/prom_api_internal.h"

struct prom_api *prom_api_new(const struct prom_tasks_opts *opts)
{
    struct prom_api *api = mem_new(struct prom_api);

    api->tasks = prom_tasks_new(opts);
    return api;
}

void prom_api_free(struct prom_api *api)
{
    if (!api)
        return;
    prom_tasks_free(api->tasks);
    mem_free(api);
}

void prom_api_drain(struct prom_api *api, loop_fn *done, void *arg)
{
    prom_tasks_drain(api->tasks, done, arg);
}

void prom_api_cancel(struct prom_api *api)
{
    prom_tasks_cancel(api->tasks);
}

/* ---- beginnings ---- */

struct prom_api *prom_api_of(struct http_request *r)
{
    return r->arg;
}

bool prom_api_failed(struct http_request *r, struct err *e)
{
    if (!e)
        return false;
    prom_reply_err(r, e);
    return true;
}

bool prom_api_begin(struct http_request *r, struct slice *ret_tenant)
{
    struct err *e = http_param_check(r);

    if (!e)
        e = prom_api_tenants(r, ret_tenant);
    return !prom_api_failed(r, e);
}

struct err *prom_api_tenants(struct http_request *r, struct slice *ret)
{
    struct slice sent = auth_tenant(r);

    if (sent.len == 0 || slice_find_byte(sent, '|', 0) < 0)
        return auth_single_tenant(r, ret);
    return prom_tasks_tenants(prom_api_of(r)->tasks, r->arena, sent, ret);
}

bool prom_api_begin_single(struct http_request *r, struct slice *ret_tenant)
{
    struct err *e = http_param_check(r);

    if (!e)
        e = auth_single_tenant(r, ret_tenant);
    return !prom_api_failed(r, e);
}

size_t prom_api_values(struct http_request *r, const char *name, struct slice **ret)
{
    size_t n = 0, all, pos = 0;
    struct slice v;

    (void)http_param_all(r, &all);
    *ret = arena_array(r->arena, struct slice, all + 1);
    while (http_param_next(r, name, &pos, &v))
        (*ret)[n++] = v;
    return n;
}

void prom_api_reply(struct http_request *r, struct slice data)
{
    struct buf b = {0};

    buf_printf(&b, "{\"status\":\"success\",\"data\":%.*s}", SLICE_ARG(data));
    http_reply_buf(r, 200, HTTP_JSON, &b);
}

void prom_api_warn_truncated(struct prom_task *t)
{
    joined_warn(&t->data, SLICE("results truncated due to limit"));
}

/* ---- what needs no work ---- */

/*
 * Grafana takes a data source without `features` for a plain Prometheus, and decides by `version`
 * what it may ask: so that says whose API this is, and ours stands beside it.
 */
static void on_buildinfo(struct http_request *r)
{
    prom_api_reply(r, SLICE("{\"version\":\"3.5.0\",\"revision\":\"orrery-" ORR_VERSION
                            "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\","
                            "\"goVersion\":\"\",\"application\":\"Orrery\","
                            "\"orreryVersion\":\"" ORR_VERSION "\"}"));
}

static void on_ruler_business(struct http_request *r)
{
    prom_reply_err(r, err_new(ERR_UNSUPPORTED, "%.*s is not served by queriers: ask a ruler",
                              SLICE_ARG(r->path)));
}

/* ---- routes ---- */

static const struct {
    unsigned methods;
    const char *pattern;
    void (*handler)(struct http_request *r);
} routes[] = {
    {HTTP_GET | HTTP_POST, "/api/v1/query", prom_query_instant},
    {HTTP_GET | HTTP_POST, "/api/v1/query_range", prom_query_range},
    {HTTP_GET | HTTP_POST, "/api/v1/query_exemplars", prom_extra_exemplars},
    {HTTP_GET | HTTP_POST, "/api/v1/format_query", prom_query_format},
    {HTTP_GET | HTTP_POST, "/api/v1/series", prom_labels_series},
    {HTTP_GET | HTTP_POST, "/api/v1/labels", prom_labels_names},
    {HTTP_GET, "/api/v1/label/{name}/values", prom_labels_values},
    {HTTP_GET, "/api/v1/metadata", prom_extra_metadata},
    {HTTP_GET, "/api/v1/status/buildinfo", on_buildinfo},
    {HTTP_GET, "/api/v1/rules", on_ruler_business},
    {HTTP_GET, "/api/v1/alerts", on_ruler_business},
};

void prom_api_routes(struct prom_api *api, struct http_server *server, bool has_ruler)
{
    static const char *const prefixes[] = {"", "/prometheus"};

    for (size_t i = 0; i < ORR_COUNT(prefixes); i++) {
        for (size_t k = 0; k < ORR_COUNT(routes); k++) {
            char *pattern;

            if (has_ruler && routes[k].handler == on_ruler_business)
                continue;
            pattern = mem_printf("%s%s", prefixes[i], routes[k].pattern);
            http_server_route(server, &(struct http_route){.methods = routes[k].methods,
                                                           .pattern = pattern,
                                                           .handler = routes[k].handler,
                                                           .reply_err = prom_reply_err,
                                                           .arg = api});
            mem_free(pattern);
        }
    }
}

void prom_api_rpc(struct prom_api *api, struct rpc_server *server)
{
    rpc_server_handle(server, "querier.query", prom_query_call, api);
}
