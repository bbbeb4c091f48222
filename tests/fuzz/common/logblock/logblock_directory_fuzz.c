/* Bytes as the directory of a block of log lines; its checksum is put right first. */
#include "common/base/mem.h"
#include "common/logblock/logblock_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = (uint8_t *)mem_dup(data, size ? size : 1);
    struct logblock_directory d;
    struct err *e;

    if (size > 4) {
        uint32_t crc = hash_crc32c(slice_of(copy, size - 4));

        for (unsigned i = 0; i < 4; i++)
            copy[size - 4 + i] = (uint8_t)(crc >> (8 * i));
    }
    if (!(e = logblock_directory_parse(slice_of(copy, size), &d))) {
        uint64_t entries = 0, at = 0;

        for (uint32_t i = 0; i < d.n_pages; i++) {
            struct logblock_page_at p = logblock_directory_page(&d, i);

            ORR_ASSERT(p.offset == at && p.bytes >= LOGPAGE_HEADER_BYTES);
            at += p.bytes;
        }
        for (uint32_t i = 0; i < d.n_streams; i++)
            entries += logblock_directory_stream(&d, i).entries;
        ORR_ASSERT(at == d.pages_bytes && entries == d.entries);
    }
    err_free(e);
    mem_free(copy);
    return 0;
}
