#!/usr/bin/env python3
"""A thousand random expressions over random data: Orrery and Debian's Prometheus must agree, from the head and
from blocks. SEED=n and EXPRESSIONS=n choose others; a failure names its seed."""
import itertools
import math
import os
import time

from orrery_test import (PUSH_HEADERS, TENANT, Prometheus, Single, api, check, http_call, key_of, main,
                         snappy, wait_for)
from random_expr import STEP_MS, Data, Exprs

SEED = int(os.environ.get("SEED", "1"))
EXPRESSIONS = int(os.environ.get("EXPRESSIONS", "1000"))
ROUNDS = 200  # 50 minutes


def feed(addrs, seed, start_ms):
    for body in Data(seed, start_ms, ROUNDS).write_requests():
        for addr, path, tenant in addrs:
            headers = dict(PUSH_HEADERS, **({"X-Scope-OrgID": tenant} if tenant else {}))
            r = http_call(addr, "POST", path, snappy(body), headers)
            check(r.status // 100 == 2, f"write to {addr}: {r.status} {r.text[:200]}")


def ask(addr, tenant, expr, start_ms, end_ms):
    """(status, {series: {t: value}}) of an instant and a range query."""
    out = []
    for path, params in (("query", {"query": expr, "time": f"{end_ms / 1000:.3f}"}),
                         ("query_range", {"query": expr, "start": f"{start_ms / 1000:.3f}",
                                          "end": f"{end_ms / 1000:.3f}", "step": "37"})):
        r = api(addr, f"/api/v1/{path}", params, tenant)
        if r.status != 200:
            out.append((r.status, r.text))
            continue
        series = {}
        for s in r.json["data"]["result"]:
            points = s.get("values", [s["value"]] if "value" in s else [])
            series[key_of(s["metric"])] = {round(t * 1000): float(v) for t, v in points}
        out.append((200, series))
    return out


def same(a, b, scale):
    return a == b or (math.isnan(a) and math.isnan(b)) or \
        math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9 * scale)


def difference(theirs, ours):
    if theirs[0] != 200 or ours[0] != 200:
        return None if theirs[0] == ours[0] else f"status {ours[0]}, Prometheus {theirs[0]}: {ours[1]!s:.150} / {theirs[1]!s:.150}"
    theirs, ours = theirs[1], ours[1]
    if set(theirs) != set(ours):
        return f"only there: {sorted(set(theirs) - set(ours))[:2]}, only here: {sorted(set(ours) - set(theirs))[:2]}"
    # what is left after large values cancel out depends on the order of summing
    scale = max((abs(v) for p in theirs.values() for v in p.values() if math.isfinite(v)), default=1)
    for key, points in theirs.items():
        if set(points) != set(ours[key]):
            return f"{key}: times differ: {sorted(set(points) ^ set(ours[key]))[:3]}"
        for t, v in points.items():
            if not same(v, ours[key][t], scale):
                return f"{key} at {t}: {ours[key][t]!r}, Prometheus has {v!r}"
    return None


def compare(what, prom, orrery, exprs, start_ms, end_ms):
    bad, answered, failed = [], 0, 0
    for expr in exprs:
        theirs = ask(prom, None, expr, start_ms, end_ms)
        ours = ask(orrery, TENANT, expr, start_ms, end_ms)
        for kind, a, b in zip(("instant", "range"), theirs, ours):
            why = difference(a, b)
            answered += a[0] == 200 and len(a[1]) > 0
            failed += a[0] != 200
            if why:
                bad.append(f"{kind}: {expr}: {why}")
    print(f"# {what}: {2 * len(exprs)} answers, {answered} not empty, {failed} errors on both sides", flush=True)
    check(answered > len(exprs), f"only {answered} of {2 * len(exprs)} answers have anything in them")
    check(not bad, lambda: f"seed {SEED}, {what}: {len(bad)} differ:\n" + "\n".join(bad[:20]))


def test_random_expressions_agree_with_prometheus(t):
    # every answer is to be computed: the same ranges are asked of the head and of blocks
    o = Single(t, args=["--querier.result-cache-size=0"]).wait_ready()
    p = Prometheus(t, "global: {}\n", args=["--web.enable-remote-write-receiver",
                                            "--enable-feature=native-histograms"]).wait_ready()
    # samples lie at .123 s, queries are asked at .777 s: nothing lies exactly on a bound
    start_ms = (int(time.time()) - ROUNDS * STEP_MS // 1000 - 60) * 1000 + 123
    feed([(p.addr, "/api/v1/write", None), (o.addr, "/api/v1/push", TENANT)], SEED, start_ms)
    exprs = list(itertools.islice(Exprs(SEED), EXPRESSIONS))
    begin, end = start_ms + 600_654, start_ms + ROUNDS * STEP_MS - 15_000 + 654
    compare("head", p.addr, o.addr, exprs, begin, end)
    check(http_call(o.addr, "POST", "/ingester/flush", timeout=120).status // 100 == 2, "flush")
    wait_for("the head to let go", lambda: not os.path.isdir(f"{o.dir}/data/segments/{TENANT}") or
             not os.listdir(f"{o.dir}/data/segments/{TENANT}"), 120)
    compare("blocks", p.addr, o.addr, exprs[:EXPRESSIONS // 4], begin, end)


if __name__ == "__main__":
    main()
