/*
 * OpenTelemetry metrics over HTTP (OTLP/HTTP):
 *
 *   POST /otlp/v1/metrics, /api/v1/otlp/v1/metrics, /v1/metrics     X-Scope-OrgID (see auth.h)
 *
 *   Content-Type       application/x-protobuf or application/json
 *   Content-Encoding   gzip, deflate, zstd, snappy; none
 *
 *   200  ExportMetricsServiceResponse; partial_success when limits refused some points, or they cannot be translated
 *   400  it cannot be read, has another content type, or nothing of it could be stored
 *   500  a metric's temporality is not taken, and nothing was stored (as Prometheus answers)
 *   413  too large: JSON already beyond 16 MiB (otlp_json.h), or of more labels than fit a write
 *   429, 503 (with Retry-After: try again), 401: as everywhere
 *
 * Every answer is in the request's encoding; errors are a google.rpc.Status.
 *
 * Owner: the request's loop.
 */
#pragma once
#include "common/net/http_server.h"
#include "ingester/door/otlp_door.h"

/* Adds the routes. Before the server listens; o outlives it. */
void otlp_http_routes(struct http_server *s, struct otlp_door *o);
