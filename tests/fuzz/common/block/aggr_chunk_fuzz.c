/* A chunk of aggregates. What decodes must be encoded anew, be downsampled further, and lose points without a fault. */
#include <stdlib.h>

#include "common/block/aggr_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_odd(void *arg, int64_t t)
{
    (void)arg;
    return t & 1;
}

static void check_chunks(struct arena *a, const struct chunk_build *b)
{
    struct aggr_columns cols;

    for (size_t i = 0; i < b->chunks.len; i++) {
        struct err *e = aggr_chunk_decode(a, b->chunks.ptr[i].data, AGGR_ALL, &cols);

        if (e)
            abort();
        if (cols.t[0] != b->chunks.ptr[i].min_t || cols.t[cols.n - 1] != b->chunks.ptr[i].max_t)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(256u << 20);
    struct chunk c = {.encoding = CHUNK_AGGR, .data = slice_of(data, size)};
    struct aggr_columns cols;
    struct err *e = aggr_chunk_decode(a, c.data, AGGR_ALL, &cols);

    for (unsigned parts = 1; parts < AGGR_ALL; parts++) { /* what is good as a whole is in parts */
        struct aggr_columns some;
        struct err *e2 = aggr_chunk_decode(a, c.data, parts, &some);

        if (!e && e2)
            abort();
        err_free(e2);
    }
    if (!e && cols.n <= 1000) {
        struct aggr_build b;
        struct chunk_build out;
        uint64_t dropped = 0;

        aggr_build_init(&b);
        aggr_build_begin(&b, a, AGGR_1H_MS);
        e = aggr_build_chunk(&b, &c);
        if (e)
            abort();
        aggr_build_end(&b);
        aggr_build_done(&b);
        chunk_build_init(&out);
        chunk_build_begin(&out, a);
        e = aggr_chunk_without(a, &c, is_odd, NULL, &out, &dropped);
        if (!e)
            check_chunks(a, &out);
        chunk_build_done(&out);
    }
    err_free(e);
    arena_free(a);
    return 0;
}
