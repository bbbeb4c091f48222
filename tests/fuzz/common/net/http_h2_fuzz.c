/*
 * A client's bytes as a connection of a server gets them, through a socket pair: HTTP/2 after its
 * preface, and what handlers and the gRPC server make of it. The first byte says how the rest is
 * framed:
 *
 *   0  as it stands, preface included
 *   1  after preface and SETTINGS
 *   2  as the body of a gRPC call (DATA frames of at most 100 bytes), whose headers were fine
 *
 * Checked besides crashes and leaks: once the client has gone, so has everything it asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/net/grpc_frame.h"
#include "common/net/grpc_server.h"
#include "common/net/http_h2_internal.h"

static struct loop *loop;
static struct http_server *srv;

static void echo(struct http_request *r)
{
    http_reply_trailer(r, "x-end", SLICE("yes"));
    http_reply(r, 200, HTTP_TEXT, r->body);
}

static struct err *take_piece(struct http_request *r, struct slice piece)
{
    if (piece.len && piece.ptr[0] == 'p') {
        http_request_pause(r);
        http_request_resume(r);
    }
    return piece.len && piece.ptr[0] == 'e' ? err_new(ERR_INVALID, "no e") : NULL;
}

static void gone(struct http_request *r)
{
    http_reply(r, 200, NULL, SLICE_EMPTY);
}

static void later(struct http_request *r)
{
    r->on_cancel = gone;
}

static void call_echo(struct grpc_call *c)
{
    grpc_reply(c, c->message);
}

static void call_stream(struct grpc_call *c)
{
    for (size_t i = 0; i < c->message.len && i < 4; i++)
        (void)grpc_send(c, c->message);
    grpc_end(c);
}

static void set_up(void)
{
    struct grpc_server *g;
    struct err *e = loop_new("fuzz", &loop);

    ORR_ASSERT(!e);
    e = log_set_level("error");
    ORR_ASSERT(!e);
    e = http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0",
                                                   .max_body_bytes = 4096,
                                                   .max_header_bytes = 1024,
                                                   .max_headers = 16,
                                                   .output_high_bytes = 2048,
                                                   .compress_min_bytes = 64,
                                                   .stream_window_bytes = 4096,
                                                   .max_streams = 8},
                        &loop, 1, &srv);
    ORR_ASSERT(!e);
    http_server_route(
        srv,
        &(struct http_route){.methods = HTTP_GET | HTTP_POST, .pattern = "/echo", .handler = echo});
    http_server_route(srv, &(struct http_route){.methods = HTTP_POST,
                                                .pattern = "/p/{x}",
                                                .handler = echo,
                                                .on_body = take_piece});
    http_server_route(
        srv, &(struct http_route){.methods = HTTP_GET, .pattern = "/later", .handler = later});
    g = grpc_server_new(srv, NULL, NULL);
    grpc_server_method(g, &(struct grpc_method){.path = "/t.T/Echo", .handler = call_echo});
    grpc_server_method(g, &(struct grpc_method){.path = "/t.T/Stream", .handler = call_stream});
    e = http_server_listen(srv); /* nobody connects, but it begins to work */
    ORR_ASSERT(!e);
}

static void frame(struct buf *b, uint8_t type, uint8_t flags, struct slice payload)
{
    buf_byte(b, (uint8_t)(payload.len >> 16));
    buf_byte(b, (uint8_t)(payload.len >> 8));
    buf_byte(b, (uint8_t)payload.len);
    buf_byte(b, type);
    buf_byte(b, flags);
    buf_u32be(b, type == NGHTTP2_SETTINGS ? 0 : 1);
    buf_slice_append(b, payload);
}

static void literal(struct buf *b, const char *name, const char *value)
{
    buf_byte(b, 0);
    buf_byte(b, (uint8_t)strlen(name));
    buf_str(b, name);
    buf_byte(b, (uint8_t)strlen(value));
    buf_str(b, value);
}

static void add_call(struct buf *b, struct slice body)
{
    struct buf head = {0};

    buf_str(&head, "\x83\x86"); /* POST, http */
    literal(&head, ":path", body.len % 2 ? "/t.T/Echo" : "/t.T/Stream");
    literal(&head, ":authority", "h");
    literal(&head, "content-type", "application/grpc");
    literal(&head, "grpc-encoding", "gzip");
    literal(&head, "grpc-accept-encoding", "gzip");
    literal(&head, "grpc-timeout", "1S");
    frame(b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, buf_slice(&head));
    do {
        struct slice piece = slice_sub(body, 0, 100);

        body = slice_from(body, piece.len);
        frame(b, NGHTTP2_DATA, body.len ? 0 : NGHTTP2_FLAG_END_STREAM, piece);
    } while (body.len);
    buf_done(&head);
}

/* Reads and forgets, so that the server is never held up by us. */
static void swallow(int fd)
{
    uint8_t bytes[65536];

    while (read(fd, bytes, sizeof(bytes)) > 0)
        ;
}

static void talk(struct slice in)
{
    int fds[2];

    ORR_ASSERT(srv->loops[0].scratch);
    ORR_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    METRIC_ADD(srv->m.connections, 1);
    conn_accept(&srv->loops[0], fds[0], &srv->addr);
    while (in.len) {
        ssize_t n = write(fds[1], in.ptr, ORR_MIN(in.len, (size_t)16384));

        if (n > 0)
            in = slice_from(in, (size_t)n);
        else if (errno != EAGAIN)
            break;
        loop_run_once(loop, 0);
        swallow(fds[1]);
    }
    for (int i = 0; i < 3; i++) {
        loop_run_once(loop, 0);
        swallow(fds[1]);
    }
    (void)close(fds[1]);
    for (int i = 0; i < 100 && srv->m.connections; i++)
        loop_run_once(loop, 0);
    ORR_ASSERT(srv->m.connections == 0 && srv->m.inflight == 0 && srv->m.body_bytes == 0);
    ORR_ASSERT(srv->m.h2_output_bytes == 0 && srv->m.h2_streams == 0 && srv->m.h2_connections == 0);
}

static void pure(struct slice in)
{
    struct slice message, rest = in;
    struct buf out = {0};
    bool is_compressed;
    int64_t ms;

    while (grpc_frame_take(&rest, &is_compressed, &message) == GRPC_FRAME_OK)
        ORR_ASSERT(message.len < in.len);
    ORR_ASSERT(!grpc_frame_timeout(in, &ms) || ms >= 0);
    grpc_frame_escape(in, &out);
    ORR_ASSERT(out.len >= in.len && out.len <= 3 * in.len);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct buf b = {0};

    if (!loop)
        set_up();
    if (size == 0)
        return 0;
    in = slice_from(in, 1);
    if (data[0] != 0) {
        buf_str(&b, NGHTTP2_CLIENT_MAGIC);
        frame(&b, NGHTTP2_SETTINGS, 0, SLICE_EMPTY);
    }
    if (data[0] == 2) {
        add_call(&b, in);
        pure(in);
    } else {
        buf_slice_append(&b, in);
    }
    talk(buf_slice(&b));
    buf_done(&b);
    return 0;
}
