#include "common/net/http_reply.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/net/http_server_internal.h"

/* Larger bodies are compressed piece by piece while they are sent, so that one reply does not keep
 * the loop from the others. */
#define COMPRESS_AT_ONCE_BYTES (512 * 1024)
#define PUMP_PIECE_BYTES (64 * 1024)

/* ---- compression ---- */

/* Does Accept-Encoding list this coding, and not with q=0? */
static bool accepts(struct slice header, const char *coding)
{
    struct slice rest = header, part;

    while (rest.ptr && slice_split(&rest, ',', &part)) {
        ptrdiff_t semicolon = slice_find_byte(part, ';', 0);
        struct slice name = semicolon < 0 ? part : slice_sub(part, 0, (size_t)semicolon);
        struct slice q =
            semicolon < 0 ? SLICE_EMPTY : slice_trim(slice_from(part, (size_t)semicolon + 1));
        bool is_refused = slice_eq(q, SLICE("q=0")) || slice_eq(q, SLICE("q=0.0")) ||
                          slice_eq(q, SLICE("q=0.00")) || slice_eq(q, SLICE("q=0.000"));

        if (slice_eq_nocase(slice_trim(name), slice_cstr(coding)))
            return !is_refused;
    }
    return false;
}

static bool is_compressible(const char *content_type)
{
    static const char *const kinds[] = {"text/", "json",     "javascript", "openmetrics",
                                        "xml",   "protobuf", "yaml",       "x-ndjson"};

    for (size_t i = 0; content_type && i < ORR_COUNT(kinds); i++)
        if (strstr(content_type, kinds[i]))
            return true;
    return false;
}

static enum codec reply_codec(const struct exchange *x, const char *content_type)
{
    struct slice header = http_request_header(&x->pub, "accept-encoding");

    if (x->has_encoding_header || !header.ptr || !is_compressible(content_type) ||
        (x->pub.route && (x->pub.route->flags & HTTP_ROUTE_NO_COMPRESS)))
        return CODEC_IDENTITY;
    if (accepts(header, "zstd"))
        return CODEC_ZSTD;
    return accepts(header, "gzip") ? CODEC_GZIP : CODEC_IDENTITY;
}

/* ---- the head of a reply ---- */

void http_reply_header(struct http_request *r, const char *name, struct slice value)
{
    struct exchange *x = exchange_from(r);

    ORR_ASSERT(!x->has_started);
    if (slice_eq_nocase(slice_cstr(name), SLICE("content-encoding")))
        x->has_encoding_header = true;
    buf_str(&x->reply_headers, name);
    buf_str(&x->reply_headers, ": ");
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] >= ' ' && value.ptr[i] != 0x7f)
            buf_byte(&x->reply_headers, value.ptr[i]);
    buf_str(&x->reply_headers, "\r\n");
}

/* length -1: not known. */
static void write_head(struct exchange *x, int status, const char *content_type, enum codec codec,
                       int64_t length)
{
    struct buf head = {0};
    bool has_body = status >= 200 && status != 204 && status != 304;

    ORR_ASSERT(!x->has_started);
    x->has_started = true;
    x->status = status;
    x->is_bodyless = !has_body || x->pub.method == HTTP_HEAD;
    x->is_chunked_reply = has_body && length < 0 && x->head.minor == 1;
    if (x->sl->is_draining || (has_body && length < 0 && x->head.minor == 0))
        x->is_keep_alive = false;
    buf_printf(&head, "HTTP/1.1 %d %s\r\n%s", status, http_status_text(status),
               server_loop_date(x->sl));
    if (content_type)
        buf_printf(&head, "Content-Type: %s\r\n", content_type);
    if (codec != CODEC_IDENTITY)
        buf_printf(&head, "Content-Encoding: %s\r\nVary: Accept-Encoding\r\n", codec_name(codec));
    if (has_body && length >= 0)
        buf_printf(&head, "Content-Length: %lld\r\n", (long long)length);
    else if (x->is_chunked_reply)
        buf_str(&head, "Transfer-Encoding: chunked\r\n");
    if (!x->is_keep_alive)
        buf_str(&head, "Connection: close\r\n");
    else if (x->head.minor == 0)
        buf_str(&head, "Connection: keep-alive\r\n");
    buf_slice_append(&head, buf_slice(&x->reply_headers));
    buf_str(&head, "\r\n");
    (void)evbuffer_add(conn_out(x->conn), head.ptr, head.len);
    buf_done(&head);
}

/* ---- the end of a reply ---- */

static void count(const struct exchange *x)
{
    struct http_server *srv = x->sl->srv;
    int64_t took_ms = loop_now_ms(x->sl->loop) - x->pub.start_ms;
    int class = x->conn && x->status >= 100 && x->status < 600 ? x->status / 100 : 0;

    METRIC_ADD(srv->classes[class], 1);
    metric_hist_observe(&srv->m.duration_s, (double)took_ms / (double)MS_PER_S);
    LOG_DEBUG(net, "request", KV_STR("method", http_method_name(x->pub.method)),
              KV_SLICE("path", x->pub.path.ptr ? x->pub.path : SLICE_EMPTY),
              KV_I64("status", x->status), KV_I64("duration_ms", took_ms),
              KV_STR("addr", x->pub.remote));
}

void reply_finish(struct exchange *x)
{
    struct conn *c = x->conn;

    count(x);
    if (c) {
        c->x = NULL;
        c->closes = c->closes || !x->is_keep_alive;
        conn_set_phase(c, PHASE_WRITE);
    }
    exchange_free(x);
    if (c)
        conn_run(c);
}

static void free_body(const void *data, size_t len, void *arg)
{
    (void)len;
    (void)arg;
    mem_free((void *)(uintptr_t)data);
}

/* Queues the bytes of b without copying them, and leaves b empty. */
static void queue_buf(struct conn *c, struct buf *b)
{
    size_t len;
    uint8_t *p = buf_take(b, &len);

    if (len == 0 || evbuffer_add_reference(conn_out(c), p, len, free_body, NULL) != 0)
        mem_free(p);
}

static void start_pump(struct exchange *x, int status, const char *content_type, enum codec codec,
                       struct buf *body)
{
    write_head(x, status, content_type, codec, -1);
    x->stream = codec_stream_new(codec, 0);
    x->pump = *body;
    *body = (struct buf){0};
    x->is_pumping = true;
    conn_run(x->conn);
}

/* Takes body. */
static void reply_whole(struct exchange *x, int status, const char *content_type, struct buf *body)
{
    enum codec codec = CODEC_IDENTITY;
    struct buf encoded = {0};

    if (!x->conn) {
        buf_done(body);
        x->status = status;
        reply_finish(x);
        return;
    }
    if (body->len >= x->sl->srv->opts.compress_min_bytes)
        codec = reply_codec(x, content_type);
    if (codec != CODEC_IDENTITY && body->len > COMPRESS_AT_ONCE_BYTES && x->head.minor == 1 &&
        x->pub.method != HTTP_HEAD) {
        start_pump(x, status, content_type, codec, body);
        return;
    }
    if (codec != CODEC_IDENTITY && body->len <= COMPRESS_AT_ONCE_BYTES) {
        struct err *e = codec_encode(codec, 0, buf_slice(body), &encoded);

        ORR_ASSERT(!e); /* the output is unbounded */
        buf_done(body);
        *body = encoded;
    } else {
        codec = CODEC_IDENTITY;
    }
    write_head(x, status, content_type, codec, (int64_t)body->len);
    if (x->is_bodyless)
        buf_done(body);
    else
        queue_buf(x->conn, body);
    reply_finish(x);
}

void http_reply_buf(struct http_request *r, int status, const char *content_type, struct buf *body)
{
    struct buf taken = *body;

    *body = (struct buf){0};
    reply_whole(exchange_from(r), status, content_type, &taken);
}

void http_reply(struct http_request *r, int status, const char *content_type, struct slice body)
{
    struct buf copy = {0};

    buf_slice_append(&copy, body);
    reply_whole(exchange_from(r), status, content_type, &copy);
}

void http_reply_err(struct http_request *r, struct err *e)
{
    struct buf body = {0};
    enum err_code code = err_code(e);

    buf_printf(&body, "%s\n", err_msg(e));
    err_free(e);
    if (code == ERR_RATE || code == ERR_UNAVAILABLE)
        http_reply_header(r, "Retry-After", SLICE("1"));
    http_reply_header(r, "X-Content-Type-Options", SLICE("nosniff"));
    http_reply_buf(r, err_code_http(code), HTTP_TEXT, &body);
}

void reply_refuse(struct exchange *x, int status, const char *why)
{
    struct buf body = {0};

    if (x->head.minor == 0 && !x->head.target.ptr)
        x->head.minor = 1; /* a head we could not parse */
    buf_printf(&body, "%s\n", why);
    http_reply_header(&x->pub, "X-Content-Type-Options", SLICE("nosniff"));
    reply_whole(x, status, HTTP_TEXT, &body);
}

/* ---- streamed replies ---- */

static void queue_chunk(struct exchange *x, struct slice piece)
{
    struct evbuffer *out;

    if (piece.len == 0 || x->is_bodyless)
        return;
    out = conn_out(x->conn);
    if (x->is_chunked_reply)
        (void)evbuffer_add_printf(out, "%zx\r\n", piece.len);
    (void)evbuffer_add(out, piece.ptr, piece.len);
    if (x->is_chunked_reply)
        (void)evbuffer_add(out, "\r\n", 2);
}

static void stream_write(struct exchange *x, enum codec_stream_op op, struct slice piece)
{
    struct buf encoded = {0};

    if (!x->stream) {
        queue_chunk(x, piece);
        return;
    }
    codec_stream_write(x->stream, op, piece, &encoded);
    queue_chunk(x, buf_slice(&encoded));
    buf_done(&encoded);
}

static void stream_end(struct exchange *x)
{
    stream_write(x, CODEC_STREAM_END, SLICE_EMPTY);
    if (x->is_chunked_reply && !x->is_bodyless)
        (void)evbuffer_add(conn_out(x->conn), "0\r\n\r\n", 5);
}

static bool is_above(const struct exchange *x)
{
    return evbuffer_get_length(conn_out(x->conn)) > x->sl->srv->opts.output_high_bytes;
}

void reply_pump(struct exchange *x)
{
    while (x->pump_pos < x->pump.len && !is_above(x)) {
        struct slice piece = slice_sub(buf_slice(&x->pump), x->pump_pos, PUMP_PIECE_BYTES);

        stream_write(x, CODEC_STREAM_MORE, piece);
        x->pump_pos += piece.len;
    }
    if (x->pump_pos < x->pump.len)
        return;
    stream_end(x);
    reply_finish(x);
}

void reply_check_drain(struct exchange *x)
{
    struct conn *c = x->conn;
    size_t waiting = c->out ? evbuffer_get_length(c->out) : 0;

    if (!x->is_above_mark || waiting > x->sl->srv->opts.output_high_bytes / 2)
        return;
    x->is_above_mark = false;
    if (x->on_drain)
        x->on_drain(&x->pub);
}

void http_reply_start(struct http_request *r, int status, const char *content_type)
{
    struct exchange *x = exchange_from(r);
    enum codec codec = reply_codec(x, content_type);

    x->status = status;
    if (!x->conn) {
        x->has_started = true;
        return;
    }
    write_head(x, status, content_type, codec, -1);
    if (codec != CODEC_IDENTITY && !x->is_bodyless)
        x->stream = codec_stream_new(codec, 0);
    conn_send_later(x->conn);
}

bool http_reply_chunk(struct http_request *r, struct slice piece)
{
    struct exchange *x = exchange_from(r);

    ORR_ASSERT(x->has_started);
    if (!x->conn)
        return true; /* swallowed, so that the handler comes to its end */
    stream_write(x, CODEC_STREAM_MORE, piece);
    conn_send_later(x->conn);
    x->is_above_mark = is_above(x);
    return !x->is_above_mark;
}

void http_reply_flush(struct http_request *r)
{
    struct exchange *x = exchange_from(r);

    if (x->conn && x->stream) {
        stream_write(x, CODEC_STREAM_FLUSH, SLICE_EMPTY);
        conn_send_later(x->conn);
    }
}

void http_reply_on_drain(struct http_request *r, void (*fn)(struct http_request *r))
{
    exchange_from(r)->on_drain = fn;
}

void http_reply_end(struct http_request *r)
{
    struct exchange *x = exchange_from(r);

    ORR_ASSERT(x->has_started);
    if (x->conn)
        stream_end(x);
    reply_finish(x);
}

void http_reply_abort(struct http_request *r)
{
    struct exchange *x = exchange_from(r);
    struct conn *c = x->conn;

    x->conn = NULL;
    if (c) {
        c->x = NULL;
        conn_close(c);
    }
    reply_finish(x);
}
