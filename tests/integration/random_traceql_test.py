#!/usr/bin/env python3
"""Three hundred random TraceQL queries over random traces: searches, metrics and values of tags are what a slow evaluator says (random_traceql.py),
from the head, from blocks, and of traces that are half in each. SEED=n and QUERIES=n choose others; a failure names its seed."""
import json
import math
import os
import random
import time
import urllib.parse

from orrery_test import Single, check, http_call, main, wait_for
from random_traceql import MS, SCOPES, S, Queries, attribute, first, otlp_request, random_traces, service as service_of, shown
from random_traceql_metrics import Metrics
from traces_blocks_test import FAST, TRACES, counter, flush
from traces_test import held

SEED = int(os.environ.get("SEED", "1"))
QUERIES = int(os.environ.get("QUERIES", "300"))
N_TRACES = 60
TENANTS = ("head", "blocks", "half")
STEP_S, POINTS = 120, 6


def push(o, tenant, spans):
    r = http_call(o.addr, "POST", "/v1/traces", json.dumps(otlp_request(spans)).encode(),
                  {"Content-Type": "application/json", "X-Scope-OrgID": tenant}, timeout=60)
    check(r.status == 200 and r.json == {}, f"{r.status} {r.text}")


def ask(o, tenant, path, **params):
    r = http_call(o.addr, "GET", f"/api/{path}?{urllib.parse.urlencode(params)}", headers={"X-Scope-OrgID": tenant}, timeout=60)
    return r.json if r.status == 200 else f"{r.status} {r.text}"


def value(v):
    (kind, x), = v.items()
    return {"intValue": lambda: ("int", int(x)), "doubleValue": lambda: ("float", float(x)), "boolValue": lambda: ("bool", x)}.get(
        kind, lambda: ("string", x))()


def number(v):
    """The type of an aggregate hangs on which of two equal numbers comes first."""
    return ("number", float(v[1])) if v[0] in ("int", "float") else v


def is_close(a, b):
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


# ---- searches ----

def found(answer):
    return {t["traceID"]: sorted([sorted(s["spanID"] for s in x["spans"]), x["matched"], sorted(
        {a["key"]: number(value(a["value"])) for a in x.get("attributes", [])}.items())] for x in t["spanSets"]) for t in answer["traces"]}


def wanted(sets):
    return sorted([sorted(s.id for s in spans), len(spans), sorted((k, number(shown(v))) for k, v in values.items())] for spans, values in sets)


def same_sets(got, want):
    return len(got) == len(want) and all(
        a[:2] == b[:2] and len(a[2]) == len(b[2]) and all(
            x == y or (x[0] == y[0] and x[1][0] == y[1][0] == "number" and is_close(x[1][1], y[1][1])) for x, y in zip(a[2], b[2]))
        for a, b in zip(got, want))


def check_search(o, seed, traces, text, run, base_s):
    want = {t.id: wanted(sets) for t in traces if (sets := run(t))}
    for tenant in TENANTS:
        got = ask(o, tenant, "search", q=text, limit=1000, spss=0, start=base_s - 60, end=base_s + 1000)
        check(isinstance(got, dict), f"SEED={seed} {tenant} {text}: {got}")
        got = found(got)
        wrong = [t for t in got | want if not same_sets(got.get(t, []), want.get(t, []))]
        check(not wrong, f"SEED={seed} {tenant} {text}: {[(t, got.get(t), 'not', want.get(t)) for t in wrong[:2]]}")
        check_newest(f"SEED={seed} {tenant} {text}", ask(o, tenant, "search", q=text, limit=3, start=base_s - 60, end=base_s + 1000),
                     sorted((t for t in traces if t.id in want), key=lambda t: (-t.start, t.id))[:3])
    return bool(want)


def check_newest(where, answer, want):
    check(isinstance(answer, dict), f"{where}: {answer}")
    got = [t["traceID"] for t in answer["traces"]]
    check(got == [t.id for t in want], f"{where}: the newest are {got} not {[t.id for t in want]}")


def check_select(o, seed, traces, r, base_s):
    """What is shown of spans."""
    names = r.sample((".x", "span.y", "resource.service.name", "event.x", "status", "kind", '."odd key"', "instrumentation.x"), 2)
    text = f"{{ duration > 20ms }} | select({', '.join(names)})"
    want = {s.id: sorted((n if n in ("status", "kind") else n.split(".", 1)[1].strip('"'), shown(v)) for n in names if (v := first(n, s))[0] != "nil")
            for t in traces for s in t.spans if s.end - s.start > 20 * 10**6}
    for tenant in TENANTS:
        answer = ask(o, tenant, "search", q=text, limit=1000, spss=0, start=base_s - 60, end=base_s + 1000)
        check(isinstance(answer, dict), f"SEED={seed} {tenant} {text}: {answer}")
        got = {s["spanID"]: sorted((a["key"], value(a["value"])) for a in s.get("attributes", []))
               for t in answer["traces"] for x in t["spanSets"] for s in x["spans"]}
        wrong = [s for s in got | want if got.get(s) != want.get(s)]
        check(not wrong, f"SEED={seed} {tenant} {text}: {[(s, got.get(s), 'not', want.get(s)) for s in wrong[:2]]}")


# ---- metrics ----

def series(answer):
    return {tuple(sorted((x["key"], value(x["value"])) for x in s["labels"])):
            {int(p["timestampMs"]): float(p["value"]) for p in s["samples"]} for s in answer["series"]}


def exemplars(answer):
    return sorted((json.dumps(s["labels"]), e["timestampMs"], e["value"], tuple(x["value"]["stringValue"] for x in e["labels"]))
                  for s in answer["series"] for e in s.get("exemplars", []))


def check_exemplars(where, traces, found, max_n):
    spans = {(t.id, s.id): s for t in traces for s in t.spans}
    check(len(found) <= max_n, f"{where}: {len(found)} exemplars")
    for _, ms, _, (trace, span, service, name) in found:
        s = spans[(trace, span)]
        check(int(ms) == s.start // MS and name == s.name and service == service_of(s), f"{where}: {trace} {span}")


def check_metrics(o, seed, traces, text, run, base_s):
    n_exemplars, shown_first = random.Random(text).choice((0, 5, 20)), None
    want = {tuple(sorted(labels)): {(base_s + (i + 1) * STEP_S) * 1000: float(v) for i, v in enumerate(points) if v is not None}
            for labels, points in run(traces)}
    want = {k: p for k, p in want.items() if p or k[0][0] == "__meta_error"}
    for tenant in TENANTS:
        got = ask(o, tenant, "metrics/query_range", q=text, start=base_s, end=base_s + STEP_S * POINTS, step=STEP_S,
                  exemplars=n_exemplars)
        check(isinstance(got, dict), f"SEED={seed} {tenant} {text}: {got}")
        spans = exemplars(got)
        check_exemplars(f"SEED={seed} {tenant} {text}", traces, spans, 2 * n_exemplars)  # arithmetic has two sides
        shown_first = spans if shown_first is None else shown_first
        check(spans == shown_first, f"SEED={seed} {tenant} {text}: {spans} not {shown_first}, which the head has")
        got = series(got)
        wrong = [k for k in got | want if k not in got or k not in want or got[k].keys() != want[k].keys() or
                 not all(is_close(v, want[k][t]) for t, v in got[k].items())]
        check(not wrong, f"SEED={seed} {tenant} {text}: {[(k, got.get(k), 'not', want.get(k)) for k in wrong[:2]]}")
    return any(v for p in want.values() for v in p.values())


# ---- values of tags ----

def check_values(o, seed, traces, condition, name, base_s):
    text, fn = condition
    ofs = [attribute(scope + name) for scope in SCOPES] if name[0] == "." else [attribute(name)]  # wherever it is
    want = {shown(v)[1] if v[0] in ("string", "status", "kind") else str(v[1]).lower().removesuffix(".0")
            for t in traces for s in t.spans if fn(s) for of in ofs for v in of(s)} - {""}
    for tenant in TENANTS:
        got = ask(o, tenant, f"v2/search/tag/{urllib.parse.quote(name)}/values", q=f"{{ {text} }}", start=base_s - 60, end=base_s + 1000)
        check(isinstance(got, dict), f"SEED={seed} {tenant} {name} of {text}: {got}")
        got = {x["value"] for x in got["tagValues"]} - {""}
        check(got == want, f"SEED={seed} {tenant} {name} of {{ {text} }}: {sorted(got)} not {sorted(want)}")


def feed(o, traces):
    spans = [s for t in traces for s in t.spans]
    random.Random(SEED).shuffle(spans)
    for tenant in ("head", "blocks"):
        push(o, tenant, spans)
    push(o, "half", spans[::2])
    for tenant in ("blocks", "half"):
        flush(o.addr, tenant)
    wait_for("blocks to have all", lambda: not any(held(o.addr, tenant=x) for x in ("blocks", "half")), 60)
    push(o, "half", spans[1::2])
    check(held(o.addr, tenant="half") and held(o.addr, tenant="head"), "the head has none")


def test_random_queries_are_what_a_slow_evaluator_says(t):
    base_s = (int(time.time()) - 3600) // STEP_S * STEP_S
    traces = random_traces(SEED, base_s * S, N_TRACES)
    o = Single(t, args=[*TRACES, *FAST, "--limits.max-query-series=5000"]).wait_ready()
    feed(o, traces)
    before = counter(o.addr, "orrery_querier_traces_selected_blocks_total")
    queries = Queries(SEED, traces, base_s * S)
    metrics = Metrics(SEED + 1, traces, base_s * S, STEP_S * S, POINTS)
    n = {"searches": 0, "metrics": 0, "values": 0}
    with_answer = 0
    for i in range(QUERIES):
        kind = ("searches", "searches", "searches", "metrics", "metrics", "values")[i % 6]
        n[kind] += 1
        if kind == "searches":
            with_answer += check_search(o, SEED, traces, *queries.pipeline(), base_s)
        elif kind == "metrics":
            with_answer += check_metrics(o, SEED, traces, *metrics.query(), base_s)
        elif i % 12 == 5:
            check_values(o, SEED, traces, queries.condition(1), queries.pick(
                (".x", "span.y", "resource.service.name", "name", "status", "kind", "rootName", "event:name", "instrumentation:name", "event.x")), base_s)
        else:
            check_select(o, SEED, traces, queries.r, base_s)
    check(held(o.addr, tenant="half") and held(o.addr, tenant="head"), "the head has none any more")
    check(counter(o.addr, "orrery_querier_traces_selected_blocks_total") > before, "no block was read")
    check(with_answer > QUERIES // 3, f"{with_answer} queries with an answer")
    print(f"   {n}, {with_answer} with an answer", flush=True)


if __name__ == "__main__":
    main()
