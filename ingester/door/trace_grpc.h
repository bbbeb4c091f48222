/*
 * Traces over gRPC:
 *
 *   opentelemetry.proto.collector.trace.v1.TraceService/Export   OTLP; refused spans are a partial success, as in trace_http.h
 *   jaeger.api_v2.CollectorService/PostSpans                     Jaeger's collector (jaeger_proto.h); refused spans are INVALID_ARGUMENT
 *
 * Errors are gRPC's statuses.
 *
 * Owner: the call's loop.
 */
#pragma once
#include "common/net/grpc_server.h"
#include "ingester/door/trace_door.h"

/* Before the server listens; d outlives it. */
void trace_grpc_methods(struct grpc_server *g, struct trace_door *d);
