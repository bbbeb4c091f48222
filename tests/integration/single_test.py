#!/usr/bin/env python3
"""One orrery process: write, query, restart, cut a block, errors, signals."""
import os
import shutil
import signal
import subprocess
import time

from orrery_test import (BIN, TENANT, Failure, Prometheus, Single, Skip, api, check, http_call, main,
                         push, push_ok, query, samples_of, wait_for)


def now_ms():
    return int(time.time() * 1000)


def ramp(name, start, count, step=15000, **labels):
    return ({"__name__": name, **labels}, [(start + i * step, float(i)) for i in range(count)])


def test_write_and_query(t):
    o = Single(t).wait_ready()
    start = now_ms() - 600_000
    push_ok(o.addr, [ramp("up_test", start, 40, job="a"), ramp("up_test", start, 40, job="b")])
    data = query(o.addr, "sum(up_test)", start + 39 * 15000)
    check(data["result"][0]["value"][1] == "78", f"sum is {data}")
    got = samples_of(o.addr, "up_test", start - 1000, now_ms())
    check(len(got) == 2 and all(len(v) == 40 for v in got.values()), f"{got}")
    r = api(o.addr, "/api/v1/labels")
    check(r.json["data"] == ["__name__", "job"], r.text)
    r = api(o.addr, "/prometheus/api/v1/label/job/values")
    check(r.json["data"] == ["a", "b"], r.text)
    r = api(o.addr, "/api/v1/series", [("match[]", "up_test")])
    check(len(r.json["data"]) == 2, r.text)
    r = api(o.addr, "/api/v1/query", {"query": "up_test"}, tenant="other")
    check(r.json["data"]["result"] == [], "a tenant sees another's data")


def test_missing_tenant_is_401(t):
    o = Single(t).wait_ready()
    r = push(o.addr, [ramp("x", now_ms(), 1)], tenant=None)
    check(r.status == 401, f"{r.status} {r.text}")
    check(api(o.addr, "/api/v1/query", {"query": "x"}, tenant=None).status == 401, "query")


def test_killed_and_restarted_it_has_all(t):
    o = Single(t).wait_ready()
    start = now_ms() - 300_000
    for i in range(20):
        push_ok(o.addr, [ramp("kept", start + i * 15000, 1, n=str(k)) for k in range(50)])
    o.kill()
    o.start()
    o.wait_ready()
    got = samples_of(o.addr, "kept", start - 1000, now_ms())
    check(len(got) == 50 and all(len(v) == 20 for v in got.values()),
          lambda: f"{len(got)} series, {sorted(map(len, got.values()))[:5]}")


def test_stopped_and_restarted_it_has_all(t):
    o = Single(t).wait_ready()
    start = now_ms() - 300_000
    push_ok(o.addr, [ramp("kept", start, 20, n=str(k)) for k in range(50)])
    check(o.stop() == 0, f"exit status {o.popen.returncode}")
    o.start()
    o.wait_ready()
    got = samples_of(o.addr, "kept", start - 1000, now_ms())
    check(len(got) == 50 and all(len(v) == 20 for v in got.values()), "samples are missing")


def blocks_of(o):
    base = f"{o.blocks.path()}/metrics/{TENANT}"
    return [f"{base}/{d}" for d in os.listdir(base) if len(d) == 26] if os.path.isdir(base) else []


def test_flush_makes_blocks_that_promtool_and_prometheus_read(t):
    if not shutil.which("promtool"):
        raise Skip("promtool is not installed")
    o = Single(t).wait_ready()
    start = (now_ms() // 7_200_000 - 2) * 7_200_000  # two whole windows ago
    push_ok(o.addr, [ramp("flushed", start, 400, n=str(k)) for k in range(20)])
    before = samples_of(o.addr, "flushed", start - 1000, now_ms())
    check(http_call(o.addr, "POST", "/ingester/flush", timeout=120).status // 100 == 2, "flush")
    wait_for("blocks", lambda: blocks_of(o), 60)
    wait_for("the head to let go", lambda: not os.listdir(f"{o.dir}/data/segments/{TENANT}")
             if os.path.isdir(f"{o.dir}/data/segments/{TENANT}") else True, 120)
    after = samples_of(o.addr, "flushed", start - 1000, now_ms())
    check(after == before and len(after) == 20, "blocks answer differently from the head")
    base = os.path.dirname(blocks_of(o)[0])
    copy = f"{t.dir}/tsdb"
    os.makedirs(copy)
    for b in blocks_of(o):
        shutil.copytree(b, f"{copy}/{os.path.basename(b)}")
    for command in ("list", "analyze"):
        r = subprocess.run(["promtool", "tsdb", command, copy], capture_output=True, text=True)
        check(r.returncode == 0, f"promtool tsdb {command} {base}: {r.stdout} {r.stderr}")
    p = Prometheus(t, "global: {}\n", data=copy,
                   args=["--storage.tsdb.retention.time=10y"]).wait_ready()
    theirs = samples_of(p.addr, "flushed", start - 1000, now_ms(), tenant=None)
    check(theirs == after, "Prometheus reads other samples from the blocks")


def test_exemplars_and_metadata_go_into_blocks(t):
    o = Single(t).wait_ready()
    start = (now_ms() // 7_200_000 - 2) * 7_200_000
    series = [({"__name__": "asked_total", "n": str(k)}, [(start + 1000, 1.0), (start + 16000, 2.0)],
               True, [({"trace_id": f"id-{k}"}, start + 16000, 2.0)]) for k in range(5)]
    push_ok(o.addr, series, metadata=[(1, "asked_total", "Questions.", "1")])

    def seen():
        window = {"query": "asked_total", "start": start / 1000, "end": start / 1000 + 60}
        return (api(o.addr, "/api/v1/query_exemplars", window).json["data"],
                api(o.addr, "/api/v1/metadata").json["data"])
    before = seen()
    check(len(before[0]) == 5 and before[1]["asked_total"][0]["help"] == "Questions.", f"{before}")
    check(http_call(o.addr, "POST", "/ingester/flush", timeout=120).status // 100 == 2, "flush")
    wait_for("blocks", lambda: blocks_of(o), 60)
    o.stop()
    shutil.rmtree(f"{o.dir}/data/head")  # nothing but blocks can answer now
    shutil.rmtree(f"{o.dir}/data/wal")
    shutil.rmtree(f"{o.dir}/data/segments")
    o.start()
    o.wait_ready()
    check(seen() == before, f"blocks answer {seen()}, not {before}")


def test_a_data_directory_belongs_to_one_process(t):
    o = Single(t).wait_ready()
    r = subprocess.run([f"{BIN}/orrery-ingester", f"--server.data-dir={o.dir}/data",
                        "--server.http-address=127.0.0.1:0", "--server.rpc-address=127.0.0.1:0"],
                       capture_output=True, text=True, timeout=60)
    check(r.returncode != 0 and "held by another process" in r.stdout + r.stderr,
          f"{r.returncode}: {r.stdout[-500:]} {r.stderr[-500:]}")
    o.kill()
    o.start()
    o.wait_ready()


def test_unknown_key_is_refused_with_its_line(t):
    path = f"{t.dir}/o.yaml"
    with open(path, "w") as f:
        f.write("server:\n  http-adress: 127.0.0.1:1\n")
    r = subprocess.run([f"{BIN}/orrery", "--config", path], capture_output=True, text=True)
    check(r.returncode != 0, "it started")
    check(f"{path}:2" in r.stderr and "server.http-address" in r.stderr, r.stderr)


def test_reload_changes_the_log_level(t):
    path = f"{t.dir}/o.yaml"
    with open(path, "w") as f:
        f.write("server: {log-level: info}\n")
    o = Single(t, args=["--config", path]).wait_ready()
    with open(path, "w") as f:
        f.write("server: {log-level: debug}\n")
    o.signal(signal.SIGHUP)
    wait_for("the new level",
             lambda: http_call(o.addr, "GET", "/log_level").text.startswith("debug"), 10)
    with open(path, "w") as f:
        f.write("server: {log-lvl: debug}\n")
    o.signal(signal.SIGHUP)
    wait_for("the refusal", lambda: "log-lvl" in o.tail(), 10)
    check(o.alive() and http_call(o.addr, "GET", "/ready").status == 200, "it does not serve")


def test_reload_changes_the_limits(t):
    path = f"{t.dir}/o.yaml"
    with open(path, "w") as f:
        f.write("limits: {max-label-names-per-series: 30}\n")
    o = Single(t, args=["--config", path]).wait_ready()
    many = {"__name__": "many", **{f"l{i}": "x" for i in range(5)}}
    push_ok(o.addr, [(many, [(now_ms(), 1.0)])])
    with open(path, "w") as f:
        f.write("limits: {max-label-names-per-series: 3}\n")
    o.signal(signal.SIGHUP)
    wait_for("the new limit",
             lambda: push(o.addr, [(many, [(now_ms(), 1.0)])]).status == 400, 10)


def test_admin_pages(t):
    o = Single(t).wait_ready()
    for path in ("/ready", "/healthy", "/-/ready", "/-/healthy", "/metrics", "/config", "/runtime_config", "/services",
                 "/ring", "/memberlist", "/log_level"):
        r = http_call(o.addr, "GET", path)
        check(r.status == 200, f"{path}: {r.status} {r.text[:200]}")
    r = http_call(o.addr, "GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
    check(r.text.endswith("# EOF\n"), "not OpenMetrics")
    r = http_call(o.addr, "GET", "/ring", headers={"Accept": "application/json"})
    check(r.json, r.text)
    check(http_call(o.addr, "POST", "/shutdown").status == 204, "shutdown")
    o.popen.wait(60)


if __name__ == "__main__":
    main()
