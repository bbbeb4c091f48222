"""Spans written by hand for each way in: what exporters write, and what none would.

    for way in WAYS:
        r = way.send(o, [span(trace, id), …])      r.status as of HTTP; r.text: what it says; r.refused: how many spans, if it says that

A span is a dict: trace, id, parent (bytes of any length), name, start, end (ns), attributes {str: str | int}.
"""
import json
import re
import struct
import subprocess

from orrery_test import TENANT, _field, _varint, http_call

STATUS = {0: 200, 3: 400, 8: 429, 12: 404, 13: 400, 14: 503}  # of gRPC's codes: what HTTP would say


def span(trace, id, parent=b"", name="op", start=0, end=None, attributes=None, service="shop"):
    return {"trace": trace, "id": id, "parent": parent, "name": name, "start": start, "end": start if end is None else end,
            "attributes": attributes or {}, "service": service}


class Answer:
    def __init__(self, status, text):
        self.status, self.text = status, text
        said = re.search(r"(\d+) of \d+ spans refused", text) or re.search(r"(\d+) spans of \d+ traces were refused", text)
        self.refused = int(said.group(1)) if said else 0


def grpc_frame(message):
    return b"\0" + struct.pack(">I", len(message)) + message


def grpc_call(addr, method, framed, tenant=TENANT):
    """curl, which shows trailers as headers; framed may be anything."""
    r = subprocess.run(["curl", "-sS", "--max-time", "60", "--http2-prior-knowledge", "-D", "-", "-o", "/dev/null", "-H", "TE: trailers",
                        "-H", "Content-Type: application/grpc", "-H", f"X-Scope-OrgID: {tenant}", "--data-binary", "@-", "-H", "Expect:",
                        f"http://{addr}/{method}"], input=framed, capture_output=True, timeout=90)
    head = r.stdout.decode("utf-8", "replace").lower()
    code = re.search(r"grpc-status: (\d+)", head)
    if not code:
        return Answer(0, f"{head} {r.stderr.decode()}")
    message = re.search(r"grpc-message: (.*)", head)
    return Answer(STATUS.get(int(code.group(1)), 500), message.group(1).strip() if message else "")


# ---- OTLP ----

def fixed64(number, v):
    return _field(number, 1, struct.pack("<Q", v & (1 << 64) - 1))


def otlp_proto(spans):
    out = b""
    for s in spans:
        attributes = b"".join(_field(9, 2, _field(1, 2, k.encode()) + _field(2, 2, _field(3, 0, _varint(v)) if isinstance(v, int) else
                                                                            _field(1, 2, v.encode()))) for k, v in s["attributes"].items())
        one = (_field(1, 2, s["trace"]) + _field(2, 2, s["id"]) + (_field(4, 2, s["parent"]) if s["parent"] else b"") +
               _field(5, 2, s["name"].encode()) + _field(6, 0, _varint(2)) + fixed64(7, s["start"]) + fixed64(8, s["end"]) + attributes)
        out += _field(2, 2, one)
    service = spans[0]["service"].encode() if spans else b""
    resource = _field(1, 2, _field(1, 2, _field(1, 2, b"service.name") + _field(2, 2, _field(1, 2, service))))
    return _field(1, 2, resource + _field(2, 2, out))


def otlp_json(spans):
    def one(s):
        value = lambda v: {"intValue": str(v)} if isinstance(v, int) else {"stringValue": v}
        return {"traceId": s["trace"].hex(), "spanId": s["id"].hex(), "parentSpanId": s["parent"].hex(), "name": s["name"], "kind": 2,
                "startTimeUnixNano": str(s["start"]), "endTimeUnixNano": str(s["end"]),
                "attributes": [{"key": k, "value": value(v)} for k, v in s["attributes"].items()]}
    service = [{"key": "service.name", "value": {"stringValue": spans[0]["service"] if spans else ""}}]
    return json.dumps({"resourceSpans": [{"resource": {"attributes": service}, "scopeSpans": [{"spans": [one(s) for s in spans]}]}]}).encode()


# ---- Zipkin ----

def us(ns):
    return ns // 1000


def zipkin_json(spans):
    def one(s):
        ret = {"traceId": s["trace"].hex(), "id": s["id"].hex(), "name": s["name"], "kind": "SERVER", "timestamp": us(s["start"]),
               "duration": us(s["end"]) - us(s["start"]), "localEndpoint": {"serviceName": s["service"]},
               "tags": {k: str(v) for k, v in s["attributes"].items()}}
        return {**ret, "parentId": s["parent"].hex()} if s["parent"] else ret
    return json.dumps([one(s) for s in spans]).encode()


def zipkin_proto(spans):
    def one(s):
        tags = b"".join(_field(11, 2, _field(1, 2, k.encode()) + _field(2, 2, str(v).encode())) for k, v in s["attributes"].items())
        return (_field(1, 2, s["trace"]) + (_field(2, 2, s["parent"]) if s["parent"] else b"") + _field(3, 2, s["id"]) +
                _field(4, 0, _varint(2)) + _field(5, 2, s["name"].encode()) + fixed64(6, us(s["start"])) +
                _field(7, 0, _varint(us(s["end"]) - us(s["start"]) & (1 << 64) - 1)) + _field(8, 2, _field(1, 2, s["service"].encode())) + tags)
    return b"".join(_field(1, 2, one(s)) for s in spans)


# ---- Jaeger ----

def jaeger_time(number, ns):
    s, ns = ns // 10**9, ns % 10**9
    return _field(number, 2, _field(1, 0, _varint(s & (1 << 64) - 1)) + _field(2, 0, _varint(ns)))


def jaeger_proto(spans):
    def tag(k, v):
        return _field(8, 2, _field(1, 2, k.encode()) + (_field(2, 0, _varint(2)) + _field(5, 0, _varint(v)) if isinstance(v, int) else
                                                      _field(3, 2, v.encode())))

    def one(s):
        parent = _field(4, 2, _field(1, 2, s["trace"]) + _field(2, 2, s["parent"])) if s["parent"] else b""
        return (_field(1, 2, s["trace"]) + _field(2, 2, s["id"]) + _field(3, 2, s["name"].encode()) + parent + jaeger_time(6, s["start"]) +
                jaeger_time(7, s["end"] - s["start"]) + tag("span.kind", "server") + b"".join(tag(k, v) for k, v in s["attributes"].items()))
    service = spans[0]["service"].encode() if spans else b""
    return _field(1, 2, b"".join(_field(1, 2, one(s)) for s in spans) + _field(2, 2, _field(1, 2, service)))


def thrift(kind, number, payload):
    return struct.pack(">BH", kind, number) + payload


def thrift_text(number, s):
    s = s if isinstance(s, bytes) else s.encode()
    return thrift(11, number, struct.pack(">I", len(s)) + s)


def thrift_i64(number, v):
    return thrift(10, number, struct.pack(">Q", v & (1 << 64) - 1))


def thrift_i32(number, v):
    return thrift(8, number, struct.pack(">I", v))


def thrift_list(number, structs):
    return thrift(15, number, struct.pack(">BI", 12, len(structs)) + b"".join(x + b"\0" for x in structs))


def jaeger_thrift(spans):
    """Ids are numbers: those of another length cannot be written."""
    def tag(k, v):
        return thrift_text(1, k) + (thrift_i32(2, 3) + thrift_i64(6, v) if isinstance(v, int) else thrift_i32(2, 0) + thrift_text(3, v))

    def one(s):
        trace, number = int.from_bytes(s["trace"], "big"), lambda b: int.from_bytes(b, "big")
        return (thrift_i64(1, trace) + thrift_i64(2, trace >> 64) + thrift_i64(3, number(s["id"])) + thrift_i64(4, number(s["parent"])) +
                thrift_text(5, s["name"]) + thrift_i32(7, 1) + thrift_i64(8, us(s["start"])) + thrift_i64(9, us(s["end"]) - us(s["start"])) +
                thrift_list(10, [tag("span.kind", "server")] + [tag(k, v) for k, v in s["attributes"].items()]))
    service = spans[0]["service"] if spans else ""
    return thrift(12, 1, thrift_text(1, service) + b"\0") + thrift_list(2, [one(s) for s in spans]) + b"\0"


# ---- ways ----

class Way:
    def __init__(self, name, encode, path=None, content_type=None, method=None, sizes=True, negative=True):
        self.name, self.encode, self.path, self.content_type, self.method = name, encode, path, content_type, method
        self.has_sizes = sizes        # ids may have any length
        self.has_negative = negative  # durations may be less than 0

    def post(self, o, body, tenant=TENANT):
        """Bytes, whatever they are."""
        if self.method:
            return grpc_call(o.otlp_grpc, self.method, grpc_frame(body), tenant)
        r = http_call(o.addr, "POST", self.path, body, {"Content-Type": self.content_type, "X-Scope-OrgID": tenant}, timeout=120)
        answer = Answer(r.status, r.text)
        if self.name == "otlp_json" and r.status == 200:
            answer.refused = int(r.json.get("partialSuccess", {}).get("rejectedSpans", 0))
        return answer

    def send(self, o, spans, tenant=TENANT):
        return self.post(o, self.encode(spans), tenant)


WAYS = [
    Way("otlp_http", otlp_proto, "/v1/traces", "application/x-protobuf"),
    Way("otlp_json", otlp_json, "/v1/traces", "application/json"),
    Way("otlp_grpc", otlp_proto, method="opentelemetry.proto.collector.trace.v1.TraceService/Export"),
    Way("zipkin_json", zipkin_json, "/api/v2/spans", "application/json", negative=False),
    Way("zipkin_proto", zipkin_proto, "/api/v2/spans", "application/x-protobuf"),
    Way("jaeger_thrift", jaeger_thrift, "/api/traces?format=jaeger.thrift", "application/x-thrift", sizes=False),
    Way("jaeger_grpc", jaeger_proto, method="jaeger.api_v2.CollectorService/PostSpans"),
]
OTLP = WAYS[:3]
