#include "ingester/door/trace_http.h"

#include "common/auth/auth.h"
#include "ingester/door/jaeger_thrift.h"
#include "ingester/door/otlp_answer.h"
#include "ingester/door/otlp_reply.h"
#include "ingester/door/otlp_traces.h"
#include "ingester/door/zipkin_json.h"
#include "ingester/door/zipkin_proto.h"

typedef void reply_err_fn(struct http_request *r, struct err *e);

static void take(struct http_request *r, const char *name, trace_decode_fn *fn,
                 trace_door_done_fn *done, reply_err_fn *reply_err)
{
    struct slice tenant;
    struct err *e = auth_single_tenant(r, &tenant);

    if (e) {
        reply_err(r, e);
        return;
    }
    trace_door_write(
        r->arg, r->loop, tenant,
        &(struct trace_decoder){.name = name, .decode = fn, .arg = r, .body_bytes = r->body.len},
        done, r);
}

/* ---- OTLP ---- */

static struct err *decode(struct trace_builder *b, const void *arg)
{
    const struct http_request *r = arg;
    struct jsonval_doc *doc = NULL;
    struct err *e = otlp_answer_is_json(r) ? otlp_traces_decode_json(b, r->body, &doc)
                                           : otlp_traces_decode_proto(b, r->body);

    if (!e)
        e = trace_builder_end(b);
    jsonval_free(doc);
    return e;
}

static uint64_t content_length(const struct http_request *r)
{
    struct slice length = http_request_header(r, "Content-Length");
    uint64_t bytes = 0;

    if (length.ptr)
        (void)slice_to_u64(length, &bytes);
    return bytes;
}

static struct err *on_headers(struct http_request *r)
{
    struct slice tenant;
    struct err *e;

    if ((e = auth_single_tenant(r, &tenant)) || (e = otlp_answer_check_type(r)))
        return e;
    return trace_door_admit(r->arg, tenant, content_length(r));
}

static void on_exported(void *arg, struct err *e, const struct trace_written *written)
{
    struct http_request *r = arg;
    bool is_json = otlp_answer_is_json(r);
    struct buf body = {0};

    if (e && !trace_written_is_partial(written, e)) {
        otlp_answer_err(r, e);
        return;
    }
    otlp_reply_traces_response(&body, is_json, e ? written->refused : 0, e ? err_msg(e) : NULL);
    err_free(e);
    otlp_answer(r, 200, &body, is_json);
}

static void handle(struct http_request *r)
{
    take(r, "otlp_traces", decode, on_exported, otlp_answer_err);
}

/* ---- Zipkin, Jaeger ---- */

static bool is_type(const struct http_request *r, const char *part)
{
    struct slice type = http_request_header(r, "Content-Type");

    return type.ptr && slice_find(type, slice_cstr(part), 0) >= 0;
}

static struct err *decode_zipkin(struct trace_builder *b, const void *arg)
{
    const struct http_request *r = arg;
    struct jsonval_doc *doc = NULL;
    struct err *e = is_type(r, "protobuf") ? zipkin_proto_decode(b, r->body)
                                           : zipkin_json_decode(b, r->body, &doc);

    if (!e)
        e = trace_builder_end(b);
    jsonval_free(doc);
    return e;
}

static struct err *decode_jaeger(struct trace_builder *b, const void *arg)
{
    struct err *e = jaeger_thrift_decode(b, ((const struct http_request *)arg)->body);

    return e ? e : trace_builder_end(b);
}

static struct err *admit(struct http_request *r)
{
    struct slice tenant;
    struct err *e;

    if ((e = auth_single_tenant(r, &tenant)))
        return e;
    return trace_door_admit(r->arg, tenant, content_length(r));
}

static struct err *on_zipkin_headers(struct http_request *r)
{
    if (is_type(r, "thrift"))
        return err_new(ERR_MEDIA_TYPE, "Zipkin's spans in Thrift (version 1) are not supported, "
                                       "send JSON or protobuf of version 2");
    return admit(r);
}

/* format says the same, and Jaeger does not look at it any more. */
static struct err *on_jaeger_headers(struct http_request *r)
{
    if (!is_type(r, "application/x-thrift") && !is_type(r, "application/vnd.apache.thrift.binary"))
        return err_new(ERR_MEDIA_TYPE, "Jaeger's spans come as application/x-thrift or "
                                       "application/vnd.apache.thrift.binary");
    return admit(r);
}

/* As their servers answer. */
static void on_taken(void *arg, struct err *e, const struct trace_written *written)
{
    (void)written;
    if (e)
        http_reply_err(arg, e);
    else
        http_reply(arg, 202, NULL, SLICE_EMPTY);
}

static void handle_zipkin(struct http_request *r)
{
    take(r, "zipkin", decode_zipkin, on_taken, http_reply_err);
}

static void handle_jaeger(struct http_request *r)
{
    take(r, "jaeger_thrift", decode_jaeger, on_taken, http_reply_err);
}

/* ---- routes ---- */

static const struct route {
    unsigned methods;
    const char *pattern;
    struct err *(*on_headers)(struct http_request *r);
    void (*handler)(struct http_request *r);
    reply_err_fn *reply_err;
} routes[] = {
    {HTTP_POST | HTTP_PUT, "/v1/traces", on_headers, handle, otlp_answer_err},
    {HTTP_POST | HTTP_PUT, "/otlp/v1/traces", on_headers, handle, otlp_answer_err},
    {HTTP_POST, "/api/v2/spans", on_zipkin_headers, handle_zipkin, NULL},
    {HTTP_POST, "/zipkin/api/v2/spans", on_zipkin_headers, handle_zipkin, NULL},
    {HTTP_POST, "/api/traces", on_jaeger_headers, handle_jaeger, NULL},
    {HTTP_POST, "/jaeger/api/traces", on_jaeger_headers, handle_jaeger, NULL},
};

void trace_http_routes(struct http_server *s, struct trace_door *d)
{
    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(s, &(struct http_route){.methods = routes[i].methods,
                                                  .pattern = routes[i].pattern,
                                                  .max_body_bytes = trace_door_max_body_bytes(d),
                                                  .on_headers = routes[i].on_headers,
                                                  .handler = routes[i].handler,
                                                  .reply_err = routes[i].reply_err,
                                                  .arg = d});
}
