/*
 * Elasticsearch's API, the part of it that asks for documents, below /elasticsearch:
 *
 *   [{index}/]_search, _count        GET, POST; a body as querier/search/esbody.h has it, q= and its like in the URL
 *   [{index}/]_msearch               pairs of lines, a header and a body
 *   [{index}/]_mapping, _field_caps  the fields of the newest lines, and labels
 *   _cat/indices[/{index}], _resolve/index/{name}
 *                                    indices that have lines
 *
 * {index}: names, with *, parted by commas, - in front leaves out; _all. An index is the label of that name, which _bulk makes; streams without it
 * are the index "unindexed". A name without * that has no lines is 404, unless ignore_unavailable.
 *
 * Answers are whole, or an error in Elasticsearch's form: _shards.failed is always 0, timed_out always false. Without a lower bound on
 * @timestamp all lines are looked at; where there are older ones than limits.max-query-length reaches, that is an error.
 * size + from are at most limits.max-entries-limit-per-query.
 *
 * Requests are tasks of the Prometheus API (prom_task.h), as Loki's are. One tenant a request.
 * Owner: as loki_api.h.
 */
#pragma once
#include "common/net/http_server.h"
#include "querier/api/prom_task.h"

struct elastic_api;

struct elastic_api *elastic_api_new(struct prom_tasks *tasks); /* lent */
void elastic_api_free(struct elastic_api *api);                /* NULL is allowed */
/* Before the server listens. */
void elastic_api_routes(struct elastic_api *api, struct http_server *server);
