/*
 * What ingesters and queriers say to one another about traces, and the bytes of it. Methods:
 *
 *   ingester.push_traces    batch (ingester/door/trace_batch.h) → batch reply (ingester/metrics/batch.h), whose series are the batch's
 *                           traces; door to replica only
 *   ingester.select_traces  rpc_traces_select → stream of frames of rpc_traces_item (tenant of the call)
 *   ingester.trace_names    rpc_traces_names → stream of frames of rpc_traces_name (tenant of the call). No ingester answers it yet
 *   ingester.trace_evidence, ingester.trace_verdicts   between the replicas of a trace that has ended (ingester/traces/sampler.h)
 *   ingester.push_edges     halves of the service graph's edges, to the owner of their trace (ingester/generator/servicegraph.h)
 *
 * Answers of ingester.select_traces and ingester.trace_names have a mark, as those of ingester.select have (metrics_rpc.h): the version of the tenant's catalogue of
 * traces by which the ingester has last dropped a segment.
 *
 * Segments of traces are listed, read and dropped as those of metrics are, with the same messages (rpc_segment, rpc_segment_read):
 * ingester.segments_traces, ingester.segment_read_traces, ingester.segment_dropped_traces. A segment is what one ingester has cut of a
 * tenant's traces which it first heard of in one window of PLAN_WINDOW_MS of the clock, or in a part of it: min_ms and max_ms of rpc_segment are
 * that window's, not the spans'; series are traces, those of each file summed; samples are spans; its ULID was made when it was begun.
 * It is listed once it grows no more: some time after the window's end, or on command. Its files are "pieces/000001" …, by
 * their number, of which some may be missing; each is as common/traces/tracesegment.h has it.
 *
 * Every request starts with a format byte, 1. Integers are LEB128 (uvarint; times zigzag), strings lstr. A frame holds whole items, back to
 * back, of TRACES_RPC_FRAME_BYTES or a little more:
 *
 *   trace   16 id, uvarint n, n pieces (common/traces/tracepiece.h), each lstr. By id (memcmp); a trace of many pieces comes as several items,
 *           one behind the other
 *   name    u8 type (enum tracecell_type), lstr text
 *
 * Decoders take bytes as hostile and borrow from them. Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/reader.h"

#define TRACES_RPC_FRAME_BYTES (256u << 10)
#define TRACES_RPC_MAX_IDS (1u << 20)

/* As struct tracesource_request (querier/traces/tracesource.h) has it, but for the filters. */
struct rpc_traces_select {
    int64_t start_ns, end_ns; /* a span of it overlaps this; end is exclusive */
    uint8_t first[16], last[16];
    bool has_ids;
    const uint8_t (*ids)[16]; /* ascending */
    size_t n_ids;             /* TRACES_RPC_MAX_IDS at most */
    bool ids_only;
    uint64_t max_bytes; /* of pieces, or ids; ERR_LIMIT beyond; 0: no bound */
    int64_t after_ns;   /* traces that began before it are deleted; 0: none are */
};
/* start, end; first, last; u8 flags (1: ids only, 2: ids follow, 4: after follows); max_bytes; [after]; [uvarint n, n ids] */
void rpc_traces_select_encode(struct buf *out, const struct rpc_traces_select *s);
/* ERR_INVALID: malformed, or ids are not in order. */
ORR_CHECKED struct err *rpc_traces_select_decode(struct slice bytes, struct rpc_traces_select *ret);

struct rpc_traces_item {
    const uint8_t *id;
    const struct slice *pieces;
    uint32_t n;
};
void rpc_traces_item_encode(struct buf *out, const struct rpc_traces_item *item);
/* Pieces in the arena. False at the end, or when malformed (then reader_ok() is false). */
bool rpc_traces_item_decode(struct arena *a, struct reader *r, struct rpc_traces_item *ret);

/* As struct tracesource_names_request has it. */
struct rpc_traces_names {
    int64_t start_ns, end_ns;
    uint8_t table;          /* enum tracetable */
    uint8_t intrinsic;      /* enum traceql_intrinsic */
    struct slice attribute; /* its values; empty: see there */
    uint64_t max;
};
void rpc_traces_names_encode(struct buf *out, const struct rpc_traces_names *n);
ORR_CHECKED struct err *rpc_traces_names_decode(struct slice bytes, struct rpc_traces_names *ret);

struct rpc_traces_name {
    uint8_t type;
    struct slice text;
};
void rpc_traces_name_encode(struct buf *out, const struct rpc_traces_name *n);
bool rpc_traces_name_decode(struct reader *r, struct rpc_traces_name *ret);
