#!/usr/bin/env python3
"""Native histograms and exemplars all the way with Debian's Prometheus: a target → Prometheus → remote write →
Orrery → /federate in protobuf → another Prometheus."""
import http.server
import math
import struct
import threading
import time

from orrery_test import (Prometheus, Single, _bytes, _field, _varint, api, check, http_call, key_of, main, query,
                         query_range, wait_for)

PROTO = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
FEATURES = "--enable-feature=native-histograms,exemplar-storage"


def now_ms():
    return int(time.time() * 1000)


def double(field, v):
    return _field(field, 1, struct.pack("<d", v))


def zigzag(n):
    return _varint(n << 1 ^ n >> 63)


def pair(name, value):
    return _field(1, 2, _bytes(name)) + _field(2, 2, _bytes(value))


def family(name, kind, metric):
    body = _field(1, 2, _bytes(name)) + _field(3, 0, _varint(kind)) + _field(4, 2, metric)
    return _varint(len(body)) + body


def exposition(n):
    """The n-th scrape: a counter with an exemplar, a native histogram of schema 2."""
    stamp = _field(1, 0, _varint(int(time.time())))
    exemplar = _field(1, 2, pair("trace_id", f"t{n}")) + double(2, 1) + _field(3, 2, stamp)
    counter = double(1, 5 * n) + _field(2, 2, exemplar)
    hist = (_field(1, 0, _varint(4 * n)) + double(2, 7.5 * n) + _field(5, 0, zigzag(2)) +
            double(6, 0.001) + _field(7, 0, _varint(n)) +
            _field(12, 2, _field(1, 0, zigzag(1)) + _field(2, 0, _varint(2))) +
            _field(13, 0, zigzag(n)) + _field(13, 0, zigzag(n)))
    return (family("jobs_total", 0, _field(1, 2, pair("kind", "a")) + _field(3, 2, counter)) +
            family("wait_seconds", 4, _field(1, 2, pair("kind", "a")) + _field(7, 2, hist)))


class Target:
    def __init__(self):
        target = self
        self.n = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                target.n += 1
                body = exposition(target.n)
                self.send_response(200)
                self.send_header("Content-Type", PROTO)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addr = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def finding(self):
        return None

    def tail(self):
        return ""


def same(a, b):
    return a == b or math.isclose(float(a), float(b), rel_tol=1e-9)


def same_histogram(a, b):
    """Bounds are told apart in their last digit since Prometheus 3."""
    return b is not None and same(a["count"], b["count"]) and same(a["sum"], b["sum"]) and \
        len(a["buckets"]) == len(b["buckets"]) and all(
            same(x, y) for p, q in zip(a["buckets"], b["buckets"]) for x, y in zip(p, q))


def points(data):
    return {key_of(s["metric"]): dict(map(tuple, s["values"])) for s in data["result"]}


def test_there_and_on(t):
    target = Target()
    t.add(target)
    o = Single(t, args=["--auth.mode=optional"]).wait_ready()
    source = Prometheus(t, f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{target.addr}']}}]}}]
remote_write:
  - url: http://{o.addr}/api/v1/push
    send_exemplars: true
    send_native_histograms: true
    queue_config: {{batch_send_deadline: 500ms}}
""", name="source", args=[FEATURES]).wait_ready()
    reader = Prometheus(t, f"""
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: orrery
    honor_labels: true
    metrics_path: /federate
    params: {{'match[]': ['wait_seconds', 'jobs_total']}}
    static_configs: [{{targets: ['{o.addr}']}}]
""", name="reader", args=[FEATURES]).wait_ready()
    start = now_ms()
    wait_for("the federated histogram", lambda: api(
        reader.addr, "/api/v1/query", {"query": "histogram_count(wait_seconds) > 40"}, None)
        .json["data"]["result"], 90, 0.5)
    end = now_ms() // 1000 * 1000 - 3000

    # The same from the source, from Orrery and from the one that scraped Orrery.
    # Not quantiles and fractions within a bucket: those are exponential since Prometheus 3.
    for expr in ("histogram_count(wait_seconds)", "histogram_sum(wait_seconds)", "jobs_total",
                 "histogram_fraction(-Inf, +Inf, wait_seconds)"):
        want = api(source.addr, "/api/v1/query_range",
                   {"query": expr, "start": start / 1000 + 5, "end": end / 1000, "step": 1}, None)
        got = query_range(o.addr, expr, start + 5000, end, 1, "anonymous")
        theirs, ours = points(want.json["data"]), points(got)
        check(theirs and set(theirs) == set(ours) and
              all(same(v, ours[k][at]) for k, p in theirs.items() for at, v in p.items()),
              f"{expr}: {theirs}\n{ours}")
        newest = [api(x, "/api/v1/query", {"query": expr, "time": end / 1000}, None)
                  .json["data"]["result"][0] for x in (o.addr, reader.addr)]
        check(newest[0]["metric"] == newest[1]["metric"], f"{newest}")
        seen = api(reader.addr, "/api/v1/query",
                   {"query": "wait_seconds" if "wait" in expr else "jobs_total",
                    "time": end / 1000}, None).json["data"]["result"][0]
        check("histogram" in seen if "wait" in expr else "value" in seen, f"{seen}")

    # What the reader has of a time is what Orrery has of it.
    raw = api(reader.addr, "/api/v1/query", {"query": "wait_seconds[20s]", "time": end / 1000}, None)
    mine = query(o.addr, "wait_seconds[60s]", end + 1000, "anonymous")
    theirs = dict(map(lambda x: (x[0], x[1]), raw.json["data"]["result"][0]["histograms"]))
    ours = dict(map(lambda x: (x[0], x[1]), mine["result"][0]["histograms"]))
    check(len(theirs) > 5 and all(same_histogram(h, ours.get(at)) for at, h in theirs.items()),
          f"{theirs}\n{ours}")

    r = api(o.addr, "/api/v1/query_exemplars",
            {"query": "jobs_total", "start": start / 1000, "end": end / 1000}, None)
    ids = [x["labels"]["trace_id"] for s in r.json["data"] for x in s["exemplars"]]
    check(len(ids) > 5 and all(x.startswith("t") for x in ids), r.text)

    # Text for those who like that better, and a family of each kind in the other.
    r = http_call(o.addr, "GET", "/federate?match[]=wait_seconds", headers={"Accept": PROTO})
    check(r.headers["content-type"] == PROTO and b"wait_seconds" in r.body, f"{r.headers}")
    r = http_call(o.addr, "GET", "/federate?match[]=wait_seconds",
                  headers={"Accept": PROTO + ";q=0.3,text/plain;version=0.0.4"})
    check(r.text.startswith("# TYPE wait_seconds histogram"), r.text)


if __name__ == "__main__":
    main()
