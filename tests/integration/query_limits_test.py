#!/usr/bin/env python3
"""Queries of death: each ends with its limit's error within seconds, and a neighbour on the same
querier goes on as before."""
import ctypes
import os
import platform
import struct
import threading
import time

from orrery_test import Single, api, check, main, push_ok, query

NOW = int(time.time()) * 1000
SERIES, STEPS = 2000, 20
ANSWER_S = 20  # on a machine that does other things too; alone it is a second or two

# name, path, parameters, texts of which the error must have one
DEATHS = [
    ("huge range", "query_range", {"query": "rate(x_total[5m])", "start": 0, "end": NOW / 1000, "step": 15},
     ["exceeded maximum resolution", "max-total-query-length"]),
    ("huge range in few steps", "query_range",
     {"query": "sum(x_total)", "start": 0, "end": NOW / 1000, "step": 1000000},
     ["max-total-query-length"]),
    ("huge regex", "query", {"query": 'x_total{pod=~"((a{1,500}){1,500}){1,500}"}'},
     ["regex", "repetition", "too large", "invalid"]),
    ("long regex", "query", {"query": 'x_total{pod=~"%s"}' % "|".join(f"[a-z]*p{i}.*" for i in range(20000))},
     ["regex", "too large", "too long", "too many", "limit", "parse"]),
    ("cross join", "query", {"query": "count(x_total * on() group_left() x_total)"},
     ["many-to-many", "duplicate"]),
    ("cross join over steps", "query_range",
     {"query": "x_total * on(job) group_left(pod) x_total", "start": NOW / 1000 - 10000,
      "end": NOW / 1000, "step": 1}, ["many-to-many", "duplicate", "limit"]),
    ("million-step subquery", "query",
     {"query": "sum_over_time(x_total[1000000s:1s])"}, ["max-samples", "too many samples", "memory", "timed out"]),
    ("million-step subquery inside another", "query",
     {"query": "max_over_time(sum_over_time(rate(x_total[5m])[1000000s:1s])[1000000s:1s])"},
     ["too many samples", "timed out", "memory"]),
    ("series limit", "query", {"query": 'count({__name__=~".+"}) + count({job=~".+"}) + count({pod=~".+"})'},
     ["max-fetched-series-per-query"]),
    ("bytes of memory", "query_range",
     {"query": "label_replace(x_total, 'a', '$1$1$1$1', 'pod', '(.*)') or label_replace(x_total, 'b', "
               "'$1$1', 'pod', '(.*)')",
      "start": NOW / 1000 - 10000, "end": NOW / 1000, "step": 1}, ["limit"]),
    ("deep nesting", "query", {"query": "(" * 100000 + "1" + ")" * 100000}, ["deep", "nest", "long", "large", "URI"]),
]


def load(o, tenant, n):
    for start in range(0, n, 500):
        push_ok(o.addr, [({"__name__": "x_total", "job": f"j{i % 7}", "pod": f"pod-{i:05d}"},
                          [(NOW - (STEPS - k) * 15000, float(k * i)) for k in range(STEPS)])
                         for i in range(start, min(start + 500, n))], tenant=tenant)


def take_short_turns():
    """The calling thread does not wait for the end of others' turns of computing: it stands for a client on another
    machine. sched_setattr(2), Linux 6.12; nothing where the kernel does not have it."""
    libc = ctypes.CDLL(None, use_errno=True)
    attr = struct.pack("=IIQiIQQQ", 48, 0, 0, os.nice(0), 0, 300000, 0, 0)
    libc.syscall({"x86_64": 314, "aarch64": 274}.get(platform.machine(), -1), 0, attr, 0)


def neighbour(o, stop, out):
    take_short_turns()
    while not stop.is_set():
        began = time.monotonic()
        r = query(o.addr, "sum by (job) (rate(x_total[5m]))", NOW, tenant="neighbour")
        out.append((time.monotonic() - began, len(r["result"])))
        time.sleep(0.01)


def p(xs, percent):
    return sorted(xs)[min(len(xs) - 1, len(xs) * percent // 100)]


def watch(o, what):
    """Runs what() with the neighbour asking alongside; its latencies."""
    stop, seen = threading.Event(), []
    t = threading.Thread(target=neighbour, args=(o, stop, seen))
    t.start()
    try:
        what()
    finally:
        stop.set()
        t.join()
    check(seen and all(n == 7 for _, n in seen), f"the neighbour's answers changed: {set(n for _, n in seen)}")
    return [s for s, _ in seen]


def test_queries_of_death_end_with_their_limit(t):
    o = Single(t, args=["--limits.max-samples-per-query=2000000", "--querier.max-query-memory=64MiB",
                        "--querier.timeout=15s", "--limits.max-total-query-length=30d", "--limits.max-fetched-series-per-query=4500"]).wait_ready()
    load(o, "test", SERIES)
    load(o, "neighbour", 200)
    alone = watch(o, lambda: time.sleep(3))

    def die():
        for name, path, params, texts in DEATHS:
            began = time.monotonic()
            if path == "query":
                params = {"time": NOW / 1000, **params}
            r = api(o.addr, f"/api/v1/{path}", params, method="POST", timeout=60)
            took = time.monotonic() - began
            check(400 <= r.status < 600 and r.status != 500, f"{name}: {r.status} {r.text[:300]}")
            check(any(x in r.text for x in texts), f"{name}: {r.text[:400]}")
            check(took < ANSWER_S, f"{name}: {took:.1f} s")
    beside = watch(o, die)
    check(o.alive(), "it died")
    # Half of a quiet machine's p99 and what the scheduler of a busy one may add.
    check(p(beside, 99) < 1.5 * p(alone, 99) + 0.5,
          f"the neighbour's p99 went from {p(alone, 99):.3f} s to {p(beside, 99):.3f} s")
    check(p(beside, 50) < 1.5 * p(alone, 50) + 0.1,
          f"the neighbour's median went from {p(alone, 50):.3f} s to {p(beside, 50):.3f} s")


def error_of(o, expr):
    r = api(o.addr, "/api/v1/query", {"query": expr, "time": NOW / 1000}, method="POST", timeout=60)
    check(r.status in (400, 422), f"{expr[:60]}: {r.status} {r.text[:300]}")
    return r.text


def test_long_lists_are_answered_or_refused_by_name(t):
    """What dashboards make of "all" is answered; bounds of messages between processes show as such nowhere."""
    o = Single(t).wait_ready()
    load(o, "test", 20)

    def counts(expr, want):
        r = api(o.addr, "/api/v1/query", {"query": expr, "time": NOW / 1000}, method="POST", timeout=60)
        check(r.status == 200 and f',"{want}"]' in r.text, f"{expr[:60]}: {r.status} {r.text[:300]}")
    counts('count(x_total{pod=~"%s"})' % "|".join(f"pod-{i:05d}" for i in range(10, 90000)), "10")
    counts('count(x_total{pod!~"%s"})' % "|".join(f"pod-{i:05d}" for i in range(10, 90000)), "10")
    counts('count(x_total{%s})' % ",".join(f'pod!="pod-{i:05d}"' for i in range(5, 4000)), "5")
    counts('count(x_total{%s})' % ",".join(f'pod!~"pod-0*{i}"' for i in range(5, 200)), "5")
    counts("count(sum by (pod, %s) (x_total))" % ",".join(f"l{i}" for i in range(5000)), "20")
    check("4096 matchers" in (e := error_of(o, "x_total{%s}" % ",".join(f'pod!="{i}"' for i in range(5000)))), e)
    check("256 regexes" in (e := error_of(o, "x_total{%s}" % ",".join(f'pod!~"{i}+"' for i in range(300)))), e)


def test_values_that_a_query_makes_are_bounded(t):
    o = Single(t, args=["--querier.max-query-memory=64MiB"]).wait_ready()
    load(o, "test", 1)
    doubled, joined = "x_total", "x_total"
    for _ in range(25):
        doubled = f'label_replace({doubled},"pod","$1$1","pod","(.*)")'
    for _ in range(20):
        joined = 'label_join(%s,"pod","",%s)' % (joined, ",".join(['"pod"'] * 20))
    for expr in doubled, 'label_join(%s,"pod","",%s)' % (doubled, ",".join(['"pod"'] * 400)), joined:
        r = api(o.addr, "/api/v1/query", {"query": expr, "time": NOW / 1000}, method="POST", timeout=60)
        check(r.status == 422 and "a value of more than 1048576 bytes" in r.text, f"{r.status} {r.text[:300]}")
    check(o.alive(), "it died")


# Of a size that only the work they make gives away: with the limits as they come.
LONG_WORK = [
    ("query", {"query": "sum_over_time(x_total[1000000s:1s])"}),
    ("query", {"query": "sum_over_time(sum(rate(x_total[5m]))[1000000s:1s])"}),
    ("query", {"query": "max_over_time(sum_over_time(rate(x_total[5m])[1000000s:1s])[1000000s:1s])"}),
    ("query_range", {"query": " + ".join(f"sum(rate(x_total[{60 + i}s]))" for i in range(200)),
                     "start": NOW / 1000 - 10000, "end": NOW / 1000, "step": 1}),
]


def die_of_work(o, path, params):
    began = time.monotonic()
    r = api(o.addr, f"/api/v1/{path}", {"time": NOW / 1000, **params} if path == "query" else params,
            method="POST", timeout=200)
    took = time.monotonic() - began
    check(r.status == 422 and "limits.max-samples-per-query" in r.text,
          f"{params['query'][:60]}: {took:.1f} s, {r.status} {r.text[:300]}")
    check(took < 60, f"{params['query'][:60]}: {took:.1f} s")
    print(f"   {params['query'][:60]}: {took:.1f} s")


def test_the_limits_as_they_come_end_long_work_too(t):
    o = Single(t).wait_ready()
    load(o, "test", 20000)
    load(o, "neighbour", 200)
    alone = watch(o, lambda: time.sleep(5))

    beside = watch(o, lambda: [die_of_work(o, path, params) for path, params in LONG_WORK])
    for name, at in ("median", 50), ("p99", 99):
        print(f"   the neighbour's {name}: alone {1000 * p(alone, at):.1f} ms, beside them {1000 * p(beside, at):.1f} ms")


if __name__ == "__main__":
    main()
