#!/usr/bin/env python3
"""Several tenants read as one; lists with limits and long ones; ranges of time of names; statistics."""
import os
import time

from orrery_test import Cluster, Single, api, check, http_call, main, push_ok, wait_for


def now_ms():
    return int(time.time() * 1000)


def ramp(name, start, count, step=15000, **labels):
    return ({"__name__": name, **labels}, [(start + i * step, float(i)) for i in range(count)])


def instant(addr, expr, at, tenant):
    r = api(addr, "/api/v1/query", {"query": expr, "time": at / 1000}, tenant)
    check(r.status == 200, f"{expr}: {r.status} {r.text}")
    return {tuple(sorted(s["metric"].items())): s["value"][1] for s in r.json["data"]["result"]}


def test_joined_tenants(t):
    overrides = os.path.join(t.dir, "over.yml")
    with open(overrides, "w") as f:
        f.write("overrides: {b: {max_total_query_length: 1h}}\n")
    o = Single(t, args=["--querier.tenant-federation=true", "--querier.tenant-federation-max-tenants=3",
                        f"--limits.overrides-file={overrides}"]).wait_ready()
    start = now_ms() - 600_000
    for tenant, n in (("a", 2), ("b", 3), ("c", 1)):
        push_ok(o.addr, [ramp("up", start, 30, i=str(i)) for i in range(n)], tenant=tenant)
    at = start + 150_000
    check(instant(o.addr, "count by (__tenant_id__) (up)", at, "b|a") ==
          {(("__tenant_id__", "a"),): "2", (("__tenant_id__", "b"),): "3"}, "by tenant")
    check(instant(o.addr, 'sum(up{__tenant_id__!="a"})', at, "a|b|c") == {(): "40"}, "one left out")
    check(instant(o.addr, "count(up)", at, "a") == {(): "2"}, "one tenant alone")
    r = api(o.addr, "/api/v1/query_range", {"query": "up", "start": start / 1000, "step": 15,
                                            "end": start / 1000 + 7200}, "a|b")
    check(r.status == 422 and "max-total-query-length" in r.text, f"the least limit: {r.text}")
    r = api(o.addr, "/api/v1/query", {"query": "1"}, "a|b|c|d")
    check(r.status == 400 and "max-tenants" in r.text, r.text)
    r = http_call(o.addr, "GET", "/federate?match[]=up", headers={"X-Scope-OrgID": "a|b"})
    check(r.text.count("__tenant_id__=\"a\"") == 2 and r.text.count("__tenant_id__=\"b\"") == 3, r.text)
    check(api(o.addr, "/api/v1/labels", tenant="a|").status == 400, "an empty tenant")
    push = http_call(o.addr, "POST", "/api/v1/push", b"", {"X-Scope-OrgID": "a|b"})
    check(push.status == 400, f"a write of two tenants: {push.status}")


def test_off_it_is_refused(t):
    o = Single(t).wait_ready()
    r = api(o.addr, "/api/v1/query", {"query": "1"}, "a|b")
    check(r.status == 400 and "querier.tenant-federation" in r.text, r.text)


def test_limits_and_long_lists(t):
    o = Single(t, args=["--querier.max-response=1MiB"]).wait_ready()
    start = now_ms() - 60_000
    for part in range(4):
        push_ok(o.addr, [ramp("wide", start, 2, i=f"{part * 5000 + i:06}", pad="p" * 40)
                         for i in range(5000)])
    truncated = "results truncated due to limit"
    for path, params, n in (("label/i/values", {"limit": 7}, 7), ("labels", {"limit": 2}, 2),
                            ("series", {"match[]": "wide", "limit": 9}, 9)):
        r = api(o.addr, "/api/v1/" + path, params)
        check(len(r.json["data"]) == n and r.json["warnings"] == [truncated], f"{path}: {r.text[:200]}")
    for path, params in (("query", {}), ("query_range", {"start": start / 1000, "step": 15,
                                                         "end": start / 1000 + 15})):
        r = api(o.addr, "/api/v1/" + path, {"query": 'wide{i=~"00000.*"}', "limit": 4, **params})
        check(len(r.json["data"]["result"]) == 4 and truncated in r.json["warnings"],
              f"{path}: {r.text[:200]}")
    at = {"start": start / 1000, "step": 15, "end": start / 1000 + 15}
    r = api(o.addr, "/api/v1/query_range", {"query": 'wide{i=~"00[0-4].*"}', "stats": "1", **at})
    got = r.json["data"]["result"]  # in pieces: more than one of 256 KiB
    check(len(r.text) > 512 << 10 and "stats" in r.json["data"] and
          [s["metric"]["i"] for s in got] == [f"{i:06}" for i in range(5000)] and
          all([v for _, v in s["values"]] == ["0", "1"] for s in got), f"{len(got)} series, {len(r.text)} bytes")
    r = api(o.addr, "/api/v1/query_range", {"query": "wide", **at})
    check(r.status == 422 and "querier.max-response" in r.text, f"{r.status} {r.text[:200]}")
    r = api(o.addr, "/api/v1/label/i/values")
    check(len(r.json["data"]) == 20000 and "warnings" not in r.json, "all values")
    r = api(o.addr, "/api/v1/series", {"match[]": "wide"})
    check(r.status == 200 and 1000 < len(r.json["data"]) < 20000 and
          "querier.max-response" in r.json["warnings"][0], f"{r.text[-200:]}")
    r = api(o.addr, "/api/v1/cardinality/active_series", {"selector": 'wide{i=~"0000.*"}'})
    check(len(r.json["data"]) == 100, r.text[:200])


def test_names_of_a_range(t):
    o = Single(t).wait_ready()
    end = now_ms()
    push_ok(o.addr, [ramp("old", end - 3_600_000, 20, kind="old"), ramp("new", end - 60_000, 4, kind="new")])
    def values(a, b):
        r = api(o.addr, "/api/v1/label/kind/values", {"start": a / 1000, "end": b / 1000})
        return r.json["data"]
    check(values(end - 3_700_000, end) == ["new", "old"], "all")
    check(values(end - 3_700_000, end - 1_800_000) == ["old"], "what came later is not of the range")
    check(values(end - 9_000_000, end - 8_000_000) == [], "before it all")
    r = api(o.addr, "/api/v1/labels", {"end": (end - 8_000_000) / 1000})
    check(r.json["data"] == [], r.text)


def test_escaped_names(t):
    o = Single(t).wait_ready()
    push_ok(o.addr, [({"__name__": "a.b", "le.vel": "x"}, [(now_ms(), 1.0)])])
    for name in ("le.vel", "U__le_2e_vel"):
        r = api(o.addr, f"/api/v1/label/{name}/values")
        check(r.json["data"] == ["x"], f"{name}: {r.text}")


def test_statistics(t):
    o = Single(t).wait_ready()
    start = now_ms() - 600_000
    push_ok(o.addr, [ramp("up", start, 40, i=str(i)) for i in range(3)])
    r = api(o.addr, "/api/v1/query_range", {"query": "up", "start": start / 1000, "step": 15,
                                            "end": start / 1000 + 285, "stats": "all"})
    stats = r.json["data"]["stats"]
    check(stats["samples"]["totalQueryableSamples"] == 60 and stats["timings"]["execTotalTime"] > 0, stats)
    # lookback_delta: the last sample is 15 s old at most within the data, 40 s behind it
    at = (start + 39 * 15000 + 40_000) / 1000
    for delta, n in (("60s", 3), ("30s", 0), ("", 3)):
        r = api(o.addr, "/api/v1/query", {"query": "up", "time": at, "lookback_delta": delta})
        check(len(r.json["data"]["result"]) == n, f"lookback_delta={delta}: {r.text[:200]}")


def test_rules_by_a_querier_of_a_cluster(t):
    rules = os.path.join(t.dir, "rules", "test")
    os.makedirs(rules)
    with open(os.path.join(rules, "r.yml"), "w") as f:
        f.write("groups:\n" + "".join(f"  - {{name: g{i}, interval: 1s, rules: [{{record: r{i}, expr: "
                                      f"'vector({i})'}}, {{alert: A{i}, expr: vector(1)}}]}}\n"
                                      for i in range(6)))
    config = os.path.join(t.dir, "more.yml")
    with open(config, "w") as f:
        f.write(f"ruler: {{rule-path: {t.dir}/rules}}\n")
    c = Cluster(t, args=["--config", config])
    for querier in c.addrs("querier"):
        def all_there():
            groups = api(querier, "/api/v1/rules").json["data"]["groups"]
            return [g["name"] for g in groups] == [f"g{i}" for i in range(6)]
        wait_for("the groups of both rulers", all_there, 60)
        wait_for("the alerts", lambda: {a["labels"]["alertname"] for a in api(
            querier, "/prometheus/api/v1/alerts").json["data"]["alerts"]} == {f"A{i}" for i in range(6)}, 60)
        r = api(querier, "/api/v1/rules", tenant="other")
        check(r.json["data"]["groups"] == [], "another tenant's")


if __name__ == "__main__":
    main()
