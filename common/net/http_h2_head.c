#include "common/net/http_h2_head.h"

static void keep(struct h2_head *h, struct slice name, struct slice value)
{
    if (h->count == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 16;

        h->items =
            arena_grow(h->arena, h->items, h->cap * sizeof(*h->items), cap * sizeof(*h->items));
        h->cap = cap;
    }
    h->items[h->count++] = (struct http_header){name, value};
}

static void add_host(struct h2_head *h, struct slice value)
{
    /* Some clients send :authority and host: no harm as long as they agree. */
    for (size_t i = 0; i < h->count; i++)
        if (slice_eq(h->items[i].name, SLICE("host")) && slice_eq(h->items[i].value, value))
            return;
    keep(h, SLICE("host"), arena_dup(h->arena, value));
}

void h2_head_add(struct h2_head *h, struct slice name, struct slice value)
{
    h->bytes += name.len + value.len + H2_FIELD_BYTES;
    h->is_over |= h->bytes > h->limits.max_bytes || h->count >= h->limits.max_headers;
    if (h->is_over)
        return;
    if (slice_eq(name, SLICE(":method")))
        h->method = arena_dup(h->arena, value);
    else if (slice_eq(name, SLICE(":path")))
        h->path = arena_dup(h->arena, value);
    else if (slice_eq(name, SLICE(":authority")) || slice_eq(name, SLICE("host")))
        add_host(h, value);
    else if (name.len && name.ptr[0] != ':')
        keep(h, arena_dup(h->arena, name), arena_dup(h->arena, slice_trim(value)));
}

static struct http_head_fault check_fields(const struct h2_head *h)
{
    for (size_t i = 0; i < h->count; i++) {
        if (!http_head_is_token(h->items[i].name))
            return (struct http_head_fault){400, "malformed header name"};
        if (!http_head_is_value(h->items[i].value))
            return (struct http_head_fault){400, "a control byte in a header"};
    }
    return (struct http_head_fault){0};
}

struct http_head_fault h2_head_end(struct h2_head *h, bool ends_stream, struct http_head *ret)
{
    struct http_head_fault f;
    bool is_known;

    *ret = (struct http_head){.minor = 1, .is_keep_alive = true, .method = HTTP_GET};
    is_known = http_method_from_name(h->method, &ret->method);
    ret->target = h->path.ptr ? h->path : SLICE_EMPTY;
    ret->headers = h->items;
    ret->header_count = h->count;
    if (h->is_over)
        return (struct http_head_fault){431, "the headers are too large"};
    if (!http_head_is_token(h->method))
        return (struct http_head_fault){400, "malformed method"};
    if (!is_known)
        return (struct http_head_fault){501, "unknown method"};
    if ((f = http_head_split_target(ret)).status || (f = check_fields(h)).status ||
        (f = http_head_note_headers(ret)).status)
        return f;
    if (ret->is_chunked)
        return (struct http_head_fault){400, "Transfer-Encoding in HTTP/2"};
    ret->is_chunked = !ends_stream && !http_header_get(h->items, h->count, "content-length").ptr;
    ret->has_body = !ends_stream;
    return (struct http_head_fault){0};
}
