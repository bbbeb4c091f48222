#include "querier/api/tempo_api.h"

#include "common/auth/auth.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/promdur.h"
#include "querier/api/loki_param.h"
#include "querier/api/tempo_api_internal.h"

#define DEF_SINCE_NS (3600 * NS_PER_S)

struct tempo_api *tempo_api_new(const struct tempo_api_opts *opts)
{
    struct tempo_api *api = mem_new(struct tempo_api);

    api->opts = *opts;
    return api;
}

void tempo_api_free(struct tempo_api *api)
{
    mem_free(api);
}

/* ---- beginnings ---- */

bool tempo_api_failed(struct http_request *r, struct err *e)
{
    if (!e)
        return false;
    prom_reply_text_err(r, e);
    return true;
}

bool tempo_api_begin(struct http_request *r, struct slice *ret_tenant)
{
    struct err *e = http_param_check(r);

    if (!e)
        e = auth_single_tenant(r, ret_tenant);
    return !tempo_api_failed(r, e);
}

struct err *tempo_api_range(struct http_request *r, struct tempo_range *ret)
{
    int64_t now_ns = clock_wall_ns(&clock_system), since_ns;
    struct err *e;

    if ((e = loki_param_duration("since", http_param(r, "since"), DEF_SINCE_NS, &since_ns)) ||
        (e = loki_param_time("end", http_param(r, "end"), now_ns, &ret->end_ns)) ||
        (e = loki_param_time("start", http_param(r, "start"), ret->end_ns - since_ns,
                             &ret->start_ns)))
        return e;
    if (ret->end_ns <= ret->start_ns)
        return err_new(ERR_INVALID, "http parameter start must be before end");
    return NULL;
}

struct err *tempo_api_duration(struct http_request *r, const char *name, int64_t *ret_ns)
{
    struct slice text = http_param(r, name);
    struct err *e;

    *ret_ns = 0;
    if (!text.len)
        return NULL;
    if ((e = promdur_parse_go(text, ret_ns)))
        return err_wrap(e, "invalid %s", name);
    return *ret_ns < 0 ? err_new(ERR_INVALID, "invalid %s: it is negative", name) : NULL;
}

struct err *tempo_api_count(struct http_request *r, const char *name, uint32_t def, uint32_t max,
                            uint32_t *ret)
{
    struct slice text = http_param(r, name);
    uint64_t v = def;

    if (text.len && !slice_to_u64(text, &v))
        return err_new(ERR_INVALID, "invalid %s: \"%.*s\" is no count", name,
                       SLICE_ARG(slice_sub(text, 0, 64)));
    if (v > max)
        return err_new(ERR_INVALID, "invalid %s: %llu is more than %u", name, (unsigned long long)v,
                       max);
    *ret = (uint32_t)v;
    return NULL;
}

void tempo_api_task(struct http_request *r, struct slice tenant, prom_work_fn *work, void *params)
{
    struct tempo_api *api = r->arg;

    prom_task_raw(api->opts.tasks, r, tenant, 0, work, params);
}

struct err *tempo_api_scan(const struct tempo_api *api, struct prom_task *t,
                           struct tempo_range range, struct tracesource *source,
                           struct tracescan_opts *ret)
{
    struct err *e = api->opts.open(api->opts.arg, t, range.start_ns, range.end_ns, source);

    if (e)
        return e;
    *ret = (struct tracescan_opts){.source = source,
                                   .req = {.start_ns = range.start_ns,
                                           .end_ns = range.end_ns,
                                           .deadline_mono_ms = t->deadline_mono_ms,
                                           .cancel = &t->cancel},
                                   .ranges = TEMPO_RANGES,
                                   .arena = t->arena};
    return NULL;
}

/* ---- routes ---- */

static void echo(struct http_request *r)
{
    http_reply(r, 200, "text/plain; charset=utf-8", SLICE("echo"));
}

static void buildinfo(struct http_request *r)
{
    http_reply(r, 200, HTTP_JSON,
               SLICE("{\"version\":\"2.8.0\",\"revision\":\"orrery-" ORR_VERSION
                     "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\","
                     "\"orreryVersion\":\"" ORR_VERSION "\"}"));
}

static const struct tempo_route tempo_routes[] = {
#define ROUTE(pattern, handler)                                                                    \
    {                                                                                              \
        pattern, "/tempo" pattern, handler                                                         \
    }
    ROUTE("/api/traces/{id}", tempo_trace),
    ROUTE("/api/v2/traces/{id}", tempo_trace_v2),
    ROUTE("/api/search", tempo_search),
    ROUTE("/api/search/tags", tempo_tags),
    ROUTE("/api/v2/search/tags", tempo_tags_v2),
    ROUTE("/api/search/tag/{name}/values", tempo_values),
    ROUTE("/api/v2/search/tag/{name}/values", tempo_values_v2),
    ROUTE("/api/metrics/query_range", tempo_metrics_range),
    ROUTE("/api/metrics/query", tempo_metrics_instant),
    ROUTE("/api/echo", echo),
    ROUTE("/api/status/buildinfo", buildinfo),
#undef ROUTE
};

void tempo_api_add_routes(struct tempo_api *api, struct http_server *server,
                          const struct tempo_route *routes, size_t n,
                          void (*reply_err)(struct http_request *r, struct err *e))
{
    for (size_t i = 0; i < n; i++) {
        struct http_route route = {.methods = HTTP_GET,
                                   .pattern = routes[i].pattern,
                                   .handler = routes[i].handler,
                                   .reply_err = reply_err,
                                   .arg = api};

        http_server_route(server, &route);
        if (!(route.pattern = routes[i].prefixed))
            continue;
        http_server_route(server, &route);
    }
}

void tempo_api_routes(struct tempo_api *api, struct http_server *server)
{
    tempo_api_add_routes(api, server, tempo_routes, ORR_COUNT(tempo_routes), prom_reply_text_err);
}
