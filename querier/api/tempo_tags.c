/* search/tags and search/tag/{name}/values, both versions. */
#include "common/base/map.h"
#include "common/lang/traceql.h"
#include "querier/api/tempo_api_internal.h"

#define MAX_NAMES 100000 /* whatever the limit says */

struct tags_params {
    const struct tempo_api *api;
    struct tempo_range range;
    bool is_v2;
    bool scopes[TRACE_TABLES], has_intrinsics; /* that are asked for */
    struct traceql_attribute attribute;        /* of values */
    uint32_t limit;
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

struct taking {
    struct prom_task *task;
    struct map seen; /* of all sources */
    struct buf key;
    uint32_t limit;
    bool is_typed, is_cut; /* there are more */
};

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
    struct buf *out = &k->task->out;

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
    return k->seen.len >= (k->limit ? k->limit : MAX_NAMES);
}

/* With a limit no other is wanted once there are as many. Without one the next that is different tells that there are too many. */
static bool take(void *arg, struct slice s, enum tracecell_type type)
{
    struct taking *k = arg;

    buf_reset(&k->key);
    buf_byte(&k->key, (uint8_t)(k->is_typed ? type : TRACECELL_STRING));
    buf_slice_append(&k->key, s);
    if (map_has(&k->seen, buf_slice(&k->key)))
        return true;
    if (is_full(k)) {
        k->is_cut = true;
        return false;
    }
    (void)map_put(&k->seen, buf_slice(&k->key), k);
    arena_charge(k->task->arena, (int64_t)s.len + 64);
    put_name(k, s, type);
    return (!k->limit || !is_full(k)) && !arena_over(k->task->arena);
}

/* What was cut off without being asked for is an error, not a list that looks whole. */
static struct err *taking_end(struct taking *k, struct err *e)
{
    const struct arena *a = k->task->arena;

    if (!e && arena_over(a))
        e = err_new(ERR_LIMIT,
                    "the names take more than max-query-memory (%zu bytes): ask for less "
                    "time, or with a limit",
                    arena_limit(a));
    if (!e && !k->limit && k->is_cut)
        e = err_new(ERR_LIMIT, "there are more than %u: ask with a limit", MAX_NAMES);
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

static struct err *put_table(struct prom_task *t, const struct tracesource *source,
                             enum tracetable table, struct taking *k)
{
    struct tracesource_names_request req = request_of(t);

    req.table = table;
    return tracesource_names(source, &req, take, k);
}

static void put_intrinsics(struct taking *k)
{
    for (size_t i = 0; i < ORR_COUNT(intrinsics); i++)
        (void)take(k, slice_cstr(intrinsics[i]), TRACECELL_STRING);
}

static struct err *put_scope(struct prom_task *t, const struct tracesource *source,
                             enum tracetable table, bool *is_first)
{
    const struct tags_params *p = t->params;
    struct taking k = {.task = t, .limit = p->limit};
    struct err *e = NULL;

    buf_printf(&t->out, "%s{\"name\":\"%s\",\"tags\":[", *is_first ? "" : ",", scope_names[table]);
    *is_first = false;
    if (table == TRACE_TABLES)
        put_intrinsics(&k);
    else
        e = put_table(t, source, table, &k);
    buf_str(&t->out, "]}");
    return taking_end(&k, e);
}

static struct err *put_scopes(struct prom_task *t, const struct tracesource *source)
{
    const struct tags_params *p = t->params;
    struct err *e = NULL;
    bool is_first = true;

    buf_str(&t->out, "{\"scopes\":[");
    for (unsigned i = 0; i < TRACE_TABLES && !e; i++)
        if (p->scopes[i])
            e = put_scope(t, source, (enum tracetable)i, &is_first);
    if (!e && p->has_intrinsics)
        e = put_scope(t, source, TRACE_TABLES, &is_first);
    buf_str(&t->out, "],\"metrics\":{}}");
    return e;
}

static struct err *put_names(struct prom_task *t, const struct tracesource *source)
{
    const struct tags_params *p = t->params;
    struct taking k = {.task = t, .limit = p->limit};
    struct err *e = NULL;

    buf_str(&t->out, "{\"tagNames\":[");
    for (unsigned i = 0; i < TRACE_TABLES && !e; i++)
        if (p->scopes[i])
            e = put_table(t, source, (enum tracetable)i, &k);
    if (!e && p->has_intrinsics)
        put_intrinsics(&k);
    buf_str(&t->out, "],\"metrics\":{}}");
    return taking_end(&k, e);
}

static struct err *run_tags(struct prom_task *t)
{
    const struct tags_params *p = t->params;
    struct tracesource source;
    struct tracescan_opts scan;
    struct err *e = tempo_api_scan(p->api, t, p->range, &source, &scan);

    t->content_type = HTTP_JSON;
    if (e)
        return e;
    return p->is_v2 ? put_scopes(t, &source) : put_names(t, &source);
}

/* The tables in which an attribute of the scope may be. */
static bool is_in(enum traceql_scope scope, enum tracetable table)
{
    static const enum tracetable of[] = {
        [TRACEQL_SCOPE_RESOURCE] = TRACE_RESOURCES,
        [TRACEQL_SCOPE_SPAN] = TRACE_SPANS,
        [TRACEQL_SCOPE_EVENT] = TRACE_EVENTS,
        [TRACEQL_SCOPE_LINK] = TRACE_LINKS,
        [TRACEQL_SCOPE_INSTRUMENTATION] = TRACE_LIBRARIES,
    };

    return scope == TRACEQL_SCOPE_ANY || of[scope] == table;
}

static struct err *run_values(struct prom_task *t)
{
    const struct tags_params *p = t->params;
    struct taking k = {.task = t, .limit = p->limit, .is_typed = p->is_v2};
    struct tracesource source;
    struct tracescan_opts scan;
    struct err *e = tempo_api_scan(p->api, t, p->range, &source, &scan);

    t->content_type = HTTP_JSON;
    buf_str(&t->out, "{\"tagValues\":[");
    for (unsigned i = 0; i < TRACE_TABLES && !e; i++) {
        struct tracesource_names_request req = request_of(t);

        if (p->attribute.intrinsic != TRACEQL_NO_INTRINSIC && i > 0)
            break;
        if (p->attribute.intrinsic == TRACEQL_NO_INTRINSIC &&
            !is_in(p->attribute.scope, (enum tracetable)i))
            continue;
        req.table = (enum tracetable)i;
        req.attribute = p->attribute.name;
        req.intrinsic = p->attribute.intrinsic;
        e = tracesource_names(&source, &req, take, &k);
    }
    buf_str(&t->out, "],\"metrics\":{}}");
    return taking_end(&k, e);
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
    if (!(e = tempo_api_range(r, &p->range)))
        e = tempo_api_count(r, "limit", 0, MAX_NAMES, &p->limit);
    if (!tempo_api_failed(r, e))
        tempo_api_task(r, tenant, work, p);
}

static void answer_tags(struct http_request *r, bool is_v2)
{
    struct tags_params *p = arena_new_of(r->arena, struct tags_params);

    p->is_v2 = is_v2;
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
    if (!e && http_param(r, "q").len && !slice_eq_cstr(http_param(r, "q"), "{}"))
        e = err_new(ERR_UNSUPPORTED, "q is not supported for tag values");
    if (!tempo_api_failed(r, e))
        answer(r, p, run_values);
}
