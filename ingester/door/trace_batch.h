/*
 * A client's spans, whatever protocol they came in: a piece (common/traces/tracepiece.h) for each trace of the write, which
 * has all that is kept of its spans; nothing of the client's bytes is needed any more. trace_builder.h fills it; what is sent
 * to replicas is one form that needs no change on the way:
 *
 *   u8      version, 1
 *   then traces up to the end, each: uvarint bytes of the piece, and those
 *
 * Owner: one thread, or loop.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/reader.h"
#include "common/base/vec.h"
#include "common/model/limits.h"

#define TRACE_BATCH_VERSION 1

struct trace_batch_trace {
    uint8_t id[16];
    uint32_t n_spans;
    size_t at, len; /* its piece, in pieces */
};

struct trace_batch {
    uint32_t refs; /* who still needs it; all on one loop */
    struct slice tenant;
    struct tenant_limits limits;
    VEC(struct trace_batch_trace) traces; /* no id twice */
    struct buf pieces;
    uint64_t spans;
};

/* Copies tenant. */
struct trace_batch *trace_batch_new(struct slice tenant, const struct tenant_limits *limits);
void trace_batch_ref(struct trace_batch *b);
/* Gives up a reference, the first one too; the last frees. NULL is allowed. */
void trace_batch_free(struct trace_batch *b);
/* Memory it holds, roughly. */
size_t trace_batch_memory(const struct trace_batch *b);
/* The place of a trace on the ring. */
uint32_t trace_batch_token(struct slice tenant, const uint8_t id[16]);
/* Appends the form above of the n traces with these indexes (NULL: of all). */
void trace_batch_encode(const struct trace_batch *b, const uint32_t *traces, size_t n,
                        struct buf *out);

/* ---- reading what was sent: any bytes ---- */

struct trace_batch_reader {
    struct reader r;
};
struct trace_batch_item {
    const uint8_t *id;  /* in piece */
    struct slice piece; /* not looked into but for the id */
};
void trace_batch_reader_init(struct trace_batch_reader *r, struct slice bytes);
/* False at the end, or on malformed bytes. */
bool trace_batch_next(struct trace_batch_reader *r, struct trace_batch_item *ret);
/* ERR_CORRUPT if it did not end where it should. */
ORR_CHECKED struct err *trace_batch_reader_end(const struct trace_batch_reader *r);
