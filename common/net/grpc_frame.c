#include "common/net/grpc_frame.h"

#include "common/base/clock.h"
#include "common/base/reader.h"

#define TIMEOUT_DIGITS_MAX 8

void grpc_frame_head(bool is_compressed, size_t len, uint8_t ret[GRPC_FRAME_HEAD_BYTES])
{
    ORR_ASSERT(len <= UINT32_MAX);
    ret[0] = is_compressed;
    for (int i = 0; i < 4; i++)
        ret[1 + i] = (uint8_t)(len >> (24 - 8 * i));
}

enum grpc_frame_got grpc_frame_take(struct slice *in, bool *ret_is_compressed,
                                    struct slice *ret_message)
{
    struct reader r = reader_new(*in);
    uint8_t flag = reader_u8(&r);
    uint32_t len = reader_u32be(&r);
    struct slice message = reader_bytes(&r, len);

    if (flag > 1)
        return GRPC_FRAME_BAD;
    if (!reader_ok(&r))
        return GRPC_FRAME_MORE;
    *in = reader_rest(&r);
    *ret_is_compressed = flag;
    *ret_message = message;
    return GRPC_FRAME_OK;
}

bool grpc_frame_timeout(struct slice text, int64_t *ret_ms)
{
    static const struct {
        char unit;
        int64_t ns;
    } units[] = {{'H', 3600 * NS_PER_S}, {'M', 60 * NS_PER_S}, {'S', NS_PER_S},
                 {'m', NS_PER_MS},       {'u', 1000},          {'n', 1}};
    int64_t n = 0, ns = 0;

    if (text.len < 2 || text.len > TIMEOUT_DIGITS_MAX + 1)
        return false;
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        n = n * 10 + text.ptr[i] - '0';
    }
    for (size_t i = 0; i < ORR_COUNT(units); i++)
        if (text.ptr[text.len - 1] == units[i].unit)
            ns = units[i].ns;
    if (ns >= NS_PER_MS)
        *ret_ms = n * (ns / NS_PER_MS); /* eight digits of hours fit */
    else
        *ret_ms = (n * ns + NS_PER_MS - 1) / NS_PER_MS;
    return ns > 0;
}

void grpc_frame_escape(struct slice message, struct buf *out)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < message.len; i++) {
        uint8_t c = message.ptr[i];

        if (c >= ' ' && c <= '~' && c != '%') {
            buf_byte(out, c);
        } else {
            buf_byte(out, '%');
            buf_byte(out, (uint8_t)hex[c >> 4]);
            buf_byte(out, (uint8_t)hex[c & 15]);
        }
    }
}

bool grpc_frame_codec(struct slice name, enum codec *ret)
{
    /* What other implementations call snappy is its framed format, which ours is not. */
    return codec_from_name(name, ret) && *ret != CODEC_SNAPPY;
}
