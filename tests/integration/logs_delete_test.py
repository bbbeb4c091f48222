#!/usr/bin/env python3
"""Deleting log lines by Loki's API: gone at once from every answer, from heads and blocks; taken back; gone from the bucket."""
import glob
import json
import time
from urllib.parse import urlencode

from logs_api_test import S, ask, data, lines
from logs_blocks_test import FAST, wait_until_in_blocks
from logs_tail_test import Ws
from logs_test import flush, live, now_ns, push_ok
from orrery_test import TENANT, Single, check, http_call, main, wait_for

EAGER = [*FAST, "--compactor.sweep-interval=300ms", "--compactor.compaction-interval=300ms", "--compactor.deletion-delay=1s"]


def call(addr, method, tenant=TENANT, **params):
    deadline = time.monotonic() + 20
    while True:
        r = http_call(addr, method, "/loki/api/v1/delete?" + urlencode(params), headers={"X-Scope-OrgID": tenant})
        # where a compactor writes by a lease, as on Swift, it has none yet in the first seconds
        if r.status != 503 or "lease" not in r.text or time.monotonic() > deadline:
            return r
        time.sleep(0.2)


def delete(addr, query, start, end=None, method="POST", **more):
    r = call(addr, method, query=query, start=start // S, **({"end": end // S} if end else {}), **more)
    check(r.status == 204 and not r.body, f"{query}: {r.status} {r.text}")


def requests(addr):
    r = call(addr, "GET")
    check(r.status == 200 and r.headers["content-type"].startswith("application/json"), f"{r.status} {r.text}")
    return r.json


def fill(addr, base, first, n):
    push_ok(addr, [
        ({"app": "web", "env": "prod"}, [(base + i * S, f"level=info user={'secret' if i % 4 == 0 else 'public'} n={i}")
                                         for i in range(first, first + n)]),
        ({"app": "db", "env": "dev"}, [(base + i * S, f"select {i}") for i in range(first, first + n)]),
        ({"app": "old", "env": "prod"}, [(base + i * S, f"old {i}") for i in range(first, first + n)])])


def check_answers(addr, base, n):
    """Of n lines a stream: every fourth of web is deleted, all of db, of old those before the 20th second."""
    span = {"start": base, "end": base + n * S}
    public, left = n - (n + 3) // 4, n - 20
    check(len(lines(addr, '{app="web"}', **span, limit=1000)) == public, "lines")
    check(lines(addr, '{app="web"} |= "secret"', **span) == [] and lines(addr, '{env="dev"}', **span) == [], "needles")
    check(lines(addr, '{app="web"}', **span, limit=2, direction="forward") ==
          [f"level=info user=public n={i}" for i in (1, 2)], "the first two")
    check(lines(addr, '{app="old"}', **span, limit=1, direction="forward") == ["old 20"], "the first")
    got = data(addr, "query", {"query": 'sum by (app) (count_over_time({env=~".+"} [1h]))', "time": base + n * S})
    check({x["metric"]["app"]: int(x["value"][1]) for x in got["result"]} == {"web": public, "old": left}, f"{got}")
    check(data(addr, "label/app/values", span) == ["old", "web"] and data(addr, "label/env/values", span) == ["prod"], "values")
    check(data(addr, "label/app/values", {"start": base, "end": base + 19 * S}) == ["web"], "values of a range")
    check(sorted(x["app"] for x in data(addr, "series", {**span, "match[]": '{env=~".+"}'})) == ["old", "web"], "series")
    stats = ask(addr, "index/stats", {**span, "query": '{env=~".+"}'}).json
    check(stats["streams"] == 2 and stats["entries"] == public + left, f"{stats}")
    volume = data(addr, "index/volume", {**span, "query": '{env=~".+"}', "targetLabels": "app"})["result"]
    check({x["metric"]["app"] for x in volume} == {"web", "old"}, f"{volume}")
    got = data(addr, "patterns", {**span, "query": '{app="web"}'})
    check("secret" not in json.dumps(got) and sum(v[1] for p in got for v in p["samples"]) == public, f"{got}")
    got = ask(addr, "detected_labels", span).json["detectedLabels"]
    check({x["label"]: x["cardinality"] for x in got} == {"app": 2, "env": 1, "service_name": 2}, f"{got}")
    got = ask(addr, "detected_field/user/values", {**span, "query": '{app="web"}'}).json["values"]
    check(got == ["public"], f"{got}")


def test_gone_at_once_from_every_answer(t):
    o = Single(t, args=FAST).wait_ready()
    began = time.time()
    base = now_ns() // S * S - 600 * S
    fill(o.addr, base, 0, 40)
    check(len(lines(o.addr, '{app="web"}', start=base, end=base + 100 * S)) == 40, "before")
    tail = Ws(o.addr, '{app="web"} |= "user"', start=base, limit=1000)
    check(len(tail.entries(40)) == 40, "a tail before")
    tail.s.close()
    delete(o.addr, '{app="web"} |= "secret"', base - 60 * S)
    delete(o.addr, '{app="db"}', base - 60 * S, base + 500 * S, method="PUT", max_interval="1h")
    delete(o.addr, '{app=~"old|none"} | logfmt', base, base + 19 * S, max_interval="10s")
    check_answers(o.addr, base, 40)  # in the head
    flush(o.addr)
    wait_until_in_blocks([o.addr])
    check(sum(b["samples"] for b in live(o)) == 120, f"left out before they were begun: {live(o)}")
    check_answers(o.addr, base, 40)  # in blocks
    fill(o.addr, base, 40, 20)
    check_answers(o.addr, base, 60)  # half and half; what came later within the times is hidden, too
    tail = Ws(o.addr, '{app="web"} |= "user"', start=base, limit=1000)
    got = [e[2] for e in tail.entries(45)]
    check(len(got) == 45 and not any("secret" in x for x in got), f"{got}")
    tail.s.close()
    o.kill()
    o.start()
    o.wait_ready()
    check_answers(o.addr, base, 60)

    got = requests(o.addr)
    check([x["query"] for x in got] == ['{app="web"} |= "secret"', '{app="db"}', '{app=~"old|none"} | logfmt'], f"{got}")
    check([set(x) for x in got] == [{"request_id", "start_time", "end_time", "query", "status", "created_at"}] * 3, f"{got}")
    check([x["status"] for x in got] == ["received"] * 3, f"{got}")
    check(got[1]["start_time"] == base // S - 60 and got[1]["end_time"] == base // S + 500, f"{got}")
    check(began - 1 < got[0]["created_at"] < time.time() + 1 and 0 <= got[0]["created_at"] - got[0]["end_time"] < 60, f"{got}")
    for i, n in ((1, 60), (0, 60)):
        r = call(o.addr, "DELETE", request_id=got[i]["request_id"])
        check(r.status == 204 and not r.body, f"{r.status} {r.text}")
        app = "db" if i else "web"
        check(len(lines(o.addr, f'{{app="{app}"}}', start=base, end=base + 100 * S)) == n, f"{app} did not come back")
    check(len(requests(o.addr)) == 1, f"{requests(o.addr)}")
    r = call(o.addr, "DELETE", request_id=got[0]["request_id"])
    check(r.status == 404 and "could not find delete request" in r.text, f"{r.status} {r.text}")


def test_it_leaves_the_bucket(t):
    """The block is rewritten without the lines; then the request is processed, and hides nothing any more."""
    o = Single(t, args=[*EAGER, "--compactor.delete-rewrite-after=4s"]).wait_ready()
    base = now_ns() // S * S - 600 * S
    span = {"start": base - 60 * S, "end": base + 600 * S, "limit": 1000}
    fill(o.addr, base, 0, 40)
    flush(o.addr)
    wait_until_in_blocks([o.addr])
    delete(o.addr, '{app="web"} |= "secret"', base - 60 * S)
    delete(o.addr, '{app="db"} |= "no line has this"', base - 60 * S)
    delete(o.addr, '{app="old"} | line_format "x"', base - 60 * S)
    mine = requests(o.addr)[2]["request_id"]
    fill(o.addr, base, 40, 20)
    check(sum(b["samples"] for b in live(o)) == 120, "nothing is begun")
    r = call(o.addr, "DELETE", request_id=mine)
    check(r.status == 204, f"{r.status} {r.text}")
    wait_for("it to be begun", lambda: [x["status"] for x in requests(o.addr)] == ["0% Complete"] * 2, 60)
    r = call(o.addr, "DELETE", request_id=requests(o.addr)[0]["request_id"])
    check(r.status == 400 and "?force" in r.text, f"{r.status} {r.text}")
    flush(o.addr)  # what comes by now is left out on its way
    wait_until_in_blocks([o.addr])
    wait_for("both to be processed", lambda: [x["status"] for x in requests(o.addr)] == ["processed"] * 2, 60)
    check(sum(b["samples"] for b in live(o)) == 180 - 15, f"{live(o)}")
    check(len(lines(o.addr, '{app="web"}', **span)) == 45 and not lines(o.addr, '{app="web"} |= "secret"', **span),
          "the lines are there, now that nothing hides them")
    check(len(lines(o.addr, '{env=~"dev|prod"}', **span)) == 165, "the others")
    r = call(o.addr, "DELETE", request_id=requests(o.addr)[0]["request_id"], force="true")
    check(r.status == 400 and "already processed" in r.text, f"{r.status} {r.text}")
    push_ok(o.addr, [({"app": "web", "env": "prod"}, [(base + S // 2, "a new secret of old")])])
    check(lines(o.addr, '{app="web"} |= "secret"', **span) == ["a new secret of old"], "it is over")


def test_it_is_refused(t):
    path = f"{t.dir}/overrides.yml"
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"overrides": {"never": {"deletion_mode": "disabled"}, "keep": {"deletion_mode": "filter-only"}}}, f)
    o = Single(t, args=[*EAGER, "--compactor.delete-rewrite-after=0s", f"--limits.overrides-file={path}"]).wait_ready()
    now = int(time.time())
    good = {"query": '{app="a"}', "start": now - 60}
    for params, text in (({}, "query not set"), ({"query": '{app="a"}'}, "start time not set"),
                         ({**good, "query": '{app="a'}, "invalid query expression"),
                         ({**good, "query": '{app="a"} |~ "("'}, "invalid query expression"),
                         ({**good, "query": 'rate({app="a"}[1m])'}, "unsupported query expression"),
                         ({**good, "query": "{}"}, "at least one"),
                         ({**good, "start": "x"}, "start"), ({**good, "end": "x"}, "end"),
                         ({**good, "end": now + 3600}, "future"), ({**good, "end": now - 61}, "greater than end"),
                         ({**good, "query": '{app="a"} |= "x"', "max_interval": "2h"}, "max_interval can't be greater"),
                         ({**good, "query": '{app="a"} |= "x"', "max_interval": "x"}, "max_interval")):
        r = call(o.addr, "POST", **params)
        check(r.status == 400 and text in r.text, f"{params}: {r.status} {r.text[:300]}")
    r = ask(o.addr, "delete", {**good, "query": '{app="a"} |= "' + "x" * 70000 + '"'}, method="POST")
    check(r.status == 400 and "bytes" in r.text, f"{r.status} {r.text[:300]}")
    check(requests(o.addr) == [], "none was taken")
    check(call(o.addr, "DELETE", request_id="x").status == 404, "no such request")
    for method in ("POST", "GET", "DELETE"):
        r = call(o.addr, method, tenant="never", **good)
        check(r.status == 403 and "deletion is not available for this tenant" in r.text, f"{r.status} {r.text}")
    check(call(o.addr, "POST", tenant="a|b", **good).status == 400, "of two tenants")
    # hidden, and never taken out
    push_ok(o.addr, [({"app": "a"}, [((now - 30) * S, "x")])], tenant="keep")
    check(call(o.addr, "POST", tenant="keep", **good).status == 204, "filter-only")
    flush(o.addr, tenant="keep")
    kept = lambda: glob.glob(f"{o.blocks.path()}/logs/keep/*/meta.json")
    wait_for("the block", kept, 60)
    time.sleep(1.5)
    r = call(o.addr, "GET", tenant="keep")
    check([x["status"] for x in r.json] == ["received"], f"{r.text}")
    with open(kept()[0], encoding="utf-8") as f:
        check(json.load(f)["stats"]["numSamples"] == 1, "it was taken out")
    check(data(o.addr, "label/app/values", tenant="keep") == [], "it is seen")


if __name__ == "__main__":
    main()
