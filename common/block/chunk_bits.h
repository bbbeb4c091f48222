/*
 * Bit streams of histogram chunks, most significant bit first, with Prometheus' prefix codes.
 * Within common/block only.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/slice.h"

/* Reads foreign bits: past the end it returns zeros and remembers. */
struct chunk_bits {
    const uint8_t *ptr;
    size_t pos, end; /* in bits */
    bool is_bad;
};

static inline struct chunk_bits chunk_bits_new(struct slice s)
{
    return (struct chunk_bits){s.ptr, 0, s.len * 8, false};
}
static inline size_t chunk_bits_left(const struct chunk_bits *b)
{
    return b->end - b->pos;
}
uint64_t chunk_bits_read(struct chunk_bits *b, unsigned n); /* n 0..64 */
int64_t chunk_bits_varint(struct chunk_bits *b);
uint64_t chunk_bits_varuint(struct chunk_bits *b);

/* Appends to a buffer. */
struct chunk_bits_writer {
    struct buf out;
    unsigned free; /* unused bits in the last byte */
};
void chunk_bits_write(struct chunk_bits_writer *w, uint64_t v, unsigned n); /* n 0..64 */
void chunk_bits_write_varint(struct chunk_bits_writer *w, int64_t v);
void chunk_bits_write_varuint(struct chunk_bits_writer *w, uint64_t v);

/* A value coded by xor with the one before, and the window of bits last written. */
struct chunk_bits_xor {
    uint64_t v;
    uint8_t leading, sig; /* sig 0: no window yet */
};
void chunk_bits_read_xor(struct chunk_bits *b, struct chunk_bits_xor *x);
void chunk_bits_write_xor(struct chunk_bits_writer *w, struct chunk_bits_xor *x, uint64_t v);
