#!/usr/bin/env python3
"""A cluster loses machines: what got a 2xx is read back, reads do not fail."""
import glob
import os
import random
import signal
import threading
import time

from orrery_test import (Cluster, Failure, check, http_call, main, push, query, samples_of, wait_for)


def now_ms():
    return int(time.time() * 1000)


class Load:
    """Writers that keep a ledger of what was acknowledged, and readers that note failed reads. Of samples; another kind of data has
    its own batch(), send(), note() and ask()."""

    def __init__(self, ingesters, queriers, writers=2, series=50):
        self.ingesters, self.queriers, self.series = ingesters, queriers, series
        self.ledger = {}  # (writer, k) -> {t_ms: value}
        self.start = now_ms()
        self.refused = self.acknowledged = self.reads = 0
        self.failed_reads = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(i,), daemon=True)
                        for i in range(writers)]
        self.threads.append(threading.Thread(target=self.read, daemon=True))
        for th in self.threads:
            th.start()

    def batch(self, writer, n):
        t = now_ms()
        return [({"__name__": "load", "writer": str(writer), "k": str(k)}, [(t, float(n + k))])
                for k in range(self.series)]

    def send(self, addr, batch):
        """The HTTP status."""
        return push(addr, batch, timeout=10).status

    def note(self, batch):
        """That it was acknowledged. Under the lock."""
        for labels, [(at, v)] in batch:
            self.ledger.setdefault((labels["writer"], labels["k"]), {})[at] = v

    def ask(self, addr):
        query(addr, "count(load)", now_ms(), timeout=30)

    def write(self, writer):
        rng, n = random.Random(writer), 0
        while not self.stopping.is_set():
            batch = self.batch(writer, n)
            # a client retries the same write until it gets its 2xx
            while not self.stopping.is_set():
                try:
                    status = self.send(rng.choice(self.ingesters), batch)
                except OSError:
                    status = 0
                if status // 100 == 2:
                    with self.lock:
                        self.note(batch)
                        self.acknowledged += len(batch)
                    break
                self.refused += 1
                time.sleep(0.05)
            n += 1
            time.sleep(0.02)

    def read(self):
        rng = random.Random(99)
        while not self.stopping.is_set():
            addr = rng.choice(self.queriers)
            try:
                self.ask(addr)
            except (Failure, OSError) as e:
                self.failed_reads.append(f"{addr}: {e}")
            self.reads += 1
            time.sleep(0.1)

    def stop(self):
        self.stopping.set()
        for th in self.threads:
            th.join(60)

    def missing(self, addr):
        got = samples_of(addr, "load", self.start - 1000, now_ms() + 1000)
        by_key = {(dict(k)["writer"], dict(k)["k"]): v for k, v in got.items()}
        lost = 0
        for key, want in self.ledger.items():
            have = by_key.get(key, {})
            lost += sum(1 for t, v in want.items() if t not in have or float(have[t]) != v)
        return lost

    def check(self, addrs):
        check(self.acknowledged > 1000, f"only {self.acknowledged} samples were acknowledged")
        for addr in addrs:
            lost = self.missing(addr)
            check(lost == 0, f"{lost} of {self.acknowledged} acknowledged samples missing on {addr}")
        check(self.reads > 10 and not self.failed_reads,
              f"{len(self.failed_reads)} of {self.reads} reads failed: {self.failed_reads[:3]}")


def small_cluster(t, **counts):
    args = {"ingesters": 3, "queriers": 2, "compactors": 1, "rulers": 0, "alertmanagers": 0, **counts}
    return Cluster(t, args=[x for k, v in args.items() for x in (f"--{k}", str(v))])


def metric(addr, name):
    """Sum of a metric over its labels."""
    text = http_call(addr, "GET", "/metrics").text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.split(" ", 1)[0].split("{", 1)[0] == name)


def reaches_all(addr, n, at_ms):
    """A querier sees n ingesters and none of its calls fails."""
    seen = ready_ingesters(addr)
    before = metric(addr, "orrery_rpc_client_errors_total")
    query(addr, "count(load)", at_ms)
    return seen == n and metric(addr, "orrery_rpc_client_errors_total") == before


def test_one_ingester_killed_again_and_again(t):
    c = small_cluster(t)
    load = Load(c.addrs("ingester"), c.addrs("querier"))
    time.sleep(3)
    for name in ("ingester-1", "ingester-2", "ingester-3", "ingester-1"):
        c.run("kill", name)
        time.sleep(2)
        started = time.monotonic()
        c.run("restart", name)
        took = time.monotonic() - started
        check(took < 15, f"{name} was ready only after {took:.1f} s")
        time.sleep(2)
    load.stop()
    load.check(c.addrs("querier"))


def test_a_whole_zone_stopped(t):
    """Every process of the zone at once: ingesters, queriers, rulers, alertmanagers, compactors."""
    c = Cluster(t, args=["--ingesters", "6", "--queriers", "3", "--compactors", "3"])
    before = c.status()
    victims = {k: v for k, v in before.items() if v[1] == "b"}
    roles = {v[0] for v in victims.values()}
    check(roles == {"ingester", "querier", "compactor", "ruler", "alertmanager"}, f"zone b: {victims}")
    rest = {k: v for k, v in before.items() if v[1] != "b"}
    load = Load([v[3] for v in rest.values() if v[0] == "ingester"],
                [v[3] for v in rest.values() if v[0] == "querier"])
    time.sleep(4)
    for _, _, pid, _ in victims.values():
        os.kill(pid, signal.SIGKILL)
    at_kill = load.acknowledged
    time.sleep(20)
    check(not any(c.status()[k][2] for k in victims), "zone b is not down")
    check(load.acknowledged > at_kill + 1000, f"{load.acknowledged - at_kill} samples while down")
    for name in victims:
        c.run("restart", name)
    time.sleep(3)
    load.stop()
    load.check(c.addrs("querier"))


def test_all_three_killed_at_once(t):
    """Under load: what got its 2xx up to the moment is there afterwards."""
    c = small_cluster(t)
    load = Load(c.addrs("ingester"), c.addrs("querier"), writers=4)
    time.sleep(5)
    pids = [c.status()[name][2] for name in c.names("ingester")]
    check(not load.failed_reads, f"reads failed before: {load.failed_reads[:3]}")
    at_kill = load.acknowledged
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    time.sleep(1)
    check(load.refused > 0, "the writers did not notice")
    for name in c.names("ingester"):
        c.run("restart", name)
    wait_for("reads", lambda: all(query(a, "count(load)", load.start) for a in c.addrs("querier")), 60)
    time.sleep(2)  # a read that began before may still fail
    load.failed_reads.clear()
    back = load.acknowledged
    time.sleep(5)
    check(at_kill > 1000 and load.acknowledged > back, "no writes before or after")
    load.stop()
    load.check(c.addrs("querier"))


def newest_wal(c, name):
    files = sorted(glob.glob(f"{c.dir}/{name}/data/**/wal/*.wal", recursive=True))
    files = [f for f in files if os.path.getsize(f) > 4096]
    check(files, f"{name} has no log")
    return files[-1]


def used_bytes(path):
    with open(path, "rb") as f:
        return len(f.read().rstrip(b"\0"))


def test_torn_and_flipped_logs(t):
    c = small_cluster(t)
    load = Load(c.addrs("ingester"), c.addrs("querier"))
    time.sleep(5)
    load.stop()
    for name in c.names("ingester"):
        c.run("kill", name)
    torn, flipped = newest_wal(c, "ingester-1"), newest_wal(c, "ingester-2")
    os.truncate(torn, used_bytes(torn) - 11)
    with open(flipped, "r+b") as f:
        at = used_bytes(flipped) // 2
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 0x40]))
    for name in c.names("ingester"):
        c.run("restart", name)
    wait_for("reads", lambda: all(query(a, "count(load)", load.start) for a in c.addrs("querier")), 60)
    with open(f"{c.dir}/ingester-1/log") as f:
        check("interrupted write" in f.read(), "ingester-1 does not tell of the torn tail")
    with open(f"{c.dir}/ingester-2/log") as f:
        text = f.read()
        check("put aside" in text and "offset=" in text, "ingester-2 does not tell what it skipped")
    # A sample that two damaged logs have lost is on the third ingester. A read needs two of three: one that
    # does not reach the third yet is beyond what a quorum promises, so this waits until queriers reach all.
    wait_for("queriers to reach all ingesters",
             lambda: all(reaches_all(a, 3, load.start) for a in c.addrs("querier")), 60)
    load.check(c.addrs("querier"))


def test_paused_ingester_does_not_stop_the_others(t):
    c = small_cluster(t)
    load = Load(c.addrs("ingester")[1:], c.addrs("querier"))
    time.sleep(2)
    c.run("pause", "ingester-1")
    time.sleep(12)
    before = load.acknowledged
    time.sleep(3)
    check(load.acknowledged > before, "no write goes on while one ingester is paused")
    c.run("resume", "ingester-1")
    time.sleep(3)
    load.stop()
    load.check(c.addrs("querier"))


def test_scale_in_by_leaving(t):
    c = small_cluster(t, ingesters=4)
    addr = c.status()["ingester-4"][3]
    load = Load(c.addrs("ingester"), c.addrs("querier"))
    time.sleep(5)
    load.ingesters.remove(addr)
    r = http_call(addr, "POST", "/ingester/leave", timeout=120)
    check(r.status // 100 == 2, f"leave: {r.status} {r.text}")
    wait_for("ingester-4 to end by itself", lambda: c.status()["ingester-4"][2] is None, 120)
    time.sleep(3)
    load.stop()
    load.check(c.addrs("querier"))
    ring = http_call(c.addrs("ingester")[0], "GET", "/ring?role=ingester",
                     headers={"Accept": "application/json"}).json
    names = {i["instance"] for i in ring["rings"][0]["instances"]}
    check("ingester-4" not in names, f"still in the ring: {names}")


def test_stopped_rulers_and_queriers_leave_the_ring(t):
    """In good order, so that others take over at once, and come back with the same name."""
    c = Cluster(t, args=["--ingesters", "3", "--queriers", "2", "--compactors", "0", "--rulers", "2",
                         "--alertmanagers", "0"])

    def members(role):
        ring = http_call(c.addrs("ingester")[0], "GET", f"/ring?role={role}",
                         headers={"Accept": "application/json"}).json["rings"][0]
        return {i["instance"] for i in ring["instances"] if i["state"] == "ACTIVE"}
    for role in ("ruler", "querier"):
        wait_for(f"both {role}s", lambda: members(role) == {f"{role}-1", f"{role}-2"})
        c.run("stop", f"{role}-1")
        # long before ring.unhealthy-after (15 s): it said good-bye
        wait_for(f"{role}-1 to be gone", lambda: members(role) == {f"{role}-2"}, timeout=5)
        c.run("restart", f"{role}-1")
        wait_for(f"{role}-1 to be back", lambda: members(role) == {f"{role}-1", f"{role}-2"})


def test_acknowledged_means_that_a_quorum_has_that_very_sample(t):
    """Replicas that missed different writes refuse different samples: what one of the two that are up has newer
    samples of, and the other takes, is on one disk only and must not be acknowledged."""
    c = Cluster(t, args=["--ingesters", "3", "--queriers", "2", "--compactors", "0", "--rulers", "0",
                         "--alertmanagers", "0"])
    t0, sent = now_ms() - 60_000, []

    def write(at_ms):
        door = next(a for n, (r, _, pid, a) in c.status().items() if r == "ingester" and pid)
        r = push(door, [({"__name__": "torn", "n": "1"}, [(at_ms, float(at_ms - t0))])])
        sent.append((at_ms, r.status))
        return r

    def settled(n):
        """For a querier, and for each ingester that is up: one that has just come back knows itself alone."""
        alive = [a for r, _, pid, a in c.status().values() if r == "ingester" and pid]
        return all(ready_ingesters(a) == n for a in [c.addrs("querier")[0], *alive])
    check(write(t0).status // 100 == 2, "the first write")
    c.run("kill", "ingester-1")
    time.sleep(1.5)  # what is sent before the connection is seen to be gone waits for its return
    wait_for("a write with two", lambda: write(t0 + 20_000).status // 100 == 2, 30)
    c.run("restart", "ingester-1")
    wait_for("ingester-1", lambda: settled(3), 30)
    c.run("kill", "ingester-3")
    for at in (t0 + 10_000, t0 + 15_000, t0 + 30_000):
        r = write(at)
    check(r.status // 100 == 2, f"a sample that both can take: {r.status} {r.text}")
    refused = [s for at, s in sent if at in (t0 + 10_000, t0 + 15_000)]
    check(all(s // 100 != 2 for s in refused), f"one replica of three has it, and the answer was {refused}")
    c.run("restart", "ingester-3")
    wait_for("ingester-3", lambda: settled(3), 30)
    c.run("kill", "ingester-1")
    have = {at for _, points in samples_of(c.addrs("querier")[0], "torn", t0 - 1000, now_ms()).items()
            for at in points}
    lost = [at - t0 for at, status in sent if status // 100 == 2 and at not in have]
    check(not lost, f"acknowledged and not there: {lost}")


def test_samples_that_pass_each_other_are_on_every_replica(t):
    """A client writes through two doors, one acknowledged sample after the other; a third ingester that stood still
    then gets them by two connections, one after the other: it must take what is late by then. What the client
    itself sends out of order is refused as ever."""
    c = Cluster(t, args=["--ingesters", "3", "--queriers", "1", "--compactors", "0", "--rulers", "0",
                         "--alertmanagers", "0"])
    status = c.status()
    doors, still = [status[f"ingester-{i}"][3] for i in (1, 2)], status["ingester-3"][3]
    wait_for("all to see all", lambda: all(ready_ingesters(a) == 3 for a in [*doors, still]), 30)
    series = [{"__name__": "passing", "n": str(n)} for n in range(20)]
    written, t0 = {}, now_ms()

    def write(door, at):
        return push(door, [(labels, [(at, float(at - t0))]) for labels in series])

    def counts():
        at_doors = [sum(metric(a, f"orrery_distribute_{what}_total") for a in doors)
                    for what in ("late_samples", "missed_samples", "replica_failures")]
        return [*at_doors, metric(still, "orrery_head_rejected_out_of_order_total"),
                metric(still, "orrery_head_late_samples_total")]
    # A round says nothing when no sample was passed, which takes a rare order of ten reads, or when a busy
    # machine let a door give up on the third ingester.
    for _ in range(10):
        before = counts()
        c.run("pause", "ingester-3")
        for n in range(10):
            at = max(now_ms(), max(written, default=0) + 1)
            r = write(doors[n % 2], at)
            check(r.status // 100 == 2, f"a write with one of three standing still: {r.status} {r.text}")
            written[at] = float(at - t0)
        c.run("resume", "ingester-3")
        wait_for("the last answers", lambda: all(
            metric(a, "orrery_distribute_inflight_pushes") == 0 for a in doors), 60)
        late, missed, failures, refused, taken = (x - y for x, y in zip(counts(), before))
        if late and not failures:
            break
    check(late > 0 and failures == 0, f"the last of ten rounds: {late} late samples, {failures} failures")
    check(refused == taken == late and missed == 0,
          f"{refused} refused, {taken} taken late, {late} brought late, {missed} missed")
    taken = counts()[-1]
    r = write(doors[0], t0 - 1000)
    check(r.status == 400 and "out of order" in r.text, f"what the client sends late: {r.status} {r.text}")
    check(counts()[-1] == taken, "a sample of a refused write was taken")
    got = samples_of(c.addrs("querier")[0], "passing", t0 - 2000, now_ms() + 1000)
    check(len(got) == len(series), f"{len(got)} series")
    for points in got.values():
        check({at: float(v) for at, v in points.items()} == written, f"{points} is not {written}")


def ring_of(addr):
    """{instance: its row} of the ingesters, as this process sees them."""
    ring = http_call(addr, "GET", "/ring?role=ingester", headers={"Accept": "application/json"}).json
    return {i["instance"]: i for r in ring["rings"] for i in r["instances"]}


def ready_ingesters(addr):
    """How many ingesters this process would send to: one that sees fewer than there are picks other replicas."""
    return sum(i["state"] == "ACTIVE" and i["healthy"] for i in ring_of(addr).values())


def test_wrong_cluster_key_stays_out(t):
    """Both sides refuse by name of the key, and neither sees the other in its ring."""
    c = small_cluster(t, queriers=1, compactors=0)
    status = c.status()
    addr, outsider = status["ingester-2"][3], status["ingester-1"][3]
    c.run("stop", "ingester-1")
    key = f"{c.dir}/cluster.key"
    with open(key) as f:
        good = f.read()
    with open(key, "w") as f:
        f.write("00" * 32)
    seen = {name: os.path.getsize(f"{c.dir}/{name}/log") for name in c.names("ingester")}

    def said_since(name, text):
        with open(f"{c.dir}/{name}/log") as f:
            f.seek(seen[name])
            return [line for line in f if text in line]
    os.environ["CLUSTER_WAIT_S"] = "15"
    try:
        c.run("restart", "ingester-1", check_status=False)
    finally:
        del os.environ["CLUSTER_WAIT_S"]
    check(c.status()["ingester-1"][2], "ingester-1 does not run: nothing was tried")
    for name in ("ingester-2", "ingester-3"):
        check(said_since(name, 'reason="unknown cluster key"'), f"{name} refused nobody for its key")
    check(said_since("ingester-1", 'reason="peer does not share our cluster key"'),
          "ingester-1 does not tell why it was refused")
    # an entry from before the stop may be there still; nothing that says it lives
    wait_for("the others not to see ingester-1",
             lambda: not ring_of(addr).get("ingester-1", {}).get("healthy"), 40)
    wait_for("ingester-1 not to see the others",
             lambda: not [k for k, v in ring_of(outsider).items()
                          if k != "ingester-1" and v["healthy"]], 40)
    check({k for k, v in ring_of(addr).items() if v["healthy"]} == {"ingester-2", "ingester-3"},
          f"{ring_of(addr)}")
    r = push(addr, [({"__name__": "x"}, [(now_ms(), 1.0)])])
    check(r.status // 100 == 2, f"the others do not take writes: {r.status} {r.text}")
    with open(key, "w") as f:
        f.write(good)
    c.run("stop", "ingester-1")
    c.run("restart", "ingester-1")
    wait_for("ingester-1 to be back",
             lambda: ring_of(addr)["ingester-1"]["healthy"], 60)


if __name__ == "__main__":
    main()
