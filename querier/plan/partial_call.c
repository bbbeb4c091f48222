#include "querier/plan/partial_call.h"

#include <time.h>

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/mem.h"

#define SLACK_MS 2000 /* on top of the call's own timeout, which ends it while loops run */
#define LOOK_MS 100   /* how late a cancellation may be noticed */

/* Shared with the loop that answers; whoever is last frees it. */
struct partial_call {
    struct lock lock;
    pthread_cond_t changed;
    unsigned refs;
    bool is_done;
    struct buf reply;
    struct err *err;
    int64_t until_ms;
};

static void unref_locked(struct partial_call *c)
{
    bool is_last = --c->refs == 0;

    lock_release(&c->lock);
    if (!is_last)
        return;
    (void)pthread_cond_destroy(&c->changed);
    lock_done(&c->lock);
    buf_done(&c->reply);
    err_free(c->err);
    mem_free(c);
}

static void on_reply(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct partial_call *c = arg;

    lock_take(&c->lock);
    buf_slice_append(&c->reply, payload);
    if (!is_last) {
        lock_release(&c->lock);
        return;
    }
    c->err = err_copy(e);
    c->is_done = true;
    (void)pthread_cond_signal(&c->changed);
    unref_locked(c);
}

struct partial_call *partial_call_start(struct rpc_pool *pool, const char *addr,
                                        struct slice tenant, struct slice payload,
                                        int64_t timeout_ms)
{
    struct partial_call *c = mem_new(struct partial_call);

    lock_init(&c->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&c->changed);
    c->refs = 2;
    c->until_ms = clock_mono_ms(&clock_system) + timeout_ms + SLACK_MS;
    rpc_call(rpc_pool_peer(pool, addr),
             &(struct rpc_call_opts){
                 .method = "querier.partial", .tenant = tenant, .timeout_ms = timeout_ms},
             payload, on_reply, c, NULL);
    return c;
}

struct err *partial_call_wait(struct partial_call *c, const atomic_bool *cancel, struct buf *ret)
{
    struct err *e = NULL;

    lock_take(&c->lock);
    while (!c->is_done && !e) {
        int64_t until = clock_mono_ms(&clock_system) + LOOK_MS;
        struct timespec ts = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};

        lock_wait_until(&c->lock, &c->changed, &ts);
        if (cancel && atomic_load(cancel))
            e = err_new(ERR_CANCELED, "query canceled");
        else if (clock_mono_ms(&clock_system) >= c->until_ms)
            e = err_new(ERR_TIMEOUT, "another querier did not answer its part of the query");
    }
    if (c->is_done) {
        err_free(e);
        e = c->err;
        c->err = NULL;
        *ret = c->reply;
        c->reply = (struct buf){0};
    }
    unref_locked(c);
    return e;
}
