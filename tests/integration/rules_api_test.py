#!/usr/bin/env python3
"""Rules in the bucket: the APIs that change them, who evaluates them, and what a kill leaves."""
import calendar
import json
import os
import random
import shutil
import subprocess
import threading
import time
import urllib.parse

import logs_test
from orrery_test import (BIN, ROOT, Skip, TENANT, Cluster, Single, Webhook, api, check, http_call, in_a_directory, main, push_ok, query,
                         samples_of, wait_for)

METRICS, LOGS = "/prometheus/config/v1/rules", "/loki/api/v1/rules"
# of each API: its other path, an expression, and another one
APIS = {METRICS: ("/config/v1/rules", "up == 0", "sum(up)"),
        LOGS: ("/api/prom/rules", 'sum(rate({app="a"}[1m])) > 1', 'sum(rate({app="b"}[1m]))')}
ACCEPTED = {"status": "success", "data": None, "errorType": "", "error": ""}


def call(addr, method, path, body=None, tenant=TENANT):
    return http_call(addr, method, path, body.encode() if isinstance(body, str) else body,
                     {"X-Scope-OrgID": tenant} if tenant else {})


def ns_path(prefix, ns, group=None):
    return "/".join([prefix, *(urllib.parse.quote(x, safe="") for x in (ns, group) if x is not None)])


def group_text(name, expr, rule="record: r", **fields):
    fields = "".join(f"{k}: {v}\n" for k, v in fields.items())
    return f"name: {json.dumps(name)}\n{fields}rules:\n  - {rule}\n    expr: {json.dumps(expr)}\n"


def load(addr, prefix, ns, text, tenant=TENANT):
    r = call(addr, "POST", ns_path(prefix, ns), text, tenant)
    check(r.status == 202 and r.json == ACCEPTED, f"{ns}: {r.status} {r.text}")


def expect(addr, method, path, status, text, body=None, tenant=TENANT):
    r = call(addr, method, path, body, tenant)
    is_right = r.text == text if text.endswith("\n") else text in r.text  # a whole line is the whole answer
    check(r.status == status and is_right, f"{method} {path}: {r.status} {r.text}, not {status} {text}")
    return r


def groups_of(addr, tenant=TENANT, **params):
    r = api(addr, "/prometheus/api/v1/rules", params, tenant=tenant)
    check(r.status == 200, f"{r.status} {r.text}")
    return r.json["data"]["groups"]


def names_of(addr, **params):
    return sorted((g["file"], g["name"], g.get("language", "promql")) for g in groups_of(addr, **params))


def check_api(addr, prefix, other, expr, expr2):
    expect(addr, "GET", prefix, 404, "no rule groups found\n")
    expect(addr, "GET", ns_path(prefix, "test", "test"), 404, "group does not exist\n")
    expect(addr, "GET", ns_path(prefix, "test"), 404, "no rule groups found\n")
    ns = "team/a b.yml"
    load(addr, prefix, ns, group_text("g/1", expr, "alert: A", interval="30s", limit="7"))
    load(addr, other, ns, group_text("h", expr2))
    load(addr, prefix, "\u00fc", group_text("h", expr))
    one = f'name: g/1\ninterval: 30s\nlimit: 7\nrules:\n    - alert: A\n      expr: {json.dumps(expr)}\n'
    r = expect(addr, "GET", ns_path(prefix, ns, "g/1"), 200, "")
    check(r.text == one and r.headers["content-type"] == "application/yaml", f"{r.headers} {r.text}")
    r = expect(addr, "GET", prefix, 200, "")
    check(r.text.startswith('"team/a b.yml":\n    - name: g/1\n') and '\n"\u00fc":\n    - name: h\n' in r.text
          and r.text.count("- name: ") == 3, r.text)
    r = expect(addr, "GET", ns_path(other, ns), 200, '"team/a b.yml":\n    - name: g/1')
    check(r.text.count("- name: ") == 2, r.text)
    # in the place of the one of its name; what it was is gone
    load(addr, prefix, ns, group_text("g/1", expr2))
    r = expect(addr, "GET", ns_path(prefix, ns, "g/1"), 200, "")
    check(r.text == f'name: g/1\nrules:\n    - record: r\n      expr: {json.dumps(expr2)}\n', r.text)
    expect(addr, "GET", prefix, 404, "no rule groups found", tenant="another")
    expect(addr, "DELETE", ns_path(prefix, ns, "g/1"), 404, "group does not exist", tenant="another")
    expect(addr, "DELETE", ns_path(prefix, ns, "none"), 404, "group does not exist\n")
    expect(addr, "DELETE", ns_path(prefix, "none"), 404, "group namespace does not exist\n")
    r = expect(addr, "DELETE", ns_path(prefix, ns, "g/1"), 202, "")
    check(r.json == ACCEPTED, r.text)
    expect(addr, "DELETE", ns_path(prefix, ns, "g/1"), 404, "group does not exist")
    expect(addr, "DELETE", ns_path(prefix, "\u00fc"), 202, "success")
    r = expect(addr, "GET", prefix, 200, "- name: h")
    check(r.text.count("- name: ") == 1, r.text)


def test_groups_are_set_told_and_deleted(t):
    o = Single(t).wait_ready()
    for prefix, (other, expr, expr2) in APIS.items():
        check_api(o.addr, prefix, other, expr, expr2)
    want = [("team/a b.yml", "h", "logql"), ("team/a b.yml", "h", "promql")]
    wait_for("the rulers to know", lambda: names_of(o.addr) == want, 30)
    for prefix in APIS:
        expect(o.addr, "DELETE", ns_path(prefix, "team/a b.yml"), 202, "success")
        expect(o.addr, "GET", prefix, 404, "no rule groups found")
    wait_for("the rulers to forget", lambda: names_of(o.addr) == [], 30)


def test_what_is_wrong_is_refused_and_nothing_changes(t):
    rules = f"{t.dir}/rules/{TENANT}"
    os.makedirs(rules)
    with open(f"{rules}/file.yml", "w") as f:
        f.write("groups: [{name: g, rules: [{record: r, expr: up}]}]")
    o = Single(t, args=[f"--ruler.rule-path={t.dir}/rules", "--limits.ruler-max-rule-groups-per-tenant=3",
                        "--limits.ruler-max-rules-per-rule-group=2"]).wait_ready()
    rule = "{record: r, expr: up}"
    for ns, body, status, text in (
            ("n", "name: g", 400, "rule group 'g' has no rules"),
            ("n", "rules: []", 400, "Groupname must not be empty"),
            ("n", "", 400, "Groupname must not be empty"),
            ("n", "[", 400, "rule group"),
            ("n", b"\xff", 400, "rule group"),
            ("n", f"name: g\nrules: [{rule}]\nnonsense: 1", 400, "field nonsense not found"),
            ("n", "name: g\nrules: [{record: r, expr: 'sum('}]", 400, "could not parse expression"),
            ("n", "name: g\nrules: [{alert: a, expr: up, annotations: {s: '{{ x }}'}}]", 400, "annotation"),
            ("n", "name: g\nrules: [{record: r, expr: '{app=\"a\"} |= \"b\"'}]", 400, "could not parse expression"),
            ("n", f"name: g\nrules: [{rule}, {rule}, {rule}]", 400, "limit: 2 actual: 3"),
            ("n" * 300, f"name: g\nrules: [{rule}]", 400, "the namespace is too long"),
            ("a\nb", f"name: g\nrules: [{rule}]", 400, "control byte"),
            ("n", "#" * (5 << 20), 413, ""),
            ("file.yml", f"name: g\nrules: [{rule}]", 409, "ruler.rule-path")):
        expect(o.addr, "POST", ns_path(METRICS, ns), status, text, body)
    expect(o.addr, "POST", ns_path(LOGS, "n"), 400, "could not parse expression", f"name: g\nrules: [{rule}]")
    expect(o.addr, "POST", ns_path(METRICS, "n"), 401, "", f"name: g\nrules: [{rule}]", tenant=None)
    expect(o.addr, "POST", ns_path(METRICS, "n"), 400, "", f"name: g\nrules: [{rule}]", tenant="a|b")
    expect(o.addr, "DELETE", ns_path(METRICS, "file.yml"), 409, "ruler.rule-path")
    expect(o.addr, "GET", ns_path(METRICS, "n"), 404, "no rule groups found")
    # in namespaces of their own, so that they are counted over all
    for i in range(3):
        load(o.addr, METRICS, f"n{i}", group_text("g", "up"))
    expect(o.addr, "POST", ns_path(METRICS, "n4"), 400, "limit: 3 actual: 4", group_text("g", "up"))
    load(o.addr, METRICS, "n1", group_text("g", "up > 1"))  # replaces one
    load(o.addr, METRICS, "n4", group_text("g", "up"), tenant="another")
    load(o.addr, LOGS, "n4", group_text("g", "vector(1)"))
    expect(o.addr, "DELETE", ns_path(METRICS, "n0"), 202, "success")
    load(o.addr, METRICS, "n4", group_text("g", "up"))
    wait_for("files and bucket to be told together",
             lambda: [f for f, _, lang in names_of(o.addr) if lang == "promql"] ==
             sorted([f"{TENANT}/file.yml", "n1", "n2", "n4"]), 30)
    check([g["file"] for g in groups_of(o.addr, tenant="another")] == ["n4"], "tenants see each other's")


def test_pages_and_filters(t):
    o = Single(t).wait_ready()
    for i in range(5):
        load(o.addr, METRICS, f"n{i}", group_text(f"g{i}", "up", "alert: A" if i % 2 else "record: r"))
    wait_for("the rulers to know", lambda: len(names_of(o.addr)) == 5, 30)
    check(names_of(o.addr, type="alert") == [(f"n{i}", f"g{i}", "promql") for i in (1, 3)], "type")
    check(names_of(o.addr, **{"rule_name[]": "r", "file[]": "n2"}) == [("n2", "g2", "promql")], "rule_name[], file[]")
    check(names_of(o.addr, **{"rule_group[]": "g4"}) == [("n4", "g4", "promql")], "rule_group[]")
    token, seen = "", []
    while True:
        params = {"group_limit": 2, **({"group_next_token": token} if token else {})}
        data = api(o.addr, "/prometheus/api/v1/rules", params).json["data"]
        check(len(data["groups"]) <= 2, "a page is too long")
        seen += [g["name"] for g in data["groups"]]
        token = data.get("groupNextToken", "")
        if not token:
            break
    check(seen == [f"g{i}" for i in range(5)], f"{seen}")


def fire(addr, value=1.0):
    push_ok(addr, [({"__name__": "up_total", "job": "j"}, [(int(time.time() * 1000), value)])])


def keep_firing(addr, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        fire(addr)
        time.sleep(0.5)


def test_rules_are_evaluated_and_stay_over_kills(t):
    hook = Webhook(t)
    with open(f"{t.dir}/am.yml", "w") as f:
        f.write("route: {receiver: h, group_wait: 1s, group_by: [alertname]}\n"
                f"receivers: [{{name: h, webhook_configs: [{{url: '{hook.url}'}}]}}]\n")
    args = [f"--alertmanager.config-file={t.dir}/am.yml", "--limits.out-of-order-time-window=1h"]
    o = Single(t, args=args).wait_ready()
    fire(o.addr)
    now = time.time_ns()
    logs_test.push_ok(o.addr, [({"app": "web"}, [(now + i, f"error {i}") for i in range(5)])])
    load(o.addr, METRICS, "n", group_text("g", "sum by (job) (up_total)", "record: job:up:sum", interval="1s"))
    load(o.addr, METRICS, "alerts", group_text("a", "up_total > 0.5", "alert: TooMany\n    for: 1s", interval="1s"))
    load(o.addr, LOGS, "n", group_text("g", 'sum by (app) (count_over_time({app="web"} |= "error" [1h]))',
                                       "record: app:errors:count", interval="1s"))
    keep_firing(o.addr, 2)
    wait_for("the recorded series", lambda: fire(o.addr) or query(o.addr, "job:up:sum")["result"], 30)
    wait_for("what is made of lines", lambda: [r["value"][1] for r in query(o.addr, "app:errors:count")["result"]]
             == ["5"], 30)
    wait_for("the notification", lambda: fire(o.addr) or hook.count(alertname="TooMany"), 30)
    o.kill()
    o.start()
    o.wait_ready()
    expect(o.addr, "GET", ns_path(LOGS, "n", "g"), 200, "app:errors:count")
    wait_for("all groups to be back", lambda: len(names_of(o.addr)) == 3, 30)
    start = int(time.time() * 1000)
    wait_for("evaluations to go on", lambda: fire(o.addr) or samples_of(
        o.addr, "job:up:sum", start, int(time.time() * 1000) + 1000), 30)
    load(o.addr, METRICS, "alerts", group_text("a", "up_total > 2", "alert: TooMany\n    for: 1s", interval="1s"))
    wait_for("the changed rule", lambda: fire(o.addr) or not api(
        o.addr, "/api/v1/alerts").json["data"]["alerts"], 30)


def group_states(addr, prefix, ns):
    """{group: version} of a namespace."""
    r = call(addr, "GET", ns_path(prefix, ns))
    if r.status == 404:
        return {}
    check(r.status == 200, f"{r.status} {r.text}")
    out, name = {}, None
    for line in r.text.splitlines():
        if "- name: " in line:
            name = line.split("- name: ")[1]
        if "expr: " in line:
            out[name] = int(line.split("vector(")[1].split(")")[0])
    return out


def test_a_kill_leaves_the_old_group_or_the_new_one(t):
    o = Single(t).wait_ready()
    rng = random.Random(7)
    groups = [f"g{i}" for i in range(5)]
    acked = {}
    for round_ in range(6):
        pending, done = {}, threading.Event()

        def write():
            version = round_ * 1000
            while not done.is_set():
                version += 1
                name = rng.choice(groups)
                pending[name] = version
                try:
                    r = call(o.addr, "POST", ns_path(METRICS, "n"), group_text(name, f"vector({version})"))
                except OSError:
                    return
                if r.status != 202:
                    return
                acked[name] = version
                del pending[name]
        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.5 + rng.random())
        o.kill()
        done.set()
        thread.join()
        o.start()
        o.wait_ready()
        got = group_states(o.addr, METRICS, "n")
        for name in groups:
            allowed = {acked.get(name), pending.get(name, acked.get(name))}
            check(got.get(name) in allowed, f"{name} is {got.get(name)}, not one of {allowed}")
        acked = got
    check(sum(acked.values()) > 5, f"hardly anything was written: {acked}")


def test_a_damaged_namespace_is_named_and_the_others_go_on(t):
    in_a_directory("an object is overwritten in place")
    o = Single(t).wait_ready()
    load(o.addr, METRICS, "good", group_text("g", "up"))
    load(o.addr, METRICS, "bad", group_text("g", "up"))
    o.stop()
    path = os.path.join(o.blocks.path(), "rules", TENANT, "metrics", "bad")
    with open(path, "r+b") as f:
        f.seek(12)
        f.write(b"?")
    o.start()
    o.wait_ready()
    wait_for("the good one", lambda: names_of(o.addr) == [("good", "g", "promql")], 30)
    check(f"rules/{TENANT}/metrics/bad" in o.tail(2000), "the damaged object is not named")
    expect(o.addr, "POST", ns_path(METRICS, "bad"), 500, "damaged", group_text("g", "up"))
    expect(o.addr, "DELETE", ns_path(METRICS, "bad"), 202, "success")
    load(o.addr, METRICS, "bad", group_text("g", "up"))
    wait_for("both", lambda: len(names_of(o.addr)) == 2, 30)


def metric(addr, name):
    for line in http_call(addr, "GET", "/metrics").text.splitlines():
        if line.split("{")[0].split(" ")[0] == name:
            return float(line.split(" ")[-1] if "{" not in line else line.split("} ")[1].split(" ")[0])
    return None


def owned(addrs):
    return [metric(a, "orrery_ruler_groups_owned") for a in addrs]


def alert_since(addr, name):
    """activeAt of an alert, Unix seconds; None: there is none."""
    alerts = [a for a in api(addr, "/api/v1/alerts").json["data"]["alerts"] if a["labels"]["alertname"] == name]
    if not alerts:
        return None
    check(len(alerts) == 1, f"an alert is told twice: {alerts}")
    text = alerts[0]["activeAt"].rstrip("Z").split(".")[0]
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


def ctl(o, *args, status=0, tenant=TENANT):
    """What orreryctl rules prints, on both ways out."""
    remote = [] if args[0] in ("lint", "check", "test") else [f"--address={o.addr}", f"--tenant={tenant}"]
    r = subprocess.run([os.path.join(BIN, "orreryctl"), "rules", *args, *remote], capture_output=True, text=True,
                       timeout=120)
    check(r.returncode == status, f"rules {args}: {r.returncode}, not {status}: {r.stdout} {r.stderr}")
    return r.stdout + r.stderr


def rule_files(t, files):
    top = f"{t.dir}/spaces"
    shutil.rmtree(top, ignore_errors=True)
    os.makedirs(top)
    for name, text in files.items():
        with open(f"{top}/{name}", "w") as f:
            f.write(text)
    return top


def test_orreryctl_brings_files_to_the_bucket(t):
    os.makedirs(f"{t.dir}/own/{TENANT}")
    with open(f"{t.dir}/own/{TENANT}/own.yml", "w") as f:
        f.write("groups: [{name: o, rules: [{record: r, expr: up}]}]")
    o = Single(t, args=[f"--ruler.rule-path={t.dir}/own"]).wait_ready()
    first = {"a.yaml": "groups: [{name: g, rules: [{record: r, expr: sum(up)}]}, "
                       "{name: h, rules: [{alert: A, expr: up, for: 5m, labels: {x: y}}]}]",
             "b.yml": "# two of them\nnamespace: team/b\ngroups: [{name: g, rules: [{record: r, expr: 'up\n > 1'}]}]\n---\n"
                      "namespace: c\ngroups: [{name: g, rules: [{record: r, expr: up}]}]\n",
             "notes.txt": "no rules"}
    files = rule_files(t, first)
    said = ctl(o, "diff", files)
    check(said == "+ a/g\n+ a/h\n+ team/b/g\n+ c/g\n- own.yml/o\n"
          "Diff Summary: 4 Groups Created, 0 Groups Updated, 1 Groups Deleted\n", said)
    check("4 Groups Created, 0" in ctl(o, "load", "--dry-run", files), "load --dry-run")
    check("namespace  group" in ctl(o, "list") and "a " not in ctl(o, "list"), "it was dry, and brought something")
    said = ctl(o, "load", files)
    check("4 Groups Created, 0 Groups Updated, 0 Groups Deleted" in said, said)
    said = ctl(o, "sync", files)
    check("= own.yml/o is of a file of the rulers" in said and "0 Groups Created, 0 Groups Updated, 0 Groups Deleted" in said,
          said)
    check(ctl(o, "get", "team/b", "g") == 'name: g\nrules:\n    - record: r\n      expr: "up > 1"\n', ctl(o, "get", "team/b", "g"))
    check([(x["namespace"], x["group"], x["rules"]) for x in json.loads(ctl(o, "list", "--json"))] ==
          [("a", "g", 1), ("a", "h", 1), ("c", "g", 1), ("own.yml", "o", 1), ("team/b", "g", 1)], ctl(o, "list", "--json"))
    # what a Prometheus reads is what is printed
    printed = ctl(o, "print", "a").split("\n", 1)
    with open(f"{t.dir}/printed.yml", "w") as f:
        f.write("groups:\n" + printed[1])
    r = subprocess.run(["promtool", "check", "rules", f"{t.dir}/printed.yml"], capture_output=True, text=True)
    check(printed[0] == "a:" and r.returncode == 0 and "2 rules found" in r.stdout, f"{printed} {r.stdout} {r.stderr}")
    files = rule_files(t, {"a.yaml": first["a.yaml"].replace("5m", "6m"), "d.rules": first["a.yaml"]})
    said = ctl(o, "sync", "--namespaces=a,d", files)
    check(said == "~ a/h\n+ d/g\n+ d/h\nSync Summary: 2 Groups Created, 1 Groups Updated, 0 Groups Deleted\n", said)
    said = ctl(o, "sync", "--ignored-namespaces=own.yml,c", files)
    check(said == "- team/b/g\nSync Summary: 0 Groups Created, 0 Groups Updated, 1 Groups Deleted\n", said)
    check("a name is empty" in ctl(o, "delete", "c", "", status=2) and "c" in ctl(o, "list"),
          "a group without a name was taken for its namespace")
    ctl(o, "delete", "c", "g")
    check("group does not exist" in ctl(o, "delete", "c", "g", status=1), "a group was deleted twice")
    ctl(o, "delete-namespace", "d")
    check("group namespace does not exist" in ctl(o, "delete-namespace", "d", status=1), "a namespace was deleted twice")
    logs = rule_files(t, {"l.yml": "groups: [{name: g, rules: [{record: r, expr: 'sum(rate({a=\"b\"} |= \"x\" [1m]))'}]}]"})
    check("could not parse expression" in ctl(o, "load", logs, status=1), "LogQL as PromQL")
    check("1 Groups Created" in ctl(o, "load", "--language=logql", logs), "LogQL")
    check("rules:" in ctl(o, "print", "--language=logql") and "\nl:" not in ctl(o, "print"), "languages are not apart")
    check("no rule groups found" in ctl(o, "print", tenant="another", status=1), "tenants are not apart")


def test_rules_go_with_their_tenant(t):
    in_a_directory("the bucket is looked at")
    o = Single(t).wait_ready()
    for tenant in ("gone", "stays"):
        load(o.addr, METRICS, "n", group_text("g", "up"), tenant=tenant)
        load(o.addr, LOGS, "n", group_text("g", "vector(1)"), tenant=tenant)
    wait_for("the rulers to know", lambda: all(len(groups_of(o.addr, tenant=x)) == 2 for x in ("gone", "stays")), 30)
    r = subprocess.run([os.path.join(BIN, "orreryctl"), "tenant", "delete", "gone", "--yes",
                        f"--storage.path={o.blocks.path()}"], capture_output=True, text=True, timeout=120)
    check(r.returncode == 0 and "rules: 2 namespaces" in r.stdout, f"{r.stdout} {r.stderr}")
    expect(o.addr, "GET", METRICS, 404, "no rule groups found\n", tenant="gone")
    expect(o.addr, "GET", LOGS, 404, "no rule groups found\n", tenant="gone")
    check(os.listdir(os.path.join(o.blocks.path(), "rules")) == ["stays"], "objects are left")
    wait_for("the rulers to forget", lambda: not groups_of(o.addr, tenant="gone"), 60)
    check(len(groups_of(o.addr, tenant="stays")) == 2, "another tenant's rules went, too")


def test_orreryctl_lints(t):
    good = rule_files(t, {"good.yml": "groups: [{name: g, labels: {team: x}, rules: [{record: 'a:b:c', expr: up}, {alert: A, "
                                      "expr: up, annotations: {summary: s, runbook_url: 'https://x'}}]}]"})
    check(ctl(None, "lint", good) == "", "something is wrong with what is right")
    bad = rule_files(t, {"bad.yml": "groups: [{name: g, rules: [{record: c, expr: up}, {alert: A, expr: up, "
                                    "annotations: {summary: ' '}}]}]"})
    said = ctl(None, "lint", bad, status=1)
    for text in ('rule 1, "c": the name', 'rule 2, "A": no annotation summary', "runbook_url", "no label owner"):
        check(text in said, said)


CASES = os.path.join(ROOT, "../shared/conformance/rules/unittests")


def test_unit_tests_have_promtools_verdicts(t):
    if not os.path.isdir(CASES):
        raise Skip("no ../shared/conformance")
    with open(f"{CASES}/expected.jsonl") as f:
        cases = [json.loads(line) for line in f]
    check(len(cases) >= 10, f"{len(cases)} cases")
    for case in cases:
        said = ctl(None, "test", f"{CASES}/{case['file']}", status=0 if case["passes"] else 1)
        check(("SUCCESS" in said) == case["passes"] and ("FAILED" in said) != case["passes"], said)


UNIT_RULES = """
groups:
  - name: burn
    rules:
      - record: job:slo_errors:ratio_rate5m
        expr: sum by (job) (rate(errors_total[5m])) / sum by (job) (rate(requests_total[5m]))
      - record: job:slo_errors:ratio_rate1h
        expr: sum by (job) (rate(errors_total[1h])) / sum by (job) (rate(requests_total[1h]))
      - alert: ErrorBudgetBurn
        expr: job:slo_errors:ratio_rate1h > (14.4 * 0.001) and job:slo_errors:ratio_rate5m > (14.4 * 0.001)
        for: 2m
        labels: {severity: page, region: '{{ $externalLabels.region }}'}
        annotations:
          summary: '{{ $labels.job }} burns: {{ $value | humanizePercentage }} {{ $externalURL }}'
          first: '{{ with query "up" }}{{ . | first | value }}{{ end }}'
  - name: second
    interval: 30s
    rules:
      - record: doubled
        expr: first_value * 2
      - alert: Kept
        expr: up == 0
        keep_firing_for: 3m
  - name: first
    rules:
      - record: first_value
        expr: count(up)
"""

UNIT = """
rule_files: [rules.yml]
evaluation_interval: 1m
group_eval_order: [first, second]
tests:
  - name: burn
    interval: 1m
    external_labels: {region: eu}
    external_url: http://x
    input_series:
      - {series: 'errors_total{job="a"}', values: '0+3x90'}
      - {series: 'requests_total{job="a"}', values: '0+100x90'}
      - {series: 'up{job="a"}', values: '1x20 0x5 1x65'}
    alert_rule_test:
      - eval_time: 1h
        alertname: ErrorBudgetBurn
        exp_alerts:
          - exp_labels: {severity: page, job: a, region: eu}
            exp_annotations: {summary: 'a burns: 3% http://x', first: '1'}
      - {eval_time: 1m, alertname: ErrorBudgetBurn}
      - eval_time: 28m
        alertname: Kept
        exp_alerts: [{exp_labels: {job: a}}]
      - {eval_time: 31m, alertname: Kept}
      - {eval_time: 1h, alertname: NoSuch}
    promql_expr_test:
      - expr: job:slo_errors:ratio_rate5m
        eval_time: 1h
        exp_samples: [{labels: 'job:slo_errors:ratio_rate5m{job="a"}', value: 0.03}]
      - {expr: doubled, eval_time: 1h, exp_samples: [{labels: doubled, value: 2}]}
      - {expr: time(), eval_time: 90s, exp_samples: [{value: 90}]}
      - {expr: 'up offset -10m', eval_time: 1h30m, exp_samples: []}
      - {expr: 'ALERTS{alertname="Kept"}', eval_time: 22m,
         exp_samples: [{labels: 'ALERTS{alertname="Kept", alertstate="firing", job="a"}', value: 1}]}
"""

# what is changed, and by what; each has a verdict of its own
UNIT_CHANGES = (("", ""), ("value: 0.03", "value: 0.031"), ("3% http", "3.1% http"), ("eval_time: 28m", "eval_time: 29m"),
                ("region: eu}\n            exp", "region: us}\n            exp"), ("alertname: NoSuch", "alertname: Kept"),
                ("group_eval_order: [first, second]", "group_eval_order: [second, first]"),
                ("group_eval_order: [first, second]", "group_eval_order: [first, first]"),
                ("eval_time: 1h30m, exp_samples: []", "eval_time: 1h15m, exp_samples: []"),
                ("evaluation_interval: 1m", "evaluation_interval: 7m"), ("interval: 1m\n    external", "interval: 30s\n    external"),
                ("{expr: time()", "{expr: 'vector(time()) + NaN'"), ("{value: 90}", "{value: .nan}"), ("{expr: time()", "{expr: up[5m]"),
                ("values: '1x20 0x5 1x65'", "values: '1x20 0x5 stale'"), ("values: '1x20 0x5 1x65'", "values: '1x20 _x70'"),
                ("values: '1x20 0x5 1x65'", "values: '1x20 nonsense'"), ("alertname: NoSuch", "alertnam: NoSuch"),
                ("[rules.yml]", "[none*.yml]"), ("[rules.yml]", "['r*.yml']"), ("exp_alerts: [{exp_labels: {job: a}}]", "exp_alerts: [{}]"))


def test_unit_tests_judge_as_debians_promtool(t):
    verdicts = []
    for old, new in UNIT_CHANGES:
        check(old in UNIT, f"nothing to change: {old}")
        top = rule_files(t, {"rules.yml": UNIT_RULES, "test.yml": UNIT.replace(old, new, 1)})
        r = subprocess.run(["promtool", "test", "rules", f"{top}/test.yml"], capture_output=True, text=True, timeout=120)
        verdicts.append(r.returncode == 0)
        ours = subprocess.run([os.path.join(BIN, "orreryctl"), "rules", "test", f"{top}/test.yml"], capture_output=True,
                              text=True, timeout=120)
        check((ours.returncode == 0) == verdicts[-1] and ours.returncode in (0, 1),
              f"{old} -> {new}: {ours.stdout} {ours.stderr} promtool: {r.stdout} {r.stderr}")
    check(verdicts[0] and 3 < sum(verdicts) + 1 < len(verdicts) - 3, f"the cases do not tell: {verdicts}")


GROUPS = 12


def worst_gap(addr, before, after):
    """The longest time, in ms, between two samples of a recorded series; they must be at the same times of a second."""
    series = samples_of(addr, '{__name__=~"r[0-9]+"}', before, after)
    check(len(series) == GROUPS, f"{len(series)} series")
    worst = 0
    for key, samples in series.items():
        times = sorted(samples)
        check(all(x % 1000 == times[0] % 1000 for x in times), f"{key}: at other times: {times}")
        worst = max([worst] + [y - x for x, y in zip(times, times[1:])])
    return worst


def test_each_group_has_one_ruler_and_another_when_it_dies(t):
    c = Cluster(t, args=["--rulers", "2", "--ingesters", "3", "--queriers", "1", "--alertmanagers", "1"])
    addr, rulers = c.addrs("querier")[0], {n: v[3] for n, v in c.status().items() if v[0] == "ruler"}
    for i in range(GROUPS):
        load(addr, METRICS, f"n{i % 3}", group_text(f"g{i}", "vector(1)", f"record: r{i}", interval="1s"))
        load(addr, METRICS, f"n{i % 3}", group_text(
            f"a{i}", "vector(1)", f"alert: A{i}\n    for: 1h", interval="1s"))
    wait_for("both rulers to share all groups",
             lambda: sum(owned(rulers.values())) == 2 * GROUPS and min(owned(rulers.values())) > 0, 60)
    wait_for("all groups to be told", lambda: len(groups_of(addr)) == 2 * GROUPS, 30)
    names = [f"A{i}" for i in range(GROUPS)]
    wait_for("all alerts to be pending", lambda: all(alert_since(addr, n) for n in names), 60)
    wait_for("all rules to be recorded", lambda: len(query(addr, '{__name__=~"r[0-9]+"}')["result"]) == GROUPS, 60)
    # each group is evaluated once an interval, by both together: a second one would show as twice as many
    def evaluations():
        return sum(metric(a, "orrery_ruler_rule_evaluations_total") for a in rulers.values())
    n, start = evaluations(), time.monotonic()
    time.sleep(30)  # also: `for` is held for longer than the ruler will be missed
    per_group = (evaluations() - n) / (2 * GROUPS) / (time.monotonic() - start)
    check(per_group < 1.5, f"{per_group} evaluations of a group a second")
    since = {n: alert_since(addr, n) for n in names}
    victim = max(rulers, key=lambda n: metric(rulers[n], "orrery_ruler_groups_owned"))
    left = next(a for n, a in rulers.items() if n != victim)
    before = int(time.time() * 1000) - 8000
    killed = time.time()
    c.run("kill", victim)
    wait_for("the other one to have all groups", lambda: owned([left]) == [2 * GROUPS], 60)
    wait_for("all to be told by it", lambda: len(groups_of(addr)) == 2 * GROUPS, 30)
    wait_for("`for` to go on where it was",
             lambda: all((alert_since(addr, n) or killed) < killed for n in names), 60)
    time.sleep(3)
    after = int(time.time() * 1000)
    # evaluations go on at the same times, and those that were missed are made up for
    wait_for("holes to be filled", lambda: worst_gap(addr, before, after) <= 1000, 120)
    caught_up = metric(left, "orrery_ruler_group_iterations_caught_up_total")
    print(f"   {caught_up:.0f} evaluations were made up for after kill -9 of a ruler; "
          f"`for` moved by at most {max(alert_since(addr, n) - since[n] for n in names)} s")
    check(caught_up > GROUPS / 2, "hardly anything was made up for")
    check(metric(left, "orrery_ruler_group_iterations_given_up_total") == 0, "some was given up")
    # a change is made without the dead one, and it takes its groups back
    load(addr, METRICS, "n0", group_text("late", "vector(1)", interval="1s"))
    c.run("restart", victim)
    wait_for("both to share again", lambda: sum(owned(rulers.values())) == 2 * GROUPS + 1
             and min(owned(rulers.values())) > 0, 60)
    # not at once: what was stored is asked for after two evaluations
    wait_for("`for` to go on once more", lambda: all((alert_since(addr, n) or killed) < killed for n in names), 60)


def test_what_no_querier_answered_is_evaluated_later(t):
    """The only querier is gone for a while: recorded series have a hole, which is filled when it is back."""
    c = Cluster(t, args=["--rulers", "1", "--ingesters", "3", "--queriers", "1", "--alertmanagers", "1"])
    addr = c.addrs("querier")[0]
    for i in range(GROUPS):
        load(addr, METRICS, "n", group_text(f"g{i}", f"vector(time() - {i})", f"record: r{i}", interval="1s"))
    wait_for("all rules to be recorded", lambda: len(query(addr, '{__name__=~"r[0-9]+"}')["result"]) == GROUPS, 60)
    start = int(time.time() * 1000)
    querier = next(n for n, v in c.status().items() if v[0] == "querier")
    c.run("kill", querier)
    time.sleep(8)
    c.run("restart", querier)
    addr = c.addrs("querier")[0]
    wait_for("holes to be filled", lambda: worst_gap(addr, start, int(time.time() * 1000) - 3000) <= 1000, 120)
    caught_up = metric(c.addrs("ruler")[0], "orrery_ruler_group_iterations_caught_up_total")
    check(caught_up >= 5 * GROUPS, f"{caught_up} evaluations were made up for")
    # with the values of then
    for key, samples in samples_of(addr, '{__name__="r7"}', start, int(time.time() * 1000)).items():
        check(all(abs(t / 1000 - 7 - float(v)) < 0.001 for t, v in samples.items()), f"{key}: {samples}")


def up_of(addr, tenant, value):
    push_ok(addr, [({"__name__": "up_total", "job": tenant}, [(int(time.time() * 1000), value)])], tenant=tenant)


def recorded(addr, tenant):
    return [r["value"][1] for r in query(addr, "of_both", tenant=tenant)["result"]]


def test_federated_groups_read_the_data_of_their_source_tenants(t):
    text = group_text("g", "sum(up_total)", "record: of_both", interval="1s", source_tenants="[two, one]")
    o = Single(t).wait_ready()
    expect(o.addr, "POST", ns_path(METRICS, "n"), 400, "ruler.tenant-federation", text, tenant="reader")
    o.stop()
    o = Single(t, args=["--ruler.tenant-federation=true", "--querier.tenant-federation=true"]).wait_ready()
    load(o.addr, METRICS, "n", text, tenant="reader")
    r = expect(o.addr, "GET", ns_path(METRICS, "n", "g"), 200, "source_tenants:", tenant="reader")
    check("    - two\n    - one\n" in r.text, r.text)

    def is_there():
        up_of(o.addr, "one", 1)
        up_of(o.addr, "two", 2)
        up_of(o.addr, "reader", 4)
        return recorded(o.addr, "reader") == ["3"]
    wait_for("what is recorded of both", is_there, 30)
    check(recorded(o.addr, "one") == recorded(o.addr, "two") == [], "it was written to the sources")
    check(groups_of(o.addr, tenant="reader")[0]["sourceTenants"] == ["two", "one"], "sourceTenants")
    expect(o.addr, "POST", ns_path(LOGS, "n"), 400, "not read together", group_text(
        "g", "vector(1)", source_tenants="[one]"), tenant="reader")


def test_protected_namespaces_are_changed_on_purpose_only(t):
    with open(f"{t.dir}/over.yaml", "w") as f:
        f.write(f"overrides: {{{TENANT}: {{ruler_protected_namespaces: [kept, other]}}}}\n")
    o = Single(t, args=[f"--limits.overrides-file={t.dir}/over.yaml"]).wait_ready()
    override = {"X-Mimir-Ruler-Override-Namespace-Protection": "x, kept"}

    def change(method, path, body=None, **headers):
        return http_call(o.addr, method, path, body and body.encode(), {"X-Scope-OrgID": TENANT, **headers}).status
    path, text = ns_path(METRICS, "kept"), group_text("g", "up")
    expect(o.addr, "POST", path, 403, "namespace kept is protected", text)
    check(change("POST", path, text, **override) == 202, "the override does not hold")
    check(change("POST", ns_path(METRICS, "other"), text, **override) == 403, "the override holds for another")
    expect(o.addr, "DELETE", ns_path(METRICS, "kept", "g"), 403, "is protected")
    expect(o.addr, "DELETE", path, 403, "is protected")
    expect(o.addr, "GET", path, 200, "name: g")
    load(o.addr, METRICS, "kept", text, tenant="another")
    load(o.addr, METRICS, "free", text)
    check(change("DELETE", path, **override) == 202, "the override does not hold")


if __name__ == "__main__":
    main()
