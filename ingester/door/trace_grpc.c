#include "ingester/door/trace_grpc.h"

#include "common/auth/auth.h"
#include "ingester/door/jaeger_proto.h"
#include "ingester/door/otlp_reply.h"
#include "ingester/door/otlp_traces.h"

static struct err *on_headers(struct grpc_call *c)
{
    struct slice tenant;
    struct err *e = auth_single_tenant(c->http, &tenant);

    return e ? e : trace_door_admit(c->arg, tenant, 0);
}

static void write_spans(struct grpc_call *c, const char *name, trace_decode_fn *fn,
                        trace_door_done_fn *done)
{
    struct slice tenant;
    struct err *e = auth_single_tenant(c->http, &tenant);

    if (e) {
        grpc_reply_err(c, e);
        return;
    }
    trace_door_write(
        c->arg, c->loop, tenant,
        &(struct trace_decoder){
            .name = name, .decode = fn, .arg = &c->message, .body_bytes = c->message.len},
        done, c);
}

/* ---- OTLP ---- */

static struct err *decode(struct trace_builder *b, const void *arg)
{
    struct err *e = otlp_traces_decode_proto(b, *(const struct slice *)arg);

    return e ? e : trace_builder_end(b);
}

static void on_done(void *arg, struct err *e, const struct trace_written *written)
{
    struct grpc_call *c = arg;
    struct buf reply = {0};

    if (e && !trace_written_is_partial(written, e)) {
        grpc_reply_err(c, e);
        return;
    }
    otlp_reply_traces_response(&reply, false, e ? written->refused : 0, e ? err_msg(e) : NULL);
    err_free(e);
    grpc_reply_buf(c, &reply);
}

static void export_traces(struct grpc_call *c)
{
    write_spans(c, "otlp_traces_grpc", decode, on_done);
}

/* ---- Jaeger ---- */

static struct err *decode_jaeger(struct trace_builder *b, const void *arg)
{
    struct err *e = jaeger_proto_decode(b, *(const struct slice *)arg);

    return e ? e : trace_builder_end(b);
}

static void on_posted(void *arg, struct err *e, const struct trace_written *written)
{
    (void)written;
    if (e)
        grpc_reply_err(arg, e);
    else
        grpc_reply(arg, SLICE_EMPTY);
}

static void post_spans(struct grpc_call *c)
{
    write_spans(c, "jaeger_grpc", decode_jaeger, on_posted);
}

/* ---- methods ---- */

static void add(struct grpc_server *g, struct trace_door *d, const char *path,
                void (*handler)(struct grpc_call *c))
{
    grpc_server_method(g, &(struct grpc_method){.path = path,
                                                .max_message_bytes = trace_door_max_body_bytes(d),
                                                .on_headers = on_headers,
                                                .handler = handler,
                                                .arg = d});
}

void trace_grpc_methods(struct grpc_server *g, struct trace_door *d)
{
    add(g, d, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", export_traces);
    add(g, d, "/jaeger.api_v2.CollectorService/PostSpans", post_spans);
}
