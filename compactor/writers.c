#include "compactor/writers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/base/rng.h"
#include "common/base/spell.h"
#include "common/base/thread.h"

#define ASK_AGAIN_MS 1000 /* whether puts are conditional, of a bucket that did not answer */
#define MIN_REST_MS 20

/* What the bucket is like. */
enum { NOT_KNOWN, CONDITIONAL, PLAIN };

struct share {
    struct writers *w;
    unsigned number;
    struct writelease lease; /* under the writers' lock */
    pthread_t thread;
    bool has_thread;
};

struct writers {
    struct objstore base; /* what writers_store() gives */
    struct writers_opts opts;
    struct writers_metrics m;
    atomic_int kind;
    pthread_t thread;
    bool has_thread;
    void (*ended)(void *arg);
    void *ended_arg;

    struct lock lock;
    pthread_cond_t changed;
    /* under the lock */
    bool is_stopping, has_ended;
    struct rng rng;
    struct spell trouble;
    struct share shares[WRITELEASE_SHARDS];
};

static int64_t mono_ms(void)
{
    return clock_mono_ms(&clock_system);
}

static struct timespec at(int64_t ms)
{
    return (struct timespec){ms / MS_PER_S, ms % MS_PER_S * NS_PER_MS};
}

static struct writers *from(struct objstore *base)
{
    return (struct writers *)base; /* the first member */
}

/* ---- what the bucket is like ---- */

static struct err *find_out(struct writers *w, bool *ret_plain)
{
    bool is_plain = false;
    struct err *e = NULL;

    if (atomic_load(&w->kind) == NOT_KNOWN) {
        if ((e = objstore_needs_one_writer(w->opts.below, &is_plain)))
            return e;
        atomic_store(&w->kind, is_plain ? PLAIN : CONDITIONAL);
    }
    *ret_plain = atomic_load(&w->kind) == PLAIN;
    return NULL;
}

bool writers_know(struct writers *w)
{
    return atomic_load(&w->kind) != NOT_KNOWN;
}

bool writers_decide(struct writers *w)
{
    return atomic_load(&w->kind) == PLAIN;
}

/* ---- who may ---- */

static struct share *share_of(struct writers *w, struct slice tenant)
{
    return &w->shares[writelease_shard(tenant)];
}

bool writers_may(struct writers *w, struct slice tenant)
{
    struct share *s = share_of(w, tenant);
    bool may;

    if (!w->opts.wants(w->opts.arg, writelease_shard(tenant)))
        return false;
    lock_take(&w->lock);
    may = writelease_may_put(&s->lease, mono_ms());
    lock_release(&w->lock);
    return may;
}

int64_t writers_alone_ms(struct writers *w, struct slice tenant)
{
    struct share *s = share_of(w, tenant);
    int64_t now_ms = mono_ms(), ms;

    if (!writers_decide(w))
        return INT64_MAX;
    lock_take(&w->lock);
    if (!writelease_may_put(&s->lease, now_ms))
        ms = 0;
    else
        ms = s->lease.held_ms == INT64_MIN ? INT64_MAX : now_ms - s->lease.held_ms;
    lock_release(&w->lock);
    return ms;
}

void writers_put(struct writers *w, struct buf *out)
{
    size_t n = 0;

    buf_byte(out, '[');
    lock_take(&w->lock);
    for (unsigned i = 0; i < WRITELEASE_SHARDS; i++)
        if (writelease_may_put(&w->shares[i].lease, mono_ms()))
            buf_printf(out, "%s%u", n++ ? "," : "", i);
    lock_release(&w->lock);
    buf_byte(out, ']');
}

/* The tenant of "signal/tenant/…"; all of the key if it is no such. */
static struct slice tenant_of(struct slice key)
{
    struct slice rest = key, signal, tenant;

    return slice_split(&rest, '/', &signal) && slice_split(&rest, '/', &tenant) ? tenant : key;
}

static struct err *refusal(struct writers *w, struct slice tenant)
{
    METRIC_ADD(w->m.refused, 1);
    return err_new(ERR_UNAVAILABLE,
                   "the bucket has no conditional puts, and this process does not hold the lease "
                   "of tenant %.*s",
                   SLICE_ARG(tenant));
}

/* ---- a put by the lease ---- */

/* One after the other for a share. *ret_until_ms: when the put is to be given up. */
static struct err *enter(struct writers *w, struct share *s, struct slice tenant,
                         int64_t *ret_until_ms)
{
    struct timespec until = at(mono_ms() + w->opts.put_ms);
    enum writelease_turn turn = WRITELEASE_BUSY;
    bool is_late = false;

    while (turn == WRITELEASE_BUSY && !is_late) {
        bool is_wanted = w->opts.wants(w->opts.arg, s->number);

        lock_take(&w->lock);
        turn = writelease_put_begins(&s->lease, mono_ms(), is_wanted && !w->is_stopping);
        *ret_until_ms = s->lease.put_until_ms;
        if (turn == WRITELEASE_BUSY)
            is_late = !lock_wait_until(&w->lock, &w->changed, &until);
        lock_release(&w->lock);
    }
    if (turn == WRITELEASE_BUSY)
        return err_new(ERR_TIMEOUT, "other puts of tenants of the same share take too long");
    if (turn == WRITELEASE_QUIET)
        return err_new(ERR_UNAVAILABLE, "an earlier put that failed may still take place");
    return turn == WRITELEASE_GO ? NULL : refusal(w, tenant);
}

static void leave(struct writers *w, struct share *s, bool is_known)
{
    lock_take(&w->lock);
    writelease_put_ended(&s->lease, is_known);
    (void)pthread_cond_broadcast(&w->changed);
    lock_release(&w->lock);
}

static struct err *read_back(struct writers *w, struct slice key, struct slice content)
{
    struct objstore_get get = {.max_bytes = content.len + 1,
                               .until_ms = mono_ms() + w->opts.put_ms};
    struct buf b = {0};
    struct err *e = objstore_get(w->opts.below, key, &get, &b, NULL);
    bool is_other = err_is(e, ERR_TOO_LARGE) || err_is(e, ERR_NOT_FOUND) ||
                    (!e && !slice_eq(buf_slice(&b), content));

    buf_done(&b);
    if (e && !is_other) {
        struct err *after =
            err_new(ERR_UNAVAILABLE, "it was written, and then not read back: %s", err_msg(e));

        err_free(e);
        return after;
    }
    if (!is_other)
        return NULL;
    err_free(e);
    METRIC_ADD(w->m.overwritten, 1);
    LOG_ERROR(compactor,
              "what was put is not what stands there: another writes the same object, and the "
              "bucket has no conditional puts that would keep them apart",
              KV_SLICE("path", key));
    return err_new(ERR_CONFLICT, "another has overwritten what was put");
}

static struct err *put_alone(struct writers *w, struct slice key, struct slice content,
                             const struct objstore_put *opts, struct objstore_info *ret_info)
{
    struct slice tenant = tenant_of(key);
    struct share *s = share_of(w, tenant);
    struct objstore_put once = *opts;
    struct err *e = enter(w, s, tenant, &once.until_ms);
    bool is_known;

    if (e)
        return e;
    e = w->opts.below->ops->put(w->opts.below, key, content, &once, ret_info);
    is_known = !e || err_is(e, ERR_CONFLICT) || err_is(e, ERR_INVALID);
    if (!e)
        e = read_back(w, key, content);
    leave(w, s, is_known);
    return e;
}

/* ---- the store ---- */

static struct err *store_get(struct objstore *base, struct slice key,
                             const struct objstore_get *opts, struct buf *ret,
                             struct objstore_info *ret_info)
{
    struct objstore *below = from(base)->opts.below;

    return below->ops->get(below, key, opts, ret, ret_info);
}

static struct err *store_put(struct objstore *base, struct slice key, struct slice content,
                             const struct objstore_put *opts, struct objstore_info *ret_info)
{
    struct writers *w = from(base);
    bool is_plain = false;
    struct err *e;

    if (opts->cond != OBJSTORE_ALWAYS && (e = find_out(w, &is_plain)))
        return e;
    return is_plain ? put_alone(w, key, content, opts, ret_info)
                    : w->opts.below->ops->put(w->opts.below, key, content, opts, ret_info);
}

static struct err *store_put_file(struct objstore *base, struct slice key, const char *path,
                                  const struct objstore_put *opts, struct objstore_info *ret_info)
{
    struct writers *w = from(base);
    bool is_plain = false;
    struct err *e;

    if (opts->cond != OBJSTORE_ALWAYS && (e = find_out(w, &is_plain)))
        return e;
    if (is_plain)
        return err_new(ERR_UNSUPPORTED, "a conditional put of a file by a lease");
    return w->opts.below->ops->put_file(w->opts.below, key, path, opts, ret_info);
}

static struct err *store_list(struct objstore *base, struct arena *a,
                              const struct objstore_list *opts, struct objstore_listing *ret)
{
    struct objstore *below = from(base)->opts.below;

    return below->ops->list(below, a, opts, ret);
}

/* A put that failed. It may have forgotten what is to be deleted, so that others may write it anew. */
static bool may_come_late(struct writers *w, struct share *s)
{
    bool ret;

    lock_take(&w->lock);
    ret = mono_ms() < s->lease.quiet_ms;
    lock_release(&w->lock);
    return ret;
}

static struct err *may_delete(struct writers *w, struct slice key)
{
    struct slice tenant = tenant_of(key);
    bool is_plain = false;
    struct err *e = find_out(w, &is_plain);

    if (e || !is_plain)
        return e;
    if (!writers_may(w, tenant))
        return refusal(w, tenant);
    return may_come_late(w, share_of(w, tenant))
               ? err_new(ERR_UNAVAILABLE, "an earlier put that failed may still take place")
               : NULL;
}

static struct err *store_del(struct objstore *base, struct slice key)
{
    struct writers *w = from(base);
    struct err *e = may_delete(w, key);

    return e ? e : w->opts.below->ops->del(w->opts.below, key);
}

static struct err *store_del_many(struct objstore *base, const struct slice *keys, size_t n)
{
    struct writers *w = from(base);
    struct err *e = NULL;

    for (size_t i = 0; i < n && !e; i++)
        e = may_delete(w, keys[i]);
    return e ? e : objstore_delete_many(w->opts.below, keys, n);
}

static struct err *store_stat(struct objstore *base, struct slice key, struct objstore_info *ret)
{
    struct objstore *below = from(base)->opts.below;

    return below->ops->stat(below, key, ret);
}

static struct err *store_needs_one_writer(struct objstore *base, bool *ret)
{
    return objstore_needs_one_writer(from(base)->opts.below, ret);
}

static struct err *store_is_atomic(struct objstore *base, bool *ret)
{
    return objstore_is_atomic(from(base)->opts.below, ret);
}

static void store_stop(struct objstore *base)
{
    objstore_stop(from(base)->opts.below);
}

/* It is closed with the writers. */
static void store_close(struct objstore *base)
{
    (void)base;
}

static const struct objstore_ops store_ops = {.get = store_get,
                                              .put = store_put,
                                              .put_file = store_put_file,
                                              .list = store_list,
                                              .del = store_del,
                                              .stat = store_stat,
                                              .del_many = store_del_many,
                                              .is_atomic = store_is_atomic,
                                              .needs_one_writer = store_needs_one_writer,
                                              .stop = store_stop,
                                              .close = store_close};

struct objstore *writers_store(struct writers *w)
{
    return &w->base;
}

/* ---- looking after a lease ---- */

static void note(struct writers *w, const char *doing, struct err *e)
{
    uint64_t left_out;
    bool tells;

    lock_take(&w->lock);
    tells = spell_tells(&w->trouble, doing, e, mono_ms(), &left_out);
    lock_release(&w->lock);
    if (tells)
        LOG_WARN(compactor, "a lease in the bucket cannot be looked after, it will be tried again",
                 KV_STR("reason", doing), KV_U64("skipped", left_out), KV_ERR(e));
    err_free(e);
}

/* "" when there is none. Longer than any of ours: ERR_TOO_LARGE. */
static struct err *read_lease(struct writers *w, struct slice key, int64_t until_ms,
                              struct buf *ret)
{
    struct objstore_get get = {.max_bytes = WRITELEASE_TEXT_BYTES - 1, .until_ms = until_ms};
    struct err *e = objstore_get(w->opts.below, key, &get, ret, NULL);

    if (err_is(e, ERR_NOT_FOUND)) {
        err_free(e);
        buf_reset(ret);
        return NULL;
    }
    return e;
}

static void say(struct writers *w, const char *key, enum writelease_state before,
                enum writelease_state now, const struct writelease_step *step, struct slice text)
{
    struct slice holder = SLICE("nobody");

    (void)writelease_holder(text, &holder);
    if (step->is_lost) {
        METRIC_ADD(w->m.lost, 1);
        LOG_ERROR(compactor, "a lease that was held is another's", KV_STR("path", key),
                  KV_SLICE("peer", holder));
    }
    if (step->is_end)
        LOG_INFO(compactor, "gives back the lease of a share of the tenants", KV_STR("path", key));
    else if (before != WRITELEASE_HELD && now == WRITELEASE_HELD)
        LOG_INFO(compactor, "writes for a share of the tenants", KV_STR("path", key));
    else if (before == WRITELEASE_IDLE && now == WRITELEASE_WATCHED)
        LOG_INFO(compactor, "waits for the lease of a share of the tenants", KV_STR("path", key),
                 KV_SLICE("peer", holder));
}

static void put_lease(struct writers *w, struct share *s, struct slice key,
                      const struct writelease_step *step)
{
    const struct objstore_put opts = {.content_type = "text/plain", .until_ms = step->until_ms};
    struct err *e = objstore_put(w->opts.below, key, slice_cstr(step->text), &opts, NULL);

    if (!step->is_end) {
        lock_take(&w->lock);
        writelease_wrote(&s->lease, mono_ms(), e == NULL);
        lock_release(&w->lock);
    }
    if (e)
        note(w, "write", e);
}

/* What a read of it, which began then, makes of it. */
static void decide(struct share *s, const char *name, int64_t read_began_ms, struct slice text,
                   bool wanted)
{
    struct writers *w = s->w;
    char nonce[WRITELEASE_NONCE_BYTES];
    enum writelease_state before, now;
    struct writelease_step step;

    lock_take(&w->lock);
    (void)snprintf(nonce, sizeof(nonce), "%016llx%016llx", (unsigned long long)rng_u64(&w->rng),
                   (unsigned long long)rng_u64(&w->rng));
    before = s->lease.state;
    step = writelease_read(&s->lease, read_began_ms, mono_ms(), text, wanted, nonce);
    now = s->lease.state;
    lock_release(&w->lock);
    if ((before == WRITELEASE_HELD) != (now == WRITELEASE_HELD))
        METRIC_ADD(w->m.held, now == WRITELEASE_HELD ? 1 : -1);
    say(w, name, before, now, &step, text);
    if (before != WRITELEASE_HELD && now == WRITELEASE_HELD && w->opts.gained)
        w->opts.gained(w->opts.arg);
    if (step.text[0])
        put_lease(w, s, slice_cstr(name), &step);
}

static void look(struct share *s, bool wanted)
{
    int64_t read_began_ms = mono_ms();
    char name[WRITELEASE_KEY_BYTES];
    struct buf text = {0};
    struct err *e;

    writelease_key(s->number, name);
    e = read_lease(s->w, slice_cstr(name), read_began_ms + s->w->opts.lease_ms, &text);
    if (e)
        note(s->w, "read", e);
    else
        decide(s, name, read_began_ms, buf_slice(&text), wanted);
    buf_done(&text);
}

static bool is_stopping(struct writers *w)
{
    bool is;

    lock_take(&w->lock);
    is = w->is_stopping;
    lock_release(&w->lock);
    return is;
}

static void sleep_until(struct writers *w, int64_t until_ms)
{
    lock_take(&w->lock);
    while (!w->is_stopping && mono_ms() < until_ms) {
        struct timespec until = at(until_ms);

        lock_wait_until(&w->lock, &w->changed, &until);
    }
    lock_release(&w->lock);
}

/* Looks when it is time to; returns when that is next, but the ring may say something else before. */
static int64_t turn(struct share *s, int64_t next_ms)
{
    struct writers *w = s->w;
    bool wanted = w->opts.wants(w->opts.arg, s->number), is_due;
    int64_t now_ms = mono_ms();

    lock_take(&w->lock);
    is_due =
        s->lease.state == WRITELEASE_IDLE
            ? wanted
            : now_ms >= ORR_MIN(next_ms,
                                wanted ? INT64_MAX : writelease_next_ms(&s->lease, wanted, now_ms));
    lock_release(&w->lock);
    if (!is_due)
        return next_ms;
    look(s, wanted);
    lock_take(&w->lock);
    next_ms = writelease_next_ms(&s->lease, wanted, mono_ms());
    lock_release(&w->lock);
    return next_ms;
}

/* The end: what is under way is waited for, and a claim, which nobody could tell from a lease that is in use. */
static void give_back(struct share *s)
{
    struct writers *w = s->w;
    struct timespec until = at(mono_ms() + 2 * w->opts.put_ms); /* a put and reading it back */
    int64_t settles_ms = INT64_MIN;
    enum writelease_state state;

    lock_take(&w->lock);
    while (s->lease.is_busy && lock_wait_until(&w->lock, &w->changed, &until))
        ;
    state = s->lease.state;
    if (state == WRITELEASE_CLAIMED)
        settles_ms = writelease_next_ms(&s->lease, false, mono_ms());
    until = at(settles_ms);
    while (mono_ms() < settles_ms)
        (void)lock_wait_until(&w->lock, &w->changed, &until);
    lock_release(&w->lock);
    if (state != WRITELEASE_IDLE)
        look(s, false);
}

static void *serve(void *arg)
{
    struct share *s = arg;
    struct writers *w = s->w;
    int64_t next_ms = 0;

    while (!is_stopping(w)) {
        int64_t now_ms, tick_ms;

        next_ms = turn(s, next_ms);
        now_ms = mono_ms();
        tick_ms = now_ms + ORR_MAX(w->opts.lease_ms / 4, MIN_REST_MS);
        sleep_until(w, ORR_MIN(ORR_MAX(next_ms, now_ms + MIN_REST_MS), tick_ms));
    }
    give_back(s);
    return NULL;
}

/* ---- the thread ---- */

static void work(struct writers *w)
{
    bool is_plain = false;
    struct err *e;

    while (!is_stopping(w) && (e = find_out(w, &is_plain))) {
        note(w, "find out whether there are leases", e);
        sleep_until(w, mono_ms() + ASK_AGAIN_MS);
    }
    if (writers_know(w) && w->opts.gained)
        w->opts.gained(w->opts.arg);
    if (!is_plain)
        return;
    LOG_WARN(compactor,
             "the bucket has no conditional puts: for each tenant one compactor alone writes, by a "
             "lease in the bucket, and another takes over when that was given back or has run out",
             KV_STR("bucket", w->opts.below->name),
             KV_I64("duration_ms", writelease_takeover_ms(&w->shares[0].lease)));
    for (unsigned i = 0; i < WRITELEASE_SHARDS && !is_stopping(w);) {
        struct share *s = &w->shares[i];

        if ((e = thread_start("writers", serve, s, &s->thread))) {
            note(w, "start a thread", e);
            sleep_until(w, mono_ms() + ASK_AGAIN_MS);
        } else {
            s->has_thread = true;
            i++;
        }
    }
    for (unsigned i = 0; i < WRITELEASE_SHARDS; i++)
        if (w->shares[i].has_thread)
            (void)pthread_join(w->shares[i].thread, NULL);
}

static void end_once(struct writers *w)
{
    bool is_first;

    lock_take(&w->lock);
    is_first = !w->has_ended;
    w->has_ended = true;
    lock_release(&w->lock);
    if (is_first)
        w->ended(w->ended_arg);
}

static void *run(void *arg)
{
    struct writers *w = arg;

    work(w);
    end_once(w);
    return NULL;
}

struct err *writers_start(struct writers *w, void (*ended)(void *arg), void *arg)
{
    struct err *e;

    w->ended = ended;
    w->ended_arg = arg;
    e = thread_start("writers", run, w, &w->thread);
    w->has_thread = e == NULL;
    return e;
}

void writers_stop(struct writers *w)
{
    lock_take(&w->lock);
    w->is_stopping = true;
    (void)pthread_cond_broadcast(&w->changed);
    lock_release(&w->lock);
    /* the thread may be asking a server that does not answer, and nothing is held that were to be given back */
    if (w->has_thread && !writers_decide(w))
        end_once(w);
}

/* ---- life ---- */

static const struct metric_field fields[] = {
    METRIC_GAUGE(
        struct writers_metrics, held, "orrery_compactor_leases",
        "Shares of the tenants this process alone writes for; with conditional puts, or without "
        "s3.one-writer, none."),
    METRIC_COUNTER(struct writers_metrics, refused, "orrery_compactor_lease_refusals_total",
                   "Changes in the bucket that were not begun because the lease is not held."),
    METRIC_COUNTER(struct writers_metrics, overwritten, "orrery_compactor_overwritten_total",
                   "Objects that another wrote over although one alone should write."),
    METRIC_COUNTER(struct writers_metrics, lost, "orrery_compactor_leases_lost_total",
                   "Leases that another took while they were held."),
};

struct writers *writers_new(const struct writers_opts *opts)
{
    struct writers *w = mem_new(struct writers);

    ORR_ASSERT(opts->lease_ms > 0 && opts->put_ms > 0);
    w->base.ops = &store_ops;
    w->base.name = opts->below->name;
    w->opts = *opts;
    atomic_init(&w->kind, NOT_KNOWN);
    rng_seed_system(&w->rng);
    for (unsigned i = 0; i < WRITELEASE_SHARDS; i++)
        w->shares[i] = (struct share){.w = w,
                                      .number = i,
                                      .lease = {.instance = opts->instance,
                                                .lease_ms = opts->lease_ms,
                                                .put_ms = opts->put_ms}};
    lock_init(&w->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&w->changed);
    metric_register(&w->m, fields, ORR_COUNT(fields), NULL);
    return w;
}

void writers_free(struct writers *w)
{
    if (!w)
        return;
    writers_stop(w);
    if (w->has_thread)
        (void)pthread_join(w->thread, NULL);
    metric_unregister(&w->m);
    (void)pthread_cond_destroy(&w->changed);
    lock_done(&w->lock);
    mem_free(w);
}
