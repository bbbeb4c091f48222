#include "querier/api/tempo_names.h"

#include "common/base/mem.h"
#include "querier/traces/tracecond.h"
#include "querier/traces/tracefield.h"
#include "querier/traces/tracenames.h"
#include "querier/traces/tracewant.h"

#define MAX_CONDITIONS 64 /* of an unfinished query */

/* ---- the filter ---- */

/* The expression of a query that is one pair of braces; NULL: it is something else. */
static const struct traceql_field *filter_of(const struct traceql *q)
{
    const struct traceql_element *el = q->pipeline.ptr;

    if (q->metrics || q->n_hints || q->pipeline.n != 1 || el->kind != TRACEQL_SPANSET ||
        el->u.spanset->kind != TRACEQL_FILTER)
        return NULL;
    return el->u.spanset->u.filter;
}

static bool says_nothing(const struct traceql_field *f)
{
    return f->kind == TRACEQL_STATIC && f->u.value.type == TRACEQL_BOOL && f->u.value.v.b;
}

static bool is_filter(struct arena *a, struct slice q)
{
    const struct traceql_field *f;
    struct traceql query;
    struct err *e = traceql_parse(a, q, &query);

    err_free(e);
    f = e ? NULL : filter_of(&query);
    return f && !says_nothing(f);
}

/* Where the text goes on behind what is quoted at i. */
static size_t behind_quotes(struct slice s, size_t i)
{
    uint8_t quote = s.ptr[i++];

    while (i < s.len && s.ptr[i] != quote)
        i += s.ptr[i] == '\\' && quote != '`' ? 2 : 1;
    return i + 1;
}

/* The length of what comes before the next && that is in no quotes or parentheses. False: there is an || there. */
static bool next_condition(struct slice s, size_t *ret)
{
    int depth = 0;
    size_t i = 0;

    while (i < s.len) {
        uint8_t c = s.ptr[i];

        if (c == '"' || c == '`') {
            i = behind_quotes(s, i);
            continue;
        }
        depth += (c == '(') - (c == ')');
        if (depth == 0 && (c == '&' || c == '|') && i + 1 < s.len && s.ptr[i + 1] == c) {
            *ret = i;
            return c == '&';
        }
        i++;
    }
    *ret = s.len;
    return true;
}

/* Those of the conditions that can be read alone. */
static struct slice readable(struct arena *a, struct slice inside)
{
    struct slice ret = {0};
    struct buf out = {0};

    buf_str(&out, "{ ");
    for (size_t i = 0, n = 0; inside.len && i < MAX_CONDITIONS; i++) {
        struct slice condition;
        size_t len;

        if (!next_condition(inside, &len)) {
            buf_done(&out);
            return ret;
        }
        condition = slice_sub(inside, 0, len);
        inside = slice_from(inside, ORR_MIN(len + 2, inside.len));
        if (!is_filter(a, slice_cstr(arena_printf(a, "{ %.*s }", SLICE_ARG(condition)))))
            continue;
        buf_printf(&out, "%s(%.*s)", n++ ? " && " : "", SLICE_ARG(condition));
        ret.len = n;
    }
    buf_str(&out, " }");
    if (ret.len)
        ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    return ret;
}

struct slice tempo_names_filter(struct arena *a, struct slice q)
{
    struct traceql query;
    struct err *e = traceql_parse(a, q, &query);
    size_t first = 0, end = q.len;

    if (!e)
        return is_filter(a, q) ? q : (struct slice){0};
    err_free(e);
    while (first < q.len && q.ptr[first] != '{')
        first++;
    while (end > first && q.ptr[end - 1] != '}')
        end--;
    if (first == q.len)
        return (struct slice){0};
    return readable(a, slice_sub(q, first + 1, (end > first + 1 ? end - 1 : q.len) - first - 1));
}

/* ---- the spans ---- */

struct asking {
    const struct traceql_field *filter;
    struct tempo_names_ask *asks;
    size_t n;
};

/* Spans of traces that are not here do not count. */
static void keep_traces(const struct tracecols *cols, uint8_t *mask)
{
    uint32_t at = 0;

    for (uint32_t t = 0; t < cols->n_traces; t++) {
        if (!cols->traces[t].n)
            continue;
        memset(mask + at, 0, cols->traces[t].first - at);
        at = cols->traces[t].first + cols->traces[t].n;
    }
    memset(mask + at, 0, cols->n_spans - at);
}

static struct err *look(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    struct asking *s = arg;
    struct tracefield *fields = tracefield_new(cols);
    uint8_t *mask = mem_calloc((size_t)cols->n_spans + 1, 1);

    tracefield_mask(fields, s->filter, mask);
    keep_traces(cols, mask);
    *ret_stop = true;
    for (size_t i = 0; i < s->n; i++) {
        struct tempo_names_ask *q = &s->asks[i];

        q->is_enough = q->is_enough || !tracenames_of(cols, &q->req, mask, q->give, q->arg);
        *ret_stop = *ret_stop && q->is_enough;
    }
    mem_free(mask);
    tracefield_free(fields);
    return NULL;
}

struct err *tempo_names_ask(struct tracescan_opts *scan, struct slice filter, struct slice select,
                            struct tempo_names_ask *asks, size_t n)
{
    struct asking s = {.asks = asks, .n = n};
    struct tracescan_stats stats = {0};
    struct traceql *q = arena_new_of(scan->arena, struct traceql);
    struct tracegroup_want want;
    struct tracecond cond;
    struct err *e;

    if (select.len) /* on a line of its own: the filter may end with a comment */
        filter = slice_cstr(arena_printf(scan->arena, "%.*s\n| select(%.*s)", SLICE_ARG(filter),
                                         SLICE_ARG(select)));
    if ((e = traceql_parse(scan->arena, filter, q)))
        return e;
    s.filter = q->pipeline.ptr[0].u.spanset->u.filter;
    cond = tracecond_of(scan->arena, q);
    scan->req.filters = cond.ptr;
    scan->req.n_filters = cond.n;
    want = tracewant_of_query(scan->arena, q, false);
    if (select.len)
        scan->want = &want;
    return tracescan(scan, look, &s, &stats);
}
