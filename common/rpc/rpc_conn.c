#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/rpc/rpc_metric.h"
#include "common/rpc/rpc_server_internal.h"

#define OUT_MAX_MESSAGES 4 /* queued bytes of one connection, in messages of the largest size */

int64_t rpc_mono_ms(void)
{
    return clock_mono_ms(&clock_system);
}

struct conn *conn_new(struct rpc_server *s, const struct link_route *route)
{
    struct conn *c = mem_new(struct conn);

    atomic_init(&c->refs, 1);
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    c->server = s;
    c->route = *route;
    c->link = (struct link){.sock = s->sock, .is_server = true, .route = *route};
    lock_init(&c->lock, LOCK_RPC);
    c->out_tail = &c->out_head;
    c->heard_ms = rpc_mono_ms();
    c->dead_at_ms = INT64_MAX;
    METRIC_ADD(rpc_metric.connections, 1);
    return c;
}

static void out_free(struct out *o)
{
    mem_free(o->owned);
    mem_free(o);
}

static void out_clear(struct conn *c)
{
    for (struct out *o; (o = c->out_head);) {
        c->out_head = o->next;
        out_free(o);
    }
    c->out_tail = &c->out_head;
    c->out_bytes = 0;
}

void conn_unref(struct conn *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    out_clear(c);
    vec_done(&c->flights);
    link_reset(&c->link);
    lock_done(&c->lock);
    rpc_server_unref(c->server);
    mem_free(c);
    METRIC_ADD(rpc_metric.connections, -1);
}

void conn_kill(struct conn *c)
{
    VEC(struct rpc_call *) victims = {0};

    lock_take(&c->lock);
    c->is_dead = true;
    out_clear(c);
    for (size_t i = 0; i < CONN_BUCKETS; i++) {
        for (struct rpc_call *call = c->calls[i]; call; call = call->next)
            vec_push(&victims, call_ref(call));
    }
    lock_release(&c->lock);
    VEC_FOREACH (v, &victims) {
        call_cancel(*v);
        call_unref(*v);
    }
    vec_done(&victims);
}

/* ---- calls ---- */

struct rpc_call *conn_find(struct conn *c, uint64_t id)
{
    struct rpc_call *call = c->calls[id % CONN_BUCKETS];

    while (call && call->id != id)
        call = call->next;
    return call;
}

static char *put_text(char *at, struct slice text, struct slice *ret)
{
    if (text.len)
        memcpy(at, text.ptr, text.len);
    *ret = slice_of(at, text.len);
    return at + text.len;
}

struct rpc_call *call_new(struct conn *c, const struct envelope *e, struct handler *h)
{
    struct rpc_call *call = mem_new(struct rpc_call);
    char *at;

    atomic_init(&call->refs, 1);
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    call->conn = c;
    call->id = e->id;
    call->handler = h;
    call->credits = e->credits;
    call->total_bytes = (size_t)e->total_bytes;
    call->deadline_ms = rpc_mono_ms() + (int64_t)ORR_MIN(e->timeout_ms, UINT64_C(86400000));
    call->payload = SLICE_EMPTY;
    at = call->texts = mem_alloc(e->method.len + e->tenant.len + e->trace.len + 1);
    at = put_text(at, e->method, &call->method);
    at = put_text(at, e->tenant, &call->tenant);
    (void)put_text(at, e->trace, &call->trace);
    atomic_fetch_add(&c->server->inflight_calls, 1);
    atomic_fetch_add(&c->server->inflight_bytes, call->total_bytes);
    METRIC_ADD(rpc_metric.server_inflight, 1);
    METRIC_ADD(rpc_metric.server_inflight_bytes, (int64_t)call->total_bytes);
    METRIC_ADD(rpc_metric.calls_handled, 1);
    return call;
}

struct rpc_call *call_ref(struct rpc_call *call)
{
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
    return call;
}

void call_unref(struct rpc_call *call)
{
    struct rpc_server *s = call->conn->server;

    if (atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) != 1)
        return;
    atomic_fetch_sub(&s->inflight_calls, 1);
    atomic_fetch_sub(&s->inflight_bytes, call->total_bytes);
    METRIC_ADD(rpc_metric.server_inflight, -1);
    METRIC_ADD(rpc_metric.server_inflight_bytes, -(int64_t)call->total_bytes);
    link_free_message(call->message);
    mem_free(call->body);
    mem_free(call->texts);
    conn_unref(call->conn);
    mem_free(call);
}

void call_list(struct rpc_call *call)
{
    struct rpc_call **bucket = &call->conn->calls[call->id % CONN_BUCKETS];

    call->next = *bucket;
    *bucket = call_ref(call);
    call->is_listed = true;
}

void call_unlist(struct rpc_call *call)
{
    struct rpc_call **at = &call->conn->calls[call->id % CONN_BUCKETS];

    if (!call->is_listed)
        return;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    call->is_listed = false;
    call_unref(call);
}

void call_cancel(struct rpc_call *call)
{
    loop_fn *on_cancel, *on_writable;
    bool is_first;

    lock_take(&call->conn->lock);
    is_first = !atomic_exchange(&call->is_canceled, true);
    on_cancel = call->on_cancel;
    on_writable = call->on_writable;
    call_unlist(call);
    lock_release(&call->conn->lock);
    if (is_first && on_cancel)
        on_cancel(call->cancel_arg);
    if (is_first && on_writable)
        on_writable(call->writable_arg);
}

void call_credit(struct rpc_call *call, uint32_t n)
{
    loop_fn *on_writable = NULL;

    lock_take(&call->conn->lock);
    if (call->credits == 0)
        on_writable = call->on_writable;
    call->credits = (uint32_t)ORR_MIN(call->credits + (uint64_t)n, (uint64_t)UINT32_MAX);
    lock_release(&call->conn->lock);
    if (on_writable && n)
        on_writable(call->writable_arg);
}

/* ---- what goes out ---- */

void conn_acked(struct conn *c, uint64_t seq)
{
    while (c->flights_from < c->flights.len && c->flights.ptr[c->flights_from].seq <= seq)
        c->flight_bytes -= c->flights.ptr[c->flights_from++].bytes;
    if (c->flights_from == c->flights.len || c->flights_from >= 256) {
        c->flights.len -= c->flights_from;
        if (c->flights.len)
            memmove(c->flights.ptr, c->flights.ptr + c->flights_from,
                    c->flights.len * sizeof(*c->flights.ptr));
        c->flights_from = 0;
    }
}

static bool can_send(const struct conn *c)
{
    return !c->is_dead && c->flight_bytes <= link_window_bytes();
}

static bool out_is_done(const struct out *o)
{
    return o->is_started && o->sent == o->payload.len;
}

static void send_frame(struct conn *c, struct out *o)
{
    size_t n = ORR_MIN(o->payload.len - o->sent, (size_t)FRAME_PAYLOAD_BYTES), bytes;
    struct envelope e = {.kind = ENVELOPE_MORE, .id = o->id};

    if (!o->is_started) {
        e.kind = ENVELOPE_REPLY;
        e.flags = o->flags;
        e.total_bytes = o->payload.len;
        e.error_code = o->error_code;
        e.error_message = o->error_message;
        e.mark = o->mark;
    }
    /* The socket never says no (link.h), but it may be gone. */
    if (link_send(&c->link, &e, slice_sub(o->payload, o->sent, n), &bytes) == LINK_HELD)
        c->is_doomed = true;
    o->sent += n;
    o->is_started = true;
    METRIC_ADD(rpc_metric.bytes_sent, bytes);
    bytes += LINK_FRAME_OVERHEAD;
    vec_push(&c->flights, ((struct flight){c->link.tx_seq, bytes}));
    c->flight_bytes += bytes;
    if (c->is_doomed)
        c->is_dead = true;
}

void conn_pump(struct conn *c)
{
    while (c->out_head && can_send(c)) {
        struct out *o = c->out_head;

        send_frame(c, o);
        if (!out_is_done(o))
            continue;
        c->out_bytes -= o->payload.len;
        c->out_head = o->next;
        if (!c->out_head)
            c->out_tail = &c->out_head;
        out_free(o);
    }
}

/* Sends o, or what is left of it later: then its bytes are copied, unless owned by it. */
static void conn_send(struct conn *c, struct out *o)
{
    struct out *later;

    if (!c->out_head) {
        while (!out_is_done(o) && can_send(c))
            send_frame(c, o);
    }
    if (c->is_dead || out_is_done(o)) {
        mem_free(o->owned);
        return;
    }
    METRIC_ADD(rpc_metric.stalls, 1);
    if (c->out_bytes + o->payload.len > OUT_MAX_MESSAGES * c->server->max_message_bytes) {
        c->is_doomed = c->is_dead = true; /* does not read its answers */
        mem_free(o->owned);
        return;
    }
    later = mem_new(struct out);
    *later = *o;
    if (!o->owned) {
        size_t left = o->payload.len - o->sent, text = o->is_started ? 0 : o->error_message.len;
        uint8_t *copy = mem_alloc(left + text + 1);

        memcpy(copy, o->payload.ptr + o->sent, left);
        if (text)
            memcpy(copy + left, o->error_message.ptr, text);
        later->owned = copy;
        later->payload = slice_of(copy, left); /* what is left is a message of its own now */
        later->sent = 0;
        later->error_message = slice_of(copy + left, text);
    }
    c->out_bytes += later->payload.len;
    *c->out_tail = later;
    c->out_tail = &later->next;
}

static struct slice bounded_message(const char *message)
{
    struct slice s = slice_cstr(message);

    if (s.len > ENVELOPE_MESSAGE_MAX_BYTES) { /* the logs of the server have all of it */
        s.len = ENVELOPE_MESSAGE_MAX_BYTES;
        while (s.len > 0 && (s.ptr[s.len] & 0xc0) == 0x80)
            s.len--; /* not within a character */
    }
    return s;
}

void conn_refuse_call(struct conn *c, uint64_t id, enum err_code code, const char *message)
{
    struct out o = {.id = id,
                    .flags = ENVELOPE_LAST,
                    .error_code = code,
                    .error_message = bounded_message(message),
                    .payload = SLICE_EMPTY};

    rpc_metric_server_error(code);
    conn_send(c, &o);
}

/* ---- answers ---- */

static void answer(struct rpc_call *call, struct out *o)
{
    struct conn *c = call->conn;

    o->id = call->id;
    o->flags = ENVELOPE_LAST;
    lock_take(&c->lock);
    o->mark = call->mark;
    if (!atomic_load(&call->is_canceled) && !c->is_dead)
        conn_send(c, o);
    else
        mem_free(o->owned);
    call_unlist(call);
    lock_release(&c->lock);
    call_unref(call);
}

static bool is_too_large(struct rpc_call *call, size_t len)
{
    size_t max = call->conn->server->max_message_bytes;

    if (len <= max)
        return false;
    rpc_reply_err(call, err_new(ERR_TOO_LARGE, "reply of %.*s: %zu bytes, the limit is %zu",
                                SLICE_ARG(call->method), len, max));
    return true;
}

void rpc_reply(struct rpc_call *call, struct slice payload)
{
    if (!is_too_large(call, payload.len))
        answer(call, &(struct out){.payload = payload});
}

void rpc_reply_buf(struct rpc_call *call, struct buf *payload)
{
    size_t len;
    uint8_t *bytes = buf_take(payload, &len);

    if (is_too_large(call, len))
        mem_free(bytes);
    else
        answer(call, &(struct out){.payload = bytes ? slice_of(bytes, len) : SLICE_EMPTY,
                                   .owned = bytes});
}

void rpc_reply_err(struct rpc_call *call, struct err *e)
{
    enum err_code code = err_code(e);

    rpc_metric_server_error(code);
    answer(call, &(struct out){.payload = SLICE_EMPTY,
                               .error_code = code,
                               .error_message = bounded_message(err_msg(e))});
    err_free(e);
}

bool rpc_stream_can_send(const struct rpc_call *call)
{
    struct rpc_call *c = (struct rpc_call *)call;
    bool can;

    lock_take(&c->conn->lock);
    can = c->credits > 0 || atomic_load(&c->is_canceled);
    lock_release(&c->conn->lock);
    return can;
}

bool rpc_stream_send(struct rpc_call *call, struct slice payload)
{
    struct conn *c = call->conn;
    bool can;

    ORR_ASSERT(payload.len <= c->server->max_message_bytes);
    lock_take(&c->lock);
    can = call->credits > 0 || atomic_load(&call->is_canceled) || c->is_dead;
    if (call->credits > 0 && !atomic_load(&call->is_canceled) && !c->is_dead) {
        call->credits--;
        conn_send(c, &(struct out){.id = call->id, .payload = payload, .mark = call->mark});
    }
    lock_release(&c->lock);
    return can;
}

void rpc_stream_on_writable(struct rpc_call *call, loop_fn *fn, void *arg)
{
    lock_take(&call->conn->lock);
    call->on_writable = fn;
    call->writable_arg = arg;
    lock_release(&call->conn->lock);
}

void rpc_stream_end(struct rpc_call *call)
{
    answer(call, &(struct out){.payload = SLICE_EMPTY});
}

void rpc_call_mark(struct rpc_call *call, uint64_t mark)
{
    lock_take(&call->conn->lock);
    call->mark = mark;
    lock_release(&call->conn->lock);
}

void rpc_call_on_cancel(struct rpc_call *call, loop_fn *fn, void *arg)
{
    bool is_canceled;

    lock_take(&call->conn->lock);
    call->on_cancel = fn;
    call->cancel_arg = arg;
    is_canceled = atomic_load(&call->is_canceled);
    lock_release(&call->conn->lock);
    if (is_canceled)
        fn(arg);
}

struct slice rpc_call_method(const struct rpc_call *c)
{
    return c->method;
}

struct slice rpc_call_tenant(const struct rpc_call *c)
{
    return c->tenant;
}

struct slice rpc_call_payload(const struct rpc_call *c)
{
    return c->payload;
}

struct slice rpc_call_trace(const struct rpc_call *c)
{
    return c->trace;
}

int64_t rpc_call_left_ms(const struct rpc_call *c)
{
    return c->deadline_ms - rpc_mono_ms();
}

bool rpc_call_is_canceled(const struct rpc_call *c)
{
    return atomic_load(&c->is_canceled) || rpc_call_left_ms(c) <= 0;
}

struct loop *rpc_call_loop(const struct rpc_call *c)
{
    return c->conn->server->loop;
}
