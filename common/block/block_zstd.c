#include "common/block/block_zstd.h"

#include <pthread.h>
#include <zstd.h>

/* A block_zstd is a ZSTD_CCtx by another name. */
static ZSTD_CCtx *of(struct block_zstd *z)
{
    return (ZSTD_CCtx *)z;
}

struct block_zstd *block_zstd_new(int level)
{
    struct block_zstd *z = (struct block_zstd *)ZSTD_createCCtx();

    ORR_ASSERT(z);
    (void)ZSTD_CCtx_setParameter(of(z), ZSTD_c_contentSizeFlag, 0);
    block_zstd_level(z, level);
    return z;
}

void block_zstd_level(struct block_zstd *z, int level)
{
    (void)ZSTD_CCtx_setParameter(of(z), ZSTD_c_compressionLevel, level);
}

void block_zstd_free(struct block_zstd *z)
{
    (void)ZSTD_freeCCtx(of(z));
}

bool block_zstd_pack(struct block_zstd *z, struct slice raw, struct buf *out)
{
    size_t room, got;
    uint8_t *to;

    if (!raw.len)
        return false;
    room = raw.len - ORR_MAX(raw.len / 32, (size_t)1);
    if (!(to = buf_reserve(out, room)))
        return true; /* the caller asks buf_ok() in the end */
    got = ZSTD_compress2(of(z), to, room, raw.ptr, raw.len);
    if (ZSTD_isError(got)) /* it does not fit */
        return false;
    out->len += got;
    return true;
}

/* ---- unpacking ---- */

static pthread_key_t contexts;
static pthread_once_t contexts_once = PTHREAD_ONCE_INIT;

static void free_context(void *z)
{
    (void)ZSTD_freeDCtx(z);
}

static void make_contexts(void)
{
    int failed = pthread_key_create(&contexts, free_context);

    ORR_ASSERT(!failed);
}

static ZSTD_DCtx *context(void)
{
    ZSTD_DCtx *z;

    (void)pthread_once(&contexts_once, make_contexts);
    z = pthread_getspecific(contexts);
    if (!z) {
        int failed;

        z = ZSTD_createDCtx();
        failed = pthread_setspecific(contexts, z);
        ORR_ASSERT(z && !failed);
    }
    return z;
}

bool block_zstd_unpack(struct slice stored, uint8_t *to, size_t bytes)
{
    size_t got = ZSTD_decompressDCtx(context(), to, bytes, stored.ptr, stored.len);

    return !ZSTD_isError(got) && got == bytes;
}
