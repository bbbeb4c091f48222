#!/usr/bin/env python3
"""Spans with whole processes: in by OTLP, there after kill -9, cut on command."""
import json

from orrery_test import TENANT, Single, check, http_call, main


def push(addr, spans, tenant=TENANT):
    """spans: [(trace id, span id)], hexadecimal."""
    body = {"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
                               "scopeSpans": [{"spans": [
                                   {"traceId": t, "spanId": s, "name": "GET /", "kind": 2,
                                    "startTimeUnixNano": "1700000000000000000",
                                    "endTimeUnixNano": "1700000000000001000"} for t, s in spans]}]}]}
    return http_call(addr, "POST", "/v1/traces", json.dumps(body).encode(),
                     {"Content-Type": "application/json", "X-Scope-OrgID": tenant})


def held(addr, tenant=TENANT, query=""):
    """What the ingester holds: {trace id: [span id]}; None: it is not ready."""
    r = http_call(addr, "GET", "/ingester/traces" + query, headers={"X-Scope-OrgID": tenant})
    if r.status == 503:
        return None
    check(r.status == 200, f"{r.status} {r.text}")
    return {x["trace_id"]: sorted(x["span_ids"]) for x in map(json.loads, r.text.splitlines())}


def test_spans_are_there_after_a_kill_and_a_cut(t):
    one, two = "0" * 31 + "1", "0" * 31 + "2"
    a, b, c = ("%016x" % n for n in (1, 2, 3))
    o = Single(t, args=["--ingester.traces=true", "--ingester.traces-idle=100ms", "--ingester.traces-cut-period=100ms"]).wait_ready()
    r = push(o.otlp_http, [(one, a), (two, b)])
    check(r.status == 200, f"{r.status} {r.text}")
    check(held(o.addr) == {one: [a], two: [b]}, held(o.addr))
    check(held(o.addr, query="?id=" + two) == {two: [b]}, "by id")
    check(held(o.addr, tenant="other") == {}, "another tenant's")
    for span in (c, "%016x" % 4):
        before = held(o.addr)[one]
        o.kill()
        o.start()
        o.wait_ready()
        check(held(o.addr) == {one: before, two: [b]}, f"after a kill: {held(o.addr)}")
        check(push(o.addr, [(one, span)]).status == 200, "a late span")
        check(held(o.addr)[one] == sorted([*before, span]), held(o.addr))


if __name__ == "__main__":
    main()
