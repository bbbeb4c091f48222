/* What a client of HTTP/2 may take: sizes, time, turns; and what floods meet. */
#include <malloc.h>

#include "tests/unit/common/net/h2_rig.h"

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
