/*
 * Parameters of a request: those of the URL's query and, when the body is
 * application/x-www-form-urlencoded, those of the body; the body's come first, as in Go's
 * Request.Form, so they win.
 *
 * Parsed on first use, into the request's arena. Owner: the request's loop.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

struct http_request;
struct http_param;

/* ERR_INVALID when query or form are malformed; the functions below then see what could be read. */
ORR_CHECKED struct err *http_param_check(struct http_request *r);
/* The first value, or ptr NULL if there is none. */
struct slice http_param(struct http_request *r, const char *name);
bool http_param_has(struct http_request *r, const char *name);
/* All of one name: start with *pos = 0, until false. */
bool http_param_next(struct http_request *r, const char *name, size_t *pos, struct slice *ret);
/* All of them, in order; lent. */
const struct http_param *http_param_all(struct http_request *r, size_t *ret_n);
