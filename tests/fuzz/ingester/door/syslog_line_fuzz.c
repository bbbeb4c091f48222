/* Bytes as a stream of syslog messages, cut and read, the whole way into a batch and back. */
#include "ingester/door/syslog_line.h"
#include "tests/fuzz/ingester/door/log_whole_way.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct err *decode(struct log_builder *b, const void *arg)
{
    struct slice rest = *(const struct slice *)arg, m;
    struct err *e = NULL;
    size_t taken = 1;

    while (!e && taken) {
        if (!(e = syslog_line_cut(rest, true, &m, &taken)) && taken)
            e = syslog_line_add(b, m);
        rest = slice_from(rest, taken);
    }
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = slice_of(data, size);

    log_whole_way(decode, &s);
    return 0;
}
