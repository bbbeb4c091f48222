/* One call to another process that a worker waits for, and who to ask in which order. */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "ruler/rule_remote_internal.h"

#define MAX_TRIES 4
/* On top of the call's own timeout, which ends it as long as loops run. */
#define SLACK_MS 2000

/* Shared by the worker that waits and the loop that answers; whoever is last frees it, because
 * the worker may give up when loops have been stopped. */
struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    unsigned refs;
    bool is_done;
    struct buf reply;
    struct err *error;
};

static void waiter_unref_locked(struct waiter *w)
{
    bool is_last = --w->refs == 0;

    pthread_mutex_unlock(&w->mutex);
    if (!is_last)
        return;
    pthread_mutex_destroy(&w->mutex);
    pthread_cond_destroy(&w->cond);
    buf_done(&w->reply);
    err_free(w->error);
    mem_free(w);
}

static void on_reply(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct waiter *w = arg;

    pthread_mutex_lock(&w->mutex);
    buf_slice_append(&w->reply, payload);
    if (!is_last) {
        pthread_mutex_unlock(&w->mutex);
        return;
    }
    w->error = err_copy(e);
    w->is_done = true;
    pthread_cond_signal(&w->cond);
    waiter_unref_locked(w);
}

static struct waiter *waiter_new(void)
{
    struct waiter *w = mem_new(struct waiter);

    pthread_mutex_init(&w->mutex, NULL);
    lock_cond_init(&w->cond);
    w->refs = 2;
    return w;
}

static struct err *call_one(struct rpc_pool *peers, const char *addr,
                            const struct rpc_call_opts *opts, struct slice payload, struct buf *ret)
{
    struct waiter *w = waiter_new();
    struct timespec until;
    struct err *e = NULL;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)((opts->timeout_ms + SLACK_MS) / MS_PER_S + 1);
    rpc_call(rpc_pool_peer(peers, addr), opts, payload, on_reply, w, NULL);
    pthread_mutex_lock(&w->mutex);
    while (!w->is_done && rc == 0)
        rc = pthread_cond_timedwait(&w->cond, &w->mutex, &until);
    if (!w->is_done) {
        e = err_new(ERR_TIMEOUT, "%s: no answer", addr);
    } else {
        e = err_wrap(w->error, "%s", addr);
        w->error = NULL;
        buf_done(ret);
        *ret = w->reply;
        w->reply = (struct buf){0};
    }
    waiter_unref_locked(w);
    return e;
}

static bool may_retry(const struct err *e, bool also_timeouts)
{
    return err_is(e, ERR_UNAVAILABLE) || err_is(e, ERR_NET) || err_is(e, ERR_IO) ||
           err_is(e, ERR_CANCELED) || (also_timeouts && err_is(e, ERR_TIMEOUT));
}

struct err *rule_remote_call(const struct rule_remote_shared *sh, uint32_t role, uint32_t key,
                             const struct rpc_call_opts *opts, struct slice payload,
                             bool retries_timeouts, struct buf *ret)
{
    struct ring *ring =
        membership_ring(sh->membership, role, role == MEMBER_INGESTER ? MEMBER_METRICS : 0);
    uint16_t order[MAX_TRIES];
    size_t n = ring_order(ring, key, order, MAX_TRIES);
    struct err *e = NULL;

    if (n == 0)
        e = err_new(ERR_UNAVAILABLE, "no %s is up",
                    role == MEMBER_INGESTER ? "ingester" : "querier");
    for (size_t i = 0; i < n; i++) {
        err_free(e);
        e = call_one(sh->peers, ring_member(ring, order[i])->rpc_addr, opts, payload, ret);
        if (!e || !may_retry(e, retries_timeouts))
            break;
    }
    ring_unref(ring);
    return e;
}
