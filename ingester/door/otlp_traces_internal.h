/* What both decoders of OpenTelemetry's traces make of what describes spans. */
#pragma once
#include "ingester/door/otlp_header.h"
#include "ingester/door/otlp_traces.h"

static inline struct tracepiece_attributes otlp_traces_attributes(const struct otlp_header *h)
{
    return (struct tracepiece_attributes){
        .n = (uint32_t)h->n, .dropped = h->dropped, .ptr = h->members};
}

/* Their numbers in the builder. */
static inline uint32_t otlp_traces_resource(struct trace_builder *b, const struct otlp_header *h,
                                            struct slice schema_url)
{
    return trace_builder_resource(
        b, &(struct tracepiece_resource){.schema_url = schema_url,
                                         .attributes = otlp_traces_attributes(h)});
}

static inline uint32_t otlp_traces_scope(struct trace_builder *b, const struct otlp_header *h,
                                         struct slice schema_url)
{
    return trace_builder_scope(b,
                               &(struct tracepiece_scope){.name = h->name,
                                                          .version = h->version,
                                                          .schema_url = schema_url,
                                                          .attributes = otlp_traces_attributes(h)});
}
