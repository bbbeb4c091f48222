/*
 * Frames of WebSocket (RFC 6455), as the server sees them: what a client sends is masked, what we send is not.
 *
 *     byte 0   FIN | RSV 1-3 | opcode          byte 1   MASK | length: 0…125, 126: u16 follows, 127: u64 follows
 *     then     length, big endian | four bytes of mask | payload
 *
 * Messages are given whole: fragments are gathered, control frames between them come at once. What the RFC forbids is
 * WS_BAD with the code of the close frame that answers it: 1002 (unmasked, reserved bits, unknown opcodes, lengths not in
 * their shortest form, fragments out of order, control frames that are long or in pieces, close codes that are none), 1007
 * (text that is not UTF-8), 1009 (longer than max_message_bytes). No extensions.
 *
 * Owner: one thread. Memory: the message under way, at most max_message_bytes.
 */
#pragma once
#include "common/base/buf.h"

#define WS_CONTROL_MAX 125
#define WS_HEAD_MAX 14 /* bytes before the payload */

enum ws_opcode {
    WS_OP_MORE = 0,
    WS_OP_TEXT = 1,
    WS_OP_BINARY = 2,
    WS_OP_CLOSE = 8,
    WS_OP_PING = 9,
    WS_OP_PONG = 10
};
#define WS_CLOSE_NORMAL 1000
#define WS_CLOSE_AWAY 1001
#define WS_CLOSE_PROTOCOL 1002
#define WS_CLOSE_NO_CODE 1005 /* never sent: a close frame without one */
#define WS_CLOSE_BAD_TEXT 1007
#define WS_CLOSE_POLICY 1008
#define WS_CLOSE_TOO_LARGE 1009
#define WS_CLOSE_INTERNAL 1011

struct ws_reader {
    size_t max_message_bytes;
    uint8_t head[WS_HEAD_MAX]; /* of the frame under way, as far as it has come */
    size_t head_len, head_need;
    uint64_t left; /* of its payload */
    size_t mask_at;
    uint8_t control[WS_CONTROL_MAX];
    size_t control_len;
    enum ws_opcode message_op; /* WS_OP_MORE: no message is under way */
    struct buf message;
    bool is_given; /* message was given out and goes with the next call */
};

enum ws_got { WS_NEED_MORE, WS_MESSAGE, WS_PING, WS_PONG, WS_CLOSE, WS_BAD };
struct ws_item {
    bool is_text; /* WS_MESSAGE */
    struct slice
        payload; /* of messages, pings and pongs; the reason of a close: lent until the next call */
    unsigned code;   /* WS_CLOSE, WS_BAD */
    const char *why; /* WS_BAD */
};
/* Takes bytes off *in: all of them if WS_NEED_MORE. After WS_BAD or WS_CLOSE nothing more may be asked for. */
enum ws_got ws_reader_next(struct ws_reader *r, struct slice *in, struct ws_item *ret);
void ws_reader_done(struct ws_reader *r);

/* Appends one frame, whole. */
void ws_frame_put(struct buf *out, enum ws_opcode op, struct slice payload);
/* A close frame; the reason is cut to what fits, between two characters. */
void ws_frame_put_close(struct buf *out, unsigned code, struct slice reason);

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key. False: it is none. */
bool ws_accept_key(struct slice key, struct buf *out);
