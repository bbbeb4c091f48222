/*
 * A server with handlers that answer at once, late, slowly, in pieces or not at all, and what tests of
 * HTTP/2 do with it: one loop, one thread, turn by turn. Included once a test program.
 */
#pragma once
#include "common/net/http_h2_internal.h"
#include "tests/unit/common/net/h2_client.h"

static struct loop *loop;
static struct http_server *srv;
static struct http_request *kept; /* what /later and /paused have not answered */
static int cancels, drops, echoes;
static size_t streamed_left, body_seen;
static bool has_drained;

/* ---- handlers ---- */

static inline void on_echo(struct http_request *r)
{
    echoes++;
    http_reply(r, 200, HTTP_TEXT, r->body);
}

static inline void on_show(struct http_request *r)
{
    struct buf out = {0};

    buf_printf(&out, "%s %.*s %.*s host=%.*s h2=%d", http_method_name(r->method),
               SLICE_ARG(r->path), SLICE_ARG(r->query), SLICE_ARG(r->host), r->is_http2);
    http_reply_header(r, "X-Mixed-Case", SLICE("yes"));
    http_reply_header(r, "Connection", SLICE("close"));
    http_reply_buf(r, 200, HTTP_TEXT, &out);
}

static inline void on_cancelled(struct http_request *r)
{
    cancels++;
    CHECK(http_request_is_gone(r));
}

static inline void on_cancelled_at_once(struct http_request *r)
{
    cancels++;
    http_reply(r, 200, HTTP_TEXT, SLICE_EMPTY);
}

static inline void on_later(struct http_request *r)
{
    kept = r;
    r->on_cancel = on_cancelled;
}

static inline void on_work(struct http_request *r)
{
    r->on_cancel = on_cancelled_at_once;
}

/* Longer than a turn may take. */
static inline void on_spin(struct http_request *r)
{
    int64_t until = clock_mono_ms(&clock_system) + 4;

    while (clock_mono_ms(&clock_system) < until)
        ;
    on_echo(r);
}

static inline void on_big(struct http_request *r)
{
    struct buf out = {0};

    buf_fill(&out, 'x', 3u << 20);
    http_reply_buf(r, 200, HTTP_JSON, &out);
}

static inline void stream_more(struct http_request *r)
{
    static const char piece[10000] = {[0 ... 9999] = 'y'};

    while (streamed_left) {
        size_t n = ORR_MIN(streamed_left, sizeof(piece));

        streamed_left -= n;
        if (!http_reply_chunk(r, slice_of(piece, n)))
            return;
    }
    http_reply_trailer(r, "X-Sum", SLICE("all\r\n of it"));
    http_reply_end(r);
}

static inline void on_stream(struct http_request *r)
{
    http_reply_start(r, 200, HTTP_TEXT);
    http_reply_on_drain(r, stream_more);
    stream_more(r);
}

static inline void on_abort(struct http_request *r)
{
    http_reply_start(r, 200, HTTP_TEXT);
    (void)http_reply_chunk(r, SLICE("half"));
    http_reply_abort(r);
}

static inline struct err *refuse(struct http_request *r)
{
    (void)r;
    return err_new(ERR_UNAUTHORIZED, "no key");
}

static inline struct err *take_and_pause(struct http_request *r, struct slice piece)
{
    body_seen += piece.len;
    kept = r;
    http_request_pause(r);
    return NULL;
}

static inline void on_count(struct http_request *r)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%zu", body_seen);
    http_reply(r, 200, HTTP_TEXT, slice_cstr(text));
}

static inline void on_drop(struct http_request *r)
{
    (void)r;
    drops++;
}

static const struct http_route routes[] = {
    {.methods = HTTP_GET | HTTP_POST, .pattern = "/echo", .handler = on_echo, .on_drop = on_drop},
    {.methods = HTTP_GET, .pattern = "/show", .handler = on_show},
    {.methods = HTTP_GET, .pattern = "/later", .handler = on_later},
    {.methods = HTTP_GET, .pattern = "/work", .handler = on_work},
    {.methods = HTTP_GET, .pattern = "/spin", .handler = on_spin},
    {.methods = HTTP_GET, .pattern = "/big", .handler = on_big},
    {.methods = HTTP_GET, .pattern = "/stream", .handler = on_stream},
    {.methods = HTTP_GET, .pattern = "/abort", .handler = on_abort},
    {.methods = HTTP_POST, .pattern = "/locked", .handler = on_echo, .on_headers = refuse},
    {.methods = HTTP_POST, .pattern = "/paused", .handler = on_count, .on_body = take_and_pause},
};

static inline void start(struct http_server_opts opts)
{
    opts.addr = "127.0.0.1:0";
    cancels = drops = echoes = 0;
    kept = NULL;
    body_seen = 0;
    has_drained = false;
    CHECK_OK(loop_new("test", &loop));
    CHECK_OK(http_server_new(&opts, &loop, 1, &srv));
    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(srv, &routes[i]);
    CHECK_OK(http_server_listen(srv));
}

static inline void stop(void)
{
    http_server_free(srv);
    loop_free(loop);
}

static inline struct h2c *dial(void)
{
    return h2c_new(loop, http_server_port(srv));
}

static inline void turns(struct h2c *c, int n)
{
    for (int i = 0; i < n; i++)
        h2c_turn(c);
}

static inline void turn_for(struct h2c *c, int64_t ms)
{
    int64_t until = clock_mono_ms(&clock_system) + ms;

    while (clock_mono_ms(&clock_system) < until)
        h2c_turn(c);
}

/* No stream and no request has been left behind. */
static inline void settle(void)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (http_server_connections(srv) && clock_mono_ms(&clock_system) < until)
        loop_run_once(loop, 2);
    CHECK_INT(http_server_connections(srv), 0);
    CHECK_INT(http_server_inflight(srv), 0);
    CHECK_INT(srv->m.h2_streams, 0);
    CHECK_INT(srv->m.h2_connections, 0);
    CHECK_INT(srv->m.h2_output_bytes, 0);
    CHECK_INT(srv->m.body_bytes, 0);
}

/* Raw bytes, for what nghttp2 would not send. */
static inline void send_raw(int fd, const void *p, size_t n)
{
    struct slice s = slice_of(p, n);
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (s.len && clock_mono_ms(&clock_system) < until) {
        ssize_t got = send(fd, s.ptr, s.len, MSG_NOSIGNAL);

        if (got > 0)
            s = slice_from(s, (size_t)got);
        else if (errno != EAGAIN)
            return;
        loop_run_once(loop, 1);
    }
}

static inline void frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t id,
                         struct slice payload)
{
    buf_byte(b, (uint8_t)(payload.len >> 16));
    buf_byte(b, (uint8_t)(payload.len >> 8));
    buf_byte(b, (uint8_t)payload.len);
    buf_byte(b, type);
    buf_byte(b, flags);
    buf_u32be(b, id);
    buf_slice_append(b, payload);
}

static inline void hello(struct buf *b)
{
    buf_str(b, NGHTTP2_CLIENT_MAGIC);
    frame(b, NGHTTP2_SETTINGS, 0, 0, SLICE_EMPTY);
}

/* Reads until the server closes; true if it said GOAWAY with this code before. */
static inline bool raw_goaway(int fd, uint32_t code)
{
    struct buf b = {0};
    int64_t until = clock_mono_ms(&clock_system) + 10000;
    size_t at = 0;
    bool is_said = false;

    while (clock_mono_ms(&clock_system) < until) {
        ssize_t n = recv(fd, buf_reserve(&b, 65536), 65536, 0);

        if (n > 0)
            b.len += (size_t)n;
        else if (n == 0 || errno != EAGAIN)
            break;
        loop_run_once(loop, 2);
    }
    while (b.len - at >= 9) {
        size_t len = (size_t)b.ptr[at] << 16 | (size_t)b.ptr[at + 1] << 8 | b.ptr[at + 2];

        if (b.ptr[at + 3] == NGHTTP2_GOAWAY && b.len - at >= 17)
            is_said |= ((uint32_t)b.ptr[at + 13] << 24 | (uint32_t)b.ptr[at + 14] << 16 |
                        (uint32_t)b.ptr[at + 15] << 8 | b.ptr[at + 16]) == code;
        at += 9 + len;
        if (at > b.len)
            break;
    }
    buf_done(&b);
    return is_said;
}
