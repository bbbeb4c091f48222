#include "common/net/codec.h"

#include <limits.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "common/base/mem.h"

/* RFC 9659: what a receiver of zstd on HTTP must support, and what we are willing to hold. */
#define ZSTD_WINDOW_LOG_MAX 23
#define STEP_BYTES (64 * 1024)

const char *codec_name(enum codec c)
{
    switch (c) {
#define X(sym, name)                                                                               \
    case sym:                                                                                      \
        return name;
        CODECS(X)
#undef X
    }
    return "unknown";
}

bool codec_from_name(struct slice name, enum codec *ret)
{
    if (name.len == 0) {
        *ret = CODEC_IDENTITY;
        return true;
    }
    if (slice_eq_nocase(name, SLICE("x-gzip"))) {
        *ret = CODEC_GZIP;
        return true;
    }
#define X(sym, text)                                                                               \
    if (slice_eq_nocase(name, SLICE(text))) {                                                      \
        *ret = sym;                                                                                \
        return true;                                                                               \
    }
    CODECS(X)
#undef X
    return false;
}

static struct err *err_bound(enum codec c, size_t max_bytes)
{
    return err_new(ERR_TOO_LARGE, "%s: decodes to more than %zu bytes", codec_name(c), max_bytes);
}

/*
 * Room to decode into: a step, or what is left to the bound and one byte more, so that going over
 * shows. NULL when the buffer itself is over.
 */
static uint8_t *step_reserve(struct buf *out, size_t start_len, size_t max_bytes, size_t *ret_n)
{
    size_t used = out->len - start_len;
    size_t left = max_bytes - used;
    size_t want = ORR_MAX((size_t)STEP_BYTES, used / 2);

    *ret_n = left < want ? left + 1 : want;
    return buf_reserve(out, *ret_n);
}

static bool zlib_looks_wrapped(struct slice in)
{
    return in.len >= 2 && (in.ptr[0] & 0x0f) == 8 && (in.ptr[0] * 256u + in.ptr[1]) % 31 == 0;
}

static int zlib_window_bits(enum codec c, struct slice in)
{
    if (c == CODEC_GZIP)
        return 16 + MAX_WBITS;
    return zlib_looks_wrapped(in) ? MAX_WBITS : -MAX_WBITS;
}

static struct err *inflate_all(z_stream *z, enum codec c, struct slice in, size_t max_bytes,
                               struct buf *out)
{
    size_t start = out->len, fed = 0;

    for (;;) {
        size_t n;
        uint8_t *dst = step_reserve(out, start, max_bytes, &n);
        int rc;

        if (!dst)
            return err_bound(c, out->max_bytes);
        if (z->avail_in == 0 && fed < in.len) {
            /* zlib counts in 32 bits */
            z->avail_in = (uInt)ORR_MIN(in.len - fed, (size_t)INT_MAX);
            z->next_in = (Bytef *)(uintptr_t)(in.ptr + fed);
            fed += z->avail_in;
        }
        z->next_out = dst;
        z->avail_out = (uInt)ORR_MIN(n, (size_t)INT_MAX);
        n = z->avail_out;
        rc = inflate(z, Z_NO_FLUSH);
        out->len += n - z->avail_out;
        if (out->len - start > max_bytes)
            return err_bound(c, max_bytes);
        if (rc == Z_STREAM_END) {
            if (z->avail_in == 0 && fed == in.len)
                return NULL;
            if (c != CODEC_GZIP)
                return err_new(ERR_INVALID, "%s: bytes after the end", codec_name(c));
            if (inflateReset(z) != Z_OK) /* the next member */
                return err_new(ERR_INVALID, "gzip: cannot start the next member");
        } else if (rc == Z_BUF_ERROR ||
                   (rc == Z_OK && z->avail_out > 0 && z->avail_in == 0 && fed == in.len)) {
            if (z->avail_out > 0)
                return err_new(ERR_INVALID, "%s: cut short", codec_name(c));
        } else if (rc != Z_OK) {
            return err_new(ERR_INVALID, "%s: %s", codec_name(c), z->msg ? z->msg : "malformed");
        }
    }
}

static struct err *decode_zlib(enum codec c, struct slice in, size_t max_bytes, struct buf *out)
{
    z_stream z = {0};
    struct err *e;

    if (inflateInit2(&z, zlib_window_bits(c, in)) != Z_OK)
        return err_new(ERR_INTERNAL, "%s: cannot start a decoder", codec_name(c));
    e = inflate_all(&z, c, in, max_bytes, out);
    (void)inflateEnd(&z);
    return e;
}

static struct err *zstd_all(ZSTD_DCtx *d, struct slice in, size_t max_bytes, struct buf *out)
{
    ZSTD_inBuffer src = {in.ptr, in.len, 0};
    size_t start = out->len, hint = 1;

    while (src.pos < src.size || hint != 0) {
        ZSTD_outBuffer dst = {NULL, 0, 0};
        size_t before = src.pos;

        if (!(dst.dst = step_reserve(out, start, max_bytes, &dst.size)))
            return err_bound(CODEC_ZSTD, out->max_bytes);
        hint = ZSTD_decompressStream(d, &dst, &src);
        if (ZSTD_isError(hint))
            return err_new(ERR_INVALID, "zstd: %s", ZSTD_getErrorName(hint));
        out->len += dst.pos;
        if (out->len - start > max_bytes)
            return err_bound(CODEC_ZSTD, max_bytes);
        if (hint != 0 && src.pos == before && dst.pos < dst.size)
            return err_new(ERR_INVALID, "zstd: cut short");
    }
    return NULL;
}

static struct err *decode_zstd(struct slice in, size_t max_bytes, struct buf *out)
{
    ZSTD_DCtx *d = ZSTD_createDCtx();
    struct err *e;

    if (!d)
        return err_new(ERR_INTERNAL, "zstd: cannot start a decoder");
    (void)ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    e = zstd_all(d, in, max_bytes, out);
    (void)ZSTD_freeDCtx(d);
    return e;
}

struct err *codec_snappy_length(struct slice in, size_t *ret)
{
    if (snappy_uncompressed_length((const char *)in.ptr, in.len, ret) != SNAPPY_OK)
        return err_new(ERR_INVALID, "snappy: the length is malformed");
    return NULL;
}

static struct err *decode_snappy(struct slice in, size_t max_bytes, struct buf *out)
{
    size_t n = 0;
    uint8_t *dst;
    struct err *e;

    if ((e = codec_snappy_length(in, &n)))
        return e;
    if (n > max_bytes)
        return err_bound(CODEC_SNAPPY, max_bytes);
    /* A copy element of three bytes makes at most 64: a longer claim is a lie, found out before
     * memory is spent on it. */
    if (n / 64 > in.len)
        return err_new(ERR_INVALID, "snappy: %zu bytes cannot decode to %zu", in.len, n);
    if (!(dst = buf_reserve(out, n)))
        return err_bound(CODEC_SNAPPY, out->max_bytes);
    if (snappy_uncompress((const char *)in.ptr, in.len, (char *)dst, &n) != SNAPPY_OK)
        return err_new(ERR_INVALID, "snappy: malformed");
    out->len += n;
    return NULL;
}

static struct err *decode_identity(struct slice in, size_t max_bytes, struct buf *out)
{
    if (in.len > max_bytes)
        return err_bound(CODEC_IDENTITY, max_bytes);
    buf_slice_append(out, in);
    return buf_ok(out) ? NULL : err_bound(CODEC_IDENTITY, out->max_bytes);
}

struct err *codec_decode(enum codec c, struct slice in, size_t max_bytes, struct buf *out)
{
    size_t start = out->len;
    struct err *e = NULL;

    switch (c) {
    case CODEC_IDENTITY:
        e = decode_identity(in, max_bytes, out);
        break;
    case CODEC_GZIP:
    case CODEC_DEFLATE:
        e = decode_zlib(c, in, max_bytes, out);
        break;
    case CODEC_ZSTD:
        e = decode_zstd(in, max_bytes, out);
        break;
    case CODEC_SNAPPY:
        e = decode_snappy(in, max_bytes, out);
        break;
    }
    if (e)
        out->len = start;
    return e;
}

static bool encode_zlib(enum codec c, int level, struct slice in, struct buf *out)
{
    z_stream z = {0};
    size_t fed = 0;
    int rc;

    if (deflateInit2(&z, level, Z_DEFLATED, c == CODEC_GZIP ? 16 + MAX_WBITS : MAX_WBITS, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    do {
        uint8_t *dst = buf_reserve(out, STEP_BYTES);

        if (!dst)
            break;
        if (z.avail_in == 0 && fed < in.len) {
            z.avail_in = (uInt)ORR_MIN(in.len - fed, (size_t)INT_MAX);
            z.next_in = (Bytef *)(uintptr_t)(in.ptr + fed);
            fed += z.avail_in;
        }
        z.next_out = dst;
        z.avail_out = STEP_BYTES;
        rc = deflate(&z, fed == in.len ? Z_FINISH : Z_NO_FLUSH);
        out->len += STEP_BYTES - z.avail_out;
    } while (rc != Z_STREAM_END);
    (void)deflateEnd(&z);
    return buf_ok(out);
}

static bool encode_zstd(int level, struct slice in, struct buf *out)
{
    size_t max = ZSTD_compressBound(in.len), n;
    uint8_t *dst = buf_reserve(out, max);

    if (!dst)
        return false;
    n = ZSTD_compress(dst, max, in.ptr, in.len, level);
    ORR_ASSERT(!ZSTD_isError(n)); /* the bound is ZSTD's own, the level is clamped by it */
    out->len += n;
    return true;
}

static bool encode_snappy(struct slice in, struct buf *out)
{
    size_t n = snappy_max_compressed_length(in.len);
    uint8_t *dst = buf_reserve(out, n);

    if (!dst)
        return false;
    ORR_ASSERT(snappy_compress((const char *)in.ptr, in.len, (char *)dst, &n) == SNAPPY_OK);
    out->len += n;
    return true;
}

struct err *codec_encode(enum codec c, int level, struct slice in, struct buf *out)
{
    size_t start = out->len;
    bool ok = false;

    switch (c) {
    case CODEC_IDENTITY:
        buf_slice_append(out, in);
        ok = buf_ok(out);
        break;
    case CODEC_GZIP:
    case CODEC_DEFLATE:
        ok = encode_zlib(c, level ? level : 4, in, out);
        break;
    case CODEC_ZSTD:
        ok = encode_zstd(level ? level : 2, in, out);
        break;
    case CODEC_SNAPPY:
        ok = encode_snappy(in, out);
        break;
    }
    if (ok)
        return NULL;
    out->len = start;
    return err_new(ERR_TOO_LARGE, "%s: does not fit in %zu bytes", codec_name(c), out->max_bytes);
}
