/*
 * Cross-origin requests: browsers let pages of other origins read the API, as Prometheus'
 * --web.cors.origin does. Every answer below /api/v1/ (also behind /prometheus), preflights and errors
 * among them, to a request that tells its Origin says so:
 *
 *   Access-Control-Allow-Headers, -Allow-Methods, -Expose-Headers, Vary: Origin
 *   Access-Control-Allow-Origin: *          when all origins are allowed (".*")
 *   Access-Control-Allow-Origin: ORIGIN     when this one matches; else not at all
 *
 * Built by main, then only read, by all loops.
 */
#pragma once
#include "common/net/http_server.h"

struct process_cors;
/* origin: a regular expression that matches all of an Origin; "": never. ERR_INVALID. */
ORR_CHECKED struct err *process_cors_new(const char *origin, struct process_cors **ret);
void process_cors_free(struct process_cors *c); /* NULL is allowed */
/* http_server_opts.on_begin; arg is the struct process_cors. */
void process_cors_begin(struct http_request *r, void *arg);
