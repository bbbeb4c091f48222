/*
 * StatsD from a socket (line_socket.h) into the sums of statsd.h, and each period from there into the
 * door.
 *
 * A flush is written slice by slice, one after the other, each from a turn of the loop of its own. One
 * that is not through when the next is due takes its place. What the door refuses is counted; totals
 * come again with the next flush.
 *
 * Owner: one loop.
 */
#pragma once
#include "ingester/door/door.h"
#include "ingester/door/line_socket.h"
#include "ingester/door/statsd.h"

struct statsd_feed_opts {
    struct door *door;
    const char *tenant; /* outlives the feed */
    int64_t period_ms;
    struct statsd_opts statsd;
    struct line_socket_opts socket; /* lines and arg are filled in */
};

struct statsd_feed;
ORR_CHECKED struct err *statsd_feed_new(const struct statsd_feed_opts *opts, struct net_addr *addr,
                                        struct statsd_feed **ret);
void statsd_feed_free(struct statsd_feed *f); /* as line_feed_free(); NULL is allowed */
/* Stops listening, flushes once more, and calls done when that is answered; once. */
void statsd_feed_drain(struct statsd_feed *f, loop_fn *done, void *arg);
