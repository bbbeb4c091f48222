#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/thread.h"
#include "common/base/vec.h"
#include "ingester/flush_internal.h"

#define TICK_MS 250 /* while somebody waits for compactors */
#define HINT_AGAIN_MS 10000

static const struct metric_field flush_fields[] = {
    METRIC_COUNTER(struct flush_metrics, cuts, "orrery_flush_cuts_total",
                   "Cuts on command, on shutdown and on leaving."),
    METRIC_COUNTER(struct flush_metrics, cut_failures, "orrery_flush_cut_failures_total",
                   "Cuts and maintenance rounds that failed."),
    METRIC_COUNTER(struct flush_metrics, hints, "orrery_flush_hints_total",
                   "Compactors told of new segments."),
    METRIC_COUNTER(struct flush_metrics, uploads, "orrery_flush_self_uploads_total",
                   "Segments uploaded as blocks because no compactor took them."),
    METRIC_COUNTER(struct flush_metrics, upload_failures, "orrery_flush_self_upload_failures_total",
                   "Those that could not be uploaded."),
};

struct flush_request {
    struct flush_request *next;
    char *tenant; /* "": all */
    bool is_leave, is_to_stop;
    int64_t wait_ms, until_ms; /* mono */
    struct flush_report report;
    struct err *err;
    struct loop *loop;
    flush_done_fn *done;
    void *arg;
};

enum leave_state { LEAVE_NOT, LEAVE_ANNOUNCED, LEAVE_SEALED, LEAVE_CUT, LEAVE_LEFT };

struct flush {
    struct flush_opts opts;
    struct flush_metrics m;
    struct flush_upload *upload;
    pthread_t thread;
    bool has_thread;
    struct lock lock;
    pthread_cond_t cond;
    /* guarded by lock */
    struct flush_request *first, **last;
    bool is_woken;
    atomic_bool is_stopping; /* also looked at by who holds no lock */
    /* the thread's */
    VEC(struct flush_request *) waiting;
    int64_t next_maintain_ms, next_hint_ms, sealed_at_ms;
    _Atomic int leave; /* enum leave_state */
};

struct flush *flush_new(const struct flush_opts *opts)
{
    struct flush *f = mem_new(struct flush);

    f->opts = *opts;
    if (!f->opts.clock)
        f->opts.clock = &clock_system;
    f->upload = flush_upload_new(&f->opts, &f->m);
    f->last = &f->first;
    lock_init(&f->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&f->cond);
    metric_register(&f->m, flush_fields, ORR_COUNT(flush_fields), NULL);
    return f;
}

static int64_t now_ms(const struct flush *f)
{
    return clock_mono_ms(f->opts.clock);
}

/* ---- ends ---- */

static void deliver(void *arg)
{
    struct flush_request *r = arg;

    r->done(r->arg, r->err, &r->report);
    mem_free(r->tenant);
    mem_free(r);
}

static void finish(struct flush_request *r)
{
    if (r->loop)
        loop_post(r->loop, deliver, r);
    else
        deliver(r);
}

static void take_waiting(struct flush *f, size_t i, struct err *e)
{
    struct flush_request *r = f->waiting.ptr[i];

    vec_remove_swap(&f->waiting, i);
    r->err = e;
    finish(r);
}

/* ---- compactors ---- */

/* Of all signals, that wait for compactors. */
static size_t count_segments(struct flush *f, const char *tenant)
{
    struct head_segment *rows;
    struct loghead_segment *logs = NULL;
    struct tracehead_segment *traces = NULL;
    size_t n, count = 0;

    head_segments(f->opts.head, &rows, &n);
    for (size_t i = 0; i < n; i++)
        count += rows[i].state == HEAD_SEGMENT_READY &&
                 (!tenant[0] || strcmp(tenant, rows[i].tenant) == 0);
    mem_free(rows);
    if (f->opts.logs) {
        loghead_segments(f->opts.logs, &logs, &n);
        for (size_t i = 0; i < n; i++)
            count += !tenant[0] || strcmp(tenant, logs[i].tenant) == 0;
        mem_free(logs);
    }
    if (f->opts.traces) {
        tracehead_segments(f->opts.traces, &traces, &n);
        for (size_t i = 0; i < n; i++)
            count += !tenant[0] || strcmp(tenant, traces[i].tenant) == 0;
        mem_free(traces);
    }
    return count;
}

static void hint(struct flush *f, struct map *told, const char *tenant)
{
    void **slot = map_slot(told, slice_cstr(tenant));

    if (*slot)
        return;
    *slot = f;
    f->opts.ops.hint(f->opts.ops.arg, slice_cstr(tenant));
    METRIC_ADD(f->m.hints, 1);
}

/* Each tenant with segments once. */
static void hint_all(struct flush *f)
{
    struct head_segment *rows;
    struct loghead_segment *logs = NULL;
    struct tracehead_segment *traces = NULL;
    size_t n, n_logs = 0, n_traces = 0;
    struct map told = {0};

    f->next_hint_ms = now_ms(f) + HINT_AGAIN_MS;
    head_segments(f->opts.head, &rows, &n);
    if (f->opts.logs)
        loghead_segments(f->opts.logs, &logs, &n_logs);
    if (f->opts.traces)
        tracehead_segments(f->opts.traces, &traces, &n_traces);
    for (size_t i = 0; i < n; i++)
        if (rows[i].state == HEAD_SEGMENT_READY)
            hint(f, &told, rows[i].tenant);
    for (size_t i = 0; i < n_logs; i++)
        hint(f, &told, logs[i].tenant);
    for (size_t i = 0; i < n_traces; i++)
        hint(f, &told, traces[i].tenant);
    map_done(&told);
    mem_free(rows);
    mem_free(logs);
    mem_free(traces);
}

/* ---- cutting ---- */

/* All signals, whatever comes of one. */
static struct err *cut(struct flush *f, const char *tenant, bool is_all, size_t *ret_segments)
{
    size_t n = 0, n_logs = 0, n_traces = 0;
    struct err *e = head_cut(f->opts.head, slice_cstr(tenant), INT64_MAX, &n);

    if (f->opts.logs && is_all)
        e = err_first(e, loghead_cut(f->opts.logs, slice_cstr(tenant), &n_logs));
    if (f->opts.traces && is_all)
        e = err_first(e, tracehead_cut(f->opts.traces, slice_cstr(tenant), &n_traces));
    METRIC_ADD(f->m.cuts, 1);
    if (e)
        METRIC_ADD(f->m.cut_failures, 1);
    *ret_segments = n + n_logs + n_traces;
    return e;
}

static void run_cut(struct flush *f, struct flush_request *r)
{
    struct err *e = cut(f, r->tenant, !r->is_to_stop, &r->report.cut);

    r->report.has_compactor = f->opts.ops.compactors(f->opts.ops.arg) > 0;
    if (!e)
        hint_all(f);
    r->report.pending = count_segments(f, r->tenant);
    r->err = e;
    if (e || r->wait_ms == 0 || !r->report.has_compactor || r->report.pending == 0) {
        finish(r);
        return;
    }
    r->until_ms = now_ms(f) + r->wait_ms;
    vec_push(&f->waiting, r);
}

static void check_waiting(struct flush *f)
{
    for (size_t i = f->waiting.len; i-- > 0;) {
        struct flush_request *r = f->waiting.ptr[i];

        if (r->is_leave)
            continue;
        r->report.pending = count_segments(f, r->tenant);
        if (r->report.pending == 0 || now_ms(f) >= r->until_ms)
            take_waiting(f, i, NULL);
    }
}

static void maintain(struct flush *f)
{
    struct err *e;

    if (now_ms(f) < f->next_maintain_ms)
        return;
    f->next_maintain_ms = now_ms(f) + f->opts.maintain_ms;
    if (f->opts.logs)
        (void)loghead_cut_due(f->opts.logs);
    if (f->opts.traces)
        (void)tracehead_cut_due(f->opts.traces);
    if (head_is_ready(f->opts.head) &&
        (e = head_maintain(f->opts.head, clock_wall_ms(f->opts.clock)))) {
        METRIC_ADD(f->m.cut_failures, 1);
        LOG_ERROR(flush, "maintaining the head failed, it will be tried again", KV_ERR(e));
        err_free(e);
    }
    hint_all(f);
    flush_upload_run(f->upload, flush_is_leaving(f), &f->is_stopping);
}

/* ---- leaving ---- */

static void enter(struct flush *f, enum leave_state s, const char *what)
{
    atomic_store(&f->leave, s);
    LOG_INFO(flush, "leaving", KV_STR("state", what));
}

static void begin_leave(struct flush *f, struct flush_request *r)
{
    if (atomic_load(&f->leave) == LEAVE_LEFT) {
        finish(r);
        return;
    }
    vec_push(&f->waiting, r);
    if (atomic_load(&f->leave) != LEAVE_NOT)
        return;
    f->opts.ops.begin_leave(f->opts.ops.arg);
    f->sealed_at_ms = now_ms(f) + f->opts.leave_grace_ms;
    enter(f, LEAVE_ANNOUNCED, "announced");
}

static void end_leave(struct flush *f)
{
    f->opts.ops.end_leave(f->opts.ops.arg);
    enter(f, LEAVE_LEFT, "left");
    for (size_t i = f->waiting.len; i-- > 0;)
        if (f->waiting.ptr[i]->is_leave)
            take_waiting(f, i, NULL);
}

/* All that was cut is in blocks. A batch that passed the seal just before it was there may have come behind the cut. */
static void end_leave_if_empty(struct flush *f)
{
    size_t n;
    struct err *e = cut(f, "", true, &n);

    if (e) {
        LOG_ERROR(flush, "cutting to leave failed, it will be tried again", KV_ERR(e));
        err_free(e);
    } else if (count_segments(f, "") == 0) {
        end_leave(f);
    } else {
        hint_all(f);
    }
}

/* One step, when it is due. */
static void leave_on(struct flush *f)
{
    struct err *e;
    size_t n;

    switch (atomic_load(&f->leave)) {
    case LEAVE_ANNOUNCED: /* writers still send, until they have heard */
        if (now_ms(f) < f->sealed_at_ms)
            return;
        f->opts.ops.seal(f->opts.ops.arg);
        enter(f, LEAVE_SEALED, "sealed");
        break;
    case LEAVE_SEALED:
        if ((e = cut(f, "", true, &n))) {
            LOG_ERROR(flush, "cutting to leave failed, it will be tried again", KV_ERR(e));
            err_free(e);
            return;
        }
        hint_all(f);
        enter(f, LEAVE_CUT, "cut");
        break;
    case LEAVE_CUT:
        if (count_segments(f, "") == 0)
            end_leave_if_empty(f);
        else if (now_ms(f) >= f->next_hint_ms)
            hint_all(f);
        break;
    default:
        break;
    }
}

/* ---- the thread ---- */

static void wait_for_work(struct flush *f)
{
    int state = atomic_load(&f->leave);
    int64_t wait_ms = f->next_maintain_ms - now_ms(f);
    struct timespec until;

    if (f->waiting.len || (state != LEAVE_NOT && state != LEAVE_LEFT))
        wait_ms = ORR_MIN(wait_ms, (int64_t)TICK_MS);
    wait_ms = ORR_MAX(wait_ms, (int64_t)1);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / MS_PER_S;
    until.tv_nsec += wait_ms % MS_PER_S * NS_PER_MS;
    if (until.tv_nsec >= NS_PER_S) {
        until.tv_sec++;
        until.tv_nsec -= NS_PER_S;
    }
    if (!f->first && !f->is_stopping && !f->is_woken)
        lock_wait_until(&f->lock, &f->cond, &until);
    f->is_woken = false;
}

/* Waits at most a tick or a period; NULL when there is no request. */
static struct flush_request *next_request(struct flush *f, bool *ret_stop)
{
    struct flush_request *r;

    lock_take(&f->lock);
    wait_for_work(f);
    r = f->first;
    if (r && !(f->first = r->next))
        f->last = &f->first;
    *ret_stop = f->is_stopping;
    lock_release(&f->lock);
    return r;
}

/* Answers everybody. f->is_stopping is set: none comes after. */
static void dismiss(struct flush *f)
{
    while (f->waiting.len)
        take_waiting(f, 0, err_new(ERR_UNAVAILABLE, "shutting down"));
    while (f->first) {
        struct flush_request *r = f->first;

        f->first = r->next;
        r->err = err_new(ERR_UNAVAILABLE, "shutting down");
        finish(r);
    }
    f->last = &f->first;
}

static void *run(void *arg)
{
    struct flush *f = arg;
    bool is_stopping = false;

    f->next_maintain_ms = now_ms(f) + f->opts.maintain_ms;
    for (;;) {
        struct flush_request *r = next_request(f, &is_stopping);

        if (is_stopping) {
            if (r)
                vec_push(&f->waiting, r);
            break;
        }
        if (r && r->is_leave)
            begin_leave(f, r);
        else if (r)
            run_cut(f, r);
        leave_on(f);
        maintain(f);
        check_waiting(f);
    }
    dismiss(f);
    return NULL;
}

struct err *flush_start(struct flush *f)
{
    struct err *e = thread_start("flush", run, f, &f->thread);

    f->has_thread = e == NULL;
    return e;
}

void flush_stop(struct flush *f)
{
    lock_take(&f->lock);
    f->is_stopping = true;
    pthread_cond_signal(&f->cond);
    lock_release(&f->lock);
}

void flush_free(struct flush *f)
{
    if (!f)
        return;
    flush_stop(f);
    if (f->has_thread)
        (void)pthread_join(f->thread, NULL);
    metric_unregister(&f->m);
    flush_upload_free(f->upload);
    vec_done(&f->waiting);
    pthread_cond_destroy(&f->cond);
    lock_done(&f->lock);
    mem_free(f);
}

/* ---- asking ---- */

static void ask(struct flush *f, struct flush_request *r)
{
    bool is_stopping;

    r->loop = loop_current();
    lock_take(&f->lock);
    is_stopping = f->is_stopping;
    if (!is_stopping) {
        *f->last = r;
        f->last = &r->next;
        pthread_cond_signal(&f->cond);
    }
    lock_release(&f->lock);
    if (is_stopping) {
        r->err = err_new(ERR_UNAVAILABLE, "shutting down");
        finish(r);
    }
}

void flush_cut(struct flush *f, struct slice tenant, int64_t wait_ms, flush_done_fn *done,
               void *arg)
{
    struct flush_request *r = mem_new(struct flush_request);

    r->tenant = slice_dup(tenant);
    r->wait_ms = wait_ms;
    r->done = done;
    r->arg = arg;
    ask(f, r);
}

void flush_cut_to_stop(struct flush *f, flush_done_fn *done, void *arg)
{
    struct flush_request *r = mem_new(struct flush_request);

    r->tenant = mem_strdup("");
    r->is_to_stop = true;
    r->done = done;
    r->arg = arg;
    ask(f, r);
}

void flush_leave(struct flush *f, flush_done_fn *done, void *arg)
{
    struct flush_request *r = mem_new(struct flush_request);

    r->tenant = mem_strdup("");
    r->is_leave = true;
    r->done = done;
    r->arg = arg;
    ask(f, r);
}

bool flush_is_leaving(const struct flush *f)
{
    return atomic_load(&((struct flush *)f)->leave) != LEAVE_NOT;
}

void flush_wake(struct flush *f)
{
    lock_take(&f->lock);
    f->is_woken = true;
    pthread_cond_signal(&f->cond);
    lock_release(&f->lock);
}
