#include "querier/api/prom_task.h"

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/metric.h"

#define RETRY_PAUSE_MS 50

struct prom_tasks {
    struct prom_tasks_opts opts;
    struct job_pool *pool;
    struct lock lock;
    struct map running; /* tasks under way by tenant: a count as pointer */
    struct prom_task *tasks;
    bool is_draining, is_freed;
    loop_fn *drained;
    void *drained_arg;
    struct prom_metrics m;
};

static const struct metric_field prom_fields[] = {
    METRIC_COUNTER(struct prom_metrics, queries, "orrery_querier_requests_total",
                   "Requests of the query API taken on."),
    METRIC_COUNTER(struct prom_metrics, failed, "orrery_querier_failed_requests_total",
                   "Requests of the query API that ended with an error."),
    METRIC_COUNTER(struct prom_metrics, rejected, "orrery_querier_rejected_requests_total",
                   "Requests refused because too many were waiting or under way."),
    METRIC_COUNTER(struct prom_metrics, canceled, "orrery_querier_canceled_requests_total",
                   "Requests whose client went away."),
    METRIC_COUNTER(struct prom_metrics, retried, "orrery_querier_retries_total",
                   "Attempts repeated because too many ingesters failed at once."),
    METRIC_GAUGE(struct prom_metrics, running, "orrery_querier_inflight_requests",
                 "Requests under way, the waiting ones included."),
    METRIC_HIST(struct prom_metrics, seconds, "orrery_querier_request_seconds",
                "Time from request to answer."),
};

/* ---- errors ---- */

static const char *error_type(enum err_code code, int *ret_status)
{
    switch (code) {
    case ERR_INVALID:
    case ERR_MEDIA_TYPE:
    case ERR_METHOD:
    case ERR_TOO_LARGE:
        *ret_status = err_code_http(code);
        return "bad_data";
    case ERR_LIMIT:
    case ERR_UNSUPPORTED:
    case ERR_EXEC:
        *ret_status = 422;
        return "execution";
    case ERR_TIMEOUT:
        *ret_status = 503;
        return "timeout";
    case ERR_CANCELED:
        *ret_status = 499;
        return "canceled";
    case ERR_NOT_FOUND:
        *ret_status = 404;
        return "not_found";
    case ERR_RATE:
        *ret_status = 429;
        return "too_many_requests";
    case ERR_UNAUTHORIZED:
    case ERR_FORBIDDEN:
        *ret_status = err_code_http(code);
        return "unauthorized";
    case ERR_UNAVAILABLE:
    case ERR_NET:
    case ERR_IO:
        *ret_status = 503;
        return "unavailable";
    case ERR_CONFLICT:
    case ERR_INTERNAL:
    case ERR_CORRUPT:
        break;
    }
    *ret_status = 500;
    return "internal";
}

int prom_error_json(struct buf *out, struct err *e)
{
    int status;
    const char *type = error_type(err_code(e), &status);

    buf_printf(out, "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":", type);
    buf_json_str(out, slice_cstr(err_msg(e)));
    buf_byte(out, '}');
    if (status >= 500)
        LOG_WARN(querier, "request failed", KV_ERR(e));
    err_free(e);
    return status;
}

void prom_reply_err(struct http_request *r, struct err *e)
{
    struct buf b = {0};
    int status = prom_error_json(&b, e);

    if (status == 429 || status == 503)
        http_reply_header(r, "Retry-After", SLICE("1"));
    http_reply_buf(r, status, HTTP_JSON, &b);
}

/* ---- the books ---- */

struct prom_tasks *prom_tasks_new(const struct prom_tasks_opts *opts)
{
    struct prom_tasks *ts = mem_new(struct prom_tasks);

    ts->opts = *opts;
    ts->pool = job_pool_new("query", opts->max_concurrent, opts->max_queued);
    lock_init(&ts->lock, LOCK_LEAF_MODULE);
    metric_register(&ts->m, prom_fields, ORR_COUNT(prom_fields), NULL);
    return ts;
}

void prom_tasks_cancel(struct prom_tasks *ts)
{
    lock_take(&ts->lock);
    for (struct prom_task *t = ts->tasks; t; t = t->next)
        atomic_store(&t->cancel, true);
    lock_release(&ts->lock);
}

void prom_tasks_drain(struct prom_tasks *ts, loop_fn *done, void *arg)
{
    bool is_idle;

    lock_take(&ts->lock);
    ts->is_draining = true;
    is_idle = !ts->tasks;
    if (!is_idle) {
        ts->drained = done;
        ts->drained_arg = arg;
    }
    lock_release(&ts->lock);
    if (is_idle)
        done(arg);
}

/* When it has been freed, with the last task: its end may still be on its way to a loop. */
static void tasks_done(struct prom_tasks *ts)
{
    map_done(&ts->running);
    lock_done(&ts->lock);
    mem_free(ts);
}

void prom_tasks_free(struct prom_tasks *ts)
{
    bool is_idle;

    if (!ts)
        return;
    prom_tasks_cancel(ts);
    job_pool_free(ts->pool);
    metric_unregister(&ts->m);
    lock_take(&ts->lock);
    ts->is_freed = true;
    ts->drained = NULL;
    is_idle = !ts->tasks;
    lock_release(&ts->lock);
    if (is_idle)
        tasks_done(ts);
}

const struct prom_tasks_opts *prom_tasks_opts(const struct prom_tasks *ts)
{
    return &ts->opts;
}

void prom_tasks_limits(struct prom_tasks *ts, struct slice tenant, struct tenant_limits *ret)
{
    *ret = (struct tenant_limits){0};
    if (ts->opts.limits)
        limits_get(ts->opts.limits, tenant, ret);
}

static struct err *admit(struct prom_tasks *ts, struct prom_task *t)
{
    uintptr_t max = (uintptr_t)ORR_MAX(t->limits.max_concurrent_queries, 0), n;
    struct err *e = NULL;

    lock_take(&ts->lock);
    n = (uintptr_t)map_get(&ts->running, t->tenant);
    if (ts->is_draining)
        e = err_new(ERR_UNAVAILABLE, "shutting down");
    else if (max && n >= max)
        e = err_new(ERR_RATE,
                    "tenant %.*s has %zu queries under way (limits.max-concurrent-queries)",
                    SLICE_ARG(t->tenant), (size_t)n);
    if (!e) {
        map_put(&ts->running, t->tenant, (void *)(n + 1));
        t->next = ts->tasks;
        if (t->next)
            t->next->prev = t;
        ts->tasks = t;
    }
    lock_release(&ts->lock);
    return e;
}

static void leave(struct prom_tasks *ts, struct prom_task *t)
{
    loop_fn *drained = NULL;
    void *arg;
    uintptr_t n;

    lock_take(&ts->lock);
    if (t->next)
        t->next->prev = t->prev;
    if (t->prev)
        t->prev->next = t->next;
    else
        ts->tasks = t->next;
    if (!ts->tasks) {
        drained = ts->drained;
        ts->drained = NULL;
    }
    arg = ts->drained_arg;
    n = (uintptr_t)map_get(&ts->running, t->tenant);
    if (n > 1)
        map_put(&ts->running, t->tenant, (void *)(n - 1));
    else
        (void)map_del(&ts->running, t->tenant);
    lock_release(&ts->lock);
    if (drained)
        drained(arg);
}

/* ---- on a worker ---- */

static void texts_json(struct buf *out, const char *name, const struct slice *texts, size_t n)
{
    if (!n)
        return;
    buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_byte(out, ',');
        buf_json_str(out, texts[i]);
    }
    buf_byte(out, ']');
}

static struct err *attempt(struct prom_task *t)
{
    const struct prom_tasks_opts *o = &t->tasks->opts;
    struct store_query_opts opts = {
        .tenant = t->tenant,
        .arena = t->arena,
        .shard_size = (unsigned)t->limits.ingestion_tenant_shard_size,
        .max_series = (uint64_t)t->limits.max_fetched_series_per_query,
        .max_bytes = (uint64_t)t->limits.max_fetched_bytes_per_query,
        .deadline_mono_ms = t->deadline_mono_ms,
        .cancel = &t->cancel,
    };
    struct err *e;

    if (t->limits.max_query_lookback_ns > 0)
        opts.min_ms = clock_wall_ms(&clock_system) - t->limits.max_query_lookback_ns / NS_PER_MS;
    buf_reset(&t->out);
    t->out.max_bytes = o->max_response_bytes;
    t->out.is_over = false;
    t->n_warnings = t->n_infos = 0;
    buf_str(&t->out, "{\"status\":\"success\",\"data\":");
    store_query_init(&t->sq, o->store, &opts);
    e = t->work(t);
    for (size_t i = 0; !e && i < t->n_warnings; i++)
        store_query_warn(&t->sq, t->warnings[i]);
    texts_json(&t->out, "warnings", t->sq.warnings.ptr, e ? 0 : t->sq.warnings.len);
    texts_json(&t->out, "infos", t->infos, e ? 0 : t->n_infos);
    store_query_done(&t->sq);
    buf_byte(&t->out, '}');
    if (!e && !buf_ok(&t->out))
        e = err_new(ERR_LIMIT, "the answer is larger than %zu bytes (querier.max-response)",
                    o->max_response_bytes);
    return e;
}

static bool may_try_again(const struct prom_task *t, const struct err *e)
{
    return err_is(e, ERR_UNAVAILABLE) && !atomic_load(&t->cancel) &&
           clock_mono_ms(&clock_system) + RETRY_PAUSE_MS < t->deadline_mono_ms;
}

static struct err *run_attempts(struct prom_task *t)
{
    struct err *e = NULL;

    for (int i = 0; i < PROM_TASK_ATTEMPTS; i++) {
        if (i) {
            struct timespec pause = {.tv_nsec = RETRY_PAUSE_MS * i * NS_PER_MS};

            METRIC_ADD(t->tasks->m.retried, 1);
            err_free(e);
            (void)nanosleep(&pause, NULL);
        }
        t->arena = arena_new(t->tasks->opts.max_memory_bytes);
        e = attempt(t);
        arena_free(t->arena);
        t->arena = NULL;
        if (!e || !may_try_again(t, e))
            break;
    }
    return e;
}

static void on_work(void *arg)
{
    struct prom_task *t = arg;
    struct err *e;

    if (atomic_load(&t->cancel))
        e = err_new(ERR_CANCELED, "query canceled");
    else if (clock_mono_ms(&clock_system) >= t->deadline_mono_ms)
        e = err_new(ERR_TIMEOUT, "query timed out while waiting to be run");
    else
        e = run_attempts(t);
    t->status = 200;
    if (e) {
        METRIC_ADD(t->tasks->m.failed, 1);
        buf_done(&t->out);
        t->status = prom_error_json(&t->out, e);
    }
}

/* ---- on the loop ---- */

static void task_free(struct prom_task *t)
{
    buf_done(&t->out);
    mem_free((void *)t->tenant.ptr);
    mem_free(t);
}

/* The answer of a task that ends after the API was freed: a request is gone with its server, a call
 * still wants to be ended. */
static bool is_forgotten(struct prom_task *t)
{
    bool is_freed, is_last;

    lock_take(&t->tasks->lock);
    is_freed = t->tasks->is_freed;
    is_last = is_freed && !t->prev && !t->next;
    lock_release(&t->tasks->lock);
    if (is_freed && !is_last)
        leave(t->tasks, t);
    else if (is_freed)
        tasks_done(t->tasks);
    return is_freed && t->request;
}

static void on_done(void *arg)
{
    struct prom_task *t = arg;
    struct prom_tasks *ts = t->tasks;
    bool was_freed = ts->is_freed;

    if (is_forgotten(t)) {
        task_free(t);
        return;
    }
    if (!was_freed) {
        METRIC_ADD(ts->m.running, -1);
        metric_hist_observe(&ts->m.seconds,
                            (double)(clock_mono_ms(&clock_system) - t->start_ms) / 1000);
        leave(ts, t);
    }
    if (t->request) {
        if (t->status == 503 || t->status == 429)
            http_reply_header(t->request, "Retry-After", SLICE("1"));
        http_reply_buf(t->request, t->status, HTTP_JSON, &t->out);
    } else {
        rpc_reply_buf(t->call, &t->out);
        mem_free(t->params);
    }
    task_free(t);
}

static void on_http_cancel(struct http_request *r)
{
    struct prom_task *t = r->user;

    METRIC_ADD(t->tasks->m.canceled, 1);
    atomic_store(&t->cancel, true);
}

static void on_rpc_cancel(void *arg)
{
    struct prom_task *t = arg;

    METRIC_ADD(t->tasks->m.canceled, 1);
    atomic_store(&t->cancel, true);
}

static int64_t timeout_of(const struct prom_task *t, int64_t asked_ms)
{
    int64_t max_ms = t->tasks->opts.timeout_ms, tenant_ms = t->limits.query_timeout_ns / NS_PER_MS;

    if (tenant_ms > 0)
        max_ms = ORR_MIN(max_ms, tenant_ms);
    return asked_ms > 0 ? ORR_MIN(asked_ms, max_ms) : max_ms;
}

static struct prom_task *task_new(struct prom_tasks *ts, struct slice tenant, int64_t timeout_ms,
                                  prom_work_fn *work, void *params)
{
    struct prom_task *t = mem_new(struct prom_task);

    t->tasks = ts;
    t->work = work;
    t->params = params;
    t->tenant = slice_of(mem_dup(tenant.ptr, tenant.len), tenant.len);
    t->start_ms = clock_mono_ms(&clock_system);
    prom_tasks_limits(ts, tenant, &t->limits);
    t->deadline_mono_ms = t->start_ms + timeout_of(t, timeout_ms);
    return t;
}

static struct err *submit(struct prom_task *t)
{
    struct prom_tasks *ts = t->tasks;
    struct err *e = admit(ts, t);

    if (!e && (e = job_run(ts->pool, t->loop, on_work, on_done, t))) {
        leave(ts, t);
        e = err_wrap(e, "too many queries are waiting (querier.max-queued)");
    }
    if (e) {
        METRIC_ADD(ts->m.rejected, 1);
        return e;
    }
    METRIC_ADD(ts->m.queries, 1);
    METRIC_ADD(ts->m.running, 1);
    return NULL;
}

void prom_task_http(struct prom_tasks *ts, struct http_request *r, struct slice tenant,
                    int64_t timeout_ms, prom_work_fn *work, void *params)
{
    struct prom_task *t = task_new(ts, tenant, timeout_ms, work, params);
    struct err *e;

    t->request = r;
    t->loop = r->loop;
    r->user = t;
    if ((e = submit(t))) {
        task_free(t);
        prom_reply_err(r, e);
        return;
    }
    /* The answer is posted to this loop, so it cannot have been given before this. */
    r->on_cancel = on_http_cancel;
}

void prom_task_rpc(struct prom_tasks *ts, struct rpc_call *call, struct slice tenant,
                   int64_t timeout_ms, prom_work_fn *work, void *params)
{
    struct prom_task *t = task_new(ts, tenant, timeout_ms, work, params);
    struct err *e;

    t->call = call;
    t->loop = rpc_call_loop(call);
    if ((e = submit(t))) {
        task_free(t);
        mem_free(params);
        rpc_reply_err(call, e);
        return;
    }
    rpc_call_on_cancel(call, on_rpc_cancel, t);
}
