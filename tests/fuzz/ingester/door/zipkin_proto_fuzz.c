/* Bytes as Zipkin's spans in protobuf, into pieces. */
#include "ingester/door/zipkin_proto.h"
#include "tests/fuzz/ingester/door/trace_whole_way.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    trace_whole_way(zipkin_proto_decode, slice_of(data, size));
    return 0;
}
