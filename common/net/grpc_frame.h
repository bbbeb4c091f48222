/*
 * The bytes of gRPC on a stream of HTTP/2, taken apart and put together.
 *
 *   message, repeated:
 *     offset  size  field
 *          0     1  0, or 1: compressed by the codec that grpc-encoding names
 *          1     4  length, big endian
 *          5     -  the message
 *
 *   grpc-timeout: 1 to 8 digits and a unit, H M S m u n
 *   grpc-message: UTF-8 with % escapes for all but printable ASCII
 *
 * Pure; any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/net/codec.h"

#define GRPC_FRAME_HEAD_BYTES 5

void grpc_frame_head(bool is_compressed, size_t len, uint8_t ret[GRPC_FRAME_HEAD_BYTES]);

enum grpc_frame_got { GRPC_FRAME_OK, GRPC_FRAME_MORE, GRPC_FRAME_BAD };
/* Takes one message off the front of *in when it is there whole; it is borrowed. BAD: the first
 * byte is neither 0 nor 1. */
enum grpc_frame_got grpc_frame_take(struct slice *in, bool *ret_is_compressed,
                                    struct slice *ret_message);

/* Rounded up to milliseconds. False when malformed. */
bool grpc_frame_timeout(struct slice text, int64_t *ret_ms);
void grpc_frame_escape(struct slice message, struct buf *out);
/* The codec of a grpc-encoding; false when it is none that we read. */
bool grpc_frame_codec(struct slice name, enum codec *ret);
#define GRPC_FRAME_CODECS "identity,gzip,deflate,zstd"
