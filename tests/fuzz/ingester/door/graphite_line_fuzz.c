/* Graphite lines all the way into a push. */
#include "ingester/door/graphite_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tenant_limits limits = {.generation = 1};
    struct push *p = push_new(SLICE("t"), &limits);
    struct fp_cache known;
    struct push_builder b;

    fp_cache_init(&known, 1 << 20);
    buf_append(&p->body, data, size);
    push_builder_init(&b, p, &known, 1700000000000);
    err_free(graphite_write_decode(&b, NULL));
    push_free(p);
    fp_cache_done(&known);
    return 0;
}
