/*
 * A streamed RPC answer that is made on workers: frame by frame, as the asker takes them. A worker
 * that finds no credit goes on with other jobs; the feed continues on any worker when credit comes
 * back, so slow readers hold memory (one frame) but no thread. A long answer makes way between frames for
 * jobs that wait, and as long as short answers come its worker leaves them a core (thread.h).
 *
 *     feed_start(call, jobs, &ops, src);
 *
 * Owner: the RPC server's loop between jobs, a worker during one; src is used by one at a time.
 * struct feeds knows those under way, so that what they read can be closed. A feed whose first
 * frame is its end answers with an empty reply: how a handler blocks without blocking the loop.
 */
#pragma once
#include "common/base/job.h"
#include "common/rpc/rpc.h"

struct feed_ops {
    /* Before the first frame, on a worker: what may block. May be NULL. */
    struct err *(*open)(void *src);
    /* Appends the next frame; *ret_more false when nothing comes after it (the frame may be empty
     * then). On a worker. */
    struct err *(*next)(void *src, struct buf *frame, bool *ret_more);
    /* Frees src; also if open was never called or failed. On the loop or a worker. */
    void (*close)(void *src);
};

struct feeds;
struct feeds *feeds_new(struct job_pool *jobs);
/* Ends what is under way with ERR_UNAVAILABLE and waits for it. When the loops have stopped, before
 * the workers end; on the thread that joined the loops. NULL is allowed. */
void feeds_free(struct feeds *fs);

/* Takes src and answers the call, sooner or later. On the call's loop. */
void feed_start(struct feeds *fs, struct rpc_call *call, const struct feed_ops *ops, void *src);
