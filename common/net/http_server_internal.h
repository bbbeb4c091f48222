/*
 * What server, connections and replies share. One conn per socket, one exchange per request; both
 * belong to the loop of their server_loop.
 *
 *     IDLE ─first byte─> HEAD ─parsed─> BODY ─whole─> HANDLER ─replied─> WRITE ─sent─> IDLE
 *      │                  │               │                                │
 *      └──── close        └── refused ────┴──────────────────────────────> WRITE ─sent─> LINGER ─>
 * close
 *
 * A connection that speaks HTTP/2 stays in H2 from its preface (or ALPN, or Upgrade) on and has any
 * number of exchanges, one per stream (http_h2_internal.h); it ends by WRITE and LINGER as well. So does one that
 * has become a websocket (websocket.h): from HANDLER to WEBSOCKET, without an exchange.
 *
 * All progress of a connection is made by conn_run(), which is never entered twice: replies given
 * from inside a handler only leave their bytes in out, and the conn_run() below them goes on.
 */
#pragma once
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/base/clock.h"
#include "common/base/metric.h"
#include "common/net/codec_stream.h"
#include "common/net/http_chunked.h"
#include "common/net/http_head.h"
#include "common/net/http_route.h"
#include "common/net/http_server.h"
#include "common/net/net_addr.h"

#define CONN_MAGIC 0x636f6e6eu
#define EXCHANGE_MAGIC 0x65786368u
#define SCRATCH_BYTES (64 * 1024)
/* Bytes of following requests that are read while one is being answered. */
#define PIPELINE_BYTES (64 * 1024)

#define HTTP_REJECTS(X)                                                                            \
    X(REJECT_CONNECTIONS, "connections")                                                           \
    X(REJECT_BODY_BUDGET, "body_budget")                                                           \
    X(REJECT_TOO_LARGE, "too_large")                                                               \
    X(REJECT_MALFORMED, "malformed")                                                               \
    X(REJECT_SLOW, "slow")                                                                         \
    X(REJECT_ENCODING, "encoding")                                                                 \
    X(REJECT_NO_ROUTE, "no_route")                                                                 \
    X(REJECT_ADMISSION, "admission")                                                               \
    X(REJECT_FLOOD, "flood")                                                                       \
    X(REJECT_TLS, "tls")
enum http_reject {
#define X(sym, name) sym,
    HTTP_REJECTS(X)
#undef X
        REJECT_COUNT
};
#define HTTP_CLASSES 6 /* 1xx to 5xx by their digit; 0 for replies nobody waited for */

struct http_server_metrics {
    int64_t connections, inflight, body_bytes, h2_connections, h2_streams, h2_output_bytes;
    int64_t websockets;
    uint64_t accepted, received_bytes, sent_bytes, h2_accepted, h2_resets;
    struct metric_hist duration_s;
};

struct conn;

struct conn_list {
    struct conn *first, *last;
};

/* The part of a server on one loop. */
struct server_loop {
    struct http_server *srv;
    struct loop *loop;
    int listen_fd;
    struct event ev_accept;
    bool is_accepting, is_draining, has_drained;
    struct conn_list idle; /* longest idle first */
    struct conn_list active;
    size_t conn_count;
    struct exchange *exchanges; /* all that live here */
    struct loop_timer *sweep, *drain_timer;
    char date[40]; /* "Date: ...\r\n" of date_s */
    int64_t date_s;
    uint8_t *scratch; /* input of whichever connection is reading */
};

struct http_server {
    struct http_server_opts opts;
    struct server_loop *loops;
    size_t loop_count;
    struct http_route_table *routes;
    bool (*reply_no_route)(struct http_request *r, struct err *e, void *arg); /* or NULL */
    void *no_route_arg;
    struct net_addr addr;
    int64_t sweep_ms;
    /* Written by all loops, with METRIC_ADD and __atomic loads. */
    struct http_server_metrics m;
    uint64_t classes[HTTP_CLASSES], rejects[REJECT_COUNT];
    uint64_t drains_left;
    loop_fn *drain_done;
    void *drain_arg;
    int64_t drain_grace_ms;
};

enum phase {
    PHASE_IDLE,
    PHASE_HEAD,
    PHASE_BODY,
    PHASE_HANDLER,
    PHASE_WRITE,
    PHASE_LINGER,
    PHASE_H2,
    PHASE_WEBSOCKET
};

struct conn {
    uint32_t magic;
    int fd;
    struct server_loop *sl;
    struct ssl_st *ssl;
    struct event ev_read, ev_write;
    struct conn *prev, *next;
    struct conn_list *list;
    enum phase phase;
    int64_t since_ms;  /* when the phase began; IDLE: last sign of life */
    int64_t stall_ms;  /* last time output made progress, while there is some */
    struct buf in;     /* input kept between reads; empty when idle */
    struct slice view; /* input being worked on: in, or the scratch */
    struct http_head_scan scan;
    struct exchange *x;   /* the request under way, of HTTP/1 */
    struct h2 *h2;        /* NULL: HTTP/1 */
    struct websocket *ws; /* of PHASE_WEBSOCKET */
    struct evbuffer *out; /* NULL when nothing waits */
    unsigned holds;       /* callers up the stack that still look at it */
    bool is_running, is_dead, is_eof;
    bool is_reading, is_writing; /* which events are armed */
    bool was_held_back;          /* a pause has ended */
    bool has_spoken;             /* HTTP/1: one that has does not change to HTTP/2 by preface */
    bool closes;                 /* after out is sent */
    bool lingers;                /* and the peer may still be sending */
    bool read_wants_write, write_wants_read, has_handshaken;
    struct net_addr remote;
};

struct exchange;

/* What the head of a reply says besides the headers of its own in exchange.reply_headers. */
struct reply_head {
    int status;
    const char *content_type; /* NULL: none */
    enum codec codec;
    int64_t length;    /* of the body; -1: not known */
    bool has_body;     /* by its status: 204 and 304 have none */
    bool is_body_sent; /* pieces follow: false for HEAD, too */
};

/*
 * How the body of a request and the bytes of its reply travel. The rest of an exchange (routes,
 * admission, budgets, decoding, compression) is the same for all. Called while conn is not NULL,
 * on its loop; none of them calls a handler or sends: what they leave behind is sent by conn_run().
 */
struct exchange_ops {
    /* The head was accepted and the body is to come. */
    void (*await_body)(struct exchange *x);
    /* The handler's turn; a body that is_unread is not wanted any more. */
    void (*begin_reply)(struct exchange *x, bool is_unread);
    /* A pause has ended. */
    void (*resume_body)(struct exchange *x);
    void (*write_head)(struct exchange *x, const struct reply_head *h);
    void (*write_piece)(struct exchange *x, struct slice piece); /* copies; never empty */
    void (*write_buf)(struct exchange *x, struct buf *body);     /* takes */
    void (*write_end)(struct exchange *x);                       /* of pieces; trailers, if any */
    size_t (*waiting)(const struct exchange *x); /* bytes of the reply not yet sent */
    void (*send_later)(struct exchange *x);      /* when the socket next takes it */
    void (*finish)(struct exchange *x);          /* lets go of x: its reply is whole */
    void (*abort)(struct exchange *x);           /* lets go of x: its reply ends here */
};

/* Headers and trailers of a reply; the arrays and their bytes are the request's arena's. */
struct reply_fields {
    struct http_header *items;
    size_t len, cap;
};

struct exchange {
    struct http_request pub;
    uint32_t magic;
    const struct exchange_ops *ops;
    struct conn *conn;    /* NULL once the client has gone */
    struct h2_stream *h2; /* the stream, in HTTP/2 */
    struct server_loop *sl;
    struct exchange *prev, *next;
    struct http_head head;
    struct http_route_match match;
    enum codec codec;
    struct http_chunked chunked;
    struct buf body;
    /* What the body's first bytes say about its length, 0: nothing. NULL for most. */
    size_t (*expected_bytes)(struct slice piece);
    uint64_t body_left;     /* of a Content-Length body */
    uint64_t body_received; /* for limit and rate; encoded form */
    size_t charged;         /* to the body budget */
    struct http_params params;
    bool has_params, params_ok;
    bool was_handled;  /* handler was called: the rule of http_server.h holds */
    bool is_cancelled; /* on_cancel was called */
    bool is_paused;    /* on_body asked for it */
    bool is_keep_alive;
    bool ends_at_deadline; /* HTTP/2: deadline_ms is the client's, who does not wait longer */
    /* the reply */
    int status;
    struct reply_fields reply_headers, trailers;
    bool has_started, is_chunked_reply, has_encoding_header, is_bodyless;
    struct codec_stream *stream;
    struct buf pump; /* a large reply that is compressed as it is sent */
    size_t pump_pos;
    bool is_pumping;
    bool is_above_mark;
    void (*on_drain)(struct http_request *r);
};

static inline struct exchange *exchange_from(struct http_request *r)
{
    struct exchange *x = ORR_CONTAINER(r, struct exchange, pub);

    ORR_ASSERT(x->magic == EXCHANGE_MAGIC);
    return x;
}

static inline const struct exchange *exchange_from_const(const struct http_request *r)
{
    return exchange_from((struct http_request *)(uintptr_t)r);
}

/* http_server.c */
void server_reject(struct http_server *srv, enum http_reject reason);
void server_loop_conn_gone(struct server_loop *sl);
const char *server_loop_date(struct server_loop *sl);

/* http_conn.c */
void conn_accept(struct server_loop *sl, int fd, const struct net_addr *remote);
/* Makes all the progress there is; does nothing when called from inside itself. */
void conn_run(struct conn *c);
void conn_set_phase(struct conn *c, enum phase phase);
/* Of HTTP/2: whether it has streams, and since now; without, it is idle. */
void conn_set_busy(struct conn *c, bool is_busy);
/* Closes now; the requests under way lose their connection and are cancelled or dropped. */
void conn_close(struct conn *c);
/* What is to be said to an idle client before. */
void conn_close_idle(struct conn *c);
/* The server is stopping: an idle one closes, others after what they have begun. */
void conn_drain(struct conn *c);
/* Between them, a conn that is closed stays readable (is_dead says so). */
void conn_hold(struct conn *c);
void conn_release(struct conn *c);
struct evbuffer *conn_out(struct conn *c);
size_t conn_out_bytes(const struct conn *c);
/* Sends what is in out when the socket next takes it, not from inside the caller. */
void conn_send_later(struct conn *c);
/* Reads again after input was held back. */
void conn_read_again(struct conn *c);
/* What its timeouts say at now_ms; may close it. */
void conn_check_time(struct conn *c, int64_t now_ms);

/* http_transport.c: bytes in and out of the socket, plain or TLS. */
enum transport_got { TRANSPORT_OK, TRANSPORT_AGAIN, TRANSPORT_EOF, TRANSPORT_FAILED };
enum transport_got transport_read(struct conn *c, uint8_t *dst, size_t n, size_t *ret_n);
enum transport_got transport_write(struct conn *c); /* from out */
void transport_shutdown(struct conn *c);            /* no more from us */

/* http_h1.c: exchanges of HTTP/1, one at a time on a connection. */
void h1_begin(struct conn *c, struct slice head);
/* Takes body bytes off c->view. */
void h1_feed_body(struct exchange *x);
/* Body bytes were read straight into x->body. */
void h1_body_advanced(struct exchange *x, size_t n);
bool h1_wants_direct(const struct exchange *x);
/* Status and why as text, also when there is no request yet (x NULL); the connection ends. */
void h1_refuse(struct conn *c, struct exchange *x, int status, const char *why);

/* http_exchange.c: a request from its head to its handler. */
struct exchange *exchange_new(struct conn *c, const struct exchange_ops *ops);
/* x->head is filled in: finds the route, admits, and asks for the body or calls the handler. */
void exchange_begin(struct exchange *x);
/* Takes body bytes; false when x was refused. */
bool exchange_take_piece(struct exchange *x, struct slice piece);
/* The body is whole. */
void exchange_body_end(struct exchange *x);
/* Refuses before the handler was called: status and why as text. */
void exchange_refuse(struct exchange *x, int status, const char *why);
/* The same because the server's budget of bodies is spent. */
void exchange_refuse_budget(struct exchange *x);
void exchange_refuse_size(struct exchange *x);
/* The handler has decoded the body itself: takes plain in its place. False, and nothing done, when
 * the budget of bodies has no room for it. */
bool exchange_swap_body(struct exchange *x, struct buf *plain);
/* Has its body, begun at since_ms, come too slowly? */
bool exchange_is_slow(const struct exchange *x, int64_t since_ms, int64_t now_ms);
/* Charges bytes held for x to the server's budget of bodies; false when that is spent. */
bool exchange_charge(struct exchange *x, size_t n);
void exchange_discharge(struct exchange *x, size_t n);
void exchange_lost(struct exchange *x); /* its connection has gone */
void exchange_cancel(struct exchange *x);
void exchange_free(struct exchange *x);

/* http_reply.c */
/* Queues the bytes of b without copying them, and leaves b empty. */
void reply_queue(struct evbuffer *out, struct buf *b);
/* The reply is complete in out: counts it, frees x, and lets the connection go on. */
void reply_finish(struct exchange *x);
void reply_pump(struct exchange *x);
void reply_check_drain(struct exchange *x);
/* The last words of HTTP on x's connection, which is given to who asked for it; x is no more. NULL: the client has gone. */
struct conn *reply_upgrade(struct exchange *x, struct slice head);
/* An answer to a request whose body has not been read. */
void reply_refuse(struct exchange *x, int status, const char *why);

/* websocket.c, of a connection that is one */
void websocket_step(struct websocket *ws); /* takes all of the view */
void websocket_lost(struct websocket *ws); /* the connection has gone */
void websocket_drain(struct websocket *ws);
void websocket_check_time(struct websocket *ws, int64_t now_ms); /* may close the connection */
