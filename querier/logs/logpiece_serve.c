#include "querier/logs/logpiece_serve.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/model/tenant.h"
#include "common/objstore/objstore.h"
#include "common/rpc/feed.h"
#include "querier/logs/logpiece_wire.h"
#include "querier/logs/logremote.h"

struct logpiece_serve {
    struct logpiece_serve_opts opts;
    struct job_pool *jobs;
    struct feeds *feeds;
    struct logpiece_serve_stats stats;
};

/* One answer. */
struct answer {
    struct logpiece_serve *serve;
    struct arena *arena;
    struct slice tenant; /* in the arena, as what the others point to */
    struct logpiece_wire_ask ask;
    struct logpiece_wire_what what;
    int64_t deadline_mono_ms;
    atomic_bool cancel; /* nobody waits any more */
    struct buf made;    /* once all was made its room is counted in stats.held_bytes */
    size_t at;          /* of made: sent so far */
    struct logpiece_wire_end end;
    bool has_run;
};

/* ---- on a thread of its own ---- */

static size_t memory_of(const struct answer *w)
{
    size_t max = w->serve->opts.max_bytes, asked = (size_t)w->what.memory_bytes;

    return max && asked ? ORR_MIN(max, asked) : max + asked; /* one of the two is 0 */
}

static void take_end(struct answer *w, const struct logremote *remote, struct store_query *sq)
{
    struct slice *warnings = arena_array(w->arena, struct slice, sq->warnings.len);

    for (size_t i = 0; i < sq->warnings.len; i++)
        warnings[i] = arena_dup(w->arena, sq->warnings.ptr[i]);
    w->end.mark = ORR_MAX(remote->mark, sq->logs_dropped_by);
    w->end.failed_streams = sq->failed_streams;
    w->end.warnings = warnings;
    w->end.n_warnings = sq->warnings.len;
}

/* Whatever others do at the same time, all together hold no more. */
static struct err *hold(struct answer *w)
{
    struct logpiece_serve *s = w->serve;
    uint64_t n = w->made.cap, held = METRIC_GET(s->stats.held_bytes);

    do {
        if (n > s->opts.max_held_bytes || held > s->opts.max_held_bytes - n)
            return err_new(ERR_UNAVAILABLE,
                           "too many bytes wait to be taken by other queriers: %llu, and %llu were "
                           "to be added; no more than %llu may",
                           (unsigned long long)held, (unsigned long long)n,
                           (unsigned long long)s->opts.max_held_bytes);
    } while (!__atomic_compare_exchange_n(&s->stats.held_bytes, &held, held + n, false,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return NULL;
}

static struct err *run(struct answer *w)
{
    struct arena *a = arena_new(memory_of(w));
    struct logquery *q = &w->what.q;
    struct logremote remote;
    struct store_query sq;
    struct err *e;

    store_query_init(&sq, w->serve->opts.store,
                     &(struct store_query_opts){.tenant = w->tenant,
                                                .arena = a,
                                                .shard_size = w->ask.shard_size,
                                                .min_ms = w->ask.min_ms,
                                                .deadline_mono_ms = w->deadline_mono_ms,
                                                .cancel = &w->cancel});
    logremote_init(&remote, &(struct logremote_opts){.sq = &sq,
                                                     .grace_ns = w->ask.grace_ns,
                                                     .max_streams = w->ask.max_streams});
    q->deadline_mono_ms = w->deadline_mono_ms;
    q->cancel = &w->cancel;
    w->made.max_bytes = LOGPIECE_WIRE_MAX_ANSWER;
    e = logquery_piece(q, w->what.leaf, &w->what.at, &remote.source, a, &w->made);
    if (!e && !buf_ok(&w->made))
        e = err_new(ERR_TOO_LARGE, "what a piece of the query makes has more than %u bytes",
                    LOGPIECE_WIRE_MAX_ANSWER);
    take_end(w, &remote, &sq);
    store_query_done(&sq);
    arena_free(a);
    if (!e)
        e = hold(w);
    METRIC_ADD(w->serve->stats.failed, e != NULL);
    if (e)
        buf_done(&w->made);
    return e;
}

static struct err *run_counted(struct answer *w)
{
    struct objstore_tally tally = {0}, *before = objstore_tally_set(&tally);
    struct err *e = run(w);

    (void)objstore_tally_set(before);
    w->end.gets = METRIC_GET(tally.gets);
    w->end.bytes = METRIC_GET(tally.bytes);
    return e;
}

/* what was made, the end */
static struct err *answer_next(void *src, struct buf *frame, bool *ret_more)
{
    struct answer *w = src;
    struct err *e;

    if (!w->has_run && (e = run_counted(w)))
        return e;
    w->has_run = true;
    *ret_more = w->at < w->made.len;
    if (*ret_more) {
        struct slice rest = slice_from(buf_slice(&w->made), w->at);
        struct slice next =
            slice_sub(rest, 0, ORR_MIN(rest.len, (size_t)LOGPIECE_WIRE_FRAME_BYTES));

        buf_byte(frame, LOGPIECE_WIRE_MADE);
        buf_slice_append(frame, next);
        w->at += next.len;
    } else {
        logpiece_wire_end_encode(frame, &w->end);
    }
    return NULL;
}

/* ---- on the loop ---- */

static void answer_free(struct answer *w)
{
    buf_done(&w->made);
    arena_free(w->arena);
    mem_free(w);
}

static void answer_close(void *src)
{
    struct answer *w = src;

    (void)__atomic_sub_fetch(&w->serve->stats.running, 1, __ATOMIC_RELAXED);
    (void)__atomic_sub_fetch(&w->serve->stats.held_bytes, w->made.cap, __ATOMIC_RELAXED);
    answer_free(w);
}

static void on_cancel(void *arg)
{
    struct answer *w = arg;

    atomic_store(&w->cancel, true);
}

static struct err *check_room(const struct logpiece_serve *s)
{
    if (METRIC_GET(s->stats.running) >= LOGPIECE_SERVE_MAX_CALLS)
        return err_new(ERR_UNAVAILABLE, "too many pieces of queries are being run for others");
    if (METRIC_GET(s->stats.held_bytes) >= s->opts.max_held_bytes) /* it would be given up */
        return err_new(ERR_UNAVAILABLE, "too many bytes wait to be taken by other queriers: %llu",
                       (unsigned long long)s->opts.max_held_bytes);
    return NULL;
}

static struct err *decode(struct answer *w, struct slice payload)
{
    struct err *e = logpiece_wire_ask_decode(arena_dup(w->arena, payload), &w->ask);

    return e ? e : logpiece_wire_what_decode(w->ask.what, &w->what);
}

static void on_piece(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {NULL, answer_next, answer_close};
    static const uint8_t begun[] = {LOGPIECE_WIRE_BEGUN};
    struct logpiece_serve *s = arg;
    struct answer *w = mem_new(struct answer);
    struct err *e = tenant_check(rpc_call_tenant(call));

    w->serve = s;
    w->arena = arena_new(0);
    w->tenant = arena_dup(w->arena, rpc_call_tenant(call));
    w->deadline_mono_ms = clock_mono_ms(&clock_system) + ORR_MAX(rpc_call_left_ms(call), 1);
    if (!e && !(e = check_room(s)))
        e = decode(w, rpc_call_payload(call));
    if (e) {
        METRIC_ADD(s->stats.refused, 1);
        answer_free(w);
        rpc_reply_err(call, e);
        return;
    }
    METRIC_ADD(s->stats.calls, 1);
    METRIC_ADD(s->stats.running, 1);
    /* Not of the feed: that waits until a thread is free, and who asks would take us for dead. */
    (void)rpc_stream_send(call, slice_of(begun, sizeof(begun)));
    rpc_call_on_cancel(call, on_cancel, w);
    feed_start(s->feeds, call, &ops, w);
}

struct logpiece_serve *logpiece_serve_new(const struct logpiece_serve_opts *opts,
                                          struct rpc_server *server)
{
    struct logpiece_serve *s = mem_new(struct logpiece_serve);

    s->opts = *opts;
    if (!s->opts.max_held_bytes)
        s->opts.max_held_bytes = LOGPIECE_SERVE_MAX_HELD;
    s->jobs = job_pool_new("piece", ORR_MAX(opts->threads, 1u), LOGPIECE_SERVE_MAX_CALLS);
    s->feeds = feeds_new(s->jobs);
    rpc_server_handle(server, "querier.log_piece", on_piece, s);
    return s;
}

void logpiece_serve_free(struct logpiece_serve *s)
{
    if (!s)
        return;
    feeds_free(s->feeds);
    job_pool_free(s->jobs);
    mem_free(s);
}

void logpiece_serve_stats_get(struct logpiece_serve *s, struct logpiece_serve_stats *ret)
{
    *ret = (struct logpiece_serve_stats){METRIC_GET(s->stats.calls), METRIC_GET(s->stats.refused),
                                         METRIC_GET(s->stats.failed), METRIC_GET(s->stats.running),
                                         METRIC_GET(s->stats.held_bytes)};
}
