#include "common/base/base64.h"
#include "common/net/grpc_frame.h"
#include "common/net/grpc_server.h"
#include "common/net/http_server_internal.h"
#include "common/proto/grpc_wire.h"
#include "tests/unit/common/net/h2_client.h"

#define GRPC "content-type: application/grpc\nte: trailers\n"

static struct loop *loop;
static struct http_server *srv;
static struct grpc_server *grpc;
static struct grpc_call *kept;
static int cancels;
static size_t left;
static bool is_ready;
static int64_t seen_timeout_ms;

/* ---- methods ---- */

static void echo(struct grpc_call *c)
{
    grpc_reply(c, c->message);
}

static void describe(struct grpc_call *c)
{
    struct buf out = {0};
    struct slice bin = SLICE_EMPTY;
    bool has_bin = grpc_metadata_bin(c, "x-key-bin", &bin);

    seen_timeout_ms = c->deadline_ms - loop_now_ms(c->loop);
    buf_printf(&out, "%.*s bin=%d:%.*s arg=%s", SLICE_ARG(grpc_metadata(c, "x-scope-orgid")),
               has_bin, SLICE_ARG(bin), (const char *)c->arg);
    grpc_reply_metadata(c, "x-back-bin", SLICE("\xff\xfe"));
    grpc_reply_trailer(c, "x-early", SLICE("header"));
    grpc_reply_buf(c, &out);
}

static void failing(struct grpc_call *c)
{
    switch (c->message.len ? c->message.ptr[0] : 0) {
    case 'r':
        grpc_retry_after(c, 2500);
        grpc_reply_err(c, err_new(ERR_RATE, "tenant is over its rate: 100%% of it"));
        return;
    case 'l':
        grpc_reply_err(c, err_new(ERR_LIMIT, "over a limit"));
        return;
    case 'u':
        grpc_reply_err(c, err_new(ERR_UNAVAILABLE, "no quorum"));
        return;
    default:
        (void)grpc_send(c, SLICE("first"));
        grpc_reply_trailer(c, "x-late", SLICE("trailer"));
        grpc_reply_err(c, err_new(ERR_EXEC, "then it\nbroke"));
    }
}

static void on_cancelled(struct grpc_call *c)
{
    cancels++;
    CHECK(grpc_is_gone(c));
    kept = NULL;
    grpc_reply_err(c, err_new(ERR_CANCELED, "gone"));
}

static void later(struct grpc_call *c)
{
    kept = c;
    c->on_cancel = on_cancelled;
}

static void stream_more(struct grpc_call *c)
{
    static const char piece[5000] = {[0 ... 4999] = 's'};

    while (left) {
        left--;
        if (!grpc_send(c, slice_of(piece, sizeof(piece))))
            return;
    }
    grpc_end(c);
}

static void stream(struct grpc_call *c)
{
    left = 1000;
    grpc_on_drain(c, stream_more);
    stream_more(c);
}

static void nothing(struct grpc_call *c)
{
    grpc_end(c);
}

static struct err *admit(struct grpc_call *c)
{
    return grpc_metadata(c, "x-scope-orgid").ptr ? NULL : err_new(ERR_UNAUTHORIZED, "no org id");
}

static bool ready(void *arg)
{
    (void)arg;
    return is_ready;
}

static const struct grpc_method methods[] = {
    {.path = "/test.Test/Echo", .handler = echo, .max_message_bytes = 100000},
    {.path = "/test.Test/Describe",
     .handler = describe,
     .on_headers = admit,
     .arg = (void *)(uintptr_t) "a"},
    {.path = "/test.Test/Fail", .handler = failing},
    {.path = "/test.Test/Later", .handler = later},
    {.path = "/test.Test/Stream", .handler = stream},
    {.path = "/test.Test/Nothing", .handler = nothing},
};

static void hello(struct http_request *r)
{
    http_reply(r, 200, HTTP_TEXT, SLICE("plain"));
}

static void start(struct http_server_opts opts)
{
    opts.addr = "127.0.0.1:0";
    cancels = 0;
    kept = NULL;
    is_ready = true;
    CHECK_OK(loop_new("test", &loop));
    CHECK_OK(http_server_new(&opts, &loop, 1, &srv));
    http_server_route(
        srv, &(struct http_route){.methods = HTTP_GET, .pattern = "/hello", .handler = hello});
    grpc = grpc_server_new(srv, ready, NULL);
    for (size_t i = 0; i < ORR_COUNT(methods); i++)
        grpc_server_method(grpc, &methods[i]);
    CHECK_OK(http_server_listen(srv));
}

static void stop(void)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (http_server_connections(srv) && clock_mono_ms(&clock_system) < until)
        loop_run_once(loop, 2);
    CHECK_INT(http_server_connections(srv), 0);
    CHECK_INT(http_server_inflight(srv), 0);
    CHECK_INT(srv->m.body_bytes, 0);
    http_server_free(srv);
    grpc_server_free(grpc);
    loop_free(loop);
}

static struct h2c *dial(void)
{
    return h2c_new(loop, http_server_port(srv));
}

/* ---- calls ---- */

static void add_frame(struct buf *b, bool is_compressed, struct slice message)
{
    uint8_t head[GRPC_FRAME_HEAD_BYTES];

    grpc_frame_head(is_compressed, message.len, head);
    buf_append(b, head, sizeof(head));
    buf_slice_append(b, message);
}

static struct h2c_reply *call(struct h2c *c, const char *path, const char *headers,
                              struct slice message)
{
    struct buf b = {0};
    struct h2c_reply *r;

    add_frame(&b, false, message);
    r = h2c_ask(c, "POST", path, headers, buf_slice(&b));
    CHECK_HAS(&r->head, "status: 200\n");
    CHECK_HAS(&r->head, "content-type: application/grpc\n");
    buf_done(&b);
    return r;
}

/* The only message of a reply. */
static struct slice message_of(struct h2c_reply *r)
{
    struct slice in = buf_slice(&r->body), m = SLICE_EMPTY;
    bool is_compressed;

    CHECK(grpc_frame_take(&in, &is_compressed, &m) == GRPC_FRAME_OK);
    CHECK(in.len == 0 && !is_compressed);
    return m;
}

TEST(grpc_server_unary)
{
    struct h2c *c;
    struct h2c_reply *r;

    start((struct http_server_opts){0});
    c = dial();
    r = call(c, "/test.Test/Echo", GRPC, SLICE("hello"));
    CHECK_SLICE(message_of(r), "hello");
    CHECK_STR(buf_cstr(&r->trailers), "grpc-status: 0\n");
    CHECK(!h2c_has(&r->head, "grpc-status"));
    CHECK(!h2c_has(&r->head, "content-length"));
    r = call(c, "/test.Test/Echo", GRPC, SLICE(""));
    CHECK_SLICE(message_of(r), "");
    CHECK_STR(buf_cstr(&r->trailers), "grpc-status: 0\n");
    r = call(c, "/test.Test/Describe",
             "content-type: application/grpc+proto\nx-scope-orgid: t1\nx-key-bin: AQID\n",
             SLICE(""));
    CHECK(slice_eq(message_of(r), SLICE("t1 bin=1:\1\2\3 arg=a")));
    CHECK_HAS(&r->head, "x-back-bin: //4\n");
    CHECK_HAS(&r->head, "x-early: header\n");
    r = call(c, "/test.Test/Describe", GRPC "x-scope-orgid: t1\nx-key-bin: A!\n", SLICE(""));
    CHECK_SLICE(message_of(r), "t1 bin=0: arg=a");
    r = call(c, "/test.Test/Nothing", GRPC, SLICE(""));
    CHECK_INT(r->body.len, 0);
    CHECK_STR(buf_cstr(&r->trailers), "grpc-status: 0\n");
    /* beside plain HTTP on the same connection */
    CHECK_SLICE(buf_slice(&h2c_ask(c, "GET", "/hello", "", SLICE_EMPTY)->body), "plain");
    h2c_free(c);
    stop();
}

TEST(grpc_server_errors_are_trailers_only)
{
    struct h2c *c;
    struct h2c_reply *r;
    struct buf details = {0}, want = {0};
    ptrdiff_t at;

    start((struct http_server_opts){0});
    c = dial();
    r = call(c, "/test.Test/Fail", GRPC, SLICE("r"));
    CHECK(!r->has_data && r->trailers.len == 0);
    CHECK_HAS(&r->head, "grpc-status: 8\n");
    CHECK_HAS(&r->head, "grpc-message: tenant is over its rate: 100%25 of it\n");
    at = slice_find(buf_slice(&r->head), SLICE("grpc-status-details-bin: "), 0);
    CHECK(at > 0);
    CHECK(base64_decode(slice_trim(slice_from(buf_slice(&r->head), (size_t)at + 25)), &details));
    grpc_wire_retry(8, SLICE("tenant is over its rate: 100% of it"), 2500, &want);
    CHECK(slice_eq(buf_slice(&details), buf_slice(&want)));
    r = call(c, "/test.Test/Fail", GRPC, SLICE("l")); /* not to be tried again */
    CHECK_HAS(&r->head, "grpc-status: 8\n");
    CHECK(!h2c_has(&r->head, "details"));
    r = call(c, "/test.Test/Fail", GRPC, SLICE("u"));
    CHECK_HAS(&r->head, "grpc-status: 14\n");
    CHECK_HAS(&r->head, "grpc-status-details-bin: ");
    /* in the middle of a stream */
    r = call(c, "/test.Test/Fail", GRPC, SLICE(""));
    CHECK_SLICE(message_of(r), "first");
    CHECK_STR(buf_cstr(&r->trailers),
              "x-late: trailer\ngrpc-status: 9\ngrpc-message: then it%0Abroke\n");
    h2c_free(c);
    stop();
    buf_done(&details);
    buf_done(&want);
}

TEST(grpc_server_refuses_with_words)
{
    struct buf b = {0};
    struct h2c *c;
    struct h2c_reply *r;

    start((struct http_server_opts){0});
    c = dial();
    r = call(c, "/test.Test/Other", GRPC, SLICE(""));
    CHECK_HAS(&r->head, "grpc-status: 12\ngrpc-message: unknown method /test.Test/Other\n");
    r = call(c, "/test.Test/Describe", GRPC, SLICE(""));
    CHECK_HAS(&r->head, "grpc-status: 16\ngrpc-message: no org id\n");
    r = call(c, "/test.Test/Echo", GRPC "grpc-timeout: soon\n", SLICE(""));
    CHECK_HAS(&r->head, "grpc-status: 3\n");
    r = call(c, "/test.Test/Echo", GRPC "grpc-encoding: br\n", SLICE(""));
    CHECK_HAS(&r->head, "grpc-status: 12\n");
    CHECK_HAS(&r->head, "grpc-accept-encoding: identity,gzip,deflate,zstd\n");
    /* framing */
    add_frame(&b, false, SLICE("one"));
    add_frame(&b, false, SLICE("two"));
    r = h2c_ask(c, "POST", "/test.Test/Echo", GRPC, buf_slice(&b));
    CHECK_HAS(&r->head, "grpc-status: 12\n");
    r = h2c_ask(c, "POST", "/test.Test/Echo", GRPC, slice_sub(buf_slice(&b), 0, 6));
    CHECK_HAS(&r->head, "grpc-status: 3\ngrpc-message: the message is cut short\n");
    r = h2c_ask(c, "POST", "/test.Test/Echo", GRPC, SLICE_EMPTY);
    CHECK_HAS(&r->head, "grpc-status: 3\ngrpc-message: no message\n");
    r = h2c_ask(c, "POST", "/test.Test/Echo", GRPC, SLICE("\7\0\0\0\0"));
    CHECK_HAS(&r->head, "grpc-status: 3\ngrpc-message: malformed message frame\n");
    r = h2c_ask(c, "POST", "/test.Test/Echo", GRPC, SLICE("\1\0\0\0\0"));
    CHECK_HAS(&r->head, "grpc-status: 3\n");
    /* size: refused while it comes */
    buf_reset(&b);
    buf_fill(&b, 'x', 150000);
    r = call(c, "/test.Test/Echo", GRPC, buf_slice(&b));
    CHECK_HAS(&r->head, "grpc-status: 8\n");
    CHECK(!h2c_has(&r->head, "details"));
    /* not gRPC at all */
    r = h2c_ask(c, "POST", "/test.Test/Echo", "content-type: application/json\n", SLICE("{}"));
    CHECK_HAS(&r->head, "status: 415\n");
    r = h2c_ask(c, "GET", "/test.Test/Echo", "", SLICE_EMPTY);
    CHECK_HAS(&r->head, "status: 405\n");
    r = h2c_ask(c, "POST", "/nowhere", "", SLICE("{}"));
    CHECK_HAS(&r->head, "status: 404\n");
    h2c_free(c);
    stop();
    buf_done(&b);
}

TEST(grpc_server_compression_both_ways)
{
    struct buf big = {0}, packed = {0}, b = {0}, plain = {0};
    struct h2c *c;
    struct h2c_reply *r;
    struct slice in, m;
    bool is_compressed;

    buf_fill(&big, 'c', 50000);
    start((struct http_server_opts){0});
    c = dial();
    CHECK_OK(codec_encode(CODEC_GZIP, 0, buf_slice(&big), &packed));
    add_frame(&b, true, buf_slice(&packed));
    r = h2c_ask(c, "POST", "/test.Test/Echo",
                GRPC "grpc-encoding: gzip\ngrpc-accept-encoding: identity, gzip\n", buf_slice(&b));
    CHECK_HAS(&r->head, "grpc-encoding: gzip\n");
    in = buf_slice(&r->body);
    CHECK(grpc_frame_take(&in, &is_compressed, &m) == GRPC_FRAME_OK && is_compressed);
    CHECK_OK(codec_decode(CODEC_GZIP, m, 100000, &plain));
    CHECK(slice_eq(buf_slice(&plain), buf_slice(&big)));
    /* small ones are left alone */
    r = call(c, "/test.Test/Echo", GRPC "grpc-accept-encoding: gzip\n", SLICE("small"));
    CHECK_SLICE(message_of(r), "small");
    CHECK(!h2c_has(&r->head, "grpc-encoding"));
    /* a bomb costs its bound */
    buf_reset(&packed);
    buf_fill(&big, 'c', 1000000);
    CHECK_OK(codec_encode(CODEC_ZSTD, 0, buf_slice(&big), &packed));
    buf_reset(&b);
    add_frame(&b, true, buf_slice(&packed));
    r = h2c_ask(c, "POST", "/test.Test/Echo", GRPC "grpc-encoding: zstd\n", buf_slice(&b));
    CHECK_HAS(&r->head, "grpc-status: 8\n");
    /* not what it says */
    buf_reset(&b);
    add_frame(&b, true, SLICE("no gzip"));
    r = h2c_ask(c, "POST", "/test.Test/Echo", GRPC "grpc-encoding: gzip\n", buf_slice(&b));
    CHECK_HAS(&r->head, "grpc-status: 3\n");
    h2c_free(c);
    stop();
    buf_done(&big);
    buf_done(&packed);
    buf_done(&b);
    buf_done(&plain);
}

TEST(grpc_server_decoded_messages_count_in_the_budget)
{
    struct buf big = {0}, packed = {0}, b = {0};
    struct h2c *c;
    struct h2c_reply *r;

    buf_fill(&big, 'c', 50000);
    start((struct http_server_opts){.max_inflight_body_bytes = 10000});
    c = dial();
    CHECK_OK(codec_encode(CODEC_GZIP, 0, buf_slice(&big), &packed));
    add_frame(&b, true, buf_slice(&packed));
    r = h2c_ask(c, "POST", "/test.Test/Echo", GRPC "grpc-encoding: gzip\n", buf_slice(&b));
    CHECK_HAS(&r->head, "grpc-status: 14\n");
    CHECK_HAS(&r->head, "grpc-status-details-bin: ");
    h2c_free(c);
    stop();
    buf_done(&big);
    buf_done(&packed);
    buf_done(&b);
}

TEST(grpc_server_streams_with_backpressure)
{
    struct h2c *c;
    struct h2c_reply *r;
    struct h2c_body body = {SLICE("\0\0\0\0\0"), false};
    int32_t id;
    size_t n = 0;

    start((struct http_server_opts){.output_high_bytes = 50000});
    c = dial();
    c->holds_window = true;
    id = h2c_submit(c, "POST", "/test.Test/Stream", GRPC, &body);
    r = h2c_reply(c, id);
    for (int i = 0; i < 10; i++)
        h2c_turn(c);
    CHECK_INT(r->body.len, 65535);
    CHECK(left > 900);
    c->holds_window = false;
    (void)nghttp2_session_consume(c->session, id, 65535);
    CHECK(h2c_wait(c, &r->is_closed));
    for (struct slice in = buf_slice(&r->body), m; in.len; n++) {
        bool is_compressed;

        CHECK(grpc_frame_take(&in, &is_compressed, &m) == GRPC_FRAME_OK);
        CHECK_INT(m.len, 5000);
    }
    CHECK_INT(n, 1000);
    CHECK_STR(buf_cstr(&r->trailers), "grpc-status: 0\n");
    /* a client that goes in the middle: the handler is woken and ends */
    c->holds_window = true;
    body = (struct h2c_body){SLICE("\0\0\0\0\0"), false};
    id = h2c_submit(c, "POST", "/test.Test/Stream", GRPC, &body);
    for (int i = 0; i < 10; i++)
        h2c_turn(c);
    CHECK(left > 0);
    (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    for (int i = 0; i < 5; i++)
        h2c_turn(c);
    CHECK_INT(left, 0);
    h2c_free(c);
    stop();
}

TEST(grpc_server_deadlines_and_cancels)
{
    struct h2c_body body = {SLICE("\0\0\0\0\0"), false};
    struct h2c *c;
    struct h2c_reply *r;
    int32_t id;

    start((struct http_server_opts){.request_timeout_ms = 60000});
    c = dial();
    (void)call(c, "/test.Test/Describe", GRPC "x-scope-orgid: t\ngrpc-timeout: 5S\n", SLICE(""));
    CHECK(seen_timeout_ms > 4000 && seen_timeout_ms <= 5000);
    (void)call(c, "/test.Test/Describe", GRPC "x-scope-orgid: t\ngrpc-timeout: 5H\n", SLICE(""));
    CHECK(seen_timeout_ms > 59000 && seen_timeout_ms <= 60000); /* ours is sooner */
    id = h2c_submit(c, "POST", "/test.Test/Later", GRPC "grpc-timeout: 50m\n", &body);
    r = h2c_reply(c, id);
    CHECK(h2c_wait(c, &r->is_closed));
    CHECK_INT(r->error, NGHTTP2_CANCEL);
    CHECK_INT(cancels, 1);
    body = (struct h2c_body){SLICE("\0\0\0\0\0"), false};
    id = h2c_submit(c, "POST", "/test.Test/Later", GRPC, &body);
    while (!kept)
        h2c_turn(c);
    (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    for (int i = 0; i < 5; i++)
        h2c_turn(c);
    CHECK_INT(cancels, 2);
    /* answered later, in time */
    body = (struct h2c_body){SLICE("\0\0\0\0\0"), false};
    id = h2c_submit(c, "POST", "/test.Test/Later", GRPC "grpc-timeout: 10S\n", &body);
    while (!kept)
        h2c_turn(c);
    grpc_reply(kept, SLICE("late"));
    CHECK(h2c_wait(c, &h2c_reply(c, id)->is_closed));
    CHECK_SLICE(message_of(h2c_reply(c, id)), "late");
    h2c_free(c);
    stop();
}

TEST(grpc_server_health)
{
    struct h2c *c;
    struct h2c_reply *r;

    start((struct http_server_opts){0});
    c = dial();
    CHECK_SLICE(message_of(call(c, "/grpc.health.v1.Health/Check", GRPC, SLICE(""))), "\x08\x01");
    r = call(c, "/grpc.health.v1.Health/Check", GRPC, SLICE("\x0a\x09test.Test"));
    CHECK_SLICE(message_of(r), "\x08\x01");
    is_ready = false;
    CHECK_SLICE(message_of(call(c, "/grpc.health.v1.Health/Check", GRPC, SLICE(""))), "\x08\x02");
    r = call(c, "/grpc.health.v1.Health/Check", GRPC, SLICE("\x0a\x04test"));
    CHECK_HAS(&r->head, "grpc-status: 5\n");
    r = call(c, "/grpc.health.v1.Health/Check", GRPC, SLICE("\x0a\x44test"));
    CHECK_HAS(&r->head, "grpc-status: 3\n");
    r = call(c, "/grpc.health.v1.Health/Watch", GRPC, SLICE(""));
    CHECK_HAS(&r->head, "grpc-status: 12\n");
    h2c_free(c);
    stop();
}

TEST(grpc_server_needs_http2)
{
    static const char ask[] = "POST /test.Test/Echo HTTP/1.1\r\nHost: h\r\nContent-Type: "
                              "application/grpc\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0";
    struct buf b = {0};
    int fd;

    start((struct http_server_opts){0});
    fd = h2c_dial(http_server_port(srv));
    CHECK_INT(send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL), sizeof(ask) - 1);
    for (int i = 0; i < 1000 && !h2c_has(&b, "HTTP/2"); i++) {
        ssize_t n = recv(fd, buf_reserve(&b, 4096), 4096, 0);

        b.len += n > 0 ? (size_t)n : 0;
        loop_run_once(loop, 2);
    }
    CHECK_HAS(&b, "HTTP/1.1 415 ");
    CHECK_HAS(&b, "gRPC needs HTTP/2");
    close(fd);
    stop();
    buf_done(&b);
}
