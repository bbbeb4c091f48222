/*
 * OTLP traces over gRPC: opentelemetry.proto.collector.trace.v1.TraceService/Export. Refused spans are a
 * partial success, as in trace_http.h; errors are gRPC's statuses.
 *
 * Owner: the call's loop.
 */
#pragma once
#include "common/net/grpc_server.h"
#include "ingester/door/trace_door.h"

/* Before the server listens; d outlives it. */
void trace_grpc_methods(struct grpc_server *g, struct trace_door *d);
