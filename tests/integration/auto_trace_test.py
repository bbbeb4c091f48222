#!/usr/bin/env python3
"""Real SDKs end to end: services of Flask and requests under OpenTelemetry's auto-instrumentation make one trace, with lines and metrics about it;
the SDK of Java sends by gRPC."""
import os
import subprocess

import javaenv
import pyenv
from correlate_test import correlate
from orrery_test import TENANT, Process, check, free_port, http_call, main, query, wait_for
from shop_signals import start
from trace_clients_test import attributes, hex_of, search, trace_of

OTEL, BETA = "1.31.1", "0.52b1"
PACKAGES = (f"opentelemetry-distro=={BETA}", f"opentelemetry-exporter-otlp-proto-http=={OTEL}", f"opentelemetry-instrumentation-flask=={BETA}",
            f"opentelemetry-instrumentation-requests=={BETA}", f"opentelemetry-instrumentation-logging=={BETA}", f"opentelemetry-sdk=={OTEL}",
            "flask==3.0.3", "werkzeug==3.0.6", "requests==2.32.3", "setuptools<80")
JAVA = ("io.opentelemetry:opentelemetry-sdk:1.60.0", "io.opentelemetry:opentelemetry-exporter-otlp:1.60.0")
APP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "auto_shop.py")
SERVICES = ("gateway", "orders", "payments")


def services(t, o):
    python = pyenv.python(*PACKAGES)
    agent = os.path.join(os.path.dirname(python), "opentelemetry-instrument")
    ports = [free_port() for _ in SERVICES]
    for i, role in enumerate(SERVICES):
        following = f"127.0.0.1:{ports[i + 1]}" if i + 1 < len(SERVICES) else "-"
        env = {"OTEL_SERVICE_NAME": role, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{o.otlp_http}", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
               "OTEL_EXPORTER_OTLP_HEADERS": f"x-scope-orgid={TENANT}", "OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_BLRP_SCHEDULE_DELAY": "200",
               "OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp", "OTEL_METRIC_EXPORT_INTERVAL": "500",
               "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true", "OTEL_PYTHON_EXCLUDED_URLS": "ready",
               "PATH": os.path.dirname(python) + ":" + os.environ["PATH"]}
        t.add(Process(role, [agent, python, APP, role, str(ports[i]), following], f"{t.dir}/{role}.log", {**os.environ, **env}))

    def ready(port):
        try:
            return http_call(f"127.0.0.1:{port}", "GET", "/ready").status == 200
        except OSError:
            return False
    for port in ports:
        wait_for("the services", lambda p=port: ready(p))
    return f"127.0.0.1:{ports[0]}"


def path_down(spans):
    """[(service, kind, name)] from the root to its deepest descendant; a branch on the way is a failure."""
    children = {}
    for id, (span, resource, _) in spans.items():
        children.setdefault(hex_of(span.get("parentSpanId", "")), []).append(id)
    out, at = [], children[""]
    check(len(at) == 1, f"roots: {at}")
    while at:
        span, resource, _ = spans[at[0]]
        out.append((resource["service.name"]["stringValue"], span["kind"][10:], span["name"]))
        at = sorted(children.get(at[0], []), key=lambda id: spans[id][0]["name"], reverse=True)  # "earlier try" before "charge"
        at = [id for id in at if spans[id][0]["name"] != "earlier try"]
        check(len(at) < 2, f"{at}")
    return out


def test_flask_and_requests(t):
    o = start(t)
    gateway = services(t, o)
    fine, broken = (http_call(gateway, "GET", f"/buy/{item}", timeout=30) for item in ("book", "broken"))
    check((fine.status, broken.status) == (200, 500), f"{fine.status} {broken.status} {broken.text[:300]}")
    wait_for("both traces", lambda: all(len(trace_of(o.addr, r.text) or {}) == 7 for r in (fine, broken)))
    for r in (fine, broken):
        spans = trace_of(o.addr, r.text)
        check(path_down(spans) == [("gateway", "SERVER", "GET /buy/<item>"), ("gateway", "CLIENT", "GET"), ("orders", "SERVER", "GET /buy/<item>"),
                                   ("orders", "CLIENT", "GET"), ("payments", "SERVER", "GET /buy/<item>"), ("payments", "INTERNAL", "charge")],
              f"{path_down(spans)}")
        by_name = {(x[1]["service.name"]["stringValue"], x[0]["name"]): x for x in spans.values()}
        charge, resource, scope = by_name["payments", "charge"]
        check(scope == {"name": "shop", "version": "1.0"} and "telemetry.sdk.language" in resource, f"{scope} {resource}")
        link, = charge["links"]
        check(hex_of(link["spanId"]) == hex_of(by_name["payments", "earlier try"][0]["spanId"]) and attributes(link) == {"why": {"stringValue": "retry"}},
              f"{link}")
        events = {e["name"]: attributes(e) for e in charge["events"]}
        check(events["lock wanted"] == {"table": {"stringValue": "accounts"}}, f"{events}")
        failed = {k for k, x in by_name.items() if x[0].get("status", {}).get("code") == "STATUS_CODE_ERROR"}
        check(len(failed) == (6 if r is broken else 0), f"{failed}")
        check(("exception" in events) == (r is broken), f"{events}")
        server = attributes(by_name["orders", "GET /buy/<item>"][0])
        check(server["http.status_code"] == {"intValue": str(r.status)} and server["http.method"] == {"stringValue": "GET"}, f"{server}")
    hits = search(o.addr, '{ resource.service.name = "gateway" && kind = server } >> { name = "charge" && status = error }')
    check([x["traceID"].rjust(32, "0") for x in hits] == [broken.text], f"{hits}")

    # lines that the agent sent, and the exemplars of its own metrics
    def whole():
        got = correlate(o.addr, broken.text)
        lines = {(x["labels"]["service_name"], x["line"]) for x in got["logs"]}
        series = {x["seriesLabels"]["__name__"] for x in got["exemplars"]}
        return (lines >= {(s, f"{s} is asked for broken") for s in SERVICES} and got["partial"] == [] and
                {"traces_spanmetrics_latency_bucket", "http_client_duration_milliseconds_bucket"} <= series)
    wait_for("lines and exemplars of the trace", whole, 30, 0.5)
    got = correlate(o.addr, broken.text)
    check(any("lock held by batch" in x["line"] or "lock held by batch" in str(x["structuredMetadata"]) for x in got["logs"]), f"{got['logs']}")
    check(got["trace"]["rootServiceName"] == "gateway" and set(got["trace"]["serviceStats"]) == set(SERVICES), f"{got['trace']}")
    edges = "traces_service_graph_request_total{client!=\"user\"}"
    wait_for("the service graph", lambda: {(x["metric"]["client"], x["metric"]["server"]): x["value"][1] for x in query(o.addr, edges)["result"]} ==
             {("gateway", "orders"): "2", ("orders", "payments"): "2"}, 30, 0.5)


SENDER = """
import io.opentelemetry.api.common.*;
import io.opentelemetry.api.trace.*;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import java.util.concurrent.TimeUnit;

public class Sender {
    public static void main(String[] args) {
        OtlpGrpcSpanExporter exporter = OtlpGrpcSpanExporter.builder().setEndpoint("http://" + args[0])
            .addHeader("X-Scope-OrgID", args[1]).setCompression("gzip").build();
        SdkTracerProvider provider = SdkTracerProvider.builder()
            .setResource(Resource.create(Attributes.of(AttributeKey.stringKey("service.name"), "billing")))
            .addSpanProcessor(BatchSpanProcessor.builder(exporter).build()).build();
        Tracer tracer = provider.get("lib", "3.1");
        Span root = tracer.spanBuilder("nightly bill").setSpanKind(SpanKind.CONSUMER).startSpan();
        root.setAttribute("customers", 3L).setAttribute("share", 0.25).setAttribute("dry", false);
        for (int i = 0; i < 3; i++) {
            Span child = tracer.spanBuilder("bill").setParent(io.opentelemetry.context.Context.root().with(root))
                .addLink(root.getSpanContext(), Attributes.of(AttributeKey.longKey("n"), (long) i)).startSpan();
            child.addEvent("sent", Attributes.of(AttributeKey.stringArrayKey("to"), java.util.List.of("a", "b")));
            if (i == 2)
                child.setStatus(StatusCode.ERROR, "bounced");
            child.end();
        }
        root.end();
        boolean flushed = provider.forceFlush().join(20, TimeUnit.SECONDS).isSuccess();
        provider.shutdown().join(20, TimeUnit.SECONDS);
        System.out.println(flushed + " " + root.getSpanContext().getTraceId());
        System.exit(0);
    }
}
"""


def test_java_over_grpc(t):
    java = javaenv.java(JAVA, {"Sender": SENDER})
    o = start(t)
    r = subprocess.run([*java, "Sender", o.otlp_grpc, TENANT], capture_output=True, text=True, timeout=120)
    check(r.returncode == 0 and r.stdout.startswith("true "), f"{r.stdout} {r.stderr[-2000:]}")
    spans = trace_of(o.addr, r.stdout.split()[1])
    roots = [x for x in spans.values() if "parentSpanId" not in x[0]]
    check(len(spans) == 4 and len(roots) == 1, f"{spans}")
    root, resource, scope = roots[0]
    check(root["name"] == "nightly bill" and root["kind"] == "SPAN_KIND_CONSUMER" and resource["service.name"] == {"stringValue": "billing"}, f"{root}")
    check(scope == {"name": "lib", "version": "3.1"}, f"{scope}")
    check(attributes(root) == {"customers": {"intValue": "3"}, "share": {"doubleValue": 0.25}, "dry": {"boolValue": False}}, f"{root}")
    children = [x[0] for x in spans.values() if "parentSpanId" in x[0]]
    check({x["parentSpanId"] for x in children} == {root["spanId"]}, f"{children}")
    check(sorted(attributes(x["links"][0])["n"]["intValue"] for x in children) == ["0", "1", "2"], f"{children}")
    to = {"arrayValue": {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}}
    check(all(attributes(x["events"][0]) == {"to": to} for x in children), f"{children}")
    check([x["status"] for x in children if x.get("status", {}).get("code") == "STATUS_CODE_ERROR"] ==
          [{"code": "STATUS_CODE_ERROR", "message": "bounced"}], f"{children}")


if __name__ == "__main__":
    main()
