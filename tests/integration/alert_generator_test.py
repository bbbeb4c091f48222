#!/usr/bin/env python3
"""The rules of the compliance suite of alert generators (../shared/conformance/alert-generator) fire as its specification says: at their own
pace in unit tests, here and in Debian's promtool, and thirty times as fast at a ruler whose alertmanager is this test."""
import datetime
import http.server
import json
import os
import subprocess
import threading
import time

from orrery_test import BIN, ROOT, TENANT, Single, Skip, api, check, main, push_ok, query, samples_of, wait_for

RULES = os.path.join(ROOT, "../shared/conformance/alert-generator/rules.yaml")
METRIC = "alert_generator_test_suite"


def rules():
    if not os.path.exists(RULES):
        raise Skip("no ../shared/conformance")
    with open(RULES) as f:
        return f.read()


def series(group, rule=None, **labels):
    return {"__name__": METRIC, "rulegroup": group, **({"alertname": f"{group}_{rule}"} if rule else {}), **labels}


# the texts of templates: as Prometheus makes them (the unit tests below have them judged by Debian's promtool)
TEMPLATES = {"ZeroFor": "1.049M 1Mi 2m 15s 95.9% 2022-01-25 12:36:43 +0000 UTC",
             "SmallFor": "This Part IS TESTING the strings. ::1 127.0.0.1. 7815. replaced text. ."}
QUERIED = "Args are: foo bar 99. first_id:1,1:10,2:20,"
ORDER_2 = "Based on ALERTS. Old alertname was NewAlerts_OrderCheck_Rule1. foo was bar."


def unit_test():
    """What happens when, of each group; an interval is 30 s."""
    inputs = {
        json.dumps(series("NewAlerts_OrderCheck", "Rule1", variant="one")): "5x3 15x40",
        json.dumps(series("NewAlerts_OrderCheck", "Rule1", variant="two")): "5x9 15x34",
        json.dumps(series("PendingAndFiringAndResolved", "SimpleAlert")): "5x3 11x20 5x20",
        json.dumps(series("PendingAndResolved_AlwaysInactive", "PendingAlert")): "5x3 15x4 5x30",
        json.dumps(series("PendingAndResolved_AlwaysInactive", "InactiveAlert")): "5x50",
        json.dumps(series("ZeroFor_SmallFor", "ZeroFor")): "5x3 15x8 5x30",
        json.dumps(series("ZeroFor_SmallFor", "SmallFor")): "5x3 15x8 5x30",
        json.dumps(series("ZeroFor_SmallFor", id="2", **{"for": "template"})): "20x50",
        json.dumps(series("ZeroFor_SmallFor", id="1", **{"for": "template"})): "10x50",
    }
    out = ["rule_files: [rules.yaml]", "evaluation_interval: 30s", "tests:", "  - interval: 30s", "    input_series:"]
    for labels, values in inputs.items():
        ls = json.loads(labels)
        text = ls.pop("__name__") + "{" + ",".join(f'{k}="{v}"' for k, v in ls.items()) + "}"
        out.append(f"      - {{series: {json.dumps(text)}, values: '{values}'}}")
    out.append("    alert_rule_test:")

    def fires(at, group, rule, *alerts):
        """alerts: (labels, annotations)."""
        out.append(f"      - eval_time: {at}\n        alertname: {group}_{rule}")
        if alerts:
            out.append("        exp_alerts:")
        for labels, notes in alerts:
            out.append(f"          - exp_labels: {json.dumps({'rulegroup': group, **labels})}\n"
                       f"            exp_annotations: {json.dumps(notes)}")
    out_exprs = []

    def state(at, group, rule, **states):
        """How many of each state there are in ALERTS."""
        text = f'count by (alertstate) (ALERTS{{alertname="{group}_{rule}"}})'
        samples = ", ".join(f"{{labels: '{{alertstate=\"{k}\"}}', value: {v}}}" for k, v in states.items())
        out_exprs.append(f"      - {{expr: {json.dumps(text)}, eval_time: {at}, exp_samples: [{samples}]}}")
    later = {"description": "This should produce more alerts later"}
    one, two = ({"foo": "bar", "variant": v} for v in ("one", "two"))
    fires("1m30s", "NewAlerts_OrderCheck", "Rule1")
    state("2m", "NewAlerts_OrderCheck", "Rule1", pending=1)
    fires("4m30s", "NewAlerts_OrderCheck", "Rule1")
    fires("5m", "NewAlerts_OrderCheck", "Rule1", (one, later))
    fires("7m30s", "NewAlerts_OrderCheck", "Rule2")
    fires("8m", "NewAlerts_OrderCheck", "Rule1", (one, later), (two, later))
    # in the same evaluation: it sees what the rule before it has written
    fires("8m", "NewAlerts_OrderCheck", "Rule2", ({"alertstate": "firing", "ba_dum": "tss", "foo": "baz"},
                                                  {"description": ORDER_2}))
    simple = ({"foo": "bar"}, {"description": "SimpleAlert is firing", "summary": "The value is 11 11"})
    state("2m", "PendingAndFiringAndResolved", "SimpleAlert", pending=1)
    fires("7m30s", "PendingAndFiringAndResolved", "SimpleAlert")
    state("7m30s", "PendingAndFiringAndResolved", "SimpleAlert", pending=1)
    fires("8m", "PendingAndFiringAndResolved", "SimpleAlert", simple)
    fires("12m", "PendingAndFiringAndResolved", "SimpleAlert", simple)
    fires("12m30s", "PendingAndFiringAndResolved", "SimpleAlert")
    state("12m30s", "PendingAndFiringAndResolved", "SimpleAlert")
    for at in ("2m", "4m", "5m", "10m"):
        fires(at, "PendingAndResolved_AlwaysInactive", "PendingAlert")
        fires(at, "PendingAndResolved_AlwaysInactive", "InactiveAlert")
    state("4m", "PendingAndResolved_AlwaysInactive", "PendingAlert", pending=1)
    state("4m30s", "PendingAndResolved_AlwaysInactive", "PendingAlert")
    fires("1m30s", "ZeroFor_SmallFor", "ZeroFor")
    fires("2m", "ZeroFor_SmallFor", "ZeroFor", ({"foo": "bar"}, {
        "description": "This should immediately fire", "template_query_test": QUERIED, "template_test": TEMPLATES["ZeroFor"]}))
    fires("2m", "ZeroFor_SmallFor", "SmallFor")
    state("2m", "ZeroFor_SmallFor", "SmallFor", pending=1)
    fires("2m30s", "ZeroFor_SmallFor", "SmallFor", ({"ba_dum": "tss"}, {
        "description": "This should fire after an interval", "template_test": TEMPLATES["SmallFor"]}))
    fires("6m30s", "ZeroFor_SmallFor", "ZeroFor")
    return "\n".join([*out, "    promql_expr_test:", *out_exprs]) + "\n"


def test_alerts_fire_when_they_should(t):
    with open(f"{t.dir}/rules.yaml", "w") as f:
        f.write(rules())
    with open(f"{t.dir}/test.yml", "w") as f:
        f.write(unit_test())
    for argv in (["promtool", "test", "rules"], [os.path.join(BIN, "orreryctl"), "rules", "test"]):
        r = subprocess.run([*argv, f"{t.dir}/test.yml"], capture_output=True, text=True, timeout=120)
        check(r.returncode == 0 and "SUCCESS" in r.stdout, f"{argv}: {r.stdout} {r.stderr}")


# ---- at a ruler ----

RESEND_S = 3


class Receiver:
    """An alertmanager as the ruler sees it: what was posted, as (time, alert)."""

    def __init__(self, t):
        outer, self.alerts, self.lock = self, [], threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    outer.alerts += [(time.time(), self.path, alert) for alert in body]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        t.add(self)

    def of(self, name):
        with self.lock:
            return [(at, a) for at, path, a in self.alerts if a["labels"]["alertname"] == name and path == "/api/v2/alerts"]

    def stop(self):
        self.server.shutdown()

    def finding(self):
        return None

    def tail(self):
        return ""


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Feed:
    """Series with a value each, written again and again."""

    def __init__(self, t, addr):
        self.addr, self.values, self.is_over = addr, {}, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        t.add(self)

    def run(self):
        while not self.is_over:
            now = int(time.time() * 1000)
            batch = [(json.loads(k), [(now, float(v))]) for k, v in self.values.copy().items()]
            if batch:
                push_ok(self.addr, batch)
            time.sleep(0.2)

    def set(self, labels, value):
        self.values[json.dumps(labels)] = value

    def stop(self):
        self.is_over = True
        self.thread.join(10)

    def finding(self):
        return None

    def tail(self):
        return ""


def rule_of(addr, name):
    for g in api(addr, "/api/v1/rules").json["data"]["groups"]:
        for r in g["rules"]:
            if r["name"] == name:
                return r, g
    raise AssertionError(f"no rule {name}")


def state_of(addr, name):
    return rule_of(addr, name)[0]["state"]


def check_api(addr, name, value):
    """The fields of the specification, of a rule with one alert that fires."""
    rule, group = rule_of(addr, name)
    check(group["interval"] == 1 and seconds(group["lastEvaluation"]) <= seconds(rule["lastEvaluation"]) + 5, f"{group}")
    check(rule["type"] == "alerting" and rule["health"] == "ok" and not rule.get("lastError"), f"{rule}")
    for field in ("name", "query", "duration", "labels", "annotations", "lastEvaluation", "evaluationTime", "state"):
        check(field in rule, f"{field}: {rule}")
    alert = rule["alerts"][0]
    check(float(alert["value"]) == value and alert["state"] == "firing" and alert["labels"]["alertname"] == name and
          seconds(alert["activeAt"]) < time.time(), f"{alert}")
    check(alert in api(addr, "/api/v1/alerts").json["data"]["alerts"] or name in [
        a["labels"]["alertname"] for a in api(addr, "/api/v1/alerts").json["data"]["alerts"]], "/api/v1/alerts lacks it")


def check_sent(sent, resolved_after):
    """Of one alert: sent when it fires, each resend delay while it does, when it has ended, and again."""
    firing = [(at, a) for at, a in sent if seconds(a["endsAt"]) > at]
    ended = [(at, a) for at, a in sent if seconds(a["endsAt"]) <= at]
    check(len(firing) >= 2 and len(ended) >= 2, f"{len(firing)} firing, {len(ended)} ended: {sent}")
    check(len({a["startsAt"] for _, a in sent}) == 1, "startsAt is when it fired, in all")
    fired = seconds(sent[0][1]["startsAt"])
    check(0 <= firing[0][0] - fired < 3, f"it was told {firing[0][0] - fired} s after it fired")
    for (at, _), (after, _) in zip(firing, firing[1:]):
        check(after - at > RESEND_S - 1, f"it was sent again after {after - at} s")
    for _, a in firing:  # of the evaluation that sent it
        check(4 * RESEND_S <= seconds(a["endsAt"]) - fired, f"{a}")
    check(len({a["endsAt"] for _, a in ended}) == 1 and seconds(ended[0][1]["endsAt"]) > resolved_after, "endsAt is when it ended")
    check(ended[0][0] > firing[-1][0], "it fired again")
    check(all("generatorURL" in a and "/graph?g0.expr=" in a["generatorURL"] for _, a in sent), "generatorURL")


def test_alerts_are_told_as_specified(t):
    text = rules()
    for slow, fast in (("for: 3m", "for: 6s"), ("for: 6m", "for: 12s"), ("for: 15s", "for: 500ms"), ("interval: 30s", "interval: 1s")):
        check(slow in text, slow)
        text = text.replace(slow, fast)
    os.makedirs(f"{t.dir}/rules/{TENANT}")
    with open(f"{t.dir}/rules/{TENANT}/rules.yml", "w") as f:
        f.write(text)
    receiver = Receiver(t)
    o = Single(t, args=[f"--ruler.rule-path={t.dir}/rules", f"--ruler.alertmanager-urls={receiver.url}",
                        f"--ruler.resend-delay={RESEND_S}s"]).wait_ready()
    feed = Feed(t, o.addr)
    simple, zero, small, order1, order2 = ("PendingAndFiringAndResolved_SimpleAlert", "ZeroFor_SmallFor_ZeroFor",
                                           "ZeroFor_SmallFor_SmallFor", "NewAlerts_OrderCheck_Rule1", "NewAlerts_OrderCheck_Rule2")
    pending = "PendingAndResolved_AlwaysInactive_PendingAlert"
    feed.set(series("ZeroFor_SmallFor", id="2", **{"for": "template"}), 20)
    feed.set(series("ZeroFor_SmallFor", id="1", **{"for": "template"}), 10)
    feed.set(series("PendingAndResolved_AlwaysInactive", "InactiveAlert"), 5)
    time.sleep(2)
    began = time.time()
    feed.set(series("PendingAndFiringAndResolved", "SimpleAlert"), 11)
    feed.set(series("PendingAndResolved_AlwaysInactive", "PendingAlert"), 15)
    feed.set(series("ZeroFor_SmallFor", "ZeroFor"), 15)
    feed.set(series("ZeroFor_SmallFor", "SmallFor"), 15)
    feed.set(series("NewAlerts_OrderCheck", "Rule1", variant="one"), 15)
    wait_for("it to be pending", lambda: state_of(o.addr, pending) == state_of(o.addr, simple) == "pending", 10)
    feed.set(series("PendingAndResolved_AlwaysInactive", "PendingAlert"), 5)
    wait_for("it to be no more", lambda: state_of(o.addr, pending) == "inactive", 10)
    wait_for("what fires at once", lambda: receiver.of(zero) and receiver.of(small), 20)
    notes = receiver.of(zero)[0][1]["annotations"]
    check(notes["template_test"] == TEMPLATES["ZeroFor"] and notes["template_query_test"] == QUERIED, f"{notes}")
    check(receiver.of(small)[0][1]["annotations"]["template_test"] == TEMPLATES["SmallFor"], f"{receiver.of(small)[0]}")
    wait_for("the first of two", lambda: receiver.of(order1), 20)
    check(not receiver.of(order2), "the second rule fired for one")
    feed.set(series("NewAlerts_OrderCheck", "Rule1", variant="two"), 15)
    wait_for("what was held for long enough", lambda: receiver.of(simple), 30)
    check(receiver.of(simple)[0][0] - began > 11.5, "it was not held")
    check_api(o.addr, simple, 11)
    wait_for("what depends on both", lambda: receiver.of(order2), 30)
    # that was in the evaluation in which the second of the two began to fire
    firing = samples_of(o.addr, f'ALERTS{{alertname="{order1}",alertstate="firing"}}', int(began * 1000), int(time.time() * 1000))
    both = samples_of(o.addr, f'ALERTS{{alertname="{order2}"}}', int(began * 1000), int(time.time() * 1000))
    check(len(firing) == 2 and len(both) == 1, f"{firing} {both}")
    check(min(min(both.values(), key=min)) == max(min(v) for v in firing.values()), f"{firing} {both}")
    check(receiver.of(order2)[0][1]["annotations"]["description"] == ORDER_2, f"{receiver.of(order2)[0]}")
    time.sleep(2 * RESEND_S + 2)
    resolved_after = time.time()
    feed.set(series("PendingAndFiringAndResolved", "SimpleAlert"), 5)
    wait_for("it to end", lambda: state_of(o.addr, simple) == "inactive", 10)
    wait_for("ALERTS to end", lambda: not query(o.addr, f'ALERTS{{alertname="{simple}"}}')["result"], 10)
    time.sleep(2 * RESEND_S + 2)
    check_sent(receiver.of(simple), resolved_after - 1)
    check(not receiver.of(pending) and not receiver.of("PendingAndResolved_AlwaysInactive_InactiveAlert"),
          "what never fired was sent")


if __name__ == "__main__":
    main()
