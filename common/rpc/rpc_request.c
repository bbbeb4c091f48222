#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/rpc/rpc_client_internal.h"
#include "common/rpc/rpc_metric.h"

struct delivery {
    struct rpc_request *request;
    struct slice payload;
    void *memory, *message;
    bool is_last;
    struct err *e;
};

void request_unref(struct rpc_request *r)
{
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    ORR_ASSERT(!r->timer);
    mem_free(r->body);
    peer_unref(r->peer);
    mem_free(r);
}

/* Own loop: no callback after this. Drops the loop's reference. */
static void finish(struct rpc_request *r)
{
    r->is_done = true;
    loop_timer_free(r->timer);
    r->timer = NULL;
    request_unref(r);
}

static void credit(struct rpc_request *r, uint32_t n)
{
    lock_take(&r->peer->lock);
    if (r->is_listed)
        peer_control(r->peer,
                     &(struct envelope){.kind = ENVELOPE_CREDIT, .id = r->id, .credits = n});
    lock_release(&r->peer->lock);
}

static void run_delivery(void *arg)
{
    struct delivery *d = arg;
    struct rpc_request *r = d->request;

    if (!r->is_done) {
        if (d->is_last) {
            if (d->e)
                rpc_metric_client_error(err_code(d->e));
            atomic_fetch_add(&r->refs, 1);
            finish(r);
            r->on_reply(r->arg, d->payload, true, d->e);
            request_unref(r);
        } else {
            r->on_reply(r->arg, d->payload, false, NULL);
            if (!r->is_done && !r->is_manual)
                credit(r, 1);
        }
    }
    err_free(d->e);
    mem_free(d->memory);
    link_free_message(d->message);
    request_unref(r);
    mem_free(d);
}

void request_deliver(struct rpc_request *r, struct slice payload, void *memory, void *message,
                     bool is_last, struct err *e, bool must_post)
{
    struct delivery *d = mem_new(struct delivery);

    *d = (struct delivery){r, payload, memory, message, is_last, e};
    if (!must_post && loop_is_mine(r->loop))
        run_delivery(d);
    else
        loop_post(r->loop, run_delivery, d);
}

/* Own loop: the server need not go on. */
static void withdraw(struct rpc_request *r)
{
    struct rpc_peer *p = r->peer;
    bool was_listed;

    lock_take(&p->lock);
    was_listed = peer_unlist(p, r);
    if (was_listed) {
        peer_dequeue(p, r->id);
        peer_control(p, &(struct envelope){.kind = ENVELOPE_CANCEL, .id = r->id});
    }
    lock_release(&p->lock);
    if (was_listed)
        request_unref(r);
}

static void on_timeout(void *arg)
{
    struct rpc_request *r = arg;
    struct err *e = err_new(ERR_TIMEOUT, "%s: no answer in time", r->peer->address);

    withdraw(r);
    rpc_metric_client_error(ERR_TIMEOUT);
    atomic_fetch_add(&r->refs, 1);
    finish(r);
    r->on_reply(r->arg, SLICE_EMPTY, true, e);
    err_free(e);
    request_unref(r);
}

static void start_timer(struct rpc_request *r)
{
    int64_t left_ms = r->deadline_ms - clock_mono_ms(&clock_system);

    r->timer = loop_timer_new(r->loop, on_timeout, r);
    loop_timer_arm_ms(r->timer, ORR_MAX(left_ms, INT64_C(0)));
}

static void start_timer_posted(void *arg)
{
    struct rpc_request *r = arg;

    if (!r->is_done)
        start_timer(r);
    request_unref(r);
}

static struct err *check(const struct rpc_peer *p, const struct rpc_call_opts *opts,
                         struct slice payload)
{
    if (p->address_error)
        return err_copy(p->address_error);
    if (p->state == PEER_CLOSED)
        return err_new(ERR_CANCELED, "%s: connection closed", p->address);
    if (p->is_down)
        return err_new(p->down_code, "%s: %s", p->address, p->down_text);
    if (p->inflight >= p->pool->max_inflight)
        return err_new(ERR_UNAVAILABLE, "%s: %zu calls are in flight already", p->address,
                       p->inflight);
    if (p->out_bytes + payload.len > p->pool->max_queued_bytes && p->out_bytes > 0)
        return err_new(ERR_UNAVAILABLE, "%s: %zu bytes wait to be sent already", p->address,
                       p->out_bytes);
    if (payload.len > p->pool->max_message_bytes)
        return err_new(ERR_TOO_LARGE, "%s: request of %zu bytes, the limit is %zu", p->address,
                       payload.len, p->pool->max_message_bytes);
    if (opts->tenant.len > ENVELOPE_TENANT_MAX_BYTES || opts->trace.len > ENVELOPE_TRACE_MAX_BYTES)
        return err_new(ERR_INVALID, "%s: tenant or trace context too long", p->address);
    return NULL;
}

static struct err *begin(struct rpc_peer *p, struct rpc_request *r,
                         const struct rpc_call_opts *opts, struct slice payload)
{
    struct pending m = {
        .e = {.kind = ENVELOPE_REQUEST,
              .method = slice_cstr(opts->method),
              .tenant = opts->tenant,
              .trace = opts->trace,
              .credits = opts->credits ? opts->credits : RPC_DEFAULT_CREDITS,
              .total_bytes = payload.len},
        .payload = payload,
        .deadline_ms = r->deadline_ms,
    };
    struct err *e;

    ORR_ASSERT(m.e.method.len > 0 && m.e.method.len <= RPC_METHOD_MAX_BYTES);
    lock_take(&p->lock);
    if (!(e = check(p, opts, payload))) {
        r->id = m.e.id = ++p->last_id;
        peer_list(p, r);
        peer_send(p, &m);
    }
    lock_release(&p->lock);
    return e;
}

void rpc_call(struct rpc_peer *peer, const struct rpc_call_opts *opts, struct slice payload,
              rpc_reply_fn *on_reply, void *arg, struct rpc_request **ret)
{
    struct rpc_request *r = mem_new(struct rpc_request);
    struct loop *current = loop_current();
    struct err *e;

    atomic_init(&r->refs, 2); /* its loop's, and one for here */
    r->peer = peer_ref(peer);
    r->loop = current ? current : peer->pool->loop;
    r->on_reply = on_reply;
    r->arg = arg;
    r->is_manual = opts->manual_credit;
    r->deadline_ms = clock_mono_ms(&clock_system) +
                     (opts->timeout_ms > 0 ? opts->timeout_ms : RPC_DEFAULT_TIMEOUT_MS);
    if (ret)
        *ret = r; /* before it is sent: from another thread the answer may already be there */
    METRIC_ADD(rpc_metric.calls_sent, 1);
    if (current) {
        start_timer(r);
    } else {
        atomic_fetch_add(&r->refs, 1);
        loop_post(r->loop, start_timer_posted, r);
    }
    e = begin(peer, r, opts, payload);
    if (e) {
        METRIC_ADD(rpc_metric.refused, 1);
        request_deliver(r, SLICE_EMPTY, NULL, NULL, true, e, true); /* takes our reference */
    } else {
        request_unref(r);
    }
}

void rpc_request_cancel(struct rpc_request *r)
{
    if (!r || r->is_done)
        return;
    withdraw(r);
    finish(r);
}

uint64_t rpc_request_mark(const struct rpc_request *r)
{
    return atomic_load(&((struct rpc_request *)r)->mark);
}

void rpc_request_credit(struct rpc_request *r, uint32_t n)
{
    if (!r->is_done)
        credit(r, n);
}
