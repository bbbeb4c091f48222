/* Bytes as a batch of log lines that another process sent. */
#include "ingester/door/log_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct log_batch_reader r;
    struct log_batch_head head;
    struct log_entry e;
    size_t n = 0;

    log_batch_reader_init(&r, a, slice_of(data, size));
    while (log_batch_next_stream(&r, &head))
        for (size_t i = 0; (i < 3 || size % 2) && log_batch_next_entry(&r, &e); i++) {
            n += e.line.len;
            for (size_t k = 0; k < e.n_metadata; k++)
                ORR_ASSERT(k == 0 || slice_cmp(e.metadata[k - 1].name, e.metadata[k].name) < 0);
        }
    ORR_ASSERT(n <= size);
    ORR_ASSERT(arena_used(a) < 64 * size + (1 << 20));
    err_free(log_batch_reader_end(&r));
    arena_free(a);
    return 0;
}
