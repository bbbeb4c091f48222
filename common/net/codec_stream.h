/*
 * An encoder that takes its input in pieces: for replies that are produced (or sent) bit by bit.
 * gzip, deflate, zstd, identity; snappy's block format cannot be streamed.
 *
 * Owner: one thread at a time.
 */
#pragma once
#include "common/net/codec.h"

struct codec_stream;

/* level 0: as codec_encode(). Asserts that c can be streamed. */
struct codec_stream *codec_stream_new(enum codec c, int level);
void codec_stream_free(struct codec_stream *s);

enum codec_stream_op {
    CODEC_STREAM_MORE,  /* may keep bytes back for better compression */
    CODEC_STREAM_FLUSH, /* all bytes so far can be decoded from what is in out */
    CODEC_STREAM_END,   /* writes the trailer; nothing may follow */
};
/* Appends to out, which must be unbounded. */
void codec_stream_write(struct codec_stream *s, enum codec_stream_op op, struct slice in,
                        struct buf *out);
