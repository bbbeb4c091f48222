#!/usr/bin/env python3
"""Tail sampling on three ingesters: spans of a trace come to several doors, replicas judge alike, errors and slow traces are all there."""
import json
import random
import re
import time

from orrery_test import TENANT, Cluster, Single, check, http_call, main, wait_for
from traces_test import held

POLICIES = [{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            {"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}},
            {"name": "some", "type": "probabilistic", "probabilistic": {"sampling_percentage": 20}},
            {"name": "checks", "type": "drop", "drop": {"drop_sub_policy": [
                {"name": "path", "type": "string_attribute", "string_attribute": {"key": "path", "values": ["/ready"]}}]}}]
START = 1700000000000000000
WITNESS_S = 1 + 2 + 3  # idle, max-live and wait: whoever is newer than that may have missed a trace's beginning


def config(t):
    """A file of overrides, and options."""
    path = f"{t.dir}/overrides.yaml"
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"overrides": {TENANT: {"tail_sampling": {"policies": POLICIES}}}}, f)
    return {"ingester": {"traces": True, "traces-idle": "1s", "traces-max-live": "2s", "traces-cut-period": "500ms", "traces-verdict-wait": "3s"},
            "limits": {"overrides-file": path, "overrides-period": "200ms"}}


def push(addr, spans):
    """spans: [(trace id, span id, status, milliseconds, path)]"""
    out = [{"traceId": t, "spanId": s, "name": "GET", "kind": 2, "startTimeUnixNano": str(START),
            "endTimeUnixNano": str(START + ms * 1000000), "status": {"code": status},
            "attributes": [{"key": "path", "value": {"stringValue": path}}]} for t, s, status, ms, path in spans]
    return http_call(addr, "POST", "/v1/traces",
                     json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": out}]}]}).encode(),
                     {"Content-Type": "application/json", "X-Scope-OrgID": TENANT})


def metric(addr, name, **labels):
    total = 0
    for line in http_call(addr, "GET", "/metrics").text.splitlines():
        m = re.match(name + r"(?:\{(.*)\})? (\S+)$", line)
        if m and all(f'{k}="{v}"' in (m[1] or "") for k, v in labels.items()):
            total += float(m[2])
    return total


def wait_judged(addrs):
    wait_for("all traces to be judged", lambda: all(metric(a, "orrery_tracehead_live_traces") == 0 for a in addrs), 60)


def make(n, rng, first=1):
    """{trace id: (spans, what becomes of it: True, False, None: as the probability has it)}"""
    out = {}
    for i in range(first, first + n):
        t = "%032x" % rng.getrandbits(128)
        kind = rng.choice(["error", "slow", "check", "bad check", "plain", "plain", "plain", "plain"])
        spans = [[t, "%016x" % (i * 16 + k + 1), 0, 5, "/"] for k in range(4)]
        odd = rng.choice(spans)  # one span alone says what the trace is
        if kind in ("error", "bad check"):
            odd[2] = 2
        if kind == "slow":
            odd[3] = 1500
        if kind in ("check", "bad check"):
            rng.choice(spans)[4] = "/ready"
        out[t] = (spans, {"error": True, "slow": True, "plain": None}.get(kind, False))
    return out


def push_shuffled(addrs, traces, rng):
    spans = [s for group, _ in traces.values() for s in group]
    rng.shuffle(spans)
    for i in range(0, len(spans), 50):
        r = push(rng.choice(addrs), spans[i:i + 50])
        check(r.status == 200, f"{r.status} {r.text}")


def check_kept(traces, got, what):
    for t, (spans, fate) in traces.items():
        if fate is not None:
            check((t in got) == fate, f"{what}: {t} {'is not' if fate else 'is'} there: {spans}")
        if t in got:
            check(got[t] == sorted(s[1] for s in spans), f"{what}: {t} has {got[t]}, not {spans}")


def test_replicas_judge_alike(t):
    rng = random.Random(7)
    with open(f"{t.dir}/orrery.yaml", "w", encoding="utf-8") as f:
        json.dump(config(t), f)
    c = Cluster(t, args=["--queriers", "1", "--compactors", "0", "--rulers", "0", "--alertmanagers", "0",
                         "--config", f"{t.dir}/orrery.yaml"])
    addrs, came = c.addrs("ingester"), time.monotonic()
    traces = make(400, rng)
    push_shuffled(addrs, traces, rng)
    wait_judged(addrs)
    sets = [held(a, query="?limit=10000") for a in addrs]
    check(sets[0] == sets[1] == sets[2], "not all replicas hold the same: " + str([len(s) for s in sets]))
    check_kept(traces, sets[0], "three replicas")
    plain = [t for t, (_, fate) in traces.items() if fate is None]
    kept = sum(t in sets[0] for t in plain)
    check(len(plain) * 0.1 < kept < len(plain) * 0.32, f"{kept} of {len(plain)} kept by a probability of 20%")
    for decision in ("kept", "dropped"):
        n = sum(metric(a, "orrery_tail_sampling_traces_total", tenant=TENANT, decision=decision) for a in addrs)
        check(n == (len(sets[0]) if decision == "kept" else 400 - len(sets[0])), f"{decision}: {n}")
    pages = [http_call(a, "GET", "/ingester/sampling", headers={"X-Scope-OrgID": TENANT}).json for a in addrs]
    dropped = sum(p["droppedTraces"] for page in pages for p in page["policies"] if p["name"] == "checks")
    want = sum(fate is False for _, fate in traces.values())
    check(dropped == want, f"{dropped} dropped as checks, {want} are: {pages}")

    # One ingester is gone: the two others have every acknowledged span, and judge.
    name = c.names("ingester")[0]
    gone = c.status()[name][3]
    c.run("kill", name)
    left = [a for a in addrs if a != gone]
    time.sleep(max(0, came + WITNESS_S + 1 - time.monotonic()))
    more = make(200, rng, first=1000)
    push_shuffled(left, more, rng)
    wait_judged(left)
    sets = [held(a, query="?limit=10000") for a in left]
    check(sets[0] == sets[1], "two replicas hold other traces: " + str([len(s) for s in sets]))
    check_kept({**traces, **more}, sets[0], "two replicas")
    c.run("restart", name)
    wait_for("it to be back", lambda: held(gone, query="?limit=1") is not None, 60)
    wait_judged([gone])
    got = held(gone, query="?limit=10000")
    check(set(got) <= set(sets[0]), "after a restart there is what was dropped")


def test_one_process_with_late_spans(t):
    conf = config(t)
    args = [f"--{s}.{k}={str(v).lower() if v is True else v}" for s, keys in conf.items() for k, v in keys.items()]
    o = Single(t, args=args).wait_ready()
    bad, good, slow = ("%032x" % n for n in (1, 2, 3))
    check(push(o.addr, [(bad, "%016x" % 1, 2, 1, "/"), (good, "%016x" % 2, 0, 1, "/ready"), (slow, "%016x" % 3, 0, 2000, "/")]).status == 200, "push")
    wait_judged([o.addr])
    check(set(held(o.addr)) == {bad, slow}, str(held(o.addr)))
    check(push(o.addr, [(bad, "%016x" % 4, 0, 1, "/"), (good, "%016x" % 5, 0, 1, "/")]).status == 200, "late spans")
    wait_judged([o.addr])
    check(held(o.addr) == {bad: ["%016x" % 1, "%016x" % 4], slow: ["%016x" % 3]}, str(held(o.addr)))


if __name__ == "__main__":
    main()
