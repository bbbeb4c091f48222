/* Bytes as an export request of OpenTelemetry traces, in JSON and in protobuf, the whole way into a batch; what is in it is
 * read as a replica reads it. */
#include "ingester/door/otlp_traces.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_back(struct arena *a, const struct trace_batch *batch)
{
    struct trace_batch_reader r;
    struct trace_batch_item item;
    struct buf out = {0};
    uint64_t spans = 0;

    trace_batch_encode(batch, NULL, batch->traces.len, &out);
    trace_batch_reader_init(&r, buf_slice(&out));
    while (trace_batch_next(&r, &item)) {
        struct tracepiece p;

        ORR_ASSERT(!tracepiece_decode(a, item.piece, &p));
        spans += p.n_spans;
    }
    ORR_ASSERT(!trace_batch_reader_end(&r) && spans == batch->spans);
    buf_done(&out);
}

static void whole_way(struct slice body, bool is_json)
{
    struct tenant_limits limits = {.max_attribute_bytes = 32,
                                   .max_attributes_per_span = 8,
                                   .max_events_per_span = 2,
                                   .max_span_bytes = 1000};
    struct trace_batch *batch = trace_batch_new(SLICE("t"), &limits);
    struct arena *a = arena_new(0);
    struct jsonval_doc *doc = NULL;
    struct trace_builder b;
    struct err *e;

    trace_builder_init(&b, batch, a);
    e = is_json ? otlp_traces_decode_json(&b, body, &doc) : otlp_traces_decode_proto(&b, body);
    if (!e && !(e = trace_builder_end(&b)))
        read_back(a, batch);
    err_free(e);
    err_free(trace_builder_answer(&b));
    trace_builder_done(&b);
    jsonval_free(doc);
    trace_batch_free(batch);
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    whole_way(slice_of(data, size), true);
    whole_way(slice_of(data, size), false);
    return 0;
}
