/*
 * Jaeger's spans in protobuf (model.proto, collector.proto of its api_v2):
 *
 *   PostSpansRequest  1 Batch             Batch      1 Span*  2 Process
 *   Span              1 trace id (16 bytes, or 8)  2 span id  3 operation name  4 SpanRef*  5 flags  6 start, Timestamp  7 Duration
 *                     8 tags, KeyValue*  9 Log*  10 Process, instead of the batch's  11 process id  12 warnings, text*
 *   KeyValue          1 key  2 type (0 text, 1 bool, 2 int64, 3 float64, 4 bytes)  3 text  4 bool  5 int64  6 float64  7 bytes
 *   Log               1 Timestamp  2 fields, KeyValue*
 *   SpanRef           1 trace id  2 span id  3 type (0 CHILD_OF, 1 FOLLOWS_FROM)
 *   Process           1 service name  2 tags, KeyValue*
 *   Timestamp, Duration  1 seconds  2 ns
 *
 * What becomes of a span: jaeger_span.h. Bounds: arrays may take JAEGER_PROTO_FACTOR times the bytes of the request and a mebibyte.
 *
 * Any thread.
 */
#pragma once
#include "ingester/door/trace_builder.h"

#define JAEGER_PROTO_BASE_BYTES (1u << 20)
#define JAEGER_PROTO_FACTOR 32

/* A PostSpansRequest. ERR_INVALID: it cannot be read. ERR_LIMIT. Lends from body. */
ORR_CHECKED struct err *jaeger_proto_decode(struct trace_builder *b, struct slice body);
