/* Protobuf wire format, for the cursors in this directory only. */
#pragma once
#include <string.h>

#include "common/base/attr.h"
#include "common/base/slice.h"

enum rw_wire_type { RW_VARINT = 0, RW_FIXED64 = 1, RW_BYTES = 2, RW_FIXED32 = 5 };

/* All return the place behind what they read, or NULL. */

static inline const uint8_t *rw_wire_u64(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (p == end)
            return NULL;
        v |= shift < 64 ? (uint64_t)(*p & 0x7f) << shift : 0;
        if (!(*p++ & 0x80)) {
            *ret = v;
            return p;
        }
    }
    return NULL;
}

static inline const uint8_t *rw_wire_u32(const uint8_t *p, const uint8_t *end, uint32_t *ret)
{
    uint64_t v = 0;

    if (ORR_LIKELY(p < end && *p < 0x80)) {
        *ret = *p;
        return p + 1;
    }
    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (p == end)
            return NULL;
        v |= (uint64_t)(*p & 0x7f) << shift;
        if (!(*p++ & 0x80)) {
            if (v > UINT32_MAX)
                return NULL;
            *ret = (uint32_t)v;
            return p;
        }
    }
    return NULL;
}

/* Length-prefixed bytes. */
static inline const uint8_t *rw_wire_bytes(const uint8_t *p, const uint8_t *end, struct slice *ret)
{
    uint32_t len;

    p = rw_wire_u32(p, end, &len);
    if (!p || len > (size_t)(end - p))
        return NULL;
    *ret = (struct slice){p, len};
    return p + len;
}

static inline const uint8_t *rw_wire_f64(const uint8_t *p, const uint8_t *end, double *ret)
{
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "read as they lie");
    if (end - p < 8)
        return NULL;
    memcpy(ret, p, 8);
    return p + 8;
}

static inline int64_t rw_wire_zigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static inline int32_t rw_wire_zigzag32(uint32_t v)
{
    return (int32_t)(v >> 1) ^ -(int32_t)(v & 1);
}

/* Tag of a field: number << 3 | wire type. Number 0 is refused. */
static inline const uint8_t *rw_wire_tag(const uint8_t *p, const uint8_t *end, uint32_t *ret)
{
    p = rw_wire_u32(p, end, ret);
    return p && *ret >= 8 ? p : NULL;
}

/* Steps over the value of an unknown field. */
static inline const uint8_t *rw_wire_skip(const uint8_t *p, const uint8_t *end, uint32_t tag)
{
    struct slice s;
    uint64_t u;

    switch (tag & 7) {
    case RW_VARINT:
        return rw_wire_u64(p, end, &u);
    case RW_FIXED64:
        return end - p >= 8 ? p + 8 : NULL;
    case RW_BYTES:
        return rw_wire_bytes(p, end, &s);
    case RW_FIXED32:
        return end - p >= 4 ? p + 4 : NULL;
    default:
        return NULL; /* groups, and what does not exist */
    }
}
