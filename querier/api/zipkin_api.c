#include "querier/api/zipkin_api.h"

#include "common/base/clock.h"
#include "querier/api/tagquery.h"
#include "querier/api/trace_param.h"
#include "querier/api/zipkin_out.h"

#define DEF_LIMIT 10
#define HOUR_NS (3600 * NS_PER_S)
#define DAY_NS (24 * HOUR_NS)

struct zipkin_params {
    struct trace_ask ask; /* but the task */
    struct slice of;      /* names and values: the service, the attribute */
    struct trace_find find;
    bool is_one; /* its spans, or 404 */
};

/* ---- on a worker ---- */

static struct trace_ask ask_of(struct prom_task *t)
{
    struct trace_ask q = ((const struct zipkin_params *)t->params)->ask;

    q.task = t;
    t->content_type = HTTP_JSON;
    return q;
}

static void put_names(struct buf *out, const struct slice *names, size_t n)
{
    buf_byte(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_byte(out, ',');
        buf_json_str(out, names[i]);
    }
    buf_byte(out, ']');
}

static struct err *run_services(struct prom_task *t)
{
    struct trace_ask q = ask_of(t);
    struct slice *names;
    size_t n;
    struct err *e = trace_ask_services(&q, &names, &n);

    if (!e)
        put_names(&t->out, names, n);
    return e;
}

/* Keys, or the values of one. */
static struct err *run_attributes(struct prom_task *t)
{
    const struct zipkin_params *p = t->params;
    struct trace_ask q = ask_of(t);
    struct slice *names;
    size_t n;
    struct err *e = trace_ask_names(&q, TRACE_SPANS, p->of, &names, &n);

    if (!e)
        put_names(&t->out, names, n);
    return e;
}

/* The same name may come with several kinds, one behind the other. */
static struct err *run_spans(struct prom_task *t)
{
    const struct zipkin_params *p = t->params;
    struct trace_ask q = ask_of(t);
    struct trace_ask_operation *list;
    struct slice *names;
    size_t n, n_names = 0;
    struct err *e = trace_ask_operations(&q, p->of, &list, &n);

    if (e)
        return e;
    names = arena_array(t->arena, struct slice, n);
    for (size_t i = 0; i < n; i++)
        if (list[i].name.len && (!n_names || !slice_eq(list[i].name, names[n_names - 1])))
            names[n_names++] = list[i].name;
    put_names(&t->out, names, n_names);
    return NULL;
}

static struct err *run_remotes(struct prom_task *t)
{
    const struct zipkin_params *p = t->params;
    struct trace_ask q = ask_of(t);
    const struct tracedeps_edge *edges;
    struct tracedeps *deps;
    struct slice *names;
    size_t n, n_names = 0;
    struct err *e = trace_ask_deps(&q, &deps);

    if (e)
        return e;
    edges = tracedeps_edges(deps, &n);
    names = arena_array(t->arena, struct slice, n);
    for (size_t i = 0; i < n; i++)
        if (slice_eq(edges[i].parent, p->of))
            names[n_names++] = edges[i].child;
    put_names(&t->out, names, n_names);
    tracedeps_free(deps);
    return NULL;
}

static struct err *run_dependencies(struct prom_task *t)
{
    struct trace_ask q = ask_of(t);
    struct err *e;
    uint64_t n;

    buf_byte(&t->out, '[');
    e = trace_ask_put_deps(&q, true, &n);
    buf_byte(&t->out, ']');
    return e;
}

static struct err *run_traces(struct prom_task *t)
{
    const struct zipkin_params *p = t->params;
    struct trace_ask q = ask_of(t);
    struct err *e;
    uint64_t n;

    if (!p->is_one)
        buf_byte(&t->out, '[');
    e = trace_ask_find(&q, &p->find, zipkin_out, &n);
    if (!p->is_one)
        buf_byte(&t->out, ']');
    return !e && p->is_one && !n ? err_new(ERR_NOT_FOUND, "trace not found") : e;
}

/* ---- on a loop: parameters ---- */

static struct err *required(struct http_request *r, const char *name, struct slice *ret)
{
    *ret = http_param(r, name);
    return ret->len ? NULL : err_new(ERR_INVALID, "parameter %s is required", name);
}

/* Absent: 0. */
static struct err *duration(struct http_request *r, const char *name, int64_t *ret_ns)
{
    return err_wrap(trace_param_time(http_param(r, name), NS_PER_US, 0, ret_ns), "%s", name);
}

/* ---- a search as TraceQL ---- */

/* Terms with " and " between them: key, or key=value. */
static void put_annotations(struct buf *out, struct slice text)
{
    while (text.len) {
        ptrdiff_t end = slice_find(text, SLICE(" and "), 0), equals;
        struct slice term = end < 0 ? text : slice_sub(text, 0, (size_t)end);

        text = end < 0 ? SLICE_EMPTY : slice_from(text, (size_t)end + strlen(" and "));
        term = slice_trim(term);
        if (!term.len)
            continue;
        tagquery_also(out);
        equals = slice_find(term, SLICE("="), 0);
        if (equals < 0)
            tagquery_exists(out, term);
        else
            tagquery_equals(out, slice_sub(term, 0, (size_t)equals),
                            slice_from(term, (size_t)equals + 1));
    }
}

static void put_duration(struct buf *out, const char *op, int64_t ns)
{
    if (!ns)
        return;
    tagquery_also(out);
    tagquery_duration(out, op, ns);
}

static struct err *write_query(struct http_request *r, struct buf *out)
{
    struct slice service = http_param(r, "serviceName"), name = http_param(r, "spanName");
    struct slice remote = http_param(r, "remoteServiceName");
    int64_t min_ns, max_ns;
    struct err *e;

    if ((e = duration(r, "minDuration", &min_ns)) || (e = duration(r, "maxDuration", &max_ns)))
        return e;
    if (service.len) {
        tagquery_also(out);
        tagquery_service(out, service);
    }
    if (remote.len) {
        tagquery_also(out);
        tagquery_equals(out, SLICE("peer.service"), remote);
    }
    if (name.len && !slice_eq_cstr(name, "all")) {
        tagquery_also(out);
        tagquery_name(out, name);
    }
    put_annotations(out, http_param(r, "annotationQuery"));
    put_duration(out, ">=", min_ns);
    put_duration(out, "<=", max_ns);
    tagquery_end(out);
    return NULL;
}

/* ---- handlers ---- */

static struct zipkin_params *params_of(struct http_request *r)
{
    struct zipkin_params *p = arena_new_of(r->arena, struct zipkin_params);

    p->ask.api = r->arg;
    p->of = SLICE_EMPTY;
    return p;
}

static void answer(struct http_request *r, struct zipkin_params *p, struct err *e,
                   prom_work_fn *work)
{
    struct slice tenant;

    if (!tempo_api_failed(r, e) && tempo_api_begin(r, &tenant))
        tempo_api_task(r, tenant, work, p);
}

static void services(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);

    answer(r, p, trace_param_range(r, 3 * DAY_NS, &p->ask.range), run_services);
}

static void keys(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);

    answer(r, p, trace_param_range(r, 3 * DAY_NS, &p->ask.range), run_attributes);
}

static void values(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);
    struct err *e = required(r, "key", &p->of);

    answer(r, p, e ? e : trace_param_range(r, 3 * DAY_NS, &p->ask.range), run_attributes);
}

static void spans(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);
    struct err *e = required(r, "serviceName", &p->of);

    answer(r, p, e ? e : trace_param_range(r, DAY_NS, &p->ask.range), run_spans);
}

static void remotes(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);
    struct err *e = required(r, "serviceName", &p->of);

    answer(r, p, e ? e : trace_param_range(r, DAY_NS, &p->ask.range), run_remotes);
}

static void dependencies(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);

    answer(r, p, trace_param_range(r, DAY_NS, &p->ask.range), run_dependencies);
}

static void traces(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);
    struct buf query = {0};
    struct err *e;

    if (!(e = write_query(r, &query)) && !(e = trace_param_range(r, DAY_NS, &p->ask.range)))
        e = tempo_api_count(r, "limit", DEF_LIMIT, TRACE_ASK_MAX_TRACES, &p->find.limit);
    if (!e && !p->find.limit)
        e = err_new(ERR_INVALID, "limit: it is 0");
    p->find.traceql = arena_dup(r->arena, buf_slice(&query));
    buf_done(&query);
    answer(r, p, e, run_traces);
}

static void trace(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);

    p->is_one = true;
    answer(r, p, trace_param_id(r, http_request_segment(r, "id"), &p->find), run_traces);
}

static void trace_many(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);
    struct slice ids, one;
    struct err *e = required(r, "traceIds", &ids);

    while (!e && ids.len && slice_split(&ids, ',', &one))
        e = trace_param_id(r, one, &p->find);
    answer(r, p, e, run_traces);
}

static const struct tempo_route routes[] = {
#define ROUTE(pattern, handler)                                                                    \
    {                                                                                              \
        pattern, "/zipkin" pattern, handler                                                        \
    }
    ROUTE("/api/v2/services", services),         ROUTE("/api/v2/spans", spans),
    ROUTE("/api/v2/remoteServices", remotes),    ROUTE("/api/v2/traces", traces),
    ROUTE("/api/v2/trace/{id}", trace),          ROUTE("/api/v2/traceMany", trace_many),
    ROUTE("/api/v2/dependencies", dependencies), ROUTE("/api/v2/autocompleteKeys", keys),
    ROUTE("/api/v2/autocompleteValues", values),
#undef ROUTE
};

void zipkin_api_routes(struct tempo_api *api, struct http_server *server)
{
    tempo_api_add_routes(api, server, routes, ORR_COUNT(routes), prom_reply_text_err);
}
