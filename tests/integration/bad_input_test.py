#!/usr/bin/env python3
"""Bad input: each gets its clear error or is held off, and other clients notice nothing."""
import math
import os
import resource
import socket
import struct
import time

from orrery_test import (PUSH_HEADERS, TENANT, Single, api, check, http_call, main, push, push_ok,
                         samples_of, series_bytes, snappy, wait_for, write_request, _field, _varint)

HEADERS = dict(PUSH_HEADERS, **{"X-Scope-OrgID": TENANT})


def now_ms():
    return int(time.time() * 1000)


def send(o, body, path="/api/v1/push", headers=None):
    return http_call(o.addr, "POST", path, body, headers or HEADERS)


def expect(o, what, reply, status, *words):
    check(reply.status == status, f"{what}: {reply.status} {reply.text[:200]}, not {status}")
    for word in words:
        check(word.lower() in reply.text.lower(), f"{what}: no {word!r} in {reply.text[:300]!r}")
    check(len(reply.text) > 3, f"{what}: no reason given")
    check(o.alive(), f"{what}: orrery died")


def good(name="good", t=None):
    return ({"__name__": name}, [(t or now_ms(), 1.0)])


def test_bodies(t):
    o = Single(t).wait_ready()
    valid = snappy(write_request([good()]))
    expect(o, "truncated snappy", send(o, valid[:-3]), 400)
    expect(o, "not snappy", send(o, b"\xff\xff\xff\xff\xff\xff"), 400)
    expect(o, "snappy that claims 4 GiB", send(o, _varint(2**32 - 1) + b"\0abc"), 413
           if send(o, _varint(2**32 - 1) + b"\0abc").status == 413 else 400)
    expect(o, "invalid protobuf", send(o, snappy(b"\x0a\xff\xff\xff\xff\x0f")), 400)
    expect(o, "empty name", push(o.addr, [({"a": "b"}, [(now_ms(), 1.0)])]), 400)
    expect(o, "bad UTF-8", push(o.addr, [([(b"__name__", b"x"), (b"a", b"\xff\xfe")],
                                          [(now_ms(), 1.0)])]), 400)
    expect(o, "duplicate labels", push(o.addr, [([("__name__", "x"), ("a", "1"), ("a", "2")],
                                                 [(now_ms(), 1.0)])]), 400, "duplicate")
    expect(o, "wrong encoding", send(o, valid, headers=dict(HEADERS, **{"Content-Encoding": "br"})),
           415)
    expect(o, "far future", push(o.addr, [good("far", now_ms() + 10**9)]), 400, "future")
    check(send(o, valid).status // 100 == 2, "a good write after all of these")


def test_partial_failure_keeps_what_is_valid(t):
    o = Single(t).wait_ready()
    at = now_ms()
    r = push(o.addr, [good("fine", at), ([("__name__", "x"), ("a", "1"), ("a", "2")], [(at, 1.0)]),
                      good("later", at + 10**9)])
    check(r.status == 400, f"{r.status} {r.text}")
    got = samples_of(o.addr, '{__name__=~"fine|x|later"}', at - 1000, at + 1000)
    check(list(got.values()) == [{at: "1"}] and "fine" in str(got), f"stored: {got}")


def test_unsorted_labels_are_stored_sorted(t):
    o = Single(t).wait_ready()
    at = now_ms()
    body = series_bytes([("z", "1"), ("__name__", "unsorted"), ("a", "2")], [(at, 5.0)], sort=False)
    check(send(o, snappy(body)).status // 100 == 2, "unsorted labels refused")
    got = samples_of(o.addr, "unsorted", at - 1000, at + 1000)
    check(got == {(("__name__", "unsorted"), ("a", "2"), ("z", "1")): {at: "5"}}, f"{got}")


def test_special_values(t):
    o = Single(t).wait_ready()
    at = now_ms() - 60000
    stale = struct.pack("<Q", 0x7FF0000000000002)
    push_ok(o.addr, [({"__name__": "special"}, [(at, math.nan), (at + 1000, math.inf),
                                                (at + 2000, -0.0), (at + 3000, 5e-324)])])
    push_ok(o.addr, [({"__name__": "gone"}, [(at, 1.0), (at + 1000, stale)])])
    got = list(samples_of(o.addr, "special", at - 1000, at + 5000).values())[0]
    check(got[at] == "NaN" and got[at + 1000] == "+Inf" and got[at + 2000] == "-0", f"{got}")
    r = api(o.addr, "/api/v1/query", {"query": "gone", "time": (at + 2000) / 1000})
    check(r.json["data"]["result"] == [], "a stale marker does not end the series")


def test_old_and_duplicate_samples(t):
    o = Single(t).wait_ready()
    at = now_ms()
    push_ok(o.addr, [good("dup", at)])
    check(push(o.addr, [good("dup", at)]).status // 100 == 2, "a repeated sample is an error")
    r = push(o.addr, [({"__name__": "dup"}, [(at, 2.0)])])
    check(r.status == 400 and "duplicate" in r.text.lower(), f"{r.status} {r.text}")
    r = push(o.addr, [good("dup", at - 3_600_000)])
    check(r.status == 400 and "order" in r.text.lower(), f"{r.status} {r.text}")


def test_huge_body_is_refused_before_it_is_read(t):
    o = Single(t).wait_ready()
    host, port = o.addr.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as s:
        s.sendall(b"POST /api/v1/push HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: test\r\n"
                  b"Content-Encoding: snappy\r\nContent-Length: 104857600\r\n\r\n")
        reply = s.recv(4096)
    check(b" 413 " in reply.split(b"\r\n")[0], f"{reply[:100]}")
    check(b"byte" in reply.lower() or b"large" in reply.lower(), f"no reason: {reply[:300]}")


def chunked(o):
    host, port = o.addr.split(":")
    s = socket.create_connection((host, int(port)), timeout=20)
    s.sendall(b"POST /api/v1/push HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: test\r\n"
              b"Content-Encoding: snappy\r\nTransfer-Encoding: chunked\r\n\r\n")
    return s


def test_chunks_that_announce_too_much(t):
    o = Single(t).wait_ready()
    for size, status in ((b"fffffffffffffff", b" 413 "), (b"7fffffffffffffff", b" 413 "),
                         (b"fffffffffffffffff", b" 400 "), (b"-1", b" 400 ")):
        with chunked(o) as s:
            started = time.monotonic()
            s.sendall(size + b"\r\n")
            line = s.recv(4096).split(b"\r\n")[0]
            check(status in line, f"{size}: {line}, not {status}")
            check(time.monotonic() - started < 2, f"{size}: answered late")
    push_ok(o.addr, [good("after_chunks")])


def test_100_mb_in_chunks(t):
    """Really sent: refused once the limit is passed, the rest is not taken into memory."""
    o = Single(t).wait_ready()
    sent, reply, piece = 0, b"", b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with chunked(o) as s:
        try:
            while sent < 100 << 20:
                s.sendall(piece)
                sent += 65536
            s.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # closed while we sent
        try:
            reply = s.recv(4096)
        except OSError as e:
            check(sent < 100 << 20, f"no reply after all was sent: {e}")
    check(sent >= 16 << 20, f"it ended after {sent} bytes")
    check(b" 413 " in reply.split(b"\r\n")[0] or not reply and sent < 100 << 20,
          f"{reply[:100]} after {sent} bytes")
    with open(f"/proc/{o.popen.pid}/status") as f:
        peak = int([x for x in f if x.startswith("VmHWM")][0].split()[1])
    check(peak < 400 << 10, f"peak of memory: {peak} KiB")
    counted = [x for x in http_call(o.addr, "GET", "/metrics").text.splitlines()
               if x.startswith("orrery_http_rejected_total") and 'reason="too_large"' in x]
    check(counted and counted[0].endswith(" 1"), f"not counted: {counted}")
    push_ok(o.addr, [good("after_100_mb")])


def test_slow_drip_does_not_hold_others_up(t):
    o = Single(t, args=["--server.http-header-timeout=2s"]).wait_ready()
    host, port = o.addr.split(":")
    drips = [socket.create_connection((host, int(port)), timeout=20) for _ in range(50)]
    started = time.monotonic()
    open_ones = list(drips)
    while open_ones and time.monotonic() - started < 15:
        for s in list(open_ones):
            try:
                s.send(b"P")
                s.setblocking(False)
                if s.recv(1000) == b"":
                    open_ones.remove(s)
            except BlockingIOError:
                pass
            except OSError:
                open_ones.remove(s)
        before = time.monotonic()
        push_ok(o.addr, [good("meanwhile")])
        check(time.monotonic() - before < 2, "a good client had to wait")
        time.sleep(0.2)
    check(not open_ones, f"{len(open_ones)} dripping clients are still served")


def test_ten_thousand_idle_connections(t):
    want = 10000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    o = Single(t).wait_ready()
    host, port = o.addr.split(":")

    def rss():
        with open(f"/proc/{o.popen.pid}/status") as f:
            return int([x for x in f if x.startswith("RssAnon")][0].split()[1])

    before = rss()
    idle = []
    for _ in range(want):
        s = socket.socket()
        s.connect((host, int(port)))
        idle.append(s)
    for _ in range(20):
        started = time.monotonic()
        push_ok(o.addr, [good("crowded")])
        check(time.monotonic() - started < 2, "a write had to wait")
    grown = rss() - before
    check(grown < 200_000, f"{want} idle connections cost {grown} KiB")
    for s in idle:
        s.close()
    push_ok(o.addr, [good("after")])


def test_disk_that_takes_no_chunk_files(t):
    """Past a bound in memory writes are refused, /ready says why, and reads go on."""
    o = Single(t, args=["--ingester.max-memory-chunk-bytes=1KiB", "--ingester.cut-on-shutdown=false"],
               env={"ORRERY_FAULT": "head.chunks.create=ENOSPC"}).wait_ready()
    at, stored = now_ms() - 3_600_000, 0
    if at % 7_200_000 > 6_000_000:
        at -= 1_800_000  # the end of a 2-hour window closes chunks before they are full
    for stored in range(2000):
        r = push(o.addr, [({"__name__": "chunky", "k": str(k)}, [(at + stored * 1000, 1.0)])
                          for k in range(20)])
        if r.status // 100 != 2:
            break
    expect(o, "no chunk files", r, 503, "no file can be made for closed chunks", "no space left")
    check(stored > 30, f"refused after {stored} writes")
    expect(o, "/ready", http_call(o.addr, "GET", "/ready"), 503, "no file can be made", "in memory")
    got = samples_of(o.addr, "chunky", at - 1000, now_ms())
    check(all(len(v) >= stored for v in got.values()) and len(got) == 20, "reads lost something")


def test_bad_queries(t):
    o = Single(t).wait_ready()
    for params, status, word in (
            ({"query": "sum("}, 400, "parse"), ({"query": ""}, 400, ""),
            ({"query": "up", "time": "yesterday"}, 400, "time"),
            ({"query": "(" * 100000 + "1" + ")" * 100000}, 422, "deep"),
            ({"query": "no_such_function(up)"}, 400, "unknown function")):
        r = api(o.addr, "/api/v1/query", params, method="POST")
        check(r.status == status and r.json["status"] == "error" and word in r.text,
              f"{str(params)[:80]}: {r.status} {r.text[:200]}")
    r = api(o.addr, "/api/v1/query_range", {"query": "up", "start": 0, "end": 10**9, "step": 1})
    check(r.status == 400 and "11,000" in r.text, f"{r.status} {r.text}")
    r = api(o.addr, "/api/v1/query_range", {"query": "up", "start": 10, "end": 1, "step": 1})
    check(r.status == 400, f"{r.status} {r.text}")
    r = api(o.addr, "/api/v1/series", [])
    check(r.status == 400, f"{r.status} {r.text}")
    r = http_call(o.addr, "GET", "/no/such/path")
    check(r.status == 404, f"{r.status}")


if __name__ == "__main__":
    main()
