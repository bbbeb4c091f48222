#!/usr/bin/env python3
"""Compaction, retention and deletion: windows of several days become a block for each day, answers stay the same byte
by byte, Debian's Prometheus reads the result; kill -9 at any moment; corrupt blocks; dry-run."""
import glob
import json
import os
import random
import re
import shutil
import subprocess
import threading
import time
import urllib.parse

from orrery_test import (Cluster, Prometheus, Single, TENANT, api, check, http_call, main, push_ok, samples_of,
                         wait_for)

HOUR = 3_600_000
DAY = 24 * HOUR
IDLE = ["--compactor.dry-run=true", "--compactor.sweep-interval=300ms", "--compactor.compaction-interval=300ms"]
EAGER = ["--compactor.sweep-interval=300ms", "--compactor.compaction-interval=300ms"]


def now_ms():
    return int(time.time() * 1000)


def day(n):
    """Start of the day n days ago."""
    return now_ms() // DAY * DAY - n * DAY


def bucket(o):
    return f"{o.blocks.path()}/metrics/{TENANT}"


def catalogue(o):
    with open(f"{bucket(o)}/catalogue", encoding="utf-8") as f:
        return json.load(f)


def live(o):
    return sorted(b["ulid"] for b in catalogue(o)["blocks"])


def directories(o):
    return sorted(os.path.basename(d) for d in glob.glob(f"{bucket(o)}/01*"))


def status(o):
    return http_call(o.addr, "GET", "/compactor/status").json["compaction"]


def row(o):
    rows = [r for r in status(o)["tenants"] if r["tenant"] == TENANT]
    return rows[0] if rows else {"jobs": 0, "quarantined": []}


def metric(o, name):
    found = re.search(rf"^orrery_compactor_{name} (\S+)$", http_call(o.addr, "GET", "/metrics").text, re.M)
    check(found, f"no metric {name}")
    return float(found.group(1))


def flush(o):
    def segments():
        return [d for d in glob.glob(f"{o.dir}/data/segments/{TENANT}/*")]
    r = http_call(o.addr, "POST", f"/ingester/flush?tenant={TENANT}", timeout=120)
    check(r.status // 100 == 2, r.text)
    wait_for("the head to let go", lambda: not segments() and os.path.exists(f"{bucket(o)}/catalogue"), 600)


def windows(start, n, name="m", series=5, step=300_000, shift=0):
    """One push for each window, in order of time."""
    for w in range(n):
        at = start + w * 2 * HOUR + shift
        yield [({"__name__": name, "n": str(k)},
                [(at + i * step, float(w * 100 + i + k)) for i in range((2 * HOUR - shift) // step)])
               for k in range(series)]


def fill(o, start, n, **kw):
    for batch in windows(start, n, **kw):
        push_ok(o.addr, batch)
    flush(o)


def answers(o, start, end):
    """Bytes of what queries answer."""
    out = []
    for q in ("m", "sum by (n) (rate(m[30m]))", "count_over_time(m[2h])", "max(late)"):
        params = urllib.parse.urlencode({"query": q, "start": start / 1000, "end": end / 1000, "step": 600})
        r = http_call(o.addr, "GET", f"/api/v1/query_range?{params}", headers={"X-Scope-OrgID": TENANT})
        check(r.status == 200, r.text)
        out.append(r.body)
    return out


def again(o, args):
    o.stop()
    o.args = [a for a in o.args if not a.startswith("--compactor.")] + args
    o.start()
    o.wait_ready()


def test_days_become_blocks_and_answers_stay(t):
    o = Single(t, args=IDLE).wait_ready()
    start, end = day(3), day(1)
    fill(o, start, 24)
    fill(o, start + 6 * HOUR, 3, name="late", shift=HOUR)  # overlaps
    before = answers(o, start, end)
    samples = samples_of(o.addr, '{__name__=~"m|late"}', start - 1000, end)
    first = live(o)
    check(len(first) >= 27, f"{len(first)} blocks")
    wait_for("a plan", lambda: row(o)["jobs"], 30)
    check(live(o) == first and metric(o, "compactions_total") == 0, "a dry run changed something")
    check({j["kind"] for j in row(o)["next"]} == {"overlap", "range"}, f"{row(o)}")
    again(o, EAGER)
    wait_for("two days, two blocks", lambda: len(live(o)) == 2, 60)
    check(answers(o, start, end) == before, "compaction changed answers")
    wait_for("no work left", lambda: row(o)["jobs"] == 0 and row(o)["retired"] >= len(first), 30)
    check(set(first) < set(directories(o)), "files went before their time")
    check(metric(o, "live_blocks") == 2 and metric(o, "compaction_backlog_jobs") == 0, "metrics")
    for b in catalogue(o)["blocks"]:
        check(b["level"] > 1 and start <= b["minTime"] < b["maxTime"] <= end + 1, f"{b}")

    copy = f"{t.dir}/tsdb"
    for b in live(o):
        shutil.copytree(f"{bucket(o)}/{b}", f"{copy}/{b}")
    for command in (["list", copy], ["analyze", copy, live(o)[0]]):
        r = subprocess.run(["promtool", "tsdb"] + command, capture_output=True, text=True)
        check(r.returncode == 0, f"promtool tsdb {command}: {r.stdout} {r.stderr}")
    p = Prometheus(t, "global: {}\n", data=copy, args=["--storage.tsdb.retention.time=10y"]).wait_ready()
    theirs = samples_of(p.addr, '{__name__=~"m|late"}', start - 1000, end, tenant=None)
    check(theirs == samples and len(samples) == 10, "Prometheus reads other samples from the blocks")

    again(o, EAGER + ["--compactor.deletion-delay=0s"])
    wait_for("replaced files to go", lambda: directories(o) == live(o), 60)
    check(answers(o, start, end) == before, "deletion changed answers")
    wait_for("retired blocks to leave the catalogue", lambda: not catalogue(o)["retired"], 30)


def test_retention(t):
    o = Single(t, args=EAGER + ["--compactor.deletion-delay=1s"]).wait_ready()
    start, end = day(4), day(2)
    fill(o, start, 24)
    kept = samples_of(o.addr, "m", day(3) - 1000, end)
    wait_for("two blocks", lambda: len(live(o)) == 2, 60)
    o.stop()
    age = (now_ms() - day(3)) // 1000 + 1
    o.args.append(f"--limits.compactor-blocks-retention-period={age - 3600}s")
    o.start()
    o.wait_ready()
    wait_for("the older day to go", lambda: len(live(o)) == 1 and directories(o) == live(o), 60)
    check(samples_of(o.addr, "m", start - 1000, end) == kept, "the younger day is not as it was")
    check(metric(o, "blocks_expired_total") == 1, "metric")


def test_retention_of_selectors(t):
    """The rule of the highest priority counts, then the shortest; blocks lose series whole; the tenant's period is that of the
    others. A dry run changes nothing. What nobody keeps any longer goes as a block."""
    def days(n):
        return f"{(now_ms() - day(n)) // 1000 - 60}s"  # what ended with that day is just over
    overrides = f"{t.dir}/overrides.yaml"

    def write(rules):
        with open(overrides + ".new", "w", encoding="utf-8") as f:
            json.dump({"overrides": {TENANT: {"compactor_blocks_retention_period": "20d", "retention_stream": rules}}}, f)
        os.rename(overrides + ".new", overrides)
    write([])
    limits = [f"--limits.overrides-file={overrides}", "--limits.overrides-period=200ms"]
    o = Single(t, args=IDLE + limits).wait_ready()
    start, end = day(4), day(2)
    for w in range(24):
        at = start + w * 2 * HOUR
        push_ok(o.addr, [({"__name__": "m", "env": env, "job": job}, [(at + i * 300_000, float(i)) for i in range(24)],
                          True, [({"trace": env}, at, 1.0)])
                         for env in ("dev", "prod") for job in ("a", "b")])
    flush(o)
    again(o, EAGER + ["--compactor.deletion-delay=1s"])
    wait_for("two days, two blocks", lambda: len(live(o)) == 2, 60)
    again(o, IDLE)
    first = live(o)
    write([{"selector": '{env="dev"}', "period": "1d"}, {"selector": '{env="dev",job="b"}', "period": "30d", "priority": 1},
           {"selector": '{env="dev"}', "period": "300d"}])
    wait_for("a plan", lambda: [j["kind"] for j in row(o).get("next", [])] == ["rewrite"] * 2, 30)
    time.sleep(0.5)
    check(live(o) == first, "a dry run changed something")
    with open(o.log) as f:
        said = [line for line in f if 'msg="would compact"' in line and "reason=rewrite" in line]
    check(len(said) == 2, f"once for each job: {said}")
    again(o, EAGER + ["--compactor.deletion-delay=1s"])

    def series(since, until):
        got = samples_of(o.addr, "m", since, until - 1)
        return sorted((dict(k)["env"], dict(k)["job"]) for k in got)
    rest = [("dev", "b"), ("prod", "a"), ("prod", "b")]
    wait_for("both to be rewritten", lambda: not set(first) & set(live(o)) and directories(o) == live(o), 30)
    check(series(start, end) == rest and len(live(o)) == 2, f"{series(start, end)}")
    for b in live(o):
        text = open(f"{bucket(o)}/{b}/index", "rb").read()
        check(b"dev" in text and os.path.exists(f"{bucket(o)}/{b}/exemplars"), "a block")
    check(metric(o, "compaction_expired_series_total") == 2 and metric(o, "blocks_rewritten_total") == 2, "metrics")
    time.sleep(1)
    check(metric(o, "blocks_rewritten_total") == 2 and row(o)["jobs"] == 0, "it goes on and on")
    for command in (["list", bucket(o)], ["analyze", bucket(o), live(o)[0]]):
        r = subprocess.run(["promtool", "tsdb"] + command, capture_output=True, text=True)
        check(r.returncode == 0, f"promtool tsdb {command}: {r.stdout} {r.stderr}")
    # the older day only: a rule of its age; then all that is kept of it is over
    write([{"selector": '{env="prod"}', "period": days(3)}, {"selector": '{env="dev"}', "period": "100d"}])
    wait_for("the older day to lose it", lambda: series(start, day(3)) == rest[:1], 30)
    check(series(day(3), end) == rest, "the younger day")
    write([{"selector": '{env="prod"}', "period": "60d"}, {"selector": '{env="dev"}', "period": days(3)}])
    wait_for("nothing to be left of it", lambda: series(start, day(3)) == [], 30)
    check(series(day(3), end) == rest and len(live(o)) == 2, "the younger day")
    with open(overrides + ".new", "w", encoding="utf-8") as f:
        json.dump({"overrides": {TENANT: {"compactor_blocks_retention_period": days(3),
                                          "retention_stream": [{"selector": '{env="dev"}', "period": "1h"}]}}}, f)
    os.rename(overrides + ".new", overrides)
    wait_for("the older day to expire", lambda: len(live(o)) == 1, 30)
    wait_for("the younger to lose it", lambda: series(start, end) == rest[1:], 30)


def are_split(o, start, n):
    """n blocks for each of the two days, one of each shard, and nothing else."""
    places = sorted((b["minTime"] // DAY, b.get("shard", 0), b.get("shards", 0)) for b in catalogue(o)["blocks"])
    return places == [(start // DAY + d, s, n) for d in range(2) for s in range(n)] and directories(o) == live(o)


def split_two_days(t, limit, n):
    """20 series of two days become n blocks a day; answers stay the same byte by byte."""
    o = Single(t, args=IDLE + [limit]).wait_ready()
    start, end = day(3), day(1)
    fill(o, start, 24, series=20)
    before = answers(o, start, end)
    wait_for("a plan", lambda: {(j["kind"], j["shards"]) for j in row(o).get("next", [])} == {("range", n)}, 30)
    again(o, EAGER + ["--compactor.deletion-delay=1s"])
    wait_for(f"{n} blocks a day", lambda: are_split(o, start, n), 60)
    check(answers(o, start, end) == before, "splitting changed answers")
    check(sum(b["series"] for b in catalogue(o)["blocks"]) == 40, "a series in two shards")
    return o, start, end


def merge_a_late_block(o, start, end, n):
    again(o, IDLE)
    fill(o, start + 6 * HOUR, 1, name="late", shift=HOUR, series=20)
    before = answers(o, start, end)
    again(o, EAGER + ["--compactor.deletion-delay=1s"])
    wait_for("the late block to be merged", lambda: are_split(o, start, n), 60)
    check(answers(o, start, end) == before, "the late block changed answers")


def test_tenants_too_large_for_one_block_are_split_by_themselves(t):
    """20 series where a block may have 8: four blocks a day, and a late one makes no other number of them."""
    o, start, end = split_two_days(t, "--limits.compactor-max-block-series=8", 4)
    merge_a_late_block(o, start, end, 4)


def test_large_tenants_are_split(t):
    """Into three blocks a day, each with the series of its shard; a late block is split and merged to them; the limit taken off
    again leaves them as they are. Answers stay the same byte by byte, and Debian's Prometheus reads the blocks."""
    o, start, end = split_two_days(t, "--limits.compactor-split-and-merge-shards=3", 3)
    segments = [sorted(b["segments"]) for b in catalogue(o)["blocks"]]
    check(segments[0] == segments[1] == segments[2] and len(segments[0]) == 12, "each names all segments")
    for b in live(o):
        with open(f"{bucket(o)}/{b}/meta.json", encoding="utf-8") as f:
            label = json.load(f)["thanos"]["labels"]["__compactor_shard_id__"]
        check(re.fullmatch("[123]_of_3", label), label)

    merge_a_late_block(o, start, end, 3)
    check(metric(o, "compactions_split_total") >= 1 and sum(b["series"] for b in catalogue(o)["blocks"]) == 60, "metrics")
    samples = samples_of(o.addr, '{__name__=~"m|late"}', start - 1000, end)
    copy = f"{t.dir}/tsdb"
    for b in live(o):
        shutil.copytree(f"{bucket(o)}/{b}", f"{copy}/{b}")
        r = subprocess.run(["promtool", "tsdb", "analyze", copy, b], capture_output=True, text=True)
        check(r.returncode == 0, f"promtool: {r.stdout} {r.stderr}")
    p = Prometheus(t, "global: {}\n", data=copy, args=["--storage.tsdb.retention.time=10y"]).wait_ready()
    theirs = samples_of(p.addr, '{__name__=~"m|late"}', start - 1000, end, tenant=None)
    check(theirs == samples and len(samples) == 40, "Prometheus reads other samples from the blocks")
    o.args = [a for a in o.args if not a.startswith("--limits.")]
    again(o, EAGER)
    done = live(o)
    time.sleep(1)
    check(live(o) == done and row(o)["jobs"] == 0, "without the limit something goes on")


def test_kill_at_any_moment(t):
    rng = random.Random(7)
    o = Single(t, args=["--compactor.sweep-interval=100ms", "--compactor.compaction-interval=100ms",
                        "--compactor.deletion-delay=500ms", "--compactor.orphan-age=2s"]).wait_ready()
    start = day(3)
    for i in range(12):
        for batch in windows(start + i * 2 * HOUR, 1):
            push_ok(o.addr, batch)
        push_ok(o.addr, [({"__name__": "late", "i": str(i)}, [(start + i * HOUR, float(i))])])
        r = http_call(o.addr, "POST", f"/ingester/flush?tenant={TENANT}", timeout=60)
        check(r.status // 100 == 2, r.text)
        time.sleep(rng.random() * 0.6)
        o.kill()
        o.start()
        o.wait_ready()
    flush(o)
    wait_for("one block and nothing else", lambda: len(live(o)) == 1 and directories(o) == live(o), 60)
    got = samples_of(o.addr, "m", start - 1000, start + DAY)
    check(sorted(len(v) for v in got.values()) == [24 * 12] * 5, f"{[len(v) for v in got.values()]}")
    check(len(samples_of(o.addr, "late", start - 1000, start + DAY)) == 12, "late samples")


def test_a_corrupt_block_is_left_out_and_the_rest_goes_on(t):
    o = Single(t, args=IDLE).wait_ready()
    start = day(3)
    fill(o, start, 24)
    bad = [b["ulid"] for b in catalogue(o)["blocks"] if b["minTime"] < start + 2 * HOUR][0]
    o.stop()
    path = f"{bucket(o)}/{bad}/chunks/000001"
    with open(path, "r+b") as f:
        f.seek(os.path.getsize(path) // 2)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 0x40]))
    o.blocks.save(path)
    o.args = [a for a in o.args if not a.startswith("--compactor.")] + EAGER
    o.start()
    o.wait_ready()
    wait_for("the others to become two", lambda: len(live(o)) == 3, 60)
    wait_for("the page", lambda: [q["block"] for q in row(o)["quarantined"]] == [bad], 30)
    check(bad in live(o), "the corrupt block is gone")
    check(metric(o, "quarantined_blocks") == 1 and metric(o, "bad_blocks_total") >= 1, "metrics")


def test_two_compactors_of_which_one_sleeps(t):
    """Stopped in the middle of whatever it did, one wakes after the other has gone on, and publishes nothing twice."""
    config = f"{t.dir}/orrery.yaml"
    with open(config, "w", encoding="utf-8") as f:
        f.write("compactor: {compaction-interval: 200ms, sweep-interval: 300ms, deletion-delay: 1s, orphan-age: 3s,"
                " poll-interval: 1s, early-wait: 500ms}\n")
    c = Cluster(t, args=["--queriers", "1", "--compactors", "2", "--rulers", "0", "--alertmanagers", "0",
                         "--config", config])
    rng = random.Random(3)
    ingesters, names, start = c.addrs("ingester"), c.names("compactor"), day(3)

    def blocks():
        if not os.path.exists(f"{bucket(c)}/catalogue"):
            return []
        return catalogue(c)["blocks"]

    for i, batch in enumerate(windows(start, 12)):
        push_ok(ingesters[0], batch)
        for a in ingesters:  # the answers come when the blocks are there: not before a compactor wakes
            threading.Thread(target=http_call, args=(a, "POST", f"/ingester/flush?tenant={TENANT}"),
                             kwargs={"timeout": 120}, daemon=True).start()
        time.sleep(rng.random() * 1.5)
        c.run("pause", names[i % 2])
        time.sleep(rng.random() * 2)
        c.run("resume", names[i % 2])

    def is_done():
        b = blocks()
        there = sorted(os.path.basename(d) for d in glob.glob(f"{bucket(c)}/01*"))
        return len(b) == 1 and there == [b[0]["ulid"]] and b[0]["samples"] == 24 * 12 * 5
    wait_for("one block and nothing else", is_done, 90)
    got = samples_of(c.addrs("querier")[0], "m", start - 1000, start + DAY)
    check(sorted(len(v) for v in got.values()) == [24 * 12] * 5, f"{[len(v) for v in got.values()]}")


if __name__ == "__main__":
    main()
