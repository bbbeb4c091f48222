#include "deploy/orreryctl/ctl_ruleapi.h"

#include "common/net/http_client.h"

struct err *ctl_ruleapi_lang(struct ctl *c, enum rule_lang *ret)
{
    *ret = RULE_PROMQL;
    if (c->opts.language && !rule_lang_read(slice_cstr(c->opts.language), ret))
        return ctl_usage(c, "--language is promql or logql");
    return NULL;
}

static struct err *call(struct ctl *c, const char *method, struct slice ns, struct slice group,
                        struct slice body, struct buf *ret)
{
    struct buf path = {0};
    enum rule_lang lang;
    struct err *e = ctl_ruleapi_lang(c, &lang);

    if (e)
        return e;
    buf_str(&path, lang == RULE_LOGQL ? "/loki/api/v1/rules" : "/prometheus/config/v1/rules");
    if (ns.len) {
        buf_byte(&path, '/');
        http_escape(ns, &path);
    }
    if (group.len) {
        buf_byte(&path, '/');
        http_escape(group, &path);
    }
    e = ctl_http(c, method, buf_slice(&path), body.len ? "application/yaml" : NULL, body, ret);
    buf_done(&path);
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
