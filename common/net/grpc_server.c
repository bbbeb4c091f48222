#include "common/net/grpc_server.h"

#include "common/base/base64.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/base/vec.h"
#include "common/net/grpc_frame.h"
#include "common/net/grpc_internal.h"
#include "common/net/http_server_internal.h"
#include "common/proto/grpc_wire.h"

#define CALL_MAGIC 0x67727063u
#define CONTENT_TYPE "application/grpc"
#define RETRY_MS 1000
/* grpc-message travels in a header: clients bound those, by 8 KiB most of them. */
#define MESSAGE_BYTES_MAX 2048

static const struct metric_field status_fields[] = {
    {METRIC_T_COUNTER, 0, "orrery_grpc_requests_total",
     "Calls by the status they ended with; CANCELLED: the client did not wait."},
};

struct method {
    struct grpc_method m; /* path is owned */
    struct grpc_server *server;
};

struct grpc_server {
    struct http_server *http;
    VEC(struct method *) methods;
    bool (*is_ready)(void *arg);
    void *ready_arg;
    uint64_t statuses[GRPC_STATUS_COUNT];
};

struct call {
    struct grpc_call pub;
    uint32_t magic;
    struct grpc_server *server;
    const struct method *method;
    enum codec request_codec, reply_codec;
    bool has_started, is_blocked;
    int64_t retry_ms;
    void (*on_drain)(struct grpc_call *c);
};

static struct call *call_from(struct grpc_call *c)
{
    struct call *call = ORR_CONTAINER(c, struct call, pub);

    ORR_ASSERT(call->magic == CALL_MAGIC);
    return call;
}

static struct call *call_of(struct http_request *r)
{
    return r->user ? call_from(r->user) : NULL;
}

/* ---- the end of a call ---- */

static void add_status(struct http_request *r, enum grpc_status status, struct slice message,
                       int64_t retry_ms, bool is_trailer)
{
    void (*add)(struct http_request *, const char *, struct slice) =
        is_trailer ? http_reply_trailer : http_reply_header;
    struct buf text = {0}, details = {0};

    message = slice_sub(message, 0, MESSAGE_BYTES_MAX);
    add(r, "grpc-status", slice_cstr(arena_printf(r->arena, "%d", status)));
    if (message.len) {
        grpc_frame_escape(message, &text);
        add(r, "grpc-message", buf_slice(&text));
    }
    if (retry_ms >= 0) {
        grpc_wire_retry(status, message, retry_ms, &details);
        buf_reset(&text);
        base64_encode(buf_slice(&details), false, &text);
        add(r, "grpc-status-details-bin", buf_slice(&text));
    }
    buf_done(&text);
    buf_done(&details);
}

static void count(struct grpc_server *g, const struct http_request *r, enum grpc_status status)
{
    METRIC_ADD(g->statuses[http_request_is_gone(r) ? GRPC_CANCELLED : status], 1);
}

/* A call that ends before its first message: everything in one block of headers. */
static void reply_status_only(struct grpc_server *g, struct http_request *r,
                              enum grpc_status status, struct slice message, int64_t retry_ms)
{
    count(g, r, status);
    add_status(r, status, message, retry_ms, false);
    http_reply_bare(r, 200, CONTENT_TYPE);
}

static void end(struct call *call, enum grpc_status status, struct slice message, int64_t retry_ms)
{
    struct http_request *r = call->pub.http;

    if (!call->has_started) {
        reply_status_only(call->server, r, status, message, retry_ms);
        return;
    }
    count(call->server, r, status);
    add_status(r, status, message, retry_ms, true);
    http_reply_end(r);
}

static int64_t retry_of(const struct call *call, enum err_code code)
{
    if (!grpc_status_is_retried(code))
        return -1;
    return call && call->retry_ms >= 0 ? call->retry_ms : RETRY_MS;
}

void grpc_reply_err(struct grpc_call *c, struct err *e)
{
    struct call *call = call_from(c);
    enum err_code code = err_code(e);

    end(call, grpc_status_of(code), slice_cstr(err_msg(e)), retry_of(call, code));
    err_free(e);
}

void grpc_end(struct grpc_call *c)
{
    struct call *call = call_from(c);

    if (!call->has_started) { /* an empty stream */
        call->has_started = true;
        http_reply_start(c->http, 200, CONTENT_TYPE);
    }
    end(call, GRPC_OK, SLICE_EMPTY, -1);
}

/* ---- messages of the reply ---- */

/* may_compress: whether it is worth telling the client of a codec. */
static void start(struct call *call, bool may_compress)
{
    struct http_request *r = call->pub.http;

    if (call->has_started)
        return;
    call->has_started = true;
    if (!may_compress)
        call->reply_codec = CODEC_IDENTITY;
    if (call->reply_codec != CODEC_IDENTITY)
        http_reply_header(r, "grpc-encoding", slice_cstr(codec_name(call->reply_codec)));
    http_reply_start(r, 200, CONTENT_TYPE);
}

/* Takes message. */
static bool send_message(struct call *call, struct buf *message)
{
    struct http_request *r = call->pub.http;
    bool is_compressed = call->reply_codec != CODEC_IDENTITY &&
                         message->len >= call->server->http->opts.compress_min_bytes;
    uint8_t head[GRPC_FRAME_HEAD_BYTES];

    if (http_request_is_gone(r)) {
        buf_done(message);
        return true; /* so that the handler comes to its end */
    }
    if (is_compressed) {
        struct buf encoded = {0};
        struct err *e = codec_encode(call->reply_codec, 0, buf_slice(message), &encoded);

        ORR_ASSERT(!e); /* the output is unbounded */
        buf_done(message);
        *message = encoded;
    }
    grpc_frame_head(is_compressed, message->len, head);
    (void)http_reply_chunk(r, slice_of(head, sizeof(head)));
    call->is_blocked = !http_reply_chunk_buf(r, message);
    return !call->is_blocked;
}

bool grpc_send_buf(struct grpc_call *c, struct buf *message)
{
    struct call *call = call_from(c);

    start(call, true);
    return send_message(call, message);
}

bool grpc_send(struct grpc_call *c, struct slice message)
{
    struct buf copy = {0};

    buf_slice_append(&copy, message);
    return grpc_send_buf(c, &copy);
}

void grpc_reply_buf(struct grpc_call *c, struct buf *message)
{
    struct call *call = call_from(c);

    start(call, message->len >= call->server->http->opts.compress_min_bytes);
    (void)send_message(call, message);
    end(call, GRPC_OK, SLICE_EMPTY, -1);
}

void grpc_reply(struct grpc_call *c, struct slice message)
{
    struct buf copy = {0};

    buf_slice_append(&copy, message);
    grpc_reply_buf(c, &copy);
}

static void on_http_drain(struct http_request *r)
{
    struct call *call = call_of(r);

    call->is_blocked = false;
    if (call->on_drain)
        call->on_drain(&call->pub);
}

void grpc_on_drain(struct grpc_call *c, void (*fn)(struct grpc_call *c))
{
    call_from(c)->on_drain = fn;
    http_reply_on_drain(c->http, on_http_drain);
}

/* ---- metadata ---- */

struct slice grpc_metadata(const struct grpc_call *c, const char *name)
{
    return http_request_header(c->http, name);
}

bool grpc_metadata_bin(struct grpc_call *c, const char *name, struct slice *ret)
{
    struct slice sent = grpc_metadata(c, name);
    struct buf plain = {0};
    bool ok = sent.ptr && base64_decode(sent, &plain);

    if (ok)
        *ret = arena_dup(c->arena, buf_slice(&plain));
    buf_done(&plain);
    return ok;
}

static void add_metadata(struct grpc_call *c, const char *name, struct slice value, bool is_trailer)
{
    void (*add)(struct http_request *, const char *, struct slice) =
        is_trailer ? http_reply_trailer : http_reply_header;
    struct buf text = {0};

    if (!slice_has_suffix(slice_cstr(name), SLICE("-bin"))) {
        add(c->http, name, value);
        return;
    }
    base64_encode(value, false, &text);
    add(c->http, name, buf_slice(&text));
    buf_done(&text);
}

void grpc_reply_metadata(struct grpc_call *c, const char *name, struct slice value)
{
    add_metadata(c, name, value, false);
}

void grpc_reply_trailer(struct grpc_call *c, const char *name, struct slice value)
{
    /* A reply that is a status alone has no trailers besides its headers. */
    add_metadata(c, name, value, call_from(c)->has_started);
}

void grpc_retry_after(struct grpc_call *c, int64_t ms)
{
    call_from(c)->retry_ms = ORR_MAX(ms, (int64_t)0);
}

bool grpc_is_gone(const struct grpc_call *c)
{
    return http_request_is_gone(c->http);
}

/* ---- the request ---- */

static bool is_grpc(const struct http_request *r)
{
    struct slice type = http_request_header(r, "content-type");

    return type.ptr && slice_has_prefix(type, SLICE(CONTENT_TYPE)) &&
           (type.len == sizeof(CONTENT_TYPE) - 1 || type.ptr[sizeof(CONTENT_TYPE) - 1] == '+' ||
            type.ptr[sizeof(CONTENT_TYPE) - 1] == ';');
}

static struct err *read_timeout(struct call *call)
{
    struct http_request *r = call->pub.http;
    struct slice text = http_request_header(r, "grpc-timeout");
    int64_t ms;

    if (!text.ptr)
        return NULL;
    if (!grpc_frame_timeout(text, &ms))
        return err_new(ERR_INVALID, "malformed grpc-timeout \"%.*s\"",
                       (int)ORR_MIN(text.len, (size_t)32), text.ptr);
    if (r->start_ms + ms >= r->deadline_ms)
        return NULL; /* ours is sooner */
    r->deadline_ms = r->start_ms + ms;
    exchange_from(r)->ends_at_deadline = true;
    return NULL;
}

static struct err *read_encoding(struct call *call)
{
    struct http_request *r = call->pub.http;
    struct slice name = http_request_header(r, "grpc-encoding");
    struct slice accepted = http_request_header(r, "grpc-accept-encoding");

    call->reply_codec = CODEC_IDENTITY;
    if (!name.ptr)
        return NULL;
    if (grpc_frame_codec(name, &call->request_codec)) {
        /* Most clients accept gzip always, but only who sends it thinks that it pays. */
        if (accepted.ptr && http_header_has_token(accepted, codec_name(call->request_codec)))
            call->reply_codec = call->request_codec;
        return NULL;
    }
    http_reply_header(r, "grpc-accept-encoding", SLICE(GRPC_FRAME_CODECS));
    return err_new(ERR_UNSUPPORTED, "grpc-encoding \"%.*s\" is not supported, only %s",
                   (int)ORR_MIN(name.len, (size_t)64), name.ptr, GRPC_FRAME_CODECS);
}

/* So that a message that is too large is refused at once, and others are read into their place. */
static size_t expected_bytes(struct slice piece)
{
    struct reader r = reader_new(piece);
    size_t n;

    (void)reader_u8(&r);
    n = reader_u32be(&r);
    return reader_ok(&r) ? n + GRPC_FRAME_HEAD_BYTES : 0;
}

static struct err *begin(struct http_request *r)
{
    const struct method *method = r->arg;
    struct call *call = arena_new_of(r->arena, struct call);
    struct err *e;

    if (!r->is_http2)
        return err_new(ERR_MEDIA_TYPE, "gRPC needs HTTP/2");
    if (!is_grpc(r))
        return err_new(ERR_MEDIA_TYPE, "the Content-Type of a gRPC call is " CONTENT_TYPE);
    call->magic = CALL_MAGIC;
    call->server = method->server;
    call->method = method;
    call->retry_ms = -1;
    call->request_codec = CODEC_IDENTITY;
    call->pub.message = SLICE_EMPTY;
    call->pub.arena = r->arena;
    call->pub.loop = r->loop;
    call->pub.arg = method->m.arg;
    call->pub.http = r;
    r->user = &call->pub;
    exchange_from(r)->expected_bytes = expected_bytes;
    if ((e = read_timeout(call)) || (e = read_encoding(call)))
        return e;
    call->pub.deadline_ms = r->deadline_ms;
    return method->m.on_headers ? method->m.on_headers(&call->pub) : NULL;
}

/* The one message of a request. */
static struct err *take_message(struct call *call)
{
    struct http_request *r = call->pub.http;
    struct slice in = r->body;
    struct buf plain = {0};
    bool is_compressed;
    struct err *e;

    switch (grpc_frame_take(&in, &is_compressed, &call->pub.message)) {
    case GRPC_FRAME_OK:
        break;
    case GRPC_FRAME_MORE:
        return err_new(ERR_INVALID, in.len ? "the message is cut short" : "no message");
    case GRPC_FRAME_BAD:
        return err_new(ERR_INVALID, "malformed message frame");
    }
    if (in.len)
        return err_new(ERR_UNSUPPORTED, "more than one message: this method takes no stream");
    if (!is_compressed)
        return NULL;
    if (call->request_codec == CODEC_IDENTITY)
        return err_new(ERR_INVALID, "a compressed message without grpc-encoding");
    e = codec_decode(call->request_codec, call->pub.message,
                     r->max_body_bytes - GRPC_FRAME_HEAD_BYTES, &plain);
    if (e || !exchange_swap_body(exchange_from(r), &plain)) {
        buf_done(&plain);
        return e ? e : err_new(ERR_UNAVAILABLE, "too many request bodies at once; try again");
    }
    call->pub.message = r->body;
    return NULL;
}

static void on_http_cancel(struct http_request *r)
{
    struct call *call = call_of(r);

    if (call->pub.on_cancel) {
        call->pub.on_cancel(&call->pub);
    } else if (call->is_blocked && call->on_drain) {
        call->is_blocked = false; /* what it sends from here on vanishes, so it comes to its end */
        call->on_drain(&call->pub);
    }
}

static void run(struct http_request *r)
{
    struct call *call = call_of(r);
    struct err *e = take_message(call);

    if (e) {
        grpc_reply_err(&call->pub, e);
        return;
    }
    r->on_cancel = on_http_cancel;
    call->method->m.handler(&call->pub); /* call may be gone */
}

/* What the http server refuses on a method's route; takes e. */
static void refuse(struct http_request *r, struct err *e)
{
    const struct method *method = r->arg;
    enum err_code code = err_code(e);

    if (!r->is_http2 || !is_grpc(r)) {
        http_reply_err(r, e);
        return;
    }
    reply_status_only(method->server, r, grpc_status_of(code), slice_cstr(err_msg(e)),
                      retry_of(call_of(r), code));
    err_free(e);
}

/* For whatever has no route; takes e if true. */
static bool refuse_unknown(struct http_request *r, struct err *e, void *arg)
{
    struct buf why = {0};

    if (!r->is_http2 || !is_grpc(r))
        return false;
    buf_printf(&why, "unknown method %.*s", (int)ORR_MIN(r->path.len, (size_t)200), r->path.ptr);
    reply_status_only(arg, r, GRPC_UNIMPLEMENTED, buf_slice(&why), -1);
    buf_done(&why);
    err_free(e);
    return true;
}

/* ---- the table ---- */

void grpc_server_method(struct grpc_server *g, const struct grpc_method *m)
{
    struct method *method = mem_new(struct method);
    size_t max = m->max_message_bytes ? m->max_message_bytes : g->http->opts.max_body_bytes;

    ORR_ASSERT(m->path[0] == '/' && strchr(m->path + 1, '/'));
    method->m = *m;
    method->m.path = mem_strdup(m->path);
    method->server = g;
    vec_push(&g->methods, method);
    http_server_route(g->http, &(struct http_route){
                                   .methods = HTTP_POST,
                                   .pattern = method->m.path,
                                   .flags = HTTP_ROUTE_RAW_BODY | HTTP_ROUTE_NO_COMPRESS,
                                   .max_body_bytes = max + GRPC_FRAME_HEAD_BYTES,
                                   .on_headers = begin,
                                   .handler = run,
                                   .reply_err = refuse,
                                   .arg = method,
                               });
}

bool grpc_server_has_service(const struct grpc_server *g, struct slice service)
{
    VEC_FOREACH (method, &g->methods) {
        struct slice path = slice_cstr((*method)->m.path + 1);

        if (slice_has_prefix(path, service) && path.ptr[service.len] == '/')
            return true;
    }
    return false;
}

bool grpc_server_is_ready(const struct grpc_server *g)
{
    return !g->is_ready || g->is_ready(g->ready_arg);
}

struct grpc_server *grpc_server_new(struct http_server *http, bool (*is_ready)(void *arg),
                                    void *arg)
{
    struct grpc_server *g = mem_new(struct grpc_server);
    struct buf labels = {0};

    g->http = http;
    g->is_ready = is_ready;
    g->ready_arg = arg;
    for (int i = 0; i < GRPC_STATUS_COUNT; i++) {
        buf_reset(&labels);
        buf_printf(&labels, "server=\"%s\",status=\"%s\"", http->opts.name,
                   grpc_status_name((enum grpc_status)i));
        metric_register(&g->statuses[i], status_fields, 1, buf_cstr(&labels));
    }
    buf_done(&labels);
    http_server_on_no_route(http, refuse_unknown, g);
    grpc_health_add(g);
    return g;
}

void grpc_server_free(struct grpc_server *g)
{
    if (!g)
        return;
    for (int i = 0; i < GRPC_STATUS_COUNT; i++)
        metric_unregister(&g->statuses[i]);
    VEC_FOREACH (method, &g->methods) {
        mem_free((void *)(uintptr_t)(*method)->m.path);
        mem_free(*method);
    }
    vec_done(&g->methods);
    mem_free(g);
}
