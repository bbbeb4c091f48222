#!/usr/bin/env python3
"""kill -9 at every step. An undisturbed run of flush, compaction, retention and deletion is watched, and each thing it does to a
disk or the bucket is a step: a fault point passed (ORRERY_FAULT=TRACE, common/base/fault.c), or a request to Swift that
writes. Then the same again, killed at the n-th step, for every n, and started anew: no sample may be lost or counted
twice, what was deleted may not be seen again, and nothing may be left over. So a step that is added is walked through, too.

Deletions: series (tombstone, rewritten block, old block, tombstone off the list) and tenants (orreryctl, killed itself or with the
process beside it killed). They begin with a bucket and a log that are there already, of a run that was not disturbed.

Without STEPS=all only some of the steps are taken, evenly spread, from a random start; SEED=n takes the same ones again."""
import collections
import concurrent.futures
import http.client
import json
import os
import random
import shutil
import subprocess
import threading
import time
import urllib.parse

import s3_proxy
from orrery_test import (BIN, Failure, Single, TENANT, api, check, http_call, main, push_ok, samples_of, wait_for)
from s3_server import the_swift

HOUR = 3_600_000
WINDOW, STEP, SERIES = 2 * HOUR, 300_000, 3
ARGS = ["--compactor.poll-interval=200ms", "--compactor.early-wait=200ms", "--compactor.drop-delay=100ms",
        "--compactor.retry-min=100ms", "--compactor.retry-max=500ms", "--compactor.compaction-interval=200ms",
        "--compactor.sweep-interval=200ms", "--compactor.deletion-delay=500ms", "--compactor.orphan-age=2s",
        "--limits.compactor-blocks-retention-period=120h"]
WORKERS = 4


def now_ms():
    return int(time.time() * 1000)


class Run:
    """Two windows that have expired and six that become one block of 12 h, written, flushed and waited for."""

    def __init__(self, t, name, args=(), env=None):
        self.o = Single(t, name, args=[*ARGS, *args], env=env)
        day = now_ms() // (24 * HOUR) * 24 * HOUR
        self.kept_from = day - 2 * 24 * HOUR
        self.batches = [self.batch(day - 9 * 24 * HOUR + w * WINDOW) for w in range(2)]
        self.batches += [self.batch(self.kept_from + w * WINDOW) for w in range(6)]
        self.kills = 0

    @staticmethod
    def batch(start):
        return [({"__name__": "m", "n": str(k)}, [(start + i * STEP, float(start // STEP + i + k))
                                                  for i in range(WINDOW // STEP)]) for k in range(SERIES)]

    def expected(self):
        out = collections.defaultdict(dict)
        for batch in self.batches:
            for labels, points in batch:
                out[tuple(sorted(labels.items()))].update({at: v for at, v in points if at >= self.kept_from})
        return out

    def start_again(self):
        """After it has been killed: from now on nothing happens to it."""
        self.o.kill()
        self.kills += 1
        self.o.env.pop("ORRERY_FAULT", None)
        self.o.start()
        self.o.wait_ready()

    def until_done(self, what, fn, seconds=60):
        """Repeats it until it has succeeded; starts the process again when that has ended."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self.o.alive() and fn():
                    return
            except (OSError, http.client.HTTPException, Failure, SystemExit):
                pass
            if not self.o.alive():
                self.start_again()
            elif time.monotonic() > deadline:
                raise Failure(f"{what}: {self.state()}")
            else:
                time.sleep(0.1)

    def end(self):
        """Logs and chunk files are allocated beforehand: dozens of directories like this one fill the memory that they are in."""
        self.o.kill()
        shutil.rmtree(self.o.dir)

    def read(self, start, tenant=TENANT):
        """The step that kills may yet be to come."""
        got = []
        self.until_done("an answer", lambda: got.append(samples_of(self.o.addr, "m", start, now_ms(), tenant)) or True)
        return got[0]

    def write(self):
        self.until_done("ready", lambda: self.o.wait_ready())
        for i, batch in enumerate(self.batches):
            self.until_done(f"push {i}", lambda: push_ok(self.o.addr, batch) or True)

    def flush(self):
        r = http_call(self.o.addr, "POST", f"/ingester/flush?tenant={TENANT}", timeout=30)
        return r.status // 100 == 2

    def settle(self):
        self.until_done("flush", self.flush)
        self.until_done("what was written is once in one block and nothing else is there", self.is_settled)

    def segments(self):
        return files_below(f"{self.o.dir}/data/segments")

    def is_settled(self):
        blocks = self.blocks()
        want = sum(len(v) for v in self.expected().values())
        return (sum(b["samples"] for b in blocks) == want and len(blocks) == 1 and not self.leftovers(blocks)
                and not self.segments())

    def state(self):
        blocks = self.blocks()
        return (f"{sum(b['samples'] for b in blocks)} samples in {[b['ulid'] for b in blocks]}; left over: "
                f"{self.leftovers(blocks)[:20]}; segments: {self.segments()[:5]}")

    def check_end(self):
        got = {k: {at: float(v) for at, v in points.items()}
               for k, points in self.read(self.batches[0][0][1][0][0] - 1).items()}
        check(got == self.expected(), f"other samples: {({k: len(v) for k, v in got.items()})}")
        check(not files_below(f"{self.o.dir}/data/compactor/work"), "compactor/work holds something")

    def all(self):
        self.write()
        self.settle()
        self.check_end()


def files_below(root):
    return [os.path.join(d, f)[len(root) + 1:] for d, _, names in os.walk(root) for f in names]


class OnDisk(Run):
    """Also when TEST_BUCKET says otherwise."""

    def __init__(self, t, name, args=(), env=None):
        self.root = f"{t.dir}/{name}/data/bucket"
        super().__init__(t, name, [*args, f"--storage.path={self.root}"], env)

    def bucket(self):
        return self.root

    def blocks(self):
        try:
            with open(f"{self.bucket()}/metrics/{TENANT}/catalogue", encoding="utf-8") as f:
                return json.load(f)["blocks"]
        except FileNotFoundError:
            return []

    def leftovers(self, blocks):
        live = {f"metrics/{TENANT}/{b['ulid']}" for b in blocks}
        ours = {f"metrics/{TENANT}/catalogue", ".orrery/lock"}
        return [f for f in files_below(self.bucket()) if f not in ours and "/".join(f.split("/")[:3]) not in live]


class OnSwift(Run):
    """One compactor alone, without leases: with them it would have to wait after each kill until its own has run out. What
    becomes of them is in writers_test.py."""

    def __init__(self, t, name, args=()):
        self.server, self.name = the_swift(), name.replace("_", "-")
        self.proxy = s3_proxy.S3Proxy(t, self.server.endpoint)
        super().__init__(t, name, [*args, "--storage.backend=s3", f"--s3.endpoint={self.proxy.endpoint}",
                                   f"--s3.bucket={self.name}", "--s3.create-bucket", "--s3.one-writer=false"], self.server.keys)

    def blocks(self):
        r = self.server.request("GET", f"/{self.name}/metrics/{TENANT}/catalogue")
        return json.loads(r.body)["blocks"] if r.status == 200 else []

    def leftovers(self, blocks):
        live = {f"metrics/{TENANT}/{b['ulid']}" for b in blocks}
        return [k for k in self.server.keys_in(self.name) if k.startswith(f"metrics/{TENANT}/01") and
                "/".join(k.split("/")[:3]) not in live]


class Deleting:
    """Beside a Run: a settled bucket in which a part of one series is deleted, and more of it in the head. All are one instance,
    started again and again: a ring waits for those it knows."""
    ARGS = ["--server.instance=it", "--querier.enable-admin-api=true", "--compactor.delete-rewrite-after=0s"]

    def prepare(self):
        self.write()
        self.settle()
        self.check_end()

    def begin(self):
        """After the settled state: one more window, in the head, of the series of the block; and what is to be deleted."""
        self.gone = {"n": "0", "from": self.kept_from + 3 * HOUR, "to": now_ms()}
        self.until_done("ready", lambda: self.o.wait_ready())
        self.batches.append(self.batch(self.kept_from + 6 * WINDOW))
        self.until_done("push", lambda: push_ok(self.o.addr, self.batches[-1]) or True)

    def expected(self):
        out = super().expected()
        gone = getattr(self, "gone", None)
        for key, points in out.items():
            if gone and dict(key)["n"] == gone["n"]:
                out[key] = {at: v for at, v in points.items() if not gone["from"] <= at <= gone["to"]}
        return out

    def is_hidden(self):
        """Whenever it is asked after the deletion was acknowledged, and can answer."""
        try:
            got = samples_of(self.o.addr, f'm{{n="{self.gone["n"]}"}}', self.gone["from"] - 1, self.gone["to"])
        except (OSError, http.client.HTTPException, Failure):
            return
        if any(got.values()):
            raise AssertionError(f"what was deleted is seen again: {({k: len(v) for k, v in got.items()})}")

    def delete(self):
        params = urllib.parse.urlencode({"match[]": f'm{{n="{self.gone["n"]}"}}', "start": self.gone["from"] / 1000,
                                         "end": self.gone["to"] / 1000})
        r = http_call(self.o.addr, "POST", f"/api/v1/admin/tsdb/delete_series?{params}", headers={"X-Scope-OrgID": TENANT})
        return r.status == 204

    def tombstones(self):
        return api(self.o.addr, "/api/v1/admin/tsdb/tombstones").json["data"]

    def is_done(self):
        self.is_hidden()
        blocks = self.blocks()
        want = sum(len(v) for v in self.expected().values())
        return (sum(b["samples"] for b in blocks) == want and len(blocks) == 1 and not self.leftovers(blocks)
                and not self.segments() and self.tombstones() == [])

    def finish(self):
        self.until_done("the deletion to be acknowledged", self.delete)
        self.is_hidden()
        self.until_done("flush", lambda: self.is_hidden() or self.flush())
        self.until_done("what was deleted is nowhere and nothing else is gone", self.is_done)
        self.check_end()

    def leftovers(self, blocks):
        return [f for f in super().leftovers(blocks) if f != f"metrics/{TENANT}/tombstones"]


class DeletingOnDisk(Deleting, OnDisk):
    """made: the data directory of another that was prepared and stopped."""

    def __init__(self, t, name, made=None, env=None):
        if made:
            shutil.copytree(made, f"{t.dir}/{name}/data")
        super().__init__(t, name, self.ARGS, env)


class DeletingOnSwift(Deleting, OnSwift):
    def __init__(self, t, name):
        super().__init__(t, name, self.ARGS)


def chosen(n, some):
    """All of the steps 0 … n-1, or some of them."""
    if os.environ.get("STEPS") == "all" or n <= some:
        return list(range(n))
    seed = int(os.environ.get("SEED", random.randrange(1000)))
    print(f"   SEED={seed}", flush=True)
    start = random.Random(seed).random()
    return [int((i + start) * n / some) for i in range(some)]


def walk(steps, names, one):
    """Calls one(n) for each step, some at a time; it returns how often the process was killed."""
    killed, failures = 0, []
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        runs = {pool.submit(one, n): n for n in steps}
        for f in concurrent.futures.as_completed(runs):
            try:
                killed += f.result()
            except BaseException as e:
                n = runs[f]
                failures.append(f"step {n} ({names[n]}): {e}")
    print(f"   {len(steps)} of {len(names)} steps, killed {killed} times; of "
          f"{dict(collections.Counter(names).most_common())}", flush=True)
    check(not failures, lambda: f"{len(failures)} of {len(steps)}:\n" + "\n".join(sorted(failures)))
    # threads race: a run may take fewer steps than the first did, so the last ones are not always met
    check(killed >= len(steps) * 0.4, f"only {killed} of {len(steps)} were killed")


def test_on_disk(t):
    trace = f"{t.dir}/trace"
    first = OnDisk(t, "undisturbed", env={"ORRERY_FAULT": f"TRACE={trace}"})
    first.all()
    first.end()
    with open(trace, encoding="utf-8") as f:
        names = f.read().split()
    check({"objstore.rename", "objstore.unlink", "objstore.sync"} <= set(names) and len(names) > 100,
          f"{len(names)} steps: {set(names)}")

    def one(n):
        run = OnDisk(t, f"step-{n}", env={"ORRERY_FAULT": f"KILL={n}"})
        run.all()
        run.end()
        return run.kills
    walk(chosen(len(names), 32), names, one)


def test_on_swift(t):
    """Before the server has the request, and after it has acted and before the answer."""
    first, names = OnSwift(t, "undisturbed"), []
    first.proxy.fault = s3_proxy.Steps(lambda r, when: names.append(f"{when} {r.method}") and False)
    first.all()
    first.end()
    check(len(names) > 60, f"{names}")

    def one(n):
        run, passed, lock = OnSwift(t, f"step-{n}"), [0], threading.Lock()

        def at(request, when):
            with lock:
                passed[0] += 1
                if passed[0] != n + 1:
                    return False
                run.o.popen.kill()
                return True
        run.proxy.fault = s3_proxy.Steps(at)
        run.all()
        run.end()
        run.proxy.stop()
        return run.kills
    walk(chosen(len(names), 8), names, one)


def traced(path):
    with open(path, encoding="utf-8") as f:
        return f.read().split()


def prepared(t):
    """A data directory, and nothing that runs on it."""
    maker = DeletingOnDisk(t, "maker")
    maker.prepare()
    check(maker.o.stop() == 0, "it did not stop")
    return f"{maker.o.dir}/data"


def test_deleted_series_on_disk(t):
    made, trace = prepared(t), f"{t.dir}/trace"
    first = DeletingOnDisk(t, "undisturbed", made, {"ORRERY_FAULT": f"TRACE={trace}"})
    first.begin()
    before = len(traced(trace))
    first.finish()
    first.end()
    names = traced(trace)
    # the tombstone, a block of the head, the block anew, the old one's files, the tombstone's end
    check(len(names) - before > 60 and {"objstore.rename", "objstore.unlink", "block_out.write"} <= set(names[before:]),
          f"{len(names) - before} steps: {set(names[before:])}")

    def one(n):
        run = DeletingOnDisk(t, f"step-{n}", made, {"ORRERY_FAULT": f"KILL={before + n}"})
        run.begin()
        run.finish()
        run.end()
        return run.kills
    walk(chosen(len(names) - before, 24), names[before:], one)


def test_deleted_series_on_swift(t):
    first, names = DeletingOnSwift(t, "deleted-undisturbed"), []
    first.prepare()
    first.begin()
    first.proxy.fault = s3_proxy.Steps(lambda r, when: names.append(f"{when} {r.method}") and False)
    first.finish()
    first.end()
    check(len(names) > 40, f"{names}")

    def one(n):
        run, passed, lock = DeletingOnSwift(t, f"deleted-{n}"), [0], threading.Lock()

        def at(request, when):
            with lock:
                passed[0] += 1
                if passed[0] != n + 1:
                    return False
                run.o.popen.kill()
                return True
        run.prepare()
        run.begin()
        run.proxy.fault = s3_proxy.Steps(at)
        run.finish()
        run.end()
        run.proxy.stop()
        return run.kills
    walk(chosen(len(names), 4), names, one)


class DeletingTenant(DeletingOnDisk):
    """Everything of a tenant by orreryctl, beside a process that holds more of it in its head; another tenant's stays."""
    OTHER = "stays"

    def begin(self):
        super().begin()
        self.gone = {"n": "0", "from": self.kept_from, "to": now_ms()}
        self.until_done("push", lambda: push_ok(self.o.addr, self.batches[-1], tenant=self.OTHER) or True)
        self.until_done("flush", lambda: http_call(self.o.addr, "POST", f"/ingester/flush?tenant={self.OTHER}",
                                                   timeout=30).status // 100 == 2)
        self.until_done("the other's block", lambda: self.blocks_of(self.OTHER))
        self.is_deleted = False

    def is_hidden(self):
        try:
            got = samples_of(self.o.addr, "m", self.kept_from - 1, self.gone["to"])
        except (OSError, http.client.HTTPException, Failure):
            return
        if any(got.values()):
            raise AssertionError(f"what was deleted is seen again: {({k: len(v) for k, v in got.items()})}")

    def blocks_of(self, tenant):
        try:
            with open(f"{self.bucket()}/metrics/{tenant}/catalogue", encoding="utf-8") as f:
                return json.load(f)["blocks"]
        except FileNotFoundError:
            return []

    def ctl(self, fault=None):
        """Whether it came to its end."""
        env = {**os.environ, **({"ORRERY_FAULT": fault} if fault else {})}
        r = subprocess.run([f"{BIN}/orreryctl", "tenant", "delete", TENANT, "--yes", f"--storage.path={self.bucket()}"],
                           capture_output=True, text=True, timeout=60, env=env)
        if r.returncode not in (0, -9):
            raise Failure(f"orreryctl: {r.returncode} {r.stderr[-500:]}")
        return r.returncode == 0

    def left(self):
        """Of the tenant, but its list of tombstones, which stays, and blocks of nothing, which name segments that came later."""
        live = {b["ulid"] for b in self.blocks()}
        ours = ["catalogue", "tombstones"]
        return [f for f in files_below(f"{self.bucket()}/metrics/{TENANT}") if f not in ours and f.split("/")[0] not in live]

    def is_done(self):
        self.is_hidden()
        return (not self.left() and not self.segments() and sum(b["samples"] for b in self.blocks()) == 0
                and self.tombstones() == [])

    def finish(self):
        self.until_done("orreryctl", self.ctl)
        # readers hear of it when they look at the list again
        self.until_done("readers to see nothing", lambda: not any(samples_of(self.o.addr, "m", self.kept_from - 1, now_ms())
                                                                  .values()))
        self.until_done("flush", lambda: self.is_hidden() or self.flush())
        self.until_done("nothing of the tenant is left", self.is_done)
        self.is_hidden()
        got = self.read(self.kept_from - 1, self.OTHER)
        check({k: {at: float(v) for at, v in points.items()} for k, points in got.items()} ==
              {tuple(sorted(ls.items())): dict(points) for ls, points in self.batches[-1]}, "the other tenant's are not whole")
        now = now_ms()
        self.until_done("push", lambda: push_ok(self.o.addr, [({"__name__": "m", "n": "0"}, [(now, 7.0)])]) or True)
        got = self.read(self.kept_from - 1)
        check(list(got.values()) == [{now: "7"}], f"written afterwards: {got}")


def test_deleted_tenant_and_orreryctl_is_killed(t):
    made, trace = prepared(t), f"{t.dir}/trace"
    first = DeletingTenant(t, "undisturbed", made)
    first.begin()
    check(first.ctl(f"TRACE={trace}"), "orreryctl was killed by nobody")
    names = traced(trace)
    first.finish()
    first.end()
    check(names.count("objstore.unlink") >= 4, f"{names}")

    def one(n):
        run = DeletingTenant(t, f"step-{n}", made)
        run.begin()
        killed = not run.ctl(f"KILL={n}")
        run.finish()
        run.end()
        return killed
    walk(chosen(len(names), 16), names, one)


def test_deleted_tenant_and_the_process_is_killed(t):
    made, trace = prepared(t), f"{t.dir}/trace"
    first = DeletingTenant(t, "undisturbed", made, {"ORRERY_FAULT": f"TRACE={trace}"})
    first.begin()
    before = len(traced(trace))
    first.finish()
    first.end()
    names = traced(trace)
    check(len(names) - before > 10, f"{names[before:]}")

    def one(n):
        run = DeletingTenant(t, f"step-{n}", made, {"ORRERY_FAULT": f"KILL={before + n}"})
        run.begin()
        run.finish()
        run.end()
        return run.kills
    walk(chosen(len(names) - before, 16), names[before:], one)


if __name__ == "__main__":
    main()
