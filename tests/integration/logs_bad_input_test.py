#!/usr/bin/env python3
"""Bad input to the ways in and out of log lines: each gets its clear error, good lines around it are there once, other
tenants notice nothing."""
import base64
import json
import os
import re
import threading
import time
from urllib.parse import urlencode

from logs_api_test import S, ask, data, lines
from logs_tail_test import Ws
from logs_test import JSON, counter, flush, held, now_ns, push, push_ok
from orrery_test import TENANT, Single, _field, _varint, check, http_call, main, snappy, wait_for

DEEP = 10000
BINARY = bytes(range(256)) * 2
ANSWER_S = 20


def say(o, path, body, content_type="application/json", headers=None):
    return http_call(o.addr, "POST", path, body if isinstance(body, bytes) else body.encode(),
                     {"Content-Type": content_type, "X-Scope-OrgID": TENANT, **(headers or {})}, timeout=60)


def expect(o, what, r, status, *words):
    check(r.status == status, f"{what}: {r.status} {r.text[:300]}, not {status}")
    for word in words:
        check(word.lower() in r.text.lower(), f"{what}: no {word!r} in {r.text[:400]!r}")
    check(o.alive(), f"{what}: it died")


def proto(labels, entries):
    """Loki's push in protobuf: lines are bytes."""
    out = _field(1, 2, labels)
    for ns, line in entries:
        ts = _field(1, 0, _varint(ns // S)) + _field(2, 0, _varint(ns % S))
        out += _field(2, 2, _field(1, 2, ts) + _field(2, 2, line))
    return snappy(_field(1, 2, out))


class Neighbour(threading.Thread):
    """Another tenant that pushes, and asks for what it has pushed, all the while."""

    def __init__(self, addr):
        super().__init__()
        self.addr, self.ended, self.sent, self.took, self.wrong = addr, threading.Event(), [], [], []
        self.asked = 0

    def run(self):
        while not self.ended.is_set():
            line, began = f"good {len(self.sent)}", time.monotonic()
            r = push(self.addr, [({"app": "good"}, [(now_ns(), line)])], tenant="neighbour")
            self.took.append(time.monotonic() - began)
            if r.status != 204:
                self.wrong.append((r.status, r.text[:300]))
            self.sent.append(line)
            if len(self.sent) % 20 == 1:
                self.ask()
            time.sleep(0.02 if len(self.sent) < 2000 else 0.2)  # not more in all than an answer may have, on a slow machine

    def ask(self):
        r = ask(self.addr, "query_range", {"query": '{app="good"}', "limit": 1}, tenant="neighbour")
        self.asked += 1
        if r.status != 200 or self.sent[-1] not in r.text:
            self.wrong.append((r.status, r.text[:300]))

    def end(self):
        self.ended.set()
        self.join()
        check(self.asked > 1, f"the neighbour has asked {self.asked} times")
        check(not self.wrong, f"{len(self.wrong)} of the neighbour's pushes: {self.wrong[:3]}")
        got = lines_of_app(self.addr, "good", tenant="neighbour")
        check(got == sorted(self.sent), f"the neighbour has {len(got)} lines of {len(self.sent)}")
        return sorted(self.took)


def lines_of_app(addr, app, tenant=TENANT):
    return sorted(lines(addr, '{app="%s"}' % app, tenant=tenant, limit=5000))


class Good:
    """Lines that are sent before, after and within what is bad, and are to be there once."""

    def __init__(self, o):
        self.o, self.n = o, 0

    def line(self):
        self.n += 1
        return f"line {self.n}"

    def push(self):
        push_ok(self.o.addr, [({"app": "around"}, [(now_ns(), self.line())])])

    def all_there(self, when):
        # some came as documents
        got = sorted(re.search(r"line \d+", x).group() for x in lines_of_app(self.o.addr, "around"))
        check(got == sorted(f"line {i + 1}" for i in range(self.n)), f"{when}: {len(got)} of {self.n}: {got[-10:]}")


def bad_pushes(o, good):
    """[(what, answer, status, words)]; those that carry good lines have them taken from `good`."""
    ts = now_ns()

    def loki(*values, **kw):
        body = {"streams": [{"stream": {"app": "around"}, "values": [[str(ts + 1 + i), *v] for i, v in enumerate(values)]}]}
        return say(o, "/loki/api/v1/push", json.dumps(body, **kw))
    yield ("a line of 10 MB among good ones", loki([good.line()], ["x" * (10 << 20)], [good.line()]), 400,
           "max_line_size", "1 of 3 lines refused, the others are stored", "around")
    yield ("invalid UTF-8 in JSON", say(o, "/loki/api/v1/push", b'{"streams":[{"stream":{"app":"around"},"values":[["%d","\xff\xfe"]]}]}'
                                        % ts), 400, "utf")
    yield ("a label that is no UTF-8", say(o, "/loki/api/v1/push", proto(b'{app="around",x="\xff\xfe"}', [(ts, b"lost")]),
                                           "application/x-protobuf"), 400, "label")
    yield "JSON nested, and cut short", say(o, "/loki/api/v1/push", '{"streams":' + "[" * DEEP), 400, "JSON"
    yield ("JSON nested, and whole", say(o, "/loki/api/v1/push", '{"x":' + "[" * DEEP + "]" * DEEP + ',"streams":[]}'), 400, "deep")
    yield "a body that is no snappy", say(o, "/loki/api/v1/push", b"\xff" * 50, "application/x-protobuf"), 400, "snappy"
    yield "a body cut short", say(o, "/loki/api/v1/push", proto(b'{app="around"}', [(ts, b"lost")])[:-4],
                                  "application/x-protobuf"), 400, ""
    yield "gzip that is none", say(o, "/loki/api/v1/push", b"{}", headers={"Content-Encoding": "gzip"}), 400, "gzip"
    value = '{"stringValue":"lost"}'
    for _ in range(DEEP):
        value = '{"arrayValue":{"values":[' + value + "]}}"
    yield ("OTLP with a value nested deep", say(o, "/otlp/v1/logs", '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"%d",'
                                                '"body":%s}]}]}]}' % (ts, value)), 400, "deep")
    nested = b"\x0a\x04lost"
    for _ in range(2000):
        nested = _field(5, 2, _field(1, 2, nested))
    for number in 5, 2, 2, 1:  # body, log records, scope, resource
        nested = _field(number, 2, nested)
    yield "OTLP protobuf nested deep", say(o, "/otlp/v1/logs", nested, "application/x-protobuf"), 400, ""
    doc = '{"create":{"_index":"around"}}\n{"app":"around","message":"%s"}\n'
    path = "/_bulk?_stream_fields=app&_msg_field=message"
    bulk = (doc % good.line() + '{"create":{"_index":"around"}}\n{"app":"around","message":' + "\n" +
            doc % good.line() + '{"create":{"_index":"around"}}\n' + "[" * DEEP + "\n" + '{"delete":{"_index":"around","_id":"1"}}\n' +
            doc % good.line())
    r = say(o, path, bulk, "application/x-ndjson")
    statuses = [list(x.values())[0]["status"] for x in r.json["items"]]
    check(r.json["errors"] and statuses[0] == statuses[2] == statuses[-1] == 201 and statuses[1] == 400, r.text[:1000])
    yield "a _bulk with bad documents among good ones", r, 200, ""
    yield "a _bulk of what is no action", say(o, path, "nonsense\n{}\n", "application/x-ndjson"), 400, ""
    yield "a _bulk that ends behind an action", say(o, path, '{"create":{}}\n', "application/x-ndjson"), 400, ""
    r = say(o, "/insert/jsonline?_stream_fields=app", '{"app":"around","_msg":"%s"}\n{"app":\n%s\n{"app":"around","_msg":"%s"}\n'
            % (good.line(), '{"a":' * DEEP, good.line()))
    yield "JSON lines with bad ones among good ones", r, 400, "2 of 4 lines refused, the others are stored"


def bad_queries():
    """[(query, texts of which the error has one)]"""
    yield '{app="around"} |~ "((a{1,500}){1,500}){1,500}"', ["regex", "repetition", "too large"]
    yield '{app=~"((a{1,500}){1,500}){1,500}"}', ["regex", "repetition", "too large"]
    yield '{app="around"} | regexp "(?P<x>((a{1,500}){1,500}){1,500})"', ["regex", "repetition", "too large"]
    yield '{app="around"} |~ "%s"' % "|".join(f"[a-z]*p{i}.*" for i in range(20000)), ["regex", "too large", "too long"]
    yield '{app="around"} | line_format "%s"' % ("{{if true}}" * 5000 + "{{end}}" * 5000), ["deep", "nest"]
    yield '{app="around"} |= "%s"' % ("x" * (6 << 20)), ["long", "large"]
    yield '{app="around"} | ' + "(" * DEEP + "a=1" + ")" * DEEP, ["deep", "nest", "parse error"]
    yield "(" * DEEP + '{app="around"}' + ")" * DEEP, ["deep", "nest", "parse error"]
    yield '{app="around"}' + " | json" * 20000, ["stages", "long", "many"]


# What is wrong with a line is said of the line; the answer has it all the same.
TEMPLATES = ['{{define "x"}}{{template "x"}}{{end}}{{template "x"}}', '{{repeat 1000000000 "x"}}',
             '{{define "x"}}{{template "x" .}}{{template "x" .}}{{end}}{{template "x" .}}', '{{printf "%1000000000d" 1}}']


def bad_frames(o):
    """A websocket of a tail, and what is wrong on it: it is closed, and told why."""
    for what, frame in (("an opcode that is none", b"\x83\x80\x01\x02\x03\x04"),
                        ("bits that nobody agreed on", b"\xf1\x80\x01\x02\x03\x04"),
                        ("a ping in pieces", b"\x09\x80\x01\x02\x03\x04"),
                        ("a ping too long", b"\x89\xfe\x00\x7e" + b"\0" * 4 + b"x" * 126),
                        ("a middle without a begin", b"\x00\x80\x01\x02\x03\x04"),
                        ("a begin within a message", b"\x01\x80\0\0\0\0\x01\x80\0\0\0\0"),
                        ("a close of one byte", b"\x88\x81\0\0\0\0x"),
                        ("a close by a code that is none", b"\x88\x82\0\0\0\0\x03\xed"),
                        ("a frame without a mask", b"\x81\x01x"),
                        ("a length beyond all bounds", b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff")):
        w = Ws(o.addr, '{app="around"}', start=now_ns())
        check(w.status == 101, f"{what}: {w.head}")
        w.s.sendall(frame)
        got, why = w.close_code()
        check(got in (1002, 1009) and why, f"{what}: {got} {why}")
    for bad in ({"Sec-WebSocket-Version": "12"}, {"Sec-WebSocket-Key": "short"}, {"Sec-WebSocket-Key": "!" * 24}):
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "X-Scope-OrgID": TENANT,
                   "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), **bad}
        r = http_call(o.addr, "GET", "/loki/api/v1/tail?" + urlencode({"query": '{app="around"}'}), headers=headers)
        check(r.status in (400, 426) and len(r.text) > 3, f"{bad}: {r.status} {r.text}")


def odd_lines(o, good):
    """What looks bad and is a line like others: it comes back, in JSON as far as that has room for it."""
    ts, odd = now_ns(), {b"nul \0 in it": "nul \0 in it", BINARY: BINARY.decode("utf-8", "replace"), b"\xff\xfe": "��",
                         b"": "", ("{\"a\":" * DEEP).encode(): "{\"a\":" * DEEP, ("[" * DEEP + "]" * DEEP).encode(): "[" * DEEP + "]" * DEEP}
    r = say(o, "/loki/api/v1/push", proto(b'{app="odd"}', [(ts + i, x) for i, x in enumerate(odd)]), "application/x-protobuf")
    expect(o, "odd lines", r, 204)
    got = lines(o.addr, '{app="odd"} | drop detected_level', direction="forward")
    check(len(got) == len(odd), f"{len(got)} of {len(odd)}")
    for have, want in zip(got, odd.values()):
        check(have == want or have.replace("�", "") == want.replace("�", ""), f"{have[:80]!r} for {want[:80]!r}")
    # parsers say what they cannot read, and go on
    for stage in "json", 'json a="a.a[0]"', "logfmt", "unpack", 'pattern "<a> <b>"', 'regexp "(?P<x>.)"':
        d = data(o.addr, "query_range", {"query": '{app="odd"} | %s' % stage})
        check(sum(len(x["values"]) for x in d["result"]) == len(odd), f"{stage}: {d['stats'] if 'stats' in d else d}")
    good.push()


def test_bad_input(t):
    o = Single(t, args=["--limits.ingestion-rate-mb=1000", "--limits.ingestion-burst-size-mb=1000",
                        "--limits.max-concurrent-tail-requests=100"]).wait_ready()
    good, neighbour = Good(o), Neighbour(o.addr)
    neighbour.start()
    good.push()
    try:
        for what, r, status, *words in bad_pushes(o, good):
            expect(o, what, r, status, *words)
            good.push()
        good.all_there("after bad pushes")
        odd_lines(o, good)
        for query, texts in bad_queries():
            began = time.monotonic()
            r = ask(o.addr, "query_range", {"query": query}, method="POST")
            took = time.monotonic() - began
            check(400 <= r.status < 500 and any(x in r.text for x in texts), f"{query[:80]}: {r.status} {r.text[:300]}")
            check(len(r.text) < 100000 and took < ANSWER_S, f"{query[:80]}: {took:.1f} s, {len(r.text)} bytes")
        for text in TEMPLATES:
            began = time.monotonic()
            r = ask(o.addr, "query_range", {"query": '{app="around"} | line_format %s' % json.dumps(text), "limit": 10})
            check(time.monotonic() - began < ANSWER_S, f"{text}: {time.monotonic() - began:.1f} s")
            check((r.status == 200 and ("TemplateFormatErr" in r.text or "%!" in r.text)) or 400 <= r.status < 500,
                  f"{text}: {r.status} {r.text[:300]}")
            check(len(r.text) < 100000, f"{text}: {len(r.text)} bytes")
        bad_frames(o)
        good.push()
        good.all_there("after bad queries")
    finally:
        took = neighbour.end()
    print(f"# the neighbour's pushes: median {1000 * took[len(took) // 2]:.0f} ms, p99 {1000 * took[len(took) * 99 // 100]:.0f} ms")
    o.kill()
    o.start()
    o.wait_ready()
    good.all_there("after kill -9")
    flush(o.addr)
    wait_for("the block", lambda: not held(o.addr, '{app="around"}'))
    good.all_there("out of a block")
    check(len(lines(o.addr, '{app="odd"}')) == 6, "odd lines out of a block")


VALUES, BATCH, LIMIT, MORE_MIB = 1_000_000, 5000, 5000, 64


def flood(o, k):
    """BATCH streams, each with another value of one label."""
    ts = now_ns()
    body = ",".join(f'{{"stream":{{"app":"shop","level":"l{i % 4}","user_id":"user-{k}-{i}"}},"values":[["{ts + i}","x"]]}}'
                    for i in range(BATCH))
    return say(o, "/loki/api/v1/push", f'{{"streams":[{body}]}}')


def test_a_label_that_explodes_is_stopped_and_named(t):
    """A million values of one label: all but the limit's are refused, by its name; memory and others stay as they are."""
    o = Single(t, args=["--limits.ingestion-rate-mb=1000", "--limits.ingestion-burst-size-mb=1000"]).wait_ready()

    def rss():
        with open(f"/proc/{o.popen.pid}/status", encoding="utf-8") as f:
            return int(next(x for x in f if x.startswith("VmRSS")).split()[1]) * 1024
    neighbour = Neighbour(o.addr)
    neighbour.start()
    time.sleep(2)
    alone = sorted(neighbour.took)
    r = flood(o, 0)
    check(r.status == 204, f"within the limit: {r.status} {r.text[:500]}")
    r, before, began = flood(o, 1), rss(), time.monotonic()
    check(r.status == 429 and f"max_global_streams_per_user ({LIMIT} over the cluster)" in r.text and '"user_id"' in r.text, r.text)
    for k in range(2, VALUES // BATCH):
        r = flood(o, k)
        check(r.status == 429 and f"{BATCH} log lines were refused" in r.text and '"user_id"' in r.text, f"{r.status} {r.text[:500]}")
    grown, took = rss() - before, time.monotonic() - began
    check(grown < MORE_MIB << 20, f"{grown >> 20} MiB more")
    push_ok(o.addr, [({"app": "shop", "level": "l0", "user_id": "user-0-0"}, [(now_ns(), "one that is there goes on")])])
    beside = neighbour.end()
    at = [len(x) * 99 // 100 for x in (alone, beside)]
    print(f"# {VALUES:,} values in {took:.0f} s, {grown >> 20} MiB more; the neighbour's p99: alone {1000 * alone[at[0]]:.0f} ms, "
          f"beside {1000 * beside[at[1]]:.0f} ms; it asked {neighbour.asked} times")
    check(beside[at[1]] < 1.5 * alone[at[0]] + 0.5, "the neighbour's pushes take longer")
    check(counter(o.addr, "orrery_loghead_active_streams") <= LIMIT + 1, f"more than {LIMIT} streams")


if __name__ == "__main__":
    main()
