#include "querier/api/elastic_api.h"

#include "common/auth/auth.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/process/elastic_page.h"
#include "querier/api/elastic_api_internal.h"

#define MAX_BODY (16u << 20)
#define DEF_RANGE_NS (30 * 86400 * NS_PER_S)

struct elastic_api *elastic_api_new(struct prom_tasks *tasks)
{
    struct elastic_api *api = mem_new(struct elastic_api);

    api->tasks = tasks;
    return api;
}

void elastic_api_free(struct elastic_api *api)
{
    mem_free(api);
}

/* ---- requests ---- */

bool elastic_api_begin(struct http_request *r, struct slice *ret_tenant)
{
    struct err *e = http_param_check(r);

    if (!e)
        e = auth_single_tenant(r, ret_tenant);
    if (e)
        elastic_page_error(r, e);
    return !e;
}

void elastic_api_task(struct http_request *r, struct slice tenant, prom_work_fn *work, void *params)
{
    struct elastic_api *api = r->arg;

    elastic_page_header(r);
    prom_task_raw_json(api->tasks, r, tenant, work, params, elastic_page_error_text);
}

struct slice elastic_api_index(struct http_request *r)
{
    struct slice index = http_request_segment(r, "index");

    return index.ptr ? index : SLICE_EMPTY;
}

/* ---- on a worker ---- */

void elastic_api_remote(struct prom_task *t, struct logremote *ret)
{
    logremote_init(ret, &(struct logremote_opts){
                            .sq = &t->data.queries[0],
                            .grace_ns = t->limits.creation_grace_period_ns,
                            .max_streams = (uint64_t)t->limits.max_fetched_series_per_query});
}

struct logremote_range elastic_api_recent(const struct prom_task *t)
{
    int64_t now_ns = clock_wall_ms(&clock_system) * NS_PER_MS;
    int64_t length =
        t->limits.max_query_length_ns > 0 ? t->limits.max_query_length_ns : DEF_RANGE_NS;

    return (struct logremote_range){.start_ns = ORR_MAX(now_ns - length, (int64_t)0),
                                    .end_ns =
                                        now_ns + t->limits.creation_grace_period_ns + NS_PER_S};
}

struct err *elastic_names_parse(struct arena *a, struct slice text, struct elastic_names *ret)
{
    struct slice one;

    ret->n_include = ret->n_exclude = 0;
    while (text.len && slice_split(&text, ',', &one)) {
        bool is_out = one.len > 1 && one.ptr[0] == '-' && ret->n_include > 0;
        size_t *n = is_out ? &ret->n_exclude : &ret->n_include;

        if (slice_has_prefix(one, SLICE("<")))
            return err_new(ERR_UNSUPPORTED, "index names with date maths are not supported: [%.*s]",
                           SLICE_ARG(slice_sub(one, 0, 100)));
        if (*n == ELASTIC_MAX_NAMES)
            return err_new(ERR_LIMIT, "more than %d index names", ELASTIC_MAX_NAMES);
        if (slice_eq_cstr(one, "_all"))
            one = SLICE("*");
        if (one.len)
            (is_out ? ret->exclude : ret->include)[(*n)++] =
                arena_dup(a, is_out ? slice_from(one, 1) : one);
    }
    return NULL;
}

struct slice elastic_names_join(struct arena *a, struct jsonval v)
{
    struct jsonval_iter it = jsonval_iter(v);
    struct buf joined = {0};
    struct jsonval one;
    struct slice key, ret;

    if (jsonval_kind(v) == JSONVAL_TEXT)
        buf_slice_append(&joined, jsonval_text(v));
    while (jsonval_next(&it, &key, &one)) {
        buf_str(&joined, joined.len ? "," : "");
        if (jsonval_kind(one) == JSONVAL_TEXT)
            buf_slice_append(&joined, jsonval_text(one));
    }
    ret = arena_dup(a, buf_slice(&joined));
    buf_done(&joined);
    return ret;
}

static bool is_one_of(const struct slice *patterns, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (esdoc_glob(patterns[i], name, false))
            return true;
    return false;
}

bool elastic_names_have(const struct elastic_names *n, struct slice index)
{
    return (!n->n_include || is_one_of(n->include, n->n_include, index)) &&
           !is_one_of(n->exclude, n->n_exclude, index);
}

static struct err *add_names(struct esquery_parser *p, const struct slice *names, size_t n,
                             struct esqueries *l)
{
    for (size_t i = 0; i < n; i++) {
        struct esquery *q;
        struct err *e = esquery_new(p, ESQUERY_WILDCARD, SLICE(ESQUERY_INDEX), &q);

        if (e || (e = esquery_set_pattern(p, q, names[i])))
            return e;
        esqueries_add(p, l, q);
    }
    return NULL;
}

struct err *elastic_names_query(struct esquery_parser *p, const struct elastic_names *n,
                                struct esquery **q)
{
    struct esquery *all, *any;
    struct err *e;

    if (is_one_of(n->include, n->n_include, SLICE("*")) && !n->n_exclude)
        return NULL;
    if (!n->n_include && !n->n_exclude)
        return NULL;
    if ((e = esquery_new(p, ESQUERY_BOOL, SLICE_EMPTY, &all)) ||
        (e = esquery_new(p, ESQUERY_BOOL, SLICE_EMPTY, &any)) ||
        (e = add_names(p, n->include, n->n_include, &any->should)) ||
        (e = add_names(p, n->exclude, n->n_exclude, &all->must_not)))
        return e;
    any->min_should = any->should.n ? 1 : 0;
    esqueries_add(p, &all->must, *q);
    esqueries_add(p, &all->must, any);
    *q = all;
    return NULL;
}

/* ---- routes ---- */

#define GET_POST (HTTP_GET | HTTP_POST)

void elastic_api_routes(struct elastic_api *api, struct http_server *server)
{
    static const struct {
        unsigned methods;
        const char *pattern;
        void (*handler)(struct http_request *r);
    } routes[] = {
        {GET_POST, "/elasticsearch/_search", elastic_search},
        {GET_POST, "/elasticsearch/{index}/_search", elastic_search},
        {GET_POST, "/elasticsearch/_count", elastic_count},
        {GET_POST, "/elasticsearch/{index}/_count", elastic_count},
        {GET_POST, "/elasticsearch/_msearch", elastic_msearch},
        {GET_POST, "/elasticsearch/{index}/_msearch", elastic_msearch},
        {HTTP_GET, "/elasticsearch/_mapping", elastic_mapping},
        {HTTP_GET, "/elasticsearch/{index}/_mapping", elastic_mapping},
        {GET_POST, "/elasticsearch/_field_caps", elastic_field_caps},
        {GET_POST, "/elasticsearch/{index}/_field_caps", elastic_field_caps},
        {HTTP_GET, "/elasticsearch/_cat/indices", elastic_cat_indices},
        {HTTP_GET, "/elasticsearch/_cat/indices/{index}", elastic_cat_indices},
        {HTTP_GET, "/elasticsearch/_resolve/index/{index}", elastic_resolve},
    };

    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(server, &(struct http_route){.methods = routes[i].methods,
                                                       .pattern = routes[i].pattern,
                                                       .max_body_bytes = MAX_BODY,
                                                       .handler = routes[i].handler,
                                                       .reply_err = elastic_page_error,
                                                       .arg = api});
}
