/*
 * Zipkin's HTTP API (version 2), the part of it that asks, for its UI and Grafana's data source; under / and /zipkin/:
 *
 *   GET api/v2/services             names
 *       api/v2/spans                serviceName: names of its spans
 *       api/v2/remoteServices       serviceName: whom it calls
 *       api/v2/traces               serviceName, remoteServiceName, spanName ("all": any), annotationQuery ("error and http.path=/cart"),
 *                                   minDuration, maxDuration (microseconds), endTs, lookback (milliseconds; 24 h), limit (10)
 *       api/v2/trace/{id}           404
 *       api/v2/traceMany            traceIds=…,…
 *       api/v2/dependencies         endTs, lookback: calls between services (querier/traces/tracedeps.h)
 *       api/v2/autocompleteKeys     names of spans' attributes
 *       api/v2/autocompleteValues   key
 *
 * All conditions are about one span (tagquery.h). Traces come in the order of their ids; the limit keeps the newest. Names are as they were sent, not
 * in small letters. Where nothing says when: names of the last 72 h, those of spans, and who is called, of 24 h. Errors are plain text.
 *
 * Owner: as Tempo's (tempo_api.h), whose object and tasks it uses.
 */
#pragma once
#include "querier/api/tempo_api.h"

/* Before the server listens. */
void zipkin_api_routes(struct tempo_api *api, struct http_server *server);
