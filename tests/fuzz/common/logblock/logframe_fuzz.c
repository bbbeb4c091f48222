/* Bytes as a frame of log lines; its checksum is put right first, else nothing gets past that. */
#include "common/base/mem.h"
#include "common/logblock/logframe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_crc_right(uint8_t *p, size_t size)
{
    uint32_t head = 0, crc;

    if (size < LOGFRAME_HEADER_BYTES)
        return;
    for (unsigned i = 0; i < 4; i++)
        head |= (uint32_t)p[16 + i] << (8 * i);
    if (head < 24 || head > size)
        return;
    crc = hash_crc32c(slice_of(p + 24, head - 24));
    for (unsigned i = 0; i < 4; i++)
        p[20 + i] = (uint8_t)(crc >> (8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = (uint8_t *)mem_dup(data, size ? size : 1);
    struct buf labels = {.max_bytes = 1 << 20};
    struct logframe f;
    struct err *e;
    size_t sum = 0;
    uint32_t at;

    put_crc_right(copy, size);
    if (!(e = logframe_open(slice_of(copy, size), &f))) {
        for (uint32_t i = 0; i < f.head.n_streams; i++) {
            struct logframe_stream s = logframe_stream_at(&f, i);

            ORR_ASSERT(logframe_find(&f, s.fp, &at) && at == i);
            for (uint32_t p = s.first_page; p <= s.last_page && p < s.first_page + 4; p++) {
                struct slice page = logframe_page_bytes(&f, p);

                sum += page.len ? page.ptr[page.len - 1] : 0;
            }
        }
        if (f.labels_bytes < 1 << 20)
            err_free(logframe_labels(&f, &labels));
    }
    ORR_ASSERT(sum < SIZE_MAX);
    buf_done(&labels);
    err_free(e);
    mem_free(copy);
    return 0;
}
