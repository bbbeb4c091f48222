/*
 * Parameters that Jaeger's and Zipkin's APIs have both. ERR_INVALID: one is not what it should be.
 *
 * Owner: the request's loop.
 */
#pragma once
#include "querier/api/trace_ask.h"

/* A number of so long a unit; absent: def_ns. The error does not say whose it is. */
ORR_CHECKED struct err *trace_param_time(struct slice text, int64_t unit_ns, int64_t def_ns,
                                         int64_t *ret_ns);
/* endTs, or now, and as long before it as lookback says, or else def_ns: both in milliseconds. */
ORR_CHECKED struct err *trace_param_range(struct http_request *r, int64_t def_ns,
                                          struct tempo_range *ret);
/* One more trace that is asked for, in the request's arena. */
ORR_CHECKED struct err *trace_param_id(struct http_request *r, struct slice text,
                                       struct trace_find *f);
