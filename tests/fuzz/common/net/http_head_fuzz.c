/*
 * A connection's bytes as the server would take them apart: heads, routes, parameters, chunked
 * bodies, one request after the other. Checked besides crashes: feeding byte by byte finds the
 * same end of the head as feeding it whole.
 */
#include "common/base/arena.h"
#include "common/net/http_chunked.h"
#include "common/net/http_head.h"
#include "common/net/http_route.h"

static const struct http_head_limits limits = {4096, 32};
static struct http_route_table *routes;

static void nothing(struct http_request *r)
{
    (void)r;
}

static void add(const char *pattern)
{
    http_route_table_add(routes, &(struct http_route){.methods = HTTP_GET | HTTP_POST,
                                                      .pattern = pattern,
                                                      .handler = nothing});
}

static void scan_bytewise(struct slice in, enum http_head_found want, size_t end)
{
    struct http_head_scan s = {0};
    struct http_head_fault f;
    enum http_head_found got = HTTP_HEAD_MORE;

    for (size_t n = 1; n <= in.len && got == HTTP_HEAD_MORE; n++)
        got = http_head_scan(&s, slice_sub(in, 0, n), &limits, &f);
    ORR_ASSERT(in.len == 0 || got == want);
    ORR_ASSERT(got != HTTP_HEAD_FOUND || s.end == end);
}

/* False when the connection would be closed. */
static bool one_body(const struct http_head *h, struct slice *in)
{
    struct http_chunked c = {0};
    struct slice piece;
    enum http_chunked_got got;

    if (!h->is_chunked) {
        *in = slice_from(*in, (size_t)ORR_MIN(h->content_length, (uint64_t)in->len));
        return true;
    }
    while ((got = http_chunked_feed(&c, in, &piece)) == HTTP_CHUNKED_DATA)
        ORR_ASSERT(piece.len > 0);
    return got == HTTP_CHUNKED_END;
}

static bool one_request(struct slice *in)
{
    struct http_head_scan s = {0};
    struct http_head_fault f = {0};
    enum http_head_found found = http_head_scan(&s, *in, &limits, &f);
    struct http_params params = {0};
    struct http_head h;
    struct arena *a;
    bool goes_on = false;

    if (in->len <= 1024)
        scan_bytewise(*in, found, s.end);
    if (found != HTTP_HEAD_FOUND)
        return false;
    a = arena_new(0);
    f = http_head_parse(a, slice_sub(*in, s.skip, s.end - s.skip), &limits, &h);
    *in = slice_from(*in, s.end);
    if (f.status == 0) {
        (void)http_route_find(routes, a, h.method, h.path_raw);
        (void)http_params_parse(a, h.query, &params);
        goes_on = one_body(&h, in);
    }
    arena_free(a);
    return goes_on;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);

    if (!routes) {
        routes = http_route_table_new();
        add("/a");
        add("/a/{b}/c");
        add("/*");
    }
    while (in.len && one_request(&in))
        ;
    return 0;
}
