/*
 * Lines from sockets into the door, for protocols whose lines are samples: Graphite, Influx.
 *
 *   line_socket ──▶ what came within LINE_FEED_WAIT_MS, or LINE_FEED_BYTES of it ──▶ door_write()
 *
 * Nobody can be answered: what the door refuses is counted. While LINE_FEED_WRITES writes are under
 * way, or the door says "not now", nothing is read (line_socket.h: back pressure); a "not now" that
 * lasts LINE_FEED_PATIENCE_MS, a rate limit included, costs the lines that wait.
 *
 * Memory: at most LINE_FEED_BYTES and one turn's reading wait, and LINE_FEED_WRITES of that are under
 * way.
 *
 * Owner: one loop.
 */
#pragma once
#include "ingester/door/door.h"
#include "ingester/door/line_socket.h"

#define LINE_FEED_BYTES (1u << 20)
#define LINE_FEED_WAIT_MS 100
#define LINE_FEED_WRITES 4
#define LINE_FEED_PATIENCE_MS 10000

/* Of one protocol, over all its loops. */
struct line_feed_metrics {
    uint64_t writes, failed, lost_bytes;
};
void line_feed_metrics_register(const struct line_feed_metrics *m, const char *protocol);
void line_feed_metrics_unregister(const struct line_feed_metrics *m);

struct line_feed_opts {
    struct door *door;
    const char *tenant;          /* outlives the feed */
    struct push_decoder decoder; /* reads the body of the push */
    struct line_feed_metrics *metrics;
    struct line_socket_opts socket; /* lines and arg are filled in */
};

struct line_feed;
ORR_CHECKED struct err *line_feed_new(const struct line_feed_opts *opts, struct net_addr *addr,
                                      struct line_feed **ret);
/* No write under way (or the door is gone without having answered). NULL is allowed. */
void line_feed_free(struct line_feed *f);
/* Stops listening, writes what waits, and calls done when all is answered; once. */
void line_feed_drain(struct line_feed *f, loop_fn *done, void *arg);
