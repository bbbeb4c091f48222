/*
 * Compression of whole buffers: gzip, deflate, zstd and snappy, each with a bound on what comes
 * out, so a decompression bomb costs at most the bound.
 *
 *   name       format                                                  decoded size known
 *   identity   the bytes themselves                                    yes
 *   gzip       RFC 1952, several members allowed ("x-gzip" too)        no
 *   deflate    RFC 1950 (zlib); bare RFC 1951 is accepted when reading no
 *   zstd       RFC 8878, several frames allowed, window at most 8 MiB  if the frame says so
 *   snappy     block format (as Prometheus' remote write), not framed  yes
 *
 * Any thread. CPU-bound: about 1 ms per MiB of snappy or zstd, 5–20 ms per MiB of gzip; large
 * bodies belong on a worker.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"

#define CODECS(X)                                                                                  \
    X(CODEC_IDENTITY, "identity")                                                                  \
    X(CODEC_GZIP, "gzip")                                                                          \
    X(CODEC_DEFLATE, "deflate")                                                                    \
    X(CODEC_ZSTD, "zstd")                                                                          \
    X(CODEC_SNAPPY, "snappy")
enum codec {
#define X(sym, name) sym,
    CODECS(X)
#undef X
};

const char *codec_name(enum codec c);
/* A Content-Encoding token, any case; "" is identity. False if it is none of ours. */
bool codec_from_name(struct slice name, enum codec *ret);

/*
 * Appends the decoded bytes to out, which must hold at most max_bytes of them: more is
 * ERR_TOO_LARGE, malformed or cut short is ERR_INVALID; then out is as it was before. max_bytes 0
 * means nothing may come out.
 */
ORR_CHECKED struct err *codec_decode(enum codec c, struct slice in, size_t max_bytes,
                                     struct buf *out);
/* Appends the encoded bytes. level 0: a fast default (gzip 4, zstd 2). Fails only when out is
 * bounded and full (ERR_TOO_LARGE). */
ORR_CHECKED struct err *codec_encode(enum codec c, int level, struct slice in, struct buf *out);
/* What a snappy block says it decodes to; ERR_INVALID if its first bytes are no length. */
ORR_CHECKED struct err *codec_snappy_length(struct slice in, size_t *ret);
