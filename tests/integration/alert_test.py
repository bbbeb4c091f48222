#!/usr/bin/env python3
"""From a firing rule to one notification."""
import json
import os
import time

from orrery_test import (TENANT, Cluster, Single, Webhook, api, check, http_call, main, push_ok,
                         query, wait_for)

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


def write_config(t, hook):
    rules = os.path.join(t.dir, "rules", TENANT)
    os.makedirs(rules)
    with open(f"{rules}/rules.yml", "w") as f:
        f.write(RULES)
    with open(f"{t.dir}/alertmanager.yml", "w") as f:
        f.write(AM.replace("URL", hook.url))
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


def alert_cluster(t, hook):
    c = Cluster(t, args=write_config(t, hook) + ["--queriers", "1"])
    wait_for("alertmanagers to see each other", lambda: all(
        len([m for m in http_call(a, "GET", "/memberlist",
                                  headers={"Accept": "application/json"}).text.split("alertmanager-")])
        > 3 for a in c.addrs("alertmanager")), 30)
    return c


def test_exactly_one_with_three_alertmanagers(t):
    hook = Webhook(t)
    c = alert_cluster(t, hook)
    addrs = c.addrs("ingester")
    keep_firing(addrs, 25)
    check(hook.count() == 1, f"{hook.count()} notifications: {hook.received}")


def test_exactly_one_when_the_speaker_was_killed(t):
    hook = Webhook(t)
    c = alert_cluster(t, hook)
    addrs = c.addrs("ingester")
    fire(addrs)
    # whoever would speak first is found by stopping one after the other in further runs; here each
    # is killed in turn just before its group is due, so one of them was the speaker
    wait_for("the alert", lambda: any(
        "TooMany" in api(a, "/api/v2/alerts").text for a in c.addrs("alertmanager")), 30)
    c.run("kill", "alertmanager-1")
    keep_firing(addrs, 20)
    check(hook.count() >= 1, "no notification")
    first = hook.count()
    check(first == 1, f"{first} notifications: {hook.received}")
    c.run("kill", "alertmanager-2")
    keep_firing(addrs, 15)
    check(hook.count() == 1, f"{hook.count()} notifications after the second was killed")


if __name__ == "__main__":
    main()
