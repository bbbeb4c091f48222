/*
 * An event loop: one libevent base on one thread. Nothing on a loop blocks: no fsync, resolver,
 * object store or long computation.
 *
 * Owner: the thread that runs it. loop_post() may be called from any thread; everything else from
 * the loop's own thread (or before it runs).
 */
#pragma once
#include "common/base/err.h"

struct event_base;
struct loop;
struct loop_timer;

typedef void loop_fn(void *arg);

ORR_CHECKED struct err *loop_new(const char *name, struct loop **ret);
/* The loop must not be running. Functions still posted are run first. */
void loop_free(struct loop *l);
/* Runs on the calling thread until loop_stop(). */
void loop_run(struct loop *l);
/* Runs what is ready, waits at most timeout_ms for something; for tests. */
void loop_run_once(struct loop *l, int timeout_ms);
/* From any thread; the loop ends after the current callbacks. */
void loop_stop(struct loop *l);
/* Starts a thread that runs the loop; loop_join() stops and joins it. */
ORR_CHECKED struct err *loop_start(struct loop *l);
void loop_join(struct loop *l);

/* Runs fn(arg) on the loop's thread, in the order posted. Any thread. */
void loop_post(struct loop *l, loop_fn *fn, void *arg);
bool loop_is_mine(const struct loop *l); /* is the calling thread the loop's? */
struct loop *loop_current(void);         /* of the calling thread, or NULL */
struct event_base *loop_base(struct loop *l);
int64_t loop_now_ms(struct loop *l); /* mono, cached per round */

/* One-shot timer; arm again from its callback to repeat. Freed with loop_timer_free(). */
struct loop_timer *loop_timer_new(struct loop *l, loop_fn *fn, void *arg);
void loop_timer_arm_ms(struct loop_timer *t, int64_t delay_ms); /* rearming replaces */
void loop_timer_cancel(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);

/* Calls fn whenever fd is readable, until freed. */
struct loop_io;
struct loop_io *loop_io_new(struct loop *l, int fd, loop_fn *on_readable, void *arg);
void loop_io_free(struct loop_io *io);
