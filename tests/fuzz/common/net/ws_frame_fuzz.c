/* What a client sends on a websocket: whole and byte by byte it must be read as the same messages; no message is longer than
 * its bound, and texts are UTF-8. */
#include <stdlib.h>

#include "common/net/ws_frame.h"

#define MAX_BYTES 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All that comes, as bytes to compare. */
static void read_all(struct slice in, size_t piece, struct buf *out)
{
    struct ws_reader r = {.max_message_bytes = MAX_BYTES};
    bool is_over = false;

    while (in.len && !is_over) {
        struct slice part = slice_sub(in, 0, piece);
        enum ws_got got = WS_PING;

        in = slice_from(in, part.len);
        while (got != WS_NEED_MORE && !is_over) {
            struct ws_item item = {.payload = SLICE_EMPTY};

            got = ws_reader_next(&r, &part, &item);
            if (got == WS_NEED_MORE)
                break;
            if (item.payload.len > MAX_BYTES ||
                (item.is_text && got == WS_MESSAGE && !slice_is_utf8(item.payload)))
                abort();
            is_over = got == WS_CLOSE || got == WS_BAD;
            buf_byte(out, (uint8_t)got);
            buf_u32le(out, item.code);
            if (got != WS_BAD)
                buf_lstr(out, item.payload);
        }
        if (!is_over && part.len)
            abort();
    }
    ws_reader_done(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, bytewise = {0};

    read_all(slice_of(data, size), SIZE_MAX, &whole);
    read_all(slice_of(data, size), 1, &bytewise);
    if (!slice_eq(buf_slice(&whole), buf_slice(&bytewise)))
        abort();
    buf_done(&whole);
    buf_done(&bytewise);
    return 0;
}
