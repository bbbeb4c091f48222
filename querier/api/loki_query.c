/* query, query_range, format_query, the old /api/prom/query; and "querier.query_logs" for rulers. */
#include "common/base/clock.h"
#include "common/base/gostr.h"
#include "common/base/mem.h"
#include "common/lang/logql.h"
#include "common/model/metrics_rpc.h"
#include "common/model/tenant.h"
#include "querier/api/loki_api_internal.h"
#include "querier/api/prom_param.h"
#include "querier/logs/logjson.h"

#define DEF_SINCE_NS (3600 * NS_PER_S)

struct query_params {
    struct loki_api *api;
    struct slice expr;
    struct logremote_range range;
    int64_t step_ns, interval_ns; /* step 0: at one moment */
    uint32_t limit;
    bool is_forward, categorizes;
    bool is_old; /* /api/prom/query */
};

/* ---- on a worker ---- */

static struct err *check_series(const struct prom_task *t, const struct logquery_result *res)
{
    int64_t max = t->limits.max_query_series;

    if (!res->is_metric || max <= 0 || res->metric.n_series <= (uint64_t)max)
        return NULL;
    return err_new(ERR_LIMIT,
                   "maximum number of series (%lld) reached for a single query; consider "
                   "aggregating them, or a narrower selector or time range "
                   "(limits.max-query-series)",
                   (long long)max);
}

static struct err *run(struct prom_task *t, struct logquery_result *ret)
{
    const struct query_params *p = t->params;
    struct logquery q = loki_api_query(p->api, t, p->range);
    struct logremote remote;
    struct err *e;

    q.expr = p->expr;
    q.step_ns = p->step_ns;
    q.interval_ns = p->interval_ns;
    q.is_forward = p->is_forward;
    q.metric_only = !p->step_ns;
    q.limit = p->limit;
    q.max_samples = (uint64_t)t->limits.max_samples_per_query;
    q.max_points = PROM_MAX_POINTS + 1;
    t->kind = p->step_ns ? PROM_TASK_RANGE : PROM_TASK_INSTANT;
    if ((e = loki_api_source(t, p->range, &remote)) ||
        (e = logquery(p->api->engine, &q, &remote.source, t->arena, ret)))
        return e;
    ret->stats.queued_ns = t->queued_ns;
    return check_series(t, ret);
}

static struct err *run_query(struct prom_task *t)
{
    const struct query_params *p = t->params;
    struct logquery_result res;
    struct err *e = run(t, &res);

    if (e)
        return e;
    if (p->is_old) {
        logjson_old(&t->out, &res);
    } else {
        buf_str(&t->out, "{\"status\":\"success\",\"data\":");
        logjson_data(&t->out, &res, p->categorizes);
    }
    loki_api_end(t);
    return NULL;
}

/* The task adds the frame. */
static struct err *run_for_ruler(struct prom_task *t)
{
    struct logquery_result res;
    struct err *e = run(t, &res);

    if (!e)
        logjson_data(&t->out, &res, false);
    return e;
}

/* ---- on a loop ---- */

static struct err *common_params(struct http_request *r, struct query_params *p)
{
    struct err *e;

    p->api = r->arg;
    p->expr = http_param(r, "query");
    if (!p->expr.ptr)
        p->expr = SLICE_EMPTY;
    p->categorizes = loki_api_categorizes(r);
    if ((e = loki_param_limit(http_param(r, "limit"), LOGQUERY_LIMIT, &p->limit)))
        return e;
    return loki_param_direction(http_param(r, "direction"), &p->is_forward);
}

static struct err *range_params(struct http_request *r, struct query_params *p)
{
    struct err *e;

    if ((e = loki_api_range(r, DEF_SINCE_NS, &p->range)) ||
        (e = loki_param_step(http_param(r, "step"), p->range.end_ns - p->range.start_ns, 1,
                             &p->step_ns)) ||
        (e = loki_param_duration("interval", http_param(r, "interval"), 0, &p->interval_ns)))
        return e;
    if (p->interval_ns < 0)
        return err_new(ERR_INVALID, "interval must be >= 0");
    return NULL;
}

void loki_query_range(struct http_request *r)
{
    struct query_params *p = arena_new_of(r->arena, struct query_params);
    struct slice tenant;
    struct err *e;

    if (!loki_api_begin(r, &tenant))
        return;
    if (!(e = range_params(r, p)))
        e = common_params(r, p);
    if (!loki_api_failed(r, e))
        loki_api_task(r, tenant, run_query, p);
}

void loki_query_instant(struct http_request *r)
{
    struct query_params *p = arena_new_of(r->arena, struct query_params);
    struct slice tenant;
    struct err *e;

    if (!loki_api_begin(r, &tenant))
        return;
    e = loki_param_time("time", http_param(r, "time"), clock_wall_ns(&clock_system),
                        &p->range.start_ns);
    p->range.end_ns = p->range.start_ns;
    if (!e)
        e = common_params(r, p);
    if (!loki_api_failed(r, e))
        loki_api_task(r, tenant, run_query, p);
}

/* The query with the parameter regexp as its last line filter. */
static struct err *old_expr(struct http_request *r, struct slice *expr)
{
    struct slice regex = http_param(r, "regexp");
    struct buf text = {0};
    struct logql q = {0};
    struct err *e = logql_parse(r->arena, *expr, &q);

    if (e)
        return e;
    if (q.root->kind != LOGQL_LOGS)
        e = err_new(ERR_INVALID, "legacy endpoints only support streams result type: numbers are "
                                 "for /loki/api/v1/query and query_range");
    logql_print(&text, q.root);
    logql_done(&q);
    if (regex.len) {
        buf_str(&text, " |~ ");
        gostr_quote(&text, regex);
    }
    *expr = arena_dup(r->arena, buf_slice(&text));
    buf_done(&text);
    return e;
}

void loki_query_old(struct http_request *r)
{
    struct query_params *p = arena_new_of(r->arena, struct query_params);
    struct slice tenant;
    struct err *e;

    if (!loki_api_begin(r, &tenant))
        return;
    p->is_old = true;
    if (!(e = range_params(r, p)) && !(e = common_params(r, p)))
        e = old_expr(r, &p->expr);
    if (!loki_api_failed(r, e))
        loki_api_task(r, tenant, run_query, p);
}

void loki_query_format(struct http_request *r)
{
    struct slice text = http_param(r, "query");
    struct buf out = {0}, json = {0};
    struct logql q = {0};
    struct err *e = http_param_check(r);

    if (!e)
        e = logql_parse(r->arena, text.ptr ? text : SLICE_EMPTY, &q);
    if (loki_api_failed(r, e))
        return;
    logql_print_pretty(&out, q.root);
    buf_str(&json, "{\"status\":\"success\",\"data\":");
    buf_json_str(&json, buf_slice(&out));
    buf_byte(&json, '}');
    logql_done(&q); /* before the answer, with which the arena goes */
    buf_done(&out);
    http_reply_buf(r, 200, HTTP_JSON, &json);
}

/* ---- for other processes ---- */

void loki_query_call(void *arg, struct rpc_call *call)
{
    struct loki_api *api = arg;
    struct query_params *p;
    struct rpc_query q;
    int64_t left_ms = rpc_call_left_ms(call);
    struct err *e = tenant_check(rpc_call_tenant(call));

    if (!e)
        e = rpc_query_decode(rpc_call_payload(call), &q);
    if (!e &&
        (q.time_ms > LOKI_TIME_MAX_NS / NS_PER_MS || q.time_ms < -LOKI_TIME_MAX_NS / NS_PER_MS))
        e = err_new(ERR_INVALID, "the time of the query is too far from now");
    if (e) {
        rpc_reply_err(call, e);
        return;
    }
    p = mem_new(struct query_params);
    p->api = api;
    p->expr = q.expr; /* the call's, which lasts until the answer */
    p->range.start_ns = p->range.end_ns = q.time_ms * NS_PER_MS;
    p->limit = LOGQUERY_LIMIT;
    if (q.timeout_ms > 0)
        left_ms = ORR_MIN(left_ms, q.timeout_ms);
    prom_task_rpc(api->tasks, call, rpc_call_tenant(call), ORR_MAX(left_ms, 1), run_for_ruler, p);
}
