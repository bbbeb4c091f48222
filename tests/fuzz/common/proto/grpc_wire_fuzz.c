/* Any bytes as a health check's request: what is accepted lies within the arena. */
#include "common/proto/grpc_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(1 << 20);
    struct slice service;
    struct buf out = {0};

    if (grpc_wire_health_request(a, slice_of(data, size), &service)) {
        grpc_wire_retry(8, service, (int64_t)size * 997, &out);
        ORR_ASSERT(out.len > service.len);
    }
    buf_done(&out);
    arena_free(a);
    return 0;
}
