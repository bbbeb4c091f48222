#include "deploy/orreryctl/ctl_ruleapi.h"

#include "common/base/mem.h"
#include "common/model/tenant.h"
#include "common/net/http_client.h"

#define ADDRESS "http://127.0.0.1:9009"
#define TIMEOUT_MS 120000

struct err *ctl_ruleapi_lang(struct ctl *c, enum rule_lang *ret)
{
    *ret = RULE_PROMQL;
    if (c->opts.language && !rule_lang_read(slice_cstr(c->opts.language), ret))
        return ctl_usage(c, "--language is promql or logql");
    return NULL;
}

void ctl_ruleapi_base(struct ctl *c, struct buf *out)
{
    const char *address = c->opts.address ? c->opts.address : ADDRESS;
    struct slice base = slice_cstr(address);

    if (!strstr(address, "://"))
        buf_str(out, "http://");
    while (base.len && base.ptr[base.len - 1] == '/')
        base.len--;
    buf_slice_append(out, base);
}

static struct err *put_url(struct ctl *c, struct slice ns, struct slice group, struct buf *out)
{
    enum rule_lang lang;
    struct err *e = ctl_ruleapi_lang(c, &lang);

    if (e)
        return e;
    ctl_ruleapi_base(c, out);
    buf_str(out, lang == RULE_LOGQL ? "/loki/api/v1/rules" : "/prometheus/config/v1/rules");
    if (ns.len) {
        buf_byte(out, '/');
        http_escape(ns, out);
    }
    if (group.len) {
        buf_byte(out, '/');
        http_escape(group, out);
    }
    return NULL;
}

/* What a status that is no success says. */
static struct err *refusal(const char *method, const char *url, const struct http_client_reply *r)
{
    struct slice text = slice_trim(buf_slice(&r->body));
    enum err_code code = r->status == 404   ? ERR_NOT_FOUND
                         : r->status == 409 ? ERR_CONFLICT
                         : r->status < 500  ? ERR_INVALID
                                            : ERR_UNAVAILABLE;

    return err_new(code, "%s %s: %d: %.*s", method, url, r->status,
                   (int)ORR_MIN(text.len, (size_t)4096), (const char *)text.ptr);
}

static struct err *call(struct ctl *c, const char *method, struct slice ns, struct slice group,
                        struct slice body, struct buf *ret)
{
    struct buf url = {0};
    char *header = mem_printf(TENANT_HEADER ": %s", c->opts.tenant ? c->opts.tenant : "");
    const char *headers[] = {header};
    struct http_client_req req = {.method = method,
                                  .headers = headers,
                                  .header_count = c->opts.tenant ? 1 : 0,
                                  .body = body,
                                  .content_type = body.len ? "application/yaml" : NULL,
                                  .bearer = c->opts.token,
                                  .timeout_ms = TIMEOUT_MS,
                                  .accepts_compressed = true};
    struct http_client_reply reply = {0};
    struct err *e = put_url(c, ns, group, &url);

    req.url = buf_cstr(&url);
    if (!e && !(e = err_wrap(http_client_blocking(NULL, &req, &reply), "%s %s", method, req.url))) {
        if (reply.status / 100 != 2)
            e = refusal(method, req.url, &reply);
        else if (ret)
            buf_slice_append(ret, buf_slice(&reply.body));
        http_client_reply_done(&reply);
    }
    mem_free(header);
    buf_done(&url);
    return e;
}

struct err *ctl_ruleapi_get(struct ctl *c, struct slice ns, struct slice group, struct buf *ret)
{
    buf_reset(ret);
    return call(c, "GET", ns, group, SLICE_EMPTY, ret);
}

struct err *ctl_ruleapi_set(struct ctl *c, struct slice ns, struct slice yaml)
{
    return call(c, "POST", ns, SLICE_EMPTY, yaml, NULL);
}

struct err *ctl_ruleapi_delete(struct ctl *c, struct slice ns, struct slice group)
{
    return call(c, "DELETE", ns, group, SLICE_EMPTY, NULL);
}
