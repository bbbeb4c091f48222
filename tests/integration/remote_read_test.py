#!/usr/bin/env python3
"""Remote read: Debian's Prometheus answers from Orrery; both kinds of answer on the wire; bounds."""
import math
import struct
import time

from orrery_test import (PUSH_HEADERS, Prometheus, Single, _bytes, _field, _varint, api, check, http_call, key_of,
                         label_bytes, main, push_ok, query_range, snappy, wait_for)


def now_ms():
    return int(time.time() * 1000)


# ---- the wire ------------------------------------------------------------------------------------


def read_request(start, end, matchers, types=()):
    q = _field(1, 0, _varint(start)) + _field(2, 0, _varint(end))
    for kind, name, value in matchers:
        q += _field(3, 2, _field(1, 0, _varint(kind)) + _field(2, 2, _bytes(name)) +
                    _field(3, 2, _bytes(value)))
    out = _field(1, 2, q)
    for t in types:
        out += _field(2, 0, _varint(t))
    return out


def unsnappy(data):
    n, at = varint_at(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            size = tag >> 2
            if size >= 60:
                extra = size - 59
                size = int.from_bytes(data[at:at + extra], "little")
                at += extra
            out += data[at:at + size + 1]
            at += size + 1
            continue
        if tag & 3 == 1:
            size, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at]
            at += 1
        elif tag & 3 == 2:
            size, offset = (tag >> 2) + 1, int.from_bytes(data[at:at + 2], "little")
            at += 2
        else:
            size, offset = (tag >> 2) + 1, int.from_bytes(data[at:at + 4], "little")
            at += 4
        for _ in range(size):
            out.append(out[-offset])
    check(len(out) == n, f"snappy: {len(out)} of {n} bytes")
    return bytes(out)


def varint_at(data, at):
    n = shift = 0
    while True:
        n |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return n, at


def fields(data):
    """[(number, value)] of a message; bytes for nested ones."""
    out, at = [], 0
    while at < len(data):
        key, at = varint_at(data, at)
        if key & 7 == 0:
            value, at = varint_at(data, at)
        elif key & 7 == 1:
            value, at = data[at:at + 8], at + 8
        else:
            n, at = varint_at(data, at)
            value, at = data[at:at + n], at + n
        out.append((key >> 3, value))
    return out


def labels_of(message):
    pairs = [dict(fields(v)) for n, v in fields(message) if n == 1]
    return {p[1].decode(): p[2].decode() for p in pairs}


def crc32c(data):
    crc = 0xFFFFFFFF
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def read(addr, body, tenant="test", path="/api/v1/read"):
    return http_call(addr, "POST", path, snappy(body),
                     {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
                      "X-Prometheus-Remote-Read-Version": "0.1.0", "X-Scope-OrgID": tenant})


# ---- tests ---------------------------------------------------------------------------------------

QUERIES = ["up", "sum by (job) (rate(requests_total[2m]))", "requests_total{job=~\"a|b\"} > 100",
           "max_over_time(up[1m])", "absent(nothing)", "count(requests_total == 0) by (job)"]


def fill(o, start, tenant="anonymous"):
    """Samples lie beside the steps of the queries: in 2.42 a range includes its left end, in 3 not."""
    start += 7000
    series = []
    for job in "abc":
        for i in range(5):
            labels = {"job": job, "instance": str(i)}
            series.append(({"__name__": "up", **labels},
                           [(start + k * 15000, float((k + i) % 2)) for k in range(300)]))
            series.append(({"__name__": "requests_total", **labels},
                           [(start + k * 15000, float(k * (i + 1) % 700)) for k in range(300)]))
    push_ok(o.addr, series, tenant=tenant)


def points_of(data):
    return {key_of(s["metric"]): {round(t * 1000): float(v) for t, v in s["values"]}
            for s in data["result"]}


def same_answers(o, p, start):
    for expr in QUERIES:
        args = (expr, start, start + 299 * 15000, 60)
        want = points_of(query_range(o.addr, *args, tenant=None))
        got = points_of(query_range(p.addr, *args, tenant=None))
        check(want and set(want) == set(got), f"{expr}: {sorted(want)[:3]} and {sorted(got)[:3]}")
        for key, points in want.items():
            check(set(points) == set(got[key]) and
                  all(math.isclose(v, got[key][t], rel_tol=1e-9, abs_tol=1e-12)
                      for t, v in points.items()),
                  lambda: f"{expr} {key}: {list(points.items())[:5]} and {list(got[key].items())[:5]}")


def test_prometheus_reads_from_orrery(t):
    o = Single(t, args=["--auth.mode=optional"]).wait_ready()
    start = (now_ms() - 80 * 60000) // 60000 * 60000
    fill(o, start)
    p = Prometheus(t, f"""
global: {{scrape_interval: 1h}}
remote_read:
  - url: http://{o.addr}/api/v1/read
    read_recent: true
""", args=["--enable-feature=native-histograms"]).wait_ready()
    same_answers(o, p, start)
    r = api(p.addr, "/api/v1/label/job/values", tenant=None)
    check(r.status == 200, r.text)
    r = http_call(o.addr, "POST", "/ingester/flush", timeout=120)
    check(r.status // 100 == 2, r.text)
    wait_for("a block", lambda: api(o.addr, "/api/v1/status/tsdb/blocks", tenant=None)
             .json["data"]["blocks"], 60)
    same_answers(o, p, start)


def zigzag(n):
    return _varint(n << 1 ^ n >> 63)


def histogram_series(labels, times):
    """Integer native histograms of schema 0 that grow by (2, 1) a step in buckets 1 and 2."""
    out = b"".join(label_bytes(k, v) for k, v in sorted(labels.items()))
    for i, t in enumerate(times):
        a, b = 2 * (i + 1), i + 1
        h = (_field(1, 0, _varint(a + b + 1)) + _field(3, 1, struct.pack("<d", 10.0 * i)) +
             _field(5, 1, struct.pack("<d", 0.001)) + _field(6, 0, _varint(1)) +
             _field(11, 2, _field(1, 0, zigzag(1)) + _field(2, 0, _varint(2))) +
             _field(12, 2, zigzag(a) + zigzag(b - a)) + _field(15, 0, _varint(t)))
        out += _field(4, 2, h)
    return _field(1, 2, out)


def test_native_histograms(t):
    o = Single(t, args=["--auth.mode=optional"]).wait_ready()
    end = now_ms() // 15000 * 15000 - 7000
    times = [end - (199 - i) * 15000 for i in range(200)]
    body = b"".join(histogram_series({"__name__": "hist", "job": j}, times) for j in "ab")
    r = http_call(o.addr, "POST", "/api/v1/push", snappy(body), PUSH_HEADERS)
    check(r.status // 100 == 2, r.text)
    # Prometheus reads histograms remotely from 2.44 on: what it would be sent is looked at here
    r = read(o.addr, read_request(times[0], end, [(0, "job", "a")]), "anonymous")
    result, = [v for n, v in fields(unsnappy(r.body)) if n == 1]
    series, = [v for n, v in fields(result) if n == 1]
    hists = [dict(fields(v)) for n, v in fields(series) if n == 4]
    check([h[15] for h in hists] == times, "times")
    for i, h in enumerate(hists):
        check(h[1] == 3 * (i + 1) + 1 and struct.unpack("<d", h.get(3, bytes(8)))[0] == 10.0 * i and
              h[6] == 1 and h[12] == zigzag(2 * (i + 1)) + zigzag(-(i + 1)) and
              dict(fields(h[11])) == {1: 2, 2: 2}, f"{i}: {h}")
    r = read(o.addr, read_request(times[0], end, [(0, "__name__", "hist")], types=(1,)), "anonymous")
    kinds = {dict(fields(c))[3] for frame in frames_of(r.body) for n, v in frame if n == 1
             for m, c in fields(v) if m == 2}
    check(kinds == {2}, f"chunks of encodings {kinds}")
    r = api(o.addr, "/api/v1/cardinality/active_native_histogram_metrics", {"selector": "hist"}, None)
    check(r.json["data"] == [{"metric": "hist", "series_count": 2, "bucket_count": 4,
                              "avg_bucket_count": 2, "min_bucket_count": 2, "max_bucket_count": 2}],
          r.text)
    r = http_call(o.addr, "GET", "/federate?match[]=hist")
    check(f'hist_count{{job="a",instance=""}} 601 {end}' in r.text and "# TYPE hist histogram" in r.text,
          r.text)


def test_samples_on_the_wire(t):
    o = Single(t).wait_ready()
    start = now_ms() - 600_000
    push_ok(o.addr, [({"__name__": "up", "job": j}, [(start + i * 1000, float(i)) for i in range(200)])
                     for j in "ab"])
    r = read(o.addr, read_request(start + 10_000, start + 19_000, [(0, "__name__", "up"),
                                                                    (2, "job", "a|c")]),
             path="/prometheus/api/v1/read")
    check(r.status == 200 and r.headers["content-type"] == "application/x-protobuf" and
          r.headers["content-encoding"] == "snappy", f"{r.status} {r.headers}")
    result, = [v for n, v in fields(unsnappy(r.body)) if n == 1]
    series, = [v for n, v in fields(result) if n == 1]
    check(labels_of(series) == {"__name__": "up", "job": "a"}, labels_of(series))
    samples = [dict(fields(v)) for n, v in fields(series) if n == 2]
    check([(s[2] - start, struct.unpack("<d", s[1])[0]) for s in samples] ==
          [(i * 1000, float(i)) for i in range(10, 20)], samples)


def frames_of(body, checks=True):
    at = 0
    while at < len(body):
        n, at = varint_at(body, at)
        crc = struct.unpack(">I", body[at:at + 4])[0]
        message = body[at + 4:at + 4 + n]
        check(not checks or crc == crc32c(message), "a frame's checksum")
        at += 4 + n
        yield fields(message)


def test_chunks_on_the_wire(t):
    o = Single(t).wait_ready()
    start = now_ms() - 1_200_000
    push_ok(o.addr, [({"__name__": "up", "job": str(j)},
                      [(start + i * 1000, float(i)) for i in range(1000)]) for j in range(20)])
    body = read_request(start, start + 999_000, [(0, "__name__", "up")], types=(1, 0))
    body += read_request(start, start, [(0, "job", "3")])
    r = read(o.addr, body)
    check(r.status == 200 and r.headers["content-type"] ==
          "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse", r.headers)
    samples, queries = {}, set()
    for frame in frames_of(r.body):
        query = dict(frame).get(2, 0)
        for series in (v for n, v in frame if n == 1):
            key = (query, labels_of(series)["job"])
            for chunk in (dict(fields(v)) for n, v in fields(series) if n == 2):
                check(chunk[3] == 1, f"encoding {chunk[3]}")
                check(chunk[1] >= start and chunk[2] <= start + 999_000, "chunk's range")
                samples[key] = samples.get(key, 0) + struct.unpack(">H", chunk[4][:2])[0]
        queries.add(query)
    check(queries == {0, 1} and len(samples) == 21, f"{queries} {len(samples)}")
    check(all(n == (1000 if k[0] == 0 else 1) for k, n in samples.items()), samples)
    check(samples[(1, "3")] == 1, samples)


def test_a_large_answer_streams(t):
    o = Single(t, args=["--querier.max-query-memory=16MiB"]).wait_ready()
    start = now_ms() - 3_000_000
    for part in range(8):
        push_ok(o.addr, [({"__name__": "wide", "i": str(part * 250 + i), "pad": "x" * 200},
                          [(start + k * 15000, float(k * 37 % 1013)) for k in range(200)])
                         for i in range(250)])
    r = read(o.addr, read_request(start, now_ms(), [(0, "__name__", "wide")], types=(1,)))
    check(r.status == 200, f"{r.status} {r.text[:200]}")
    n = sum(1 for frame in frames_of(r.body, False) for number, _ in frame if number == 1)
    check(n == 2000, f"{n} series of 2000")


def test_what_is_wrong_is_said(t):
    o = Single(t, args=["--limits.max-samples-per-query=50"]).wait_ready()
    now = now_ms()
    push_ok(o.addr, [({"__name__": "up"}, [(now - 100_000 + i * 1000, 1.0) for i in range(100)])])
    r = http_call(o.addr, "POST", "/api/v1/read", b"no snappy", {"X-Scope-OrgID": "test"})
    check(r.status == 400, f"{r.status} {r.text}")
    r = read(o.addr, b"\xff\xff\xff")
    check(r.status == 400 and "ReadRequest" in r.text, f"{r.status} {r.text}")
    r = read(o.addr, read_request(0, now, [(9, "a", "b")]))
    check(r.status == 400 and "matcher" in r.text, f"{r.status} {r.text}")
    r = read(o.addr, read_request(0, now, [(2, "a", "(")]))
    check(r.status == 400, f"{r.status} {r.text}")
    r = read(o.addr, read_request(0, now, [(0, "__name__", "up")], types=(7,)))
    check(r.status == 400 and "response types" in r.text, f"{r.status} {r.text}")
    r = read(o.addr, read_request(0, now, [(0, "__name__", "up")]))
    check(r.status == 422 and "max-samples-per-query" in r.text, f"{r.status} {r.text}")
    r = http_call(o.addr, "POST", "/api/v1/read", b"x" * (5 << 20), {"X-Scope-OrgID": "test"})
    check(r.status == 413, f"{r.status} {r.text}")
    r = http_call(o.addr, "POST", "/api/v1/read", b"x")
    check(r.status == 401, f"{r.status} {r.text}")


if __name__ == "__main__":
    main()
