/*
 * Ready queries, that lead on from a trace to each signal:
 *
 *   to       by            query
 *   traces   id            TraceQL: the trace
 *   logs     trace         LogQL: lines with its id in structured metadata
 *   logs     text          … and in their text
 *   logs     span          … of one span: put its id in the place of $spanID; no path
 *   logs     service       … of one service at the time; has "service"
 *   metrics  service       PromQL of span metrics: calls, errors, the 99th percentile; has "service", "title"
 *   metrics  edges         who calls that service, of the service graph
 *   exemplars service      exemplars of its span metrics: other traces at that time
 *
 * path is a request of this API, without the tenant. Of services, the first MAX_SERVICES by name.
 */
#include "common/base/gostr.h"
#include "common/model/event.h"
#include "common/net/http.h"
#include "querier/api/correlate_internal.h"

#define MAX_SERVICES 20
/* Rates want some samples to either side. */
#define METRICS_MARGIN_NS (900 * NS_PER_S)
#define METRICS_POINTS 120
#define METRICS_MIN_STEP_S 15

struct link {
    const char *to, *by, *language, *title;
    struct slice service, query;
    struct tempo_range range;
    const char *path; /* that takes query, start and end; NULL: none */
    int64_t unit_ns;  /* of start and end there */
    bool has_step;
};

static void put_path(struct buf *out, const struct link *l)
{
    struct buf path = {0};

    buf_printf(&path, "%s?query=", l->path);
    http_escape(l->query, &path);
    buf_printf(&path, "&start=%lld&end=%lld", (long long)(l->range.start_ns / l->unit_ns),
               (long long)(l->range.end_ns / l->unit_ns + (l->unit_ns > 1)));
    if (l->has_step)
        buf_printf(&path, "&step=%lld",
                   ORR_MAX((l->range.end_ns - l->range.start_ns) / METRICS_POINTS / NS_PER_S,
                           (long long)METRICS_MIN_STEP_S));
    buf_str(out, ",\"path\":");
    buf_json_str(out, buf_slice(&path));
    buf_done(&path);
}

static void put_head(struct buf *out, const struct link *l)
{
    buf_json_comma(out);
    buf_printf(out, "{\"to\":\"%s\",\"by\":\"%s\",\"language\":\"%s\"", l->to, l->by, l->language);
    if (l->title)
        buf_printf(out, ",\"title\":\"%s\"", l->title);
    if (l->service.len) {
        buf_str(out, ",\"service\":");
        buf_json_str(out, l->service);
    }
    buf_str(out, ",\"query\":");
    buf_json_str(out, l->query);
    buf_printf(out, ",\"startTimeUnixNano\":\"%lld\",\"endTimeUnixNano\":\"%lld\"",
               (long long)l->range.start_ns, (long long)l->range.end_ns);
}

static void put(struct buf *out, const struct link *l)
{
    put_head(out, l);
    if (l->path)
        put_path(out, l);
    buf_byte(out, '}');
}

static void put_trace(const struct correlate_run *r, struct buf *out)
{
    struct buf q = {0};
    struct link l = {.to = "traces", .by = "id", .language = "traceql", .range = r->range};

    buf_printf(&q, "{ trace:id = \"%.*s\" }", SLICE_ARG(r->id));
    l.query = buf_slice(&q);
    put_head(out, &l);
    buf_printf(out, ",\"path\":\"/api/v2/traces/%.*s\"}", SLICE_ARG(r->id));
    buf_done(&q);
}

static void put_logs(const struct correlate_run *r, struct buf *out)
{
    struct slice id = r->short_id.len ? r->short_id : r->id;
    struct link l = {.to = "logs",
                     .by = "trace",
                     .language = "logql",
                     .range = r->range,
                     .path = "/loki/api/v1/query_range",
                     .unit_ns = 1};
    struct buf q = {0};

    buf_str(&q, "{" EVENT_LABEL "=\"\"} | ");
    correlate_logs_filter(r, &q);
    l.query = buf_slice(&q);
    put(out, &l);
    buf_str(&q, " | span_id=\"$spanID\"");
    l.query = buf_slice(&q);
    l.by = "span";
    l.path = NULL;
    put(out, &l);
    buf_reset(&q);
    buf_printf(&q, "{" EVENT_LABEL "=\"\"} |= \"%.*s\"", SLICE_ARG(id));
    l.query = buf_slice(&q);
    l.by = "text";
    l.path = "/loki/api/v1/query_range";
    put(out, &l);
    buf_done(&q);
}

/* before "the service" after */
static void put_of_service(struct buf *out, struct link *l, const char *before, const char *after)
{
    struct buf q = {0};

    buf_str(&q, before);
    gostr_quote(&q, l->service);
    buf_str(&q, after);
    l->query = buf_slice(&q);
    put(out, l);
    buf_done(&q);
}

static void put_service(const struct correlate_run *r, struct slice service, struct buf *out)
{
    struct tempo_range wide = {r->range.start_ns - METRICS_MARGIN_NS,
                               r->range.end_ns + METRICS_MARGIN_NS};
    struct link logs = {.to = "logs",
                        .by = "service",
                        .language = "logql",
                        .service = service,
                        .range = r->range,
                        .path = "/loki/api/v1/query_range",
                        .unit_ns = 1};
    struct link metrics = {.to = "metrics",
                           .by = "service",
                           .language = "promql",
                           .service = service,
                           .range = wide,
                           .path = "/api/v1/query_range",
                           .unit_ns = NS_PER_S,
                           .has_step = true};

    put_of_service(out, &logs, "{service_name=", "}");
    metrics.title = "calls";
    put_of_service(out, &metrics,
                   "sum by (span_name) (rate(traces_spanmetrics_calls_total{service=", "}[5m]))");
    metrics.title = "errors";
    put_of_service(out, &metrics,
                   "sum by (span_name) (rate(traces_spanmetrics_calls_total{service=",
                   ",status_code=\"STATUS_CODE_ERROR\"}[5m]))");
    metrics.title = "p99";
    put_of_service(
        out, &metrics,
        "histogram_quantile(0.99, sum by (le) (rate(traces_spanmetrics_latency_bucket{service=",
        "}[5m])))");
    metrics.title = "callers";
    metrics.by = "edges";
    put_of_service(
        out, &metrics,
        "sum by (client, server) (rate(traces_service_graph_request_total{server=", "}[5m]))");
    metrics.title = NULL;
    metrics.to = "exemplars";
    metrics.by = "service";
    metrics.path = "/api/v1/query_exemplars";
    metrics.has_step = false;
    put_of_service(out, &metrics, "traces_spanmetrics_latency_bucket{service=", "}");
}

void correlate_links_put(const struct correlate_run *r, struct buf *out)
{
    buf_byte(out, '[');
    put_trace(r, out);
    put_logs(r, out);
    for (size_t i = 0; i < r->n_stats && i < MAX_SERVICES; i++)
        if (r->stats[i].name.len)
            put_service(r, r->stats[i].name, out);
    buf_byte(out, ']');
}
