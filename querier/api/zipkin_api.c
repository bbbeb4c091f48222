#include "querier/api/zipkin_api.h"

#include "common/base/clock.h"
#include "common/base/hex.h"
#include "querier/api/tagquery.h"
#include "querier/api/trace_ask.h"
#include "querier/api/zipkin_out.h"

#define DEF_LIMIT 10
#define HOUR_NS (3600 * NS_PER_S)
#define DAY_NS (24 * HOUR_NS)

struct zipkin_params {
    struct trace_ask ask; /* but the task */
    struct slice service; /* of names; and the attribute of values */
    struct slice query;   /* of a search; else: */
    uint8_t (*ids)[16];
    size_t n_ids;
    uint32_t limit;
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

static struct err *run_keys(struct prom_task *t)
{
    struct trace_ask q = ask_of(t);
    struct slice *names;
    size_t n;
    struct err *e = trace_ask_names(&q, TRACE_SPANS, SLICE_EMPTY, &names, &n);

    if (!e)
        put_names(&t->out, names, n);
    return e;
}

static struct err *run_values(struct prom_task *t)
{
    const struct zipkin_params *p = t->params;
    struct trace_ask q = ask_of(t);
    struct slice *names;
    size_t n;
    struct err *e = trace_ask_names(&q, TRACE_SPANS, p->service, &names, &n);

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
    struct err *e = trace_ask_operations(&q, p->service, &list, &n);

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
        if (slice_eq(edges[i].parent, p->service))
            names[n_names++] = edges[i].child;
    put_names(&t->out, names, n_names);
    tracedeps_free(deps);
    return NULL;
}

static struct err *run_dependencies(struct prom_task *t)
{
    struct trace_ask q = ask_of(t);
    const struct tracedeps_edge *edges;
    struct tracedeps *deps;
    struct err *e = trace_ask_deps(&q, &deps);
    size_t n;

    if (e)
        return e;
    edges = tracedeps_edges(deps, &n);
    buf_byte(&t->out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_str(&t->out, i ? ",{\"parent\":" : "{\"parent\":");
        buf_json_str(&t->out, edges[i].parent);
        buf_str(&t->out, ",\"child\":");
        buf_json_str(&t->out, edges[i].child);
        buf_printf(&t->out, ",\"callCount\":%llu", (unsigned long long)edges[i].calls);
        if (edges[i].errors)
            buf_printf(&t->out, ",\"errorCount\":%llu", (unsigned long long)edges[i].errors);
        buf_byte(&t->out, '}');
    }
    buf_byte(&t->out, ']');
    tracedeps_free(deps);
    return NULL;
}

struct putting {
    struct prom_task *task;
    bool is_one;
    uint64_t n;
};

static struct err *put_trace(void *arg, struct arena *a, struct tracepiece *p)
{
    struct putting *k = arg;

    if (k->n++)
        buf_byte(&k->task->out, ',');
    zipkin_out(&k->task->out, a, p);
    return prom_task_flush(k->task);
}

static struct err *run_traces(struct prom_task *t)
{
    const struct zipkin_params *p = t->params;
    struct trace_ask q = ask_of(t);
    struct putting k = {.task = t, .is_one = p->is_one};
    struct err *e;

    if (!p->is_one)
        buf_byte(&t->out, '[');
    e = p->n_ids ? trace_ask_traces(&q, p->ids, p->n_ids, put_trace, &k)
                 : trace_ask_search(&q, p->query, p->limit, put_trace, &k);
    if (!p->is_one)
        buf_byte(&t->out, ']');
    return !e && p->is_one && !k.n ? err_new(ERR_NOT_FOUND, "trace not found") : e;
}

/* ---- on a loop: parameters ---- */

static struct err *number(struct http_request *r, const char *name, uint64_t unit_ns,
                          int64_t def_ns, int64_t *ret_ns)
{
    struct slice text = http_param(r, name);
    uint64_t n;

    *ret_ns = def_ns;
    if (!text.len)
        return NULL;
    if (!slice_to_u64(text, &n) || n > INT64_MAX / unit_ns)
        return err_new(ERR_INVALID, "%s: \"%.*s\" is not a number of 0 or more", name,
                       SLICE_ARG(slice_sub(text, 0, 64)));
    *ret_ns = (int64_t)(n * unit_ns);
    return NULL;
}

static struct err *read_range(struct http_request *r, int64_t def_ns, struct tempo_range *ret)
{
    int64_t lookback_ns;
    struct err *e;

    if ((e = number(r, "endTs", NS_PER_MS, clock_wall_ns(&clock_system), &ret->end_ns)) ||
        (e = number(r, "lookback", NS_PER_MS, def_ns, &lookback_ns)))
        return e;
    ret->start_ns = ORR_MAX(ret->end_ns - lookback_ns, (int64_t)0);
    if (ret->end_ns <= ret->start_ns)
        return err_new(ERR_INVALID, "lookback: nothing is between the end and the start");
    return NULL;
}

static struct err *required(struct http_request *r, const char *name, struct slice *ret)
{
    *ret = http_param(r, name);
    return ret->len ? NULL : err_new(ERR_INVALID, "parameter %s is required", name);
}

/* ---- a search as TraceQL ---- */

static void also(struct buf *out)
{
    buf_str(out, out->len ? " && " : "{ ");
}

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
        also(out);
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
    also(out);
    buf_printf(out, "duration %s %lldns", op, (long long)ns);
}

static struct err *write_query(struct http_request *r, struct buf *out)
{
    struct slice service = http_param(r, "serviceName"), name = http_param(r, "spanName");
    struct slice remote = http_param(r, "remoteServiceName");
    int64_t min_ns, max_ns;
    struct err *e;

    if ((e = number(r, "minDuration", 1000, 0, &min_ns)) ||
        (e = number(r, "maxDuration", 1000, 0, &max_ns)))
        return e;
    if (service.len) {
        also(out);
        tagquery_service(out, service);
    }
    if (remote.len) {
        also(out);
        tagquery_equals(out, SLICE("peer.service"), remote);
    }
    if (name.len && !slice_eq_cstr(name, "all")) {
        also(out);
        buf_str(out, "name = ");
        tagquery_text(out, name);
    }
    put_annotations(out, http_param(r, "annotationQuery"));
    put_duration(out, ">=", min_ns);
    put_duration(out, "<=", max_ns);
    buf_str(out, out->len ? " }" : "{ }");
    return NULL;
}

/* ---- handlers ---- */

static struct zipkin_params *params_of(struct http_request *r)
{
    struct zipkin_params *p = arena_new_of(r->arena, struct zipkin_params);

    p->ask.api = r->arg;
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

    answer(r, p, read_range(r, 3 * DAY_NS, &p->ask.range), run_services);
}

static void keys(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);

    answer(r, p, read_range(r, 3 * DAY_NS, &p->ask.range), run_keys);
}

static void values(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);
    struct err *e = required(r, "key", &p->service);

    answer(r, p, e ? e : read_range(r, 3 * DAY_NS, &p->ask.range), run_values);
}

static void spans(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);
    struct err *e = required(r, "serviceName", &p->service);

    answer(r, p, e ? e : read_range(r, DAY_NS, &p->ask.range), run_spans);
}

static void remotes(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);
    struct err *e = required(r, "serviceName", &p->service);

    answer(r, p, e ? e : read_range(r, DAY_NS, &p->ask.range), run_remotes);
}

static void dependencies(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);

    answer(r, p, read_range(r, DAY_NS, &p->ask.range), run_dependencies);
}

static void traces(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);
    struct buf query = {0};
    struct err *e;

    if (!(e = write_query(r, &query)) && !(e = read_range(r, DAY_NS, &p->ask.range)))
        e = tempo_api_count(r, "limit", DEF_LIMIT, ZIPKIN_API_MAX_LIMIT, &p->limit);
    if (!e && !p->limit)
        e = err_new(ERR_INVALID, "limit: it is 0");
    p->query = arena_dup(r->arena, buf_slice(&query));
    buf_done(&query);
    answer(r, p, e, run_traces);
}

static struct err *add_id(struct http_request *r, struct zipkin_params *p, struct slice text)
{
    if (p->n_ids == ZIPKIN_API_MAX_LIMIT)
        return err_new(ERR_INVALID, "more than %d trace ids", ZIPKIN_API_MAX_LIMIT);
    p->ids = arena_more(r->arena, p->ids, p->n_ids);
    if (!text.len || text.len > 32 || hex_id(text, p->ids[p->n_ids], 16) >= 0)
        return err_new(ERR_INVALID, "a trace id has 1 to 32 hexadecimal digits");
    p->n_ids++;
    return NULL;
}

static void trace(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);

    p->is_one = true;
    p->ask.range = TEMPO_ALL_TIMES;
    answer(r, p, add_id(r, p, http_request_segment(r, "id")), run_traces);
}

static void trace_many(struct http_request *r)
{
    struct zipkin_params *p = params_of(r);
    struct slice ids, one;
    struct err *e = required(r, "traceIds", &ids);

    p->ask.range = TEMPO_ALL_TIMES;
    while (!e && ids.len && slice_split(&ids, ',', &one))
        e = add_id(r, p, one);
    answer(r, p, e, run_traces);
}

static const struct route {
    const char *pattern, *prefixed;
    void (*handler)(struct http_request *r);
} routes[] = {
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

static void add(struct tempo_api *api, struct http_server *server, const char *pattern,
                void (*handler)(struct http_request *r))
{
    http_server_route(server, &(struct http_route){.methods = HTTP_GET,
                                                   .pattern = pattern,
                                                   .handler = handler,
                                                   .reply_err = prom_reply_text_err,
                                                   .arg = api});
}

void zipkin_api_routes(struct tempo_api *api, struct http_server *server)
{
    for (size_t i = 0; i < ORR_COUNT(routes); i++) {
        add(api, server, routes[i].pattern, routes[i].handler);
        add(api, server, routes[i].prefixed, routes[i].handler);
    }
}
