/* First byte: encoding; the rest: a chunk's data. What decodes must encode and decode to the same. */
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/block/chunk.h"
#include "common/block/chunk_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(struct arena *a, const struct chunk_columns *c)
{
    struct chunk_build b;
    struct chunk_columns d;
    size_t n = 0;

    chunk_build_init(&b);
    chunk_build_begin(&b, a);
    for (size_t i = 0; i < c->n; i++) {
        if (c->v)
            chunk_build_float(&b, c->t[i], c->v[i]);
        else
            chunk_build_histogram(&b, c->t[i], &c->h[i]);
    }
    chunk_build_end(&b);
    for (size_t i = 0; i < b.chunks.len; i++) {
        struct err *e = chunk_decode(a, b.chunks.ptr[i].encoding, b.chunks.ptr[i].data, &d);

        if (e)
            abort();
        for (size_t k = 0; k < d.n; k++, n++) {
            if (d.t[k] != c->t[n])
                abort();
            if (c->v && sample_bits(d.v[k]) != sample_bits(c->v[n]))
                abort();
            if (c->h && sample_bits(d.h[k].sum) != sample_bits(c->h[n].sum))
                abort();
        }
    }
    if (n != c->n)
        abort();
    chunk_build_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(64u << 20);
    struct chunk_columns c;
    struct chunk_xor_appender x;
    struct err *e;

    if (size > 0) {
        e = chunk_decode(a, data[0] % 5, slice_of(data + 1, size - 1), &c);
        if (!e)
            check_again(a, &c);
        err_free(e);
        err_free(chunk_xor_resume(slice_of(data + 1, size - 1), &x));
    }
    arena_free(a);
    return 0;
}
