/*
 * Starting threads. A thread of ours has a name (cut to 15 bytes, the kernel's bound) and takes no
 * signals but those it causes itself: SIGTERM, SIGHUP and the like belong to main's loop.
 *
 * Any thread.
 */
#pragma once
#include <pthread.h>

#include "common/base/err.h"

typedef void *thread_fn(void *arg);

/* ERR_UNAVAILABLE when the system gives no thread. The caller joins *ret. */
ORR_CHECKED struct err *thread_start(const char *name, thread_fn *fn, void *arg, pthread_t *ret);

/*
 * The calling thread works in short bursts that others wait for (a loop, a shard): when it wakes up it goes before
 * threads that compute, without waiting for the end of their slices. It asks the scheduler for slices of
 * THREAD_BURST_US, which needs no privilege; kernels before 6.12 take no notice.
 */
#define THREAD_BURST_US 100
void thread_prefer_bursts(void);

/*
 * The calling thread does long work from here on: threads of the process that wake up for short work go before
 * it (its nice value is raised by THREAD_BACK_NICE, which leaves it a tenth of a contended core). Nothing happens
 * where the system would not let the thread come back (no CAP_SYS_NICE, and RLIMIT_NICE below 20), or when
 * it has stepped back already.
 */
#define THREAD_BACK_NICE 10
void thread_step_back(void);
/* The long work is over. Allowed without a thread_step_back() before. */
void thread_step_up(void);
