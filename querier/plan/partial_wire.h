/*
 * "querier.partial": one shard of a query, asked by the querier that plans it of another.
 *
 *   u8 version 1, or 2: moments are wanted (querier/engine/moments.h); 3, 4: the same with max_resolution_ms | lstr expr | varint start_ms | varint end_ms | uvarint step_ms | uvarint lookback_ms |
 *   uvarint shard_index | uvarint shard_count | uvarint max_samples | uvarint max_points |
 *   uvarint max_series | uvarint max_bytes | varint min_ms | uvarint shard_size (of the tenant's sub-ring) |
 *   uvarint max_resolution_ms, only versions 3 and 4
 *
 * The answer is a result (querier/engine/result_wire.h). Decoding takes bytes as hostile; ERR_INVALID.
 */
#pragma once
#include "querier/engine/engine.h"
#include "querier/store/store.h"

#define PARTIAL_MAX_SHARDS 1024
#define PARTIAL_MAX_EXPR_BYTES (1u << 20)

/* Of q the text, times, limits and shard; of opts the limits. */
void partial_wire_encode(struct buf *out, const struct engine_query *q,
                         const struct store_query_opts *opts);
/* expr borrows from bytes; deadlines and flags are not set. */
ORR_CHECKED struct err *partial_wire_decode(struct slice bytes, struct engine_query *ret_q,
                                            struct store_query_opts *ret_opts);
