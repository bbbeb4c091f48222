#include "common/rpc/peercall.h"

#include <time.h>

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/mem.h"

#define LOOK_MS 100 /* how late stop may be noticed */

struct peercall {
    struct peercall_opts opts;
    struct buf payload;
    struct rpc_request *request; /* loop's */
    bool is_running;             /* loop's: the last callback has not come */
    struct lock lock;
    pthread_cond_t changed;
    int64_t until_ms; /* mono */
    /* under the lock */
    struct buf answer;
    struct err *err;
    bool is_done, is_given_up;
    unsigned refs; /* the waiter's, and each of what will still run on the loop */
};

static void unref(struct peercall *pc)
{
    bool is_last;

    lock_take(&pc->lock);
    is_last = --pc->refs == 0;
    lock_release(&pc->lock);
    if (!is_last)
        return;
    buf_done(&pc->payload);
    buf_done(&pc->answer);
    err_free(pc->err);
    (void)pthread_cond_destroy(&pc->changed);
    lock_done(&pc->lock);
    mem_free((void *)pc->opts.address);
    mem_free((void *)pc->opts.tenant.ptr);
    mem_free(pc);
}

/* ---- on the loop ---- */

static void on_reply(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct peercall *pc = arg;

    lock_take(&pc->lock);
    if (!pc->err && !pc->is_given_up && payload.len) {
        if (pc->answer.len + payload.len > pc->opts.max_bytes)
            pc->err = err_new(ERR_TOO_LARGE, "%s answers more than %zu bytes", pc->opts.method,
                              pc->opts.max_bytes);
        else
            buf_slice_append(&pc->answer, payload);
    }
    if (is_last) {
        if (e && !pc->err)
            pc->err = err_copy(e);
        pc->is_done = true;
        (void)pthread_cond_signal(&pc->changed);
    }
    lock_release(&pc->lock);
    if (is_last) {
        pc->is_running = false;
        unref(pc);
    }
}

static void on_start(void *arg)
{
    struct peercall *pc = arg;
    bool is_given_up;

    lock_take(&pc->lock);
    is_given_up = pc->is_given_up;
    lock_release(&pc->lock);
    if (is_given_up) {
        unref(pc);
        return;
    }
    pc->is_running = true;
    rpc_call(rpc_pool_peer(pc->opts.pool, pc->opts.address),
             &(struct rpc_call_opts){.method = pc->opts.method,
                                     .tenant = pc->opts.tenant,
                                     .timeout_ms = pc->opts.timeout_ms},
             buf_slice(&pc->payload), on_reply, pc, &pc->request);
}

static void on_give_up(void *arg)
{
    struct peercall *pc = arg;

    if (pc->is_running) {
        pc->is_running = false;
        rpc_request_cancel(pc->request);
        unref(pc);
    }
    unref(pc);
}

/* ---- on the caller's thread ---- */

struct peercall *peercall_start(const struct peercall_opts *opts, struct slice payload)
{
    struct peercall *pc = mem_new(struct peercall);

    pc->opts = *opts;
    pc->opts.address = mem_strdup(opts->address);
    pc->opts.tenant = slice_of(slice_dup(opts->tenant), opts->tenant.len);
    buf_slice_append(&pc->payload, payload);
    lock_init(&pc->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&pc->changed);
    pc->until_ms = opts->patience_ms ? clock_mono_ms(&clock_system) + opts->patience_ms : INT64_MAX;
    pc->refs = 2;
    loop_post(opts->loop, on_start, pc);
    return pc;
}

static bool must_stop(const struct peercall *pc)
{
    return pc->opts.stop && atomic_load(pc->opts.stop);
}

struct err *peercall_wait(struct peercall *pc, struct buf *ret)
{
    struct err *e = NULL;

    lock_take(&pc->lock);
    while (!pc->is_done && !must_stop(pc) && clock_mono_ms(&clock_system) < pc->until_ms) {
        int64_t until_ms = clock_mono_ms(&clock_system) + LOOK_MS;
        struct timespec until = {until_ms / MS_PER_S, until_ms % MS_PER_S * NS_PER_MS};

        lock_wait_until(&pc->lock, &pc->changed, &until);
    }
    if (!pc->is_done) {
        pc->is_given_up = true;
        pc->refs++;
        e = must_stop(pc)
                ? err_new(ERR_CANCELED, "stopping")
                : err_new(ERR_TIMEOUT, "no answer in %lld ms", (long long)pc->opts.patience_ms);
    } else if (pc->err) {
        e = pc->err;
        pc->err = NULL;
    } else if (ret) {
        buf_done(ret);
        *ret = pc->answer;
        pc->answer = (struct buf){0};
    }
    lock_release(&pc->lock);
    if (pc->is_given_up)
        loop_post(pc->opts.loop, on_give_up, pc);
    e = err_wrap(e, "%s at %s", pc->opts.method, pc->opts.address);
    unref(pc);
    return e;
}

struct err *peercall_run(const struct peercall_opts *opts, struct slice payload, struct buf *ret)
{
    return peercall_wait(peercall_start(opts, payload), ret);
}
