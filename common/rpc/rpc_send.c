#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/rpc/rpc_client_internal.h"
#include "common/rpc/rpc_metric.h"

static bool send_one(struct rpc_peer *p, const struct envelope *e, struct slice payload)
{
    size_t bytes;
    enum link_sent sent = link_send(&p->link, e, payload, &bytes);

    METRIC_ADD(rpc_metric.bytes_sent, bytes);
    return sent == LINK_SENT;
}

static bool is_done(const struct pending *m)
{
    return m->is_started && m->sent == m->payload.len;
}

static bool send_part(struct rpc_peer *p, struct pending *m)
{
    size_t n = ORR_MIN(m->payload.len - m->sent, (size_t)FRAME_PAYLOAD_BYTES);
    struct slice part = slice_sub(m->payload, m->sent, n);

    m->sent += n;
    if (m->is_started)
        return send_one(p, &(struct envelope){.kind = ENVELOPE_MORE, .id = m->e.id}, part);
    m->is_started = true;
    m->e.timeout_ms = (uint64_t)ORR_MAX(m->deadline_ms - clock_mono_ms(&clock_system), INT64_C(1));
    return send_one(p, &m->e, part);
}

static void pending_free(struct pending *m)
{
    mem_free(m->owned);
    mem_free(m);
}

static bool pump_controls(struct rpc_peer *p)
{
    bool is_free = true;
    size_t n = 0;

    if (p->needs_ack) {
        p->needs_ack = false;
        is_free = send_one(p, &(struct envelope){.kind = ENVELOPE_ACK, .ack = p->link.rx_seq},
                           SLICE_EMPTY);
    }
    while (is_free && n < p->controls.len)
        is_free = send_one(p, &p->controls.ptr[n++], SLICE_EMPTY);
    if (n) {
        memmove(p->controls.ptr, p->controls.ptr + n,
                (p->controls.len - n) * sizeof(*p->controls.ptr));
        p->controls.len -= n;
    }
    return is_free;
}

bool peer_pump(struct rpc_peer *p)
{
    bool is_free;

    if (p->state != PEER_UP)
        return true; /* WELCOME will start it */
    is_free = link_flush(&p->link) == LINK_SENT && pump_controls(p);
    while (is_free && p->out_head) {
        struct pending *m = p->out_head;

        is_free = send_part(p, m);
        if (!is_done(m))
            continue;
        p->out_bytes -= m->payload.len;
        p->out_head = m->next;
        if (!p->out_head)
            p->out_tail = &p->out_head;
        pending_free(m);
    }
    if (!is_free)
        peer_want_write(p);
    return is_free;
}

static char *keep(char *at, struct slice *s)
{
    if (s->len)
        memcpy(at, s->ptr, s->len);
    *s = slice_of(at, s->len);
    return at + s->len;
}

/* A copy of what is left of m, which borrows. */
static struct pending *pending_copy(const struct pending *m)
{
    struct pending *c = mem_new(struct pending);
    char *at;

    *c = *m;
    c->payload = slice_from(m->payload, m->sent);
    c->sent = 0;
    at = c->owned =
        mem_alloc(c->payload.len + c->e.method.len + c->e.tenant.len + c->e.trace.len + 1);
    at = keep(at, &c->payload);
    at = keep(at, &c->e.method);
    at = keep(at, &c->e.tenant);
    (void)keep(at, &c->e.trace);
    return c;
}

void peer_send(struct rpc_peer *p, struct pending *m)
{
    bool is_free = p->state == PEER_UP && !p->out_head && !p->link.held && !p->controls.len;
    struct pending *later;

    while (is_free && !is_done(m))
        is_free = send_part(p, m);
    if (!is_free && p->state == PEER_UP)
        peer_want_write(p);
    if (is_done(m))
        return;
    later = pending_copy(m);
    p->out_bytes += later->payload.len;
    *p->out_tail = later;
    p->out_tail = &later->next;
}

void peer_control(struct rpc_peer *p, const struct envelope *e)
{
    if (p->state != PEER_UP)
        return; /* it concerns a session that is gone */
    vec_push(&p->controls, *e);
    (void)peer_pump(p);
}

void peer_dequeue(struct rpc_peer *p, uint64_t id)
{
    struct pending **at = &p->out_head, *m;

    while ((m = *at) && m->e.id != id)
        at = &m->next;
    if (!m)
        return;
    *at = m->next;
    if (p->out_tail == &m->next)
        p->out_tail = at;
    p->out_bytes -= m->payload.len;
    pending_free(m);
}

void peer_clear(struct rpc_peer *p)
{
    for (struct pending *m; (m = p->out_head);) {
        p->out_head = m->next;
        pending_free(m);
    }
    p->out_tail = &p->out_head;
    p->out_bytes = 0;
    vec_clear(&p->controls);
    p->needs_ack = false;
}

struct rpc_request *peer_find(struct rpc_peer *p, uint64_t id)
{
    struct rpc_request *r = p->requests[id % PEER_BUCKETS];

    while (r && r->id != id)
        r = r->next;
    return r;
}

void peer_list(struct rpc_peer *p, struct rpc_request *r)
{
    struct rpc_request **bucket = &p->requests[r->id % PEER_BUCKETS];

    r->next = *bucket;
    *bucket = r;
    r->is_listed = true;
    atomic_fetch_add(&r->refs, 1);
    p->inflight++;
    METRIC_ADD(rpc_metric.client_inflight, 1);
}

bool peer_unlist(struct rpc_peer *p, struct rpc_request *r)
{
    struct rpc_request **at = &p->requests[r->id % PEER_BUCKETS];

    if (!r->is_listed)
        return false;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    r->is_listed = false;
    p->inflight--;
    METRIC_ADD(rpc_metric.client_inflight, -1);
    return true;
}
