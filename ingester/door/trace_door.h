/*
 * The door of traces: takes spans in whatever protocol, checks them, and hands them on.
 *
 *   HTTP (trace_http.h), gRPC (trace_grpc.h) ──▶ trace_door_write(): a protocol's decoder (trace_builder.h), limits of the
 *   tenant, rate ──▶ sink ──▶ done: NULL, or why some or all of it was refused
 *
 * The sink is who has the batch replicated and stored: a table of functions that the ingester gives.
 * Without one trace_door_write() answers ERR_UNSUPPORTED.
 *
 * What can be read and keeps to the limits is stored, also when other spans of the write do not; a tenant that is too fast
 * has all of a write refused. A write larger than the burst is let in when nothing was before it for a while.
 *
 * Threads: any of the loops; everything of one write happens on one.
 */
#pragma once
#include "common/base/loop.h"
#include "common/model/limits.h"
#include "ingester/door/trace_builder.h"

/* NULL: all is durable. ERR_INVALID, ERR_LIMIT: some traces, which have so many spans, were refused and it says why, the rest
 * is durable. ERR_RATE, ERR_UNAVAILABLE: try again, some may be stored. Takes e. */
typedef void trace_sink_done_fn(void *arg, struct err *e, uint64_t refused_spans);
struct trace_sink {
    /* batch is lent until done is called, on the same loop, possibly before this returns. Who needs
     * it longer keeps it (trace_batch_ref()). */
    void (*write)(void *arg, struct loop *loop, struct trace_batch *batch, trace_sink_done_fn *done,
                  void *done_arg);
    void *arg;
};

struct trace_door_opts {
    struct limits *limits;
    const struct trace_sink *sink; /* NULL: none */
    const struct clock *clock;     /* NULL: the system's */
    size_t (*share)(void *arg);    /* ingesters that share a tenant's rate; NULL: 1 */
    void *share_arg;
    size_t max_body_bytes;     /* of a decoded body */
    size_t max_inflight_bytes; /* of writes under way, their decoding included; 0: no bound */
};
/*
 * While a body is decoded so many times its bytes are counted beforehand, and what it takes beyond as it is taken (arena_room()); afterwards what
 * it really took. Without room: ERR_UNAVAILABLE, if others have it; ERR_TOO_LARGE if one write alone takes more than max_inflight_bytes.
 */
#define TRACE_DOOR_DECODE_FACTOR 4
#define TRACE_DOOR_GRANT_BYTES (64u << 10) /* beyond, so many at once */

struct trace_door;
struct trace_door *trace_door_new(const struct trace_door_opts *opts);
void trace_door_free(struct trace_door *d); /* no write under way; NULL is allowed */

size_t trace_door_max_body_bytes(const struct trace_door *d);
/* Before a body is read: request rate (ERR_RATE) and room (ERR_UNAVAILABLE). */
ORR_CHECKED struct err *trace_door_admit(struct trace_door *d, struct slice tenant,
                                         size_t body_bytes);

struct trace_written {
    uint64_t spans;   /* that went to the sink */
    uint64_t refused; /* by the door and by the sink */
    bool is_decoded;  /* else nothing could be read at all */
};
/* Of a write that ended with e: some spans are stored, and others refused for good. */
bool trace_written_is_partial(const struct trace_written *w, const struct err *e);
/* e as trace_sink_done_fn has it; besides ERR_INVALID when nothing could be read. Takes e. */
typedef void trace_door_done_fn(void *arg, struct err *e, const struct trace_written *written);
/* decoder, and what it decodes, is used until this returns. done on the same loop, possibly before this returns. */
void trace_door_write(struct trace_door *d, struct loop *loop, struct slice tenant,
                      const struct trace_decoder *decoder, trace_door_done_fn *done, void *arg);
