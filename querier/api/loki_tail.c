#include "querier/api/loki_tail.h"

#include "common/base/clock.h"
#include "common/base/job.h"
#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/lang/logql.h"
#include "common/net/websocket.h"
#include "querier/api/loki_api_internal.h"
#include "querier/logs/logtail.h"

#define DEF_SINCE_NS (3600 * NS_PER_S)
#define DEF_LIMIT 100
#define MAX_DELAY_S 5
/* What came so short a time ago is in ingesters, unless they have dropped some since the last poll, and need not be looked
 * for in the bucket with every poll. */
#define RECENT_NS (30 * NS_PER_S)
#define BLOCKED_MS 200 /* until a client that does not read is looked at again */

struct tail_metrics {
    int64_t open;
    uint64_t begun, lines, dropped;
};

static const struct metric_field tail_fields[] = {
    METRIC_GAUGE(struct tail_metrics, open, "orrery_querier_tails", "Open tails of log queries."),
    METRIC_COUNTER(struct tail_metrics, begun, "orrery_querier_tails_total", "Tails begun."),
    METRIC_COUNTER(struct tail_metrics, lines, "orrery_querier_tail_lines_total",
                   "Lines sent by tails."),
    METRIC_COUNTER(
        struct tail_metrics, dropped, "orrery_querier_dropped_tails_total",
        "Tails ended because the client did not read, or the query gave too many lines."),
};

struct loki_tails {
    struct prom_tasks *tasks;
    struct engine *engine;
    struct job_pool *pool;
    struct lock lock;
    size_t refs; /* one of who made it, one of each tail */
    size_t n, polling;
    struct map by_tenant; /* how many, as pointer */
    bool is_draining;
    loop_fn *drained;
    void *drained_arg;
    struct tail_metrics m;
};

struct tail {
    struct loki_tails *all;
    struct websocket *ws; /* NULL: gone */
    struct loop *loop;
    struct loop_timer *timer;
    struct logtail *lines; /* the worker's while is_polling */
    char *tenant;
    bool is_polling, has_mark;
    uint64_t mark; /* of the last poll; the worker's, like lines */
    atomic_bool cancel;
    int64_t begun_ms, blocked_ms, lost_ms, lagging_ms; /* since when; 0: not */
    /* of the poll */
    struct logtail_batch batch;
    struct err *err;
};

/* ---- the books ---- */

struct loki_tails *loki_tails_new(struct prom_tasks *tasks, struct engine *engine)
{
    struct loki_tails *ts = mem_new(struct loki_tails);

    ts->tasks = tasks;
    ts->engine = engine;
    ts->pool = job_pool_new("tail", LOKI_TAIL_THREADS, LOKI_TAIL_MAX);
    ts->refs = 1;
    lock_init(&ts->lock, LOCK_LEAF_MODULE);
    metric_register(&ts->m, tail_fields, ORR_COUNT(tail_fields), NULL);
    return ts;
}

static void unref(struct loki_tails *ts)
{
    bool is_last;

    lock_take(&ts->lock);
    is_last = --ts->refs == 0;
    lock_release(&ts->lock);
    if (!is_last)
        return;
    map_done(&ts->by_tenant);
    lock_done(&ts->lock);
    mem_free(ts);
}

void loki_tails_stop(struct loki_tails *ts)
{
    lock_take(&ts->lock);
    ts->is_draining = true;
    lock_release(&ts->lock);
    job_pool_stop(ts->pool);
}

void loki_tails_free(struct loki_tails *ts)
{
    if (!ts)
        return;
    job_pool_free(
        ts->pool); /* ends of polls that are still on their way to a loop hold a reference */
    metric_unregister(&ts->m);
    unref(ts);
}

void loki_tails_drain(struct loki_tails *ts, loop_fn *done, void *arg)
{
    bool is_idle;

    lock_take(&ts->lock);
    ts->is_draining = true;
    is_idle = ts->polling == 0;
    if (!is_idle) {
        ts->drained = done;
        ts->drained_arg = arg;
    }
    lock_release(&ts->lock);
    if (is_idle)
        done(arg);
}

static bool is_draining(struct loki_tails *ts)
{
    bool is;

    lock_take(&ts->lock);
    is = ts->is_draining;
    lock_release(&ts->lock);
    return is;
}

/* With the lock. */
static struct err *check_room(struct loki_tails *ts, struct slice tenant, int64_t max)
{
    uintptr_t n = (uintptr_t)map_get(&ts->by_tenant, tenant);

    if (ts->is_draining)
        return err_new(ERR_UNAVAILABLE, "shutting down");
    if (ts->n >= LOKI_TAIL_MAX)
        return err_new(ERR_UNAVAILABLE,
                       "this querier has %zu tails, and no more may be; try another", ts->n);
    if (max > 0 && n >= (uintptr_t)max)
        return err_new(ERR_RATE,
                       "max concurrent tail requests limit exceeded, count > limit (%zu > %lld; "
                       "limits.max-concurrent-tail-requests)",
                       (size_t)n + 1, (long long)max);
    return NULL;
}

static struct err *enter(struct loki_tails *ts, struct slice tenant)
{
    struct tenant_limits l;
    struct err *e;

    prom_tasks_limits(ts->tasks, tenant, &l);
    lock_take(&ts->lock);
    if (!(e = check_room(ts, tenant, l.max_concurrent_tail_requests))) {
        void **slot = map_slot(&ts->by_tenant, tenant);

        *slot = (void *)((uintptr_t)*slot + 1);
        ts->n++;
        ts->refs++;
    }
    lock_release(&ts->lock);
    return e;
}

/* The tail does not count any more; its reference stays. */
static void leave(struct loki_tails *ts, struct slice tenant)
{
    uintptr_t n;

    lock_take(&ts->lock);
    n = (uintptr_t)map_get(&ts->by_tenant, tenant);
    if (n > 1)
        map_put(&ts->by_tenant, tenant, (void *)(n - 1));
    else
        (void)map_del(&ts->by_tenant, tenant);
    ts->n--;
    lock_release(&ts->lock);
}

/* ---- a poll, on a worker ---- */

static struct err *poll_with(struct tail *t, struct arena *a)
{
    const struct prom_tasks_opts *o = prom_tasks_opts(t->all->tasks);
    struct slice tenant = slice_cstr(t->tenant);
    struct logtail_poll poll = {.now_ns = clock_wall_ms(&clock_system) * NS_PER_MS,
                                .deadline_mono_ms =
                                    clock_mono_ms(&clock_system) + LOKI_TAIL_POLL_MS,
                                .cancel = &t->cancel};
    struct store_query_opts opts;
    struct tenant_limits l;
    struct logremote remote;
    struct joined data;
    int64_t start_ns, end_ns;
    struct err *e;

    logtail_window(t->lines, poll.now_ns, &start_ns, &end_ns);
    prom_tasks_limits(t->all->tasks, tenant, &l);
    poll.max_bytes = (uint64_t)l.max_query_bytes_read;
    opts = prom_tasks_query_opts(&l);
    opts.arena = a;
    opts.deadline_mono_ms = poll.deadline_mono_ms;
    opts.cancel = &t->cancel;
    joined_init(&data, o->store, &opts, &tenant, 1);
    logremote_init(&remote,
                   &(struct logremote_opts){
                       .sq = &data.queries[0],
                       .grace_ns = l.creation_grace_period_ns,
                       .has_known_mark = t->has_mark && poll.now_ns - start_ns <= RECENT_NS,
                       .known_mark = t->mark,
                       .max_streams = (uint64_t)l.max_fetched_series_per_query});
    e = logtail_poll(t->lines, t->all->engine, &remote.source, a, &poll, &t->batch);
    if (!e) {
        t->mark = ORR_MAX(t->mark, remote.mark);
        t->has_mark = true;
    }
    joined_done(&data);
    return e;
}

/* One poll less is under way; who drains is told when it was the last. */
static void poll_ended(struct loki_tails *ts)
{
    loop_fn *drained = NULL;
    void *drained_arg;

    lock_take(&ts->lock);
    if (--ts->polling == 0) {
        drained = ts->drained;
        ts->drained = NULL;
    }
    drained_arg = ts->drained_arg;
    lock_release(&ts->lock);
    if (drained)
        drained(drained_arg);
}

static void on_poll(void *arg)
{
    struct tail *t = arg;
    struct loki_tails *ts = t->all;
    struct arena *a = arena_new(prom_tasks_opts(ts->tasks)->max_memory_bytes);

    t->err = is_draining(ts) ? err_new(ERR_CANCELED, "shutting down") : poll_with(t, a);
    arena_free(a);
    poll_ended(ts);
}

/* ---- a tail, on its loop ---- */

static void tail_free(struct tail *t)
{
    struct loki_tails *ts = t->all;

    err_free(t->err);
    logtail_batch_done(&t->batch);
    logtail_free(t->lines);
    mem_free(t->tenant);
    mem_free(t);
    unref(ts);
}

/* The connection is no more; what a worker has is freed when it comes back. */
static void tail_over(struct tail *t)
{
    t->ws = NULL;
    atomic_store(&t->cancel, true);
    loop_timer_free(t->timer);
    t->timer = NULL;
    METRIC_ADD(t->all->m.open, -1);
    leave(t->all, slice_cstr(t->tenant));
    if (!t->is_polling)
        tail_free(t);
}

static void end(struct tail *t, unsigned code, struct slice why)
{
    websocket_close(t->ws, code, why);
    tail_over(t);
}

static void on_ws_close(struct websocket *ws, unsigned code, struct slice reason)
{
    (void)code;
    (void)reason;
    tail_over(websocket_arg(ws));
}

static int64_t pause_ms(struct loki_tails *ts)
{
    size_t n;

    lock_take(&ts->lock);
    n = ts->n;
    lock_release(&ts->lock);
    return ORR_MAX(ORR_MIN((int64_t)n, (int64_t)LOKI_TAIL_MAX_MS), (int64_t)LOKI_TAIL_MIN_MS);
}

/* Since when something holds; whether that is longer ago than it may be. */
static bool holds_too_long(const struct tail *t, bool holds, int64_t *since_ms, int64_t most_ms)
{
    int64_t now_ms = loop_now_ms(t->loop);

    if (!holds)
        *since_ms = 0;
    else if (!*since_ms)
        *since_ms = now_ms;
    return holds && now_ms - *since_ms > most_ms;
}

static bool may_pass(const struct err *e)
{
    return err_is(e, ERR_UNAVAILABLE) || err_is(e, ERR_NET) || err_is(e, ERR_IO) ||
           err_is(e, ERR_TIMEOUT) || err_is(e, ERR_RATE);
}

/* False: the tail is over. */
static bool take_error(struct tail *t)
{
    struct err *e = t->err;
    bool is_over;

    t->err = NULL;
    is_over = holds_too_long(t, e != NULL, &t->lost_ms, LOKI_TAIL_LOST_MS) || (e && !may_pass(e));
    if (is_over)
        end(t, err_is(e, ERR_CANCELED) ? WS_CLOSE_AWAY : WS_CLOSE_INTERNAL, slice_cstr(err_msg(e)));
    err_free(e);
    return !is_over;
}

static void send_batch(struct tail *t)
{
    VEC_FOREACH (m, &t->batch.messages)
        websocket_send(t->ws, buf_slice(m));
    METRIC_ADD(t->all->m.lines, t->batch.lines);
}

static void on_polled(void *arg)
{
    struct tail *t = arg;
    bool has_more = t->batch.has_more;

    t->is_polling = false;
    if (!t->ws) {
        tail_free(t);
        return;
    }
    if (!take_error(t))
        return;
    send_batch(t);
    logtail_batch_done(&t->batch);
    t->batch = (struct logtail_batch){0};
    if (holds_too_long(t, has_more, &t->lagging_ms, LOKI_TAIL_LAG_MS)) {
        METRIC_ADD(t->all->m.dropped, 1);
        end(t, WS_CLOSE_POLICY,
            SLICE("the query gives more lines than a tail can follow; make it narrower"));
        return;
    }
    loop_timer_arm_ms(t->timer, has_more ? 0 : pause_ms(t->all));
}

static void begin_poll(struct tail *t)
{
    struct loki_tails *ts = t->all;
    struct err *e;

    lock_take(&ts->lock);
    ts->polling++;
    lock_release(&ts->lock);
    t->is_polling = true;
    if (!(e = job_run(ts->pool, t->loop, on_poll, on_polled, t)))
        return;
    t->is_polling = false;
    poll_ended(ts); /* a drain that began meanwhile waits for it */
    err_free(e);    /* all threads are busy, and as many wait as there may be tails: later */
    loop_timer_arm_ms(t->timer, pause_ms(ts));
}

static void on_turn(void *arg)
{
    struct tail *t = arg;
    bool is_blocked = websocket_waiting(t->ws) > LOKI_TAIL_HIGH;

    if (is_draining(t->all)) {
        end(t, WS_CLOSE_AWAY, SLICE("the server is shutting down"));
    } else if (loop_now_ms(t->loop) - t->begun_ms > LOKI_TAIL_LONGEST_MS) {
        end(t, WS_CLOSE_INTERNAL, SLICE("reached tail max duration limit"));
    } else if (holds_too_long(t, is_blocked, &t->blocked_ms, LOKI_TAIL_SLOW_MS)) {
        METRIC_ADD(t->all->m.dropped, 1);
        end(t, WS_CLOSE_POLICY,
            SLICE("the client is too slow: it does not read what the tail has sent"));
    } else if (is_blocked) {
        loop_timer_arm_ms(t->timer, BLOCKED_MS);
    } else {
        begin_poll(t);
    }
}

/* ---- requests ---- */

static struct err *read_delay(struct slice text, int64_t *ret_ns)
{
    uint64_t s = 0;

    if (text.len && !slice_to_u64(text, &s))
        return err_new(ERR_INVALID,
                       "invalid parameter \"delay_for\": a number of seconds is expected");
    if (s > MAX_DELAY_S)
        return err_new(ERR_INVALID, "delay_for can't be greater than %d", MAX_DELAY_S);
    *ret_ns = (int64_t)s * NS_PER_S;
    return NULL;
}

static struct err *check_query(struct arena *a, struct slice query)
{
    struct logql q = {0};
    struct err *e = logql_parse(a, query.ptr ? query : SLICE_EMPTY, &q);

    if (!e && q.root->kind != LOGQL_LOGS)
        e = err_new(ERR_INVALID,
                    "only queries for lines can be tailed, and this one gives numbers");
    logql_done(&q);
    return e;
}

static struct err *check_limits(const struct loki_tails *ts, struct slice tenant,
                                const struct logtail_opts *o, int64_t now_ns)
{
    struct tenant_limits l;

    prom_tasks_limits(ts->tasks, tenant, &l);
    if (l.max_entries_limit_per_query > 0 && o->limit > l.max_entries_limit_per_query)
        return err_new(ERR_INVALID,
                       "the limit of lines asked for, %u, is above the greatest that may be, %lld "
                       "(limits.max-entries-limit-per-query)",
                       o->limit, (long long)l.max_entries_limit_per_query);
    if (l.max_query_length_ns > 0 && now_ns - o->start_ns > l.max_query_length_ns)
        return err_new(ERR_INVALID, "the start is further back than a query may reach "
                                    "(limits.max-query-length)");
    return NULL;
}

static struct err *read_request(struct http_request *r, struct slice tenant,
                                struct logtail_opts *ret)
{
    int64_t now_ns = clock_wall_ms(&clock_system) * NS_PER_MS;
    struct loki_api *api = r->arg;
    struct err *e;

    *ret = (struct logtail_opts){
        .expr = http_param(r, "query"),
        .categorizes = loki_api_categorizes(r),
    };
    if ((e = check_query(r->arena, ret->expr)) ||
        (e = read_delay(http_param(r, "delay_for"), &ret->delay_ns)) ||
        (e = loki_param_limit(http_param(r, "limit"), DEF_LIMIT, &ret->limit)) ||
        (e = loki_param_time("start", http_param(r, "start"), now_ns - DEF_SINCE_NS,
                             &ret->start_ns)))
        return e;
    return check_limits(api->tails, tenant, ret, now_ns);
}

static void begin(struct http_request *r, struct loki_tails *ts, struct slice tenant,
                  const struct logtail_opts *opts)
{
    struct tail *t = mem_new(struct tail);
    struct loop *loop = r->loop;

    t->all = ts;
    t->loop = loop;
    t->tenant = slice_dup(tenant);
    t->lines = logtail_new(opts);
    t->begun_ms = loop_now_ms(loop);
    t->ws = websocket_accept(r, &(struct websocket_opts){.on_close = on_ws_close, .arg = t});
    METRIC_ADD(ts->m.begun, 1);
    METRIC_ADD(ts->m.open, 1);
    if (!t->ws) { /* has gone already */
        tail_over(t);
        return;
    }
    t->timer = loop_timer_new(loop, on_turn, t);
    loop_timer_arm_ms(t->timer, 0);
}

void loki_tail(struct http_request *r)
{
    struct loki_api *api = r->arg;
    struct logtail_opts opts;
    struct slice tenant;
    struct err *e;

    if (!loki_api_begin(r, &tenant))
        return;
    if (!(e = read_request(r, tenant, &opts)) && !(e = websocket_check(r)))
        e = enter(api->tails, tenant);
    if (!loki_api_failed(r, e))
        begin(r, api->tails, tenant, &opts);
}
