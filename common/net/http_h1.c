#include "common/base/mem.h"
#include "common/net/http_h2_internal.h"

/* ---- the reply ---- */

static void add_field(struct buf *out, const struct http_header *f)
{
    buf_slice_append(out, f->name);
    buf_str(out, ": ");
    buf_slice_append(out, f->value);
    buf_str(out, "\r\n");
}

static void write_head(struct exchange *x, const struct reply_head *h)
{
    struct buf head = {0};

    x->is_chunked_reply = h->has_body && h->length < 0 && x->head.minor == 1;
    if (x->sl->is_draining || (h->has_body && h->length < 0 && x->head.minor == 0))
        x->is_keep_alive = false;
    buf_printf(&head, "HTTP/1.1 %d %s\r\n%s", h->status, http_status_text(h->status),
               server_loop_date(x->sl));
    if (h->content_type)
        buf_printf(&head, "Content-Type: %s\r\n", h->content_type);
    if (h->codec != CODEC_IDENTITY)
        buf_printf(&head, "Content-Encoding: %s\r\nVary: Accept-Encoding\r\n",
                   codec_name(h->codec));
    if (h->has_body && h->length >= 0)
        buf_printf(&head, "Content-Length: %lld\r\n", (long long)h->length);
    else if (x->is_chunked_reply)
        buf_str(&head, "Transfer-Encoding: chunked\r\n");
    if (!x->is_keep_alive)
        buf_str(&head, "Connection: close\r\n");
    else if (x->head.minor == 0)
        buf_str(&head, "Connection: keep-alive\r\n");
    for (size_t i = 0; i < x->reply_headers.len; i++)
        add_field(&head, &x->reply_headers.items[i]);
    buf_str(&head, "\r\n");
    (void)evbuffer_add(conn_out(x->conn), head.ptr, head.len);
    buf_done(&head);
}

static void write_piece(struct exchange *x, struct slice piece)
{
    struct evbuffer *out = conn_out(x->conn);

    if (x->is_chunked_reply)
        (void)evbuffer_add_printf(out, "%zx\r\n", piece.len);
    (void)evbuffer_add(out, piece.ptr, piece.len);
    if (x->is_chunked_reply)
        (void)evbuffer_add(out, "\r\n", 2);
}

static void write_buf(struct exchange *x, struct buf *body)
{
    struct evbuffer *out = conn_out(x->conn);

    if (x->is_chunked_reply)
        (void)evbuffer_add_printf(out, "%zx\r\n", body->len);
    reply_queue(out, body);
    if (x->is_chunked_reply)
        (void)evbuffer_add(out, "\r\n", 2);
}

static void write_end(struct exchange *x)
{
    struct buf end = {0};

    if (!x->is_chunked_reply)
        return;
    buf_str(&end, "0\r\n");
    for (size_t i = 0; i < x->trailers.len; i++)
        add_field(&end, &x->trailers.items[i]);
    buf_str(&end, "\r\n");
    (void)evbuffer_add(conn_out(x->conn), end.ptr, end.len);
    buf_done(&end);
}

static size_t waiting(const struct exchange *x)
{
    return x->conn->out ? evbuffer_get_length(x->conn->out) : 0;
}

static void send_later(struct exchange *x)
{
    conn_send_later(x->conn);
}

static void finish(struct exchange *x)
{
    struct conn *c = x->conn;

    c->x = NULL;
    c->closes = c->closes || !x->is_keep_alive;
    conn_set_phase(c, PHASE_WRITE);
}

/* There is no other way to say that a reply is not whole. */
static void abort_reply(struct exchange *x)
{
    x->conn->x = NULL;
    conn_close(x->conn);
}

/* ---- the body ---- */

static void await_body(struct exchange *x)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (x->head.expects_continue && x->conn->view.len == 0)
        (void)evbuffer_add(conn_out(x->conn), go_on, sizeof(go_on) - 1);
    conn_set_phase(x->conn, PHASE_BODY);
}

static void begin_reply(struct exchange *x, bool is_unread)
{
    conn_set_phase(x->conn, PHASE_HANDLER);
    if (is_unread) { /* and stands in the way of the next request */
        x->is_keep_alive = false;
        x->conn->lingers = true;
    }
}

static void resume_body(struct exchange *x)
{
    if (x->conn->phase != PHASE_BODY)
        return;
    x->conn->since_ms = loop_now_ms(x->pub.loop); /* the pause was not the client's */
    conn_read_again(x->conn);
}

static const struct exchange_ops h1_ops = {
    .await_body = await_body,
    .begin_reply = begin_reply,
    .resume_body = resume_body,
    .write_head = write_head,
    .write_piece = write_piece,
    .write_buf = write_buf,
    .write_end = write_end,
    .waiting = waiting,
    .send_later = send_later,
    .finish = finish,
    .abort = abort_reply,
};

bool h1_wants_direct(const struct exchange *x)
{
    return !x->head.is_chunked && !x->match.route->on_body && x->body_left > 0;
}

void h1_body_advanced(struct exchange *x, size_t n)
{
    x->body.len += n;
    x->body_left -= n;
    x->body_received += n;
}

static void feed_chunked(struct exchange *x)
{
    struct conn *c = x->conn;
    struct slice piece;

    while (!x->is_paused) {
        switch (http_chunked_feed(&x->chunked, &c->view, &piece)) {
        case HTTP_CHUNKED_MORE:
            return;
        case HTTP_CHUNKED_DATA:
            if (!exchange_take_piece(x, piece))
                return;
            break;
        case HTTP_CHUNKED_END:
            exchange_body_end(x);
            return;
        case HTTP_CHUNKED_BAD:
            h1_refuse(c, x, 400, "malformed chunked body");
            return;
        }
    }
}

void h1_feed_body(struct exchange *x)
{
    struct conn *c = x->conn;
    struct slice piece;

    if (x->head.is_chunked) {
        feed_chunked(x);
        return;
    }
    piece = slice_sub(c->view, 0, (size_t)ORR_MIN(x->body_left, (uint64_t)c->view.len));
    if (piece.len) {
        c->view = slice_from(c->view, piece.len);
        x->body_left -= piece.len;
        if (!exchange_take_piece(x, piece))
            return;
    }
    if (x->body_left == 0 && !x->is_paused)
        exchange_body_end(x);
}

/* ---- the head ---- */

static struct exchange *h1_exchange_new(struct conn *c)
{
    return c->x = exchange_new(c, &h1_ops);
}

void h1_refuse(struct conn *c, struct exchange *x, int status, const char *why)
{
    if (!x)
        x = h1_exchange_new(c);
    x->is_keep_alive = false;
    c->lingers = true;
    exchange_refuse(x, status, why);
    conn_run(c);
}

void h1_begin(struct conn *c, struct slice head)
{
    const struct http_server_opts *o = &c->sl->srv->opts;
    struct http_head_limits limits = {o->max_header_bytes, o->max_headers};
    struct exchange *x = h1_exchange_new(c);
    struct http_head_fault fault;

    fault = http_head_parse(x->pub.arena, arena_dup(x->pub.arena, head), &limits, &x->head);
    if (fault.status) {
        h1_refuse(c, x, fault.status, fault.why);
        return;
    }
    x->is_keep_alive = x->head.is_keep_alive;
    (void)h2_upgrade(x); /* or not */
    exchange_begin(x);
}
