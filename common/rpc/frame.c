#include "common/rpc/frame.h"

#include "common/base/reader.h"

static const uint8_t magic[4] = {'O', 'R', 'R', 1};

const char *frame_reason_text(unsigned reason)
{
    switch (reason) {
#define X(sym, num, text)                                                                          \
    case sym:                                                                                      \
        return text;
        FRAME_REASONS(X)
#undef X
    default:
        return "peer refused us for a reason we do not know";
    }
}

static void put_le(uint8_t *out, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(v >> (8 * i));
}

void frame_head_put(const struct frame_head *h, uint8_t out[FRAME_HEAD_BYTES])
{
    memcpy(out, magic, sizeof(magic));
    out[4] = (uint8_t)h->type;
    out[5] = h->is_sealed;
    put_le(out + 6, h->reason, 2);
    put_le(out + 8, h->session, 8);
    put_le(out + 16, h->seq, 8);
    put_le(out + 24, h->key_id, 4);
    put_le(out + 28, 0, 4);
}

bool frame_head_get(struct slice frame, struct frame_head *ret)
{
    struct reader r = reader_new(frame);
    struct slice start = reader_bytes(&r, sizeof(magic));
    uint8_t type = reader_u8(&r), sealing = reader_u8(&r);
    struct frame_head h = {.type = (enum frame_type)type, .is_sealed = sealing == 1};

    h.reason = reader_u16le(&r);
    h.session = reader_u64le(&r);
    h.seq = reader_u64le(&r);
    h.key_id = reader_u32le(&r);
    (void)reader_u32le(&r);
    if (!reader_ok(&r) || memcmp(start.ptr, magic, sizeof(magic)) != 0 || sealing > 1 ||
        type < FRAME_HELLO || type > FRAME_DATA)
        return false;
    *ret = h;
    return true;
}

bool frame_body_get(struct arena *a, struct slice body, struct envelope *ret,
                    struct slice *ret_payload)
{
    struct reader r = reader_new(body);
    struct slice envelope = reader_bytes(&r, reader_u16le(&r));

    if (!reader_ok(&r) || !envelope_decode(a, envelope, ret))
        return false;
    *ret_payload = reader_rest(&r);
    return ret_payload->len <= FRAME_PAYLOAD_BYTES;
}
