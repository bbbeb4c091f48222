#include "querier/api/trace_ask.h"

#include <stdlib.h>

#include "common/base/map.h"
#include "querier/api/tagquery.h"
#include "querier/traces/tracecond.h"
#include "querier/traces/tracesearch.h"

#define HOUR_NS (3600 * NS_PER_S)

static struct err *open_scan(const struct trace_ask *q, struct tempo_range range,
                             struct tracesource *source, struct tracescan_opts *ret)
{
    return tempo_api_scan(q->api, q->task, range, source, ret);
}

static struct err *over(const struct arena *a)
{
    return arena_over(a)
               ? err_new(
                     ERR_LIMIT,
                     "the query takes more than max-query-memory (%zu bytes): ask for less time",
                     arena_limit(a))
               : NULL;
}

/* ---- whole traces ---- */

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static struct err *put_whole(const struct trace_ask *q, const struct tracesource_trace *t,
                             trace_ask_put_fn *put, uint64_t *n)
{
    struct arena *a = arena_child(q->task->arena, 0);
    struct buf *out = &q->task->out;
    struct tracepiece whole;
    struct err *e;

    tracepiece_unite(a, t->pieces, t->n, &whole);
    memcpy(whole.trace_id, t->id, sizeof(whole.trace_id));
    if (!(e = over(a)) && whole.n_spans) {
        if ((*n)++)
            buf_byte(out, ',');
        put(out, a, &whole);
        e = prom_task_flush(q->task);
    }
    arena_free(a);
    return e;
}

static struct err *put_traces(const struct trace_ask *q, struct tempo_range range,
                              uint8_t (*ids)[16], size_t n, trace_ask_put_fn *put, uint64_t *ret_n)
{
    struct tracesource source;
    struct tracescan_opts scan;
    struct tracesource_set *set;
    struct tracesource_trace t;
    struct err *e;

    if (!n)
        return NULL;
    qsort(ids, n, 16, by_bytes);
    if ((e = open_scan(q, range, &source, &scan)))
        return e;
    scan.req.ids = (const uint8_t(*)[16])ids;
    scan.req.n_ids = 1;
    for (size_t i = 1; i < n; i++)
        if (memcmp(ids[i], ids[scan.req.n_ids - 1], 16))
            memmove(ids[scan.req.n_ids++], ids[i], 16);
    memcpy(scan.req.first, ids[0], 16);
    memcpy(scan.req.last, ids[scan.req.n_ids - 1], 16);
    if ((e = tracesource_select(&source, q->task->arena, &scan.req, &set)))
        return e;
    while (!e && tracesource_set_next(set, &t))
        e = put_whole(q, &t, put, ret_n);
    return err_first(e, tracesource_set_close(set));
}

/* Spans that are not in the range are shown, too, if they are not far from it. */
static struct tempo_range around(const struct tracesearch_result *found)
{
    struct tempo_range r = {INT64_MAX, INT64_MIN};

    for (size_t i = 0; i < found->n; i++) {
        r.start_ns = ORR_MIN(r.start_ns, found->hits[i].start_ns);
        r.end_ns = ORR_MAX(r.end_ns, found->hits[i].end_ns);
    }
    r.start_ns = r.start_ns > INT64_MIN + HOUR_NS ? r.start_ns - HOUR_NS : INT64_MIN;
    r.end_ns = r.end_ns < INT64_MAX - HOUR_NS ? r.end_ns + HOUR_NS : INT64_MAX;
    return r;
}

struct err *trace_ask_find(const struct trace_ask *q, const struct trace_find *f,
                           trace_ask_put_fn *put, uint64_t *ret_n)
{
    struct tracesearch_opts opts = {.limit = f->limit, .spans_per_set = 1};
    struct arena *a = q->task->arena;
    struct tracesearch_result found;
    struct tempo_range range;
    struct tracesource source;
    struct traceql query;
    uint8_t(*ids)[16];
    struct err *e;
    size_t n;

    *ret_n = 0;
    if (f->n_ids)
        return put_traces(q, TEMPO_ALL_TIMES, f->ids, f->n_ids, put, ret_n);
    opts.query = &query;
    if ((e = traceql_parse(a, f->traceql, &query)) ||
        (e = open_scan(q, q->range, &source, &opts.scan)) || (e = tracesearch(&opts, &found)))
        return e;
    n = found.n;
    ids = arena_alloc(a, n * 16);
    for (size_t i = 0; i < n; i++)
        memcpy(ids[i], found.hits[i].id, 16);
    range = around(&found);
    tracesearch_done(&found);
    return put_traces(q, range, ids, n, put, ret_n);
}

/* ---- names ---- */

struct naming {
    struct arena *arena;
    struct map seen;
    struct slice *ptr;
    size_t n;
    bool is_over;
};

static bool take_name(void *arg, struct slice s, enum tracecell_type type)
{
    struct naming *g = arg;
    void **slot;

    if (type != TRACECELL_STRING && type != TRACECELL_NONE)
        return true;
    slot = map_slot(&g->seen, s);
    if (*slot)
        return true;
    *slot = g;
    if (g->n == TRACE_ASK_MAX_NAMES) {
        g->is_over = true;
        return false;
    }
    g->ptr = arena_more(g->arena, g->ptr, g->n);
    g->ptr[g->n++] = arena_dup(g->arena, s);
    arena_charge(g->arena, (int64_t)s.len + 64); /* the map's */
    return !arena_over(g->arena);
}

static int by_text(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

struct err *trace_ask_names(const struct trace_ask *q, enum tracetable table,
                            struct slice attribute, struct slice **ret, size_t *ret_n)
{
    struct tracesource_names_request req = {.start_ns = q->range.start_ns,
                                            .end_ns = q->range.end_ns,
                                            .table = table,
                                            .attribute = attribute,
                                            .intrinsic = TRACEQL_NO_INTRINSIC,
                                            .max = TRACE_ASK_MAX_NAMES + 1,
                                            .deadline_mono_ms = q->task->deadline_mono_ms,
                                            .cancel = &q->task->cancel};
    struct naming g = {.arena = q->task->arena};
    struct tracesource source;
    struct tracescan_opts scan;
    struct err *e;

    if ((e = open_scan(q, q->range, &source, &scan)))
        return e;
    e = tracesource_names(&source, &req, take_name, &g);
    map_done(&g.seen);
    if (!e)
        e = over(g.arena);
    if (!e && g.is_over)
        e = err_new(ERR_LIMIT, "there are more than %d names: ask for less time",
                    TRACE_ASK_MAX_NAMES);
    if (g.n)
        qsort(g.ptr, g.n, sizeof(*g.ptr), by_text);
    *ret = g.ptr;
    *ret_n = g.n;
    return e;
}

struct err *trace_ask_services(const struct trace_ask *q, struct slice **ret, size_t *ret_n)
{
    return trace_ask_names(q, TRACE_RESOURCES, SLICE("service.name"), ret, ret_n);
}

/* ---- operations ---- */

struct collecting {
    struct arena *arena;
    struct slice service;
    struct map seen; /* kind and name */
    struct buf key;
    struct trace_ask_operation *ptr;
    size_t n;
    uint64_t spans;
};

static struct err *take_operation(struct collecting *c, struct slice name, uint8_t kind)
{
    void **slot;

    buf_reset(&c->key);
    buf_byte(&c->key, kind);
    buf_slice_append(&c->key, name);
    slot = map_slot(&c->seen, buf_slice(&c->key));
    if (*slot)
        return NULL;
    *slot = c;
    if (c->n == TRACE_ASK_MAX_NAMES)
        return err_new(ERR_LIMIT, "the service has more than %d operations: ask for less time",
                       TRACE_ASK_MAX_NAMES);
    c->ptr = arena_more(c->arena, c->ptr, c->n);
    c->ptr[c->n++] = (struct trace_ask_operation){arena_dup(c->arena, name), kind};
    arena_charge(c->arena, (int64_t)name.len + 64); /* the map's */
    return over(c->arena);
}

/* Its name is looked up once for each kind that it comes with. */
static struct err *collect(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    struct collecting *c = arg;
    uint8_t *kinds = mem_calloc(cols->n_dict, 1);
    struct err *e = NULL;

    for (uint32_t row = 0; row < cols->n_spans && !e; row++) {
        uint32_t name = cols->name[row];
        uint8_t bit = (uint8_t)(1u << (cols->kind[row] & 7));

        if (!slice_eq(cols->dict[cols->service[row]], c->service))
            continue;
        c->spans++;
        if (!(kinds[name] & bit))
            e = take_operation(c, cols->dict[name], cols->kind[row]);
        kinds[name] |= bit;
    }
    mem_free(kinds);
    *ret_stop = c->spans >= TRACE_ASK_MAX_SPANS;
    return e;
}

static int by_name(const void *a, const void *b)
{
    const struct trace_ask_operation *l = a, *r = b;
    int n = slice_cmp(l->name, r->name);

    return n ? n : l->kind - r->kind;
}

/* The query that leaves what has nothing of the service where it is. */
static struct err *service_filter(const struct trace_ask *q, struct slice service,
                                  struct tracecond *ret)
{
    struct traceql *query = arena_new_of(q->task->arena, struct traceql);
    struct buf text = {0};
    struct err *e;

    tagquery_also(&text);
    tagquery_service(&text, service);
    tagquery_end(&text);
    if (!(e = traceql_parse(q->task->arena, arena_dup(q->task->arena, buf_slice(&text)), query)))
        *ret = tracecond_of(q->task->arena, query);
    buf_done(&text);
    return e;
}

struct err *trace_ask_operations(const struct trace_ask *q, struct slice service,
                                 struct trace_ask_operation **ret, size_t *ret_n)
{
    struct collecting c = {.arena = q->task->arena, .service = service};
    struct tracescan_stats stats = {0};
    struct tracesource source;
    struct tracescan_opts scan;
    struct tracecond cond;
    struct err *e;

    if ((e = service_filter(q, service, &cond)) || (e = open_scan(q, q->range, &source, &scan)))
        return e;
    scan.req.filters = cond.ptr;
    scan.req.n_filters = cond.n;
    e = tracescan(&scan, collect, &c, &stats);
    map_done(&c.seen);
    buf_done(&c.key);
    if (c.n)
        qsort(c.ptr, c.n, sizeof(*c.ptr), by_name);
    *ret = c.ptr;
    *ret_n = c.n;
    return e;
}

/* ---- who calls whom ---- */

static struct err *add_edges(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    (void)ret_stop;
    return tracedeps_add(arg, cols);
}

struct err *trace_ask_deps(const struct trace_ask *q, struct tracedeps **ret)
{
    struct tracedeps *d = tracedeps_new();
    struct tracescan_stats stats = {0};
    struct tracesource source;
    struct tracescan_opts scan;
    struct err *e;

    if (!(e = open_scan(q, q->range, &source, &scan)))
        e = tracescan(&scan, add_edges, d, &stats);
    if (e) {
        tracedeps_free(d);
        return e;
    }
    *ret = d;
    return NULL;
}

struct err *trace_ask_put_deps(const struct trace_ask *q, bool has_errors, uint64_t *ret_n)
{
    struct buf *out = &q->task->out;
    const struct tracedeps_edge *edges;
    struct tracedeps *deps;
    struct err *e = trace_ask_deps(q, &deps);
    size_t n;

    if (e)
        return e;
    edges = tracedeps_edges(deps, &n);
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? ",{\"parent\":" : "{\"parent\":");
        buf_json_str(out, edges[i].parent);
        buf_str(out, ",\"child\":");
        buf_json_str(out, edges[i].child);
        buf_printf(out, ",\"callCount\":%llu", (unsigned long long)edges[i].calls);
        if (has_errors && edges[i].errors)
            buf_printf(out, ",\"errorCount\":%llu", (unsigned long long)edges[i].errors);
        buf_byte(out, '}');
    }
    tracedeps_free(deps);
    *ret_n = n;
    return NULL;
}
