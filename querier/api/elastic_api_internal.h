/* What the files of Elasticsearch's API share. */
#pragma once
#include "common/net/http.h"
#include "querier/api/elastic_api.h"
#include "querier/logs/logremote.h"
#include "querier/logs/logsearch.h"

#define ELASTIC_MAX_SEARCHES 100 /* of one _msearch */
#define ELASTIC_MAX_NAMES 1000   /* of indices, in one request */
#define ELASTIC_SAMPLE 1000      /* lines that _mapping looks at */

struct elastic_api {
    struct prom_tasks *tasks;
};

enum elastic_kind { ELASTIC_SEARCH, ELASTIC_COUNT };
/* One search; texts live as long as the request. */
struct elastic_search {
    enum elastic_kind kind;
    struct slice index, body;
    const struct http_param *params; /* of the URL; NULL: none */
    size_t n_params;
    bool ignores_unavailable;
    bool has_typed_keys, has_int_total;
};

/* Handlers. */
void elastic_search(struct http_request *r);
void elastic_count(struct http_request *r);
void elastic_msearch(struct http_request *r);
void elastic_mapping(struct http_request *r);
void elastic_field_caps(struct http_request *r);
void elastic_cat_indices(struct http_request *r);
void elastic_resolve(struct http_request *r);

/* Checks the request and gives the tenant; false: answered with an error. */
bool elastic_api_begin(struct http_request *r, struct slice *ret_tenant);
void elastic_api_task(struct http_request *r, struct slice tenant, prom_work_fn *work,
                      void *params);
/* The path's {index}; empty: all. */
struct slice elastic_api_index(struct http_request *r);

/* ---- on a worker ---- */

void elastic_api_remote(struct prom_task *t, struct logremote *ret);
/* Names of an {index}. */
struct elastic_names {
    struct slice include[ELASTIC_MAX_NAMES], exclude[ELASTIC_MAX_NAMES];
    size_t n_include, n_exclude; /* no include: all */
};
ORR_CHECKED struct err *elastic_names_parse(struct arena *a, struct slice text,
                                            struct elastic_names *ret);
/* "a" or ["a","b"] in JSON, as the text of an {index}, in the arena. */
struct slice elastic_names_join(struct arena *a, struct jsonval v);
bool elastic_names_have(const struct elastic_names *n, struct slice index);
/* As a query, over q. */
ORR_CHECKED struct err *elastic_names_query(struct esquery_parser *p, const struct elastic_names *n,
                                            struct esquery **q);
/* As long a time as a query may have, until now. */
struct logremote_range elastic_api_recent(const struct prom_task *t);
