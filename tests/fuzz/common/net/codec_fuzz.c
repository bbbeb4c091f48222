/*
 * The first byte chooses the codec, the rest is decoded within 1 MiB; what decodes is encoded and
 * decoded again and must be the same.
 */
#include "common/net/codec.h"

#define MAX_BYTES (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf plain = {0}, encoded = {0}, again = {0};
    enum codec c;
    struct err *e;

    if (size == 0)
        return 0;
    c = (enum codec)(data[0] % (CODEC_SNAPPY + 1));
    if ((e = codec_decode(c, slice_of(data + 1, size - 1), MAX_BYTES, &plain))) {
        ORR_ASSERT(plain.len == 0);
        err_free(e);
    } else {
        ORR_ASSERT(plain.len <= MAX_BYTES);
        e = codec_encode(c, 0, buf_slice(&plain), &encoded);
        ORR_ASSERT(!e);
        e = codec_decode(c, buf_slice(&encoded), plain.len, &again);
        ORR_ASSERT(!e);
        ORR_ASSERT(slice_eq(buf_slice(&plain), buf_slice(&again)));
    }
    buf_done(&plain);
    buf_done(&encoded);
    buf_done(&again);
    return 0;
}
