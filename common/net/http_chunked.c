#include "common/net/http_chunked.h"

#define EXTENSION_BYTES_MAX 256
#define TRAILER_BYTES_MAX 8192

enum {
    IN_LENGTH,
    IN_EXTENSION,
    IN_LENGTH_LF,
    IN_DATA,
    IN_DATA_CR,
    IN_DATA_LF,
    IN_TRAILER_START,
    IN_TRAILER,
    IN_TRAILER_LF,
    IN_LAST_LF,
    IN_END,
    IN_BAD,
};

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        return (c | 0x20) - 'a' + 10;
    return -1;
}

static uint8_t step_length(struct http_chunked *c, uint8_t b)
{
    int v = hex_value(b);

    if (v >= 0) {
        if (++c->digits > 16 || c->left >> 60)
            return IN_BAD;
        c->left = c->left << 4 | (uint64_t)v;
        return IN_LENGTH;
    }
    if (c->digits == 0)
        return IN_BAD;
    c->line_bytes = 0;
    return b == '\r' ? IN_LENGTH_LF : b == ';' ? IN_EXTENSION : IN_BAD;
}

static uint8_t step_trailer(struct http_chunked *c, uint8_t b, bool is_start)
{
    if (++c->trailer_bytes > TRAILER_BYTES_MAX || b == '\n' || b == '\0')
        return IN_BAD;
    if (b == '\r')
        return is_start ? IN_LAST_LF : IN_TRAILER_LF;
    return IN_TRAILER;
}

/* The state after one byte that is not body data. */
static uint8_t step(struct http_chunked *c, uint8_t b)
{
    switch (c->state) {
    case IN_LENGTH:
        return step_length(c, b);
    case IN_EXTENSION:
        if (++c->line_bytes > EXTENSION_BYTES_MAX || b == '\n' || b == '\0')
            return IN_BAD;
        return b == '\r' ? IN_LENGTH_LF : IN_EXTENSION;
    case IN_LENGTH_LF:
        return b != '\n' ? IN_BAD : c->left ? IN_DATA : IN_TRAILER_START;
    case IN_DATA_CR:
        return b == '\r' ? IN_DATA_LF : IN_BAD;
    case IN_DATA_LF:
        c->digits = 0;
        return b == '\n' ? IN_LENGTH : IN_BAD;
    case IN_TRAILER_START:
        return step_trailer(c, b, true);
    case IN_TRAILER:
        return step_trailer(c, b, false);
    case IN_TRAILER_LF:
        return b == '\n' ? IN_TRAILER_START : IN_BAD;
    case IN_LAST_LF:
        return b == '\n' ? IN_END : IN_BAD;
    default:
        return IN_BAD;
    }
}

enum http_chunked_got http_chunked_feed(struct http_chunked *c, struct slice *in,
                                        struct slice *ret_piece)
{
    while (c->state != IN_BAD && c->state != IN_END && in->len) {
        if (c->state == IN_DATA) {
            size_t n = in->len < c->left ? in->len : (size_t)c->left;

            *ret_piece = slice_of(in->ptr, n);
            *in = slice_from(*in, n);
            c->left -= n;
            if (c->left == 0)
                c->state = IN_DATA_CR;
            return HTTP_CHUNKED_DATA;
        }
        c->state = step(c, in->ptr[0]);
        *in = slice_from(*in, 1);
    }
    return c->state == IN_BAD   ? HTTP_CHUNKED_BAD
           : c->state == IN_END ? HTTP_CHUNKED_END
                                : HTTP_CHUNKED_MORE;
}
