/*
 * Decoder of Transfer-Encoding: chunked, fed with bytes as they come.
 *
 *     1a[;extension] CRLF  26 bytes CRLF  ...  0 CRLF  [trailer: value CRLF]...  CRLF
 *
 * Strict: CRLF only, no spaces around the length, at most 16 hex digits; extensions (up to 256
 * bytes a line) and trailers (up to 8 KiB) are read and dropped.
 *
 * Owner: whoever feeds it. Allocates nothing; {0} is the start.
 */
#pragma once
#include "common/base/slice.h"

struct http_chunked {
    uint8_t state;
    uint8_t digits;
    uint64_t left; /* bytes of the current chunk still to come */
    uint32_t line_bytes, trailer_bytes;
};

enum http_chunked_got {
    HTTP_CHUNKED_MORE, /* all of in was used; feed more */
    HTTP_CHUNKED_DATA, /* *ret_piece holds body bytes (borrowed from in); call again */
    HTTP_CHUNKED_END,  /* the body is whole; the rest of in belongs to the next request */
    HTTP_CHUNKED_BAD,
};
/* Takes what it used off the front of *in. */
enum http_chunked_got http_chunked_feed(struct http_chunked *c, struct slice *in,
                                        struct slice *ret_piece);
