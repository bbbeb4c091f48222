#!/usr/bin/env python3
"""The door with whole processes: rules of a tenant, remote write 2.0, pairs of replicas."""
import os
import struct
import time

from orrery_test import (PUSH_HEADERS, TENANT, Cluster, Single, _bytes, _field, _varint, api, check,
                         http_call, main, push, push_ok, query, samples_of, snappy, wait_for)


def now_ms():
    return int(time.time() * 1000)


# ---- rules of a tenant ----


RULES = """overrides:
  %s:
    drop_labels: [uid]
    metric_relabel_configs:
      - {source_labels: [__name__], regex: 'go_.*', action: drop}
      - {source_labels: [job], target_label: job, action: uppercase}
"""


def test_rules_of_a_tenant(t):
    path = os.path.join(t.dir, "over.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(RULES % TENANT)
    o = Single(t, args=[f"--limits.overrides-file={path}", "--limits.overrides-period=100ms"])
    o.wait_ready()
    start = now_ms() - 100_000

    def write(i):
        push_ok(o.addr, [({"__name__": name, "job": "a", "uid": "7"}, [(start + i * 1000, 1.0)])
                         for name in ("up", "go_gc")])

    for i in range(3):  # worked out once, then remembered
        write(i)
    got = samples_of(o.addr, '{__name__=~".+"}', start - 1000, now_ms())
    check([dict(k) for k in got] == [{"__name__": "up", "job": "A"}] and
          len(list(got.values())[0]) == 3, f"{got}")
    r = http_call(o.addr, "GET", "/metrics")
    check("orrery_door_relabelled_samples_total 3" in r.text, "not counted")
    r = http_call(o.addr, "GET", "/runtime_config")
    check('drop_labels: ["uid"]' in r.text and "uppercase" in r.text, r.text)

    push_ok(o.addr, [({"__name__": "go_gc"}, [(start, 1.0)])], tenant="other")
    got = samples_of(o.addr, "go_gc", start - 1000, now_ms(), tenant="other")
    check(len(got) == 1, f"another tenant's rules: {got}")

    # Other rules while it runs: what was remembered does not count any more.
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"overrides: {{{TENANT}: {{drop_labels: [job]}}}}\n")
    wait_for("the new rules", lambda: "uppercase" not in http_call(
        o.addr, "GET", "/runtime_config").text, 10)
    write(10)
    got = samples_of(o.addr, '{__name__=~".+", uid="7"}', start - 1000, now_ms())
    check(sorted(dict(k)["__name__"] for k in got) == ["go_gc", "up"], f"{got}")


# ---- remote write 2.0 ----


def request_2(series, metadata=()):
    """series: (labels, [(t_ms, value)]); metadata: {name: (type, help, unit)}"""
    symbols, out = {"": 0}, b""

    def ref(text):
        return _varint(symbols.setdefault(text, len(symbols)))

    for labels, samples in series:
        refs = b"".join(ref(k) + ref(v) for k, v in sorted(labels.items()))
        m = _field(1, 2, refs)
        for t_ms, v in samples:
            s = _field(1, 1, struct.pack("<d", v)) + _field(2, 0, _varint(t_ms))
            m += _field(2, 2, s)
        kind, text, unit = dict(metadata).get(labels.get("__name__"), (0, "", ""))
        meta = _field(1, 0, _varint(kind)) + _field(3, 0, ref(text)) + _field(4, 0, ref(unit))
        m += _field(5, 2, meta)
        out += _field(5, 2, m)
    return b"".join(_field(4, 2, _bytes(s)) for s in symbols) + out


def push_2(addr, series, metadata=()):
    headers = dict(PUSH_HEADERS)
    headers.update({
        "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "X-Prometheus-Remote-Write-Version": "2.0.0", "X-Scope-OrgID": TENANT})
    return http_call(addr, "POST", "/api/v1/write", snappy(request_2(series, metadata)), headers)


def written(reply):
    return [reply.headers.get(f"x-prometheus-remote-write-{x}-written")
            for x in ("samples", "histograms", "exemplars")]


def test_remote_write_2(t):
    o = Single(t).wait_ready()
    start = now_ms() - 100_000
    for i in range(5):
        r = push_2(o.addr, [({"__name__": "hits_total", "n": str(k)}, [(start + i * 1000, i)])
                            for k in range(20)], {"hits_total": (1, "Hits.", "")}.items())
        check(r.status == 204 and written(r) == ["20", "0", "0"], f"{r.status} {r.text}")
    got = samples_of(o.addr, "hits_total", start - 1000, now_ms())
    check(len(got) == 20 and all(len(v) == 5 for v in got.values()), f"{got}")
    r = api(o.addr, "/api/v1/metadata")
    check(r.json["data"].get("hits_total") == [{"type": "counter", "help": "Hits.", "unit": ""}],
          r.text)
    r = push_2(o.addr, [({"__name__": "good"}, [(start, 1)]), ({"n": "nameless"}, [(start, 1)])])
    check(r.status == 400 and written(r) == ["1", "0", "0"] and "no metric name" in r.text,
          f"{r.status} {r.text}")
    check(query(o.addr, "count(good)", start + 1000)["result"], "the valid part is not stored")


# ---- pairs of replicas ----


def elected(addr):
    r = http_call(addr, "GET", "/ingester/ha_tracker", headers={"Accept": "application/json"})
    return {(x["userID"], x["cluster"]): x["replica"] for x in r.json["elected"]}


def test_pairs_of_replicas_in_a_cluster(t):
    config = os.path.join(t.dir, "ha.yaml")
    with open(config, "w", encoding="utf-8") as f:
        f.write("limits: {accept-ha-samples: true, ha-tracker-failover-timeout: 8s,"
                " ha-tracker-update-timeout: 1s}\n")
    c = Cluster(t, args=["--queriers", "1", "--rulers", "1", "--alertmanagers", "1",
                         "--config", config])
    ingesters = sorted(c.addrs("ingester"))

    def write(replica, to, value):
        labels = {"__name__": "up", "cluster": "c", "__replica__": replica}
        return push(to, [(labels, [(now_ms(), value)])]).status

    # Each replica keeps to its own ingester; the second one hears of the election by gossip.
    check(write("a", ingesters[0], 1.0) == 204, "the first replica is refused")
    wait_for("all ingesters to know", lambda: all(
        elected(x) == {(TENANT, "c"): "a"} for x in ingesters), 30)
    until = time.monotonic() + 12  # longer than the fail-over time
    while time.monotonic() < until:
        check(write("a", ingesters[0], 1.0) == 204, "the elected replica is refused")
        check(write("b", ingesters[1], 2.0) == 202, "the other replica is taken")
        time.sleep(0.5)
    # a is silent: b takes over, and what a says later is dropped everywhere.
    wait_for("a fail-over", lambda: write("b", ingesters[1], 2.0) == 204, 30, 0.5)
    wait_for("all ingesters to know", lambda: all(
        elected(x) == {(TENANT, "c"): "b"} for x in ingesters), 30)
    check(write("a", ingesters[0], 1.0) == 202, "the silent replica is taken again")
    page = http_call(ingesters[2], "GET", "/ingester/ha_tracker").text
    check("<td>c</td><td>b</td>" in page, page)
    got = samples_of(c.addrs("querier")[0], "up", now_ms() - 600_000, now_ms())
    check([dict(k) for k in got] == [{"__name__": "up", "cluster": "c"}], f"{got}")


if __name__ == "__main__":
    main()
