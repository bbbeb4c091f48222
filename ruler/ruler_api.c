/* What this ruler knows, for whoever serves /api/v1/rules (common/process/rules_page.h): itself, when its
 * process has no querier. */
#include "common/process/rules_page.h"
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

void ruler_api_open(struct ruler *r)
{
    if (!(process_roles(r->process) & MEMBER_QUERIER))
        rules_page_routes(r->process);
    rpc_server_handle(process_rpc(r->process), "ruler.rules", on_rules_call, r);
}
