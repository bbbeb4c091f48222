/*
 * Worker threads for CPU work and blocking calls. A pool owns a bounded queue, first in first out;
 * a job runs on one worker and its completion is posted back to the loop that asked (or runs on the
 * worker when asked with no loop).
 *
 * Any thread may ask. A pool is freed before the loops its jobs answer to.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/loop.h"

struct job_pool;

/* At least one thread; fewer than asked for when the system gives no more (logged). */
struct job_pool *job_pool_new(const char *name, unsigned threads, size_t max_queued);
/* Runs what is queued, then joins the workers; further jobs are refused. Again: nothing. */
void job_pool_stop(struct job_pool *p);
/* Stops it if that was not done. NULL is allowed. */
void job_pool_free(struct job_pool *p);

/*
 * work(arg) on a worker, then done(arg) on loop (done may be NULL; loop NULL: done runs on the
 * worker). ERR_UNAVAILABLE when the queue is full or the pool is being freed; then neither runs.
 */
ORR_CHECKED struct err *job_run(struct job_pool *p, struct loop *loop, loop_fn *work, loop_fn *done,
                                void *arg);
size_t job_pool_queued(const struct job_pool *p);
unsigned job_pool_threads(const struct job_pool *p);
/* Calls fn(arg, i) for i in 0..n-1 over the pool's threads and the caller; returns when all are
 * done. For splitting one computation; a job may call it (it never waits for a free worker), a
 * loop must not. */
void job_parallel(struct job_pool *p, size_t n, void (*fn)(void *arg, size_t i), void *arg);
