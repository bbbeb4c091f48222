/*
 * An event loop: one libevent base on one thread. Nothing on a loop blocks: no fsync, resolver,
 * object store or long computation.
 *
 * Owner: the thread that runs it; before it runs and after it was joined, the thread that made or
 * joined it. loop_post() and loop_stop() may be called from any thread; everything else from the
 * owner alone.
 *
 * Timers never fire early, measured on the monotonic clock, and late by as much as the callbacks
 * before them take. Their resolution is the kernel's coarse clock (4 ms).
 */
#pragma once
#include "common/base/err.h"

struct event_base;
struct loop;
struct loop_timer;

typedef void loop_fn(void *arg);

ORR_CHECKED struct err *loop_new(const char *name, struct loop **ret);
/* The loop must not be running. Functions still posted are run first, and those they post. All
 * timers, watchers and signals must have been freed by then. NULL is allowed. */
void loop_free(struct loop *l);
/* Runs on the calling thread until loop_stop(). A stop that came before ends it at once. */
void loop_run(struct loop *l);
/* Runs what is ready, waits at most timeout_ms for something; for tests. */
void loop_run_once(struct loop *l, int timeout_ms);
/* From any thread; the loop ends after the current callbacks and what was posted before. */
void loop_stop(struct loop *l);
/* Starts a thread that runs the loop; loop_join() stops and joins it. */
ORR_CHECKED struct err *loop_start(struct loop *l);
void loop_join(struct loop *l); /* nothing happens if no thread was started */

/* Runs fn(arg) on the loop's thread, in the order posted, never from within this call. What a
 * posted function posts runs in the next round, so sockets get their turn. Any thread. */
void loop_post(struct loop *l, loop_fn *fn, void *arg);
bool loop_is_mine(const struct loop *l); /* is the calling thread the owner? */
struct loop *loop_current(void);         /* running on the calling thread, or NULL */
struct event_base *loop_base(struct loop *l);
const char *loop_name(const struct loop *l);
int64_t loop_now_ms(struct loop *l); /* mono */

/* One-shot timer; arm again from its callback to repeat. Freed with loop_timer_free(), also from
 * its own callback. */
struct loop_timer *loop_timer_new(struct loop *l, loop_fn *fn, void *arg);
void loop_timer_arm_ms(struct loop_timer *t, int64_t delay_ms); /* rearming replaces; < 0 is 0 */
void loop_timer_cancel(struct loop_timer *t);
bool loop_timer_is_armed(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* NULL is allowed */

/* Calls fn whenever fd is readable (level triggered), until freed, which its callback may do too.
 * fd stays the caller's; close it after the watcher is freed. */
struct loop_io;
struct loop_io *loop_io_new(struct loop *l, int fd, loop_fn *on_readable, void *arg);
void loop_io_free(struct loop_io *io); /* NULL is allowed */

/* Calls fn on the loop for each arrival of signo. One loop of the process (main's) has signals. */
struct loop_signal;
struct loop_signal *loop_signal_new(struct loop *l, int signo, loop_fn *fn, void *arg);
void loop_signal_free(struct loop_signal *s); /* NULL is allowed */
