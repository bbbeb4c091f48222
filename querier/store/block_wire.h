/*
 * The bytes of "querier.block": one querier asks another, an owner (block_owners.h), for the series of one block.
 *
 *   request:  u8 format (3) | 16 bytes ULID | lstr directory in the bucket, empty: where blocks are |
 *             uvarint external labels, lstr name and value of each | uvarint bytes of its summary, 0: none |
 *             varint min and max time, varint resolution, ms |
 *             uvarint blocks this select reads | rpc_select (common/model/metrics_rpc.h), kind chunks or labels
 *   answer:   a stream of messages, the first byte of each says what it is:
 *             0 begun    nothing: the question is there, and worked on
 *             1 series   back to back: rpc_series | uvarint deleted intervals, varint min and max of each
 *             2 end      uvarint gets and bytes that the owner read of the bucket for this | u8 1: the block was not
 *                        opened, since its summary says that nothing of it matches; nothing comes after it
 *
 * The request says all of the block that the catalogue says, so the owner needs none: blocks do not change, and whose
 * catalogue is older does not matter. An answer without its end is not whole.
 *
 * Decoders take bytes as hostile and borrow from them. Any thread.
 */
#pragma once
#include "common/block/block_reader.h"
#include "common/block/catalogue.h"
#include "common/model/metrics_rpc.h"

#define BLOCK_WIRE_FRAME_BYTES (64u << 10)

enum block_wire_kind { BLOCK_WIRE_BEGUN, BLOCK_WIRE_SERIES, BLOCK_WIRE_END };

struct block_wire_ask {
    struct catalogue_block block; /* ulid, dir, labels, summary_bytes, times, resolution */
    struct rpc_select select;
    uint64_t n_together; /* blocks that share the room for reading ahead */
};
void block_wire_ask_encode(struct buf *out, const struct block_wire_ask *ask);
/* matchers_done() select.matchers. ERR_INVALID. */
ORR_CHECKED struct err *block_wire_ask_decode(struct arena *a, struct slice bytes,
                                              struct block_wire_ask *ret);

struct block_wire_series {
    struct rpc_series series; /* is_keyed is set by who decodes */
    const struct block_interval *deleted;
    size_t n_deleted;
};
void block_wire_series_encode(struct buf *out, const struct block_wire_series *s);
/* The next entry; arrays in a, bytes in the frame. False at the end or when malformed (reader_ok). */
bool block_wire_series_decode(struct arena *a, struct reader *frame, struct block_wire_series *ret);

struct block_wire_end {
    uint64_t gets, bytes;
    bool is_skipped;
};
void block_wire_end_encode(struct buf *out, const struct block_wire_end *end); /* kind included */
bool block_wire_end_decode(struct reader *frame, struct block_wire_end *ret);
