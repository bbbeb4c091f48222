/*
 * gRPC on an http_server: a table of methods, each a route of its own for POST over HTTP/2, so that
 * gRPC and plain HTTP can share one port.
 *
 *     g = grpc_server_new(http, is_ready, process);
 *     grpc_server_method(g, &(struct grpc_method){
 *         .path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
 *         .handler = export_metrics, .arg = door});
 *     http_server_listen(http);
 *
 * Unary and server-streaming calls: the request is one message, which the handler finds whole and
 * decoded; the reply is one message or a stream of them. RULE, as in http_server.h: every call whose
 * handler was called ends with exactly one grpc_reply(), grpc_reply_buf(), grpc_reply_err() or
 * grpc_end(), at once or later on the same loop, also when the client has gone; after it the call
 * and its arena are gone.
 *
 *     headers ─> opts.on_admit (tenant) ─> method.on_headers ─> message ─> handler
 *         │              │                        │                │
 *    UNIMPLEMENTED  UNAUTHENTICATED        refused: not read   RESOURCE_EXHAUSTED, INTERNAL
 *
 *   err code                              status               sent again by OTLP's SDKs
 *   invalid, media_type                   INVALID_ARGUMENT
 *   rate                                  RESOURCE_EXHAUSTED   yes: with RetryInfo
 *   limit, too_large                      RESOURCE_EXHAUSTED
 *   unavailable, io, net                  UNAVAILABLE          yes (unavailable: with RetryInfo)
 *   timeout                               DEADLINE_EXCEEDED    yes
 *   the others                            grpc_status.h
 *
 * Messages: identity, gzip, deflate and zstd (grpc-encoding), bounded by max_message_bytes encoded
 * and decoded; bytes count in the server's budget of bodies. Messages of compress_min_bytes and more
 * are compressed in reply as the request was, if it was (on the loop: a stream that compresses much
 * pauses between its messages by itself). grpc-timeout moves deadline_ms down; a call
 * that is still open then is reset and cancelled (the client has stopped waiting), within a sweep
 * of the server. RST_STREAM cancels as well.
 *
 * Unknown methods, HTTP/1 and calls that stream to us are answered UNIMPLEMENTED or plainly refused
 * with words; grpc.health.v1.Health/Check is served for the server ("") and each service.
 *
 * Owner: made before the server listens; calls belong to their loops.
 */
#pragma once
#include "common/net/grpc_status.h"
#include "common/net/http_server.h"

struct grpc_server;

struct grpc_call {
    struct slice message; /* lives as long as the call */
    struct arena *arena;  /* freed with the call */
    struct loop *loop;
    void *arg;           /* the method's */
    int64_t deadline_ms; /* by loop_now_ms() */
    void *user;          /* the handler's own */
    struct http_request
        *http; /* for its headers, remote, tls_peer and admit_user (auth_tenant()) */
    /* Set by the handler when it answers later: the client has gone or its time is over. Called at
     * most once, on the loop. */
    void (*on_cancel)(struct grpc_call *c);
};

struct grpc_method {
    const char *path;         /* "/package.Service/Method"; copied */
    size_t max_message_bytes; /* 0: the server's max_body_bytes */
    /* Admission before the message is read; an error refuses the call. May be NULL. */
    struct err *(*on_headers)(struct grpc_call *c);
    void (*handler)(struct grpc_call *c);
    void *arg;
};

/* Before http listens, which it does not own; freed after http. is_ready answers health checks, on
 * any loop. */
struct grpc_server *grpc_server_new(struct http_server *http, bool (*is_ready)(void *arg),
                                    void *arg);
void grpc_server_free(struct grpc_server *g); /* NULL is allowed */
void grpc_server_method(struct grpc_server *g, const struct grpc_method *m);
/* Has a method of this service ("package.Service") been added? */
bool grpc_server_has_service(const struct grpc_server *g, struct slice service);

/* First metadata of that name; ptr NULL if there is none. */
struct slice grpc_metadata(const struct grpc_call *c, const char *name);
/* The same of a "-bin" name, decoded into the call's arena; false when missing or malformed. */
bool grpc_metadata_bin(struct grpc_call *c, const char *name, struct slice *ret);
bool grpc_is_gone(const struct grpc_call *c);

/* Metadata of the reply; before its first message, or any time before its end. Of a "-bin" name,
 * value is encoded here. */
void grpc_reply_metadata(struct grpc_call *c, const char *name, struct slice value);
void grpc_reply_trailer(struct grpc_call *c, const char *name, struct slice value);
/* What RetryInfo will say, instead of 1 s, if the reply is an error that may be tried again. */
void grpc_retry_after(struct grpc_call *c, int64_t ms);

/* One message and OK. Copies. */
void grpc_reply(struct grpc_call *c, struct slice message);
/* Takes the bytes without a copy and leaves message empty. */
void grpc_reply_buf(struct grpc_call *c, struct buf *message);
/* Takes e. Also after messages of a stream. */
void grpc_reply_err(struct grpc_call *c, struct err *e);

/* A stream: messages, then the end. False when more than output_high_bytes wait for the client:
 * stop until on_drain is called (the message has been taken in either case). */
bool grpc_send(struct grpc_call *c, struct slice message);
bool grpc_send_buf(struct grpc_call *c, struct buf *message); /* takes it */
void grpc_on_drain(struct grpc_call *c, void (*fn)(struct grpc_call *c));
void grpc_end(struct grpc_call *c);
