/*
 * Calls between processes: requests with deadlines, single or streamed replies with credits,
 * cancellation, over nanomsg raw REQ/REP (tcp, or inproc inside one process), sealed (seal.h).
 * The bytes on the wire are in frame.h; common/rpc/README.md says why it is built this way.
 *
 * Server:
 *
 *     static void on_push(void *arg, struct rpc_call *call)
 *     {
 *         struct slice batch = rpc_call_payload(call);   // lent until the call ends
 *         ...later, on any thread, exactly once:
 *         rpc_reply(call, ack)   or   rpc_reply_err(call, e)   or   stream: see below
 *     }
 *     CHECK(rpc_server_new(&(struct rpc_server_opts){.loop = l, .address = "0.0.0.0:7946",
 *                                                    .keyring = k}, &server));
 *     rpc_server_handle(server, "push", on_push, ingester);
 *     rpc_server_start(server)
 *
 * Client, on a loop:
 *
 *     static void on_ack(void *arg, struct slice payload, bool is_last, const struct err *e) {...}
 *     struct rpc_peer *peer = rpc_pool_peer(pool, "10.0.0.7:7946");
 *     rpc_call(peer, &(struct rpc_call_opts){.method = "push", .tenant = t, .timeout_ms = 5000},
 *              batch, on_ack, arg, NULL);
 *
 * Addresses: "host:port", "tcp://host:port" (host: an IPv4 address, [IPv6], or for clients a name;
 * for servers * too; port 0 picks one), "inproc://name".
 *
 * Payloads: up to opts.max_message_bytes (64 MiB at most); they travel as frames of up to 128 KiB
 * that are sealed straight from the sender's bytes and opened straight into the receiver's buffer.
 *
 * Delivery: a call ends with exactly one last callback (reply, or error). An error of code
 * ERR_UNAVAILABLE, ERR_TIMEOUT or ERR_NET does not say whether the server acted: retry only what
 * is idempotent. Nothing is retried in here.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/loop.h"
#include "common/rpc/seal.h"

#define RPC_MAX_MESSAGE_BYTES (64u << 20)
#define RPC_STREAM_CHUNK_BYTES (1u << 20) /* what a streamed reply should hold at most */
#define RPC_DEFAULT_TIMEOUT_MS 30000
#define RPC_DEFAULT_CREDITS 4 /* streamed messages under way per call */
#define RPC_METHOD_MAX_BYTES 64

/* ---- server ------------------------------------------------------------------------------ */

struct rpc_server;
struct rpc_call;

/* Called on the server's loop. Owns nothing: call stays valid until it is answered (rpc_reply,
 * rpc_reply_err, rpc_stream_end), which the handler or somebody after it must do exactly once,
 * canceled or not. */
typedef void rpc_handler_fn(void *arg, struct rpc_call *call);

struct rpc_server_opts {
    struct loop *loop;            /* where frames arrive and handlers run */
    const char *address;          /* copied */
    struct seal_keyring *keyring; /* referenced; NULL: plain, which is logged once */
    size_t max_message_bytes;     /* 0: RPC_MAX_MESSAGE_BYTES */
    size_t max_inflight_calls;    /* 0: 4096; more are answered ERR_UNAVAILABLE */
    size_t max_inflight_bytes;    /* 0: 512 MiB of requests being received or handled */
    size_t max_connections;       /* 0: 4096 */
};

/* Binds; nothing is received before rpc_server_start(). ERR_NET if the address is taken. */
ORR_CHECKED struct err *rpc_server_new(const struct rpc_server_opts *opts, struct rpc_server **ret);
/* Before start. method is copied; one handler each. */
void rpc_server_handle(struct rpc_server *s, const char *method, rpc_handler_fn *fn, void *arg);
/* On the loop's thread (or before it runs). */
void rpc_server_start(struct rpc_server *s);
/* The address clients use, with the real port: "127.0.0.1:41234", "inproc://x". */
const char *rpc_server_address(const struct rpc_server *s);
/* New calls are answered ERR_UNAVAILABLE "shutting down"; running ones go on. Loop's thread. */
void rpc_server_drain(struct rpc_server *s);
size_t rpc_server_inflight(const struct rpc_server *s); /* any thread */
/*
 * Closes the socket and cancels the calls that run (their owners still answer them, to nobody:
 * the memory of each call goes with its answer). Loop's thread, or with the loop not running.
 * NULL is allowed.
 */
void rpc_server_free(struct rpc_server *s);

/* What is asked. Lent until the call is answered. Any thread. */
struct slice rpc_call_method(const struct rpc_call *c);
struct slice rpc_call_tenant(const struct rpc_call *c); /* "" for calls without one */
struct slice rpc_call_payload(const struct rpc_call *c);
struct slice rpc_call_trace(const struct rpc_call *c); /* W3C traceparent, or "" */
int64_t rpc_call_left_ms(const struct rpc_call *c);    /* until its deadline; <= 0 when passed */
/* True when nobody waits for the answer any more: canceled, deadline passed, connection gone. */
bool rpc_call_is_canceled(const struct rpc_call *c);
/* Calls fn(arg) once on the server's loop when that becomes true (also if it already is). From the
 * server's loop. Not after the answer, if that is given on the loop too; one given on another
 * thread may meet it, so arg must outlive both. */
void rpc_call_on_cancel(struct rpc_call *c, loop_fn *fn, void *arg);
struct loop *rpc_call_loop(const struct rpc_call *c);

/* The answers: each ends the call and frees it. Any thread. Payload is borrowed during the call:
 * what cannot be sent at once is copied; rpc_reply_buf takes *payload over instead and leaves it
 * empty. A payload above max_message_bytes is answered with ERR_TOO_LARGE. */
void rpc_reply(struct rpc_call *c, struct slice payload);
void rpc_reply_buf(struct rpc_call *c, struct buf *payload);
void rpc_reply_err(struct rpc_call *c, struct err *e); /* takes e; sends its code and message */

/*
 * Streamed replies: any number of messages, then rpc_stream_end(), or rpc_reply_err() at any
 * point. Each message costs one credit; the client returns it when its consumer has taken the
 * message. From one thread at a time.
 *
 * rpc_stream_send is false, and nothing was sent, when there is no credit: wait for on_writable
 * (set with rpc_stream_on_writable; called on the server's loop whenever credits return from
 * none, and when the call is canceled). To a canceled call it is true and the bytes are dropped.
 */
bool rpc_stream_send(struct rpc_call *c, struct slice payload);
bool rpc_stream_can_send(const struct rpc_call *c);
void rpc_stream_on_writable(struct rpc_call *c, loop_fn *fn, void *arg); /* server's loop */
void rpc_stream_end(struct rpc_call *c);

/*
 * A number that goes with every message of the answer from now on, errors too: something the asker has to know of
 * the state it is answered from. What it means the method says; 0: nothing, which is also what peers of before
 * say. Before the first message; from the thread that answers.
 */
void rpc_call_mark(struct rpc_call *c, uint64_t mark);

/* ---- client ------------------------------------------------------------------------------ */

struct rpc_pool;
struct rpc_peer;
struct rpc_request;

struct rpc_pool_opts {
    struct loop *loop;                /* where the sockets are served */
    struct seal_keyring *keyring;     /* referenced; NULL: plain */
    const char *name;                 /* of this instance, told to servers for their logs */
    size_t max_message_bytes;         /* 0: RPC_MAX_MESSAGE_BYTES */
    size_t max_inflight_per_peer;     /* 0: 1024 calls; more fail at once with ERR_UNAVAILABLE */
    size_t max_queued_bytes_per_peer; /* 0: 128 MiB not yet taken by the socket; likewise */
    int64_t connect_grace_ms;         /* 0: 1000; a peer not reached for this long is down, and
                                        calls to it fail at once until it is back */
};
ORR_CHECKED struct err *rpc_pool_new(const struct rpc_pool_opts *opts, struct rpc_pool **ret);
/* Ends every call with ERR_CANCELED (their callbacks run before this returns if they belong to
 * the calling thread, else they are posted). Pool loop's thread, or with that loop not running. */
void rpc_pool_free(struct rpc_pool *p);

/* The peer of an address, made and connected at first use; lives as long as the pool or until
 * forgotten. Any thread. Never NULL: an address that makes no sense fails its calls
 * (ERR_INVALID). */
struct rpc_peer *rpc_pool_peer(struct rpc_pool *p, const char *address);
/* Drops the connection and the peer; its calls end with ERR_UNAVAILABLE. The pointer is not valid
 * afterwards. Any thread, as long as none is using the peer. */
void rpc_pool_forget(struct rpc_pool *p, const char *address);
const char *rpc_peer_address(const struct rpc_peer *peer);
/* Connected and its key accepted. Any thread. A peer nobody called yet is not up. */
bool rpc_peer_is_up(const struct rpc_peer *peer);

/*
 * payload is lent during the callback. e is lent too, and set only with is_last. A single reply
 * comes as one callback with is_last; a stream as messages, then an empty last one. Runs on the
 * loop the call was started from (the pool's loop when started from no loop).
 */
typedef void rpc_reply_fn(void *arg, struct slice payload, bool is_last, const struct err *e);

struct rpc_call_opts {
    const char *method;
    struct slice tenant; /* may be empty */
    struct slice trace;  /* W3C traceparent; may be empty */
    int64_t timeout_ms;  /* 0: RPC_DEFAULT_TIMEOUT_MS. Travels along, and is enforced here */
    uint32_t credits;    /* 0: RPC_DEFAULT_CREDITS */
    bool manual_credit;  /* streamed messages are credited by rpc_request_credit(), not when
                               the callback returns */
};
/*
 * Starts a call. Always ends in the callback, never inside this function, so failures (bounds,
 * peer down) arrive as ERR_UNAVAILABLE like any other. payload is borrowed during the call:
 * what cannot be sent at once is copied. *ret (may be NULL) is valid until the last callback
 * starts or the call is canceled. Any loop; any thread.
 */
void rpc_call(struct rpc_peer *peer, const struct rpc_call_opts *opts, struct slice payload,
              rpc_reply_fn *on_reply, void *arg, struct rpc_request **ret);
/* No callback comes any more; the server is told. On the loop the call was started from. */
void rpc_request_cancel(struct rpc_request *r);
/* Gives back n credits of a call with manual_credit. On the loop the call was started from. */
void rpc_request_credit(struct rpc_request *r, uint32_t n);
/* The highest mark (rpc_call_mark) that came so far, not below that of the message at hand. Within the callback, also
 * the last one. */
uint64_t rpc_request_mark(const struct rpc_request *r);
