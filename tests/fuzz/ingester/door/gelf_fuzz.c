/* Bytes as GELF datagrams, cut at a byte that they give, put together and read into a batch. */
#include "ingester/door/gelf.h"
#include "tests/fuzz/ingester/door/log_whole_way.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct err *decode(struct log_builder *b, const void *arg)
{
    struct slice rest = *(const struct slice *)arg;
    struct gelf_chunks *c = gelf_chunks_new(64 << 10);
    struct err *e = NULL;
    int64_t now_ms = 0;

    while (!e && rest.len) {
        size_t n = rest.ptr[0] ? rest.ptr[0] : rest.len;
        struct slice d = slice_sub(rest, 1, n), whole;

        if (gelf_chunks_put(c, d, now_ms++, &whole))
            e = gelf_add(b, whole);
        ORR_ASSERT(gelf_chunks_bytes(c) <= 64 << 10);
        rest = slice_from(rest, n + 1);
    }
    gelf_chunks_free(c);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = slice_of(data, size);

    log_whole_way(decode, &s);
    return 0;
}
