/*
 * Zipkin's spans, version 2 in protobuf (zipkin.proto3):
 *
 *   ListOfSpans  1 Span*
 *   Span         1 trace id (16 or 8 bytes)  2 parent id  3 id  4 kind  5 name  6 timestamp, fixed64 of us  7 duration, us
 *                8 local Endpoint  9 remote Endpoint  10 Annotation*  11 tags: 1 key 2 value  12 debug  13 shared
 *   Endpoint     1 service name  2 IPv4, 4 bytes  3 IPv6, 16 bytes  4 port
 *   Annotation   1 timestamp, fixed64 of us  2 value
 *
 * A trace id of 64 bits has zeros in front. What becomes of a span: zipkin_span.h. Bounds: arrays and texts may take ZIPKIN_PROTO_FACTOR times
 * the bytes of the request and a mebibyte.
 *
 * Any thread.
 */
#pragma once
#include "ingester/door/trace_builder.h"

#define ZIPKIN_PROTO_BASE_BYTES (1u << 20)
#define ZIPKIN_PROTO_FACTOR 32

/* ERR_INVALID: it cannot be read. ERR_LIMIT. Lends from body. */
ORR_CHECKED struct err *zipkin_proto_decode(struct trace_builder *b, struct slice body);
