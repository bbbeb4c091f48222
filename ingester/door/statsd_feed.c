#include "ingester/door/statsd_feed.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"

struct statsd_feed_metrics {
    uint64_t flushes, failed;
};
static const struct metric_field statsd_feed_fields[] = {
    METRIC_COUNTER(struct statsd_feed_metrics, flushes, "orrery_statsd_flushes_total",
                   "Flushes of StatsD series begun."),
    METRIC_COUNTER(struct statsd_feed_metrics, failed, "orrery_statsd_failed_writes_total",
                   "Writes of a flush of which some or all was refused or lost."),
};

struct statsd_feed {
    struct statsd_feed_opts opts;
    struct statsd *statsd;
    struct line_socket *socket;
    struct loop_timer *timer, *next; /* of the period; of the next slice, at once */
    bool is_writing;
    struct statsd_feed_metrics m;
    loop_fn *drained; /* set: the last flush */
    void *drained_arg;
};

static void write_slice(struct statsd_feed *f);

static void on_next(void *arg)
{
    write_slice(arg);
}

static void end_write(struct statsd_feed *f, struct err *e)
{
    if (!e)
        return;
    METRIC_ADD(f->m.failed, 1);
    LOG_WARN(door, "a flush was refused", KV_STR("method", "statsd"),
             KV_STR("tenant", f->opts.tenant), KV_ERR(e));
    err_free(e);
}

static void on_written(void *arg, struct err *e, const struct door_written *written)
{
    struct statsd_feed *f = arg;

    (void)written;
    end_write(f, e);
    f->is_writing = false;
    loop_timer_arm_ms(f->next, 0);
}

/* The next slice of the flush, if there is one and none is under way. */
static void write_slice(struct statsd_feed *f)
{
    struct push_decoder decoder = {.name = "statsd", .decode = statsd_decode, .arg = f->statsd};
    struct slice tenant = slice_cstr(f->opts.tenant);
    struct buf none = {0};
    struct err *e;

    if (f->is_writing)
        return;
    if (statsd_flush_is_done(f->statsd)) {
        loop_fn *drained = f->drained;

        f->drained = NULL;
        if (drained)
            drained(f->drained_arg);
        return;
    }
    if ((e = door_admit(f->opts.door, tenant, 0))) {
        /* The door is closed for all of it: the next flush brings the totals. */
        end_write(f, e);
        statsd_flush_end(f->statsd);
        write_slice(f);
        return;
    }
    f->is_writing = true;
    door_write(f->opts.door, f->opts.socket.loop, tenant, &decoder, &none, on_written, f);
}

static void begin_flush(struct statsd_feed *f)
{
    METRIC_ADD(f->m.flushes, 1);
    statsd_flush(f->statsd, clock_wall_ms(&clock_system));
    write_slice(f);
}

static void on_timer(void *arg)
{
    struct statsd_feed *f = arg;

    loop_timer_arm_ms(f->timer, f->opts.period_ms);
    begin_flush(f);
}

static bool on_lines(void *arg, struct slice lines)
{
    struct statsd_feed *f = arg;

    statsd_take(f->statsd, lines, clock_wall_ms(&clock_system));
    return true;
}

struct err *statsd_feed_new(const struct statsd_feed_opts *opts, struct net_addr *addr,
                            struct statsd_feed **ret)
{
    struct statsd_feed *f = mem_new(struct statsd_feed);
    struct err *e;

    f->opts = *opts;
    f->opts.socket.lines = on_lines;
    f->opts.socket.arg = f;
    f->statsd = statsd_new(&opts->statsd);
    f->timer = loop_timer_new(opts->socket.loop, on_timer, f);
    f->next = loop_timer_new(opts->socket.loop, on_next, f);
    metric_register(&f->m, statsd_feed_fields, ORR_COUNT(statsd_feed_fields), NULL);
    if ((e = line_socket_new(&f->opts.socket, addr, &f->socket))) {
        statsd_feed_free(f);
        return e;
    }
    loop_timer_arm_ms(f->timer, opts->period_ms);
    *ret = f;
    return NULL;
}

void statsd_feed_free(struct statsd_feed *f)
{
    if (!f)
        return;
    metric_unregister(&f->m);
    line_socket_free(f->socket);
    loop_timer_free(f->timer);
    loop_timer_free(f->next);
    statsd_free(f->statsd);
    mem_free(f);
}

void statsd_feed_drain(struct statsd_feed *f, loop_fn *done, void *arg)
{
    line_socket_stop(f->socket);
    loop_timer_cancel(f->timer);
    f->drained = done;
    f->drained_arg = arg;
    begin_flush(f);
}
