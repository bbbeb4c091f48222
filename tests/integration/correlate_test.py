#!/usr/bin/env python3
"""/api/correlate: what all signals hold about one trace, from ingesters and from blocks, and the queries that lead on from it."""
import json
import time

from orrery_test import TENANT, Cluster, api, check, http_call, main, wait_for
from shop_signals import GENERATOR, HEADERS, Shop, start


def correlate(addr, trace, status=200, tenant=TENANT, **params):
    r = api(addr, "/api/correlate", {"trace_id": trace, **params}, tenant)
    check(r.status == status, f"{r.status} {r.text[:500]}")
    return r.json["data"] if status == 200 else r.json


def check_whole(s, got, trace=None):
    check(got["traceID"] == (trace or s.trace) and got["profiles"] == [] and got["partial"] == [] and got["truncated"] == [], f"{got}")
    t = got["trace"]
    check((t["rootSpanID"], t["rootServiceName"], t["rootTraceName"]) == (s.root, "front", "GET /cart"), f"{t}")
    check((t["startTimeUnixNano"], t["durationNanos"]) == (str(s.at), str(300 * 10 ** 6)), f"{t}")
    check((t["spanCount"], t["errorCount"]) == (3, 1) and t["serviceStats"] ==
          {"front": {"spanCount": 2, "errorCount": 0}, "shop": {"spanCount": 1, "errorCount": 1}}, f"{t}")
    last = t["spans"][2]
    check(last == {"spanID": s.child, "parentSpanID": t["spans"][1]["spanID"], "serviceName": "shop", "name": "SELECT", "kind": "server",
                   "status": "error", "statusMessage": "lock held", "startTimeUnixNano": str(s.at + 20 * 10 ** 6),
                   "durationNanos": str(150 * 10 ** 6)}, f"{last}")
    check([x["line"][:12] for x in got["logs"]] == ["level=info t", "waiting for ", "gave up: loc"], f"{got['logs']}")
    first, second = got["logs"][:2]
    check(first["labels"] == {"service_name": "front"} and first["timeUnixNano"] == str(s.at + 5 * 10 ** 6), f"{first}")
    check(second["labels"] == {"service_name": "shop"} and second["structuredMetadata"]["span_id"] == s.child, f"{second}")
    check([(x["kind"], x["title"]) for x in got["events"]] == [("flag.changed", "flag on")], f"{got['events']}")
    check(int(got["startTimeUnixNano"]) == s.at - 120 * 10 ** 9, f"{got['startTimeUnixNano']}")


def services_of_exemplars(s, got):
    check(all(e["labels"] == {"trace_id": s.trace} for x in got["exemplars"] for e in x["exemplars"]), f"{got['exemplars']}")
    return {x["seriesLabels"]["service"] for x in got["exemplars"] if "service" in x["seriesLabels"]}


def size_of(addr, link):
    """How many things a link's path leads to."""
    r = http_call(addr, "GET", link["path"], headers={"X-Scope-OrgID": TENANT})
    check(r.status == 200, f"{link}: {r.status} {r.text[:300]}")
    if link["to"] == "traces":
        return sum(len(g["spans"]) for b in r.json["trace"]["resourceSpans"] for g in b["scopeSpans"])
    if link["to"] == "logs":
        return sum(len(x["values"]) for x in r.json["data"]["result"])
    return len(r.json["data"] if link["to"] == "exemplars" else r.json["data"]["result"])


def check_links(addr, s, got):
    links = {(x["to"], x["by"], x.get("service", ""), x.get("title", "")): x for x in got["links"]}
    want = {("traces", "id", "", ""): 3, ("logs", "trace", "", ""): 2, ("logs", "text", "", ""): 1, ("logs", "service", "front", ""): 4,
            ("logs", "service", "shop", ""): 4}  # of services, those of the other trace, too
    for key, n in want.items():
        check(size_of(addr, links[key]) == n, f"{links[key]}: not {n}")
    for service in ("front", "shop"):
        for key in (("metrics", "service", service, "calls"), ("metrics", "service", service, "p99"), ("exemplars", "service", service, "")):
            check(size_of(addr, links[key]) > 0, f"{links[key]}")
    check(size_of(addr, links["metrics", "service", "shop", "errors"]) == 1 and size_of(addr, links["metrics", "service", "front", "errors"]) == 0,
          "errors")
    wait_for("the edge", lambda: size_of(addr, links["metrics", "edges", "shop", "callers"]) == 1, 30, 0.5)
    span = links["logs", "span", "", ""]
    for id, n in ((s.child, 2), (s.root, 0)):
        r = api(addr, "/loki/api/v1/query_range", {"query": span["query"].replace("$spanID", id), "start": span["startTimeUnixNano"],
                                                   "end": span["endTimeUnixNano"]})
        check(r.status == 200 and sum(len(x["values"]) for x in r.json["data"]["result"]) == n, f"{span} {r.text}")
    trace = links["traces", "id", "", ""]
    r = api(addr, "/api/search", {"q": trace["query"], "start": s.at // 10 ** 9 - 60, "end": int(time.time()) + 60})
    check([x["traceID"].rjust(32, "0") for x in r.json["traces"]] == [s.trace], f"{r.text}")


def test_all_signals_of_a_trace(t):
    o = start(t)
    s = Shop().send(o.addr)
    s.wait_for_exemplars(o.addr)
    Shop().send(o.addr).wait_for_exemplars(o.addr)  # of another trace, of the same series
    got = correlate(o.addr, s.trace)
    check_whole(s, got)
    check(services_of_exemplars(s, got) == {"front", "shop"}, f"{got['exemplars']}")
    check_links(o.addr, s, got)
    check_whole(s, correlate(o.addr, s.trace.upper()))
    empty = correlate(o.addr, s.trace, tenant="other")
    check(not any(empty[k] for k in ("trace", "logs", "events", "exemplars")) and empty["partial"] == [], f"{empty}")
    unknown = correlate(o.addr, "1234")
    check(unknown["traceID"] == "1234".rjust(32, "0") and not any(unknown[k] for k in ("trace", "logs", "events", "exemplars")), f"{unknown}")

    r = http_call(o.addr, "POST", "/ingester/flush", timeout=120)
    check(r.status in (200, 204), f"{r.status} {r.text}")
    check_whole(s, correlate(o.addr, s.trace))
    check(services_of_exemplars(s, correlate(o.addr, s.trace)) == {"front", "shop"}, "exemplars after a flush")


def test_of_64_bits_and_without_spans(t):
    """An id that others write with 16 digits; and lines of a trace of which no span was kept."""
    o = start(t)
    s = Shop(trace="0" * 16 + "a1b2c3d4e5f60718").send(o.addr)
    line = [str(s.at), "trace a1b2c3d4e5f60718 began", {"traceID": "1"}]
    named = [str(s.at + 10 ** 6), "another", {"traceID": "a1b2c3d4e5f60718"}]
    r = http_call(o.addr, "POST", "/loki/api/v1/push", json.dumps({"streams": [{"stream": {"app": "old"}, "values": [line, named]}]}), HEADERS)
    check(r.status == 204, f"{r.status} {r.text}")
    for id in ("a1b2c3d4e5f60718", s.trace):
        lines = [x["line"] for x in correlate(o.addr, id)["logs"]]
        check(len(lines) == 5 and lines[:2] == ["trace a1b2c3d4e5f60718 began", "another"], f"{lines}")
    alone = Shop()
    alone.send_logs(o.addr)
    got = correlate(o.addr, alone.trace)
    check(got["trace"] is None and len(got["logs"]) == 3 and len(got["events"]) == 1, f"{got}")
    check({(x["to"], x["by"]) for x in got["links"]} == {("traces", "id"), ("logs", "trace"), ("logs", "text"), ("logs", "span")}, f"{got['links']}")
    old = correlate(o.addr, alone.trace, end=alone.at // 10 ** 9 - 10)
    check(not old["logs"], f"{old}")


def test_bounds_and_what_is_partial(t):
    o = start(t, {"max_query_bytes_read": 100, "max_entries_limit_per_query": 2})
    s = Shop().send(o.addr)
    got = correlate(o.addr, s.trace)
    check([x["signal"] for x in got["partial"]] == ["logs"] and "max-query-bytes-read" in got["partial"][0]["error"], f"{got['partial']}")
    check(got["trace"]["spanCount"] == 3 and not got["logs"] and len(got["events"]) == 1, f"{got}")

    o = start(t, {"max_entries_limit_per_query": 2}, name="other")
    s = Shop().send(o.addr)
    got = correlate(o.addr, s.trace)
    check(len(got["logs"]) == 2 and got["truncated"] == ["logs"], f"{got}")
    got = correlate(o.addr, s.trace, limit=1)
    check([len(got["trace"]["spans"]), len(got["trace"]["serviceStats"]), len(got["logs"]), len(got["events"])] == [1, 1, 1, 1], f"{got}")
    check({"spans", "services", "logs"} <= set(got["truncated"]) and got["trace"]["spanCount"] == 3, f"{got}")
    # a span whose clock stood at 1970: the day up to the trace's end is looked at
    wrong = Shop(trace=s.trace)
    wrong.at = 10 ** 9
    wrong.send_spans(o.addr)
    got = correlate(o.addr, s.trace)
    check(got["trace"]["spanCount"] == 6 and len(got["logs"]) == 2, f"{got}")
    for params, text in (({"trace_id": ""}, "missing"), ({"trace_id": "xyz"}, "hexadecimal"), ({"trace_id": "0" * 32}, "zeros"),
                         ({"trace_id": "1" * 33}, "hexadecimal"), ({"limit": "0"}, "limit"), ({"limit": "10001"}, "limit"),
                         ({"margin": "2h"}, "margin"), ({"start": "9", "end": "8"}, "before"), ({"start": "yesterday"}, "start")):
        r = api(o.addr, "/api/correlate", {"trace_id": "1", **params})
        check(r.status == 400 and r.json["errorType"] == "bad_data" and text in r.json["error"], f"{params}: {r.status} {r.text}")
    check(http_call(o.addr, "GET", "/api/correlate?trace_id=1").status == 401, "without a tenant")


def test_in_a_cluster_when_a_replica_dies(t):
    with open(f"{t.dir}/overrides.yaml", "w", encoding="utf-8") as f:
        json.dump({"overrides": {TENANT: {"metrics_generator": GENERATOR}}}, f)
    with open(f"{t.dir}/orrery.yaml", "w", encoding="utf-8") as f:
        json.dump({"ingester": {"traces": True}, "limits": {"overrides-file": f"{t.dir}/overrides.yaml", "overrides-period": "200ms"}}, f)
    c = Cluster(t, args=["--queriers", "1", "--compactors", "0", "--rulers", "0", "--alertmanagers", "0", "--config", f"{t.dir}/orrery.yaml"])
    querier = c.addrs("querier")[0]
    s = Shop().send(c.addrs("ingester")[0])
    s.wait_for_exemplars(querier)
    check_whole(s, correlate(querier, s.trace))
    c.run("kill", c.names("ingester")[1])
    check_whole(s, correlate(querier, s.trace))
    c.run("kill", c.names("ingester")[2])
    failed = api(querier, "/api/correlate", {"trace_id": s.trace})
    check(failed.status == 503, f"two of three replicas are gone: {failed.status} {failed.text[:300]}")


if __name__ == "__main__":
    main()
