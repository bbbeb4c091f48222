/* search/tags and search/tag/{name}/values, both versions. */
#include "common/base/map.h"
#include "common/lang/traceql.h"
#include "querier/api/tempo_api_internal.h"
#include "querier/api/tempo_names.h"
#include "querier/traces/tracefield.h"

#define MAX_NAMES 100000 /* whatever the limit says */

struct tags_params {
    const struct tempo_api *api;
    struct tempo_range range;
    bool is_v2;
    bool scopes[TRACE_TABLES], has_intrinsics; /* that are asked for */
    struct traceql_attribute attribute;        /* of values */
    struct slice attribute_text;               /* as the query had it */
    struct slice q;                            /* only spans that match; empty: all */
    uint32_t limit, max_stale;
};

/* As Tempo lists them. */
static const char *const intrinsics[] = {"duration",
                                         "event:name",
                                         "event:timeSinceStart",
                                         "instrumentation:name",
                                         "instrumentation:version",
                                         "kind",
                                         "name",
                                         "rootName",
                                         "rootServiceName",
                                         "span:duration",
                                         "span:kind",
                                         "span:name",
                                         "span:status",
                                         "span:statusMessage",
                                         "status",
                                         "statusMessage",
                                         "trace:duration",
                                         "trace:rootName",
                                         "trace:rootService",
                                         "traceDuration"};
static const char *const scope_names[] = {
    [TRACE_RESOURCES] = "resource", [TRACE_SPANS] = "span", [TRACE_LIBRARIES] = "instrumentation",
    [TRACE_EVENTS] = "event",       [TRACE_LINKS] = "link", [TRACE_TABLES] = "intrinsic"};

/* ---- on a worker ---- */

/* A list of names that is made. */
struct taking {
    const struct tags_params *params;
    struct arena *arena; /* the task's */
    struct buf out;      /* with commas */
    struct map seen;     /* of all sources */
    struct buf key;
    uint32_t stale;        /* known ones since the last new one */
    bool is_typed, is_cut; /* there are more */
};

static void taking_init(struct taking *k, const struct prom_task *t, bool is_typed)
{
    *k = (struct taking){.params = t->params, .arena = t->arena, .is_typed = is_typed};
}

static const char *type_text(enum tracecell_type type)
{
    switch (type) {
    case TRACECELL_INT:
        return "int";
    case TRACECELL_FLOAT:
        return "float";
    case TRACECELL_BOOL:
        return "bool";
    case TRACECELL_NONE:
        return "keyword";
    default:
        return "string";
    }
}

/* Those without a type of their own are words of TraceQL. */
static void put_name(struct taking *k, struct slice s, enum tracecell_type type)
{
    struct buf *out = &k->out;

    if (k->seen.len > 1)
        buf_byte(out, ',');
    if (k->is_typed)
        buf_printf(out, "{\"type\":\"%s\",\"value\":", type_text(type));
    buf_json_str(out, s);
    if (k->is_typed)
        buf_byte(out, '}');
}

static bool is_full(const struct taking *k)
{
    return k->seen.len >= (k->params->limit ? k->params->limit : MAX_NAMES);
}

/* With a limit no other is wanted once there are as many, and neither once so many in a row were known already. Without one the next that is
 * different tells that there are too many. */
static bool take(void *arg, struct slice s, enum tracecell_type type)
{
    uint32_t limit, max_stale;
    struct taking *k = arg;

    limit = k->params->limit;
    max_stale = k->params->max_stale;
    buf_reset(&k->key);
    buf_byte(&k->key, (uint8_t)(k->is_typed ? type : TRACECELL_STRING));
    buf_slice_append(&k->key, s);
    if (max_stale && k->stale >= max_stale)
        return false;
    if (map_has(&k->seen, buf_slice(&k->key)))
        return ++k->stale < max_stale || !max_stale;
    k->stale = 0;
    if (is_full(k)) {
        k->is_cut = true;
        return false;
    }
    (void)map_put(&k->seen, buf_slice(&k->key), k);
    arena_charge(k->arena, 2 * (int64_t)s.len + 128);
    put_name(k, s, type);
    return (!limit || !is_full(k)) && !arena_over(k->arena);
}

/* Appends the list to the answer. What was cut off without being asked for is an error, not a list that looks whole. */
static struct err *taking_end(struct taking *k, struct buf *out, struct err *e)
{
    const struct arena *a = k->arena;

    if (!e && arena_over(a))
        e = err_new(ERR_LIMIT,
                    "the names take more than max-query-memory (%zu bytes): ask for less "
                    "time, or with a limit",
                    arena_limit(a));
    if (!e && !k->params->limit && k->is_cut)
        e = err_new(ERR_LIMIT, "there are more than %u: ask with a limit", MAX_NAMES);
    buf_slice_append(out, buf_slice(&k->out));
    buf_done(&k->out);
    map_done(&k->seen);
    buf_done(&k->key);
    return e;
}

static struct tracesource_names_request request_of(const struct prom_task *t)
{
    const struct tags_params *p = t->params;

    return (struct tracesource_names_request){.start_ns = p->range.start_ns,
                                              .end_ns = p->range.end_ns,
                                              .deadline_mono_ms = t->deadline_mono_ms,
                                              .cancel = &t->cancel};
}

static void put_intrinsics(struct taking *k)
{
    for (size_t i = 0; i < ORR_COUNT(intrinsics); i++)
        if (!take(k, slice_cstr(intrinsics[i]), TRACECELL_STRING))
            break;
}

/* All questions: of all spans one after the other, of those that match together. */
static struct err *ask(struct prom_task *t, struct tempo_names_ask *asks, size_t n)
{
    const struct tags_params *p = t->params;
    struct slice filter = tempo_names_filter(t->arena, p->q);
    struct tracesource source;
    struct tracescan_opts scan;
    struct err *e = tempo_api_scan(p->api, t, p->range, &source, &scan);

    if (e || filter.len)
        return e ? e : tempo_names_ask(&scan, filter, p->attribute_text, asks, n);
    for (size_t i = 0; i < n && !e; i++)
        e = tracesource_names(&source, &asks[i].req, asks[i].give, asks[i].arg);
    return e;
}

static void add_ask(struct tempo_names_ask *asks, size_t *n, struct prom_task *t,
                    enum tracetable table, struct taking *k)
{
    asks[*n] = (struct tempo_names_ask){.req = request_of(t), .give = take, .arg = k};
    asks[(*n)++].req.table = table;
}

static struct err *put_scopes(struct prom_task *t)
{
    const struct tags_params *p = t->params;
    struct tempo_names_ask asks[TRACE_TABLES];
    struct taking takings[TRACE_TABLES + 1]; /* the last: intrinsics */
    bool is_first = true;
    struct err *e;
    size_t n = 0;

    for (unsigned i = 0; i <= TRACE_TABLES; i++) {
        taking_init(&takings[i], t, false);
        if (i < TRACE_TABLES && p->scopes[i])
            add_ask(asks, &n, t, (enum tracetable)i, &takings[i]);
    }
    e = ask(t, asks, n);
    if (p->has_intrinsics)
        put_intrinsics(&takings[TRACE_TABLES]);
    buf_str(&t->out, "{\"scopes\":[");
    for (unsigned i = 0; i <= TRACE_TABLES; i++) {
        bool is_asked = i < TRACE_TABLES ? p->scopes[i] : p->has_intrinsics;

        if (is_asked)
            buf_printf(&t->out, "%s{\"name\":\"%s\",\"tags\":[", is_first ? "" : ",",
                       scope_names[i]);
        e = taking_end(&takings[i], &t->out, e);
        if (is_asked)
            buf_str(&t->out, "]}");
        is_first = is_first && !is_asked;
    }
    buf_str(&t->out, "],\"metrics\":{}}");
    return e;
}

static struct err *put_names(struct prom_task *t)
{
    const struct tags_params *p = t->params;
    struct tempo_names_ask asks[TRACE_TABLES];
    struct taking k;
    struct err *e;
    size_t n = 0;

    taking_init(&k, t, false);
    for (unsigned i = 0; i < TRACE_TABLES; i++)
        if (p->scopes[i])
            add_ask(asks, &n, t, (enum tracetable)i, &k);
    e = ask(t, asks, n);
    if (p->has_intrinsics)
        put_intrinsics(&k);
    buf_str(&t->out, "{\"tagNames\":[");
    e = taking_end(&k, &t->out, e);
    buf_str(&t->out, "],\"metrics\":{}}");
    return e;
}

static struct err *run_tags(struct prom_task *t)
{
    const struct tags_params *p = t->params;

    t->content_type = HTTP_JSON;
    return p->is_v2 ? put_scopes(t) : put_names(t);
}

/* The tables in which an attribute of the scope may be. */
static bool is_in(enum traceql_scope scope, enum tracetable table)
{
    return scope == TRACEQL_SCOPE_ANY || tracefield_table(scope) == table;
}

static struct err *run_values(struct prom_task *t)
{
    const struct tags_params *p = t->params;
    bool is_intrinsic = p->attribute.intrinsic != TRACEQL_NO_INTRINSIC;
    struct tempo_names_ask asks[TRACE_TABLES];
    struct taking k;
    struct err *e;
    size_t n = 0;

    t->content_type = HTTP_JSON;
    taking_init(&k, t, p->is_v2);
    for (unsigned i = 0; i < (is_intrinsic ? 1 : TRACE_TABLES); i++) {
        if (!is_intrinsic && !is_in(p->attribute.scope, (enum tracetable)i))
            continue;
        add_ask(asks, &n, t, (enum tracetable)i, &k);
        asks[n - 1].req.attribute = p->attribute.name;
        asks[n - 1].req.intrinsic = p->attribute.intrinsic;
    }
    e = ask(t, asks, n);
    buf_str(&t->out, "{\"tagValues\":[");
    e = taking_end(&k, &t->out, e);
    buf_str(&t->out, "],\"metrics\":{}}");
    return e;
}

/* ---- on a loop ---- */

static struct err *read_scope(struct http_request *r, struct tags_params *p)
{
    struct slice scope = http_param(r, "scope");
    bool is_all = !scope.len || slice_eq_cstr(scope, "all") || slice_eq_cstr(scope, "none");
    bool is_known = is_all;

    for (size_t i = 0; i < TRACE_TABLES; i++) {
        p->scopes[i] = is_all || slice_eq_cstr(scope, scope_names[i]);
        is_known = is_known || p->scopes[i];
    }
    p->has_intrinsics = (is_all && p->is_v2) || slice_eq_cstr(scope, scope_names[TRACE_TABLES]);
    return is_known || p->has_intrinsics
               ? NULL
               : err_new(ERR_INVALID, "invalid scope: %.*s", SLICE_ARG(slice_sub(scope, 0, 64)));
}

static void answer(struct http_request *r, struct tags_params *p, prom_work_fn *work)
{
    struct slice tenant;
    struct err *e;

    if (!tempo_api_begin(r, &tenant))
        return;
    p->api = r->arg;
    if (!(e = tempo_api_range(r, &p->range)) &&
        !(e = tempo_api_count(r, "limit", 0, MAX_NAMES, &p->limit)))
        e = tempo_api_count(r, "maxStaleValues", 0, UINT32_MAX, &p->max_stale);
    if (!tempo_api_failed(r, e))
        tempo_api_task(r, tenant, work, p);
}

static void answer_tags(struct http_request *r, bool is_v2)
{
    struct tags_params *p = arena_new_of(r->arena, struct tags_params);

    p->is_v2 = is_v2;
    p->q = is_v2 ? http_param(r, "q") : SLICE("");
    if (!tempo_api_failed(r, read_scope(r, p)))
        answer(r, p, run_tags);
}

void tempo_tags(struct http_request *r)
{
    answer_tags(r, false);
}

void tempo_tags_v2(struct http_request *r)
{
    answer_tags(r, true);
}

/* "resource.service.name", "status": as TraceQL writes it. */
static struct err *read_attribute(struct http_request *r, struct slice name,
                                  struct traceql_attribute *ret)
{
    struct traceql q;
    struct err *e = traceql_parse(
        r->arena, slice_cstr(arena_printf(r->arena, "{} | select(%.*s)", SLICE_ARG(name))), &q);

    if (e)
        return err_wrap(e, "invalid tag \"%.*s\"", SLICE_ARG(slice_sub(name, 0, 128)));
    if (q.pipeline.n != 2 || q.pipeline.ptr[1].kind != TRACEQL_SELECT ||
        q.pipeline.ptr[1].u.select.n != 1)
        return err_new(ERR_INVALID, "invalid tag \"%.*s\"", SLICE_ARG(slice_sub(name, 0, 128)));
    *ret = q.pipeline.ptr[1].u.select.ptr[0];
    return NULL;
}

void tempo_values(struct http_request *r)
{
    struct tags_params *p = arena_new_of(r->arena, struct tags_params);

    /* without a scope, and what is a word of TraceQL is an attribute, too */
    p->attribute = (struct traceql_attribute){.name = http_request_segment(r, "name")};
    if (slice_eq_cstr(p->attribute.name, "name"))
        p->attribute = (struct traceql_attribute){.intrinsic = TRACEQL_NAME};
    else if (slice_eq_cstr(p->attribute.name, "status"))
        p->attribute = (struct traceql_attribute){.intrinsic = TRACEQL_SPAN_STATUS};
    answer(r, p, run_values);
}

void tempo_values_v2(struct http_request *r)
{
    struct tags_params *p = arena_new_of(r->arena, struct tags_params);
    struct err *e = read_attribute(r, http_request_segment(r, "name"), &p->attribute);

    p->is_v2 = true;
    p->attribute_text = http_request_segment(r, "name");
    p->q = http_param(r, "q");
    if (!tempo_api_failed(r, e))
        answer(r, p, run_values);
}
