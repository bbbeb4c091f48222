#include "ingester/door/trace_http.h"

#include "common/auth/auth.h"
#include "ingester/door/otlp_answer.h"
#include "ingester/door/otlp_reply.h"
#include "ingester/door/otlp_traces.h"
#include "ingester/door/zipkin_json.h"

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
    otlp_reply_traces_response(&body, is_json, e ? ORR_MAX(written->refused, (uint64_t)1) : 0,
                               e ? err_msg(e) : NULL);
    err_free(e);
    otlp_answer(r, 200, &body, is_json);
}

static void handle(struct http_request *r)
{
    struct slice tenant;
    struct err *e = auth_single_tenant(r, &tenant);

    if (e) {
        otlp_answer_err(r, e);
        return;
    }
    trace_door_write(r->arg, r->loop, tenant,
                     &(struct trace_decoder){.name = "otlp_traces", .decode = decode, .arg = r},
                     on_exported, r);
}

/* ---- Zipkin ---- */

static struct err *decode_zipkin(struct trace_builder *b, const void *arg)
{
    struct jsonval_doc *doc;
    struct err *e = zipkin_json_decode(b, ((const struct http_request *)arg)->body, &doc);

    if (!e)
        e = trace_builder_end(b);
    jsonval_free(doc);
    return e;
}

static struct err *on_zipkin_headers(struct http_request *r)
{
    struct slice tenant;
    struct err *e;

    if ((e = auth_single_tenant(r, &tenant)))
        return e;
    return trace_door_admit(r->arg, tenant, content_length(r));
}

/* As Zipkin's server answers. */
static void on_zipkin(void *arg, struct err *e, const struct trace_written *written)
{
    (void)written;
    if (e)
        http_reply_err(arg, e);
    else
        http_reply(arg, 202, NULL, SLICE_EMPTY);
}

static void handle_zipkin(struct http_request *r)
{
    struct slice tenant, type = http_request_header(r, "Content-Type");
    struct err *e = auth_single_tenant(r, &tenant);

    if (!e && type.ptr && slice_find(type, SLICE("protobuf"), 0) >= 0)
        e = err_new(ERR_MEDIA_TYPE, "Zipkin's spans in protobuf are not supported, send JSON");
    if (e) {
        http_reply_err(r, e);
        return;
    }
    trace_door_write(r->arg, r->loop, tenant,
                     &(struct trace_decoder){.name = "zipkin", .decode = decode_zipkin, .arg = r},
                     on_zipkin, r);
}

/* ---- routes ---- */

void trace_http_routes(struct http_server *s, struct trace_door *d)
{
    static const char *const paths[] = {"/v1/traces", "/otlp/v1/traces"};

    for (size_t i = 0; i < ORR_COUNT(paths); i++)
        http_server_route(s, &(struct http_route){.methods = HTTP_POST | HTTP_PUT,
                                                  .pattern = paths[i],
                                                  .max_body_bytes = trace_door_max_body_bytes(d),
                                                  .on_headers = on_headers,
                                                  .handler = handle,
                                                  .reply_err = otlp_answer_err,
                                                  .arg = d});
    http_server_route(s, &(struct http_route){.methods = HTTP_POST,
                                              .pattern = "/api/v2/spans",
                                              .max_body_bytes = trace_door_max_body_bytes(d),
                                              .on_headers = on_zipkin_headers,
                                              .handler = handle_zipkin,
                                              .arg = d});
}
