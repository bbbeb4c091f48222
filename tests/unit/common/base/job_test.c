#include <stdatomic.h>
#include <unistd.h>

#include "common/base/job.h"
#include "common/base/lock.h"
#include "common/base/metric.h"
#include "tests/unit/test.h"

/* Holds workers until opened. */
struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_open;
    int waiting;
};

static void gate_init(struct gate *g)
{
    *g = (struct gate){.is_open = false};
    pthread_mutex_init(&g->mutex, NULL);
    pthread_cond_init(&g->cond, NULL);
}

static void gate_wait(void *arg)
{
    struct gate *g = arg;

    pthread_mutex_lock(&g->mutex);
    g->waiting++;
    pthread_cond_broadcast(&g->cond);
    while (!g->is_open)
        pthread_cond_wait(&g->cond, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

static void gate_await(struct gate *g, int waiting)
{
    pthread_mutex_lock(&g->mutex);
    while (g->waiting < waiting)
        pthread_cond_wait(&g->cond, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

static void gate_open(struct gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->is_open = true;
    pthread_cond_broadcast(&g->cond);
    pthread_mutex_unlock(&g->mutex);
}

struct sum {
    struct loop *loop;
    int value; /* written by work, read by done: the queue and the post order them */
    int *finished;
    pthread_t asker;
};

static void add_one(void *arg)
{
    struct sum *s = arg;

    CHECK(!pthread_equal(s->asker, pthread_self()));
    s->value++;
}

static void sum_done(void *arg)
{
    struct sum *s = arg;

    CHECK(loop_is_mine(s->loop));
    CHECK_INT(s->value, 1);
    ++*s->finished;
}

TEST(job_completion_comes_back_to_the_loop_that_asked)
{
    struct job_pool *p = job_pool_new("t", 3, 1000);
    struct sum sums[200];
    struct loop *l;
    int finished = 0;

    CHECK_INT(job_pool_threads(p), 3);
    CHECK_OK(loop_new("t", &l));
    for (size_t i = 0; i < ORR_COUNT(sums); i++) {
        sums[i] = (struct sum){l, 0, &finished, pthread_self()};
        CHECK_OK(job_run(p, l, add_one, sum_done, &sums[i]));
    }
    while (finished < (int)ORR_COUNT(sums))
        loop_run_once(l, 1000);
    job_pool_free(p);
    loop_free(l);
}

static void bump(void *arg)
{
    atomic_fetch_add((_Atomic int *)arg, 1);
}

TEST(job_without_a_loop_ends_on_the_worker)
{
    struct job_pool *p = job_pool_new("t", 1, 10);
    _Atomic int n = 0;

    CHECK_OK(job_run(p, NULL, bump, bump, &n));
    CHECK_OK(job_run(p, NULL, bump, NULL, &n));
    job_pool_free(p);
    CHECK_INT(n, 3);
}

TEST(job_queue_is_bounded_and_drained_by_free)
{
    struct job_pool *p = job_pool_new("bounded", 1, 3);
    struct buf text = {0};
    struct gate g;
    _Atomic int n = 0;

    gate_init(&g);
    CHECK_OK(job_run(p, NULL, gate_wait, NULL, &g));
    gate_await(&g, 1);
    for (int i = 0; i < 3; i++)
        CHECK_OK(job_run(p, NULL, bump, NULL, &n));
    CHECK_INT(job_pool_queued(p), 3);
    CHECK_ERR(job_run(p, NULL, bump, NULL, &n), ERR_UNAVAILABLE, "3 jobs are waiting");
    metric_write(&text, false);
    CHECK(strstr(buf_cstr(&text), "orrery_job_refused_total{pool=\"bounded\"} 1\n"));
    buf_done(&text);
    gate_open(&g);
    job_pool_free(p);
    CHECK_INT(n, 3);
}

struct squares {
    struct job_pool *pool;
    uint32_t of[1000];
};

static void square(void *arg, size_t i)
{
    struct squares *s = arg;

    s->of[i] += (uint32_t)(i * i);
}

static void check_squares(const struct squares *s)
{
    for (size_t i = 0; i < ORR_COUNT(s->of); i++)
        CHECK_INT(s->of[i], i * i);
}

TEST(job_pool_once_stopped_has_run_what_it_took_and_refuses)
{
    struct job_pool *p = job_pool_new("t", 2, 100);
    _Atomic int n = 0;

    for (int i = 0; i < 50; i++)
        CHECK_OK(job_run(p, NULL, bump, NULL, &n));
    job_pool_stop(p);
    CHECK_INT(n, 50);
    CHECK_ERR(job_run(p, NULL, bump, NULL, &n), ERR_UNAVAILABLE, "shutting down");
    job_pool_stop(p);
    job_pool_free(p);
    CHECK_INT(n, 50);
}

TEST(job_parallel_does_each_part_once)
{
    struct job_pool *p = job_pool_new("t", 3, 100);

    for (int round = 0; round < 20; round++) {
        struct squares s = {p, {0}};

        job_parallel(p, ORR_COUNT(s.of), square, &s);
        check_squares(&s);
    }
    job_parallel(p, 0, square, NULL);
    job_pool_free(p);
}

static void nested(void *arg)
{
    struct squares *s = arg;

    job_parallel(s->pool, ORR_COUNT(s->of), square, s);
}

TEST(job_parallel_needs_no_free_worker)
{
    struct job_pool *p = job_pool_new("t", 1, 1);
    struct squares s = {p, {0}}, in_job = {p, {0}};
    struct gate g;

    gate_init(&g);
    CHECK_OK(job_run(p, NULL, gate_wait, NULL, &g));
    gate_await(&g, 1);
    job_parallel(p, ORR_COUNT(s.of), square, &s); /* the only worker is held */
    check_squares(&s);
    gate_open(&g);
    job_pool_free(p);

    p = job_pool_new("t", 1, 10);
    in_job.pool = p;
    CHECK_OK(job_run(p, NULL, nested, NULL, &in_job)); /* the only worker asks */
    job_pool_free(p);
    check_squares(&in_job);
}
