/* traces, traces/{id} */
#include "common/base/hex.h"
#include "common/base/jsonval.h"
#include "querier/api/jaeger_api_internal.h"
#include "querier/api/jaeger_out.h"
#include "querier/api/tagquery.h"

#define DEF_LIMIT 100
#define DEF_SINCE_NS (48 * 3600 * NS_PER_S)
#define MAX_TAGS_DEPTH 4
#define MAX_TAGS_BYTES 65536

struct find_params {
    struct trace_ask ask; /* but the task */
    struct slice query;   /* else: */
    uint8_t (*ids)[16];
    size_t n_ids;
    uint32_t limit;
    bool is_one; /* 404 if it is not there */
};

/* ---- on a worker ---- */

struct putting {
    struct prom_task *task;
    uint64_t n;
};

static struct err *put_trace(void *arg, struct arena *a, struct tracepiece *p)
{
    struct putting *k = arg;

    if (k->n++)
        buf_byte(&k->task->out, ',');
    jaeger_out(&k->task->out, a, p);
    return prom_task_flush(k->task);
}

static struct err *run(struct prom_task *t)
{
    const struct find_params *p = t->params;
    struct trace_ask q = p->ask;
    struct putting k = {.task = t};
    struct err *e;

    q.task = t;
    t->content_type = HTTP_JSON;
    jaeger_api_open(&t->out);
    e = p->n_ids ? trace_ask_traces(&q, p->ids, p->n_ids, put_trace, &k)
                 : trace_ask_search(&q, p->query, p->limit, put_trace, &k);
    if (e)
        return e;
    if (p->is_one && !k.n)
        return err_new(ERR_NOT_FOUND, "trace not found");
    jaeger_api_end(&t->out, k.n);
    return NULL;
}

/* ---- on a loop: what is asked for as TraceQL ---- */

struct writing {
    struct buf out;
    bool is_begun;
};

static void also(struct writing *w)
{
    buf_str(&w->out, w->is_begun ? " && " : "{ ");
    w->is_begun = true;
}

/* key:value */
static struct err *put_tag(struct writing *w, struct slice tag)
{
    ptrdiff_t colon = slice_find(tag, SLICE(":"), 0);

    if (colon <= 0)
        return err_new(ERR_INVALID,
                       "malformed 'tag' parameter, expecting key:value, received: %.*s",
                       SLICE_ARG(slice_sub(tag, 0, 128)));
    also(w);
    tagquery_equals(&w->out, slice_sub(tag, 0, (size_t)colon), slice_from(tag, (size_t)colon + 1));
    return NULL;
}

/* {"key":"value"} */
static struct err *put_tags(struct writing *w, struct slice json)
{
    struct jsonval_doc *doc;
    struct jsonval root, v;
    struct jsonval_iter it;
    struct slice key;
    struct err *e;

    if (json.len > MAX_TAGS_BYTES)
        return err_new(ERR_INVALID, "malformed 'tags' parameter: more than %d bytes",
                       MAX_TAGS_BYTES);
    if ((e = jsonval_parse(json, MAX_TAGS_DEPTH, &doc, &root)))
        return err_wrap(e, "malformed 'tags' parameter, cannot unmarshal JSON");
    if (jsonval_kind(root) != JSONVAL_OBJECT)
        e = err_new(ERR_INVALID, "malformed 'tags' parameter: not an object");
    for (it = jsonval_iter(root); !e && jsonval_next(&it, &key, &v);) {
        if (jsonval_kind(v) != JSONVAL_TEXT) {
            e = err_new(ERR_INVALID, "malformed 'tags' parameter: a value that is not a text");
            break;
        }
        also(w);
        tagquery_equals(&w->out, key, jsonval_text(v));
    }
    jsonval_free(doc);
    return e;
}

static struct err *put_duration(struct http_request *r, struct writing *w, const char *name,
                                const char *op)
{
    int64_t ns;
    struct err *e = tempo_api_duration(r, name, &ns);

    if (e || !ns)
        return e;
    also(w);
    buf_printf(&w->out, "duration %s %lldns", op, (long long)ns);
    return NULL;
}

static struct err *write_query(struct http_request *r, struct writing *w)
{
    struct slice service = http_param(r, "service"), operation = http_param(r, "operation"), s;
    struct err *e = NULL;

    if (service.len) {
        also(w);
        tagquery_service(&w->out, service);
    }
    if (operation.len) {
        also(w);
        buf_str(&w->out, "name = ");
        tagquery_text(&w->out, operation);
    }
    for (size_t pos = 0; !e && http_param_next(r, "tag", &pos, &s);)
        e = put_tag(w, s);
    for (size_t pos = 0; !e && http_param_next(r, "tags", &pos, &s);)
        e = put_tags(w, s);
    if (e || (e = put_duration(r, w, "minDuration", ">=")) ||
        (e = put_duration(r, w, "maxDuration", "<=")))
        return e;
    buf_str(&w->out, w->is_begun ? " }" : "{ }");
    return NULL;
}

static struct err *read_query(struct http_request *r, struct find_params *p)
{
    struct writing w = {0};
    struct err *e = write_query(r, &w);

    if (!e && !(e = jaeger_api_range(r, DEF_SINCE_NS, &p->ask.range)))
        e = tempo_api_count(r, "limit", DEF_LIMIT, JAEGER_API_MAX_LIMIT, &p->limit);
    if (!p->limit)
        p->limit = DEF_LIMIT;
    p->query = arena_dup(r->arena, buf_slice(&w.out));
    buf_done(&w.out);
    return e;
}

static struct err *add_id(struct http_request *r, struct find_params *p, struct slice text)
{
    if (p->n_ids == JAEGER_API_MAX_LIMIT)
        return err_new(ERR_INVALID, "more than %d trace ids", JAEGER_API_MAX_LIMIT);
    p->ids = arena_more(r->arena, p->ids, p->n_ids);
    if (!text.len || text.len > 32 || hex_id(text, p->ids[p->n_ids], 16) >= 0)
        return err_new(ERR_INVALID, "malformed trace ID: it has 1 to 32 hexadecimal digits");
    p->n_ids++;
    return NULL;
}

static void answer(struct http_request *r, struct find_params *p, struct err *e)
{
    struct slice tenant;

    p->ask.api = r->arg;
    if (p->n_ids)
        p->ask.range = TEMPO_ALL_TIMES;
    if (!jaeger_api_failed(r, e) && jaeger_api_begin(r, &tenant))
        jaeger_api_task(r, tenant, run, p);
}

void jaeger_traces(struct http_request *r)
{
    struct find_params *p = arena_new_of(r->arena, struct find_params);
    struct err *e = NULL;
    struct slice id;

    for (size_t pos = 0; !e && http_param_next(r, "traceID", &pos, &id);)
        e = add_id(r, p, id);
    if (!e && !p->n_ids)
        e = read_query(r, p);
    answer(r, p, e);
}

void jaeger_trace(struct http_request *r)
{
    struct find_params *p = arena_new_of(r->arena, struct find_params);

    p->is_one = true;
    answer(r, p, add_id(r, p, http_request_segment(r, "id")));
}
