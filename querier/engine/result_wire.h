/*
 * A query result as bytes, between processes (querier -> ruler, querier -> querier).
 *
 *   u8 version 1 | u8 type | uvarint flags (0)
 *   string: lstr text | varint t_ms              (type string only)
 *   uvarint n_warnings, lstr each | uvarint n_infos, lstr each
 *   uvarint samples | uvarint series read | uvarint peak bytes
 *   uvarint n_series, each:
 *     uvarint n_labels, (lstr name, lstr value) each
 *     uvarint n, t: varint delta to the one before (first to 0) each, v: f64le each
 *     uvarint n_hist, t as above, histogram (common/model/hist_wire.h) each
 *
 * Decoding bounds every count by the bytes that are left; ERR_CORRUPT otherwise. Any thread.
 */
#pragma once
#include "querier/engine/engine.h"

void result_wire_encode(struct buf *out, const struct engine_result *r);
/* Slices borrow from bytes, arrays come from the arena. */
ORR_CHECKED struct err *result_wire_decode(struct arena *a, struct slice bytes,
                                           struct engine_result *ret);
