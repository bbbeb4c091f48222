/*
 * The bytes of a frame: one nanomsg message. All integers little endian.
 *
 *   offset  size  field
 *        0     4  magic "ORR" 1
 *        4     1  type: 1 HELLO, 2 WELCOME, 3 REJECT, 4 RESET, 5 DATA
 *        5     1  0 plain, 1 sealed with AES-256-GCM (seal.h)
 *        6     2  REJECT: why (enum frame_reason); else 0
 *        8     8  session: drawn by the server, 0 in HELLO and REJECT
 *       16     8  sequence number: DATA counts 1, 2, 3 … per direction; else 0
 *       24     4  id of the cluster key, 0 when plain
 *       28     4  0
 *       32    16  HELLO: client random. WELCOME: server random. Others: absent
 *        -     -  HELLO, WELCOME, DATA, sealed as a whole when sealed (+ 16 bytes of tag):
 *                    u16 length of the envelope | envelope (common/proto/envelope.proto) | payload
 *
 * Everything before the sealed part is its AAD.
 *
 * A connection: HELLO → WELCOME, then DATA both ways. A server that gets DATA of a session it
 * does not know answers RESET (the session is echoed, so a stale RESET is ignored); one that
 * cannot open a HELLO answers REJECT. Both are unsealed: whoever can inject them could cut the
 * TCP connection as well.
 *
 * A message is one first frame (REQUEST, REPLY: carries total_bytes) and as many MORE frames as
 * its payload needs, FRAME_PAYLOAD_BYTES each; frames of different calls may interleave.
 *
 * A gap in the sequence ends the session: nanomsg's REP side drops what it cannot send at once,
 * silently, so the sender keeps within what the kernel takes (link.h), and should a frame be lost
 * anyway the receiver knows at the next one.
 */
#pragma once
#include "common/base/slice.h"
#include "common/proto/envelope_wire.h"
#include "common/rpc/seal.h"

#define FRAME_HEAD_BYTES 32
#define FRAME_PAYLOAD_BYTES (128u << 10)
#define FRAME_MAX_BYTES                                                                            \
    (FRAME_HEAD_BYTES + SEAL_RANDOM_BYTES + 2 + ENVELOPE_MAX_BYTES + FRAME_PAYLOAD_BYTES +         \
     SEAL_TAG_BYTES)

enum frame_type { FRAME_HELLO = 1, FRAME_WELCOME, FRAME_REJECT, FRAME_RESET, FRAME_DATA };

#define FRAME_REASONS(X)                                                                           \
    X(FRAME_REASON_KEY, 1, "peer does not share our cluster key")                                  \
    X(FRAME_REASON_PLAIN, 2, "peer takes sealed messages only, and we have no cluster key")        \
    X(FRAME_REASON_SEALED, 3, "peer has no cluster key, and we have one")                          \
    X(FRAME_REASON_FULL, 4, "peer has too many connections")                                       \
    X(FRAME_REASON_BAD, 5, "peer did not understand our greeting")

enum frame_reason {
#define X(sym, num, text) sym = num,
    FRAME_REASONS(X)
#undef X
};
const char *frame_reason_text(unsigned reason);

struct frame_head {
    enum frame_type type;
    bool is_sealed;
    uint16_t reason;
    uint64_t session, seq;
    uint32_t key_id;
};

void frame_head_put(const struct frame_head *h, uint8_t out[FRAME_HEAD_BYTES]);
/* False when frame is too short, of another magic or version, or has an unknown type. */
bool frame_head_get(struct slice frame, struct frame_head *ret);
/* Splits an opened body. False if its length is wrong or the envelope malformed. The texts and
 * the payload point into a and body. */
bool frame_body_get(struct arena *a, struct slice body, struct envelope *ret,
                    struct slice *ret_payload);
