/* Bytes as a frame of log lines; its checksums are put right first, else nothing gets past them. */
#include "common/base/mem.h"
#include "tests/fuzz/common/logblock/framefix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at_front(struct slice bytes)
{
    struct logframe f;
    struct err *e = logframe_open_front(bytes, &f);

    if (!e) {
        ORR_ASSERT(f.bytes.len <= bytes.len && f.bytes.len);
        ORR_ASSERT(logframe_front_bytes(&f) <= f.bytes.len);
    }
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = (uint8_t *)mem_dup(data, size ? size : 1);
    struct buf labels = {.max_bytes = 1 << 20};
    struct logframe f;
    struct err *e;
    size_t sum = 0;
    uint32_t at;

    framefix(copy, size);
    look_at_front(slice_of(copy, size));
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
