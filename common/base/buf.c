#include "common/base/buf.h"

#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/num.h"

void buf_done(struct buf *b)
{
    mem_free(b->ptr);
    *b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->is_over = false;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    size_t want, cap;

    if (b->is_over)
        return NULL;
    if (__builtin_add_overflow(b->len, n, &want) || (b->max_bytes && want > b->max_bytes)) {
        b->is_over = true;
        return NULL;
    }
    if (want > b->cap || !b->ptr) {
        cap = b->cap + b->cap / 2 + 64;
        if (cap < want)
            cap = want;
        b->ptr = mem_realloc(b->ptr, cap);
        b->cap = cap;
    }
    return b->ptr + b->len;
}

void buf_append(struct buf *b, const void *p, size_t n)
{
    uint8_t *at = buf_reserve(b, n);

    if (at && n) {
        memcpy(at, p, n);
        b->len += n;
    }
}

void buf_slice_append(struct buf *b, struct slice s)
{
    buf_append(b, s.ptr, s.len);
}

void buf_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void buf_byte(struct buf *b, uint8_t c)
{
    if (ORR_LIKELY(b->len < b->cap && !b->is_over && !b->max_bytes))
        b->ptr[b->len++] = c;
    else
        buf_append(b, &c, 1);
}

void buf_fill(struct buf *b, uint8_t c, size_t n)
{
    uint8_t *at = buf_reserve(b, n);

    if (at) {
        memset(at, c, n);
        b->len += n;
    }
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    uint8_t *at;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    ORR_ASSERT(n >= 0);
    if (!(at = buf_reserve(b, (size_t)n + 1)))
        return;
    (void)vsnprintf((char *)at, (size_t)n + 1, fmt, ap);
    b->len += (size_t)n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

const char *buf_cstr(struct buf *b)
{
    uint8_t *at = buf_reserve(b, 1);

    if (!at)
        return "";
    *at = 0;
    return (const char *)b->ptr;
}

uint8_t *buf_take(struct buf *b, size_t *ret_len)
{
    uint8_t *p = b->ptr ? b->ptr : mem_alloc(1);

    *ret_len = b->len;
    b->ptr = NULL;
    b->len = b->cap = 0;
    return p;
}

void buf_consume(struct buf *b, size_t n)
{
    ORR_ASSERT(n <= b->len);
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
}

void buf_u16le(struct buf *b, uint16_t v)
{
    uint8_t p[2] = {(uint8_t)v, (uint8_t)(v >> 8)};

    buf_append(b, p, sizeof(p));
}

void buf_u32le(struct buf *b, uint32_t v)
{
    buf_append(b, &v, sizeof(v));
}

void buf_u64le(struct buf *b, uint64_t v)
{
    buf_append(b, &v, sizeof(v));
}

void buf_u32be(struct buf *b, uint32_t v)
{
    v = __builtin_bswap32(v);
    buf_append(b, &v, sizeof(v));
}

void buf_u64be(struct buf *b, uint64_t v)
{
    v = __builtin_bswap64(v);
    buf_append(b, &v, sizeof(v));
}

void buf_f64le(struct buf *b, double v)
{
    buf_append(b, &v, sizeof(v));
}

void buf_uvarint(struct buf *b, uint64_t v)
{
    uint8_t *at = buf_reserve(b, 10);
    size_t n = 0;

    if (!at)
        return;
    while (v >= 0x80) {
        at[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    at[n++] = (uint8_t)v;
    b->len += n;
}

void buf_varint(struct buf *b, int64_t v)
{
    buf_uvarint(b, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

void buf_lstr(struct buf *b, struct slice s)
{
    buf_uvarint(b, s.len);
    buf_slice_append(b, s);
}

void buf_f64_text(struct buf *b, double v)
{
    char *at = (char *)buf_reserve(b, NUM_F_BYTES);

    if (at)
        b->len += num_write_f(v, at);
}

/* Length of the valid UTF-8 sequence at the front, 0 if there is none. */
static size_t rune_len(struct slice s)
{
    for (size_t n = 1; n <= 4 && n <= s.len; n++)
        if (slice_is_utf8(slice_of(s.ptr, n)))
            return n;
    return 0;
}

static const char hex[] = "0123456789abcdef";

void buf_hex(struct buf *b, const uint8_t *p, size_t n)
{
    uint8_t *out = buf_reserve(b, 2 * n);

    if (!out)
        return;
    for (size_t i = 0; i < n; i++) {
        *out++ = (uint8_t)hex[p[i] >> 4];
        *out++ = (uint8_t)hex[p[i] & 15];
    }
    b->len += 2 * n;
}

void buf_json_comma(struct buf *b)
{
    if (b->len && b->ptr[b->len - 1] != '[' && b->ptr[b->len - 1] != '{')
        buf_byte(b, ',');
}

static void json_escape(struct buf *b, uint8_t c)
{
    switch (c) {
    case '"':
        buf_str(b, "\\\"");
        break;
    case '\\':
        buf_str(b, "\\\\");
        break;
    case '\n':
        buf_str(b, "\\n");
        break;
    case '\r':
        buf_str(b, "\\r");
        break;
    case '\t':
        buf_str(b, "\\t");
        break;
    case '\b':
        buf_str(b, "\\b");
        break;
    case '\f':
        buf_str(b, "\\f");
        break;
    default:
        buf_str(b, "\\u00");
        buf_byte(b, (uint8_t)hex[c >> 4]);
        buf_byte(b, (uint8_t)hex[c & 15]);
    }
}

void buf_json_str(struct buf *b, struct slice s)
{
    size_t from = 0, i = 0;

    buf_byte(b, '"');
    while (i < s.len) {
        uint8_t c = s.ptr[i];
        size_t n;

        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        if (c < 0x80) {
            buf_append(b, s.ptr + from, i - from);
            json_escape(b, c);
            from = ++i;
            continue;
        }
        n = rune_len(slice_from(s, i));
        if (n == 0) {
            buf_append(b, s.ptr + from, i - from);
            buf_str(b, "\\ufffd");
            from = ++i;
        } else if (n == 3 && c == 0xe2 && s.ptr[i + 1] == 0x80 && (s.ptr[i + 2] | 1) == 0xa9) {
            buf_append(b, s.ptr + from, i - from);
            buf_str(b, s.ptr[i + 2] == 0xa8 ? "\\u2028" : "\\u2029");
            from = i += 3;
        } else {
            i += n;
        }
    }
    if (from < s.len) /* s may be NULL, which must not even have 0 added */
        buf_append(b, s.ptr + from, s.len - from);
    buf_byte(b, '"');
}

void buf_html(struct buf *b, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        switch (s.ptr[i]) {
        case '<':
            buf_str(b, "&lt;");
            break;
        case '>':
            buf_str(b, "&gt;");
            break;
        case '&':
            buf_str(b, "&amp;");
            break;
        case '"':
            buf_str(b, "&quot;");
            break;
        default:
            buf_byte(b, s.ptr[i]);
        }
    }
}
