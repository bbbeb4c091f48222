/* The protobuf exposition format all the way into a push. */
#include "ingester/door/expo_import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tenant_limits limits = {.generation = 1, .max_native_histogram_buckets = 1000};
    struct push *p = push_new(SLICE("t"), &limits);
    struct expo_import x = {.q = {.arena = p->arena, .body = slice_of(data, size)},
                            .format = EXPO_PROTOBUF};
    struct fp_cache known;
    struct push_builder b;

    fp_cache_init(&known, 1 << 20);
    push_builder_init(&b, p, &known, 1700000000000);
    err_free(expo_import_decode(&b, &x));
    push_free(p);
    fp_cache_done(&known);
    return 0;
}
