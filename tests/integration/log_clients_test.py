#!/usr/bin/env python3
"""Log lines by the clients that people use: OpenTelemetry's SDK over HTTP and gRPC, Loki's and GELF's handlers for
logging, Elasticsearch's client, rsyslog's output for Elasticsearch, curl."""
import json
import os
import shutil
import subprocess
import time

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
import json, sys
from elasticsearch import Elasticsearch, helpers
es = Elasticsearch(f"http://{sys.argv[1]}/elasticsearch", headers={"X-Scope-OrgID": "TENANT_ID"}, http_compress=True)
info, health = es.info(), es.cluster.health()
ok, errors = helpers.bulk(es, ({"_op_type": "create", "_index": "logs-app", "@timestamp": int(sys.argv[2]) + i,
                                "message": f"line {i}", "service": "shop", "user": {"id": i}} for i in range(1200)),
                          chunk_size=500)
r = es.bulk(operations=[{"index": {"_index": "logs-app"}}, {"message": "good", "service": "shop"},
                        {"delete": {"_index": "logs-app", "_id": "1"}},
                        {"create": {"_index": "logs-app"}}, {"message": "good too", "service": "shop"}])
statuses = [list(x.values())[0]["status"] for x in r["items"]]
print(json.dumps([info["version"]["number"], health["status"], ok, errors, r["errors"], statuses,
                  bool(es.indices.exists_index_template(name="logs")), es.license.get()["license"]["status"]]))
"""


def elastic(o, package):
    now = int(time.time() * 1000) - 5000
    out = run_python((package,), ELASTIC_SENDER, o.addr, now)
    version, health, ok, errors, has_errors, statuses, has_template, status = json.loads(out.splitlines()[-1])
    check(version.startswith("8.") and health == "green" and status == "active" and has_template, out)
    check(ok == 1200 and errors == [] and has_errors and statuses == [201, 400, 201], out)
    got = held(o.addr, '{index="logs-app"}')
    check([json.loads(k) for k in got] == [{"index": "logs-app", "service": "shop"}], f"{list(got)}")
    values = list(got.values())[0]
    check(len(values) == 1202, f"{len(values)}")
    seventh, = [v for v in values if '"line 7"' in v[1]]
    check(seventh[0] == (now + 7) * 1000000 and json.loads(seventh[1])["user"] == {"id": 7}, f"{seventh}")


def test_elasticsearch_8(t):
    elastic(Single(t).wait_ready(), "elasticsearch==8.17.2")


def test_elasticsearch_9(t):
    elastic(Single(t).wait_ready(), "elasticsearch==9.0.2")


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
