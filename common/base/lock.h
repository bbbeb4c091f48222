/*
 * A mutex is the exception. It is declared above the fields it guards and has a rank in
 * lock_ranks.def; debug builds (ORR_DEBUG) abort when ranks are taken out of order on a thread.
 */
#pragma once
#include <pthread.h>

#include "common/base/attr.h"

enum lock_rank {
#define RANK(name) LOCK_##name,
#include "common/base/lock_ranks.def"
#undef RANK
    LOCK_RANKS
};

struct lock {
    pthread_mutex_t mutex;
    enum lock_rank rank;
};

void lock_init(struct lock *l, enum lock_rank rank);
void lock_done(struct lock *l);
void lock_take(struct lock *l);
void lock_release(struct lock *l);
/* Waits on cond with the lock held, as pthread_cond_wait. */
void lock_wait(struct lock *l, pthread_cond_t *cond);
/* The same until a time of the clock that cond was made for; false once that has come. */
bool lock_wait_until(struct lock *l, pthread_cond_t *cond, const struct timespec *until);
/* A condition for times of CLOCK_MONOTONIC; ended with pthread_cond_destroy(). */
void lock_cond_init(pthread_cond_t *cond);
