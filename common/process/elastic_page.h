/*
 * What clients of Elasticsearch ask before they send or search, below /elasticsearch: its root, _license, _xpack, _nodes,
 * _cluster/health, _cat/health; templates, policies and pipelines are "there" and may be put: they change nothing. Served by
 * whoever takes _bulk or answers _search; once a server. And how all of these say what is wrong:
 *
 *     {"error":{"root_cause":[{"type":"parsing_exception","reason":"…"}],"type":…,"reason":…},"status":400}
 *
 * Handlers run on the request's loop.
 */
#pragma once
#include "common/net/http_server.h"

/* Before the server listens. */
void elastic_page_routes(struct http_server *s);
/* That it is Elasticsearch which answers: clients look for it. Before the reply. */
void elastic_page_header(struct http_request *r);
/* Replies; takes e. */
void elastic_page_error(struct http_request *r, struct err *e);
/* The same as text; returns the status; takes e. */
int elastic_page_error_text(struct buf *out, struct err *e);
