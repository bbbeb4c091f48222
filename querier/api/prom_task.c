#include "querier/api/prom_task.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/base/spell.h"

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
    METRIC_COUNTER(struct prom_metrics, streamed_bytes, "orrery_querier_streamed_bytes_total",
                   "Bytes of answers sent while they were being made."),
    METRIC_GAUGE(struct prom_metrics, running, "orrery_querier_inflight_requests",
                 "Requests under way, the waiting ones included."),
    METRIC_HIST(struct prom_metrics, seconds, "orrery_querier_request_seconds",
                "Time from request to answer."),
};

static const struct metric_field read_fields[] = {
    METRIC_COUNTER(struct prom_reads, gets, "orrery_querier_objstore_gets_total",
                   "Reads of the object store, by the kind of request that they were made for."),
    METRIC_COUNTER(struct prom_reads, bytes, "orrery_querier_objstore_read_bytes_total",
                   "Bytes read from the object store, by the kind of request."),
};
static const char *const kind_names[] = {
#define X(sym, name) name,
    PROM_TASK_KINDS(X)
#undef X
};

static void register_metrics(struct prom_tasks *ts)
{
    metric_register(&ts->m, prom_fields, ORR_COUNT(prom_fields), NULL);
    for (size_t i = 0; i < PROM_TASK_KIND_COUNT; i++) {
        char labels[32];

        (void)snprintf(labels, sizeof(labels), "kind=\"%s\"", kind_names[i]);
        metric_register(&ts->m.reads[i], read_fields, ORR_COUNT(read_fields), labels);
    }
}

static void unregister_metrics(struct prom_tasks *ts)
{
    metric_unregister(&ts->m);
    for (size_t i = 0; i < PROM_TASK_KIND_COUNT; i++)
        metric_unregister(&ts->m.reads[i]);
}

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

/* Each failed request is counted; while the bucket or the ingesters are away their askers need no line each. */
static void tell(const struct err *e)
{
    static struct spell trouble;
    uint64_t left_out;

    if (spell_tells(&trouble, "request", e, clock_mono_ms(&clock_system), &left_out))
        LOG_WARN(querier, "request failed", KV_U64("skipped", left_out), KV_ERR(e));
}

int prom_error_json(struct buf *out, struct err *e)
{
    int status;
    const char *type = error_type(err_code(e), &status);

    buf_printf(out, "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":", type);
    buf_json_str(out, slice_cstr(err_msg(e)));
    buf_byte(out, '}');
    if (status >= 500)
        tell(e);
    err_free(e);
    return status;
}

int prom_error_text(struct buf *out, struct err *e)
{
    int status;

    (void)error_type(err_code(e), &status);
    buf_printf(out, "%s\n", err_msg(e));
    if (status >= 500)
        tell(e);
    err_free(e);
    return status;
}

static void reply_err(struct http_request *r, struct err *e, prom_error_fn *write_err,
                      const char *content_type)
{
    struct buf b = {0};
    int status = write_err(&b, e);

    if (status == 429 || status == 503)
        http_reply_header(r, "Retry-After", SLICE("1"));
    http_reply_buf(r, status, content_type, &b);
}

void prom_reply_err_as(struct http_request *r, struct err *e, prom_error_fn *write_err)
{
    reply_err(r, e, write_err, HTTP_TEXT);
}

void prom_reply_text_err(struct http_request *r, struct err *e)
{
    prom_reply_err_as(r, e, prom_error_text);
}

void prom_reply_err(struct http_request *r, struct err *e)
{
    reply_err(r, e, prom_error_json, HTTP_JSON);
}

/* ---- the books ---- */

struct prom_tasks *prom_tasks_new(const struct prom_tasks_opts *opts)
{
    struct prom_tasks *ts = mem_new(struct prom_tasks);

    ts->opts = *opts;
    if (!ts->opts.lookback_ms)
        ts->opts.lookback_ms = 5 * 60 * 1000;
    ts->pool = job_pool_new("query", opts->max_concurrent, opts->max_queued);
    lock_init(&ts->lock, LOCK_LEAF_MODULE);
    register_metrics(ts);
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
    unregister_metrics(ts);
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

/* The lesser of two limits, of which 0 is none. */
static int64_t least(int64_t a, int64_t b)
{
    return a <= 0 ? b : b <= 0 ? a : ORR_MIN(a, b);
}

static void tighten(struct tenant_limits *io, const struct tenant_limits *one)
{
    io->max_query_lookback_ns = least(io->max_query_lookback_ns, one->max_query_lookback_ns);
    io->max_total_query_length_ns =
        least(io->max_total_query_length_ns, one->max_total_query_length_ns);
    io->query_timeout_ns = least(io->query_timeout_ns, one->query_timeout_ns);
    io->max_concurrent_queries = least(io->max_concurrent_queries, one->max_concurrent_queries);
    io->max_samples_per_query = least(io->max_samples_per_query, one->max_samples_per_query);
    io->max_fetched_series_per_query =
        least(io->max_fetched_series_per_query, one->max_fetched_series_per_query);
    io->max_fetched_bytes_per_query =
        least(io->max_fetched_bytes_per_query, one->max_fetched_bytes_per_query);
    /* how many ingesters are asked: 0 is all, and so many as the widest spread needs */
    if (io->ingestion_tenant_shard_size && one->ingestion_tenant_shard_size)
        io->ingestion_tenant_shard_size =
            ORR_MAX(io->ingestion_tenant_shard_size, one->ingestion_tenant_shard_size);
    else
        io->ingestion_tenant_shard_size = 0;
}

void prom_tasks_limits(struct prom_tasks *ts, struct slice tenant, struct tenant_limits *ret)
{
    struct slice rest = tenant, one;
    bool is_first = true;

    *ret = (struct tenant_limits){0};
    while (ts->opts.limits && slice_split(&rest, '|', &one)) {
        struct tenant_limits l;

        limits_get(ts->opts.limits, one, &l);
        if (is_first)
            *ret = l;
        else
            tighten(ret, &l);
        is_first = false;
    }
}

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

struct err *prom_tasks_tenants(const struct prom_tasks *ts, struct arena *a, struct slice sent,
                               struct slice *ret)
{
    struct slice *list = arena_array(a, struct slice, sent.len + 1), rest = sent, one;
    size_t n = 0, out = 0, max = ORR_MAX(ts->opts.max_tenants, 1);
    struct buf b = {0};

    while (slice_split(&rest, '|', &one))
        list[n++] = one;
    if (n > 1)
        qsort(list, n, sizeof(*list), by_bytes);
    for (size_t i = 0; i < n; i++) {
        if (out && slice_eq(list[out - 1], list[i]))
            continue;
        if (out)
            buf_byte(&b, '|');
        buf_slice_append(&b, list[i]);
        list[out++] = list[i];
    }
    *ret = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    if (out > max && max == 1)
        return err_new(ERR_INVALID, "several tenants are joined, and this querier does not read "
                                    "across tenants (querier.tenant-federation)");
    if (out > max)
        return err_new(ERR_INVALID,
                       "%zu tenants are joined, and at most %zu may be "
                       "(querier.tenant-federation-max-tenants)",
                       out, max);
    return NULL;
}

/* With the lock. */
static struct err *check_room(struct prom_tasks *ts, struct prom_task *t)
{
    uintptr_t max = (uintptr_t)ORR_MAX(t->limits.max_concurrent_queries, 0);

    for (size_t i = 0; max && i < t->n_tenants; i++) {
        uintptr_t n = (uintptr_t)map_get(&ts->running, t->tenants[i]);

        if (n >= max)
            return err_new(ERR_RATE,
                           "tenant %.*s has %zu queries under way (limits.max-concurrent-queries)",
                           SLICE_ARG(t->tenants[i]), (size_t)n);
    }
    return ts->is_draining ? err_new(ERR_UNAVAILABLE, "shutting down") : NULL;
}

static struct err *admit(struct prom_tasks *ts, struct prom_task *t)
{
    struct err *e;

    lock_take(&ts->lock);
    if (!(e = check_room(ts, t))) {
        for (size_t i = 0; i < t->n_tenants; i++) {
            void **slot = map_slot(&ts->running, t->tenants[i]);

            *slot = (void *)((uintptr_t)*slot + 1);
        }
        t->next = ts->tasks;
        if (t->next)
            t->next->prev = t;
        ts->tasks = t;
    }
    lock_release(&ts->lock);
    return e;
}

/* With the lock. */
static void discharge(struct prom_tasks *ts, struct slice tenant)
{
    uintptr_t n = (uintptr_t)map_get(&ts->running, tenant);

    if (n > 1)
        map_put(&ts->running, tenant, (void *)(n - 1));
    else
        (void)map_del(&ts->running, tenant);
}

static void leave(struct prom_tasks *ts, struct prom_task *t)
{
    loop_fn *drained = NULL;
    void *arg;

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
    for (size_t i = 0; i < t->n_tenants; i++)
        discharge(ts, t->tenants[i]);
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

static void end_frame(struct prom_task *t)
{
    for (size_t i = 0; i < t->n_warnings; i++)
        joined_warn(&t->data, t->warnings[i]);
    joined_gather_warnings(&t->data);
    /* a list that went out in pieces has kept to its bound by itself */
    if (t->sent_bytes)
        t->out.max_bytes = 0;
    texts_json(&t->out, "warnings", t->data.warnings.ptr, t->data.warnings.len);
    texts_json(&t->out, "infos", t->infos, t->n_infos);
    buf_byte(&t->out, '}');
}

static struct err *too_large(const struct prom_task *t)
{
    return err_new(ERR_LIMIT, "the answer is larger than %zu bytes (querier.max-response)",
                   t->tasks->opts.max_response_bytes);
}

static struct err *send_piece(struct prom_task *t, bool waits)
{
    size_t n = t->out.len;
    struct err *e;

    if (!t->pipe || n < REPLY_PIPE_PIECE || !buf_ok(&t->out))
        return NULL;
    if (waits && (e = reply_pipe_wait(t->pipe)))
        return e;
    reply_pipe_put(t->pipe, t->content_type ? t->content_type : HTTP_JSON, &t->out);
    t->sent_bytes += n;
    METRIC_ADD(t->tasks->m.streamed_bytes, n);
    return NULL;
}

struct err *prom_task_flush(struct prom_task *t)
{
    struct err *e = send_piece(t, true);

    t->out.max_bytes = t->tasks->opts.max_response_bytes;
    return e;
}

struct err *prom_task_hand_on(struct prom_task *t)
{
    size_t max = t->tasks->opts.max_response_bytes;
    struct err *e = send_piece(t, false);

    if (e || !t->sent_bytes)
        return e;
    if (t->sent_bytes >= max)
        return too_large(t);
    t->out.max_bytes = max - t->sent_bytes;
    if (t->out.len == 0 && t->out.max_bytes > REPLY_PIPE_PIECE * 2)
        (void)buf_reserve(&t->out, /* at once, or it is moved at every growth */
                          REPLY_PIPE_PIECE + REPLY_PIPE_PIECE / 4);
    return NULL;
}

bool prom_task_is_full(const struct prom_task *t)
{
    return t->sent_bytes + t->out.len >= t->tasks->opts.max_response_bytes;
}

struct store_query_opts prom_tasks_query_opts(const struct tenant_limits *l)
{
    struct store_query_opts opts = {
        .shard_size = (unsigned)l->ingestion_tenant_shard_size,
        .max_series = (uint64_t)l->max_fetched_series_per_query,
        .max_bytes = (uint64_t)l->max_fetched_bytes_per_query,
    };

    if (l->max_query_lookback_ns > 0)
        opts.min_ms = clock_wall_ms(&clock_system) - l->max_query_lookback_ns / NS_PER_MS;
    return opts;
}

static struct err *attempt(struct prom_task *t)
{
    const struct prom_tasks_opts *o = &t->tasks->opts;
    struct store_query_opts opts = prom_tasks_query_opts(&t->limits);
    struct err *e;

    opts.arena = t->arena;
    opts.deadline_mono_ms = t->deadline_mono_ms;
    opts.cancel = &t->cancel;
    buf_reset(&t->out);
    t->out.max_bytes = o->max_response_bytes;
    t->out.is_over = false;
    t->n_warnings = t->n_infos = 0;
    if (!t->is_raw)
        buf_str(&t->out, "{\"status\":\"success\",\"data\":");
    joined_init(&t->data, o->store, &opts, t->tenants, t->n_tenants);
    e = t->work(t);
    if (!e && !t->is_raw)
        end_frame(t);
    joined_done(&t->data);
    if (!e && !buf_ok(&t->out))
        e = too_large(t);
    return e;
}

static bool may_try_again(const struct prom_task *t, const struct err *e)
{
    return err_is(e, ERR_UNAVAILABLE) && !t->sent_bytes && !atomic_load(&t->cancel) &&
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

static struct err *run_counted(struct prom_task *t)
{
    struct objstore_tally *before = objstore_tally_set(&t->reads);
    struct err *e = run_attempts(t);

    (void)objstore_tally_set(before);
    METRIC_ADD(t->tasks->m.reads[t->kind].gets, t->reads.gets);
    METRIC_ADD(t->tasks->m.reads[t->kind].bytes, t->reads.bytes);
    return e;
}

static void on_work(void *arg)
{
    struct prom_task *t = arg;
    struct err *e;

    t->queued_ns = clock_mono_ns(&clock_system) - t->start_ns;
    if (atomic_load(&t->cancel))
        e = err_new(ERR_CANCELED, "query canceled");
    else if (clock_mono_ms(&clock_system) >= t->deadline_mono_ms)
        e = err_new(ERR_TIMEOUT, "query timed out while waiting to be run");
    else
        e = run_counted(t);
    t->status = 200;
    if (e) {
        METRIC_ADD(t->tasks->m.failed, 1);
        buf_done(&t->out);
        t->status = t->is_raw ? t->write_err(&t->out, e) : prom_error_json(&t->out, e);
    }
}

/* ---- on the loop ---- */

static void task_free(struct prom_task *t)
{
    buf_done(&t->out);
    mem_free(t->tenants);
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

static void reply(struct prom_task *t)
{
    const char *type = HTTP_JSON;

    if (t->status == 200 && t->success_status == 204) {
        reply_pipe_free(t->pipe);
        http_reply(t->request, 204, NULL, SLICE_EMPTY);
        return;
    }
    if (reply_pipe_has_begun(t->pipe)) {
        reply_pipe_end(t->pipe, buf_slice(&t->out), t->status == 200);
        return;
    }
    reply_pipe_free(t->pipe);
    if (t->is_raw)
        type = t->status == 200 ? t->content_type : t->error_type ? t->error_type : HTTP_TEXT;
    if (t->status == 503 || t->status == 429)
        http_reply_header(t->request, "Retry-After", SLICE("1"));
    if (t->status == 200 && t->content_encoding)
        http_reply_header(t->request, "Content-Encoding", slice_cstr(t->content_encoding));
    http_reply_buf(t->request, t->status, type, &t->out);
}

static void on_done(void *arg)
{
    struct prom_task *t = arg;
    struct prom_tasks *ts = t->tasks;
    bool was_freed = ts->is_freed;

    if (is_forgotten(t)) {
        reply_pipe_free(t->pipe);
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
        reply(t);
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
    reply_pipe_gone(t->pipe);
}

static void on_http_drain(struct http_request *r)
{
    struct prom_task *t = r->user;

    reply_pipe_drained(t->pipe);
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
    if (asked_ms == PROM_TASK_TOO_LATE)
        return 0;
    return asked_ms > 0 ? ORR_MIN(asked_ms, max_ms) : max_ms;
}

static struct prom_task *task_new(struct prom_tasks *ts, struct slice tenant, int64_t timeout_ms,
                                  prom_work_fn *work, void *params)
{
    struct prom_task *t = mem_new(struct prom_task);
    struct slice rest, one;

    t->tasks = ts;
    t->work = work;
    t->params = params;
    t->tenant = slice_of(mem_dup(tenant.ptr, tenant.len), tenant.len);
    t->tenants = mem_new_array(struct slice, tenant.len + 1);
    rest = t->tenant;
    while (slice_split(&rest, '|', &one))
        t->tenants[t->n_tenants++] = one;
    t->start_ns = clock_mono_ns(&clock_system);
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

static void begin_http(struct prom_task *t, struct http_request *r)
{
    struct err *e;

    t->request = r;
    t->loop = r->loop;
    t->pipe = reply_pipe_new(r, &t->cancel, t->deadline_mono_ms, on_http_drain);
    r->user = t;
    if (!(e = submit(t))) {
        /* The answer is posted to this loop, so it cannot have been given before this. */
        r->on_cancel = on_http_cancel;
        return;
    }
    reply_pipe_free(t->pipe);
    if (t->is_raw)
        reply_err(r, e, t->write_err, t->error_type ? t->error_type : HTTP_TEXT);
    else
        prom_reply_err(r, e);
    task_free(t);
}

void prom_task_http(struct prom_tasks *ts, struct http_request *r, struct slice tenant,
                    int64_t timeout_ms, prom_work_fn *work, void *params)
{
    begin_http(task_new(ts, tenant, timeout_ms, work, params), r);
}

void prom_task_raw_as(struct prom_tasks *ts, struct http_request *r, struct slice tenant,
                      int64_t timeout_ms, prom_work_fn *work, void *params,
                      prom_error_fn *write_err)
{
    struct prom_task *t = task_new(ts, tenant, timeout_ms, work, params);

    t->is_raw = true;
    t->write_err = write_err;
    t->content_type = HTTP_TEXT;
    begin_http(t, r);
}

void prom_task_raw_json(struct prom_tasks *ts, struct http_request *r, struct slice tenant,
                        prom_work_fn *work, void *params, prom_error_fn *write_err)
{
    struct prom_task *t = task_new(ts, tenant, 0, work, params);

    t->is_raw = true;
    t->write_err = write_err;
    t->content_type = t->error_type = HTTP_JSON;
    begin_http(t, r);
}

void prom_task_raw(struct prom_tasks *ts, struct http_request *r, struct slice tenant,
                   int64_t timeout_ms, prom_work_fn *work, void *params)
{
    prom_task_raw_as(ts, r, tenant, timeout_ms, work, params, prom_error_text);
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
