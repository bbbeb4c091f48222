#!/usr/bin/env python3
"""A real Prometheus writes into a cluster; both must answer every query of parity_queries.txt alike:
from the head, from blocks, and across the seam between them."""
import math
import os
import shutil
import time

from orrery_test import (Cluster, Failure, Process, Prometheus, Skip, api, check, free_port,
                         http_call, key_of, main, query_range, wait_for)

# Debian's Prometheus does not send the headers of remote_write: what it writes has no tenant of its own
TENANT = "anonymous"
HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = """
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - {job_name: prometheus, static_configs: [{targets: ['SELF']}]}
  - {job_name: node, static_configs: [{targets: ['NODE']}]}
  - {job_name: orrery, static_configs: [{targets: [ORRERY]}]}
remote_write:
  - url: http://DOOR/api/v1/push
    queue_config: {batch_send_deadline: 500ms, max_samples_per_send: 2000}
"""


def queries():
    with open(f"{HERE}/parity_queries.txt") as f:
        return [q.strip() for q in f if q.strip() and not q.startswith("#")]


def same_value(a, b):
    x, y = float(a), float(b)
    return x == y or (math.isnan(x) and math.isnan(y)) or \
        math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-12)


def as_series(data):
    if data["resultType"] in ("scalar", "string"):
        return {(): {round(data["result"][0] * 1000): data["result"][1]}}
    return {key_of(s["metric"]): {round(t * 1000): v for t, v in s.get("values", [s.get("value")])}
            for s in data["result"]}


def difference(theirs, ours):
    if set(theirs) != set(ours):
        return f"series differ: only there {sorted(set(theirs) - set(ours))[:2]}, " \
               f"only here {sorted(set(ours) - set(theirs))[:2]}"
    for key, points in theirs.items():
        if set(points) != set(ours[key]):
            return f"{key}: times differ: {sorted(set(points) ^ set(ours[key]))[:3]}"
        for t, v in points.items():
            if not same_value(v, ours[key][t]):
                return f"{key} at {t}: {ours[key][t]}, Prometheus has {v}"
    return None


def instant(addr, expr, at, tenant):
    r = api(addr, "/api/v1/query", {"query": expr, "time": f"{at / 1000:.3f}"}, tenant)
    check(r.status == 200, f"{expr}: {r.status} {r.text[:200]}")
    return r.json["data"]


def compare_all(prom, querier, start, end, what):
    bad, n = [], 0
    for expr in queries():
        for kind in ("instant", "range"):
            try:
                if kind == "instant":
                    theirs = as_series(instant(prom, expr, end, None))
                    ours = as_series(instant(querier, expr, end, TENANT))
                else:
                    theirs = as_series(query_range(prom, expr, start, end, 3, None))
                    ours = as_series(query_range(querier, expr, start, end, 3, TENANT))
                why = difference(theirs, ours)
            except Failure as e:
                why = str(e)
            n += 1
            if why:
                bad.append(f"{what}, {kind}: {expr}: {why}")
    check(n >= 120, f"only {n} queries")
    check(not bad, lambda: f"{len(bad)} of {n} differ:\n" + "\n".join(bad[:20]))


def cpu_seconds_told(node):
    text = http_call(node, "GET", "/metrics").text
    return next(float(line.split()[1]) for line in text.splitlines()
                if line.startswith("process_cpu_seconds_total "))


def test_parity_through_head_blocks_and_seam(t):
    if not shutil.which("prometheus-node-exporter"):
        raise Skip("prometheus-node-exporter is not installed")
    c = Cluster(t)
    node = f"127.0.0.1:{free_port()}"
    t.add(Process("node", ["prometheus-node-exporter", f"--web.listen-address={node}"],
                  f"{t.dir}/node.log"))
    everybody = ", ".join(f"'{v[3]}'" for v in c.status().values())
    door, querier = c.addrs("ingester")[0], c.addrs("querier")[0]
    p = Prometheus(t, CONFIG.replace("NODE", node).replace("DOOR", door)
                   .replace("ORRERY", everybody)).wait_ready()
    # counters that begin with the test must be clear of zero where the queries begin to look: against the
    # seconds of CPU that the exporter takes from scrape to scrape, its first second is
    wait_for("the exporter to have used a second of CPU", lambda: cpu_seconds_told(node) > 1, 120, 0)
    targets = len(c.status()) + 2
    wait_for("every target to be scraped", lambda: [v for v in as_series(instant(
        p.addr, "count(up == 1)", time.time() * 1000, None)).values()
        if max(map(float, v.values())) == targets], 60)
    begin = time.time()
    time.sleep(45)

    def arrived(until_ms):
        theirs = instant(p.addr, "count_over_time(up[20s])", until_ms, None)
        ours = instant(querier, "count_over_time(up[20s])", until_ms, TENANT)
        return difference(as_series(theirs), as_series(ours)) is None

    # eval times off the scrapes' own milliseconds: Prometheus 2 counts a sample that is exactly one
    # range old, Prometheus 3 and Orrery do not
    start, end = int(begin + 25) * 1000 + 777, int(time.time() - 4) * 1000 + 777
    wait_for("the samples to arrive", lambda: arrived(end), 30)
    compare_all(p.addr, querier, start, end, "head")

    for addr in c.addrs("ingester"):
        r = http_call(addr, "POST", f"/ingester/flush?tenant={TENANT}", timeout=120)
        check(r.status // 100 == 2, f"flush: {r.status} {r.text}")
    wait_for("a block in the bucket",
             lambda: os.path.exists(f"{c.blocks.path()}/metrics/{TENANT}/catalogue"), 60)
    compare_all(p.addr, querier, start, end, "blocks")

    time.sleep(20)
    end = int(time.time() - 4) * 1000 + 777
    wait_for("the samples to arrive", lambda: arrived(end), 30)
    compare_all(p.addr, querier, start, end, "seam")


if __name__ == "__main__":
    main()
