/* metadata, query_exemplars. */
#include "common/lang/promql.h"
#include "querier/api/prom_api_internal.h"
#include "querier/engine/result_json.h"

/* ---- metadata ---- */

struct metadata_params {
    struct slice metric;
    uint64_t limit, limit_per_metric;
};

static const char *type_name(enum sample_metric_type t)
{
    static const char *const names[] = {
#define X(sym, name) name,
        SAMPLE_METRIC_TYPES(X)
#undef X
    };

    return (size_t)t < ORR_COUNT(names) ? names[t] : "unknown";
}

static void metadata_json(struct prom_task *t, const struct rpc_metadata *m, size_t n)
{
    const struct metadata_params *p = t->params;
    uint64_t families = 0, in_family = 0;
    struct buf *out = &t->out;

    buf_byte(out, '{');
    for (size_t i = 0; i < n; i++) {
        bool is_new = i == 0 || !slice_eq(m[i].family, m[i - 1].family);

        if (is_new) {
            if (p->limit && families == p->limit)
                break;
            if (families++)
                buf_str(out, "],");
            buf_json_str(out, m[i].family);
            buf_str(out, ":[");
            in_family = 0;
        }
        if (p->limit_per_metric && in_family == p->limit_per_metric)
            continue;
        buf_printf(out, "%s{\"type\":\"%s\",\"help\":", in_family++ ? "," : "",
                   type_name(m[i].type));
        buf_json_str(out, m[i].help);
        buf_str(out, ",\"unit\":");
        buf_json_str(out, m[i].unit);
        buf_byte(out, '}');
    }
    buf_str(out, families ? "]}" : "}");
}

static struct err *run_metadata(struct prom_task *t)
{
    const struct metadata_params *p = t->params;
    struct rpc_metadata *m;
    size_t n;
    struct err *e = joined_metadata(&t->data, p->metric, &m, &n);

    if (!e)
        metadata_json(t, m, n);
    return e;
}

/* Less than 1 is no limit here. */
static struct err *read_count(struct http_request *r, const char *name, uint64_t *ret)
{
    struct slice text = http_param(r, name);
    int64_t v = 0;

    if (text.len && !slice_to_i64(text, &v))
        return err_new(ERR_INVALID, "%s must be a number", name);
    *ret = (uint64_t)ORR_MAX(v, 0);
    return NULL;
}

void prom_extra_metadata(struct http_request *r)
{
    struct metadata_params *p = arena_new_of(r->arena, struct metadata_params);
    struct slice tenant;
    struct err *e;

    if (!prom_api_begin(r, &tenant))
        return;
    p->metric = http_param(r, "metric");
    if (!p->metric.ptr)
        p->metric = SLICE_EMPTY;
    e = read_count(r, "limit", &p->limit);
    if (!e)
        e = read_count(r, "limit_per_metric", &p->limit_per_metric);
    if (!prom_api_failed(r, e))
        prom_task_http(prom_api_of(r)->tasks, r, tenant, 0, run_metadata, p);
}

/* ---- exemplars ---- */

struct exemplar_params {
    struct promql_options syntax;
    struct slice query;
    int64_t start_ms, end_ms;
};

void prom_extra_exemplars_json(struct buf *out, const struct rpc_exemplars *series, size_t n)
{
    buf_byte(out, '[');
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? ",{\"seriesLabels\":" : "{\"seriesLabels\":");
        labels_json(out, series[i].labels);
        buf_str(out, ",\"exemplars\":[");
        for (size_t k = 0; k < series[i].n; k++) {
            const struct exemplar *ex = &series[i].ptr[k];

            buf_str(out, k ? ",{\"labels\":" : "{\"labels\":");
            labels_json(out, ex->labels);
            buf_str(out, ",\"value\":\"");
            buf_f64_text(out, ex->value);
            buf_str(out, "\",\"timestamp\":");
            result_json_time(out, ex->t_ms);
            buf_byte(out, '}');
        }
        buf_str(out, "]}");
    }
    buf_byte(out, ']');
}

static struct err *run_exemplars(struct prom_task *t)
{
    const struct exemplar_params *p = t->params;
    struct rpc_exemplars *series = NULL;
    struct promql q = {0};
    struct matchers *sets;
    size_t n_sets = 0, n = 0;
    struct err *e = promql_parse(t->arena, p->query, &p->syntax, &q);

    if (e)
        return e;
    for (struct promql_expr *s = q.selectors; s; s = s->u.selector.next)
        n_sets++;
    sets = arena_array(t->arena, struct matchers, n_sets + 1);
    n_sets = 0;
    for (struct promql_expr *s = q.selectors; s; s = s->u.selector.next)
        sets[n_sets++] = s->u.selector.matchers;
    e = joined_exemplars(&t->data, sets, n_sets, p->start_ms, p->end_ms, &series, &n);
    if (!e)
        prom_extra_exemplars_json(&t->out, series, n);
    promql_done(&q);
    return e;
}

void prom_extra_exemplars(struct http_request *r)
{
    struct exemplar_params *p = arena_new_of(r->arena, struct exemplar_params);
    struct slice tenant;
    struct err *e;

    if (!prom_api_begin(r, &tenant))
        return;
    p->syntax = prom_api_syntax(r);
    p->query = http_param(r, "query");
    if (!p->query.ptr)
        p->query = SLICE_EMPTY;
    e = prom_param_time("start", http_param(r, "start"), -PROM_TIME_MAX_MS, &p->start_ms);
    if (!e)
        e = prom_param_time("end", http_param(r, "end"), PROM_TIME_MAX_MS, &p->end_ms);
    if (!e && p->end_ms < p->start_ms)
        e = err_new(ERR_INVALID,
                    "invalid parameter \"end\": end timestamp must not be before start timestamp");
    if (!prom_api_failed(r, e))
        prom_task_http(prom_api_of(r)->tasks, r, tenant, 0, run_exemplars, p);
}
