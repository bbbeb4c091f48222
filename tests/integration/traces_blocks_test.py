#!/usr/bin/env python3
"""Traces move from ingesters into blocks: whoever asks sees no difference."""
import base64
import glob
import json
import os
import subprocess
import threading
import time
import urllib.parse

from orrery_test import BIN, TENANT, Cluster, Single, check, http_call, main, wait_for
from traces_test import held

S = 10**9
TRACES = ["--ingester.traces=true", "--ingester.traces-idle=100ms", "--ingester.traces-cut-period=100ms"]
FAST = ["--compactor.poll-interval=200ms", "--compactor.early-wait=200ms", "--compactor.drop-delay=100ms",
        "--compactor.retry-min=100ms", "--compactor.retry-max=500ms"]
SERVICES = ("gateway", "checkout", "orders", "db")


def trace_id(n):
    return "%032x" % (n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128 or 1)


def span_id(n, k):
    return "%016x" % (n * 100 + k + 1)


def text(key, value):
    return {"key": key, "value": {"stringValue": value}}


def spans_of(n, base, which):
    """Those spans of trace n, by service: each calls the next; of every fifth trace the last fails."""
    out = {}
    for k in which:
        at = base + n * S // 10 + k * 1000000
        out[SERVICES[k]] = {
            "traceId": trace_id(n), "spanId": span_id(n, k), "parentSpanId": span_id(n, k - 1) if k else "",
            "name": f"{SERVICES[k]} {n % 3}", "kind": 2 if k == 0 else 3, "startTimeUnixNano": str(at),
            "endTimeUnixNano": str(at + (20 - k) * 1000000 * (1 + n % 4)),
            "attributes": [text("http.method", "GET" if n % 2 else "POST"), {"key": "n", "value": {"intValue": str(n)}}],
            "events": [{"timeUnixNano": str(at + 1000), "name": "retry", "attributes": [text("why", "slow")]}] if n % 4 == 0 else [],
            "status": {"code": 2, "message": "no row"} if k == 3 and n % 5 == 0 else {}}
    return out


def push_spans(addr, base, numbers, which=range(len(SERVICES)), tenant=TENANT):
    """None: it was refused."""
    by_service = {}
    for n in numbers:
        for service, span in spans_of(n, base, which).items():
            by_service.setdefault(service, []).append(span)
    body = {"resourceSpans": [
        {"resource": {"attributes": [text("service.name", s), text("k8s.cluster", "c1")]},
         "scopeSpans": [{"scope": {"name": "lib", "version": "1"}, "spans": spans}]} for s, spans in by_service.items()]}
    return http_call(addr, "POST", "/v1/traces", json.dumps(body).encode(),
                     {"Content-Type": "application/json", "X-Scope-OrgID": tenant}, timeout=60)


def push_ok(*args, **kw):
    r = push_spans(*args, **kw)
    check(r.status == 200, f"{r.status} {r.text}")


def get(addr, path, tenant=TENANT, **params):
    return http_call(addr, "GET", f"/api/{path}?{urllib.parse.urlencode(params)}", headers={"X-Scope-OrgID": tenant}, timeout=60)


def ask(addr, path, **params):
    r = get(addr, path, **params)
    check(r.status == 200, f"{path} {params}: {r.status} {r.text[:500]}")
    return r.json


def flush(addr, tenant=TENANT):
    r = http_call(addr, "POST", f"/ingester/flush?tenant={tenant}", timeout=180)
    check(r.status in (200, 204), f"{r.status} {r.text}")


def bucket(o):
    return f"{o.blocks.path()}/traces/{TENANT}"


def live(o):
    """Blocks that the catalogue names."""
    path = f"{bucket(o)}/catalogue"
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return json.load(f)["blocks"]


def counter(addr, name):
    lines = http_call(addr, "GET", "/metrics").text.splitlines()
    return sum(float(x.rsplit(" ", 1)[1]) for x in lines if x.startswith(name))


def wait_until_in_blocks(addrs):
    wait_for("the ingesters to hold nothing", lambda: all(held(a) == {} for a in addrs), 60)


def spans_in(answer):
    """{span id: what it says} of a trace as OTLP has it."""
    out = {}
    for r in answer["trace"]["resourceSpans"] if "trace" in answer else answer["batches"]:
        for scope in r["scopeSpans"]:
            for s in scope["spans"]:
                span = base64.b64decode(s["spanId"]).hex()
                check(span not in out, f"a span twice: {s}")
                out[span] = json.dumps([r["resource"], scope.get("scope"), s], sort_keys=True)
    return out


def questions(base):
    span = {"start": base // S - 60, "end": base // S + 600}
    narrow = {"start": base // S + 5, "end": base // S + 10}
    searches = ("{}", '{ resource.service.name = "db" }', '{ name = "orders 1" && span.n > 20 }', "{ status = error }",
                '{ resource.service.name = "gateway" } >> { resource.service.name = "db" && status = error }',
                '{ event:name = "retry" && event.why = "slow" }', '{ .http.method = "POST" && duration > 50ms }',
                '{ rootServiceName = "gateway" } | count() > 3', '{ instrumentation:name = "lib" } | by(resource.service.name)',
                '{ resource.service.name = "nobody" }', '{ statusMessage = "no row" } | select(span.n)',
                '{ nestedSetParent < 0 }')
    metrics = ("{} | rate() by(resource.service.name)", '{ status = error } | count_over_time()',
               '{ resource.service.name = "db" } | quantile_over_time(duration, .9)')
    tags = ("resource.service.name", "span.http.method", ".n", "name", "status", "kind", "rootName",
            "rootServiceName", "event:name", "statusMessage")
    return [*(("search", {"q": q, "limit": 1000, "spss": 100, **r}) for q in searches for r in (span, narrow)),
            *(("metrics/query_range", {"q": q, "step": "5s", **span}) for q in metrics),
            ("v2/search/tags", span), ("search/tags", span),
            *((f"v2/search/tag/{t}/values", span) for t in tags)]


def normal(x):
    """The order of lists says nothing here."""
    if isinstance(x, dict):
        return {k: normal(v) for k, v in x.items() if k not in ("metrics",)}
    if isinstance(x, list):
        return sorted((normal(v) for v in x), key=lambda v: json.dumps(v, sort_keys=True))
    return x


def answers(addr, base, numbers):
    out = {f"{path} {sorted(params.items())}": normal(ask(addr, path, **params)) for path, params in questions(base)}
    for n in numbers:
        out[f"trace {n}"] = spans_in(ask(addr, f"traces/{trace_id(n)}"))
    return out


def check_same(addr, base, numbers, want, what):
    got = answers(addr, base, numbers)
    for key, value in want.items():
        check(got[key] == value, lambda: f"{what}: {key}:\n{json.dumps(got[key])[:1500]}\nnot\n{json.dumps(value)[:1500]}")


def ctl(o, *args, status=0):
    r = subprocess.run([f"{BIN}/orreryctl", "bucket", *args, "--signal=traces", f"--storage.path={o.blocks.path()}"],
                       capture_output=True, text=True, timeout=120)
    check(r.returncode == status, f"orreryctl {args}: {r.returncode}, not {status}: {r.stdout} {r.stderr}")
    return r.stdout + r.stderr


def now_ns():
    return time.time_ns() // S * S


def test_answers_are_the_same_before_and_after(t):
    o = Single(t, args=[*TRACES, *FAST]).wait_ready()
    base = now_ns() - 300 * S
    push_ok(o.addr, base, range(120))
    want = answers(o.addr, base, range(0, 120, 7))
    check(all(len(want[f"trace {n}"]) == 4 for n in range(0, 120, 7)), "all are there")
    check(len(next(v for k, v in want.items() if k.startswith("search "))["traces"]) == 120, "a search finds all")
    check(counter(o.addr, "orrery_querier_traces_selected_blocks_total") == 0, "no block yet")

    flush(o.addr)
    wait_until_in_blocks([o.addr])
    check([b["samples"] for b in live(o)] == [480] and live(o)[0]["series"] == 4, f"{live(o)}")
    check(sorted(os.listdir(f"{bucket(o)}/{live(o)[0]['ulid']}")) ==
          ["back", "directory", "front", "ids", "index", "meta.json", "summary"], "files")
    check_same(o.addr, base, range(0, 120, 7), want, "after the flush")
    check(counter(o.addr, "orrery_querier_traces_selected_blocks_total") > 0, "no block was read")
    check(get(o.addr, f"traces/{trace_id(5000)}").status == 404, "a trace that is not there")

    # late spans of the same traces, some again, and new ones: another block
    push_ok(o.addr, base, range(100, 200), which=(0, 1))
    push_ok(o.addr, base, range(0, 20), which=(2,))
    want = answers(o.addr, base, range(0, 200, 7))
    check(len(want["trace 105"]) == 4 and len(want["trace 196"]) == 2, "united")
    flush(o.addr)
    wait_until_in_blocks([o.addr])
    check_same(o.addr, base, range(0, 200, 7), want, "after another flush")
    o.kill()
    o.start()
    o.wait_ready()
    check(held(o.addr) == {}, "what was dropped came back")
    check_same(o.addr, base, range(0, 200, 7), want, "after a restart")


def test_a_trace_whose_spans_come_late_is_one(t):
    """Each part of it is in a block of its own, or still held."""
    o = Single(t, args=[*TRACES, *FAST, "--compactor.dry-run=true"]).wait_ready()
    base = now_ns() - 300 * S
    for k in (3, 1, 0):
        push_ok(o.addr, base, range(10), which=(k,))
        flush(o.addr)
        wait_until_in_blocks([o.addr])
    push_ok(o.addr, base, range(10), which=(2,))
    check(len(live(o)) == 3, f"{live(o)}")
    check(TENANT in ctl(o, "ls") and live(o)[0]["ulid"] in ctl(o, "ls", TENANT), "orreryctl bucket ls")
    check("front" in ctl(o, "inspect", TENANT, live(o)[0]["ulid"]), "orreryctl bucket inspect")
    check("3 blocks verified, 0 things wrong" in ctl(o, "verify"), "orreryctl bucket verify")
    for n in range(10):
        check(sorted(spans_in(ask(o.addr, f"traces/{trace_id(n)}"))) == sorted(span_id(n, k) for k in range(4)), f"trace {n}")
    span = {"start": base // S - 60, "end": base // S + 600}
    for q, n in (('{ resource.service.name = "gateway" } >> { resource.service.name = "db" }', 10),
                 ('{ resource.service.name = "orders" } > { resource.service.name = "db" && status = error }', 2),
                 ('{ resource.service.name = "db" } >> { resource.service.name = "gateway" }', 0)):
        got = ask(o.addr, "search", q=q, limit=100, **span)["traces"]
        check(len(got) == n, f"{q}: {got}")
        check(all(x["rootServiceName"] == "gateway" for x in got), f"{got}")
    path = f"{bucket(o)}/{live(o)[1]['ulid']}/back"
    with open(path, "r+b") as f:
        f.seek(os.path.getsize(path) // 2)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 1]))
    check(live(o)[1]["ulid"] in ctl(o, "verify", TENANT, status=1), "a corrupt block is not found")


def test_blocks_out_of_the_range_are_not_opened(t):
    o = Single(t, args=[*TRACES, *FAST, "--compactor.dry-run=true"]).wait_ready()
    now = now_ns()
    for hours in (9, 6, 3):
        push_ok(o.addr, now - hours * 3600 * S, range(hours * 100, hours * 100 + 20))
        flush(o.addr)
        wait_until_in_blocks([o.addr])
    check(len(live(o)) == 3, f"{live(o)}")
    o.kill()
    o.start()
    o.wait_ready()
    opened = lambda: counter(o.addr, "orrery_querier_traces_opened_blocks_total")
    at = now // S - 6 * 3600
    check(len(ask(o.addr, "search", q="{}", start=at - 60, end=at + 600, limit=100)["traces"]) == 20, "of one block")
    check(opened() == 1, f"{opened()} blocks were opened")
    check(ask(o.addr, "search", q='{ resource.service.name = "nobody" }', start=at - 24 * 3600, end=at + 24 * 3600)["traces"] == [], "none")
    check(opened() == 1, f"{opened()} blocks were opened, which do not have the service")
    check(len(spans_in(ask(o.addr, f"traces/{trace_id(905)}"))) == 4, "by id")


def test_retention_and_compaction(t):
    args = [*TRACES, *FAST, "--compactor.sweep-interval=300ms", "--compactor.compaction-interval=300ms", "--compactor.deletion-delay=1s"]
    o = Single(t, args=[*args, "--compactor.dry-run=true"]).wait_ready()
    now = now_ns()
    for i in range(4):  # the second half of each comes with the next
        push_ok(o.addr, now - 50 * 3600 * S, range(i * 50, i * 50 + 100))
        flush(o.addr)
        wait_until_in_blocks([o.addr])
    push_ok(o.addr, now - 80 * 3600 * S, range(1000, 1010))
    flush(o.addr)
    wait_until_in_blocks([o.addr])
    check(len(live(o)) == 5, f"{live(o)}")
    o.stop()
    o.args = [a for a in o.args if "dry-run" not in a] + ["--limits.traces-retention-period=60h"]
    o.start()
    o.wait_ready()
    wait_for("one block", lambda: [b["samples"] for b in live(o)] == [1000], 60)
    b = live(o)[0]
    check(b["level"] == 2 and len(b["segments"]) == 4, f"{b}")
    wait_for("replaced files to go", lambda: [os.path.basename(d) for d in glob.glob(f"{bucket(o)}/01*")] == [b["ulid"]], 60)
    check(len(spans_in(ask(o.addr, f"traces/{trace_id(120)}"))) == 4, "merged")
    check(get(o.addr, f"traces/{trace_id(1005)}").status == 404, "expired")


def test_replicas_become_one_block_and_nothing_is_missing_meanwhile(t):
    config = os.path.join(t.dir, "orrery.yaml")
    with open(config, "w", encoding="utf-8") as f:
        json.dump({"ingester": {"traces": True, "traces-idle": "100ms", "traces-cut-period": "100ms"},
                   "compactor": {"poll-interval": "200ms", "early-wait": "1s", "drop-delay": "100ms"}}, f)
    c = Cluster(t, args=["--ingesters", "3", "--queriers", "2", "--compactors", "1", "--rulers", "0", "--alertmanagers", "0",
                         "--config", config])
    doors, queriers = c.addrs("ingester"), c.addrs("querier")
    base = now_ns() - 300 * S
    numbers = range(90)
    for n in numbers:
        push_ok(doors[n % 3], base, [n])
    wait_for("all three to hold all", lambda: all(len(held(a) or {}) == 90 for a in doors), 60)
    want = answers(queriers[0], base, range(0, 90, 11))
    gaps, is_over = [], threading.Event()

    def watch(addr):
        """Every trace is whole at every moment."""
        n = 0
        while not is_over.is_set():
            n = (n + 7) % 90
            r = get(addr, f"traces/{trace_id(n)}")
            if r.status != 200 or len(spans_in(r.json)) != 4:
                gaps.append(f"{addr}: trace {n}: {r.status} {r.text[:300]}")

    watchers = [threading.Thread(target=watch, args=(a,)) for a in queriers]
    for w in watchers:
        w.start()
    flushes = [threading.Thread(target=flush, args=(a,)) for a in doors]  # one after the other would make a block of each
    for f in flushes:
        f.start()
    for f in flushes:
        f.join()
    wait_until_in_blocks(doors)
    is_over.set()
    for w in watchers:
        w.join()
    check(not gaps, lambda: f"{len(gaps)} gaps: {gaps[:3]}")
    check(sum(b["samples"] for b in live(c)) == 360 and len(live(c)[0]["segments"]) == 3, f"{live(c)}")
    for a in queriers:
        check_same(a, base, range(0, 90, 11), want, f"querier {a}")
    check(counter(c.addrs("compactor")[0], "orrery_compactor_flush_duplicate_spans_total") >= 720, "duplicates")

    # an ingester that is killed while others hand over, a compactor that is killed: nothing is lost
    push_ok(doors[0], base, range(90, 150))
    c.run("kill", "compactor-1")
    c.run("kill", "ingester-2")
    for a in (doors[0], doors[2]):
        http_call(a, "POST", f"/ingester/flush?tenant={TENANT}&wait=0s", timeout=180)
    c.run("restart", "compactor-1")
    c.run("restart", "ingester-2")
    doors = c.addrs("ingester")
    wait_for("all to be back", lambda: all(http_call(a, "GET", "/ready").status == 200 for a in doors))
    for n in range(90, 150, 13):
        check(len(spans_in(ask(queriers[1], f"traces/{trace_id(n)}"))) == 4, f"trace {n}")
    for a in doors:
        flush(a)
    wait_until_in_blocks(doors)
    for n in range(0, 150, 13):
        check(len(spans_in(ask(queriers[0], f"traces/{trace_id(n)}"))) == 4, f"trace {n}")


def test_blocks_of_the_ingester_itself(t):
    """No compactor takes the segments in time."""
    o = Single(t, args=[*TRACES, "--ingester.flush-wait=0s", "--ingester.self-upload-after=100ms", "--ingester.maintain-period=200ms",
                        "--ingester.visible-after=100ms", "--compactor.poll-interval=10m"]).wait_ready()
    base = now_ns() - 300 * S
    push_ok(o.addr, base, range(40))
    want = answers(o.addr, base, range(0, 40, 7))
    flush(o.addr)
    wait_until_in_blocks([o.addr])
    check([b["samples"] for b in live(o)] == [160], f"{live(o)}")
    check_same(o.addr, base, range(0, 40, 7), want, "from its own block")
    check(not os.path.exists(f"{o.dir}/data/upload") or not os.listdir(f"{o.dir}/data/upload"), "the copy stays")


if __name__ == "__main__":
    main()
