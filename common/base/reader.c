#include "common/base/reader.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored integers are little endian");

/* n bytes, or NULL after which the reader is bad. */
static const uint8_t *take(struct reader *r, size_t n)
{
    const uint8_t *p = r->ptr;

    if (ORR_UNLIKELY((size_t)(r->end - p) < n)) {
        reader_fail(r);
        return NULL;
    }
    r->ptr += n;
    return p;
}

#define READ_INT(type)                                                                             \
    type v = 0;                                                                                    \
    const uint8_t *p = take(r, sizeof(v));                                                         \
    if (p)                                                                                         \
    memcpy(&v, p, sizeof(v))

uint8_t reader_u8(struct reader *r)
{
    READ_INT(uint8_t);
    return v;
}

uint16_t reader_u16le(struct reader *r)
{
    READ_INT(uint16_t);
    return v;
}

uint32_t reader_u32le(struct reader *r)
{
    READ_INT(uint32_t);
    return v;
}

uint64_t reader_u64le(struct reader *r)
{
    READ_INT(uint64_t);
    return v;
}

uint16_t reader_u16be(struct reader *r)
{
    return __builtin_bswap16(reader_u16le(r));
}

uint32_t reader_u32be(struct reader *r)
{
    return __builtin_bswap32(reader_u32le(r));
}

uint64_t reader_u64be(struct reader *r)
{
    return __builtin_bswap64(reader_u64le(r));
}

double reader_f64le(struct reader *r)
{
    READ_INT(double);
    return v;
}

uint64_t reader_uvarint_long(struct reader *r)
{
    const uint8_t *p = r->ptr;
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70 && p < r->end; shift += 7) {
        uint8_t c = *p++;

        if (shift == 63 && c > 1)
            break; /* over 64 bits */
        v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            r->ptr = p;
            return v;
        }
    }
    reader_fail(r);
    return 0;
}

int64_t reader_varint(struct reader *r)
{
    uint64_t v = reader_uvarint(r);

    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

size_t reader_count(struct reader *r, size_t min_bytes)
{
    uint64_t n = reader_uvarint(r);

    if (n > reader_left(r) / min_bytes) {
        reader_fail(r);
        return 0;
    }
    return (size_t)n;
}

struct slice reader_bytes(struct reader *r, size_t n)
{
    const uint8_t *p = take(r, n);

    return p ? slice_of(p, n) : SLICE_EMPTY;
}

struct slice reader_lstr(struct reader *r)
{
    return reader_bytes(r, reader_uvarint(r));
}

void reader_skip(struct reader *r, size_t n)
{
    (void)take(r, n);
}
