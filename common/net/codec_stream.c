#include "common/net/codec_stream.h"

#include <limits.h>
#include <zlib.h>
#include <zstd.h>

#include "common/base/mem.h"

#define STEP_BYTES (16 * 1024)

struct codec_stream {
    enum codec codec;
    z_stream z;
    ZSTD_CCtx *zstd;
};

struct codec_stream *codec_stream_new(enum codec c, int level)
{
    struct codec_stream *s = mem_new(struct codec_stream);

    ORR_ASSERT(c != CODEC_SNAPPY);
    s->codec = c;
    if (c == CODEC_GZIP || c == CODEC_DEFLATE) {
        int rc = deflateInit2(&s->z, level ? level : 4, Z_DEFLATED,
                              c == CODEC_GZIP ? 16 + MAX_WBITS : MAX_WBITS, 8, Z_DEFAULT_STRATEGY);

        ORR_ASSERT(rc == Z_OK); /* only heap or a wrong level could fail it */
    } else if (c == CODEC_ZSTD) {
        s->zstd = ZSTD_createCCtx();
        ORR_ASSERT(s->zstd);
        (void)ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, level ? level : 2);
    }
    return s;
}

void codec_stream_free(struct codec_stream *s)
{
    if (!s)
        return;
    if (s->codec == CODEC_GZIP || s->codec == CODEC_DEFLATE)
        (void)deflateEnd(&s->z);
    (void)ZSTD_freeCCtx(s->zstd);
    mem_free(s);
}

static void write_zlib(struct codec_stream *s, enum codec_stream_op op, struct slice in,
                       struct buf *out)
{
    static const int flush_of[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};

    do {
        size_t n = ORR_MIN(in.len, (size_t)INT_MAX);

        s->z.next_in = (Bytef *)(uintptr_t)in.ptr;
        s->z.avail_in = (uInt)n;
        in = slice_from(in, n);
        do {
            s->z.next_out = buf_reserve(out, STEP_BYTES);
            s->z.avail_out = STEP_BYTES;
            (void)deflate(&s->z, in.len ? Z_NO_FLUSH : flush_of[op]);
            out->len += STEP_BYTES - s->z.avail_out;
        } while (s->z.avail_out == 0);
    } while (in.len);
}

static void write_zstd(struct codec_stream *s, enum codec_stream_op op, struct slice in,
                       struct buf *out)
{
    static const ZSTD_EndDirective end_of[] = {ZSTD_e_continue, ZSTD_e_flush, ZSTD_e_end};
    ZSTD_inBuffer src = {in.ptr, in.len, 0};
    size_t left;

    do {
        ZSTD_outBuffer dst = {buf_reserve(out, STEP_BYTES), STEP_BYTES, 0};

        left = ZSTD_compressStream2(s->zstd, &dst, &src, end_of[op]);
        ORR_ASSERT(!ZSTD_isError(left));
        out->len += dst.pos;
    } while (op == CODEC_STREAM_MORE ? src.pos < src.size : left > 0);
}

void codec_stream_write(struct codec_stream *s, enum codec_stream_op op, struct slice in,
                        struct buf *out)
{
    ORR_ASSERT(out->max_bytes == 0);
    switch (s->codec) {
    case CODEC_GZIP:
    case CODEC_DEFLATE:
        write_zlib(s, op, in, out);
        break;
    case CODEC_ZSTD:
        write_zstd(s, op, in, out);
        break;
    case CODEC_IDENTITY:
    case CODEC_SNAPPY:
        buf_slice_append(out, in);
        break;
    }
}
