#!/usr/bin/env python3
"""Deleting series: gone at once from head, segments and blocks, for that tenant and time range alone; by
every querier of a cluster; over restarts; physically at the flush."""
import glob
import json
import os
import shutil
import subprocess
import time
import urllib.parse

from orrery_test import (TENANT, Cluster, Single, api, check, http_call, main, push_ok, query, samples_of,
                         wait_for)
from orreryctl_test import blocks_of_prometheus, catalogue, change_meta, ctl, single, start_ms

ADMIN = "--querier.enable-admin-api=true"


def now_ms():
    return int(time.time() * 1000)


def ramp(name, start, count, step=15000, **labels):
    return ({"__name__": name, **labels}, [(start + i * step, float(i)) for i in range(count)])


def delete(addr, matches, start=None, end=None, tenant="test", method="POST"):
    params = [("match[]", m) for m in matches]
    params += [(k, f"{v / 1000:.3f}") for k, v in (("start", start), ("end", end)) if v is not None]
    path = "/api/v1/admin/tsdb/delete_series?" + urllib.parse.urlencode(params)
    deadline = time.monotonic() + 20
    while True:
        r = http_call(addr, method, path, headers={"X-Scope-OrgID": tenant})
        # where a compactor writes by a lease, as on Swift, it has none yet in the first seconds
        if r.status != 503 or "lease" not in r.text or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    check(r.status == 204 and not r.body, f"delete: {r.status} {r.text}")


def count(addr, selector, start, tenant="test"):
    got = samples_of(addr, selector, start - 5000, now_ms(), tenant)
    return sorted(len(v) for v in got.values())


def flush(o, tenant="test"):
    before = len(api(o.addr, "/api/v1/status/tsdb/blocks", tenant=tenant).json["data"]["blocks"])
    r = http_call(o.addr, "POST", f"/ingester/flush?tenant={tenant}", timeout=120)
    check(r.status // 100 == 2, r.text)
    wait_for("a block", lambda: len(api(o.addr, "/api/v1/status/tsdb/blocks", tenant=tenant)
                                    .json["data"]["blocks"]) > before, 60)


def deletions(o):
    """Matchers of what is on the list, and how long ago each was made, in minutes."""
    return [[d["matchers"], (now_ms() - d["created"]) // 60_000]
            for d in api(o.addr, "/api/v1/admin/tsdb/tombstones").json["data"]]


def test_gone_from_head_and_blocks(t):
    o = Single(t, args=[ADMIN]).wait_ready()
    start = now_ms() - 3_600_000
    old, new = start, start + 1_800_000
    push_ok(o.addr, [ramp("m", old, 40, job=j) for j in "abc"])
    flush(o)
    push_ok(o.addr, [ramp("m", new, 40, job=j) for j in "abc"])
    for tenant in ("other",):
        push_ok(o.addr, [ramp("m", new, 40, job="a")], tenant=tenant)
    check(count(o.addr, "m", start) == [80, 80, 80], "before")
    delete(o.addr, ['m{job="a"}'])
    delete(o.addr, ['m{job="b"}'], old + 20 * 15000, new + 9 * 15000, method="PUT")
    check(count(o.addr, "m", start) == [50, 80], f"{count(o.addr, 'm', start)}")
    check(count(o.addr, "m", start, "other") == [40], "another tenant's")
    for path, want in (("/api/v1/label/job/values", ["b", "c"]), ("/api/v1/labels", ["__name__", "job"])):
        check(api(o.addr, path).json["data"] == want, api(o.addr, path).text)
    r = api(o.addr, "/api/v1/series", {"match[]": "m"})
    check([s["job"] for s in r.json["data"]] == ["b", "c"], r.text)
    r = api(o.addr, "/api/v1/label/job/values", {"match[]": 'm{job=~"a|b"}',
                                                 "start": (old + 21 * 15000) / 1000,
                                                 "end": (new + 8 * 15000) / 1000})
    check(r.json["data"] == [], f"values of what is deleted: {r.text}")
    # what is written later stays, also to a series that was deleted
    push_ok(o.addr, [({"__name__": "m", "job": "a"}, [(now_ms(), 7.0)])])
    check(count(o.addr, 'm{job="a"}', start) == [1], "new samples")
    for signal in ("kill", "stop"):
        getattr(o, signal)()
        o.start()
        o.wait_ready()
        check(count(o.addr, "m", start) == [1, 50, 80], f"after {signal}: {count(o.addr, 'm', start)}")


def test_flush_leaves_it_out_and_cleaning_forgets_it(t):
    o = Single(t, args=[ADMIN]).wait_ready()
    start = now_ms() - 1_200_000
    push_ok(o.addr, [ramp("m", start, 40, job=j) for j in "ab"])
    delete(o.addr, ['m{job="a"}'])

    def tombs():
        return os.path.getsize(f"{o.blocks.path()}/metrics/test/tombstones")
    check(tombs() > 40, "a tombstone")

    def clean():
        r = api(o.addr, "/api/v1/admin/tsdb/clean_tombstones", method="POST")
        check(r.status == 204, r.text)
    size = tombs()
    check(deletions(o) == [['{job="a", __name__="m"}', 0]], f"{deletions(o)}")
    push_ok(o.addr, [({"__name__": "m", "job": "a"}, [(start + 15_000 * 50, 1.0)])])
    check(count(o.addr, 'm{job="a"}', start) == [], "written later, and hidden")
    clean()
    check(tombs() == size, "it was forgotten while its samples are in the head")
    flush(o)
    wait_for("the segment to be dropped", lambda: not glob.glob(o.dir + "/data/segments/test/*"), 60)
    copy = os.path.join(t.dir, "tsdb")
    os.makedirs(copy + "/wal")
    for block in glob.glob(o.blocks.path() + "/metrics/test/01*"):
        shutil.copytree(block, os.path.join(copy, os.path.basename(block)))
    r = subprocess.run(["promtool", "tsdb", "dump", copy], capture_output=True, text=True)
    check("job=\"a\"" not in r.stdout and "job=\"b\"" in r.stdout, r.stdout[:300] + r.stderr[:300])
    clean()
    wait_for("the tombstone to go", lambda: tombs() < size)
    check(deletions(o) == [], f"{deletions(o)}")
    check(count(o.addr, "m", start) == [40], "after cleaning")
    # in the deleted range: what stands in the place of deleted samples is written when the list is empty
    push_ok(o.addr, [ramp("m", start + 1_000_000, 3, job="a")])
    check(count(o.addr, 'm{job="a"}', start) == [3], "a series of that name may begin again")


def test_a_block_of_deleted_series_alone_can_be_opened(t):
    """By Prometheus' tools, too, though it has no sample."""
    o = Single(t, args=[ADMIN]).wait_ready()
    start = (now_ms() // 7_200_000 - 3) * 7_200_000
    push_ok(o.addr, [ramp("m", start, 40, job="b"), ramp("m", start + 7_200_000, 40, job="a")])
    delete(o.addr, ['m{job="a"}'])
    flush(o)
    wait_for("the segments to be dropped", lambda: not glob.glob(o.dir + "/data/segments/test/*"), 60)
    copy = os.path.join(t.dir, "tsdb")
    os.makedirs(copy + "/wal")
    blocks = glob.glob(o.blocks.path() + "/metrics/test/01*")
    check(len(blocks) == 2, f"{blocks}")
    for block in blocks:
        shutil.copytree(block, os.path.join(copy, os.path.basename(block)))
    r = subprocess.run(["promtool", "tsdb", "dump", copy], capture_output=True, text=True)
    check(r.returncode == 0 and r.stdout.count("job=\"b\"") == 40 and "job=\"a\"" not in r.stdout, r.stdout[:300] + r.stderr[:300])
    check(count(o.addr, "m", start) == [40], "and here")


def compaction(o):
    rows = [r for r in http_call(o.addr, "GET", "/compactor/status").json["compaction"]["tenants"]
            if r["tenant"] == "test"]
    return rows[0] if rows else {"deletions": [], "jobs": 0, "next": []}


def test_blocks_are_rewritten_by_themselves(t):
    """In which nothing is due to be merged: the bytes go from the bucket, then the tombstone from the list."""
    eager = ["--compactor.sweep-interval=300ms", "--compactor.compaction-interval=300ms",
             "--compactor.deletion-delay=1s"]
    o = Single(t, args=[ADMIN, "--compactor.dry-run=true", "--compactor.delete-rewrite-after=0s", *eager[:2]]).wait_ready()
    start = (now_ms() // 86_400_000 - 3) * 86_400_000
    hour = 3_600_000
    for day in range(2):
        at = start + day * 24 * hour
        push_ok(o.addr, [ramp("m", at, 40, job=f"name-{j}") for j in "ab"] + [ramp("gap", at, 2, step=hour)])
        flush(o)

    def root():
        return o.blocks.path() + "/metrics/test"

    def tombs():
        return os.path.getsize(root() + "/tombstones")

    def blocks(at=None):
        with open((at or root()) + "/catalogue", encoding="utf-8") as f:
            return {b["ulid"]: b for b in json.load(f)["blocks"]}

    def holding(text):
        at = root()
        return [b for b in blocks(at) if text in open(f"{at}/{b}/index", "rb").read()]
    old = blocks()
    check(len(old) == 2 and len(holding(b"name-a")) == 2, f"{old}")
    delete(o.addr, ['m{job="name-a"}'], start, start + 12 * hour)
    delete(o.addr, ["gap"], start + hour // 3, start + hour // 2)  # between two samples of one chunk: nothing
    first = min(old.values(), key=lambda b: b["minTime"])["ulid"]
    wait_for("a plan", lambda: [j["kind"] for j in compaction(o)["next"]] == ["rewrite"], 30)
    check(compaction(o)["next"][0]["inputs"] == [first] and blocks() == old, "a dry run did something")
    time.sleep(1)
    size = tombs()
    o.stop()
    o.args = [a for a in o.args if not a.startswith("--compactor.")] + eager + ["--compactor.delete-rewrite-after=1s"]
    o.start()
    o.wait_ready()
    wait_for("the bytes to go", lambda: len(holding(b"name-a")) == 1 and first not in blocks() and
             not os.path.exists(f"{root()}/{first}"), 30)
    new = blocks()
    check(len(new) == 2 and len(set(new) & set(old)) == 1, f"{new}")
    made = (set(new) - set(old)).pop()
    check(new[made]["level"] == old[first]["level"] and new[made]["segments"] == old[first]["segments"], "what it names")
    copy = os.path.join(t.dir, "tsdb")
    at = root()
    for b in new:
        shutil.copytree(f"{at}/{b}", f"{copy}/{b}")
    for command in (["list", copy], ["analyze", copy, made]):
        r = subprocess.run(["promtool", "tsdb"] + command, capture_output=True, text=True)
        check(r.returncode == 0, f"promtool tsdb {command}: {r.stdout} {r.stderr}")
    wait_for("the tombstones to go", lambda: tombs() < size - 50 and
             sum(d["forgotten"] > 0 for d in compaction(o)["deletions"]) == 2, 30)
    shown = [d for d in compaction(o)["deletions"] if d["rewritten"]]
    check([d["blocks"] for d in shown] == [[{"from": first, "to": made}]], f"{compaction(o)['deletions']}")
    check(count(o.addr, "m", start) == [40, 80], f"{count(o.addr, 'm', start)}")
    check(blocks() == new and compaction(o)["jobs"] == 0, "it is not done")

    delete(o.addr, ['{__name__=~"m|gap"}'], start + 12 * hour)  # all of the second block
    wait_for("nothing to be left", lambda: not holding(b"name-b")[1:], 30)
    wait_for("a block of nothing", lambda: sorted(b["series"] for b in blocks().values())[0] == 0, 30)
    check(count(o.addr, '{__name__=~"m|gap"}', start) == [2, 40], "the rest")
    wait_for("both to be counted", lambda: "orrery_compactor_blocks_rewritten_total 2"
             in http_call(o.addr, "GET", "/metrics").text, 30)


# ---- blocks of others: bytes that nobody else will take away ------------------------------------

NOW = ["--compactor.sweep-interval=300ms", "--compactor.compaction-interval=300ms", "--compactor.deletion-delay=1s"]


def retention(t, selector):
    """An overrides file: what the selector names is kept for a day, which is over for all that is there."""
    path = f"{t.dir}/overrides.yml"
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"overrides": {TENANT: {"retention_stream": [{"selector": selector, "period": "1d"}]}}}, f)
    return f"--limits.overrides-file={path}"


def adopt_thanos(t):
    """A bucket with one block of Prometheus, with an external label."""
    bucket = f"{t.dir}/bucket"
    source, names = blocks_of_prometheus(t, hours=1)
    for name in names:
        shutil.copytree(f"{source}/{name}", f"{bucket}/thanos/{name}")
        change_meta(f"{bucket}/thanos/{name}",
                    thanos={"version": 1, "labels": {"cluster": "eu"}, "downsample": {"resolution": 0}, "source": "sidecar"})
    ctl(bucket, "bucket", "adopt", "--layout=thanos", "--prefix=thanos/", f"--tenant={TENANT}")
    return bucket


def samples(o, selector):
    return sum(len(v) for v in samples_of(o.addr, selector, start_ms() - 1000, start_ms() + 86_400_000).values())


def series_in(bucket):
    return [b["series"] for b in catalogue(bucket)["blocks"]]


def test_series_go_by_external_labels(t):
    bucket = adopt_thanos(t)
    o = single(t, bucket, ADMIN, *NOW, "--compactor.delete-rewrite-after=1s")
    check(samples(o, "temp") == 180 and series_in(bucket) == [6], f"{samples(o, 'temp')} {series_in(bucket)}")
    delete(o.addr, ['temp{cluster="us"}', 'temp{cluster="eu"}'])
    check(samples(o, "temp") == 0, "it is seen")
    wait_for("the tombstones to go", lambda: deletions(o) == [], 60)
    check(series_in(bucket) == [3], f"forgotten, and not deleted: {series_in(bucket)}")
    check(samples(o, "temp") == 0 and samples(o, "reqs_total") == 180, "deleted samples came back")


def test_retention_goes_by_external_labels(t):
    bucket = adopt_thanos(t)
    o = single(t, bucket, *NOW, retention(t, '{__name__="temp", cluster="eu"}'))
    wait_for("the series to go", lambda: series_in(bucket) == [3], 60)
    check(samples(o, "temp") == 0 and samples(o, "reqs_total") == 180, "the wrong ones")


def test_blocks_that_are_not_compacted_lose_series_all_the_same(t):
    bucket = f"{t.dir}/bucket"
    source, names = blocks_of_prometheus(t, hours=4)
    shutil.copytree(source, f"{bucket}/blocks/{TENANT}")
    os.makedirs(f"{bucket}/blocks/{TENANT}/markers")
    for name in names:
        with open(f"{bucket}/blocks/{TENANT}/markers/{name}-no-compact-mark.json", "w", encoding="utf-8") as f:
            f.write("{}")
    ctl(bucket, "bucket", "adopt", "--layout=mimir", "--prefix=blocks")
    o = single(t, bucket, ADMIN, *NOW, "--compactor.delete-rewrite-after=0s",
               retention(t, '{__name__="reqs_total", instance="a"}'))
    delete(o.addr, ["temp"])
    wait_for("the tombstone to go", lambda: deletions(o) == [], 60)
    wait_for("nothing to be left to do", lambda: compaction(o)["jobs"] == 0 and compaction(o)["to_rewrite"] == 0, 60)
    wait_for("the files to go", lambda: not any(os.path.exists(f"{bucket}/blocks/{TENANT}/{n}/index") for n in names), 60)
    blocks = catalogue(bucket)["blocks"]
    check([b["series"] for b in blocks] == [2] * len(names), f"{blocks}")
    check([b.get("pinned") for b in blocks] == [1] * len(names), f"they were merged, or may be now: {blocks}")
    check(samples(o, "temp") == 0 and samples(o, 'reqs_total{instance="a"}') == 0 and samples(o, "reqs_total") == 480,
          "what is left")


def test_it_is_refused(t):
    o = Single(t, args=[ADMIN, "--querier.tenant-federation=true"]).wait_ready()
    path = "/api/v1/admin/tsdb/delete_series"
    for params, code, text in (({}, 400, "no match[]"), ({"match[]": "{"}, 400, "match[]"),
                               ({"match[]": '{a=~".*"}'}, 400, "non-empty"),
                               ({"match[]": "m", "start": "x"}, 400, "start"),
                               ({"match[]": "m", "start": "2", "end": "1"}, 400, "end")):
        r = api(o.addr, path, params, method="POST")
        check(r.status == code and text in r.text, f"{params}: {r.status} {r.text}")
    check(api(o.addr, path, {"match[]": "m"}).status == 405, "GET")
    check(api(o.addr, path, {"match[]": "m"}, "a|b", "POST").status == 400, "of two tenants")
    check(api(o.addr, path, {"match[]": "m"}, None, "POST").status == 401, "of nobody")


def test_every_querier_of_a_cluster_knows_at_once(t):
    config = os.path.join(t.dir, "more.yml")
    with open(config, "w") as f:
        f.write("querier: {enable-admin-api: true, tombstone-max-age: 1h}\n")
    c = Cluster(t, args=["--config", config])
    door = c.addrs("ingester")[0]
    queriers = c.addrs("querier")
    check(len(queriers) >= 2, "two queriers")
    start = now_ms() - 1_200_000
    push_ok(door, [ramp("m", start, 40, job=j) for j in "ab"], tenant="test")
    for q in queriers:
        wait_for("both series", lambda: count(q, "m", start) == [40, 40], 30)
    delete(queriers[0], ['m{job="a"}'])
    for q in queriers: # no waiting: the answer to the deletion came after the news
        check(count(q, "m", start) == [40], f"{q} does not know")
    # cardinality counts a series once, however many replicas; the third of them may come later than the answer to a write
    wait_for("two series", lambda: api(queriers[1], "/api/v1/cardinality/label_values", {"label_names[]": "job"})
             .json["series_count_total"] == 2)
    wait_for("two series in heads", lambda: api(queriers[1], "/api/v1/status/tsdb")
             .json["data"]["headStats"]["numSeries"] == 2)
    check(query(queriers[1], "count(m)", start + 60_000)["result"][0]["value"][1] == "1", "count")


if __name__ == "__main__":
    main()
