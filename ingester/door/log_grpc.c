#include "ingester/door/log_grpc.h"

#include "common/auth/auth.h"
#include "ingester/door/otlp_logs.h"
#include "ingester/door/otlp_reply.h"

static struct err *on_headers(struct grpc_call *c)
{
    struct slice tenant;
    struct err *e = auth_single_tenant(c->http, &tenant);

    return e ? e : log_door_admit(c->arg, tenant, 0);
}

static struct err *decode(struct log_builder *b, const void *arg)
{
    (void)arg;
    return otlp_logs_decode_proto(b, buf_slice(&b->batch->body));
}

static void on_done(void *arg, struct err *e, const struct log_written *written)
{
    struct grpc_call *c = arg;
    struct buf reply = {0};

    if (e && !log_written_is_partial(written, e)) {
        grpc_reply_err(c, e);
        return;
    }
    otlp_reply_logs_response(&reply, false, e ? ORR_MAX(written->refused, (uint64_t)1) : 0,
                             e ? err_msg(e) : NULL);
    err_free(e);
    grpc_reply_buf(c, &reply);
}

static void export_logs(struct grpc_call *c)
{
    static const struct log_decoder decoder = {.name = "otlp_grpc", .decode = decode};
    struct slice tenant;
    struct err *e = auth_single_tenant(c->http, &tenant);
    struct buf body = {0};

    if (e) {
        grpc_reply_err(c, e);
        return;
    }
    buf_slice_append(&body, c->message); /* the batch may outlive the call */
    log_door_write(c->arg, c->loop, tenant, &decoder, &body, on_done, c);
}

void log_grpc_methods(struct grpc_server *g, struct log_door *d)
{
    grpc_server_method(g, &(struct grpc_method){
                              .path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
                              .max_message_bytes = log_door_max_body_bytes(d),
                              .on_headers = on_headers,
                              .handler = export_logs,
                              .arg = d});
}
