/*
 * The header list of an HTTP/2 request, field by field, to the struct http_head that HTTP/1's
 * parser makes of a head, by the same rules.
 *
 *     :method :scheme :authority :path    (checked for presence and order by nghttp2)
 *     name value ...                      names are lower case
 *
 * :authority becomes a header "host" in front of the others, so that handlers find it where they
 * look for it. A list that is over the limits is read to its end, since HPACK's state depends on
 * it, but not kept.
 *
 * Pure. The arena is the request's.
 */
#pragma once
#include "common/net/http_head.h"

/* What RFC 9113 section 6.5.2 adds to the length of name and value of each field. */
#define H2_FIELD_BYTES 32

struct h2_head {
    struct arena *arena;
    struct http_head_limits limits;
    struct slice method, path;
    struct http_header *items;
    size_t count, cap, bytes;
    bool is_over;
};

/* Copies name and value. */
void h2_head_add(struct h2_head *h, struct slice name, struct slice value);
/* The list is whole; ends_stream: no body follows. ret borrows from the arena. */
struct http_head_fault h2_head_end(struct h2_head *h, bool ends_stream, struct http_head *ret);
