#include "common/base/arena.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/rpc/rpc.h"
#include "common/rpc/rpc_metric.h"
#include "common/rpc/rpc_server_internal.h"

#define TICK_MS 100
#define UNPROVEN_MS 5000 /* between HELLO and the first frame that proves the key */
#define SILENCE_MS 8000  /* clients ping every second */
#define SUSPECT_MS 2500  /* the same, after a TCP connection was lost: we are not told which */
#define ROUND_FRAMES 64  /* then others on the loop have their turn */
#define MAX_INFLIGHT_CALLS 4096
#define MAX_INFLIGHT_BYTES ((size_t)512 << 20)
#define MAX_CONNECTIONS 4096

static struct slice conn_key(const struct link_route *r)
{
    return slice_of(r->bytes, 4);
}

static void conn_drop(struct rpc_server *s, struct conn *c)
{
    (void)map_del(&s->conns, conn_key(&c->route));
    conn_kill(c);
    conn_unref(c);
}

static void conn_reset(struct rpc_server *s, struct conn *c, const char *reason)
{
    LOG_WARN(rpc, "connection reset", KV_STR("peer", c->instance), KV_STR("reason", reason));
    METRIC_ADD(rpc_metric.resets, 1);
    link_refuse(s->sock, &c->route, FRAME_RESET, 0, c->link.session);
    conn_drop(s, c);
}

/* ---- greeting ---- */

static void refuse_greeting(struct rpc_server *s, const struct link_route *route,
                            const struct frame_head *h, unsigned reason)
{
    METRIC_ADD(rpc_metric.refused, 1);
    if (reason == FRAME_REASON_KEY)
        METRIC_ADD(rpc_metric.seal_failures, 1);
    LOG_WARN(rpc, "refused a process that wants to talk to us",
             KV_STR("reason", reason == FRAME_REASON_KEY      ? "unknown cluster key"
                              : reason == FRAME_REASON_PLAIN  ? "not sealed"
                              : reason == FRAME_REASON_SEALED ? "sealed, and we have no key"
                              : reason == FRAME_REASON_FULL   ? "too many connections"
                                                              : "malformed"),
             KV_U64("key_id", h->key_id));
    link_refuse(s->sock, route, FRAME_REJECT, reason, 0);
}

static void on_hello(struct rpc_server *s, const struct link_route *route,
                     const struct frame_head *h, uint8_t *frame, size_t len)
{
    struct conn *c = map_get(&s->conns, conn_key(route));
    struct envelope e;
    unsigned reason;

    if (c) /* it lost track of the session (a frame was lost), or restarted its end */
        conn_drop(s, c);
    if (s->conns.len >= s->max_connections) {
        refuse_greeting(s, route, h, FRAME_REASON_FULL);
        return;
    }
    c = conn_new(s, route);
    if (!link_greeted(&c->link, s->keyring, h, s->scratch, frame, len, &e, &reason)) {
        refuse_greeting(s, route, h, reason);
        conn_unref(c);
        return;
    }
    c->incarnation = e.incarnation;
    memcpy(c->instance, e.instance.ptr, e.instance.len);
    if (!link_welcome(&c->link, s->keyring)) {
        refuse_greeting(s, route, h, FRAME_REASON_KEY);
        conn_unref(c);
        return;
    }
    (void)map_put(&s->conns, conn_key(route), c);
}

/* A client that lost its connection is back on another one: the calls of the old one have nobody
 * to answer to. */
static void on_proven(struct rpc_server *s, struct conn *c)
{
    struct conn *old = NULL;

    c->is_proven = true;
    if (!c->incarnation)
        return;
    MAP_FOREACH (it, &s->conns) {
        struct conn *other = it->value;

        if (other != c && other->is_proven && other->incarnation == c->incarnation)
            old = other;
    }
    if (old)
        conn_drop(s, old);
}

/* ---- requests ---- */

static const char *check_request(struct rpc_server *s, const struct envelope *e,
                                 enum err_code *ret_code)
{
    *ret_code = ERR_UNAVAILABLE;
    if (s->is_draining)
        return "shutting down";
    if (!map_has(&s->handlers, e->method)) {
        *ret_code = ERR_UNSUPPORTED;
        return "no such method here";
    }
    if (e->total_bytes > s->max_message_bytes) {
        *ret_code = ERR_TOO_LARGE;
        return "request over the limit of a message";
    }
    if (atomic_load(&s->inflight_calls) >= s->max_inflight_calls)
        return "overloaded: too many calls in flight";
    if (atomic_load(&s->inflight_bytes) + e->total_bytes > s->max_inflight_bytes)
        return "overloaded: too many bytes in flight";
    return NULL;
}

static void run(struct rpc_call *call)
{
    call->is_running = true;
    call->handler->fn(call->handler->arg, call_ref(call));
}

/* True if it kept the message. */
static bool on_request(struct rpc_server *s, struct conn *c, const struct envelope *e,
                       struct slice payload, uint8_t *message, bool *ret_bad)
{
    enum err_code code;
    const char *refusal = check_request(s, e, &code);
    struct rpc_call *call;
    bool is_whole = payload.len == e->total_bytes;

    lock_take(&c->lock);
    *ret_bad = payload.len > e->total_bytes || (!is_whole && payload.len == 0) ||
               conn_find(c, e->id) != NULL;
    if (*ret_bad || refusal) {
        if (!*ret_bad)
            conn_refuse_call(c, e->id, code, refusal);
        lock_release(&c->lock);
        return false;
    }
    call = call_new(c, e, map_get(&s->handlers, e->method));
    if (is_whole) {
        call->message = message;
        call->payload = payload;
    } else {
        call->body = mem_alloc(call->total_bytes);
        memcpy(call->body, payload.ptr, payload.len);
        call->filled_bytes = payload.len;
    }
    call_list(call);
    lock_release(&c->lock);
    if (is_whole)
        run(call);
    call_unref(call);
    return is_whole;
}

static bool on_more(struct conn *c, const struct envelope *e, struct slice payload)
{
    struct rpc_call *call, *ready = NULL;
    bool is_good = true;

    lock_take(&c->lock);
    call = conn_find(c, e->id); /* none: refused or canceled while it was being sent */
    if (call && (call->is_running || payload.len == 0 ||
                 payload.len > call->total_bytes - call->filled_bytes)) {
        is_good = false;
    } else if (call) {
        memcpy(call->body + call->filled_bytes, payload.ptr, payload.len);
        call->filled_bytes += payload.len;
        if (call->filled_bytes == call->total_bytes) {
            call->payload = slice_of(call->body, call->total_bytes);
            ready = call_ref(call);
        }
    }
    lock_release(&c->lock);
    if (ready) {
        run(ready);
        call_unref(ready);
    }
    return is_good;
}

static struct rpc_call *find_ref(struct conn *c, uint64_t id)
{
    struct rpc_call *call;

    lock_take(&c->lock);
    call = conn_find(c, id);
    if (call)
        (void)call_ref(call);
    lock_release(&c->lock);
    return call;
}

static void on_cancel_or_credit(struct conn *c, const struct envelope *e)
{
    struct rpc_call *call = find_ref(c, e->id);

    if (!call)
        return; /* answered meanwhile */
    if (e->kind == ENVELOPE_CANCEL)
        call_cancel(call);
    else
        call_credit(call, e->credits);
    call_unref(call);
}

static bool on_ack(struct conn *c, const struct envelope *e)
{
    bool is_good;

    lock_take(&c->lock);
    is_good = e->ack <= c->link.tx_seq;
    if (is_good) {
        conn_acked(c, e->ack);
        conn_pump(c);
    }
    lock_release(&c->lock);
    return is_good;
}

static void on_ping(struct conn *c)
{
    lock_take(&c->lock);
    /* With replies on their way it hears from us anyhow. */
    if (!c->is_dead && c->flight_bytes <= link_window_bytes()) {
        size_t bytes;

        (void)link_send(&c->link, &(struct envelope){.kind = ENVELOPE_PONG}, SLICE_EMPTY, &bytes);
        bytes += LINK_FRAME_OVERHEAD;
        vec_push(&c->flights, ((struct flight){c->link.tx_seq, bytes}));
        c->flight_bytes += bytes;
    }
    lock_release(&c->lock);
}

/* True if it kept the message; *ret_bad if the connection cannot go on. */
static bool dispatch(struct rpc_server *s, struct conn *c, const struct envelope *e,
                     struct slice payload, uint8_t *message, bool *ret_bad)
{
    *ret_bad = false;
    switch (e->kind) {
    case ENVELOPE_REQUEST:
        return on_request(s, c, e, payload, message, ret_bad);
    case ENVELOPE_MORE:
        *ret_bad = !on_more(c, e, payload);
        return false;
    case ENVELOPE_CANCEL:
    case ENVELOPE_CREDIT:
        on_cancel_or_credit(c, e);
        return false;
    case ENVELOPE_ACK:
        *ret_bad = !on_ack(c, e);
        return false;
    case ENVELOPE_PING:
        on_ping(c);
        return false;
    case ENVELOPE_HELLO:
    case ENVELOPE_WELCOME:
    case ENVELOPE_REPLY:
    case ENVELOPE_PONG:
        break;
    }
    *ret_bad = true;
    return false;
}

static bool on_data(struct rpc_server *s, const struct link_route *route,
                    const struct frame_head *h, uint8_t *frame, size_t len)
{
    struct conn *c = map_get(&s->conns, conn_key(route));
    struct envelope e;
    struct slice payload;
    bool is_open, is_bad, is_kept = false;

    if (!c || c->link.session != h->session) {
        link_refuse(s->sock, route, FRAME_RESET, 0, h->session);
        return false;
    }
    lock_take(&c->lock);
    is_open = link_open(&c->link, h, s->scratch, frame, len, &e, &payload);
    lock_release(&c->lock);
    if (!is_open) {
        METRIC_ADD(rpc_metric.seal_failures, 1);
        conn_reset(s, c, "a frame could not be opened");
        return false;
    }
    c->heard_ms = rpc_mono_ms();
    c->dead_at_ms = INT64_MAX;
    if (!c->is_proven)
        on_proven(s, c);
    atomic_fetch_add(&c->refs, 1); /* a handler may free the server */
    is_kept = dispatch(s, c, &e, payload, frame, &is_bad);
    if (is_bad && s->sock >= 0)
        conn_reset(s, c, "broke the protocol");
    conn_unref(c);
    return is_kept;
}

static bool on_frame(struct rpc_server *s, const struct link_route *route, uint8_t *frame,
                     size_t len)
{
    struct frame_head h;

    if (!frame_head_get(slice_of(frame, len), &h)) {
        METRIC_ADD(rpc_metric.bad_frames, 1);
        return false;
    }
    switch (h.type) {
    case FRAME_HELLO:
        on_hello(s, route, &h, frame, len);
        return false;
    case FRAME_DATA:
        return on_data(s, route, &h, frame, len);
    case FRAME_WELCOME:
    case FRAME_REJECT:
    case FRAME_RESET:
        break;
    }
    METRIC_ADD(rpc_metric.bad_frames, 1);
    return false;
}

static void on_readable(void *arg)
{
    struct rpc_server *s = arg;

    atomic_fetch_add(&s->refs, 1);
    for (int i = 0; i < ROUND_FRAMES && s->sock >= 0; i++) {
        struct link_route route;
        size_t len;
        uint8_t *frame = link_recv(s->sock, true, &len, &route);

        if (!frame)
            break;
        METRIC_ADD(rpc_metric.bytes_received, len);
        if (!on_frame(s, &route, frame, len))
            link_free_message(frame);
        arena_reset(s->scratch);
    }
    rpc_server_unref(s);
}

/* ---- by the clock ---- */

static void expire_calls(struct conn *c, int64_t now_ms)
{
    VEC(struct rpc_call *) late = {0};

    lock_take(&c->lock);
    for (size_t i = 0; i < CONN_BUCKETS; i++) {
        for (struct rpc_call *call = c->calls[i]; call; call = call->next)
            if (call->deadline_ms <= now_ms)
                vec_push(&late, call_ref(call));
    }
    lock_release(&c->lock);
    VEC_FOREACH (it, &late) {
        call_cancel(*it);
        call_unref(*it);
    }
    vec_done(&late);
}

static bool is_over(struct rpc_server *s, struct conn *c, int64_t now_ms)
{
    bool is_doomed;

    lock_take(&c->lock);
    is_doomed = c->is_doomed;
    lock_release(&c->lock);
    if (is_doomed || now_ms >= c->dead_at_ms)
        return true;
    if (s->keyring && !seal_keyring_has(s->keyring, c->link.key_id))
        return true;
    return now_ms - c->heard_ms > (c->is_proven ? SILENCE_MS : UNPROVEN_MS);
}

static void on_tick(void *arg)
{
    struct rpc_server *s = arg;
    int64_t now_ms = rpc_mono_ms();
    uint64_t broken = link_broken(s->sock);
    VEC(struct conn *) over = {0}, alive = {0};

    atomic_fetch_add(&s->refs, 1); /* a callback below may free the server */
    MAP_FOREACH (it, &s->conns) {
        struct conn *c = it->value;

        if (broken != s->broken)
            c->dead_at_ms = ORR_MIN(c->dead_at_ms, now_ms + SUSPECT_MS);
        if (is_over(s, c, now_ms)) {
            vec_push(&over, c);
        } else {
            atomic_fetch_add(&c->refs, 1);
            vec_push(&alive, c);
        }
    }
    s->broken = broken;
    VEC_FOREACH (c, &over) {
        if (s->sock >= 0)
            conn_reset(s, *c, "silent, overfull, or its key was removed");
    }
    VEC_FOREACH (c, &alive) {
        expire_calls(*c, now_ms);
        conn_unref(*c);
    }
    vec_done(&over);
    vec_done(&alive);
    if (s->tick)
        loop_timer_arm_ms(s->tick, TICK_MS);
    rpc_server_unref(s);
}

/* ---- life ---- */

struct err *rpc_server_new(const struct rpc_server_opts *opts, struct rpc_server **ret)
{
    struct rpc_server *s = mem_new(struct rpc_server);
    struct err *e;

    atomic_init(&s->refs, 1);
    s->loop = opts->loop;
    s->max_message_bytes = opts->max_message_bytes
                               ? ORR_MIN(opts->max_message_bytes, (size_t)RPC_MAX_MESSAGE_BYTES)
                               : RPC_MAX_MESSAGE_BYTES;
    s->max_inflight_calls =
        opts->max_inflight_calls ? opts->max_inflight_calls : MAX_INFLIGHT_CALLS;
    s->max_inflight_bytes =
        opts->max_inflight_bytes ? opts->max_inflight_bytes : MAX_INFLIGHT_BYTES;
    s->max_connections = opts->max_connections ? opts->max_connections : MAX_CONNECTIONS;
    rpc_metric_init();
    if ((e = link_bind(opts->address, &s->sock, s->address))) {
        mem_free(s);
        return e;
    }
    /* Within one process there is nobody to hide from. */
    s->keyring = link_is_inproc(s->address) ? NULL : seal_keyring_ref(opts->keyring);
    s->scratch = arena_new(0);
    if (!s->keyring && !link_is_inproc(s->address))
        LOG_WARN(rpc, "messages between processes are not sealed: no cluster key is configured",
                 KV_STR("addr", s->address));
    *ret = s;
    return NULL;
}

void rpc_server_handle(struct rpc_server *s, const char *method, rpc_handler_fn *fn, void *arg)
{
    struct handler *h = mem_new(struct handler);

    ORR_ASSERT(strlen(method) <= RPC_METHOD_MAX_BYTES);
    *h = (struct handler){fn, arg};
    h = map_put(&s->handlers, slice_cstr(method), h);
    ORR_ASSERT(!h); /* one handler per method */
}

void rpc_server_start(struct rpc_server *s)
{
    ORR_ASSERT(!s->io);
    s->io = loop_io_new(s->loop, link_recv_fd(s->sock), on_readable, s);
    s->tick = loop_timer_new(s->loop, on_tick, s);
    loop_timer_arm_ms(s->tick, TICK_MS);
}

const char *rpc_server_address(const struct rpc_server *s)
{
    return s->address;
}

void rpc_server_drain(struct rpc_server *s)
{
    s->is_draining = true;
}

size_t rpc_server_inflight(const struct rpc_server *s)
{
    return atomic_load(&((struct rpc_server *)s)->inflight_calls);
}

void rpc_server_unref(struct rpc_server *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    MAP_FOREACH (it, &s->handlers)
        mem_free(it->value);
    map_done(&s->handlers);
    map_done(&s->conns);
    arena_free(s->scratch);
    seal_keyring_unref(s->keyring);
    mem_free(s);
}

void rpc_server_free(struct rpc_server *s)
{
    struct map_entry *it;

    if (!s)
        return;
    loop_io_free(s->io);
    if (s->tick)
        loop_timer_free(s->tick);
    s->tick = NULL;
    while ((it = map_next(&s->conns, NULL)))
        conn_drop(s, it->value);
    link_close(s->sock); /* no connection is left that would use it */
    s->sock = -1;
    rpc_server_unref(s);
}
