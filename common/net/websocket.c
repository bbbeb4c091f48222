#include "common/net/websocket.h"

#include "common/base/mem.h"
#include "common/net/http_h2_internal.h"

#define MAX_MESSAGE_BYTES (64 * 1024)
#define PING_MS 30000
#define WS_MAGIC 0x77736f63u

struct websocket {
    uint32_t magic;
    struct conn *conn;
    struct websocket_opts opts;
    struct ws_reader in;
    int64_t heard_ms;
    bool has_asked; /* by a ping, since then */
};

/* ---- the handshake ---- */

static struct err *missing(const char *what)
{
    return err_new(ERR_INVALID, "this endpoint speaks WebSocket, and the request is none: %s",
                   what);
}

struct err *websocket_check(struct http_request *r)
{
    const struct exchange *x = exchange_from(r);
    struct slice upgrade = http_request_header(r, "upgrade");
    struct slice connection = http_request_header(r, "connection");
    struct slice version = http_request_header(r, "sec-websocket-version");
    struct slice key = http_request_header(r, "sec-websocket-key");
    struct buf accept = {0};
    bool is_key = key.ptr && ws_accept_key(slice_trim(key), &accept);
    struct err *e = NULL;

    buf_done(&accept);
    if (r->is_http2 || x->head.minor != 1)
        e = missing("it takes HTTP/1.1");
    else if (r->method != HTTP_GET)
        e = missing("it takes GET");
    else if (!upgrade.ptr || !http_header_has_token(upgrade, "websocket"))
        e = missing("no Upgrade: websocket");
    else if (!connection.ptr || !http_header_has_token(connection, "upgrade"))
        e = missing("no Connection: Upgrade");
    else if (!version.ptr || !slice_eq_cstr(slice_trim(version), "13"))
        e = missing("Sec-WebSocket-Version has to be 13");
    else if (!is_key)
        e = missing("Sec-WebSocket-Key is no key");
    else if (x->sl->is_draining)
        return err_new(ERR_UNAVAILABLE, "shutting down");
    if (e)
        http_reply_header(r, "Sec-WebSocket-Version", SLICE("13"));
    return e;
}

struct websocket *websocket_accept(struct http_request *r, const struct websocket_opts *opts)
{
    struct exchange *x = exchange_from(r);
    struct buf head = {0};
    struct websocket *ws;
    struct conn *c;

    buf_str(&head, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    (void)ws_accept_key(slice_trim(http_request_header(r, "sec-websocket-key")), &head);
    buf_str(&head, "\r\n\r\n");
    c = reply_upgrade(x, buf_slice(&head));
    buf_done(&head);
    if (!c)
        return NULL;
    ws = mem_new(struct websocket);
    ws->magic = WS_MAGIC;
    ws->conn = c;
    ws->opts = *opts;
    if (!ws->opts.max_message_bytes)
        ws->opts.max_message_bytes = MAX_MESSAGE_BYTES;
    if (!ws->opts.ping_ms)
        ws->opts.ping_ms = PING_MS;
    ws->in.max_message_bytes = ws->opts.max_message_bytes;
    ws->heard_ms = loop_now_ms(c->sl->loop);
    c->ws = ws;
    METRIC_ADD(c->sl->srv->m.websockets, 1);
    conn_set_phase(c, PHASE_WEBSOCKET);
    conn_send_later(c);
    return ws;
}

/* ---- the end ---- */

/* Lets go of the connection and tells the owner, if it is not the owner who ends it. */
static void part(struct websocket *ws, bool tells, unsigned code, struct slice reason)
{
    struct conn *c = ws->conn;

    METRIC_ADD(c->sl->srv->m.websockets, -1);
    c->ws = NULL;
    if (tells && ws->opts.on_close)
        ws->opts.on_close(ws, code, reason);
    ws_reader_done(&ws->in);
    ws->magic = 0;
    mem_free(ws);
}

static void put_close(struct conn *c, unsigned code, struct slice reason)
{
    struct buf b = {0};

    ws_frame_put_close(&b, code, reason);
    (void)evbuffer_add(conn_out(c), b.ptr, b.len);
    buf_done(&b);
}

/* The last frame is on its way. */
static void leave(struct conn *c, bool lingers)
{
    c->closes = true;
    c->lingers = lingers;
    conn_set_phase(c, PHASE_WRITE);
    conn_send_later(c);
}

static void end(struct websocket *ws, bool tells, unsigned code, struct slice reason)
{
    struct conn *c = ws->conn;

    put_close(c, code, reason);
    part(ws, tells, code, reason);
    leave(c, true);
}

void websocket_close(struct websocket *ws, unsigned code, struct slice reason)
{
    end(ws, false, code, reason);
}

void websocket_lost(struct websocket *ws)
{
    part(ws, true, 1006, SLICE("the connection is gone"));
}

void websocket_drain(struct websocket *ws)
{
    end(ws, true, WS_CLOSE_AWAY, SLICE("the server is shutting down"));
}

/* ---- frames ---- */

static void send_frame(struct websocket *ws, enum ws_opcode op, struct slice payload)
{
    struct buf b = {0};

    ws_frame_put(&b, op, payload);
    reply_queue(conn_out(ws->conn), &b);
    conn_send_later(ws->conn);
}

/* False when ws has gone. */
static bool on_item(struct websocket *ws, enum ws_got got, const struct ws_item *item)
{
    struct conn *c = ws->conn;
    struct buf reason = {0};

    switch (got) {
    case WS_NEED_MORE:
    case WS_PONG:
        return true;
    case WS_PING:
        send_frame(ws, WS_OP_PONG, item->payload);
        return true;
    case WS_MESSAGE:
        if (ws->opts.on_message)
            ws->opts.on_message(ws, item->is_text, item->payload);
        return c->ws == ws;
    case WS_CLOSE:
        buf_slice_append(&reason, item->payload); /* it lies in ws */
        put_close(c, item->code, SLICE_EMPTY);
        part(ws, true, item->code, buf_slice(&reason));
        buf_done(&reason);
        leave(c, false);
        return false;
    case WS_BAD:
        server_reject(c->sl->srv, REJECT_MALFORMED);
        end(ws, true, item->code, slice_cstr(item->why));
        return false;
    }
    return false;
}

void websocket_step(struct websocket *ws)
{
    struct conn *c = ws->conn;
    enum ws_got got = WS_PING;

    if (c->view.len) {
        ws->heard_ms = loop_now_ms(c->sl->loop);
        ws->has_asked = false;
    }
    while (c->view.len && got != WS_NEED_MORE) {
        struct ws_item item = {0};

        got = ws_reader_next(&ws->in, &c->view, &item);
        if (!on_item(ws, got, &item)) {
            c->view = SLICE_EMPTY;
            return;
        }
    }
}

void websocket_check_time(struct websocket *ws, int64_t now_ms)
{
    int64_t silent_ms;

    if (!ws->conn->is_reading) /* who has to read first cannot be heard */
        ws->heard_ms = now_ms;
    silent_ms = now_ms - ws->heard_ms;
    if (silent_ms >= 2 * ws->opts.ping_ms) {
        server_reject(ws->conn->sl->srv, REJECT_SLOW);
        conn_close(ws->conn);
    } else if (silent_ms >= ws->opts.ping_ms && !ws->has_asked) {
        ws->has_asked = true;
        send_frame(ws, WS_OP_PING, SLICE_EMPTY);
    }
}

void *websocket_arg(const struct websocket *ws)
{
    ORR_ASSERT(ws->magic == WS_MAGIC);
    return ws->opts.arg;
}

void websocket_send(struct websocket *ws, struct slice text)
{
    ORR_ASSERT(ws->magic == WS_MAGIC && loop_is_mine(ws->conn->sl->loop));
    send_frame(ws, WS_OP_TEXT, text);
}

size_t websocket_waiting(const struct websocket *ws)
{
    return conn_out_bytes(ws->conn);
}
