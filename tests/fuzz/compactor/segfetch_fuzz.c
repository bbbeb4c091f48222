/* What an ingester says a segment's files are: names taken must be a segment's, and fit the bound. */
#include <stdlib.h>

#include "common/model/metrics_rpc.h"
#include "compactor/segfetch.h"

#define MAX_BYTES 1000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_list(enum signal_kind kind, struct slice in)
{
    struct arena *a = arena_new(0);
    struct segfetch_file *files;
    uint64_t bytes = 0;
    size_t n;
    struct err *e = segfetch_parse_list(signal_of(kind), in, a, MAX_BYTES, &files, &n);

    for (size_t i = 0; !e && i < n; i++) {
        bytes += files[i].bytes;
        if (files[i].name.len == 0 || files[i].name.ptr[0] == '/' ||
            slice_find(files[i].name, SLICE(".."), 0) >= 0 || bytes > MAX_BYTES)
            abort();
    }
    err_free(e);
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_new(slice_of(data, size));
    struct rpc_segment row;

    for (int kind = 0; kind < SIGNAL_COUNT; kind++)
        fuzz_list((enum signal_kind)kind, slice_of(data, size));
    while (rpc_segment_decode(&r, &row))
        ;
    return 0;
}
