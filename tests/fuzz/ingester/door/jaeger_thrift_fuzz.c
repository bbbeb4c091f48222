/* Bytes as a batch of Jaeger's in Thrift, into pieces. */
#include "ingester/door/jaeger_thrift.h"
#include "tests/fuzz/ingester/door/trace_whole_way.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    trace_whole_way(jaeger_thrift_decode, slice_of(data, size));
    return 0;
}
