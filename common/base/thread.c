#include "common/base/thread.h"

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/fault.h"

/* Faults are raised on the thread that caused them, SIGPROF is how a sampling profiler works. */
static const int own_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGPROF};

#define SHORT_TURN_NS UINT64_C(300000)

/* The kernel's struct sched_attr, as of its first version; Debian 12's C library does not declare it. For a thread of the usual
 * policy the run time is the length of its turns, 0 the kernel's own (EEVDF, sched(7)). */
struct turn_attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

static _Thread_local bool leaves_a_core;
static bool are_turns_short; /* of threads that do not leave a core; set before there are any */

static void use_turns(uint64_t ns)
{
    struct turn_attr a = {.size = sizeof(a)};

    if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) != 0 || a.policy != SCHED_OTHER)
        return;
    a.runtime_ns = ns;
    a.deadline_ns = a.period_ns = 0;
    /* An older kernel, or a sandbox that refuses it: the thread works as before. */
    (void)syscall(SYS_sched_setattr, 0, &a, 0);
}

void thread_take_short_turns(void)
{
    are_turns_short = true;
    use_turns(SHORT_TURN_NS);
}

/* Those of the main thread, which never leaves one, but for the last. */
static void use_cores(bool all_of_them)
{
    cpu_set_t cores;

    if (sched_getaffinity(getpid(), sizeof(cores), &cores) != 0 || CPU_COUNT(&cores) < 2)
        return;
    for (int i = CPU_SETSIZE - 1; !all_of_them && i >= 0; i--)
        if (CPU_ISSET(i, &cores)) {
            CPU_CLR(i, &cores);
            break;
        }
    /* Where a sandbox refuses it the thread works as before. */
    (void)pthread_setaffinity_np(pthread_self(), sizeof(cores), &cores);
}

static void be_as(bool leaves)
{
    use_cores(!leaves);
    if (are_turns_short)
        use_turns(leaves ? 0 : SHORT_TURN_NS);
}

void thread_leave_a_core(bool leaves)
{
    if (leaves == leaves_a_core)
        return;
    leaves_a_core = leaves;
    be_as(leaves);
}

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
    /* The new thread inherits the masks and the turns of this one. */
    if (leaves_a_core)
        be_as(false);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    rc = pthread_create(&id, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (leaves_a_core)
        be_as(true);
    if (rc)
        return err_errnum(ERR_UNAVAILABLE, rc, "start thread %s", name);
    snprintf(short_name, sizeof(short_name), "%.15s", name);
    (void)pthread_setname_np(id, short_name);
    *ret = id;
    return NULL;
}
