#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/net/websocket.h"
#include "tests/unit/test.h"

/* One server, raw sockets, one loop in one thread. */
static struct loop *loop;
static struct http_server *srv;
static struct websocket *ws; /* the last one accepted, while it lives */
static struct http_request *kept;
static bool keeps; /* the handler accepts later */
static int closes;
static unsigned close_code;
static struct buf heard;
static struct websocket_opts opts;

static void on_message(struct websocket *w, bool is_text, struct slice payload)
{
    CHECK(websocket_arg(w) == &heard);
    buf_printf(&heard, "%c(%.*s)", is_text ? 't' : 'b', SLICE_ARG(payload));
    if (slice_eq_cstr(payload, "end")) {
        websocket_close(w, 4000, SLICE("as you say"));
        ws = NULL;
        return;
    }
    websocket_send(w, payload);
}

static void on_close(struct websocket *w, unsigned code, struct slice reason)
{
    CHECK(w == ws);
    (void)reason;
    closes++;
    close_code = code;
    ws = NULL;
}

static void accept_it(struct http_request *r)
{
    ws = websocket_accept(r, &opts);
}

static void on_request(struct http_request *r)
{
    struct err *e = websocket_check(r);

    if (e)
        http_reply_err(r, e);
    else if (keeps)
        kept = r;
    else
        accept_it(r);
}

static void start(struct http_server_opts so)
{
    so.addr = "127.0.0.1:0";
    ws = NULL;
    kept = NULL;
    keeps = false;
    closes = 0;
    opts = (struct websocket_opts){
        .max_message_bytes = 1000, .on_message = on_message, .on_close = on_close, .arg = &heard};
    CHECK_OK(loop_new("test", &loop));
    CHECK_OK(http_server_new(&so, &loop, 1, &srv));
    http_server_route(srv, &(struct http_route){.methods = HTTP_GET | HTTP_POST,
                                                .pattern = "/ws",
                                                .handler = on_request});
    CHECK_OK(http_server_listen(srv));
}

static void stop(void)
{
    http_server_free(srv);
    loop_free(loop);
    buf_done(&heard);
}

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(http_server_port(srv))};
    int fd = socket(AF_INET, SOCK_STREAM, 0), small = 4096;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void send_all(int fd, struct slice s)
{
    while (s.len) {
        ssize_t n = send(fd, s.ptr, s.len, MSG_NOSIGNAL);

        if (n > 0)
            s = slice_from(s, (size_t)n);
        else if (errno != EAGAIN)
            return;
        loop_run_once(loop, 2);
    }
}

static void put(struct buf *b, int first, const char *payload)
{
    size_t n = strlen(payload);

    buf_byte(b, (uint8_t)first);
    buf_byte(b, (uint8_t)(0x80 | n));
    buf_append(b, "\0\0\0\0", 4); /* a mask that changes nothing */
    buf_append(b, payload, n);
}

static void send_frame(int fd, int first, const char *payload)
{
    struct buf b = {0};

    put(&b, first, payload);
    send_all(fd, buf_slice(&b));
    buf_done(&b);
}

/* Until want has come; NULL: until the end. */
static void receive(int fd, struct slice want)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;
    struct buf b = {0};

    while (clock_mono_ms(&clock_system) < until) {
        ssize_t n = recv(fd, buf_reserve(&b, 65536), 65536, 0);

        if (n > 0)
            b.len += (size_t)n;
        if (want.ptr && slice_find(buf_slice(&b), want, 0) >= 0)
            break;
        if (!want.ptr && (n == 0 || (n < 0 && errno != EAGAIN)))
            break;
        if (n == 0 || clock_mono_ms(&clock_system) >= until)
            test_fail(__FILE__, __LINE__, "it did not come, but %zu bytes", b.len);
        loop_run_once(loop, 2);
    }
    buf_done(&b);
}

#define HEAD                                                                                       \
    "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"     \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ACCEPTED "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

static int open_ws(void)
{
    int fd = dial();

    send_all(fd, SLICE(HEAD "\r\n"));
    receive(fd, SLICE(ACCEPTED));
    CHECK(ws);
    return fd;
}

static void settle(void)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (http_server_connections(srv) && clock_mono_ms(&clock_system) < until)
        loop_run_once(loop, 2);
    CHECK_INT(http_server_connections(srv), 0);
    CHECK_INT(http_server_inflight(srv), 0);
}

TEST(websocket_answers)
{
    int fd;

    start((struct http_server_opts){0});
    fd = open_ws();
    send_frame(fd, 0x81, "hello");
    receive(fd, SLICE("\x81\x05hello"));
    send_frame(fd, 0x89, "there?");
    receive(fd, SLICE("\x8a\x06there?"));
    send_frame(fd, 0x8a, "unasked");
    websocket_send(ws, SLICE("by itself"));
    receive(fd, SLICE("\x81\x09"
                      "by itself"));
    send_frame(fd, 0x88, "\x03\xe9");
    receive(fd, SLICE("\x88\x02\x03\xe9"));
    receive(fd, (struct slice){0}); /* and the connection is closed */
    CHECK(closes == 1 && close_code == 1001);
    CHECK_SLICE(buf_slice(&heard), "t(hello)");
    close(fd);
    settle();
    stop();
}

TEST(websocket_takes_what_came_with_the_handshake_and_after_it)
{
    struct buf b = {0};
    int fd;

    start((struct http_server_opts){0});
    fd = dial();
    buf_str(&b, HEAD "\r\n");
    put(&b, 0x81, "early");
    send_all(fd, buf_slice(&b));
    receive(fd, SLICE("\x81\x05"
                      "early"));
    close(fd);
    keeps = true; /* the same, accepted later */
    fd = dial();
    send_all(fd, buf_slice(&b));
    while (!kept)
        loop_run_once(loop, 2);
    ws = NULL;
    loop_run_once(loop, 2);
    accept_it(kept);
    receive(fd, SLICE("\x81\x05"
                      "early"));
    send_frame(fd, 0x81, "end"); /* closed from within its own callback */
    receive(fd, SLICE("\x88\x0c\x0f\xa0"
                      "as you say"));
    closes = 0;
    close(fd);
    settle();
    CHECK_INT(closes, 0);
    buf_done(&b);
    stop();
}

TEST(websocket_accepts_nobody_who_has_gone)
{
    int fd;

    start((struct http_server_opts){0});
    keeps = true;
    fd = dial();
    send_all(fd, SLICE(HEAD "\r\n"));
    while (!kept)
        loop_run_once(loop, 2);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd); /* a reset: there is nobody to answer */
    while (!http_request_is_gone(kept))
        loop_run_once(loop, 2);
    accept_it(kept);
    CHECK(!ws && closes == 0);
    settle();
    stop();
}

TEST(websocket_is_asked_for_properly_or_refused)
{
    static const char *const bad[] = {
        "GET /ws HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /ws HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
        "13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "POST /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 0\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\nSec-WebSocket-Version: 8\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: "
        "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: c2hvcnQ=\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    };

    start((struct http_server_opts){0});
    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        int fd = dial();

        send_all(fd, slice_cstr(bad[i]));
        receive(fd, SLICE("400 Bad Request"));
        close(fd);
    }
    CHECK(!ws);
    settle();
    stop();
}

TEST(websocket_breaches_end_it_with_their_code)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *answer; /* the first four bytes of the close frame */
        unsigned code;
    } cases[] = {
        {"\x81\x05hello", 7, "\x88\x17\x03\xea", 1002}, /* a frame is not masked */
        {"\xf1\x80\0\0\0\0", 6, "\x88\x17\x03\xea", 1002},
        {"\x81\x81\0\0\0\0\xff", 7, "\x88\x15\x03\xef", 1007},
        {"\x81\xfe\x10\0\0\0\0\0", 8, "\x88\x17\x03\xf1", 1009},
    };

    start((struct http_server_opts){0});
    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        int fd = open_ws();

        closes = 0;
        send_all(fd, slice_of(cases[i].bytes, cases[i].n));
        receive(fd, slice_of(cases[i].answer, 4));
        receive(fd, (struct slice){0});
        CHECK(closes == 1 && close_code == cases[i].code);
        close(fd);
    }
    settle();
    stop();
}

TEST(websocket_who_is_silent_is_asked_and_then_dropped)
{
    int fd;

    start((struct http_server_opts){.idle_timeout_ms = 40, .header_timeout_ms = 40});
    opts.ping_ms = 60;
    fd = open_ws();
    receive(fd, SLICE("\x89\x00"));
    send_frame(fd, 0x8a, ""); /* is there */
    receive(fd, SLICE("\x89\x00"));
    CHECK(closes == 0);
    receive(fd, (struct slice){0});
    CHECK(closes == 1 && close_code == 1006);
    close(fd);
    settle();
    stop();
}

TEST(websocket_who_does_not_read_is_dropped)
{
    static uint8_t big[64 * 1024];
    int fd;

    start((struct http_server_opts){.write_timeout_ms = 100});
    memset(big, 'x', sizeof(big));
    fd = open_ws();
    while (ws && websocket_waiting(ws) < 16u << 20) /* more than sockets hold */ {
        websocket_send(ws, slice_of(big, sizeof(big)));
        loop_run_once(loop, 0);
    }
    for (int i = 0; ws && i < 2000; i++)
        loop_run_once(loop, 5);
    CHECK(!ws && closes == 1);
    close(fd);
    settle();
    stop();
}

static void on_drained(void *arg)
{
    *(bool *)arg = true;
}

TEST(websocket_hears_that_the_server_stops)
{
    bool has_drained = false;
    int fd;

    start((struct http_server_opts){0});
    fd = open_ws();
    http_server_drain(srv, 5000, on_drained, &has_drained);
    receive(fd, SLICE("\x88\x1d\x03\xe9"));
    CHECK(closes == 1 && close_code == 1001);
    close(fd);
    while (!has_drained)
        loop_run_once(loop, 2);
    stop();
}

TEST(websocket_goes_with_its_server)
{
    int fd;

    start((struct http_server_opts){0});
    fd = open_ws();
    stop();
    CHECK(closes == 1 && close_code == 1006);
    close(fd);
}
