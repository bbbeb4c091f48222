/* Any bytes as an envelope: what is accepted must survive being written and read again. */
#include "common/base/arena.h"
#include "common/proto/envelope_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(1 << 20);
    struct envelope e, again;
    struct buf out = {0};

    if (envelope_decode(a, slice_of(data, size), &e)) {
        envelope_encode(&e, &out);
        ORR_ASSERT(envelope_decode(a, buf_slice(&out), &again));
        ORR_ASSERT(again.kind == e.kind && again.id == e.id && slice_eq(again.tenant, e.tenant));
    }
    buf_done(&out);
    arena_free(a);
    return 0;
}
