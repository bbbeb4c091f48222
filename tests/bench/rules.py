"""10,000 rules in 1,000 groups every 15 s, at one ruler with one querier in one process, beside Debian's Prometheus with the same rules on the same
series, both at work at the same time. Bench "rules" of tests/bench/run.

CPU is that of the whole process: of Orrery queries, the way to the ingester and its log are in it; of Prometheus, too. What both take
for the series that come in meanwhile is measured without rules and taken off."""
import json
import os
import re
import subprocess
import threading
import time

from logs import cpu_seconds
from orrery_test import Prometheus, Single, check, http_call, wait_for

TENANT = "bench"
GROUPS, RULES, INTERVAL_S = int(os.environ.get("BENCH_GROUPS", "1000")), 10, 15
WARM_S, IDLE_S, RUN_S = 45, 45, 90
SERIES, HISTORY = 10000, 24  # rounds before the beginning
METRIC = "http_server_requests_000_total"
# of a group, service and a number; recorded names are of the group
RECORDS = (f'sum(rate({METRIC}{{job="S"}}[5m]))', f'sum by (status) (rate({METRIC}{{job="S"}}[5m]))',
           f'sum by (method) (rate({METRIC}{{job="S"}}[5m]))', f'max by (namespace) ({METRIC}{{job="S"}})',
           f'count({METRIC}{{job="S"}})')
ALERTS = (f'sum(rate({METRIC}{{job="S",status="500"}}[5m])) > 1e12', 'group_N:r0 > 1e12', 'group_N:r1 > 1e12',
          f'absent({METRIC}{{job="S"}})', f'sum by (pod) (rate({METRIC}{{job="S",status="500"}}[1m])) > 1e12')


def rule_file():
    out = ["groups:"]
    for n in range(GROUPS):
        out += [f"- name: g{n}", f"  interval: {INTERVAL_S}s", "  rules:"]

        def expr(text):
            return json.dumps(text.replace('"S"', f'"service-{n % 50}"').replace("group_N", f"group_{n}"))
        out += [f"  - record: group_{n}:r{i}\n    expr: {expr(text)}" for i, text in enumerate(RECORDS)]
        out += [f"  - alert: A{i}\n    for: 1m\n    expr: {expr(text)}\n    annotations: {{summary: 'of {n}'}}" for i, text in enumerate(ALERTS)]
    return "\n".join(out) + "\n"


def metric(addr, name):
    text = http_call(addr, "GET", "/metrics", timeout=60).text
    return sum(float(x) for x in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))


class Feed(threading.Thread):
    """A round of samples each interval, to both."""

    def __init__(self, bench, sides):
        super().__init__(daemon=True)
        self.bench, self.sides, self.over = bench, sides, threading.Event()

    def send(self, start_ms, rounds):
        for addr, path in self.sides:
            r = subprocess.run([f"{self.bench}/rwload", "--path", path, "--series", str(SERIES), "--rounds", str(rounds), "--start-ms",
                                str(start_ms), "--connections", "1", "--addr", addr], capture_output=True, text=True)
            check(r.returncode == 0, f"rwload: {r.stdout} {r.stderr}")

    def run(self):
        at = int(time.time() * 1000) - HISTORY * INTERVAL_S * 1000
        self.send(at, HISTORY)
        at += HISTORY * INTERVAL_S * 1000
        while not self.over.is_set():
            self.send(at, 1)
            at += INTERVAL_S * 1000
            self.over.wait(max(at / 1000 - time.time(), 0))


def window(pids, seconds):
    before = [cpu_seconds(p) for p in pids]
    time.sleep(seconds)
    return [(cpu_seconds(p) - b) / seconds for p, b in zip(pids, before)]


def run(t, bench, row):
    rules = f"{t.dir}/rules/{TENANT}"
    os.makedirs(rules)
    p = Prometheus(t, f"global: {{}}\nrule_files: ['{t.dir}/theirs.yml']\n", "prometheus",
                   ["--web.enable-remote-write-receiver", "--web.enable-lifecycle"]).wait_ready()
    o = Single(t, args=["--limits.ingestion-rate=0", "--limits.max-global-series-per-user=0", f"--ruler.rule-path={t.dir}/rules",
                        "--ruler.poll-period=1s"]).wait_ready()
    pids = [o.popen.pid, p.popen.pid]
    feed = Feed(bench, [(o.addr, "/api/v1/push"), (p.addr, "/api/v1/write")])
    feed.start()
    time.sleep(15)
    idle = window(pids, IDLE_S)
    for path in (f"{rules}/rules.yml", f"{t.dir}/theirs.yml"):
        with open(path + ".new", "w") as f:
            f.write(rule_file())
        os.rename(path + ".new", path)
    check(http_call(p.addr, "POST", "/-/reload", timeout=120).status == 200, "Prometheus does not reload")
    wait_for("Orrery to have all groups", lambda: metric(o.addr, "orrery_ruler_groups_owned") == GROUPS, 120)
    time.sleep(WARM_S)
    counters = [(o.addr, "orrery_ruler_rule_evaluations_total"), (p.addr, "prometheus_rule_evaluations_total")]
    before = [metric(*c) for c in counters]
    busy = window(pids, RUN_S)
    done = [metric(*c) - b for c, b in zip(counters, before)]
    cost = [(b - i) * RUN_S / n * 1e6 for b, i, n in zip(busy, idle, done)]
    want = GROUPS * RULES * RUN_S / INTERVAL_S
    failures = [metric(o.addr, "orrery_ruler_rule_evaluation_failures_total"), metric(p.addr, "prometheus_rule_evaluation_failures_total")]
    # on a machine that has too little for both Prometheus leaves evaluations out: the cost of those that it does is the same
    check(0.9 * want < done[0] < 1.1 * want and done[1] > want / 10, f"{done} evaluations, {want} are due")
    check(failures == [0, 0], f"rules failed: {failures}")
    missed = [metric(o.addr, "orrery_ruler_group_iterations_missed_total"), metric(p.addr, "prometheus_rule_group_iterations_missed_total")]
    row(f"rules: CPU-microseconds per evaluation, {GROUPS * RULES} rules in {GROUPS} groups every {INTERVAL_S} s", f"{cost[0]:.0f}", f"{cost[1]:.0f}",
        f"{cost[0] / cost[1]:.3f}", "<= 0.5")
    row("rules: cores at work in all", f"{busy[0]:.2f}", f"{busy[1]:.2f}", f"{busy[0] / busy[1]:.3f}", "")
    row("rules: iterations missed", f"{missed[0]:.0f}", f"{missed[1]:.0f}", "-", "<= 0 iterations")
    feed.over.set()
    feed.join(60)
