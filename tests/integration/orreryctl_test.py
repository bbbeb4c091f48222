#!/usr/bin/env python3
"""orreryctl: buckets of Mimir and Thanos, made of blocks of Debian's Prometheus, adopted in place and queried; backfill; every file
of a block damaged; lost catalogues; copies, deletion, export."""
import glob
import hashlib
import json
import os
import pty
import re
import shutil
import subprocess
import time

import logs_api_test
import logs_test
from orrery_test import (BIN, TENANT, Prometheus, Single, Skip, api, check, http_call, in_a_directory, main, push_ok, query,
                         query_range, samples_of, wait_for)
from s3_server import radosgw, swift

HOUR = 3_600_000
ON_S3 = "blocks of others are put into it by copying files; orreryctl's commands on S3 are orreryctl_test.py's test_on_…"
IDLE = ["--compactor.dry-run=true"]
EAGER = ["--compactor.sweep-interval=300ms", "--compactor.compaction-interval=300ms", "--compactor.deletion-delay=0s"]


def start_ms():
    """Start of a range of twelve hours, three days ago."""
    return (int(time.time() * 1000) // (24 * HOUR) - 3) * 24 * HOUR


def om_text(start, hours=8, step_s=60, instances=("a", "b", "c")):
    lines = ["# TYPE reqs counter", "# TYPE temp gauge"]
    for name in ("reqs_total", "temp"):
        for k, instance in enumerate(instances):
            for i in range(hours * 3600 // step_s):
                value = i * (k + 1) if name == "reqs_total" else (i * 7 + k) % 13 - 6.5
                lines.append(f'{name}{{instance="{instance}",job="web"}} {value} {start // 1000 + i * step_s}')
    return "\n".join(lines) + "\n# EOF\n"


def promtool(*args):
    r = subprocess.run(["promtool", *args], capture_output=True, text=True, timeout=120)
    check(r.returncode == 0, lambda: f"promtool {' '.join(args)}: {r.stdout} {r.stderr}")
    return r.stdout


def blocks_of_prometheus(t, name="source", **kw):
    """A directory of 2-hour blocks, in the order of their times."""
    if not shutil.which("promtool"):
        raise Skip("promtool is not installed")
    text, out = f"{t.dir}/{name}.om", f"{t.dir}/{name}"
    with open(text, "w", encoding="utf-8") as f:
        f.write(om_text(start_ms(), **kw))
    promtool("tsdb", "create-blocks-from", "openmetrics", text, out)
    return out, sorted(os.listdir(out), key=lambda b: meta_of(f"{out}/{b}")["minTime"])


def meta_of(block):
    with open(f"{block}/meta.json", encoding="utf-8") as f:
        return json.load(f)


def change_meta(block, **changes):
    meta = meta_of(block)
    meta.update(changes)
    with open(f"{block}/meta.json", "w", encoding="utf-8") as f:
        json.dump(meta, f)


def ctl(bucket, *args, status=0):
    """bucket: a directory, or a Server."""
    if isinstance(bucket, str):
        in_a_directory(ON_S3)
    where = [f"--storage.path={bucket}"] if isinstance(bucket, str) else bucket.options()
    env = None if isinstance(bucket, str) else {**os.environ, **bucket.keys}
    r = subprocess.run([f"{BIN}/orreryctl", *args, *where], capture_output=True, text=True, timeout=300, env=env)
    check(r.returncode == status, lambda: f"orreryctl {' '.join(args)}: {r.returncode}, not {status}: "
          f"{r.stdout[-2000:]}{r.stderr[-2000:]}")
    return r.stdout + r.stderr


def contents(directory):
    """{path: hash} of all files."""
    out = {}
    for path in glob.glob(f"{directory}/**", recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                out[os.path.relpath(path, directory)] = hashlib.sha256(f.read()).hexdigest()
    return out


def catalogue(bucket, tenant=TENANT):
    with open(f"{bucket}/metrics/{tenant}/catalogue", encoding="utf-8") as f:
        return json.load(f)


def live(bucket, tenant=TENANT):
    return [b["ulid"] for b in catalogue(bucket, tenant)["blocks"]]


def listed(bucket, tenant=TENANT):
    return json.loads(ctl(bucket, "bucket", "ls", tenant, "--json"))


def answers(addr, tenant=TENANT, hours=8):
    """What dashboards ask, over all of the data; at no time of a sample: Debian's Prometheus counts one at the very start
    of a window, Prometheus 3 does not."""
    start, end = start_ms() + 1000, start_ms() + hours * HOUR
    out = [query_range(addr, q, start, end, 120, tenant)["result"]
           for q in ("sum by (instance) (rate(reqs_total[5m]))", "temp", "max_over_time(temp{instance!~'b'}[1h])",
                     "count(reqs_total)")]
    for series in out:
        series.sort(key=lambda s: sorted(s["metric"].items()))
    return out


def single(t, bucket, *args, name="orrery"):
    in_a_directory(ON_S3)
    return Single(t, name, args=[f"--storage.path={bucket}", *(args or IDLE)]).wait_ready()


def prometheus(t, blocks, names, name="prometheus"):
    data = f"{t.dir}/{name}-data"
    for b in names:
        shutil.copytree(f"{blocks}/{b}", f"{data}/{b}")
    return Prometheus(t, "global: {}\n", name, data=data, args=["--storage.tsdb.retention.time=10y"]).wait_ready()


# ---- adoption -----------------------------------------------------------------------------------


def test_bucket_of_mimir_is_adopted_in_place(t):
    source, names = blocks_of_prometheus(t)
    bucket = f"{t.dir}/bucket"
    theirs = f"{bucket}/blocks/{TENANT}"
    shutil.copytree(source, theirs)
    os.makedirs(f"{theirs}/markers")
    for path in (f"markers/{names[0]}-deletion-mark.json", f"{names[1]}/deletion-mark.json",
                 f"markers/{names[2]}-no-compact-mark.json"):
        with open(f"{theirs}/{path}", "w", encoding="utf-8") as f:
            f.write("{}")
    shutil.copytree(f"{source}/{names[2]}", f"{bucket}/blocks/other/{names[2]}")
    os.makedirs(f"{bucket}/blocks/__mimir_cluster")
    before = contents(f"{bucket}/blocks")
    adopt = ("bucket", "adopt", "--layout=mimir", "--prefix=blocks")
    said = ctl(bucket, *adopt, "--dry-run")
    check("would be adopted" in said and not os.path.exists(f"{bucket}/metrics"), f"a dry run: {said}")
    said = ctl(bucket, *adopt)
    check(f"{len(names) - 1} blocks adopted, 0 were already, 2 marked for deletion, 0 refused" in said, said)
    said = ctl(bucket, *adopt)
    check(f"0 blocks adopted, {len(names) - 1} were already" in said, said)
    check(contents(f"{bucket}/blocks") == before, "adoption changed what it adopted")
    check(live(bucket) == names[2:] and live(bucket, "other") == [names[2]], f"live: {live(bucket)}")
    rows = listed(bucket)
    check([r["where"] for r in rows] == [f"blocks/{TENANT}/{n}" for n in names[2:]], f"{rows}")
    check(all(r["series"] == 6 and r["samples"] > 0 and r["bytes"] > 0 for r in rows), f"{rows}")
    check([r["pinned"] for r in rows] == ["yes"] + [None] * (len(rows) - 1), f"{rows}")
    check("0 things wrong" in ctl(bucket, "bucket", "verify"), "verify")
    o, p = single(t, bucket), prometheus(t, source, names[2:])
    check(answers(o.addr) == answers(p.addr, None), "Orrery answers otherwise than Prometheus")
    o.stop()
    o = single(t, bucket, *EAGER, name="compacting")
    wait_for("the others to become one block", lambda: len(live(bucket)) == 2, 120)
    check(names[2] in live(bucket), "a block that is not to be compacted was")
    check(answers(o.addr) == answers(p.addr, None), "after compaction")


def test_bucket_of_thanos_is_adopted_with_its_labels(t):
    source, names = blocks_of_prometheus(t)
    bucket = f"{t.dir}/bucket"
    for cluster in ("eu", "us"):
        for i, name in enumerate(names):
            ulid = name[:-2] + ("E" if cluster == "eu" else "V") + name[-1]
            shutil.copytree(f"{source}/{name}", f"{bucket}/thanos/{ulid}")
            change_meta(f"{bucket}/thanos/{ulid}", ulid=ulid, compaction={"level": 1, "sources": [ulid]},
                        thanos={"version": 1, "labels": {"cluster": cluster, "job": "sidecar"},
                                "downsample": {"resolution": 0}, "source": "sidecar"})
    marked = sorted(os.listdir(f"{bucket}/thanos"))[0]
    shutil.copytree(f"{bucket}/thanos/{marked}", f"{bucket}/thanos/{marked[:-2]}ZZ")
    change_meta(f"{bucket}/thanos/{marked[:-2]}ZZ", ulid=f"{marked[:-2]}ZZ")
    with open(f"{bucket}/thanos/{marked[:-2]}ZZ/deletion-mark.json", "w", encoding="utf-8") as f:
        f.write("{}")
    ctl(bucket, "bucket", "adopt", "--layout=thanos", "--prefix=thanos", status=2)
    said = ctl(bucket, "bucket", "adopt", "--layout=thanos", "--prefix=thanos/", f"--tenant={TENANT}")
    check(f"{2 * len(names)} blocks adopted, 0 were already, 1 marked" in said, said)
    said = ctl(bucket, "bucket", "adopt", "--layout=thanos", "--prefix=thanos", "--tenant=another", status=1)
    check(f"tenant {TENANT} has it" in said and "0 blocks adopted" in said, said)
    check({r["labels"] for r in listed(bucket)} == {'{cluster="eu", job="sidecar"}', '{cluster="us", job="sidecar"}'},
          f"{listed(bucket)}")
    check([b["segments"] for b in catalogue(bucket)["blocks"]] == [[u] for u in live(bucket)], "sources")
    o, p = single(t, bucket, *IDLE), prometheus(t, source, names)
    check_external(o.addr, p.addr)
    o.stop()
    # compaction writes the labels into the series, and takes the inputs off where they were adopted
    o = single(t, bucket, *EAGER, name="compacting")
    wait_for("the day to be one block", lambda: len(live(bucket)) == 1, 120)
    check_external(o.addr, p.addr)
    check("labels" not in catalogue(bucket)["blocks"][0], "the output has external labels, too")
    wait_for("the inputs to go", lambda: not catalogue(bucket)["retired"], 60)
    check(os.listdir(f"{bucket}/thanos") == [f"{marked[:-2]}ZZ"], f"left: {os.listdir(f'{bucket}/thanos')}")
    copy = f"{t.dir}/compacted"
    shutil.copytree(f"{bucket}/metrics/{TENANT}/{live(bucket)[0]}", f"{copy}/{live(bucket)[0]}")
    promtool("tsdb", "list", copy)
    promtool("tsdb", "analyze", copy)


def test_downsampled_blocks_of_thanos_stand_for_measured_ones(t):
    """Blocks as Thanos' compactor leaves them: the same sources, a resolution. (Orrery makes them: Debian has no Thanos.)"""
    source, _ = blocks_of_prometheus(t)
    ours, theirs = f"{t.dir}/ours", f"{t.dir}/theirs"
    overrides = f"{t.dir}/overrides.yaml"
    with open(overrides, "w", encoding="utf-8") as f:
        f.write(f"overrides: {{{TENANT}: {{downsampling: true}}}}\n")
    ctl(ours, "block", "upload", f"--tenant={TENANT}", source)
    o = single(t, ours, *EAGER, f"--limits.overrides-file={overrides}", name="downsampling")
    wait_for("a block as measured and one of 5m", lambda: [b.get("resolution", 0) for b in catalogue(ours)["blocks"]]
             in ([0, 300000], [300000, 0]), 120)
    o.stop()
    blocks = {b.get("resolution", 0): b["ulid"] for b in catalogue(ours)["blocks"]}
    for resolution, ulid in blocks.items():
        block = f"{theirs}/{ulid}"
        shutil.copytree(f"{ours}/metrics/{TENANT}/{ulid}", block)
        change_meta(block, orrery=None, compaction={"level": 2, "sources": [blocks[0]]},
                    thanos={"labels": {"cluster": "eu"}, "downsample": {"resolution": resolution}, "source": "compactor"})
    said = ctl(theirs, "bucket", "adopt", "--layout=thanos", f"--tenant={TENANT}")
    check("2 blocks adopted" in said, said)
    check("2 blocks verified, 0 things wrong" in ctl(theirs, "bucket", "verify"), "verify")
    chunks = f"{theirs}/{blocks[0]}/chunks/000001"
    for at in range(100, os.path.getsize(chunks), 100):  # so that who reads it is seen
        damage(chunks, at)
    o = single(t, theirs)
    start = start_ms() + 2 * HOUR
    asked = {"query": 'sum(max_over_time(temp{cluster="eu"}[1h]))', "start": start / 1000, "end": start / 1000 + 18000,
             "step": 3600}
    r = api(o.addr, "/api/v1/query_range", {**asked, "max_source_resolution": "0s"})
    check(r.status != 200, f"the block as measured is damaged, and nobody read it: {r.text}")
    r = api(o.addr, "/api/v1/query_range", {**asked, "max_source_resolution": "5m"})
    check(r.status == 200 and {v for _, v in r.json["data"]["result"][0]["values"]} == {"16.5"}, r.text)


def check_external(ours, theirs):
    """Each of Prometheus' series twice, with the external labels."""
    start, end = start_ms(), start_ms() + 8 * HOUR
    for expr in ("temp", "rate(reqs_total[5m])"):
        want = query_range(theirs, expr, start, end, 300, None)["result"]
        got = query_range(ours, expr, start, end, 300)["result"]
        expected = sorted(((sorted({**s["metric"], "job": "sidecar", "cluster": c}.items()), s["values"])
                           for s in want for c in ("eu", "us")), key=str)
        check(sorted(((sorted(s["metric"].items()), s["values"]) for s in got), key=str) == expected,
              f"{expr} with external labels")
    at = start + HOUR
    check(query(ours, 'count(temp{cluster="eu"})', at)["result"][0]["value"][1] == "3", "one cluster")
    check(not query(ours, 'temp{cluster="asia"}', at)["result"] and not query(ours, 'temp{job="web"}', at)["result"],
          "labels that no series has")
    times = {"start": start / 1000, "end": end / 1000}
    check(api(ours, "/api/v1/label/cluster/values", times).json["data"] == ["eu", "us"], "values of cluster")
    check(api(ours, "/api/v1/labels", times).json["data"] == ["__name__", "cluster", "instance", "job"], "names")


def test_what_cannot_be_read_is_not_adopted(t):
    source, names = blocks_of_prometheus(t, hours=6)
    bucket = f"{t.dir}/bucket"
    shutil.copytree(source, f"{bucket}/{TENANT}")
    damage(f"{bucket}/{TENANT}/{names[0]}/index", -20)
    os.unlink(f"{bucket}/{TENANT}/{names[1]}/chunks/000001")
    said = ctl(bucket, "bucket", "adopt", "--layout=mimir", status=1)
    check(f"{TENANT}/{names[0]}: not adopted" in said and f"{TENANT}/{names[1]}: not adopted" in said
          and "1 blocks adopted" in said, said)
    check(live(bucket) == names[2:], f"live: {live(bucket)}")


# ---- upload -------------------------------------------------------------------------------------


def test_blocks_are_uploaded(t):
    source, names = blocks_of_prometheus(t)
    bucket = f"{t.dir}/bucket"
    upload = ("block", "upload", f"--tenant={TENANT}")
    damaged, future = f"{t.dir}/damaged/{names[0]}", f"{t.dir}/future/{names[0]}"
    for d in (damaged, future):
        shutil.copytree(f"{source}/{names[0]}", d)
    damage(f"{damaged}/chunks/000001", 500)
    change_meta(future, maxTime=int(time.time() * 1000) + HOUR)
    said = ctl(bucket, *upload, damaged, future, status=1)
    check("chunks/000001" in said and "the future" in said and "0 blocks uploaded" in said, said)
    check(not glob.glob(f"{bucket}/metrics/*/*/meta.json"), "something was uploaded")
    # half of an upload: the last block has no meta.json yet, and a file is cut short
    half = f"{bucket}/metrics/{TENANT}/{names[-1]}"
    shutil.copytree(f"{source}/{names[-1]}", half)
    os.unlink(f"{half}/meta.json")
    with open(f"{half}/index", "r+b") as f:
        f.truncate(100)
    said = ctl(bucket, *upload, source)
    check(f"{len(names)} blocks uploaded, 0 were there already" in said, said)
    said = ctl(bucket, *upload, *[f"{source}/{n}" for n in names])
    check(f"0 blocks uploaded, {len(names)} were there already" in said, said)
    check(live(bucket) == names and "0 things wrong" in ctl(bucket, "bucket", "verify", TENANT), "verify")
    # another block with a name that is taken
    other, theirs = blocks_of_prometheus(t, "other", hours=2, instances=("x",))
    twin = f"{t.dir}/twin/{names[0]}"
    shutil.copytree(f"{other}/{theirs[0]}", twin)
    change_meta(twin, ulid=names[0])
    said = ctl(bucket, *upload, twin)
    check("another block has its name" in said and "1 blocks uploaded" in said, said)
    check("1 were there already" in ctl(bucket, *upload, twin), "the derived name is another one each time")
    o = single(t, bucket)
    both = f"{t.dir}/both"
    shutil.copytree(source, both)
    shutil.copytree(f"{other}/{theirs[0]}", f"{both}/{theirs[0]}")
    p = prometheus(t, both, os.listdir(both))
    check(answers(o.addr) == answers(p.addr, None), "Orrery answers otherwise than Prometheus")


# ---- verify, rebuild ----------------------------------------------------------------------------


def damage(path, at):
    with open(path, "r+b") as f:
        f.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 0x40]))


def filled(t, name="orrery", windows=4):
    """A bucket with a block of each window, with exemplars, metadata and start timestamps, and no process."""
    overrides = f"{t.dir}/{name}-overrides.yaml"
    with open(overrides, "w", encoding="utf-8") as f:
        f.write(f"overrides: {{{TENANT}: {{start_timestamp_storage: true, out_of_order_time_window: 240h}}}}\n")
    bucket = f"{t.dir}/{name}-bucket"
    o = single(t, bucket, *IDLE, f"--limits.overrides-file={overrides}", name=name)
    start = start_ms()
    for w in range(windows):
        at = start + 2 * w * HOUR
        push_ok(o.addr, [({"__name__": "filled_total", "n": str(k)}, [(at + i * 15000, float(i * k)) for i in range(200)],
                          True, [({"trace_id": f"t{w}{k}"}, at + 15000, 1.0)]) for k in range(20)],
                metadata=[(1, "filled_total", "Filled.", "1")])
        text = f"# TYPE rows counter\nrows_total 7 {at / 1000:.3f}\nrows_created {at / 1000 - 60:.3f}\n# EOF\n"
        r = http_call(o.addr, "POST", "/api/v1/import/prometheus", text,
                      {"X-Scope-OrgID": TENANT, "Content-Type": "application/openmetrics-text; version=1.0.0"})
        check(r.status // 100 == 2, f"import: {r.status} {r.text}")
    check(http_call(o.addr, "POST", "/ingester/flush", timeout=120).status // 100 == 2, "flush")
    wait_for("the blocks", lambda: os.path.exists(f"{bucket}/metrics/{TENANT}/catalogue")
             and len(live(bucket)) == windows, 120)
    return o, bucket


def filled_samples(addr):
    return samples_of(addr, "filled_total", start_ms() - 1000, start_ms() + 24 * HOUR)


def check_each_file(t, bucket):
    """Any file of the one block damaged or gone: verify ends with 1 and names it."""
    block = f"{bucket}/metrics/{TENANT}/{live(bucket)[0]}"
    check("1 blocks verified, 0 things wrong" in ctl(bucket, "bucket", "verify"), "a whole block")
    for name in contents(block):
        size = os.path.getsize(f"{block}/{name}")
        for at in {2, size // 2, size - 3}:
            shutil.copy2(f"{block}/{name}", f"{t.dir}/whole")
            damage(f"{block}/{name}", at)
            said = ctl(bucket, "bucket", "verify", TENANT, os.path.basename(block), status=1)
            check(name in said and "1 things wrong" in said, f"byte {at} of {name}: {said}")
            shutil.copy2(f"{t.dir}/whole", f"{block}/{name}")
        if name == "tombstones":  # without, nothing is deleted
            continue
        os.rename(f"{block}/{name}", f"{t.dir}/moved")
        said = ctl(bucket, "bucket", "verify", status=1)
        check(name in said, f"without {name}: {said}")
        os.rename(f"{t.dir}/moved", f"{block}/{name}")
    return block


def test_verify_names_what_is_damaged_of_prometheus(t):
    source, names = blocks_of_prometheus(t, hours=2)
    ctl(f"{t.dir}/bucket", "block", "upload", f"--tenant={TENANT}", source)
    block = check_each_file(t, f"{t.dir}/bucket")
    check({"index", "chunks/000001", "tombstones", "meta.json"} == set(contents(block)), f"{contents(block)}")


def test_verify_names_what_is_damaged(t):
    o, bucket = filled(t, windows=1)
    o.stop()
    block = check_each_file(t, bucket)
    files = set(contents(block))
    check({"index", "chunks/000001", "exemplars", "metadata", "starts", "summary", "meta.json"} == files, f"{files}")
    orphan = "01HF7YAT000000000000000001"
    shutil.copytree(block, f"{bucket}/metrics/{TENANT}/{orphan}")
    check(f"{orphan}: orphan" in ctl(bucket, "bucket", "verify", status=1), "an orphan")
    shutil.rmtree(f"{bucket}/metrics/{TENANT}/{orphan}")
    damage(f"{bucket}/metrics/{TENANT}/catalogue", 60)
    check("catalogue" in ctl(bucket, "bucket", "verify", status=1), "a catalogue")


def test_catalogue_is_made_anew(t):
    o, bucket = filled(t)
    want = filled_samples(o.addr)
    check(len(want) == 20, f"{len(want)} series")
    o.stop()
    path = f"{bucket}/metrics/{TENANT}/catalogue"
    before = catalogue(bucket)
    os.unlink(path)
    said = ctl(bucket, "bucket", "rebuild-catalogue", TENANT, "--dry-run")
    check("would be: 4 blocks" in said and not os.path.exists(path), said)
    ctl(bucket, "bucket", "rebuild-catalogue", TENANT)
    check(catalogue(bucket)["blocks"] == before["blocks"], "not the same blocks")
    check(catalogue(bucket)["version"] > before["version"], "the version went back")
    # compacted meanwhile, with inputs still there, and then damaged
    o = single(t, bucket, *EAGER[:2], "--compactor.deletion-delay=1h", name="compacting")
    wait_for("one block", lambda: len(live(bucket)) == 1, 120)
    check(filled_samples(o.addr) == want, "after compaction")
    o.stop()
    before = catalogue(bucket)
    ctl(bucket, "bucket", "rebuild-catalogue", TENANT)
    same = catalogue(bucket)
    check((same["blocks"], same["retired"], same["version"]) ==
          (before["blocks"], before["retired"], before["version"] + 1), "a catalogue that was whole is another one")
    damage(path, 100)
    said = ctl(bucket, "bucket", "rebuild-catalogue", TENANT)
    after = catalogue(bucket)
    check("cannot be read" in said and after["version"] > same["version"], said)
    check(after["blocks"] == before["blocks"] and len(after["retired"]) == 4, f"{said} {after}")
    check("0 things wrong" in ctl(bucket, "bucket", "verify"), "verify")
    o = single(t, bucket, name="again")
    check(filled_samples(o.addr) == want, "after the rebuild")


# ---- looking ------------------------------------------------------------------------------------


def test_blocks_are_shown(t):
    source, names = blocks_of_prometheus(t, hours=2)
    bucket = f"{t.dir}/bucket"
    ctl(bucket, "block", "upload", f"--tenant={TENANT}", source)
    rows = json.loads(ctl(bucket, "bucket", "ls", "--json"))
    check([(r["tenant"], r["blocks"]) for r in rows] == [(TENANT, 1)], f"{rows}")
    said = ctl(bucket, "bucket", "inspect", TENANT, names[0])
    check(all(x in said for x in ("live", "index: symbols", "index: postings table", "chunks/000001")), said)
    facts = json.loads(ctl(bucket, "bucket", "inspect", TENANT, names[0], "--json"))
    parts = {p["part"]: p["bytes"] for p in facts["parts"]}
    index = os.path.getsize(f"{source}/{names[0]}/index")
    check(parts["index"] == index and
          index - 100 < sum(v for k, v in parts.items() if k.startswith("index: ")) < index, f"{parts}")
    said = ctl(bucket, "tsdb", "analyze", f"{source}/{names[0]}")
    check(re.search(r"^instance +3 ", said, re.M) and re.search(r"^reqs_total +3$", said, re.M)
          and re.search(r'^job="web" +6$', said, re.M) and "encoding XOR" in said, said)
    facts = json.loads(ctl(bucket, "tsdb", "analyze", f"{source}/{names[0]}", "--json"))
    check({"name": "instance", "values": 3, "bytes": 3} in facts["label_names"] and
          {"fact": "series", "value": 6} in facts["summary"], f"{facts}")
    check(ctl(bucket, "tsdb", "analyze", names[0], f"--tenant={TENANT}") == said, "analyze in the bucket")
    for args in ((), ("bucket",), ("bucket", "nothing"), ("bucket", "ls", "--dry-run"), ("bucket", "inspect", "a"),
                 ("bucket", "adopt"), ("export",), ("bucket", "ls", "--nothing")):
        ctl(bucket, *args, status=2)
    check("--layout" in ctl(bucket, "bucket", "adopt", "--help"), "help")
    check("nothing of tenant" in ctl(bucket, "bucket", "verify", "typo", status=1), "a tenant that is not there")
    check("no directory" in ctl(f"{bucket}-typo", "bucket", "verify", status=1) and not os.path.exists(f"{bucket}-typo"),
          "a bucket that is not there")
    check("verifying [" in on_terminal(bucket, "bucket", "verify"), "no bar on a terminal")
    check("verifying" not in ctl(bucket, "bucket", "verify"), "a bar where there is no terminal")


def on_terminal(bucket, *args):
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    r = subprocess.run([f"{BIN}/orreryctl", *args, f"--storage.path={bucket}"], stdout=theirs, stderr=theirs, timeout=60)
    check(r.returncode == 0, f"orreryctl {' '.join(args)}: {r.returncode}")
    os.close(theirs)
    said = os.read(ours, 65536).decode()
    os.close(ours)
    return said


# ---- whole tenants ------------------------------------------------------------------------------


def dump_of(tsdb):
    os.makedirs(f"{tsdb}/wal", exist_ok=True)  # promtool wants one
    return sorted(x.replace(", ", ",") for x in promtool("tsdb", "dump", tsdb).splitlines())


def named(line):
    """A line of export as promtool dumps it."""
    labels, value, at = re.fullmatch(r"(.*) (\S+) (\S+)", line).groups()
    name, rest = re.fullmatch(r"(\w+)(?:\{(.*)\})?", labels).groups()
    return f'{{__name__="{name}"{"," + rest if rest else ""}}} {value} {at}'


def test_export_is_what_promtool_reads(t):
    source, names = blocks_of_prometheus(t)
    bucket = f"{t.dir}/bucket"
    ctl(bucket, "block", "upload", f"--tenant={TENANT}", source)
    lines = ctl(bucket, "export", f"--tenant={TENANT}", "--format=lines").splitlines()
    check(sorted(named(x) for x in lines) == dump_of(source), "lines are not what promtool dumps")
    text = ctl(bucket, "export", f"--tenant={TENANT}")
    check(text.endswith("# EOF\n"), text[-100:])
    with open(f"{t.dir}/export.om", "w", encoding="utf-8") as f:
        f.write(text)
    promtool("tsdb", "create-blocks-from", "openmetrics", f"{t.dir}/export.om", f"{t.dir}/again")
    check(dump_of(f"{t.dir}/again") == dump_of(source), "not the same after a round")
    start = start_ms() // 1000
    some = ctl(bucket, "export", f"--tenant={TENANT}", "--format=lines", '--match=temp{instance="b"}',
               f"--from={start + 3600}", f"--to={start + 7200}").splitlines()
    want = [x for x in lines if x.startswith('temp{instance="b"') and
            (start + 3600) * 1000 <= int(x.split()[-1]) <= (start + 7200) * 1000]
    check(some == want and len(some) == 61, f"{len(some)} lines, not {len(want)}")


def native_points(at, n):
    """Of OTLP: n histograms with buckets (0.5,1] and (1,2], a stale marker behind them."""
    def stamp(i):
        return {"timeUnixNano": str((at + i * 15000) * 10**6)}
    return [{**stamp(i), "count": str(3 * i + 1), "sum": 2.5 * i, "scale": 0, "zeroCount": "1",
             "positive": {"offset": -1, "bucketCounts": [str(i), str(2 * i)]}} for i in range(n)] + [{**stamp(n), "flags": 1}]


def test_export_of_native_histograms(t):
    bucket, at, n = f"{t.dir}/bucket", int(time.time()) * 1000 - 600_000, 20
    o = single(t, bucket)
    gauge = {"dataPoints": [{"asDouble": 1.5, "timeUnixNano": str(at * 10**6)}, {"flags": 1, "timeUnixNano": str((at + 1) * 10**6)}]}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "plain", "gauge": gauge},
        {"name": "wait", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": native_points(at, n)}}]}]}]}
    r = http_call(o.addr, "POST", "/otlp/v1/metrics", json.dumps(body), {"X-Scope-OrgID": TENANT, "Content-Type": "application/json"})
    check(r.status == 200 and r.json == {}, f"{r.status} {r.text}")
    check(http_call(o.addr, "POST", f"/ingester/flush?tenant={TENANT}", timeout=60).status // 100 == 2, "flush")
    wait_for("blocks of all", lambda: sum(b["samples"] for b in catalogue(bucket)["blocks"]) == n + 3, 60)

    lines = ctl(bucket, "export", f"--tenant={TENANT}", "--format=lines").splitlines()
    check(lines[:2] == [f"plain 1.5 {at}", f"plain NaN {at + 1}"] and lines[2].startswith("wait {count:1, sum:0,"), lines[:3])
    check(lines[2 + 4] == f"wait {{count:13, sum:10, [-1e-128,1e-128]:1, (0.5,1]:4, (1,2]:8}} {at + 4 * 15000}" and
          len(lines) == n + 3 and lines[-1] == f"wait {{count:0, sum:NaN}} {at + n * 15000}", lines)

    rows = [json.loads(x) for x in ctl(bucket, "export", f"--tenant={TENANT}", "--format=json").splitlines()]
    check(rows[0] == {"metric": {"__name__": "plain"}, "values": [1.5, None], "timestamps": [at, at + 1]}, f"{rows[0]}")
    hists = [(at, h) for row in rows[1:] for at, h in zip(row["timestamps"], row["histograms"])]
    want = query(o.addr, "wait[20m]", at + 600_000)["result"][0]["histograms"]
    check([(t_ms, h["count"], h["sum"]) for t_ms, h in hists[:-1]] ==
          [(round(at_s * 1000), float(h["count"]), float(h["sum"])) for at_s, h in want], f"{hists} {want}")
    check(hists[4][1] == {"count": 13, "sum": 10, "schema": 0, "zero_threshold": 1e-128, "zero_count": 1, "positive_spans": [[0, 2]],
                          "positive_counts": [4, 8], "negative_spans": [], "negative_counts": [], "custom_values": [],
                          "hint": hists[4][1]["hint"], "is_integer": True}, f"{hists[4]}")
    check(hists[-1][1]["sum"] is None and len(hists) == n + 1, f"{hists[-1]}")
    some = ctl(bucket, "export", f"--tenant={TENANT}", "--format=json", "--match=wait", f"--from={(at + 15000) / 1000}",
               f"--to={(at + 30000) / 1000}")
    check(sum(len(json.loads(x)["timestamps"]) for x in some.splitlines()) == 2, some)

    said = ctl(bucket, "export", f"--tenant={TENANT}", status=1)
    check(f"plain 1.5 {at / 1000:.3f}\n# EOF\n" in said and f"{n + 1} samples of native histograms were left out" in said and
          "1 stale markers were left out" in said, said)
    ctl(bucket, "export", f"--tenant={TENANT}", "--format=yaml", status=2)


def test_tenants_are_copied_and_deleted(t):
    source, names = blocks_of_prometheus(t)
    bucket = f"{t.dir}/bucket"
    ctl(bucket, "block", "upload", f"--tenant={TENANT}", source)
    shutil.copytree(source, f"{bucket}/mimir/{TENANT}", ignore=lambda d, n: names[1:] if d == source else ())
    os.rename(f"{bucket}/mimir/{TENANT}/{names[0]}", f"{bucket}/mimir/{TENANT}/{names[0][:-2]}ZZ")
    change_meta(f"{bucket}/mimir/{TENANT}/{names[0][:-2]}ZZ", ulid=f"{names[0][:-2]}ZZ")
    ctl(bucket, "bucket", "adopt", "--layout=mimir", "--prefix=mimir")
    said = ctl(bucket, "tenant", "copy", TENANT, "copy")
    check(f"{len(names) + 1} blocks copied" in said, said)
    check("0 blocks copied" in ctl(bucket, "tenant", "copy", TENANT, "copy"), "copied twice")
    check("0 things wrong" in ctl(bucket, "bucket", "verify", "copy"), "verify")
    os.makedirs(f"{bucket}/logs/{TENANT}")
    with open(f"{bucket}/logs/{TENANT}/something", "w", encoding="utf-8") as f:
        f.write("x")
    o = single(t, bucket)
    want = answers(o.addr)
    check(answers(o.addr, "copy") == want and want[0], "the copy answers otherwise")
    logs_test.push_ok(o.addr, [({"app": "a"}, [(logs_test.now_ns(), "a line that an ingester holds")])])
    held = lambda: logs_api_test.lines(o.addr, '{app="a"}')
    check(len(held()) == 1, "a line")
    ns = time.time_ns()
    span = {"traceId": "%032x" % 7, "spanId": "%016x" % 7, "name": "x", "startTimeUnixNano": str(ns), "endTimeUnixNano": str(ns + 1)}
    r = http_call(o.addr, "POST", "/v1/traces", json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode(),
                  {"Content-Type": "application/json", "X-Scope-OrgID": TENANT})
    check(r.status == 200, f"{r.status} {r.text}")
    trace = lambda: http_call(o.addr, "GET", f"/api/traces/{'%032x' % 7}", headers={"X-Scope-OrgID": TENANT}).status
    check(trace() == 200, "a trace")
    said = ctl(bucket, "tenant", "delete", TENANT, "--dry-run")
    check("logs: 1 objects" in said and "1 blocks that were adopted" in said, said)
    ctl(bucket, "tenant", "delete", TENANT, status=2)
    check(answers(o.addr) == want, "a dry run deletes")
    ctl(bucket, "tenant", "delete", TENANT, "--yes")
    left = [f for f in contents(bucket) if TENANT in f.split("/")]
    check(sorted(left) == [f"logs/{TENANT}/tombstones",
                           *(f"metrics/{TENANT}/{name}" for name in ("catalogue", "tombstones")),
                           f"traces/{TENANT}/tombstones"], f"left: {left}")
    check(not catalogue(bucket)["blocks"] and not catalogue(bucket)["retired"], "the catalogue is not empty")
    wait_for("readers to see nothing", lambda: not any(answers(o.addr)) and not held() and trace() == 404, 60)
    check(answers(o.addr, "copy") == want, "the copy went, too")
    check("has nothing" in ctl(bucket, "tenant", "delete", TENANT, "--yes"), "deleted twice")


# ---- S3 -----------------------------------------------------------------------------------------


def check_on(t, server):
    """All commands once, on a real server; what is fetched does not stay in the temporary directory."""
    source, names = blocks_of_prometheus(t)
    temp = f"{t.dir}/temp"
    os.makedirs(temp)
    said = ctl(server, "block", "upload", f"--tenant={TENANT}", f"{source}/{names[0]}", f"{source}/{names[1]}")
    check("2 blocks uploaded" in said, said)
    ctl(server, "tenant", "copy", TENANT, "other")
    # another Orrery's bucket within this one
    ctl(server, "block", "upload", "--tenant=adopted", "--s3.prefix=inner/", f"{source}/{names[0]}", f"{source}/{names[1]}")
    ctl(server, "bucket", "adopt", "--layout=thanos", "--prefix=metrics/other", "--tenant=adopted", status=2)
    said = ctl(server, "bucket", "adopt", "--layout=orrery", "--prefix=inner")
    check("2 blocks adopted" in said, said)
    check("6 blocks verified, 0 things wrong" in ctl(server, "bucket", "verify", f"--temp-dir={temp}"), "verify")
    rows = json.loads(ctl(server, "bucket", "ls", "--json"))
    check([(r["tenant"], r["blocks"]) for r in rows] == [("adopted", 2), ("other", 2), (TENANT, 2)], f"{rows}")
    check("index: series" in ctl(server, "bucket", "inspect", TENANT, names[0]), "inspect")
    check("reqs_total" in ctl(server, "tsdb", "analyze", names[0], "--tenant=adopted", f"--temp-dir={temp}"), "analyze")
    both = f"{t.dir}/both"
    for n in names[:2]:
        shutil.copytree(f"{source}/{n}", f"{both}/{n}")
    lines = ctl(server, "export", "--tenant=adopted", "--format=lines", f"--temp-dir={temp}").splitlines()
    check(sorted(named(x) for x in lines) == dump_of(both), "export")
    check(not os.listdir(temp), f"left in --temp-dir: {os.listdir(temp)}")
    check("2 blocks, of them 2 adopted" in ctl(server, "bucket", "rebuild-catalogue", "adopted"), "rebuild")
    ctl(server, "tenant", "delete", "adopted", "--yes")
    rows = json.loads(ctl(server, "bucket", "ls", "--json"))
    check(("adopted", 0) in [(r["tenant"], r["blocks"]) for r in rows], f"{rows}")
    check("4 blocks verified, 0 things wrong" in ctl(server, "bucket", "verify", f"--temp-dir={temp}"), "verify")
    said = ctl(server, "bucket", "verify", "adopted", "--s3.prefix=inner/", status=1)
    check("2 things wrong" in said, f"files of blocks that were adopted are still there: {said}")


def test_on_swift(t):
    check_on(t, swift(t))


def test_on_radosgw(t):
    check_on(t, radosgw(t))


if __name__ == "__main__":
    main()
