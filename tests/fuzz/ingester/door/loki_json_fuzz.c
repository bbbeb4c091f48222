/* Text as Loki's push in JSON, of both forms, the whole way into a batch and back. */
#include "ingester/door/loki_json.h"
#include "tests/fuzz/ingester/door/log_whole_way.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    struct slice body;
    struct jsonval_doc *docs[4]; /* lines lie there until the batch is gone */
    size_t n;
    bool is_legacy;
};

static struct err *decode(struct log_builder *b, const void *arg)
{
    struct input *in = (struct input *)(uintptr_t)arg;

    return in->is_legacy ? loki_json_decode_legacy(b, in->body, &in->docs[in->n++])
                         : loki_json_decode(b, in->body, &in->docs[in->n++]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.body = slice_of(data, size)};

    log_whole_way(decode, &in);
    in.is_legacy = true;
    log_whole_way(decode, &in);
    for (size_t i = 0; i < in.n; i++)
        jsonval_free(in.docs[i]);
    return 0;
}
