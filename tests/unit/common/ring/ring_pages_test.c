#include "common/net/http_client.h"
#include "common/net/http_server.h"
#include "common/ring/ring_pages.h"
#include "tests/unit/test.h"

/* A process of its own with the pages on a port, and a client, all on one loop. */
struct rig {
    struct loop *loop;
    struct job_pool *jobs;
    struct membership *ms;
    struct http_server *srv;
    struct http_client *client;
    int status;
    struct buf body;
    char location[64];
    bool is_done;
};

static void on_reply(void *arg, struct err *e, struct http_client_reply *r)
{
    struct rig *rig = arg;

    CHECK_OK(e);
    rig->status = r->status;
    buf_reset(&rig->body);
    buf_slice_append(&rig->body, buf_slice(&r->body));
    snprintf(rig->location, sizeof(rig->location), "%.*s",
             SLICE_ARG(http_client_reply_header(r, "Location")));
    rig->is_done = true;
}

static struct rig rig_new(void)
{
    struct rig rig = {0};

    CHECK_OK(loop_new("pages", &rig.loop));
    rig.jobs = job_pool_new("pages", 1, 10);
    CHECK_OK(membership_new(&(struct membership_opts){.loop = rig.loop,
                                                      .jobs = rig.jobs,
                                                      .instance = "one",
                                                      .zone = "a",
                                                      .roles = MEMBER_INGESTER | MEMBER_RULER,
                                                      .signals = MEMBER_ALL_SIGNALS,
                                                      .rf = 1},
                            &rig.ms));
    CHECK_OK(
        http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0"}, &rig.loop, 1, &rig.srv));
    ring_pages_routes(rig.ms, rig.srv);
    CHECK_OK(http_server_listen(rig.srv));
    CHECK_OK(http_client_new(rig.loop, &(struct http_client_opts){0}, &rig.client));
    membership_start(rig.ms);
    membership_set_active(rig.ms);
    while (membership_self_state(rig.ms) != MEMBER_ACTIVE)
        loop_run_once(rig.loop, 20);
    return rig;
}

static void rig_done(struct rig *rig)
{
    membership_stop(rig->ms);
    job_pool_free(rig->jobs);
    loop_run_once(rig->loop, 0);
    http_client_free(rig->client);
    http_server_free(rig->srv);
    membership_free(rig->ms);
    loop_free(rig->loop);
    buf_done(&rig->body);
}

static int ask(struct rig *rig, const char *method, const char *path, bool wants_json)
{
    const char *headers[] = {wants_json ? "Accept: application/json" : "Accept: text/html"};
    char url[128];

    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", http_server_port(rig->srv), path);
    rig->is_done = false;
    CHECK_OK(http_client_request(
        rig->client,
        &(struct http_client_req){
            .method = method, .url = url, .headers = headers, .header_count = 1},
        on_reply, rig, NULL));
    for (int i = 0; i < 500 && !rig->is_done; i++)
        loop_run_once(rig->loop, 20);
    CHECK(rig->is_done);
    return rig->status;
}

static bool says(struct rig *rig, const char *text)
{
    return slice_find(buf_slice(&rig->body), slice_cstr(text), 0) >= 0;
}

TEST(ring_pages_answer_by_accept)
{
    struct rig rig = rig_new();

    CHECK_INT(ask(&rig, "GET", "/ring?role=ruler", true), 200);
    CHECK(says(&rig, "{\"rings\":[{\"role\":\"ruler\",\"signals\":\"\",\"rf\":1,\"active\":1"));
    CHECK(says(&rig, "\"share\":1.000000"));
    CHECK_INT(ask(&rig, "GET", "/ring", false), 200);
    CHECK(says(&rig, "<h2>ingester profiles</h2>"));
    CHECK_INT(ask(&rig, "GET", "/memberlist", true), 200);
    CHECK(says(&rig, "\"self\":\"one\""));
    CHECK_INT(ask(&rig, "GET", "/memberlist", false), 200);
    CHECK(says(&rig, "ingester,ruler"));
    CHECK_INT(ask(&rig, "GET", "/ring?role=gardener", false), 400);
    CHECK(says(&rig, "gardener"));
    rig_done(&rig);
}

TEST(ring_pages_forget_by_post)
{
    struct rig rig = rig_new();

    CHECK_INT(ask(&rig, "POST", "/ring", false), 400);
    CHECK_INT(ask(&rig, "POST", "/ring?forget=nobody", false), 404);
    CHECK_INT(ask(&rig, "POST", "/memberlist?forget=one&force=true", true), 400);
    CHECK(says(&rig, "itself"));
    rig_done(&rig);
}
