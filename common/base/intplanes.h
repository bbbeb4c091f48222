/*
 * Many whole numbers: as differences to what is likely, cut into planes of bytes, which zstd then
 * finds easy (a plane of high bytes is all but empty, one of low bytes is left as it is).
 *
 *   description   u8 how | width << 4 · varint base · uvarint scale, less one
 *   payload       width planes of one byte a number, the lowest first
 *
 *   how 0   number = base + scale * x
 *       1   number = the one before (the first: base) + scale * zigzag(x)
 *       2   number = the one before + the step before (the first: base, 0) + scale * zigzag(x)
 *
 * All arithmetic wraps at 64 bits. Any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/reader.h"

enum intplanes_how { INTPLANES_PLAIN, INTPLANES_DELTA, INTPLANES_DOUBLE, INTPLANES_HOWS };

struct intplanes {
    uint8_t how, width; /* width: 0 to 8 */
    uint64_t base, scale;
};

/* The cheapest way. with_scale: look for a power of thousand that all differences are multiples of. */
struct intplanes intplanes_choose(const int64_t *v, size_t n, bool with_scale);
void intplanes_describe(const struct intplanes *c, struct buf *out);
/* Appends the payload. */
void intplanes_encode(const struct intplanes *c, const int64_t *v, size_t n, struct buf *out);

bool intplanes_read(struct reader *r, struct intplanes *ret);
static inline size_t intplanes_bytes(const struct intplanes *c, size_t n)
{
    return n * c->width;
}
/* payload is of intplanes_bytes(). */
void intplanes_decode(const struct intplanes *c, const uint8_t *payload, size_t n, int64_t *ret);
