"""A year of metrics in a real S3 bucket (Swift), compacted and downsampled by Orrery: what queries over an hour, thirty days
and all of it cost, cold and warm, with a querier that has little memory. Bench "year" of tests/bench/run.

There is no peer: where Prometheus stands in the table is a limit or nothing. BENCH_DAYS and BENCH_STEP (seconds between samples) make
it smaller, to try it: with BENCH_STEP=300 the tier of an hour, by which a year is answered, has as many points as with 15.

BENCH_KEEP=DIR keeps the bucket there. A later run with the same DIR asks its queries of that year at once; one that was interrupted
goes on with what it had uploaded. DIR/made.json says what year it is, and another one is refused."""
import json
import os
import shutil
import subprocess
import time
import urllib.parse

from logs import cpu_seconds
from orrery_test import BIN, Cluster, api, check, http_call, wait_for
from s3_server import swift

TENANT = "year"
DAYS = int(os.environ.get("BENCH_DAYS", "365"))
STEP_S = int(os.environ.get("BENCH_STEP", "15"))
KEEP = os.environ.get("BENCH_KEEP")
BUDGET_MIB = 256
WARM = 7  # queries of which the fastest counts
LITTLE = {"result-cache-size": 0, "share-equal-queries": "false", "block-cache-size": "64MiB",
          "max-query-memory": "64MiB"}


def settings(t, server, querier):
    path = os.path.join(t.dir, "year.yml")
    with open(path, "w") as f:
        f.write("storage: {backend: s3}\n"
                f"s3: {{endpoint: '{server.endpoint}', bucket: year, create-bucket: true, credentials: static,\n"
                f"     access-key: '{server.env['S3_ACCESS_KEY']}', secret-key: '{server.env['S3_SECRET_KEY']}',\n"
                f"     region: {server.env['S3_REGION']},\n"
                # The server has to share the cores with all that is measured, and may be without one for a while.
                "     request-timeout: 10m, stall-timeout: 5m, operation-timeout: 30m, one-writer: false}\n"
                "limits: {downsampling: true, max-query-lookback: 0, max-total-query-length: 0,\n"
                "         max-samples-per-query: 500000000}\n"
                "compactor: {block-ranges: '12h,24h,168h', compaction-interval: 1s, compaction-wait: 0s,\n"
                "            compaction-concurrency: 2, deletion-delay: 5s}\n"
                f"querier: {{{', '.join(f'{k}: {v}' for k, v in querier.items())}}}\n")
    return path


def upload(home, bench, config, year):
    """Makes the blocks on the local disk and sends them with orreryctl, as somebody would who moves in."""
    local = os.path.join(home, "local")
    shutil.rmtree(local, ignore_errors=True)  # half of an interrupted one
    made = json.loads(subprocess.run([f"{bench}/yearmake", local, TENANT, str(year["end"]), str(year["series"]), str(year["days"]),
                                      str(year["step"])], check=True, capture_output=True, text=True).stdout)
    top = os.path.join(local, "metrics", TENANT)
    dirs = sorted(os.path.join(top, d) for d in os.listdir(top) if os.path.isdir(os.path.join(top, d)))
    began = time.monotonic()
    r = subprocess.run([os.path.join(BIN, "orreryctl"), "block", "upload", *dirs, f"--tenant={TENANT}",
                        f"--config={config}"], capture_output=True, text=True)
    check(r.returncode == 0, f"orreryctl: {r.stderr[-2000:]}")
    print(f"   {made['blocks']} blocks, {made['samples']:,} samples, {made['bytes'] / made['samples']:.2f} bytes each; "
          f"checked and uploaded in {time.monotonic() - began:.0f} s", flush=True)
    shutil.rmtree(local)


def the_year(home, bench, config, series):
    """Uploads it unless home has it. Returns where it ends (ms)."""
    path = os.path.join(home, "made.json")
    year = {"series": series, "days": DAYS, "step": STEP_S}
    if os.path.exists(path):
        with open(path) as f:
            made = json.load(f)
        check({**made, **year} == made, f"{path} is of another year: {made}, not {year}")
        return made["end"]
    year["end"] = int(time.time()) // 86400 * 86400000
    upload(home, bench, config, year)
    with open(path, "w") as f:
        json.dump(year, f)
    return year["end"]


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
    wait_for("compaction", idle, 4 * 3600)
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


def fresh_querier(c):
    """(address, pid) of the querier, which has nothing in memory nor on its disk."""
    name = c.names("querier")[0]
    c.run("stop", name)
    shutil.rmtree(os.path.join(c.dir, name, "data"))
    c.run("restart", name)
    _, _, pid, addr = c.status()[name]
    wait_for("the querier", lambda: http_call(addr, "GET", "/ready").status == 200, 60)
    return addr, pid


def measure(c, text, begin, end, step):
    """What a query costs a querier that knows nothing, and then the same one again."""
    addr, pid = fresh_querier(c)
    cold, stats = ask(addr, text, begin, end, step, stats="all")
    blocks = sum(stats["blocks"].values())
    # As a dashboard asks; who wants to know what it cost is answered by one thread.
    before = cpu_seconds(pid)
    warm = min(ask(addr, text, begin, end, step)[0] for _ in range(WARM))
    cpu = (cpu_seconds(pid) - before) / WARM
    again = ask(addr, text, begin, end, step, stats="all")[1]["objectStore"]["gets"]
    return {"cold": cold, "warm": warm, "cpu": cpu, "gets": stats["objectStore"]["gets"], "again": again, "blocks": blocks,
            "mib": stats["objectStore"]["bytes"] / 2**20, "tiers": stats["blocks"], "peak": peak_mib(pid)}


def bench_year(t, bench, series, row):
    home = os.path.abspath(KEEP) if KEEP else t.dir
    server = swift(t, os.path.join(home, "swift"))
    config = settings(t, server, LITTLE)
    end = the_year(home, bench, config, series)
    c = Cluster(t, args=["--queriers", "1", "--rulers", "0", "--alertmanagers", "0", "--config", config])
    settle(c.addrs("compactor")[0], config)
    window = f"{max(5, STEP_S * 4 // 60)}m"
    cases = [("an hour", f"sum by (job) (rate(year_requests_total[{window}]))", 3600, 15),
             ("30 days", "sum by (job) (rate(year_requests_total[2h]))", min(DAYS, 30) * 86400, 3600),
             ("a year", "sum by (job) (rate(year_requests_total[1d]))", DAYS * 86400, 86400)]
    table = [("query", "cold ms", "warm ms", "warm CPU ms", "blocks", "gets", "gets/block", "MiB read", "peak MiB")]
    for name, text, seconds, step in cases:
        m = measure(c, text, end - seconds * 1000, end - 1, step)
        each = m["gets"] / max(m["blocks"], 1)
        table.append((name, f"{m['cold'] * 1000:.0f}", f"{m['warm'] * 1000:.0f}", f"{m['cpu'] * 1000:.0f}", m["blocks"],
                      m["gets"], f"{each:.1f}", f"{m['mib']:.0f}", f"{m['peak']:.0f}"))
        print(f"   {name}: blocks by tier {m['tiers']}; gets of a warm query: {m['again']}", flush=True)
        row(f"gets per block of a cold query over {name}, {series} series", f"{each:.1f}", "-", f"{each:.1f}", "<= 6")
        row(f"MiB: peak of a querier that answers {name} (its budget where Prometheus stands)", f"{m['peak']:.0f}",
            str(BUDGET_MIB), f"{m['peak'] / BUDGET_MIB:.2f}", "<= 1")
        if name == "a year":
            row("blocks touched by a cold query over a year", str(m["blocks"]), "-", str(m["blocks"]), "<= 40")
            row("seconds of a warm sum by (rate) over a year", f"{m['warm']:.2f}", "-", f"{m['warm']:.2f}", "< 1 s")
    widths = [max(len(str(r[i])) for r in table) for i in range(len(table[0]))]
    for r in table:
        print("   " + "  ".join(str(x).rjust(w) for x, w in zip(r, widths)), flush=True)
