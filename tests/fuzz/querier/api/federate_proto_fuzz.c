/* An Accept header of anybody: read to its end, and an unwelcome one changes nothing. */
#include "common/base/mem.h"
#include "querier/api/federate_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice accept = slice_of(data, size);
    struct buf more = {0};

    buf_slice_append(&more, accept);
    buf_str(&more, ",text/plain;q=1");
    /* whoever likes it even beside the most welcome text likes it alone */
    ORR_ASSERT(!federate_proto_is_wanted(buf_slice(&more)) || federate_proto_is_wanted(accept));
    buf_done(&more);
    return 0;
}
