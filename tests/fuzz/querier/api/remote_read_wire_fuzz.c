/* Remote read requests, decompressed. */
#include <stdlib.h>

#include "querier/api/remote_read_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct remote_read r;
    struct err *e = remote_read_decode(a, slice_of(data, size), &r);

    if (!e) {
        if (r.n > REMOTE_READ_MAX_QUERIES)
            abort();
        for (size_t i = 0; i < r.n; i++)
            if (r.queries[i].matchers.n > REMOTE_READ_MAX_MATCHERS)
                abort();
        remote_read_done(&r);
    }
    err_free(e);
    arena_free(a);
    return 0;
}
