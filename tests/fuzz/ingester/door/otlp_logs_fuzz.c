/* Bytes as an export request of OpenTelemetry logs, in JSON and in protobuf, the whole way into a
 * batch and back. */
#include "ingester/door/otlp_logs.h"
#include "tests/fuzz/ingester/door/log_whole_way.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    struct slice body;
    struct jsonval_doc *docs[4]; /* texts lie there until the batch is gone */
    size_t n;
    bool is_json;
};

static struct err *decode(struct log_builder *b, const void *arg)
{
    struct input *in = (struct input *)(uintptr_t)arg;

    return in->is_json ? otlp_logs_decode_json(b, in->body, &in->docs[in->n++])
                       : otlp_logs_decode_proto(b, in->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.body = slice_of(data, size), .is_json = true};

    log_whole_way(decode, &in);
    in.is_json = false;
    log_whole_way(decode, &in);
    for (size_t i = 0; i < in.n; i++)
        jsonval_free(in.docs[i]);
    return 0;
}
