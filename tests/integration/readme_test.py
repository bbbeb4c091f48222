#!/usr/bin/env python3
"""README.md is true: every command and file in it, run in a fresh clone as written.

It runs in a network namespace of its own, where the ports that the README names (9009, 9090, 7946)
are free whatever else runs; that takes root. What differs from the page: the clone finds itself
built, with this tree's programs (tests/bare/run builds from nothing); /tmp/orrery-cluster is a
directory of the test; and tests/run, which runs this, is not run from within itself.
"""
import ctypes
import os
import re
import shlex
import shutil
import subprocess
import time

from orrery_test import (BIN, ROOT, Failure, Process, Skip, api, check, http_call, in_a_directory, main, push_ok,
                         query, wait_for)

CLONE_NEWNET = 0x40000000
ADDR = "127.0.0.1:9009"
LONG_RUNNING = "deploy/run"
SECTIONS = ("server", "auth", "ring", "storage", "ingester", "querier", "compactor", "ruler",
            "alertmanager")


# ---- the page -----------------------------------------------------------------------------------


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def blocks(text, lang):
    """The texts of the fenced blocks of a language."""
    return re.findall(rf"^```{lang}\n(.*?)^```", text, re.M | re.S)


def commands(text):
    """The commands of all sh blocks: a line each, with its continuation lines and heredoc."""
    out = []
    for block in blocks(text, "sh"):
        lines = block.splitlines()
        while lines:
            command = lines.pop(0)
            while command.endswith("\\"):
                command += "\n" + lines.pop(0)
            heredoc = re.search(r"<<-?'?(\w+)'?", command)
            while heredoc and command.splitlines()[-1].strip() != heredoc[1]:
                check(lines, f"no end of the heredoc {heredoc[1]}")
                command += "\n" + lines.pop(0)
            if command.strip() and not command.startswith("#"):
                out.append(command)
    return out


def prose(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def own_network():
    """From here on this process and its children have a loopback of their own and nothing else."""
    if os.geteuid() != 0:
        raise Skip("a network namespace, where the README's ports are free, takes root")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise Skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


# ---- following it -------------------------------------------------------------------------------


class Reader:
    """Somebody who follows the page in a clone."""

    def __init__(self, t):
        self.t = t
        self.dir = os.path.join(t.dir, "a clone")  # a space, as paths of people have
        subprocess.run(["git", "clone", "-q", f"file://{ROOT}", self.dir], check=True)
        self.copy_build()
        self.text = read(os.path.join(self.dir, "README.md"))
        self.cluster = os.path.join(t.dir, "cluster")
        self.server = self.scraper = None

    def copy_build(self):
        """A build/ that has all programs, and a build.ninja that finds nothing to do."""
        build = os.path.join(self.dir, "build")
        os.makedirs(os.path.join(build, "bin"))
        programs = [p for p in os.listdir(BIN) if p.split("-")[0] in ("orrery", "orreryctl")]
        check("orrery" in programs, f"there is no {BIN}/orrery")
        for p in programs:
            shutil.copy2(os.path.join(BIN, p), os.path.join(build, "bin", p))
        with open(os.path.join(build, "build.ninja"), "w", encoding="utf-8") as f:
            f.write("".join(f"build {p}: phony\n" for p in programs))

    def finding(self):
        return None

    def stop(self):
        subprocess.run([os.path.join(self.dir, "deploy/local/cluster"), "down", "--dir",
                        self.cluster], capture_output=True)

    def tail(self):
        return ""

    def here(self, command):
        """Where a curl that is answered by an error has failed, but those of querier.enable-admin-api, which is off."""
        command = command.replace("/tmp/orrery-cluster", shlex.quote(self.cluster))
        fail = "" if "/api/v1/admin/" in command else 'curl() { command curl --fail-with-body "$@"; }; '
        return f"{fail}cd {shlex.quote(self.dir)} && {command}"

    def run(self, command, timeout=600):
        r = subprocess.run(["bash", "-c", self.here(command)], capture_output=True, text=True,
                           timeout=timeout)
        check(r.returncode == 0, lambda: f"`{command}` ended with {r.returncode}: "
              f"{r.stdout[-1000:]}{r.stderr[-2000:]}")
        return r.stdout

    def serve(self, command):
        """Starts a long-running command, after stopping the one before as by Ctrl-C."""
        self.end()
        self.server = Process("deploy-run", ["bash", "-c", self.here("exec " + command)],
                              os.path.join(self.t.dir, "deploy-run.log"))
        self.t.add(self.server)

        def ready():
            if not self.server.alive():
                raise SystemExit(f"`{command}` ended:\n{self.server.tail()}")
            return http_call(ADDR, "GET", "/ready").status == 200
        wait_for(f"`{command}` to be ready", ready, 300)

    def end(self):
        if self.server and self.server.alive():
            check(self.server.stop() == 0, f"on SIGTERM it ended with {self.server.popen.returncode}")

    def prometheus(self):
        """Debian's, with the file of the page."""
        if not shutil.which("prometheus"):
            raise Skip("prometheus is not installed")
        yaml = [b for b in blocks(self.text, "yaml") if b.startswith("# prometheus.yml\n")]
        check(len(yaml) == 1, "README has no yaml block # prometheus.yml")
        with open(os.path.join(self.dir, "prometheus.yml"), "w", encoding="utf-8") as f:
            f.write(yaml[0])
        self.scraper = Process("prometheus", ["bash", "-c", self.here(
            "exec prometheus --config.file=prometheus.yml --storage.tsdb.path=prometheus-data")],
                               os.path.join(self.t.dir, "prometheus.log"))
        self.t.add(self.scraper)


def reader_of(t):
    own_network()
    r = Reader(t)
    t.add(r)
    return r


def check_up_of_both_jobs(reader, command):
    def both_up():
        out = reader.run(command)
        got = dict(re.findall(r'"job":"(\w+)"[^]]*"value":\[[^,]*,"([^"]*)"', out))
        check(got == {"prometheus": "1", "orrery": "1"}, f"`{command}` answers {out[:1000]}")
        return True
    wait_for("up of both jobs", both_up, 90, every=1)


def check_rules_and_alerts(reader):
    """The rule of the page is loaded and evaluated: a target that is down becomes pending."""
    tenant = re.search(r"> rules/(\w+)/", reader.text)[1]
    rules = api(ADDR, "/api/v1/rules", tenant=tenant).json["data"]["groups"]
    names = [rule["name"] for g in rules for rule in g["rules"]]
    check(names == ["TargetDown"], f"rules: {rules}")

    def pending():
        now = int(time.time() * 1000)
        push_ok(ADDR, [({"__name__": "up", "job": "j", "instance": "i"}, [(now, 0.0)])],
                tenant=tenant)
        alerts = api(ADDR, "/api/v1/alerts", tenant=tenant).json["data"]["alerts"]
        check(any(a["labels"] == {"alertname": "TargetDown", "instance": "i", "job": "j"} and
                  a["annotations"] == {"summary": "i of j is down"} for a in alerts),
              f"alerts: {alerts}")
        return True
    wait_for("the alert to be pending", pending, 60, every=1)


def cluster_of(status):
    """{name: (role, pid or None, address)}"""
    out = {}
    for line in status.splitlines():
        name, role, _, pid, addr = line.split()
        out[name] = (role, None if pid == "-" else int(pid), addr)
    return out


def follow_cluster(reader, command):
    """One of the cluster's commands, and whether it did what the page says."""
    verb = command.split()[1]
    out = reader.run(command)
    status = cluster_of(out if verb == "status" else
                        reader.run("deploy/local/cluster status --dir /tmp/orrery-cluster"))
    down = {name for name, (_, pid, _) in status.items() if pid is None}
    if verb == "kill":
        check(down == {command.split()[2]}, f"after `{command}` these are down: {down}")
    elif verb == "down":
        check(down == set(status), f"after `{command}` these run: {set(status) - down}")
    else:
        check(status and not down, f"after `{command}` these are down: {down}")
    if verb == "status":
        check({role for role, _, _ in status.values()} == {
            "ingester", "querier", "compactor", "ruler", "alertmanager"}, out)
        check_any_and_any(status)


def check_any_and_any(status):
    """Write to any ingester, ask any querier."""
    now = int(time.time() * 1000)
    ingesters, queriers = ([a for role, _, a in status.values() if role == r]
                           for r in ("ingester", "querier"))
    for i, addr in enumerate(ingesters):
        push_ok(addr, [({"__name__": "asked", "to": str(i)}, [(now, 1.0)])])

    def all_there():
        got = [len(query(addr, "asked", now)["result"]) for addr in queriers]
        check(got == [len(ingesters)] * len(queriers), f"series by querier: {got}")
        return True
    wait_for("what was written", all_there, 30)


# What is in the answers to some of the page's questions.
ANSWERS = {"/loki/api/v1/query": '"app":"web"', "/elasticsearch/_search": '"hits":{"total":{"value":1,'}


def follow(reader, command):
    words = command.split()
    if words[0] == LONG_RUNNING:
        reader.serve(command)
        if "--demo" in words:
            wait_for("the shop's orders", lambda: query(ADDR, "shop_orders_total", tenant=None)["result"], 120)
            check("<!doctype html>" in http_call(ADDR, "GET", "/ui/").text, "there is no UI")
        elif len(words) > 1:
            check_rules_and_alerts(reader)
    elif words[0] == "tests/run":
        check(os.access(os.path.join(reader.dir, words[0]), os.X_OK), f"{words[0]} is no program")
        print(f"   not run from within itself: {command}", flush=True)
    elif words[0] == "deploy/local/cluster":
        if reader.scraper:
            reader.scraper.kill()  # asked to stop it would wait a minute for who it writes to
        reader.end()
        follow_cluster(reader, command)
    elif words[0] == "curl" and "/ready" in command:
        check(reader.run(command).strip() == "ready", "/ready does not say ready")
        reader.prometheus()  # the page's next step
    elif words[0] == "curl" and "query=up" in command:
        check_up_of_both_jobs(reader, command)
    elif words[0] == "curl" and any(path in command for path in ANSWERS):
        out = reader.run(command)
        want = '"orrery_event":"deployment"' if "orrery_event" in command else next(w for path, w in ANSWERS.items() if path in command)
        check(want in out, f"`{command}` answers {out[:1000]}")
    elif words[0] == "cat" and "> rules/" in command:
        reader.run(command)
        reader.run("build/bin/orreryctl rules check rules")
    elif words[-1] in ("--help", "--print-config"):
        out = reader.run(command)
        missing = [s for s in SECTIONS if not re.search(rf"\b{s}[.:]", out)]
        check(not missing, f"`{command}` does not tell of {missing}")
    else:
        reader.run(command)


def test_every_command_in_a_fresh_clone(t):
    in_a_directory("its commands as they stand keep their blocks in ./data")
    reader = reader_of(t)
    found = commands(reader.text)
    for must in (LONG_RUNNING, "curl", "deploy/local/cluster", "build/bin/orrery", "tests/run"):
        check(any(c.split()[0] == must for c in found), f"no {must} in {found}")
    for command in found:
        started = time.monotonic()
        follow(reader, command)
        print(f"   {time.monotonic() - started:5.1f} s  {command.splitlines()[0]}", flush=True)
    check(os.path.isdir(os.path.join(reader.dir, "data")), "its data is not in ./data")


# ---- its tables ---------------------------------------------------------------------------------


def rows(text):
    """(first cell, second cell) of every row of the tables."""
    return re.findall(r"^\| *([^|]*?) *\| *(.*?) *\|$", text, re.M)


def test_every_path_exists(t):
    bad = []
    for name in re.findall(r"`([^`\n]+)`", prose(read(os.path.join(ROOT, "README.md")))):
        path = name.split()[0]
        if re.fullmatch(r"(common|ingester|querier|compactor|ruler|alertmanager|deploy|tests)/[\w./-]*",
                        path) and not os.path.exists(os.path.join(ROOT, path)):
            bad.append(path)
        if re.fullmatch(r"orrery(-\w+)?", path) and not os.path.exists(os.path.join(BIN, path)):
            bad.append(f"build/bin/{path}")
    check(not bad, f"README.md names what is not there: {bad}")


def test_every_page_of_the_table_answers(t):
    reader = reader_of(t)
    reader.serve(LONG_RUNNING)
    asked = 0
    for first, _ in rows(reader.text):
        for method, path in re.findall(r"`(?:(POST) )?(/[\w/]+)(?:\[[^]]*\])?`", first):
            r = http_call(ADDR, method or "GET", path, timeout=120)
            check(r.status // 100 == 2, f"{method or 'GET'} {path}: {r.status} {r.text[:300]}")
            asked += 1
    check(asked >= 8, f"only {asked} pages in the tables of README.md")
    r = http_call(ADDR, "POST", "/ingester/flush?tenant=demo", timeout=120)
    check(r.status // 100 == 2, f"flush of a tenant: {r.status} {r.text[:300]}")
    for path in ("/api/v1/query?query=1", "/prometheus/api/v1/query?query=1"):
        r = http_call(ADDR, "GET", path, headers={"X-Scope-OrgID": "demo"})
        check(r.status == 200, f"Grafana's {path}: {r.status} {r.text[:300]}")
    r = http_call(ADDR, "GET", "/api/v1/query?query=1")
    check(r.status == 200, f"deploy/run refuses a request without a tenant: {r.status}")


if __name__ == "__main__":
    main()
