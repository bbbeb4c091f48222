/*
 * Jaeger's query API, for its UI (whose base path is then /jaeger) and for Grafana's data source, under /jaeger/:
 *
 *   GET api/services
 *       api/services/{service}/operations     names
 *       api/operations                        service, spanKind: names and kinds
 *       api/traces                            service, operation, tag=key:value…, tags={"key":"value"}…, minDuration, maxDuration, limit
 *                                             (100), start, end (microseconds), lookback ("2d"); or traceID…
 *       api/traces/{id}
 *       api/dependencies                      endTs, lookback (milliseconds): calls between services (querier/traces/tracedeps.h)
 *
 * {"data": …, "total": n, "limit": 0, "offset": 0, "errors": null}, data null and errors [{code, msg}] with the code as status where it fails.
 * All conditions are about one span (tagquery.h). Traces of a search come in the order of their ids; the limit keeps the newest.
 *
 * Where nothing says when: services of the last 72 h, operations of 24 h, traces and dependencies of 48 h; services and operations take start, end and
 * lookback as traces do.
 * A search without a service is one over all, which Jaeger refuses.
 *
 * Owner: as Tempo's (tempo_api.h), whose object and tasks it uses.
 */
#pragma once
#include "querier/api/tempo_api.h"

/* Before the server listens. */
void jaeger_api_routes(struct tempo_api *api, struct http_server *server);
