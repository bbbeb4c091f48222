#!/usr/bin/env python3
"""Data that has moved from an ingester into a block, and a querier that does not know the block: no gossip reaches it
(ORRERY_FAULT), and it is not to look, or cannot. Its answer is whole, or an error that says why, and never less than what was
acknowledged."""
import time

import s3_faults_test
import s3_proxy
from orrery_test import Single, TENANT, api, check, http_call, main, wait_for

EXPR = "sum(count_over_time(m[{span}s]))"


class World(s3_faults_test.World):
    """An orrery on a bucket behind a proxy, whose querier hears no news of catalogues."""

    def __init__(self, t, *args):
        self.more, self.deaf = args, {"ORRERY_FAULT": "net.catalogue_news=EIO"}
        super().__init__(t)

    def start_single(self, t, args, env):
        return Single(t, self.bucket, args=[*args, *self.more], env={**env, **self.deaf})

    def segments(self):
        return http_call(self.doors[0], "GET", "/ingester/status").json["segments"]

    def hand_over(self):
        """One more window, until no ingester has it any more: it is in blocks only."""
        self.send_window()
        self.flush()
        wait_for("the window to be in blocks alone", lambda: self.in_blocks(TENANT) == self.samples_sent(TENANT)
                 and not self.segments(), 60)

    def ask(self):
        span = (s3_faults_test.now_ms() - self.base) // 1000 + 600
        return api(self.queriers[0], "/api/v1/query", {"query": EXPR.format(span=span)}, timeout=120)

    def count(self, reply):
        check(reply.status == 200, lambda: f"{reply.status} {reply.text[:500]}")
        result = reply.json["data"]["result"]
        return float(result[0]["value"][1]) if result else 0

    def check_whole(self, what):
        n = self.count(self.ask())
        check(n == self.samples_sent(TENANT), f"{what}: {n} of {self.samples_sent(TENANT)} samples")


def test_a_querier_that_is_not_to_look(t):
    """catalogue-max-age says that what it has will do for an hour: what ingesters say counts for more."""
    w = World(t, "--querier.catalogue-max-age=1h")
    for i in range(3):
        w.hand_over()
        w.check_whole(f"window {i}")


def test_a_querier_that_cannot_look(t):
    """The bucket does not answer. An error within the patience of a look; when the bucket is back, all of it."""
    w = World(t)
    w.hand_over()
    w.check_whole("before")
    w.hand_over()
    w.proxy.fault = s3_proxy.BlackHole()
    for path, params in (("/api/v1/query", None), ("/api/v1/series", {"match[]": "m"}), ("/api/v1/labels", {})):
        began = time.monotonic()
        r = api(w.queriers[0], path, params) if params is not None else w.ask()
        took = time.monotonic() - began
        check(r.status == 503, lambda: f"{path}: {r.status} {r.text[:500]}")
        check("handed data over to blocks of version" in r.text, lambda: f"{path}: {r.text[:500]}")
        check(took < 20, f"{path}: the error took {took:.1f} s")
    w.proxy.fault = None
    wait_for("an answer", lambda: w.ask().status == 200, 60)
    w.check_whole("afterwards")


if __name__ == "__main__":
    main()
