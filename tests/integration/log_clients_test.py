#!/usr/bin/env python3
"""Log lines by the clients that people use: OpenTelemetry's SDK over HTTP and gRPC, Loki's and GELF's handlers for
logging, Elasticsearch's client, rsyslog's output for Elasticsearch, curl."""
import json
import os
import shutil
import subprocess
import time
import urllib.parse

import debs
import pyenv
from log_sockets_test import RSYSLOG, Sockets, rsyslogd, wait_lines, write_lines
from logs_test import counter, held, lines_of
from orrery_test import TENANT, Single, Skip, check, http_call, main, wait_for

OTEL = ("opentelemetry-sdk==1.31.1", "opentelemetry-exporter-otlp-proto-http==1.31.1",
        "opentelemetry-exporter-otlp-proto-grpc==1.31.1")

# argv: http|grpc, the endpoint, compression, lines. Prints the SDK's verdict on each export, and the span's ids.
OTEL_SENDER = """
import json, logging, sys
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

kind, endpoint, compression, lines = *sys.argv[1:4], int(sys.argv[4])
headers = {"x-scope-orgid": "TENANT_ID"}
if kind == "http":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    how = dict(endpoint=endpoint, headers=headers, compression=Compression(compression))
else:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    how = dict(endpoint=endpoint, headers=headers, insecure=True,
               compression=grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression)

results = []

class Exporter(OTLPLogExporter):
    def export(self, *args, **kwargs):
        result = super().export(*args, **kwargs)
        results.append(result.name)
        return result

provider = LoggerProvider(resource=Resource.create(
    {"service.name": "shop", "service.namespace": "prod", "host.name": "box"}))
provider.add_log_record_processor(BatchLogRecordProcessor(Exporter(**how)))
log = logging.getLogger("orders")
log.setLevel(logging.DEBUG)
log.addHandler(LoggingHandler(logger_provider=provider))
with TracerProvider().get_tracer("t").start_as_current_span("order") as span:
    context = span.get_span_context()
    log.error("card declined", extra={"order": 7})
for i in range(lines):
    log.info("line %d of the batch", i)
provider.force_flush()
provider.shutdown()
print(json.dumps([results, format(context.trace_id, "032x"), format(context.span_id, "016x")]))
"""


def run_python(packages, script, *args, **kw):
    r = subprocess.run([pyenv.python(*packages), "-c", script.replace("TENANT_ID", TENANT), *map(str, args)],
                       capture_output=True, text=True, timeout=180, **kw)
    check(r.returncode == 0, f"{r.stdout[-2000:]} {r.stderr[-4000:]}")
    return r.stdout


def otel(kind, endpoint, compression, lines):
    results, *ids = json.loads(run_python(OTEL, OTEL_SENDER, kind, endpoint, compression, lines).splitlines()[-1])
    check(results and set(results) == {"SUCCESS"}, f"the SDK says {results}")
    return ids


def check_otel(o, ids, lines):
    got = held(o.addr, '{service_name="shop"}')
    check(list(got) == ['{"service_namespace": "prod"}'], f"streams {list(got)}")
    values = list(got.values())[0]
    by_line = {v[1]: v[2] for v in values}
    check(len(values) == lines + 1, f"{len(values)} lines of {lines + 1}")
    check(set(by_line) == {"card declined", *(f"line {i} of the batch" for i in range(lines))}, f"{list(by_line)[:9]}")
    declined = by_line["card declined"]
    want = {"trace_id": ids[0], "span_id": ids[1], "severity_text": "ERROR", "severity_number": "17",
            "detected_level": "error", "order": "7", "host_name": "box", "scope_name": "orders"}
    check({k: declined.get(k) for k in want} == want, f"{declined}")
    check(by_line["line 0 of the batch"]["detected_level"] == "info", f"{by_line['line 0 of the batch']}")


def test_opentelemetry_over_http(t):
    o = Single(t).wait_ready()
    check_otel(o, otel("http", f"http://{o.otlp_http}/v1/logs", "gzip", 1500), 1500)


def test_opentelemetry_over_grpc(t):
    o = Single(t).wait_ready()
    check_otel(o, otel("grpc", o.otlp_grpc, "gzip", 1500), 1500)
    check(counter(o.addr, "orrery_log_door_lines_total") == 1501, "lines counted")


def test_opentelemetry_over_grpc_on_the_http_port(t):
    o = Single(t).wait_ready()
    check_otel(o, otel("grpc", o.addr, "none", 20), 20)


# argv: the address. Both handlers say what went wrong on standard error only.
LOKI_SENDER = """
import logging, sys, time
import logging_loki
from loki_logger_handler.loki_logger_handler import LokiLoggerHandler
url = f"http://{sys.argv[1]}/loki/api/v1/push"
log = logging.getLogger("old")
log.setLevel(logging.DEBUG)
handler = logging_loki.LokiHandler(url=url, tags={"app": "old"}, version="1", auth=None)
handler.emitter.session.headers["X-Scope-OrgID"] = "TENANT_ID"
log.addHandler(handler)
for i in range(20):
    log.warning("line %d", i, extra={"tags": {"kind": "test"}})
log = logging.getLogger("new")
log.setLevel(logging.DEBUG)
handler = LokiLoggerHandler(url=url, labels={"app": "new"}, timeout=10, compressed=True, enable_structured_loki_metadata=True,
                            additional_headers={"X-Scope-OrgID": "TENANT_ID"})
log.addHandler(handler)
for i in range(200):
    log.error("line %d", i, extra={"order": i})
time.sleep(0.2)
"""


def test_loki_handlers(t):
    o = Single(t).wait_ready()
    run_python(("python-logging-loki==0.3.1", "loki-logger-handler==1.1.2"), LOKI_SENDER, o.addr)
    (labels, values), = held(o.addr, '{app="old"}').items()
    check(json.loads(labels)["severity"] == "warning" and json.loads(labels)["kind"] == "test", labels)
    check(sorted(v[1] for v in values) == sorted(f"line {i}" for i in range(20)), f"{values}")
    got = [v for vs in held(o.addr, '{app="new"}').values() for v in vs]
    check(len(got) == 200 and all("line" in v[1] for v in got), f"{len(got)}: {got[:3]}")


# argv: host, TCP and UDP port, HTTP port.
GELF_SENDER = """
import logging, sys
from pygelf import GelfHttpHandler, GelfTcpHandler, GelfUdpHandler
host, port, http = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
how = dict(debug=True, include_extra_fields=True, _app="shop")
for kind, handler in (("tcp", GelfTcpHandler(host=host, port=port, **how)),
                      ("udp", GelfUdpHandler(host=host, port=port, compress=True, chunk_size=300, **how)),
                      ("http", GelfHttpHandler(host=host, port=http, compress=True, timeout=10, **how))):
    log = logging.getLogger(kind)
    log.setLevel(logging.DEBUG)
    log.addHandler(handler)
    log.error("%s: a line with something: %s", kind, "".join(chr(97 + i * i % 26) for i in range(3000)), extra={"order": 7})
    handler.close()
"""


def test_gelf_handlers(t):
    o = Sockets(t, args=["--auth.mode=optional", "--auth.default-tenant=net"]).wait_ready()
    run_python(("pygelf==0.4.3",), GELF_SENDER, "127.0.0.1", o.gelf, o.port)
    text = "".join(chr(97 + i * i % 26) for i in range(3000))
    wait_lines(o, '{app="shop"}', [f"{kind}: a line with something: {text}" for kind in ("tcp", "udp", "http")])
    check(all(v[2]["order"] == "7" for vs in held(o.addr, '{app="shop"}', tenant="net").values() for v in vs), "extras")


# argv: the address. Prints what the client found.
ELASTIC_SENDER = """
import json, sys, urllib.request
from elasticsearch import Elasticsearch, helpers
es = Elasticsearch(f"http://{sys.argv[1]}/elasticsearch", headers={"X-Scope-OrgID": "TENANT_ID"}, http_compress=True)
info, health = es.info(), es.cluster.health()
def bulk(ids):
    return helpers.bulk(es, ({"_op_type": "create", "_index": "logs-app", "@timestamp": int(sys.argv[2]) + i, "message": f"line {i}",
                              "kind": f"k{i % 3}", "service": "shop", "user": {"id": i}} for i in ids), chunk_size=500)
ok, errors = bulk(range(600))
if sys.argv[3] == "True":
    urllib.request.urlopen(urllib.request.Request(f"http://{sys.argv[1]}/ingester/flush", method="POST")).read()
more, more_errors = bulk(range(600, 1200))
ok, errors = ok + more, errors + more_errors
r = es.bulk(operations=[{"index": {"_index": "logs-app"}}, {"message": "good", "service": "shop"},
                        {"delete": {"_index": "logs-app", "_id": "1"}},
                        {"create": {"_index": "logs-app"}}, {"message": "good too", "service": "shop"}])
statuses = [list(x.values())[0]["status"] for x in r["items"]]
print(json.dumps([info["version"]["number"], health["status"], ok, errors, r["errors"], statuses,
                  bool(es.indices.exists_index_template(name="logs")), es.license.get()["license"]["status"]]))
"""


def elastic(o, package, flushes=False):
    now = int(time.time() * 1000) - 5000
    out = run_python((package,), ELASTIC_SENDER, o.addr, now, flushes)
    version, health, ok, errors, has_errors, statuses, has_template, status = json.loads(out.splitlines()[-1])
    check(version.startswith("8.") and health == "green" and status == "active" and has_template, out)
    check(ok == 1200 and errors == [] and has_errors and statuses == [201, 400, 201], out)
    got = held(o.addr, '{index="logs-app"}')
    check([json.loads(k) for k in got] == [{"index": "logs-app", "service": "shop"}], f"{list(got)}")
    values = list(got.values())[0]
    check(len(values) == (602 if flushes else 1202), f"{len(values)} in the head")
    one, = [v for v in values if '"line 607"' in v[1]]
    check(one[0] == (now + 607) * 1000000 and json.loads(one[1])["user"] == {"id": 607}, f"{one}")
    return now


# argv: the address, the time of line 0 in ms. Prints what searches find.
ELASTIC_SEARCHER = """
import json, sys
from elasticsearch import ApiError, Elasticsearch
es = Elasticsearch(f"http://{sys.argv[1]}/elasticsearch", headers={"X-Scope-OrgID": "TENANT_ID"}, http_compress=True)
t0 = int(sys.argv[2])
found = {}

def search(name, **kw):
    r = es.search(index=kw.pop("index", "logs-app"), **kw)
    assert r["_shards"]["failed"] == 0 and not r["timed_out"], r
    found[name] = [r["hits"].get("total"), [h["_source"].get("message") for h in r["hits"]["hits"]]]
    return r

r = search("all", query={"match_all": {}}, size=2)
found["source"] = r["hits"]["hits"][1]["_source"]
search("needle", q="user.id:1107 AND service:shop")
search("words", query={"match_phrase": {"message": "Line 70"}})
search("bool", query={"bool": {"filter": [{"range": {"user.id": {"gte": 10, "lt": 14}}}, {"term": {"service": "shop"}}],
                               "must_not": [{"terms": {"user.id": [11, "12"]}}]}}, sort=[{"user.id": "desc"}], source=["message"])
search("time", query={"range": {"@timestamp": {"gte": t0 + 5, "lte": t0 + 6, "format": "epoch_millis"}}}, sort=["@timestamp"])
search("none", query={"query_string": {"query": "user.id:>5000 OR message:nowhere"}})
search("exists", query={"bool": {"must_not": {"exists": {"field": "user"}}}}, sort=[{"message": "asc"}])
search("pattern", index="logs-*,-logs-b*", query={"wildcard": {"message": "*117?"}}, track_total_hits=True, size=0)
pages, after = [], None
while True:
    r = es.search(index="logs-app", size=500, sort=[{"@timestamp": "desc"}, {"_doc": "desc"}], track_total_hits=False,
                  query={"exists": {"field": "user.id"}}, **({"search_after": after} if after else {}))
    hits = r["hits"]["hits"]
    if not hits:
        break
    after = hits[-1]["sort"]
    pages += [h["_source"]["user"]["id"] for h in hits]
found["pages"] = pages
r = es.search(index="logs-app", size=0, query={"range": {"@timestamp": {"gte": t0, "lt": t0 + 1200}}}, aggs={
    "per_second": {"date_histogram": {"field": "@timestamp", "fixed_interval": "400ms", "min_doc_count": 0},
                   "aggs": {"highest": {"max": {"field": "user.id"}}}},
    "kinds": {"terms": {"field": "kind", "size": 2, "order": {"sum": "desc"}}, "aggs": {"sum": {"sum": {"field": "user.id"}}}},
    "ids": {"cardinality": {"field": "kind"}}, "stats": {"stats": {"field": "user.id"}},
    "parts": {"filters": {"filters": {"low": {"range": {"user.id": {"lt": 100}}}, "high": {"query_string": {"query": "user.id:>=1100"}}}}}})
a = r["aggregations"]
found["aggs"] = [[[b["key"] - (b["key"] // 400 * 400), b["doc_count"], b["highest"]["value"]] for b in a["per_second"]["buckets"]],
                 [[b["key"], b["doc_count"], b["sum"]["value"]] for b in a["kinds"]["buckets"]], a["kinds"]["sum_other_doc_count"],
                 a["ids"]["value"], a["stats"], {k: b["doc_count"] for k, b in a["parts"]["buckets"].items()}]
found["count"] = es.count(index="logs-app", q="user.id:[100 TO 199]")["count"]
r = es.msearch(searches=[{"index": "logs-app"}, {"query": {"term": {"user.id": 3}}}, {"index": "nowhere"}, {"query": {"match_all": {}}},
                         {"index": "logs-app"}, {"query": {"nested": {"path": "x"}}}])
found["msearch"] = [[x["status"], x["hits"]["total"]["value"] if "hits" in x else x["error"]["reason"]] for x in r["responses"]]
found["errors"] = []
for body in ({"query": {"more_like": {}}}, {"query": {"ids": {"values": ["1"]}}}, {"aggs": {"x": {"top_hits": {}}}}, {"size": 20000},
             {"query": {"query_string": {"query": "a AND ("}}}, {"suggest": {"text": "x"}}):
    try:
        es.search(index="logs-app", **body)
        found["errors"].append("no error")
    except ApiError as e:
        found["errors"].append([e.status_code, e.body["error"]["type"], e.body["error"]["reason"]])
try:
    es.search(index="nowhere")
except ApiError as e:
    found["nowhere"] = [e.status_code, e.body["error"]["type"]]
p = es.indices.get_mapping(index="logs-app")["logs-app"]["mappings"]["properties"]
found["mapping"] = {"user.id": p["user"]["properties"]["id"]["type"], **{k: p[k]["type"] for k in ("@timestamp", "message", "service", "kind")}}
caps = es.field_caps(index="logs-app", fields="user.*,mess*")
found["caps"] = [caps["indices"], sorted(caps["fields"]), list(caps["fields"]["user.id"])]
found["indices"] = [[i["index"], int(i["docs.count"])] for i in es.cat.indices(format="json")]
found["resolve"] = [i["name"] for i in es.indices.resolve_index(name="logs-*")["indices"]]
print(json.dumps(found))
"""


def elastic_searches(o, package, now):
    f = json.loads(run_python((package,), ELASTIC_SEARCHER, o.addr, now).splitlines()[-1])
    n = 1202
    check(f["all"][0] == {"value": n, "relation": "eq"} and set(f["all"][1]) == {"good", "good too"}, f["all"])
    check(f["source"] in ({"message": "good", "service": "shop"}, {"message": "good too", "service": "shop"}), f["source"])
    check(f["needle"] == [{"value": 1, "relation": "eq"}, ["line 1107"]], f["needle"])
    check(f["words"][1] == ["line 70"], f["words"])
    check(f["bool"][1] == ["line 13", "line 10"], f["bool"])
    check(f["time"][1] == ["line 5", "line 6"], f["time"])
    check(f["none"] == [{"value": 0, "relation": "eq"}, []], f["none"])
    check(f["exists"][1] == ["good", "good too"], f["exists"])
    check(f["pattern"][0] == {"value": 10, "relation": "eq"}, f["pattern"])
    check(f["pages"] == list(range(1199, -1, -1)), f["pages"][:20])
    per, kinds, other, ids, stats, parts = f["aggs"]
    check(sum(b[1] for b in per) == 1200 and len(per) in (3, 4) and per[-1][2] == 1199.0, per)
    sums = {f"k{k}": [len(range(k, 1200, 3)), float(sum(range(k, 1200, 3)))] for k in range(3)}
    check(kinds == [["k2", *sums["k2"]], ["k1", *sums["k1"]]] and other == 400 and ids == 3, kinds)
    check(stats == {"count": 1200, "min": 0.0, "max": 1199.0, "avg": 599.5, "sum": 719400.0}, stats)
    check(parts == {"low": 100, "high": 100}, parts)
    check(f["count"] == 100, f["count"])
    check(f["msearch"] == [[200, 1], [404, "no such index [nowhere]"], [400, "query [nested] is not supported"]], f["msearch"])
    want = [[400, "parsing_exception", "unknown query [more_like]"], [400, "parsing_exception", "query [ids] is not supported"],
            [400, "parsing_exception", "Unknown aggregation type [top_hits]: not supported"], [400, "illegal_argument_exception"],
            [400, "parsing_exception", "query_string: at 8: a clause is expected"],
            [400, "parsing_exception", "[suggest] in the body of a search is not supported"]]
    check([e[:len(w)] for e, w in zip(f["errors"], want)] == want, f["errors"])
    check(f["nowhere"] == [404, "index_not_found_exception"], f["nowhere"])
    check(f["mapping"] == {"user.id": "long", "@timestamp": "date", "message": "text", "service": "keyword", "kind": "keyword"}, f["mapping"])
    check(f["caps"] == [["logs-app"], ["message", "user.id"], ["long"]], f["caps"])
    check(f["indices"][0][0] == "logs-app" and f["indices"][0][1] >= n and f["resolve"] == ["logs-app"], f["indices"])


def test_elasticsearch_8(t):
    o = Single(t).wait_ready()
    elastic_searches(o, "elasticsearch==8.17.2", elastic(o, "elasticsearch==8.17.2"))


def test_elasticsearch_9(t):
    """From a block, which holds half of the lines, and the head."""
    o = Single(t).wait_ready()
    now = elastic(o, "elasticsearch==9.0.2", flushes=True)
    elastic_searches(o, "elasticsearch==9.0.2", now)


def test_events(t):
    """Events are records of their own kind: in lists of their own, and not among the lines of a service."""
    o = Single(t).wait_ready()
    now = time.time_ns() // 1000000000 * 1000000000
    events = [{"kind": "deployment", "title": "shop 1.2.3", "time": now - 60 * 1000000000, "end": now, "service": "shop", "attributes": {"git.sha": "ab"}},
              {"kind": "flag", "title": "dark mode on"}]

    def call(method, path, body=None):
        return http_call(o.addr, method, path, body and json.dumps(body).encode(), {"Content-Type": "application/json", "X-Scope-OrgID": TENANT})
    for body in events:
        r = call("POST", "/api/v1/events", body)
        check(r.status == 204, f"{r.status} {r.text}")
    r = call("POST", "/api/v1/events", [events[0], {"kind": "flag"}])
    check(r.status == 400 and "event 2: kind and title must be there" in r.text, f"{r.status} {r.text}")
    otlp = {"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}, "scopeLogs": [{"logRecords": [
        {"timeUnixNano": str(now - 1), "eventName": "app.start", "body": {"stringValue": "started"}},
        {"timeUnixNano": str(now - 1), "body": {"stringValue": "a line"}}]}]}]}
    r = call("POST", "/otlp/v1/logs", otlp)
    check(r.status == 200, f"{r.status} {r.text}")
    data = call("GET", "/api/v1/events").json["data"]
    check([(e["kind"], e["title"], e.get("service")) for e in data] ==
          [("flag", "dark mode on", None), ("app.start", "started", "shop"), ("deployment", "shop 1.2.3", "shop")], f"{data}")
    check(data[2]["attributes"] == {"git_sha": "ab"} and data[2]["end"].startswith("20") and data[2]["time"] < data[2]["end"], f"{data[2]}")
    check(len(call("GET", "/api/v1/events?kind=flag").json["data"]) == 1 and
          len(call("GET", "/api/v1/events?service=shop&limit=1").json["data"]) == 1 and
          call("GET", f"/api/v1/events?end={now - 120 * 1000000000}").json["data"] == [], "chosen")
    check(lines_of(o.addr, '{service_name="shop"}') == ["a line"], "lines of the service")
    r = call("GET", "/loki/api/v1/query_range?query=" + urllib.parse.quote('{orrery_event="deployment"} | git_sha="ab"'))
    check([v[1] for s in r.json["data"]["result"] for v in s["values"]] == ["shop 1.2.3"], r.text)


def test_searches_over_lines_of_other_clients(t):
    """Labels, logfmt and plain text are documents, too, of the index "unindexed"."""
    o = Single(t).wait_ready()
    now = time.time_ns() // 1000000000 * 1000000000 - 60 * 1000000000
    streams = [({"app": "web"}, [(now + i, f"level={'error' if i % 10 == 0 else 'info'} user_id={60000 + i} took={i}ms") for i in range(300)]),
               ({"app": "web", "level": "error"}, [(now + 1000, "plain text of 60010"), (now + 1001, '{"user_id":60010,"n":1.5,"tags":["a","b"]}')])]
    body = {"streams": [{"stream": s, "values": [[str(t_ns), line] for t_ns, line in lines]} for s, lines in streams]}
    r = http_call(o.addr, "POST", "/loki/api/v1/push", json.dumps(body).encode(), {"Content-Type": "application/json", "X-Scope-OrgID": TENANT})
    check(r.status == 204, r.text)

    def search(params="", body=None, path="/_search", status=200):
        r = http_call(o.addr, "POST" if body else "GET", f"/elasticsearch{path}?{params}", body and json.dumps(body).encode(),
                      {"Content-Type": "application/json", "X-Scope-OrgID": TENANT})
        check(r.status == status and r.headers.get("x-elastic-product") == "Elasticsearch", f"{r.status} {r.text}")
        return r.json

    for flushed in (False, True):
        if flushed:
            check(http_call(o.addr, "POST", "/ingester/flush", None, {}).status in (200, 204), "flush")
        got = search("q=user_id:60010+AND+level:error")["hits"]
        check(sorted(h["_source"].get("message", "json") for h in got["hits"]) == ["json", "level=error user_id=60010 took=10ms"], got)
        check({h["_index"] for h in got["hits"]} == {"unindexed"}, got)
        js, = [h["_source"] for h in got["hits"] if "n" in h["_source"]]
        check(js["app"] == "web" and js["level"] == "error" and js["n"] == 1.5 and js["@timestamp"].startswith("20"), js)
        check(search("q=60010")["hits"]["total"]["value"] == 3, "a word anywhere")
        check(search("q=tags:b&size=0")["hits"]["total"]["value"] == 1, "an item of a list")
        check(search(path="/unindexed/_count", params="q=app:web+-level:info")["count"] == 32, "labels")
        check(search(path="/other-*/_count")["count"] == 0 and search(path="/other/_count", status=404)["status"] == 404, "indices")
        r = search(body={"size": 1, "track_total_hits": False, "fields": ["app", "@timestamp", "user*"], "_source": False,
                         "query": {"range": {"@timestamp": {"gte": "now-1h"}}}, "sort": [{"@timestamp": "asc"}]})["hits"]
        check("total" not in r and r["hits"][0]["fields"]["user_id"] == ["60000"] and "_source" not in r["hits"][0], r)
    # Grafana's data source
    r = http_call(o.addr, "POST", "/elasticsearch/_msearch?max_concurrent_shard_requests=5", (
        '{"ignore_unavailable":true,"index":"*","search_type":"query_then_fetch"}\n' + json.dumps({
            "size": 0, "query": {"bool": {"filter": [
                {"range": {"@timestamp": {"format": "epoch_millis", "gte": now // 1000000 - 1000, "lte": now // 1000000 + 60000}}},
                {"query_string": {"analyze_wildcard": True, "query": "app:web"}}]}},
            "aggs": {"2": {"date_histogram": {"field": "@timestamp", "fixed_interval": "30s", "min_doc_count": 0, "format": "epoch_millis",
                                              "extended_bounds": {"min": now // 1000000 - 1000, "max": now // 1000000 + 60000}}, "aggs": {}}}}) + "\n").encode(),
        {"Content-Type": "application/x-ndjson", "X-Scope-OrgID": TENANT})
    buckets = r.json["responses"][0]["aggregations"]["2"]["buckets"]
    check(sum(b["doc_count"] for b in buckets) == 302 and len(buckets) >= 3, f"{r.text[:500]}")


def test_what_shippers_of_elasticsearch_ask(t):
    """The requests of Filebeat, Logstash, Vector and Fluent Bit before and between their _bulk."""
    o = Single(t).wait_ready()
    asks = [("HEAD", "/"), ("GET", "/"), ("GET", "/_license"), ("GET", "/_xpack"), ("GET", "/_nodes/http"),
            ("GET", "/_cluster/health"), ("GET", "/_cluster/health?wait_for_status=yellow"),
            ("GET", "/_ilm/policy/filebeat"), ("PUT", "/_ilm/policy/filebeat"), ("HEAD", "/_index_template/filebeat-8"),
            ("PUT", "/_index_template/filebeat-8"), ("PUT", "/_template/logstash"), ("GET", "/_data_stream/filebeat-8"),
            ("PUT", "/_data_stream/filebeat-8"), ("PUT", "/_ingest/pipeline/x"), ("GET", "/_ingest/pipeline/x"),
            ("HEAD", "/_alias/filebeat"), ("PUT", "/_component_template/x"), ("GET", "/_cat/health"),
            ("PUT", "/filebeat-000001"), ("HEAD", "/filebeat-000001")]
    for method, path in asks:
        r = http_call(o.addr, method, "/elasticsearch" + path, b"{}" if method == "PUT" else None,
                      {"Content-Type": "application/json", "X-Scope-OrgID": TENANT})
        check(r.status == 200, f"{method} {path}: {r.status} {r.text}")
        check(r.headers.get("x-elastic-product") == "Elasticsearch", f"{method} {path}: {r.headers}")
    # what is not there says so in Elasticsearch's words
    r = http_call(o.addr, "GET", "/elasticsearch/_security/user", None, {"X-Scope-OrgID": TENANT})
    check(r.status == 404 and r.json["status"] == 404 and r.json["error"]["type"], f"{r.status} {r.text}")
    check(r.headers.get("x-elastic-product") == "Elasticsearch", f"{r.headers}")
    # Fluent Bit and Vector: documents with create, no index but that of the path
    for path in ("/elasticsearch/logs/_bulk", "/elasticsearch/_bulk?filter_path=errors,items.*.error,items.*.status"):
        r = http_call(o.addr, "POST", path, b'{"create":{"_index":"logs"}}\n{"app":"bit","message":"x"}\n',
                      {"Content-Type": "application/x-ndjson", "X-Scope-OrgID": TENANT})
        check(r.status == 200 and not r.json["errors"], f"{r.status} {r.text}")
    for body in (b"", b"{}", b'{"create":{}}\n', b'{"create":{}}\n{"a":', b"\xff\xfe\n\x00\n", b"[" * 10000 + b"\n{}\n",
                 b'{"create":{"_index":7}}\n{"a":1}\n' * 3 + b"{"):
        r = http_call(o.addr, "POST", "/_bulk", body, {"X-Scope-OrgID": TENANT})
        check(r.status in (200, 400) and (r.status == 400 or body == b"" or r.json["errors"]), f"{body[:20]}: {r.status} {r.text}")


def test_rsyslog_s_output_for_elasticsearch(t):
    root = debs.root(*RSYSLOG, "rsyslog-elasticsearch")
    o = Single(t, args=["--auth.mode=optional", f"--auth.default-tenant={TENANT}"]).wait_ready()
    source, conf = f"{t.dir}/app.log", f"{t.dir}/rsyslog.conf"
    os.makedirs(f"{t.dir}/work")
    lines = [f"elastic line {i}" for i in range(500)]
    write_lines(source, lines)
    with open(conf, "w", encoding="utf-8") as f:
        f.write(f'''global(workDirectory="{t.dir}/work")
module(load="imfile" PollingInterval="1")
module(load="omelasticsearch")
template(name="doc" type="list" option.jsonf="on") {{
    property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
    property(outname="message" name="msg" format="jsonf")
    property(outname="app" name="programname" format="jsonf") }}
input(type="imfile" file="{source}" tag="rsys:")
action(type="omelasticsearch" server="127.0.0.1" serverport="{o.port}" template="doc" searchIndex="rsyslog" searchType=""
       bulkmode="on" queue.dequeuebatchsize="100" action.resumeRetryCount="-1")
''')
    rsyslogd(t, root, conf)
    wait_for("all lines", lambda: len(lines_of(o.addr, '{index="rsyslog"}')) >= 500, 30)
    got = [json.loads(x)["message"].strip() for x in lines_of(o.addr, '{index="rsyslog"}')]
    check(sorted(got) == sorted(lines), f"{len(got)} lines")


def test_curl(t):
    if not shutil.which("curl"):
        raise Skip("curl is not installed")
    o = Single(t).wait_ready()
    now = time.time_ns()

    def curl(path, body, *how):
        r = subprocess.run(["curl", "-s", "-w", "\n%{http_code}", "-H", f"X-Scope-OrgID: {TENANT}", *how, "--data-binary", "@-",
                            f"http://{o.addr}{path}"], input=body, capture_output=True, timeout=30)
        return r.stdout.decode().rpartition("\n")[2]
    check(curl("/loki/api/v1/push", json.dumps({"streams": [{"stream": {"app": "curl"}, "values": [[str(now), "loki"]]}]}).encode(),
               "-H", "Content-Type: application/json") == "204", "Loki's push")
    check(curl("/insert/jsonline?_stream_fields=app", b'{"app":"curl","_msg":"jsonline"}\n') == "204", "JSON lines")
    check(curl("/gelf", b'{"short_message":"gelf","_app":"curl"}') == "202", "GELF")
    check(curl("/elasticsearch/_bulk?_stream_fields=app", b'{"create":{}}\n{"app":"curl","message":"bulk"}\n',
               "-H", "Content-Type: application/x-ndjson") == "200", "_bulk")
    check(len(lines_of(o.addr, '{app="curl"}')) == 4, "lines by curl")


if __name__ == "__main__":
    main()
