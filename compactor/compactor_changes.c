/*
 * RPC compactor.tombstones (compactor.tombstones_logs): a querier's change of a tenant's deletions (tombstone_change_encode()), made here where
 * leases decide (writers.h); the answer is the version of the list that has it. ERR_UNAVAILABLE from a
 * compactor that does not hold the tenant's lease: nothing was changed.
 */
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/block/tombstone_list.h"
#include "common/model/tenant.h"
#include "compactor/compactor_internal.h"

struct changing {
    struct compactor *c;
    struct rpc_call *call;
    const struct signal *signal;
};

static struct err *apply(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    const struct changing *ch = arg;

    return tombstone_change_apply(rpc_call_payload(ch->call), l, ret_changed);
}

static void make(void *arg)
{
    struct changing *ch = arg;
    struct slice tenant = rpc_call_tenant(ch->call);
    struct tombstone_list *l = NULL;
    struct buf answer = {0};
    struct err *e =
        tombstone_list_update(ch->c->store, signal_name(ch->signal), tenant, apply, ch, &l);

    if (e) {
        rpc_reply_err(ch->call, e);
    } else {
        LOG_INFO(compactor, "deletions changed for a querier", KV_SLICE("tenant", tenant),
                 KV_U64("version", tombstone_list_version(l)));
        buf_uvarint(&answer, tombstone_list_version(l));
        rpc_reply_buf(ch->call, &answer);
    }
    tombstone_list_unref(l);
    buf_done(&answer);
    mem_free(ch);
}

static void on_change(struct compactor *c, struct rpc_call *call, enum signal_kind signal)
{
    struct err *e = tenant_check(rpc_call_tenant(call));
    struct changing *ch;

    if (!e && (!writers_decide(c->writers) || !writers_may(c->writers, rpc_call_tenant(call))))
        e = err_new(ERR_UNAVAILABLE,
                    "this compactor does not hold the lease of tenant %.*s; after a start it takes "
                    "some seconds",
                    SLICE_ARG(rpc_call_tenant(call)));
    if (!e) {
        ch = mem_new(struct changing);
        *ch = (struct changing){c, call, signal_of(signal)};
        if ((e = job_run(process_jobs(c->process), NULL, make, NULL, ch)))
            mem_free(ch);
    }
    if (e)
        rpc_reply_err(call, e);
}

static void on_tombstones(void *arg, struct rpc_call *call)
{
    on_change(arg, call, SIGNAL_METRICS);
}

static void on_log_tombstones(void *arg, struct rpc_call *call)
{
    on_change(arg, call, SIGNAL_LOGS);
}

void compactor_changes_open(struct compactor *c)
{
    rpc_server_handle(process_rpc(c->process), "compactor.tombstones", on_tombstones, c);
    rpc_server_handle(process_rpc(c->process), "compactor.tombstones_logs", on_log_tombstones, c);
}
