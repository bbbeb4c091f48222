/* Any bytes as a query result: decodes or fails; what decodes encodes to the same again. */
#include "querier/engine/result_json.h"
#include "querier/engine/result_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new(0);
    struct engine_result r, again;
    struct buf b = {0}, json = {0};
    struct err *e = result_wire_decode(a, slice_of(data, size), &r);

    if (!e) {
        result_wire_encode(&b, &r);
        ORR_ASSERT(!(e = result_wire_decode(a, buf_slice(&b), &again)));
        result_json_data(&json, &r);
    }
    err_free(e);
    buf_done(&b);
    buf_done(&json);
    arena_free(a);
    return 0;
}
