/* Writes protobuf by hand, for tests of the cursor: fields of the message under way. */
#pragma once
#include "common/base/buf.h"

static inline void rw_build_varint(struct buf *b, unsigned number, uint64_t v)
{
    buf_uvarint(b, number << 3);
    buf_uvarint(b, v);
}
static inline void rw_build_zigzag(struct buf *b, unsigned number, int64_t v)
{
    buf_uvarint(b, number << 3);
    buf_varint(b, v);
}
static inline void rw_build_double(struct buf *b, unsigned number, double v)
{
    buf_uvarint(b, number << 3 | 1);
    buf_f64le(b, v);
}
static inline void rw_build_slice(struct buf *b, unsigned number, struct slice s)
{
    buf_uvarint(b, number << 3 | 2);
    buf_lstr(b, s);
}
/* n bytes, of which all but the last are 0. */
static inline void rw_build_id(struct buf *b, unsigned number, uint8_t last, size_t n)
{
    uint8_t bytes[16] = {0};

    bytes[n - 1] = last;
    rw_build_slice(b, number, slice_of(bytes, n));
}
static inline void rw_build_fixed64(struct buf *b, unsigned number, uint64_t v)
{
    buf_uvarint(b, number << 3 | 1);
    buf_u64le(b, v);
}
static inline void rw_build_text(struct buf *b, unsigned number, const char *s)
{
    rw_build_slice(b, number, slice_cstr(s));
}
/* Empties message. */
static inline void rw_build_field(struct buf *b, unsigned number, struct buf *message)
{
    rw_build_slice(b, number, buf_slice(message));
    buf_done(message);
}
static inline void rw_build_label(struct buf *b, const char *name, const char *value)
{
    struct buf m = {0};

    rw_build_text(&m, 1, name);
    rw_build_text(&m, 2, value);
    rw_build_field(b, 1, &m);
}
static inline void rw_build_sample(struct buf *b, double v, int64_t t_ms)
{
    struct buf m = {0};

    rw_build_double(&m, 1, v);
    rw_build_varint(&m, 2, (uint64_t)t_ms);
    rw_build_field(b, 2, &m);
}
static inline void rw_build_span(struct buf *b, unsigned number, int32_t offset, uint32_t length)
{
    struct buf m = {0};

    rw_build_zigzag(&m, 1, offset);
    rw_build_varint(&m, 2, length);
    rw_build_field(b, number, &m);
}
