"""Spans end to end (spanload.c): what it costs to take them, and what live traces take. Bench "traces" of tests/bench/run.

There is no peer: where Prometheus stands in the table is what the row says beside it. CPU is that of the whole process."""
import json
import re
import subprocess
import time

from logs import cpu_seconds
from orrery_test import Single, check, http_call, wait_for

TENANT = "bench"
SPANS = 20  # of a trace
ARGS = ["--ingester.traces=true", "--limits.traces-rate-limit-bytes=0", "--limits.max-traces-per-user=0"]


def metric(addr, name):
    m = re.search(rf"^{name} (\S+)$", http_call(addr, "GET", "/metrics", timeout=60).text, re.M)
    return float(m[1]) if m else 0


def memory(pid):
    """(anonymous, the most there ever was of all) bytes."""
    with open(f"/proc/{pid}/status") as f:
        d = dict(line.split(":", 1) for line in f)
    return tuple(int(d[k].split()[0]) * 1024 for k in ("RssAnon", "VmHWM"))


def push(bench, o, traces, *more):
    r = subprocess.run([f"{bench}/spanload", "--addr", o.addr, "--traces", str(traces), "--spans", str(SPANS), "--tenant", TENANT, *more],
                       capture_output=True, text=True)
    check(r.returncode == 0, f"spanload: {r.stdout} {r.stderr}")
    sent = json.loads(r.stdout)
    check(sent["traces"] == traces, f"{sent}")
    return sent


def bench_take(t, bench, row, traces):
    """Acknowledged; and cut: out of RocksDB, in a file of a segment."""
    o = Single(t, "traces-take", args=[*ARGS, "--ingester.traces-idle=2s", "--ingester.traces-cut-period=2s"]).wait_ready()
    push(bench, o, 2000)
    wait_for("the first to be cut", lambda: metric(o.addr, "orrery_tracehead_live_traces") == 0)
    before = cpu_seconds(o.popen.pid)
    sent = push(bench, o, traces)
    acked = cpu_seconds(o.popen.pid) - before
    wait_for("all to be cut", lambda: metric(o.addr, "orrery_tracehead_live_traces") == 0)
    cut = cpu_seconds(o.popen.pid) - before
    row("spans accepted per CPU-second", f"{sent['spans'] / acked:.0f} spans", f"{sent['bytes'] / sent['spans']:.0f} bytes a span", "-", ">= 150000 spans")
    row("and cut into a segment", f"{sent['spans'] / cut:.0f} spans", f"{sent['seconds']:.1f} s of pushing", "-", "")
    o.stop()


def bench_live(t, bench, row, traces):
    o = Single(t, "traces-live", args=[*ARGS, "--ingester.traces-idle=1h", "--ingester.traces-max-live=1h"]).wait_ready()
    before = memory(o.popen.pid)[0]
    push(bench, o, traces)
    live = metric(o.addr, "orrery_tracehead_live_traces")
    check(live == traces, f"{live} live traces, {traces} were pushed")
    time.sleep(3)
    anonymous, most = memory(o.popen.pid)
    row(f"{traces} live traces of {SPANS} spans", f"{anonymous / 2**20:.0f} MiB", f"{before / 2**20:.0f} MiB before, {most / 2**20:.0f} MiB at most", "-",
        "<= 1024 MiB")
    o.stop()


def run(t, bench, row, traces=50000, live=200000):
    bench_take(t, bench, row, traces)
    bench_live(t, bench, row, live)
