#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/rpc/rpc.h"
#include "common/rpc/rpc_client_internal.h"
#include "common/rpc/rpc_metric.h"

#define TICK_MS 50
#define PING_MS 1000
#define SILENCE_MS 8000  /* the server answers pings */
#define GREET_MS 1000    /* between two HELLOs without an answer */
#define REFUSED_MS 2000  /* after REJECT: keys change only when a person changes them */
#define RESOLVE_MS 10000 /* a name is looked up again when its address is dead for so long */
#define ROUND_FRAMES 64
#define ACK_BYTES (32u << 10) /* well below link_window_bytes(): the server need not wait */
#define MAX_INFLIGHT 1024
#define MAX_QUEUED_BYTES ((size_t)128 << 20)

static int64_t now_ms(void)
{
    return clock_mono_ms(&clock_system);
}

struct rpc_peer *peer_ref(struct rpc_peer *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

static void pool_unref(struct rpc_pool *pool)
{
    if (atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) != 1)
        return;
    seal_keyring_unref(pool->keyring);
    arena_free(pool->scratch);
    lock_done(&pool->lock);
    map_done(&pool->peers);
    mem_free(pool);
}

void peer_unref(struct rpc_peer *p)
{
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    ORR_ASSERT(p->link.sock < 0);
    peer_clear(p);
    vec_done(&p->controls);
    link_reset(&p->link);
    lock_done(&p->lock);
    pool_unref(p->pool);
    mem_free(p->address);
    err_free(p->address_error);
    mem_free(p);
}

void peer_fail(struct rpc_peer *p, enum err_code code, const char *text)
{
    VEC(struct rpc_request *) all = {0};

    lock_take(&p->lock);
    peer_clear(p);
    for (size_t i = 0; i < PEER_BUCKETS; i++) {
        while (p->requests[i]) {
            vec_push(&all, p->requests[i]);
            (void)peer_unlist(p, p->requests[i]);
        }
    }
    lock_release(&p->lock);
    VEC_FOREACH (r, &all)
        request_deliver(*r, SLICE_EMPTY, NULL, NULL, true,
                        err_new(code, "%s: %s", p->address, text), false);
    vec_done(&all);
}

/* ---- connection ---- */

static void on_writable(void *arg);

static void watch_send(void *arg)
{
    struct rpc_peer *p = arg;

    if (p->link.sock >= 0 && !p->send_io)
        p->send_io = loop_io_new(p->pool->loop, link_send_fd(p->link.sock), on_writable, p);
    peer_unref(p);
}

void peer_want_write(struct rpc_peer *p)
{
    if (p->is_waiting)
        return;
    p->is_waiting = true;
    loop_post(p->pool->loop, watch_send, peer_ref(p));
}

static void set_down(struct rpc_peer *p, enum err_code code, const char *text)
{
    lock_take(&p->lock);
    p->is_down = true;
    p->down_code = code;
    p->down_text = text;
    lock_release(&p->lock);
    peer_fail(p, code, text);
}

/* The socket is (again) without a connection; nanomsg makes one. */
static void enter_connecting(struct rpc_peer *p)
{
    lock_take(&p->lock);
    p->state = PEER_CONNECTING;
    atomic_store(&p->is_up, false);
    link_reset(&p->link);
    peer_want_write(p);
    lock_release(&p->lock);
}

static void enter_greeting(struct rpc_peer *p)
{
    struct envelope hello = {.kind = ENVELOPE_HELLO,
                             .instance = slice_cstr(p->pool->name),
                             .incarnation = p->pool->incarnation};

    p->connections = link_connections(p->link.sock);
    p->greet_at_ms = now_ms() + GREET_MS;
    p->unacked_bytes = 0;
    lock_take(&p->lock);
    p->state = PEER_GREETING;
    atomic_store(&p->is_up, false);
    /* Not taken: the connection just went; the tick sees that too, or greets again. */
    (void)link_hello(&p->link, link_is_inproc(p->nn_address) ? NULL : p->pool->keyring, &hello);
    lock_release(&p->lock);
}

/* What was under way has no answer coming. */
static void lose(struct rpc_peer *p, const char *why, bool is_connected)
{
    LOG_INFO(rpc, "lost the session with a peer", KV_STR("addr", p->address),
             KV_STR("reason", why));
    METRIC_ADD(rpc_metric.resets, 1);
    p->since_ms = now_ms();
    if (is_connected)
        enter_greeting(p);
    else
        enter_connecting(p);
    peer_fail(p, ERR_UNAVAILABLE, why);
}

static void on_writable(void *arg)
{
    struct rpc_peer *p = arg;
    enum peer_state state;

    loop_io_free(p->send_io);
    p->send_io = NULL;
    lock_take(&p->lock);
    p->is_waiting = false;
    state = p->state;
    (void)peer_pump(p); /* watches again if there is more than the socket takes */
    lock_release(&p->lock);
    if (state == PEER_CONNECTING)
        enter_greeting(p);
}

/* ---- what arrives ---- */

static void on_welcome(struct rpc_peer *p, const struct frame_head *h, uint8_t *frame, size_t len)
{
    struct seal_keyring *k = link_is_inproc(p->nn_address) ? NULL : p->pool->keyring;
    bool is_good = false, was_down = false;

    lock_take(&p->lock);
    if (p->state == PEER_GREETING && !p->link.held) {
        is_good = link_welcomed(&p->link, k, h, frame, len);
        if (is_good) {
            p->state = PEER_UP;
            was_down = p->is_down;
            p->is_down = false;
            atomic_store(&p->is_up, true);
            p->heard_ms = p->pinged_ms = now_ms();
            /* Also the proof that we have the key: until it arrives the server keeps us short. */
            peer_control(p, &(struct envelope){.kind = ENVELOPE_PING});
        }
    }
    lock_release(&p->lock);
    if (is_good) {
        METRIC_ADD(rpc_metric.connects, 1);
        if (was_down)
            LOG_INFO(rpc, "a peer is back", KV_STR("addr", p->address));
        else
            LOG_INFO(rpc, "connected to a peer", KV_STR("addr", p->address));
    } else if (h->is_sealed || k) {
        METRIC_ADD(rpc_metric.seal_failures, 1);
        LOG_WARN(rpc, "a peer could not prove that it has our cluster key",
                 KV_STR("addr", p->address));
    }
}

static void on_reject(struct rpc_peer *p, const struct frame_head *h)
{
    const char *text = frame_reason_text(h->reason);

    if (p->state != PEER_GREETING) /* only this thread changes it */
        return;
    LOG_WARN(rpc, "refused by a peer", KV_STR("addr", p->address), KV_STR("reason", text));
    p->greet_at_ms = now_ms() + REFUSED_MS + (int64_t)(p->pool->incarnation % 500);
    set_down(p, h->reason == FRAME_REASON_FULL ? ERR_UNAVAILABLE : ERR_UNAUTHORIZED, text);
}

static struct rpc_request *take(struct rpc_peer *p, struct rpc_request *r)
{
    bool was_listed;

    lock_take(&p->lock);
    was_listed = peer_unlist(p, r);
    if (was_listed)
        peer_dequeue(p, r->id); /* answered before all of it was sent: an error */
    lock_release(&p->lock);
    return was_listed ? r : NULL;
}

/* A whole message is there. memory or message holds the payload. True if message was kept. */
static void on_message(struct rpc_peer *p, struct rpc_request *r, struct slice payload,
                       void *memory, void *message, bool is_last, struct err *e)
{
    if (is_last)
        r = take(p, r);
    else
        atomic_fetch_add(&r->refs, 1);
    if (!r) { /* withdrawn this very moment */
        mem_free(memory);
        link_free_message(message);
        err_free(e);
        return;
    }
    request_deliver(r, payload, memory, message, is_last, e, false);
}

/* True if it kept the message. */
static bool on_reply(struct rpc_peer *p, struct rpc_request *r, const struct envelope *e,
                     struct slice payload, uint8_t *message, bool *ret_bad)
{
    bool is_last = (e->flags & ENVELOPE_LAST) != 0;

    *ret_bad = r->body != NULL || e->total_bytes > p->pool->max_message_bytes ||
               payload.len > e->total_bytes || (payload.len == 0 && e->total_bytes > 0) ||
               (e->error_code && !is_last);
    if (*ret_bad)
        return false;
    if (e->mark > atomic_load(&r->mark)) /* nobody else raises it */
        atomic_store(&r->mark, e->mark);
    if (e->error_code) {
        on_message(p, r, SLICE_EMPTY, NULL, NULL, true,
                   err_new(err_code_from_wire(e->error_code), "%s: %.*s", p->address,
                           SLICE_ARG(e->error_message)));
        return false;
    }
    if (payload.len == e->total_bytes) {
        on_message(p, r, payload, NULL, message, is_last, NULL);
        return true;
    }
    r->total_bytes = (size_t)e->total_bytes;
    r->body = mem_alloc(r->total_bytes);
    memcpy(r->body, payload.ptr, payload.len);
    r->filled_bytes = payload.len;
    r->is_body_last = is_last;
    return false;
}

static bool on_more(struct rpc_peer *p, struct rpc_request *r, struct slice payload)
{
    uint8_t *body = r->body;

    if (!body || payload.len == 0 || payload.len > r->total_bytes - r->filled_bytes)
        return false;
    memcpy(body + r->filled_bytes, payload.ptr, payload.len);
    r->filled_bytes += payload.len;
    if (r->filled_bytes == r->total_bytes) {
        r->body = NULL;
        on_message(p, r, slice_of(body, r->total_bytes), body, NULL, r->is_body_last, NULL);
    }
    return true;
}

static bool on_answer(struct rpc_peer *p, const struct envelope *e, struct slice payload,
                      uint8_t *message, bool *ret_bad)
{
    struct rpc_request *r;
    bool is_kept = false;

    lock_take(&p->lock);
    r = peer_find(p, e->id);
    if (r)
        atomic_fetch_add(&r->refs, 1);
    lock_release(&p->lock);
    if (!r)
        return false; /* withdrawn */
    if (e->kind == ENVELOPE_REPLY)
        is_kept = on_reply(p, r, e, payload, message, ret_bad);
    else
        *ret_bad = !on_more(p, r, payload);
    request_unref(r);
    return is_kept;
}

static bool on_data(struct rpc_peer *p, const struct frame_head *h, uint8_t *frame, size_t len)
{
    struct envelope e;
    struct slice payload;
    bool is_open, is_bad = false, is_kept = false;

    if (p->state != PEER_UP || h->session != p->link.session)
        return false; /* of a session before this one */
    lock_take(&p->lock);
    is_open = link_open(&p->link, h, p->pool->scratch, frame, len, &e, &payload);
    lock_release(&p->lock);
    if (!is_open) {
        METRIC_ADD(rpc_metric.seal_failures, 1);
        lose(p, "a reply was lost or could not be opened", true);
        return false;
    }
    p->heard_ms = now_ms();
    p->unacked_bytes += len + LINK_FRAME_OVERHEAD;
    if (e.kind == ENVELOPE_REPLY || e.kind == ENVELOPE_MORE)
        is_kept = on_answer(p, &e, payload, frame, &is_bad);
    else
        is_bad = e.kind != ENVELOPE_PONG;
    if (is_bad)
        lose(p, "peer broke the protocol", true);
    return is_kept;
}

static bool on_frame(struct rpc_peer *p, uint8_t *frame, size_t len)
{
    struct frame_head h;

    if (!frame_head_get(slice_of(frame, len), &h)) {
        METRIC_ADD(rpc_metric.bad_frames, 1);
        return false;
    }
    switch (h.type) {
    case FRAME_WELCOME:
        on_welcome(p, &h, frame, len);
        return false;
    case FRAME_REJECT:
        on_reject(p, &h);
        return false;
    case FRAME_RESET:
        if (p->state == PEER_UP && h.session == p->link.session)
            lose(p, "peer no longer knows our session", true);
        return false;
    case FRAME_DATA:
        return on_data(p, &h, frame, len);
    case FRAME_HELLO:
        break;
    }
    METRIC_ADD(rpc_metric.bad_frames, 1);
    return false;
}

static void on_readable(void *arg)
{
    struct rpc_peer *p = peer_ref(arg); /* a callback may forget the peer */

    for (int i = 0; i < ROUND_FRAMES && p->link.sock >= 0; i++) {
        struct link_route route;
        size_t len;
        uint8_t *frame = link_recv(p->link.sock, false, &len, &route);

        if (!frame)
            break;
        METRIC_ADD(rpc_metric.bytes_received, len);
        if (!on_frame(p, frame, len))
            link_free_message(frame);
        arena_reset(p->pool->scratch);
        if (p->unacked_bytes >= ACK_BYTES) {
            p->unacked_bytes = 0;
            lock_take(&p->lock);
            p->needs_ack = p->state == PEER_UP;
            (void)peer_pump(p);
            lock_release(&p->lock);
        }
    }
    peer_unref(p);
}

/* ---- opening, closing ---- */

static void peer_connect(struct rpc_peer *p)
{
    int sock;
    struct err *e = link_connect(p->nn_address, &sock);

    if (e) {
        LOG_WARN(rpc, "cannot connect to a peer", KV_STR("addr", p->address), KV_ERR(e));
        err_free(e);
        set_down(p, ERR_UNAVAILABLE, "the connection could not be set up");
        return; /* the tick tries again */
    }
    lock_take(&p->lock);
    p->link.sock = sock;
    lock_release(&p->lock);
    p->recv_io = loop_io_new(p->pool->loop, link_recv_fd(sock), on_readable, p);
    enter_connecting(p);
}

static void peer_disconnect(struct rpc_peer *p)
{
    int sock = p->link.sock;

    loop_io_free(p->recv_io);
    loop_io_free(p->send_io);
    p->recv_io = p->send_io = NULL;
    lock_take(&p->lock);
    p->link.sock = -1;
    p->is_waiting = false;
    link_reset(&p->link);
    lock_release(&p->lock);
    if (sock >= 0)
        link_close(sock);
}

struct lookup {
    struct rpc_peer *peer;
    char host[LINK_ADDRESS_MAX_BYTES];
    char found[INET6_ADDRSTRLEN + 2];
};

static void look_up(void *arg)
{
    struct lookup *l = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char text[INET6_ADDRSTRLEN];

    if (getaddrinfo(l->host, NULL, &hints, &list) || !list)
        return;
    if (list->ai_family == AF_INET) {
        inet_ntop(AF_INET, &((struct sockaddr_in *)list->ai_addr)->sin_addr, l->found,
                  sizeof(l->found));
    } else if (list->ai_family == AF_INET6) {
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)list->ai_addr)->sin6_addr, text, sizeof(text));
        snprintf(l->found, sizeof(l->found), "[%s]", text);
    }
    freeaddrinfo(list);
}

static void on_looked_up(void *arg)
{
    struct lookup *l = arg;
    struct rpc_peer *p = l->peer;

    p->is_resolving = false;
    if (p->state == PEER_CLOSED) {
        /* forgotten meanwhile */
    } else if (!l->found[0]) {
        set_down(p, ERR_UNAVAILABLE, "its name could not be resolved");
    } else {
        snprintf(p->nn_address, sizeof(p->nn_address), "tcp://%s%s", l->found,
                 strrchr(p->address, ':'));
        peer_connect(p);
    }
    peer_unref(p);
    mem_free(l);
}

static void peer_open(struct rpc_peer *p)
{
    struct lookup *l;
    struct err *e;

    p->since_ms = now_ms();
    if (!p->host[0]) {
        peer_connect(p);
        return;
    }
    if (!p->pool->resolver) /* getaddrinfo blocks */
        p->pool->resolver = job_pool_new("rpc-dns", 1, 1024);
    l = mem_new(struct lookup);
    l->peer = peer_ref(p);
    memcpy(l->host, p->host, sizeof(l->host));
    p->is_resolving = true;
    e = job_run(p->pool->resolver, p->pool->loop, look_up, on_looked_up, l);
    if (e) {
        p->is_resolving = false;
        err_free(e);
        peer_unref(p);
        mem_free(l);
    }
}

static void peer_open_posted(void *arg)
{
    struct rpc_peer *p = arg;

    if (p->state == PEER_NEW && !p->address_error)
        peer_open(p);
    peer_unref(p);
}

/* Takes the pool's reference. */
static void peer_close(struct rpc_peer *p, enum err_code code, const char *text)
{
    lock_take(&p->lock);
    p->state = PEER_CLOSED;
    atomic_store(&p->is_up, false);
    lock_release(&p->lock);
    peer_disconnect(p);
    peer_fail(p, code, text);
    peer_unref(p);
}

static void peer_close_posted(void *arg)
{
    struct rpc_peer *p = arg;

    if (p->state != PEER_CLOSED)
        peer_close(p, ERR_UNAVAILABLE, "no longer a peer");
    else
        peer_unref(p);
}

/* ---- by the clock ---- */

static void check_up(struct rpc_peer *p, int64_t now)
{
    bool is_connected = link_is_connected(p->link.sock);
    struct seal_keyring *k = p->pool->keyring;

    if (!is_connected || link_connections(p->link.sock) != p->connections) {
        lose(p, "connection lost", false);
    } else if (now - p->heard_ms > SILENCE_MS) {
        lose(p, "peer is silent", true);
    } else if (p->link.is_sealed && !seal_keyring_has(k, p->link.key_id)) {
        lose(p, "its cluster key was removed", true);
    } else if (now - p->pinged_ms >= PING_MS) {
        p->pinged_ms = now;
        lock_take(&p->lock);
        p->needs_ack |= p->unacked_bytes > 0; /* it may be waiting for the socket */
        p->unacked_bytes = 0;
        peer_control(p, &(struct envelope){.kind = ENVELOPE_PING});
        lock_release(&p->lock);
    }
}

static void check_not_up(struct rpc_peer *p, int64_t now)
{
    if (!p->is_down && now - p->since_ms > p->pool->grace_ms)
        set_down(p, ERR_UNAVAILABLE,
                 p->state == PEER_GREETING ? "connected, but it does not answer"
                                           : "it cannot be reached");
    if (p->link.sock < 0) {
        if (!p->is_resolving && now - p->since_ms > p->pool->grace_ms)
            peer_open(p);
        return;
    }
    if (p->state == PEER_GREETING &&
        (!link_is_connected(p->link.sock) || link_connections(p->link.sock) != p->connections))
        enter_connecting(p);
    else if (p->state == PEER_GREETING && now >= p->greet_at_ms)
        enter_greeting(p);
    else if (p->state == PEER_CONNECTING && p->host[0] && now - p->since_ms > RESOLVE_MS) {
        peer_disconnect(p); /* the name may have moved */
        peer_open(p);
    }
}

static void on_tick(void *arg)
{
    struct rpc_pool *pool = arg;
    VEC(struct rpc_peer *) peers = {0};
    int64_t now = now_ms();

    atomic_fetch_add(&pool->refs, 1); /* a callback may free the pool */
    lock_take(&pool->lock);
    MAP_FOREACH (it, &pool->peers)
        vec_push(&peers, peer_ref(it->value));
    lock_release(&pool->lock);
    VEC_FOREACH (it, &peers) {
        struct rpc_peer *p = *it;

        if (p->state == PEER_UP)
            check_up(p, now);
        else if (p->state == PEER_CONNECTING || p->state == PEER_GREETING ||
                 (p->state == PEER_NEW && p->is_down && !p->is_resolving && !p->address_error))
            check_not_up(p, now);
        peer_unref(p);
    }
    vec_done(&peers);
    if (pool->tick)
        loop_timer_arm_ms(pool->tick, TICK_MS);
    pool_unref(pool);
}

/* ---- pools ---- */

static void start_tick(void *arg)
{
    struct rpc_pool *pool = arg;

    if (!pool->is_closed) { /* only this thread sets it */
        pool->tick = loop_timer_new(pool->loop, on_tick, pool);
        loop_timer_arm_ms(pool->tick, TICK_MS);
    }
    pool_unref(pool);
}

struct err *rpc_pool_new(const struct rpc_pool_opts *opts, struct rpc_pool **ret)
{
    struct rpc_pool *pool;
    const char *name = opts->name ? opts->name : "";

    if (strlen(name) > ENVELOPE_INSTANCE_MAX_BYTES)
        return err_new(ERR_INVALID, "instance name \"%s\": longer than %d bytes", name,
                       ENVELOPE_INSTANCE_MAX_BYTES);
    pool = mem_new(struct rpc_pool);
    atomic_init(&pool->refs, 2); /* the owner's, and start_tick's */
    pool->loop = opts->loop;
    pool->keyring = seal_keyring_ref(opts->keyring);
    snprintf(pool->name, sizeof(pool->name), "%s", name);
    seal_random((uint8_t *)&pool->incarnation, sizeof(pool->incarnation));
    pool->max_message_bytes = opts->max_message_bytes
                                  ? ORR_MIN(opts->max_message_bytes, (size_t)RPC_MAX_MESSAGE_BYTES)
                                  : RPC_MAX_MESSAGE_BYTES;
    pool->max_inflight = opts->max_inflight_per_peer ? opts->max_inflight_per_peer : MAX_INFLIGHT;
    pool->max_queued_bytes =
        opts->max_queued_bytes_per_peer ? opts->max_queued_bytes_per_peer : MAX_QUEUED_BYTES;
    pool->grace_ms = opts->connect_grace_ms ? opts->connect_grace_ms : 1000;
    lock_init(&pool->lock, LOCK_RPC);
    pool->scratch = arena_new(0);
    rpc_metric_init();
    loop_post(pool->loop, start_tick, pool);
    *ret = pool;
    return NULL;
}

static struct rpc_peer *peer_new(struct rpc_pool *pool, const char *address)
{
    struct rpc_peer *p = mem_new(struct rpc_peer);

    atomic_init(&p->refs, 1);
    atomic_fetch_add(&pool->refs, 1);
    p->pool = pool;
    p->address = mem_strdup(address);
    p->address_error = link_address(address, false, p->nn_address, p->host);
    p->link.route.bytes[4] = 0x80; /* a request id has its top bit set, or REP takes it for a hop */
    p->link.sock = -1;
    p->out_tail = &p->out_head;
    lock_init(&p->lock, LOCK_RPC);
    return p;
}

struct rpc_peer *rpc_pool_peer(struct rpc_pool *pool, const char *address)
{
    struct rpc_peer *p;
    bool is_new;

    lock_take(&pool->lock);
    p = map_get(&pool->peers, slice_cstr(address));
    is_new = !p;
    if (is_new) {
        p = peer_new(pool, address);
        (void)map_put(&pool->peers, slice_cstr(address), p);
        (void)peer_ref(p); /* peer_open_posted's */
    }
    lock_release(&pool->lock);
    if (is_new)
        loop_post(pool->loop, peer_open_posted, p);
    return p;
}

void rpc_pool_forget(struct rpc_pool *pool, const char *address)
{
    struct rpc_peer *p;

    lock_take(&pool->lock);
    p = map_del(&pool->peers, slice_cstr(address));
    lock_release(&pool->lock);
    if (p)
        loop_post(pool->loop, peer_close_posted, p);
}

const char *rpc_peer_address(const struct rpc_peer *peer)
{
    return peer->address;
}

bool rpc_peer_is_up(const struct rpc_peer *peer)
{
    return atomic_load(&((struct rpc_peer *)peer)->is_up);
}

void rpc_pool_free(struct rpc_pool *pool)
{
    struct map_entry *it;

    if (!pool)
        return;
    lock_take(&pool->lock);
    pool->is_closed = true;
    lock_release(&pool->lock);
    loop_timer_free(pool->tick);
    pool->tick = NULL;
    job_pool_free(pool->resolver); /* waits for a lookup that is under way */
    pool->resolver = NULL;
    for (;;) {
        struct rpc_peer *p;

        lock_take(&pool->lock);
        it = map_next(&pool->peers, NULL);
        p = it ? it->value : NULL;
        if (p)
            (void)map_del(&pool->peers, slice_cstr(p->address));
        lock_release(&pool->lock);
        if (!p)
            break;
        peer_close(p, ERR_CANCELED, "shutting down");
    }
    pool_unref(pool);
}
