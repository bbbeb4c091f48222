#include "querier/plan/flight.h"

#include <time.h>

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/mem.h"

#define LOOK_MS 100 /* how late a cancellation may be noticed */

struct flight {
    struct flights *all;
    char *key;
    size_t key_len;
    unsigned refs, passengers;
    bool has_landed;
    struct buf bytes;
    struct err *err;
};

struct flights {
    struct lock lock; /* of all that follows, and of every flight */
    pthread_cond_t landed;
    struct map under_way;
    uint64_t passengers;
};

struct flights *flights_new(void)
{
    struct flights *fs = mem_new(struct flights);
    pthread_condattr_t attr;

    lock_init(&fs->lock, LOCK_LEAF_MODULE);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&fs->landed, &attr);
    (void)pthread_condattr_destroy(&attr);
    return fs;
}

void flights_free(struct flights *fs)
{
    if (!fs)
        return;
    (void)pthread_cond_destroy(&fs->landed);
    map_done(&fs->under_way);
    lock_done(&fs->lock);
    mem_free(fs);
}

uint64_t flights_passengers(struct flights *fs)
{
    uint64_t n;

    lock_take(&fs->lock);
    n = fs->passengers;
    lock_release(&fs->lock);
    return n;
}

/* ---- with the lock ---- */

static void flight_unref(struct flight *f)
{
    if (--f->refs)
        return;
    buf_done(&f->bytes);
    err_free(f->err);
    mem_free(f->key);
    mem_free(f);
}

static struct flight *take_off(struct flights *fs, struct slice key)
{
    struct flight *f = mem_new(struct flight);

    f->all = fs;
    f->key = mem_dup(key.ptr, key.len);
    f->key_len = key.len;
    f->refs = 1;
    (void)map_put(&fs->under_way, key, f);
    return f;
}

/* Until it has landed; or the passenger's own time or patience is over. */
static struct err *wait_for(struct flight *f, int64_t deadline_mono_ms, const atomic_bool *cancel)
{
    while (!f->has_landed) {
        int64_t now = clock_mono_ms(&clock_system), until = now + LOOK_MS;
        struct timespec ts;

        if (cancel && atomic_load(cancel))
            return err_new(ERR_CANCELED, "query canceled");
        if (deadline_mono_ms && now >= deadline_mono_ms)
            return err_new(ERR_TIMEOUT, "query timed out while an equal one was run");
        if (deadline_mono_ms)
            until = ORR_MIN(until, deadline_mono_ms);
        ts = (struct timespec){.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
        lock_wait_until(&f->all->lock, &f->all->landed, &ts);
    }
    return NULL;
}

/* What has landed does not change any more, and may be long: the lock is not held for it. */
static void copy_answer(struct flight *f, struct buf *ret)
{
    lock_release(&f->all->lock);
    buf_slice_append(ret, buf_slice(&f->bytes));
    lock_take(&f->all->lock);
}

static bool is_the_pilots_own(const struct err *e)
{
    return err_is(e, ERR_CANCELED) || err_is(e, ERR_TIMEOUT);
}

/* ---- */

struct err *flight_board(struct flights *fs, struct slice key, int64_t deadline_mono_ms,
                         const atomic_bool *cancel, struct flight **ret_pilot,
                         struct buf *ret_bytes)
{
    struct err *e = NULL;
    struct flight *f;

    *ret_pilot = NULL;
    lock_take(&fs->lock);
    while ((f = map_get(&fs->under_way, key))) {
        bool is_over;

        f->refs++;
        f->passengers++;
        fs->passengers++;
        e = wait_for(f, deadline_mono_ms, cancel);
        f->passengers--;
        is_over = e || !f->err || !is_the_pilots_own(f->err);
        if (!e && f->err && is_over)
            e = err_copy(f->err);
        if (!e && is_over)
            copy_answer(f, ret_bytes);
        flight_unref(f);
        if (is_over) {
            lock_release(&fs->lock);
            return e;
        }
    }
    *ret_pilot = take_off(fs, key);
    lock_release(&fs->lock);
    return NULL;
}

void flight_land(struct flight *f, const struct err *e, void (*write)(struct buf *out, void *arg),
                 void *arg)
{
    struct flights *fs = f->all;
    struct buf bytes = {0};
    bool is_awaited;

    lock_take(&fs->lock); /* from here on nobody boards */
    (void)map_del(&fs->under_way, slice_of(f->key, f->key_len));
    is_awaited = f->passengers > 0;
    lock_release(&fs->lock);
    if (!e && is_awaited)
        write(&bytes, arg);
    lock_take(&fs->lock);
    f->bytes = bytes;
    f->err = e ? err_copy(e) : NULL;
    f->has_landed = true;
    (void)pthread_cond_broadcast(&fs->landed);
    flight_unref(f);
    lock_release(&fs->lock);
}
