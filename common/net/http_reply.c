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

/* Copies into r's arena; control bytes in value are dropped. */
static void field_add(struct arena *a, struct reply_fields *f, const char *name, struct slice value)
{
    uint8_t *clean = arena_alloc(a, value.len);
    size_t n = 0;

    if (f->len == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 8;

        f->items = arena_grow(a, f->items, f->cap * sizeof(*f->items), cap * sizeof(*f->items));
        f->cap = cap;
    }
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] >= ' ' && value.ptr[i] != 0x7f)
            clean[n++] = value.ptr[i];
    f->items[f->len++] = (struct http_header){arena_dup(a, slice_cstr(name)), slice_of(clean, n)};
}

void http_reply_header(struct http_request *r, const char *name, struct slice value)
{
    struct exchange *x = exchange_from(r);

    ORR_ASSERT(!x->has_started);
    if (slice_eq_nocase(slice_cstr(name), SLICE("content-encoding")))
        x->has_encoding_header = true;
    field_add(r->arena, &x->reply_headers, name, value);
}

void http_reply_trailer(struct http_request *r, const char *name, struct slice value)
{
    field_add(r->arena, &exchange_from(r)->trailers, name, value);
}

static void start_reply(struct exchange *x, const struct reply_head *h)
{
    ORR_ASSERT(!x->has_started);
    x->has_started = true;
    x->status = h->status;
    x->is_bodyless = !h->is_body_sent;
    x->ops->write_head(x, h);
}

/* length -1: not known. */
static void write_head(struct exchange *x, int status, const char *content_type, enum codec codec,
                       int64_t length)
{
    bool has_body = status >= 200 && status != 204 && status != 304;

    start_reply(x, &(struct reply_head){
                       .status = status,
                       .content_type = content_type,
                       .codec = codec,
                       .length = length,
                       .has_body = has_body,
                       .is_body_sent = has_body && x->pub.method != HTTP_HEAD,
                   });
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
    if (c)
        x->ops->finish(x);
    exchange_free(x);
    if (c)
        conn_run(c);
}

struct conn *reply_upgrade(struct exchange *x, struct slice head)
{
    struct conn *c = x->conn;

    x->status = 101;
    count(x);
    if (c) {
        (void)evbuffer_add(conn_out(c), head.ptr, head.len);
        c->x = NULL;
    }
    exchange_free(x);
    return c;
}

static void free_body(const void *data, size_t len, void *arg)
{
    (void)len;
    (void)arg;
    mem_free((void *)(uintptr_t)data);
}

void reply_queue(struct evbuffer *out, struct buf *b)
{
    size_t len;
    uint8_t *p = buf_take(b, &len);

    if (len == 0 || evbuffer_add_reference(out, p, len, free_body, NULL) != 0)
        mem_free(p);
}

static void start_pump(struct exchange *x, int status, const char *content_type, enum codec codec,
                       struct buf *body)
{
    x->is_pumping = true;
    x->pump = *body;
    *body = (struct buf){0};
    write_head(x, status, content_type, codec, -1);
    x->stream = codec_stream_new(codec, 0);
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
        x->ops->write_buf(x, body);
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

static void queue_piece(struct exchange *x, struct slice piece)
{
    if (piece.len && !x->is_bodyless)
        x->ops->write_piece(x, piece);
}

static void stream_write(struct exchange *x, enum codec_stream_op op, struct slice piece)
{
    struct buf encoded = {0};

    if (!x->stream) {
        queue_piece(x, piece);
        return;
    }
    codec_stream_write(x->stream, op, piece, &encoded);
    queue_piece(x, buf_slice(&encoded));
    buf_done(&encoded);
}

static void stream_end(struct exchange *x)
{
    stream_write(x, CODEC_STREAM_END, SLICE_EMPTY);
    if (!x->is_bodyless)
        x->ops->write_end(x);
}

static bool is_above(const struct exchange *x)
{
    return x->ops->waiting(x) > x->sl->srv->opts.output_high_bytes;
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
    if (!x->is_above_mark || x->ops->waiting(x) > x->sl->srv->opts.output_high_bytes / 2)
        return;
    x->is_above_mark = false;
    if (x->on_drain)
        x->on_drain(&x->pub);
}

void http_reply_bare(struct http_request *r, int status, const char *content_type)
{
    struct exchange *x = exchange_from(r);

    x->status = status;
    if (x->conn)
        start_reply(x, &(struct reply_head){
                           .status = status,
                           .content_type = content_type,
                           .codec = CODEC_IDENTITY,
                           .length = r->is_http2 ? -1 : 0, /* HTTP/1 needs one to end */
                           .has_body = true,
                       });
    reply_finish(x);
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
    x->ops->send_later(x);
}

bool http_reply_chunk(struct http_request *r, struct slice piece)
{
    struct exchange *x = exchange_from(r);

    ORR_ASSERT(x->has_started);
    if (!x->conn)
        return true; /* swallowed, so that the handler comes to its end */
    stream_write(x, CODEC_STREAM_MORE, piece);
    x->ops->send_later(x);
    x->is_above_mark = is_above(x);
    return !x->is_above_mark;
}

bool http_reply_chunk_buf(struct http_request *r, struct buf *piece)
{
    struct exchange *x = exchange_from(r);

    ORR_ASSERT(x->has_started);
    if (!x->conn || x->is_bodyless || x->stream) {
        bool may_go_on = http_reply_chunk(r, buf_slice(piece));

        buf_done(piece);
        return may_go_on;
    }
    if (piece->len)
        x->ops->write_buf(x, piece);
    buf_done(piece);
    x->ops->send_later(x);
    x->is_above_mark = is_above(x);
    return !x->is_above_mark;
}

void http_reply_flush(struct http_request *r)
{
    struct exchange *x = exchange_from(r);

    if (x->conn && x->stream) {
        stream_write(x, CODEC_STREAM_FLUSH, SLICE_EMPTY);
        x->ops->send_later(x);
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
    if (x->conn)
        x->ops->abort(x);
    x->conn = NULL;
    reply_finish(x);
}
