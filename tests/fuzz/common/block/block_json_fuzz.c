/* meta.json and catalogues; what parses must print to something that parses to the same. */
#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/block/block_meta.h"
#include "common/block/catalogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_meta(struct slice in)
{
    struct arena *a = arena_new(64u << 20);
    struct block_meta m, again;
    struct buf x = {0}, y = {0};
    struct err *e = block_meta_parse(a, in, &m);

    if (!e) {
        block_meta_write(&x, &m);
        if (block_meta_parse(a, buf_slice(&x), &again))
            abort();
        block_meta_write(&y, &again);
        if (!slice_eq(buf_slice(&x), buf_slice(&y)))
            abort();
    }
    err_free(e);
    buf_done(&x);
    buf_done(&y);
    arena_free(a);
}

static void fuzz_catalogue(struct slice in)
{
    struct catalogue *c, *d;
    struct buf x = {0}, y = {0};
    struct err *e;

    buf_slice_append(&x, in); /* with a checksum that is right */
    buf_printf(&x, ",\"crc\":\"%08x\"}\n", hash_crc32c(in));
    e = catalogue_parse(buf_slice(&x), &c);
    if (!e) {
        buf_reset(&x);
        catalogue_write(&x, c);
        if (catalogue_parse(buf_slice(&x), &d))
            abort();
        catalogue_write(&y, d);
        if (!slice_eq(buf_slice(&x), buf_slice(&y)))
            abort();
        catalogue_free(c);
        catalogue_free(d);
    }
    err_free(e);
    buf_done(&x);
    buf_done(&y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_meta(slice_of(data, size));
    fuzz_catalogue(slice_of(data, size));
    return 0;
}
