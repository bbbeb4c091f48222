#include "common/net/grpc_status.h"

const char *grpc_status_name(enum grpc_status s)
{
    static const char *const names[] = {
#define X(sym, name, num) [num] = name,
        GRPC_STATUSES(X)
#undef X
    };

    return (size_t)s < ORR_COUNT(names) ? names[s] : "UNKNOWN";
}

enum grpc_status grpc_status_of(enum err_code code)
{
    switch (code) {
    case ERR_INVALID:
    case ERR_MEDIA_TYPE:
        return GRPC_INVALID_ARGUMENT;
    case ERR_LIMIT:
    case ERR_RATE:
    case ERR_TOO_LARGE:
        return GRPC_RESOURCE_EXHAUSTED;
    case ERR_NOT_FOUND:
        return GRPC_NOT_FOUND;
    case ERR_UNAVAILABLE:
    case ERR_IO:
    case ERR_NET:
        return GRPC_UNAVAILABLE;
    case ERR_TIMEOUT:
        return GRPC_DEADLINE_EXCEEDED;
    case ERR_CANCELED:
        return GRPC_CANCELLED;
    case ERR_CONFLICT:
        return GRPC_ABORTED;
    case ERR_UNAUTHORIZED:
        return GRPC_UNAUTHENTICATED;
    case ERR_FORBIDDEN:
        return GRPC_PERMISSION_DENIED;
    case ERR_UNSUPPORTED:
    case ERR_METHOD:
        return GRPC_UNIMPLEMENTED;
    case ERR_EXEC:
        return GRPC_FAILED_PRECONDITION;
    case ERR_INTERNAL:
    case ERR_CORRUPT: /* DATA_LOSS would make OTLP's clients send it again and again */
        return GRPC_INTERNAL;
    }
    return GRPC_UNKNOWN;
}

bool grpc_status_is_retried(enum err_code code)
{
    return code == ERR_RATE || code == ERR_UNAVAILABLE;
}
