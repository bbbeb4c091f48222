/* What the files of Jaeger's API share. */
#pragma once
#include "querier/api/jaeger_api.h"
#include "querier/api/trace_param.h"

/* Answers with e if it is one, which it takes, else with what work writes. params: in the request's arena. */
void jaeger_api_answer(struct http_request *r, struct err *e, prom_work_fn *work, void *params);
/* start and end; without start lookback before the end, else def_ns. */
ORR_CHECKED struct err *jaeger_api_range(struct http_request *r, int64_t def_ns,
                                         struct tempo_range *ret);
/* Around data. */
void jaeger_api_open(struct buf *out);
void jaeger_api_end(struct buf *out, uint64_t total);

/* Handlers. */
void jaeger_traces(struct http_request *r);
void jaeger_trace(struct http_request *r);
