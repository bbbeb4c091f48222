#!/usr/bin/env python3
"""Compactors and queriers on a bucket without conditional puts (Swift's s3api) whose puts of catalogues and tombstone lists take
their time: one writer for a tenant (common/block/writelease.h), so no version goes back, nothing is lost, and of two deletions at a
time both are kept. The writer is killed, and another takes over."""
import asyncio
import json
import os
import random
import subprocess
import threading
import time

import s3_proxy
from compact_test import DAY, day, windows
from orrery_test import BUILD, ROOT, TENANT, Cluster, api, check, http_call, main, push_ok, wait_for
from s3_server import Server

BUCKET = "writers"
CATALOGUE = f"metrics/{TENANT}/catalogue"
PUT_S = 3  # s3.request-timeout, and so the longest that a put of a catalogue takes


class SlowPuts(s3_proxy.Fault):
    """Up to 2 s before a put of what is read, changed and written reaches the server."""

    def __init__(self):
        self.rng = random.Random(1)

    def chooses(self, request):
        return request.method == "PUT" and request.key.endswith(("/catalogue", "/tombstones"))

    async def before(self, request, out):
        await asyncio.sleep(self.rng.random() * 2)
        return False


class Watch:
    """Versions of the catalogue, as they follow one another in the bucket."""

    def __init__(self, server):
        self.server, self.versions, self.is_over = server, [], False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def catalogue(self):
        r = self.server.request("GET", f"/{BUCKET}/{CATALOGUE}")
        return json.loads(r.body) if r.status == 200 else None

    def run(self):
        while not self.is_over:
            c = self.catalogue()
            if c:
                self.versions.append(c["version"])
            time.sleep(0.05)

    def end(self):
        self.is_over = True
        self.thread.join()
        check(len(set(self.versions)) > 1, f"versions {self.versions}")
        check(self.versions == sorted(self.versions), "a version of the catalogue went back")


def leases(c):
    """{name: [shares]} of the compactors that run."""
    rows = {}
    for name, (role, _, pid, addr) in c.status().items():
        if role == "compactor" and pid:
            rows[name] = http_call(addr, "GET", "/compactor/status").json.get("leases")
    return rows


def test_one_writer(t):
    server = Server(t, "swift-s3")
    proxy = s3_proxy.S3Proxy(t, server.endpoint)
    proxy.fault = SlowPuts()
    config = f"{t.dir}/orrery.yaml"
    with open(config, "w", encoding="utf-8") as f:
        f.write("compactor: {compaction-interval: 1s, sweep-interval: 1s, deletion-delay: 1h, poll-interval: 500ms,"
                " early-wait: 500ms, retry-min: 100ms, retry-max: 1s}\n"
                f"s3: {{request-timeout: {PUT_S}s}}\n"
                "querier: {enable-admin-api: true}\n"
                "limits: {max-open-windows-per-user: 0}\n")
    os.environ.update(server.keys)
    c = Cluster(t, args=["--queriers", "2", "--compactors", "3", "--rulers", "0", "--alertmanagers", "0", "--config", config,
                         "--s3", f"{proxy.endpoint}/{BUCKET}"])
    ingesters, queriers, start, watch = c.addrs("ingester"), c.addrs("querier"), day(4), Watch(server)

    def flush(batches):
        for batch in batches:
            push_ok(ingesters[0], batch)
        for a in ingesters:
            threading.Thread(target=http_call, args=(a, "POST", f"/ingester/flush?tenant={TENANT}"), kwargs={"timeout": 300},
                             daemon=True).start()

    def held():
        rows = leases(c)
        return all(rows.values()) and sorted(sum(rows.values(), [])) == list(range(16))
    wait_for("each lease to have one holder", held, 90)

    def check_samples(n):
        """All of n windows are in blocks of the catalogue, and are answered."""
        def samples():
            k = watch.catalogue()
            return k and sum(b["samples"] for b in k["blocks"])
        wait_for(f"{n} windows in the catalogue", lambda: samples() == n * 24 * 5, 120)
        r = api(queriers[0], "/api/v1/query", {"query": "sum(count_over_time(m[5d]))", "time": (start + 4 * DAY) / 1000})
        check(r.status == 200 and float(r.json["data"]["result"][0]["value"][1]) == n * 24 * 5, r.text)

    batches = list(windows(start, 10))
    flush(batches[:6])
    check_samples(6)
    ours = [n for n, (role, _, pid, _) in c.status().items() if role == "compactor" and
            "msg=flushed" in open(f"{c.dir}/{n}/log", errors="replace").read()]
    check(len(ours) == 1, f"{ours} wrote for one tenant")

    # orreryctl does not write beside a compactor
    program = os.path.join(ROOT, BUILD, "bin", "orreryctl")
    r = subprocess.run([program, "tenant", "copy", TENANT, "other", *server.options(BUCKET)], capture_output=True, text=True,
                       timeout=60)
    check(r.returncode == 1 and "no conditional puts" in r.stderr and "--force" in r.stderr, r.stdout + r.stderr)

    # two deletions at a time, by two queriers
    answers = [None, None]

    def delete(i):
        query = f"match[]=gone%7Bn%3D%22{i}%22%7D"
        answers[i] = http_call(queriers[i], "POST", f"/api/v1/admin/tsdb/delete_series?{query}",
                               headers={"X-Scope-OrgID": TENANT}, timeout=90)
    threads = [threading.Thread(target=delete, args=(i,)) for i in range(2)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    check([a.status for a in answers] == [204, 204], f"{[a.text for a in answers]}")
    rows = api(queriers[0], "/api/v1/admin/tsdb/tombstones").json["data"]
    check(len(rows) == 2, f"{len(rows)} of 2 deletions are on the list")

    def is_all_known():
        there = {key.split("/")[2] for key in server.listing(BUCKET) if key.endswith("/meta.json")}
        k = watch.catalogue()
        return there <= {b["ulid"] for b in k["blocks"] + k["retired"]}
    wait_for("the catalogue to name all there is in the bucket", is_all_known, 60)

    # the writer dies without a word
    c.run("kill", ours[0])
    flush(batches[6:])
    check_samples(10)
    watch.end()
    logs = "".join(open(f"{c.dir}/{n}/log", errors="replace").read() for n in c.names("compactor"))
    check("another writes the same object" not in logs, "a put was overwritten")


if __name__ == "__main__":
    main()
