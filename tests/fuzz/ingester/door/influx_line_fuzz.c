/* Influx lines all the way into a push. The first byte chooses the unit of time. */
#include "ingester/door/influx_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t units[] = {1, 1000, 1000000, 1000000000};
    struct tenant_limits limits = {.generation = 1};
    struct push *p;
    struct fp_cache known;
    struct push_builder b;

    if (size == 0)
        return 0;
    p = push_new(SLICE("t"), &limits);
    fp_cache_init(&known, 1 << 20);
    buf_append(&p->body, data + 1, size - 1);
    push_builder_init(&b, p, &known, 1700000000000);
    err_free(influx_write_decode(&b, &(struct influx_write){.unit_ns = units[data[0] & 3]}));
    push_free(p);
    fp_cache_done(&known);
    return 0;
}
