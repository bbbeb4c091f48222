#include "common/process/process_cors.h"

#include "common/base/mem.h"
#include "common/base/re.h"

#define MAX_ORIGIN_BYTES 512 /* a scheme, a host name of at most 255 and a port */

struct process_cors {
    struct re *origin; /* NULL: never */
    bool is_any;
};

struct err *process_cors_new(const char *origin, struct process_cors **ret)
{
    struct process_cors *c;
    struct re *re = NULL;
    struct err *e = NULL;

    if (*origin)
        e = re_compile(slice_cstr(origin), RE_ANCHORED, &re);
    if (e)
        return err_wrap(e, "server.cors-origin");
    c = mem_new(struct process_cors);
    c->origin = re;
    c->is_any = strcmp(origin, ".*") == 0;
    *ret = c;
    return NULL;
}

void process_cors_free(struct process_cors *c)
{
    if (!c)
        return;
    re_free(c->origin);
    mem_free(c);
}

static bool is_api(struct slice path)
{
    return slice_has_prefix(path, SLICE("/api/v1/")) ||
           slice_has_prefix(path, SLICE("/prometheus/api/v1/"));
}

void process_cors_begin(struct http_request *r, void *arg)
{
    const struct process_cors *c = arg;
    struct slice origin = http_request_header(r, "Origin");

    if (!c->origin || origin.len == 0 || origin.len > MAX_ORIGIN_BYTES || !is_api(r->path))
        return;
    http_reply_header(r, "Access-Control-Allow-Headers",
                      SLICE("Accept, Authorization, Content-Type, Origin, X-Scope-OrgID"));
    http_reply_header(r, "Access-Control-Allow-Methods", SLICE("GET, POST, OPTIONS"));
    http_reply_header(r, "Access-Control-Expose-Headers", SLICE("Date"));
    http_reply_header(r, "Vary", SLICE("Origin"));
    if (c->is_any)
        http_reply_header(r, "Access-Control-Allow-Origin", SLICE("*"));
    else if (re_match(c->origin, origin))
        http_reply_header(r, "Access-Control-Allow-Origin", origin);
}
