/*
 * From spans in a decoder's own form to a batch: the one way in for every protocol.
 *
 *   decoder ── resources, scopes, spans ──▶ trace_builder_span(): ids, limits ── trace_builder_end() ──▶ a piece
 *              for each trace in the batch (trace_batch.h)
 *
 * Ids are what W3C's Trace Context says: 16 bytes, or 8, and not all zero; a parent may be absent. A span whose ids are others is refused and
 * counted by its reason, and the rest goes on; what is refused whole (malformed input) is the decoder's to say. What is over a limit of size or
 * number is cut (limits max_attribute_bytes, max_attributes_per_span, max_events_per_span, max_links_per_span): what
 * was left out is added to the span's own count of what was dropped. Ends before starts are kept as they came.
 *
 * Memory: all of it is the arena's, or charged to it (arena_room()), that of the batch's pieces, too, until the builder is done: decoders
 * ask there before they take an array.
 *
 * Texts are lent until trace_builder_end(); arrays of attributes are changed in place.
 *
 * Owner: one thread, or loop.
 */
#pragma once
#include "common/traces/tracepiece.h"
#include "ingester/door/trace_batch.h"

#define TRACE_BUILDER_MAX_SPANS 4194304 /* of one write; and resources, and scopes */
/* Of the pieces of one write: each has its resources and scopes, so many traces of one large resource take many times what came. */
#define TRACE_BUILDER_MAX_BYTES (256u << 20)

/* X(symbol, name for metrics, text) */
#define TRACE_REASONS(X)                                                                           \
    X(TRACE_BAD_TRACE_ID, "invalid_trace_id", "trace id is not 16 bytes, or all of them are zero") \
    X(TRACE_BAD_SPAN_ID, "invalid_span_id", "span id is not 8 bytes, or all of them are zero")     \
    X(TRACE_BAD_PARENT_ID, "invalid_parent_span_id",                                               \
      "parent span id is neither absent nor 8 bytes")                                              \
    X(TRACE_SPAN_TOO_LARGE, "span_too_large", "span is larger than limit max_span_bytes allows")   \
    X(TRACE_RATE_LIMITED, "rate_limited", "too many bytes of spans")
enum trace_reason {
#define X(sym, name, text) sym,
    TRACE_REASONS(X)
#undef X
        TRACE_REASON_COUNT
};
const char *trace_reason_name(enum trace_reason reason);
const char *trace_reason_text(enum trace_reason reason);

/* A span as a client sent it: its ids are bytes still. Of span, ids are not looked at. */
struct trace_in {
    struct slice trace_id, span_id, parent_id;
    struct tracepiece_span
        span; /* resource, scope: what trace_builder_resource() and _scope() gave */
};

struct trace_builder {
    struct trace_batch *batch;
    struct arena *arena; /* of the decoder, too */
    VEC(struct tracepiece_resource) resources;
    VEC(struct tracepiece_scope) scopes;
    VEC(struct tracepiece_span) spans;
    VEC(uint32_t) traces; /* of each span, index into batch->traces */
    uint32_t *slots;      /* by trace id: index + 1 into batch->traces; open addressing */
    size_t n_slots;
    uint64_t refused[TRACE_REASON_COUNT];
    uint64_t cut_values, cut_attributes, cut_events, cut_links;
    size_t charged; /* to the arena, of what is beside it */
    bool is_over;   /* more spans, resources or scopes than a write may have */
    bool is_full;   /* there is no room for what it has */
};

void trace_builder_init(struct trace_builder *b, struct trace_batch *batch, struct arena *arena);
void trace_builder_done(struct trace_builder *b);
/* Copies the struct; its number. */
uint32_t trace_builder_resource(struct trace_builder *b, const struct tracepiece_resource *r);
uint32_t trace_builder_scope(struct trace_builder *b, const struct tracepiece_scope *s);
void trace_builder_span(struct trace_builder *b, const struct trace_in *in);
/* Gives the link its ids, for decoders; false: they have not the lengths of ids. */
bool trace_builder_link(struct tracepiece_link *l, struct slice trace_id, struct slice span_id);
/* Encodes what was added. ERR_LIMIT: the write has more than TRACE_BUILDER_MAX_SPANS, or _BYTES, or does not fit into the arena. */
ORR_CHECKED struct err *trace_builder_end(struct trace_builder *b);
uint64_t trace_builder_refused(const struct trace_builder *b); /* spans */
/* NULL when nothing was refused; else ERR_INVALID with reasons and counts. */
ORR_CHECKED struct err *trace_builder_answer(const struct trace_builder *b);

/* A protocol: decodes the whole body, and ends the builder: what texts lie in may go then. ERR_INVALID: it cannot be read, and nothing is stored. ERR_LIMIT, ERR_TOO_LARGE, ERR_MEDIA_TYPE. */
typedef struct err *trace_decode_fn(struct trace_builder *b, const void *arg);
struct trace_decoder {
    const char *name; /* "otlp_traces", "zipkin" …: label of metrics, static */
    trace_decode_fn *decode;
    const void *arg;   /* until trace_door_write() returns */
    size_t body_bytes; /* of what it decodes */
};
