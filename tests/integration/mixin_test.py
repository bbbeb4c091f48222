#!/usr/bin/env python3
"""deploy/mixin: rules that promtool and Orrery take, an alert test and a runbook for each alert, dashboards made of their source,
and nothing that asks for a metric or label that Orrery does not have."""
import glob
import json
import os
import re
import shutil
import subprocess

from orrery_test import BIN, ROOT, Cluster, Skip, check, http_call, main

MIXIN = os.path.join(ROOT, "deploy", "mixin")
FROM_SCRAPING = {"up"}
SCRAPED_LABELS = {"cluster", "namespace", "job", "instance"}
METRIC = re.compile(r"\b(?:orrery_[a-z0-9_]+|process_[a-z_]+|up\b)")
# Metrics that are there once there is an S3 bucket, a socket, a protocol in use, a failure: named in the code.
IN_CODE = re.compile(r'"(orrery_[a-z0-9_]+)"')


def read(*path):
    with open(os.path.join(MIXIN, *path), encoding="utf-8") as f:
        return f.read()


def promtool(*args):
    if not shutil.which("promtool"):
        raise Skip("promtool is not installed")
    r = subprocess.run(["promtool", *args], cwd=MIXIN, capture_output=True, text=True)
    return r.returncode, r.stdout + r.stderr


def alerts():
    return re.findall(r"- alert: (\w+)", read("alerts.yml"))


def dashboards():
    return {os.path.basename(p): json.loads(read("dashboards", os.path.basename(p)))
            for p in glob.glob(os.path.join(MIXIN, "dashboards", "*.json"))}


def expressions():
    """(where, expression) of all rules and panels."""
    for name in ("records.yml", "alerts.yml"):
        text = re.sub(r"^ *#.*$", "", read(name), flags=re.M)
        for rule in re.split(r"^ +- (?=record:|alert:)", text, flags=re.M)[1:]:
            expr = re.search(r"expr: (.*?)(?=^ +(?:for|labels|annotations):|^  - name|\Z)", rule, re.M | re.S)[1]
            yield f"{name}: {rule.splitlines()[0]}", expr
    for name, d in dashboards().items():
        for p in d["panels"]:
            for target in p.get("targets", []):
                yield f"{name}: {p['title']}", target["expr"]


def test_rules_are_good(t):
    status, said = promtool("check", "rules", "records.yml", "alerts.yml")
    check(status == 0 and "FAILED" not in said, said[-1000:])
    rules = os.path.join(t.dir, "rules", "anonymous")
    os.makedirs(rules)
    for name in ("records.yml", "alerts.yml"):
        shutil.copy(os.path.join(MIXIN, name), rules)
    r = subprocess.run([os.path.join(BIN, "orreryctl"), "rules", "check", os.path.dirname(rules)], capture_output=True, text=True)
    check(r.returncode == 0, lambda: (r.stdout + r.stderr)[-1000:])


def test_every_alert_fires_and_has_a_runbook(t):
    status, said = promtool("test", "rules", "alerts_test.yml")
    check(status == 0 and "SUCCESS" in said, lambda: said[-2000:])
    names = alerts()
    tests = read("alerts_test.yml")
    books = re.findall(r"^### (\w+)$", read("runbooks.md"), re.M)
    links = re.findall(r"runbook_url: deploy/mixin/runbooks.md#(\w+)$", read("alerts.yml"), re.M)
    check(len(names) > 40 and len(names) == len(set(names)), f"{len(names)} alerts")
    # with labels that it is expected to have: an empty list would mean that it is not to fire
    fired = set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n +- exp_labels: \{", tests))
    check(fired == set(names), f"without a test that fires them: {set(names) - fired}")
    check(books == names, f"runbooks: {set(names) ^ set(books)}, or their order")
    check(links == [n.lower() for n in names], "links to runbooks")


def help_of(program, *args):
    r = subprocess.run([os.path.join(BIN, program), *args, "--help"], capture_output=True, text=True)
    check(r.returncode == 0, lambda: f"{program} {args}: {r.stdout}{r.stderr}"[-500:])
    return r.stdout


def test_runbooks_name_settings_and_commands_that_there_are(t):
    books, settings = read("runbooks.md"), help_of("orrery")
    keys = re.findall(r"`((?:server|ring|limits|ingester|querier|compactor|ruler|alertmanager)\.[a-z0-9-]+)`", books)
    unknown = [k for k in keys if f"--{k}=" not in settings]
    check(len(keys) > 8 and not unknown, f"{unknown} of {keys}")
    commands = [c.split() for c in re.findall(r"`orreryctl ([^`]+)`", books)]
    check(len(commands) > 3, f"{commands}")
    for words in commands:
        text = help_of("orreryctl", *words[:2])
        unknown = [w for w in words[2:] if w.startswith("--") and f"{w.split('=')[0]}=" not in text]
        check(not unknown, f"orreryctl {' '.join(words)}: {unknown}")


def test_an_alert_that_does_not_fire_is_seen(t):
    """The test of the test: the causes taken away."""
    calm = re.sub(r"'0\+60x", "'0+0x", read("alerts_test.yml")).replace("rule_files: [", f"rule_files: [{MIXIN}/").replace(", alerts.yml", f", {MIXIN}/alerts.yml")
    path = os.path.join(t.dir, "calm_test.yml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(calm)
    status, said = promtool("test", "rules", path)
    check(status != 0 and "OrreryBucketErrors" in said, "promtool took it")


def test_dashboards_are_of_their_source(t):
    r = subprocess.run([os.path.join(MIXIN, "dashboards.py"), t.dir], capture_output=True, text=True)
    check(r.returncode == 0, r.stderr)
    made = {os.path.basename(p): json.load(open(p, encoding="utf-8")) for p in glob.glob(os.path.join(t.dir, "*.json"))}
    check(made == dashboards() and len(made) >= 9, "run deploy/mixin/dashboards.py and commit what it writes")
    listed = set(re.findall(r"dashboards/(\S+\.json)", read("kustomization.yaml")))
    check(listed == set(made), f"kustomization.yaml: {listed ^ set(made)}")
    uids = [d["uid"] for d in made.values()]
    check(len(set(uids)) == len(uids), f"{uids}")
    for name, d in made.items():
        ids = [p["id"] for p in d["panels"]]
        check(len(ids) == len(set(ids)), f"{name}: ids of panels")


def base_name(metric):
    return re.sub(r"_(bucket|count|sum)$", "", metric)


def in_code():
    names = set()
    for role in ("common", "ingester", "querier", "compactor", "ruler", "alertmanager"):
        for path in glob.glob(os.path.join(ROOT, role, "**", "*.[ch]"), recursive=True):
            with open(path, encoding="utf-8") as f:
                names |= set(IN_CODE.findall(f.read()))
    return names


def test_every_metric_exists(t):
    c = Cluster(t, args=("--ingesters", "1", "--queriers", "1", "--rulers", "1", "--alertmanagers", "1"))
    live, series, bounds = set(), {}, set()
    for _, (_, _, _, addr) in c.status().items():
        text = http_call(addr, "GET", "/metrics").text
        live |= set(re.findall(r"^# TYPE (\S+) ", text, re.M))
        bounds |= set(re.findall(r'^(\w+_bucket)\{.*?le="([^"]+)"', text, re.M))
        for name, labels in re.findall(r"^([a-z_0-9]+)(?:\{(.*?)\})? ", text, re.M):
            series.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    code = in_code()
    records = set(re.findall(r"record: (\S+)", read("records.yml")))
    asked = 0
    for where, expr in expressions():
        for used in re.findall(r"\borrery:[a-z0-9_:]+", expr):
            check(used in records, f"{where}: no rule records {used}")
        for metric in METRIC.findall(re.sub(r"\borrery:[a-z0-9_:]+", "", expr)):
            base = base_name(metric)
            check(metric in live or base in live or metric in code or base in code or metric in FROM_SCRAPING,
                  f"{where}: there is no metric {metric}")
            asked += 1
        for metric, matchers in re.findall(r"\b((?:orrery|process)_[a-z0-9_]+)\{(.*?)\}", expr):
            labels = set(re.findall(r"(\w+)=", matchers)) - SCRAPED_LABELS
            check(metric not in series or labels <= series[metric], f"{where}: {metric} has no label {labels}")
            for bound in re.findall(r'le="([^"]+)"', matchers):
                check((metric, bound) in bounds, f"{where}: {metric} has no bucket {bound}")
    check(asked > 150, f"{asked} metrics")


if __name__ == "__main__":
    main()
