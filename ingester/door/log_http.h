/*
 * Logs over HTTP:
 *
 *   POST /loki/api/v1/push, /api/prom/push       204                            log_request.h
 *   POST /otlp/v1/logs, /v1/logs                 200 ExportLogsServiceResponse, partial_success
 *   POST /insert/jsonline, /loki/api/v1/raw      204; ?_stream_fields=a,b &_time_field=t  json_lines.h
 *   POST /api/v1/events                         204; one event, or a list       event_json.h
 *   POST /gelf                                   202; one message, gzip and zlib, too        gelf.h
 *   POST /_bulk, /elasticsearch/[{index}/]_bulk  200 with a result per document   elastic_bulk.h
 *        ?_stream_fields as above
 *
 * and what shippers of Elasticsearch ask before they send (common/process/elastic_page.h).
 *
 *   400  it cannot be read, or some lines were refused (the others are stored; it says which and why)
 *   413, 415, 429, 503 (with Retry-After), 401: as everywhere; 422: no logs are stored here
 *
 * Owner: the request's loop.
 */
#pragma once
#include "common/net/http_server.h"
#include "ingester/door/log_door.h"

/* Adds the routes. Before the server listens; d outlives it. */
void log_http_routes(struct http_server *s, struct log_door *d);
