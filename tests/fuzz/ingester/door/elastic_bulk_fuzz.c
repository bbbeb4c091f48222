/* Text as a _bulk of Elasticsearch, the whole way into a batch and back, and its answer. */
#include "ingester/door/elastic_bulk.h"
#include "tests/fuzz/ingester/door/log_whole_way.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct err *decode(struct log_builder *b, const void *arg)
{
    struct elastic_bulk bulk = {.lines = {.stream_fields = SLICE("app,host.name,a.b")},
                                .index = SLICE("i")};
    struct buf answer = {0};
    struct err *e = elastic_bulk_decode(b, *(const struct slice *)arg, &bulk);

    elastic_bulk_answer(&answer, &bulk, "x");
    buf_done(&answer);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = slice_of(data, size);

    log_whole_way(decode, &s);
    return 0;
}
