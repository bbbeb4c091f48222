#!/usr/bin/env python3
"""Tempo's answers to TraceQL (../shared/conformance/traceql), asked over HTTP of spans that came in by OTLP: while ingesters hold them, in
one process, and of three ingesters that each had a part of every trace sent to it; from blocks; and half and half."""
import json
import math
import os
import urllib.parse

from orrery_test import ROOT, Cluster, Single, check, http_call, main, wait_for
from traces_blocks_test import FAST, TRACES, counter, flush
from traces_test import held

CASES = os.path.join(os.path.dirname(ROOT), "shared/conformance/traceql")
KNOWN = os.path.join(ROOT, "tests/conformance/known_failures/traceql.txt")
DATASETS = ("t1-0", "t1-1")
RANGE = {"start": 1767225000, "end": 1767229000}
# What hangs on the order in which the spans of a trace came: nested sets are numbered by it, which Tempo shows.
ORDERED = ("nestedSet",)


def read(name):
    with open(f"{CASES}/{name}", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def known():
    with open(KNOWN, encoding="utf-8") as f:
        return {line.split()[0] for line in f if line.startswith("traceql-")}


def request_of(name):
    with open(f"{CASES}/dataset_{name}.otlp.json", encoding="utf-8") as f:
        return json.load(f)


def push(addr, tenant, request):
    r = http_call(addr, "POST", "/v1/traces", json.dumps(request).encode(),
                  {"Content-Type": "application/json", "X-Scope-OrgID": tenant}, timeout=60)
    check(r.status == 200 and r.json == {}, f"{r.status} {r.text}")


def ask(addr, path, tenant, **params):
    r = http_call(addr, "GET", f"/api/{path}?{urllib.parse.urlencode(params)}", headers={"X-Scope-OrgID": tenant}, timeout=60)
    check(r.status == 200, f"{params.get('q')}: {r.status} {r.text}")
    return r.json


def same(got, want):
    """Sums hang in their last digits on the order of what is added."""
    if isinstance(want, float):
        return math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(want, (list, tuple)):
        return len(got) == len(want) and all(map(same, got, want))
    if isinstance(want, dict):
        return got.keys() == want.keys() and all(same(got[k], want[k]) for k in want)
    return got == want


def value(v):
    """An AnyValue as the cases have it: {"int": …}, {"double": …}, a text or a boolean."""
    (kind, x), = v.items()
    return {"intValue": lambda: {"int": x}, "doubleValue": lambda: {"double": float(x)}}.get(kind, lambda: x)()


def wanted_value(v):
    return {"double": float(v["double"])} if isinstance(v, dict) and "double" in v else v


def found(answer):
    out = {}
    for t in answer["traces"]:
        sets = [[sorted(x["spanID"] for x in s["spans"]), s["matched"], {a["key"]: value(a["value"]) for a in s.get("attributes", [])}]
                for s in t["spanSets"]]
        out[t["traceID"]] = [t["rootServiceName"], t["rootTraceName"], t["startTimeUnixNano"], t.get("durationMs", 0), sorted(sets, key=lambda s: s[0])]
    return out


def wanted(case):
    out = {}
    for t in case["traces"]:
        sets = [[sorted(x if isinstance(x, str) else x["span"] for x in s["spans"]), s["matched"],
                 {k: wanted_value(v) for k, v in s.get("attributes", {}).items()}] for s in t["spansets"]]
        out[t["trace"]] = [t["root_service"], t["root_name"], t["start_ns"], t["duration_ms"], sorted(sets, key=lambda s: s[0])]
    return out


def series(answer):
    return {json.dumps({x["key"]: value(x["value"]) for x in s["labels"]}, sort_keys=True):
            [(int(p["timestampMs"]), float(p["value"])) for p in s["samples"]] for s in answer["series"]}


def wanted_series(case):
    return {json.dumps({k: wanted_value(v) for k, v in s["labels"].items()}, sort_keys=True):
            [(t, float(v)) for t, v in s["values"] if not math.isnan(float(v))] for s in case["series"]}


def compare_all(addr, skipped, where=""):
    """where: before the names of the tenants."""
    n = 0
    for case in read("search_cases.jsonl"):
        if not case["ok"] or case["id"] in skipped or any(x in case["query"] for x in skipped):
            continue
        got = found(ask(addr, "search", where + case["dataset"], q=case["query"], limit=1000, spss=0, **RANGE))
        want = wanted(case)
        check(same(got, want), f"{case['id']} {case['query']}:\n{ {k: got.get(k) for k in got | want if got.get(k) != want.get(k)} }\nnot\n"
                           f"{ {k: want.get(k) for k in got | want if got.get(k) != want.get(k)} }")
        n += 1
    for case in read("metrics_cases.jsonl"):
        if not case["ok"] or case["id"] in skipped or any(x in case["query"] for x in skipped):
            continue
        got = series(ask(addr, "metrics/query_range", where + case["dataset"], q=case["query"], start=case["start_ns"], end=case["end_ns"],
                         step=int(case["step_ns"]) / 1e9))
        want = wanted_series(case)
        check(same(got, want), f"{case['id']} {case['query']}:\n{got}\nnot\n{want}")
        n += 1
    check(n > 400, f"{n} cases")
    print(f"   {n} cases", flush=True)


def test_cases_from_one_process(t):
    o = Single(t, args=["--ingester.traces=true"]).wait_ready()
    for name in DATASETS:
        push(o.addr, name, request_of(name))
    compare_all(o.addr, known())


def thirds(request):
    """Three requests, each with every third span."""
    out, i = [{"resourceSpans": []} for _ in range(3)], 0
    for r in request["resourceSpans"]:
        for k in range(3):
            out[k]["resourceSpans"].append({**r, "scopeSpans": [{**s, "spans": []} for s in r["scopeSpans"]]})
        for j, s in enumerate(r["scopeSpans"]):
            for span in s["spans"]:
                out[i % 3]["resourceSpans"][-1]["scopeSpans"][j]["spans"].append(span)
                i += 1
    return out


def test_cases_from_blocks_and_half_of_them(t):
    """Of a trace that is half in a block two spans of three are there."""
    o = Single(t, args=[*TRACES, *FAST]).wait_ready()
    for name in DATASETS:
        push(o.addr, f"blocks-{name}", request_of(name))
        for part in thirds(request_of(name))[:2]:
            push(o.addr, f"half-{name}", part)
    tenants = [f"{where}-{name}" for where in ("blocks", "half") for name in DATASETS]
    for tenant in tenants:
        flush(o.addr, tenant)
    wait_for("blocks to have all", lambda: not any(held(o.addr, tenant=x) for x in tenants), 60)
    for name in DATASETS:
        push(o.addr, f"half-{name}", thirds(request_of(name))[2])
    for where in ("blocks-", "half-"):
        before = counter(o.addr, "orrery_querier_traces_selected_blocks_total")
        compare_all(o.addr, known() | set(ORDERED), where)
        check(counter(o.addr, "orrery_querier_traces_selected_blocks_total") > before, "no block was read")


def test_cases_from_three_ingesters_of_which_one_is_gone(t):
    config = os.path.join(t.dir, "orrery.yaml")
    with open(config, "w", encoding="utf-8") as f:
        f.write("ingester: {traces: true}\n")
    c = Cluster(t, args=["--queriers", "1", "--rulers", "0", "--alertmanagers", "0", "--compactors", "0", "--config", config])
    ingesters, querier = c.addrs("ingester"), c.addrs("querier")[0]
    for name in DATASETS:
        for addr, request in zip(ingesters, thirds(request_of(name))):
            push(addr, name, request)
            push(addr, name, request)  # a client that sends it again
    c.run("kill", c.names("ingester")[1])
    wait_for("an answer without one", lambda: http_call(
        querier, "GET", f"/api/search?{urllib.parse.urlencode({'q': '{}', **RANGE})}", headers={"X-Scope-OrgID": DATASETS[0]}).status == 200)
    compare_all(querier, known() | set(ORDERED))
    c.run("kill", c.names("ingester")[2])
    r = http_call(querier, "GET", f"/api/search?{urllib.parse.urlencode({'q': '{}', **RANGE})}",
                  headers={"X-Scope-OrgID": DATASETS[0]}, timeout=60)
    check(r.status == 503, f"two of three gone: {r.status} {r.text}")


if __name__ == "__main__":
    main()
