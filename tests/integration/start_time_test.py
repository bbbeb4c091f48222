#!/usr/bin/env python3
"""Start timestamps from remote write 2.0, OTLP and OpenMetrics, asked for with start_timestamp() and used by
increase(): from the head, after a kill, from blocks (which Prometheus still reads), over a cluster."""
import json
import os
import shutil
import struct
import subprocess
import time

from orrery_test import (PUSH_HEADERS, TENANT, Cluster, Prometheus, Single, Skip, _bytes, _field, _varint, api,
                         check, http_call, main, query, samples_of, snappy, wait_for)

ON = "--limits.start-timestamp-storage=true"
EXPERIMENTAL = "--querier.promql-experimental-functions=true"
STEP = 15_000
N = 40


def now_ms():
    return int(time.time() * 1000)


def request_2(series):
    """series: (labels, [(t_ms, value, start_ms)])"""
    symbols, out = {"": 0}, b""
    for labels, samples in series:
        refs = b"".join(_varint(symbols.setdefault(x, len(symbols)))
                        for pair in sorted(labels.items()) for x in pair)
        m = _field(1, 2, refs)
        for t_ms, v, start_ms in samples:
            m += _field(2, 2, _field(1, 1, struct.pack("<d", v)) + _field(2, 0, _varint(t_ms)) +
                        (_field(3, 0, _varint(start_ms)) if start_ms else b""))
        out += _field(5, 2, m)
    return b"".join(_field(4, 2, _bytes(s)) for s in symbols) + out


def push_2(addr, series, tenant=TENANT):
    headers = {**PUSH_HEADERS, "X-Prometheus-Remote-Write-Version": "2.0.0", "X-Scope-OrgID": tenant,
               "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}
    r = http_call(addr, "POST", "/api/v1/write", snappy(request_2(series)), headers)
    check(r.status == 204, lambda: f"{r.status} {r.text}")


def load(addr, start):
    """A counter that began again after half of the samples without its value going down, deltas, and a series
    without starts; in two requests."""
    half = start + N // 2 * STEP
    counter = [(start + i * STEP, float(i), start - 5000 if i < N // 2 else half - 3000) for i in range(N)]
    deltas = [(start + i * STEP, 6.0, start + (i - 1) * STEP) for i in range(N)]
    plain = [(start + i * STEP, float(i), 0) for i in range(N)]
    for lo, hi in ((0, N // 2 + 5), (N // 2 + 5, N)):
        push_2(addr, [({"__name__": name, "case": "st"}, rows[lo:hi])
                      for name, rows in (("counter_total", counter), ("deltas", deltas), ("plain_total", plain))])


def one(addr, expr, at_ms):
    result = query(addr, expr, at_ms)["result"]
    check(len(result) == 1, lambda: f"{expr}: {result}")
    return float(result[0]["value"][1])


def check_answers(addr, start, where):
    end = start + (N - 1) * STEP
    got = [one(addr, f"start_timestamp({name})", at) for name, at in
           (("counter_total", start), ("counter_total", end), ("deltas", end), ("plain_total", end))]
    want = [(start - 5000) / 1000, (start + N // 2 * STEP - 3000) / 1000, (end - STEP) / 1000, 0]
    check(all(abs(g - w) < 1e-6 for g, w in zip(got, want)), f"{where}: starts {got}, not {want}")
    window = f"{(N - 1) * STEP}ms"
    # the samples in it are those behind the first one; a delta is its increase, a new start is a reset
    got = [one(addr, f"{f}({name}[{window}])", end) for f, name in
           (("resets", "counter_total"), ("resets", "plain_total"), ("increase", "deltas"))]
    check(got[:2] == [1, 0] and abs(got[2] - 6 * (N - 1)) < 1e-6, f"{where}: {got}")


def flush(addr, blocks_addr):
    r = http_call(addr, "POST", "/ingester/flush", timeout=120)
    check(r.status // 100 == 2, r.text)
    wait_for("a block", lambda: api(blocks_addr, "/api/v1/status/tsdb/blocks").json["data"]["blocks"], 60)


def only_blocks(o):
    """Nothing but blocks can answer after this."""
    o.stop()
    for d in ("head", "wal", "segments"):
        shutil.rmtree(f"{o.dir}/data/{d}")
    o.start()
    o.wait_ready()


def test_remote_write_2(t):
    o = Single(t, args=[ON, EXPERIMENTAL]).wait_ready()
    start = (now_ms() // 7_200_000 - 2) * 7_200_000
    load(o.addr, start)
    check_answers(o.addr, start, "head")
    o.kill()
    o.start()
    o.wait_ready()
    check_answers(o.addr, start, "after a kill")
    o.stop()
    o.start()
    o.wait_ready()
    check_answers(o.addr, start, "after a stop")
    before = samples_of(o.addr, '{case="st"}', start - 1000, now_ms())
    flush(o.addr, o.addr)
    check_answers(o.addr, start, "after a flush")
    only_blocks(o)
    check_answers(o.addr, start, "blocks alone")
    base = f"{o.blocks.path()}/metrics/{TENANT}"
    blocks = [d for d in os.listdir(base) if len(d) == 26]
    check(len(blocks) == 1 and os.path.exists(f"{base}/{blocks[0]}/starts"), f"{blocks}")
    if not shutil.which("promtool"):
        raise Skip("promtool is not installed")
    copy = f"{t.dir}/tsdb"
    shutil.copytree(f"{base}/{blocks[0]}", f"{copy}/{blocks[0]}")
    r = subprocess.run(["promtool", "tsdb", "analyze", copy], capture_output=True, text=True)
    check(r.returncode == 0, f"promtool: {r.stdout} {r.stderr}")
    p = Prometheus(t, "global: {}\n", data=copy, args=["--storage.tsdb.retention.time=10y"]).wait_ready()
    check(samples_of(p.addr, '{case="st"}', start - 1000, now_ms(), tenant=None) == before,
          "Prometheus reads other samples")


def test_unless_asked_to_none_are_stored(t):
    o = Single(t, args=[EXPERIMENTAL]).wait_ready()
    start = now_ms() - N * STEP
    load(o.addr, start)
    check(one(o.addr, "start_timestamp(counter_total)", start + (N - 1) * STEP) == 0, "a start was stored")
    flush(o.addr, o.addr)
    base = f"{o.blocks.path()}/metrics/{TENANT}"
    check(not any(os.path.exists(f"{base}/{d}/starts") for d in os.listdir(base)), "a sidecar was written")


def test_otlp_and_openmetrics(t):
    o = Single(t, args=[ON, EXPERIMENTAL]).wait_ready()
    at = now_ms() // 1000 * 1000 - 60_000
    began = at - 600_000

    def point(**kw):
        return {"timeUnixNano": str(at * 10**6), "startTimeUnixNano": str(began * 10**6), **kw}
    metrics = [{"name": "jobs", "sum": {"aggregationTemporality": 2, "isMonotonic": True,
                                        "dataPoints": [point(asDouble=4)]}},
               {"name": "sizes", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
                   point(count="3", sum=6, scale=0, zeroCount="1",
                         positive={"offset": 0, "bucketCounts": ["2"]})]}}]
    body = {"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"scope": {}, "metrics": metrics}]}]}
    r = http_call(o.otlp_http, "POST", "/v1/metrics", json.dumps(body).encode(),
                  {"Content-Type": "application/json", "X-Scope-OrgID": TENANT})
    check(r.status == 200, r.text)
    text = (f"# TYPE rows counter\nrows_total 7 {at / 1000:.3f}\nrows_created {began / 1000:.3f}\n# EOF\n")
    r = http_call(o.addr, "POST", "/api/v1/import/prometheus", text.encode(),
                  {"Content-Type": "application/openmetrics-text; version=1.0.0", "X-Scope-OrgID": TENANT})
    check(r.status == 204, r.text)

    def check_all(where):
        for name in ("jobs_total", "sizes", "rows_total"):
            got = one(o.addr, f"start_timestamp({name})", at)
            check(abs(got - began / 1000) < 1e-6, f"{where}: {name} began at {got}, not {began / 1000}")
    check_all("head")
    flush(o.addr, o.addr)
    only_blocks(o)
    check_all("blocks")


def test_cluster(t):
    config = os.path.join(t.dir, "more.yml")
    with open(config, "w") as f:
        f.write("limits: {start-timestamp-storage: true}\nquerier: {promql-experimental-functions: true}\n")
    c = Cluster(t, args=["--config", config])
    start = (now_ms() // 7_200_000 - 2) * 7_200_000
    load(c.addrs("ingester")[0], start)
    for q in c.addrs("querier"):
        check_answers(q, start, f"replicas, by {q}")
    for i in c.addrs("ingester"):
        check(http_call(i, "POST", "/ingester/flush", timeout=120).status // 100 == 2, "flush")
    q = c.addrs("querier")[0]
    wait_for("a block", lambda: api(q, "/api/v1/status/tsdb/blocks").json["data"]["blocks"], 120)
    check_answers(q, start, "blocks")


if __name__ == "__main__":
    main()
