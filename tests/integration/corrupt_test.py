#!/usr/bin/env python3
"""Blocks whose bytes are wrong: each file and section of one. The compactor names block and section, leaves the block
out, and compacts the rest; a query that needs it fails and names it, and every other one answers as before."""
import os
import shutil
import struct

from compact_test import (EAGER, HOUR, IDLE, again, bucket, catalogue, day, fill, flush, live, metric, row,
                          windows)
from orrery_test import Single, api, check, main, push_ok, wait_for

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


if __name__ == "__main__":
    main()
