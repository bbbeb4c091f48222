#include <openssl/ssl.h>

#include "common/base/base64.h"
#include "common/base/mem.h"
#include "common/net/http_h2_internal.h"

/* Frames that one header block may be cut into; one below where nghttp2 ends without a word. */
#define CONTINUATIONS_MAX 7
/* A header block that decodes to so many times the limit is an attack, not a mistake. */
#define BLOCK_TIMES_MAX 4
#define SETTINGS_BYTES_MAX 512
/* nghttp2 does not stop in the middle of its input, so it is fed in pieces: no more frames that want
 * an answer fit in one than it keeps answers. */
#define FEED_BYTES 8192
#define ANSWERS_MAX (H2_CONTROLS_AT_ONCE + FEED_BYTES / H2_FRAME_HEAD_BYTES + 1)

static const uint8_t drain_ping[8] = "orr-last";

/* ---- callbacks of nghttp2 ---- */

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
    struct h2 *h = arg;

    (void)session;
    switch (hd->type) {
    case NGHTTP2_DATA:
        if (hd->length)
            h2_refill(&h->controls, H2_CONTROLS_AT_ONCE);
        else if (!(hd->flags & NGHTTP2_FLAG_END_STREAM))
            h2_spend_control(h);
        break;
    case NGHTTP2_HEADERS:
        h->continuations = 0;
        break;
    case NGHTTP2_CONTINUATION:
        h2_spend_control(h);
        if (++h->continuations > CONTINUATIONS_MAX)
            h2_cut_off(h, REJECT_FLOOD);
        break;
    case NGHTTP2_WINDOW_UPDATE:
    case NGHTTP2_RST_STREAM: /* counted when it has ended something */
        break;
    default:
        h2_spend_control(h);
    }
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h = arg;

    h->block_bytes = 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST && !h->is_ending)
        (void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
                                                   h2_stream_new(h, frame->hd.stream_id));
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct h2 *h = arg;
    struct h2_stream *s = h2_stream_get(h, frame->hd.stream_id);

    (void)session;
    (void)flags;
    h->block_bytes += name_len + value_len + H2_FIELD_BYTES;
    if (h->block_bytes > BLOCK_TIMES_MAX * h->conn->sl->srv->opts.max_header_bytes)
        h2_cut_off(h, REJECT_FLOOD);
    if (s && s->phase == H2_HEAD && !h->is_ending)
        h2_head_add(&s->head, slice_of(name, name_len), slice_of(value, value_len));
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *arg)
{
    struct h2 *h = arg;
    struct h2_stream *s = h2_stream_get(h, id);

    (void)flags;
    /* The connection's window is given back at once, so that one stream whose body is paused does
     * not hold up the others; its own window holds that one. */
    (void)nghttp2_session_consume_connection(session, len);
    if (s && !h->is_ending)
        h2_stream_data(s, slice_of(data, len));
    else
        (void)nghttp2_session_consume_stream(session, id, len);
    return 0;
}

static void on_reset(struct h2 *h, int32_t id)
{
    struct h2_stream *s = h2_stream_get(h, id);

    METRIC_ADD(h->conn->sl->srv->m.h2_resets, 1);
    if (s && s->phase != H2_SENDING)
        h2_spend_reset(h);
}

static void announce_end(struct h2 *h)
{
    if (h->has_announced)
        return;
    h->has_announced = true;
    (void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(h->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h = arg;
    struct h2_stream *s = h2_stream_get(h, frame->hd.stream_id);
    bool ends_stream = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

    (void)session;
    if (h->is_ending)
        return 0;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (s && s->phase == H2_HEAD)
            h2_stream_begin(s, ends_stream);
        else if (s && ends_stream)
            h2_stream_end(s);
        break;
    case NGHTTP2_DATA:
        if (s && ends_stream)
            h2_stream_end(s);
        break;
    case NGHTTP2_RST_STREAM:
        on_reset(h, frame->hd.stream_id);
        break;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) && h->is_draining &&
            memcmp(frame->ping.opaque_data, drain_ping, sizeof(drain_ping)) == 0)
            announce_end(h);
        break;
    default:
        break;
    }
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code,
                            void *arg)
{
    struct h2 *h = arg;

    (void)session;
    (void)frame;
    (void)code;
    server_reject(h->conn->sl->srv, REJECT_MALFORMED);
    return 0;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *arg)
{
    (void)session, (void)frame, (void)name, (void)name_len;
    (void)value, (void)value_len, (void)flags, (void)arg;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream; otherwise it is left out */
}

static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h = arg;
    struct h2_stream *s = h2_stream_get(h, frame->hd.stream_id);
    bool may_end = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;

    if (frame->hd.type == NGHTTP2_DATA)
        h2_refill(&h->controls, H2_CONTROLS_AT_ONCE);
    if (may_end && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        h2_refill(&h->resets, H2_RESETS_AT_ONCE);
        if (s && !s->has_all_input) /* nobody will read the rest */
            (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    }
    /* Resets that a client provokes by breaking rules cost the same as its own. */
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
        h2_spend_reset(h);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct h2_stream *s = h2_stream_get(arg, id);

    (void)code;
    if (s) {
        (void)nghttp2_session_set_stream_user_data(session, id, NULL);
        h2_stream_free(s);
    }
    return 0;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags,
                       void *arg)
{
    struct conn *c = ((struct h2 *)arg)->conn;

    (void)session;
    (void)flags;
    if (conn_out_bytes(c) > c->sl->srv->opts.output_high_bytes)
        return NGHTTP2_ERR_WOULDBLOCK;
    return evbuffer_add(conn_out(c), data, len) == 0 ? (ssize_t)len : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ---- making ---- */

static nghttp2_session *session_new(struct h2 *h)
{
    nghttp2_session_callbacks *cb;
    nghttp2_session *session;
    nghttp2_option *option;

    ORR_ASSERT(nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, h2_stream_send);
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_outbound_ack(option, ANSWERS_MAX);
    ORR_ASSERT(nghttp2_session_server_new2(&session, cb, h, option) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    return session;
}

/* c->h2 and its session, which has said nothing yet. */
static struct h2 *h2_new(struct conn *c)
{
    struct h2 *h = mem_new(struct h2);
    int64_t now_ms = loop_now_ms(c->sl->loop);

    h->conn = c;
    h2_begin_turn(h);
    h->session = session_new(h);
    h->resets = (struct h2_calm){H2_RESETS_AT_ONCE, now_ms};
    h->controls = (struct h2_calm){H2_CONTROLS_AT_ONCE, now_ms};
    c->h2 = h;
    METRIC_ADD(c->sl->srv->m.h2_connections, 1);
    METRIC_ADD(c->sl->srv->m.h2_accepted, 1);
    return h;
}

void h2_set_busy(struct h2 *h)
{
    conn_set_busy(h->conn, h->stream_count > 0 || h->is_draining || h->is_ending);
}

static void introduce(struct h2 *h)
{
    const struct http_server_opts *o = &h->conn->sl->srv->opts;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)o->max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)o->stream_window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)o->max_header_bytes},
    };

    (void)nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ORR_COUNT(settings));
    (void)nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                (int32_t)o->conn_window_bytes);
    conn_set_phase(h->conn, PHASE_H2);
    h2_set_busy(h);
    if (h->conn->sl->is_draining)
        h2_drain(h);
}

void h2_free(struct h2 *h)
{
    if (!h)
        return;
    while (h->streams)
        h2_stream_free(h->streams);
    nghttp2_session_del(h->session);
    METRIC_ADD(h->conn->sl->srv->m.h2_connections, -1);
    mem_free(h);
}

/* ---- the three ways in ---- */

static bool has_alpn_h2(const struct conn *c)
{
    const unsigned char *name;
    unsigned len;

    if (!c->ssl)
        return false;
    SSL_get0_alpn_selected(c->ssl, &name, &len);
    return slice_eq(slice_of(name, len), SLICE("h2"));
}

enum h2_spoken h2_is_spoken(const struct conn *c)
{
    size_t n = ORR_MIN(c->view.len, (size_t)NGHTTP2_CLIENT_MAGIC_LEN);

    if (has_alpn_h2(c))
        return H2_SPOKEN_YES; /* nghttp2 insists on the preface */
    if (memcmp(c->view.ptr, NGHTTP2_CLIENT_MAGIC, n) != 0)
        return H2_SPOKEN_NO;
    return n == NGHTTP2_CLIENT_MAGIC_LEN ? H2_SPOKEN_YES : H2_SPOKEN_MAYBE;
}

static bool has_slot(const struct conn *c)
{
    return __atomic_load_n(&c->sl->srv->m.h2_connections, __ATOMIC_RELAXED) <
           (int64_t)c->sl->srv->opts.max_h2_connections;
}

/* Without the price of a session: SETTINGS, and GOAWAY with nothing done. */
static void turn_away(struct conn *c)
{
    static const uint8_t busy[] = {0, 0, 0, NGHTTP2_SETTINGS,
                                   0, 0, 0, 0,
                                   0, /* empty */
                                   0, 0, 8, NGHTTP2_GOAWAY,
                                   0, 0, 0, 0,
                                   0, /* last stream, code */
                                   0, 0, 0, 0,
                                   0, 0, 0, NGHTTP2_ENHANCE_YOUR_CALM};

    server_reject(c->sl->srv, REJECT_CONNECTIONS);
    (void)evbuffer_add(conn_out(c), busy, sizeof(busy));
    c->view = SLICE_EMPTY;
    c->closes = c->lingers = true;
    conn_set_phase(c, PHASE_WRITE);
}

void h2_start(struct conn *c)
{
    if (has_slot(c))
        introduce(h2_new(c));
    else
        turn_away(c);
}

/* The payload of the client's SETTINGS. False unless both are there, once and well-formed. */
static bool read_upgrade(const struct exchange *x, struct buf *settings)
{
    const struct http_head *head = &x->head;
    struct slice upgrade = http_header_get(head->headers, head->header_count, "upgrade");
    struct slice connection = http_header_get(head->headers, head->header_count, "connection");
    struct slice sent = http_header_get(head->headers, head->header_count, "http2-settings");

    return upgrade.ptr && connection.ptr && sent.ptr && http_header_has_token(upgrade, "h2c") &&
           http_header_has_token(connection, "upgrade") &&
           http_header_has_token(connection, "http2-settings") && sent.len <= SETTINGS_BYTES_MAX &&
           base64_decode(sent, settings);
}

bool h2_upgrade(struct exchange *x)
{
    static const char switching[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                                    "Upgrade: h2c\r\n\r\n";
    struct conn *c = x->conn;
    struct buf settings = {0};
    struct h2 *h;

    /* A body would have to be read first, as HTTP/1. That may be left alone: the client goes on
     * with HTTP/1 then. */
    if (c->ssl || c->sl->is_draining || !has_slot(c) || x->head.minor != 1 || x->head.has_body ||
        !read_upgrade(x, &settings)) {
        buf_done(&settings);
        return false;
    }
    h = h2_new(c);
    if (nghttp2_session_upgrade2(h->session, settings.ptr, settings.len,
                                 x->head.method == HTTP_HEAD, NULL) != 0) {
        buf_done(&settings);
        h2_free(h);
        c->h2 = NULL;
        return false;
    }
    buf_done(&settings);
    (void)evbuffer_add(conn_out(c), switching, sizeof(switching) - 1);
    c->x = NULL;
    (void)nghttp2_session_set_stream_user_data(h->session, 1, h2_stream_adopt(h, x));
    introduce(h);
    return true;
}

/* ---- progress ---- */

static void receive(struct h2 *h)
{
    struct conn *c = h->conn;
    struct slice in = c->view;
    ssize_t rc = 0;

    c->view = SLICE_EMPTY;
    while (in.len && rc >= 0 && !h->is_ending) {
        struct slice piece = slice_sub(in, 0, FEED_BYTES);

        rc = nghttp2_session_mem_recv(h->session, piece.ptr, piece.len);
        in = slice_from(in, piece.len);
    }
    if (rc >= 0 || h->is_ending) /* ending: it still says GOAWAY */
        return;
    server_reject(c->sl->srv, rc == NGHTTP2_ERR_FLOODED ? REJECT_FLOOD : REJECT_MALFORMED);
    conn_close(c);
}

/* False when there was nothing to tend. */
static bool tend_streams(struct h2 *h)
{
    struct h2_stream *s = h->awake;

    h->awake = NULL;
    if (!s)
        return false;
    while (s) {
        struct h2_stream *next = s->next_awake;

        s->is_awake = false;
        s->next_awake = NULL;
        h2_stream_tend(s);
        s = next;
    }
    return true;
}

void h2_step(struct h2 *h)
{
    struct conn *c = h->conn;

    receive(h);
    if (c->is_dead)
        return;
    if (h->is_ending)
        h2_lose_streams(h);
    do {
        if (nghttp2_session_send(h->session) != 0) {
            conn_close(c);
            return;
        }
    } while (tend_streams(h) || h2_launch_parked(h));
    if (nghttp2_session_want_read(h->session) || nghttp2_session_want_write(h->session))
        return;
    /* Said goodbye, by whoever: what is in out is the last. */
    h2_lose_streams(h);
    c->closes = c->lingers = true;
    conn_set_phase(c, PHASE_WRITE);
}

/* ---- the end ---- */

void h2_lose_streams(struct h2 *h)
{
    for (struct h2_stream *s = h->streams; s; s = s->next)
        h2_stream_lose(s);
}

void h2_say_goodbye(struct h2 *h)
{
    (void)nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
    (void)nghttp2_session_send(h->session);
}

void h2_drain(struct h2 *h)
{
    if (h->is_draining)
        return;
    h->is_draining = true;
    h->drain_ms = loop_now_ms(h->conn->sl->loop);
    conn_set_busy(h->conn, true); /* so that its time is watched */
    /* Streams on their way are still taken: the last word comes when the client has heard the
     * first. */
    (void)nghttp2_submit_shutdown_notice(h->session);
    (void)nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, drain_ping);
    conn_send_later(h->conn);
}

void h2_check_time(struct h2 *h, int64_t now_ms)
{
    if (h->is_draining && now_ms - h->drain_ms > h->conn->sl->srv->opts.linger_ms)
        announce_end(h);
    for (struct h2_stream *s = h->streams; s; s = s->next)
        h2_stream_check_time(s, now_ms);
}
