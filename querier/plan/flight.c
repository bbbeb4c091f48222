#include "querier/plan/flight.h"

#include <time.h>

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/mem.h"

#define LOOK_MS 100 /* how late a cancellation may be noticed */

enum flight_state {
    FLIGHT_QUEUED, /* behind the one under way, as its next */
    FLIGHT_READY,  /* the first of those aboard to look is the pilot */
    FLIGHT_UNDER_WAY,
    FLIGHT_LANDED,
};

struct flight {
    struct flights *all;
    char *key;
    size_t key_len;
    enum flight_state state;
    unsigned refs;       /* all aboard, the pilot included */
    struct flight *next; /* of those who came while this was under way; NULL: nobody did */
    struct buf bytes;
    struct err *err;
};

struct flights {
    struct lock lock;      /* of all that follows, and of every flight */
    pthread_cond_t turned; /* a flight is ready, or has landed */
    struct map first;      /* by key: the flight that is ready or under way */
    struct flights_stats stats;
};

struct flights *flights_new(void)
{
    struct flights *fs = mem_new(struct flights);

    lock_init(&fs->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&fs->turned);
    return fs;
}

void flights_free(struct flights *fs)
{
    if (!fs)
        return;
    (void)pthread_cond_destroy(&fs->turned);
    map_done(&fs->first);
    lock_done(&fs->lock);
    mem_free(fs);
}

void flights_stats_get(struct flights *fs, struct flights_stats *ret)
{
    lock_take(&fs->lock);
    *ret = fs->stats;
    lock_release(&fs->lock);
}

/* ---- with the lock ---- */

static struct slice key_of(const struct flight *f)
{
    return slice_of(f->key, f->key_len);
}

static struct flight *flight_make(struct flights *fs, struct slice key, enum flight_state state)
{
    struct flight *f = mem_new(struct flight);

    f->all = fs;
    f->key = mem_dup(key.ptr, key.len);
    f->key_len = key.len;
    f->state = state;
    return f;
}

static void flight_unref(struct flight *f)
{
    if (--f->refs)
        return;
    buf_done(&f->bytes);
    err_free(f->err);
    mem_free(f->key);
    mem_free(f);
}

/* One that has not begun: a run under way is none for a newcomer. */
static struct flight *find_seat(struct flights *fs, struct slice key)
{
    struct flight *f = map_get(&fs->first, key);

    if (!f) {
        f = flight_make(fs, key, FLIGHT_READY);
        (void)map_put(&fs->first, key, f);
    } else if (f->state == FLIGHT_UNDER_WAY) {
        if (!f->next)
            f->next = flight_make(fs, key, FLIGHT_QUEUED);
        f = f->next;
    }
    f->refs++;
    return f;
}

/* The first of its key is over: the next one's turn. */
static void make_way(struct flight *f)
{
    struct flights *fs = f->all;

    if (!f->next) {
        (void)map_del(&fs->first, key_of(f));
        return;
    }
    f->next->state = FLIGHT_READY;
    (void)map_put(&fs->first, key_of(f), f->next);
    f->next = NULL;
    (void)pthread_cond_broadcast(&fs->turned);
}

/* A passenger does. The last one takes along what has not begun. */
static void leave(struct flight *f)
{
    if (f->refs == 1 && f->state == FLIGHT_QUEUED)
        ((struct flight *)map_get(&f->all->first, key_of(f)))->next = NULL;
    flight_unref(f);
}

/* Until it is ready or has landed; or the passenger's own time or patience is over. */
static struct err *wait_for(struct flight *f, int64_t deadline_mono_ms, const atomic_bool *cancel)
{
    while (f->state == FLIGHT_QUEUED || f->state == FLIGHT_UNDER_WAY) {
        int64_t now = clock_mono_ms(&clock_system), until = now + LOOK_MS;
        struct timespec ts;

        if (cancel && atomic_load(cancel))
            return err_new(ERR_CANCELED, "query canceled");
        if (deadline_mono_ms && now >= deadline_mono_ms)
            return err_new(ERR_TIMEOUT, "query timed out while an equal one was run");
        if (deadline_mono_ms)
            until = ORR_MIN(until, deadline_mono_ms);
        ts = (struct timespec){.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
        lock_wait_until(&f->all->lock, &f->all->turned, &ts);
    }
    return NULL;
}

/* What has landed does not change any more, and may be long: the lock is not held for it. */
static struct err *copy_answer(struct flight *f, struct arena *a, struct slice *ret)
{
    if (f->err)
        return err_copy(f->err);
    lock_release(&f->all->lock);
    *ret = arena_dup(a, buf_slice(&f->bytes));
    lock_take(&f->all->lock);
    return NULL;
}

static bool is_the_pilots_own(const struct err *e)
{
    return e && (err_is(e, ERR_CANCELED) || err_is(e, ERR_TIMEOUT));
}

/* ---- */

struct err *flight_board(struct flights *fs, struct slice key, int64_t deadline_mono_ms,
                         const atomic_bool *cancel, struct arena *a, struct flight **ret_pilot,
                         struct slice *ret_bytes)
{
    struct err *e;
    struct flight *f;

    *ret_pilot = NULL;
    lock_take(&fs->lock);
    f = find_seat(fs, key);
    fs->stats.waiting++;
    e = wait_for(f, deadline_mono_ms, cancel);
    fs->stats.waiting--;
    if (!e && f->state == FLIGHT_READY) {
        f->state = FLIGHT_UNDER_WAY;
        *ret_pilot = f;
    } else {
        if (!e) {
            fs->stats.carried++;
            e = copy_answer(f, a, ret_bytes);
        }
        leave(f);
    }
    lock_release(&fs->lock);
    return e;
}

void flight_land(struct flight *f, const struct err *e, void (*write)(struct buf *out, void *arg),
                 void *arg)
{
    struct flights *fs = f->all;
    struct buf bytes = {0};
    bool is_awaited;

    lock_take(&fs->lock);
    is_awaited = f->refs > 1; /* nobody boards what is under way */
    lock_release(&fs->lock);
    if (!e && is_awaited)
        write(&bytes, arg);
    lock_take(&fs->lock);
    if (is_the_pilots_own(e) && f->refs > 1) {
        f->state = FLIGHT_READY;
    } else {
        make_way(f);
        f->bytes = bytes;
        f->err = e ? err_copy(e) : NULL;
        f->state = FLIGHT_LANDED;
    }
    (void)pthread_cond_broadcast(&fs->turned);
    flight_unref(f);
    lock_release(&fs->lock);
}
