#include <stdatomic.h>

#include "common/base/joborder.h"
#include "common/base/rng.h"
#include "tests/unit/test.h"

struct work {
    atomic_size_t begun, running, most_running;
    size_t taken, window, enough; /* enough: pieces that are */
    atomic_bool is_taking;
    uint64_t results[1000]; /* by one thread, read by another */
    unsigned first;         /* window until the fourth was taken */
};

static void spin(unsigned n)
{
    for (volatile unsigned i = 0; i < n; i++)
        ;
}

static void run(void *arg, size_t i)
{
    struct work *w = arg;
    size_t now = atomic_fetch_add(&w->running, 1) + 1, most = atomic_load(&w->most_running);
    struct rng r;

    rng_seed(&r, i);
    atomic_fetch_add(&w->begun, 1);
    while (now > most && !atomic_compare_exchange_weak(&w->most_running, &most, now))
        ;
    spin((unsigned)rng_below(&r, 30000));
    w->results[i] = i * i;
    atomic_fetch_sub(&w->running, 1);
}

static unsigned take(void *arg, size_t i)
{
    struct work *w = arg;

    CHECK(!atomic_exchange(&w->is_taking, true));
    CHECK_INT(w->taken, i);
    CHECK_INT(w->results[i], i * i);
    CHECK(atomic_load(&w->begun) <= i + w->window);
    if (w->first && i < 4)
        CHECK(atomic_load(&w->begun) <= i + w->first);
    spin(2000);
    w->taken++;
    atomic_store(&w->is_taking, false);
    if (w->taken >= w->enough)
        return 0;
    return w->first && w->taken < 4 ? w->first : 1000;
}

static struct work *go(struct job_pool *p, size_t n, unsigned lanes, unsigned window,
                       struct work *w)
{
    *w = (struct work){.window = ORR_MAX(lanes, window), .enough = w->enough, .first = w->first};
    joborder(&(struct joborder){.pool = p,
                                .n = n,
                                .lanes = lanes,
                                .window = window,
                                .first = w->first,
                                .run = run,
                                .take = take,
                                .arg = w});
    CHECK_INT(w->running, 0);
    CHECK(w->most_running <= lanes);
    return w;
}

TEST(joborder_takes_all_in_order)
{
    struct job_pool *p = job_pool_new("t", 4, 100);
    struct work w;

    for (unsigned lanes = 1; lanes <= 6; lanes++)
        for (size_t n = 0; n < 400; n += 57) {
            w = (struct work){.enough = SIZE_MAX};
            CHECK_INT(go(p, n, lanes, lanes % 3 * 5, &w)->taken, n);
        }
    job_pool_free(p);
}

TEST(joborder_stops_when_there_is_enough)
{
    struct job_pool *p = job_pool_new("t", 4, 100);
    struct work w;

    for (size_t enough = 1; enough < 100; enough += 7) {
        w = (struct work){.enough = enough, .first = 2};
        CHECK_INT(go(p, 500, 4, 6, &w)->taken, enough);
        CHECK(w.begun <= enough + 6);
    }
    w = (struct work){.enough = 1, .first = 1};
    CHECK_INT(go(p, 500, 4, 6, &w)->begun, 1);
    job_pool_free(p);
}

struct side {
    struct job_pool *pool;
    struct work work;
};

static void go_aside(void *arg)
{
    struct side *s = arg;

    CHECK_INT(go(s->pool, 300, 4, 0, &s->work)->taken, 300);
}

/* Each asks for all threads of a pool that has fewer than they are, and is itself a job of it. */
TEST(joborder_many_at_once_in_a_busy_pool)
{
    struct job_pool *p = job_pool_new("t", 3, 4);
    struct job_pool *askers = job_pool_new("askers", 8, 100);
    static struct side sides[24];

    for (size_t i = 0; i < ORR_COUNT(sides); i++) {
        sides[i] = (struct side){.pool = i % 4 ? p : askers, .work.enough = SIZE_MAX};
        CHECK_OK(job_run(askers, NULL, go_aside, NULL, &sides[i]));
    }
    job_pool_free(askers);
    job_pool_free(p);
    for (size_t i = 0; i < ORR_COUNT(sides); i++)
        CHECK_INT(sides[i].work.taken, 300);
}
