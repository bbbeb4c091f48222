#include "common/base/job.h"

#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/base/thread.h"

struct job {
    struct loop *loop;
    loop_fn *work, *done;
    void *arg;
    int64_t queued_ns;
};

struct job_metrics {
    uint64_t run, refused;
    int64_t queued, busy, threads;
    struct metric_hist wait_s;
};

static const struct metric_field job_fields[] = {
    METRIC_COUNTER(struct job_metrics, run, "orrery_job_runs_total", "Jobs that workers have run."),
    METRIC_COUNTER(struct job_metrics, refused, "orrery_job_refused_total",
                   "Jobs refused because the queue was full."),
    METRIC_GAUGE(struct job_metrics, queued, "orrery_job_queued", "Jobs waiting for a worker."),
    METRIC_GAUGE(struct job_metrics, busy, "orrery_job_busy_workers", "Workers that run a job."),
    METRIC_GAUGE(struct job_metrics, threads, "orrery_job_workers", "Workers of the pool."),
    METRIC_HIST(struct job_metrics, wait_s, "orrery_job_wait_seconds",
                "Time a job waited for a worker."),
};

struct job_pool {
    char *name;
    pthread_t *workers;
    unsigned threads;
    bool is_joined; /* of who stops and frees it */
    struct job_metrics m;

    struct lock lock; /* guards what follows */
    pthread_cond_t has_work;
    struct job *ring; /* grows up to max_queued */
    size_t head, len, cap, max_queued;
    bool is_stopping;
};

/* ---- queue, under the lock ---- */

static void grow(struct job_pool *p)
{
    size_t cap = ORR_MIN(p->cap ? p->cap * 2 : 64, p->max_queued);
    struct job *ring = mem_new_array(struct job, cap);

    for (size_t i = 0; i < p->len; i++)
        ring[i] = p->ring[(p->head + i) % p->cap];
    mem_free(p->ring);
    p->ring = ring;
    p->cap = cap;
    p->head = 0;
}

static bool push(struct job_pool *p, const struct job *j)
{
    if (p->is_stopping || p->len >= p->max_queued)
        return false;
    if (p->len == p->cap)
        grow(p);
    p->ring[(p->head + p->len++) % p->cap] = *j;
    METRIC_SET(p->m.queued, (int64_t)p->len);
    pthread_cond_signal(&p->has_work);
    return true;
}

static bool pop(struct job_pool *p, struct job *ret)
{
    while (p->len == 0) {
        if (p->is_stopping)
            return false;
        lock_wait(&p->lock, &p->has_work);
    }
    *ret = p->ring[p->head];
    p->head = (p->head + 1) % p->cap;
    p->len--;
    METRIC_SET(p->m.queued, (int64_t)p->len);
    return true;
}

/* ---- workers ---- */

static void run_one(struct job_pool *p, const struct job *j)
{
    int64_t waited_ns = clock_mono_ns(&clock_system) - j->queued_ns;

    metric_hist_observe(&p->m.wait_s, (double)waited_ns / (double)NS_PER_S);
    METRIC_ADD(p->m.busy, 1);
    j->work(j->arg);
    METRIC_ADD(p->m.busy, -1);
    METRIC_ADD(p->m.run, 1);
    if (j->done && j->loop)
        loop_post(j->loop, j->done, j->arg);
    else if (j->done)
        j->done(j->arg);
}

static void *worker_main(void *arg)
{
    struct job_pool *p = arg;
    struct job j;

    for (;;) {
        bool has_job;

        lock_take(&p->lock);
        has_job = pop(p, &j);
        lock_release(&p->lock);
        if (!has_job)
            return NULL;
        run_one(p, &j);
    }
}

struct job_pool *job_pool_new(const char *name, unsigned threads, size_t max_queued)
{
    struct job_pool *p = mem_new(struct job_pool);
    char *labels;

    threads = ORR_MAX(threads, 1u);
    p->name = mem_strdup(name);
    p->max_queued = ORR_MAX(max_queued, (size_t)1);
    p->workers = mem_new_array(pthread_t, threads);
    lock_init(&p->lock, LOCK_JOB);
    pthread_cond_init(&p->has_work, NULL);
    for (; p->threads < threads; p->threads++) {
        struct err *e = thread_start(name, worker_main, p, &p->workers[p->threads]);

        if (e) {
            LOG_ERROR(base, "a pool has fewer workers than configured", KV_U64("count", p->threads),
                      KV_ERR(e));
            err_free(e);
            break;
        }
    }
    ORR_ASSERT(p->threads > 0); /* without one worker a process cannot serve at all */
    p->m.threads = p->threads;
    labels = mem_printf("pool=\"%s\"", name);
    metric_register(&p->m, job_fields, ORR_COUNT(job_fields), labels);
    mem_free(labels);
    return p;
}

void job_pool_stop(struct job_pool *p)
{
    if (p->is_joined)
        return;
    lock_take(&p->lock);
    p->is_stopping = true;
    pthread_cond_broadcast(&p->has_work);
    lock_release(&p->lock);
    for (unsigned i = 0; i < p->threads; i++)
        pthread_join(p->workers[i], NULL);
    p->is_joined = true;
}

void job_pool_free(struct job_pool *p)
{
    if (!p)
        return;
    job_pool_stop(p);
    metric_unregister(&p->m);
    pthread_cond_destroy(&p->has_work);
    lock_done(&p->lock);
    mem_free(p->ring);
    mem_free(p->workers);
    mem_free(p->name);
    mem_free(p);
}

struct err *job_run(struct job_pool *p, struct loop *loop, loop_fn *work, loop_fn *done, void *arg)
{
    struct job j = {loop, work, done, arg, clock_mono_ns(&clock_system)};
    bool is_stopping, is_taken;

    lock_take(&p->lock);
    is_stopping = p->is_stopping;
    is_taken = push(p, &j);
    lock_release(&p->lock);
    if (is_taken)
        return NULL;
    METRIC_ADD(p->m.refused, 1);
    if (is_stopping)
        return err_new(ERR_UNAVAILABLE, "worker pool %s is shutting down", p->name);
    return err_new(ERR_UNAVAILABLE, "worker pool %s: %zu jobs are waiting already", p->name,
                   p->max_queued);
}

size_t job_pool_queued(const struct job_pool *p)
{
    return (size_t)__atomic_load_n(&p->m.queued, __ATOMIC_RELAXED);
}

unsigned job_pool_threads(const struct job_pool *p)
{
    return p->threads;
}

/* ---- splitting one computation ---- */

/* Helpers that get their turn late find nothing left and only drop their reference, so the caller
 * waits for calls that have begun, never for a worker. */
struct parallel {
    _Atomic size_t next;
    _Atomic uint32_t refs;
    size_t n;
    void (*fn)(void *arg, size_t i);
    void *arg;

    struct lock lock; /* guards what follows */
    pthread_cond_t is_done;
    size_t finished;
};

static void parallel_work(struct parallel *par)
{
    size_t did = 0;

    for (size_t i; (i = atomic_fetch_add(&par->next, 1)) < par->n; did++)
        par->fn(par->arg, i);
    if (!did)
        return;
    lock_take(&par->lock);
    par->finished += did;
    if (par->finished == par->n)
        pthread_cond_signal(&par->is_done);
    lock_release(&par->lock);
}

static void parallel_unref(void *arg)
{
    struct parallel *par = arg;

    if (atomic_fetch_sub(&par->refs, 1) != 1)
        return;
    pthread_cond_destroy(&par->is_done);
    lock_done(&par->lock);
    mem_free(par);
}

static void parallel_help(void *arg)
{
    parallel_work(arg);
}

void job_parallel(struct job_pool *p, size_t n, void (*fn)(void *arg, size_t i), void *arg)
{
    struct parallel *par;

    if (n == 0)
        return;
    par = mem_new(struct parallel);
    par->n = n;
    par->fn = fn;
    par->arg = arg;
    atomic_store(&par->refs, 1);
    lock_init(&par->lock, LOCK_JOB);
    pthread_cond_init(&par->is_done, NULL);
    for (size_t i = 0; i < ORR_MIN((size_t)p->threads, n - 1); i++) {
        struct err *e;

        atomic_fetch_add(&par->refs, 1);
        if ((e = job_run(p, NULL, parallel_help, parallel_unref, par))) {
            err_free(e); /* all busy: the caller does it alone */
            parallel_unref(par);
            break;
        }
    }
    parallel_work(par);
    lock_take(&par->lock);
    while (par->finished < par->n)
        lock_wait(&par->lock, &par->is_done);
    lock_release(&par->lock);
    parallel_unref(par);
}
