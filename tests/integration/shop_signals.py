"""One request of a shop as all signals have it, for tests of the way between them: a trace of two services, log lines that name it in
structured metadata and in their text, an event, and span metrics with exemplars.

    o = shop_signals.start(t)            an orrery that makes metrics of spans
    s = shop_signals.Shop().send(o.addr)
    s.wait_for_exemplars(o.addr)
"""
import json
import random
import time

from orrery_test import TENANT, Single, api, check, http_call, wait_for

GENERATOR = {"processors": ["span-metrics", "service-graphs"], "collection_interval": "5s",
             "processor": {"service_graphs": {"wait": "2s"}}}
HEADERS = {"Content-Type": "application/json", "X-Scope-OrgID": TENANT}


def start(t, limits=None, args=(), name="orrery"):
    path = f"{t.dir}/{name}-overrides.yaml"
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"overrides": {TENANT: {"metrics_generator": GENERATOR, **(limits or {})}}}, f)
    return Single(t, name, args=["--ingester.traces=true", f"--limits.overrides-file={path}", "--limits.overrides-period=200ms",
                                 *args]).wait_ready()


def texts(d):
    return [{"key": k, "value": {"stringValue": v}} for k, v in d.items()]


class Shop:
    def __init__(self, at=None, trace=None):
        rng = random.Random()
        self.trace = trace or "%032x" % rng.getrandbits(128)
        self.root, self.child = "%016x" % rng.getrandbits(63), "%016x" % rng.getrandbits(63)
        self.at = int((at or time.time() - 5) * 1e9)

    def send(self, addr):
        self.send_spans(addr)
        self.send_logs(addr)
        return self

    def send_spans(self, addr):
        def span(id, parent, kind, name, start_ms, ms, **more):
            return {"traceId": self.trace, "spanId": id, "parentSpanId": parent, "kind": kind, "name": name,
                    "startTimeUnixNano": str(self.at + start_ms * 10 ** 6), "endTimeUnixNano": str(self.at + (start_ms + ms) * 10 ** 6), **more}
        middle = "%016x" % (int(self.root, 16) ^ 1)
        resources = [("front", [span(self.root, "", 2, "GET /cart", 0, 300, attributes=texts({"http.method": "GET"})),
                                span(middle, self.root, 3, "call shop", 10, 200)]),
                     ("shop", [span(self.child, middle, 2, "SELECT", 20, 150, status={"code": 2, "message": "lock held"},
                                    attributes=texts({"db.system": "postgresql"}))])]
        body = {"resourceSpans": [{"resource": {"attributes": texts({"service.name": service})}, "scopeSpans": [{"spans": spans}]}
                                  for service, spans in resources]}
        r = http_call(addr, "POST", "/otlp/v1/traces", json.dumps(body), HEADERS)
        check(r.status == 200, f"{r.status} {r.text}")

    def send_logs(self, addr):
        """By OTLP, with the ids in structured metadata, and an event; by Loki's push, with the id in the text; and one of another trace."""
        def record(ms, body, span, **more):
            return {"timeUnixNano": str(self.at + ms * 10 ** 6), "body": {"stringValue": body}, "traceId": self.trace, "spanId": span, **more}
        body = {"resourceLogs": [{"resource": {"attributes": texts({"service.name": "shop"})}, "scopeLogs": [{"logRecords": [
            record(30, "waiting for a lock", self.child), record(160, "gave up: lock held by batch", self.child, severityText="ERROR"),
            record(40, "flag on", self.child, eventName="flag.changed")]}]}]}
        r = http_call(addr, "POST", "/otlp/v1/logs", json.dumps(body), HEADERS)
        check(r.status == 200, f"{r.status} {r.text}")
        lines = [[str(self.at + 5 * 10 ** 6), f"level=info trace_id={self.trace} msg=\"cart asked for\""],
                 [str(self.at + 6 * 10 ** 6), "level=info trace_id=" + "f" * 32 + " msg=other"]]
        r = http_call(addr, "POST", "/loki/api/v1/push", json.dumps({"streams": [{"stream": {"service_name": "front"}, "values": lines}]}), HEADERS)
        check(r.status == 204, f"{r.status} {r.text}")

    def wait_for_exemplars(self, addr):
        def found():
            r = api(addr, "/api/v1/query_exemplars", {"query": "traces_spanmetrics_latency_bucket", "start": self.at / 1e9 - 600,
                                                      "end": time.time() + 60})
            return {s["seriesLabels"]["service"] for s in r.json["data"] for e in s["exemplars"]
                    if e["labels"]["trace_id"] == self.trace} == {"front", "shop"}
        wait_for("exemplars of the trace", found, 60, 0.5)
