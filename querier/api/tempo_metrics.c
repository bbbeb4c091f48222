/* metrics/query_range and metrics/query. */
#include <math.h>

#include "querier/api/loki_param.h"
#include "querier/api/tempo_api_internal.h"
#include "querier/traces/tracecond.h"
#include "querier/traces/tracehint.h"
#include "querier/traces/tracemetric.h"
#include "querier/traces/tracesearch.h"
#include "querier/traces/tracewant.h"

#define MIN_STEP_S 1

struct metrics_params {
    const struct tempo_api *api;
    struct slice query;
    struct tracemetric_range range;
    bool is_instant;
};

/* ---- on a worker ---- */

/* What Tempo calls values that would read as if there were none. */
static struct slice shown(struct slice value)
{
    return !value.len ? SLICE("<empty>") : slice_eq_cstr(value, "nil") ? SLICE("<nil>") : value;
}

static void put_labels(struct buf *out, const struct tracemetric_series *s)
{
    struct buf text = {0};

    buf_str(out, "{\"labels\":[");
    for (size_t i = 0; i < s->n_labels; i++) {
        struct slice value = s->labels[i].value.v.s;
        struct buf printed = {0};

        if (s->labels[i].value.type != TRACEQL_STRING) {
            traceql_print_static(&printed, &s->labels[i].value);
            value = buf_slice(&printed);
        }
        buf_str(out, i ? ",{\"key\":" : "{\"key\":");
        buf_json_str(out, s->labels[i].name);
        buf_str(out, ",\"value\":");
        tracesearch_json_value(out, &s->labels[i].value);
        buf_byte(out, '}');
        buf_printf(&text, "%s%.*s=", i ? ", " : "{", SLICE_ARG(s->labels[i].name));
        buf_json_str(&text, shown(value));
        buf_done(&printed);
    }
    buf_str(&text, s->n_labels ? "}" : "{}");
    buf_str(out, "],\"promLabels\":");
    buf_json_str(out, buf_slice(&text));
    buf_done(&text);
}

/* JSON has no infinities. */
static void put_number(struct buf *out, double v)
{
    if (isfinite(v))
        buf_f64_text(out, v);
    else
        buf_str(out, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

static void put_samples(struct buf *out, const struct tracemetric_series *s, size_t n,
                        const struct tracemetric_range *range)
{
    bool is_first = true;

    buf_str(out, ",\"samples\":[");
    for (size_t i = 0; i < n; i++) {
        if (isnan(s->values[i]))
            continue;
        buf_printf(out, "%s{\"timestampMs\":\"%lld\",\"value\":", is_first ? "" : ",",
                   (long long)tracemetric_ms(range, i));
        put_number(out, s->values[i]);
        buf_byte(out, '}');
        is_first = false;
    }
    buf_byte(out, ']');
}

static void put_text(struct buf *out, const char *key, struct slice text)
{
    buf_printf(out, ",{\"key\":\"%s\",\"value\":{\"stringValue\":", key);
    buf_json_str(out, text);
    buf_str(out, "}}");
}

static void put_exemplar(struct buf *out, const struct tracemetric_exemplar *x, double point)
{
    buf_str(out, "{\"labels\":[{\"key\":\"trace:id\",\"value\":{\"stringValue\":\"");
    buf_hex(out, x->trace_id, sizeof(x->trace_id));
    buf_printf(out, "\"}},{\"key\":\"span:id\",\"value\":{\"stringValue\":\"%016llx\"}}",
               (unsigned long long)x->span_id);
    put_text(out, "resource.service.name", x->service);
    put_text(out, "name", x->name);
    buf_str(out, "],\"value\":");
    put_number(out, isnan(x->value) ? point : x->value);
    buf_printf(out, ",\"timestampMs\":\"%lld\"}", (long long)(x->start_ns / NS_PER_MS));
}

/* Of points that are there. */
static void put_exemplars(struct buf *out, const struct tracemetric_series *s)
{
    bool is_first = true;

    for (size_t i = 0; i < s->n_exemplars; i++) {
        double point = s->values[s->exemplars[i].point];

        if (isnan(point))
            continue;
        buf_str(out, is_first ? ",\"exemplars\":[" : ",");
        put_exemplar(out, &s->exemplars[i], point);
        is_first = false;
    }
    if (!is_first)
        buf_byte(out, ']');
}

static void put_set(struct prom_task *t, const struct tracemetric_set *set)
{
    const struct metrics_params *p = t->params;
    struct buf *out = &t->out;
    bool is_first = true;

    buf_str(out, "{\"series\":[");
    for (size_t i = 0; i < set->n; i++) {
        const struct tracemetric_series *s = &set->ptr[i];

        if (p->is_instant && isnan(s->values[0]) && !s->is_note)
            continue;
        if (!is_first)
            buf_byte(out, ',');
        is_first = false;
        put_labels(out, s);
        if (p->is_instant) {
            buf_str(out, ",\"value\":");
            put_number(out, s->is_note ? 0 : s->values[0]);
        } else {
            put_samples(out, s, set->n_points, &p->range);
            put_exemplars(out, s);
        }
        buf_byte(out, '}');
    }
}

static struct err *look(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    (void)ret_stop;
    return tracemetric_add(arg, cols);
}

static struct err *scan(struct prom_task *t, const struct traceql *query, struct tracemetric *m,
                        bool has_exemplars, struct tracescan_stats *stats)
{
    const struct metrics_params *p = t->params;
    struct tracecond cond = tracecond_of(t->arena, query);
    struct tracegroup_want want = tracewant_of_query(t->arena, query, false);
    struct tracesource source;
    struct tracescan_opts opts;
    /* spans that start at the end count, and the end of what is asked for is exclusive */
    struct tempo_range range = {p->range.start_ns, ORR_MIN(p->range.end_ns, INT64_MAX - 1) + 1};
    struct err *e = tempo_api_scan(p->api, t, range, &source, &opts);

    if (e)
        return e;
    opts.req.filters = cond.ptr;
    opts.req.n_filters = cond.n;
    if (has_exemplars)
        want.fields |= TRACEGROUP_IDS | TRACEGROUP_NAME;
    if (!tracemetric_asks_all(query))
        opts.want = &want;
    return tracescan(&opts, look, m, stats);
}

static struct err *put_answer(struct prom_task *t, struct tracemetric *m,
                              const struct tracescan_stats *stats)
{
    struct tracemetric_set set = tracemetric_end(m, t->arena);

    if (arena_over(t->arena))
        return err_new(ERR_LIMIT,
                       "the answer takes more than max-query-memory (%zu bytes): ask for a larger "
                       "step, or for fewer series",
                       arena_limit(t->arena));
    put_set(t, &set);
    buf_printf(&t->out, "],\"metrics\":{\"inspectedTraces\":%llu,\"inspectedSpans\":\"%llu\"}}",
               (unsigned long long)stats->traces, (unsigned long long)stats->spans);
    return NULL;
}

static struct err *run(struct prom_task *t)
{
    const struct metrics_params *p = t->params;
    struct tracemetric_range range = p->range;
    struct tracescan_stats stats = {0};
    struct tracemetric *m = NULL;
    struct tracehints hints;
    struct traceql query;
    struct err *e;

    t->content_type = HTTP_JSON;
    t->kind = p->is_instant ? PROM_TASK_INSTANT : PROM_TASK_RANGE;
    range.max_series = (size_t)t->limits.max_query_series;
    if ((e = traceql_parse(t->arena, p->query, &query)) || (e = tracehints_of(&query, &hints)))
        return e;
    if (hints.has_exemplars)
        range.max_exemplars = hints.exemplars;
    if (p->is_instant)
        range.max_exemplars = 0;
    if (!query.metrics)
        return err_new(ERR_INVALID,
                       "not a metrics query: it ends in no rate(), count_over_time() …; "
                       "ask /api/search");
    if (!(e = tracemetric_new(&query, &range, &m)) &&
        !(e = scan(t, &query, m, range.max_exemplars > 0, &stats)))
        e = put_answer(t, m, &stats);
    tracemetric_free(m);
    return e;
}

/* ---- on a loop ---- */

/* Whole steps, at multiples of the step. */
static struct err *read_range(struct http_request *r, struct metrics_params *p)
{
    struct tracemetric_range *range = &p->range;
    struct tempo_range asked;
    struct err *e = tempo_api_range(r, &asked);
    int64_t off;

    if (e)
        return e;
    range->start_ns = asked.start_ns;
    range->end_ns = asked.end_ns;
    range->step_ns = asked.end_ns - asked.start_ns;
    if (p->is_instant)
        return NULL;
    if ((e = loki_param_step(http_param(r, "step"), asked.end_ns - asked.start_ns, MIN_STEP_S,
                             &range->step_ns)))
        return e;
    off = range->start_ns % range->step_ns;
    range->start_ns -= off < 0 ? off + range->step_ns : off;
    off = (range->end_ns - range->start_ns) % range->step_ns;
    range->end_ns += off ? range->step_ns - off : 0;
    return NULL;
}

static void answer(struct http_request *r, bool is_instant)
{
    struct metrics_params *p = arena_new_of(r->arena, struct metrics_params);
    struct slice tenant, query;
    struct err *e = NULL;

    if (!tempo_api_begin(r, &tenant))
        return;
    query = http_param(r, "q");
    p->api = r->arg;
    p->is_instant = is_instant;
    p->query = query.len ? query : http_param(r, "query");
    if (!p->query.len)
        e = err_new(ERR_INVALID, "parameter q is missing: a TraceQL metrics query");
    if (!e)
        e = read_range(r, p);
    if (!e)
        e = tempo_api_count(r, "exemplars", 0, UINT32_MAX, &p->range.max_exemplars);
    if (!tempo_api_failed(r, e))
        tempo_api_task(r, tenant, run, p);
}

void tempo_metrics_range(struct http_request *r)
{
    answer(r, false);
}

void tempo_metrics_instant(struct http_request *r)
{
    answer(r, true);
}
