/* Graphite lines, and the same bytes as JSON, all the way into a push. */
#include "ingester/door/graphite_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(struct slice body, bool is_json)
{
    struct tenant_limits limits = {.generation = 1};
    struct push *p = push_new(SLICE("t"), &limits);
    struct line_request q = {.arena = p->arena, .body = body};
    uint64_t published, invalid;
    struct fp_cache known;
    struct push_builder b;

    fp_cache_init(&known, 1 << 20);
    push_builder_init(&b, p, &known, 1700000000000);
    err_free(
        graphite_write_decode(&b, &(struct graphite_write){&q, is_json, &published, &invalid}));
    push_free(p);
    fp_cache_done(&known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(slice_of(data, size), false);
    decode(slice_of(data, size), true);
    return 0;
}
