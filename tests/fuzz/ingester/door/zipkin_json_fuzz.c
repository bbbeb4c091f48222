/* Bytes as a list of Zipkin's spans in JSON, into pieces, which are read again. */
#include "ingester/door/zipkin_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tenant_limits limits = {.max_attribute_bytes = 64, .max_attributes_per_span = 8};
    struct trace_batch *batch = trace_batch_new(SLICE("t"), &limits);
    struct arena *a = arena_new(0);
    struct jsonval_doc *doc;
    struct trace_builder b;
    struct err *e;

    trace_builder_init(&b, batch, a);
    if (!(e = zipkin_json_decode(&b, slice_of(data, size), &doc)) && !(e = trace_builder_end(&b)))
        VEC_FOREACH (t, &batch->traces) {
            struct tracepiece p;

            ORR_ASSERT(!tracepiece_decode(a, slice_of(batch->pieces.ptr + t->at, t->len), &p));
            ORR_ASSERT(p.n_spans == t->n_spans);
        }
    err_free(e);
    jsonval_free(doc);
    trace_builder_done(&b);
    trace_batch_free(batch);
    arena_free(a);
    return 0;
}
