/* Bytes of spans decoded into pieces, which are read again. */
#pragma once
#include "ingester/door/trace_builder.h"

typedef struct err *trace_whole_way_fn(struct trace_builder *b, struct slice body);

/* Decodes under limits that are soon over. */
static inline void trace_whole_way(trace_whole_way_fn *decode, struct slice body)
{
    struct tenant_limits limits = {.max_attribute_bytes = 64, .max_attributes_per_span = 8};
    struct trace_batch *batch = trace_batch_new(SLICE("t"), &limits);
    struct arena *a = arena_new(0);
    struct trace_builder b;
    struct err *e;

    trace_builder_init(&b, batch, a);
    if (!(e = decode(&b, body)) && !(e = trace_builder_end(&b)))
        VEC_FOREACH (t, &batch->traces) {
            struct tracepiece p;

            ORR_ASSERT(!tracepiece_decode(a, slice_of(batch->pieces.ptr + t->at, t->len), &p));
            ORR_ASSERT(p.n_spans == t->n_spans);
        }
    err_free(e);
    trace_builder_done(&b);
    trace_batch_free(batch);
    arena_free(a);
}
