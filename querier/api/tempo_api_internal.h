/* What the files of Tempo's API share. */
#pragma once
#include "querier/api/tempo_api.h"
#include "querier/traces/tracescan.h"

#define TEMPO_RANGES 16 /* of ids, in which a scan is cut */

struct tempo_api {
    struct tempo_api_opts opts;
};

struct tempo_range {
    int64_t start_ns, end_ns; /* end is exclusive */
};
/* Whenever it was: clients may send times that are negative here. */
#define TEMPO_ALL_TIMES ((struct tempo_range){INT64_MIN, INT64_MAX})

struct tempo_route {
    const char *pattern,
        *prefixed; /* GET; prefixed: the same below the API's own prefix, or NULL */
    void (*handler)(struct http_request *r);
};
void tempo_api_add_routes(struct tempo_api *api, struct http_server *server,
                          const struct tempo_route *routes, size_t n,
                          void (*reply_err)(struct http_request *r, struct err *e));

/* Checks the parameters as a whole and gives the tenant; false: answered with an error. */
bool tempo_api_begin(struct http_request *r, struct slice *ret_tenant);
/* Answers with e if it is one; takes it. */
bool tempo_api_failed(struct http_request *r, struct err *e);
/* start and end; neither: the last hour. */
ORR_CHECKED struct err *tempo_api_range(struct http_request *r, struct tempo_range *ret);
/* "1.5s"; absent: 0. */
ORR_CHECKED struct err *tempo_api_duration(struct http_request *r, const char *name,
                                           int64_t *ret_ns);
/* A count that is not negative. */
ORR_CHECKED struct err *tempo_api_count(struct http_request *r, const char *name, uint32_t def,
                                        uint32_t max, uint32_t *ret);
/* params: in the request's arena. */
void tempo_api_task(struct http_request *r, struct slice tenant, prom_work_fn *work, void *params);
/* On the worker: a scan over the range. *source is what it points to. */
ORR_CHECKED struct err *tempo_api_scan(const struct tempo_api *api, struct prom_task *t,
                                       struct tempo_range range, struct tracesource *source,
                                       struct tracescan_opts *ret);

/* The TraceQL that the legacy parameters tags, minDuration and maxDuration stand for. ERR_INVALID. */
ORR_CHECKED struct err *tempo_tags_query(struct arena *a, struct slice tags, struct slice *ret);

/* Handlers. */
void tempo_trace(struct http_request *r); /* both versions */
void tempo_trace_v2(struct http_request *r);
void tempo_search(struct http_request *r);
void tempo_tags(struct http_request *r);
void tempo_tags_v2(struct http_request *r);
void tempo_values(struct http_request *r);
void tempo_values_v2(struct http_request *r);
void tempo_metrics_range(struct http_request *r);
void tempo_metrics_instant(struct http_request *r);
