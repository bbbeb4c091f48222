#include "common/net/ws_frame.h"

#include <openssl/evp.h>

#include "common/base/base64.h"
#include "common/base/reader.h"

#define FIN 0x80
#define RSV 0x70
#define MASK 0x80
#define KEY_BYTES 16
#define SHA1_BYTES 20

static enum ws_got bad(struct ws_item *ret, unsigned code, const char *why)
{
    ret->code = code;
    ret->why = why;
    return WS_BAD;
}

static enum ws_opcode op_of(const struct ws_reader *r)
{
    return (enum ws_opcode)(r->head[0] & 0x0f);
}

static bool is_control(const struct ws_reader *r)
{
    return r->head[0] & 0x08;
}

/* ---- the head of a frame ---- */

/* From its first two bytes: NULL, or what is wrong with them. */
static const char *check_start(const struct ws_reader *r)
{
    enum ws_opcode op = op_of(r);

    if (r->head[0] & RSV)
        return "reserved bits are set";
    if (!(r->head[1] & MASK))
        return "a frame is not masked";
    if (op != WS_OP_MORE && op != WS_OP_TEXT && op != WS_OP_BINARY && op != WS_OP_CLOSE &&
        op != WS_OP_PING && op != WS_OP_PONG)
        return "an opcode that is none";
    if (is_control(r) && !(r->head[0] & FIN))
        return "a control frame in fragments";
    if (is_control(r) && (r->head[1] & 0x7f) > WS_CONTROL_MAX)
        return "a control frame is too long";
    if (op == WS_OP_MORE && r->message_op == WS_OP_MORE)
        return "a fragment of no message";
    if ((op == WS_OP_TEXT || op == WS_OP_BINARY) && r->message_op != WS_OP_MORE)
        return "a message begins within another";
    return NULL;
}

/* The head is whole. NULL, or why its length is wrong. */
static const char *read_length(struct ws_reader *r)
{
    struct reader rd = reader_new(slice_of(r->head, r->head_len));
    uint8_t n;

    (void)reader_u8(&rd);
    n = reader_u8(&rd) & 0x7f;
    r->left = n == 127 ? reader_u64be(&rd) : n == 126 ? reader_u16be(&rd) : n;
    if ((n == 126 && r->left < 126) || (n == 127 && r->left < 65536))
        return "a length is longer than it has to be";
    return r->left >> 63 ? "a length that is none" : NULL;
}

/* Takes head bytes. False: more are needed, or ret says what is wrong (*ret_got). */
static bool take_head(struct ws_reader *r, struct slice *in, struct ws_item *ret,
                      enum ws_got *ret_got)
{
    const char *why = NULL;

    *ret_got = WS_NEED_MORE;
    while (!why && in->len && r->head_len < (r->head_need ? r->head_need : 2)) {
        uint8_t n;

        r->head[r->head_len++] = in->ptr[0];
        *in = slice_from(*in, 1);
        if (r->head_len != 2)
            continue;
        n = r->head[1] & 0x7f;
        r->head_need = 2 + 4 + (n == 127 ? 8u : n == 126 ? 2u : 0u);
        why = check_start(r);
    }
    if (!why && (!r->head_need || r->head_len < r->head_need))
        return false;
    if (!why)
        why = read_length(r);
    if (why) {
        *ret_got = bad(ret, WS_CLOSE_PROTOCOL, why);
        return false;
    }
    if (!is_control(r) &&
        (r->left > r->max_message_bytes || r->message.len + r->left > r->max_message_bytes)) {
        *ret_got = bad(ret, WS_CLOSE_TOO_LARGE, "a message is too long");
        return false;
    }
    if (op_of(r) == WS_OP_TEXT || op_of(r) == WS_OP_BINARY)
        r->message_op = op_of(r);
    r->mask_at = 0;
    r->control_len = 0;
    return true;
}

/* ---- payloads ---- */

static void take_payload(struct ws_reader *r, struct slice *in)
{
    const uint8_t *mask = r->head + r->head_need - 4;
    size_t n = (size_t)ORR_MIN(r->left, (uint64_t)in->len);
    uint8_t *to;

    if (!n)
        return;
    to = is_control(r) ? r->control + r->control_len : buf_reserve(&r->message, n);
    for (size_t i = 0; i < n; i++)
        to[i] = in->ptr[i] ^ mask[(r->mask_at + i) & 3];
    *(is_control(r) ? &r->control_len : &r->message.len) += n;
    r->mask_at = (r->mask_at + n) & 3;
    r->left -= n;
    *in = slice_from(*in, n);
}

static bool is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

static enum ws_got end_close(struct ws_reader *r, struct ws_item *ret)
{
    struct reader rd = reader_new(slice_of(r->control, r->control_len));

    ret->code = WS_CLOSE_NO_CODE;
    ret->payload = SLICE_EMPTY;
    if (r->control_len == 0)
        return WS_CLOSE;
    ret->code = reader_u16be(&rd);
    ret->payload = reader_rest(&rd);
    if (!reader_ok(&rd) || !is_close_code(ret->code))
        return bad(ret, WS_CLOSE_PROTOCOL, "a close code that is none");
    if (!slice_is_utf8(ret->payload))
        return bad(ret, WS_CLOSE_BAD_TEXT, "the reason of a close is not UTF-8");
    return WS_CLOSE;
}

/* A frame has ended. WS_NEED_MORE: its message goes on. */
static enum ws_got end_frame(struct ws_reader *r, struct ws_item *ret)
{
    enum ws_opcode op = op_of(r);
    bool is_last = r->head[0] & FIN;

    r->head_len = r->head_need = 0;
    if (op == WS_OP_CLOSE)
        return end_close(r, ret);
    if (op == WS_OP_PING || op == WS_OP_PONG) {
        ret->payload = slice_of(r->control, r->control_len);
        return op == WS_OP_PING ? WS_PING : WS_PONG;
    }
    if (!is_last)
        return WS_NEED_MORE;
    ret->is_text = r->message_op == WS_OP_TEXT;
    ret->payload = buf_slice(&r->message);
    r->message_op = WS_OP_MORE;
    r->is_given = true;
    if (ret->is_text && !slice_is_utf8(ret->payload))
        return bad(ret, WS_CLOSE_BAD_TEXT, "a text is not UTF-8");
    return WS_MESSAGE;
}

enum ws_got ws_reader_next(struct ws_reader *r, struct slice *in, struct ws_item *ret)
{
    enum ws_got got;

    if (r->is_given)
        buf_done(&r->message); /* idle connections hold nothing */
    r->is_given = false;
    for (;;) {
        bool has_head = r->head_need && r->head_len == r->head_need;

        if (!has_head && !take_head(r, in, ret, &got))
            return got;
        take_payload(r, in);
        if (r->left)
            return WS_NEED_MORE;
        if ((got = end_frame(r, ret)) != WS_NEED_MORE)
            return got;
    }
}

void ws_reader_done(struct ws_reader *r)
{
    buf_done(&r->message);
}

/* ---- what we send ---- */

void ws_frame_put(struct buf *out, enum ws_opcode op, struct slice payload)
{
    buf_byte(out, (uint8_t)(FIN | op));
    if (payload.len < 126) {
        buf_byte(out, (uint8_t)payload.len);
    } else if (payload.len < 65536) {
        buf_byte(out, 126);
        buf_byte(out, (uint8_t)(payload.len >> 8));
        buf_byte(out, (uint8_t)payload.len);
    } else {
        buf_byte(out, 127);
        buf_u64be(out, payload.len);
    }
    buf_slice_append(out, payload);
}

void ws_frame_put_close(struct buf *out, unsigned code, struct slice reason)
{
    struct buf b = {0};

    while (reason.len > WS_CONTROL_MAX - 2 || (reason.len && !slice_is_utf8(reason)))
        reason.len--;
    if (code != WS_CLOSE_NO_CODE) {
        buf_byte(&b, (uint8_t)(code >> 8));
        buf_byte(&b, (uint8_t)code);
        buf_slice_append(&b, reason);
    }
    ws_frame_put(out, WS_OP_CLOSE, buf_slice(&b));
    buf_done(&b);
}

/* ---- the handshake ---- */

bool ws_accept_key(struct slice key, struct buf *out)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    struct buf b = {0};
    uint8_t digest[SHA1_BYTES];
    bool is_key = base64_decode(key, &b) && b.len == KEY_BYTES;
    unsigned n = 0;

    buf_reset(&b);
    buf_slice_append(&b, key);
    buf_str(&b, guid);
    is_key =
        is_key && EVP_Digest(b.ptr, b.len, digest, &n, EVP_sha1(), NULL) == 1 && n == SHA1_BYTES;
    if (is_key)
        base64_encode(slice_of(digest, n), true, out);
    buf_done(&b);
    return is_key;
}
