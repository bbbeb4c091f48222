/*
 * The owner's side of "querier.log_piece" (logpiece_wire.h): runs a piece of another querier's query over log lines as it would one of
 * its own, over ingesters and blocks, and answers with what it made. It never asks another querier for a piece, so questions do not go round
 * in circles.
 *
 * That it is there it says at once; the rest is a feed (common/rpc/feed.h) on threads of its own, which wait for ingesters and
 * the bucket alone: queriers whose queries wait for one another cannot stop each other. A piece is stopped when nobody
 * waits for it any more.
 *
 * Bounds: LOGPIECE_SERVE_MAX_CALLS under way or waiting, each with no more memory than its query has for a piece (and
 * max_bytes); answers of up to LOGPIECE_WIRE_MAX_ANSWER, of which each thread has one that is being made, and those that wait to be
 * taken have max_held_bytes together: one that is made and finds no room there is given up. What is beyond is refused with the
 * reason, and done by who asked.
 *
 * Owner: the RPC server's loop.
 */
#pragma once
#include "common/rpc/rpc.h"
#include "querier/store/store.h"

#define LOGPIECE_SERVE_MAX_CALLS 256
#define LOGPIECE_SERVE_MAX_HELD (256u << 20)

struct logpiece_serve;
struct logpiece_serve_opts {
    struct store *store; /* outlives it */
    unsigned threads;
    size_t max_bytes;        /* of a piece; 0: no bound */
    uint64_t max_held_bytes; /* 0: LOGPIECE_SERVE_MAX_HELD */
};
struct logpiece_serve_stats {
    uint64_t calls, refused; /* taken, and not */
    uint64_t failed;         /* of those taken; with those that found no room */
    uint64_t running;        /* taken, and not answered to the end */
    uint64_t held_bytes;     /* of answers that are made and not taken: max_held_bytes at most */
};

/* Before the server starts. */
struct logpiece_serve *logpiece_serve_new(const struct logpiece_serve_opts *opts,
                                          struct rpc_server *server);
/* When the loops have stopped, on the thread that joined them. NULL is allowed. */
void logpiece_serve_free(struct logpiece_serve *s);
void logpiece_serve_stats_get(struct logpiece_serve *s, struct logpiece_serve_stats *ret);
