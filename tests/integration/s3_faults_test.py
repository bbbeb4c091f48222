#!/usr/bin/env python3
"""A bucket that misbehaves: a proxy (s3_proxy.py) between an orrery and Swift refuses, hangs, delays, answers errors, cuts
bodies, lists what was and drips. Meanwhile writes are taken and recent data is read; afterwards all goes on, each sample is
in the bucket exactly once, the log has told of it in a few lines, and nothing is left over."""
import itertools
import json
import os
import re
import threading
import time
import traceback

import s3_proxy
from orrery_test import (Cluster, Failure, Single, TENANT, api, check, http_call, main, push_ok, query, samples_of,
                         wait_for)
from s3_server import the_server

HOUR = 3_600_000
WINDOW = 2 * HOUR
STEP = 60_000
TIMES = {"connect-timeout": "1s", "request-timeout": "4s", "stall-timeout": "2s", "operation-timeout": "8s",
         "max-backoff": "500ms"}
PATIENT = {**TIMES, "request-timeout": "15s", "stall-timeout": "10s", "operation-timeout": "30s"}
COMPACTOR = {"poll-interval": "500ms", "retry-min": "200ms", "retry-max": "1s", "compaction-interval": "500ms",
             "sweep-interval": "500ms", "deletion-delay": "2s", "orphan-age": "6s", "early-wait": "500ms"}
LIVE = "live"  # the tenant whose recent data is asked for; TENANT's goes to blocks meanwhile


def now_ms():
    return int(time.time() * 1000)


class World:
    """An orrery, or a cluster, on Swift behind a proxy, and a ledger of what it has acknowledged."""

    numbers = itertools.count(1)

    def __init__(self, t, is_cluster=False, times=TIMES):
        self.server, self.bucket = the_server(), f"orrery-{next(self.numbers)}"
        self.proxy = s3_proxy.S3Proxy(t, self.server.endpoint)
        self.times = [f"--s3.{k}={v}" for k, v in times.items()]
        self.base = (now_ms() - 48 * HOUR) // (24 * HOUR) * 24 * HOUR
        self.ledger, self.windows = {TENANT: {}, LIVE: {}}, 0
        self.start_ms = now_ms()
        if is_cluster:
            self.start_cluster(t)
        else:
            args = [f"--compactor.{k}={v}" for k, v in COMPACTOR.items()]
            # one compactor alone; leases, which have a traffic of their own, are the cluster's
            o = self.start_single(t, ["--storage.backend=s3", "--s3.one-writer=false", f"--s3.endpoint={self.proxy.endpoint}",
                                      f"--s3.bucket={self.bucket}", "--s3.create-bucket", *self.times, *args],
                                  self.server.keys).wait_ready()
            self.doors, self.queriers, self.compactors, self.logs = [o.addr], [o.addr], [o.addr], [o.log]

    def start_single(self, t, args, env):
        return Single(t, self.bucket, args=args, env=env)

    def start_cluster(self, t):
        config = f"{t.dir}/orrery.yaml"
        with open(config, "w", encoding="utf-8") as f:
            f.write("compactor: {" + ", ".join(f"{k}: {v}" for k, v in COMPACTOR.items()) + "}\ns3: {" +
                    ", ".join(f"{k}: {v}" for k, v in TIMES.items()) + "}\n")
        os.environ.update(self.server.keys)
        try:
            c = Cluster(t, args=["--queriers", "2", "--compactors", "2", "--rulers", "0", "--alertmanagers", "0",
                                 "--config", config, "--s3", f"{self.proxy.endpoint}/{self.bucket}"])
        finally:
            for k in self.server.keys:
                del os.environ[k]
        self.doors, self.queriers, self.compactors = (c.addrs(r) for r in ("ingester", "querier", "compactor"))
        self.logs = [f"{c.dir}/{n}/log" for n in c.names()]

    # ---- writing ----

    def send(self, tenant, points, series=5):
        batch = [({"__name__": "m", "n": str(k)}, [(at, float(v + k)) for at, v in points]) for k in range(series)]
        push_ok(self.doors[0], batch, tenant=tenant)
        for labels, samples in batch:
            key = tuple(sorted(labels.items()))
            self.ledger[tenant].setdefault(key, {}).update({at: v for at, v in samples})

    def send_window(self):
        """One more window of the past, in order of time."""
        at = self.base + self.windows * WINDOW
        self.windows += 1
        self.send(TENANT, [(at + i * STEP, i) for i in range(WINDOW // STEP)])

    def send_recent(self):
        self.send(LIVE, [(now_ms(), 1)])

    def flush(self, tenant=TENANT):
        """Asks for it, and does not wait."""
        for a in self.doors:
            threading.Thread(target=ignoring, daemon=True,
                             args=(http_call, a, "POST", f"/ingester/flush?tenant={tenant}", None, None, 120)).start()

    # ---- reading ----

    def samples_sent(self, *tenants):
        return sum(len(v) for tenant in tenants for v in self.ledger[tenant].values())

    def got(self, addr, tenant):
        return {k: {t: float(v) for t, v in points.items()}
                for k, points in samples_of(addr, "m", self.base - 1000, now_ms(), tenant).items()}

    def read_old(self, findings):
        """An answer that is whole, or one that says that it is not, or an error that names the bucket."""
        want = self.samples_sent(TENANT)
        span = (now_ms() - self.base) // 1000 + 600  # before the first there is nothing
        r = api(self.queriers[0], "/api/v1/query", {"query": f"sum(count_over_time(m[{span}s]))"}, timeout=120)
        if r.status == 200:
            result = r.json["data"]["result"]
            n = float(result[0]["value"][1]) if result else 0
            findings["answered"] += 1
            if n != want:
                findings["bad"].append(f"{n} of {want} samples: {r.text[:300]}")
        else:
            findings["refused"] += 1
            if "s3:" not in r.text and "bucket" not in r.text and "object store" not in r.text:
                findings["bad"].append(f"an error that does not name the bucket: {r.status} {r.text[:300]}")

    def check_answers(self, when=""):
        for addr in self.queriers:
            for tenant in TENANT, LIVE:
                check(self.got(addr, tenant) == self.ledger[tenant], f"{tenant} differs on {addr}{when}")

    # ---- the bucket, asked directly ----

    def blocks(self, tenant):
        r = self.server.request("GET", f"/{self.bucket}/metrics/{tenant}/catalogue")
        return json.loads(r.body)["blocks"] if r.status == 200 else []

    def in_blocks(self, tenant):
        return sum(b["samples"] for b in self.blocks(tenant))

    def is_settled(self):
        """All that was acknowledged is in live blocks once, and the bucket holds these blocks and nothing else."""
        live = {f"{tenant}/{b['ulid']}" for tenant in (TENANT, LIVE) for b in self.blocks(tenant)}
        there = {"/".join(k.split("/")[1:3]) for k in self.server.keys_in(self.bucket)
                 if k.startswith("metrics/") and k.count("/") > 2}
        have, want = self.in_blocks(TENANT) + self.in_blocks(LIVE), self.samples_sent(TENANT, LIVE)
        self.state = f"{have} of {want} samples in {len(live)} blocks, {len(there - live)} others"
        return have == want and there == live

    # ---- the log ----

    def log_sizes(self):
        return [os.path.getsize(path) for path in self.logs]

    def log_lines(self, said):
        """Behind what they were."""
        out = []
        for path, size in zip(self.logs, said):
            with open(path, errors="replace") as f:
                f.seek(size)
                out += [line for line in f if "level=warn" in line or "level=error" in line
                        or "works again" in line]
        return out

    def is_told_over(self, said):
        """Who has nothing to ask of the bucket does not find out: so all are given something."""
        self.send_recent()
        self.flush(LIVE)
        for addr in self.queriers:
            for tenant in TENANT, LIVE:
                self.got(addr, tenant)
        lines = self.log_lines(said)
        fails = sum("the object store fails" in x for x in lines)
        return fails == sum("works again" in x for x in lines)


def ignoring(fn, *args):
    try:
        fn(*args)
    except (OSError, Failure):
        pass


def settle(w, seconds=90):
    w.flush(TENANT)
    w.flush(LIVE)
    try:
        wait_for("the bucket to hold everything once", w.is_settled, seconds, every=0.5)
    except Failure as e:
        raise Failure(f"{e}: {w.state}")


def counted(addr, name):
    """The sum over all labels of a metric."""
    text = http_call(addr, "GET", "/metrics").text
    return sum(float(m) for m in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))


class OldReader(threading.Thread):
    def __init__(self, w):
        super().__init__(daemon=True)
        self.w, self.stopping = w, threading.Event()
        self.findings = {"answered": 0, "refused": 0, "bad": []}
        self.start()

    def run(self):
        while not self.stopping.is_set():
            try:
                self.w.read_old(self.findings)
            except OSError as e:
                self.findings["bad"].append(f"no answer: {e!r}")
            self.stopping.wait(0.2)

    def stop(self):
        self.stopping.set()
        self.join(150)
        check(not self.findings["bad"], lambda: f"{len(self.findings['bad'])} of {self.findings}"[:2000])
        return f"{self.findings['answered']} answered, {self.findings['refused']} refused"


def live_through(w, seconds, slowest=8):
    """Writes, flushes and reads while the fault lasts. The longest that a recent query took."""
    reader, longest, n = OldReader(w), 0, 0
    w.flush()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        w.send_recent()
        n += 1
        if n == 4:
            w.flush()
        began = time.monotonic()
        data = query(w.queriers[-1], "count(m)", tenant=LIVE)["result"]
        longest = max(longest, time.monotonic() - began)
        check(data and data[0]["value"][1] == "5", f"count(m): {data}")
        time.sleep(0.3)
    check(longest < slowest, f"a recent query took {longest:.1f} s")
    return reader, longest


def trial(w, begin, end, seconds=6, log_bound=12, is_seen=True, is_told=None, slowest=8):
    """is_seen: it causes retries. is_told (else as is_seen): it is more than they make up for, so the log must tell of it."""
    is_told = is_seen if is_told is None else is_told
    for _ in range(3):
        w.send_window()
    w.flush()
    wait_for("the first blocks", lambda: w.in_blocks(TENANT) == w.samples_sent(TENANT), 60)
    w.send_recent()
    w.check_answers(" before anything happened")
    said = w.log_sizes()
    begin()
    w.send_window()
    reader, longest = live_through(w, seconds, slowest)
    end()
    what = reader.stop()
    settle(w)
    w.check_answers()
    wait_for("the log to say that it is over", lambda: w.is_told_over(said), 30, every=1)
    w.check_answers()
    lines = w.log_lines(said)
    retried = sum(counted(a, "orrery_objstore_retries_total") for a in set(w.doors + w.compactors + w.queriers))
    print(f"   recent queries at most {longest:.1f} s, old ones {what}; {w.proxy.hits} requests tampered with, "
          f"{retried:.0f} retries, {len(lines)} lines of log", flush=True)
    check(retried > 0 or not is_seen, "no retry was counted")
    check(len(lines) <= log_bound * len(w.logs), lambda: f"{len(lines)} lines:\n" + "".join(lines[:40]))
    check(any("the object store fails" in x for x in lines) or not is_told,
          lambda: "the log does not tell:\n" + "".join(lines))


def honest(w):
    def end():
        w.proxy.fault = None
    return end


def with_fault(t, fault, times=TIMES, **kw):
    w = World(t, times=times)

    def begin():
        w.proxy.fault = fault(w)
    trial(w, begin, honest(w), **kw)


def refused(t):
    w = World(t)
    trial(w, w.proxy.refuse, w.proxy.listen)


def side_by_side(t, **trials):
    """Each with an orrery, a proxy and a bucket of its own; mostly they wait. TRIAL=name: that one alone."""
    the_server()
    failures, only = [], os.environ.get("TRIAL")

    def run(name, fn):
        try:
            fn(t)
            print(f"   {name}: well", flush=True)
        except BaseException:
            failures.append(f"{name}: {traceback.format_exc()}")
    threads = [threading.Thread(target=run, args=(k, v)) for k, v in trials.items() if only in (None, k)]
    for th in threads:
        th.start()
    for th in threads:
        th.join()
    check(not failures, lambda: "\n".join(failures))


def fault(make, **kw):
    return lambda t: with_fault(t, make, **kw)


def test_away_or_slow(t):
    side_by_side(t, refused=refused, black_hole=fault(lambda w: s3_proxy.BlackHole()),
                 two_seconds_a_request=fault(lambda w: s3_proxy.Latency(2), times=PATIENT, is_seen=False))


def test_errors(t):
    side_by_side(t, slow_down_on_a_share=fault(lambda w: s3_proxy.Errors(503, share=0.4), is_told=False),
                 errors_on_everything=fault(lambda w: s3_proxy.Errors(500)),
                 errors_though_it_was_done=fault(lambda w: s3_proxy.Errors(500, share=0.5, acts=True),
                                                 is_told=False))


def test_cut_stale_and_dripping(t):
    side_by_side(t, truncated=fault(lambda w: s3_proxy.Truncate(share=0.6), is_told=False),
                 writes_cut_midway=fault(lambda w: s3_proxy.CutPuts(), is_seen=False),
                 stale_listings=fault(lambda w: s3_proxy.StaleLists(w.proxy), is_seen=False),
                 slow_drip=fault(lambda w: s3_proxy.Drip(), is_seen=False))


def test_a_cluster_in_a_storm(t):
    """All of it by turns, on a cluster."""
    w = World(t, is_cluster=True)

    def begin():
        def storm():
            for f in (s3_proxy.Errors(503), s3_proxy.BlackHole(), s3_proxy.CutPuts(), s3_proxy.Truncate()):
                w.proxy.fault = f
                time.sleep(3)
        threading.Thread(target=storm, daemon=True).start()
    trial(w, begin, honest(w), seconds=12)


if __name__ == "__main__":
    main()
