#!/usr/bin/env python3
"""Loki's query API with whole processes: lines pushed by Loki's and OTLP's protocol, asked for by Loki's."""
import json
import time
from urllib.parse import urlencode

from logs_test import JSON, now_ns, push_ok
from orrery_test import TENANT, Cluster, Single, check, http_call, main, wait_for

S = 10**9


def ask(addr, path, params=(), tenant=TENANT, method="GET", headers=None):
    headers = {"X-Scope-OrgID": tenant, **(headers or {})}
    text = urlencode(list(params.items()) if isinstance(params, dict) else params)
    if method == "GET":
        return http_call(addr, "GET", f"/loki/api/v1/{path}?{text}", headers=headers)
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return http_call(addr, "POST", f"/loki/api/v1/{path}", text.encode(), headers)


def data(addr, path, params=(), **kw):
    r = ask(addr, path, params, **kw)
    check(r.status == 200, f"{path} {params}: {r.status} {r.text[:500]}")
    check(r.json["status"] == "success", r.text[:500])
    return r.json["data"]


def streams(addr, query, tenant=TENANT, **params):
    """[(labels, [[ns, line…]])] of a query for lines."""
    d = data(addr, "query_range", {"query": query, **params}, tenant=tenant)
    check(d["resultType"] == "streams", f"{d}")
    return [(x["stream"], [[int(v[0]), *v[1:]] for v in x["values"]]) for x in d["result"]]


def lines(addr, query, **params):
    return [v[1] for _, values in streams(addr, query, **params) for v in values]


def refused(addr, path, params, status, text, **kw):
    r = ask(addr, path, params, **kw)
    check(r.status == status and text in r.text, f"{path} {params}: {r.status} {r.text[:300]}")
    check(r.headers.get("content-type", "").startswith("text/plain"), f"{r.headers}")


def fill(addr, base):
    """Two streams by Loki's protocol, one by OTLP."""
    push_ok(addr, [
        ({"app": "web", "env": "prod"}, [(base + i * S, f'level={"error" if i % 2 else "info"} n={i}', {"trace": f"t{i}"})
                                         for i in range(10)]),
        ({"app": "db", "env": "dev"}, [(base + i * S, f'{{"ms":{i * 100}}}') for i in range(5)])])
    otlp = {"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "otlp"}}]},
        "scopeLogs": [{"logRecords": [{"timeUnixNano": str(base), "severityText": "WARN", "body": {"stringValue": "by otlp"},
                                       "attributes": [{"key": "user", "value": {"stringValue": "u1"}}]}]}]}]}
    r = http_call(addr, "POST", "/otlp/v1/logs", json.dumps(otlp).encode(), {**JSON, "X-Scope-OrgID": TENANT})
    check(r.status == 200, f"{r.status} {r.text}")


def test_lines(t):
    o = Single(t).wait_ready()
    base = now_ns() // S * S - 60 * S
    span = {"start": base, "end": base + 60 * S}
    fill(o.addr, base)
    got = streams(o.addr, '{app="db"}', **span, direction="forward")
    check(len(got) == 1 and got[0][0]["app"] == "db" and got[0][0]["env"] == "dev", f"{got}")
    check(got[0][1] == [[base + i * S, f'{{"ms":{i * 100}}}'] for i in range(5)], f"{got}")
    check(lines(o.addr, '{app="db"}', **span) == [f'{{"ms":{i * 100}}}' for i in reversed(range(5))], "newest first")
    check(lines(o.addr, '{app="db"}', **span, limit=2) == ['{"ms":400}', '{"ms":300}'], "the newest two")
    check(lines(o.addr, '{app="db"}', **span, limit=2, direction="FORWARD") == ['{"ms":0}', '{"ms":100}'], "the oldest two")
    check(lines(o.addr, '{app="db"} | json | ms > 150', **span, limit=2, direction="forward") ==
          ['{"ms":200}', '{"ms":300}'], "filtered")
    check(lines(o.addr, '{app="db"}', start=base + S, end=base + 3 * S, direction="forward") ==
          ['{"ms":100}', '{"ms":200}'], "the end is not in it")
    check(lines(o.addr, '{app="db"}', **span, interval="2s", direction="forward") ==
          ['{"ms":0}', '{"ms":200}', '{"ms":400}'], "interval")
    # times as seconds, fractions of them, RFC 3339, and since
    for start, end in ((base // S, base // S + 60), (f"{base // S}.0", f"{base // S + 60}.5"),
                       (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(base // S)),
                        time.strftime("%Y-%m-%dT%H:%M:%S.5Z", time.gmtime(base // S + 60)))):
        check(len(lines(o.addr, '{app="db"}', start=start, end=end)) == 5, f"{start} {end}")
    check(len(lines(o.addr, '{app="db"}', since="10m")) == 5, "since")
    check(len(lines(o.addr, '{app="db"}')) == 5, "an hour, if nothing is said")
    # structured metadata: among the labels, or told apart
    got = streams(o.addr, '{app="web"} |= "n=3"', **span)
    check(got[0][0]["trace"] == "t3" and got[0][1] == [[base + 3 * S, "level=error n=3"]], f"{got}")
    d = data(o.addr, "query_range", {"query": '{app="web"} | logfmt | n < 2', **span, "direction": "forward"},
             headers={"X-Loki-Response-Encoding-Flags": "categorize-labels"})
    check(d["encodingFlags"] == ["categorize-labels"] and len(d["result"]) == 1, f"{d}")
    check("trace" not in d["result"][0]["stream"], f"{d}")
    extra = d["result"][0]["values"][0][2]
    check(extra["structuredMetadata"]["trace"] == "t0" and extra["parsed"] == {"level": "info", "n": "0"}, f"{extra}")
    check(d["stats"]["summary"]["totalEntriesReturned"] == 2 and d["stats"]["summary"]["totalLinesProcessed"] == 10, f"{d}")
    # by OTLP, and by a form
    got = data(o.addr, "query_range", {"query": '{service_name="otlp"} | user="u1"', **span}, method="POST")
    check(got["result"][0]["values"][0][1] == "by otlp", f"{got}")
    check(streams(o.addr, '{app="web"}', start=base - 600 * S, end=base - 300 * S) == [], "nothing there")
    r = ask(o.addr, "query_range", {"query": '{app="web"}'}, tenant="other")
    check(r.json["data"]["result"] == [], "a tenant sees another's lines")


def test_metrics(t):
    o = Single(t).wait_ready()
    base = now_ns() // S * S - 60 * S
    fill(o.addr, base)
    at = {"time": base + 20 * S}
    d = data(o.addr, "query", {"query": 'sum by (level) (count_over_time({app="web"} | logfmt [1m]))', **at})
    check(d["resultType"] == "vector", f"{d}")
    got = {x["metric"].get("level"): x["value"] for x in d["result"]}
    check(got == {"error": [base // S + 20, "5"], "info": [base // S + 20, "5"]}, f"{got}")
    d = data(o.addr, "query_range", {"query": 'sum(rate({env=~"prod|dev"}[10s]))', "start": base + 10 * S,
                                     "end": base + 20 * S, "step": "5s"})
    check(d["resultType"] == "matrix", f"{d}")
    # windows (0, 10], (5, 15], (10, 20]: 9 and 4 lines, 4 and 0, none
    check(d["result"] == [{"metric": {}, "values": [[base // S + 10, "1.3"], [base // S + 15, "0.4"]]}], f"{d}")
    d = data(o.addr, "query", {"query": 'max(max_over_time({app="db"} | json | unwrap ms [1m]))', **at}, method="POST")
    check(d["result"][0]["value"][1] == "400", f"{d}")
    # what Grafana asks to see whether a data source works
    d = data(o.addr, "query", {"query": "vector(1)+vector(1)", **at})
    check(d["resultType"] == "vector" and d["result"][0]["value"][1] == "2", f"{d}")


def test_labels(t):
    o = Single(t).wait_ready()
    base = now_ns() // S * S - 60 * S
    span = {"start": base, "end": base + 60 * S}
    fill(o.addr, base)
    for path, method in (("labels", "GET"), ("label", "GET"), ("labels", "POST")):
        check(data(o.addr, path, span, method=method) == ["app", "env", "service_name"], path)
    check(data(o.addr, "labels", {**span, "query": '{service_name="otlp"}'}) == ["service_name"], "of some")
    check(data(o.addr, "label/app/values", span) == ["db", "web"], "values")
    check(data(o.addr, "label/app/values", {**span, "query": '{env="prod"}'}) == ["web"], "values of some")
    check(data(o.addr, "label/nope/values", span) == [], "values of none")
    got = data(o.addr, "series", [*span.items(), ("match[]", '{app=~"web|db"}'), ("match[]", '{env="prod"}')])
    check(sorted(x["app"] for x in got) == ["db", "web"], f"{got}")
    check(len(data(o.addr, "series", span, method="POST")) == 3, "all of them")
    r = ask(o.addr, "index/stats", {**span, "query": '{app="web"}'})
    check(r.status == 200 and r.json["streams"] == 1 and r.json["entries"] == 10 and r.json["bytes"] > 150, r.text)
    d = data(o.addr, "index/volume", {**span, "query": '{app=~".+"}'})
    check([x["metric"] for x in d["result"]] == [{"app": "web"}, {"app": "db"}], f"{d}")
    check(int(d["result"][0]["value"][1]) == r.json["bytes"], f"{d}")
    d = data(o.addr, "index/volume", {**span, "query": '{app=~".+"}', "targetLabels": "env", "limit": 1})
    check([x["metric"] for x in d["result"]] == [{"env": "prod"}], f"{d}")
    check(data(o.addr, "format_query", {"query": '{app="a"}|="x"'}) == '{app="a"} |= "x"', "format_query")
    r = http_call(o.addr, "GET", "/loki/api/v1/status/buildinfo")
    check(r.status == 200 and r.json["version"], r.text)


def test_old_endpoints(t):
    """/api/prom/…, as Loki went on serving it."""
    o = Single(t).wait_ready()
    base = now_ns() // S * S - 60 * S
    span = {"start": base, "end": base + 60 * S}
    fill(o.addr, base)

    def old(path, params, status=200):
        r = http_call(o.addr, "GET", f"/api/prom/{path}?{urlencode(params)}", headers={"X-Scope-OrgID": TENANT})
        check(r.status == status, f"{path} {params}: {r.status} {r.text}")
        return r

    got = old("query", {**span, "query": '{app="db"}', "limit": 2}).json
    at = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(base // S + i)) for i in (4, 3)]
    check(got["streams"] == [{"labels": '{app="db", detected_level="unknown", env="dev", service_name="db"}', "entries": [
        {"ts": at[0], "line": '{"ms":400}'}, {"ts": at[1], "line": '{"ms":300}'}]}], f"{got}")
    check(got["stats"]["summary"]["totalEntriesReturned"] == 2 and set(got) == {"streams", "stats"}, f"{got}")
    got = old("query", {**span, "query": '({app=~"db|web"} != "n=")', "regexp": "[12]00", "direction": "forward"}).json
    check([e["line"] for s in got["streams"] for e in s["entries"]] == ['{"ms":100}', '{"ms":200}'], f"{got}")
    check("only support streams" in old("query", {**span, "query": 'rate({app="db"}[1m])'}, 400).text, "numbers")
    check("missing" in old("query", {**span, "query": '{app="db"}', "regexp": "("}, 400).text, "a regex that is none")
    check(old("label", span).json == {"values": ["app", "env", "service_name"]}, "names")
    check(old("label/app/values", span).json == {"values": ["db", "web"]}, "values")
    got = old("series", {**span, "match[]": '{app="db"}'}).json
    check(got["status"] == "success" and [x["app"] for x in got["data"]] == ["db"], f"{got}")


def test_volume_steps(t):
    o = Single(t).wait_ready()
    base = now_ns() // S * S - 60 * S
    span = {"start": base, "end": base + 60 * S}
    fill(o.addr, base)
    q = {**span, "query": '{app=~".+"}'}
    whole = {x["metric"]["app"]: int(x["value"][1]) for x in data(o.addr, "index/volume", q)["result"]}
    for method in ("GET", "POST"):
        d = data(o.addr, "index/volume_range", {**q, "step": "5s"}, method=method)
        check(d["resultType"] == "matrix" and [x["metric"] for x in d["result"]] == [{"app": "web"}, {"app": "db"}], f"{d}")
        for x in d["result"]:
            times = [v[0] for v in x["values"]]
            n = 2 if x["metric"]["app"] == "web" else 1
            # the web's lines are of ten seconds, the database's of five; a point stands at the end of its step
            check(times == [base // S + 5 * (i + 1) for i in range(n)], f"{x}")
            total = sum(int(v[1]) for v in x["values"])
            check(0.9 * whole[x["metric"]["app"]] <= total <= whole[x["metric"]["app"]], f"{total} {whole}")
    d = data(o.addr, "index/volume_range", {**q, "step": "1h", "targetLabels": "env", "limit": 1})
    check([x["metric"] for x in d["result"]] == [{"env": "prod"}] and len(d["result"][0]["values"]) == 1, f"{d}")
    check(d["result"][0]["values"][0][0] == (base + 60 * S) // S, "the last step ends with the range")
    d = data(o.addr, "index/volume", {**q, "aggregateBy": "labels", "targetLabels": "app,env,nope"})
    check([(x["metric"], int(x["value"][1])) for x in d["result"]] ==
          [({"app": ""}, sum(whole.values())), ({"env": ""}, sum(whole.values()))], f"{d}")
    d = data(o.addr, "index/volume_range", {**q, "query": '{app="nobody"}'})
    check(d == {"resultType": "matrix", "result": []}, f"{d}")
    refused(o.addr, "index/volume_range", {**q, "step": "1ms"}, 400, "maximum resolution")
    refused(o.addr, "index/volume_range", {**q, "step": 0}, 400, "zero or negative")
    refused(o.addr, "index/volume_range", {**span}, 400, "query is missing")
    refused(o.addr, "index/volume", {**q, "aggregateBy": "colour"}, 400, "invalid aggregation option")
    refused(o.addr, "index/shards", q, 404, "index/shards is not served")


def test_detected(t):
    o = Single(t).wait_ready()
    base = now_ns() // S * S - 60 * S
    span = {"start": base, "end": base + 60 * S}
    fill(o.addr, base)
    push_ok(o.addr, [({"app": "ids", "req": f"{i}", "pod": f"{i}", "flag": str(i % 2),
                       "session": f"8f14e45f-ceea-467f-a9ab-{i:012d}"},
                      [(base, json.dumps({"user": {"the id": i}, "took": f"{i}ms", "size": "3kB", "ok": True, "f": i + 0.5}))])
                     for i in range(20)])
    r = ask(o.addr, "detected_labels", {**span, "query": '{app="ids"}'})
    check(r.status == 200, r.text)
    got = {x["label"]: x["cardinality"] for x in r.json["detectedLabels"]}
    check(got == {"app": 1, "flag": 2, "pod": 20, "service_name": 1}, f"{got}")
    r = ask(o.addr, "detected_labels", span, method="POST")
    check({x["label"]: x["cardinality"] for x in r.json["detectedLabels"]} ==
          {"app": 3, "env": 2, "flag": 2, "pod": 20, "service_name": 4}, r.text)

    def fields(query, **params):
        r = ask(o.addr, "detected_fields", {**span, "query": query, **params})
        check(r.status == 200, r.text)
        return {x.pop("label"): x for x in r.json["fields"]}, r.json["limit"]

    got, limit = fields('{app="ids"}')
    check(limit == 1000, f"{limit}")
    got.pop("detected_level", None)
    json_field = lambda kind, n, *path: {"type": kind, "cardinality": n, "parsers": ["json"], "jsonPath": list(path)}
    check(got == {"user_the_id": json_field("int", 20, "user", "the id"), "took": json_field("duration", 20, "took"),
                  "size": json_field("bytes", 1, "size"), "ok": json_field("boolean", 1, "ok"),
                  "f": json_field("float", 20, "f")}, f"{got}")
    got, _ = fields('{app="web"}', line_limit=4)
    check(got["n"] == {"type": "int", "cardinality": 4, "parsers": ["logfmt"]}, f"{got}")
    check(got["trace"] == {"type": "string", "cardinality": 4, "parsers": None}, f"{got}")
    got, limit = fields('{app="ids"} | json | f > 17', limit=3)
    check(len(got) == 3 and limit == 3, f"{got}")
    got, _ = fields('{app="nobody"}')
    check(got == {}, f"{got}")
    r = ask(o.addr, "detected_field/user_the_id/values", {**span, "query": '{app="ids"} |= "kB"'})
    check(r.json == {"values": sorted(str(i) for i in range(20)), "limit": 1000}, r.text)
    r = ask(o.addr, "detected_field/trace/values", {**span, "query": '{app="web"}', "limit": 2})
    check(len(r.json["values"]) == 2 and r.json["limit"] == 2, r.text)
    r = ask(o.addr, "detected_field/nope/values", {**span, "query": '{app="web"}'})
    check(r.json["values"] == [], r.text)
    refused(o.addr, "detected_fields", span, 400, "query is missing")
    refused(o.addr, "detected_fields", {**span, "query": 'rate({app="a"}[1m])'}, 400, "only log selector is supported")
    refused(o.addr, "detected_fields", {**span, "query": '{app="a"}', "line_limit": 5001}, 400, "max-entries-limit-per-query")
    refused(o.addr, "detected_fields", {**span, "query": '{app="a"}', "line_limit": -1}, 400, "line_limit must be a positive")
    refused(o.addr, "detected_fields", {**span, "query": '{app="a"}', "limit": "x"}, 400, '"limit"')
    refused(o.addr, "detected_field/a/values", {**span, "query": "{"}, 400, "parse error")
    refused(o.addr, "detected_labels", {**span, "query": "{"}, 400, "parse error")
    r = http_call(o.addr, "GET", "/loki/api/v1/drilldown-limits", headers={"X-Scope-OrgID": TENANT})
    check(r.status == 200 and r.json["pattern_ingester_enabled"] is True and r.json["version"], r.text)
    check(r.json["limits"]["max_query_series"] == 500 and r.json["limits"]["max_query_length"] == "30d1h", r.text)


def test_patterns(t):
    o = Single(t).wait_ready()
    base = now_ns() // (100 * S) * 100 * S - 300 * S
    span = {"start": base, "end": base + 200 * S}
    push_ok(o.addr, [({"app": "web", "env": env}, [(base + i * S, f'level={"error" if i % 10 == 0 else "info"} took={i}ms msg="all done" user=u{i}')
                                                   for i in range(100)]) for env in ("a", "b")])
    push_ok(o.addr, [({"app": "plain"}, [(base + i * S, f"job {i} of {i % 3} failed: <no> reason") for i in range(30)])])

    def patterns(query, **params):
        r = ask(o.addr, "patterns", {**span, "query": query, **params})
        check(r.status == 200 and r.json["status"] == "success", r.text)
        return r.json

    got = patterns('{app="web"}', step="50s")
    check("warnings" not in got, f"{got}")
    check(got["data"] == [
        {"pattern": 'level=info took=<_> msg="all done" user=<_>', "level": "info", "samples": [[base // S, 90], [base // S + 50, 90]]},
        {"pattern": 'level=error took=<_> msg="all done" user=<_>', "level": "error", "samples": [[base // S, 10], [base // S + 50, 10]]}],
        f"{got}")
    # each pattern finds its lines
    for x in got["data"]:
        n = len(lines(o.addr, '{app="web"} |> `' + x["pattern"] + "`", **span, limit=5000))
        check(n == sum(v for _, v in x["samples"]), f"{n} {x}")
    got = patterns('{app="plain"} != "job 1 "')
    check([(x["pattern"], sum(v for _, v in x["samples"])) for x in got["data"]] == [("job <_> of <_> failed: <_> reason", 29)], f"{got}")
    check(patterns('{app="nobody"}')["data"] == [], "of nothing")
    # more lines than are looked at: each stream and each time has its part
    n = 130000
    for k in range(0, n, 13000):
        push_ok(o.addr, [({"app": "many"}, [(base + (k + i) * 10**6, f"tick {i} of many") for i in range(13000)]),
                         ({"app": "many", "is": "few"}, [(base + k * 10**6, "a few")])])
    got = patterns('{app="many"}', step="10s")
    by = {x["pattern"]: x["samples"] for x in got["data"]}
    check(set(by) == {"tick <_> of many", "a few"}, f"{list(by)}")
    total = sum(v for _, v in by["tick <_> of many"])
    check(20000 < total <= 100000 and len(by["tick <_> of many"]) == 13, f"{total} {by}")
    check(any("lines" in w and "130010" in w for w in got["warnings"]), f"{got['warnings']}")
    refused(o.addr, "patterns", span, 400, "query is missing")
    refused(o.addr, "patterns", {**span, "query": 'rate({app="a"}[1m])'}, 400, "only log selector is supported")
    refused(o.addr, "patterns", {**span, "query": "{"}, 400, "parse error")
    refused(o.addr, "patterns", {**span, "query": '{app="a"}', "step": "1ms"}, 400, "step")


def test_errors_and_limits(t):
    o = Single(t, args=["--limits.max-query-series=3", "--limits.max-query-bytes-read=100KiB"])
    o.wait_ready()
    base = now_ns() // S * S - 60 * S
    span = {"start": base, "end": base + 60 * S}
    push_ok(o.addr, [({"app": f"a{i}"}, [(base + i * S, "x" * 50000)]) for i in range(4)])
    for query, text in (("{app=", "parse error"), ("", "parse error"), ('{app=~".*"}', "empty"),
                        ('{app="a"} | json |', "parse error"), ('{app="a"} |~ "("', "")):
        refused(o.addr, "query_range", {"query": query, **span}, 400, text)
    good = {"query": '{app="a0"}'}
    refused(o.addr, "query", good, 400, "log queries are not supported as an instant query type")
    refused(o.addr, "query_range", {**good, "limit": 5001}, 400, "max-entries-limit-per-query")
    refused(o.addr, "query_range", {**good, "limit": 0}, 400, "limit must be a positive value")
    refused(o.addr, "query_range", {**good, "limit": "many"}, 400, '"limit"')
    refused(o.addr, "query_range", {**good, "direction": "up"}, 400, "invalid direction")
    refused(o.addr, "query_range", {**good, "start": "x"}, 400, '"start"')
    refused(o.addr, "query_range", {**good, "start": base, "end": base - 1}, 400, "end timestamp must not be before")
    refused(o.addr, "query_range", {**good, "step": -1}, 400, "zero or negative")
    refused(o.addr, "query_range", {**good, **span, "step": "1ms"}, 400, "maximum resolution")
    refused(o.addr, "query_range", {**good, "start": base - 800 * 3600 * S, "end": base, "step": 3600}, 400,
            "max-query-length")
    refused(o.addr, "query", {"query": 'count_over_time({app=~"a.+"}[5m])', "time": base + 10 * S}, 400, "bytes")
    refused(o.addr, "query", {"query": 'label_replace(vector(1), "a", "b", "c", "(")'}, 400, "")
    refused(o.addr, "labels", {"query": "{"}, 400, "parse error")
    refused(o.addr, "index/volume", {}, 400, "query is missing")
    push_ok(o.addr, [({"job": f"b{i}"}, [(base + i * S, "short")]) for i in range(4)])
    refused(o.addr, "query", {"query": 'count_over_time({job=~"b.+"}[5m])', "time": base + 10 * S}, 400,
            "maximum number of series (3)")
    d = data(o.addr, "query", {"query": 'sum(count_over_time({job=~"b.+"}[5m]))', "time": base + 10 * S})
    check(d["result"][0]["value"][1] == "4", f"{d}")
    check(len(lines(o.addr, '{job=~"b.+"}', **span)) == 4, "lines are no series")


def test_replicas_answer_as_one(t):
    c = Cluster(t)
    ingesters, querier = c.addrs("ingester"), c.addrs("querier")[0]
    base = now_ns() // S * S - 120 * S
    span = {"start": base, "end": base + 120 * S, "limit": 5000}
    want = []
    for i in range(60):
        push_ok(ingesters[i % len(ingesters)], [({"app": f"s{i % 7}"}, [(base + i * S, f"line {i}"), (base + i * S, f"more {i}")])])
        want += [f"line {i}", f"more {i}"]

    def whole(text):
        check(sorted(lines(querier, '{app=~"s.+"}', **span)) == sorted(want), text)
        for direction in ("forward", "backward"):
            for labels, values in streams(querier, '{app=~"s.+"}', **span, direction=direction):
                times = [v[0] for v in values]
                check(times == sorted(times, reverse=direction == "backward"), f"{labels} {direction}")
        d = data(querier, "query", {"query": 'sum(count_over_time({app=~"s.+"}[3m]))', "time": base + 120 * S})
        check(d["result"][0]["value"][1] == str(len(want)), f"{text}: {d}")
        check(data(querier, "label/app/values", {"start": base, "end": base + 120 * S}) == [f"s{i}" for i in range(7)], text)

    wait_for("the querier to know the ingesters",
             lambda: ask(querier, "query_range", {"query": '{app="s0"}', **span}).status == 200)
    whole("three replicas")
    names = c.names("ingester")
    c.run("kill", names[0])
    whole("two of three")
    push_ok(ingesters[1], [({"app": "s1"}, [(base + 100 * S, "while one was dead")])])
    want.append("while one was dead")
    whole("written while one was dead")
    c.run("kill", names[1])
    r = ask(querier, "query_range", {"query": '{app="s0"}', **span})
    check(r.status == 503 and (names[0] in r.text or names[1] in r.text), f"{r.status} {r.text}")
    c.run("restart", names[0])
    c.run("restart", names[1])
    wait_for("answers again", lambda: ask(querier, "query_range", {"query": '{app="s0"}', **span}).status == 200)
    whole("after restarts")


if __name__ == "__main__":
    main()
