/* Any bytes as a part of a query: decodes or fails; what decodes encodes to the same again. */
#include "querier/plan/partial_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_query_opts o, o2;
    struct engine_query q, q2;
    struct buf b = {0};
    struct err *e = partial_wire_decode(slice_of(data, size), &q, &o);

    if (!e) {
        partial_wire_encode(&b, &q, &o);
        ORR_ASSERT(!(e = partial_wire_decode(buf_slice(&b), &q2, &o2)));
        ORR_ASSERT(slice_eq(q.expr, q2.expr) && q.start_ms == q2.start_ms &&
                   q.shard_count == q2.shard_count && o.min_ms == o2.min_ms &&
                   q.wants_moments == q2.wants_moments);
    }
    err_free(e);
    buf_done(&b);
    return 0;
}
