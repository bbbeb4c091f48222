#include "querier/ui/ui.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"

#define PREFIX "/ui/"
#define INDEX "index.html"
#define ETAG_BYTES 24

static const char *content_type(const char *name)
{
    static const struct {
        const char *ending, *type;
    } types[] = {{".html", HTTP_HTML},
                 {".js", "text/javascript; charset=utf-8"},
                 {".css", "text/css; charset=utf-8"},
                 {".svg", "image/svg+xml"}};
    const char *ending = strrchr(name, '.');

    for (size_t i = 0; ending && i < ORR_COUNT(types); i++)
        if (strcmp(ending, types[i].ending) == 0)
            return types[i].type;
    return "application/octet-stream";
}

static int by_name(const void *key, const void *file)
{
    return slice_cmp(*(const struct slice *)key, slice_cstr(((const struct ui_file *)file)->name));
}

static const struct ui_file *find(struct slice name)
{
    size_t n;
    const struct ui_file *files = ui_files(&n);

    return bsearch(&name, files, n, sizeof(*files), by_name);
}

static void safety_headers(struct http_request *r)
{
    http_reply_header(r, "Content-Security-Policy",
                      SLICE("default-src 'self'; img-src 'self' data:; frame-ancestors 'self'; "
                            "base-uri 'none'; form-action 'self'"));
    http_reply_header(r, "X-Content-Type-Options", SLICE("nosniff"));
    http_reply_header(r, "Referrer-Policy", SLICE("same-origin"));
}

static void reply_file(struct http_request *r, const struct ui_file *f)
{
    struct slice bytes = {f->begin, (size_t)(f->end - f->begin)};
    char etag[ETAG_BYTES];

    (void)snprintf(etag, sizeof(etag), "\"%016" PRIx64 "\"", hash_xxh64(bytes, 0));
    safety_headers(r);
    http_reply_header(r, "Cache-Control", SLICE("no-cache"));
    http_reply_header(r, "ETag", slice_cstr(etag));
    if (slice_find(http_request_header(r, "If-None-Match"), slice_cstr(etag), 0) >= 0)
        http_reply(r, 304, NULL, SLICE_EMPTY);
    else
        http_reply(r, 200, content_type(f->name), bytes);
}

static void on_file(struct http_request *r)
{
    struct slice name = slice_from(r->path, strlen(PREFIX));
    const struct ui_file *f = find(name);

    if (f)
        reply_file(r, f);
    else if (slice_find(name, SLICE("."), 0) >= 0)
        http_reply_err(r, err_new(ERR_NOT_FOUND, "the UI has no file %.*s", SLICE_ARG(name)));
    else
        reply_file(r, find(SLICE(INDEX)));
}

static void on_page(struct http_request *r)
{
    reply_file(r, find(SLICE(INDEX)));
}

static void on_root(struct http_request *r)
{
    http_reply_header(r, "Location", SLICE(PREFIX));
    http_reply(r, 302, NULL, SLICE_EMPTY);
}

void ui_routes(struct http_server *server)
{
    static const struct http_route routes[] = {
        {.methods = HTTP_GET, .pattern = "/", .handler = on_root},
        {.methods = HTTP_GET, .pattern = "/ui", .handler = on_root},
        {.methods = HTTP_GET, .pattern = "/graph", .handler = on_page},
        {.methods = HTTP_GET, .pattern = "/explore", .handler = on_page},
        {.methods = HTTP_GET, .pattern = "/ui/*", .handler = on_file},
    };

    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(server, &routes[i]);
}
