#include "common/net/http_server.h"
#include "ruler/alert_sender.h"
#include "tests/unit/test.h"

/* An alertmanager that refuses the first n requests. */
struct fixture {
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct alert_sender *sender;
    struct buf seen;
    unsigned refuse, requests;
    int status;
    char *url;
};

static void on_alerts(struct http_request *r)
{
    struct fixture *f = r->arg;

    f->requests++;
    if (f->refuse) {
        f->refuse--;
        http_reply(r, f->status, NULL, SLICE_EMPTY);
        return;
    }
    buf_slice_append(&f->seen, http_request_header(r, "X-Scope-OrgID"));
    buf_byte(&f->seen, ':');
    buf_slice_append(&f->seen, r->body);
    buf_byte(&f->seen, ' ');
    http_reply(r, 200, NULL, SLICE_EMPTY);
}

static void setup(struct fixture *f, size_t max_queued)
{
    *f = (struct fixture){.status = 503};
    CHECK_OK(loop_new("test", &f->loop));
    CHECK_OK(http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0"}, &f->loop, 1,
                             &f->server));
    http_server_route(f->server, &(struct http_route){.methods = HTTP_POST,
                                                      .pattern = "/am/api/v2/alerts",
                                                      .handler = on_alerts,
                                                      .arg = f});
    CHECK_OK(http_server_listen(f->server));
    CHECK_OK(http_client_new(f->loop, &(struct http_client_opts){0}, &f->client));
    f->url = mem_printf("http://127.0.0.1:%u/am/", http_server_port(f->server));
    f->sender = alert_sender_new(&(struct alert_sender_opts){.loop = f->loop,
                                                             .client = f->client,
                                                             .urls = (const char **)&f->url,
                                                             .n_urls = 1,
                                                             .timeout_ms = 5000,
                                                             .max_queued = max_queued});
}

static void teardown(struct fixture *f)
{
    alert_sender_free(f->sender);
    http_client_free(f->client);
    http_server_free(f->server);
    loop_free(f->loop);
    buf_done(&f->seen);
    mem_free(f->url);
}

static void post(struct fixture *f, const char *text)
{
    struct buf b = {0};

    buf_str(&b, text);
    alert_sender_post(f->sender, "team-a", &b);
}

static void run_until_idle(struct fixture *f)
{
    loop_run_once(f->loop, 0); /* takes what was posted */
    for (int i = 0; i < 1000 && alert_sender_pending(f->sender); i++)
        loop_run_once(f->loop, 100);
    CHECK_INT(alert_sender_pending(f->sender), 0);
}

TEST(alert_sender_keeps_the_order)
{
    struct fixture f;

    setup(&f, 100);
    post(&f, "1");
    post(&f, "2");
    post(&f, "3");
    run_until_idle(&f);
    CHECK_SLICE(buf_slice(&f.seen), "team-a:1 team-a:2 team-a:3 ");
    teardown(&f);
}

TEST(alert_sender_repeats_what_failed)
{
    struct fixture f;

    setup(&f, 100);
    f.refuse = 1;
    post(&f, "1");
    post(&f, "2");
    run_until_idle(&f);
    CHECK_SLICE(buf_slice(&f.seen), "team-a:1 team-a:2 ");
    CHECK_INT(f.requests, 3);
    teardown(&f);
}

TEST(alert_sender_does_not_repeat_what_is_refused)
{
    struct fixture f;

    setup(&f, 100);
    f.refuse = 1;
    f.status = 400;
    post(&f, "1");
    post(&f, "2");
    run_until_idle(&f);
    CHECK_SLICE(buf_slice(&f.seen), "team-a:2 ");
    teardown(&f);
}

TEST(alert_sender_drops_the_oldest_that_waits)
{
    struct fixture f;

    setup(&f, 2);
    post(&f, "1");
    post(&f, "2");
    post(&f, "3");
    run_until_idle(&f);
    CHECK_SLICE(buf_slice(&f.seen), "team-a:1 team-a:3 ");
    teardown(&f);
}

TEST(alert_sender_can_be_freed_while_it_waits)
{
    struct fixture f;

    setup(&f, 100);
    f.refuse = 100;
    post(&f, "1");
    post(&f, "2");
    loop_run_once(f.loop, 0);
    alert_sender_stop(f.sender);
    CHECK_INT(alert_sender_pending(f.sender), 0);
    teardown(&f);
}
