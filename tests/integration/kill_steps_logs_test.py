#!/usr/bin/env python3
"""kill -9 at every step of flush, compaction, retention and deletion of log lines (kill_steps.py). After each start, and whenever it is asked:
every acknowledged line is there exactly once, and none that was not sent, or was deleted. In the end all are in one block, once, what has expired is
nowhere, and nothing is left over, of the bucket or on the ingester's disk."""
import collections
import json

import kill_steps
from kill_steps import BLOCKS_COME_AND_GO, HOUR, files_below, now_ms, walk_on_disk, walk_on_swift
from logs_api_test import streams
from logs_delete_test import delete, requests
from logs_test import counter, held, push_ok
from orrery_test import TENANT, check, http_call, main

S = 10**9
LINES, STREAMS = 12, ("web", "db", "brief")
ALL = '{app=~".+"}'


class Run(kill_steps.Batches):
    """Lines flushed batch by batch: one that has expired, and some that become one block of 12 h without those of the stream
    "brief", whose own period is over. Each batch sends lines of the one before it again, and others of the same moments. Then some lines of one are deleted."""
    SIGNAL, KEPT = "logs", 4

    def __init__(self, t, name, args=(), env=None):
        overrides = f"{t.dir}/overrides.yaml"
        with open(overrides, "w", encoding="utf-8") as f:
            json.dump({"overrides": {TENANT: {"logs_retention_period": "120h", "logs_retention_stream": [
                {"selector": '{app="brief"}', "period": "1d"}]}}}, f)
        super().__init__(t, name, [f"--limits.overrides-file={overrides}", "--limits.reject-old-samples=false",
                                   "--ingester.maintain-period=200ms", "--compactor.delete-rewrite-after=0s", *args], env)
        self.batches = [self.batch(self.first, "old")]
        for i in range(self.KEPT):
            at = self.kept_from + i * HOUR
            self.batches.append(self.batch(at, f"batch {i}") + (self.batch(at - HOUR, f"batch {i - 1}")[:9] if i else []))
        self.deletion = None  # "asked", "acknowledged"

    @staticmethod
    def batch(at_ms, text):
        """[(app, ns, line)]; every third has the moment of the one before."""
        return [(app, at_ms * 10**6 + (i - (i % 3 == 2)) * S, f"{text} of {app}: {i}") for app in STREAMS for i in range(LINES)]

    def is_kept(self, line):
        return line[0] != "brief" and line[1] >= self.kept_from * 10**6 and not (self.deletion and self.is_gone(line))

    @staticmethod
    def is_gone(line):
        return line[0] == "db" and line[2].startswith("batch 1 ")

    def is_deleted(self, line):
        return self.deletion == "acknowledged" and self.is_gone(line)

    def push_to(self, batch):
        push_ok(self.o.addr, [({"app": app}, [(at, line) for a, at, line in batch if a == app]) for app in STREAMS])

    def ask(self):
        got = streams(self.o.addr, ALL, limit=5000, start=(self.first - HOUR) * 10**6, end=now_ms() * 10**6)
        return collections.Counter((labels["app"], at, line) for labels, values in got for at, line, *_ in values)

    def write(self):
        super().write()
        self.deletion = "asked"
        self.until_done("the deletion to be acknowledged",
                        lambda: delete(self.o.addr, '{app="db"} |= "batch 1 "', self.first * 10**6) or True)
        self.deletion = "acknowledged"

    def is_settled(self):
        return super().is_settled() and {x["status"] for x in requests(self.o.addr)} == {"processed"}

    def rest(self):
        """What the ingester holds that a block may have."""
        rows = http_call(self.o.addr, "GET", "/ingester/status").json["logSegments"]
        return [x["ulid"] for x in rows] or list(held(self.o.addr, ALL))

    def check_end(self):
        self.until_done("no frame to be listed", lambda: counter(self.o.addr, "orrery_loghead_frames{") == 0)
        check(not files_below(f"{self.o.dir}/data/logs/upload"), "logs/upload holds something")
        super().check_end()


class OnDisk(kill_steps.OnDisk, Run):
    pass


class OnSwift(kill_steps.OnSwift, Run):
    KEPT = 2


class ByItself(kill_steps.ByItself, OnDisk):
    pass


def test_on_disk(t):
    walk_on_disk(t, OnDisk, 20, 100, {"objstore.rename", "objstore.unlink", "block_out.write", "wal.sync", "logfile.sync", "logfile.mark",
                                      "logfile.mark_sync", "segfetch.write"})


def test_blocks_of_the_ingester_itself(t):
    walk_on_disk(t, ByItself, 8, 100, {"objstore.rename", "block_out.write", "logfile.mark_sync"})


def test_on_swift(t):
    walk_on_swift(t, OnSwift, 4, 60, BLOCKS_COME_AND_GO | {"PUT tombstones"})


if __name__ == "__main__":
    main()
