/*
 * delete: POST and PUT (query, start, end, max_interval) ask for lines to be deleted, GET lists what was asked for, DELETE (request_id,
 * force) takes one back. Parameters, statuses and JSON are Loki's; what is deleted is a tombstone of the signal "logs"
 * (common/block/tombstone_list.h), with the query in it.
 *
 * When 204 is given the deletion is durable, and the queriers that could be reached go by it: its lines are in no answer. Its query is a
 * selector, or one with a pipeline: then it is about the lines that come through. Times are in ms: a line at any ns of the first
 * and the last is meant. An end in the future is refused, as by Loki.
 *
 * It can be taken back as long as no compactor has begun to leave its lines out of blocks (compactor.delete-rewrite-after); after that
 * with force=true, and what is gone by then stays gone. A processed one stays on the list for a while, and hides nothing.
 *
 *   status   received   nothing is left out of a block yet
 *            0% Complete   the compactor has begun
 *            processed
 *
 * max_interval cuts a request in Loki into several; here it is checked and has no effect. A tenant whose deletion_mode is disabled is
 * answered 403.
 */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/lang/logql.h"
#include "common/logs/pipeline.h"
#include "querier/api/loki_api_internal.h"
#include "querier/api/tomb_change.h"
#include "querier/engine/result_json.h"

#define SIGNAL SLICE("logs")
#define MAX_QUERY_BYTES (64u << 10) /* all queries of a tenant share TOMBSTONE_LIST_MAX_BYTES */

struct delete_params {
    struct slice query;
    int64_t start_ms, end_ms, interval_ms;
    bool has_interval;
    /* of DELETE */
    struct slice request_id;
    bool is_forced;
};

/* ---- asking for it, on a worker ---- */

/* Whether each part of the pipeline compiles. */
static struct err *check_pipeline(struct arena *a, const struct logql_logs *logs)
{
    struct pipeline *p;
    struct err *e = pipeline_make(a, logs, NULL, &p);

    if (!e)
        pipeline_done(p);
    return e;
}

/* Loki cuts only what it has to look into: a selector alone has no intervals. */
static struct err *check_interval(const struct delete_params *p, const struct logql_logs *logs)
{
    int64_t length_ms = p->end_ms - p->start_ms;

    if (!p->has_interval || !logs->n_stages)
        return NULL;
    if (p->interval_ms < 1000)
        return err_new(ERR_INVALID, "invalid max_interval: it is at least 1s");
    if (p->interval_ms > length_ms)
        return err_new(ERR_INVALID,
                       "max_interval can't be greater than the interval to be deleted (%.3fs)",
                       (double)length_ms / 1e3);
    return NULL;
}

static struct err *add(struct prom_task *t, const struct logql_logs *logs)
{
    const struct delete_params *p = t->params;
    int64_t now_ms = clock_wall_ms(&clock_system);
    const struct tombstone tomb = {.ulid = tomb_change_id(now_ms),
                                   .created_ms = now_ms,
                                   .min_ms = p->start_ms,
                                   .max_ms = p->end_ms,
                                   .matchers = logs->matchers,
                                   .query = p->query};
    struct tombstone_list *one = tombstone_list_new(t->tenant);
    uint64_t version;
    struct err *e = tombstone_list_add(one, &tomb);

    if (!e && !(e = tomb_change_make(t, SIGNAL, &(struct tombstone_change){.add = one}, &version)))
        LOG_INFO(querier, "log lines deleted", KV_SLICE("tenant", t->tenant),
                 KV_STR("tombstone", ulid_print(tomb.ulid).s), KV_U64("version", version));
    tombstone_list_unref(one);
    return e;
}

static struct err *run_add(struct prom_task *t)
{
    const struct delete_params *p = t->params;
    struct logql q;
    struct err *e = logql_parse(t->arena, p->query, &q);

    if (e)
        return err_wrap(e, "invalid query expression");
    t->success_status = 204;
    if (q.root->kind != LOGQL_LOGS)
        e = err_new(ERR_INVALID, "unsupported query expression: what is deleted is lines, so the "
                                 "query is a selector, or a selector with a pipeline");
    else if ((e = check_pipeline(t->arena, &q.root->u.logs)))
        e = err_wrap(e, "invalid query expression");
    else if (!(e = check_interval(p, &q.root->u.logs)))
        e = add(t, &q.root->u.logs);
    logql_done(&q);
    return e;
}

/* ---- the list ---- */

static const char *status_of(const struct tombstone *tomb)
{
    static const char *const names[] = {[TOMBSTONE_RECEIVED] = "received",
                                        [TOMBSTONE_BEGUN] = "0% Complete",
                                        [TOMBSTONE_PROCESSED] = "processed"};
    static_assert(ORR_COUNT(names) == TOMBSTONE_STATE_COUNT, "a name each");

    return names[tomb->state];
}

static void put_request(struct buf *out, const struct tombstone *tomb)
{
    struct buf text = {0};

    if (tomb->query.len)
        buf_slice_append(&text, tomb->query);
    else
        matchers_text(&text, tomb->matchers);
    buf_printf(out, "{\"request_id\":\"%s\",\"start_time\":", ulid_print(tomb->ulid).s);
    result_json_time(out, tomb->min_ms);
    buf_str(out, ",\"end_time\":");
    result_json_time(out, tomb->max_ms);
    buf_str(out, ",\"query\":");
    buf_json_str(out, buf_slice(&text));
    buf_printf(out, ",\"status\":\"%s\",\"created_at\":", status_of(tomb));
    result_json_time(out, tomb->created_ms);
    buf_byte(out, '}');
    buf_done(&text);
}

static struct err *run_list(struct prom_task *t)
{
    struct tombstone_list *l;
    struct err *e = tomb_change_list(t, SIGNAL, &l);
    const struct tombstone *all;
    size_t n;

    if (e)
        return e;
    t->content_type = HTTP_JSON;
    all = tombstone_list_all(l, &n);
    buf_byte(&t->out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_byte(&t->out, ',');
        put_request(&t->out, &all[i]);
    }
    buf_byte(&t->out, ']');
    tombstone_list_unref(l);
    return NULL;
}

/* ---- taking it back ---- */

static struct err *check_state(const struct tombstone_list *l, struct ulid id, bool is_forced)
{
    const struct tombstone *t = tombstone_list_find(l, id);

    if (!t)
        return err_new(ERR_NOT_FOUND, "could not find delete request with given id");
    if (t->state == TOMBSTONE_PROCESSED)
        return err_new(ERR_INVALID, "deletion of request which is in process or already "
                                    "processed is not allowed");
    if (t->state == TOMBSTONE_BEGUN && !is_forced)
        return err_new(ERR_INVALID, "Unable to cancel partially completed delete request. To "
                                    "force, use the ?force query parameter");
    return NULL;
}

static struct err *run_cancel(struct prom_task *t)
{
    const struct delete_params *p = t->params;
    struct tombstone_list *l = NULL;
    struct ulid id;
    struct err *e = NULL;

    if (!ulid_parse(p->request_id, &id))
        e = err_new(ERR_NOT_FOUND, "could not find delete request with given id");
    if (!e && !(e = tomb_change_list(t, SIGNAL, &l)) && !(e = check_state(l, id, p->is_forced)))
        e = tomb_change_make(
            t, SIGNAL,
            &(struct tombstone_change){.gone = &id, .n_gone = 1, .is_forced = p->is_forced}, NULL);
    if (!e)
        LOG_INFO(querier, "deletion of log lines taken back", KV_SLICE("tenant", t->tenant),
                 KV_STR("tombstone", ulid_print(id).s));
    tombstone_list_unref(l);
    t->success_status = 204;
    return e;
}

/* ---- on a loop ---- */

static bool begin(struct http_request *r, struct slice *ret_tenant)
{
    const struct loki_api *api = r->arg;
    const struct prom_tasks_opts *o = prom_tasks_opts(api->tasks);
    enum tenant_deletion mode = TENANT_DELETION_FILTER_AND_DELETE;
    struct tenant_rules *rules;
    struct err *e = NULL;

    if (!loki_api_begin(r, ret_tenant))
        return false;
    if (o->limits) {
        rules = limits_rules(o->limits, *ret_tenant);
        mode = tenant_rules_deletion(rules);
        tenant_rules_unref(rules);
    }
    if (mode == TENANT_DELETION_DISABLED)
        e = err_new(ERR_FORBIDDEN,
                    "deletion is not available for this tenant (limits.deletion-mode)");
    else if (!o->admin.objstore)
        e = err_new(ERR_UNAVAILABLE, "there is no bucket for deletions to be kept in");
    return !loki_api_failed(r, e);
}

static struct err *read_times(struct http_request *r, struct delete_params *p)
{
    int64_t now_ns = clock_wall_ns(&clock_system), start_ns, end_ns;
    struct slice interval = http_param(r, "max_interval");
    struct err *e;

    if (!http_param(r, "start").len)
        return err_new(ERR_INVALID, "start time not set");
    if ((e = loki_param_time("start", http_param(r, "start"), 0, &start_ns)) ||
        (e = loki_param_time("end", http_param(r, "end"), now_ns, &end_ns)) ||
        (e = loki_param_duration("max_interval", interval, 0, &p->interval_ms)))
        return e;
    if (end_ns > now_ns)
        return err_new(ERR_INVALID, "deletes in the future are not allowed");
    if (start_ns > end_ns)
        return err_new(ERR_INVALID, "start time can't be greater than end time");
    p->start_ms = logblock_ms(start_ns);
    p->end_ms = logblock_ms(end_ns);
    p->interval_ms /= NS_PER_MS;
    p->has_interval = interval.len != 0;
    return NULL;
}

void loki_delete_add(struct http_request *r)
{
    struct delete_params *p = arena_new_of(r->arena, struct delete_params);
    struct slice tenant;
    struct err *e = NULL;

    if (!begin(r, &tenant))
        return;
    p->query = http_param(r, "query");
    if (!p->query.len)
        e = err_new(ERR_INVALID, "query not set");
    else if (p->query.len > MAX_QUERY_BYTES)
        e = err_new(ERR_INVALID, "the query has %zu bytes, and that of a deletion at most %u",
                    p->query.len, MAX_QUERY_BYTES);
    if (!e)
        e = read_times(r, p);
    if (!loki_api_failed(r, e))
        loki_api_task(r, tenant, run_add, p);
}

void loki_delete_list(struct http_request *r)
{
    struct slice tenant;

    if (begin(r, &tenant))
        loki_api_task(r, tenant, run_list, NULL);
}

void loki_delete_cancel(struct http_request *r)
{
    struct delete_params *p = arena_new_of(r->arena, struct delete_params);
    struct slice tenant;

    if (!begin(r, &tenant))
        return;
    p->request_id = http_param(r, "request_id");
    p->is_forced = slice_eq_cstr(http_param(r, "force"), "true");
    loki_api_task(r, tenant, run_cancel, p);
}
