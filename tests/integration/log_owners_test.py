#!/usr/bin/env python3
"""Blocks of log lines that queriers own, on a real S3 server: pieces of a query are run by the owners of its blocks, and the answers are the
same whoever runs what, also while queriers hang and die. Needs what s3_store_test.py needs."""
import json

from block_ring_test import Town, metric
from logs_api_test import S, ask, data
from logs_test import held, push_ok
from orrery_test import check, http_call, main, wait_for
from s3_store_test import now_ms

WINDOWS = 4
HOUR = 3600 * S
START = (now_ms() // 7_200_000 - WINDOWS - 1) * 7_200_000 * 10**6
END = START + WINDOWS * 2 * HOUR
ASKED, SERVED = (f"orrery_querier_logs_{x}_pieces_total" for x in ("asked", "served"))


def questions():
    span = {"start": START, "end": END}
    return [
        *({"query": q, **span, "direction": d, "limit": n}
          for q in ('{env="prod"}', '{app=~"web|db"} |= "took 3 ms" | logfmt | level="error" | line_format "{{.app}}"')
          for d, n in (("forward", 5000), ("backward", 5000), ("backward", 7))),
        {"query": '{app="web"} |= "request 417-2 took"', **span},
        {"query": 'sum by (app) (rate({env="prod"} |= "took 3 ms" [10m]))', **span, "step": "5m"},
        {"query": 'quantile_over_time(0.9, {app="db"} | logfmt | unwrap ms [1h]) by (level)', **span, "step": "20m"},
        {"query": 'sum(count_over_time({app="nobody"}[1h]))', **span, "step": "1h"},
    ]


def answers(addr):
    out = []
    for params in questions():
        d = data(addr, "query_range", params)
        d.pop("stats")
        out.append(json.dumps(d, sort_keys=True))
    return out


class LogTown(Town):
    """The town of blocks, with blocks of log lines."""

    def configure(self, replication):
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f"querier: {{block-replication: {replication}, result-cache-size: 0, straggler-wait: 2s, split-threads: 2}}\n"
                    "limits: {reject-old-samples: false}\n"
                    "compactor: {dry-run: true, poll-interval: 500ms, early-wait: 500ms, drop-delay: 100ms}\n")

    def fill(self):
        """A block for each window: what is pushed between two flushes. dry-run keeps them apart."""
        ingesters = self.c.addrs("ingester")
        for w in range(WINDOWS):
            at = START + w * 2 * HOUR + 60 * S
            push_ok(ingesters[0], [
                ({"app": app, "env": "prod"},
                 [(at + i * S, f'level={"error" if i % 3 else "info"} msg="request {i}-{w} took {i % 7} ms" ms={i % 50}')
                  for i in range(600)]) for app in ("web", "db", "mail")])
            for a in ingesters:
                r = http_call(a, "POST", "/ingester/flush", timeout=120)
                check(r.status // 100 == 2, f"flush: {r.status} {r.text}")
            wait_for("the ingesters to hold nothing", lambda: all(not held(a, '{env="prod"}') for a in ingesters), 400)  # a machine with much else to do


def test_owners_run_pieces_and_answers_are_the_same(t):
    town = LogTown(t)
    one = town.addrs[town.names[0]]
    town.again(0)
    want = answers(one)
    check(sum("request 417-2 took" in x for x in want) >= 1 and '"values"' in want[7], "there is something to compare")
    opened = {}
    for replication in 0, 1, 2:
        town.again(replication)
        for name in town.names:
            check(answers(town.addrs[name]) == want, f"{name}: another answer with {replication} owners")
        asked, served = town.metric(ASKED), town.metric(SERVED)
        opened[replication] = sum(town.metric("orrery_querier_logs_opened_blocks_total").values())
        check((sum(asked.values()) > 0) == (replication > 0) == (sum(served.values()) > 0), f"asked {asked}, served {served}")
        check(sum(served.values()) <= sum(asked.values()), f"asked {asked}, served {served}")
        print(f"   {replication} owners: asked {asked}, served {served}, opened {opened[replication]:.0f}", flush=True)
    # A piece may reach into blocks whose neighbours' owner runs it, and an owner that is slow is not waited for.
    check(opened[1] < opened[0], f"opened {opened}: owners do not keep blocks to themselves")


def test_owners_hang_and_die(t):
    town = LogTown(t)
    one, dead, hung = town.names
    addr = town.addrs[one]
    town.again(1)
    want = answers(addr)
    check(metric(addr, ASKED) > 0, "nobody was asked")
    town.c.run("pause", hung)
    check(answers(addr) == want, "another answer beside an owner that hangs")
    town.c.run("kill", dead)
    check(answers(addr) == want, "another answer without the owner that was killed")
    town.c.run("resume", hung)
    town.c.run("restart", dead)
    for name in one, dead, hung:
        wait_for(f"{name} to answer", lambda a=town.addrs[name]: answers(a) == want, 60)


def test_a_query_that_is_over_is_over_at_its_owners(t):
    """Time is up while pieces are under way: nothing is left running, and the next query is answered."""
    town = LogTown(t)
    addr = town.addrs[town.names[0]]
    town.again(1)
    want = answers(addr)
    for _ in range(5):
        r = ask(addr, "query_range", {**questions()[0], "timeout": "1ms"})
        check(r.status in (200, 503, 504), f"{r.status} {r.text[:300]}")
    wait_for("no piece to be running",
             lambda: sum(town.metric("orrery_querier_logs_serving_pieces").values()) == 0, 60)
    check(answers(addr) == want, "another answer afterwards")


if __name__ == "__main__":
    main()
