#include "ingester/door/otlp_grpc.h"

#include "common/auth/auth.h"
#include "ingester/door/otlp_reply.h"

static struct err *on_headers(struct grpc_call *c)
{
    struct slice tenant;
    struct err *e = auth_single_tenant(c->http, &tenant);

    return e ? e : door_admit(otlp_door_door(c->arg), tenant, 0);
}

static void on_done(void *arg, struct err *e, uint64_t rejected, const char *text)
{
    struct grpc_call *c = arg;
    struct buf reply = {0};

    if (!e) {
        otlp_reply_response(&reply, false, rejected, text);
        grpc_reply_buf(c, &reply);
        return;
    }
    /* A client that asks for what nobody does must not think that the method is missing. */
    if (err_is(e, ERR_UNSUPPORTED))
        e = err_first(err_new(ERR_INVALID, "%s", err_msg(e)), e);
    grpc_reply_err(c, e);
}

static void export_metrics(struct grpc_call *c)
{
    struct slice tenant;
    struct err *e = auth_single_tenant(c->http, &tenant);

    if (e)
        grpc_reply_err(c, e);
    else
        otlp_door_write(c->arg, c->loop, tenant, c->message, false, on_done, c);
}

void otlp_grpc_methods(struct grpc_server *g, struct otlp_door *o)
{
    grpc_server_method(
        g, &(struct grpc_method){
               .path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
               .max_message_bytes = door_max_body_bytes(otlp_door_door(o)),
               .on_headers = on_headers,
               .handler = export_metrics,
               .arg = o});
}
