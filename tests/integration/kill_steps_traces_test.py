#!/usr/bin/env python3
"""kill -9 at every step of cut, flush, compaction and retention of traces (kill_steps.py). After each start, and whenever it is asked: every
acknowledged span is there exactly once, and none that was not sent. In the end all are in one block, once, what has expired is nowhere, and
nothing is left over, of the bucket or on the ingester's disk."""
import collections
import http.client
import json

import kill_steps
from kill_steps import HOUR, now_ms, walk_on_disk
from orrery_test import TENANT, Failure, check, http_call, main
from traces_blocks_test import TRACES, ask, text, trace_id
from traces_test import held

SPANS = 3
OLD = 1000  # numbers of traces that expire


class Run(kill_steps.Run):
    """Spans flushed batch by batch: one that has expired, and some that become one block. Each batch sends spans of the one before it again,
    and late ones of its traces."""
    SIGNAL, KEPT = "traces", 3

    def __init__(self, t, name, args=(), env=None):
        super().__init__(t, name, [*TRACES, "--limits.traces-retention-period=120h", "--ingester.maintain-period=200ms", *args], env)
        day = now_ms() // (24 * HOUR) * 24 * HOUR
        self.first, self.kept_from = day - 9 * 24 * HOUR, day - 2 * 24 * HOUR
        self.batches = [self.batch(OLD, self.first)]
        for i in range(self.KEPT):
            late = [(n, SPANS, at) for n, _, at in self.batch((i - 1) * 10, self.kept_from + (i - 1) * HOUR)[::SPANS]] if i else []
            again = self.batch((i - 1) * 10, self.kept_from + (i - 1) * HOUR)[:5] if i else []
            self.batches.append(self.batch(i * 10, self.kept_from + i * HOUR) + again + late)
        self.sent, self.acked = set(), set()

    @staticmethod
    def batch(first, at_ms):
        """[(trace, span, ms)] of four traces."""
        return [(n, k, at_ms + n) for n in range(first, first + 4) for k in range(SPANS)]

    @staticmethod
    def is_kept(span):
        return span[0] < OLD

    def expected(self):
        return {span for batch in self.batches for span in batch if self.is_kept(span)}

    def expected_count(self):
        return len(self.expected())

    def push(self, batch):
        self.sent.update(batch)
        spans = [{"traceId": trace_id(n + 1), "spanId": "%016x" % (n * 100 + k + 1), "parentSpanId": "%016x" % (n * 100 + 1) if k else "",
                  "name": "x", "startTimeUnixNano": str((at + k) * 10**6), "endTimeUnixNano": str((at + k + 5) * 10**6)}
                 for n, k, at in batch]
        body = {"resourceSpans": [{"resource": {"attributes": [text("service.name", "shop")]}, "scopeSpans": [{"spans": spans}]}]}
        r = http_call(self.o.addr, "POST", "/v1/traces", json.dumps(body).encode(),
                      {"Content-Type": "application/json", "X-Scope-OrgID": TENANT})
        check(r.status == 200, f"{r.status} {r.text}")
        self.acked.update(batch)
        return True

    def ask(self):
        """All spans, as often as they come; an error is one."""
        got = ask(self.o.addr, "search", q="{}", limit=1000, spss=0, start=self.first // 1000 - 3600, end=now_ms() // 1000)["traces"]
        ids = (int(s["spanID"], 16) - 1 for x in got for spans in x["spanSets"] for s in spans["spans"])
        return collections.Counter(divmod(i, 100) for i in ids)

    def check_answer(self):
        """Whenever it can answer."""
        try:
            got = self.ask()
        except (OSError, http.client.HTTPException, Failure):
            return
        lost = [x for x in self.acked if self.is_kept(x) and x[:2] not in got]
        known = {x[:2] for x in self.sent}
        wrong = [x for x, n in got.items() if n != 1 or x not in known]
        if lost or wrong:
            raise AssertionError(f"{len(lost)} of {len(self.acked)} acknowledged spans are not there: {lost[:3]}; twice, or never sent: "
                                 f"{wrong[:3]}")

    def restart(self):
        super().restart()
        self.check_answer()

    def is_let_go(self):
        self.check_answer()
        return self.flush() and not self.rest()

    def write(self):
        self.until_done("ready", lambda: self.o.wait_ready())
        for i, batch in enumerate(self.batches):
            self.until_done(f"push {i}", lambda: self.push(batch))
            self.check_answer()
            self.until_done(f"batch {i} to be in a block", self.is_let_go)

    def is_settled(self):
        self.check_answer()
        return super().is_settled()

    def rest(self):
        """What the ingester holds that a block may have."""
        got = held(self.o.addr, query="?limit=10000")
        return ["not ready"] if got is None else list(got)

    def check_end(self):
        got = []
        self.until_done("an answer", lambda: got.append(self.ask()) or True)
        check(got[-1] == collections.Counter(x[:2] for x in self.expected()), lambda: f"other spans: {len(got[-1])} of {self.expected_count()}")
        if self.kills:  # what was dropped does not come back by the log
            self.restart()
            self.until_done("nothing to be held", lambda: not self.rest())


class OnDisk(kill_steps.OnDisk, Run):
    pass


class ByItself(OnDisk):
    """No compactor takes the segments in time: the ingester makes blocks of them."""

    def __init__(self, t, name, env=None):
        super().__init__(t, name, ["--ingester.flush-wait=0s", "--ingester.self-upload-after=100ms",
                                   "--ingester.visible-after=100ms", "--compactor.poll-interval=10m"], env)


def test_on_disk(t):
    walk_on_disk(t, OnDisk, 12, 60, {"objstore.rename", "objstore.unlink", "wal.sync", "segfetch.write"})


def test_blocks_of_the_ingester_itself(t):
    walk_on_disk(t, ByItself, 6, 60, {"objstore.rename", "wal.sync"})


if __name__ == "__main__":
    main()
