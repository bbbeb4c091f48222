"""A year of metrics in a real S3 bucket (Swift), compacted and downsampled by Orrery: what queries over an hour, thirty days
and all of it cost, cold and warm, with a querier that has little memory. Bench "year" of tests/bench/run.

There is no peer: where Prometheus stands in the table is a limit or nothing."""
import json
import os
import shutil
import subprocess
import time
import urllib.parse

from orrery_test import BIN, Cluster, api, check, http_call, query, wait_for
from s3_store_test import swift

TENANT = "year"
BUDGET_MIB = 256
LITTLE = {"result-cache-size": 0, "share-equal-queries": "false", "block-cache-size": "64MiB",
          "max-query-memory": "64MiB"}


def settings(t, server, querier):
    path = os.path.join(t.dir, "year.yml")
    with open(path, "w") as f:
        f.write("storage: {backend: s3}\n"
                f"s3: {{endpoint: '{server.endpoint}', bucket: year, create-bucket: true, credentials: static,\n"
                f"     access-key: '{server.env['S3_ACCESS_KEY']}', secret-key: '{server.env['S3_SECRET_KEY']}',\n"
                f"     region: {server.env['S3_REGION']}}}\n"
                "limits: {downsampling: true, max-query-lookback: 0, max-total-query-length: 0,\n"
                "         max-samples-per-query: 500000000}\n"
                "compactor: {block-ranges: '12h,24h,168h', compaction-interval: 1s, compaction-wait: 0s,\n"
                "            compaction-concurrency: 2, deletion-delay: 5s}\n"
                f"querier: {{{', '.join(f'{k}: {v}' for k, v in querier.items())}}}\n")
    return path


def upload(t, bench, config, series, days):
    """Makes the blocks on the local disk and sends them with orreryctl, as somebody would who moves in."""
    local = os.path.join(t.dir, "local")
    end = int(time.time()) // 86400 * 86400000
    made = json.loads(subprocess.run([f"{bench}/yearmake", local, TENANT, str(end), str(series), str(days)], check=True,
                                     capture_output=True, text=True).stdout)
    top = os.path.join(local, "metrics", TENANT)
    dirs = sorted(os.path.join(top, d) for d in os.listdir(top) if os.path.isdir(os.path.join(top, d)))
    began = time.monotonic()
    r = subprocess.run([os.path.join(BIN, "orreryctl"), "block", "upload", *dirs, f"--tenant={TENANT}",
                        f"--config={config}"], capture_output=True, text=True)
    check(r.returncode == 0, f"orreryctl: {r.stderr[-2000:]}")
    print(f"   {made['blocks']} blocks, {made['samples']:,} samples, {made['bytes'] / made['samples']:.2f} bytes each; "
          f"checked and uploaded in {time.monotonic() - began:.0f} s", flush=True)
    shutil.rmtree(local)
    return end


def by_resolution(config):
    r = subprocess.run([os.path.join(BIN, "orreryctl"), "bucket", "ls", TENANT, "--json", f"--config={config}"],
                       capture_output=True, text=True)
    check(r.returncode == 0, f"orreryctl: {r.stderr[-2000:]}")
    out = {}
    for b in json.loads(r.stdout):
        n, size = out.get(b.get("resolution", 0), (0, 0))
        out[b.get("resolution", 0)] = n + 1, size + b["bytes"]
    return out


def settle(compactor, config):
    """Until nothing is left to be compacted or downsampled."""
    began = time.monotonic()
    quiet = [0]

    def idle():
        r = http_call(compactor, "GET", "/metrics").text
        value = {line.split(" ")[0]: float(line.split(" ")[1]) for line in r.splitlines()
                 if line.startswith("orrery_compactor_compact") and "{" not in line}
        left = value["orrery_compactor_compaction_backlog_jobs"]
        quiet[0] = 0 if left else quiet[0] + 1
        time.sleep(2)
        return quiet[0] > 4
    wait_for("compaction", idle, 3600)
    print(f"   compacted in {time.monotonic() - began:.0f} s: "
          + ", ".join(f"{n} blocks of {size / 2**20:.0f} MiB at {r // 60000} min" for r, (n, size)
                      in sorted(by_resolution(config).items())), flush=True)


def peak_mib(pid):
    with open(f"/proc/{pid}/status") as f:
        return [int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM")][0]


def ask(addr, text, start, end, step, **more):
    q = urllib.parse.urlencode({"query": text, "start": start / 1000, "end": end / 1000, "step": step, **more})
    began = time.monotonic()
    r = api(addr, f"/api/v1/query_range?{q}", tenant=TENANT, timeout=120)
    took = time.monotonic() - began
    check(r.status == 200 and r.json["data"]["result"], f"{text}: {r.status} {r.text[:500]}")
    return took, r.json["data"].get("stats")


def bench_year(t, bench, series, row, days=365):
    server = swift(t)
    config = settings(t, server, LITTLE)
    end = upload(t, bench, config, series, days)
    c = Cluster(t, args=["--queriers", "1", "--rulers", "0", "--alertmanagers", "0", "--config", config])
    settle(c.addrs("compactor")[0], config)
    cases = [("an hour", "sum by (job) (rate(year_requests_total[5m]))", 3600, 15),
             ("30 days", "sum by (job) (rate(year_requests_total[2h]))", 30 * 86400, 3600),
             ("a year", "sum by (job) (rate(year_requests_total[1d]))", days * 86400, 86400)]
    for name, text, seconds, step in cases:
        querier = next(n for n, v in c.status().items() if v[0] == "querier")
        c.run("stop", querier)
        shutil.rmtree(os.path.join(c.dir, querier, "data"))
        c.run("restart", querier)
        addr = c.addrs("querier")[0]
        wait_for("the querier", lambda: http_call(addr, "GET", "/ready").status == 200, 60)
        pid = next(v[2] for v in c.status().values() if v[0] == "querier")
        cold, stats = ask(addr, text, end - seconds * 1000, end - 1, step, stats="all")
        gets, size, blocks = (stats["objectStore"]["gets"], stats["objectStore"]["bytes"], sum(stats["blocks"].values()))
        # As a dashboard asks; who wants to know what it cost is answered by one thread.
        best = min(ask(addr, text, end - seconds * 1000, end - 1, step)[0] for _ in range(5))
        last = ask(addr, text, end - seconds * 1000, end - 1, step, stats="all")[1]
        print(f"   {name}: cold {cold:.2f} s, {gets} gets of {size / 2**20:.1f} MiB, {blocks} blocks; warm {best:.3f} s, "
              f"{last['objectStore']['gets']} gets; peak {peak_mib(pid):.0f} MiB", flush=True)
        row(f"gets per block of a cold query over {name}, {series} series", f"{gets / max(blocks, 1):.1f}", "-",
            f"{gets / max(blocks, 1):.1f}", "<= 6" if name == "a year" else "")
        row(f"MiB: peak of a querier that answers {name} (its budget where Prometheus stands)", f"{peak_mib(pid):.0f}",
            str(BUDGET_MIB), f"{peak_mib(pid) / BUDGET_MIB:.2f}", "<= 1")
        if name == "a year":
            row("blocks touched by a cold query over a year", str(blocks), "-", str(blocks), "<= 40")
            row("seconds of a warm sum by (rate) over a year", f"{best:.2f}", "-", f"{best:.2f}", "< 1 s")
