/*
 * The XOR (Gorilla) chunk of float samples: Prometheus' encoding 1.
 *
 *   u16 n, big endian | varint t0 | f64 v0 | uvarint t1-t0 | xor(v1) | { dod(ti) | xor(vi) }...
 *
 *   dod  0                    0           the step did not change
 *        10   + 14 bits       -8191..8192
 *        110  + 17 bits       -65535..65536
 *        1110 + 20 bits       -524287..524288
 *        1111 + 64 bits
 *   xor  0                    same bits as the value before
 *        10   + s bits        the window (leading, trailing zeros) of the last one written so
 *        11   + 5 bits leading + 6 bits s (0 = 64) + s bits
 *
 * The appender is small because one lives in every active series; it writes into a buffer that the
 * caller owns and grows. A reader on another thread may decode the first n samples while the
 * appender adds more, if it learned n (with acquire order) after they were written and the buffer
 * stays where it is: bits once written are only ever written again with the same value, apart from
 * the count in the first two bytes. For that, pass n to chunk_xor_decode_first().
 *
 * Owner of an appender: one thread. Decoding: any.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

/* Bytes that must be free behind chunk_xor_bytes() before each append. */
#define CHUNK_XOR_ROOM 32

struct chunk_xor_appender { /* 32 bytes; {0} is an empty chunk */
    int64_t t;              /* of the last sample */
    uint64_t v;             /* its value's bits */
    int64_t t_delta;
    uint32_t bits; /* written so far, the count included */
    uint16_t n;
    uint8_t leading;  /* of the current window */
    uint8_t sig_bits; /* 0: no window yet */
};

static inline size_t chunk_xor_bytes(const struct chunk_xor_appender *a)
{
    return (a->bits + 7u) / 8u;
}

/* Adds a sample. dst is the start of the chunk; the caller has made room (CHUNK_XOR_ROOM) and cuts
 * before 65535 samples. Times should increase (the reader checks it, the appender does not). */
void chunk_xor_append(struct chunk_xor_appender *a, uint8_t *dst, int64_t t, double v);

/* Sets up an appender that goes on behind the last sample of an existing chunk. */
ORR_CHECKED struct err *chunk_xor_resume(struct slice data, struct chunk_xor_appender *ret);

/* Decodes all samples into t[] and v[], which have room for cap of them (more is ERR_LIMIT).
 * Hostile bytes give ERR_CORRUPT, never a read past data. Order of times is not checked. */
ORR_CHECKED struct err *chunk_xor_decode(struct slice data, size_t cap, int64_t *t, double *v,
                                         size_t *ret_n);
/* Exactly the first n samples, whatever the count in the header says. */
ORR_CHECKED struct err *chunk_xor_decode_first(struct slice data, size_t n, int64_t *t, double *v);

/* Encodes n samples (1..65535) as one chunk, appended to out. */
struct buf;
void chunk_xor_encode(struct buf *out, const int64_t *t, const double *v, size_t n);
