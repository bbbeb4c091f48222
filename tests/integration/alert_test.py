#!/usr/bin/env python3
"""From a firing rule to one notification."""
import collections
import datetime
import json
import os
import random
import struct
import subprocess
import threading
import time

import logs_test
from orrery_test import (BIN, PUSH_HEADERS, TENANT, Cluster, Single, Webhook, _field, api, check, free_port,
                         http_call, label_bytes, main, push_ok, query, snappy, wait_for)
from random_expr import native_histogram

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
RULES = """
groups:
  - name: test
    interval: 1s
    rules:
      - record: job:up_total:sum
        expr: sum by (job) (up_total)
      - alert: TooMany
        expr: up_total > 0.5
        for: 1s
        labels: {severity: page}
        annotations:
          summary: '{{ $labels.instance }} is at {{ $value | humanizePercentage }}'
"""

LOG_RULES = """
groups:
  - name: logs
    interval: 1s
    query_offset: 0s
    labels: {team: infra}
    rules:
      - record: app:errors:rate5m
        expr: sum by (app) (rate({app=~".+"} |= "error" [5m]))
        labels: {from: lines}
"""

AM = """
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 1s
  group_interval: 5s
  repeat_interval: 1h
receivers:
  - name: hook
    webhook_configs:
      - url: URL
        send_resolved: true
"""


def write_config(t, hook, group_interval="group_interval: 5s"):
    rules = os.path.join(t.dir, "rules", TENANT)
    os.makedirs(f"{rules}/logs")
    with open(f"{rules}/rules.yml", "w") as f:
        f.write(RULES)
    with open(f"{rules}/logs/lines.yml", "w") as f:
        f.write(LOG_RULES)
    with open(f"{t.dir}/alertmanager.yml", "w") as f:
        f.write(AM.replace("URL", hook.url).replace("group_interval: 5s", group_interval))
    with open(f"{t.dir}/orrery.yml", "w") as f:
        f.write(f"ruler: {{rule-path: {t.dir}/rules}}\n"
                f"alertmanager: {{config-file: {t.dir}/alertmanager.yml, peer-timeout: 3s}}\n")
    return ["--config", f"{t.dir}/orrery.yml"]


def fire(addrs, value=1.0):
    t = int(time.time() * 1000)
    push_ok(addrs[0], [({"__name__": "up_total", "job": "j", "instance": "i"}, [(t, value)])])


def keep_firing(addrs, seconds, value=1.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        fire(addrs, value)
        time.sleep(1)


def test_single_process(t):
    hook = Webhook(t)
    o = Single(t, args=write_config(t, hook)).wait_ready()
    fire([o.addr])
    wait_for("the recorded series",
             lambda: query(o.addr, "job:up_total:sum")["result"], 30)
    wait_for("the notification", lambda: hook.count(alertname="TooMany"), 30)
    check(hook.received[0][1]["commonAnnotations"]["summary"] == "i is at 100%",
          json.dumps(hook.received[0][1]))
    check(hook.received[0][1]["version"] == "4", "not Alertmanager's payload")
    keep_firing([o.addr], 8)
    check(hook.count() == 1, f"{hook.count()} notifications")
    keep_firing([o.addr], 12, 0.0)
    wait_for("the all-clear", lambda: hook.count("resolved"), 30)


LOG_ALERTS = """
groups:
  - name: alerts
    interval: 1s
    rules:
      - alert: ErrorsInLines
        expr: sum by (app, msg) (count_over_time({app="web"} | logfmt | level="error" [5m])) > 1
        for: 1s
        labels: {severity: page}
        annotations: {summary: '{{ $labels.app }} logged "{{ $labels.msg }}" {{ $value }} times'}
      - alert: Broken
        expr: sum by (ms) (count_over_time({app="web"} | json [5m])) > 0
"""


def send_lines(addr):
    now = time.time_ns()
    logs_test.push_ok(addr, [({"app": "web"}, [(now - i * 10**6, f"level=error msg=boom n={i}") for i in range(3)])])


def recorded_errors(addr):
    r = query(addr, "app:errors:rate5m")["result"]
    return r and [x["metric"] for x in r] == [
        {"__name__": "app:errors:rate5m", "app": "web", "from": "lines", "team": "infra"}] and float(r[0]["value"][1]) > 0


def check_log_rules(addr):
    """What Loki's API of rule configurations tells."""
    text = '''lines.yml:
    - name: logs
      interval: 1s
      query_offset: 0s
      labels:
          team: infra
      rules:
          - record: "app:errors:rate5m"
            expr: "sum by (app) (rate({app=~\\".+\\"} |= \\"error\\" [5m]))"
            labels:
                from: lines
'''
    for path, status, want in (("/loki/api/v1/rules", 200, text), ("/api/prom/rules/lines.yml", 200, text),
                               ("/loki/api/v1/rules/lines.yml/logs", 200, "name: logs\ninterval: 1s\n"),
                               ("/loki/api/v1/rules/rules.yml", 404, "no rule groups found"),
                               ("/api/prom/rules/test/test", 404, "group does not exist")):
        r = api(addr, path)
        check(r.status == status and want in r.text, f"{path}: {r.status} {r.text}")
    r = http_call(addr, "POST", "/loki/api/v1/rules/lines.yml", b"name: g", {"X-Scope-OrgID": TENANT})
    check(r.status == 409 and "ruler.rule-path" in r.text, f"{r.status} {r.text}")


def test_rules_over_log_lines(t):
    hook = Webhook(t)
    args = write_config(t, hook)
    logs = f"{t.dir}/rules/{TENANT}/logs"
    with open(f"{logs}/bad.yml", "w") as f:
        f.write("groups: [{name: b, rules: [{record: r, expr: 'rate({a=\"b\"}[1m'}]}]")
    o = Single(t, args=args).wait_ready()
    check(f'{logs}/bad.yml: 1: group \\"b\\", rule 1, \\"r\\": could not parse expression' in o.tail(), o.tail())
    r = subprocess.run([f"{BIN}/orreryctl", "rules", "check", f"{t.dir}/rules"], capture_output=True, text=True)
    check(r.returncode == 1 and f'{logs}/bad.yml: 1: group "b", rule 1, "r": could not parse' in r.stdout, r.stdout)
    check([x.split()[1:] for x in r.stdout.splitlines() if "lines.yml" in x] == [[TENANT, "logql", "1", "1"]], r.stdout)
    check_log_rules(o.addr)
    send_lines(o.addr)
    wait_for("a metric made of lines", lambda: recorded_errors(o.addr), 30)
    with open(f"{logs}/alerts.yml", "w") as f:
        f.write(LOG_ALERTS)
    wait_for("the notification", lambda: hook.count(alertname="ErrorsInLines"), 40)
    alert = hook.received[0][1]["alerts"][0]
    check(alert["labels"] == {"alertname": "ErrorsInLines", "app": "web", "msg": "boom", "severity": "page"}, f"{alert}")
    check(alert["annotations"]["summary"] == 'web logged "boom" 3 times', f"{alert}")
    check("/explore?left=%7B%22queries%22" in alert["generatorURL"], f"{alert}")
    # alertmanagers are told before ALERTS is written
    wait_for("ALERTS", lambda: query(o.addr, 'ALERTS{alertname="ErrorsInLines",alertstate="firing"}')["result"], 30)
    groups = {g["name"]: g for g in api(o.addr, "/prometheus/api/v1/rules").json["data"]["groups"]}
    check("language" not in groups["test"] and groups["alerts"]["language"] == "logql", f"{groups}")
    check(groups["alerts"]["file"] == f"{TENANT}/logs/alerts.yml", f"{groups}")
    fired, broken = groups["alerts"]["rules"]
    check(fired["state"] == "firing" and fired["health"] == "ok", f"{fired}")
    check(broken["health"] == "err" and "JSONParserErr" in broken["lastError"], f"{broken}")
    check([a["labels"]["alertname"] for a in api(o.addr, "/prometheus/api/v1/alerts").json["data"]["alerts"]] ==
          ["ErrorsInLines"], "alerts")


HISTOGRAM_RULES = """
groups:
  - name: h
    interval: 1s
    rules:
      - {record: 'job:wait:sum', expr: sum by (job) (wait)}
      - {record: 'inst:wait:half', expr: wait / 2}
      - {alert: Waiting, expr: 'wait{instance="a"}', annotations: {summary: 'is {{ $value }}'}}
"""


def histogram_of(o, expr):
    r = query(o.addr, expr)["result"]
    return r[0]["histogram"][1] if r and "histogram" in r[0] else None


def test_rules_on_native_histograms(t):
    rules = os.path.join(t.dir, "rules", TENANT)
    os.makedirs(rules)
    with open(f"{rules}/h.yml", "w") as f:
        f.write(HISTOGRAM_RULES)
    o = Single(t, args=[f"--ruler.rule-path={t.dir}/rules"]).wait_ready()

    def write(seed):
        now, body = int(time.time() * 1000), b""
        for inst in "ab":
            labels = {"__name__": "wait", "instance": inst, "job": "j"}
            body += _field(1, 2, b"".join(label_bytes(k, v) for k, v in sorted(labels.items())) +
                           _field(4, 2, native_histogram(now, random.Random(seed), 100)))
        r = http_call(o.addr, "POST", "/api/v1/push", snappy(body), {**PUSH_HEADERS, "X-Scope-OrgID": TENANT})
        check(r.status // 100 == 2, r.text)
    write(1)
    wait_for("the recorded histograms", lambda: histogram_of(o, "job:wait:sum") and
             histogram_of(o, 'inst:wait:half{instance="b"}'), 30)
    # all of it: schema, buckets, zero bucket, sum
    check(histogram_of(o, "job:wait:sum") == histogram_of(o, "sum by (job) (wait)"), "not the sum")
    check(histogram_of(o, 'inst:wait:half{instance="b"}') == histogram_of(o, 'wait{instance="b"} / 2'), "half")
    groups = api(o.addr, "/api/v1/rules").json["data"]["groups"]
    for rule in groups[0]["rules"]:
        check(rule["health"] == "ok", f"{rule}")
    alert = groups[0]["rules"][2]["alerts"][0]
    check(float(alert["value"]) == 0 and alert["annotations"]["summary"].startswith("is {count:100, sum:170"),
          f"{alert}")
    # gone, and its recorded series end with it
    stale = int(time.time() * 1000)
    push_ok(o.addr, [({"__name__": "wait", "instance": i, "job": "j"}, [(stale, STALE)]) for i in "ab"])
    wait_for("stale markers", lambda: not query(o.addr, '{__name__=~".*:wait:.*"}')["result"], 30)
    write(2)
    wait_for("them again", lambda: histogram_of(o, "job:wait:sum"), 30)


def wait_for_peers(c):
    wait_for("alertmanagers to see each other", lambda: all(
        len([m for m in http_call(a, "GET", "/memberlist",
                                  headers={"Accept": "application/json"}).text.split("alertmanager-")])
        > 3 for a in c.addrs("alertmanager")), 30)


def post_many(addr, tenant, first, n):
    now = datetime.datetime.now(datetime.timezone.utc)
    end = (now + datetime.timedelta(hours=1)).isoformat()
    alerts = [{"labels": {"alertname": "Flood", "i": str(i)}, "annotations": {"text": "x" * 200},
               "startsAt": now.isoformat(), "endsAt": end} for i in range(first, first + n)]
    return http_call(addr, "POST", "/api/v2/alerts", json.dumps(alerts),
                     {"X-Scope-OrgID": tenant, "Content-Type": "application/json"}, timeout=120)


def test_a_flood_of_groups_freezes_nobody(t):
    """10,000 alerts, each a group of its own, told to a receiver that refuses them: the process must
    go on answering, another tenant's alert be told, and the groups be bounded."""
    hook = Webhook(t)
    with open(f"{t.dir}/alertmanager.yml", "w") as f:
        f.write("route: {receiver: refuses, group_by: ['...'], group_wait: 1s, group_interval: 10s, "
                "routes: [{receiver: hook, matchers: ['alertname=Other']}]}\n"
                "receivers:\n"
                f"  - {{name: refuses, webhook_configs: [{{url: 'http://127.0.0.1:{free_port()}/'}}]}}\n"
                f"  - {{name: hook, webhook_configs: [{{url: '{hook.url}'}}]}}\n")
    o = Single(t, args=[f"--alertmanager.config-file={t.dir}/alertmanager.yml"]).wait_ready()
    slowest, is_over = [0.0], threading.Event()

    def probe():
        while not is_over.is_set():
            started = time.monotonic()
            http_call(o.addr, "GET", "/healthy", timeout=120)
            slowest[0] = max(slowest[0], time.monotonic() - started)
            time.sleep(0.02)

    threads = [threading.Thread(target=probe, daemon=True) for _ in range(4)]  # to every loop
    for thread in threads:
        thread.start()
    for first in (0, 5000):
        r = post_many(o.addr, "flood", first, 5000)
        check(r.status == 200, f"{r.status} {r.text}")
    time.sleep(2)
    post_alert(o.addr, alertname="Other")
    wait_for("another tenant to be told", lambda: hook.count(alertname="Other"), 15)
    r = post_many(o.addr, "flood", 10000, 10)
    check(r.status == 422 and "max-groups" in r.text, f"{r.status} {r.text}")
    time.sleep(10)
    is_over.set()
    for thread in threads:
        thread.join(120)
    print(f"   the slowest answer to /healthy took {slowest[0]:.2f} s", flush=True)
    check(slowest[0] < 3, f"/healthy took {slowest[0]:.2f} s")
    metrics = http_call(o.addr, "GET", "/metrics").text
    check("\norrery_alertmanager_aggregation_groups 1000" in metrics, metrics)
    check("\norrery_alertmanager_aggregation_group_limit_reached_total 10\n" in metrics, metrics)


def test_a_rule_path_that_leads_nowhere_stops_the_start(t):
    o = Single(t, args=[f"--ruler.rule-path={t.dir}/no-such"])
    wait_for("it to give up", lambda: not o.alive(), 30)
    check(o.popen.returncode not in (0, None), "it ended well")
    check(f"{t.dir}/no-such: no such file or directory" in o.tail(), o.tail())


def alert_cluster(t, hook, group_interval="group_interval: 5s"):
    c = Cluster(t, args=write_config(t, hook, group_interval) + ["--queriers", "1"])
    wait_for_peers(c)
    return c


def test_exactly_one_with_three_alertmanagers(t):
    hook = Webhook(t)
    c = alert_cluster(t, hook)
    addrs = c.addrs("ingester")
    send_lines(addrs[0])
    keep_firing(addrs, 25)
    check(hook.count() == 1, f"{hook.count()} notifications: {hook.received}")
    check(recorded_errors(c.addrs("querier")[0]), "no metric was made of lines")
    for role in ("querier", "ruler"):
        check_log_rules(c.addrs(role)[0])


def post_alert(addr, **labels):
    now = datetime.datetime.now(datetime.timezone.utc)
    r = http_call(addr, "POST", "/api/v2/alerts", json.dumps([
        {"labels": labels, "startsAt": now.isoformat(),
         "endsAt": (now + datetime.timedelta(hours=1)).isoformat()}]),
        {"X-Scope-OrgID": TENANT, "Content-Type": "application/json"})
    check(r.status == 200, f"alert posted to {addr}: {r.status} {r.text}")


def speaker_of(message):
    return message["externalURL"].rsplit("/", 1)[1]


def test_exactly_one_each_of_fifty_groups_among_eleven_processes(t):
    """With the peer timeout that everybody has; members without the notification log are many."""
    hook = Webhook(t)
    with open(f"{t.dir}/alertmanager.yml", "w") as f:
        f.write(AM.replace("URL", hook.url).replace("group_interval: 5s", "group_interval: 5m"))
    with open(f"{t.dir}/orrery.yml", "w") as f:
        f.write(f"alertmanager: {{config-file: {t.dir}/alertmanager.yml}}\n")
    c = Cluster(t, args=["--config", f"{t.dir}/orrery.yml"])
    check(len(c.status()) == 11, f"{len(c.status())} processes")
    wait_for_peers(c)
    ams = c.addrs("alertmanager")
    for i in range(50):
        post_alert(ams[i % 3], alertname=f"A{i}")
        time.sleep(0.2)
    wait_for("all to be told", lambda: len(hook.received) >= 50, 60)
    time.sleep(2 * 15 + 5)  # the turns of the second and the third
    told = collections.Counter(m["commonLabels"]["alertname"] for _, m in hook.received)
    check(len(told) == 50, f"{len(told)} groups of 50 were told")
    check(max(told.values()) == 1, f"told more than once: { {k: v for k, v in told.items() if v > 1} }")
    speakers = collections.Counter(speaker_of(m) for _, m in hook.received)
    check(len(speakers) == 3, f"the groups are not spread: {speakers}")


def test_exactly_one_when_the_receiver_is_slower_than_the_peer_timeout(t):
    hook = Webhook(t)
    hook.takes = lambda m: time.sleep(4.5) or True  # longer than the 3 s, less than twice that
    c = alert_cluster(t, hook)
    post_alert(c.addrs("alertmanager")[0], alertname="Slow")
    wait_for("the notification", lambda: hook.count(alertname="Slow"), 30)
    time.sleep(12)
    check(hook.count() == 1, f"{hook.count()} notifications: {hook.received}")


def test_exactly_one_when_the_speaker_was_killed(t):
    """Whoever speaks first is killed while it does: the receiver has heard it, and not answered. Nobody
    but the next in turn can tell then: the groups flush again in five minutes only."""
    hook = Webhook(t)
    c = alert_cluster(t, hook, "group_interval: 5m")
    first, was_killed = [], threading.Event()

    def takes(message):
        if first:
            return True
        first.append(speaker_of(message))
        was_killed.wait(60)
        return False

    hook.takes = takes
    fire(c.addrs("ingester"))
    wait_for("somebody to speak", lambda: first, 60)
    c.run("kill", first[0])
    was_killed.set()
    killed = time.monotonic()
    wait_for(f"the next in turn after {first[0]}", lambda: hook.count(alertname="TooMany"), 60)
    second = speaker_of(hook.received[0][1])
    check(second != first[0], f"{second} was killed, and speaks")
    print(f"   {first[0]} was killed, {second} spoke {time.monotonic() - killed:.1f} s later", flush=True)
    time.sleep(12)  # the third has its turn
    check(hook.count() == 1, f"{hook.count()} notifications: {hook.received}")
    c.run("kill", second)
    time.sleep(12)
    check(hook.count() == 1, f"{hook.count()} notifications after {second} was killed")


if __name__ == "__main__":
    main()
