#include "ingester/door/line_feed.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"

#define RETRY_MS 200

static const struct metric_field line_feed_fields[] = {
    METRIC_COUNTER(struct line_feed_metrics, writes, "orrery_line_writes_total",
                   "Writes made of lines that came over sockets."),
    METRIC_COUNTER(struct line_feed_metrics, failed, "orrery_line_failed_writes_total",
                   "Writes of which some or all was refused or lost."),
    METRIC_COUNTER(struct line_feed_metrics, lost_bytes, "orrery_line_lost_bytes_total",
                   "Bytes of lines lost because the door did not take them in time."),
};

void line_feed_metrics_register(const struct line_feed_metrics *m, const char *protocol)
{
    char labels[64];

    (void)snprintf(labels, sizeof(labels), "protocol=\"%s\"", protocol);
    metric_register(m, line_feed_fields, ORR_COUNT(line_feed_fields), labels);
}

void line_feed_metrics_unregister(const struct line_feed_metrics *m)
{
    metric_unregister(m);
}

struct line_feed {
    struct line_feed_opts opts;
    struct line_socket *socket;
    struct loop_timer *timer;
    struct buf pending;
    size_t writes;            /* under way */
    int64_t refused_since_ms; /* 0: the door takes what comes */
    loop_fn *drained;
    void *drained_arg;
};

static int64_t now_ms(const struct line_feed *f)
{
    return loop_now_ms(f->opts.socket.loop);
}

static bool is_full(const struct line_feed *f)
{
    return f->pending.len >= LINE_FEED_BYTES;
}

static void settle(struct line_feed *f);

static void on_written(void *arg, struct err *e, const struct door_written *written)
{
    struct line_feed *f = arg;

    (void)written;
    f->writes--;
    if (e) {
        METRIC_ADD(f->opts.metrics->failed, 1);
        LOG_WARN(door, "lines were refused", KV_STR("method", f->opts.decoder.name),
                 KV_STR("tenant", f->opts.tenant), KV_ERR(e));
        err_free(e);
    }
    settle(f);
}

static void lose(struct line_feed *f, const struct err *e)
{
    METRIC_ADD(f->opts.metrics->lost_bytes, f->pending.len);
    LOG_WARN(door, "lines were lost", KV_STR("method", f->opts.decoder.name),
             KV_STR("tenant", f->opts.tenant), KV_U64("bytes", f->pending.len), KV_ERR(e));
    buf_reset(&f->pending);
    f->refused_since_ms = 0;
}

/* What waits becomes a write, unless the door does not want it now. */
static void send_lines(struct line_feed *f)
{
    const struct line_feed_opts *o = &f->opts;
    struct slice tenant = slice_cstr(o->tenant);
    struct err *e = door_admit(o->door, tenant, f->pending.len);

    if (e) {
        if (f->refused_since_ms == 0)
            f->refused_since_ms = now_ms(f);
        if (f->drained || now_ms(f) - f->refused_since_ms >= LINE_FEED_PATIENCE_MS)
            lose(f, e);
        err_free(e);
        return;
    }
    f->refused_since_ms = 0;
    f->writes++;
    METRIC_ADD(o->metrics->writes, 1);
    door_write(o->door, o->socket.loop, tenant, &o->decoder, &f->pending, on_written, f);
}

/* After anything happened: write, wait, read on, be done. */
static void settle(struct line_feed *f)
{
    if (f->drained) {
        if (f->pending.len)
            send_lines(f);
        if (f->writes == 0 && f->pending.len == 0 && f->drained_arg) {
            void *arg = f->drained_arg;

            f->drained_arg = NULL;
            f->drained(arg);
        }
        return;
    }
    if (is_full(f) && f->writes < LINE_FEED_WRITES && f->refused_since_ms == 0)
        send_lines(f);
    if (f->pending.len && !loop_timer_is_armed(f->timer))
        loop_timer_arm_ms(f->timer, f->refused_since_ms ? RETRY_MS : LINE_FEED_WAIT_MS);
    if (!is_full(f))
        line_socket_resume(f->socket);
}

static void on_timer(void *arg)
{
    struct line_feed *f = arg;

    if (f->pending.len && f->writes < LINE_FEED_WRITES)
        send_lines(f);
    settle(f);
}

static bool on_lines(void *arg, struct slice lines)
{
    struct line_feed *f = arg;

    buf_slice_append(&f->pending, lines);
    if (lines.ptr[lines.len - 1] != '\n')
        buf_byte(&f->pending, '\n');
    settle(f);
    return !is_full(f);
}

struct err *line_feed_new(const struct line_feed_opts *opts, struct net_addr *addr,
                          struct line_feed **ret)
{
    struct line_feed *f = mem_new(struct line_feed);
    struct err *e;

    f->opts = *opts;
    f->opts.socket.lines = on_lines;
    f->opts.socket.arg = f;
    f->timer = loop_timer_new(opts->socket.loop, on_timer, f);
    if ((e = line_socket_new(&f->opts.socket, addr, &f->socket))) {
        line_feed_free(f);
        return e;
    }
    *ret = f;
    return NULL;
}

void line_feed_free(struct line_feed *f)
{
    if (!f)
        return;
    line_socket_free(f->socket);
    loop_timer_free(f->timer);
    buf_done(&f->pending);
    mem_free(f);
}

void line_feed_drain(struct line_feed *f, loop_fn *done, void *arg)
{
    line_socket_stop(f->socket);
    loop_timer_cancel(f->timer);
    f->drained = done;
    f->drained_arg = arg;
    settle(f);
}
