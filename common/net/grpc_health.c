#include "common/net/grpc_internal.h"
#include "common/proto/grpc_wire.h"

static void check(struct grpc_call *c)
{
    const struct grpc_server *g = c->arg;
    struct buf reply = {0};
    struct slice service;

    if (!grpc_wire_health_request(c->arena, c->message, &service)) {
        grpc_reply_err(c, err_new(ERR_INVALID, "malformed HealthCheckRequest"));
        return;
    }
    if (service.len && !grpc_server_has_service(g, service)) {
        grpc_reply_err(c, err_new(ERR_NOT_FOUND, "unknown service \"%.*s\"",
                                  (int)ORR_MIN(service.len, (size_t)200), service.ptr));
        return;
    }
    grpc_wire_health_reply(grpc_server_is_ready(g) ? GRPC_HEALTH_SERVING : GRPC_HEALTH_NOT_SERVING,
                           &reply);
    grpc_reply_buf(c, &reply);
}

void grpc_health_add(struct grpc_server *g)
{
    grpc_server_method(g, &(struct grpc_method){.path = "/grpc.health.v1.Health/Check",
                                                .max_message_bytes = GRPC_HEALTH_MAX_BYTES,
                                                .handler = check,
                                                .arg = g});
}
