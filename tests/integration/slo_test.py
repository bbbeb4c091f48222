#!/usr/bin/env python3
"""orreryctl slo generate, judged by Debian's promtool; and rules of Debian's packages."""
import glob
import os
import subprocess

import debs
from orrery_test import BIN, TENANT, Single, check, main

SLOS = r"""
service: check-out
owner: shop
runbook_url: https://runbooks.example/{service}/{slo}
labels: {env: prod}
slos:
  - name: availability
    description: Orders are taken.
    objective: 99.9
    by: [cluster]
    ratio:
      errors: http_requests_total{job="checkout",code=~"5.."}
      total: http_requests_total{job="checkout"}
  - name: latency
    objective: 99
    latency: {buckets: 'http_request_duration_seconds_bucket{job="checkout"}', threshold: 0.3}
  - name: slow
    objective: 95
    latency: {buckets: 'http_request_duration_seconds_bucket{job="checkout",cluster!=""}', threshold: 1}
  - name: native
    objective: 90
    window: 7d
    latency: {histogram: 'http_request_duration_seconds{job="checkout"}', threshold: 2}
  - name: mails
    objective: 99.5
    ratio: {errors: 'mail_errors_total{job=~"mail|post"}', total: 'mails_total{host=~"[a-z]+-\\d+"}'}
    alert: MailIsLost
    burn_rates:
      - {factor: 10, long: 1h, short: 10m, for: 5m, severity: page}
"""


def ctl(*args, status=0):
    r = subprocess.run([os.path.join(BIN, "orreryctl"), *args], capture_output=True, text=True, timeout=300)
    check(r.returncode == status, f"{args}: {r.returncode}, not {status}: {r.stdout} {r.stderr}")
    return r.stdout + r.stderr


def promtool(*args):
    r = subprocess.run(["promtool", *args], capture_output=True, text=True, timeout=300)
    return r.returncode == 0, r.stdout + r.stderr


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def read(path):
    with open(path) as f:
        return f.read()


def generate(t, text, name="shop"):
    said = ctl("slo", "generate", write(f"{t.dir}/{name}.slo.yml", text), f"--output={t.dir}/out")
    return f"{t.dir}/out/{name}.rules.yml", f"{t.dir}/out/{name}.test.yml", said


def test_generated_rules_are_good_and_their_tests_hold(t):
    rules, tests, said = generate(t, SLOS)
    check("native: no alert for 14.4 times the budget over 1h" in said, said)
    check("native: its tests begin with the recorded shares" in said and "mails: its" not in said, said)
    check(ctl("slo", "generate", f"{t.dir}/shop.slo.yml").startswith(read(rules)), "standard output has other rules")
    ok, said = promtool("check", "rules", rules)
    check(ok and "SUCCESS: 60 rules found" in said, said)
    check(ctl("rules", "lint", rules) == "", "the rules lack what lint asks for")
    text = read(rules)
    for windows in (("14.4 * 0.001", "ratio_rate1h", "ratio_rate5m"), ("6 * 0.001", "ratio_rate6h", "ratio_rate30m"),
                    ("1 * 0.001", "ratio_rate3d", "ratio_rate6h"), ("0.5 * 0.001", "ratio_rate1d")):
        lines = [x for x in text.splitlines() if f"> ({windows[0]})" in x]
        check(len(lines) == 1 and all(w in lines[0] for w in windows[1:]), f"{windows}: {lines}")
    ok, said = promtool("test", "rules", tests)
    check(ok, said)
    ctl("rules", "test", tests)


ODD = r"""
service: "it's \"x\" \\d ü"
owner: o
runbook_url: "https://x/'{slo}'"
labels: {a: "b'c"}
slos:
  - name: "p99: 'y'"
    description: "a: 'b'\nc"
    objective: 99.95
    by: [job, http_route]
    ratio: {errors: 'e_total{p=~".+",q=~"[^a]b?",r!="",s!~"x|y",t=~"a|b|c",u=""}', total: '{__name__="all_total",p=~"^/api/v\\d+$"}'}
"""


def test_odd_texts_stay_what_they_are(t):
    rules, tests, said = generate(t, ODD, "odd")
    check("begin with the recorded shares" not in said, said)
    ok, said = promtool("check", "rules", rules)
    check(ok and "14 rules found" in said, said)
    ok, said = promtool("test", "rules", tests)
    check(ok, said)
    ctl("rules", "test", tests)


# what is changed in the rules that were made: their tests must notice, here and there
MUTANTS = (("> (0.5 * 0.001)", "> (0.5 * 2.001)"), ("> (6 * 0.001)", "> (0 * 0.001)"), ("for: 15m", "for: 15d"),
           ("[1h])) or 0 *", "[1h])) or 1 *"), ('code=~\\"5..\\"', 'code=~\\"4..\\"'), ('le=\\"0.3\\"', 'le=\\"0.4\\"'))


def test_what_is_wrong_with_rules_is_noticed_by_their_tests(t):
    rules, tests, _ = generate(t, SLOS)
    text = read(rules)
    for old, new in MUTANTS:
        check(old in text, f"nothing to change: {old}")
        write(rules, text.replace(old, new))
        theirs, said = promtool("test", "rules", tests)
        r = subprocess.run([os.path.join(BIN, "orreryctl"), "rules", "test", tests], capture_output=True, text=True,
                           timeout=300)
        check(theirs == (r.returncode == 0), f"{old} -> {new}: promtool {theirs}: {said} {r.stdout} {r.stderr}")
        # what stands for errors that are there does not matter; the rest does
        check(theirs == ("or 1 *" in new), f"{old} -> {new} is not noticed")


def test_wrong_slo_files_are_refused(t):
    for old, new, why in (("service: check-out", "", "service is missing"), ("owner: shop", "owner: ''", "owner is missing"),
                          ("objective: 99.9", "objective: 100", "9: objective must be a percentage"),
                          ("objective: 99.9", "objective: much", "9: objective must be a number"),
                          ("objective: 99.9", "objectives: 99.9", "field objectives not found"),
                          ('total: http_requests_total{job="checkout"}', "total: rate(x[5m])", "must be a selector alone"),
                          ('total: http_requests_total{job="checkout"}', "total: '{'", "13: total: "),
                          ("name: latency", "name: availability", "twice"), ("threshold: 0.3", "threshold: 0", "above 0"),
                          ("by: [cluster]", "by: ['a b']", "names of labels"), ("short: 10m", "short: 2h", "longer than the short one"),
                          ("factor: 10", "factor: -1", "a factor above 0"), ("window: 7d", "window: 7 days", "not a valid duration"), ("owner: shop", "owner: '{{ $labels.x }}'", "templates"),
                          ("Orders are taken.", "'{{ $value }}'", "templates"), ("env: prod", "env: '{{ x }}'", "templates")):
        check(old in SLOS, f"nothing to change: {old}")
        said = ctl("slo", "generate", write(f"{t.dir}/bad.yml", SLOS.replace(old, new, 1)), status=1)
        check(f"{t.dir}/bad.yml" in said and why in said, f"{old} -> {new}: {said}")
    ctl("slo", "generate", f"{t.dir}/nowhere.yml", status=1)
    ctl("slo", "generate", write(f"{t.dir}/empty.yml", ""), status=1)


PACKAGES = ("ceph-prometheus-alerts", "prometheus-node-exporter", "prometheus-mysqld-exporter", "prometheus-postgres-exporter")


def test_rules_of_debians_packages_load(t):
    root = debs.root(*PACKAGES)
    files = [f for f in glob.glob(f"{root}/**/*.y*ml", recursive=True) if "\ngroups:" in "\n" + read(f) and "rule_files" not in read(f)]
    good = [f for f in files if promtool("check", "rules", f)[0]]
    check(len(good) >= 3, f"too few: {files}")
    o = Single(t, args=["--limits.ruler-max-rules-per-rule-group=0", "--limits.ruler-max-rule-groups-per-tenant=0"]).wait_ready()
    remote = [f"--address={o.addr}", f"--tenant={TENANT}"]
    n = 0
    for i, f in enumerate(good):
        ctl("rules", "check", f)
        text = read(f)
        if "name:" not in text:
            continue
        said = ctl("rules", "load", write(f"{t.dir}/pkg{i}.yml", text), *remote)
        n += int(said.split(" Groups Created")[0].split()[-1])
    check(n >= 10, f"{n} groups were loaded")
    print(f"   {len(good)} files of {len(files)} are good for Debian's promtool; {n} groups loaded")


if __name__ == "__main__":
    main()
