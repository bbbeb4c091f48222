#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/net/http_server_internal.h"

/* What a request may allocate in its arena, besides its body: a guard against our own bugs more
 * than a limit that is met. */
#define ARENA_BYTES_MAX (256u << 20)

/* ---- making and freeing ---- */

static const char *tls_peer_name(struct conn *c, struct arena *a)
{
    X509 *cert = c->ssl ? SSL_get0_peer_certificate(c->ssl) : NULL;
    char name[128];

    if (!cert || SSL_get_verify_result(c->ssl) != X509_V_OK ||
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name,
                                  sizeof(name)) <= 0)
        return NULL;
    return arena_strdup(a, name);
}

struct exchange *exchange_new(struct conn *c, const struct exchange_ops *ops)
{
    struct exchange *x = mem_new(struct exchange);
    const struct http_server_opts *o = &c->sl->srv->opts;
    char text[NET_ADDR_TEXT_BYTES];

    x->magic = EXCHANGE_MAGIC;
    x->ops = ops;
    x->conn = c;
    x->sl = c->sl;
    x->pub.arena = arena_new(ARENA_BYTES_MAX);
    x->pub.loop = c->sl->loop;
    x->pub.method = HTTP_GET;
    x->pub.remote = arena_strdup(x->pub.arena, net_addr_text(&c->remote, text));
    x->pub.tls_peer = tls_peer_name(c, x->pub.arena);
    x->pub.start_ms = loop_now_ms(c->sl->loop);
    x->pub.deadline_ms = x->pub.start_ms + o->request_timeout_ms;
    x->pub.max_body_bytes = o->max_body_bytes;
    x->pub.body = SLICE_EMPTY;
    x->next = c->sl->exchanges;
    if (x->next)
        x->next->prev = x;
    c->sl->exchanges = x;
    METRIC_ADD(c->sl->srv->m.inflight, 1);
    return x;
}

void exchange_discharge(struct exchange *x, size_t n)
{
    ORR_ASSERT(n <= x->charged);
    x->charged -= n;
    METRIC_ADD(x->sl->srv->m.body_bytes, -(int64_t)n);
}

/* False when the server's budget for bodies is spent. */
bool exchange_charge(struct exchange *x, size_t n)
{
    struct http_server *srv = x->sl->srv;
    int64_t max = (int64_t)srv->opts.max_inflight_body_bytes;
    int64_t after = __atomic_add_fetch(&srv->m.body_bytes, (int64_t)n, __ATOMIC_RELAXED);

    x->charged += n;
    if (after <= max)
        return true;
    exchange_discharge(x, n);
    return false;
}

void exchange_free(struct exchange *x)
{
    struct server_loop *sl = x->sl;

    *(x->prev ? &x->prev->next : &sl->exchanges) = x->next;
    if (x->next)
        x->next->prev = x->prev;
    exchange_discharge(x, x->charged);
    METRIC_ADD(sl->srv->m.inflight, -1);
    buf_done(&x->body);
    buf_done(&x->pump);
    codec_stream_free(x->stream);
    arena_free(x->pub.arena);
    x->magic = 0;
    mem_free(x);
}

void exchange_cancel(struct exchange *x)
{
    if (x->is_cancelled)
        return;
    x->is_cancelled = true;
    if (x->was_handled && !x->is_pumping && x->pub.on_cancel)
        x->pub.on_cancel(&x->pub); /* may reply, which frees x */
}

static void drop(struct exchange *x)
{
    if (!x->was_handled && x->match.route && x->match.route->on_drop)
        x->match.route->on_drop(&x->pub);
}

void exchange_lost(struct exchange *x)
{
    x->conn = NULL;
    if (x->was_handled && !x->is_pumping) {
        bool is_told = x->pub.on_cancel != NULL;

        exchange_cancel(x); /* the handler still owes its reply, which frees it */
        /* One that only waits to stream on is woken, so that it comes to its end. */
        if (!is_told && x->is_above_mark && x->on_drain) {
            x->is_above_mark = false;
            x->on_drain(&x->pub);
        }
        return;
    }
    drop(x);
    exchange_free(x);
}

/* ---- refusing ---- */

void exchange_refuse(struct exchange *x, int status, const char *why)
{
    if (status != 408)
        server_reject(x->sl->srv, REJECT_MALFORMED);
    drop(x);
    x->was_handled = true;
    reply_refuse(x, status, why);
}

/* The body, if there is one, stays unread. */
static void forgo_body(struct exchange *x)
{
    drop(x);
    x->was_handled = true; /* from here on the rule of replying holds */
    x->ops->begin_reply(x, x->head.has_body);
}

static void refuse_err(struct exchange *x, enum http_reject reason, struct err *e)
{
    const struct http_route *route = x->match.route;
    const struct http_server *srv = x->sl->srv;

    server_reject(x->sl->srv, reason);
    forgo_body(x);
    if (route && route->reply_err)
        route->reply_err(&x->pub, e);
    else if (route || !srv->reply_no_route || !srv->reply_no_route(&x->pub, e, srv->no_route_arg))
        http_reply_err(&x->pub, e);
}

static void refuse_route(struct exchange *x)
{
    char allow[128] = "";
    size_t n = 0;

    if (x->match.is_malformed) {
        refuse_err(x, REJECT_MALFORMED, err_new(ERR_INVALID, "malformed escape in the path"));
        return;
    }
    if (x->match.allowed == 0) {
        refuse_err(x, REJECT_NO_ROUTE,
                   err_new(ERR_NOT_FOUND, "no such page: %.*s",
                           (int)ORR_MIN(x->match.path.len, (size_t)200), x->match.path.ptr));
        return;
    }
#define X(sym, name, bit)                                                                          \
    if (x->match.allowed & (bit))                                                                  \
        n += (size_t)snprintf(allow + n, sizeof(allow) - n, "%s%s", n ? ", " : "", name);
    HTTP_METHODS(X)
#undef X
    http_reply_header(&x->pub, "Allow", slice_cstr(allow));
    if (x->pub.method == HTTP_OPTIONS) {
        forgo_body(x);
        http_reply(&x->pub, 204, NULL, SLICE_EMPTY);
        return;
    }
    refuse_err(x, REJECT_NO_ROUTE,
               err_new(ERR_METHOD, "%s is not allowed here, only %s",
                       http_method_name(x->pub.method), allow));
}

static struct err *err_body_size(const struct exchange *x)
{
    return err_new(ERR_TOO_LARGE, "the body is larger than %zu bytes", x->pub.max_body_bytes);
}

void exchange_refuse_size(struct exchange *x)
{
    refuse_err(x, REJECT_TOO_LARGE, err_body_size(x));
}

void exchange_refuse_budget(struct exchange *x)
{
    refuse_err(x, REJECT_BODY_BUDGET,
               err_new(ERR_UNAVAILABLE, "too many request bodies at once; try again"));
}

/* ---- the whole body is there ---- */

bool exchange_swap_body(struct exchange *x, struct buf *plain)
{
    size_t encoded = x->charged;

    exchange_discharge(x, encoded);
    if (!exchange_charge(x, plain->len)) {
        (void)exchange_charge(x, encoded);
        return false;
    }
    buf_done(&x->body);
    x->body = *plain;
    *plain = (struct buf){0};
    x->pub.body = buf_slice(&x->body);
    return true;
}

/* False when refused. */
static bool decode_body(struct exchange *x)
{
    struct buf plain = {0};
    struct err *e;

    e = codec_decode(x->codec, buf_slice(&x->body), x->pub.max_body_bytes, &plain);
    if (e) {
        enum http_reject reason = err_is(e, ERR_TOO_LARGE) ? REJECT_TOO_LARGE : REJECT_ENCODING;

        buf_done(&plain);
        x->head.has_body = false; /* all of it has been read */
        refuse_err(x, reason, err_wrap(e, "body"));
        return false;
    }
    if (!exchange_swap_body(x, &plain)) {
        buf_done(&plain);
        x->head.has_body = false;
        exchange_refuse_budget(x);
        return false;
    }
    return true;
}

void exchange_body_end(struct exchange *x)
{
    x->ops->begin_reply(x, false);
    if (x->codec != CODEC_IDENTITY && x->body.len && !decode_body(x))
        return;
    x->pub.body = buf_slice(&x->body);
    x->was_handled = true;
    x->match.route->handler(&x->pub); /* x may be gone */
}

/* ---- reading the body ---- */

/* The first bytes tell how long the body is: as good as a Content-Length. False when refused. */
static bool expect_body(struct exchange *x, struct slice piece)
{
    size_t n = x->expected_bytes(piece);

    if (n > x->pub.max_body_bytes) {
        refuse_err(x, REJECT_TOO_LARGE, err_body_size(x));
        return false;
    }
    if (n == 0 || x->charged)
        return true;
    if (!exchange_charge(x, n)) {
        exchange_refuse_budget(x);
        return false;
    }
    (void)buf_reserve(&x->body, n);
    return true;
}

bool exchange_take_piece(struct exchange *x, struct slice piece)
{
    struct err *e;

    x->body_received += piece.len;
    if (x->body_received > x->pub.max_body_bytes) {
        refuse_err(x, REJECT_TOO_LARGE, err_body_size(x));
        return false;
    }
    if (x->match.route->on_body) {
        if ((e = x->match.route->on_body(&x->pub, piece))) {
            refuse_err(x, REJECT_ADMISSION, e);
            return false;
        }
        return true;
    }
    if (x->expected_bytes && x->body.len == 0 && !expect_body(x, piece))
        return false;
    /* What was not known before it came is charged as it comes. */
    if (x->body.len + piece.len > x->charged &&
        !exchange_charge(x, x->body.len + piece.len - x->charged)) {
        exchange_refuse_budget(x);
        return false;
    }
    buf_slice_append(&x->body, piece);
    return true;
}

static void begin_body(struct exchange *x)
{
    bool is_collected = !x->match.route->on_body;

    if (x->head.content_length > x->pub.max_body_bytes) {
        refuse_err(x, REJECT_TOO_LARGE, err_body_size(x));
        return;
    }
    x->body_left = x->head.content_length;
    if (is_collected && !exchange_charge(x, (size_t)x->body_left)) {
        exchange_refuse_budget(x);
        return;
    }
    if (is_collected && x->body_left)
        (void)buf_reserve(&x->body, (size_t)x->body_left);
    x->ops->await_body(x);
}

bool exchange_is_slow(const struct exchange *x, int64_t since_ms, int64_t now_ms)
{
    const struct http_server_opts *o = &x->sl->srv->opts;
    int64_t allowed = o->body_grace_ms +
                      (int64_t)(x->body_received / ORR_MAX(o->body_min_rate, (size_t)1)) * MS_PER_S;

    return !x->is_paused && now_ms - since_ms > allowed;
}

/* ---- the head is there ---- */

/* Authentication and admission. False when refused. */
static bool admit(struct exchange *x)
{
    const struct http_server_opts *o = &x->sl->srv->opts;
    const struct http_route *route = x->match.route;
    struct err *e = NULL;

    if (o->on_admit)
        e = o->on_admit(&x->pub, o->admit_arg);
    if (!e && route->on_headers)
        e = route->on_headers(&x->pub);
    if (e)
        refuse_err(x, REJECT_ADMISSION, e);
    return !e;
}

/* False when refused. */
static bool choose_codec(struct exchange *x)
{
    const struct http_route *route = x->match.route;
    bool is_known = codec_from_name(x->head.content_encoding, &x->codec);

    if (route->flags & HTTP_ROUTE_RAW_BODY) {
        x->codec = CODEC_IDENTITY;
        return true;
    }
    if (is_known && (x->codec == CODEC_IDENTITY || !route->on_body))
        return true;
    x->codec = CODEC_IDENTITY;
    refuse_err(x, REJECT_ENCODING,
               err_new(ERR_MEDIA_TYPE, "Content-Encoding \"%.*s\" is not supported here",
                       (int)ORR_MIN(x->head.content_encoding.len, (size_t)64),
                       x->head.content_encoding.ptr));
    return false;
}

static void publish(struct exchange *x)
{
    struct http_request *r = &x->pub;

    r->method = x->head.method;
    r->target = x->head.target;
    r->path = x->match.path;
    r->query = x->head.query;
    r->headers = x->head.headers;
    r->header_count = x->head.header_count;
    r->host = x->head.host;
    if (x->match.route) {
        r->route = x->match.route;
        r->arg = x->match.route->arg;
        if (x->match.route->max_body_bytes)
            r->max_body_bytes = x->match.route->max_body_bytes;
    }
}

void exchange_begin(struct exchange *x)
{
    x->match = http_route_find(x->sl->srv->routes, x->pub.arena, x->head.method, x->head.path_raw);
    publish(x);
    if (x->sl->srv->opts.on_begin)
        x->sl->srv->opts.on_begin(&x->pub, x->sl->srv->opts.begin_arg);
    if (!x->match.route) {
        refuse_route(x);
        return;
    }
    if (!admit(x) || !choose_codec(x))
        return;
    if (x->head.has_body)
        begin_body(x);
    else
        exchange_body_end(x);
}

/* ---- what handlers ask ---- */

struct slice http_request_header(const struct http_request *r, const char *name)
{
    return http_header_get(r->headers, r->header_count, name);
}

struct slice http_request_segment(const struct http_request *r, const char *name)
{
    const struct exchange *x = exchange_from_const(r);

    for (size_t i = 0; i < x->match.segment_count; i++)
        if (slice_eq_cstr(x->match.segments[i].name, name))
            return x->match.segments[i].value;
    return (struct slice){NULL, 0};
}

bool http_request_is_gone(const struct http_request *r)
{
    const struct exchange *x = exchange_from_const(r);

    return !x->conn || x->is_cancelled;
}

void http_request_pause(struct http_request *r)
{
    exchange_from(r)->is_paused = true;
}

void http_request_resume(struct http_request *r)
{
    struct exchange *x = exchange_from(r);

    if (!x->is_paused)
        return;
    x->is_paused = false;
    if (x->conn)
        x->ops->resume_body(x);
}
