#!/usr/bin/env python3
"""A stream that comes too fast for one set of replicas is brought to several; whoever asks sees one stream, each line once."""
import os
import time

from fault_test import ready_ingesters
from logs_api_test import S, data, streams
from logs_test import counter, flush, held, lines_of, now_ns, push, push_ok
from orrery_test import Cluster, TENANT, check, main, wait_for

LINE = 2000


def expect_one_stream(querier, app, want, span, what):
    got = streams(querier, '{app="%s"}' % app, limit=5000, **span)
    check(len(got) > 0 and {tuple(sorted(k for k in x if k != "detected_level")) for x, _ in got} == {("app", "service_name")},
          f"{what}: {[x for x, _ in got]}")
    lines = [v[1] for _, values in got for v in values]
    check(sorted(lines) == sorted(want), f"{what}: {len(lines)} lines of {len(want)}, {len(set(lines))} different")
    for _, values in got:
        times = [v[0] for v in values]
        check(times == sorted(times, reverse=True), f"{what}: order")
    check(data(querier, "series", {"match[]": '{app="%s"}' % app, **span}) == [{"app": app, "service_name": app}], f"{what}: series")
    check(data(querier, "labels", {"query": '{app="%s"}' % app, **span}) == ["app", "service_name"], f"{what}: labels")


def test_a_fast_stream_is_shared_out(t):
    overrides = os.path.join(t.dir, "overrides.yaml")
    with open(overrides, "w", encoding="utf-8") as f:
        f.write(f"overrides: {{{TENANT}: {{shard_streams: {{enabled: true, desired_rate: 6KB}}, ingestion_rate_mb: 1000}},"
                f" few: {{shard_streams: {{enabled: true, desired_rate: 6KB}}, ingestion_rate_mb: 1000, max_global_streams_per_user: 2}},"
                " off: {shard_streams: {enabled: false}, ingestion_rate_mb: 1000},"
                " slow: {per_stream_rate_limit: 1KB, per_stream_rate_limit_burst: 32KB}}")
    config = os.path.join(t.dir, "orrery.yaml")
    with open(config, "w", encoding="utf-8") as f:
        f.write(f"limits: {{overrides-file: {overrides}}}\ncompactor: {{poll-interval: 300ms, early-wait: 500ms, drop-delay: 500ms}}\n")
    c = Cluster(t, args=["--ingesters", "6", "--queriers", "1", "--rulers", "0", "--alertmanagers", "0", "--config", config])
    ingesters, querier = c.addrs("ingester"), c.addrs("querier")[0]
    base, want, off = now_ns() - 60 * S, [], []

    def holders(app, tenant=TENANT):
        return [a for a in ingesters if lines_of(a, '{app="%s"}' % app, tenant=tenant)]

    def is_connected():
        return all(ready_ingesters(a) == 6 for a in ingesters) and \
            all(push(a, [({"app": f"p{i}"}, [(base, "probe")]) for i in range(20)]).status == 204 for a in ingesters) and \
            all(held(a, '{app=~"p.+"}') for a in ingesters)
    wait_for("all six to know each other", is_connected)
    began = time.time()
    for i in range(40):
        # three of each time; one push of four is sent again, through another door
        values = [(base + (i * 30 + k // 3) * 10**6, f"push {i} line {k} " + "x" * LINE) for k in range(30)]
        for k in range(2 if i % 4 == 0 else 1):
            push_ok(ingesters[(i + k) % 6], [({"app": "fast"}, values), ({"app": "calm"}, [(base + i, f"{i}")])])
        push_ok(ingesters[i % 6], [({"app": "fast"}, values)], tenant="off")
        want += [v[1] for v in values]
    print(f"# {len(want) * LINE / (time.time() - began) / 1e6:.1f} MB/s")
    span = {"start": base - S, "end": now_ns() + S}
    # all six, but for chance: where on the ring the shards of a stream lie
    check(len(holders("fast")) > 3, f"the fast one is held by {holders('fast')}")
    check(len(holders("calm")) == 3 and len(holders("fast", "off")) == 3, f"those that are to stay together: {[holders('calm'), holders('fast', 'off')]}")
    check(sum(counter(a, "orrery_log_sharded_streams_total") for a in ingesters) > 10, "a metric")
    everywhere = [x for a in ingesters for x in lines_of(a, '{app="fast"}')]
    check(all(everywhere.count(x) >= 2 for x in want), "a quorum has each line")
    check(min(len(lines_of(a, '{app="fast"}')) for a in ingesters) < len(want), "nobody is without a part of it")
    expect_one_stream(querier, "fast", want, span, "from ingesters")
    # lines of one time as they came
    got = [v[1] for _, vs in streams(querier, '{app="fast"} | drop detected_level', limit=5000, direction="forward", **span) for v in vs]
    check(got == want, "the order of lines of one time")
    d = data(querier, "query", {"query": 'sum(count_over_time({app="fast"}[10m]))', "time": span["end"]})
    check(d["result"][0]["value"][1] == str(len(want)), f"{d}")
    volume = data(querier, "index/volume", {"query": '{app="fast"}', **span})["result"][0]["value"][1]
    exact = sum(len(x) for x in want)
    check(exact < int(volume) < 1.5 * exact, f"{volume} for {exact} and a fourth of it sent twice")
    # Two streams of a tenant are one at each ingester: one that is everywhere leaves room for another where it is not at home.
    for i in range(40):
        push_ok(ingesters[i % 6], [({"app": "fast"}, [(base + i * S + k, f"{i} {k} " + "x" * LINE) for k in range(30)])], tenant="few")
        if len(holders("fast", "few")) == 6:
            break
    check(len(holders("fast", "few")) == 6, f"all hold some of it: {holders('fast', 'few')}")
    other = [push(ingesters[0], [({"app": f"other{i}"}, [(now_ns(), "y")])], tenant="few") for i in range(20)]
    check(any(r.status == 204 for r in other), f"a stream that is sharded counts as many: {[r.status for r in other]} {other[0].text}")
    check(any(r.status == 429 and "max_global_streams_per_user (2 over the cluster)" in r.text for r in other), "there is a limit")
    names = c.names("ingester")
    c.run("kill", names[1])
    expect_one_stream(querier, "fast", want, span, "without one")
    c.run("restart", names[1])
    wait_for("it to be back", lambda: lines_of(ingesters[1], '{app=~".+"}'))
    # too fast for a stream's own limit
    def slow(app, n):
        return push(ingesters[0], [({"app": app}, [(now_ns(), "y" * n)])], tenant="slow")
    check([slow("one", 15000).status for _ in range(2)] == [204, 204], "the burst")
    r = slow("one", 15000)
    check(r.status == 429 and "per_stream_rate_limit of 1000 bytes per second" in r.text and '{app="one"' in r.text, f"{r.status} {r.text}")
    check(slow("two", 15000).status == 204, "another stream")
    for a in ingesters:
        flush(a)
    wait_for("the block", lambda: not any(held(a, '{app="fast"}') for a in ingesters), 120)
    expect_one_stream(querier, "fast", want, span, "out of a block")


if __name__ == "__main__":
    main()
