#include "common/base/mem.h"
#include "common/net/http_h2_internal.h"

/* Headers of our own in a reply: status, date, type, encoding, vary, length. */
#define OWN_HEADERS 6

static struct http_server *srv_of(const struct h2_stream *s)
{
    return s->h2->conn->sl->srv;
}

static void set_phase(struct h2_stream *s, enum h2_phase phase)
{
    s->phase = phase;
    s->since_ms = loop_now_ms(s->h2->conn->sl->loop);
}

/* ---- the body of the request ---- */

static void await_body(struct exchange *x)
{
    static const nghttp2_nv go_on = {(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "100",
                                     7, 3, NGHTTP2_NV_FLAG_NONE};
    struct h2_stream *s = x->h2;

    set_phase(s, H2_BODY);
    if (x->head.expects_continue)
        (void)nghttp2_submit_headers(s->h2->session, NGHTTP2_FLAG_NONE, s->id, NULL, &go_on, 1,
                                     NULL);
}

static void begin_reply(struct exchange *x, bool is_unread)
{
    (void)is_unread; /* on_sent() resets what the client still sends */
    set_phase(x->h2, H2_REPLY);
}

static void resume_body(struct exchange *x)
{
    struct h2_stream *s = x->h2;

    if (s->phase != H2_BODY)
        return;
    s->since_ms = loop_now_ms(x->pub.loop); /* the pause was not the client's */
    h2_stream_wake(s);
    conn_send_later(x->conn);
}

static void hold_back(struct h2_stream *s, struct slice piece)
{
    if (exchange_charge(s->x, piece.len))
        buf_slice_append(&s->held, piece); /* stays in the stream's window meanwhile */
    else
        exchange_refuse_budget(s->x);
}

void h2_stream_data(struct h2_stream *s, struct slice piece)
{
    if (s->x &&
        (s->phase == H2_PARKED || (s->phase == H2_BODY && (s->x->is_paused || s->held.len)))) {
        hold_back(s, piece);
        return;
    }
    if (s->x && s->phase == H2_BODY)
        (void)exchange_take_piece(s->x, piece);
    (void)nghttp2_session_consume_stream(s->h2->session, s->id, piece.len);
}

void h2_stream_end(struct h2_stream *s)
{
    s->has_all_input = true;
    if (s->x && s->phase == H2_BODY && !s->x->is_paused && s->held.len == 0)
        exchange_body_end(s->x);
}

/* It is parked no more, or a pause has ended. */
static void deliver_held(struct h2_stream *s)
{
    struct buf held = s->held;
    bool is_taken = true;

    s->held = (struct buf){0};
    if (held.len) {
        exchange_discharge(s->x, held.len);
        is_taken = exchange_take_piece(s->x, buf_slice(&held));
        (void)nghttp2_session_consume_stream(s->h2->session, s->id, held.len);
    }
    buf_done(&held);
    if (is_taken && s->has_all_input && !s->x->is_paused)
        exchange_body_end(s->x);
}

/* ---- the reply ---- */

static struct evbuffer *out_of(struct h2_stream *s)
{
    if (!s->out) {
        s->out = evbuffer_new();
        ORR_ASSERT(s->out);
    }
    if (evbuffer_get_length(s->out) == 0)
        s->stall_ms = loop_now_ms(s->h2->conn->sl->loop);
    return s->out;
}

static size_t out_bytes(const struct h2_stream *s)
{
    return s->out ? evbuffer_get_length(s->out) : 0;
}

/* out has something again, or has come to its end. */
static void go_on_sending(struct h2_stream *s)
{
    if (!s->is_deferred)
        return;
    s->is_deferred = false;
    (void)nghttp2_session_resume_data(s->h2->session, s->id);
}

static nghttp2_nv field(const char *name, size_t name_len, struct slice value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value.ptr, name_len,
                        value.len, NGHTTP2_NV_FLAG_NONE};
}
#define FIELD(name, value) field("" name, sizeof(name) - 1, (value))

/* Headers that only mean something to HTTP/1 must not be sent. */
static bool is_hop_by_hop(struct slice name)
{
    static const char *const names[] = {"connection", "keep-alive", "transfer-encoding", "upgrade",
                                        "proxy-connection"};

    for (size_t i = 0; i < ORR_COUNT(names); i++)
        if (slice_eq_nocase(name, slice_cstr(names[i])))
            return true;
    return false;
}

static char *lower(struct arena *a, struct slice name)
{
    char *p = arena_cstr(a, name);

    for (size_t i = 0; i < name.len; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] - 'A' + 'a');
    return p;
}

static size_t add_fields(struct arena *a, const struct reply_fields *f, nghttp2_nv *nv)
{
    size_t n = 0;

    for (size_t i = 0; i < f->len; i++)
        if (!is_hop_by_hop(f->items[i].name))
            nv[n++] = field(lower(a, f->items[i].name), f->items[i].name.len, f->items[i].value);
    return n;
}

/* "Date: value CRLF" as HTTP/1 sends it, to the value. */
static struct slice date_value(struct server_loop *sl)
{
    struct slice line = slice_cstr(server_loop_date(sl));

    return slice_sub(line, 6, line.len - 8);
}

static void write_head(struct exchange *x, const struct reply_head *h)
{
    struct h2_stream *s = x->h2;
    struct arena *a = x->pub.arena;
    nghttp2_nv *nv = arena_array(a, nghttp2_nv, OWN_HEADERS + x->reply_headers.len);
    nghttp2_data_provider data = {.source.ptr = s, .read_callback = h2_stream_read};
    size_t n = 0;

    nv[n++] = FIELD(":status", slice_cstr(arena_printf(a, "%d", h->status)));
    nv[n++] = FIELD("date", date_value(x->sl));
    if (h->content_type)
        nv[n++] = FIELD("content-type", slice_cstr(h->content_type));
    if (h->codec != CODEC_IDENTITY) {
        nv[n++] = FIELD("content-encoding", slice_cstr(codec_name(h->codec)));
        nv[n++] = FIELD("vary", SLICE("Accept-Encoding"));
    }
    if (h->has_body && h->length >= 0)
        nv[n++] =
            FIELD("content-length", slice_cstr(arena_printf(a, "%lld", (long long)h->length)));
    n += add_fields(a, &x->reply_headers, nv + n);
    s->is_ended = !h->is_body_sent || h->length == 0;
    (void)nghttp2_submit_response(s->h2->session, s->id, nv, n, s->is_ended ? NULL : &data);
    if (x->is_pumping) {
        s->pump_bytes = x->pump.len;
        h2_count_output(s->h2, (int64_t)s->pump_bytes);
        h2_stream_wake(s);
    }
}

static void write_piece(struct exchange *x, struct slice piece)
{
    h2_count_output(x->h2->h2, (int64_t)piece.len);
    (void)evbuffer_add(out_of(x->h2), piece.ptr, piece.len);
    go_on_sending(x->h2);
}

static void write_buf(struct exchange *x, struct buf *body)
{
    h2_count_output(x->h2->h2, (int64_t)body->len);
    reply_queue(out_of(x->h2), body);
    go_on_sending(x->h2);
}

static void write_end(struct exchange *x)
{
    (void)x; /* finish() follows */
}

static size_t waiting(const struct exchange *x)
{
    return out_bytes(x->h2);
}

static void send_later(struct exchange *x)
{
    conn_send_later(x->conn);
}

static void keep_trailers(struct h2_stream *s, const struct reply_fields *f)
{
    s->trailer_count = f->len;
    for (size_t i = 0; i < f->len; i++) {
        buf_slice_append(&s->trailers, f->items[i].name);
        buf_byte(&s->trailers, 0);
        buf_slice_append(&s->trailers, f->items[i].value);
        buf_byte(&s->trailers, 0);
    }
}

static void let_go(struct h2_stream *s)
{
    if (s->x)
        s->x->h2 = NULL;
    s->x = NULL;
    h2_count_output(s->h2, -(int64_t)s->pump_bytes);
    s->pump_bytes = 0;
    set_phase(s, H2_SENDING);
}

static void finish(struct exchange *x)
{
    struct h2_stream *s = x->h2;

    if (!s->is_ended)
        keep_trailers(s, &x->trailers);
    s->is_ended = true;
    let_go(s);
    go_on_sending(s);
}

static void abort_reply(struct exchange *x)
{
    struct h2_stream *s = x->h2;

    let_go(s);
    (void)nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id,
                                    NGHTTP2_INTERNAL_ERROR);
    conn_send_later(x->conn);
}

static const struct exchange_ops h2_ops = {
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

/* ---- nghttp2 asks for bytes ---- */

static void submit_trailers(struct h2_stream *s)
{
    struct slice rest = buf_slice(&s->trailers), name, value;
    nghttp2_nv *nv = mem_new_array(nghttp2_nv, s->trailer_count);
    size_t n = 0;

    while (n < s->trailer_count && slice_split(&rest, 0, &name) && slice_split(&rest, 0, &value))
        nv[n++] = field((const char *)name.ptr, name.len, value);
    (void)nghttp2_submit_trailer(s->h2->session, s->id, nv, n);
    mem_free(nv);
}

ssize_t h2_stream_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct h2_stream *s = source->ptr;
    size_t have = out_bytes(s), n = ORR_MIN(have, length);

    (void)session, (void)id, (void)buf, (void)arg;
    if (have == 0 && !s->is_ended) {
        s->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n < have || !s->is_ended)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s->trailers.len) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers(s);
    }
    return (ssize_t)n;
}

int h2_stream_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                   size_t length, nghttp2_data_source *source, void *arg)
{
    struct h2_stream *s = source->ptr;
    struct conn *c = s->h2->conn;
    size_t mark = c->sl->srv->opts.output_high_bytes;

    (void)session, (void)frame, (void)arg;
    if (conn_out_bytes(c) > mark)
        return NGHTTP2_ERR_WOULDBLOCK;
    (void)evbuffer_add(conn_out(c), head, H2_FRAME_HEAD_BYTES);
    if (length) {
        (void)evbuffer_remove_buffer(s->out, c->out, length);
        h2_count_output(s->h2, -(int64_t)length);
    }
    s->stall_ms = loop_now_ms(c->sl->loop);
    if (s->x && out_bytes(s) <= mark / 2 && (s->x->is_pumping || s->x->is_above_mark))
        h2_stream_wake(s);
    return 0;
}

/* ---- waking ---- */

void h2_stream_wake(struct h2_stream *s)
{
    if (s->is_awake)
        return;
    s->is_awake = true;
    s->next_awake = s->h2->awake;
    s->h2->awake = s;
}

void h2_stream_tend(struct h2_stream *s)
{
    struct exchange *x = s->x;

    if (!x)
        return;
    if (s->phase == H2_BODY && !x->is_paused)
        deliver_held(s);
    else if (x->is_pumping)
        reply_pump(x);
    else
        reply_check_drain(x);
}

/* ---- the life of a stream ---- */

static struct h2_stream *stream_new(struct h2 *h, int32_t id, struct exchange *x)
{
    struct h2_stream *s = mem_new(struct h2_stream);

    s->magic = H2_STREAM_MAGIC;
    s->id = id;
    s->h2 = h;
    s->x = x;
    x->h2 = s;
    x->ops = &h2_ops;
    x->pub.is_http2 = true;
    set_phase(s, H2_HEAD);
    s->next = h->streams;
    if (s->next)
        s->next->prev = s;
    h->streams = s;
    if (h->stream_count++ == 0)
        h2_set_busy(h);
    METRIC_ADD(srv_of(s)->m.h2_streams, 1);
    return s;
}

struct h2_stream *h2_stream_new(struct h2 *h, int32_t id)
{
    const struct http_server_opts *o = &h->conn->sl->srv->opts;
    struct exchange *x = exchange_new(h->conn, &h2_ops);
    struct h2_stream *s = stream_new(h, id, x);

    s->head.arena = x->pub.arena;
    s->head.limits = (struct http_head_limits){o->max_header_bytes, o->max_headers};
    return s;
}

struct h2_stream *h2_stream_adopt(struct h2 *h, struct exchange *x)
{
    struct h2_stream *s = stream_new(h, 1, x);

    s->has_all_input = true;
    set_phase(s, H2_REPLY);
    return s;
}

struct h2_stream *h2_stream_get(struct h2 *h, int32_t id)
{
    struct h2_stream *s = id > 0 ? nghttp2_session_get_stream_user_data(h->session, id) : NULL;

    ORR_ASSERT(!s || s->magic == H2_STREAM_MAGIC);
    return s;
}

static void sleep_again(struct h2_stream *s)
{
    struct h2_stream **at = &s->h2->awake;

    while (s->is_awake && *at && *at != s)
        at = &(*at)->next_awake;
    if (s->is_awake && *at)
        *at = s->next_awake;
}

void h2_stream_free(struct h2_stream *s)
{
    struct h2 *h = s->h2;

    h2_stream_lose(s);
    sleep_again(s);
    h2_unpark(s);
    h2_count_output(h, -(int64_t)out_bytes(s));
    *(s->prev ? &s->prev->next : &h->streams) = s->next;
    if (s->next)
        s->next->prev = s->prev;
    METRIC_ADD(srv_of(s)->m.h2_streams, -1);
    if (--h->stream_count == 0)
        h2_set_busy(h);
    buf_done(&s->held);
    buf_done(&s->trailers);
    if (s->out)
        evbuffer_free(s->out);
    s->magic = 0;
    mem_free(s);
}

void h2_stream_lose(struct h2_stream *s)
{
    struct exchange *x = s->x;

    let_go(s);
    if (x)
        exchange_lost(x);
}

void h2_stream_reset(struct h2_stream *s, uint32_t error_code)
{
    (void)nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id, error_code);
    h2_stream_lose(s);
}

void h2_stream_begin(struct h2_stream *s, bool ends_stream)
{
    struct exchange *x = s->x;
    struct http_head_fault fault = h2_head_end(&s->head, ends_stream, &x->head);
    int64_t now_ms = loop_now_ms(x->pub.loop);

    x->pub.deadline_ms += now_ms - x->pub.start_ms; /* it began with its first header */
    x->pub.start_ms = now_ms;
    s->has_all_input = ends_stream;
    set_phase(s, H2_REPLY);
    if (fault.status) {
        x->pub.method = x->head.method;
        exchange_refuse(x, fault.status, fault.why);
    } else if (!s->h2->parked && h2_take_turn(s->h2)) {
        h2_stream_launch(s);
    } else {
        h2_park(s);
    }
}

void h2_stream_launch(struct h2_stream *s)
{
    set_phase(s, H2_REPLY);
    exchange_begin(s->x);
    if (s->x && s->phase == H2_BODY && (s->held.len || s->has_all_input))
        deliver_held(s);
}

void h2_stream_check_time(struct h2_stream *s, int64_t now_ms)
{
    const struct http_server_opts *o = &srv_of(s)->opts;

    if (s->phase == H2_HEAD && now_ms - s->since_ms > o->header_timeout_ms) {
        h2_cut_off(s->h2, REJECT_SLOW); /* nothing else can be sent until its headers end */
    } else if (s->phase == H2_BODY && exchange_is_slow(s->x, s->since_ms, now_ms)) {
        server_reject(srv_of(s), REJECT_SLOW);
        exchange_refuse(s->x, 408, "the body came too slowly");
    } else if (out_bytes(s) && now_ms - s->stall_ms > o->write_timeout_ms) {
        server_reject(srv_of(s), REJECT_SLOW);
        h2_stream_reset(s, NGHTTP2_CANCEL);
    } else if (s->x && s->x->ends_at_deadline && s->phase == H2_REPLY &&
               now_ms > s->x->pub.deadline_ms) {
        h2_stream_reset(s, NGHTTP2_CANCEL);
    }
}
