#!/usr/bin/env python3
"""Reading blocks from a real S3 server: the same answers whatever the memory, and what they cost. Needs what
s3_store_test.py needs."""
import json
import os
import shutil
import urllib.parse

from orrery_test import Single, api, check, http_call, main, push_ok, wait_for
from s3_server import a_server
from s3_store_test import blocks, flush, metric, now_ms

SERIES = 1500
WINDOWS = 3
QUERIES = ["sum by (job) (rate(reads_total[5m]))", "count(reads_total)", "reads_total{n=~'1.7'}",
           "topk(3, max_over_time(reads_total{job='j2'}[20m]))", "reads_total{n='none'}"]


def start_of_data():
    return (now_ms() // 7_200_000 - WINDOWS - 1) * 7_200_000


def fill(o):
    """Some hours of samples, flushed window by window, so that there are several blocks."""
    start = start_of_data()
    for w in range(WINDOWS):
        at = start + w * 7_200_000 + 60_000
        push_ok(o.addr, [({"__name__": "reads_total", "job": f"j{k % 5}", "n": str(k)},
                          [(at + i * 15_000, float(i * (k + 1))) for i in range(240)]) for k in range(SERIES)])
        flush(o, w + 1)
    return start


def ask(o, query, start, end):
    q = urllib.parse.urlencode({"query": query, "start": start / 1000, "end": end / 1000, "step": 60, "stats": "all"})
    data = api(o.addr, f"/api/v1/query_range?{q}").json["data"]
    return sorted(json.dumps(s, sort_keys=True) for s in data["result"]), data["stats"]["objectStore"]


def answers(o, start):
    end = start + WINDOWS * 7_200_000
    out = [ask(o, q, start, end)[0] for q in QUERIES]
    at = urllib.parse.urlencode({"match[]": "reads_total{job='j1'}", "start": start / 1000, "end": end / 1000})
    out.append(api(o.addr, f"/api/v1/series?{at}").json["data"])
    out.append(api(o.addr, f"/api/v1/label/n/values?{at}").json["data"])
    return out


def again(t, o, server, name, *args, keep=False):
    """The same bucket, another process; with nothing but the bucket unless its directory is kept."""
    check(o.stop() == 0, "stop")
    if not keep:
        shutil.rmtree(os.path.join(o.dir, "data"))
    return Single(t, name, args=server.options("reads", "--querier.result-cache-size=0", *args),
                  env=server.keys).wait_ready()


def test_answers_are_the_same_with_much_memory_and_with_little(t):
    server = a_server(t)
    o = Single(t, "writer", args=server.options("reads"), env=server.keys).wait_ready()
    start = fill(o)
    n = len(blocks(o))
    want = answers(o, start)
    check(want[1] and want[4] == [] and len(want[5]) == SERIES // 5, "there is something to compare")
    o = again(t, o, server, "large")
    check(answers(o, start) == want, "another answer from blocks")
    check(metric(o, "orrery_querier_block_cache_evictions_total") == 0, "nothing need go with much memory")
    o = again(t, o, server, "little", "--querier.block-cache-size=1MiB", "--querier.block-disk-cache-size=0")
    for _ in range(2):
        check(answers(o, start) == want, "another answer with little memory")
    check(metric(o, "orrery_querier_block_cache_evictions_total") > 0, "with 1 MiB something goes")
    held = metric(o, "orrery_querier_block_cache_bytes")
    check(held <= metric(o, "orrery_querier_block_cache_max_bytes"), f"{held} bytes are over the budget")
    print(f"   {n} blocks, {metric(o, 'orrery_querier_block_gets_total'):.0f} gets with 1 MiB", flush=True)


def test_a_cold_query_is_cheap_and_a_warm_one_free(t):
    server = a_server(t)
    o = Single(t, "writer", args=server.options("reads"), env=server.keys).wait_ready()
    start = fill(o)
    end = start + WINDOWS * 7_200_000
    n = len(blocks(o))
    o = again(t, o, server, "cold")
    want, cold = ask(o, QUERIES[0], start, end)
    check(want, "an answer")
    # summary, meta.json, index and chunks; the catalogue and the list of deletions besides
    check(0 < cold["gets"] <= 4 * n + 2, f"{cold} for {n} blocks")
    got, warm = ask(o, QUERIES[0], start, end)
    check(got == want and warm == {"gets": 0, "bytes": 0}, f"warm: {warm}")
    check(metric(o, "orrery_querier_objstore_gets_total") == cold["gets"], "and they are counted")
    # the disk outlives a restart
    check(o.stop() == 0, "stop")
    o.start()
    o.wait_ready()
    got, disk = ask(o, QUERIES[0], start, end)
    check(got == want and disk["gets"] <= 2, f"after a restart: {disk}")
    check(metric(o, "orrery_querier_block_cache_disk_hits_total") > 0, "pages from the disk")
    r = http_call(o.addr, "GET", "/metrics")
    check("orrery_querier_block_disk_cache_bytes" in r.text, "its size is a metric")
    print(f"   {n} blocks: cold {cold}, warm {warm}, after a restart {disk}", flush=True)


MANY = 30
RARE = (7, 19)  # windows that have it


def fill_many(o):
    """A window for each block; of most nothing but what all have."""
    start = (now_ms() // 7_200_000 - MANY - 1) * 7_200_000
    for w in range(MANY):
        at = start + w * 7_200_000 + 60_000
        names = [("common", f"pod-{w}-{k}") for k in range(200)] + [("rare", "p")] * (w in RARE)
        push_ok(o.addr, [({"__name__": n, "job": "j", "pod": p}, [(at + i * 60_000, float(i)) for i in range(20)])
                         for n, p in names])
    r = http_call(o.addr, "POST", "/ingester/flush", timeout=120)
    check(r.status // 100 == 2, f"flush: {r.status} {r.text}")
    wait_for(f"{MANY} blocks", lambda: len(blocks(o)) >= MANY, 400)  # this server takes its time
    return start


def skipped(o, query, start):
    q = urllib.parse.urlencode({"query": query, "start": start / 1000, "end": start / 1000 + MANY * 7200, "step": 600,
                                "stats": "all"})
    data = api(o.addr, f"/api/v1/query_range?{q}").json["data"]
    return data["result"], data["stats"]["objectStore"]["gets"], data["stats"]["skippedBlocks"]


def test_a_selective_query_opens_the_blocks_that_have_something(t):
    """Of the others it reads a summary each, once; the disk keeps those. Names and values ask them, too."""
    server = a_server(t)
    args = ["--compactor.dry-run=true"]
    o = Single(t, "writer", args=server.options("reads", *args), env=server.keys).wait_ready()
    start = fill_many(o)
    want, _, _ = skipped(o, "rare", start)
    check(len(want) == 1 and len(want[0]["values"]) > 2, f"{len(want)} series")
    n = len(blocks(o))
    check(n == MANY, f"{n} blocks")
    o = again(t, o, server, "cold", *args)
    got, cold, why = skipped(o, "rare", start)
    check(got == want, "another answer")
    check(why["summary"] >= MANY - 4, f"{why}: one in 256 may be taken for what it is not")
    check(cold <= MANY + 4 * 6 + 2, f"{cold} gets")
    opened = metric(o, "orrery_querier_opened_blocks_total")
    check(2 <= opened <= 4, f"{opened} blocks opened")
    none, gets, _ = skipped(o, '{pod="none"}', start)
    check(none == [] and gets <= 12, f"{gets} gets for what nobody has")
    one, gets, _ = skipped(o, 'common{pod="pod-3-77"}', start)
    check(len(one) == 1 and gets <= 12, f"{gets} gets for one block")
    values = api(o.addr, "/api/v1/label/pod/values?" + urllib.parse.urlencode(
        {"match[]": "rare", "start": start / 1000, "end": start / 1000 + MANY * 7200})).json["data"]
    check(values == ["p"], f"{values}")
    check(metric(o, "orrery_querier_skipped_blocks_total") > 2 * MANY, "they are counted")
    check(o.stop() == 0, "stop")
    o.start()
    o.wait_ready()
    got, warm, why = skipped(o, "rare", start)
    check(got == want and warm <= 2, f"after a restart: {warm} gets")
    print(f"   {n} blocks, 2 match: cold {cold} gets, {opened:.0f} opened; after a restart {warm}; {why}", flush=True)


if __name__ == "__main__":
    main()
