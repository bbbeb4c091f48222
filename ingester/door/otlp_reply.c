#include "ingester/door/otlp_reply.h"

#define TAG_VARINT(number) ((number) << 3)
#define TAG_BYTES(number) ((number) << 3 | 2)

static void put_text(struct buf *out, uint8_t number, struct slice text)
{
    buf_byte(out, (uint8_t)TAG_BYTES(number));
    buf_lstr(out, text);
}

static void put_varint(struct buf *out, uint8_t number, uint64_t v)
{
    buf_byte(out, (uint8_t)TAG_VARINT(number));
    buf_uvarint(out, v);
}

void otlp_reply_response(struct buf *out, bool is_json, uint64_t rejected, const char *text)
{
    struct buf partial = {0};

    if (is_json && !rejected) {
        buf_str(out, "{}");
    } else if (is_json) {
        /* JSON of protobuf has 64-bit integers as strings. */
        buf_printf(out, "{\"partialSuccess\":{\"rejectedDataPoints\":\"%llu\",\"errorMessage\":",
                   (unsigned long long)rejected);
        buf_json_str(out, slice_cstr(text));
        buf_str(out, "}}");
    } else if (rejected) {
        put_varint(&partial, 1, rejected);
        put_text(&partial, 2, slice_cstr(text));
        put_text(out, 1, buf_slice(&partial));
    }
    buf_done(&partial);
}

static unsigned grpc_code(enum err_code code)
{
    switch (code) {
    case ERR_INVALID:
    case ERR_UNSUPPORTED:
    case ERR_TOO_LARGE:
    case ERR_LIMIT:
    case ERR_MEDIA_TYPE:
        return 3; /* INVALID_ARGUMENT */
    case ERR_RATE:
        return 8; /* RESOURCE_EXHAUSTED */
    case ERR_UNAVAILABLE:
    case ERR_NET:
    case ERR_IO:
        return 14; /* UNAVAILABLE */
    case ERR_TIMEOUT:
        return 4; /* DEADLINE_EXCEEDED */
    case ERR_CANCELED:
        return 1; /* CANCELLED */
    case ERR_UNAUTHORIZED:
        return 16; /* UNAUTHENTICATED */
    case ERR_FORBIDDEN:
        return 7; /* PERMISSION_DENIED */
    default:
        return 13; /* INTERNAL */
    }
}

void otlp_reply_status(struct buf *out, bool is_json, const struct err *e)
{
    unsigned code = grpc_code(err_code(e));

    if (is_json) {
        buf_printf(out, "{\"code\":%u,\"message\":", code);
        buf_json_str(out, slice_cstr(err_msg(e)));
        buf_byte(out, '}');
    } else {
        put_varint(out, 1, code);
        put_text(out, 2, slice_cstr(err_msg(e)));
    }
}

int otlp_reply_http_status(const struct err *e)
{
    switch (err_code(e)) {
    case ERR_UNSUPPORTED:
        return 500;
    case ERR_LIMIT:
        return 413;
    case ERR_MEDIA_TYPE:
        return 400;
    default:
        return err_code_http(err_code(e));
    }
}
