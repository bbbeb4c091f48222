#include "querier/api/prom_api.h"

#include "common/auth/auth.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/model/tenant.h"
#include "querier/api/prom_api_internal.h"
#include "querier/api/remote_read_wire.h"

struct prom_api *prom_api_new(const struct prom_tasks_opts *opts)
{
    struct prom_api *api = mem_new(struct prom_api);

    api->tasks = prom_tasks_new(opts);
    api->started_ms = clock_wall_ms(&clock_system);
    return api;
}

void prom_api_free(struct prom_api *api)
{
    if (!api)
        return;
    prom_tasks_free(api->tasks);
    mem_free(api);
}

struct prom_tasks *prom_api_tasks(struct prom_api *api)
{
    return api->tasks;
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

struct err *prom_api_single_tenant(struct http_request *r, struct slice *ret)
{
    return auth_single_tenant(r, ret);
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

struct promql_options prom_api_syntax(struct http_request *r)
{
    return prom_tasks_opts(prom_api_of(r)->tasks)->has_experimental ? PROMQL_EVERYTHING
                                                                    : (struct promql_options){0};
}

/* ---- routes ---- */

#define GET_POST (HTTP_GET | HTTP_POST)
#define POST_PUT (HTTP_POST | HTTP_PUT)

struct route {
    unsigned methods;
    const char *pattern;
    void (*handler)(struct http_request *r);
};

static const struct route routes[] = {
    {GET_POST, "/api/v1/query", prom_query_instant},
    {GET_POST, "/api/v1/query_range", prom_query_range},
    {GET_POST, "/api/v1/query_exemplars", prom_extra_exemplars},
    {GET_POST, "/api/v1/format_query", prom_query_format},
    {GET_POST, "/api/v1/parse_query", prom_query_parse},
    {GET_POST, "/api/v1/series", prom_labels_series},
    {GET_POST, "/api/v1/labels", prom_labels_names},
    {HTTP_GET, "/api/v1/label/{name}/values", prom_labels_values},
    {HTTP_GET, "/api/v1/metadata", prom_extra_metadata},
    {HTTP_GET, "/api/v1/status/buildinfo", prom_status_buildinfo},
    {HTTP_GET, "/api/v1/status/config", prom_status_config},
    {HTTP_GET, "/api/v1/status/flags", prom_status_flags},
    {HTTP_GET, "/api/v1/status/runtimeinfo", prom_status_runtimeinfo},
    {HTTP_GET, "/api/v1/status/walreplay", prom_status_walreplay},
    {HTTP_GET, "/api/v1/status/tsdb", prom_status_tsdb},
    {HTTP_GET, "/api/v1/status/tsdb/blocks", prom_status_blocks},
    {HTTP_GET, "/api/v1/features", prom_status_features},
    {HTTP_GET, "/api/v1/targets", prom_status_targets},
    {HTTP_GET, "/api/v1/targets/metadata", prom_status_empty_list},
    {HTTP_GET, "/api/v1/scrape_pools", prom_status_scrape_pools},
    {HTTP_GET, "/api/v1/alertmanagers", prom_status_alertmanagers},
    {HTTP_GET, "/api/v1/notifications", prom_status_empty_list},
    {HTTP_GET, "/api/v1/user_limits", prom_status_user_limits},
    {POST_PUT, "/api/v1/admin/tsdb/delete_series", prom_delete_series},
    {POST_PUT, "/api/v1/admin/tsdb/clean_tombstones", prom_delete_clean},
    {HTTP_GET, "/api/v1/admin/tsdb/tombstones", prom_delete_list},
};
/* Errors are plain text. */
static const struct route text_routes[] = {
    {HTTP_GET, "/federate", prom_federate},
    {GET_POST, "/api/v1/cardinality/label_names", prom_cardinality_label_names},
    {GET_POST, "/api/v1/cardinality/label_values", prom_cardinality_label_values},
    {GET_POST, "/api/v1/cardinality/active_series", prom_cardinality_active_series},
    {GET_POST, "/api/v1/cardinality/active_native_histogram_metrics", prom_cardinality_histograms},
    {HTTP_GET, "/api/v1/user_stats", prom_status_user_stats},
    {HTTP_POST, "/api/v1/read", prom_read},
};

static void add_route(struct prom_api *api, struct http_server *server, const struct route *r,
                      void (*reply_err)(struct http_request *r, struct err *e))
{
    static const char *const prefixes[] = {"", "/prometheus"};
    bool is_read = r->handler == prom_read; /* snappy in and out, by the protocol itself */

    for (size_t i = 0; i < ORR_COUNT(prefixes); i++) {
        char *pattern = mem_printf("%s%s", prefixes[i], r->pattern);

        http_server_route(server,
                          &(struct http_route){
                              .methods = r->methods,
                              .pattern = pattern,
                              .handler = r->handler,
                              .flags = is_read ? HTTP_ROUTE_RAW_BODY | HTTP_ROUTE_NO_COMPRESS : 0,
                              .max_body_bytes = is_read ? REMOTE_READ_MAX_BYTES : 0,
                              .reply_err = reply_err,
                              .arg = api});
        mem_free(pattern);
    }
}

void prom_api_routes(struct prom_api *api, struct http_server *server)
{
    for (size_t k = 0; k < ORR_COUNT(routes); k++)
        add_route(api, server, &routes[k], prom_reply_err);
    for (size_t k = 0; k < ORR_COUNT(text_routes); k++)
        add_route(api, server, &text_routes[k], prom_reply_text_err);
}

static void on_news(struct rpc_call *call, struct prom_api *api, struct slice signal)
{
    struct reader r = reader_new(rpc_call_payload(call));
    uint64_t version = reader_uvarint(&r);
    struct err *e = tenant_check(rpc_call_tenant(call));

    if (!e && (!reader_ok(&r) || reader_left(&r)))
        e = err_new(ERR_INVALID, "not a version");
    if (e) {
        rpc_reply_err(call, e);
        return;
    }
    store_hint_tombstones(prom_tasks_opts(api->tasks)->store, signal, rpc_call_tenant(call),
                          version);
    rpc_reply(call, SLICE_EMPTY);
}

static void on_tombstones(void *arg, struct rpc_call *call)
{
    on_news(call, arg, SLICE("metrics"));
}

static void on_log_tombstones(void *arg, struct rpc_call *call)
{
    on_news(call, arg, SLICE("logs"));
}

void prom_api_rpc(struct prom_api *api, struct rpc_server *server)
{
    rpc_server_handle(server, "querier.query", prom_query_call, api);
    rpc_server_handle(server, "querier.tombstones", on_tombstones, api);
    rpc_server_handle(server, "querier.tombstones_logs", on_log_tombstones, api);
}
