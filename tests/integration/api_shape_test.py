#!/usr/bin/env python3
"""The HTTP API beside Debian's Prometheus 2.42: the same members of the same kinds in every answer, the
same statuses and kinds of errors; and promtool's queries. What Prometheus 3 has besides is listed."""
import json
import os
import re
import subprocess
import time

from orrery_test import (ROOT, Prometheus, Single, api, check, http_call, main, push_ok, wait_for)

TENANT = "anonymous"
RULES = """
groups:
  - name: g
    interval: 1s
    rules:
      - {record: 'up:sum', expr: sum(up)}
      - {alert: Always, expr: vector(1), labels: {severity: page, who: '{{ $value }}'}, annotations: {summary: s}}
"""

# members of an answer that 2.42 does not have and 3 has, or Mimir
NEW = {".anchored", ".smoothed", ".groupNextToken", ".orreryVersion", ".application", ".features", ".series",
       ".droppedTargetCounts", ".hostname", ".serverTime", ".GOMEMLIMIT", ".peakBytes", ".infos", ".labels",
       ".objectStore", ".blocks", ".skippedBlocks"}
# keys that are data: any of theirs may be compared with any of ours
DATA = {"metric", "labels", "annotations", "metadata", "flags"}


def now_ms():
    return int(time.time() * 1000)


def kind(v):
    return "bool" if isinstance(v, bool) else "number" if isinstance(v, (int, float)) else \
        type(v).__name__


def differences(theirs, ours, path=""):
    """Where ours is not as theirs: a missing member, another kind."""
    if kind(theirs) != kind(ours):
        return [f"{path}: theirs {kind(theirs)}, ours {kind(ours)}"]
    if isinstance(theirs, list) and theirs:
        return differences(theirs[0], ours[0], path + "[]") if ours else [f"{path}: ours is empty"]
    if not isinstance(theirs, dict):
        return []
    out = []
    if path.rsplit(".", 1)[-1] in DATA:
        return out
    for k in theirs:
        out += differences(theirs[k], ours[k], f"{path}.{k}") if k in ours else \
            [f"{path}: {k} is missing"]
    return out + [f"{path}: {k} is not theirs" for k in ours
                  if k not in theirs and "." + k not in NEW]


def pair(t, orrery_args=(), prometheus_args=()):
    rules = os.path.join(t.dir, "rules", TENANT)
    os.makedirs(rules)
    with open(os.path.join(rules, "r.yml"), "w") as f:
        f.write(RULES)
    o = Single(t, args=["--auth.mode=optional", f"--ruler.rule-path={t.dir}/rules", *orrery_args])
    p = Prometheus(t, f"global: {{scrape_interval: 1h}}\nrule_files: ['{rules}/r.yml']\n",
                   args=["--web.enable-remote-write-receiver", "--web.enable-admin-api",
                         "--enable-feature=exemplar-storage,native-histograms,"
                         "promql-per-step-stats", *prometheus_args])
    return o.wait_ready(), p.wait_ready()


def fill(o, p, start):
    """Samples lie beside the steps of the queries: in 2.42 a range includes its left end, in 3 not."""
    start += 4000
    series = [({"__name__": "up", "job": j, "instance": f"{j}:1"},
               [(start + i * 15000, float(i)) for i in range(40)],
               True, [({"trace_id": "abc"}, start + 15000, 0.5)]) for j in "ab"]
    meta = [(2, "up", "Is it up?", "")]
    push_ok(o.addr, series, tenant=None, metadata=meta)
    push_ok(p.addr, series, tenant=None, path="/api/v1/write", metadata=meta)


def same(o, p, path, params=(), method="GET", code=200):
    theirs = api(p.addr, path, params, None, method)
    ours = api(o.addr, path, params, None, method)
    what = f"{method} {path} {params}"
    check(theirs.status == ours.status == code,
          f"{what}: theirs {theirs.status} {theirs.text[:200]}, ours {ours.status} {ours.text[:200]}")
    check(theirs.headers.get("content-type") == ours.headers.get("content-type"),
          f"{what}: {theirs.headers.get('content-type')}, ours {ours.headers.get('content-type')}")
    if not theirs.body:
        check(not ours.body, f"{what}: ours has a body")
        return None, None
    bad = differences(theirs.json, ours.json)
    check(not bad, f"{what}: {bad}\n   theirs {theirs.text[:600]}\n   ours   {ours.text[:600]}")
    return theirs.json, ours.json


def test_shapes(t):
    o, p = pair(t)
    start = now_ms() - 600_000
    fill(o, p, start)
    at = {"start": start / 1000, "end": start / 1000 + 585, "step": 15}
    for method in ("GET", "POST"):
        for expr in ("up", "sum(up)", "1", "'text'", "up[1m]", "rate(up[5m])", "nothing"):
            same(o, p, "/api/v1/query", {"query": expr, "time": start / 1000 + 300}, method)
        for expr in ("up", "1", "sum by (job) (rate(up[1m]))", "nothing"):
            same(o, p, "/api/v1/query_range", {"query": expr, **at}, method)
        same(o, p, "/api/v1/series", {"match[]": "up"}, method)
        theirs, ours = same(o, p, "/api/v1/labels", {"match[]": "up"}, method)
        check(theirs["data"] == ours["data"], f"{theirs} {ours}")
        same(o, p, "/api/v1/query_exemplars", {"query": "up", **at}, method)
        theirs, ours = same(o, p, "/api/v1/format_query", {"query": "sum(up)by(job)>1"}, method)
        check(theirs == ours, f"{theirs} {ours}")
    theirs, ours = same(o, p, "/api/v1/label/job/values")
    check(theirs["data"] == ours["data"], f"{theirs} {ours}")
    for s in ("all", "1"):
        same(o, p, "/api/v1/query", {"query": "up", "time": start / 1000 + 300, "stats": s})
        same(o, p, "/api/v1/query_range", {"query": "rate(up[1m])", **at, "stats": s})
    for expr in ("up", "rate(up[1m])", "sum(rate(up[2m])) + up{job=\"a\"}", "up offset 1m", "up @ 0", "1",
                 "max_over_time(up[45s] @ end())", "absent(nothing)"):
        per_step = []
        for x in (p, o):
            r = api(x.addr, "/api/v1/query_range", {"query": expr, **at, "stats": "all"}, None)
            per_step.append(r.json["data"]["stats"]["samples"]["totalQueryableSamplesPerStep"])
        check(per_step[0] == per_step[1], f"{expr}: samples per step {per_step}")
    for path in ("status/config", "status/walreplay", "status/tsdb", "status/buildinfo",
                 "alertmanagers", "targets", "targets/metadata"):
        same(o, p, "/api/v1/" + path)
    r = api(o.addr, "/api/v1/metadata", tenant=None)
    check(r.json["data"] == {"up": [{"type": "gauge", "help": "Is it up?", "unit": ""}]}, r.text)
    theirs, ours = (api(x.addr, "/api/v1/status/runtimeinfo", tenant=None).json for x in (p, o))
    missing = set(theirs["data"]) - set(ours["data"])
    check(not missing, f"runtimeinfo: {missing}")


def test_rules_and_alerts(t):
    o, p = pair(t)
    for x in (o, p):
        wait_for("an alert that fires", lambda: any(
            a["state"] == "firing" for a in
            api(x.addr, "/api/v1/alerts", tenant=None).json["data"]["alerts"]), 30)
        wait_for("both rules to be evaluated", lambda: all(
            r["lastEvaluation"] > "2000" for r in
            api(x.addr, "/api/v1/rules", tenant=None).json["data"]["groups"][0]["rules"]), 30)
    same(o, p, "/api/v1/alerts")
    for params in ({}, {"type": "alert"}, {"type": "record"}):
        theirs, ours = same(o, p, "/api/v1/rules", params)
        names = [[r["name"] for g in x["data"]["groups"] for r in g["rules"]] for x in (theirs, ours)]
        check(names[0] == names[1], f"{params}: {names}")
    same(o, p, "/api/v1/rules", {"type": "x"}, code=400)
    # what 2.42 has not
    rules = lambda **kw: [r["name"] for g in api(o.addr, "/api/v1/rules", list(kw.items()), None)
                          .json["data"]["groups"] for r in g["rules"]]
    check(rules(**{"rule_name[]": "up:sum"}) == ["up:sum"], "rule_name[]")
    check(rules(**{"rule_group[]": "h"}) == [], "rule_group[]")
    check(rules(**{"match[]": '{severity="page"}'}) == ["Always"], "match[]")
    check(rules(**{"match[]": '{who=~".+"}'}) == [], "match[] on a template")
    check(rules(exclude_alerts="true") == ["up:sum", "Always"], "exclude_alerts")
    for params, text in (({"group_limit": "x"}, "valid number"), ({"group_limit": "0"}, "greater"),
                         ({"group_next_token": "x"}, "group_limit needs to be present"),
                         ({"group_limit": "1", "group_next_token": "x"}, "invalid group_next_token"),
                         ({"match[]": "{"}, "match[]")):
        r = api(o.addr, "/api/v1/rules", params, None)
        check(r.status == 400 and text in r.json["error"], f"{params}: {r.status} {r.text}")


def test_rule_pages(t):
    rules = os.path.join(t.dir, "rules", TENANT)
    os.makedirs(rules)
    with open(os.path.join(rules, "r.yml"), "w") as f:
        f.write("groups:\n" + "".join(f"  - {{name: g{i:02}, rules: [{{record: r{i}, expr: '1'}}]}}\n"
                                      for i in range(25)))
    o = Single(t, args=["--auth.mode=optional", f"--ruler.rule-path={t.dir}/rules"]).wait_ready()
    wait_for("the groups", lambda: len(api(o.addr, "/api/v1/rules", tenant=None).json["data"]
                                       ["groups"]) == 25, 30)
    seen, token, sizes = [], None, []
    while True:
        params = {"group_limit": 10, **({"group_next_token": token} if token else {})}
        data = api(o.addr, "/prometheus/api/v1/rules", params, None).json["data"]
        seen += [g["name"] for g in data["groups"]]
        sizes.append(len(data["groups"]))
        token = data.get("groupNextToken")
        if not token:
            break
    check(sizes == [10, 10, 5] and seen == [f"g{i:02}" for i in range(25)], f"{sizes} {seen}")


def test_errors(t):
    o, p = pair(t)
    at = {"start": 0, "end": 10, "step": 1}
    cases = [
        ("query", {"query": "up["}), ("query", {"query": "1", "time": "x"}), ("query", {}),
        ("query", {"query": "1", "timeout": "x"}), ("query", {"query": "up", "timeout": "0"}),
        ("query", {"query": "1", "timeout": "-5"}), ("query", {"query": "up", "timeout": "0.0000001"}),
        ("query_range", {"query": "up", "timeout": "0s", **at}), ("query", {"query": "sum(", "timeout": "0"}),
        ("query_range", {"query": "1"}), ("query_range", {"query": "1", "start": 10, "end": 0, "step": 1}),
        ("query_range", {"query": "1", "start": 0, "end": 10, "step": 0}),
        ("query_range", {"query": "1", "start": 0, "end": 10, "step": "x"}),
        ("query_range", {"query": "1", "start": 0, "end": 12000, "step": 1}),
        ("query_range", {"query": "up[5m]", **at}), ("query_range", {"query": "sum(", **at}),
        ("series", {}), ("series", {"match[]": "{"}), ("series", {"match[]": '{a=~".*"}'}),
        ("series", {"match[]": "up", "start": "x"}), ("labels", {"match[]": "{"}),
        ("labels", {"end": "x"}), ("label/a-b/values", {}), ("format_query", {"query": "sum("}),
        ("query_exemplars", {"query": "sum("}), ("metadata", {"limit": "x"}), ("rules", {"type": "x"}),
    ]
    bad, differ = [], []
    for path, params in cases:
        theirs = api(p.addr, "/api/v1/" + path, params, None)
        ours = api(o.addr, "/api/v1/" + path, params, None)
        if path == "label/a-b/values":  # 3 takes any UTF-8 name
            check(ours.status == 200 and ours.json["data"] == [], ours.text)
            continue
        if theirs.status != ours.status or theirs.json["errorType"] != ours.json["errorType"]:
            bad.append(f"{path} {params}: theirs {theirs.status} {theirs.text[:200]}, ours "
                       f"{ours.status} {ours.text[:200]}")
        elif theirs.json["error"] != ours.json["error"]:
            differ.append(f"{path} {params}: {theirs.json['error']} | {ours.json['error']}")
    check(not bad, "\n".join(bad))
    for line in differ:
        print("   other words: " + line, flush=True)
    check(len(differ) <= 10, "too many texts differ")
    # 3 has these
    r = api(o.addr, "/api/v1/rules", {"exclude_alerts": "maybe"}, None)
    check(r.status == 400 and r.json["errorType"] == "bad_data" and "exclude_alerts" in r.json["error"], r.text)
    check(api(o.addr, "/api/v1/rules", {"exclude_alerts": "True"}, None).status == 200, "a truth")
    # off by default, and then as Prometheus says it
    r = api(o.addr, "/api/v1/admin/tsdb/delete_series", {"match[]": "up"}, None, "POST")
    check(r.status == 503 and r.json["errorType"] == "unavailable" and
          r.json["error"] == "admin APIs disabled", r.text)


LONG = 'a_metric_with_quite_a_long_name_so_that_lines_fill{job="api",handler="/foo/bar/baz"}'
FORMATS = [
    "up", "1", '"a"', "-up", "(up)", "up[5m]", "up offset 5m", LONG, LONG.replace("}", f',x="{"y" * 60}"}}'),
    f"{LONG}[5m]", f"sum({LONG})", f"sum by (job, handler) ({LONG})", f"topk(5, {LONG})",
    f"topk by (job) (scalar({LONG}), {LONG})", f"quantile(0.9, sum without (le) (rate({LONG}[5m])))",
    f"rate({LONG}[5m])", f"{LONG} + {LONG}", f"{LONG} + {LONG} * {LONG}", f"({LONG} + {LONG}) * {LONG}",
    f"{LONG} > bool {LONG}", f"{LONG} / on (job) group_left (instance) {LONG}", f"{LONG} and ignoring (a) {LONG}",
    f"-{LONG}", f"-({LONG} + {LONG})", f"-{LONG} ^ {LONG}", f"-sum(rate({LONG}[5m])) + 1", f"(({LONG}))",
    f"((({LONG} - 1)))", f"label_replace({LONG}, 'a', '$1', 'b', '(.*)')", f"histogram_quantile(0.9, {LONG})",
    f"histogram_quantile(0.9, sum by (le) (rate({LONG}[5m]))) > bool on (job) group_left (instance) {LONG}",
    f"max_over_time({LONG}[1h:5m])", f"max_over_time(rate({LONG}[5m])[1h:5m] offset 1h)",
    f"max_over_time((rate({LONG}[5m]) + {LONG})[1h:5m] @ 1000)", f"sum(max_over_time(up[1h:5m])) + {LONG} + 1",
    f"max_over_time(up[1h:5m]) / {LONG} / min_over_time(up[1h:5m])", f"clamp({LONG}, 0, {LONG} + {LONG})",
    f"absent({LONG}) or vector(1) or {LONG} or vector(2)", f"{LONG} unless on () {LONG}", f"{LONG} == {LONG} < 5",
    " or ".join(["up"] * 40), f"count_values('version', {LONG}) by (job)", f"sum({LONG} @ end() offset 5m) without ()",
]


def test_format_query_breaks_lines_as_prometheus(t):
    o, p = pair(t)
    wrong = []
    for expr in FORMATS:
        theirs, ours = (api(x.addr, "/api/v1/format_query", {"query": expr}, None).json for x in (p, o))
        if theirs != ours:
            wrong.append(f"{expr}\ntheirs:\n{theirs.get('data', theirs)}\nours:\n{ours.get('data', ours)}")
    check(not wrong, f"{len(wrong)} of {len(FORMATS)}:\n" + "\n\n".join(wrong))
    long = " + ".join(["up"] * 400)
    for _ in range(2):
        r = api(o.addr, "/api/v1/format_query", {"query": long}, None, "POST")
        check(r.status == 200, r.text)
        was, long = long, r.json["data"]
    check(long == was and long.count("\n") > 300, "not stable")


def test_federate(t):
    o, p = pair(t)
    start = now_ms() - 590_000
    fill(o, p, start)
    for params in ([("match[]", "up")], [("match[]", 'up{job="a"}'), ("match[]", '{job=~"a|b"}')],
                   [("match[]", '{__name__=~"u?p?"}')], [("match[]", '{__name__=~"u?p?",job!="b"}')],
                   [("match[]", '{__name__=~"u?p?",job=~".*"}')], [("match[]", "nothing")], []):
        theirs = api(p.addr, "/federate", params, None)
        ours = api(o.addr, "/prometheus/federate", params, None)
        check(theirs.status == ours.status == 200, f"{theirs.status} {ours.status}")
        lines = [sorted(" ".join(sorted_labels(x)) for x in r.text.splitlines()) for r in (theirs, ours)]
        check(lines[0] == lines[1], f"{params}\n{theirs.text}\n{ours.text}")
        check(theirs.headers["content-type"] == ours.headers["content-type"], ours.headers)
    theirs, ours = (api(x.addr, "/federate", {"match[]": "{"}, None) for x in (p, o))
    check(theirs.status == ours.status == 400, f"{theirs.status} {ours.status}")
    push_ok(o.addr, [({"__name__": "a.b", "job": "x", "ü": "1"}, [(now_ms(), 1.0)])], tenant=None)
    for accept, want in (("", 'a_b{job="x",_="1",instance=""} 1'),
                         ("text/plain;escaping=dots", 'a_dot_b{job="x",__="1",instance=""} 1'),
                         ("text/plain;escaping=values", 'U__a_2e_b{job="x",U___fc_="1",instance=""} 1'),
                         ("text/plain;escaping=allow-utf-8", '{"a.b",job="x","ü"="1",instance=""} 1')):
        r = http_call(o.addr, "GET", "/federate?match[]=%7Bjob%3D%22x%22%7D", headers={"Accept": accept})
        check(want in r.text, f"{accept}: {r.text}")


def sorted_labels(line):
    """A line of the text format with its labels in order."""
    if line.startswith("#"):
        return [line]
    name, rest = line.split("{", 1)
    labels, value = rest.rsplit("}", 1)
    return [name, ",".join(sorted(labels.split(","))), value]


def promtool(*args):
    r = subprocess.run(["promtool", *args], capture_output=True, text=True, timeout=60)
    check(r.returncode == 0, f"promtool {' '.join(args)}: {r.stdout} {r.stderr}")
    return r.stdout


CORS = ["access-control-allow-origin", "access-control-allow-methods", "access-control-expose-headers"]


def test_browsers_of_other_origins(t):
    o, p = pair(t)

    def ask(x, method, path, origin="http://grafana.example"):
        r = http_call(x.addr, method, path, headers={"Origin": origin} if origin else {})
        return r.status, [r.headers.get(h) for h in CORS], r.headers.get("access-control-allow-headers", "")
    for method, path in (("GET", "/api/v1/query?query=1"), ("GET", "/api/v1/query?query=("),
                         ("OPTIONS", "/api/v1/query"), ("POST", "/api/v1/labels"), ("GET", "/metrics")):
        theirs, ours = ask(p, method, path), ask(o, method, path)
        check(theirs[:2] == ours[:2], f"{method} {path}: theirs {theirs}, ours {ours}")
        check(ours[2].startswith(theirs[2]), f"{ours[2]}")
    check(ask(o, "OPTIONS", "/prometheus/api/v1/query")[:2] == (204, ["*", "GET, POST, OPTIONS", "Date"]), "prefix")
    check(ask(o, "GET", "/api/v1/query?query=1", None)[1] == [None] * 3, "without Origin")
    some = Single(t, name="some", args=["--server.cors-origin=https?://(a|b).example"]).wait_ready()
    for origin, want in (("https://a.example", "https://a.example"), ("https://a.example.evil", None)):
        check(ask(some, "GET", "/api/v1/status/buildinfo", origin)[1][0] == want, origin)


def test_promtool(t):
    o, p = pair(t)
    start = now_ms() - 600_000
    fill(o, p, start)
    at = f"--time={start // 1000 + 300}"
    span = [f"--start={start // 1000}", f"--end={start // 1000 + 500}"]
    for base in ("", "/prometheus"):
        ours, theirs = f"http://{o.addr}{base}", f"http://{p.addr}"
        check(promtool("query", "instant", at, ours, "sum(up)") ==
              promtool("query", "instant", at, theirs, "sum(up)"), "instant")
        check(promtool("query", "range", *span, "--step=60s", ours, "up") ==
              promtool("query", "range", *span, "--step=60s", theirs, "up"), "range")
        check(sorted(promtool("query", "series", "--match=up", ours).splitlines()) ==
              sorted(promtool("query", "series", "--match=up", theirs).splitlines()), "series")
        check(promtool("query", "labels", "--match=up", ours, "job") ==
              promtool("query", "labels", "--match=up", theirs, "job"), "labels")


def readme_blocks(word):
    """The README's code blocks that have the word in them."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        return [b for b in re.findall(r"^```\w*\n(.*?)^```", f.read(), re.M | re.S) if word in b]


def test_promtool_checks(t):
    """What promtool accepts of the README is what Orrery runs; what it refuses, Orrery does too."""
    config = os.path.join(t.dir, "prometheus.yml")
    with open(config, "w", encoding="utf-8") as f:
        f.write(readme_blocks("remote_write:")[0])
    check("SUCCESS" in promtool("check", "config", config), "check config")

    rules = os.path.join(t.dir, "rules", TENANT)
    os.makedirs(rules)
    block = readme_blocks("alert: TargetDown")[0]
    good = os.path.join(rules, "up.yml")
    with open(good, "w", encoding="utf-8") as f:
        f.write(re.search(r"<<'YAML'\n(groups:.*?)^YAML$", block, re.M | re.S).group(1))
    check("SUCCESS: 1 rules found" in promtool("check", "rules", good), "check rules")
    o = Single(t, args=["--auth.mode=optional", f"--ruler.rule-path={t.dir}/rules"]).wait_ready()
    groups = lambda: [g["name"] for g in
                      api(o.addr, "/api/v1/rules", tenant=None).json["data"]["groups"]]
    wait_for("the group", lambda: groups() == ["up"], 30)

    for text in ("groups: [{name: g, rules: [{record: 'a', expr: 'sum('}]}]",
                 "groups: [{name: g, rules: [{record: 'a', alert: 'b', expr: '1'}]}]",
                 "groups: [{name: g}, {name: g}]", "groups: [{nam: g}]"):
        bad = os.path.join(t.dir, "bad.yml")
        with open(bad, "w", encoding="utf-8") as f:
            f.write(text)
        r = subprocess.run(["promtool", "check", "rules", bad], capture_output=True, timeout=60)
        check(r.returncode != 0, f"promtool takes {text}")
        other = Single(t, name=f"bad{len(os.listdir(t.dir))}",
                       args=["--auth.mode=optional", f"--ruler.rule-path={t.dir}/wrong"])
        os.makedirs(os.path.join(t.dir, "wrong", TENANT), exist_ok=True)
        os.replace(bad, os.path.join(t.dir, "wrong", TENANT, "bad.yml"))
        other.wait_ready()
        wait_for(f"a refusal of {text}", lambda: "bad.yml" in open(other.log).read(), 20)
        check(api(other.addr, "/api/v1/rules", tenant=None).json["data"]["groups"] == [], text)
        other.stop()

    # Its own metrics, as anybody would look at them.
    page = http_call(o.addr, "GET", "/metrics").text
    r = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True,
                       timeout=60)
    check(r.returncode == 0 and not r.stdout + r.stderr, r.stdout + r.stderr)


def test_parse_query(t):
    """2.42 has no parse_query: the tree is held to what 3 gives, as its documentation tells it."""
    o = Single(t, args=["--auth.mode=optional"]).wait_ready()
    r = api(o.addr, "/api/v1/parse_query", {"query": "foo/bar"}, None)
    selector = lambda name: {"type": "vectorSelector", "name": name, "offset": 0, "matchers": [
        {"name": "__name__", "type": "=", "value": name}], "timestamp": None, "startOrEnd": None,
        "anchored": False, "smoothed": False}
    check(r.json["data"] == {
        "type": "binaryExpr", "op": "/", "bool": False, "lhs": selector("foo"), "rhs": selector("bar"),
        "matching": {"card": "one-to-one", "include": [], "labels": [], "on": False,
                     "fillValues": {"lhs": None, "rhs": None}}}, json.dumps(r.json))
    r = api(o.addr, "/api/v1/parse_query", {"query": "foo/"}, None)
    check(r.status == 400 and r.json["errorType"] == "bad_data", r.text)


if __name__ == "__main__":
    main()
