/*
 * A piece of a trace: some or all spans of one trace as they were sent, with all that OTLP has of them. The form in
 * which spans travel and rest until they are in a block: the door makes a piece for each trace of a write, replicas log and
 * keep pieces, a reader unites those of a trace.
 *
 *     door: struct tracepiece ── tracepiece_encode() ──▶ bytes ── RPC, log, RocksDB, segment ──▶ tracepiece_decode()
 *     several of one trace ── tracepiece_unite() ──▶ one, each span once ── tracepiece_build() ──▶ tracecols.h
 *
 * Bytes (little endian; uvarint, varint, lstr as in common/base/buf.h):
 *
 *   u8       version, 1
 *   16       trace id
 *   uvarint  resources; each: text schema URL, attributes, uvarint dropped attributes
 *   uvarint  scopes; each: text name, text version, text schema URL, attributes, uvarint dropped attributes
 *   uvarint  spans; each:
 *     u64      span id, u64 parent id (0: none)
 *     uvarint  resource, uvarint scope: numbers of those above
 *     u8       kind | status code << 4
 *     uvarint  start, Unix ns; varint end - start
 *     text     name, text status message, text trace state
 *     uvarint  flags
 *     attributes, uvarint dropped attributes
 *     uvarint  events; each: varint time - start of the span, text name, attributes, uvarint dropped attributes
 *     uvarint  dropped events
 *     uvarint  links; each: 16 trace id, u64 span id, text trace state, uvarint flags, attributes, uvarint dropped attributes
 *     uvarint  dropped links
 *   attributes: uvarint n; each: text key, value
 *   value: u8 kind (enum otlp_value_kind), then TEXT, BYTES: text; BOOL: u8; INT: varint; DOUBLE: f64; LIST: uvarint n, values;
 *          MAP: attributes
 *   text: uvarint 0: a new one, as lstr; else its number: 1 is the empty one, new ones are 2, 3, … in the order they came
 *
 * Times wrap as 64-bit integers do. Ids are numbers whose big-endian bytes are the id.
 *
 * Threads: any; an encoder belongs to one.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/model/otlp_value.h"
#include "common/traces/tracecols.h"

#define TRACEPIECE_VERSION 1
#define TRACEPIECE_MAX_DEPTH 40 /* of values in values; more than doors let in */

struct tracepiece_attributes {
    uint32_t n, dropped;
    struct otlp_member *ptr;
};
struct tracepiece_resource {
    struct slice schema_url;
    struct tracepiece_attributes attributes;
};
struct tracepiece_scope {
    struct slice name, version, schema_url;
    struct tracepiece_attributes attributes;
};
struct tracepiece_event {
    uint64_t t_ns;
    struct slice name;
    struct tracepiece_attributes attributes;
};
struct tracepiece_link {
    uint8_t trace_id[16];
    uint64_t span_id;
    struct slice state;
    uint32_t flags;
    struct tracepiece_attributes attributes;
};
struct tracepiece_span {
    uint64_t span_id, parent_id;
    uint32_t resource, scope;
    uint8_t kind, status; /* below 16: OTLP's numbers */
    uint32_t flags;
    uint64_t start_ns, end_ns;
    struct slice name, message, state;
    struct tracepiece_attributes attributes;
    uint32_t n_events, dropped_events, n_links, dropped_links;
    struct tracepiece_event *events;
    struct tracepiece_link *links;
};
struct tracepiece {
    uint8_t trace_id[16];
    uint32_t n_resources, n_scopes, n_spans;
    struct tracepiece_resource *resources;
    struct tracepiece_scope *scopes;
    struct tracepiece_span *spans;
};

/* Remembers texts; for many pieces, one after the other. */
struct tracepiece_encoder;
struct tracepiece_encoder *tracepiece_encoder_new(void);
void tracepiece_encoder_free(struct tracepiece_encoder *e); /* NULL is allowed */
/* Appends the bytes of p. Of resources and scopes those that no span has are written, too. Values deeper than
 * TRACEPIECE_MAX_DEPTH become EMPTY. */
void tracepiece_encode(struct tracepiece_encoder *e, const struct tracepiece *p, struct buf *out);

/* bytes are hostile; texts of ret are lent from them, all else is the arena's. ERR_CORRUPT. */
ORR_CHECKED struct err *tracepiece_decode(struct arena *a, struct slice bytes,
                                          struct tracepiece *ret);
/* The trace id alone. False: too short, or another version. */
bool tracepiece_id(struct slice bytes, const uint8_t **ret);

/*
 * All spans of the pieces, which are of one trace, in the order of (start, span id, kind, end); equal resources and scopes are
 * one. Of spans with the same id and kind one is kept, whatever the order of the pieces: the first in that order and then of their bytes, so
 * what was sent twice, or to several replicas, is there once, and the two spans that Zipkin's share one id are both kept. One piece
 * without repeats stays as it is. What it points to is the
 * pieces'; arrays are the arena's.
 */
void tracepiece_unite(struct arena *a, const struct tracepiece *pieces, size_t n,
                      struct tracepiece *ret);

struct tracepiece_known;
/* Into columns: of several traces, whose resources and scopes become one row each where they are equal. Owner: one thread. */
struct tracepiece_rows {
    struct tracebuild *build;
    struct tracepiece_known *known; /* by row */
};
void tracepiece_rows_init(struct tracepiece_rows *r, struct tracebuild *build);
void tracepiece_rows_done(struct tracepiece_rows *r);
/* A whole trace. Bytes and maps as values of attributes are left out, as TraceQL has no such values. */
void tracepiece_build(struct tracepiece_rows *r, struct arena *a, const struct tracepiece *p);
