#!/usr/bin/env python3
"""orreryctl demo, query, tail and trace show at a running Orrery."""
import json
import os
import re
import subprocess
import time

from orrery_test import BIN, Single, api, check, http_call, main, query

SHOP = ["demo", "--backfill=12m", "--cycle=10m", "--lock-in=5m", "--for=0s", "--rate=3"]


def ctl(o, *args, status=0):
    r = subprocess.run([os.path.join(BIN, "orreryctl"), *args, f"--address={o.addr}"], capture_output=True, text=True, timeout=120)
    check(r.returncode == status, f"orreryctl {args}: {r.returncode} {r.stdout[-500:]} {r.stderr[-1500:]}")
    return r.stdout if status == 0 else r.stderr


def rig(t):
    o = Single(t, args=("--auth.mode=optional", "--ingester.traces=true")).wait_ready()
    ctl(o, *SHOP)
    return o


def test_numbers_lines_and_traces(t):
    o = rig(t)
    orders = float(query(o.addr, "shop_orders_total", tenant=None)["result"][0]["value"][1])
    out = ctl(o, "query", "shop_orders_total")
    check(re.search(rf'^shop_orders_total{{job="checkout"}} +{orders:g}$', out, re.M), out)
    check(ctl(o, "query", "1 + 1") == "2\n", "a scalar")
    out = ctl(o, "query", "sum by (job) (histogram_count(rate(http_server_request_duration_seconds[1m])))", "--since=10m")
    rows = {r.split()[0]: r for r in out.splitlines()[1:]}
    check(set(rows) == {f'{{job="{j}"}}' for j in ("gateway", "checkout", "orders", "payments", "inventory")}, out)
    check(all(len(set(r) & set("▁▂▃▄▅▆▇█")) for r in rows.values()), out)
    check("count " in ctl(o, "query", "sum(http_server_request_duration_seconds)"), "a histogram")
    raw = ctl(o, "query", "shop_orders_total", "--json")
    check(json.loads(raw)["data"]["result"][0]["metric"]["job"] == "checkout", raw)

    lines = ctl(o, "query", '{service_name="payments"} |= "could not obtain lock"', "--language=logql", "--limit=7").splitlines()
    check(len(lines) == 7 and lines == sorted(lines), lines)
    check(all('service_name="payments"' in x and "held by nightly-reconciliation" in x for x in lines), lines)
    out = ctl(o, "query", 'sum by (service_name) (count_over_time({service_name=~".+"}[5m]))', "--language=logql")
    check(out.count("service_name=") == 5, out)

    found = ctl(o, "query", "{ duration > 2s }", "--language=traceql", "--limit=3").splitlines()[1:]
    check(len(found) == 3 and all("gateway" in f and "POST /checkout" in f for f in found), found)
    tree = ctl(o, "trace", "show", found[0].split()[0]).splitlines()
    check("8 spans" in tree[0] and len(tree) == 9, tree)
    check(re.search(r"  gateway: POST /checkout  error: bad answer from upstream$", tree[1]), tree[1])
    check(tree[-1].endswith("payments: UPDATE accounts") and tree[-1].index("payments:") > tree[1].index("gateway:"), tree)


def test_a_tail_shows_what_comes(t):
    o = rig(t)
    tail = subprocess.Popen([os.path.join(BIN, "orreryctl"), "tail", '{app="late"}', "--for=30s", f"--address={o.addr}"], stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    for i in range(2):
        body = {"streams": [{"stream": {"app": "late"}, "values": [[str(time.time_ns()), f"line {i}"]]}]}
        r = http_call(o.addr, "POST", "/loki/api/v1/push", json.dumps(body), {"Content-Type": "application/json"})
        check(r.status == 204, r.text)
        line = tail.stdout.readline()
        check(line.endswith(f"line {i}\n") and 'app="late"' in line, line)
    tail.kill()


def test_no_line_steers_the_terminal(t):
    """Control characters of a log line are shown, not sent; zeros end neither a line nor an answer."""
    o = Single(t, args=("--auth.mode=optional",)).wait_ready()
    body = {"streams": [{"stream": {"app": "evil"}, "values": [[str(time.time_ns()), "a\x1b[2Jb\0c\u009bd"]]}]}
    r = http_call(o.addr, "POST", "/loki/api/v1/push", json.dumps(body), {"Content-Type": "application/json"})
    check(r.status == 204, r.text)
    out = ctl(o, "query", '{app="evil"}', "--language=logql")
    check(out.endswith("a\\x1b[2Jb\\x00c\\u009bd\n"), repr(out))


def test_errors_say_what_is_wrong(t):
    o = rig(t)
    check("unclosed left parenthesis" in ctl(o, "query", "sum(", status=1), "PromQL")
    check("promql, logql or traceql" in ctl(o, "query", "x", "--language=sql", status=2), "language")
    check("hexadecimal" in ctl(o, "trace", "show", "xyz", status=2), "id")
    check("404" in ctl(o, "trace", "show", "0123456789abcdef", status=1), "no such trace")
    check("begins with a selector" in ctl(o, "tail", "rate({a=\"b\"}[1m])", status=2), "tail")
    check("no time between" in ctl(o, "query", "x", "--from=2026-01-02T00:00:00Z", "--to=2026-01-01T00:00:00Z", status=2), "range")
    check("--lock-in" in ctl(o, "demo", "--lock-in=x", status=1), "demo")


def test_the_shop_may_come_again(t):
    o = rig(t)
    r = subprocess.run([os.path.join(BIN, "orreryctl"), *SHOP, "--backfill=1h", f"--address={o.addr}"], capture_output=True, text=True, timeout=120)
    check(r.returncode == 0 and "samples of the past are left out" in r.stderr, r.stderr)
    groups = api(o.addr, "/api/v1/rules", tenant=None).json["data"]["groups"]
    check([g["name"] for g in groups] == ["shop"], groups)


def run(*args):
    r = subprocess.run(args, capture_output=True, text=True, timeout=60)
    check(r.returncode == 0, f"{args}: {r.stderr[-500:]}")
    return r.stdout


def test_a_shell_completes_and_a_page_tells(t):
    program = os.path.join(BIN, "orreryctl")
    script = run(program, "completion", "bash")

    def words(line):
        """What bash would propose behind it."""
        typed = line.split(" ")
        return run("bash", "-c", f"{script}\nCOMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _orreryctl 2>/dev/null; printf '%s\\n' \"${{COMPREPLY[@]}}\"", "bash", *typed).split()
    check(set(words("orreryctl ru")) == {"rules"}, words("orreryctl ru"))
    check(set(words("orreryctl bucket ")) == {"ls", "inspect", "verify", "adopt", "rebuild-catalogue"}, words("orreryctl bucket "))
    check(set(words("orreryctl alertmanager silence ")) == {"add", "query", "expire"}, words("orreryctl alertmanager silence "))
    check(words("orreryctl bucket ls --j") == ["--json"], words("orreryctl bucket ls --j"))
    check("--since=" in words("orreryctl query up --s"), words("orreryctl query up --s"))
    check("compdef _orreryctl orreryctl" in run(program, "completion", "zsh"), "zsh")
    page = run(program, "man")
    usage = [u.split(" orreryctl ")[1].split(" [")[0] for u in run(program, "--help").splitlines() if u.startswith("  orreryctl ") and "--help" not in u and "--version" not in u]
    check(len(usage) > 30, usage)
    missing = [u for u in usage if ".SS " + u.split(" -")[0].replace("-", "\\-") not in page]
    check(not missing, missing)


if __name__ == "__main__":
    main()
