#!/usr/bin/env python3
"""Traces by the clients that people use: OpenTelemetry's Python SDK over HTTP and gRPC, Zipkin's JSON by curl; read back by Tempo's API,
as JSON and as protobuf, and found by TraceQL."""
import base64
import json
import subprocess
import time
import urllib.parse

import pyenv
from orrery_test import TENANT, Single, check, http_call, main, wait_for

OTEL = ("opentelemetry-sdk==1.31.1", "opentelemetry-exporter-otlp-proto-http==1.31.1",
        "opentelemetry-exporter-otlp-proto-grpc==1.31.1")
ARGS = []  # spans are taken by default

# argv: http|grpc, the endpoint. Prints the SDK's verdicts and the ids of the trace: two services, one process each by its own provider.
SENDER = """
import json, sys
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

kind, endpoint = sys.argv[1:3]
headers = {"x-scope-orgid": "TENANT_ID"}
if kind == "http":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    how = dict(endpoint=endpoint, headers=headers, compression=Compression.Gzip)
else:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    how = dict(endpoint=endpoint, headers=headers, insecure=True)
results = []

class Exporter(OTLPSpanExporter):
    def export(self, *args, **kwargs):
        result = super().export(*args, **kwargs)
        results.append(result.name)
        return result

def provider(service):
    p = TracerProvider(resource=Resource.create({"service.name": service, "cpus": 8}))
    p.add_span_processor(BatchSpanProcessor(Exporter(**how)))
    return p

front, shop = provider("front"), provider("shop")
other = front.get_tracer("lib", "1.2").start_span("earlier")
other.end()
with front.get_tracer("lib", "1.2").start_as_current_span("GET /cart", kind=trace.SpanKind.SERVER) as root:
    root.set_attribute("http.method", "GET")
    root.set_attribute("ratio", 0.5)
    root.set_attribute("hot", True)
    root.set_attribute("sizes", [1, 2, 3])
    root.add_event("cache miss", {"key": "cart"})
    with shop.get_tracer("db").start_as_current_span("SELECT", kind=trace.SpanKind.CLIENT,
                                                     links=[trace.Link(other.get_span_context(), {"why": "retry"})]) as child:
        child.set_attribute("db.rows", 7)
        try:
            raise ValueError("no such cart")
        except ValueError as e:
            child.record_exception(e)
            child.set_status(trace.StatusCode.ERROR, "no such cart")
front.shutdown()
shop.shutdown()
hexed = lambda span: (format(span.get_span_context().trace_id, "032x"), format(span.get_span_context().span_id, "016x"))
print(json.dumps([results, hexed(root), hexed(child), hexed(other)]))
"""


def hex_of(text):
    return base64.b64decode(text).hex()


def trace_of(addr, trace_id, version="v2", tenant=TENANT):
    """{span id: (span, its resource's attributes, its scope)}; None if it is not there."""
    r = http_call(addr, "GET", f"/api/{'v2/' if version == 'v2' else ''}traces/{trace_id}", headers={"X-Scope-OrgID": tenant})
    if r.status == 404:
        return None
    check(r.status == 200, f"{r.status} {r.text}")
    batches = r.json["trace"]["resourceSpans"] if version == "v2" else r.json["batches"]
    return {hex_of(s["spanId"]): (s, attributes(b["resource"]), g["scope"]) for b in batches for g in b["scopeSpans"] for s in g["spans"]}


def attributes(of):
    return {a["key"]: a["value"] for a in of.get("attributes", [])}


def search(addr, query, **params):
    q = urllib.parse.urlencode({"q": query, "start": int(time.time()) - 3600, "end": int(time.time()) + 60, **params})
    r = http_call(addr, "GET", f"/api/search?{q}", headers={"X-Scope-OrgID": TENANT})
    check(r.status == 200, f"{query}: {r.status} {r.text}")
    return r.json["traces"]


def whole(o, kind):
    endpoint = {"http": f"http://{o.otlp_http}/v1/traces", "grpc": o.otlp_grpc}[kind]
    r = subprocess.run([pyenv.python(*OTEL), "-c", SENDER.replace("TENANT_ID", TENANT), kind, endpoint],
                       capture_output=True, text=True, timeout=120)
    check(r.returncode == 0, f"{r.stdout} {r.stderr[-3000:]}")
    results, (trace_id, root_id), (_, child_id), (other_trace, other_id) = json.loads(r.stdout.splitlines()[-1])
    check(set(results) == {"SUCCESS"}, f"{results}")
    for version in ("v1", "v2"):
        spans = trace_of(o.addr, trace_id, version)
        check(set(spans) == {root_id, child_id}, f"{spans}")
        root, resource, scope = spans[root_id]
        check(root["name"] == "GET /cart" and root["kind"] == "SPAN_KIND_SERVER" and "parentSpanId" not in root, f"{root}")
        check(resource["service.name"] == {"stringValue": "front"} and resource["cpus"] == {"intValue": "8"}, f"{resource}")
        check(scope == {"name": "lib", "version": "1.2"}, f"{scope}")
        got = attributes(root)
        check(got == {"http.method": {"stringValue": "GET"}, "ratio": {"doubleValue": 0.5}, "hot": {"boolValue": True},
                      "sizes": {"arrayValue": {"values": [{"intValue": str(i)} for i in (1, 2, 3)]}}}, f"{got}")
        check([(e["name"], attributes(e)) for e in root["events"]] == [("cache miss", {"key": {"stringValue": "cart"}})], f"{root}")
        child, resource, scope = spans[child_id]
        check(resource["service.name"] == {"stringValue": "shop"} and scope["name"] == "db", f"{resource} {scope}")
        check(hex_of(child["parentSpanId"]) == root_id and child["kind"] == "SPAN_KIND_CLIENT", f"{child}")
        check(child["status"] == {"code": "STATUS_CODE_ERROR", "message": "no such cart"}, f"{child}")
        event = child["events"][0]
        check(event["name"] == "exception" and attributes(event)["exception.type"] == {"stringValue": "ValueError"}, f"{event}")
        link = child["links"][0]
        check((hex_of(link["traceId"]), hex_of(link["spanId"])) == (other_trace, other_id) and
              attributes(link) == {"why": {"stringValue": "retry"}}, f"{link}")
        check(int(root["startTimeUnixNano"]) <= int(child["startTimeUnixNano"]) <= int(child["endTimeUnixNano"]) <=
              int(root["endTimeUnixNano"]), "times")
    raw = http_call(o.addr, "GET", f"/api/traces/{trace_id}", headers={"X-Scope-OrgID": TENANT, "Accept": "application/protobuf"})
    check(raw.status == 200 and bytes.fromhex(trace_id) in raw.body and bytes.fromhex(child_id) in raw.body, f"{raw.status}")
    found = search(o.addr, '{ resource.service.name = "front" } > { status = error && span.db.rows = 7 }')
    check(trace_id in [x["traceID"] for x in found], f"{found}")
    hit = next(x for x in found if x["traceID"] == trace_id)
    check((hit["rootServiceName"], hit["rootTraceName"]) == ("front", "GET /cart"), f"{hit}")
    check([s["spanID"] for s in hit["spanSets"][0]["spans"]] == [child_id], f"{hit}")
    check(hit["serviceStats"] == {"front": {"spanCount": 1}, "shop": {"spanCount": 1, "errorCount": 1}}, f"{hit}")
    check(not search(o.addr, "{ span.db.rows = 8 }"), "what nobody sent")
    names = http_call(o.addr, "GET", "/api/v2/search/tags?scope=span", headers={"X-Scope-OrgID": TENANT}).json["scopes"][0]["tags"]
    check({"http.method", "db.rows"} <= set(names), f"{names}")
    values = http_call(o.addr, "GET", "/api/v2/search/tag/resource.service.name/values", headers={"X-Scope-OrgID": TENANT}).json
    check({"front", "shop"} <= {v["value"] for v in values["tagValues"]}, f"{values}")


def test_opentelemetry_over_http(t):
    whole(Single(t, args=ARGS).wait_ready(), "http")


def test_opentelemetry_over_grpc(t):
    whole(Single(t, args=ARGS).wait_ready(), "grpc")


def test_zipkin(t):
    o = Single(t, args=ARGS).wait_ready()
    at = int(time.time() * 1e6)
    spans = [{"traceId": "1122334455667788", "id": "00000000000000a1", "name": "get /", "kind": "SERVER", "timestamp": at,
              "duration": 1500, "localEndpoint": {"serviceName": "front"}, "tags": {"http.path": "/"}},
             {"traceId": "1122334455667788", "id": "00000000000000a2", "parentId": "00000000000000a1", "name": "db", "kind": "CLIENT",
              "timestamp": at + 10, "duration": 100, "localEndpoint": {"serviceName": "shop"}, "tags": {"error": "timeout"}}]
    r = subprocess.run(["curl", "-sS", "-w", "%{http_code}", "-H", f"X-Scope-OrgID: {TENANT}", "-H", "Content-Type: application/json",
                        "--data-binary", json.dumps(spans), f"http://{o.addr}/api/v2/spans"], capture_output=True, text=True)
    check(r.stdout == "202", f"{r.stdout} {r.stderr}")
    got = trace_of(o.addr, "1122334455667788")
    check(set(got) == {"00000000000000a1", "00000000000000a2"}, f"{got}")
    check(got["00000000000000a2"][0]["status"] == {"code": "STATUS_CODE_ERROR", "message": "timeout"}, f"{got}")
    check([x["rootServiceName"] for x in search(o.addr, "{ status = error }")] == ["front"], "search")
    wait_for("another tenant to have none of it", lambda: http_call(
        o.addr, "GET", "/api/traces/1122334455667788", headers={"X-Scope-OrgID": "other"}).status == 404)


if __name__ == "__main__":
    main()
