/* What the files of Loki's API share. */
#pragma once
#include "querier/api/loki_api.h"
#include "querier/api/loki_param.h"
#include "querier/api/loki_tail.h"
#include "querier/logs/logquery.h"
#include "querier/logs/logremote.h"

struct loki_api {
    struct prom_tasks *tasks;
    struct engine *engine; /* of metric queries */
    struct job_pool *pool;
    unsigned lanes;
    struct turns *turns; /* of queries over lines among themselves */
    struct loki_tails *tails;
};

/* Checks the parameters as a whole and gives the tenant; false: answered with an error. */
bool loki_api_begin(struct http_request *r, struct slice *ret_tenant);
/* Answers with e if it is one; takes it. */
bool loki_api_failed(struct http_request *r, struct err *e);
/* start, end and since; def_since_ns: how long before the end it starts if nothing else is said. */
ORR_CHECKED struct err *loki_api_range(struct http_request *r, int64_t def_since_ns,
                                       struct logremote_range *ret);
/* The encoding flag categorize-labels is set. */
bool loki_api_categorizes(const struct http_request *r);
/* A raw task with Loki's statuses. params: in the request's arena. */
void loki_api_task(struct http_request *r, struct slice tenant, prom_work_fn *work, void *params);

/* On a worker: the tenant's limits on a range, then the source over ingesters and blocks. */
ORR_CHECKED struct err *loki_api_source(struct prom_task *t, struct logremote_range range,
                                        struct logremote *ret);

/* The end of an answer that is an object: what the store warns of, and the brace. */
void loki_api_end(struct prom_task *t);
/* A query over the range, with what the task's limits say of one that yields lines; read by several threads. */
struct logquery loki_api_query(const struct loki_api *api, const struct prom_task *t,
                               struct logremote_range range);
/* NULL: the task is within its memory. */
ORR_CHECKED struct err *loki_api_memory(const struct prom_task *t);
typedef struct err *loki_streams_fn(void *arg, const struct logremote_stream *s);
/* fn for every stream of the range (logremote_streams()), until it gives an error. */
ORR_CHECKED struct err *loki_api_streams(struct logremote *remote, struct matchers ms,
                                         struct logremote_range range, bool wants_volume,
                                         loki_streams_fn *fn, void *arg);

/* One event as /api/v1/events has it. */
void loki_events_put(struct buf *out, const struct logquery_stream *s,
                     const struct logquery_line *line);

/* Handlers. */
void loki_query_instant(struct http_request *r);
void loki_query_range(struct http_request *r);
void loki_query_format(struct http_request *r);
void loki_query_old(struct http_request *r);
void loki_query_call(void *arg, struct rpc_call *call); /* RPC; arg is the loki_api */
void loki_labels_names(struct http_request *r);         /* names, or values if the path names one */
void loki_labels_series(struct http_request *r);
void loki_labels_old(struct http_request *r); /* likewise */
void loki_index_stats(struct http_request *r);
void loki_volume_instant(struct http_request *r);
void loki_volume_range(struct http_request *r);
void loki_volume_shards(struct http_request *r);
void loki_detect_labels(struct http_request *r);
void loki_detect_fields(struct http_request *r);
void loki_detect_values(struct http_request *r);
void loki_patterns(struct http_request *r);
void loki_tail(struct http_request *r);
void loki_events(struct http_request *r);
void loki_limits(struct http_request *r);
void loki_delete_add(struct http_request *r);
void loki_delete_list(struct http_request *r);
void loki_delete_cancel(struct http_request *r);
