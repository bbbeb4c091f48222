/*
 * Loki's HTTP API, the part of it that asks, under /loki/api/v1/:
 *
 *   query, query_range, labels (label), label/{name}/values, series, index/stats, index/volume,
 *   index/volume_range, detected_labels, detected_fields, detected_field/{name}/values, patterns,
 *   format_query, drilldown-limits, tail (loki_tail.h), delete (loki_delete.c), status/buildinfo
 *
 * and /api/v1/events (loki_events.c).
 *
 * and its old one, /api/prom/{query, label, label/{name}/values, series, tail}, whose answers have other forms.
 *
 * GET, and POST with a form. Parameters, answers and messages are Loki's (its docs/reference/loki-http-api);
 * errors are plain text. Not here: index/shards, which only Loki's own query frontend asks.
 *
 * Requests are tasks of the Prometheus API (prom_task.h): the same workers, queue, limits of a tenant on
 * queries under way, and budgets. One tenant a request.
 *
 * What is asked is what ingesters hold and what is in blocks (querier/logs/logremote.h).
 *
 * Queries are read by several threads at once; what is new for a tail, and names, by one.
 *
 * Owner: main makes it after the API whose tasks it uses and frees it when that has been; handlers run on
 * any loop.
 */
#pragma once
#include "common/net/http_server.h"
#include "querier/api/prom_task.h"

struct loki_api;

struct loki_api_opts {
    struct prom_tasks *tasks; /* lent */
    /* Whose threads help with a query's pieces (querier/logs/logquery.h), and how many pieces run at once; NULL: none do. It
     * outlives the tasks. */
    struct job_pool *pool;
    unsigned lanes;
};
struct loki_api *loki_api_new(const struct loki_api_opts *opts);
/* No more polls of tails; done(arg) is called, on any thread, when none is under way. */
void loki_api_drain(struct loki_api *api, loop_fn *done, void *arg);
/* Waits for the polls of tails that are under way, before the tasks are freed. NULL is allowed. */
void loki_api_stop(struct loki_api *api);
/* NULL is allowed. */
void loki_api_free(struct loki_api *api);
/* Before the server listens. */
void loki_api_routes(struct loki_api *api, struct http_server *server);
/* RPC "querier.query_logs" (common/model/metrics_rpc.h), the instant query for rulers. */
void loki_api_rpc(struct loki_api *api, struct rpc_server *server);
