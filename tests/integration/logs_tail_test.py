#!/usr/bin/env python3
"""Tails of log queries: websockets by hand (so that they can be wrong, slow and many) and by a stock client."""
import base64
import json
import os
import select
import socket
import struct
import subprocess
import time
from urllib.parse import urlencode

import pyenv
from logs_api_test import S, data
from logs_blocks_test import FAST
from logs_test import flush, held, now_ns, push_ok
from orrery_test import Cluster, Single, TENANT, check, http_call, main, wait_for


class Ws:
    """A websocket client, as little of one as the tests need."""

    def __init__(self, addr, query, tenant=TENANT, path="/loki/api/v1/tail", rcvbuf=None, headers="", **params):
        host, port = addr.split(":")
        self.s = socket.socket()
        if rcvbuf:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.s.settimeout(30)
        self.s.connect((host, int(port)))
        self.s.sendall((f"GET {path}?{urlencode({'query': query, **params})} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\n"
                        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nX-Scope-OrgID: {tenant}\r\n{headers}"
                        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n").encode())
        self.buf = b""
        while b"\r\n\r\n" not in self.buf:
            self.more()
        self.head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        self.status = int(self.head.split()[1])
        self.closed = None

    def more(self):
        got = self.s.recv(1 << 20)
        if not got:
            raise EOFError("the server has closed")
        self.buf += got

    def send(self, first, payload=b"", mask=b"\x01\x02\x03\x04"):
        check(len(payload) < 126, "a short frame")
        self.s.sendall(bytes([first, 0x80 | len(payload)]) + mask + bytes(c ^ mask[i & 3] for i, c in enumerate(payload)))

    def parse(self):
        """A whole frame off what has come, or None."""
        if len(self.buf) < 2:
            return None
        n, at = self.buf[1], 2
        check(n < 128, "a frame of the server is masked")
        if n > 125:
            at = 4 if n == 126 else 10
            if len(self.buf) < at:
                return None
            n = int.from_bytes(self.buf[2:at], "big")
        if len(self.buf) < at + n:
            return None
        frame = self.buf[0], self.buf[at:at + n]
        self.buf = self.buf[at + n:]
        return frame

    def frame(self, timeout=30):
        self.s.settimeout(timeout)
        while not (f := self.parse()):
            self.more()
        return f

    def take(self, first, payload):
        """[(labels, ns, line…)] of a message; pings are answered, a close is kept in closed."""
        if first == 0x89:
            self.send(0x8a, payload)
        elif first == 0x88:
            self.closed = (struct.unpack(">H", payload[:2])[0], payload[2:].decode())
        elif first == 0x81:
            return [(x["stream"], int(v[0]), *v[1:]) for x in json.loads(payload)["streams"] for v in x["values"]]
        return []

    def entries(self, n, timeout=30):
        """At least so many."""
        got, until = [], time.time() + timeout
        while len(got) < n and not self.closed:
            got += self.take(*self.frame(max(until - time.time(), 0.01)))
        return got

    def nothing(self, seconds):
        try:
            got = self.entries(1, seconds)
        except TimeoutError:
            return
        check(False, f"{got} {self.closed}")

    def close_code(self, timeout=60):
        until = time.time() + timeout
        while not self.closed:
            self.take(*self.frame(max(until - time.time(), 0.01)))
        return self.closed


def lines(entries):
    return [e[2] for e in entries]


def test_lines_come_once(t):
    o = Single(t).wait_ready()
    base = now_ns() // S * S - 60 * S
    push_ok(o.addr, [({"app": "web"}, [(base + i * S, f"old {i}") for i in range(20)])])
    w = Ws(o.addr, '{app=~"web|db"} != "not"', limit=5)
    check(w.status == 101, w.head)
    got = w.entries(5)
    check(lines(got) == [f"old {i}" for i in range(15, 20)], f"the newest five, oldest first: {got}")
    check(got[0][0]["app"] == "web" and "detected_level" in got[0][0] and got[0][1] == base + 15 * S, f"{got[0]}")
    w.nothing(1.5)
    want = []
    for i in range(30):
        now = now_ns()
        push_ok(o.addr, [({"app": "db"}, [(now - 3 * S, f"late {i}"), (now, f"new {i}"), (now, f"not {i}")]),
                         ({"app": "other"}, [(now, "other")])])
        want += [f"late {i}", f"new {i}"]
        time.sleep(0.05)
    got = lines(w.entries(60))
    check(sorted(got) == sorted(want), f"{got}")
    w.nothing(1.5)
    w.send(0x89, b"are you there")
    check(w.frame() == (0x8a, b"are you there"), "pong")
    w.send(0x81, b"a message that nobody asked for")
    w.send(0x88, struct.pack(">H", 1000))
    check(w.close_code()[0] == 1000, f"{w.closed}")
    # the old path; all of the lines' labels apart; a delay
    old = Ws(o.addr, '{app="db"} |= "new 29"', path="/api/prom/tail")
    check(lines(old.entries(1)) == ["new 29"], "the old path")
    now = now_ns()
    flag = "X-Loki-Response-Encoding-Flags: categorize-labels\r\n"
    apart = Ws(o.addr, '{app="k"} | logfmt', headers=flag)
    late = Ws(o.addr, '{app="k"}', delay_for=2)
    push_ok(o.addr, [({"app": "k"}, [(now_ns(), "a=1", {"trace": "t1"})])])
    got = apart.entries(1)
    check(got[0][0] == {"app": "k", "service_name": "k"} and got[0][3]["parsed"] == {"a": "1"} and
          got[0][3]["structuredMetadata"]["trace"] == "t1", f"{got}")
    check(lines(late.entries(1)) == ["a=1"] and now_ns() - now > 2 * S, "two seconds later")
    # a tail ends with the process, and says so
    o.signal(15)
    check(late.close_code()[0] == 1001, f"{late.closed}")


def test_blocks_in_between(t):
    """Lines go into blocks while they are tailed, and before."""
    o = Single(t, args=FAST).wait_ready()
    push_ok(o.addr, [({"app": "web"}, [(now_ns() - (600 - i) * S, f"took={i}ms user=u{i}") for i in range(20)])])
    flush(o.addr)
    wait_for("the block", lambda: not held(o.addr, '{app="web"}'))
    w = Ws(o.addr, '{app="web"}', limit=5)
    check(lines(w.entries(5)) == [f"took={i}ms user=u{i}" for i in range(15, 20)], "out of a block")
    want, got = [], []
    for k in range(3):
        push_ok(o.addr, [({"app": "web"}, [(now_ns() + i, f"{k} {i}") for i in range(10)])])
        want += [f"{k} {i}" for i in range(10)]
        time.sleep(0.3 * k)  # before it was given, or after it
        flush(o.addr)
        got += lines(w.entries(len(want) - len(got)))
    w.nothing(2)
    check(got == want, f"{got}")
    # what else is asked of blocks
    span = {"start": now_ns() - 700 * S, "end": now_ns()}
    r = http_call(o.addr, "GET", "/loki/api/v1/detected_fields?" + urlencode({"query": '{app="web"} |= "took"', **span}),
                  headers={"X-Scope-OrgID": TENANT})
    check({x["label"]: (x["type"], x["cardinality"]) for x in r.json["fields"] if x["parsers"]} ==
          {"took": ("duration", 20), "user": ("string", 20)}, r.text)
    got = data(o.addr, "patterns", {"query": '{app="web"} |= "took"', **span, "step": "1000s"})
    check([(x["pattern"], sum(n for _, n in x["samples"])) for x in got] == [("took=<_> user=<_>", 20)], f"{got}")


def test_refused(t):
    o = Single(t, args=["--limits.max-concurrent-tail-requests=3"]).wait_ready()
    for params, status, text in (({"query": "{"}, 400, "parse error"), ({"query": ""}, 400, "parse error"),
                                 ({"query": 'rate({a="b"}[1m])'}, 400, "only queries for lines"),
                                 ({"query": '{a="b"}', "delay_for": 6}, 400, "delay_for can't be greater than 5"),
                                 ({"query": '{a="b"}', "delay_for": "x"}, 400, "delay_for"),
                                 ({"query": '{a="b"}', "limit": 0}, 400, "limit must be a positive value"),
                                 ({"query": '{a="b"}', "limit": 5001}, 400, "max-entries-limit-per-query"),
                                 ({"query": '{a="b"}', "start": "x"}, 400, '"start"'),
                                 ({"query": '{a="b"}', "start": 1}, 400, "max-query-length"),
                                 ({"query": '{a="b"}'}, 400, "no Upgrade: websocket")):
        r = http_call(o.addr, "GET", "/loki/api/v1/tail?" + urlencode(params), headers={"X-Scope-OrgID": TENANT})
        check(r.status == status and text in r.text, f"{params}: {r.status} {r.text}")
        check(r.headers["content-type"].startswith("text/plain"), f"{r.headers}")
    r = http_call(o.addr, "POST", "/loki/api/v1/tail", b"", {"X-Scope-OrgID": TENANT})
    check(r.status == 405, f"{r.status}")
    open_ones = [Ws(o.addr, '{a="b"}') for _ in range(3)]
    check([w.status for w in open_ones] == [101] * 3, "three tails")
    w = Ws(o.addr, '{a="b"}')
    check(w.status == 429 and b"max concurrent tail requests limit exceeded" in w.buf, f"{w.head} {w.buf}")
    other = Ws(o.addr, '{a="b"}', tenant="other")
    check(other.status == 101, "another tenant's")
    # what breaks the protocol is told why, and counts no more
    open_ones[0].s.sendall(b"\x81\x05hello")
    check(open_ones[0].close_code() == (1002, "a frame is not masked"), f"{open_ones[0].closed}")
    open_ones[1].send(0x81, b"\xff\xfe")
    check(open_ones[1].close_code()[0] == 1007, f"{open_ones[1].closed}")
    open_ones[2].s.sendall(b"\x82\xff" + struct.pack(">Q", 1 << 40) + b"1234")
    check(open_ones[2].close_code()[0] == 1009, f"{open_ones[2].closed}")
    wait_for("room for three", lambda: "orrery_querier_tails 1\n" in http_call(o.addr, "GET", "/metrics").text)
    open_ones = [Ws(o.addr, '{a="b"}') for _ in range(3)]
    check([w.status for w in open_ones] == [101] * 3, "three tails again")
    # a query that fails while it runs
    w = Ws(o.addr, '{a="b"} | json | line_format "{{ __line__ "', tenant="third")
    check(w.status == 101 and w.close_code()[0] == 1011, f"{w.status} {w.closed}")


def test_a_slow_client_is_dropped(t):
    o = Single(t, args=["--limits.ingestion-rate-mb=1000", "--limits.ingestion-burst-size-mb=1000"]).wait_ready()
    slow = Ws(o.addr, '{app="much"}', rcvbuf=4096)
    quick = Ws(o.addr, '{app="much"} |= "0 of"')
    time.sleep(1)
    began = time.time()
    for k in range(16):  # 16 MB, which neither sockets nor the tail have room for
        push_ok(o.addr, [({"app": "much"}, [(now_ns() + i, f"{i} of {k} " + "x" * 10000) for i in range(100)])])
        time.sleep(0.2)
    check(len(quick.entries(10 * 16)) == 10 * 16, "the others go on")
    wait_for("the slow one dropped", lambda: "orrery_querier_dropped_tails_total 1" in
             http_call(o.addr, "GET", "/metrics").text, timeout=60)
    check(time.time() - began > 14, "not at once")
    code, why = slow.close_code()
    check(code == 1008 and "too slow" in why, f"{code} {why}")
    push_ok(o.addr, [({"app": "much"}, [(now_ns(), "10 of them")])])
    check(lines(quick.entries(1)) == ["10 of them"], "and on")


def test_a_thousand_tails(t):
    o = Single(t, args=["--limits.max-concurrent-tail-requests=100"]).wait_ready()
    tails = [Ws(o.addr, f'{{app="a{i % 50}"}}', tenant=f"t{i % 20}") for i in range(1000)]
    check(all(w.status == 101 for w in tails), "1000 tails")
    by_fd = {w.s.fileno(): w for w in tails}
    poll = select.poll()
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    for round_ in range(3):
        for k in range(20):
            push_ok(o.addr, [({"app": f"a{i}"}, [(now_ns(), f"round {round_}")]) for i in range(50)], tenant=f"t{k}")
        got, began = {}, time.time()
        while len(got) < 1000:
            check(time.time() - began < 60, f"only {len(got)} tails have their line")
            for fd, _ in poll.poll(1000):
                w = by_fd[fd]
                w.more()
                while f := w.parse():
                    for e in w.take(*f):
                        check(e[2] == f"round {round_}" and fd not in got, f"{e}")
                        got[fd] = e
        print(f"# {len(got)} tails had their line after {time.time() - began:.1f} s")
    threads = len(os.listdir(f"/proc/{o.popen.pid}/task"))
    check(threads < 200, f"{threads} threads")


def test_replicas_send_each_line_once(t):
    c = Cluster(t)
    ingesters, querier = c.addrs("ingester"), c.addrs("querier")[0]
    wait_for("the querier to know the ingesters", lambda: http_call(
        querier, "GET", "/loki/api/v1/labels", headers={"X-Scope-OrgID": TENANT}).status == 200)
    w = Ws(querier, '{app=~".+"}')
    check(w.status == 101, w.head)
    want, got = [], []

    def some(n, to):
        for i in range(n):
            now = now_ns()
            push_ok(to[i % len(to)], [({"app": f"s{i % 5}"}, [(now, f"line {len(want)}"), (now, f"more {len(want)}")])])
            want.extend([f"line {len(want)}", f"more {len(want)}"])

    some(60, ingesters)
    got += lines(w.entries(len(want)))
    check(sorted(got) == sorted(want), f"{len(got)} of {len(want)}")
    names = c.names("ingester")
    c.run("kill", names[0])
    some(60, ingesters[1:])
    got += lines(w.entries(len(want) - len(got), 60))
    check(sorted(got) == sorted(want), lambda: f"{len(got)} of {len(want)}: twice {[x for x in got if got.count(x) > 1][:60]}")
    c.run("restart", names[0])
    some(20, ingesters[1:])
    got += lines(w.entries(len(want) - len(got), 60))
    w.nothing(3)
    check(sorted(got) == sorted(want), lambda: f"{len(got)} of {len(want)}: twice {[x for x in got if got.count(x) > 1][:60]}")


CLIENT = """
import json, sys, websocket
ws = websocket.create_connection(sys.argv[1], header={"X-Scope-OrgID": sys.argv[2]}, timeout=30)
print("open", flush=True)
n = 0
while n < 3:
    for s in json.loads(ws.recv())["streams"]:
        for v in s["values"]:
            print(v[1], flush=True)
            n += 1
ws.ping("x")
ws.close()
print("closed", flush=True)
"""


def test_stock_client(t):
    python = pyenv.python("websocket-client==1.8.0")
    o = Single(t).wait_ready()
    p = subprocess.Popen([python, "-c", CLIENT, f"ws://{o.addr}/loki/api/v1/tail?" + urlencode({"query": '{app="x"}'}), TENANT],
                         stdout=subprocess.PIPE, text=True)
    check(p.stdout.readline() == "open\n", "the handshake")
    for i in range(3):
        push_ok(o.addr, [({"app": "x"}, [(now_ns(), f"line {i}")])])
    out, _ = p.communicate(timeout=60)
    check(out.splitlines() == ["line 0", "line 1", "line 2", "closed"] and p.returncode == 0, out)


if __name__ == "__main__":
    main()
