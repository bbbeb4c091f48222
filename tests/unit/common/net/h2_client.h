/*
 * A client of HTTP/2 for tests: one connection on nghttp2, driven turn by turn together with the
 * loop of the server that it talks to. What came is kept as text, so that tests can look for words:
 * "status: 200\n" and the like in head and trailers.
 */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "tests/unit/test.h"

#define H2C_STREAMS_MAX 2048

struct h2c_reply {
    struct buf head, body, trailers;
    bool has_head, has_data, is_closed;
    uint32_t error; /* of RST_STREAM; 0 when it ended well */
    size_t data_frames;
};

struct h2c {
    struct loop *loop;
    int fd;
    nghttp2_session *session;
    struct h2c_reply replies[H2C_STREAMS_MAX]; /* by stream id / 2 */
    bool is_gone;                              /* the server has closed */
    bool has_goaway, holds_window;
    uint32_t goaway;
    int32_t goaway_last;
    int settings, pings;
};

static inline bool h2c_has(const struct buf *b, const char *text)
{
    return b->len && slice_find(buf_slice(b), slice_cstr(text), 0) >= 0;
}

static struct h2c_reply *h2c_reply(struct h2c *c, int32_t id)
{
    ORR_ASSERT(id > 0 && id / 2 < H2C_STREAMS_MAX);
    return &c->replies[id / 2];
}

static int h2c_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                         size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                         void *arg)
{
    struct h2c_reply *r = h2c_reply(arg, frame->hd.stream_id);
    struct buf *b = r->has_head ? &r->trailers : &r->head;

    (void)session, (void)flags;
    if (name_len && name[0] == ':')
        name++, name_len--;
    buf_printf(b, "%.*s: %.*s\n", (int)name_len, name, (int)value_len, value);
    return 0;
}

static int h2c_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2c *c = arg;

    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        h2c_reply(c, frame->hd.stream_id)->has_head |= /* not 100 */
            !h2c_has(&h2c_reply(c, frame->hd.stream_id)->head, "status: 1") ||
            frame->headers.cat == NGHTTP2_HCAT_HEADERS;
        break;
    case NGHTTP2_GOAWAY:
        c->has_goaway = true;
        c->goaway = frame->goaway.error_code;
        c->goaway_last = frame->goaway.last_stream_id;
        break;
    case NGHTTP2_SETTINGS:
        c->settings++;
        break;
    case NGHTTP2_PING:
        c->pings++;
        break;
    default:
        break;
    }
    return 0;
}

static int h2c_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                       size_t len, void *arg)
{
    struct h2c *c = arg;
    struct h2c_reply *r = h2c_reply(c, id);

    (void)flags;
    buf_append(&r->body, data, len);
    r->has_data = true;
    r->data_frames++;
    if (!c->holds_window)
        (void)nghttp2_session_consume(session, id, len);
    return 0;
}

static int h2c_on_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    struct h2c_reply *r = h2c_reply(arg, id);

    (void)session;
    r->is_closed = true;
    r->error = error;
    return 0;
}

static ssize_t h2c_on_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags,
                           void *arg)
{
    struct h2c *c = arg;
    ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);

    (void)session, (void)flags;
    if (n >= 0)
        return n;
    return errno == EAGAIN ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int h2c_dial(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static struct h2c *h2c_new_on(struct loop *loop, int fd)
{
    struct h2c *c = mem_new(struct h2c);
    nghttp2_session_callbacks *cb;
    nghttp2_option *option;

    c->loop = loop;
    c->fd = fd;
    CHECK_INT(nghttp2_session_callbacks_new(&cb), 0);
    CHECK_INT(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_callbacks_set_send_callback(cb, h2c_on_send);
    nghttp2_session_callbacks_set_on_header_callback(cb, h2c_on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2c_on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2c_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2c_on_close);
    CHECK_INT(nghttp2_session_client_new2(&c->session, cb, c, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    CHECK_INT(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
    return c;
}

static inline struct h2c *h2c_new(struct loop *loop, uint16_t port)
{
    return h2c_new_on(loop, h2c_dial(port));
}

static void h2c_free(struct h2c *c)
{
    nghttp2_session_del(c->session);
    if (c->fd >= 0)
        close(c->fd);
    for (size_t i = 0; i < H2C_STREAMS_MAX; i++) {
        buf_done(&c->replies[i].head);
        buf_done(&c->replies[i].body);
        buf_done(&c->replies[i].trailers);
    }
    mem_free(c);
}

/* Sends what waits, lets the server have a turn, takes what came. */
static void h2c_turn(struct h2c *c)
{
    uint8_t bytes[65536];
    ssize_t n;

    (void)nghttp2_session_send(c->session);
    loop_run_once(c->loop, 2);
    while (!c->is_gone && (n = recv(c->fd, bytes, sizeof(bytes), 0)) != -1) {
        if (n == 0 || nghttp2_session_mem_recv(c->session, bytes, (size_t)n) < 0)
            c->is_gone = true;
    }
    if (errno == ECONNRESET)
        c->is_gone = true;
    (void)nghttp2_session_send(c->session);
}

/* A body that is sent bit by bit: until is_ended, when it is empty, there is more to come. */
struct h2c_body {
    struct slice rest;
    bool is_open;
};

static ssize_t h2c_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                             uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct h2c_body *b = source->ptr;
    size_t n = ORR_MIN(length, b->rest.len);

    (void)session, (void)id, (void)arg;
    if (n == 0 && b->is_open)
        return NGHTTP2_ERR_DEFERRED;
    if (n)
        memcpy(buf, b->rest.ptr, n);
    b->rest = slice_from(b->rest, n);
    if (b->rest.len == 0 && !b->is_open)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* headers: "name: value\n" each. body may be NULL. Returns the stream's id. */
static int32_t h2c_submit(struct h2c *c, const char *method, const char *path, const char *headers,
                          struct h2c_body *body)
{
    nghttp2_nv nv[200];
    nghttp2_data_provider data = {.source.ptr = body, .read_callback = h2c_read_body};
    struct slice rest = slice_cstr(headers), line;
    size_t n = 0;
    int32_t id;

#define NV(name, value)                                                                            \
    nv[n++] = (nghttp2_nv){(uint8_t *)(uintptr_t)(name).ptr, (uint8_t *)(uintptr_t)(value).ptr,    \
                           (name).len, (value).len, NGHTTP2_NV_FLAG_NONE}
    NV(SLICE(":method"), slice_cstr(method));
    NV(SLICE(":scheme"), SLICE("http"));
    NV(SLICE(":path"), slice_cstr(path));
    NV(SLICE(":authority"), SLICE("h"));
    while (n < ORR_COUNT(nv) && slice_split(&rest, '\n', &line)) {
        ptrdiff_t colon = slice_find_byte(line, ':', 1);

        if (colon > 0)
            NV(slice_sub(line, 0, (size_t)colon), slice_from(line, (size_t)colon + 2));
        if (!rest.ptr)
            break;
    }
#undef NV
    id = nghttp2_submit_request(c->session, NULL, nv, n, body ? &data : NULL, NULL);
    CHECK(id > 0);
    return id;
}

static inline bool h2c_wait(struct h2c *c, const bool *what)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (!*what && !c->is_gone && clock_mono_ms(&clock_system) < until)
        h2c_turn(c);
    return *what;
}

/* One request, until its stream is closed. */
static inline struct h2c_reply *h2c_ask(struct h2c *c, const char *method, const char *path,
                                        const char *headers, struct slice body)
{
    struct h2c_body b = {body, false};
    int32_t id = h2c_submit(c, method, path, headers, body.len ? &b : NULL);

    if (!h2c_wait(c, &h2c_reply(c, id)->is_closed))
        test_fail(__FILE__, __LINE__, "%s %s: the stream was not closed", method, path);
    return h2c_reply(c, id);
}

#define CHECK_HAS(b, text)                                                                         \
    do {                                                                                           \
        if (!h2c_has((b), (text)))                                                                 \
            test_fail(__FILE__, __LINE__, "no \"%s\" in \"%s\"", (text), buf_cstr(b));             \
    } while (0)
