/* Bytes as the directory of a block of traces: what parses has groups that can be looked up. Its checksum is made right first. */
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/traceblock/traceblock_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct traceblock_directory d;
    uint8_t *copy = mem_alloc(size + 1);
    struct err *e;

    memcpy(copy, data, size);
    if (size >= 4) {
        uint32_t sum = hash_crc32c(slice_of(copy, size - 4));

        memcpy(copy + size - 4, &sum, sizeof(sum));
    }
    e = traceblock_directory_parse(slice_of(copy, size), &d);
    for (uint32_t i = 0; !e && i < d.n; i++) {
        struct traceblock_group_at g = traceblock_directory_at(&d, i);

        ORR_ASSERT(traceblock_directory_find(&d, g.about.last) == i);
        ORR_ASSERT(traceblock_directory_find(&d, g.about.first) == i);
    }
    err_free(e);
    mem_free(copy);
    return 0;
}
