#include "common/base/lock.h"

#include <errno.h>

#ifdef ORR_DEBUG
/* Ranks this thread holds, outermost first. */
static _Thread_local enum lock_rank held[LOCK_RANKS];
static _Thread_local int held_count;

static void note_taken(const struct lock *l)
{
    ORR_ASSERT(held_count == 0 || held[held_count - 1] < l->rank);
    held[held_count++] = l->rank;
}

static void note_released(const struct lock *l)
{
    int i = held_count - 1;

    while (i >= 0 && held[i] != l->rank)
        i--;
    ORR_ASSERT(i >= 0);
    for (; i + 1 < held_count; i++)
        held[i] = held[i + 1];
    held_count--;
}
#else
static void note_taken(const struct lock *l)
{
    (void)l;
}

static void note_released(const struct lock *l)
{
    (void)l;
}
#endif

void lock_init(struct lock *l, enum lock_rank rank)
{
    ORR_ASSERT(pthread_mutex_init(&l->mutex, NULL) == 0);
    l->rank = rank;
}

void lock_done(struct lock *l)
{
    (void)pthread_mutex_destroy(&l->mutex);
}

void lock_take(struct lock *l)
{
    note_taken(l);
    ORR_ASSERT(pthread_mutex_lock(&l->mutex) == 0);
}

void lock_release(struct lock *l)
{
    note_released(l);
    ORR_ASSERT(pthread_mutex_unlock(&l->mutex) == 0);
}

void lock_wait(struct lock *l, pthread_cond_t *cond)
{
    note_released(l);
    ORR_ASSERT(pthread_cond_wait(cond, &l->mutex) == 0);
    note_taken(l);
}

bool lock_wait_until(struct lock *l, pthread_cond_t *cond, const struct timespec *until)
{
    int rc;

    note_released(l);
    rc = pthread_cond_timedwait(cond, &l->mutex, until);
    ORR_ASSERT(rc == 0 || rc == ETIMEDOUT);
    note_taken(l);
    return rc == 0;
}

void lock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &attr);
    (void)pthread_condattr_destroy(&attr);
}
