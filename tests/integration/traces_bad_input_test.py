#!/usr/bin/env python3
"""Bad input to every way in of spans (trace_senders.py): a clear error or held off, what is good beside it is there once, and another tenant notices
nothing."""
import json
import socket
import struct
import threading
import time
import urllib.parse

from grpc_test import (CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, RST_STREAM, SETTINGS, Raw, frame, literal,
                       request)
from orrery_test import SANITIZED, TENANT, Single, check, http_call, main
from trace_clients_test import ARGS
from trace_senders import OTLP, WAYS, grpc_call, grpc_frame, otlp_json, span

S = 10**9
HOUR = 3600 * S
MIB = 1 << 20
LARGE = 100000
TRACES = ARGS + ["--limits.traces-rate-limit-bytes=1GiB", "--limits.traces-burst-size-bytes=1GiB"]


def now():
    return time.time_ns() // 1000000 * 1000000


class Ids:
    """Trace and span ids, each once."""

    def __init__(self):
        self.n = 0

    def trace(self):
        self.n += 1
        return struct.pack(">QQ", 0xabc, self.n)

    def span(self):
        self.n += 1
        return struct.pack(">Q", self.n)


IDS = Ids()


def get(o, path, tenant=TENANT, **params):
    return http_call(o.addr, "GET", path + "?" + urllib.parse.urlencode(params), headers={"X-Scope-OrgID": tenant}, timeout=120)


def spans_of(o, trace, tenant=TENANT):
    """What Jaeger's API says of a trace: {span id: span}."""
    r = get(o, f"/jaeger/api/traces/{trace.hex()}", tenant)
    check(r.status in (200, 404), f"{r.status} {r.text[:300]}")
    return {x["spanID"]: x for x in r.json["data"][0]["spans"]} if r.status == 200 else {}


class Neighbour(threading.Thread):
    """Another tenant that sends spans all the while."""

    def __init__(self, o):
        super().__init__()
        self.o, self.ended, self.traces, self.took, self.wrong = o, threading.Event(), [], [], []

    def run(self):
        while not self.ended.is_set():
            trace, began = struct.pack(">QQ", 0xfeed, len(self.traces) + 1), time.monotonic()
            r = http_call(self.o.addr, "POST", "/v1/traces", otlp_json([span(trace, b"\0" * 7 + b"\1", start=now())]),
                          {"Content-Type": "application/json", "X-Scope-OrgID": "neighbour"}, timeout=60)
            self.took.append(time.monotonic() - began)
            if r.status != 200:
                self.wrong.append((r.status, r.text[:300]))
            self.traces.append(trace)
            time.sleep(0.02 if len(self.traces) < 2000 else 0.2)

    def end(self):
        self.ended.set()
        self.join()
        check(not self.wrong, f"{len(self.wrong)} of the neighbour's writes: {self.wrong[:3]}")
        r = get(self.o, "/ingester/traces", "neighbour", limit=10000)
        got = sorted(json.loads(x)["trace_id"] for x in r.text.splitlines())
        check(got == sorted(x.hex() for x in self.traces), f"the neighbour has {len(got)} traces of {len(self.traces)}")
        return sorted(self.took)


class Good:
    """Spans that are sent beside what is bad, and are to be there."""

    def __init__(self, o):
        self.o, self.sent = o, []

    def span(self):
        s = span(IDS.trace(), IDS.span(), start=now(), end=now() + S)
        self.sent.append(s)
        return s

    def all_there(self, when):
        for s in self.sent:
            check(list(spans_of(self.o, s["trace"])) == [s["id"].hex()], f"{when}: {s} is not there")


def refused(o, way, good, what, bad, reason):
    """One bad span beside a good one, and alone."""
    r = way.send(o, [bad, good.span()])
    check(reason in r.text or way.method, f"{way.name}, {what}: {r.status} {r.text[:300]}, not {reason!r}")
    if way in OTLP:
        check(r.status == 200 and (way.name != "otlp_json" or r.refused == 1), f"{way.name}, {what}: {r.status} {r.text[:300]}")
    else:
        check(r.status == 400 and r.refused == 1 and reason in r.text, f"{way.name}, {what}: {r.status} {r.text[:300]}")
    r = way.send(o, [bad])
    check(r.status == 400 and reason in r.text, f"{way.name}, {what} alone: {r.status} {r.text[:300]}, not {reason!r}")
    check(o.alive(), f"{way.name}, {what}: it died")


def bad_ids(o, way, good):
    at = now()
    trace, id = "trace id is not 16 bytes", "span id is not 8 bytes"
    cases = [("a trace id of zeros", span(bytes(16), IDS.span(), start=at), trace),
             ("a span id of zeros", span(IDS.trace(), bytes(8), start=at), id)]
    if way.has_sizes:
        cases += [("no trace id", span(b"", IDS.span(), start=at), trace), ("no span id", span(IDS.trace(), b"", start=at), id),
                  ("a trace id of 17 bytes", span(IDS.trace() + b"x", IDS.span(), start=at), trace),
                  ("a span id of 9 bytes", span(IDS.trace(), IDS.span() + b"x", start=at), id)]
    if way.has_sizes and way.name != "zipkin_json":  # which has digits that may be fewer
        cases += [("a trace id of 15 bytes", span(IDS.trace()[1:], IDS.span(), start=at), trace),
                  ("a span id of 7 bytes", span(IDS.trace(), IDS.span()[1:], start=at), id)]
    if way.has_sizes and way.name != "jaeger_grpc":  # whose parents are references, which are left out alone
        cases += [("a parent of 9 bytes", span(IDS.trace(), IDS.span(), IDS.span() + b"x", start=at), "parent span id is neither")]
    for what, bad, reason in cases:
        refused(o, way, good, what, bad, reason)


def odd_trees(o, way):
    """Cycles of parents, parents that are not there, clocks that differ by hours, ends before starts: kept as they are, and found."""
    trace, a, b, c, d, at = IDS.trace(), IDS.span(), IDS.span(), IDS.span(), IDS.span(), now()
    sent = [span(trace, a, b, start=at, end=at + S, attributes={"way": way.name}), span(trace, b, a, start=at, end=at + S),
            span(trace, c, c, start=at - 5 * HOUR, end=at), span(trace, d, IDS.span(), start=at + 5 * HOUR, end=at + 5 * HOUR + 1000)]
    if way.has_negative:
        sent.append(span(trace, IDS.span(), a, start=at, end=at - 3 * S))
    r = way.send(o, sent)
    check(r.status // 100 == 2 and not r.refused, f"{way.name}, cycles: {r.status} {r.text[:300]}")
    got = spans_of(o, trace)
    check(set(got) == {s["id"].hex() for s in sent}, f"{way.name}, cycles: {got}")
    if way.has_negative:
        x = got[sent[-1]["id"].hex()]
        check(x["duration"] == 0 and x["warnings"] == ["the span ends 3000000 us before it starts"], f"{way.name}: {x}")
    for query in ('{ span.way = "%s" } << { }', '{ } >> { span.way = "%s" }', '{ span.way = "%s" } ~ { }', '{ span.way = "%s" && duration >= 1s }',
                  '{ nestedSetParent < 0 && span.way != "%s" }'):
        q = query % way.name
        r = get(o, "/api/search", q=q, start=(at - 6 * HOUR) // S, end=(at + 6 * HOUR) // S, limit=1000)
        check(r.status == 200, f"{way.name}, {q}: {r.status} {r.text[:300]}")
        if "duration" in q:
            check([x["traceID"].zfill(32) for x in r.json["traces"]] == [trace.hex()], f"{way.name}, {q}: {r.text[:300]}")
    for path in ("/api/v2/traces/", "/zipkin/api/v2/trace/"):
        check(get(o, path + trace.hex()).status == 200, f"{way.name}, {path}: cycles")


def large_attributes(o, way):
    """A value of a mebibyte, a name of one, and more attributes than a span may have: cut, and the rest is there."""
    trace, id, at = IDS.trace(), IDS.span(), now()
    sent = {"large": "x" * MIB, **{f"k{i}": i for i in range(3000)}}
    r = way.send(o, [span(trace, id, start=at, name="n" * MIB, attributes=sent)])
    check(r.status // 100 == 2 and not r.refused, f"{way.name}, large: {r.status} {r.text[:300]}")
    x = spans_of(o, trace)[id.hex()]
    tags = {t["key"]: t["value"] for t in x["tags"]}
    check(len(x["operationName"]) == 2048 and len(tags["large"]) == 2048, f"{way.name}: {len(tags['large'])}")
    check(1000 < len(tags) < 1030 and str(tags["k7"]) == "7", f"{way.name}: {len(tags)} tags")


def broken_bodies(o, way, good):
    """Cut anywhere, and followed by something else."""
    body = way.encode([span(IDS.trace(), IDS.span(), start=now(), attributes={"a": "b", "n": 7})])
    for n in [1, 2, 3, len(body) // 3, len(body) // 2, len(body) - 2, len(body) - 1]:
        r = way.post(o, body[:n])
        check(r.status == 400 and len(r.text) > 3, f"{way.name}, cut at {n} of {len(body)}: {r.status} {r.text[:300]}")
    for what, junk in (("zeros", bytes(1000)), ("ones", b"\xff" * 1000), ("text", b"GET / HTTP/1.1\r\n\r\n")):
        r = way.post(o, junk)
        check(r.status == 400 and len(r.text) > 3, f"{way.name}, {what}: {r.status} {r.text[:300]}")
    r = way.send(o, [good.span()])
    check(r.status // 100 == 2, f"{way.name}, a good one after all of these: {r.status} {r.text[:300]}")


def large_trace(o, way):
    """A hundred thousand spans of one trace, in ten writes, are there once."""
    trace, at = IDS.trace(), now()
    for i in range(10):
        r = way.send(o, [span(trace, struct.pack(">Q", 1 + 10000 * i + k), start=at + k) for k in range(10000)])
        check(r.status // 100 == 2 and not r.refused, f"{way.name}, a large trace: {r.status} {r.text[:300]}")
    r = get(o, f"/zipkin/api/v2/trace/{trace.hex()}")
    n = r.text.count('{"traceId":')
    check(r.status == 200 and n == LARGE and r.text[-2:] == "}]", f"{way.name}: {r.status} {r.text[:300] if r.status != 200 else n}")


def test_bad_spans(t):
    o = Single(t, args=TRACES).wait_ready()
    good, neighbour = Good(o), Neighbour(o)
    neighbour.start()
    try:
        for way in WAYS:
            bad_ids(o, way, good)
            odd_trees(o, way)
            large_attributes(o, way)
            broken_bodies(o, way, good)
        good.all_there("after bad spans")
    finally:
        took = neighbour.end()
    print(f"# the neighbour's writes: median {1000 * took[len(took) // 2]:.0f} ms, p99 {1000 * took[len(took) * 99 // 100]:.0f} ms")
    o.kill()
    o.start()
    o.wait_ready()
    good.all_there("after kill -9")


def test_a_hundred_thousand_spans_in_a_trace(t):
    o = Single(t, args=TRACES).wait_ready()
    neighbour = Neighbour(o)
    neighbour.start()
    try:
        for way in WAYS:
            large_trace(o, way)
    finally:
        neighbour.end()
    check(o.alive(), "it died")


def test_what_a_limit_refuses_is_counted_in_spans(t):
    o = Single(t, args=TRACES + ["--limits.max-bytes-per-trace=20000"]).wait_ready()
    for way in WAYS:
        large, at = IDS.trace(), now()
        beside = span(IDS.trace(), IDS.span(), start=at)
        r = way.send(o, [span(large, IDS.span(), start=at, attributes={"a": f"{i} " + "x" * 100}) for i in range(1000)] + [beside])
        if way in OTLP:
            check(r.status == 200 and (way.name != "otlp_json" or r.refused == 1000), f"{way.name}: {r.status} {r.text[:300]}")
        else:
            check(r.refused == 1000 and "max_bytes_per_trace allows (20000 bytes)" in r.text, f"{way.name}: {r.status} {r.text[:300]}")
        check(not spans_of(o, large) and len(spans_of(o, beside["trace"])) == 1, f"{way.name}: what is there")


# ---- frames and floods ----

def post_head(method):
    """The head of a gRPC call, as HPACK without a table."""
    return (b"\x83\x86" + literal(b":path", b"/" + method.encode()) + literal(b":authority", b"h") + literal(b"te", b"trailers") +
            literal(b"content-type", b"application/grpc") + literal(b"x-scope-orgid", TENANT.encode()))


def test_grpc_frames_cut_anywhere(t):
    o = Single(t, args=TRACES).wait_ready()
    good, neighbour = Good(o), Neighbour(o)
    neighbour.start()
    try:
        for way in [w for w in WAYS if w.method]:
            framed = grpc_frame(way.encode([span(IDS.trace(), IDS.span(), start=now(), attributes={"a": "b"})]))
            cuts = sorted({1, 2, 4, 5, 6, *range(7, len(framed), 11), len(framed) - 1})
            for n in cuts:  # the stream ends there
                r = grpc_call(o.otlp_grpc, way.method, framed[:n])
                check(r.status == 400 and len(r.text) > 3, f"{way.name}, cut at {n}: {r.status} {r.text[:300]}")
            for what, bad in (("two messages", framed * 2), ("compressed by nobody", b"\1" + framed[1:]), ("a flag that is none", b"\7" + framed[1:]),
                              ("4 GiB announced", b"\0\xff\xff\xff\xff" + framed[5:])):
                r = grpc_call(o.otlp_grpc, way.method, bad)
                check(r.status in (400, 404, 429) and len(r.text) > 3, f"{way.name}, {what}: {r.status} {r.text[:300]}")
            sent = frame(HEADERS, END_HEADERS, 1, post_head(way.method)) + frame(0, END_STREAM, 1, framed)
            for n in range(0, len(sent), 7):  # the connection ends there
                raw = Raw(o.otlp_grpc)
                raw.send(sent[:n])
                raw.sock.close()
            r = way.send(o, [good.span()])
            check(r.status == 200, f"{way.name}, a good one after all of these: {r.status} {r.text[:300]}")
        for way in [w for w in WAYS if not w.method]:  # the same of HTTP/1.1
            body = way.encode([span(IDS.trace(), IDS.span(), start=now())])
            host, port = o.addr.rsplit(":", 1)
            for n in (0, 1, len(body) // 2, len(body) - 1):
                with socket.create_connection((host, int(port)), timeout=20) as s:
                    s.sendall((f"POST {way.path} HTTP/1.1\r\nHost: h\r\nX-Scope-OrgID: {TENANT}\r\nContent-Type: {way.content_type}\r\n"
                               f"Content-Length: {len(body)}\r\n\r\n").encode() + body[:n])
            check(way.send(o, [good.span()]).status // 100 == 2, f"{way.name}, a good one after all of these")
        good.all_there("after cut frames")
    finally:
        neighbour.end()
    check(o.alive(), "it died")


def settings(raw):
    return all(raw.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 1000) for _ in range(200))


def pings(raw):
    return all(raw.send(frame(PING, 0, 0, b"12345678") * 1000) for _ in range(200))


def continuations(raw):
    raw.send(frame(HEADERS, 0, 1, b"\x83\x86"))
    return all(raw.send(frame(CONTINUATION, 0, 1, literal(b"a", b"b" * 100))) for _ in range(10000))


def resets(method):
    """Of calls that have begun to be sent."""
    def flood(raw):
        for i in range(200):
            burst = b""
            for k in range(100):
                stream = 1 + 2 * (100 * i + k)
                burst += (frame(HEADERS, END_HEADERS, stream, post_head(method)) + frame(0, 0, stream, b"\0\0\0\0\x64\x0a") +
                          frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
            if not raw.send(burst):
                return
    return flood


def test_http2_floods_are_held_off(t):
    o = Single(t, args=TRACES).wait_ready()
    good, neighbour = Good(o), Neighbour(o)
    neighbour.start()
    grpc = [w for w in WAYS if w.method]
    try:
        for addr in (o.otlp_grpc, o.addr):
            floods = [settings, pings, continuations] + [resets(w.method) for w in grpc]
            for flood in floods:
                raws = [Raw(addr) for _ in range(3)]
                threads = [threading.Thread(target=flood, args=(raw,)) for raw in raws]
                for x in threads:
                    x.start()
                for way in grpc:  # others meanwhile
                    began = time.monotonic()
                    r = way.send(o, [good.span()])
                    took = time.monotonic() - began
                    check(r.status == 200, f"{way.name} beside a flood: {r.status} {r.text[:300]}")
                    check(took < (30 if SANITIZED else 10), f"{way.name} beside a flood: {took:.1f} s")
                for x in threads:
                    x.join()
                for raw in raws:
                    check(raw.goaway() in (ENHANCE_YOUR_CALM, None), "why the flood was cut off")
        good.all_there("after floods")
    finally:
        took = neighbour.end()
    print(f"# the neighbour's writes: median {1000 * took[len(took) // 2]:.0f} ms, p99 {1000 * took[len(took) * 99 // 100]:.0f} ms")


if __name__ == "__main__":
    main()
