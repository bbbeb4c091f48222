#!/usr/bin/env python3
"""Aggregation at the door: many pods' series become one, whichever ingesters they come in at."""
import os
import time

from orrery_test import (TENANT, Cluster, Single, check, http_call, main, push, push_ok, query,
                         samples_of, wait_for)

PODS = 1000
RULES = """overrides:
  %s:
    max_aggregation_inputs_per_user: 1500
    aggregation_rules:
      - match: 'hits_total'
        without: [pod]
        outputs: [total]
        interval: 5s
        drop_input: true
        name: $name
      - {match: 'temp', by: [room], outputs: [sum, count, max], interval: 5s}
"""


def now_ms():
    return int(time.time() * 1000)


def rules_file(t):
    path = os.path.join(t.dir, "over.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(RULES % TENANT)
    return path


def aggregated(addr):
    r = http_call(addr, "GET", "/ingester/aggregation")
    check(r.status == 200, r.text)
    return {x["rule"]: x for x in r.json["aggregation"] if x["userID"] == TENANT}


class Pods:
    """Counters of pods, and what they really grew by since the first scrape."""

    def __init__(self):
        self.values = [1000.0 + i for i in range(PODS)]
        self.grown = 0
        self.is_first = True

    def grow(self, reset=()):
        for i in range(PODS):
            before, self.values[i] = self.values[i], 5.0 if i in reset else self.values[i] + i % 7
            if not self.is_first:
                self.grown += 5 if i in reset else self.values[i] - before
        self.is_first = False

    def send(self, doors, at=None):
        """The pods of a node go to one door; what is refused for now is sent again, as agents do."""
        at = at or now_ms()
        for d, door in enumerate(doors):
            series = [({"__name__": "hits_total", "job": "web", "pod": f"p{i}"}, [(at, v)])
                      for i, v in enumerate(self.values) if i % len(doors) == d]

            def taken(d=d, series=series):
                for other in [doors[d]] + [x for x in doors if x != doors[d]]:
                    try:
                        r = push(other, series, timeout=10)
                    except OSError:
                        continue  # that process is dead: the balancer picks another one
                    if r.status in (200, 204):
                        return True
                    check(r.status == 503, f"{r.status} {r.text}")
                    return False
                return False
            wait_for("a write to be taken", taken, 60, 0.2)
        return at


def growth(samples):
    """What a counter grew by: a value below the one before it counts whole."""
    total = 0
    for (_, a), (_, b) in zip(samples, samples[1:]):
        total += b - a if b >= a else b
    return total


def output(querier, since, labels=None):
    labels = {"__name__": "hits_total", **({"job": "web"} if labels is None else labels)}
    got = samples_of(querier, "hits_total", since, now_ms())
    check(len(got) <= 1 and all(dict(k) == labels for k in got),
          f"not one series without pods: {list(got)[:3]}")
    return sorted((t, float(v)) for t, v in list(got.values())[0].items()) if got else []


def test_a_thousand_pods_are_one_series_in_a_cluster(t):
    c = Cluster(t, args=["--queriers", "1", "--rulers", "1", "--alertmanagers", "1"] +
                cluster_config(t))
    doors, querier = sorted(c.addrs("ingester")), c.addrs("querier")[0]
    since, pods = now_ms() - 1000, Pods()

    def settled(total):
        wait_for(f"a growth of {total}", lambda: growth(output(querier, since)) == total, 30, 0.5)

    for k in range(12):
        pods.grow(reset=range(100, 200) if k == 7 else ())
        at = pods.send(doors)
        if k == 5:
            pods.send(doors, at)  # an agent that got no answer: counted once
        time.sleep(1)
    settled(pods.grown)
    owners = [d for d in doors if aggregated(d)]
    check(len(owners) == 1, f"{[aggregated(d) for d in doors]}")
    check(aggregated(owners[0])[0]["inputs"] == PODS and aggregated(owners[0])[0]["groups"] == 1,
          f"{aggregated(owners[0])}")

    # The owner dies: another one goes on. What it had not written is gone, nothing counts twice.
    name = next(k for k, v in c.status().items() if v[3] == owners[0])
    c.run("kill", name)
    left = [d for d in doors if d != owners[0]]
    written = growth(output(querier, since))
    for _ in range(25):
        pods.grow()
        pods.send(left)
        time.sleep(1)
    wait_for("another owner", lambda: growth(output(querier, since)) > written, 60, 0.5)
    now = [d for d in left if aggregated(d)]
    check(len(now) == 1, f"{[aggregated(d) for d in left]}")
    time.sleep(12)  # two intervals: all that came is written
    steady, grown = growth(output(querier, since)), pods.grown
    check(steady <= grown, f"{steady} counted of {grown}")
    for _ in range(3):
        pods.grow()
        pods.send(left)
        time.sleep(1)
    settled(steady + pods.grown - grown)

    # And it comes back: the series is handed over once more, by the ring, without a loss of what
    # the one owner had, and without anything counted twice.
    c.run("restart", name)
    doors = sorted(c.addrs("ingester"))
    before, grown = growth(output(querier, since)), pods.grown
    for _ in range(15):
        pods.grow()
        pods.send(doors)
        time.sleep(1)
    time.sleep(12)
    after = growth(output(querier, since))
    scrape = sum(i % 7 for i in range(PODS))
    check(pods.grown - grown - 2 * scrape <= after - before <= pods.grown - grown,
          f"{after - before} counted of {pods.grown - grown}, {scrape} a scrape")


def cluster_config(t):
    path = os.path.join(t.dir, "aggregation.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"limits: {{overrides-file: {rules_file(t)}, overrides-period: 200ms}}\n")
    return ["--config", path]


def test_gauges_limits_and_the_end_of_a_process(t):
    o = Single(t, args=[f"--limits.overrides-file={rules_file(t)}",
                        "--limits.overrides-period=100ms"])
    o.wait_ready()
    start = now_ms()
    for _ in range(14):
        at = now_ms()
        push_ok(o.addr, [({"__name__": "temp", "room": "a", "pod": f"p{i}"}, [(at, i)])
                         for i in range(10)])
        push_ok(o.addr, [({"__name__": "hits_total", "pod": "p"}, [(at, (at - start) // 1000)])])
        time.sleep(1)
    for name, want in (("temp:sum", 45), ("temp:count", 10), ("temp:max", 9)):
        got = samples_of(o.addr, name, start, now_ms())
        check(len(got) == 1 and dict(list(got)[0]) == {"__name__": name, "room": "a"} and
              float(max(list(got.values())[0].items())[1]) == want, f"{name}: {got}")
    check(len(samples_of(o.addr, "temp", start, now_ms())) == 10, "inputs that are to be kept")
    got = samples_of(o.addr, "hits_total", start, now_ms())
    check(got and all("pod" not in dict(k) for k in got), f"a dropped input: {list(got)}")

    r = push(o.addr, [({"__name__": "hits_total", "pod": f"q{i}"}, [(now_ms(), 1)])
                      for i in range(2000)])
    check(r.status == 400 and "max_aggregation_inputs_per_user" in r.text, f"{r.status} {r.text}")
    r = http_call(o.addr, "GET", "/metrics").text
    check("orrery_aggregation_inputs 1500" in r, "inputs are not bounded")
    check(aggregated(o.addr)[0]["inputs"] + aggregated(o.addr)[1]["inputs"] == 1500, "the page")

    # Of an input, too, nothing is taken from a future too far: those after it would be late.
    for name in "hits_total", "temp", "plain":
        r = push(o.addr, [({"__name__": name, "pod": "p", "room": "b"}, [(now_ms() + 3600_000, 1)])])
        check(r.status == 400 and "too far in the future: 1" in r.text, f"{name}: {r.status} {r.text}")

    # What came since the last output is written when the process ends.
    total = growth(output(o.addr, start, {}))
    push_ok(o.addr, [({"__name__": "hits_total", "pod": "p"}, [(now_ms(), 1000)])])
    o.stop()
    o.start()
    o.wait_ready()
    got = output(o.addr, start, {})
    check(growth(got) > total + 900, f"{got}")

    # Rules that make no sense are refused, and those of before stay.
    with open(os.path.join(t.dir, "over.yaml"), "w", encoding="utf-8") as f:
        f.write(f"overrides: {{{TENANT}: {{aggregation_rules: [{{match: up}}]}}}}\n")
    wait_for("the refusal", lambda: "neither by nor without" in open(o.log).read(), 10)
    check("without" in http_call(o.addr, "GET", "/runtime_config").text, "the rules of before")
    check(query(o.addr, "up")["result"] == [], "a query")


if __name__ == "__main__":
    main()
