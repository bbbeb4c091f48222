#include "common/rpc/feed.h"

#include <stdatomic.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/thread.h"
#include "common/base/vec.h"

#define CLOSE_POLL_US 2000
#define SHORT_MS 2000 /* for how long after a short answer the workers of long ones leave a core */

struct feed {
    struct feeds *fs;
    struct rpc_call *call;
    const struct feed_ops *ops;
    void *src;
    struct buf frame;
    struct err *err;
    bool is_open, has_more, is_finished;
    bool is_long;   /* more than one frame */
    bool is_parked; /* the loop's: waits for credit */
};

struct feeds {
    struct job_pool *jobs;
    _Atomic bool is_closing;
    atomic_llong short_ms;  /* when the last short answer ended, monotonic; 0: none has */
    VEC(struct feed *) all; /* the loop's */
};

struct feeds *feeds_new(struct job_pool *jobs)
{
    struct feeds *fs = mem_new(struct feeds);

    fs->jobs = jobs;
    return fs;
}

static void feed_run(struct feed *f);

/* A long answer makes way for others between two frames: workers are few, and a short answer that waits for the whole
 * of a long one waits for many times what it takes itself. */
static bool has_to_make_way(const struct feed *f)
{
    return job_pool_queued(f->fs->jobs) > 0;
}

static void leave_a_core_to_short_ones(const struct feed *f)
{
    int64_t last_ms = atomic_load_explicit(&f->fs->short_ms, memory_order_relaxed);

    thread_leave_a_core(last_ms && clock_mono_ms(&clock_system) - last_ms < SHORT_MS);
}

static void finish(struct feed *f)
{
    f->is_finished = true;
    if (!f->is_long)
        atomic_store_explicit(&f->fs->short_ms, clock_mono_ms(&clock_system), memory_order_relaxed);
}

static void send_frames(struct feed *f)
{
    if (!f->is_open && f->ops->open && (f->err = f->ops->open(f->src)))
        return;
    f->is_open = true;
    for (;;) {
        if (rpc_call_is_canceled(f->call))
            f->err = err_new(ERR_CANCELED, "nobody waits for it");
        else if (atomic_load(&f->fs->is_closing))
            f->err = err_new(ERR_UNAVAILABLE, "shutting down");
        if (f->err || (f->frame.len && !rpc_stream_send(f->call, buf_slice(&f->frame))))
            return;
        buf_reset(&f->frame);
        if (!f->has_more) {
            finish(f);
            return;
        }
        if (f->is_long)
            leave_a_core_to_short_ones(f);
        if ((f->err = f->ops->next(f->src, &f->frame, &f->has_more)))
            return;
        f->is_long |= f->has_more;
        if (f->has_more && has_to_make_way(f))
            return;
    }
}

/* On a worker. */
static void feed_work(void *arg)
{
    send_frames(arg);
    thread_leave_a_core(false);
}

static void feed_end(struct feed *f)
{
    struct rpc_call *call = f->call;
    struct err *e = f->err;

    for (size_t i = 0; i < f->fs->all.len; i++)
        if (f->fs->all.ptr[i] == f) {
            vec_remove_swap(&f->fs->all, i);
            break;
        }
    f->ops->close(f->src);
    buf_done(&f->frame);
    mem_free(f);
    if (e)
        rpc_reply_err(call, e);
    else
        rpc_stream_end(call);
}

/* On the loop, behind each job. */
static void feed_worked(void *arg)
{
    struct feed *f = arg;

    if (f->err || f->is_finished)
        feed_end(f);
    else if (rpc_stream_can_send(f->call) || rpc_call_is_canceled(f->call))
        feed_run(f);
    else
        f->is_parked = true;
}

static void feed_run(struct feed *f)
{
    struct err *e = NULL;

    if (rpc_call_is_canceled(f->call))
        e = err_new(ERR_CANCELED, "nobody waits for it");
    else if (atomic_load(&f->fs->is_closing))
        e = err_new(ERR_UNAVAILABLE, "shutting down");
    if (!e && !(e = job_run(f->fs->jobs, rpc_call_loop(f->call), feed_work, feed_worked, f)))
        return;
    f->err = e;
    feed_end(f);
}

/* Credit is back, or the call is canceled. */
static void feed_writable(void *arg)
{
    struct feed *f = arg;

    if (!f->is_parked)
        return;
    f->is_parked = false;
    feed_run(f);
}

void feed_start(struct feeds *fs, struct rpc_call *call, const struct feed_ops *ops, void *src)
{
    struct feed *f = mem_new(struct feed);

    f->fs = fs;
    f->call = call;
    f->ops = ops;
    f->src = src;
    f->has_more = true;
    vec_push(&fs->all, f);
    rpc_stream_on_writable(call, feed_writable, f);
    feed_run(f);
}

void feeds_free(struct feeds *fs)
{
    if (!fs)
        return;
    atomic_store(&fs->is_closing, true);
    /* Those that are parked end here; those on a worker see that we close, and their ends, which are
     * posted to the loop, run here too. */
    while (fs->all.len) {
        struct feed *f = vec_last(&fs->all);

        if (f->is_parked) {
            f->is_parked = false;
            feed_run(f);
            continue;
        }
        loop_run_once(rpc_call_loop(f->call), 0);
        (void)usleep(CLOSE_POLL_US);
    }
    vec_done(&fs->all);
    mem_free(fs);
}
