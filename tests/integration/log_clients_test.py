#!/usr/bin/env python3
"""Log lines by the clients that people use: OpenTelemetry's SDK over HTTP and gRPC."""
import json
import subprocess

import pyenv
from logs_test import counter, held
from orrery_test import TENANT, Single, check, main

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


if __name__ == "__main__":
    main()
