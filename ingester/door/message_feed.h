/*
 * Messages from sockets into the door of logs: syslog, GELF.
 *
 *   line_socket ──▶ (GELF's chunks, gelf.h) ──▶ what came within MESSAGE_FEED_WAIT_MS, or
 *   MESSAGE_FEED_BYTES of it ──▶ log_door_write()
 *
 * Nobody can be answered: lines that the door refuses for good (limits, what cannot be read) are
 * counted there by reason, and logged. A write that the door does not take now (the tenant is too fast,
 * no quorum, no room) is tried again every MESSAGE_FEED_RETRY_MS, for patience_ms; then it is lost, and
 * counted by reason. While MESSAGE_FEED_WRITES writes are under way or wait, and MESSAGE_FEED_BYTES
 * more, nothing is read (line_socket.h: back pressure). A message keeps the time at which it came, so
 * that one that is tried again is the same line.
 *
 * Memory: MESSAGE_FEED_WRITES + 1 times MESSAGE_FEED_BYTES and one turn's reading, and what chunks may take.
 *
 * Owner: one loop.
 */
#pragma once
#include "ingester/door/line_socket.h"
#include "ingester/door/log_door.h"

#define MESSAGE_FEED_BYTES (1u << 20)
#define MESSAGE_FEED_WAIT_MS 100
#define MESSAGE_FEED_RETRY_MS 200
#define MESSAGE_FEED_WRITES 4

/* X(symbol, name for metrics) */
#define MESSAGE_LOSSES(X)                                                                          \
    X(MESSAGE_LOST_RATE, "rate_limited")                                                           \
    X(MESSAGE_LOST_UNAVAILABLE, "unavailable")                                                     \
    X(MESSAGE_LOST_CHUNKS, "incomplete_chunks")
enum message_loss {
#define X(sym, name) sym,
    MESSAGE_LOSSES(X)
#undef X
        MESSAGE_LOSS_COUNT
};

/* Of one protocol, over all its loops and addresses. */
struct message_feed_metrics {
    uint64_t messages, writes, retries, failed;
    struct message_feed_lost {
        uint64_t n;
    } lost[MESSAGE_LOSS_COUNT];
};
void message_feed_metrics_register(const struct message_feed_metrics *m, const char *protocol);
void message_feed_metrics_unregister(const struct message_feed_metrics *m);

/* One message into a batch; what cannot be read is refused there. */
typedef struct err *message_add_fn(struct log_builder *b, struct slice message);

struct message_feed_opts {
    struct log_door *door;
    const char *tenant;   /* outlives the feed */
    const char *protocol; /* static */
    message_add_fn *add;
    int64_t patience_ms; /* 0: for ever, until it is drained */
    size_t chunk_bytes;  /* for GELF's chunks; 0: messages are not in chunks */
    struct message_feed_metrics *metrics;
    struct line_socket_opts socket; /* lines and arg are filled in; messages is set */
};

struct message_feed;
ORR_CHECKED struct err *message_feed_new(const struct message_feed_opts *opts,
                                         struct net_addr *addr, struct message_feed **ret);
/* No write under way (or the door is gone without having answered). NULL is allowed. */
void message_feed_free(struct message_feed *f);
/* Stops listening, writes what waits, once, and calls done when all is answered; once. */
void message_feed_drain(struct message_feed *f, loop_fn *done, void *arg);
