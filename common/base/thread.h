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
 * The calling thread, which computes for long, stays off one of the process's cores until it is told otherwise: who
 * wakes up for short work finds that one idle, and does not wait for the end of somebody's slice. No privilege is needed.
 * Nothing happens where there is one core only. Threads that it starts meanwhile are not concerned.
 */
void thread_leave_a_core(bool leaves);
