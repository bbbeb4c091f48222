/*
 * The client's halves: rpc_pool.c (peers and their connections; the pool's loop), rpc_send.c
 * (what goes out to a peer; any thread, under the peer's lock) and rpc_request.c (calls; the loop
 * each was started from).
 *
 * References: a pool is held by its owner and by each peer; a peer by its pool, by each request
 * and by functions posted for it; a request by the peer's table, by its own loop until it is done,
 * and by each reply on its way there.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/job.h"
#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/rpc/link.h"
#include "common/rpc/rpc.h"

#define PEER_BUCKETS 256

struct rpc_pool {
    _Atomic uint32_t refs;
    struct loop *loop;
    struct seal_keyring *keyring;
    char name[ENVELOPE_INSTANCE_MAX_BYTES + 1];
    uint64_t incarnation;
    size_t max_message_bytes, max_inflight, max_queued_bytes;
    int64_t grace_ms;
    struct lock lock;
    struct map peers;          /* under lock */
    bool is_closed;            /* under lock */
    struct loop_timer *tick;   /* the loop's thread, as all below */
    struct job_pool *resolver; /* made when the first name has to be resolved */
    struct arena *scratch;
};

/* A message on its way out. Texts of e and payload point into owned, or are borrowed. */
struct pending {
    struct pending *next;
    struct envelope e;
    struct slice payload;
    size_t sent;
    bool is_started;
    int64_t deadline_ms;
    void *owned;
};

/*
 *   NEW --open--> CONNECTING --socket writable--> GREETING --WELCOME--> UP
 *                     ^                              |  ^               |
 *                     +------- connection lost ------+--|---------------+
 *                                                       +-- RESET, gap -+
 * is_down is beside it: set when a peer is not UP for longer than the grace, or refused us; then
 * calls fail at once. Any state becomes CLOSED.
 */
enum peer_state { PEER_NEW, PEER_CONNECTING, PEER_GREETING, PEER_UP, PEER_CLOSED };

struct rpc_peer {
    _Atomic uint32_t refs;
    struct rpc_pool *pool;
    char *address; /* as asked for */
    struct err *address_error;
    char nn_address[LINK_ADDRESS_MAX_BYTES], host[LINK_ADDRESS_MAX_BYTES];
    _Atomic bool is_up;
    struct lock lock; /* guards what follows */
    enum peer_state state;
    bool is_down;
    enum err_code down_code;
    const char *down_text;
    struct link link;
    struct rpc_request *requests[PEER_BUCKETS];
    size_t inflight;
    uint64_t last_id;
    struct pending *out_head, **out_tail;
    size_t out_bytes;
    VEC(struct envelope) controls; /* small ones, sent before out */
    bool needs_ack, is_waiting;    /* for the socket to be writable */
    /* the pool's loop alone: */
    struct loop_io *recv_io, *send_io;
    uint64_t connections; /* of the socket when we greeted */
    int64_t since_ms, heard_ms, pinged_ms, greet_at_ms;
    size_t unacked_bytes;
    bool is_resolving;
};

struct rpc_request {
    _Atomic uint32_t refs;
    struct rpc_peer *peer;
    struct loop *loop;
    uint64_t id;
    rpc_reply_fn *on_reply;
    void *arg;
    bool is_manual;
    int64_t deadline_ms;
    struct rpc_request *next; /* in peer->requests, under the peer's lock */
    bool is_listed;
    /* pool's loop: the reply being put together */
    uint8_t *body;
    size_t total_bytes, filled_bytes;
    bool is_body_last;
    /* own loop: */
    struct loop_timer *timer;
    bool is_done;
    _Atomic uint64_t mark; /* raised on the pool's loop before what it came with is delivered */
};

/* ---- rpc_send.c: with the peer's lock held ---- */
void peer_send(struct rpc_peer *p, struct pending *m);
void peer_control(struct rpc_peer *p, const struct envelope *e);
/* Sends what the socket takes. True if it took all. */
bool peer_pump(struct rpc_peer *p);
void peer_dequeue(struct rpc_peer *p, uint64_t id);
void peer_clear(struct rpc_peer *p);
struct rpc_request *peer_find(struct rpc_peer *p, uint64_t id);
void peer_list(struct rpc_peer *p, struct rpc_request *r); /* takes a reference */
bool peer_unlist(struct rpc_peer *p,
                 struct rpc_request *r); /* true: the reference is the caller's */

/* ---- rpc_pool.c ---- */
struct rpc_peer *peer_ref(struct rpc_peer *p);
void peer_unref(struct rpc_peer *p);
/* Ends all calls of a peer. No lock held. Any thread. */
void peer_fail(struct rpc_peer *p, enum err_code code, const char *text);
/* Has the loop watch for the socket to become writable. Lock held. Any thread. */
void peer_want_write(struct rpc_peer *p);

/* ---- rpc_request.c ---- */
void request_unref(struct rpc_request *r);
/* Hands one reply message, or the end, to the request's own loop. Takes one reference to r, and
 * e; memory (mem_free) or message (nanomsg's) is what payload points into. No lock held. */
void request_deliver(struct rpc_request *r, struct slice payload, void *memory, void *message,
                     bool is_last, struct err *e, bool must_post);
