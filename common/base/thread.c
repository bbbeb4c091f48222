#include "common/base/thread.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/fault.h"

/* Faults are raised on the thread that caused them, SIGPROF is how a sampling profiler works. */
static const int own_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGPROF};

struct err *thread_start(const char *name, thread_fn *fn, void *arg, pthread_t *ret)
{
    sigset_t blocked, before;
    char short_name[16];
    pthread_t id;
    int rc;

    if (fault_hit("thread.start", &rc))
        return err_errnum(ERR_UNAVAILABLE, rc, "start thread %s", name);
    sigfillset(&blocked);
    for (size_t i = 0; i < ORR_COUNT(own_signals); i++)
        sigdelset(&blocked, own_signals[i]);
    /* The new thread inherits the mask of this one. */
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    rc = pthread_create(&id, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        return err_errnum(ERR_UNAVAILABLE, rc, "start thread %s", name);
    snprintf(short_name, sizeof(short_name), "%.15s", name);
    (void)pthread_setname_np(id, short_name);
    *ret = id;
    return NULL;
}

/* ---- bursts ---- */

/* As the kernel's struct sched_attr of 48 bytes, for which the C library has no name yet. */
struct slice_attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns, deadline_ns, period_ns;
};
#define KEEP_POLICY 0x08 /* whoever started the process may have chosen SCHED_BATCH for it */
static_assert(sizeof(struct slice_attr) == 48, "the kernel's first version of it");

void thread_prefer_bursts(void)
{
    struct slice_attr attr = {.size = sizeof(attr),
                              .flags = KEEP_POLICY,
                              .nice = getpriority(PRIO_PROCESS, (id_t)gettid()),
                              .slice_ns = THREAD_BURST_US * UINT64_C(1000)};

    /* It is a wish: where it is refused (a sandbox) the thread works as before. */
    (void)syscall(SYS_sched_setattr, 0, &attr, 0);
}

/* ---- stepping back ---- */

static _Thread_local int nice_before;
static _Thread_local bool is_back;
static bool may_come_back;

static bool set_nice(int nice)
{
    return setpriority(PRIO_PROCESS, (id_t)gettid(), nice) == 0;
}

/* On a thread of its own, which may stay where it went. */
static void *try_coming_back(void *arg)
{
    int nice = getpriority(PRIO_PROCESS, (id_t)gettid());

    (void)arg;
    may_come_back = nice < PRIO_MAX - 1 && set_nice(nice + 1) && set_nice(nice);
    return NULL;
}

static void find_out(void)
{
    pthread_t id;
    struct err *e = thread_start("nice", try_coming_back, NULL, &id);

    if (e)
        err_free(e);
    else
        (void)pthread_join(id, NULL);
}

void thread_step_back(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (is_back)
        return;
    (void)pthread_once(&once, find_out);
    if (!may_come_back)
        return;
    nice_before = getpriority(PRIO_PROCESS, (id_t)gettid());
    is_back = set_nice(ORR_MIN(nice_before + THREAD_BACK_NICE, PRIO_MAX - 1));
}

void thread_step_up(void)
{
    if (is_back)
        is_back = !set_nice(nice_before);
}
