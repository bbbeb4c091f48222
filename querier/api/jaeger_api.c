#include "querier/api/jaeger_api.h"

#include "common/auth/auth.h"
#include "common/base/clock.h"
#include "common/base/promdur.h"
#include "querier/api/jaeger_api_internal.h"

#define HOUR_NS (3600 * NS_PER_S)
#define DEF_SERVICES_NS (72 * HOUR_NS)
#define DEF_OPERATIONS_NS (24 * HOUR_NS)
#define DEF_DEPS_NS (48 * HOUR_NS)

/* ---- frames and errors ---- */

void jaeger_api_open(struct buf *out)
{
    buf_str(out, "{\"data\":[");
}

void jaeger_api_end(struct buf *out, uint64_t total)
{
    buf_printf(out, "],\"total\":%llu,\"limit\":0,\"offset\":0,\"errors\":null}",
               (unsigned long long)total);
}

static int write_err(struct buf *out, struct err *e)
{
    struct buf text = {0};
    int status = prom_error_text(&text, e);

    buf_printf(out,
               "{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":[{\"code\":%d,"
               "\"msg\":",
               status);
    buf_json_str(out, slice_trim(buf_slice(&text)));
    buf_str(out, "}]}");
    buf_done(&text);
    return status;
}

static void reply_err(struct http_request *r, struct err *e)
{
    struct buf b = {0};
    int status = write_err(&b, e);

    if (status == 429 || status == 503)
        http_reply_header(r, "Retry-After", SLICE("1"));
    http_reply_buf(r, status, HTTP_JSON, &b);
}

bool jaeger_api_failed(struct http_request *r, struct err *e)
{
    if (e)
        reply_err(r, e);
    return e != NULL;
}

bool jaeger_api_begin(struct http_request *r, struct slice *ret_tenant)
{
    struct err *e = http_param_check(r);

    if (!e)
        e = auth_single_tenant(r, ret_tenant);
    return !jaeger_api_failed(r, e);
}

void jaeger_api_task(struct http_request *r, struct slice tenant, prom_work_fn *work, void *params)
{
    struct tempo_api *api = r->arg;

    prom_task_raw_json(api->opts.tasks, r, tenant, work, params, write_err);
}

/* ---- parameters ---- */

/* A number of units; absent: def_ns. */
static struct err *number(struct http_request *r, const char *name, int64_t unit_ns, int64_t def_ns,
                          int64_t *ret_ns)
{
    struct slice text = http_param(r, name);
    uint64_t n;

    *ret_ns = def_ns;
    if (!text.len)
        return NULL;
    if (!slice_to_u64(text, &n) || n > (uint64_t)INT64_MAX / (uint64_t)unit_ns)
        return err_new(ERR_INVALID, "unable to parse param '%s': \"%.*s\" is no time", name,
                       SLICE_ARG(slice_sub(text, 0, 64)));
    *ret_ns = (int64_t)n * unit_ns;
    return NULL;
}

static struct err *check_range(const struct tempo_range *range)
{
    return range->end_ns > range->start_ns
               ? NULL
               : err_new(ERR_INVALID, "the end is not behind the start of what is asked for");
}

struct err *jaeger_api_range(struct http_request *r, int64_t def_ns, struct tempo_range *ret)
{
    struct slice lookback = http_param(r, "lookback");
    int64_t now_ns = clock_wall_ns(&clock_system), since_ns = def_ns;
    struct err *e;

    /* "custom" is the UI's word for a start and an end that somebody typed in */
    if (lookback.len && !slice_eq_cstr(lookback, "custom") && !http_param(r, "start").len &&
        (e = promdur_parse(lookback, &since_ns)))
        return err_wrap(e, "unable to parse param 'lookback'");
    if ((e = number(r, "end", NS_PER_US, now_ns, &ret->end_ns)) ||
        (e = number(r, "start", NS_PER_US, ORR_MAX(ret->end_ns - since_ns, (int64_t)0),
                    &ret->start_ns)))
        return e;
    return check_range(ret);
}

/* ---- on a worker ---- */

struct ask_params {
    struct trace_ask ask; /* but the task */
    struct slice service;
    uint8_t kind; /* 0: all */
};

static const char *const kinds[] = {"", "internal", "server", "client", "producer", "consumer"};

static struct trace_ask ask_of(struct prom_task *t)
{
    struct trace_ask q = ((const struct ask_params *)t->params)->ask;

    q.task = t;
    t->content_type = HTTP_JSON;
    return q;
}

static struct err *run_services(struct prom_task *t)
{
    struct trace_ask q = ask_of(t);
    struct slice *names;
    size_t n;
    struct err *e = trace_ask_services(&q, &names, &n);

    if (e)
        return e;
    jaeger_api_open(&t->out);
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_byte(&t->out, ',');
        buf_json_str(&t->out, names[i]);
    }
    jaeger_api_end(&t->out, n);
    return NULL;
}

static struct err *run_names(struct prom_task *t)
{
    const struct ask_params *p = t->params;
    struct trace_ask q = ask_of(t);
    struct trace_ask_operation *list;
    uint64_t total = 0;
    size_t n;
    struct err *e = trace_ask_operations(&q, p->service, &list, &n);

    if (e)
        return e;
    jaeger_api_open(&t->out);
    for (size_t i = 0; i < n; i++) {
        if (i && slice_eq(list[i].name, list[i - 1].name)) /* of another kind */
            continue;
        if (total++)
            buf_byte(&t->out, ',');
        buf_json_str(&t->out, list[i].name);
    }
    jaeger_api_end(&t->out, total);
    return NULL;
}

static struct err *run_operations(struct prom_task *t)
{
    const struct ask_params *p = t->params;
    struct trace_ask q = ask_of(t);
    struct trace_ask_operation *list;
    uint64_t total = 0;
    size_t n;
    struct err *e = trace_ask_operations(&q, p->service, &list, &n);

    if (e)
        return e;
    jaeger_api_open(&t->out);
    for (size_t i = 0; i < n; i++) {
        if (p->kind && list[i].kind != p->kind)
            continue;
        buf_str(&t->out, total++ ? ",{\"name\":" : "{\"name\":");
        buf_json_str(&t->out, list[i].name);
        buf_printf(&t->out, ",\"spanKind\":\"%s\"}",
                   list[i].kind < ORR_COUNT(kinds) ? kinds[list[i].kind] : "");
    }
    jaeger_api_end(&t->out, total);
    return NULL;
}

static struct err *run_dependencies(struct prom_task *t)
{
    struct trace_ask q = ask_of(t);
    const struct tracedeps_edge *edges;
    struct tracedeps *deps;
    struct err *e = trace_ask_deps(&q, &deps);
    size_t n;

    if (e)
        return e;
    edges = tracedeps_edges(deps, &n);
    jaeger_api_open(&t->out);
    for (size_t i = 0; i < n; i++) {
        buf_str(&t->out, i ? ",{\"parent\":" : "{\"parent\":");
        buf_json_str(&t->out, edges[i].parent);
        buf_str(&t->out, ",\"child\":");
        buf_json_str(&t->out, edges[i].child);
        buf_printf(&t->out, ",\"callCount\":%llu}", (unsigned long long)edges[i].calls);
    }
    jaeger_api_end(&t->out, n);
    tracedeps_free(deps);
    return NULL;
}

/* ---- on a loop ---- */

static struct ask_params *params_of(struct http_request *r)
{
    struct ask_params *p = arena_new_of(r->arena, struct ask_params);

    p->ask.api = r->arg;
    return p;
}

static void answer(struct http_request *r, struct ask_params *p, struct err *e, prom_work_fn *work)
{
    struct slice tenant;

    if (!jaeger_api_failed(r, e) && jaeger_api_begin(r, &tenant))
        jaeger_api_task(r, tenant, work, p);
}

static void services(struct http_request *r)
{
    struct ask_params *p = params_of(r);

    answer(r, p, jaeger_api_range(r, DEF_SERVICES_NS, &p->ask.range), run_services);
}

static void service_names(struct http_request *r)
{
    struct ask_params *p = params_of(r);

    p->service = http_request_segment(r, "service");
    answer(r, p, jaeger_api_range(r, DEF_OPERATIONS_NS, &p->ask.range), run_names);
}

static void operations(struct http_request *r)
{
    struct ask_params *p = params_of(r);
    struct slice kind = http_param(r, "spanKind");
    struct err *e = jaeger_api_range(r, DEF_OPERATIONS_NS, &p->ask.range);

    p->service = http_param(r, "service");
    while (kind.len && p->kind < ORR_COUNT(kinds) && !slice_eq_cstr(kind, kinds[p->kind]))
        p->kind++;
    if (!e && !p->service.len)
        e = err_new(ERR_INVALID, "parameter 'service' is required");
    answer(r, p, e, run_operations);
}

static void dependencies(struct http_request *r)
{
    struct ask_params *p = params_of(r);
    struct tempo_range *range = &p->ask.range;
    int64_t lookback_ns;
    struct err *e;

    if (!(e = number(r, "endTs", NS_PER_MS, clock_wall_ns(&clock_system), &range->end_ns)) &&
        !(e = number(r, "lookback", NS_PER_MS, DEF_DEPS_NS, &lookback_ns))) {
        range->start_ns = ORR_MAX(range->end_ns - lookback_ns, (int64_t)0);
        e = check_range(range);
    }
    answer(r, p, e, run_dependencies);
}

static const struct route {
    const char *pattern;
    void (*handler)(struct http_request *r);
} routes[] = {
    {"/jaeger/api/services", services},
    {"/jaeger/api/services/{service}/operations", service_names},
    {"/jaeger/api/operations", operations},
    {"/jaeger/api/traces", jaeger_traces},
    {"/jaeger/api/traces/{id}", jaeger_trace},
    {"/jaeger/api/dependencies", dependencies},
};

void jaeger_api_routes(struct tempo_api *api, struct http_server *server)
{
    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(server, &(struct http_route){.methods = HTTP_GET,
                                                       .pattern = routes[i].pattern,
                                                       .handler = routes[i].handler,
                                                       .reply_err = reply_err,
                                                       .arg = api});
}
