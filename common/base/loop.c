#include "common/base/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fault.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/thread.h"
#include "common/base/vec.h"

struct posted {
    loop_fn *fn;
    void *arg;
};
typedef VEC(struct posted) posted_list;

struct loop {
    char *name;
    struct event_base *base;
    struct event wake, deadline;
    int wake_fd;
    pthread_t thread;
    bool has_thread;
    _Atomic pthread_t owner;
    _Atomic bool is_running, is_stopping;
    posted_list running; /* the round being run; its memory serves the next but one */

    struct lock lock; /* guards pending */
    posted_list pending;
};

struct loop_timer {
    struct event ev;
    struct loop *loop;
    loop_fn *fn;
    void *arg;
    int64_t due_ms;
};

struct loop_io {
    struct event ev;
    struct loop *loop;
    loop_fn *fn;
    void *arg;
};

struct loop_signal {
    struct loop_io io;
};

static _Thread_local struct loop *current;
static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void on_library_log(int severity, const char *msg)
{
    if (severity >= EVENT_LOG_WARN)
        LOG_WARN(base, "libevent", KV_STR("reason", msg));
    else
        LOG_DEBUG(base, "libevent", KV_STR("reason", msg));
}

static void library_init(void)
{
    if (evthread_use_pthreads())
        attr_assert_failed("evthread_use_pthreads", __FILE__, __LINE__);
    event_set_log_callback(on_library_log);
}

/* ---- posting ---- */

static void wake(struct loop *l)
{
    uint64_t one = 1;

    /* EAGAIN means the counter is full: the loop is awake already. */
    while (write(l->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void loop_post(struct loop *l, loop_fn *fn, void *arg)
{
    bool was_empty;

    lock_take(&l->lock);
    was_empty = l->pending.len == 0;
    vec_push(&l->pending, ((struct posted){fn, arg}));
    lock_release(&l->lock);
    if (was_empty)
        wake(l);
}

/* Runs one round; false when there was nothing. */
static bool run_posted(struct loop *l)
{
    posted_list round;

    lock_take(&l->lock);
    round = l->pending;
    l->pending = l->running;
    lock_release(&l->lock);
    VEC_FOREACH (p, &round)
        p->fn(p->arg);
    l->running = round;
    vec_clear(&l->running);
    /* A burst must not hold its memory for ever. */
    if (l->running.cap > 4096)
        vec_done(&l->running);
    return round.len > 0;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct loop *l = arg;
    uint64_t count;

    (void)what;
    /* Before the flag is read and the list is taken, so what comes after wakes us again. */
    (void)!read(fd, &count, sizeof(count));
    bool is_stopping = atomic_load(&l->is_stopping);

    (void)run_posted(l);
    if (is_stopping)
        event_base_loopbreak(l->base);
}

/* ---- life ---- */

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg; /* its firing alone ends the round */
}

static struct err *loop_open(struct loop *l)
{
    int errnum;

    if (fault_hit("loop.base", &errnum))
        return err_errnum(ERR_UNAVAILABLE, errnum, "event loop %s", l->name);
    l->base = event_base_new();
    if (!l->base)
        return err_new(ERR_UNAVAILABLE, "event loop %s: libevent has no backend", l->name);
    if (fault_hit("loop.eventfd", &errnum))
        return err_errnum(ERR_UNAVAILABLE, errnum, "event loop %s: eventfd", l->name);
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->wake_fd < 0)
        return err_errno(ERR_UNAVAILABLE, "event loop %s: eventfd", l->name);
    if (event_assign(&l->deadline, l->base, -1, 0, on_deadline, l) ||
        event_assign(&l->wake, l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l) ||
        event_add(&l->wake, NULL)) {
        close(l->wake_fd);
        l->wake_fd = -1;
        return err_new(ERR_UNAVAILABLE, "event loop %s: cannot watch its eventfd", l->name);
    }
    return NULL;
}

struct err *loop_new(const char *name, struct loop **ret)
{
    struct loop *l;
    struct err *e;

    pthread_once(&library_once, library_init);
    l = mem_new(struct loop);
    l->name = mem_strdup(name);
    l->wake_fd = -1;
    lock_init(&l->lock, LOCK_LOOP);
    atomic_store(&l->owner, pthread_self());
    if ((e = loop_open(l))) {
        loop_free(l);
        return e;
    }
    *ret = l;
    return NULL;
}

static void run_leftovers(struct loop *l)
{
    struct loop *before = current;

    atomic_store(&l->owner, pthread_self());
    current = l;
    while (run_posted(l))
        ;
    current = before;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    ORR_ASSERT(!l->has_thread && !atomic_load(&l->is_running));
    run_leftovers(l);
    if (l->wake_fd >= 0) {
        event_del(&l->wake);
        event_del(&l->deadline);
        close(l->wake_fd);
    }
    if (l->base)
        event_base_free(l->base);
    vec_done(&l->pending);
    vec_done(&l->running);
    lock_done(&l->lock);
    mem_free(l->name);
    mem_free(l);
}

static void run(struct loop *l, int flags)
{
    struct loop *before = current;

    ORR_ASSERT(!atomic_exchange(&l->is_running, true));
    atomic_store(&l->owner, pthread_self());
    current = l;
    if (event_base_loop(l->base, flags) < 0)
        attr_assert_failed("event_base_loop", __FILE__, __LINE__);
    current = before;
    atomic_store(&l->is_running, false);
}

void loop_run(struct loop *l)
{
    run(l, EVLOOP_NO_EXIT_ON_EMPTY);
    atomic_store(&l->is_stopping, false);
}

void loop_run_once(struct loop *l, int timeout_ms)
{
    if (timeout_ms <= 0) {
        run(l, EVLOOP_NONBLOCK);
    } else {
        struct timeval tv = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

        event_add(&l->deadline, &tv);
        run(l, EVLOOP_ONCE);
        event_del(&l->deadline);
    }
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->is_stopping, true);
    wake(l);
}

static void *loop_main(void *arg)
{
    loop_run(arg);
    return NULL;
}

struct err *loop_start(struct loop *l)
{
    struct err *e;

    ORR_ASSERT(!l->has_thread);
    if ((e = thread_start(l->name, loop_main, l, &l->thread)))
        return err_wrap(e, "event loop %s", l->name);
    l->has_thread = true;
    return NULL;
}

void loop_join(struct loop *l)
{
    if (!l->has_thread)
        return;
    ORR_ASSERT(!pthread_equal(l->thread, pthread_self()));
    loop_stop(l);
    pthread_join(l->thread, NULL);
    l->has_thread = false;
    atomic_store(&l->owner, pthread_self());
}

bool loop_is_mine(const struct loop *l)
{
    return pthread_equal(atomic_load(&l->owner), pthread_self()) != 0;
}

struct loop *loop_current(void)
{
    return current;
}

struct event_base *loop_base(struct loop *l)
{
    return l->base;
}

const char *loop_name(const struct loop *l)
{
    return l->name;
}

int64_t loop_now_ms(struct loop *l)
{
    (void)l;
    return clock_mono_ms(&clock_system);
}

/* ---- timers ---- */

static void timer_add(struct loop_timer *t, int64_t delay_ms)
{
    struct timeval tv = {delay_ms / MS_PER_S, delay_ms % MS_PER_S * 1000};

    if (event_add(&t->ev, &tv))
        attr_assert_failed("event_add timer", __FILE__, __LINE__);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct loop_timer *t = arg;
    int64_t left_ms = t->due_ms - loop_now_ms(t->loop);

    (void)fd, (void)what;
    /* libevent counts on a coarse clock, from the start of the round: it may be early. */
    if (left_ms > 0)
        timer_add(t, left_ms);
    else
        t->fn(t->arg); /* which may free t */
}

struct loop_timer *loop_timer_new(struct loop *l, loop_fn *fn, void *arg)
{
    struct loop_timer *t = mem_new(struct loop_timer);

    ORR_ASSERT(loop_is_mine(l) || !atomic_load(&l->is_running));
    *t = (struct loop_timer){.loop = l, .fn = fn, .arg = arg};
    if (event_assign(&t->ev, l->base, -1, 0, on_timer, t))
        attr_assert_failed("event_assign timer", __FILE__, __LINE__);
    return t;
}

void loop_timer_arm_ms(struct loop_timer *t, int64_t delay_ms)
{
    ORR_ASSERT(loop_is_mine(t->loop) || !atomic_load(&t->loop->is_running));
    /* A century is for ever, and keeps sums in range. */
    delay_ms = ORR_MIN(ORR_MAX(delay_ms, 0), (int64_t)100 * 365 * 86400 * MS_PER_S);
    t->due_ms = loop_now_ms(t->loop) + delay_ms;
    timer_add(t, delay_ms);
}

void loop_timer_cancel(struct loop_timer *t)
{
    ORR_ASSERT(loop_is_mine(t->loop) || !atomic_load(&t->loop->is_running));
    event_del(&t->ev);
}

bool loop_timer_is_armed(const struct loop_timer *t)
{
    return event_pending(&t->ev, EV_TIMEOUT, NULL) != 0;
}

void loop_timer_free(struct loop_timer *t)
{
    if (!t)
        return;
    loop_timer_cancel(t);
    mem_free(t);
}

/* ---- watchers ---- */

static void on_io(evutil_socket_t fd, short what, void *arg)
{
    struct loop_io *io = arg;

    (void)fd, (void)what;
    io->fn(io->arg); /* which may free io */
}

static void io_watch(struct loop_io *io, struct loop *l, int fd, short what)
{
    ORR_ASSERT(loop_is_mine(l) || !atomic_load(&l->is_running));
    if (event_assign(&io->ev, l->base, fd, (short)(what | EV_PERSIST), on_io, io) ||
        event_add(&io->ev, NULL))
        attr_assert_failed("event_add watcher", __FILE__, __LINE__);
}

struct loop_io *loop_io_new(struct loop *l, int fd, loop_fn *on_readable, void *arg)
{
    struct loop_io *io = mem_new(struct loop_io);

    *io = (struct loop_io){.loop = l, .fn = on_readable, .arg = arg};
    io_watch(io, l, fd, EV_READ);
    return io;
}

void loop_io_free(struct loop_io *io)
{
    if (!io)
        return;
    ORR_ASSERT(loop_is_mine(io->loop) || !atomic_load(&io->loop->is_running));
    event_del(&io->ev);
    mem_free(io);
}

struct loop_signal *loop_signal_new(struct loop *l, int signo, loop_fn *fn, void *arg)
{
    struct loop_signal *s = mem_new(struct loop_signal);

    s->io = (struct loop_io){.loop = l, .fn = fn, .arg = arg};
    io_watch(&s->io, l, signo, EV_SIGNAL);
    return s;
}

void loop_signal_free(struct loop_signal *s)
{
    if (!s)
        return;
    event_del(&s->io.ev);
    mem_free(s);
}
