/*
 * An answer that goes out while it is being made: a worker puts pieces in, the request's loop sends
 * them. A worker that waits before each piece leaves at most REPLY_PIPE_BYTES in it; one that does not
 * bounds the whole itself.
 *
 *     worker   reply_pipe_wait()  reply_pipe_put() … reply_pipe_wait()  reply_pipe_put()
 *     loop                  http_reply_start(), http_reply_chunk() …   reply_pipe_end()
 *
 * Once something was put the status is out: a failure then cuts the connection, so that the client
 * sees that the answer is not whole.
 *
 * Threads: wait and put on one worker; everything else on the loop.
 */
#pragma once
#include <stdatomic.h>

#include "common/net/http_server.h"

#define REPLY_PIPE_BYTES (2u << 20)
#define REPLY_PIPE_PIECE (256u << 10) /* what is worth to be put */

struct reply_pipe;

/* cancel outlives it. on_drain is the request's (http_reply.h) and calls reply_pipe_drained(). */
struct reply_pipe *reply_pipe_new(struct http_request *r, const atomic_bool *cancel,
                                  int64_t deadline_mono_ms,
                                  void (*on_drain)(struct http_request *));
/* Until there is room: the client has read. Fails at the deadline, and when the request is
 * cancelled or gone. */
ORR_CHECKED struct err *reply_pipe_wait(struct reply_pipe *p);
/* Takes bytes and leaves it empty. content_type counts the first time, and is static. */
void reply_pipe_put(struct reply_pipe *p, const char *content_type, struct buf *bytes);
bool reply_pipe_has_begun(const struct reply_pipe *p); /* something was put; any thread */

void reply_pipe_drained(struct reply_pipe *p);
void reply_pipe_gone(struct reply_pipe *p); /* nothing is to be sent any more */
/* Sends what is left and rest, ends the request (is_whole false: cuts it off), frees p. */
void reply_pipe_end(struct reply_pipe *p, struct slice rest, bool is_whole);
void reply_pipe_free(struct reply_pipe *p); /* of a request that is forgotten; NULL is allowed */
