#!/usr/bin/env python3
"""Blocks whose bytes are wrong: each file and section of one, of metrics and of log lines. The compactor names block and section,
leaves the block out, and compacts the rest; a query that needs it fails and names it, and every other one answers as before. Before
blocks of replicas are merged that is not the end: the query is answered whole from the others."""
import os
import re
import shutil
import struct
import subprocess
import time

import logs_flush_test
import logs_test
from compact_test import (EAGER, HOUR, IDLE, again, bucket, catalogue, day, fill, flush, live, metric, row,
                          windows)
from orrery_test import BIN, Cluster, Single, TENANT, api, check, http_call, in_a_directory, main, push_ok, wait_for

INDEX_TOC_BYTES = 52


def change(path, fn):
    with open(path, "rb") as f:
        data = bytearray(f.read())
    fn(data)
    with open(path, "wb") as f:
        f.write(data)


def toc(data):
    """Start and end of the sections of an index."""
    symbols, series, _, _, postings, table = struct.unpack(">6Q", data[-INDEX_TOC_BYTES:-4])
    return {"symbols": (symbols, series), "series": (series, postings), "postings": (postings, table),
            "table": (table, len(data) - INDEX_TOC_BYTES)}


def in_section(name, every=0):
    """One byte in the middle of a section of the index, or each so many."""
    def fn(data):
        start, end = toc(data)[name]
        places = range(start + 9, end, every) if every else [(start + end) // 2]
        for i in places:
            data[i] ^= 0x10
    return lambda d: change(f"{d}/index", fn)


def byte(name, at):
    def fn(data):
        data[at if at >= 0 else len(data) + at] ^= 0x10
    return lambda d: change(f"{d}/{name}", fn)


def middle(name):
    return lambda d: byte(name, os.path.getsize(f"{d}/{name}") // 2)(d)


def cut(name):
    return lambda d: os.truncate(f"{d}/{name}", os.path.getsize(f"{d}/{name}") // 2)


def remove(name):
    return lambda d: os.remove(f"{d}/{name}")


def not_json(d):
    change(f"{d}/meta.json", lambda data: data.__setitem__(slice(0, 1), b"["))


def another_id(d):
    def fn(data):
        i = data.index(os.path.basename(d).encode())
        data[i + 25] = ord("0") if data[i + 25] != ord("0") else ord("1")
    change(f"{d}/meta.json", fn)


# what is done to a block; what the reason names. First those that any query of the block comes across.
INDEX = [("the magic of the index", byte("index", 0), "index"),
         ("the TOC", byte("index", -20), "index: table of contents"),
         ("symbols", in_section("symbols"), "index: symbols"),
         ("series", in_section("series"), "index: series"),
         ("postings", in_section("postings", 4), "index: postings"),
         ("the postings table", in_section("table"), "index: postings table"),
         ("an index cut short", cut("index"), "index"),
         ("no index", remove("index"), "index")]
OTHERS = [("a byte of a chunk", byte("chunks/000001", 60), "chunk"),
          ("chunks cut short", cut("chunks/000001"), "chunk"),
          ("no chunks", remove("chunks/000001"), "chunks/000001"),
          ("meta.json not JSON", not_json, "meta.json"),
          ("meta.json of another block", another_id, "it says it is"),
          ("no meta.json", remove("meta.json"), "meta.json")]


def ask(o, start, end):
    return api(o.addr, "/api/v1/query_range", {"query": "m", "start": start / 1000, "end": end / 1000 - 1,
                                               "step": 300})


def hurt(t, damages):
    """A day of windows, the first of which are damaged, each in a way of its own."""
    o = Single(t, args=IDLE).wait_ready()
    start = day(3)
    fill(o, start, 12)
    blocks = {b["minTime"] // (2 * HOUR): b["ulid"] for b in catalogue(o)["blocks"]}
    spans = [(start + i * 2 * HOUR + 300_000, start + (i + 1) * 2 * HOUR) for i in range(12)]
    before = [ask(o, *s).json["data"] for s in spans]
    check(len(blocks) == 12 and all(d["result"] for d in before), f"{len(blocks)} windows")
    o.stop()
    names = [blocks[start // (2 * HOUR) + i] for i in range(12)]
    for name, (_, do, _) in zip(names, damages):
        do(f"{bucket(o)}/{name}")
        o.blocks.save_all()
    shutil.rmtree(f"{o.dir}/data/querier", ignore_errors=True)  # pages of blocks of a remote store, from before
    again_ready(o)
    for i, s in enumerate(spans):
        r = ask(o, *s)
        if i < len(damages):
            what, _, section = damages[i]
            check(r.status // 100 in (4, 5) and names[i] in r.text,
                  f"{what}: {r.status}, an answer that names no block: {r.text[:400]}")
        else:
            check(r.status == 200 and r.json["data"] == before[i], f"window {i}: {r.status} {r.text[:300]}")
    return o, names, spans, before


def again_ready(o):
    o.start()
    o.wait_ready()


def hurt_and_compact(t, damages):
    o, names, spans, before = hurt(t, damages)
    again(o, EAGER)
    wait_for("all that is damaged to be put aside",
             lambda: len(row(o)["quarantined"]) == len(damages) and row(o)["jobs"] == 0, 90)
    with open(o.log, encoding="utf-8", errors="replace") as f:
        log = f.read()
    reasons = {q["block"]: q["reason"] for q in row(o)["quarantined"]}
    for name, (what, _, section) in zip(names, damages):
        check(name in reasons, f"{what}: not put aside")
        check(section in reasons[name] and name in reasons[name], f"{what}: {reasons[name]}")
        check(name in log, f"{what}: not in the log")
    check(set(names[:len(damages)]) < set(live(o)), "what is damaged is not live any more")
    check(len(live(o)) == len(damages) + 1, f"the rest is not one block: {live(o)}")
    check(metric(o, "quarantined_blocks") == len(damages), "metric")
    for i in range(len(damages), 12):
        r = ask(o, *spans[i])
        check(r.status == 200 and r.json["data"] == before[i], f"window {i}: {r.status} {r.text[:300]}")


def test_each_section_of_an_index(t):
    hurt_and_compact(t, INDEX)


def test_each_other_file(t):
    hurt_and_compact(t, OTHERS)


def test_a_query_over_a_corrupt_block_is_never_partial(t):
    """Whole ranges, with and without the bad block in them; and what it says once."""
    o, names, spans, before = hurt(t, OTHERS[:1])
    r = ask(o, spans[0][0], spans[-1][1])
    check(r.status // 100 in (4, 5) and names[0] in r.text, f"{r.status} {r.text[:300]}")
    r = ask(o, spans[1][0], spans[-1][1])
    check(r.status == 200 and len(r.json["data"]["result"]) == 5, f"{r.status} {r.text[:300]}")
    params = {"query": 'm{n="no such"}', "time": spans[0][1] / 1000}
    r = api(o.addr, "/api/v1/query", params)
    check(r.status == 200 and r.json["data"]["result"] == [], "a query that needs nothing of the chunk")


def test_sidecars_are_left_out_and_samples_stay(t):
    o = Single(t, args=IDLE).wait_ready()
    start = day(3)
    for i, batch in enumerate(windows(start, 12)):
        at = start + i * 2 * HOUR
        push_ok(o.addr, [(ls, xs, True, [({"trace": str(i)}, at, 1.0)]) for ls, xs in batch],
                metadata=[(2, "m", "what m is", "")])
    flush(o)
    blocks = [b["ulid"] for b in catalogue(o)["blocks"]]
    spans = (start + 300_000, start + 24 * HOUR)
    before = ask(o, *spans).json["data"]
    o.stop()
    hurt = 0
    for b in blocks[:3]:
        for name in ("exemplars", "metadata", "starts"):
            if os.path.exists(f"{bucket(o)}/{b}/{name}"):
                change(f"{bucket(o)}/{b}/{name}", lambda data: data.__setitem__(slice(8, 12), b"what"))
                hurt += 1
    check(hurt >= 3, f"{hurt} sidecars")
    o.blocks.save_all()
    again_ready(o)
    r = ask(o, *spans)
    check(r.status == 200 and r.json["data"] == before, f"{r.status} {r.text[:300]}")
    again(o, EAGER)
    wait_for("one block", lambda: len(live(o)) == 1, 60)
    check(metric(o, "compaction_bad_sidecars_total") == hurt, "counted")
    check(not row(o)["quarantined"], f"{row(o)}")
    r = ask(o, *spans)
    check(r.status == 200 and r.json["data"] == before, "after it")


def querier_metric(addr, name):
    found = re.search(rf"^orrery_querier_{name} (\S+)$", http_call(addr, "GET", "/metrics").text, re.M)
    check(found, f"no metric {name}")
    return float(found.group(1))


def said(log):
    with open(log, encoding="utf-8", errors="replace") as f:
        return f.read()


def test_a_summary_of_another_block_hides_nothing(t):
    """Its checksum is right, and by it nothing that is asked for is in the block."""
    in_a_directory("orreryctl looks at the bucket, too")
    o = Single(t, args=IDLE).wait_ready()
    start = day(3)
    for i, name in enumerate("ab"):
        push_ok(o.addr, [({"__name__": name, "n": str(k)}, [(start + i * 2 * HOUR + at * 60_000, 1.0) for at in range(100)])
                         for k in range(5)])
    flush(o)
    a, b = (x["ulid"] for x in sorted(catalogue(o)["blocks"], key=lambda x: x["minTime"]))
    query = {"query": "sum(count_over_time(b[12h]))", "time": (start + 6 * HOUR) / 1000}
    before = api(o.addr, "/api/v1/query", query).json["data"]
    check(before["result"][0]["value"][1] == "500", f"{before}")
    o.stop()
    shutil.copyfile(f"{bucket(o)}/{a}/summary", f"{bucket(o)}/{b}/summary")
    again_ready(o)
    r = api(o.addr, "/api/v1/query", query)
    check(r.status == 200 and r.json["data"] == before, f"{r.status} {r.text[:300]}")
    check(querier_metric(o.addr, "bad_block_summaries_total") > 0, "not counted")
    check(f"{b}/summary" in said(o.log) and f"it is of block {a}" in said(o.log), "not in the log")
    o.stop()
    r = subprocess.run([f"{BIN}/orreryctl", "bucket", "verify", f"--storage.path={o.blocks.path()}"], capture_output=True,
                       text=True, timeout=60)
    check(r.returncode == 1 and f"{b}: summary: " in r.stdout + r.stderr and f"it is of block {a}" in r.stdout + r.stderr,
          f"{r.returncode} {r.stdout}{r.stderr}")


# ---- log lines ----

# what a query of the block's lines by a text in them says; none: it does not need what is wrong
LOGS = [("the magic of the index", byte("index", 0), "index"),
        ("symbols", in_section("symbols"), "index"),
        ("series", in_section("series"), "index"),
        ("no index", remove("index"), "index"),
        ("the directory", middle("directory"), "directory"),
        ("a directory cut short", cut("directory"), "directory"),
        ("a page", middle("pages"), "page"),
        ("pages cut short", cut("pages"), "pages"),
        ("a stripe of the filter", byte("filter", 40), "filter"),
        ("the table of the filter", byte("filter", -10), "filter"),
        ("meta.json not JSON", not_json, "meta.json"),
        ("meta.json of another block", another_id, "it says it is")]


def test_each_file_of_log_lines(t):
    o = Single(t, args=logs_flush_test.EAGER + ["--compactor.dry-run=true"]).wait_ready()
    step, day_ns = logs_flush_test.HOUR_NS // 2, 24 * logs_flush_test.HOUR_NS
    first = (logs_test.now_ns() - 2 * day_ns) // day_ns * day_ns  # all of them are due to be one block
    n = len(LOGS) + 2
    for i in range(n):
        logs_flush_test.old_lines(o, 700, first + i * step + 10**9, text=f"needle in window {i} of them")
        logs_test.flush(o.addr)
    wait_for("blocks", lambda: len(logs_test.live(o)) == n, 60)
    names = [b["ulid"] for b in sorted(logs_test.live(o), key=lambda b: b["minTime"])]

    def count(i):
        return api(o.addr, "/loki/api/v1/query_range",
                   {"query": f'{{app=~"a.+"}} |= "needle in window {i} of them"', "start": first + i * step,
                    "end": first + (i + 1) * step, "limit": 1000})

    def lines(r):
        return sum(len(x["values"]) for x in r.json["data"]["result"])
    check(all(lines(count(i)) == 700 for i in range(n)), "before")
    o.stop()
    for name, (_, do, _) in zip(names, LOGS):
        do(f"{logs_test.bucket(o)}/{name}")
        o.blocks.save_all()
    shutil.rmtree(f"{o.dir}/data/querier", ignore_errors=True)
    again_ready(o)
    for i in range(n):
        r = count(i)
        if i < len(LOGS):
            check((r.status // 100 in (4, 5) and names[i] in r.text) or (r.status == 200 and lines(r) == 700),
                  f"{LOGS[i][0]}: {r.status}, neither whole nor an error that names the block: {r.text[:400]}")
            print(f"   {LOGS[i][0]}: {r.status}", flush=True)
        else:
            check(r.status == 200 and lines(r) == 700, f"window {i}: {r.status} {r.text[:300]}")
    o.stop()
    o.args = [a for a in o.args if "dry-run" not in a]
    again_ready(o)

    def quarantined():
        rows = [r for r in http_call(o.addr, "GET", "/compactor/status").json["compaction"]["tenants"] if r["signal"] == "logs"]
        return {q["block"]: q["reason"] for r in rows for q in r["quarantined"]}
    wait_for("all that is damaged to be put aside", lambda: set(quarantined()) >= set(names[:10]), 90)
    wait_for("the others to be merged", lambda: len(logs_test.live(o)) == len(LOGS) + 1, 60)
    log = said(o.log)
    for name, (what, _, section) in zip(names, LOGS):
        check(name in log and section in log, f"{what}: not in the log")
        reason = quarantined().get(name)  # the page names ten
        check(reason is None or section in reason, f"{what}: {reason}")
    check(logs_flush_test.metric(o.addr, "quarantined_blocks") == len(LOGS), "metric")
    check(set(names[:len(LOGS)]) < {b["ulid"] for b in logs_test.live(o)}, "what is damaged is not live any more")


# ---- replicas ----

def test_blocks_of_replicas_make_up_for_one_another(t):
    """Three ingesters have uploaded their segments, and no compactor has merged the blocks."""
    in_a_directory("files are damaged in place")
    c = Cluster(t, args=["--compactors", "0", "--queriers", "1", "--rulers", "0", "--alertmanagers", "0",
                         "--config", config(t)])
    doors, querier = c.addrs("ingester"), c.names("querier")[0]
    start = int(time.time() * 1000) // (2 * HOUR) * 2 * HOUR - 4 * HOUR
    for i, batch in enumerate(windows(start, 1)):
        push_ok(doors[i % 3], batch)
    query = {"query": "m", "start": start / 1000, "end": start / 1000 + 7199, "step": 300}

    def ask_now():
        return api(c.addrs("querier")[0], "/api/v1/query_range", query)

    def blocks():
        return sorted(catalogue(c)["blocks"], key=lambda b: b["ulid"]) if os.path.exists(f"{bucket(c)}/catalogue") else []
    wait_for("the push", lambda: len(ask_now().json["data"]["result"]) == 5, 30)
    want = ask_now().json["data"]
    time.sleep(1)  # the third replica, which a push does not wait for
    for a in doors:
        check(http_call(a, "POST", f"/ingester/flush?tenant={TENANT}", timeout=60).status // 100 == 2, "flush")
    wait_for("three blocks, and the ingesters to let go", lambda: len(blocks()) == 3 and not any(
        os.listdir(f"{c.dir}/{n}/data/segments/{TENANT}") for n in c.names("ingester")
        if os.path.isdir(f"{c.dir}/{n}/data/segments/{TENANT}")), 60)
    check({b["instance"] for b in blocks()} == set(c.names("ingester")), f"{blocks()}")
    check(len({b["samples"] for b in blocks()}) == 1, f"the blocks are not replicas: {blocks()}")
    one, two = (f"{bucket(c)}/{b['ulid']}" for b in blocks()[:2])
    shutil.copytree(one, f"{t.dir}/sound")
    for what, do, _ in INDEX + OTHERS:
        c.run("stop", querier)
        do(one)
        c.run("restart", querier)
        r = ask_now()
        check(r.status == 200 and r.json["data"] == want, f"{what}: {r.status} {r.text[:300]}")
        warnings = r.json.get("warnings", [])
        check(len(warnings) == 1 and os.path.basename(one) in warnings[0], f"{what}: {warnings}")
        check(querier_metric(c.addrs("querier")[0], "lost_blocks_total") > 0, f"{what}: not met")
        check(os.path.basename(one) in said(f"{c.dir}/{querier}/log"), f"{what}: not in the log")
        shutil.rmtree(one)
        shutil.copytree(f"{t.dir}/sound", one)
    c.run("stop", querier)
    for d in one, two:
        byte("chunks/000001", 60)(d)
    c.run("restart", querier)
    r = ask_now()
    check(r.status // 100 in (4, 5) and (os.path.basename(one) in r.text or os.path.basename(two) in r.text),
          f"two of three: {r.status} {r.text[:300]}")


def config(t):
    path = f"{t.dir}/orrery.yaml"
    with open(path, "w", encoding="utf-8") as f:
        f.write("ingester: {self-upload-after: 100ms, maintain-period: 200ms, visible-after: 1s}\n")
    return path


if __name__ == "__main__":
    main()
