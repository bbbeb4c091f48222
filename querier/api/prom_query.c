/* query, query_range, format_query; and "querier.query" for rulers. */
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/lang/promql.h"
#include "common/model/metrics_rpc.h"
#include "common/model/tenant.h"
#include "querier/api/prom_api_internal.h"
#include "querier/api/prom_ast.h"
#include "querier/api/step_tally.h"
#include "querier/engine/result_json.h"

#define AUTO_POINTS 5 /* of aggregates to a step */

struct query_params {
    struct slice expr;
    int64_t start_ms, end_ms, step_ms; /* step 0: instant */
    int64_t lookback_ms, max_resolution_ms;
    uint64_t limit;
    bool with_stats, with_steps; /* stats=…; stats=all */
    bool is_afresh;              /* Cache-Control: no-store */
    bool wants_exact;            /* histograms, for a ruler */
};

/* ---- on a worker ---- */

/* Blocks that this process read, by the resolution of what they hold. */
static void blocks_json(const struct prom_task *t, struct buf *out)
{
    static const char *const names[TIERS] = {"raw", "5m", "1h"};

    for (unsigned tier = 0; tier < TIERS; tier++) {
        uint64_t n = 0;

        for (size_t i = 0; i < t->data.n; i++)
            n += METRIC_GET(t->data.queries[i].budget.tier_blocks[tier]);
        buf_printf(out, "%s\"%s\":%llu", tier ? "," : "", names[tier], (unsigned long long)n);
    }
}

static void skipped_json(const struct prom_task *t, struct buf *out)
{
    for (int reason = 0; reason < BLOCK_SKIP_REASONS; reason++) {
        uint64_t n = 0;

        for (size_t i = 0; i < t->data.n; i++)
            n += METRIC_GET(t->data.queries[i].budget.skipped[reason]);
        buf_printf(out, "%s\"%s\":%llu", reason ? "," : "",
                   block_skip_text((enum block_skip)reason), (unsigned long long)n);
    }
}

/* Sorting is part of the evaluation here, and parsing takes no time worth telling apart. */
static void stats_json(struct prom_task *t, const struct engine_result *res, int64_t eval_ns,
                       const struct step_tally *steps)
{
    double eval_s = (double)eval_ns / NS_PER_S, queue_s = (double)t->queued_ns / NS_PER_S;
    struct buf *out = &t->out;

    out->len -= out->len > 0; /* the brace that closes data */
    buf_printf(out,
               ",\"stats\":{\"timings\":{\"evalTotalTime\":%.9f,\"resultSortTime\":0,"
               "\"queryPreparationTime\":0,\"innerEvalTime\":%.9f,\"execQueueTime\":%.9f,"
               "\"execTotalTime\":%.9f},"
               "\"samples\":{\"totalQueryableSamples\":%llu,\"peakSamples\":%llu",
               eval_s, eval_s, queue_s, queue_s + eval_s, (unsigned long long)res->stats.samples,
               (unsigned long long)res->stats.samples);
    if (steps->n)
        step_tally_json(out, steps);
    buf_printf(out, "},\"series\":%llu,\"peakBytes\":%llu,\"blocks\":{",
               (unsigned long long)res->stats.series, (unsigned long long)res->stats.peak_bytes);
    blocks_json(t, out);
    buf_str(out, "},\"skippedBlocks\":{");
    skipped_json(t, out);
    buf_printf(out, "},\"objectStore\":{\"gets\":%llu,\"bytes\":%llu}}}",
               (unsigned long long)METRIC_GET(t->reads.gets),
               (unsigned long long)METRIC_GET(t->reads.bytes));
}

static struct err *check_length(const struct prom_task *t, const struct query_params *p)
{
    int64_t max_ms = t->limits.max_total_query_length_ns / NS_PER_MS;

    if (max_ms > 0 && p->end_ms - p->start_ms > max_ms)
        return err_new(ERR_LIMIT,
                       "the query's range of %llds is longer than the %llds allowed "
                       "(limits.max-total-query-length)",
                       (long long)(p->end_ms - p->start_ms) / 1000, (long long)max_ms / 1000);
    return NULL;
}

static struct err *hand_on(void *task)
{
    return prom_task_hand_on(task);
}

/* In pieces, if it can be told before the first that the whole is not too large. */
static struct err *result_json(struct prom_task *t, const struct engine_result *res)
{
    const struct query_params *p = t->params;
    bool fits = result_json_estimate(res) < prom_tasks_opts(t->tasks)->max_response_bytes;

    return result_json_pieces(&t->out, res,
                              &(struct result_json_opts){.exact_histograms = p->wants_exact,
                                                         .on_series = fits ? hand_on : NULL,
                                                         .arg = t});
}

static struct err *answer(struct prom_task *t, struct engine_result *res, int64_t eval_ns,
                          const struct step_tally *steps)
{
    const struct query_params *p = t->params;
    struct err *e;

    if (p->limit && res->n_series > p->limit &&
        (res->type == ENGINE_VECTOR || res->type == ENGINE_MATRIX)) {
        res->n_series = p->limit;
        prom_api_warn_truncated(t);
    }
    if ((e = result_json(t, res)))
        return e;
    if (p->with_stats)
        stats_json(t, res, eval_ns, steps);
    t->warnings = res->warnings;
    t->n_warnings = res->n_warnings;
    t->infos = res->infos;
    t->n_infos = res->n_infos;
    return NULL;
}

static struct err *run_query(struct prom_task *t)
{
    const struct query_params *p = t->params;
    struct engine_query q = {.expr = p->expr,
                             .start_ms = p->start_ms,
                             .end_ms = p->end_ms,
                             .step_ms = p->step_ms,
                             .lookback_ms = p->lookback_ms,
                             .max_resolution_ms = p->max_resolution_ms,
                             .max_samples = (uint64_t)t->limits.max_samples_per_query,
                             .max_points = PROM_MAX_POINTS + 1,
                             .deadline_mono_ms = t->deadline_mono_ms,
                             .cancel = &t->cancel};
    int64_t began_ns = clock_mono_ns(&clock_system);
    struct storage *storage = &t->data.storage;
    struct step_tally steps = {.n = 0};
    struct planner_holds holds = {0};
    const struct prom_tasks_opts *opts = prom_tasks_opts(t->tasks);
    struct engine_result res;
    struct err *e = check_length(t, p);

    t->kind = p->step_ms ? PROM_TASK_RANGE : PROM_TASK_INSTANT;
    if (!e && p->with_steps) {
        size_t n = p->step_ms ? (size_t)((p->end_ms - p->start_ms) / p->step_ms) + 1 : 1;
        int64_t lookback_ms =
            p->lookback_ms ? p->lookback_ms : prom_tasks_opts(t->tasks)->lookback_ms;

        step_tally_init(&steps, t->arena, storage, p->start_ms, p->step_ms, n, lookback_ms);
        storage = &steps.storage;
    }
    if (!e && opts->planner && !p->with_steps && t->data.n == 1)
        e = planner_query(opts->planner,
                          &(struct planner_ask){.q = &q,
                                                .limits = &t->limits,
                                                .sq = &t->data.queries[0],
                                                .is_afresh = p->is_afresh || p->with_stats},
                          &holds, &res);
    else if (!e)
        e = engine_query(opts->engine, &q, storage, t->arena, &res);
    if (!e)
        e = answer(t, &res, clock_mono_ns(&clock_system) - began_ns, &steps);
    else if (err_is(e, ERR_INVALID))
        e = err_wrap(e, "invalid parameter \"query\"");
    planner_holds_done(&holds);
    return e;
}

/* ---- on a loop ---- */

static bool wants_afresh(struct slice cache_control)
{
    struct slice one;

    while (slice_split(&cache_control, ',', &one))
        if (slice_eq_nocase(slice_trim(one), SLICE("no-store")))
            return true;
    return false;
}

/* max_source_resolution, as in Thanos: a duration, or "auto", a fifth of the step, so that of what five points stand for
 * goes into each step at least. */
static struct err *resolution_param(struct http_request *r, struct query_params *p)
{
    struct slice text = http_param(r, "max_source_resolution");

    p->max_resolution_ms = p->step_ms / AUTO_POINTS;
    if (text.len == 0 || slice_eq_cstr(text, "auto"))
        return NULL;
    return prom_param_duration("max_source_resolution", text, 0, &p->max_resolution_ms);
}

/*
 * None, a negative one or less than a millisecond is a time that is over before the query begins: an
 * error of its own, which comes after those of the text.
 */
static struct err *timeout_param(struct http_request *r, struct slice expr, int64_t *ret_ms)
{
    struct slice text = http_param(r, "timeout");
    struct promql_options syntax = prom_api_syntax(r);
    struct promql q = {0};
    struct err *e = prom_param_duration("timeout", text, 0, ret_ms);

    if (e || !text.len || *ret_ms > 0)
        return e;
    *ret_ms = PROM_TASK_TOO_LATE;
    if ((e = promql_parse(r->arena, expr, &syntax, &q)))
        return err_wrap(e, "invalid parameter \"query\"");
    promql_done(&q);
    return NULL;
}

static struct err *common_params(struct http_request *r, struct query_params *p,
                                 int64_t *ret_timeout_ms)
{
    struct err *e;

    p->expr = http_param(r, "query");
    if (!p->expr.ptr)
        p->expr = SLICE_EMPTY;
    p->with_stats = http_param(r, "stats").len > 0;
    p->with_steps = slice_eq_cstr(http_param(r, "stats"), "all");
    p->is_afresh = wants_afresh(http_request_header(r, "Cache-Control"));
    if ((e = prom_param_limit("limit", http_param(r, "limit"), &p->limit)) ||
        (e = prom_param_duration("lookback_delta", http_param(r, "lookback_delta"), 0,
                                 &p->lookback_ms)) ||
        (e = timeout_param(r, p->expr, ret_timeout_ms)))
        return e;
    return resolution_param(r, p);
}

static struct err *range_params(struct http_request *r, struct query_params *p)
{
    struct slice step = http_param(r, "step");
    struct err *e;

    if ((e = prom_param_required_time("start", http_param(r, "start"), &p->start_ms)) ||
        (e = prom_param_required_time("end", http_param(r, "end"), &p->end_ms)))
        return e;
    if (!step.len && p->end_ms >= p->start_ms)
        return err_new(ERR_INVALID,
                       "invalid parameter \"step\": cannot parse \"\" to a valid duration");
    if ((e = prom_param_duration("step", step, 0, &p->step_ms)))
        return e;
    return prom_param_check_range(p->start_ms, p->end_ms, p->step_ms);
}

void prom_query_instant(struct http_request *r)
{
    struct query_params *p = arena_new_of(r->arena, struct query_params);
    int64_t timeout_ms;
    struct slice tenant;
    struct err *e;

    if (!prom_api_begin(r, &tenant))
        return;
    e = prom_param_time("time", http_param(r, "time"), clock_wall_ms(&clock_system), &p->start_ms);
    if (!e)
        e = common_params(r, p, &timeout_ms);
    p->end_ms = p->start_ms;
    if (!prom_api_failed(r, e))
        prom_task_http(prom_api_of(r)->tasks, r, tenant, timeout_ms, run_query, p);
}

void prom_query_range(struct http_request *r)
{
    struct query_params *p = arena_new_of(r->arena, struct query_params);
    int64_t timeout_ms;
    struct slice tenant;
    struct err *e;

    if (!prom_api_begin(r, &tenant))
        return;
    if (!(e = range_params(r, p)))
        e = common_params(r, p, &timeout_ms);
    if (!prom_api_failed(r, e))
        prom_task_http(prom_api_of(r)->tasks, r, tenant, timeout_ms, run_query, p);
}

void prom_query_format(struct http_request *r)
{
    struct slice text = http_param(r, "query");
    struct promql_options syntax = prom_api_syntax(r);
    struct buf out = {0}, json = {0};
    struct promql q = {0};
    struct err *e;

    if (prom_api_failed(r, http_param_check(r)))
        return;
    e = promql_parse(r->arena, text.ptr ? text : SLICE_EMPTY, &syntax, &q);
    if (prom_api_failed(r, e ? err_wrap(e, "invalid parameter \"query\"") : NULL))
        return;
    promql_print_pretty(&out, q.root);
    buf_json_str(&json, buf_slice(&out));
    promql_done(&q); /* before the answer, with which the arena goes */
    buf_done(&out);
    prom_api_reply(r, buf_slice(&json));
    buf_done(&json);
}

void prom_query_parse(struct http_request *r)
{
    struct slice text = http_param(r, "query");
    struct promql_options syntax = prom_api_syntax(r);
    struct promql q = {0};
    struct buf out = {0};
    struct err *e;

    if (prom_api_failed(r, http_param_check(r)))
        return;
    e = promql_parse(r->arena, text.ptr ? text : SLICE_EMPTY, &syntax, &q);
    if (prom_api_failed(r, e ? err_wrap(e, "invalid parameter \"query\"") : NULL))
        return;
    prom_ast_json(&out, q.root);
    promql_done(&q); /* before the answer, with which the arena goes */
    prom_api_reply(r, buf_slice(&out));
    buf_done(&out);
}

/* ---- for other processes ---- */

/* Those whose data a ruler asks for: "a|b" is of a group with source_tenants. */
static struct err *tenants_of_call(const struct prom_api *api, struct rpc_call *call,
                                   struct arena *a, struct slice *ret)
{
    struct slice rest = rpc_call_tenant(call), one;
    struct err *e = rest.len ? NULL : tenant_check(rest);

    while (!e && slice_split(&rest, '|', &one))
        e = tenant_check(one);
    return e ? e : prom_tasks_tenants(api->tasks, a, rpc_call_tenant(call), ret);
}

void prom_query_call(void *arg, struct rpc_call *call)
{
    struct prom_api *api = arg;
    struct query_params *p;
    struct rpc_query q;
    int64_t left_ms = rpc_call_left_ms(call);
    struct arena *a = arena_new(0); /* of the tenants' names */
    struct slice tenants;
    struct err *e = tenants_of_call(api, call, a, &tenants);

    if (!e)
        e = rpc_query_decode(rpc_call_payload(call), &q);
    if (e) {
        arena_free(a);
        rpc_reply_err(call, e);
        return;
    }
    p = mem_new(struct query_params);
    p->expr = q.expr; /* the call's, which lasts until the answer */
    p->start_ms = ORR_MAX(-PROM_TIME_MAX_MS, ORR_MIN(PROM_TIME_MAX_MS, q.time_ms));
    p->end_ms = p->start_ms;
    p->wants_exact = q.wants_exact;
    p->is_afresh = true; /* a ruler asks each query once, and waits for nobody */
    if (q.timeout_ms > 0)
        left_ms = ORR_MIN(left_ms, q.timeout_ms);
    prom_task_rpc(api->tasks, call, tenants, ORR_MAX(left_ms, 1), run_query, p);
    arena_free(a);
}
