"""What the walks through steps share (kill_steps_test.py, kill_steps_logs_test.py, kill_steps_traces_test.py). An undisturbed run is watched, and each thing
it does to a disk or the bucket is a step: a fault point passed (ORRERY_FAULT=TRACE, common/base/fault.c), or a request to Swift that
writes. Then the same again, killed at the n-th step and started anew, for every n, or without STEPS=all for some of
them, evenly spread, from a random start; SEED=n takes the same ones again, STEPS=4,8,700-744 just these. A step that fails says why at once, its
process ends with it, and of its directory the log is kept."""
import collections
import concurrent.futures
import contextlib
import http.client
import itertools
import json
import os
import random
import shutil
import threading
import time

import s3_proxy
from logs_test import counter
from orrery_test import Failure, Single, TENANT, check, http_call, in_a_directory
from s3_server import the_server

HOUR = 3_600_000
ARGS = ["--compactor.poll-interval=200ms", "--compactor.early-wait=200ms", "--compactor.drop-delay=100ms",
        "--compactor.retry-min=100ms", "--compactor.retry-max=500ms", "--compactor.compaction-interval=200ms",
        "--compactor.sweep-interval=200ms", "--compactor.deletion-delay=500ms", "--compactor.orphan-age=2s"]
WORKERS = 4
# as requests
BLOCKS_COME_AND_GO = {"PUT meta.json", "PUT catalogue", "DELETE meta.json", "POST delete"}


def now_ms():
    return int(time.time() * 1000)


def files_below(root):
    return [os.path.join(d, f)[len(root) + 1:] for d, _, names in os.walk(root) for f in names]


class Run:
    """An orrery that is started again whenever it was killed. Where its bucket is (OnDisk, OnSwift) and what it is given to keep
    comes from other classes: SIGNAL, write(), expected_count(), rest() (what its own disk has of what is in blocks), check_end()."""
    PATIENCE_S = 300  # four of them may share a core with a whole build

    def __init__(self, t, name, args=(), env=None):
        given = {a.split("=")[0] for a in args}
        self.o = Single(t, name, args=[*(a for a in ARGS if a.split("=")[0] not in given), *args], env=env)
        self.kills = 0

    def start_again(self):
        """After it has been killed: from now on nothing happens to it."""
        self.kills += 1
        self.restart()

    def restart(self):
        self.o.kill()
        self.o.env.pop("ORRERY_FAULT", None)
        self.o.start()
        self.o.wait_ready(self.PATIENCE_S)

    def until_done(self, what, fn):
        """Repeats it until it has succeeded; starts the process again when that has ended."""
        deadline = time.monotonic() + self.PATIENCE_S
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

    def give_up(self):
        """It failed: what it writes fills the memory it is in, too, and it goes on looking at its bucket many times a second."""
        self.o.kill()
        shutil.rmtree(f"{self.o.dir}/data", ignore_errors=True)

    def flush(self):
        r = http_call(self.o.addr, "POST", f"/ingester/flush?tenant={TENANT}", timeout=30)
        return r.status // 100 == 2

    def settle(self):
        self.until_done("flush", self.flush)
        self.until_done("what was written is once in one block and nothing else is there", self.is_settled)

    def is_settled(self):
        blocks = self.blocks()
        return (sum(b["samples"] for b in blocks) == self.expected_count() and len(blocks) == 1
                and not self.leftovers(blocks) and not self.rest())

    def state(self):
        try:
            return self.state_of(self.blocks())
        except (OSError, http.client.HTTPException, Failure) as e:
            return f"and no answer: {e!r}"

    def state_of(self, blocks):
        return (f"{sum(b['samples'] for b in blocks)} of {self.expected_count()} in {[b['ulid'] for b in blocks]}; left over: "
                f"{self.leftovers(blocks)[:20]}; on its disk: {self.rest()[:5]}")

    def all(self):
        self.write()
        self.settle()
        self.check_end()
        check(not files_below(f"{self.o.dir}/data/compactor/work"), "compactor/work holds something")

    def check_work(self):
        """Of a run that was not disturbed: nothing was made into a block twice."""
        made = counter(self.o.addr, "orrery_compactor_flushes_total")
        check(made <= len(self.batches), f"{made} blocks of {len(self.batches)} batches")


class Batches(Run):
    """Data pushed batch by batch, each waited for until it is in a block. After each start, and whenever it can answer, what is acknowledged is there
    exactly once, and nothing that was not sent. From other classes, beside what Run has: batches, push_to(batch), ask() (a Counter
    of all that is found; an error is one), is_kept(x), is_deleted(x), and key(x): what ask() says of it."""

    def __init__(self, t, name, args=(), env=None):
        super().__init__(t, name, args, env)
        day = now_ms() // (24 * HOUR) * 24 * HOUR
        self.first, self.kept_from = day - 9 * 24 * HOUR, day - 2 * 24 * HOUR
        self.sent, self.acked = set(), set()

    @staticmethod
    def key(x):
        return x

    @staticmethod
    def is_deleted(_):
        return False

    def expected(self):
        return {x for batch in self.batches for x in batch if self.is_kept(x)}

    def expected_count(self):
        return len(self.expected())

    def push(self, batch):
        self.sent.update(batch)
        self.push_to(batch)
        self.acked.update(batch)
        return True

    def check_answer(self):
        """Whenever it can answer."""
        try:
            got = self.ask()
        except (OSError, http.client.HTTPException, Failure):
            return
        lost = [x for x in self.acked if self.is_kept(x) and self.key(x) not in got]
        known = {self.key(x) for x in self.sent}
        wrong = [x for x, n in got.items() if n != 1 or x not in known or self.is_deleted(x)]
        if lost or wrong:
            raise AssertionError(f"{len(lost)} of {len(self.acked)} that were acknowledged are not there: {lost[:3]}; twice, never "
                                 f"sent or deleted: {wrong[:3]}")

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

    def check_end(self):
        got = []
        self.until_done("an answer", lambda: got.append(self.ask()) or True)
        check(got[-1] == collections.Counter(map(self.key, self.expected())), lambda: f"others: {len(got[-1])} of {self.expected_count()}")
        if self.kills:  # what was dropped does not come back by the log
            self.restart()
            self.until_done("nothing to be held", lambda: not self.rest())


class OnDisk:
    """Also when TEST_BUCKET says otherwise."""

    def __init__(self, t, name, args=(), env=None):
        self.root = f"{t.dir}/{name}/data/bucket"
        super().__init__(t, name, [*args, f"--storage.path={self.root}"], env)

    def bucket(self):
        return self.root

    def blocks(self):
        return self.blocks_of(TENANT)

    def blocks_of(self, tenant):
        try:
            with open(f"{self.bucket()}/{self.SIGNAL}/{tenant}/catalogue", encoding="utf-8") as f:
                return json.load(f)["blocks"]
        except FileNotFoundError:
            return []

    def leftovers(self, blocks):
        live = {f"{self.SIGNAL}/{TENANT}/{b['ulid']}" for b in blocks}
        ours = {".orrery/lock", *(f"{self.SIGNAL}/{TENANT}/{name}" for name in ("catalogue", "tombstones"))}
        return [f for f in files_below(self.bucket()) if f not in ours and "/".join(f.split("/")[:3]) not in live]


class ByItself:
    """Beside an OnDisk: no compactor takes the segments in time, the ingester makes blocks of them."""

    def __init__(self, t, name, env=None):
        super().__init__(t, name, ["--ingester.flush-wait=0s", "--ingester.self-upload-after=100ms",
                                   "--ingester.visible-after=100ms", "--compactor.poll-interval=10m"], env)


class OnSwift:
    """One compactor alone, without leases: with them it would have to wait after each kill until its own has run out. What
    becomes of them is in writers_test.py."""
    # where many processes share few cores an upload takes longer than 2 s, and is no orphan before it is through
    SLOWER, PATIENCE_S = ["--compactor.orphan-age=10s"], 300
    numbers = itertools.count(1)

    def __init__(self, t, name, args=()):
        self.server, self.name = the_server(), f"walk-{next(self.numbers)}"
        self.proxy = s3_proxy.S3Proxy(t, self.server.endpoint)
        super().__init__(t, name, [*args, *self.SLOWER, "--storage.backend=s3", f"--s3.endpoint={self.proxy.endpoint}",
                                   f"--s3.bucket={self.name}", "--s3.create-bucket", "--s3.one-writer=false"], self.server.keys)

    def blocks(self):
        r = self.server.request("GET", f"/{self.name}/{self.SIGNAL}/{TENANT}/catalogue")
        return json.loads(r.body)["blocks"] if r.status == 200 else []

    def leftovers(self, blocks):
        live = {f"{self.SIGNAL}/{TENANT}/{b['ulid']}" for b in blocks}
        return [k for k in self.server.keys_in(self.name) if k.startswith(f"{self.SIGNAL}/{TENANT}/01") and
                "/".join(k.split("/")[:3]) not in live]


def traced(path):
    with open(path, encoding="utf-8") as f:
        return f.read().split()


def chosen(n, some):
    """All of the steps 0 … n-1, or some of them."""
    said = os.environ.get("STEPS", "")
    if said not in ("", "all"):
        spans = [[int(x) for x in span.split("-")] for span in said.split(",")]
        return [i for span in spans for i in range(span[0], span[-1] + 1) if i < n]
    if said == "all" or n <= some:
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
                print(f"   {failures[-1]}", flush=True)
    print(f"   {len(steps)} of {len(names)} steps, killed {killed} times; of "
          f"{dict(collections.Counter(names).most_common())}", flush=True)
    check(not failures, lambda: f"{len(failures)} of {len(steps)}:\n" + "\n".join(sorted(failures)))
    # threads race: a run may take fewer steps than the first did, so the last ones are not always met
    check(killed >= len(steps) * 0.4, f"only {killed} of {len(steps)} were killed")


@contextlib.contextmanager
def given_up(run):
    """If what is done with it fails."""
    try:
        yield run
    except BaseException:
        run.give_up()
        raise


def walk_on_disk(t, make, some, least, must, prepare=None, go=lambda run: run.all()):
    """make(t, name, env=…) makes a Run on a directory; must: points that an undisturbed one passes, at least. Steps are those
    after prepare(run)."""
    in_a_directory("steps are fault points of a directory's store; those on S3 are requests")
    trace = f"{t.dir}/trace"
    first, before = make(t, "undisturbed", env={"ORRERY_FAULT": f"TRACE={trace}"}), 0
    if prepare:
        prepare(first)
        before = len(traced(trace))
    go(first)
    first.check_work()
    first.end()
    names = traced(trace)[before:]
    check(must <= set(names) and len(names) > least, f"{len(names)} steps: {set(names)}")

    def one(n):
        with given_up(make(t, f"step-{n}", env={"ORRERY_FAULT": f"KILL={before + n}"})) as run:
            if prepare:
                prepare(run)
            go(run)
            run.end()
        return run.kills
    walk(chosen(len(names), some), names, one)


def request_name(request):
    """A file of any block, or what is asked of the bucket."""
    return f"{request.method} {request.key.rpartition('/')[2] or ','.join(request.query)}"


def walk_on_swift(t, make, some, least, must, prepare=lambda run: None, go=lambda run: run.all()):
    """Before the server has the request, and after it has acted and before the answer. must: requests of an undisturbed run, at
    least. How many there are depends on which blocks lie there when the compactor looks: least is of the run with the fewest.
    prepare(run) is not disturbed."""
    first, names = make(t, "undisturbed"), []
    prepare(first)
    first.proxy.fault = s3_proxy.Steps(lambda r, when: names.append(f"{when} {request_name(r)}") and False)
    go(first)
    first.check_work()
    first.end()
    check({f"after {r}" for r in must} <= set(names) and len(names) >= least, lambda: f"{len(names)} steps: {names}")

    def one(n):
        run, passed, lock = make(t, f"step-{n}"), [0], threading.Lock()

        def at(request, when):
            with lock:
                passed[0] += 1
                if passed[0] != n + 1:
                    return False
                run.o.popen.kill()
                return True
        with given_up(run):
            prepare(run)
            run.proxy.fault = s3_proxy.Steps(at)
            go(run)
            run.end()
        run.proxy.stop()
        return run.kills
    walk(chosen(len(names), some), names, one)
