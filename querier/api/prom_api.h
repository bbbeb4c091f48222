/*
 * Prometheus' HTTP API, at /api/v1 and /prometheus/api/v1:
 *
 *   GET, POST  query, query_range, series, labels, query_exemplars, format_query
 *   GET        label/{name}/values, metadata, status/buildinfo
 *   GET        rules, alerts: 422, they are the ruler's
 *
 * and the same instant query for other processes: RPC "querier.query" (metrics_rpc.h).
 *
 * Parameters, statuses and JSON are Prometheus' (docs/querying/api.md there). Tenants: one, from
 * auth.h; joined ones ("a|b") are refused with 400.
 *
 * Owner: main makes and frees it; handlers run on any loop, work on the tasks' workers.
 */
#pragma once
#include "common/net/http_server.h"
#include "querier/api/prom_task.h"

struct prom_api;

struct prom_api *prom_api_new(const struct prom_tasks_opts *opts);
/* See prom_tasks_drain() and prom_tasks_cancel(). */
void prom_api_drain(struct prom_api *api, loop_fn *done, void *arg);
void prom_api_cancel(struct prom_api *api);
void prom_api_free(struct prom_api *api); /* before the loops end; NULL is allowed */
/* Before the server listens, before the RPC server starts. */
/* has_ruler: a ruler of the same process serves /api/v1/rules and /api/v1/alerts. */
void prom_api_routes(struct prom_api *api, struct http_server *server, bool has_ruler);
void prom_api_rpc(struct prom_api *api, struct rpc_server *server);
