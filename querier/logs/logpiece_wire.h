/*
 * The bytes of "querier.log_piece": the querier that runs a query over lines has a piece of it (logsource.h) run by another that owns
 * blocks of it (logpiece_ask.h, logpiece_serve.h).
 *
 *   request:  u8 format (1) | varint grace_ns | uvarint max_streams | varint min_ms | uvarint shard_size | lstr what
 *   what:     lstr query | lstr range aggregation as it reads, empty: lines | varint start_ns, end_ns | uvarint step_ns, interval_ns |
 *             u8 1: forward | uvarint limit, max_bytes, max_series, max_samples | varint from_ns, to_ns of the piece |
 *             u64le fp_first, fp_last | uvarint bytes of memory
 *   answer:   a stream of messages, the first byte of each says what it is:
 *             0 begun    nothing: the question is there
 *             1 made     the next bytes of what was made; all of them together: the statistics, and what logkept.h or
 *                        logleaf.h says of a piece
 *             2 end      uvarint gets and bytes that the owner read of the bucket | uvarint mark (logremote.h) | uvarint
 *                        ingesters that failed | uvarint warnings, lstr each; nothing comes after it
 *   statistics: uvarint how many numbers, uvarint each, in the order of logpiece_wire.c; who knows fewer passes over the rest
 *
 * An answer without its end is not whole. Decoders take bytes as hostile and borrow from them: ERR_INVALID. Any thread.
 */
#pragma once
#include "common/base/reader.h"
#include "querier/logs/logquery.h"

#define LOGPIECE_WIRE_FRAME_BYTES (64u << 10)
#define LOGPIECE_WIRE_MAX_STEPS 100000 /* of a metric query */
#define LOGPIECE_WIRE_MAX_ANSWER                                                                   \
    (16u << 20) /* all that was made of a piece; neither side has more */

enum logpiece_wire_kind { LOGPIECE_WIRE_BEGUN, LOGPIECE_WIRE_MADE, LOGPIECE_WIRE_END };

/* Of the source (logremote.h). */
struct logpiece_wire_ask {
    int64_t grace_ns;
    uint64_t max_streams;
    int64_t min_ms;
    uint32_t shard_size;
    struct slice what;
};
void logpiece_wire_ask_encode(struct buf *out, const struct logpiece_wire_ask *ask);
ORR_CHECKED struct err *logpiece_wire_ask_decode(struct slice bytes, struct logpiece_wire_ask *ret);

/* Of the query: what of struct logquery is named above. */
struct logpiece_wire_what {
    struct logquery q;
    struct slice leaf;
    struct logsource_piece at;
    uint64_t memory_bytes; /* that running it may take; 0: no bound */
};
void logpiece_wire_what_encode(struct buf *out, const struct logpiece_wire_what *w);
ORR_CHECKED struct err *logpiece_wire_what_decode(struct slice bytes,
                                                  struct logpiece_wire_what *ret);

struct logpiece_wire_end {
    uint64_t gets, bytes, mark, failed_streams;
    const struct slice *warnings;
    size_t n_warnings;
};
void logpiece_wire_end_encode(struct buf *out,
                              const struct logpiece_wire_end *end); /* kind included */
/* Behind the kind; arrays in a. False: malformed. */
bool logpiece_wire_end_decode(struct arena *a, struct reader *frame, struct logpiece_wire_end *ret);

void logpiece_wire_stats_encode(struct buf *out, const struct logquery_stats *s);
bool logpiece_wire_stats_decode(struct reader *r, struct logquery_stats *ret);
