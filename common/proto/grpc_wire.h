/*
 * The messages of gRPC itself (grpc.proto): status details and health checks. Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"

#define GRPC_HEALTH_MAX_BYTES 4096

enum grpc_health { GRPC_HEALTH_SERVING = 1, GRPC_HEALTH_NOT_SERVING = 2 };

/* Appends a google.rpc.Status whose one detail is RetryInfo: the client may try again after
 * retry_ms. */
void grpc_wire_retry(int code, struct slice message, int64_t retry_ms, struct buf *out);
/* The service asked for ("" for the whole server), in a. False when the bytes are no
 * HealthCheckRequest of at most GRPC_HEALTH_MAX_BYTES. */
bool grpc_wire_health_request(struct arena *a, struct slice bytes, struct slice *ret_service);
void grpc_wire_health_reply(enum grpc_health status, struct buf *out);
