/*
 * Statuses of gRPC and how our errors map to them. Pure; any thread.
 *
 * OTLP's SDKs send again on CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE and
 * DATA_LOSS; on RESOURCE_EXHAUSTED only if RetryInfo says when (grpc_server.h): so ERR_RATE is tried
 * again, and ERR_LIMIT and ERR_TOO_LARGE, which would fail again, are not.
 */
#pragma once
#include "common/base/err.h"

#define GRPC_STATUSES(X)                                                                           \
    X(GRPC_OK, "OK", 0)                                                                            \
    X(GRPC_CANCELLED, "CANCELLED", 1)                                                              \
    X(GRPC_UNKNOWN, "UNKNOWN", 2)                                                                  \
    X(GRPC_INVALID_ARGUMENT, "INVALID_ARGUMENT", 3)                                                \
    X(GRPC_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", 4)                                              \
    X(GRPC_NOT_FOUND, "NOT_FOUND", 5)                                                              \
    X(GRPC_ALREADY_EXISTS, "ALREADY_EXISTS", 6)                                                    \
    X(GRPC_PERMISSION_DENIED, "PERMISSION_DENIED", 7)                                              \
    X(GRPC_RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", 8)                                            \
    X(GRPC_FAILED_PRECONDITION, "FAILED_PRECONDITION", 9)                                          \
    X(GRPC_ABORTED, "ABORTED", 10)                                                                 \
    X(GRPC_OUT_OF_RANGE, "OUT_OF_RANGE", 11)                                                       \
    X(GRPC_UNIMPLEMENTED, "UNIMPLEMENTED", 12)                                                     \
    X(GRPC_INTERNAL, "INTERNAL", 13)                                                               \
    X(GRPC_UNAVAILABLE, "UNAVAILABLE", 14)                                                         \
    X(GRPC_DATA_LOSS, "DATA_LOSS", 15)                                                             \
    X(GRPC_UNAUTHENTICATED, "UNAUTHENTICATED", 16)
enum grpc_status {
#define X(sym, name, num) sym = num,
    GRPC_STATUSES(X)
#undef X
        GRPC_STATUS_COUNT
};

const char *grpc_status_name(enum grpc_status s);
enum grpc_status grpc_status_of(enum err_code code);
/* May the client send the same again? Then the reply says RetryInfo. */
bool grpc_status_is_retried(enum err_code code);
