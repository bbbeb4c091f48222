#include "querier/api/loki_api.h"

#include "common/auth/auth.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "querier/api/loki_api_internal.h"
#include "querier/logs/logquery.h"

struct loki_api *loki_api_new(const struct loki_api_opts *opts)
{
    struct loki_api *api = mem_new(struct loki_api);

    api->tasks = opts->tasks;
    api->pool = opts->pool;
    api->lanes = opts->lanes;
    api->engine = logquery_engine();
    api->turns = mem_new(struct turns);
    api->tails = loki_tails_new(opts->tasks, api->engine);
    return api;
}

void loki_api_free(struct loki_api *api)
{
    if (!api)
        return;
    loki_tails_free(api->tails);
    engine_free(api->engine);
    mem_free(api->turns);
    mem_free(api);
}

void loki_api_stop(struct loki_api *api)
{
    if (api)
        loki_tails_stop(api->tails);
}

void loki_api_drain(struct loki_api *api, loop_fn *done, void *arg)
{
    loki_tails_drain(api->tails, done, arg);
}

/* ---- errors ---- */

/* As Loki has them: what the asker can change is 400, out of time 504. */
static int write_error(struct buf *out, struct err *e)
{
    enum err_code code = err_code(e);
    int status = prom_error_text(out, e);

    switch (code) {
    case ERR_LIMIT:
    case ERR_EXEC:
    case ERR_UNSUPPORTED:
        return 400;
    case ERR_TIMEOUT:
        return 504;
    default:
        return status;
    }
}

static void reply_error(struct http_request *r, struct err *e)
{
    prom_reply_err_as(r, e, write_error);
}

bool loki_api_failed(struct http_request *r, struct err *e)
{
    if (!e)
        return false;
    reply_error(r, e);
    return true;
}

/* ---- beginnings ---- */

bool loki_api_begin(struct http_request *r, struct slice *ret_tenant)
{
    struct err *e = http_param_check(r);

    if (!e)
        e = auth_single_tenant(r, ret_tenant);
    return !loki_api_failed(r, e);
}

struct err *loki_api_range(struct http_request *r, int64_t def_since_ns,
                           struct logremote_range *ret)
{
    int64_t now_ns = clock_wall_ns(&clock_system), since_ns;
    struct err *e;

    if ((e = loki_param_duration("since", http_param(r, "since"), def_since_ns, &since_ns)) ||
        (e = loki_param_time("end", http_param(r, "end"), now_ns, &ret->end_ns)) ||
        (e = loki_param_time("start", http_param(r, "start"),
                             ORR_MIN(ret->end_ns, now_ns) - since_ns, &ret->start_ns)))
        return e;
    if (ret->end_ns < ret->start_ns)
        return err_new(ERR_INVALID, "end timestamp must not be before or equal to start time");
    return NULL;
}

void loki_api_task(struct http_request *r, struct slice tenant, prom_work_fn *work, void *params)
{
    struct loki_api *api = r->arg;

    prom_task_raw_as(api->tasks, r, tenant, 0, work, params, write_error);
}

struct err *loki_api_source(struct prom_task *t, struct logremote_range range,
                            struct logremote *ret)
{
    int64_t max_ns = t->limits.max_query_length_ns, length = range.end_ns - range.start_ns;

    t->content_type = HTTP_JSON;
    if (max_ns > 0 && length > max_ns)
        return err_new(ERR_LIMIT,
                       "the query time range exceeds the limit (query length: %llds, limit: %llds; "
                       "limits.max-query-length)",
                       (long long)(length / NS_PER_S), (long long)(max_ns / NS_PER_S));
    logremote_init(ret, &(struct logremote_opts){
                            .sq = &t->data.queries[0],
                            .grace_ns = t->limits.creation_grace_period_ns,
                            .max_streams = (uint64_t)t->limits.max_fetched_series_per_query});
    return NULL;
}

void loki_api_end(struct prom_task *t)
{
    const struct store_query *sq = &t->data.queries[0];

    for (size_t i = 0; i < sq->warnings.len; i++) {
        buf_str(&t->out, i ? "," : ",\"warnings\":[");
        buf_json_str(&t->out, sq->warnings.ptr[i]);
    }
    buf_str(&t->out, sq->warnings.len ? "]}" : "}");
}

struct err *loki_api_streams(struct logremote *remote, struct matchers ms,
                             struct logremote_range range, bool wants_volume, loki_streams_fn *fn,
                             void *arg)
{
    struct logremote_stream st;
    struct logremote_streams *s;
    struct err *e = logremote_streams(remote, ms, range, wants_volume, &s);

    if (e)
        return e;
    while (!e && logremote_streams_next(s, &st))
        e = fn(arg, &st);
    return err_first(e, logremote_streams_close(s));
}

struct logquery loki_api_query(const struct loki_api *api, const struct prom_task *t,
                               struct logremote_range range)
{
    const struct tenant_limits *l = &t->limits;

    return (struct logquery){
        .start_ns = range.start_ns,
        .end_ns = range.end_ns,
        .max_entries = (uint32_t)ORR_MIN(l->max_entries_limit_per_query, (int64_t)UINT32_MAX),
        .max_bytes = (uint64_t)l->max_query_bytes_read,
        .deadline_mono_ms = t->deadline_mono_ms,
        .cancel = &t->cancel,
        .pool = api->pool,
        .lanes = api->lanes,
        .turns = api->turns};
}

struct err *loki_api_memory(const struct prom_task *t)
{
    if (!arena_over(t->arena))
        return NULL;
    return err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                   arena_limit(t->arena));
}

bool loki_api_categorizes(const struct http_request *r)
{
    struct slice flags = http_request_header(r, "X-Loki-Response-Encoding-Flags"), one;

    while (slice_split(&flags, ',', &one))
        if (slice_eq_cstr(slice_trim(one), "categorize-labels"))
            return true;
    return false;
}

/* ---- routes ---- */

static void buildinfo(struct http_request *r)
{
    http_reply(r, 200, HTTP_JSON,
               SLICE("{\"version\":\"3.8.0\",\"revision\":\"orrery-" ORR_VERSION
                     "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\","
                     "\"orreryVersion\":\"" ORR_VERSION "\"}"));
}

#define GET_POST (HTTP_GET | HTTP_POST)

static const struct route {
    unsigned methods;
    const char *pattern;
    void (*handler)(struct http_request *r);
} routes[] = {
    {GET_POST, "/loki/api/v1/query", loki_query_instant},
    {GET_POST, "/loki/api/v1/query_range", loki_query_range},
    {GET_POST, "/loki/api/v1/format_query", loki_query_format},
    {GET_POST, "/loki/api/v1/label", loki_labels_names},
    {GET_POST, "/loki/api/v1/labels", loki_labels_names},
    {GET_POST, "/loki/api/v1/label/{name}/values", loki_labels_names},
    {GET_POST, "/loki/api/v1/series", loki_labels_series},
    {GET_POST, "/loki/api/v1/index/stats", loki_index_stats},
    {GET_POST, "/loki/api/v1/index/volume", loki_volume_instant},
    {GET_POST, "/loki/api/v1/index/volume_range", loki_volume_range},
    {GET_POST, "/loki/api/v1/index/shards", loki_volume_shards},
    {GET_POST, "/loki/api/v1/detected_labels", loki_detect_labels},
    {GET_POST, "/loki/api/v1/detected_fields", loki_detect_fields},
    {GET_POST, "/loki/api/v1/detected_field/{name}/values", loki_detect_values},
    {GET_POST, "/loki/api/v1/patterns", loki_patterns},
    {HTTP_GET, "/loki/api/v1/drilldown-limits", loki_limits},
    {HTTP_POST | HTTP_PUT, "/loki/api/v1/delete", loki_delete_add},
    {HTTP_GET, "/loki/api/v1/delete", loki_delete_list},
    {HTTP_DELETE, "/loki/api/v1/delete", loki_delete_cancel},
    {HTTP_GET, "/loki/api/v1/tail", loki_tail},
    {HTTP_GET, "/api/v1/events", loki_events},
    {HTTP_GET, "/api/prom/tail", loki_tail},
    {GET_POST, "/api/prom/query", loki_query_old},
    {GET_POST, "/api/prom/label", loki_labels_old},
    {GET_POST, "/api/prom/label/{name}/values", loki_labels_old},
    {GET_POST, "/api/prom/series", loki_labels_series},
    {HTTP_GET, "/loki/api/v1/status/buildinfo", buildinfo},
};

void loki_api_routes(struct loki_api *api, struct http_server *server)
{
    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(server, &(struct http_route){.methods = routes[i].methods,
                                                       .pattern = routes[i].pattern,
                                                       .handler = routes[i].handler,
                                                       .reply_err = reply_error,
                                                       .arg = api});
}

void loki_api_rpc(struct loki_api *api, struct rpc_server *server)
{
    rpc_server_handle(server, "querier.query_logs", loki_query_call, api);
}
