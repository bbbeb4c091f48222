#!/usr/bin/env python3
"""Loki's answers to LogQL (../shared/conformance/logql), asked over HTTP of lines that came in by the push API: while ingesters hold
them, from blocks, and half and half."""
import json
import math
import os

from logs_api_test import ask
from logs_blocks_test import FAST
from logs_test import flush, held, push_ok
from orrery_test import ROOT, Failure, Single, check, main, wait_for

CASES = os.path.join(os.path.dirname(ROOT), "shared/conformance/logql")
LIMITS = ["--limits.reject-old-samples=false", "--limits.discover-service-name=false", "--limits.discover-log-levels=false",
          "--limits.max-query-length=0s"]


def read(name):
    with open(f"{CASES}/{name}", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def push(o, tenant, streams, part=lambda i: True):
    push_ok(o.addr, [(s["stream"], [(int(v[0]), *v[1:]) for i, v in enumerate(s["values"]) if part(i)])
                     for s in streams], tenant=tenant)


def flush_all(o, tenants):
    for tenant in tenants:
        flush(o.addr, tenant)
    wait_for("blocks to have all", lambda: not any(held(o.addr, '{env=~".*"}', tenant=x) for x in tenants), 60)


def is_same_number(got, want):
    if got == want:
        return True
    x, y = float(got), float(want)
    return math.isfinite(x) and math.isfinite(y) and abs(x - y) <= 1e-9 * max(abs(x), abs(y))


def is_same_point(got, want, is_line):
    return got[0] == want[0] and (got[1] == want[1] if is_line else is_same_number(got[1], want[1]))


def normal(data):
    """{labels without details of errors: points}; what then coincides is one, lines in the order of time and text."""
    out = {}
    for x in data["result"]:
        labels = {k: v for k, v in (x["stream"] if "stream" in x else x["metric"]).items() if k != "__error_details__"}
        out.setdefault(json.dumps(labels, sort_keys=True), []).extend(x["values"] if "values" in x else [x["value"]])
    if data["resultType"] == "streams":
        for points in out.values():
            points.sort()
    return out


def compare(got, want):
    check(got["resultType"] == want["resultType"], f"a {got['resultType']}, not a {want['resultType']}")
    if want["resultType"] == "scalar":
        check(is_same_point(got["result"], want["result"], False), f"{got['result']}, not {want['result']}")
        return
    is_line, got, want = want["resultType"] == "streams", normal(got), normal(want)
    check(got.keys() == want.keys(), lambda: f"other series: {sorted(got.keys() - want.keys())[:3]} for "
                                             f"{sorted(want.keys() - got.keys())[:3]}")
    for key, points in want.items():
        check(len(got[key]) == len(points), lambda: f"{key}: {len(got[key])} points, not {len(points)}")
        for g, w in zip(got[key], points):
            check(is_same_point(g, w, is_line), lambda: f"{key}: {g}, not {w}")


def answer(o, tenant, c):
    params = {"query": c["query"]}
    if c["kind"] == "instant":
        return ask(o.addr, "query", {**params, "time": c["time_ns"]}, tenant=tenant)
    params.update(start=c["start_ns"], end=c["end_ns"], step=c["step_s"])
    params.update({k: c[k] for k in ("limit", "direction") if k in c})
    return ask(o.addr, "query_range", params, tenant=tenant)


def ask_all(o, where):
    bad, cases = [], read("pipeline_cases.jsonl")
    for c in cases:
        r = answer(o, f"{where}-{c['dataset']}", c)
        try:
            check((r.status == 200) == c["ok"], f"{r.status} {r.text[:300]}")
            check(r.status in (200, 400), f"{r.status} {r.text[:300]}")
            if c["ok"]:
                compare(r.json["data"], c["data"])
        except Failure as e:
            bad.append(f"{c['id']} {c['query']}: {e}")
    print(f"   {where}: {len(cases) - len(bad)} of {len(cases)}", flush=True)
    check(not bad, lambda: f"{len(bad)} of {len(cases)} {where}:\n" + "\n".join(bad[:10]))


def test_cases_of_loki(t):
    o = Single(t, args=[*FAST, *LIMITS]).wait_ready()
    sets = read("datasets.jsonl")
    for s in sets:
        push(o, f"head-{s['name']}", s["streams"])
        push(o, f"blocks-{s['name']}", s["streams"])
        push(o, f"half-{s['name']}", s["streams"], lambda i: i % 2)
    flush_all(o, [f"{where}-{s['name']}" for where in ("blocks", "half") for s in sets])
    for s in sets:
        push(o, f"half-{s['name']}", s["streams"], lambda i: not i % 2)
    for where in ("head", "blocks", "half"):
        ask_all(o, where)


if __name__ == "__main__":
    main()
