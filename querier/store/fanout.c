#include "querier/store/fanout.h"

#include <time.h>

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/mem.h"

#define POLL_MS 100 /* how late a cancellation may be noticed */

enum stream_state { STREAM_OPEN, STREAM_ENDED, STREAM_FAILED };

struct frame {
    struct frame *next;
    size_t len;
    uint8_t bytes[];
};

struct stream {
    struct fanout *f;
    size_t position;
    struct rpc_request *request; /* loop's */
    bool is_running;             /* loop's: the call has not had its last callback */
    /* under the lock */
    struct frame *head, *tail;
    enum stream_state state;
    struct err *err;
    uint32_t credits_due;
    bool is_given_up;
    bool is_told; /* worker's: among the suspects */
    int64_t patience_ms;
};

/* What is lost beside the streams: all of it is of this zone, and of this instance; empty: it is not. */
struct loss {
    struct slice zone, instance;
};

struct fanout {
    struct fanout_opts opts;
    struct buf payload;
    struct stream *streams;
    size_t n;
    struct quorum_read quorum; /* worker's and, before its end, guarded by the lock */
    struct lock lock;
    pthread_cond_t changed;
    unsigned refs; /* under the lock: the worker's, each post's, each running call's */
    bool is_closed, is_kicked, is_stopped;
    uint64_t mark;        /* under the lock */
    struct loss loss;     /* worker's; its texts are owned */
    struct buf loss_text; /* worker's; empty: nothing is lost */
};

struct fanout_suspects {
    struct lock lock;
    struct map since; /* instance to the time it last straggled, ms, as pointer */
    uint64_t count;
};

static int64_t mono_ms(void)
{
    return clock_mono_ms(&clock_system);
}

/* ---- suspects ---- */

struct fanout_suspects *fanout_suspects_new(void)
{
    struct fanout_suspects *s = mem_new(struct fanout_suspects);

    lock_init(&s->lock, LOCK_LEAF_MODULE);
    return s;
}

void fanout_suspects_free(struct fanout_suspects *s)
{
    if (!s)
        return;
    map_done(&s->since);
    lock_done(&s->lock);
    mem_free(s);
}

uint64_t fanout_suspects_count(struct fanout_suspects *s)
{
    uint64_t n;

    lock_take(&s->lock);
    n = s->count;
    lock_release(&s->lock);
    return n;
}

void fanout_suspects_add(struct fanout_suspects *s, const char *instance)
{
    if (!s)
        return;
    lock_take(&s->lock);
    map_put(&s->since, slice_cstr(instance), (void *)(uintptr_t)mono_ms());
    s->count++;
    lock_release(&s->lock);
}

bool fanout_suspects_has(struct fanout_suspects *s, const char *instance)
{
    int64_t since;

    if (!s)
        return false;
    lock_take(&s->lock);
    since = (int64_t)(uintptr_t)map_get(&s->since, slice_cstr(instance));
    if (since &&
        since + FANOUT_SUSPECT_MS <= mono_ms()) { /* names come and go: keep none for good */
        (void)map_del(&s->since, slice_cstr(instance));
        since = 0;
    }
    lock_release(&s->lock);
    return since != 0;
}

/* ---- life ---- */

static void frames_free(struct frame *fr)
{
    while (fr) {
        struct frame *next = fr->next;

        mem_free(fr);
        fr = next;
    }
}

static void fanout_free(struct fanout *f)
{
    for (size_t i = 0; i < f->n; i++) {
        frames_free(f->streams[i].head);
        err_free(f->streams[i].err);
    }
    mem_free(f->streams);
    quorum_read_done(&f->quorum);
    ring_read_set_done(&f->opts.set);
    ring_unref(f->opts.ring);
    buf_done(&f->payload);
    mem_free((void *)f->loss.zone.ptr);
    mem_free((void *)f->loss.instance.ptr);
    buf_done(&f->loss_text);
    (void)pthread_cond_destroy(&f->changed);
    lock_done(&f->lock);
    mem_free((void *)f->opts.tenant.ptr);
    mem_free(f);
}

static void unref(struct fanout *f)
{
    bool is_last;

    lock_take(&f->lock);
    is_last = --f->refs == 0;
    lock_release(&f->lock);
    if (is_last)
        fanout_free(f);
}

/* ---- on the pool's loop ---- */

static void end_stream(struct stream *s, const struct err *e)
{
    struct fanout *f = s->f;

    if (s->state != STREAM_OPEN)
        return;
    if (e) {
        s->state = STREAM_FAILED;
        s->err = err_copy(e);
        (void)quorum_read_fail(&f->quorum, (unsigned)s->position, err_code(e));
    } else {
        s->state = STREAM_ENDED;
        (void)quorum_read_ok(&f->quorum, (unsigned)s->position);
    }
}

static void on_reply(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct stream *s = arg;
    struct fanout *f = s->f;
    struct frame *fr = NULL;

    if (payload.len) {
        fr = mem_alloc(sizeof(*fr) + payload.len);
        fr->next = NULL;
        fr->len = payload.len;
        memcpy(fr->bytes, payload.ptr, payload.len);
    }
    lock_take(&f->lock);
    f->mark = ORR_MAX(f->mark, rpc_request_mark(s->request));
    if (fr && (f->is_closed || s->state != STREAM_OPEN)) {
        mem_free(fr);
    } else if (fr) {
        if (s->tail)
            s->tail->next = fr;
        else
            s->head = fr;
        s->tail = fr;
    } else if (!is_last) {
        s->credits_due++; /* an empty message carries nothing, but costs a credit */
    }
    if (is_last)
        end_stream(s, e);
    (void)pthread_cond_signal(&f->changed);
    lock_release(&f->lock);
    if (is_last) {
        s->is_running = false;
        unref(f);
    }
}

/* Gives credits back and cancels what is not wanted any more. */
static void on_kick(void *arg)
{
    struct fanout *f = arg;

    lock_take(&f->lock);
    f->is_kicked = false;
    lock_release(&f->lock);
    for (size_t i = 0; i < f->n; i++) {
        struct stream *s = &f->streams[i];
        bool is_unwanted;
        uint32_t credits;

        lock_take(&f->lock);
        is_unwanted = f->is_closed || s->is_given_up;
        credits = s->credits_due;
        s->credits_due = 0;
        lock_release(&f->lock);
        if (!s->is_running)
            continue;
        if (is_unwanted) {
            s->is_running = false;
            rpc_request_cancel(s->request);
            unref(f);
        } else if (credits) {
            rpc_request_credit(s->request, credits);
        }
    }
    unref(f);
}

static void on_start(void *arg)
{
    struct fanout *f = arg;
    int64_t left = f->opts.deadline_mono_ms ? f->opts.deadline_mono_ms - mono_ms() : 0;
    struct rpc_call_opts call = {.method = f->opts.method,
                                 .tenant = f->opts.tenant,
                                 /* a little more than ours, so that ours speaks */
                                 .timeout_ms =
                                     f->opts.deadline_mono_ms ? ORR_MAX(left, 1) + 200 : 0,
                                 .credits = f->opts.credits ? f->opts.credits : FANOUT_CREDITS,
                                 .manual_credit = true};

    for (size_t i = 0; i < f->n; i++) {
        struct stream *s = &f->streams[i];
        const struct member *m = ring_member(f->opts.ring, f->opts.set.instances[i]);
        bool is_closed;

        lock_take(&f->lock);
        is_closed = f->is_closed;
        if (!is_closed)
            f->refs++;
        lock_release(&f->lock);
        if (is_closed)
            break;
        s->is_running = true;
        rpc_call(rpc_pool_peer(f->opts.pool, m->rpc_addr), &call, buf_slice(&f->payload), on_reply,
                 s, &s->request);
    }
    unref(f);
}

/* ---- on the worker ---- */

static struct slice copy_of(struct slice s)
{
    return slice_of(mem_dup(s.ptr, s.len), s.len);
}

struct ring_read_set fanout_set_of_one(uint16_t who)
{
    struct ring_read_set set = {.instances = mem_new_array(uint16_t, 1),
                                .zones = mem_new_array(uint16_t, 1),
                                .n = 1,
                                .n_zones = 1,
                                .min_ok = 1};

    set.instances[0] = who;
    return set;
}

struct fanout *fanout_start(const struct fanout_opts *opts)
{
    struct fanout *f = mem_new(struct fanout);

    f->opts = *opts;
    f->opts.tenant = copy_of(opts->tenant);
    buf_slice_append(&f->payload, opts->payload);
    f->opts.ring = ring_ref(opts->ring);
    f->n = f->opts.set.n;
    f->streams = mem_new_array(struct stream, f->n + 1);
    for (size_t i = 0; i < f->n; i++) {
        unsigned who = f->opts.set.instances[i];
        bool is_well =
            ring_is_healthy(f->opts.ring, who) &&
            !fanout_suspects_has(opts->suspects, ring_member(f->opts.ring, who)->instance);

        f->streams[i].f = f;
        f->streams[i].position = i;
        f->streams[i].patience_ms = is_well ? opts->straggler_ms : opts->straggler_ms / 10;
    }
    quorum_read_init(&f->quorum, &f->opts.set);
    lock_init(&f->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&f->changed);
    f->refs = 2;
    loop_post(f->opts.loop, on_start, f);
    return f;
}

size_t fanout_streams(const struct fanout *f)
{
    return f->n;
}

void fanout_be_patient(struct fanout *f, int64_t straggler_ms)
{
    for (size_t i = 0; i < f->n; i++)
        f->streams[i].patience_ms = straggler_ms;
}

static void kick(struct fanout *f)
{
    bool is_first;

    lock_take(&f->lock);
    is_first = !f->is_kicked;
    f->is_kicked = true;
    f->refs += is_first;
    lock_release(&f->lock);
    if (is_first)
        loop_post(f->opts.loop, on_kick, f);
}

static bool is_owed(const struct stream *s)
{
    return s->state == STREAM_OPEN && !s->head;
}

void fanout_stop(struct fanout *f)
{
    lock_take(&f->lock);
    f->is_stopped = true;
    (void)pthread_cond_signal(&f->changed);
    lock_release(&f->lock);
}

static const struct member *member_of(const struct fanout *f, size_t i)
{
    return ring_member(f->opts.ring, f->opts.set.instances[i]);
}

/* NULL: nothing. */
static const struct loss *loss_of(const struct fanout *f)
{
    return f->loss_text.len ? &f->loss : NULL;
}

/* It is of another instance or zone than the stream's. */
static bool is_elsewhere(const struct fanout *f, const struct loss *loss, size_t i)
{
    const struct member *m = member_of(f, i);

    if (!loss)
        return false;
    return !(f->opts.set.by_zone && loss->zone.len && slice_eq_cstr(loss->zone, m->zone)) &&
           !(loss->instance.len && slice_eq_cstr(loss->instance, m->instance));
}

/* With the lock. */
static bool has_failed_elsewhere(const struct fanout *f, const struct loss *loss)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->streams[i].state == STREAM_FAILED && is_elsewhere(f, loss, i))
            return true;
    return false;
}

/* With the lock: would the read still be whole if the streams that are owed failed? Also says how
 * long they may take. */
static bool can_do_without(const struct fanout *f, int64_t *ret_patience_ms)
{
    const struct ring_read_set *set = &f->opts.set;
    size_t lost = 0, left = 0;
    int64_t patience = 0;

    if (!f->opts.straggler_ms)
        return false;
    for (size_t i = 0; i < f->n; i++) {
        if (is_owed(&f->streams[i]) && is_elsewhere(f, loss_of(f), i))
            return false;
        if (is_owed(&f->streams[i]))
            patience = ORR_MAX(patience, f->streams[i].patience_ms);
        else
            left += f->streams[i].state != STREAM_FAILED;
    }
    /* Units are zones or instances; a unit is lost with its first lost instance. */
    for (size_t i = 0; i < f->n; i++) {
        bool is_lost = false, is_first = true;

        for (size_t k = 0; k < f->n; k++) {
            if (k != i && (!set->by_zone || set->zones[k] != set->zones[i]))
                continue;
            is_first &= k >= i;
            is_lost |= is_owed(&f->streams[k]) || f->streams[k].state == STREAM_FAILED;
        }
        lost += is_lost && is_first;
    }
    *ret_patience_ms = patience;
    if (f->opts.has_other)
        return true;
    return left > 0 && lost <= set->max_fail && f->quorum.n_units >= lost + set->min_ok;
}

static bool give_up_owed(struct fanout *f)
{
    struct err *e = err_new(ERR_TIMEOUT, "slower than the others");
    bool any = false;

    for (size_t i = 0; i < f->n; i++) {
        if (!is_owed(&f->streams[i]))
            continue;
        f->streams[i].is_given_up = any = true;
        end_stream(&f->streams[i], e);
    }
    err_free(e);
    return any;
}

/* What the caller may act on: whatever made replicas fail, the read may work again later. */
static enum err_code lost_code(enum err_code first)
{
    switch (first) {
    case ERR_LIMIT:
    case ERR_INVALID:
    case ERR_UNSUPPORTED:
    case ERR_RATE:
    case ERR_CORRUPT:
    case ERR_INTERNAL:
        return first;
    default:
        return ERR_UNAVAILABLE;
    }
}

/* "ingester-2 (zone b): connection refused; ..." */
static struct err *lost(struct fanout *f)
{
    struct buf b = {0};
    struct err *e;
    unsigned units = f->opts.set.max_fail;

    for (size_t i = 0; i < f->n; i++) {
        const struct member *m = member_of(f, i);

        if (f->streams[i].state == STREAM_FAILED)
            buf_printf(&b, "%s%s (zone %s): %s", b.len ? "; " : "", m->instance, m->zone,
                       err_msg(f->streams[i].err));
    }
    if (loss_of(f))
        buf_printf(&b, "%s%.*s", b.len ? "; " : "", SLICE_ARG(buf_slice(&f->loss_text)));
    e = err_new(f->quorum.code ? lost_code(f->quorum.code) : ERR_UNAVAILABLE,
                "%s: more ingesters failed than the %u %s that replication makes up for: %.*s",
                f->opts.method, units,
                f->opts.set.by_zone ? (units == 1 ? "zone" : "zones")
                                    : (units == 1 ? "instance" : "instances"),
                SLICE_ARG(buf_slice(&b)));
    buf_done(&b);
    return e;
}

static struct err *ended_by_caller(struct fanout *f, int64_t now)
{
    if (f->is_stopped)
        return err_new(ERR_CANCELED, "nobody wants the rest of the answer");
    if (f->opts.cancel && atomic_load(f->opts.cancel))
        return err_new(ERR_CANCELED, "query canceled");
    if (f->opts.deadline_mono_ms && now >= f->opts.deadline_mono_ms)
        return err_new(ERR_TIMEOUT, "query timed out while waiting for ingesters");
    return NULL;
}

static void wait_some(struct fanout *f, int64_t until_ms)
{
    struct timespec ts = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};

    lock_wait_until(&f->lock, &f->changed, &ts);
}

static void after_giving_up(struct fanout *f)
{
    for (size_t i = 0; i < f->n; i++) {
        if (!f->streams[i].is_given_up || f->streams[i].is_told)
            continue;
        f->streams[i].is_told = true;
        fanout_suspects_add(f->opts.suspects, member_of(f, i)->instance);
    }
    kick(f);
}

struct err *fanout_wait(struct fanout *f)
{
    int64_t since = 0, patience = 0;
    bool has_given_up = false;
    struct err *e = NULL;

    lock_take(&f->lock);
    for (;;) {
        int64_t now = mono_ms(), until = now + POLL_MS;
        size_t owed = 0;

        for (size_t i = 0; i < f->n; i++)
            owed += is_owed(&f->streams[i]);
        if ((e = ended_by_caller(f, now)))
            break;
        if (f->quorum.verdict == QUORUM_FAILED || has_failed_elsewhere(f, loss_of(f)))
            e = lost(f);
        if (e || !owed)
            break;
        if (can_do_without(f, &patience)) {
            since = since ? since : now;
            if (now - since >= patience) {
                has_given_up |= give_up_owed(f);
                continue;
            }
            until = ORR_MIN(until, since + patience);
        } else {
            since = 0;
        }
        if (f->opts.deadline_mono_ms)
            until = ORR_MIN(until, f->opts.deadline_mono_ms);
        wait_some(f, until);
    }
    lock_release(&f->lock);
    if (has_given_up)
        after_giving_up(f);
    return e;
}

bool fanout_frame(struct fanout *f, size_t i, struct slice *ret)
{
    struct frame *fr;

    lock_take(&f->lock);
    fr = f->streams[i].head;
    lock_release(&f->lock);
    if (fr)
        *ret = slice_of(fr->bytes, fr->len);
    return fr != NULL;
}

void fanout_pop(struct fanout *f, size_t i)
{
    struct stream *s = &f->streams[i];
    struct frame *fr;

    lock_take(&f->lock);
    fr = s->head;
    ORR_ASSERT(fr);
    s->head = fr->next;
    if (!s->head)
        s->tail = NULL;
    s->credits_due++;
    lock_release(&f->lock);
    mem_free(fr);
    kick(f);
}

uint64_t fanout_mark(struct fanout *f)
{
    uint64_t mark;

    lock_take(&f->lock);
    mark = f->mark;
    lock_release(&f->lock);
    return mark;
}

enum err_code fanout_code(struct fanout *f, size_t i)
{
    enum err_code code;

    lock_take(&f->lock);
    ORR_ASSERT(f->streams[i].state == STREAM_FAILED);
    code = err_code(f->streams[i].err);
    lock_release(&f->lock);
    return code;
}

/* What both are. */
static struct slice common_of(struct slice a, struct slice b)
{
    return slice_eq(a, b) ? a : SLICE_EMPTY;
}

bool fanout_lose(struct fanout *f, struct slice zone, struct slice instance, const char *what)
{
    const struct loss *before = loss_of(f);
    struct loss all = {zone, instance};
    bool ok;

    if (before)
        all = (struct loss){common_of(before->zone, zone), common_of(before->instance, instance)};
    lock_take(&f->lock);
    ok = f->opts.set.max_fail > 0 && (all.zone.len || all.instance.len) &&
         !has_failed_elsewhere(f, &all);
    lock_release(&f->lock);
    if (!ok)
        return false;
    if (!before)
        f->loss = (struct loss){slice_of(slice_dup(zone), zone.len),
                                slice_of(slice_dup(instance), instance.len)};
    f->loss.zone.len = all.zone.len;
    f->loss.instance.len = all.instance.len;
    if (f->loss_text.len < FANOUT_LOSS_BYTES)
        buf_printf(&f->loss_text, "%s%s", before ? "; " : "", what);
    return true;
}

bool fanout_has_failed_with(struct fanout *f, enum err_code code)
{
    bool any = false;

    lock_take(&f->lock);
    for (size_t i = 0; i < f->n; i++)
        any |= f->streams[i].state == STREAM_FAILED && err_is(f->streams[i].err, code);
    lock_release(&f->lock);
    return any;
}

size_t fanout_failed(struct fanout *f)
{
    size_t failed = 0;

    lock_take(&f->lock);
    for (size_t i = 0; i < f->n; i++)
        failed += f->streams[i].state == STREAM_FAILED;
    lock_release(&f->lock);
    return failed;
}

double fanout_copies(struct fanout *f)
{
    unsigned rf = ring_rf(f->opts.ring);
    size_t ok = f->n - fanout_failed(f);

    return f->n ? (double)ORR_MIN((size_t)rf, f->n) * (double)ok / (double)f->n : 1;
}

void fanout_close(struct fanout *f)
{
    if (!f)
        return;
    lock_take(&f->lock);
    f->is_closed = true;
    lock_release(&f->lock);
    kick(f);
    unref(f);
}
