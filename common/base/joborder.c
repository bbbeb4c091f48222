#include "common/base/joborder.h"

#include <stdatomic.h>

#include "common/base/lock.h"
#include "common/base/mem.h"

/* Helpers that come late find nothing to do and only drop their reference. */
struct order {
    struct joborder o;
    _Atomic uint32_t refs;

    struct lock lock; /* guards what follows */
    pthread_cond_t changed;
    size_t next, taken;        /* pieces */
    size_t window;             /* now; up to o.window */
    size_t running;            /* pieces */
    unsigned helpers, waiting; /* asked for; of these, not begun */
    bool is_taking, is_over;
    bool *done; /* of the window, by the piece's number modulo window */
};

static void order_unref(void *arg)
{
    struct order *r = arg;

    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    (void)pthread_cond_destroy(&r->changed);
    lock_done(&r->lock);
    mem_free(r->done);
    mem_free(r);
}

/* With the lock: how many pieces can be begun now. */
static size_t ready(const struct order *r)
{
    if (r->is_over)
        return 0;
    return ORR_MIN(r->o.n - r->next, r->window - ORR_MIN(r->window, r->next - r->taken));
}

static void help(void *arg);

/* With the lock. */
static void call_helpers(struct order *r)
{
    while (r->waiting < ready(r) && r->helpers + 1 < r->o.lanes) {
        struct err *e;

        atomic_fetch_add(&r->refs, 1);
        if ((e = job_run(r->o.pool, NULL, help, order_unref, r))) {
            err_free(e); /* all busy: who is there does it */
            atomic_fetch_sub(&r->refs, 1);
            return;
        }
        r->helpers++;
        r->waiting++;
    }
}

/* With the lock, which it lets go of meanwhile. One thread at a time: the others leave theirs to it. */
static void take_what_is_done(struct order *r)
{
    while (!r->is_over && !r->is_taking && r->taken < r->next && r->done[r->taken % r->o.window]) {
        unsigned window;

        r->is_taking = true;
        lock_release(&r->lock);
        window = r->o.take(r->o.arg, r->taken);
        lock_take(&r->lock);
        r->is_taking = false;
        r->done[r->taken++ % r->o.window] = false;
        r->window = ORR_MIN(window, r->o.window);
        r->is_over = window == 0;
        call_helpers(r);
    }
    (void)pthread_cond_broadcast(&r->changed);
}

/* With the lock: runs one piece, if any is ready. */
static bool run_one(struct order *r)
{
    size_t i;

    if (!ready(r))
        return false;
    i = r->next++;
    r->running++;
    call_helpers(r);
    lock_release(&r->lock);
    r->o.run(r->o.arg, i);
    lock_take(&r->lock);
    r->running--;
    r->done[i % r->o.window] = true;
    take_what_is_done(r);
    return true;
}

static void help(void *arg)
{
    struct order *r = arg;

    lock_take(&r->lock);
    r->waiting--;
    while (run_one(r) && job_pool_queued(r->o.pool) == 0)
        ;
    r->helpers--;
    call_helpers(r); /* in its own place, behind those that wait */
    lock_release(&r->lock);
}

void joborder(const struct joborder *o)
{
    struct order *r = mem_new(struct order);

    r->o = *o;
    r->o.lanes = ORR_MAX(o->lanes, 1u);
    r->o.window = ORR_MAX(o->window, r->o.lanes);
    r->window = o->first ? ORR_MIN(o->first, r->o.window) : r->o.window;
    r->done = mem_new_array(bool, r->o.window);
    atomic_store(&r->refs, 1);
    lock_init(&r->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&r->changed);
    lock_take(&r->lock);
    for (;;) {
        if (run_one(r))
            continue;
        if (!r->running && !r->is_taking && (r->is_over || r->taken == r->o.n))
            break;
        lock_wait(&r->lock, &r->changed);
    }
    r->is_over = true; /* for helpers that come yet */
    lock_release(&r->lock);
    order_unref(r);
}
