#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/net/http_h2_internal.h"

/* Reads of one connection before others get their turn. */
#define READS_A_TURN 16
#define ROUNDS_A_TURN 16

static struct conn *conn_from(void *arg)
{
    struct conn *c = arg;

    ORR_ASSERT(c->magic == CONN_MAGIC);
    return c;
}

/* ---- lists and phases ---- */

static void list_remove(struct conn *c)
{
    if (!c->list)
        return;
    *(c->prev ? &c->prev->next : &c->list->first) = c->next;
    *(c->next ? &c->next->prev : &c->list->last) = c->prev;
    c->prev = c->next = NULL;
    c->list = NULL;
}

static void list_append(struct conn_list *l, struct conn *c)
{
    list_remove(c);
    c->list = l;
    c->prev = l->last;
    *(l->last ? &l->last->next : &l->first) = c;
    l->last = c;
}

void conn_set_phase(struct conn *c, enum phase phase)
{
    struct conn_list *l = phase == PHASE_IDLE ? &c->sl->idle : &c->sl->active;

    c->phase = phase;
    c->since_ms = loop_now_ms(c->sl->loop);
    if (c->list != l || phase == PHASE_IDLE)
        list_append(l, c);
}

void conn_set_busy(struct conn *c, bool is_busy)
{
    if (c->phase != PHASE_H2 || c->is_dead)
        return;
    c->since_ms = loop_now_ms(c->sl->loop);
    list_append(is_busy ? &c->sl->active : &c->sl->idle, c);
}

/* ---- events ---- */

static void set_reading(struct conn *c, bool on)
{
    if (c->is_reading == on)
        return;
    c->is_reading = on;
    if (on)
        (void)event_add(&c->ev_read, NULL);
    else
        (void)event_del(&c->ev_read);
}

static void set_writing(struct conn *c, bool on)
{
    if (c->is_writing == on)
        return;
    c->is_writing = on;
    if (on)
        (void)event_add(&c->ev_write, NULL);
    else
        (void)event_del(&c->ev_write);
}

void conn_send_later(struct conn *c)
{
    if (!c->is_running) /* else the run below sends it */
        set_writing(c, true);
}

void conn_read_again(struct conn *c)
{
    if (c->is_eof || c->is_dead)
        return;
    set_reading(c, true);
    /* What is to be done now may be in c->in, inside OpenSSL or only the end of a body: none of
     * it makes the socket readable. */
    c->was_held_back = true;
    event_active(&c->ev_read, EV_READ, 0);
}

struct evbuffer *conn_out(struct conn *c)
{
    if (!c->out) {
        c->out = evbuffer_new();
        ORR_ASSERT(c->out);
        c->stall_ms = loop_now_ms(c->sl->loop);
    }
    return c->out;
}

size_t conn_out_bytes(const struct conn *c)
{
    return c->out ? evbuffer_get_length(c->out) : 0;
}

/* ---- the end of a connection ---- */

static void conn_destroy(struct conn *c)
{
    struct server_loop *sl = c->sl;

    (void)event_del(&c->ev_read);
    (void)event_del(&c->ev_write);
    h2_free(c->h2);
    SSL_free(c->ssl);
    (void)close(c->fd);
    if (c->out)
        evbuffer_free(c->out);
    buf_done(&c->in);
    c->magic = 0;
    mem_free(c);
    server_loop_conn_gone(sl);
}

void conn_close(struct conn *c)
{
    struct exchange *x = c->x;

    if (c->is_dead)
        return;
    c->is_dead = true;
    c->x = NULL;
    list_remove(c);
    if (x)
        exchange_lost(x);
    if (c->h2)
        h2_lose_streams(c->h2);
    if (c->ws)
        websocket_lost(c->ws);
    if (c->holds == 0)
        conn_destroy(c);
}

void conn_close_idle(struct conn *c)
{
    conn_hold(c);
    if (c->h2) {
        h2_say_goodbye(c->h2);
        if (conn_out_bytes(c))
            (void)transport_write(c);
    }
    conn_close(c);
    conn_release(c);
}

void conn_drain(struct conn *c)
{
    if (c->h2)
        h2_drain(c->h2);
    else if (c->ws)
        websocket_drain(c->ws);
    else if (c->phase == PHASE_IDLE)
        conn_close(c);
}

void conn_hold(struct conn *c)
{
    c->holds++;
}

void conn_release(struct conn *c)
{
    if (--c->holds == 0 && c->is_dead)
        conn_destroy(c);
}

/* ---- output ---- */

/* False when the connection is dead. */
static bool flush_out(struct conn *c)
{
    size_t before = conn_out_bytes(c);
    enum transport_got got;

    if (before == 0) {
        set_writing(c, c->read_wants_write);
        return true;
    }
    got = transport_write(c);
    if (got == TRANSPORT_FAILED) {
        conn_close(c);
        return false;
    }
    if (conn_out_bytes(c) < before)
        c->stall_ms = loop_now_ms(c->sl->loop);
    if (conn_out_bytes(c) == 0) {
        evbuffer_free(c->out);
        c->out = NULL;
    }
    set_writing(c, (conn_out_bytes(c) > 0 && !c->write_wants_read) || c->read_wants_write);
    return true;
}

/* The reply is sent: the next request, or the end. */
static void sent(struct conn *c)
{
    if (!c->closes) {
        c->scan = (struct http_head_scan){0};
        conn_set_phase(c, PHASE_IDLE);
        if (c->sl->is_draining && c->view.len == 0)
            conn_close(c);
        else if (c->is_eof && c->view.len == 0)
            conn_close(c);
        else
            set_reading(c, !c->is_eof);
        return;
    }
    if (!c->lingers || c->is_eof) {
        transport_shutdown(c);
        conn_close(c);
        return;
    }
    /* Closing with unread input makes the kernel reset the connection, and the peer may then never
     * see the refusal. */
    transport_shutdown(c);
    c->view = SLICE_EMPTY;
    conn_set_phase(c, PHASE_LINGER);
    set_reading(c, true);
}

/* ---- progress ---- */

static void work_head(struct conn *c)
{
    struct http_head_limits limits = {c->sl->srv->opts.max_header_bytes,
                                      c->sl->srv->opts.max_headers};
    struct http_head_fault fault = {0};
    struct slice head;

    if (c->phase == PHASE_IDLE)
        conn_set_phase(c, PHASE_HEAD);
    if (!c->has_spoken) {
        switch (h2_is_spoken(c)) {
        case H2_SPOKEN_MAYBE:
            return;
        case H2_SPOKEN_YES:
            h2_start(c);
            return;
        case H2_SPOKEN_NO:
            break;
        }
    }
    switch (http_head_scan(&c->scan, c->view, &limits, &fault)) {
    case HTTP_HEAD_MORE:
        return;
    case HTTP_HEAD_BAD:
        h1_refuse(c, NULL, fault.status, fault.why);
        return;
    case HTTP_HEAD_FOUND:
        head = slice_sub(c->view, c->scan.skip, c->scan.end - c->scan.skip);
        c->view = slice_from(c->view, c->scan.end);
        c->has_spoken = true;
        h1_begin(c, head);
        return;
    }
}

/* One step; true if there may be another. */
static bool step(struct conn *c)
{
    enum phase before = c->phase;
    size_t view_before = c->view.len;

    switch (c->phase) {
    case PHASE_IDLE:
    case PHASE_HEAD:
        if (c->view.len)
            work_head(c);
        break;
    case PHASE_BODY:
        if (!c->x->is_paused)
            h1_feed_body(c->x);
        break;
    case PHASE_HANDLER:
        if (c->x->is_pumping)
            reply_pump(c->x);
        break;
    case PHASE_WRITE:
        if (conn_out_bytes(c) == 0)
            sent(c);
        break;
    case PHASE_LINGER:
        c->view = SLICE_EMPTY;
        break;
    case PHASE_H2:
        h2_step(c->h2);
        break;
    case PHASE_WEBSOCKET:
        websocket_step(c->ws);
        break;
    }
    return !c->is_dead && (c->phase != before || c->view.len != view_before);
}

/* Keeps what is left of the view for the next time. */
static void keep_view(struct conn *c, bool is_scratch)
{
    if (is_scratch)
        buf_slice_append(&c->in, c->view);
    else if (c->in.len > c->view.len)
        buf_consume(&c->in, c->in.len - c->view.len);
    if (c->in.len == 0)
        buf_done(&c->in);
    c->view = SLICE_EMPTY;
}

/* Which way the socket is to be listened to until something happens. */
static void wait_for_input(struct conn *c)
{
    bool is_busy = c->phase == PHASE_HANDLER || c->phase == PHASE_WRITE;
    /* Who does not read what was answered need not ask more. */
    bool is_full = (c->phase == PHASE_H2 || c->phase == PHASE_WEBSOCKET) &&
                   conn_out_bytes(c) > c->sl->srv->opts.output_high_bytes;

    if (c->is_eof || is_full || (c->x && c->x->is_paused) ||
        (is_busy && c->in.len >= PIPELINE_BYTES))
        set_reading(c, false);
    else
        set_reading(c, true);
}

/* Works on the view and sends what comes of it, until the socket or a handler makes it wait. */
static void run(struct conn *c, bool is_scratch)
{
    size_t before;
    int rounds = 0;

    ORR_ASSERT(!c->is_running);
    conn_hold(c);
    c->is_running = true;
    do {
        while (step(c))
            ;
        before = conn_out_bytes(c);
        if (c->is_dead || !flush_out(c))
            break;
        if (c->x && c->phase == PHASE_HANDLER)
            reply_check_drain(c->x);
    } while (conn_out_bytes(c) != before && ++rounds < ROUNDS_A_TURN);
    c->is_running = false;
    if (!c->is_dead) {
        keep_view(c, is_scratch);
        wait_for_input(c);
        /* Goes on after the others had their turn, or with what on_drain has added. Writable is
         * what a socket nearly always is: that is how a connection gets another turn. */
        if (rounds == ROUNDS_A_TURN || (conn_out_bytes(c) && !c->write_wants_read) ||
            (c->phase == PHASE_H2 && h2_wants_turn(c->h2)))
            set_writing(c, true);
    }
    conn_release(c);
}

void conn_run(struct conn *c)
{
    if (c->is_running || c->is_dead)
        return;
    c->view = buf_slice(&c->in);
    run(c, false);
}

/* ---- input ---- */

static void on_eof(struct conn *c)
{
    c->is_eof = true;
    set_reading(c, false);
    switch (c->phase) {
    case PHASE_IDLE:
    case PHASE_HEAD:
    case PHASE_BODY:
    case PHASE_LINGER:
    case PHASE_H2:
    case PHASE_WEBSOCKET:
        conn_close(c);
        return;
    case PHASE_HANDLER:
        /* Most likely gone; perhaps only done with sending, so a reply is still tried. */
        c->is_running = true; /* a reply from on_cancel leaves its bytes to the run below */
        exchange_cancel(c->x);
        c->is_running = false;
        conn_run(c);
        return;
    case PHASE_WRITE:
        return;
    }
}

/* Reads once. False when there is nothing more to read now, or c has gone. */
static bool read_once(struct conn *c)
{
    struct exchange *x = c->phase == PHASE_BODY ? c->x : NULL;
    bool is_direct = x && c->in.len == 0 && h1_wants_direct(x);
    uint8_t *dst = is_direct ? x->body.ptr + x->body.len : c->sl->scratch;
    size_t room = is_direct ? (size_t)x->body_left : SCRATCH_BYTES, n = 0;

    switch (transport_read(c, dst, room, &n)) {
    case TRANSPORT_OK:
        break;
    case TRANSPORT_AGAIN:
        if (c->read_wants_write)
            set_writing(c, true);
        return false;
    case TRANSPORT_EOF:
        on_eof(c);
        return false;
    case TRANSPORT_FAILED:
        conn_close(c);
        return false;
    }
    METRIC_ADD(c->sl->srv->m.received_bytes, n);
    if (is_direct) {
        h1_body_advanced(x, n);
        if (x->body_left == 0)
            conn_run(c);
    } else if (c->in.len == 0) {
        c->view = slice_of(c->sl->scratch, n);
        run(c, true);
    } else {
        buf_append(&c->in, c->sl->scratch, n);
        conn_run(c);
    }
    /* A plain socket that gave less than there was room for is empty: epoll says when it is not. */
    return !c->is_dead && (c->ssl || (!is_direct && n == room));
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = conn_from(arg);
    bool may_read = true;

    (void)fd;
    (void)what;
    conn_hold(c);
    if (c->h2)
        h2_begin_turn(c->h2);
    if (c->was_held_back) {
        c->was_held_back = false;
        conn_run(c);
    }
    for (int i = 0; i < READS_A_TURN && may_read && c->is_reading && !c->is_dead; i++)
        may_read = read_once(c);
    if (!c->is_dead && c->ssl && c->is_reading && SSL_pending(c->ssl) > 0)
        event_active(&c->ev_read, EV_READ, 0);
    if (!c->is_dead && c->write_wants_read)
        conn_run(c);
    conn_release(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = conn_from(arg);

    (void)fd;
    (void)what;
    if (c->h2)
        h2_begin_turn(c->h2);
    if (c->read_wants_write) {
        set_writing(c, conn_out_bytes(c) > 0);
        conn_read_again(c);
    }
    conn_run(c);
}

void conn_accept(struct server_loop *sl, int fd, const struct net_addr *remote)
{
    struct conn *c = mem_new(struct conn);
    int one = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->magic = CONN_MAGIC;
    c->fd = fd;
    c->sl = sl;
    c->remote = *remote;
    sl->conn_count++;
    (void)event_assign(&c->ev_read, loop_base(sl->loop), fd, EV_READ | EV_PERSIST, on_readable, c);
    (void)event_assign(&c->ev_write, loop_base(sl->loop), fd, EV_WRITE | EV_PERSIST, on_writable,
                       c);
    conn_set_phase(c, sl->srv->opts.tls ? PHASE_HEAD : PHASE_IDLE);
    if (sl->srv->opts.tls && !(c->ssl = net_tls_accept(sl->srv->opts.tls, fd))) {
        server_reject(sl->srv, REJECT_TLS);
        conn_close(c);
        return;
    }
    set_reading(c, true);
}

/* ---- time ---- */

void conn_check_time(struct conn *c, int64_t now_ms)
{
    const struct http_server_opts *o = &c->sl->srv->opts;
    int64_t age = now_ms - c->since_ms;

    switch (c->phase) {
    case PHASE_IDLE:
        if (age > o->idle_timeout_ms)
            conn_close(c);
        return;
    case PHASE_HEAD:
        if (age <= o->header_timeout_ms)
            return;
        server_reject(c->sl->srv, REJECT_SLOW);
        if (c->ssl && !c->has_handshaken)
            conn_close(c);
        else
            h1_refuse(c, NULL, 408, "the headers took too long");
        return;
    case PHASE_BODY:
        if (!exchange_is_slow(c->x, c->since_ms, now_ms))
            return;
        server_reject(c->sl->srv, REJECT_SLOW);
        h1_refuse(c, c->x, 408, "the body came too slowly");
        return;
    case PHASE_HANDLER:
    case PHASE_WRITE:
        if (conn_out_bytes(c) && now_ms - c->stall_ms > o->write_timeout_ms) {
            server_reject(c->sl->srv, REJECT_SLOW);
            conn_close(c);
        }
        return;
    case PHASE_LINGER:
        if (age > o->linger_ms)
            conn_close(c);
        return;
    case PHASE_H2:
        if (conn_out_bytes(c) && now_ms - c->stall_ms > o->write_timeout_ms) {
            server_reject(c->sl->srv, REJECT_SLOW);
            conn_close(c);
            return;
        }
        c->is_running = true; /* what its streams have to say is sent by the run below */
        h2_check_time(c->h2, now_ms);
        c->is_running = false;
        conn_run(c);
        return;
    case PHASE_WEBSOCKET:
        if (conn_out_bytes(c) && now_ms - c->stall_ms > o->write_timeout_ms) {
            server_reject(c->sl->srv, REJECT_SLOW);
            conn_close(c);
            return;
        }
        websocket_check_time(c->ws, now_ms);
        return;
    }
}
