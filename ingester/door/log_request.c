#include "ingester/door/log_request.h"

#include "common/base/jsonval.h"
#include "common/net/codec.h"
#include "common/net/http_reply.h"
#include "ingester/door/loki_json.h"
#include "ingester/door/loki_proto.h"
#include "ingester/door/otlp_logs.h"

#define PROTOBUF "application/x-protobuf"

/* The media type without its parameters. */
static struct slice media(struct slice type)
{
    struct slice rest = type, ret = SLICE_EMPTY;

    if (rest.ptr)
        (void)slice_split(&rest, ';', &ret);
    return slice_trim(ret);
}

bool log_request_is_json(const struct log_request *q)
{
    return slice_eq_nocase(media(q->content_type), SLICE(HTTP_JSON));
}

static struct err *encoding(const struct log_request *q, enum codec *ret)
{
    struct slice name = q->content_encoding.ptr ? slice_trim(q->content_encoding) : SLICE_EMPTY;

    if (!codec_from_name(name, ret))
        return err_new(ERR_MEDIA_TYPE, "Content-Encoding \"%.*s\" is not supported",
                       SLICE_ARG(slice_sub(name, 0, 64)));
    if (*ret == CODEC_SNAPPY && (q->kind == LOG_REQUEST_LOKI || q->kind == LOG_REQUEST_LEGACY))
        *ret = CODEC_IDENTITY;
    return NULL;
}

/* *in decoded, and then it is the batch's body; itself when there is nothing to decode. */
static struct err *unpack(struct log_batch *batch, enum codec c, size_t max, struct slice *in)
{
    struct buf out = {0};
    struct err *e;

    if (c == CODEC_IDENTITY)
        return NULL;
    if ((e = codec_decode(c, *in, max, &out))) {
        buf_done(&out);
        return e;
    }
    buf_done(&batch->body);
    batch->body = out;
    *in = buf_slice(&batch->body);
    return NULL;
}

static void release_doc(void *doc)
{
    jsonval_free(doc);
}

typedef struct err *decode_json_fn(struct log_builder *b, struct slice body,
                                   struct jsonval_doc **ret_doc);

static struct err *json(struct log_builder *b, struct slice body, decode_json_fn *decode)
{
    struct jsonval_doc *doc = NULL;
    struct err *e = decode(b, body, &doc);

    if (doc)
        log_batch_keep(b->batch, release_doc, doc, jsonval_memory(doc));
    return e;
}

static struct err *loki(struct log_builder *b, const struct log_request *q, struct slice body)
{
    struct err *e;

    if (media(q->content_type).len == 0)
        return err_new(ERR_INVALID, "no Content-Type: %s or %s", PROTOBUF, HTTP_JSON);
    if (log_request_is_json(q))
        return json(b, body,
                    q->kind == LOG_REQUEST_LOKI ? loki_json_decode : loki_json_decode_legacy);
    if ((e = unpack(b->batch, CODEC_SNAPPY, q->max_body_bytes, &body)))
        return e;
    return loki_proto_decode(b, body);
}

static struct err *otlp(struct log_builder *b, const struct log_request *q, struct slice body)
{
    if (log_request_is_json(q))
        return json(b, body, otlp_logs_decode_json);
    if (!slice_eq_nocase(media(q->content_type), SLICE(PROTOBUF)))
        return err_new(ERR_MEDIA_TYPE, "unsupported content type \"%.*s\", supported: %s, %s",
                       SLICE_ARG(slice_sub(media(q->content_type), 0, 64)), HTTP_JSON, PROTOBUF);
    log_batch_own(b->batch, &body);
    return otlp_logs_decode_proto(b, body);
}

struct err *log_request_decode(struct log_builder *b, const struct log_request *q)
{
    struct slice body = q->body;
    enum codec c;
    struct err *e;

    if ((e = encoding(q, &c)) || (e = unpack(b->batch, c, q->max_body_bytes, &body)))
        return e;
    switch (q->kind) {
    case LOG_REQUEST_OTLP:
        return otlp(b, q, body);
    case LOG_REQUEST_LINES:
        log_batch_own(b->batch, &body);
        return json_lines_decode(b, body, &q->lines);
    default:
        return loki(b, q, body);
    }
}
