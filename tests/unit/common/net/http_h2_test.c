/* What HTTP/2 answers, and how connections begin and end. */
#include "common/base/base64.h"
#include "common/net/codec.h"
#include "tests/unit/common/net/h2_rig.h"

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
