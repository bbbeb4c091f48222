#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/net/codec.h"
#include "common/net/http_server.h"
#include "common/net/http_server_internal.h"
#include "tests/unit/test.h"

static struct loop *loop;
static struct http_server *srv;
static struct http_request *kept; /* what /later has not answered */
static int cancels, drops;
static size_t streamed_left, body_seen;
static bool has_drained;

/* ---- handlers ---- */

static void on_echo(struct http_request *r)
{
    http_reply(r, 200, HTTP_TEXT, r->body);
}

static void on_param(struct http_request *r)
{
    struct buf out = {0};
    struct slice v;
    size_t pos = 0;
    struct err *e;

    if ((e = http_param_check(r))) {
        http_reply_err(r, e);
        return;
    }
    while (http_param_next(r, "match[]", &pos, &v))
        buf_printf(&out, "[%.*s]", SLICE_ARG(v));
    v = http_request_segment(r, "name");
    buf_printf(&out, " %.*s %s", SLICE_ARG(v), http_param_has(r, "none") ? "has" : "none");
    http_reply_buf(r, 200, HTTP_TEXT, &out);
}

static void on_cancelled(struct http_request *r)
{
    cancels++;
    CHECK(http_request_is_gone(r));
}

static void on_later(struct http_request *r)
{
    kept = r;
    r->on_cancel = on_cancelled;
}

static void on_big(struct http_request *r)
{
    struct buf out = {0};

    buf_fill(&out, 'x', 3u << 20);
    http_reply_buf(r, 200, HTTP_JSON, &out);
}

static void stream_more(struct http_request *r)
{
    static const char piece[10000] = {[0 ... 9999] = 'y'};

    while (streamed_left) {
        size_t n = ORR_MIN(streamed_left, sizeof(piece));

        streamed_left -= n;
        if (!http_reply_chunk(r, slice_of(piece, n)))
            return;
    }
    http_reply_end(r);
}

static void on_stream(struct http_request *r)
{
    http_reply_start(r, 200, HTTP_TEXT);
    http_reply_on_drain(r, stream_more);
    stream_more(r);
}

static void on_abort(struct http_request *r)
{
    http_reply_start(r, 200, HTTP_TEXT);
    (void)http_reply_chunk(r, SLICE("half"));
    http_reply_abort(r);
}

static struct err *admit(struct http_request *r)
{
    struct slice key = http_request_header(r, "x-key");

    r->max_body_bytes = 10;
    return slice_eq(key, SLICE("open")) ? NULL : err_new(ERR_UNAUTHORIZED, "no key");
}

static struct err *take_piece(struct http_request *r, struct slice piece)
{
    (void)r;
    body_seen += piece.len;
    return NULL;
}

/* Holds back after each piece; the test lets it go on. */
static struct err *take_and_pause(struct http_request *r, struct slice piece)
{
    body_seen += piece.len;
    kept = r;
    http_request_pause(r);
    return NULL;
}

static void on_count(struct http_request *r)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%zu", body_seen);
    http_reply(r, 200, HTTP_TEXT, slice_cstr(text));
}

static void on_drop(struct http_request *r)
{
    (void)r;
    drops++;
}

static void reply_json(struct http_request *r, struct err *e)
{
    struct buf out = {0};

    buf_printf(&out, "{\"error\":\"%s\"}", err_msg(e));
    http_reply_buf(r, err_code_http(err_code(e)), HTTP_JSON, &out);
    err_free(e);
}

static const struct http_route routes[] = {
    {.methods = HTTP_GET | HTTP_POST, .pattern = "/echo", .handler = on_echo, .on_drop = on_drop},
    {.methods = HTTP_GET | HTTP_POST, .pattern = "/p/{name}", .handler = on_param},
    {.methods = HTTP_GET, .pattern = "/later", .handler = on_later},
    {.methods = HTTP_GET, .pattern = "/big", .handler = on_big},
    {.methods = HTTP_GET, .pattern = "/stream", .handler = on_stream},
    {.methods = HTTP_GET, .pattern = "/abort", .handler = on_abort},
    {.methods = HTTP_POST,
     .pattern = "/locked",
     .handler = on_echo,
     .on_headers = admit,
     .reply_err = reply_json},
    {.methods = HTTP_POST, .pattern = "/raw", .handler = on_echo, .flags = HTTP_ROUTE_RAW_BODY},
    {.methods = HTTP_POST,
     .pattern = "/pieces",
     .handler = on_count,
     .on_body = take_piece,
     .max_body_bytes = 1 << 20},
    {.methods = HTTP_POST, .pattern = "/paused", .handler = on_count, .on_body = take_and_pause},
};

/* ---- one loop, and sockets that talk to it ---- */

static void start(struct http_server_opts opts)
{
    opts.addr = "127.0.0.1:0";
    cancels = drops = 0;
    kept = NULL;
    body_seen = 0;
    has_drained = false;
    CHECK_OK(loop_new("test", &loop));
    CHECK_OK(http_server_new(&opts, &loop, 1, &srv));
    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(srv, &routes[i]);
    CHECK_OK(http_server_listen(srv));
}

static void stop(void)
{
    http_server_free(srv);
    loop_free(loop);
}

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(http_server_port(srv))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void turn(void)
{
    loop_run_once(loop, 2);
}

static void send_bytes(int fd, struct slice s)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (s.len && clock_mono_ms(&clock_system) < until) {
        ssize_t n = send(fd, s.ptr, s.len, MSG_NOSIGNAL);

        if (n > 0)
            s = slice_from(s, (size_t)n);
        else if (errno != EAGAIN)
            return;
        turn();
    }
}

static void send_text(int fd, const char *text)
{
    send_bytes(fd, slice_cstr(text));
}

/* Reads into b until it contains want (NULL: until the end). False after ten seconds. */
static bool receive(int fd, struct buf *b, const char *want)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (clock_mono_ms(&clock_system) < until) {
        uint8_t *p = buf_reserve(b, 65536);
        ssize_t n = recv(fd, p, 65536, 0);

        if (n > 0)
            b->len += (size_t)n;
        if (want && b->len && slice_find(buf_slice(b), slice_cstr(want), 0) >= 0)
            return true;
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return want == NULL;
        turn();
    }
    return false;
}

/* One exchange on its own connection; the answer up to where the server closes or want comes. */
static void ask(const char *request, const char *want)
{
    struct buf b = {0};
    int fd = dial();

    send_text(fd, request);
    if (!receive(fd, &b, want))
        test_fail(__FILE__, __LINE__, "no \"%s\" in \"%s\" for %s", want, buf_cstr(&b), request);
    buf_done(&b);
    close(fd);
}

static void settle(size_t connections)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (http_server_connections(srv) != connections && clock_mono_ms(&clock_system) < until)
        turn();
    CHECK_INT(http_server_connections(srv), connections);
}

#define H "Host: h\r\n"

TEST(http_server_answers)
{
    start((struct http_server_opts){0});
    ask("GET /echo HTTP/1.1\r\n" H "\r\n", "HTTP/1.1 200 OK\r\nDate: ");
    ask("POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", "\r\n\r\nhello");
    ask("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n"
        "\r\n",
        "Content-Length: 5\r\n\r\nhello");
    ask("GET /nowhere HTTP/1.1\r\n" H "\r\n", "404 Not Found");
    ask("DELETE /echo HTTP/1.1\r\n" H "\r\n", "Allow: GET, HEAD, POST\r\n");
    ask("OPTIONS /echo HTTP/1.1\r\n" H "\r\n", "204 No Content");
    ask("GET /echo HTTP/1.1\r\n\r\n", "400 Bad Request");
    ask("GET /%zz HTTP/1.1\r\n" H "\r\n", "400 Bad Request");
    ask("GET /echo HTTP/3.0\r\n\r\n", "505 ");
    ask("GET /echo HTTP/1.0\r\n\r\n", "Connection: close");
    ask("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "Connection: keep-alive");
    ask("HEAD /big HTTP/1.1\r\n" H "Connection: close\r\n\r\n", "Content-Length: 3145728\r\n");
    ask("GET /p/a%20b?match[]=1&match%5B%5D=2 HTTP/1.1\r\n" H "\r\n", "[1][2] a b none");
    ask("POST /p/x?match[]=q HTTP/1.1\r\n" H "Content-Length: 9\r\n"
        "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n\r\nmatch[]=f",
        "[f][q] x none");
    ask("GET /p/x?a=%z HTTP/1.1\r\n" H "\r\n", "400 ");
    settle(0);
    stop();
}

TEST(http_server_pipelines_in_order)
{
    struct buf b = {0};
    int fd;

    start((struct http_server_opts){0});
    fd = dial();
    for (int i = 0; i < 500; i++) {
        char text[128];

        (void)snprintf(text, sizeof(text),
                       "POST /echo HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\n%06d", i);
        send_text(fd, text);
    }
    CHECK(receive(fd, &b, "000499"));
    for (int i = 0, at = 0; i < 500; i++) {
        char text[16];
        ptrdiff_t found;

        (void)snprintf(text, sizeof(text), "\r\n\r\n%06d", i);
        found = slice_find(buf_slice(&b), slice_cstr(text), (size_t)at);
        CHECK(found >= at);
        at = (int)found;
    }
    /* while one waits, the next stays where it is */
    buf_reset(&b);
    send_text(fd, "GET /later HTTP/1.1\r\n" H "\r\nGET /p/next HTTP/1.1\r\n" H "\r\n");
    while (!kept)
        turn();
    for (int i = 0; i < 5; i++)
        turn();
    CHECK_INT(recv(fd, buf_reserve(&b, 10), 10, 0), -1);
    http_reply(kept, 200, HTTP_TEXT, SLICE("first"));
    CHECK(receive(fd, &b, " next none"));
    CHECK(slice_find(buf_slice(&b), SLICE("first"), 0) > 0);
    close(fd);
    buf_done(&b);
    settle(0);
    stop();
}

TEST(http_server_refuses_before_the_body)
{
    start((struct http_server_opts){.max_body_bytes = 1000, .linger_ms = 200});
    ask("POST /echo HTTP/1.1\r\n" H "Content-Length: 100000000\r\n\r\n", "413 Content Too Large");
    ask("POST /echo HTTP/1.1\r\n" H "Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n",
        "413 Content Too Large");
    ask("POST /echo HTTP/1.1\r\n" H "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n");
    settle(0);
    CHECK_INT(drops, 3); /* the two above, and the one whose client went */
    ask("POST /locked HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", "{\"error\":\"no key\"}");
    ask("POST /locked HTTP/1.1\r\n" H "X-Key: open\r\nContent-Length: 11\r\n\r\n", "413 ");
    ask("POST /locked HTTP/1.1\r\n" H "X-Key: open\r\nContent-Length: 5\r\n\r\nhello", "hello");
    stop();
}

/* Nothing is waited for that would be refused. */
TEST(http_server_refuses_a_chunk_that_announces_too_much)
{
    start((struct http_server_opts){.max_body_bytes = 1000});
    ask("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
        "413 Content Too Large");
    ask("POST /echo HTTP/1.1\r\n" H
        "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nfffffffffffffff\r\nx",
        "413 Content Too Large");
    ask("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "400 ");
    stop();
}

TEST(http_server_reads_chunked_up_to_the_limit)
{
    struct buf b = {0}, text = {0};
    int fd;

    start((struct http_server_opts){.max_body_bytes = 1000});
    buf_str(&text, "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n400\r\n");
    buf_fill(&text, 'a', 0x400);
    fd = dial();
    send_bytes(fd, buf_slice(&text));
    CHECK(receive(fd, &b, "413 "));
    close(fd);
    settle(0);
    buf_done(&b);
    buf_done(&text);
    stop();
}

TEST(http_server_large_bodies_arrive_whole)
{
    struct buf body = {0}, text = {0}, b = {0};
    int fd;

    start((struct http_server_opts){0});
    for (uint32_t i = 0; i < 300000; i++)
        buf_u32le(&body, i);
    buf_printf(&text, "POST /raw HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n", body.len);
    buf_slice_append(&text, buf_slice(&body));
    fd = dial();
    send_bytes(fd, buf_slice(&text));
    while (b.len < body.len + 50 && receive(fd, &b, "HTTP"))
        ;
    CHECK(slice_has_suffix(buf_slice(&b), buf_slice(&body)));
    /* and in pieces */
    buf_reset(&text);
    buf_reset(&b);
    buf_printf(&text, "POST /pieces HTTP/1.1\r\n" H "Content-Length: 500000\r\n\r\n");
    buf_append(&text, body.ptr, 500000);
    send_bytes(fd, buf_slice(&text));
    CHECK(receive(fd, &b, "\r\n\r\n500000"));
    close(fd);
    buf_done(&b);
    buf_done(&text);
    buf_done(&body);
    stop();
}

static void ask_encoded(const char *path, const char *coding, struct slice body, const char *want)
{
    struct buf text = {0}, b = {0};
    int fd = dial();

    buf_printf(&text,
               "POST %s HTTP/1.1\r\n" H "Content-Encoding: %s\r\nContent-Length: %zu\r\n\r\n", path,
               coding, body.len);
    buf_slice_append(&text, body);
    send_bytes(fd, buf_slice(&text));
    if (!receive(fd, &b, want))
        test_fail(__FILE__, __LINE__, "%s: no %s in %s", coding, want, buf_cstr(&b));
    close(fd);
    buf_done(&text);
    buf_done(&b);
}

TEST(http_server_decodes_bodies_within_bounds)
{
    static const enum codec all[] = {CODEC_GZIP, CODEC_DEFLATE, CODEC_ZSTD, CODEC_SNAPPY};
    struct buf enc = {0}, zeros = {0};

    start((struct http_server_opts){.max_body_bytes = 100000});
    buf_fill(&zeros, '0', 1000000);
    for (size_t i = 0; i < ORR_COUNT(all); i++) {
        const char *name = codec_name(all[i]);

        buf_reset(&enc);
        CHECK_OK(codec_encode(all[i], 0, SLICE("some plain text"), &enc));
        ask_encoded("/echo", name, buf_slice(&enc), "\r\n\r\nsome plain text");
        ask_encoded("/echo", name, SLICE("\xff\xff\xff\xff\xff\xff\xff"), "400 Bad Request");
        buf_reset(&enc);
        CHECK_OK(codec_encode(all[i], 0, buf_slice(&zeros), &enc));
        ask_encoded("/echo", name, buf_slice(&enc), "413 Content Too Large");
    }
    ask_encoded("/raw", "snappy", SLICE("as it is"), "\r\n\r\nas it is");
    ask_encoded("/echo", "br", SLICE("x"), "415 Unsupported Media Type");
    ask_encoded("/echo", "gzip, gzip", SLICE("x"), "415 Unsupported Media Type");
    ask_encoded("/pieces", "gzip", SLICE("x"), "415 Unsupported Media Type");
    settle(0);
    CHECK_INT(srv->m.body_bytes, 0);
    buf_done(&enc);
    buf_done(&zeros);
    stop();
}

/* The body of a chunked reply. */
static void unchunk(struct slice reply, struct buf *ret)
{
    ptrdiff_t at = slice_find(reply, SLICE("\r\n\r\n"), 0);
    struct http_chunked c = {0};
    struct slice in = slice_from(reply, (size_t)at + 4), piece;

    while (http_chunked_feed(&c, &in, &piece) == HTTP_CHUNKED_DATA)
        buf_slice_append(ret, piece);
    CHECK_INT(http_chunked_feed(&c, &in, &piece), HTTP_CHUNKED_END);
}

TEST(http_server_compresses_replies)
{
    static const char *const accepts[] = {"gzip", "br, zstd;q=0.5, gzip", "zstd;q=0, gzip;q=1"};
    static const enum codec codecs[] = {CODEC_GZIP, CODEC_ZSTD, CODEC_GZIP};

    start((struct http_server_opts){0});
    for (size_t i = 0; i < ORR_COUNT(accepts); i++) {
        for (int streamed = 0; streamed < 2; streamed++) {
            struct buf text = {0}, b = {0}, enc = {0}, dec = {0};
            int fd = dial();

            streamed_left = 1000000;
            buf_printf(&text,
                       "GET %s HTTP/1.1\r\n" H "Connection: close\r\nAccept-Encoding: %s\r\n\r\n",
                       streamed ? "/stream" : "/big", accepts[i]);
            send_bytes(fd, buf_slice(&text));
            CHECK(receive(fd, &b, NULL));
            CHECK(slice_find(buf_slice(&b), SLICE("Content-Encoding: "), 0) > 0);
            unchunk(buf_slice(&b), &enc);
            CHECK_OK(codec_decode(codecs[i], buf_slice(&enc), 4u << 20, &dec));
            CHECK_INT(dec.len, streamed ? 1000000 : 3u << 20);
            CHECK(enc.len < dec.len / 10);
            close(fd);
            buf_done(&text);
            buf_done(&b);
            buf_done(&enc);
            buf_done(&dec);
        }
    }
    stop();
}

TEST(http_server_streams_with_backpressure)
{
    struct buf b = {0}, plain = {0};
    int fd;

    start((struct http_server_opts){.output_high_bytes = 50000});
    streamed_left = 20000000;
    fd = dial();
    send_text(fd, "GET /stream HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
    for (int i = 0; i < 200; i++)
        turn();
    CHECK(streamed_left > 5000000); /* nobody reads: the handler was told to wait */
    CHECK(receive(fd, &b, NULL));
    unchunk(buf_slice(&b), &plain);
    CHECK_INT(plain.len, 20000000);
    close(fd);
    buf_reset(&b);
    streamed_left = 100000;
    fd = dial();
    send_text(fd, "GET /stream HTTP/1.0\r\n\r\n");
    CHECK(receive(fd, &b, NULL));
    CHECK(slice_find(buf_slice(&b), SLICE("chunked"), 0) < 0);
    CHECK(b.len > 100000);
    close(fd);
    buf_reset(&b);
    fd = dial();
    send_text(fd, "GET /abort HTTP/1.1\r\n" H "\r\n");
    CHECK(receive(fd, &b, NULL));
    CHECK(slice_find(buf_slice(&b), SLICE("\r\n0\r\n"), 0) < 0);
    close(fd);
    buf_done(&b);
    buf_done(&plain);
    stop();
}

TEST(http_server_tells_when_the_client_goes)
{
    int fd;

    start((struct http_server_opts){0});
    fd = dial();
    send_text(fd, "GET /later HTTP/1.1\r\n" H "\r\n");
    while (!kept)
        turn();
    close(fd);
    while (!cancels)
        turn();
    http_reply(kept, 200, HTTP_TEXT, SLICE("too late"));
    settle(0);
    CHECK_INT(cancels, 1);
    CHECK_INT(http_server_inflight(srv), 0);
    /* a reset, and a stream into it */
    streamed_left = 50000000;
    fd = dial();
    send_text(fd, "GET /stream HTTP/1.1\r\n" H "\r\n");
    turn();
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd);
    settle(0);
    CHECK_INT(http_server_inflight(srv), 0);
    CHECK_INT(streamed_left, 0);
    /* a handler that never replies is forgotten with its server */
    kept = NULL;
    fd = dial();
    send_text(fd, "GET /later HTTP/1.1\r\n" H "\r\n");
    while (!kept)
        turn();
    stop();
    CHECK_INT(cancels, 2);
    close(fd);
}

TEST(http_server_drops_slow_clients)
{
    struct buf b = {0};
    int fd, idle, body;

    start((struct http_server_opts){.header_timeout_ms = 30,
                                    .idle_timeout_ms = 60,
                                    .body_grace_ms = 30,
                                    .body_min_rate = 1000000,
                                    .linger_ms = 20});
    fd = dial();
    idle = dial();
    body = dial();
    send_text(fd, "GET /echo HTTP/1.1\r\nX: ");
    send_text(body, "POST /echo HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\nabc");
    CHECK(receive(fd, &b, "408 Request Timeout"));
    buf_reset(&b);
    CHECK(receive(body, &b, "408 Request Timeout"));
    buf_reset(&b);
    CHECK(receive(idle, &b, NULL));
    CHECK_INT(b.len, 0);
    settle(0);
    CHECK(srv->rejects[REJECT_SLOW] == 2);
    close(fd);
    close(idle);
    close(body);
    /* one that does not read its reply */
    buf_done(&b);
    stop();
    start((struct http_server_opts){.write_timeout_ms = 40});
    streamed_left = 50000000;
    fd = dial();
    send_text(fd, "GET /stream HTTP/1.1\r\n" H "\r\n");
    while (srv->rejects[REJECT_SLOW] == 0)
        turn();
    close(fd);
    http_server_free(srv);
    loop_free(loop);
}

TEST(http_server_bounds_connections_and_bodies)
{
    struct buf b = {0};
    int fds[3], fd;

    start((struct http_server_opts){.max_connections = 3, .max_inflight_body_bytes = 1000});
    for (int i = 0; i < 3; i++)
        fds[i] = dial();
    settle(3);
    fd = dial();
    CHECK(receive(fd, &b, "503 Service Unavailable"));
    close(fd);
    for (int i = 1; i < 3; i++)
        close(fds[i]);
    settle(1);
    buf_reset(&b);
    send_text(fds[0], "POST /echo HTTP/1.1\r\n" H "Content-Length: 900\r\n\r\n");
    fd = dial();
    send_text(fd, "POST /echo HTTP/1.1\r\n" H "Content-Length: 200\r\n\r\n");
    CHECK(receive(fd, &b, "Retry-After: 1"));
    CHECK(slice_has_prefix(buf_slice(&b), SLICE("HTTP/1.1 503 ")));
    close(fd);
    close(fds[0]);
    settle(0);
    CHECK_INT(srv->m.body_bytes, 0);
    buf_done(&b);
    stop();
}

static void on_drained(void *arg)
{
    (void)arg;
    has_drained = true;
}

TEST(http_server_drains)
{
    struct buf b = {0};
    int busy, idle;

    start((struct http_server_opts){0});
    busy = dial();
    idle = dial();
    send_text(busy, "GET /later HTTP/1.1\r\n" H "\r\n");
    while (!kept)
        turn();
    settle(2);
    http_server_drain(srv, 60000, on_drained, NULL);
    CHECK(receive(idle, &b, NULL));
    CHECK(!has_drained);
    http_reply(kept, 200, HTTP_TEXT, SLICE("the last"));
    CHECK(receive(busy, &b, NULL));
    CHECK(slice_find(buf_slice(&b), SLICE("Connection: close"), 0) > 0);
    CHECK(slice_find(buf_slice(&b), SLICE("the last"), 0) > 0);
    while (!has_drained)
        turn();
    close(busy);
    close(idle);
    buf_done(&b);
    stop();
    /* one that does not end in time is cut off */
    start((struct http_server_opts){0});
    busy = dial();
    send_text(busy, "GET /later HTTP/1.1\r\n" H "\r\n");
    while (!kept)
        turn();
    http_server_drain(srv, 20, on_drained, NULL);
    while (!has_drained)
        turn();
    CHECK_INT(cancels, 1);
    close(busy);
    stop();
}

TEST(http_server_idle_connections_are_cheap)
{
    enum { N = 400 };
    size_t before, after;
    int fds[N];

    CHECK(sizeof(struct conn) < 1024);
    start((struct http_server_opts){0});
    ask("GET /echo HTTP/1.1\r\n" H "\r\n", "200 OK"); /* what the first one allocates for all */
    settle(0);
    before = mallinfo2().uordblks;
    for (int i = 0; i < N; i++) {
        fds[i] = dial();
        send_text(fds[i], "GET /echo HTTP/1.1\r\n" H "\r\n");
    }
    settle(N);
    while (http_server_inflight(srv))
        turn();
    for (int i = 0; i < 5; i++)
        turn();
    for (struct conn *c = srv->loops[0].idle.first; c; c = c->next)
        CHECK(!c->in.ptr && !c->out && !c->x);
    CHECK(!srv->loops[0].exchanges && !srv->loops[0].active.first);
    after = mallinfo2().uordblks; /* libevent's tables of descriptors included; sanitizers say 0 */
    CHECK(after <= before || (after - before) / N < 2048);
    for (int i = 0; i < N; i++)
        close(fds[i]);
    settle(0);
    stop();
}

TEST(http_server_holds_body_pieces_back)
{
    static const char *const requests[] = {
        "POST /paused HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n",
        "POST /paused HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo",
    };
    static const char *const rests[] = {"hello", "\r\n0\r\n\r\n"};
    struct buf b = {0};

    start((struct http_server_opts){0});
    for (size_t i = 0; i < 2; i++) {
        int fd = dial();

        kept = NULL;
        body_seen = 0;
        send_text(fd, requests[i]);
        turn();
        send_text(fd, rests[i]);
        while (!kept)
            turn();
        for (int j = 0; j < 5; j++)
            turn();
        CHECK_INT(body_seen, i == 0 ? 5 : 2);
        http_request_resume(kept);
        if (i == 1) {
            for (int j = 0; j < 5; j++)
                turn();
            CHECK_INT(body_seen, 5);
            http_request_resume(kept);
        }
        buf_reset(&b);
        CHECK(receive(fd, &b, "\r\n\r\n5"));
        close(fd);
    }
    settle(0);
    buf_done(&b);
    stop();
}

TEST(http_server_survives_failing_sockets)
{
    static const char *const points[] = {"net.read", "net.write"};
    struct buf b = {0};

    start((struct http_server_opts){0});
    for (size_t i = 0; i < ORR_COUNT(points); i++) {
        int fd = dial();

        settle(1);
        fault_arm_point(points[i], EIO);
        send_text(fd, "GET /echo HTTP/1.1\r\n" H "\r\n");
        settle(0);
        fault_arm_point(points[i], 0);
        ask("GET /echo HTTP/1.1\r\n" H "\r\n", "200 OK");
        settle(0);
        close(fd);
    }
    CHECK_INT(http_server_inflight(srv), 0);
    buf_done(&b);
    stop();
}

TEST(http_server_takes_single_bytes)
{
    static const char text[] =
        "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\none"
        "\r\nGET /p/two HTTP/1.1\r\n" H "\r\n"
        "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n2\r\nth\r\n3;x\r\nree\r\n0"
        "\r\nT: t\r\n\r\n"
        "POST /pieces HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nfour"
        "GET /echo HTTP/1.1\r\n" H "Connection: close\r\n\r\n";
    struct buf b = {0};
    int fd;

    start((struct http_server_opts){0});
    fd = dial();
    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        send_bytes(fd, slice_of(text + i, 1));
        loop_run_once(loop, 0);
    }
    CHECK(receive(fd, &b, NULL));
    CHECK(slice_find(buf_slice(&b), SLICE("\r\n\r\none"), 0) > 0);
    CHECK(slice_find(buf_slice(&b), SLICE(" two none"), 0) > 0);
    CHECK(slice_find(buf_slice(&b), SLICE("\r\n\r\nthree"), 0) > 0);
    CHECK(slice_find(buf_slice(&b), SLICE("\r\n\r\n4"), 0) > 0);
    CHECK(slice_has_suffix(buf_slice(&b), SLICE("Connection: close\r\n\r\n")));
    close(fd);
    buf_done(&b);
    stop();
}

TEST(http_server_on_several_loops)
{
    struct loop *loops[3];
    struct http_server *many;

    for (int i = 0; i < 3; i++)
        CHECK_OK(loop_new("many", &loops[i]));
    CHECK_OK(http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0"}, loops, 3, &many));
    http_server_route(many, &routes[0]);
    CHECK_OK(http_server_listen(many));
    for (int i = 0; i < 3; i++)
        CHECK_OK(loop_start(loops[i]));
    for (int i = 0; i < 60; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(http_server_port(many))};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        char text[512] = "";

        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
        CHECK(send(fd, "GET /echo HTTP/1.0\r\n\r\n", 22, 0) == 22);
        CHECK(recv(fd, text, sizeof(text) - 1, 0) > 0);
        CHECK(strncmp(text, "HTTP/1.1 200", 12) == 0);
        close(fd);
    }
    for (int i = 0; i < 3; i++)
        loop_join(loops[i]);
    http_server_free(many);
    for (int i = 0; i < 3; i++)
        loop_free(loops[i]);
}
