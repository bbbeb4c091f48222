/* Bytes as a request of Jaeger's collector, into pieces. */
#include "ingester/door/jaeger_proto.h"
#include "tests/fuzz/ingester/door/trace_whole_way.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    trace_whole_way(jaeger_proto_decode, slice_of(data, size));
    return 0;
}
