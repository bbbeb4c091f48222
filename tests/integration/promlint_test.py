#!/usr/bin/env python3
"""promtool finds nothing to say about any role's /metrics, idle and after some work, and no series comes twice."""
import collections
import shutil
import subprocess
import time

from orrery_test import (Cluster, Single, Skip, check, http_call, main, push_ok, query, wait_for)


def now_ms():
    return int(time.time() * 1000)


def promtool(text):
    if not shutil.which("promtool"):
        raise Skip("promtool is not installed")
    r = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    return r.returncode, (r.stdout + r.stderr).strip()


def lint(name, addr):
    text = http_call(addr, "GET", "/metrics").text
    check(text.count("\norrery_") > 20, f"{name}: hardly any metrics: {text[:200]}")
    series = [line.rsplit(" ", 1)[0] for line in text.splitlines() if line and line[0] != "#"]
    twice = sorted({s.split("_bucket")[0] for s, n in collections.Counter(series).items() if n > 1})
    check(not twice, f"{name}: more than once: {twice[:40]}")
    status, said = promtool(text)
    check(status == 0 and not said, f"{name}: {said[:1000]}")


def test_promtool_can_fail(t):
    """The test of the test: what promtool objects to ends it with another status."""
    bad = "# HELP x_histogram_count Bad.\n# TYPE x_histogram_count counter\nx_histogram_count 1\n"
    status, said = promtool(bad)
    check(status != 0 and said, "promtool took it")


def test_each_role(t):
    c = Cluster(t)
    status = c.status()
    check({v[0] for v in status.values()} ==
          {"ingester", "querier", "compactor", "ruler", "alertmanager"}, f"{status}")
    for name, (_, _, _, addr) in status.items():
        lint(name, addr)
    push_ok(c.addrs("ingester")[0], [({"__name__": "linted"}, [(now_ms(), 1.0)])])
    wait_for("the sample", lambda: query(c.addrs("querier")[0], "linted")["result"])
    http_call(c.addrs("ingester")[0], "POST", "/ingester/flush", timeout=120)
    for name, (_, _, _, addr) in status.items():
        lint(f"{name} after work", addr)


def test_single(t):
    o = Single(t).wait_ready()
    push_ok(o.addr, [({"__name__": "linted"}, [(now_ms(), 1.0)])])
    query(o.addr, "linted")
    lint("orrery", o.addr)


if __name__ == "__main__":
    main()
