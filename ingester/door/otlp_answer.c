#include "ingester/door/otlp_answer.h"

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

bool otlp_answer_is_json(const struct http_request *r)
{
    return is_type(r, SLICE(HTTP_JSON));
}

struct err *otlp_answer_check_type(const struct http_request *r)
{
    if (otlp_answer_is_json(r) || is_type(r, SLICE(PROTOBUF)))
        return NULL;
    return err_new(ERR_MEDIA_TYPE,
                   "unsupported content type %.*s, supported: " HTTP_JSON ", " PROTOBUF,
                   SLICE_ARG(http_request_header(r, "Content-Type")));
}

void otlp_answer(struct http_request *r, int status, struct buf *body, bool json)
{
    http_reply_buf(r, status, json ? HTTP_JSON : PROTOBUF, body);
}

void otlp_answer_err(struct http_request *r, struct err *e)
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
    otlp_answer(r, status, &body, json);
}
