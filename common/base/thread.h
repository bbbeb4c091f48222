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
 * The calling thread, and those it starts, run in short turns: who wakes up for short work then takes the core at once from
 * one that computes for long, where the kernel's scheduler knows turns (Linux 6.12 and later; elsewhere nothing changes).
 * No privilege is needed. For main, before the first thread.
 */
void thread_take_short_turns(void);

/*
 * The calling thread, which computes for long, takes turns of the usual length, and stays off one of the process's cores until it is told otherwise: who
 * wakes up for short work finds that one idle, and does not wait for the end of somebody's turn. No privilege is needed.
 * Where there is one core only none is left. Threads that it starts meanwhile are not concerned.
 */
void thread_leave_a_core(bool leaves);
