#!/usr/bin/env python3
"""Blocks that queriers own, on a real S3 server: the same answers whoever reads what, each block read by its owners
alone, and whole answers while queriers die, hang, come and go. Needs what s3_store_test.py needs."""
import json
import os
import re
import shutil
import threading
import time
import urllib.parse

from orrery_test import Cluster, api, check, http_call, main, push_ok, wait_for
from s3_server import a_server
from s3_store_test import now_ms

SERIES = 300
WINDOWS = 6
QUERIES = ["sum by (job) (rate(owned_total[5m]))", "count(owned_total)", "owned_total{n=~'1.7'}",
           "topk(3, max_over_time(owned_total{job='j2'}[20m]))", "owned_total{n='none'}"]
START = (now_ms() // 7_200_000 - WINDOWS - 1) * 7_200_000
END = START + WINDOWS * 7_200_000


def metric(addr, name):
    text = http_call(addr, "GET", "/metrics").text
    return sum(float(m) for m in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))


def blocks(addr):
    return api(addr, "/api/v1/status/tsdb/blocks").json["data"]["blocks"]


class Town:
    """A cluster with blocks in a bucket, whose queriers keep no answers."""

    def __init__(self, t):
        self.server = a_server(t)
        os.environ.update(self.server.keys)  # handed on to the cluster's script
        self.config = os.path.join(t.dir, "ring.yml")
        self.configure(0)
        self.c = Cluster(t, args=["--ingesters", "3", "--queriers", "3", "--compactors", "1", "--rulers", "0",
                                  "--alertmanagers", "0", "--config", self.config, "--s3",
                                  f"{self.server.endpoint}/owned"])
        self.names = sorted(self.c.names("querier"))
        self.addrs = {k: v[3] for k, v in self.c.status().items()}
        self.fill()

    def configure(self, replication):
        with open(self.config, "w") as f:
            f.write(f"querier: {{block-replication: {replication}, result-cache-size: 0, straggler-wait: 2s, "
                    "share-equal-queries: false}\ncompactor: {block-ranges: 2h}\n")

    def fill(self):
        ingester = self.c.addrs("ingester")[0]
        for w in range(WINDOWS):
            at = START + w * 7_200_000 + 60_000
            push_ok(ingester, [({"__name__": "owned_total", "job": f"j{k % 5}", "n": str(k)},
                                [(at + i * 30_000, float(i * (k + 1))) for i in range(120)]) for k in range(SERIES)])
        for a in self.c.addrs("ingester"):
            r = http_call(a, "POST", "/ingester/flush", timeout=120)
            check(r.status // 100 == 2, f"flush: {r.status} {r.text}")
        one = self.addrs[self.names[0]]
        wait_for(f"{WINDOWS} blocks", lambda: len(blocks(one)) >= WINDOWS, 120)
        self.n = len(blocks(one))

    def again(self, replication):
        """The queriers anew, with nothing read yet."""
        self.configure(replication)
        for name in self.names:
            self.c.run("stop", name)
            shutil.rmtree(os.path.join(self.c.dir, name, "data", "querier"), ignore_errors=True)
        for name in self.names:
            self.c.run("restart", name)
        self.wait_for_ring(3)

    def wait_for_ring(self, n):
        def seen(a):
            ring = http_call(a, "GET", "/ring?role=querier", headers={"Accept": "application/json"}).json["rings"][0]
            return sum(i["healthy"] and i["state"] == "ACTIVE" for i in ring["instances"]) == n

        for name in self.names[:n]:
            wait_for(f"{n} queriers at {name}", lambda a=self.addrs[name]: seen(a), 60)

    def metric(self, name):
        return {q: metric(self.addrs[q], name) for q in self.names}


def ask(addr, query):
    q = urllib.parse.urlencode({"query": query, "start": START / 1000, "end": END / 1000, "step": 60, "stats": "all"})
    r = api(addr, f"/api/v1/query_range?{q}")
    check(r.status == 200, f"{query}: {r.status} {r.text[:300]}")
    check(not r.json.get("warnings"), f"{query}: {r.json.get('warnings')}")
    data = r.json["data"]
    return sorted(json.dumps(s, sort_keys=True) for s in data["result"]), data["stats"]["objectStore"]


def answers(addr):
    out = [ask(addr, q)[0] for q in QUERIES]
    at = urllib.parse.urlencode({"match[]": "owned_total{job='j1'}", "start": START / 1000, "end": END / 1000})
    out.append(api(addr, f"/api/v1/series?{at}").json["data"])
    return out


def test_each_block_is_read_by_its_owners(t):
    town = Town(t)
    one = town.addrs[town.names[0]]
    town.again(0)
    want = answers(one)
    check(want[0] and want[1] and want[4] == [] and len(want[5]) == SERIES // 5, "there is something to compare")
    gets = {}
    for replication in 0, 1, 2:
        town.again(replication)
        for name in town.names:
            got = answers(town.addrs[name])
            check(got == want, f"{name}: another answer with {replication} owners")
        opened = town.metric("orrery_querier_opened_blocks_total")
        gets[replication] = sum(town.metric("orrery_querier_block_gets_total").values())
        check(sum(opened.values()) == town.n * (replication or 3), f"{replication}: opened {opened}, of {town.n}")
        check(sum(town.metric("orrery_querier_failed_owners_total").values()) == 0, "an owner failed")
        check((sum(town.metric("orrery_querier_served_blocks_total").values()) > 0) == (replication > 0), "served")
        print(f"   {replication} owners: {town.n} blocks, opened {opened}, {gets[replication]:.0f} gets", flush=True)
    check(gets[1] < gets[2] < gets[0], f"gets {gets}")


def test_owners_die_and_hang(t):
    town = Town(t)
    one, dead, hung = town.names
    addr = town.addrs[one]
    town.again(1)
    want = answers(addr)
    check(metric(addr, "orrery_querier_asked_blocks_total") > 0, "nobody was asked")
    town.c.run("pause", hung)
    began = time.monotonic()
    check(answers(addr) == want, "another answer beside an owner that hangs")
    check(time.monotonic() - began < 60, f"{time.monotonic() - began} s")
    town.c.run("kill", dead)
    check(answers(addr) == want, "another answer without the owner that was killed")
    check(metric(addr, "orrery_querier_returned_blocks_total") > 0, "blocks were read here instead")
    town.c.run("resume", hung)
    town.c.run("restart", dead)
    for name in one, dead, hung:
        wait_for(f"{name} to answer", lambda a=town.addrs[name]: answers(a) == want, 60)


def test_queriers_come_and_go_under_load(t):
    town = Town(t)
    one, other, third = town.names
    town.again(2)
    want = answers(town.addrs[one])
    failed, counts, is_over = [], [0], threading.Event()

    def load():
        while not is_over.is_set():
            try:
                if answers(town.addrs[one]) != want:
                    failed.append("another answer")
            except Exception as e:  # whatever it is, it is a query that failed
                failed.append(str(e))
            counts[0] += 1

    threads = [threading.Thread(target=load) for _ in range(2)]
    for th in threads:
        th.start()
    try:
        for name in other, third, other:
            town.c.run("stop", name)
            town.c.run("restart", name)
        town.c.run("kill", third)
        before = counts[0]
        wait_for("queries without it", lambda: counts[0] > before + 2, 60)
        town.c.run("restart", third)
        before = counts[0]
        wait_for("queries with it", lambda: counts[0] > before + 2, 60)
    finally:
        is_over.set()
        for th in threads:
            th.join()
    check(not failed, f"{len(failed)} of {counts[0]} failed: {failed[:3]}")
    print(f"   {counts[0]} rounds of {len(QUERIES) + 1} queries", flush=True)


if __name__ == "__main__":
    main()
