#include "deploy/orreryctl/ctl_http.h"

#include "common/base/mem.h"
#include "common/model/tenant.h"
#include "common/net/http_client.h"
#include "deploy/orreryctl/ctl_show.h"

#define ADDRESS "http://127.0.0.1:9009"
#define TIMEOUT_MS 120000
#define MAX_SHOWN 4096 /* bytes of a refusal */

void ctl_http_url(const struct ctl *c, struct slice path, struct buf *out)
{
    const char *address = c->opts.address ? c->opts.address : ADDRESS;
    struct slice base = slice_cstr(address);

    if (!strstr(address, "://"))
        buf_str(out, "http://");
    while (base.len && base.ptr[base.len - 1] == '/')
        base.len--;
    buf_slice_append(out, base);
    buf_slice_append(out, path);
}

/* What a status that is no success says. */
static struct err *refusal(struct ctl *c, const struct http_client_req *req,
                           const struct http_client_reply *r)
{
    struct slice text = slice_trim(buf_slice(&r->body));
    bool is_for_now = r->status >= 500 || r->status == 429;
    enum err_code code = r->status == 404   ? ERR_NOT_FOUND
                         : r->status == 409 ? ERR_CONFLICT
                         : is_for_now       ? ERR_UNAVAILABLE
                                            : ERR_INVALID;

    return err_new(code, "%s %s: %d: %s", req->method, req->url, r->status,
                   ctl_plain(c->arena, slice_sub(text, 0, ORR_MIN(text.len, (size_t)MAX_SHOWN))));
}

struct err *ctl_http(struct ctl *c, const char *method, struct slice path, const char *content_type,
                     struct slice body, struct buf *ret)
{
    struct buf url = {0};
    char *header = mem_printf(TENANT_HEADER ": %s", c->opts.tenant ? c->opts.tenant : "");
    const char *headers[] = {header};
    struct http_client_req req = {.method = method,
                                  .headers = headers,
                                  .header_count = c->opts.tenant ? 1 : 0,
                                  .body = body,
                                  .content_type = content_type,
                                  .bearer = c->opts.token,
                                  .timeout_ms = TIMEOUT_MS,
                                  .accepts_compressed = true};
    struct http_client_reply reply = {0};
    struct err *e;

    ctl_http_url(c, path, &url);
    req.url = buf_cstr(&url);
    if (!(e = err_wrap(http_client_blocking(NULL, &req, &reply), "%s %s", method, req.url))) {
        if (reply.status / 100 != 2)
            e = refusal(c, &req, &reply);
        else if (ret)
            buf_slice_append(ret, buf_slice(&reply.body));
        http_client_reply_done(&reply);
    }
    mem_free(header);
    buf_done(&url);
    return e;
}
