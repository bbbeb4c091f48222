#!/usr/bin/env python3
"""Spans by the exporters of Zipkin and Jaeger that people still run (OpenTelemetry's Python SDK 1.21, py_zipkin), by each way in; and out again
by Jaeger's and Zipkin's APIs, as they were sent."""
import json
import subprocess
import time
import urllib.parse

import pyenv
from orrery_test import Single, check, http_call, main, wait_for
from trace_clients_test import ARGS, attributes, hex_of, trace_of

PACKAGES = ("opentelemetry-sdk==1.21.0", "opentelemetry-exporter-jaeger-thrift==1.21.0", "opentelemetry-exporter-jaeger-proto-grpc==1.21.0",
            "opentelemetry-exporter-zipkin-json==1.21.0", "opentelemetry-exporter-zipkin-proto-http==1.21.0", "py-zipkin==1.2.8",
            "setuptools<80")

# argv: way, HTTP address, gRPC address. Prints the SDK's verdicts and ids: of a server's span, of the client's below it that failed, and of a third
# in another trace that the second has a link to.
SENDER = """
import json, os, sys
os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

way, http, grpc = sys.argv[1:4]
if way == "zipkin_json":
    from opentelemetry.exporter.zipkin.json import ZipkinExporter as Base
    how = dict(endpoint=f"http://{http}/api/v2/spans")
elif way == "zipkin_proto":
    from opentelemetry.exporter.zipkin.proto.http import ZipkinExporter as Base
    how = dict(endpoint=f"http://{http}/zipkin/api/v2/spans", local_node_ipv4="192.168.1.2", local_node_port=80)
elif way == "jaeger_thrift":
    from opentelemetry.exporter.jaeger.thrift import JaegerExporter as Base
    how = dict(collector_endpoint=f"http://{http}/api/traces?format=jaeger.thrift")
else:
    from opentelemetry.exporter.jaeger.proto.grpc import JaegerExporter as Base
    how = dict(collector_endpoint=grpc, insecure=True)
results = []

class Exporter(Base):
    def export(self, *args, **kwargs):
        result = super().export(*args, **kwargs)
        results.append(result.name)
        return result

provider = TracerProvider(resource=Resource.create({"service.name": "front", "cpus": 8}))
provider.add_span_processor(BatchSpanProcessor(Exporter(**how)))
tracer = provider.get_tracer("lib", "1.2")
other = tracer.start_span("earlier")
other.end()
with tracer.start_as_current_span("GET /cart", kind=trace.SpanKind.SERVER) as root:
    root.set_attribute("http.method", "GET")
    root.set_attribute("rows", 7)
    root.add_event("cache miss", {"key": "cart"})
    with tracer.start_as_current_span("SELECT", kind=trace.SpanKind.CLIENT, links=[trace.Link(other.get_span_context())]) as child:
        child.set_status(trace.Status(trace.StatusCode.ERROR, "no such cart"))
provider.shutdown()
hexed = lambda span: (format(span.get_span_context().trace_id, "032x"), format(span.get_span_context().span_id, "016x"))
print(json.dumps([results, hexed(root), hexed(child), hexed(other)]))
"""
ANONYMOUS = "anonymous"  # Jaeger's exporters send no headers
OPTIONAL = [*ARGS, "--auth.mode=optional"]


def send(o, way):
    r = subprocess.run([pyenv.python(*PACKAGES), "-c", SENDER, way, o.addr, o.otlp_grpc], capture_output=True, text=True, timeout=120)
    check(r.returncode == 0, f"{r.stdout} {r.stderr[-3000:]}")
    results, root, child, other = json.loads(r.stdout.splitlines()[-1])
    check(set(results) == {"SUCCESS"}, f"{way}: {results} {r.stderr[-2000:]}")
    return root, child, other


def get(o, path, **params):
    query = urllib.parse.urlencode(params, doseq=True)
    r = http_call(o.addr, "GET", f"{path}?{query}", headers={"X-Scope-OrgID": ANONYMOUS})
    check(r.status == 200, f"{path}?{query}: {r.status} {r.text}")
    return r.json


def data(o, path, **params):
    return get(o, "/jaeger/api" + path, **params)["data"]


def read_again(o, trace_id, root_id, child_id):
    """By Jaeger's API and by Zipkin's."""
    check(data(o, "/services") == ["front"], data(o, "/services"))
    check(data(o, "/services/front/operations") == ["GET /cart", "SELECT", "earlier"], "names of operations")
    check({"name": "GET /cart", "spanKind": "server"} in data(o, "/operations", service="front"), "operations")
    found = data(o, "/traces", service="front", operation="SELECT", tags=json.dumps({"error": "true"}), lookback="1h", limit=20)
    check([x["traceID"] for x in found] == [trace_id], f"{found}")
    check(found == data(o, f"/traces/{trace_id}"), "by id")
    check(not data(o, "/traces", service="front", tag="http.method:POST"), "what nobody sent")
    check(len(data(o, "/traces", service="front", tag="rows:7")) == 1, "a number, or a text that reads as one")
    spans = {x["spanID"]: x for x in found[0]["spans"]}
    check(set(spans) == {root_id, child_id} and spans[root_id]["operationName"] == "GET /cart", f"{spans}")
    check({"refType": "CHILD_OF", "traceID": trace_id, "spanID": root_id} in spans[child_id]["references"], f"{spans}")
    check({"key": "error", "type": "bool", "value": True} in spans[child_id]["tags"], f"{spans}")
    check(found[0]["processes"][spans[root_id]["processID"]]["serviceName"] == "front", f"{found}")
    check(get(o, "/zipkin/api/v2/services") == ["front"], "services")
    traces = get(o, "/zipkin/api/v2/traces", serviceName="front", spanName="SELECT", annotationQuery="error")
    check([{x["id"] for x in z} for z in traces] == [{root_id, child_id}], f"{traces}")
    root = next(x for x in traces[0] if x["id"] == root_id)
    check(root["kind"] == "SERVER" and root["tags"]["rows"] == "7" and root["localEndpoint"]["serviceName"] == "front", f"{root}")


def whole(t, way):
    o = Single(t, args=OPTIONAL).wait_ready()
    (trace_id, root_id), (_, child_id), (other_trace, other_id) = send(o, way)
    spans = trace_of(o.addr, trace_id, tenant=ANONYMOUS)
    check(set(spans) == {root_id, child_id}, f"{way}: {spans}")
    root, resource, scope = spans[root_id]
    is_typed = way.startswith("jaeger")
    check(root["name"] == "GET /cart" and root["kind"] == "SPAN_KIND_SERVER" and "parentSpanId" not in root, f"{way}: {root}")
    check(resource["service.name"] == {"stringValue": "front"}, f"{way}: {resource}")
    check((scope["name"], scope["version"]) == ("lib", "1.2"), f"{way}: {scope}")
    got = attributes(root)
    check(got["http.method"] == {"stringValue": "GET"} and got["rows"] == ({"intValue": "7"} if is_typed else {"stringValue": "7"}), f"{way}: {got}")
    event = root["events"][0]
    if is_typed:
        # the exporter of Thrift sends what a resource has as tags of each span
        check((got if way == "jaeger_thrift" else resource)["cpus"] == {"intValue": "8"}, f"{way}: {got} {resource}")
        check(attributes(event)["key"] == {"stringValue": "cart"}, f"{way}: {event}")
    else:
        check("cache miss" in event["name"] and "cart" in event["name"], f"{way}: {event}")
    child, _, _ = spans[child_id]
    check(hex_of(child["parentSpanId"]) == root_id and child["kind"] == "SPAN_KIND_CLIENT", f"{way}: {child}")
    check(child["status"]["code"] == "STATUS_CODE_ERROR" and child["status"]["message"] == "no such cart", f"{way}: {child}")
    if is_typed:
        link = child["links"][0]
        check((hex_of(link["traceId"]), hex_of(link["spanId"])) == (other_trace, other_id), f"{way}: {link}")
        check(attributes(link) == {"opentracing.ref_type": {"stringValue": "follows_from"}}, f"{way}: {link}")
    read_again(o, trace_id, root_id, child_id)
    check(int(root["startTimeUnixNano"]) <= int(child["startTimeUnixNano"]) <= int(child["endTimeUnixNano"]) <= int(root["endTimeUnixNano"]),
          f"{way}: times")


def test_zipkin_json(t):
    whole(t, "zipkin_json")


def test_zipkin_protobuf(t):
    whole(t, "zipkin_proto")


def test_jaeger_thrift_over_http(t):
    whole(t, "jaeger_thrift")


def test_jaeger_grpc(t):
    whole(t, "jaeger_grpc")


PY_ZIPKIN = """
import sys
from py_zipkin.zipkin import zipkin_span, ZipkinAttrs
from py_zipkin.encoding import Encoding
from py_zipkin.transport import SimpleHTTPTransport
from py_zipkin import Kind

encoding = {"json": Encoding.V2_JSON, "proto": Encoding.V2_PROTO3}[sys.argv[2]]
host, port = sys.argv[1].split(":")
with zipkin_span(service_name="shop", span_name="sell", kind=Kind.SERVER, transport_handler=SimpleHTTPTransport(host, int(port)),
                 encoding=encoding, zipkin_attrs=ZipkinAttrs("00000000000000ab", "00000000000000cd", None, None, True),
                 binary_annotations={"k": "v"}) as s:
    with zipkin_span(service_name="shop", span_name="charge", kind=Kind.CLIENT) as c:
        c.add_annotation("sent")
"""


def test_py_zipkin(t):
    o = Single(t, args=OPTIONAL).wait_ready()
    for encoding in ("json", "proto"):
        r = subprocess.run([pyenv.python(*PACKAGES), "-c", PY_ZIPKIN, o.addr, encoding], capture_output=True, text=True, timeout=120,
                           env={"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"})
        check(r.returncode == 0, f"{r.stdout} {r.stderr[-3000:]}")
        want = {"json": 2, "proto": 3}[encoding]  # the root has the same id both times
        got = wait_for("the trace", lambda: (lambda s: s if s and len(s) == want else None)(trace_of(o.addr, "ab", tenant=ANONYMOUS)))
        root, resource, _ = got["00000000000000cd"]
        check(root["name"] == "sell" and attributes(root)["k"] == {"stringValue": "v"}, f"{root}")
        check(resource["service.name"] == {"stringValue": "shop"}, f"{resource}")
        children = [s for s, _, _ in got.values() if s["name"] == "charge"]
        check(all(hex_of(s["parentSpanId"]) == "00000000000000cd" and s["events"][0]["name"] == "sent" for s in children), f"{children}")


def test_what_zipkin_sends_it_gets(t):
    o = Single(t, args=OPTIONAL).wait_ready()
    at = int(time.time() * 1e6)
    call = {"traceId": "00000000000000001122334455667788", "id": "00000000000000a2", "parentId": "00000000000000a1"}
    sent = [{"traceId": "00000000000000001122334455667788", "id": "00000000000000a1", "name": "get /", "kind": "SERVER", "timestamp": at,
             "duration": 1500, "localEndpoint": {"serviceName": "front", "ipv4": "10.0.0.1", "port": 80}, "tags": {"http.path": "/"}},
            {**call, "name": "pay", "kind": "CLIENT", "timestamp": at + 10, "duration": 100, "localEndpoint": {"serviceName": "front"},
             "remoteEndpoint": {"serviceName": "shop", "ipv6": "::1", "port": 9000}, "tags": {},
             "annotations": [{"timestamp": at + 11, "value": "sent"}]},
            {**call, "name": "post /pay", "kind": "SERVER", "timestamp": at + 20, "duration": 50, "localEndpoint": {"serviceName": "shop"},
             "shared": True, "tags": {"otel.status_code": "ERROR", "error": "true"}}]
    r = http_call(o.addr, "POST", "/api/v2/spans", json.dumps(sent).encode(), {"Content-Type": "application/json"})
    check(r.status == 202, f"{r.status} {r.text}")
    got = get(o, "/api/v2/trace/1122334455667788")
    check(got == sent, f"{got} is not {sent}")
    want = [{"parent": "front", "child": "shop", "callCount": 1, "errorCount": 1}]
    check(get(o, "/api/v2/dependencies", endTs=int(time.time() * 1000) + 1000) == want, "dependencies")
    check(data(o, "/dependencies") == [{"parent": "front", "child": "shop", "callCount": 1}], "Jaeger's")
    check(get(o, "/api/v2/remoteServices", serviceName="front") == ["shop"], "whom front calls")


if __name__ == "__main__":
    main()
