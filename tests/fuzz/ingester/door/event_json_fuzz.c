/* Text as events, the whole way into a batch and back. */
#include "ingester/door/event_json.h"
#include "tests/fuzz/ingester/door/log_whole_way.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct err *decode(struct log_builder *b, const void *arg)
{
    return event_json_decode(b, *(const struct slice *)arg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = slice_of(data, size);

    log_whole_way(decode, &s);
    return 0;
}
