/*
 * The APIs of rule configurations, for the tenant that asks, served by queriers and by rulers alike. Mimir's, of rules in PromQL,
 * and Loki's, of those in LogQL:
 *
 *     /prometheus/config/v1/rules, /config/v1/rules        /loki/api/v1/rules, /api/prom/rules
 *
 *     GET     …                       its groups by namespace, as YAML         404 no rule groups found
 *     GET     …/{namespace}           those of one                             the same
 *     GET     …/{namespace}/{group}   one                                      404 group does not exist
 *     POST    …/{namespace}           a group, as YAML: new, or in the place   202, 400
 *                                     of the one of its name
 *     DELETE  …/{namespace}/{group}                                            202, 404 group does not exist
 *     DELETE  …/{namespace}                                                    202, 404 group namespace does not exist
 *
 * A namespace is an object in the bucket, or a rule file; what is in files is told, and changes there (409). Rulers do it (RPC
 * "ruler.config" and "ruler.change", common/model/metrics_rpc.h): the one that owns the tenant's name on their ring, so that one makes all
 * changes, and the next one when it cannot be reached. A change that was answered is in the bucket, and told by every later GET.
 *
 * Handlers run on the request's loop.
 */
#pragma once
#include "common/process/process.h"

/* Once a process, before its HTTP server listens. */
void rules_config_routes(struct process *p);
