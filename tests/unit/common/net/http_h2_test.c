#include <malloc.h>

#include "common/base/base64.h"
#include "common/net/codec.h"
#include "common/net/http_h2_internal.h"
#include "tests/unit/common/net/h2_client.h"

static struct loop *loop;
static struct http_server *srv;
static struct http_request *kept; /* what /later and /paused have not answered */
static int cancels, drops, echoes;
static size_t streamed_left, body_seen;
static bool has_drained;

/* ---- handlers ---- */

static void on_echo(struct http_request *r)
{
    echoes++;
    http_reply(r, 200, HTTP_TEXT, r->body);
}

static void on_show(struct http_request *r)
{
    struct buf out = {0};

    buf_printf(&out, "%s %.*s %.*s host=%.*s h2=%d", http_method_name(r->method),
               SLICE_ARG(r->path), SLICE_ARG(r->query), SLICE_ARG(r->host), r->is_http2);
    http_reply_header(r, "X-Mixed-Case", SLICE("yes"));
    http_reply_header(r, "Connection", SLICE("close"));
    http_reply_buf(r, 200, HTTP_TEXT, &out);
}

static void on_cancelled(struct http_request *r)
{
    cancels++;
    CHECK(http_request_is_gone(r));
}

static void on_cancelled_at_once(struct http_request *r)
{
    cancels++;
    http_reply(r, 200, HTTP_TEXT, SLICE_EMPTY);
}

static void on_later(struct http_request *r)
{
    kept = r;
    r->on_cancel = on_cancelled;
}

static void on_work(struct http_request *r)
{
    r->on_cancel = on_cancelled_at_once;
}

/* Longer than a turn may take. */
static void on_spin(struct http_request *r)
{
    int64_t until = clock_mono_ms(&clock_system) + 4;

    while (clock_mono_ms(&clock_system) < until)
        ;
    on_echo(r);
}

static void on_big(struct http_request *r)
{
    struct buf out = {0};

    buf_fill(&out, 'x', 3u << 20);
    http_reply_buf(r, 200, HTTP_JSON, &out);
}

static void stream_more(struct http_request *r)
{
    static const char piece[10000] = {[0 ... 9999] = 'y'};

    while (streamed_left) {
        size_t n = ORR_MIN(streamed_left, sizeof(piece));

        streamed_left -= n;
        if (!http_reply_chunk(r, slice_of(piece, n)))
            return;
    }
    http_reply_trailer(r, "X-Sum", SLICE("all\r\n of it"));
    http_reply_end(r);
}

static void on_stream(struct http_request *r)
{
    http_reply_start(r, 200, HTTP_TEXT);
    http_reply_on_drain(r, stream_more);
    stream_more(r);
}

static void on_abort(struct http_request *r)
{
    http_reply_start(r, 200, HTTP_TEXT);
    (void)http_reply_chunk(r, SLICE("half"));
    http_reply_abort(r);
}

static struct err *refuse(struct http_request *r)
{
    (void)r;
    return err_new(ERR_UNAUTHORIZED, "no key");
}

static struct err *take_and_pause(struct http_request *r, struct slice piece)
{
    body_seen += piece.len;
    kept = r;
    http_request_pause(r);
    return NULL;
}

static void on_count(struct http_request *r)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%zu", body_seen);
    http_reply(r, 200, HTTP_TEXT, slice_cstr(text));
}

static void on_drop(struct http_request *r)
{
    (void)r;
    drops++;
}

static const struct http_route routes[] = {
    {.methods = HTTP_GET | HTTP_POST, .pattern = "/echo", .handler = on_echo, .on_drop = on_drop},
    {.methods = HTTP_GET, .pattern = "/show", .handler = on_show},
    {.methods = HTTP_GET, .pattern = "/later", .handler = on_later},
    {.methods = HTTP_GET, .pattern = "/work", .handler = on_work},
    {.methods = HTTP_GET, .pattern = "/spin", .handler = on_spin},
    {.methods = HTTP_GET, .pattern = "/big", .handler = on_big},
    {.methods = HTTP_GET, .pattern = "/stream", .handler = on_stream},
    {.methods = HTTP_GET, .pattern = "/abort", .handler = on_abort},
    {.methods = HTTP_POST, .pattern = "/locked", .handler = on_echo, .on_headers = refuse},
    {.methods = HTTP_POST, .pattern = "/paused", .handler = on_count, .on_body = take_and_pause},
};

static void start(struct http_server_opts opts)
{
    opts.addr = "127.0.0.1:0";
    cancels = drops = echoes = 0;
    kept = NULL;
    body_seen = 0;
    has_drained = false;
    CHECK_OK(loop_new("test", &loop));
    CHECK_OK(http_server_new(&opts, &loop, 1, &srv));
    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(srv, &routes[i]);
    CHECK_OK(http_server_listen(srv));
}

static void stop(void)
{
    http_server_free(srv);
    loop_free(loop);
}

static struct h2c *dial(void)
{
    return h2c_new(loop, http_server_port(srv));
}

static void turns(struct h2c *c, int n)
{
    for (int i = 0; i < n; i++)
        h2c_turn(c);
}

static void turn_for(struct h2c *c, int64_t ms)
{
    int64_t until = clock_mono_ms(&clock_system) + ms;

    while (clock_mono_ms(&clock_system) < until)
        h2c_turn(c);
}

/* No stream and no request has been left behind. */
static void settle(void)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (http_server_connections(srv) && clock_mono_ms(&clock_system) < until)
        loop_run_once(loop, 2);
    CHECK_INT(http_server_connections(srv), 0);
    CHECK_INT(http_server_inflight(srv), 0);
    CHECK_INT(srv->m.h2_streams, 0);
    CHECK_INT(srv->m.h2_connections, 0);
    CHECK_INT(srv->m.h2_output_bytes, 0);
    CHECK_INT(srv->m.body_bytes, 0);
}

/* Raw bytes, for what nghttp2 would not send. */
static void send_raw(int fd, const void *p, size_t n)
{
    struct slice s = slice_of(p, n);
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (s.len && clock_mono_ms(&clock_system) < until) {
        ssize_t got = send(fd, s.ptr, s.len, MSG_NOSIGNAL);

        if (got > 0)
            s = slice_from(s, (size_t)got);
        else if (errno != EAGAIN)
            return;
        loop_run_once(loop, 1);
    }
}

static void frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t id, struct slice payload)
{
    buf_byte(b, (uint8_t)(payload.len >> 16));
    buf_byte(b, (uint8_t)(payload.len >> 8));
    buf_byte(b, (uint8_t)payload.len);
    buf_byte(b, type);
    buf_byte(b, flags);
    buf_u32be(b, id);
    buf_slice_append(b, payload);
}

static void hello(struct buf *b)
{
    buf_str(b, NGHTTP2_CLIENT_MAGIC);
    frame(b, NGHTTP2_SETTINGS, 0, 0, SLICE_EMPTY);
}

/* Reads until the server closes; true if it said GOAWAY with this code before. */
static bool raw_goaway(int fd, uint32_t code)
{
    struct buf b = {0};
    int64_t until = clock_mono_ms(&clock_system) + 10000;
    size_t at = 0;
    bool is_said = false;

    while (clock_mono_ms(&clock_system) < until) {
        ssize_t n = recv(fd, buf_reserve(&b, 65536), 65536, 0);

        if (n > 0)
            b.len += (size_t)n;
        else if (n == 0 || errno != EAGAIN)
            break;
        loop_run_once(loop, 2);
    }
    while (b.len - at >= 9) {
        size_t len = (size_t)b.ptr[at] << 16 | (size_t)b.ptr[at + 1] << 8 | b.ptr[at + 2];

        if (b.ptr[at + 3] == NGHTTP2_GOAWAY && b.len - at >= 17)
            is_said |= ((uint32_t)b.ptr[at + 13] << 24 | (uint32_t)b.ptr[at + 14] << 16 |
                        (uint32_t)b.ptr[at + 15] << 8 | b.ptr[at + 16]) == code;
        at += 9 + len;
        if (at > b.len)
            break;
    }
    buf_done(&b);
    return is_said;
}

/* ---- tests ---- */

TEST(http_h2_answers_as_http1_does)
{
    struct h2c *c;
    struct h2c_reply *r;

    start((struct http_server_opts){0});
    c = dial();
    r = h2c_ask(c, "GET", "/show?a=b%20c", "", SLICE_EMPTY);
    CHECK_HAS(&r->head, "status: 200\n");
    CHECK_HAS(&r->head, "date: ");
    CHECK_HAS(&r->head, "content-type: text/plain; charset=utf-8\n");
    CHECK_HAS(&r->head, "x-mixed-case: yes\n");
    CHECK(!h2c_has(&r->head, "connection"));
    CHECK_SLICE(buf_slice(&r->body), "GET /show a=b%20c host=h h2=1");
    r = h2c_ask(c, "POST", "/echo", "content-length: 5\n", SLICE("hello"));
    CHECK_HAS(&r->head, "content-length: 5\n");
    CHECK_SLICE(buf_slice(&r->body), "hello");
    r = h2c_ask(c, "POST", "/echo", "", SLICE("no length"));
    CHECK_SLICE(buf_slice(&r->body), "no length");
    r = h2c_ask(c, "GET", "/echo", "", SLICE_EMPTY);
    CHECK_HAS(&r->head, "content-length: 0\n");
    CHECK(!r->has_data); /* END_STREAM came with the headers */
    CHECK_HAS(&h2c_ask(c, "GET", "/nowhere", "", SLICE_EMPTY)->head, "status: 404\n");
    CHECK_HAS(&h2c_ask(c, "DELETE", "/echo", "", SLICE_EMPTY)->head, "allow: GET, HEAD, POST\n");
    CHECK_HAS(&h2c_ask(c, "OPTIONS", "/echo", "", SLICE_EMPTY)->head, "status: 204\n");
    CHECK_HAS(&h2c_ask(c, "GET", "/%zz", "", SLICE_EMPTY)->head, "status: 400\n");
    CHECK_HAS(&h2c_ask(c, "BREW", "/echo", "", SLICE_EMPTY)->head, "status: 501\n");
    CHECK_HAS(&h2c_ask(c, "GET", "/echo", "host: other\n", SLICE_EMPTY)->head, "status: 400\n");
    CHECK_HAS(&h2c_ask(c, "GET", "/echo", "host: h\n", SLICE_EMPTY)->head, "status: 200\n");
    r = h2c_ask(c, "HEAD", "/big", "", SLICE_EMPTY);
    CHECK_HAS(&r->head, "content-length: 3145728\n");
    CHECK_INT(r->body.len, 0);
    r = h2c_ask(c, "POST", "/echo", "expect: 100-continue\n", SLICE("go"));
    CHECK_HAS(&r->head, "status: 100\nstatus: 200\n");
    CHECK_INT(srv->m.accepted, 1);
    h2c_free(c);
    settle();
    stop();
}

TEST(http_h2_serves_streams_side_by_side)
{
    struct h2c *c;
    int32_t ids[100], later;
    struct h2c_body bodies[100];
    char texts[100][16];

    start((struct http_server_opts){0});
    c = dial();
    later = h2c_submit(c, "GET", "/later", "", NULL);
    for (int i = 0; i < 99; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "%06d", i);
        bodies[i] = (struct h2c_body){slice_cstr(texts[i]), false};
        ids[i] = h2c_submit(c, "POST", "/echo", "", &bodies[i]);
    }
    for (int i = 0; i < 99; i++) {
        CHECK(h2c_wait(c, &h2c_reply(c, ids[i])->is_closed));
        CHECK_SLICE(buf_slice(&h2c_reply(c, ids[i])->body), texts[i]);
    }
    CHECK(!h2c_reply(c, later)->is_closed);
    CHECK_INT(srv->m.h2_streams, 1);
    http_reply(kept, 200, HTTP_TEXT, SLICE("late"));
    CHECK(h2c_wait(c, &h2c_reply(c, later)->is_closed));
    CHECK_SLICE(buf_slice(&h2c_reply(c, later)->body), "late");
    h2c_free(c);
    settle();
    stop();
}

TEST(http_h2_large_bodies_both_ways)
{
    struct buf big = {0}, encoded = {0}, plain = {0};
    struct h2c *c;
    struct h2c_reply *r;

    for (int i = 0; i < 1 << 20; i++)
        buf_u32le(&big, (uint32_t)i * 2654435761u);
    start((struct http_server_opts){0});
    c = dial();
    r = h2c_ask(c, "POST", "/echo", "content-length: 4194304\n", buf_slice(&big));
    CHECK(slice_eq(buf_slice(&r->body), buf_slice(&big)));
    r = h2c_ask(c, "POST", "/echo", "", buf_slice(&big)); /* two windows' worth and more */
    CHECK(slice_eq(buf_slice(&r->body), buf_slice(&big)));
    CHECK_OK(codec_encode(CODEC_GZIP, 0, slice_sub(buf_slice(&big), 0, 100000), &encoded));
    r = h2c_ask(c, "POST", "/echo", "content-encoding: gzip\n", buf_slice(&encoded));
    CHECK_INT(r->body.len, 100000);
    /* compressed piece by piece, as it is larger than what is compressed at once */
    r = h2c_ask(c, "GET", "/big", "accept-encoding: gzip\n", SLICE_EMPTY);
    CHECK_HAS(&r->head, "content-encoding: gzip\n");
    CHECK_OK(codec_decode(CODEC_GZIP, buf_slice(&r->body), 4u << 20, &plain));
    CHECK_INT(plain.len, 3u << 20);
    h2c_free(c);
    settle();
    stop();
    buf_done(&big);
    buf_done(&encoded);
    buf_done(&plain);
}

TEST(http_h2_refuses_what_is_too_large_and_goes_on)
{
    struct buf big = {0};
    struct h2c *c;
    struct h2c_reply *r;

    buf_fill(&big, 'b', 300000);
    start((struct http_server_opts){
        .max_body_bytes = 100000, .max_header_bytes = 4096, .max_inflight_body_bytes = 150000});
    c = dial();
    r = h2c_ask(c, "POST", "/echo", "content-length: 300000\n", buf_slice(&big));
    CHECK_HAS(&r->head, "status: 413\n");
    r = h2c_ask(c, "POST", "/echo", "", buf_slice(&big));
    CHECK_HAS(&r->head, "status: 413\n");
    CHECK_INT(drops, 2);
    r = h2c_ask(c, "POST", "/locked", "", buf_slice(&big));
    CHECK_HAS(&r->head, "status: 401\n");
    buf_reset(&big);
    buf_str(&big, "x-large: ");
    buf_fill(&big, 'h', 5000);
    buf_str(&big, "\n");
    CHECK_HAS(&h2c_ask(c, "GET", "/echo", buf_cstr(&big), SLICE_EMPTY)->head, "status: 431\n");
    buf_reset(&big);
    for (int i = 0; i < 129; i++)
        buf_printf(&big, "a: b\n");
    CHECK_HAS(&h2c_ask(c, "GET", "/echo", buf_cstr(&big), SLICE_EMPTY)->head, "status: 431\n");
    CHECK_SLICE(buf_slice(&h2c_ask(c, "POST", "/echo", "", SLICE("fine"))->body), "fine");
    CHECK_INT(echoes, 1);
    CHECK(!c->has_goaway);
    h2c_free(c);
    settle();
    stop();
    buf_done(&big);
}

TEST(http_h2_bodies_share_the_budget)
{
    struct h2c_body first = {SLICE_EMPTY, true}, second = {SLICE("x"), false};
    struct h2c *c;
    int32_t a, b;

    start((struct http_server_opts){.max_inflight_body_bytes = 1000});
    c = dial();
    a = h2c_submit(c, "POST", "/echo", "content-length: 1000\n", &first);
    b = h2c_submit(c, "POST", "/echo", "", &second);
    CHECK(h2c_wait(c, &h2c_reply(c, b)->is_closed));
    CHECK_HAS(&h2c_reply(c, b)->head, "status: 503\n");
    CHECK_HAS(&h2c_reply(c, b)->head, "retry-after: 1\n");
    (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, a, NGHTTP2_CANCEL);
    turns(c, 3);
    CHECK_INT(srv->m.body_bytes, 0);
    CHECK_SLICE(buf_slice(&h2c_ask(c, "POST", "/echo", "", SLICE("fine"))->body), "fine");
    h2c_free(c);
    settle();
    stop();
}

TEST(http_h2_streams_with_backpressure_and_trailers)
{
    struct h2c *c;
    struct h2c_reply *r;
    int32_t id;

    start((struct http_server_opts){.output_high_bytes = 50000});
    c = dial();
    streamed_left = 5000000;
    c->holds_window = true; /* 64 KiB are in flight and no more */
    id = h2c_submit(c, "GET", "/stream", "", NULL);
    r = h2c_reply(c, id);
    turns(c, 10);
    CHECK_INT(r->body.len, 65535);
    CHECK(streamed_left > 4000000); /* the handler waits */
    /* others are not held up by a stream that does not move */
    c->holds_window = false;
    (void)nghttp2_session_consume_connection(c->session, 65535);
    CHECK_SLICE(buf_slice(&h2c_ask(c, "POST", "/echo", "", SLICE("fine"))->body), "fine");
    (void)nghttp2_session_consume_stream(c->session, id, 65535);
    CHECK(h2c_wait(c, &r->is_closed));
    CHECK_INT(r->body.len, 5000000);
    CHECK_HAS(&r->trailers, "x-sum: all of it\n");
    h2c_free(c);
    settle();
    stop();
}

TEST(http_h2_tells_when_the_client_goes)
{
    struct h2c *c;
    int32_t id;

    start((struct http_server_opts){0});
    c = dial();
    id = h2c_submit(c, "GET", "/later", "", NULL);
    while (!kept)
        h2c_turn(c);
    (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    turns(c, 3);
    CHECK_INT(cancels, 1);
    CHECK_INT(srv->m.h2_resets, 1);
    CHECK_INT(http_server_inflight(srv), 1); /* the rule: it still owes its reply */
    http_reply(kept, 200, HTTP_TEXT, SLICE("to nobody"));
    CHECK_INT(http_server_inflight(srv), 0);
    /* the connection goes with several under way; one is answered inside on_cancel */
    kept = NULL;
    (void)h2c_submit(c, "GET", "/work", "", NULL);
    (void)h2c_submit(c, "GET", "/later", "", NULL);
    while (!kept)
        h2c_turn(c);
    streamed_left = 1000000;
    (void)h2c_submit(c, "GET", "/stream", "", NULL);
    c->holds_window = true;
    turns(c, 3);
    h2c_free(c);
    while (cancels < 3)
        loop_run_once(loop, 2);
    http_reply(kept, 200, HTTP_TEXT, SLICE("to nobody"));
    settle();
    CHECK_INT(cancels, 3);
    stop();
}

TEST(http_h2_abort_resets_the_stream_alone)
{
    struct h2c *c;
    struct h2c_reply *r;

    start((struct http_server_opts){0});
    c = dial();
    r = h2c_ask(c, "GET", "/abort", "", SLICE_EMPTY);
    CHECK_INT(r->error, NGHTTP2_INTERNAL_ERROR);
    CHECK_SLICE(buf_slice(&h2c_ask(c, "POST", "/echo", "", SLICE("fine"))->body), "fine");
    h2c_free(c);
    settle();
    stop();
}

TEST(http_h2_holds_body_pieces_back)
{
    struct buf big = {0};
    struct h2c_body body;
    struct h2c *c;
    struct h2c_reply *r;
    int32_t id;

    buf_fill(&big, 'p', 1000000);
    body = (struct h2c_body){buf_slice(&big), false};
    start((struct http_server_opts){.stream_window_bytes = 100000});
    c = dial();
    turns(c, 2); /* the settings */
    id = h2c_submit(c, "POST", "/paused", "", &body);
    r = h2c_reply(c, id);
    turns(c, 20);
    CHECK(body_seen > 0 && body_seen <= 16384);
    CHECK(srv->m.body_bytes > 0 && srv->m.body_bytes <= 100000); /* held, and charged */
    CHECK(body.rest.len >= 1000000 - 100000 - 16384);
    CHECK_SLICE(buf_slice(&h2c_ask(c, "POST", "/echo", "", SLICE("fine"))->body), "fine");
    while (!r->is_closed) {
        if (kept)
            http_request_resume(kept);
        kept = NULL;
        h2c_turn(c);
    }
    CHECK_SLICE(buf_slice(&r->body), "1000000");
    h2c_free(c);
    settle();
    stop();
    buf_done(&big);
}

TEST(http_h2_requests_take_turns)
{
    struct h2c *c;
    int most = 0;

    start((struct http_server_opts){0});
    c = dial();
    turns(c, 3);
    for (int i = 0; i < 20; i++)
        (void)h2c_submit(c, "GET", "/spin", "", NULL);
    (void)nghttp2_session_send(c->session);
    for (int i = 0; i < 200 && echoes < 20; i++) {
        int before = echoes;

        loop_run_once(loop, 2);
        most = ORR_MAX(most, echoes - before);
    }
    CHECK_INT(echoes, 20);
    CHECK(most <= 2); /* in the reading and in the writing turn */
    h2c_free(c);
    settle();
    stop();
}

TEST(http_h2_requests_wait_while_too_much_output_does)
{
    struct h2c_body body = {SLICE("parked"), false};
    struct h2c *c;
    int32_t big, post;

    start((struct http_server_opts){.output_high_bytes = 50000});
    c = dial();
    c->holds_window = true;
    big = h2c_submit(c, "GET", "/big", "", NULL);
    turns(c, 3);
    CHECK(srv->m.h2_output_bytes > 2000000);
    post = h2c_submit(c, "POST", "/echo", "", &body);
    turns(c, 10);
    CHECK_INT(echoes, 0);
    CHECK_INT(srv->m.body_bytes, 6); /* its body is held, and charged */
    c->holds_window = false;
    (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, big, NGHTTP2_CANCEL);
    (void)nghttp2_session_consume_connection(c->session, 65535);
    CHECK(h2c_wait(c, &h2c_reply(c, post)->is_closed));
    CHECK_SLICE(buf_slice(&h2c_reply(c, post)->body), "parked");
    CHECK_INT(srv->m.h2_output_bytes, 0);
    /* and one that goes while it is parked */
    c->holds_window = true;
    (void)h2c_submit(c, "GET", "/big", "", NULL);
    body = (struct h2c_body){SLICE("parked"), false};
    post = h2c_submit(c, "POST", "/echo", "", &body);
    turns(c, 5);
    (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, post, NGHTTP2_CANCEL);
    turns(c, 5);
    CHECK_INT(srv->m.h2_streams, 1);
    CHECK_INT(srv->m.body_bytes, 0);
    CHECK_INT(echoes, 1);
    h2c_free(c);
    settle();
    CHECK_INT(srv->m.h2_output_bytes, 0);
    stop();
}

TEST(http_h2_slow_clients_lose_their_stream)
{
    struct h2c_body body = {SLICE("x"), true};
    struct h2c *c;
    int32_t slow, stalled;

    start((struct http_server_opts){.body_grace_ms = 100,
                                    .write_timeout_ms = 100,
                                    .idle_timeout_ms = 60000,
                                    .linger_ms = 50,
                                    .header_timeout_ms = 60000});
    c = dial();
    turns(c, 2);
    slow = h2c_submit(c, "POST", "/echo", "", &body);
    CHECK(h2c_wait(c, &h2c_reply(c, slow)->is_closed));
    CHECK_HAS(&h2c_reply(c, slow)->head, "status: 408\n");
    c->holds_window = true;
    stalled = h2c_submit(c, "GET", "/big", "", NULL);
    CHECK(h2c_wait(c, &h2c_reply(c, stalled)->is_closed));
    CHECK_INT(h2c_reply(c, stalled)->error, NGHTTP2_CANCEL);
    CHECK(h2c_reply(c, stalled)->body.len > 60000 && h2c_reply(c, stalled)->body.len < 65536);
    CHECK_INT(srv->rejects[REJECT_SLOW], 2);
    h2c_free(c);
    settle();
    stop();
}

TEST(http_h2_headers_that_do_not_end)
{
    struct buf b = {0};
    int fd;

    start((struct http_server_opts){.header_timeout_ms = 100, .linger_ms = 50});
    fd = h2c_dial(http_server_port(srv));
    hello(&b);
    frame(&b, NGHTTP2_HEADERS, 0, 1, SLICE("\x82")); /* :method GET, and no END_HEADERS */
    send_raw(fd, b.ptr, b.len);
    CHECK(raw_goaway(fd, NGHTTP2_ENHANCE_YOUR_CALM));
    close(fd);
    settle();
    CHECK_INT(srv->rejects[REJECT_SLOW], 1);
    /* and a preface that does not either */
    fd = h2c_dial(http_server_port(srv));
    send_raw(fd, NGHTTP2_CLIENT_MAGIC, 10);
    CHECK(!raw_goaway(fd, 0));
    close(fd);
    settle();
    CHECK_INT(srv->rejects[REJECT_SLOW], 2);
    stop();
    buf_done(&b);
}

TEST(http_h2_idle_connections_are_told)
{
    struct h2c *c;

    start((struct http_server_opts){.idle_timeout_ms = 100});
    c = dial();
    CHECK_SLICE(buf_slice(&h2c_ask(c, "POST", "/echo", "", SLICE("fine"))->body), "fine");
    CHECK(!h2c_wait(c, &c->is_gone) || c->has_goaway);
    CHECK(c->is_gone);
    CHECK_INT(c->goaway, NGHTTP2_NO_ERROR);
    h2c_free(c);
    settle();
    stop();
}

TEST(http_h2_connections_are_bounded)
{
    struct h2c *a, *b;

    start((struct http_server_opts){.max_h2_connections = 1});
    a = dial();
    CHECK_SLICE(buf_slice(&h2c_ask(a, "POST", "/echo", "", SLICE("fine"))->body), "fine");
    b = dial();
    (void)h2c_submit(b, "GET", "/echo", "", NULL);
    (void)h2c_wait(b, &b->is_gone);
    CHECK(b->is_gone && b->has_goaway);
    CHECK_INT(b->goaway, NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK_INT(b->goaway_last, 0); /* the request may be sent again */
    CHECK_INT(srv->rejects[REJECT_CONNECTIONS], 1);
    CHECK_SLICE(buf_slice(&h2c_ask(a, "POST", "/echo", "", SLICE("fine"))->body), "fine");
    h2c_free(a);
    h2c_free(b);
    settle();
    stop();
}

TEST(http_h2_idle_connections_have_a_price)
{
    enum { N = 100 };
    static const uint8_t ask[] = "\x82\x86\x04\x05/echo\x01\x01h";
    struct buf b = {0};
    size_t before, after;
    int fds[N];

    hello(&b);
    frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
          slice_of(ask, sizeof(ask) - 1));
    start((struct http_server_opts){0});
    for (int i = 0; i < N; i++) { /* what the first ones allocate for all */
        fds[i] = h2c_dial(http_server_port(srv));
        loop_run_once(loop, 1);
    }
    before = mallinfo2().uordblks;
    for (int i = 0; i < N; i++)
        send_raw(fds[i], b.ptr, b.len);
    for (int i = 0; i < 1000 && echoes < N; i++)
        loop_run_once(loop, 2);
    for (int i = 0; i < 5; i++)
        loop_run_once(loop, 2);
    CHECK_INT(echoes, N);
    CHECK_INT(srv->m.h2_connections, N);
    CHECK(!srv->loops[0].exchanges && !srv->loops[0].active.first);
    after = mallinfo2().uordblks; /* sanitizers say 0 */
    CHECK(after <= before || (after - before) / N < 40 * 1024);
    for (int i = 0; i < N; i++)
        close(fds[i]);
    settle();
    stop();
    buf_done(&b);
}

static void on_drained(void *arg)
{
    (void)arg;
    has_drained = true;
}

TEST(http_h2_drains)
{
    struct h2c *c, *idle;
    struct h2c_reply *r;
    int32_t id;

    start((struct http_server_opts){0});
    c = dial();
    idle = dial();
    turns(idle, 3);
    id = h2c_submit(c, "GET", "/later", "", NULL);
    r = h2c_reply(c, id);
    while (!kept)
        h2c_turn(c);
    http_server_drain(srv, 10000, on_drained, NULL);
    CHECK(h2c_wait(c, &c->has_goaway));
    turn_for(c, 20);
    CHECK_INT(c->goaway, NGHTTP2_NO_ERROR);
    CHECK_INT(c->goaway_last, id); /* the second, with where it ends */
    CHECK(!r->is_closed && !has_drained);
    (void)h2c_wait(idle, &idle->is_gone);
    CHECK(idle->is_gone && idle->has_goaway);
    http_reply(kept, 200, HTTP_TEXT, SLICE("last"));
    CHECK(h2c_wait(c, &r->is_closed));
    CHECK_SLICE(buf_slice(&r->body), "last");
    while (!has_drained)
        h2c_turn(c);
    h2c_free(c);
    h2c_free(idle);
    settle();
    stop();
}

/* ---- floods ---- */

TEST(http_h2_rapid_reset_is_cut_off)
{
    struct h2c *c, *other;
    int i;

    start((struct http_server_opts){0});
    c = dial();
    other = dial();
    for (i = 0; i < 2000 && !c->has_goaway && !c->is_gone; i++) {
        int32_t id = h2c_submit(c, "GET", "/work", "", NULL);

        (void)nghttp2_session_send(c->session);
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
        h2c_turn(c);
    }
    CHECK(c->has_goaway);
    CHECK_INT(c->goaway, NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK(i >= 500 && i < 900);
    CHECK_INT(srv->rejects[REJECT_FLOOD], 1);
    CHECK_SLICE(buf_slice(&h2c_ask(other, "POST", "/echo", "", SLICE("fine"))->body), "fine");
    h2c_free(c);
    h2c_free(other);
    settle();
    stop();
}

TEST(http_h2_cancels_of_a_busy_client_are_fine)
{
    struct h2c *c;

    start((struct http_server_opts){0});
    c = dial();
    for (int i = 0; i < 950; i++) {
        int32_t id = h2c_submit(c, "GET", "/work", "", NULL);

        (void)nghttp2_session_send(c->session);
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
        (void)h2c_ask(c, "GET", "/echo", "", SLICE_EMPTY);
    }
    CHECK(!c->has_goaway && !c->is_gone);
    CHECK_INT(cancels, 950);
    h2c_free(c);
    settle();
    stop();
}

/* n times the same frame after the hello. */
static void flood(uint8_t type, uint8_t flags, uint32_t id, struct slice payload, int n)
{
    struct buf b = {0};
    int fd;

    start((struct http_server_opts){0});
    fd = h2c_dial(http_server_port(srv));
    hello(&b);
    if (type == NGHTTP2_DATA) /* POST /echo, http, authority h */
        frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1,
              SLICE("\x83\x86\x04\x05/echo\x01\x01h"));
    for (int i = 0; i < n; i++)
        frame(&b, type, flags, id, payload);
    send_raw(fd, b.ptr, b.len);
    if (!raw_goaway(fd, NGHTTP2_ENHANCE_YOUR_CALM))
        test_fail(__FILE__, __LINE__, "frames of type %d go on", type);
    CHECK_INT(srv->rejects[REJECT_FLOOD], 1);
    close(fd);
    settle();
    stop();
    buf_done(&b);
}

TEST(http_h2_floods_are_cut_off)
{
    flood(NGHTTP2_SETTINGS, 0, 0, SLICE_EMPTY, 2500);
    flood(NGHTTP2_PING, 0, 0, SLICE("12345678"), 2500);
    flood(NGHTTP2_PRIORITY, 0, 3, SLICE("\0\0\0\1\1"), 2500);
    flood(NGHTTP2_DATA, 0, 1, SLICE_EMPTY, 2500);
}

TEST(http_h2_continuations_without_end_are_cut_off)
{
    struct buf b = {0};
    int fd;

    start((struct http_server_opts){0});
    fd = h2c_dial(http_server_port(srv));
    hello(&b);
    frame(&b, NGHTTP2_HEADERS, 0, 1, SLICE("\x82"));
    for (int i = 0; i < 100; i++)
        frame(&b, NGHTTP2_CONTINUATION, 0, 1,
              SLICE("\x00\x01"
                    "a"
                    "\x01"
                    "b"));
    send_raw(fd, b.ptr, b.len);
    CHECK(raw_goaway(fd, NGHTTP2_ENHANCE_YOUR_CALM));
    CHECK_INT(srv->rejects[REJECT_FLOOD], 1);
    close(fd);
    settle();
    stop();
    buf_done(&b);
}

TEST(http_h2_header_bomb_is_cut_off)
{
    struct buf b = {0}, block = {0};
    int fd;

    /* one field of 4,000 bytes into the dynamic table, then 4,000 times its index: 16 MB */
    start((struct http_server_opts){0});
    fd = h2c_dial(http_server_port(srv));
    hello(&b);
    buf_str(&block, "\x82\x86\x84"); /* GET, http, / */
    buf_append(&block,
               "\x40\x01"
               "a"
               "\x7f\xa1\x1e",
               6); /* literal with indexing, 127 + 3873 */
    buf_fill(&block, 'b', 4000);
    buf_fill(&block, 0xbe, 4000);
    frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
          buf_slice(&block));
    send_raw(fd, b.ptr, b.len);
    CHECK(raw_goaway(fd, NGHTTP2_ENHANCE_YOUR_CALM));
    CHECK_INT(srv->rejects[REJECT_FLOOD], 1);
    close(fd);
    settle();
    stop();
    buf_done(&b);
    buf_done(&block);
}

/* ---- the ways in ---- */

TEST(http_h2_takes_single_bytes)
{
    struct buf b = {0};
    int fd;

    start((struct http_server_opts){0});
    fd = h2c_dial(http_server_port(srv));
    hello(&b);
    frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1,
          SLICE("\x83\x86\x04\x05/echo\x01\x01h"));
    frame(&b, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, SLICE("bytes"));
    for (size_t i = 0; i < b.len; i++) {
        send_raw(fd, b.ptr + i, 1);
        loop_run_once(loop, 1);
    }
    for (int i = 0; i < 10 && !echoes; i++)
        loop_run_once(loop, 2);
    CHECK_INT(echoes, 1);
    close(fd);
    settle();
    stop();
    buf_done(&b);
}

TEST(http_h2_upgrade_from_http1)
{
    static const char ask[] = "GET /show?up HTTP/1.1\r\nHost: old\r\nConnection: Upgrade, "
                              "HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"
                              "\r\n\r\n";
    static const char malformed[] = "GET /show HTTP/1.1\r\nHost: old\r\nConnection: Upgrade, "
                                    "HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A!\r\n"
                                    "\r\n";
    struct buf b = {0};
    uint8_t settings[64];
    ssize_t settings_len;
    struct h2c *c;
    int fd;

    start((struct http_server_opts){0});
    fd = h2c_dial(http_server_port(srv));
    send_raw(fd, ask, sizeof(ask) - 1);
    while (!h2c_has(&b, "\r\n\r\n")) {
        ssize_t n = recv(fd, buf_reserve(&b, 1), 1, 0);

        b.len += n > 0;
        loop_run_once(loop, 2);
    }
    CHECK_HAS(&b, "HTTP/1.1 101 Switching Protocols\r\n");
    c = h2c_new_on(loop, fd);
    settings_len = nghttp2_pack_settings_payload(settings, sizeof(settings), NULL, 0);
    CHECK_INT(nghttp2_session_upgrade2(c->session, settings, (size_t)settings_len, 0, NULL), 0);
    CHECK(h2c_wait(c, &h2c_reply(c, 1)->is_closed));
    CHECK_SLICE(buf_slice(&h2c_reply(c, 1)->body), "GET /show up host=old h2=1");
    CHECK_SLICE(buf_slice(&h2c_ask(c, "POST", "/echo", "", SLICE("fine"))->body), "fine");
    h2c_free(c);
    settle();
    /* malformed settings: it stays HTTP/1 */
    fd = h2c_dial(http_server_port(srv));
    send_raw(fd, malformed, sizeof(malformed) - 1);
    buf_reset(&b);
    while (!h2c_has(&b, "h2=0")) {
        ssize_t n = recv(fd, buf_reserve(&b, 4096), 4096, 0);

        b.len += n > 0 ? (size_t)n : 0;
        loop_run_once(loop, 2);
    }
    close(fd);
    settle();
    stop();
    buf_done(&b);
}

TEST(http_h2_preface_only_at_the_start)
{
    static const char late[] = "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n" NGHTTP2_CLIENT_MAGIC;
    struct buf b = {0};
    int fd;

    start((struct http_server_opts){0});
    fd = h2c_dial(http_server_port(srv));
    send_raw(fd, late, sizeof(late) - 1);
    while (!h2c_has(&b, " 505 ")) {
        ssize_t n = recv(fd, buf_reserve(&b, 4096), 4096, 0);

        b.len += n > 0 ? (size_t)n : 0;
        loop_run_once(loop, 2);
    }
    close(fd);
    settle();
    stop();
    buf_done(&b);
}

TEST(http_h2_survives_failing_sockets)
{
    static const char *const points[] = {"net.read", "net.write"};

    start((struct http_server_opts){0});
    for (size_t i = 0; i < ORR_COUNT(points); i++) {
        struct h2c *c = dial();

        (void)h2c_submit(c, "GET", "/later", "", NULL);
        kept = NULL;
        while (!kept)
            h2c_turn(c);
        fault_arm_point(points[i], EIO);
        (void)h2c_submit(c, "GET", "/show", "", NULL);
        (void)h2c_wait(c, &c->is_gone);
        CHECK(c->is_gone);
        fault_arm_point(points[i], 0);
        CHECK_INT(cancels, i + 1);
        http_reply(kept, 200, HTTP_TEXT, SLICE("to nobody"));
        h2c_free(c);
        settle();
    }
    stop();
}
