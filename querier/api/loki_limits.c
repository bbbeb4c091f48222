/* drilldown-limits: what Grafana's Logs Drilldown wants to know of a tenant before it asks. */
#include "common/base/promdur.h"
#include "querier/api/loki_api_internal.h"

static void put_name(struct buf *out, const char *name)
{
    if (out->ptr[out->len - 1] != '{')
        buf_byte(out, ',');
    buf_printf(out, "\"%s\":", name);
}

static void put_number(struct buf *out, const char *name, int64_t v)
{
    put_name(out, name);
    buf_printf(out, "%lld", (long long)v);
}

static void put_bool(struct buf *out, const char *name, bool v)
{
    put_name(out, name);
    buf_str(out, v ? "true" : "false");
}

static void put_duration(struct buf *out, const char *name, int64_t ns)
{
    put_name(out, name);
    buf_byte(out, '"');
    promdur_print(out, ns);
    buf_byte(out, '"');
}

static void put_bytes(struct buf *out, const char *name, int64_t bytes)
{
    put_name(out, name);
    buf_printf(out, "\"%lldB\"", (long long)bytes);
}

void loki_limits(struct http_request *r)
{
    struct loki_api *api = r->arg;
    struct tenant_limits l;
    struct slice tenant;
    struct buf out = {0};

    if (!loki_api_begin(r, &tenant))
        return;
    prom_tasks_limits(api->tasks, tenant, &l);
    buf_str(&out, "{\"limits\":{");
    put_bool(&out, "discover_log_levels", l.discover_log_levels);
    put_bool(&out, "allow_structured_metadata", l.allow_structured_metadata);
    put_number(&out, "max_entries_limit_per_query", l.max_entries_limit_per_query);
    put_number(&out, "max_query_series", l.max_query_series);
    put_duration(&out, "max_query_length", l.max_query_length_ns);
    put_duration(&out, "max_query_lookback", l.max_query_lookback_ns);
    put_duration(&out, "max_query_range", 0);
    put_bytes(&out, "max_query_bytes_read", l.max_query_bytes_read);
    put_bytes(&out, "max_line_size", l.max_line_size);
    put_bool(&out, "max_line_size_truncate", l.max_line_size_truncate);
    put_duration(&out, "query_timeout", l.query_timeout_ns);
    put_duration(&out, "retention_period", l.logs_retention_period_ns);
    put_bool(&out, "volume_enabled", true);
    put_bool(&out, "metric_aggregation_enabled", false);
    put_bool(&out, "pattern_persistence_enabled", false);
    buf_str(&out, "},\"pattern_ingester_enabled\":true,\"version\":\"3.8.0\",\"mode\":\"tenant\"}");
    http_reply_buf(r, 200, HTTP_JSON, &out);
}
