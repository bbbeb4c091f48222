"""The shop that the browser tests look at: gateway, checkout, payments and their database, for an hour until now; a batch job holds a lock of the
database for some minutes of it, so that payments' query is slow, checkout fails, and there are exemplars, traces, lines and an event that tell why.

    shop = Shop(now_s)
    shop.send(addr, otlp_http)        metrics by remote write, the rest by OTLP and the API of events
    shop.slow                          the trace whose slowest span is payments' database query
"""
import json
import random

from orrery_test import check, http_call, push_ok

STEP_S = 15
SPAN_KINDS = {"internal": 1, "server": 2, "client": 3}
HEALTHY_MS, LOCKED_MS = 6, 2900


def attributes(values):
    return [{"key": k, "value": {"intValue": str(v)} if isinstance(v, int) else {"stringValue": v}} for k, v in values.items()]


class Shop:
    def __init__(self, now_s, tenant=None):
        self.rng, self.tenant = random.Random(7), tenant
        self.to = now_s // STEP_S * STEP_S
        self.start = self.to - 3600
        self.locked = (self.to - 1200, self.to - 60)  # held by the batch job
        self.traces, self.lines = [], []
        for s in range(self.start, self.to, STEP_S):
            self._trace(s)
        self.slow = next(t for t in reversed(self.traces) if t["locked"])

    def _trace(self, at_s):
        locked = self.locked[0] <= at_s < self.locked[1]
        db_ms = (LOCKED_MS if locked else HEALTHY_MS) * self.rng.uniform(0.9, 1.1)
        trace, start = "%032x" % self.rng.getrandbits(127), at_s * 10 ** 9
        ids = ["%016x" % self.rng.getrandbits(63) for _ in range(5)]

        def span(i, parent, service, name, kind, begin_ms, ms, error=False, **more):
            return service, {"traceId": trace, "spanId": ids[i], "parentSpanId": ids[parent] if parent is not None else "", "name": name, "kind": SPAN_KINDS[kind],
                             "startTimeUnixNano": str(start + int(begin_ms * 1e6)), "endTimeUnixNano": str(start + int((begin_ms + ms) * 1e6)),
                             "attributes": attributes(more), "status": {"code": 2, "message": "timeout of payments"} if error else {},
                             "events": [{"name": "retry", "timeUnixNano": str(start + int((begin_ms + ms / 2) * 1e6)), "attributes": attributes({"attempt": 2})}] if error else []}
        spans = [span(0, None, "gateway", "POST /checkout", "server", 0, db_ms + 9, locked, **{"http.request.method": "POST", "http.response.status_code": 504 if locked else 200}),
                 span(1, 0, "checkout", "place order", "server", 2, db_ms + 6, locked, **{"order.items": 3}),
                 span(2, 1, "payments", "charge", "server", 3, db_ms + 3, locked, **{"payment.provider": "card"}),
                 span(3, 2, "payments", "UPDATE accounts", "client", 4, db_ms, False, **{"db.system.name": "postgresql", "db.query.text": "UPDATE accounts SET balance = $1"}),
                 span(4, 1, "inventory", "reserve", "server", 2.5, 2)]
        self.traces.append({"id": trace, "at": at_s, "locked": locked, "spans": spans, "ms": db_ms + 9, "db_span": ids[3]})
        text = ("could not obtain lock on relation \"accounts\": held by nightly-reconciliation" if locked else "balance updated")
        self._line(at_s * 1000 + 5, "payments", "error" if locked else "info", json.dumps({"msg": text, "level": "error" if locked else "info", "rows": 1, "took_ms": round(db_ms)}), trace, ids[3])
        self._line(at_s * 1000 + 8, "checkout", "error" if locked else "info", f"level={'error' if locked else 'info'} msg=\"order {'failed' if locked else 'placed'}\" items=3", trace, ids[1])

    def _line(self, at_ms, service, level, text, trace="", span=""):
        self.lines.append((service, {"timeUnixNano": str(at_ms * 10 ** 6), "severityText": level.upper(), "severityNumber": 17 if level == "error" else 9,
                                     "body": {"stringValue": text}, "traceId": trace, "spanId": span}))

    def metrics(self):
        ok, failed, exemplars, seconds = [], [], [], []
        n_ok = n_failed = 0
        for t in self.traces:
            n_ok, n_failed = n_ok + (12 if t["locked"] else 60), n_failed + (25 if t["locked"] else 0)
            at = t["at"] * 1000
            ok.append((at, float(n_ok)))
            failed.append((at, float(n_failed)))
            seconds.append((at, t["ms"] / 1000))
            exemplars.append(({"trace_id": t["id"]}, at, t["ms"] / 1000))
        base = {"job": "checkout", "route": "/checkout"}
        out = [({**base, "__name__": "http_requests_total", "code": "200"}, ok), ({**base, "__name__": "http_requests_total", "code": "504"}, failed, True, [e for e, t in zip(exemplars, self.traces) if t["locked"]]),
               ({**base, "__name__": "http_request_duration_seconds_max"}, seconds, True, exemplars)]
        for i in range(100):  # a hundred series of a day's work for the graph
            out.append(({"__name__": "shop_stock", "item": f"item-{i:03}"}, [(s * 1000, float((s // STEP_S * (i + 3)) % 500 + i)) for s in range(self.start, self.to, STEP_S)]))
        return out

    def _otlp(self, addr, path, kind, inner, items):
        by_service = {}
        for service, item in items:
            by_service.setdefault(service, []).append(item)
        body = {kind: [{"resource": {"attributes": attributes({"service.name": s})}, inner[0]: [{"scope": {"name": "shop"}, inner[1]: list_}]} for s, list_ in by_service.items()]}
        r = http_call(addr, "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json", **self.headers()})
        check(r.status == 200, f"{path}: {r.status} {r.text[:300]}")

    def headers(self):
        return {"X-Scope-OrgID": self.tenant} if self.tenant else {}

    def send(self, addr, otlp):
        push_ok(addr, self.metrics(), tenant=self.tenant)
        self._otlp(otlp, "/v1/traces", "resourceSpans", ("scopeSpans", "spans"), [s for t in self.traces for s in t["spans"]])
        self._otlp(otlp, "/v1/logs", "resourceLogs", ("scopeLogs", "logRecords"), self.lines)
        event = {"kind": "batch", "title": "nightly reconciliation", "service": "reconciliation", "time": self.rfc3339(self.locked[0]), "end": self.rfc3339(self.locked[1])}
        r = http_call(addr, "POST", "/api/v1/events", json.dumps(event), {"Content-Type": "application/json", **self.headers()})
        check(r.status // 100 == 2, f"events: {r.status} {r.text[:300]}")

    @staticmethod
    def rfc3339(s):
        import datetime
        return datetime.datetime.fromtimestamp(s, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
