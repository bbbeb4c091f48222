/* Bytes as log lines whose level is looked for. */
#include "ingester/door/line_level.h"
#include "ingester/door/log_labels.h"
#include "tests/fuzz/ingester/door/log_whole_way.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct err *decode(struct log_builder *b, const void *arg)
{
    const struct slice *s = arg;
    struct label l = {SLICE("a"), SLICE("b")};
    struct log_builder_at at = log_builder_stream(b, (struct labels){&l, 1});
    struct labels ls;

    /* The same bytes as labels, too. */
    err_free(log_labels_parse(log_builder_arena(b), *s, &ls));
    return log_builder_entry(b, &at, &(struct log_in){.line = *s});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = slice_of(data, size);

    log_whole_way(decode, &s);
    return 0;
}
