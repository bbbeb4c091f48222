/*
 * Reads foreign bytes. Past the end it returns zeros and remembers, so a decoder reads straight
 * through and asks reader_ok() once. Never allocates; slices it returns borrow from the input.
 */
#pragma once
#include "common/base/slice.h"

struct reader {
    const uint8_t *ptr, *end, *start;
    bool is_bad;
};

static inline struct reader reader_new(struct slice s)
{
    return (struct reader){s.ptr, s.ptr + s.len, s.ptr, false};
}
static inline bool reader_ok(const struct reader *r)
{
    return !r->is_bad;
}
static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->ptr);
}
static inline size_t reader_pos(const struct reader *r)
{
    return (size_t)(r->ptr - r->start);
}
static inline struct slice reader_rest(const struct reader *r)
{
    return slice_of(r->ptr, reader_left(r));
}
static inline void reader_fail(struct reader *r)
{
    r->is_bad = true;
    r->ptr = r->end;
}

uint8_t reader_u8(struct reader *r);
uint16_t reader_u16le(struct reader *r);
uint32_t reader_u32le(struct reader *r);
uint64_t reader_u64le(struct reader *r);
uint16_t reader_u16be(struct reader *r);
uint32_t reader_u32be(struct reader *r);
uint64_t reader_u64be(struct reader *r);
double reader_f64le(struct reader *r);
uint64_t reader_uvarint_long(struct reader *r); /* for reader_uvarint() */
/* More than 10 bytes or over 64 bits fails. */
static inline uint64_t reader_uvarint(struct reader *r)
{
    return ORR_LIKELY(r->ptr < r->end && *r->ptr < 0x80) ? *r->ptr++ : reader_uvarint_long(r);
}
int64_t reader_varint(struct reader *r); /* zigzag */
/* A uvarint that counts things of at least min_bytes each: more than there can be fails. */
size_t reader_count(struct reader *r, size_t min_bytes);
struct slice reader_bytes(struct reader *r, size_t n);
struct slice reader_lstr(struct reader *r); /* uvarint length, bytes */
void reader_skip(struct reader *r, size_t n);
