#!/usr/bin/env python3
"""Log lines under load while processes go: ingesters are killed, restarted and leave, compactors are killed, lines are flushed and
blocks merged all the while. Whenever it is asked no acknowledged line is missing and none is there twice, and so it is at the end.
LOAD_S=n goes on for so many seconds (SEED=n: in the order of that seed); else each thing happens once."""
import collections
import concurrent.futures
import http.client
import itertools
import os
import random
import time

from fault_test import Load, small_cluster
from logs_api_test import S, data, streams
from logs_test import held, live, now_ns, push
from orrery_test import TENANT, check, http_call, main, wait_for

HOUR = 3600 * S
LONG_AGO = 50 * HOUR  # blocks of then are merged at once
SETTINGS = """
limits: {reject-old-samples: false, max-entries-limit-per-query: 5000000}
ring: {unhealthy-after: 4s, join-wait: 2s}
ingester: {leave-grace: 1s, logs-seal-bytes: 64KiB}
compactor: {poll-interval: 500ms, early-wait: 300ms, drop-delay: 300ms, retry-min: 200ms, retry-max: 1s,
            compaction-interval: 500ms, compaction-wait: 0s, sweep-interval: 1s, deletion-delay: 10s}
"""
STREAMS, LINES = 4, 6


class LogLoad(Load):
    """Of a tenant, whose lines are of some time ago."""

    def __init__(self, ingesters, queriers, tenant, age):
        self.sent, self.acked, self.tenant, self.age = set(), set(), tenant, age
        self.base = now_ns() - age
        super().__init__(ingesters, queriers, writers=1)

    def batch(self, writer, n):
        """Pairs of lines have one moment."""
        at = now_ns() - self.age
        batch = [({"app": "load", "k": str(k)},
                  [(at + i // 2, f"batch {n} of {writer} stream {k} line {i} " + "x" * (n * 37 % 200)) for i in range(LINES)])
                 for k in range(STREAMS)]
        with self.lock:
            self.sent.update(self.rows(batch))
        return batch

    @staticmethod
    def rows(batch):
        return [(labels["k"], at, text) for labels, lines in batch for at, text in lines]

    def send(self, addr, batch):
        try:
            return push(addr, batch, tenant=self.tenant).status
        except http.client.HTTPException:
            return 0

    def note(self, batch):
        self.acked.update(self.rows(batch))

    def span(self):
        return {"start": self.base - HOUR, "end": now_ns() - self.age + 10 * S}

    def count(self, addr):
        """By the engine of numbers, whatever the lines are."""
        at = now_ns() - self.age + 10 * S
        query = f'sum(count_over_time({{app="load"}}[{(at - self.base) // S + 60}s]))'
        got = data(addr, "query", {"query": query, "time": at}, tenant=self.tenant)["result"]
        return int(got[0]["value"][1]) if got else 0

    def ask(self, addr):
        with self.lock:
            least = len(self.acked)
        got = self.count(addr)
        with self.lock:
            most = len(self.sent)
        check(least <= got <= most, f"{got} lines, when {least} were acknowledged before and {most} sent after")

    def check(self, addrs, when=""):
        check(len(self.acked) > 500, f"only {len(self.acked)} lines were acknowledged")
        for addr in addrs:
            got = collections.Counter((labels["k"], at, text) for labels, values in streams(
                addr, '{app="load"}', tenant=self.tenant, limit=5000000, **self.span()) for at, text, *_ in values)
            lost, twice = self.acked - set(got), [x for x, n in got.items() if n > 1]
            check(not lost and not twice and set(got) <= self.sent,
                  lambda: f"{self.tenant}, {when}: of {len(self.acked)} acknowledged lines {len(lost)} are missing on {addr}, {len(twice)} there twice, "
                          f"{len(set(got) - self.sent)} not sent: {sorted(lost)[:2]} {twice[:2]}")
            check(self.count(addr) == len(got), f"{self.tenant}, {when}: counted are {self.count(addr)} of {len(got)}")
        check(self.reads > 5 and not self.failed_reads,
              f"{len(self.failed_reads)} of {self.reads} reads failed: {self.failed_reads[:3]}")


def flush(addrs):
    """At once: replicas become one block."""
    def one(addr):
        try:
            http_call(addr, "POST", "/ingester/flush", timeout=60)
        except (OSError, http.client.HTTPException):
            pass  # it is killed meanwhile
    with concurrent.futures.ThreadPoolExecutor(len(addrs)) as pool:
        list(pool.map(one, addrs))


def test_every_line_is_there_once(t):
    config, seed = f"{t.dir}/more.yaml", int(os.environ.get("SEED", "1"))
    with open(config, "w", encoding="utf-8") as f:
        f.write(SETTINGS)
    c = small_cluster(t, ingesters=4, queriers=2, compactors=2, config=config)
    status = c.status()
    ingesters, queriers = c.names("ingester"), c.addrs("querier")
    doors = [status[n][3] for n in ingesters]
    loads, began = [LogLoad(doors, queriers, "recent", 0), LogLoad(doors, queriers, TENANT, LONG_AGO)], time.monotonic()

    def killed(name):
        c.run("kill", name)
        flush(doors)
        c.run("restart", name)

    def left(name):
        check(http_call(status[name][3], "POST", "/ingester/leave", timeout=120).status // 100 == 2, f"{name} does not leave")
        wait_for(f"{name} to end by itself", lambda: c.status()[name][2] is None, 120)
        c.run("restart", name)

    def stopped(name):
        c.run("stop", name)
        c.run("restart", name)
    events = [(killed, "ingester"), (killed, "compactor"), (left, "ingester"), (stopped, "ingester")]
    rng, rounds = random.Random(seed), 0
    names = {"ingester": itertools.cycle(ingesters), "compactor": itertools.cycle(c.names("compactor"))}
    while True:
        for what, role in events:
            flush(doors)
            name = next(names[role])
            what(name)
            print(f"   {time.monotonic() - began:5.1f} s: {name} {what.__name__}; {sum(len(x.acked) for x in loads)} lines acknowledged, "
                  f"{sum(x.refused for x in loads)} pushes refused", flush=True)
        rounds += 1
        if time.monotonic() - began > float(os.environ.get("LOAD_S", "0")):
            break
        rng.shuffle(events)
    for load in loads:
        load.stop()
    for load in loads:
        load.check(queriers, "when the load had ended")
    flush(doors)
    wait_for("the ingesters to hold nothing",
             lambda: not any(held(a, '{app="load"}', tenant=x.tenant) for a in doors for x in loads), 120)
    for load in loads:
        load.check(queriers, "from blocks alone")
    wait_for("what is old to be in one block, once", lambda: [b["samples"] for b in live(c)] == [loads[1].count(queriers[0])], 60)
    check(live(c)[0]["level"] > 1, "nothing was merged")
    print(f"   {rounds} rounds, {sum(len(x.acked) for x in loads)} lines once, {sum(x.reads for x in loads)} reads", flush=True)


if __name__ == "__main__":
    main()
