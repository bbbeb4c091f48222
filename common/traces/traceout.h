/*
 * A trace as OTLP has it, for whoever asks: opentelemetry.proto.trace.v1 in protobuf, or in JSON as protobuf's JSON mapping has it
 * (ids and bytes in base64, 64-bit integers as texts, kinds and codes by name, what is empty or 0 left out). That is how
 * Tempo answers.
 *
 *   TracesData { repeated ResourceSpans resource_spans = 1; }
 *
 * Spans are put together by resource and scope. Any thread.
 */
#pragma once
#include "common/traces/tracepiece.h"

/* Appends the ResourceSpans as fields number 1. */
void traceout_proto(struct buf *out, const struct tracepiece *p);
/* Appends a list of ResourceSpans. */
void traceout_json(struct buf *out, const struct tracepiece *p);
/* An AnyValue in JSON. */
void traceout_json_value(struct buf *out, const struct otlp_value *v);
