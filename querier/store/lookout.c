#include "querier/store/lookout.h"

#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

#define MAX_QUEUED 100000

struct lookout {
    lookout_fn *look;
    void *arg;
    struct job_pool *pool; /* NULL: the asker looks */
    struct lock lock;      /* over all states */
    pthread_cond_t ended;
};

struct looking {
    struct lookout *lo;
    struct lookout_state *st;
    char *name;
};

struct lookout *lookout_new(unsigned threads, lookout_fn *look, void *arg)
{
    struct lookout *lo = mem_new(struct lookout);

    lo->look = look;
    lo->arg = arg;
    lo->pool = threads ? job_pool_new("lookout", threads, MAX_QUEUED) : NULL;
    lock_init(&lo->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&lo->ended);
    return lo;
}

void lookout_free(struct lookout *lo)
{
    if (!lo)
        return;
    job_pool_free(lo->pool);
    (void)pthread_cond_destroy(&lo->ended);
    lock_done(&lo->lock);
    mem_free(lo);
}

void lookout_state_done(struct lookout_state *st)
{
    err_free(st->failure);
    *st = (struct lookout_state){0};
}

bool lookout_is_idle(struct lookout *lo, const struct lookout_state *st)
{
    bool ret;

    lock_take(&lo->lock);
    ret = !st->is_running;
    lock_release(&lo->lock);
    return ret;
}

static void end(struct lookout *lo, struct lookout_state *st, struct err *e)
{
    lock_take(&lo->lock);
    err_free(st->failure);
    st->failure = e;
    if (e)
        st->failed_ns = clock_mono_ns(&clock_system);
    else
        st->well_ns = st->began_ns;
    st->is_running = false;
    (void)pthread_cond_broadcast(&lo->ended);
    lock_release(&lo->lock);
}

static void look(void *arg)
{
    struct looking *l = arg;

    end(l->lo, l->st, l->lo->look(l->lo->arg, slice_cstr(l->name)));
    mem_free(l->name);
    mem_free(l);
}

/* With the lock, which is let go meanwhile. */
static void begin(struct lookout *lo, struct lookout_state *st, struct slice name)
{
    struct looking *l = mem_new(struct looking);
    struct err *e = NULL;

    *l = (struct looking){lo, st, mem_printf("%.*s", SLICE_ARG(name))};
    st->is_running = true;
    st->began_ns = clock_mono_ns(&clock_system);
    lock_release(&lo->lock);
    if (!lo->pool)
        look(l);
    else if ((e = job_run(lo->pool, NULL, look, NULL, l))) {
        end(lo, st, e);
        mem_free(l->name);
        mem_free(l);
    }
    lock_take(&lo->lock);
}

/* With the lock. False once the one under way has lasted too long. */
static bool wait_for_it(struct lookout *lo, const struct lookout_state *st, bool is_patient)
{
    int64_t until_ns = st->began_ns + LOOKOUT_PATIENCE_MS * NS_PER_MS;
    struct timespec until = {until_ns / NS_PER_S, until_ns % NS_PER_S};

    if (is_patient) {
        lock_wait(&lo->lock, &lo->ended);
        return true;
    }
    return lock_wait_until(&lo->lock, &lo->ended, &until) || !st->is_running;
}

struct err *lookout_ask(struct lookout *lo, struct lookout_state *st, struct slice name,
                        int64_t since_ns, bool is_patient)
{
    int64_t rest_ns = is_patient ? 0 : LOOKOUT_PAUSE_MS * NS_PER_MS;
    int64_t fresh_ns = clock_mono_ns(&clock_system) - rest_ns; /* failures since then will do */
    struct err *e = NULL;

    lock_take(&lo->lock);
    while (!e && (!st->well_ns || st->well_ns < since_ns)) {
        if (st->is_running) {
            if (!wait_for_it(lo, st, is_patient))
                e = err_new(ERR_TIMEOUT, "the object store has not answered for %d ms",
                            LOOKOUT_PATIENCE_MS);
        } else if (st->failure && st->failed_ns >= fresh_ns) {
            e = err_copy(st->failure);
        } else {
            begin(lo, st, name);
        }
    }
    lock_release(&lo->lock);
    return e;
}
