/*
 * A file of a segment of traces: pieces (tracepiece.h) of many traces, by id, with what tells which of them a reader wants. An
 * ingester writes one each time it cuts traces that have ended; compactors read them, and queries that are answered from the head.
 *
 *   8        magic "ORRTSG" 0 1
 *   pieces, back to back, by trace id (memcmp), those of one trace in the order they were added; each:
 *     u32      crc32c of the piece
 *     lstr     piece
 *   index, of each trace, ascending, 56 bytes:
 *     16       trace id
 *     u64      offset of its first piece in the file
 *     u64      bytes of its pieces, with their heads
 *     u32      pieces, u32 spans
 *     i64      first start, i64 last end of its spans, Unix ns
 *   trailer, 64 bytes:
 *     u64      offset of the index
 *     u64      traces, u64 pieces, u64 spans
 *     i64      first start, i64 last end of all; 0 0: there are no spans
 *     u32      crc32c of the index, u32 crc32c of the trailer so far
 *     8        magic "ORRTSE" 0 1
 *
 * All integers are little endian. Spans of several pieces of a trace may repeat; they are counted as often.
 *
 * Reading checks index and trailer at once, a piece when it is read. Bytes are hostile.
 *
 * Owner: a writer belongs to one thread; what was opened may be read by any.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/reader.h"

#define TRACESEGMENT_INDEX_BYTES 56
#define TRACESEGMENT_TRAILER_BYTES 64

/* ---- writing ---- */

struct tracesegment_writer;
/* Makes the file, which must not exist. Blocking, as are add and finish. */
ORR_CHECKED struct err *tracesegment_create(const char *path, struct tracesegment_writer **ret);
/* piece: of the same trace as the one before, or of one with a greater id. ERR_CORRUPT: it is no piece, and is not in the file, which can be
 * written on; other errors are the end of it. */
ORR_CHECKED struct err *tracesegment_add(struct tracesegment_writer *w, struct slice piece);

struct tracesegment_totals {
    uint64_t traces, pieces, spans, bytes; /* bytes: of the file */
    int64_t start_ns, end_ns;
};
/* Writes index and trailer, and syncs. *ret may not be NULL. */
ORR_CHECKED struct err *tracesegment_finish(struct tracesegment_writer *w,
                                            struct tracesegment_totals *ret);
/* After finish, or instead of it: then the file is removed. NULL is allowed. */
void tracesegment_writer_free(struct tracesegment_writer *w);

/* ---- reading ---- */

struct tracesegment {
    struct slice bytes, index;
    struct tracesegment_totals totals;
};
struct tracesegment_trace {
    const uint8_t *id;
    uint32_t n_pieces, n_spans;
    int64_t start_ns, end_ns;
    struct slice bytes; /* its pieces, for tracesegment_piece() */
};

/* Lends bytes, the whole file. ERR_CORRUPT. */
ORR_CHECKED struct err *tracesegment_open(struct slice bytes, struct tracesegment *ret);
/* The i-th trace, i below totals.traces. */
void tracesegment_at(const struct tracesegment *s, uint64_t i, struct tracesegment_trace *ret);
/* The first trace at or behind from whose id is not less than id; totals.traces: there is none. */
uint64_t tracesegment_find(const struct tracesegment *s, uint64_t from, const uint8_t id[16]);
/* The next of a trace's pieces; r: reader_new(trace.bytes). NULL and an empty *ret: there are no more. ERR_CORRUPT. */
ORR_CHECKED struct err *tracesegment_piece(struct reader *r, const uint8_t id[16],
                                           struct slice *ret);

/* Times and number of a piece's spans. a: for its decoding. ERR_CORRUPT. Without spans the times are INT64_MAX, INT64_MIN. */
ORR_CHECKED struct err *tracesegment_extent(struct arena *a, struct slice piece,
                                            uint32_t *ret_spans, int64_t *ret_start_ns,
                                            int64_t *ret_end_ns);
