#include "ingester/door/message_feed.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "ingester/door/gelf.h"

static const struct metric_field feed_fields[] = {
    METRIC_COUNTER(struct message_feed_metrics, messages, "orrery_messages_total",
                   "Messages (syslog, GELF) that came over sockets."),
    METRIC_COUNTER(struct message_feed_metrics, writes, "orrery_message_writes_total",
                   "Writes made of them."),
    METRIC_COUNTER(struct message_feed_metrics, retries, "orrery_message_write_retries_total",
                   "Writes that were tried again because the door did not take them."),
    METRIC_COUNTER(struct message_feed_metrics, failed, "orrery_message_failed_writes_total",
                   "Writes of which some or all was refused or lost."),
};
static const struct metric_field lost_fields[] = {
    METRIC_COUNTER(struct message_feed_lost, n, "orrery_messages_lost_total",
                   "Messages that came over sockets and are lost, by reason."),
};
static const char *const loss_names[] = {
#define X(sym, name) name,
    MESSAGE_LOSSES(X)
#undef X
};

void message_feed_metrics_register(const struct message_feed_metrics *m, const char *protocol)
{
    char labels[96];

    (void)snprintf(labels, sizeof(labels), "protocol=\"%s\"", protocol);
    metric_register(m, feed_fields, ORR_COUNT(feed_fields), labels);
    for (size_t i = 0; i < MESSAGE_LOSS_COUNT; i++) {
        (void)snprintf(labels, sizeof(labels), "protocol=\"%s\",reason=\"%s\"", protocol,
                       loss_names[i]);
        metric_register(&m->lost[i], lost_fields, ORR_COUNT(lost_fields), labels);
    }
}

void message_feed_metrics_unregister(const struct message_feed_metrics *m)
{
    metric_unregister(m);
    for (size_t i = 0; i < MESSAGE_LOSS_COUNT; i++)
        metric_unregister(&m->lost[i]);
}

/* A write under way, or one that waits to be tried again. */
struct message_write {
    struct message_feed *f;
    struct buf records;
    uint64_t messages;
    int64_t since_ms; /* of the first try */
    bool waits;
};

/*
 * Messages that came, as records: i64 time in Unix nanoseconds, u32 length (both little endian), and
 * the message.
 */
struct message_feed {
    struct message_feed_opts opts;
    struct line_socket *socket;
    struct gelf_chunks *chunks; /* NULL: none */
    uint64_t chunks_dropped;    /* counted so far */
    struct loop_timer *timer;
    struct buf pending;
    uint64_t pending_messages;
    int64_t last_ns;
    VEC(struct message_write *) writes;
    loop_fn *drained;
    void *drained_arg;
};

static int64_t now_ms(const struct message_feed *f)
{
    return loop_now_ms(f->opts.socket.loop);
}

static bool is_full(const struct message_feed *f)
{
    return f->pending.len >= MESSAGE_FEED_BYTES;
}

/* ---- decoding ---- */

static struct err *decode(struct log_builder *b, const void *arg)
{
    const struct message_feed *f = arg;
    struct reader r = reader_new(buf_slice(&b->batch->body));
    struct err *e = NULL;

    while (!e && reader_left(&r)) {
        struct slice message;

        b->now_ns = (int64_t)reader_u64le(&r);
        message = reader_bytes(&r, reader_u32le(&r));
        e = f->opts.add(b, message);
    }
    return e;
}

/* ---- writes ---- */

static void settle(struct message_feed *f);

static void end_write(struct message_write *w)
{
    struct message_feed *f = w->f;

    for (size_t i = 0; i < f->writes.len; i++)
        if (f->writes.ptr[i] == w) {
            vec_remove_swap(&f->writes, i);
            break;
        }
    buf_done(&w->records);
    mem_free(w);
}

/* May the door take it later? What the store refused of a write that the door took is refused for
 * good: too many streams, too. */
static bool is_transient(const struct err *e, const struct log_written *written)
{
    return err_is(e, ERR_UNAVAILABLE) || (err_is(e, ERR_RATE) && written->lines == 0);
}

/* Takes e. */
static void fail(struct message_write *w, struct err *e, const struct log_written *written)
{
    struct message_feed *f = w->f;
    struct message_feed_metrics *m = f->opts.metrics;
    bool is_lost = is_transient(e, written);

    if (is_lost && !f->drained &&
        (!f->opts.patience_ms || now_ms(f) - w->since_ms < f->opts.patience_ms)) {
        w->waits = true;
        err_free(e);
        return;
    }
    METRIC_ADD(m->failed, 1);
    if (is_lost) {
        METRIC_ADD(m->lost[err_is(e, ERR_RATE) ? MESSAGE_LOST_RATE : MESSAGE_LOST_UNAVAILABLE].n,
                   w->messages);
        LOG_WARN(door, "messages were lost", KV_STR("method", f->opts.protocol),
                 KV_STR("tenant", f->opts.tenant), KV_U64("count", w->messages), KV_ERR(e));
    } else {
        LOG_WARN(door, "messages were refused", KV_STR("method", f->opts.protocol),
                 KV_STR("tenant", f->opts.tenant), KV_ERR(e));
    }
    err_free(e);
    end_write(w);
}

static void on_written(void *arg, struct err *e, const struct log_written *written)
{
    struct message_write *w = arg;
    struct message_feed *f = w->f;

    if (e)
        fail(w, e, written);
    else
        end_write(w);
    settle(f);
}

static void try_write(struct message_write *w)
{
    struct message_feed *f = w->f;
    const struct message_feed_opts *o = &f->opts;
    struct slice tenant = slice_cstr(o->tenant);
    struct log_decoder decoder = {.name = o->protocol, .decode = decode, .arg = f};
    struct err *e = log_door_admit(o->door, tenant, w->records.len);
    struct buf body = {0};

    w->waits = false;
    if (e) {
        fail(w, e, &(struct log_written){0});
        return;
    }
    buf_slice_append(&body, buf_slice(&w->records)); /* lines will lie in it */
    log_door_write(o->door, o->socket.loop, tenant, &decoder, &body, on_written, w);
}

/* What waits becomes a write. */
static void begin_write(struct message_feed *f)
{
    struct message_write *w = mem_new(struct message_write);

    METRIC_ADD(f->opts.metrics->writes, 1);
    *w = (struct message_write){
        .f = f, .records = f->pending, .messages = f->pending_messages, .since_ms = now_ms(f)};
    f->pending = (struct buf){0};
    f->pending_messages = 0;
    vec_push(&f->writes, w);
    try_write(w);
}

static void try_again(struct message_feed *f)
{
    for (size_t i = f->writes.len; i-- > 0;)
        if (i < f->writes.len && f->writes.ptr[i]->waits) {
            METRIC_ADD(f->opts.metrics->retries, 1);
            try_write(f->writes.ptr[i]);
        }
}

static bool has_waiting(const struct message_feed *f)
{
    VEC_FOREACH (w, &f->writes)
        if ((*w)->waits)
            return true;
    return false;
}

static void count_chunks(struct message_feed *f)
{
    uint64_t dropped = f->chunks ? gelf_chunks_dropped(f->chunks) : 0;

    METRIC_ADD(f->opts.metrics->lost[MESSAGE_LOST_CHUNKS].n, dropped - f->chunks_dropped);
    f->chunks_dropped = dropped;
}

/* After anything happened: write, wait, read on, be done. */
static void settle(struct message_feed *f)
{
    if (f->drained) {
        if (f->writes.len == 0 && f->pending.len == 0 && f->drained_arg) {
            void *arg = f->drained_arg;

            f->drained_arg = NULL;
            f->drained(arg);
        }
        return;
    }
    if (is_full(f) && f->writes.len < MESSAGE_FEED_WRITES)
        begin_write(f);
    if (!loop_timer_is_armed(f->timer)) {
        if (has_waiting(f))
            loop_timer_arm_ms(f->timer, MESSAGE_FEED_RETRY_MS);
        else if (f->pending.len || (f->chunks && gelf_chunks_bytes(f->chunks)))
            loop_timer_arm_ms(f->timer, MESSAGE_FEED_WAIT_MS);
    }
    if (!is_full(f))
        line_socket_resume(f->socket);
}

static void on_timer(void *arg)
{
    struct message_feed *f = arg;

    if (f->chunks)
        gelf_chunks_expire(f->chunks, now_ms(f));
    count_chunks(f);
    try_again(f);
    if (f->pending.len && f->writes.len < MESSAGE_FEED_WRITES)
        begin_write(f);
    settle(f);
}

/* ---- messages ---- */

static void add_pending(struct message_feed *f, struct slice message)
{
    /* Two that say the same are two: lines of one moment with one text would be one. */
    f->last_ns = ORR_MAX(clock_wall_ns(&clock_system), f->last_ns + 1);
    METRIC_ADD(f->opts.metrics->messages, 1);
    buf_u64le(&f->pending, (uint64_t)f->last_ns);
    buf_u32le(&f->pending, (uint32_t)message.len);
    buf_slice_append(&f->pending, message);
    f->pending_messages++;
}

static bool on_message(void *arg, struct slice message)
{
    struct message_feed *f = arg;

    if (!f->chunks || gelf_chunks_put(f->chunks, message, now_ms(f), &message))
        add_pending(f, message);
    settle(f);
    return !is_full(f);
}

/* ---- life ---- */

struct err *message_feed_new(const struct message_feed_opts *opts, struct net_addr *addr,
                             struct message_feed **ret)
{
    struct message_feed *f = mem_new(struct message_feed);
    struct err *e;

    f->opts = *opts;
    f->opts.socket.lines = on_message;
    f->opts.socket.arg = f;
    f->timer = loop_timer_new(opts->socket.loop, on_timer, f);
    if (opts->chunk_bytes)
        f->chunks = gelf_chunks_new(opts->chunk_bytes);
    if ((e = line_socket_new(&f->opts.socket, addr, &f->socket))) {
        message_feed_free(f);
        return e;
    }
    *ret = f;
    return NULL;
}

void message_feed_free(struct message_feed *f)
{
    if (!f)
        return;
    line_socket_free(f->socket);
    loop_timer_free(f->timer);
    gelf_chunks_free(f->chunks);
    while (f->writes.len)
        end_write(vec_last(&f->writes));
    vec_done(&f->writes);
    buf_done(&f->pending);
    mem_free(f);
}

void message_feed_drain(struct message_feed *f, loop_fn *done, void *arg)
{
    line_socket_stop(f->socket);
    loop_timer_cancel(f->timer);
    f->drained = done;
    f->drained_arg = arg;
    try_again(f);
    if (f->pending.len)
        begin_write(f);
    settle(f);
}
