/* What this ruler knows, for whoever serves /api/v1/rules (common/process/rules_page.h) and Loki's API of
 * rule configurations (rules_config.h): itself, when its process has no querier. */
#include "common/model/metrics_rpc.h"
#include "common/process/rules_page.h"
#include "ruler/rule_yaml.h"
#include "ruler/ruler_internal.h"

/* On loop 0, where RPC handlers run. */

static void on_rules_call(void *arg, struct rpc_call *call)
{
    struct ruler *r = arg;
    struct slice tenant = rpc_call_tenant(call);
    struct buf out = {0};

    buf_byte(&out, '[');
    MAP_FOREACH (e, &r->groups) {
        const struct ruler_group *g = e->value;

        if (!slice_eq_cstr(tenant, g->tenant))
            continue;
        if (out.len > 1)
            buf_byte(&out, ',');
        buf_slice_append(&out, buf_slice(&g->view));
    }
    buf_byte(&out, ']');
    rpc_reply_buf(call, &out);
    buf_done(&out);
}

static struct err *config_of(const struct ruler *r, struct rpc_call *call, struct buf *out)
{
    struct rpc_rules what;
    struct err *e = rpc_rules_decode(rpc_call_payload(call), &what);
    enum rule_lang lang = RULE_LOGQL;

    if (e)
        return e;
    if (slice_eq_cstr(what.language, rule_lang_name(RULE_PROMQL)))
        lang = RULE_PROMQL;
    else if (!slice_eq_cstr(what.language, rule_lang_name(RULE_LOGQL)))
        return err_new(ERR_INVALID, "no rules are in that language");
    if (!r->dir)
        return err_new(ERR_UNAVAILABLE, "rule files have not been read");
    return rule_yaml(out, r->dir, rpc_call_tenant(call), lang, what.ns, what.group);
}

static void on_config_call(void *arg, struct rpc_call *call)
{
    struct buf out = {0};
    struct err *e = config_of(arg, call, &out);

    if (e)
        rpc_reply_err(call, e);
    else
        rpc_reply_buf(call, &out);
    buf_done(&out);
}

void ruler_api_open(struct ruler *r)
{
    if (!(process_roles(r->process) & MEMBER_QUERIER))
        rules_page_routes(r->process);
    rpc_server_handle(process_rpc(r->process), "ruler.rules", on_rules_call, r);
    rpc_server_handle(process_rpc(r->process), "ruler.config", on_config_call, r);
}
