/* What the files of the API share: the handlers, and how they begin. */
#pragma once
#include "common/lang/promql.h"
#include "querier/api/prom_api.h"
#include "querier/api/prom_param.h"

struct prom_api {
    struct prom_tasks *tasks;
    int64_t started_ms; /* wall */
};

struct prom_api *prom_api_of(struct http_request *r);
/* Checks the parameters as a whole and gives the tenant, or several joined ones where that is on;
 * false: answered with an error. */
bool prom_api_begin(struct http_request *r, struct slice *ret_tenant);
bool prom_api_begin_single(struct http_request *r, struct slice *ret_tenant); /* one only */
ORR_CHECKED struct err *prom_api_tenants(struct http_request *r, struct slice *ret);
ORR_CHECKED struct err *prom_api_single_tenant(struct http_request *r, struct slice *ret);
/* Answers with e if it is one; takes it. */
bool prom_api_failed(struct http_request *r, struct err *e);
/* All values of a parameter, in the request's arena. */
size_t prom_api_values(struct http_request *r, const char *name, struct slice **ret);
/* What this querier takes for PromQL. */
struct promql_options prom_api_syntax(struct http_request *r);
/* {"status":"success","data":…} at once. */
void prom_api_reply(struct http_request *r, struct slice data);

/* "results truncated due to limit", once, among the task's warnings. */
void prom_api_warn_truncated(struct prom_task *t);

/* The value of data that query_exemplars has. */
void prom_extra_exemplars_json(struct buf *out, const struct rpc_exemplars *series, size_t n);

/* Handlers. */
void prom_query_instant(struct http_request *r);
void prom_query_range(struct http_request *r);
void prom_query_format(struct http_request *r);
void prom_query_call(void *arg, struct rpc_call *call); /* RPC; arg is the prom_api */
void prom_labels_names(struct http_request *r);
void prom_labels_values(struct http_request *r);
void prom_labels_series(struct http_request *r);
void prom_extra_metadata(struct http_request *r);
void prom_extra_exemplars(struct http_request *r);
void prom_query_parse(struct http_request *r);
void prom_read(struct http_request *r);
void prom_federate(struct http_request *r);
void prom_cardinality_label_names(struct http_request *r);
void prom_cardinality_label_values(struct http_request *r);
void prom_cardinality_active_series(struct http_request *r);
void prom_cardinality_histograms(struct http_request *r);
void prom_status_buildinfo(struct http_request *r);
void prom_status_config(struct http_request *r);
void prom_status_flags(struct http_request *r);
void prom_status_runtimeinfo(struct http_request *r);
void prom_status_walreplay(struct http_request *r);
void prom_status_tsdb(struct http_request *r);
void prom_status_blocks(struct http_request *r);
void prom_status_features(struct http_request *r);
void prom_status_targets(struct http_request *r);
void prom_status_scrape_pools(struct http_request *r);
void prom_status_alertmanagers(struct http_request *r);
void prom_status_empty_list(struct http_request *r); /* targets/metadata, notifications */
void prom_status_user_limits(struct http_request *r);
void prom_status_user_stats(struct http_request *r);
void prom_delete_series(struct http_request *r);
void prom_delete_list(struct http_request *r);
void prom_delete_clean(struct http_request *r);
