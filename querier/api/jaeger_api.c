#include "querier/api/jaeger_api.h"

#include "common/auth/auth.h"
#include "common/base/clock.h"
#include "common/base/promdur.h"
#include "common/lang/traceql.h"
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

void jaeger_api_answer(struct http_request *r, struct err *e, prom_work_fn *work, void *params)
{
    struct tempo_api *api = r->arg;
    struct slice tenant;

    if (e || (e = http_param_check(r)) || (e = auth_single_tenant(r, &tenant)))
        reply_err(r, e);
    else
        prom_task_raw_json(api->opts.tasks, r, tenant, work, params, write_err);
}

/* ---- parameters ---- */

static struct err *number(struct http_request *r, const char *name, int64_t def_ns, int64_t *ret_ns)
{
    return err_wrap(trace_param_time(http_param(r, name), NS_PER_US, def_ns, ret_ns),
                    "unable to parse param '%s'", name);
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
    if ((e = number(r, "end", now_ns, &ret->end_ns)) ||
        (e = number(r, "start", ORR_MAX(ret->end_ns - since_ns, (int64_t)0), &ret->start_ns)))
        return e;
    return ret->end_ns > ret->start_ns
               ? NULL
               : err_new(ERR_INVALID, "the end is not behind the start of what is asked for");
}

/* ---- on a worker ---- */

struct ask_params {
    struct trace_ask ask; /* but the task */
    struct slice service;
    uint8_t kind; /* 0: all */
};

static bool is_kind(uint8_t kind)
{
    return kind >= TRACEQL_KIND_INTERNAL && kind <= TRACEQL_KIND_CONSUMER;
}

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
                   is_kind(list[i].kind) ? traceql_kind_text(list[i].kind) : "");
    }
    jaeger_api_end(&t->out, total);
    return NULL;
}

static struct err *run_dependencies(struct prom_task *t)
{
    struct trace_ask q = ask_of(t);
    struct err *e;
    uint64_t n;

    jaeger_api_open(&t->out);
    if (!(e = trace_ask_put_deps(&q, false, &n)))
        jaeger_api_end(&t->out, n);
    return e;
}

/* ---- on a loop ---- */

static struct ask_params *params_of(struct http_request *r)
{
    struct ask_params *p = arena_new_of(r->arena, struct ask_params);

    p->ask.api = r->arg;
    return p;
}

static void services(struct http_request *r)
{
    struct ask_params *p = params_of(r);

    jaeger_api_answer(r, jaeger_api_range(r, DEF_SERVICES_NS, &p->ask.range), run_services, p);
}

static void service_names(struct http_request *r)
{
    struct ask_params *p = params_of(r);

    p->service = http_request_segment(r, "service");
    jaeger_api_answer(r, jaeger_api_range(r, DEF_OPERATIONS_NS, &p->ask.range), run_names, p);
}

static void operations(struct http_request *r)
{
    struct ask_params *p = params_of(r);
    struct slice kind = http_param(r, "spanKind");
    struct err *e = jaeger_api_range(r, DEF_OPERATIONS_NS, &p->ask.range);

    p->service = http_param(r, "service");
    p->kind = kind.len != 0;
    while (is_kind(p->kind) && !slice_eq_cstr(kind, traceql_kind_text(p->kind)))
        p->kind++; /* what is none of them no operation has */
    if (!e && !p->service.len)
        e = err_new(ERR_INVALID, "parameter 'service' is required");
    jaeger_api_answer(r, e, run_operations, p);
}

static void dependencies(struct http_request *r)
{
    struct ask_params *p = params_of(r);

    jaeger_api_answer(r, trace_param_range(r, DEF_DEPS_NS, &p->ask.range), run_dependencies, p);
}

static const struct tempo_route routes[] = {
    {"/jaeger/api/services", NULL, services},
    {"/jaeger/api/services/{service}/operations", NULL, service_names},
    {"/jaeger/api/operations", NULL, operations},
    {"/jaeger/api/traces", NULL, jaeger_traces},
    {"/jaeger/api/traces/{id}", NULL, jaeger_trace},
    {"/jaeger/api/dependencies", NULL, dependencies},
};

void jaeger_api_routes(struct tempo_api *api, struct http_server *server)
{
    tempo_api_add_routes(api, server, routes, ORR_COUNT(routes), reply_err);
}
