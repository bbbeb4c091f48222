/*
 * The two halves of the server: rpc_server.c (socket, frames in, checks by the clock; the loop's
 * thread) and rpc_conn.c (calls and replies of one connection; any thread, under its lock).
 *
 * References: the server is held by its owner and by each connection, a connection by the
 * server's table and by each call, a call by its connection's table and by who answers it.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/rpc/link.h"
#include "common/rpc/rpc.h"

#define CONN_BUCKETS 64

struct handler {
    rpc_handler_fn *fn;
    void *arg;
};

struct rpc_server {
    _Atomic uint32_t refs;
    struct loop *loop;
    struct seal_keyring *keyring;
    int sock; /* -1 once freed */
    char address[LINK_ADDRESS_MAX_BYTES];
    size_t max_message_bytes, max_inflight_calls, max_inflight_bytes, max_connections;
    _Atomic size_t inflight_calls, inflight_bytes;
    bool is_draining;
    /* the loop's thread alone: */
    struct map handlers; /* method: struct handler */
    struct map conns;    /* route: struct conn */
    struct loop_io *io;
    struct loop_timer *tick;
    struct arena *scratch;
    uint64_t broken; /* connections lost, as nanomsg counts them */
};

/* A reply on its way out. */
struct out {
    struct out *next;
    uint64_t id;
    uint32_t flags, error_code;
    struct slice error_message; /* within payload's memory or borrowed with it */
    struct slice payload;
    size_t sent;
    uint64_t mark;
    bool is_started;
    void *owned; /* mem_free()d with it */
};

struct flight {
    uint64_t seq;
    size_t bytes;
};

struct conn {
    _Atomic uint32_t refs;
    struct rpc_server *server;
    struct link_route route;
    struct lock lock; /* guards what follows, and the state of its calls */
    struct link link;
    bool is_dead;   /* nothing is sent any more */
    bool is_doomed; /* to be killed at the next tick */
    struct rpc_call *calls[CONN_BUCKETS];
    struct out *out_head, **out_tail;
    size_t out_bytes;
    VEC(struct flight) flights; /* sent and not acknowledged, oldest at flights_from */
    size_t flights_from, flight_bytes;
    /* the loop's thread alone: */
    bool is_proven; /* has sent a frame that we could open */
    uint64_t incarnation;
    char instance[ENVELOPE_INSTANCE_MAX_BYTES + 1];
    int64_t heard_ms, dead_at_ms;
};

struct rpc_call {
    _Atomic uint32_t refs;
    struct conn *conn;
    struct rpc_call *next; /* in conn->calls */
    uint64_t id;
    bool is_listed, is_running;
    _Atomic bool is_canceled;
    int64_t deadline_ms; /* mono */
    uint32_t credits;
    uint64_t mark; /* under the lock of conn */
    struct handler *handler;
    char *texts; /* method, tenant, trace */
    struct slice method, tenant, trace, payload;
    uint8_t *body; /* of several frames: being filled, */
    void *message; /* or the one frame that holds it */
    size_t total_bytes, filled_bytes;
    loop_fn *on_cancel, *on_writable;
    void *cancel_arg, *writable_arg;
};

struct conn *conn_new(struct rpc_server *s, const struct link_route *route);
void conn_unref(struct conn *c);
/* Ends the connection and cancels its calls. Loop's thread. */
void conn_kill(struct conn *c);
/* With the lock held: */
struct rpc_call *conn_find(struct conn *c, uint64_t id);
void conn_acked(struct conn *c, uint64_t seq);
void conn_refuse_call(struct conn *c, uint64_t id, enum err_code code, const char *message);
/* Sends what is queued and may be sent. */
void conn_pump(struct conn *c);

struct rpc_call *call_new(struct conn *c, const struct envelope *e, struct handler *h);
void call_list(struct rpc_call *call);   /* takes a reference */
void call_unlist(struct rpc_call *call); /* gives it back; the caller holds another one */
struct rpc_call *call_ref(struct rpc_call *call);
void call_unref(struct rpc_call *call);
/* Loop's thread, no lock held. Listed or not. */
void call_cancel(struct rpc_call *call);
void call_credit(struct rpc_call *call, uint32_t n);

int64_t rpc_mono_ms(void);
void rpc_server_unref(struct rpc_server *s);
