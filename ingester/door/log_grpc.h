/*
 * OpenTelemetry logs over gRPC (OTLP/gRPC):
 *
 *   opentelemetry.proto.collector.logs.v1.LogsService/Export     x-scope-orgid (see auth.h)
 *
 * Unary: ExportLogsServiceRequest → ExportLogsServiceResponse, with partial_success when some
 * lines were refused and the others are stored. What cannot be read, or all of which was refused, is
 * INVALID_ARGUMENT; too fast is RESOURCE_EXHAUSTED with RetryInfo; without a store of logs
 * UNIMPLEMENTED; the others as in grpc_server.h.
 *
 * Owner: the call's loop.
 */
#pragma once
#include "common/net/grpc_server.h"
#include "ingester/door/log_door.h"

/* Before the server listens; d outlives it. */
void log_grpc_methods(struct grpc_server *g, struct log_door *d);
