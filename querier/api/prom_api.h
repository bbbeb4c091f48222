/*
 * Prometheus' HTTP API and the parts of Mimir's that are about queries, under "" and /prometheus:
 *
 *   /api/v1/  query, query_range, query_exemplars, format_query, parse_query, series, labels,
 *             label/{name}/values, metadata, read; status/{buildinfo,config,flags,runtimeinfo,
 *             walreplay,tsdb,tsdb/blocks}, features, targets, targets/metadata, scrape_pools,
 *             alertmanagers, notifications; cardinality/{label_names,label_values,active_series,
 *             active_native_histogram_metrics}, user_limits, user_stats;
 *             admin/tsdb/{delete_series,clean_tombstones,tombstones}
 *   /federate
 *
 * (rules and alerts: common/process/rules_page.h) and the same instant query for other processes, RPC
 * "querier.query", and news of deletions, "querier.tombstones" (metrics_rpc.h).
 *
 * Parameters, statuses and JSON are Prometheus' (docs/querying/api.md there). Tenants: from auth.h;
 * joined ones ("a|b") where opts.max_tenants lets them, on what reads samples.
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
/* Lent: other APIs' requests are tasks, too. */
struct prom_tasks *prom_api_tasks(struct prom_api *api);
void prom_api_free(struct prom_api *api); /* before the loops end; NULL is allowed */
/* Before the server listens, before the RPC server starts. */
void prom_api_routes(struct prom_api *api, struct http_server *server);
void prom_api_rpc(struct prom_api *api, struct rpc_server *server);
