"""Log lines end to end, kind by kind (loggen.h): in by Loki's push, flushed into a block of the bucket, asked for from the head and
from the block. Bench "logs" of tests/bench/run.

There is no peer: where Prometheus stands in the table is what the row says beside it, of the same lines in the same run. MB are 10^6
bytes of lines as they were pushed. CPU is that of the whole process: doors, log, head, compactor and querier are all in it."""
import json
import os
import re
import resource
import shutil
import subprocess
import time
import urllib.parse

from orrery_test import Single, check, http_call, wait_for

TENANT = "bench"
KINDS = ["json", "logfmt", "nginx", "java", "syslog"]
NEEDLES = 20
LIFE = 120  # seconds that a flush or a hand-over may take for each GiB, at least
# What of a line is in no other. Nginx and syslog have no ids: of them it is what comes nearest. An address and a second of nginx's are
# both in the pages of all streams of that second, so that more is touched: for those two there are targets of 2 GiB.
IDS = {"json": rb'"trace_id":"([0-9a-f]{32})"', "logfmt": rb"trace_id=([0-9a-f]{16})",
       "nginx": rb"^(\S+ - - \[[^\]]+\])", "java": rb"Payment ([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3})",
       "syslog": rb"(ID=\d+ PROTO=TCP SPT=\d+ DPT=\d+)"}
WITH_IDS = ["json", "logfmt", "java"]
# A needle is in one page of about 100 KiB, whatever there is beside it: of a block of 10 MB that is 1% already.
NEEDLE_MB = 400
ARGS = ["--limits.ingestion-rate-mb=0", "--limits.ingestion-burst-size-mb=0", "--limits.reject-old-samples=false",
        "--limits.max-query-length=0", "--compactor.poll-interval=1s", "--compactor.early-wait=1s",
        "--compactor.drop-delay=1s", "--querier.ingester-lookback=720h",
        "--querier.result-cache-size=0", "--querier.share-equal-queries=false"]


def cpu_seconds(*pids):
    """Of all that the processes have run, in ticks."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def fine_cpu_seconds(pid):
    """Of the threads that live: those that answer queries do all the time. For what takes less than a tick of cpu_seconds()."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def cpu_by_name(pid):
    """Of the threads that live, those of one name together: "query" are those that queries run on, one each, "part" those that help."""
    total = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as name, open(f"/proc/{pid}/task/{task}/schedstat") as f:
            name = name.read().strip()
            total[name] = total.get(name, 0) + int(f.read().split()[0]) / 1e9
    return total


def of_child(args, stdin=None):
    """(CPU-seconds, what it printed) of a program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    r = subprocess.run(args, stdin=stdin, capture_output=True, env={**os.environ, "LC_ALL": "C"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    check(r.returncode in (0, 1), f"{args}: {r.stderr.decode()[-500:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, r.stdout


def metrics(addr):
    out = {}
    for line in http_call(addr, "GET", "/metrics", timeout=60).text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            out[name] = float(value)
    return out


class Lines:
    """A kind's lines in a process of its own, and what is asked of them."""

    def __init__(self, t, bench, kind, size):
        self.kind, self.size, self.bench = kind, size, bench
        self.file = os.path.join(t.dir, f"{kind}.log")
        self.o = Single(t, f"logs-{kind}", args=ARGS).wait_ready()
        self.addr, self.pid = self.o.addr, self.o.popen.pid

    def push(self):
        r = subprocess.run([f"{self.bench}/logload", "--addr", self.addr, "--kind", self.kind, "--bytes", str(self.size),
                            "--file", self.file, "--tenant", TENANT], capture_output=True, text=True)
        check(r.returncode == 0, f"logload: {r.stdout} {r.stderr}")
        self.sent = json.loads(r.stdout)
        self.mb = self.sent["bytes"] / 1e6
        self.start, self.end = self.sent["first_ns"], self.sent["last_ns"] + 1

    def settle(self):
        """Until it does next to nothing: what it seals behind the pushes is of the pushes."""
        last = fine_cpu_seconds(self.pid)
        for _ in range(60):
            time.sleep(1)
            now = fine_cpu_seconds(self.pid)
            if now - last < 0.05:
                return
            last = now

    def held(self):
        q = urllib.parse.urlencode({"query": '{app=~".+"}', "limit": 1})
        r = http_call(self.addr, "GET", f"/ingester/logs?{q}", headers={"X-Scope-OrgID": TENANT}, timeout=120)
        check(r.status == 200, f"{r.status} {r.text[:500]}")
        return bool(r.text.strip())

    def flush(self):
        life = max(LIFE, LIFE * self.size / 2**30)
        r = http_call(self.addr, "POST", f"/ingester/flush?tenant={TENANT}", timeout=life)
        check(r.status // 100 == 2, r.text)
        wait_for("the ingester to hold nothing", lambda: not self.held(), life, 0.5)
        with open(f"{self.o.dir}/data/bucket/logs/{TENANT}/catalogue", encoding="utf-8") as f:
            blocks = json.load(f)["blocks"]
        check(sum(b["samples"] for b in blocks) == self.sent["lines"], f"{blocks}, {self.sent} were pushed")
        self.n_blocks = len(blocks)

    def bytes_in_bucket(self):
        total = 0
        for d, _, files in os.walk(f"{self.o.dir}/data/bucket/logs"):
            total += sum(os.path.getsize(os.path.join(d, x)) for x in files)
        return total

    def ask(self, path, **params):
        q = urllib.parse.urlencode(params)
        r = http_call(self.addr, "GET", f"/loki/api/v1/{path}?{q}", headers={"X-Scope-OrgID": TENANT}, timeout=600)
        check(r.status == 200, f"{params}: {r.status} {r.text[:500]}")
        return r.json["data"]

    def count(self, pipeline):
        """How many lines the pipeline keeps, of all there are: one moment of a metric."""
        seconds = (self.end - self.start) // 10**9 + 2
        d = self.ask("query", query=f'sum(count_over_time({{app="{self.kind}"}} {pipeline} [{seconds}s]))', time=self.end)
        return int(d["result"][0]["value"][1]) if d["result"] else 0

    def errors_by_service(self):
        d = self.ask("query_range", query=f'sum by (service) (rate({{app="{self.kind}"}} |= "error" [5m]))', start=self.start,
                     end=self.end + 300 * 10**9, step="5m")
        return d["result"]

    def needles(self):
        """Ids that are present once, from all over the file."""
        found = []
        with open(self.file, "rb") as f:
            for i in range(NEEDLES):
                f.seek(self.size * (2 * i + 1) // (2 * NEEDLES))
                f.readline()
                for line in f:
                    at = re.search(IDS[self.kind], line)
                    if at and of_child(["grep", "-c", "-F", at.group(1).decode(), self.file])[1].strip() == b"1":
                        found.append(at.group(1).decode())
                        break
        check(len(found) == NEEDLES, f"{len(found)} ids of {self.kind} that are present once")
        return found


def cpu_of(lines, ask, least_seconds=1.0, most=20):
    """CPU-seconds that the process takes for ask(), on average."""
    ask()  # files that are opened and read for the first time are a row of their own
    before, n = fine_cpu_seconds(lines.pid), 0
    while n < most and (n == 0 or fine_cpu_seconds(lines.pid) - before < least_seconds):
        ask()
        n += 1
    return (fine_cpu_seconds(lines.pid) - before) / n


def by_grep(path, text):
    seconds, out = of_child(["grep", "-c", "-F", text, path])
    return seconds, int(out)


def check_answers(lines, where):
    """A wrong answer is not fast: what Orrery counts is what grep counts. Java's lines have line feeds inside."""
    if lines.kind == "java":
        return
    want = by_grep(lines.file, "error")[1]
    got = lines.count('|= "error"')
    check(got == want, f"{where}: {got} lines of {lines.kind} with error, grep says {want}")


def speed_rows(lines, row, where, targets):
    """Of what reads lines: from the head, and from the block."""
    kind, mb = lines.kind, lines.mb
    check_answers(lines, where)
    grep = mb / max(by_grep(lines.file, "error")[0], 1e-3)
    speed = mb / cpu_of(lines, lines.errors_by_service)
    row(f'MB per CPU-second of sum by (service) (rate(|= "error" [5m])) from the {where}, {kind} (grep -F)', f"{speed:,.0f}",
        f"{grep:,.0f}", f"{speed / grep:.2f}", f">= {targets['errors']} MB")
    if kind == "json":
        n = lines.count("| json | latency_ms > 1000")
        check(0 < n < lines.sent["lines"], f"{n} lines over a second")
        speed = mb / cpu_of(lines, lambda: lines.count("| json | latency_ms > 1000"))
        row(f"MB per CPU-second of | json | latency_ms > 1000 from the {where} (grep -F)", f"{speed:,.0f}", f"{grep:,.0f}",
            f"{speed / grep:.2f}", f">= {targets['json']} MB")


def find(lines, needle):
    d = lines.ask("query_range", query=f'{{app="{lines.kind}"}} |= {json.dumps(needle)}', start=lines.start, end=lines.end,
                  limit=100)
    check(sum(len(x["values"]) for x in d["result"]) == 1, f"{needle} is there once, but {d['result']}")
    return d["stats"]


def needle_rows(lines, row, block_bytes):
    kind, needles = lines.kind, lines.needles()
    read = ["orrery_querier_logs_page_bytes_total", "orrery_querier_logs_filter_bytes_total"]
    find(lines, needles[0])  # opens the block
    before, cpu = metrics(lines.addr), fine_cpu_seconds(lines.pid)
    for x in needles:
        find(lines, x)
    seconds = (fine_cpu_seconds(lines.pid) - cpu) / len(needles)
    after = metrics(lines.addr)
    pages, filters = ((after[x] - before[x]) / len(needles) for x in read)
    # Three bytes of an id are too few for a filter, and like those of the columns that ids are in: each page is searched.
    scan = cpu_of(lines, lambda: lines.count(f"|= {json.dumps(needles[0][:3])}"))
    touched = (pages + filters) / block_bytes
    is_aim = lines.mb >= (NEEDLE_MB if kind in WITH_IDS else 5 * NEEDLE_MB)
    print(f"   a needle of {kind} on average: {pages:,.0f} bytes of pages, {filters:,.0f} of filters, "
          f"{1000 * seconds:.2f} ms of CPU; a scan {1000 * scan:.1f} ms", flush=True)
    row(f"bytes a needle touches, {kind} (of the block)", f"{pages + filters:,.0f}", f"{block_bytes:,}", f"{touched:.5f}",
        "<= 0.005" if is_aim else "")
    row(f"CPU ms of a needle over {lines.mb:,.0f} MB, {kind} (of a scan for three bytes of it)", f"{1000 * seconds:.2f}",
        f"{1000 * scan:.1f}", f"{scan / seconds:.1f}", ">= 50" if is_aim else "")
    if lines.mb >= 2000:
        row(f"CPU ms of a needle over {lines.mb:,.0f} MB, {kind} (VictoriaLogs over 2 GiB, as the issue has it)",
            f"{1000 * seconds:.2f}", "42", f"{1000 * seconds / 42:.2f}", "<= 50 ms")


def threads_row(lines, row):
    """How long who asks waits, with two threads and with one. For less the machine has to have two cores to spare, which it has not while
    anything else runs; so beside it stands what the busier one of the two has to do, whatever the machine has."""
    args, least, cpu, busiest = lines.o.args, {}, {}, {}
    for n in 1, 2:
        check(lines.o.stop() == 0, "stop")
        lines.o.args = [*args, f"--querier.split-threads={n}"]
        lines.o.start()
        lines.o.wait_ready()
        lines.pid = lines.o.popen.pid
        lines.errors_by_service()
        before, took = cpu_by_name(lines.pid), []
        for _ in range(10):
            began = time.monotonic()
            lines.errors_by_service()
            took.append(time.monotonic() - began)
        each = [(v - before.get(k, 0)) / len(took) for k, v in cpu_by_name(lines.pid).items()]
        least[n], cpu[n], busiest[n] = min(took), sum(each), max(each)
    print(f"   sum by (service) (rate) of {lines.kind} from the block: CPU-seconds {cpu[2]:.3f} on two threads, {cpu[1]:.3f} on one",
          flush=True)
    row(f"ms of sum by (service) (rate(|= \"error\" [5m])) from the block on two threads, {lines.kind} (on one)",
        f"{1000 * least[2]:,.1f}", f"{1000 * least[1]:,.1f}", f"{least[2] / least[1]:.2f}", "")
    row(f"CPU ms of the busier one of the two threads, {lines.kind} (of one alone)", f"{1000 * busiest[2]:,.1f}",
        f"{1000 * busiest[1]:,.1f}", f"{busiest[2] / busiest[1]:.2f}", "<= 0.6")


def zstd(lines):
    """(bytes, CPU-seconds) of zstd -3, of one thread."""
    out = lines.file + ".zst"
    seconds, _ = of_child(["zstd", "-3", "-q", "-f", "--single-thread", lines.file, "-o", out])
    size = os.path.getsize(out)
    os.unlink(out)
    return size, seconds


def bench_kind(t, bench, kind, size, row):
    lines = Lines(t, bench, kind, size)
    before = cpu_seconds(lines.pid)
    lines.push()
    lines.settle()
    pushed = cpu_seconds(lines.pid) - before
    speed_rows(lines, row, "head", {"errors": 300, "json": 300})
    before = cpu_seconds(lines.pid)
    lines.flush()
    lines.settle()
    flushed = cpu_seconds(lines.pid) - before
    packed, zstd_seconds = zstd(lines)
    stored = lines.bytes_in_bucket()
    print(f"   {kind}: {lines.sent['lines']:,} lines, {lines.mb:,.1f} MB in {lines.n_blocks} blocks; {pushed:.2f} CPU-seconds until "
          f"all was taken, {flushed:.2f} more until it was in the bucket; {lines.sent['sent_again']} requests sent again", flush=True)
    speed, zstd_speed = lines.mb / (pushed + flushed), lines.mb / zstd_seconds
    row(f"MB of lines per CPU-second from push to block, RF 1, {kind} (zstd -3)", f"{speed:,.0f}", f"{zstd_speed:,.0f}",
        f"{speed / zstd_speed:.2f}", ">= 60 MB")
    row(f"bytes in the bucket, all files, {kind} (zstd -3)", f"{stored:,}", f"{packed:,}", f"{stored / packed:.3f}", "<= 1")
    needle_rows(lines, row, stored)
    speed_rows(lines, row, "block", {"errors": 500, "json": 5000})
    if kind == "json":
        threads_row(lines, row)
    lines.o.stop()
    shutil.rmtree(lines.o.dir)
    os.unlink(lines.file)
    return {"mb": lines.mb, "cpu": pushed + flushed, "stored": stored, "packed": packed, "zstd": zstd_seconds}


STREAMS = 100_000


def stream_labels(i):
    """Of a pod in a cluster of many: ten labels, of which two are its own."""
    return {"cluster": "eu-west-1", "namespace": f"team-{i % 40}", "app": f"service-{i % 700}", "container": f"c{i % 3}",
            "env": "prod", "node": f"ip-10-0-{i % 250}-{i // 250 % 250}", "region": "eu", "stream": "stdout",
            "pod": f"service-{i % 700}-7d9f8b6c5d-{i:05x}", "pod_ip": f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"}


def bench_streams(t, row):
    """What an active stream takes of an ingester beside its buffered lines: resident memory of the whole process, doors' caches
    and all, less the blocks that lines lie in."""
    o = Single(t, "logs-streams", args=[*ARGS, "--limits.max-global-streams-per-user=0"]).wait_ready()

    def push(first, n, text):
        body = {"streams": [{"stream": stream_labels(i), "values": [[str(time.time_ns()), f"{text} {i} " + "x" * 100]]}
                            for i in range(first, first + n)]}
        r = http_call(o.addr, "POST", "/loki/api/v1/push", json.dumps(body).encode(),
                      {"Content-Type": "application/json", "X-Scope-OrgID": TENANT}, timeout=60)
        check(r.status == 204, r.text[:500])

    def held():
        with open(f"/proc/{o.popen.pid}/status", encoding="utf-8") as f:
            rss = int(next(x for x in f if x.startswith("VmRSS")).split()[1]) * 1024
        return rss - metrics(o.addr)["orrery_loghead_open_bytes"]
    for i in range(20):
        push(0, 1000, f"warm {i}")  # what a process takes that works at all
    before, cpu = held(), cpu_seconds(o.popen.pid)
    for text in "first", "second":
        for first in range(0, STREAMS, 1000):
            push(first, 1000, text)
    each = (held() - before) / (STREAMS - 1000)
    cpu = cpu_seconds(o.popen.pid) - cpu
    active = sum(v for k, v in metrics(o.addr).items() if k.startswith("orrery_loghead_active_streams"))
    check(active == STREAMS, f"{active} streams")
    print(f"   {STREAMS:,} streams of ten labels, two lines each: {cpu:.2f} CPU-seconds", flush=True)
    row(f"bytes of an active stream of {STREAMS:,}, beside its lines (3 KiB)", f"{each:,.0f}", "3,072", f"{each / 3072:.3f}", "<= 1")
    o.stop()
    shutil.rmtree(o.dir)


# Nothing is sealed while it runs.
OPEN_ARGS = ["--ingester.logs-seal-bytes=1GiB", "--ingester.logs-open-bytes=8GiB", "--ingester.logs-seal-wal-bytes=64GiB",
             "--ingester.logs-seal-age=24h"]


def bench_push(t, bench, size, row):
    """What a push costs until it is acknowledged: socket, door, log and open lines, and no sealing. Of each kind 128 MB at
    most, so that it stays in memory, and an eighth of that before, so that the process is warm."""
    size = min(size // len(KINDS), 128_000_000)
    mb = cpu = 0
    for kind in KINDS:
        o = Single(t, f"push-{kind}", args=[*ARGS, *OPEN_ARGS]).wait_ready()

        def push(n, seed, addr=o.addr, kind=kind):
            r = subprocess.run([f"{bench}/logload", "--addr", addr, "--kind", kind, "--bytes", str(n), "--seed", str(seed),
                                "--tenant", TENANT], capture_output=True, text=True)
            check(r.returncode == 0, f"logload: {r.stdout} {r.stderr}")
            return json.loads(r.stdout)
        push(size // 8, 2)
        before = cpu_seconds(o.popen.pid)
        sent = push(size, 1)
        took = cpu_seconds(o.popen.pid) - before
        row(f"CPU ms of a push until it is acknowledged, for each MB of lines, {kind}", f"{1e9 * took / sent['bytes']:.2f}", "-",
            f"{sent['bytes'] / 1e6 / took:,.0f} MB/CPU-s", "<= 5 ms")
        mb, cpu = mb + sent["bytes"] / 1e6, cpu + took
        check(metrics(o.addr)['orrery_loghead_open_bytes'] > sent["bytes"], "lines were sealed meanwhile")
        o.stop()
        shutil.rmtree(o.dir)
    row("CPU ms of a push until it is acknowledged, for each MB of lines, all kinds", f"{1000 * cpu / mb:.2f}", "-",
        f"{mb / cpu:,.0f} MB/CPU-s", "<= 5 ms")


def bench_logs(t, bench, size, memcpy_gb_per_s, row):
    bench_streams(t, row)
    done = [bench_kind(t, bench, kind, size // len(KINDS), row) for kind in KINDS]
    total = {k: sum(d[k] for d in done) for k in done[0]}
    ours, theirs = total["mb"] / total["cpu"], total["mb"] / total["zstd"]
    row("MB of lines per CPU-second from push to block, RF 1, all kinds (zstd -3)", f"{ours:,.0f}", f"{theirs:,.0f}",
        f"{ours / theirs:.2f}", ">= 60 MB")
    row("bytes in the bucket, all files, all kinds (zstd -3)", f"{total['stored']:,}", f"{total['packed']:,}",
        f"{total['stored'] / total['packed']:.3f}", "<= 1")
    row("MB per second that memory copies, beside them", "-", f"{1000 * memcpy_gb_per_s:,.0f}", "-", "")
