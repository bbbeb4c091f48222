#include "common/net/http_chunked.h"
#include "common/net/http_head.h"
#include "tests/unit/test.h"

static const struct http_head_limits limits = {1024, 8};

/* The status that the server would answer with; 0: accepted, -1: more is needed. */
static int status_of(const char *text, size_t step, struct arena *a, struct http_head *ret)
{
    struct slice in = slice_cstr(text);
    struct http_head_scan scan = {0};
    struct http_head_fault f = {0};

    for (size_t n = step;; n += step) {
        size_t have = ORR_MIN(n, in.len);

        switch (http_head_scan(&scan, slice_sub(in, 0, have), &limits, &f)) {
        case HTTP_HEAD_BAD:
            return f.status;
        case HTTP_HEAD_FOUND:
            f = http_head_parse(a, slice_sub(in, scan.skip, scan.end - scan.skip), &limits, ret);
            return f.status;
        case HTTP_HEAD_MORE:
            if (have == in.len)
                return -1;
        }
    }
}

static const struct {
    int status;
    const char *text;
} torture[] = {
    {0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {0, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {0, "GET / HTTP/1.0\r\n\r\n"},
    {0, "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n"},
    {0, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"},
    {0, "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
    {0, "GET / HTTP/1.1\r\nhOST: \t a \t\r\nX:\r\n\r\n"},
    {0, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
    {0, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"},
    {0, "GET /\xc3\xa4?q=\xff HTTP/1.1\r\nHost: a\r\n\r\n"},
    {-1, "GET / HTTP/1.1\r\nHost: a\r\n"},
    {-1, "G"},
    /* line ends */
    {400, "GET / HTTP/1.1\nHost: a\n\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\n\r\n"},
    {400, "\n"},
    {400, "\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n"},
    /* request line */
    {400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET /\r\nHost: a\r\n\r\n"},
    {400, "GET\r\nHost: a\r\n\r\n"},
    {400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
    {400, "GET / http/1.1\r\nHost: a\r\n\r\n"},
    {400, "GET / HTTP/11\r\nHost: a\r\n\r\n"},
    {400, "G@T / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {501, "get / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {501, "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {400, "CONNECT a:1 HTTP/2.0.\r\nHost: a\r\n\r\n"},
    {505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
    {505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"},
    {505, "PRI * HTTP/2.0\r\n\r\n"},
    /* headers */
    {400, "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nX(: x\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\n\r\n"},
    {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
    {417, "POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n"},
    /* two ways to see where the body ends */
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"},
    {400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
          "Transfer-Encoding: chunked\r\n\r\n"},
    {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"},
    {501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"},
    {431, "GET / HTTP/1.1\r\nHost: a\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\n\r\n"},
};

TEST(http_head_torture)
{
    for (size_t i = 0; i < ORR_COUNT(torture); i++) {
        /* byte by byte, and in one go */
        for (size_t step = 1; step <= 5000; step = step * 70 + 1) {
            struct arena *a = arena_new(0);
            struct http_head h;
            int got = status_of(torture[i].text, step, a, &h);

            if (got != torture[i].status)
                test_fail(__FILE__, __LINE__, "%d, not %d, for: %s", got, torture[i].status,
                          torture[i].text);
            arena_free(a);
        }
    }
}

TEST(http_head_takes_requests_apart)
{
    struct arena *a = arena_new(0);
    struct http_head h;

    CHECK_INT(status_of("POST /a%2Fb/c?x=1&y HTTP/1.1\r\nHost: h:1\r\nContent-Length: 12\r\n"
                        "Connection: x, close\r\nExpect: 100-Continue\r\nX-Y:  a b \r\n\r\n",
                        7, a, &h),
              0);
    CHECK_INT(h.method, HTTP_POST);
    CHECK_SLICE(h.path_raw, "/a%2Fb/c");
    CHECK_SLICE(h.query, "x=1&y");
    CHECK_SLICE(h.host, "h:1");
    CHECK_INT(h.content_length, 12);
    CHECK(h.has_body && !h.is_chunked && !h.is_keep_alive && h.expects_continue);
    CHECK_INT(h.header_count, 5);
    CHECK_SLICE(http_header_get(h.headers, h.header_count, "x-y"), "a b");
    CHECK(!http_header_get(h.headers, h.header_count, "x-z").ptr);
    arena_free(a);
}

TEST(http_head_bounds_sizes)
{
    struct http_head_scan scan = {0};
    struct http_head_fault f = {0};
    struct buf b = {0};

    buf_str(&b, "GET /");
    buf_fill(&b, 'a', 2000);
    CHECK_INT(http_head_scan(&scan, buf_slice(&b), &limits, &f), HTTP_HEAD_BAD);
    CHECK_INT(f.status, 414);
    buf_reset(&b);
    scan = (struct http_head_scan){0};
    buf_str(&b, "GET / HTTP/1.1\r\nX: ");
    buf_fill(&b, 'a', 2000);
    CHECK_INT(http_head_scan(&scan, buf_slice(&b), &limits, &f), HTTP_HEAD_BAD);
    CHECK_INT(f.status, 431);
    buf_done(&b);
}

static int chunked(const char *text, size_t step, struct buf *body, size_t *ret_left)
{
    struct slice all = slice_cstr(text);
    struct http_chunked c = {0};

    for (size_t at = 0; at < all.len; at += step) {
        struct slice in = slice_sub(all, at, step), piece;
        enum http_chunked_got got;

        while ((got = http_chunked_feed(&c, &in, &piece)) == HTTP_CHUNKED_DATA)
            buf_slice_append(body, piece);
        if (got != HTTP_CHUNKED_MORE) {
            *ret_left = all.len - at - step + in.len;
            return (int)got;
        }
    }
    return HTTP_CHUNKED_MORE;
}

TEST(http_chunked_torture)
{
    static const struct {
        int got;
        const char *text, *body;
    } cases[] = {
        {HTTP_CHUNKED_END, "0\r\n\r\n", ""},
        {HTTP_CHUNKED_END, "5\r\nhello\r\n00A;x=\"y\"\r\n, world!!!\r\n000\r\nA: b\r\n\r\n",
         "hello, world!!!"},
        {HTTP_CHUNKED_MORE, "5\r\nhello\r\n", "hello"},
        {HTTP_CHUNKED_BAD, "5\nhello\r\n", ""},
        {HTTP_CHUNKED_BAD, "\r\n", ""},
        {HTTP_CHUNKED_BAD, " 5\r\nhello", ""},
        {HTTP_CHUNKED_BAD, "5 \r\nhello", ""},
        {HTTP_CHUNKED_BAD, "0x5\r\nhello", ""},
        {HTTP_CHUNKED_BAD, "-5\r\nhello", ""},
        {HTTP_CHUNKED_BAD, "5\r\nhello!\r\n", "hello"},
        {HTTP_CHUNKED_BAD, "5\r\nhello\r0", "hello"},
        {HTTP_CHUNKED_BAD, "5;\nhello", ""},
        {HTTP_CHUNKED_BAD, "0\r\nA: b\n\r\n", ""},
        {HTTP_CHUNKED_BAD, "00000000000000001\r\n", ""},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        for (size_t step = 1; step < 200; step += 66) {
            struct buf body = {0};
            size_t left = 0;

            CHECK_INT(chunked(cases[i].text, step, &body, &left), cases[i].got);
            CHECK_SLICE(buf_slice(&body), cases[i].body);
            buf_done(&body);
        }
    }
}

TEST(http_params_and_escapes)
{
    struct arena *a = arena_new(0);
    struct http_params p = {0};
    struct buf b = {0};

    CHECK(http_params_parse(a, SLICE("a=1&b&&c=x+y%2B%20z&=e&match[]=%7B%7D"), &p));
    CHECK_INT(p.len, 5);
    CHECK_SLICE(p.items[1].name, "b");
    CHECK_SLICE(p.items[1].value, "");
    CHECK_SLICE(p.items[2].value, "x y+ z");
    CHECK_SLICE(p.items[4].value, "{}");
    CHECK(!http_params_parse(a, SLICE("a=%4"), &p));
    CHECK(!http_params_parse(a, SLICE("a=%zz"), &p));
    http_escape(SLICE("a b/\xff~"), &b);
    CHECK_SLICE(buf_slice(&b), "a%20b%2F%FF~");
    buf_reset(&b);
    CHECK(http_unescape(SLICE("a%20b%2F+%7e"), false, &b));
    CHECK_SLICE(buf_slice(&b), "a b/+~");
    buf_done(&b);
    arena_free(a);
}
