/* What the files of Jaeger's API share. */
#pragma once
#include "querier/api/jaeger_api.h"
#include "querier/api/trace_ask.h"

/* Answers with e if it is one; takes it. */
bool jaeger_api_failed(struct http_request *r, struct err *e);
/* False: answered with an error. */
bool jaeger_api_begin(struct http_request *r, struct slice *ret_tenant);
/* params: in the request's arena. */
void jaeger_api_task(struct http_request *r, struct slice tenant, prom_work_fn *work, void *params);
/* start and end; without start lookback before the end, else def_ns. */
ORR_CHECKED struct err *jaeger_api_range(struct http_request *r, int64_t def_ns,
                                         struct tempo_range *ret);
/* Around data. */
void jaeger_api_open(struct buf *out);
void jaeger_api_end(struct buf *out, uint64_t total);

/* Handlers. */
void jaeger_traces(struct http_request *r);
void jaeger_trace(struct http_request *r);
