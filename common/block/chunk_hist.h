/*
 * Chunks of native histograms: Prometheus' encodings 2 (integer counts) and 3 (float counts).
 *
 *   u16 n, big endian | u8 flags | layout | samples
 *   flags   the two top bits: 00 unknown, 10 counter reset, 01 no reset, 11 gauge
 *   layout  zero threshold: 0 = 0.0, 1..254 = 2^(b-244), 255 + f64 = any
 *           varint schema | positive spans | negative spans | custom bounds (schema -53 only)
 *           spans: varuint count, { varuint length, varint offset }...
 *           custom bounds: varuint count, each: varuint (x*1000+1) if that is whole, else 0 bit +
 * f64 sample  int:   t, count, zero count, sum, bucket deltas: first as they are, then as deltas,
 * from the third on as deltas of deltas; sum by xor float: t as above; count, zero count, sum and
 * absolute buckets by xor, each bucket with a window of its own varint here is a bit code: 0 | 10+3
 * | 110+6 | 1110+9 | 11110+12 | 111110+18 | 1111110+25 | 11111110+56 | 11111111+64 bits; varuint
 * the same for unsigned numbers.
 *
 * All samples of a chunk share schema, zero threshold and layout. A counter chunk holds no reset. A
 * stale marker has only times and sums written, and nothing but stale markers may follow it.
 *
 * Owner of an appender: one thread. Decoding: any.
 */
#pragma once
#include "common/base/err.h"
#include "common/model/sample.h"

struct chunk_hist_appender;

/* What an append did. */
enum chunk_hist_fit {
    CHUNK_HIST_ADDED,
    CHUNK_HIST_FULL,  /* nothing added: max_samples are in it; begin a new chunk */
    CHUNK_HIST_CUT,   /* nothing added: other kind or schema, or the last one was stale */
    CHUNK_HIST_RESET, /* nothing added: the counter was reset */
};

struct chunk_hist_appender *chunk_hist_appender_new(void);
void chunk_hist_appender_free(struct chunk_hist_appender *a);
/*
 * Adds a histogram. The first one of a chunk is always added and decides encoding, schema and
 * gauge or counter. When buckets appear that the layout does not have, the chunk is written anew
 * with a wider one. max_samples: 1..65535. Spans that do not match the buckets are the caller's
 * bug.
 */
enum chunk_hist_fit chunk_hist_append(struct chunk_hist_appender *a, int64_t t,
                                      const struct histogram *h, size_t max_samples);
/* Starts over with an empty chunk. why: what the append that did not fit said, or
 * CHUNK_HIST_ADDED if nothing is known of what went before; it becomes the header's hint. */
void chunk_hist_appender_next(struct chunk_hist_appender *a, enum chunk_hist_fit why);

size_t chunk_hist_appender_samples(const struct chunk_hist_appender *a);
uint8_t chunk_hist_appender_encoding(const struct chunk_hist_appender *a);
/* The chunk's bytes; lent until the next append. */
struct slice chunk_hist_appender_data(const struct chunk_hist_appender *a);
size_t chunk_hist_appender_memory(const struct chunk_hist_appender *a); /* bytes it holds */

/* All samples into arrays of the arena. Samples of one chunk share their spans and bounds. */
ORR_CHECKED struct err *chunk_hist_decode(struct arena *a, uint8_t encoding, struct slice data,
                                          size_t *ret_n, int64_t **ret_t, struct histogram **ret_h);

/* True when h can be stored in integer form without losing anything. */
bool chunk_hist_is_int(const struct histogram *h);
