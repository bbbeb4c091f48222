/*
 * An owned, growing run of bytes. {0} is an empty buffer.
 *
 * A bound may be set; past it, appends do nothing and the buffer remembers it (buf_ok() false), so
 * an encoder writes straight through and asks once.
 *
 * Owner: one thread.
 */
#pragma once
#include <stdarg.h>

#include "common/base/slice.h"

struct buf {
    uint8_t *ptr;
    size_t len, cap;
    size_t max_bytes; /* 0: no bound */
    bool is_over;
};

void buf_done(struct buf *b);  /* frees; b is {0} afterwards */
void buf_reset(struct buf *b); /* len = 0, keeps memory */
static inline bool buf_ok(const struct buf *b)
{
    return !b->is_over;
}
static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->ptr ? b->ptr : (const uint8_t *)"", b->len);
}
/* Room for n more bytes at the end, which the caller fills and then adds to len. NULL when over. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_append(struct buf *b, const void *p, size_t n);
void buf_slice_append(struct buf *b, struct slice s);
void buf_str(struct buf *b, const char *s);
void buf_byte(struct buf *b, uint8_t c);
void buf_fill(struct buf *b, uint8_t c, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) ORR_PRINTF(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) ORR_PRINTF(2, 0);
/* A NUL behind the text that is not counted in len; returns the text. Never NULL. */
const char *buf_cstr(struct buf *b);
/* Hands the bytes over (caller mem_free()s) and leaves b empty. */
uint8_t *buf_take(struct buf *b, size_t *ret_len);
/* Drops the first n bytes (moves the rest down). */
void buf_consume(struct buf *b, size_t n);

void buf_u16le(struct buf *b, uint16_t v);
void buf_u32le(struct buf *b, uint32_t v);
void buf_u64le(struct buf *b, uint64_t v);
void buf_u32be(struct buf *b, uint32_t v);
void buf_u64be(struct buf *b, uint64_t v);
void buf_f64le(struct buf *b, double v);
void buf_uvarint(struct buf *b, uint64_t v);  /* LEB128, as protobuf and Go's binary.PutUvarint */
void buf_varint(struct buf *b, int64_t v);    /* zigzag */
void buf_lstr(struct buf *b, struct slice s); /* uvarint length, bytes */
/* A JSON string with its quotes. Invalid UTF-8 becomes U+FFFD. Escapes like Go's encoding/json
 * without HTML escaping, plus U+2028/9. */
void buf_json_str(struct buf *b, struct slice s);
/* A comma, unless a list or object of JSON has begun just now. */
void buf_json_comma(struct buf *b);
/* Hexadecimal digits, in small letters. */
void buf_hex(struct buf *b, const uint8_t *p, size_t n);
/* Text between the tags, or in a quoted attribute, of an HTML page: < > & " are escaped. */
void buf_html(struct buf *b, struct slice s);
/* Shortest decimal form that reads back the same, as Go's strconv 'f' with precision -1; NaN,
 * +Inf, -Inf. This is how Prometheus' API writes sample values. */
void buf_f64_text(struct buf *b, double v);
