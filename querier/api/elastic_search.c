/* _search, _count, _msearch. */
#include "common/base/clock.h"
#include "common/process/elastic_page.h"
#include "querier/api/elastic_api_internal.h"

struct search_params {
    struct elastic_search search;
    bool is_many; /* body: pairs of lines */
};

/* What one search needs while it runs. */
struct running {
    struct prom_task *task;
    const struct elastic_search *search;
    struct elastic_names *names;
    struct esbody body;
    struct esplan plan;
    struct logsearch found;
    struct logremote remote;
    struct jsonval_doc *json;
    int64_t start_ms;
};

/* ---- what is asked ---- */

static struct err *read_params(struct running *x)
{
    struct err *e = NULL;
    bool is_known;

    for (size_t i = 0; i < x->search->n_params && !e; i++)
        e = esbody_param(&x->body, x->search->params[i].name, x->search->params[i].value,
                         &is_known);
    return e;
}

static struct err *read_body(struct running *x)
{
    struct slice text = slice_trim(x->search->body);
    struct jsonval root;
    struct err *e;

    if (text.len) {
        if ((e = jsonval_parse(text, ESBODY_MAX_DEPTH, &x->json, &root)))
            return e;
        arena_charge(x->task->arena, (int64_t)jsonval_memory(x->json));
        if ((e = esbody_parse(&x->body, root)))
            return e;
    }
    if ((e = read_params(x)))
        return e;
    if (x->search->kind == ELASTIC_COUNT) {
        x->body.size = x->body.from = 0;
        x->body.track = UINT64_MAX;
    }
    return esbody_end(&x->body,
                      (uint64_t)ORR_MAX(x->task->limits.max_entries_limit_per_query, (int64_t)0));
}

/* ---- the range of time ---- */

static struct err *found_older(int64_t length_ns)
{
    return err_new(ERR_LIMIT,
                   "the search has no lower bound on @timestamp, and there are lines older than "
                   "%llds, the longest time range of a query (limits.max-query-length): add a "
                   "range on @timestamp",
                   (long long)(length_ns / NS_PER_S));
}

/* Whether a search that names no beginning would miss something. */
static struct err *check_older(struct running *x, int64_t before_ns)
{
    struct logremote_range range = {.end_ns = before_ns};
    struct logremote_stream st;
    struct logremote_streams *streams;
    bool has_any = false;
    struct err *e = NULL;

    for (size_t i = 0; i < x->plan.n_selects && !has_any && !e; i++) {
        if ((e = logremote_streams(&x->remote, x->plan.selects[i].logs.matchers, range, false,
                                   &streams)))
            break;
        has_any = logremote_streams_next(streams, &st);
        e = logremote_streams_close(streams);
    }
    return !e && has_any ? found_older(x->task->limits.max_query_length_ns) : e;
}

static struct err *set_range(struct running *x)
{
    const struct tenant_limits *l = &x->task->limits;
    int64_t now_ns = clock_wall_ms(&clock_system) * NS_PER_MS, max_ns = l->max_query_length_ns;
    int64_t ahead_ns = l->creation_grace_period_ns;
    struct logquery *q = &x->found.limits;
    int64_t until;

    q->start_ns = x->plan.has_from ? ORR_MAX(x->plan.from_ns, -LOGQUERY_MAX_NS + 1) : 0;
    q->end_ns = x->plan.has_to ? ORR_MIN(x->plan.to_ns, LOGQUERY_MAX_NS - 1)
                : ahead_ns > 0 ? now_ns + ahead_ns + NS_PER_S
                               : LOGQUERY_MAX_NS - 1;
    until = ORR_MIN(q->end_ns, now_ns);
    if (l->max_query_lookback_ns > 0)
        q->start_ns = ORR_MAX(q->start_ns, now_ns - l->max_query_lookback_ns);
    if (q->end_ns < q->start_ns)
        q->end_ns = q->start_ns;
    if (max_ns <= 0 || until - q->start_ns <= max_ns)
        return NULL;
    if (x->plan.has_from)
        return err_new(ERR_LIMIT,
                       "the query time range exceeds the limit (query length: %llds, limit: %llds; "
                       "limits.max-query-length)",
                       (long long)((until - q->start_ns) / NS_PER_S),
                       (long long)(max_ns / NS_PER_S));
    q->start_ns = until - max_ns;
    return check_older(x, q->start_ns);
}

/* ---- indices that are not there ---- */

static bool is_there(const struct store_names *names, struct slice index)
{
    for (size_t i = 0; i < names->n; i++)
        if (slice_eq(names->ptr[i], index))
            return true;
    return false;
}

/* Nothing was found: because an index that is named is not there at all? */
static struct err *check_indices(struct running *x)
{
    struct logremote_range range = elastic_api_recent(x->task);
    struct store_names there = {0};
    struct err *e;

    if (x->found.has_streams || x->search->ignores_unavailable)
        return NULL;
    for (size_t i = 0; i < x->names->n_include; i++) {
        struct slice name = x->names->include[i];

        if (slice_find_byte(name, '*', 0) >= 0 || slice_eq_cstr(name, ESDOC_NO_INDEX))
            continue;
        if (!there.ptr &&
            (e = logremote_names(&x->remote, (struct matchers){0}, SLICE("index"), range, &there)))
            return e;
        if (!is_there(&there, name))
            return err_new(ERR_NOT_FOUND, "no such index [%.*s]", SLICE_ARG(name));
    }
    return NULL;
}

/* ---- the answer ---- */

static void put_total(const struct running *x, struct buf *out)
{
    const struct logsearch *s = &x->found;

    if (x->body.track == 0)
        return;
    if (x->search->has_int_total)
        buf_printf(out, "\"total\":%llu,", (unsigned long long)s->total);
    else
        buf_printf(out, "\"total\":{\"value\":%llu,\"relation\":\"%s\"},",
                   (unsigned long long)s->total, s->is_at_least ? "gte" : "eq");
}

#define SHARDS "\"_shards\":{\"total\":1,\"successful\":1,\"skipped\":0,\"failed\":0}"

static struct err *put_hits(struct running *x, struct buf *out)
{
    const struct logsearch *s = &x->found;
    struct err *e = NULL;

    buf_printf(out, "{\"took\":%lld,\"timed_out\":false," SHARDS ",\"hits\":{",
               (long long)(clock_mono_ms(&clock_system) - x->start_ms));
    put_total(x, out);
    buf_printf(out, "\"max_score\":%s,\"hits\":[", x->body.has_sort || !s->n_hits ? "null" : "1.0");
    for (size_t i = 0; i < s->n_hits && buf_ok(out); i++) {
        if (i)
            buf_byte(out, ',');
        logsearch_hit_json(s, i, out);
        if ((e = logsearch_look(s)))
            return e;
    }
    buf_str(out, "]}");
    if (s->aggs) {
        buf_str(out, ",\"aggregations\":");
        e = esagg_run_json(s->aggs, out, x->search->has_typed_keys);
    }
    return e;
}

static struct err *answer(struct running *x, struct buf *out)
{
    struct err *e;

    if (x->search->kind == ELASTIC_COUNT) {
        buf_printf(out, "{\"count\":%llu," SHARDS, (unsigned long long)x->found.total);
        return NULL;
    }
    if ((e = put_hits(x, out)))
        return e;
    if (arena_over(x->task->arena))
        return err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                       arena_limit(x->task->arena));
    return NULL;
}

/* ---- one search ---- */

static struct err *run_one(struct running *x, struct buf *out)
{
    struct prom_task *t = x->task;
    struct logquery *q = &x->found.limits;
    struct err *e;

    if ((e = read_body(x)) || (e = elastic_names_parse(t->arena, x->search->index, x->names)) ||
        (e = elastic_names_query(&x->body.queries, x->names, &x->body.query)) ||
        (e = esplan_make(t->arena, x->body.query, x->names->include, x->names->n_include,
                         &x->plan)))
        return e;
    elastic_api_remote(t, &x->remote);
    q->max_bytes = (uint64_t)t->limits.max_query_bytes_read;
    q->deadline_mono_ms = t->deadline_mono_ms;
    if (x->body.timeout_ms)
        q->deadline_mono_ms = ORR_MIN(q->deadline_mono_ms, x->start_ms + x->body.timeout_ms);
    q->cancel = &t->cancel;
    x->found.body = &x->body;
    x->found.plan = &x->plan;
    if ((e = set_range(x)) || (e = logsearch_run(&x->found, &x->remote.source, t->arena)) ||
        (e = check_indices(x)))
        return e;
    return answer(x, out);
}

/* Without the last brace. */
static struct err *search_one(struct prom_task *t, const struct elastic_search *s, struct buf *out)
{
    struct running x = {.task = t, .search = s, .start_ms = clock_mono_ms(&clock_system)};
    struct err *e;

    x.names = arena_new_of(t->arena, struct elastic_names);
    esbody_init(&x.body, t->arena, clock_wall_ms(&clock_system) * NS_PER_MS);
    e = run_one(&x, out);
    if (x.found.arena)
        logsearch_done(&x.found);
    esplan_done(&x.plan);
    esbody_done(&x.body);
    jsonval_free(x.json);
    return e;
}

/* ---- many ---- */

static struct err *read_header(struct prom_task *t, struct slice line, struct elastic_search *s)
{
    struct jsonval_iter it;
    struct jsonval root, v;
    struct jsonval_doc *doc;
    struct slice name;
    struct err *e = jsonval_parse(line, 8, &doc, &root);

    if (e)
        return err_wrap(e, "_msearch: a header");
    for (it = jsonval_iter(root); jsonval_next(&it, &name, &v);) {
        if (slice_eq_cstr(name, "ignore_unavailable"))
            s->ignores_unavailable = jsonval_kind(v) == JSONVAL_BOOL && jsonval_bool(v);
        else if (slice_eq_cstr(name, "index"))
            s->index = elastic_names_join(t->arena, v);
    }
    jsonval_free(doc);
    return NULL;
}

/* What is wrong with one search is its own answer; what is wrong here is everybody's. */
static bool is_its_own(const struct prom_task *t, const struct err *e)
{
    return !arena_over(t->arena) && (err_is(e, ERR_INVALID) || err_is(e, ERR_UNSUPPORTED) ||
                                     err_is(e, ERR_LIMIT) || err_is(e, ERR_NOT_FOUND));
}

static struct err *put_one(struct prom_task *t, const struct elastic_search *s)
{
    size_t before = t->out.len;
    struct err *e = search_one(t, s, &t->out);

    if (!e) {
        buf_str(&t->out, ",\"status\":200}");
        return NULL;
    }
    if (!is_its_own(t, e))
        return e;
    t->out.len = before;
    (void)elastic_page_error_text(&t->out, e);
    return NULL;
}

static struct err *run_many(struct prom_task *t, const struct elastic_search *all)
{
    int64_t start_ms = clock_mono_ms(&clock_system);
    struct slice rest = all->body, header, body;
    struct err *e = NULL;
    size_t n = 0;

    buf_str(&t->out, "{\"responses\":[");
    while (!e && slice_split(&rest, '\n', &header)) {
        struct elastic_search s = *all;

        header = slice_trim(header);
        if (!header.len && !slice_trim(rest.ptr ? rest : SLICE_EMPTY).len)
            break;
        if (!slice_split(&rest, '\n', &body) || !slice_trim(body).len)
            return err_new(ERR_INVALID, "_msearch: the body behind header %zu is missing", n + 1);
        if (++n > ELASTIC_MAX_SEARCHES)
            return err_new(ERR_LIMIT, "_msearch: more than %d searches", ELASTIC_MAX_SEARCHES);
        s.body = body;
        if (header.len && (e = read_header(t, header, &s)))
            return e;
        if (n > 1)
            buf_byte(&t->out, ',');
        e = put_one(t, &s);
    }
    if (!e && n == 0)
        e = err_new(ERR_INVALID, "_msearch: no searches");
    buf_printf(&t->out, "],\"took\":%lld}", (long long)(clock_mono_ms(&clock_system) - start_ms));
    return e;
}

static struct err *run_search(struct prom_task *t)
{
    const struct search_params *p = t->params;
    struct err *e;

    if (p->is_many)
        return run_many(t, &p->search);
    e = search_one(t, &p->search, &t->out);
    buf_byte(&t->out, '}');
    return e;
}

/* ---- on a loop ---- */

static bool is_true(struct slice v)
{
    return v.ptr && !slice_eq_cstr(v, "false");
}

static void start(struct http_request *r, enum elastic_kind kind, bool is_many)
{
    struct search_params *p = arena_new_of(r->arena, struct search_params);
    struct elastic_search *s = &p->search;
    struct slice tenant;

    if (!elastic_api_begin(r, &tenant))
        return;
    p->is_many = is_many;
    s->kind = kind;
    s->index = elastic_api_index(r);
    s->body = r->body;
    s->ignores_unavailable = is_true(http_param(r, "ignore_unavailable"));
    s->has_typed_keys = is_true(http_param(r, "typed_keys"));
    s->has_int_total = is_true(http_param(r, "rest_total_hits_as_int"));
    if (!is_many)
        s->params = http_param_all(r, &s->n_params);
    elastic_api_task(r, tenant, run_search, p);
}

void elastic_search(struct http_request *r)
{
    start(r, ELASTIC_SEARCH, false);
}

void elastic_count(struct http_request *r)
{
    start(r, ELASTIC_COUNT, false);
}

void elastic_msearch(struct http_request *r)
{
    start(r, ELASTIC_SEARCH, true);
}
