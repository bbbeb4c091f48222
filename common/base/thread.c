#include "common/base/thread.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/fault.h"

/* Faults are raised on the thread that caused them, SIGPROF is how a sampling profiler works. */
static const int own_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGPROF};

static _Thread_local bool leaves_a_core;

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

void thread_leave_a_core(bool leaves)
{
    if (leaves == leaves_a_core)
        return;
    leaves_a_core = leaves;
    use_cores(!leaves);
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
    /* The new thread inherits the masks of this one. */
    if (leaves_a_core)
        use_cores(true);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    rc = pthread_create(&id, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (leaves_a_core)
        use_cores(false);
    if (rc)
        return err_errnum(ERR_UNAVAILABLE, rc, "start thread %s", name);
    snprintf(short_name, sizeof(short_name), "%.15s", name);
    (void)pthread_setname_np(id, short_name);
    *ret = id;
    return NULL;
}
