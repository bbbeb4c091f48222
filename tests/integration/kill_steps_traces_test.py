#!/usr/bin/env python3
"""kill -9 at every step of cut, flush, compaction and retention of traces (kill_steps.py). After each start, and whenever it is asked: every
acknowledged span is there exactly once, and none that was not sent. In the end all are in one block, once, what has expired is nowhere, and
nothing is left over, of the bucket or on the ingester's disk."""
import collections
import json

import kill_steps
from kill_steps import HOUR, now_ms, walk_on_disk
from orrery_test import TENANT, check, http_call, main
from traces_blocks_test import TRACES, ask, text, trace_id
from traces_test import held

SPANS = 3
OLD = 1000  # numbers of traces that expire


class Run(kill_steps.Batches):
    """Spans flushed batch by batch: one that has expired, and some that become one block. Each batch sends spans of the one before it again,
    and late ones of its traces."""
    SIGNAL, KEPT = "traces", 3

    def __init__(self, t, name, args=(), env=None):
        super().__init__(t, name, [*TRACES, "--limits.traces-retention-period=120h", "--ingester.maintain-period=200ms", *args], env)
        self.batches = [self.batch(OLD, self.first)]
        for i in range(self.KEPT):
            late = [(n, SPANS, at) for n, _, at in self.batch((i - 1) * 10, self.kept_from + (i - 1) * HOUR)[::SPANS]] if i else []
            again = self.batch((i - 1) * 10, self.kept_from + (i - 1) * HOUR)[:5] if i else []
            self.batches.append(self.batch(i * 10, self.kept_from + i * HOUR) + again + late)

    @staticmethod
    def batch(first, at_ms):
        """[(trace, span, ms)] of four traces."""
        return [(n, k, at_ms + n) for n in range(first, first + 4) for k in range(SPANS)]

    @staticmethod
    def is_kept(span):
        return span[0] < OLD

    @staticmethod
    def key(span):
        return span[:2]

    def push_to(self, batch):
        spans = [{"traceId": trace_id(n + 1), "spanId": "%016x" % (n * 100 + k + 1), "parentSpanId": "%016x" % (n * 100 + 1) if k else "",
                  "name": "x", "startTimeUnixNano": str((at + k) * 10**6), "endTimeUnixNano": str((at + k + 5) * 10**6)}
                 for n, k, at in batch]
        body = {"resourceSpans": [{"resource": {"attributes": [text("service.name", "shop")]}, "scopeSpans": [{"spans": spans}]}]}
        r = http_call(self.o.addr, "POST", "/v1/traces", json.dumps(body).encode(),
                      {"Content-Type": "application/json", "X-Scope-OrgID": TENANT})
        check(r.status == 200, f"{r.status} {r.text}")

    def ask(self):
        got = ask(self.o.addr, "search", q="{}", limit=1000, spss=0, start=self.first // 1000 - 3600, end=now_ms() // 1000)["traces"]
        ids = (int(s["spanID"], 16) - 1 for x in got for spans in x["spanSets"] for s in spans["spans"])
        return collections.Counter(divmod(i, 100) for i in ids)

    def rest(self):
        """What the ingester holds that a block may have."""
        got = held(self.o.addr, query="?limit=10000")
        return ["not ready"] if got is None else list(got)


class OnDisk(kill_steps.OnDisk, Run):
    pass


class ByItself(kill_steps.ByItself, OnDisk):
    pass


def test_on_disk(t):
    walk_on_disk(t, OnDisk, 12, 60, {"objstore.rename", "objstore.unlink", "wal.sync", "segfetch.write"})


def test_blocks_of_the_ingester_itself(t):
    walk_on_disk(t, ByItself, 6, 60, {"objstore.rename", "wal.sync"})


if __name__ == "__main__":
    main()
