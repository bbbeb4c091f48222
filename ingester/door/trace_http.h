/*
 * Traces over HTTP:
 *
 *   POST /v1/traces, /otlp/v1/traces   200 ExportTraceServiceResponse, partial_success      otlp_traces.h
 *
 *   POST /api/v2/spans                 202; Zipkin's in JSON, or protobuf by Content-Type    zipkin_json.h, zipkin_proto.h
 *   POST /api/traces                   202; Jaeger's in Thrift, binary protocol              jaeger_thrift.h
 *
 * The last two also below /zipkin and /jaeger, where their queries are (querier/api).
 *
 * Content-Encoding: none, gzip, deflate, zstd, snappy.
 *
 *   400  it cannot be read, or no span of it is one
 *   413, 415, 429, 503 (with Retry-After), 401: as everywhere; 500: no traces are stored here
 *
 * Owner: the request's loop.
 */
#pragma once
#include "common/net/http_server.h"
#include "ingester/door/trace_door.h"

/* Adds the routes. Before the server listens; d outlives it. */
void trace_http_routes(struct http_server *s, struct trace_door *d);
