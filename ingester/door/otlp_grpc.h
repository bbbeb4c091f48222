/*
 * OpenTelemetry metrics over gRPC (OTLP/gRPC):
 *
 *   opentelemetry.proto.collector.metrics.v1.MetricsService/Export     x-scope-orgid (see auth.h)
 *
 * Unary: ExportMetricsServiceRequest → ExportMetricsServiceResponse, with partial_success when
 * some points were refused. Statuses as in grpc_server.h; a temporality that is not taken is
 * INVALID_ARGUMENT and nothing was stored, too fast is RESOURCE_EXHAUSTED with RetryInfo.
 *
 * Owner: the call's loop.
 */
#pragma once
#include "common/net/grpc_server.h"
#include "ingester/door/otlp_door.h"

/* Before the server listens; o outlives it. */
void otlp_grpc_methods(struct grpc_server *g, struct otlp_door *o);
