/*
 * Tempo's HTTP API, the part of it that asks, under / and /tempo/:
 *
 *   GET api/traces/{id}                        OTLP: protobuf where Accept says application/protobuf, else JSON; 404
 *       api/v2/traces/{id}                     the same as {"trace":…}, and what made it incomplete
 *       api/search                             q (TraceQL), or tags (logfmt), minDuration, maxDuration; start, end, limit, spss
 *       api/search/tags, api/v2/search/tags    names of attributes; scope, limit, maxStaleValues; v2: q (tempo_names.h)
 *       api/search/tag/{name}/values, api/v2/search/tag/{name}/values; limit, maxStaleValues; v2: q
 *       api/metrics/query_range                q (TraceQL metrics), start, end, since, step, exemplars
 *       api/metrics/query                      the same as one point
 *       api/echo, api/status/buildinfo
 *
 * Times are Unix seconds, nanoseconds or RFC 3339; without start and end the last hour is asked, and of a trace by its id all that there is. Errors are plain
 * text.
 * Not here: streaming search over gRPC.
 *
 * Requests are tasks of the Prometheus API (prom_task.h): the same workers, queue, limits of a tenant on
 * queries under way, and budgets. One tenant a request.
 *
 * Owner: main makes it after the API whose tasks it uses and frees it when that has been; handlers run on any loop.
 */
#pragma once
#include "common/net/http_server.h"
#include "querier/api/prom_task.h"
#include "querier/traces/tracesource.h"

struct tempo_api;

struct tempo_api_opts {
    struct prom_tasks *tasks; /* lent */
    /* On a worker: where the tenant's traces of the range are. *ret is good, and what it needs in the task's arena, until the task
     * ends. */
    struct err *(*open)(void *arg, struct prom_task *t, int64_t start_ns, int64_t end_ns,
                        struct tracesource *ret);
    void *arg;
};
struct tempo_api *tempo_api_new(const struct tempo_api_opts *opts);
void tempo_api_free(struct tempo_api *api); /* NULL is allowed */
/* Before the server listens. */
void tempo_api_routes(struct tempo_api *api, struct http_server *server);
