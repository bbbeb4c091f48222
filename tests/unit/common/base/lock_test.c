#include <time.h>

#include "common/base/lock.h"
#include "tests/unit/test.h"

static bool is_past(const struct timespec *t)
{
    struct timespec now;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return now.tv_sec > t->tv_sec || (now.tv_sec == t->tv_sec && now.tv_nsec >= t->tv_nsec);
}

TEST(lock_waits_until_a_monotonic_time)
{
    struct timespec until;
    pthread_cond_t cond;
    struct lock l;

    lock_init(&l, LOCK_OBJSTORE);
    lock_cond_init(&cond);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_nsec += until.tv_nsec < 999000000 ? 1000000 : 0;
    lock_take(&l);
    while (lock_wait_until(&l, &cond, &until)) /* it may wake up early */
        ;
    CHECK(is_past(&until));
    CHECK(!lock_wait_until(&l, &cond, &until));
    lock_release(&l);
    (void)pthread_cond_destroy(&cond);
    lock_done(&l);
}
