#!/usr/bin/env python3
"""Kept results: a repeated range query is answered from what is kept, to the same byte; new samples, deletions
and changed limits show at once; of equal queries one is run at a time, and one for all who came meanwhile."""
import itertools
import json
import os
import random
import threading
import time
import urllib.parse

from orrery_test import (PUSH_HEADERS, TENANT, TEST_BUCKET, Cluster, Single, api, check, http_call, main, push_ok, query,
                         snappy, wait_for)
from random_expr import STEP_MS, Data, Exprs
from start_time_test import push_2

STEP = 15
SEED = int(os.environ.get("SEED", "3"))
EXPRESSIONS = int(os.environ.get("EXPRESSIONS", "150"))


BEFORE = {}  # metrics as of settle(), by address


def raw_metric(addr, name):
    for line in http_call(addr, "GET", "/metrics").text.splitlines():
        if line.split(" ")[0].split("{")[0] == f"orrery_querier_{name}":
            return int(float(line.split()[-1]))
    raise SystemExit(f"no metric {name}")


def metric(addr, name):
    return raw_metric(addr, name) - BEFORE.get((addr, name), 0)


def settle(addr, start, end, expr="vector(1)", tenant=TENANT):
    """While samples come that are hours old, and for some seconds after, nothing is kept. Then counting begins."""
    def is_kept():
        had = raw_metric(addr, "result_cache_hits_total")
        ok(ask(addr, expr, start, end, tenant=tenant))
        return raw_metric(addr, "result_cache_hits_total") > had
    wait_for("answers to be kept", is_kept, 40, every=0.5)
    for name in ("result_cache_hits_total", "result_cache_misses_total", "result_cache_puts_total",
                 "result_cache_steps_used_total", "result_cache_steps_computed_total"):
        BEFORE[addr, name] = raw_metric(addr, name)


def ask(addr, expr, start, end, step=STEP, tenant=TENANT, afresh=False):
    headers = {"X-Scope-OrgID": tenant, "Content-Type": "application/x-www-form-urlencoded"}
    if afresh:
        headers["Cache-Control"] = "no-cache, No-Store"
    body = urllib.parse.urlencode({"query": expr, "start": f"{start / 1000:.3f}", "end": f"{end / 1000:.3f}",
                                   "step": step})
    return http_call(addr, "POST", "/api/v1/query_range", body, headers, 60)


def ok(r):
    check(r.status == 200, f"{r.status} {r.text[:300]}")
    return r.json


def canonical(r):
    """The answer's bytes; annotations are a set."""
    if r.status != 200:
        return r.status, r.text
    out = r.json
    for key in ("warnings", "infos"):
        if key in out:
            out[key] = sorted(out[key])
    return r.status, json.dumps(out), len(r.body) if "warnings" not in out and "infos" not in out else 0


def now_ms():
    return int(time.time()) // STEP * STEP * 1000


def ramp(start, end, jobs="abcde", **labels):
    return [({"__name__": "x_total", "job": j, **labels}, [(t, float((t - start) // 1000 * (i + 1)))
                                                          for t in range(start, end, STEP * 1000)])
            for i, j in enumerate(jobs)]


def test_two_queriers_keep_what_does_not_change(t):
    # a deletion is a compactor's to write where puts are not conditional
    c = Cluster(t, args=["--ingesters", "3", "--queriers", "2", "--compactors", "1" if TEST_BUCKET == "s3" else "0", "--rulers", "0",
                         "--alertmanagers", "0", "--config", config(t)])
    one, other = c.addrs("querier")
    end = now_ms()
    start = end - 3 * 3600_000
    push_ok(c.addrs("ingester")[0], ramp(start, end - 60_000))
    for q in (one, other):
        wait_for("the series", lambda q=q: query(q, "count(x_total)", end - 60_000)["result"] != [], 60)
    settle(one, start, end)
    expr = "sum by (job) (rate(x_total[5m]))"
    first = ask(one, expr, start, end)
    check(len(ok(first)["data"]["result"]) == 5, first.text[:300])
    check(metric(one, "result_cache_hits_total") == 0 and metric(one, "result_cache_puts_total") > 0, "the first")
    computed = metric(one, "result_cache_steps_computed_total")
    second = ask(one, expr, start, end)
    check(second.body == first.body, "the second answer is another")
    check(metric(one, "result_cache_hits_total") == 1, "the second was not answered from what is kept")
    used, again = metric(one, "result_cache_steps_used_total"), metric(one, "result_cache_steps_computed_total")
    steps = 3 * 3600 // STEP + 1
    check(used >= steps - 600 // STEP - 5, f"{used} of {steps} steps were used")
    check(again - computed == steps - used, f"{again - computed} steps were computed, {used} of {steps} used")
    check(metric(other, "result_cache_hits_total") == 0, "the other has a cache of its own")

    # a spelling that means the same meets the same steps; another step does not
    ok(ask(one, "sum  by(job)( rate(x_total[5m]) )", start, end))
    check(metric(one, "result_cache_hits_total") == 2, "spelt otherwise")
    ok(ask(one, expr, start, end, step=30))
    check(metric(one, "result_cache_hits_total") == 2, "another step")

    # no-store neither uses nor keeps
    misses = metric(one, "result_cache_misses_total")
    check(ask(one, expr, start, end, afresh=True).body == first.body, "no-store says something else")
    check(metric(one, "result_cache_hits_total") == 2 and metric(one, "result_cache_misses_total") == misses,
          "no-store looked at what is kept")

    # stats tell what was read, so it is read
    r = api(one, "/api/v1/query_range", {"query": expr, "start": start / 1000, "end": end / 1000, "step": STEP,
                                         "stats": "all"})
    check(r.json["data"]["stats"]["samples"]["totalQueryableSamples"] > steps * 4, r.text[-600:])
    check(metric(one, "result_cache_hits_total") == 2, "stats were answered from what is kept")

    # new samples
    push_ok(c.addrs("ingester")[0], [(labels, points[-4:]) for labels, points in ramp(start, end + 1)])
    fresh = ask(one, expr, start, end)
    check(metric(one, "result_cache_hits_total") == 3 and fresh.body != first.body, "new samples do not show")
    check(fresh.body == ask(one, expr, start, end, afresh=True).body, "new samples show otherwise")

    # a deletion, told to the other querier
    r = http_call(other, "POST", "/api/v1/admin/tsdb/delete_series?match[]=x_total%7Bjob%3D%22a%22%7D",
                  headers={"X-Scope-OrgID": TENANT})
    check(r.status == 204, r.text)
    left = ok(ask(one, expr, start, end))["data"]["result"]
    check([s["metric"]["job"] for s in left] == list("bcde"), f"deleted and still there: {len(left)} series")
    hits = metric(one, "result_cache_hits_total")
    check(ok(ask(one, expr, start, end))["data"]["result"] == left, "after the deletion")
    check(metric(one, "result_cache_hits_total") == hits + 1, "nothing is kept after the deletion")


def config(t, more=""):
    path = os.path.join(t.dir, "cache.yml")
    with open(path, "w") as f:
        f.write("querier: {enable-admin-api: true" + more + "}\n")
    return path


def test_long_ranges_run_in_stretches_on_both_queriers(t):
    c = Cluster(t, args=["--ingesters", "3", "--queriers", "2", "--compactors", "0", "--rulers", "0",
                         "--alertmanagers", "0", "--config",
                         config(t, ", split-interval: 20m, split-at-samples: 1, split-threads: 2")])
    one, other = c.addrs("querier")
    end = now_ms()
    start = end - 3 * 3600_000
    for i in range(10):
        push_ok(c.addrs("ingester")[0], ramp(start, end, pod=f"p{i}"))
    wait_for("the series", lambda: query(one, "count(x_total)", end - 60_000)["result"] != [], 60)
    settle(one, start, end)
    for expr in ("rate(x_total[5m])", "topk(2, sum by (job) (rate(x_total[2m])))", "x_total offset 7m",
                 "max_over_time(x_total[5m:20s]) - x_total", "sum(x_total) / count(x_total)"):
        whole = api(one, "/api/v1/query_range", {"query": expr, "start": start / 1000, "end": end / 1000,
                                                 "step": STEP, "stats": "all"}).json["data"]["result"]
        for _ in range(3):
            check(ok(ask(one, expr, start, end))["data"]["result"] == whole, f"{expr}: in stretches")
            start -= STEP * 1000  # one more step, and the kept ones
            whole = api(one, "/api/v1/query_range", {"query": expr, "start": start / 1000, "end": end / 1000,
                                                     "step": STEP, "stats": "all"}).json["data"]["result"]
    check(metric(one, "time_split_queries_total") >= 5, "not in stretches")
    text = http_call(other, "GET", "/metrics").text
    check('orrery_querier_parts_total{kind="served"} 0' not in text, "the other querier took no stretch")


def test_limits_and_the_tenants_switch_hold_at_once(t):
    path = os.path.join(t.dir, "overrides.yml")

    def override(text):
        with open(path + ".new", "w") as f:
            f.write("overrides:\n" + text)
        os.rename(path + ".new", path)

    override("  off: {cache_results: false}\n")
    o = Single(t, args=[f"--limits.overrides-file={path}", "--limits.overrides-period=100ms"]).wait_ready()
    end = now_ms()
    start = end - 2 * 3600_000
    for tenant in (TENANT, "off"):
        push_ok(o.addr, ramp(start, end), tenant=tenant)
    whole = ok(ask(o.addr, "x_total", start, end, tenant="off"))
    check(ok(ask(o.addr, "x_total", start, end, tenant="off")) == whole, "off")
    check(metric(o.addr, "result_cache_hits_total") + metric(o.addr, "result_cache_misses_total") == 0,
          "cache_results: false and yet kept")
    settle(o.addr, start, end)
    for hits in (0, 1):
        check(ok(ask(o.addr, "x_total", start, end)) == whole, "on")
        check(metric(o.addr, "result_cache_hits_total") == hits, "on")
    override(f"  {TENANT}: {{max_samples_per_query: 300}}\n")
    wait_for("the limit", lambda: ask(o.addr, "x_total", start, end).status == 422, 20)
    r = ask(o.addr, "x_total", start, end)
    check("300 (limits.max-samples-per-query)" in r.text, f"the limit's name: {r.text}")
    override(f"  {TENANT}: {{max_query_lookback: 1h}}\n")
    wait_for("the look-back", lambda: ask(o.addr, "x_total", start, end).status == 200, 20)
    for _ in range(2):
        r = ok(ask(o.addr, "x_total", start, end))["data"]["result"]
        check(r[0]["values"][0][0] * 1000 >= end - 3600_000 - 20_000, f"beyond the look-back: {r[0]['values'][0]}")


def test_what_comes_late_shows(t):
    c = Cluster(t, args=["--ingesters", "3", "--queriers", "2", "--compactors", "0", "--rulers", "0",
                         "--alertmanagers", "0", "--config", config(t)])
    one, end = c.addrs("querier")[0], now_ms()
    start = end - 2 * 3600_000
    ingester = c.addrs("ingester")[0]
    wait_for("the ring", lambda: ask(one, "x_total", start, end).status == 200, 60)
    for _ in range(2):
        check(ok(ask(one, "x_total", start, end))["data"]["result"] == [], "nothing yet")
    push_ok(ingester, ramp(start, end))
    wait_for("the late", lambda: len(ok(ask(one, "x_total", start, end))["data"]["result"]) == 5, 10)
    settle(one, start, end, "x_total")
    for n in range(2):  # late ones again, while answers are kept
        check(len(ok(ask(one, "x_total", start, end))["data"]["result"]) == 5 + n, "before")
        check(metric(one, "result_cache_hits_total") > 0, "nothing was kept")
        push_ok(ingester, ramp(start, end - 3600_000, jobs="z", pod=f"late{n}"))
        wait_for("the late", lambda: len(ok(ask(one, "x_total", start, end))["data"]["result"]) == 6 + n, 10)
        settle(one, start, end, "x_total")


def test_what_is_first_seen_late_shows(t):
    """In queries that were kept when there was nothing of it: series, what says that there are none, the zero at
    the time of a counter's creation."""
    o = Single(t, args=["--limits.created-timestamp-zero-ingestion=true"]).wait_ready()
    end = now_ms()
    start = end - 2 * 3600_000
    exprs = ["sum(known)", "known", "count(late)", "sum(late) or vector(0)", "absent(late)",
             "count(late) or on() vector(0)", "sum(made_total) or vector(-1)"]

    def differ():
        return [e for e in exprs if canonical(ask(o.addr, e, start, end)) !=
                canonical(ask(o.addr, e, start, end, afresh=True))]

    def points(metric_name, since, until):
        return ({"__name__": metric_name, "first": str(since)}, [(at, 1.0) for at in range(since, until, STEP * 1000)])

    push_ok(o.addr, [points("known", start, end)])
    for what, late in (
            ("two hours", lambda: push_ok(o.addr, [points("known", start + 1, end), points("late", start, end)])),
            ("one sample", lambda: push_ok(o.addr, [points(m, end - 1800_000, end - 1799_999)
                                                   for m in ("known", "late")])),
            ("a zero", lambda: push_2(o.addr, [({"__name__": "made_total"}, [(end, 7.0, end - 3600_000)])]))):
        settle(o.addr, start, end)
        for e in exprs:
            ok(ask(o.addr, e, start, end))
        check(metric(o.addr, "result_cache_puts_total") > 0, "nothing was kept")
        late()
        wait_for(f"{what}, in all that was kept without: {differ()}", lambda: not differ(), 10)
    zeros = ok(ask(o.addr, "made_total", start, end))["data"]["result"][0]["values"]
    check(zeros[0] == [(end - 3600_000) // 1000, "0"], f"no zero at the creation: {zeros[0]}")
    settle(o.addr, start, end)
    for _ in range(2):
        check(not differ(), f"when kept again: {differ()}")
    check(metric(o.addr, "result_cache_hits_total") > 0, "not kept again")


SLOW = "sum(quantile_over_time(0.9, rate(x_total[5m])[40m:1s]))"  # takes a while


def test_equal_queries_at_once_are_run_twice_at_most(t):
    o = Single(t, args=["--querier.result-cache-size=0", "--querier.split-interval=0"]).wait_ready()
    end = now_ms()
    start = end - 2 * 3600_000
    for i in range(20):
        push_ok(o.addr, ramp(start, end, pod=f"p{i}"))
    selects = metric(o.addr, "selects_total")
    ok(ask(o.addr, SLOW, start, end, afresh=True))
    per_run = metric(o.addr, "selects_total") - selects
    answers = [None] * 10

    def one(i):
        answers[i] = ask(o.addr, SLOW, start, end)

    selects = metric(o.addr, "selects_total")
    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(answers))]
    for th in threads:
        th.start()
    for th in threads:
        th.join()
    check(len({ok(r) and r.body for r in answers}) == 1, "ten answers to one question")
    # the first, and one for those who came while it ran
    shared, selects = metric(o.addr, "shared_queries_total"), metric(o.addr, "selects_total") - selects
    check(shared >= 8, f"{shared} of 10 had another's answer")
    check(0 < selects <= 2 * per_run, f"{selects} selects for ten, {per_run} for one alone")


def test_what_was_acknowledged_is_in_a_query_sent_after_it(t):
    """Though an equal one, which began before, is under way and does not have it."""
    o = Single(t, args=["--querier.result-cache-size=0"]).wait_ready()
    end = now_ms()
    for i in range(0, 3000, 500):
        push_ok(o.addr, ramp(end - 3600_000, end, jobs=[str(j) for j in range(i, i + 500)]))
    push_ok(o.addr, [({"__name__": "probe", "k": "old"}, [(end, 1.0)])])
    params = {"query": "sum(quantile_over_time(0.9, rate(x_total[5m])[55m:250ms])) * 0 + on() group_right() probe",
              "time": end / 1000}

    def probes(into):
        r = api(o.addr, "/api/v1/query", params, timeout=120)
        into.append(sorted(s["metric"]["k"] for s in ok(r)["data"]["result"]))

    before, after = [], []
    first = threading.Thread(target=probes, args=(before,))
    first.start()
    time.sleep(0.2)
    push_ok(o.addr, [({"__name__": "probe", "k": "new"}, [(end, 1.0)])])
    check(first.is_alive(), "the first was too fast to tell anything")
    threads = [threading.Thread(target=probes, args=(after,)) for _ in range(5)]
    for th in threads:
        th.start()
    for th in [first, *threads]:
        th.join()
    check(after == [["new", "old"]] * 5, f"asked after the write: {after}")
    check(metric(o.addr, "shared_queries_total") >= 3, "five at once were run more than twice")
    print(f"# the first, asked before the write, had {before}", flush=True)


def test_random_queries_say_the_same_kept_or_not(t):
    o = Single(t).wait_ready()
    rounds = 480  # two hours, the newest samples a few minutes old
    begin = now_ms() - rounds * STEP_MS - 120_000
    for body in Data(SEED, begin + 123, rounds).write_requests():
        r = http_call(o.addr, "POST", "/api/v1/push", snappy(body),
                      dict(PUSH_HEADERS, **{"X-Scope-OrgID": TENANT}))
        check(r.status // 100 == 2, r.text)
    settle(o.addr, begin, begin + rounds * STEP_MS)
    rng, bad, n = random.Random(SEED), [], 0
    for expr in itertools.islice(Exprs(SEED), EXPRESSIONS):
        step = rng.choice([15, 15, 37, 60])
        start = (begin + rng.randrange(0, 1800_000)) // (step * 1000) * step * 1000
        end = begin + rng.randrange(2400_000, rounds * STEP_MS + 120_000)
        for _ in range(3):
            kept, fresh = (ask(o.addr, expr, start, end, step, afresh=a) for a in (False, True))
            n += 1
            if canonical(kept) != canonical(fresh):
                bad.append(f"{expr} from {start} to {end} by {step}")
            start += rng.randrange(-4, 8) * step * 1000
            end += rng.randrange(-4, 8) * step * 1000
    hits = metric(o.addr, "result_cache_hits_total")
    print(f"# {n} range queries, {hits} met kept steps, {len(bad)} mismatches", flush=True)
    check(hits > n // 4, f"only {hits} of {n} met anything")
    check(not bad, lambda: f"seed {SEED}: {len(bad)} differ:\n" + "\n".join(bad[:20]))


if __name__ == "__main__":
    main()
