/*
 * A native histogram as bytes, exactly as it is, between processes: in query results
 * (querier/engine/result_wire.h) and, in base64, in what rulers are answered (metrics_rpc.h).
 *
 *   varint schema | u8 hint | u8 is_int | f64le zero_threshold, zero_count, count, sum
 *   uvarint n_pos_spans, (varint offset, uvarint length) each | the same, negative
 *   uvarint n_pos_buckets, f64le each | the same, negative | uvarint n_custom_bounds, f64le each
 *
 * Decoding bounds every count by the bytes that are left, and fails the reader on what is no
 * histogram: spans that do not go with the buckets, an unknown schema. Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/reader.h"
#include "common/model/sample.h"

/* The fewest bytes that a histogram takes. */
#define HIST_WIRE_MIN_BYTES 40

void hist_wire_encode(struct buf *out, const struct histogram *h);
/* All in the arena; never NULL. Nothing to be used once reader_ok() is false. */
const struct histogram *hist_wire_decode(struct arena *a, struct reader *r);
