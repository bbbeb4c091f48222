#!/usr/bin/env python3
"""What stock Grafana's data sources ask, with the headers that they send, answered in the shapes that they read; and the provisioning of
deploy/grafana: its links lead to what they should.

There is no Grafana here. The requests are those that its Prometheus, Loki, Tempo and Alertmanager data sources (versions 10 to 12) make: paths,
methods, parameters and how they are written are theirs; readers below refuse what theirs would.
"""
import base64
import gzip
import json
import os
import re
import socket
import struct
import subprocess
import time
import urllib.parse

import pyenv
from orrery_test import ROOT, TENANT, check, http_call, main, wait_for
from shop_signals import Shop, start

PROVISIONING = os.path.join(ROOT, "deploy/grafana/provisioning/datasources/orrery.yaml")
SENT = {"User-Agent": "Grafana/12.1.0", "Accept-Encoding": "gzip", "X-Grafana-Org-Id": "1", "X-Datasource-Uid": "u", "X-Query-Group-Id": "q1",
        "X-Panel-Id": "1", "X-Dashboard-Uid": "d", "X-Panel-Plugin-Id": "timeseries", "X-Grafana-Referer": "http://grafana/explore",
        "X-Scope-OrgID": TENANT}


def ask(addr, path, params=(), form=None, status=200, **headers):
    """JSON, or bytes where the answer is none. Names of headers: _ for -."""
    query = urllib.parse.urlencode(params, doseq=True)
    sent = {**SENT, **{k.replace("_", "-"): v for k, v in headers.items()}}
    body = None
    if form is not None:
        body = urllib.parse.urlencode(form, doseq=True)
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    r = http_call(addr, "POST" if form is not None else "GET", path + ("?" + query if query else ""), body, sent)
    content = r.body
    if r.headers.get("content-encoding") == "gzip":
        content = gzip.decompress(content)
    check(r.status == status, f"{path} {params or form}: {r.status} {content[:500]}")
    return json.loads(content) if r.headers.get("content-type", "").startswith("application/json") else content


# ---- readers: what Grafana makes of an answer, or a failure ----

def is_number(x):
    return isinstance(x, (int, float)) and not isinstance(x, bool)


def samples(list_):
    for t, v in list_:
        check(is_number(t) and isinstance(v, str), f"a sample {t!r} {v!r}")
        float(v)
    return list_


def frames(answer, want_type=None):
    """Of Prometheus' and Loki's queries: [(labels, samples)], of a scalar one without labels; of lines [(labels, lines)]."""
    check(answer["status"] == "success", f"{answer}")
    data = answer["data"]
    kind = data["resultType"]
    check(want_type in (None, kind), f"{kind}, not {want_type}")
    if kind == "scalar":
        return [({}, samples([data["result"]]))]
    if kind == "streams":
        return [(s["stream"], lines(s["values"], data.get("encodingFlags", []))) for s in data["result"]]
    check(kind in ("vector", "matrix"), kind)
    return [(s["metric"], samples([s["value"]] if kind == "vector" else s["values"])) for s in data["result"]]


def lines(values, flags):
    for v in values:
        check(re.fullmatch(r"\d+", v[0]) and isinstance(v[1], str) and len(v) == (3 if "categorize-labels" in flags else 2), f"{v}")
        if len(v) == 3:
            check(set(v[2]) <= {"structuredMetadata", "parsed"} and all(isinstance(x, str) for d in v[2].values() for x in d.values()), f"{v}")
    return values


def names(answer):
    check(answer["status"] == "success" and all(isinstance(x, str) for x in answer["data"]), f"{answer}")
    return answer["data"]


def fields(message):
    """{number: [values]} of a message in protobuf."""
    out, at = {}, 0

    def varint():
        nonlocal at
        n = shift = 0
        while True:
            b = message[at]
            at += 1
            n |= (b & 127) << shift
            shift += 7
            if b < 128:
                return n
    while at < len(message):
        key = varint()
        if key & 7 == 0:
            value = varint()
        elif key & 7 == 2:
            n = varint()
            value, at = message[at:at + n], at + n
        else:
            n = {1: 8, 5: 4}[key & 7]
            value, at = message[at:at + n], at + n
        out.setdefault(key >> 3, []).append(value)
    check(at == len(message), "cut off")
    return out


def span_ids(trace):
    """Of opentelemetry's TracesData."""
    return {s.hex() for r in fields(trace).get(1, []) for g in fields(r).get(2, []) for one in fields(g).get(2, []) for s in fields(one)[2]}


# ---- Prometheus ----

def seconds(s):
    return {"start": f"{s.at / 1e9 - 600:.3f}", "end": f"{time.time() + 60:.3f}"}


def prometheus_is_healthy(addr, base):
    (labels, values), = frames(ask(addr, base + "/api/v1/query", form={"query": "1+1", "time": "4"}), "scalar")
    check(not labels and float(values[0][1]) == 2, f"{values}")
    info = ask(addr, base + "/api/v1/status/buildinfo")["data"]
    check(info["version"] and info["features"]["ruler_config_api"] == "true", f"{info}")


def prometheus_browses(addr, base, s):
    times = seconds(s)
    found = names(ask(addr, base + "/api/v1/labels", form={**times, "limit": 40000}))
    check({"__name__", "service", "span_name"} <= set(found), f"{found}")
    found = names(ask(addr, base + "/api/v1/labels", form={**times, "match[]": "{__name__=~\"traces_service_graph_request_total|x\"}"}))
    check({"client", "server"} <= set(found), f"{found}")  # whether there is a service graph
    found = names(ask(addr, base + "/api/v1/label/__name__/values", {**times, "limit": 40000, "match[]": ['{service="shop"}']}))
    check("traces_spanmetrics_calls_total" in found, f"{found}")
    check(names(ask(addr, base + "/api/v1/label/service/values", times)) == ["front", "shop"], "values")
    check(names(ask(addr, base + "/api/v1/label/U__http_2e_method/values", times)) == [], "an escaped name")
    series = ask(addr, base + "/api/v1/series", form={**times, "match[]": ['traces_spanmetrics_calls_total{service="shop"}'], "limit": 40000})["data"]
    check([x["span_name"] for x in series] == ["SELECT"], f"{series}")
    meta = ask(addr, base + "/api/v1/metadata", {"limit": 40000})["data"]
    check(meta["traces_spanmetrics_calls_total"][0]["type"] == "counter", f"{meta}")
    check(ask(addr, base + "/api/v1/rules")["data"] == {"groups": []} and ask(addr, base + "/api/v1/alerts")["data"] == {"alerts": []}, "rules")


def prometheus_queries(addr, base, s):
    times = seconds(s)
    found = frames(ask(addr, base + "/api/v1/query_range", form={"query": "traces_spanmetrics_calls_total", "step": "15", **times}), "matrix")
    check({x["service"] for x, _ in found} == {"front", "shop"}, f"{found}")
    check(frames(ask(addr, base + "/api/v1/query", {"query": "traces_spanmetrics_calls_total", "time": times["end"]}), "vector"), "by GET")
    # annotations, and how the service graph is drawn
    check(frames(ask(addr, base + "/api/v1/query_range", form={"query": 'ALERTS{alertstate="firing"}', "step": "60", **times}), "matrix") == [], "alerts")
    for metric in ("traces_service_graph_request_total", "traces_service_graph_request_server_seconds_sum"):
        expr = f"sum by (client, server) (rate({metric}[600s]))"
        wait_for(metric, lambda: {(x["client"], x["server"]) for x, _ in frames(ask(addr, base + "/api/v1/query", form={"query": expr, "time": times["end"]}))}
                 == {("front", "shop"), ("user", "front")}, 30, 0.5)
    expr = 'topk(5, sum(rate(traces_spanmetrics_calls_total{span_kind="SPAN_KIND_SERVER"}[600s])) by (span_name))'
    check(len(frames(ask(addr, base + "/api/v1/query", form={"query": expr, "time": times["end"]}))) == 2, expr)
    answer = ask(addr, base + "/api/v1/query_exemplars", form={"query": 'traces_spanmetrics_latency_bucket{service="shop"}', **times})
    for x in answer["data"]:
        check(set(x) == {"seriesLabels", "exemplars"}, f"{x}")
        check(all(is_number(e["timestamp"]) and float(e["value"]) and e["labels"]["trace_id"] == s.trace for e in x["exemplars"]), f"{x}")
    check(answer["status"] == "success" and answer["data"], f"{answer}")
    check(ask(addr, base + "/api/v1/query_exemplars", form={"query": "sum(rate(nothing[5m]))", **times}) == {"status": "success", "data": []}, "none")
    failed = ask(addr, base + "/api/v1/query_range", form={"query": "sum(", "step": "15", **times}, status=400)
    check(failed["status"] == "error" and failed["errorType"] == "bad_data" and failed["error"], f"{failed}")


def rules_can_be_edited(addr, base):
    """By its alerting pages: Mimir's layout for a Prometheus data source, Loki's for a Loki one."""
    for path, params in ((base + "/config/v1/rules", {"subtype": "mimir"}), ("/api/prom/rules", {})):
        check(b"group does not exist" in ask(addr, path + "/test/test", params, status=404), "what Grafana takes for no rules yet")
        check(b"no rule groups found" in ask(addr, path, params, status=404), "no rules")


# ---- Loki ----

def ns(s):
    return {"start": s.at - 600 * 10 ** 9, "end": int((time.time() + 60) * 1e9)}


def loki_is_healthy(addr):
    (_, values), = frames(ask(addr, "/loki/api/v1/query", {"query": "vector(1)+vector(1)", "time": 4 * 10 ** 9, "direction": "backward"}), "vector")
    check(float(values[0][1]) == 2, f"{values}")
    check(ask(addr, "/loki/api/v1/labels", {"start": int(time.time() - 600) * 10 ** 9, "end": int(time.time()) * 10 ** 9})["status"] == "success", "older versions' check")


def loki_browses(addr, s):
    times, api = ns(s), "/loki/api/v1/"
    check("service_name" in names(ask(addr, api + "labels", times)), "labels")
    check(names(ask(addr, api + "labels", {**times, "query": '{service_name="shop"}'})) == ["service_name"], "labels of streams")
    check(names(ask(addr, api + "label/service_name/values", {**times, "query": '{service_name=~"s.*"}'})) == ["shop"], "values")
    check(ask(addr, api + "series", {**times, "match[]": '{service_name="shop"}'})["data"] == [{"service_name": "shop"}], "series")
    found = ask(addr, api + "detected_labels", times)["detectedLabels"]
    check({"label": "service_name", "cardinality": 2} in found, f"{found}")
    found = ask(addr, api + "detected_fields", {**times, "query": '{service_name="front"}', "limit": 1000})["fields"]
    check({"label", "type", "cardinality", "parsers"} <= set(found[0]) and "msg" in [x["label"] for x in found], f"{found}")
    found = ask(addr, api + "detected_field/msg/values", {**times, "query": '{service_name="front"}', "limit": 1000})["values"]
    check(sorted(found) == ["cart asked for", "other"], f"{found}")
    stats = ask(addr, api + "index/stats", {**times, "query": '{service_name="front"}'})
    check(set(stats) == {"streams", "chunks", "bytes", "entries"} and stats["entries"] == 2, f"{stats}")
    volumes = frames(ask(addr, api + "index/volume", {**times, "query": '{service_name=~".+"}', "limit": 5000, "targetLabels": "service_name"}))
    check({x["service_name"] for x, _ in volumes} == {"front", "shop"}, f"{volumes}")
    check(frames(ask(addr, api + "index/volume_range", {**times, "query": '{service_name=~".+"}', "step": "60s"}), "matrix"), "volumes by time")
    found = ask(addr, api + "patterns", {**times, "query": '{service_name="front"}', "step": "60s"})
    check(found["status"] == "success" and all(set(x) >= {"pattern", "samples"} for x in found["data"]), f"{found}")
    limits = ask(addr, api + "drilldown-limits")
    check(limits["version"] and limits["limits"]["volume_enabled"] and limits["pattern_ingester_enabled"], f"{limits}")
    check(ask(addr, api + "status/buildinfo")["version"], "version")


def loki_queries(addr, s):
    times, api = ns(s), "/loki/api/v1/"
    flags = {"X_Loki_Response_Encoding_Flags": "categorize-labels"}
    range_ = {**times, "direction": "backward", "limit": 1000, "step": "2000ms"}
    answer = ask(addr, api + "query_range", {**range_, "query": '{service_name="shop"}'}, **flags)
    check(answer["data"]["encodingFlags"] == ["categorize-labels"] and answer["data"]["stats"]["summary"], f"{answer['data'].keys()}")
    found = [v for _, values in frames(answer, "streams") for v in values]
    check(len(found) == 2 and all(v[2]["structuredMetadata"]["trace_id"] == s.trace for v in found), f"{found}")
    plain = frames(ask(addr, api + "query_range", {**range_, "query": '{service_name="front"} |= `cart`'}), "streams")
    check([len(v) for _, v in plain] == [1], f"{plain}")
    # the histogram above lines, samples, context, statistics of a query
    volume = "sum by (level, detected_level) (count_over_time({service_name=~\".+\"} | drop __error__[2s]))"
    found = frames(ask(addr, api + "query_range", {**range_, "query": volume}, X_Query_Tags="Source=logvolhist"), "matrix")
    check({x.get("detected_level") for x, _ in found} >= {"info", "error"}, f"{found}")
    check(frames(ask(addr, api + "query_range", {**range_, "query": '{service_name="shop"}', "limit": 50}, X_Query_Tags="Source=logsample"), "streams"), "")
    context = {"query": '{service_name="front"}', "start": s.at + 5 * 10 ** 6, "end": s.at + 3600 * 10 ** 9, "limit": 50, "step": "1000ms"}
    found = frames(ask(addr, api + "query_range", {**context, "direction": "forward"}, **flags), "streams")
    check(sum(len(v) for _, v in found) == 2, f"{found}")
    metric = frames(ask(addr, api + "query", {"query": "sum(count_over_time({service_name=\"shop\"}[10m]))", "time": times["end"], "direction": "backward"}))
    check(float(metric[0][1][0][1]) == 2, f"{metric}")
    failed = ask(addr, api + "query_range", {**range_, "query": "{"}, status=400)
    check(b"parse error" in failed, f"{failed}")


def loki_tails(addr, s):
    """Explore's live view, by a websocket."""
    host, port = addr.split(":")
    key = base64.b64encode(os.urandom(16)).decode()
    query = urllib.parse.urlencode({"query": '{service_name="front"}', "start": s.at - 10 ** 9})
    with socket.create_connection((host, int(port)), timeout=30) as c:
        c.sendall(f"GET /loki/api/v1/tail?{query} HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nX-Loki-Response-Encoding-Flags: categorize-labels\r\n"
                  f"X-Scope-OrgID: {TENANT}\r\n\r\n".encode())
        f = c.makefile("rb")
        check(b" 101 " in f.readline(), "no websocket")
        while f.readline() != b"\r\n":
            pass
        head = f.read(2)
        n = head[1] & 127
        n = struct.unpack(">H", f.read(2))[0] if n == 126 else n
        message = json.loads(f.read(n))
    check(head[0] == 0x81 and len(lines(message["streams"][0]["values"], message.get("encodingFlags", []))) >= 1, f"{message}")


# ---- Tempo ----

def tempo_answers(addr, base, s):
    check(ask(addr, base + "/api/echo") == b"echo", "health")
    times = {"start": s.at // 10 ** 9 - 600, "end": int(time.time()) + 60}
    for path, params in ((f"/api/traces/{s.trace}", times), (f"/api/v2/traces/{s.trace}", times), (f"/api/v2/traces/{s.trace}", {})):
        body = ask(addr, base + path, params, Accept="application/protobuf")
        trace = fields(body)[1][0] if "v2" in path else body
        check({s.root, s.child} <= span_ids(trace), path)
    ask(addr, base + "/api/v2/traces/" + "1" * 32, times, status=404, Accept="application/protobuf")
    scopes = ask(addr, base + "/api/v2/search/tags", {"limit": 5000, **times})["scopes"]
    tags = {x["name"]: x["tags"] for x in scopes}
    check("http.method" in tags["span"] and "service.name" in tags["resource"] and "span:name" in tags["intrinsic"], f"{tags}")
    for tag, params in (("resource.service.name", {"limit": 5000}), ("resource.service.name", {"limit": 5000, "q": "{}", **times})):
        for once in (tag, urllib.parse.quote(tag, "")):
            found = ask(addr, f"{base}/api/v2/search/tag/{once}/values", params)["tagValues"]
            check({"type": "string", "value": "front"} in found, f"{found}")
    found = ask(addr, base + "/api/v2/search/tag/status/values", {"limit": 5000})["tagValues"]
    check({"type": "keyword", "value": "error"} in found, f"{found}")
    check("front" in ask(addr, base + "/api/search/tag/service.name/values")["tagValues"], "older versions'")
    search = ask(addr, base + "/api/search", {"q": '{resource.service.name="shop" && status=error}', "limit": 20, "spss": 3, **times})
    (hit,) = search["traces"]
    check(hit["traceID"].rjust(32, "0") == s.trace and hit["rootServiceName"] == "front" and isinstance(hit["startTimeUnixNano"], str), f"{hit}")
    (set_,) = hit["spanSets"]
    check(set_["matched"] == 1 and isinstance(set_["spans"][0]["durationNanos"], str) and isinstance(hit["durationMs"], int), f"{hit}")
    # it does not escape what is in q
    check(len(ask(addr, base + '/api/search?q={resource.service.name="shop"}&limit=20&spss=3')["traces"]) == 1, "braces and quotes as they are")
    metric = {"q": "{ } | rate() by (resource.service.name)", **times, "step": "60s", "exemplars": 100}
    series = ask(addr, base + "/api/metrics/query_range", metric)["series"]
    for x in series:
        check(set(x["labels"][0]) == {"key", "value"} and x["labels"][0]["value"]["stringValue"] in ("front", "shop"), f"{x['labels']}")
        check(all(re.fullmatch(r"\d+", p["timestampMs"]) for p in x["samples"]), f"{x['samples'][:2]}")
    check(len(series) == 2, f"{series}")
    series = ask(addr, base + "/api/metrics/query", {"q": "{ } | count_over_time()", **times})["series"]
    check(series[0]["value"] == 3, f"{series}")
    check(ask(addr, base + "/api/status/buildinfo")["version"], "version")
    failed = ask(addr, base + "/api/search", {"q": "{ nonsense }", **times}, status=400)
    check(failed, "an error as text")


def tempo_does_not_stream(addr):
    """Streams are off in the provisioning; where somebody turns them on, gRPC says what is the matter instead of a broken connection."""
    for _ in range(10):
        r = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "-D", "-", "-o", "/dev/null", "-H", "Content-Type: application/grpc", "-H",
                            "TE: trailers", "-H", f"X-Scope-OrgID: {TENANT}", "--data-binary", "@-", f"http://{addr}/tempopb.StreamingQuerier/Search"],
                           input=b"\0\0\0\0\0", capture_output=True, timeout=30)
        if r.returncode != 92:  # the answer came before curl had sent the body, which it does not like
            break
    check(b"grpc-status: 12" in r.stdout.lower() or b"grpc-status: 0" in r.stdout.lower(), f"{r.stdout} {r.stderr}")


# ---- Alertmanager ----

def alertmanager_answers(addr, base):
    ask(addr, base + "/api/v1/status/buildinfo", status=404)
    ask(addr, base + "/alertmanager/api/v2/status", status=404)  # or its health check takes it for another kind
    status = ask(addr, base + "/api/v2/status")
    check(status["cluster"]["status"] and status["config"]["original"] is not None and status["versionInfo"]["version"], f"{status}")
    check(ask(addr, base + "/api/v2/alerts", {"silenced": "false", "inhibited": "false", "active": "true"}) == [], "alerts")
    check(ask(addr, base + "/api/v2/alerts/groups") == [], "groups")
    check([x["name"] for x in ask(addr, base + "/api/v2/receivers")], "receivers")


def test_what_data_sources_ask(t):
    o = start(t)
    s = Shop().send(o.addr)
    s.wait_for_exemplars(o.addr)
    for base in ("", "/prometheus"):
        prometheus_is_healthy(o.addr, base)
        prometheus_browses(o.addr, base, s)
        prometheus_queries(o.addr, base, s)
        rules_can_be_edited(o.addr, base)
    loki_is_healthy(o.addr)
    loki_browses(o.addr, s)
    loki_queries(o.addr, s)
    loki_tails(o.addr, s)
    for base in ("", "/tempo"):
        tempo_answers(o.addr, base, s)
    tempo_does_not_stream(o.addr)
    alertmanager_answers(o.addr, "/alertmanager")


# ---- the provisioning ----

def provisioned(addr):
    """{uid: data source}, with variables of the environment put in as Grafana does."""
    script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"
    r = subprocess.run([pyenv.python("PyYAML==6.0.2"), "-c", script, PROVISIONING], capture_output=True, text=True)
    check(r.returncode == 0, r.stderr)
    env = {"ORRERY_URL": f"http://{addr}", "ORRERY_TENANT": TENANT}

    def expand(x):
        if isinstance(x, dict):
            return {k: expand(v) for k, v in x.items()}
        if isinstance(x, list):
            return [expand(v) for v in x]
        if not isinstance(x, str):
            return x
        return re.sub(r"\$\$|\$\{(\w+)\}|\$(\w+)", lambda m: "$" if m[0] == "$$" else env[m[1] or m[2]], x)
    return {x["uid"]: x for x in expand(json.loads(r.stdout))["datasources"]}


def of_source(d, path, params, **kw):
    """As its proxy asks: below the data source's URL, with its header."""
    url = urllib.parse.urlparse(d["url"])
    name = d["jsonData"]["httpHeaderName1"].replace("-", "_")
    return ask(url.netloc, url.path + path, params, **{name: d["secureJsonData"]["httpHeaderValue1"]}, **kw)


def shift(ns_, text):
    n = int(re.fullmatch(r"(-?\d+)m", text)[1])
    return ns_ + n * 60 * 10 ** 9


def tags_of(config, span):
    return ",".join(f'{x.get("value") or x["key"]}="{span[x["key"]]}"' for x in config["tags"])


def test_provisioning_leads_where_it_should(t):
    o = start(t)
    s = Shop().send(o.addr)
    s.wait_for_exemplars(o.addr)
    d = provisioned(o.addr)
    check({x["type"] for x in d.values()} == {"prometheus", "loki", "tempo", "alertmanager"}, f"{d.keys()}")
    text = json.dumps(d)
    check(set(re.findall(r'"(?:datasourceUid|alertmanagerUid)": "([^"]*)"', text)) <= set(d), "a link to a data source that is not there")
    metrics, logs, traces, am = (d["orrery-" + x] for x in ("metrics", "logs", "traces", "alertmanager"))
    prometheus_is_healthy(o.addr, urllib.parse.urlparse(metrics["url"]).path)
    alertmanager_answers(o.addr, urllib.parse.urlparse(am["url"]).path)

    def trace(id):
        body = of_source(traces, f"/api/v2/traces/{id}", {}, Accept="application/protobuf")
        return span_ids(fields(body)[1][0])
    # metric → trace
    found = of_source(metrics, "/api/v1/query_exemplars", {"query": 'traces_spanmetrics_latency_bucket{service="shop"}', **seconds(s)})["data"]
    wanted = {x["name"] for x in metrics["jsonData"]["exemplarTraceIdDestinations"]}
    ids = {v for x in found for e in x["exemplars"] for k, v in e["labels"].items() if k in wanted}
    check(ids == {s.trace} and s.child in trace(ids.pop()), f"{found}")

    # logs → trace: by structured metadata, and by the text in the ways that people write it
    by_label, by_text = logs["jsonData"]["derivedFields"]
    found = of_source(logs, "/loki/api/v1/query_range", {"query": '{service_name="shop"}', **ns(s)})["data"]["result"]
    ids = {v for x in found for k, v in x["stream"].items() if re.fullmatch(by_label["matcherRegex"], k)}
    check(by_label["matcherType"] == "label" and ids == {s.trace}, f"{found}")
    found = of_source(logs, "/loki/api/v1/query_range", {"query": '{service_name="front"} |= "cart"', **ns(s)})["data"]["result"]
    line = found[0]["values"][0][1]
    for text in (line, '{"traceId":"%s"}' % s.trace, 'x trace.id: %s y' % s.trace, '"{\\"trace_id\\": \\"%s\\"}"' % s.trace, "TraceID=" + s.trace):
        m = re.search(by_text["matcherRegex"], text)
        check(m and m[1] == s.trace, f"{text}")
    check(not re.search(by_text["matcherRegex"], "trace=" + s.trace + " id=1"), "no id")
    check(s.root in trace(s.trace), "trace")

    # trace → logs, as Grafana writes the query
    config = traces["jsonData"]["tracesToLogsV2"]
    check(config["filterByTraceID"] and not config["filterBySpanID"], f"{config}")
    for service, want in (("shop", 2), ("front", 1)):
        for word in ("or", "OR"):
            expr = ("{%s} | label_format log_line_contains_trace_id=`{{ contains \"%s\" __line__  }}` | log_line_contains_trace_id=\"true\" %s trace_id=\"%s\""
                    % (tags_of(config, {"service.name": service}), s.trace, word, s.trace))
            found = of_source(d[config["datasourceUid"]], "/loki/api/v1/query_range",
                              {"query": expr, "start": shift(s.at, config["spanStartTimeShift"]), "end": shift(s.at, config["spanEndTimeShift"]),
                               "direction": "backward", "limit": 1000, "step": "1000ms"})
            check(sum(len(v) for _, v in frames(found, "streams")) == want, f"{expr}: {found}")

    # trace → metrics
    config = traces["jsonData"]["tracesToMetrics"]
    for q in config["queries"]:
        expr = q["query"].replace("$__tags", tags_of(config, {"service.name": "shop"})).replace("$__rate_interval", "1m")
        found = frames(of_source(d[config["datasourceUid"]], "/api/v1/query_range",
                                 {"query": expr, "start": shift(s.at, config["spanStartTimeShift"]) / 1e9,
                                  "end": shift(s.at, config["spanEndTimeShift"]) / 1e9, "step": "15"}), "matrix")
        check(found, f"{q['name']}: {expr} finds nothing")
    # the service graph
    graph = d[traces["jsonData"]["serviceMap"]["datasourceUid"]]
    wait_for("the edge", lambda: frames(of_source(graph, "/api/v1/query", {"query": "traces_service_graph_request_total"})), 30, 0.5)


if __name__ == "__main__":
    main()
