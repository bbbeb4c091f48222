/* Bytes as a list of Zipkin's spans in JSON, into pieces. */
#include "ingester/door/zipkin_json.h"
#include "tests/fuzz/ingester/door/trace_whole_way.h"

static struct jsonval_doc *doc; /* in which texts lie until the pieces are made */

static struct err *decode(struct trace_builder *b, struct slice body)
{
    return zipkin_json_decode(b, body, &doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    doc = NULL;
    trace_whole_way(decode, slice_of(data, size));
    jsonval_free(doc);
    return 0;
}
