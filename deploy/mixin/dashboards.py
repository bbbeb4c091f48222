#!/usr/bin/env python3
"""Writes dashboards/*.json for Grafana from the table below:  deploy/mixin/dashboards.py [DIR]

A dashboard is rows of panels; a panel is (title, unit, [(legend, expression)…]). $S in an expression stands for the labels that
the choices at the top of the dashboard are about. uid and data source are fixed, so that links and provisioning hold.
"""
import json
import os
import sys

S = 'cluster=~"$cluster", namespace=~"$namespace", job=~"$job", instance=~"$instance"'


def rate(metric, by="instance", more=""):
    return f"sum by ({by}) (rate({metric}{{{more}$S}}[$__rate_interval]))"


def quantiles(metric, by=""):
    by = f"le, {by}" if by else "le"
    return [(f"p{q} {{{{{by[4:]}}}}}" if by != "le" else f"p{q}",
             f"histogram_quantile({q / 100}, sum by ({by}) (rate({metric}_bucket{{$S}}[$__rate_interval])))") for q in (50, 99)]


def gauge(metric, by="instance"):
    return [(f"{{{{{by}}}}}", f"sum by ({by}) ({metric}{{$S}})")]



def each(metric, by="instance", more=""):
    return [(f"{{{{{by}}}}}", rate(metric, by, more))]


def red(prefix, server):
    """Rate, errors, duration of one of a process's HTTP servers."""
    return [
        (f"{prefix}: requests", "reqps", [("{{class}}", rate("orrery_http_requests_total", "class", f'server="{server}", '))]),
        (f"{prefix}: refused by the server", "reqps", [("{{reason}}", rate("orrery_http_rejected_total", "reason", f'server="{server}", '))]),
        (f"{prefix}: time", "s", [(f"p{q}", f'histogram_quantile({q / 100}, sum by (le) (rate(orrery_http_request_seconds_bucket{{server="{server}", $S}}[$__rate_interval])))') for q in (50, 99)]),
    ]


DASHBOARDS = {
    "writes": ("Orrery / Writes", [
        ("What comes in", [
            ("Samples", "cps", each("orrery_door_samples_total")), ("Log bytes", "Bps", each("orrery_log_door_bytes_total")),
            ("Spans", "cps", each("orrery_trace_door_spans_total")), ("By protocol", "cps", each("orrery_door_protocol_writes_total", "protocol"))]),
        ("What is refused", [
            ("Samples, by reason", "cps", each("orrery_door_rejected_samples_total", "reason")),
            ("Log lines, by reason", "cps", each("orrery_log_door_discarded_lines_total", "reason")),
            ("Spans, by reason", "cps", each("orrery_trace_door_discarded_spans_total", "reason")),
            ("Tenants too fast", "reqps", each("orrery_door_rate_limited_total"))]),
        ("Quorum", [
            ("Share of writes without a quorum", "percentunit", [("{{signal}}", "sum by (signal) (rate(orrery_distribute_failures_total{$S}[$__rate_interval])) / sum by (signal) (rate(orrery_distribute_pushes_total{$S}[$__rate_interval]))")]),
            ("Time to the quorum", "s", quantiles("orrery_distribute_quorum_seconds", "signal")),
            ("Replicas that did not take a batch", "cps", each("orrery_distribute_replica_failures_total", "signal")),
            ("In flight", "bytes", gauge("orrery_distribute_inflight_bytes"))]),
        ("Log and heads", [
            ("Time to sync the log", "s", quantiles("orrery_wal_sync_seconds", "instance")), ("Written to the log", "Bps", each("orrery_wal_written_bytes_total")),
            ("Active series", "short", gauge("orrery_head_series")), ("Active streams", "short", gauge("orrery_loghead_active_streams")),
            ("Live traces", "short", gauge("orrery_tracehead_live_traces")), ("Segments that wait", "short", gauge("orrery_head_segments"))])]),
    "reads": ("Orrery / Reads", [
        ("Requests", [
            ("Queries", "reqps", each("orrery_querier_requests_total")), ("Under way and waiting", "short", gauge("orrery_querier_inflight_requests")),
            ("Time", "s", quantiles("orrery_querier_request_seconds")),
            ("Ended with an error, or refused", "reqps", [("error {{instance}}", rate("orrery_querier_failed_requests_total")), ("refused {{instance}}", rate("orrery_querier_rejected_requests_total"))])]),
        ("Caches", [
            ("Hits of kept results", "percentunit", [("steps", "sum(rate(orrery_querier_result_cache_steps_used_total{$S}[$__rate_interval])) / (sum(rate(orrery_querier_result_cache_steps_used_total{$S}[$__rate_interval])) + sum(rate(orrery_querier_result_cache_steps_computed_total{$S}[$__rate_interval])))")]),
            ("Block cache: from memory, disk, the bucket", "cps", [("memory", "sum(rate(orrery_querier_block_cache_hits_total{$S}[$__rate_interval]))"), ("disk", "sum(rate(orrery_querier_block_cache_disk_hits_total{$S}[$__rate_interval]))"), ("bucket", "sum(rate(orrery_querier_block_cache_misses_total{$S}[$__rate_interval]))")]),
            ("Block cache", "bytes", gauge("orrery_querier_block_cache_bytes")), ("Block cache on disk", "bytes", gauge("orrery_querier_block_disk_cache_bytes"))]),
        ("Blocks", [
            ("Blocks opened", "cps", [("metrics", "sum(rate(orrery_querier_opened_blocks_total{$S}[$__rate_interval]))"), ("logs", "sum(rate(orrery_querier_logs_opened_blocks_total{$S}[$__rate_interval]))"), ("traces", "sum(rate(orrery_querier_traces_opened_blocks_total{$S}[$__rate_interval]))")]),
            ("Read from blocks", "Bps", each("orrery_querier_block_read_bytes_total")),
            ("Asked of other queriers", "cps", [("metrics", "sum(rate(orrery_querier_asked_blocks_total{$S}[$__rate_interval]))"), ("log pieces", "sum(rate(orrery_querier_logs_asked_pieces_total{$S}[$__rate_interval]))")]),
            ("Owners that failed", "cps", each("orrery_querier_failed_owners_total"))])]),
    "ring": ("Orrery / Ring", [
        ("Members", [
            ("Members, as each process sees it", "short", gauge("orrery_ring_members")), ("Active", "short", gauge("orrery_ring_active_members")),
            ("Not heard of", "short", gauge("orrery_ring_unhealthy_members")), ("Names taken twice", "cps", each("orrery_gossip_name_conflicts_total"))]),
        ("Talk", [
            ("Gossip sent", "Bps", each("orrery_gossip_sent_bytes_total")), ("Calls", "reqps", each("orrery_rpc_client_calls_total")),
            ("Calls that failed, by code", "reqps", each("orrery_rpc_client_errors_total", "code")), ("Frames no key opens", "cps", each("orrery_rpc_seal_failures_total"))])]),
    "compaction": ("Orrery / Flush and compaction", [
        ("Flush", [
            ("Oldest segment that waits", "s", gauge("orrery_compactor_backlog_oldest_seconds")), ("Segments that wait", "short", gauge("orrery_compactor_backlog_segments")),
            ("Flushes", "cps", each("orrery_compactor_flushes_total", "signal")), ("Time of a flush", "s", quantiles("orrery_compactor_flush_seconds", "signal"))]),
        ("Compaction", [
            ("Jobs due", "short", gauge("orrery_compactor_compaction_backlog_jobs")), ("Oldest job", "s", gauge("orrery_compactor_compaction_backlog_oldest_seconds")),
            ("Merges, and those that failed", "cps", [("done", "sum(rate(orrery_compactor_compactions_total{$S}[$__rate_interval]))"), ("failed", "sum(rate(orrery_compactor_compactions_failed_total{$S}[$__rate_interval]))")]),
            ("Time of a merge", "s", quantiles("orrery_compactor_compaction_seconds", "signal"))]),
        ("Blocks", [
            ("Live blocks", "short", gauge("orrery_compactor_live_blocks", "signal")), ("Put aside", "short", [("blocks", "sum(orrery_compactor_quarantined_blocks{$S})"), ("segments", "sum(orrery_compactor_quarantined_segments{$S})")]),
            ("Expired and deleted", "cps", [("expired", "sum(rate(orrery_compactor_blocks_expired_total{$S}[$__rate_interval]))"), ("deleted", "sum(rate(orrery_compactor_blocks_deleted_total{$S}[$__rate_interval]))")]),
            ("Deletions under way", "short", gauge("orrery_compactor_tombstones"))])]),
    "tenants": ("Orrery / Tenants", [
        ("How many", [("Tenants in the bucket", "short", gauge("orrery_compactor_tenants")), ("Tenants with overrides", "short", gauge("orrery_limits_tenants"))]),
        ("Held back", [
            ("Requests of tenants that are too fast", "reqps", each("orrery_door_rate_limited_total")), ("Samples refused, by reason", "cps", each("orrery_door_rejected_samples_total", "reason")),
            ("Log lines refused, by reason", "cps", each("orrery_log_door_discarded_lines_total", "reason")),
            ("Log bytes refused, by reason", "Bps", each("orrery_log_door_discarded_bytes_total", "reason")),
            ("Overrides as the file has them", "short", gauge("orrery_limits_is_current"))])]),
    "cost": ("Orrery / Cost", [
        ("Bucket", [
            ("Requests, by operation", "reqps", each("orrery_objstore_requests_total", "operation")), ("Dollars an hour, estimated", "currencyUSD", [("{{instance}}", "sum by (instance) (rate(orrery_objstore_estimated_cost_dollars_total{$S}[1h])) * 3600")]),
            ("Sent and received", "Bps", [("sent", "sum(rate(orrery_objstore_sent_bytes_total{$S}[$__rate_interval]))"), ("received", "sum(rate(orrery_objstore_received_bytes_total{$S}[$__rate_interval]))")]),
            ("Errors, retries, throttled", "reqps", [("errors", "sum(rate(orrery_objstore_request_errors_total{$S}[$__rate_interval]))"), ("retries", "sum(rate(orrery_objstore_retries_total{$S}[$__rate_interval]))"), ("throttled", "sum(rate(orrery_objstore_throttled_total{$S}[$__rate_interval]))")]),
            ("Time of a request", "s", quantiles("orrery_objstore_request_seconds", "operation"))]),
        ("For what comes in", [
            ("CPU for a million samples a second", "short", [("cores", "1e6 * sum(rate(process_cpu_seconds_total{$S}[$__rate_interval])) / sum(rate(orrery_door_samples_total{$S}[$__rate_interval]))")]),
            ("Memory for an active series and copy", "bytes", [("bytes", "sum(orrery_memory_allocated_bytes{$S} and on (job, instance) orrery_head_ready) / sum(orrery_head_series{$S})")])])]),
    "requests": ("Orrery / Requests (RED)", [
        ("Port 9009", red("HTTP", "http")), ("OTLP over HTTP", red("OTLP/HTTP", "otlp-http")), ("OTLP over gRPC", red("OTLP/gRPC", "otlp-grpc")),
        ("Query API", [("Queries", "reqps", each("orrery_querier_requests_total")), ("Ended with an error", "reqps", each("orrery_querier_failed_requests_total")), ("Time", "s", quantiles("orrery_querier_request_seconds"))]),
        ("Rules", [("Evaluations", "reqps", each("orrery_ruler_rule_evaluations_total")), ("Failed", "reqps", each("orrery_ruler_rule_evaluation_failures_total")), ("Time of a group", "s", quantiles("orrery_ruler_group_seconds"))]),
        ("Notifications", [("Sent", "reqps", each("orrery_alertmanager_notifications_total")), ("Failed", "reqps", each("orrery_alertmanager_notifications_failed_total")), ("Waiting", "short", gauge("orrery_alertmanager_notifications_queued"))])]),
    "resources": ("Orrery / Resources (USE)", [
        ("CPU and threads", [("CPU", "short", each("process_cpu_seconds_total")), ("Workers that are busy", "percentunit", [("{{instance}} {{pool}}", "sum by (instance, pool) (orrery_job_busy_workers{$S}) / sum by (instance, pool) (orrery_job_workers{$S})")]), ("Jobs that wait", "short", gauge("orrery_job_queued")), ("Time a job waits", "s", quantiles("orrery_job_wait_seconds", "pool"))]),
        ("Memory", [("Share of the limit", "percentunit", [("{{instance}}", "sum by (instance) (orrery_memory_allocated_bytes{$S}) / sum by (instance) (orrery_memory_limit_bytes{$S})")]), ("Resident", "bytes", gauge("process_resident_memory_bytes")), ("Bodies of requests", "bytes", gauge("orrery_http_body_inflight_bytes"))]),
        ("Descriptors and connections", [("Descriptors", "percentunit", [("{{instance}}", "sum by (instance) (process_open_fds{$S}) / sum by (instance) (process_max_fds{$S})")]), ("Connections", "short", gauge("orrery_http_connections")), ("Received and sent", "Bps", [("received", "sum(rate(orrery_http_received_bytes_total{$S}[$__rate_interval]))"), ("sent", "sum(rate(orrery_http_sent_bytes_total{$S}[$__rate_interval]))")])]),
        ("Errors", [("Log lines, errors and warnings", "cps", [("{{level}}", rate("orrery_log_lines_total", "level", 'level=~"error|warn", '))]), ("Jobs refused", "cps", each("orrery_job_refused_total")), ("Log writes that failed", "cps", each("orrery_wal_failures_total"))])]),
    "objectives": ("Orrery / Objectives", [
        ("30 days, 99.9%", [
            ("Budget of writes left", "percentunit", [("{{namespace}}", '1 - avg_over_time(orrery:writes:error_ratio_rate5m{cluster=~"$cluster", namespace=~"$namespace", job=~"$job"}[30d]) / 0.001')]),
            ("Budget of reads left", "percentunit", [("{{namespace}}", '1 - avg_over_time(orrery:reads:error_ratio_rate5m{cluster=~"$cluster", namespace=~"$namespace", job=~"$job"}[30d]) / 0.001')])]),
        ("Now", [
            ("Writes that fail", "percentunit", [("{{namespace}}", 'orrery:writes:error_ratio_rate5m{cluster=~"$cluster", namespace=~"$namespace", job=~"$job"}')]),
            ("Reads that fail", "percentunit", [("{{namespace}}", 'orrery:reads:error_ratio_rate5m{cluster=~"$cluster", namespace=~"$namespace", job=~"$job"}')]),
            ("Writes that take longer than 1 s", "percentunit", [("{{namespace}}", 'orrery:writes:slow_ratio_rate5m{cluster=~"$cluster", namespace=~"$namespace", job=~"$job"}')]),
            ("Reads that take longer than 17 s", "percentunit", [("{{namespace}}", 'orrery:reads:slow_ratio_rate5m{cluster=~"$cluster", namespace=~"$namespace", job=~"$job"}')])])]),
}

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HEIGHT = 7


def choice(name, after):
    """A list of a label's values, those that the choices before it leave."""
    before = ", ".join(f'{x}=~"${x}"' for x in after)
    return {"name": name, "label": name, "type": "query", "datasource": SOURCE, "refresh": 2, "includeAll": True, "multi": True,
            "allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}, "sort": 1,
            "query": f"label_values(orrery_build_info{{{before}}}, {name})"}


def panel(number, x, y, width, title, unit, targets):
    return {"id": number, "type": "timeseries", "title": title, "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": width, "h": HEIGHT},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 8, "showPoints": "never"}}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
            "targets": [{"refId": chr(ord("A") + i), "datasource": SOURCE, "legendFormat": legend, "expr": expr.replace("$S", S)}
                        for i, (legend, expr) in enumerate(targets)]}


def dashboard(uid, title, rows):
    panels, y = [], 0
    for row, inside in rows:
        panels.append({"id": len(panels) + 1, "type": "row", "title": row, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})
        y += 1
        width = 24 // min(len(inside), 4)
        for i, (name, unit, targets) in enumerate(inside):
            panels.append(panel(len(panels) + 1, i % 4 * width, y + i // 4 * HEIGHT, width, name, unit, targets))
        y += (len(inside) + 3) // 4 * HEIGHT
    labels = ("cluster", "namespace", "job", "instance")
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    return {"uid": f"orrery-{uid}", "title": title, "tags": ["orrery"], "schemaVersion": 39, "editable": True, "graphTooltip": 1,
            "time": {"from": "now-3h", "to": "now"}, "refresh": "30s", "timezone": "browser",
            "links": [{"type": "dashboards", "tags": ["orrery"], "title": "Orrery", "asDropdown": True, "includeVars": True, "keepTime": True}],
            "templating": {"list": [source, *(choice(x, labels[:i]) for i, x in enumerate(labels))]}, "panels": panels}


def main():
    where = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "dashboards")
    os.makedirs(where, exist_ok=True)
    for uid, (title, rows) in DASHBOARDS.items():
        with open(os.path.join(where, f"orrery-{uid}.json"), "w", encoding="utf-8") as f:
            json.dump(dashboard(uid, title, rows), f, indent=1, sort_keys=True)
            f.write("\n")


if __name__ == "__main__":
    main()
