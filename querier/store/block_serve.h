/*
 * The owner's side of "querier.block" (block_wire.h): opens the block, reads it through the caches of this process as a
 * query here would, and streams its series with undecoded chunks. It never asks another querier, so questions do not go
 * round in circles.
 *
 * An answer is a feed (common/rpc/feed.h) on threads of its own: it holds a frame, one series and what is read ahead, the
 * last within the room of the page cache. At most BLOCK_SERVE_MAX_CALLS are under way; more are refused, and who asked reads
 * the block itself. The limits of the query are kept by who asks: it stops taking.
 *
 * Owner: the RPC server's loop.
 */
#pragma once
#include "common/rpc/rpc.h"
#include "querier/store/blockset.h"

#define BLOCK_SERVE_MAX_CALLS 1024

struct block_serve;

struct block_serve_stats {
    uint64_t calls, refused; /* taken, and not */
    uint64_t running;
};

/* Before the server starts. blocks outlives it. */
struct block_serve *block_serve_new(struct blockset *blocks, struct rpc_server *server);
/* When the loops have stopped, on the thread that joined them. NULL is allowed. */
void block_serve_free(struct block_serve *s);
void block_serve_stats_get(struct block_serve *s, struct block_serve_stats *ret);
