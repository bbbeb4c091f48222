/* What the files of the gRPC server share. */
#pragma once
#include "common/net/grpc_server.h"

/* grpc_health.c: grpc.health.v1.Health/Check. */
void grpc_health_add(struct grpc_server *g);
/* As grpc_server_new() was told. */
bool grpc_server_is_ready(const struct grpc_server *g);
