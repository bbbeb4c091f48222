/* search; the legacy form of a query. */
#include "common/logs/logfmt.h"
#include "querier/api/tagquery.h"
#include "querier/api/tempo_api_internal.h"
#include "querier/traces/tracehint.h"
#include "querier/traces/tracesearch.h"

#define DEF_LIMIT 20
#define MAX_LIMIT 100000
#define DEF_SPANS 3
#define MAX_SPANS 100000

struct search_params {
    const struct tempo_api *api;
    struct slice query;
    struct tempo_range range;
    uint32_t limit, spans;
    int64_t min_ns, max_ns;
};

/* ---- on a worker ---- */

static struct err *run(struct prom_task *t)
{
    const struct search_params *p = t->params;
    struct tracesearch_opts opts = {.limit = p->limit,
                                    .spans_per_set = p->spans,
                                    .min_duration_ns = p->min_ns,
                                    .max_duration_ns = p->max_ns};
    struct tracesearch_result found;
    struct tracesource source;
    struct tracehints hints;
    struct traceql query;
    struct err *e;

    t->content_type = HTTP_JSON;
    opts.query = &query;
    if ((e = traceql_parse(t->arena, p->query, &query)) || (e = tracehints_of(&query, &hints)) ||
        (e = tempo_api_scan(p->api, t, p->range, &source, &opts.scan)) ||
        (e = tracesearch(&opts, &found)))
        return e;
    tracesearch_json(&t->out, &found);
    tracesearch_done(&found);
    return NULL;
}

/* ---- on a loop ---- */

/* Names that the old search gave a meaning of their own. */
static const struct {
    const char *tag, *traceql;
    bool is_word; /* its value is a word of TraceQL, no text */
} known_tags[] = {
    {"name", "name", false},
    {"status.code", "status", true},
    {"root.name", "rootName", false},
    {"root.service.name", "rootServiceName", false},
};

static void put_tag(struct buf *out, struct slice key, struct slice value)
{
    struct buf operand = {0};

    if (slice_eq_cstr(key, "error") && slice_eq_cstr(value, "true")) {
        buf_str(out, "status = error");
        return;
    }
    for (size_t i = 0; i < ORR_COUNT(known_tags); i++) {
        if (!slice_eq_cstr(key, known_tags[i].tag))
            continue;
        if (known_tags[i].is_word) {
            buf_printf(out, "%s = %.*s", known_tags[i].traceql, SLICE_ARG(value));
            return;
        }
        buf_str(&operand, known_tags[i].traceql);
    }
    if (!operand.len) {
        buf_byte(&operand, '.');
        tagquery_text(&operand, key);
    }
    tagquery_contains(out, buf_slice(&operand), value);
    buf_done(&operand);
}

struct err *tempo_tags_query(struct arena *a, struct slice tags, struct slice *ret)
{
    struct logfmt it = logfmt_of(tags);
    struct buf out = {0}, scratch = {0};
    struct slice key, value;
    enum logfmt_what what;
    size_t n = 0;

    buf_str(&out, "{ ");
    while ((what = logfmt_next(&it, &scratch, &key, &value)) == LOGFMT_PAIR) {
        if (n++)
            buf_str(&out, " && ");
        put_tag(&out, key, value);
    }
    buf_str(&out, "}");
    *ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    buf_done(&scratch);
    return what == LOGFMT_END ? NULL
                              : err_new(ERR_INVALID, "invalid tags: %s at position %zu", it.error,
                                        it.error_pos + 1);
}

void tempo_search(struct http_request *r)
{
    struct search_params *p = arena_new_of(r->arena, struct search_params);
    struct slice tenant, tags = http_param(r, "tags");
    struct err *e;

    if (!tempo_api_begin(r, &tenant))
        return;
    p->api = r->arg;
    p->query = http_param(r, "q");
    if ((e = tempo_api_range(r, &p->range)) ||
        (e = tempo_api_count(r, "limit", DEF_LIMIT, MAX_LIMIT, &p->limit)) ||
        (e = tempo_api_count(r, "spss", DEF_SPANS, MAX_SPANS, &p->spans)) ||
        (e = tempo_api_duration(r, "minDuration", &p->min_ns)) ||
        (e = tempo_api_duration(r, "maxDuration", &p->max_ns)))
        ;
    else if (p->query.len && tags.len)
        e = err_new(ERR_INVALID, "invalid request: can't specify tags and q in the same query");
    else if (!p->query.len)
        e = tempo_tags_query(r->arena, tags, &p->query);
    if (!tempo_api_failed(r, e))
        tempo_api_task(r, tenant, run, p);
}
