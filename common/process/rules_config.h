/*
 * Loki's API of rule configurations, for the tenant that asks, served by queriers and by rulers alike:
 *
 *   GET /loki/api/v1/rules                       its groups of LogQL rules by namespace, as YAML
 *   GET /loki/api/v1/rules/{namespace}           those of one
 *   GET /loki/api/v1/rules/{namespace}/{group}   one
 *
 * and under /api/prom/rules the same. A namespace is a rule file. Each ruler has all files, so one is asked (RPC
 * "ruler.config", common/model/metrics_rpc.h), and the next when it does not answer.
 *
 * POST and DELETE are 501: rules are files of the rulers', and change there.
 *
 * Handlers run on the request's loop.
 */
#pragma once
#include "common/process/process.h"

/* Once a process, before its HTTP server listens. */
void rules_config_routes(struct process *p);
