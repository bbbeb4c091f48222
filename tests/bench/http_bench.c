/*
 * Requests per second of the server's CPU: HTTP/1.1, HTTP/2 and gRPC unary calls over loopback, the
 * same handler behind all of them. The server has one loop on a thread of its own, whose CPU time
 * is what is divided by; the client's is not counted.
 *
 *     http_bench [seconds per case]
 *
 * Each case keeps `flying` requests under way: HTTP/1.1 on as many connections, HTTP/2 and gRPC on
 * one.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/net/grpc_frame.h"
#include "common/net/grpc_server.h"

#define FLYING_MAX 100
#define SERIAL 1

static struct http_server *srv;
static struct loop *server_loop;
static double seconds = 1;

static void must(struct err *e)
{
    if (!e)
        return;
    fprintf(stderr, "http_bench: %s\n", err_msg(e));
    exit(1);
}

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "http_bench: %s\n", what);
    exit(1);
}

/* ---- the server ---- */

static void answer(struct http_request *r)
{
    http_reply(r, 200, HTTP_TEXT, SLICE("0123456789abcdef"));
}

static void answer_call(struct grpc_call *c)
{
    grpc_reply(c, SLICE("0123456789abcdef"));
}

struct cpu_question {
    int64_t ns;
    int done;
};

static void ask_cpu(void *arg)
{
    struct cpu_question *q = arg;
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    q->ns = (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
    __atomic_store_n(&q->done, 1, __ATOMIC_RELEASE);
}

static int64_t server_cpu_ns(void)
{
    struct cpu_question q = {0};

    loop_post(server_loop, ask_cpu, &q);
    while (!__atomic_load_n(&q.done, __ATOMIC_ACQUIRE))
        (void)usleep(100);
    return q.ns;
}

/* ---- clients ---- */

static int dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(http_server_port(srv))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    need(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0, "connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void send_all(int fd, const void *p, size_t n)
{
    const uint8_t *at = p;

    while (n) {
        ssize_t got = send(fd, at, n, MSG_NOSIGNAL);

        need(got > 0, "send");
        at += got;
        n -= (size_t)got;
    }
}

struct client {
    const char *name;
    size_t body_bytes;
    int flying;
    /* Sends `flying` requests and waits for all replies. */
    void (*round)(struct client *c);
    int fds[FLYING_MAX];
    struct buf request; /* HTTP/1.1: whole; else the body */
    nghttp2_session *session;
    bool is_grpc;
    int open;
    size_t sent[FLYING_MAX];
    uint64_t replies;
};

static void round_http1(struct client *c)
{
    for (int i = 0; i < c->flying; i++)
        send_all(c->fds[i], c->request.ptr, c->request.len);
    for (int i = 0; i < c->flying; i++) {
        uint8_t in[4096];
        size_t have = 0;

        do { /* the reply ends with the body that we know */
            ssize_t n = recv(c->fds[i], in + have, sizeof(in) - have, 0);

            need(n > 0, "recv");
            have += (size_t)n;
        } while (have < 16 || memcmp(in + have - 16, "0123456789abcdef", 16) != 0);
        c->replies++;
    }
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags,
                       void *arg)
{
    struct client *c = arg;

    (void)session, (void)flags;
    send_all(c->fds[0], data, len);
    return (ssize_t)len;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct client *c = arg;
    size_t *sent = source->ptr, n = ORR_MIN(length, c->request.len - *sent);

    (void)session, (void)id;
    memcpy(buf, c->request.ptr + *sent, n);
    *sent += n;
    if (*sent == c->request.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
    struct client *c = arg;

    (void)session, (void)id;
    need(error == 0, "a stream was reset");
    c->open--;
    c->replies++;
    return 0;
}

#define NV(name, value)                                                                            \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1,             \
            sizeof(value) - 1, NGHTTP2_NV_FLAG_NONE                                                \
    }

static void round_http2(struct client *c)
{
    char length[24];
    size_t length_len = (size_t)snprintf(length, sizeof(length), "%zu", c->request.len);
    const nghttp2_nv plain[] = {
        NV(":method", "POST"),
        NV(":scheme", "http"),
        NV(":path", "/answer"),
        NV(":authority", "h"),
        NV("user-agent", "bench/1"),
        {(uint8_t *)(uintptr_t) "content-length", (uint8_t *)length, 14, length_len,
         NGHTTP2_NV_FLAG_NONE},
    };
    static const nghttp2_nv grpc[] = {
        NV(":method", "POST"),
        NV(":scheme", "http"),
        NV(":path", "/b.B/Answer"),
        NV(":authority", "h"),
        NV("user-agent", "bench/1"),
        NV("content-type", "application/grpc"),
        NV("te", "trailers"),
        NV("grpc-timeout", "10S"),
        NV("grpc-accept-encoding", "identity,gzip"),
    };

    for (int i = 0; i < c->flying; i++) {
        nghttp2_data_provider data = {.source.ptr = &c->sent[i], .read_callback = read_body};

        c->sent[i] = 0;
        need(nghttp2_submit_request(c->session, NULL, c->is_grpc ? grpc : plain,
                                    c->is_grpc ? ORR_COUNT(grpc) : ORR_COUNT(plain), &data,
                                    NULL) > 0,
             "submit");
    }
    c->open = c->flying;
    while (c->open) {
        uint8_t in[65536];
        ssize_t n;

        need(nghttp2_session_send(c->session) == 0, "session_send");
        n = recv(c->fds[0], in, sizeof(in), 0);
        need(n > 0, "recv");
        need(nghttp2_session_mem_recv(c->session, in, (size_t)n) == n, "mem_recv");
    }
}

static void connect_http2(struct client *c)
{
    nghttp2_session_callbacks *cb;

    c->fds[0] = dial();
    need(nghttp2_session_callbacks_new(&cb) == 0, "callbacks");
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    need(nghttp2_session_client_new(&c->session, cb, c) == 0, "session");
    nghttp2_session_callbacks_del(cb);
    need(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0) == 0, "settings");
}

static void run(struct client *c)
{
    bool is_http1 = c->round == round_http1;
    int64_t until, cpu_ns;
    uint64_t before;

    if (is_http1)
        buf_printf(&c->request,
                   "POST /answer HTTP/1.1\r\nHost: h\r\nUser-Agent: bench/1\r\nContent-Length: "
                   "%zu\r\n\r\n",
                   c->body_bytes);
    if (c->is_grpc) {
        uint8_t head[GRPC_FRAME_HEAD_BYTES];

        grpc_frame_head(false, c->body_bytes, head);
        buf_append(&c->request, head, sizeof(head));
    }
    buf_fill(&c->request, 'b', c->body_bytes);
    for (int i = 0; is_http1 && i < c->flying; i++)
        c->fds[i] = dial();
    if (!is_http1)
        connect_http2(c);
    for (int i = 0; i < 20; i++)
        c->round(c);
    before = c->replies;
    cpu_ns = server_cpu_ns();
    until = clock_mono_ns(&clock_system) + (int64_t)(seconds * (double)NS_PER_S);
    while (clock_mono_ns(&clock_system) < until)
        c->round(c);
    cpu_ns = server_cpu_ns() - cpu_ns;
    printf("%-10s %8zu bytes  %3d at once  %9.0f requests per CPU-second  %6.2f us\n", c->name,
           c->body_bytes, c->flying, (double)(c->replies - before) * 1e9 / (double)cpu_ns,
           (double)cpu_ns / 1e3 / (double)(c->replies - before));
    for (int i = 0; i < (is_http1 ? c->flying : 1); i++)
        (void)close(c->fds[i]);
    nghttp2_session_del(c->session);
    buf_done(&c->request);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {200, 65536};
    static const int flying[] = {SERIAL, 50};
    struct grpc_server *g;

    if (argc > 1)
        seconds = strtod(argv[1], NULL);
    must(log_set_level("error"));
    must(loop_new("server", &server_loop));
    must(http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0"}, &server_loop, 1, &srv));
    http_server_route(
        srv, &(struct http_route){.methods = HTTP_POST, .pattern = "/answer", .handler = answer});
    g = grpc_server_new(srv, NULL, NULL);
    grpc_server_method(g, &(struct grpc_method){.path = "/b.B/Answer", .handler = answer_call});
    must(http_server_listen(srv));
    must(loop_start(server_loop));
    for (size_t s = 0; s < ORR_COUNT(sizes); s++)
        for (size_t f = 0; f < ORR_COUNT(flying); f++) {
            struct client c = {.name = "HTTP/1.1", .body_bytes = sizes[s], .flying = flying[f]};
            struct client h2 = c, grpc = c;

            c.round = round_http1;
            h2.name = "HTTP/2";
            h2.round = grpc.round = round_http2;
            grpc.name = "gRPC";
            grpc.is_grpc = true;
            run(&c);
            run(&h2);
            run(&grpc);
        }
    loop_join(server_loop);
    http_server_free(srv);
    grpc_server_free(g);
    loop_free(server_loop);
    return 0;
}
