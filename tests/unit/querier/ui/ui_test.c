/* The files of the UI, by HTTP. */
#include <stdio.h>
#include <string.h>

#include "common/net/http_client.h"
#include "querier/ui/ui.h"
#include "tests/unit/test.h"

struct rig {
    struct loop *loop;
    struct http_server *server;
    struct http_client_reply reply;
};

static void rig_up(struct rig *g)
{
    *g = (struct rig){0};
    CHECK_OK(loop_new("http", &g->loop));
    CHECK_OK(http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0"}, &g->loop, 1,
                             &g->server));
    ui_routes(g->server);
    CHECK_OK(http_server_listen(g->server));
    CHECK_OK(loop_start(g->loop));
}

static void rig_down(struct rig *g)
{
    http_client_reply_done(&g->reply);
    loop_join(g->loop);
    http_server_free(g->server);
    loop_free(g->loop);
}

/* The status; header NULL: none. */
static int get(struct rig *g, const char *path, const char *header)
{
    char url[256];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", http_server_port(g->server), path);
    http_client_reply_done(&g->reply);
    g->reply = (struct http_client_reply){0};
    CHECK_OK(http_client_blocking(
        NULL,
        &(struct http_client_req){
            .method = "GET", .url = url, .headers = &header, .header_count = header ? 1 : 0},
        &g->reply));
    return g->reply.status;
}

static void header_is(struct rig *g, const char *name, const char *want)
{
    CHECK(slice_eq_cstr(http_client_reply_header(&g->reply, name), want));
}

static bool has(struct rig *g, const char *text)
{
    return slice_find(buf_slice(&g->reply.body), slice_cstr(text), 0) >= 0;
}

TEST(ui_files_are_in_order_and_whole)
{
    size_t n;
    const struct ui_file *files = ui_files(&n);

    CHECK(n > 20);
    for (size_t i = 0; i < n; i++) {
        CHECK(files[i].end > files[i].begin);
        CHECK(*files[i].end == 0);
        CHECK(i == 0 || strcmp(files[i - 1].name, files[i].name) < 0);
    }
}

TEST(ui_serves_files_and_pages)
{
    struct rig g;

    rig_up(&g);
    CHECK(get(&g, "/ui/app.js", NULL) == 200 && has(&g, "PAGES"));
    header_is(&g, "Content-Type", "text/javascript; charset=utf-8");
    header_is(&g, "Cache-Control", "no-cache");
    header_is(&g, "X-Content-Type-Options", "nosniff");
    CHECK(slice_find(http_client_reply_header(&g.reply, "Content-Security-Policy"),
                     SLICE("default-src 'self';"), 0) == 0);
    CHECK(slice_find(http_client_reply_header(&g.reply, "Content-Security-Policy"), SLICE("ws:"),
                     0) < 0); /* it would be of any host; 'self' has our own */
    CHECK(get(&g, "/ui/app.css", NULL) == 200);
    header_is(&g, "Content-Type", "text/css; charset=utf-8");
    CHECK(get(&g, "/ui/icon.svg", NULL) == 200);
    header_is(&g, "Content-Type", "image/svg+xml");
    for (const char **path = (const char *[]){"/ui/", "/ui/explore?q=up", "/ui/a/b",
                                              "/graph?g0.expr=up", "/explore?left={}", NULL};
         *path; path++) {
        CHECK(get(&g, *path, NULL) == 200 && has(&g, "<!doctype html>"));
        header_is(&g, "Content-Type", "text/html; charset=utf-8");
    }
    rig_down(&g);
}

TEST(ui_refuses_what_is_not_there)
{
    struct rig g;

    rig_up(&g);
    CHECK(get(&g, "/ui/none.js", NULL) == 404 && has(&g, "the UI has no file none.js"));
    CHECK(get(&g, "/ui/../ui.c", NULL) == 404);
    CHECK(get(&g, "/ui/%2e%2e/etc/passwd.x", NULL) == 404);
    rig_down(&g);
}

TEST(ui_sends_no_file_twice)
{
    char condition[128];
    struct rig g;

    rig_up(&g);
    CHECK(get(&g, "/ui/app.js", NULL) == 200);
    (void)snprintf(condition, sizeof(condition), "If-None-Match: %.*s",
                   SLICE_ARG(http_client_reply_header(&g.reply, "ETag")));
    CHECK(get(&g, "/ui/app.js", condition) == 304 && !g.reply.body.len);
    CHECK(get(&g, "/ui/app.css", condition) == 200);
    rig_down(&g);
}
