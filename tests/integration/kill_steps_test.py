#!/usr/bin/env python3
"""kill -9 at every step of flush, compaction, retention and deletion of metrics (kill_steps.py): no sample may be lost or counted
twice, what was deleted may not be seen again, and nothing may be left over. So a step that is added is walked through, too.

Deletions: series (tombstone, rewritten block, old block, tombstone off the list) and tenants (orreryctl, killed itself or with the
process beside it killed). They begin with a bucket and a log that are there already, of a run that was not disturbed."""
import collections
import http.client
import json
import os
import shutil
import subprocess
import urllib.parse

import kill_steps
from kill_steps import BLOCKS_COME_AND_GO, HOUR, files_below, now_ms, chosen, traced, walk, walk_on_disk, walk_on_swift
from orrery_test import BIN, Failure, TENANT, api, check, http_call, in_a_directory, main, push_ok, samples_of

WINDOW, STEP, SERIES = 2 * HOUR, 300_000, 3


class Run(kill_steps.Run):
    """Two windows that have expired and six that become one block of 12 h, written, flushed and waited for."""
    SIGNAL = "metrics"

    def __init__(self, t, name, args=(), env=None):
        super().__init__(t, name, ["--limits.compactor-blocks-retention-period=120h", *args], env)
        day = now_ms() // (24 * HOUR) * 24 * HOUR
        self.kept_from = day - 2 * 24 * HOUR
        self.batches = [self.batch(day - 9 * 24 * HOUR + w * WINDOW) for w in range(2)]
        self.batches += [self.batch(self.kept_from + w * WINDOW) for w in range(6)]

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

    def expected_count(self):
        return sum(len(v) for v in self.expected().values())

    def read(self, start, tenant=TENANT):
        """The step that kills may yet be to come."""
        got = []
        self.until_done("an answer", lambda: got.append(samples_of(self.o.addr, "m", start, now_ms(), tenant)) or True)
        return got[0]

    def write(self):
        self.until_done("ready", lambda: self.o.wait_ready())
        for i, batch in enumerate(self.batches):
            self.until_done(f"push {i}", lambda: push_ok(self.o.addr, batch) or True)

    def rest(self):
        return files_below(f"{self.o.dir}/data/segments")

    def check_end(self):
        got = {k: {at: float(v) for at, v in points.items()}
               for k, points in self.read(self.batches[0][0][1][0][0] - 1).items()}
        check(got == self.expected(), f"other samples: {({k: len(v) for k, v in got.items()})}")


class OnDisk(kill_steps.OnDisk, Run):
    pass


class OnSwift(kill_steps.OnSwift, Run):
    pass


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
        return self.is_settled() and self.tombstones() == []

    def finish(self):
        self.until_done("the deletion to be acknowledged", self.delete)
        self.is_hidden()
        self.until_done("flush", lambda: self.is_hidden() or self.flush())
        self.until_done("what was deleted is nowhere and nothing else is gone", self.is_done)
        self.check_end()


class DeletingOnDisk(Deleting, OnDisk):
    """made: the data directory of another that was prepared and stopped."""

    def __init__(self, t, name, made=None, env=None):
        if made:
            shutil.copytree(made, f"{t.dir}/{name}/data")
        super().__init__(t, name, self.ARGS, env)


class DeletingOnSwift(Deleting, OnSwift):
    def __init__(self, t, name):
        super().__init__(t, name, self.ARGS)


def test_on_disk(t):
    walk_on_disk(t, OnDisk, 32, 100, {"objstore.rename", "objstore.unlink", "objstore.sync"})


def test_on_swift(t):
    walk_on_swift(t, OnSwift, 8, 60, BLOCKS_COME_AND_GO)


def prepared(t):
    """A data directory, and nothing that runs on it."""
    maker = DeletingOnDisk(t, "maker")
    maker.prepare()
    check(maker.o.stop() == 0, "it did not stop")
    return f"{maker.o.dir}/data"


def test_deleted_series_on_disk(t):
    in_a_directory("as test_on_disk; requests are test_deleted_series_on_swift")
    made = prepared(t)
    # the tombstone, a block of the head, the block anew, the old one's files, the tombstone's end
    walk_on_disk(t, lambda t, name, env: DeletingOnDisk(t, name, made, env), 24, 60,
                 {"objstore.rename", "objstore.unlink", "block_out.write"}, DeletingOnDisk.begin, DeletingOnDisk.finish)


def test_deleted_series_on_swift(t):
    def prepare(run):
        run.prepare()
        run.begin()
    # 17 requests: the tombstone, the head's block, that and the old one merged without what is deleted (5 each, with the catalogue),
    # the files of both and the catalogue (5), the tombstone's end. Where the old one is rewritten before the head's is there, 8 more.
    walk_on_swift(t, DeletingOnSwift, 4, 34, BLOCKS_COME_AND_GO | {"PUT tombstones"}, prepare, DeletingOnSwift.finish)


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

    def retired(self):
        with open(f"{self.bucket()}/metrics/{TENANT}/catalogue", encoding="utf-8") as f:
            return json.load(f)["retired"]

    def is_done(self):
        self.is_hidden()
        return (not self.left() and not self.rest() and sum(b["samples"] for b in self.blocks()) == 0
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
    in_a_directory("orreryctl's steps are fault points of a directory's store")
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
        # who calls it again may be so late that nothing that it has retired is left
        run.until_done("retired blocks to go", lambda: not run.retired())
        run.finish()
        run.end()
        return killed
    walk(chosen(len(names), 16), names, one)


def test_deleted_tenant_and_the_process_is_killed(t):
    in_a_directory("steps are fault points of a directory's store")
    made = prepared(t)
    walk_on_disk(t, lambda t, name, env: DeletingTenant(t, name, made, env), 16, 10, set(), DeletingTenant.begin,
                 DeletingTenant.finish)


if __name__ == "__main__":
    main()
