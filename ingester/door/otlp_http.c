#include "ingester/door/otlp_http.h"

#include "common/auth/auth.h"
#include "ingester/door/otlp_answer.h"
#include "ingester/door/otlp_reply.h"

static struct err *on_headers(struct http_request *r)
{
    struct slice tenant, length = http_request_header(r, "Content-Length");
    uint64_t bytes = 0;
    struct err *e;

    if ((e = auth_single_tenant(r, &tenant)) || (e = otlp_answer_check_type(r)))
        return e;
    if (length.ptr)
        (void)slice_to_u64(length, &bytes);
    return door_admit(otlp_door_door(r->arg), tenant, bytes);
}

static void on_done(void *arg, struct err *e, uint64_t rejected, const char *text)
{
    struct http_request *r = arg;
    struct buf body = {0};

    if (e) {
        otlp_answer_err(r, e);
        return;
    }
    otlp_reply_response(&body, otlp_answer_is_json(r), rejected, text);
    otlp_answer(r, 200, &body, otlp_answer_is_json(r));
}

static void handle(struct http_request *r)
{
    struct slice tenant;
    struct err *e = auth_single_tenant(r, &tenant);

    if (e)
        otlp_answer_err(r, e);
    else
        otlp_door_write(r->arg, r->loop, tenant, r->body, otlp_answer_is_json(r), on_done, r);
}

void otlp_http_routes(struct http_server *s, struct otlp_door *o)
{
    static const char *const patterns[] = {"/otlp/v1/metrics", "/api/v1/otlp/v1/metrics",
                                           "/v1/metrics"};

    for (size_t i = 0; i < ORR_COUNT(patterns); i++)
        http_server_route(
            s, &(struct http_route){.methods = HTTP_POST,
                                    .pattern = patterns[i],
                                    .max_body_bytes = door_max_body_bytes(otlp_door_door(o)),
                                    .on_headers = on_headers,
                                    .handler = handle,
                                    .reply_err = otlp_answer_err,
                                    .arg = o});
}
