/*
 * Prometheus remote write over HTTP:
 *
 *   POST /api/v1/push, /api/v1/write     X-Scope-OrgID (or what auth.mode says)
 *
 *   Content-Type       application/x-protobuf[;proto=prometheus.WriteRequest]; none: that
 *                      application/x-protobuf;proto=io.prometheus.write.v2.Request
 *   Content-Encoding   snappy (block format); none: that
 *
 *   204  all of it is durable on a quorum
 *   202  all of it came from a replica that is not the elected one of its pair, and was dropped
 *   400  some of it was refused (the text says why and how much) and the rest is durable; or the
 *        body is not what it says it is, and nothing was stored
 *   415  another content type or encoding
 *   413, 422, 429, 503 (with Retry-After: try again), 401: as everywhere
 *
 * Answers to remote write 2.0 say in X-Prometheus-Remote-Write-{Samples,Histograms,Exemplars}-Written
 * what was stored, also those with an error, as soon as the body was read.
 *
 * Owner: the request's loop.
 */
#pragma once
#include "common/net/http_server.h"
#include "ingester/door/door.h"

/* Adds the routes. Before the server listens; d outlives it. */
void remote_write_routes(struct http_server *s, struct door *d);
