#!/usr/bin/env python3
"""Log lines move from ingesters into blocks: whoever asks sees no difference."""
import glob
import json

from logs_api_test import S, ask, data, lines, streams
from logs_test import bucket, counter, flush, held, live, now_ns, push_ok
from orrery_test import Cluster, Single, check, http_call, main, wait_for

FAST = ["--compactor.poll-interval=200ms", "--compactor.early-wait=200ms", "--compactor.drop-delay=100ms",
        "--compactor.retry-min=100ms", "--compactor.retry-max=500ms"]
HOUR = 3600 * S


def fill(addr, base, first, n):
    """Lines first … first+n-1 of three streams, a second apart; of one every fifth some hours late."""
    web = [(base + i * S, f'level={"error" if i % 3 else "info"} request {i} took {i % 7} ms', {"trace": f"t{i % 2}"})
           for i in range(first, first + n)]
    db = [(base + i * S - (5 * HOUR if i % 5 == 0 else 0), json.dumps({"query": i, "user": f"user-{i % 3}"}))
          for i in range(first, first + n)]
    push_ok(addr, [({"app": "web", "env": "prod"}, web), ({"app": "db", "env": "prod"}, db),
                   ({"app": "db", "env": f"dev{first}"}, db)])


def questions(base):
    span = {"start": base - 12 * HOUR, "end": base + 2 * HOUR}
    return [
        *(("query_range", {"query": q, **span, "direction": d, "limit": n})
          for q in ('{env=~".+"}', '{app="web"} |= "took 3 ms"', '{app="db"} | json | user="user-1"',
                    '{app=~"web|db"} |~ "request 1." != "error"', '{app="web"} | logfmt | level="info" | line_format "x"')
          for d, n in (("forward", 5000), ("backward", 5000), ("backward", 7), ("forward", 3))),
        ("query_range", {"query": 'sum by (app) (count_over_time({env=~".+"} [10m]))', **span, "step": "5m"}),
        ("query_range", {"query": 'sum(rate({app="web"} |= "error" [1h]))', **span, "step": "10m"}),
        ("query", {"query": 'count_over_time({app="web"} |= "took 3 ms" [6h])', "time": base + HOUR}),
        ("labels", span), ("label/env/values", span), ("label/app/values", {**span, "query": '{env="prod"}'}),
        ("series", {**span, "match[]": '{app="db"}'}),
    ]


def answers(addr, base):
    """Of all questions, without what may differ: what it took."""
    out = {}
    for path, params in questions(base):
        d = data(addr, path, params)
        if isinstance(d, dict):
            d.pop("stats", None)
            if d.get("resultType") == "streams" and params["limit"] < 100:  # which of one moment is open
                d = sorted(v[0] for x in d["result"] for v in x["values"])
        elif path == "series":
            d = sorted(json.dumps(x, sort_keys=True) for x in d)
        out[f"{path} {sorted(params.items())}"] = d
    return out


def check_same(addr, base, want, what):
    got = answers(addr, base)
    for key, value in want.items():
        check(got[key] == value, lambda: f"{what}: {key}:\n{json.dumps(got[key])[:1500]}\nnot\n{json.dumps(value)[:1500]}")


def wait_until_in_blocks(addrs):
    wait_for("the ingesters to hold nothing", lambda: all(not held(a, '{env=~".+"}') for a in addrs), 60)


def stats(addr, query, base, **params):
    r = ask(addr, "query_range", {"query": query, "start": base - 12 * HOUR, "end": base + 2 * HOUR, **params})
    check(r.status == 200, f"{r.status} {r.text[:300]}")
    return r.json["data"]["stats"]


def test_answers_are_the_same_before_and_after(t):
    o = Single(t, args=FAST).wait_ready()
    base = now_ns() - 600 * S
    fill(o.addr, base, 0, 200)
    want = answers(o.addr, base)
    check(len(lines(o.addr, '{env=~".+"}', start=base - 12 * HOUR, end=base + HOUR, limit=5000)) == 600, "all are there")
    check(stats(o.addr, '{app="web"}', base)["querier"]["store"]["totalChunksRef"] == 0, "no block yet")

    flush(o.addr)
    wait_until_in_blocks([o.addr])
    check(live(o), "no block in the catalogue")
    check_same(o.addr, base, want, "after the flush")
    s = stats(o.addr, '{app="web"}', base, limit=5000)
    check(s["querier"]["store"]["totalChunksDownloaded"] > 0, f"{s}")
    check(s["querier"]["store"]["chunk"]["decompressedLines"] == 200 and s["ingester"]["totalLinesSent"] == 0, f"{s}")
    check(s["summary"]["totalLinesProcessed"] == 200, f"{s}")

    fill(o.addr, base, 150, 100)  # some again, some new
    want = answers(o.addr, base)
    check(len(lines(o.addr, '{app="web"}', start=base - 12 * HOUR, end=base + HOUR, limit=5000)) == 250, "each once")
    flush(o.addr)
    wait_until_in_blocks([o.addr])
    check_same(o.addr, base, want, "after another flush")
    o.kill()
    o.start()
    o.wait_ready()
    check_same(o.addr, base, want, "after a restart")
    check(counter(o.addr, "orrery_querier_logs_opened_blocks_total") > 0, "opened blocks are not counted")


def test_a_limit_does_not_read_what_is_old(t):
    """Blocks of several windows: the newest lines open one of them."""
    o = Single(t, args=[*FAST, "--compactor.dry-run=true"]).wait_ready()
    base = now_ns()
    for hours in (9, 6, 3):
        push_ok(o.addr, [({"app": "x"}, [(base - hours * HOUR + i * S, f"{hours} hours ago, {i}") for i in range(20)])])
        flush(o.addr)
        wait_for("the block", lambda: not held(o.addr, '{app="x"}'), 60)
    n = len(live(o))
    check(n == 3, f"{n} blocks")
    o.kill()
    o.start()
    o.wait_ready()
    opened = lambda: counter(o.addr, "orrery_querier_logs_opened_blocks_total")
    got = lines(o.addr, '{app="x"}', start=base - 12 * HOUR, end=base, limit=5)
    check(got == [f"3 hours ago, {i}" for i in (19, 18, 17, 16, 15)], f"{got}")
    check(opened() == 1, f"{opened()} blocks were opened")
    got = lines(o.addr, '{app="x"}', start=base - 12 * HOUR, end=base, limit=5, direction="forward")
    check(got == [f"9 hours ago, {i}" for i in range(5)], f"{got}")
    check(opened() == 2, f"{opened()} blocks were opened")
    got = streams(o.addr, '{app="x"}', start=base - 12 * HOUR, end=base, limit=500)
    check(len(got) == 1 and len(got[0][1]) == 60 and opened() == 3, f"{got} {opened()}")


def test_blocks_of_replicas(t):
    """Three replicas, one of them away while a part comes, each flushed by itself: blocks that hold the same lines. Any querier,
    before and after."""
    c = Cluster(t, args=["--ingesters", "3", "--queriers", "2", "--compactors", "1", "--rulers", "0", "--alertmanagers", "0"])
    doors, queriers = c.addrs("ingester"), c.addrs("querier")
    base = now_ns() - 600 * S
    fill(doors[0], base, 0, 100)
    c.run("kill", "ingester-3")
    fill(doors[0], base, 100, 100)
    c.run("restart", "ingester-3")
    wait_for("all to be back", lambda: all(http_call(a, "GET", "/ready").status == 200 for a in c.addrs("ingester")))
    doors = c.addrs("ingester")
    want = answers(queriers[0], base)
    for a in doors:
        flush(a)
    wait_until_in_blocks(doors)
    for i, a in enumerate(queriers):
        check_same(a, base, want, f"querier {i}")
    check(glob.glob(f"{bucket(c)}/*/meta.json"), "no block")
    s = stats(queriers[1], '{app="web"}', base, limit=5000)
    came = s["querier"]["store"]["chunk"]
    check(s["summary"]["totalLinesProcessed"] == 200, f"a line came twice: {s}")
    check(came["decompressedLines"] - came["totalDuplicates"] == 200 and s["ingester"]["totalLinesSent"] == 0, f"{s}")

    # what is deleted at one querier is so at the other when that has answered: in blocks, in ingesters
    fill(doors[0], base, 200, 20)
    span = {"start": base - 12 * HOUR, "end": base + 2 * HOUR, "limit": 5000}
    wait_for("all lines", lambda: [len(lines(a, '{app="web"}', **span)) for a in queriers] == [220, 220])
    for i, query in enumerate(('{app="web"} |= "error"', '{app="web"} | logfmt')):
        r = ask(queriers[i], "delete", {"query": query, "start": base // S - 60}, method="POST")
        check(r.status == 204, f"{r.status} {r.text}")
        want = 0 if i else len([n for n in range(220) if n % 3 == 0])
        for a in queriers: # no waiting
            got = lines(a, '{app="web"}', **span)
            check(len(got) == want and not any("error" in x for x in got), f"{a}: {len(got)} {got[:2]}")
    check(data(queriers[0], "label/app/values", {"start": base - 12 * HOUR, "end": base + 2 * HOUR}) == ["db"], "values")


if __name__ == "__main__":
    main()
