#!/usr/bin/env python3
"""Two compactors that each believe all of a bucket theirs (they do not know of one another), at the same jobs: merges, a rewrite of
what was deleted, expiry, deletion. One is stopped by SIGSTOP as it passes the n-th step (ORRERY_FAULT=STOP, common/base/fault.c);
the other does all there is to do, files of replaced blocks deleted; then SIGCONT. Nothing may be lost, nothing published twice, no file
of what is live deleted, nothing left over. With and without shards.

The bucket is a directory, where a conditional put holds a lock: one that sleeps within it keeps the other from the catalogue until it wakes. That
is waited for a while, and counted.

Without STEPS=all only some of the steps are taken, evenly spread, from a random start; SEED=n takes the same ones again."""
import collections
import concurrent.futures
import json
import os
import shutil
import signal
import time
import urllib.parse

from kill_steps import chosen, files_below
from orrery_test import Failure, Single, TENANT, check, http_call, in_a_directory, main, push_ok, samples_of, wait_for

HOUR = 3_600_000
DAY = 24 * HOUR
STEP = 300_000
SERIES = "abcdef"
EAGER = ["--compactor.compaction-interval=200ms", "--compactor.sweep-interval=200ms", "--compactor.deletion-delay=500ms",
         "--compactor.orphan-age=2s", "--compactor.delete-rewrite-after=0s", "--compactor.retry-min=100ms",
         "--compactor.retry-max=500ms", "--limits.compactor-blocks-retention-period=120h"]
SHARDS = "--limits.compactor-split-and-merge-shards=2"
DRY = ["--compactor.dry-run=true"]
WORKERS = 3


def day(n):
    return int(time.time() * 1000) // DAY * DAY - n * DAY


def window(start):
    return [({"__name__": "m", "n": n}, [(start + i * STEP, float(start // STEP + i)) for i in range(24)]) for n in SERIES]


class Pair:
    """A bucket that is there already, and two processes on it."""

    def __init__(self, t, name, made, args, env):
        self.root = f"{t.dir}/{name}-bucket"
        shutil.copytree(made, self.root)
        where = [f"--storage.path={self.root}"]
        self.one = Single(t, f"{name}-one", args=[*EAGER, *args, *where], env=env)
        self.start_other = lambda: Single(t, f"{name}-other", args=[*EAGER, *args, *where])

    def tenant(self):
        return f"{self.root}/metrics/{TENANT}"

    def catalogue(self):
        with open(f"{self.tenant()}/catalogue", encoding="utf-8") as f:
            return json.load(f)

    def state(self):
        c = self.catalogue()
        live = sorted(b["ulid"] for b in c["blocks"])
        there = sorted(d for d in os.listdir(self.tenant()) if d.startswith("01"))
        whole = [b for b in there if os.path.exists(f"{self.tenant()}/{b}/meta.json")]
        return {"samples": sum(b["samples"] for b in c["blocks"]), "days": len({b["minTime"] // DAY for b in c["blocks"]}),
                "blocks": len(live), "is_clean": live == there == whole, "retired": len(c["retired"]),
                "versions": c["version"]}

    def is_settled(self, want_samples, want_blocks):
        s = self.state()
        return (s["samples"] == want_samples and s["days"] == 2 and s["blocks"] == want_blocks and s["is_clean"]
                and s["retired"] == 0)

    def is_stopped(self):
        with open(f"/proc/{self.one.popen.pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "T"

    def looks(self, o):
        text = http_call(o.addr, "GET", "/metrics").text
        return int(next(l for l in text.splitlines() if l.startswith("orrery_compactor_compaction_looks_total")).split()[1])


def prepare(t, args):
    """Twelve windows of one day, a whole block of another with a series deleted from it, a block that has expired."""
    made = f"{t.dir}/made"
    o = Single(t, "maker", args=["--querier.enable-admin-api=true", f"--storage.path={made}", *DRY, *args]).wait_ready()

    def flush():
        r = http_call(o.addr, "POST", f"/ingester/flush?tenant={TENANT}", timeout=60)
        check(r.status // 100 == 2, r.text)
        wait_for("the head to let go", lambda: not files_below(f"{o.dir}/data/segments/{TENANT}"), 60)
    for start in [day(9), day(4)] + [day(3) + w * 2 * HOUR for w in range(6)]:
        push_ok(o.addr, window(start))
    flush()
    params = urllib.parse.urlencode({"match[]": 'm{n="a"}', "start": day(4) / 1000, "end": (day(4) + HOUR) / 1000 - 1})
    r = http_call(o.addr, "POST", f"/api/v1/admin/tsdb/delete_series?{params}", headers={"X-Scope-OrgID": TENANT})
    check(r.status == 204, r.text)
    want = samples_of(o.addr, "m", day(4) - 1000, day(2))
    o.stop()
    check(sum(len(v) for v in want.values()) == len(SERIES) * 24 * 7 - 12, f"{[len(v) for v in want.values()]}")
    return made, want


def trace_of(t, made, args, want):
    """The steps of one that is undisturbed."""
    path = f"{t.dir}/trace"
    p = Pair(t, "undisturbed", made, args, {"ORRERY_FAULT": f"TRACE={path}"})
    p.one.wait_ready()
    n = sum(len(v) for v in want.values())
    blocks = blocks_in_the_end(args)
    wait_for("all to be done", lambda: p.is_settled(n, blocks), 60)
    p.one.kill()
    with open(path, encoding="utf-8") as f:
        return f.read().split()


def blocks_in_the_end(args):
    """One that is rewritten; the other day's, of six windows."""
    return 1 + (2 if SHARDS in args else 1)


def last_step(path):
    """Where one sleeps. Threads race, so it need not be the n-th of the undisturbed run."""
    with open(path, encoding="utf-8") as f:
        return (f.read().split() or [""])[-1]


def goes_on_beside(p, step, done):
    """Whether the other can do all while one sleeps."""
    try:
        wait_for("the other to do all", done, 8 if step.startswith("objstore.") else 60)
        return True
    except Failure as e:
        if step.startswith("objstore."):
            return False
        raise Failure(f"{e}, one sleeps at {step}: {p.state()}") from e


def one_step(t, made, args, want, n):
    """Whether it was stopped, and whether the other waited for it."""
    trace = f"{t.dir}/trace-{n}"
    p = Pair(t, f"step-{n}", made, args, {"ORRERY_FAULT": f"TRACE={trace},STOP={n}"})
    total, other = sum(len(v) for v in want.values()), None

    def done():
        return p.is_settled(total, blocks_in_the_end(args))
    try:
        wait_for("one to stop, or to be done", lambda: p.is_stopped() or done(), 60)
        stopped = p.is_stopped()
        other = p.start_other()
        waited = not goes_on_beside(p, last_step(trace) if stopped else "", done)
        os.kill(p.one.popen.pid, signal.SIGCONT)
        for o in (p.one, other):
            o.wait_ready()
            looks = p.looks(o)
            wait_for("three more looks", lambda: p.looks(o) >= looks + 3, 30)
        try:
            wait_for("all to be as it was", done, 30)
        except Failure as e:
            raise Failure(f"after SIGCONT: {p.state()}") from e
        for o in (p.one, other):
            got = samples_of(o.addr, "m", day(9) - 1000, day(2))
            check(got == want, f"{o.name} answers {[len(v) for v in got.values()]}")
        return stopped, waited
    finally:
        for o in (p.one, other):
            if o:
                o.kill()
                shutil.rmtree(f"{o.dir}/data", ignore_errors=True)  # two dozen of them fill the memory they are in


def race(t, args, some):
    in_a_directory("steps are fault points of a directory's store; two compactors on S3 are in writers_test.py")
    made, want = prepare(t, args)
    names = trace_of(t, made, args, want)
    first = next(i for i, name in enumerate(names) if name.startswith("block_store"))  # what comes before is the start
    steps = [first + n for n in chosen(len(names) - first, some)]
    stops, waits, failures = 0, 0, []
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        runs = {pool.submit(one_step, t, made, args, want, n): n for n in steps}
        for f in concurrent.futures.as_completed(runs):
            try:
                stopped, waited = f.result()
                stops, waits = stops + stopped, waits + waited
            except BaseException as e:
                failures.append(f"step {runs[f]} ({names[runs[f]]}): {e}")
    print(f"   {len(steps)} of {len(names) - first} steps, stopped {stops} times, {waits} of them with the catalogue's lock; of "
          f"{dict(collections.Counter(names[first:]).most_common())}", flush=True)
    check(not failures, lambda: f"{len(failures)} of {len(steps)}:\n" + "\n".join(sorted(failures)))
    check(stops >= len(steps) * 0.4, f"only {stops} of {len(steps)} were stopped")


def test_one_sleeps_at_a_step_and_the_other_goes_on(t):
    race(t, [], 14)


def test_the_same_with_shards(t):
    race(t, [SHARDS], 10)


if __name__ == "__main__":
    main()
