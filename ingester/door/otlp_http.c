#include "ingester/door/otlp_http.h"

#include "common/auth/auth.h"
#include "ingester/door/otlp_reply.h"

#define PROTOBUF "application/x-protobuf"

/* The media type without its parameters. */
static bool is_type(const struct http_request *r, struct slice type)
{
    struct slice rest = http_request_header(r, "Content-Type"), media = SLICE_EMPTY;

    if (rest.ptr)
        (void)slice_split(&rest, ';', &media);
    return slice_eq_nocase(slice_trim(media), type);
}

static bool is_json(const struct http_request *r)
{
    return is_type(r, SLICE(HTTP_JSON));
}

static struct err *check_type(const struct http_request *r)
{
    if (is_json(r) || is_type(r, SLICE(PROTOBUF)))
        return NULL;
    return err_new(ERR_MEDIA_TYPE,
                   "unsupported content type %.*s, supported: " HTTP_JSON ", " PROTOBUF,
                   SLICE_ARG(http_request_header(r, "Content-Type")));
}

static void reply(struct http_request *r, int status, struct buf *body, bool json)
{
    http_reply_buf(r, status, json ? HTTP_JSON : PROTOBUF, body);
}

static void reply_err(struct http_request *r, struct err *e)
{
    /* JSON also for who sent neither: people read it. */
    bool json = !is_type(r, SLICE(PROTOBUF));
    int status = otlp_reply_http_status(e);
    struct buf body = {0};

    otlp_reply_status(&body, json, e);
    err_free(e);
    if (status == 429 || status == 503)
        http_reply_header(r, "Retry-After", SLICE("1"));
    http_reply_header(r, "X-Content-Type-Options", SLICE("nosniff"));
    reply(r, status, &body, json);
}

static struct err *on_headers(struct http_request *r)
{
    struct slice tenant, length = http_request_header(r, "Content-Length");
    uint64_t bytes = 0;
    struct err *e;

    if ((e = auth_single_tenant(r, &tenant)) || (e = check_type(r)))
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
        reply_err(r, e);
        return;
    }
    otlp_reply_response(&body, is_json(r), rejected, text);
    reply(r, 200, &body, is_json(r));
}

static void handle(struct http_request *r)
{
    struct slice tenant;
    struct err *e = auth_single_tenant(r, &tenant);

    if (e)
        reply_err(r, e);
    else
        otlp_door_write(r->arg, r->loop, tenant, r->body, is_json(r), on_done, r);
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
                                    .reply_err = reply_err,
                                    .arg = o});
}
