#!/usr/bin/env python3
"""Queries in parts: two queriers share one, say the same as one alone, and either does without the
other."""
import os
import time

from orrery_test import Cluster, api, check, http_call, main, push_ok, query, wait_for

NOW = int(time.time()) * 1000
QUERIES = ["sum by (job) (rate(x_total[5m]))", "count(x_total)", "max by (pod) (x_total) > 100",
           "sum(rate(x_total[5m])) / count(x_total) + sum(rate(x_total[5m]))",
           "avg(x_total)", "avg by (job) (rate(x_total[5m]))", "stddev by (job) (x_total)", "stdvar(x_total - 7)",
           "quantile by (job) (0.7, rate(x_total[5m]))", "sum(count_values by (job) (\"v\", x_total))",
           "topk(3, sum by (pod) (rate(x_total[2m])))",
           "histogram_quantile(0.9, sum by (le) (rate(b_bucket[5m])))"]


def parts(addr, kind):
    for line in http_call(addr, "GET", "/metrics").text.splitlines():
        if line.startswith("orrery_querier_parts_total") and f'kind="{kind}"' in line:
            return int(float(line.split()[-1]))
    return -1


def ask(addr, expr):
    r = api(addr, "/api/v1/query_range", {"query": expr, "start": NOW / 1000 - 600,
                                          "end": NOW / 1000, "step": 15})
    check(r.status == 200, f"{expr}: {r.status} {r.text[:300]}")
    return {str(sorted(s["metric"].items())): [(t, round(float(v), 6)) for t, v in s["values"]]
            for s in r.json["data"]["result"]}


def test_two_queriers_share_a_query(t):
    config = os.path.join(t.dir, "split.yml")
    with open(config, "w") as f:
        f.write("querier: {split-at-samples: 1, split-threads: 2}\n")
    c = Cluster(t, args=["--ingesters", "3", "--queriers", "2", "--compactors", "0", "--rulers", "0",
                         "--alertmanagers", "0", "--config", config])
    one, other = c.addrs("querier")
    series = [({"__name__": "x_total", "job": f"j{i % 5}", "pod": f"p{i}"},
               [(NOW - (60 - k) * 15000, float(k * i)) for k in range(60)]) for i in range(300)]
    series += [({"__name__": "b_bucket", "le": le, "pod": f"p{i}"},
                [(NOW - (60 - k) * 15000, float(k * (n + 1))) for k in range(60)])
               for i in range(50) for n, le in enumerate(["0.1", "1", "+Inf"])]
    push_ok(c.addrs("ingester")[0], series)
    wait_for("the series", lambda: query(one, "count(x_total)", NOW)["result"][0]["value"][1] == "300", 60)
    whole = {q: ask(one, q) for q in QUERIES}  # nobody has asked these before: as one
    for q in QUERIES:
        check(whole[q], f"{q}: nothing")
        again = ask(one, q)
        check(again == whole[q], f"{q}: in parts {again}, as one {whole[q]}")
    served = parts(other, "served")
    check(served > 0 and parts(one, "remote") > 0, f"the other querier did {served} parts")
    check(parts(one, "returned") == 0, f"{parts(one, 'returned')} parts came back")
    name = next(n for n, v in c.status().items() if v[3] == other)
    c.run("kill", name)
    for q in QUERIES:
        check(ask(one, q) == whole[q], f"{q}: without the other querier")


if __name__ == "__main__":
    main()
