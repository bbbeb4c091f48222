#include "ingester/door/otlp_reply.h"

#include "common/base/gostr.h"
#include "common/net/grpc_status.h"

#define TAG_VARINT(number) ((number) << 3)
#define TAG_BYTES(number) ((number) << 3 | 2)

static void put_message(struct buf *out, uint8_t number, const struct buf *message)
{
    buf_byte(out, (uint8_t)TAG_BYTES(number));
    buf_lstr(out, buf_slice(message));
}

/* Messages quote what was sent, which may be anything; a protobuf string is UTF-8. */
static void put_text(struct buf *out, uint8_t number, struct slice text)
{
    struct buf clean = {0};
    uint32_t rune;

    while (text.len) {
        text = slice_from(text, gostr_rune(text, &rune));
        gostr_put_rune(&clean, rune);
    }
    put_message(out, number, &clean);
    buf_done(&clean);
}

static void put_varint(struct buf *out, uint8_t number, uint64_t v)
{
    buf_byte(out, (uint8_t)TAG_VARINT(number));
    buf_uvarint(out, v);
}

/* member: what rejected counts, in JSON. */
static void put_response(struct buf *out, bool is_json, const char *member, uint64_t rejected,
                         const char *text)
{
    struct buf partial = {0};

    if (is_json && !rejected) {
        buf_str(out, "{}");
    } else if (is_json) {
        /* JSON of protobuf has 64-bit integers as strings. */
        buf_printf(out, "{\"partialSuccess\":{\"%s\":\"%llu\",\"errorMessage\":", member,
                   (unsigned long long)rejected);
        buf_json_str(out, slice_cstr(text));
        buf_str(out, "}}");
    } else if (rejected) {
        put_varint(&partial, 1, rejected);
        put_text(&partial, 2, slice_cstr(text));
        put_message(out, 1, &partial);
    }
    buf_done(&partial);
}

void otlp_reply_response(struct buf *out, bool is_json, uint64_t rejected, const char *text)
{
    put_response(out, is_json, "rejectedDataPoints", rejected, text);
}

void otlp_reply_logs_response(struct buf *out, bool is_json, uint64_t rejected, const char *text)
{
    put_response(out, is_json, "rejectedLogRecords", rejected, text);
}

void otlp_reply_traces_response(struct buf *out, bool is_json, uint64_t rejected, const char *text)
{
    put_response(out, is_json, "rejectedSpans", rejected, text);
}

static enum grpc_status status_of(const struct err *e)
{
    enum err_code code = err_code(e);

    return code == ERR_UNSUPPORTED ? GRPC_INVALID_ARGUMENT : grpc_status_of(code);
}

void otlp_reply_status(struct buf *out, bool is_json, const struct err *e)
{
    unsigned code = status_of(e);

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
