/* RPC methods that write: see common/model/metrics_rpc.h. */
#include "common/base/mem.h"
#include "common/model/tenant.h"
#include "ingester/door/write_request.h"
#include "ingester/ingester_internal.h"

/* ---- ingester.push, ingester.push_late: a batch for our own head ---- */

void ingester_rpc_answer(void *arg, struct err *e, struct batch_reply *reply)
{
    struct rpc_call *call = arg;
    struct buf out = {0};

    if (e) {
        rpc_reply_err(call, e);
        return;
    }
    batch_reply_encode(&out, reply);
    rpc_reply_buf(call, &out);
    buf_done(&out);
}

static void push(struct ingester *ing, struct rpc_call *call, bool is_late)
{
    struct slice tenant = rpc_call_tenant(call);
    struct err *e = tenant_check(tenant);

    if (!e)
        e = replica_push(ing->replica, tenant, rpc_call_payload(call), is_late, ingester_rpc_answer,
                         call);
    if (e)
        rpc_reply_err(call, e);
}

static void on_push(void *arg, struct rpc_call *call)
{
    push(arg, call, false);
}

static void on_push_late(void *arg, struct rpc_call *call)
{
    push(arg, call, true);
}

/* ---- ingester.aggregate: inputs of groups that are ours ---- */

static void on_aggregate(void *arg, struct rpc_call *call)
{
    struct ingester *ing = arg;
    struct slice tenant = rpc_call_tenant(call);
    struct batch_reply reply = {0};
    struct err *e = tenant_check(tenant);

    if (!e)
        e = agg_send_take(ing->agg_sender, tenant, rpc_call_payload(call), &reply);
    if (e)
        rpc_reply_err(call, e);
    else
        ingester_rpc_answer(call, NULL, &reply);
    batch_reply_done(&reply);
}

/* ---- ingester.write, ingester.write_late: a WriteRequest of a ruler ---- */

static void on_written(void *arg, struct err *e, const struct door_written *written)
{
    (void)written;
    if (e)
        rpc_reply_err(arg, e);
    else
        rpc_reply(arg, SLICE_EMPTY);
}

static void write_request(struct ingester *ing, struct rpc_call *call, bool is_late)
{
    struct push_decoder decoder = write_request_decoder;
    struct slice tenant = rpc_call_tenant(call), payload = rpc_call_payload(call);
    struct buf body = {0};
    struct err *e;

    if ((e = tenant_check(tenant)) || (e = door_admit(ing->door, tenant, payload.len))) {
        rpc_reply_err(call, e);
        return;
    }
    if (payload.len > door_max_body_bytes(ing->door)) {
        rpc_reply_err(call, err_new(ERR_TOO_LARGE, "a write of %zu bytes, more than %zu",
                                    payload.len, door_max_body_bytes(ing->door)));
        return;
    }
    buf_slice_append(&body, payload);
    decoder.is_late = is_late;
    door_write(ing->door, rpc_call_loop(call), tenant, &decoder, &body, on_written, call);
}

static void on_write(void *arg, struct rpc_call *call)
{
    write_request(arg, call, false);
}

static void on_write_late(void *arg, struct rpc_call *call)
{
    write_request(arg, call, true);
}

/* ---- ingester.flush ---- */

static void on_flushed(void *arg, struct err *e, const struct flush_report *report)
{
    (void)report;
    if (e)
        rpc_reply_err(arg, e);
    else
        rpc_reply(arg, SLICE_EMPTY);
}

static void on_flush(void *arg, struct rpc_call *call)
{
    struct ingester *ing = arg;

    flush_cut(ing->flush, rpc_call_tenant(call), 0, on_flushed, call);
}

void ingester_rpc_handle(struct ingester *ing)
{
    struct rpc_server *s = process_rpc(ing->process);

    rpc_server_handle(s, "ingester.push", on_push, ing);
    rpc_server_handle(s, "ingester.push_late", on_push_late, ing);
    rpc_server_handle(s, "ingester.aggregate", on_aggregate, ing);
    rpc_server_handle(s, "ingester.write", on_write, ing);
    rpc_server_handle(s, "ingester.write_late", on_write_late, ing);
    rpc_server_handle(s, "ingester.flush", on_flush, ing);
}
