/* Bytes as a stream of syslog messages, cut and read, the whole way into a batch and back. */
#include "ingester/door/message_cut.h"
#include "ingester/door/syslog_line.h"
#include "tests/fuzz/ingester/door/log_whole_way.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct adding {
    struct log_builder *b;
    struct err *e;
};

/* The message is lent, and the batch keeps what lies in its arena. */
static void add(void *arg, struct slice m)
{
    struct adding *a = arg;

    if (!a->e)
        a->e = syslog_line_add(a->b, arena_dup(a->b->batch->arena, m));
}

static struct err *decode(struct log_builder *b, const void *arg)
{
    struct adding a = {b, NULL};
    struct message_cut c;

    message_cut_init(&c, &(struct message_cut_opts){MESSAGE_SYSLOG, 1 << 20, false});
    message_cut_put(&c, *(const struct slice *)arg, add, &a);
    message_cut_end(&c, add, &a);
    message_cut_done(&c);
    return a.e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = slice_of(data, size);

    log_whole_way(decode, &s);
    return 0;
}
