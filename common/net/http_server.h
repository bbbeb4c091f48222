/*
 * HTTP server: HTTP/1.1 and HTTP/2 for the same routes; one listener per loop on one port (SO_REUSEPORT), TLS optional.
 *
 *     http_server_new(&(struct http_server_opts){.addr = ":9009"}, loops, n, &srv);
 *     http_server_route(srv, &(struct http_route){
 *         .methods = HTTP_GET | HTTP_POST, .pattern = "/api/v1/label/{name}/values",
 *         .handler = label_values, .arg = querier});
 *     http_server_listen(srv);
 *
 * A request's life, all on the loop of its connection:
 *
 *     head complete ─> opts.on_admit ─> route.on_headers ─> body read and decoded ─> handler
 *          │                │                  │                  │                  │
 *        4xx/5xx       refused: the body is not read       413/415/408/503     http_reply()
 *
 * The handler is called with the whole body. It answers at once or keeps the pointer and answers
 * later on the same loop. RULE: every request whose handler was called ends with exactly one
 * http_reply(), http_reply_buf(), http_reply_err(), http_reply_end() or http_reply_abort(), also
 * when the client has gone; after it the request and its arena are gone. If the client goes first,
 * on_cancel is called once (never from inside a call of the handler's own), so that work can be
 * cut short; the rule still holds and the reply then goes nowhere.
 *
 * Bodies: Content-Length bodies are read straight into one buffer of that size, chunked ones into
 * a growing one. Content-Encoding gzip, deflate, zstd and snappy is decoded, bounded by the same
 * max_body_bytes as the encoded form (413 past it), unless the route asks for raw bodies. Every
 * body byte held, encoded or decoded, is charged to max_inflight_body_bytes of the server: when
 * that is spent, requests are answered 503 with Retry-After before their body is read.
 *
 * Replies of 1 KiB and more are compressed (zstd, gzip) if the client accepts it. HEAD is served
 * by GET routes. Pipelined requests are answered in order, one at a time.
 *
 * HTTP/2 is spoken with whoever begins with its preface, asks for it by ALPN ("h2") or, in a
 * request without a body, by Upgrade: h2c. Handlers see no difference; a stream is to its request
 * what a connection is in HTTP/1, so what closes a connection below resets a stream (a reply that
 * is given before the body was read is followed by RST_STREAM(NO_ERROR)). Header lists over
 * max_header_bytes or max_headers get 431. Clients that reset or ping us to death are told GOAWAY
 * ENHANCE_YOUR_CALM (http_h2_internal.h has the numbers), draining is GOAWAY, idle connections hear
 * one before they are closed. An idle connection of HTTP/2 holds 26 KiB.
 *
 * A handler may make the connection of its request (HTTP/1.1) a websocket: websocket.h.
 *
 * Requests that are ambiguous are refused with 400 and the connection closed: Content-Length with
 * Transfer-Encoding, two Content-Lengths, bare LF, folded headers, spaces before the colon,
 * no or two Hosts, NUL or control bytes.
 *
 * Slow clients: the head has header_timeout_ms from its first byte (TLS: the handshake from
 * accept), a body may take body_grace_ms plus one second per body_min_rate bytes received (408), a
 * reply that the client does not read for write_timeout_ms is dropped, a connection without a
 * request lives for idle_timeout_ms. An idle connection holds under 1 KiB here (TLS: OpenSSL's own
 * besides).
 *
 * Owner: main makes, routes, listens; each connection belongs to its loop. Thread of each call is
 * stated there.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/loop.h"
#include "common/net/http.h"
#include "common/net/http_param.h"
#include "common/net/http_reply.h"
#include "common/net/net_tls.h"

struct http_server;
struct http_route;

struct http_request {
    enum http_method method;
    struct slice target; /* as sent */
    struct slice path;   /* percent-decoded, without the query; starts with / */
    struct slice query;  /* raw, without the ? */
    const struct http_header *headers;
    size_t header_count;
    struct slice host;
    /* Whole and decoded when the handler is called (raw with HTTP_ROUTE_RAW_BODY). Lives as long
     * as the request. */
    struct slice body;
    struct arena *arena; /* freed with the request; handlers may use it */
    struct loop *loop;
    const struct http_route *route;
    void *arg;             /* the route's */
    const char *remote;    /* "ip:port" of the client */
    const char *tls_peer;  /* common name of its verified certificate; NULL: none */
    int64_t start_ms;      /* loop_now_ms() when the head was complete */
    int64_t deadline_ms;   /* by the same clock; a handler may move it for its own use */
    size_t max_body_bytes; /* on_admit and on_headers may lower or raise it */
    bool is_http2;
    void *user;       /* the handler's own; NULL at first */
    void *admit_user; /* the same for opts.on_admit (tenant, identity); NULL at first */
    /* Set by the handler when it answers later. Called at most once, on the loop. */
    void (*on_cancel)(struct http_request *r);
};

enum http_route_flag {
    HTTP_ROUTE_RAW_BODY = 1, /* hand over the body as sent; the handler reads Content-Encoding */
    HTTP_ROUTE_NO_COMPRESS = 2,
};

struct http_route {
    unsigned methods; /* bits of enum http_method; GET brings HEAD */
    /* Segments are literal, {name} (one segment, not empty) or, last only, * (the rest after
     * the slash, may be empty and hold slashes; its name is "*"). The most literal pattern wins. */
    const char *pattern;
    unsigned flags;
    size_t max_body_bytes; /* 0: the server's */
    /* Admission: an error refuses the request before its body is read. May be NULL. */
    struct err *(*on_headers)(struct http_request *r);
    /* Streams the body instead of collecting it: called for each piece, then handler with an
     * empty body. An error refuses the rest. Encoded bodies need HTTP_ROUTE_RAW_BODY as well,
     * else 415. May be NULL. */
    struct err *(*on_body)(struct http_request *r, struct slice piece);
    void (*handler)(struct http_request *r);
    /* A request refused, cancelled or cut off before its handler was called (user may have been
     * set by on_headers or on_body): free what user holds. May be NULL. */
    void (*on_drop)(struct http_request *r);
    /* Shapes what the server itself refuses on this route (limits, on_headers); takes e and must
     * reply. NULL: http_reply_err(). */
    void (*reply_err)(struct http_request *r, struct err *e);
    void *arg;
};

/* 0 in any number is the default in brackets. */
struct http_server_opts {
    const char *addr;    /* "host:port"; port 0 picks a free one */
    const char *name;    /* on its metrics and log lines ["http"] */
    struct net_tls *tls; /* NULL: plain; outlives the server, which does not own it */
    /* First of all, for every request whose head could be read, also one that will be refused: may
     * add headers to the reply. */
    void (*on_begin)(struct http_request *r, void *begin_arg);
    void *begin_arg;
    /* Before the route's on_headers, for every request that has a route: authentication. */
    struct err *(*on_admit)(struct http_request *r, void *admit_arg);
    void *admit_arg;
    size_t max_header_bytes;        /* request line and headers [64 KiB] */
    size_t max_headers;             /* how many [128] */
    size_t max_body_bytes;          /* [16 MiB] */
    size_t max_inflight_body_bytes; /* over all connections [1 GiB] */
    size_t max_connections;         /* over that: 503 and closed [20000] */
    size_t compress_min_bytes;      /* [1024] */
    size_t output_high_bytes;       /* http_reply_chunk() says stop above it [256 KiB] */
    size_t body_min_rate;           /* bytes per second [1024] */
    size_t max_h2_connections;      /* of them; over that: GOAWAY [5000] */
    size_t max_streams;             /* HTTP/2: requests at once on a connection [100] */
    size_t stream_window_bytes;     /* HTTP/2: of a body, sent before we ask for more [256 KiB] */
    size_t conn_window_bytes;       /* HTTP/2: over the bodies of a connection [1 MiB] */
    int64_t idle_timeout_ms;        /* [120000] */
    int64_t header_timeout_ms;      /* TLS handshake included [10000] */
    int64_t body_grace_ms;          /* [10000] */
    int64_t write_timeout_ms;       /* [30000] */
    int64_t request_timeout_ms;     /* sets deadline_ms [120000] */
    int64_t linger_ms;              /* reading on after a refusal so that it is seen [2000] */
};

/* Copies opts (strings too); SIGPIPE is ignored from here on. The loops outlive the server. Before
 * the loops run. */
ORR_CHECKED struct err *http_server_new(const struct http_server_opts *opts, struct loop **loops,
                                        size_t n, struct http_server **ret);
/* Copies route; its pattern too. Before http_server_listen(). A malformed or repeated pattern is
 * our bug and asserts. */
void http_server_route(struct http_server *s, const struct http_route *route);
/* Before http_server_listen(): shapes refusals of requests that have no route. It takes e and replies
 * when it answers true; the last one set is asked. */
void http_server_on_no_route(struct http_server *s,
                             bool (*reply)(struct http_request *r, struct err *e, void *arg),
                             void *arg);
/* Takes the port, so that http_server_port() knows it; connections wait in the kernel until
 * http_server_listen(). */
ORR_CHECKED struct err *http_server_bind(struct http_server *s);
/* Binds, unless that was done, and accepts from now on. Before the loops run, or on any thread while they run. */
ORR_CHECKED struct err *http_server_listen(struct http_server *s);
uint16_t http_server_port(const struct http_server *s); /* after http_server_bind() */
/*
 * From any thread, once: stops accepting, closes idle connections, lets requests that are under
 * way finish (their replies say Connection: close), and then calls done(arg) on the first loop.
 * After grace_ms what is left is closed. Requests that arrive on open connections meanwhile are
 * answered too, as the last of their connection.
 */
void http_server_drain(struct http_server *s, int64_t grace_ms, loop_fn *done, void *arg);
/* The loops must not be running. Closes everything; requests whose handlers have not replied are
 * cancelled and must be replied to inside on_cancel or be forgotten. NULL is allowed. */
void http_server_free(struct http_server *s);

size_t http_server_connections(const struct http_server *s); /* any thread */
size_t http_server_inflight(const struct http_server *s);    /* requests; any thread */

/* First header of that name, any case; ptr NULL if there is none. */
struct slice http_request_header(const struct http_request *r, const char *name);
/* What {name} or * matched, decoded; ptr NULL if the pattern has no such segment. */
struct slice http_request_segment(const struct http_request *r, const char *name);
/* True once the client is gone (the reply goes nowhere). */
bool http_request_is_gone(const struct http_request *r);
/* For on_body routes: holds back further pieces, and lets them come again. */
void http_request_pause(struct http_request *r);
void http_request_resume(struct http_request *r);
