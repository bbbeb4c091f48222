#include "common/base/thread.h"

#include <signal.h>
#include <stdio.h>

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
