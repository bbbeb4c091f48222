/*
 * Bytes as a stream of messages: it gives the same ones in whatever pieces it comes, none is empty or
 * too long, and what waits is bounded. The first byte: how it is cut; the second: pieces.
 */
#include "common/base/err.h"
#include "ingester/door/message_cut.h"

#define MAX_BYTES 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *arg, struct slice m)
{
    struct buf *out = arg;

    ORR_ASSERT(m.len && m.len <= MAX_BYTES);
    buf_lstr(out, m);
}

static void cut(const struct message_cut_opts *opts, struct slice s, size_t piece, struct buf *out)
{
    struct message_cut c;

    message_cut_init(&c, opts);
    while (s.len) {
        struct slice now = slice_sub(s, 0, ORR_MIN(piece, s.len));

        message_cut_put(&c, now, take, out);
        ORR_ASSERT(c.in.len < MAX_BYTES + MESSAGE_CUT_DIGITS + 2);
        s = slice_from(s, now.len);
    }
    message_cut_end(&c, take, out);
    buf_uvarint(out, c.dropped);
    buf_uvarint(out, c.cut);
    message_cut_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct message_cut_opts opts = {.max_bytes = MAX_BYTES};
    struct buf whole = {0}, pieces = {0};
    struct slice s;

    if (size < 2)
        return 0;
    opts.framing = data[0] & 1 ? MESSAGE_SYSLOG : MESSAGE_NUL;
    opts.truncates = data[0] & 2;
    s = slice_of(data + 2, size - 2);
    cut(&opts, s, s.len, &whole);
    cut(&opts, s, 1 + data[1] % 16u, &pieces);
    ORR_ASSERT(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
    buf_done(&whole);
    buf_done(&pieces);
    return 0;
}
