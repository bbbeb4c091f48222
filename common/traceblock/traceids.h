/*
 * A filter of trace ids: which of them a row group may have, in about ten bits each. An id that is in it is always found, another one
 * once in 256.
 *
 * n ids are hashed to numbers below 256 n, which are sorted. Of each the low 8 bits are a byte, and the high ones, which ascend from 0 to
 * n - 1, are in unary: bit (high + i) is set for the i-th.
 *
 *   n low bytes; (2 n + 7) / 8 bytes of bits, least first; u32 crc32c of both
 *
 * Any thread.
 */
#pragma once
#include "common/base/buf.h"

#define TRACEIDS_BYTES(n) ((size_t)(n) + (2 * (size_t)(n) + 7) / 8 + 4)

/* Appends TRACEIDS_BYTES(n). */
void traceids_build(const uint8_t (*ids)[16], uint32_t n, struct buf *out);
/* Of n ids, in bytes of TRACEIDS_BYTES(n), whose sum is right? */
bool traceids_check(struct slice bytes, uint32_t n);
/* False: it has not the id. */
bool traceids_may(struct slice bytes, uint32_t n, const uint8_t id[16]);
