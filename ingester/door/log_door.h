/*
 * The door of logs: takes lines in whatever protocol, checks them, and hands them on.
 *
 *   HTTP (log_http.h), sockets ──▶ log_door_write(): a protocol's decoder (log_builder.h), limits of
 *   the tenant, rate ──▶ sink ──▶ done: NULL, or why some or all of it was refused
 *
 * The sink is who has the batch replicated and stored: a table of functions that the ingester gives.
 * Without one log_door_write() answers ERR_UNSUPPORTED.
 *
 * As Loki does it: what can be read and keeps to the limits is stored, also when other lines of the
 * write do not, and then the answer is an error that says so; a tenant that is too fast has all of a
 * write refused. The tenant's rules (drop, sample, scrub, relabel: common/model/log_rule.h) are applied
 * before, and what they take away is stored nowhere and no error. A write larger than the burst is let in when nothing was before it for a while.
 *
 * A loop has its own cache of known streams per tenant (fp_cache.h), emptied when limits change.
 *
 * Threads: any of the loops given; everything of one write happens on one.
 */
#pragma once
#include "common/base/loop.h"
#include "common/model/limits.h"
#include "ingester/door/log_builder.h"

/* NULL: all is durable. ERR_INVALID, ERR_LIMIT: some streams were refused and it says why, the rest
 * is durable. ERR_RATE, ERR_UNAVAILABLE: try again, some may be stored. Takes e. */
typedef void log_sink_done_fn(void *arg, struct err *e);
struct log_sink {
    /* batch is lent until done is called, on the same loop, possibly before this returns. Who needs
     * it longer keeps it (log_batch_ref()). */
    void (*write)(void *arg, struct loop *loop, struct log_batch *batch, log_sink_done_fn *done,
                  void *done_arg);
    void *arg;
};

struct log_door_opts {
    struct loop **loops;
    size_t n_loops;
    struct limits *limits;
    const struct log_sink *sink; /* NULL: none yet */
    const struct clock *clock;   /* NULL: the system's */
    size_t (*share)(void *arg);  /* ingesters that share a tenant's rate; NULL: 1 */
    void *share_arg;
    size_t cache_bytes;        /* of all loops together */
    size_t max_body_bytes;     /* of a decoded body */
    size_t max_inflight_bytes; /* of writes under way; 0: no bound */
};

struct log_door;
struct log_door *log_door_new(const struct log_door_opts *opts);
void log_door_free(struct log_door *d); /* no write under way; NULL is allowed */

size_t log_door_max_body_bytes(const struct log_door *d);
/* Before a body is read: request rate (ERR_RATE) and room (ERR_UNAVAILABLE). */
ORR_CHECKED struct err *log_door_admit(struct log_door *d, struct slice tenant, size_t body_bytes);

struct log_written {
    uint64_t lines, refused; /* refused: by the door */
    bool is_decoded;         /* else nothing could be read at all */
};
/* Of a write that ended with e: some lines are stored, and others refused for good. */
bool log_written_is_partial(const struct log_written *w, const struct err *e);
/* e as log_sink_done_fn has it; besides ERR_INVALID when nothing could be read. Takes e. What
 * the decoder made in the batch's arena is there until this returns. */
typedef void log_door_done_fn(void *arg, struct err *e, const struct log_written *written);
/* Takes *body over (may be empty: what comes by decoder->arg). decoder is used until this returns;
 * what lines lie in is the batch's, or it is kept by it, as the sink may need them after done. done on the same loop, possibly before this returns. */
void log_door_write(struct log_door *d, struct loop *loop, struct slice tenant,
                    const struct log_decoder *decoder, struct buf *body, log_door_done_fn *done,
                    void *arg);
