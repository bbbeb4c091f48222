#!/usr/bin/env python3
"""The PromQL compliance queries on the data they were made for: the same answers from Orrery and from Debian's
Prometheus, but for what Prometheus 3 means to answer otherwise than that 2.42: compliance_differences.txt.
A difference that is not there fails the test, and so does one that is there and no longer occurs."""
import gzip
import itertools
import os
import re
import subprocess

from orrery_test import (ROOT, Prometheus, Single, Skip, api, check, http_call, main)
from parity_test import as_series, difference

SHARED = os.path.join(os.path.dirname(ROOT), "shared/conformance")
HERE = os.path.dirname(os.path.abspath(__file__))
# The data: a sample each 30 s from 00:00 to 02:29:30 on 2026-01-01.
FIRST = 1767225600
RUNS = {  # start, end, step: s
    "aligned": (FIRST + 3600, FIRST + 9600, 60),  # times of samples, and beyond the last one
    "between": (FIRST + 3607, FIRST + 9607, 60),
}
# The tester's own lists, as the README of the shared data has them.
SIMPLE = "sum avg max min count stddev stdvar".split()
VARIANTS = {
    "range": "1s 15s 1m 5m 15m 1h".split(),
    "offset": "1m 5m 10m".split(),
    "simpleAggrOp": SIMPLE,
    "simpleTimeAggrOp": SIMPLE + ["absent", "last"],
    "topBottomOp": ["topk", "bottomk"],
    "quantile": "-0.5 0.1 0.5 0.75 0.95 0.90 0.99 1 1.5".split(),
    "arithBinOp": "+ - * / % ^".split(),
    "compBinOp": "== != < > <= >=".split(),
    "binOp": "+ - * / % ^ == != < > <= >=".split(),
    "simpleMathFunc": "abs ceil floor exp sqrt ln log2 log10 round".split(),
    "extrapolatedRateFunc": "delta rate increase".split(),
    "clampFunc": ["clamp_min", "clamp_max"],
    "instantRateFunc": ["idelta", "irate"],
    "dateFunc": "day_of_month day_of_week days_in_month hour minute month year".split(),
}


def shared(path):
    path = os.path.join(SHARED, path)
    if not os.path.exists(path):
        raise Skip(f"{path} is not there")
    return path


def templates():
    """The queries of the file with their placeholders: one scalar to a line, double-quoted."""
    with open(shared("promql/compliance_queries.yml"), encoding="utf-8") as f:
        found = [m.group(1) for m in re.finditer(r'^ *- query: "((?:[^"\\]|\\.)*)"$', f.read(), re.M)]
    check(len(found) > 60, f"{len(found)} queries")
    return [re.sub(r"\\(.)", r"\1", q) for q in found]


def expand(template):
    names = list(dict.fromkeys(re.findall(r"{{\.(\w+)}}", template)))
    for values in itertools.product(*[VARIANTS[n] for n in names]):
        query = template
        for name, value in zip(names, values):
            query = query.replace("{{.%s}}" % name, value)
        yield query


def listed():
    """{(run, query): reason}; a line: run | query | reason."""
    out = {}
    with open(f"{HERE}/compliance_differences.txt", encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                run, query, reason = [x.strip() for x in line.split(" | ")]
                check(reason and run in RUNS, line)
                out[run, query] = reason
    return out


def load(t):
    path = os.path.join(t.dir, "demo.om")
    with gzip.open(shared("tsdb-block/demo.om.gz")) as f, open(path, "wb") as out:
        data = f.read()
        out.write(data)
    o = Single(t, args=["--auth.mode=optional"]).wait_ready()
    r = http_call(o.addr, "POST", "/api/v1/import/prometheus", data,
                  {"Content-Type": "application/openmetrics-text; version=1.0.0"}, timeout=120)
    check(r.status // 100 == 2, f"{r.status} {r.text}")
    p = Prometheus(t, "global: {}\n", args=["--storage.tsdb.retention.time=100y"])
    p.stop()
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", path, p.dir + "/data"],
                   check=True, capture_output=True, timeout=300)
    p.start()
    return o, p.wait_ready()


def ask(addr, query, run):
    start, end, step = RUNS[run]
    return api(addr, "/api/v1/query_range",
               {"query": query, "start": start, "end": end, "step": step}, None)


def compare(o, p, query, run):
    """None, or what differs."""
    theirs, ours = ask(p.addr, query, run), ask(o.addr, query, run)
    if theirs.status != 200 or ours.status != 200:
        return None if theirs.status == ours.status else \
            f"{ours.status} {ours.text[:200]}, Prometheus {theirs.status} {theirs.text[:200]}"
    return difference(as_series(theirs.json["data"]), as_series(ours.json["data"]))


def test_the_same_answers_as_prometheus(t):
    o, p = load(t)
    known, asked, bad, met = listed(), 0, [], set()
    for run, template in itertools.product(RUNS, templates()):
        for query in expand(template):
            what = compare(o, p, query, run)
            asked += 1
            if what and (run, query) in known:
                met.add((run, query))
            elif what:
                bad.append(f"{run}: {query}\n      {what[:300]}")
    for key in sorted(set(known) - met):
        bad.append(f"listed, and no longer there: {key}")
    print(f"   {asked} queries, {len(met)} answered otherwise as listed", flush=True)
    check(not bad, lambda: f"{len(bad)}:\n" + "\n".join(bad[:40]))
    check(asked > 440, f"only {asked} queries")


if __name__ == "__main__":
    main()
