#!/usr/bin/env python3
"""OpenTelemetry's Python SDK sends metrics over HTTP and gRPC; PromQL finds them."""
import json
import subprocess
import time

import pyenv
from orrery_test import TENANT, Single, api, check, http_call, main, push, query, wait_for

PACKAGES = ("opentelemetry-sdk==1.31.1", "opentelemetry-exporter-otlp-proto-http==1.31.1",
            "opentelemetry-exporter-otlp-proto-grpc==1.31.1")

# argv: http|grpc, the endpoint, cumulative|delta. Prints what it has sent.
SENDER = """
import json, sys
from opentelemetry import trace
from opentelemetry.sdk.metrics import (Counter, Histogram, MeterProvider, ObservableCounter,
                                       UpDownCounter)
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import (ExponentialBucketHistogramAggregation, View)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

kind, endpoint, temporality = sys.argv[1:4]
headers = {"x-scope-orgid": "TENANT_ID"}
if kind == "http":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    how = dict(endpoint=endpoint, headers=headers, compression=Compression.Gzip)
else:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    how = dict(endpoint=endpoint, headers=headers, insecure=True)
if temporality == "delta":
    how["preferred_temporality"] = {k: AggregationTemporality.DELTA for k in (Counter, Histogram)}

results = []

class Exporter(OTLPMetricExporter):
    def export(self, *args, **kwargs):
        result = super().export(*args, **kwargs)
        results.append(result.name)
        return result

reader = PeriodicExportingMetricReader(Exporter(**how), export_interval_millis=10**8)
provider = MeterProvider(
    resource=Resource.create({"service.name": "shop", "service.namespace": "prod",
                              "service.instance.id": "i-1", "host.name": "box", "threads": 8}),
    metric_readers=[reader],
    views=[View(instrument_name="rpc.size", aggregation=ExponentialBucketHistogramAggregation())])
meter = provider.get_meter("lib", "1.0")
requests = meter.create_counter("http.requests", unit="{request}", description="Requests.")
queue = meter.create_up_down_counter("queue.length")
seconds = meter.create_histogram("http.server.duration", unit="s")
sizes = meter.create_histogram("rpc.size", unit="By")
meter.create_observable_gauge("cpu.utilization", unit="1",
                              callbacks=[lambda o: [__import__("opentelemetry.metrics").metrics.Observation(0.25, {"cpu": 0})]])
tracer = TracerProvider().get_tracer("t")
with tracer.start_as_current_span("traced") as span:
    requests.add(0, {"http.method": "GET", "ok": True})
    seconds.record(0.0005, {"http.method": "traced"})
    trace_id = format(span.get_span_context().trace_id, "032x")
for round in range(3):
    for i in range(10):
        requests.add(1, {"http.method": "GET" if i % 2 else "POST", "ok": True})
        seconds.record(0.001 * 4 ** i, {"http.method": "GET"})
        sizes.record(2.0 ** i)
    queue.add(2)
    provider.force_flush()
provider.shutdown()
print(json.dumps([results, trace_id]))
"""


def send(o, kind, temporality="cumulative", port=None):
    """The SDK's own verdict on each export, and the id of the trace that its exemplars name."""
    addr = port or {"http": o.otlp_http, "grpc": o.otlp_grpc}[kind]
    endpoint = f"http://{addr}/v1/metrics" if kind == "http" else addr
    r = subprocess.run([pyenv.python(*PACKAGES), "-c", SENDER.replace("TENANT_ID", TENANT), kind,
                        endpoint, temporality], capture_output=True, text=True, timeout=120)
    check(r.returncode == 0, f"{r.stdout} {r.stderr[-3000:]}")
    return json.loads(r.stdout.splitlines()[-1])


def values(o, expr):
    """{labels as sorted pairs: value} of an instant query."""
    return {tuple(sorted(s["metric"].items())): s["value"][1] for s in query(o.addr, expr)["result"]}


def only(o, expr):
    got = values(o, expr)
    check(len(got) == 1, f"{expr} gives {got}")
    return list(got.values())[0]


def check_all(o, trace_id):
    """Everything that SENDER says, asked for."""
    for selector, value in (("http_requests_total", "0"), ("http_server_duration_seconds_bucket", "0.0005")):
        r = api(o.addr, "/api/v1/query_exemplars", {"query": selector, "start": time.time() - 3600,
                                                    "end": time.time() + 60})
        got = [(e["labels"].get("trace_id"), e["value"]) for x in r.json["data"] for e in x["exemplars"]]
        check((trace_id, value) in got, f"exemplars of {selector}: {r.text}")
    target = (("instance", "i-1"), ("job", "prod/shop"))
    got = values(o, "http_requests_total")
    want = {tuple(sorted((("__name__", "http_requests_total"), ("http_method", m), ("ok", "true"),
                          *target))): "15" for m in ("GET", "POST")}
    check(got == want, f"counter: {got}")
    check(only(o, 'queue_length{job="prod/shop"}') == "6", "up-down counter")
    check(only(o, 'cpu_utilization_ratio{cpu="0"}') == "0.25", "gauge")
    check(only(o, 'http_server_duration_seconds_count{http_method="GET"}') == "30", "histogram")
    check(only(o, 'http_server_duration_seconds_bucket{le="+Inf",http_method="GET"}') == "30", "buckets")
    below_5 = only(o, 'http_server_duration_seconds_bucket{le="5",http_method="GET"}')
    check(below_5 == "21", f"bucket below 5: {below_5}")
    check(abs(float(only(o, 'http_server_duration_seconds_sum{http_method="GET"}')) - 3 * 0.001 * (4 ** 10 - 1) / 3)
          < 1e-6, "sum of the histogram")
    check(only(o, "histogram_count(rpc_size_bytes)") == "30", "exponential histogram")
    check(float(only(o, "histogram_sum(rpc_size_bytes)")) == 3 * 1023, "its sum")
    half = float(only(o, "histogram_quantile(0.5, rpc_size_bytes)"))
    check(8 <= half <= 33, f"its median: {half}")
    info = list(values(o, "target_info"))
    check(len(info) == 1 and ("host_name", "box") in info[0] and ("threads", "8") in info[0],
          f"target_info: {info}")
    joined = values(o, "sum by (host_name) (http_requests_total * on (job, instance) group_left (host_name) target_info)")
    check(joined == {(("host_name", "box"),): "30"}, f"joined with target_info: {joined}")
    meta = api(o.addr, "/api/v1/metadata", {"metric": "http_requests_total"}).json["data"]
    check(meta["http_requests_total"][0]["type"] == "counter" and
          meta["http_requests_total"][0]["help"] == "Requests.", f"metadata: {meta}")


def test_the_sdk_over_http(t):
    o = Single(t).wait_ready()
    results, trace_id = send(o, "http")
    check(len(results) >= 3 and set(results) == {"SUCCESS"}, f"the SDK says {results}")
    check_all(o, trace_id)


def test_the_sdk_over_grpc(t):
    o = Single(t).wait_ready()
    results, trace_id = send(o, "grpc")
    check(len(results) >= 3 and set(results) == {"SUCCESS"}, f"the SDK says {results}")
    check_all(o, trace_id)


def test_the_sdk_over_grpc_on_the_http_port(t):
    o = Single(t).wait_ready()
    results, trace_id = send(o, "grpc", port=o.addr)
    check(set(results) == {"SUCCESS"}, f"the SDK says {results}")
    check_all(o, trace_id)


def test_deltas_are_added_up_when_told_so(t):
    o = Single(t, args=["--otlp.delta=cumulative"]).wait_ready()
    results, trace_id = send(o, "http", "delta")
    check(set(results) == {"SUCCESS"}, f"the SDK says {results}")
    check_all(o, trace_id)


def test_deltas_are_refused_by_default(t):
    o = Single(t).wait_ready()
    results, _ = send(o, "grpc", "delta")  # the last export has nothing new of the counters
    check(len(results) == 4 and set(results[:3]) == {"FAILURE"}, f"the SDK says {results}")
    check(values(o, "http_requests_total") == {}, "deltas were stored")


def request(name, *points, attrs=(), **data):
    return json.dumps({"resourceMetrics": [{
        "resource": {"attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attrs]},
        "scopeMetrics": [{"metrics": [{"name": name, **data, "gauge": {"dataPoints": list(points)}}]}]}]})


def gauge(name, *points):
    return {"name": name, "gauge": {"dataPoints": list(points)}}


def counter(temporality):
    return {"name": "c", "sum": {"isMonotonic": True, "aggregationTemporality": temporality, "dataPoints": [point(7)]}}


def metrics(*each):
    return json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": list(each)}]}]})


def point(value, age_s=0, **more):
    return {"asDouble": value, "timeUnixNano": str(time.time_ns() - age_s * 10**9), **more}


def post(o, path, body, content_type="application/json", tenant=TENANT, addr=None):
    headers = {"Content-Type": content_type}
    if tenant:
        headers["X-Scope-OrgID"] = tenant
    return http_call(addr or o.addr, "POST", path, body, headers)


def test_each_path_takes_json_and_says_what_was_refused(t):
    o = Single(t).wait_ready()
    for i, path in enumerate(("/otlp/v1/metrics", "/api/v1/otlp/v1/metrics", "/v1/metrics")):
        r = post(o, path, request(f"path{i}", point(i)))
        check(r.status == 200 and r.json == {}, f"{path}: {r.status} {r.text}")
        check(only(o, f"path{i}") == str(i), path)
    r = post(o, "/v1/metrics", request("own.port", point(1)), addr=o.otlp_http)
    check(r.status == 200 and only(o, "own_port") == "1", f"{r.status} {r.text}")

    # one point is new, one is far in the future
    body = request("part", point(1), {"asDouble": 1, "timeUnixNano": str(time.time_ns() + 10**15)})
    r = post(o, "/v1/metrics", body)
    check(r.status == 200 and r.json["partialSuccess"]["rejectedDataPoints"] == "1" and
          r.json["partialSuccess"]["errorMessage"], f"{r.status} {r.text}")
    check(only(o, "part") == "1", "the good point is missing")

    for body, content_type, status in (("{", "application/json", 400), ("\x0a\x05", "application/x-protobuf", 400),
                                       ("{}", "text/plain", 400), (request("...", point(1)), "application/json", 400),
                                       (metrics(counter(1), gauge("beside", point(1))), "application/json", 500)):
        r = post(o, "/v1/metrics", body, content_type)
        check(r.status == status, f"{content_type} {body[:20]!r}: {r.status} {r.text}")
        if content_type == "application/json":
            check(r.json["code"] == 3 and r.json["message"], r.text)
    check(values(o, "beside") == {}, "a wrong temporality did not refuse the whole request")
    check(post(o, "/v1/metrics", "{}", tenant=None).status == 401, "no tenant")


def test_one_bad_name_costs_its_own_points_alone(t):
    o = Single(t).wait_ready()
    body = metrics(gauge("before", point(1)), gauge("...", point(2), point(2, 15)), gauge("empty"), counter(2),
                   gauge("labels", point(3), point(4, attributes=[{"key": "", "value": {"stringValue": "x"}}])))
    r = post(o, "/v1/metrics", body)
    partial = r.json.get("partialSuccess", {})
    check(r.status == 200 and partial.get("rejectedDataPoints") == "3", f"{r.status} {r.text}")
    for text in ('metric "..."', 'metric "labels": an attribute without a name'):
        check(text in partial["errorMessage"], r.text)
    check([only(o, name) for name in ("before", "labels", "c_total")] == ["1", "3", "7"], "what is good is stored")
    check('orrery_door_rejected_samples_total{reason="otlp_parse_error"} 3' in http_call(o.addr, "GET", "/metrics").text,
          "it is not counted")
    r = post(o, "/v1/metrics", metrics(gauge("empty")))
    check(r.status == 200 and r.json == {}, f"of no points nothing is lost: {r.status} {r.text}")


def test_too_fast_is_said_so_that_a_client_waits(t):
    o = Single(t, args=["--limits.request-rate=0.001", "--limits.request-burst-size=1"]).wait_ready()
    check(post(o, "/v1/metrics", request("a", point(1))).status == 200, "the first")
    r = post(o, "/v1/metrics", request("a", point(1)))
    check(r.status == 429 and r.headers["retry-after"] == "1" and r.json["code"] == 8,
          f"{r.status} {r.headers} {r.text}")


def test_a_start_time_is_a_zero_when_told_so(t):
    o = Single(t, args=["--limits.created-timestamp-zero-ingestion=true"]).wait_ready()
    now = time.time_ns() // 10**9
    data = {"name": "c", "sum": {"isMonotonic": True, "aggregationTemporality": 2, "dataPoints": [
        {"asInt": "7", "startTimeUnixNano": f"{now - 60}000000000", "timeUnixNano": f"{now}000000000"}]}}
    r = post(o, "/v1/metrics", json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [data]}]}]}))
    check(r.status == 200, r.text)
    got = query(o.addr, "c_total[1h]")["result"][0]["values"]
    check(got == [[now - 60, "0"], [now, "7"]], f"{got}")


def test_settings_of_a_tenant_and_their_reload(t):
    path = f"{t.dir}/overrides.yaml"

    def settings(text):
        with open(path, "w") as f:
            f.write(f"overrides:\n  {TENANT}:\n    otlp: {text}\n")

    settings("{translation_strategy: NoTranslation, promote_resource_attributes: [host.name]}")
    o = Single(t, args=[f"--limits.overrides-file={path}", "--limits.overrides-period=100ms",
                        "--otlp.promote-all-resource-attributes=false"]).wait_ready()
    attrs = (("host.name", "box"), ("zone", "a"))
    post(o, "/v1/metrics", request("a.b", point(1), attrs=attrs, unit="s"))
    check(values(o, '{"a.b"}') == {(("__name__", "a.b"), ("host.name", "box")): "1"},
          f"{api(o.addr, '/api/v1/labels').text}")
    settings("{promote_all_resource_attributes: true, ignore_resource_attributes: [zone]}")

    def is_new():
        post(o, "/v1/metrics", request("c.d", point(2), attrs=attrs, unit="s"))
        return values(o, "c_d_seconds") == {(("__name__", "c_d_seconds"), ("host_name", "box")): "2"}
    wait_for("the new settings", is_new, 10)


if __name__ == "__main__":
    main()
