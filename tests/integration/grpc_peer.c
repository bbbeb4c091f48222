/*
 * A gRPC server for grpc_test.py: methods whose answers other people's clients are to understand.
 * It prints "port N", then a line per cancelled call, and ends with its standard input.
 *
 *     grpc_peer [CERT KEY]
 *
 *   /peer.Peer/Echo      the message, and metadata "echo-bin" back as header and trailer
 *   /peer.Peer/Stream    message "COUNT BYTES": so many messages
 *   /peer.Peer/Fail      message: the name of an error's code
 *   /peer.Peer/Never     no answer
 */
#include <stdio.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/net/grpc_server.h"

#define LARGE_BYTES (4u << 20)

static struct loop *loop;

static void echo(struct grpc_call *c)
{
    struct slice bin;

    if (grpc_metadata_bin(c, "echo-bin", &bin))
        grpc_reply_metadata(c, "echo-bin", bin);
    grpc_reply(c, c->message);
}

struct series {
    unsigned long left, bytes;
};

static void stream_more(struct grpc_call *c)
{
    struct series *s = c->user;

    while (s->left) {
        struct buf message = {0};

        s->left--;
        buf_fill(&message, 's', s->bytes);
        if (!grpc_send_buf(c, &message))
            return;
    }
    grpc_reply_trailer(c, "peer-end", SLICE("all"));
    grpc_end(c);
}

static void stream(struct grpc_call *c)
{
    struct series *s = arena_new_of(c->arena, struct series);
    char *text = arena_cstr(c->arena, c->message);

    c->user = s;
    if (sscanf(text, "%lu %lu", &s->left, &s->bytes) != 2 || s->bytes > LARGE_BYTES) {
        grpc_reply_err(c, err_new(ERR_INVALID, "not COUNT BYTES: %s", text));
        return;
    }
    grpc_on_drain(c, stream_more);
    stream_more(c);
}

static void fail_as_told(struct grpc_call *c)
{
    enum err_code code = ERR_INTERNAL;

#define X(sym, name, http, num)                                                                    \
    if (slice_eq_cstr(c->message, name))                                                           \
        code = sym;
    ERR_CODES(X)
#undef X
    grpc_retry_after(c, 1500);
    grpc_reply_err(c, err_new(code, "as told: %.*s, 100%% \xc3\xbc", SLICE_ARG(c->message)));
}

static void on_cancel(struct grpc_call *c)
{
    printf("cancelled\n");
    (void)fflush(stdout);
    grpc_end(c);
}

static void never(struct grpc_call *c)
{
    c->on_cancel = on_cancel;
}

static void on_stdin(void *arg)
{
    char byte;

    (void)arg;
    if (read(STDIN_FILENO, &byte, 1) <= 0)
        loop_stop(loop);
}

static struct err *serve(const char *cert, const char *key)
{
    static const struct grpc_method methods[] = {
        {.path = "/peer.Peer/Echo", .handler = echo, .max_message_bytes = LARGE_BYTES},
        {.path = "/peer.Peer/Stream", .handler = stream},
        {.path = "/peer.Peer/Fail", .handler = fail_as_told},
        {.path = "/peer.Peer/Never", .handler = never},
    };
    struct http_server_opts opts = {.addr = "127.0.0.1:0"};
    struct http_server *srv;
    struct grpc_server *g;
    struct loop_io *io;
    struct err *e;

    if (cert &&
        (e = net_tls_new(&(struct net_tls_opts){.cert_path = cert, .key_path = key}, &opts.tls)))
        return e;
    if ((e = loop_new("peer", &loop)) || (e = http_server_new(&opts, &loop, 1, &srv)))
        return e;
    g = grpc_server_new(srv, NULL, NULL);
    for (size_t i = 0; i < ORR_COUNT(methods); i++)
        grpc_server_method(g, &methods[i]);
    io = loop_io_new(loop, STDIN_FILENO, on_stdin, NULL);
    if (!(e = http_server_listen(srv))) {
        printf("port %u\n", http_server_port(srv));
        (void)fflush(stdout);
        loop_run(loop);
    }
    loop_io_free(io);
    http_server_free(srv);
    grpc_server_free(g);
    loop_free(loop);
    net_tls_free(opts.tls);
    return e;
}

int main(int argc, char **argv)
{
    struct err *e = serve(argc == 3 ? argv[1] : NULL, argc == 3 ? argv[2] : NULL);

    if (!e)
        return 0;
    fprintf(stderr, "grpc_peer: %s\n", err_msg(e));
    err_free(e);
    return 1;
}
