/* traces, traces/{id} */
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
    struct trace_find find;
    bool is_one; /* 404 if it is not there */
};

/* ---- on a worker ---- */

static struct err *run(struct prom_task *t)
{
    const struct find_params *p = t->params;
    struct trace_ask q = p->ask;
    struct err *e;
    uint64_t n;

    q.task = t;
    t->content_type = HTTP_JSON;
    jaeger_api_open(&t->out);
    if ((e = trace_ask_find(&q, &p->find, jaeger_out, &n)))
        return e;
    if (p->is_one && !n)
        return err_new(ERR_NOT_FOUND, "trace not found");
    jaeger_api_end(&t->out, n);
    return NULL;
}

/* ---- on a loop: what is asked for as TraceQL ---- */

/* key:value */
static struct err *put_tag(struct buf *out, struct slice tag)
{
    ptrdiff_t colon = slice_find(tag, SLICE(":"), 0);

    if (colon <= 0)
        return err_new(ERR_INVALID,
                       "malformed 'tag' parameter, expecting key:value, received: %.*s",
                       SLICE_ARG(slice_sub(tag, 0, 128)));
    tagquery_also(out);
    tagquery_equals(out, slice_sub(tag, 0, (size_t)colon), slice_from(tag, (size_t)colon + 1));
    return NULL;
}

/* {"key":"value"} */
static struct err *put_tags(struct buf *out, struct slice json)
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
        tagquery_also(out);
        tagquery_equals(out, key, jsonval_text(v));
    }
    jsonval_free(doc);
    return e;
}

static struct err *put_duration(struct http_request *r, struct buf *out, const char *name,
                                const char *op)
{
    int64_t ns;
    struct err *e = tempo_api_duration(r, name, &ns);

    if (e || !ns)
        return e;
    tagquery_also(out);
    tagquery_duration(out, op, ns);
    return NULL;
}

static struct err *write_query(struct http_request *r, struct buf *out)
{
    struct slice service = http_param(r, "service"), operation = http_param(r, "operation"), s;
    struct err *e = NULL;

    if (service.len) {
        tagquery_also(out);
        tagquery_service(out, service);
    }
    if (operation.len) {
        tagquery_also(out);
        tagquery_name(out, operation);
    }
    for (size_t pos = 0; !e && http_param_next(r, "tag", &pos, &s);)
        e = put_tag(out, s);
    for (size_t pos = 0; !e && http_param_next(r, "tags", &pos, &s);)
        e = put_tags(out, s);
    if (e || (e = put_duration(r, out, "minDuration", ">=")) ||
        (e = put_duration(r, out, "maxDuration", "<=")))
        return e;
    tagquery_end(out);
    return NULL;
}

static struct err *read_query(struct http_request *r, struct find_params *p)
{
    struct buf query = {0};
    struct err *e = write_query(r, &query);

    if (!e && !(e = jaeger_api_range(r, DEF_SINCE_NS, &p->ask.range)))
        e = tempo_api_count(r, "limit", DEF_LIMIT, TRACE_ASK_MAX_TRACES, &p->find.limit);
    if (!p->find.limit)
        p->find.limit = DEF_LIMIT;
    p->find.traceql = arena_dup(r->arena, buf_slice(&query));
    buf_done(&query);
    return e;
}

static struct find_params *params_of(struct http_request *r)
{
    struct find_params *p = arena_new_of(r->arena, struct find_params);

    p->ask.api = r->arg;
    return p;
}

void jaeger_traces(struct http_request *r)
{
    struct find_params *p = params_of(r);
    struct err *e = NULL;
    struct slice id;

    for (size_t pos = 0; !e && http_param_next(r, "traceID", &pos, &id);)
        e = trace_param_id(r, id, &p->find);
    if (!e && !p->find.n_ids)
        e = read_query(r, p);
    jaeger_api_answer(r, e, run, p);
}

void jaeger_trace(struct http_request *r)
{
    struct find_params *p = params_of(r);

    p->is_one = true;
    jaeger_api_answer(r, trace_param_id(r, http_request_segment(r, "id"), &p->find), run, p);
}
