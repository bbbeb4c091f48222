/* Bytes as a record of the log of log lines. */
#include "ingester/logs/logrecord.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct logrecord_stream s;
    struct logrecord_entry en;
    struct labels metadata;
    struct reader r;
    uint32_t shard;
    size_t n = 0;

    if (logrecord_open(slice_of(data, size), &shard, &r))
        while (logrecord_next_stream(&r, &s)) {
            bool is_valid = logrecord_entries_valid(&s);
            struct reader er = reader_new(s.entries);

            for (; logrecord_next_entry(&er, &en); n += en.line.len) {
                bool is_read = logrecord_metadata(a, en.metadata, &metadata);

                ORR_ASSERT(is_read || !is_valid);
            }
            ORR_ASSERT(!is_valid || reader_ok(&er));
        }
    ORR_ASSERT(n <= size);
    arena_free(a);
    return 0;
}
